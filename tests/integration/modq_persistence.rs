//! What is stored: RDB, AOF, DUMP and RESTORE, COPY, memory.

use modq_testkit::dump::*;
use modq_testkit::queue::*;
use modq_testkit::*;

/// A few queues, one of them in many chunks, in two databases.
fn fill(c: &mut Client) -> Vec<(i64, &'static str)> {
    rich_queue(c, "rich");
    submit(c, "empty i p");
    c.line("MODQ.CANCEL empty i");
    let many: Vec<String> = (0..1500)
        .map(|i| {
            let tags = ["0", "1 de", "2 en x", "0"][i % 4];
            format!(
                "MODQ.SUBMIT many i{i} payload{i} PRIORITY {} TAGS {tags}",
                i % 5
            )
        })
        .collect();
    c.pipeline(&many);
    let locked = claims(&c.line("MODQ.CLAIM many m COUNT 300 LOCK 3600000"));
    assert_eq!(locked.len(), 300);
    c.expect_ok("SELECT 4");
    submit(c, "other i p");
    claim(c, "other m LOCK 3600000");
    c.expect_ok("SELECT 0");
    vec![(0, "rich"), (0, "empty"), (0, "many"), (4, "other")]
}

fn digests(c: &mut Client, keys: &[(i64, &str)]) -> Vec<String> {
    let all = keys.iter().map(|(db, key)| {
        c.expect_ok(&format!("SELECT {db}"));
        digest(c, key)
    });
    let all = all.collect();
    c.expect_ok("SELECT 0");
    all
}

/// Every token of now is larger than `than`; answers the largest.
#[track_caller]
fn next_token(c: &mut Client, than: i64) -> i64 {
    let token = claim(c, "many m NEW").token;
    assert!(token > than, "{token} after {than}");
    c.line("DEL many2");
    submit(c, "many2 i p");
    let token2 = claim(c, "many2 m NEW").token;
    assert!(token2 > token, "{token2} after {token}");
    c.line("DEL many2");
    token2
}

fn an_rdb_file_keeps_everything(kind: Kind) {
    let mut server = Server::start(kind);
    let mut c = server.client();
    let keys = fill(&mut c);
    let token = next_token(&mut c, 0);
    let before = (
        digests(&mut c, &keys),
        c.line("MODQ.HELD many m COUNT 1000"),
        c.line("MODQ.GET rich skipped"),
    );
    c.expect_ok("DEBUG RELOAD");
    let seen = |c: &mut Client| {
        (
            digests(c, &keys),
            c.line("MODQ.HELD many m COUNT 1000"),
            c.line("MODQ.GET rich skipped"),
        )
    };
    assert_eq!(seen(&mut c), before, "after DEBUG RELOAD");
    server.stop_saving();
    server.start_again();
    let mut c = server.client();
    assert_eq!(seen(&mut c), before, "after a restart");
    assert_eq!(counts(&mut c, "rich"), [3, 2, 1, 1]);
    assert_eq!(c.line("EXISTS empty"), Value::Int(1));
    next_token(&mut c, token);
    // It goes on as if nothing had happened.
    let id = claim(&mut c, "many m2 NEW").item;
    let file = std::fs::read(server.dir().join("dump.rdb")).unwrap();
    let other = Server::builder(kind).file("dump.rdb", file).start();
    let mut copy = other.client();
    copy.line("MODQ.CLAIM many m NEW");
    assert_eq!(
        claim(&mut copy, "many m2 NEW").item,
        id,
        "the order is the same"
    );
}

/// Rewrites the AOF; answers the new base file.
fn rewrite(server: &Server, c: &mut Client) -> Vec<u8> {
    let files = || {
        let all = std::fs::read_dir(server.dir().join("appendonlydir")).unwrap();
        all.map(|f| f.unwrap().path())
            .filter(|f| f.to_string_lossy().contains(".base."))
    };
    let old: Vec<_> = files().collect();
    c.line("BGREWRITEAOF");
    wait_until("the AOF is rewritten", PATIENCE, || {
        let now = info(c, "persistence");
        now["aof_rewrite_in_progress"] == "0" && now["aof_rewrite_scheduled"] == "0"
    });
    assert_eq!(info(c, "persistence")["aof_last_bgrewrite_status"], "ok");
    let new = files().find(|f| !old.contains(f)).expect("a new base file");
    std::fs::read(new).unwrap()
}

fn an_aof_keeps_everything(kind: Kind) {
    for preamble in ["yes", "no"] {
        let mut builder = Server::builder(kind).aof();
        if preamble == "no" {
            // RediSearch insists on the preamble.
            builder = builder.without_own_modules();
        }
        let mut server = builder
            .config("auto-aof-rewrite-percentage 0")
            .config(format!("aof-use-rdb-preamble {preamble}"))
            .start();
        let mut c = server.client();
        let keys = fill(&mut c);
        let mut token = next_token(&mut c, 0);
        let before = digests(&mut c, &keys);
        server.kill9();
        server.start_again();
        let mut c = server.client();
        assert_eq!(digests(&mut c, &keys), before, "from effects alone");
        token = next_token(&mut c, token);
        // Rewritten, and more written after that.
        let file = rewrite(&server, &mut c);
        let commands = file
            .windows(11)
            .any(|w| w.eq_ignore_ascii_case(b"modq._load\r"));
        assert_eq!(commands, preamble == "no");
        let before = digests(&mut c, &keys);
        server.kill9();
        server.start_again();
        let mut c = server.client();
        assert_eq!(digests(&mut c, &keys), before, "from the rewritten file");
        token = next_token(&mut c, token);
        submit(&mut c, "rich more p");
        let before = digests(&mut c, &keys);
        server.kill9();
        server.start_again();
        let mut c = server.client();
        assert_eq!(digests(&mut c, &keys), before, "and what came after it");
        next_token(&mut c, token);
        // What was loaded in chunks can be written out again.
        rewrite(&server, &mut c);
        c.expect_ok("DEBUG LOADAOF");
        assert_eq!(counts(&mut c, "rich"), [4, 2, 1, 1]);
    }
}

fn dump_and_restore_are_a_round_trip(kind: Kind) {
    let (_server, mut c) = desk(kind);
    rich_queue(&mut c, "q");
    let dump = c.line("DUMP q");
    assert_eq!(cmd!(c, "RESTORE", "r", 0, dump), ok());
    assert_eq!(digest(&mut c, "r"), digest(&mut c, "q"));
    assert_eq!(c.line("DUMP r"), dump);
    assert_eq!(c.line("TYPE r"), simple("modqqueue"));
    assert_err!(cmd!(c, "RESTORE", "r", 0, dump), "BUSYKEY");
    assert_eq!(cmd!(c, "RESTORE", "r", 600000, dump, "REPLACE"), ok());
    assert!(c.line("PTTL r").int() > 0);
    // The copy lives on its own.
    let (old, locks) = (digest(&mut c, "q"), claims(&c.line("MODQ.HELD r m1")));
    assert_eq!(locks.len(), 2);
    assert_eq!(cmd!(c, "MODQ.RESOLVE", "r", "locked", locks[0].token), ok());
    assert_eq!(digest(&mut c, "q"), old);
    assert!(claim(&mut c, "r new").token > locks[1].token);
    // An empty one too, and one of many chunks.
    submit(&mut c, "e i p");
    c.line("MODQ.CANCEL e i");
    fill(&mut c);
    for key in ["e", "many"] {
        let dump = cmd!(c, "DUMP", key);
        assert_eq!(cmd!(c, "RESTORE", "back", 0, dump, "REPLACE"), ok());
        assert_eq!(digest(&mut c, "back"), digest(&mut c, key));
    }
}

/// Whether a payload is restored as the key `x`, which is then worked with as any queue; all is gone after that.
fn restores(c: &mut Client, dump: &[u8]) -> bool {
    // Restores, dumps and restores again in one go: no timer in between.
    let script = "local r = redis.pcall('RESTORE', 'x', 0, ARGV[1])
                  if r['err'] then return r end
                  redis.call('RESTORE', 'y', 0, redis.call('DUMP', 'x'))
                  return redis.call('MODQ.LEN', 'x')";
    let words = |line: &str| line.split(' ').map(Arg::to_arg).collect::<Vec<_>>();
    let mut eval = words("EVAL");
    eval.extend([script.to_arg(), b"0".to_vec(), dump.to_vec()]);
    let replies = c.pipeline_of(&[
        eval,
        words("DEBUG DIGEST-VALUE x y"),
        words("MODQ.CLAIM x m1 COUNT 9 TAGS 2 de x"),
        words("MODQ.SUBMIT x new p"),
        words("MODQ.GET x delayed"),
        words("MODQ.HELD x m1"),
        words("EXISTS x y"),
        words("FLUSHALL"),
    ]);
    let accepted = replies[0].err_code().is_empty();
    if accepted {
        assert_eq!(replies[1][0], replies[1][1], "what was taken can be stored");
        for reply in &replies[2..6] {
            assert!(!format!("{reply:?}").contains("internal"), "{reply:?}");
            assert!(
                ["", "EXISTS", "PAUSED", "FULL"].contains(&reply.err_code()),
                "{reply:?}"
            );
        }
        assert_eq!(replies[6], Value::Int(2));
    } else {
        // CLAIM leaves nothing, SUBMIT begins anew.
        assert_eq!(replies[6], Value::Int(1), "{:?}", replies[0]);
        assert_eq!(replies[3], simple("READY"));
        assert_eq!(replies[5], arr![]);
    }
    accepted
}

/// RESTORE of bytes that are not what DUMP gave: an error, or a queue that holds together.
fn damaged_payloads_are_refused_or_harmless(kind: Kind) {
    let mut builder = Server::builder(kind);
    if kind == Kind::Stack74 {
        builder = builder.without_own_modules();
    }
    let server = builder.start();
    let mut c = server.client();
    rich_queue(&mut c, "q");
    let (body, version) = unsign_dump(c.line("DUMP q").bytes());
    let old = digest(&mut c, "q");
    let mut attempt = |body: &[u8]| restores(&mut c, &sign_dump(body, version));
    assert!(attempt(&body), "as it was, it is taken");
    for end in 0..body.len() {
        assert!(!attempt(&body[..end]), "cut at {end}");
    }
    let (mut taken, mut refused) = (0, 0);
    // The first byte says of what type the value is: no matter of ours.
    for at in 1..body.len() {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut damaged = body.clone();
            damaged[at] ^= flip;
            *(if attempt(&damaged) {
                &mut taken
            } else {
                &mut refused
            }) += 1;
        }
    }
    assert!(
        taken > 100 && refused > 100,
        "{taken} taken, {refused} refused"
    );
    let mut random = Random::new(1);
    for _ in 0..500 {
        let mut damaged = body.clone();
        for _ in 0..=random.below(4) {
            let at = 1 + random.below(damaged.len() - 1);
            match random.below(3) {
                0 => damaged[at] = random.next() as u8,
                1 => drop(damaged.remove(at)),
                _ => damaged.insert(at, random.next() as u8),
            }
        }
        attempt(&damaged);
    }
    // Nor does it cost what is there already.
    assert_eq!(cmd!(c, "RESTORE", "q", 0, sign_dump(&body, version)), ok());
    let half = sign_dump(&body[..body.len() / 2], version);
    assert_err!(cmd!(c, "RESTORE", "q", 0, half, "REPLACE"), "ERR");
    assert_eq!(digest(&mut c, "q"), old);
}

fn copies_are_equal_and_independent(kind: Kind) {
    let (_server, mut c) = desk(kind);
    rich_queue(&mut c, "q");
    assert_eq!(c.line("COPY q r"), Value::Int(1));
    assert_eq!(digest(&mut c, "r"), digest(&mut c, "q"));
    assert_eq!(c.line("COPY q r"), Value::Int(0));
    let old = digest(&mut c, "q");
    let token = claims(&c.line("MODQ.HELD r m1"))[0].token;
    for line in [
        "MODQ.CANCEL r delayed".to_owned(),
        "MODQ.UPDATE r skipped PAYLOAD other TAGS 0 EXCLUDE 0".into(),
        format!("MODQ.RESOLVE r locked {token}"),
        "MODQ.SUBMIT r dead p ONDUP REPLACE".into(),
        "MODQ.CLAIM r m7 COUNT 9".into(),
    ] {
        let before = digest(&mut c, "r");
        assert_eq!(c.line(&line).err_code(), "");
        assert_ne!(digest(&mut c, "r"), before, "{line}");
        assert_eq!(digest(&mut c, "q"), old, "{line}");
    }
    let other = digest(&mut c, "r");
    c.line("DEL q");
    assert_eq!(digest(&mut c, "r"), other);
    assert_eq!(c.line("COPY r q REPLACE"), Value::Int(1));
    assert_eq!(digest(&mut c, "q"), other);
}

fn queues_are_keys_like_any_other(kind: Kind) {
    let server = Server::builder(kind)
        .config("maxmemory-policy allkeys-lru")
        .start();
    let mut c = server.client();
    rich_queue(&mut c, "q");
    assert!(c.line("OBJECT IDLETIME q").int() >= 0);
    assert_eq!(c.line("OBJECT REFCOUNT q"), Value::Int(1));
    c.line("OBJECT ENCODING q");
    c.expect_ok("CONFIG SET maxmemory-policy allkeys-lfu");
    assert!(c.line("OBJECT FREQ q").int() >= 0);
    assert_eq!(c.line("TOUCH q"), Value::Int(1));
    let scanned = c.line("SCAN 0 TYPE modqqueue");
    assert_eq!(scanned[1], arr!["q"]);
    // An expiry is the key's and stays with it.
    c.line("PEXPIRE q 3600000");
    claim(&mut c, "q m6");
    c.line("MODQ.CANCEL q delayed");
    assert!(c.line("PTTL q").int() > 3_000_000);
    c.expect_ok("DEBUG RELOAD");
    assert!(c.line("PTTL q").int() > 3_000_000);
    assert_eq!(c.line("PERSIST q"), Value::Int(1));
}

fn used(c: &mut Client) -> i64 {
    info(c, "memory")["used_memory"].parse().unwrap()
}

/// MEMORY USAGE and used_memory tell of it.
fn memory_is_the_servers(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    rich_queue(&mut c, "q");
    let usage = |c: &mut Client, key: &str| c.cmd(&["MEMORY", "USAGE", key]).int();
    let (before, small) = (used(&mut c), usage(&mut c, "q"));
    for i in 0..64 {
        assert_eq!(
            cmd!(c, "MODQ.SUBMIT", "q", i, [b'x'; 65536]),
            simple("READY")
        );
    }
    let grown = 4 << 20;
    assert!((grown..2 * grown).contains(&(usage(&mut c, "q") - small)));
    assert!((grown..3 * grown).contains(&(used(&mut c) - before)));
    c.line("COPY q r");
    assert_eq!(c.line("UNLINK q r"), Value::Int(2));
    wait_until("the memory is back", PATIENCE, || {
        used(&mut c) - before < grown / 4
    });
}

/// However it goes, it goes, locks and all.
fn queues_go_as_keys_do(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for gone in [
        "UNLINK q",
        "DEL q",
        "FLUSHALL ASYNC",
        "FLUSHDB SYNC",
        "PEXPIRE q 1",
        "EXPIREAT q 1",
    ] {
        rich_queue(&mut c, "q");
        c.line(gone);
        wait_until("it is gone", PATIENCE, || {
            c.line("EXISTS q") == Value::Int(0)
        });
        assert!(c.line("MODQ.GET q dead").is_null());
    }
}

fn queues_are_evicted_as_keys_are(kind: Kind) {
    let builder = Server::builder(kind).config("maxmemory-policy allkeys-lru");
    let server = builder.start();
    let mut c = server.client();
    let limit = used(&mut c) + (4 << 20);
    c.expect_ok(&format!("CONFIG SET maxmemory {limit}"));
    for i in 0..200 {
        let key = format!("e{}", i % 40);
        assert_eq!(
            cmd!(c, "MODQ.SUBMIT", key, i, [b'x'; 65536]),
            simple("READY")
        );
        // Unless it has just been evicted.
        let reply = cmd!(c, "MODQ.CLAIM", key, "m", "LOCK", 1 + i % 9, "NEW");
        assert!(claims(&reply).len() <= 1);
    }
    assert_ne!(info(&mut c, "stats")["evicted_keys"], "0");
    c.expect_ok("DEBUG RELOAD");
}

fn at_maxmemory_what_gives_back_goes_on(kind: Kind) {
    let (_server, mut c) = desk(kind);
    for i in 0..6 {
        submit(&mut c, &format!("q i{i} p"));
    }
    let lock = claim(&mut c, "q m");
    submit(&mut c, "q short p PRIORITY 9");
    c.expect_ok("CONFIG SET maxmemory 1");
    unchanged(&mut c, "q", |c| {
        assert_err!(c.line("MODQ.SUBMIT q new p"), "OOM");
        assert_err!(c.line("MODQ.SUBMIT other new p"), "OOM");
        assert_err!(c.line("MODQ.UPDATE q i1 PAYLOAD new"), "OOM");
    });
    let locks = claims(&c.line("MODQ.CLAIM q m2 COUNT 2"));
    let order: Vec<_> = locks.iter().map(Claimed::id).collect();
    assert_eq!(order, ["short", "i1"]);
    assert!(cmd!(c, "MODQ.EXTEND", "q", "i0", lock.token, 500_000).int() > 0);
    assert_eq!(cmd!(c, "MODQ.RELEASE", "q", "i0", lock.token, "SKIP"), ok());
    let lock = claim(&mut c, "q m3");
    assert_eq!(lock.id(), "i0");
    assert_eq!(cmd!(c, "MODQ.RESOLVE", "q", "i0", lock.token), ok());
    assert_eq!(c.line("MODQ.CANCEL q i2"), Value::Int(1));
    assert_eq!(len(&mut c, "q"), 5);
    assert_eq!(state(&mut c, "q", "i3"), "ready");
    for lock in locks {
        assert!(cmd!(c, "MODQ.EXTEND", "q", lock.item, lock.token, 1).int() > 0);
    }
    wait_until("the locks are over", PATIENCE, || {
        len(&mut c, "q LOCKED") == 0
    });
    c.expect_ok("CONFIG SET maxmemory 0");
    submit(&mut c, "q new p");
}

matrix!(
    an_rdb_file_keeps_everything,
    an_aof_keeps_everything,
    dump_and_restore_are_a_round_trip,
    damaged_payloads_are_refused_or_harmless,
    copies_are_equal_and_independent,
    queues_are_keys_like_any_other,
    memory_is_the_servers,
    queues_go_as_keys_do,
    queues_are_evicted_as_keys_are,
    at_maxmemory_what_gives_back_goes_on,
);
