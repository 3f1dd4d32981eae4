//! What can happen to a queue, as data. Effects are what a command or a timer decided; applying
//! them is the only way a queue changes, on the primary, on replicas and from the AOF alike.

use crate::codec::{self, DecodeError};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

/// Names of tags or moderators inside an effect.
pub(super) type Names<'a> = Vec<&'a Bytes>;

/// How a queue is set up; `CONFIGURE` shows and changes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Default lock duration, ms.
    pub lock: u64,
    /// An item is dead when its expiries reach this; 0 is never.
    pub max_expiries: u64,
    /// Most items in the queue; 0 is no limit.
    pub max_len: u64,
    /// Most locks a moderator holds here; 0 is no limit.
    pub capacity: u64,
    /// Whether RESOLVE takes the token of a lock that ended by its deadline.
    pub late_accept: bool,
    /// Ms of head start per priority step; 0 makes priority a strict band.
    pub aging: u64,
    /// The stream that gets the events; empty is off. Read as a sequence, not as `serde_bytes`:
    /// the bytes are the same, but their number is not believed before they are there.
    pub events: Vec<u8>,
    /// About how many events the stream keeps.
    pub events_max_len: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            lock: 300_000,
            max_expiries: 20,
            max_len: 0,
            capacity: 0,
            late_accept: false,
            aging: 0,
            events: Vec::new(),
            events_max_len: 10_000,
        }
    }
}

/// One change. Items and moderators are named by their ids; times are Unix ms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect<'a> {
    /// A new item; delayed if `due` is not 0.
    Submit {
        #[serde(borrow)]
        id: &'a Bytes,
        payload: &'a Bytes,
        priority: i32,
        boost: i64,
        due: u64,
        tags: Names<'a>,
        excluded: Names<'a>,
    },
    /// One report more; priority and boost are the values from now on.
    Bump {
        id: &'a Bytes,
        priority: i32,
        boost: i64,
    },
    /// Content or order changed, by UPDATE or (`replace`) by a second SUBMIT.
    Change {
        id: &'a Bytes,
        replace: bool,
        payload: Option<&'a Bytes>,
        priority: Option<i32>,
        boost: Option<i64>,
        tags: Option<Names<'a>>,
        excluded: Option<Names<'a>>,
    },
    /// Removed by a producer.
    Cancel { id: &'a Bytes },
    /// Locked for a moderator: taken, matched, or (`assign`) given by a supervisor.
    Lock {
        id: &'a Bytes,
        moderator: &'a Bytes,
        token: u64,
        deadline: u64,
        assign: bool,
    },
    /// The lock's new deadline.
    Extend { id: &'a Bytes, deadline: u64 },
    /// Decided; done and gone.
    Resolve { id: &'a Bytes },
    /// The lock given back; with `skip` never again for this moderator, not before `due` unless 0.
    Release { id: &'a Bytes, skip: bool, due: u64 },
    /// The lock's deadline passed; with `dead` the item is parked.
    Expire { id: &'a Bytes, dead: bool },
    /// The due time came.
    Due { id: &'a Bytes },
    /// A match that did not reach its moderator, undone; `place` is where they stood by JOIN.
    Undo {
        id: &'a Bytes,
        place: Option<(u64, u64)>,
    },
    /// A dead item is ready again.
    Revive { id: &'a Bytes },
    /// A moderator registered, or gave a sign of life; in line if they have a place.
    Join {
        moderator: &'a Bytes,
        place: Option<(u64, u64)>,
        ttl: u64,
        expires: u64,
        count: u64,
        tags: Names<'a>,
    },
    /// A registered moderator was answered, and so leaves the line but stays registered.
    Served { moderator: &'a Bytes },
    /// A moderator's registration ended.
    Leave { moderator: &'a Bytes },
    /// What the queue refuses from now on.
    Pause { input: bool, output: bool },
    /// New settings.
    Configure { settings: Settings },
    /// Went to another queue.
    MoveOut { id: &'a Bytes },
    /// Came from another queue, whose last token was `token`; delayed if `due` is not 0.
    MoveIn {
        id: &'a Bytes,
        payload: &'a Bytes,
        priority: i32,
        boost: i64,
        submitted: u64,
        due: u64,
        delayed: bool,
        rev: u32,
        reports: u32,
        deliveries: u32,
        tags: Names<'a>,
        excluded: Vec<(&'a Bytes, bool)>,
        token: u64,
    },
}

/// Effects on one queue that happened together, in order: what one replicated command carries.
#[derive(Debug, Default)]
pub struct Record {
    bytes: Vec<u8>,
    /// The time of the last effect, Unix ms.
    at: u64,
}

impl Record {
    /// Starts again, keeping the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes to replicate.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds an effect that happened at `at`, not before the one added before it.
    pub fn push(&mut self, at: u64, effect: &Effect<'_>) {
        let since = match self.bytes.is_empty() {
            true => at,
            false => at - self.at,
        };
        self.at = at;
        codec::encode_into(&since, &mut self.bytes);
        codec::encode_into(effect, &mut self.bytes);
    }

    /// Reads a record: its effects and when they happened. All of it must decode.
    pub fn decode(mut bytes: &[u8]) -> Result<Vec<(u64, Effect<'_>)>, DecodeError> {
        if bytes.is_empty() {
            return Err(DecodeError);
        }
        let mut effects = Vec::new();
        let mut at = 0u64;
        while !bytes.is_empty() {
            let since = codec::decode_next(&mut bytes)?;
            at = at.checked_add(since).ok_or(DecodeError)?;
            effects.push((at, codec::decode_next(&mut bytes)?));
        }
        Ok(effects)
    }
}
