//! RATELIMIT as the server describes it: COMMAND INFO, DOCS and GETKEYS, access control, cluster mode.

use modq_testkit::*;
use std::collections::BTreeSet;

/// Every command with the flags it must have. "write" or "readonly", "denyoom" or not: all are said, none is left open.
const COMMANDS: [(&str, &[&str]); 14] = [
    ("ratelimit.check", &["write", "fast"]),
    ("ratelimit.peek", &["readonly", "fast"]),
    ("ratelimit.mcheck", &["write", "fast"]),
    ("ratelimit.refund", &["write"]),
    ("ratelimit.reset", &["write"]),
    ("ratelimit.block", &["write"]),
    ("ratelimit.acquire", &["write", "fast"]),
    ("ratelimit.release", &["write"]),
    ("ratelimit.leases", &["readonly"]),
    ("ratelimit.policy|set", &["write"]),
    ("ratelimit.policy|get", &["readonly"]),
    ("ratelimit.policy|del", &["write"]),
    ("ratelimit.policy|list", &["readonly"]),
    ("ratelimit.policy|help", &["readonly", "loading", "stale"]),
];

/// What COMMAND INFO says of a command or subcommand.
fn entry(c: &mut Client, command: &str) -> Value {
    let info = cmd!(c, "COMMAND", "INFO", command.split('|').next().unwrap());
    let mut entry = info[0].clone();
    if command.contains('|') {
        let subcommands = entry[9].items().iter();
        entry = subcommands
            .into_iter()
            .find(|sub| sub[0].text() == command)
            .expect("a subcommand")
            .clone();
    }
    assert_eq!(entry[0].text(), command);
    entry
}

/// The flags of a command or subcommand.
fn flags(c: &mut Client, command: &str) -> BTreeSet<String> {
    let entry = entry(c, command);
    entry[2].items().iter().map(Value::text).collect()
}

fn flags_are_true(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for (command, expected) in COMMANDS {
        let flags = flags(&mut c, command);
        for flag in expected {
            assert!(flags.contains(*flag), "{command} is {flags:?}, not {flag}");
        }
        assert!(
            flags.contains("write") != flags.contains("readonly"),
            "{command} is {flags:?}"
        );
        for wrong in ["blocking", "admin", "movablekeys", "noscript"] {
            // Only MCHECK's keys are where a number says.
            let may = wrong == "movablekeys" && command == "ratelimit.mcheck";
            assert!(may || !flags.contains(wrong), "{command} is {wrong}");
        }
        if !["ratelimit.block", "ratelimit.policy|set"].contains(&command) {
            assert!(
                !flags.contains("denyoom"),
                "{command} is {flags:?}: an error opens the gate"
            );
        }
    }
}

fn keys_are_found(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for (line, keys) in [
        ("RATELIMIT.CHECK a 5 1000 ID x", vec!["a"]),
        ("RATELIMIT.PEEK a POLICY p", vec!["a"]),
        ("RATELIMIT.MCHECK 1 a LIMIT 5 1000", vec!["a"]),
        (
            "RATELIMIT.MCHECK 3 a b c LIMIT 5 1000 LIMIT 5 1000 LIMIT 5 1000 COST 2",
            vec!["a", "b", "c"],
        ),
        ("RATELIMIT.REFUND a COST 1", vec!["a"]),
        ("RATELIMIT.RESET a", vec!["a"]),
        ("RATELIMIT.BLOCK a 5", vec!["a"]),
        ("RATELIMIT.ACQUIRE a 5 id TTL 5", vec!["a"]),
        ("RATELIMIT.RELEASE a id", vec!["a"]),
        ("RATELIMIT.LEASES a", vec!["a"]),
    ] {
        assert_eq!(
            c.line(&format!("COMMAND GETKEYS {line}")),
            Value::from(keys.clone()),
            "{line}"
        );
        let found = c.line(&format!("COMMAND GETKEYSANDFLAGS {line}"));
        let reads = line.contains("PEEK") || line.contains("LEASES");
        for (entry, key) in found.items().iter().zip(keys) {
            assert_eq!(entry[0], bulk(key));
            let flags: BTreeSet<String> = entry[1].items().iter().map(Value::text).collect();
            assert_eq!(flags.contains("RO"), reads, "{line}: {flags:?}");
            assert_eq!(flags.contains("RW"), !reads, "{line}: {flags:?}");
        }
    }
    for line in [
        "RATELIMIT.POLICY SET p 5 1000",
        "RATELIMIT.POLICY GET p",
        "RATELIMIT.POLICY LIST",
    ] {
        assert_err!(c.line(&format!("COMMAND GETKEYS {line}")), "ERR");
    }
}

fn docs_are_there(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let listed = c.line("COMMAND LIST FILTERBY MODULE modq");
    let listed: BTreeSet<String> = listed.items().iter().map(Value::text).collect();
    for (command, _) in COMMANDS {
        let (parent, sub) = command
            .split_once('|')
            .map_or((command, None), |(parent, _)| (parent, Some(command)));
        assert!(listed.contains(parent), "{parent}");
        let mut doc = cmd!(c, "COMMAND", "DOCS", parent).field(parent);
        if let Some(sub) = sub {
            doc = doc.field("subcommands").field(sub);
        }
        for field in ["summary", "since", "complexity"] {
            assert!(!doc.field(field).text().is_empty(), "{command}: {field}");
        }
        if !["ratelimit.policy|list", "ratelimit.policy|help"].contains(&command) {
            let arguments = doc.field("arguments");
            let first = arguments[0].field("name").text();
            let expected = match command {
                "ratelimit.mcheck" => "numkeys",
                _ if sub.is_some() => "name",
                _ => "key",
            };
            assert_eq!(first, expected, "{command}");
        }
    }
    // Whatever a command takes is in its docs.
    let doc = format!("{:?}", c.line("COMMAND DOCS ratelimit.check"));
    for word in [
        "quota",
        "window-ms",
        "ALGO",
        "LOG",
        "COUNTER",
        "FIXED",
        "GCRA",
        "BURST",
        "LIMIT",
        "POLICY",
        "COST",
        "ID",
        "PARTIAL",
        "DETAIL",
    ] {
        assert!(doc.contains(&format!("{word:?}")), "{word} is not in {doc}");
    }
}

/// The command tips of a command or subcommand.
fn tips(c: &mut Client, command: &str) -> Vec<String> {
    entry(c, command)[7]
        .items()
        .iter()
        .map(Value::text)
        .collect()
}

/// Clients of a cluster learn where a command has to go; the error says it where they do not.
fn tips_say_where_a_policy_has_to_go(kind: Kind) {
    let cluster = Cluster::start(2, kind);
    let mut c = cluster.client_for("u");
    let everywhere = "request_policy:all_shards";
    assert_eq!(
        tips(&mut c, "ratelimit.policy|set"),
        [everywhere, "response_policy:all_succeeded"]
    );
    assert_eq!(
        tips(&mut c, "ratelimit.policy|del"),
        [everywhere, "response_policy:agg_logical_or"]
    );
    for command in [
        "ratelimit.check",
        "ratelimit.acquire",
        "modq.claim",
        "modq.stats",
    ] {
        assert_eq!(
            tips(&mut c, command),
            ["nondeterministic_output"],
            "{command}"
        );
    }
    for command in ["ratelimit.policy|get", "modq.len", "modq.config"] {
        assert_eq!(tips(&mut c, command), [""; 0], "{command}");
    }
    let far = (0..).map(|i| format!("far:{i}"));
    let far = far
        .into_iter()
        .find(|key| cluster.owner(key).port() != cluster.owner("u").port());
    let far = far.expect("a key of the other primary");
    let check = format!("RATELIMIT.CHECK {far} POLICY p");
    c.expect_ok("RATELIMIT.POLICY SET p 1 60000");
    let mut other = cluster.client_for(&far);
    assert_err!(
        other.line(&check),
        "NOPOLICY",
        "in a cluster on each primary"
    );
    other.expect_ok("RATELIMIT.POLICY SET p 1 60000");
    assert_eq!(other.line(&check)[0], Value::Int(1));
}

/// A client of a user with these rights and no others.
fn as_user(server: &Server, rules: &str) -> Client {
    let rules = format!("ACL SETUSER u reset on nopass {rules}");
    server.client().expect_ok(&rules);
    let mut c = server.client();
    c.expect_ok("AUTH u x");
    c
}

#[track_caller]
fn allowed(c: &mut Client, line: &str) -> bool {
    let reply = c.line(line);
    match reply.err_code() {
        "NOPERM" => false,
        "" => true,
        _ => panic!("{line}: {reply:?}"),
    }
}

fn access_is_controlled(kind: Kind) {
    let server = Server::start(kind);
    let mut c = as_user(&server, "~u:* +ratelimit.check +ratelimit.mcheck");
    for (line, may) in [
        ("CHECK u:1 5 60000", true),
        ("CHECK other 5 60000", false),
        ("PEEK u:1 5 60000", false),
        ("RESET u:1", false),
        ("POLICY LIST", false),
        ("MCHECK 2 u:1 u:2 LIMIT 5 60000 LIMIT 5 60000", true),
        ("MCHECK 2 u:1 other LIMIT 5 60000 LIMIT 5 60000", false),
        ("MCHECK 2 other u:1 LIMIT 5 60000 LIMIT 5 60000", false),
    ] {
        assert_eq!(allowed(&mut c, &format!("RATELIMIT.{line}")), may, "{line}");
    }
    // Keys that may be read only.
    let mut c = as_user(&server, "%R~u:* +@all");
    assert!(allowed(&mut c, "RATELIMIT.PEEK u:1 5 60000"));
    assert!(allowed(&mut c, "RATELIMIT.LEASES u:lease"));
    for line in [
        "RATELIMIT.CHECK u:1 5 60000",
        "RATELIMIT.REFUND u:1 COST 1",
        "RATELIMIT.RESET u:1",
        "RATELIMIT.BLOCK u:1 0",
        "RATELIMIT.ACQUIRE u:l 5 i TTL 5",
        "RATELIMIT.RELEASE u:l i",
        "RATELIMIT.MCHECK 1 u:1 LIMIT 5 60000",
    ] {
        assert!(!allowed(&mut c, line), "{line}");
    }
    // Subcommands one by one.
    let mut c = as_user(&server, "~* +ratelimit.policy|get +ratelimit.policy|list");
    assert!(allowed(&mut c, "RATELIMIT.POLICY GET p"));
    assert!(allowed(&mut c, "RATELIMIT.POLICY LIST"));
    assert!(!allowed(&mut c, "RATELIMIT.POLICY SET p 5 60000"));
    assert!(!allowed(&mut c, "RATELIMIT.POLICY DEL p"));
    let mut c = as_user(&server, "~* +ratelimit.policy -ratelimit.policy|del");
    assert!(allowed(&mut c, "RATELIMIT.POLICY SET p 5 60000"));
    assert!(!allowed(&mut c, "RATELIMIT.POLICY DEL p"));
    // In a script the user's rights are asked for as well.
    let mut c = as_user(&server, "~u:* +eval +ratelimit.check");
    let script = "return redis.call('RATELIMIT.CHECK', KEYS[1], 5, 60000)";
    assert_eq!(cmd!(c, "EVAL", script, 1, "u:script")[0], Value::Int(1));
    let script = "return redis.call('RATELIMIT.RESET', KEYS[1])";
    let refused = cmd!(c, "EVAL", script, 1, "u:script");
    assert!(
        ["ERR", "NOPERM"].contains(&refused.err_code()),
        "{refused:?}"
    );
    assert_eq!(server.client().line("EXISTS u:script"), Value::Int(1));
}

/// Categories, which 7.0 does not have for modules.
fn access_is_controlled_by_category(kind: Kind) {
    let server = Server::start(kind);
    let mut c = as_user(&server, "~* +@read");
    let has_categories = kind.redis_version() >= 72;
    for (line, reads) in [
        ("RATELIMIT.CHECK u:1 5 60000", false),
        ("RATELIMIT.PEEK u:1 5 60000", true),
        ("RATELIMIT.LEASES none", true),
        ("RATELIMIT.RESET none", false),
        ("RATELIMIT.POLICY GET p", true),
        ("RATELIMIT.POLICY LIST", true),
        ("RATELIMIT.POLICY SET p 5 60000", false),
        ("RATELIMIT.POLICY DEL p", false),
    ] {
        assert_eq!(allowed(&mut c, line), reads && has_categories, "{line}");
    }
    let mut admin = server.client();
    for (command, expected) in [
        ("ratelimit.check", ["@write", "@fast"]),
        ("ratelimit.leases", ["@read", "@slow"]),
    ] {
        let info = cmd!(admin, "COMMAND", "INFO", command);
        let categories = info[0][6].items().iter();
        let categories: BTreeSet<String> = categories.map(Value::text).collect();
        let expected = expected.map(String::from).into();
        assert_eq!(categories == expected, has_categories, "{categories:?}");
    }
}

fn works_in_a_cluster(kind: Kind) {
    let cluster = Cluster::start_with(2, kind, Builder::without_own_modules);
    let limits = "LIMIT 5 60000 LIMIT 5 60000";
    let mut c = cluster.client_for("{u}1");
    assert_eq!(
        c.line(&format!("RATELIMIT.MCHECK 2 {{u}}1 {{u}}2 {limits}"))[0],
        Value::Int(1)
    );
    assert_err!(
        c.line(&format!("RATELIMIT.MCHECK 2 {{u}}1 {{v}}2 {limits}")),
        "CROSSSLOT"
    );
    assert_err!(c.line("MODQ.MCLAIM 2 {u}3 {v}3 me"), "CROSSSLOT");
    let other = cluster
        .nodes
        .iter()
        .find(|node| node.port() != cluster.owner("{u}1").port())
        .unwrap();
    let mut o = other.client();
    assert_err!(o.line("RATELIMIT.CHECK {u}1 5 60000"), "MOVED");
    assert_err!(
        o.line(&format!("RATELIMIT.MCHECK 2 {{u}}1 {{u}}2 {limits}")),
        "MOVED"
    );
    assert_err!(o.line("RATELIMIT.ACQUIRE {u}l 5 id TTL 60000"), "MOVED");
    // Policies have no slot: each primary is told.
    c.expect_ok("RATELIMIT.POLICY SET p 5 60000");
    assert_eq!(o.line("RATELIMIT.POLICY LIST"), arr![]);
    o.expect_ok("RATELIMIT.POLICY SET p 6 60000");
    assert_eq!(c.line("RATELIMIT.CHECK {u}1 POLICY p")[1], Value::Int(5));
}

/// INFO tells how many requests a full log denied.
fn full_logs_are_counted(kind: Kind) {
    let server = Server::builder(kind)
        .module_args(&["ratelimit-log-max-entries", "1"])
        .start();
    let mut c = server.client();
    assert_eq!(c.line("RATELIMIT.CHECK k 5 3600000")[0], Value::Int(1));
    let_pass(0);
    let sum = |c: &mut Client| {
        let text = c.line("INFO everything").text();
        let fields = parse_info(&text)
            .into_iter()
            .filter(|(name, _)| name.contains("log") && name.contains("full"));
        fields
            .map(|(_, value)| value.parse::<i64>().unwrap())
            .collect::<Vec<_>>()
    };
    let before = sum(&mut c);
    for _ in 0..3 {
        assert_eq!(c.line("RATELIMIT.CHECK k 5 3600000")[0], Value::Int(0));
    }
    let after = sum(&mut c);
    assert_eq!(
        (before.len(), after.len()),
        (1, 1),
        "there is one such field"
    );
    assert_eq!(after[0] - before[0], 3);
}

matrix!(
    flags_are_true,
    keys_are_found,
    docs_are_there,
    tips_say_where_a_policy_has_to_go,
    access_is_controlled,
    access_is_controlled_by_category,
    works_in_a_cluster,
    full_logs_are_counted,
);
