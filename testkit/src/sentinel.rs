//! A primary with two replicas under the watch of three Sentinels.
//!
//! A Sentinel that gives a server another role closes all of its ordinary connections in the same step. So who looks
//! whether a server has its new role connects anew each time, and who works on the new primary connects after that.

use crate::wait::{PATIENCE, wait_replica_synced, wait_until};
use crate::{Builder, Client, Kind, Reconnecting, Server, Value};
use std::io;
use std::time::Duration;

/// The name the Sentinels know the primary by.
const NAME: &str = "modq";

/// A primary with two replicas under the watch of three Sentinels.
#[derive(Debug)]
pub struct SentinelSetup {
    /// The data servers; the first starts as primary.
    pub nodes: Vec<Server>,
    /// The Sentinels.
    pub sentinels: Vec<Server>,
}

impl SentinelSetup {
    /// All of them, in touch with each other; the data servers have the module.
    #[track_caller]
    pub fn start(kind: Kind) -> SentinelSetup {
        SentinelSetup::start_with(kind, |node| node)
    }

    /// `setup` adds to what every data server is started with.
    #[track_caller]
    pub fn start_with(kind: Kind, setup: impl Fn(Builder) -> Builder) -> SentinelSetup {
        let primary = setup(Server::builder(kind)).start();
        let replicas = [(); 2].map(|()| setup(Server::builder(kind).replica_of(&primary)).start());
        replicas
            .iter()
            .for_each(|replica| wait_replica_synced(&primary, replica));
        let sentinels: Vec<Server> = (0..3).map(|_| sentinel(kind, &primary).start()).collect();
        let setup = SentinelSetup {
            nodes: [primary].into_iter().chain(replicas).collect(),
            sentinels,
        };
        wait_until(
            "the sentinels know each other and the replicas",
            PATIENCE,
            || {
                setup.sentinels.iter().all(|sentinel| {
                    let known = sentinel.client().line(&format!("SENTINEL MASTER {NAME}"));
                    known.field("num-slaves").text() == "2"
                        && known.field("num-other-sentinels").text() == "2"
                })
            },
        );
        setup
    }

    /// The data server the first Sentinel takes for the primary.
    #[track_caller]
    pub fn primary(&self) -> &Server {
        let port = known(&self.sentinels[0]);
        self.nodes
            .iter()
            .find(|node| node.port() == port)
            .expect("the primary is one of ours")
    }

    /// Waits until all Sentinels agree on a primary other than `old`, and it says so itself.
    #[track_caller]
    pub fn wait_failover(&self, old: u16) -> &Server {
        wait_until("the sentinels have a new primary", 4 * PATIENCE, || {
            let primary = self.primary();
            primary.port() != old
                && role(primary).as_deref() == Some("master")
                && self.sentinels.iter().all(|s| known(s) == primary.port())
        });
        self.primary()
    }

    /// Waits until a data server, such as an old primary that came back, follows the primary and has all of it.
    #[track_caller]
    pub fn wait_follows(&self, node: &Server) {
        wait_until("it is a replica", 2 * PATIENCE, || {
            role(node).as_deref() == Some("slave")
        });
        wait_replica_synced(self.primary(), node);
    }
}

/// A client that asks the Sentinels where the primary is, and takes as done only what all replicas have: from the first
/// primary both, from a later one that which is left.
#[derive(Debug)]
pub struct Follower {
    sentinels: Vec<u16>,
    first: u16,
    replicas: i64,
    client: Option<(u16, Client)>,
}

impl Follower {
    /// Of the primary the setup has at any time.
    #[must_use]
    pub fn new(setup: &SentinelSetup) -> Follower {
        Follower {
            sentinels: setup.sentinels.iter().map(Server::port).collect(),
            first: setup.primary().port(),
            replicas: setup.nodes.len() as i64 - 1,
            client: None,
        }
    }

    /// Another client of the same.
    #[must_use]
    pub fn another(&self) -> Follower {
        Follower {
            sentinels: self.sentinels.clone(),
            client: None,
            ..*self
        }
    }

    /// Connects to the primary if need be; whether there is a connection.
    pub fn find(&mut self) -> bool {
        if self.client.is_none() {
            let sentinels = self.sentinels.iter();
            let mut clients = sentinels.filter_map(|&sentinel| primary_by(sentinel));
            self.client = clients.next();
        }
        self.client.is_some()
    }

    /// A command's reply; an error of this side if it is not known whether it ran, or whether all replicas have it.
    /// After [`Follower::find`].
    pub fn try_cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        let (port, mut client) = self.client.take().ok_or(io::ErrorKind::NotConnected)?;
        let reply = client.try_cmd(args)?;
        if reply.err_code() == "READONLY" {
            return Ok(reply);
        }
        // Where another has become primary, the first may be gone.
        let others = self.replicas - i64::from(port != self.first);
        let there = client.try_cmd(&["WAIT", &others.to_string(), "2000"])?;
        if !matches!(there, Value::Int(n) if n >= others) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.client = Some((port, client));
        Ok(reply)
    }
}

/// A connection to the primary as one Sentinel knows it, if all are there. Who hangs is left alone after a while.
fn primary_by(sentinel: u16) -> Option<(u16, Client)> {
    let line = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}");
    let address = Reconnecting::new(sentinel).try_line(&line)?;
    let port = address[1].text().parse().ok()?;
    let mut client = Client::try_connect(port).ok()?;
    client.set_timeout(Duration::from_secs(4));
    Some((port, client))
}

/// What a server says it is; none if the connection was closed on the way.
fn role(node: &Server) -> Option<String> {
    let reply = Reconnecting::new(node).try_line("ROLE")?;
    Some(reply[0].text())
}

/// The port of the primary as one Sentinel knows it.
fn known(sentinel: &Server) -> u16 {
    let address = sentinel
        .client()
        .line(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}"));
    address[1].text().parse().expect("a port")
}

/// A Sentinel that takes a primary for down after 3 s: quick for a test, and more than a busy machine stalls a server.
fn sentinel(kind: Kind, primary: &Server) -> Builder {
    Server::builder(kind)
        .sentinel()
        .config(format!(
            "sentinel monitor {NAME} 127.0.0.1 {} 2",
            primary.port()
        ))
        .config(format!("sentinel down-after-milliseconds {NAME} 3000"))
        .config(format!("sentinel failover-timeout {NAME} 10000"))
        .config(format!("sentinel parallel-syncs {NAME} 2"))
}
