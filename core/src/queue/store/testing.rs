//! What tests may see and set of a store, and nobody else.

use super::{ItemSlot, Rare, Review, Stats, Store};
use crate::units::Token;
use std::collections::{BTreeMap, BTreeSet};

impl Store {
    /// The rare properties of every item that has some.
    pub(in crate::queue) fn all_rare(&self) -> &BTreeMap<ItemSlot, Rare> {
        &self.rare
    }

    /// The reviews of every item that has one.
    pub(in crate::queue) fn all_reviews(&self) -> &BTreeMap<ItemSlot, Review> {
        self.reviews.all()
    }

    /// The items of which something is known for the sake of groups.
    pub(in crate::queue) fn all_members(&self) -> BTreeSet<ItemSlot> {
        self.groups.all_members()
    }

    /// The serial number of the next record.
    pub(in crate::queue) fn next_record(&self) -> u64 {
        self.decided.next_serial()
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
