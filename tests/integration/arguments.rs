//! Arguments of every command, made from COMMAND DOCS: what follows them is no syntax error, and whatever is done to a
//! call, one that answers an error has changed nothing.
//!
//! `MODQ_CALLS` says how many calls a server gets, `MODQ_SEED` with which seed; a failure prints the seed it had. The
//! servers' clock stands still meanwhile, so all that happens is what a call does.

use crate::arguments_calls::{ArgSpec, Maker, Spec, specs, tokens};
use modq_testkit::*;

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|n| n.parse().unwrap())
}

/// The seed of this run. Kept in the message of every assertion.
fn seed() -> u64 {
    number_of("MODQ_SEED").unwrap_or_else(|| now_us() as u64)
}

fn calls() -> u64 {
    number_of("MODQ_CALLS").unwrap_or(3000)
}

/// A call as a message shows it.
fn shown(call: &[Vec<u8>]) -> String {
    let words = call.iter().map(|word| match word.len() {
        ..=40 => format!("\"{}\"", word.escape_ascii()),
        len => format!("<{len} bytes>"),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Whole numbers by what their argument is called: the range in which every command takes them. Others are from 1 to 100.
const RANGES: &[(&str, i64, i64)] = &[
    ("ms", 1 << 24, 1 << 31),
    ("window-ms", 1 << 24, 1 << 50),
    ("quota", 1, 1 << 53),
    ("burst", 1, 1 << 53),
    ("cost", 1, 1 << 53),
    ("max", 1, 1 << 53),
    ("priority", i32::MIN as i64, i32::MAX as i64),
    ("step", i32::MIN as i64, i32::MAX as i64),
    ("token", 0, i64::MAX),
    ("rev", 0, i64::MAX),
    ("n", 1, 1000),
    ("k", 1, 7),
    ("max-votes", 7, 15),
    ("offset", 0, 1 << 53),
    ("before", 0, 10_000),
    ("after", 0, 10_000),
    ("score", -(1 << 60), 1 << 60),
    ("columns", 1, 4),
    ("cap", 0, 1 << 53),
];

fn number(random: &mut Random, name: &str) -> i64 {
    let known = RANGES.iter().find(|(known, ..)| *known == name);
    let (_, low, high) = known.copied().unwrap_or((name, 1, 100));
    match random.below(4) {
        // Limits of one call differ in their windows.
        _ if name == "window-ms" => low + random.below(high - low),
        0 => low,
        1 => high,
        _ => low + random.below(high - low),
    }
}

/// A text of 1 to 20 bytes that is no word of the grammar.
fn word(random: &mut Random) -> Vec<u8> {
    let len = 1 + random.below(20_usize);
    let byte = |_| match random.once_in(10) {
        true => random.below(128_u64) as u8 | 0x80,
        false => b'a' + random.below(26_u64) as u8,
    };
    [vec![b'~'], (1..len).map(byte).collect()].concat()
}

fn what_follows_the_docs_is_no_syntax_error(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client().hello3();
    let specs = specs(&mut c);
    assert!(specs.len() >= 30, "{}", specs.len());
    let seed = seed();
    let mut random = Random::new(seed);
    let mut fresh = 0;
    let mut values = |random: &mut Random, arg: &ArgSpec| match arg.kind.as_str() {
        "integer" => number(random, &arg.name).to_arg(),
        // A key nobody has used, so that nothing but the arguments can be wrong.
        "key" => {
            fresh += 1;
            format!("key:{fresh}").into_bytes()
        }
        _ => word(random),
    };
    for round in 0..calls() / specs.len() as u64 + 1 {
        for spec in &specs {
            let call = Maker::new(&mut random, &mut values).call(spec);
            // In a transaction, where nothing blocks.
            let replies = c.pipeline_of(&[
                vec![b"MULTI".to_vec()],
                call.clone(),
                vec![b"EXEC".to_vec()],
            ]);
            let about = format!("MODQ_SEED={seed}, round {round}: {}", shown(&call));
            assert_eq!(replies[1], simple("QUEUED"), "{about}");
            let reply = &replies[2][0];
            match spec.is_internal() {
                true => assert!(
                    format!("{reply:?}").contains("is internal"),
                    "{about}: {reply:?}"
                ),
                // How many words a board takes depends on the board; STEP and PRIORITY exclude each other.
                false
                    if ["COLUMNS", "STEP goes with"]
                        .iter()
                        .any(|w| format!("{reply:?}").contains(w)) => {}
                false => assert_ne!(reply.err_code(), "ERR", "{about}: {reply:?}"),
            }
        }
    }
}

/// What redis-cli shows while one types.
fn hints_say_what_to_type(kind: Kind) {
    let server = Server::start(kind);
    let specs = specs(&mut server.client().hello3());
    for (name, hint) in [
        (
            "MODQ.CLAIM",
            "key moderator [COUNT n] [LOCK ms] [BLOCK ms] [TAGS numtags [tag [tag ...]]] [NEW] [WITHGROUP]",
        ),
        (
            "MODQ.UPDATE",
            "key item [REV rev] [PRIORITY priority] [BOOST ms] [PAYLOAD payload] [TAGS numtags [tag [tag ...]]] \
             [EXCLUDE nummoderators [moderator [moderator ...]]] [QUORUM k max-votes] [GROUP group] [REPORTS reports] [BY who]",
        ),
        ("MODQ.REVIVE", "key item [item ...]|ALL [COUNT n] [BY who]"),
        (
            "MODQ.MRESOLVE",
            "key numitems item token [item token ...] [REVS rev [rev ...]] [VERDICT verdict] [DECISION decision]",
        ),
        ("MODQ.LEN", "key [READY|LOCKED|DELAYED|DEAD]"),
        (
            "RATELIMIT.MCHECK",
            "numkeys key [key ...] LIMIT quota window-ms [ALGO LOG|COUNTER|FIXED|GCRA [BURST burst]] \
             [LIMIT quota window-ms [ALGO LOG|COUNTER|FIXED|GCRA [BURST burst]] ...] [COST cost]",
        ),
        ("RATELIMIT.ACQUIRE", "key max id TTL ms [COST cost]"),
    ] {
        let spec = specs.iter().find(|spec| spec.title() == name).expect(name);
        assert_eq!(spec.hint(), hint, "{name}");
        assert!(!spec.summary.is_empty());
    }
}

/// Keys of every type. Of what is missing there are some names too.
const KEYS: &[&str] = &[
    "q:0",
    "q:1",
    "q:2",
    "q:3",
    "limit:0",
    "limit:1",
    "lease:0",
    "string",
    "list",
    "hash",
    "set",
    "zset",
    "stream",
    "stream:2",
    "missing:0",
    "missing:1",
];

/// Fills the keys: queues with items in every state and people in line, limits and leases in use.
fn populate(c: &mut Client) {
    c.line("FLUSHALL");
    let mut lines: Vec<String> = [
        "SET string text",
        "RPUSH list a b",
        "HSET hash f v",
        "SADD set a",
        "ZADD zset 1 a",
        "XADD stream * f v",
        "MODQ.CONFIGURE q:0 MAXEXPIRIES 1 EVENTS stream",
        "MODQ.CONFIGURE q:1 MAXLEN 6 CAPACITY 2 LATE ACCEPT",
        "MODQ.JOIN q:0 m:4 TTL 100000000 TAGS 1 t:9",
        "MODQ.JOIN q:3 m:1 TTL 100000000",
        "RATELIMIT.CHECK limit:0 10 100000000 LIMIT 5 200000000 ALGO GCRA ID r:1",
        "RATELIMIT.CHECK limit:1 10 100000000 ALGO FIXED LIMIT 5 200000000 ALGO COUNTER COST 3",
        "RATELIMIT.ACQUIRE lease:0 5 l:1 TTL 100000000 COST 2",
        "RATELIMIT.POLICY SET p:1 3 100000000",
        "RANK.ADD board:0 i:1 5 ID r:1",
        "RANK.ADD board:0 i:2 5",
        "RANK.CREATE board:1 COLUMNS 2 ORDER DESC ASC TIES LATEST CAP 3",
        "RANK.ADD board:1 i:1 5 7",
        "RANK.CREATE board:2 UPDATE BEST TIES MEMBER",
    ]
    .map(str::to_owned)
    .into();
    for queue in 0..3 {
        for item in 0..6 {
            let more = [
                "",
                "TAGS 2 t:0 t:1",
                "PRIORITY 4",
                "DELAY 100000000",
                "EXCLUDE 2 m:0 m:1",
                "BOOST 7",
            ][item];
            lines.push(format!("MODQ.SUBMIT q:{queue} i:{item} payload {more}"));
        }
        lines.push(format!("MODQ.CLAIM q:{queue} m:2 COUNT 2 LOCK 100000000"));
    }
    lines.push("MODQ.PAUSE q:2".into());
    for (line, reply) in lines.iter().zip(c.pipeline(&lines)) {
        assert_eq!(reply.err_code(), "", "{line}: {reply:?}");
    }
}

/// Tokens that were given lately: what a reply has that is as large as a token.
fn note_tokens(reply: &Value, known: &mut Vec<i64>) {
    match reply {
        Value::Int(n) if *n > 1 << 44 => known.push(*n),
        Value::Array(items) => items.iter().for_each(|item| note_tokens(item, known)),
        _ => {}
    }
    let old = known.len().saturating_sub(8);
    known.drain(..old);
}

/// Values that fit the keys there are, mostly. `family` is what the names of the family's keys begin with.
fn fitting(random: &mut Random, arg: &ArgSpec, family: &str, tokens: &[i64]) -> Vec<u8> {
    let one_of = |random: &mut Random, letter: &str, n: usize| {
        format!("{letter}:{}", random.below(n)).into_bytes()
    };
    match (arg.kind.as_str(), arg.name.as_str()) {
        ("key", "stream") => random.pick(KEYS).to_arg(),
        ("key", _) if random.once_in(6) => random.pick(KEYS).to_arg(),
        ("key", _) => one_of(random, family, 4),
        (_, "token") if !tokens.is_empty() => random.pick(tokens).to_arg(),
        (_, "rev") => (1 + random.below(2)).to_arg(),
        (_, "quota" | "cost" | "max") => random.below(12).to_arg(),
        ("integer", name) => number(random, name).to_arg(),
        (_, "score") => random.below(9).to_arg(),
        (_, "item" | "member") => one_of(random, "i", 8),
        (_, "moderator") => one_of(random, "m", 6),
        (_, "tag") => one_of(random, "t", 4),
        (_, "request") => one_of(random, "r", 3),
        (_, "id") => one_of(random, "l", 3),
        (_, "name") => one_of(random, "p", 3),
        (_, "cursor") => b"0".to_vec(),
        _ => word(random),
    }
}

/// Numbers that no argument takes, or few.
const NUMBERS: &[&str] = &[
    "-1",
    "0",
    "01",
    "+1",
    " 1",
    "1.5",
    "1e3",
    "nan",
    "0x10",
    "-0",
    "2147483648",
    "4294967296",
    "-2147483649",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999999999",
];

/// Does something to a call: an argument is dropped, repeated, exchanged, or becomes what it should not be.
fn mutate(random: &mut Random, call: &mut Vec<Vec<u8>>, name: usize, words: &[String]) {
    if call.len() <= name {
        return call.push(random.pick(words).to_arg());
    }
    let at = name + random.below(call.len() - name);
    match random.below(10) {
        0 => drop(call.remove(at)),
        1 => call.insert(at, call[at].clone()),
        2 => {
            let other = name + random.below(call.len() - name);
            call.swap(at, other);
        }
        3 => call.push(call[at].clone()),
        4 => call.insert(at, random.pick(words).to_arg()),
        5 => call[at] = random.pick(words).to_arg(),
        6 => call[at] = random.pick(KEYS).to_arg(),
        7 => {
            call[at] = random
                .pick(&[&b""[..], b"\0", b"\xff\xfe\r\n", b"{", b"%s%n"])
                .to_vec()
        }
        8 if random.once_in(4) => {
            let len = *random.pick(&[256, 513, 65_537, 1_048_577]);
            call[at] = vec![b'x'; len];
        }
        _ => call[at] = random.pick(NUMBERS).to_arg(),
    }
}

/// All that a call can change here, and what replicas were sent: the keys, the policies, the offset.
fn state(c: &mut Client) -> Vec<String> {
    let questions = [
        "DEBUG DIGEST",
        "DBSIZE",
        "RATELIMIT.POLICY LIST",
        "RATELIMIT.POLICY GET p:0",
        "RATELIMIT.POLICY GET p:1",
        "RATELIMIT.POLICY GET p:2",
    ];
    let mut state: Vec<String> = c
        .pipeline(&questions)
        .iter()
        .map(|r| format!("{r:?}"))
        .collect();
    state.push(info(c, "replication")["master_repl_offset"].clone());
    state
}

/// What the names of the keys that a command is mostly called with begin with.
fn family(spec: &Spec) -> &'static str {
    match &spec.name[0] {
        name if name.starts_with("MODQ.") => "q",
        name if name.starts_with("RANK.") => "board",
        _ if spec.args.iter().any(|arg| arg.name == "id") => "lease",
        _ => "limit",
    }
}

fn an_error_has_changed_nothing(kind: Kind) {
    let clock = Clock::new();
    let quiet = |builder: Builder| builder.config("repl-ping-replica-period 100000");
    let server = quiet(Server::builder(kind)).with_clock(&clock).start();
    let replica = quiet(Server::builder(kind)).replica_of(&server).start();
    let (mut c, mut shadow) = (server.client(), replica.client());
    wait_replica_synced(&server, &replica);
    let specs: Vec<Spec> = specs(&mut server.client().hello3());
    let words = tokens(&specs);
    let seed = seed();
    let mut random = Random::new(seed);
    let (mut known, mut errors, mut done, mut changes) = (Vec::new(), 0, 0, 0);
    let mut before = Vec::new();
    for n in 0..calls() {
        if n % 500 == 0 {
            // Never before what the server has read: nothing is set anew because the clock went back.
            let ahead = now_ms() + 1000;
            clock.stop(ahead);
            wait_until("the server sees the clock", PATIENCE, || {
                server_ms(&mut c) == ahead
            });
            populate(&mut c);
            before = state(&mut c);
        }
        let spec = random.pick(&specs);
        let family = family(spec);
        let mut values = |random: &mut Random, arg: &ArgSpec| fitting(random, arg, family, &known);
        let mut call = Maker::new(&mut random, &mut values).call(spec);
        for _ in 0..random.below(3) {
            mutate(&mut random, &mut call, spec.name.len(), &words);
        }
        let about = format!("MODQ_SEED={seed}, call {n}: {}", shown(&call));
        // In a transaction, where nothing blocks.
        let replies = c.pipeline_of(&[vec![b"MULTI".to_vec()], call, vec![b"EXEC".to_vec()]]);
        let reply = match replies[1].err_code() {
            "" => replies[2][0].clone(),
            _ => replies[1].clone(),
        };
        let after = state(&mut c);
        if reply.err_code().is_empty() {
            note_tokens(&reply, &mut known);
            done += 1;
            changes += u64::from(after != before);
        } else {
            assert_eq!(after, before, "{about}: {reply:?}");
            errors += 1;
        }
        before = after;
    }
    // Both kinds of calls are met, and what changes something is seen to.
    let met = [errors, done, changes];
    println!("errors, others, changes: {met:?}");
    assert!(
        met.iter().all(|&n| n > calls() / 50),
        "{met:?}, MODQ_SEED={seed}"
    );
    assert_eq!(c.line("PING"), simple("PONG"));
    wait_replica_synced(&server, &replica);
    assert_eq!(
        debug_digest(&mut shadow),
        debug_digest(&mut c),
        "MODQ_SEED={seed}"
    );
}

matrix!(
    what_follows_the_docs_is_no_syntax_error,
    hints_say_what_to_type,
    an_error_has_changed_nothing,
);
