//! Clients, keys and servers that go away while moderators wait.

use modq_testkit::queue::*;
use modq_testkit::*;
use std::time::Duration;

/// A primary and a replica that must end up equal.
struct Pair {
    primary: Server,
    replica: Server,
}

impl Pair {
    fn start(kind: Kind) -> Pair {
        let primary = Server::start(kind);
        let replica = Server::builder(kind).replica_of(&primary).start();
        wait_replica_synced(&primary, &replica);
        Pair { primary, replica }
    }

    #[track_caller]
    fn check(&self) {
        wait_replica_synced(&self.primary, &self.replica);
        let (mut up, mut down) = (self.primary.client(), self.replica.client());
        assert_eq!(debug_digest(&mut up), debug_digest(&mut down));
    }
}

/// Runs lines in one transaction; answers what they answered.
#[track_caller]
fn multi(c: &mut Client, lines: &[String]) -> Vec<Value> {
    c.expect_ok("MULTI");
    for line in lines {
        assert_eq!(c.line(line), simple("QUEUED"), "{line}");
    }
    c.line("EXEC").items().to_vec()
}

fn a_client_that_dies_before_its_answer_costs_nothing(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
    // Alone in line: the item is as if it had never been given.
    let mut a = server.client();
    let id = a.id();
    block(&mut a, server, "MODQ.CLAIM q a BLOCK 0 TAGS 1 t");
    let kill = |id: i64| format!("CLIENT KILL ID {id}");
    let line = |line: &str| line.to_owned();
    let replies = multi(
        &mut c,
        &[
            line("MODQ.SUBMIT q i p TAGS 1 t"),
            line("MODQ.SUBMIT q j p"),
            line("MODQ.GET q i"),
            kill(id),
        ],
    );
    assert_eq!(replies[0], simple("ASSIGNED"));
    assert_eq!(replies[2].field("moderator"), bulk("a"));
    let burnt = replies[2].field("token").int();
    assert!(a.is_closed());
    let item = c.line("MODQ.GET q i");
    assert_eq!(item.field("state"), bulk("ready"));
    for counted in ["deliveries", "expiries"] {
        assert_eq!(item.field(counted), Value::Int(0), "{counted}");
    }
    assert_eq!(item.field("rev"), Value::Int(1));
    assert!(item.field("moderator").is_null() && item.field("token").is_null());
    assert_eq!(c.line("MODQ.POSITION q i"), Value::Int(1), "its own place");
    let stats = c.line("MODQ.STATS q");
    for counted in ["released", "expired", "locked", "waiting"] {
        assert_eq!(stats.field(counted), Value::Int(0), "{counted}");
    }
    assert_eq!(cmd!(c, "MODQ.RESOLVE", "q", "i", burnt).err_code(), "STALE");
    let got = claim(&mut c, "q z TAGS 1 t");
    assert_eq!((got.id().as_str(), got.deliveries), ("i", 1));
    assert!(got.token > burnt, "a token is never given twice");
    pair.check();

    // The next in line is served at once, in the same turn.
    c.expect_ok("FLUSHALL");
    let mut a = server.client();
    let id = a.id();
    block(&mut a, server, "MODQ.CLAIM q a BLOCK 0");
    let mut b = blocked(server, "MODQ.MCLAIM 2 other q b BLOCK 0");
    let replies = multi(
        &mut c,
        &[line("MODQ.SUBMIT q i p"), line("MODQ.GET q i"), kill(id)],
    );
    let reply = b.reply();
    let got = claims(&reply[1]).remove(0);
    assert_eq!((got.id().as_str(), got.deliveries), ("i", 1));
    assert!(got.token > replies[1].field("token").int());
    assert_eq!(field(&mut c, "q", "i", "expiries"), Value::Int(0));
    assert_eq!(line_of(&mut c, "q"), "");
    pair.check();

    // A place by JOIN is kept: what only the dead call could take is ready, the moderator where they stood.
    c.expect_ok("FLUSHALL");
    c.line("MODQ.JOIN q a");
    c.line("MODQ.JOIN q b");
    let line_before = c.line("MODQ.WAITERS q");
    let mut a = server.client();
    let id = a.id();
    block(&mut a, server, "MODQ.CLAIM q a TAGS 1 t BLOCK 0");
    let replies = multi(
        &mut c,
        &[
            line("MODQ.SUBMIT q i p TAGS 1 t"),
            line("MODQ.WAITERS q"),
            kill(id),
        ],
    );
    assert_eq!(replies[0], simple("ASSIGNED"));
    assert_eq!(replies[1].items().len(), 1);
    assert_eq!(state(&mut c, "q", "i"), "ready");
    assert_eq!(c.line("MODQ.WAITERS q"), line_before);
    pair.check();

    // Of two calls answered with one lock one is left: it has the item.
    c.expect_ok("FLUSHALL");
    let mut a = server.client();
    let id = a.id();
    block(&mut a, server, "MODQ.CLAIM q a BLOCK 0");
    let mut other = blocked(server, "MODQ.CLAIM q a BLOCK 0");
    multi(&mut c, &[line("MODQ.SUBMIT q i p"), kill(id)]);
    let got = served(&mut other);
    assert_eq!(field(&mut c, "q", "i", "token"), Value::Int(got.token));
    // UNBLOCK between the match and the answer loses nothing either.
    let mut a = server.client();
    let id = a.id();
    block(&mut a, server, "MODQ.CLAIM q b BLOCK 0");
    multi(
        &mut c,
        &[
            line("MODQ.SUBMIT q j p"),
            format!("CLIENT UNBLOCK {id} TIMEOUT"),
        ],
    );
    let reply = a.reply();
    if reply.is_null() {
        assert_eq!(state(&mut c, "q", "j"), "ready");
    } else {
        assert_eq!(ids(&reply), "j");
        assert_eq!(state(&mut c, "q", "j"), "locked");
    }
    let mut a = server.client();
    let id = a.id();
    block(&mut a, server, "MODQ.CLAIM q e NEW TAGS 1 t BLOCK 0");
    multi(
        &mut c,
        &[
            line("MODQ.SUBMIT q k p TAGS 1 t"),
            format!("CLIENT UNBLOCK {id} ERROR"),
        ],
    );
    assert_eq!(a.reply().err_code(), "UNBLOCKED");
    assert_eq!(state(&mut c, "q", "k"), "ready", "an error is no answer");
    pair.check();
}

/// Of two calls that a lock answers one is told of it, the other dies: the lock stays with who was told.
fn what_reached_somebody_is_not_taken_back(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
    let (mut told, mut dies) = (server.client(), server.client());
    let (told_id, dies_id) = (told.id(), dies.id());
    block(&mut told, server, "MODQ.CLAIM q a BLOCK 0");
    block(&mut dies, server, "MODQ.CLAIM q a BLOCK 0");
    let _next = blocked(server, "MODQ.CLAIM q b BLOCK 0");
    multi(
        &mut c,
        &[
            "MODQ.SUBMIT q i p".into(),
            format!("CLIENT UNBLOCK {told_id} TIMEOUT"),
            format!("CLIENT KILL ID {dies_id}"),
        ],
    );
    // Some servers answer UNBLOCK only after the transaction; either way there is one holder.
    let got = claims(&told.reply());
    let holder = field(&mut c, "q", "i", "moderator");
    match got.first() {
        Some(got) => {
            assert_eq!(holder, bulk("a"));
            assert_eq!(cmd!(c, "MODQ.RESOLVE", "q", "i", got.token), ok());
        }
        None => assert_eq!(holder, bulk("b")),
    }
    pair.check();
}

/// Both ends of a MOVE can match the same MCLAIM: it is answered with one item, and the other is as before.
fn a_call_matched_twice_keeps_one_lock(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
    c.expect_ok("MODQ.CONFIGURE q CAPACITY 1");
    submit(&mut c, "q i p");
    submit(&mut c, "q j p");
    let held = claim(&mut c, "q m");
    let mut many = blocked(server, "MODQ.MCLAIM 2 q r m NEW BLOCK 0");
    assert_eq!(
        cmd!(c, "MODQ.MOVE", "q", "r", "i", "TOKEN", held.token),
        ok()
    );
    let reply = many.reply();
    assert_eq!((reply[0].text(), ids(&reply[1])), ("q".into(), "j".into()));
    wait_until("the other is free again", PATIENCE, || {
        state(&mut c, "r", "i") == "ready"
    });
    assert_eq!(field(&mut c, "r", "i", "deliveries"), Value::Int(1));
    assert_eq!(c.line("MODQ.STATS r").field("expired"), Value::Int(0));
    assert_eq!(line_of(&mut c, "r"), "");
    pair.check();
    // With another call there is one for each.
    c.expect_ok("FLUSHALL");
    c.expect_ok("MODQ.CONFIGURE q CAPACITY 1");
    submit(&mut c, "q i p");
    submit(&mut c, "q j p");
    let held = claim(&mut c, "q m");
    let mut many = blocked(server, "MODQ.MCLAIM 2 q r m NEW BLOCK 0");
    let mut one = blocked(server, "MODQ.CLAIM q m NEW BLOCK 0");
    assert_eq!(
        cmd!(c, "MODQ.MOVE", "q", "r", "i", "TOKEN", held.token),
        ok()
    );
    assert_eq!(ids(&many.reply()[1]), "i");
    assert_eq!(served(&mut one).id(), "j");
    pair.check();
}

/// An answer from one key of an MCLAIM is not lost when another key changes type in the same turn.
fn an_answer_comes_before_another_keys_wrong_type(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
    let mut many = blocked(server, "MODQ.MCLAIM 2 q r m BLOCK 0");
    multi(&mut c, &["MODQ.SUBMIT q i p".into(), "SET r 1".into()]);
    let reply = many.reply();
    assert_eq!((reply[0].text(), ids(&reply[1])), ("q".into(), "i".into()));
    // The other way about the same.
    c.expect_ok("FLUSHALL");
    block(&mut many, server, "MODQ.MCLAIM 2 r q m BLOCK 0");
    multi(&mut c, &["SET r 1".into(), "MODQ.SUBMIT q i p".into()]);
    assert_eq!(ids(&many.reply()[1]), "i");
    // And if the item is gone again, there is only the wrong type to tell of.
    c.expect_ok("FLUSHALL");
    block(&mut many, server, "MODQ.MCLAIM 2 r q m BLOCK 0");
    multi(
        &mut c,
        &[
            "SET r 1".into(),
            "MODQ.SUBMIT q i p".into(),
            "MODQ.CANCEL q i".into(),
        ],
    );
    assert_eq!(many.reply().err_code(), "WRONGTYPE");
    assert_eq!(line_of(&mut c, "q"), "");
    pair.check();
}

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

/// Sentinels promote a replica while people wait: it expires and matches at once, and who comes back is served.
fn sentinels_fail_over_with_people_in_line(kind: Kind) {
    let mut setup = SentinelSetup::start(kind);
    let old = setup.primary().port();
    let mut c = setup.primary().client();
    c.expect_ok("MODQ.CONFIGURE q LOCK 60000");
    for i in 0..4 {
        submit(&mut c, &format!("q i{i} p TAGS 1 t"));
    }
    let held = claims(&c.line("MODQ.CLAIM q holder COUNT 4 LOCK 500 TAGS 1 t"));
    for j in 0..3 {
        let join = format!("MODQ.JOIN q j{j} TTL 1000000 TAGS 1 t");
        assert_eq!(c.line(&join), simple("WAITING"));
    }
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

fn a_closed_socket_leaves_the_line(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
    c.line("MODQ.JOIN q j");
    let gone = blocked(server, "MODQ.CLAIM q gone BLOCK 0");
    let joined = blocked(server, "MODQ.CLAIM q j BLOCK 0");
    let many = blocked(server, "MODQ.MCLAIM 2 q r many BLOCK 0");
    assert_eq!(line_of(&mut c, "q"), "j gone* many*");
    drop((gone, joined, many));
    wait_until("they are out of line", PATIENCE, || {
        line_of(&mut c, "q") == "j"
    });
    assert_eq!(line_of(&mut c, "r"), "");
    submit_assigned(&mut c, "q i p");
    submit(&mut c, "q k p");
    submit(&mut c, "r k p");
    assert_eq!(field(&mut c, "q", "i", "moderator"), bulk("j"));
    pair.check();
}

fn what_was_matched_may_be_gone_before_the_answer(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
    for gone in [
        "redis.call('MODQ.CANCEL', 'q', 'i')",
        "redis.call('DEL', 'q')",
        "redis.call('UNLINK', 'q')",
        "redis.call('FLUSHALL')",
        "redis.call('RENAME', 'q', 'r')",
        "redis.call('MOVE', 'q', 3)",
        "redis.call('MODQ.RESOLVE', 'q', 'i', token)",
        "redis.call('MODQ.MOVE', 'q', 'r', 'i', 'TOKEN', token)",
        "redis.call('SWAPDB', 0, 5)",
    ] {
        let mut a = blocked(server, "MODQ.CLAIM q a BLOCK 0");
        let mut b = blocked(server, "MODQ.MCLAIM 2 z q b BLOCK 0");
        let script = format!(
            "local r = redis.call('MODQ.SUBMIT', 'q', 'i', 'p')['ok'] \
             local got = redis.call('MODQ.HELD', 'q', 'a') \
             local token = string.format('%.0f', got[1][3]) {gone} return r"
        );
        let reply = cmd!(c, "EVAL", &script, 3, "q", "r", "z");
        assert_eq!(reply, bulk("ASSIGNED"), "{gone}");
        still_waits(&mut a);
        assert_eq!(line_of(&mut c, "q"), "a* b*", "{gone}");
        submit_assigned(&mut c, "q i2 p");
        assert_eq!(served(&mut a).id(), "i2", "{gone}");
        c.expect_ok("FLUSHALL");
        // What comes in the same turn after what went is not overlooked.
        let script = format!(
            "redis.call('MODQ.SUBMIT', 'q', 'i', 'p') local got = redis.call('MODQ.HELD', 'q', 'b') \
             local token = string.format('%.0f', got[1][3]) {gone} \
             return redis.call('MODQ.SUBMIT', 'q', 'i3', 'p')"
        );
        cmd!(c, "EVAL", &script, 3, "q", "r", "z");
        assert_eq!(ids(&b.reply()[1]), "i3", "{gone}");
        pair.check();
        c.expect_ok("FLUSHALL");
    }
}

/// A call that ends while its queue is under another name is not in line when the queue comes back.
fn nobody_is_left_in_line_by_a_detour(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
    for (there, back) in [("RENAME q r", "RENAME r q"), ("SWAPDB 0 1", "SWAPDB 0 1")] {
        for also_waits in [false, true] {
            c.expect_ok("FLUSHALL");
            c.expect_ok("MODQ.CONFIGURE q LOCK 60000");
            let other = also_waits.then(|| blocked(server, "MODQ.CLAIM q late BLOCK 0 TAGS 1 x"));
            let mut a = server.client();
            let id = a.id();
            block(&mut a, server, "MODQ.CLAIM q a BLOCK 0");
            let lines = [
                there.to_owned(),
                format!("CLIENT KILL ID {id}"),
                back.to_owned(),
            ];
            multi(&mut c, &lines);
            c.line(if also_waits {
                "MODQ.SUBMIT q i p TAGS 1 y"
            } else {
                "MODQ.SUBMIT q i p"
            });
            wait_until(
                &format!("nobody has it: {lines:?}"),
                Duration::from_secs(3),
                || state(&mut c, "q", "i") == "ready",
            );
            assert_eq!(field(&mut c, "q", "i", "deliveries"), Value::Int(0));
            assert_eq!(line_of(&mut c, "q"), if also_waits { "late*" } else { "" });
            drop(other);
        }
    }
    // STATS counts who waits at this name.
    c.expect_ok("FLUSHALL");
    let _b = blocked(server, "MODQ.CLAIM s a BLOCK 0");
    assert_eq!(c.line("MODQ.STATS s").field("waiting"), Value::Int(1));
    c.expect_ok("MODQ.CONFIGURE s LOCK 60000");
    c.expect_ok("RENAME s t");
    assert_eq!(c.line("MODQ.STATS t").field("waiting"), Value::Int(0));
    assert_eq!(c.line("MODQ.STATS s").field("waiting"), Value::Int(1));
    pair.check();
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
    c.line("MODQ.CLAIM q holder COUNT 20 LOCK 50");
    c.line("MODQ.JOIN q j TTL 60");
    let mut a = blocked(server, "MODQ.CLAIM q a BLOCK 0 TAGS 1 x");
    let mut times_out = blocked(server, "MODQ.CLAIM q b BLOCK 40 TAGS 1 nothing");
    let mut killed = server.client();
    let id = killed.id();
    block(&mut killed, server, "MODQ.CLAIM q k BLOCK 0 TAGS 1 k");
    // Matched, killed and paused in one: the undo has to wait.
    multi(
        &mut c,
        &[
            "MODQ.SUBMIT q k p TAGS 1 k".into(),
            format!("CLIENT KILL ID {id}"),
            "CLIENT PAUSE 400 WRITE".into(),
        ],
    );
    let _ = times_out.poll(Duration::from_millis(250));
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
    c.line("MODQ.CLAIM q holder COUNT 10 LOCK 400 TAGS 1 t");
    for j in 0..3 {
        assert_eq!(
            c.line(&format!("MODQ.JOIN q j{j} TTL 100000 TAGS 1 t")),
            simple("WAITING")
        );
    }
    let last = claims(&c.line("MODQ.HELD q holder")).pop().unwrap().token;
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
    a_client_that_dies_before_its_answer_costs_nothing,
    what_reached_somebody_is_not_taken_back,
    a_call_matched_twice_keeps_one_lock,
    an_answer_comes_before_another_keys_wrong_type,
    a_slot_that_goes_sends_its_waiting_clients_after_it,
    sentinels_fail_over_with_people_in_line,
    a_closed_socket_leaves_the_line,
    what_was_matched_may_be_gone_before_the_answer,
    nobody_is_left_in_line_by_a_detour,
    a_primary_that_becomes_a_replica_unblocks,
    a_pause_of_the_server_is_survived,
    a_failover_with_people_in_line,
    a_reload_keeps_the_line,
);
