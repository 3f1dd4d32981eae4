//! RANK: what each command answers, each option and each error, in RESP2 and RESP3, in MULTI and in scripts.

use modq_testkit::*;

const NIL: Value = Value::NullBulk;

fn fill(c: &mut Client) {
    for (member, score) in [("a", 9), ("b", 7), ("c", 7), ("d", 5)] {
        let added = c.line(&format!("RANK.ADD b {member} {score}"));
        assert_eq!(added[0], Value::Int(1), "{added:?}");
    }
}

fn add_answers_change_ranks_and_scores(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    assert_eq!(c.line("RANK.ADD b x 1 NOCREATE"), NIL);
    assert_eq!(c.line("EXISTS b"), Value::Int(0));
    assert_eq!(c.line("RANK.ADD b x 5"), arr![1, 1, NIL, 5]);
    assert_eq!(c.line("TYPE b"), simple("modqboard"));
    assert_eq!(c.line("RANK.ADD b y 7 NOCREATE"), arr![1, 1, NIL, 7]);
    assert_eq!(c.line("RANK.ADD b x 3"), arr![1, 1, 2, 8]);
    assert_eq!(c.line("RANK.ADD b x 0"), arr![0, 1, 1, 8]);
    assert_eq!(c.line("RANK.ADD b x 1 UPDATE BEST"), arr![0, 1, 1, 8]);
    assert_eq!(c.line("RANK.ADD b x -4 UPDATE last"), arr![1, 2, 1, -4]);
    let max = i64::MAX;
    let added = c.line(&format!("RANK.ADD b x {max} UPDATE LAST"));
    assert_eq!(added, arr![1, 1, 2, max]);
    unchanged(&mut c, "b", |c| {
        assert_err!(c.line("RANK.ADD b x 1 ID overflow"), "ERR", "score");
        for wrong in [
            "+1",
            "01",
            "1e3",
            "5.0",
            "-0",
            "9223372036854775808",
            "\"\"",
        ] {
            assert_err!(c.line(&format!("RANK.ADD b x {wrong}")), "ERR");
        }
        for wrong in [
            "1 2",
            "1 2 3 4 5",
            "1 NOCREATE NOCREATE",
            "1 ID",
            "1 FOO",
            "1 UPDATE MOST",
        ] {
            assert_err!(c.line(&format!("RANK.ADD b x {wrong}")), "ERR");
        }
        assert_err!(cmd!(c, "RANK.ADD", "b", "", 1), "ERR", "member");
        assert_err!(cmd!(c, "RANK.ADD", "b", [b'x'; 513], 1), "ERR", "member");
        assert_err!(
            cmd!(c, "RANK.ADD", "b", "x", 1, "ID", [b'x'; 513]),
            "ERR",
            "ID"
        );
        assert_err!(cmd!(c, "RANK.ADD", "b", "x", 1, "ID", ""), "ERR", "ID");
    });
    let wild: &[u8] = b"\0\r\n\xff";
    assert_eq!(cmd!(c, "RANK.ADD", "b", wild, 1), arr![1, 3, NIL, 1]);
    assert_eq!(cmd!(c, "RANK.ADD", "b", [b'x'; 512], 1)[1], Value::Int(4));
}

fn retries_count_once(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    assert_eq!(c.line("RANK.ADD b x 5 ID r1"), arr![1, 1, NIL, 5]);
    unchanged(&mut c, "b", |c| {
        assert_eq!(c.line("RANK.ADD b x 5 ID r1"), arr![0, 1, 1, 5]);
        assert_eq!(c.line("RANK.ADD b y 9 ID r1"), arr![0, NIL, NIL, 9]);
        assert_err!(c.line("RANK.ADD b y 9 9 ID r1"), "ERR");
    });
    // What changes no row is recorded all the same, an error is not.
    assert_eq!(c.line("RANK.ADD b x 0 ID r2"), arr![0, 1, 1, 5]);
    assert_err!(c.line(&format!("RANK.ADD b x {} ID r3", i64::MAX)), "ERR");
    assert_eq!(c.line("RANK.ADD b x 1 ID r2"), arr![0, 1, 1, 5]);
    assert_eq!(c.line("RANK.INFO b").field("ids"), Value::Int(2));
    // Across a close it is recognised, and what is moved has none.
    assert_eq!(c.line("RANK.CLOSE b old"), Value::Int(1));
    assert_eq!(c.line("RANK.ADD b x 5 ID r1"), arr![0, NIL, NIL, 5]);
    assert_eq!(c.line("RANK.INFO old").field("ids"), Value::Int(0));
    // RETRY 0: never.
    c.expect_ok("RANK.CREATE never RETRY 0");
    for total in 1..4 {
        let added = c.line("RANK.ADD never x 1 ID same");
        assert_eq!((added[0].int(), added[3].int()), (1, total));
    }
}

fn create_and_configure(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("RANK.CREATE plain");
    let shown = c.line("RANK.INFO plain");
    let bytes = shown.field("bytes");
    assert_eq!(bytes, c.line("MEMORY USAGE plain"));
    let expected = |order: Value, rest: [&str; 2], numbers: [i64; 3]| {
        arr![
            "order", order, "update", rest[0], "ties", rest[1], "columns", numbers[0], "cap",
            numbers[1], "retry", numbers[2], "members", 0, "ids", 0, "bytes"
        ]
    };
    let without_bytes = |reply: &Value| Value::Array(reply.items()[..17].to_vec());
    assert_eq!(
        without_bytes(&shown),
        expected(arr!["desc"], ["sum", "earliest"], [1, 0, 600_000])
    );
    c.expect_ok(
        "RANK.CREATE full ORDER DESC asc UPDATE best TIES LATEST COLUMNS 2 CAP 9007199254740992 RETRY 1099511627776",
    );
    assert_eq!(
        without_bytes(&c.line("RANK.INFO full")),
        expected(
            arr!["desc", "asc"],
            ["best", "latest"],
            [2, 1 << 53, 1 << 40]
        )
    );
    assert_err!(c.line("RANK.CREATE full"), "EXISTS");
    assert_err!(c.line("RANK.CREATE full ORDER UP"), "ERR");
    for wrong in [
        "ORDER",
        "ORDER DESC ASC",
        "COLUMNS 2 ORDER ASC ASC ASC",
        "COLUMNS 0",
        "COLUMNS 5",
        "CAP -1",
        "CAP 9007199254740993",
        "RETRY -1",
        "RETRY 1099511627777",
        "TIES FIRST",
        "UPDATE ADD",
        "TIES MEMBER TIES MEMBER",
        "FOO",
    ] {
        assert_err!(c.line(&format!("RANK.CREATE new {wrong}")), "ERR");
    }
    assert_eq!(c.line("RANK.CONFIGURE new RETRY 5"), NIL);
    assert_eq!(c.line("EXISTS new"), Value::Int(0));
    unchanged(&mut c, "full", |c| c.expect_ok("RANK.CONFIGURE full"));
    unchanged(&mut c, "full", |c| {
        c.expect_ok("RANK.CONFIGURE full UPDATE BEST")
    });
    changed(&mut c, "full", |c| {
        c.expect_ok("RANK.CONFIGURE full UPDATE LAST RETRY 7")
    });
    let shown = c.line("RANK.INFO full");
    assert_eq!(
        (shown.field("update"), shown.field("retry")),
        ("last".into(), 7.into())
    );
    assert_err!(c.line("RANK.CONFIGURE full RETRY -1"), "ERR");
    assert_err!(c.line("RANK.CONFIGURE full CAP 1"), "ERR");
    assert_eq!(c.line("RANK.INFO none"), NIL);
}

fn readers_answer_rows(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    fill(&mut c);
    for (ranking, ranks) in [
        ("", [1, 2, 3, 4]),
        ("RANKING STANDARD ", [1, 2, 2, 4]),
        ("RANKING dense ", [1, 2, 2, 3]),
    ] {
        let got = c.line(&format!("RANK.GET b {ranking}a b c d"));
        let got: Vec<i64> = got.items().iter().map(|row| row[0].int()).collect();
        assert_eq!(got, ranks, "{ranking}");
        let top = c.line(&format!("RANK.TOP b 3 OFFSET 1 {ranking}"));
        let top: Vec<i64> = top.items().iter().map(|row| row[0].int()).collect();
        assert_eq!(top, ranks[1..], "{ranking}");
        let around = c.line(&format!("RANK.AROUND b c 0 1 {ranking}"));
        let around: Vec<i64> = around.items().iter().map(|row| row[0].int()).collect();
        assert_eq!(around, ranks[2..], "{ranking}");
    }
    let got = c.line("RANK.GET b c nobody c");
    assert_eq!((got[0][1].clone(), got[1].clone()), (7.into(), NIL));
    let achieved = got[2][2].int();
    assert!(
        (now_ms() - 600_000..=now_ms()).contains(&achieved),
        "{achieved}"
    );
    assert_eq!(
        c.line("RANK.TOP b 2"),
        arr![arr![1, "a", 9], arr![2, "b", 7]]
    );
    assert_eq!(c.line("RANK.TOP b 0"), arr![]);
    assert_eq!(c.line("RANK.TOP b 5 OFFSET 9007199254740992"), arr![]);
    assert_eq!(c.line("RANK.AROUND b a 5 0"), arr![arr![1, "a", 9]]);
    assert_eq!(c.line("RANK.AROUND b nobody 1 1"), NIL);
    assert_eq!(
        c.line("RANK.AMONG b d nobody a d"),
        arr![arr![1, 1, "a", 9], arr![2, 4, "d", 5]]
    );
    for (score, better) in [(10, 0), (9, 0), (8, 1), (7, 1), (5, 3), (i64::MIN, 4)] {
        assert_eq!(c.line(&format!("RANK.COUNT b {score}")), Value::Int(better));
    }
    assert_eq!(c.line("RANK.PERCENTILE b c"), "75".into());
    assert_eq!(c.line("RANK.PERCENTILE b nobody"), NIL);
    assert_eq!(c.line("RANK.CARD b"), Value::Int(4));
    for wrong in [
        "GET b RANKING",
        "GET b RANKING DENSE",
        "GET b RANKING a",
        "TOP b -1",
        "TOP b 10001",
        "TOP b 1 OFFSET -1",
        "TOP b 1 OFFSET 9007199254740993",
        "TOP b 1 RANKING",
        "TOP b 1 FOO",
        "AROUND b a 1",
        "AROUND b a 1 10001",
        "AROUND b a -1 1",
        "AROUND b a 1 1 DENSE",
        "COUNT b x",
        "COUNT b 1 2",
        "COUNT b 1 FOO",
    ] {
        assert_err!(c.line(&format!("RANK.{wrong}")), "ERR");
    }
    // A member of the name of the option is asked after behind it.
    c.line("RANK.ADD b RANKING 1");
    assert_eq!(
        c.line("RANK.GET b RANKING ORDINAL RANKING")[0][0],
        Value::Int(5)
    );
    assert_eq!(c.line("RANK.GET b a RANKING")[1][0], Value::Int(5));
}

fn most_members_that_can_be_asked_after(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    fill(&mut c);
    for command in ["RANK.GET", "RANK.AMONG"] {
        let mut words = vec![command, "b"];
        words.resize(10_002, "a");
        assert!(!c.cmd(&words).items().is_empty());
        words.push("a");
        assert_err!(c.cmd(&words), "ERR", "10000");
    }
}

fn missing_keys_are_empty_boards(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for (line, reply) in [
        ("RANK.GET no a b", arr![NIL, NIL]),
        ("RANK.TOP no 5", arr![]),
        ("RANK.AROUND no a 1 1", NIL),
        ("RANK.AMONG no a b", arr![]),
        ("RANK.COUNT no 1", 0.into()),
        ("RANK.PERCENTILE no a", NIL),
        ("RANK.CARD no", 0.into()),
        ("RANK.INFO no", NIL),
        ("RANK.REM no a", 0.into()),
        ("RANK.REM no a SCORE 1 2", 0.into()),
        ("RANK.CLOSE no other", 0.into()),
        ("RANK.IMPORT no other", 0.into()),
    ] {
        assert_eq!(c.line(line), reply, "{line}");
    }
    assert_eq!(c.line("DBSIZE"), Value::Int(0));
}

fn keys_of_other_types_are_refused(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("SET s 1");
    fill(&mut c);
    for line in [
        "CREATE s",
        "CONFIGURE s RETRY 1",
        "ADD s a 1",
        "ADD s a 1 NOCREATE",
        "GET s a",
        "TOP s 1",
        "AROUND s a 1 1",
        "AMONG s a",
        "COUNT s 1",
        "PERCENTILE s a",
        "CARD s",
        "INFO s",
        "REM s a",
        "CLOSE s x",
        "IMPORT s z",
        "IMPORT b s",
        "IMPORT b b",
    ] {
        assert_err!(c.line(&format!("RANK.{line}")), "WRONGTYPE");
    }
    // CLOSE looks in this order.
    assert_err!(c.line("RANK.CLOSE s s"), "ERR");
    assert_err!(c.line("RANK.CLOSE b b"), "ERR");
    assert_err!(c.line("RANK.CLOSE s b"), "WRONGTYPE");
    assert_eq!(c.line("RANK.CLOSE none s"), Value::Int(0));
    assert_err!(c.line("RANK.CLOSE b s"), "EXISTS");
}

fn rem_looks_at_the_score(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("RANK.CREATE b COLUMNS 2 ORDER DESC ASC");
    assert_eq!(c.line("RANK.ADD b x 3 4"), arr![1, 1, NIL, 3, 4]);
    assert_eq!(c.line("RANK.ADD b y 3 3"), arr![1, 1, NIL, 3, 3]);
    unchanged(&mut c, "b", |c| {
        assert_eq!(c.line("RANK.REM b x SCORE 3 5"), Value::Int(0));
        assert_eq!(c.line("RANK.REM b z SCORE 3 4"), Value::Int(0));
        assert_eq!(c.line("RANK.REM b z"), Value::Int(0));
        assert_err!(c.line("RANK.REM b x SCORE 3"), "ERR");
        assert_err!(c.line("RANK.REM b z SCORE 3"), "ERR");
        assert_err!(c.line("RANK.REM b x SCORE"), "ERR");
        assert_err!(c.line("RANK.REM b x SCORE a b"), "ERR");
    });
    assert_eq!(c.line("RANK.REM b x SCORE 3 4"), Value::Int(1));
    assert_eq!(c.line("RANK.REM b y"), Value::Int(1));
    // A board exists, even empty.
    assert_eq!(c.line("EXISTS b"), Value::Int(1));
}

fn cap_keeps_the_best(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("RANK.CREATE b CAP 2 UPDATE BEST");
    c.line("RANK.ADD b x 5");
    c.line("RANK.ADD b y 6");
    unchanged(&mut c, "b", |c| {
        assert_eq!(c.line("RANK.ADD b z 5"), arr![0, NIL, NIL, 5]);
    });
    assert_eq!(c.line("RANK.ADD b z 7"), arr![1, 1, NIL, 7]);
    assert_eq!(c.line("RANK.GET b x"), arr![NIL]);
    assert_eq!(c.line("RANK.ADD b z -9 UPDATE LAST"), arr![1, 2, 1, -9]);
}

fn close_moves_the_board_and_its_expiry(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("RANK.CREATE b TIES LATEST UPDATE LAST");
    fill(&mut c);
    c.line("PEXPIREAT b 4102444800000");
    let before = digest(&mut c, "b");
    // CLOSE works when nothing may be added.
    c.expect_ok("CONFIG SET maxmemory 1");
    assert_err!(c.line("RANK.ADD b e 1"), "OOM");
    assert_eq!(c.line("RANK.CLOSE b old"), Value::Int(4));
    c.expect_ok("CONFIG SET maxmemory 0");
    assert_eq!(digest(&mut c, "old"), before);
    assert_eq!(c.line("PEXPIRETIME old"), Value::Int(4_102_444_800_000));
    assert_eq!(c.line("PEXPIRETIME b"), Value::Int(-1));
    let shown = c.line("RANK.INFO b");
    assert_eq!(
        (shown.field("members"), shown.field("ties")),
        (0.into(), "latest".into())
    );
    // The last stamp stays: what comes next is later than what was.
    c.line("RANK.ADD b e 1");
    let later = c.line("RANK.GET b e")[0][2].int();
    assert!(later >= c.line("RANK.GET old d")[0][2].int());
}

fn replies_in_resp3(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client().hello3();
    fill(&mut c);
    assert_eq!(c.line("RANK.ADD b new 1 ID x"), arr![1, 5, Value::Null, 1]);
    assert_eq!(c.line("RANK.ADD none new 1 NOCREATE"), Value::Null);
    assert_eq!(c.line("RANK.PERCENTILE b a"), Value::Double(100.0));
    let Value::Map(fields) = c.line("RANK.INFO b") else {
        panic!("a map");
    };
    assert_eq!(fields.len(), 9);
    assert_eq!(fields[0], ("order".into(), arr!["desc"]));
    for line in [
        "RANK.INFO none",
        "RANK.AROUND b none 1 1",
        "RANK.PERCENTILE b none",
        "RANK.CONFIGURE none",
    ] {
        assert_eq!(c.line(line), Value::Null, "{line}");
    }
    assert_eq!(c.line("RANK.GET b none"), arr![Value::Null]);
    // A third: as the server writes it, in both.
    c.line("RANK.REM b new");
    c.line("RANK.REM b d");
    assert_eq!(c.line("RANK.PERCENTILE b b"), Value::Double(200.0 / 3.0));
    let text = server.client().line("RANK.PERCENTILE b b").text();
    assert_eq!(text.parse(), Ok(200.0 / 3.0));
}

fn works_in_transactions_and_scripts(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let lines = [
        "MULTI",
        "RANK.ADD b x 1",
        "RANK.ADD b y 1",
        "RANK.TOP b 9",
        "RANK.CLOSE b old",
        "RANK.CARD b",
        "EXEC",
    ];
    let replies = c.pipeline(&lines);
    assert_eq!(
        replies[6],
        arr![
            arr![1, 1, NIL, 1],
            arr![1, 2, NIL, 1],
            arr![arr![1, "x", 1], arr![2, "y", 1]],
            2,
            0
        ]
    );
    let script = "redis.call('RANK.ADD', KEYS[1], 'm', 7); return redis.call('RANK.GET', KEYS[1], 'm')[1][2]";
    assert_eq!(cmd!(c, "EVAL", script, 1, "b"), Value::Int(7));
    let refused = cmd!(
        c,
        "EVAL",
        "return redis.pcall('RANK.ADD', KEYS[1], 'm', 'x')",
        1,
        "b"
    );
    assert_err!(refused, "ERR");
}

fn keyspace_notifications(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("CONFIG SET notify-keyspace-events Kd");
    let mut listener = server.client();
    listener.send(&["PSUBSCRIBE", "__keyspace@0__:*"]);
    listener.read();
    c.line("ZADD z 1 m");
    for line in [
        "RANK.CREATE b",
        "RANK.ADD b a 1",
        "RANK.ADD b a 0",
        "RANK.ADD b a 5 ID x",
        "RANK.ADD b a 5 ID x",
        "RANK.REM b a",
        "RANK.REM b a",
        "RANK.IMPORT b z",
        "RANK.CLOSE b old",
        "RANK.CLOSE none other",
    ] {
        c.line(line);
    }
    let expected = [
        ("b", "rank.create"),
        ("b", "rank.add"),
        ("b", "rank.add"),
        ("b", "rank.rem"),
        ("b", "rank.import"),
        ("b", "rank.close"),
        ("old", "rank.close"),
    ];
    for (key, event) in expected {
        let channel = format!("__keyspace@0__:{key}");
        assert_eq!(
            listener.read(),
            arr!["pmessage", "__keyspace@0__:*", channel, event]
        );
    }
}

fn what_the_server_knows_of_the_commands(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for (line, keys) in [
        ("RANK.CLOSE a b", arr!["a", "b"]),
        ("RANK.IMPORT a b", arr!["a", "b"]),
        ("RANK.ADD a m 1", arr!["a"]),
    ] {
        assert_eq!(c.line(&format!("COMMAND GETKEYS {line}")), keys);
    }
    let docs = server.client().hello3().line("COMMAND DOCS rank.import");
    assert_eq!(docs.field("rank.import").field("since").text(), "0.2.0");
    let args = docs.field("rank.import").field("arguments");
    let specs = args.items().iter().map(|arg| arg.field("key_spec_index"));
    assert_eq!(
        specs.collect::<Vec<_>>(),
        [Value::Int(0), Value::Int(1)],
        "each key has a spec of its own"
    );
    let flags =
        |c: &mut Client, name: &str| format!("{:?}", c.line(&format!("COMMAND INFO {name}"))[0][2]);
    for (name, oom) in [
        ("CREATE", true),
        ("ADD", true),
        ("IMPORT", true),
        ("CLOSE", false),
        ("REM", false),
    ] {
        let flags = flags(&mut c, &format!("RANK.{name}"));
        assert!(
            flags.contains("write") && flags.contains("denyoom") == oom,
            "{name}: {flags}"
        );
    }
    // A user who may read the set, and write to the board, may import.
    c.expect_ok("ACL SETUSER u on >p ~b* %R~z* +rank.import +rank.close");
    c.line("ZADD z 1 m");
    let mut u = server.client();
    u.expect_ok("AUTH u p");
    assert_eq!(u.line("RANK.IMPORT b z"), Value::Int(1));
    assert_err!(u.line("RANK.CLOSE b z2"), "NOPERM");
    assert_err!(u.line("RANK.IMPORT z b"), "NOPERM");
    let shown = info(&mut c, "modq");
    assert_eq!(
        (&*shown["modq_rank_boards"], &*shown["modq_rank_members"]),
        ("1", "1")
    );
}

fn unlink_frees_and_memory_is_what_it_takes(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.line("RANK.ADD b first 1");
    c.line("RANK.REM b first");
    let used = |c: &mut Client| info_number(c, "memory", "used_memory") as i64;
    let mut random = Random::new(3);
    let before = used(&mut c);
    const N: i64 = 100_000;
    for round in 0..N / 1000 {
        let lines: Vec<String> = (0..1000)
            .map(|i| {
                format!(
                    "RANK.ADD b m:{:012} {}",
                    (round * 1000 + i) * 7919 % N,
                    random.below(1_000_000)
                )
            })
            .collect();
        assert!(
            c.pipeline(&lines)
                .iter()
                .all(|reply| reply[0] == Value::Int(1))
        );
    }
    let grown = used(&mut c) - before;
    let each = grown as f64 / N as f64 - 14.0;
    let told = c.line("MEMORY USAGE b SAMPLES 0").int();
    println!(
        "{kind:?}: {each:.1} bytes a member beyond its name; MEMORY USAGE says {told} of {grown}"
    );
    assert!(each <= 64.0, "{each}");
    let ratio = told as f64 / grown as f64;
    assert!((0.9..1.1).contains(&ratio), "{told} of {grown}");
    c.line("UNLINK b");
    wait_until("it is freed", PATIENCE, || {
        used(&mut c) < before + grown / 20
    });
}

matrix!(
    add_answers_change_ranks_and_scores,
    retries_count_once,
    create_and_configure,
    readers_answer_rows,
    most_members_that_can_be_asked_after,
    missing_keys_are_empty_boards,
    keys_of_other_types_are_refused,
    rem_looks_at_the_score,
    cap_keeps_the_best,
    close_moves_the_board_and_its_expiry,
    replies_in_resp3,
    works_in_transactions_and_scripts,
    keyspace_notifications,
    what_the_server_knows_of_the_commands,
    unlink_frees_and_memory_is_what_it_takes,
);
