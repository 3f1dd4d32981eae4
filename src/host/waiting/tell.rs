//! Telling a queue which calls wait for its name.
//!
//! A queue matches blocked calls by itself, so it has to know of them. It is told in portions, in
//! the order of the line, before it does anything else. Until it was told of all, it counts this as
//! work to be done, and matches only those who stand in front of the next call it is to be told of.

use super::register::{KeyName, clients, with};
use crate::host::queue_key::QueueKey;
use modq_core::queue::{Block, CallId, Place};
use modq_core::units::Time;
use serde_bytes::Bytes;
use std::collections::HashSet;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many calls a queue is told of at a time.
const PORTION: usize = 100;

/// How often databases have changed places. A queue that was in another database meanwhile may have
/// missed that a call ended, so what it was told before does not count.
pub(super) static DATABASE_SWAPS: AtomicU64 = AtomicU64::new(0);

/// What a queue has been told: of the calls that wait for which name, and of how many of them.
pub struct Told {
    /// `DATABASE_SWAPS` at that time.
    swaps: u64,
    name: KeyName,
    /// The last call in line that the queue was told of; none once it knows of all.
    up_to: Option<(Place, CallId)>,
}

impl Told {
    /// Whether this is still true of a queue at this name.
    #[inline]
    fn is_of(&self, db: i32, key: &[u8]) -> bool {
        self.swaps == DATABASE_SWAPS.load(Relaxed) && self.name.0 == db && *self.name.1 == *key
    }
}

/// Whether the queue at this name knows of all calls that wait for this name, and of no others.
pub(super) fn knows_all(stored: &QueueKey, db: i32, key: &[u8]) -> bool {
    let told = stored.told.as_ref();
    told.is_some_and(|told| told.is_of(db, key) && told.up_to.is_none())
}

/// Makes sure that the queue at this name knows of no calls but those that wait for this name, and
/// tells it of the next portion of them.
pub fn tell_queue(stored: &mut QueueKey, db: i32, key: &[u8], now: Time) {
    if clients() == 0 && stored.queue.blocked() == 0 && stored.queue.knows_line() {
        return;
    }
    let told = stored.told.as_ref().filter(|told| told.is_of(db, key));
    let after = match told.map(|told| told.up_to) {
        Some(None) => return,
        Some(Some(after)) => after,
        None => {
            stored.queue.unblock_all(now);
            <(Place, CallId)>::default()
        }
    };
    let mut told = Told {
        swaps: DATABASE_SWAPS.load(Relaxed),
        name: (db, key.into()),
        up_to: None,
    };
    let mut next = None;
    with(|register| {
        let Some(calls) = register.by_name.get(&told.name) else {
            return;
        };
        let mut rest = calls.range((Bound::Excluded(after), Bound::Unbounded));
        for (place, id) in rest.by_ref().take(PORTION) {
            told.up_to = Some((*place, *id));
            let Some(call) = register.calls.get(id).filter(|call| call.is_unmatched()) else {
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
        told.up_to = None;
    }
    stored.queue.line_known_before(next);
    stored.told = Some(Box::new(told));
}

/// Tells the queue portion after portion, until it knows of all who wait for its name, or of `most`
/// moderators.
pub fn tell_most(stored: &mut QueueKey, db: i32, key: &[u8], most: usize, now: Time) {
    tell_queue(stored, db, key, now);
    while !stored.queue.knows_line() && stored.queue.waiting() < most {
        tell_queue(stored, db, key, now);
    }
}

/// How many moderators wait for a name in blocked calls.
pub fn moderators(db: i32, key: &[u8]) -> usize {
    with(|register| {
        let name = (db, key.into());
        let calls = register.unmatched_at(&name);
        let moderators: HashSet<&[u8]> = calls.map(|call| &*call.moderator).collect();
        moderators.len()
    })
}
