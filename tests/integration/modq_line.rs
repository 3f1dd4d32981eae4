//! The line of moderators: JOIN beside blocked calls, and large numbers.

use modq_testkit::queue::*;
use modq_testkit::*;
use std::collections::HashMap;
use std::time::Duration;

fn joined_and_blocked_stand_in_one_line(kind: Kind) {
    let (server, mut c) = desk(kind);
    let before = now_ms();
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
    assert!(before <= since[0] && since[0] <= since[1] && since[1] <= now_ms());
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
    let mut b = server.client();
    let id = b.id();
    block(&mut b, &server, "MODQ.CLAIM q blocks BLOCK 0");
    wait_until("the short one has left", PATIENCE, || {
        !line_of(&mut c, "q").contains("short")
    });
    let since = c.line("MODQ.WAITERS q")[1][2].clone();
    // A blocked call is a sign of life while it lasts.
    assert_eq!(c.line(&format!("CLIENT UNBLOCK {id}")), Value::Int(1));
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
    assert!(
        c.pipeline(&joins)
            .iter()
            .all(|reply| *reply == simple("WAITING"))
    );
    assert_eq!(c.line("MODQ.STATS q").field("waiting"), Value::Int(6000));
    let line: Vec<String> = line_of(&mut c, "q").split(' ').map(str::to_owned).collect();
    let submits: Vec<String> = (0..6000).map(|i| format!("MODQ.SUBMIT q {i} p")).collect();
    assert!(
        c.pipeline(&submits)
            .iter()
            .all(|reply| *reply == simple("ASSIGNED"))
    );
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

/// Locks all `n` items of the queue until `instant`; whether all were locked by then.
fn lock_until(c: &mut Client, instant: i64, n: i64) -> bool {
    for m in 0..n / 1000 {
        let lock = (instant - now_ms()).max(1);
        c.line(&format!("MODQ.CLAIM q m{m} NEW COUNT 1000 LOCK {lock}"));
    }
    let locked = counts(c, "q") == [0, n, 0, 0];
    locked && now_ms() < instant
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
    // All at one instant: again with more time if it passed before all were locked.
    let (mut lead, mut attempts) = (1000, 1);
    while !lock_until(&mut c, now_ms() + lead, N) {
        wait_until("all are back", PATIENCE, || len(&mut c, "q READY") == N);
        (lead, attempts) = (2 * lead, attempts + 1);
        assert!(attempts < 6, "{N} locks take more than {lead} ms");
    }
    let mut worst = Duration::ZERO;
    let mut watch = server.client();
    wait_until("all are back", PATIENCE, || {
        let (_, work) = work_during(server.pid(), || c.line("PING"));
        worst = worst.max(work);
        len(&mut watch, "q READY") == N
    });
    assert!(
        worst < Duration::from_millis(200),
        "a PING waited for {worst:?} of work"
    );
    let order: Vec<String> = c
        .line("MODQ.PEEK q COUNT 1000")
        .items()
        .iter()
        .map(Value::text)
        .collect();
    assert!(order.iter().enumerate().all(|(i, id)| *id == i.to_string()));
    assert_eq!(c.line(&format!("MODQ.POSITION q {}", N - 1)), Value::Int(N));
    // As often as it was handed out.
    let item = c.line("MODQ.GET q 77777");
    assert!(item.field("expiries").int() >= 1, "{item:?}");
    assert_eq!(item.field("expiries"), item.field("deliveries"));
}

matrix!(
    joined_and_blocked_stand_in_one_line,
    a_registration_lives_by_its_heartbeats,
    a_thousand_block_and_five_thousand_join,
    a_hundred_thousand_locks_run_out_at_once,
);
