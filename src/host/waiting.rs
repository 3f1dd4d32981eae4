//! The clients that wait in a blocked CLAIM or MCLAIM. They wait for key names, whatever becomes of
//! the queues there, so they are kept here; a queue is told of those who wait for its name, and
//! answers them by its match. Answers go out when the command or tick that made them is over.

use super::queue_key::QueueKey;
use super::queues::{advance, undo};
use super::replies::reply_claim;
use super::schedule;
use super::streams::STREAM_RETRY_MS;
use crate::server::args::ServerStr;
use crate::server::blocking::{Blocked, End};
use crate::server::config;
use crate::server::context::{self, Context, Refusal};
use crate::server::key::{Key, Mode, Name, has_hash_tag};
use modq_core::queue::{Answer, Block, Now, Place};
use serde_bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// A database and a key name.
pub type KeyName = (i32, Box<[u8]>);

/// A client that waits.
struct Call {
    client: Blocked,
    db: i32,
    keys: Vec<Box<[u8]>>,
    moderator: Box<[u8]>,
    tags: Option<Vec<Box<[u8]>>>,
    lock: Option<u64>,
    new_only: bool,
    /// The reply names the key: MCLAIM.
    many: bool,
    place: Place,
    /// Which of the keys, and the lock to answer with.
    answer: Option<(usize, Answer)>,
}

/// What a blocking command asked for.
pub struct Wish<'a> {
    pub keys: Vec<ServerStr<'a>>,
    pub moderator: &'a [u8],
    pub tags: Option<Vec<&'a Bytes>>,
    pub lock: Option<u64>,
    pub new_only: bool,
    pub many: bool,
    /// ms; 0 is for ever.
    pub block: u64,
}

/// A lock that calls are to be answered with.
#[derive(Default)]
struct Given {
    calls: usize,
    /// It has reached somebody, and is not taken back from them.
    reached: bool,
}

#[derive(Default)]
struct Waiting {
    calls: BTreeMap<u64, Call>,
    /// In the order in which they stand.
    by_key: BTreeMap<KeyName, BTreeSet<(Place, u64)>>,
    last_call: u64,
    /// Calls with an answer that has not gone out.
    answered: BTreeSet<u64>,
    /// The locks they are to be answered with, by where each is and its token.
    given: HashMap<(KeyName, u64), Given>,
    /// Matches whose client is gone.
    undo: Vec<(KeyName, Answer)>,
    /// Names at which a queue may have come to be, or changed.
    arrivals: BTreeSet<KeyName>,
    /// The last name at which was looked for what no event tells.
    patrol: Option<KeyName>,
}

static WAITING: Mutex<Option<Waiting>> = Mutex::new(None);

/// How many calls there are: what lets servers without any skip all of this.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// How often databases changed places. A queue that was elsewhere meanwhile may have missed that a
/// call ended.
static SWAPS: AtomicU64 = AtomicU64::new(0);

/// How many calls a queue is told of at a time.
const PORTION: usize = 100;
/// How many names that calls wait for one tick looks at, for what no event tells, and to how many
/// calls it tells that a name holds another type.
const PATROL: usize = 100;
const TOLD: usize = 500;
/// How long the patrol rests, ms.
const PATROL_MS: u64 = 20;

/// Runs `body` on the register. The server must not be called from inside: it may call back.
fn with<R>(body: impl FnOnce(&mut Waiting) -> R) -> R {
    let mut guard = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    body(guard.get_or_insert_with(Waiting::default))
}

/// Looks at what a name holds, as no use of the key: a queue, nothing, or WRONGTYPE. The selected
/// database is as before afterwards.
fn glance<R>(
    ctx: Context<'_>,
    db: i32,
    key: &[u8],
    body: impl FnOnce(Result<Option<&mut QueueKey>, Refusal>) -> R,
) -> R {
    let before = ctx.db();
    let name = Name::new(key);
    let result = match ctx.select_db(db) {
        false => body(Ok(None)),
        true => {
            let opened = Key::<QueueKey>::open(ctx, name.get(), Mode::Glance);
            match opened {
                Ok(mut opened) => body(Ok(opened.get_mut())),
                Err(refusal) => body(Err(refusal)),
            }
        }
    };
    ctx.select_db(before);
    result
}

/// How many clients wait.
pub fn clients() -> usize {
    CALLS.load(Relaxed)
}

impl Waiting {
    fn remove(&mut self, id: u64) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        self.answered.remove(&id);
        for key in &call.keys {
            let name = (call.db, key.clone());
            if let Some(calls) = self.by_key.get_mut(&name) {
                calls.remove(&(call.place, id));
                if calls.is_empty() {
                    self.by_key.remove(&name);
                }
            }
        }
        CALLS.store(self.calls.len(), Relaxed);
        Some(call)
    }

    /// A call has no more to do with the lock it was to be answered with, which it told its client
    /// of or not. Answers whether the lock reaches nobody.
    fn let_go(&mut self, call: &Call, reached: bool) -> bool {
        let Some((at, answer)) = &call.answer else {
            return false;
        };
        let lock = ((call.db, call.keys[*at].clone()), answer.token);
        let Some(given) = self.given.get_mut(&lock) else {
            return false;
        };
        given.calls -= 1;
        given.reached |= reached;
        let lost = given.calls == 0 && !given.reached;
        if given.calls == 0 {
            self.given.remove(&lock);
        }
        lost
    }
}

/// The name that clients are blocked on for a key: one of the same slot, so that the server redirects
/// them as it should, that never comes to be. On the key's own name the server would go through
/// all who wait for it whenever it came to be, in the command that made it, however many there are
/// (Valkey 9.1 in time that grows with the square: 5 s for 10,000).
fn stand_in(key: &[u8]) -> Name {
    const END: &[u8] = b"\0modq waits";
    Name::new(&match has_hash_tag(key) {
        true => [key, END].concat(),
        // The whole key becomes the part that is hashed, which it cannot with such a brace in it.
        false if !key.is_empty() && !key.contains(&b'}') => [b"{", key, b"}", END].concat(),
        false => key.to_vec(),
    })
}

/// Lets the client of this call wait. The keys were just found to have nothing for it.
pub fn wait(ctx: Context<'_>, wish: Wish<'_>, now: Now) {
    let db = ctx.db();
    let names: Vec<Box<[u8]>> = wish.keys.iter().map(|key| key.bytes().into()).collect();
    let id = with(|w| {
        w.last_call += 1;
        w.last_call
    });
    let stand_ins: Vec<Name> = names.iter().map(|name| stand_in(name)).collect();
    let blocked_on: Vec<ServerStr<'_>> = stand_ins.iter().map(Name::get).collect();
    let Some(client) = crate::server::blocking::block(ctx, &blocked_on, wish.block, id) else {
        ctx.reply_null_array();
        return;
    };
    // The place is behind everyone in any of the queues, and in all of them the same: so it is
    // still right when a queue hears of the call anew. A call for queues yet to be stands by the clock.
    let mut place: Option<Place> = None;
    for key in &wish.keys {
        if let Ok(opened) = Key::<QueueKey>::open(ctx, *key, Mode::Glance) {
            place = place.max(opened.get().map(|stored| stored.queue.end_of_line(now)));
        }
    }
    let last = with(|w| {
        let calls = names
            .iter()
            .filter_map(|name| w.by_key.get(&(db, name.clone())));
        calls.filter_map(|calls| calls.last()).max().copied()
    });
    let mut place = place.unwrap_or((now.ms, id));
    if let Some(((since, tie), _)) = last.filter(|(last, _)| *last >= place) {
        place = (since, tie + 1);
    }
    let block = Block {
        call: id,
        moderator: wish.moderator,
        tags: wish.tags.clone(),
        new_only: wish.new_only,
        lock: wish.lock,
        place,
    };
    for key in &wish.keys {
        if let Ok(mut opened) = Key::<QueueKey>::open(ctx, *key, Mode::Glance) {
            // One that does not know of all yet hears of this call in its turn.
            let known = |stored: &&mut QueueKey| knows_all(stored, db, key.bytes());
            if let Some(stored) = opened.get_mut().filter(known) {
                stored.queue.block(&block);
            }
        }
    }
    with(|w| {
        for name in &names {
            let calls = w.by_key.entry((db, name.clone())).or_default();
            calls.insert((place, id));
        }
        let call = Call {
            client,
            db,
            keys: names,
            moderator: wish.moderator.into(),
            tags: wish
                .tags
                .map(|tags| tags.iter().map(|t| Box::from(&***t)).collect()),
            lock: wish.lock,
            new_only: wish.new_only,
            many: wish.many,
            place,
            answer: None,
        };
        w.calls.insert(id, call);
        CALLS.store(w.calls.len(), Relaxed);
    });
    schedule::wake_in(ctx, PATROL_MS);
}

/// The name whose waiting clients a queue knows of.
pub struct Attached {
    /// How often databases had changed places by then.
    swaps: u64,
    name: KeyName,
    /// The last call in line that the queue was told of; none once it knows of all.
    after: Option<(Place, u64)>,
}

impl Attached {
    #[inline]
    fn is(&self, db: i32, key: &[u8]) -> bool {
        self.swaps == SWAPS.load(Relaxed) && self.name.0 == db && *self.name.1 == *key
    }
}

fn knows_all(stored: &QueueKey, db: i32, key: &[u8]) -> bool {
    let attached = stored.attached.as_ref();
    attached.is_some_and(|a| a.is(db, key) && a.after.is_none())
}

/// Makes sure that the queue at this name knows of nobody but those who wait for this name, and of
/// some more of them: of so many at a time, in the order they stand in. Until it knows of all,
/// which it takes for work to be done, it matches only those in front of the next it is to be
/// told of.
pub fn attach(stored: &mut QueueKey, db: i32, key: &[u8], now: Now) {
    if clients() == 0 && stored.queue.blocked() == 0 && stored.queue.knows_line() {
        return;
    }
    let here = stored.attached.as_ref().filter(|a| a.is(db, key));
    let after = match here.map(|a| a.after) {
        Some(None) => return,
        Some(Some(after)) => after,
        None => {
            stored.queue.unblock_all(now);
            ((0, 0), 0)
        }
    };
    let mut attached = Attached {
        swaps: SWAPS.load(Relaxed),
        name: (db, key.into()),
        after: None,
    };
    let mut next = None;
    with(|w| {
        let Some(calls) = w.by_key.get(&attached.name) else {
            return;
        };
        let mut rest = calls.range((Bound::Excluded(after), Bound::Unbounded));
        for (place, id) in rest.by_ref().take(PORTION) {
            attached.after = Some((*place, *id));
            let Some(call) = w.calls.get(id).filter(|call| call.answer.is_none()) else {
                continue;
            };
            let tags = call.tags.as_ref();
            stored.queue.block(&Block {
                call: *id,
                moderator: &call.moderator,
                tags: tags.map(|tags| tags.iter().map(|t| Bytes::new(t)).collect()),
                new_only: call.new_only,
                lock: call.lock,
                place: call.place,
            });
        }
        next = rest.next().map(|(place, _)| *place);
    });
    if next.is_none() {
        attached.after = None;
    }
    stored.queue.line_known_before(next);
    stored.attached = Some(attached);
}

/// `attach` until the queue knows of all who wait for its name, or of so many moderators.
pub fn attach_most(stored: &mut QueueKey, db: i32, key: &[u8], most: usize, now: Now) {
    attach(stored, db, key, now);
    while !stored.queue.knows_line() && stored.queue.waiting() < most {
        attach(stored, db, key, now);
    }
}

/// How many moderators wait for a name.
pub fn moderators(db: i32, key: &[u8]) -> usize {
    with(|w| {
        let calls = w.by_key.get(&(db, key.into())).into_iter().flatten();
        let names = calls.filter_map(|(_, id)| w.calls.get(id).filter(|c| c.answer.is_none()));
        names.map(|c| &c.moderator).collect::<HashSet<_>>().len()
    })
}

/// A queue came to this name, or one that others wait for may have: looked at before the server
/// next sleeps.
pub fn arrived(db: i32, key: &[u8]) {
    if clients() > 0 {
        with(|w| w.arrivals.insert((db, key.into())));
    }
}

/// Everything in a database may be another.
pub fn database_changed() {
    SWAPS.fetch_add(1, Relaxed);
    if clients() > 0 {
        with(|w| w.arrivals = w.by_key.keys().cloned().collect());
    }
}

/// The queue at `key` matched: its calls no longer wait, here or elsewhere.
pub fn answers(ctx: Context<'_>, db: i32, key: &[u8], answers: &mut Vec<Answer>, now: Now) {
    let mut surplus = Vec::new();
    for answer in answers.drain(..) {
        let id = answer.call;
        let others = with(|w| {
            let call = w.calls.get_mut(&id).filter(|call| call.answer.is_none())?;
            let at = call.keys.iter().position(|k| **k == *key)?;
            call.answer = Some((at, answer.clone()));
            w.answered.insert(id);
            let lock = ((db, key.into()), answer.token);
            w.given.entry(lock).or_default().calls += 1;
            let others: Vec<Box<[u8]>> =
                call.keys.iter().filter(|k| ***k != *key).cloned().collect();
            Some((others, call.moderator.clone()))
        });
        let Some((others, moderator)) = others else {
            // The queue was elsewhere when the call ended, and did not hear of it; or both ends of
            // a MOVE matched the same call.
            surplus.push(answer);
            continue;
        };
        for other in others {
            detach(ctx, db, &other, id, &moderator, now);
        }
    }
    for answer in surplus {
        with(|w| {
            let name: KeyName = (db, key.into());
            let lock = (name.clone(), answer.token);
            if answer.undo.is_some() && !w.given.contains_key(&lock) {
                w.undo.push((name, answer));
            }
        });
    }
}

/// Tells the queue at a name that a call no longer waits.
fn detach(ctx: Context<'_>, db: i32, key: &[u8], id: u64, moderator: &[u8], now: Now) {
    glance(ctx, db, key, |found| {
        if let Ok(Some(stored)) = found {
            stored.queue.unblock(now, id, moderator);
        }
    });
}

/// A key came to be that a call waits for. Answers whether the call goes on waiting.
pub fn key_ready(ctx: Context<'_>, id: u64, key: ServerStr<'_>) -> bool {
    let concerned = |call: &Call| {
        // If one of its other keys has something, the answer goes out before the server sleeps.
        call.answer.is_none() && call.keys.iter().any(|k| **k == *key.bytes())
    };
    if !with(|w| w.calls.get(&id).is_some_and(concerned)) {
        return true;
    }
    let other_type = Key::<QueueKey>::open(ctx, key, Mode::Glance).err();
    arrived(ctx.db(), key.bytes());
    match other_type {
        Some(refusal) => {
            forget(ctx, id);
            ctx.refuse(&refusal);
            false
        }
        None => true,
    }
}

/// Forgets a call here and in its queues.
fn forget(ctx: Context<'_>, id: u64) -> Option<Call> {
    let call = with(|w| w.remove(id))?;
    if call.answer.is_none() {
        let now = context::now();
        for key in &call.keys {
            detach(ctx, call.db, key, id, &call.moderator, now);
        }
    }
    Some(call)
}

/// A call ended: it is answered, or its client is gone and what it was given is taken back.
pub fn ended(ctx: Context<'_>, id: u64, end: End) {
    let Some(call) = forget(ctx, id) else {
        if end == End::Answer {
            ctx.reply_null_array();
        }
        return;
    };
    match (end, &call.answer) {
        (End::Answer, Some((at, answer))) => {
            let reached = reply(ctx, &call, *at, answer);
            if !reached {
                ctx.reply_null_array();
            }
            with(|w| w.let_go(&call, reached));
        }
        (End::Answer, None) => match changed_type(ctx, &call) {
            Some(refusal) => ctx.refuse(&refusal),
            None => ctx.reply_null_array(),
        },
        (End::Gone, Some((at, answer))) => with(|w| {
            // Others may be answered with the same lock; then it stays.
            if w.let_go(&call, false) && answer.undo.is_some() {
                let name = (call.db, call.keys[*at].clone());
                w.undo.push((name, answer.clone()));
            }
        }),
        (End::Gone, None) => {}
    }
}

/// Replies with the lock a call was answered with. Answers false if it is not there any more.
fn reply(ctx: Context<'_>, call: &Call, at: usize, answer: &Answer) -> bool {
    glance(ctx, call.db, &call.keys[at], |found| {
        let Ok(Some(stored)) = found else {
            return false;
        };
        let slot = stored.queue.locked(&answer.item, answer.token);
        let Some(view) = slot.and_then(|slot| stored.queue.claim_view(slot)) else {
            return false;
        };
        if call.many {
            ctx.reply_array(2);
            ctx.reply_bytes(&call.keys[at]);
        }
        ctx.reply_array(1);
        reply_claim(ctx, &view);
        true
    })
}

/// WRONGTYPE, if one of the keys of a call holds another type.
fn changed_type(ctx: Context<'_>, call: &Call) -> Option<Refusal> {
    let mut keys = call.keys.iter();
    keys.find_map(|key| glance(ctx, call.db, key, |found| found.err()))
}

/// Before the server sleeps: takes back what reached nobody, sees to queues that came to names
/// others wait for, and sends out the answers.
pub fn settle(ctx: Context<'_>) {
    let busy = clients() > 0 || with(|w| !w.undo.is_empty());
    if !busy || !ctx.flags().is_active_primary() {
        return;
    }
    // What is not allowed now is done when the timer finds that it is.
    if context::must_not_replicate() {
        send(ctx);
        schedule::wake_in(ctx, 1);
        return;
    }
    let now = context::now();
    // An undone match can be matched anew, to a call that is answered in the next turn.
    for ((db, key), answer) in with(|w| std::mem::take(&mut w.undo)) {
        if !undo(ctx, db, &key, &answer, now) {
            with(|w| w.undo.push(((db, key), answer)));
            schedule::wake_in(ctx, STREAM_RETRY_MS);
        }
    }
    for (db, key) in with(|w| std::mem::take(&mut w.arrivals)) {
        if ctx.select_db(db) {
            let budget = config::WORK_BUDGET.get() as usize;
            let name = Name::new(&key);
            if let (_, Some(next)) = advance(ctx, name.get(), now, budget) {
                schedule::note(ctx, db, &key, next.max(now.ms + 1));
            }
        }
    }
    send(ctx);
}

/// Sends out the answers whose lock is still there; the others' clients go back to their place.
fn send(ctx: Context<'_>) {
    for id in with(|w| std::mem::take(&mut w.answered)) {
        let found = with(|w| {
            let call = w.calls.get(&id)?;
            let (at, answer) = call.answer.clone()?;
            Some((call.client, call.db, call.keys[at].clone(), answer))
        });
        let Some((client, db, key, answer)) = found else {
            continue;
        };
        if lock_is_there(ctx, db, &key, &answer) {
            client.wake();
            continue;
        }
        let keys = with(|w| {
            let mut call = w.calls.remove(&id)?;
            w.let_go(&call, false);
            call.answer = None;
            let names = call.keys.iter().map(|k| (call.db, k.clone()));
            let names: Vec<KeyName> = names.collect();
            w.arrivals.extend(names.iter().cloned());
            w.calls.insert(id, call);
            Some(names)
        });
        for (db, key) in keys.into_iter().flatten() {
            forget_attachment(ctx, db, &key);
        }
        schedule::wake_in(ctx, 1);
    }
}

fn lock_is_there(ctx: Context<'_>, db: i32, key: &[u8], answer: &Answer) -> bool {
    glance(ctx, db, key, |found| {
        let stored = found.ok().flatten();
        stored.is_some_and(|s| s.queue.locked(&answer.item, answer.token).is_some())
    })
}

/// Has the queue at a name ask anew who waits for it.
fn forget_attachment(ctx: Context<'_>, db: i32, key: &[u8]) {
    glance(ctx, db, key, |found| {
        if let Ok(Some(stored)) = found {
            stored.attached = None;
        }
    });
}

/// From the timer, while anybody waits: looks at some of the names waited for, for what no event
/// told. That one holds another type now is told to those who wait for it.
pub fn patrol(ctx: Context<'_>) {
    if clients() == 0 {
        return;
    }
    let names: Vec<KeyName> = with(|w| {
        let from = w.patrol.take().map_or(Bound::Unbounded, Bound::Excluded);
        let rest = w.by_key.range((from, Bound::Unbounded));
        let names: Vec<KeyName> = rest.take(PATROL).map(|(name, _)| name.clone()).collect();
        if names.len() == PATROL {
            w.patrol = names.last().cloned();
        }
        names
    });
    for here in names {
        let (other_type, unknown) = glance(ctx, here.0, &here.1, |found| match found {
            Err(_) => (true, false),
            Ok(stored) => {
                let unknown = |s: &mut QueueKey| !knows_all(s, here.0, &here.1);
                (false, stored.is_some_and(unknown))
            }
        });
        if other_type {
            let clients: Vec<Blocked> = with(|w| {
                let calls = w.by_key.get(&here).into_iter().flatten();
                let calls = calls.filter_map(|(_, id)| w.calls.get(id));
                let waits = calls.filter(|call| call.answer.is_none());
                waits.take(TOLD).map(|call| call.client).collect()
            });
            clients.into_iter().for_each(Blocked::wake);
        }
        if unknown {
            with(|w| w.arrivals.insert(here));
        }
    }
    settle(ctx);
    schedule::wake_in(ctx, PATROL_MS);
}
