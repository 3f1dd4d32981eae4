//! MODQ.*: moderation queues.

use super::internal::APPLY_QUEUE;
use super::{Command, Keys, counted_keys, keys_with_events};
use crate::host::clock;
use crate::host::schedule;
use crate::host::settings;
use crate::host::totals::{Contribution, Counted, QUEUES};
use crate::host::waiting::{self, Told, WaitRequest, reply_claim};
use crate::server::args::{Args, Parser, ServerStr};
use crate::server::context::{Context, Refusal, Word};
use crate::server::guard::{entry, entry_located};
use crate::server::key::{Found, Key, Mode, Name, has_hash_tag, look};
use crate::server::types::{Stored, TypeHandle};
use modq_core::queue::{
    Answer, Change, Claim, ClaimView, Effects, Error, Gate, Join, Joined, MAX_AGING, MAX_COUNT,
    MAX_DECISION, MAX_DURATION, MAX_EXCLUDE, MAX_ID, MAX_TAG, MAX_TAGS, Notice, Now, OnDuplicate,
    Queue, Reason, Settings, State, Submit, Submitted, state_name,
};
use serde_bytes::Bytes;
use smallvec::SmallVec;
use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.submit",
        flags: c"write deny-oom fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item payload [PRIORITY priority] [BOOST ms] [DELAY ms] [TAGS n [tag …]] \
                 [EXCLUDE n [moderator …]] [ONDUP <KEEP | BUMP | REPLACE | ERROR>]",
        summary: "Puts an item into a queue, or hands it straight to a waiting moderator.",
        complexity: "O(log n) with n items, and O(log n) for each excluded moderator",
        handler: entry(submit),
    },
    Command {
        name: c"modq.cancel",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key item [REV rev]",
        summary: "Removes an item, if it is still at the given revision.",
        complexity: "O(log n) with n items",
        handler: entry(cancel),
    },
    Command {
        name: c"modq.update",
        flags: c"write deny-oom fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key item [REV rev] [PRIORITY priority] [BOOST ms] [PAYLOAD payload] \
                 [TAGS n [tag …]] [EXCLUDE n [moderator …]]",
        summary: "Changes content or order of an item, never its state.",
        complexity: "O(log n) with n items, and O(log n) for each excluded moderator",
        handler: entry(update),
    },
    Command {
        name: c"modq.claim",
        flags: c"write fast blocking",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key moderator [COUNT n] [LOCK ms] [BLOCK ms] [TAGS n [tag …]] [NEW]",
        summary: "Locks the next items for a moderator, after those they hold already.",
        complexity: "O(log n) for each item and each tag combination in use, with n items",
        handler: entry(claim),
    },
    Command {
        name: c"modq.mclaim",
        flags: c"write getkeys-api blocking",
        keys: Keys::ChangesCounted,
        arity: -4,
        syntax: "numkeys key [key …] moderator [COUNT n] [LOCK ms] [BLOCK ms] [TAGS n [tag …]] \
                 [NEW]",
        summary: "Claims from the first of several queues that has something.",
        complexity: "as MODQ.CLAIM for each key",
        handler: entry_located(mclaim, counted_keys),
    },
    Command {
        name: c"modq.resolve",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item token [REV rev] [DECISION decision]",
        summary: "Ends an item with a decision on it.",
        complexity: "O(log n) with n items",
        handler: entry(resolve),
    },
    Command {
        name: c"modq.release",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item token [SKIP] [DELAY ms]",
        summary: "Gives a locked item back to its own place in the queue.",
        complexity: "O(log n) with n items",
        handler: entry(release),
    },
    Command {
        name: c"modq.extend",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: 5,
        syntax: "key item token ms",
        summary: "Sets the deadline of a lock anew, counted from now.",
        complexity: "O(log n) with n locks",
        handler: entry(extend),
    },
    Command {
        name: c"modq.join",
        flags: c"write deny-oom fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key moderator [TTL ms] [COUNT n] [TAGS n [tag …]]",
        summary: "Registers a moderator as waiting, or gives their sign of life.",
        complexity: "O(log n) for each tag combination in use, with n items",
        handler: entry(join),
    },
    Command {
        name: c"modq.leave",
        flags: c"write",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key moderator [RELEASE]",
        summary: "Takes a moderator out of line, and gives back what they hold if asked to.",
        complexity: "O(log n) for each lock given back, with n items",
        handler: entry(leave),
    },
    Command {
        name: c"modq.assign",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item moderator [LOCK ms]",
        summary: "Locks an item for a named moderator, whatever their tags.",
        complexity: "O(log n) with n items",
        handler: entry(assign),
    },
    Command {
        name: c"modq.move",
        flags: c"write deny-oom",
        keys: Keys::ChangesTwo,
        arity: -4,
        syntax: "source destination item [TOKEN token] [PRIORITY priority]",
        summary: "Moves an item to another queue.",
        complexity: "O(log n) with n items",
        handler: entry(move_item),
    },
    Command {
        name: c"modq.pause",
        flags: c"write deny-oom fast",
        keys: Keys::Changes,
        arity: -2,
        syntax: "key [<IN | OUT | ALL>]",
        summary: "Has a queue refuse new items, hand out none, or both.",
        complexity: "O(1)",
        handler: entry(pause),
    },
    Command {
        name: c"modq.unpause",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -2,
        syntax: "key [<IN | OUT | ALL>]",
        summary: "Ends a pause.",
        complexity: "O(1), and the matches that are caught up in the background",
        handler: entry(unpause),
    },
    Command {
        name: c"modq.revive",
        flags: c"write",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key <item [item …] | ALL [COUNT n]>",
        summary: "Makes dead items ready again.",
        complexity: "O(log n) for each, with n items",
        handler: entry(revive),
    },
    Command {
        name: c"modq.configure",
        flags: c"write deny-oom getkeys-api",
        keys: Keys::ChangesEvents,
        arity: -2,
        syntax: "key [LOCK ms] [MAXEXPIRIES n] [MAXLEN n] [CAPACITY n] [LATE <ACCEPT | REJECT>] \
                 [AGING ms] [EVENTS stream] [EVENTSMAXLEN n]",
        summary: "Sets a queue up, or shows how it is.",
        complexity: "O(1); O(n) with n moderators in line if CAPACITY changes",
        handler: entry_located(configure, keys_with_events),
    },
    Command {
        name: c"modq.peek",
        flags: c"readonly",
        keys: Keys::Reads,
        arity: -2,
        syntax: "key [COUNT n] [FOR moderator [TAGS n [tag …]]]",
        summary: "The next items in the order they would be claimed.",
        complexity: "O(log n) for each item and each tag combination in use, with n items",
        handler: entry(peek),
    },
    Command {
        name: c"modq.position",
        flags: c"readonly fast",
        keys: Keys::Reads,
        arity: 3,
        syntax: "key item",
        summary: "Where an item stands: 1 for the next to be claimed.",
        complexity: "O(log n) for each tag combination in use, with n items",
        handler: entry(position),
    },
    Command {
        name: c"modq.list",
        flags: c"readonly",
        keys: Keys::Reads,
        arity: -3,
        syntax: "key <READY | LOCKED | DELAYED | DEAD> [CURSOR cursor] [COUNT n]",
        summary: "A page of the items in one state, in the order they arrived.",
        complexity: "O(log n + page), READY: at most 10,000 items more are looked at",
        handler: entry(list),
    },
    Command {
        name: c"modq.waiters",
        flags: c"readonly",
        keys: Keys::Reads,
        arity: -2,
        syntax: "key [COUNT n]",
        summary: "The moderators in line, the longest waiting first.",
        complexity: "O(n) with n moderators answered",
        handler: entry(waiters),
    },
    Command {
        name: c"modq.stats",
        flags: c"readonly",
        keys: Keys::Reads,
        arity: 2,
        syntax: "key",
        summary: "Counts, ages, totals and percentiles of a queue.",
        complexity: "O(1) in the number of items; O(n) for the n tag combinations and priorities",
        handler: entry(stats),
    },
    Command {
        name: c"modq.why",
        flags: c"readonly fast",
        keys: Keys::Reads,
        arity: -4,
        syntax: "key item moderator [TAGS n [tag …]]",
        summary: "Why an item would not go to a moderator now.",
        complexity: "O(log n) for each tag combination in use, with n items",
        handler: entry(why),
    },
    Command {
        name: c"modq.get",
        flags: c"readonly fast",
        keys: Keys::Reads,
        arity: 3,
        syntax: "key item",
        summary: "Everything about one item.",
        complexity: "O(1), and O(1) for each tag and excluded moderator",
        handler: entry(get),
    },
    Command {
        name: c"modq.len",
        flags: c"readonly fast",
        keys: Keys::Reads,
        arity: -2,
        syntax: "key [<READY | LOCKED | DELAYED | DEAD>]",
        summary: "How many items are in a queue, or in one state.",
        complexity: "O(1)",
        handler: entry(len),
    },
    Command {
        name: c"modq.held",
        flags: c"readonly",
        keys: Keys::Reads,
        arity: -3,
        syntax: "key moderator [COUNT n]",
        summary: "The items a moderator holds, as CLAIM answers them.",
        complexity: "O(n) with n items held",
        handler: entry(held),
    },
];

/// Most deferred steps that one command does before its own work; the timer does the rest.
const COMMAND_BUDGET: usize = 32;

/// The largest backlog of deferred work a tick has seen.
static DEFERRED_MAX: AtomicU64 = AtomicU64::new(0);

/// Events that could not be written.
static EVENTS_DROPPED: AtomicU64 = AtomicU64::new(0);

/// While an event stream is missing in cluster mode, look again after this many ms.
pub const STREAM_RETRY_MS: u64 = 100;

/// While a key's slot is another node's, look again after this many ms.
const SLOT_RETRY_MS: u64 = 50;

/// How many events could not be written.
pub fn events_dropped() -> u64 {
    EVENTS_DROPPED.load(Relaxed)
}

/// The most transitions that were overdue when a tick left off.
pub fn deferred_max() -> u64 {
    DEFERRED_MAX.load(Relaxed)
}

/// The value of a queue's key.
#[derive(Default)]
pub struct QueueKey {
    pub queue: Queue,
    /// The earliest due time that the schedule knows of for this key, Unix ms; 0 for none.
    scheduled: u64,
    pub told: Option<Told>,
    /// What is counted in the totals over all queues.
    contribution: Contribution,
    _live: Counted<QUEUES>,
}

impl Stored for QueueKey {
    type Core = Queue;
    const NAME: &'static CStr = c"modqqueue";
    const WORD: &'static CStr = c"queue";

    fn core(&self) -> &Queue {
        &self.queue
    }

    fn core_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    fn memory_bytes(&self) -> usize {
        self.queue.memory_bytes()
    }

    fn free_effort(&self) -> usize {
        self.queue.len()
    }

    fn handle() -> &'static TypeHandle {
        static HANDLE: TypeHandle = TypeHandle::new();
        &HANDLE
    }
}

impl QueueKey {
    /// The queue may have something to do earlier than it had before.
    #[inline]
    pub fn changed(&mut self, ctx: Context<'_>, name: ServerStr<'_>) {
        if let Some(due) = self.count_in() {
            schedule::due_at(ctx, ctx.db(), name.bytes(), due);
        }
    }

    /// Counts it in, and answers when there is something to do, if that is earlier than scheduled.
    /// It is taken as scheduled from now on.
    fn count_in(&mut self) -> Option<u64> {
        self.contribution.update(&self.queue);
        let due = self.queue.next_due()?.max(1);
        let earlier = self.scheduled == 0 || due < self.scheduled;
        earlier.then(|| {
            self.scheduled = due;
            due
        })
    }

    /// The queue came to this key by other means than a command of ours.
    pub fn arrived(&mut self, ctx: Context<'_>, db: i32, name: ServerStr<'_>) {
        self.scheduled = 0;
        // Calls may have ended while the queue was under another name.
        self.told = None;
        if let Some(due) = self.count_in() {
            schedule::due_at(ctx, db, name.bytes(), due);
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::fixed(match error {
            Error::NoItem => "NOITEM no such item in the queue",
            Error::Stale => "STALE the token is not that of a live lock on the item",
            Error::Locked => "STALE the item is locked",
            Error::Changed => "CHANGED the item is no longer at this revision; the lock is kept",
            Error::Exists => "EXISTS the item is in the queue already",
            Error::Excluded => "EXCLUDED the moderator is excluded from the item",
            Error::Full => "FULL the queue holds as many items as MAXLEN allows",
            Error::Paused => "PAUSED the queue is paused for input",
            Error::AgingInUse => "ERR AGING can only be changed while the queue has no items",
            Error::Events => "EVENTS the key of the queue's event stream holds another type",
            Error::TryAgain => {
                "TRYAGAIN the queue's event stream is not here; if it was deleted, CONFIGURE makes it anew"
            }
        })
    }
}

thread_local! {
    /// Buffers that writing commands use in turn; none while one does.
    static EFFECTS: Cell<Option<Box<Effects>>> = const { Cell::new(None) };
}

/// What a command works with: the queue of its key and the effects to be.
struct Work<'w> {
    queue: &'w mut Queue,
    now: Now,
    fx: &'w mut Effects,
}

/// Runs a writing command on the queue of key argument 1: catches up with the clock, lets `body`
/// decide and apply, then stores, replicates and announces. The reply is `body`'s.
#[inline]
fn write<R>(
    ctx: Context<'_>,
    args: Args<'_>,
    body: impl FnOnce(&mut Work<'_>) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    write_to(ctx, args.string(1), clock::now(), true, body)
}

fn write_to<R>(
    ctx: Context<'_>,
    name: ServerStr<'_>,
    now: Now,
    may_create: bool,
    body: impl FnOnce(&mut Work<'_>) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    let mut key = Key::<QueueKey>::open(ctx, name, Mode::Write)?;
    let mut fx = EFFECTS.take().unwrap_or_default();
    fx.clear();
    let result = match key.get_mut() {
        Some(stored) => {
            fx.gate = gate(ctx, stored);
            catch_up(ctx, name, stored, now, COMMAND_BUDGET, &mut fx);
            let result = body(&mut Work {
                queue: &mut stored.queue,
                now,
                fx: &mut fx,
            });
            replicate(ctx, name, stored, &fx, now);
            result
        }
        None => {
            // A missing key is an empty queue; it comes to be with the first change.
            let mut stored = Box::<QueueKey>::default();
            if may_create {
                waiting::tell_queue(&mut stored, ctx.db(), name.bytes(), now);
            }
            let result = body(&mut Work {
                queue: &mut stored.queue,
                now,
                fx: &mut fx,
            });
            if !fx.record.is_empty() {
                replicate(ctx, name, key.set(stored), &fx, now);
            }
            result
        }
    };
    drop(key);
    announce(ctx, name, &mut fx, now);
    EFFECTS.set(Some(fx));
    result
}

/// What the event stream of a queue lets happen.
#[inline]
fn gate(ctx: Context<'_>, stored: &QueueKey) -> Gate {
    let stream = &stored.queue.settings().events;
    if stream.is_empty() {
        return Gate::Open;
    }
    match look(ctx, Name::new(stream).get()) {
        Found::Stream => Gate::Open,
        Found::Other => Gate::WrongType,
        // A stream in a slot on the move may be on the other node, and must not come to be twice.
        Found::Nothing if ctx.flags().is_cluster() => Gate::Missing,
        Found::Nothing => Gate::Open,
    }
}

/// Does what is due on a queue, at most `budget` steps of it. Answers how many.
#[inline]
fn catch_up(
    ctx: Context<'_>,
    name: ServerStr<'_>,
    stored: &mut QueueKey,
    now: Now,
    budget: usize,
    fx: &mut Effects,
) -> usize {
    if waiting::clients() > 0 || stored.queue.blocked() > 0 {
        waiting::tell_queue(stored, ctx.db(), name.bytes(), now);
    }
    let is_due = stored.queue.next_due().is_some_and(|due| due <= now.ms);
    if is_due && fx.gate != Gate::Missing {
        stored.queue.advance(now, budget, fx)
    } else {
        0
    }
}

/// Sends what happened to a queue to replicas and the AOF.
#[inline]
fn replicate(ctx: Context<'_>, name: ServerStr<'_>, stored: &mut QueueKey, fx: &Effects, now: Now) {
    if fx.record.is_empty() {
        return;
    }
    clock::token_given(stored.queue.last_token(), now);
    ctx.replicate(APPLY_QUEUE, name, fx.record.bytes());
    ctx.signal_modified(name);
    stored.changed(ctx, name);
}

/// Tells everybody else what happened, once the key is closed.
#[inline]
fn announce(ctx: Context<'_>, name: ServerStr<'_>, fx: &mut Effects, now: Now) {
    if !fx.events.is_empty() {
        write_events(ctx, name.bytes(), fx);
    }
    for notice in &fx.notices {
        let event = match notice {
            Notice::Submit => c"modq.submit",
            Notice::Assign => c"modq.assign",
            Notice::Resolve => c"modq.resolve",
            Notice::Release => c"modq.release",
            Notice::Expire => c"modq.expire",
            Notice::Dead => c"modq.dead",
        };
        ctx.notify(event, name);
    }
    if fx.matches.is_empty() && fx.answers.is_empty() {
        return;
    }
    let key = name.bytes();
    for matched in &fx.matches {
        ctx.publish(&channel(key, &matched.moderator), &matched.item);
    }
    waiting::take_answers(ctx, ctx.db(), key, &mut fx.answers, now);
}

/// Writes what happened to the event streams.
fn write_events(ctx: Context<'_>, key: &[u8], fx: &mut Effects) {
    use Word::{Bytes, Known};
    let in_cluster = ctx.flags().is_cluster();
    for batch in fx.events.drain(..) {
        let max_len = batch.max_len.to_string();
        for event in &batch.events {
            let (rev, at) = (event.rev.to_string(), event.at.to_string());
            let mut words = SmallVec::<[Word<'_>; 64]>::new();
            words.push(Bytes(&batch.stream));
            if in_cluster {
                words.push(Known("NOMKSTREAM"));
            }
            if batch.max_len > 0 {
                words.extend([Known("MAXLEN"), Known("~"), Bytes(max_len.as_bytes())]);
            }
            words.extend([Known("*"), Known("ev"), Known(event.name)]);
            words.extend([Known("key"), Bytes(key)]);
            words.extend([Known("item"), Bytes(&event.item)]);
            words.extend([Known("rev"), Bytes(rev.as_bytes())]);
            words.extend([Known("at"), Bytes(at.as_bytes())]);
            for (field, value) in &event.fields {
                words.extend([Known(field), Bytes(value)]);
            }
            if !ctx.call(c"XADD", &words) {
                EVENTS_DROPPED.fetch_add(1, Relaxed);
            }
        }
    }
}

/// Where a moderator hears of what they are given: in the key's own slot.
fn channel(key: &[u8], moderator: &[u8]) -> Vec<u8> {
    let (open, close): (&[u8], &[u8]) = match has_hash_tag(key) {
        true => (b"", b""),
        false => (b"{", b"}"),
    };
    [b"modq:", open, key, close, b":", moderator].concat()
}

/// Lets time act on the queue of a key, at most `budget` steps. Answers how many steps were done
/// and when there is next something to do (Unix ms), if the key still holds a queue.
pub fn advance(
    ctx: Context<'_>,
    name: ServerStr<'_>,
    now: Now,
    budget: usize,
) -> (usize, Option<u64>) {
    // Until a slot that is on the move is ours, its keys are treated as a replica treats them. Looked
    // at again soon, whatever is due next: the queue still takes an earlier time as scheduled, so
    // that what comes to be due meanwhile would not be noted.
    if ctx.flags().is_cluster() && next_due(ctx, name).is_some() && !ctx.owns(name) {
        return (0, Some(now.ms + SLOT_RETRY_MS));
    }
    let Ok(mut key) = Key::<QueueKey>::open(ctx, name, Mode::Background) else {
        return (0, None);
    };
    let Some(stored) = key.get_mut() else {
        return (0, None);
    };
    let mut fx = Effects {
        gate: gate(ctx, stored),
        ..Effects::default()
    };
    let steps = catch_up(ctx, name, stored, now, budget, &mut fx);
    let mut next = stored.queue.next_due();
    if fx.gate == Gate::Missing {
        next = next.map(|next| next.max(now.ms + STREAM_RETRY_MS));
    }
    if steps >= budget {
        DEFERRED_MAX.fetch_max((steps + stored.queue.overdue(now)) as u64, Relaxed);
    }
    stored.scheduled = 0;
    replicate(ctx, name, stored, &fx, now);
    // The caller notes the next due time itself.
    stored.scheduled = next.map_or(0, |next| next.max(now.ms + 1));
    drop(key);
    announce(ctx, name, &mut fx, now);
    (steps, next)
}

/// When the queue at a key next has something to do, Unix ms.
fn next_due(ctx: Context<'_>, name: ServerStr<'_>) -> Option<u64> {
    let key = Key::<QueueKey>::open(ctx, name, Mode::Inspect).ok()?;
    key.get()?.queue.next_due()
}

/// Takes back a match that reached nobody. Answers false if that has to wait for the event stream.
pub fn undo(ctx: Context<'_>, db: i32, key: &[u8], answer: &Answer, now: Now) -> bool {
    if !ctx.select_db(db) {
        return true;
    }
    let name = Name::new(key);
    let waits = write_to(ctx, name.get(), now, false, |work| {
        let place = answer.undo.flatten();
        let Work { queue, now, fx } = work;
        let waits = fx.gate == Gate::Missing;
        if !waits {
            queue.undo(*now, &answer.item, answer.token, place, fx);
        }
        Ok(waits)
    });
    // A key of another type has no match to undo.
    !waits.unwrap_or(false)
}

/// Runs a reading command on the queue of key argument 1, if there is one.
fn read<R>(
    ctx: Context<'_>,
    args: Args<'_>,
    body: impl FnOnce(&Queue, Now) -> R,
) -> Result<Option<R>, Refusal> {
    let key = Key::<QueueKey>::open(ctx, args.string(1), Mode::Read)?;
    let now = clock::now();
    Ok(key.get().map(|stored| body(&stored.queue, now)))
}

// ---- what several commands take ----

fn item<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("item", 1..=MAX_ID)
}

fn moderator<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("moderator", 1..=MAX_ID)
}

fn payload<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("payload", 0..=settings::MAX_PAYLOAD.get() as usize)
}

fn priority(parser: &mut Parser<'_>) -> Result<i32, Refusal> {
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    parser.number("PRIORITY", range).map(|p| p as i32)
}

fn boost(parser: &mut Parser<'_>) -> Result<i64, Refusal> {
    let most = MAX_DURATION as i64;
    parser.number("BOOST", -most..=most)
}

fn delay(parser: &mut Parser<'_>) -> Result<u64, Refusal> {
    parser.unsigned("DELAY", 0..=MAX_DURATION)
}

fn tags<'a>(parser: &mut Parser<'a>) -> Result<Vec<&'a Bytes>, Refusal> {
    parser.counted("TAGS", MAX_TAGS, 1..=MAX_TAG, Bytes::new)
}

fn exclude<'a>(parser: &mut Parser<'a>) -> Result<Vec<&'a Bytes>, Refusal> {
    parser.counted("EXCLUDE", MAX_EXCLUDE, 1..=MAX_ID, Bytes::new)
}

fn count(parser: &mut Parser<'_>) -> Result<usize, Refusal> {
    parser.unsigned("COUNT", 1..=MAX_COUNT).map(|n| n as usize)
}

/// How many a page of a listing has if COUNT does not say.
const PAGE: usize = 100;

/// COUNT where there is no other option.
fn only_count(parser: &mut Parser<'_>, default: usize) -> Result<usize, Refusal> {
    let mut most = default;
    while parser.more() {
        parser.option(&["COUNT"])?;
        most = count(parser)?;
    }
    Ok(most)
}

fn lock(parser: &mut Parser<'_>) -> Result<u64, Refusal> {
    parser.unsigned("LOCK", 1..=MAX_DURATION)
}

fn token(parser: &mut Parser<'_>) -> Result<u64, Refusal> {
    parser.unsigned("token", 0..=i64::MAX as u64)
}

fn rev(parser: &mut Parser<'_>) -> Result<u64, Refusal> {
    parser.unsigned("REV", 0..=i64::MAX as u64)
}

// ---- producers ----

fn submit(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut submit = Submit {
        id: item(&mut parser)?,
        payload: payload(&mut parser)?,
        ..Submit::default()
    };
    while parser.more() {
        match parser.option(&["PRIORITY", "BOOST", "DELAY", "TAGS", "EXCLUDE", "ONDUP"])? {
            0 => submit.priority = Some(priority(&mut parser)?),
            1 => submit.boost = Some(boost(&mut parser)?),
            2 => submit.delay = delay(&mut parser)?,
            3 => submit.tags = Some(tags(&mut parser)?),
            4 => submit.excluded = Some(exclude(&mut parser)?),
            _ => submit.on_duplicate = on_duplicate(&mut parser)?,
        }
    }
    let submitted = write(ctx, args, |work| {
        Ok(work.queue.submit(work.now, submit, work.fx)?)
    })?;
    ctx.reply_status(match submitted {
        Submitted::Ready => c"READY",
        Submitted::Assigned => c"ASSIGNED",
        Submitted::Delayed => c"DELAYED",
        Submitted::Exists => c"EXISTS",
        Submitted::Bumped => c"BUMPED",
        Submitted::Replaced => c"REPLACED",
    });
    Ok(())
}

fn on_duplicate(parser: &mut Parser<'_>) -> Result<OnDuplicate, Refusal> {
    let ways = ["KEEP", "BUMP", "REPLACE", "ERROR"];
    Ok(match parser.one_of("ONDUP", &ways)? {
        0 => OnDuplicate::Keep,
        1 => OnDuplicate::Bump,
        2 => OnDuplicate::Replace,
        _ => OnDuplicate::Error,
    })
}

fn cancel(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let mut at_rev = None;
    while parser.more() {
        parser.option(&["REV"])?;
        at_rev = Some(rev(&mut parser)?);
    }
    let cancelled = write(ctx, args, |work| {
        Ok(work.queue.cancel(work.now, id, at_rev, work.fx)?)
    })?;
    ctx.reply_integer(cancelled.into());
    Ok(())
}

fn update(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let mut change = Change::default();
    while parser.more() {
        match parser.option(&["REV", "PRIORITY", "BOOST", "PAYLOAD", "TAGS", "EXCLUDE"])? {
            0 => change.rev = Some(rev(&mut parser)?),
            1 => change.priority = Some(priority(&mut parser)?),
            2 => change.boost = Some(boost(&mut parser)?),
            3 => change.payload = Some(payload(&mut parser)?),
            4 => change.tags = Some(tags(&mut parser)?),
            _ => change.excluded = Some(exclude(&mut parser)?),
        }
    }
    let updated = write(ctx, args, |work| {
        Ok(work.queue.update(work.now, id, change, work.fx)?)
    })?;
    match updated {
        Some(rev) => ctx.reply_integer(rev as i64),
        None => ctx.reply_null(),
    }
    Ok(())
}

// ---- moderators ----

fn claim(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let (claim, block) = claim_options(&mut Parser::new(args, 2))?;
    let key = args.string(1);
    let now = clock::now();
    if claim_from(ctx, key, &claim, now, false)? {
        return Ok(());
    }
    wait_or_null(ctx, vec![key], claim, block, now, false);
    Ok(())
}

fn mclaim(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 1);
    let most = args.count() as i64;
    let numkeys = parser.number("numkeys", 1..=most)? as usize;
    let mut keys: Vec<ServerStr<'_>> = Vec::with_capacity(numkeys);
    for _ in 0..numkeys {
        let at = parser.position();
        let name = parser.word("key")?;
        if keys.iter().all(|k| k.bytes() != name) {
            keys.push(args.string(at));
        }
    }
    let (claim, block) = claim_options(&mut parser)?;
    let now = clock::now();
    // First what they hold, then what is new; the types of all are checked before anything.
    let mut held_in = None;
    for key in &keys {
        let opened = Key::<QueueKey>::open(ctx, *key, Mode::Read)?;
        let held = opened
            .get()
            .is_some_and(|stored| stored.queue.held_by(claim.moderator, now).next().is_some());
        if held && !claim.new_only {
            held_in.get_or_insert(*key);
        }
    }
    for key in held_in.iter().chain(&keys) {
        if claim_from(ctx, *key, &claim, now, true)? {
            return Ok(());
        }
    }
    wait_or_null(ctx, keys, claim, block, now, true);
    Ok(())
}

/// A moderator and the options of CLAIM: the claim, and for how long to wait if at all.
fn claim_options<'a>(parser: &mut Parser<'a>) -> Result<(Claim<'a>, Option<u64>), Refusal> {
    let mut claim = Claim {
        moderator: moderator(parser)?,
        count: 1,
        lock: None,
        tags: None,
        new_only: false,
    };
    let mut block = None;
    while parser.more() {
        match parser.option(&["COUNT", "LOCK", "BLOCK", "TAGS", "NEW"])? {
            0 => claim.count = count(parser)?,
            1 => claim.lock = Some(lock(parser)?),
            2 => block = Some(parser.unsigned("BLOCK", 0..=MAX_DURATION)?),
            3 => claim.tags = Some(tags(parser)?),
            _ => claim.new_only = true,
        }
    }
    Ok((claim, block))
}

/// Claims from one queue and replies, unless there is nothing. Answers whether there was.
fn claim_from(
    ctx: Context<'_>,
    key: ServerStr<'_>,
    claim: &Claim<'_>,
    now: Now,
    many: bool,
) -> Result<bool, Refusal> {
    // Nobody but a producer brings a queue about that is not there, whoever waits for it.
    write_to(ctx, key, now, false, |work| {
        let slots = work.queue.claim(work.now, claim, work.fx)?;
        if slots.is_empty() {
            return Ok(false);
        }
        if many {
            ctx.reply_array(2);
            ctx.reply_bytes(key.bytes());
        }
        ctx.reply_array(slots.len());
        for slot in slots {
            match work.queue.claim_view(slot) {
                Some(view) => reply_claim(ctx, &view),
                None => ctx.reply_null_array(),
            }
        }
        Ok(true)
    })
}

fn wait_or_null(
    ctx: Context<'_>,
    keys: Vec<ServerStr<'_>>,
    claim: Claim<'_>,
    block: Option<u64>,
    now: Now,
    many: bool,
) {
    match block {
        Some(block) if ctx.flags().may_block() => {
            let request = WaitRequest {
                keys,
                moderator: claim.moderator,
                tags: claim.tags,
                lock: claim.lock,
                new_only: claim.new_only,
                names_key: many,
                block,
            };
            waiting::wait(ctx, request, now);
        }
        _ => ctx.reply_null_array(),
    }
}

fn resolve(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let token = token(&mut parser)?;
    let (mut at_rev, mut decision) = (None, None);
    while parser.more() {
        match parser.option(&["REV", "DECISION"])? {
            0 => at_rev = Some(rev(&mut parser)?),
            _ => decision = Some(parser.bytes("DECISION", 0..=MAX_DECISION)?),
        }
    }
    write(ctx, args, |work| {
        // For the audit log.
        if !work.queue.settings().events.is_empty() {
            work.fx.decision = decision.map(Box::from);
        }
        Ok(work.queue.resolve(work.now, id, token, at_rev, work.fx)?)
    })?;
    ctx.reply_ok();
    Ok(())
}

fn release(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let token = token(&mut parser)?;
    let (mut skip, mut after) = (false, 0);
    while parser.more() {
        match parser.option(&["SKIP", "DELAY"])? {
            0 => skip = true,
            _ => after = delay(&mut parser)?,
        }
    }
    write(ctx, args, |work| {
        let Work { queue, now, fx } = work;
        Ok(queue.release(*now, id, token, skip, after, fx)?)
    })?;
    ctx.reply_ok();
    Ok(())
}

fn extend(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let token = token(&mut parser)?;
    let ms = parser.unsigned("ms", 1..=MAX_DURATION)?;
    let deadline = write(ctx, args, |work| {
        Ok(work.queue.extend(work.now, id, token, ms, work.fx)?)
    })?;
    ctx.reply_integer(deadline as i64);
    Ok(())
}

// ---- reading ----

fn state(parser: &mut Parser<'_>) -> Result<State, Refusal> {
    let states = ["READY", "LOCKED", "DELAYED", "DEAD"];
    Ok(match parser.one_of("state", &states)? {
        0 => State::Ready,
        1 => State::Locked,
        2 => State::Delayed,
        _ => State::Dead,
    })
}

fn get(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let id = item(&mut Parser::new(args, 2))?;
    let found = read(ctx, args, |queue, now| {
        let Some(view) = queue.get(id, now) else {
            return false;
        };
        ctx.reply_map(16);
        ctx.field("item").reply_bytes(view.item);
        ctx.field("state")
            .reply_bytes(state_name(view.state).as_bytes());
        ctx.field("payload").reply_bytes(view.payload);
        ctx.field("priority").reply_integer(view.priority.into());
        ctx.field("boost").reply_integer(view.boost);
        ctx.field("submitted").reply_integer(view.submitted as i64);
        ctx.field("due").reply_integer(view.due as i64);
        ctx.field("rev").reply_integer(view.rev.into());
        ctx.field("reports").reply_integer(view.reports.into());
        ctx.field("deliveries")
            .reply_integer(view.deliveries.into());
        ctx.field("expiries").reply_integer(view.expiries.into());
        match view.lock {
            Some((moderator, token, deadline)) => {
                ctx.field("moderator").reply_bytes(moderator);
                ctx.field("token").reply_integer(token as i64);
                ctx.field("deadline").reply_integer(deadline as i64);
            }
            None => {
                for name in ["moderator", "token", "deadline"] {
                    ctx.field(name).reply_null();
                }
            }
        }
        for (name, list) in [("tags", &view.tags), ("excluded", &view.excluded)] {
            ctx.field(name).reply_array(list.len());
            list.iter().for_each(|word| ctx.reply_bytes(word));
        }
        true
    })?;
    if found != Some(true) {
        ctx.reply_null();
    }
    Ok(())
}

fn len(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let state = match parser.more() {
        false => None,
        true => Some(state(&mut parser)?),
    };
    parser.end()?;
    let len = read(ctx, args, |queue, _| match state {
        None => queue.len(),
        Some(state) => queue.len_in(state),
    })?;
    ctx.reply_integer(len.unwrap_or(0) as i64);
    Ok(())
}

fn held(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let name = moderator(&mut parser)?;
    let most = only_count(&mut parser, PAGE)?;
    let replied = read(ctx, args, |queue, now| {
        let claims: Vec<ClaimView<'_>> = queue.held_by(name, now).take(most).collect();
        ctx.reply_array(claims.len());
        claims.iter().for_each(|claim| reply_claim(ctx, claim));
    })?;
    if replied.is_none() {
        ctx.reply_array(0);
    }
    Ok(())
}

fn join(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut join = Join {
        moderator: moderator(&mut parser)?,
        ..Join::default()
    };
    while parser.more() {
        match parser.option(&["TTL", "COUNT", "TAGS"])? {
            0 => join.ttl = Some(parser.unsigned("TTL", 1..=MAX_DURATION)?),
            1 => join.count = Some(count(&mut parser)? as u64),
            _ => join.tags = Some(tags(&mut parser)?),
        }
    }
    let joined = write(ctx, args, |work| {
        Ok(work.queue.join(work.now, &join, work.fx)?)
    })?;
    ctx.reply_status(match joined {
        Joined::Waiting => c"WAITING",
        Joined::Assigned => c"ASSIGNED",
    });
    Ok(())
}

fn leave(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let name = moderator(&mut parser)?;
    let mut give_back = false;
    while parser.more() {
        parser.option(&["RELEASE"])?;
        give_back = true;
    }
    let was_in_line = write(ctx, args, |work| {
        Ok(work.queue.leave(work.now, name, give_back, work.fx)?)
    })?;
    ctx.reply_integer(was_in_line.into());
    Ok(())
}

// ---- supervisors ----

fn assign(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let name = moderator(&mut parser)?;
    let mut ms = None;
    while parser.more() {
        parser.option(&["LOCK"])?;
        ms = Some(lock(&mut parser)?);
    }
    let token = write(ctx, args, |work| {
        Ok(work.queue.assign(work.now, id, name, ms, work.fx)?)
    })?;
    ctx.reply_integer(token as i64);
    Ok(())
}

fn move_item(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let (source, destination) = (args.string(1), args.string(2));
    let mut parser = Parser::new(args, 3);
    let id = item(&mut parser)?;
    let (mut with_token, mut with_priority) = (None, None);
    while parser.more() {
        match parser.option(&["TOKEN", "PRIORITY"])? {
            0 => with_token = Some(parser.unsigned("TOKEN", 0..=i64::MAX as u64)?),
            _ => with_priority = Some(priority(&mut parser)?),
        }
    }
    if args.get(1) == args.get(2) {
        return Err(Refusal::fixed(
            "ERR source and destination must be different keys",
        ));
    }
    let mut from = Key::<QueueKey>::open(ctx, source, Mode::Write)?;
    let mut to = Key::<QueueKey>::open(ctx, destination, Mode::Write)?;
    let now = clock::now();
    let Some(stored) = from.get_mut() else {
        return Err(Error::NoItem.into());
    };
    let (mut fx, mut to_fx) = (Effects::default(), Effects::default());
    fx.gate = gate(ctx, stored);
    to_fx.gate = to
        .get()
        .map_or(Gate::Open, |receiving| gate(ctx, receiving));
    // Each side catches up first, so that tokens and deadlines are judged as they are now.
    catch_up(ctx, source, stored, now, COMMAND_BUDGET, &mut fx);
    if let Some(receiving) = to.get_mut() {
        catch_up(ctx, destination, receiving, now, COMMAND_BUDGET, &mut to_fx);
    }
    let moved = stored
        .queue
        .check_move_out(now, id, with_token)
        .and_then(|out| {
            to.get().map_or(Ok(()), |r| r.queue.check_move_in(id))?;
            fx.admit().and_then(|()| to_fx.admit())?;
            Ok(out)
        });
    if let Ok(out) = &moved {
        if to.get().is_none() {
            let mut created = Box::<QueueKey>::default();
            let name = destination.bytes();
            waiting::tell_queue(&mut created, ctx.db(), name, now);
            to.set(created);
        }
        if let Some(receiving) = to.get_mut() {
            let (source, to) = (&mut stored.queue, &mut receiving.queue);
            source.move_item(now, out.clone(), with_priority, to, &mut fx, &mut to_fx);
        }
    }
    if let Some(receiving) = to.get_mut() {
        replicate(ctx, destination, receiving, &to_fx, now);
    }
    replicate(ctx, source, stored, &fx, now);
    drop((from, to));
    // Who reads a stream that both queues share is told that the item left before it arrives.
    announce(ctx, source, &mut fx, now);
    announce(ctx, destination, &mut to_fx, now);
    moved?;
    ctx.reply_ok();
    Ok(())
}

/// The sides of a queue that PAUSE and UNPAUSE are about: input, output.
fn sides(args: Args<'_>) -> Result<(bool, bool), Refusal> {
    let mut parser = Parser::new(args, 2);
    let sides = match parser.more() {
        false => (true, true),
        true => match parser.one_of("side", &["IN", "OUT", "ALL"])? {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        },
    };
    parser.end()?;
    Ok(sides)
}

fn pause(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let (input, output) = sides(args)?;
    write(ctx, args, |work| {
        let (was_in, was_out) = work.queue.paused();
        let Work { queue, now, fx } = work;
        queue.pause(*now, was_in || input, was_out || output, fx);
        Ok(())
    })?;
    ctx.reply_ok();
    Ok(())
}

fn unpause(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let (input, output) = sides(args)?;
    write(ctx, args, |work| {
        let (was_in, was_out) = work.queue.paused();
        let Work { queue, now, fx } = work;
        queue.pause(*now, was_in && !input, was_out && !output, fx);
        // What can be handed out at once is; the timer goes on with the rest.
        if fx.gate == Gate::Open {
            queue.advance(*now, COMMAND_BUDGET, fx);
        }
        Ok(())
    })?;
    ctx.reply_ok();
    Ok(())
}

fn revive(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let first = item(&mut parser)?;
    // A lone ALL, or ALL with COUNT, is the keyword: an item of that name is named twice.
    let rest_is_count = parser
        .peek()
        .is_none_or(|word| word.eq_ignore_ascii_case(b"COUNT"));
    if first.eq_ignore_ascii_case(b"ALL") && rest_is_count {
        let most = only_count(&mut parser, MAX_COUNT as usize)?;
        let revived = write(ctx, args, |work| {
            Ok(work.queue.revive_all(work.now, most, work.fx)?)
        })?;
        ctx.reply_integer(revived as i64);
        return Ok(());
    }
    let mut ids = vec![first];
    while parser.more() {
        ids.push(item(&mut parser)?);
    }
    let revived = write(ctx, args, |work| {
        let Work { queue, now, fx } = work;
        let mut revived = 0;
        for id in ids {
            revived += i64::from(queue.revive(*now, id, fx)?);
        }
        Ok(revived)
    })?;
    ctx.reply_integer(revived);
    Ok(())
}

/// One option of CONFIGURE.
type SettingsChange<'a> = Box<dyn Fn(&mut Settings) + 'a>;

fn configure(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    if !parser.more() {
        return show_settings(ctx, args);
    }
    const MOST: u64 = i64::MAX as u64;
    const OPTIONS: &[&str] = &[
        "LOCK",
        "MAXEXPIRIES",
        "MAXLEN",
        "CAPACITY",
        "LATE",
        "AGING",
        "EVENTS",
        "EVENTSMAXLEN",
    ];
    let mut changes: Vec<SettingsChange<'_>> = Vec::new();
    let mut stream = None;
    while parser.more() {
        let option = parser.option(OPTIONS)?;
        changes.push(match option {
            0 => {
                let n = lock(&mut parser)?;
                Box::new(move |s| s.lock = n)
            }
            1 => {
                let n = parser.unsigned("MAXEXPIRIES", 0..=MOST)?;
                Box::new(move |s| s.max_expiries = n)
            }
            2 => {
                let n = parser.unsigned("MAXLEN", 0..=MOST)?;
                Box::new(move |s| s.max_len = n)
            }
            3 => {
                let n = parser.unsigned("CAPACITY", 0..=MOST)?;
                Box::new(move |s| s.capacity = n)
            }
            4 => {
                let accept = parser.one_of("LATE", &["ACCEPT", "REJECT"])? == 0;
                Box::new(move |s| s.late_accept = accept)
            }
            5 => {
                let n = parser.unsigned("AGING", 0..=MAX_AGING)?;
                Box::new(move |s| s.aging = n)
            }
            6 => {
                let name = parser.word("EVENTS")?;
                stream = Some(name);
                Box::new(move |s| s.events = name.to_vec())
            }
            _ => {
                let n = parser.unsigned("EVENTSMAXLEN", 0..=MOST)?;
                Box::new(move |s| s.events_max_len = n)
            }
        });
    }
    let stream = stream.filter(|name| !name.is_empty());
    if let Some(stream) = stream {
        if stream == args.get(1) {
            return Err(Refusal::fixed(
                "ERR EVENTS must be another key than the queue",
            ));
        }
        if look(ctx, Name::new(stream).get()) == Found::Other {
            return Err(Error::Events.into());
        }
    }
    write(ctx, args, |work| {
        let Work { queue, now, fx } = work;
        let mut settings = queue.settings().clone();
        changes.iter().for_each(|change| change(&mut settings));
        queue.configure(*now, settings, fx)?;
        // The timer does what is to go to a new stream, once that is there.
        if fx.gate == Gate::Open && stream.is_none() {
            queue.advance(*now, COMMAND_BUDGET, fx);
        }
        Ok(())
    })?;
    if let Some(stream) = stream {
        create_stream(ctx, stream);
    }
    ctx.reply_ok();
    Ok(())
}

/// In cluster mode nothing but CONFIGURE makes a stream: so it has to make one that has no events.
fn create_stream(ctx: Context<'_>, stream: &[u8]) {
    let missing = look(ctx, Name::new(stream).get()) == Found::Nothing;
    if missing && ctx.flags().is_cluster() {
        use Word::{Bytes, Known};
        let (key, group) = (Bytes(stream), Known("modq"));
        let create = [Known("CREATE"), key, group, Known("$"), Known("MKSTREAM")];
        ctx.call(c"XGROUP", &create);
        ctx.call(c"XGROUP", &[Known("DESTROY"), key, group]);
    }
}

fn show_settings(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let found = read(ctx, args, |queue, _| queue.settings().clone())?;
    let settings = found.unwrap_or_default();
    ctx.reply_map(8);
    for (name, n) in [
        ("lock", settings.lock),
        ("maxexpiries", settings.max_expiries),
        ("maxlen", settings.max_len),
        ("capacity", settings.capacity),
    ] {
        ctx.field(name).reply_integer(n as i64);
    }
    let late: &[u8] = if settings.late_accept {
        b"accept"
    } else {
        b"reject"
    };
    ctx.field("late").reply_bytes(late);
    ctx.field("aging").reply_integer(settings.aging as i64);
    ctx.field("events").reply_bytes(&settings.events);
    ctx.field("eventsmaxlen")
        .reply_integer(settings.events_max_len as i64);
    Ok(())
}

// ---- reading, for supervisors ----

fn peek(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let (mut most, mut name, mut given) = (1, None, None);
    while parser.more() {
        match parser.option(&["COUNT", "FOR", "TAGS"])? {
            0 => most = count(&mut parser)?,
            1 => name = Some(moderator(&mut parser)?),
            _ => given = Some(tags(&mut parser)?),
        }
    }
    if given.is_some() && name.is_none() {
        return Err(Refusal::fixed("ERR TAGS must go with FOR"));
    }
    let replied = read(ctx, args, |queue, _| {
        let ids = queue.peek(most, name.map(|name| (name, given.as_deref())));
        ctx.reply_array(ids.len());
        ids.iter().for_each(|id| ctx.reply_bytes(id));
    })?;
    if replied.is_none() {
        ctx.reply_array(0);
    }
    Ok(())
}

fn position(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let id = item(&mut Parser::new(args, 2))?;
    match read(ctx, args, |queue, _| queue.position(id))?.flatten() {
        Some(position) => ctx.reply_integer(position as i64),
        None => ctx.reply_null(),
    }
    Ok(())
}

fn list(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let state = state(&mut parser)?;
    let (mut cursor, mut most) = (0, PAGE);
    while parser.more() {
        match parser.option(&["CURSOR", "COUNT"])? {
            0 => cursor = parser.unsigned("CURSOR", 0..=i64::MAX as u64)?,
            _ => most = count(&mut parser)?,
        }
    }
    let replied = read(ctx, args, |queue, now| {
        let (next, rows) = queue.list(state, cursor, most, now);
        ctx.reply_array(2);
        ctx.reply_bytes(next.to_string().as_bytes());
        ctx.reply_array(rows.len());
        for row in rows {
            ctx.reply_array(5);
            ctx.reply_bytes(row.item);
            ctx.reply_integer(row.priority.into());
            ctx.reply_integer(row.submitted as i64);
            match row.lock {
                Some((moderator, deadline)) => {
                    ctx.reply_bytes(moderator);
                    ctx.reply_integer(deadline as i64);
                }
                None => {
                    ctx.reply_null();
                    ctx.reply_null();
                }
            }
        }
    })?;
    if replied.is_none() {
        ctx.reply_array(2);
        ctx.reply_bytes(b"0");
        ctx.reply_array(0);
    }
    Ok(())
}

fn waiters(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let most = only_count(&mut parser, PAGE)?;
    // Clients may wait for a queue that is not there.
    let mut key = Key::<QueueKey>::open(ctx, args.string(1), Mode::Read)?;
    let name = args.string(1).bytes();
    let mut absent = QueueKey::default();
    let stored = key.get_mut().unwrap_or(&mut absent);
    waiting::tell_most(stored, ctx.db(), name, most, clock::now());
    let waiters = stored.queue.waiters(most);
    ctx.reply_array(waiters.len());
    for waiter in waiters {
        ctx.reply_array(4);
        ctx.reply_bytes(waiter.moderator);
        let kind: &[u8] = if waiter.joined { b"joined" } else { b"blocked" };
        ctx.reply_bytes(kind);
        ctx.reply_integer(waiter.since as i64);
        ctx.reply_array(waiter.tags.len());
        waiter.tags.iter().for_each(|tag| ctx.reply_bytes(tag));
    }
    Ok(())
}

fn stats(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut key = Key::<QueueKey>::open(ctx, args.string(1), Mode::Read)?;
    let now = clock::now();
    let bytes = key.get().map_or(0, Stored::memory_bytes);
    // Clients may wait for a queue that is not there.
    let absent = QueueKey::default();
    let name = args.string(1).bytes();
    let (queue, summary) = match key.get_mut() {
        Some(stored) => {
            waiting::tell_queue(stored, ctx.db(), name, now);
            (&stored.queue, stored.queue.summary())
        }
        None => {
            let mut summary = absent.queue.summary();
            summary.waiting = waiting::moderators(ctx.db(), name);
            (&absent.queue, summary)
        }
    };
    let stats = queue.stats();
    let by_tag = queue.ready_by_tag();
    let by_priority: Vec<(i32, usize)> = queue.ready_by_priority().take(100).collect();
    let mut numbers: Vec<(&'static str, u64)> = vec![
        ("ready", summary.ready as u64),
        ("locked", summary.locked as u64),
        ("delayed", summary.delayed as u64),
        ("dead", summary.dead as u64),
        ("waiting", summary.waiting as u64),
        ("deferred", queue.overdue(now) as u64),
        ("oldest_ready_ms", queue.oldest_ready_ms(now)),
        ("oldest_item_ms", queue.oldest_item_ms(now)),
        ("submitted", stats.submitted),
        ("resolved", stats.resolved),
        ("cancelled", stats.cancelled),
        ("released", stats.released),
        ("expired", stats.expired),
        ("died", stats.died),
    ];
    for (names, histogram) in [
        (["wait_ms_p50", "wait_ms_p95", "wait_ms_p99"], &stats.wait),
        (
            ["handle_ms_p50", "handle_ms_p95", "handle_ms_p99"],
            &stats.handle,
        ),
    ] {
        for (name, percent) in names.into_iter().zip([50, 95, 99]) {
            numbers.push((name, histogram.percentile(percent)));
        }
    }
    ctx.reply_map(numbers.len() + 4);
    for (name, n) in numbers {
        ctx.field(name).reply_integer(n as i64);
    }
    let paused: &[u8] = match queue.paused() {
        (false, false) => b"none",
        (true, false) => b"in",
        (false, true) => b"out",
        (true, true) => b"all",
    };
    ctx.field("paused").reply_bytes(paused);
    ctx.field("bytes").reply_integer(bytes as i64);
    let shown = by_tag.len().min(1000);
    ctx.field("by_tag").reply_map(shown);
    for (tag, n) in by_tag.iter().take(shown) {
        ctx.reply_bytes(tag);
        ctx.reply_integer(*n as i64);
    }
    ctx.field("by_priority").reply_map(by_priority.len());
    for (priority, n) in by_priority {
        ctx.reply_bytes(priority.to_string().as_bytes());
        ctx.reply_integer(n as i64);
    }
    Ok(())
}

fn why(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let name = moderator(&mut parser)?;
    let mut given = None;
    while parser.more() {
        parser.option(&["TAGS"])?;
        given = Some(tags(&mut parser)?);
    }
    let reasons = read(ctx, args, |queue, now| {
        queue.why(id, name, given.as_deref(), now)
    })?;
    let Some(reasons) = reasons.flatten() else {
        ctx.reply_null();
        return Ok(());
    };
    ctx.reply_array(reasons.len());
    for reason in reasons {
        ctx.reply_bytes(match reason {
            Reason::State => b"state",
            Reason::Tags => b"tags",
            Reason::Excluded => b"excluded",
            Reason::Capacity => b"capacity",
            Reason::Paused => b"paused",
            Reason::Behind => b"behind",
        });
    }
    Ok(())
}
