//! Blocked calls: clients that wait in a CLAIM. The host says who waits; a match answers them.

use super::Line;
use crate::memory::{alloc_size, counted};
use crate::queue::Queue;
use crate::queue::effect::Names;
use crate::queue::store::{ModeratorSlot, Place, Store, TagList};
use crate::units::{Millis, Time};
use smallvec::SmallVec;

/// The host's number for a blocked call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// A client that is about to wait in a blocked CLAIM.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    /// The host's number for it.
    pub call: CallId,
    /// For whom it waits.
    pub moderator: &'a [u8],
    /// What they offer; none: the tags joined with.
    pub tags: Option<Names<'a>>,
    /// Wants only newly locked items.
    pub new_only: bool,
    /// How long a lock lasts; none is the queue's setting.
    pub lock: Option<Millis>,
    /// Where they stand: in every queue of the call the same.
    pub place: Place,
}

/// A client that waits in a blocked CLAIM.
#[derive(Debug, Clone)]
pub(in crate::queue) struct BlockedCall {
    pub call: CallId,
    pub place: Place,
    pub tags: TagList,
    /// The tags were given with the call; else it follows the registration's.
    pub own_tags: bool,
    pub new_only: bool,
    pub lock: Option<Millis>,
}

impl Line {
    /// The blocked calls of a moderator.
    #[inline]
    pub(in crate::queue) fn calls_of(&self, moderator: ModeratorSlot) -> &[BlockedCall] {
        if self.blocked == 0 {
            return &[];
        }
        self.calls.get(&moderator).map_or(&[], |calls| calls)
    }

    /// How many blocked calls there are.
    #[inline]
    pub(in crate::queue) fn blocked(&self) -> usize {
        self.blocked
    }

    /// The last sign of life of a registered moderator that was not a JOIN.
    pub(in crate::queue) fn last_call_ended(&self, moderator: ModeratorSlot) -> Option<Time> {
        self.last_call_ended.get(&moderator).copied()
    }

    /// Whatever the clock said before, it is no later than `now`.
    pub(in crate::queue) fn seen_by(&mut self, moderator: ModeratorSlot, now: Time) {
        if let Some(seen) = self.last_call_ended.get_mut(&moderator) {
            *seen = now.min(*seen);
        }
    }

    fn add_call(&mut self, store: &mut Store, block: &Block<'_>) {
        self.note_place(Some(block.place));
        let moderator = store.refer(block.moderator);
        let call = BlockedCall {
            call: block.call,
            place: block.place,
            tags: store.refer_tags(block.tags.as_deref().unwrap_or(&[])),
            own_tags: block.tags.is_some(),
            new_only: block.new_only,
            lock: block.lock,
        };
        self.blocked += 1;
        let calls = self.calls.entry(moderator).or_default();
        // One more like their last, behind it, changes nothing about how they stand in line.
        let alike = calls.last().is_some_and(|last| {
            last.place <= call.place && (last.tags, last.own_tags) == (call.tags, call.own_tags)
        });
        counted(calls, &mut self.heap, list_bytes, |calls| calls.push(call));
        if !alike {
            self.refresh_standing_of(store, moderator);
        }
    }

    fn refresh_standing_of(&mut self, store: &Store, moderator: ModeratorSlot) {
        let registered = store.moderators()[moderator].profile.is_some();
        self.refresh_standing(store, moderator, registered);
    }

    /// These calls of a moderator, in the order they are kept in, wait no longer.
    pub(in crate::queue) fn remove_calls(
        &mut self,
        store: &mut Store,
        moderator: ModeratorSlot,
        gone: &[CallId],
        now: Time,
    ) {
        let Some(calls) = self.calls.get_mut(&moderator).filter(|_| !gone.is_empty()) else {
            return;
        };
        let mut gone = gone.iter().peekable();
        let mut lists = SmallVec::<[TagList; 4]>::new();
        calls.retain(|b| {
            let goes = gone.next_if(|call| **call == b.call).is_some();
            lists.extend(goes.then_some(b.tags));
            !goes
        });
        if calls.is_empty() {
            self.heap -= list_bytes(calls);
            self.calls.remove(&moderator);
        }
        self.blocked -= lists.len();
        self.note_sign_of_life(store, moderator, now);
        self.refresh_standing_of(store, moderator);
        for list in lists {
            store.unrefer_tags(list);
            store.unrefer(moderator);
        }
    }

    fn note_sign_of_life(&mut self, store: &mut Store, moderator: ModeratorSlot, now: Time) {
        if store.moderators()[moderator].profile.is_some() {
            store.note_set(now);
            let seen = self.last_call_ended.entry(moderator).or_default();
            *seen = now.max(*seen);
        }
    }

    /// Forgets all blocked calls, and makes the line anew of who joined: about half of what taking
    /// out each would cost.
    fn remove_all_calls(&mut self, store: &mut Store, now: Time) {
        self.order.clear();
        self.standings.clear();
        self.takers.clear();
        self.heap = 0;
        self.blocked = 0;
        for (moderator, calls) in std::mem::take(&mut self.calls) {
            self.note_sign_of_life(store, moderator, now);
            for call in calls {
                store.unrefer_tags(call.tags);
                store.unrefer(moderator);
            }
        }
        let joined = store.moderators().iter();
        let joined = joined.filter(|(_, m)| m.profile.is_some()).map(|(m, _)| m);
        for moderator in joined.collect::<Vec<_>>() {
            self.refresh_standing(store, moderator, true);
        }
    }
}

pub(super) fn list_bytes(calls: &Vec<BlockedCall>) -> usize {
    alloc_size(calls.capacity() * size_of::<BlockedCall>())
}

/// What the host says of clients that wait. None of it is an effect: only the primary knows of
/// them.
impl Queue {
    /// A client waits in line from now on.
    pub fn block(&mut self, block: &Block<'_>) {
        self.line.add_call(&mut self.store, block);
    }

    /// A client no longer waits. Answers whether it did.
    pub fn unblock(&mut self, now: Time, call: CallId, moderator: &[u8]) -> bool {
        let Some(slot) = self.store.moderators().find(moderator) else {
            return false;
        };
        let waited = self.line.calls_of(slot).iter().any(|b| b.call == call);
        if waited {
            self.line.remove_calls(&mut self.store, slot, &[call], now);
        }
        waited
    }

    /// How many blocked calls wait here.
    #[must_use]
    pub fn blocked(&self) -> usize {
        self.line.blocked()
    }

    /// Forgets all blocked calls: the queue is about to be known by another name.
    pub fn unblock_all(&mut self, now: Time) {
        self.line.unknown_from = None;
        if self.line.blocked() > 0 {
            self.line.remove_all_calls(&mut self.store, now);
        }
    }

    /// Blocked calls that stand at this place or behind it (none: nowhere) are not all known yet.
    /// Nobody there is matched until they are; who stands in front is looked at by the next tick.
    pub fn line_known_before(&mut self, place: Option<Place>) {
        let line = &mut self.line;
        let from = (
            line.unknown_from.unwrap_or_default(),
            ModeratorSlot::default(),
        );
        line.unknown_from = place;
        line.sweep = Some(line.sweep.map_or(from, |sweep| sweep.min(from)));
    }

    /// Whether all blocked calls are known.
    #[must_use]
    pub fn knows_line(&self) -> bool {
        self.line.knows_all()
    }

    /// Where somebody stands who comes now: behind everyone who came before.
    #[must_use]
    pub fn end_of_line(&self, now: Time) -> Place {
        self.line.end(now.max(self.store.last_at()))
    }
}
