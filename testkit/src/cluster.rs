//! A Redis Cluster of primaries on this machine: its slots can be moved, and a client finds them again.

use crate::wait::{PATIENCE, wait_until};
use crate::{Builder, Client, Kind, Server, Value, ok, parse_info};
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

const SLOTS: usize = 16384;

/// Primaries with the slots shared out evenly, in order of their index.
#[derive(Debug)]
pub struct Cluster {
    /// The servers.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// A cluster of `n` servers with the module.
    #[track_caller]
    pub fn start(n: usize, kind: Kind) -> Cluster {
        Cluster::start_with(n, kind, |node| node)
    }

    /// `setup` adds to what every node is started with.
    #[track_caller]
    pub fn start_with(n: usize, kind: Kind, setup: impl Fn(Builder) -> Builder) -> Cluster {
        let nodes: Vec<Server> = (0..n)
            .map(|_| setup(Server::builder(kind).cluster()).start())
            .collect();
        for (i, node) in nodes.iter().enumerate() {
            let mut client = node.client();
            client.expect_ok(&format!("CLUSTER SET-CONFIG-EPOCH {}", i + 1));
            client.expect_ok(&format!(
                "CLUSTER ADDSLOTSRANGE {} {}",
                i * SLOTS / n,
                (i + 1) * SLOTS / n - 1
            ));
            if i > 0 {
                client.expect_ok(&format!(
                    "CLUSTER MEET 127.0.0.1 {} {}",
                    nodes[0].port(),
                    nodes[0].cluster_bus_port()
                ));
            }
        }
        let cluster = Cluster { nodes };
        wait_until("all nodes agree on the slots", PATIENCE, || {
            cluster.nodes.iter().all(|node| cluster.agrees(node))
        });
        cluster
    }

    fn agrees(&self, node: &Server) -> bool {
        let state = parse_info(&node.client().line("CLUSTER INFO").text());
        state["cluster_state"] == "ok"
            && state["cluster_known_nodes"] == self.nodes.len().to_string()
    }

    /// The node that owns a key now.
    #[track_caller]
    pub fn owner(&self, key: impl AsRef<[u8]>) -> &Server {
        let slot = self.slot(key);
        let ranges = self.nodes[0].client().line("CLUSTER SLOTS");
        let range = ranges
            .items()
            .iter()
            .find(|range| (range[0].int()..=range[1].int()).contains(&slot));
        let port = range.expect("the slot has an owner")[2][1].int();
        self.nodes
            .iter()
            .find(|node| i64::from(node.port()) == port)
            .expect("the owner is one of ours")
    }

    /// A client of the node that owns a key now.
    #[track_caller]
    pub fn client_for(&self, key: impl AsRef<[u8]>) -> Client {
        self.owner(key).client()
    }

    /// The hash slot of a key.
    #[track_caller]
    pub fn slot(&self, key: impl AsRef<[u8]>) -> i64 {
        self.nodes[0]
            .client()
            .cmd(&[b"CLUSTER" as &[u8], b"KEYSLOT", key.as_ref()])
            .int()
    }

    /// The 40-character id of a node.
    #[track_caller]
    pub fn id(node: &Server) -> String {
        node.client().line("CLUSTER MYID").text()
    }

    /// A node that does not own a key now: the first that does not.
    #[track_caller]
    pub fn other_node(&self, key: &str) -> &Server {
        let owner = self.owner(key).port();
        let mut nodes = self.nodes.iter();
        nodes
            .find(|node| node.port() != owner)
            .expect("there is another")
    }

    /// Moves the slot of `key` from its owner to another node, key by key.
    #[track_caller]
    pub fn move_slot(&self, key: &str, to: &Server) {
        let (slot, from) = (self.slot(key), self.owner(key));
        let (from_id, to_id) = (Cluster::id(from), Cluster::id(to));
        let (mut source, mut target) = (from.client(), to.client());
        target.expect_ok(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
        source.expect_ok(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
        loop {
            let keys = source.line(&format!("CLUSTER GETKEYSINSLOT {slot} 1"));
            let Some(key) = keys.items().first() else {
                break;
            };
            let key = key.text();
            let port = to.port();
            let reply = source.line(&format!("MIGRATE 127.0.0.1 {port} {key} 0 10000"));
            // A key that has gone by itself meanwhile needs no moving.
            assert!(
                reply == ok() || reply == Value::Simple("NOKEY".into()),
                "{key}: {reply:?}"
            );
        }
        self.give_slot(slot, to);
    }

    /// Tells every node that a slot is another's, that one first.
    #[track_caller]
    pub fn give_slot(&self, slot: i64, to: &Server) {
        let line = format!("CLUSTER SETSLOT {slot} NODE {}", Cluster::id(to));
        to.client().expect_ok(&line);
        for node in &self.nodes {
            node.client().expect_ok(&line);
        }
        self.wait_agreed();
    }

    /// Waits until all nodes see the same slots and epochs, and no two have one epoch: before that, a node that hears an
    /// old claim to a slot which has come to it gives it up and deletes its keys.
    #[track_caller]
    pub fn wait_agreed(&self) {
        wait_until("all nodes see the same", PATIENCE, || {
            let mut views = self.nodes.iter().map(view);
            let first = views.next().expect("there are nodes");
            let epochs: BTreeSet<&String> = first.iter().map(|node| &node[1]).collect();
            epochs.len() == self.nodes.len() && views.all(|view| view == first)
        });
    }

    /// Moves the slot of `key` as Valkey 9 does: all of it at once. What it sends on the way are our own commands.
    #[track_caller]
    pub fn move_slot_at_once(&self, key: &str, to: &Server) {
        let (slot, id) = (self.slot(key), Cluster::id(to));
        self.owner(key).client().expect_ok(&format!(
            "CLUSTER MIGRATESLOTS SLOTSRANGE {slot} {slot} NODE {id}"
        ));
        wait_until("the slot has moved", PATIENCE, || {
            self.owner(key).port() == to.port()
        });
        self.wait_agreed();
    }
}

/// What a node knows of all: their ids, epochs and slots.
fn view(node: &Server) -> BTreeSet<Vec<String>> {
    let nodes = node.client().line("CLUSTER NODES").text();
    let known = nodes.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let slots = words[8..].iter().filter(|word| !word.starts_with('['));
        let told = [&words[0], &words[6]].into_iter().chain(slots);
        told.map(|word| word.to_string()).collect()
    });
    known.collect()
}

/// A client as libraries for clusters are: follows redirections, tries again where it is told to.
#[derive(Debug)]
pub struct Roamer {
    clients: HashMap<u16, Client>,
    at: u16,
}

impl Roamer {
    /// One that first asks the owner of a key.
    #[track_caller]
    pub fn new(cluster: &Cluster, key: &str) -> Roamer {
        Roamer {
            clients: HashMap::new(),
            at: cluster.owner(key).port(),
        }
    }

    /// A client of the node asked last, for commands that name no key.
    pub fn here(&mut self) -> &mut Client {
        self.client(self.at)
    }

    fn client(&mut self, port: u16) -> &mut Client {
        self.clients
            .entry(port)
            .or_insert_with(|| Client::connect(port))
    }

    /// [`Client::line`], wherever the key is.
    #[track_caller]
    pub fn line(&mut self, line: &str) -> Value {
        self.cmd(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// [`Client::cmd`], wherever the key is.
    #[track_caller]
    pub fn cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        let (mut ask, mut last) = (None, Value::Null);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let port = ask.unwrap_or(self.at);
            let client = self.client(port);
            if ask.take().is_some() {
                client.expect_ok("ASKING");
            }
            let reply = client.cmd(args);
            let redirection = || {
                let Value::Error(text) = &reply else {
                    panic!("{reply:?}")
                };
                text.rsplit(':').next().unwrap().parse::<u16>().unwrap()
            };
            match reply.err_code() {
                "MOVED" => self.at = redirection(),
                "ASK" => ask = Some(redirection()),
                "TRYAGAIN" | "CLUSTERDOWN" => std::thread::yield_now(),
                _ => return reply,
            }
            last = reply;
        }
        let name = args[0].as_ref().escape_ascii();
        panic!("{name} found no node: {last:?}");
    }
}
