//! A server of our own: on a free port, in a temporary directory, gone when this process goes, however it goes.

use super::Client;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What a signal has to clean up: the process, and where its files are.
static RUNNING: Mutex<Vec<(i32, PathBuf)>> = Mutex::new(Vec::new());

/// The module: `MODQ_SO`, or cargo's release build beside this program, which must not be older than its sources.
pub fn module() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("MODQ_SO") {
        return Ok(path.into());
    }
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let target = program.ancestors().nth(2).ok_or("where is this program?")?;
    let path = target.join("libmodq.so");
    let modified = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
    let built = modified(&path).map_err(|e| format!("{}: {e}; run: make build", path.display()))?;
    let sources = fs::read_to_string(path.with_extension("d")).unwrap_or_default();
    let newer = sources
        .split_whitespace()
        .skip(1)
        .find(|source| modified(Path::new(source)).is_ok_and(|t| t > built));
    match newer {
        Some(newer) => Err(format!(
            "{} is older than {newer}; run: make build",
            path.display()
        )),
        None => Ok(path),
    }
}

/// The server's program, and the name to call it by: `MODQ_SERVER`, or Debian's redis-server, which in package
/// redis-tools is there as redis-check-rdb only.
fn binary() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("MODQ_SERVER") {
        return Ok(path.into());
    }
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&on_path)
        .map(|dir| dir.join("redis-server"))
        .chain(["/usr/bin/redis-server", "/usr/bin/redis-check-rdb"].map(PathBuf::from));
    let is_recent = |path: &PathBuf| {
        let said = Command::new(path)
            .arg0("redis-server")
            .arg("--version")
            .output();
        let said = said.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
        let version = said.ok().and_then(|text| {
            let (_, rest) = text.split_once("v=")?;
            rest.split('.').next()?.parse::<u32>().ok()
        });
        version.is_some_and(|major| major >= 7)
    };
    candidates
        .into_iter()
        .find(|path| path.exists() && is_recent(path))
        .ok_or_else(|| "no redis-server 7.0 or later; run: make setup".into())
}

/// What the directories are called, before the id of the process they belong to.
const DIR: &str = "modq-own-";

/// Removes the directories of processes that were killed before they could.
fn sweep() {
    let entries = fs::read_dir(std::env::temp_dir());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let owner = name.strip_prefix(DIR).and_then(|id| id.parse::<u32>().ok());
        if owner.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

pub struct Server {
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Server {
    /// Starts it with lines of configuration, and waits until it answers. To be called on the main thread: the
    /// server dies with the thread that started it.
    pub fn start(config: &[String]) -> Result<Server, String> {
        let io = |e: std::io::Error| e.to_string();
        sweep();
        let dir = std::env::temp_dir().join(format!("{DIR}{}", std::process::id()));
        fs::create_dir_all(&dir).map_err(io)?;
        let binary = binary()?;
        // Somebody may take the port between our finding it free and the server's binding it: try again.
        for _ in 0..5 {
            let port = free_port().map_err(io)?;
            let lines = [
                format!("port {port}"),
                "bind 127.0.0.1".into(),
                "save \"\"".into(),
                "appendonly no".into(),
                "enable-debug-command local".into(),
                "enable-protected-configs local".into(),
            ];
            let text = [&lines[..], config].concat().join("\n") + "\n";
            fs::write(dir.join("server.conf"), text).map_err(io)?;
            let log = fs::File::create(dir.join("server.log")).map_err(io)?;
            let mut command = Command::new(&binary);
            command.arg0("redis-server").arg("server.conf");
            command.current_dir(&dir).stdin(Stdio::null());
            command.stdout(log.try_clone().map_err(io)?).stderr(log);
            // A group of its own, so that Ctrl-C reaches only us, who then clean up.
            command.process_group(0);
            // SAFETY: both calls are async-signal-safe and touch only memory on this stack.
            unsafe {
                command.pre_exec(|| {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    let none = signals(&[]);
                    libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
                    Ok(())
                });
            }
            let child = command
                .spawn()
                .map_err(|e| format!("{}: {e}", binary.display()))?;
            RUNNING
                .lock()
                .unwrap()
                .push((child.id() as i32, dir.clone()));
            let mut server = Server {
                child,
                port,
                dir: dir.clone(),
            };
            if server.answers() {
                return Ok(server);
            }
            let said = fs::read_to_string(dir.join("server.log")).unwrap_or_default();
            if !said.contains("Address already in use") {
                return Err(format!("the server did not start:\n{said}"));
            }
        }
        Err("found no free port".into())
    }

    fn answers(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            if let Ok(mut client) = Client::try_connect(self.port) {
                if client
                    .try_cmd(&["INFO", "server"])
                    .is_ok_and(|info| info.text().contains(&format!("process_id:{}", self.pid())))
                {
                    return true;
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Also the thread id of its main thread.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(|e| e.into_inner());
        let crashed = matches!(self.child.try_wait(), Ok(Some(_)));
        if crashed {
            let log = fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
            eprintln!("the server ended by itself; its log:\n{log}");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        running.retain(|(pid, _)| *pid != self.pid());
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn free_port() -> std::io::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

fn signals(which: &[i32]) -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set, which is plain bits.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for &signal in which {
            libc::sigaddset(&mut set, signal);
        }
        set
    }
}

/// Makes Ctrl-C and the like end this program with its servers and their files. To be called before any thread starts.
pub fn end_with_signals() {
    let set = signals(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP]);
    // SAFETY: a valid set; threads started later inherit the mask, so that only the thread below gets the signals.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    std::thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: a valid set and a place for the answer.
        unsafe { libc::sigwait(&set, &mut signal) };
        // Held until the end: no server can be started or waited for meanwhile.
        let running = RUNNING.lock().unwrap_or_else(|e| e.into_inner());
        for (pid, dir) in running.iter() {
            // SAFETY: no memory is involved; the process is ours and not waited for while it is listed.
            unsafe { libc::kill(*pid, libc::SIGKILL) };
            let _ = fs::remove_dir_all(dir);
        }
        eprintln!();
        std::process::exit(128 + signal);
    });
}
