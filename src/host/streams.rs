//! The event streams of queues: whether the state of the stream lets a queue change, and writing
//! events to it.

use super::queue_key::QueueKey;
use crate::server::context::{Context, Word};
use crate::server::key::{Found, Name, look};
use modq_core::queue::{Batch, Gate};
use modq_core::units::Millis;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Events that could not be written.
static EVENTS_DROPPED: AtomicU64 = AtomicU64::new(0);

/// While an event stream is missing in cluster mode, look again after this.
pub const STREAM_RETRY: Millis = Millis(100);

/// How many events could not be written since the server started.
pub fn events_dropped() -> u64 {
    EVENTS_DROPPED.load(Relaxed)
}

/// Whether a queue may change, as far as the stream for its events is concerned.
#[inline]
pub(super) fn gate(ctx: Context<'_>, stored: &QueueKey) -> Gate {
    let stream = &stored.queue.settings().events;
    if stream.is_empty() {
        return Gate::Open;
    }
    match look(ctx, Name::new(stream).get()) {
        Found::Stream if is_known_exhausted(ctx, stream) => Gate::WrongType,
        Found::Stream => Gate::Open,
        Found::Other => Gate::WrongType,
        // The slot may be on its way between two nodes, and the stream on the other one. Writing an
        // event here would create a second stream of that name.
        Found::Nothing if ctx.flags().is_cluster() => Gate::Missing,
        Found::Nothing => Gate::Open,
    }
}

/// The streams that were found to have given their last ID. Somebody must have written to them with
/// that ID, since the server takes IDs from its clock. So nobody asks about other streams.
static EXHAUSTED: Mutex<BTreeSet<(i32, Box<[u8]>)>> = Mutex::new(BTreeSet::new());

/// Whether there is any in `EXHAUSTED`.
static SOME_EXHAUSTED: AtomicBool = AtomicBool::new(false);

fn with_exhausted<R>(body: impl FnOnce(&mut BTreeSet<(i32, Box<[u8]>)>) -> R) -> R {
    let mut exhausted = EXHAUSTED.lock().unwrap_or_else(PoisonError::into_inner);
    let result = body(&mut exhausted);
    SOME_EXHAUSTED.store(!exhausted.is_empty(), Relaxed);
    result
}

/// Whether a stream has given its last ID, so that no event can be written to it. Asks the server,
/// and remembers it if it is so.
pub fn is_exhausted(ctx: Context<'_>, stream: &[u8]) -> bool {
    let (name, found) = ((ctx.db(), stream.into()), ctx.is_exhausted(stream));
    with_exhausted(|exhausted| match found {
        true => exhausted.insert(name),
        false => exhausted.remove(&name),
    });
    found
}

/// As `is_exhausted` of a stream that was found to be so before, and still is; any other is taken
/// not to be.
#[inline]
fn is_known_exhausted(ctx: Context<'_>, stream: &[u8]) -> bool {
    if !SOME_EXHAUSTED.load(Relaxed) {
        return false;
    }
    let name = (ctx.db(), stream.into());
    with_exhausted(|exhausted| exhausted.contains(&name)) && is_exhausted(ctx, stream)
}

/// Writes what happened to the event streams.
pub(super) fn write_events(ctx: Context<'_>, key: &[u8], batches: &mut Vec<Batch>) {
    use Word::{Bytes, Known};
    let in_cluster = ctx.flags().is_cluster();
    for batch in batches.drain(..) {
        let max_len = batch.max_len.to_string();
        for event in &batch.events {
            let (rev, at) = (event.rev.0.to_string(), event.at.0.to_string());
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
                is_exhausted(ctx, &batch.stream);
            }
        }
    }
}

/// Creates an empty stream in cluster mode, where events do not create it (see `gate`). Outside a
/// cluster the first event does.
pub fn create_stream(ctx: Context<'_>, stream: &[u8]) {
    let missing = look(ctx, Name::new(stream).get()) == Found::Nothing;
    if missing && ctx.flags().is_cluster() {
        use Word::{Bytes, Known};
        let (key, group) = (Bytes(stream), Known("modq"));
        let create = [Known("CREATE"), key, group, Known("$"), Known("MKSTREAM")];
        ctx.call(c"XGROUP", &create);
        ctx.call(c"XGROUP", &[Known("DESTROY"), key, group]);
    }
}
