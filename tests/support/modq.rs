//! What tests of the queue share: claims as structures, the server's clock, and what a command left behind.

use super::wait::{digest, info};
use super::{Client, Value};

/// An element of the reply of CLAIM and HELD, its shape checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    pub item: Vec<u8>,
    pub payload: Vec<u8>,
    pub token: i64,
    pub deadline: i64,
    pub priority: i64,
    pub submitted: i64,
    pub deliveries: i64,
    pub rev: i64,
}

impl Claimed {
    #[track_caller]
    fn read(claim: &Value) -> Claimed {
        assert_eq!(claim.items().len(), 8, "{claim:?}");
        let string = |i: usize| match &claim[i] {
            Value::Bulk(bytes) => bytes.clone(),
            other => panic!("element {i} is no bulk string but {other:?}"),
        };
        let claimed = Claimed {
            item: string(0),
            payload: string(1),
            token: claim[2].int(),
            deadline: claim[3].int(),
            priority: claim[4].int(),
            submitted: claim[5].int(),
            deliveries: claim[6].int(),
            rev: claim[7].int(),
        };
        assert!((1..1 << 53).contains(&claimed.token), "{claim:?}");
        claimed
    }

    pub fn id(&self) -> String {
        String::from_utf8_lossy(&self.item).into_owned()
    }
}

/// The claims of a reply; none if it is null.
#[track_caller]
pub fn claims(reply: &Value) -> Vec<Claimed> {
    if reply.is_null() {
        return Vec::new();
    }
    reply.items().iter().map(Claimed::read).collect()
}

/// The ids of a reply of claims, joined with spaces.
#[track_caller]
pub fn ids(reply: &Value) -> String {
    let ids: Vec<String> = claims(reply).iter().map(Claimed::id).collect();
    ids.join(" ")
}

/// `MODQ.CLAIM` with these words after it, which must give exactly one claim.
#[track_caller]
pub fn claim(c: &mut Client, words: &str) -> Claimed {
    let reply = c.line(&format!("MODQ.CLAIM {words}"));
    let mut all = claims(&reply);
    assert_eq!(all.len(), 1, "CLAIM {words}: {reply:?}");
    all.remove(0)
}

/// `MODQ.SUBMIT` with these words after it, which must answer READY.
#[track_caller]
pub fn submit(c: &mut Client, words: &str) {
    let reply = c.line(&format!("MODQ.SUBMIT {words}"));
    assert_eq!(reply, Value::Simple("READY".into()), "SUBMIT {words}");
}

/// `MODQ.LEN` with these words after it.
#[track_caller]
pub fn len(c: &mut Client, words: &str) -> i64 {
    c.line(&format!("MODQ.LEN {words}")).int()
}

/// The ready, locked, delayed and dead items of a queue, which must add up.
#[track_caller]
pub fn counts(c: &mut Client, key: &str) -> [i64; 4] {
    let replies = c.pipeline(&[
        format!("MODQ.LEN {key}"),
        format!("MODQ.LEN {key} READY"),
        format!("MODQ.LEN {key} LOCKED"),
        format!("MODQ.LEN {key} DELAYED"),
        format!("MODQ.LEN {key} DEAD"),
    ]);
    let counts = [1, 2, 3, 4].map(|i| replies[i].int());
    assert_eq!(replies[0].int(), counts.iter().sum::<i64>(), "{replies:?}");
    counts
}

/// One field of `MODQ.GET`.
#[track_caller]
pub fn field(c: &mut Client, key: &str, item: &str, name: &str) -> Value {
    c.cmd(&["MODQ.GET", key, item]).field(name)
}

/// The state of an item, as GET says.
#[track_caller]
pub fn state(c: &mut Client, key: &str, item: &str) -> String {
    field(c, key, item, "state").text()
}

/// The server's clock in µs.
#[track_caller]
pub fn server_us(c: &mut Client) -> i64 {
    let time = c.line("TIME");
    let part = |i: usize| time[i].text().parse::<i64>().unwrap();
    part(0) * 1_000_000 + part(1)
}

/// The server's clock in ms.
#[track_caller]
pub fn server_ms(c: &mut Client) -> i64 {
    server_us(c) / 1000
}

/// What a command that must change nothing may not touch: the value, the server's count of changes and, if the AOF
/// is on, its length. An AOF gets what replicas get.
#[track_caller]
pub fn footprint(c: &mut Client, key: &str) -> [String; 3] {
    let persistence = info(c, "persistence");
    [
        digest(c, key),
        persistence["rdb_changes_since_last_save"].clone(),
        persistence
            .get("aof_current_size")
            .cloned()
            .unwrap_or_default(),
    ]
}

/// Runs `body`, after which the value of `key`, the count of changes and the AOF are as before.
#[track_caller]
pub fn unchanged<R>(c: &mut Client, key: &str, body: impl FnOnce(&mut Client) -> R) -> R {
    let before = footprint(c, key);
    let result = body(c);
    assert_eq!(footprint(c, key), before, "something changed at {key}");
    result
}

/// Runs `body`, which must leave something in the value, the count of changes and the AOF, if that is on.
#[track_caller]
pub fn changed<R>(c: &mut Client, key: &str, body: impl FnOnce(&mut Client) -> R) -> R {
    let before = footprint(c, key);
    let result = body(c);
    let after = footprint(c, key);
    for (before, after) in before.iter().zip(&after) {
        assert!(before != after || before.is_empty(), "{before} at {key}");
    }
    result
}

/// Numbers that look random and are the same each time: xorshift.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to `n` − 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Gives bytes the footer of DUMP with its checksum (CRC-64 of Jones), so that RESTORE hands them on.
pub fn sign_dump(body: &[u8], version: [u8; 2]) -> Vec<u8> {
    let mut dump = [body, &version].concat();
    let crc = dump.iter().fold(0u64, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            (crc >> 1)
                ^ if crc & 1 == 1 {
                    0x95ac_9329_ac4b_c9b5
                } else {
                    0
                }
        })
    });
    dump.extend_from_slice(&crc.to_le_bytes());
    dump
}

/// Takes the footer off a DUMP: the body, and the version that `sign_dump` wants.
#[track_caller]
pub fn unsign_dump(dump: &[u8]) -> (Vec<u8>, [u8; 2]) {
    let (body, footer) = dump.split_at(dump.len() - 10);
    let version = [footer[0], footer[1]];
    assert_eq!(sign_dump(body, version), dump, "the checksum is understood");
    (body.to_vec(), version)
}

/// A server with an AOF, so that `footprint` sees all that is replicated, and a client of it.
#[track_caller]
pub fn desk(kind: super::Kind) -> (super::Server, Client) {
    let builder = super::Server::builder(kind).config("appendonly yes");
    let server = builder.config("appendfsync no").start();
    let client = server.client();
    (server, client)
}

/// Lets the locks on the next item of the queue, which must be `item`, run out until it is dead.
#[track_caller]
pub fn make_dead(c: &mut Client, key: &str, item: &str) {
    for expiries in 1..=20 {
        assert_eq!(claim(c, &format!("{key} killer LOCK 1 NEW")).id(), item);
        super::wait_until("the lock has run out", super::PATIENCE, || {
            state(c, key, item) != "locked" && len(c, &format!("{key} LOCKED")) == 0
        });
        assert_eq!(field(c, key, item, "expiries"), Value::Int(expiries));
        let now = if expiries < 20 { "ready" } else { "dead" };
        assert_eq!(state(c, key, item), now);
    }
}

/// Makes a queue with items in every state and all that an item can have; its locks and delays are long.
#[track_caller]
pub fn rich_queue(c: &mut Client, key: &str) {
    submit(c, &format!("{key} dead p"));
    make_dead(c, key, "dead");
    submit(c, &format!("{key} resolved p"));
    let lock = claim(c, &format!("{key} m1"));
    super::cmd!(c, "MODQ.RESOLVE", key, "resolved", lock.token);
    submit(c, &format!("{key} cancelled p"));
    c.line(&format!("MODQ.CANCEL {key} cancelled"));
    submit(
        c,
        &format!("{key} skipped p PRIORITY 9 BOOST 5 TAGS 2 de x"),
    );
    let lock = claim(c, &format!("{key} m2 TAGS 2 x de"));
    super::cmd!(c, "MODQ.RELEASE", key, "skipped", lock.token, "SKIP");
    submit(c, &format!("{key} locked p PRIORITY 8 EXCLUDE 2 m8 m9"));
    submit(c, &format!("{key} locked2 p PRIORITY 8"));
    claim(c, &format!("{key} m1 LOCK 3600000"));
    claim(c, &format!("{key} m1 LOCK 3600000 NEW"));
    submit(c, &format!("{key} again p"));
    for words in ["again p ONDUP BUMP", "again p2 ONDUP REPLACE TAGS 1 de"] {
        c.line(&format!("MODQ.SUBMIT {key} {words}"));
    }
    c.line(&format!(
        "MODQ.SUBMIT {key} delayed p DELAY 3600000 EXCLUDE 1 m9"
    ));
    super::cmd!(
        c,
        "MODQ.SUBMIT",
        key,
        b"\0\xff\r\n",
        [b'x'; 300],
        "PRIORITY",
        -1
    );
    assert_eq!(counts(c, key), [3, 2, 1, 1]);
}

/// A client that has sent this line and waits for the answer: blocked by now.
#[track_caller]
pub fn blocked(server: &super::Server, line: &str) -> Client {
    let mut client = server.client();
    block(&mut client, server, line);
    client
}

/// Sends this line and returns once the client is blocked.
#[track_caller]
pub fn block(client: &mut Client, server: &super::Server, line: &str) {
    let id = client.id();
    client.send(&line.split_whitespace().collect::<Vec<_>>());
    let mut watch = server.client();
    super::wait_until(&format!("{line} blocks"), super::PATIENCE, || {
        let list = watch.line(&format!("CLIENT LIST ID {id}")).text();
        let flags = list.split_once(" flags=").map(|(_, rest)| rest);
        flags.is_some_and(|flags| flags.split(' ').next().unwrap().contains('b'))
    });
}

/// Who is in line, as `moderator` for joined ones and `moderator*` for those only blocked.
#[track_caller]
pub fn line_of(c: &mut Client, key: &str) -> String {
    let waiters = c.line(&format!("MODQ.WAITERS {key} COUNT 1000"));
    let shown = waiters.items().iter().map(|waiter| {
        let star = if waiter[1] == super::bulk("blocked") {
            "*"
        } else {
            ""
        };
        format!("{}{star}", waiter[0].text())
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// `MODQ.SUBMIT` with these words after it, which must go straight to a waiting moderator.
#[track_caller]
pub fn submit_assigned(c: &mut Client, words: &str) {
    let reply = c.line(&format!("MODQ.SUBMIT {words}"));
    assert_eq!(reply, Value::Simple("ASSIGNED".into()), "SUBMIT {words}");
}

/// The one claim a blocked client is answered with.
#[track_caller]
pub fn served(c: &mut Client) -> Claimed {
    let reply = c.reply();
    let mut all = claims(&reply);
    assert_eq!(all.len(), 1, "{reply:?}");
    all.remove(0)
}

/// No answer comes, for a while.
#[track_caller]
pub fn still_waits(c: &mut Client) {
    assert_eq!(c.poll(std::time::Duration::from_millis(60)), None);
}
