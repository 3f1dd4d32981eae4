//! What replicas get and do: effects only, the same state, and no time of their own.

use modq_testkit::queue::*;
use modq_testkit::*;

/// The replicas' `propagation-error-behavior panic` (see the harness) makes any record that does not apply a crash.
pub(crate) fn primary(kind: Kind) -> Builder {
    Server::builder(kind).config("repl-ping-replica-period 3600")
}

const KEYS: [&str; 4] = ["q", "{q}2", "r", "bin\0\r\n"];

/// What was claimed: the queue's place in `KEYS`, the item and its token.
type Taken = (usize, Vec<u8>, i64);

/// Some of these words, each with a chance of one in three.
fn some(random: &mut Random, words: &[&str]) -> Vec<String> {
    let kept: Vec<&str> = words
        .iter()
        .filter(|_| random.once_in(3))
        .copied()
        .collect();
    let words = kept.join(" ");
    words.split_whitespace().map(str::to_owned).collect()
}

/// A command, and what follows the key and the item, or the moderator of a CLAIM.
fn random_command(random: &mut Random, moderator: &str, token: i64) -> (&'static str, Vec<String>) {
    let priority = format!("PRIORITY {}", random.below(5));
    let delay = format!("DELAY {}", random.below(20));
    let exclude = format!("EXCLUDE 2 {moderator} other");
    let lock = 1 + random.below(30);
    let token = token.to_string();
    match random.below(10) {
        0..=2 => {
            let again = *random.pick(&["BUMP", "REPLACE", "KEEP", "ERROR"]);
            let again = format!("ONDUP {again}");
            let options = ["BOOST 50", "TAGS 1 de", &priority, &delay, &exclude, &again];
            let payload = format!("p{}", random.below(1000));
            (
                "MODQ.SUBMIT",
                [vec![payload], some(random, &options)].concat(),
            )
        }
        3 => ("MODQ.CANCEL", some(random, &["REV 1"])),
        4 => {
            let options = [
                "PAYLOAD new",
                "TAGS 0",
                "EXCLUDE 0",
                "REV 2",
                "BOOST -7",
                &priority,
            ];
            ("MODQ.UPDATE", some(random, &options))
        }
        5 | 6 => {
            let count = format!("COUNT {}", *random.pick(&[3, lock]));
            let mut options = some(random, &["NEW", "TAGS 2 de x", &count]);
            let lock = if random.once_in(3) { lock } else { 9 };
            options.extend(["LOCK".into(), lock.to_string()]);
            ("MODQ.CLAIM", options)
        }
        7 => {
            let options = some(random, &["REV 1", "DECISION ok"]);
            ("MODQ.RESOLVE", [vec![token], options].concat())
        }
        8 => {
            let options = some(random, &["SKIP", &delay]);
            ("MODQ.RELEASE", [vec![token], options].concat())
        }
        _ => ("MODQ.EXTEND", vec![token, lock.to_string()]),
    }
}

/// Sends a command: mostly as it is, sometimes twice in a transaction or from a script. Answers its, or its first,
/// reply.
fn send_somehow(c: &mut Client, random: &mut Random, args: &[Vec<u8>]) -> Value {
    match random.below(8) {
        0 => {
            let transaction = [
                vec![b"MULTI".to_vec()],
                args.to_vec(),
                args.to_vec(),
                vec![b"EXEC".to_vec()],
            ];
            c.pipeline_of(&transaction)[3][0].clone()
        }
        1 => {
            let script = "return redis.pcall(ARGV[1], KEYS[1], unpack(ARGV, 2))";
            let mut eval = ["EVAL", script, "1"].map(Arg::to_arg).to_vec();
            eval.extend([args[1].clone(), args[0].clone()]);
            eval.extend_from_slice(&args[2..]);
            c.cmd(&eval)
        }
        _ => c.cmd(args),
    }
}

/// `n` commands at random on a few queues, with locks so short that many run out on the way.
fn work(c: &mut Client, random: &mut Random, n: usize) {
    let mut taken: Vec<Taken> = Vec::new();
    for _ in 0..n {
        let mut which = random.below(KEYS.len());
        let (mut item, mut token) = (format!("i{}", random.below(12)).into_bytes(), 1);
        if !taken.is_empty() && !random.once_in(5) {
            (which, item, token) = random.pick(&taken).clone();
        }
        let moderator = format!("m{}", random.below(4));
        let (name, tail) = random_command(random, &moderator, token);
        if name == "MODQ.CLAIM" {
            item = moderator.into_bytes();
        }
        let mut args = vec![name.to_arg(), KEYS[which].to_arg(), item];
        args.extend(tail.iter().map(Arg::to_arg));
        let reply = send_somehow(c, random, &args);
        let known = ["", "NOITEM", "STALE", "CHANGED", "EXISTS"];
        assert!(
            known.contains(&reply.err_code()),
            "{tail:?} of {name}: {reply:?}"
        );
        if name == "MODQ.CLAIM" {
            let claims = claims(&reply).into_iter();
            taken.extend(claims.map(|claim| (which, claim.item, claim.token)));
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

/// The AOF of a replica, read by a server without a primary.
fn alone_from_aof(kind: Kind, mut replica: Server) -> Server {
    // After a full sync it is made anew in the background, and nothing until that is done.
    wait_until("its AOF is whole", PATIENCE, || {
        let state = info(&mut replica.client(), "persistence");
        state["aof_enabled"] == "1"
            && state["aof_rewrite_in_progress"] == "0"
            && state["aof_rewrite_scheduled"] == "0"
    });
    replica.kill9();
    let mut builder = Server::builder(kind).aof();
    for file in std::fs::read_dir(replica.dir().join("appendonlydir")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        let name = format!("appendonlydir/{name}");
        builder = builder.file(&name, std::fs::read(&path).unwrap());
    }
    // A replica of nobody, so that it lets no time act.
    builder.config("replicaof 127.0.0.1 1").start()
}

fn a_random_workload_ends_equal(kind: Kind) {
    let one = primary(kind).start();
    let two = primary(kind).aof().replica_of(&one).start();
    let three = primary(kind).aof().replica_of(&two).start();
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
    let alone = alone_from_aof(kind, three);
    assert_eq!(
        digests(&mut alone.client()),
        expected,
        "from the sub-replica's AOF"
    );
    c.expect_ok("CLIENT UNPAUSE");
}

/// What changes nothing, on a queue with the items a, b and d, which is delayed.
const NOTHING: [&str; 14] = [
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
];

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
    sent(&mut c, &lines(&NOTHING), 0);
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
}

fn the_end_of_a_lock_is_sent(kind: Kind) {
    let one = primary(kind).start();
    let two = primary(kind).replica_of(&one).start();
    let three = primary(kind).replica_of(&two).start();
    wait_link(&one, &two);
    wait_link(&two, &three);
    let mut c = one.client();
    submit(&mut c, "q b p");
    claim(&mut c, "q n LOCK 1");
    wait_until("the lock is over", PATIENCE, || {
        len(&mut c, "q LOCKED") == 0
    });
    wait_replica_synced(&one, &three);
    let mut r = three.client();
    assert_eq!(
        command_calls(&mut r, "modq._q"),
        3,
        "SUBMIT, CLAIM and that"
    );
    assert_eq!(digest(&mut r, "q"), digest(&mut c, "q"));
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
    c.line("MODQ.SUBMIT q late p DELAY 3000");
    let lock = claim(&mut c, "q m LOCK 3000");
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

matrix!(
    a_random_workload_ends_equal,
    only_effects_are_sent,
    the_end_of_a_lock_is_sent,
    scripts_and_transactions_send_effects,
    a_replica_waits_for_its_primary,
    a_promoted_replica_takes_over,
);
