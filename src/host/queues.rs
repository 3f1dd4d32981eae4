//! Running requests on the queue of a key.
//!
//! In this order: the key is opened; the queue is told of clients that wait for it; the core does
//! some of what is due by now, decides on the request and applies it; the record of what was applied
//! goes to replicas and the AOF (`replicate`); the key is closed; and then everybody else is told:
//! event streams, keyspace notifications, channels, and clients whose call is answered (`announce`).
//! A command begins this with [`run`], the timer with [`advance`].
//!
//! A panic inside the core is caught right here. What was applied before it is replicated as ever;
//! the key then takes no more changes, since what the panic left half done is on no replica.

use super::peak::Peak;
use super::queue_key::QueueKey;
use super::schedule::{Advanced, SLOT_RETRY, Timed};
use super::slots::name_beside;
use super::streams::{STREAM_RETRY, gate, write_events};
use super::{clock, waiting};
use crate::server::args::{Args, ServerStr};
use crate::server::context::{Context, Refusal};
use crate::server::key::{Key, Mode, Name};
use modq_core::queue::{
    Answer, Due, Error, Gate, Move, Notice, Now, Outcome, Queue, Request, Side, Undo, relocate,
};
use modq_core::units::{Millis, Time};
use std::cell::Cell;
use std::ffi::CStr;
use std::sync::{Mutex, PoisonError};

/// The command that carries the effects on a queue. Short, as it is sent often: the server looks a
/// name up by copying, splitting and hashing it.
pub const APPLY_QUEUE: &CStr = c"modq._q";

/// The largest backlog of deferred work that a tick has seen of late.
static DEFERRED_MAX: Mutex<Peak> = Mutex::new(Peak::new());

/// The most steps that were of late (see [`Peak`]) due at once in one queue when the timer came to
/// it. Counted where one turn of the timer did not do them all.
pub fn deferred_max() -> u64 {
    let now = clock::now().time;
    let mut peak = DEFERRED_MAX.lock().unwrap_or_else(PoisonError::into_inner);
    peak.get(now)
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::fixed(match error {
            Error::NoItem => "NOITEM no such item in the queue",
            Error::NoRecord => "NOITEM no decision on that item is remembered, to be appealed",
            Error::Stale => "STALE the token is not that of a live lock on the item",
            Error::VerdictNeeded => "ERR several must agree on the item: name a VERDICT",
            Error::Locked => "STALE the item is locked",
            Error::Changed => "CHANGED the item is no longer at this revision; the lock is kept",
            Error::Exists => "EXISTS the item is in the queue already",
            Error::Excluded => "EXCLUDED the moderator is excluded from the item",
            Error::Full => "FULL the queue holds as many items as MAXLEN allows",
            Error::TokensExhausted => "FULL the queue has given every token there is",
            Error::Paused => "PAUSED the queue is paused for input",
            Error::AgingInUse => "ERR AGING can only be changed while the queue has no items",
            Error::Events => {
                "EVENTS the key of the queue's event stream holds another type, or the stream its last ID"
            }
            Error::TryAgain => {
                "TRYAGAIN the queue's event stream is not here; if it was deleted, CONFIGURE makes it anew"
            }
        })
    }
}

thread_local! {
    /// Buffers that one writing command after the other uses, so that they need not be allocated
    /// each time. Not there while a command has them.
    static OUTCOME: Cell<Option<Box<Outcome>>> = const { Cell::new(None) };
}

/// Takes the buffers, empty.
fn outcome() -> Box<Outcome> {
    let mut out = OUTCOME.take().unwrap_or_default();
    out.clear();
    out
}

/// Whether a request may bring about the queue of a key that is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A missing key is an empty queue, which comes to be with its first change.
    Create,
    /// A missing key stays one, whoever waits for it.
    Keep,
}

/// Runs a request on the queue of key argument 1.
#[inline]
pub fn run<R: Request>(ctx: Context<'_>, args: Args<'_>, request: R) -> Result<R::Reply, Refusal> {
    run_at(ctx, args.string(1), clock::now(), Missing::Create, request)
}

/// Runs a request on the queue of a key.
#[inline]
pub fn run_at<R: Request>(
    ctx: Context<'_>,
    name: ServerStr<'_>,
    now: Now,
    missing: Missing,
    request: R,
) -> Result<R::Reply, Refusal> {
    run_and_show(ctx, name, now, missing, request, |_, reply| reply)
}

/// Runs a request on the queue of a key, and hands its reply and the queue as it then is to `show`.
pub fn run_and_show<R: Request, T>(
    ctx: Context<'_>,
    name: ServerStr<'_>,
    now: Now,
    missing: Missing,
    request: R,
    show: impl FnOnce(&Queue, R::Reply) -> T,
) -> Result<T, Refusal> {
    let now = clock::with_floor(now);
    let mut key = Key::<QueueKey>::open(ctx, name, Mode::Write)?;
    if let Some(stored) = key.get() {
        stored.check()?;
    }
    let mut out = outcome();
    let result = match key.get_mut() {
        Some(stored) => {
            let gate = gate(ctx, stored);
            tell(ctx, name, stored, now);
            let result = stored.guarded(|queue| Ok(queue.handle(now, gate, request, &mut out)?));
            replicate(ctx, name, stored, &out, now);
            result.map(|reply| show(&stored.queue, reply))
        }
        None => {
            // A missing key behaves as an empty queue; the first change creates it.
            let mut stored = Box::<QueueKey>::default();
            if missing == Missing::Create {
                waiting::tell_queue(&mut stored, ctx.db(), name.bytes(), now.time);
            }
            let open = Gate::Open;
            let result = stored.guarded(|queue| Ok(queue.handle(now, open, request, &mut out)?));
            if out.record.is_empty() {
                result.map(|reply| show(&stored.queue, reply))
            } else {
                let stored = key.set(stored);
                replicate(ctx, name, stored, &out, now);
                result.map(|reply| show(&stored.queue, reply))
            }
        }
    };
    drop(key);
    announce(ctx, name, &mut out, now);
    OUTCOME.set(Some(out));
    result
}

/// Moves an item from one queue to another, which comes to be if it is not there.
pub fn run_move(
    ctx: Context<'_>,
    source: ServerStr<'_>,
    destination: ServerStr<'_>,
    request: Move<'_>,
) -> Result<(), Refusal> {
    let mut from = Key::<QueueKey>::open(ctx, source, Mode::Write)?;
    let mut to = Key::<QueueKey>::open(ctx, destination, Mode::Write)?;
    let now = clock::now();
    let Some(sending) = from.get_mut() else {
        return Err(Error::NoItem.into());
    };
    sending.check()?;
    tell(ctx, source, sending, now);
    let mut created = Box::<QueueKey>::default();
    let (mut out, mut to_out) = (Outcome::default(), Outcome::default());
    let receiving = match to.get_mut() {
        Some(stored) => stored,
        None => &mut *created,
    };
    receiving.check()?;
    tell(ctx, destination, receiving, now);
    let gates = [gate(ctx, sending), gate(ctx, receiving)];
    let keys = [&mut *sending, receiving];
    let moved = relocate_guarded(now, request, keys, gates, [&mut out, &mut to_out]);
    if let Some(receiving) = to.get_mut() {
        replicate(ctx, destination, receiving, &to_out, now);
    } else if !to_out.record.is_empty() {
        replicate(ctx, destination, to.set(created), &to_out, now);
    }
    replicate(ctx, source, sending, &out, now);
    drop((from, to));
    // Who reads a stream that both queues share is told that the item left before it arrives.
    announce(ctx, source, &mut out, now);
    announce(ctx, destination, &mut to_out, now);
    moved
}

/// Moves an item between two queues. A panic damages both keys.
fn relocate_guarded(
    now: Now,
    request: Move<'_>,
    [from, to]: [&mut QueueKey; 2],
    [gate_from, gate_to]: [Gate; 2],
    [out, to_out]: [&mut Outcome; 2],
) -> Result<(), Refusal> {
    let moved = from.guarded(|source| {
        to.guarded(|destination| {
            let source = Side {
                queue: source,
                gate: gate_from,
                out,
            };
            let destination = Side {
                queue: destination,
                gate: gate_to,
                out: to_out,
            };
            Ok(relocate(now, request, source, destination)?)
        })
    });
    if to.check().is_err() {
        from.damage();
    }
    moved
}

/// Makes sure that a queue knows of those who wait for its name, or of some more of them.
#[inline]
fn tell(ctx: Context<'_>, name: ServerStr<'_>, stored: &mut QueueKey, now: Now) {
    if waiting::clients() > 0 || stored.queue.blocked() > 0 {
        waiting::tell_queue(stored, ctx.db(), name.bytes(), now.time);
    }
}

/// Sends what happened to a queue to replicas and the AOF.
#[inline]
fn replicate(
    ctx: Context<'_>,
    name: ServerStr<'_>,
    stored: &mut QueueKey,
    out: &Outcome,
    now: Now,
) {
    if out.record.is_empty() {
        return;
    }
    clock::note_token(stored.queue.last_token(), now.time);
    ctx.replicate(APPLY_QUEUE, name, out.record.bytes());
    ctx.signal_modified(name);
    stored.changed(ctx, name);
}

/// Tells everybody else what happened. The key must be closed: what is called here may open it.
#[inline]
fn announce(ctx: Context<'_>, name: ServerStr<'_>, out: &mut Outcome, now: Now) {
    if !out.events.is_empty() {
        write_events(ctx, name.bytes(), &mut out.events);
    }
    for notice in &out.notices {
        let event = match notice {
            Notice::Submit => c"modq.submit",
            Notice::Assign => c"modq.assign",
            Notice::Resolve => c"modq.resolve",
            Notice::Vote => c"modq.vote",
            Notice::Split => c"modq.split",
            Notice::Release => c"modq.release",
            Notice::Expire => c"modq.expire",
            Notice::Dead => c"modq.dead",
        };
        ctx.notify(event, name);
    }
    if out.announcements.is_empty() && out.answers.is_empty() {
        return;
    }
    let key = name.bytes();
    for given in &out.announcements {
        ctx.publish(&channel(key, &given.moderator), &given.item);
    }
    waiting::take_answers(ctx, ctx.db(), key, &mut out.answers, now.time);
}

/// The channel on which a moderator hears of items they are given. It is in the slot of the key.
fn channel(key: &[u8], moderator: &[u8]) -> Vec<u8> {
    name_beside(b"modq:", key, &[b":", moderator].concat())
}

impl Timed for QueueKey {
    fn advance(ctx: Context<'_>, name: ServerStr<'_>, now: Now, budget: usize) -> Advanced {
        advance(ctx, name, now, budget)
    }
}

/// Lets time act on the queue of a key, at most `budget` steps.
pub fn advance(ctx: Context<'_>, name: ServerStr<'_>, now: Now, budget: usize) -> Advanced {
    // While a slot is being imported, its keys are not changed here, as a replica does not change
    // its keys.
    if ctx.flags().is_cluster() && next_due(ctx, name).is_some() && !ctx.owns(name) {
        return look_again(ctx, name, now.time + SLOT_RETRY);
    }
    let Ok(mut key) = Key::<QueueKey>::open(ctx, name, Mode::Background) else {
        return Advanced::default();
    };
    let Some(stored) = key.get_mut().filter(|stored| stored.check().is_ok()) else {
        return Advanced::default();
    };
    let now = clock::with_floor(now);
    let gate = gate(ctx, stored);
    tell(ctx, name, stored, now);
    let mut out = outcome();
    let steps = stored.guarded(|queue| Ok(queue.advance(now, gate, budget, &mut out)));
    let steps = steps.unwrap_or(0);
    let mut next = stored.next_due();
    if gate == Gate::Missing {
        next = next.map(|next| next.max(Due::At(now.time + STREAM_RETRY)));
    }
    if steps >= budget {
        let backlog = steps + stored.queue.overdue(now.time);
        let mut peak = DEFERRED_MAX.lock().unwrap_or_else(PoisonError::into_inner);
        peak.note(backlog as u64, now.time);
    }
    replicate(ctx, name, stored, &out, now);
    let soon = now.time + Millis(1);
    let at = next.map(|next| match next {
        Due::Now => soon,
        Due::At(time) => time.max(soon),
    });
    stored.schedule(ctx, name, at);
    drop(key);
    announce(ctx, name, &mut out, now);
    OUTCOME.set(Some(out));
    Advanced {
        steps,
        more: next.is_some_and(|next| next.is_reached(now.time)),
    }
}

/// When the queue at a key next has something to do.
fn next_due(ctx: Context<'_>, name: ServerStr<'_>) -> Option<Due> {
    let key = Key::<QueueKey>::open(ctx, name, Mode::Inspect).ok()?;
    key.get()?.next_due()
}

/// Leaves the queue of a key alone until `at`.
fn look_again(ctx: Context<'_>, name: ServerStr<'_>, at: Time) -> Advanced {
    if let Ok(mut key) = Key::<QueueKey>::open(ctx, name, Mode::Inspect) {
        if let Some(stored) = key.get_mut() {
            stored.schedule(ctx, name, Some(at));
        }
    }
    Advanced::default()
}

/// Undoes a match whose client went away before it was answered. Answers false if that has to be
/// tried again later, because the stream for the queue's events is missing.
pub fn undo(ctx: Context<'_>, db: i32, key: &[u8], answer: &Answer, now: Now) -> bool {
    if !ctx.select_db(db) {
        return true;
    }
    let name = Name::new(key);
    let request = Undo {
        id: &answer.item,
        token: answer.token,
        place: answer.undo.and_then(|before| before.joined_at),
    };
    let undone = run_at(ctx, name.get(), now, Missing::Keep, request);
    // A key of another type has no match to undo.
    undone != Err(Error::TryAgain.into())
}

/// Runs `body`, a reading command, on the queue at the key that argument 1 names, if there is one.
///
/// # Errors
/// WRONGTYPE if the key holds anything else.
pub fn read<R>(
    ctx: Context<'_>,
    args: Args<'_>,
    body: impl FnOnce(&Queue, Time) -> R,
) -> Result<Option<R>, Refusal> {
    let key = Key::<QueueKey>::open(ctx, args.string(1), Mode::Read)?;
    let now = clock::now();
    Ok(key.get().map(|stored| body(&stored.queue, now.time)))
}
