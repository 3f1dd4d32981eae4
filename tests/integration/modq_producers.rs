//! What producers say: SUBMIT, CANCEL, UPDATE.

use modq_testkit::queue::*;
use modq_testkit::*;

const BINARY: &[u8] = b"a\0b\r\n\xff%s%n {}\"";
const MAX_MS: i64 = 1 << 40;

fn submit_answers_what_became_of_it(kind: Kind) {
    let (server, c) = desk(kind);
    for mut c in [c, server.client().hello3()] {
        c.expect_ok("FLUSHALL");
        let said = |c: &mut Client, words: &str| c.line(&format!("MODQ.SUBMIT {words}"));
        assert_eq!(said(&mut c, "q a p"), simple("READY"));
        assert_eq!(said(&mut c, "q b p DELAY 60000"), simple("DELAYED"));
        assert_eq!(said(&mut c, "q now p DELAY 0"), simple("READY"));
        unchanged(&mut c, "q", |c| {
            assert_eq!(said(c, "q a other"), simple("EXISTS"));
            assert_eq!(said(c, "q a other ONDUP KEEP PRIORITY 9"), simple("EXISTS"));
            assert_eq!(said(c, "q b other"), simple("EXISTS"));
            assert_err!(said(c, "q a other ONDUP ERROR"), "EXISTS");
            assert_err!(said(c, "q b other PRIORITY 3 ONDUP ERROR"), "EXISTS");
        });
        assert_eq!(said(&mut c, "q c p ONDUP ERROR"), simple("READY"));
        assert_eq!(said(&mut c, "q a p ONDUP BUMP"), simple("BUMPED"));
        assert_eq!(said(&mut c, "q b p ONDUP REPLACE"), simple("REPLACED"));
        assert_eq!(said(&mut c, "q d p ONDUP BUMP"), simple("READY"));
        assert_eq!(
            said(&mut c, "q e p ONDUP REPLACE DELAY 60000"),
            simple("DELAYED")
        );
        assert_eq!(counts(&mut c, "q"), [4, 0, 2, 0]);
        assert_eq!(c.line("TYPE q"), simple("modqqueue"));
    }
}

fn submit_keeps_everything_it_is_given(kind: Kind) {
    let (server, c) = desk(kind);
    let mut c = c.hello3();
    let before = now_ms();
    submit(
        &mut c,
        "q full pay PRIORITY -7 BOOST 1500 TAGS 3 de spam de EXCLUDE 2 eve adam",
    );
    submit(&mut c, "q bare pay");
    let after = now_ms();
    let submitted = field(&mut c, "q", "full", "submitted").int();
    assert!((before..=after).contains(&submitted));
    let full = c.line("MODQ.GET q full");
    let expected = |tags: Value| {
        map! {
            "item" => "full", "state" => "ready", "payload" => "pay", "priority" => -7, "boost" => 1500,
            "submitted" => submitted, "due" => 0, "rev" => 1, "reports" => 1, "deliveries" => 0, "expiries" => 0,
            "moderator" => Value::Null, "token" => Value::Null, "deadline" => Value::Null,
            "tags" => tags, "excluded" => arr!["eve", "adam"],
        }
    };
    // A tag named twice is one tag.
    assert_eq!(full, expected(arr!["de", "spam"]));
    let submitted = field(&mut c, "q", "bare", "submitted").int();
    assert!((before..=after).contains(&submitted));
    assert_eq!(
        c.line("MODQ.GET q bare"),
        map! {
            "item" => "bare", "state" => "ready", "payload" => "pay", "priority" => 0, "boost" => 0,
            "submitted" => submitted, "due" => 0, "rev" => 1, "reports" => 1, "deliveries" => 0, "expiries" => 0,
            "moderator" => Value::Null, "token" => Value::Null, "deadline" => Value::Null,
            "tags" => arr![], "excluded" => arr![],
        }
    );
    // RESP2 has the same as a flat array, with null bulks.
    let resp2 = server.client().line("MODQ.GET q bare");
    assert_eq!(resp2.items().len(), 32);
    for (field, value) in c.line("MODQ.GET q bare").pairs() {
        let expected = match value {
            Value::Null => Value::NullBulk,
            value => value,
        };
        assert_eq!(resp2.field(&field.text()), expected, "{field:?}");
    }
    // A delayed item says when it is due.
    let before = now_ms();
    assert_eq!(
        c.line("MODQ.SUBMIT q later pay DELAY 60000"),
        simple("DELAYED")
    );
    let after = now_ms();
    let due = field(&mut c, "q", "later", "due").int();
    assert!((before + 60_000..=after + 60_000).contains(&due));
    assert_eq!(state(&mut c, "q", "later"), "delayed");
}

fn option_order_and_case_do_not_matter(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let words = [
        "q PRIORITY 5 BOOST -9 TAGS 1 x EXCLUDE 1 eve ONDUP ERROR",
        "q onDup error exclude 1 eve tags 1 x boost -9 priority 5",
        "q Tags 1 x Priority 5 Exclude 1 eve Ondup Error Boost -9",
    ];
    for (i, words) in words.iter().enumerate() {
        let (key, options) = words.split_once(' ').unwrap();
        let reply = c.line(&format!("mOdQ.sUbMiT {key} i{i} p {options}"));
        assert_eq!(reply, simple("READY"), "{words}");
    }
    let mut shown = (0..3).map(|i| {
        let mut pairs = c.line(&format!("MODQ.GET q i{i}")).pairs();
        pairs.retain(|(field, _)| !["item", "submitted"].contains(&field.text().as_str()));
        pairs
    });
    let first = shown.next().unwrap();
    assert_eq!(
        Value::Map(first.clone()).field("excluded"),
        arr!["eve"],
        "{first:?}"
    );
    assert!(shown.all(|other| other == first));
    // Words of options are ordinary words where a value is expected.
    submit(&mut c, "q TAGS EXCLUDE TAGS 2 BOOST ONDUP EXCLUDE 1 TAGS");
    assert_eq!(
        field(&mut c, "q", "TAGS", "tags"),
        arr!["BOOST", "ONDUP"],
        "in that order"
    );
    assert_eq!(field(&mut c, "q", "TAGS", "excluded"), arr!["TAGS"]);
    assert_eq!(field(&mut c, "q", "TAGS", "payload"), bulk("EXCLUDE"));
}

fn wrong_words_are_refused_and_change_nothing(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q i p");
    let refused: &[(&str, &str)] = &[
        ("MODQ.SUBMIT", "number of arguments"),
        ("MODQ.SUBMIT q", "number of arguments"),
        ("MODQ.SUBMIT q x", "number of arguments"),
        ("MODQ.CANCEL q", "number of arguments"),
        ("MODQ.UPDATE q", "number of arguments"),
        ("MODQ.SUBMIT q x p PRIORITY", "priority"),
        ("MODQ.SUBMIT q x p PRIORITY one", "priority"),
        ("MODQ.SUBMIT q x p PRIORITY 1.5", "priority"),
        ("MODQ.SUBMIT q x p PRIORITY +1", "priority"),
        ("MODQ.SUBMIT q x p PRIORITY 2147483648", "priority"),
        ("MODQ.SUBMIT q x p PRIORITY -2147483649", "priority"),
        ("MODQ.SUBMIT q x p PRIORITY 1 PRIORITY 1", "priority"),
        ("MODQ.SUBMIT q x p priority 1 PRIORITY 2", "priority"),
        ("MODQ.SUBMIT q x p BOOST", "boost"),
        ("MODQ.SUBMIT q x p BOOST 1099511627777", "boost"),
        ("MODQ.SUBMIT q x p BOOST -1099511627777", "boost"),
        ("MODQ.SUBMIT q x p BOOST 1 BOOST 1", "boost"),
        ("MODQ.SUBMIT q x p DELAY", "delay"),
        ("MODQ.SUBMIT q x p DELAY -1", "delay"),
        ("MODQ.SUBMIT q x p DELAY 1099511627777", "delay"),
        (
            "MODQ.SUBMIT q x p DELAY 99999999999999999999999999",
            "delay",
        ),
        ("MODQ.SUBMIT q x p DELAY 0 DELAY 0", "delay"),
        ("MODQ.SUBMIT q x p TAGS", "tags"),
        ("MODQ.SUBMIT q x p TAGS -1", "tags"),
        ("MODQ.SUBMIT q x p TAGS 1", "tags"),
        ("MODQ.SUBMIT q x p TAGS 3 a b", "tags"),
        ("MODQ.SUBMIT q x p TAGS 9223372036854775807 a", "tags"),
        ("MODQ.SUBMIT q x p TAGS a b", "tags"),
        ("MODQ.SUBMIT q x p TAGS 0 TAGS 0", "tags"),
        ("MODQ.SUBMIT q x p TAGS 1 a b", ""),
        ("MODQ.SUBMIT q x p EXCLUDE", "exclude"),
        ("MODQ.SUBMIT q x p EXCLUDE -1", "exclude"),
        ("MODQ.SUBMIT q x p EXCLUDE 2 a", "exclude"),
        ("MODQ.SUBMIT q x p EXCLUDE 1001", "exclude"),
        ("MODQ.SUBMIT q x p EXCLUDE 1 a EXCLUDE 1 b", "exclude"),
        ("MODQ.SUBMIT q x p ONDUP", "ondup"),
        ("MODQ.SUBMIT q x p ONDUP MAYBE", "ondup"),
        ("MODQ.SUBMIT q x p ONDUP KEEP ONDUP KEEP", "ondup"),
        ("MODQ.SUBMIT q x p REV 1", ""),
        ("MODQ.SUBMIT q x p extra", ""),
        ("MODQ.SUBMIT q i p ONDUP REPLACE PRIORITY x", "priority"),
        ("MODQ.CANCEL q i REV", "rev"),
        ("MODQ.CANCEL q i REV x", "rev"),
        ("MODQ.CANCEL q i REV 1 REV 1", "rev"),
        ("MODQ.CANCEL q i extra", ""),
        ("MODQ.CANCEL q i 1", ""),
        ("MODQ.UPDATE q i REV", "rev"),
        ("MODQ.UPDATE q i PRIORITY 1 REV x", "rev"),
        ("MODQ.UPDATE q i PRIORITY 1 PRIORITY 1", "priority"),
        ("MODQ.UPDATE q i PRIORITY 2147483648", "priority"),
        ("MODQ.UPDATE q i BOOST 1099511627777", "boost"),
        ("MODQ.UPDATE q i PAYLOAD", "payload"),
        ("MODQ.UPDATE q i PAYLOAD a PAYLOAD b", "payload"),
        ("MODQ.UPDATE q i TAGS 2 a", "tags"),
        ("MODQ.UPDATE q i EXCLUDE 2 a", "exclude"),
        ("MODQ.UPDATE q i DELAY 5", ""),
        ("MODQ.UPDATE q i ONDUP KEEP", ""),
    ];
    for key in ["q", "missing"] {
        unchanged(&mut c, key, |c| {
            for (line, part) in refused {
                let line = line.replace(" q", &format!(" {key}"));
                let reply = c.line(&line);
                assert_eq!(reply.err_code(), "ERR", "{line}: {reply:?}");
                let said = format!("{reply:?}").to_lowercase();
                assert!(said.contains(part), "{line}: {said}");
            }
        });
    }
    assert_eq!(c.line("EXISTS missing"), Value::Int(0));
    assert_eq!(counts(&mut c, "q"), [1, 0, 0, 0]);
}

fn ranges_end_where_they_say(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let many = |n: usize, len: usize| -> Vec<Vec<u8>> {
        (0..n)
            .map(|i| {
                let mut word = format!("{i:04}").into_bytes();
                word.resize(len.max(4), b'\xff');
                word
            })
            .collect()
    };
    let with = |option: &str, id: &str, n: usize, words: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        let mut args: Vec<Vec<u8>> = ["MODQ.SUBMIT", "q", id, "p", option]
            .map(|word| word.into())
            .into();
        args.push(n.to_string().into());
        args.extend(words);
        args
    };
    // Just inside.
    for line in [
        "q prio+ p PRIORITY 2147483647",
        "q prio- p PRIORITY -2147483648",
        "q boost+ p BOOST 1099511627776",
        "q boost- p BOOST -1099511627776",
        "q none p TAGS 0 EXCLUDE 0",
    ] {
        submit(&mut c, line);
    }
    let before = now_ms();
    assert_eq!(
        cmd!(c, "MODQ.SUBMIT", "q", "delay", "p", "DELAY", MAX_MS),
        simple("DELAYED")
    );
    assert!(field(&mut c, "q", "delay", "due").int() >= before + MAX_MS);
    assert_eq!(
        field(&mut c, "q", "prio-", "priority"),
        Value::Int(-1 << 31)
    );
    assert_eq!(field(&mut c, "q", "boost-", "boost"), Value::Int(-MAX_MS));
    assert_eq!(
        c.cmd(&with("TAGS", "tags", 64, many(64, 255))),
        simple("READY")
    );
    assert_eq!(
        field(&mut c, "q", "tags", "tags"),
        Value::from(many(64, 255).into_iter().map(bulk).collect::<Vec<_>>())
    );
    assert_eq!(
        c.cmd(&with("EXCLUDE", "excl", 1000, many(1000, 512))),
        simple("READY")
    );
    assert_eq!(
        field(&mut c, "q", "excl", "excluded"),
        Value::from(many(1000, 512).into_iter().map(bulk).collect::<Vec<_>>())
    );
    let long = vec![b'i'; 512];
    assert_eq!(cmd!(c, "MODQ.SUBMIT", "q", long, ""), simple("READY"));
    assert_eq!(cmd!(c, "MODQ.GET", "q", long).field("item"), bulk(&long));
    assert_eq!(cmd!(c, "MODQ.GET", "q", long).field("payload"), bulk(""));
    // Just outside.
    unchanged(&mut c, "q", |c| {
        assert_err!(c.cmd(&with("TAGS", "x", 65, many(65, 4))), "ERR", "TAGS");
        assert_err!(c.cmd(&with("TAGS", "x", 1, many(1, 256))), "ERR", "TAGS");
        let empty = || vec![Vec::new()];
        assert_err!(c.cmd(&with("TAGS", "x", 1, empty())), "ERR", "TAGS");
        assert_err!(c.cmd(&with("EXCLUDE", "x", 1, empty())), "ERR", "EXCLUDE");
        let long = many(1, 513);
        assert_err!(c.cmd(&with("EXCLUDE", "x", 1, long)), "ERR", "EXCLUDE");
        let all = many(1001, 4);
        assert_err!(c.cmd(&with("EXCLUDE", "x", 1001, all)), "ERR", "EXCLUDE");
        for id in [&b""[..], &[b'i'; 513]] {
            assert_err!(cmd!(c, "MODQ.SUBMIT", "q", id, "p"), "ERR", "item");
            assert_err!(cmd!(c, "MODQ.CANCEL", "q", id), "ERR", "item");
            assert_err!(cmd!(c, "MODQ.UPDATE", "q", id), "ERR", "item");
        }
    });
}

fn payloads_are_as_large_as_configured(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let most = vec![b'\xfe'; 1 << 20];
    let over = vec![b'\xfe'; (1 << 20) + 1];
    assert_eq!(cmd!(c, "MODQ.SUBMIT", "q", "big", most), simple("READY"));
    assert_eq!(field(&mut c, "q", "big", "payload"), bulk(&most));
    unchanged(&mut c, "q", |c| {
        assert_err!(cmd!(c, "MODQ.SUBMIT", "q", "x", over), "ERR", "payload");
        let reply = cmd!(c, "MODQ.SUBMIT", "q", "big", over, "ONDUP", "REPLACE");
        assert_err!(reply, "ERR", "payload");
        let reply = cmd!(c, "MODQ.UPDATE", "q", "big", "PAYLOAD", over);
        assert_err!(reply, "ERR", "payload");
    });
    c.expect_ok("CONFIG SET modq.max-payload-bytes 3");
    submit(&mut c, "q three 123");
    assert_err!(c.line("MODQ.SUBMIT q four 1234"), "ERR", "payload");
    assert_err!(c.line("MODQ.UPDATE q three PAYLOAD 1234"), "ERR", "payload");
    assert_eq!(c.line("MODQ.UPDATE q three PAYLOAD 321"), Value::Int(2));
    // What is there already stays, and can be worked with.
    assert_eq!(c.line("MODQ.UPDATE q big PRIORITY 1"), Value::Int(2));
    assert_eq!(claim(&mut c, "q m").payload, most);
    c.expect_ok("DEBUG RELOAD");
    assert_eq!(field(&mut c, "q", "big", "payload"), bulk(&most));
    c.expect_ok("CONFIG SET modq.max-payload-bytes 0");
    assert_err!(c.line("MODQ.SUBMIT q five 5"), "ERR", "payload");
    assert_eq!(cmd!(c, "MODQ.SUBMIT", "q", "none", ""), simple("READY"));
}

fn everything_is_binary_safe(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let key = [b"k", BINARY].concat();
    let (item, payload) = ([b"i", BINARY].concat(), [b"p", BINARY].concat());
    let (tag, excluded, moderator) = (
        [b"t", BINARY].concat(),
        [b"e", BINARY].concat(),
        [b"m", BINARY].concat(),
    );
    let reply = cmd!(
        c,
        "MODQ.SUBMIT",
        key,
        item,
        payload,
        "TAGS",
        1,
        tag,
        "EXCLUDE",
        1,
        excluded
    );
    assert_eq!(reply, simple("READY"));
    let shown = cmd!(c, "MODQ.GET", key, item);
    assert_eq!(shown.field("item"), bulk(&item));
    assert_eq!(shown.field("payload"), bulk(&payload));
    assert_eq!(shown.field("tags"), Value::Array(vec![bulk(&tag)]));
    assert_eq!(shown.field("excluded"), Value::Array(vec![bulk(&excluded)]));
    // A prefix is another id, and so is one that goes on after a NUL.
    assert!(cmd!(c, "MODQ.GET", key, b"ia").is_null());
    assert!(cmd!(c, "MODQ.GET", key, b"ia\0").is_null());
    let reply = cmd!(c, "MODQ.CLAIM", key, excluded, "TAGS", 1, tag);
    assert!(reply.is_null(), "excluded: {reply:?}");
    let claimed = &claims(&cmd!(c, "MODQ.CLAIM", key, moderator, "TAGS", 1, tag))[0];
    assert_eq!((&claimed.item, &claimed.payload), (&item, &payload));
    assert_eq!(
        cmd!(c, "MODQ.GET", key, item).field("moderator"),
        bulk(&moderator)
    );
    let held = claims(&cmd!(c, "MODQ.HELD", key, moderator));
    assert_eq!(&held[..], std::slice::from_ref(claimed));
    // Errors do not trip over such words either.
    assert_err!(cmd!(c, "MODQ.CANCEL", key, item, BINARY), "ERR");
    assert_err!(
        cmd!(c, "MODQ.CANCEL", key, item, "REV", BINARY),
        "ERR",
        "REV"
    );
    assert_err!(cmd!(c, "MODQ.LEN", key, "\u{100}\u{fffd}"), "ERR");
    let reply = cmd!(c, "MODQ.SUBMIT", key, "x", "p", "ONDUP", BINARY);
    assert_err!(reply, "ERR", "ONDUP");
    c.expect_ok("DEBUG RELOAD");
    let token = claimed.token;
    let reply = cmd!(c, "MODQ.RESOLVE", key, item, token, "DECISION", BINARY);
    assert_eq!(reply, ok());
    assert_eq!(cmd!(c, "MODQ.LEN", key), Value::Int(0));
}

fn bump_raises_and_ignores_the_rest(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(
        &mut c,
        "q i old PRIORITY 5 BOOST 100 TAGS 1 t EXCLUDE 1 eve",
    );
    let submitted = field(&mut c, "q", "i", "submitted");
    let bump = |c: &mut Client, words: &str| {
        let reply = c.line(&format!("MODQ.SUBMIT q i new ONDUP BUMP {words}"));
        assert_eq!(reply, simple("BUMPED"), "{words}");
        let item = c.line("MODQ.GET q i");
        let int = |name: &str| item.field(name).int();
        assert_eq!(item.field("payload"), bulk("old"));
        assert_eq!(item.field("tags"), arr!["t"]);
        assert_eq!(item.field("excluded"), arr!["eve"]);
        assert_eq!(item.field("state"), bulk("ready"));
        assert_eq!(item.field("submitted"), submitted);
        [int("priority"), int("boost"), int("reports"), int("rev")]
    };
    assert_eq!(bump(&mut c, ""), [5, 100, 2, 2]);
    assert_eq!(bump(&mut c, "PRIORITY 4 BOOST 99"), [5, 100, 3, 3]);
    assert_eq!(bump(&mut c, "PRIORITY 6"), [6, 100, 4, 4]);
    assert_eq!(bump(&mut c, "BOOST 101"), [6, 101, 5, 5]);
    assert_eq!(
        bump(&mut c, "TAGS 1 x EXCLUDE 1 y DELAY 5000"),
        [6, 101, 6, 6]
    );
    // Where negative, a default that was not given does not count as larger.
    submit(&mut c, "q neg p PRIORITY -5 BOOST -5");
    assert_eq!(c.line("MODQ.SUBMIT q neg p ONDUP BUMP"), simple("BUMPED"));
    assert_eq!(field(&mut c, "q", "neg", "priority"), Value::Int(-5));
    assert_eq!(field(&mut c, "q", "neg", "boost"), Value::Int(-5));
    // It moves ahead.
    submit(&mut c, "r first p");
    submit(&mut c, "r second p");
    c.line("MODQ.SUBMIT r second p ONDUP BUMP PRIORITY 1");
    assert_eq!(ids(&c.line("MODQ.CLAIM r m COUNT 2 NEW")), "second first");
}

fn replace_takes_what_is_given(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(
        &mut c,
        "q i old PRIORITY 5 BOOST 100 TAGS 1 t EXCLUDE 1 eve",
    );
    let submitted = field(&mut c, "q", "i", "submitted");
    let mut replace = |words: &str| {
        let reply = c.line(&format!("MODQ.SUBMIT q i {words} ONDUP REPLACE"));
        assert_eq!(reply, simple("REPLACED"), "{words}");
        let item = c.line("MODQ.GET q i");
        assert_eq!(item.field("submitted"), submitted);
        assert_eq!(item.field("reports"), Value::Int(1));
        let names = ["payload", "priority", "boost", "tags", "excluded", "rev"];
        names.map(|name| item.field(name))
    };
    let shown = |payload: &str, p: i64, b: i64, tags: Value, excluded: Value, rev: i64| {
        [
            bulk(payload),
            p.into(),
            b.into(),
            tags,
            excluded,
            rev.into(),
        ]
    };
    assert_eq!(
        replace("new"),
        shown("new", 5, 100, arr!["t"], arr!["eve"], 2)
    );
    assert_eq!(
        replace("new PRIORITY -1 BOOST 0"),
        shown("new", -1, 0, arr!["t"], arr!["eve"], 3)
    );
    assert_eq!(
        replace("newer TAGS 2 u v"),
        shown("newer", -1, 0, arr!["u", "v"], arr!["eve"], 4)
    );
    assert_eq!(
        replace("newer TAGS 0 EXCLUDE 2 a b"),
        shown("newer", -1, 0, arr![], arr!["a", "b"], 5)
    );
    assert_eq!(
        replace("newer EXCLUDE 0 DELAY 5000"),
        shown("newer", -1, 0, arr![], arr![], 6)
    );
    assert_eq!(state(&mut c, "q", "i"), "ready");
}

fn bump_and_replace_keep_the_state_but_revive_the_dead(kind: Kind) {
    let (_server, mut c) = desk(kind);
    for how in ["BUMP", "REPLACE"] {
        c.expect_ok("FLUSHALL");
        let again = |c: &mut Client, words: &str| {
            let reply = c.line(&format!("MODQ.SUBMIT {words} ONDUP {how}"));
            assert!(
                ["BUMPED", "REPLACED"].contains(&&*reply.text()),
                "{reply:?}"
            );
        };
        // A dead one is ready again, with no expiries.
        submit(&mut c, "q dead p");
        make_dead(&mut c, "q", "dead");
        unchanged(&mut c, "q", |c| {
            assert_eq!(c.line("MODQ.SUBMIT q dead p"), simple("EXISTS"));
            assert!(c.line("MODQ.CLAIM q m").is_null());
        });
        again(&mut c, "q dead p2");
        assert_eq!(counts(&mut c, "q"), [1, 0, 0, 0]);
        assert_eq!(field(&mut c, "q", "dead", "expiries"), Value::Int(0));
        assert_eq!(field(&mut c, "q", "dead", "deliveries"), Value::Int(20));
        assert_eq!(claim(&mut c, "q m").id(), "dead");
        // A locked one stays locked; its new place counts when it comes back.
        let lock = claim(&mut c, "q m");
        submit(&mut c, "q other p PRIORITY 3");
        again(&mut c, "q dead p3 PRIORITY 4");
        let now = c.line("MODQ.GET q dead");
        assert_eq!(now.field("state"), bulk("locked"));
        assert_eq!(now.field("token"), Value::Int(lock.token));
        assert_eq!(now.field("deadline"), Value::Int(lock.deadline));
        assert_eq!(cmd!(c, "MODQ.RELEASE", "q", "dead", lock.token), ok());
        assert_eq!(ids(&c.line("MODQ.CLAIM q n COUNT 2")), "dead other");
        // A delayed one stays delayed, with its due time.
        c.line("MODQ.SUBMIT q late p DELAY 60000");
        let due = field(&mut c, "q", "late", "due");
        again(&mut c, "q late p2 PRIORITY 100 DELAY 1");
        assert_eq!(state(&mut c, "q", "late"), "delayed");
        assert_eq!(field(&mut c, "q", "late", "due"), due);
        assert_eq!(counts(&mut c, "q"), [0, 2, 1, 0]);
    }
}

fn cancel_removes_in_any_state(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q dead p");
    make_dead(&mut c, "q", "dead");
    submit(&mut c, "q locked p");
    let lock = claim(&mut c, "q m");
    submit(&mut c, "q ready p");
    c.line("MODQ.SUBMIT q delayed p DELAY 60000");
    assert_eq!(counts(&mut c, "q"), [1, 1, 1, 1]);
    unchanged(&mut c, "q", |c| {
        for item in ["dead", "locked", "ready", "delayed"] {
            assert_eq!(cmd!(c, "MODQ.CANCEL", "q", item, "REV", 2), Value::Int(0));
        }
        assert_eq!(c.line("MODQ.CANCEL q nothing"), Value::Int(0));
        assert_eq!(c.line("MODQ.CANCEL q nothing REV 1"), Value::Int(0));
        let far = i64::MAX;
        assert_eq!(
            cmd!(c, "MODQ.CANCEL", "q", "ready", "REV", far),
            Value::Int(0)
        );
        let beyond = (1i64 << 32) + 1;
        assert_eq!(
            cmd!(c, "MODQ.CANCEL", "q", "ready", "REV", beyond),
            Value::Int(0),
            "a revision is not cut to 32 bits"
        );
    });
    let cancel = |c: &mut Client, words: &str| {
        let gone = changed(c, "q", |c| c.line(&format!("MODQ.CANCEL {words}")));
        assert_eq!(gone, Value::Int(1), "{words}");
    };
    cancel(&mut c, "q locked rev 1");
    assert!(c.line("MODQ.GET q locked").is_null());
    assert_eq!(c.line("MODQ.HELD q m"), arr![]);
    assert_err!(cmd!(c, "MODQ.RESOLVE", "q", "locked", lock.token), "NOITEM");
    cancel(&mut c, "q dead");
    cancel(&mut c, "q delayed");
    c.line("MODQ.UPDATE q ready PRIORITY 3");
    cancel(&mut c, "q ready REV 2");
    assert_eq!(counts(&mut c, "q"), [0, 0, 0, 0]);
    assert_eq!(c.line("EXISTS q"), Value::Int(1), "an empty queue stays");
    assert_eq!(c.line("MODQ.CANCEL q ready"), Value::Int(0));
    // The id is free again, with a fresh revision.
    submit(&mut c, "q ready p");
    assert_eq!(field(&mut c, "q", "ready", "rev"), Value::Int(1));
}

fn update_changes_content_and_order_never_the_state(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q a p TAGS 1 t EXCLUDE 1 eve");
    submit(&mut c, "q b p");
    let update =
        |c: &mut Client, words: &str| changed(c, "q", |c| c.line(&format!("MODQ.UPDATE {words}")));
    assert_eq!(update(&mut c, "q a PAYLOAD new"), Value::Int(2));
    assert_eq!(update(&mut c, "q a REV 2 PRIORITY 7"), Value::Int(3));
    assert_eq!(update(&mut c, "q a boost -5 rev 3"), Value::Int(4));
    assert_eq!(
        update(&mut c, "q a TAGS 0 EXCLUDE 2 x y PAYLOAD last"),
        Value::Int(5)
    );
    let item = c.line("MODQ.GET q a");
    let shown = ["payload", "priority", "boost", "tags", "excluded", "rev"];
    assert_eq!(
        shown.map(|name| item.field(name)),
        [
            bulk("last"),
            7.into(),
            (-5).into(),
            arr![],
            arr!["x", "y"],
            5.into()
        ]
    );
    unchanged(&mut c, "q", |c| {
        assert!(c.line("MODQ.UPDATE q a REV 4 PAYLOAD no").is_null());
        assert!(c.line("MODQ.UPDATE q a PAYLOAD no REV 6").is_null());
        assert_err!(c.line("MODQ.UPDATE q nothing PAYLOAD x"), "NOITEM");
        assert_err!(c.line("MODQ.UPDATE q nothing REV 1"), "NOITEM");
    });
    let mut resp3 = _server.client().hello3();
    assert_eq!(resp3.line("MODQ.UPDATE q a REV 4 PAYLOAD no"), Value::Null);
    // Order: b has been behind a, and is now before it.
    assert_eq!(update(&mut c, "q b PRIORITY 8"), Value::Int(2));
    assert_eq!(ids(&c.line("MODQ.CLAIM q m COUNT 2")), "b a");
    // A locked one stays locked, a dead one dead, a delayed one delayed.
    let lock = claim(&mut c, "q m");
    assert_eq!(update(&mut c, "q b PRIORITY 1 PAYLOAD w"), Value::Int(3));
    let now = claim(&mut c, "q m");
    assert_eq!((now.token, now.rev), (lock.token, 3));
    assert_eq!((now.payload, now.priority), (b"w".to_vec(), 1));
    c.line("MODQ.SUBMIT q late p DELAY 60000");
    let due = field(&mut c, "q", "late", "due");
    assert_eq!(update(&mut c, "q late PRIORITY 9"), Value::Int(2));
    assert_eq!(state(&mut c, "q", "late"), "delayed");
    assert_eq!(field(&mut c, "q", "late", "due"), due);
    submit(&mut c, "d dead p");
    make_dead(&mut c, "d", "dead");
    assert_eq!(c.line("MODQ.UPDATE d dead PRIORITY 9"), Value::Int(2));
    assert_eq!(state(&mut c, "d", "dead"), "dead");
    assert_eq!(field(&mut c, "d", "dead", "expiries"), Value::Int(20));
}

fn update_exclude_and_skips(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q i p EXCLUDE 1 eve");
    let lock = claim(&mut c, "q mo");
    cmd!(c, "MODQ.RELEASE", "q", "i", lock.token, "SKIP");
    let mut excluded = field(&mut c, "q", "i", "excluded");
    assert_eq!(excluded, arr!["eve", "mo"]);
    assert!(c.line("MODQ.CLAIM q mo").is_null());
    assert!(c.line("MODQ.CLAIM q eve").is_null());
    // Other exclusions do not undo the skip, EXCLUDE 0 does.
    c.line("MODQ.UPDATE q i EXCLUDE 1 adam");
    assert!(c.line("MODQ.CLAIM q mo").is_null());
    assert!(c.line("MODQ.CLAIM q adam").is_null());
    c.line("MODQ.UPDATE q i EXCLUDE 0");
    excluded = field(&mut c, "q", "i", "excluded");
    assert_eq!(excluded, arr![]);
    assert_eq!(claim(&mut c, "q mo").id(), "i");
}

fn producers_work_in_transactions_and_scripts(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let replies = c.pipeline(&[
        "MULTI",
        "MODQ.SUBMIT q a p",
        "MODQ.SUBMIT q a p ONDUP ERROR",
        "MODQ.SUBMIT q a p PRIORITY x",
        "MODQ.UPDATE q a PRIORITY 2",
        "MODQ.UPDATE q a REV 9 PRIORITY 2",
        "MODQ.CANCEL q a REV 1",
        "MODQ.CANCEL q a REV 2",
        "MODQ.SUBMIT q a p DELAY 50000",
        "EXEC",
    ]);
    let exec = replies.last().unwrap().items();
    assert_eq!(exec[0], simple("READY"));
    assert_err!(&exec[1], "EXISTS");
    assert_err!(&exec[2], "ERR", "PRIORITY");
    assert_eq!(exec[3], Value::Int(2));
    assert!(exec[4].is_null());
    assert_eq!(exec[5..7], [Value::Int(0), Value::Int(1)]);
    assert_eq!(exec[7], simple("DELAYED"));
    // From Lua.
    let mut eval = |script: &str| cmd!(c, "EVAL", script, 1, "q");
    assert_eq!(
        eval("return redis.call('MODQ.SUBMIT', KEYS[1], 'l', 'a\\0b', 'TAGS', 1, 't')"),
        simple("READY")
    );
    assert_eq!(
        eval("return redis.call('MODQ.SUBMIT', KEYS[1], 'l', '')['ok']"),
        bulk("EXISTS")
    );
    assert_eq!(
        eval("return redis.pcall('MODQ.SUBMIT', KEYS[1], 'l', '', 'ONDUP', 'ERROR')").err_code(),
        "EXISTS"
    );
    assert_err!(
        eval("return redis.call('MODQ.UPDATE', KEYS[1], 'none')"),
        "NOITEM"
    );
    assert_eq!(
        eval("return redis.call('MODQ.UPDATE', KEYS[1], 'l', 'REV', 7) == false and 1 or 0"),
        Value::Int(1),
        "null is false in Lua"
    );
    assert_eq!(
        eval("return redis.call('MODQ.GET', KEYS[1], 'l')[6]"),
        bulk(b"a\0b")
    );
    assert_eq!(
        eval("redis.setresp(3); return redis.call('MODQ.GET', KEYS[1], 'l')['map']['state']"),
        bulk("ready")
    );
    assert_eq!(
        eval("return redis.call('MODQ.CANCEL', KEYS[1], 'l')"),
        Value::Int(1)
    );
}

/// What a change tells others: WATCH, client tracking, keyspace events; and that no change tells nothing.
fn changes_are_announced(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut watcher = server.client();
    let mut watched = |touch: &mut dyn FnMut()| {
        watcher.expect_ok("WATCH q");
        touch();
        watcher.expect_ok("MULTI");
        watcher.line("PING");
        watcher.line("EXEC").is_null()
    };
    assert!(watched(&mut || submit(&mut c, "q a p")));
    assert!(watched(&mut || drop(c.line("MODQ.UPDATE q a PRIORITY 1"))));
    assert!(!watched(&mut || {
        assert_eq!(c.line("MODQ.SUBMIT q a p"), simple("EXISTS"));
        assert_eq!(c.line("MODQ.CANCEL q x"), Value::Int(0));
    }));
    assert!(watched(&mut || drop(claim(&mut c, "q m"))));
    let lock = claim(&mut c, "q m");
    assert!(!watched(&mut || {
        assert_eq!(claim(&mut c, "q m"), lock, "only what is held already");
        assert!(c.line("MODQ.CLAIM q n").is_null());
        assert!(c.line("MODQ.UPDATE q a REV 9").is_null());
        assert_err!(c.line("MODQ.RESOLVE q a 1"), "STALE");
        c.line("MODQ.HELD q m");
    }));
    // The clock's doing counts as a change too.
    assert!(watched(&mut || {
        cmd!(c, "MODQ.RELEASE", "q", "a", lock.token);
    }));
    claim(&mut c, "q m LOCK 200");
    assert!(watched(&mut || {
        wait_until("the lock is over", PATIENCE, || {
            len(&mut c, "q LOCKED") == 0
        });
    }));
    let mut tracking = server.client().hello3();
    tracking.expect_ok("CLIENT TRACKING ON");
    assert_eq!(len(&mut tracking, "q"), 1);
    submit(&mut c, "q b p");
    let invalidated = Value::Push(vec!["invalidate".into(), arr!["q"]]);
    assert_eq!(tracking.push(), invalidated);
    // Keyspace events, in class d.
    c.expect_ok("CONFIG SET notify-keyspace-events Ed");
    let mut listener = server.client().hello3();
    listener.send(&["PSUBSCRIBE", "__keyevent@0__:*"]);
    listener.push();
    let mut heard = |event: &str| {
        let push = listener.push();
        let channel = format!("__keyevent@0__:{event}");
        assert_eq!(push.items()[2..], [channel.into(), "e".into()]);
    };
    submit(&mut c, "e i p");
    heard("modq.submit");
    let lock = claim(&mut c, "e m");
    cmd!(c, "MODQ.RELEASE", "e", "i", lock.token);
    heard("modq.release");
    claim(&mut c, "e m LOCK 1");
    heard("modq.expire");
    let lock = claim(&mut c, "e m");
    c.line("MODQ.SUBMIT e i p");
    assert!(c.line("MODQ.CLAIM e n").is_null());
    cmd!(c, "MODQ.RESOLVE", "e", "i", lock.token);
    heard("modq.resolve");
    submit(&mut c, "e i p");
    heard("modq.submit");
    for _ in 0..19 {
        claim(&mut c, "e m LOCK 1");
        heard("modq.expire");
    }
    claim(&mut c, "e m LOCK 1");
    heard("modq.dead");
}

matrix!(
    submit_answers_what_became_of_it,
    submit_keeps_everything_it_is_given,
    option_order_and_case_do_not_matter,
    wrong_words_are_refused_and_change_nothing,
    ranges_end_where_they_say,
    payloads_are_as_large_as_configured,
    everything_is_binary_safe,
    bump_raises_and_ignores_the_rest,
    replace_takes_what_is_given,
    bump_and_replace_keep_the_state_but_revive_the_dead,
    cancel_removes_in_any_state,
    update_changes_content_and_order_never_the_state,
    update_exclude_and_skips,
    producers_work_in_transactions_and_scripts,
    changes_are_announced,
);
