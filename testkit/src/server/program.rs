//! The programs that can be started: the servers everything is tested on, and the one installed on this machine.

use crate::place;
use std::env;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// The servers everything is tested on; `make servers` puts them under `.servers/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Redis 7.0, the oldest supported.
    Redis70,
    /// Redis 8.2.
    Redis82,
    /// Valkey 9.1.
    Valkey91,
    /// Redis Stack 7.4, with its modules loaded beside ours.
    Stack74,
}

impl Kind {
    /// Whether it is Valkey, and not Redis.
    #[must_use]
    pub fn is_valkey(self) -> bool {
        self == Kind::Valkey91
    }

    /// The version of Redis whose commands it has: 70, 74, 82; Valkey, which forked at 7.2, counts as 72.
    #[must_use]
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
        place::workspace().join(".servers").join(name)
    }

    fn command(self) -> Result<Command, String> {
        let binary = self.home().join("bin/server");
        if !binary.exists() {
            let at = binary.display();
            return Err(format!("no {self:?} at {at}; run: make servers"));
        }
        let mut command = wrapped(binary);
        if self == Kind::Stack74 {
            command.env("LD_LIBRARY_PATH", self.home().join("lib"));
        }
        Ok(command)
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

/// A command that runs a server, under the program of `MODQ_WRAP` if that is set: its words, such as those of
/// valgrind (see `scripts/sanitize.sh`).
fn wrapped(binary: PathBuf) -> Command {
    let wrap = env::var("MODQ_WRAP").unwrap_or_default();
    let mut words = wrap.split_whitespace();
    match words.next() {
        None => Command::new(binary),
        Some(program) => {
            let mut command = Command::new(program);
            command.args(words).arg(binary);
            command
        }
    }
}

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// One of those in `.servers/`.
    Pinned(Kind),
    /// See [`installed`].
    Installed,
}

impl Program {
    /// The command to start it with, without arguments.
    pub(super) fn command(self) -> Result<Command, String> {
        match self {
            Program::Pinned(kind) => kind.command(),
            Program::Installed => {
                let mut command = Command::new(installed()?);
                // Debian's goes by the name it is called by.
                command.arg0("redis-server");
                Ok(command)
            }
        }
    }

    /// The `loadmodule` lines of what it comes with.
    pub(super) fn own_modules(self) -> Vec<String> {
        match self {
            Program::Pinned(kind) => kind.own_modules(),
            Program::Installed => Vec::new(),
        }
    }
}

/// `MODQ_SERVER`, or the first redis-server of version 7 or later: on the `PATH`, or Debian's, which in package
/// redis-tools is there as redis-check-rdb only.
fn installed() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("MODQ_SERVER") {
        return Ok(path.into());
    }
    let on_path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&on_path)
        .map(|dir| dir.join("redis-server"))
        .chain(["/usr/bin/redis-server", "/usr/bin/redis-check-rdb"].map(PathBuf::from))
        .find(|path| path.exists() && major_version(path).is_some_and(|major| major >= 7))
        .ok_or_else(|| "no redis-server 7.0 or later; run: make setup".into())
}

fn major_version(program: &PathBuf) -> Option<u32> {
    let said = Command::new(program)
        .arg0("redis-server")
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&said.stdout);
    let (_, rest) = text.split_once("v=")?;
    rest.split('.').next()?.parse().ok()
}
