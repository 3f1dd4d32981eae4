//! Whether a queue may keep the event stream it is bound to. Who binds a queue to a stream with
//! CONFIGURE needs rights on it; then the queue writes to it, whoever works on the queue. So a queue
//! that a client brings by other means (RESTORE, COPY, MOVE) keeps its stream only if that client has
//! rights on it. If not, it comes without.
//!
//! The stream is taken away where the queue stands, before any command sees it. Replicas and the AOF
//! are told later: in the midst of a RESTORE they do not have the queue yet. They are told at the end
//! of the turn, or before the next command that renames, moves or copies a key, under the name by
//! which they know the queue.

use super::clock;
use super::queue_key::QueueKey;
use super::queues::APPLY_QUEUE;
use super::schedule;
use crate::server::args::ServerStr;
use crate::server::context::{Context, must_not_replicate};
use crate::server::key::{Key, Mode, Name};
use crate::server::log::log_warning;
use modq_core::queue::{Effect, Record, Settings};
use modq_core::units::Time;
use std::sync::{Mutex, PoisonError};

/// A queue has lost its stream, and replicas and the AOF have yet to be told.
#[derive(Debug, Clone, Copy)]
pub(super) struct LostStream {
    /// When it was.
    at: Time,
    /// Which of those it is that are to be told of.
    number: u64,
}

/// Where replicas and the AOF know a queue that has lost its stream.
struct Untold {
    number: u64,
    db: i32,
    name: Box<[u8]>,
}

/// All of them; the last has the largest number.
static UNTOLD: Mutex<Vec<Untold>> = Mutex::new(Vec::new());

fn with_untold<R>(body: impl FnOnce(&mut Vec<Untold>) -> R) -> R {
    body(&mut UNTOLD.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A key came to a name, by a command that is replicated after this.
pub fn key_arrived(ctx: Context<'_>, name: ServerStr<'_>) {
    if with_untold(|untold| untold.is_empty()) {
        return;
    }
    let db = ctx.db();
    // It may be one of them, from another name.
    let lost = find(ctx, name).map(|lost| lost.number);
    let known_as = with_untold(|untold| {
        let at = untold.iter().position(|u| Some(u.number) == lost)?;
        Some(untold.remove(at))
    });
    if let Some(known_as) = known_as {
        tell(ctx, name, &known_as);
    }
    // It may be a copy of one, which they make of what they have.
    for known_as in with_untold(std::mem::take) {
        if ctx.select_db(known_as.db) {
            tell(ctx, Name::new(&known_as.name).get(), &known_as);
        }
    }
    ctx.select_db(db);
}

/// What the queue of a key has lost.
fn find(ctx: Context<'_>, name: ServerStr<'_>) -> Option<LostStream> {
    let key = Key::<QueueKey>::open(ctx, name, Mode::Inspect).ok()?;
    key.get()?.lost_stream.as_deref().copied()
}

/// Tells replicas and the AOF how the queue of a key is set up, unless it is another one by now.
fn tell(ctx: Context<'_>, name: ServerStr<'_>, known_as: &Untold) {
    let Ok(mut key) = Key::<QueueKey>::open(ctx, name, Mode::Inspect) else {
        return;
    };
    let Some(stored) = key.get_mut() else {
        return;
    };
    let lost = stored
        .lost_stream
        .take_if(|lost| lost.number == known_as.number);
    let Some(lost) = lost else {
        return;
    };
    let settings = stored.queue.settings().clone();
    let mut record = Record::default();
    // At the time at which it was done here: stamps are the same on both sides.
    record.push(lost.at, &Effect::Configure { settings });
    drop(key);
    let there = Name::new(&known_as.name);
    if ctx.select_db(known_as.db) {
        ctx.replicate(APPLY_QUEUE, there.get(), record.bytes());
    }
}

/// Two databases changed places.
pub fn databases_swapped(first: i32, second: i32) {
    with_untold(|untold| {
        for Untold { db, .. } in untold {
            *db = match *db {
                at if at == first => second,
                at if at == second => first,
                other => other,
            };
        }
    });
}

/// A client brought the queue of a key. If it has no rights on the queue's stream, the queue loses it.
pub fn check(ctx: Context<'_>, name: ServerStr<'_>) {
    // A replica does what its primary does. What is loaded was checked when it came.
    if !ctx.flags().is_active_primary() {
        return;
    }
    let Some((db, stream)) = stream_of(ctx, name) else {
        return;
    };
    // The key is closed: the server is asked.
    if ctx.runs_with_rights_on(&stream) {
        return;
    }
    if let Ok(mut key) = Key::<QueueKey>::open(ctx, name, Mode::Inspect) {
        if let Some(stored) = key.get_mut() {
            let settings = Settings {
                events: Vec::new(),
                ..stored.queue.settings().clone()
            };
            let (at, configured) = (clock::now().time, Effect::Configure { settings });
            let applied = stored.guarded(|queue| Ok(queue.apply(at, &configured)));
            debug_assert!(matches!(applied, Ok(Ok(_))), "it always fits");
            let number = with_untold(|untold| {
                let number = untold.last().map_or(0, |last| last.number + 1);
                let name = name.bytes().into();
                untold.push(Untold { number, db, name });
                number
            });
            stored.lost_stream = Some(Box::new(LostStream { at, number }));
            log_warning(
                "a queue was brought by a client that has no rights on its event stream: it writes no events \
                 until CONFIGURE names a stream",
            );
        }
    }
}

/// The stream of the queue of a key, and the key's database.
fn stream_of(ctx: Context<'_>, name: ServerStr<'_>) -> Option<(i32, Box<[u8]>)> {
    let mut key = Key::<QueueKey>::open(ctx, name, Mode::Inspect).ok()?;
    let db = key.db().unwrap_or_else(|| ctx.db());
    let stream = &key.get_mut()?.queue.settings().events;
    (!stream.is_empty()).then(|| (db, stream.as_slice().into()))
}

/// At the end of a turn of the event loop: tells replicas and the AOF what is left to tell.
pub fn turn_ends(ctx: Context<'_>) {
    if with_untold(|untold| untold.is_empty()) {
        return;
    }
    if !ctx.flags().is_active_primary() {
        // What the primary sends now counts.
        with_untold(Vec::clear);
        return;
    }
    if must_not_replicate() {
        schedule::tick_within(ctx, 1);
        return;
    }
    for known_as in with_untold(std::mem::take) {
        if ctx.select_db(known_as.db) {
            tell(ctx, Name::new(&known_as.name).get(), &known_as);
        }
    }
}
