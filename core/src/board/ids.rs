//! The ids of requests, in the order in which they were recorded, so that a retry counts once.
//!
//! They are recorded with the time, which never runs backwards in this order: when the clock is set
//! back, the next effect says so ([`Ids::set_back`]), and from then on all that was recorded later
//! counts as recorded at the time of that effect. That is not written into each of them but kept
//! as a *cap*: all up to a number count as no later than a time.

use crate::id_bytes::{IdBytes, Place};
use crate::memory::alloc_size;
use crate::slab::{Slab, slot_number};
use crate::slot_index::SlotIndex;
use crate::units::{Millis, Time};
use std::collections::VecDeque;

slot_number!(
    /// The slot of an id.
    IdSlot
);

/// A recorded id, and its neighbours in the order of recording.
#[derive(Debug)]
struct Memo {
    id: Place,
    /// When it was recorded. What counts is [`Ids::at`].
    at: Time,
    /// Larger than those of all recorded before.
    number: u64,
    before: Option<IdSlotOrNone>,
    after: Option<IdSlotOrNone>,
}

/// A slot in four bytes with room for none: one more than its number.
type IdSlotOrNone = std::num::NonZeroU32;

fn pack(slot: IdSlot) -> Option<IdSlotOrNone> {
    std::num::NonZeroU32::new(slot.0 + 1)
}

fn unpack(packed: Option<IdSlotOrNone>) -> Option<IdSlot> {
    packed.map(|packed| IdSlot(packed.get() - 1))
}

/// All numbers below `below` count as recorded no later than `at`.
#[derive(Debug, Clone, Copy)]
struct Cap {
    below: u64,
    at: Time,
}

/// The recorded ids of a board.
#[derive(Debug, Default)]
pub(super) struct Ids {
    memos: Slab<IdSlot, Memo>,
    by_id: SlotIndex<IdSlot>,
    first: Option<IdSlot>,
    last: Option<IdSlot>,
    last_number: u64,
    /// The later ones have larger numbers and later times.
    caps: VecDeque<Cap>,
    bytes: IdBytes,
}

impl Ids {
    pub(super) fn len(&self) -> usize {
        self.memos.len()
    }

    fn find(&self, id: &[u8]) -> Option<IdSlot> {
        let hash = self.by_id.hash(id);
        self.by_id
            .find(hash, |slot| self.bytes.get(self.memos[slot].id) == id)
    }

    /// When what is in a slot counts as recorded.
    fn at(&self, slot: IdSlot) -> Time {
        let memo = &self.memos[slot];
        let cap = self.caps.partition_point(|cap| cap.below <= memo.number);
        self.caps
            .get(cap)
            .map_or(memo.at, |cap| memo.at.min(cap.at))
    }

    /// When this id was recorded, if it was.
    pub(super) fn recorded(&self, id: &[u8]) -> Option<Time> {
        self.find(id).map(|slot| self.at(slot))
    }

    /// When the first was recorded.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.first.map(|slot| self.at(slot))
    }

    /// When the last was recorded.
    pub(super) fn newest(&self) -> Option<Time> {
        self.last.map(|slot| self.at(slot))
    }

    /// The ids and when they were recorded, in this order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Time)> {
        let next = |slot: &IdSlot| unpack(self.memos[*slot].after);
        let slots = std::iter::successors(self.first, next);
        slots.map(|slot| (self.bytes.get(self.memos[slot].id), self.at(slot)))
    }

    /// How many of the first, at most `most`, are no longer remembered at `now`.
    pub(super) fn expired(&self, now: Time, retry: Millis, most: usize) -> usize {
        let ended = |(_, at): &(&[u8], Time)| *at + retry <= now;
        self.iter().take(most).take_while(ended).count()
    }

    /// The clock says `now`: what was recorded later counts as recorded then.
    pub(super) fn set_back(&mut self, now: Time) {
        if self.newest().is_none_or(|newest| newest <= now) {
            return;
        }
        while self.caps.back().is_some_and(|cap| cap.at >= now) {
            self.caps.pop_back();
        }
        let below = self.last_number + 1;
        self.caps.push_back(Cap { below, at: now });
    }

    /// Records an id, in place of one that is no longer remembered. None was recorded later.
    pub(super) fn record(&mut self, id: &[u8], at: Time) {
        if let Some(slot) = self.find(id) {
            self.remove(slot);
        }
        self.last_number += 1;
        let slot = self.memos.insert(Memo {
            id: self.bytes.add(id),
            at,
            number: self.last_number,
            before: self.last.and_then(pack),
            after: None,
        });
        let (memos, bytes, hash) = (&self.memos, &self.bytes, self.by_id.hash(id));
        self.by_id
            .insert(hash, slot, |slot| bytes.get(memos[slot].id));
        match self.last {
            Some(last) => self.memos[last].after = pack(slot),
            None => self.first = Some(slot),
        }
        self.last = Some(slot);
    }

    /// Forgets the first.
    pub(super) fn forget_first(&mut self) {
        if let Some(first) = self.first {
            self.remove(first);
        }
    }

    fn remove(&mut self, slot: IdSlot) {
        let memo = self.memos.remove(slot);
        let hash = self.by_id.hash(self.bytes.get(memo.id));
        self.by_id.remove(hash, slot);
        self.bytes.remove(memo.id);
        match unpack(memo.before) {
            Some(before) => self.memos[before].after = memo.after,
            None => self.first = unpack(memo.after),
        }
        match unpack(memo.after) {
            Some(after) => self.memos[after].before = memo.before,
            None => self.last = unpack(memo.before),
        }
        let first = self.first.map(|slot| self.memos[slot].number);
        let needed = |cap: &Cap| first.is_some_and(|first| first < cap.below);
        while self.caps.front().is_some_and(|cap| !needed(cap)) {
            self.caps.pop_front();
        }
    }

    /// Bytes of heap, O(1).
    pub(super) fn memory_bytes(&self) -> usize {
        self.memos.memory_bytes()
            + self.by_id.memory_bytes()
            + alloc_size(self.caps.capacity() * size_of::<Cap>())
            + self.bytes.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rule itself: a list of ids with their times.
    #[derive(Default)]
    struct Model(Vec<(Box<[u8]>, Time)>);

    proptest! {
        #[test]
        fn ids_keep_their_order_and_times_whatever_the_clock_does(
            ops in prop::collection::vec((0u8..5, 0u8..40, 0u64..60), 1..500),
        ) {
            let (mut ids, mut model) = (Ids::default(), Model::default());
            for (op, id, now) in ops {
                // Of lengths that fill blocks of every size.
                let (id, now) = (vec![id; 1 + usize::from(id) * 13 % 512], Time(now));
                match op {
                    0..=2 => {
                        ids.set_back(now);
                        ids.record(&id, now);
                        for (_, at) in &mut model.0 {
                            *at = now.min(*at);
                        }
                        model.0.retain(|(known, _)| **known != *id);
                        model.0.push((id.clone().into(), now));
                    }
                    3 => {
                        ids.forget_first();
                        model.0.drain(..model.0.len().min(1));
                    }
                    _ => {
                        let ended = model.0.iter().take_while(|(_, at)| *at + Millis(20) <= now);
                        let most = usize::from(id[0]) / 4;
                        assert_eq!(ids.expired(now, Millis(20), most), ended.count().min(most));
                    }
                }
                let expected = model.0.iter().map(|(id, at)| (&**id, *at));
                assert!(ids.iter().eq(expected));
                let known = model.0.iter().find(|(known, _)| **known == *id);
                assert_eq!(ids.recorded(&id), known.map(|(_, at)| *at));
                assert_eq!(ids.oldest(), model.0.first().map(|(_, at)| *at));
                assert_eq!(ids.newest(), model.0.last().map(|(_, at)| *at));
                assert_eq!(ids.len(), model.0.len());
                assert!(ids.caps.len() <= ids.len());
                assert!(ids.len() > 0 || ids.bytes.memory_bytes() <= 1024, "nothing is kept");
            }
        }
    }
}
