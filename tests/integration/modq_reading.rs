//! What only looks: GET, LEN, HELD.

use modq_testkit::queue::*;
use modq_testkit::*;

/// A queue `q` with an item in every state, named after it.
fn every_state(c: &mut Client) -> Claimed {
    submit(c, "q dead p");
    make_dead(c, "q", "dead");
    submit(c, "q locked p");
    let lock = claim(c, "q mo LOCK 600000");
    submit(c, "q ready p");
    assert_eq!(
        c.line("MODQ.SUBMIT q delayed p DELAY 600000"),
        simple("DELAYED")
    );
    lock
}

fn get_shows_every_state(kind: Kind) {
    let (_server, c) = desk(kind);
    let mut c = c.hello3();
    let lock = every_state(&mut c);
    let mut shown = |item: &str| {
        let reply = c.cmd(&["MODQ.GET", "q", item]);
        let names: Vec<String> = reply.pairs().iter().map(|(name, _)| name.text()).collect();
        assert_eq!(
            names.join(" "),
            "item state payload priority boost submitted due rev reports deliveries expiries \
             moderator token deadline tags excluded quorum votes contested group deciders"
        );
        assert_eq!(reply.field("item"), bulk(item));
        assert_eq!(reply.field("state"), bulk(item));
        let due = reply.field("due").int() - reply.field("submitted").int();
        let lock = ["moderator", "token", "deadline"].map(|name| reply.field(name));
        let counts = ["deliveries", "expiries"].map(|name| reply.field(name).int());
        (due >= 600_000, counts, lock)
    };
    let no_lock = [Value::Null, Value::Null, Value::Null];
    assert_eq!(shown("ready"), (false, [0, 0], no_lock.clone()));
    assert_eq!(shown("delayed"), (true, [0, 0], no_lock.clone()));
    assert_eq!(shown("dead"), (false, [20, 20], no_lock));
    let locked = [bulk("mo"), lock.token.into(), lock.deadline.into()];
    assert_eq!(shown("locked"), (false, [1, 0], locked));
    assert_eq!(c.line("MODQ.GET q none"), Value::Null);
}

fn len_counts_states(kind: Kind) {
    let (_server, mut c) = desk(kind);
    every_state(&mut c);
    submit(&mut c, "q ready2 p");
    assert_eq!(counts(&mut c, "q"), [2, 1, 1, 1]);
    assert_eq!(len(&mut c, "q"), 5);
    assert_eq!(c.line("modq.len q Ready"), Value::Int(2));
    assert_eq!(c.line("modq.len q delayed"), Value::Int(1));
}

fn held_lists_live_locks(kind: Kind) {
    let (server, mut c) = desk(kind);
    let fill: Vec<String> = (0..105).map(|i| format!("MODQ.SUBMIT q i{i} p")).collect();
    c.pipeline(&fill);
    let all = claims(&c.line("MODQ.CLAIM q m COUNT 105"));
    assert_eq!(all.len(), 105);
    assert_eq!(
        claims(&c.line("MODQ.HELD q m")),
        all[..100],
        "100 unless told"
    );
    assert_eq!(claims(&c.line("MODQ.HELD q m COUNT 1000")), all);
    assert_eq!(claims(&c.line("MODQ.HELD q m count 1")), all[..1]);
    assert_eq!(c.line("MODQ.HELD q nobody"), arr![]);
    assert_eq!(server.client().hello3().line("MODQ.HELD q nobody"), arr![]);
    cmd!(c, "MODQ.RESOLVE", "q", "i0", all[0].token);
    assert_eq!(claims(&c.line("MODQ.HELD q m COUNT 2")), all[1..3]);
    // As they are now, not as they were claimed.
    c.line("MODQ.UPDATE q i1 PAYLOAD new PRIORITY 4");
    let now = &claims(&c.line("MODQ.HELD q m COUNT 1"))[0];
    assert_eq!(
        (&now.payload[..], now.priority, now.rev),
        (&b"new"[..], 4, 2)
    );
}

fn reading_changes_nothing(kind: Kind) {
    let (_server, mut c) = desk(kind);
    every_state(&mut c);
    unchanged(&mut c, "q", |c| {
        for line in [
            "GET q ready",
            "GET q none",
            "LEN q",
            "LEN q DEAD",
            "HELD q mo",
            "HELD q none COUNT 5",
        ] {
            let reply = c.line(&format!("MODQ.{line}"));
            assert_eq!(reply.err_code(), "", "{line}");
        }
        let refused = [
            ("GET q", "number of arguments"),
            ("GET q a b", "number of arguments"),
            ("LEN", "number of arguments"),
            ("LEN q LOST", ""),
            ("LEN q READY READY", ""),
            ("LEN q READY LOCKED", ""),
            ("HELD q", "number of arguments"),
            ("HELD q m COUNT", "count"),
            ("HELD q m COUNT 0", "count"),
            ("HELD q m COUNT 1001", "count"),
            ("HELD q m COUNT one", "count"),
            ("HELD q m COUNT 1 COUNT 1", "count"),
            ("HELD q m n", ""),
        ];
        for (line, part) in refused {
            let reply = c.line(&format!("MODQ.{line}"));
            assert_eq!(reply.err_code(), "ERR", "{line}: {reply:?}");
            assert!(
                format!("{reply:?}").to_lowercase().contains(part),
                "{line}: {reply:?}"
            );
        }
        for id in [&b""[..], &[b'm'; 513]] {
            assert_err!(cmd!(c, "MODQ.GET", "q", id), "ERR", "item");
            assert_err!(cmd!(c, "MODQ.HELD", "q", id), "ERR", "moderator");
        }
    });
    // In a read-only script too.
    let reply = cmd!(
        c,
        "EVAL_RO",
        "return redis.call('MODQ.LEN', KEYS[1])",
        1,
        "q"
    );
    assert_eq!(reply, Value::Int(4));
    let script = "return redis.call('MODQ.CLAIM', KEYS[1], 'm')";
    assert_err!(cmd!(c, "EVAL_RO", script, 1, "q"), "ERR", "read-only");
}

/// One item is judged by the clock, counts show what was applied: seen in the moment before the timer fires.
fn a_lock_past_its_deadline_is_not_reported(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q i p");
    let seen = c.pipeline(&[
        "MODQ.CLAIM q m LOCK 40",
        "MODQ.SUBMIT q late p DELAY 40 PRIORITY -1",
        "DEBUG SLEEP 0.06",
        "MODQ.GET q i",
        "MODQ.HELD q m",
        "MODQ.GET q late",
        "MODQ.LEN q LOCKED",
        "MODQ.LEN q DELAYED",
    ]);
    let item = &seen[3];
    assert_eq!(item.field("state"), bulk("ready"));
    assert_eq!(item.field("expiries"), Value::Int(1));
    for name in ["moderator", "token", "deadline"] {
        assert!(item.field(name).is_null(), "{name} in {item:?}");
    }
    assert_eq!(seen[4], arr![]);
    assert_eq!(seen[5].field("state"), bulk("ready"));
    assert_eq!(seen[6..8], [Value::Int(1), Value::Int(1)]);
    wait_until("the timer has caught up", PATIENCE, || {
        counts(&mut c, "q") == [2, 0, 0, 0]
    });
    assert_eq!(c.line("MODQ.GET q i"), *item, "as foreseen");
}

/// Nor does its token decide anything any more, or its moderator hold it.
fn a_lock_past_its_deadline_decides_nothing(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q i p");
    submit(&mut c, "q late p PRIORITY -1");
    let token = claim(&mut c, "q m").token;
    assert_eq!(cmd!(c, "MODQ.RELEASE", "q", "i", token), ok());
    let seen = c.pipeline(&[
        "MODQ.CLAIM q m LOCK 40".to_owned(),
        "MODQ.CLAIM q m LOCK 40 NEW".to_owned(),
        "DEBUG SLEEP 0.06".to_owned(),
        format!("MODQ.RESOLVE q i {token}"),
        "MODQ.CLAIM q m LOCK 600000".to_owned(),
        "MODQ.GET q i".to_owned(),
    ]);
    let lock = &claims(&seen[0])[0];
    assert_err!(&seen[3], "STALE");
    let again = &claims(&seen[4])[0];
    assert_eq!(again.id(), "i", "its place is its own");
    assert!(
        again.token > lock.token && again.deliveries == 3,
        "{again:?}"
    );
    assert_eq!(seen[5].field("expiries"), Value::Int(1));
    let late = c.pipeline(&[
        "MODQ.CLAIM q n LOCK 3",
        "DEBUG SLEEP 0.02",
        "MODQ.CLAIM q n NEW COUNT 5 LOCK 3",
        "DEBUG SLEEP 0.02",
        "MODQ.CANCEL q late REV 1",
        "MODQ.LEN q",
    ]);
    assert_eq!(ids(&late[2]), "late");
    assert_eq!(late[4..], [Value::Int(1), Value::Int(1)]);
    // EXTEND and RELEASE come too late likewise.
    for what in [
        "EXTEND q i TOKEN 5000",
        "RELEASE q i TOKEN",
        "RESOLVE q i TOKEN REV 1",
    ] {
        let token = claim(&mut c, "q m").token;
        let seen = c.pipeline(&[
            format!("MODQ.EXTEND q i {token} 3"),
            "DEBUG SLEEP 0.02".to_owned(),
            format!("MODQ.{}", what.replace("TOKEN", &token.to_string())),
        ]);
        assert_err!(&seen[2], "STALE");
        assert_eq!(state(&mut c, "q", "i"), "ready");
    }
}

fn brief_stats_leave_out_the_maps(kind: Kind) {
    let (server, mut c) = desk(kind);
    every_state(&mut c);
    submit(&mut c, "q tagged p TAGS 1 t PRIORITY 3");
    for mut c in [c, server.client().hello3()] {
        for key in ["q", "missing"] {
            // What depends on the clock is there, whatever it says.
            let names = |stats: &Value, varies: &[&str]| -> Vec<(String, String)> {
                let pairs = stats.pairs().into_iter();
                let pairs = pairs.map(|(name, value)| (name.text(), format!("{value:?}")));
                let known = |(name, value): (String, String)| match varies.contains(&&*name) {
                    true => (name, String::new()),
                    false => (name, value),
                };
                pairs.map(known).collect()
            };
            let ages = ["oldest_ready_ms", "oldest_item_ms"];
            let full = names(&c.line(&format!("MODQ.STATS {key}")), &ages);
            let brief = names(&c.line(&format!("MODQ.STATS {key} brief")), &ages);
            let maps = ["by_tag", "by_priority"];
            let kept = full.iter().filter(|(name, _)| !maps.contains(&&**name));
            assert_eq!(brief, kept.cloned().collect::<Vec<_>>());
            assert_eq!(full.len(), brief.len() + 2);
        }
        assert_err!(c.line("MODQ.STATS q BRIEF BRIEF"), "ERR", "BRIEF");
        assert_err!(c.line("MODQ.STATS q SHORT"), "ERR");
    }
}

matrix!(
    get_shows_every_state,
    len_counts_states,
    brief_stats_leave_out_the_maps,
    held_lists_live_locks,
    reading_changes_nothing,
    a_lock_past_its_deadline_is_not_reported,
    a_lock_past_its_deadline_decides_nothing,
);
