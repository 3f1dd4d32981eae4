//! RATELIMIT: arguments in range and out of it, options in any order and case, wrong types.

use super::ratelimit_kit::*;
use modq_testkit::*;

const TOO_BIG: i64 = MAX + 1;

/// The least that a number may be, a line with it at `#`, and what the error names.
const NUMBERS: [(i64, &str, &str); 20] = [
    (1, "RATELIMIT.CHECK k # 1000", "quota"),
    (1, "RATELIMIT.CHECK k 5 #", "window"),
    (0, "RATELIMIT.CHECK k 5 1000 COST #", "COST"),
    (1, "RATELIMIT.CHECK k 5 1000 ALGO GCRA BURST #", "BURST"),
    (1, "RATELIMIT.CHECK k 5 1000 LIMIT # 2000", "quota"),
    (1, "RATELIMIT.CHECK k 5 1000 LIMIT 5 #", "window"),
    (1, "RATELIMIT.PEEK k # 1000", "quota"),
    (0, "RATELIMIT.PEEK k 5 1000 COST #", "COST"),
    (1, "RATELIMIT.MCHECK # k LIMIT 5 1000", "numkeys"),
    (1, "RATELIMIT.MCHECK 1 k LIMIT # 1000", "quota"),
    (1, "RATELIMIT.MCHECK 1 k LIMIT 5 #", "window"),
    (0, "RATELIMIT.MCHECK 1 k LIMIT 5 1000 COST #", "COST"),
    (0, "RATELIMIT.REFUND k COST #", "COST"),
    (0, "RATELIMIT.BLOCK k #", "ms"),
    (1, "RATELIMIT.POLICY SET p # 1000", "quota"),
    (1, "RATELIMIT.POLICY SET p 5 #", "window"),
    (
        1,
        "RATELIMIT.POLICY SET p 5 1000 ALGO GCRA BURST #",
        "BURST",
    ),
    (1, "RATELIMIT.ACQUIRE k # id TTL 1000", "max"),
    (1, "RATELIMIT.ACQUIRE k 5 id TTL #", "TTL"),
    (1, "RATELIMIT.ACQUIRE k 5 id TTL 1000 COST #", "COST"),
];

fn numbers_in_range(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let good = [
        format!("RATELIMIT.CHECK a 1 {MAX}"),
        format!("RATELIMIT.CHECK b {MAX} 1"),
        format!("RATELIMIT.CHECK c {MAX} {MAX} COST {MAX}"),
        format!("RATELIMIT.CHECK d {MAX} {MAX} ALGO GCRA BURST {MAX} COST {MAX}"),
        format!("RATELIMIT.CHECK e {MAX} {MAX} ALGO COUNTER COST {MAX}"),
        format!("RATELIMIT.CHECK f {MAX} {MAX} ALGO FIXED COST {MAX}"),
        "RATELIMIT.CHECK g 1 1 ALGO GCRA BURST 1".to_string(),
        format!("RATELIMIT.CHECK h 1 {MAX} ALGO GCRA BURST {MAX} COST {MAX}"),
        "RATELIMIT.CHECK i 5 1000 COST 0".to_string(),
        format!("RATELIMIT.MCHECK 1 j LIMIT {MAX} {MAX} COST {MAX}"),
        format!("RATELIMIT.ACQUIRE k {MAX} id TTL {MAX} COST {MAX}"),
        "RATELIMIT.ACQUIRE l 1 id TTL 1 COST 1".to_string(),
    ];
    for line in good {
        let reply = c.line(&line);
        assert_eq!(reply[0], Value::Int(1), "{line}: {reply:?}");
    }
    // Waits and expiries saturate at 2^53.
    for line in [
        format!("RATELIMIT.CHECK c {MAX} {MAX}"),
        format!("RATELIMIT.CHECK e {MAX} {MAX} ALGO COUNTER"),
        format!("RATELIMIT.CHECK h 1 {MAX} ALGO GCRA BURST {MAX} COST {MAX}"),
    ] {
        let reply = c.line(&line);
        assert_eq!(ints(&reply)[..3], [0, reply[1].int(), 0], "{line}");
        // COUNTER's first bucket begins in 1970, so its wait is less by the time since then.
        let waits = [reply[3].int(), reply[4].int()];
        assert!(
            waits
                .iter()
                .all(|wait| (MAX - (1 << 41)..=MAX).contains(wait)),
            "{line}: {reply:?}"
        );
    }
    for key in ["c", "d", "e", "f", "h", "j", "k"] {
        let expires = cmd!(c, "PEXPIRETIME", key).int();
        assert_eq!(expires, MAX, "{key}");
    }
    for ms in [0, 1, MAX] {
        c.expect_ok(&format!("RATELIMIT.BLOCK m {ms}"));
    }
    for cost in [0, 1, MAX] {
        assert_eq!(
            c.line(&format!("RATELIMIT.REFUND missing COST {cost}")),
            Value::Int(0)
        );
    }
}

fn numbers_in_and_out_of_range(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let numbers = |least: i64| {
        let mut bad: Vec<String> = [least - 1, TOO_BIG, i64::MAX, i64::MIN]
            .iter()
            .map(i64::to_string)
            .collect();
        bad.extend(
            ["x", "1.0", "+1", "1e3", "0x1", "01", "99999999999999999999"].map(str::to_owned),
        );
        bad
    };
    let before = debug_digest(&mut c);
    for (least, line, names) in NUMBERS {
        // The least is fine.
        let reply = c.line(&line.replace('#', &least.to_string()));
        assert_eq!(reply.err_code(), "", "{line}: {reply:?}");
        c.expect_ok("FLUSHALL");
        c.line("RATELIMIT.POLICY DEL p");
        for bad in numbers(least) {
            assert_refused(&mut c, &line.replace('#', &bad), names);
        }
    }
    assert_eq!(debug_digest(&mut c), before);
    assert_eq!(c.line("RATELIMIT.POLICY LIST"), arr![]);
}

fn names_and_ids_in_and_out_of_range(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for (len, fits) in [(0, false), (1, true), (512, true), (513, false)] {
        let id = "i".repeat(len);
        let replies = [
            cmd!(c, "RATELIMIT.CHECK", "k", 1000, 60_000, "ID", id),
            cmd!(c, "RATELIMIT.PEEK", "k", 1000, 60_000, "ID", id),
            cmd!(c, "RATELIMIT.REFUND", "k", "ID", id),
            cmd!(c, "RATELIMIT.ACQUIRE", "l", 1000, id, "TTL", 60_000),
            cmd!(c, "RATELIMIT.RELEASE", "l", id),
            cmd!(c, "RATELIMIT.POLICY", "SET", id, 5, 1000),
            cmd!(c, "RATELIMIT.CHECK", "m", "POLICY", id),
        ];
        for (i, reply) in replies.iter().enumerate() {
            assert_eq!(
                reply.err_code() == "ERR",
                !fits,
                "command {i} with {len} bytes: {reply:?}"
            );
        }
    }
}

/// What may not follow CHECK or PEEK and a key, where there is the policy p, and what the error names.
const BAD_CHECKS: &[(&str, &str)] = &[
    ("", "wrong number"),
    ("5", "wrong number"),
    ("5 1000 COST", "COST"),
    ("5 1000 ID", "ID"),
    ("5 1000 ALGO", "ALGO"),
    ("5 1000 BURST", "BURST"),
    ("5 1000 LIMIT", "quota"),
    ("5 1000 LIMIT 5", "window"),
    ("5 1000 NONSENSE", "'NONSENSE'"),
    ("5 0", "milliseconds"),
    ("NONSENSE 1000", "quota"),
    ("COST 5", "quota"),
    ("COST 5 LIMIT 5 1000", "LIMIT"),
    ("LIMIT 5 1000", "quota"),
    ("5 1000 COST 1 COST 1", "COST"),
    ("5 1000 ID a ID a", "ID"),
    ("5 1000 PARTIAL PARTIAL", "PARTIAL"),
    ("5 1000 DETAIL detail", "DETAIL"),
    ("5 1000 ALGO LOG ALGO LOG", "ALGO"),
    ("5 1000 ALGO GCRA BURST 1 BURST 1", "BURST"),
    ("5 1000 ALGO SLIDING", "ALGO"),
    ("5 1000 BURST 5", "BURST"),
    ("5 1000 ALGO LOG BURST 5", "BURST"),
    ("5 1000 ALGO COUNTER BURST 5", "BURST"),
    ("5 1000 BURST 5 ALGO FIXED", "BURST"),
    ("5 1000 ALGO GCRA LIMIT 5 1000 BURST 5", "BURST"),
    ("5 1000 LIMIT 6 1000", "LIMIT"),
    ("5 1000 ALGO GCRA LIMIT 6 1000 ALGO GCRA BURST 3", "LIMIT"),
    ("5 1000 LIMIT 6 2000 LIMIT 7 1000 ALGO LOG", "LIMIT"),
    ("5 1000 POLICY p", "POLICY"),
    ("POLICY", "wrong number"),
    ("POLICY p LIMIT 5 1000", "LIMIT"),
    ("POLICY p ALGO GCRA", "POLICY"),
    ("POLICY p BURST 1", "BURST"),
    ("POLICY nobody LIMIT 5 1000", "LIMIT"),
    ("POLICY nobody NONSENSE", "option"),
    ("COST 5 POLICY p COST 5", "COST"),
    ("COST 5 POLICY p ALGO LOG", "ALGO"),
    ("POLICY p POLICY p", "POLICY"),
    ("POLICY p COST", "COST"),
    ("POLICY p COST 1 COST 2", "COST"),
];

/// Other lines that are refused, and what the error names.
const BAD_LINES: &[(&str, &str)] = &[
    ("RATELIMIT.MCHECK 0 LIMIT 5 1000 COST 1", "numkeys"),
    (
        "RATELIMIT.MCHECK 9 1 2 3 4 5 6 7 8 9 LIMIT 5 1000",
        "numkeys",
    ),
    ("RATELIMIT.MCHECK 2 a b LIMIT 5 1000", "LIMIT"),
    ("RATELIMIT.MCHECK 1 a LIMIT 5 1000 LIMIT 5 2000", "LIMIT"),
    ("RATELIMIT.MCHECK 2 a a LIMIT 5 1000 LIMIT 5 2000", "key"),
    (
        "RATELIMIT.MCHECK 3 a b a LIMIT 5 1000 LIMIT 5 2000 LIMIT 5 1000",
        "key",
    ),
    ("RATELIMIT.MCHECK 8 a LIMIT 5 1000 COST 1", ""),
    ("RATELIMIT.MCHECK 1 a COST 5 COST 5", "COST"),
    ("RATELIMIT.MCHECK 1 a LIMIT 5 1000 COST 5 COST 5", "COST"),
    ("RATELIMIT.MCHECK 1 a ALGO LOG LIMIT 5 1000", "ALGO"),
    ("RATELIMIT.MCHECK 1 a LIMIT 5 1000 BURST 5", "BURST"),
    ("RATELIMIT.MCHECK 1 a LIMIT 5 1000 ID x", "option"),
    ("RATELIMIT.MCHECK 1 a LIMIT 5 1000 PARTIAL", "option"),
    ("RATELIMIT.MCHECK 1 a LIMIT 5 1000 DETAIL", "option"),
    ("RATELIMIT.MCHECK 1 a POLICY p x", "option"),
    ("RATELIMIT.REFUND k", "wrong number"),
    ("RATELIMIT.REFUND k COST", "wrong number"),
    ("RATELIMIT.REFUND k COST 1 ID a", "wrong number"),
    ("RATELIMIT.REFUND k UNITS 1", "option"),
    ("RATELIMIT.RESET", "wrong number"),
    ("RATELIMIT.RESET a b", "wrong number"),
    ("RATELIMIT.BLOCK k", "wrong number"),
    ("RATELIMIT.BLOCK k 1 2", "wrong number"),
    ("RATELIMIT.ACQUIRE k 5 id", "wrong number"),
    ("RATELIMIT.ACQUIRE k 5 id COST 5", "TTL"),
    ("RATELIMIT.ACQUIRE k 5 id TTL 1 TTL 1", "TTL"),
    ("RATELIMIT.ACQUIRE k 5 id TTL 1 COST 1 COST 1", "COST"),
    ("RATELIMIT.ACQUIRE k 5 id TTL 1 NONSENSE", "option"),
    ("RATELIMIT.RELEASE k", "wrong number"),
    ("RATELIMIT.RELEASE k a b", "wrong number"),
    ("RATELIMIT.LEASES", "wrong number"),
    ("RATELIMIT.LEASES a b", "unknown option"),
    ("RATELIMIT.POLICY", "wrong number"),
    ("RATELIMIT.POLICY NONSENSE", "unknown subcommand"),
    ("RATELIMIT.POLICY HELP me", "wrong number"),
    ("RATELIMIT.BLOCK k -1", "milliseconds"),
    ("RATELIMIT.ACQUIRE k 5 id TTL 0", "milliseconds"),
    ("RATELIMIT.POLICY SET q", "wrong number"),
    ("RATELIMIT.POLICY SET q 5", "wrong number"),
    ("RATELIMIT.POLICY SET q 5 1000 COST 1", "option"),
    ("RATELIMIT.POLICY SET q 5 1000 BURST 5", "BURST"),
    ("RATELIMIT.POLICY SET q 5 1000 LIMIT 6 1000", "LIMIT"),
    ("RATELIMIT.POLICY GET", "wrong number"),
    ("RATELIMIT.POLICY GET p q", "wrong number"),
    ("RATELIMIT.POLICY DEL", "wrong number"),
    ("RATELIMIT.POLICY LIST p", "wrong number"),
];

fn malformed_commands_are_refused(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    assert_eq!(c.line("RATELIMIT.POLICY SET p 5 1000"), ok());
    let eight: String = (1..8).map(|i| format!(" LIMIT 5 {i}")).collect();
    let nine = format!("{eight} LIMIT 5 8");
    for checking in ["CHECK", "PEEK"] {
        let check = format!("RATELIMIT.{checking} k");
        for (rest, names) in BAD_CHECKS {
            assert_refused(&mut c, &format!("{check} {rest}"), names);
        }
        assert_refused(&mut c, &format!("{check} 5 1000{nine}"), "LIMIT");
        assert_eq!(
            c.line(&format!("{check} 5 1000{eight}"))[0],
            Value::Int(1),
            "8 limits"
        );
        c.line("RATELIMIT.RESET k");
    }
    for (line, names) in BAD_LINES {
        assert_refused(&mut c, line, names);
    }
    assert_refused(
        &mut c,
        &format!("RATELIMIT.POLICY SET q 5 1000{nine}"),
        "LIMIT",
    );
    assert_eq!(c.line("RATELIMIT.POLICY LIST"), arr!["p"]);
    assert_eq!(c.line("DBSIZE"), Value::Int(0));
    // Errors show words that could be options, and no other bytes, however wild.
    let wild = cmd!(c, "RATELIMIT.CHECK", "k", 5, 1000, "\u{100}%s%n\r\n\0");
    assert_err!(wild, "ERR", "option");
    assert_err!(
        cmd!(c, "RATELIMIT.CHECK", "k", "%s%n\u{100}", 1000),
        "ERR",
        "quota"
    );
}

fn options_in_any_order_and_case(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let lines = [
        "ratelimit.check k1 5 60000 algo gcra burst 7 limit 6 70000 cost 2 id x partial detail",
        "RateLimit.Check k2 5 60000 DETAIL PARTIAL ID x COST 2 BURST 7 ALGO GCRA LIMIT 6 70000",
        "RATELIMIT.CHECK k3 5 60000 BURST 7 COST 2 ALGO Gcra Id x Limit 6 70000 Algo Log Partial Detail",
        "RATELIMIT.CHECK k4 5 60000 id x burst 7 detail algo GCRA partial limit 6 70000 COST 2 ALGO log",
    ];
    let expected = arr![
        1,
        6,
        4,
        0,
        70_000,
        2,
        arr![
            arr![5, 60_000, 5, 12_000, 24_000, 0],
            arr![6, 70_000, 4, 70_000, 70_000, 0]
        ]
    ];
    for line in lines {
        assert_eq!(c.line(line), expected, "{line}");
    }
    c.expect_ok("RATELIMIT.POLICY SET p 5 60000 ALGO GCRA BURST 7 LIMIT 6 70000");
    for line in [
        "RATELIMIT.CHECK p1 POLICY p COST 2 ID x PARTIAL DETAIL",
        "RATELIMIT.CHECK p2 DETAIL PARTIAL ID x COST 2 POLICY p",
        "RATELIMIT.CHECK p3 cost 2 policy p partial id x detail",
        "RATELIMIT.PEEK p4 id POLICY policy p cost 2 detail partial",
    ] {
        assert_eq!(c.line(line), expected, "{line}");
    }
    // A word that looks like an option where a value belongs is a value.
    assert_eq!(
        c.line("RATELIMIT.CHECK k5 5 60000 ID COST COST 2")[2],
        Value::Int(3)
    );
    assert_eq!(c.line("RATELIMIT.REFUND k5 ID COST"), Value::Int(2));
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE l 5 TTL COST 2 TTL 60000")[1],
        Value::Int(2)
    );
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE l 5 COST ttl 60000 cost 3")[1],
        Value::Int(5)
    );
    assert_eq!(
        c.line("RATELIMIT.MCHECK 2 LIMIT COST COST 2 LIMIT 5 60000 LIMIT 6 60000")[3][2],
        Value::Int(4)
    );
}

fn sixteen_limits_in_use(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for n in 0..16 {
        let window = 60_000 + n;
        let algo = ALGOS[n as usize % 4];
        let reply = c.line(&format!("RATELIMIT.CHECK k 5 {window} ALGO {algo}"));
        assert_eq!(reply[2], Value::Int(4), "limit {n}");
    }
    let before = digest(&mut c, "k");
    assert_refused(&mut c, "RATELIMIT.CHECK k 5 90000", "LIMIT");
    assert_refused(&mut c, "RATELIMIT.CHECK k 5 60000 LIMIT 5 90000", "LIMIT");
    assert_refused(&mut c, "RATELIMIT.CHECK k 5 60000 ALGO FIXED", "LIMIT");
    assert_refused(&mut c, "RATELIMIT.PEEK k 5 90000", "LIMIT");
    assert_refused(
        &mut c,
        "RATELIMIT.MCHECK 2 other k LIMIT 5 1000 LIMIT 5 90000",
        "LIMIT",
    );
    assert_eq!(
        (digest(&mut c, "k"), c.line("EXISTS other")),
        (before, Value::Int(0))
    );
    // Cost 0 puts none in use; those in use go on.
    assert_eq!(c.line("RATELIMIT.CHECK k 5 90000 COST 0")[0], Value::Int(1));
    assert_eq!(
        c.line("RATELIMIT.CHECK k 5 60000 LIMIT 5 60003 ALGO GCRA")[0],
        Value::Int(1)
    );
    // One that is no longer in use makes room.
    assert_eq!(c.line("RATELIMIT.RESET k"), Value::Int(1));
    let short = timed(&mut c, "RATELIMIT.CHECK k 5 150");
    for n in 1..16 {
        assert_eq!(
            c.line(&format!("RATELIMIT.CHECK k 5 {}", 60_000 + n))[0],
            Value::Int(1)
        );
    }
    let mut reply = timed(&mut c, "RATELIMIT.CHECK k 5 90000");
    wait_until("the short limit is out of use", PATIENCE, || {
        reply = timed(&mut c, "RATELIMIT.CHECK k 5 90000");
        reply.reply.err_code() != "ERR"
    });
    assert_eq!(ints(&reply.reply), [1, 5, 4, 0, 90_000]);
    assert!(reply.hi >= short.lo + 150);
}

/// Commands on limiters, with a key at `#`.
const LIMITING: [&str; 10] = [
    "RATELIMIT.CHECK # 5 60000",
    "RATELIMIT.CHECK # 5 60000 COST 0",
    "RATELIMIT.PEEK # 5 60000",
    "RATELIMIT.MCHECK 1 # LIMIT 5 60000",
    "RATELIMIT.MCHECK 2 limiter # LIMIT 5 60000 LIMIT 5 60000",
    "RATELIMIT.REFUND # COST 1",
    "RATELIMIT.REFUND # ID x",
    "RATELIMIT.RESET #",
    "RATELIMIT.BLOCK # 5",
    "RATELIMIT.BLOCK # 0",
];

/// Commands on leases.
const LEASING: [&str; 4] = [
    "RATELIMIT.ACQUIRE # 5 id TTL 60000",
    "RATELIMIT.RELEASE # id",
    "RATELIMIT.LEASES #",
    "RATELIMIT.LEASES # COUNT 5",
];

fn wrong_types_in_all_directions(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("SET string x");
    assert_eq!(c.line("RPUSH list x"), Value::Int(1));
    assert_ne!(c.line("MODQ.SUBMIT queue item payload").err_code(), "ERR");
    assert_eq!(c.line("RATELIMIT.CHECK limiter 5 60000")[0], Value::Int(1));
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE lease 5 id TTL 60000")[0],
        Value::Int(1)
    );
    let types = ["string", "list", "queue", "limiter", "lease"]
        .map(|key| c.line(&format!("TYPE {key}")).text());
    assert_eq!(
        types,
        ["string", "list", "modqqueue", "modqlimit", "modqlease"]
    );
    let before = debug_digest(&mut c);
    for key in ["string", "list", "queue", "lease"] {
        for line in LIMITING {
            assert_err!(c.line(&line.replace('#', key)), "WRONGTYPE");
        }
    }
    for key in ["string", "list", "queue", "limiter"] {
        for line in LEASING {
            assert_err!(c.line(&line.replace('#', key)), "WRONGTYPE");
        }
    }
    for key in ["limiter", "lease"] {
        for line in [
            "GET #",
            "LPUSH # x",
            "MODQ.SUBMIT # item payload",
            "MODQ.LEN #",
            "INCR #",
        ] {
            assert_err!(c.line(&line.replace('#', key)), "WRONGTYPE");
        }
    }
    assert_eq!(
        debug_digest(&mut c),
        before,
        "a command that is an error changes nothing"
    );
    c.expect_ok("SET limiter overwritten");
    assert_eq!(c.line("GET limiter"), bulk("overwritten"));
}

matrix!(
    numbers_in_range,
    numbers_in_and_out_of_range,
    names_and_ids_in_and_out_of_range,
    malformed_commands_are_refused,
    options_in_any_order_and_case,
    sixteen_limits_in_use,
    wrong_types_in_all_directions,
);
