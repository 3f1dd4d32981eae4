//! What the server knows of the commands, settings and types; and what time may not do while it is paused.

use modq_testkit::queue::*;
use modq_testkit::*;

/// Command, whether it writes, may need memory, its arity, and a call with key `K`.
const COMMANDS: [(&str, bool, bool, i64, &str); 11] = [
    ("modq.submit", true, true, -4, "K i p TAGS 1 t"),
    ("modq.cancel", true, false, -3, "K i REV 1"),
    ("modq.update", true, true, -3, "K i PRIORITY 1"),
    ("modq.claim", true, false, -3, "K m NEW"),
    ("modq.resolve", true, false, -4, "K i 1 REV 1"),
    ("modq.release", true, false, -4, "K i 1 SKIP"),
    ("modq.extend", true, false, 5, "K i 1 5"),
    ("modq.config", false, false, 2, "K"),
    ("modq.get", false, false, 3, "K i"),
    ("modq.len", false, false, -2, "K DEAD"),
    ("modq.held", false, false, -3, "K m COUNT 5"),
];

fn words(list: &Value) -> Vec<String> {
    list.items().iter().map(Value::text).collect()
}

/// Every option of the contract, which is a token in the documentation.
const TOKENS: [(&str, &str); 8] = [
    (
        "modq.submit",
        "PRIORITY BOOST DELAY TAGS EXCLUDE ONDUP KEEP BUMP REPLACE ERROR",
    ),
    ("modq.cancel", "REV"),
    ("modq.update", "REV PRIORITY BOOST PAYLOAD TAGS EXCLUDE"),
    ("modq.claim", "COUNT LOCK BLOCK TAGS NEW"),
    ("modq.resolve", "REV DECISION"),
    ("modq.release", "SKIP DELAY"),
    ("modq.len", "READY LOCKED DELAYED DEAD"),
    ("modq.held", "COUNT"),
];

fn commands_are_described(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client().hello3();
    for (name, writes, grows, arity, _) in COMMANDS {
        let infos = c.cmd(&["COMMAND", "INFO", name]);
        let command = &infos[0];
        assert_eq!(command[0], bulk(name));
        assert_eq!(command[1], Value::Int(arity), "{name}");
        let flags = words(&command[2]);
        let has = |flag: &str| flags.iter().any(|f| f == flag);
        assert_eq!((has("write"), has("readonly")), (writes, !writes), "{name}");
        assert_eq!(has("denyoom"), grows, "{name}");
        assert!(
            has("module") && !has("movablekeys") && !has("noscript"),
            "{name}: {flags:?}"
        );
        let at = [3, 4, 5].map(|i| command[i].int());
        assert_eq!(at, [1, 1, 1], "{name}");
        // Key specs: one key, read, or read and written.
        let specs = command[8].items();
        assert_eq!(specs.len(), 1, "{name}");
        let spec: Vec<String> = words(&specs[0].field("flags"));
        let expected: &[&str] = if writes {
            &["RW", "access", "update"]
        } else {
            &["RO", "access"]
        };
        let mut sorted = spec.clone();
        sorted.sort_by_key(|flag| expected.iter().position(|e| e.eq_ignore_ascii_case(flag)));
        assert!(spec.len() == expected.len(), "{name}: {spec:?}");
        assert!(
            sorted
                .iter()
                .zip(expected)
                .all(|(a, b)| a.eq_ignore_ascii_case(b)),
            "{name}: {spec:?}"
        );
    }
}

fn keys_of_calls_are_found(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for (name, writes, .., call) in COMMANDS {
        let mut args = vec!["COMMAND", "GETKEYS", name];
        args.extend(call.split(' '));
        assert_eq!(c.cmd(&args), arr!["K"], "{name}");
        args[1] = "GETKEYSANDFLAGS";
        let keys = c.cmd(&args);
        assert_eq!(keys[0][0], bulk("K"));
        assert_eq!(
            words(&keys[0][1])[0],
            if writes { "RW" } else { "RO" },
            "{name}"
        );
    }
}

fn commands_are_documented(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client().hello3();
    for (name, _, _, arity, _) in COMMANDS {
        let docs = c.cmd(&["COMMAND", "DOCS", name]).field(name);
        for part in ["summary", "complexity", "since"] {
            assert!(docs.field(part).text().len() >= 3, "{part} of {name}");
        }
        let args = docs.field("arguments");
        assert_eq!(args[0].field("name"), bulk("key"));
        assert_eq!(args[0].field("type"), bulk("key"));
        assert_eq!(args[0].field("key_spec_index"), Value::Int(0));
        // A call that is as short as the arity allows has all arguments that are not optional.
        let needed = args.items().iter().filter(|arg| {
            !arg.pairs()
                .iter()
                .any(|(k, v)| k.bytes() == b"flags" && words(v).contains(&"optional".into()))
        });
        assert_eq!(needed.count() as i64 + 1, arity.abs(), "{name}");
        assert_eq!(
            arity < 0,
            args.items().len() as i64 + 1 > arity.abs(),
            "{name}"
        );
    }
    for (name, expected) in TOKENS {
        let docs = format!("{:?}", c.cmd(&["COMMAND", "DOCS", name]));
        for token in expected.split(' ') {
            assert!(docs.contains(&format!("\"{token}\"")), "{token} of {name}");
        }
    }
}

fn access_can_be_given_by_key(kind: Kind) {
    let server = Server::start(kind);
    let (mut c, mut user) = (server.client(), server.client());
    submit(&mut c, "q i p");
    submit(&mut c, "other i p");
    c.expect_ok(
        "ACL SETUSER mo on >pw %RW~q* %R~readable -@all +modq.claim +modq.len +modq.resolve",
    );
    user.expect_ok("AUTH mo pw");
    assert_eq!(claim(&mut user, "q m").id(), "i");
    assert_eq!(len(&mut user, "q"), 1);
    assert_eq!(len(&mut user, "readable"), 0);
    for line in [
        "MODQ.CLAIM other m",
        "MODQ.LEN other",
        "MODQ.CLAIM readable m",
        "MODQ.RESOLVE readable i 1",
        "MODQ.SUBMIT q x p",
        "MODQ.GET q i",
        "MODQ._Q q x",
        "MODQ._LOAD q queue 1 first x",
        "MODQ._STATUS",
    ] {
        assert_err!(user.line(line), "NOPERM");
    }
    // Nor do statuses come from anybody but the module.
    assert_err!(c.line("MODQ._STATUS"), "ERR", "internal");
    let script = "return redis.call('MODQ.CLAIM', KEYS[1], 'm')";
    c.expect_ok("ACL SETUSER mo +eval");
    assert_err!(cmd!(user, "EVAL", script, 1, "other"), "NOPERM");
    for (name, writes, ..) in COMMANDS {
        let line = format!("ACL DRYRUN mo {name} other i 1 5");
        assert_ne!(c.line(&line), ok(), "{name}");
        // By category too, where the server lets modules say.
        if kind != Kind::Redis70 {
            c.expect_ok("ACL SETUSER cat reset on nopass ~* -@all +@read");
            let all = COMMANDS.iter().find(|(n, ..)| *n == name).unwrap().4;
            let reply = c.line(&format!("ACL DRYRUN cat {name} {all}"));
            assert_eq!(reply == ok(), !writes, "{name}: {reply:?}");
            c.expect_ok("ACL SETUSER cat +@write -@dangerous");
            assert_eq!(c.line(&format!("ACL DRYRUN cat {name} {all}")), ok());
            assert_ne!(c.line("ACL DRYRUN cat modq._q q x"), ok());
        }
    }
}

fn settings_have_ranges(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let get = |c: &mut Client, name: &str| c.line(&format!("CONFIG GET modq.{name}"))[1].text();
    let numbers = [("work-budget", "1000"), ("max-payload-bytes", "1048576")];
    for (name, default) in numbers {
        assert_eq!(get(&mut c, name), default);
        let low = if name == "work-budget" { "0" } else { "-1" };
        for bad in [
            low,
            "-5",
            "x",
            "",
            "1.5",
            "9223372036854775808",
            "9223372036854775807",
        ] {
            assert_err!(cmd!(c, "CONFIG", "SET", format!("modq.{name}"), bad), "ERR");
            assert_eq!(get(&mut c, name), default, "after {bad:?}");
        }
        c.expect_ok(&format!("CONFIG SET modq.{name} 12345"));
        assert_eq!(get(&mut c, name), "12345");
    }
    assert_eq!(get(&mut c, "allow-apply"), "no");
    assert_err!(c.line("CONFIG SET modq.allow-apply maybe"), "ERR");
    c.expect_ok("CONFIG SET modq.allow-apply yes");
    assert_eq!(get(&mut c, "allow-apply"), "yes");
    c.expect_ok("CONFIG SET modq.work-budget 1");
    // One at a time is enough to get everything done.
    let fill: Vec<String> = (0..100)
        .map(|i| format!("MODQ.SUBMIT q i{i} p DELAY 5"))
        .collect();
    c.pipeline(&fill);
    wait_until("all are due", PATIENCE, || len(&mut c, "q READY") == 100);
    // Settings survive CONFIG REWRITE and a restart.
    let mut server = server;
    c.expect_ok("CONFIG REWRITE");
    server.restart();
    let mut c = server.client();
    assert_eq!(get(&mut c, "work-budget"), "1");
    assert_eq!(get(&mut c, "max-payload-bytes"), "12345");
    assert_eq!(get(&mut c, "allow-apply"), "yes");
    assert_eq!(
        c.line("CONFIG GET modq.ratelimit-log-max-entries")
            .items()
            .len(),
        2
    );
}

fn module_arguments_are_checked(kind: Kind) {
    let builder = || Server::builder(kind).without_own_modules();
    let good = builder().module_args(&[
        "max-payload-bytes",
        "77",
        "modq.work-budget",
        "3",
        "allow-apply",
        "yes",
    ]);
    let server = good.start();
    let mut c = server.client();
    for (name, value) in [
        ("max-payload-bytes", "77"),
        ("work-budget", "3"),
        ("allow-apply", "yes"),
    ] {
        assert_eq!(c.line(&format!("CONFIG GET modq.{name}"))[1], bulk(value));
    }
    // The configuration file goes before the arguments.
    let server = builder()
        .module_args(&["work-budget", "3"])
        .config("modq.work-budget 4")
        .start();
    assert_eq!(
        server.client().line("CONFIG GET modq.work-budget")[1],
        bulk("4")
    );
    let bad: [&[&str]; 8] = [
        &["max-payload-bytes"],
        &["max-payload-bytes", "x"],
        &["max-payload-bytes", "-1"],
        &["work-budget", "0"],
        &["work-budget", "9223372036854775807"],
        &["allow-apply", "2"],
        &["no-such-setting", "1"],
        &["work-budget", "5", "stray"],
    ];
    for args in bad {
        let log = builder().module_args(args).try_start().err();
        let log = log.unwrap_or_else(|| panic!("{args:?} is refused"));
        assert!(
            log.contains("module argument") || log.contains("modq"),
            "{args:?}: {log}"
        );
    }
}

/// While writes are paused nothing runs out, since a replica could not be told; afterwards everything does.
fn nothing_expires_during_a_pause(kind: Kind) {
    let server = Server::start(kind);
    let replica = Server::builder(kind).replica_of(&server).start();
    let (mut c, mut other) = (server.client(), server.client());
    wait_replica_synced(&server, &replica);
    for round in [
        "CLIENT PAUSE 100000 WRITE",
        "CLIENT PAUSE 60 WRITE",
        "CLIENT PAUSE 60 ALL",
    ] {
        c.expect_ok("FLUSHALL");
        submit(&mut c, "q i p");
        submit(&mut c, "q long p");
        let late = "MODQ.SUBMIT q late p DELAY 20";
        let replies = c.pipeline(&["MODQ.CLAIM q m LOCK 20", late, round]);
        let lock = claims(&replies[0]).remove(0);
        let mut waiting = server.client();
        waiting.send(&["MODQ.CLAIM", "q", "n", "COUNT", "3"]);
        if round.ends_with("100000 WRITE") {
            // Until long after the deadline: the timer has come by many times.
            wait_until("the time is over", PATIENCE, || {
                now_ms() > lock.deadline + 60
            });
            assert_eq!(state(&mut c, "q", "i"), "ready", "judged by the clock");
            assert_eq!(counts(&mut c, "q"), [1, 1, 1, 0], "nothing has been done");
            other.expect_ok("CLIENT UNPAUSE");
        }
        // The claim that waited, and what was due.
        let late = claims(&waiting.read());
        assert!(!late.is_empty());
        wait_until("all is done", PATIENCE, || {
            len(&mut c, "q LOCKED") == late.len() as i64 && len(&mut c, "q DELAYED") == 0
        });
    }
    wait_replica_synced(&server, &replica);
    assert_eq!(digest(&mut replica.client(), "q"), digest(&mut c, "q"));
}

/// FAILOVER pauses writes too, and hands over to a server that then expires at once.
fn a_failover_hands_over_the_time(kind: Kind) {
    let one = Server::start(kind);
    let two = Server::builder(kind).replica_of(&one).start();
    let (mut c, mut r) = (one.client(), two.client());
    wait_until("the replica is in line", PATIENCE, || {
        let state = info(&mut c, "replication");
        state
            .get("slave0")
            .is_some_and(|s| s.contains("state=online"))
    });
    for i in 0..200 {
        submit(&mut c, &format!("q i{i} p"));
        claim(&mut c, &format!("q m NEW LOCK {}", 20 + 2 * i));
    }
    // The replica does not answer, so the failover drags on, and locks run out meanwhile.
    two.freeze();
    submit(&mut c, "q unseen p");
    c.expect_ok(&format!("FAILOVER TO 127.0.0.1 {}", two.port()));
    let_pass(100);
    assert_eq!(
        info(&mut c, "replication")["master_failover_state"],
        "waiting-for-sync"
    );
    let before = len(&mut c, "q LOCKED");
    let_pass(50);
    assert_eq!(
        len(&mut c, "q LOCKED"),
        before,
        "nothing expires during a failover"
    );
    two.thaw();
    wait_until("the other is the primary", PATIENCE, || {
        info(&mut r, "replication")["role"] == "master"
    });
    wait_until("all locks are over there", PATIENCE, || {
        len(&mut r, "q LOCKED") == 0
    });
    assert_eq!(len(&mut r, "q READY"), 201);
    wait_until("the first follows", PATIENCE, || {
        info(&mut c, "replication")
            .get("master_link_status")
            .is_some_and(|link| link == "up")
    });
    wait_replica_synced(&two, &one);
    assert_eq!(digest(&mut c, "q"), digest(&mut r, "q"));
}

fn info_adds_up_over_all_keys(kind: Kind) {
    let (mut server, mut c) = desk(kind);
    let replica = Server::builder(kind).replica_of(&server).start();
    rich_queue(&mut c, "q");
    c.expect_ok("SELECT 3");
    submit(&mut c, "q i p");
    c.line("COPY q p");
    submit(&mut c, "p j p");
    c.expect_ok("SELECT 0");
    for i in 0..5 {
        c.line(&format!("RATELIMIT.CHECK r{} 2 60000", i % 2));
    }
    c.line("RATELIMIT.ACQUIRE l 3 h TTL 60000");
    c.expect_ok("RATELIMIT.POLICY SET p 5 1000");
    let shown = |c: &mut Client, fields: &str| {
        let info = info(c, "modq");
        let values = fields
            .split(' ')
            .map(|f| info[&format!("modq_{f}")].as_str());
        values.collect::<Vec<_>>().join(" ")
    };
    const KEYS: &str = "queues ratelimit_limiters ratelimit_lease_sets ratelimit_policies";
    const ITEMS: &str = "items_ready items_locked items_delayed items_dead submitted resolved cancelled released \
                         expired died";
    const REQUESTS: &str = "ratelimit_admitted ratelimit_denied events_dropped waiting_clients";
    // As in `rich_queue`, and three more that are ready: the copy counts what it copied.
    let items = "6 2 1 1 12 1 1 1 20 1";
    assert_eq!(shown(&mut c, KEYS), "3 2 1 1");
    assert_eq!(shown(&mut c, ITEMS), items);
    assert_eq!(shown(&mut c, REQUESTS), "4 1 0 0");
    wait_replica_synced(&server, &replica);
    let mut r = replica.client();
    assert_eq!(shown(&mut r, KEYS), "3 2 1 1");
    assert_eq!(shown(&mut r, ITEMS), items);
    let waiting = blocked(&server, "MODQ.CLAIM none m BLOCK 0");
    assert_eq!(shown(&mut c, "waiting_clients"), "1");
    drop(waiting);
    wait_until("nobody waits", PATIENCE, || {
        shown(&mut c, "waiting_clients") == "0"
    });
    server.restart();
    let mut c = server.client();
    assert_eq!(shown(&mut c, KEYS), "3 2 1 1");
    assert_eq!(shown(&mut c, ITEMS), items);
    c.line("DEL r0");
    assert_eq!(shown(&mut c, KEYS), "3 1 1 1");
    c.expect_ok("FLUSHALL");
    wait_until("all is freed", PATIENCE, || {
        shown(&mut c, KEYS) == "0 0 0 1"
    });
    assert_eq!(shown(&mut c, ITEMS), "0 0 0 0 0 0 0 0 0 0");
}

matrix!(
    commands_are_described,
    keys_of_calls_are_found,
    commands_are_documented,
    info_adds_up_over_all_keys,
    access_can_be_given_by_key,
    settings_have_ranges,
    module_arguments_are_checked,
    nothing_expires_during_a_pause,
    a_failover_hands_over_the_time,
);
