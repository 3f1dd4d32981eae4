//! The internal commands, by which replicas and AOFs are told what happened: who may send them, and what becomes of wrong
//! ones.

use super::modq_replication::primary;
use modq_testkit::queue::*;
use modq_testkit::*;

/// `modq._q` and `modq._load` are for the primary's link and AOFs.
fn internal_commands_are_refused(kind: Kind) {
    let one = primary(kind).start();
    let two = primary(kind)
        .replica_of(&one)
        .config("replica-read-only no")
        .start();
    wait_link(&one, &two);
    let mut c = one.client();
    rich_queue(&mut c, "q");
    c.expect_ok("SET s v");
    wait_replica_synced(&one, &two);
    for mut c in [c, two.client()] {
        for key in ["q", "missing", "s"] {
            unchanged(&mut c, key, |c| {
                for record in [&b""[..], b"\0", b"x"] {
                    assert_err!(cmd!(c, "MODQ._Q", key, record), "ERR");
                    assert_err!(
                        cmd!(c, "MODQ._LOAD", key, "queue", 1, "first", record),
                        "ERR"
                    );
                    assert_err!(
                        cmd!(c, "MODQ._LOAD", key, "queue", 1, "last", record),
                        "ERR"
                    );
                }
                let script = "return redis.call('MODQ._Q', KEYS[1], '')";
                assert_err!(cmd!(c, "EVAL", script, 1, key), "ERR");
                let multi = c.pipeline(&[
                    "MULTI".to_owned(),
                    format!("MODQ._Q {key} x"),
                    "EXEC".into(),
                ]);
                assert_err!(&multi[2][0], "ERR");
            });
        }
        assert_eq!(c.line("EXISTS missing"), Value::Int(0));
    }
}

type Command = Vec<Vec<u8>>;

/// The records that a server with an AOF has written: what real ones look like.
pub(crate) fn records(server: &Server, command: &str) -> Vec<Command> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(server.dir().join("appendonlydir")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "aof") {
            // A file that is just being written may have another name by now.
            let bytes = std::fs::read(path).unwrap_or_default();
            let mut rest = &bytes[..];
            while let Ok(value) = Value::read(&mut rest) {
                let words: Vec<Vec<u8>> =
                    value.items().iter().map(|w| w.bytes().to_vec()).collect();
                if words[0].eq_ignore_ascii_case(command.as_bytes()) {
                    found.push(words);
                }
            }
        }
    }
    found
}

/// A queue in both forms in which it is written to AOFs.
struct Recorded {
    /// Its effects, one after the other.
    applies: Vec<Command>,
    /// The whole of it, in chunks.
    loads: Vec<Command>,
    digest: String,
}

fn record(kind: Kind) -> Recorded {
    let builder = primary(kind)
        .without_own_modules()
        .aof()
        .config("aof-use-rdb-preamble no");
    let server = builder.start();
    let mut c = server.client();
    rich_queue(&mut c, "q");
    let digest = digest(&mut c, "q");
    let applies = records(&server, "modq._q");
    assert!(applies.len() > 40, "{}", applies.len());
    c.line("BGREWRITEAOF");
    let mut loads = Vec::new();
    wait_until("the rewritten file is there", PATIENCE, || {
        loads = records(&server, "modq._load");
        loads.len() >= 3 && loads.last().unwrap()[4] == b"last"
    });
    Recorded {
        applies,
        loads,
        digest,
    }
}

fn wrong_records_are_refused(t: &mut Client, apply: &[u8], load: &[u8]) {
    t.expect_ok("SET s v");
    assert_err!(cmd!(t, "MODQ._Q", "s", apply), "WRONGTYPE");
    assert_err!(
        cmd!(t, "MODQ._LOAD", "s", "queue", 1, "first", load),
        "WRONGTYPE"
    );
    unchanged(t, "q", |t| {
        assert_err!(cmd!(t, "MODQ._Q", "q", "x"), "ERR");
        assert_err!(cmd!(t, "MODQ._LOAD", "q", "queue", 1, "first", "x"), "ERR");
        assert_err!(cmd!(t, "MODQ._LOAD", "q", "queue", 1, "middle", "x"), "ERR");
        assert_err!(cmd!(t, "MODQ._LOAD", "q", "queue", 1, "last", "x"), "ERR");
        assert_err!(
            cmd!(t, "MODQ._LOAD", "q", "queue", 99, "first", load),
            "ERR"
        );
        assert_err!(cmd!(t, "MODQ._LOAD", "q", "desk", 1, "first", load), "ERR");
    });
}

/// Damages a record: cuts it short, changes a byte or puts random bytes in its place.
fn damage(record: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(record.len().max(1));
        match random.below(5) {
            0 if !record.is_empty() => record.truncate(at),
            1 => record.insert(at.min(record.len()), random.next() as u8),
            2 => *record = (0..random.below(40)).map(|_| random.next() as u8).collect(),
            _ if !record.is_empty() => record[at] = random.next() as u8,
            _ => {}
        }
    }
}

/// Sends a record damaged, to its key or another; whether it is taken. One that is refused leaves nothing behind.
fn takes_damaged(t: &mut Client, random: &mut Random, record: &Command) -> bool {
    let mut args = record.clone();
    if random.once_in(4) {
        args[1] = b"fresh".to_vec();
    }
    damage(args.last_mut().unwrap(), random);
    let existed = cmd!(t, "EXISTS", args[1]) == Value::Int(1);
    let reply = t.cmd(&args);
    match reply.err_code() {
        "" => true,
        "ERR" => {
            let leaves = cmd!(t, "EXISTS", args[1]) == Value::Int(1);
            assert!(existed || !leaves, "{args:?} left something behind");
            false
        }
        other => panic!("{other}: {reply:?}"),
    }
}

/// Ordinary commands answer as ever on this key, whatever the records have made of it.
fn can_be_worked_with(t: &mut Client, key: &str, lock: i32) {
    let replies = [
        cmd!(t, "MODQ.CLAIM", key, "m1", "TAGS", 1, "de", "LOCK", lock),
        cmd!(t, "MODQ.SUBMIT", key, "new", "p", "ONDUP", "BUMP"),
        cmd!(t, "MODQ.GET", key, "delayed"),
        cmd!(t, "MODQ.HELD", key, "m1"),
    ];
    for reply in replies {
        assert!(
            ["", "FULL", "PAUSED"].contains(&reply.err_code()),
            "{reply:?}"
        );
    }
}

/// With allow-apply, clients may send records: right ones rebuild the state, others never crash or wedge anything.
fn garbage_records_never_crash(kind: Kind) {
    let Recorded {
        applies,
        loads,
        digest: original,
    } = record(kind);
    let target = primary(kind)
        .without_own_modules()
        .config("propagation-error-behavior ignore");
    let target = target.module_args(&["allow-apply", "yes"]).start();
    let replica = primary(kind)
        .without_own_modules()
        .replica_of(&target)
        .start();
    wait_link(&target, &replica);
    let mut t = target.client();
    // The positive control: all of it as it is, in both forms.
    for all in [&applies, &loads] {
        t.expect_ok("FLUSHALL");
        for reply in t.pipeline_of(all) {
            assert_eq!(reply, ok());
        }
        assert_eq!(digest(&mut t, "q"), original);
        wait_replica_synced(&target, &replica);
        assert_eq!(digest(&mut replica.client(), "q"), original, "sent on");
    }
    wrong_records_are_refused(&mut t, &applies[0][2], &loads[0][5]);
    // Damaged ones, on the queue and on nothing.
    let mut random = Random::new(3);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..3000 {
        let all = if random.once_in(4) { &loads } else { &applies };
        let record = random.pick(all);
        *(if takes_damaged(&mut t, &mut random, record) {
            &mut taken
        } else {
            &mut refused
        }) += 1;
        for key in ["q", "fresh"] {
            can_be_worked_with(&mut t, key, 1 + round % 5);
        }
        if round % 100 == 0 {
            counts(&mut t, "q");
            t.expect_ok("DEBUG RELOAD");
            t.expect_ok("FLUSHALL");
            t.pipeline_of(&applies);
        }
    }
    assert!(
        taken > 50 && refused > 50,
        "{taken} taken, {refused} refused"
    );
    // What was taken has been sent on and taken there as well.
    t.expect_ok("CLIENT PAUSE 100000 WRITE");
    wait_replica_synced(&target, &replica);
    let mut r = replica.client();
    for key in ["q", "fresh"] {
        assert_eq!(digest(&mut r, key), digest(&mut t, key), "{key}");
    }
}

/// Some servers check no arity while they load an AOF.
fn an_aof_may_lack_arguments(kind: Kind) {
    use modq::commands::{all, limiter::POLICY};
    let policy = POLICY.subcommands.iter().map(|c| (Some(POLICY.name), c));
    let mut aof = Vec::new();
    let mut write = |words: &[&[u8]]| {
        aof.extend(format!("*{}\r\n", words.len()).bytes());
        for word in words {
            aof.extend(format!("${}\r\n", word.len()).bytes());
            aof.extend(*word);
            aof.extend(b"\r\n");
        }
    };
    for (container, command) in all().map(|c| (None, c)).chain(policy) {
        let mut words: Vec<&[u8]> = container.into_iter().map(|name| name.to_bytes()).collect();
        words.push(command.name.to_bytes());
        while (words.len() as i32) < command.arity.abs() {
            write(&words);
            words.push(b"1");
        }
    }
    write(&[b"SET", b"after", b"all"]);
    let builder = Server::builder(kind)
        .aof()
        .config("propagation-error-behavior ignore")
        .file("appendonly.aof", aof);
    match builder.try_start() {
        Ok(server) => {
            let mut c = server.client();
            assert_eq!(c.line("GET after"), bulk("all"));
            assert_eq!(c.line("DBSIZE"), Value::Int(1));
            assert!(!server.log().contains("internal error"), "{}", server.log());
        }
        // One that checks it does not take such a file.
        Err(log) => assert!(
            log.contains("wrong number") || log.contains("Wrong number"),
            "{log}"
        ),
    }
}

matrix!(
    internal_commands_are_refused,
    garbage_records_never_crash,
    an_aof_may_lack_arguments,
);
