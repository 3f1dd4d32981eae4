//! RANK against the server's own sorted sets, where the rules coincide; and taking sorted sets over.

use modq_testkit::*;

/// Members of a reply of rows, in order, with their scores.
fn rows(reply: &Value) -> Vec<(String, i64)> {
    let rows = reply.items().iter();
    rows.map(|row| (row[1].text(), row[2].int())).collect()
}

/// What ZRANGE … WITHSCORES answers.
fn listed(reply: &Value) -> Vec<(String, i64)> {
    let pairs = reply.items().chunks(2);
    pairs
        .map(|pair| (pair[0].text(), pair[1].text().parse().unwrap()))
        .collect()
}

/// TIES MEMBER ORDER ASC is the order of ZRANGE.
fn a_random_workload_ranks_as_a_sorted_set_does(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("RANK.CREATE b TIES MEMBER ORDER ASC");
    let mut r = Random::new(17);
    for round in 0..30 {
        let mut lines = Vec::new();
        for _ in 0..100 {
            let (member, score) = (format!("m{}", r.below(400)), r.below(41) as i64 - 20);
            if r.below(6) == 0 {
                lines.push(format!("RANK.REM b {member}"));
                lines.push(format!("ZREM z {member}"));
            } else {
                lines.push(format!("RANK.ADD b {member} {score}"));
                lines.push(format!("ZINCRBY z {score} {member}"));
            }
        }
        for (line, pair) in lines.chunks(2).zip(c.pipeline(&lines).chunks(2)) {
            match line[0].starts_with("RANK.REM") {
                true => assert_eq!(pair[0], pair[1], "{line:?}"),
                false => assert_eq!(pair[0][3].int().to_string(), pair[1].text(), "{line:?}"),
            }
        }
        assert_eq!(
            rows(&c.line("RANK.TOP b 10000")),
            listed(&c.line("ZRANGE z 0 -1 WITHSCORES")),
            "round {round}"
        );
        for _ in 0..20 {
            let member = format!("m{}", r.below(400));
            let rank = c.line(&format!("ZRANK z {member}"));
            let got = c.line(&format!("RANK.GET b {member}"));
            match rank.is_null() {
                true => assert!(got[0].is_null()),
                false => assert_eq!(got[0][0].int(), rank.int() + 1),
            }
            let score = r.below(60) as i64 - 30;
            let better = c.line(&format!("ZCOUNT z -inf ({score}"));
            assert_eq!(c.line(&format!("RANK.COUNT b {score}")), better);
        }
    }
    assert_eq!(c.line("RANK.CARD b"), c.line("ZCARD z"));
}

fn an_import_ranks_as_the_set_is_listed(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let mut r = Random::new(23);
    // Small ones are kept in another form by the server than large ones.
    for n in [5, 3000] {
        let lines: Vec<String> = (0..n)
            .map(|i| format!("ZADD z {} m{i}", r.below(n / 3 + 1)))
            .collect();
        c.pipeline(&lines);
        let size = c.line("ZCARD z");
        for (order, ties, list) in [
            ("DESC", "EARLIEST", "ZREVRANGE"),
            ("DESC", "LATEST", "ZREVRANGE"),
            ("ASC", "EARLIEST", "ZRANGE"),
            ("ASC", "LATEST", "ZRANGE"),
            ("ASC", "MEMBER", "ZRANGE"),
        ] {
            c.expect_ok(&format!("RANK.CREATE b ORDER {order} TIES {ties}"));
            assert_eq!(c.line("RANK.IMPORT b z"), size);
            let expected = listed(&c.line(&format!("{list} z 0 -1 WITHSCORES")));
            assert_eq!(
                rows(&c.line("RANK.TOP b 10000")),
                expected,
                "{order} {ties} {n}"
            );
            c.line("DEL b");
        }
        assert_eq!(c.line("RANK.IMPORT new z"), size);
        let rank = c.line("ZREVRANK z m3").int() + 1;
        assert_eq!(c.line("RANK.GET new m3")[0][0], Value::Int(rank));
        assert_eq!(c.line("ZCARD z"), size, "the set stays");
        c.line("DEL z new");
    }
}

fn an_import_keeps_what_is_there(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for (member, score) in [("a", 5), ("other", 7)] {
        c.line(&format!("RANK.ADD b {member} {score} ID {member}"));
    }
    c.line("ZADD z 5 a 5 b 9223372036854774784 large -9223372036854775808 least -0 zero");
    assert_eq!(c.line("RANK.IMPORT b z"), Value::Int(5));
    let expected = [
        ("large", i64::MAX - 1023),
        ("other", 7),
        ("a", 5),
        ("b", 5),
        ("zero", 0),
        ("least", i64::MIN),
    ];
    assert_eq!(
        rows(&c.line("RANK.TOP b 10")),
        expected.map(|(name, score)| (name.to_owned(), score))
    );
    assert_eq!(c.line("RANK.INFO b").field("ids"), Value::Int(2));
    unchanged(&mut c, "b", |c| {
        assert_eq!(c.line("RANK.IMPORT b z"), Value::Int(5))
    });
}

fn what_cannot_be_imported_changes_nothing(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.line("RANK.ADD b a 1");
    c.expect_ok("RANK.CREATE two COLUMNS 2");
    c.line("ZADD good 1 a 2 b");
    for score in [
        "0.5",
        "inf",
        "-inf",
        "9223372036854775808",
        "-9223372036854777856",
        "1e300",
    ] {
        c.line("DEL z");
        c.line(&format!("ZADD z 1 first {score} last"));
        unchanged(&mut c, "b", |c| {
            assert_err!(c.line("RANK.IMPORT b z"), "ERR", "score")
        });
        assert_err!(c.line("RANK.IMPORT none z"), "ERR", "score");
    }
    for long in [vec![b'x'; 513], Vec::new()] {
        c.line("DEL z");
        cmd!(c, "ZADD", "z", 1, "first", 2, long);
        unchanged(&mut c, "b", |c| {
            assert_err!(c.line("RANK.IMPORT b z"), "ERR", "member")
        });
    }
    unchanged(&mut c, "two", |c| {
        assert_err!(c.line("RANK.IMPORT two good"), "ERR", "COLUMNS")
    });
    assert_eq!(c.line("EXISTS none"), Value::Int(0));
}

fn cap_applies_at_the_end_of_an_import(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("RANK.CREATE b CAP 3");
    c.line("RANK.ADD b x 50");
    c.line("RANK.ADD b y 4");
    c.line("ZADD z 10 a 9 b 1 w 2 x 8 z");
    assert_eq!(c.line("RANK.IMPORT b z"), Value::Int(5));
    let expected = [("a", 10), ("b", 9), ("z", 8)];
    assert_eq!(
        rows(&c.line("RANK.TOP b 10")),
        expected.map(|(name, score)| (name.to_owned(), score))
    );
}

matrix!(
    a_random_workload_ranks_as_a_sorted_set_does,
    an_import_ranks_as_the_set_is_listed,
    an_import_keeps_what_is_there,
    what_cannot_be_imported_changes_nothing,
    cap_applies_at_the_end_of_an_import,
);
