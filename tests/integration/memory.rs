//! MEMORY USAGE, and `bytes` of STATS, against what used_memory grows by: within a tenth, whatever a key holds much
//! of, and whatever allocator the server has.

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

/// Measures the key `k`, which `prepare` makes, before and after `fill`. The server takes and gives back memory for
/// its own ends too, so it is done again if that came between.
fn measure(server: &Server, what: &str, prepare: &dyn Fn(&mut Client), fill: &dyn Fn(&mut Client)) {
    let mut c = server.client();
    let used = |c: &mut Client| info_number(c, "memory", "used_memory") as i64;
    let mut found = Vec::new();
    while found.len() < 10 {
        c.expect_ok("FLUSHALL SYNC");
        prepare(&mut c);
        let (said, taken) = (usage(&mut c), used(&mut c));
        // By a client of its own, whose buffers go with it.
        fill(&mut server.client());
        let (said, taken) = (usage(&mut c) - said, used(&mut c) - taken);
        let ratio = said as f64 / taken as f64;
        println!("{what}: {said} said, {taken} taken, {ratio:.3}");
        assert!(said > 1 << 19, "{what}: enough to tell");
        if (0.9..1.1).contains(&ratio) {
            return;
        }
        found.push((said, taken));
    }
    panic!("{what}: {found:?}");
}

/// A queue that is empty.
fn empty(c: &mut Client) {
    c.expect_ok("MODQ.CONFIGURE k MAXEXPIRIES 1");
}

fn submit(c: &mut Client) {
    send(c, |i| format!("MODQ.SUBMIT k item{i:08} payload"));
}

fn submitted(c: &mut Client) {
    empty(c);
    submit(c);
}

fn items_in_every_state(kind: Kind) {
    let server = Server::start(kind);
    measure(&server, "ready", &empty, &submit);
    measure(&server, "locked", &submitted, &|c| {
        send(c, |i| {
            format!("MODQ.CLAIM k somebody{} LOCK 3600000 NEW", i % 500)
        });
    });
    let mut c = server.client();
    let bytes = c.line("MODQ.STATS k").field("bytes").int();
    let more = usage(&mut c) - bytes;
    assert!(
        (0..300).contains(&more),
        "but for its name the same: {more}"
    );
    measure(&server, "dead", &empty, &|c| {
        submit(c);
        for i in 0..N / 1000 {
            c.line(&format!("MODQ.CLAIM k m{i} COUNT 1000 LOCK 1 NEW"));
        }
        wait_until("all are dead", PATIENCE, || {
            c.line("MODQ.LEN k DEAD").int() == N as i64
        });
    });
    measure(&server, "delayed", &empty, &|c| {
        send(c, |i| {
            format!("MODQ.SUBMIT k item{i} payload DELAY {}", 3_600_000 + i)
        });
    });
    measure(&server, "tags", &empty, &|c| {
        send(c, |i| {
            format!("MODQ.SUBMIT k item{i} payload TAGS 2 common tag:{i}")
        });
    });
}

fn exclusions(kind: Kind) {
    let server = Server::start(kind);
    measure(&server, "one each", &empty, &|c| {
        send(c, |i| {
            format!("MODQ.SUBMIT k item{i} payload EXCLUDE 1 moderator{i}")
        });
    });
    measure(&server, "several of few", &empty, &|c| {
        send(c, |i| {
            let names: Vec<String> = (0..8).map(|j| format!("m{}", (i + j * 13) % 200)).collect();
            format!(
                "MODQ.SUBMIT k item{i} payload EXCLUDE 8 {}",
                names.join(" ")
            )
        });
    });
    measure(&server, "skipped", &submitted, &|c| {
        let claims = send(c, |i| format!("MODQ.CLAIM k m{} LOCK 3600000 NEW", i % 100));
        send(c, |i| {
            let (item, token) = (claims[i][0][0].text(), claims[i][0][2].int());
            format!("MODQ.RELEASE k {item} {token} SKIP")
        });
    });
}

fn groups(kind: Kind) {
    let server = Server::start(kind);
    for size in [1, 100, N] {
        measure(&server, &format!("groups of {size}"), &empty, &|c| {
            send(c, |i| {
                let group = i * 7919 % N / size;
                format!("MODQ.SUBMIT k item{i:08} payload GROUP author:{group:025}")
            });
        });
    }
}

/// Has all items decided that there are: `N` of them, locked by `m`.
fn decide_all(c: &mut Client) {
    for _ in 0..N / 1000 {
        let claims = c.line("MODQ.CLAIM k m COUNT 1000 LOCK 3600000 NEW");
        let locks = claims.items().iter();
        let locks = locks.map(|claim| format!("{} {}", claim[0].text(), claim[2].int()));
        let locks: Vec<String> = locks.collect();
        c.line(&format!(
            "MODQ.MRESOLVE k {} {} VERDICT remove",
            locks.len(),
            locks.join(" ")
        ));
    }
}

/// At most 96 bytes beyond id, verdict and names, by MEMORY USAGE and so by used_memory: `measure` holds these to be alike.
fn records(kind: Kind) {
    let server = Server::start(kind);
    // What the items leave behind is there already, for the next ones.
    let prepare = |c: &mut Client| {
        empty(c);
        // By a client whose buffers go with it.
        let mut worker = server.client();
        submit(&mut worker);
        decide_all(&mut worker);
        c.expect_ok("MODQ.CONFIGURE k RETAIN 3600000");
    };
    let fill = |c: &mut Client| {
        submit(c);
        decide_all(c);
    };
    measure(&server, "records", &prepare, &fill);
    let mut c = server.client();
    let decided = c.line("MODQ.STATS k").field("decided");
    assert_eq!(decided, Value::Int(N as i64));
    c.expect_ok("FLUSHALL SYNC");
    prepare(&mut c);
    let before = usage(&mut c);
    fill(&mut c);
    let each = (usage(&mut c) - before) as usize / N;
    let beyond = each - ("item00000000".len() + "remove".len() + "m".len());
    println!("{beyond} bytes beyond the content");
    assert!(beyond <= 96, "{beyond} bytes");
}

fn moderators(kind: Kind) {
    let server = Server::start(kind);
    measure(&server, "registered", &empty, &|c| {
        send(c, |i| format!("MODQ.JOIN k m{i} TTL 3600000"));
    });
    let mut c = server.client();
    let freed = info_number(&mut c, "memory", "lazyfreed_objects");
    c.line("UNLINK k");
    wait_until("who waits is freed in the background", PATIENCE, || {
        info_number(&mut c, "memory", "lazyfreed_objects") > freed
    });
    measure(&server, "with tags", &empty, &|c| {
        send(c, |i| {
            format!("MODQ.JOIN k {i:0>50} TTL 3600000 TAGS 2 tag:{i} common")
        });
    });
    measure(&server, "with a lock each", &submitted, &|c| {
        send(c, |i| format!("MODQ.CLAIM k m{i} LOCK 3600000 NEW"));
    });
    measure(&server, "with many locks", &submitted, &|c| {
        for _ in 0..N / 1000 {
            c.line("MODQ.CLAIM k m COUNT 1000 LOCK 3600000 NEW");
        }
    });
}

fn limits_and_leases(kind: Kind) {
    let server = Server::start(kind);
    for (what, limits) in [
        ("ids", "1000000 3600000 ALGO GCRA"),
        (
            "ids of two limits",
            "1000000 3600000 ALGO GCRA LIMIT 1000000 7200000 ALGO FIXED",
        ),
        ("ids and a log", "1000000 3600000"),
    ] {
        let check = format!("RATELIMIT.CHECK k {limits}");
        let first = |c: &mut Client| drop(c.line(&check));
        measure(&server, what, &first, &|c| {
            send(c, |i| format!("{check} ID request-{}", i * 7919 % N));
        });
    }
    let first = |c: &mut Client| drop(c.line("RATELIMIT.ACQUIRE k 1000000 first TTL 3600000"));
    measure(&server, "leases", &first, &|c| {
        send(c, |i| {
            format!(
                "RATELIMIT.ACQUIRE k 1000000 worker-{} TTL 3600000",
                i * 7919 % N
            )
        });
    });
}

/// Who uses no quorum, no records and no groups pays no byte for them: a queue takes what it took before there were any
/// (commit 183a4ec, measured by these very commands). While none was claimed there is no histogram either.
#[test]
fn what_is_not_used_takes_nothing() {
    let server = Server::start(Kind::Redis70);
    let mut c = server.client();
    c.expect_ok("MODQ.CONFIGURE k LOCK 1000");
    assert!(usage(&mut c) <= 2792, "{}", usage(&mut c));
    c.line("MODQ.SUBMIT k a x");
    assert!(usage(&mut c) <= 3520, "{}", usage(&mut c));
    let before = usage(&mut c);
    for used in ["QUORUM 2 3", "GROUP g"] {
        c.line(&format!("MODQ.UPDATE k a {used}"));
        assert!(usage(&mut c) > before, "{used}");
    }
}

matrix!(
    items_in_every_state,
    exclusions,
    groups,
    records,
    moderators,
    limits_and_leases,
);
