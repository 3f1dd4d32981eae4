//! Moderators a queue knows of: who holds what, who is registered, who is excluded from what. Anyone
//! whom nothing refers to is forgotten. Who waits, and in what order, is in `line`.

use super::item::{ItemSlot, OrderKey};
use super::tags::{ClassSlot, TagList};
use crate::counted_tree::CountedTree;
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
    first: Option<(Token, ItemSlot)>,
    /// The others, all of larger tokens.
    rest: BTreeMap<Token, ItemSlot>,
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
            _ => self.rest.get(&token).copied(),
        }
    }

    pub(in crate::queue) fn insert(&mut self, token: Token, item: ItemSlot) {
        match self.first {
            None => self.first = Some((token, item)),
            Some((first, of_first)) if token < first => {
                self.rest.insert(first, of_first);
                self.first = Some((token, item));
            }
            Some(_) => {
                self.rest.insert(token, item);
            }
        }
    }

    pub(in crate::queue) fn remove(&mut self, token: Token) {
        match self.first {
            Some((first, _)) if first == token => self.first = self.rest.pop_first(),
            _ => {
                self.rest.remove(&token);
            }
        }
    }

    /// The items, lowest token first.
    pub(in crate::queue) fn items(&self) -> impl Iterator<Item = ItemSlot> {
        let first = self.first.iter().map(|(_, item)| *item);
        first.chain(self.rest.values().copied())
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
        let hash = self.index.hash(name);
        if let Some(slot) = self.index.find(hash, |s| *self.all[s].name == *name) {
            return slot;
        }
        let slot = self.all.insert(Moderator {
            name: SmallVec::from_slice(name),
            ..Moderator::default()
        });
        let all = &self.all;
        self.index.insert(hash, slot, |s| &all[s].name);
        slot
    }

    /// Forgets a moderator to whom nothing refers any more.
    pub(super) fn forget_if_idle(&mut self, slot: ModeratorSlot) {
        if self.all[slot].is_idle() {
            let hash = self.index.hash(&self.all[slot].name);
            self.index.remove(hash, slot);
            self.all.remove(slot);
        }
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

    pub(in crate::queue) fn memory_bytes(&self) -> usize {
        self.all.memory_bytes() + self.index.memory_bytes() + self.all.len() * 24
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
