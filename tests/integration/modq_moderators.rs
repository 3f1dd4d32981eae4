//! What moderators say: RESOLVE, RELEASE, EXTEND, and what all of their words may hold.

use modq_testkit::queue::*;
use modq_testkit::*;

const MAX_MS: i64 = 1 << 40;

/// Lines that are refused, where TOKEN is the lock's, and what the error names.
const REFUSED: &[(&str, &str)] = &[
    ("MODQ.CLAIM q", "number of arguments"),
    ("MODQ.CLAIM q n COUNT", "count"),
    ("MODQ.CLAIM q n COUNT 0", "count"),
    ("MODQ.CLAIM q n COUNT 1001", "count"),
    ("MODQ.CLAIM q n COUNT -1", "count"),
    ("MODQ.CLAIM q n COUNT 1 COUNT 1", "count"),
    ("MODQ.CLAIM q n LOCK", "lock"),
    ("MODQ.CLAIM q n LOCK 0", "lock"),
    ("MODQ.CLAIM q n LOCK -5", "lock"),
    ("MODQ.CLAIM q n LOCK 1099511627777", "lock"),
    ("MODQ.CLAIM q n LOCK 5s", "lock"),
    ("MODQ.CLAIM q n LOCK 5 lock 5", "lock"),
    ("MODQ.CLAIM q n BLOCK", "block"),
    ("MODQ.CLAIM q n BLOCK -1", "block"),
    ("MODQ.CLAIM q n BLOCK 1099511627777", "block"),
    ("MODQ.CLAIM q n BLOCK 0.5", "block"),
    ("MODQ.CLAIM q n TAGS 2 a", "tags"),
    ("MODQ.CLAIM q n TAGS 65", "tags"),
    ("MODQ.CLAIM q n TAGS 0 TAGS 0", "tags"),
    ("MODQ.CLAIM q n NEW NEW", "new"),
    ("MODQ.CLAIM q n EXCLUDE 0", ""),
    ("MODQ.CLAIM q n o", ""),
    ("MODQ.RESOLVE q locked", "number of arguments"),
    ("MODQ.RESOLVE q locked token", "token"),
    ("MODQ.RESOLVE q locked 1.0", "token"),
    ("MODQ.RESOLVE q locked 99999999999999999999", "token"),
    ("MODQ.RESOLVE q locked TOKEN REV", "rev"),
    ("MODQ.RESOLVE q locked TOKEN REV one", "rev"),
    ("MODQ.RESOLVE q locked TOKEN REV 1 REV 1", "rev"),
    ("MODQ.RESOLVE q locked TOKEN DECISION", "decision"),
    (
        "MODQ.RESOLVE q locked TOKEN DECISION a DECISION b",
        "decision",
    ),
    ("MODQ.RESOLVE q locked TOKEN SKIP", ""),
    ("MODQ.RELEASE q locked", "number of arguments"),
    ("MODQ.RELEASE q locked token", "token"),
    ("MODQ.RELEASE q locked TOKEN SKIP SKIP", "skip"),
    ("MODQ.RELEASE q locked TOKEN DELAY", "delay"),
    ("MODQ.RELEASE q locked TOKEN DELAY -1", "delay"),
    ("MODQ.RELEASE q locked TOKEN DELAY 1099511627777", "delay"),
    ("MODQ.RELEASE q locked TOKEN DELAY 5 DELAY 5", "delay"),
    ("MODQ.RELEASE q locked TOKEN REV 1", ""),
    ("MODQ.EXTEND q locked TOKEN", "number of arguments"),
    ("MODQ.EXTEND q locked TOKEN 5 5", "number of arguments"),
    ("MODQ.EXTEND q locked token 5", "token"),
    ("MODQ.EXTEND q locked TOKEN ms", "ms"),
    ("MODQ.EXTEND q locked TOKEN -1", "ms"),
    ("MODQ.EXTEND q locked TOKEN 1099511627777", "ms"),
];

fn wrong_words_are_refused_and_change_nothing(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q locked p");
    let t = claim(&mut c, "q m").token;
    submit(&mut c, "q ready p");
    unchanged(&mut c, "q", |c| {
        for (line, part) in REFUSED {
            let line = line.replace("TOKEN", &t.to_string());
            let reply = c.line(&line);
            assert_eq!(reply.err_code(), "ERR", "{line}: {reply:?}");
            let said = format!("{reply:?}").to_lowercase();
            assert!(said.contains(part), "{line}: {said}");
        }
        for id in [&b""[..], &[b'm'; 513]] {
            assert_err!(cmd!(c, "MODQ.CLAIM", "q", id), "ERR", "moderator");
            assert_err!(cmd!(c, "MODQ.RESOLVE", "q", id, t), "ERR", "item");
            assert_err!(cmd!(c, "MODQ.RELEASE", "q", id, t), "ERR", "item");
            assert_err!(cmd!(c, "MODQ.EXTEND", "q", id, t, 5), "ERR", "item");
        }
        let long = vec![b'd'; (64 << 10) + 1];
        let reply = cmd!(c, "MODQ.RESOLVE", "q", "locked", t, "DECISION", long);
        assert_err!(reply, "ERR", "DECISION");
    });
    what_is_just_inside_the_ranges_is_taken(&mut c, t);
}

/// Of a queue with the item `locked`, held with this token, and the item `ready`.
fn what_is_just_inside_the_ranges_is_taken(c: &mut Client, t: i64) {
    let before = now_ms();
    let moderator = vec![b'm'; 512];
    let reply = cmd!(
        c,
        "MODQ.CLAIM",
        "q",
        moderator,
        "LOCK",
        MAX_MS,
        "COUNT",
        1000
    );
    assert!(claims(&reply)[0].deadline >= before + MAX_MS);
    assert_eq!(
        claims(&cmd!(c, "MODQ.HELD", "q", moderator)),
        claims(&reply)
    );
    let deadline = cmd!(c, "MODQ.EXTEND", "q", "locked", t, MAX_MS).int();
    assert!(deadline >= before + MAX_MS);
    let decision = vec![b'\0'; 64 << 10];
    let reply = cmd!(
        c,
        "MODQ.RESOLVE",
        "q",
        "locked",
        t,
        "DECISION",
        decision,
        "REV",
        1
    );
    assert_eq!(reply, ok());
    let t = claims(&cmd!(c, "MODQ.HELD", "q", moderator))[0].token;
    let reply = cmd!(c, "MODQ.RELEASE", "q", "ready", t, "DELAY", MAX_MS);
    assert_eq!(reply, ok());
    assert!(field(c, "q", "ready", "due").int() >= before + MAX_MS);
}

fn resolve_ends_an_item(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q i p");
    submit(&mut c, "q other p");
    let lock = claim(&mut c, "q m");
    unchanged(&mut c, "q", |c| {
        assert_err!(cmd!(c, "MODQ.RESOLVE", "q", "none", lock.token), "NOITEM");
        assert_err!(cmd!(c, "MODQ.RESOLVE", "q", "i", lock.token + 1), "STALE");
        assert_err!(cmd!(c, "MODQ.RESOLVE", "q", "i", lock.token - 1), "STALE");
        assert_err!(cmd!(c, "MODQ.RESOLVE", "q", "i", 1), "STALE");
        // An item that is not locked has no live lock.
        assert_err!(cmd!(c, "MODQ.RESOLVE", "q", "other", lock.token), "STALE");
        assert_err!(
            cmd!(c, "MODQ.RESOLVE", "q", "i", lock.token, "REV", 2),
            "CHANGED"
        );
        // The token comes first: a stale one is not told what changed.
        assert_err!(cmd!(c, "MODQ.RESOLVE", "q", "i", 1, "REV", 2), "STALE");
    });
    c.line("MODQ.UPDATE q i PAYLOAD new");
    unchanged(&mut c, "q", |c| {
        assert_err!(
            cmd!(c, "MODQ.RESOLVE", "q", "i", lock.token, "rev", lock.rev),
            "CHANGED"
        );
    });
    let again = claim(&mut c, "q m");
    assert_eq!(
        (again.token, again.rev),
        (lock.token, 2),
        "the lock is kept"
    );
    let reply = changed(&mut c, "q", |c| {
        cmd!(
            c,
            "modq.resolve",
            "q",
            "i",
            lock.token,
            "decision",
            "ok",
            "REV",
            2
        )
    });
    assert_eq!(reply, ok());
    assert!(c.line("MODQ.GET q i").is_null());
    assert_eq!(len(&mut c, "q"), 1);
    assert_err!(cmd!(c, "MODQ.RESOLVE", "q", "i", lock.token), "NOITEM");
    // Without REV what changed does not matter.
    let lock = claim(&mut c, "q m");
    c.line("MODQ.UPDATE q other PRIORITY 1");
    assert_eq!(cmd!(c, "MODQ.RESOLVE", "q", "other", lock.token), ok());
    assert_eq!(c.line("EXISTS q"), Value::Int(1), "an empty queue stays");
    assert_eq!(c.line("TYPE q"), simple("modqqueue"));
}

fn release_gives_back_the_place(kind: Kind) {
    let (_server, mut c) = desk(kind);
    for item in ["a", "b", "c"] {
        submit(&mut c, &format!("q {item} p"));
    }
    let locks = claims(&c.line("MODQ.CLAIM q m COUNT 2"));
    unchanged(&mut c, "q", |c| {
        assert_err!(cmd!(c, "MODQ.RELEASE", "q", "a", 1), "STALE");
        assert_err!(cmd!(c, "MODQ.RELEASE", "q", "c", locks[0].token), "STALE");
        assert_err!(cmd!(c, "MODQ.RELEASE", "q", "x", 1), "NOITEM");
    });
    let release = |c: &mut Client, item: &str, token: i64, words: &str| {
        let line = format!("MODQ.RELEASE q {item} {token} {words}");
        assert_eq!(changed(c, "q", |c| c.line(&line)), ok(), "{line}");
    };
    release(&mut c, "b", locks[1].token, "");
    release(&mut c, "a", locks[0].token, "");
    let now = c.line("MODQ.GET q a");
    assert_eq!(now.field("state"), bulk("ready"));
    assert_eq!(now.field("rev"), Value::Int(1), "a release is no change");
    assert_eq!(now.field("expiries"), Value::Int(0));
    assert!(now.field("moderator").is_null() && now.field("token").is_null());
    assert_eq!(ids(&c.line("MODQ.CLAIM q m COUNT 3")), "a b c");
    let locks = claims(&c.line("MODQ.CLAIM q m COUNT 3"));
    // A spent token is worth nothing, also when the item is locked again.
    release(&mut c, "a", locks[0].token, "");
    let again = claim(&mut c, "q n");
    for line in ["RESOLVE q a #", "RELEASE q a #", "EXTEND q a # 5"] {
        let line = format!("MODQ.{}", line.replace('#', &locks[0].token.to_string()));
        assert_err!(unchanged(&mut c, "q", |c| c.line(&line)), "STALE");
    }
    // SKIP: never again for this moderator, the same place for others.
    release(&mut c, "a", again.token, "SKIP");
    assert!(unchanged(&mut c, "q", |c| c
        .line("MODQ.CLAIM q n")
        .is_null()));
    assert_eq!(field(&mut c, "q", "a", "excluded"), arr!["n"]);
    release(&mut c, "b", locks[1].token, "");
    assert_eq!(claim(&mut c, "q n").id(), "b");
    let other = claim(&mut c, "q o");
    assert_eq!(other.id(), "a");
    // Twice is once.
    release(&mut c, "a", other.token, "SKIP");
    assert_eq!(field(&mut c, "q", "a", "excluded"), arr!["n", "o"]);
    // DELAY: not before, then in its own place.
    let lock = claim(&mut c, "q p");
    let before = now_ms();
    let replies = c.pipeline(&[
        format!("MODQ.RELEASE q a {} delay 200 skip", lock.token),
        "MODQ.GET q a".into(),
    ]);
    let after = now_ms();
    assert_eq!(replies[0], ok());
    let due = replies[1].field("due").int();
    assert!((before + 200..=after + 200).contains(&due));
    assert_eq!(replies[1].field("excluded"), arr!["n", "o", "p"]);
    release(&mut c, "c", locks[2].token, "DELAY 0");
    wait_until("it is due", PATIENCE, || len(&mut c, "q READY") == 2);
    assert!(now_ms() >= due);
    assert_eq!(ids(&c.line("MODQ.CLAIM q new COUNT 2")), "a c");
}

fn extend_sets_the_deadline_from_now(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q i p");
    let lock = claim(&mut c, "q m");
    for ms in [1_000_000, 60_000] {
        let before = now_ms();
        let deadline = changed(&mut c, "q", |c| {
            cmd!(c, "MODQ.EXTEND", "q", "i", lock.token, ms)
        });
        let after = now_ms();
        assert!((before + ms..=after + ms).contains(&deadline.int()));
        assert_eq!(
            field(&mut c, "q", "i", "deadline"),
            deadline,
            "also to earlier"
        );
        let now = claim(&mut c, "q m");
        assert_eq!(now.deadline, deadline.int());
        assert_eq!((now.token, now.rev, now.deliveries), (lock.token, 1, 1));
    }
    unchanged(&mut c, "q", |c| {
        assert_err!(cmd!(c, "MODQ.EXTEND", "q", "x", lock.token, 5), "NOITEM");
        assert_err!(cmd!(c, "MODQ.EXTEND", "q", "i", lock.token + 1, 5), "STALE");
    });
    // What was extended outlives its first deadline, what was shortened does not.
    let short = cmd!(c, "MODQ.EXTEND", "q", "i", lock.token, 1).int();
    wait_until("the lock is over", PATIENCE, || {
        len(&mut c, "q LOCKED") == 0
    });
    assert!(now_ms() >= short);
    assert_err!(cmd!(c, "MODQ.EXTEND", "q", "i", lock.token, 5000), "STALE");
    // In a script, so that the first deadline cannot pass in between.
    let script = "local claim = redis.call('MODQ.CLAIM', KEYS[1], 'm', 'LOCK', 30)[1]
                  redis.call('MODQ.EXTEND', KEYS[1], claim[1], claim[3], 100000)
                  return {claim[3], claim[4]}";
    let lock = cmd!(c, "EVAL", script, 1, "q");
    let (token, deadline) = (lock[0].int(), lock[1].int());
    wait_until("the first deadline is over", PATIENCE, || {
        now_ms() > deadline + 20
    });
    assert_eq!(claim(&mut c, "q m").token, token);
}

const WRITES: [&str; 7] = [
    "MODQ.SUBMIT K i p",
    "MODQ.CANCEL K i",
    "MODQ.UPDATE K i PRIORITY 1",
    "MODQ.CLAIM K m",
    "MODQ.RESOLVE K i 1",
    "MODQ.RELEASE K i 1",
    "MODQ.EXTEND K i 1 5",
];
const READS: [&str; 3] = ["MODQ.GET K i", "MODQ.LEN K", "MODQ.HELD K m"];

fn other_types_are_refused_on_both_sides(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("SET s value");
    c.line("LPUSH l x");
    c.line("XADD x * a b");
    for key in ["s", "l", "x"] {
        unchanged(&mut c, key, |c| {
            for line in WRITES.iter().chain(&READS) {
                assert_err!(c.line(&line.replace('K', key)), "WRONGTYPE");
            }
        });
    }
    submit(&mut c, "q i p");
    unchanged(&mut c, "q", |c| {
        for line in [
            "GET q",
            "APPEND q x",
            "INCR q",
            "LPUSH q x",
            "RPOP q",
            "HGET q f",
            "SADD q x",
            "ZADD q 1 x",
            "XLEN q",
            "XADD q * a b",
            "GETDEL q",
            "GETEX q",
            "SETRANGE q 0 x",
            "LMOVE q l LEFT LEFT",
            "SETBIT q 1 1",
        ] {
            assert_err!(c.line(line), "WRONGTYPE");
        }
    });
    // SET replaces whatever was there, as ever.
    c.expect_ok("SET q s");
    assert_err!(c.line("MODQ.LEN q"), "WRONGTYPE");
}

fn a_missing_key_is_an_empty_queue(kind: Kind) {
    let (server, c) = desk(kind);
    for mut c in [c, server.client().hello3()] {
        let null = |reply: Value| assert!(reply.is_null(), "{reply:?}");
        unchanged(&mut c, "q", |c| {
            assert_eq!(c.line("MODQ.CANCEL q i"), Value::Int(0));
            assert_eq!(c.line("MODQ.CANCEL q i REV 1"), Value::Int(0));
            assert_err!(c.line("MODQ.UPDATE q i PRIORITY 1"), "NOITEM");
            null(c.line("MODQ.CLAIM q m COUNT 3 NEW TAGS 1 t"));
            assert_err!(c.line("MODQ.RESOLVE q i 1"), "NOITEM");
            assert_err!(c.line("MODQ.RELEASE q i 1 SKIP"), "NOITEM");
            assert_err!(c.line("MODQ.EXTEND q i 1 5"), "NOITEM");
            null(c.line("MODQ.GET q i"));
            for state in ["", "READY", "LOCKED", "DELAYED", "DEAD"] {
                assert_eq!(c.line(&format!("MODQ.LEN q {state}")), Value::Int(0));
            }
            assert_eq!(c.line("MODQ.HELD q m"), arr![]);
        });
        assert_eq!(c.line("EXISTS q"), Value::Int(0));
    }
}

fn moderators_work_in_transactions_and_scripts(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q a p");
    submit(&mut c, "q b p");
    // BLOCK does not block here.
    let replies = c.pipeline(&[
        "MULTI",
        "MODQ.CLAIM q m BLOCK 0",
        "MODQ.CLAIM q m BLOCK 0",
        "MODQ.CLAIM q m BLOCK 0 TAGS 1 x NEW",
        "MODQ.CLAIM q m BLOCK 0 NEW",
        "MODQ.RESOLVE q a 1",
        "MODQ.LEN q",
        "EXEC",
    ]);
    let exec = replies.last().unwrap();
    let lock = &claims(&exec[0])[0];
    assert_eq!(exec[1], exec[0]);
    assert_eq!(ids(&exec[2]), "b", "no tags needed");
    assert!(exec[3].is_null());
    assert_err!(&exec[4], "STALE");
    assert_eq!(exec[5], Value::Int(2));
    let mut eval = |script: &str| cmd!(c, "EVAL", script, 1, "q", lock.token);
    assert_eq!(
        eval("return redis.call('MODQ.CLAIM', KEYS[1], 'none', 'BLOCK', 0) == false and 1 or 0"),
        Value::Int(1)
    );
    assert_eq!(
        eval("return redis.call('MODQ.CLAIM', KEYS[1], 'm', 'COUNT', '2')[1]"),
        exec[0][0]
    );
    assert_eq!(
        eval("return redis.call('MODQ.CLAIM', KEYS[1], 'm')[1][3] == tonumber(ARGV[1]) and 1 or 0"),
        Value::Int(1),
        "a token is a number in Lua, exactly"
    );
    assert_eq!(
        eval("return redis.call('MODQ.HELD', KEYS[1], 'none')"),
        arr![]
    );
    let deadline = eval("return redis.call('MODQ.EXTEND', KEYS[1], 'a', ARGV[1], 70000)").int();
    assert_eq!(
        eval("return redis.pcall('MODQ.RELEASE', KEYS[1], 'a', 1)").err_code(),
        "STALE"
    );
    assert_eq!(field(&mut c, "q", "a", "deadline"), Value::Int(deadline));
    let mut eval = |script: &str| cmd!(c, "EVAL", script, 1, "q", lock.token);
    assert_eq!(
        eval(
            "redis.call('MODQ.RELEASE', KEYS[1], 'a', ARGV[1], 'SKIP')
             local claim = redis.call('MODQ.CLAIM', KEYS[1], 'n')[1]
             return redis.call('MODQ.RESOLVE', KEYS[1], claim[1], claim[3], 'REV', claim[8])"
        ),
        ok()
    );
    assert_eq!(counts(&mut c, "q"), [0, 1, 0, 0]);
}

matrix!(
    wrong_words_are_refused_and_change_nothing,
    resolve_ends_an_item,
    release_gives_back_the_place,
    extend_sets_the_deadline_from_now,
    other_types_are_refused_on_both_sides,
    a_missing_key_is_an_empty_queue,
    moderators_work_in_transactions_and_scripts,
);
