//! Servers: each on its own port and in its own directory, killed with the test, loud when it crashed.
//!
//! [`Builder`] writes a configuration into a fresh directory, starts the program and waits until it has loaded its data.
//! [`Server`] can be stopped and started again there. Dropping it kills the process, looks at how it ended and at its
//! log, and removes the directory.

mod builder;
mod module;
mod process;
mod program;

pub use builder::Builder;
pub use module::module_path;
pub use process::{Process, end_with_signals};
pub use program::Kind;

use crate::inspect::parse_info;
use crate::place::{Dir, free_port};
use crate::wait::{PATIENCE, comes_true, wait_until};
use crate::{Client, Value};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

/// A running server. Dropping it kills it and fails the test if it had crashed.
#[derive(Debug)]
pub struct Server {
    builder: Builder,
    port: u16,
    process: Option<Process>,
    dir: Dir,
    may_crash: bool,
}

impl Server {
    /// A server with the module, and otherwise as it comes.
    #[track_caller]
    pub fn start(kind: Kind) -> Server {
        Server::builder(kind).start()
    }

    fn launched(builder: Builder) -> Result<Server, String> {
        let said = |e: io::Error| e.to_string();
        let mut server = Server {
            port: 0,
            process: None,
            dir: Dir::new().map_err(said)?,
            builder,
            may_crash: false,
        };
        for (name, bytes) in &server.builder.files {
            let path = server.dir().join(name);
            fs::create_dir_all(path.parent().expect("in the directory")).map_err(said)?;
            fs::write(path, bytes).map_err(said)?;
        }
        loop {
            server.port = free_port();
            server.write_config()?;
            match server.launch() {
                Ok(()) => return Ok(server),
                // Somebody was quicker to take the port we found free.
                Err(log) if log.contains("Address already in use") => {
                    File::create(server.log_path()).map_err(said)?;
                }
                Err(log) => {
                    server.may_crash = true;
                    return Err(log);
                }
            }
        }
    }

    /// The port it listens on, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn cluster_bus_port(&self) -> u16 {
        self.port + 1
    }

    /// The process id, which is also the thread id of its main thread; panics if it is not running.
    #[track_caller]
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server is stopped").id()
    }

    /// Where its files are; gone when the server is dropped.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Everything it has written to stdout and stderr, restarts included.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// A new connection to it.
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
        let status = self.wait_ended();
        assert!(
            status.success(),
            "the server shut down with {status:?}; its log ends:\n{}",
            self.log_tail()
        );
    }

    /// kill -9: what was not synced is lost.
    pub fn kill9(&mut self) {
        self.end();
    }

    /// Kills the process if there is one, and says how it ended.
    fn end(&mut self) -> Option<ExitStatus> {
        Some(self.process.take()?.kill())
    }

    /// Starts again after `stop` or `kill9`: same directory, same port, and the configuration file as it is by then.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server is running");
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
        self.write_config().expect("the configuration is written");
        self.start_again();
    }

    /// SIGSTOP: the server is there but does nothing, as one that hangs. `thaw` ends it.
    pub fn freeze(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// SIGCONT: ends `freeze`.
    pub fn thaw(&self) {
        self.signal(libc::SIGCONT);
    }

    /// A full disk: no file of the server grows beyond so many bytes, and what would exceed them fails (EFBIG). With none
    /// there is room again. Children the server forks have the same limit.
    #[track_caller]
    pub fn limit_files(&self, bytes: Option<u64>) {
        let process = self.process.as_ref().expect("the server is stopped");
        let limited = process.limit_files(bytes.unwrap_or(libc::RLIM_INFINITY));
        limited.expect("a limit that only we have set");
    }

    /// Waits until the server has ended by itself.
    #[track_caller]
    pub fn wait_ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the server is stopped");
        let mut status = None;
        wait_until("the server has ended by itself", PATIENCE, || {
            status = process.ended();
            status.is_some()
        });
        status.expect("just seen")
    }

    #[track_caller]
    fn signal(&self, signal: i32) {
        let process = self.process.as_ref().expect("the server is stopped");
        process.signal(signal);
    }

    /// For tests that crash it on purpose: no failure on drop.
    pub fn expect_crash(&mut self) {
        self.may_crash = true;
    }

    fn log_path(&self) -> PathBuf {
        self.dir().join("server.log")
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

    fn write_config(&self) -> Result<(), String> {
        let text = self.builder.config_file(self.port)?;
        fs::write(self.dir().join("server.conf"), text).map_err(|e| e.to_string())
    }

    /// Starts the process and waits until it has loaded its data; the error is the end of its log.
    fn launch(&mut self) -> Result<(), String> {
        let said = |e: io::Error| e.to_string();
        let mut command = self.builder.program.command()?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(said)?;
        command
            .envs(self.builder.env.iter().map(|(name, value)| (name, value)))
            .arg("server.conf")
            .current_dir(self.dir())
            .stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(said)?).stderr(log);
        if self.builder.sentinel {
            command.arg("--sentinel");
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let mut process = Process::spawn(command).map_err(|e| format!("{program}: {e}"))?;
        let mut alive = true;
        let answered = comes_true(2 * PATIENCE, || {
            alive = process.ended().is_none();
            !alive || is_ready(self.port, process.id())
        });
        if !alive {
            return Err(self.log_tail());
        }
        if !answered {
            process.kill();
            return Err(format!("{}\nand it did not get ready", self.log_tail()));
        }
        self.process = Some(process);
        Ok(())
    }

    /// What it is, for messages.
    fn name(&self) -> String {
        format!("{:?} on port {}", self.builder.program, self.port)
    }
}

/// Whether the process that answers on the port is the one meant, and done loading.
fn is_ready(port: u16, pid: u32) -> bool {
    let reply = Client::try_connect(port).and_then(|mut client| client.try_cmd(&["INFO"]));
    match reply {
        Ok(Value::Error(e)) => e.starts_with("NOAUTH"),
        Ok(reply) => {
            let info = parse_info(&reply.text());
            info.get("process_id") == Some(&pid.to_string())
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
        let killed_by_us = |status: &ExitStatus| status.signal() == Some(libc::SIGKILL);
        let died = self.end().filter(|status| !killed_by_us(status));
        let log = self.log();
        let crash = CRASHES.iter().find(|mark| log.contains(*mark));
        if std::thread::panicking() {
            let (name, tail) = (self.name(), self.log_tail());
            eprintln!("---- {name}; its log ends:\n{tail}");
        } else if !self.may_crash && (died.is_some() || crash.is_some()) {
            let (name, tail) = (self.name(), self.log_tail());
            panic!("{name} crashed ({crash:?}, {died:?}); its log ends:\n{tail}");
        }
    }
}
