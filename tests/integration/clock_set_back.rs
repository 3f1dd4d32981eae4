//! A clock that was ahead and is set right: nothing lasts longer by the present clock than was asked, after a restart
//! and on a promoted replica too; a blocked call ends after its BLOCK whatever the clock does.

use modq_testkit::queue::*;
use modq_testkit::*;
use std::time::{Duration, Instant};

matrix!(
    locks_delays_and_registrations_end_without_a_write,
    after_a_restart,
    on_a_promoted_replica,
    blocks_and_leases_of_limits,
    a_blocked_call_ends_after_its_block,
);

/// An hour ahead.
const AHEAD: i64 = 3_600_000;

/// Something of each kind that ends, none of which lasts longer than 300 ms.
fn set_ahead(c: &mut Client) {
    for id in ["claimed", "extended", "put back"] {
        cmd!(c, "MODQ.SUBMIT", "q", id, "p");
    }
    let locks = claims(&c.line("MODQ.CLAIM q m COUNT 3 LOCK 300"));
    assert_eq!(locks.len(), 3);
    let (extended, back) = (locks[1].token, locks[2].token);
    cmd!(c, "MODQ.EXTEND", "q", "extended", extended, 250);
    assert_eq!(
        cmd!(c, "MODQ.RELEASE", "q", "put back", back, "DELAY", 200),
        ok()
    );
    c.line("MODQ.SUBMIT q later p DELAY 200");
    c.line("MODQ.JOIN r n TTL 200");
}

/// What ends takes no more than that by the clock as it is now. Nothing but reads is asked.
fn all_ends(c: &mut Client) {
    wait_until("everything has ended", PATIENCE, || {
        counts(c, "q") == [4, 1, 0, 0] && line_of(c, "r").is_empty()
    });
}

/// Set by the clock as it is: stays as it was asked.
fn set_before(c: &mut Client) -> i64 {
    submit(c, "q before p");
    claim(c, "q other LOCK 7200000").deadline
}

fn deadline_of(c: &mut Client) -> i64 {
    field(c, "q", "before", "deadline").int()
}

fn locks_delays_and_registrations_end_without_a_write(kind: Kind) {
    let clock = Clock::new();
    let server = Server::builder(kind).with_clock(&clock).start();
    let replica = Server::builder(kind).with_clock(&clock);
    let replica = replica.replica_of(&server).start();
    wait_replica_synced(&server, &replica);
    let mut c = server.client();
    c.expect_ok("MODQ.CONFIGURE q EVENTS log");
    let before = set_before(&mut c);
    set_clock(&mut c, &clock, AHEAD);
    set_ahead(&mut c);
    set_clock(&mut c, &clock, 0);
    all_ends(&mut c);
    assert_eq!(deadline_of(&mut c), before);
    wait_replica_synced(&server, &replica);
    assert_eq!(debug_digest(&mut c), debug_digest(&mut replica.client()));
    // Whoever folds the stream knows of the new due times.
    let events = c.line("XRANGE log - +");
    let delays = events.items().iter().filter(|e| e[1][1] == bulk("update"));
    assert_eq!(delays.count(), 2);
}

fn after_a_restart(kind: Kind) {
    for aof in [false, true] {
        let clock = Clock::new();
        let builder = Server::builder(kind).with_clock(&clock);
        let mut server = if aof { builder.aof() } else { builder }.start();
        let mut c = server.client();
        let before = set_before(&mut c);
        set_clock(&mut c, &clock, AHEAD);
        // In one piece, so that nothing ends before the server does.
        c.expect_ok("MULTI");
        c.line("MODQ.SUBMIT q claimed p");
        c.line("MODQ.CLAIM q m LOCK 300");
        c.line("MODQ.SUBMIT q later p DELAY 200");
        c.line("MODQ.JOIN r n TTL 200");
        c.send_raw(b"EXEC\r\n").unwrap();
        assert_eq!(c.read().items().len(), 4);
        clock.set(0);
        server.stop_saving();
        server.start_again();
        let mut c = server.client();
        wait_until("everything has ended", PATIENCE, || {
            counts(&mut c, "q") == [2, 1, 0, 0] && line_of(&mut c, "r").is_empty()
        });
        assert_eq!(deadline_of(&mut c), before);
    }
}

fn on_a_promoted_replica(kind: Kind) {
    let (ahead, right) = (Clock::new(), Clock::new());
    let primary = Server::builder(kind).with_clock(&ahead).start();
    let replica = Server::builder(kind).with_clock(&right);
    let replica = replica.replica_of(&primary).start();
    wait_link(&primary, &replica);
    let mut c = primary.client();
    let before = set_before(&mut c);
    set_clock(&mut c, &ahead, AHEAD);
    for line in [
        "MODQ.SUBMIT q claimed p",
        "MODQ.CLAIM q m LOCK 30000",
        "MODQ.SUBMIT q later p DELAY 30000",
        "MODQ.JOIN r n TTL 30000",
    ] {
        c.line(line);
    }
    wait_replica_synced(&primary, &replica);
    let mut r = replica.client();
    r.expect_ok("REPLICAOF NO ONE");
    let soon = |r: &mut Client, ms: i64| ms <= server_ms(r) + 30_000;
    wait_until("all of it ends in time", PATIENCE, || {
        let deadline = field(&mut r, "q", "claimed", "deadline").int();
        let due = field(&mut r, "q", "later", "due").int();
        soon(&mut r, deadline) && soon(&mut r, due)
    });
    assert_eq!(deadline_of(&mut r), before);
}

fn blocks_and_leases_of_limits(kind: Kind) {
    let clock = Clock::new();
    let mut server = Server::builder(kind).with_clock(&clock).start();
    let replica = Server::builder(kind).with_clock(&clock);
    let replica = replica.replica_of(&server).start();
    wait_replica_synced(&server, &replica);
    for restart in [false, true] {
        let mut c = server.client();
        c.expect_ok("FLUSHALL");
        assert_eq!(
            c.line("RATELIMIT.ACQUIRE lease 2 before TTL 7200000")[0],
            Value::Int(1)
        );
        set_clock(&mut c, &clock, AHEAD);
        c.expect_ok("RATELIMIT.BLOCK blocked 2000");
        assert_eq!(
            c.line("RATELIMIT.ACQUIRE lease 2 ahead TTL 2000")[0],
            Value::Int(1)
        );
        set_clock(&mut c, &clock, 0);
        if restart {
            server.stop_saving();
            server.start_again();
            c = server.client();
        }
        for line in [
            "RATELIMIT.CHECK blocked 5 1000",
            "RATELIMIT.ACQUIRE lease 2 other TTL 9000",
        ] {
            let reply = c.line(line);
            if reply[0] == Value::Int(0) {
                let wait = reply[3].int();
                assert!((1..=2000).contains(&wait), "{line}: {reply:?}");
            }
            // The key itself ends with what is in it.
            let key = line.split(' ').nth(1).unwrap();
            let most = server_ms(&mut c) + 7_200_000;
            assert!(cmd!(c, "PEXPIRETIME", key).int() <= most, "{key}");
            wait_until("it is admitted", PATIENCE, || {
                c.line(line)[0] == Value::Int(1)
            });
        }
        let leases = c.line("RATELIMIT.LEASES lease");
        let ids = leases.items().iter().map(|l| l[0].text());
        assert!(ids.collect::<Vec<_>>().contains(&"before".to_string()));
        wait_replica_synced(&server, &replica);
        let (up, down) = (debug_digest(&mut c), debug_digest(&mut replica.client()));
        assert_eq!(up, down);
    }
}

fn a_blocked_call_ends_after_its_block(kind: Kind) {
    let clock = Clock::new();
    let server = Server::builder(kind).with_clock(&clock).start();
    let mut c = server.client();
    for ahead in [-AHEAD, AHEAD] {
        let mut b = server.client();
        let start = Instant::now();
        block(&mut b, &server, "MODQ.CLAIM q m BLOCK 1500");
        set_clock(&mut c, &clock, ahead);
        assert_eq!(b.reply(), Value::NullArray);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1498), "{took:?}");
        assert_eq!(line_of(&mut c, "q"), "");
        set_clock(&mut c, &clock, 0);
    }
}
