//! What is remembered of decided items: RETAIN, ONDECIDED, DECIDED, FORGET, and RESOLVE sent again.

use modq_testkit::queue::*;
use modq_testkit::*;

/// A queue `q` that remembers decisions for an hour.
pub(crate) fn remembering(kind: Kind) -> (Server, Client) {
    let (server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q RETAIN 3600000");
    (server, c)
}

/// Has a moderator decide an item that is there. Answers their token.
#[track_caller]
pub(crate) fn decide(c: &mut Client, key: &str, item: &str, who: &str, verdict: &str) -> i64 {
    let token = c.line(&format!("MODQ.ASSIGN {key} {item} {who}")).int();
    c.expect_ok(&format!("MODQ.RESOLVE {key} {item} {token} {verdict}"));
    token
}

/// Submits an item and has it decided. Answers the token.
#[track_caller]
pub(crate) fn decided(c: &mut Client, key: &str, item: &str) -> i64 {
    submit(c, &format!("{key} {item} p"));
    decide(c, key, item, "ann", "VERDICT keep")
}

pub(crate) fn stat(c: &mut Client, key: &str, name: &str) -> i64 {
    c.line(&format!("MODQ.STATS {key} BRIEF")).field(name).int()
}

pub(crate) fn status(c: &mut Client, words: &str) -> Value {
    c.line(&format!("MODQ.SUBMIT {words}"))
}

fn a_decision_is_remembered_with_all_that_belongs_to_it(kind: Kind) {
    let (server, mut c) = remembering(kind);
    c.line("MODQ.SUBMIT q i p QUORUM 2 3 PRIORITY 1");
    c.line("MODQ.SUBMIT q i p ONDUP BUMP");
    let submitted = field(&mut c, "q", "i", "submitted");
    let first = c.line("MODQ.ASSIGN q i ann").int();
    let voted = c.line(&format!("MODQ.RESOLVE q i {first} VERDICT remove"));
    assert_eq!(voted, simple("VOTED"));
    assert!(c.line("MODQ.DECIDED q i").is_null(), "not decided yet");
    let before = now_ms();
    let token = decide(&mut c, "q", "i", "bob", "VERDICT remove DECISION prose");
    let record = c.line("MODQ.DECIDED q i");
    let at = record.field("decided").int();
    assert!((before..=now_ms()).contains(&at));
    let fields = [
        (bulk("item"), bulk("i")),
        (bulk("verdict"), bulk("remove")),
        (bulk("decided"), Value::Int(at)),
        (bulk("expires"), Value::Int(at + 3_600_000)),
        (bulk("token"), Value::Int(token)),
        (bulk("rev"), Value::Int(2)),
        (bulk("submitted"), submitted),
        (bulk("reports"), Value::Int(2)),
        (
            bulk("moderators"),
            Value::Array(vec![bulk("ann"), bulk("bob")]),
        ),
    ];
    assert_eq!(record.pairs(), fields);
    let flat = fields.iter().flat_map(|(f, v)| [f.clone(), v.clone()]);
    assert_eq!(record, Value::Array(flat.collect()));
    let mut resp3 = server.client().hello3();
    assert_eq!(
        resp3.line("MODQ.DECIDED q i"),
        Value::Map(fields.to_vec()),
        "a map in RESP3"
    );
    // Nothing there is null, of either kind.
    for (key, item) in [("q", "none"), ("none", "i")] {
        assert_eq!(
            c.line(&format!("MODQ.DECIDED {key} {item}")),
            Value::NullBulk
        );
        let reply = resp3.line(&format!("MODQ.DECIDED {key} {item}"));
        assert_eq!(reply, Value::Null);
    }
    // By what RETAIN is now.
    c.expect_ok("MODQ.CONFIGURE q RETAIN 7200000");
    let expires = c.line("MODQ.DECIDED q i").field("expires");
    assert_eq!(expires, Value::Int(at + 7_200_000));
    // No VERDICT is the empty one.
    submit(&mut c, "q other p");
    decide(&mut c, "q", "other", "ann", "");
    let other = c.line("MODQ.DECIDED q other");
    assert_eq!(other.field("verdict"), bulk(""));
    assert_eq!(other.field("moderators"), Value::Array(vec![bulk("ann")]));
    assert_eq!(stat(&mut c, "q", "decided"), 2);
    assert_eq!(stat(&mut c, "q", "records_evicted"), 0);
}

fn what_is_wrong_with_a_command_is_told(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    decided(&mut c, "q", "i");
    c.expect_ok("SET s 1");
    let long = "x".repeat(513);
    let many = vec!["i"; 1001].join(" ");
    unchanged(&mut c, "q", |c| {
        for (line, code, word) in [
            ("MODQ.DECIDED q", "ERR", "arguments"),
            ("MODQ.DECIDED q i i", "ERR", "arguments"),
            ("MODQ.DECIDED s i", "WRONGTYPE", ""),
            ("MODQ.FORGET q", "ERR", "arguments"),
            ("MODQ.FORGET s i", "WRONGTYPE", ""),
            (&format!("MODQ.DECIDED q {long}"), "ERR", "item"),
            (&format!("MODQ.FORGET q i {long}"), "ERR", "item"),
            (&format!("MODQ.FORGET q i BY {long}"), "ERR", "BY"),
            (&format!("MODQ.FORGET q {many}"), "ERR", "1000"),
            ("MODQ.SUBMIT q i p ONDECIDED", "ERR", "ONDECIDED"),
            ("MODQ.SUBMIT q i p ONDECIDED NEVER", "ERR", "ONDECIDED"),
            (
                "MODQ.SUBMIT q i p ONDECIDED KEEP ONDECIDED KEEP",
                "ERR",
                "ONDECIDED",
            ),
            ("MODQ.CONFIGURE q RETAIN -1", "ERR", "RETAIN"),
            ("MODQ.CONFIGURE q RETAIN 1099511627777", "ERR", "RETAIN"),
            ("MODQ.CONFIGURE q RETAINMAX -1", "ERR", "RETAINMAX"),
            (
                "MODQ.CONFIGURE q RETAINMAX 1099511627777",
                "ERR",
                "RETAINMAX",
            ),
        ] {
            let reply = c.line(line);
            assert_eq!(reply.err_code(), code, "{line}: {reply:?}");
            assert!(format!("{reply:?}").contains(word), "{line}: {reply:?}");
        }
    });
    let settings = c.line("MODQ.CONFIG none");
    assert_eq!(settings.field("retain"), Value::Int(0), "off by default");
    assert_eq!(settings.field("retainmax"), Value::Int(100_000));
    c.expect_ok("MODQ.CONFIGURE q RETAIN 1099511627776 RETAINMAX 1099511627776");
    decided(&mut c, "q", "far");
    let far = c.line("MODQ.DECIDED q far");
    let lasts = far.field("expires").int() - far.field("decided").int();
    assert_eq!(lasts, 1 << 40);
}

fn a_decision_stands_unless_asked_otherwise(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    decided(&mut c, "q", "i");
    unchanged(&mut c, "q", |c| {
        for words in ["", "ONDECIDED KEEP", "ONDECIDED CHANGED", "ONDUP ERROR"] {
            assert_eq!(status(c, &format!("q i p {words}")), simple("DECIDED"));
        }
        assert_eq!(
            status(c, "q i other"),
            simple("DECIDED"),
            "whatever is sent"
        );
    });
    // COUNT: the record's reports, and nothing else.
    let before = c.line("MODQ.DECIDED q i");
    let counted = changed(&mut c, "q", |c| status(c, "q i x ONDECIDED count"));
    assert_eq!(counted, simple("DECIDED"));
    let after = c.line("MODQ.DECIDED q i");
    for ((name, before), (_, after)) in before.pairs().into_iter().zip(after.pairs()) {
        match name == bulk("reports") {
            true => assert_eq!((before.int(), after.int()), (1, 2)),
            false => assert_eq!(before, after, "{name:?}"),
        }
    }
    assert_eq!(len(&mut c, "q"), 0);
    // CHANGED and AGAIN: a new item, and the record stays until it is decided.
    for words in ["q i other ONDECIDED CHANGED", "q i p ONDECIDED AGAIN"] {
        submit(&mut c, words);
        assert_eq!(status(&mut c, words), simple("EXISTS"));
        assert_eq!(c.line("MODQ.DECIDED q i"), after);
        assert_eq!(field(&mut c, "q", "i", "rev"), Value::Int(1));
        assert_eq!(field(&mut c, "q", "i", "deciders"), Value::Array(vec![]));
        assert_eq!(c.line("MODQ.CANCEL q i"), Value::Int(1));
        assert_eq!(c.line("MODQ.DECIDED q i"), after, "CANCEL leaves it");
    }
    // The next decision takes its place, by another payload.
    submit(&mut c, "q i other ONDECIDED CHANGED");
    decide(&mut c, "q", "i", "bob", "VERDICT remove");
    let record = c.line("MODQ.DECIDED q i");
    assert_eq!(record.field("verdict"), bulk("remove"));
    assert_eq!(record.field("reports"), Value::Int(1));
    let same = status(&mut c, "q i other ONDECIDED CHANGED");
    assert_eq!(same, simple("DECIDED"));
    assert_eq!(stat(&mut c, "q", "decided"), 1);
    // Of each in a batch, in its place.
    let replies = c.line("MODQ.MSUBMIT q 3 i p new p new p ONDECIDED COUNT");
    let expected = ["DECIDED", "READY", "EXISTS"].map(simple);
    assert_eq!(replies, Value::Array(expected.to_vec()));
    let appeals = c.line("MODQ.MSUBMIT q 2 none p i p ONDECIDED APPEAL");
    assert_eq!(appeals[0].err_code(), "NOITEM");
    assert_eq!(appeals[1], simple("READY"));
    // Without RETAIN nothing is remembered.
    decided(&mut c, "off", "i");
    assert!(c.line("MODQ.DECIDED off i").is_null());
    submit(&mut c, "off i p");
}

fn submit_looks_in_the_order_it_says(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    decided(&mut c, "q", "i");
    c.expect_ok("MODQ.CONFIGURE q MAXLEN 1");
    submit(&mut c, "q other p");
    unchanged(&mut c, "q", |c| {
        assert_eq!(status(c, "q i p"), simple("DECIDED"), "before FULL");
        assert_err!(status(c, "q none p ONDECIDED APPEAL"), "NOITEM");
        assert_err!(status(c, "q i p ONDECIDED AGAIN"), "FULL");
        assert_err!(status(c, "q i p ONDECIDED APPEAL"), "FULL");
        assert_err!(status(c, "q i other ONDECIDED CHANGED"), "FULL");
    });
    c.expect_ok("MODQ.CONFIGURE q MAXLEN 0");
    submit(&mut c, "q i p ONDECIDED AGAIN");
    assert_err!(status(&mut c, "q i p ONDUP ERROR"), "EXISTS");
    let bumped = status(&mut c, "q i p ONDUP BUMP ONDECIDED COUNT");
    assert_eq!(bumped, simple("BUMPED"), "in the queue comes first");
    c.line("MODQ.CANCEL q i");
    c.expect_ok("MODQ.PAUSE q IN");
    unchanged(&mut c, "q", |c| {
        for option in ["KEEP", "COUNT", "CHANGED", "AGAIN", "APPEAL"] {
            let reply = status(c, &format!("q i p ONDECIDED {option}"));
            assert_err!(reply, "PAUSED");
        }
    });
}

fn an_appeal_goes_to_nobody_who_decided(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    unchanged(&mut c, "q", |c| {
        assert_err!(status(c, "q i p ONDECIDED APPEAL"), "NOITEM");
    });
    c.line("MODQ.SUBMIT q i p QUORUM 2 2");
    let token = c.line("MODQ.ASSIGN q i ann").int();
    c.line(&format!("MODQ.RESOLVE q i {token} VERDICT remove"));
    decide(&mut c, "q", "i", "bob", "VERDICT remove");
    submit(&mut c, "q i p ONDECIDED APPEAL QUORUM 1 1");
    let names = |names: &[&str]| Value::Array(names.iter().map(bulk).collect());
    assert_eq!(field(&mut c, "q", "i", "deciders"), names(&["ann", "bob"]));
    unchanged(&mut c, "q", |c| {
        for who in ["ann", "bob"] {
            assert!(c.line(&format!("MODQ.CLAIM q {who}")).is_null());
            assert_err!(c.line(&format!("MODQ.ASSIGN q i {who}")), "EXCLUDED");
            let why = c.line(&format!("MODQ.WHY q i {who}"));
            assert_eq!(why, names(&["decider"]));
            assert_eq!(c.line(&format!("MODQ.PEEK q FOR {who}")), names(&[]));
        }
        assert_eq!(c.line("MODQ.WHY q i cy"), names(&[]));
    });
    // EXCLUDE 0 does not change that, nor does another payload.
    c.line("MODQ.UPDATE q i EXCLUDE 0 PAYLOAD new");
    assert!(c.line("MODQ.CLAIM q ann").is_null());
    // MOVE carries it, and leaves no record here.
    c.expect_ok("MODQ.CONFIGURE r RETAIN 3600000");
    c.expect_ok("MODQ.MOVE q r i");
    assert_eq!(field(&mut c, "r", "i", "deciders"), names(&["ann", "bob"]));
    assert!(c.line("MODQ.DECIDED r i").is_null());
    assert!(c.line("MODQ.DECIDED q i").field("token").int() > 0);
    assert_err!(c.line("MODQ.ASSIGN r i bob"), "EXCLUDED");
    // Who decides the appeal, and whoever was barred from it, are barred from the next.
    decide(&mut c, "r", "i", "cy", "VERDICT keep");
    assert_eq!(
        c.line("MODQ.DECIDED r i").field("moderators"),
        names(&["cy"])
    );
    submit(&mut c, "r i p ONDECIDED APPEAL");
    let deciders = field(&mut c, "r", "i", "deciders");
    assert_eq!(deciders, names(&["ann", "bob", "cy"]));
    // Who waits in line is passed over for who may have it.
    c.line("MODQ.CANCEL r i");
    c.line("MODQ.JOIN r cy");
    c.line("MODQ.JOIN r dan");
    submit_assigned(&mut c, "r i p ONDECIDED APPEAL");
    assert_eq!(field(&mut c, "r", "i", "moderator"), bulk("dan"));
}

/// The newest 64 are barred: who decided first may be asked again.
fn after_64_appeals_the_first_decider_may_be_asked_again(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    submit(&mut c, "q i p");
    decide(&mut c, "q", "i", "m0", "");
    for n in 1..=64 {
        submit(&mut c, "q i p ONDECIDED APPEAL");
        assert_err!(c.line("MODQ.ASSIGN q i m0"), "EXCLUDED");
        decide(&mut c, "q", "i", &format!("m{n}"), "");
    }
    submit(&mut c, "q i p ONDECIDED APPEAL");
    let deciders = field(&mut c, "q", "i", "deciders");
    let expected = (1..=64).map(|n| bulk(format!("m{n}")));
    assert_eq!(deciders, Value::Array(expected.collect()));
    assert_err!(c.line("MODQ.ASSIGN q i m1"), "EXCLUDED");
    decide(&mut c, "q", "i", "m0", "");
}

fn what_is_forgotten_is_gone(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    for item in ["a", "b", "by", "d"] {
        decided(&mut c, "q", item);
    }
    // In the queue again, with votes and deciders: these stay.
    c.line("MODQ.SUBMIT q d p ONDECIDED APPEAL QUORUM 2 2");
    let token = c.line("MODQ.ASSIGN q d bob").int();
    c.line(&format!("MODQ.RESOLVE q d {token} VERDICT keep"));
    let item = c.line("MODQ.GET q d");
    unchanged(&mut c, "q", |c| {
        assert_eq!(c.line("MODQ.FORGET q none other"), Value::Int(0));
    });
    assert_eq!(c.line("MODQ.FORGET none a"), Value::Int(0));
    assert_eq!(c.line("EXISTS none"), Value::Int(0));
    let dropped = changed(&mut c, "q", |c| {
        c.line("MODQ.FORGET q a none a d BY privacy")
    });
    assert_eq!(dropped, Value::Int(2), "each once");
    assert_eq!(c.line("MODQ.GET q d"), item);
    for item in ["a", "d"] {
        assert!(c.line(&format!("MODQ.DECIDED q {item}")).is_null());
    }
    submit(&mut c, "q a p");
    // BY, unless it is the last word but one, is an item; so is the first.
    assert_eq!(c.line("MODQ.FORGET q by"), Value::Int(1));
    decided(&mut c, "q", "by");
    assert_eq!(c.line("MODQ.FORGET q by b by b"), Value::Int(2));
    assert_eq!(stat(&mut c, "q", "decided"), 0);
    assert_eq!(stat(&mut c, "q", "records_evicted"), 0);
}

fn a_resolve_sent_again_changes_nothing(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    let token = decided(&mut c, "q", "i");
    let again = |c: &mut Client| {
        let again = format!("MODQ.RESOLVE q i {token}");
        c.expect_ok(&format!("{again} VERDICT keep DECISION other REV 9"));
        assert_err!(c.line(&format!("{again} VERDICT remove")), "STALE");
        assert_err!(c.line(&again), "STALE");
        let batch = c.line(&format!(
            "MODQ.MRESOLVE q 2 i {token} i {token} VERDICT keep"
        ));
        assert_eq!(batch, Value::Array(vec![ok(), ok()]));
    };
    unchanged(&mut c, "q", |c| {
        again(c);
        let other = token + 1;
        assert_err!(
            c.line(&format!("MODQ.RESOLVE q i {other} VERDICT keep")),
            "NOITEM"
        );
        assert_err!(c.line("MODQ.RESOLVE q i 0 VERDICT keep"), "NOITEM");
    });
    assert_eq!(stat(&mut c, "q", "resolved"), 1);
    // While the id is in the queue again, in whatever state.
    submit(&mut c, "q i p ONDECIDED AGAIN");
    unchanged(&mut c, "q", again);
    let lock = claim(&mut c, "q bob");
    unchanged(&mut c, "q", again);
    c.expect_ok("MODQ.CONFIGURE q LATE ACCEPT");
    unchanged(&mut c, "q", again);
    assert_eq!(state(&mut c, "q", "i"), "locked");
    // The next decision takes the record's place: the older token is nobody's any more.
    c.expect_ok(&format!("MODQ.RESOLVE q i {} VERDICT remove", lock.token));
    unchanged(&mut c, "q", |c| {
        let old = c.line(&format!("MODQ.RESOLVE q i {token} VERDICT keep"));
        assert_err!(old, "NOITEM");
        c.expect_ok(&format!("MODQ.RESOLVE q i {} VERDICT remove", lock.token));
    });
    // A decision that was accepted late is remembered as any other.
    submit(&mut c, "q late p");
    let lock = c.line("MODQ.ASSIGN q late ann LOCK 1").int();
    wait_until("the lock is over", PATIENCE, || {
        state(&mut c, "q", "late") == "ready"
    });
    let late = format!("MODQ.RESOLVE q late {lock} VERDICT keep");
    c.expect_ok(&late);
    assert_eq!(
        c.line("MODQ.DECIDED q late").field("token"),
        Value::Int(lock)
    );
    unchanged(&mut c, "q", |c| c.expect_ok(&late));
}

fn neither_cancel_nor_move_leaves_a_record(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    submit(&mut c, "q a p");
    submit(&mut c, "q b p");
    assert_eq!(c.line("MODQ.CANCEL q a"), Value::Int(1));
    c.expect_ok("MODQ.MOVE q r b");
    assert_eq!(stat(&mut c, "q", "decided"), 0);
    for item in ["a", "b"] {
        assert!(c.line(&format!("MODQ.DECIDED q {item}")).is_null());
        submit(&mut c, &format!("q {item} p"));
    }
}

fn records_in_transactions_and_scripts(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    submit(&mut c, "q i p");
    let lock = claim(&mut c, "q ann");
    let replies = c.pipeline(&[
        "MULTI".to_owned(),
        format!("MODQ.RESOLVE q i {} VERDICT keep", lock.token),
        "MODQ.SUBMIT q i p".into(),
        "MODQ.SUBMIT q i p ONDECIDED COUNT".into(),
        "MODQ.DECIDED q i".into(),
        "MODQ.SUBMIT q i p ONDECIDED APPEAL".into(),
        "MODQ.FORGET q i".into(),
        "MODQ.DECIDED q i".into(),
        "EXEC".into(),
    ]);
    let replies = &replies[8];
    assert_eq!(replies[0], ok());
    assert_eq!(replies[1], simple("DECIDED"));
    assert_eq!(replies[2], simple("DECIDED"));
    assert_eq!(replies[3].field("reports"), Value::Int(2));
    assert_eq!(replies[4], simple("READY"));
    assert_eq!(replies[5], Value::Int(1));
    assert!(replies[6].is_null());
    decide(&mut c, "q", "i", "bob", "VERDICT remove");
    let script = "local s = redis.call('MODQ.SUBMIT', KEYS[1], 'i', 'p', 'ONDECIDED', 'COUNT')
                  local d = redis.call('MODQ.DECIDED', KEYS[1], 'i')
                  local f = redis.call('MODQ.FORGET', KEYS[1], 'i', 'BY', 'script')
                  local n = redis.call('MODQ.DECIDED', KEYS[1], 'i')
                  local e = redis.pcall('MODQ.SUBMIT', KEYS[1], 'i', 'p', 'ONDECIDED', 'APPEAL')
                  return {s.ok, d[1], d[4], d[16], f, n == false and 1 or 0, e.err}";
    let reply = cmd!(c, "EVAL", script, 1, "q");
    assert_eq!(reply[0], bulk("DECIDED"));
    assert_eq!((&reply[1], &reply[2]), (&bulk("item"), &bulk("remove")));
    assert_eq!((reply[3].int(), reply[4].int(), reply[5].int()), (2, 1, 1));
    assert!(reply[6].text().starts_with("NOITEM"), "{reply:?}");
    // A replica of it may be read by scripts that may not write.
    let script = "return redis.call('MODQ.DECIDED', KEYS[1], 'i')";
    assert!(cmd!(c, "EVAL_RO", script, 1, "q").is_null());
}

matrix!(
    a_decision_is_remembered_with_all_that_belongs_to_it,
    what_is_wrong_with_a_command_is_told,
    a_decision_stands_unless_asked_otherwise,
    submit_looks_in_the_order_it_says,
    an_appeal_goes_to_nobody_who_decided,
    after_64_appeals_the_first_decider_may_be_asked_again,
    what_is_forgotten_is_gone,
    a_resolve_sent_again_changes_nothing,
    neither_cancel_nor_move_leaves_a_record,
    records_in_transactions_and_scripts,
);
