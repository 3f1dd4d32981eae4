//! What is decided of items by several: votes, whether they can still agree, and who may not be given
//! the item because of what they decided before. Most items have none of it.

use super::Store;
use super::item::{Has, ItemSlot, Seq};
use super::moderators::ModeratorSlot;
use crate::memory::{alloc_size, btree_bytes};
use crate::on_demand::empty_by_default;
use crate::queue::settings::Quorum;
use crate::units::{Time, Token};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// A verdict that did not end its item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::queue) struct Vote {
    pub moderator: ModeratorSlot,
    /// Of the lock it was given under; zero if there was none.
    pub token: Token,
    pub at: Time,
    pub verdict: Box<[u8]>,
    /// It was answered SPLIT.
    pub split: bool,
}

/// By whom an item is decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::queue) struct Review {
    pub quorum: Quorum,
    /// In the order they were given; each of somebody else.
    pub votes: Vec<Vote>,
    /// The votes cannot agree any more: the next verdict ends the item.
    pub contested: bool,
    /// It became dead by that, for want of a tag, and is dead again when a lock on it ends.
    pub parked: bool,
    /// The last tag of the item came by the split.
    pub added_tag: bool,
    /// Who decided before, and may not be given it. The first were there first.
    pub deciders: Vec<ModeratorSlot>,
}

impl Review {
    fn heap_bytes(&self) -> usize {
        let verdicts = self.votes.iter().map(|v| alloc_size(v.verdict.len()));
        verdicts.sum::<usize>()
            + alloc_size(self.votes.capacity() * size_of::<Vote>())
            + alloc_size(self.deciders.capacity() * size_of::<ModeratorSlot>())
    }

    /// Whether there are votes that can still agree.
    fn is_voting(&self) -> bool {
        !self.votes.is_empty() && !self.contested
    }
}

/// The reviews of all items that have one.
#[derive(Debug, Default)]
pub(in crate::queue) struct Reviews {
    of: BTreeMap<ItemSlot, Review>,
    /// By when they were submitted.
    contested: BTreeSet<(Time, ItemSlot)>,
    /// How many items have votes and are not contested.
    voting: usize,
    /// Those that are dead because they are contested.
    dead: BTreeSet<(Seq, ItemSlot)>,
    heap: usize,
}

empty_by_default!(Reviews);

impl Reviews {
    /// How many items have votes and are not contested.
    pub(in crate::queue) fn voting(&self) -> usize {
        self.voting
    }

    /// The contested items, by when they were submitted.
    pub(in crate::queue) fn contested(&self) -> &BTreeSet<(Time, ItemSlot)> {
        &self.contested
    }

    /// The items that are dead because they are contested.
    pub(super) fn dead(&self) -> &BTreeSet<(Seq, ItemSlot)> {
        &self.dead
    }

    pub(super) fn dead_mut(&mut self) -> &mut BTreeSet<(Seq, ItemSlot)> {
        &mut self.dead
    }

    /// Bytes of heap: O(1).
    pub(super) fn memory_bytes(&self) -> usize {
        btree_bytes::<ItemSlot, Review>(self.of.len())
            + btree_bytes::<(Time, ItemSlot), ()>(self.contested.len())
            + btree_bytes::<(Seq, ItemSlot), ()>(self.dead.len())
            + self.heap
    }

    /// All of them.
    #[cfg(test)]
    pub(super) fn all(&self) -> &BTreeMap<ItemSlot, Review> {
        &self.of
    }

    /// The heap bytes that are counted, and the same found by looking at everything.
    #[cfg(test)]
    pub(in crate::queue) fn counted_and_found(&self) -> (usize, usize) {
        let found = self.of.values().map(Review::heap_bytes);
        (self.heap, found.sum())
    }
}

/// Why an item may not go to somebody, whatever they offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) enum Barring {
    /// They are excluded, by EXCLUDE or SKIP.
    Excluded,
    /// They have voted on it.
    Voted,
    /// They decided the item that this is an appeal of.
    Decider,
}

impl Store {
    #[inline]
    pub(in crate::queue) fn review(&self, slot: ItemSlot) -> Option<&Review> {
        match self.items[slot].has.is(Has::REVIEW) {
            true => self.reviews.of.get(&slot),
            false => None,
        }
    }

    /// How many must agree on an item.
    #[inline]
    pub(in crate::queue) fn quorum(&self, slot: ItemSlot) -> Quorum {
        self.review(slot)
            .map_or(Quorum::ONE, |review| review.quorum)
    }

    #[inline]
    pub(in crate::queue) fn votes(&self, slot: ItemSlot) -> &[Vote] {
        self.review(slot).map_or(&[], |review| &review.votes)
    }

    #[inline]
    pub(in crate::queue) fn is_contested(&self, slot: ItemSlot) -> bool {
        self.review(slot).is_some_and(|review| review.contested)
    }

    /// Whether it is dead, when no lock is on it and no delay, because it is contested.
    #[inline]
    pub(in crate::queue) fn is_parked(&self, slot: ItemSlot) -> bool {
        self.review(slot).is_some_and(|review| review.parked)
    }

    /// Why an item may not go to a moderator, whatever they offer: all there is to say.
    pub(in crate::queue) fn barrings(
        &self,
        slot: ItemSlot,
        moderator: ModeratorSlot,
    ) -> SmallVec<[Barring; 3]> {
        let mut all = SmallVec::new();
        if self.is_excluded(slot, moderator) {
            all.push(Barring::Excluded);
        }
        if let Some(review) = self.review(slot) {
            if review.votes.iter().any(|vote| vote.moderator == moderator) {
                all.push(Barring::Voted);
            }
            if review.deciders.contains(&moderator) {
                all.push(Barring::Decider);
            }
        }
        all
    }

    /// Whether an item may not go to a moderator, whatever they offer.
    #[inline]
    pub(in crate::queue) fn is_barred(&self, slot: ItemSlot, moderator: ModeratorSlot) -> bool {
        !self.items[slot].has.nothing() && !self.barrings(slot, moderator).is_empty()
    }

    /// Everybody an item may not go to, whatever they offer: each once.
    pub(in crate::queue) fn barred(&self, slot: ItemSlot) -> SmallVec<[ModeratorSlot; 4]> {
        let excluded = self.excluded(slot).iter().map(|e| e.moderator);
        let mut all: SmallVec<[ModeratorSlot; 4]> = excluded.collect();
        if let Some(review) = self.review(slot) {
            let voters = review.votes.iter().map(|vote| vote.moderator);
            for moderator in voters.chain(review.deciders.iter().copied()) {
                if !all.contains(&moderator) {
                    all.push(moderator);
                }
            }
        }
        all
    }

    /// About how many there are of them: O(1).
    pub(in crate::queue) fn barred_len(&self, slot: ItemSlot) -> usize {
        let review = self.review(slot);
        self.excluded(slot).len() + review.map_or(0, |r| r.votes.len() + r.deciders.len())
    }

    /// Changes the review of an item, which must be in no state.
    pub(super) fn with_review(&mut self, slot: ItemSlot, change: impl FnOnce(&mut Review)) {
        let submitted = self.items[slot].submitted();
        let reviews = self.reviews.get_mut();
        let review = reviews.of.entry(slot).or_default();
        reviews.heap -= review.heap_bytes();
        reviews.voting -= usize::from(review.is_voting());
        if review.contested {
            reviews.contested.remove(&(submitted, slot));
        }
        change(review);
        reviews.heap += review.heap_bytes();
        reviews.voting += usize::from(review.is_voting());
        if review.contested {
            reviews.contested.insert((submitted, slot));
        }
        let keep = *review != Review::default();
        if !keep {
            reviews.heap -= review.heap_bytes();
            reviews.of.remove(&slot);
        }
        self.items[slot].has.set(Has::REVIEW, keep);
    }

    /// Whoever is barred by a vote or as a decider is no longer referred to.
    fn unrefer_voters(&mut self, voters: impl Iterator<Item = ModeratorSlot>) {
        for moderator in voters {
            self.moderators[moderator].references -= 1;
            self.moderators.forget_if_idle(moderator);
        }
    }

    /// Adds a vote. The item must be in no state.
    pub(super) fn add_vote(&mut self, slot: ItemSlot, vote: Vote) {
        self.moderators[vote.moderator].references += 1;
        self.with_review(slot, |review| review.votes.push(vote));
    }

    /// Names those who decided before. The item must be new, and in no state.
    pub(super) fn set_deciders(&mut self, slot: ItemSlot, deciders: Vec<ModeratorSlot>) {
        for moderator in &deciders {
            self.moderators[*moderator].references += 1;
        }
        self.with_review(slot, |review| review.deciders = deciders);
    }

    /// The votes can no longer agree. With SPLITTAG the item gets that tag. It must be in no state.
    /// Answers whether it is ready then; else it is dead.
    pub(super) fn contest(&mut self, slot: ItemSlot) -> bool {
        let tag = std::mem::take(&mut self.settings.split_tag);
        let added = !tag.is_empty() && self.add_tag(slot, &tag);
        let has_tag = !tag.is_empty();
        self.settings.split_tag = tag;
        self.with_review(slot, |review| {
            review.contested = true;
            review.parked = !has_tag;
            review.added_tag = added;
        });
        has_tag
    }

    /// Adds a tag to those that an item requires, behind them. Answers false if it was among them.
    pub(super) fn add_tag(&mut self, slot: ItemSlot, tag: &[u8]) -> bool {
        let old = self.items[slot].tags;
        let names: Vec<Box<[u8]>> = self.tags.names(old).map(Box::from).collect();
        if names.iter().any(|name| **name == *tag) {
            return false;
        }
        let mut names: Vec<&[u8]> = names.iter().map(|name| &**name).collect();
        names.push(tag);
        self.items[slot].tags = self.tags.acquire(&names);
        self.tags.release(old);
        true
    }

    /// The tags that an item requires without the one that came by a split, and that one.
    pub(in crate::queue) fn own_tags(&self, slot: ItemSlot) -> (Vec<&[u8]>, Option<&[u8]>) {
        let mut tags: Vec<&[u8]> = self.tags.names(self.items[slot].tags).collect();
        let added = self.review(slot).is_some_and(|review| review.added_tag);
        let added = if added { tags.pop() } else { None };
        (tags, added)
    }

    /// Voids the votes of an item, which must be in no state; it is no longer contested. The tag that
    /// came by the split goes.
    pub(super) fn void_votes(&mut self, slot: ItemSlot) {
        let Some(review) = self.review(slot) else {
            return;
        };
        let voters: Vec<ModeratorSlot> = review.votes.iter().map(|v| v.moderator).collect();
        if review.added_tag {
            let (own, _) = self.own_tags(slot);
            let own: Vec<Box<[u8]>> = own.into_iter().map(Box::from).collect();
            let old = self.items[slot].tags;
            self.items[slot].tags = self.tags.acquire(&own);
            self.tags.release(old);
        }
        self.with_review(slot, |review| {
            review.votes = Vec::new();
            review.contested = false;
            review.parked = false;
            review.added_tag = false;
        });
        self.unrefer_voters(voters.into_iter());
    }

    /// Forgets the review of an item that has left its state and goes.
    pub(super) fn drop_review(&mut self, slot: ItemSlot) {
        let Some(review) = self.review(slot) else {
            return;
        };
        let voters = review.votes.iter().map(|vote| vote.moderator);
        let all: Vec<ModeratorSlot> = voters.chain(review.deciders.iter().copied()).collect();
        self.with_review(slot, |review| *review = Review::default());
        self.unrefer_voters(all.into_iter());
    }
}
