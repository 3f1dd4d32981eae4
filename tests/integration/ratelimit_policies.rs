//! RATELIMIT.POLICY: what SET, GET, DEL, LIST and HELP answer, and CHECK and PEEK by policy.

use modq_testkit::*;

/// Four limits, with words in any case.
const SET: &str = "ratelimit.policy set p 5 100000 limit 6 200000 algo gcra burst 7 LIMIT 8 300000 ALGO GCRA \
                   LIMIT 9 100000 ALGO fixed";

fn policy_replies(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    assert_eq!(c.line("RATELIMIT.POLICY LIST"), arr![]);
    assert_eq!(c.line("RATELIMIT.POLICY GET p"), Value::NullBulk);
    assert_eq!(c.line("RATELIMIT.POLICY DEL p"), Value::Int(0));
    c.expect_ok(SET);
    let get = c.line("RATELIMIT.POLICY GET p");
    assert_eq!(get.items().len(), 2, "a map in RESP2 is flat");
    assert_eq!(get[0], bulk("limits"));
    let second = arr!["quota", 6, "window", 200_000, "algo", "GCRA", "burst", 7];
    assert_eq!(get[1][1], second);
    let of = |limit: &Value| {
        (
            limit.field("quota").int(),
            limit.field("window").int(),
            limit.field("algo").text(),
        )
    };
    let limits: Vec<_> = get[1].items().iter().map(of).collect();
    let expected = [
        (5, 100_000, "LOG"),
        (6, 200_000, "GCRA"),
        (8, 300_000, "GCRA"),
        (9, 100_000, "FIXED"),
    ];
    assert_eq!(
        limits,
        expected.map(|(quota, window, algo)| (quota, window, algo.to_owned()))
    );
    assert_eq!(
        get[1][2].field("burst"),
        Value::Int(8),
        "the quota if none is given"
    );
    let mut three = server.client().hello3();
    assert_eq!(three.line("RATELIMIT.POLICY GET none"), Value::Null);
    let get3 = three.line("RATELIMIT.POLICY GET p");
    assert!(matches!(get3, Value::Map(_)));
    assert_eq!(
        get3.field("limits")[1],
        map! {"quota" => 6, "window" => 200_000, "algo" => "GCRA", "burst" => 7}
    );
}

/// As the limits themselves; a policy overwritten or deleted has no hold on what is charged.
fn policies_are_limits_by_name(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok(SET);
    assert_eq!(
        c.line("RATELIMIT.CHECK k POLICY p COST 2 DETAIL")[6],
        c.line("RATELIMIT.PEEK x POLICY p COST 2 DETAIL")[6]
    );
    assert_eq!(
        c.line("RATELIMIT.PEEK k 10 100000 ALGO FIXED COST 0")[2],
        Value::Int(8)
    );
    assert_eq!(
        c.line("RATELIMIT.CHECK k policy p COST 2 ID i PARTIAL")[5],
        Value::Int(2)
    );
    c.expect_ok("RATELIMIT.POLICY SET p 50 3600000");
    assert_eq!(
        c.line("RATELIMIT.CHECK k POLICY p"),
        arr![1, 50, 49, 0, 3_600_000]
    );
    assert_eq!(c.line("RATELIMIT.POLICY DEL p"), Value::Int(1));
    for line in [
        "RATELIMIT.CHECK k POLICY p",
        "RATELIMIT.PEEK k POLICY p",
        "RATELIMIT.CHECK k POLICY P",
    ] {
        assert_err!(c.line(line), "NOPOLICY");
    }
    assert_eq!(
        c.line("RATELIMIT.PEEK k 50 3600000 COST 0")[2],
        Value::Int(49)
    );
}

/// Names are bytes, in byte order.
fn policies_are_listed_by_name(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let names: [&[u8]; 6] = [b"b", b"B", b"\xff", b"\0", b"ab", b"a"];
    for name in names {
        assert_eq!(cmd!(c, "RATELIMIT.POLICY", "SET", name, 1, 1), ok());
    }
    assert_eq!(
        c.line("RATELIMIT.POLICY LIST"),
        arr![b"\0", b"B", b"a", b"ab", b"b", b"\xff"]
    );
    assert_err!(c.line("RATELIMIT.POLICY SET a 0 1"), "ERR");
    assert_eq!(
        c.line("RATELIMIT.POLICY GET a")[1][0].field("quota"),
        Value::Int(1),
        "as it was"
    );
    // Every database sees them.
    c.expect_ok("SELECT 3");
    assert_eq!(c.line("RATELIMIT.CHECK k POLICY a")[0], Value::Int(1));
}

/// As with the server's own containers: a list of lines, to which a wrong word is referred.
fn help_is_as_the_servers_own(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let (own, ours) = ("OBJECT", "RATELIMIT.POLICY");
    let [own_help, help] = [own, ours].map(|name| c.line(&format!("{name} help")));
    let first = |help: &Value| help[0].clone();
    assert_eq!(
        format!("{:?}", first(&own_help)).replace(own, ours),
        format!("{:?}", first(&help))
    );
    // ("Prints this help." is what 7.0 says.)
    let tail = |help: &Value| {
        let tail = &help.items()[help.items().len() - 2..];
        format!("{tail:?}").replace("Prints", "Print")
    };
    assert_eq!(tail(&own_help), tail(&help));
    let [own_error, error] = [own, ours].map(|name| c.line(&format!("{name} NONSENSE x")));
    assert_eq!(
        format!("{own_error:?}").replace(own, ours),
        format!("{error:?}")
    );
}

matrix!(
    policy_replies,
    policies_are_limits_by_name,
    policies_are_listed_by_name,
    help_is_as_the_servers_own,
);
