//! RATELIMIT and what nobody should send: damaged RESTORE payloads, internal commands from clients, records that are
//! no records. An error at most, never a crash, and nothing left behind.

use super::ratelimit_kit::*;
use modq_testkit::dump::sign_dump;
use modq_testkit::*;
use std::time::Duration;

/// A payload whose checksum is right, whatever has been done to it.
fn sealed(payload: &[u8]) -> Vec<u8> {
    let (body, footer) = payload.split_at(payload.len() - 10);
    sign_dump(body, [footer[0], footer[1]])
}

/// The payload damaged in a few places, the first `from` and the last `keep` bytes left as they are.
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

/// A server with a key of every shape, and the names and payloads of these. Payloads are not compressed: bytes as they
/// are reach further into the decoder.
fn dumped(kind: Kind) -> (Server, Client, Vec<(String, Vec<u8>)>) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.set_timeout(Duration::from_secs(30));
    c.expect_ok("CONFIG SET rdbcompression no");
    let mut dump = |key: String| {
        let dump = cmd!(c, "DUMP", key).bytes().to_vec();
        (key, dump)
    };
    let keys = fill(&mut server.client());
    let dumps = keys.into_iter().map(&mut dump).collect();
    (server, c, dumps)
}

fn damaged_payloads_are_refused(kind: Kind) {
    let (_server, mut c, dumps) = dumped(kind);
    let mut r = Random::new(3);
    let (mut refused, mut taken) = (0, 0);
    for (key, dump) in &dumps {
        // Our reading of the checksum is the server's, or the rest would prove nothing.
        assert_eq!(sealed(dump), *dump, "{key}");
        let mut wrong = dump.clone();
        wrong[dump.len() / 2] ^= 1;
        assert_err!(cmd!(c, "RESTORE", "broken", 0, wrong), "ERR", "checksum");
        // The first byte says that a module's value follows, the next nine which one: 54 bits of name, 10 of version.
        for _ in 0..150 {
            let bytes = sealed(&damage(&mut r, dump, 10, 10));
            let reply = cmd!(c, "RESTORE", "broken", 0, bytes, "REPLACE");
            if reply == ok() {
                taken += 1;
                use_key(&mut c, "broken");
            } else {
                refused += 1;
                assert_err!(reply, "ERR");
                let left = c.line("EXISTS broken");
                assert_eq!(left, Value::Int(0), "nothing is left behind");
            }
        }
        for version in [0, 3, 4, 1023] {
            let mut other = dump.clone();
            let id = u64::from_be_bytes(other[2..10].try_into().unwrap());
            assert_eq!(id & 1023, 2, "the version is where it is thought to be");
            other[2..10].copy_from_slice(&(id & !1023 | version).to_be_bytes());
            assert_err!(cmd!(c, "RESTORE", "broken", 0, sealed(&other)), "ERR");
        }
        let whole = cmd!(c, "RESTORE", "whole", 0, dump, "REPLACE");
        assert_eq!(whole, ok(), "{key}");
        assert_eq!(cmd!(c, "DUMP", "whole"), bulk(dump), "{key}");
    }
    assert!(
        refused > 500 && taken > 10,
        "{refused} refused, {taken} taken: there is nothing in this"
    );
    assert_eq!(cmd!(c, "PING"), simple("PONG"));
}

/// Checksum or not.
fn truncated_payloads_are_refused(kind: Kind) {
    let (_server, mut c, dumps) = dumped(kind);
    for (key, dump) in &dumps {
        // The last bytes are a version (2) and the checksum (8).
        let body = dump.len() - 10;
        for len in (10..body).step_by(1 + body / 150) {
            let cut = sealed(&[&dump[..len], &dump[body..]].concat());
            assert_err!(cmd!(c, "RESTORE", "broken", 0, cut), "ERR");
        }
        assert_eq!(c.line("EXISTS broken"), Value::Int(0), "{key}");
    }
}

/// What is of one type is not taken as another.
fn payloads_of_another_type_are_refused(kind: Kind) {
    let (_server, mut c, dumps) = dumped(kind);
    let ((_, lease), limiters) = dumps.split_last().unwrap();
    for (key, limiter) in limiters {
        let as_limiter = sealed(&[&limiter[..10], &lease[10..]].concat());
        assert_err!(cmd!(c, "RESTORE", "broken", 0, as_limiter), "ERR");
        let as_lease = sealed(&[&lease[..10], &limiter[10..]].concat());
        let reply = cmd!(c, "RESTORE", "broken", 0, as_lease);
        assert_eq!(reply.err_code(), "ERR", "{key}: {reply:?}");
    }
    assert_eq!(cmd!(c, "PING"), simple("PONG"));
}

type Command = Vec<Vec<u8>>;

/// Every command in a server's AOF files, base and increments.
fn aof_commands(server: &Server) -> Vec<Command> {
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
fn recorded(kind: Kind) -> (Server, Vec<Command>) {
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
    let (_source, records) = recorded(kind);
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
}

/// Where it is allowed, a client can replay an AOF: what comes out is what was.
fn internal_commands_replay_an_aof(kind: Kind) {
    let (source, records) = recorded(kind);
    let target = Server::builder(kind).without_own_modules().start();
    let replica = Server::builder(kind)
        .without_own_modules()
        .replica_of(&target)
        .start();
    wait_replica_synced(&target, &replica);
    let (mut c, mut r) = (target.client(), replica.client());
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
    let internal = records.iter().find(|command| command[0].contains(&b'_'));
    assert_err!(c.cmd(internal.unwrap()), "ERR", "internal");
}

/// One of the records with something wrong about it, by `how`: a word of it is random bytes (0), its key is another that
/// is there, of its type or not (1), it says what another record says (2), or what it says is damaged.
fn spoiled(r: &mut Random, records: &[Command], keys: &[String], how: u32) -> Command {
    let mut command = r.pick(records).clone();
    match how {
        0 => {
            let i = 1 + r.below(command.len() - 1);
            command[i] = (0..r.below(40)).map(|_| r.next() as u8).collect();
        }
        1 if command.len() > 2 => command[1] = r.pick(keys).clone().into(),
        2 => *command.last_mut().unwrap() = r.pick(records).last().unwrap().clone(),
        _ => {
            let last = command.pop().unwrap();
            command.push(match last.is_empty() {
                true => vec![r.next() as u8],
                false => damage(r, &last, 0, 0),
            });
        }
    }
    command
}

/// The data, and how many keys have expired.
fn digest_and_expired(c: &mut Client) -> (String, String) {
    let expired = |c: &mut Client| info(c, "stats")["expired_keys"].clone();
    loop {
        let before = expired(c);
        let digest = debug_digest(c);
        // Else a key went between the two looks.
        if expired(c) == before {
            return (digest, before);
        }
    }
}

/// Sends a record that may be wrong; whether it was taken. One that is refused changes nothing.
fn takes(c: &mut Client, command: &Command) -> bool {
    // A chunk that does not fit spoils what was loaded before it, and the past makes keys expire.
    let spoils = is(command, "modq._load") && command[4] != b"first";
    let before = (!spoils).then(|| digest_and_expired(c));
    let reply = c.cmd(command);
    if reply.err_code().is_empty() {
        return true;
    }
    assert!(
        ["ERR", "WRONGTYPE"].contains(&reply.err_code()),
        "{reply:?}"
    );
    if let Some(before) = before {
        let after = digest_and_expired(c);
        let shown = command.iter().map(|word| word.escape_ascii().to_string());
        let shown = shown.collect::<Vec<_>>().join(" ");
        assert!(
            after == before || after.1 != before.1,
            "{reply:?} after {shown}"
        );
    }
    false
}

fn garbage_is_refused(kind: Kind) {
    let (_source, mut records) = recorded(kind);
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
    records.retain(|command| command[0].contains(&b'_'));
    let mut r = Random::new(11);
    let (mut refused, mut taken) = (0, 0);
    for round in 0..1500 {
        let command = spoiled(&mut r, &records, &keys, round % 5);
        if !takes(&mut c, &command) {
            refused += 1;
            continue;
        }
        taken += 1;
        if command.len() > 2 && r.once_in(4) {
            let key = String::from_utf8_lossy(&command[1]).into_owned();
            if !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic()) {
                use_key(&mut c, &key);
                // Its lease of 50 ms would end between two looks at the state.
                c.line("DEL copied");
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
    truncated_payloads_are_refused,
    payloads_of_another_type_are_refused,
    internal_commands_are_refused,
    internal_commands_replay_an_aof,
    garbage_is_refused,
);
