//! A Redis Cluster of primaries on this machine.

use crate::wait::{PATIENCE, wait_until};
use crate::{Builder, Client, Kind, Server, parse_info};

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
}
