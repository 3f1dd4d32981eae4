//! The audit log when its stream cannot be written, or not by everybody: nothing happens to the queue that it would not
//! tell, except by the clock, which counts what it could not tell.

use super::modq_events::stream;
use modq_testkit::queue::*;
use modq_testkit::*;

/// All commands that would tell something are refused with `code` and change nothing.
fn refuses_all(c: &mut Client, key: &str, token: i64, code: &str) {
    let other = format!("{{{key}}}other");
    for line in [
        format!("MODQ.SUBMIT {key} new p"),
        format!("MODQ.SUBMIT {key} ready p ONDUP BUMP"),
        format!("MODQ.SUBMIT {key} ready p ONDUP REPLACE"),
        format!("MODQ.MSUBMIT {key} 3 ready p new p newer p"),
        format!("MODQ.MSUBMIT {key} 1 ready p ONDUP BUMP STEP 1"),
        format!("MODQ.CANCEL {key} ready REASON none BY me"),
        format!("MODQ.CANCEL {key} ready"),
        format!("MODQ.UPDATE {key} ready PRIORITY 5"),
        format!("MODQ.CLAIM {key} someone"),
        format!("MODQ.CLAIM {key} someone BLOCK 5000"),
        format!("MODQ.MCLAIM 1 {key} someone"),
        format!("MODQ.RESOLVE {key} held {token} DECISION d"),
        format!("MODQ.RELEASE {key} held {token}"),
        format!("MODQ.EXTEND {key} held {token} 5000"),
        format!("MODQ.MRESOLVE {key} 3 ready 1 held {token} none 1"),
        format!("MODQ.MEXTEND {key} 5000 2 none 1 held {token}"),
        format!("MODQ.LEAVE {key} ann RELEASE"),
        format!("MODQ.JOIN {key} someone"),
        format!("MODQ.MOVE {key} {other} ready"),
        format!("MODQ.MOVE {other} {key} theirs"),
        format!("MODQ.ASSIGN {key} ready someone"),
        format!("MODQ.ASSIGN {key} held someone TOKEN {token}"),
        format!("MODQ.REVIVE {key} dead"),
        format!("MODQ.REVIVE {key} ALL"),
    ] {
        let elsewhere = digest(c, &other);
        let reply = unchanged(c, key, |c| c.line(&line));
        assert_eq!(reply.err_code(), code, "{line}: {reply:?}");
        assert_eq!(digest(c, &other), elsewhere, "{line}");
    }
    // What tells nothing works.
    let held = c.line(&format!("MODQ.CLAIM {key} ann"));
    assert_eq!(ids(&held), "held");
    assert_eq!(
        c.line(&format!("MODQ.SUBMIT {key} ready p")),
        simple("EXISTS")
    );
    assert_eq!(c.line(&format!("MODQ.CANCEL {key} none")), Value::Int(0));
    let nothing = c.line(&format!("MODQ.CLAIM {key} eve"));
    assert!(nothing.is_null(), "{nothing:?}");
    assert_err!(c.line(&format!("MODQ.RESOLVE {key} held 5")), "STALE");
    assert_eq!(counts(c, key), [1, 1, 0, 1]);
}

/// A queue with an item that is ready (not for eve), one that is held by ann and one that is dead, and another queue
/// with one; the token of the held one.
fn a_queue_of_all(c: &mut Client, key: &str) -> i64 {
    submit(c, &format!("{{{key}}}other theirs p"));
    c.expect_ok(&format!(
        "MODQ.CONFIGURE {key} EVENTS {{{key}}}ev MAXEXPIRIES 1"
    ));
    submit(c, &format!("{key} dead p"));
    claim(c, &format!("{key} m LOCK 1"));
    wait_until("it is dead", PATIENCE, || {
        len(c, &format!("{key} DEAD")) == 1
    });
    submit(c, &format!("{key} held p"));
    let token = claim(c, &format!("{key} ann")).token;
    submit(c, &format!("{key} ready p EXCLUDE 1 eve"));
    token
}

fn a_key_of_another_type_refuses(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let token = a_queue_of_all(&mut c, "q");
    let dropped = |c: &mut Client| info(c, "modq")["modq_events_dropped"].clone();
    c.expect_ok("RENAME {q}ev old");
    c.expect_ok("SET {q}ev x");
    refuses_all(&mut c, "q", token, "EVENTS");
    assert_eq!(dropped(&mut c), "0");
    // At CONFIGURE.
    c.expect_ok("SET s x");
    unchanged(&mut c, "q", |c| {
        assert_err!(c.line("MODQ.CONFIGURE q EVENTS s"), "EVENTS");
        assert_err!(c.line("MODQ.CONFIGURE q EVENTS q"), "ERR", "EVENTS");
        assert_err!(c.line("MODQ.CONFIGURE q LOCK 5 EVENTS"), "ERR", "EVENTS");
        assert_err!(
            c.line("MODQ.CONFIGURE q EVENTSMAXLEN -1"),
            "ERR",
            "EVENTSMAXLEN"
        );
        assert_err!(c.line("MODQ.CONFIGURE q EVENTS a EVENTS b"), "ERR");
    });
    assert_err!(c.line("MODQ.CONFIGURE fresh EVENTS fresh"), "ERR", "EVENTS");
    assert_eq!(c.line("EXISTS fresh"), Value::Int(0));
    // A transition by the clock goes on, and is counted.
    c.expect_ok("RENAME {q}ev other");
    c.expect_ok("RENAME old {q}ev");
    let replies = c.pipeline(&[
        "MODQ.CLAIM q short LOCK 50",
        "XLEN {q}ev",
        "RENAME {q}ev old",
        "RENAME other {q}ev",
    ]);
    assert_eq!(ids(&replies[0]), "ready");
    assert_eq!(replies[2..], [ok(), ok()]);
    wait_until("it is dead", PATIENCE, || len(&mut c, "q DEAD") == 2);
    assert_eq!(dropped(&mut c), "1");
    assert_eq!(c.line("XLEN old"), replies[1]);
    assert_eq!(c.line("GET {q}ev"), bulk("x"));
    // UNPAUSE and CONFIGURE tell nothing themselves; what they make possible comes by the timer.
    assert_eq!(c.line("DEL {q}ev"), Value::Int(1));
    c.line("MODQ.REVIVE q ALL");
    c.expect_ok("MODQ.PAUSE q OUT");
    c.line("MODQ.JOIN q joined");
    c.expect_ok("SET {q}ev x");
    c.expect_ok("MODQ.UNPAUSE q");
    wait_until("the match is made", PATIENCE, || {
        len(&mut c, "q LOCKED") == 2
    });
    assert_eq!(dropped(&mut c), "2");
    // Deleted: made anew by the next event.
    assert_eq!(c.line("DEL {q}ev"), Value::Int(1));
    assert_eq!(cmd!(c, "MODQ.RESOLVE", "q", "held", token), ok());
    assert_eq!(stream(&mut c, "{q}ev").len(), 1);
    assert_eq!(dropped(&mut c), "2");
}

/// Nothing can be added to a stream that has given its last ID.
fn a_stream_at_its_last_id_refuses(kind: Kind) {
    const LAST: &str = "18446744073709551615-18446744073709551615";
    let (_server, mut c) = desk(kind);
    let dropped = |c: &mut Client| info_number(c, "modq", "modq_events_dropped");
    // One that is at its end when it is named.
    assert_eq!(cmd!(c, "XADD", "over", LAST, "a", "b"), bulk(LAST));
    assert_err!(c.line("MODQ.CONFIGURE other EVENTS over"), "EVENTS");
    assert_eq!(c.line("EXISTS other"), Value::Int(0));
    // One that comes to its end later: that is noticed by the first event that it does not take.
    let token = a_queue_of_all(&mut c, "q");
    cmd!(c, "XADD", "{q}ev", LAST, "a", "b");
    assert_eq!(c.line("MODQ.UPDATE q ready PRIORITY 1"), Value::Int(2));
    assert_eq!(dropped(&mut c), 1);
    refuses_all(&mut c, "q", token, "EVENTS");
    assert_eq!(dropped(&mut c), 1);
    // What the clock does goes on.
    assert_eq!(len(&mut c, "q LOCKED"), 1);
    // A stream of that name in another database is another stream.
    c.expect_ok("SELECT 1");
    c.expect_ok("MODQ.CONFIGURE q EVENTS {q}ev");
    submit(&mut c, "q i p");
    c.expect_ok("SELECT 0");
    refuses_all(&mut c, "q", token, "EVENTS");
    // Once there is another stream, all goes on.
    c.expect_ok("RENAME {q}ev old");
    assert_eq!(cmd!(c, "MODQ.RESOLVE", "q", "held", token), ok());
    assert_eq!(stream(&mut c, "{q}ev").len(), 1);
    c.expect_ok("RENAME old {q}ev");
    assert_err!(c.line("MODQ.CONFIGURE q EVENTS {q}ev"), "EVENTS");
    assert_err!(c.line("MODQ.SUBMIT q more p"), "EVENTS");
    assert_eq!(dropped(&mut c), 1);
}

fn full_memory_does_not_stop_the_log(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev");
    for i in 0..3 {
        submit(&mut c, &format!("q i{i} p"));
    }
    c.expect_ok("CONFIG SET maxmemory 1");
    assert_err!(c.line("MODQ.SUBMIT q x p"), "OOM");
    let token = claim(&mut c, "q m").token;
    cmd!(c, "MODQ.EXTEND", "q", "i0", token, 5000).int();
    assert_eq!(cmd!(c, "MODQ.RESOLVE", "q", "i0", token), ok());
    let token = c.line("MODQ.ASSIGN q i1 m").int();
    assert_eq!(cmd!(c, "MODQ.RELEASE", "q", "i1", token), ok());
    assert_eq!(c.line("MODQ.CANCEL q i1"), Value::Int(1));
    claim(&mut c, "q m LOCK 1");
    wait_until("it runs out", PATIENCE, || len(&mut c, "q READY") == 1);
    let events = stream(&mut c, "ev");
    let names: Vec<_> = events.iter().map(|e| &*e["ev"]).collect();
    assert_eq!(
        names[3..],
        [
            "claim", "extend", "resolve", "assign", "release", "cancel", "claim", "expire"
        ]
    );
    assert_eq!(info(&mut c, "modq")["modq_events_dropped"], "0");
}

fn rights_on_the_stream_are_asked_for_at_configure(kind: Kind) {
    let (server, mut c) = desk(kind);
    c.expect_ok("ACL SETUSER lead on nopass ~q +@all");
    c.expect_ok("ACL SETUSER chief on nopass ~q ~ev +@all");
    let mut lead = server.client();
    lead.expect_ok("AUTH lead x");
    assert_err!(lead.line("MODQ.CONFIGURE q EVENTS ev"), "NOPERM");
    assert_err!(lead.line("MODQ.CONFIGURE q LOCK 5 EVENTS ev"), "NOPERM");
    assert_eq!(c.line("EXISTS q"), Value::Int(0));
    lead.expect_ok("MODQ.CONFIGURE q LOCK 5000");
    assert_eq!(lead.cmd(&["MODQ.CONFIGURE", "q", "EVENTS", ""]), ok());
    let mut chief = server.client();
    chief.expect_ok("AUTH chief x");
    chief.expect_ok("MODQ.CONFIGURE q EVENTS ev");
    // From then on it is the queue that writes, whoever works on it.
    submit(&mut lead, "q i p");
    assert_eq!(stream(&mut c, "ev").len(), 1);
    let keys = |c: &mut Client, line: &str| {
        let keys = c.line(&format!("COMMAND GETKEYS {line}"));
        let keys: Vec<_> = keys.items().iter().map(Value::text).collect();
        keys.join(" ")
    };
    assert_eq!(keys(&mut c, "MODQ.CONFIGURE q"), "q");
    assert_eq!(
        keys(&mut c, "MODQ.CONFIGURE q LOCK 5 events s LATE ACCEPT"),
        "q s"
    );
}

fn in_a_cluster_only_configure_makes_the_stream(kind: Kind) {
    // An AOF that is synced every second may be written late, and looks changed then.
    let cluster = Cluster::start_with(2, kind, Builder::aof);
    let mut c = cluster.client_for("q");
    let elsewhere = (0..100)
        .map(|i| format!("s{i}"))
        .find(|k| cluster.owner(k).port() != cluster.owner("q").port())
        .unwrap();
    assert_err!(
        c.line(&format!("MODQ.CONFIGURE q EVENTS {elsewhere}")),
        "CROSSSLOT",
        ""
    );
    assert_eq!(c.line("EXISTS q"), Value::Int(0));
    let token = a_queue_of_all(&mut c, "q");
    assert_eq!(c.line("TYPE {q}ev"), simple("stream"));
    let events = stream(&mut c, "{q}ev").len();
    assert_eq!(events, 6);
    assert_eq!(c.line("DEL {q}ev"), Value::Int(1));
    refuses_all(&mut c, "q", token, "TRYAGAIN");
    assert_eq!(c.line("EXISTS {q}ev"), Value::Int(0));
    // The clock waits too, and goes on when the stream is there.
    c.expect_ok("MODQ.CONFIGURE q EVENTS {q}ev");
    assert_eq!(c.line("XLEN {q}ev"), Value::Int(0));
    let replies = c.pipeline(&["MODQ.CLAIM q short LOCK 50", "DEL {q}ev"]);
    assert_eq!(replies[1], Value::Int(1));
    let until = claims(&replies[0])[0].deadline;
    wait_until("its deadline is past", PATIENCE, || now_ms() > until + 150);
    assert_eq!(c.line("MODQ.STATS q").field("deferred"), Value::Int(1));
    assert_eq!(c.line("EXISTS {q}ev"), Value::Int(0));
    c.expect_ok("MODQ.CONFIGURE q EVENTS {q}ev");
    wait_until("it is dead", PATIENCE, || len(&mut c, "q DEAD") == 2);
    let told = stream(&mut c, "{q}ev");
    assert_eq!((told.len(), &*told[0]["ev"]), (1, "dead"));
    assert_eq!(info(&mut c, "modq")["modq_events_dropped"], "0");
}

matrix!(
    a_key_of_another_type_refuses,
    a_stream_at_its_last_id_refuses,
    full_memory_does_not_stop_the_log,
    rights_on_the_stream_are_asked_for_at_configure,
    in_a_cluster_only_configure_makes_the_stream,
);
