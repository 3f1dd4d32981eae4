//! What producers say: SUBMIT of something new, and what all of their words may hold.

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
            "quorum" => arr![1, 1], "votes" => arr![], "contested" => 0, "group" => Value::Null, "deciders" => arr![],
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
            "quorum" => arr![1, 1], "votes" => arr![], "contested" => 0, "group" => Value::Null, "deciders" => arr![],
        }
    );
    // RESP2 has the same as a flat array, with null bulks.
    let resp2 = server.client().line("MODQ.GET q bare");
    assert_eq!(resp2.items().len(), 42);
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

/// Lines that are refused, and what the error names.
const REFUSED: &[(&str, &str)] = &[
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
    ("MODQ.SUBMIT q x p ONDUP BUMP STEP", "step"),
    ("MODQ.SUBMIT q x p ONDUP BUMP STEP x", "step"),
    ("MODQ.SUBMIT q x p ONDUP BUMP STEP 2147483648", "step"),
    ("MODQ.SUBMIT q x p ONDUP BUMP STEP -2147483649", "step"),
    ("MODQ.SUBMIT q x p ONDUP BUMP STEP 1 STEP 1", "step"),
    ("MODQ.SUBMIT q x p STEP 1", "step"),
    ("MODQ.SUBMIT q x p ONDUP KEEP STEP 1", "step"),
    ("MODQ.SUBMIT q i p ONDUP REPLACE STEP 1", "step"),
    ("MODQ.SUBMIT q i p ONDUP BUMP STEP 1 PRIORITY 1", "step"),
    ("MODQ.SUBMIT q x p REV 1", ""),
    ("MODQ.SUBMIT q x p extra", ""),
    ("MODQ.SUBMIT q i p ONDUP REPLACE PRIORITY x", "priority"),
    ("MODQ.CANCEL q i REV", "rev"),
    ("MODQ.CANCEL q i REV x", "rev"),
    ("MODQ.CANCEL q i REV 1 REV 1", "rev"),
    ("MODQ.CANCEL q i REASON", "reason"),
    ("MODQ.CANCEL q i REASON a REASON b", "reason"),
    ("MODQ.CANCEL q i BY", "by"),
    ("MODQ.CANCEL q i BY a BY b", "by"),
    ("MODQ.UPDATE q i PRIORITY 1 BY", "by"),
    ("MODQ.UPDATE q i BY a BY b", "by"),
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

fn wrong_words_are_refused_and_change_nothing(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q i p");
    for key in ["q", "missing"] {
        unchanged(&mut c, key, |c| {
            for (line, part) in REFUSED {
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

/// `n` different words of this length.
fn many(n: usize, len: usize) -> Vec<Vec<u8>> {
    let word = |i| {
        let mut word = format!("{i:04}").into_bytes();
        word.resize(len.max(4), b'\xff');
        word
    };
    (0..n).map(word).collect()
}

/// A SUBMIT of item `id` with an option that takes `n` words.
fn with(option: &str, id: &str, n: usize, words: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut args: Vec<Vec<u8>> = ["MODQ.SUBMIT", "q", id, "p", option]
        .map(|word| word.into())
        .into();
    args.push(n.to_string().into());
    args.extend(words);
    args
}

fn ranges_end_where_they_say(kind: Kind) {
    let (_server, mut c) = desk(kind);
    what_is_just_inside_is_taken(&mut c);
    what_is_just_outside_is_refused(&mut c);
}

fn what_is_just_inside_is_taken(c: &mut Client) {
    for line in [
        "q prio+ p PRIORITY 2147483647",
        "q prio- p PRIORITY -2147483648",
        "q boost+ p BOOST 1099511627776",
        "q boost- p BOOST -1099511627776",
        "q none p TAGS 0 EXCLUDE 0",
    ] {
        submit(c, line);
    }
    let before = now_ms();
    assert_eq!(
        cmd!(c, "MODQ.SUBMIT", "q", "delay", "p", "DELAY", MAX_MS),
        simple("DELAYED")
    );
    assert!(field(c, "q", "delay", "due").int() >= before + MAX_MS);
    assert_eq!(field(c, "q", "prio-", "priority"), Value::Int(-1 << 31));
    assert_eq!(field(c, "q", "boost-", "boost"), Value::Int(-MAX_MS));
    assert_eq!(
        c.cmd(&with("TAGS", "tags", 64, many(64, 255))),
        simple("READY")
    );
    assert_eq!(
        field(c, "q", "tags", "tags"),
        Value::from(many(64, 255).into_iter().map(bulk).collect::<Vec<_>>())
    );
    assert_eq!(
        c.cmd(&with("EXCLUDE", "excl", 1000, many(1000, 512))),
        simple("READY")
    );
    assert_eq!(
        field(c, "q", "excl", "excluded"),
        Value::from(many(1000, 512).into_iter().map(bulk).collect::<Vec<_>>())
    );
    let long = vec![b'i'; 512];
    assert_eq!(cmd!(c, "MODQ.SUBMIT", "q", long, ""), simple("READY"));
    assert_eq!(cmd!(c, "MODQ.GET", "q", long).field("item"), bulk(&long));
    assert_eq!(cmd!(c, "MODQ.GET", "q", long).field("payload"), bulk(""));
}

fn what_is_just_outside_is_refused(c: &mut Client) {
    unchanged(c, "q", |c| {
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
            assert_err!(cmd!(c, "MODQ.CANCEL", "q", "tags", "BY", id), "ERR", "BY");
            let reply = cmd!(c, "MODQ.UPDATE", "q", "tags", "PRIORITY", 1, "BY", id);
            assert_err!(reply, "ERR", "BY");
        }
        let long = vec![b'r'; (64 << 10) + 1];
        let reply = cmd!(c, "MODQ.CANCEL", "q", "tags", "REASON", long);
        assert_err!(reply, "ERR", "REASON");
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

matrix!(
    submit_answers_what_became_of_it,
    submit_keeps_everything_it_is_given,
    option_order_and_case_do_not_matter,
    wrong_words_are_refused_and_change_nothing,
    ranges_end_where_they_say,
    payloads_are_as_large_as_configured,
    everything_is_binary_safe,
    producers_work_in_transactions_and_scripts,
);
