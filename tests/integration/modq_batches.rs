//! MSUBMIT, MRESOLVE, MEXTEND: every reply, what refuses all, what refuses one, and the one record.

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

/// Sends a line in one of the ways; a client of RESP3 is one already. What a script gets as strings (on Valkey 9.1, for
/// errors) is shown as the errors that they are.
fn send(c: &mut Client, way: Way, line: &str) -> Value {
    match way {
        Way::Resp2 | Way::Resp3 => c.line(line),
        Way::Multi => c.pipeline(&["MULTI", line, "EXEC"])[2][0].clone(),
        Way::Lua => {
            let words: Vec<&str> = line.split(' ').collect();
            let script = "return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))";
            let eval = [&["EVAL", script, "1", words[1], words[0]], &words[2..]].concat();
            let is_text = |each: &Value| matches!(each, Value::Bulk(_));
            let reply = c.cmd(&eval);
            let error = |each: &Value| match is_text(each) {
                true => Value::Error(each.text()),
                false => each.clone(),
            };
            Value::Array(reply.items().iter().map(error).collect())
        }
    }
}

/// The codes of errors and the texts of statuses, in order.
fn shown(reply: &Value) -> String {
    let one = |reply: &Value| match reply {
        Value::Simple(text) => text.clone(),
        Value::Int(_) => "int".into(),
        error => format!("-{}", error.err_code()),
    };
    let all: Vec<String> = reply.items().iter().map(one).collect();
    all.join(" ")
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

fn each_item_is_submitted_as_if_alone(kind: Kind) {
    let (_server, clients) = clients(kind);
    for (way, mut c) in clients {
        let q = format!("{way:?}");
        c.expect_ok(&format!("MODQ.CONFIGURE {q} MAXLEN 4"));
        c.line(&format!("MODQ.JOIN {q} ann"));
        let mut msubmit = |words: &str| {
            let reply = send(&mut c, way, &format!("MODQ.MSUBMIT {q} {words}"));
            shown(&reply)
        };
        assert_eq!(msubmit("3 a p b p a p PRIORITY 3"), "ASSIGNED READY EXISTS");
        assert_eq!(msubmit("2 c p d p DELAY 100000"), "DELAYED DELAYED");
        assert_eq!(msubmit("3 e p a p f p"), "-FULL EXISTS -FULL");
        assert_eq!(msubmit("2 a p z p ONDUP ERROR"), "-EXISTS -FULL");
        assert_eq!(msubmit("2 a p b p ONDUP BUMP STEP 2"), "BUMPED BUMPED");
        let replaced = "REPLACED -FULL REPLACED";
        assert_eq!(msubmit("3 a p2 z p b p3 onDup Replace"), replaced);
        assert_eq!(msubmit("1 c p"), "EXISTS");
        let shown = ["a", "b", "c"].map(|item| {
            let item = c.line(&format!("MODQ.GET {q} {item}"));
            let fields = ["payload", "state", "priority", "rev", "reports"];
            fields.map(|name| match item.field(name) {
                Value::Int(n) => n.to_string(),
                text => text.text(),
            })
        });
        let expected = [
            ["p2", "locked", "5", "3", "2"],
            ["p3", "ready", "5", "3", "2"],
            ["p", "delayed", "0", "1", "1"],
        ];
        assert_eq!(shown, expected, "{way:?}");
        assert_eq!(counts(&mut c, &q), [1, 1, 2, 0]);
    }
}

fn each_lock_is_extended_and_resolved_as_if_alone(kind: Kind) {
    let (_server, clients) = clients(kind);
    for (way, mut c) in clients {
        let q = format!("{way:?}");
        let words = "5 a p b p c p d p e p";
        c.line(&format!("MODQ.MSUBMIT {q} {words}"));
        let held = claims(&c.line(&format!("MODQ.CLAIM {q} m COUNT 4 LOCK 600000")));
        let [a, b, cc, d] = [0, 1, 2, 3].map(|i| held[i].token);
        let before = now_ms();
        let words = format!("70000 4 a {a} b {a} none {b} b {b}");
        let reply = send(&mut c, way, &format!("MODQ.MEXTEND {q} {words}"));
        assert_eq!(shown(&reply), "int -STALE -NOITEM int");
        let range = before + 70_000..=now_ms() + 70_000;
        assert!(range.contains(&reply[0].int()), "{reply:?}");
        assert_eq!(reply[3], reply[0], "counted from one time");
        for (item, deadline) in [("a", reply[0].int()), ("c", held[2].deadline)] {
            assert_eq!(field(&mut c, &q, item, "deadline").int(), deadline);
        }
        let mut resolve = |words: &str| {
            let reply = send(&mut c, way, &format!("MODQ.MRESOLVE {q} {words}"));
            shown(&reply)
        };
        let words = format!("4 a {a} b 5 e {a} a {a}");
        assert_eq!(resolve(&words), "OK -STALE -STALE -NOITEM");
        let words = format!("3 b {b} c {cc} d {d} REVS 1 2 1 VERDICT keep DECISION fine");
        assert_eq!(resolve(&words), "OK -CHANGED OK");
        assert_eq!(resolve(&format!("1 c {cc} decision x revs 1")), "OK");
        assert_eq!(counts(&mut c, &q), [1, 0, 0, 0]);
        let stats = c.line(&format!("MODQ.STATS {q}"));
        assert_eq!(stats.field("resolved"), Value::Int(4));
    }
}

/// A script that looks at each reply: an error is a table with `err`, and a string where Lua has no such thing.
fn a_script_sees_which_were_refused(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q b p");
    let script = "local r = redis.call('MODQ.MSUBMIT', KEYS[1], 3, 'a', 'p', 'b', 'p', 'c', 'p', 'ONDUP', 'ERROR') \
                  return {r[1].ok, type(r[2]) == 'table' and r[2].err or r[2], r[3].ok, #r}";
    let reply = cmd!(c, "EVAL", script, 1, "q");
    let exists = "EXISTS the item is in the queue already";
    assert_eq!(reply, arr!["READY", exists, "READY", 3]);
    let returned = "return redis.call('MODQ.MEXTEND', KEYS[1], 5, 1, 'none', 5)";
    let reply = cmd!(c, "EVAL", returned, 1, "q");
    let is_text = matches!(reply[0], Value::Bulk(_));
    assert_eq!(is_text, kind == Kind::Valkey91, "{reply:?}");
}

/// Lines that are refused, and what the error names.
const REFUSED: &[(&str, &str)] = &[
    ("MODQ.MSUBMIT q", "number of arguments"),
    ("MODQ.MSUBMIT q 1 x", "number of arguments"),
    ("MODQ.MSUBMIT q 0 x p", "numitems"),
    ("MODQ.MSUBMIT q -1 x p", "numitems"),
    ("MODQ.MSUBMIT q 1001 x p", "numitems"),
    ("MODQ.MSUBMIT q one x p", "numitems"),
    ("MODQ.MSUBMIT q 9223372036854775807 x p", "numitems"),
    ("MODQ.MSUBMIT q 2 x p", "item is missing"),
    ("MODQ.MSUBMIT q 2 x p y", "payload is missing"),
    ("MODQ.MSUBMIT q 1 x p y p", "unknown option"),
    ("MODQ.MSUBMIT q 1 x p PRIORITY", "priority"),
    ("MODQ.MSUBMIT q 1 x p PRIORITY 1 PRIORITY 1", "twice"),
    ("MODQ.MSUBMIT q 1 x p STEP 1", "step"),
    ("MODQ.MSUBMIT q 1 x p REV 1", "unknown option"),
    ("MODQ.MRESOLVE q 1 i", "number of arguments"),
    ("MODQ.MRESOLVE q 0 i 1", "numitems"),
    ("MODQ.MRESOLVE q 1001 i 1", "numitems"),
    ("MODQ.MRESOLVE q 2 i 1 j", "token is missing"),
    ("MODQ.MRESOLVE q 1 i x", "token"),
    ("MODQ.MRESOLVE q 1 i -1", "token"),
    ("MODQ.MRESOLVE q 2 i $t j x", "token"),
    ("MODQ.MRESOLVE q 1 i $t REVS", "revs"),
    ("MODQ.MRESOLVE q 1 i $t REVS x", "revs"),
    ("MODQ.MRESOLVE q 1 i $t REVS 1 1", "unknown option"),
    ("MODQ.MRESOLVE q 2 i $t j 1 REVS 1", "revs"),
    ("MODQ.MRESOLVE q 1 i $t REVS 1 REVS 1", "twice"),
    ("MODQ.MRESOLVE q 1 i $t REV 1", "unknown option"),
    ("MODQ.MRESOLVE q 1 i $t VERDICT", "verdict"),
    ("MODQ.MRESOLVE q 1 i $t DECISION", "decision"),
    ("MODQ.MEXTEND q 5 1 i", "number of arguments"),
    ("MODQ.MEXTEND q 0 1 i $t", "ms"),
    ("MODQ.MEXTEND q 1099511627777 1 i $t", "ms"),
    ("MODQ.MEXTEND q 5 0 i $t", "numitems"),
    ("MODQ.MEXTEND q 5 2 i $t", "item is missing"),
    ("MODQ.MEXTEND q 5 1 i $t extra", "unexpected"),
    ("MODQ.MEXTEND q 5 1 i 1.5", "token"),
];

fn what_is_wrong_with_the_command_refuses_all(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q i p");
    let token = claim(&mut c, "q m LOCK 600000").token;
    for key in ["q", "missing"] {
        unchanged(&mut c, key, |c| {
            for (line, part) in REFUSED {
                let line = line.replace(" q", &format!(" {key}"));
                let line = line.replace("$t", &token.to_string());
                let reply = c.line(&line);
                assert_eq!(reply.err_code(), "ERR", "{line}: {reply:?}");
                let said = format!("{reply:?}").to_lowercase();
                assert!(said.contains(part), "{line}: {said}");
            }
        });
    }
    assert_eq!(c.line("EXISTS missing"), Value::Int(0));
    // Ids, payloads and words out of range, behind one that is not.
    c.expect_ok("CONFIG SET modq.max-payload-bytes 3");
    let long = vec![b'x'; 513];
    unchanged(&mut c, "q", |c| {
        for id in [&b""[..], &long] {
            let reply = cmd!(c, "MODQ.MSUBMIT", "q", 2, "x", "p", id, "p");
            assert_err!(reply, "ERR", "item");
            let reply = cmd!(c, "MODQ.MRESOLVE", "q", 2, "i", token, id, token);
            assert_err!(reply, "ERR", "item");
            let reply = cmd!(c, "MODQ.MEXTEND", "q", 9, 2, "i", token, id, token);
            assert_err!(reply, "ERR", "item");
        }
        let reply = c.line("MODQ.MSUBMIT q 2 x p y 1234");
        assert_err!(reply, "ERR", "payload");
        for verdict in [&b""[..], &[b'v'; 256]] {
            let reply = cmd!(c, "MODQ.MRESOLVE", "q", 1, "i", token, "VERDICT", verdict);
            assert_err!(reply, "ERR", "VERDICT");
        }
        let prose = vec![b'd'; (64 << 10) + 1];
        let reply = cmd!(c, "MODQ.MRESOLVE", "q", 1, "i", token, "DECISION", prose);
        assert_err!(reply, "ERR", "DECISION");
    });
    c.expect_ok("SET s x");
    for line in [
        "MODQ.MSUBMIT s 1 x p",
        "MODQ.MRESOLVE s 1 x 1",
        "MODQ.MEXTEND s 1 1 x 1",
    ] {
        assert_err!(c.line(line), "WRONGTYPE");
    }
}

fn what_concerns_all_alike_refuses_all(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q known p");
    c.expect_ok("MODQ.PAUSE q IN");
    unchanged(&mut c, "q", |c| {
        // Alone, a known id would be refused as well.
        assert_err!(c.line("MODQ.SUBMIT q known p"), "PAUSED");
        assert_err!(c.line("MODQ.MSUBMIT q 2 known p new p"), "PAUSED");
    });
    c.expect_ok("MODQ.UNPAUSE q");
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev");
    c.expect_ok("SET ev x");
    let token = 5;
    unchanged(&mut c, "q", |c| {
        // The first changes nothing, the second would.
        assert_err!(c.line("MODQ.MSUBMIT q 3 known p new p newer p"), "EVENTS");
    });
    // What would write no event goes on.
    let reply = c.line("MODQ.MSUBMIT q 2 known p known p");
    assert_eq!(shown(&reply), "EXISTS EXISTS");
    let line = format!("MODQ.MRESOLVE q 2 known {token} none {token}");
    assert_eq!(shown(&c.line(&line)), "-STALE -NOITEM");
    assert_eq!(c.line("DEL ev"), Value::Int(1));
    let token = claim(&mut c, "q m").token;
    c.line("DEL ev");
    c.expect_ok("SET ev x");
    unchanged(&mut c, "q", |c| {
        let pairs = format!("2 none 5 known {token}");
        assert_err!(c.line(&format!("MODQ.MRESOLVE q {pairs}")), "EVENTS");
        assert_err!(c.line(&format!("MODQ.MEXTEND q 9 {pairs}")), "EVENTS");
    });
    c.line("DEL ev");
    c.expect_ok("CONFIG SET maxmemory 1");
    assert_err!(c.line("MODQ.MSUBMIT q 1 x p"), "OOM");
    let pair = format!("1 known {token}");
    let reply = c.line(&format!("MODQ.MEXTEND q 60000 {pair}"));
    assert_eq!(shown(&reply), "int", "what gives back goes on");
    assert_eq!(shown(&c.line(&format!("MODQ.MRESOLVE q {pair}"))), "OK");
}

fn a_missing_queue_is_an_empty_one(kind: Kind) {
    let (_server, mut c) = desk(kind);
    assert_eq!(
        shown(&c.line("MODQ.MRESOLVE q 2 a 1 b 1")),
        "-NOITEM -NOITEM"
    );
    assert_eq!(shown(&c.line("MODQ.MEXTEND q 9 1 a 1")), "-NOITEM");
    assert_eq!(c.line("EXISTS q"), Value::Int(0));
    assert_eq!(shown(&c.line("MODQ.MSUBMIT q 1 a p")), "READY");
    assert_eq!(counts(&mut c, "q"), [1, 0, 0, 0]);
}

/// A batch of `n` items with `excluded` moderators each.
fn many(key: &str, n: usize, excluded: usize) -> Vec<Vec<u8>> {
    let mut args = vec![b"MODQ.MSUBMIT".to_vec(), key.into(), n.to_arg()];
    for i in 0..n {
        args.extend([format!("i{i}").into_bytes(), vec![0xff, b'\r', b'\n', 0]]);
    }
    if excluded > 0 {
        args.extend([b"EXCLUDE".to_vec(), excluded.to_arg()]);
        args.extend((0..excluded).map(|i| format!("m{i}").into_bytes()));
    }
    args
}

fn a_batch_has_as_many_as_it_may(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let reply = c.cmd(&many("q", 1000, 10));
    assert_eq!(shown(&reply), ["READY"; 1000].join(" "));
    assert_eq!(field(&mut c, "q", "i999", "payload"), bulk(b"\xff\r\n\0"));
    assert_err!(c.cmd(&many("p", 1001, 0)), "ERR", "numitems");
    assert_err!(c.cmd(&many("p", 1000, 11)), "ERR", "EXCLUDE");
    assert_err!(c.cmd(&many("p", 11, 910)), "ERR", "EXCLUDE");
    assert_eq!(c.line("EXISTS p"), Value::Int(0));
    assert_eq!(c.cmd(&many("p", 10, 1000)).items().len(), 10);
    let held = claims(&c.line("MODQ.CLAIM q x COUNT 1000 LOCK 600000"));
    assert_eq!(held.len(), 1000);
    let pairs = held.iter().flat_map(|h| [h.item.clone(), h.token.to_arg()]);
    let pairs: Vec<Vec<u8>> = pairs.collect();
    let head = ["MODQ.MEXTEND", "q", "700000", "1000"].map(Arg::to_arg);
    let reply = c.cmd(&[&head[..], &pairs].concat());
    assert_eq!(shown(&reply), ["int"; 1000].join(" "));
    let head = ["MODQ.MRESOLVE", "q", "1000"].map(Arg::to_arg);
    let reply = c.cmd(&[&head[..], &pairs].concat());
    assert_eq!(shown(&reply), ["OK"; 1000].join(" "));
    assert_eq!(counts(&mut c, "q"), [0; 4]);
}

fn a_batch_serves_who_waits_in_their_order(kind: Kind) {
    let (server, mut c) = desk(kind);
    let mut first = blocked(&server, "MODQ.CLAIM q ann BLOCK 0 TAGS 1 t");
    let mut second = blocked(&server, "MODQ.CLAIM q bob BLOCK 0");
    let reply = c.line("MODQ.MSUBMIT q 3 a p b p c p TAGS 1 t");
    assert_eq!(shown(&reply), "ASSIGNED READY READY");
    assert_eq!(served(&mut first).id(), "a");
    let reply = c.line("MODQ.MSUBMIT q 3 d p e p f p PRIORITY -1");
    assert_eq!(shown(&reply), "ASSIGNED READY READY");
    let d = served(&mut second);
    assert_eq!(d.id(), "d");
    // What is free by a batch goes on to whoever waits: bob has room again.
    c.expect_ok("MODQ.CONFIGURE q CAPACITY 1");
    block(&mut second, &server, "MODQ.CLAIM q bob NEW BLOCK 0");
    let reply = c.line(&format!("MODQ.MRESOLVE q 1 d {}", d.token));
    assert_eq!(shown(&reply), "OK");
    assert_eq!(served(&mut second).id(), "e");
}

fn a_batch_is_one_record_and_a_replica_has_the_same(kind: Kind) {
    let one = Server::builder(kind).start();
    let two = Server::builder(kind).replica_of(&one).start();
    wait_link(&one, &two);
    let (mut c, mut r) = (one.client(), two.client());
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev EVENTSMAXLEN 0");
    c.line("MODQ.JOIN q ann TTL 600000");
    let mut sent = |c: &mut Client, line: &str| {
        wait_replica_synced(&one, &two);
        let before = command_calls(&mut r, "modq._q");
        let events = c.line("XLEN ev").int();
        let reply = c.line(line);
        wait_replica_synced(&one, &two);
        assert_eq!(digest(&mut r, "q"), digest(c, "q"), "{line}");
        assert_eq!(r.line("XLEN ev"), c.line("XLEN ev"));
        let told = c.line("XLEN ev").int() - events;
        (reply, command_calls(&mut r, "modq._q") - before, told)
    };
    let (reply, records, told) = sent(&mut c, "MODQ.MSUBMIT q 4 a p b p a p c p TAGS 0");
    assert_eq!(shown(&reply), "ASSIGNED READY EXISTS READY");
    assert_eq!((records, told), (1, 4), "and a claim");
    let held = claims(&c.line("MODQ.CLAIM q ann COUNT 3 LOCK 600000"));
    let [a, b, cc] = [0, 1, 2].map(|i| held[i].token);
    let pairs = format!("4 a {a} b {b} c {a} none 1");
    let (reply, records, told) = sent(&mut c, &format!("MODQ.MEXTEND q 800000 {pairs}"));
    assert_eq!(shown(&reply), "int int -STALE -NOITEM");
    assert_eq!((records, told), (1, 2));
    let (reply, records, told) = sent(&mut c, &format!("MODQ.MRESOLVE q {pairs}"));
    assert_eq!(shown(&reply), "OK OK -STALE -NOITEM");
    assert_eq!((records, told), (1, 2));
    let (reply, records, told) = sent(&mut c, &format!("MODQ.MRESOLVE q {pairs}"));
    assert_eq!(shown(&reply), "-NOITEM -NOITEM -STALE -NOITEM");
    assert_eq!((records, told), (0, 0), "nothing happened");
    assert_eq!(cmd!(c, "MODQ.RESOLVE", "q", "c", cc), ok());
}

fn a_verdict_is_told_of_each(kind: Kind) {
    let (_server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q EVENTS ev");
    c.line("MODQ.MSUBMIT q 2 a p b p");
    let held = claims(&c.line("MODQ.CLAIM q m COUNT 2"));
    let verdict = b"ke\xffep".to_vec();
    let [a, b] = [0, 1].map(|i| held[i].token);
    let reply = cmd!(
        c,
        "MODQ.MRESOLVE",
        "q",
        2,
        "a",
        a,
        "b",
        b,
        "DECISION",
        "no harm",
        "VERDICT",
        verdict
    );
    assert_eq!(shown(&reply), "OK OK");
    let events = c.line("XREVRANGE ev + - COUNT 2");
    for (event, (item, token)) in events.items().iter().zip([("b", b), ("a", a)]) {
        assert_eq!(event[1].field("ev"), bulk("resolve"));
        assert_eq!(event[1].field("item"), bulk(item));
        assert_eq!(event[1].field("token").text(), token.to_string());
        assert_eq!(event[1].field("verdict"), bulk(&verdict));
        assert_eq!(event[1].field("decision"), bulk("no harm"));
    }
}

matrix!(
    each_item_is_submitted_as_if_alone,
    each_lock_is_extended_and_resolved_as_if_alone,
    what_is_wrong_with_the_command_refuses_all,
    what_concerns_all_alike_refuses_all,
    a_missing_queue_is_an_empty_one,
    a_batch_has_as_many_as_it_may,
    a_batch_serves_who_waits_in_their_order,
    a_batch_is_one_record_and_a_replica_has_the_same,
    a_verdict_is_told_of_each,
    a_script_sees_which_were_refused,
);
