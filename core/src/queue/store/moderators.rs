//! Moderators a queue knows of: who holds what, who is registered, who is excluded from what. Anyone
//! whom nothing refers to is forgotten. Who waits, and in what order, is in `line`.

use super::item::{ItemSlot, OrderKey};
use super::tags::{ClassSlot, TagList};
use crate::counted_tree::CountedTree;
use crate::memory::{alloc_size, btree_bytes, counted};
use crate::on_demand::{OnDemand, empty_by_default};
use crate::slab::{Slab, slot_number};
use crate::slot_index::SlotIndex;
use crate::units::{Millis, Time, Token};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::BTreeMap;

slot_number!(
    /// Where the record of a moderator is. Given anew to another once this one is forgotten.
    pub(in crate::queue) ModeratorSlot
);

impl ModeratorSlot {
    /// The slot after this one.
    pub(in crate::queue) fn after(self) -> ModeratorSlot {
        ModeratorSlot(self.0 + 1)
    }
}

/// Where a moderator stands in line: the smaller place is served first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Since when they wait.
    pub since: Time,
    /// Of those who came in one millisecond, who came first.
    pub tie: u64,
}

/// A registration by JOIN. It outlives its place in line until the time to live runs out, so
/// that a moderator who was served and joins again keeps tags and time to live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::queue) struct Profile {
    pub ttl: Millis,
    pub expires: Time,
    /// How many locks they want in hand.
    pub count: u64,
    pub tags: TagList,
    /// In line since, by JOIN; none once served.
    pub place: Option<Place>,
}

/// The locks of a moderator: items by token. Most moderators have one item in hand at a time, which
/// takes no tree.
#[derive(Debug, Default)]
pub(in crate::queue) struct Held {
    first: Option<HeldItem>,
    /// The others, all of larger tokens.
    rest: OnDemand<CountedTree<HeldItem, Token>>,
}

/// An item with the token it is held by.
type HeldItem = (Token, ItemSlot);

empty_by_default!(CountedTree<HeldItem, Token>);

fn token_of(held: HeldItem) -> Token {
    held.0
}

impl Held {
    pub(in crate::queue) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(in crate::queue) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(in crate::queue) fn get(&self, token: Token) -> Option<ItemSlot> {
        match &self.first {
            Some((first, item)) if *first == token => Some(*item),
            _ => self.rest.get(token, token_of).map(|(_, item)| item),
        }
    }

    pub(in crate::queue) fn insert(&mut self, token: Token, item: ItemSlot) {
        match self.first {
            None => self.first = Some((token, item)),
            Some(first) if token < first.0 => {
                self.rest.get_mut().insert(first, first.0, token_of);
                self.first = Some((token, item));
            }
            Some(_) => {
                let rest = self.rest.get_mut();
                rest.insert((token, item), token, token_of);
            }
        }
    }

    pub(in crate::queue) fn remove(&mut self, token: Token) {
        let token = match self.first {
            Some((first, _)) if first == token => {
                self.first = self.rest.first();
                self.first.map(token_of)
            }
            _ => Some(token),
        };
        if let Some(token) = token {
            self.rest.get_mut().remove(token, token_of);
        }
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        self.rest.memory_bytes(CountedTree::memory_bytes)
    }

    /// The items, lowest token first.
    pub(in crate::queue) fn items(&self) -> impl Iterator<Item = ItemSlot> {
        self.first
            .into_iter()
            .chain(self.rest.iter())
            .map(|(_, item)| item)
    }
}

/// What is known of one moderator.
#[derive(Debug, Default)]
pub(in crate::queue) struct Moderator {
    /// In the record itself up to the length of a UUID without its dashes: the record comes and
    /// goes with each lock.
    pub name: SmallVec<[u8; 32]>,
    /// How many exclusions, ended locks and waiting clients refer to them.
    pub references: u32,
    pub held: Held,
    /// Ready items they are excluded from, by class.
    pub excluded: BTreeMap<ClassSlot, CountedTree<ItemSlot, OrderKey>>,
    pub profile: Option<Box<Profile>>,
}

impl Moderator {
    /// Where they stand by JOIN.
    #[inline]
    pub(in crate::queue) fn joined_at(&self) -> Option<Place> {
        self.profile.as_ref()?.place
    }

    fn is_idle(&self) -> bool {
        self.references == 0 && self.held.is_empty() && self.profile.is_none()
    }
}

/// All moderators of one queue by slot and by name.
#[derive(Debug, Default)]
pub(in crate::queue) struct Moderators {
    all: Slab<ModeratorSlot, Moderator>,
    index: SlotIndex<ModeratorSlot>,
    /// Bytes of heap of all of them, beyond their records.
    heap: usize,
    /// Who was made known last, or named again: in a batch that is the same one again and again.
    last: ModeratorSlot,
}

impl Moderators {
    /// Finds a moderator by name.
    pub(in crate::queue) fn find(&self, name: &[u8]) -> Option<ModeratorSlot> {
        self.index
            .find(self.index.hash(name), |s| *self.all[s].name == *name)
    }

    /// The slot of `name`, made known if need be. Whoever does not refer to them then calls
    /// `forget_if_idle`.
    pub(super) fn intern(&mut self, name: &[u8]) -> ModeratorSlot {
        if self.all.get(self.last).is_some_and(|m| *m.name == *name) {
            return self.last;
        }
        let hash = self.index.hash(name);
        if let Some(slot) = self.index.find(hash, |s| *self.all[s].name == *name) {
            self.last = slot;
            return slot;
        }
        let name = SmallVec::from_slice(name);
        self.heap += name_bytes(&name);
        let slot = self.all.insert(Moderator {
            name,
            ..Moderator::default()
        });
        let all = &self.all;
        self.index.insert(hash, slot, |s| &all[s].name);
        self.last = slot;
        slot
    }

    /// Forgets a moderator to whom nothing refers any more.
    pub(super) fn forget_if_idle(&mut self, slot: ModeratorSlot) {
        if self.all[slot].is_idle() {
            let hash = self.index.hash(&self.all[slot].name);
            self.index.remove(hash, slot);
            let gone = self.all.remove(slot);
            // They hold nothing, but the tree that was made for more than one lock may still be there.
            self.heap -= name_bytes(&gone.name) + gone.held.heap_bytes();
        }
    }

    /// A moderator holds a lock more.
    #[inline]
    pub(super) fn hold(&mut self, slot: ModeratorSlot, token: Token, item: ItemSlot) {
        let held = &mut self.all[slot].held;
        counted(held, &mut self.heap, Held::heap_bytes, |held| {
            held.insert(token, item);
        });
    }

    /// A moderator holds a lock less.
    #[inline]
    pub(super) fn let_go(&mut self, slot: ModeratorSlot, token: Token) {
        let held = &mut self.all[slot].held;
        counted(held, &mut self.heap, Held::heap_bytes, |held| {
            held.remove(token);
        });
    }

    /// Changes the ready items of a class that a moderator is excluded from.
    pub(super) fn change_excluded(
        &mut self,
        slot: ModeratorSlot,
        class: ClassSlot,
        change: impl FnOnce(&mut CountedTree<ItemSlot, OrderKey>),
    ) {
        let excluded = &mut self.all[slot].excluded;
        let before = map_bytes(excluded);
        let tree = excluded.entry(class).or_default();
        counted(tree, &mut self.heap, CountedTree::memory_bytes, change);
        if tree.is_empty() {
            excluded.remove(&class);
        }
        self.heap = self.heap + map_bytes(excluded) - before;
    }

    /// A moderator is registered so, or no longer. Answers the registration they had.
    pub(super) fn set_profile(
        &mut self,
        slot: ModeratorSlot,
        profile: Option<Profile>,
    ) -> Option<Box<Profile>> {
        let profile = profile.map(Box::new);
        let record = &mut self.all[slot];
        self.heap += profile_bytes(profile.is_some());
        let old = std::mem::replace(&mut record.profile, profile);
        self.heap -= profile_bytes(old.is_some());
        old
    }

    pub(in crate::queue) fn is_known(&self, slot: ModeratorSlot) -> bool {
        self.all.contains(slot)
    }

    /// How many are known (to be sure that nothing leaks).
    #[cfg(test)]
    pub(in crate::queue) fn len(&self) -> usize {
        self.all.len()
    }

    pub(in crate::queue) fn iter(&self) -> impl Iterator<Item = (ModeratorSlot, &Moderator)> {
        self.all.iter()
    }

    /// Bytes of heap: O(1).
    pub(in crate::queue) fn memory_bytes(&self) -> usize {
        self.all.memory_bytes() + self.index.memory_bytes() + self.heap
    }

    /// The heap bytes that are counted, and the same found by looking at everything.
    #[cfg(test)]
    pub(in crate::queue) fn counted_and_found(&self) -> (usize, usize) {
        let found = self.all.iter().map(|(_, m)| {
            let trees = m.excluded.values().map(CountedTree::memory_bytes);
            name_bytes(&m.name)
                + m.held.heap_bytes()
                + map_bytes(&m.excluded)
                + trees.sum::<usize>()
                + profile_bytes(m.profile.is_some())
        });
        (self.heap, found.sum())
    }
}

fn name_bytes(name: &SmallVec<[u8; 32]>) -> usize {
    match name.spilled() {
        true => alloc_size(name.capacity()),
        false => 0,
    }
}

fn map_bytes<T>(map: &BTreeMap<ClassSlot, T>) -> usize {
    btree_bytes::<ClassSlot, T>(map.len())
}

fn profile_bytes(there: bool) -> usize {
    match there {
        true => alloc_size(size_of::<Profile>()),
        false => 0,
    }
}

impl std::ops::Index<ModeratorSlot> for Moderators {
    type Output = Moderator;

    #[inline]
    fn index(&self, slot: ModeratorSlot) -> &Moderator {
        &self.all[slot]
    }
}

impl std::ops::IndexMut<ModeratorSlot> for Moderators {
    #[inline]
    fn index_mut(&mut self, slot: ModeratorSlot) -> &mut Moderator {
        &mut self.all[slot]
    }
}
