//! A chain of replicas whose links break, whose history is taken up again or loaded anew, and whose places change.

use crate::field::{self, check};
use crate::journal::Promise;
use crate::plan::rounds;
use crate::reach::Plain;
use crate::worker::{Load, Worker, under_load};
use modq_testkit::*;

matrix!(a_chain_of_replicas_stays_equal);

/// The primary, its replica, and that one's replica.
struct Chain([Server; 3]);

/// Makes a server a replica of another, unless it is.
fn follow(replica: &Server, of: &Server) {
    let reply = replica
        .client()
        .line(&format!("REPLICAOF 127.0.0.1 {}", of.port()));
    assert!(
        matches!(&reply, Value::Simple(said) if said.starts_with("OK")),
        "{reply:?}"
    );
}

impl Chain {
    fn start(kind: Kind) -> Chain {
        // A small backlog, so that who was away for long has to load everything.
        let node = || Server::builder(kind).config("repl-backlog-size 16kb");
        let one = node().start();
        let two = node().replica_of(&one).start();
        let three = node().replica_of(&two).start();
        wait_link(&one, &two);
        wait_link(&two, &three);
        Chain([one, two, three])
    }

    /// Does something to a link, and waits until all is in order again.
    fn fault(&self, which: u64, load: &Load, random: &mut Random) {
        let [one, two, three] = &self.0;
        let (up, down) = *random.pick(&[(one, two), (two, three)]);
        match which {
            // These go on where they were.
            0 => drop(up.client().line("CLIENT KILL TYPE replica")),
            1 => drop(down.client().line("CLIENT KILL TYPE master")),
            // These may.
            2 => down.client().expect_ok("REPLICAOF NO ONE"),
            3 => follow(three, one),
            // These load everything.
            4 => {
                one.client().expect_ok("DEBUG CHANGE-REPL-ID");
                one.client().line("CLIENT KILL TYPE replica");
            }
            _ => self.left_behind(load, up, down),
        }
        load.more(20);
        follow(two, one);
        follow(three, two);
        wait_link(one, two);
        wait_link(two, three);
    }

    /// The replica hangs and is cut off until what it missed is no longer kept.
    fn left_behind(&self, load: &Load, up: &Server, down: &Server) {
        let offset = || info_number(&mut up.client(), "replication", "master_repl_offset");
        down.freeze();
        up.client().line("CLIENT KILL TYPE replica");
        let start = offset();
        while offset() < start + 40_000 {
            load.more(20);
        }
        down.thaw();
    }

    /// All three hold the same.
    fn compare(&self) {
        let [one, two, three] = &self.0;
        let mut c = one.client();
        c.expect_ok("CLIENT PAUSE 100000 WRITE");
        let keys = c.line("KEYS *");
        for replica in [two, three] {
            wait_replica_synced(one, replica);
            let mut r = replica.client();
            for key in keys.items() {
                let key = key.bytes();
                let name = key.escape_ascii();
                assert_eq!(digest(&mut r, key), digest(&mut c, key), "{name}");
            }
            assert_eq!(debug_digest(&mut r), debug_digest(&mut c));
        }
        c.expect_ok("CLIENT UNPAUSE");
    }
}

fn a_chain_of_replicas_stays_equal(kind: Kind) {
    rounds("replicas", kind, |random| {
        let tags = field::tags(1);
        let chain = Chain::start(kind);
        let one = &chain.0[0];
        field::prepare(&mut one.client(), &tags[0]);
        let mut crew = Worker::crew(3, &tags, random);
        let first = random.below(6);
        for i in 0..6 {
            under_load(
                &mut crew,
                || Plain::new(one),
                |load| {
                    load.more(50 + random.below(300));
                    chain.fault((first + i) % 6, load, random);
                },
            );
            chain.compare();
            check(&crew, &tags, |_| one.client(), Promise::All);
        }
        for server in &chain.0[..2] {
            let count = |field| info_number(&mut server.client(), "stats", field);
            let (full, part) = (count("sync_full"), count("sync_partial_ok"));
            println!(
                "port {}: {full} histories sent whole, {part} in part",
                server.port()
            );
        }
    });
}
