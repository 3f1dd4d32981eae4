//! Moderators a queue knows of: who holds what, who is registered or blocked, who stands where in
//! line. Anyone without any of these is forgotten.

use super::index::SlotIndex;
use super::slab::Slab;
use super::{OrderKey, Place};
use crate::counted_tree::CountedTree;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// A registration by JOIN. It outlives its place in line until the time to live runs out, so
/// that a moderator who was served and joins again keeps tags and time to live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    /// ms.
    pub ttl: u64,
    /// Unix ms.
    pub expires: u64,
    /// How many locks they want in hand.
    pub count: u64,
    /// Tag list.
    pub tags: u32,
    /// In line since, by JOIN; none once served.
    pub place: Option<Place>,
    /// Not part of the state: when a blocked call of theirs ended, Unix ms.
    pub seen: u64,
}

/// A client waiting in a blocked CLAIM for this moderator. Known to the primary only.
#[derive(Debug, Clone)]
pub(super) struct BlockedCall {
    /// The shell's number for the client.
    pub call: u64,
    pub place: Place,
    /// Tag list.
    pub tags: u32,
    /// The tags were given with the call; else it follows the registration's.
    pub own_tags: bool,
    /// Wants only newly locked items.
    pub new_only: bool,
    /// Lock duration asked for, ms.
    pub lock: Option<u64>,
}

/// The locks of a moderator: slots by token. Most moderators have one item in hand at a time, which
/// takes no tree.
#[derive(Debug, Default)]
pub(super) struct Held {
    first: Option<(u64, u32)>,
    /// The others, all of larger tokens.
    rest: BTreeMap<u64, u32>,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn get(&self, token: &u64) -> Option<&u32> {
        match &self.first {
            Some((first, slot)) if first == token => Some(slot),
            _ => self.rest.get(token),
        }
    }

    pub(super) fn insert(&mut self, token: u64, slot: u32) {
        match self.first {
            None => self.first = Some((token, slot)),
            Some((first, of_first)) if token < first => {
                self.rest.insert(first, of_first);
                self.first = Some((token, slot));
            }
            Some(_) => {
                self.rest.insert(token, slot);
            }
        }
    }

    pub(super) fn remove(&mut self, token: &u64) {
        match self.first {
            Some((first, _)) if first == *token => self.first = self.rest.pop_first(),
            _ => {
                self.rest.remove(token);
            }
        }
    }

    /// The slots, lowest token first.
    pub(super) fn values(&self) -> impl Iterator<Item = &u32> {
        self.first
            .iter()
            .map(|(_, slot)| slot)
            .chain(self.rest.values())
    }
}

#[derive(Debug, Default)]
pub(super) struct Moderator {
    /// In line up to the length of a UUID without its dashes: a name comes and goes with each lock.
    pub name: SmallVec<[u8; 32]>,
    /// Exclusion entries and ended locks that name them.
    pub mentions: u32,
    /// Locks by token: slots.
    pub held: Held,
    /// Ready items they are excluded from, by class.
    pub excluded: BTreeMap<u32, CountedTree<u32, OrderKey>>,
    pub profile: Option<Box<Profile>>,
    pub blocked: Vec<BlockedCall>,
}

impl Moderator {
    /// Where they stand in line: the earliest of all their reasons to wait.
    #[inline]
    pub(super) fn place(&self) -> Option<Place> {
        if self.profile.is_none() && self.blocked.is_empty() {
            return None;
        }
        let joined = self.profile.as_ref().and_then(|p| p.place);
        joined
            .into_iter()
            .chain(self.blocked.iter().map(|b| b.place))
            .min()
    }

    fn is_idle(&self) -> bool {
        self.mentions == 0
            && self.held.is_empty()
            && self.profile.is_none()
            && self.blocked.is_empty()
    }
}

/// All moderators of one queue by number and by name.
#[derive(Debug, Default)]
pub(super) struct Moderators {
    all: Slab<Moderator>,
    index: SlotIndex,
}

impl Moderators {
    pub(super) fn find(&self, name: &[u8]) -> Option<u32> {
        self.index
            .find(self.index.hash(name), |s| *self.all[s].name == *name)
    }

    /// The number of `name`, made known if need be. Call `forget_if_idle` when it may be idle.
    pub(super) fn intern(&mut self, name: &[u8]) -> u32 {
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

    pub(super) fn forget_if_idle(&mut self, slot: u32) {
        if self.all[slot].is_idle() {
            let hash = self.index.hash(&self.all[slot].name);
            self.index.remove(hash, slot);
            self.all.remove(slot);
        }
    }

    pub(super) fn is_known(&self, slot: u32) -> bool {
        self.all.contains(slot)
    }

    /// How many are known (to be sure that nothing leaks).
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Moderator)> {
        self.all.iter()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.all.memory_bytes() + self.index.memory_bytes() + self.all.len() * 24
    }
}

impl std::ops::Index<u32> for Moderators {
    type Output = Moderator;

    #[inline]
    fn index(&self, slot: u32) -> &Moderator {
        &self.all[slot]
    }
}

impl std::ops::IndexMut<u32> for Moderators {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut Moderator {
        &mut self.all[slot]
    }
}
