//! Servers: each on its own port and in its own directory, killed with the test, loud when it crashed.

use super::wait::{PATIENCE, parse_info, wait_until};
use super::{Client, Value};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, OnceLock, mpsc};
use std::time::{Duration, SystemTime};

/// The servers everything is tested on; `make servers` puts them under `.servers/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Redis70,
    Redis82,
    Valkey91,
    /// Redis Stack, with its modules loaded beside ours.
    Stack74,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Redis70, Kind::Redis82, Kind::Valkey91, Kind::Stack74];

    pub fn is_valkey(self) -> bool {
        self == Kind::Valkey91
    }

    /// The command-set version: 70, 74, 82; Valkey, which forked at 7.2, counts as 72.
    pub fn redis_version(self) -> u32 {
        match self {
            Kind::Redis70 => 70,
            Kind::Valkey91 => 72,
            Kind::Stack74 => 74,
            Kind::Redis82 => 82,
        }
    }

    fn home(self) -> PathBuf {
        let name = match self {
            Kind::Redis70 => "redis-7.0",
            Kind::Redis82 => "redis-8.2",
            Kind::Valkey91 => "valkey-9.1",
            Kind::Stack74 => "stack-7.4",
        };
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(".servers")
            .join(name)
    }

    fn command(self) -> Command {
        let binary = self.home().join("bin/server");
        assert!(
            binary.exists(),
            "no {self:?} at {}; run: make servers",
            binary.display()
        );
        let mut command = Command::new(binary);
        if self == Kind::Stack74 {
            command.env("LD_LIBRARY_PATH", self.home().join("lib"));
        }
        command
    }

    /// The `loadmodule` lines of what the server itself comes with.
    fn own_modules(self) -> Vec<String> {
        if self != Kind::Stack74 {
            return Vec::new();
        }
        let modules = self.home().join("modules");
        let path = |name: &str| modules.join(name).display().to_string();
        let load = |name: &str| format!("loadmodule {}", path(name));
        let mut lines = [
            "rediscompat",
            "redisearch",
            "redistimeseries",
            "rejson",
            "redisbloom",
        ]
        .map(|name| load(&format!("{name}.so")))
        .to_vec();
        let plugin = path("libredisgears_v8_plugin.so");
        lines.push(format!("{} v8-plugin-path {plugin}", load("redisgears.so")));
        lines
    }
}

/// The module under test: `MODQ_SO`, or cargo's release build, which must not be older than its sources.
fn module() -> PathBuf {
    static CHECKED: OnceLock<PathBuf> = OnceLock::new();
    let check = || {
        if let Some(path) = std::env::var_os("MODQ_SO") {
            return path.into();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let path = root.join(target).join("release/libmodq.so");
        let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
        let built = modified(&path).unwrap_or(SystemTime::UNIX_EPOCH);
        let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
        let newer = sources
            .split_whitespace()
            .skip(1)
            .find(|source| modified(Path::new(source)).is_ok_and(|t| t > built));
        assert!(
            path.exists(),
            "no module at {}; run: make build",
            path.display()
        );
        assert!(
            newer.is_none(),
            "{} is older than {}; run: make build",
            path.display(),
            newer.unwrap_or_default()
        );
        path
    };
    CHECKED.get_or_init(check).clone()
}

/// How a server is to be started.
#[derive(Clone)]
pub struct Builder {
    kind: Kind,
    config: Vec<String>,
    module: Option<PathBuf>,
    module_args: Vec<String>,
    own_modules: bool,
    files: Vec<(String, Vec<u8>)>,
    port: Option<u16>,
    sentinel: bool,
    env: Vec<(&'static str, PathBuf)>,
}

impl Builder {
    /// Adds a line to the configuration file; later lines win.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.config.push(line.into());
        self
    }

    /// Adds module arguments.
    pub fn module_args(mut self, args: &[&str]) -> Self {
        self.module_args
            .extend(args.iter().map(|arg| arg.to_string()));
        self
    }

    /// Leaves the module under test out.
    pub fn without_module(mut self) -> Self {
        self.module = None;
        self
    }

    /// Leaves out the modules Redis Stack brings.
    pub fn without_own_modules(mut self) -> Self {
        self.own_modules = false;
        self
    }

    /// AOF on, every write synced: nothing answered is lost by `kill9`.
    pub fn aof(self) -> Self {
        self.config("appendonly yes").config("appendfsync always")
    }

    pub fn replica_of(self, primary: &Server) -> Self {
        self.config(format!("replicaof 127.0.0.1 {}", primary.port()))
    }

    pub fn cluster(self) -> Self {
        self.config("cluster-enabled yes")
            .config("cluster-node-timeout 5000")
    }

    /// Puts a file, such as a stored `dump.rdb`, into the server's directory first.
    pub fn file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), bytes.into()));
        self
    }

    /// Goes by this clock instead of the machine's.
    pub fn with_clock(mut self, clock: &super::Clock) -> Self {
        self.env = clock.env().into();
        self
    }

    /// A fixed port; otherwise a free one is found.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    pub(super) fn sentinel(self) -> Self {
        Builder {
            sentinel: true,
            ..self.without_module().without_own_modules()
        }
    }

    #[track_caller]
    pub fn start(self) -> Server {
        self.try_start()
            .unwrap_or_else(|log| panic!("the server did not start; its log ends:\n{log}"))
    }

    /// For servers that may refuse to start: the error is the end of the log.
    pub fn try_start(self) -> Result<Server, String> {
        let mut server = Server {
            port: 0,
            child: None,
            dir: Dir::new(),
            builder: self,
            may_crash: false,
        };
        for (name, bytes) in &server.builder.files {
            let path = server.dir.0.join(name);
            fs::create_dir_all(path.parent().expect("in the directory")).unwrap();
            fs::write(path, bytes).unwrap();
        }
        loop {
            server.port = server.builder.port.unwrap_or_else(free_port);
            server.write_config();
            match server.launch() {
                Ok(()) => return Ok(server),
                // Somebody was quicker to take the port we found free.
                Err(log)
                    if server.builder.port.is_none() && log.contains("Address already in use") =>
                {
                    File::create(server.log_path()).unwrap();
                }
                Err(log) => {
                    server.may_crash = true;
                    return Err(log);
                }
            }
        }
    }

    fn config_file(&self, port: u16) -> String {
        // Ports are handed out in pairs: the second is for the cluster bus.
        let mut lines = vec![
            format!("port {port}"),
            "bind 127.0.0.1".into(),
            "protected-mode no".into(),
        ];
        if !self.sentinel {
            lines.push(format!("cluster-port {}", port + 1));
            lines.extend(BASE_CONFIG.lines().map(str::to_owned));
        }
        if self.own_modules {
            lines.extend(self.kind.own_modules());
        }
        if let Some(module) = &self.module {
            lines.push(format!(
                "loadmodule {} {}",
                module.display(),
                self.module_args.join(" ")
            ));
        }
        lines.extend(self.config.iter().cloned());
        lines.join("\n") + "\n"
    }
}

/// Nothing is written to disk unless asked for, DEBUG works, replicas come up at once, and a replicated command that
/// fails stops the replica instead of diverging in silence.
const BASE_CONFIG: &str = r#"save ""
appendonly no
enable-debug-command yes
enable-module-command yes
repl-diskless-sync yes
repl-diskless-sync-delay 0
propagation-error-behavior panic
rdbchecksum yes
maxclients 1000"#;

/// A running server. Dropping it kills it and fails the test if it had crashed.
pub struct Server {
    builder: Builder,
    port: u16,
    child: Option<Child>,
    dir: Dir,
    may_crash: bool,
}

impl Server {
    /// A server with the module, and otherwise as it comes.
    #[track_caller]
    pub fn start(kind: Kind) -> Server {
        Server::builder(kind).start()
    }

    pub fn builder(kind: Kind) -> Builder {
        Builder {
            kind,
            config: Vec::new(),
            module: Some(PathBuf::new()),
            module_args: Vec::new(),
            own_modules: true,
            files: Vec::new(),
            port: None,
            sentinel: false,
            env: Vec::new(),
        }
    }

    pub fn kind(&self) -> Kind {
        self.builder.kind
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn cluster_bus_port(&self) -> u16 {
        self.port + 1
    }

    /// The process id; panics if it is not running.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server is stopped").id()
    }

    /// Where its files are; gone when the server is dropped.
    pub fn dir(&self) -> &Path {
        &self.dir.0
    }

    /// Everything it has written to stdout and stderr, restarts included.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self)
    }

    /// SHUTDOWN, as configured: saves an RDB file only where there are save points.
    #[track_caller]
    pub fn stop(&mut self) {
        self.shutdown(&["SHUTDOWN"]);
    }

    /// SHUTDOWN SAVE: leaves an RDB file whatever the configuration.
    #[track_caller]
    pub fn stop_saving(&mut self) {
        self.shutdown(&["SHUTDOWN", "SAVE"]);
    }

    #[track_caller]
    fn shutdown(&mut self, command: &[&str]) {
        if let Ok(reply) = self.client().try_cmd(command) {
            panic!("{command:?} answered {reply:?}");
        }
        let mut child = self.child.take().expect("the server is stopped");
        wait_until("the server has shut down", PATIENCE, || {
            child.try_wait().unwrap().is_some()
        });
        let status = child.wait().unwrap();
        assert!(
            status.success(),
            "the server shut down with {status}; its log ends:\n{}",
            self.log_tail()
        );
    }

    /// kill -9: what was not synced is lost.
    pub fn kill9(&mut self) {
        self.end();
    }

    /// Kills the process if there is one, and says how it ended: by our SIGKILL, unless it was quicker.
    fn end(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        child.kill().unwrap();
        Some(child.wait().unwrap())
    }

    /// Starts again after `stop` or `kill9`: same directory, same port, and the configuration file as it is by then.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server is running");
        self.launch()
            .unwrap_or_else(|log| panic!("the server did not start again; its log ends:\n{log}"));
    }

    /// `stop` and `start_again`.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Starts again after `stop` or `kill9` with the configuration changed.
    #[track_caller]
    pub fn start_again_with(&mut self, change: impl FnOnce(Builder) -> Builder) {
        self.builder = change(self.builder.clone());
        self.write_config();
        self.start_again();
    }

    /// SIGSTOP: the server is there but does nothing, as one that hangs. `thaw` ends it.
    pub fn freeze(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        // SAFETY: no memory is involved; the process is a child not yet waited for, so the id is its own.
        unsafe { libc::kill(self.pid() as i32, signal) };
    }

    /// For tests that crash it on purpose: no failure on drop.
    pub fn expect_crash(&mut self) {
        self.may_crash = true;
    }

    fn log_path(&self) -> PathBuf {
        self.dir.0.join("server.log")
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        // Of a crash the beginning matters: what follows is a dump of everything.
        let crash = lines
            .iter()
            .position(|line| CRASHES.iter().any(|mark| line.contains(mark)));
        let end = crash.map_or(lines.len(), |at| lines.len().min(at + 60));
        lines[end.saturating_sub(80)..end].join("\n")
    }

    fn write_config(&mut self) {
        if self.builder.module.is_some() {
            self.builder.module = Some(module());
        }
        fs::write(
            self.dir.0.join("server.conf"),
            self.builder.config_file(self.port),
        )
        .unwrap();
    }

    /// Starts the process and waits until it has loaded its data; the error is the end of its log.
    fn launch(&mut self) -> Result<(), String> {
        let mut command = self.builder.kind.command();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap();
        command
            .envs(self.builder.env.iter().map(|(name, value)| (name, value)))
            .arg("server.conf")
            .current_dir(&self.dir.0)
            .stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        if self.builder.sentinel {
            command.arg("--sentinel");
        }
        let mut child = spawn(command).expect("spawn the server");
        let mut alive = true;
        wait_until(
            &format!("{:?} on port {} is ready", self.builder.kind, self.port),
            2 * PATIENCE,
            || {
                alive = child.try_wait().unwrap().is_none();
                !alive || is_ready(self.port, child.id())
            },
        );
        if !alive {
            return Err(self.log_tail());
        }
        self.child = Some(child);
        Ok(())
    }
}

/// Whether the process that answers on the port is the one meant, and done loading.
fn is_ready(port: u16, pid: u32) -> bool {
    let Ok(mut client) = Client::try_connect(port) else {
        return false;
    };
    match client.try_cmd(&["INFO"]) {
        Ok(Value::Error(e)) => e.starts_with("NOAUTH"),
        Ok(reply) => {
            let info = parse_info(&reply.text());
            info["process_id"] == pid.to_string()
                && info.get("loading").is_none_or(|loading| loading == "0")
        }
        Err(_) => false,
    }
}

impl From<&Server> for u16 {
    fn from(server: &Server) -> u16 {
        server.port()
    }
}

/// What a log holds when something went wrong that no test should overlook.
const CRASHES: [&str; 6] = [
    "BUG REPORT START",
    "ASSERTION FAILED",
    "Guru Meditation",
    "panicked at",
    "AddressSanitizer",
    "runtime error:",
];

impl Drop for Server {
    fn drop(&mut self) {
        let died = self
            .end()
            .filter(|status| status.signal() != Some(libc::SIGKILL));
        let log = self.log();
        let crash = CRASHES.iter().find(|mark| log.contains(*mark));
        if std::thread::panicking() {
            eprintln!(
                "---- {:?} on port {}; its log ends:\n{}",
                self.builder.kind,
                self.port,
                self.log_tail()
            );
        } else if !self.may_crash && (died.is_some() || crash.is_some()) {
            panic!(
                "{:?} on port {} crashed ({crash:?}, {died:?}); its log ends:\n{}",
                self.builder.kind,
                self.port,
                self.log_tail()
            );
        }
    }
}

/// A directory that goes when its server goes.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent =
            option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| sweep(&parent));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("modq-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if std::env::var_os("MODQ_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.0);
        } else {
            eprintln!("kept {}", self.0.display());
        }
    }
}

/// Removes the directories of test processes that were killed before they could.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let owner = name
            .strip_prefix("modq-")
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A port that is free together with the one after it, below those the system gives to outgoing connections.
fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU32::new(std::process::id().wrapping_mul(37)));
    let candidates =
        (0..6000).map(|_| 20000 + 2 * (next.fetch_add(1, Ordering::Relaxed) % 6000) as u16);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    candidates
        .into_iter()
        .find(|&port| free(port) && free(port + 1))
        .expect("a free port")
}

/// Starts a process that dies with this one. The kernel ties that to the thread that forked, and test threads end, so
/// one thread that never ends does all the forking.
fn spawn(mut command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    // SAFETY: prctl is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(
            || match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            },
        )
    };
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, todo) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            todo.iter()
                .for_each(|(mut command, done)| drop(done.send(command.spawn())))
        });
        Mutex::new(jobs)
    });
    let (done, child) = mpsc::channel();
    spawner
        .lock()
        .unwrap()
        .send((command, done))
        .expect("the spawner lives");
    child.recv().expect("the spawner answers")
}
