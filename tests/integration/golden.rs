//! What earlier versions of the module wrote still loads: DUMP payloads, an RDB file, an AOF of effects and a rewritten
//! one, recorded on the oldest server, are given to every server and must hold what they held.
//!
//! `tests/golden/v<n>` has the files of encoding version n, and in `replies.txt` commands and what they answered then.
//! When a type gets a new version, record a directory beside the old ones (they stay as they are for ever):
//! `MODQ_GOLDEN=write cargo test --test integration golden::records`.

use modq_core::codec::Persist;
use modq_testkit::queue::*;
use modq_testkit::*;
use std::path::{Path, PathBuf};

/// The longest duration of MODQ, 35 years, and of RATELIMIT: what is recorded must not run out.
const LONG: i64 = 1 << 40;
const MAX: i64 = 1 << 53;
const KEYS: [&str; 10] = [
    "g:log",
    "g:counter",
    "g:fixed",
    "g:gcra",
    "g:ids",
    "g:blocked",
    "g:leases",
    "g:queue",
    "g:board",
    "g:decisions",
];

/// What files of a version have: boards came with version 2 of the others, decisions with 3.
fn keys(version: i32) -> &'static [&'static str] {
    match version {
        1 => &KEYS[..8],
        2 => &KEYS[..9],
        _ => &KEYS,
    }
}

/// Of what these hold version 1 does not say how long it was to last.
const UNTOLD: [&str; 2] = ["g:blocked", "g:leases"];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The newest encoding version of any type.
fn newest() -> i32 {
    let queue = modq_core::queue::Queue::VERSION;
    let limits = modq_core::limiter::Limiter::VERSION;
    let leases = modq_core::limiter::Leases::VERSION;
    let boards = modq_core::board::Board::VERSION;
    queue.max(limits).max(leases).max(boards)
}

fn ask(c: &mut Client, line: &str) {
    let reply = c.line(line);
    assert_eq!(reply.err_code(), "", "{line}: {reply:?}");
    if line.starts_with("RATELIMIT.CHECK") || line.starts_with("RATELIMIT.ACQUIRE") {
        assert_eq!(reply[0], Value::Int(1), "{line}: {reply:?}");
    }
}

fn record_limits(c: &mut Client) {
    // More entries than go into a chunk, each in a millisecond of its own and of one unit or more.
    for i in 0..700 {
        let_pass(0);
        ask(
            c,
            &format!("RATELIMIT.CHECK g:log 100000 {MAX} COST {}", 1 + i % 3),
        );
    }
    for algo in ["COUNTER", "FIXED", "GCRA BURST 10"] {
        let key = algo.split(' ').next().unwrap().to_lowercase();
        for cost in [1, 4] {
            ask(
                c,
                &format!("RATELIMIT.CHECK g:{key} 5 {MAX} ALGO {algo} COST {cost}"),
            );
        }
    }
    let many = format!(
        "100 {MAX} LIMIT 200 {MAX} ALGO COUNTER LIMIT 300 {MAX} ALGO FIXED LIMIT 400 {MAX} ALGO GCRA LIMIT 500 {}",
        MAX - 1
    );
    for i in 0..9 {
        ask(
            c,
            &format!("RATELIMIT.CHECK g:ids {many} ID request-{i} COST {}", 1 + i),
        );
    }
    ask(c, "RATELIMIT.REFUND g:ids ID request-8");
    ask(c, "RATELIMIT.REFUND g:log COST 2");
    ask(c, &format!("RATELIMIT.CHECK g:blocked 5 {MAX}"));
    ask(c, &format!("RATELIMIT.BLOCK g:blocked {MAX}"));
    for i in 0..600 {
        ask(
            c,
            &format!(
                "RATELIMIT.ACQUIRE g:leases 100000 job-{i} TTL {} COST {}",
                LONG + i,
                1 + i % 2
            ),
        );
    }
    ask(
        c,
        &format!("RATELIMIT.ACQUIRE g:leases 100000 job-1 TTL {LONG} COST 9"),
    );
    ask(c, "RATELIMIT.RELEASE g:leases job-2");
    ask(
        c,
        "RATELIMIT.POLICY SET free 10 60000 LIMIT 100 86400000 ALGO COUNTER",
    );
    ask(c, "RATELIMIT.POLICY SET paid 100 60000 ALGO GCRA BURST 500");
    ask(c, "RATELIMIT.POLICY SET gone 1 1");
    ask(c, "RATELIMIT.POLICY DEL gone");
}

fn record_queue(c: &mut Client) {
    let q = "g:queue";
    ask(
        c,
        &format!(
            "MODQ.CONFIGURE {q} LOCK {LONG} MAXEXPIRIES 1 MAXLEN 5000 CAPACITY 5 LATE ACCEPT AGING 5000"
        ),
    );
    submit(c, &format!("{q} dead p"));
    claim(c, &format!("{q} late LOCK 1"));
    wait_until("the lock has run out", PATIENCE, || {
        state(c, q, "dead") == "dead"
    });
    submit(c, &format!("{q} resolved p"));
    let lock = claim(c, &format!("{q} m0"));
    cmd!(c, "MODQ.RESOLVE", q, "resolved", lock.token);
    submit(c, &format!("{q} cancelled p"));
    ask(c, &format!("MODQ.CANCEL {q} cancelled"));
    submit(c, &format!("{q} skipped p PRIORITY 9 BOOST 5 TAGS 2 de x"));
    let lock = claim(c, &format!("{q} m2 TAGS 2 x de"));
    cmd!(c, "MODQ.RELEASE", q, "skipped", lock.token, "SKIP");
    submit(c, &format!("{q} locked p PRIORITY 8 EXCLUDE 2 m8 m9"));
    claim(c, &format!("{q} m1"));
    submit(c, &format!("{q} again p TAGS 1 de"));
    ask(c, &format!("MODQ.SUBMIT {q} again p ONDUP BUMP"));
    ask(
        c,
        &format!("MODQ.SUBMIT {q} again p2 ONDUP REPLACE TAGS 1 de"),
    );
    ask(
        c,
        &format!("MODQ.SUBMIT {q} delayed p DELAY {LONG} EXCLUDE 1 m9"),
    );
    let wild: &[u8] = b"\0\xff\r\n";
    cmd!(
        c,
        "MODQ.SUBMIT",
        q,
        wild,
        [b'x'; 300],
        "TAGS",
        1,
        "de",
        "PRIORITY",
        -1
    );
    for i in 0..600 {
        submit(c, &format!("{q} item-{i} payload-{i} TAGS 1 de"));
    }
    // Nothing that is ready is for this one.
    ask(
        c,
        &format!("MODQ.JOIN {q} joined TTL {LONG} COUNT 2 TAGS 1 fr"),
    );
}

fn record_board(c: &mut Client) {
    ask(
        c,
        &format!("RANK.CREATE g:board ORDER DESC ASC COLUMNS 2 TIES LATEST CAP 5000 RETRY {LONG}"),
    );
    for i in 0..600 {
        ask(
            c,
            &format!("RANK.ADD g:board player-{i} {} {}", i % 50, -(i % 7)),
        );
    }
    for i in 0..9 {
        ask(c, &format!("RANK.ADD g:board player-{i} 3 1 ID game-{i}"));
    }
    let wild: &[u8] = b"\0\xff\r\n";
    cmd!(c, "RANK.ADD", "g:board", wild, i64::MIN, i64::MAX);
    ask(c, "RANK.REM g:board player-599");
}

/// Votes, a contested item, groups, records, an appeal.
fn record_decisions(c: &mut Client) {
    let q = "g:decisions";
    ask(
        c,
        &format!(
            "MODQ.CONFIGURE {q} LOCK {LONG} QUORUM 2 3 SPLITTAG senior RETAIN {LONG} RETAINMAX 3"
        ),
    );
    let vote = |c: &mut Client, item: &str, who: &str, verdict: &str| {
        let token = cmd!(c, "MODQ.ASSIGN", q, item, who).int();
        cmd!(c, "MODQ.RESOLVE", q, item, token, "VERDICT", verdict)
    };
    for item in ["a", "b", "c", "d"] {
        submit(c, &format!("{q} {item} p QUORUM 1 1"));
        assert_eq!(vote(c, item, "ann", "keep"), ok());
    }
    ask(c, &format!("MODQ.FORGET {q} b"));
    ask(c, &format!("MODQ.SUBMIT {q} c p ONDECIDED COUNT"));
    ask(
        c,
        &format!("MODQ.SUBMIT {q} d other ONDECIDED APPEAL GROUP author:1"),
    );
    submit(c, &format!("{q} voted p GROUP author:1 TAGS 1 de"));
    assert_eq!(vote(c, "voted", "ann", "keep"), simple("VOTED"));
    submit(c, &format!("{q} split p QUORUM 2 2 GROUP author:2"));
    assert_eq!(vote(c, "split", "ann", "keep"), simple("VOTED"));
    assert_eq!(vote(c, "split", "bob", "remove"), simple("SPLIT"));
    submit(c, &format!("{q} asked p QUORUM 3 5 GROUP author:2"));
    for (who, verdict) in [("ann", "x"), ("bob", "y")] {
        assert_eq!(vote(c, "asked", who, verdict), simple("VOTED"));
    }
    ask(c, &format!("MODQ.UPDATE {q} asked QUORUM 3 3 REPORTS 7"));
    submit(c, &format!("{q} changed p GROUP author:1"));
    ask(c, &format!("MODQ.UPDATE {q} changed PAYLOAD p2"));
    ask(c, &format!("MODQ.MOVE {q} g:moved voted"));
    ask(c, &format!("MODQ.MOVE g:moved {q} voted"));
    ask(c, "DEL g:moved");
    submit(c, &format!("{q} also p GROUP author:1 QUORUM 1 1"));
    cmd!(c, "MODQ.ASSIGN", q, "changed", "eve");
}

/// What is asked of recorded files. The answers do not depend on when, but for what `steady` takes out.
fn questions(version: i32) -> Vec<String> {
    let mut lines: Vec<String> = keys(version)
        .iter()
        .map(|key| format!("TYPE {key}"))
        .collect();
    lines.push(format!("RATELIMIT.PEEK g:log 100000 {MAX} COST 0 DETAIL"));
    for algo in ["COUNTER", "FIXED", "GCRA BURST 10"] {
        let key = algo.split(' ').next().unwrap().to_lowercase();
        lines.push(format!("RATELIMIT.PEEK g:{key} 5 {MAX} ALGO {algo} COST 0"));
    }
    let ids = |verb: &str, id: &str| {
        format!(
            "RATELIMIT.{verb} g:ids 100 {MAX} LIMIT 200 {MAX} ALGO COUNTER LIMIT 300 {MAX} ALGO FIXED \
             LIMIT 500 {} ID {id} DETAIL",
            MAX - 1
        )
    };
    for i in [0, 3, 7, 8] {
        lines.push(ids("PEEK", &format!("request-{i}")));
    }
    lines.extend(
        [
            "RATELIMIT.PEEK g:blocked 5 1000 COST 0",
            "RATELIMIT.LEASES g:leases",
            "MODQ.LIST g:queue READY COUNT 1000",
            "MODQ.LIST g:queue LOCKED",
            "MODQ.LIST g:queue DELAYED",
            "MODQ.LIST g:queue DEAD",
            "MODQ.PEEK g:queue COUNT 1000",
            "MODQ.HELD g:queue m1",
            "MODQ.WAITERS g:queue",
            "MODQ.STATS g:queue",
            "MODQ.CONFIGURE g:queue",
        ]
        .map(String::from),
    );
    for item in ["dead", "skipped", "locked", "again", "delayed", "item-599"] {
        lines.push(format!("MODQ.GET g:queue {item}"));
    }
    // Life goes on: what was charged can be given back, what is locked be resolved.
    lines.extend([
        "RATELIMIT.REFUND g:ids ID request-7".to_string(),
        ids("CHECK", "request-7"),
        ids("CHECK", "request-9"),
        "RATELIMIT.REFUND g:log COST 500".to_string(),
        format!("RATELIMIT.CHECK g:log 100000 {MAX}"),
        format!("RATELIMIT.CHECK g:fixed 5 {MAX} ALGO FIXED"),
        "RATELIMIT.RELEASE g:leases job-5".to_string(),
        "MODQ.CANCEL g:queue item-7".to_string(),
        "MODQ.CLAIM g:queue m3 TAGS 1 de NEW".to_string(),
        "MODQ.REVIVE g:queue dead".to_string(),
        "MODQ.LEN g:queue READY".to_string(),
    ]);
    if version > 2 {
        let items = ["d", "voted", "split", "asked", "changed", "also"];
        lines.extend(items.map(|item| format!("MODQ.GET g:decisions {item}")));
        let records = ["a", "b", "c", "d"];
        lines.extend(records.map(|item| format!("MODQ.DECIDED g:decisions {item}")));
        lines.extend(
            [
                "MODQ.STATS g:decisions",
                "MODQ.CONFIGURE g:decisions",
                "MODQ.GROUP g:decisions author:1",
                "MODQ.GROUP g:decisions author:2",
                "MODQ.WHY g:decisions d ann",
                "MODQ.WHY g:decisions voted ann",
                "MODQ.CANCELGROUP g:decisions author:2 EXCEPT 1 senior",
                "MODQ.SUBMIT g:decisions a p",
                "MODQ.FORGET g:decisions c",
            ]
            .map(String::from),
        );
    }
    if version > 1 {
        lines.extend(
            [
                "RANK.TOP g:board 1000 RANKING DENSE",
                "RANK.GET g:board RANKING STANDARD player-0 player-8 player-599",
                "RANK.ADD g:board player-0 3 1 ID game-0",
                "RANK.ADD g:board player-0 3 1 ID game-9",
                "RANK.CLOSE g:board g:season",
                "RANK.CARD g:season",
                "RANK.ADD g:board player-0 3 1 ID game-1",
            ]
            .map(String::from),
        );
    }
    lines
}

/// Fields of maps that there are since version 3.
const SINCE_3: [&str; 17] = [
    "quorum",
    "votes",
    "contested",
    "group",
    "deciders",
    "splittag",
    "retain",
    "retainmax",
    "voting",
    "oldest_contested_ms",
    "decided",
    "splits",
    "records_evicted",
    "wait_ms_sum",
    "handle_ms_sum",
    "wait_ms_histogram",
    "handle_ms_histogram",
];

/// A reply without what differs from run to run: waits of centuries, ages, memory; and without what was
/// not told yet when it was recorded.
fn steady(line: &str, reply: Value, version: i32) -> String {
    fn far(value: Value) -> Value {
        match value {
            // Less by the time since it was recorded, or since 1970.
            Value::Int(n) if (MAX - 4 * LONG..=MAX).contains(&n) => simple("far"),
            Value::Array(items) => Value::Array(items.into_iter().map(far).collect()),
            other => other,
        }
    }
    let mut reply = far(reply);
    if let (true, Value::Array(items)) = (line.starts_with("MODQ.STATS"), &mut reply) {
        for i in (0..items.len()).step_by(2) {
            let name = items[i].text();
            if name == "bytes" || name.starts_with("oldest") {
                items[i + 1] = simple("…");
            }
        }
        assert_eq!(items[items.len() - 2], bulk("events_missed"));
        items.truncate(items.len() - 2);
    }
    let is_map = ["MODQ.STATS", "MODQ.CONFIGURE", "MODQ.GET"];
    let is_map = is_map.iter().any(|name| line.starts_with(name));
    if let (true, 1..=2, Value::Array(items)) = (is_map, version, &mut reply) {
        let known = items
            .chunks(2)
            .filter(|pair| !SINCE_3.contains(&&*pair[0].text()));
        *items = known.flatten().cloned().collect();
    }
    match line.starts_with("MODQ.CLAIM") {
        // The token and the deadline are of the day.
        true => format!("{:?} {:?}", reply[0][0], reply[0][1]),
        false => format!("{reply:?}"),
    }
}

fn answers(c: &mut Client, version: i32) -> String {
    let mut text = String::new();
    for line in questions(version) {
        let reply = c.line(&line);
        text += &format!("> {line}\n{}\n", steady(&line, reply, version));
    }
    text
}

fn policies(c: &mut Client) -> Value {
    let names = c.line("RATELIMIT.POLICY LIST");
    let get = |name: &Value| cmd!(c, "RATELIMIT.POLICY", "GET", name.bytes());
    Value::Array(names.items().iter().map(get).collect())
}

fn digests(c: &mut Client, version: i32) -> Vec<String> {
    keys(version).iter().map(|key| digest(c, key)).collect()
}

/// The AOF as one file.
fn whole_aof(server: &Server) -> Vec<u8> {
    let dir = std::fs::read_dir(server.dir().join("appendonlydir")).unwrap();
    let mut files: Vec<_> = dir.map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "aof"));
    files.sort_by_key(|f| !f.to_string_lossy().contains(".base."));
    files
        .iter()
        .flat_map(|f| std::fs::read(f).unwrap())
        .collect()
}

/// Records the files of the newest version if asked to, and otherwise asserts that they are there.
#[test]
fn records() {
    let dir = golden().join(format!("v{}", newest()));
    if std::env::var_os("MODQ_GOLDEN").is_none_or(|what| what != "write") {
        assert!(
            dir.is_dir(),
            "a type has a new version: record {}",
            dir.display()
        );
        return;
    }
    assert!(!dir.exists(), "{} stays as it is", dir.display());
    std::fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).unwrap();
    let mut server = Server::builder(Kind::Redis70)
        .aof()
        .config("aof-use-rdb-preamble no")
        .config("auto-aof-rewrite-percentage 0")
        .start();
    let mut c = server.client();
    record_limits(&mut c);
    record_queue(&mut c);
    record_board(&mut c);
    record_decisions(&mut c);
    write("effects.aof", &whole_aof(&server));
    c.expect_ok("SAVE");
    let rdb = std::fs::read(server.dir().join("dump.rdb")).unwrap();
    write("dump.rdb", &rdb);
    for key in KEYS {
        write(
            &format!("{}.dump", key.replace(':', "-")),
            cmd!(c, "DUMP", key).bytes(),
        );
    }
    c.line("BGREWRITEAOF");
    wait_until("the AOF is rewritten", PATIENCE, || {
        let now = info(&mut c, "persistence");
        now["aof_rewrite_in_progress"] == "0" && now["aof_rewrite_scheduled"] == "0"
    });
    // One more turn of the server: the policies are in it.
    c.expect_ok("SET g:other 1");
    write("rewritten.aof", &whole_aof(&server));
    server.stop();
    // What is asked changes things: on a copy.
    let copy = Server::builder(Kind::Redis70).file("dump.rdb", rdb).start();
    write(
        "replies.txt",
        answers(&mut copy.client(), newest()).as_bytes(),
    );
}

fn every_version_loads(kind: Kind) {
    for version in 1..=newest() {
        let dir = golden().join(format!("v{version}"));
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        let expected = String::from_utf8(read("replies.txt")).unwrap();
        let bare = || Server::builder(kind).without_own_modules();
        let from_rdb = bare().file("dump.rdb", read("dump.rdb")).start();
        let mut c = from_rdb.client();
        let all = digests(&mut c, version);
        let keys = keys(version);
        let expires = keys.iter().map(|key| cmd!(c, "PEXPIRETIME", *key).int());
        let expires: Vec<i64> = expires.collect();
        let names = policies(&mut c);
        assert_eq!(c.line("RATELIMIT.POLICY LIST"), arr!["free", "paid"]);
        assert_eq!(
            c.line("RATELIMIT.POLICY GET paid")[1],
            arr![arr![
                "quota", 100, "window", 60_000, "algo", "GCRA", "burst", 500
            ]]
        );
        assert_answers(&mut c, version, &expected);

        let restored = Server::start(kind);
        let mut c = restored.client();
        for (key, expires) in keys.iter().zip(expires) {
            let payload = read(&format!("{}.dump", key.replace(':', "-")));
            // DUMP leaves out the expiry, which the digest has.
            let done = cmd!(c, "RESTORE", key, expires.max(0), payload, "ABSTTL");
            assert_eq!(done, ok(), "{key}");
        }
        assert_eq!(
            digests(&mut c, version),
            all,
            "RESTORE and the RDB file agree"
        );
        assert_answers(&mut c, version, &expected);

        for name in ["effects.aof", "rewritten.aof"] {
            let server = bare().aof().file("appendonly.aof", read(name)).start();
            let mut c = server.client();
            assert_eq!(policies(&mut c), names, "{name}");
            // Effects tell for how long something was set, which version 1 did not store; and how long
            // items waited, of which versions before 3 stored less.
            let told = |i: &usize| {
                let key = keys[*i];
                let stored =
                    (version > 1 || !UNTOLD.contains(&key)) && (version > 2 || key != "g:queue");
                stored || name != "effects.aof"
            };
            let here = digests(&mut c, version);
            for i in (0..keys.len()).filter(told) {
                assert_eq!(
                    here[i], all[i],
                    "{name} and the RDB file agree on {}",
                    keys[i]
                );
            }
            assert_answers(&mut c, version, &expected);
        }
    }
}

#[track_caller]
fn assert_answers(c: &mut Client, version: i32, expected: &str) {
    let now = answers(c, version);
    for (now, then) in now.lines().zip(expected.lines()) {
        assert_eq!(now, then);
    }
    assert_eq!(now.lines().count(), expected.lines().count());
}

matrix!(every_version_loads);
