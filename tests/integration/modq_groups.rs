//! RESOLVE … ALSO, CLAIM … WITHGROUP, GROUP, CANCELGROUP: every reply, option and error, in every way in which
//! they can be sent.

use modq_testkit::fold::{asked, fields, fold_stream};
use modq_testkit::queue::*;
use modq_testkit::*;

/// The ways in which a line can be sent.
#[derive(Clone, Copy, Debug)]
enum Way {
    Resp2,
    Resp3,
    Multi,
    Lua,
}

const WAYS: [Way; 4] = [Way::Resp2, Way::Resp3, Way::Multi, Way::Lua];

/// Sends a line in one of the ways; a client of RESP3 is one already.
fn send(c: &mut Client, way: Way, line: &str) -> Value {
    match way {
        Way::Resp2 | Way::Resp3 => c.line(line),
        Way::Multi => c.pipeline(&["MULTI", line, "EXEC"])[2][0].clone(),
        Way::Lua => {
            let words: Vec<&str> = line.split(' ').collect();
            let script = "return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))";
            c.cmd(&[&["EVAL", script, "1", words[1], words[0]], &words[2..]].concat())
        }
    }
}

/// A server, and a client for each way.
fn clients(kind: Kind) -> (Server, Vec<(Way, Client)>) {
    let (server, _) = desk(kind);
    let client = |way| match way {
        Way::Resp3 => (way, server.client().hello3()),
        _ => (way, server.client()),
    };
    let all = WAYS.map(client).into();
    (server, all)
}

/// Status, numbers and cursor of a reply, as words.
fn words(reply: &Value) -> String {
    let one = |value: &Value| match value {
        Value::Int(n) => n.to_string(),
        other => other.text(),
    };
    let all: Vec<String> = reply.items().iter().map(one).collect();
    all.join(" ")
}

/// The ids of a group, by arrival.
fn group(c: &mut Client, q: &str, name: &str) -> String {
    let page = c.line(&format!("MODQ.GROUP {q} {name} COUNT 1000"));
    let ids: Vec<String> = page[1].items().iter().map(|row| row[0].text()).collect();
    ids.join(" ")
}

fn submit_all(c: &mut Client, q: &str, ids: &str, options: &str) {
    for id in ids.split(' ') {
        c.line(&format!("MODQ.SUBMIT {q} {id} p {options}"));
    }
}

fn assign(c: &mut Client, q: &str, id: &str, who: &str) -> i64 {
    c.line(&format!("MODQ.ASSIGN {q} {id} {who} LOCK 600000"))
        .int()
}

fn a_verdict_is_given_to_others_of_the_group(kind: Kind) {
    let (_server, clients) = clients(kind);
    for (way, mut c) in clients {
        let q = format!("{way:?}");
        submit_all(&mut c, &q, "a b c d e f", "GROUP g TAGS 1 t");
        submit_all(&mut c, &q, "tagged", "GROUP g TAGS 2 t u");
        submit_all(&mut c, &q, "out", "GROUP h");
        submit_all(&mut c, &q, "alone", "");
        let (a, other) = (assign(&mut c, &q, "a", "m"), assign(&mut c, &q, "b", "x"));
        let mut ask = |line: &str| words(&send(&mut c, way, &format!("MODQ.RESOLVE {q} {line}")));
        let first = ask(&format!("a {a} VERDICT spam DECISION why ALSO 2"));
        let cursor = first.rsplit(' ').next().expect("a cursor").to_owned();
        assert_eq!(first, format!("OK 2 4 {cursor}"));
        assert_ne!(cursor, "0");
        assert_eq!(group(&mut c, &q, "g"), "b e f tagged");
        let f = assign(&mut c, &q, "f", "m");
        let mut ask = |line: &str| words(&send(&mut c, way, &format!("MODQ.RESOLVE {q} {line}")));
        // b is somebody else's, "e" arrived before the cursor's item.
        let line = format!("f {f} ALSO 9 TAGS 3 t u none CURSOR {cursor}");
        assert_eq!(ask(&line), "OK 2 1 0");
        assert_eq!(group(&mut c, &q, "g"), "b");
        let alone = assign(&mut c, &q, "alone", "m");
        let mut ask = |line: &str| words(&send(&mut c, way, &format!("MODQ.RESOLVE {q} {line}")));
        assert_eq!(
            ask(&format!("alone {alone} also 1000 cursor 7")),
            "OK 0 0 0"
        );
        assert_eq!(ask(&format!("b {other} ALSO 1")), "OK 0 0 0");
        assert_eq!(counts(&mut c, &q), [1, 0, 0, 0], "but for the other group");
    }
}

fn votes_splits_and_repeats_are_told_by_the_status(kind: Kind) {
    let (_server, clients) = clients(kind);
    for (way, mut c) in clients {
        let q = format!("{way:?}");
        c.expect_ok(&format!("MODQ.CONFIGURE {q} QUORUM 2 2 RETAIN 600000"));
        submit_all(&mut c, &q, "a b", "GROUP g");
        let a = assign(&mut c, &q, "a", "m");
        let refused = c.line(&format!("MODQ.RESOLVE {q} a {a} ALSO 9"));
        assert_err!(refused, "ERR", "VERDICT");
        let mut ask = |line: &str| words(&send(&mut c, way, &format!("MODQ.RESOLVE {q} {line}")));
        let line = format!("a {a} VERDICT keep ALSO 9");
        assert_eq!(ask(&line), "VOTED 1 2 0");
        assert_eq!(ask(&line), "VOTED 0 2 0", "as before");
        let b = assign(&mut c, &q, "b", "n");
        let mut ask = |line: &str| words(&send(&mut c, way, &format!("MODQ.RESOLVE {q} {line}")));
        assert_eq!(ask(&format!("b {b} VERDICT remove ALSO 9")), "SPLIT 1 2 0");
        let a = assign(&mut c, &q, "a", "o");
        let mut ask = |line: &str| words(&send(&mut c, way, &format!("MODQ.RESOLVE {q} {line}")));
        let line = format!("a {a} VERDICT keep ALSO 9");
        assert_eq!(ask(&line), "OK 0 1 0", "contested ones are passed over");
        assert_eq!(ask(&line), "OK 0 1 0", "by the record");
        let other = format!("MODQ.RESOLVE {q} a {a} VERDICT other ALSO 9");
        assert_err!(c.line(&other), "STALE");
        let votes = c.line(&format!("MODQ.STATS {q}")).field("votes").int();
        assert_eq!(votes, 4);
    }
}

fn new_claims_are_of_one_group(kind: Kind) {
    let (_server, clients) = clients(kind);
    for (way, mut c) in clients {
        let q = format!("{way:?}");
        submit_all(&mut c, &q, "low", "GROUP g PRIORITY -1");
        submit_all(&mut c, &q, "h", "GROUP h");
        submit_all(&mut c, &q, "first", "GROUP g PRIORITY 5");
        submit_all(&mut c, &q, "tagged", "GROUP g TAGS 1 t");
        submit_all(&mut c, &q, "barred", "GROUP g EXCLUDE 1 m");
        let mut ids = |line: &str| {
            let claims = claims(&send(&mut c, way, &format!("MODQ.CLAIM {q} {line}")));
            let ids: Vec<String> = claims.iter().map(Claimed::id).collect();
            let mut tokens: Vec<i64> = claims.iter().map(|claim| claim.token).collect();
            tokens.dedup();
            assert_eq!(tokens.len(), ids.len(), "each its own");
            ids.join(" ")
        };
        assert_eq!(ids("m COUNT 9 WITHGROUP LOCK 600000"), "first low");
        assert_eq!(ids("m COUNT 9 WITHGROUP LOCK 600000"), "first low");
        let line = "m COUNT 9 withgroup TAGS 1 t LOCK 600000";
        assert_eq!(ids(line), "first low tagged");
        assert_eq!(ids("m COUNT 9 NEW WITHGROUP LOCK 600000"), "h");
        assert_eq!(ids("n COUNT 9 NEW WITHGROUP LOCK 600000"), "barred");
        assert_eq!(counts(&mut c, &q), [0, 5, 0, 0]);
    }
}

fn mclaim_and_block_know_withgroup(kind: Kind) {
    let (server, mut c) = desk(kind);
    submit_all(&mut c, "{q}b", "a b", "GROUP g");
    submit_all(&mut c, "{q}b", "c", "");
    let reply = c.line("MODQ.MCLAIM 2 {q}a {q}b m COUNT 9 WITHGROUP");
    assert_eq!(reply[0].text(), "{q}b");
    assert_eq!(reply[1].items().len(), 2);
    let mut waits = blocked(&server, "MODQ.CLAIM w m COUNT 9 WITHGROUP BLOCK 0");
    c.pipeline(&[
        "MULTI",
        "MODQ.SUBMIT w a p GROUP g",
        "MODQ.SUBMIT w b p GROUP g",
        "EXEC",
    ]);
    assert_eq!(waits.reply().items().len(), 1, "one, whatever COUNT says");
}

fn a_group_is_listed_in_pages(kind: Kind) {
    let (_server, clients) = clients(kind);
    for (way, mut c) in clients {
        let q = format!("{way:?}");
        let before = now_ms();
        submit_all(&mut c, &q, "a b", "GROUP g PRIORITY 3");
        submit_all(&mut c, &q, "c", "GROUP g DELAY 600000");
        assign(&mut c, &q, "b", "m");
        let mut page = |words: &str| send(&mut c, way, &format!("MODQ.GROUP {q} {words}"));
        let first = page("g COUNT 2");
        let row = &first[1][0];
        assert_eq!(row.items().len(), 5);
        assert_eq!((row[0].text(), row[1].text()), ("a".into(), "ready".into()));
        assert_eq!(row[2], Value::Int(3));
        assert!((before..=now_ms()).contains(&row[3].int()));
        assert!(row[4].is_null(), "{row:?}");
        let row = &first[1][1];
        assert_eq!(
            (row[1].text(), row[4].text()),
            ("locked".into(), "m".into())
        );
        let next = first[0].text();
        let second = page(&format!("g CURSOR {next}"));
        assert_eq!(second[0].text(), "0");
        assert_eq!(second[1].items().len(), 1);
        assert_eq!(second[1][0][1].text(), "delayed");
        for words in ["none", "g CURSOR 9223372036854775807"] {
            let reply = page(words);
            assert_eq!(reply[0].text(), "0");
            assert!(reply[1].items().is_empty());
        }
        let reply = send(&mut c, way, &format!("MODQ.GROUP missing{q} g"));
        assert_eq!(reply[0].text(), "0");
        assert!(reply[1].items().is_empty());
    }
}

fn a_group_is_cancelled(kind: Kind) {
    let (_server, clients) = clients(kind);
    for (way, mut c) in clients {
        let q = format!("{way:?}");
        c.expect_ok(&format!("MODQ.CONFIGURE {q} EVENTS ev{q}"));
        submit_all(&mut c, &q, "a b c", "GROUP g");
        submit_all(&mut c, &q, "keep", "GROUP g TAGS 2 x y");
        submit_all(&mut c, &q, "out", "GROUP h");
        assign(&mut c, &q, "b", "m");
        let mut ask =
            |line: &str| words(&send(&mut c, way, &format!("MODQ.CANCELGROUP {q} {line}")));
        let first = ask("g COUNT 2 EXCEPT 2 none y REASON spam BY me");
        let cursor = first.rsplit(' ').next().expect("a cursor").to_owned();
        assert_eq!(first, format!("2 2 {cursor}"));
        assert_eq!(ask(&format!("g CURSOR {cursor} EXCEPT 1 x")), "1 1 0");
        assert_eq!(ask("g EXCEPT 1 x"), "0 1 0");
        assert_eq!(ask("g"), "1 0 0");
        assert_eq!(ask("g"), "0 0 0");
        assert_eq!(counts(&mut c, &q), [1, 0, 0, 0]);
        let events = c.line(&format!("XRANGE ev{q} - +"));
        let told = events.items().iter().map(fields);
        let told: Vec<_> = told.filter(|event| event["ev"] == "cancel").collect();
        assert_eq!(told.len(), 4);
        for (event, id) in told.iter().zip(["a", "b"]) {
            assert_eq!((&*event["item"], &*event["reason"]), (id, "spam"));
            assert_eq!(event["by"], "me");
        }
        let reply = send(&mut c, way, &format!("MODQ.CANCELGROUP missing{q} g"));
        assert_eq!(words(&reply), "0 0 0");
        assert_eq!(c.line(&format!("EXISTS missing{q}")), Value::Int(0));
    }
}

/// Lines that are refused, and what the error names.
const REFUSED: &[(&str, &str)] = &[
    ("MODQ.RESOLVE q i $t ALSO", "also"),
    ("MODQ.RESOLVE q i $t ALSO 0", "also"),
    ("MODQ.RESOLVE q i $t ALSO 1001", "also"),
    ("MODQ.RESOLVE q i $t ALSO x", "also"),
    ("MODQ.RESOLVE q i $t ALSO 1 ALSO 1", "twice"),
    ("MODQ.RESOLVE q i $t TAGS 1 t", "also"),
    ("MODQ.RESOLVE q i $t CURSOR 1", "also"),
    ("MODQ.RESOLVE q i $t ALSO 1 CURSOR -1", "cursor"),
    ("MODQ.RESOLVE q i $t ALSO 1 CURSOR", "cursor"),
    ("MODQ.RESOLVE q i $t ALSO 1 TAGS 2 t", "tags"),
    ("MODQ.RESOLVE q i $t ALSO 1 TAGS 65", "tags"),
    ("MODQ.CLAIM q m WITHGROUP WITHGROUP", "twice"),
    ("MODQ.GROUP q", "number of arguments"),
    ("MODQ.GROUP q g COUNT 0", "count"),
    ("MODQ.GROUP q g COUNT 1001", "count"),
    ("MODQ.GROUP q g CURSOR x", "cursor"),
    ("MODQ.GROUP q g EXCEPT 1 t", "unknown option"),
    ("MODQ.CANCELGROUP q", "number of arguments"),
    ("MODQ.CANCELGROUP q g COUNT 0", "count"),
    ("MODQ.CANCELGROUP q g COUNT 1001", "count"),
    ("MODQ.CANCELGROUP q g CURSOR -1", "cursor"),
    ("MODQ.CANCELGROUP q g EXCEPT 2 t", "except"),
    ("MODQ.CANCELGROUP q g EXCEPT", "except"),
    ("MODQ.CANCELGROUP q g REASON", "reason"),
    ("MODQ.CANCELGROUP q g BY", "by"),
    ("MODQ.CANCELGROUP q g REV 1", "unknown option"),
];

fn what_is_wrong_is_refused(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit_all(&mut c, "q", "i j", "GROUP g");
    let token = assign(&mut c, "q", "i", "m");
    unchanged(&mut c, "q", |c| {
        for (line, part) in REFUSED {
            let reply = c.line(&line.replace("$t", &token.to_string()));
            assert_eq!(reply.err_code(), "ERR", "{line}: {reply:?}");
            let said = format!("{reply:?}").to_lowercase();
            assert!(said.contains(part), "{line}: {said}");
        }
        for name in [&b""[..], &[b'g'; 513]] {
            assert_err!(cmd!(c, "MODQ.GROUP", "q", name), "ERR", "GROUP");
            assert_err!(cmd!(c, "MODQ.CANCELGROUP", "q", name), "ERR", "GROUP");
        }
        let prose = vec![b'r'; (64 << 10) + 1];
        let reply = cmd!(c, "MODQ.CANCELGROUP", "q", "g", "REASON", prose);
        assert_err!(reply, "ERR", "REASON");
        let wrong = format!("MODQ.RESOLVE q i {} ALSO 9", token + 1);
        assert_err!(c.line(&wrong), "STALE");
        assert_err!(c.line("MODQ.RESOLVE q none 5 ALSO 9"), "NOITEM");
        let changed = format!("MODQ.RESOLVE q i {token} REV 9 ALSO 9");
        assert_err!(c.line(&changed), "CHANGED");
    });
    c.expect_ok("SET s x");
    for line in [
        "MODQ.RESOLVE s i 1 ALSO 1",
        "MODQ.CLAIM s m WITHGROUP",
        "MODQ.GROUP s g",
        "MODQ.CANCELGROUP s g",
    ] {
        assert_err!(c.line(line), "WRONGTYPE");
    }
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev");
    c.line("DEL ev");
    c.expect_ok("SET ev x");
    unchanged(&mut c, "q", |c| {
        let also = format!("MODQ.RESOLVE q i {token} ALSO 9");
        assert_err!(c.line(&also), "EVENTS");
        assert_err!(c.line("MODQ.CANCELGROUP q g"), "EVENTS");
    });
}

/// What events tell of groups, folded, is what the server says.
fn events_tell_groups_and_by_what_a_verdict_came(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE {q}1 EVENTS {q}ev");
    c.expect_ok("MODQ.CONFIGURE {q}2 EVENTS {q}ev");
    submit_all(&mut c, "{q}1", "a b c d e", "GROUP g");
    submit_all(&mut c, "{q}1", "moves", "GROUP m");
    submit_all(&mut c, "{q}1", "plain", "");
    c.line("MODQ.UPDATE {q}1 e GROUP h");
    c.line("MODQ.SUBMIT {q}1 plain p2 ONDUP REPLACE GROUP r");
    c.line("MODQ.MOVE {q}1 {q}2 moves");
    let (b, a) = (
        assign(&mut c, "{q}1", "b", "m"),
        assign(&mut c, "{q}1", "a", "m"),
    );
    c.line(&format!(
        "MODQ.RESOLVE {{q}}1 a {a} VERDICT no DECISION why ALSO 2"
    ));
    let entries = c.line("XRANGE {q}ev - +");
    let events = entries.items().iter().map(fields);
    let resolved: Vec<_> = events.filter(|event| event["ev"] == "resolve").collect();
    assert_eq!(resolved.len(), 3);
    for (event, (id, token, via)) in
        resolved
            .iter()
            .zip([("a", a, None), ("b", b, Some("a")), ("c", 0, Some("a"))])
    {
        assert_eq!(event["item"], id);
        assert_eq!(event["moderator"], "m");
        assert_eq!(event["token"], token.to_string());
        assert_eq!((&*event["verdict"], &*event["decision"]), ("no", "why"));
        assert_eq!(event.get("via").map(String::as_str), via);
    }
    let folded = fold_stream(&mut c, "{q}ev");
    for key in ["{q}1", "{q}2"] {
        assert_eq!(folded[key].told(), asked(&mut c, key).told(), "{key}");
    }
}

/// One command, which is one record; then a replica has the same.
fn sent(servers: [&Server; 2], c: &mut Client, r: &mut Client, line: &str) -> Value {
    wait_replica_synced(servers[0], servers[1]);
    let before = command_calls(r, "modq._q");
    let reply = c.line(line);
    wait_replica_synced(servers[0], servers[1]);
    assert_eq!(digest(r, "q"), digest(c, "q"), "{line}");
    assert_eq!(command_calls(r, "modq._q") - before, 1, "{line}");
    reply
}

fn each_command_is_one_record_and_groups_are_there_after_a_restart(kind: Kind) {
    let mut one = Server::builder(kind).aof().start();
    let two = Server::builder(kind).replica_of(&one).start();
    wait_link(&one, &two);
    let (mut c, mut r) = (one.client(), two.client());
    submit_all(&mut c, "q", "a b c d e f g h", "GROUP g");
    let a = assign(&mut c, "q", "a", "m");
    let mut send = |c: &mut Client, line: &str| words(&sent([&one, &two], c, &mut r, line));
    let reply = send(&mut c, &format!("MODQ.RESOLVE q a {a} VERDICT x ALSO 3"));
    assert!(reply.starts_with("OK 3 4 "), "{reply}");
    let reply = send(&mut c, "MODQ.CANCELGROUP q g COUNT 1");
    assert!(reply.starts_with("1 3 "), "{reply}");
    let line = "MODQ.CLAIM q m WITHGROUP COUNT 2 LOCK 600000";
    sent([&one, &two], &mut c, &mut r, line);
    let shown = (group(&mut c, "q", "g"), digest(&mut c, "q"));
    assert_eq!(shown.0, "f g h");
    assert_eq!(shown, (group(&mut r, "q", "g"), digest(&mut r, "q")));
    drop((c, r));
    one.restart();
    let mut c = one.client();
    assert_eq!(shown, (group(&mut c, "q", "g"), digest(&mut c, "q")));
    c.expect_ok("DEBUG RELOAD");
    assert_eq!(shown, (group(&mut c, "q", "g"), digest(&mut c, "q")));
}

/// What ALSO makes possible is matched when all verdicts are given: nobody is given what goes in the same step.
fn the_one_who_resolves_gets_what_is_left(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q CAPACITY 1");
    submit(&mut c, "q a p GROUP g");
    submit(&mut c, "q b p GROUP g");
    submit(&mut c, "q z p");
    let held = claim(&mut c, "q m");
    assert_eq!(c.line("MODQ.JOIN q m COUNT 2"), simple("WAITING"));
    let reply = cmd!(c, "MODQ.RESOLVE", "q", "a", held.token, "ALSO", 9);
    assert_eq!((&reply[0], &reply[1]), (&simple("OK"), &Value::Int(1)));
    assert_eq!(ids(&c.line("MODQ.HELD q m")), "z");
}

matrix!(
    the_one_who_resolves_gets_what_is_left,
    a_verdict_is_given_to_others_of_the_group,
    votes_splits_and_repeats_are_told_by_the_status,
    new_claims_are_of_one_group,
    mclaim_and_block_know_withgroup,
    a_group_is_listed_in_pages,
    a_group_is_cancelled,
    what_is_wrong_is_refused,
    events_tell_groups_and_by_what_a_verdict_came,
    each_command_is_one_record_and_groups_are_there_after_a_restart,
);
