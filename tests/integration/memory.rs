//! MEMORY USAGE, and `bytes` of STATS, against what used_memory grows by: within a tenth, whatever a key holds much of.

use modq_testkit::*;

/// How many entries of each structure: they take megabytes, so that what the server takes for its own ends, some ten
/// kilobytes, does not matter.
const N: usize = 20_000;

/// Sends `N` commands, and answers with their replies.
fn send(c: &mut Client, line: impl Fn(usize) -> String) -> Vec<Value> {
    let mut replies = Vec::new();
    for from in (0..N).step_by(1000) {
        let split = |i| line(i).split(' ').map(|w| w.as_bytes().to_vec()).collect();
        let requests: Vec<Vec<Vec<u8>>> = (from..from + 1000).map(split).collect();
        let some = c.pipeline_of(&requests);
        let failed = some.iter().find(|reply| matches!(reply, Value::Error(_)));
        assert!(failed.is_none(), "{failed:?}");
        replies.extend(some);
    }
    replies
}

fn usage(c: &mut Client) -> i64 {
    c.line("MEMORY USAGE k SAMPLES 0").int()
}

/// Measures the key `k` before and after `fill`.
fn measure(c: &mut Client, what: &str, fill: impl FnOnce(&mut Client)) {
    let used = |c: &mut Client| info_number(c, "memory", "used_memory") as i64;
    let (said, taken) = (usage(c), used(c));
    fill(c);
    let (said, taken) = (usage(c) - said, used(c) - taken);
    let ratio = said as f64 / taken as f64;
    println!("{what}: {said} said, {taken} taken, {ratio:.3}");
    assert!(taken > 1 << 20, "{what}: enough to tell");
    assert!((0.9..1.1).contains(&ratio), "{what}: {said} of {taken}");
}

/// A queue that is empty, on a server that is.
fn empty(c: &mut Client) {
    c.expect_ok("FLUSHALL SYNC");
    c.expect_ok("MODQ.CONFIGURE k MAXEXPIRIES 1");
}

fn submit(c: &mut Client) {
    send(c, |i| format!("MODQ.SUBMIT k item{i:08} payload"));
}

fn items_in_every_state(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    empty(&mut c);
    measure(&mut c, "ready", submit);
    measure(&mut c, "locked", |c| {
        send(c, |i| {
            format!("MODQ.CLAIM k somebody{} LOCK 3600000 NEW", i % 500)
        });
    });
    let bytes = c.line("MODQ.STATS k").field("bytes").int();
    let more = usage(&mut c) - bytes;
    assert!(
        (0..300).contains(&more),
        "but for its name the same: {more}"
    );
    empty(&mut c);
    measure(&mut c, "dead", |c| {
        submit(c);
        // All at once, so that none dies while others are claimed.
        for i in 0..N / 1000 {
            c.line(&format!("MODQ.CLAIM k m{i} COUNT 1000 LOCK 1 NEW"));
        }
        wait_until("all are dead", PATIENCE, || {
            c.line("MODQ.LEN k DEAD").int() == N as i64
        });
    });
    empty(&mut c);
    measure(&mut c, "delayed", |c| {
        send(c, |i| {
            format!("MODQ.SUBMIT k item{i} payload DELAY {}", 3_600_000 + i)
        });
    });
    empty(&mut c);
    measure(&mut c, "tags", |c| {
        send(c, |i| {
            format!("MODQ.SUBMIT k item{i} payload TAGS 2 common tag:{i}")
        });
    });
}

fn exclusions(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    empty(&mut c);
    measure(&mut c, "one each", |c| {
        send(c, |i| {
            format!("MODQ.SUBMIT k item{i} payload EXCLUDE 1 moderator{i}")
        });
    });
    empty(&mut c);
    measure(&mut c, "several of few", |c| {
        send(c, |i| {
            let names: Vec<String> = (0..8).map(|j| format!("m{}", (i + j * 13) % 200)).collect();
            format!(
                "MODQ.SUBMIT k item{i} payload EXCLUDE 8 {}",
                names.join(" ")
            )
        });
    });
    empty(&mut c);
    submit(&mut c);
    measure(&mut c, "skipped", |c| {
        let claims = send(c, |i| format!("MODQ.CLAIM k m{} LOCK 3600000 NEW", i % 100));
        send(c, |i| {
            let (item, token) = (claims[i][0][0].text(), claims[i][0][2].int());
            format!("MODQ.RELEASE k {item} {token} SKIP")
        });
    });
}

fn moderators(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    empty(&mut c);
    measure(&mut c, "registered", |c| {
        send(c, |i| format!("MODQ.JOIN k m{i} TTL 3600000"));
    });
    let effort = info_number(&mut c, "memory", "lazyfreed_objects");
    c.line("UNLINK k");
    wait_until("who waits is freed in the background", PATIENCE, || {
        info_number(&mut c, "memory", "lazyfreed_objects") > effort
    });
    empty(&mut c);
    measure(&mut c, "with tags", |c| {
        send(c, |i| {
            format!("MODQ.JOIN k {i:0>50} TTL 3600000 TAGS 2 tag:{i} common")
        });
    });
    empty(&mut c);
    submit(&mut c);
    measure(&mut c, "with a lock each", |c| {
        send(c, |i| format!("MODQ.CLAIM k m{i} LOCK 3600000 NEW"));
    });
    empty(&mut c);
    submit(&mut c);
    measure(&mut c, "with many locks", |c| {
        for _ in 0..N / 1000 {
            c.line("MODQ.CLAIM k m COUNT 1000 LOCK 3600000 NEW");
        }
    });
}

fn limits_and_leases(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for (what, limits) in [
        ("ids", "1000000 3600000 ALGO GCRA"),
        (
            "ids of two limits",
            "1000000 3600000 ALGO GCRA LIMIT 1000000 7200000 ALGO FIXED",
        ),
        ("ids and a log", "1000000 3600000"),
    ] {
        c.expect_ok("FLUSHALL SYNC");
        c.line(&format!("RATELIMIT.CHECK k {limits}"));
        measure(&mut c, what, |c| {
            send(c, |i| {
                format!("RATELIMIT.CHECK k {limits} ID request-{}", i * 7919 % N)
            });
        });
    }
    c.expect_ok("FLUSHALL SYNC");
    c.line("RATELIMIT.ACQUIRE k 1000000 first TTL 3600000");
    measure(&mut c, "leases", |c| {
        send(c, |i| {
            format!(
                "RATELIMIT.ACQUIRE k 1000000 worker-{} TTL 3600000",
                i * 7919 % N
            )
        });
    });
}

matrix!(
    items_in_every_state,
    exclusions,
    moderators,
    limits_and_leases,
);
