//! What is shipped: it is whole, installs, runs on every server, and goes again.

use modq_testkit::place::workspace;
use modq_testkit::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("modq-dist-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Runs a program, which must succeed.
fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success(), "{command:?}: {said}");
    said
}

/// Makes what is shipped, of the module that was built for the tests.
fn dist(folder: &Path) -> String {
    let script = workspace().join("scripts/dist.sh");
    run(Command::new(script)
        .arg("--no-build")
        .arg(folder)
        .env("MODQ_SO", module_path()))
}

fn package_in(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut packages = files.filter(|path| path.extension().is_some_and(|end| end == "deb"));
    packages.next().expect("a package")
}

/// A file system of its own for dpkg, so that nothing of this machine changes.
struct Root(Folder);

impl Root {
    fn new() -> Root {
        let root = Folder::new("root");
        for folder in ["updates", "info", "triggers"] {
            std::fs::create_dir_all(root.0.join("var/lib/dpkg").join(folder)).unwrap();
        }
        for file in ["status", "available"] {
            std::fs::write(root.0.join("var/lib/dpkg").join(file), "").unwrap();
        }
        Root(root)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.0.join(path)
    }

    /// What it depends on is not in there.
    fn dpkg(&self, action: &str, what: impl AsRef<std::ffi::OsStr>) {
        run(Command::new("dpkg")
            .arg(format!("--root={}", self.0.0.display()))
            .args([
                "--force-depends",
                "--force-not-root",
                "--force-script-chrootless",
            ])
            .arg(action)
            .arg(what.as_ref()));
    }
}

/// Starts a server by the installed configuration, as `include` would, and uses it.
fn use_installed(kind: Kind, root: &Root) {
    let conf = std::fs::read_to_string(root.path("etc/redis/modq.conf")).unwrap();
    let installed = root.path("usr/lib/redis/modules");
    let conf = conf.replace("/usr/lib/redis/modules", &installed.display().to_string());
    let server = Server::builder(kind)
        .without_module()
        .file("modq.conf", conf.clone());
    let lines = conf
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let server = lines
        .fold(server, |server, line| server.config(line))
        .start();
    let mut c = server.client();
    assert_eq!(c.line("MODQ.SUBMIT q a p"), simple("READY"));
    assert_eq!(c.line("MODQ.CLAIM q m")[0][0], "a".into());
    assert_eq!(c.line("RATELIMIT.CHECK l 1 1000")[0], Value::Int(1));
    // The commented lines are what holds.
    for line in conf.lines().filter_map(|line| line.strip_prefix("# modq.")) {
        let (name, value) = line.split_once(' ').unwrap();
        let set = c.line(&format!("CONFIG GET modq.{name}"));
        assert_eq!(set[1].text(), value, "modq.{name}");
    }
}

#[test]
fn the_package_installs_runs_on_every_server_and_goes() {
    let out = Folder::new("out");
    let said = dist(&out.0);
    assert!(said.contains("hadolint has nothing to say"), "{said}");
    run(Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(&out.0));
    let sections = run(Command::new("readelf")
        .args(["--sections", "--wide"])
        .arg(out.0.join("libmodq.so")));
    assert!(!sections.contains(".debug_"), "it is stripped");
    let root = Root::new();
    let package = package_in(&out.0);
    // Only root may give files to root.
    let is_root = run(Command::new("id").arg("-u")).trim() == "0";
    if is_root {
        root.dpkg("--install", &package);
    } else {
        run(Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&package)
            .arg(&root.0.0));
    }
    for kind in [Kind::Redis70, Kind::Redis82, Kind::Valkey91, Kind::Stack74] {
        use_installed(kind, &root);
    }
    if is_root {
        let module = root.path("usr/lib/redis/modules/libmodq.so");
        root.dpkg("--remove", "redis-modq");
        assert!(!module.exists());
        assert!(
            root.path("etc/redis/modq.conf").exists(),
            "the configuration stays"
        );
        root.dpkg("--purge", "redis-modq");
        assert!(!root.path("etc/redis/modq.conf").exists());
    }
}
