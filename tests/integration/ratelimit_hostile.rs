//! RATELIMIT and what nobody should send: damaged RESTORE payloads, internal commands from clients, records that are
//! no records. An error at most, never a crash, and nothing left behind.

use super::ratelimit_kit::*;
use modq_testkit::*;
use std::time::Duration;

/// CRC-64 as the servers use it for DUMP (Jones, reflected).
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| match crc & 1 {
            1 => crc >> 1 ^ 0x95ac_9329_ac4b_c9b5,
            _ => crc >> 1,
        })
    })
}

/// A payload whose checksum is right, whatever has been done to it.
fn sealed(mut payload: Vec<u8>) -> Vec<u8> {
    let body = payload.len().saturating_sub(8);
    let crc = crc64(&payload[..body]);
    payload.truncate(body);
    payload.extend_from_slice(&crc.to_le_bytes());
    payload
}

/// Something damaged, the first `from` and the last `keep` bytes left as they are.
fn damage(r: &mut Random, payload: &[u8], from: usize, keep: usize) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    let end = bytes.len() - keep;
    let at = |r: &mut Random| from + r.below((end - from) as u64) as usize;
    for _ in 0..=r.below(3) {
        let i = at(r).min(bytes.len() - keep - 1);
        match r.below(6) {
            0 => bytes[i] ^= 1 << r.below(8),
            1 => bytes[i] = r.next() as u8,
            2 => bytes[i] = *r.pick(&[0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xfe, 0xff]),
            3 => bytes.insert(i, r.next() as u8),
            4 if bytes.len() > from + keep + 8 => drop(bytes.remove(i)),
            _ => {
                let j = (i + 1 + r.below(12) as usize).min(bytes.len() - keep);
                let chunk = bytes[i..j].to_vec();
                bytes.splice(i..i, chunk);
            }
        }
    }
    bytes
}

/// Everything that can be asked of a key, whatever it holds: any answer will do.
fn use_key(c: &mut Client, key: &str) {
    let lines = [
        "RATELIMIT.PEEK # 5 600000 LIMIT 5 600000 ALGO COUNTER LIMIT 5 600000 ALGO FIXED LIMIT 5 600000 ALGO GCRA DETAIL",
        "RATELIMIT.CHECK # 900 600000 LIMIT 5000 700000 ALGO COUNTER COST 2 ID fresh DETAIL",
        "RATELIMIT.CHECK # 9007199254740992 600000 ALGO COUNTER LIMIT 9007199254740992 600000 ALGO GCRA",
        "RATELIMIT.CHECK # 9007199254740992 600000 ALGO FIXED PARTIAL COST 9007199254740992",
        "RATELIMIT.REFUND # ID request-3",
        "RATELIMIT.REFUND # COST 7",
        "RATELIMIT.ACQUIRE # 1000 holder-3 TTL 50 COST 3",
        "RATELIMIT.ACQUIRE # 9007199254740992 fresh TTL 9007199254740992 COST 4503599627370496",
        "RATELIMIT.RELEASE # holder-4",
        "RATELIMIT.LEASES #",
        "MEMORY USAGE #",
        "PTTL #",
        "DEBUG DIGEST-VALUE #",
        "COPY # copied REPLACE",
        "DUMP #",
        "RATELIMIT.REFUND # COST 9007199254740992",
        "DEL #",
    ];
    for line in lines {
        c.send(&line.replace('#', key).split(' ').collect::<Vec<_>>());
    }
    lines.iter().for_each(|_| drop(c.reply()));
}

fn damaged_payloads_are_refused(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.set_timeout(Duration::from_secs(30));
    // Bytes as they are reach further into the decoder than compressed ones.
    c.expect_ok("CONFIG SET rdbcompression no");
    let keys = fill(&mut c);
    let dumps: Vec<Vec<u8>> = keys
        .iter()
        .map(|key| cmd!(c, "DUMP", key).bytes().to_vec())
        .collect();
    let mut r = Random::new(3);
    let (mut refused, mut taken) = (0, 0);
    for (key, dump) in keys.iter().zip(&dumps) {
        // Our reading of the checksum is the server's, or the rest would prove nothing.
        assert_eq!(sealed(dump.clone()), *dump, "{key}");
        let mut wrong = dump.clone();
        wrong[dump.len() / 2] ^= 1;
        assert_err!(cmd!(c, "RESTORE", "broken", 0, wrong), "ERR", "checksum");
        // Every truncation is refused, checksum or not. The last bytes are a version (2) and the checksum (8).
        let body = dump.len() - 10;
        for len in (10..body).step_by(1 + body / 150) {
            let cut = sealed([&dump[..len], &dump[body..]].concat());
            c.send(&[b"RESTORE", &b"broken"[..], b"0", &cut]);
            let reply = c.reply();
            assert_err!(reply, "ERR");
        }
        assert_eq!(c.line("EXISTS broken"), Value::Int(0));
        // The first byte says that a module's value follows, the next nine which one: 54 bits of name, 10 of version.
        for _ in 0..150 {
            let bytes = sealed(damage(&mut r, dump, 10, 10));
            let reply = cmd!(c, "RESTORE", "broken", 0, bytes, "REPLACE");
            match reply.err_code() {
                "ERR" => {
                    assert_eq!(
                        c.line("EXISTS broken"),
                        Value::Int(0),
                        "nothing is left behind"
                    );
                    refused += 1;
                }
                _ => {
                    assert_eq!(reply, ok());
                    taken += 1;
                    use_key(&mut c, "broken");
                }
            }
        }
        for version in [0, 2, 3, 1023] {
            let mut other = dump.clone();
            let id = u64::from_be_bytes(other[2..10].try_into().unwrap());
            assert_eq!(id & 1023, 1, "the version is where it is thought to be");
            other[2..10].copy_from_slice(&(id & !1023 | version).to_be_bytes());
            assert_err!(cmd!(c, "RESTORE", "broken", 0, sealed(other)), "ERR");
        }
        assert_eq!(
            cmd!(c, "RESTORE", "whole", 0, dump, "REPLACE"),
            ok(),
            "{key}"
        );
        assert_eq!(cmd!(c, "DUMP", "whole"), bulk(dump), "{key}");
    }
    assert!(
        refused > 500 && taken > 10,
        "{refused} refused, {taken} taken: there is nothing in this"
    );
    // What is of one type is not taken as another, unless it is the same bytes: a block is a number, as a fence is.
    let (lease, limiters) = (dumps.last().unwrap(), &dumps[..dumps.len() - 1]);
    for (key, limiter) in keys.iter().zip(limiters) {
        let as_limiter = sealed([&limiter[..10], &lease[10..]].concat());
        assert_err!(cmd!(c, "RESTORE", "broken", 0, as_limiter), "ERR");
        let as_lease = sealed([&lease[..10], &limiter[10..]].concat());
        let reply = cmd!(c, "RESTORE", "broken", 0, as_lease);
        assert_eq!(reply == ok(), key == "blocked", "{key}: {reply:?}");
        use_key(&mut c, "broken");
    }
    assert_eq!(cmd!(c, "PING"), simple("PONG"));
}

/// Every command in a server's AOF files, base and increments.
fn aof_commands(server: &Server) -> Vec<Vec<Vec<u8>>> {
    let directory = std::fs::read_dir(server.dir().join("appendonlydir")).unwrap();
    let mut files: Vec<_> = directory.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "aof"));
    // "….1.base.aof" sorts before "….1.incr.aof".
    files.sort();
    let mut commands = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() && rest[0] == b'*' {
            let command = Value::read(&mut rest).unwrap();
            commands.push(
                command
                    .items()
                    .iter()
                    .map(|word| word.bytes().to_vec())
                    .collect(),
            );
        }
    }
    commands
}

fn is(command: &[Vec<u8>], name: &str) -> bool {
    command[0].eq_ignore_ascii_case(name.as_bytes())
}

/// A server with records of all kinds in its AOF: as they were applied, and as they were rewritten.
fn recorded(kind: Kind) -> (Server, Vec<Vec<Vec<u8>>>) {
    let server = Server::builder(kind)
        .without_own_modules()
        .aof()
        .config("aof-use-rdb-preamble no")
        .start();
    let mut c = server.client();
    fill(&mut c);
    c.expect_ok("RATELIMIT.POLICY SET p 5 1000 LIMIT 6 2000 ALGO GCRA BURST 7");
    for algo in ALGOS {
        assert_eq!(
            c.line(&format!("RATELIMIT.REFUND one:{algo} COST 2")),
            Value::Int(2)
        );
        assert_eq!(
            c.line(&format!("RATELIMIT.REFUND ids:{algo} ID request-4")),
            Value::Int(3)
        );
    }
    assert_eq!(c.line("RATELIMIT.RESET ids:LOG"), Value::Int(1));
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE leases 1000 holder-1 TTL 900000 COST 5")[0],
        Value::Int(1)
    );
    let mut records = aof_commands(&server);
    assert_ne!(c.line("BGREWRITEAOF").err_code(), "ERR");
    wait_until("the AOF is rewritten", PATIENCE, || {
        let info = info(&mut c, "persistence");
        info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0"
    });
    // The policies are written behind the rewritten file, at a turn of the server's own.
    wait_until("the policies are there", PATIENCE, || {
        aof_commands(&server)
            .iter()
            .any(|command| is(command, "ratelimit._policies"))
    });
    records.extend(aof_commands(&server));
    records.retain(|command| !is(command, "SELECT"));
    for name in ["modq._r", "modq._l", "ratelimit._policies", "modq._load"] {
        assert!(
            records.iter().any(|command| is(command, name)),
            "{name} is in the AOF"
        );
    }
    (server, records)
}

fn internal_commands_are_refused(kind: Kind) {
    let (source, records) = recorded(kind);
    let target = Server::builder(kind).without_own_modules().start();
    let replica = Server::builder(kind)
        .without_own_modules()
        .replica_of(&target)
        .start();
    wait_replica_synced(&target, &replica);
    let (mut c, mut r) = (target.client(), replica.client());
    let internal: Vec<_> = records
        .iter()
        .filter(|command| command[0].contains(&b'_'))
        .collect();
    assert!(internal.len() > 100);
    for command in &internal {
        assert_err!(c.cmd(command), "ERR", "internal");
        assert_err!(r.cmd(command), "READONLY");
    }
    let script = "return redis.call(unpack(ARGV))";
    for name in ["modq._r", "ratelimit._policies"] {
        let command = internal.iter().find(|command| is(command, name)).unwrap();
        let mut call = vec![b"EVAL".to_vec(), script.into(), b"0".to_vec()];
        call.extend(command.iter().cloned());
        assert_err!(c.cmd(&call), "ERR");
        c.expect_ok("MULTI");
        assert_eq!(c.cmd(command), simple("QUEUED"));
        assert_err!(c.line("EXEC")[0].clone(), "ERR", "internal");
    }
    assert_eq!(
        (c.line("DBSIZE"), c.line("RATELIMIT.POLICY LIST")),
        (Value::Int(0), arr![])
    );
    // Where it is allowed, a client can replay an AOF: what comes out is what was.
    c.expect_ok("CONFIG SET modq.allow-apply yes");
    for command in &records {
        let reply = c.cmd(command);
        assert_eq!(
            reply.err_code(),
            "",
            "{:?}: {reply:?}",
            String::from_utf8_lossy(&command[0])
        );
    }
    let mut s = source.client();
    assert_eq!(debug_digest(&mut c), debug_digest(&mut s));
    assert_eq!(
        c.line("RATELIMIT.POLICY GET p"),
        s.line("RATELIMIT.POLICY GET p")
    );
    wait_replica_synced(&target, &replica);
    assert_eq!(
        debug_digest(&mut r),
        debug_digest(&mut s),
        "it goes on to replicas"
    );
    assert_eq!(
        r.line("RATELIMIT.POLICY GET p"),
        s.line("RATELIMIT.POLICY GET p")
    );
    c.expect_ok("CONFIG SET modq.allow-apply no");
    assert_err!(c.cmd(internal[0]), "ERR", "internal");
}

fn garbage_is_refused(kind: Kind) {
    let (_source, records) = recorded(kind);
    let target = Server::builder(kind)
        .without_own_modules()
        .module_args(&["allow-apply", "yes"])
        .start();
    let replica = Server::builder(kind)
        .without_own_modules()
        .replica_of(&target)
        .start();
    wait_replica_synced(&target, &replica);
    let mut c = target.client();
    let keys = fill(&mut c);
    let records: Vec<_> = records
        .iter()
        .filter(|command| command[0].contains(&b'_'))
        .collect();
    let mut r = Random::new(11);
    let (mut refused, mut taken) = (0, 0);
    for round in 0..1500 {
        let mut command = records[r.below(records.len() as u64) as usize].clone();
        // Damage the record, or anything; to a key that is there, of its type or not.
        match round % 5 {
            0 => {
                let i = 1 + r.below(command.len() as u64 - 1) as usize;
                command[i] = (0..r.below(40)).map(|_| r.next() as u8).collect();
            }
            1 if command.len() > 2 => {
                command[1] = keys[r.below(keys.len() as u64) as usize].clone().into()
            }
            2 => {
                let other = records[r.below(records.len() as u64) as usize];
                *command.last_mut().unwrap() = other.last().unwrap().clone();
            }
            _ => {
                let last = command.pop().unwrap();
                command.push(if last.is_empty() {
                    vec![r.next() as u8]
                } else {
                    damage(&mut r, &last, 0, 0)
                });
            }
        }
        // A chunk that does not fit spoils what was loaded before it, and the past makes keys expire.
        let state = |c: &mut Client| loop {
            let expired = |c: &mut Client| info(c, "stats")["expired_keys"].clone();
            let before = expired(c);
            let digest = debug_digest(c);
            // Else a key went between the two looks.
            if expired(c) == before {
                break (digest, before);
            }
        };
        let spoils = is(&command, "modq._load") && command[4] != b"first";
        let before = (!spoils).then(|| state(&mut c));
        let reply = c.cmd(&command);
        if reply.err_code().is_empty() {
            taken += 1;
            if command.len() > 2 && r.below(4) == 0 {
                let key = String::from_utf8_lossy(&command[1]).into_owned();
                if !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic()) {
                    use_key(&mut c, &key);
                    // Its lease of 50 ms would end between two looks at the state.
                    c.line("DEL copied");
                }
            }
        } else {
            refused += 1;
            assert!(
                ["ERR", "WRONGTYPE"].contains(&reply.err_code()),
                "{reply:?}"
            );
            if let Some(before) = before {
                let after = state(&mut c);
                let shown = command.iter().map(|word| word.escape_ascii().to_string());
                let shown = || shown.collect::<Vec<_>>().join(" ");
                assert!(
                    after == before || after.1 != before.1,
                    "{reply:?} after {}",
                    shown()
                );
            }
        }
    }
    assert!(
        refused > 300 && taken > 50,
        "{refused} refused, {taken} taken"
    );
    // The replica took what was taken, or it would have stopped; keys that were given a time in the past go first.
    wait_until("the replica has the same", PATIENCE, || {
        wait_replica_synced(&target, &replica);
        debug_digest(&mut replica.client()) == debug_digest(&mut c)
    });
    let names = c.line("RATELIMIT.POLICY LIST");
    assert_eq!(replica.client().line("RATELIMIT.POLICY LIST"), names);
}

matrix!(
    damaged_payloads_are_refused,
    internal_commands_are_refused,
    garbage_is_refused,
);
