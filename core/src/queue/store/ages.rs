//! The oldest ready item and the oldest item that is not dead, at hardly any memory for the rest.
//!
//! Items arrive in the order of their submit times, so the oldest of a set is its first by seq;
//! and the first by seq that is neither locked nor set aside is found by comparing the order of
//! all with the orders of those. Only items that break the rule (moved in from another queue, or delayed:
//! their wait began later) are kept in order of age themselves.

use super::item::{ItemSlot, Seq, State};
use super::{Locks, lock_seq};
use crate::counted_tree::{CountedTree, first_difference};
use crate::memory::btree_bytes;
use crate::units::Time;
use std::collections::BTreeSet;

/// Finds the oldest items: see the head of this file. Entries are item slots, their keys the seq.
#[derive(Debug, Default)]
pub(in crate::queue) struct Ages {
    /// Every item that is neither locked nor (ready, and waiting since it was submitted here).
    aside: CountedTree<ItemSlot, Seq>,
    /// The dead among them.
    dead: CountedTree<ItemSlot, Seq>,
    /// Ready items that wait since another time: that time and slot.
    ready_since: BTreeSet<(Time, ItemSlot)>,
    /// Items moved in that are not dead: when they were submitted, and slot.
    moved: BTreeSet<(Time, ItemSlot)>,
}

/// An item as far as its ages go.
#[derive(Debug, Clone, Copy)]
pub(in crate::queue) struct Aged {
    pub slot: ItemSlot,
    pub seq: Seq,
    pub submitted: Time,
    /// Submitted, or if later the last due time.
    pub waiting_since: Time,
    pub moved: bool,
    pub state: State,
}

impl Aged {
    /// Locked, or ready with an age that its seq tells.
    fn is_plain(&self) -> bool {
        match self.state {
            State::Locked => true,
            State::Ready => !self.moved && self.waiting_since == self.submitted,
            State::Delayed | State::Dead => false,
        }
    }
}

impl Ages {
    /// An item got into the state that `item` tells of. `seq_of` gives the seq of any slot.
    pub(in crate::queue) fn enter(&mut self, item: Aged, seq_of: impl Fn(ItemSlot) -> Seq + Copy) {
        if item.moved && item.state != State::Dead {
            self.moved.insert((item.submitted, item.slot));
        }
        if item.is_plain() {
            return;
        }
        self.aside.insert(item.slot, item.seq, seq_of);
        if item.state == State::Dead {
            self.dead.insert(item.slot, item.seq, seq_of);
        }
        if item.state == State::Ready {
            self.ready_since.insert((item.waiting_since, item.slot));
        }
    }

    /// An item leaves the state it entered with the same `item`.
    pub(in crate::queue) fn leave(&mut self, item: Aged, seq_of: impl Fn(ItemSlot) -> Seq + Copy) {
        if item.moved && item.state != State::Dead {
            self.moved.remove(&(item.submitted, item.slot));
        }
        if item.is_plain() {
            return;
        }
        self.aside.remove(item.seq, seq_of);
        if item.state == State::Dead {
            self.dead.remove(item.seq, seq_of);
        }
        if item.state == State::Ready {
            self.ready_since.remove(&(item.waiting_since, item.slot));
        }
    }

    /// The ready item whose wait began first may be one of these two: the first that waits since
    /// it was submitted here, and the first of the others.
    pub(in crate::queue) fn oldest_ready(
        &self,
        by_seq: &CountedTree<ItemSlot, Seq>,
        locks: &Locks,
        seq_of: impl Fn(ItemSlot) -> Seq + Copy,
    ) -> [Option<ItemSlot>; 2] {
        // By halving: how many of all, from the first, are locked or aside.
        let (mut taken, mut most) = (0, locks.len() + self.aside.len());
        while taken < most {
            let middle = taken + (most - taken) / 2;
            let up_to = by_seq
                .select(middle)
                .map_or(Seq(u64::MAX), |s| Seq(seq_of(s).0 + 1));
            let here = locks.rank(up_to, lock_seq) + self.aside.rank(up_to, seq_of);
            if here == middle + 1 {
                taken = middle + 1;
            } else {
                most = middle;
            }
        }
        let other = self.ready_since.first().map(|(_, slot)| *slot);
        [by_seq.select(taken), other]
    }

    /// The item submitted first of all that are not dead may be one of these two.
    pub(in crate::queue) fn oldest(
        &self,
        by_seq: &CountedTree<ItemSlot, Seq>,
    ) -> [Option<ItemSlot>; 2] {
        let moved = self.moved.first().map(|(_, slot)| *slot);
        [first_difference(by_seq, &self.dead), moved]
    }

    /// Bytes of heap: O(1).
    pub(in crate::queue) fn memory_bytes(&self) -> usize {
        self.aside.memory_bytes()
            + self.dead.memory_bytes()
            + btree_bytes::<(Time, ItemSlot), ()>(self.ready_since.len())
            + btree_bytes::<(Time, ItemSlot), ()>(self.moved.len())
    }
}
