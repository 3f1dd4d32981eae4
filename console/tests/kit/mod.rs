//! What the console's tests share: a console of its own for each test, a plain HTTP client, and a browser.

#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod browser;
pub mod http;
pub mod living;
pub mod room;

#[allow(unused_imports)]
pub use browser::Browser;
pub use http::Visitor;
#[allow(unused_imports)]
pub use living::Living;

use modq_testkit::{PATIENCE, Process, place, wait_until};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// A console that runs, and ends when this is dropped.
pub struct Console {
    /// None when it has ended. It ends with us, however we end.
    process: Option<Process>,
    pub port: u16,
    /// What it wrote to standard output after its first line: the audit.
    out: Arc<Mutex<String>>,
    /// What it wrote to standard error.
    err: Arc<Mutex<String>>,
}

/// How a console is to be started.
pub struct Setup {
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Setup {
    /// For the server at this port of 127.0.0.1.
    pub fn of(redis: impl Into<u16>) -> Setup {
        Setup::to(&format!("redis://127.0.0.1:{}", redis.into()))
    }

    /// For the server at this address.
    pub fn to(redis: &str) -> Setup {
        Setup {
            args: vec!["--redis".into(), redis.into()],
            env: Vec::new(),
        }
    }

    pub fn arg(mut self, words: &[&str]) -> Setup {
        self.args.extend(words.iter().map(|w| (*w).to_owned()));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.into(), value.into()));
        self
    }

    fn command(&self, listen: &str) -> Command {
        let mut command = Command::new(program());
        let inherited: Vec<String> = std::env::vars()
            .map(|(name, _)| name)
            .filter(|n| n.starts_with("MODQ_CONSOLE"))
            .collect();
        inherited.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.args(["--listen", listen]).args(&self.args);
        command
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub fn start(&self) -> Console {
        self.start_at("127.0.0.1:0")
    }

    #[track_caller]
    pub fn start_at(&self, listen: &str) -> Console {
        let mut process = Process::spawn(self.command(listen)).expect("the console starts");
        let mut lines = BufReader::new(process.take_stdout().expect("its output"));
        let mut first = String::new();
        lines.read_line(&mut first).expect("its first line");
        let port = first
            .split("://")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        let port = port
            .and_then(|address| address.rsplit(':').next())
            .and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no address in {first:?}"));
        let out = kept(lines, |_| {});
        let err = BufReader::new(process.take_stderr().expect("its errors"));
        let err = kept(err, |line| eprintln!("{line}"));
        Console {
            process: Some(process),
            port,
            out,
            err,
        }
    }

    /// Of a console that refuses to start: what it says.
    #[track_caller]
    pub fn refused(&self, listen: &str) -> String {
        let ended = self.command(listen).output().expect("the console ran");
        assert!(!ended.status.success(), "it started");
        String::from_utf8_lossy(&ended.stderr).into_owned()
    }
}

/// Keeps what comes, line by line, for as long as something comes.
fn kept(
    lines: impl BufRead + Send + 'static,
    also: impl Fn(&str) + Send + 'static,
) -> Arc<Mutex<String>> {
    let all = Arc::new(Mutex::new(String::new()));
    let into = all.clone();
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            also(&line);
            into.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    all
}

fn program() -> std::path::PathBuf {
    if let Some(given) = option_env!("CARGO_BIN_EXE_modq-console") {
        return given.into();
    }
    // An example lies in <target>/<profile>/examples.
    let here = std::env::current_exe().expect("this program");
    let profile = here
        .ancestors()
        .nth(2)
        .expect("cargo's directory")
        .to_owned();
    let beside = profile.join("modq-console");
    if beside.exists() {
        beside
    } else {
        place::target().join("debug/modq-console")
    }
}

impl Console {
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Somebody with a cookie jar who is not signed in.
    pub fn visitor(&self) -> Visitor {
        Visitor::new(self.port)
    }

    /// Somebody who signed in by name alone.
    #[track_caller]
    pub fn user(&self, name: &str) -> Visitor {
        let mut visitor = self.visitor();
        visitor.sign_in(name, "");
        visitor
    }

    /// The lines of the audit so far.
    pub fn audit(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    /// What it wrote to standard error so far.
    pub fn said(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    /// Asks it to end as a system would, and waits until it has.
    pub fn stop(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        terminate(process.id());
        wait_until("the console has ended", PATIENCE, || {
            process.ended().is_some()
        });
        self.process = None;
    }
}

fn terminate(pid: u32) {
    let _ = Command::new("kill")
        .args(["-TERM", &pid.to_string()])
        .status();
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }
}

/// Where the set-up puts what only these tests need: `MODQ_CONSOLE_TOOLS`, or `.servers/console`.
pub fn tools() -> std::path::PathBuf {
    let given = std::env::var_os("MODQ_CONSOLE_TOOLS");
    given.map_or_else(|| place::workspace().join(".servers/console"), Into::into)
}

/// Bytes as the console has them in addresses.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
