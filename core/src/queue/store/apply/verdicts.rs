//! Applying verdicts: votes, splits, the end of an item, and the records of decided ones.

use super::{Applied, ApplyError, Opportunity, Outcome, check, check_name, check_terms, count};
use crate::queue::effect::{Ending, MovedReview, Names};
use crate::queue::settings::Quorum;
use crate::queue::store::decided::hash;
use crate::queue::store::{ItemSlot, Lock, ModeratorSlot, State, Store, U48, Verdict, Vote};
use crate::queue::{MAX_TAG, MAX_VERDICT};
use crate::units::{Time, Token};
use serde_bytes::Bytes;
use std::collections::HashSet;

/// What came from another queue can have been so there.
pub(super) fn check_review(
    review: &MovedReview<'_>,
    tags: &Names<'_>,
    last_token: Token,
) -> Result<(), ApplyError> {
    check_terms(&review.terms)?;
    check(review.votes.len() <= Quorum::MAX as usize)?;
    check(review.contested || review.added_tag.is_empty())?;
    check(!review.contested || !review.votes.is_empty())?;
    check(review.added_tag.len() <= MAX_TAG && !tags.contains(&Bytes::new(review.added_tag)))?;
    let mut seen = HashSet::new();
    review.votes.iter().try_for_each(|vote| {
        check_ending(&vote.by, last_token)?;
        check(vote.at.0 < U48::MAX && seen.insert(vote.by.moderator))
    })
}

fn check_ending(end: &Ending<'_>, last_token: Token) -> Result<(), ApplyError> {
    check_name(end.moderator)?;
    check(end.verdict.len() <= MAX_VERDICT && end.token <= last_token)
}

/// Who ends an item or votes on it, and with what.
struct By<'a> {
    moderator: ModeratorSlot,
    token: Token,
    verdict: &'a [u8],
}

impl Store {
    /// The lock under which a verdict is given, if it is: one that is there, or one that ended by its
    /// deadline and is accepted late. A locked item takes the verdict of its own lock only.
    fn lock_of(&self, slot: ItemSlot, end: &Ending<'_>) -> Result<Option<Lock>, ApplyError> {
        let locked = self.items[slot].state == State::Locked;
        let lock = self.last_lock(slot);
        let is_it = |lock: &Lock| {
            let name = &*self.moderators[lock.moderator].name;
            lock.token == end.token && name == end.moderator
        };
        let lock = lock.filter(is_it);
        check(lock.is_some() || !locked)?;
        Ok(lock)
    }

    /// Notes how long the lock lasted under which a verdict was given. `ended` is the lock that it ended.
    fn note_handled(&mut self, at: Time, by: Option<Lock>, ended: Option<Lock>) {
        if let Some(lock) = by {
            self.stats.handle.record(at.since(lock.at).0);
        }
        if let Some(lock) = ended {
            self.stats.handles.record(at.since(lock.at).0);
        }
    }

    pub(super) fn apply_resolve(
        &mut self,
        at: Time,
        slot: ItemSlot,
        end: Option<&Ending<'_>>,
    ) -> Outcome {
        let late = self.rare(slot).and_then(|rare| rare.late);
        let by = match end {
            Some(end) => {
                check_ending(end, self.last_token)?;
                self.lock_of(slot, end)?
            }
            None => {
                check(self.items[slot].state == State::Locked || late.is_some())?;
                late
            }
        };
        let ended = self.leave_state(slot);
        let by = by.or(ended.filter(|_| end.is_none()));
        self.note_handled(at, by, ended);
        match self.settings.retain.is_zero() {
            false => self.leave_record(at, slot, end, by),
            // What was remembered of it before is no longer how it was decided.
            true => self.forget_decision(slot),
        }
        self.drop_item(slot);
        count(&mut self.stats.resolved);
        Ok(self.freed(ended))
    }

    /// Leaves the record of an item that is being decided.
    fn leave_record(
        &mut self,
        at: Time,
        slot: ItemSlot,
        end: Option<&Ending<'_>>,
        lock: Option<Lock>,
    ) {
        let name = |m: ModeratorSlot| Box::<[u8]>::from(&*self.moderators[m].name);
        let (ender, token, verdict): (Box<[u8]>, Token, &[u8]) = match (end, lock) {
            (Some(end), _) => (end.moderator.into(), end.token, end.verdict),
            (None, Some(lock)) => (name(lock.moderator), lock.token, &[]),
            (None, None) => return,
        };
        let item = &self.items[slot];
        let voters = self.votes(slot).iter().map(|vote| name(vote.moderator));
        let mut moderators: Vec<Box<[u8]>> = voters.filter(|voter| *voter != ender).collect();
        moderators.push(ender);
        let deciders = self.review(slot).map_or(&[][..], |r| &r.deciders);
        let barred: Vec<Box<[u8]>> = deciders.iter().map(|m| name(*m)).collect();
        let (id, group) = (item.id().to_vec(), self.group_name(slot).to_vec());
        let record = Verdict {
            item: &id,
            verdict,
            group: &group,
            decided: at,
            token,
            rev: item.rev,
            submitted: item.submitted(),
            reports: self.rare(slot).map_or(1, |rare| rare.reports),
            moderators: moderators.iter().map(|name| &**name).collect(),
            barred: barred.iter().map(|name| &**name).collect(),
            payload: hash(item.payload()),
        };
        let evicted = self.remember(&record);
        let total = &mut self.stats.records_evicted;
        *total = total.saturating_add(evicted);
    }

    pub(super) fn apply_vote(
        &mut self,
        at: Time,
        slot: ItemSlot,
        by: &Ending<'_>,
        split: bool,
    ) -> Outcome {
        check_ending(by, self.last_token)?;
        let lock = self.lock_of(slot, by)?;
        check(!self.is_contested(slot) && self.votes(slot).len() < Quorum::MAX as usize)?;
        if let Some(voter) = self.moderators.find(by.moderator) {
            check(self.votes(slot).iter().all(|vote| vote.moderator != voter))?;
        }
        let ended = self.leave_state(slot);
        self.note_handled(at, lock, ended);
        if lock.is_some() && ended.is_none() {
            self.forget_late(slot);
        }
        let by = By {
            moderator: self.moderators.intern(by.moderator),
            token: by.token,
            verdict: by.verdict,
        };
        self.add_vote(
            slot,
            Vote {
                moderator: by.moderator,
                token: by.token,
                at,
                verdict: by.verdict.into(),
                split,
            },
        );
        self.with_rare(slot, |rare| rare.expiries = 0);
        count(&mut self.stats.votes);
        Ok(self.judged(slot, split, ended))
    }

    pub(super) fn apply_split(&mut self, slot: ItemSlot) -> Outcome {
        check(self.items[slot].state != State::Locked)?;
        check(!self.is_contested(slot) && !self.votes(slot).is_empty())?;
        self.leave_state(slot);
        Ok(self.judged(slot, true, None))
    }

    /// An item in no state was voted on, or its votes were counted anew.
    fn judged(&mut self, slot: ItemSlot, split: bool, ended: Option<Lock>) -> Applied {
        if split {
            count(&mut self.stats.splits);
            if !self.contest(slot) {
                let freed = self.freed(ended);
                self.enter_dead(slot);
                return freed;
            }
        }
        self.put_back(slot, None, ended)
    }

    pub(super) fn apply_report(&mut self, id: &[u8]) -> Outcome {
        check(self.has_record(id))?;
        self.count_report(id);
        Ok(Applied::NOTHING)
    }

    pub(super) fn apply_forget(&mut self, id: &[u8]) -> Outcome {
        check(self.has_record(id))?;
        self.forget_record(id);
        Ok(Applied::NOTHING)
    }

    pub(super) fn apply_drop(&mut self, count: u64, evicted: bool) -> Outcome {
        check(count > 0 && count <= self.decided.len() as u64)?;
        self.drop_records(count);
        if evicted {
            let total = &mut self.stats.records_evicted;
            *total = total.saturating_add(count);
        }
        Ok(Applied {
            opportunity: Opportunity::None,
            ..Applied::NOTHING
        })
    }
}
