//! What the clock does to a queue while nobody touches it: locks run out, delays come due, wherever the key goes.

use modq_testkit::queue::*;
use modq_testkit::*;

#[track_caller]
fn wait_unlocked(c: &mut Client, key: &str) {
    wait_until(&format!("no lock is left on {key}"), PATIENCE, || {
        c.cmd(&["MODQ.LEN", key, "LOCKED"]) == Value::Int(0)
    });
}

fn locks_and_delays_end_by_themselves(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let keys: [&[u8]; 4] = [b"q", b"r", b"{tag}q", b"bin\0\r\n\xff%s"];
    let mut deadlines = Vec::new();
    for db in [0, 3, 15] {
        c.expect_ok(&format!("SELECT {db}"));
        for (i, key) in keys.iter().enumerate() {
            assert_eq!(cmd!(c, "MODQ.SUBMIT", key, "locked", "p"), simple("READY"));
            let lock = 20 + 30 * i as i64 + db;
            let claimed = claims(&cmd!(c, "MODQ.CLAIM", key, "m", "LOCK", lock)).remove(0);
            let reply = cmd!(c, "MODQ.SUBMIT", key, "late", "p", "DELAY", lock);
            assert_eq!(reply, simple("DELAYED"));
            let due = cmd!(c, "MODQ.GET", key, "late").field("due").int();
            deadlines.push((db, key, claimed.deadline, due));
        }
    }
    for (db, key, deadline, due) in deadlines {
        c.expect_ok(&format!("SELECT {db}"));
        wait_until("the lock is over", PATIENCE, || {
            cmd!(c, "MODQ.LEN", key, "LOCKED") == Value::Int(0)
        });
        assert!(now_ms() >= deadline, "not before its deadline");
        wait_until("the delay is over", PATIENCE, || {
            cmd!(c, "MODQ.LEN", key, "DELAYED") == Value::Int(0)
        });
        assert!(now_ms() >= due, "not before its time");
        assert_eq!(cmd!(c, "MODQ.LEN", key, "READY"), Value::Int(2));
        let item = cmd!(c, "MODQ.GET", key, "locked");
        assert_eq!(item.field("expiries"), Value::Int(1));
        assert_eq!(item.field("rev"), Value::Int(1));
    }
}

fn everybody_keeps_their_place(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let replies = c.pipeline(&[
        "MODQ.SUBMIT q a p",
        "MODQ.SUBMIT q b p DELAY 200",
        "MODQ.SUBMIT q c p",
        "MODQ.SUBMIT q d p",
        "MODQ.SUBMIT q first p PRIORITY 1",
        "MODQ.CLAIM q m COUNT 3 LOCK 15",
    ]);
    assert_eq!(replies[1], simple("DELAYED"));
    assert_eq!(ids(&replies[5]), "first a c");
    wait_until("all are back", PATIENCE, || {
        counts(&mut c, "q") == [5, 0, 0, 0]
    });
    assert_eq!(ids(&c.line("MODQ.CLAIM q n COUNT 9")), "first a b c d");
}

fn twenty_expiries_are_the_end(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    submit(&mut c, "q i p");
    // A release does not count.
    let lock = claim(&mut c, "q m");
    cmd!(c, "MODQ.RELEASE", "q", "i", lock.token);
    make_dead(&mut c, "q", "i");
    let item = c.line("MODQ.GET q i");
    assert_eq!(item.field("deliveries"), Value::Int(21));
    assert_eq!(item.field("rev"), Value::Int(1));
    assert!(item.field("moderator").is_null());
    assert!(c.line("MODQ.CLAIM q m").is_null());
    assert_eq!(counts(&mut c, "q"), [0, 0, 0, 1]);
}

/// The last lock set decides when the timer wakes, be it earlier or later than those before.
fn earlier_deadlines_overtake_later_ones(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for (key, lock) in [
        ("q", 600_000),
        ("q", 300_000),
        ("r", 400_000),
        ("q", 20),
        ("s", 10),
    ] {
        submit(&mut c, &format!("{key} i{lock} p"));
        claim(&mut c, &format!("{key} m NEW LOCK {lock}"));
    }
    wait_unlocked(&mut c, "s");
    wait_until("the short one is over", PATIENCE, || {
        len(&mut c, "q LOCKED") == 2
    });
    assert_eq!(state(&mut c, "q", "i20"), "ready");
    assert_eq!(len(&mut c, "r LOCKED"), 1);
    // One that is shortened, and one that is cancelled just before another.
    let token = claims(&c.line("MODQ.HELD r m"))[0].token;
    cmd!(c, "MODQ.EXTEND", "r", "i400000", token, 5);
    wait_unlocked(&mut c, "r");
    let replies = c.pipeline(&[
        "MODQ.CLAIM r m LOCK 20",
        "MODQ.CANCEL r i400000",
        "MODQ.SUBMIT r next p",
        "MODQ.CLAIM r m LOCK 25",
    ]);
    assert_eq!(ids(&replies[3]), "next");
    wait_unlocked(&mut c, "r");
    assert_eq!(state(&mut c, "r", "next"), "ready");
}

/// What moves the key `q`, and where it is then: database and key.
const WAYS: &[(&[&str], i64, &str)] = &[
    (&["RENAME q to"], 0, "to"),
    (&["RENAMENX q to", "SET q other"], 0, "to"),
    (&["SET to x", "RENAME q to"], 0, "to"),
    (&["COPY q to"], 0, "to"),
    (&["COPY q to", "DEL q"], 0, "to"),
    (&["COPY q q DB 2"], 2, "q"),
    (&["COPY q to DB 2", "DEL q"], 2, "to"),
    (&["MOVE q 2"], 2, "q"),
    (&["SWAPDB 0 2"], 2, "q"),
    (&["SWAPDB 0 2", "SWAPDB 2 4"], 4, "q"),
    (&["RENAME q r", "MOVE r 2", "SWAPDB 2 3"], 3, "r"),
    (&["RENAME q r", "RENAME r q"], 0, "q"),
];

/// Wherever the key goes, its locks run out there.
fn timers_follow_the_key(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for (ways, db, key) in WAYS {
        c.expect_ok("FLUSHALL");
        let mut lines = vec![
            "MODQ.SUBMIT q i p".to_owned(),
            "MULTI".into(),
            "MODQ.CLAIM q m LOCK 15".into(),
        ];
        lines.extend(ways.iter().map(|way| way.to_string()));
        lines.extend([
            format!("SELECT {db}"),
            format!("MODQ.LEN {key} LOCKED"),
            "EXEC".into(),
        ]);
        let replies = c.pipeline(&lines);
        let exec = replies.last().unwrap().items();
        assert!(
            exec.iter().all(|reply| reply.err_code().is_empty()),
            "{ways:?}: {exec:?}"
        );
        assert_eq!(exec.last(), Some(&Value::Int(1)), "{ways:?}");
        wait_until(
            &format!("the lock is over after {ways:?}"),
            PATIENCE,
            || len(&mut c, &format!("{key} LOCKED")) == 0,
        );
        assert_eq!(
            field(&mut c, key, "i", "expiries"),
            Value::Int(1),
            "{ways:?}"
        );
        c.expect_ok("SELECT 0");
        if ways[0].starts_with("COPY") && ways.len() == 1 {
            wait_unlocked(&mut c, "q");
            assert_eq!(state(&mut c, "q", "i"), "ready", "the original too");
        }
    }
}

/// A lock that is overdue by now, and one that is not.
fn timers_follow_what_is_restored_or_reloaded(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    submit(&mut c, "q i p");
    submit(&mut c, "q j p");
    let replies = c.pipeline(&[
        "MULTI",
        "MODQ.CLAIM q m LOCK 15",
        "MODQ.CLAIM q m LOCK 80 NEW",
        "DUMP q",
        "EXEC",
    ]);
    let dump = &replies[4][2];
    wait_unlocked(&mut c, "q");
    c.expect_ok("MULTI");
    cmd!(c, "RESTORE", "q", 0, dump, "REPLACE");
    c.line("MODQ.LEN q LOCKED");
    assert_eq!(c.line("EXEC"), arr![ok(), 2]);
    wait_unlocked(&mut c, "q");
    assert_eq!(counts(&mut c, "q"), [2, 0, 0, 0]);
    // DEBUG RELOAD.
    let replies = c.pipeline(&["MODQ.CLAIM q m LOCK 1", "DEBUG RELOAD", "MODQ.LEN q LOCKED"]);
    assert_eq!(replies[2], Value::Int(1), "nothing expires in between");
    wait_unlocked(&mut c, "q");
    assert_eq!(field(&mut c, "q", "i", "expiries"), Value::Int(2));
}

/// What has gone has no timers, and they do not hurt what comes after it.
fn what_is_gone_stays_gone(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for gone in [
        "DEL q",
        "UNLINK q",
        "SET q x",
        "FLUSHALL",
        "FLUSHALL ASYNC",
        "FLUSHDB",
        "PEXPIRE q 5",
        "PEXPIRE q -1",
    ] {
        c.expect_ok("FLUSHALL");
        submit(&mut c, "q i p");
        submit(&mut c, "witness i p");
        let replies = c.pipeline(&["MULTI", "MODQ.CLAIM q m LOCK 10", gone, "EXEC"]);
        assert_eq!(ids(&replies[3][0]), "i");
        // The witness expires later than the lock would have.
        submit(&mut c, "other i p");
        claim(&mut c, "other m LOCK 12");
        wait_unlocked(&mut c, "other");
        match gone {
            "SET q x" => assert_eq!(c.line("GET q"), bulk("x")),
            _ => wait_until("it is gone", PATIENCE, || {
                c.line("EXISTS q") == Value::Int(0)
            }),
        }
    }
    // A new queue of the same name keeps its own time.
    c.expect_ok("FLUSHALL");
    submit(&mut c, "q i p");
    let replies = c.pipeline(&[
        "MULTI",
        "MODQ.CLAIM q m LOCK 10",
        "DEL q",
        "MODQ.SUBMIT q i p",
        "MODQ.CLAIM q m LOCK 60",
        "EXEC",
    ]);
    let lock = claims(&replies[5][3]).remove(0);
    wait_unlocked(&mut c, "q");
    assert!(now_ms() >= lock.deadline);
    assert_eq!(field(&mut c, "q", "i", "expiries"), Value::Int(1));
}

fn time_goes_on_after_a_restart(kind: Kind) {
    for aof in [false, true] {
        let mut builder = Server::builder(kind);
        if aof {
            builder = builder.aof();
        }
        let mut server = builder.start();
        let mut c = server.client();
        submit(&mut c, "q short p");
        submit(&mut c, "q long p");
        c.line("MODQ.SUBMIT q late p DELAY 10");
        c.expect_ok("SELECT 7");
        submit(&mut c, "r short p");
        c.expect_ok("SELECT 0");
        // In one piece, so that the server stops before any of it runs out.
        c.send_raw(
            b"MODQ.CLAIM q m LOCK 10\r\nMODQ.CLAIM q m NEW LOCK 600000\r\nSELECT 7\r\n\
              MODQ.CLAIM r m LOCK 10\r\nSHUTDOWN SAVE\r\n",
        )
        .unwrap();
        assert!(c.is_closed());
        server.kill9();
        server.start_again();
        let mut c = server.client();
        wait_until("the short ones are over", PATIENCE, || {
            counts(&mut c, "q") == [2, 1, 0, 0]
        });
        assert_eq!(ids(&c.line("MODQ.HELD q m")), "long");
        assert_eq!(field(&mut c, "q", "short", "expiries"), Value::Int(1));
        c.expect_ok("SELECT 7");
        wait_unlocked(&mut c, "r");
    }
}

/// Many at once are worked off in portions, each of which is one record for replicas.
fn many_at_once_are_worked_off_in_portions(kind: Kind) {
    let server = Server::start(kind);
    let replica = Server::builder(kind).replica_of(&server).start();
    wait_replica_synced(&server, &replica);
    let mut c = server.client();
    c.expect_ok("CONFIG SET modq.work-budget 7");
    for key in ["q", "r"] {
        let fill: Vec<String> = (0..500)
            .map(|i| format!("MODQ.SUBMIT {key} i{i} p"))
            .collect();
        c.pipeline(&fill);
        let late: Vec<String> = (0..500)
            .map(|i| format!("MODQ.SUBMIT {key} d{i} p DELAY 5 PRIORITY -1"))
            .collect();
        c.pipeline(&late);
        assert_eq!(
            claims(&c.line(&format!("MODQ.CLAIM {key} m COUNT 500 LOCK 5"))).len(),
            500
        );
    }
    for key in ["q", "r"] {
        wait_until("all are back", PATIENCE, || {
            len(&mut c, &format!("{key} READY")) == 1000
        });
    }
    wait_replica_synced(&server, &replica);
    // Beside those of 1000 SUBMITs and a CLAIM for each queue. The SUBMITs did some of what was due; the locks ran out
    // after them.
    let portions = command_calls(&mut replica.client(), "modq._q") - 2 * 1001;
    assert!(portions >= 2 * (500 / 7), "{portions} portions");
    let back = claims(&c.line("MODQ.CLAIM q n COUNT 1000"));
    let order: Vec<String> = back.iter().map(Claimed::id).collect();
    let expected: Vec<String> = ["i", "d"]
        .iter()
        .flat_map(|kind| (0..500).map(move |i| format!("{kind}{i}")))
        .collect();
    assert_eq!(order, expected);
}

matrix!(
    locks_and_delays_end_by_themselves,
    everybody_keeps_their_place,
    twenty_expiries_are_the_end,
    earlier_deadlines_overtake_later_ones,
    timers_follow_the_key,
    timers_follow_what_is_restored_or_reloaded,
    what_is_gone_stays_gone,
    time_goes_on_after_a_restart,
    many_at_once_are_worked_off_in_portions,
);
