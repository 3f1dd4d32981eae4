//! Whether a queue may keep the event stream it is bound to. Who binds a queue to a stream with
//! CONFIGURE needs rights on it; then the queue writes to it, whoever works on the queue. So a queue
//! that a client brings by other means (RESTORE, COPY, MOVE) keeps its stream only if that client has
//! rights on it. If not, it comes without.
//!
//! The stream is taken away where the queue stands, before any command sees it. Replicas and the AOF
//! are told at the end of the turn: in the midst of a RESTORE they do not have the queue yet.

use super::clock;
use super::queue_key::QueueKey;
use super::queues::APPLY_QUEUE;
use super::schedule;
use crate::server::args::ServerStr;
use crate::server::context::{Context, must_not_replicate};
use crate::server::key::{Key, Mode, Name};
use crate::server::log::log_warning;
use modq_core::queue::{Effect, Record, Settings};
use std::sync::{Mutex, PoisonError};

/// A key: its database and its name.
type Place = (i32, Box<[u8]>);

/// Where replicas and the AOF have yet to be told.
static TO_TELL: Mutex<Vec<Place>> = Mutex::new(Vec::new());

fn with_places<R>(body: impl FnOnce(&mut Vec<Place>) -> R) -> R {
    body(&mut TO_TELL.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A key came to a name. If it is one that replicas have yet to be told of, it is under this name that
/// they know it now.
pub fn key_arrived(ctx: Context<'_>, name: ServerStr<'_>) {
    if with_places(|places| places.is_empty()) {
        return;
    }
    if let Ok(key) = Key::<QueueKey>::open(ctx, name, Mode::Inspect) {
        let db = key.db().unwrap_or_else(|| ctx.db());
        with_places(|places| places.push((db, name.bytes().into())));
    }
}

/// Two databases changed places.
pub fn databases_swapped(first: i32, second: i32) {
    with_places(|places| {
        for (db, _) in places {
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
            let configured = Effect::Configure { settings };
            let applied = stored.guarded(|queue| Ok(queue.apply(clock::now().time, &configured)));
            debug_assert!(matches!(applied, Ok(Ok(_))), "it always fits");
            with_places(|places| places.push((db, name.bytes().into())));
            log_warning(
                "a queue was brought by a client that has no rights on its event stream: it writes no events \
                 until CONFIGURE names a stream",
            );
        }
    }
}

/// The stream of the queue of a key, and the key's database.
fn stream_of(ctx: Context<'_>, name: ServerStr<'_>) -> Option<Place> {
    let mut key = Key::<QueueKey>::open(ctx, name, Mode::Inspect).ok()?;
    let db = key.db().unwrap_or_else(|| ctx.db());
    let stream = &key.get_mut()?.queue.settings().events;
    (!stream.is_empty()).then(|| (db, stream.as_slice().into()))
}

/// At the end of a turn of the event loop: tells replicas and the AOF how the queues are set up that
/// lost their stream, as far as they still stand where they were.
pub fn turn_ends(ctx: Context<'_>) {
    if with_places(|places| places.is_empty()) {
        return;
    }
    if !ctx.flags().is_active_primary() {
        // What the primary sends now counts.
        with_places(Vec::clear);
        return;
    }
    if must_not_replicate() {
        schedule::tick_within(ctx, 1);
        return;
    }
    for (db, name) in with_places(std::mem::take) {
        let name = Name::new(&name);
        if !ctx.select_db(db) {
            continue;
        }
        if let Ok(key) = Key::<QueueKey>::open(ctx, name.get(), Mode::Inspect) {
            if let Some(stored) = key.get() {
                let mut record = Record::default();
                let settings = stored.queue.settings().clone();
                record.push(clock::now().time, &Effect::Configure { settings });
                ctx.replicate(APPLY_QUEUE, name.get(), record.bytes());
            }
        }
    }
}
