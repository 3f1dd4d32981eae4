//! The audit log: every transition is an entry of a native stream.

use modq_testkit::fold::{Fields, fields};
use modq_testkit::queue::*;
use modq_testkit::*;

/// All there is in a stream.
pub(crate) fn stream(c: &mut Client, name: &str) -> Vec<Fields> {
    let entries = c.line(&format!("XRANGE {name} - +"));
    entries.items().iter().map(fields).collect()
}

const LAST: &str = "XREVRANGE ev + - COUNT 1";

/// The last event, as [`shown`].
fn last(c: &mut Client) -> String {
    shown(&c.line(LAST)[0])
}

/// An entry as `field=value` in the order it was written, without what changes from run to run.
fn shown(entry: &Value) -> String {
    let pairs = entry[1].pairs();
    let shown = pairs.iter().map(|(field, value)| {
        let field = field.text();
        let varies = ["at", "submitted", "due", "token", "deadline"].contains(&&*field);
        match varies {
            true => {
                assert!(value.text().parse::<u64>().unwrap() > 1_700_000_000_000);
                field
            }
            false => format!("{field}={}", value.text()),
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Runs a line, which must tell this event. It is looked at before the clock can add another.
#[track_caller]
fn told(c: &mut Client, line: &str, event: &str) {
    let replies = c.pipeline(&[line, LAST]);
    assert_eq!(replies[0].err_code(), "", "{line}");
    assert_eq!(shown(&replies[1][0]), event, "after {line}");
}

/// A queue `q` that tells all to `ev`.
fn telling(kind: Kind, settings: &str) -> (Server, Client) {
    let (server, mut c) = desk(kind);
    c.expect_ok(&format!("MODQ.CONFIGURE q EVENTS ev {settings}"));
    (server, c)
}

fn every_transition_is_told(kind: Kind) {
    let (_server, mut c) = telling(kind, "EVENTSMAXLEN 500 MAXEXPIRIES 2 LATE ACCEPT");
    let settings = c.line("MODQ.CONFIGURE q");
    assert_eq!(settings.field("events"), bulk("ev"));
    assert_eq!(settings.field("eventsmaxlen"), Value::Int(500));
    assert_eq!(
        c.line("EXISTS ev"),
        Value::Int(0),
        "nothing has happened yet"
    );
    what_producers_do_is_told(&mut c);
    what_moderators_do_is_told(&mut c);
    what_the_clock_does_is_told(&mut c);
}

fn what_producers_do_is_told(c: &mut Client) {
    told(
        c,
        "MODQ.SUBMIT q i pay PRIORITY 3 BOOST -5 TAGS 2 b a EXCLUDE 1 eve",
        "ev=submit key=q item=i rev=1 at state=ready priority=3 boost=-5 submitted tags=[\"b\",\"a\"] \
         excluded=[\"eve\"] reports=1 deliveries=0 expiries=0",
    );
    told(
        c,
        "MODQ.SUBMIT q i x PRIORITY 4 ONDUP BUMP",
        "ev=bump key=q item=i rev=2 at priority=4 boost=-5 reports=2",
    );
    told(
        c,
        "MODQ.SUBMIT q i x TAGS 0 ONDUP REPLACE",
        "ev=replace key=q item=i rev=3 at tags=[]",
    );
    told(
        c,
        "MODQ.UPDATE q i PRIORITY 7 BOOST 0 EXCLUDE 0",
        "ev=update key=q item=i rev=4 at priority=7 boost=0 excluded=[]",
    );
}

/// Of the item `i`, ready at revision 4.
fn what_moderators_do_is_told(c: &mut Client) {
    told(
        c,
        "MODQ.CLAIM q ann",
        "ev=claim key=q item=i rev=4 at state=locked deliveries=1 moderator=ann token deadline",
    );
    let token = field(c, "q", "i", "token").int();
    assert_eq!(stream(c, "ev").last().unwrap()["token"], token.to_string());
    told(
        c,
        &format!("MODQ.EXTEND q i {token} 5000"),
        "ev=extend key=q item=i rev=4 at moderator=ann token deadline",
    );
    told(
        c,
        &format!("MODQ.RELEASE q i {token} SKIP DELAY 30"),
        "ev=release key=q item=i rev=4 at moderator=ann token state=delayed due excluded=[\"ann\"]",
    );
    wait_until("it comes due", PATIENCE, || len(c, "q READY") == 1);
    assert_eq!(last(c), "ev=due key=q item=i rev=4 at state=ready");
    told(
        c,
        "MODQ.ASSIGN q i bob LOCK 30",
        "ev=assign key=q item=i rev=4 at state=locked deliveries=2 moderator=bob token deadline",
    );
}

/// Of the item `i`, which bob has for a moment and the clock has not taken from anybody.
fn what_the_clock_does_is_told(c: &mut Client) {
    wait_until("it runs out", PATIENCE, || len(c, "q READY") == 1);
    assert_eq!(
        last(c),
        "ev=expire key=q item=i rev=4 at moderator=bob token state=ready expiries=1"
    );
    claim(c, "q bob LOCK 30");
    wait_until("it is dead", PATIENCE, || len(c, "q DEAD") == 1);
    assert_eq!(
        last(c),
        "ev=dead key=q item=i rev=4 at moderator=bob token state=dead expiries=2"
    );
    let events = stream(c, "ev");
    let expired = events.iter().filter(|e| e["ev"] == "expire").count();
    assert_eq!(expired, 1, "an expiry that parks is told once");
    told(
        c,
        "MODQ.REVIVE q i",
        "ev=revive key=q item=i rev=4 at state=ready expiries=0",
    );
    let late = claim(c, "q zoe LOCK 30").token;
    wait_until("it runs out", PATIENCE, || len(c, "q READY") == 1);
    let decision = "fine, really";
    let reply = cmd!(c, "MODQ.RESOLVE", "q", "i", late, "DECISION", decision);
    assert_eq!(reply, ok());
    assert_eq!(
        last(c),
        "ev=resolve key=q item=i rev=4 at moderator=zoe token decision=fine, really"
    );
}

fn dead_items_that_come_back_are_told(kind: Kind) {
    let (_server, mut c) = telling(kind, "MAXEXPIRIES 1");
    for (id, how) in [("d1", "BUMP"), ("d2", "REPLACE")] {
        submit(&mut c, &format!("q {id} p"));
        claim(&mut c, "q m LOCK 1");
        wait_until("it is dead", PATIENCE, || len(&mut c, "q DEAD") == 1);
        c.line(&format!("MODQ.SUBMIT q {id} p ONDUP {how}"));
        let event = stream(&mut c, "ev").pop().unwrap();
        let shown = ["ev", "state", "expiries"].map(|field| event[field].clone());
        assert_eq!(shown, [&*how.to_lowercase(), "ready", "0"]);
        told(
            &mut c,
            &format!("MODQ.CANCEL q {id}"),
            &format!("ev=cancel key=q item={id} rev=2 at"),
        );
    }
}

fn a_move_is_told_by_both_queues(kind: Kind) {
    let (_server, mut c) = telling(kind, "");
    submit(&mut c, "q m p");
    let before = stream(&mut c, "ev").len();
    c.expect_ok("MODQ.CONFIGURE r EVENTS ev");
    c.expect_ok("MODQ.MOVE q r m PRIORITY 2");
    let events = stream(&mut c, "ev");
    let told: Vec<_> = events[before..]
        .iter()
        .map(|e| (&*e["ev"], &*e["key"]))
        .collect();
    assert_eq!(told.len(), 2);
    assert!(told.contains(&("move_out", "q")) && told.contains(&("move_in", "r")));
}

fn who_and_why_is_told(kind: Kind) {
    let (_server, mut c) = telling(kind, "MAXEXPIRIES 1");
    c.expect_ok("MODQ.CONFIGURE {q}r EVENTS {q}ev");
    submit(&mut c, "q i p");
    told(
        &mut c,
        "MODQ.UPDATE q i PRIORITY 2 BY sue",
        "ev=update key=q item=i rev=2 at priority=2 by=sue",
    );
    told(
        &mut c,
        "MODQ.ASSIGN q i ann BY sue LOCK 600000",
        "ev=assign key=q item=i rev=2 at state=locked deliveries=1 moderator=ann token deadline by=sue",
    );
    let token = field(&mut c, "q", "i", "token").int();
    told(
        &mut c,
        &format!("MODQ.ASSIGN q i bob by tom token {token}"),
        "ev=assign key=q item=i rev=2 at state=locked deliveries=2 moderator=bob token deadline by=tom",
    );
    let entries = c.line("XREVRANGE ev + - COUNT 2");
    assert_eq!(
        shown(&entries[1]),
        "ev=release key=q item=i rev=2 at moderator=ann token state=ready by=tom"
    );
    let token = field(&mut c, "q", "i", "token").int();
    told(
        &mut c,
        &format!("MODQ.RESOLVE q i {token} DECISION why VERDICT keep"),
        "ev=resolve key=q item=i rev=2 at moderator=bob token verdict=keep decision=why",
    );
    submit(&mut c, "q dead p");
    claim(&mut c, "q m LOCK 1");
    wait_until("it is dead", PATIENCE, || len(&mut c, "q DEAD") == 1);
    told(
        &mut c,
        "MODQ.REVIVE q dead none BY sue",
        "ev=revive key=q item=dead rev=1 at state=ready expiries=0 by=sue",
    );
    told(
        &mut c,
        "MODQ.CANCEL q dead REASON spam BY sue REV 1",
        "ev=cancel key=q item=dead rev=1 at reason=spam by=sue",
    );
    c.expect_ok("RENAME q {q}s");
    submit(&mut c, "{q}s j p");
    let line = "MODQ.MOVE {q}s {q}r j BY sue";
    c.expect_ok(line);
    let out = shown(&c.line(LAST)[0]);
    assert_eq!(out, "ev=move_out key={q}s item=j rev=1 at by=sue");
    let entered = shown(&c.line("XREVRANGE {q}ev + - COUNT 1")[0]);
    assert!(entered.starts_with("ev=move_in key={q}r item=j rev=2 at"));
    assert!(entered.ends_with(" expiries=0 by=sue"), "{entered}");
}

fn what_changes_nothing_tells_nothing(kind: Kind) {
    let (_server, mut c) = telling(kind, "");
    submit(&mut c, "q i p");
    let before = stream(&mut c, "ev").len();
    for line in [
        "MODQ.SUBMIT q i p",
        "MODQ.CANCEL q none",
        "MODQ.PAUSE q",
        "MODQ.CLAIM q nobody",
        "MODQ.JOIN q j",
        "MODQ.LEAVE q j",
        "MODQ.UNPAUSE q",
        "MODQ.REVIVE q ALL",
        "MODQ.RESOLVE q i 5",
        "MODQ.GET q i",
    ] {
        c.line(line);
    }
    assert_eq!(stream(&mut c, "ev").len(), before);
    // Nor does anything when the log is off again.
    assert_eq!(c.cmd(&["MODQ.CONFIGURE", "q", "EVENTS", ""]), ok());
    assert_eq!(c.line("MODQ.CANCEL q i"), Value::Int(1));
    assert_eq!(stream(&mut c, "ev").len(), before);
}

fn an_undone_match_is_told(kind: Kind) {
    let (server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev");
    let mut victim = server.client();
    let id = victim.id();
    block(&mut victim, &server, "MODQ.CLAIM q ann BLOCK 0");
    // Killed in the same transaction that matches: the answer reaches nobody.
    let replies = c.pipeline(&[
        "MULTI".to_owned(),
        "MODQ.SUBMIT q i p".into(),
        format!("CLIENT KILL ID {id}"),
        "EXEC".into(),
    ]);
    assert_eq!(replies[3][0], simple("ASSIGNED"), "{replies:?}");
    wait_until("it is undone", PATIENCE, || len(&mut c, "q READY") == 1);
    let events = stream(&mut c, "ev");
    let names: Vec<_> = events.iter().map(|e| &*e["ev"]).collect();
    assert_eq!(names, ["submit", "claim", "undo"]);
    assert_eq!(
        (&*events[2]["state"], &*events[2]["deliveries"]),
        ("ready", "0")
    );
    assert_eq!(events[2]["token"], events[1]["token"]);
}

fn the_stream_keeps_about_as_many_as_asked(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev EVENTSMAXLEN 200");
    for i in 0..1500 {
        submit(&mut c, &format!("q i{i} p"));
    }
    let kept = c.line("XLEN ev").int();
    assert!((200..=400).contains(&kept), "{kept}");
    c.expect_ok("MODQ.CONFIGURE q EVENTSMAXLEN 0");
    for i in 0..600 {
        c.line(&format!("MODQ.CANCEL q i{i}"));
    }
    assert_eq!(c.line("XLEN ev").int(), kept + 600, "0 keeps all");
}

/// What docs/operations.md says of entries that EVENTSMAXLEN trimmed before a group had read them.
fn what_was_trimmed_unread_can_be_told(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q EVENTS s EVENTSMAXLEN 100");
    c.expect_ok("XGROUP CREATE s g 0 MKSTREAM");
    let submit_more = |c: &mut Client, from: usize, to: usize| {
        let lines: Vec<String> = (from..to)
            .map(|i| format!("MODQ.SUBMIT q i:{i} p"))
            .collect();
        c.pipeline(&lines);
    };
    let read = |c: &mut Client, most: usize| {
        let line = format!("XREADGROUP GROUP g me COUNT {most} STREAMS s >");
        c.line(&line)[0][1].items().len() as i64
    };
    let figures = |c: &mut Client| {
        let stream = c.line("XINFO STREAM s");
        let group = c.line("XINFO GROUPS s")[0].clone();
        let number = |of: &Value, field: &str| of.field(field).int();
        let (added, length) = (number(&stream, "entries-added"), number(&stream, "length"));
        (added, added - length - number(&group, "entries-read"))
    };
    submit_more(&mut c, 0, 20);
    assert_eq!(read(&mut c, 10), 10);
    assert!(figures(&mut c).1 <= 0, "nothing is lost yet");
    submit_more(&mut c, 20, 600);
    let (added, lost) = figures(&mut c);
    assert_eq!(added, 600);
    assert!(lost > 0, "{lost}");
    assert_eq!(read(&mut c, 1000), added - 10 - lost);
}

matrix!(
    what_was_trimmed_unread_can_be_told,
    every_transition_is_told,
    dead_items_that_come_back_are_told,
    a_move_is_told_by_both_queues,
    who_and_why_is_told,
    what_changes_nothing_tells_nothing,
    an_undone_match_is_told,
    the_stream_keeps_about_as_many_as_asked,
);
