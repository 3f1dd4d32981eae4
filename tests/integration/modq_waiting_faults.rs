//! Clients and keys that go away while moderators wait.

use modq_testkit::queue::*;
use modq_testkit::*;

/// A primary and a replica that must end up equal.
pub(crate) struct Pair {
    pub(crate) primary: Server,
    pub(crate) replica: Server,
}

impl Pair {
    pub(crate) fn start(kind: Kind) -> Pair {
        let primary = Server::start(kind);
        let replica = Server::builder(kind).replica_of(&primary).start();
        wait_replica_synced(&primary, &replica);
        Pair { primary, replica }
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        wait_replica_synced(&self.primary, &self.replica);
        let (mut up, mut down) = (self.primary.client(), self.replica.client());
        assert_eq!(debug_digest(&mut up), debug_digest(&mut down));
    }
}

/// Runs lines in one transaction; answers what they answered.
#[track_caller]
pub(crate) fn multi(c: &mut Client, lines: &[String]) -> Vec<Value> {
    c.expect_ok("MULTI");
    for line in lines {
        assert_eq!(c.line(line), simple("QUEUED"), "{line}");
    }
    c.line("EXEC").items().to_vec()
}

fn kill(id: i64) -> String {
    format!("CLIENT KILL ID {id}")
}

fn line(line: &str) -> String {
    line.to_owned()
}

/// Nobody else is in line: the item is as if it had never been given to anybody.
fn a_client_that_dies_before_its_answer_costs_nothing(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
    let mut a = server.client();
    let id = a.id();
    block(&mut a, server, "MODQ.CLAIM q a BLOCK 0 TAGS 1 t");
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
}

/// A client that is closed because its answer is larger than it may be has not got it. On Valkey that comes a turn of the
/// event loop later than elsewhere.
fn a_client_closed_for_its_output_costs_nothing(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
    let limit = |c: &mut Client, limit: &str| {
        let set = cmd!(c, "CONFIG", "SET", "client-output-buffer-limit", limit);
        assert_eq!(set, ok());
    };
    limit(&mut c, "normal 300kb 0 0");
    let mut a = server.client();
    block(&mut a, server, "MODQ.CLAIM q a BLOCK 0");
    let payload = vec![b'x'; 1 << 20];
    let reply = cmd!(c, "MODQ.SUBMIT", "q", "i", &payload);
    assert_eq!(reply, simple("ASSIGNED"));
    assert!(a.is_closed());
    wait_until("the match is undone", PATIENCE, || {
        len(&mut c, "q READY") == 1
    });
    let stats = c.line("MODQ.STATS q");
    for counted in ["released", "expired", "locked", "waiting"] {
        assert_eq!(stats.field(counted), Value::Int(0), "{counted}");
    }
    limit(&mut c, "normal 0 0 0");
    let got = claim(&mut c, "q z");
    assert_eq!((got.id().as_str(), got.deliveries), ("i", 1));
    pair.check();
}

/// Whoever got the answer and leaves at once keeps the lock: nothing of it is undone.
fn a_client_that_leaves_with_its_answer_keeps_it(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for i in 0..50 {
        let mut a = blocked(&server, "MODQ.CLAIM q a NEW BLOCK 0");
        submit_assigned(&mut c, &format!("q i{i} p"));
        served(&mut a);
        drop(a);
    }
    assert_eq!(counts(&mut c, "q"), [0, 50, 0, 0]);
}

/// It is served at once, in the same turn of the server.
fn the_next_in_line_gets_what_a_dead_client_had(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
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
}

/// The item that only the dead call could take is ready again, and the moderator stands where they stood.
fn a_place_by_join_outlives_a_dead_call(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
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
}

fn of_two_calls_answered_with_one_lock_one_may_die(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
    let mut a = server.client();
    let id = a.id();
    block(&mut a, server, "MODQ.CLAIM q a BLOCK 0");
    let mut other = blocked(server, "MODQ.CLAIM q a BLOCK 0");
    multi(&mut c, &[line("MODQ.SUBMIT q i p"), kill(id)]);
    let got = served(&mut other);
    assert_eq!(field(&mut c, "q", "i", "token"), Value::Int(got.token));
    pair.check();
}

fn unblock_between_the_match_and_the_answer_loses_nothing(kind: Kind) {
    let pair = Pair::start(kind);
    let server = &pair.primary;
    let mut c = server.client();
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
                // Well before the lock would end.
                &format!("nobody has it: {lines:?}"),
                PATIENCE,
                || state(&mut c, "q", "i") == "ready",
            );
            assert_eq!(field(&mut c, "q", "i", "deliveries"), Value::Int(0));
            assert_eq!(line_of(&mut c, "q"), if also_waits { "late*" } else { "" });
            // Else the next round's item may be for one who has gone, which the server need not know at once.
            drop(other);
            wait_until("the other has left", PATIENCE, || {
                line_of(&mut c, "q").is_empty()
            });
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

matrix!(
    a_client_that_dies_before_its_answer_costs_nothing,
    a_client_closed_for_its_output_costs_nothing,
    a_client_that_leaves_with_its_answer_keeps_it,
    the_next_in_line_gets_what_a_dead_client_had,
    a_place_by_join_outlives_a_dead_call,
    of_two_calls_answered_with_one_lock_one_may_die,
    unblock_between_the_match_and_the_answer_loses_nothing,
    what_reached_somebody_is_not_taken_back,
    a_call_matched_twice_keeps_one_lock,
    an_answer_comes_before_another_keys_wrong_type,
    a_closed_socket_leaves_the_line,
    what_was_matched_may_be_gone_before_the_answer,
    nobody_is_left_in_line_by_a_detour,
);
