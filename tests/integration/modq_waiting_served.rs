//! What serves a blocked CLAIM: everything that makes an item available, and whatever becomes of the key meanwhile.

use modq_testkit::queue::*;
use modq_testkit::*;

fn a_submit_serves(kind: Kind) {
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
}

fn what_is_given_back_serves(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut b = server.client();
    // Release, with and without delay.
    submit(&mut c, "q a p");
    let first = claim(&mut c, "q x");
    block(&mut b, &server, "MODQ.CLAIM q m BLOCK 0");
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
    block(&mut b, &server, "MODQ.CLAIM q z BLOCK 0");
    assert!(cmd!(c, "MODQ.EXTEND", "q", "a", third.token, 20).int() > third.submitted);
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
}

fn freed_capacity_serves(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut b = server.client();
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
}

fn the_end_of_a_pause_serves(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut b = server.client();
    submit(&mut c, "q a p");
    c.expect_ok("MODQ.PAUSE q OUT");
    block(&mut b, &server, "MODQ.CLAIM q m BLOCK 0");
    submit(&mut c, "q b p");
    still_waits(&mut b);
    c.expect_ok("MODQ.UNPAUSE q IN");
    still_waits(&mut b);
    c.expect_ok("MODQ.UNPAUSE q");
    assert_eq!(served(&mut b).id(), "a");
    // Priority decides what is next once there is something.
    c.expect_ok("MODQ.PAUSE r OUT");
    submit(&mut c, "r low p");
    submit(&mut c, "r high p");
    block(&mut b, &server, "MODQ.CLAIM r m NEW BLOCK 0");
    c.line("MODQ.UPDATE r high PRIORITY 1");
    c.expect_ok("MODQ.UNPAUSE r");
    assert_eq!(served(&mut b).id(), "high");
}

fn changes_of_who_may_have_it_serve(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut b = server.client();
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
}

fn revivals_and_moves_serve(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut b = server.client();
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
}

/// What is done to a key.
type Step<'a> = &'a dyn Fn(&mut Client);

fn line(line: &'static str) -> impl Fn(&mut Client) {
    move |c| drop(c.line(line))
}

/// What happens to the key meanwhile: those who wait, wait for the name.
fn they_wait_for_the_name_whatever_becomes_of_the_key(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut b = server.client();
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
}

/// Ready items that come to the name in one piece, with their queue.
fn a_queue_that_comes_to_the_name_serves(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut b = server.client();
    submit(&mut c, "d i p");
    let dump = c.line("DUMP d").bytes().to_vec();
    c.expect_ok("FLUSHALL");
    let steps: &[(&str, Step)] = &[
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
    for (how, step) in steps {
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
            assert_eq!(b.reply().err_code(), "WRONGTYPE", "{how} {there}");
            assert_eq!(many.reply().err_code(), "WRONGTYPE", "{how} {there}");
            assert_eq!(line_of(&mut c, "r"), "");
        }
    }
}

matrix!(
    a_submit_serves,
    what_is_given_back_serves,
    freed_capacity_serves,
    the_end_of_a_pause_serves,
    changes_of_who_may_have_it_serve,
    revivals_and_moves_serve,
    they_wait_for_the_name_whatever_becomes_of_the_key,
    a_queue_that_comes_to_the_name_serves,
    another_type_at_the_name_is_told,
);
