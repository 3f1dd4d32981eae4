//! What replicas get and do: effects only, the same state, and no time of their own.

use modq_testkit::queue::*;
use modq_testkit::*;

/// The replicas' `propagation-error-behavior panic` (see the harness) makes any record that does not apply a crash.
fn primary(kind: Kind) -> Builder {
    Server::builder(kind).config("repl-ping-replica-period 3600")
}

/// Waits until the replica has loaded and what its primary writes reaches it at once: Redis 7.0 begins to send only
/// with the replica's first ACK.
#[track_caller]
fn wait_link(primary: &Server, replica: &Server) {
    let mut c = replica.client();
    wait_until("the link is up", PATIENCE, || {
        info(&mut c, "replication")["master_link_status"] == "up"
    });
    primary.client().line("PUBLISH nobody hears");
    wait_replica_synced(primary, replica);
}

const KEYS: [&str; 4] = ["q", "{q}2", "r", "bin\0\r\n"];

/// `n` commands at random on a few queues, with locks so short that many run out on the way.
fn work(c: &mut Client, random: &mut Random, n: usize) {
    let mut tokens: Vec<(usize, Vec<u8>, i64)> = Vec::new();
    for _ in 0..n {
        let which = random.below(KEYS.len());
        let mut key = KEYS[which].to_arg();
        let mut item = format!("i{}", random.below(12)).into_bytes();
        let mut token = 1;
        if !tokens.is_empty() && !random.once_in(5) {
            let (of, id, last) = tokens[random.below(tokens.len())].clone();
            (key, item, token) = (KEYS[of].to_arg(), id, last);
        }
        let moderator = format!("m{}", random.below(4));
        let some = |random: &mut Random, words: &[&str]| -> Vec<String> {
            let kept = words.iter().filter(|_| random.once_in(3));
            let text: Vec<&str> = kept.copied().collect();
            text.join(" ")
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        let priority = format!("PRIORITY {}", random.below(5));
        let delay = format!("DELAY {}", random.below(20));
        let exclude = format!("EXCLUDE 2 {moderator} other");
        let lock = format!("LOCK {}", 1 + random.below(30));
        let (name, tail): (&str, Vec<String>) = match random.below(10) {
            0..=2 => {
                let again =
                    ["ONDUP BUMP", "ONDUP REPLACE", "ONDUP KEEP", "ONDUP ERROR"][random.below(4)];
                let mut tail = vec![format!("p{}", random.below(1000))];
                tail.extend(some(
                    random,
                    &[&priority, "BOOST 50", &delay, "TAGS 1 de", &exclude, again],
                ));
                ("MODQ.SUBMIT", tail)
            }
            3 => ("MODQ.CANCEL", some(random, &["REV 1"])),
            4 => (
                "MODQ.UPDATE",
                some(
                    random,
                    &[
                        &priority,
                        "PAYLOAD new",
                        "TAGS 0",
                        "EXCLUDE 0",
                        "REV 2",
                        "BOOST -7",
                    ],
                ),
            ),
            5 | 6 => {
                item = moderator.clone().into_bytes();
                (
                    "MODQ.CLAIM",
                    some(
                        random,
                        &[
                            "COUNT 3",
                            &lock,
                            &lock.replace("LOCK", "COUNT"),
                            "NEW",
                            "TAGS 2 de x",
                        ],
                    ),
                )
            }
            7 => (
                "MODQ.RESOLVE",
                [
                    vec![token.to_string()],
                    some(random, &["REV 1", "DECISION ok"]),
                ]
                .concat(),
            ),
            8 => (
                "MODQ.RELEASE",
                [vec![token.to_string()], some(random, &["SKIP", &delay])].concat(),
            ),
            _ => (
                "MODQ.EXTEND",
                vec![token.to_string(), (1 + random.below(30)).to_string()],
            ),
        };
        let mut tail = tail;
        if name == "MODQ.CLAIM" {
            // Options come once each.
            let counts = tail.iter().filter(|word| *word == "COUNT").count();
            if counts > 1 {
                tail.truncate(tail.iter().rposition(|word| word == "COUNT").unwrap());
            }
            if !tail.iter().any(|word| word == "LOCK") {
                tail.extend(["LOCK".into(), "9".into()]);
            }
        }
        let mut args = vec![name.to_arg(), key.clone(), item];
        args.extend(tail.iter().map(|word| word.to_arg()));
        let reply = match random.below(8) {
            0 => c.pipeline_of(&[
                vec![b"MULTI".to_vec()],
                args.clone(),
                args.clone(),
                vec![b"EXEC".to_vec()],
            ])[3][0]
                .clone(),
            1 => {
                let mut eval: Vec<Vec<u8>> = vec![
                    b"EVAL".to_vec(),
                    b"return redis.pcall(ARGV[1], KEYS[1], unpack(ARGV, 2))".to_vec(),
                    b"1".to_vec(),
                    key.clone(),
                    args[0].clone(),
                ];
                eval.extend(args[2..].iter().cloned());
                c.cmd(&eval)
            }
            _ => c.cmd(&args),
        };
        let known = ["", "NOITEM", "STALE", "CHANGED", "EXISTS"];
        assert!(
            known.contains(&reply.err_code()),
            "{tail:?} of {name}: {reply:?}"
        );
        if name == "MODQ.CLAIM" {
            let of = KEYS.iter().position(|k| k.to_arg() == key).unwrap();
            tokens.extend(
                claims(&reply)
                    .into_iter()
                    .map(|claim| (of, claim.item, claim.token)),
            );
        }
        if random.once_in(150) {
            let way = *random.pick(&[
                "DEL q",
                "RENAME q r",
                "COPY q {q}2 REPLACE",
                "COPY {q}2 q REPLACE",
                "UNLINK r",
            ]);
            c.line(way);
        }
    }
}

fn a_random_workload_ends_equal(kind: Kind) {
    let one = primary(kind).start();
    let two = primary(kind).aof().replica_of(&one).start();
    let mut three = primary(kind).aof().replica_of(&two).start();
    let four = primary(kind)
        .config("repl-diskless-load swapdb")
        .replica_of(&one)
        .start();
    wait_link(&one, &two);
    wait_link(&two, &three);
    wait_link(&one, &four);
    let (mut c, mut random) = (one.client(), Random::new(7));
    work(&mut c, &mut random, 1200);
    // A broken link is taken up again, and a full one loaded, in the middle of it.
    assert!(c.line("CLIENT KILL TYPE replica").int() >= 2);
    work(&mut c, &mut random, 600);
    let late = primary(kind).replica_of(&two).start();
    work(&mut c, &mut random, 600);
    // Nothing runs out while it is looked at.
    c.expect_ok("CLIENT PAUSE 100000 WRITE");
    let digests = |c: &mut Client| KEYS.map(|key| digest(c, key));
    let expected = digests(&mut c);
    let exists = KEYS
        .iter()
        .filter(|key| cmd!(c, "EXISTS", key) == Value::Int(1))
        .count();
    assert!(exists >= 3, "there is something to compare");
    for replica in [&two, &three, &four, &late] {
        wait_replica_synced(&one, replica);
        let mut r = replica.client();
        assert_eq!(digests(&mut r), expected, "port {}", replica.port());
        assert_eq!(debug_digest(&mut r), debug_digest(&mut c));
        for key in KEYS {
            assert_eq!(
                cmd!(r, "MODQ.LEN", key, "LOCKED"),
                cmd!(c, "MODQ.LEN", key, "LOCKED")
            );
        }
    }
    // The AOF of the last in the chain ends there too: read by a server without a primary, as its clock stands still.
    // (After a full sync it is made anew in the background, and nothing until that is done.)
    wait_until("its AOF is whole", PATIENCE, || {
        let state = info(&mut three.client(), "persistence");
        state["aof_enabled"] == "1"
            && state["aof_rewrite_in_progress"] == "0"
            && state["aof_rewrite_scheduled"] == "0"
    });
    three.kill9();
    let files = std::fs::read_dir(three.dir().join("appendonlydir")).unwrap();
    let alone = {
        let mut builder = Server::builder(kind).aof();
        for file in files {
            let path = file.unwrap().path();
            let name = format!(
                "appendonlydir/{}",
                path.file_name().unwrap().to_string_lossy()
            );
            builder = builder.file(&name, std::fs::read(&path).unwrap());
        }
        // A replica of nobody, so that it lets no time act.
        builder.config("replicaof 127.0.0.1 1").start()
    };
    assert_eq!(
        digests(&mut alone.client()),
        expected,
        "from the sub-replica's AOF"
    );
    c.expect_ok("CLIENT UNPAUSE");
}

/// One write is one `modq._q` on every replica, a write that changed nothing is none.
fn only_effects_are_sent(kind: Kind) {
    let one = primary(kind).start();
    let two = primary(kind).replica_of(&one).start();
    let three = primary(kind).replica_of(&two).start();
    wait_link(&one, &two);
    wait_link(&two, &three);
    let mut c = one.client();
    let mut replicas = [two.client(), three.client()];
    let offset = |c: &mut Client| info(c, "replication")["master_repl_offset"].clone();
    let mut calls = 0;
    let mut sent = |c: &mut Client, lines: &[String], applies: u64| {
        let before = offset(c);
        for line in lines {
            c.line(line);
        }
        assert_eq!(offset(c) == before, applies == 0, "{lines:?}");
        calls += applies;
        wait_replica_synced(&one, &two);
        wait_replica_synced(&one, &three);
        for replica in &mut replicas {
            assert_eq!(command_calls(replica, "modq._q"), calls, "{lines:?}");
            assert_eq!(digest(replica, "q"), digest(c, "q"));
        }
    };
    let lines = |all: &[&str]| all.iter().map(|line| line.to_string()).collect::<Vec<_>>();
    sent(
        &mut c,
        &lines(&[
            "MODQ.SUBMIT q a p",
            "MODQ.SUBMIT q b p",
            "MODQ.SUBMIT q d p DELAY 900000",
        ]),
        3,
    );
    let nothing = lines(&[
        "MODQ.SUBMIT q a p",
        "MODQ.SUBMIT q a p ONDUP ERROR",
        "MODQ.SUBMIT q a p PRIORITY x",
        "MODQ.CANCEL q x",
        "MODQ.CANCEL q a REV 2",
        "MODQ.UPDATE q a REV 2 PRIORITY 4",
        "MODQ.UPDATE q x PRIORITY 4",
        "MODQ.CLAIM empty m",
        "MODQ.RESOLVE q a 1",
        "MODQ.RELEASE q a 1",
        "MODQ.EXTEND q a 1 5",
        "MODQ.GET q a",
        "MODQ.LEN q",
        "MODQ.HELD q m",
    ]);
    sent(&mut c, &nothing, 0);
    sent(&mut c, &lines(&["MODQ.CLAIM q m COUNT 2"]), 1);
    sent(
        &mut c,
        &lines(&["MODQ.CLAIM q m COUNT 2", "MODQ.CLAIM q n NEW COUNT 9"]),
        0,
    );
    sent(
        &mut c,
        &lines(&[
            "MODQ.UPDATE q a PAYLOAD x",
            "MODQ.SUBMIT q b p ONDUP BUMP",
            "MODQ.SUBMIT q d p ONDUP REPLACE",
        ]),
        3,
    );
    let locks = claims(&c.line("MODQ.HELD q m"));
    let with_tokens = vec![
        format!("MODQ.EXTEND q a {} 900000", locks[0].token),
        format!("MODQ.RELEASE q b {} SKIP", locks[1].token),
        format!("MODQ.RESOLVE q a {}", locks[0].token),
        "MODQ.CANCEL q d".to_owned(),
    ];
    sent(&mut c, &with_tokens, 4);
    // A lock that runs out is one too.
    sent(&mut c, &lines(&["MODQ.CLAIM q n LOCK 60000"]), 1);
    let token = claims(&c.line("MODQ.HELD q n"))[0].token;
    assert_eq!(c.line("WAIT 1 5000").int(), 1);
    c.line(&format!("MODQ.EXTEND q b {token} 1"));
    wait_until("the lock is over", PATIENCE, || {
        len(&mut c, "q LOCKED") == 0
    });
    wait_replica_synced(&one, &three);
    let all = command_calls(&mut three.client(), "modq._q");
    assert_eq!(all, calls + 2, "EXTEND and the end of the lock");
    assert_eq!(digest(&mut three.client(), "q"), digest(&mut c, "q"));
}

fn scripts_and_transactions_send_effects(kind: Kind) {
    let one = primary(kind).start();
    let two = primary(kind).replica_of(&one).start();
    wait_link(&one, &two);
    let mut c = one.client();
    let script = "for i = 1, 5 do redis.call('MODQ.SUBMIT', KEYS[1], 'i' .. i, 'p') end
                  redis.call('MODQ.CLAIM', KEYS[1], 'none', 'TAGS', 1, 'x', 'COUNT', 2)
                  return redis.pcall('MODQ.CANCEL', KEYS[1], 'no')";
    assert_eq!(cmd!(c, "EVAL", script, 1, "q"), Value::Int(0));
    let replies = c.pipeline(&[
        "MULTI",
        "MODQ.SUBMIT q m p",
        "MODQ.CLAIM q m",
        "MODQ.CANCEL q no",
        "SET k v",
        "EXEC",
    ]);
    assert_eq!(ids(&replies[5][1]), "i3");
    wait_replica_synced(&one, &two);
    let mut r = two.client();
    assert_eq!(digest(&mut r, "q"), digest(&mut c, "q"));
    assert_eq!(r.line("GET k"), bulk("v"));
    assert_eq!(command_calls(&mut r, "modq._q"), 8);
    for name in [
        "modq.submit",
        "modq.claim",
        "modq.cancel",
        "eval",
        "evalsha",
    ] {
        assert_eq!(command_calls(&mut r, name), 0, "{name}");
    }
}

/// A replica lets nothing expire; what concerns one item is judged by the clock all the same.
fn a_replica_waits_for_its_primary(kind: Kind) {
    let one = primary(kind).start();
    let two = primary(kind).replica_of(&one).start();
    wait_link(&one, &two);
    let (mut c, mut r) = (one.client(), two.client());
    submit(&mut c, "q i p");
    submit(&mut c, "q long p");
    c.line("MODQ.SUBMIT q late p DELAY 1000");
    let lock = claim(&mut c, "q m LOCK 1000");
    claim(&mut c, "q m NEW LOCK 600000");
    wait_until("the replica has it", PATIENCE, || {
        len(&mut r, "q LOCKED") == 2
    });
    one.freeze();
    assert_eq!(field(&mut r, "q", "i", "token"), Value::Int(lock.token));
    assert_eq!(ids(&r.line("MODQ.HELD q m")), "i long");
    let before = digest(&mut r, "q");
    wait_until("the lock is past its deadline", PATIENCE, || {
        now_ms() > lock.deadline + 50
    });
    let item = r.line("MODQ.GET q i");
    assert_eq!(item.field("state"), bulk("ready"));
    assert_eq!(item.field("expiries"), Value::Int(1));
    assert!(item.field("token").is_null() && item.field("deadline").is_null());
    assert_eq!(ids(&r.line("MODQ.HELD q m")), "long");
    assert_eq!(state(&mut r, "q", "late"), "ready");
    assert_eq!(counts(&mut r, "q"), [0, 2, 1, 0], "the last applied state");
    assert_eq!(digest(&mut r, "q"), before);
    for line in [
        "MODQ.CLAIM q n",
        "MODQ.SUBMIT q x p",
        "MODQ.CANCEL q i",
        "MODQ.EXTEND q i 1 5",
    ] {
        assert_err!(r.line(line), "READONLY");
    }
    one.thaw();
    wait_until("the primary has told", PATIENCE, || {
        counts(&mut r, "q") == [2, 1, 0, 0]
    });
    wait_replica_synced(&one, &two);
    assert_eq!(digest(&mut r, "q"), digest(&mut c, "q"));
}

fn a_promoted_replica_takes_over(kind: Kind) {
    let mut one = primary(kind).start();
    // Loads from the socket while it goes on serving what it has, where the server can.
    let two = primary(kind)
        .config("repl-diskless-load swapdb")
        .replica_of(&one)
        .start();
    wait_link(&one, &two);
    let (mut c, mut r) = (one.client(), two.client());
    c.expect_ok("SELECT 3");
    submit(&mut c, "q i p");
    submit(&mut c, "q j p");
    submit(&mut c, "q k p");
    c.line("MODQ.SUBMIT q late p DELAY 20");
    let overdue = claim(&mut c, "q m LOCK 3000000");
    let soon = claim(&mut c, "q m NEW LOCK 3000000");
    let before = claim(&mut c, "q m NEW LOCK 600000");
    cmd!(c, "MODQ.EXTEND", "q", "j", soon.token, 600);
    cmd!(c, "MODQ.EXTEND", "q", "i", overdue.token, 20);
    one.freeze();
    r.expect_ok("SELECT 3");
    let last = Value::Int(overdue.deadline);
    wait_until("the replica has it all", PATIENCE, || {
        len(&mut r, "q") == 4 && field(&mut r, "q", "i", "deadline") != last
    });
    let deadline = field(&mut r, "q", "j", "deadline");
    one.kill9();
    r.expect_ok("REPLICAOF NO ONE");
    wait_until("what was overdue is done", PATIENCE, || {
        len(&mut r, "q READY") >= 2
    });
    assert_eq!(state(&mut r, "q", "i"), "ready");
    assert_eq!(state(&mut r, "q", "late"), "ready");
    wait_until("and what comes due later", PATIENCE, || {
        len(&mut r, "q LOCKED") == 1
    });
    if !deadline.is_null() {
        assert!(now_ms() >= deadline.int());
    }
    assert_eq!(
        ids(&r.line("MODQ.HELD q m")),
        "k",
        "the long one is still held"
    );
    assert!(claim(&mut r, "q other").token > before.token);
    assert_eq!(cmd!(r, "MODQ.RESOLVE", "q", "k", before.token), ok());
}

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

/// The records that a server with an AOF has written: what real ones look like.
fn records(server: &Server, command: &str) -> Vec<Vec<Vec<u8>>> {
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

/// With allow-apply, clients may send records: right ones rebuild the state, others never crash or wedge anything.
fn garbage_records_never_crash(kind: Kind) {
    let builder = primary(kind)
        .without_own_modules()
        .aof()
        .config("aof-use-rdb-preamble no");
    let server = builder.start();
    let mut c = server.client();
    rich_queue(&mut c, "q");
    let original = digest(&mut c, "q");
    let applies = records(&server, "modq._q");
    assert!(applies.len() > 40, "{}", applies.len());
    c.line("BGREWRITEAOF");
    let mut loads = Vec::new();
    wait_until("the rewritten file is there", PATIENCE, || {
        loads = records(&server, "modq._load");
        loads.len() >= 3 && loads.last().unwrap()[4] == b"last"
    });
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
    t.expect_ok("SET s v");
    assert_err!(cmd!(t, "MODQ._Q", "s", applies[0][2]), "WRONGTYPE");
    assert_err!(
        cmd!(t, "MODQ._LOAD", "s", "queue", 1, "first", loads[0][5]),
        "WRONGTYPE"
    );
    unchanged(&mut t, "q", |t| {
        assert_err!(cmd!(t, "MODQ._Q", "q", "x"), "ERR");
        assert_err!(cmd!(t, "MODQ._LOAD", "q", "queue", 1, "first", "x"), "ERR");
        assert_err!(cmd!(t, "MODQ._LOAD", "q", "queue", 1, "middle", "x"), "ERR");
        assert_err!(cmd!(t, "MODQ._LOAD", "q", "queue", 1, "last", "x"), "ERR");
        assert_err!(
            cmd!(t, "MODQ._LOAD", "q", "queue", 2, "first", loads[0][5]),
            "ERR"
        );
        assert_err!(
            cmd!(t, "MODQ._LOAD", "q", "board", 1, "first", loads[0][5]),
            "ERR"
        );
    });
    // Damaged ones, on the queue and on nothing.
    let mut random = Random::new(3);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..3000 {
        let kind = if random.once_in(4) { &loads } else { &applies };
        let mut args = random.pick(kind).clone();
        if random.once_in(4) {
            args[1] = b"fresh".to_vec();
        }
        let last = args.len() - 1;
        for _ in 0..=random.below(3) {
            let record = &mut args[last];
            let at = random.below(record.len().max(1));
            match random.below(5) {
                0 if !record.is_empty() => record.truncate(at),
                1 => record.insert(at.min(record.len()), random.next() as u8),
                2 => *record = (0..random.below(40)).map(|_| random.next() as u8).collect(),
                _ if !record.is_empty() => record[at] = random.next() as u8,
                _ => {}
            }
        }
        let existed = cmd!(t, "EXISTS", args[1]) == Value::Int(1);
        let reply = t.cmd(&args);
        match reply.err_code() {
            "" => taken += 1,
            "ERR" => {
                refused += 1;
                let leaves = cmd!(t, "EXISTS", args[1]) == Value::Int(1);
                assert!(existed || !leaves, "{args:?} left something behind");
            }
            other => panic!("{other}: {reply:?}"),
        }
        // What is there can be worked with, whatever it is.
        for key in ["q", "fresh"] {
            let mut replies = vec![cmd!(
                t,
                "MODQ.CLAIM",
                key,
                "m1",
                "TAGS",
                1,
                "de",
                "LOCK",
                1 + round % 5
            )];
            replies.push(cmd!(t, "MODQ.SUBMIT", key, "new", "p", "ONDUP", "BUMP"));
            replies.push(cmd!(t, "MODQ.GET", key, "delayed"));
            replies.push(cmd!(t, "MODQ.HELD", key, "m1"));
            for reply in replies {
                assert!(
                    ["", "FULL", "PAUSED"].contains(&reply.err_code()),
                    "{reply:?}"
                );
            }
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

matrix!(
    a_random_workload_ends_equal,
    only_effects_are_sent,
    scripts_and_transactions_send_effects,
    a_replica_waits_for_its_primary,
    a_promoted_replica_takes_over,
    internal_commands_are_refused,
    garbage_records_never_crash,
);
