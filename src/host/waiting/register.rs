//! The register of calls: who waits for which names, and which locks they are to be answered with.

use crate::host::queue_key::QueueKey;
use crate::server::blocking::Blocked;
use crate::server::context::{Context, Refusal};
use crate::server::key::{Key, Mode, Name};
use modq_core::queue::{Answer, CallId, Place};
use modq_core::units::{Millis, Token};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A database and a key name.
pub(super) type KeyName = (i32, Box<[u8]>);

/// A client that waits, by the words of its command.
pub(super) struct Call {
    pub(super) client: Blocked,
    /// The id of its connection.
    pub(super) client_id: u64,
    /// When its time is up, by a clock that nobody sets; none if it waits for ever.
    pub(super) ends: Option<Instant>,
    pub(super) db: i32,
    pub(super) keys: Vec<Box<[u8]>>,
    pub(super) moderator: Box<[u8]>,
    /// None: those the moderator joined with.
    pub(super) tags: Option<Vec<Box<[u8]>>>,
    /// How long a lock lasts; none is the queue's setting.
    pub(super) lock: Option<Millis>,
    pub(super) new_only: bool,
    /// The reply names the key: MCLAIM.
    pub(super) names_key: bool,
    /// Where it stands in line, at all its keys.
    pub(super) place: Place,
    /// Which of the keys has matched it, and the lock to answer with; none while it still waits.
    pub(super) answer: Option<(usize, Answer)>,
}

impl Call {
    /// Whether no queue has matched it yet.
    pub(super) fn is_unmatched(&self) -> bool {
        self.answer.is_none()
    }
}

/// A lock that calls are to be answered with. One lock may answer several calls of one moderator.
#[derive(Default)]
struct SharedLock {
    /// How many calls have yet to be answered with it.
    calls: usize,
    /// Whether a client was answered with it. Then it is not taken back.
    delivered: bool,
}

/// A client that was answered with a lock.
pub(super) struct Delivered {
    pub(super) call: CallId,
    /// Whether the server holds the answer back yet: then it is not sent before it sleeps.
    pub(super) held_back: bool,
    /// The id of its connection.
    pub(super) client: u64,
    /// Where the lock is.
    pub(super) at: KeyName,
    pub(super) answer: Answer,
}

/// All calls. What is in `calls` and in `by_name` are the same calls.
#[derive(Default)]
pub(super) struct Register {
    pub(super) calls: BTreeMap<CallId, Call>,
    /// The calls that wait for a name, in the order in which they stand in line.
    pub(super) by_name: BTreeMap<KeyName, BTreeSet<(Place, CallId)>>,
    /// The calls whose time will be up, the first first.
    by_end: BTreeSet<(Instant, CallId)>,
    last_id: u64,
    /// Calls that were matched, to be answered when the turn ends.
    pub(super) to_answer: BTreeSet<CallId>,
    /// The locks they are to be answered with, by where each is and its token.
    locks: HashMap<(KeyName, Token), SharedLock>,
    /// Who was answered and has not been sent the answer: since the server last slept, or the server holds it back.
    pub(super) delivered: Vec<Delivered>,
    /// Matches whose client is gone, to be undone.
    pub(super) to_undo: Vec<(KeyName, Answer)>,
    /// Names at which a queue may have come to be, or changed.
    pub(super) to_visit: BTreeSet<KeyName>,
    /// Databases changed places, and from here on names have yet to be visited.
    pub(super) to_visit_from: Option<Bound<KeyName>>,
    /// The last name that `scan` looked at; none if it begins with the first.
    pub(super) last_scanned: Option<KeyName>,
}

static REGISTER: Mutex<Option<Register>> = Mutex::new(None);

/// How many calls there are. While there is none, everything about waiting is skipped.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Runs `body` on the register. The server must not be called from inside: it may call back.
pub(super) fn with<R>(body: impl FnOnce(&mut Register) -> R) -> R {
    let mut guard = REGISTER.lock().unwrap_or_else(PoisonError::into_inner);
    body(guard.get_or_insert_with(Register::default))
}

/// How many clients wait.
pub fn clients() -> usize {
    CALLS.load(Relaxed)
}

impl Register {
    /// A number for a call; each is given once.
    pub(super) fn new_id(&mut self) -> CallId {
        self.last_id += 1;
        CallId(self.last_id)
    }

    pub(super) fn insert(&mut self, id: CallId, call: Call) {
        for key in &call.keys {
            let calls = self.by_name.entry((call.db, key.clone())).or_default();
            calls.insert((call.place, id));
        }
        self.by_end.extend(call.ends.map(|end| (end, id)));
        self.calls.insert(id, call);
        CALLS.store(self.calls.len(), Relaxed);
    }

    pub(super) fn remove(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        self.to_answer.remove(&id);
        if let Some(end) = call.ends {
            self.by_end.remove(&(end, id));
        }
        for key in &call.keys {
            let name = (call.db, key.clone());
            if let Some(calls) = self.by_name.get_mut(&name) {
                calls.remove(&(call.place, id));
                if calls.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
        CALLS.store(self.calls.len(), Relaxed);
        Some(call)
    }

    /// When the next call's time is up.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.by_end.first().map(|(end, _)| *end)
    }

    /// The client of a call whose time is up at `now`: each is named once.
    pub(super) fn pop_ended(&mut self, now: Instant) -> Option<Blocked> {
        let (_, id) = self
            .by_end
            .first()
            .filter(|(end, _)| *end <= now)
            .copied()?;
        self.by_end.pop_first();
        self.calls.get(&id).map(|call| call.client)
    }

    /// The calls that wait for a name and that no queue has matched, in the order of the line.
    pub(super) fn unmatched_at(&self, name: &KeyName) -> impl Iterator<Item = &Call> {
        let ids = self.by_name.get(name).into_iter().flatten();
        ids.filter_map(|(_, id)| self.calls.get(id))
            .filter(|call| call.is_unmatched())
    }

    /// A call is to be answered with the lock that `token` names.
    pub(super) fn join_lock(&mut self, at: KeyName, token: Token) {
        self.locks.entry((at, token)).or_default().calls += 1;
    }

    /// Whether a call is to be answered with the lock that `token` names.
    pub(super) fn has_lock(&self, at: KeyName, token: Token) -> bool {
        self.locks.contains_key(&(at, token))
    }

    /// A call has no more to do with the lock it was to be answered with: because its client was
    /// told of it (`delivered`), or will not be. Answers whether the lock now reaches nobody.
    pub(super) fn leave_lock(&mut self, call: &Call, delivered: bool) -> bool {
        let Some((at, answer)) = &call.answer else {
            return false;
        };
        let key = ((call.db, call.keys[*at].clone()), answer.token);
        let Some(lock) = self.locks.get_mut(&key) else {
            return false;
        };
        lock.calls -= 1;
        lock.delivered |= delivered;
        if lock.calls > 0 {
            return false;
        }
        let reaches_nobody = !lock.delivered;
        self.locks.remove(&key);
        reaches_nobody
    }
}

/// Looks at what a name holds, without this being a use of the key: a queue, nothing, or the
/// refusal WRONGTYPE. The selected database is as before afterwards.
pub(super) fn inspect<R>(
    ctx: Context<'_>,
    db: i32,
    key: &[u8],
    body: impl FnOnce(Result<Option<&mut QueueKey>, Refusal>) -> R,
) -> R {
    let before = ctx.db();
    let name = Name::new(key);
    let result = match ctx.select_db(db) {
        false => body(Ok(None)),
        true => match Key::<QueueKey>::open(ctx, name.get(), Mode::Inspect) {
            Ok(mut opened) => body(Ok(opened.get_mut())),
            Err(refusal) => body(Err(refusal)),
        },
    };
    ctx.select_db(before);
    result
}
