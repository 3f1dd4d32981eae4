//! Records of decided items: how they end, what stores and replicates them, and what is told of them.

use crate::modq_decided::*;
use modq_testkit::queue::*;
use modq_testkit::*;

fn records_run_out(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    for n in 0..300 {
        decided(&mut c, "q", &format!("i{n}"));
    }
    assert_eq!(stat(&mut c, "q", "decided"), 300);
    // What a lowered RETAINMAX leaves over is unreadable at once: the earliest decided.
    let replies = c.pipeline(&[
        "MULTI",
        "MODQ.CONFIGURE q RETAINMAX 100",
        "MODQ.STATS q",
        "MODQ.DECIDED q i199",
        "MODQ.DECIDED q i200",
        "MODQ.SUBMIT q i199 p",
        "EXEC",
    ]);
    assert_eq!(replies[6][1].field("decided"), Value::Int(100));
    assert!(replies[6][2].is_null());
    assert_eq!(replies[6][3].field("verdict"), bulk("keep"));
    assert_eq!(replies[6][4], simple("READY"));
    wait_until("they are gone", PATIENCE, || {
        stat(&mut c, "q", "records_evicted") == 200
    });
    // Each decision more lets one go, in the same step.
    decided(&mut c, "q", "more");
    assert!(c.line("MODQ.DECIDED q i200").is_null());
    assert_eq!(
        (
            stat(&mut c, "q", "decided"),
            stat(&mut c, "q", "records_evicted")
        ),
        (100, 201)
    );
    // RETAIN 0 has all go.
    let before = digest(&mut c, "q");
    let replies = c.pipeline(&[
        "MULTI",
        "MODQ.CONFIGURE q RETAIN 0",
        "MODQ.STATS q",
        "MODQ.DECIDED q more",
        "EXEC",
    ]);
    assert_eq!(replies[4][1].field("decided"), Value::Int(0));
    assert!(replies[4][2].is_null());
    assert_ne!(digest(&mut c, "q"), before);
    // By the clock. They are gone also from what is stored, and count as evicted no more.
    c.expect_ok("MODQ.CONFIGURE r RETAIN 50");
    submit(&mut c, "r i p");
    let token = c.line("MODQ.ASSIGN r i ann").int();
    let replies = c.pipeline(&[
        "MULTI",
        &format!("MODQ.RESOLVE r i {token}"),
        "MODQ.STATS r",
        "DEBUG DIGEST-VALUE r",
        "EXEC",
    ]);
    assert_eq!(replies[4][1].field("decided"), Value::Int(1));
    let with_record = replies[4][2][0].text();
    wait_until("it is gone by itself", PATIENCE, || {
        digest(&mut c, "r") != with_record
    });
    assert!(c.line("MODQ.DECIDED r i").is_null());
    assert_eq!(stat(&mut c, "r", "decided"), 0);
    assert_eq!(stat(&mut c, "r", "records_evicted"), 0);
    submit(&mut c, "r i p");
}

/// Nothing happens to a queue but that its records run out: a timer sees to that, and then rests. It needs no stream.
fn the_timer_rests_when_all_records_are_gone(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q RETAIN 200 EVENTS ev");
    c.line("MODQ.MSUBMIT q 3 a p b p c p");
    for item in ["a", "b", "c"] {
        decide(&mut c, "q", item, "ann", "");
    }
    let events = c.line("XLEN ev");
    wait_until("nothing is left to do", PATIENCE, || {
        info_number(&mut c, "modq", "modq_scheduled_keys") == 0
    });
    assert_eq!(stat(&mut c, "q", "decided"), 0);
    assert_eq!(c.line("XLEN ev"), events, "no event");
}

fn records_come_through_what_stores_and_copies(kind: Kind) {
    for preamble in ["yes", "no"] {
        let mut builder = Server::builder(kind).aof();
        if preamble == "no" {
            // RediSearch insists on the preamble.
            builder = builder.without_own_modules();
        }
        let mut server = builder
            .config(format!("aof-use-rdb-preamble {preamble}"))
            .start();
        let mut c = server.client();
        c.expect_ok("MODQ.CONFIGURE q RETAIN 3600000 RETAINMAX 40");
        let tokens: Vec<i64> = (0..50)
            .map(|n| decided(&mut c, "q", &format!("i{n}")))
            .collect();
        status(&mut c, "q i20 p ONDECIDED COUNT");
        submit(&mut c, "q i21 p ONDECIDED APPEAL");
        assert_eq!(c.line("MODQ.FORGET q i22"), Value::Int(1));
        let seen = |c: &mut Client, key: &str| {
            let records = (0..50).map(|n| c.line(&format!("MODQ.DECIDED {key} i{n}")));
            let records: Vec<Value> = records.collect();
            (digest(c, key), stat(c, key, "records_evicted"), records)
        };
        let before = seen(&mut c, "q");
        assert_eq!(before.2.iter().filter(|r| r.is_null()).count(), 11);
        assert_eq!(c.line("COPY q copy"), Value::Int(1));
        assert_eq!(seen(&mut c, "copy"), before);
        let dump = c.line("DUMP q");
        assert_eq!(cmd!(c, "RESTORE", "restored", 0, dump.bytes()), ok());
        assert_eq!(seen(&mut c, "restored"), before);
        c.expect_ok("DEBUG RELOAD");
        assert_eq!(seen(&mut c, "q"), before, "DEBUG RELOAD");
        server.kill9();
        server.start_again();
        let mut c = server.client();
        assert_eq!(seen(&mut c, "q"), before, "the AOF");
        c.line("BGREWRITEAOF");
        wait_until("the AOF is rewritten", PATIENCE, || {
            let now = info(&mut c, "persistence");
            now["aof_rewrite_in_progress"] == "0" && now["aof_rewrite_scheduled"] == "0"
        });
        server.kill9();
        server.start_again();
        let mut c = server.client();
        assert_eq!(seen(&mut c, "q"), before, "the AOF, rewritten");
        // It goes on as if nothing had happened.
        unchanged(&mut c, "q", |c| {
            c.expect_ok(&format!("MODQ.RESOLVE q i30 {} VERDICT keep", tokens[30]));
            assert_eq!(status(c, "q i31 p ONDECIDED CHANGED"), simple("DECIDED"));
            assert_err!(c.line("MODQ.ASSIGN q i21 ann"), "EXCLUDED");
        });
        // One was forgotten: then there is room for one more.
        decided(&mut c, "q", "new");
        assert!(!c.line("MODQ.DECIDED q i10").is_null());
        decided(&mut c, "q", "newer");
        assert!(c.line("MODQ.DECIDED q i10").is_null(), "the earliest goes");
        // They run out also if nobody touches the queue after it was loaded.
        c.expect_ok("MODQ.CONFIGURE q RETAIN 1");
        server.restart();
        let mut c = server.client();
        assert_eq!(stat(&mut c, "q", "decided"), 0);
    }
}

fn replicas_have_the_same_records(kind: Kind) {
    let primary = Server::builder(kind).aof().start();
    let replica = Server::builder(kind).replica_of(&primary).start();
    wait_link(&primary, &replica);
    let (mut c, mut r) = (primary.client(), replica.client());
    let mut same = |c: &mut Client| {
        wait_replica_synced(&primary, &replica);
        assert_eq!(digest(&mut r, "q"), digest(c, "q"));
        for item in ["a", "b", "i5"] {
            let line = format!("MODQ.DECIDED q {item}");
            assert_eq!(r.line(&line), c.line(&line));
        }
    };
    c.expect_ok("MODQ.CONFIGURE q RETAIN 3600000 RETAINMAX 5");
    for n in 0..8 {
        decided(&mut c, "q", &format!("i{n}"));
    }
    same(&mut c);
    c.line("MODQ.SUBMIT q a p QUORUM 2 3");
    let token = c.line("MODQ.ASSIGN q a ann").int();
    c.line(&format!("MODQ.RESOLVE q a {token} VERDICT keep"));
    decide(&mut c, "q", "a", "bob", "VERDICT keep");
    status(&mut c, "q a p ONDECIDED COUNT");
    submit(&mut c, "q a p ONDECIDED APPEAL");
    same(&mut c);
    c.line("MODQ.FORGET q a i5");
    same(&mut c);
    c.expect_ok("MODQ.CONFIGURE q RETAINMAX 1");
    wait_until("one is left", PATIENCE, || {
        stat(&mut c, "q", "records_evicted") > 4
    });
    same(&mut c);
    c.expect_ok("MODQ.CONFIGURE q RETAIN 1");
    decided(&mut c, "q", "b");
    wait_until("none is left", PATIENCE, || {
        stat(&mut c, "q", "decided") == 0
    });
    let_pass(50);
    same(&mut c);
}

fn a_replica_judges_records_by_the_clock(kind: Kind) {
    let primary = Server::start(kind);
    let mut replica = Server::builder(kind).replica_of(&primary).start();
    wait_link(&primary, &replica);
    let mut c = primary.client();
    c.expect_ok("MODQ.CONFIGURE q RETAIN 400");
    decided(&mut c, "q", "i");
    wait_replica_synced(&primary, &replica);
    let mut r = replica.client();
    // The primary stands still, so that nobody tells the replica.
    primary.freeze();
    let before = digest(&mut r, "q");
    wait_until("it runs out", PATIENCE, || {
        r.line("MODQ.DECIDED q i").is_null()
    });
    assert_eq!(stat(&mut r, "q", "decided"), 0);
    assert_eq!(
        digest(&mut r, "q"),
        before,
        "a replica lets nothing go by itself"
    );
    primary.thaw();
    wait_until("it is told", PATIENCE, || digest(&mut r, "q") != before);
    replica.stop();
}

fn decisions_are_remembered_at_maxmemory(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    submit(&mut c, "q i p");
    let lock = claim(&mut c, "q ann");
    decided(&mut c, "q", "other");
    c.expect_ok("CONFIG SET maxmemory 1");
    c.expect_ok(&format!("MODQ.RESOLVE q i {} VERDICT keep", lock.token));
    assert_eq!(c.line("MODQ.DECIDED q i").field("verdict"), bulk("keep"));
    assert_err!(status(&mut c, "q i p"), "OOM");
    assert_eq!(c.line("MODQ.FORGET q i other"), Value::Int(2));
    c.expect_ok("CONFIG SET maxmemory 0");
}

/// An entry as `field=value`, without what changes from run to run.
fn shown(entry: &Value) -> String {
    let pairs = entry[1].pairs();
    let kept = pairs.iter().map(|(field, value)| {
        let field = field.text();
        match ["at", "submitted", "token", "deadline"].contains(&&*field) {
            true => field,
            false => format!("{field}={}", value.text()),
        }
    });
    kept.collect::<Vec<_>>().join(" ")
}

fn what_becomes_of_records_is_told(kind: Kind) {
    let (_server, mut c) = remembering(kind);
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev");
    let told = |c: &mut Client, line: &str, event: &str| {
        let replies = c.pipeline(&[line, "XREVRANGE ev + - COUNT 1"]);
        assert_eq!(replies[0].err_code(), "", "{line}");
        assert_eq!(shown(&replies[1][0]), event, "after {line}");
    };
    submit(&mut c, "q i p");
    c.line("MODQ.UPDATE q i PRIORITY 3");
    let token = c.line("MODQ.ASSIGN q i ann").int();
    told(
        &mut c,
        &format!("MODQ.RESOLVE q i {token} VERDICT keep"),
        "ev=resolve key=q item=i rev=2 at moderator=ann token verdict=keep",
    );
    let events = c.line("XLEN ev");
    for words in ["", "ONDECIDED CHANGED"] {
        status(&mut c, &format!("q i p {words}"));
    }
    c.expect_ok(&format!("MODQ.RESOLVE q i {token} VERDICT keep"));
    assert_eq!(c.line("MODQ.FORGET q none"), Value::Int(0));
    assert_eq!(
        c.line("XLEN ev"),
        events,
        "what changes nothing tells nothing"
    );
    told(
        &mut c,
        "MODQ.SUBMIT q i p ONDECIDED COUNT",
        "ev=report key=q item=i rev=2 at reports=2",
    );
    told(
        &mut c,
        "MODQ.SUBMIT q i p ONDECIDED APPEAL",
        "ev=submit key=q item=i rev=1 at state=ready priority=0 boost=0 submitted \
         reports=1 deliveries=0 expiries=0 deciders=[\"ann\"]",
    );
    told(
        &mut c,
        "MODQ.FORGET q i BY privacy",
        "ev=forget key=q item=i rev=2 at by=privacy",
    );
    // What would write an event is refused where it cannot be written; what would not is not.
    decided(&mut c, "q", "x");
    c.line("DEL ev");
    c.expect_ok("SET ev string");
    unchanged(&mut c, "q", |c| {
        assert_eq!(status(c, "q x p"), simple("DECIDED"));
        assert_err!(status(c, "q x p ONDECIDED COUNT"), "EVENTS");
        assert_err!(status(c, "q x p ONDECIDED AGAIN"), "EVENTS");
        assert_err!(c.line("MODQ.FORGET q none x"), "EVENTS");
        assert_eq!(c.line("MODQ.FORGET q none"), Value::Int(0));
    });
}

matrix!(
    records_run_out,
    the_timer_rests_when_all_records_are_gone,
    records_come_through_what_stores_and_copies,
    replicas_have_the_same_records,
    a_replica_judges_records_by_the_clock,
    decisions_are_remembered_at_maxmemory,
    what_becomes_of_records_is_told,
);
