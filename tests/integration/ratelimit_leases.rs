//! RATELIMIT.ACQUIRE, RELEASE and LEASES.

use super::ratelimit_kit::*;
use modq_testkit::*;

fn acquire_renew_deny_release(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let a = timed(&mut c, "RATELIMIT.ACQUIRE k 5 a TTL 60000");
    assert_eq!(ints(&a.reply)[..4], [1, 1, 5, 0]);
    assert_eq!(a.reply.items().len(), 5);
    assert_eq!(c.line("TYPE k"), simple("modqlease"));
    let b = timed(&mut c, "RATELIMIT.ACQUIRE k 5 b TTL 30000 COST 3");
    assert_eq!(ints(&b.reply)[..4], [1, 4, 5, 0]);
    let (fence_a, fence_b) = (a.at(4), b.at(4));
    assert!(
        0 < fence_a && fence_a < fence_b && fence_b < MAX,
        "{fence_a} {fence_b}"
    );
    // Denied: in use as it is, the earliest expiry that makes room, no fence.
    let denied = timed(&mut c, "RATELIMIT.ACQUIRE k 5 c TTL 1000 COST 2");
    assert_eq!(ints(&denied.reply)[..3], [0, 4, 5]);
    denied.assert_ends("retry", denied.at(3), &b, 30_000);
    assert_eq!(denied.at(4), 0);
    let denied = timed(&mut c, "RATELIMIT.ACQUIRE k 5 c TTL 1000 COST 5");
    denied.assert_ends("retry", denied.at(3), &a, 60_000);
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE k 5 c TTL 1000 COST 6"),
        arr![0, 4, 5, -1, 0]
    );
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE k 5 a TTL 1000 COST 6"),
        arr![0, 4, 5, -1, 0]
    );
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE none 1 c TTL 1000 COST 2"),
        arr![0, 0, 1, -1, 0]
    );
    assert_eq!(c.line("EXISTS none"), Value::Int(0));
    // Those there are, the first to end first.
    let leases = c.line("RATELIMIT.LEASES k");
    assert_eq!(leases.items().len(), 2);
    assert_lease(&leases[0], ("b", 3, fence_b), &b, 30_000);
    assert_lease(&leases[1], ("a", 1, fence_a), &a, 60_000);
}

/// An element of LEASES: id, cost and fence, and that it ends `ttl` after it was taken.
#[track_caller]
fn assert_lease(lease: &Value, (id, cost, fence): (&str, i64, i64), taken: &Timed, ttl: i64) {
    assert_eq!(lease.items().len(), 4);
    assert_eq!(
        (lease[0].text(), lease[1].int(), lease[3].int()),
        (id.into(), cost, fence)
    );
    let range = taken.lo + ttl..=taken.hi + ttl;
    assert!(range.contains(&lease[2].int()), "{lease:?}");
}

/// A renewal: new TTL and cost, the same fence; it does not stand in its own way.
fn renewals_keep_the_fence(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let a = timed(&mut c, "RATELIMIT.ACQUIRE k 5 a TTL 60000");
    let fence_b = c.line("RATELIMIT.ACQUIRE k 5 b TTL 30000 COST 3")[4].int();
    let renewed = timed(&mut c, "RATELIMIT.ACQUIRE k 5 b TTL 90000 COST 4");
    assert_eq!(ints(&renewed.reply), [1, 5, 5, 0, fence_b]);
    let lease = &c.line("RATELIMIT.LEASES k")[1];
    assert_lease(lease, ("b", 4, fence_b), &renewed, 90_000);
    // One that does not fit leaves the lease as it was.
    let before = (digest(&mut c, "k"), c.line("RATELIMIT.LEASES k"));
    let denied = timed(&mut c, "RATELIMIT.ACQUIRE k 5 b TTL 1000 COST 5");
    assert_eq!(ints(&denied.reply)[..3], [0, 5, 5]);
    denied.assert_ends("retry", denied.at(3), &a, 60_000);
    let denied = c.line("RATELIMIT.ACQUIRE k 4 b TTL 1000 COST 4");
    assert_eq!(
        (denied[0].int(), denied[2].int(), denied[4].int()),
        (0, 4, 0),
        "a lowered max"
    );
    assert_eq!((digest(&mut c, "k"), c.line("RATELIMIT.LEASES k")), before);
    // Shorter and cheaper.
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE k 5 b TTL 10000"),
        arr![1, 2, 5, 0, fence_b]
    );
}

fn released_leases_are_gone(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE k 5 a TTL 60000")[0],
        Value::Int(1)
    );
    let fence_b = c.line("RATELIMIT.ACQUIRE k 5 b TTL 60000")[4].int();
    assert_eq!(c.line("RATELIMIT.RELEASE k nobody"), Value::Int(0));
    assert_eq!(c.line("RATELIMIT.RELEASE k b"), Value::Int(1));
    assert_eq!(c.line("RATELIMIT.RELEASE k b"), Value::Int(0));
    // The same id, once it had ended, is another lease.
    let again = c.line("RATELIMIT.ACQUIRE k 5 b TTL 10000");
    assert!(again[4].int() > fence_b);
    assert_eq!(c.line("RATELIMIT.RELEASE k b"), Value::Int(1));
    assert_eq!(c.line("RATELIMIT.RELEASE k a"), Value::Int(1));
    assert_eq!(c.line("EXISTS k"), Value::Int(0));
    assert_eq!(c.line("RATELIMIT.LEASES k"), arr![]);
    assert_eq!(c.line("RATELIMIT.RELEASE k a"), Value::Int(0));
    // Ids are bytes.
    assert_eq!(
        cmd!(c, "RATELIMIT.ACQUIRE", "k", 5, b"\0\r\n\xff", "TTL", 60_000)[0],
        Value::Int(1)
    );
    assert_eq!(c.line("RATELIMIT.LEASES k")[0][0], bulk(b"\0\r\n\xff"));
    assert_eq!(
        cmd!(c, "RATELIMIT.RELEASE", "k", b"\0\r\n\xff"),
        Value::Int(1)
    );
}

fn leases_end_at_their_time(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let long = timed(&mut c, "RATELIMIT.ACQUIRE k 2 long TTL 60000");
    let short = timed(&mut c, "RATELIMIT.ACQUIRE k 2 short TTL 100");
    loop {
        let held = timed(&mut c, "RATELIMIT.LEASES k");
        if held.reply.items().len() == 1 {
            assert!(held.hi >= short.lo + 100, "it ended too early");
            assert_eq!(held.reply[0][0], bulk("long"));
            break;
        }
        assert!(held.lo < short.hi + 100, "it is still there");
    }
    assert_eq!(c.line("RATELIMIT.RELEASE k short"), Value::Int(0));
    let next = c.line("RATELIMIT.ACQUIRE k 2 short TTL 100");
    assert_eq!(ints(&next)[..4], [1, 2, 2, 0]);
    assert!(next[4].int() > short.at(4), "ended, so no renewal");
    assert_eq!(c.line("RATELIMIT.RELEASE k long"), Value::Int(1));
    assert!(cmd!(c, "PEXPIRETIME", "k").int() <= now_ms() + 100 && long.allowed());
    wait_until("the key is gone", PATIENCE, || {
        c.line("DBSIZE") == Value::Int(0)
    });
}

fn fences_grow(kind: Kind) {
    let mut server = Server::builder(kind).aof().start();
    let mut last = 0;
    let mut grows = |c: &mut Client, what: &str| {
        let fence = c.line("RATELIMIT.ACQUIRE k 5 me TTL 60000")[4].int();
        assert!(fence > last, "{what}: {fence} after {last}");
        last = fence;
    };
    let mut c = server.client();
    for _ in 0..200 {
        grows(&mut c, "after a release");
        assert_eq!(c.line("RATELIMIT.RELEASE k me"), Value::Int(1));
    }
    // In one transaction, where the clock may stand still.
    c.expect_ok("MULTI");
    for i in 0..100 {
        c.line(&format!("RATELIMIT.ACQUIRE many 100 h{i} TTL 60000"));
    }
    let fences: Vec<i64> = c
        .line("EXEC")
        .items()
        .iter()
        .map(|reply| reply[4].int())
        .collect();
    assert!(fences.is_sorted_by(|a, b| a < b), "{fences:?}");
    c.expect_ok("MULTI");
    for _ in 0..50 {
        c.line("RATELIMIT.ACQUIRE k 5 me TTL 60000");
        c.line("DEL k");
    }
    let replies = c.line("EXEC");
    let fences: Vec<i64> = replies
        .items()
        .iter()
        .step_by(2)
        .map(|reply| reply[4].int())
        .collect();
    assert!(fences.is_sorted(), "{fences:?}");
    grows(&mut c, "after DEL");
    c.expect_ok("FLUSHALL");
    grows(&mut c, "after FLUSHALL");
    c.expect_ok("SET k x");
    assert_eq!(c.line("DEL k"), Value::Int(1));
    grows(&mut c, "after SET and DEL");
    assert_eq!(c.line("RATELIMIT.RELEASE k me"), Value::Int(1));
    server.kill9();
    server.start_again();
    let mut c = server.client();
    grows(&mut c, "after a restart");
    c.expect_ok("DEBUG RELOAD");
    assert_eq!(c.line("RATELIMIT.RELEASE k me"), Value::Int(1));
    grows(&mut c, "after a reload");
}

fn at_most_100_000_leases(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let script = "for i = ARGV[1], ARGV[2] do \
                    local r = redis.call('RATELIMIT.ACQUIRE', KEYS[1], 1000000, 'h' .. i, 'TTL', 3600000 + i) \
                    if r[1] ~= 1 then return i end \
                  end return 0";
    for start in (0..100_000).step_by(10_000) {
        assert_eq!(
            cmd!(c, "EVAL", script, 1, "k", start, start + 9_999),
            Value::Int(0)
        );
    }
    let denied = c.line("RATELIMIT.ACQUIRE k 1000000 more TTL 1000");
    assert_eq!(ints(&denied)[..3], [0, 100_000, 1_000_000]);
    let wait = denied[3].int();
    assert!(
        (3_500_000..=3_600_000).contains(&wait),
        "until the first of them ends: {wait}"
    );
    assert_eq!(denied[4], Value::Int(0));
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE k 1000000 h5 TTL 3600000 COST 3")[1],
        Value::Int(100_002),
        "a renewal"
    );
    assert_eq!(c.line("RATELIMIT.RELEASE k h6"), Value::Int(1));
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE k 1000000 more TTL 3600000")[1],
        Value::Int(100_002)
    );
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE k 1000000 evenmore TTL 3600000")[0],
        Value::Int(0)
    );
    assert_eq!(c.line("RATELIMIT.LEASES k").items().len(), 100_000);
    let before = digest(&mut c, "k");
    c.expect_ok("DEBUG RELOAD");
    assert_eq!(digest(&mut c, "k"), before);
    assert_eq!(c.line("UNLINK k"), Value::Int(1));
}

/// Cursor and ids of a page.
fn page(c: &mut Client, options: &str) -> (String, Vec<String>) {
    let reply = c.line(&format!("RATELIMIT.LEASES k {options}"));
    assert_eq!(reply.items().len(), 2, "{options}");
    let ids = reply[1].items().iter().map(|row| row[0].text());
    (reply[0].text(), ids.collect())
}

fn leases_come_page_by_page(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    assert_eq!(page(&mut c, "COUNT 5"), ("0".into(), vec![]));
    for i in 0..250 {
        // Those taken later end earlier.
        let ttl = 90_000_000 - i * 1000;
        c.line(&format!("RATELIMIT.ACQUIRE k 1000 id{i} TTL {ttl} COST 2"));
    }
    let all = c.line("RATELIMIT.LEASES k");
    assert_eq!((all.items().len(), all[0][0].text()), (250, "id249".into()));
    let (mut next, mut seen) = ("0".to_owned(), Vec::new());
    loop {
        let (after, ids) = page(&mut c, &format!("CURSOR {next}"));
        assert_eq!(ids.len(), if after == "0" { 50 } else { 100 });
        seen.extend(ids);
        // What is renewed, for longer or not, stays where it is.
        c.line("RATELIMIT.ACQUIRE k 1000 id249 TTL 1000000000");
        c.line("RATELIMIT.ACQUIRE k 1000 id120 TTL 1000000");
        c.line("RATELIMIT.RELEASE k id0");
        next = after;
        if next == "0" {
            break;
        }
    }
    let ids: Vec<String> = (0..250).map(|i| format!("id{i}")).collect();
    assert_eq!(seen, ids);
    let first = c.line("RATELIMIT.LEASES k count 1 cursor 0");
    let all = c.line("RATELIMIT.LEASES k");
    let row = all
        .items()
        .iter()
        .find(|row| row[0] == bulk("id1"))
        .unwrap();
    assert_eq!(first[1], arr![row.clone()]);
    assert_ne!(first[0], bulk("0"));
    assert_eq!(page(&mut c, "COUNT 249").0, "0", "exactly all");
    for (options, part) in [
        ("COUNT 0", "COUNT"),
        ("COUNT 1001", "COUNT"),
        ("COUNT", "COUNT"),
        ("CURSOR x", "CURSOR"),
        ("CURSOR -1", "CURSOR"),
        ("COUNT 1 COUNT 1", "COUNT"),
        ("5", "option"),
    ] {
        assert_err!(
            c.line(&format!("RATELIMIT.LEASES k {options}")),
            "ERR",
            part
        );
    }
}

matrix!(
    leases_come_page_by_page,
    acquire_renew_deny_release,
    renewals_keep_the_fence,
    released_leases_are_gone,
    leases_end_at_their_time,
    fences_grow,
    at_most_100_000_leases,
);
