//! The audit log is enough to know the queue: an ordinary consumer folds it, and has what the server has.

use modq_testkit::fold::*;
use modq_testkit::*;
use std::collections::BTreeMap;

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

#[track_caller]
fn compare(c: &mut Client, consumer: &mut Consumer) {
    wait_settled(c, &["q", "r"]);
    consumer.read(c, "last", true);
    consumer.take_over(c, "last");
    let folded = consumer.folded();
    for key in ["q", "r"] {
        let known = folded[key].told();
        assert_eq!(known, asked(c, key), "{key}");
        // All is remembered for longer than a test takes.
        let decisions = folded[key].decisions();
        for n in 0..40 {
            let item = format!("i{n}");
            let known = decisions.get(&item).cloned();
            assert_eq!(known, asked_decision(c, key, &item), "{key} {item}");
        }
    }
}

/// Any command on one of the queues `q` and `r`.
fn random_line(c: &mut Client, random: &mut Random) -> String {
    let key = *random.pick(&["q", "r"]);
    let item = format!("i{}", random.below(40));
    let who = *random.pick(&["ann", "bob", "cy"]);
    let lock = *random.pick(&[1, 5, 20, 3_600_000]);
    let token = field_or_null(c, key, &item, "token");
    match random.below(20) {
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
        9 => format!("MODQ.RESOLVE {key} {item} {token} VERDICT keep DECISION ok"),
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
        15..=17 => format!(
            "MODQ.SUBMIT {key} {item} p ONDECIDED {}",
            random.pick(&["COUNT", "COUNT", "AGAIN", "APPEAL", "CHANGED"])
        ),
        18 => format!("MODQ.FORGET {key} {item} other BY {who}"),
        _ => random
            .pick(&[
                format!("MODQ.CANCEL {key} {item}"),
                format!("MODQ.EXTEND {key} {item} {token} 50"),
                format!("MODQ.JOIN {key} {who} TTL {lock} TAGS 1 x"),
                format!("MODQ.LEAVE {key} {who} RELEASE"),
            ])
            .clone(),
    }
}

/// Some hundreds of commands on the queues `q` and `r`.
fn work(c: &mut Client, random: &mut Random, consumer: &mut Consumer, rounds: usize) {
    for round in 0..rounds {
        let line = random_line(c, random);
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
            "MODQ.CONFIGURE {key} EVENTS ev EVENTSMAXLEN 1000000 MAXEXPIRIES 3 LATE ACCEPT RETAIN 3600000"
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
    assert!(kinds.contains("report") && kinds.contains("forget"));
    assert!(kinds.len() >= 17, "all but undo and the like: {kinds:?}");
}

/// Gives an item to a moderator, whom `meanwhile` may concern, and has them skip it.
fn skip(c: &mut Client, key: &str, item: &str, who: &str, meanwhile: &str) {
    let token = c.line(&format!("MODQ.ASSIGN {key} {item} {who}")).int();
    if !meanwhile.is_empty() {
        assert_eq!(c.line(meanwhile).err_code(), "", "{meanwhile}");
    }
    c.expect_ok(&format!("MODQ.RELEASE {key} {item} {token} SKIP"));
}

fn who_is_excluded_is_folded_from_what_each_skip_added(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for key in ["q", "r"] {
        c.expect_ok(&format!("MODQ.CONFIGURE {key} EVENTS ev EVENTSMAXLEN 0"));
    }
    c.expect_ok("XGROUP CREATE ev audit 0 MKSTREAM");
    let mut consumer = Consumer {
        seen: BTreeMap::new(),
    };
    // `r` is never empty, so that there is something to compare.
    c.line("MODQ.SUBMIT r other p");
    c.line("MODQ.SUBMIT q i p EXCLUDE 2 x y");
    let mut check = |c: &mut Client, key: &str, excluded: &[&str]| {
        let names = c.cmd(&["MODQ.GET", key, "i"]).field("excluded");
        let names: Vec<String> = names.items().iter().map(Value::text).collect();
        assert_eq!(names, excluded);
        compare(c, &mut consumer);
    };
    skip(&mut c, "q", "i", "ann", "");
    skip(&mut c, "q", "i", "bob", "");
    check(&mut c, "q", &["x", "y", "ann", "bob"]);
    // Who skips was named meanwhile, not last.
    skip(&mut c, "q", "i", "cy", "MODQ.UPDATE q i EXCLUDE 3 bob cy z");
    check(&mut c, "q", &["bob", "cy", "z", "ann"]);
    // Skips stay where others are named, and go where nobody is.
    c.line("MODQ.SUBMIT q i p EXCLUDE 1 w ONDUP REPLACE");
    check(&mut c, "q", &["w", "bob", "cy", "ann"]);
    skip(&mut c, "q", "i", "dan", "MODQ.UPDATE q i EXCLUDE 0");
    check(&mut c, "q", &["dan"]);
    skip(&mut c, "q", "i", "ann", "");
    c.expect_ok("MODQ.MOVE q r i");
    check(&mut c, "r", &["dan", "ann"]);
    skip(&mut c, "r", "i", "eve", "");
    check(&mut c, "r", &["dan", "ann", "eve"]);
    // The thousandth skip tells as much as the first.
    for n in 0..1000 {
        skip(&mut c, "r", "i", &format!("m{n}"), "");
    }
    let last = fields(&c.line("XREVRANGE ev + - COUNT 1")[0]);
    assert_eq!(
        (&*last["ev"], &*last["excluded"]),
        ("release", "[\"m999\"]")
    );
    compare(&mut c, &mut consumer);
}

matrix!(
    folding_the_stream_gives_the_queue,
    who_is_excluded_is_folded_from_what_each_skip_added,
);
