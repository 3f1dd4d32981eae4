//! What CLAIM hands out: to whom, in which order, how much, and with which tokens.

use modq_testkit::queue::*;
use modq_testkit::*;

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
    assert_eq!(
        claims(&c.line("MODQ.HELD q m COUNT 18")),
        first,
        "all but two"
    );
    // Never before one claim, however large.
    c.expect_ok("CONFIG SET modq.max-payload-bytes 20000000");
    let huge = vec![b'y'; 17 << 20];
    assert_eq!(cmd!(c, "MODQ.SUBMIT", "r", "huge", huge), simple("READY"));
    submit(&mut c, "r small p");
    assert_eq!(ids(&c.line("MODQ.CLAIM r m COUNT 2")), "huge");
    assert_eq!(ids(&c.line("MODQ.CLAIM r m COUNT 1 NEW")), "small");
    assert_eq!(ids(&c.line("MODQ.HELD r m")), "huge");
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

matrix!(
    a_claim_says_all_there_is_to_know,
    items_come_in_order,
    count_is_how_many_one_wants_in_hand,
    tags_and_exclusions_decide_who_gets_what,
    a_claim_stops_at_16_mib,
    tokens_only_grow,
);
