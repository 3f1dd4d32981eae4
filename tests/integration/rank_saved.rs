//! RANK: boards through RDB files, AOFs with and without RDB preamble, DUMP and RESTORE, COPY, RENAME, MOVE and SWAPDB;
//! what is damaged is refused; replicas have what the primary has.

use modq_testkit::dump::sign_dump;
use modq_testkit::*;
use std::collections::BTreeMap;

const KEYS: [&str; 5] = ["plain", "many", "wide", "named", "closed"];

/// Boards of every kind, some too large for one chunk of a file.
fn fill(c: &mut Client) {
    c.expect_ok("RANK.CREATE wide COLUMNS 4 ORDER DESC ASC ASC DESC TIES LATEST CAP 5 UPDATE BEST");
    c.expect_ok("RANK.CREATE named TIES MEMBER ORDER ASC UPDATE LAST RETRY 1099511627776");
    let mut lines = Vec::new();
    for i in 0..20 {
        lines.push(format!("RANK.ADD plain m{i} {}", i % 3));
        lines.push(format!(
            "RANK.ADD wide m{i} {} -5 {} 0",
            i % 3,
            i64::MIN + i
        ));
        lines.push(format!("RANK.ADD named m{i} {} ID request-{i}", i % 4));
        lines.push(format!("RANK.ADD closed m{i} 1 ID x{i}"));
    }
    for i in 0..1500 {
        lines.push(format!(
            "RANK.ADD many member-{i} {} ID request-{i}",
            i * 7919 % 100
        ));
    }
    lines.push("RANK.CLOSE closed season:1".into());
    lines.push("RANK.REM plain m3".into());
    lines.push("PEXPIREAT named 4102444800000".into());
    for (line, reply) in lines.iter().zip(c.pipeline(&lines)) {
        assert_eq!(reply.err_code(), "", "{line}: {reply:?}");
    }
}

type Snapshot = BTreeMap<String, (String, i64, Value)>;

#[track_caller]
fn snapshot(c: &mut Client) -> Snapshot {
    let keys = c.line("KEYS *");
    let keys = keys.items().iter().map(|key| {
        let expires = cmd!(c, "PEXPIRETIME", key).int();
        let top = cmd!(c, "RANK.TOP", key, 10_000, "RANKING", "DENSE");
        (key.text(), (digest(c, key.bytes()), expires, top))
    });
    keys.collect()
}

/// What a server does with boards that it has loaded: it goes on where they were.
fn goes_on(c: &mut Client) {
    assert_eq!(
        c.line("RANK.ADD many member-7 1 ID request-1499")[0],
        Value::Int(0)
    );
    assert_eq!(
        c.line("RANK.ADD closed m1 1 ID x1"),
        arr![0, Value::NullBulk, Value::NullBulk, 1]
    );
    assert_eq!(c.line("RANK.INFO season:1").field("ids"), Value::Int(0));
    // A new row ranks behind those that reached it before.
    let before = c.line("RANK.COUNT plain -1").int();
    assert_eq!(before, 19);
    let last = c.line("RANK.ADD plain new 0");
    assert_eq!(last[1], Value::Int(20));
}

fn survives_in_an_rdb_file(kind: Kind) {
    let mut server = Server::start(kind);
    fill(&mut server.client());
    let before = snapshot(&mut server.client());
    assert_eq!(before.len(), KEYS.len() + 1);
    server.stop_saving();
    server.start_again();
    let mut c = server.client();
    assert_eq!(snapshot(&mut c), before);
    c.expect_ok("DEBUG RELOAD");
    assert_eq!(snapshot(&mut c), before);
    goes_on(&mut c);
}

fn rewrite_aof(c: &mut Client) {
    let mut idle = || {
        let info = info(c, "persistence");
        assert_eq!(info["aof_last_bgrewrite_status"], "ok");
        info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0"
    };
    assert!(idle());
    assert_ne!(c.line("BGREWRITEAOF").err_code(), "ERR");
    let mut idle = || {
        let info = info(c, "persistence");
        info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0"
    };
    wait_until("the AOF is rewritten", PATIENCE, &mut idle);
    assert_eq!(info(c, "persistence")["aof_last_bgrewrite_status"], "ok");
}

fn survives_in_an_aof(kind: Kind) {
    for preamble in [true, false] {
        let builder = Server::builder(kind).config(match preamble {
            true => "aof-use-rdb-preamble yes",
            false => "aof-use-rdb-preamble no",
        });
        // Stack's search refuses to load with this.
        let builder = if preamble {
            builder
        } else {
            builder.without_own_modules()
        };
        let mut server = builder.aof().start();
        fill(&mut server.client());
        let before = snapshot(&mut server.client());
        for what in ["from the commands", "rewritten", "rewritten twice"] {
            server.kill9();
            server.start_again();
            assert_eq!(
                snapshot(&mut server.client()),
                before,
                "{what}, preamble {preamble}"
            );
            rewrite_aof(&mut server.client());
        }
        let mut c = server.client();
        c.expect_ok("DEBUG LOADAOF");
        assert_eq!(snapshot(&mut c), before, "LOADAOF, preamble {preamble}");
        goes_on(&mut c);
    }
}

fn copies_and_new_names_are_the_same(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    fill(&mut c);
    for key in KEYS {
        let before = digest(&mut c, key);
        assert_eq!(cmd!(c, "COPY", key, "copy"), Value::Int(1));
        // The expiry goes along, as COPY has it.
        assert_eq!(digest(&mut c, "copy"), before, "{key}");
        c.expect_ok("RENAME copy renamed");
        assert_eq!(digest(&mut c, "renamed"), before, "{key}");
        let dump = cmd!(c, "DUMP", key);
        let expires = cmd!(c, "PEXPIRETIME", key).int().max(0);
        let restored = cmd!(
            c,
            "RESTORE",
            "restored",
            expires,
            dump.bytes(),
            "ABSTTL",
            "REPLACE"
        );
        assert_eq!(restored, ok());
        assert_eq!(digest(&mut c, "restored"), before, "{key}");
        assert_eq!(cmd!(c, "DUMP", "restored"), dump);
        c.line("DEL renamed");
    }
    let before = digest(&mut c, "many");
    assert_eq!(c.line("MOVE many 3"), Value::Int(1));
    c.expect_ok("SWAPDB 3 5");
    c.expect_ok("SELECT 5");
    assert_eq!(digest(&mut c, "many"), before);
    // Its ids expire there by the timer, under the new name.
    c.expect_ok("RENAME many elsewhere");
    c.expect_ok("RANK.CONFIGURE elsewhere RETRY 1");
    wait_until("the ids have expired", PATIENCE, || {
        c.line("RANK.INFO elsewhere").field("ids") == Value::Int(0)
    });
}

/// A payload whose checksum is right, whatever has been done to it.
fn sealed(payload: &[u8]) -> Vec<u8> {
    let (body, footer) = payload.split_at(payload.len() - 10);
    sign_dump(body, [footer[0], footer[1]])
}

fn damaged_payloads_do_no_harm(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    fill(&mut c);
    let mut r = Random::new(11);
    let (mut refused, mut taken) = (0, 0);
    for key in KEYS {
        let dump = cmd!(c, "DUMP", key).bytes().to_vec();
        assert_eq!(sealed(&dump), dump, "the checksum is understood");
        for _ in 0..120 {
            let mut bytes = dump.clone();
            for _ in 0..=r.below(2) {
                let at = 10 + r.below(dump.len() - 20);
                bytes[at] = *r.pick(&[0, 1, 2, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xff]);
            }
            if r.once_in(3) {
                let from = 10 + r.below(dump.len() - 21);
                bytes.drain(from..dump.len() - 10);
            }
            c.line("DEL broken");
            let reply = cmd!(c, "RESTORE", "broken", 0, sealed(&bytes));
            if reply == ok() {
                taken += 1;
                for line in [
                    "RANK.TOP broken 10000",
                    "RANK.ADD broken m1 1 ID new",
                    "RANK.REM broken m2",
                ] {
                    c.line(line);
                }
                c.expect_ok("DEBUG RELOAD");
            } else {
                refused += 1;
                assert_err!(reply, "ERR");
                assert_eq!(
                    c.line("EXISTS broken"),
                    Value::Int(0),
                    "nothing is left behind"
                );
            }
        }
    }
    assert!(
        refused > 100 && taken > 5,
        "{refused} refused, {taken} taken"
    );
    assert_eq!(c.line("PING"), simple("PONG"));
}

fn internal_commands_are_refused_to_clients(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.line("RANK.ADD b m 1");
    let remove: &[u8] = &[0x81, 4, 3, b'm'];
    let close: &[u8] = &[0x81, 6, 1];
    unchanged(&mut c, "b", |c| {
        assert_err!(cmd!(c, "MODQ._B", "b", remove), "ERR", "internal");
        assert_err!(cmd!(c, "MODQ._C", "b", "other", close), "ERR", "internal");
        c.expect_ok("CONFIG SET modq.allow-apply yes");
        for record in [
            &b""[..],
            b"\x81",
            b"\x82\x04\x03m",
            b"\x81\x04\x03n",
            b"\x81\x04\x05m",
            b"\x81\x09",
        ] {
            assert_err!(cmd!(c, "MODQ._B", "b", record), "ERR", "record");
        }
        assert_err!(cmd!(c, "MODQ._B", "none", remove), "ERR");
        assert_err!(cmd!(c, "MODQ._C", "b", "b", close), "ERR");
        assert_err!(cmd!(c, "MODQ._C", "none", "other", close), "ERR");
        assert_err!(cmd!(c, "MODQ._C", "b", "other", remove), "ERR");
    });
    assert_eq!(cmd!(c, "MODQ._C", "b", "other", close), ok());
    assert_eq!(cmd!(c, "MODQ._B", "other", remove), ok());
    assert_eq!(c.line("RANK.CARD other"), Value::Int(0));
    assert_eq!(c.line("EXISTS none"), Value::Int(0));
}

matrix!(
    survives_in_an_rdb_file,
    survives_in_an_aof,
    copies_and_new_names_are_the_same,
    damaged_payloads_do_no_harm,
    internal_commands_are_refused_to_clients,
);
