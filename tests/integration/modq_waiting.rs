//! Blocking CLAIM and MCLAIM: where they block, how they end, and who of those who wait is served.

use modq_testkit::queue::*;
use modq_testkit::*;
use std::time::{Duration, Instant};

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

/// A worker may listen and wait on one connection, where the server lets a module's command do so.
fn who_has_a_subscription_waits_or_is_told(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut b = server.client().hello3();
    b.send(&["SUBSCRIBE", "channel"]);
    b.push();
    if kind == Kind::Valkey91 {
        for line in ["MODQ.CLAIM q m BLOCK 0", "MODQ.MCLAIM 2 q r m BLOCK 9"] {
            assert_eq!(b.line(line).err_code(), "ERR", "{line}");
        }
        // What does not have to wait is as ever.
        assert_eq!(b.line("MODQ.CLAIM q m"), Value::Null);
        submit(&mut c, "q i p");
        assert_eq!(ids(&b.line("MODQ.CLAIM q m BLOCK 0")), "i");
    } else {
        block(&mut b, &server, "MODQ.CLAIM q m BLOCK 0");
        submit_assigned(&mut c, "q i p");
        assert_eq!(served(&mut b).id(), "i");
    }
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
    // A thousand keys at the most, of which some may be the same.
    let of = |n: usize| format!("MODQ.MCLAIM {n} {}wide x", "none ".repeat(n - 1));
    submit(&mut c, "wide i p");
    unchanged(&mut c, "wide", |c| {
        assert_err!(
            c.line(&of(1001)),
            "ERR",
            "numkeys must be an integer from 1 to 1000"
        );
    });
    assert_eq!(c.line(&of(1000))[0], bulk("wide"));
    // The other databases' keys are others.
    let mut b = server.client();
    b.expect_ok("SELECT 1");
    block(&mut b, &server, "MODQ.MCLAIM 2 a b z BLOCK 0");
    submit(&mut c, "a i6 p");
    c.expect_ok("SELECT 1");
    submit_assigned(&mut c, "b i7 p");
    assert_eq!(ids(&b.reply()[1]), "i7");
}

matrix!(
    a_wait_ends_with_null_in_time,
    block_is_ignored_where_nothing_may_block,
    who_has_a_subscription_waits_or_is_told,
    several_calls_of_one_moderator_share_a_place,
    skills_and_skips_decide_who_is_served,
    mclaim_waits_for_all_its_keys,
);
