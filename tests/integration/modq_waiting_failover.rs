//! Servers that stop, change their role or lose a slot while moderators wait.

use super::modq_waiting_faults::{Pair, multi};
use modq_testkit::queue::*;
use modq_testkit::*;

/// Names of every kind are waited for, with a server that redirects when their slot goes elsewhere.
fn a_slot_that_goes_sends_its_waiting_clients_after_it(kind: Kind) {
    let cluster = Cluster::start(2, kind);
    for key in ["q", "a{b}c", "a{b", "a}b", "{}a", "a{}b}c"] {
        let from = cluster.owner(key);
        let to = cluster
            .nodes
            .iter()
            .find(|node| node.port() != from.port())
            .unwrap();
        let slot = cluster.slot(key);
        let mut waiting = blocked(from, &format!("MODQ.CLAIM {key} m BLOCK 0"));
        let mut other = blocked(from, &format!("MODQ.MCLAIM 1 {key} m NEW BLOCK 0"));
        assert_eq!(line_of(&mut from.client(), key), "m*");
        for node in [to, from] {
            let id = Cluster::id(to);
            node.client()
                .expect_ok(&format!("CLUSTER SETSLOT {slot} NODE {id}"));
        }
        let moved = format!("MOVED {slot} 127.0.0.1:{}", to.port());
        for client in [&mut waiting, &mut other] {
            let reply = client.reply();
            assert_eq!(reply.err_code(), "MOVED", "{key}: {reply:?}");
            assert!(format!("{reply:?}").contains(&moved), "{reply:?}");
        }
        let mut c = to.client();
        let mut there = blocked(to, &format!("MODQ.CLAIM {key} m BLOCK 0"));
        submit_assigned(&mut c, &format!("{key} i p"));
        assert_eq!(served(&mut there).id(), "i", "{key}");
    }
}

/// Claims items of `q` for a holder, with these words, and lets j0, j1 and j2 join before the locks can run out.
fn hold_and_join(c: &mut Client, words: &str) -> Vec<Claimed> {
    let mut lines = vec![format!("MODQ.CLAIM q holder {words} TAGS 1 t")];
    lines.extend((0..3).map(|j| format!("MODQ.JOIN q j{j} TTL 1000000 TAGS 1 t")));
    let replies = c.pipeline(&lines);
    assert!(replies[1..].iter().all(|reply| *reply == simple("WAITING")));
    claims(&replies[0])
}

/// Sentinels promote a replica while people wait: it expires and matches at once, and who comes back is served.
fn sentinels_fail_over_with_people_in_line(kind: Kind) {
    let mut setup = SentinelSetup::start(kind);
    let old = setup.primary().port();
    let mut c = setup.primary().client();
    c.expect_ok("MODQ.CONFIGURE q LOCK 60000");
    for i in 0..4 {
        submit(&mut c, &format!("q i{i} p TAGS 1 t"));
    }
    let held = hold_and_join(&mut c, "COUNT 4 LOCK 500");
    let waiting = blocked(setup.primary(), "MODQ.CLAIM q b BLOCK 0 TAGS 1 none");
    let (primary, replicas) = setup.nodes.split_first().unwrap();
    replicas
        .iter()
        .for_each(|replica| wait_replica_synced(primary, replica));
    setup.nodes[0].kill9();
    drop(waiting);
    let primary = setup.wait_failover(old);
    let mut n = primary.client();
    wait_until("locks ran out and were matched", PATIENCE, || {
        counts(&mut n, "q") == [1, 3, 0, 0]
    });
    for j in 0..3 {
        let got = claims(&n.line(&format!("MODQ.HELD q j{j}"))).remove(0);
        assert_eq!(got.id(), format!("i{j}"));
        assert!(got.token > held[3].token, "tokens go on growing");
    }
    let mut back = blocked(primary, "MODQ.CLAIM q b BLOCK 0 TAGS 1 u");
    submit_assigned(&mut n, "q new p TAGS 1 u");
    assert_eq!(served(&mut back).id(), "new");
    let replica = setup.nodes[1..]
        .iter()
        .find(|node| node.port() != primary.port());
    let replica = replica.expect("there is another");
    wait_replica_synced(primary, replica);
    assert_eq!(digest(&mut n, "q"), digest(&mut replica.client(), "q"));
}

fn a_primary_that_becomes_a_replica_unblocks(kind: Kind) {
    let pair = Pair::start(kind);
    let (primary, other) = (&pair.primary, &pair.replica);
    other.client().expect_ok("REPLICAOF NO ONE");
    let mut a = blocked(primary, "MODQ.CLAIM q a BLOCK 0");
    let mut b = blocked(primary, "MODQ.MCLAIM 2 q r b BLOCK 0");
    let mut c = primary.client();
    c.expect_ok(&format!("REPLICAOF 127.0.0.1 {}", other.port()));
    assert_eq!(a.reply().err_code(), "UNBLOCKED");
    assert_eq!(b.reply().err_code(), "UNBLOCKED");
    c.expect_ok("REPLICAOF NO ONE");
    submit(&mut c, "q i p");
}

fn a_pause_of_the_server_is_survived(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
    for i in 0..20 {
        submit(&mut c, &format!("q i{i} p"));
    }
    let held = claims(&c.line("MODQ.CLAIM q holder COUNT 20"));
    c.line("MODQ.JOIN q j TTL 60");
    let mut a = blocked(server, "MODQ.CLAIM q a BLOCK 0 TAGS 1 x");
    let mut killed = server.client();
    let id = killed.id();
    block(&mut killed, server, "MODQ.CLAIM q k BLOCK 0 TAGS 1 k");
    let mut times_out = server.client();
    let last = times_out.id();
    times_out.send(&[
        "MODQ.CLAIM",
        "q",
        "b",
        "BLOCK",
        "300",
        "TAGS",
        "1",
        "nothing",
    ]);
    wait_until("it waits, or has already timed out", PATIENCE, || {
        let list = c.line(&format!("CLIENT LIST ID {last}")).text();
        list.contains("cmd=modq.claim")
    });
    // Matched, killed, the locks about to end, and paused, all in one: the undo has to wait.
    let mut lines = vec![
        "MODQ.SUBMIT q k p TAGS 1 k".to_owned(),
        format!("CLIENT KILL ID {id}"),
    ];
    lines.extend(held.iter().map(|lock| {
        let (item, token) = (lock.id(), lock.token);
        format!("MODQ.EXTEND q {item} {token} 50")
    }));
    lines.push("CLIENT PAUSE 100000 WRITE".into());
    multi(&mut c, &lines);
    let ended = times_out.poll(PATIENCE);
    assert!(
        ended.is_some_and(|reply| reply.is_null()),
        "its time is up, pause or not"
    );
    assert_eq!(c.line("PING"), simple("PONG"));
    c.expect_ok("CLIENT UNPAUSE");
    let got = served(&mut a);
    assert_eq!(got.deliveries, 2);
    wait_until("all is back", PATIENCE, || {
        counts(&mut c, "q")[0] + counts(&mut c, "q")[1] == 21
    });
    wait_until("the undo is done", PATIENCE, || {
        state(&mut c, "q", "k") == "ready"
    });
    assert_eq!(field(&mut c, "q", "k", "deliveries"), Value::Int(0));
    wait_until("locks have run out", PATIENCE, || {
        len(&mut c, "q LOCKED") <= 2
    });
    pair.check();
}

fn a_failover_with_people_in_line(kind: Kind) {
    let pair = Pair::start(kind);
    let (old, new) = (&pair.primary, &pair.replica);
    let mut c = old.client();
    for i in 0..10 {
        submit(&mut c, &format!("q i{i} p TAGS 1 t"));
    }
    let held = hold_and_join(&mut c, "COUNT 10 LOCK 400");
    let last = held.last().unwrap().token;
    let mut waiting: Vec<Client> = (0..5)
        .map(|i| blocked(old, &format!("MODQ.CLAIM q b{i} BLOCK 0 TAGS 1 none")))
        .collect();
    wait_replica_synced(old, new);
    c.expect_ok(&format!("FAILOVER TO 127.0.0.1 {}", new.port()));
    for b in &mut waiting {
        assert_eq!(b.reply().err_code(), "UNBLOCKED");
    }
    let mut n = new.client();
    wait_until("the replica is primary", PATIENCE, || {
        n.line("ROLE")[0] == bulk("master")
    });
    // It expires and matches without being asked.
    wait_until("locks ran out", PATIENCE, || {
        counts(&mut n, "q") == [7, 3, 0, 0]
    });
    assert_eq!(line_of(&mut n, "q"), "");
    for j in 0..3 {
        let held = claims(&n.line(&format!("MODQ.HELD q j{j}")));
        assert_eq!(held[0].id(), format!("i{j}"));
        assert!(held[0].token > last);
    }
    wait_replica_synced(new, old);
    assert_eq!(digest(&mut n, "q"), digest(&mut c, "q"));
    assert_eq!(ids(&n.line("MODQ.CLAIM q x NEW BLOCK 0 TAGS 1 t")), "i3");
}

fn a_reload_keeps_the_line(kind: Kind) {
    let (server, mut c) = desk(kind);
    c.line("MODQ.JOIN q j TTL 100000 TAGS 1 t");
    let mut a = blocked(&server, "MODQ.CLAIM q a BLOCK 0");
    let mut none = blocked(&server, "MODQ.CLAIM none n BLOCK 0");
    submit(&mut c, "q x p TAGS 1 u");
    let before = c.line("MODQ.WAITERS q");
    for reload in ["DEBUG RELOAD", "DEBUG LOADAOF"] {
        c.set_timeout(PATIENCE);
        c.expect_ok(reload);
        assert_eq!(c.line("MODQ.WAITERS q"), before, "{reload}");
        assert_eq!(line_of(&mut c, "none"), "n*");
    }
    submit_assigned(&mut c, "q i p");
    assert_eq!(field(&mut c, "q", "i", "moderator"), bulk("j"));
    submit_assigned(&mut c, "q k p");
    assert_eq!(served(&mut a).id(), "k");
    submit_assigned(&mut c, "none k p");
    assert_eq!(served(&mut none).id(), "k");
}

matrix!(
    a_slot_that_goes_sends_its_waiting_clients_after_it,
    sentinels_fail_over_with_people_in_line,
    a_primary_that_becomes_a_replica_unblocks,
    a_pause_of_the_server_is_survived,
    a_failover_with_people_in_line,
    a_reload_keeps_the_line,
);
