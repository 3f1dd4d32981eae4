//! Applying what happens to items outside of locks: they come, change, come due, go.

use super::verdicts::check_review;
use super::{
    Applied, ApplyError, Outcome, check, check_boost, check_due, check_excluded, check_group,
    check_name, check_payload, check_tags, check_terms, count,
};
use crate::queue::MAX_EXCLUDE;
use crate::queue::effect::{Effect, Excluded, MoveIn, MovedReview, MovedVote, Names, Terms};
use crate::queue::settings::Quorum;
use crate::queue::store::{Exclusion, Item, ItemSlot, Seq, State, Store, U48, Vote};
use crate::units::{Time, When};
use std::collections::HashSet;

impl Store {
    fn check_new(&self, id: &[u8]) -> Result<(), ApplyError> {
        check_name(id)?;
        check(self.find(id).is_none())?;
        check(self.items.len() < u32::MAX as usize / 2 && self.next_seq < U48::MAX)
    }

    pub(super) fn apply_submit(&mut self, when: When, effect: &Effect<'_>) -> Outcome {
        let Effect::Submit {
            id,
            payload,
            priority,
            boost,
            due,
            tags,
            excluded,
            terms,
        } = effect
        else {
            return Err(ApplyError);
        };
        self.check_new(id)?;
        check_due(*due)?;
        check_boost(*boost)?;
        check_payload(payload)?;
        check_tags(tags)?;
        check_excluded(excluded)?;
        terms.as_deref().map_or(Ok(()), check_terms)?;
        let slot = self.take_in(id, payload, when.at, *boost, *priority, tags);
        if !excluded.is_empty() {
            let excluded = self.intern_all(excluded);
            self.set_excluded(slot, excluded);
        }
        if let Some(terms) = terms {
            self.set_terms(slot, terms);
        }
        self.note_arrived(slot);
        count(&mut self.stats.submitted);
        if let Some(due) = *due {
            self.enter_delayed(slot, due);
            self.set_span(slot, due, when.now);
            return Ok(Applied::NOTHING);
        }
        self.enter_ready(slot);
        Ok(Applied::item(slot))
    }

    pub(super) fn apply_move_in(&mut self, item: &MoveIn<'_>, now: Time) -> Outcome {
        self.check_new(item.id)?;
        check(item.submitted.0 < U48::MAX)?;
        check_due(item.due)?;
        check(item.due.is_some() || !item.delayed)?;
        check(item.last_token.0 < super::MAX_TIME)?;
        check_boost(item.boost)?;
        check_payload(item.payload)?;
        check_tags(&item.tags)?;
        let mut seen = HashSet::new();
        for Excluded { moderator, .. } in &item.excluded {
            check_name(moderator)?;
            check(seen.insert(*moderator))?;
        }
        check(item.excluded.iter().filter(|e| !e.skip).count() <= MAX_EXCLUDE)?;
        let review = item.review.as_deref();
        let last_token = self.last_token.max(item.last_token);
        review.map_or(Ok(()), |r| check_review(r, &item.tags, last_token))?;
        let slot = self.take_in(
            item.id,
            item.payload,
            item.submitted,
            item.boost,
            item.priority,
            &item.tags,
        );
        self.items[slot].rev = item.rev;
        self.items[slot].deliveries = item.deliveries;
        let excluded = item.excluded.iter().map(|e| Exclusion {
            moderator: self.moderators.intern(e.moderator),
            skip: e.skip,
        });
        let excluded = excluded.collect();
        self.set_excluded(slot, excluded);
        self.with_rare(slot, |rare| {
            rare.reports = item.reports;
            rare.moved = true;
            rare.due = item.due;
        });
        self.note_token(item.last_token);
        if let Some(review) = review {
            self.set_review(slot, review);
        }
        self.note_arrived(slot);
        // Who comes later is not older: stamps do not run backwards.
        self.last_at = self.last_at.max(item.submitted);
        if let (Some(due), true) = (item.due, item.delayed) {
            self.enter_delayed(slot, due);
            // What is left is no more than was asked.
            self.set_span(slot, due, now);
            return Ok(Applied::NOTHING);
        }
        self.enter_ready(slot);
        Ok(Applied::item(slot))
    }

    /// Files a new item, which is in no state yet.
    fn take_in(
        &mut self,
        id: &[u8],
        payload: &[u8],
        submitted: Time,
        boost: i64,
        priority: i32,
        tags: &Names<'_>,
    ) -> ItemSlot {
        let mut item = Item::new(id, payload, submitted, Seq(self.next_seq), boost);
        item.priority = priority;
        item.tags = self.tags.acquire(tags);
        self.next_seq += 1;
        self.add_item(item)
    }

    /// By whom a new item is to be decided.
    fn set_terms(&mut self, slot: ItemSlot, terms: &Terms<'_>) {
        let deciders = terms.deciders.iter();
        let deciders = deciders.map(|name| self.moderators.intern(name)).collect();
        self.set_deciders(slot, deciders);
        self.with_review(slot, |review| review.quorum = terms.quorum);
        if !terms.group.is_empty() {
            self.set_member(slot, terms.group, self.last_token);
        }
    }

    /// What was decided so far of an item that came from another queue.
    fn set_review(&mut self, slot: ItemSlot, moved: &MovedReview<'_>) {
        self.set_terms(slot, &moved.terms);
        for MovedVote { by, at, split } in &moved.votes {
            let vote = Vote {
                moderator: self.moderators.intern(by.moderator),
                token: by.token,
                at: *at,
                verdict: by.verdict.into(),
                split: *split,
            };
            self.add_vote(slot, vote);
        }
        let added_tag = !moved.added_tag.is_empty() && self.add_tag(slot, moved.added_tag);
        self.with_review(slot, |review| {
            review.contested = moved.contested;
            review.added_tag = added_tag;
        });
    }

    pub(super) fn apply_bump(&mut self, slot: ItemSlot, priority: i32, boost: i64) -> Outcome {
        check_boost(boost)?;
        let revive = !self.is_contested(slot);
        Ok(self.changed(slot, revive, |store| {
            let item = &mut store.items[slot];
            item.priority = priority;
            item.set_boost(boost);
            store.with_rare(slot, |rare| {
                rare.reports = rare.reports.saturating_add(1);
            });
        }))
    }

    pub(super) fn apply_change(&mut self, slot: ItemSlot, effect: &Effect<'_>) -> Outcome {
        let Effect::Change {
            replace,
            payload,
            priority,
            boost,
            tags,
            excluded,
            quorum,
            group,
            reports,
            ..
        } = effect
        else {
            return Err(ApplyError);
        };
        check_boost(boost.unwrap_or(0))?;
        check(quorum.is_none_or(Quorum::fits))?;
        group.map_or(Ok(()), check_group)?;
        payload.map_or(Ok(()), check_payload)?;
        tags.as_ref().map_or(Ok(()), check_tags)?;
        excluded.as_ref().map_or(Ok(()), check_excluded)?;
        let is_new = payload.is_some_and(|payload| payload != self.items[slot].payload());
        // A contested item that is dead waits for another payload, or for somebody to name it.
        let revive = match self.is_contested(slot) {
            true => is_new,
            false => *replace,
        };
        Ok(self.changed(slot, revive, |store| {
            if let (Some(payload), true) = (payload, is_new) {
                store.forget_late(slot);
                store.set_payload(slot, payload);
                store.void_votes(slot);
            }
            let item = &mut store.items[slot];
            if let Some(priority) = priority {
                item.priority = *priority;
            }
            if let Some(boost) = boost {
                item.set_boost(*boost);
            }
            if let Some(tags) = tags {
                let old = item.tags;
                item.tags = store.tags.acquire(tags);
                store.tags.release(old);
                if store.is_contested(slot) {
                    store.with_review(slot, |review| review.added_tag = false);
                }
            }
            if let Some(excluded) = excluded {
                store.exclude(slot, excluded);
            }
            if let Some(quorum) = *quorum {
                store.with_review(slot, |review| review.quorum = quorum);
            }
            if let Some(group) = group {
                store.set_group(slot, group);
            }
            if is_new {
                // After the group: what comes into it by this very change is new there.
                store.note_changed(slot);
            }
            if let Some(reports) = *reports {
                store.with_rare(slot, |rare| rare.reports = reports);
            }
        }))
    }

    /// Names who is excluded from now on. Skips stay, unless nobody is named.
    fn exclude(&mut self, slot: ItemSlot, names: &Names<'_>) {
        let mut excluded = self.intern_all(names);
        if !names.is_empty() {
            let skips = self.excluded(slot).iter().filter(|e| e.skip);
            let mut skips: Vec<Exclusion> = skips.copied().collect();
            let skipped: HashSet<_> = skips.iter().map(|e| e.moderator).collect();
            for exclusion in &mut excluded {
                exclusion.skip = skipped.contains(&exclusion.moderator);
            }
            let named: HashSet<_> = excluded.iter().map(|e| e.moderator).collect();
            skips.retain(|e| !named.contains(&e.moderator));
            excluded.extend(skips);
        }
        self.set_excluded(slot, excluded);
    }

    /// Changes content or order of an item, in its state; a dead one is revived if `revive`.
    fn changed(
        &mut self,
        slot: ItemSlot,
        revive: bool,
        change: impl FnOnce(&mut Store),
    ) -> Applied {
        let item = &mut self.items[slot];
        item.rev = item.rev.next();
        match item.state {
            // The order key and the class are part of where a ready item is filed.
            State::Ready => {
                self.leave_state(slot);
                change(self);
                self.enter_ready(slot);
                Applied::item(slot)
            }
            State::Dead => {
                self.leave_state(slot);
                change(self);
                self.enter_dead(slot);
                if revive {
                    self.revived(slot)
                } else {
                    Applied::NOTHING
                }
            }
            State::Locked | State::Delayed => {
                change(self);
                Applied::NOTHING
            }
        }
    }

    fn revived(&mut self, slot: ItemSlot) -> Applied {
        self.leave_state(slot);
        self.with_rare(slot, |rare| rare.expiries = 0);
        self.enter_ready(slot);
        Applied::item(slot)
    }

    pub(super) fn apply_revive(&mut self, slot: ItemSlot) -> Outcome {
        if self.is_contested(slot) {
            self.leave_state(slot);
            self.void_votes(slot);
            self.enter_dead(slot);
        }
        Ok(self.revived(slot))
    }

    pub(super) fn apply_due(&mut self, slot: ItemSlot) -> Outcome {
        self.leave_state(slot);
        let opportunity = self.come_back(slot);
        Ok(Applied {
            opportunity,
            ..Applied::NOTHING
        })
    }

    pub(super) fn apply_delay(&mut self, slot: ItemSlot, due: Time, now: Time) -> Outcome {
        check_due(Some(due))?;
        self.leave_state(slot);
        self.enter_delayed(slot, due);
        self.set_span(slot, due, now);
        Ok(Applied::NOTHING)
    }

    pub(super) fn apply_cancel(&mut self, slot: ItemSlot) -> Outcome {
        let lock = self.leave_state(slot);
        self.drop_item(slot);
        count(&mut self.stats.cancelled);
        Ok(self.freed(lock))
    }

    pub(super) fn apply_move_out(&mut self, slot: ItemSlot) -> Outcome {
        let lock = self.leave_state(slot);
        self.drop_item(slot);
        Ok(self.freed(lock))
    }
}
