//! The event streams of queues: whether the state of the stream lets a queue change, writing events
//! to it, and what was trimmed of it before its readers had it.

use super::clock;
use super::peak::Peak;
use super::queue_key::QueueKey;
use crate::server::context::{Context, Word};
use crate::server::key::{Found, Name, look};
use crate::server::stream::{Group, Id, Stream};
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

/// The largest answer of `missed` of late.
static MISSED_MAX: Mutex<Peak> = Mutex::new(Peak::new());

/// The most events that one group has missed, as far as `missed` was asked in this or the last quarter
/// of an hour.
pub fn missed_max() -> u64 {
    let mut peak = MISSED_MAX.lock().unwrap_or_else(PoisonError::into_inner);
    peak.get(clock::now().time)
}

/// How many entries of a stream were trimmed before a consumer group had read them: of the group that
/// missed most. None if the server does not tell enough to know, and no group is known to have missed
/// any. No key of ours may be open.
pub fn missed(ctx: Context<'_>, stream: &[u8]) -> Option<u64> {
    if stream.is_empty() {
        return Some(0);
    }
    if look(ctx, Name::new(stream).get()) == Found::Nothing {
        // As in `gate`: in a cluster it may be elsewhere.
        return (!ctx.flags().is_cluster()).then_some(0);
    }
    let (state, groups) = (ctx.stream(stream)?, ctx.stream_groups(stream)?);
    let each = groups.iter().map(|group| missed_by(&state, group));
    let most = most_of(each)?;
    let mut peak = MISSED_MAX.lock().unwrap_or_else(PoisonError::into_inner);
    peak.note(most, clock::now().time);
    Some(most)
}

/// The largest number. None if one is not known, and no other is above 0.
fn most_of(each: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    let (most, all_known) = each.fold((0, true), |(most, known), n| {
        (most.max(n.unwrap_or(0)), known && n.is_some())
    });
    (all_known || most > 0).then_some(most)
}

/// How many entries were trimmed that a group has not read. None if that cannot be known: entries were
/// deleted besides (XDEL), or the server has lost count of what the group has read.
fn missed_by(stream: &Stream, group: &Group) -> Option<u64> {
    const NONE: Id = (0, 0);
    let gone = stream.added.saturating_sub(stream.length);
    let has_next = stream.length > 0 && group.delivered >= stream.first;
    if gone == 0 || has_next || group.delivered >= stream.last {
        return Some(0);
    }
    // All that is gone was before the first that is there, if nothing was deleted from behind that.
    if stream.max_deleted != NONE && (stream.length == 0 || stream.max_deleted >= stream.first) {
        return None;
    }
    let read = group.read.or((group.delivered == NONE).then_some(0))?;
    Some(gone.saturating_sub(read))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that ever had `added` entries, whose IDs are 1-0 and so on, and still has the last `length`.
    fn stream(added: u64, length: u64) -> Stream {
        Stream {
            length,
            added,
            first: (if length > 0 { added - length + 1 } else { 0 }, 0),
            last: (added, 0),
            max_deleted: (0, 0),
        }
    }

    /// A group that was given the entries up to this one.
    fn at(n: u64, read: Option<u64>) -> Group {
        Group {
            delivered: (n, 0),
            read,
        }
    }

    #[test]
    fn missed_is_what_went_before_it_was_read() {
        for (stream, group, missed) in [
            (stream(0, 0), at(0, None), Some(0)),
            (stream(10, 10), at(0, None), Some(0)),
            (stream(10, 4), at(0, None), Some(6)),
            (stream(10, 4), at(0, Some(0)), Some(6)),
            (stream(10, 4), at(5, Some(5)), Some(1)),
            // It read the last that was trimmed: the next is the first there is.
            (stream(10, 4), at(6, Some(6)), Some(0)),
            (stream(10, 4), at(7, Some(7)), Some(0)),
            (stream(10, 4), at(7, None), Some(0)),
            (stream(10, 4), at(10, Some(10)), Some(0)),
            (stream(10, 0), at(10, None), Some(0)),
            (stream(10, 0), at(3, Some(3)), Some(7)),
            // The server does not know how far it had come.
            (stream(10, 4), at(5, None), None),
        ] {
            assert_eq!(missed_by(&stream, &group), missed, "{stream:?} {group:?}");
        }
    }

    #[test]
    fn what_was_deleted_is_not_taken_for_trimmed() {
        let deleted = |stream: Stream, n| Stream {
            max_deleted: (n, 0),
            ..stream
        };
        let behind = at(5, Some(5));
        assert_eq!(missed_by(&deleted(stream(10, 4), 8), &behind), None);
        assert_eq!(missed_by(&deleted(stream(10, 0), 10), &behind), None);
        // Trimmed itself since.
        assert_eq!(missed_by(&deleted(stream(10, 4), 2), &behind), Some(1));
        assert_eq!(missed_by(&deleted(stream(10, 4), 8), &at(7, None)), Some(0));
    }

    #[test]
    fn the_most_is_known_if_any_is_or_all_are() {
        let most = |each: &[Option<u64>]| most_of(each.iter().copied());
        assert_eq!(most(&[]), Some(0));
        assert_eq!(most(&[Some(0), Some(7), Some(3)]), Some(7));
        assert_eq!(most(&[None, Some(7)]), Some(7));
        assert_eq!(most(&[None, Some(0)]), None);
    }
}
