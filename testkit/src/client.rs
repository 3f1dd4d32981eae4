//! A blocking client that shows replies as they come off the wire. Anything unexpected, a timeout included, panics
//! with what was being waited for.

use crate::resp::{Value, ok};
use crate::wire;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a reply may take unless `set_timeout` says otherwise.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// The same under a program that slows the server down (see `MODQ_WRAP` in `server/program.rs`).
fn reply_timeout() -> Duration {
    match std::env::var_os("MODQ_WRAP") {
        None => REPLY_TIMEOUT,
        Some(_) => REPLY_TIMEOUT * 12,
    }
}

/// One connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    /// Pushes that arrived while `cmd` waited for its reply.
    pushes: VecDeque<Value>,
    /// The last command sent, for messages.
    last: String,
}

impl Client {
    /// Connects to a port of 127.0.0.1 (`&Server` will do), speaking RESP2.
    #[track_caller]
    pub fn connect(to: impl Into<u16>) -> Client {
        let port = to.into();
        Client::try_connect(port).unwrap_or_else(|e| panic!("cannot connect to port {port}: {e}"))
    }

    /// The same for when the server may not be there.
    pub fn try_connect(port: u16) -> std::io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(reply_timeout()))?;
        Ok(Client {
            stream: BufReader::new(stream),
            pushes: VecDeque::new(),
            last: String::new(),
        })
    }

    /// Switches to RESP3.
    #[must_use]
    #[track_caller]
    pub fn hello3(mut self) -> Client {
        let reply = self.cmd(&["HELLO", "3"]);
        assert_eq!(reply.field("proto"), Value::Int(3));
        self
    }

    /// How long a reply may take; 10 s unless this says otherwise.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.stream
            .get_ref()
            .set_read_timeout(Some(timeout))
            .unwrap();
    }

    /// Sends a command and reads its reply. Pushes that come before it are kept for `push`.
    #[track_caller]
    pub fn cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.send(args);
        self.reply()
    }

    /// `cmd` of the words of a line: no quoting, no spaces within an argument.
    #[track_caller]
    pub fn line(&mut self, line: &str) -> Value {
        self.cmd(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// `line` for set-up steps: anything but OK fails.
    #[track_caller]
    pub fn expect_ok(&mut self, line: &str) {
        let reply = self.line(line);
        assert_eq!(reply, ok(), "{line}");
    }

    /// `cmd` for when the server may be going away.
    pub fn try_cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> std::io::Result<Value> {
        self.try_send(args)?;
        loop {
            match Value::read(&mut self.stream)? {
                push @ Value::Push(_) => self.pushes.push_back(push),
                value => return Ok(value),
            }
        }
    }

    /// Sends a command without waiting for its reply, to pipeline or to block.
    #[track_caller]
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.try_send(args)
            .unwrap_or_else(|e| panic!("cannot send {}: {e}", self.last));
    }

    /// Sends lines (see `line`) in one piece and reads their replies: the server runs them without a pause between,
    /// so no timer fires in between.
    #[track_caller]
    pub fn pipeline(&mut self, lines: &[impl AsRef<str>]) -> Vec<Value> {
        let words = |line: &str| line.split_whitespace().map(Arg::to_arg).collect();
        let commands: Vec<Vec<Vec<u8>>> = lines.iter().map(|line| words(line.as_ref())).collect();
        self.pipeline_of(&commands)
    }

    /// The same of commands with any arguments.
    #[track_caller]
    pub fn pipeline_of(&mut self, commands: &[Vec<Vec<u8>>]) -> Vec<Value> {
        let bytes: Vec<u8> = commands
            .iter()
            .flat_map(|args| wire::request(args))
            .collect();
        self.last = bytes[..bytes.len().min(200)].escape_ascii().to_string();
        self.send_raw(&bytes).unwrap();
        commands.iter().map(|_| self.reply()).collect()
    }

    fn try_send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> std::io::Result<()> {
        let bytes = wire::request(args);
        self.last = bytes[..bytes.len().min(200)].escape_ascii().to_string();
        self.send_raw(&bytes)
    }

    /// Sends bytes as they are: inline commands, or broken protocol.
    pub fn send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next value on the wire, whatever it is.
    #[track_caller]
    pub fn read(&mut self) -> Value {
        match Value::read(&mut self.stream) {
            Ok(value) => value,
            Err(e) => panic!("no reply after {}: {e}", self.last),
        }
    }

    /// The next value that is not a push; pushes are kept for `push`.
    #[track_caller]
    pub fn reply(&mut self) -> Value {
        loop {
            match self.read() {
                push @ Value::Push(_) => self.pushes.push_back(push),
                value => return value,
            }
        }
    }

    /// The next push message, waiting for it if need be.
    #[track_caller]
    pub fn push(&mut self) -> Value {
        if let Some(push) = self.pushes.pop_front() {
            return push;
        }
        match self.read() {
            push @ Value::Push(_) => push,
            other => panic!("expected a push, got {other:?}"),
        }
    }

    /// A value if one begins to arrive within `patience`: to see that a blocked client stays blocked.
    #[track_caller]
    pub fn poll(&mut self, patience: Duration) -> Option<Value> {
        let usual = self.stream.get_ref().read_timeout().unwrap();
        self.set_timeout(patience);
        let arrived = self.stream.fill_buf().map(<[u8]>::len);
        self.stream.get_ref().set_read_timeout(usual).unwrap();
        match arrived {
            Ok(0) => panic!("connection closed after {}", self.last),
            Ok(_) => Some(self.read()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(e) => panic!("no reply after {}: {e}", self.last),
        }
    }

    /// Whether the server has closed the connection, within the usual timeout.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(e) => e.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// What CLIENT ID says.
    #[track_caller]
    pub fn id(&mut self) -> i64 {
        self.line("CLIENT ID").int()
    }
}

/// A client for servers whose role Sentinels may change: they close all ordinary connections of such a server, and this
/// one then connects anew.
#[derive(Debug)]
pub struct Reconnecting {
    port: u16,
    client: Option<Client>,
}

impl Reconnecting {
    /// Of a port of 127.0.0.1; connects with the first command.
    pub fn new(to: impl Into<u16>) -> Reconnecting {
        Reconnecting {
            port: to.into(),
            client: None,
        }
    }

    /// What [`Client::line`] answers; none if the connection is refused or was closed, so that the command may or may
    /// not have run.
    pub fn try_line(&mut self, line: &str) -> Option<Value> {
        let client = match self.client.take() {
            Some(client) => Ok(client),
            None => Client::try_connect(self.port),
        };
        let mut client = client.ok()?;
        let reply = client.try_cmd(&line.split_whitespace().collect::<Vec<_>>());
        let reply = reply.ok()?;
        self.client = Some(client);
        Some(reply)
    }
}

/// Anything that can be an argument of [`cmd!`](crate::cmd).
pub trait Arg {
    /// Its bytes.
    fn to_arg(&self) -> Vec<u8>;
}

impl<T: Arg + ?Sized> Arg for &T {
    fn to_arg(&self) -> Vec<u8> {
        (**self).to_arg()
    }
}

macro_rules! arg {
    ($($type:ty: $self:ident => $bytes:expr;)*) => {
        $(impl Arg for $type { fn to_arg(&$self) -> Vec<u8> { $bytes } })*
    };
}
arg! {
    str: self => self.into();
    String: self => self.as_bytes().into();
    [u8]: self => self.into();
    Vec<u8>: self => self.clone();
    i32: self => self.to_string().into();
    i64: self => self.to_string().into();
    u16: self => self.to_string().into();
    u64: self => self.to_string().into();
    usize: self => self.to_string().into();
    f64: self => self.to_string().into();
    // An argument taken from an earlier reply: a token, an id.
    Value: self => match self { Value::Int(n) => n.to_string().into(), other => other.bytes().into() };
}

impl<const N: usize> Arg for [u8; N] {
    fn to_arg(&self) -> Vec<u8> {
        self.to_vec()
    }
}

/// Sends one command of mixed arguments and reads its reply: `cmd!(c, "MODQ.RESOLVE", key, "item", token)`.
#[macro_export]
macro_rules! cmd {
    ($client:expr, $($arg:expr),+ $(,)?) => {
        $client.cmd(&[$($crate::Arg::to_arg(&$arg)),+])
    };
}
