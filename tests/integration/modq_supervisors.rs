//! What supervisors say: ASSIGN, MOVE, PAUSE, REVIVE, CONFIGURE, the overviews, and what is announced.

use modq_testkit::queue::*;
use modq_testkit::*;

fn assign_locks_for_a_named_person(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q a p TAGS 1 t");
    submit(&mut c, "q b p EXCLUDE 1 m");
    assert_eq!(
        c.line("MODQ.SUBMIT q late p DELAY 100000"),
        simple("DELAYED")
    );
    c.expect_ok("MODQ.CONFIGURE q CAPACITY 1");
    c.expect_ok("MODQ.PAUSE q");
    let before = now_ms();
    let token = c.line("MODQ.ASSIGN q a m LOCK 50000").int();
    let item = c.line("MODQ.GET q a");
    assert_eq!(
        (item.field("token").int(), item.field("moderator")),
        (token, bulk("m"))
    );
    assert!((before + 50_000..=now_ms() + 50_000).contains(&item.field("deadline").int()));
    let late = c.line("MODQ.ASSIGN q late m").int();
    assert!(late > token, "capacity and delay aside");
    assert_eq!(state(&mut c, "q", "late"), "locked");
    unchanged(&mut c, "q", |c| {
        assert_err!(c.line("MODQ.ASSIGN q a other"), "STALE");
        assert_err!(c.line("MODQ.ASSIGN q a m"), "STALE");
        assert_err!(c.line("MODQ.ASSIGN q b m"), "EXCLUDED");
        assert_err!(c.line("MODQ.ASSIGN q none m"), "NOITEM");
        assert_err!(c.line("MODQ.ASSIGN none none m"), "NOITEM");
        assert_err!(c.line("MODQ.ASSIGN q b x LOCK 0"), "ERR", "LOCK");
        assert_err!(c.line("MODQ.ASSIGN q b x NEW"), "ERR");
    });
    assert_eq!(
        ids(&c.line("MODQ.CLAIM q m COUNT 9")),
        "a late",
        "held is answered when paused"
    );
    assert_eq!(cmd!(c, "MODQ.RESOLVE", "q", "a", token), ok());
    // A dead one.
    c.expect_ok("MODQ.UNPAUSE q");
    c.expect_ok("MODQ.CONFIGURE q MAXEXPIRIES 1");
    claim(&mut c, "q x LOCK 1");
    wait_until("b is dead", PATIENCE, || len(&mut c, "q DEAD") == 1);
    c.line("MODQ.ASSIGN q b x");
    assert_eq!(counts(&mut c, "q"), [0, 2, 0, 0]);
}

/// Submits the item `i`, with all it can have, and has m hold it.
fn held_item(c: &mut Client) -> Claimed {
    c.line("MODQ.SUBMIT q i pay PRIORITY 4 BOOST 77 TAGS 2 x y EXCLUDE 1 eve");
    c.line("MODQ.SUBMIT q i pay ONDUP BUMP");
    claim(c, "q m TAGS 2 x y")
}

fn moves_that_are_refused_change_nothing(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let held = held_item(&mut c);
    c.expect_ok("MODQ.CONFIGURE full MAXLEN 1");
    submit(&mut c, "full other p");
    submit(&mut c, "has i p");
    c.expect_ok("SET s 1");
    let stale = held.token - 1;
    let refused = [
        ("MODQ.MOVE q r i".to_owned(), "STALE"),
        (format!("MODQ.MOVE q r i TOKEN {stale}"), "STALE"),
        (format!("MODQ.MOVE q q i TOKEN {}", held.token), "ERR"),
        (format!("MODQ.MOVE q full i TOKEN {}", held.token), "FULL"),
        (format!("MODQ.MOVE q has i TOKEN {}", held.token), "EXISTS"),
        (format!("MODQ.MOVE q s i TOKEN {}", held.token), "WRONGTYPE"),
        (format!("MODQ.MOVE s q i TOKEN {}", held.token), "WRONGTYPE"),
        ("MODQ.MOVE q r none".to_owned(), "NOITEM"),
        ("MODQ.MOVE none r i".to_owned(), "NOITEM"),
        ("MODQ.MOVE has r i TOKEN 5".to_owned(), "STALE"),
    ];
    for (line, code) in refused {
        let (q, full, has) = (
            digest(&mut c, "q"),
            digest(&mut c, "full"),
            digest(&mut c, "has"),
        );
        let reply = unchanged(&mut c, "q", |c| c.line(&line));
        assert_eq!(reply.err_code(), code, "{line}: {reply:?}");
        assert_eq!(digest(&mut c, "q"), q);
        assert_eq!((digest(&mut c, "full"), digest(&mut c, "has")), (full, has));
        assert_eq!(c.line("EXISTS r"), Value::Int(0));
    }
}

fn move_keeps_what_it_should(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let held = held_item(&mut c);
    let old = c.line("MODQ.GET q i");
    assert_eq!(
        cmd!(c, "MODQ.MOVE", "q", "r", "i", "TOKEN", held.token),
        ok()
    );
    assert!(c.line("MODQ.GET q i").is_null());
    let new = c.line("MODQ.GET r i");
    for kept in [
        "payload",
        "boost",
        "submitted",
        "tags",
        "excluded",
        "reports",
        "deliveries",
        "priority",
    ] {
        assert_eq!(new.field(kept), old.field(kept), "{kept}");
    }
    assert_eq!(new.field("state"), bulk("ready"));
    assert_eq!(new.field("rev").int(), old.field("rev").int() + 1);
    assert_eq!(new.field("expiries"), Value::Int(0));
    let got = claim(&mut c, "r z TAGS 2 x y");
    assert!(
        got.token > held.token,
        "the destination's tokens go on from the source's"
    );
    // A delayed one keeps its due time, and a new priority is taken.
    c.line("MODQ.SUBMIT q d p DELAY 100000");
    let due = field(&mut c, "q", "d", "due");
    c.expect_ok("MODQ.MOVE q r d PRIORITY 9");
    assert_eq!(
        (field(&mut c, "r", "d", "due"), state(&mut c, "r", "d")),
        (due, "delayed".into())
    );
    assert_eq!(field(&mut c, "r", "d", "priority"), Value::Int(9));
    // A dead one arrives ready; one who waits is served.
    c.expect_ok("MODQ.CONFIGURE q MAXEXPIRIES 1");
    submit(&mut c, "q dead p");
    claim(&mut c, "q m LOCK 1");
    wait_until("it is dead", PATIENCE, || len(&mut c, "q DEAD") == 1);
    c.line("MODQ.JOIN t j");
    c.expect_ok("MODQ.MOVE q t dead");
    assert_eq!(field(&mut c, "t", "dead", "moderator"), bulk("j"));
    assert_eq!(field(&mut c, "t", "dead", "expiries"), Value::Int(0));
}

fn pauses_and_revivals(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let paused = |c: &mut Client| c.line("MODQ.STATS q").field("paused").text();
    c.expect_ok("MODQ.PAUSE q IN");
    assert_eq!(paused(&mut c), "in");
    unchanged(&mut c, "q", |c| {
        assert_err!(c.line("MODQ.SUBMIT q i p"), "PAUSED", "")
    });
    c.expect_ok("MODQ.PAUSE q OUT");
    assert_eq!(paused(&mut c), "all");
    c.expect_ok("MODQ.UNPAUSE q IN");
    assert_eq!(paused(&mut c), "out");
    for i in 0..3 {
        submit(&mut c, &format!("q i{i} p"));
    }
    assert!(c.line("MODQ.CLAIM q m").is_null());
    assert_eq!(c.line("MODQ.JOIN q j1"), simple("WAITING"));
    assert_eq!(c.line("MODQ.JOIN q j2"), simple("WAITING"));
    assert_eq!(c.line("MODQ.WHY q i0 j1"), arr!["paused"]);
    c.expect_ok("MODQ.UNPAUSE q");
    assert_eq!(paused(&mut c), "none");
    assert_eq!(field(&mut c, "q", "i0", "moderator"), bulk("j1"));
    assert_eq!(field(&mut c, "q", "i1", "moderator"), bulk("j2"));
    assert_err!(c.line("MODQ.PAUSE q BOTH"), "ERR");
    assert_err!(c.line("MODQ.UNPAUSE q IN OUT"), "ERR");
    // Three dead ones.
    c.expect_ok("FLUSHALL");
    c.expect_ok("MODQ.CONFIGURE q MAXEXPIRIES 1");
    for i in 0..5 {
        submit(&mut c, &format!("q i{i} p"));
    }
    c.line("MODQ.CLAIM q m COUNT 5 LOCK 1");
    wait_until("all are dead", PATIENCE, || len(&mut c, "q DEAD") == 5);
    assert!(c.line("MODQ.CLAIM q m").is_null());
    assert_eq!(c.line("MODQ.STATS q").field("died"), Value::Int(5));
    assert_eq!(c.line("MODQ.REVIVE q i3 none i3"), Value::Int(1));
    assert_eq!(field(&mut c, "q", "i3", "expiries"), Value::Int(0));
    assert_eq!(c.line("MODQ.REVIVE q ALL COUNT 2"), Value::Int(2));
    assert_eq!(c.line("MODQ.REVIVE q ALL"), Value::Int(2));
    unchanged(&mut c, "q", |c| {
        assert_eq!(c.line("MODQ.REVIVE q ALL"), Value::Int(0))
    });
    assert_eq!(c.line("MODQ.REVIVE none ALL"), Value::Int(0));
    // As many names as ALL revives at most.
    assert_eq!(
        c.line(&format!("MODQ.REVIVE q{}", " i".repeat(1000))),
        Value::Int(0)
    );
    assert_err!(
        c.line(&format!("MODQ.REVIVE q{}", " i".repeat(1001))),
        "ERR"
    );
    assert_eq!(
        c.line("MODQ.PEEK q COUNT 9"),
        arr!["i0", "i1", "i2", "i3", "i4"]
    );
}

/// CONFIG answers what CONFIGURE without options does, wherever one may read.
fn config_only_reads(kind: Kind) {
    let (server, mut c) = desk(kind);
    let replica = Server::builder(kind).replica_of(&server).start();
    assert_eq!(c.line("MODQ.CONFIG q"), c.line("MODQ.CONFIGURE q"));
    assert_eq!(c.line("EXISTS q"), Value::Int(0));
    c.expect_ok("MODQ.CONFIGURE q LOCK 5 LATE ACCEPT EVENTS log");
    let set = c.line("MODQ.CONFIGURE q");
    unchanged(&mut c, "q", |c| {
        assert_eq!(c.line("MODQ.CONFIG q"), set);
        assert_err!(c.line("MODQ.CONFIG q LOCK 6"), "ERR", "number of arguments");
    });
    wait_replica_synced(&server, &replica);
    let mut r = replica.client();
    assert_eq!(r.line("MODQ.CONFIG q"), set);
    assert_err!(r.line("MODQ.CONFIGURE q"), "READONLY");
    let script = "return redis.call('MODQ.CONFIG', KEYS[1])";
    assert_eq!(cmd!(c, "EVAL_RO", script, 1, "q"), set);
    c.expect_ok("CONFIG SET maxmemory 1");
    assert_eq!(c.line("MODQ.CONFIG q"), set);
    assert_err!(c.line("MODQ.CONFIGURE q LOCK 6"), "OOM");
    c.expect_ok("CONFIG SET maxmemory 0");
    c.expect_ok("SET s x");
    assert_err!(c.line("MODQ.CONFIG s"), "WRONGTYPE");
}

fn configure_sets_and_shows(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut three = server.client().hello3();
    let defaults = map!["lock" => 300_000, "maxexpiries" => 20, "maxlen" => 0, "capacity" => 0,
        "late" => "reject", "aging" => 0, "events" => "", "eventsmaxlen" => 10_000,
        "quorum" => arr![1, 1], "splittag" => "", "retain" => 0, "retainmax" => 100_000];
    assert_eq!(three.line("MODQ.CONFIGURE q"), defaults);
    assert_eq!(c.line("EXISTS q"), Value::Int(0));
    c.expect_ok(
        "MODQ.CONFIGURE q lock 5 MAXEXPIRIES 0 MAXLEN 7 CAPACITY 2 LATE accept AGING 60000",
    );
    let set = c.line("MODQ.CONFIGURE q");
    for (name, n) in [
        ("lock", 5),
        ("maxexpiries", 0),
        ("maxlen", 7),
        ("capacity", 2),
        ("aging", 60_000),
    ] {
        assert_eq!(set.field(name), Value::Int(n), "{name}");
    }
    assert_eq!(set.field("late"), bulk("accept"));
    submit(&mut c, "q i p");
    unchanged(&mut c, "q", |c| {
        for line in [
            "AGING 5",
            "AGING 5 LOCK 9",
            "LOCK 0",
            "LATE MAYBE",
            "LOCK 5 LOCK 5",
            "AGING 2147483649",
            "MAXLEN -1",
            "QUORUM 2 1",
            "QUORUM 0 1",
            "QUORUM 1 16",
            "QUORUM 1",
            "RETAIN -1",
            "RETAIN 1099511627777",
            "RETAINMAX 1099511627777",
            "RETAINMAX x",
        ] {
            assert_err!(c.line(&format!("MODQ.CONFIGURE q {line}")), "ERR");
        }
    });
}

fn with_aging_a_priority_is_a_head_start(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q AGING 1000");
    // At once, as what counts is when they were submitted.
    c.pipeline(&[
        "MODQ.SUBMIT q old p BOOST 5000",
        "MODQ.SUBMIT q head p PRIORITY 3",
        "MODQ.SUBMIT q more p PRIORITY 9",
    ]);
    assert_eq!(c.line("MODQ.PEEK q COUNT 3"), arr!["more", "old", "head"]);
}

fn maxlen_counts_items_in_every_state(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q MAXLEN 3");
    submit(&mut c, "q old p");
    submit(&mut c, "q more p");
    assert_eq!(
        c.line("MODQ.SUBMIT q late p DELAY 100000"),
        simple("DELAYED")
    );
    claim(&mut c, "q m");
    unchanged(&mut c, "q", |c| {
        assert_err!(c.line("MODQ.SUBMIT q x p"), "FULL", "")
    });
    assert_eq!(c.line("MODQ.SUBMIT q old p"), simple("EXISTS"));
}

fn late_decisions_count_where_configured(kind: Kind) {
    let (_server, mut c) = desk(kind);
    for (item, dead) in [("late1", "1"), ("late2", "0")] {
        c.expect_ok("FLUSHALL");
        c.expect_ok(&format!("MODQ.CONFIGURE q LATE ACCEPT MAXEXPIRIES {dead}"));
        submit(&mut c, &format!("q {item} p"));
        let got = claim(&mut c, "q m LOCK 1");
        wait_until("it ran out", PATIENCE, || len(&mut c, "q LOCKED") == 0);
        assert_err!(cmd!(c, "MODQ.EXTEND", "q", item, got.token, 5), "STALE");
        assert_err!(cmd!(c, "MODQ.RELEASE", "q", item, got.token), "STALE");
        assert_err!(
            cmd!(c, "MODQ.MOVE", "q", "r", item, "TOKEN", got.token),
            "STALE",
            ""
        );
        assert_eq!(cmd!(c, "MODQ.RESOLVE", "q", item, got.token), ok());
    }
    submit(&mut c, "q again p");
    let got = claim(&mut c, "q m LOCK 1");
    wait_until("it ran out", PATIENCE, || len(&mut c, "q LOCKED") == 0);
    let next = claim(&mut c, "q n");
    assert_err!(
        cmd!(c, "MODQ.RESOLVE", "q", "again", got.token),
        "STALE",
        ""
    );
    assert_eq!(cmd!(c, "MODQ.RELEASE", "q", "again", next.token), ok());
    assert_err!(
        cmd!(c, "MODQ.RESOLVE", "q", "again", next.token),
        "STALE",
        ""
    );
}

fn lists_show_who_is_there_throughout(kind: Kind) {
    let (_server, mut c) = desk(kind);
    for i in 0..250 {
        submit(&mut c, &format!("q i{i:03} p PRIORITY {}", i % 2));
    }
    // The cursor survives changes: who is there throughout is seen.
    let mut cursor = "0".to_owned();
    let mut seen = Vec::new();
    for turn in 0.. {
        let page = c.line(&format!("MODQ.LIST q READY CURSOR {cursor} COUNT 20"));
        seen.extend(page[1].items().iter().map(|row| row[0].text()));
        cursor = page[0].text();
        if cursor == "0" {
            break;
        }
        c.line(&format!("MODQ.CANCEL q i{:03}", 249 - turn));
        submit(&mut c, &format!("q new{turn} p PRIORITY 1"));
        c.line(&format!("MODQ.CLAIM q m{turn}"));
        assert!(turn < 100);
    }
    let left: Vec<String> = c.line("MODQ.LIST q READY COUNT 1000")[1]
        .items()
        .iter()
        .map(|row| row[0].text())
        .filter(|id| id.starts_with('i'))
        .collect();
    assert!(left.len() > 200 && left.iter().all(|id| seen.contains(id)));
    assert_eq!(
        c.line("MODQ.LIST none DEAD"),
        arr!["0", Value::Array(vec![])]
    );
    let locked = c.line("MODQ.LIST q LOCKED COUNT 1")[1][0].clone();
    let item = c.line(&format!("MODQ.GET q {}", locked[0].text()));
    assert_eq!(
        (locked[3].clone(), locked[4].clone()),
        (item.field("moderator"), item.field("deadline"))
    );
}

/// The items a, with a priority of -2, and b are ready and have tags, c is held by m, d was cancelled; j has joined.
fn small_queue(c: &mut Client) -> Claimed {
    submit(c, "q a p TAGS 1 x PRIORITY -2");
    submit(c, "q b p TAGS 2 x y");
    submit(c, "q c p");
    c.line("MODQ.SUBMIT q d p DELAY 100000");
    let got = claim(c, "q m");
    assert_eq!(got.id(), "c");
    c.line("MODQ.JOIN q j TAGS 1 none");
    c.line("MODQ.CANCEL q d");
    got
}

fn overviews_tell_how_things_stand(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let got = small_queue(&mut c);
    let stats = c.line("MODQ.STATS q");
    for (name, n) in [
        ("ready", 2),
        ("locked", 1),
        ("delayed", 0),
        ("dead", 0),
        ("waiting", 1),
        ("deferred", 0),
        ("submitted", 4),
        ("resolved", 0),
        ("cancelled", 1),
        ("released", 0),
        ("expired", 0),
        ("died", 0),
    ] {
        assert_eq!(stats.field(name), Value::Int(n), "{name}");
    }
    let mut tags: Vec<String> = stats
        .field("by_tag")
        .pairs()
        .iter()
        .map(|p| format!("{p:?}"))
        .collect();
    tags.sort();
    assert_eq!(tags, ["(\"x\", 2)", "(\"y\", 1)"]);
    let priorities: Vec<String> = stats
        .field("by_priority")
        .pairs()
        .iter()
        .map(|p| p.0.text())
        .collect();
    assert_eq!(priorities, ["0", "-2"]);
    assert!(stats.field("oldest_ready_ms").int() <= stats.field("oldest_item_ms").int());
    cmd!(c, "MODQ.RESOLVE", "q", "c", got.token);
    assert_eq!(c.line("MODQ.STATS q").field("resolved"), Value::Int(1));
}

fn why_and_peek_tell_who_would_get_what(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let got = small_queue(&mut c);
    cmd!(c, "MODQ.RESOLVE", "q", "c", got.token);
    assert_eq!(c.line("MODQ.WHY q b m TAGS 2 y x"), Value::Array(vec![]));
    assert_eq!(c.line("MODQ.WHY q b m TAGS 1 y"), arr!["tags"]);
    assert_eq!(c.line("MODQ.WHY q a m TAGS 2 y x"), arr!["behind"]);
    assert!(c.line("MODQ.WHY q none m").is_null());
    c.line("MODQ.UPDATE q b EXCLUDE 1 m");
    assert_eq!(c.line("MODQ.WHY q b m TAGS 2 y x"), arr!["excluded"]);
    claim(&mut c, "q z TAGS 2 x y");
    assert_eq!(
        c.line("MODQ.WHY q b z TAGS 2 x y").items()[0],
        bulk("state")
    );
    c.expect_ok("MODQ.CONFIGURE q CAPACITY 1");
    assert_eq!(c.line("MODQ.WHY q a z TAGS 1 x"), arr!["capacity"]);
    assert_eq!(c.line("MODQ.PEEK q FOR y COUNT 4"), Value::Array(vec![]));
    assert_eq!(c.line("MODQ.PEEK q FOR y TAGS 1 x"), arr!["a"]);
    assert_eq!(c.line("MODQ.POSITION q a"), Value::Int(1));
    assert!(c.line("MODQ.POSITION q b").is_null());
}

fn matches_and_assignments_are_announced(kind: Kind) {
    let server = Server::builder(kind)
        .config("notify-keyspace-events KEd")
        .start();
    let mut c = server.client();
    let mut ear = server.client();
    ear.line("PSUBSCRIBE modq:*");
    let mut events = server.client();
    events.line("SUBSCRIBE __keyevent@0__:modq.assign");
    let mut heard = |channel: &str, item: &str| {
        assert_eq!(ear.read(), arr!["pmessage", "modq:*", channel, item]);
    };
    c.line("MODQ.JOIN q j");
    submit_assigned(&mut c, "q a p");
    heard("modq:{q}:j", "a");
    assert_eq!(events.read()[2], bulk("q"));
    submit(&mut c, "q b p");
    c.line("MODQ.ASSIGN q b other");
    heard("modq:{q}:other", "b");
    assert_eq!(events.read()[2], bulk("q"));
    // A hash tag is kept, braces that are none are not one, and what no braces can hold has a number in them.
    for (key, channel) in [
        ("x{t}y", "modq:x{t}y:j"),
        ("x{y", "modq:{x{y}:j"),
        ("x{}y", "modq:{47382}:x{}y:j"),
    ] {
        c.line(&format!("MODQ.JOIN {key} j"));
        submit_assigned(&mut c, &format!("{key} i p"));
        heard(channel, "i");
        assert_eq!(events.read()[2], bulk(key));
    }
    // A plain CLAIM is no match.
    submit(&mut c, "q c p");
    claim(&mut c, "q third");
    c.line("MODQ.JOIN q j9");
    submit_assigned(&mut c, "q d p");
    heard("modq:{q}:j9", "d");
}

fn a_cluster_keeps_to_slots(kind: Kind) {
    let cluster = Cluster::start(2, kind);
    let far = (0..)
        .map(|i| format!("far{i}"))
        .find(|k| cluster.owner(k).port() != cluster.owner("q").port());
    let near = (0..)
        .map(|i| format!("near{i}"))
        .find(|k| cluster.owner(k).port() == cluster.owner("q").port());
    let mut c = cluster.client_for("q");
    submit(&mut c, "q i p");
    for key in [far.unwrap(), near.unwrap()] {
        assert_err!(c.line(&format!("MODQ.MOVE q {key} i")), "CROSSSLOT");
        assert_err!(c.line(&format!("MODQ.MCLAIM 2 q {key} m")), "CROSSSLOT");
    }
    let keys = c.line("COMMAND GETKEYS MODQ.MCLAIM 2 q r m");
    assert_eq!(keys, arr!["q", "r"]);
    assert_err!(c.line("MODQ.MCLAIM 9 q r m"), "ERR");
    let limits = "MAX LIMIT 5 1000 LIMIT 5 1000";
    assert_err!(
        c.line(&format!("RATELIMIT.MCHECK 2 q {limits}").replace("MAX", "near0")),
        "CROSSSLOT",
        ""
    );
    c.expect_ok("MODQ.MOVE q {q}2 i");
    let mut ear = cluster.client_for("q");
    ear.line("SSUBSCRIBE modq:{q}:j");
    c.line("MODQ.JOIN q j");
    submit_assigned(&mut c, "q k p");
    assert_eq!(ear.read(), arr!["smessage", "modq:{q}:j", "k"]);
    let mut b = blocked(cluster.owner("q"), "MODQ.MCLAIM 2 q {q}3 b BLOCK 0");
    submit_assigned(&mut c, "{q}3 l p");
    assert_eq!(ids(&b.reply()[1]), "l");
}

matrix!(
    assign_locks_for_a_named_person,
    moves_that_are_refused_change_nothing,
    move_keeps_what_it_should,
    pauses_and_revivals,
    configure_sets_and_shows,
    config_only_reads,
    with_aging_a_priority_is_a_head_start,
    maxlen_counts_items_in_every_state,
    late_decisions_count_where_configured,
    lists_show_who_is_there_throughout,
    overviews_tell_how_things_stand,
    why_and_peek_tell_who_would_get_what,
    matches_and_assignments_are_announced,
    a_cluster_keeps_to_slots,
);
