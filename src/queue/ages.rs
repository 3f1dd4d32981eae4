//! The oldest ready item and the oldest item that is not dead, at hardly any memory for the rest.
//!
//! Items arrive in the order of their submit times, so the oldest of a set is its first by seq;
//! and the first by seq that is *not* set aside is found by comparing the order of all with the
//! order of those aside. Only items that break the rule (moved in from another queue, or delayed:
//! their wait began later) are kept in order of age themselves.

use crate::counted_tree::{first_difference, CountedTree};
use std::collections::BTreeSet;

/// See the file's head. Keys are an item's seq; what is kept are slots.
#[derive(Debug, Default)]
pub struct Ages {
    /// Every item that is not (ready, and waiting since it was submitted here).
    aside: CountedTree<u32, u64>,
    /// The dead among them.
    dead: CountedTree<u32, u64>,
    /// Ready items that wait since another time: that time and slot.
    ready_since: BTreeSet<(u64, u32)>,
    /// Items moved in that are not dead: when they were submitted, and slot.
    moved: BTreeSet<(u64, u32)>,
}

/// An item as far as its ages go.
#[derive(Debug, Clone, Copy)]
pub struct Aged {
    pub slot: u32,
    pub seq: u64,
    /// Unix ms.
    pub submitted: u64,
    /// Unix ms: submitted, or if later the last due time.
    pub waiting_since: u64,
    pub moved: bool,
    pub ready: bool,
    pub dead: bool,
}

impl Aged {
    /// Ready, with an age that its seq tells.
    fn is_plain(&self) -> bool {
        self.ready && !self.moved && self.waiting_since == self.submitted
    }
}

impl Ages {
    /// An item got into the state that `item` tells of. `seq_of` gives the seq of any slot.
    pub fn enter(&mut self, item: Aged, seq_of: impl Fn(u32) -> u64 + Copy) {
        if item.moved && !item.dead {
            self.moved.insert((item.submitted, item.slot));
        }
        if item.is_plain() {
            return;
        }
        self.aside.insert(item.slot, item.seq, seq_of);
        if item.dead {
            self.dead.insert(item.slot, item.seq, seq_of);
        }
        if item.ready {
            self.ready_since.insert((item.waiting_since, item.slot));
        }
    }

    /// An item leaves the state it entered with the same `item`.
    pub fn leave(&mut self, item: Aged, seq_of: impl Fn(u32) -> u64 + Copy) {
        if item.moved && !item.dead {
            self.moved.remove(&(item.submitted, item.slot));
        }
        if item.is_plain() {
            return;
        }
        self.aside.remove(item.seq, seq_of);
        if item.dead {
            self.dead.remove(item.seq, seq_of);
        }
        if item.ready {
            self.ready_since.remove(&(item.waiting_since, item.slot));
        }
    }

    /// The ready item whose wait began first may be one of these two: the first that waits since
    /// it was submitted here, and the first of the others.
    pub fn oldest_ready(&self, by_seq: &CountedTree<u32, u64>) -> [Option<u32>; 2] {
        let other = self.ready_since.first().map(|(_, slot)| *slot);
        [first_difference(by_seq, &self.aside), other]
    }

    /// The item submitted first of all that are not dead may be one of these two.
    pub fn oldest(&self, by_seq: &CountedTree<u32, u64>) -> [Option<u32>; 2] {
        let moved = self.moved.first().map(|(_, slot)| *slot);
        [first_difference(by_seq, &self.dead), moved]
    }

    /// Bytes of heap, estimated.
    pub fn memory_bytes(&self) -> usize {
        self.aside.memory_bytes()
            + self.dead.memory_bytes()
            + (self.ready_since.len() + self.moved.len()) * 24
    }
}
