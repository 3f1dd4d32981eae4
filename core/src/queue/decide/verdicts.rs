//! RESOLVE: verdicts on items, by one or by several who must agree. What a verdict does to an item is
//! decided here, whoever gives it: by the votes that stand, the item's quorum, and whether it is contested.

use super::{Request, Turn};
use crate::queue::effect::{Effect, Ending};
use crate::queue::event::Told;
use crate::queue::request::{Error, Resolve, Resolved};
use crate::queue::settings::{Late, Quorum};
use crate::queue::store::{ItemSlot, Lock, Opportunity, State, Vote};
use crate::units::Token;
use smallvec::SmallVec;

/// A verdict that counts, and what its event tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub moderator: &'a [u8],
    /// Of their lock on the item; zero if they have none.
    pub token: Token,
    /// Empty if none was named.
    pub verdict: &'a [u8],
    pub decision: Option<&'a [u8]>,
    /// The item whose RESOLVE … ALSO gave it.
    pub via: Option<&'a [u8]>,
}

/// What votes come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count<'v> {
    /// So many agree as must.
    Agreed(&'v [u8]),
    /// They cannot agree any more.
    Split,
    /// More votes are needed.
    Open,
}

/// Counts verdicts, in the order they were given. Of several that have enough votes it is the last one
/// given if `last_first`, else the one with the most votes, else the one given first.
fn count<'v>(verdicts: &[&'v [u8]], quorum: Quorum, last_first: bool) -> Count<'v> {
    let votes_for = |verdict: &[u8]| verdicts.iter().filter(|v| **v == verdict).count();
    let k = usize::from(quorum.k);
    if let Some(last) = verdicts.last().filter(|_| last_first) {
        if votes_for(last) >= k {
            return Count::Agreed(last);
        }
    }
    // Of those with as many votes the first one given.
    let best = verdicts.iter().rev().max_by_key(|v| votes_for(v));
    let Some(best) = best else {
        return Count::Open;
    };
    let most = votes_for(best);
    let to_come = usize::from(quorum.n).saturating_sub(verdicts.len());
    match most {
        most if most >= k => Count::Agreed(best),
        most if most + to_come < k => Count::Split,
        _ => Count::Open,
    }
}

/// Ends an item with a decision on it, or counts a vote. With `Changed` the lock is kept.
///
/// Errors: `NoItem`; `Stale` if the token is not the live lock's, nor accepted late, nor that of a vote
/// or record with this verdict; `VerdictNeeded`; `Changed` if the content is no longer of the revision
/// named; `Events`, `TryAgain`.
impl Request for &Resolve<'_> {
    type Reply = Resolved;

    fn run(self, turn: &mut Turn<'_>) -> Result<Resolved, Error> {
        let (slot, lock) = match turn.check_resolve(self)? {
            Checked::Before(resolved) => return Ok(resolved),
            Checked::Anew(slot, lock) => (slot, lock),
        };
        turn.admit()?;
        let verdict = self.verdict.unwrap_or(&[]);
        if turn.store.review(slot).is_none() && !turn.is_kept(verdict) {
            // As for most: one verdict decides, and nobody will ask whose it was.
            let (id, end) = (self.id, None);
            let told = Told {
                verdict: self.verdict,
                decision: self.decision,
                ..Told::default()
            };
            let opportunity = turn.commit_told(&Effect::Resolve { id, end }, Some(slot), &told);
            turn.seize(opportunity);
            return Ok(Resolved::Ended);
        }
        let name = turn.store.moderators()[lock.moderator].name.clone();
        let (resolved, opportunity) = turn.give_verdict(slot, &self.given_by(&name));
        turn.seize(opportunity);
        Ok(resolved)
    }
}

impl Request for Resolve<'_> {
    type Reply = Resolved;

    fn run(self, turn: &mut Turn<'_>) -> Result<Resolved, Error> {
        (&self).run(turn)
    }
}

/// What a RESOLVE that is not refused is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Checked {
    /// One that was accepted before, and answered so.
    Before(Resolved),
    /// A verdict on this item, under this lock.
    Anew(ItemSlot, Lock),
}

impl<'a> Resolve<'a> {
    /// The verdict, of who holds the lock.
    pub(super) fn given_by(&self, moderator: &'a [u8]) -> Given<'a> {
        Given {
            moderator,
            token: self.token,
            verdict: self.verdict.unwrap_or(&[]),
            decision: self.decision,
            via: None,
        }
    }

    /// The answer to a verdict that was given before, while that vote stands.
    fn as_before(&self, vote: &Vote) -> Result<Resolved, Error> {
        if *vote.verdict != *self.verdict.unwrap_or(&[]) {
            return Err(Error::Stale);
        }
        Ok(match vote.split {
            true => Resolved::Split,
            false => Resolved::Voted,
        })
    }
}

impl Turn<'_> {
    /// Checks a RESOLVE, all but whether its event can be written.
    ///
    /// Errors: as of RESOLVE.
    pub(super) fn check_resolve(&self, resolve: &Resolve<'_>) -> Result<Checked, Error> {
        let found = self.store.find(resolve.id);
        let Some((slot, lock)) = found.and_then(|slot| Some((slot, self.lock_by(slot, resolve)?)))
        else {
            return self.answered_before(found, resolve).map(Checked::Before);
        };
        let store = &*self.store;
        if let Some(review) = store.review(slot) {
            let mut votes = review.votes.iter();
            if let Some(vote) = votes.find(|vote| vote.moderator == lock.moderator) {
                // Accepted late, of somebody who has voted since by another item's ALSO.
                return resolve.as_before(vote).map(Checked::Before);
            }
            if review.quorum.takes_several() && resolve.verdict.is_none() {
                return Err(Error::VerdictNeeded);
            }
        }
        let rev = store.items()[slot].rev;
        if resolve.rev.is_some_and(|named| !rev.is(named)) {
            return Err(Error::Changed);
        }
        Ok(Checked::Anew(slot, lock))
    }

    /// The lock under which a RESOLVE is accepted: a live one, or one that ended by its deadline and
    /// still counts.
    fn lock_by(&self, slot: ItemSlot, resolve: &Resolve<'_>) -> Option<Lock> {
        if let Some(lock) = self.live(slot, resolve.token) {
            return Some(lock);
        }
        if self.store.settings().late == Late::Reject {
            return None;
        }
        let last = self.store.last_lock(slot);
        last.filter(|lock| lock.token == resolve.token)
    }

    /// The answer to a RESOLVE that no lock accepts: as before, if it was accepted before.
    fn answered_before(
        &self,
        found: Option<ItemSlot>,
        resolve: &Resolve<'_>,
    ) -> Result<Resolved, Error> {
        let refused = match found {
            Some(_) => Error::Stale,
            None => Error::NoItem,
        };
        // Zero is the token of who had no lock, and nobody's to send again.
        if resolve.token == Token(0) {
            return Err(refused);
        }
        let votes = found.map_or(&[][..], |slot| self.store.votes(slot));
        if let Some(vote) = votes.iter().find(|vote| vote.token == resolve.token) {
            return resolve.as_before(vote);
        }
        let record = self.store.record(resolve.id, self.now.time);
        match record.filter(|record| record.token == resolve.token) {
            Some(record) if *record.verdict == *resolve.verdict.unwrap_or(&[]) => {
                Ok(Resolved::Ended)
            }
            Some(_) => Err(Error::Stale),
            None => Err(refused),
        }
    }

    /// Carries out a verdict on an item of somebody who may give it. The caller has asked `admit`, and
    /// matches whoever that makes possible to match.
    pub(super) fn give_verdict(
        &mut self,
        slot: ItemSlot,
        given: &Given<'_>,
    ) -> (Resolved, Opportunity) {
        let id = SmallVec::<[u8; 64]>::from_slice(self.store.items()[slot].id());
        let told = Told {
            decision: given.decision,
            via: given.via,
            ..Told::default()
        };
        let by = Ending {
            moderator: given.moderator,
            token: given.token,
            verdict: given.verdict,
        };
        let counted = match self.store.review(slot) {
            // As for most: one verdict decides.
            None => Count::Agreed(given.verdict),
            Some(review) if review.contested => Count::Agreed(given.verdict),
            Some(review) => {
                let earlier = review.votes.iter().map(|vote| &*vote.verdict);
                let verdicts: Vec<&[u8]> = earlier.chain([given.verdict]).collect();
                count(&verdicts, review.quorum, true)
            }
        };
        if let Count::Agreed(verdict) = counted {
            let verdict = SmallVec::<[u8; 32]>::from_slice(verdict);
            let end = Ending {
                verdict: &verdict,
                ..by
            };
            let by_lock = end.token != Token(0);
            return (Resolved::Ended, self.end(slot, &id, end, by_lock, told));
        }
        let split = counted == Count::Split;
        let effect = Effect::Vote { id: &id, by, split };
        let told = Told {
            verdict: Some(given.verdict),
            ..told
        };
        let opportunity = self.commit_told(&effect, Some(slot), &told);
        let resolved = match split {
            true => Resolved::Split,
            false => Resolved::Voted,
        };
        (resolved, opportunity)
    }

    /// Whether a verdict that ends an item is remembered by its name.
    fn is_kept(&self, verdict: &[u8]) -> bool {
        !verdict.is_empty() && !self.store.settings().retain.is_zero()
    }

    /// Ends an item. `by_lock`: the verdict is that of its lock, or of the last one, accepted late.
    fn end(
        &mut self,
        slot: ItemSlot,
        id: &[u8],
        end: Ending<'_>,
        by_lock: bool,
        told: Told<'_>,
    ) -> Opportunity {
        let is_kept = self.is_kept(end.verdict);
        let effect = Effect::Resolve {
            id,
            // Most verdicts are those of a lock and leave nothing: then that says it all.
            end: (!by_lock || is_kept).then_some(end),
        };
        let told = Told {
            verdict: (!end.verdict.is_empty()).then_some(end.verdict),
            ..told
        };
        self.commit_told(&effect, Some(slot), &told)
    }

    /// What the votes on an item that is not locked come to by its present quorum.
    fn counted(&self, slot: ItemSlot) -> Count<'_> {
        let store = &*self.store;
        if store.items()[slot].state == State::Locked || store.is_contested(slot) {
            return Count::Open;
        }
        let votes = store.votes(slot).iter();
        let verdicts: Vec<&[u8]> = votes.map(|vote| &*vote.verdict).collect();
        count(&verdicts, store.quorum(slot), false)
    }

    /// Whether counting the votes on an item anew would end it or make it contested.
    pub(super) fn is_settled(&self, slot: ItemSlot) -> bool {
        self.counted(slot) != Count::Open
    }

    /// Counts the votes on an item that is not locked anew, after its quorum was set.
    pub(super) fn count_anew(&mut self, slot: ItemSlot, told: &Told<'_>) -> bool {
        let store = &*self.store;
        let Some(last) = store.votes(slot).last() else {
            return false;
        };
        let id = SmallVec::<[u8; 64]>::from_slice(store.items()[slot].id());
        match self.counted(slot) {
            Count::Open => return false,
            Count::Agreed(verdict) => {
                let verdict = SmallVec::<[u8; 32]>::from_slice(verdict);
                let name = store.moderators()[last.moderator].name.clone();
                let end = Ending {
                    moderator: &name,
                    token: last.token,
                    verdict: &verdict,
                };
                let opportunity = self.end(slot, &id, end, false, *told);
                self.seize(opportunity);
            }
            Count::Split => {
                let opportunity = self.commit_told(&Effect::Split { id: &id }, Some(slot), told);
                self.seize(opportunity);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum(k: u8, n: u8) -> Quorum {
        Quorum { k, n }
    }

    #[test]
    fn of_several_with_enough_votes_it_is_the_last_then_the_most_then_the_first() {
        let votes: [&[u8]; 5] = [b"a", b"b", b"b", b"a", b"c"];
        assert_eq!(count(&votes, quorum(1, 9), true), Count::Agreed(b"c"));
        assert_eq!(count(&votes, quorum(1, 9), false), Count::Agreed(b"a"));
        assert_eq!(count(&votes[..4], quorum(2, 9), true), Count::Agreed(b"a"));
        assert_eq!(count(&votes[..3], quorum(1, 9), false), Count::Agreed(b"b"));
        assert_eq!(count(&votes, quorum(3, 6), true), Count::Open);
        assert_eq!(count(&votes, quorum(3, 5), true), Count::Split);
        assert_eq!(count(&votes, quorum(3, 4), true), Count::Split);
        assert_eq!(count(&[], quorum(1, 1), false), Count::Open);
    }
}
