//! RATELIMIT: what changes something is seen by WATCH, client tracking, the AOF and replicas; what does not is seen
//! by none of them. And keys go by themselves, when nothing in them is in use.

use super::ratelimit_kit::*;
use modq_testkit::*;

/// A primary with an AOF and a replica that sends nothing of its own accord.
fn observed(kind: Kind) -> (Server, Server) {
    let primary = Server::builder(kind)
        .aof()
        .config("repl-ping-replica-period 3600")
        .start();
    let replica = Server::builder(kind).replica_of(&primary).start();
    wait_replica_synced(&primary, &replica);
    (primary, replica)
}

/// All that must stay when nothing has changed: the data, the AOF's size, the replication offset, the count of changes.
fn state(c: &mut Client) -> [String; 4] {
    let persistence = info(c, "persistence");
    [
        debug_digest(c),
        persistence["aof_current_size"].clone(),
        info(c, "replication")["master_repl_offset"].clone(),
        persistence["rdb_changes_since_last_save"].clone(),
    ]
}

/// Commands that change nothing, of keys that `set_up` makes or that are missing.
const IDLE: [&str; 21] = [
    "RATELIMIT.CHECK blocked 5 1000",
    "RATELIMIT.CHECK blocked 5 1000 COST 0",
    "RATELIMIT.CHECK missing 5 1000 COST 6",
    "RATELIMIT.CHECK missing 5 1000 COST 0 ID i",
    "RATELIMIT.CHECK missing POLICY none",
    "RATELIMIT.CHECK string 5 1000",
    "RATELIMIT.CHECK missing 5 1000 COST -1",
    "RATELIMIT.MCHECK 2 missing string LIMIT 5 1000 LIMIT 5 1000",
    "RATELIMIT.REFUND missing COST 1",
    "RATELIMIT.RESET missing",
    "RATELIMIT.BLOCK missing 0",
    "RATELIMIT.ACQUIRE lease 2 you TTL 1000",
    "RATELIMIT.ACQUIRE lease 2 you TTL 1000 COST 3",
    "RATELIMIT.ACQUIRE lease 1 me TTL 1000 COST 2",
    "RATELIMIT.ACQUIRE missing 1 me TTL 1000 COST 2",
    "RATELIMIT.RELEASE lease you",
    "RATELIMIT.RELEASE missing me",
    "RATELIMIT.LEASES lease",
    "RATELIMIT.POLICY DEL none",
    "RATELIMIT.POLICY GET none",
    "RATELIMIT.POLICY LIST",
];

/// Full limiters, and commands that change nothing: denials, known ids, units and ids that are not there, errors.
fn set_up(c: &mut Client) -> Vec<String> {
    let mut idle = Vec::new();
    for algo in ALGOS {
        let limit = format!("RATELIMIT.CHECK {algo} 3 3600000 ALGO {algo}");
        assert_eq!(
            c.line(&format!("{limit} COST 2 ID known"))[0],
            Value::Int(1)
        );
        assert_eq!(c.line(&limit)[0], Value::Int(1));
        for options in [
            "",
            "COST 4",
            "COST 2 PARTIAL",
            "DETAIL",
            "ID new",
            "COST 0",
            "ID known",
            "LIMIT 100 7000000",
        ] {
            idle.push(format!("{limit} {options}"));
        }
        idle.push(format!(
            "RATELIMIT.CHECK {algo} 2 3600000 ALGO {algo} COST 0"
        ));
        idle.push(format!(
            "RATELIMIT.MCHECK 2 {algo} other LIMIT 3 3600000 ALGO {algo} LIMIT 5 1000"
        ));
        idle.push(format!("RATELIMIT.REFUND {algo} ID unknown"));
        idle.push(format!("RATELIMIT.REFUND {algo} COST 0"));
        idle.push(format!("RATELIMIT.BLOCK {algo} 0"));
        idle.push(format!("RATELIMIT.PEEK {algo} 5 1000"));
    }
    c.expect_ok("RATELIMIT.BLOCK blocked 3600000");
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE lease 2 me TTL 3600000 COST 2")[0],
        Value::Int(1)
    );
    c.expect_ok("SET string x");
    idle.extend(IDLE.map(str::to_owned));
    idle
}

/// Commands that do change something, and the key they change. To be run in this order.
const BUSY: [(&str, &str); 13] = [
    ("RATELIMIT.CHECK LOG 30 3600000", "LOG"),
    ("RATELIMIT.CHECK COUNTER 30 3600000 ALGO COUNTER", "COUNTER"),
    ("RATELIMIT.CHECK FIXED 30 3600000 ALGO FIXED ID z", "FIXED"),
    (
        "RATELIMIT.CHECK GCRA 3 3600000 ALGO GCRA BURST 30 COST 9 PARTIAL",
        "GCRA",
    ),
    (
        "RATELIMIT.MCHECK 2 LOG other LIMIT 30 3600000 LIMIT 5 3600000",
        "LOG",
    ),
    ("RATELIMIT.REFUND LOG COST 1", "LOG"),
    ("RATELIMIT.REFUND FIXED ID known", "FIXED"),
    ("RATELIMIT.BLOCK GCRA 3600000", "GCRA"),
    ("RATELIMIT.BLOCK GCRA 0", "GCRA"),
    ("RATELIMIT.RESET GCRA", "GCRA"),
    ("RATELIMIT.ACQUIRE lease 5 you TTL 3600000 COST 2", "lease"),
    ("RATELIMIT.ACQUIRE lease 5 you TTL 4000000 COST 1", "lease"),
    ("RATELIMIT.RELEASE lease you", "lease"),
];

fn denials_leave_no_trace(kind: Kind) {
    let (primary, replica) = observed(kind);
    let mut c = primary.client();
    let idle = set_up(&mut c);
    wait_replica_synced(&primary, &replica);
    let before = state(&mut c);
    let arrived = |command: &str| command_calls(&mut replica.client(), command);
    let counts = ["modq._r", "modq._l"].map(arrived);
    for line in &idle {
        c.line(line);
        assert_eq!(state(&mut c), before, "{line}");
    }
    // In a transaction and in a script too.
    c.expect_ok("MULTI");
    idle.iter()
        .take(8)
        .for_each(|line| assert_eq!(c.line(line), simple("QUEUED")));
    assert_eq!(c.line("EXEC").items().len(), 8);
    cmd!(
        c,
        "EVAL",
        "return redis.call('RATELIMIT.CHECK', KEYS[1], 3, 3600000)",
        1,
        "LOG"
    );
    assert_eq!(state(&mut c), before);
    // The measures do move: each of them, by every command that changes something.
    for (line, _) in BUSY {
        let before = state(&mut c);
        assert_ne!(c.line(line).err_code(), "ERR", "{line}");
        let after = state(&mut c);
        (0..4).for_each(|i| assert_ne!(after[i], before[i], "{line}: {i}"));
    }
    wait_replica_synced(&primary, &replica);
    // One record per limiter changed (MCHECK changes two), one per lease.
    assert_eq!(arrived("modq._r") - counts[0], 11);
    assert_eq!(arrived("modq._l") - counts[1], 3);
    let stats = info(&mut replica.client(), "commandstats");
    let others: Vec<&String> = stats
        .keys()
        .filter(|name| name.contains("ratelimit.") && !name.contains("ratelimit._"))
        .collect();
    assert!(others.is_empty(), "requests are replicated: {others:?}");
    assert_eq!(debug_digest(&mut replica.client()), debug_digest(&mut c));
}

fn watch_sees_changes_and_no_denials(kind: Kind) {
    let server = Server::start(kind);
    let (mut c, mut watcher) = (server.client(), server.client());
    let idle = set_up(&mut c);
    let keys = "LOG COUNTER FIXED GCRA blocked lease missing other string";
    let mut aborts = |c: &mut Client, key: &str, line: &str| {
        watcher.expect_ok(&format!("WATCH {key}"));
        c.line(line);
        watcher.expect_ok("MULTI");
        assert_eq!(watcher.line("PING"), simple("QUEUED"));
        watcher.line("EXEC").is_null()
    };
    for line in &idle {
        assert!(!aborts(&mut c, keys, line), "{line}");
    }
    for (line, key) in BUSY {
        assert!(aborts(&mut c, key, line), "{line}");
    }
    assert!(aborts(&mut c, "other", "RATELIMIT.RESET other"));
}

fn client_tracking_sees_changes_and_no_denials(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let idle = set_up(&mut c);
    assert_eq!(
        c.line("RATELIMIT.CHECK mark 1000 3600000")[0],
        Value::Int(1)
    );
    let mut reader = server.client().hello3();
    reader.expect_ok("CLIENT TRACKING ON");
    let look = |reader: &mut Client| {
        for key in [
            "LOG", "COUNTER", "FIXED", "GCRA", "blocked", "missing", "other", "mark",
        ] {
            assert_eq!(
                reader
                    .line(&format!("RATELIMIT.PEEK {key} 5 3600000"))
                    .items()
                    .len(),
                5
            );
        }
        assert!(matches!(
            reader.line("RATELIMIT.LEASES lease"),
            Value::Array(_)
        ));
    };
    let told = |key: &str| Value::Push(vec!["invalidate".into(), arr![key]]);
    look(&mut reader);
    idle.iter().for_each(|line| drop(c.line(line)));
    c.line("RATELIMIT.CHECK mark 1000 3600000");
    assert_eq!(reader.push(), told("mark"), "nothing was told before it");
    for (line, key) in BUSY {
        look(&mut reader);
        c.line(line);
        assert_eq!(reader.push(), told(key), "{line}");
        if line.contains("MCHECK") {
            assert_eq!(reader.push(), told("other"), "{line}");
        }
    }
}

/// When the key expires, by PEXPIRETIME.
fn expires(c: &mut Client, key: &str) -> i64 {
    cmd!(c, "PEXPIRETIME", key).int()
}

/// Asserts that `at` is a window after a reply, as closely as the clock was seen.
#[track_caller]
fn within(what: &str, at: i64, since: &Timed, window: i64) {
    let range = since.lo + window..=since.hi + window;
    assert!(range.contains(&at), "{what}: {at} is not in {range:?}");
}

fn keys_expire_when_nothing_is_in_use(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    // LOG: a window after the newest charge; what was given back counts no more.
    let first = timed(&mut c, "RATELIMIT.CHECK log 5 60000");
    within("log", expires(&mut c, "log"), &first, 60_000);
    let_pass(5);
    let second = timed(&mut c, "RATELIMIT.CHECK log 5 60000 COST 2");
    within("log", expires(&mut c, "log"), &second, 60_000);
    let ttl = timed(&mut c, "PTTL log");
    ttl.assert_ends("PTTL", ttl.reply.int(), &second, 60_000);
    assert_eq!(c.line("RATELIMIT.REFUND log COST 2"), Value::Int(2));
    within("log, refunded", expires(&mut c, "log"), &first, 60_000);
    // FIXED: when the window closes, that the first charge opened.
    let first = timed(&mut c, "RATELIMIT.CHECK fixed 5 60000 ALGO FIXED");
    let_pass(5);
    c.line("RATELIMIT.CHECK fixed 5 60000 ALGO FIXED");
    within("fixed", expires(&mut c, "fixed"), &first, 60_000);
    // GCRA: when the bucket is empty.
    let first = timed(&mut c, "RATELIMIT.CHECK gcra 7 60000 ALGO GCRA COST 2");
    within("gcra", expires(&mut c, "gcra"), &first, 17_143);
    let more = timed(
        &mut c,
        "RATELIMIT.CHECK gcra2 3 1000 ALGO GCRA BURST 900 COST 900",
    );
    within("gcra", expires(&mut c, "gcra2"), &more, 300_000);
}

/// When the share of its last bucket that is in the window rounds to none.
fn a_counter_expires_with_its_last_bucket(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let line = "RATELIMIT.CHECK counter 500 60000 ALGO COUNTER COST 100";
    let first = timed(&mut c, line);
    let at = expires(&mut c, "counter");
    let rule = |t: i64| {
        let used = |now: i64| {
            let (w, o) = (1000, (now - 60_000).div_euclid(1000));
            match (t / w).cmp(&o) {
                std::cmp::Ordering::Greater => 100,
                std::cmp::Ordering::Equal => 100 * ((o + 1) * w - (now - 60_000)) / w,
                std::cmp::Ordering::Less => 0,
            }
        };
        (t + 50_000..t + 70_000)
            .find(|&now| used(now) == 0)
            .unwrap()
    };
    assert!(
        (first.lo..=first.hi).any(|t| rule(t) == at),
        "counter: {at}"
    );
}

/// A limit, a block, an id.
fn a_key_expires_with_the_last_thing_in_it(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let both = timed(
        &mut c,
        "RATELIMIT.CHECK both 5 60000 LIMIT 5 70000 ALGO FIXED LIMIT 5 90000 ALGO GCRA",
    );
    within("both", expires(&mut c, "both"), &both, 70_000);
    let block = timed(&mut c, "RATELIMIT.BLOCK both 100000");
    within("blocked", expires(&mut c, "both"), &block, 100_000);
    c.expect_ok("RATELIMIT.BLOCK both 0");
    within("freed", expires(&mut c, "both"), &both, 70_000);
    let block = timed(&mut c, "RATELIMIT.BLOCK onlyblock 100000");
    within("block", expires(&mut c, "onlyblock"), &block, 100_000);
    let id = timed(
        &mut c,
        "RATELIMIT.CHECK id 5 1000 LIMIT 5 60000 ALGO FIXED LIMIT 5 90000 ALGO GCRA ID i",
    );
    within("id", expires(&mut c, "id"), &id, 90_000);
    assert_eq!(c.line("RATELIMIT.REFUND id COST 5"), Value::Int(1));
    within("id alone", expires(&mut c, "id"), &id, 90_000);
    let first = timed(&mut c, "RATELIMIT.CHECK idf 5 60000 ALGO FIXED");
    let_pass(5);
    c.line("RATELIMIT.CHECK idf 5 60000 ALGO FIXED ID i");
    within(
        "id in a window that was open",
        expires(&mut c, "idf"),
        &first,
        60_000,
    );
    // Leases: the last of them.
    let lease = timed(&mut c, "RATELIMIT.ACQUIRE lease 5 a TTL 80000");
    c.line("RATELIMIT.ACQUIRE lease 5 b TTL 70000");
    within("lease", expires(&mut c, "lease"), &lease, 80_000);
}

fn an_expiry_by_hand_holds_until_the_next_change(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.line("RATELIMIT.CHECK log 5 60000");
    assert_eq!(c.line("PEXPIRE log 1000000"), Value::Int(1));
    let charged = timed(&mut c, "RATELIMIT.CHECK log 5 60000");
    within("log", expires(&mut c, "log"), &charged, 60_000);
    assert_eq!(c.line("PERSIST log"), Value::Int(1));
    let charged = timed(&mut c, "RATELIMIT.CHECK log 5 60000");
    within("log", expires(&mut c, "log"), &charged, 60_000);
}

fn keys_vanish_by_themselves(kind: Kind) {
    let (primary, replica) = observed(kind);
    let mut c = primary.client();
    let mut lines: Vec<(String, String)> = Vec::new();
    for algo in ALGOS {
        lines.push((
            algo.to_owned(),
            format!("RATELIMIT.CHECK {algo} 5 120 ALGO {algo} COST 5"),
        ));
        lines.push((
            format!("id{algo}"),
            format!("RATELIMIT.CHECK id{algo} 50 120 ALGO {algo} ID i"),
        ));
    }
    lines.push(("block".into(), "RATELIMIT.BLOCK block 130".into()));
    lines.push((
        "lease".into(),
        "RATELIMIT.ACQUIRE lease 5 me TTL 140".into(),
    ));
    let mut ends = Vec::new();
    for (key, line) in &lines {
        c.line(line);
        ends.push((key, expires(&mut c, key)));
    }
    // A key is there exactly until it expires.
    for (key, at) in &ends {
        loop {
            let asked = timed(&mut c, &format!("EXISTS {key}"));
            if asked.reply == Value::Int(0) {
                assert!(asked.hi >= *at, "{key} went too early");
                break;
            }
            assert!(asked.lo <= *at, "{key} is still there");
        }
    }
    // And those that nobody asks for go too, on the replica as well.
    for i in 0..50 {
        c.line(&format!("RATELIMIT.CHECK unasked{i} 5 {}", 50 + i));
    }
    wait_until("all keys are gone", PATIENCE, || {
        c.line("DBSIZE") == Value::Int(0)
    });
    wait_replica_synced(&primary, &replica);
    assert_eq!(replica.client().line("DBSIZE"), Value::Int(0));
}

fn keys_vanish_when_emptied(kind: Kind) {
    let (primary, replica) = observed(kind);
    let mut c = primary.client();
    for algo in ALGOS {
        let check = format!("RATELIMIT.CHECK k 5 3600000 ALGO {algo}");
        c.line(&format!("{check} COST 3"));
        assert_eq!(c.line("RATELIMIT.REFUND k COST 9"), Value::Int(3), "{algo}");
        assert_eq!(c.line("EXISTS k"), Value::Int(0), "{algo}");
        c.line(&format!("{check} COST 3 ID i"));
        assert_eq!(c.line("RATELIMIT.REFUND k ID i"), Value::Int(3), "{algo}");
        assert_eq!(c.line("EXISTS k"), Value::Int(0), "{algo}");
        c.line(&format!("{check} COST 3 ID i"));
        assert_eq!(c.line("RATELIMIT.RESET k"), Value::Int(1), "{algo}");
        assert_eq!(c.line("EXISTS k"), Value::Int(0), "{algo}");
    }
    c.expect_ok("RATELIMIT.BLOCK k 100000");
    c.expect_ok("RATELIMIT.BLOCK k 0");
    assert_eq!(c.line("EXISTS k"), Value::Int(0));
    c.line("RATELIMIT.ACQUIRE k 5 me TTL 100000");
    assert_eq!(c.line("RATELIMIT.RELEASE k me"), Value::Int(1));
    assert_eq!(c.line("EXISTS k"), Value::Int(0));
    wait_replica_synced(&primary, &replica);
    assert_eq!(replica.client().line("DBSIZE"), Value::Int(0));
}

matrix!(
    denials_leave_no_trace,
    watch_sees_changes_and_no_denials,
    client_tracking_sees_changes_and_no_denials,
    keys_expire_when_nothing_is_in_use,
    a_counter_expires_with_its_last_bucket,
    a_key_expires_with_the_last_thing_in_it,
    an_expiry_by_hand_holds_until_the_next_change,
    keys_vanish_by_themselves,
    keys_vanish_when_emptied,
);
