//! Fencing tokens never repeat while the process lives, whatever the clock does: across RELEASE, DEL, a restart and a
//! promotion, for queues and for leases.

use modq_testkit::queue::*;
use modq_testkit::*;

matrix!(
    tokens_of_leases_grow_when_the_clock_goes_back,
    tokens_of_queues_grow_when_the_clock_goes_back,
    tokens_grow_across_a_restart_with_the_clock_set_back,
    tokens_grow_across_a_promotion_with_the_clock_behind,
    a_restored_value_cannot_use_up_the_tokens,
    two_queues_give_different_tokens_in_one_command,
    two_queues_give_different_tokens_in_one_tick,
);

/// Back by two minutes, by an hour, by more than half a century.
const BACK: [i64; 3] = [-120_000, -3_600_000, -1_700_000_000_000];

#[track_caller]
fn grows(last: &mut i64, token: i64) {
    assert!(token > *last, "{token} after {last}");
    *last = token;
}

fn fence(c: &mut Client) -> i64 {
    let reply = c.line("RATELIMIT.ACQUIRE lease 5 me TTL 3600000");
    assert_eq!(reply[0], Value::Int(1), "{reply:?}");
    assert_eq!(c.line("RATELIMIT.RELEASE lease me"), Value::Int(1));
    reply[4].int()
}

fn token(c: &mut Client) -> i64 {
    c.line("MODQ.SUBMIT q i p");
    let token = claim(c, "q m NEW").token;
    assert_eq!(c.line("DEL q"), Value::Int(1));
    token
}

fn tokens_of_leases_grow_when_the_clock_goes_back(kind: Kind) {
    let clock = Clock::new();
    let server = Server::builder(kind).with_clock(&clock).start();
    let mut c = server.client();
    let mut last = fence(&mut c);
    for back in BACK {
        set_clock(&mut c, &clock, back);
        // The key is gone after each RELEASE: only the process remembers.
        for _ in 0..50 {
            grows(&mut last, fence(&mut c));
        }
    }
    set_clock(&mut c, &clock, 0);
    grows(&mut last, fence(&mut c));
}

fn tokens_of_queues_grow_when_the_clock_goes_back(kind: Kind) {
    let clock = Clock::new();
    let server = Server::builder(kind).with_clock(&clock).start();
    let mut c = server.client();
    let mut last = token(&mut c);
    for back in BACK {
        set_clock(&mut c, &clock, back);
        for _ in 0..50 {
            grows(&mut last, token(&mut c));
        }
    }
    // A token from before a DEL decides nothing after it.
    c.line("MODQ.SUBMIT q i p");
    let old = claim(&mut c, "q m").token;
    c.line("DEL q");
    c.line("MODQ.SUBMIT q i p");
    claim(&mut c, "q m");
    let stale = c.line(&format!("MODQ.RESOLVE q i {old}"));
    assert_eq!(stale.err_code(), "STALE");
}

fn tokens_grow_across_a_restart_with_the_clock_set_back(kind: Kind) {
    for aof in [false, true] {
        let clock = Clock::new();
        let builder = Server::builder(kind).with_clock(&clock);
        let mut server = if aof { builder.aof() } else { builder }.start();
        let mut c = server.client();
        c.line("MODQ.SUBMIT q i p");
        c.line("MODQ.SUBMIT q j p");
        let mut last = claim(&mut c, "q m").token;
        let reply = c.line("RATELIMIT.ACQUIRE lease 5 me TTL 36000000");
        grows(&mut last, reply[4].int());
        clock.set(-120_000);
        server.stop_saving();
        server.start_again();
        let mut c = server.client();
        // The keys are there; what takes their place gives larger tokens too.
        assert_eq!(c.line("DEL lease q"), Value::Int(2));
        grows(&mut last, fence(&mut c));
        grows(&mut last, token(&mut c));
    }
}

fn tokens_grow_across_a_promotion_with_the_clock_behind(kind: Kind) {
    let behind = Clock::new();
    let primary = Server::start(kind);
    let replica = Server::builder(kind).with_clock(&behind);
    let replica = replica.replica_of(&primary).start();
    wait_link(&primary, &replica);
    let mut c = primary.client();
    let mut last = token(&mut c);
    grows(&mut last, fence(&mut c));
    wait_replica_synced(&primary, &replica);
    // Nothing is left of either key: only the process that was told remembers.
    let mut r = replica.client();
    set_clock(&mut r, &behind, -120_000);
    r.expect_ok("REPLICAOF NO ONE");
    grows(&mut last, token(&mut r));
    grows(&mut last, fence(&mut r));
}

/// A queue with the largest token there can be: what it says holds for it alone.
fn a_restored_value_cannot_use_up_the_tokens(kind: Kind) {
    let clock = Clock::new();
    let server = Server::builder(kind).with_clock(&clock).start();
    let mut c = server.client();
    // From a server whose clock is 200 years ahead.
    let ahead = 200 * 365 * 24 * 3_600_000_i64;
    set_clock(&mut c, &clock, ahead);
    c.line("MODQ.SUBMIT far i p");
    claim(&mut c, "far m");
    let far = c.line("DUMP far");
    let other = Server::start(kind);
    let mut o = other.client();
    let mut last = token(&mut o);
    let restored = cmd!(o, "RESTORE", "far", 0, far.bytes());
    assert_eq!(restored, ok());
    grows(&mut last, token(&mut o));
    let century = 100 * 365 * 24 * 3600 * 1_000_000_i64;
    assert!(last < now_us() + century, "{last}");
}

/// MOVE lets both queues match: an item goes to bob, who waits in `r`, and alice, who may hold one, takes another in `q`.
fn two_queues_give_different_tokens_in_one_command(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("MODQ.CONFIGURE q CAPACITY 1");
    submit(&mut c, "q i p");
    let held = claim(&mut c, "q alice");
    submit(&mut c, "q j p");
    for waits in ["q alice COUNT 2", "r bob"] {
        let reply = c.line(&format!("MODQ.JOIN {waits} TTL 1000000"));
        assert_eq!(reply, simple("WAITING"), "{waits}");
    }
    c.expect_ok(&format!("MODQ.MOVE q r i TOKEN {}", held.token));
    let alice = field(&mut c, "q", "j", "token").int();
    let bob = field(&mut c, "r", "i", "token").int();
    assert!(
        bob > held.token && alice > held.token && alice != bob,
        "{alice} {bob}"
    );
}

fn two_queues_give_different_tokens_in_one_tick(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    // Both locks run out at one time, and both items are taken in the same tick, or in one after the other.
    let queues = ["q", "r"];
    for key in queues {
        submit(&mut c, &format!("{key} i p"));
    }
    let mut lines = vec!["MULTI".to_owned()];
    lines.extend(queues.map(|key| format!("MODQ.CLAIM {key} m LOCK 300")));
    lines.extend(queues.map(|key| format!("MODQ.JOIN {key} waits TTL 1000000")));
    lines.push("EXEC".to_owned());
    c.pipeline(&lines);
    wait_until("both are taken", PATIENCE, || {
        queues.iter().all(|key| {
            let who = field(&mut c, key, "i", "moderator");
            who == bulk("waits")
        })
    });
    let [q, r] = queues.map(|key| field(&mut c, key, "i", "token").int());
    assert_ne!(q, r);
}
