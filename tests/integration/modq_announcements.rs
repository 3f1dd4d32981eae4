//! What a change tells others: WATCH, client tracking, keyspace events; and that what changes nothing tells nothing.

use modq_testkit::queue::*;
use modq_testkit::*;

/// Whether `touch` changes `q` for a client that watches it. `before` is sent with the WATCH, so that nothing happens
/// in between.
fn touched(watcher: &mut Client, before: &str, touch: impl FnOnce()) -> bool {
    let replies = watcher.pipeline(&[before, "WATCH q"]);
    assert_eq!(replies[0].err_code(), "", "{replies:?}");
    touch();
    watcher.expect_ok("MULTI");
    watcher.line("PING");
    watcher.line("EXEC").is_null()
}

fn changes_touch_watched_keys(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut watcher = server.client();
    let mut watched = |touch: &mut dyn FnMut()| touched(&mut watcher, "PING", touch);
    assert!(watched(&mut || submit(&mut c, "q a p")));
    assert!(watched(&mut || drop(c.line("MODQ.UPDATE q a PRIORITY 1"))));
    assert!(!watched(&mut || {
        assert_eq!(c.line("MODQ.SUBMIT q a p"), simple("EXISTS"));
        assert_eq!(c.line("MODQ.CANCEL q x"), Value::Int(0));
    }));
    assert!(watched(&mut || drop(claim(&mut c, "q m"))));
    let lock = claim(&mut c, "q m");
    assert!(!watched(&mut || {
        assert_eq!(claim(&mut c, "q m"), lock, "only what is held already");
        assert!(c.line("MODQ.CLAIM q n").is_null());
        assert!(c.line("MODQ.UPDATE q a REV 9").is_null());
        assert_err!(c.line("MODQ.RESOLVE q a 1"), "STALE");
        c.line("MODQ.HELD q m");
    }));
    assert!(watched(&mut || {
        cmd!(c, "MODQ.RELEASE", "q", "a", lock.token);
    }));
    // The clock's doing counts as a change too.
    assert!(touched(&mut watcher, "MODQ.CLAIM q m LOCK 100", || {
        wait_until("the lock is over", PATIENCE, || {
            len(&mut c, "q LOCKED") == 0
        });
    }));
}

fn changes_are_told_to_clients_that_track(kind: Kind) {
    let (server, mut c) = desk(kind);
    submit(&mut c, "q a p");
    let mut tracking = server.client().hello3();
    tracking.expect_ok("CLIENT TRACKING ON");
    assert_eq!(len(&mut tracking, "q"), 1);
    submit(&mut c, "q b p");
    let invalidated = Value::Push(vec!["invalidate".into(), arr!["q"]]);
    assert_eq!(tracking.push(), invalidated);
}

/// As keyspace events, in class d.
fn changes_are_announced(kind: Kind) {
    let (server, mut c) = desk(kind);
    c.expect_ok("CONFIG SET notify-keyspace-events Ed");
    let mut listener = server.client().hello3();
    listener.send(&["PSUBSCRIBE", "__keyevent@0__:*"]);
    listener.push();
    let mut heard = |event: &str| {
        let push = listener.push();
        let channel = format!("__keyevent@0__:{event}");
        assert_eq!(push.items()[2..], [channel.into(), "e".into()]);
    };
    submit(&mut c, "e i p");
    heard("modq.submit");
    let lock = claim(&mut c, "e m");
    cmd!(c, "MODQ.RELEASE", "e", "i", lock.token);
    heard("modq.release");
    claim(&mut c, "e m LOCK 1");
    heard("modq.expire");
    let lock = claim(&mut c, "e m");
    c.line("MODQ.SUBMIT e i p");
    assert!(c.line("MODQ.CLAIM e n").is_null());
    cmd!(c, "MODQ.RESOLVE", "e", "i", lock.token);
    heard("modq.resolve");
    submit(&mut c, "e i p");
    heard("modq.submit");
    for _ in 0..19 {
        claim(&mut c, "e m LOCK 1");
        heard("modq.expire");
    }
    claim(&mut c, "e m LOCK 1");
    heard("modq.dead");
}

/// Whatever braces a key has, its channel is of the key's slot, so that SSUBSCRIBE works where the key is.
fn channels_are_in_the_slot_of_the_key(kind: Kind) {
    let cluster = Cluster::start(2, kind);
    let smallest = |key: &str| {
        let slot = cluster.slot(key);
        let mut c = cluster.nodes[0].client();
        let mut numbers = (0..).step_by(1000).flat_map(|from: u32| {
            let lines: Vec<String> = (from..from + 1000)
                .map(|n| format!("CLUSTER KEYSLOT {n}"))
                .collect();
            let slots = c.pipeline(&lines);
            (from..).zip(slots).collect::<Vec<_>>()
        });
        let found = numbers.find(|(_, of)| of.int() == slot);
        found.expect("every slot has one").0
    };
    let plain = |channel: &str| channel.to_owned();
    for (key, channel) in [
        ("q", plain("modq:{q}:m")),
        ("a{t}b}", plain("modq:a{t}b}:m")),
        ("a{b", plain("modq:{a{b}:m")),
        ("a}b", format!("modq:{{{}}}:a}}b:m", smallest("a}b"))),
        ("{}x", format!("modq:{{{}}}:{{}}x:m", smallest("{}x"))),
        ("}{", format!("modq:{{{}}}:}}{{:m", smallest("}{"))),
        ("", format!("modq:{{{}}}::m", smallest(""))),
    ] {
        assert_eq!(cluster.slot(&channel), cluster.slot(key), "{channel}");
        let (mut c, mut ear) = (cluster.client_for(key), cluster.client_for(key));
        ear.cmd(&["SSUBSCRIBE", &channel]);
        assert_eq!(cmd!(c, "MODQ.JOIN", key, "m"), simple("WAITING"));
        assert_eq!(cmd!(c, "MODQ.SUBMIT", key, "i", "p"), simple("ASSIGNED"));
        assert_eq!(ear.read(), arr!["smessage", channel, "i"]);
        // A blocked call is redirected with its slot, so it waits under a name of that slot.
        let mut waits = cluster.client_for(key);
        waits.send(&["MODQ.CLAIM", key, "n", "BLOCK", "0"]);
        wait_until("it waits", PATIENCE, || {
            !cmd!(c, "MODQ.WAITERS", key).items().is_empty()
        });
        assert_eq!(cmd!(c, "MODQ.SUBMIT", key, "j", "p"), simple("ASSIGNED"));
        assert_eq!(waits.reply()[0][0], bulk("j"));
    }
}

matrix!(
    channels_are_in_the_slot_of_the_key,
    changes_touch_watched_keys,
    changes_are_told_to_clients_that_track,
    changes_are_announced,
);
