//! Groups: items about one author, one content hash, one thread. A group is there as long as an item is
//! in it, and knows its items in the order of arrival.
//!
//! Nobody decides what they cannot have seen: so it is known of each item in a group how large the
//! tokens were when it arrived, or when its payload last changed. A lock began after that if its token is
//! larger.
//!
//! Many groups have few items, so a group is no more than its name: the items of all of them are in one
//! tree, those of a group side by side.

use super::item::{Has, ItemSlot, Rev, Seq};
use super::{MAX_TIME, Store};
use crate::counted_tree::CountedTree;
use crate::memory::alloc_size;
use crate::on_demand::empty_by_default;
use crate::slab::{Slab, slot_number};
use crate::slot_index::SlotIndex;
use crate::units::{Time, Token};

slot_number!(
    /// A group of a queue.
    pub(in crate::queue) GroupSlot
);

/// What is known of an item for the sake of groups.
#[derive(Debug, Clone, Copy)]
struct Member {
    group: Option<GroupSlot>,
    /// Two halves, so that a record takes 16 bytes with its key.
    fresh: [u32; 2],
}

impl Member {
    fn new(group: Option<GroupSlot>, fresh: Token) -> Member {
        Member {
            group,
            fresh: [fresh.0 as u32, (fresh.0 >> 32) as u32],
        }
    }

    fn fresh(self) -> Token {
        Token(u64::from(self.fresh[0]) | u64::from(self.fresh[1]) << 32)
    }
}

/// An item with its group.
type Grouped = (GroupSlot, ItemSlot);

/// All groups of a queue.
#[derive(Debug, Default)]
pub(in crate::queue) struct Groups {
    names: Slab<GroupSlot, Box<[u8]>>,
    index: SlotIndex<GroupSlot>,
    /// By group, and in a group by arrival.
    items: CountedTree<Grouped, (GroupSlot, Seq)>,
    /// By item.
    members: CountedTree<(ItemSlot, Member), ItemSlot>,
    /// Heap bytes of the names.
    heap: usize,
}

/// The key of an entry of `Groups::members`.
fn member_key(entry: (ItemSlot, Member)) -> ItemSlot {
    entry.0
}

empty_by_default!(Groups);

impl Groups {
    /// Finds a group by name.
    pub(in crate::queue) fn find(&self, name: &[u8]) -> Option<GroupSlot> {
        let hash = self.index.hash(name);
        self.index.find(hash, |slot| *self.names[slot] == *name)
    }

    /// How many groups there are.
    pub(in crate::queue) fn len(&self) -> usize {
        self.names.len()
    }

    /// Bytes of heap: O(1).
    pub(super) fn memory_bytes(&self) -> usize {
        self.names.memory_bytes()
            + self.index.memory_bytes()
            + self.items.memory_bytes()
            + self.members.memory_bytes()
            + self.heap
    }

    /// The items of which something is known.
    #[cfg(test)]
    pub(super) fn all_members(&self) -> std::collections::BTreeSet<ItemSlot> {
        self.members.iter().map(member_key).collect()
    }

    /// The heap bytes that are counted, and the same found by looking at everything.
    #[cfg(test)]
    pub(in crate::queue) fn counted_and_found(&self) -> (usize, usize) {
        let found = self.names.iter().map(|(_, name)| alloc_size(name.len()));
        (self.heap, found.sum())
    }

    fn intern(&mut self, name: &[u8]) -> GroupSlot {
        if let Some(slot) = self.find(name) {
            return slot;
        }
        self.heap += alloc_size(name.len());
        let slot = self.names.insert(name.into());
        let names = &self.names;
        self.index
            .insert(self.index.hash(name), slot, |s| &names[s]);
        slot
    }

    fn forget(&mut self, slot: GroupSlot) {
        let hash = self.index.hash(&self.names[slot]);
        self.index.remove(hash, slot);
        let gone = self.names.remove(slot);
        self.heap -= alloc_size(gone.len());
    }

    fn member(&self, slot: ItemSlot) -> Option<Member> {
        let found = self.members.get(slot, member_key);
        found.map(|(_, member)| member)
    }

    fn set(&mut self, slot: ItemSlot, member: Member) {
        let is_it = |entry: (ItemSlot, Member)| entry.0 == slot;
        if !self.members.replace_known((slot, member), slot, is_it) {
            self.members.insert((slot, member), slot, member_key);
        }
    }
}

impl Store {
    #[inline]
    fn member(&self, slot: ItemSlot) -> Option<Member> {
        match self.items[slot].has.is(Has::MEMBER) {
            true => self.groups.member(slot),
            false => None,
        }
    }

    /// The group of an item.
    pub(in crate::queue) fn group(&self, slot: ItemSlot) -> Option<GroupSlot> {
        self.member(slot)?.group
    }

    /// The name of an item's group; empty if it has none.
    pub(in crate::queue) fn group_name(&self, slot: ItemSlot) -> &[u8] {
        let group = self.group(slot);
        group.map_or(&[], |group| &self.groups.names[group])
    }

    /// The items of a group by arrival, from `from` on, at most so many. None if there is no such
    /// group.
    pub(in crate::queue) fn group_items(
        &self,
        name: &[u8],
        from: Seq,
        most: usize,
    ) -> Vec<ItemSlot> {
        let Some(group) = self.groups.find(name) else {
            return Vec::new();
        };
        let rank = self.groups_before((group, from));
        let behind = self.groups.items.iter_from(rank);
        let of_group = behind.take_while(|(g, _)| *g == group);
        of_group.map(|(_, slot)| slot).take(most).collect()
    }

    /// How many items are in a group.
    pub(in crate::queue) fn group_len(&self, name: &[u8]) -> usize {
        let group = self.groups.find(name);
        group.map_or(0, |group| self.len_of_group(group))
    }

    /// How many grouped items have a smaller key.
    fn groups_before(&self, key: (GroupSlot, Seq)) -> usize {
        let items = &self.groups.items;
        items.rank(key, |(group, slot)| (group, self.items[slot].seq()))
    }

    fn len_of_group(&self, group: GroupSlot) -> usize {
        // No item has the largest seq there can be.
        self.groups_before((group, Seq(u64::MAX))) - self.groups_before((group, Seq(0)))
    }

    /// How large tokens were when an item of a group arrived, or its payload last changed.
    pub(in crate::queue) fn fresh(&self, slot: ItemSlot) -> Token {
        self.member(slot).map_or(Token(0), Member::fresh)
    }

    /// What is stored of an item for the sake of groups: the name of its group, empty if it has none,
    /// and its `fresh`.
    pub(super) fn member_to_save(&self, slot: ItemSlot) -> Option<(&[u8], Token)> {
        let member = self.member(slot)?;
        Some((self.group_name(slot), member.fresh()))
    }

    /// Puts an item into a group, and takes it out of the one it was in. An empty name is no group.
    pub(super) fn set_group(&mut self, slot: ItemSlot, name: &[u8]) {
        let item = &self.items[slot];
        // One whose content may have changed, or that came from another queue, while nothing was kept
        // of that counts as new: its first change may be the one that brings it here.
        let is_untouched = item.rev <= Rev(2) && !self.rare(slot).is_some_and(|rare| rare.moved);
        let fresh = match self.member(slot) {
            Some(member) => member.fresh(),
            // Whatever the clock says, it arrived before locks that are yet to begin.
            None if is_untouched => token_of(item.submitted()).min(self.last_token),
            None => self.last_token,
        };
        self.set_member(slot, name, fresh);
    }

    /// As `set_group`, of an item that has just arrived or was loaded.
    pub(super) fn set_member(&mut self, slot: ItemSlot, name: &[u8], fresh: Token) {
        self.leave_group(slot);
        let seq = self.items[slot].seq();
        let group = match name {
            [] => None,
            name => {
                let group = self.groups.get_mut().intern(name);
                let items = &self.items;
                let key_of = |(group, slot): Grouped| (group, items[slot].seq());
                let all = &mut self.groups.get_mut().items;
                all.insert((group, slot), (group, seq), key_of);
                Some(group)
            }
        };
        self.groups.get_mut().set(slot, Member::new(group, fresh));
        self.items[slot].has.set(Has::MEMBER, true);
    }

    /// An item has arrived, perhaps in no group. That is remembered while there are groups: it may be put into one.
    #[inline]
    pub(super) fn note_arrived(&mut self, slot: ItemSlot) {
        if self.groups.len() > 0 && self.member(slot).is_none() {
            self.note_changed(slot);
        }
    }

    /// The payload of an item has changed. That is remembered while there are groups.
    pub(super) fn note_changed(&mut self, slot: ItemSlot) {
        let member = self.member(slot);
        if member.is_some() || self.groups.len() > 0 {
            let group = member.and_then(|member| member.group);
            let member = Member::new(group, self.last_token);
            self.groups.get_mut().set(slot, member);
            self.items[slot].has.set(Has::MEMBER, true);
        }
    }

    fn leave_group(&mut self, slot: ItemSlot) {
        let Some(group) = self.group(slot) else {
            return;
        };
        let key = (group, self.items[slot].seq());
        let items = &self.items;
        let key_of = |(group, slot): Grouped| (group, items[slot].seq());
        self.groups.get_mut().items.remove(key, key_of);
        if self.len_of_group(group) == 0 {
            self.groups.get_mut().forget(group);
        }
    }

    /// Forgets the group of an item that goes.
    pub(super) fn drop_member(&mut self, slot: ItemSlot) {
        if self.items[slot].has.is(Has::MEMBER) {
            self.leave_group(slot);
            self.groups.get_mut().members.remove(slot, member_key);
            self.items[slot].has.set(Has::MEMBER, false);
        }
    }
}

/// What stands for the tokens at an arrival of which no more is known than the millisecond. Tokens are µs,
/// but run ahead of the clock where a thousand are given at once. So no lock that began before the arrival
/// has one of two milliseconds later.
fn token_of(arrived: Time) -> Token {
    Token((arrived.0.saturating_add(2).saturating_mul(1000) - 1).min(MAX_TIME - 1))
}
