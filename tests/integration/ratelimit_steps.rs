//! RATELIMIT when the clock is set: ahead and back, and on a replica that takes over with a clock that is behind.

use super::ratelimit_kit::*;
use modq_testkit::*;

const DAY: i64 = 86_400_000;
const WINDOW: i64 = 3000;

/// Sets a clock, and waits until the server has seen it.
#[track_caller]
fn set(clock: &Clock, c: &mut Client, ms: i64) {
    clock.set(ms);
    wait_until("the clock is set", PATIENCE, || {
        (server_ms(c) - now_ms() - ms).abs() < 1000
    });
}

fn check(algo: &str) -> String {
    format!("RATELIMIT.CHECK {algo} 5 {WINDOW} ALGO {algo}")
}

/// Fills all limiters: five are admitted, and not one more. At once, as GCRA's drain all the time.
#[track_caller]
fn fill_all(c: &mut Client, id: &str) {
    for algo in ALGOS {
        let mut lines: Vec<_> = (0..5)
            .map(|i| format!("{} ID {id}{i}", check(algo)))
            .collect();
        lines.push(check(algo));
        let replies = c.pipeline(&lines);
        for (i, reply) in replies[..5].iter().enumerate() {
            assert_eq!(ints(reply)[..3], [1, 5, 4 - i as i64], "{algo}");
        }
        assert_eq!(replies[5][0], Value::Int(0), "{algo}");
    }
}

/// Every limiter is full, and will not be for longer than a window (COUNTER's buckets: and a sixtieth).
#[track_caller]
fn assert_full(c: &mut Client) {
    for algo in ALGOS {
        let reply = c.line(&check(algo));
        assert_eq!(ints(&reply)[..3], [0, 5, 0], "{algo}");
        let most = WINDOW + if algo == "COUNTER" { WINDOW / 60 } else { 0 };
        assert!((1..=most).contains(&reply[4].int()), "{algo}: {reply:?}");
        let left = cmd!(c, "PTTL", algo).int();
        assert!((1..=most).contains(&left), "{algo} goes in {left} ms");
        // What is remembered is known, then as now.
        let reply = c.line(&format!("{} ID request-0", check(algo)));
        assert_eq!(reply[0], Value::Int(1), "{algo}");
    }
}

fn a_step_neither_freezes_nor_lets_through_twice(kind: Kind) {
    let (clock, behind) = (Clock::new(), Clock::new());
    let primary = Server::builder(kind).with_clock(&clock).start();
    let replica = Server::builder(kind).with_clock(&behind);
    let replica = replica.replica_of(&primary).start();
    let mut c = primary.client();
    let equal = |c: &mut Client| {
        wait_replica_synced(&primary, &replica);
        assert_eq!(debug_digest(c), debug_digest(&mut replica.client()));
    };

    set(&clock, &mut c, DAY);
    fill_all(&mut c, "request-");
    set(&clock, &mut c, 0);
    assert_full(&mut c);
    equal(&mut c);
    // A step ahead is time that goes by.
    set(&clock, &mut c, WINDOW + WINDOW / 60);
    fill_all(&mut c, "another-");
    equal(&mut c);
    set(&clock, &mut c, 10 * DAY);
    for algo in ALGOS {
        assert_eq!(cmd!(c, "EXISTS", algo), Value::Int(0), "{algo} is over");
    }

    // Who takes over lives an hour ago.
    set(&clock, &mut c, 0);
    c.line("FLUSHALL");
    fill_all(&mut c, "request-");
    wait_replica_synced(&primary, &replica);
    let mut c = replica.client();
    set(&behind, &mut c, -3_600_000);
    c.expect_ok("REPLICAOF NO ONE");
    assert_full(&mut c);
    set(&behind, &mut c, -3_600_000 + WINDOW + WINDOW / 60);
    fill_all(&mut c, "another-");
}

/// Thousands of remembered requests are restamped little by little, the same on a replica and after a reload.
fn many_ids_from_the_future(kind: Kind) {
    let (clock, right) = (Clock::new(), Clock::new());
    let primary = Server::builder(kind).with_clock(&clock).start();
    let replica = Server::builder(kind).with_clock(&right);
    let replica = replica.replica_of(&primary).start();
    let mut c = primary.client();
    set(&clock, &mut c, DAY);
    let line = "RATELIMIT.CHECK k 2500 60000 LIMIT 9000 60000 ALGO GCRA";
    let lines: Vec<_> = (0..2500).map(|i| format!("{line} ID {i}")).collect();
    let replies = c.pipeline(&lines);
    assert!(replies.iter().all(|reply| reply[0] == Value::Int(1)));
    set(&clock, &mut c, 0);
    for denials in 1..=3 {
        assert_eq!(c.line(line)[0], Value::Int(0));
        wait_replica_synced(&primary, &replica);
        let digest = debug_digest(&mut c);
        assert_eq!(digest, debug_digest(&mut replica.client()), "{denials}");
        c.expect_ok("DEBUG RELOAD");
        assert_eq!(digest, debug_digest(&mut c));
        // Not all have had their turn after two.
        let left = c.line("PTTL k").int();
        assert_eq!(left > 60_000, denials < 3, "{left} after {denials}");
    }
    // All that they charged is there to be given back.
    for id in [0, 1, 1250, 2499] {
        let refund = c.line(&format!("RATELIMIT.REFUND k ID {id}"));
        assert_eq!(refund, Value::Int(1), "{id}");
        assert_eq!(c.line(line)[0], Value::Int(1), "{id}");
    }
}

matrix!(
    a_step_neither_freezes_nor_lets_through_twice,
    many_ids_from_the_future,
);
