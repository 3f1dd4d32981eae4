//! Blocking CLAIM and MCLAIM: what serves them, how they end, and what happens to the keys meanwhile.

use modq_testkit::queue::*;
use modq_testkit::*;
use std::time::{Duration, Instant};

/// Everything that makes an item available serves a blocked CLAIM.
fn whatever_makes_an_item_available_serves(kind: Kind) {
    let (server, mut c) = desk(kind);
    // SUBMIT from another client, the key created by it; one item whatever COUNT.
    let mut b = blocked(&server, "MODQ.CLAIM q m COUNT 5 LOCK 9000 BLOCK 0");
    assert_eq!(line_of(&mut c, "q"), "m*");
    assert_eq!(c.line("EXISTS q"), Value::Int(0));
    let before = now_ms();
    submit_assigned(&mut c, "q a pay PRIORITY 3");
    let got = served(&mut b);
    assert_eq!(
        (got.id().as_str(), got.priority, got.deliveries, got.rev),
        ("a", 3, 1, 1)
    );
    assert_eq!(got.payload, b"pay");
    assert!((before + 9000..=now_ms() + 9000).contains(&got.deadline));
    assert_eq!(line_of(&mut c, "q"), "");
    // Inside MULTI, two items: one each.
    let mut b = blocked(&server, "MODQ.CLAIM q m COUNT 5 NEW BLOCK 0");
    c.expect_ok("MULTI");
    c.line("MODQ.SUBMIT q b p");
    c.line("MODQ.SUBMIT q c p");
    assert_eq!(c.line("EXEC"), arr![simple("ASSIGNED"), simple("READY")]);
    assert_eq!(served(&mut b).id(), "b");
    // From a script.
    assert_eq!(claim(&mut c, "q n").id(), "c");
    let mut b = blocked(&server, "MODQ.CLAIM q n TAGS 1 t BLOCK 0 NEW");
    let script = "return redis.call('MODQ.SUBMIT', 'q', 'd', 'p', 'TAGS', '1', 't')";
    assert_eq!(cmd!(c, "EVAL", script, 1, "q").text(), "ASSIGNED");
    assert_eq!(served(&mut b).id(), "d");
    c.expect_ok("FLUSHALL");

    // Release, with and without delay.
    submit(&mut c, "q a p");
    let first = claim(&mut c, "q x");
    let mut b = blocked(&server, "MODQ.CLAIM q m BLOCK 0");
    cmd!(c, "MODQ.RELEASE", "q", "a", first.token);
    let second = served(&mut b);
    assert_eq!((second.id().as_str(), second.deliveries), ("a", 2));
    assert!(second.token > first.token);
    block(&mut b, &server, "MODQ.CLAIM q y BLOCK 0");
    assert_eq!(
        cmd!(c, "MODQ.RELEASE", "q", "a", second.token, "DELAY", 30),
        ok()
    );
    let third = served(&mut b);
    assert_eq!(third.deliveries, 3);
    // Lock expiry.
    assert!(cmd!(c, "MODQ.EXTEND", "q", "a", third.token, 20).int() > third.submitted);
    block(&mut b, &server, "MODQ.CLAIM q z BLOCK 0");
    let fourth = served(&mut b);
    assert_eq!(fourth.deliveries, 4);
    assert_eq!(field(&mut c, "q", "a", "expiries"), Value::Int(1));
    // LEAVE … RELEASE.
    block(&mut b, &server, "MODQ.CLAIM q m BLOCK 0");
    assert_eq!(c.line("MODQ.LEAVE q z RELEASE"), Value::Int(0));
    let fifth = served(&mut b);
    assert_eq!(fifth.deliveries, 5);
    // A delay that comes due.
    block(&mut b, &server, "MODQ.CLAIM q m2 BLOCK 0");
    assert_eq!(c.line("MODQ.SUBMIT q late p DELAY 30"), simple("DELAYED"));
    assert_eq!(served(&mut b).id(), "late");
    c.expect_ok("FLUSHALL");

    // CANCEL and RESOLVE free capacity; so does raising it.
    c.expect_ok("MODQ.CONFIGURE q CAPACITY 1");
    for item in ["a", "b", "c", "d"] {
        submit(&mut c, &format!("q {item} p"));
    }
    assert_eq!(claim(&mut c, "q m").id(), "a");
    block(&mut b, &server, "MODQ.CLAIM q m NEW BLOCK 0");
    assert_eq!(line_of(&mut c, "q"), "m*");
    assert_eq!(c.line("MODQ.CANCEL q a"), Value::Int(1));
    let got = served(&mut b);
    assert_eq!(got.id(), "b");
    block(&mut b, &server, "MODQ.CLAIM q m NEW BLOCK 0");
    assert_eq!(cmd!(c, "MODQ.RESOLVE", "q", "b", got.token), ok());
    assert_eq!(served(&mut b).id(), "c");
    block(&mut b, &server, "MODQ.CLAIM q m NEW BLOCK 0");
    c.expect_ok("MODQ.CONFIGURE q CAPACITY 2");
    assert_eq!(served(&mut b).id(), "d");
    c.expect_ok("FLUSHALL");

    // Unpause.
    submit(&mut c, "q a p");
    c.expect_ok("MODQ.PAUSE q OUT");
    block(&mut b, &server, "MODQ.CLAIM q m BLOCK 0");
    submit(&mut c, "q b p");
    still_waits(&mut b);
    c.expect_ok("MODQ.UNPAUSE q IN");
    still_waits(&mut b);
    c.expect_ok("MODQ.UNPAUSE q");
    assert_eq!(served(&mut b).id(), "a");
    c.expect_ok("FLUSHALL");

    // UPDATE of tags and of exclusions, REPLACE of tags.
    submit(&mut c, "q a p TAGS 1 t");
    submit(&mut c, "q b p EXCLUDE 1 m");
    submit(&mut c, "q c p TAGS 1 t");
    for (change, item, reply) in [
        ("MODQ.UPDATE q a TAGS 0", "a", Value::Int(2)),
        ("MODQ.UPDATE q b EXCLUDE 0", "b", Value::Int(2)),
        (
            "MODQ.SUBMIT q c p ONDUP REPLACE TAGS 0",
            "c",
            simple("REPLACED"),
        ),
    ] {
        block(&mut b, &server, "MODQ.CLAIM q m NEW BLOCK 0");
        assert_eq!(c.line(change), reply);
        assert_eq!(served(&mut b).id(), item);
    }
    c.expect_ok("FLUSHALL");

    // Revival, by REVIVE and by BUMP; MOVE in, also onto a key not there before.
    c.expect_ok("MODQ.CONFIGURE q MAXEXPIRIES 1");
    let die = |c: &mut Client| {
        claim(c, "q killer LOCK 1 NEW");
        wait_until("it is dead", PATIENCE, || len(c, "q DEAD") == 1);
    };
    submit(&mut c, "q a p");
    die(&mut c);
    block(&mut b, &server, "MODQ.CLAIM q m BLOCK 0");
    assert_eq!(c.line("MODQ.REVIVE q ALL"), Value::Int(1));
    let got = served(&mut b);
    cmd!(c, "MODQ.RELEASE", "q", "a", got.token);
    die(&mut c);
    block(&mut b, &server, "MODQ.CLAIM q m BLOCK 0");
    assert_eq!(c.line("MODQ.SUBMIT q a p ONDUP BUMP"), simple("BUMPED"));
    let got = served(&mut b);
    block(&mut b, &server, "MODQ.CLAIM r m BLOCK 0");
    assert_eq!(
        cmd!(c, "MODQ.MOVE", "q", "r", "a", "TOKEN", got.token),
        ok()
    );
    let moved = served(&mut b);
    assert_eq!(moved.id(), "a");
    assert!(moved.token > got.token);
    assert_eq!(line_of(&mut c, "r"), "");
    // Priority decides what is next once there is something.
    c.expect_ok("MODQ.PAUSE r OUT");
    submit(&mut c, "r low p");
    submit(&mut c, "r high p");
    block(&mut b, &server, "MODQ.CLAIM r m NEW BLOCK 0");
    c.line("MODQ.UPDATE r high PRIORITY 1");
    c.expect_ok("MODQ.UNPAUSE r");
    assert_eq!(served(&mut b).id(), "high");
}

fn a_wait_ends_with_null_in_time(kind: Kind) {
    let (server, mut c) = desk(kind);
    submit(&mut c, "q t p TAGS 1 t");
    let before = digest(&mut c, "q");
    for key in ["q", "missing"] {
        for (mut b, null) in [
            (server.client(), Value::NullArray),
            (server.client().hello3(), Value::Null),
        ] {
            for command in ["MODQ.CLAIM", "MODQ.MCLAIM 1"] {
                let start = Instant::now();
                assert_eq!(b.line(&format!("{command} {key} m BLOCK 80")), null);
                let took = start.elapsed();
                assert!(took >= Duration::from_millis(78), "{took:?}");
                assert!(took < Duration::from_millis(1500), "{took:?}");
            }
        }
    }
    assert_eq!(line_of(&mut c, "q"), "");
    assert_eq!(digest(&mut c, "q"), before, "waiting is no change");
    assert_eq!(c.line("EXISTS missing"), Value::Int(0));
    // CLIENT UNBLOCK: as a timeout, or an error.
    for (how, key) in [("", "q"), ("TIMEOUT", "q"), ("TIMEOUT", "missing")] {
        let mut b = server.client();
        let id = b.id();
        block(&mut b, &server, &format!("MODQ.CLAIM {key} m BLOCK 0"));
        assert_eq!(c.line(&format!("CLIENT UNBLOCK {id} {how}")), Value::Int(1));
        assert_eq!(b.reply(), Value::NullArray);
        assert_eq!(line_of(&mut c, key), "");
    }
    let mut b = server.client();
    let id = b.id();
    block(&mut b, &server, "MODQ.CLAIM q m BLOCK 0");
    assert_eq!(c.line(&format!("CLIENT UNBLOCK {id} ERROR")), Value::Int(1));
    assert_eq!(b.reply().err_code(), "UNBLOCKED");
    assert_eq!(line_of(&mut c, "q"), "");
    // Nobody of these gets anything any more.
    submit(&mut c, "q i p");
    submit(&mut c, "missing i p");
    assert_eq!(b.line("PING"), simple("PONG"));
}

fn block_is_ignored_where_nothing_may_block(kind: Kind) {
    let (server, mut c) = desk(kind);
    for (mut c, null) in [
        (server.client(), Value::NullArray),
        (server.client().hello3(), Value::Null),
    ] {
        c.expect_ok("MULTI");
        c.line("MODQ.CLAIM q m BLOCK 0");
        c.line("MODQ.MCLAIM 2 q r m BLOCK 100000");
        assert_eq!(c.line("EXEC"), Value::Array(vec![null.clone(), null]));
    }
    for call in [
        "'MODQ.CLAIM','q','m','BLOCK','0'",
        "'MODQ.MCLAIM','2','q','r','m','BLOCK','9'",
    ] {
        let script = format!("return redis.call({call}) == false");
        assert_eq!(cmd!(c, "EVAL", script, 2, "q", "r"), Value::Int(1));
    }
    assert_eq!(line_of(&mut c, "q"), "");
    assert_eq!(c.line("DBSIZE"), Value::Int(0));
    // With something there BLOCK does not matter, nor does it for what is held already.
    submit(&mut c, "q i p");
    let first = claim(&mut c, "q m BLOCK 0");
    unchanged(&mut c, "q", |c| assert_eq!(claim(c, "q m BLOCK 0"), first));
}

/// A moderator stands in line once, whatever number of calls they wait in.
fn several_calls_of_one_moderator_share_a_place(kind: Kind) {
    let (server, mut c) = desk(kind);
    let new = "MODQ.CLAIM q m NEW BLOCK 0";
    let mut b1 = blocked(&server, "MODQ.CLAIM q m BLOCK 0");
    let mut other = blocked(&server, "MODQ.CLAIM q o BLOCK 0");
    let mut n1 = blocked(&server, new);
    let mut b2 = blocked(&server, "MODQ.CLAIM q m BLOCK 0 TAGS 1 x");
    assert_eq!(line_of(&mut c, "q"), "m* o*");
    submit_assigned(&mut c, "q a p");
    // Each without NEW gets it; the one with NEW goes on waiting, behind now.
    let got = served(&mut b1);
    assert_eq!(got.id(), "a");
    assert_eq!(served(&mut b2), got);
    assert_eq!(line_of(&mut c, "q"), "o* m*");
    still_waits(&mut n1);
    submit_assigned(&mut c, "q b p");
    assert_eq!(served(&mut other).id(), "b");
    // All NEW: the most recent.
    let mut n2 = blocked(&server, new);
    let mut n3 = blocked(&server, new);
    submit_assigned(&mut c, "q c p");
    assert_eq!(served(&mut n3).id(), "c");
    submit_assigned(&mut c, "q d p");
    assert_eq!(served(&mut n2).id(), "d");
    submit_assigned(&mut c, "q e p");
    assert_eq!(served(&mut n1).id(), "e");
    assert_eq!(len(&mut c, "q LOCKED"), 5);

    // Another call of theirs, or ASSIGN, answers those that wait.
    c.expect_ok("FLUSHALL");
    submit(&mut c, "q t p TAGS 1 t");
    block(&mut b1, &server, "MODQ.CLAIM q m BLOCK 0");
    block(&mut b2, &server, "MODQ.MCLAIM 2 other q m BLOCK 0");
    let got = claim(&mut c, "q m TAGS 1 t");
    assert_eq!(served(&mut b1), got);
    let reply = b2.reply();
    assert_eq!(
        (reply[0].clone(), claims(&reply[1])),
        (bulk("q"), vec![got])
    );
    assert_eq!(
        (line_of(&mut c, "q"), line_of(&mut c, "other")),
        (String::new(), String::new())
    );
    submit(&mut c, "q u p TAGS 1 t");
    block(&mut n1, &server, new);
    block(&mut n2, &server, new);
    let token = c.line("MODQ.ASSIGN q u m").int();
    let got = served(&mut n2);
    assert_eq!((got.id().as_str(), got.token), ("u", token));
    still_waits(&mut n1);
    submit(&mut c, "q v p TAGS 1 t");
    block(&mut other, &server, "MODQ.CLAIM q z BLOCK 0");
    let token = c.line("MODQ.ASSIGN q v z LOCK 1000").int();
    assert_eq!(served(&mut other).token, token);
    assert_eq!(line_of(&mut c, "q"), "m*");
}

fn skills_and_skips_decide_who_is_served(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut de = blocked(&server, "MODQ.CLAIM q de TAGS 1 de BLOCK 0");
    let mut en = blocked(&server, "MODQ.CLAIM q en TAGS 1 en BLOCK 0");
    let mut both = blocked(&server, "MODQ.CLAIM q both TAGS 2 en de BLOCK 0");
    let waiters = c.line("MODQ.WAITERS q");
    let tags: Vec<String> = waiters
        .items()
        .iter()
        .map(|w| format!("{:?}", w[3]))
        .collect();
    assert_eq!(tags[0], format!("{:?}", arr!["de"]));
    assert_eq!(tags[1], format!("{:?}", arr!["en"]));
    assert_eq!(waiters[2][3].items().len(), 2);
    submit_assigned(&mut c, "q i1 p TAGS 2 de en");
    assert_eq!(served(&mut both).id(), "i1");
    submit_assigned(&mut c, "q i2 p EXCLUDE 1 de");
    assert_eq!(served(&mut en).id(), "i2");
    submit(&mut c, "q i3 p TAGS 1 fr");
    still_waits(&mut de);
    submit_assigned(&mut c, "q i4 p TAGS 1 de");
    let got = served(&mut de);
    // Skipped: never again for this moderator, the next in line has it.
    block(&mut de, &server, "MODQ.CLAIM q de NEW BLOCK 0 TAGS 1 de");
    block(
        &mut both,
        &server,
        "MODQ.CLAIM q both NEW BLOCK 0 TAGS 1 de",
    );
    assert_eq!(cmd!(c, "MODQ.RELEASE", "q", "i4", got.token, "SKIP"), ok());
    assert_eq!(served(&mut both).id(), "i4");
    still_waits(&mut de);
    // Without TAGS those joined with count, also when they change while the call waits.
    c.line("MODQ.LEAVE q de");
    block(&mut en, &server, "MODQ.CLAIM q new NEW BLOCK 0");
    assert_eq!(c.line("MODQ.JOIN q new TAGS 1 fr"), simple("ASSIGNED"));
    assert_eq!(served(&mut en).id(), "i3");
}

fn mclaim_waits_for_all_its_keys(kind: Kind) {
    let (server, mut c) = desk(kind);
    submit(&mut c, "b i1 p");
    let first = c.line("MODQ.MCLAIM 3 a b c m");
    assert_eq!(first[0], bulk("b"));
    let held = claims(&first[1]);
    // What is held comes before what is new in an earlier key.
    submit(&mut c, "a i2 p");
    let again = c.line("MODQ.MCLAIM 3 a b c m BLOCK 0");
    assert_eq!(
        (again[0].clone(), claims(&again[1])),
        (bulk("b"), held.clone())
    );
    let new = c.line("MODQ.MCLAIM 3 c a b m NEW COUNT 9");
    assert_eq!((new[0].clone(), ids(&new[1])), (bulk("a"), "i2".into()));
    assert!(c.line("MODQ.MCLAIM 3 a b c m NEW").is_null());
    // Blocked on all, one of them not there yet; served once and gone from the other lines.
    let mut b = blocked(&server, "MODQ.MCLAIM 4 a b c a m NEW BLOCK 0");
    for key in ["a", "b", "c"] {
        assert_eq!(line_of(&mut c, key), "m*", "{key}");
    }
    c.expect_ok("MULTI");
    for submit in ["c i3 p", "a i4 p", "b i5 p"] {
        c.line(&format!("MODQ.SUBMIT {submit}"));
    }
    let replies = c.line("EXEC");
    assert_eq!(
        replies,
        arr![simple("ASSIGNED"), simple("READY"), simple("READY")]
    );
    let reply = b.reply();
    assert_eq!((reply[0].clone(), ids(&reply[1])), (bulk("c"), "i3".into()));
    for key in ["a", "b", "c"] {
        assert_eq!(line_of(&mut c, key), "", "{key}");
    }
    // A wrong type among the keys is refused before anything.
    c.expect_ok("SET s 1");
    assert_err!(c.line("MODQ.MCLAIM 3 a b s x"), "WRONGTYPE");
    assert_err!(c.line("MODQ.MCLAIM 2 s a x BLOCK 0"), "WRONGTYPE");
    assert_eq!(counts(&mut c, "a"), [1, 1, 0, 0]);
    assert_err!(c.line("MODQ.MCLAIM 0 a x"), "ERR", "numkeys");
    assert_err!(c.line("MODQ.MCLAIM 5 a x"), "ERR");
    // The other databases' keys are others.
    let mut b = server.client();
    b.expect_ok("SELECT 1");
    block(&mut b, &server, "MODQ.MCLAIM 2 a b z BLOCK 0");
    submit(&mut c, "a i6 p");
    c.expect_ok("SELECT 1");
    submit_assigned(&mut c, "b i7 p");
    assert_eq!(ids(&b.reply()[1]), "i7");
}

/// What happens to the key meanwhile: those who wait, wait for the name.
fn they_wait_for_the_name_whatever_becomes_of_the_key(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut b = server.client();
    let dump = {
        submit(&mut c, "d i p");
        let dump = c.line("DUMP d").bytes().to_vec();
        c.expect_ok("FLUSHALL");
        dump
    };
    type Step<'a> = &'a dyn Fn(&mut Client);
    let line = |line: &'static str| move |c: &mut Client| drop(c.line(line));
    let steps: &[(&str, Step)] = &[
        ("deleted", &line("DEL q")),
        ("unlinked", &line("UNLINK q")),
        ("flushed", &line("FLUSHALL")),
        ("flushed lazily", &line("FLUSHDB ASYNC")),
        ("renamed away", &line("RENAME q away")),
        ("moved", &line("MOVE q 3")),
        ("swapped", &line("SWAPDB 0 4")),
        ("expired", &|c: &mut Client| {
            c.line("PEXPIRE q 1");
            wait_until("it has expired", PATIENCE, || {
                c.line("EXISTS q") == Value::Int(0)
            });
        }),
    ];
    for (how, step) in steps {
        c.line("MODQ.CONFIGURE q LOCK 70000");
        block(&mut b, &server, "MODQ.CLAIM q m BLOCK 0");
        assert_eq!(line_of(&mut c, "q"), "m*", "{how}");
        step(&mut c);
        assert_eq!(c.line("EXISTS q"), Value::Int(0), "{how}");
        assert_eq!(line_of(&mut c, "q"), "m*", "{how}");
        assert_eq!(line_of(&mut c, "away"), "", "{how}");
        still_waits(&mut b);
        // What went elsewhere serves nobody here.
        if c.line("EXISTS away") == Value::Int(1) {
            submit(&mut c, "away other p");
        }
        submit_assigned(&mut c, "q i p");
        assert_eq!(served(&mut b).id(), "i", "{how}");
        c.expect_ok("FLUSHALL");
    }
    // Ready items that come to the name in one piece.
    let pair: &[(&str, Step)] = &[
        ("renamed onto", &line("RENAME spare q")),
        ("renamed onto, if free", &line("RENAMENX spare q")),
        ("copied onto", &line("COPY spare q")),
        ("moved from a database", &|c: &mut Client| {
            c.line("RENAME spare q2");
            c.line("SELECT 2");
            submit(c, "q i p");
            c.line("MOVE q 0");
            c.line("SELECT 0");
        }),
        ("swapped in", &|c: &mut Client| {
            c.line("SELECT 2");
            submit(c, "q i p");
            c.line("SWAPDB 0 2");
            c.line("SELECT 0");
        }),
        ("restored", &|c: &mut Client| {
            assert_eq!(cmd!(c, "RESTORE", "q", 0, &dump), ok());
        }),
        ("in a transaction", &|c: &mut Client| {
            c.pipeline(&[
                "MULTI",
                "RENAME spare q",
                "RENAME q r",
                "RENAME r q",
                "EXEC",
            ]);
        }),
    ];
    for (how, step) in pair {
        submit(&mut c, "spare i p");
        block(&mut b, &server, "MODQ.CLAIM q m BLOCK 0");
        step(&mut c);
        let got = served(&mut b);
        assert_eq!(got.id(), "i", "{how}");
        assert_eq!(field(&mut c, "q", "i", "moderator"), bulk("m"), "{how}");
        c.expect_ok("FLUSHALL");
    }
    // Onto a queue that is there with others in its line.
    c.line("MODQ.JOIN q joined");
    submit(&mut c, "spare i p");
    block(&mut b, &server, "MODQ.CLAIM q m BLOCK 0");
    c.expect_ok("RENAME spare q");
    assert_eq!(served(&mut b).id(), "i");
    assert_eq!(line_of(&mut c, "q"), "");
}

fn another_type_at_the_name_is_told(kind: Kind) {
    let (server, mut c) = desk(kind);
    for there in [true, false] {
        for how in ["SET q 1", "RENAME s q", "RPUSH q x", "XADD q * f v"] {
            c.expect_ok("FLUSHALL");
            c.expect_ok("SET s 1");
            if there {
                c.line("MODQ.CONFIGURE q LOCK 70000");
            }
            let mut b = blocked(&server, "MODQ.CLAIM q m BLOCK 0");
            let mut many = blocked(&server, "MODQ.MCLAIM 2 r q n BLOCK 0");
            if there {
                c.pipeline(&["MULTI", "DEL q", how, "EXEC"]);
            } else {
                c.line(how);
            }
            let start = Instant::now();
            assert_eq!(b.reply().err_code(), "WRONGTYPE", "{how} {there}");
            assert_eq!(many.reply().err_code(), "WRONGTYPE", "{how} {there}");
            assert!(
                start.elapsed() < Duration::from_millis(1000),
                "{how} {there}"
            );
            assert_eq!(line_of(&mut c, "r"), "");
        }
    }
}

matrix!(
    whatever_makes_an_item_available_serves,
    a_wait_ends_with_null_in_time,
    block_is_ignored_where_nothing_may_block,
    several_calls_of_one_moderator_share_a_place,
    skills_and_skips_decide_who_is_served,
    mclaim_waits_for_all_its_keys,
    they_wait_for_the_name_whatever_becomes_of_the_key,
    another_type_at_the_name_is_told,
);
