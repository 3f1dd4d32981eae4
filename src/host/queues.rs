//! Running requests on the queue of a key.
//!
//! In this order: the key is opened, the queue is told of clients that wait for it and does what is
//! due by now (`catch_up`), the core decides on the request and applies it, the records of what was
//! applied go to replicas and the AOF (`replicate`), the key is closed, and then everybody else is
//! told: event streams, keyspace notifications, channels, and clients whose call is answered
//! (`announce`). A command begins this with [`write`], the timer with [`advance`].

use super::queue_key::QueueKey;
use super::streams::{STREAM_RETRY_MS, gate, write_events};
use super::waiting;
use crate::server::args::{Args, ServerStr};
use crate::server::context::{self, Context, Refusal};
use crate::server::key::{Key, Mode, Name, has_hash_tag};
use modq_core::queue::{Answer, Effects, Error, Gate, Notice, Now, Queue};
use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The command that carries the effects on a queue. Short, as it is sent often: the server looks a
/// name up by copying, splitting and hashing it.
pub const APPLY_QUEUE: &CStr = c"modq._q";

/// How many steps that are due (expiries, delayed items, matches) one command does at most beside its
/// own work; the timer does the rest.
pub const COMMAND_BUDGET: usize = 32;

/// The most steps that were due at once in one queue when the timer came to it.
static DEFERRED_MAX: AtomicU64 = AtomicU64::new(0);

/// After how many ms the timer comes back to a key whose slot is another node's.
const SLOT_RETRY_MS: u64 = 50;

/// The most steps that were due at once in one queue when the timer came to it. Counted where one
/// turn of the timer did not do them all.
pub fn deferred_max() -> u64 {
    DEFERRED_MAX.load(Relaxed)
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
    /// Buffers that one writing command after the other uses, so that they need not be allocated
    /// each time. Not there while a command has them.
    static EFFECTS: Cell<Option<Box<Effects>>> = const { Cell::new(None) };
}

/// What a command works with.
pub struct Work<'w> {
    /// The queue of the key.
    pub queue: &'w mut Queue,
    /// The time of the command.
    pub now: Now,
    /// Where what it does is noted, for `replicate` and `announce`.
    pub fx: &'w mut Effects,
}

/// Runs `body`, a writing command, on the queue at the key that argument 1 names.
///
/// # Errors
/// WRONGTYPE if the key holds anything else, and those of `body`. What `body` has done before it
/// refuses stands, and is replicated.
#[inline]
pub fn write<R>(
    ctx: Context<'_>,
    args: Args<'_>,
    body: impl FnOnce(&mut Work<'_>) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    write_to(ctx, args.string(1), context::now(), true, body)
}

/// As [`write`], for a key that need not be argument 1, at a time that was read before. If `body`
/// `may_create` a queue, a new one is told of the clients that wait for its name.
///
/// # Errors
/// As [`write`].
pub fn write_to<R>(
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
            // A missing key behaves as an empty queue; the first change creates it.
            let mut stored = Box::<QueueKey>::default();
            if may_create {
                waiting::attach(&mut stored, ctx.db(), name.bytes(), now);
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

/// What MOVE is asked.
pub struct Move<'a> {
    /// The item to move.
    pub item: &'a [u8],
    /// The token of the lock it must be under, if it is locked.
    pub token: Option<u64>,
    /// The priority it has from now on, if not that which it had.
    pub priority: Option<i32>,
}

/// Moves an item from the queue at `source` to that at `destination`, two different keys.
///
/// # Errors
/// If there is no such item, one of the queues does not let it pass, or a key holds another type.
pub fn move_item(
    ctx: Context<'_>,
    source: ServerStr<'_>,
    destination: ServerStr<'_>,
    wish: &Move<'_>,
) -> Result<(), Refusal> {
    let mut from = Key::<QueueKey>::open(ctx, source, Mode::Write)?;
    let mut to = Key::<QueueKey>::open(ctx, destination, Mode::Write)?;
    let now = context::now();
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
        .check_move_out(now, wish.item, wish.token)
        .and_then(|out| {
            to.get()
                .map_or(Ok(()), |r| r.queue.check_move_in(wish.item))?;
            fx.admit().and_then(|()| to_fx.admit())?;
            Ok(out)
        });
    if let Ok(out) = &moved {
        if to.get().is_none() {
            let mut created = Box::<QueueKey>::default();
            waiting::attach(&mut created, ctx.db(), destination.bytes(), now);
            to.set(created);
        }
        if let Some(receiving) = to.get_mut() {
            let (source, to) = (&mut stored.queue, &mut receiving.queue);
            source.move_item(now, out.clone(), wish.priority, to, &mut fx, &mut to_fx);
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
    Ok(())
}

/// Tells a queue of clients that wait for it, and does what is due, at most `budget` steps of it.
/// Answers how many it did. Nothing is due while the stream for its events is missing.
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
        waiting::attach(stored, ctx.db(), name.bytes(), now);
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
    context::note_token(stored.queue.last_token(), now);
    ctx.replicate(APPLY_QUEUE, name, fx.record.bytes());
    ctx.signal_modified(name);
    stored.changed(ctx, name);
}

/// Tells everybody else what happened. The key must be closed: what is called here may open it.
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
    waiting::answers(ctx, ctx.db(), key, &mut fx.answers, now);
}

/// The channel on which a moderator hears of items they are given. It is in the slot of the key.
fn channel(key: &[u8], moderator: &[u8]) -> Vec<u8> {
    let (open, close): (&[u8], &[u8]) = match has_hash_tag(key) {
        true => (b"", b""),
        false => (b"{", b"}"),
    };
    [b"modq:", open, key, close, b":", moderator].concat()
}

/// Does what is due on the queue at a key, at most `budget` steps of it. Answers how many steps were
/// done and when the next is due (Unix ms), if the key still holds a queue and one is. The caller
/// notes that time in the schedule.
pub fn advance(
    ctx: Context<'_>,
    name: ServerStr<'_>,
    now: Now,
    budget: usize,
) -> (usize, Option<u64>) {
    // While a slot is being imported, its keys are not changed here, as a replica does not change
    // its keys. Come back soon, whatever the queue's next due time: what becomes due meanwhile is
    // not noted in the schedule, because the queue takes an earlier time for scheduled.
    if ctx.flags().is_cluster() && next_due(ctx, name).is_some() && !ctx.owns(name) {
        return (0, Some(now.ms + SLOT_RETRY_MS));
    }
    let Ok(mut key) = Key::<QueueKey>::open(ctx, name, Mode::Unattended) else {
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
    let key = Key::<QueueKey>::open(ctx, name, Mode::Glance).ok()?;
    key.get()?.queue.next_due()
}

/// Undoes a match whose client went away before it was answered. Answers false if that has to be
/// tried again later, because the stream for the queue's events is missing.
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

/// Runs `body`, a reading command, on the queue at the key that argument 1 names, if there is one.
///
/// # Errors
/// WRONGTYPE if the key holds anything else.
pub fn read<R>(
    ctx: Context<'_>,
    args: Args<'_>,
    body: impl FnOnce(&Queue, Now) -> R,
) -> Result<Option<R>, Refusal> {
    let key = Key::<QueueKey>::open(ctx, args.string(1), Mode::Read)?;
    let now = context::now();
    Ok(key.get().map(|stored| body(&stored.queue, now)))
}
