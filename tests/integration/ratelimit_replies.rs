//! RATELIMIT: what CHECK, PEEK and MCHECK answer, element by element.

use super::ratelimit_kit::*;
use modq_testkit::*;

fn five_integers_for_every_algorithm(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for algo in ALGOS {
        let line = format!("RATELIMIT.CHECK {algo} 3 60000 ALGO {algo}");
        let first = timed(&mut c, &line);
        assert_eq!(ints(&first.reply)[..4], [1, 3, 2, 0], "{algo}");
        assert_eq!(first.reply.items().len(), 5);
        match algo {
            "LOG" | "FIXED" => assert_eq!(first.at(4), 60_000, "{algo}"),
            "GCRA" => assert_eq!(
                first.at(4),
                20_000,
                "a unit drains in a third of the window"
            ),
            // Buckets of 1,000 ms, of which one unit is gone as soon as 1 ms of it is out of the window.
            _ => {
                let ends = (first.lo..=first.hi).map(|t| t / 1000 * 1000 + 60_001 - t);
                assert!(ends.into_iter().any(|end| end == first.at(4)), "{algo}");
            }
        }
        let second = timed(&mut c, &line);
        assert_eq!(ints(&second.reply)[..4], [1, 3, 1, 0], "{algo}");
        let third = timed(&mut c, &line);
        assert_eq!(ints(&third.reply)[..4], [1, 3, 0, 0], "{algo}");
        let denied = timed(&mut c, &line);
        assert_eq!(ints(&denied.reply)[..3], [0, 3, 0], "{algo}");
        match algo {
            "LOG" => {
                denied.assert_ends("retry", denied.at(3), &first, 60_000);
                denied.assert_ends("reset", denied.at(4), &third, 60_000);
            }
            "FIXED" => {
                denied.assert_ends("retry", denied.at(3), &first, 60_000);
                denied.assert_ends("reset", denied.at(4), &first, 60_000);
            }
            "GCRA" => {
                denied.assert_ends("retry", denied.at(3), &first, 20_000);
                denied.assert_ends("reset", denied.at(4), &first, 60_000);
            }
            _ => {
                assert!((1..=60_001).contains(&denied.at(3)), "{:?}", denied.reply);
                assert!(denied.at(3) <= denied.at(4), "{:?}", denied.reply);
            }
        }
        assert_eq!(c.line(&format!("TYPE {algo}")), simple("modqlimit"));
    }
    // LOG is what is meant by none.
    c.line("RATELIMIT.CHECK LOG 3 60000");
    assert_eq!(
        c.line("RATELIMIT.PEEK LOG 3 60000 COST 0")[2],
        Value::Int(0)
    );
}

fn a_missing_key_is_an_empty_one(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    assert_eq!(c.line("RATELIMIT.PEEK k 3 60000"), arr![1, 3, 2, 0, 60_000]);
    assert_eq!(
        c.line("RATELIMIT.PEEK k 3 60000 COST 0"),
        arr![1, 3, 3, 0, 0]
    );
    assert_eq!(
        c.line("RATELIMIT.CHECK k 3 60000 COST 0"),
        arr![1, 3, 3, 0, 0]
    );
    assert_eq!(
        c.line("RATELIMIT.CHECK k 3 60000 COST 4"),
        arr![0, 3, 3, -1, 0]
    );
    assert_eq!(
        c.line("RATELIMIT.CHECK k 3 60000 ALGO GCRA BURST 2 COST 3"),
        arr![0, 3, 2, -1, 0],
        "GCRA: what cannot fit is what is above the burst"
    );
    assert_eq!(
        c.line("RATELIMIT.PEEK k 3 60000 ALGO GCRA BURST 5 COST 4"),
        arr![1, 3, 1, 0, 80_000]
    );
    assert_eq!(
        c.line("RATELIMIT.CHECK k 3 60000 COST 0 ID i"),
        arr![1, 3, 3, 0, 0]
    );
    assert_eq!(c.line("RATELIMIT.REFUND k COST 1"), Value::Int(0));
    assert_eq!(c.line("RATELIMIT.REFUND k ID i"), Value::Int(0));
    assert_eq!(c.line("RATELIMIT.RESET k"), Value::Int(0));
    c.expect_ok("RATELIMIT.BLOCK k 0");
    assert_eq!(
        c.line("EXISTS k"),
        Value::Int(0),
        "none of these makes a key"
    );
}

fn detail_tells_of_each_limit(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    assert_eq!(
        c.line("RATELIMIT.CHECK k 5 60000 LIMIT 2 1000000 ALGO FIXED DETAIL"),
        arr![
            1,
            2,
            1,
            0,
            1_000_000,
            1,
            arr![
                arr![5, 60_000, 4, 60_000, 60_000, 0],
                arr![2, 1_000_000, 1, 1_000_000, 1_000_000, 0]
            ]
        ]
    );
    let denied = c.line("RATELIMIT.CHECK k 5 60000 LIMIT 2 1000000 ALGO FIXED COST 3 DETAIL");
    assert_eq!(ints(&denied)[..4], [0, 2, 1, -1]);
    assert_eq!(denied[5], Value::Int(0), "granted");
    let violated: Vec<&Value> = denied[6].items().iter().map(|limit| &limit[5]).collect();
    assert_eq!(violated, [&Value::Int(0), &Value::Int(1)]);
    assert_eq!(denied[6][0][2], Value::Int(4), "left as it was");
    // Unused, nothing grows.
    assert_eq!(
        c.line("RATELIMIT.PEEK nothing 9 60000 COST 0 DETAIL"),
        arr![1, 9, 9, 0, 0, 0, arr![arr![9, 60_000, 9, 0, 0, 0]]]
    );
    // The next unit of a bucket comes before it is empty.
    assert_eq!(
        c.line("RATELIMIT.CHECK g 10 60000 ALGO GCRA COST 5 DETAIL"),
        arr![
            1,
            10,
            5,
            0,
            30_000,
            5,
            arr![arr![10, 60_000, 5, 6_000, 30_000, 0]]
        ]
    );
}

fn partial_grants_what_there_is(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    assert_eq!(
        c.line("RATELIMIT.CHECK p 5 60000 COST 3"),
        arr![1, 5, 2, 0, 60_000]
    );
    assert_eq!(
        c.line("RATELIMIT.CHECK p 5 60000 COST 4 PARTIAL"),
        arr![1, 5, 0, 0, 60_000, 2]
    );
    let denied = timed(&mut c, "RATELIMIT.CHECK p 5 60000 COST 4 PARTIAL");
    assert_eq!(ints(&denied.reply)[..3], [0, 5, 0]);
    assert!(
        (1..=60_000).contains(&denied.at(3)),
        "the wait for one unit"
    );
    assert_eq!(denied.at(5), 0);
    let none = c.line("RATELIMIT.CHECK p 5 60000 COST 0 PARTIAL");
    assert_eq!(ints(&none)[..4], [1, 5, 0, 0]);
    assert_eq!(none[5], Value::Int(0));
    // The least of several limits is what is granted; a cost above every quota is no reason to deny.
    assert_eq!(
        c.line("RATELIMIT.CHECK q 9 60000 LIMIT 4 70000 LIMIT 6 80000 COST 9007199254740992 PARTIAL DETAIL"),
        arr![
            1,
            4,
            0,
            0,
            70_000,
            4,
            arr![
                arr![9, 60_000, 5, 60_000, 60_000, 1],
                arr![4, 70_000, 0, 70_000, 70_000, 1],
                arr![6, 80_000, 2, 80_000, 80_000, 1]
            ]
        ]
    );
}

fn the_deciding_limit(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    // Least remaining; on ties the first named.
    assert_eq!(c.line("RATELIMIT.CHECK k 5 60000 COST 3")[2], Value::Int(2));
    let limit_of = |c: &mut Client, limits: &str| {
        c.line(&format!("RATELIMIT.PEEK k {limits} COST 0"))[1].int()
    };
    assert_eq!(limit_of(&mut c, "5 60000 LIMIT 2 70000"), 5);
    assert_eq!(limit_of(&mut c, "2 70000 LIMIT 5 60000"), 2);
    assert_eq!(limit_of(&mut c, "5 60000 LIMIT 1 70000"), 1);
    assert_eq!(limit_of(&mut c, "9 80000 LIMIT 5 60000 LIMIT 2 70000"), 5);
    // On a denial the longest wait, of which -1 is the longest, and only among the violated.
    assert_eq!(
        c.line("RATELIMIT.CHECK d 4 60000 LIMIT 4 600000 COST 4")[0],
        Value::Int(1)
    );
    let denied = |c: &mut Client, limits: &str| {
        let reply = c.line(&format!("RATELIMIT.CHECK d {limits}"));
        assert_eq!(reply[0], Value::Int(0), "{limits}");
        (reply[1].int(), reply[3].int())
    };
    let (limit, wait) = denied(&mut c, "4 60000 LIMIT 5 600000 LIMIT 1 900000");
    assert!(limit == 4 && (1..=60_000).contains(&wait), "{limit} {wait}");
    let (limit, wait) = denied(&mut c, "4 60000 LIMIT 3 600000 LIMIT 9 900000");
    assert!(
        limit == 3 && (500_000..=600_000).contains(&wait),
        "{limit} {wait}"
    );
    let (limit, wait) = denied(&mut c, "4 60000 LIMIT 4 600000 LIMIT 2 900000 COST 3");
    assert_eq!((limit, wait), (2, -1));
    let (limit, wait) = denied(&mut c, "1 60000 LIMIT 2 600000 COST 3");
    assert_eq!((limit, wait), (1, -1), "a tie of two that can never fit");
}

fn all_limits_or_none(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for algo in ALGOS {
        let both =
            format!("RATELIMIT.CHECK {algo} 100 60000 ALGO {algo} LIMIT 2 70000 ALGO {algo}");
        assert_eq!(c.line(&both)[0], Value::Int(1));
        assert_eq!(c.line(&both)[0], Value::Int(1));
        for _ in 0..3 {
            assert_eq!(c.line(&both)[0], Value::Int(0));
        }
        let present = |c: &mut Client, limit: &str| {
            c.line(&format!("RATELIMIT.PEEK {algo} {limit} ALGO {algo} COST 0"))[2].int()
        };
        assert_eq!(
            present(&mut c, "100 60000"),
            98,
            "{algo}: the other is not charged"
        );
        // A limit that is not named keeps its charges and is not consulted.
        assert_eq!(
            c.line(&format!("RATELIMIT.CHECK {algo} 100 60000 ALGO {algo}"))[2],
            Value::Int(97)
        );
        assert_eq!(present(&mut c, "2 70000"), 0, "{algo}");
        // A changed quota keeps what is charged; (window, algorithm) is who it is.
        assert_eq!(present(&mut c, "10 60000"), 7, "{algo}");
        assert_eq!(present(&mut c, "2 60000"), 0, "{algo}");
        assert_eq!(present(&mut c, "10 60001"), 10, "{algo}");
        let others = ALGOS.into_iter().filter(|other| *other != algo);
        for other in others {
            let reply = c.line(&format!(
                "RATELIMIT.PEEK {algo} 10 60000 ALGO {other} COST 0"
            ));
            assert_eq!(reply[2], Value::Int(10), "{algo} seen as {other}");
        }
    }
    // A quota lowered below what is charged denies even a cost of 0, and PARTIAL does not.
    let reply = c.line("RATELIMIT.CHECK LOG 2 60000 COST 0");
    assert_eq!(ints(&reply)[..3], [0, 2, 0]);
    assert!((1..=60_000).contains(&reply[3].int()), "{reply:?}");
    assert_eq!(
        c.line("RATELIMIT.CHECK LOG 2 60000 COST 0 PARTIAL")[0],
        Value::Int(1)
    );
}

/// Whatever PEEK says, CHECK then answers; COUNTER's and GCRA's numbers may move with the clock.
fn foretold_by_peek(c: &mut Client, algo: &str, options: &str) {
    let limit = format!("100 600000 ALGO {algo} {options}");
    let asked = ints(&c.line(&format!("RATELIMIT.PEEK one:{algo} {limit}")));
    let replies = c.pipeline(&[
        format!("COPY one:{algo} copy REPLACE"),
        format!("RATELIMIT.CHECK copy {limit}"),
        "DEL copy".into(),
    ]);
    let done = ints(&replies[1]);
    assert_eq!(done.len(), asked.len(), "{limit}");
    for (i, (a, b)) in asked.iter().zip(&done).enumerate() {
        // The waits shrink, and with the clock something may become free.
        let near = (a - b).abs() <= if i == 3 || i == 4 { 20_000 } else { 3 };
        assert!(near, "{limit}: {asked:?} then {done:?}");
    }
}

fn peek_is_check_that_does_nothing(kind: Kind) {
    let server = Server::builder(kind).aof().start();
    let mut c = server.client();
    fill(&mut c);
    let before = (
        debug_digest(&mut c),
        info(&mut c, "persistence")["aof_current_size"].clone(),
    );
    let dirty = |c: &mut Client| info(c, "persistence")["rdb_changes_since_last_save"].clone();
    let changes = dirty(&mut c);
    for algo in ALGOS {
        for options in [
            "",
            "COST 0",
            "COST 57",
            "COST 58",
            "COST 101",
            "ID i",
            "COST 60 PARTIAL",
            "DETAIL",
        ] {
            foretold_by_peek(&mut c, algo, options);
        }
    }
    assert_eq!(
        c.line("RATELIMIT.PEEK all 1 5 ID x COST 3 PARTIAL DETAIL")[0],
        Value::Int(0),
        "blocked"
    );
    assert_ne!(
        dirty(&mut c),
        changes,
        "the copies count as changes: the measure works"
    );
    assert_eq!(debug_digest(&mut c), before.0);
    let (changes, size) = (
        dirty(&mut c),
        info(&mut c, "persistence")["aof_current_size"].clone(),
    );
    assert_ne!(size, before.1, "the measure works");
    let random: Vec<String> = (0..100)
        .map(|i| format!("RATELIMIT.PEEK one:LOG 100 600000 COST {i}"))
        .collect();
    random.iter().for_each(|line| drop(c.line(line)));
    assert_eq!(
        (
            dirty(&mut c),
            info(&mut c, "persistence")["aof_current_size"].clone()
        ),
        (changes, size)
    );
}

fn many_keys_at_once(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    assert_eq!(
        c.line("RATELIMIT.MCHECK 2 user ip LIMIT 3 60000 LIMIT 5 70000 ALGO GCRA BURST 7 COST 2"),
        arr![1, 0, arr![1, 3, 1, 0, 60_000], arr![1, 5, 5, 0, 28_000]]
    );
    // One denies: none is charged, and each key's verdict is its own.
    let denied =
        c.line("RATELIMIT.MCHECK 2 user ip LIMIT 3 60000 LIMIT 5 70000 ALGO GCRA BURST 7 COST 2");
    assert_eq!(denied[0], Value::Int(0));
    assert_eq!(denied.items().len(), 4);
    assert_eq!(ints(&denied[2])[..3], [0, 3, 1]);
    assert_eq!(ints(&denied[3])[..4], [1, 5, 5, 0]);
    assert_eq!(denied[1], denied[2][3], "the largest wait");
    assert_eq!(
        c.line("RATELIMIT.PEEK user 3 60000 COST 0")[2],
        Value::Int(1)
    );
    assert_eq!(
        c.line("RATELIMIT.MCHECK 2 user new LIMIT 3 60000 LIMIT 1 60000 COST 2")[1],
        Value::Int(-1)
    );
    assert_eq!(c.line("EXISTS new"), Value::Int(0));
    assert_eq!(
        c.line("RATELIMIT.MCHECK 2 user new LIMIT 3 60000 LIMIT 1 60000 COST 0")[0],
        Value::Int(1)
    );
    assert_eq!(c.line("EXISTS new"), Value::Int(0));
    // 1 to 8 keys; the first of them too.
    for n in 1..=8 {
        let keys: Vec<String> = (0..n).map(|i| format!("n{n}:{i}")).collect();
        let limits: Vec<String> = (0..n)
            .map(|i| format!("LIMIT {} 60000 ALGO {}", i + 2, ALGOS[i % 4]))
            .collect();
        let reply = c.line(&format!(
            "RATELIMIT.MCHECK {n} {} {}",
            keys.join(" "),
            limits.join(" ")
        ));
        assert_eq!(reply.items().len(), 2 + n);
        for i in 0..n {
            assert_eq!(
                ints(&reply[2 + i])[..4],
                [1, i as i64 + 2, i as i64 + 1, 0],
                "{n} keys: {reply:?}"
            );
        }
        assert_eq!(
            c.line(&format!("EXISTS {}", keys.join(" "))),
            Value::Int(n as i64)
        );
    }
    // A block on one of them.
    c.expect_ok("RATELIMIT.BLOCK ip 40000");
    let denied = c.line("RATELIMIT.MCHECK 2 user ip LIMIT 3 60000 LIMIT 5 70000 ALGO GCRA BURST 7");
    assert_eq!(
        (denied[0].int(), denied[2][0].int(), denied[3][0].int()),
        (0, 1, 0)
    );
    assert_eq!(denied[1], denied[3][3]);
}

fn works_in_transactions_scripts_and_both_protocols(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("MULTI");
    for line in [
        "RATELIMIT.CHECK k 2 60000",
        "RATELIMIT.CHECK k 2 60000",
        "RATELIMIT.CHECK k 2 60000",
        "RATELIMIT.CHECK k 0 1",
    ] {
        assert_eq!(c.line(line), simple("QUEUED"));
    }
    let replies = c.line("EXEC");
    assert_eq!(ints(&replies[0]), [1, 2, 1, 0, 60_000]);
    assert_eq!(ints(&replies[1]), [1, 2, 0, 0, 60_000]);
    assert_eq!(replies[2][0], Value::Int(0));
    assert_err!(replies[3].clone(), "ERR", "quota");
    let script = "local a = redis.call('RATELIMIT.CHECK', KEYS[1], 2, 60000) \
                  local b = redis.call('RATELIMIT.ACQUIRE', KEYS[2], 1, 'me', 'TTL', 60000) \
                  local e = redis.pcall('RATELIMIT.CHECK', KEYS[2], 2, 60000) \
                  return {a, b[1], e.err}";
    let reply = cmd!(c, "EVAL", script, 2, "script", "lease");
    assert_eq!(ints(&reply[0]), [1, 2, 1, 0, 60_000]);
    assert_eq!(reply[1], Value::Int(1));
    assert!(reply[2].text().starts_with("WRONGTYPE"), "{reply:?}");
    let mut c = c.hello3();
    assert_eq!(
        ints(&c.line("RATELIMIT.CHECK resp3 2 60000 DETAIL"))[..6],
        [1, 2, 1, 0, 60_000, 1]
    );
    // Keys and ids are bytes.
    let (key, id) = (b"k\0\r\n\xff", b"i\0\r\n\xfe");
    for n in [1, 1] {
        let reply = cmd!(c, "RATELIMIT.CHECK", key, 5, 60_000, "ID", id);
        assert_eq!((reply[0].int(), reply[2].int()), (1, 5 - n));
    }
    assert_eq!(cmd!(c, "RATELIMIT.REFUND", key, "ID", b"i"), Value::Int(0));
    assert_eq!(cmd!(c, "RATELIMIT.REFUND", key, "ID", id), Value::Int(1));
    assert_eq!(
        cmd!(
            c,
            "RATELIMIT.MCHECK",
            2,
            b"",
            key,
            "LIMIT",
            1,
            1000,
            "LIMIT",
            1,
            1000
        )[0],
        Value::Int(1)
    );
}

matrix!(
    five_integers_for_every_algorithm,
    a_missing_key_is_an_empty_one,
    detail_tells_of_each_limit,
    partial_grants_what_there_is,
    the_deciding_limit,
    all_limits_or_none,
    peek_is_check_that_does_nothing,
    many_keys_at_once,
    works_in_transactions_scripts_and_both_protocols,
);
