//! RANK: replicas, chained ones too, have what the primary has, and are sent effects only; ids expire by the timer of
//! the primary.

use modq_testkit::*;

/// One random command, some of them wrong.
fn random_command(r: &mut Random) -> String {
    let key = format!("k{}", r.below(4));
    let member = format!("m{}", r.below(30));
    let score = *r.pick(&[-2, -1, 0, 1, 2, 100, i64::MAX, i64::MIN]);
    let update = *r.pick(&["", "UPDATE SUM", "UPDATE BEST", "UPDATE LAST"]);
    match r.below(20) {
        0..=7 => format!("RANK.ADD {key} {member} {score} {update}"),
        8..=11 => format!(
            "RANK.ADD {key} {member} {score} {update} ID r{}",
            r.below(40)
        ),
        12 => format!("RANK.REM {key} {member}"),
        13 => format!("RANK.REM {key} {member} SCORE {score}"),
        14 => format!(
            "RANK.CREATE {key} TIES {} CAP {}",
            r.pick(&["EARLIEST", "LATEST", "MEMBER"]),
            r.below(9)
        ),
        15 => format!("RANK.CONFIGURE {key} RETRY {}", r.pick(&[0, 1, 600_000])),
        16 => format!("RANK.CLOSE {key} old{}", r.below(40)),
        17 => format!("RANK.IMPORT {key} z"),
        18 => format!("ZADD z {} {member}", r.below(5)),
        _ => format!("PEXPIRE {key} 100000000"),
    }
}

/// Asserts that two servers hold the same.
#[track_caller]
fn assert_same(a: &Server, b: &Server) {
    let (mut a, mut b) = (a.client(), b.client());
    for key in a.line("KEYS *").items() {
        for ask in ["PEXPIRETIME", "TYPE", "DUMP"] {
            assert_eq!(cmd!(a, ask, key), cmd!(b, ask, key), "{ask} {key:?}");
        }
    }
    assert_eq!(debug_digest(&mut a), debug_digest(&mut b));
}

fn a_random_workload_leaves_all_equal(kind: Kind) {
    let mut primary = Server::builder(kind).aof().start();
    let replica = Server::builder(kind).aof().replica_of(&primary).start();
    let chained = Server::builder(kind).replica_of(&replica).start();
    wait_replica_synced(&primary, &replica);
    wait_replica_synced(&primary, &chained);
    let mut c = primary.client();
    let mut r = Random::new(5);
    let mut errors = 0;
    for round in 0..40 {
        let mut lines: Vec<String> = (0..40).map(|_| random_command(&mut r)).collect();
        if round % 3 == 0 {
            lines.insert(0, "MULTI".into());
            lines.push("EXEC".into());
        }
        let replies = c.pipeline(&lines);
        errors += replies
            .iter()
            .filter(|reply| !reply.err_code().is_empty())
            .count();
    }
    assert!(errors > 20, "some are refused");
    // The timer of the primary is done when no id is left that has expired.
    for key in 0..4 {
        c.line(&format!("RANK.CONFIGURE k{key} RETRY 0"));
    }
    wait_until("no ids are left", PATIENCE, || {
        info(&mut c, "modq")["modq_rank_ids"] == "0"
    });
    wait_replica_synced(&primary, &replica);
    wait_replica_synced(&primary, &chained);
    assert_same(&primary, &replica);
    assert_same(&primary, &chained);
    let before = debug_digest(&mut c);
    primary.kill9();
    primary.start_again();
    assert_eq!(
        debug_digest(&mut primary.client()),
        before,
        "the AOF holds the same"
    );
}

fn what_changes_nothing_is_not_replicated(kind: Kind) {
    let server = Server::builder(kind).aof().start();
    let mut c = server.client();
    c.expect_ok("RANK.CREATE b CAP 1");
    c.line("RANK.ADD b m 5 ID x");
    c.line("ZADD z 5 m");
    for line in [
        "RANK.ADD b m 0",
        "RANK.ADD b m 1 UPDATE BEST",
        "RANK.ADD b m 9 ID x",
        "RANK.ADD b n 1",
        "RANK.REM b n",
        "RANK.REM b m SCORE 4",
        "RANK.IMPORT b z",
        "RANK.CONFIGURE b UPDATE SUM",
        "RANK.TOP b 5",
        "RANK.CLOSE none other",
    ] {
        unchanged(&mut c, "b", |c| {
            assert_eq!(c.line(line).err_code(), "", "{line}")
        });
    }
    // An id is recorded even so, and that is replicated.
    changed(&mut c, "b", |c| c.line("RANK.ADD b m 0 ID y"));
    changed(&mut c, "b", |c| c.line("RANK.ADD b n 1 ID z"));
}

fn ids_expire_by_the_timer_of_the_primary(kind: Kind) {
    let primary = Server::start(kind);
    let replica = Server::builder(kind).replica_of(&primary).start();
    wait_replica_synced(&primary, &replica);
    let mut c = primary.client();
    c.expect_ok("RANK.CREATE b RETRY 50");
    let lines: Vec<String> = (0..3000)
        .map(|i| format!("RANK.ADD b m 1 ID r{i}"))
        .collect();
    c.pipeline(&lines);
    wait_until("they are gone", PATIENCE, || {
        c.line("RANK.INFO b").field("ids") == Value::Int(0)
    });
    wait_replica_synced(&primary, &replica);
    let mut far = replica.client();
    assert_eq!(far.line("RANK.INFO b").field("ids"), Value::Int(0));
    assert_eq!(digest(&mut far, "b"), digest(&mut c, "b"));
    // What a replica is told it believes, however late: alone it forgets nothing.
    c.expect_ok("RANK.CONFIGURE b RETRY 600000");
    c.line("RANK.ADD b m 1 ID kept");
    wait_replica_synced(&primary, &replica);
    far.expect_ok("REPLICAOF NO ONE");
    assert_eq!(far.line("RANK.ADD b m 1 ID kept")[0], Value::Int(0));
    // On promotion its timer takes over.
    far.expect_ok("RANK.CONFIGURE b RETRY 1");
    wait_until("it is gone", PATIENCE, || {
        far.line("RANK.INFO b").field("ids") == Value::Int(0)
    });
}

/// Sets the server's clock to so many ms before or after the machine's.
fn set(clock: &Clock, c: &mut Client, ms: i64) {
    clock.set(ms);
    wait_until("the clock is set", PATIENCE, || {
        (server_ms(c) - now_ms() - ms).abs() < 1000
    });
}

fn a_clock_that_was_ahead_keeps_no_id_longer(kind: Kind) {
    let clock = Clock::new();
    let server = Server::builder(kind).with_clock(&clock).start();
    let mut c = server.client();
    let day = 24 * 3600 * 1000;
    set(&clock, &mut c, day);
    let ahead = now_ms() + day;
    assert_eq!(c.line("RANK.ADD b m 1 ID x")[0], Value::Int(1));
    set(&clock, &mut c, 0);
    assert_eq!(c.line("RANK.ADD b m 1 ID x")[0], Value::Int(0));
    assert_eq!(
        c.line("RANK.ADD b m 1")[0],
        Value::Int(1),
        "this restamps it"
    );
    set(&clock, &mut c, 600_001);
    assert_eq!(c.line("RANK.ADD b m 1 ID x"), arr![1, 1, 1, 3]);
    // Stamps go on from the last, however far ahead that is.
    assert!(c.line("RANK.GET b m")[0][2].int() >= ahead - 1000);
}

matrix!(
    a_random_workload_leaves_all_equal,
    what_changes_nothing_is_not_replicated,
    ids_expire_by_the_timer_of_the_primary,
    a_clock_that_was_ahead_keeps_no_id_longer,
);
