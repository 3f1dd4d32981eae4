//! Memory is full, under every policy there is.

use crate::field::{self, accuse, check};
use crate::journal::{Found, Promise};
use crate::plan::rounds;
use crate::reach::Plain;
use crate::worker::{Worker, under_load};
use modq_testkit::*;

matrix!(
    full_memory_loses_nothing,
    full_memory_under_every_policy_that_evicts
);

const EVICT: [&str; 7] = [
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
];

/// A primary and its replica, and clients; memory is as good as full.
fn full(kind: Kind, policy: &str, tags: &[String]) -> (Server, Server) {
    let server = Server::builder(kind)
        .config(format!("maxmemory-policy {policy}"))
        .start();
    let replica = Server::builder(kind).replica_of(&server).start();
    wait_link(&server, &replica);
    let mut c = server.client();
    field::prepare(&mut c, &tags[0]);
    (server, replica)
}

/// Fills what is left with keys that may go, and lets the clients work on. Answers how often there was no memory.
fn work(server: &Server, crew: &mut [Worker], random: &mut Random) -> u64 {
    let mut c = server.client();
    let used = info_number(&mut c, "memory", "used_memory");
    c.expect_ok(&format!("CONFIG SET maxmemory {}", used + 600_000));
    under_load(
        crew,
        || Plain::new(server),
        |load| {
            let mut full = 0;
            for i in 0..60 {
                load.more(10 + random.below(10));
                let life = random.pick(&["", " PX 3600000"]);
                let reply = c.line(&format!("SET filler{i} {}{life}", "x".repeat(20_000)));
                full += u64::from(reply.err_code() == "OOM");
            }
            full
        },
    )
}

fn same(server: &Server, replica: &Server) {
    let mut c = server.client();
    c.expect_ok("CLIENT PAUSE 100000 WRITE");
    wait_replica_synced(server, replica);
    assert_eq!(debug_digest(&mut replica.client()), debug_digest(&mut c));
    c.expect_ok("CLIENT UNPAUSE");
}

fn full_memory_loses_nothing(kind: Kind) {
    rounds("maxmemory, noeviction", kind, |random| {
        let tags = field::tags(1);
        let (server, replica) = full(kind, "noeviction", &tags);
        let mut crew = Worker::crew(4, &tags, random);
        for _ in 0..2 {
            let refused = work(&server, &mut crew, random);
            assert!(refused > 0, "memory was full");
            same(&server, &replica);
            server.client().expect_ok("CONFIG SET maxmemory 0");
            check(&crew, &tags, |_| server.client(), Promise::All);
        }
        let mut c = server.client();
        assert_eq!(info_number(&mut c, "stats", "evicted_keys"), 0);
    });
}

fn full_memory_under_every_policy_that_evicts(kind: Kind) {
    rounds("maxmemory, evicting", kind, |random| {
        let tags = field::tags(1);
        for policy in EVICT {
            let (server, replica) = full(kind, policy, &tags);
            let mut crew = Worker::crew(3, &tags, random);
            work(&server, &mut crew, random);
            let evicted = info_number(&mut server.client(), "stats", "evicted_keys");
            assert!(evicted > 0, "{policy}: memory was full");
            same(&server, &replica);
            // Whole keys may be gone, so that only what was seen on the way is judged.
            for worker in &mut crew {
                worker.keep_tokens();
            }
            accuse(&crew, &Found::default(), Promise::Prefix);
        }
    });
}
