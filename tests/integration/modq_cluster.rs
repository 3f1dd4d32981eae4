//! Queues in a real cluster while slots move, and under real Sentinels while the primary dies: no item is lost, none is
//! decided twice, and time acts on the node that owns the slot, nowhere else.

use modq_testkit::queue::*;
use modq_testkit::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What one client knows happened.
#[derive(Default)]
struct Seen {
    submitted: BTreeSet<String>,
    resolved: BTreeMap<String, i64>,
}

/// Submits, claims and decides until told to stop.
fn work(cluster: &Cluster, key: &str, me: usize, stop: &AtomicBool) -> Seen {
    let mut c = Roamer::new(cluster, key);
    let mut seen = Seen::default();
    for n in 0.. {
        if stop.load(Relaxed) {
            break;
        }
        let id = format!("{me}-{n}");
        let reply = c.line(&format!("MODQ.SUBMIT {key} {id} p"));
        assert_eq!(reply, simple("READY"));
        assert!(seen.submitted.insert(id));
        // Some locks are left to run out.
        let lock = if n % 7 == 0 { 20 } else { 60_000 };
        for got in claims(&c.line(&format!("MODQ.CLAIM {key} m{me} NEW LOCK {lock}"))) {
            if n % 7 == 0 {
                continue;
            }
            let reply = c.line(&format!("MODQ.RESOLVE {key} {} {}", got.id(), got.token));
            assert_eq!(reply, ok(), "{}", got.id());
            assert_eq!(seen.resolved.insert(got.id(), got.token), None);
        }
    }
    seen
}

/// Runs clients on a queue while its slot moves; then every item is accounted for.
fn moves_under_load(cluster: &Cluster, key: &str, mut relocate: impl FnMut(&str)) {
    let mut c = Roamer::new(cluster, key);
    let stream = format!("{{{key}}}log");
    assert_eq!(
        c.line(&format!(
            "MODQ.CONFIGURE {key} EVENTS {stream} EVENTSMAXLEN 0"
        )),
        ok()
    );
    let stop = AtomicBool::new(false);
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|me| {
                let stop = &stop;
                scope.spawn(move || work(cluster, key, me, stop))
            })
            .collect();
        let enough = |c: &mut Roamer, n| {
            wait_until("work goes on", PATIENCE, || {
                c.line(&format!("MODQ.STATS {key}")).field("resolved").int() >= n
            });
        };
        enough(&mut c, 200);
        relocate(key);
        let done = c.line(&format!("MODQ.STATS {key}")).field("resolved").int();
        enough(&mut c, done + 200);
        relocate(key);
        let done = c.line(&format!("MODQ.STATS {key}")).field("resolved").int();
        enough(&mut c, done + 200);
        stop.store(true, Relaxed);
        workers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    every_item_is_accounted_for(&mut c, key, &stream, &seen);
}

/// What is there is what was submitted and not decided, nothing was decided twice, and the log tells the same.
fn every_item_is_accounted_for(c: &mut Roamer, key: &str, stream: &str, seen: &[Seen]) {
    let mut left: BTreeSet<String> = BTreeSet::new();
    let mut resolved = BTreeMap::new();
    for one in seen {
        left.extend(one.submitted.iter().cloned());
        for (id, token) in &one.resolved {
            assert_eq!(resolved.insert(id, token), None, "{id} was decided twice");
        }
    }
    for id in resolved.keys() {
        assert!(left.remove(*id), "{id} was submitted");
    }
    wait_until("all locks have run out", PATIENCE, || {
        c.line(&format!("MODQ.LEN {key} LOCKED")) == Value::Int(0)
    });
    let mut there = BTreeSet::new();
    for state in ["READY", "DEAD"] {
        let mut cursor = "0".to_owned();
        loop {
            let page = c.line(&format!("MODQ.LIST {key} {state} CURSOR {cursor}"));
            there.extend(page[1].items().iter().map(|row| row[0].text()));
            cursor = page[0].text();
            if cursor == "0" {
                break;
            }
        }
    }
    assert_eq!(there, left);
    // The log tells the same: nothing happened without it, and nothing twice.
    let entries = c.line(&format!("XRANGE {stream} - +"));
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries.items() {
        *told.entry(entry[1].field("ev").text()).or_default() += 1;
    }
    let stats = c.line(&format!("MODQ.STATS {key}"));
    assert_eq!(stats.field("events_missed"), Value::Int(0));
    assert_eq!(told["submit"] as i64, stats.field("submitted").int());
    assert_eq!(told["resolve"], resolved.len());
    let expired = told["expire"] + told.get("dead").unwrap_or(&0);
    assert_eq!(expired as i64, stats.field("expired").int());
    // In a cluster a stream that is not here may be elsewhere.
    c.line(&format!("DEL {stream}"));
    let stats = c.line(&format!("MODQ.STATS {key}"));
    assert!(stats.field("events_missed").is_null());
}

fn a_slot_moves_under_load(kind: Kind) {
    let cluster = Cluster::start(3, kind);
    moves_under_load(&cluster, "q", |key| {
        cluster.move_slot(key, cluster.other_node(key));
    });
}

/// Valkey 9 moves slots at once: what it sends on the way are our own commands.
#[test]
fn a_slot_moves_at_once_under_load() {
    let cluster = Cluster::start(3, Kind::Valkey91);
    moves_under_load(&cluster, "q", |key| {
        cluster.move_slot_at_once(key, cluster.other_node(key));
    });
}

fn who_imports_a_slot_lets_no_time_act(kind: Kind) {
    let cluster = Cluster::start(2, kind);
    let (from, to) = (cluster.owner("q"), cluster.other_node("q"));
    let mut c = from.client();
    submit(&mut c, "q i p");
    submit(&mut c, "q j p");
    let lock = claim(&mut c, "q m LOCK 700");
    c.line("MODQ.JOIN q waits TTL 100000");
    c.line("MODQ.ASSIGN q j waits");
    let (slot, port) = (cluster.slot("q"), to.port());
    let (from_id, to_id) = (Cluster::id(from), Cluster::id(to));
    let mut target = to.client();
    target.expect_ok(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    c.expect_ok(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    c.expect_ok(&format!("MIGRATE 127.0.0.1 {port} q 0 10000"));
    let before = digest(&mut target, "q");
    wait_until("the deadline is past", PATIENCE, || {
        now_ms() > lock.deadline + 150
    });
    let mut asked = |line: &str| {
        target.expect_ok("ASKING");
        target.line(line)
    };
    assert_eq!(asked("MODQ.STATS q").field("deferred"), Value::Int(1));
    assert_eq!(asked("MODQ.STATS q").field("locked"), Value::Int(2));
    assert_eq!(asked("MODQ.GET q i").field("state"), bulk("ready"));
    assert_eq!(digest_of(to), before);
    cluster.give_slot(slot, to);
    wait_until("now it acts", PATIENCE, || {
        target.line("MODQ.STATS q").field("expired") == Value::Int(1)
    });
}

fn digest_of(server: &Server) -> String {
    digest(&mut server.client(), "q")
}

fn sentinels_hand_over_a_queue(kind: Kind) {
    let mut setup = SentinelSetup::start_with(kind, |b| b.config("appendonly yes"));
    let old = setup.primary().port();
    let mut c = setup.primary().client();
    c.expect_ok("MODQ.CONFIGURE q EVENTS log");
    for i in 0..20 {
        submit(&mut c, &format!("q i{i} p TAGS 1 t"));
    }
    let held = c.line("MODQ.CLAIM q m COUNT 10 LOCK 2000 TAGS 1 t");
    let last = claims(&held).pop().unwrap().token;
    c.line("MODQ.JOIN q joined TTL 600000 TAGS 1 u");
    let waiting = blocked(&setup.nodes[0], "MODQ.CLAIM q b BLOCK 0 TAGS 1 none");
    for node in &setup.nodes[1..] {
        wait_replica_synced(&setup.nodes[0], node);
    }
    setup.nodes[0].kill9();
    drop(waiting);
    let primary = setup.wait_failover(old);
    let mut n = primary.client();
    wait_until("the new primary lets locks run out", PATIENCE, || {
        counts(&mut n, "q") == [20, 0, 0, 0]
    });
    assert_eq!(line_of(&mut n, "q"), "joined");
    let submitted = n.line("MODQ.SUBMIT q new p TAGS 1 u");
    assert_eq!(submitted, simple("ASSIGNED"));
    assert!(field(&mut n, "q", "new", "token").int() > last);
    assert_eq!(ids(&n.line("MODQ.CLAIM q x TAGS 1 t")), "i0");
    assert_eq!(info(&mut n, "modq")["modq_events_dropped"], "0");
    let told = n.line("XLEN log").int();
    assert_eq!(told, 20 + 10 + 10 + 2 + 1);
    // The old one comes back as a replica and has the same.
    setup.nodes[0].start_again();
    setup.wait_follows(&setup.nodes[0]);
    let all = digest_of(setup.primary());
    // The Sentinels may still be at it, and close connections.
    let mut old = Reconnecting::new(&setup.nodes[0]);
    wait_until("the old primary has the same", PATIENCE, || {
        let reply = old.try_line("DEBUG DIGEST-VALUE q");
        reply.is_some_and(|reply| reply[0].text() == all)
    });
}

matrix!(
    a_slot_moves_under_load,
    who_imports_a_slot_lets_no_time_act,
    sentinels_hand_over_a_queue,
);
