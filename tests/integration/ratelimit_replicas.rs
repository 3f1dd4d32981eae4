//! RATELIMIT: replicas end up with what the primary has, through every command, a chain, a full synchronisation and a
//! failover; and answer what a replica may answer.

use super::ratelimit_kit::*;
use modq_testkit::*;

/// All policies of a server.
fn policies(c: &mut Client) -> Vec<Value> {
    let names = c.line("RATELIMIT.POLICY LIST");
    let names = names.items().iter();
    names
        .flat_map(|name| [name.clone(), cmd!(c, "RATELIMIT.POLICY", "GET", name)])
        .collect()
}

/// Asserts that two servers hold the same: data, expiries, policies.
#[track_caller]
fn assert_same(a: &Server, b: &Server) {
    let (mut a, mut b) = (a.client(), b.client());
    let keys = a.line("KEYS *");
    for key in keys.items() {
        for ask in ["PEXPIRETIME", "TYPE", "DUMP"] {
            assert_eq!(cmd!(a, ask, key), cmd!(b, ask, key), "{ask} {key:?}");
        }
        assert_eq!(
            digest(&mut a, key.bytes()),
            digest(&mut b, key.bytes()),
            "{key:?}"
        );
    }
    assert_eq!(debug_digest(&mut a), debug_digest(&mut b));
    assert_eq!(policies(&mut a), policies(&mut b));
}

/// One random command; those of limiters mostly, some of them wrong.
fn random_command(r: &mut Random) -> String {
    let key = format!("k{}", r.below(12));
    let lease = format!("l{}", r.below(3));
    // Windows either so short that they pass during the test, or so long that they do not.
    let window = r.pick(&[7, 30, 3_600_000, 3_700_000]);
    let (quota, cost) = (r.below(30) + 1, r.below(12));
    let algo = *r.pick(&ALGOS);
    let id = r.below(30);
    let mut limits = format!("{quota} {window} ALGO {algo}");
    if algo == "GCRA" && r.below(2) == 0 {
        limits += &format!(" BURST {}", r.below(40) + 1);
    }
    if r.below(3) == 0 {
        limits += &format!(" LIMIT {} 3800000 ALGO {}", r.below(60) + 1, r.pick(&ALGOS));
    }
    match r.below(20) {
        0..=5 => format!("RATELIMIT.CHECK {key} {limits} COST {cost}"),
        6..=8 => format!("RATELIMIT.CHECK {key} {limits} COST {cost} ID r{id}"),
        9 => format!("RATELIMIT.CHECK {key} {limits} COST {cost} PARTIAL ID r{id}"),
        10 => format!(
            "RATELIMIT.MCHECK 2 {key} m{id} LIMIT {quota} {window} ALGO {algo} LIMIT 9 3600000 COST {cost}"
        ),
        11 => format!("RATELIMIT.REFUND {key} COST {cost}"),
        12 | 13 => format!("RATELIMIT.REFUND {key} ID r{id}"),
        14 if r.below(4) == 0 => format!("RATELIMIT.RESET {key}"),
        14 => format!("RATELIMIT.BLOCK {key} {}", r.pick(&[0, 5, 3_600_000])),
        15 | 16 => format!(
            "RATELIMIT.ACQUIRE {lease} 20 h{id} TTL {} COST {}",
            r.pick(&[9, 50, 3_600_000]),
            cost + 1
        ),
        17 => format!("RATELIMIT.RELEASE {lease} h{id}"),
        18 => format!("RATELIMIT.POLICY SET p{} {limits}", r.below(4)),
        _ => match r.below(4) {
            0 => format!("RATELIMIT.POLICY DEL p{}", r.below(4)),
            1 => format!("COPY {key} k{} REPLACE", r.below(12)),
            _ => format!("RATELIMIT.CHECK {key} POLICY p{} COST {cost}", r.below(4)),
        },
    }
}

fn a_random_workload_leaves_all_equal(kind: Kind) {
    let primary = Server::builder(kind).aof().start();
    let replica = Server::builder(kind).aof().replica_of(&primary).start();
    let chained = Server::builder(kind).aof().replica_of(&replica).start();
    wait_replica_synced(&primary, &replica);
    wait_replica_synced(&primary, &chained);
    let mut c = primary.client();
    let mut r = Random::new(7);
    let (mut errors, mut nested) = (0, 0);
    for round in 0..60 {
        let lines: Vec<String> = (0..40).map(|_| random_command(&mut r)).collect();
        let multi = round % 3 == 0;
        if multi {
            c.send(&["MULTI"]);
        }
        lines
            .iter()
            .for_each(|line| c.send(&line.split(' ').collect::<Vec<_>>()));
        if multi {
            c.send(&["EXEC"]);
            (0..=lines.len()).for_each(|_| drop(c.reply()));
            nested += c.reply().items().len();
            continue;
        }
        errors += (0..lines.len())
            .filter(|_| c.reply().err_code() != "")
            .count();
    }
    assert!(
        nested == 800 && errors < 200,
        "{nested} in transactions, {errors} errors"
    );
    // What is short-lived must be gone before what is left can be compared.
    wait_until("only what lives long is left", PATIENCE, || {
        let keys = c.line("KEYS *");
        let lives_long = |key: &Value| cmd!(c, "PTTL", key).int() > 1_000_000;
        keys.items().iter().all(lives_long) && c.line("DBSIZE").int() as usize == keys.items().len()
    });
    assert!(c.line("DBSIZE").int() > 10);
    wait_replica_synced(&primary, &replica);
    wait_replica_synced(&primary, &chained);
    assert_same(&primary, &replica);
    assert_same(&primary, &chained);
    let (mut replica, mut chained) = (replica, chained);
    // Each has written an AOF of its own.
    let (policies_before, digest_before) = (policies(&mut c), debug_digest(&mut c));
    let mut primary = primary;
    primary.kill9();
    for server in [&mut replica, &mut chained] {
        server.kill9();
        server.start_again();
        let mut c = server.client();
        assert_eq!(
            (policies(&mut c), debug_digest(&mut c)),
            (policies_before.clone(), digest_before.clone())
        );
    }
    primary.start_again();
    wait_replica_synced(&primary, &chained);
    assert_same(&primary, &chained);
}

/// What a replica refuses.
const WRITES: [&str; 11] = [
    "RATELIMIT.CHECK one:LOG 100 600000",
    "RATELIMIT.CHECK one:LOG 100 600000 COST 0",
    "RATELIMIT.CHECK one:LOG 1 600000",
    "RATELIMIT.MCHECK 1 one:LOG LIMIT 100 600000",
    "RATELIMIT.REFUND one:LOG COST 1",
    "RATELIMIT.RESET one:LOG",
    "RATELIMIT.BLOCK one:LOG 5",
    "RATELIMIT.ACQUIRE leases 1000 x TTL 1000",
    "RATELIMIT.RELEASE leases holder-0",
    "RATELIMIT.POLICY SET q 5 1000",
    "RATELIMIT.POLICY DEL p",
];

fn a_replica_reads_and_does_not_write(kind: Kind) {
    let primary = Server::start(kind);
    let replica = Server::builder(kind).replica_of(&primary).start();
    let mut c = primary.client();
    fill(&mut c);
    c.expect_ok("RATELIMIT.POLICY SET p 100 600000");
    wait_replica_synced(&primary, &replica);
    let mut r = replica.client();
    let before = debug_digest(&mut r);
    for line in WRITES {
        assert_err!(r.line(line), "READONLY");
    }
    for algo in ALGOS {
        for options in [
            "",
            "COST 0",
            "COST 60",
            "COST 101",
            "PARTIAL COST 70",
            "ID new",
        ] {
            let line = format!("RATELIMIT.PEEK one:{algo} 100 600000 ALGO {algo} {options}");
            let (there, here) = (c.line(&line), r.line(&line));
            assert_eq!(
                ints(&there)[..2],
                ints(&here)[..2],
                "{line}: {there:?} {here:?}"
            );
            let line = format!(
                "RATELIMIT.PEEK ids:{algo} 100 600000 ALGO {algo} ID request-3 COST 9 DETAIL"
            );
            assert_eq!(r.line(&line)[5], Value::Int(3), "known there too");
        }
    }
    assert_eq!(
        r.line("RATELIMIT.PEEK one:LOG POLICY p COST 0")[2],
        Value::Int(57)
    );
    assert_eq!(
        r.line("RATELIMIT.PEEK blocked 5 1000 COST 0")[0],
        Value::Int(0)
    );
    assert_eq!(
        r.line("RATELIMIT.LEASES leases"),
        c.line("RATELIMIT.LEASES leases")
    );
    assert_eq!(policies(&mut r), policies(&mut c));
    assert_eq!(debug_digest(&mut r), before);
}

/// A charge that has expired does not count, though nothing has been applied since.
fn a_replica_judges_by_the_clock(kind: Kind) {
    let primary = Server::start(kind);
    let replica = Server::builder(kind).replica_of(&primary).start();
    wait_replica_synced(&primary, &replica);
    let (mut c, mut r) = (primary.client(), replica.client());
    c.line("RATELIMIT.CHECK short 5 3600000");
    let charged = timed(&mut c, "RATELIMIT.CHECK short 5 100 COST 5");
    wait_replica_synced(&primary, &replica);
    primary.freeze();
    let mut peeked = timed(&mut r, "RATELIMIT.PEEK short 5 100");
    while !peeked.allowed() {
        assert!(peeked.lo < charged.hi + 100, "denied after its time");
        peeked = timed(&mut r, "RATELIMIT.PEEK short 5 100");
    }
    assert!(peeked.hi >= charged.lo + 100);
    primary.thaw();
}

fn a_full_sync_replaces_the_policies(kind: Kind) {
    for load in ["disabled", "swapdb"] {
        let bare = || Server::builder(kind).without_own_modules();
        let primary = bare().config(format!("repl-diskless-load {load}")).start();
        let empty = bare().start();
        // Without a preamble, which Stack's search refuses, policies take another way into the AOF.
        let mut server = bare()
            .aof()
            .config("aof-use-rdb-preamble no")
            .config(format!("repl-diskless-load {load}"))
            .start();
        let (mut p, mut s) = (primary.client(), server.client());
        p.expect_ok("RATELIMIT.POLICY SET a 1 1000");
        p.expect_ok("RATELIMIT.POLICY SET both 2 1000 ALGO GCRA BURST 9");
        fill(&mut p);
        s.expect_ok("RATELIMIT.POLICY SET both 3 1000");
        s.expect_ok("RATELIMIT.POLICY SET own 4 1000");
        s.expect_ok(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
        wait_replica_synced(&primary, &server);
        assert_same(&primary, &server);
        // Its AOF, begun anew after the synchronisation, has them too.
        wait_until("the AOF is begun anew", PATIENCE, || {
            let info = info(&mut s, "persistence");
            info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0"
        });
        server.kill9();
        server.start_again();
        assert_same(&primary, &server);
        let mut s = server.client();
        s.expect_ok(&format!("REPLICAOF 127.0.0.1 {}", empty.port()));
        wait_replica_synced(&empty, &server);
        assert_eq!(policies(&mut s), [], "{load}: also to none");
        assert_eq!(s.line("DBSIZE"), Value::Int(0));
    }
}

fn a_promoted_replica_continues(kind: Kind) {
    let mut primary = Server::start(kind);
    let replica = Server::builder(kind).replica_of(&primary).start();
    let mut c = primary.client();
    c.expect_ok("RATELIMIT.POLICY SET p 5 3600000");
    for algo in ALGOS {
        for _ in 0..5 {
            assert_eq!(
                c.line(&format!("RATELIMIT.CHECK {algo} 5 3600000 ALGO {algo}"))[0],
                Value::Int(1)
            );
        }
        assert_eq!(
            c.line(&format!(
                "RATELIMIT.CHECK id:{algo} 5 3600000 ALGO {algo} ID x COST 2"
            ))[0],
            Value::Int(1)
        );
    }
    let lease = c.line("RATELIMIT.ACQUIRE lease 1 me TTL 3600000");
    let gone = timed(&mut c, "RATELIMIT.ACQUIRE short 1 me TTL 60");
    wait_replica_synced(&primary, &replica);
    primary.kill9();
    let mut c = replica.client();
    c.expect_ok("REPLICAOF NO ONE");
    for algo in ALGOS {
        let denied = c.line(&format!("RATELIMIT.CHECK {algo} 5 3600000 ALGO {algo}"));
        assert_eq!(ints(&denied)[..3], [0, 5, 0], "{algo}");
        let known = c.line(&format!(
            "RATELIMIT.CHECK id:{algo} 5 3600000 ALGO {algo} ID x COST 2"
        ));
        assert_eq!(ints(&known)[..3], [1, 5, 3], "{algo}");
        let charged = c.line(&format!(
            "RATELIMIT.CHECK id:{algo} 5 3600000 ALGO {algo} ID y COST 2"
        ));
        assert_eq!(ints(&charged)[..3], [1, 5, 1], "{algo}");
    }
    assert_eq!(c.line("RATELIMIT.CHECK LOG POLICY p")[0], Value::Int(0));
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE lease 1 you TTL 1000")[0],
        Value::Int(0)
    );
    let renewed = c.line("RATELIMIT.ACQUIRE lease 1 me TTL 3600000");
    assert_eq!(renewed[4], lease[4], "the same fence");
    assert_eq!(c.line("RATELIMIT.RELEASE lease me"), Value::Int(1));
    let next = c.line("RATELIMIT.ACQUIRE lease 1 you TTL 1000");
    assert!(next[4].int() > lease[4].int());
    let mut taken = timed(&mut c, "RATELIMIT.ACQUIRE short 1 you TTL 100000");
    while !taken.allowed() {
        taken = timed(&mut c, "RATELIMIT.ACQUIRE short 1 you TTL 100000");
    }
    assert!(taken.hi >= gone.lo + 60 && taken.at(4) > gone.at(4));
    // The old primary comes back as its replica.
    primary.start_again_with(|b| b.replica_of(&replica));
    wait_replica_synced(&replica, &primary);
    assert_same(&replica, &primary);
}

/// A replica that was away catches up with what it missed, or with all.
fn a_replica_that_was_away(kind: Kind) {
    let primary = Server::start(kind);
    let replica = Server::builder(kind).replica_of(&primary).start();
    let mut c = primary.client();
    fill(&mut c);
    wait_replica_synced(&primary, &replica);
    let syncs = |c: &mut Client| info(c, "stats")["sync_full"].clone();
    let before = syncs(&mut c);
    let id = |c: &mut Client| cmd!(c, "CLIENT", "KILL", "TYPE", "replica").int();
    assert_eq!(id(&mut c), 1);
    for i in 0..50 {
        c.line(&format!(
            "RATELIMIT.CHECK one:LOG 100000 600000 ID away-{i}"
        ));
        c.line(&format!(
            "RATELIMIT.ACQUIRE leases 100000 away-{i} TTL 700000"
        ));
    }
    wait_replica_synced(&primary, &replica);
    assert_eq!(syncs(&mut c), before, "a partial one");
    assert_same(&primary, &replica);
}

matrix!(
    a_random_workload_leaves_all_equal,
    a_replica_reads_and_does_not_write,
    a_replica_judges_by_the_clock,
    a_full_sync_replaces_the_policies,
    a_promoted_replica_continues,
    a_replica_that_was_away,
);
