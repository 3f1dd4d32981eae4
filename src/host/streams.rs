//! The event streams of queues: whether the state of the stream lets a queue change, and writing
//! events to it.

use super::queue_key::QueueKey;
use crate::server::context::{Context, Word};
use crate::server::key::{Found, Name, look};
use modq_core::queue::{Effects, Gate};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Events that could not be written.
static EVENTS_DROPPED: AtomicU64 = AtomicU64::new(0);

/// After how many ms the timer comes back to a queue whose event stream is missing (in a cluster).
pub const STREAM_RETRY_MS: u64 = 100;

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
        Found::Stream => Gate::Open,
        Found::Other => Gate::WrongType,
        // The slot may be on its way between two nodes, and the stream on the other one. Writing an
        // event here would create a second stream of that name.
        Found::Nothing if ctx.flags().is_cluster() => Gate::Missing,
        Found::Nothing => Gate::Open,
    }
}

/// Writes the events in `fx` to their streams, and takes them out of `fx`. `key` is the queue's.
pub(super) fn write_events(ctx: Context<'_>, key: &[u8], fx: &mut Effects) {
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
