//! What producers change: SUBMIT of what is there already, CANCEL, UPDATE.

use modq_testkit::queue::*;
use modq_testkit::*;

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

fn each_report_can_add_a_step(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let mut report = |words: &str| c.line(&format!("MODQ.SUBMIT q i p {words}"));
    assert_eq!(report("ONDUP BUMP STEP 7"), simple("READY"));
    assert_eq!(report("step 7 ondup bump BOOST 9"), simple("BUMPED"));
    assert_eq!(report("STEP -2147483648 ONDUP BUMP"), simple("BUMPED"));
    assert_eq!(report("ONDUP BUMP STEP -8"), simple("BUMPED"));
    let item = c.line("MODQ.GET q i");
    let shown = ["priority", "boost", "reports", "rev"].map(|name| item.field(name).int());
    assert_eq!(
        shown,
        [i64::from(i32::MIN), 9, 4, 4],
        "it ends where it ends"
    );
    let most = "MODQ.SUBMIT q i p ONDUP BUMP STEP 2147483647";
    assert_eq!(c.pipeline(&[most; 3]), vec![simple("BUMPED"); 3]);
    assert_eq!(field(&mut c, "q", "i", "priority").int(), 2_147_483_647);
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

matrix!(
    bump_raises_and_ignores_the_rest,
    replace_takes_what_is_given,
    bump_and_replace_keep_the_state_but_revive_the_dead,
    each_report_can_add_a_step,
    cancel_removes_in_any_state,
    update_changes_content_and_order_never_the_state,
    update_exclude_and_skips,
);
