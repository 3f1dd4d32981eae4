//! RATELIMIT: limiters, leases and policies through RDB files, AOFs with and without RDB preamble, DEBUG RELOAD and
//! LOADAOF, DUMP and RESTORE, COPY, RENAME, MOVE and SWAPDB.

use super::ratelimit_kit::*;
use modq_testkit::*;
use std::collections::BTreeMap;

/// Every key with its type, digest and expiry, and every policy.
type Snapshot = (
    BTreeMap<String, (String, String, i64)>,
    Vec<(String, Value)>,
);

#[track_caller]
fn snapshot(c: &mut Client) -> Snapshot {
    let keys = c.line("KEYS *");
    let keys = keys.items().iter().map(|key| {
        let kind = cmd!(c, "TYPE", key).text();
        let expires = cmd!(c, "PEXPIRETIME", key).int();
        (key.text(), (kind, digest(c, key.bytes()), expires))
    });
    let keys = keys.collect();
    (keys, policies(c))
}

fn policies(c: &mut Client) -> Vec<(String, Value)> {
    let names = c.line("RATELIMIT.POLICY LIST");
    let names = names.items().iter();
    names
        .map(|name| (name.text(), cmd!(c, "RATELIMIT.POLICY", "GET", name)))
        .collect()
}

fn set_policies(c: &mut Client) {
    c.expect_ok("RATELIMIT.POLICY SET free 100 3600000");
    c.expect_ok("RATELIMIT.POLICY SET paid 1000 3600000 ALGO GCRA BURST 50 LIMIT 9007199254740992 1 ALGO FIXED");
    c.expect_ok("RATELIMIT.POLICY SET gone 1 1");
    c.expect_ok("RATELIMIT.POLICY SET free 200 3600000 ALGO COUNTER");
    assert_eq!(c.line("RATELIMIT.POLICY DEL gone"), Value::Int(1));
    assert_eq!(
        cmd!(c, "RATELIMIT.POLICY", "SET", b"\0\r\n\xff", 7, 1000),
        ok()
    );
}

/// A server whose AOF, once it has one, is rewritten with an RDB preamble or without.
fn with_preamble(kind: Kind, preamble: bool) -> Builder {
    let builder = Server::builder(kind);
    match preamble {
        true => builder.config("aof-use-rdb-preamble yes"),
        // Stack's search refuses to load with this.
        false => builder
            .config("aof-use-rdb-preamble no")
            .without_own_modules(),
    }
}

/// Keys too large for one chunk of a file: a log of 600 ms, 600 ids, 600 leases.
fn fill_large(c: &mut Client) -> [String; 3] {
    for i in 0..600 {
        let_pass(0);
        let left = cmd!(
            c,
            "RATELIMIT.CHECK",
            "long",
            100_000,
            3_600_000,
            "COST",
            1 + i % 3
        )[2]
        .int();
        assert!(left < 100_000 - i);
    }
    for i in 0..600 {
        c.send(&[
            "RATELIMIT.CHECK",
            "many-ids",
            "100000",
            "3600000",
            "ID",
            &format!("number-{i}"),
        ]);
        c.send(&[
            "RATELIMIT.ACQUIRE",
            "many-leases",
            "100000",
            &format!("number-{i}"),
            "TTL",
            "3600000",
        ]);
    }
    (0..1200).for_each(|_| assert_eq!(c.reply()[0], Value::Int(1)));
    ["long", "many-ids", "many-leases"].map(String::from)
}

/// Data and policies in a server; what there is of them.
fn populate(c: &mut Client) -> Snapshot {
    let mut keys = fill(c);
    keys.extend(fill_large(c));
    set_policies(c);
    let snapshot = snapshot(c);
    assert_eq!((snapshot.0.len(), snapshot.1.len()), (keys.len(), 3));
    let digests: std::collections::BTreeSet<&String> =
        snapshot.0.values().map(|(_, digest, _)| digest).collect();
    assert_eq!(
        digests.len(),
        keys.len(),
        "different values have different digests"
    );
    assert!(
        snapshot
            .0
            .values()
            .all(|(_, _, expires)| *expires > now_ms())
    );
    snapshot
}

/// What a server does with limits that it has loaded: it goes on where they were.
fn goes_on(c: &mut Client) {
    for algo in ALGOS {
        // 43 of 100 are charged.
        let reply = c.line(&format!(
            "RATELIMIT.PEEK one:{algo} 100 600000 ALGO {algo} COST 60"
        ));
        assert_eq!(reply[0], Value::Int(0), "{algo}");
        let known = c.line(&format!(
            "RATELIMIT.CHECK ids:{algo} 100 600000 ALGO {algo} COST 3 ID request-7 DETAIL"
        ));
        assert_eq!((known[0].int(), known[5].int()), (1, 3), "{algo}");
        assert_eq!(
            c.line(&format!("RATELIMIT.REFUND ids:{algo} ID request-7")),
            Value::Int(3),
            "{algo}"
        );
    }
    assert_eq!(
        c.line("RATELIMIT.CHECK blocked 5 1000 COST 0")[0],
        Value::Int(0)
    );
    let long = c.line("RATELIMIT.PEEK long 100000 3600000 COST 0");
    assert_eq!(long[2], Value::Int(98_800));
    let known = c.line("RATELIMIT.CHECK many-ids 100000 3600000 ID number-599 DETAIL");
    assert_eq!((known[2].int(), known[5].int()), (99_400, 1));
    let fence = c.line("RATELIMIT.LEASES leases")[0][3].int();
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE leases 1000 holder-0 TTL 600000")[4],
        Value::Int(fence)
    );
    assert!(c.line("RATELIMIT.ACQUIRE leases 1000 fresh TTL 600000")[4].int() > fence);
    let by_policy = c.line("RATELIMIT.CHECK by-policy POLICY free COST 5");
    assert_eq!(ints(&by_policy)[..4], [1, 200, 195, 0]);
    assert_eq!(
        c.line("RATELIMIT.PEEK by-policy 200 3600000 ALGO COUNTER COST 0")[2],
        Value::Int(195)
    );
    assert_err!(c.line("RATELIMIT.CHECK by-policy POLICY gone"), "NOPOLICY");
}

fn survives_in_an_rdb_file(kind: Kind) {
    let mut server = Server::start(kind);
    let before = populate(&mut server.client());
    server.stop_saving();
    server.start_again();
    let mut c = server.client();
    assert_eq!(snapshot(&mut c), before);
    c.expect_ok("DEBUG RELOAD");
    assert_eq!(snapshot(&mut c), before);
    // Without compression too.
    c.expect_ok("CONFIG SET rdbcompression no");
    c.expect_ok("DEBUG RELOAD");
    assert_eq!(snapshot(&mut c), before);
    // A policy deleted stays deleted; the last one too.
    assert_eq!(c.line("RATELIMIT.POLICY DEL free"), Value::Int(1));
    c.expect_ok("DEBUG RELOAD");
    assert_eq!(policies(&mut c).len(), 2);
    c.expect_ok("RATELIMIT.POLICY SET free 200 3600000 ALGO COUNTER");
    goes_on(&mut c);
    for (name, _) in policies(&mut c) {
        cmd!(c, "RATELIMIT.POLICY", "DEL", name);
    }
    cmd!(c, "RATELIMIT.POLICY", "DEL", b"\0\r\n\xff");
    assert_eq!(policies(&mut c), []);
    server.stop_saving();
    server.start_again();
    assert_eq!(policies(&mut server.client()), []);
}

fn rewrite_aof(c: &mut Client) {
    let rewrites = |c: &mut Client| {
        let info = info(c, "persistence");
        let idle = info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0";
        assert_eq!(info["aof_last_bgrewrite_status"], "ok");
        idle
    };
    assert!(rewrites(c));
    assert_ne!(c.line("BGREWRITEAOF").err_code(), "ERR");
    wait_until("the AOF is rewritten", PATIENCE, || rewrites(c));
}

fn survives_in_an_aof(kind: Kind) {
    for preamble in [true, false] {
        let mut server = with_preamble(kind, preamble).aof().start();
        let mut c = server.client();
        let before = populate(&mut c);
        let again = |server: &mut Server, what: &str| {
            server.kill9();
            server.start_again();
            assert_eq!(
                snapshot(&mut server.client()),
                before,
                "{what}, preamble {preamble}"
            );
        };
        again(&mut server, "from the commands");
        rewrite_aof(&mut server.client());
        again(&mut server, "rewritten");
        rewrite_aof(&mut server.client());
        rewrite_aof(&mut server.client());
        again(&mut server, "rewritten twice");
        let mut c = server.client();
        c.expect_ok("DEBUG LOADAOF");
        assert_eq!(snapshot(&mut c), before, "LOADAOF, preamble {preamble}");
        c.expect_ok("DEBUG RELOAD");
        assert_eq!(snapshot(&mut c), before, "RELOAD, preamble {preamble}");
        again(&mut server, "after a reload");
        let base = std::fs::read_dir(server.dir().join("appendonlydir"))
            .unwrap()
            .filter_map(|entry| {
                let path = entry.unwrap().path();
                path.to_str()
                    .unwrap()
                    .contains(".base.")
                    .then(|| std::fs::read(&path).unwrap())
            });
        let bases: Vec<bool> = base.map(|bytes| !bytes.starts_with(b"*")).collect();
        assert_eq!(bases, [preamble], "what is tested is what is meant");
        goes_on(&mut server.client());
    }
}

/// Policies that change while the AOF is being rewritten, and around it.
fn policies_change_as_the_aof_is_rewritten(kind: Kind) {
    for preamble in [true, false] {
        let mut server = with_preamble(kind, preamble).aof().start();
        let mut c = server.client();
        fill(&mut c);
        set_policies(&mut c);
        c.expect_ok("CONFIG SET rdb-key-save-delay 300000");
        assert_ne!(c.line("BGREWRITEAOF").err_code(), "ERR");
        wait_until("it is under way", PATIENCE, || {
            info(&mut c, "persistence")["aof_rewrite_in_progress"] == "1"
        });
        c.expect_ok("RATELIMIT.POLICY SET during 5 1000");
        c.expect_ok("RATELIMIT.POLICY SET free 6 1000");
        assert_eq!(c.line("RATELIMIT.POLICY DEL paid"), Value::Int(1));
        assert_eq!(
            c.line("RATELIMIT.CHECK during POLICY during ID x")[0],
            Value::Int(1)
        );
        assert_eq!(
            info(&mut c, "persistence")["aof_rewrite_in_progress"],
            "1",
            "still under way"
        );
        let before = policies(&mut c);
        assert_eq!(before.len(), 3);
        let mut crashed = (0, before.clone());
        for done in [false, true] {
            if done {
                c = server.client();
                c.expect_ok("CONFIG SET rdb-key-save-delay 0");
                rewrite_aof(&mut c);
            }
            server.kill9();
            server.start_again();
            crashed = (crashed.0 + 1, policies(&mut server.client()));
            assert_eq!(crashed.1, before, "preamble {preamble}, rewritten {done}");
        }
        // All deleted: none comes back from the files.
        let mut c = server.client();
        for name in [&b"free"[..], b"during", b"\0\r\n\xff"] {
            assert_eq!(cmd!(c, "RATELIMIT.POLICY", "DEL", name), Value::Int(1));
        }
        server.kill9();
        server.start_again();
        assert_eq!(policies(&mut server.client()), [], "preamble {preamble}");
        rewrite_aof(&mut server.client());
        server.kill9();
        server.start_again();
        assert_eq!(policies(&mut server.client()), [], "preamble {preamble}");
    }
}

/// An AOF that is switched on later has to have what was there before.
fn an_aof_switched_on_later(kind: Kind) {
    for preamble in [true, false] {
        let mut server = with_preamble(kind, preamble).start();
        let mut c = server.client();
        let before = populate(&mut c);
        c.expect_ok("CONFIG SET appendfsync always");
        c.expect_ok("CONFIG SET appendonly yes");
        wait_until("the AOF is written", PATIENCE, || {
            let info = info(&mut c, "persistence");
            info["aof_enabled"] == "1"
                && info["aof_rewrite_in_progress"] == "0"
                && info["aof_rewrite_scheduled"] == "0"
        });
        server.kill9();
        server.start_again_with(Builder::aof);
        assert_eq!(
            snapshot(&mut server.client()),
            before,
            "preamble {preamble}"
        );
    }
}

fn flushall_keeps_policies(kind: Kind) {
    let mut server = Server::builder(kind).aof().start();
    let replica = Server::builder(kind).replica_of(&server).start();
    let mut c = server.client();
    let before = populate(&mut c).1;
    for line in ["FLUSHALL", "FLUSHALL ASYNC", "FLUSHDB"] {
        c.expect_ok(line);
        assert_eq!(
            snapshot(&mut c),
            (BTreeMap::new(), before.clone()),
            "{line}"
        );
        fill(&mut c);
    }
    c.expect_ok("FLUSHALL");
    wait_replica_synced(&server, &replica);
    assert_eq!(
        snapshot(&mut replica.client()),
        (BTreeMap::new(), before.clone())
    );
    drop(replica);
    server.kill9();
    server.start_again();
    assert_eq!(snapshot(&mut server.client()), (BTreeMap::new(), before));
}

fn dump_restore_copy_rename_and_move(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let mut keys = fill(&mut c);
    keys.extend(fill_large(&mut c));
    for key in &keys {
        let whole = |c: &mut Client, key: &str| {
            (
                digest(c, key),
                cmd!(c, "PEXPIRETIME", key),
                cmd!(c, "TYPE", key),
            )
        };
        let before = whole(&mut c, key);
        let dump = cmd!(c, "DUMP", key);
        assert_eq!(
            cmd!(c, "RESTORE", "restored", before.1, dump, "ABSTTL"),
            ok(),
            "{key}"
        );
        assert_eq!(whole(&mut c, "restored"), before, "{key}");
        assert_eq!(cmd!(c, "DUMP", "restored"), dump, "{key}: the same bytes");
        assert_err!(cmd!(c, "RESTORE", "restored", 0, dump), "BUSYKEY");
        assert_eq!(cmd!(c, "COPY", key, "copied"), Value::Int(1));
        assert_eq!(whole(&mut c, "copied"), before, "{key}");
        // The copy is one: what becomes of it does not touch the other.
        c.line("RATELIMIT.RESET copied");
        cmd!(c, "DEL", "copied");
        assert_eq!(whole(&mut c, key), before, "{key}");
        assert_eq!(cmd!(c, "RENAME", key, "renamed"), ok());
        assert_eq!(whole(&mut c, "renamed"), before, "{key}");
        assert_eq!(cmd!(c, "MOVE", "renamed", 1), Value::Int(1));
        c.expect_ok("SWAPDB 0 1");
        assert_eq!(whole(&mut c, "renamed"), before, "{key}");
        c.expect_ok("SWAPDB 0 1");
        c.expect_ok("SELECT 1");
        assert_eq!(cmd!(c, "MOVE", "renamed", 0), Value::Int(1));
        c.expect_ok("SELECT 0");
        assert_eq!(cmd!(c, "RENAME", "renamed", key), ok());
        assert_eq!(whole(&mut c, key), before, "{key}");
        assert!(cmd!(c, "MEMORY", "USAGE", key).int() > 50, "{key}");
        assert!(cmd!(c, "OBJECT", "IDLETIME", key).int() >= 0, "{key}");
        assert_eq!(cmd!(c, "UNLINK", "restored"), Value::Int(1));
    }
    set_policies(&mut c);
    goes_on(&mut c);
    assert!(c.line("MEMORY USAGE long").int() > c.line("MEMORY USAGE one:LOG").int());
}

matrix!(
    survives_in_an_rdb_file,
    survives_in_an_aof,
    policies_change_as_the_aof_is_rewritten,
    an_aof_switched_on_later,
    flushall_keeps_policies,
    dump_restore_copy_rename_and_move,
);
