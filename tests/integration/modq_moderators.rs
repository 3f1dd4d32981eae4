//! What moderators say: CLAIM, RESOLVE, RELEASE, EXTEND.

use modq_testkit::queue::*;
use modq_testkit::*;

const MAX_MS: i64 = 1 << 40;

fn a_claim_says_all_there_is_to_know(kind: Kind) {
    let (server, c) = desk(kind);
    for mut c in [c, server.client().hello3()] {
        c.expect_ok("FLUSHALL");
        submit(&mut c, "q i pay PRIORITY 7");
        let before = now_us();
        let reply = c.line("MODQ.CLAIM q mo");
        let after = now_us();
        let claimed = &claims(&reply)[0];
        assert!(
            (before..=after).contains(&claimed.token),
            "{before} {claimed:?} {after}"
        );
        let deadline = before / 1000 + 300_000..=after / 1000 + 300_000;
        assert!(deadline.contains(&claimed.deadline), "{claimed:?}");
        let item = c.line("MODQ.GET q i");
        let int = |name: &str| item.field(name).int();
        assert_eq!(
            reply,
            arr![arr![
                "i",
                "pay",
                int("token"),
                int("deadline"),
                7,
                int("submitted"),
                1,
                1
            ]]
        );
        assert_eq!(item.field("state"), bulk("locked"));
        assert_eq!(item.field("moderator"), bulk("mo"));
        assert_eq!(int("deliveries"), 1);
        assert_eq!(counts(&mut c, "q"), [0, 1, 0, 0]);
        // LOCK says how long.
        submit(&mut c, "q j p");
        let before = now_ms();
        let claimed = claim(&mut c, "q other LOCK 5000");
        let after = now_ms();
        assert!((before + 5000..=after + 5000).contains(&claimed.deadline));
        // Empty-handed is null, and no change.
        let nothing = unchanged(&mut c, "q", |c| c.line("MODQ.CLAIM q third COUNT 5 NEW"));
        assert!(nothing.is_null(), "{nothing:?}");
    }
    assert_eq!(server.client().hello3().line("MODQ.CLAIM q x"), Value::Null);
}

fn items_come_in_order(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let drain = |c: &mut Client| {
        let all = ids(&c.line("MODQ.CLAIM q m COUNT 100 NEW"));
        c.expect_ok("FLUSHALL");
        all
    };
    // By age, even within one millisecond.
    let many: Vec<String> = (0..50).map(|i| format!("MODQ.SUBMIT q i{i} p")).collect();
    c.pipeline(&many);
    let sorted: Vec<String> = (0..50).map(|i| format!("i{i}")).collect();
    assert_eq!(drain(&mut c), sorted.join(" "));
    // By priority first.
    for (item, priority) in [("a", 0), ("b", -1), ("c", 5), ("d", 5), ("e", i32::MAX)] {
        submit(&mut c, &format!("q {item} p PRIORITY {priority}"));
    }
    submit(&mut c, "q f p PRIORITY -2147483648");
    assert_eq!(drain(&mut c), "e c d a b f");
    // A boost makes an item older, within its priority; a negative one younger.
    submit(&mut c, "q a p");
    submit(&mut c, "q b p BOOST 100000");
    submit(&mut c, "q c p BOOST -100000");
    submit(&mut c, "q d p BOOST 1099511627776");
    submit(&mut c, "q e p PRIORITY 1 BOOST -1099511627776");
    submit(&mut c, "q f p");
    assert_eq!(drain(&mut c), "e d b a f c");
    // Tags do not cut the line in two.
    for (item, tags) in [
        ("a", "1 x"),
        ("b", "0"),
        ("c", "1 y"),
        ("d", "2 x y"),
        ("e", "1 x"),
    ] {
        submit(&mut c, &format!("q {item} p TAGS {tags}"));
    }
    let reply = c.line("MODQ.CLAIM q m COUNT 100 TAGS 3 y x z");
    assert_eq!(ids(&reply), "a b c d e");
}

fn count_is_how_many_one_wants_in_hand(kind: Kind) {
    let (_server, mut c) = desk(kind);
    for i in 1..=6 {
        submit(&mut c, &format!("q i{i} p"));
    }
    let first = claim(&mut c, "q m LOCK 50000");
    // A retry gives the same again and changes nothing.
    unchanged(&mut c, "q", |c| {
        assert_eq!(claim(c, "q m"), first);
        assert_eq!(claim(c, "q m COUNT 1 LOCK 7 TAGS 1 none"), first);
    });
    let three = claims(&c.line("MODQ.CLAIM q m COUNT 3 LOCK 60000"));
    assert_eq!(
        three.iter().map(Claimed::id).collect::<Vec<_>>(),
        ["i1", "i2", "i3"]
    );
    assert_eq!(three[0], first, "LOCK touches new ones only");
    assert!(three[1].deadline > first.deadline);
    assert!(three[0].token < three[1].token && three[1].token < three[2].token);
    unchanged(&mut c, "q", |c| {
        assert_eq!(claims(&c.line("MODQ.CLAIM q m COUNT 2")), three[..2]);
        assert_eq!(claims(&c.line("MODQ.CLAIM q m COUNT 3")), three);
    });
    // NEW counts and returns new ones only.
    assert_eq!(ids(&c.line("MODQ.CLAIM q m NEW COUNT 2")), "i4 i5");
    // Lowest token first, not oldest item: i1 comes back with a later token.
    cmd!(c, "MODQ.RELEASE", "q", "i1", first.token);
    let rest = claims(&c.line("MODQ.CLAIM q m COUNT 10"));
    let order: Vec<String> = rest.iter().map(Claimed::id).collect();
    assert_eq!(order, ["i2", "i3", "i4", "i5", "i1", "i6"]);
    assert!(rest.windows(2).all(|pair| pair[0].token < pair[1].token));
    assert_eq!(rest[4].deliveries, 2);
    unchanged(&mut c, "q", |c| {
        assert_eq!(claims(&c.line("MODQ.CLAIM q m COUNT 1000")), rest);
        assert!(c.line("MODQ.CLAIM q m NEW").is_null());
        assert!(c.line("MODQ.CLAIM q other COUNT 1000").is_null());
    });
}

fn tags_and_exclusions_decide_who_gets_what(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q both p TAGS 2 de adult");
    submit(&mut c, "q de p TAGS 1 de");
    submit(&mut c, "q plain p EXCLUDE 1 eve");
    submit(&mut c, "q last p");
    let mut get = |words: &str| ids(&c.line(&format!("MODQ.CLAIM q {words} NEW")));
    assert_eq!(get("a TAGS 1 adult"), "plain");
    assert_eq!(get("eve TAGS 1 en"), "last");
    assert_eq!(get("b COUNT 5"), "");
    assert_eq!(get("b TAGS 0 COUNT 5"), "");
    assert_eq!(get("c TAGS 3 fr de en COUNT 5"), "de");
    assert_eq!(get("c TAGS 2 DE ADULT"), "", "tags are bytes: case counts");
    assert_eq!(get("d TAGS 2 adult de COUNT 5"), "both");
    // The excluded take what is behind.
    submit(&mut c, "r i1 p EXCLUDE 2 x eve");
    submit(&mut c, "r i2 p EXCLUDE 1 eve");
    submit(&mut c, "r i3 p");
    assert_eq!(claim(&mut c, "r eve").id(), "i3");
    assert!(c.line("MODQ.CLAIM r eve NEW").is_null());
    assert_eq!(claim(&mut c, "r x").id(), "i2");
    assert_eq!(claim(&mut c, "r y").id(), "i1");
}

fn wrong_words_are_refused_and_change_nothing(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q locked p");
    let t = claim(&mut c, "q m").token;
    submit(&mut c, "q ready p");
    let refused: &[(&str, &str)] = &[
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
    unchanged(&mut c, "q", |c| {
        for (line, part) in refused {
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
    // Just inside the ranges.
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
    assert!(field(&mut c, "q", "ready", "due").int() >= before + MAX_MS);
}

fn a_claim_stops_at_16_mib(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let payload = vec![b'x'; 1 << 20];
    for i in 0..18 {
        assert_eq!(cmd!(c, "MODQ.SUBMIT", "q", i, payload), simple("READY"));
    }
    let first = claims(&c.line("MODQ.CLAIM q m COUNT 18"));
    assert_eq!(first.len(), 16);
    assert_eq!(len(&mut c, "q LOCKED"), 16);
    // What is held counts too: there is no room for more.
    assert_eq!(claims(&c.line("MODQ.CLAIM q m COUNT 18")), first);
    assert_eq!(ids(&c.line("MODQ.CLAIM q m COUNT 18 NEW")), "16 17");
    // Never before one claim, however large.
    c.expect_ok("CONFIG SET modq.max-payload-bytes 20000000");
    let huge = vec![b'y'; 17 << 20];
    assert_eq!(cmd!(c, "MODQ.SUBMIT", "r", "huge", huge), simple("READY"));
    submit(&mut c, "r small p");
    assert_eq!(ids(&c.line("MODQ.CLAIM r m COUNT 2")), "huge");
    assert_eq!(ids(&c.line("MODQ.CLAIM r m COUNT 1 NEW")), "small");
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
    release(&mut c, "a", lock.token, "delay 40 skip");
    let after = now_ms();
    let now = c.line("MODQ.GET q a");
    assert!((before + 40..=after + 40).contains(&now.field("due").int()));
    assert_eq!(now.field("excluded"), arr!["n", "o", "p"]);
    let token = locks[2].token;
    release(&mut c, "c", token, "DELAY 0");
    wait_until("it is due", PATIENCE, || len(&mut c, "q READY") == 2);
    assert!(now_ms() >= now.field("due").int());
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
    let lock = claim(&mut c, "q m LOCK 300");
    cmd!(c, "MODQ.EXTEND", "q", "i", lock.token, 100_000);
    wait_until("the first deadline is over", PATIENCE, || {
        now_ms() > lock.deadline + 20
    });
    assert_eq!(claim(&mut c, "q m").token, lock.token);
}

/// A token is larger than every token its key gave before, whatever happened to the key in between.
fn tokens_only_grow(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let mut last = 0;
    let mut grows = |reply: &Value| {
        let claims = claims(reply);
        assert!(!claims.is_empty(), "{reply:?}");
        for claim in claims {
            assert!(claim.token > last, "{} after {last}", claim.token);
            last = claim.token;
        }
    };
    let fill: Vec<String> = (0..1000).map(|i| format!("MODQ.SUBMIT q i{i} p")).collect();
    // A thousand at once are more than there are microseconds, so the tokens run ahead of the clock.
    for gone in [
        "DEL q",
        "UNLINK q",
        "FLUSHALL",
        "SET q x",
        "RENAME q other",
        "FLUSHDB ASYNC",
    ] {
        c.pipeline(&fill);
        let replies = c.pipeline(&[
            "MULTI",
            "MODQ.CLAIM q m COUNT 1000",
            gone,
            "DEL q",
            "MODQ.SUBMIT q i p",
            "MODQ.CLAIM q m",
            "DEL q",
            "EXEC",
        ]);
        let replies = replies.last().unwrap();
        assert_eq!(replies[0].items().len(), 1000);
        grows(&replies[0]);
        grows(&replies[4]);
    }
    // Also where another queue takes the name.
    c.pipeline(&fill);
    submit(&mut c, "fresh i p");
    let replies = c.pipeline(&[
        "MULTI",
        "MODQ.CLAIM q m COUNT 1000",
        "RENAME fresh q",
        "MODQ.CLAIM q m",
        "EXEC",
    ]);
    grows(&replies[4][0]);
    grows(&replies[4][2]);
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
    a_claim_says_all_there_is_to_know,
    items_come_in_order,
    count_is_how_many_one_wants_in_hand,
    tags_and_exclusions_decide_who_gets_what,
    wrong_words_are_refused_and_change_nothing,
    a_claim_stops_at_16_mib,
    resolve_ends_an_item,
    release_gives_back_the_place,
    extend_sets_the_deadline_from_now,
    tokens_only_grow,
    other_types_are_refused_on_both_sides,
    a_missing_key_is_an_empty_queue,
    moderators_work_in_transactions_and_scripts,
);
