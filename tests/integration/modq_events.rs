//! The audit log: every transition on a native stream, folded back into the queue by an ordinary consumer, and what
//! happens when the stream cannot be written.

use modq_testkit::queue::*;
use modq_testkit::*;
use std::collections::BTreeMap;

type Fields = BTreeMap<String, String>;

/// An entry's fields.
#[track_caller]
fn fields(entry: &Value) -> Fields {
    let pairs = entry[1].pairs();
    let fields: Fields = pairs.iter().map(|(f, v)| (f.text(), v.text())).collect();
    assert_eq!(fields.len(), pairs.len(), "no field twice: {entry:?}");
    fields
}

/// All there is in a stream.
fn stream(c: &mut Client, name: &str) -> Vec<Fields> {
    let entries = c.line(&format!("XRANGE {name} - +"));
    entries.items().iter().map(fields).collect()
}

/// The last event, as `field=value` in the order it was written, without what changes from run to run.
fn last(c: &mut Client) -> String {
    let entries = c.line("XREVRANGE ev + - COUNT 1");
    let pairs = entries[0][1].pairs();
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

fn every_transition_is_told(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev EVENTSMAXLEN 500 MAXEXPIRIES 2 LATE ACCEPT");
    assert_eq!(c.line("MODQ.CONFIGURE q").field("events"), bulk("ev"));
    assert_eq!(
        c.line("MODQ.CONFIGURE q").field("eventsmaxlen"),
        Value::Int(500)
    );
    assert_eq!(
        c.line("EXISTS ev"),
        Value::Int(0),
        "nothing has happened yet"
    );
    let told = |c: &mut Client, line: &str, event: &str| {
        let reply = c.line(line);
        assert_eq!(reply.err_code(), "", "{line}");
        assert_eq!(last(c), event, "after {line}");
        reply
    };
    told(
        &mut c,
        "MODQ.SUBMIT q i pay PRIORITY 3 BOOST -5 TAGS 2 b a EXCLUDE 1 eve",
        "ev=submit key=q item=i rev=1 at state=ready priority=3 boost=-5 submitted tags=[\"b\",\"a\"] \
         excluded=[\"eve\"] reports=1 deliveries=0 expiries=0",
    );
    told(
        &mut c,
        "MODQ.SUBMIT q i x PRIORITY 4 ONDUP BUMP",
        "ev=bump key=q item=i rev=2 at priority=4 boost=-5 reports=2",
    );
    told(
        &mut c,
        "MODQ.SUBMIT q i x TAGS 0 ONDUP REPLACE",
        "ev=replace key=q item=i rev=3 at tags=[]",
    );
    told(
        &mut c,
        "MODQ.UPDATE q i PRIORITY 7 BOOST 0 EXCLUDE 0",
        "ev=update key=q item=i rev=4 at priority=7 boost=0 excluded=[]",
    );
    told(
        &mut c,
        "MODQ.CLAIM q ann",
        "ev=claim key=q item=i rev=4 at state=locked deliveries=1 moderator=ann token deadline",
    );
    let token = field(&mut c, "q", "i", "token").int();
    assert_eq!(
        stream(&mut c, "ev").last().unwrap()["token"],
        token.to_string()
    );
    told(
        &mut c,
        &format!("MODQ.EXTEND q i {token} 5000"),
        "ev=extend key=q item=i rev=4 at moderator=ann token deadline",
    );
    told(
        &mut c,
        &format!("MODQ.RELEASE q i {token} SKIP DELAY 30"),
        "ev=release key=q item=i rev=4 at moderator=ann token state=delayed due excluded=[\"ann\"]",
    );
    wait_until("it comes due", PATIENCE, || len(&mut c, "q READY") == 1);
    assert_eq!(last(&mut c), "ev=due key=q item=i rev=4 at state=ready");
    told(
        &mut c,
        "MODQ.ASSIGN q i bob LOCK 30",
        "ev=assign key=q item=i rev=4 at state=locked deliveries=2 moderator=bob token deadline",
    );
    wait_until("it runs out", PATIENCE, || len(&mut c, "q READY") == 1);
    assert_eq!(
        last(&mut c),
        "ev=expire key=q item=i rev=4 at moderator=bob token state=ready expiries=1"
    );
    claim(&mut c, "q bob LOCK 30");
    wait_until("it is dead", PATIENCE, || len(&mut c, "q DEAD") == 1);
    assert_eq!(
        last(&mut c),
        "ev=dead key=q item=i rev=4 at moderator=bob token state=dead expiries=2"
    );
    let told_dead = stream(&mut c, "ev")
        .iter()
        .filter(|e| e["ev"] == "expire")
        .count();
    assert_eq!(told_dead, 1, "an expiry that parks is told once");
    told(
        &mut c,
        "MODQ.REVIVE q i",
        "ev=revive key=q item=i rev=4 at state=ready expiries=0",
    );
    let late = claim(&mut c, "q zoe LOCK 30").token;
    wait_until("it runs out", PATIENCE, || len(&mut c, "q READY") == 1);
    let words = [
        "MODQ.RESOLVE",
        "q",
        "i",
        &late.to_string(),
        "DECISION",
        "fine, really",
    ];
    assert_eq!(c.cmd(&words), ok());
    assert_eq!(
        last(&mut c),
        "ev=resolve key=q item=i rev=4 at moderator=zoe token decision=fine, really"
    );
    // Dead ones that are bumped or replaced come back.
    for (id, how) in [("d1", "BUMP"), ("d2", "REPLACE")] {
        submit(&mut c, &format!("q {id} p"));
        c.expect_ok("MODQ.CONFIGURE q MAXEXPIRIES 1");
        claim(&mut c, "q m LOCK 1");
        wait_until("it is dead", PATIENCE, || len(&mut c, "q DEAD") == 1);
        c.line(&format!("MODQ.SUBMIT q {id} p ONDUP {how}"));
        let event = stream(&mut c, "ev").pop().unwrap();
        assert_eq!(
            (&*event["state"], &*event["expiries"]),
            ("ready", "0"),
            "{how}"
        );
        assert_eq!(event["ev"], how.to_lowercase());
        told(
            &mut c,
            &format!("MODQ.CANCEL q {id}"),
            &format!("ev=cancel key=q item={id} rev=2 at"),
        );
    }
    submit(&mut c, "q m p");
    let before = stream(&mut c, "ev").len();
    c.expect_ok("MODQ.CONFIGURE r EVENTS ev");
    c.expect_ok("MODQ.MOVE q r m PRIORITY 2");
    let moved = stream(&mut c, "ev");
    let moved: Vec<_> = moved[before..]
        .iter()
        .map(|e| (&*e["ev"], &*e["key"]))
        .collect();
    assert_eq!(moved.len(), 2);
    assert!(moved.contains(&("move_out", "q")) && moved.contains(&("move_in", "r")));
    // What changes nothing tells nothing.
    let before = stream(&mut c, "ev").len();
    for line in [
        "MODQ.SUBMIT r m p",
        "MODQ.CLAIM q nobody",
        "MODQ.CANCEL q none",
        "MODQ.PAUSE q",
        "MODQ.UNPAUSE q",
        "MODQ.JOIN q j",
        "MODQ.LEAVE q j",
        "MODQ.REVIVE q ALL",
        "MODQ.RESOLVE r m 5",
        "MODQ.GET r m",
    ] {
        c.line(line);
    }
    assert_eq!(stream(&mut c, "ev").len(), before);
    // Off again.
    assert_eq!(c.cmd(&["MODQ.CONFIGURE", "r", "EVENTS", ""]), ok());
    c.line("MODQ.CANCEL r m");
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

/// What a consumer knows of one item.
#[derive(Clone, Debug, Default, PartialEq)]
struct Item {
    fields: Fields,
}

/// What a consumer knows of one queue.
#[derive(Clone, Debug, Default, PartialEq)]
struct Folded {
    items: BTreeMap<String, Item>,
    totals: BTreeMap<&'static str, i64>,
}

impl Folded {
    fn fold(&mut self, event: &Fields) {
        let mut count = |what| *self.totals.entry(what).or_default() += 1;
        match &*event["ev"] {
            "submit" => count("submitted"),
            "resolve" => count("resolved"),
            "cancel" => count("cancelled"),
            "release" => count("released"),
            "expire" => count("expired"),
            "dead" => {
                count("expired");
                count("died");
            }
            _ => {}
        }
        let id = event["item"].clone();
        match &*event["ev"] {
            "cancel" | "resolve" | "move_out" => {
                self.items.remove(&id).expect("it was there");
                return;
            }
            "submit" | "move_in" => {
                let old = self.items.insert(id.clone(), Item::default());
                assert_eq!(old, None, "{event:?}");
            }
            _ => {}
        }
        let item = &mut self.items.get_mut(&id).expect("it is there").fields;
        let told = event.iter();
        let told = told.filter(|(f, _)| !["ev", "key", "item", "at"].contains(&f.as_str()));
        item.extend(told.map(|(f, v)| (f.clone(), v.clone())));
        if item["state"] != "locked" {
            item.retain(|field, _| !["moderator", "token", "deadline"].contains(&field.as_str()));
        }
    }
}

/// A consumer of a group, as any client would write it; it may die with entries it has not acknowledged.
struct Consumer {
    seen: BTreeMap<(u64, u64), Fields>,
}

impl Consumer {
    fn id(entry: &Value) -> (u64, u64) {
        let id = entry[0].text();
        let (ms, seq) = id.split_once('-').unwrap();
        (ms.parse().unwrap(), seq.parse().unwrap())
    }

    fn take(&mut self, c: &mut Client, entries: &[Value], acknowledge: bool) {
        for entry in entries {
            if acknowledge {
                self.seen.insert(Consumer::id(entry), fields(entry));
                let done = c.cmd(&["XACK", "ev", "audit", &entry[0].text()]);
                assert_eq!(done, Value::Int(1));
            }
        }
    }

    /// Reads what is new. Without `acknowledge` the entries are lost with the consumer.
    fn read(&mut self, c: &mut Client, name: &str, acknowledge: bool) {
        loop {
            let reply = c.cmd(&[
                "XREADGROUP",
                "GROUP",
                "audit",
                name,
                "COUNT",
                "50",
                "BLOCK",
                "1",
                "STREAMS",
                "ev",
                ">",
            ]);
            if reply.is_null() {
                return;
            }
            self.take(c, reply[0][1].items(), acknowledge);
            if !acknowledge {
                return;
            }
        }
    }

    /// Takes over what dead consumers left.
    fn take_over(&mut self, c: &mut Client, name: &str) {
        let mut cursor = "0-0".to_owned();
        loop {
            let reply = c.cmd(&["XAUTOCLAIM", "ev", "audit", name, "0", &cursor]);
            self.take(c, reply[1].items(), true);
            cursor = reply[0].text();
            if cursor == "0-0" {
                return;
            }
        }
    }

    fn folded(&self) -> BTreeMap<String, Folded> {
        let mut queues: BTreeMap<String, Folded> = BTreeMap::new();
        let mut last = 0;
        for event in self.seen.values() {
            let at = event["at"].parse::<u64>().unwrap();
            assert!(at >= last, "{event:?}");
            last = at;
            queues.entry(event["key"].clone()).or_default().fold(event);
        }
        queues
    }
}

/// What the server says of a queue, in the shape of what a consumer knows.
fn asked(c: &mut Client, key: &str) -> Folded {
    let mut folded = Folded::default();
    for state in ["READY", "LOCKED", "DELAYED", "DEAD"] {
        let mut cursor = "0".to_owned();
        loop {
            let page = c.cmd(&["MODQ.LIST", key, state, "CURSOR", &cursor]);
            for row in page[1].items() {
                let id = row[0].text();
                let item = c.cmd(&["MODQ.GET", key, &id]);
                assert_eq!(item.field("state").text(), state.to_lowercase());
                let mut known = Fields::new();
                for (field, value) in item.pairs() {
                    let field = field.text();
                    let value = match &value {
                        _ if field == "payload" || field == "item" => continue,
                        _ if value.is_null() => continue,
                        Value::Array(names) if names.is_empty() => continue,
                        Value::Array(names) => {
                            let names = names.iter().map(|n| format!("\"{}\"", n.text()));
                            format!("[{}]", names.collect::<Vec<_>>().join(","))
                        }
                        Value::Int(n) => n.to_string(),
                        other => other.text(),
                    };
                    known.insert(field, value);
                }
                folded.items.insert(id, Item { fields: known });
            }
            cursor = page[0].text();
            if cursor == "0" {
                break;
            }
        }
    }
    let stats = c.cmd(&["MODQ.STATS", key]);
    for name in [
        "submitted",
        "resolved",
        "cancelled",
        "released",
        "expired",
        "died",
    ] {
        let n = stats.field(name).int();
        if n > 0 {
            folded.totals.insert(name, n);
        }
    }
    let in_state = |state: &str| {
        let items = folded.items.values();
        items.filter(|i| i.fields["state"] == state).count() as i64
    };
    for state in ["ready", "locked", "delayed", "dead"] {
        assert_eq!(stats.field(state).int(), in_state(state), "{state}");
    }
    folded
}

#[track_caller]
fn compare(c: &mut Client, consumer: &mut Consumer) {
    wait_until("nothing is about to happen by itself", PATIENCE, || {
        ["q", "r"].iter().all(|key| {
            let now = server_ms(c);
            let far = |state: &str, field: &str, c: &mut Client| {
                let rows = c.line(&format!("MODQ.LIST {key} {state} COUNT 1000"));
                rows[1].items().iter().all(|row| {
                    let at = c.cmd(&["MODQ.GET", key, &row[0].text()]).field(field);
                    matches!(at, Value::Int(at) if at > now + 60_000)
                })
            };
            far("LOCKED", "deadline", c)
                && far("DELAYED", "due", c)
                && c.cmd(&["MODQ.STATS", key]).field("deferred") == Value::Int(0)
        })
    });
    consumer.read(c, "last", true);
    consumer.take_over(c, "last");
    let folded = consumer.folded();
    for key in ["q", "r"] {
        let mut known = folded[key].clone();
        for item in known.items.values_mut() {
            // Lists that are empty, and times that are not set, are told as such or not at all.
            item.fields.retain(|_, value| value != "[]");
            item.fields.entry("due".into()).or_insert("0".into());
        }
        assert_eq!(known, asked(c, key), "{key}");
    }
}

/// Some hundreds of commands on the queues `q` and `r`.
fn work(c: &mut Client, random: &mut Random, consumer: &mut Consumer, rounds: usize) {
    let moderators = ["ann", "bob", "cy"];
    for round in 0..rounds {
        let key = *random.pick(&["q", "r"]);
        let item = format!("i{}", random.below(40));
        let who = *random.pick(&moderators);
        let lock = *random.pick(&[1, 5, 20, 3_600_000]);
        let token = field_or_null(c, key, &item, "token");
        let line = match random.below(16) {
            0..=3 => format!(
                "MODQ.SUBMIT {key} {item} p PRIORITY {} TAGS {}",
                random.below(4),
                random.pick(&["0", "1 x", "2 x y"])
            ),
            4 => format!(
                "MODQ.SUBMIT {key} {item} p BOOST {} ONDUP BUMP",
                random.below(900)
            ),
            5 => format!(
                "MODQ.SUBMIT {key} {item} p DELAY {} ONDUP REPLACE EXCLUDE 1 {who}",
                random.pick(&[1, 3_600_000])
            ),
            6..=8 => format!(
                "MODQ.CLAIM {key} {who} NEW COUNT {} LOCK {lock} TAGS 2 x y",
                1 + random.below(3)
            ),
            9 => format!("MODQ.RESOLVE {key} {item} {token} DECISION ok"),
            10 => format!(
                "MODQ.RELEASE {key} {item} {token} {}",
                random.pick(&["SKIP", "DELAY 2", "SKIP DELAY 3600000"])
            ),
            11 => format!(
                "MODQ.UPDATE {key} {item} PRIORITY {} EXCLUDE {}",
                random.below(9),
                random.pick(&["0", "1 ann", "2 bob cy"])
            ),
            12 => format!("MODQ.ASSIGN {key} {item} {who} LOCK {lock}"),
            13 => {
                let to = if key == "q" { "r" } else { "q" };
                let token = if token == "0" {
                    String::new()
                } else {
                    format!("TOKEN {token}")
                };
                format!("MODQ.MOVE {key} {to} {item} {token}")
            }
            14 => format!("MODQ.REVIVE {key} {item}"),
            _ => random
                .pick(&[
                    format!("MODQ.CANCEL {key} {item}"),
                    format!("MODQ.EXTEND {key} {item} {token} 50"),
                    format!("MODQ.JOIN {key} {who} TTL {lock} TAGS 1 x"),
                    format!("MODQ.LEAVE {key} {who} RELEASE"),
                ])
                .clone(),
        };
        let reply = c.line(&line);
        assert_ne!(reply.err_code(), "ERR", "{line}: {reply:?}");
        if round % 50 == 49 {
            // Every other consumer dies with what it has read.
            consumer.read(c, &format!("c{round}"), round % 100 == 99);
            if random.once_in(3) {
                consumer.take_over(c, "heir");
            }
        }
    }
}

/// A field of an item, 0 if there is none.
fn field_or_null(c: &mut Client, key: &str, item: &str, name: &str) -> String {
    let reply = c.cmd(&["MODQ.GET", key, item]);
    if reply.is_null() {
        return "0".into();
    }
    match reply.field(name) {
        Value::Int(n) => n.to_string(),
        _ => "0".into(),
    }
}

fn folding_the_stream_gives_the_queue(kind: Kind) {
    let mut server = Server::builder(kind).aof().start();
    let replica = Server::builder(kind).replica_of(&server).start();
    let mut c = server.client();
    for key in ["q", "r"] {
        c.expect_ok(&format!(
            "MODQ.CONFIGURE {key} EVENTS ev EVENTSMAXLEN 1000000 MAXEXPIRIES 3 LATE ACCEPT"
        ));
    }
    c.expect_ok("XGROUP CREATE ev audit 0 MKSTREAM");
    let mut consumer = Consumer {
        seen: BTreeMap::new(),
    };
    let mut random = Random::new(kind as u64 + 7);
    work(&mut c, &mut random, &mut consumer, 700);
    compare(&mut c, &mut consumer);
    server.kill9();
    server.start_again();
    let mut c = server.client();
    compare(&mut c, &mut consumer);
    work(&mut c, &mut random, &mut consumer, 300);
    // What the replica has is whole at any time: here with deadlines about to pass.
    wait_replica_synced(&server, &replica);
    server.kill9();
    let mut r = replica.client();
    r.expect_ok("REPLICAOF NO ONE");
    work(&mut r, &mut random, &mut consumer, 300);
    compare(&mut r, &mut consumer);
    let kinds: std::collections::BTreeSet<_> = consumer.seen.values().map(|e| &*e["ev"]).collect();
    assert!(kinds.len() >= 15, "all but undo and the like: {kinds:?}");
}

/// All commands that would tell something are refused with `code` and change nothing.
fn refuses_all(c: &mut Client, key: &str, token: i64, code: &str) {
    let other = format!("{{{key}}}other");
    for line in [
        format!("MODQ.SUBMIT {key} new p"),
        format!("MODQ.SUBMIT {key} ready p ONDUP BUMP"),
        format!("MODQ.SUBMIT {key} ready p ONDUP REPLACE"),
        format!("MODQ.CANCEL {key} ready"),
        format!("MODQ.UPDATE {key} ready PRIORITY 5"),
        format!("MODQ.CLAIM {key} someone"),
        format!("MODQ.CLAIM {key} someone BLOCK 5000"),
        format!("MODQ.MCLAIM 1 {key} someone"),
        format!("MODQ.RESOLVE {key} held {token} DECISION d"),
        format!("MODQ.RELEASE {key} held {token}"),
        format!("MODQ.EXTEND {key} held {token} 5000"),
        format!("MODQ.LEAVE {key} ann RELEASE"),
        format!("MODQ.JOIN {key} someone"),
        format!("MODQ.MOVE {key} {other} ready"),
        format!("MODQ.MOVE {other} {key} theirs"),
        format!("MODQ.ASSIGN {key} ready someone"),
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
    assert_err!(c.line(&format!("MODQ.RESOLVE {key} held 5")), "STALE", "");
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
        assert_err!(c.line("MODQ.CONFIGURE q EVENTS s"), "EVENTS", "");
        assert_err!(c.line("MODQ.CONFIGURE q EVENTS q"), "ERR", "EVENTS");
        assert_err!(c.line("MODQ.CONFIGURE q LOCK 5 EVENTS"), "ERR", "EVENTS");
        assert_err!(
            c.line("MODQ.CONFIGURE q EVENTSMAXLEN -1"),
            "ERR",
            "EVENTSMAXLEN"
        );
        assert_err!(c.line("MODQ.CONFIGURE q EVENTS a EVENTS b"), "ERR", "");
    });
    assert_err!(c.line("MODQ.CONFIGURE fresh EVENTS fresh"), "ERR", "EVENTS");
    assert_eq!(c.line("EXISTS fresh"), Value::Int(0));
    // A transition by the clock goes on, and is counted.
    c.expect_ok("RENAME {q}ev other");
    c.expect_ok("RENAME old {q}ev");
    claim(&mut c, "q short LOCK 300");
    let events = stream(&mut c, "{q}ev").len();
    c.expect_ok("RENAME {q}ev old");
    c.expect_ok("RENAME other {q}ev");
    wait_until("it is dead", PATIENCE, || len(&mut c, "q DEAD") == 2);
    assert_eq!(dropped(&mut c), "1");
    assert_eq!(stream(&mut c, "old").len(), events);
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

fn full_memory_does_not_stop_the_log(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev");
    for i in 0..3 {
        submit(&mut c, &format!("q i{i} p"));
    }
    c.expect_ok("CONFIG SET maxmemory 1");
    assert_err!(c.line("MODQ.SUBMIT q x p"), "OOM", "");
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
    assert_err!(lead.line("MODQ.CONFIGURE q EVENTS ev"), "NOPERM", "");
    assert_err!(lead.line("MODQ.CONFIGURE q LOCK 5 EVENTS ev"), "NOPERM", "");
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
    claim(&mut c, "q short LOCK 100");
    let until = field(&mut c, "q", "ready", "deadline").int();
    assert_eq!(c.line("DEL {q}ev"), Value::Int(1));
    wait_until("its deadline is past", PATIENCE, || {
        server_ms(&mut c) > until + 150
    });
    assert_eq!(c.line("MODQ.STATS q").field("deferred"), Value::Int(1));
    assert_eq!(c.line("EXISTS {q}ev"), Value::Int(0));
    c.expect_ok("MODQ.CONFIGURE q EVENTS {q}ev");
    wait_until("it is dead", PATIENCE, || len(&mut c, "q DEAD") == 2);
    let told = stream(&mut c, "{q}ev");
    assert_eq!((told.len(), &*told[0]["ev"]), (1, "dead"));
    assert_eq!(info(&mut c, "modq")["modq_events_dropped"], "0");
}

matrix!(
    every_transition_is_told,
    an_undone_match_is_told,
    folding_the_stream_gives_the_queue,
    a_key_of_another_type_refuses,
    the_stream_keeps_about_as_many_as_asked,
    full_memory_does_not_stop_the_log,
    rights_on_the_stream_are_asked_for_at_configure,
    in_a_cluster_only_configure_makes_the_stream,
);
