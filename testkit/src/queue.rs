//! What tests of the moderation queue share: claims as structures, short words for common commands, clients that are
//! blocked for sure, and queues with something in them.

use crate::resp::bulk;
use crate::wait::{PATIENCE, wait_until};
use crate::{Client, Kind, Server, Value, cmd};
use std::time::Duration;

/// An element of the reply of CLAIM and HELD, its shape checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The item's id.
    pub item: Vec<u8>,
    /// What is to be reviewed.
    pub payload: Vec<u8>,
    /// Proves that the item is still with whoever has this.
    pub token: i64,
    /// When the lock ends, Unix ms.
    pub deadline: i64,
    /// The item's priority.
    pub priority: i64,
    /// When the item was submitted, Unix ms.
    pub submitted: i64,
    /// How often the item has been claimed, this time included.
    pub deliveries: i64,
    /// The revision of the item's content.
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

    /// The item's id as text.
    #[must_use]
    pub fn id(&self) -> String {
        String::from_utf8_lossy(&self.item).into_owned()
    }
}

/// The claims of a reply; none if it is null.
#[must_use]
#[track_caller]
pub fn claims(reply: &Value) -> Vec<Claimed> {
    if reply.is_null() {
        return Vec::new();
    }
    reply.items().iter().map(Claimed::read).collect()
}

/// The ids of a reply of claims, joined with spaces.
#[must_use]
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

/// A server with an AOF, so that `footprint` sees all that is replicated, and a client of it.
#[track_caller]
pub fn desk(kind: Kind) -> (Server, Client) {
    let builder = Server::builder(kind).config("appendonly yes");
    let server = builder.config("appendfsync no").start();
    let client = server.client();
    (server, client)
}

/// Lets the locks on the next item of the queue, which must be `item`, run out until it is dead.
#[track_caller]
pub fn make_dead(c: &mut Client, key: &str, item: &str) {
    for expiries in 1..=20 {
        assert_eq!(claim(c, &format!("{key} killer LOCK 1 NEW")).id(), item);
        wait_until("the lock has run out", PATIENCE, || {
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
    cmd!(c, "MODQ.RESOLVE", key, "resolved", lock.token);
    submit(c, &format!("{key} cancelled p"));
    c.line(&format!("MODQ.CANCEL {key} cancelled"));
    submit(
        c,
        &format!("{key} skipped p PRIORITY 9 BOOST 5 TAGS 2 de x"),
    );
    let lock = claim(c, &format!("{key} m2 TAGS 2 x de"));
    cmd!(c, "MODQ.RELEASE", key, "skipped", lock.token, "SKIP");
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
    cmd!(
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
pub fn blocked(server: &Server, line: &str) -> Client {
    let mut client = server.client();
    block(&mut client, server, line);
    client
}

/// Sends this line and returns once the client is blocked.
#[track_caller]
pub fn block(client: &mut Client, server: &Server, line: &str) {
    let id = client.id();
    client.send(&line.split_whitespace().collect::<Vec<_>>());
    let mut watch = server.client();
    wait_until(&format!("{line} blocks"), PATIENCE, || {
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
        let star = if waiter[1] == bulk("blocked") {
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
    assert_eq!(c.poll(Duration::from_millis(60)), None);
}
