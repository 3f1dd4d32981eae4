//! The line of moderators: JOIN beside blocked calls, many people at once, and large numbers.

use crate::support::*;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn joined_and_blocked_stand_in_one_line(kind: Kind) {
    let (server, mut c) = desk(kind);
    let before = server_ms(&mut c);
    assert_eq!(c.line("MODQ.JOIN q j1 TAGS 2 b a"), simple("WAITING"));
    let mut b1 = blocked(&server, "MODQ.CLAIM q b1 BLOCK 0 TAGS 1 a");
    assert_eq!(c.line("MODQ.JOIN q j2 TAGS 1 a"), simple("WAITING"));
    let mut b2 = blocked(&server, "MODQ.CLAIM q j1 BLOCK 0");
    assert_eq!(
        line_of(&mut c, "q"),
        "j1 b1* j2",
        "one place each, the earliest"
    );
    let waiters = c.line("MODQ.WAITERS q COUNT 2");
    assert_eq!(waiters.items().len(), 2);
    let since: Vec<i64> = waiters.items().iter().map(|w| w[2].int()).collect();
    assert!(before <= since[0] && since[0] <= since[1] && since[1] <= server_ms(&mut c));
    assert_eq!(waiters[0][3].items().len(), 2);
    assert_eq!(waiters[1], arr!["b1", "blocked", since[1], arr!["a"]]);
    // Time-outs, reconnects and heartbeats keep the place.
    let mut shortly = server.client();
    assert!(shortly.line("MODQ.CLAIM q j1 BLOCK 20 NEW").is_null());
    assert_eq!(c.line("MODQ.JOIN q j2"), simple("WAITING"));
    drop(blocked(&server, "MODQ.CLAIM q j2 BLOCK 0"));
    assert_eq!(line_of(&mut c, "q"), "j1 b1* j2");
    // Being served moves out; each item goes to the first who may take it.
    submit_assigned(&mut c, "q i1 p TAGS 1 a");
    assert_eq!(served(&mut b2).id(), "i1");
    assert_eq!(line_of(&mut c, "q"), "b1* j2");
    submit_assigned(&mut c, "q i2 p TAGS 1 a");
    assert_eq!(served(&mut b1).id(), "i2");
    submit_assigned(&mut c, "q i3 p TAGS 1 a");
    assert_eq!(line_of(&mut c, "q"), "");
    assert_eq!(claim(&mut c, "q j2").id(), "i3");
    // Back at the end, with the tags joined with before.
    let mut b3 = blocked(&server, "MODQ.CLAIM q b3 BLOCK 0");
    assert_eq!(c.line("MODQ.JOIN q j1 COUNT 2"), simple("WAITING"));
    assert_eq!(
        c.line("MODQ.JOIN q j2"),
        simple("ASSIGNED"),
        "holds one already"
    );
    assert_eq!(line_of(&mut c, "q"), "b3* j1");
    assert_eq!(c.line("MODQ.WAITERS q")[1][3].items().len(), 2);
    submit_assigned(&mut c, "q i4 p TAGS 1 b");
    submit_assigned(&mut c, "q i5 p");
    assert_eq!(served(&mut b3).id(), "i5");
    assert_eq!(ids(&c.line("MODQ.CLAIM q j1 COUNT 2")), "i1 i4");
    // An answer of CLAIM takes out of line, null does not.
    assert_eq!(c.line("MODQ.JOIN q j3"), simple("WAITING"));
    assert!(c.line("MODQ.CLAIM q j3").is_null());
    assert_eq!(line_of(&mut c, "q"), "j3");
    assert_eq!(c.line("MODQ.LEAVE q j3"), Value::Int(1));
    assert_eq!(c.line("MODQ.LEAVE q j3"), Value::Int(0));
    submit(&mut c, "q i6 p");
    assert_eq!(c.line("MODQ.JOIN q j4"), simple("ASSIGNED"));
    assert_eq!(claim(&mut c, "q j4").id(), "i6");
    assert_eq!(line_of(&mut c, "q"), "");
}

fn a_registration_lives_by_its_heartbeats(kind: Kind) {
    let (server, mut c) = desk(kind);
    c.line("MODQ.JOIN q short TTL 50");
    c.line("MODQ.JOIN q long TTL 100000");
    c.line("MODQ.JOIN q blocks TTL 50");
    let mut b = blocked(&server, "MODQ.CLAIM q blocks BLOCK 400");
    wait_until("the short one has left", PATIENCE, || {
        !line_of(&mut c, "q").contains("short")
    });
    let since = c.line("MODQ.WAITERS q")[1][2].clone();
    // A blocked call is a sign of life while it lasts.
    assert!(b.reply().is_null());
    let after = c.line("MODQ.WAITERS q");
    if after.items().len() == 2 {
        assert_eq!(after[1][2], since, "the place was kept");
    }
    wait_until("then it runs out", PATIENCE, || {
        line_of(&mut c, "q") == "long"
    });
    submit_assigned(&mut c, "q i p");
    submit(&mut c, "q j p");
    // The place outlives a restart of the server.
    assert_eq!(claim(&mut c, "q long").id(), "i");
}

/// What one client saw of one lock: Unix ms.
struct Hold {
    item: usize,
    token: i64,
    from: i64,
    until: i64,
}

fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64
}

#[derive(Default)]
struct Tally {
    submitted: AtomicUsize,
    holds: Mutex<Vec<Hold>>,
    resolved: Mutex<Vec<usize>>,
}

fn one_of_many(server: &Server, me: usize, end: Instant, tally: &Tally) {
    let mut dice = Dice::new(me as u64 + 1);
    let mut c = server.client();
    let mut holds = Vec::new();
    let mut resolved = Vec::new();
    while Instant::now() < end {
        if dice.once_in(3) {
            let id = tally.submitted.fetch_add(1, Relaxed);
            let priority = dice.below(3);
            let reply = cmd!(
                c,
                "MODQ.SUBMIT",
                "q",
                id.to_string(),
                "p",
                "PRIORITY",
                priority
            );
            assert!(matches!(reply, Value::Simple(_)), "{reply:?}");
            continue;
        }
        let lock = *dice.pick(&[20, 60, 2000]);
        let who = format!("m{}", if dice.once_in(8) { me / 2 } else { me + 1000 });
        let claim = format!(
            "MODQ.CLAIM q {who} NEW LOCK {lock} BLOCK {}",
            1 + dice.below(60)
        );
        if dice.once_in(12) {
            // Dies: while it waits, or with the answer under way.
            c.send(&claim.split(' ').collect::<Vec<_>>());
            if dice.once_in(2) {
                std::thread::sleep(Duration::from_millis(dice.below(8) as u64));
            }
            c = server.client();
            continue;
        }
        let Some(got) = claims(&c.line(&claim)).pop() else {
            continue;
        };
        let from = unix_ms();
        if dice.once_in(3) {
            std::thread::sleep(Duration::from_millis(dice.below(40) as u64));
        }
        let item: usize = got.id().parse().unwrap();
        let sent = unix_ms();
        let until = match dice.below(4) {
            0 => got.deadline,
            1 => {
                let reply = cmd!(c, "MODQ.RELEASE", "q", got.item, got.token);
                assert!(reply == ok() || got.deadline <= unix_ms(), "{reply:?}");
                sent
            }
            _ => {
                let reply = cmd!(c, "MODQ.RESOLVE", "q", got.item, got.token);
                if reply == ok() {
                    resolved.push(item);
                } else {
                    assert!(got.deadline <= unix_ms(), "{reply:?}");
                }
                sent
            }
        };
        let until = until.min(got.deadline);
        if from < until {
            holds.push(Hold {
                item,
                token: got.token,
                from,
                until,
            });
        }
    }
    tally.holds.lock().unwrap().extend(holds);
    tally.resolved.lock().unwrap().extend(resolved);
}

fn fifty_people_at_once(kind: Kind) {
    let server = Server::start(kind);
    let replica = Server::builder(kind).replica_of(&server).start();
    wait_replica_synced(&server, &replica);
    let mut c = server.client();
    c.expect_ok("MODQ.CONFIGURE q MAXEXPIRIES 0");
    let seconds = if kind == Kind::Redis70 { 20 } else { 6 };
    let end = Instant::now() + Duration::from_secs(seconds);
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for me in 0..50 {
            let (server, tally) = (&server, &tally);
            scope.spawn(move || one_of_many(server, me, end, tally));
        }
    });
    let submitted = tally.submitted.into_inner();
    let resolved = tally.resolved.into_inner().unwrap();
    let distinct: HashSet<_> = resolved.iter().collect();
    assert_eq!(distinct.len(), resolved.len(), "resolved once each");
    assert!(
        submitted > 500 && resolved.len() > 100,
        "{submitted} {}",
        resolved.len()
    );
    assert_eq!(resolved.len() as i64 + len(&mut c, "q"), submitted as i64);
    // Never with two people at once, each time with a larger token.
    let mut by_item: HashMap<usize, Vec<Hold>> = HashMap::new();
    for hold in tally.holds.into_inner().unwrap() {
        by_item.entry(hold.item).or_default().push(hold);
    }
    let mut again = 0;
    for (item, mut holds) in by_item {
        holds.sort_by_key(|hold| hold.token);
        for pair in holds.windows(2) {
            again += 1;
            assert!(pair[0].token < pair[1].token, "{item}: a token given twice");
            assert!(
                pair[0].until <= pair[1].from,
                "{item}: with two people at once"
            );
        }
    }
    assert!(again > 50, "items did come back: {again}");
    // All who died left the line, all locks run out, nothing is lost.
    wait_until("everything is back", PATIENCE, || {
        let [ready, locked, ..] = counts(&mut c, "q");
        locked == 0 && ready + resolved.len() as i64 == submitted as i64
    });
    assert_eq!(line_of(&mut c, "q"), "");
    wait_replica_synced(&server, &replica);
    assert_eq!(digest(&mut c, "q"), digest(&mut replica.client(), "q"));
}

fn a_thousand_block_and_five_thousand_join(kind: Kind) {
    let server = Server::builder(kind).config("maxclients 3000").start();
    let mut c = server.client();
    let mut clients: HashMap<String, Client> = HashMap::new();
    for i in 0..1000 {
        let mut client = server.client();
        client.send(&["MODQ.CLAIM", "q", &format!("b{i}"), "BLOCK", "0"]);
        clients.insert(format!("b{i}"), client);
    }
    wait_until("all block", PATIENCE, || {
        c.line("MODQ.STATS q").field("waiting") == Value::Int(1000)
    });
    let joins: Vec<String> = (0..5000)
        .map(|i| format!("MODQ.JOIN q j{i} TTL 1000000"))
        .collect();
    assert!(c
        .pipeline(&joins)
        .iter()
        .all(|reply| *reply == simple("WAITING")));
    assert_eq!(c.line("MODQ.STATS q").field("waiting"), Value::Int(6000));
    let line: Vec<String> = line_of(&mut c, "q").split(' ').map(str::to_owned).collect();
    let submits: Vec<String> = (0..6000).map(|i| format!("MODQ.SUBMIT q {i} p")).collect();
    assert!(c
        .pipeline(&submits)
        .iter()
        .all(|reply| *reply == simple("ASSIGNED")));
    for (i, name) in line.iter().enumerate() {
        let client = clients
            .get_mut(name.trim_end_matches('*'))
            .expect("the blocked are first");
        assert_eq!(served(client).id(), i.to_string());
    }
    for i in [0, 1, 2500, 4999] {
        let held = ids(&c.line(&format!("MODQ.HELD q j{i}")));
        assert_eq!(held, (1000 + i).to_string());
    }
    assert_eq!(line_of(&mut c, "q"), "");
    assert_eq!(counts(&mut c, "q"), [0, 6000, 0, 0]);
}

fn a_hundred_thousand_locks_run_out_at_once(kind: Kind) {
    const N: i64 = 100_000;
    let server = Server::start(kind);
    let mut c = server.client();
    for block in 0..10 {
        let first = block * N / 10;
        let lines: Vec<String> = (first..first + N / 10)
            .map(|i| format!("MODQ.SUBMIT q {i} p"))
            .collect();
        c.pipeline(&lines);
    }
    let instant = server_ms(&mut c) + 4000;
    for m in 0..N / 1000 {
        let lock = instant - server_ms(&mut c);
        c.line(&format!("MODQ.CLAIM q m{m} NEW COUNT 1000 LOCK {lock}"));
    }
    assert!(server_ms(&mut c) < instant, "all locked in time");
    assert_eq!(counts(&mut c, "q"), [0, N, 0, 0]);
    let mut worst = Duration::ZERO;
    let mut watch = server.client();
    wait_until("all are back", PATIENCE, || {
        let start = Instant::now();
        c.line("PING");
        worst = worst.max(start.elapsed());
        len(&mut watch, "q READY") == N
    });
    let took = server_ms(&mut c) - instant;
    assert!(took < 10_000, "took {took} ms");
    assert!(worst < Duration::from_millis(200), "a PING took {worst:?}");
    let order: Vec<String> = c
        .line("MODQ.PEEK q COUNT 1000")
        .items()
        .iter()
        .map(Value::text)
        .collect();
    assert!(order.iter().enumerate().all(|(i, id)| *id == i.to_string()));
    assert_eq!(c.line(&format!("MODQ.POSITION q {}", N - 1)), Value::Int(N));
    assert_eq!(field(&mut c, "q", "77777", "expiries"), Value::Int(1));
}

matrix!(
    joined_and_blocked_stand_in_one_line,
    a_registration_lives_by_its_heartbeats,
    fifty_people_at_once,
    a_thousand_block_and_five_thousand_join,
    a_hundred_thousand_locks_run_out_at_once,
);
