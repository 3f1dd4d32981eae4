//! How a server is to be started.

use super::Server;
use super::module::{faulty_module, module};
use super::program::{Kind, Program};
use crate::Clock;
use std::path::PathBuf;

/// Which build of the module a server loads.
#[derive(Clone, Copy, Debug)]
enum Module {
    None,
    UnderTest,
    Faulty,
}

/// How a server is to be started. [`Server::builder`] and [`Server::installed`] make one.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) program: Program,
    config: Vec<String>,
    module: Module,
    module_args: Vec<String>,
    own_modules: bool,
    pub(super) files: Vec<(String, Vec<u8>)>,
    pub(super) sentinel: bool,
    pub(super) env: Vec<(&'static str, PathBuf)>,
}

impl Builder {
    pub(super) fn new(program: Program) -> Builder {
        Builder {
            program,
            config: Vec::new(),
            module: Module::UnderTest,
            module_args: Vec::new(),
            own_modules: true,
            files: Vec::new(),
            sentinel: false,
            env: Vec::new(),
        }
    }

    /// Adds a line to the configuration file; later lines win.
    #[must_use]
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.config.push(line.into());
        self
    }

    /// Adds module arguments.
    #[must_use]
    pub fn module_args(mut self, args: &[&str]) -> Self {
        self.module_args
            .extend(args.iter().map(|arg| arg.to_string()));
        self
    }

    /// Leaves the module under test out.
    #[must_use]
    pub fn without_module(mut self) -> Self {
        self.module = Module::None;
        self
    }

    /// Loads the build of the module that panics when a test asks for it, in place of the usual one.
    #[must_use]
    pub fn faulty_module(mut self) -> Self {
        self.module = Module::Faulty;
        self
    }

    /// Leaves out the modules Redis Stack brings.
    #[must_use]
    pub fn without_own_modules(mut self) -> Self {
        self.own_modules = false;
        self
    }

    /// AOF on, every write synced: nothing answered is lost by [`Server::kill9`].
    #[must_use]
    pub fn aof(self) -> Self {
        self.config("appendonly yes").config("appendfsync always")
    }

    /// Replicates this server.
    #[must_use]
    pub fn replica_of(self, primary: &Server) -> Self {
        self.config(format!("replicaof 127.0.0.1 {}", primary.port()))
    }

    /// In cluster mode; see [`crate::Cluster`].
    #[must_use]
    pub fn cluster(self) -> Self {
        self.config("cluster-enabled yes")
            .config("cluster-node-timeout 5000")
    }

    /// Keeps the server's main thread on one core and all it does in the background on another.
    #[must_use]
    pub fn on_cores(self, main: usize, background: usize) -> Self {
        self.config(format!("server_cpulist {main}"))
            .config(format!("bio_cpulist {background}"))
            .config(format!("bgsave_cpulist {background}"))
    }

    /// Puts a file, such as a stored `dump.rdb`, into the server's directory first.
    #[must_use]
    pub fn file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), bytes.into()));
        self
    }

    /// Goes by this clock instead of the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: &Clock) -> Self {
        self.env = clock.env().into();
        self
    }

    /// As a Sentinel; [`crate::SentinelSetup`] has three of them, with what they watch.
    #[must_use]
    pub fn sentinel(self) -> Self {
        Builder {
            sentinel: true,
            ..self.without_module().without_own_modules()
        }
    }

    /// Starts the server, and returns when it has loaded its data.
    #[track_caller]
    pub fn start(self) -> Server {
        self.try_start()
            .unwrap_or_else(|why| panic!("the server did not start:\n{why}"))
    }

    /// [`Builder::start`] for servers that may refuse to start: the error is the end of the log, or why there is none.
    pub fn try_start(self) -> Result<Server, String> {
        Server::launched(self)
    }

    pub(super) fn config_file(&self, port: u16) -> Result<String, String> {
        let mut lines = vec![
            format!("port {port}"),
            "bind 127.0.0.1".into(),
            "protected-mode no".into(),
        ];
        if !self.sentinel {
            // Ports are handed out in pairs: the second is for the cluster bus.
            lines.push(format!("cluster-port {}", port + 1));
            lines.extend(BASE_CONFIG.lines().map(str::to_owned));
        }
        if self.own_modules {
            lines.extend(self.program.own_modules());
        }
        let path = match self.module {
            Module::None => None,
            Module::UnderTest => Some(module()?),
            Module::Faulty => Some(faulty_module()?),
        };
        if let Some(path) = path {
            let args = self.module_args.join(" ");
            lines.push(format!("loadmodule {} {args}", path.display()));
        }
        lines.extend(self.config.iter().cloned());
        Ok(lines.join("\n") + "\n")
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

impl Server {
    /// One of the servers everything is tested on, with the module, and otherwise as it comes.
    #[must_use]
    pub fn builder(kind: Kind) -> Builder {
        Builder::new(Program::Pinned(kind))
    }

    /// The server of this machine, for programs that people run: `MODQ_SERVER`, or a redis-server of 7.0 or later. With
    /// the module.
    #[must_use]
    pub fn installed() -> Builder {
        Builder::new(Program::Installed)
    }
}
