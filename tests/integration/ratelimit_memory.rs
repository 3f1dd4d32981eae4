//! RATELIMIT when memory is full: OOM only where a change must allocate, everything else as ever. And a log at its
//! most entries.

use super::ratelimit_kit::*;
use modq_testkit::*;

/// Puts the limit below what is in use, or takes it away.
fn memory_full(c: &mut Client, full: bool) {
    c.expect_ok(&format!(
        "CONFIG SET maxmemory {}",
        if full { 1_000_000 } else { 0 }
    ));
    let over = c.line("SET probe x").err_code() == "OOM";
    assert_eq!(over, full, "what is tested is what is meant");
    c.line("DEL probe");
}

/// A server whose memory is full. Of each algorithm there is a limiter of its name, with 60 of 100 charged by the
/// request i, and one that is full; a key is blocked; there is a policy p, and a lease of which `me` and `you` hold 2
/// and 1 of 5.
fn full_server(kind: Kind) -> (Server, Client) {
    let builder = Server::builder(kind).config("maxmemory-policy noeviction");
    let server = builder.start();
    let mut c = server.client();
    c.expect_ok(&format!("SET ballast {}", "x".repeat(2_000_000)));
    for algo in ALGOS {
        for line in [
            format!("RATELIMIT.CHECK {algo} 100 3600000 ALGO {algo} COST 60 ID i"),
            format!("RATELIMIT.CHECK full{algo} 5 3600000 ALGO {algo} COST 5"),
        ] {
            assert_eq!(c.line(&line)[0], Value::Int(1), "{line}");
        }
    }
    c.expect_ok("RATELIMIT.BLOCK blocked 3600000");
    c.expect_ok("RATELIMIT.POLICY SET p 100 3600000 ALGO GCRA");
    for lease in ["me TTL 3600000 COST 2", "you TTL 3600000"] {
        let reply = c.line(&format!("RATELIMIT.ACQUIRE lease 5 {lease}"));
        assert_eq!(reply[0], Value::Int(1));
    }
    memory_full(&mut c, true);
    (server, c)
}

/// Under a policy that evicts, the server makes room: new keys are admitted as SET writes them, at the limit and for
/// as long as they come.
fn a_policy_that_evicts_refuses_nobody(kind: Kind) {
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-ttl",
    ] {
        let server = Server::builder(kind).start();
        let mut c = server.client();
        let used = info_number(&mut c, "memory", "used_memory");
        c.expect_ok(&format!("CONFIG SET maxmemory-policy {policy}"));
        c.expect_ok(&format!("CONFIG SET maxmemory {}", used + 2_000_000));
        let requests = |kind: &str, from: usize| -> Vec<Vec<Vec<u8>>> {
            let words = |i| match kind {
                "CHECK" => format!("RATELIMIT.CHECK user:{i:08} 10 3600000 ID request:{i}"),
                "MCHECK" => format!(
                    "RATELIMIT.MCHECK 2 {{u}}:{i:08} {{u}}:ip:{i:08} LIMIT 10 3600000 LIMIT 100 3600000"
                ),
                "ACQUIRE" => format!("RATELIMIT.ACQUIRE lease:{i:08} 5 me TTL 3600000"),
                _ => format!("SET plain:{i:08} {} PX 3600000", "x".repeat(100)),
            };
            let split = |line: String| line.split(' ').map(|w| w.as_bytes().to_vec()).collect();
            (from..from + 1000).map(|i| split(words(i))).collect()
        };
        for (at, kind) in ["CHECK", "SET", "MCHECK", "ACQUIRE", "CHECK"]
            .into_iter()
            .enumerate()
        {
            let mut refused = 0;
            for from in 0..10 {
                let replies = c.pipeline_of(&requests(kind, at * 1_000_000 + from * 1000));
                refused += replies
                    .iter()
                    .filter(|r| matches!(r, Value::Error(_)))
                    .count();
            }
            // SET itself may be refused while the server has nothing it can evict.
            assert_eq!(refused, 0, "{kind} under {policy}");
        }
        assert!(
            info_number(&mut c, "stats", "evicted_keys") > 0,
            "{policy}: the limit was reached"
        );
    }
}

/// Refused is what needs a new key, a new limit, an id or a lease.
fn only_what_allocates_is_refused(kind: Kind) {
    let (_server, mut c) = full_server(kind);
    let before = debug_digest(&mut c);
    for algo in ALGOS {
        for line in [
            format!("RATELIMIT.CHECK new 5 3600000 ALGO {algo}"),
            format!("RATELIMIT.CHECK {algo} 5 1800000 ALGO {algo}"),
            format!("RATELIMIT.CHECK {algo} 100 3600000 ALGO {algo} ID fresh"),
            format!("RATELIMIT.MCHECK 2 {algo} new LIMIT 100 3600000 ALGO {algo} LIMIT 5 1000"),
            format!("RATELIMIT.MCHECK 2 new {algo} LIMIT 5 1000 LIMIT 100 3600000 ALGO {algo}"),
        ] {
            assert_err!(c.line(&line), "OOM");
        }
    }
    assert_err!(c.line("RATELIMIT.CHECK new POLICY p"), "OOM");
    assert_err!(c.line("RATELIMIT.ACQUIRE lease 5 other TTL 1000"), "OOM");
    assert_err!(c.line("RATELIMIT.ACQUIRE new 5 other TTL 1000"), "OOM");
    assert_eq!(
        debug_digest(&mut c),
        before,
        "refused, so nothing has changed"
    );
    assert_eq!(c.line("EXISTS new"), Value::Int(0));
    // In scripts the same. (A transaction is refused by the servers themselves as it is queued.)
    let script = "local denied = redis.call('RATELIMIT.CHECK', KEYS[1], 5, 1000, 'COST', 6) \
                  local renewed = redis.call('RATELIMIT.ACQUIRE', KEYS[2], 5, 'me', 'TTL', 4000000) \
                  local refused = redis.pcall('RATELIMIT.CHECK', KEYS[1], 5, 1000) \
                  return {denied[4], renewed[1], refused.err}";
    let reply = cmd!(c, "EVAL", script, 2, "new", "lease");
    assert_eq!(ints(&reply), [-1, 1]);
    assert!(reply[2].text().starts_with("OOM"), "{reply:?}");
    // With room again all of it works.
    memory_full(&mut c, false);
    for algo in ALGOS {
        let line = format!("RATELIMIT.CHECK new{algo} 5 3600000 ALGO {algo} ID i");
        assert_eq!(c.line(&line)[0], Value::Int(1), "{line}");
    }
    let lease = c.line("RATELIMIT.ACQUIRE lease 5 other TTL 1000");
    assert_eq!(lease[0], Value::Int(1));
}

/// Such as denials, however they come about, a cost of 0, and requests that are known.
fn what_changes_nothing_is_not_refused(kind: Kind) {
    let (_server, mut c) = full_server(kind);
    let before = debug_digest(&mut c);
    for algo in ALGOS {
        for (line, allowed) in [
            ("CHECK full@ 5 3600000 ALGO @", 0),
            ("CHECK full@ 5 3600000 ALGO @ ID fresh DETAIL", 0),
            ("CHECK full@ 5 3600000 ALGO @ COST 9 PARTIAL", 0),
            ("CHECK full@ 5 3600000 ALGO @ LIMIT 9 1000", 0),
            ("CHECK @ 100 3600000 ALGO @ COST 101", 0),
            ("CHECK new 5 3600000 ALGO @ COST 6", 0),
            ("CHECK new 5 3600000 ALGO @ COST 0", 1),
            ("CHECK @ 100 3600000 ALGO @ COST 60 ID i", 1),
            ("MCHECK 2 new full@ LIMIT 5 1000 LIMIT 5 3600000 ALGO @", 0),
            ("PEEK new 5 3600000 ALGO @", 1),
            ("PEEK @ 100 3600000 ALGO @ ID fresh DETAIL", 1),
        ] {
            let line = format!("RATELIMIT.{}", line.replace('@', algo));
            let reply = c.line(&line);
            assert_eq!(reply.err_code(), "", "{line}: {reply:?}");
            assert_eq!(reply[0], Value::Int(allowed), "{line}");
        }
    }
    assert_eq!(c.line("RATELIMIT.CHECK blocked 5 1000")[0], Value::Int(0));
    let never = c.line("RATELIMIT.ACQUIRE lease 5 other TTL 1000 COST 9");
    assert_eq!(never[3], Value::Int(-1));
    let denied = c.line("RATELIMIT.ACQUIRE lease 3 other TTL 1000");
    assert_eq!(denied[0], Value::Int(0));
    assert_eq!(c.line("RATELIMIT.LEASES lease").items().len(), 2);
    assert_eq!(debug_digest(&mut c), before);
}

/// Charges in place, where a number changes and nothing is added.
fn charges_in_place_are_not_refused(kind: Kind) {
    let (_server, mut c) = full_server(kind);
    for algo in ["FIXED", "GCRA"] {
        for left in [39, 38] {
            let reply = c.line(&format!("RATELIMIT.CHECK {algo} 100 3600000 ALGO {algo}"));
            assert_eq!(ints(&reply)[..3], [1, 100, left], "{algo}");
        }
    }
    // A window of an hour has buckets of a minute: in place is what comes in the same one.
    let charge = "RATELIMIT.CHECK COUNTER 100 3600000 ALGO COUNTER";
    let mut minute = 0;
    while minute != now_ms() / 60_000 {
        minute = now_ms() / 60_000;
        memory_full(&mut c, false);
        assert_eq!(c.line(charge)[0], Value::Int(1));
        memory_full(&mut c, true);
        let reply = c.line(charge);
        if minute == now_ms() / 60_000 {
            assert_eq!(ints(&reply)[..2], [1, 100], "{reply:?}");
        }
    }
}

/// Such as renewals, releases, refunds, and the end of a block.
fn what_gives_back_is_not_refused(kind: Kind) {
    let (_server, mut c) = full_server(kind);
    let renewed = c.line("RATELIMIT.ACQUIRE lease 5 me TTL 4000000 COST 3");
    assert_eq!(ints(&renewed)[..4], [1, 4, 5, 0]);
    assert_eq!(c.line("RATELIMIT.RELEASE lease you"), Value::Int(1));
    for algo in ALGOS {
        for (line, given_back) in [
            (format!("REFUND {algo} COST 2"), 2),
            (format!("REFUND {algo} ID i"), 58),
            (format!("RESET full{algo}"), 1),
        ] {
            let reply = c.line(&format!("RATELIMIT.{line}"));
            assert_eq!(reply, Value::Int(given_back), "{line}");
        }
    }
    assert_eq!(c.line("RATELIMIT.RESET blocked"), Value::Int(1));
    assert_eq!(c.line("RATELIMIT.POLICY GET p")[0], bulk("limits"));
    assert_eq!(c.line("RATELIMIT.POLICY DEL p"), Value::Int(1));
}

/// What is large is freed in the background, on replicas too.
fn a_reset_stalls_nobody(kind: Kind) {
    let server = Server::start(kind);
    let replica = Server::builder(kind).replica_of(&server).start();
    let mut c = server.client();
    for i in 0..100 {
        let line = format!("RATELIMIT.CHECK k 1000 600000 ALGO COUNTER ID request-{i}");
        assert_eq!(c.line(&line)[0], Value::Int(1));
    }
    wait_replica_synced(&server, &replica);
    assert_eq!(c.line("RATELIMIT.RESET k"), Value::Int(1));
    wait_replica_synced(&server, &replica);
    for node in [&server, &replica] {
        let mut c = node.client();
        assert_eq!(c.line("EXISTS k"), Value::Int(0));
        wait_until("it is freed elsewhere", PATIENCE, || {
            info(&mut c, "memory")["lazyfreed_objects"] != "0"
        });
    }
}

/// It takes what its primary did, whatever its own memory.
fn a_replica_is_not_refused(kind: Kind) {
    let primary = Server::start(kind);
    let replica = Server::builder(kind)
        .replica_of(&primary)
        .config("replica-ignore-maxmemory no")
        .start();
    wait_replica_synced(&primary, &replica);
    let (mut c, mut r) = (primary.client(), replica.client());
    r.expect_ok("CONFIG SET maxmemory-policy noeviction");
    r.expect_ok("CONFIG SET maxmemory 500000");
    fill(&mut c);
    wait_replica_synced(&primary, &replica);
    assert_eq!(debug_digest(&mut r), debug_digest(&mut c));
}

fn a_log_at_its_most_entries(kind: Kind) {
    let server = Server::builder(kind)
        .module_args(&["ratelimit-log-max-entries", "20"])
        .start();
    let mut c = server.client();
    // Remembered ids count: with the run of each charge there is room for nine or more, depending on the clock.
    let mut first = None;
    let mut n = 0;
    loop {
        let_pass(0);
        let asked = timed(&mut c, &format!("RATELIMIT.CHECK k 1000 60000 ID {n}"));
        if !asked.allowed() {
            let first: &Timed = first.as_ref().unwrap();
            assert_eq!(asked.at(1), 1000);
            assert_eq!(asked.at(2), 0, "remaining");
            asked.assert_ends("retry", asked.at(3), first, 60_000);
            break;
        }
        first.get_or_insert(asked);
        n += 1;
    }
    assert_eq!(n, 10);
    let before = digest(&mut c, "k");
    for _ in 0..5 {
        assert_eq!(c.line("RATELIMIT.CHECK k 1000 60000")[0], Value::Int(0));
    }
    assert_eq!(digest(&mut c, "k"), before);
    // Known requests, cost 0 and algorithms that need no entry are not its concern.
    assert_eq!(
        c.line("RATELIMIT.CHECK k 1000 60000 ID 3")[0],
        Value::Int(1)
    );
    assert_eq!(
        c.line("RATELIMIT.CHECK k 1000 60000 COST 0")[0],
        Value::Int(1)
    );
    assert_eq!(
        c.line("RATELIMIT.CHECK k 1000 60000 ALGO GCRA")[0],
        Value::Int(1)
    );
    // The setting can be changed, within its range.
    let name = ["modq.ratelimit-log-max-entries", "21"];
    assert_eq!(cmd!(c, "CONFIG", "SET", name[0], name[1]), ok());
    assert_eq!(c.line("RATELIMIT.CHECK k 1000 60000")[0], Value::Int(1));
    assert_err!(cmd!(c, "CONFIG", "SET", name[0], 0), "ERR");
    assert_eq!(cmd!(c, "CONFIG", "GET", name[0]), arr![name[0], "21"]);
    // What expires makes room.
    assert_eq!(cmd!(c, "CONFIG", "SET", name[0], 2), ok());
    let first = timed(&mut c, "RATELIMIT.CHECK short 1000 80 ID a");
    let mut denied = timed(&mut c, "RATELIMIT.CHECK short 1000 80 ID b");
    while !denied.allowed() {
        assert!(denied.lo < first.hi + 80);
        denied = timed(&mut c, "RATELIMIT.CHECK short 1000 80 ID b");
    }
    assert!(denied.hi >= first.lo + 80);
}

matrix!(
    a_policy_that_evicts_refuses_nobody,
    only_what_allocates_is_refused,
    what_changes_nothing_is_not_refused,
    charges_in_place_are_not_refused,
    what_gives_back_is_not_refused,
    a_reset_stalls_nobody,
    a_replica_is_not_refused,
    a_log_at_its_most_entries,
);
