//! What tests may see and set of a store, and nobody else.

use super::{ItemSlot, Rare, Stats, Store};
use crate::units::Token;
use std::collections::BTreeMap;

impl Store {
    /// The rare properties of every item that has some.
    pub(in crate::queue) fn all_rare(&self) -> &BTreeMap<ItemSlot, Rare> {
        &self.rare
    }

    /// Heap bytes of ids and payloads, as counted.
    pub(in crate::queue) fn content_bytes(&self) -> usize {
        self.content_bytes
    }

    /// Heap bytes of the lists of exclusions, as counted and by looking at all of them.
    pub(in crate::queue) fn exclusion_bytes(&self) -> (usize, usize) {
        let lists = self.rare.values().map(|r| super::list_bytes(&r.excluded));
        (self.exclusion_bytes, lists.sum())
    }

    /// The seq of the next item.
    pub(in crate::queue) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Sets the numbers that only ever grow, as a damaged payload might have them.
    pub(in crate::queue) fn set_numbers(&mut self, last_token: Token, next_seq: u64) {
        self.last_token = last_token;
        self.next_seq = next_seq;
    }

    /// The totals, to be set.
    pub(in crate::queue) fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }
}
