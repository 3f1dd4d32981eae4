//! The event streams of queues: whether one lets a queue change, and writing to it.

use super::queue_key::QueueKey;
use crate::server::context::{Context, Word};
use crate::server::key::{Found, Name, look};
use modq_core::queue::{Effects, Gate};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Events that could not be written.
static EVENTS_DROPPED: AtomicU64 = AtomicU64::new(0);

/// While an event stream is missing in cluster mode, look again after this many ms.
pub const STREAM_RETRY_MS: u64 = 100;

/// How many events could not be written.
pub fn events_dropped() -> u64 {
    EVENTS_DROPPED.load(Relaxed)
}

/// What the event stream of a queue lets happen.
#[inline]
pub(super) fn gate(ctx: Context<'_>, stored: &QueueKey) -> Gate {
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

/// Writes what happened to the event streams.
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

/// In cluster mode nothing but CONFIGURE makes a stream: so it has to make one that has no events.
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
