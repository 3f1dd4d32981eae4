//! RATELIMIT: requests with ids, and what takes back or forbids: REFUND, RESET and BLOCK.

use super::ratelimit_kit::*;
use modq_testkit::*;

/// Whether it was allowed, what is left, and what was granted, of a reply with DETAIL or PARTIAL.
#[track_caller]
fn granted(c: &mut Client, line: &str) -> [i64; 3] {
    let reply = c.line(line);
    [0, 2, 5].map(|i| reply[i].int())
}

fn ids_make_requests_idempotent(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for algo in ALGOS {
        let limit = format!("{algo} 5 60000 ALGO {algo}");
        let line = format!("RATELIMIT.CHECK {limit} COST 3 DETAIL ID");
        assert_eq!(granted(&mut c, &format!("{line} a")), [1, 2, 3], "{algo}");
        let again = format!("{line} a");
        assert_eq!(granted(&mut c, &again), [1, 2, 3], "{algo}: charged once");
        assert_eq!(c.line(&again)[6][0][5], Value::Int(0), "not violated");
        for why in ["another request", "a denial is not remembered"] {
            assert_eq!(c.line(&format!("{line} b"))[0], Value::Int(0), "{why}");
        }
        // Whatever else it asks, a known request is allowed and reports what was granted then.
        let other = format!("RATELIMIT.CHECK {algo} 1 90000 COST 1000 ID a PARTIAL");
        let [allowed, _, then] = granted(&mut c, &other);
        assert_eq!((allowed, then), (1, 3), "{algo}");
        // PARTIAL remembers what it granted.
        for how in ["PARTIAL", "DETAIL"] {
            let part = format!("RATELIMIT.CHECK {limit} COST 4 ID p {how}");
            let [allowed, _, then] = granted(&mut c, &part);
            assert_eq!((allowed, then), (1, 2), "{algo}");
        }
        // COST 0 remembers nothing: the next use of the id charges.
        for (cost, left) in [(0, 5), (2, 3)] {
            let line = format!("RATELIMIT.CHECK z{limit} COST {cost} ID z");
            assert_eq!(c.line(&line)[2], Value::Int(left), "{algo}");
        }
        // BLOCK denies the known too.
        let known = format!("RATELIMIT.CHECK {limit} ID a");
        c.expect_ok(&format!("RATELIMIT.BLOCK {algo} 30000"));
        assert_eq!(ints(&c.line(&known))[..3], [0, 5, 0], "{algo}");
        c.expect_ok(&format!("RATELIMIT.BLOCK {algo} 0"));
        assert_eq!(c.line(&known)[0], Value::Int(1), "{algo}");
    }
}

/// REFUND by id gives back what it charged and forgets it.
fn ids_are_forgotten_when_refunded(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for algo in ALGOS {
        let limit = format!("{algo} 5 60000 ALGO {algo}");
        for (cost, id) in [(3, "a"), (2, "p")] {
            let line = format!("RATELIMIT.CHECK {limit} COST {cost} ID {id}");
            assert_eq!(c.line(&line)[0], Value::Int(1), "{algo}");
        }
        for (id, given_back) in [("a", 3), ("a", 0), ("b", 0)] {
            let refund = c.line(&format!("RATELIMIT.REFUND {algo} ID {id}"));
            assert_eq!(refund, Value::Int(given_back), "{algo} {id}");
        }
        let left = c.line(&format!("RATELIMIT.PEEK {limit} COST 0"));
        assert_eq!(left[2], Value::Int(3), "{algo}");
        let anew = c.line(&format!("RATELIMIT.CHECK {limit} ID a"));
        assert_eq!(anew[2], Value::Int(2), "{algo}: forgotten, so charged anew");
    }
    // An id that stays after all units are given back keeps the key.
    c.line("RATELIMIT.CHECK kept 5 60000 ID i");
    assert_eq!(c.line("RATELIMIT.REFUND kept COST 1"), Value::Int(1));
    assert_eq!(c.line("EXISTS kept"), Value::Int(1));
    assert_eq!(
        c.line("RATELIMIT.REFUND kept ID i"),
        Value::Int(0),
        "as far as it is still there"
    );
    assert_eq!(c.line("EXISTS kept"), Value::Int(0));
}

fn refunds_give_back(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let present = |c: &mut Client, key: &str, limit: &str| {
        c.line(&format!("RATELIMIT.PEEK {key} {limit} COST 0"))[2].int()
    };
    for algo in ALGOS {
        let limits = format!("10 600000 ALGO {algo} LIMIT 20 700000 ALGO {algo}");
        assert_eq!(
            c.line(&format!("RATELIMIT.CHECK {algo} {limits} COST 6"))[0],
            Value::Int(1)
        );
        assert_eq!(
            c.line(&format!(
                "RATELIMIT.CHECK {algo} 20 700000 ALGO {algo} COST 3"
            ))[0],
            Value::Int(1)
        );
        assert_eq!(
            c.line(&format!("RATELIMIT.REFUND {algo} COST 0")),
            Value::Int(0)
        );
        assert_eq!(
            c.line(&format!("RATELIMIT.REFUND {algo} COST 2")),
            Value::Int(2),
            "{algo}"
        );
        assert_eq!(
            present(&mut c, algo, &format!("10 600000 ALGO {algo}")),
            6,
            "{algo}"
        );
        assert_eq!(
            present(&mut c, algo, &format!("20 700000 ALGO {algo}")),
            13,
            "{algo}"
        );
        // The largest of what the limits gave: here 7 of the second, the first had but 4.
        assert_eq!(
            c.line(&format!("RATELIMIT.REFUND {algo} COST 100")),
            Value::Int(7),
            "{algo}"
        );
        assert_eq!(
            c.line(&format!("EXISTS {algo}")),
            Value::Int(0),
            "{algo}: nothing is left"
        );
    }
}

fn resets_forget_everything(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for algo in ALGOS {
        let limits = format!("10 600000 ALGO {algo} LIMIT 20 700000 ALGO {algo}");
        assert_eq!(
            c.line(&format!("RATELIMIT.CHECK {algo} {limits} ID i"))[0],
            Value::Int(1)
        );
        c.expect_ok(&format!("RATELIMIT.BLOCK {algo} 100000"));
        assert_eq!(c.line(&format!("RATELIMIT.RESET {algo}")), Value::Int(1));
        assert_eq!(c.line(&format!("RATELIMIT.RESET {algo}")), Value::Int(0));
        let reply = c.line(&format!("RATELIMIT.CHECK {algo} {limits} ID i"));
        assert_eq!(
            (reply[0].int(), reply[2].int()),
            (1, 9),
            "charges, block and id are gone"
        );
    }
}

/// What is left of a log is the oldest.
fn refunds_take_the_newest_first(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let old = timed(&mut c, "RATELIMIT.CHECK order 5 60000 COST 2");
    let_pass(20);
    c.line("RATELIMIT.CHECK order 5 60000 COST 3");
    assert_eq!(c.line("RATELIMIT.REFUND order COST 3"), Value::Int(3));
    let left = timed(&mut c, "RATELIMIT.PEEK order 5 60000 COST 0");
    assert_eq!(left.at(2), 3);
    left.assert_ends("reset", left.at(4), &old, 60_000);
}

fn blocks_deny_everything(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let set = timed(&mut c, "RATELIMIT.BLOCK k 30000");
    assert_eq!(set.reply, ok());
    for line in [
        "RATELIMIT.CHECK k 5 60000",
        "RATELIMIT.PEEK k 5 60000 COST 0",
        "RATELIMIT.CHECK k 5 60000 COST 0 ID i",
    ] {
        let denied = timed(&mut c, line);
        assert_eq!(ints(&denied.reply)[..3], [0, 5, 0], "{line}");
        denied.assert_ends(line, denied.at(3), &set, 30_000);
        assert_eq!(denied.at(4), 0, "{line}: the limit itself is unused");
    }
    let denied = c.line("RATELIMIT.CHECK k 5 60000 COST 9 PARTIAL DETAIL");
    assert_eq!((denied[0].int(), denied[5].int()), (0, 0));
    assert_eq!(denied[6][0][2], Value::Int(0), "remaining");
    assert_eq!(
        c.line("RATELIMIT.CHECK k 5 60000 COST 6")[3],
        Value::Int(-1),
        "-1 is the larger wait"
    );
    c.expect_ok("RATELIMIT.BLOCK k 0");
    assert_eq!(c.line("EXISTS k"), Value::Int(0));

    // The larger of block and wait.
    let full = timed(&mut c, "RATELIMIT.CHECK f 5 60000 COST 5");
    c.expect_ok("RATELIMIT.BLOCK f 30000");
    let denied = timed(&mut c, "RATELIMIT.CHECK f 5 60000");
    denied.assert_ends("the wait", denied.at(3), &full, 60_000);
    let set = timed(&mut c, "RATELIMIT.BLOCK f 90000");
    let denied = timed(&mut c, "RATELIMIT.CHECK f 5 60000");
    denied.assert_ends("the block", denied.at(3), &set, 90_000);
    // A later block takes the place of an earlier one, longer or shorter.
    let set = timed(&mut c, "RATELIMIT.BLOCK f 100");
    assert_eq!(set.reply, ok());
    let mut shorter = timed(&mut c, "RATELIMIT.PEEK f 5 60000 COST 0");
    wait_until("the block is over", PATIENCE, || {
        shorter = timed(&mut c, "RATELIMIT.PEEK f 5 60000 COST 0");
        shorter.allowed()
    });
    assert!(shorter.hi >= set.lo + 100, "not a ms too early");
    // The longest there is.
    c.expect_ok(&format!("RATELIMIT.BLOCK f {MAX}"));
    let denied = c.line("RATELIMIT.CHECK f 5 60000")[3].int();
    assert!((MAX - 60_000..=MAX).contains(&denied), "{denied}");
    assert_eq!(c.line("RATELIMIT.RESET f"), Value::Int(1));
    assert_eq!(
        c.line("RATELIMIT.CHECK f 5 60000"),
        arr![1, 5, 4, 0, 60_000]
    );
}

matrix!(
    ids_make_requests_idempotent,
    ids_are_forgotten_when_refunded,
    refunds_give_back,
    resets_forget_everything,
    refunds_take_the_newest_first,
    blocks_deny_everything,
);
