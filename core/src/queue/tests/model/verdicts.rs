//! The model's verdicts: votes, splits, and how an item ends.

use super::*;

impl ModelItem {
    /// The votes are void, and it is no longer contested.
    pub(super) fn void(&mut self) {
        self.votes.clear();
        self.contested = false;
        self.parked = false;
        if self.added_tag {
            self.tags.pop();
        }
        self.added_tag = false;
    }
}

/// What votes come to.
enum Count {
    Agreed(String),
    Split,
    Open,
}

/// By the words of the specification: of several verdicts with k votes the one just given, else the
/// most votes, else the earliest.
fn count(votes: &[ModelVote], quorum: Quorum, just_given: Option<&str>) -> Count {
    let (k, n) = (usize::from(quorum.k), usize::from(quorum.n));
    let of = |verdict: &str| votes.iter().filter(|v| v.verdict == verdict).count();
    if let Some(verdict) = just_given.filter(|verdict| of(verdict) >= k) {
        return Count::Agreed(verdict.into());
    }
    let mut best = None;
    for vote in votes {
        if best.is_none_or(|best: &str| of(&vote.verdict) > of(best)) {
            best = Some(&*vote.verdict);
        }
    }
    match best {
        Some(best) if of(best) >= k => Count::Agreed(best.into()),
        Some(best) if of(best) + n.saturating_sub(votes.len()) < k => Count::Split,
        _ => Count::Open,
    }
}

/// What a RESOLVE that is not refused is.
pub(super) enum Accepted {
    /// One that was accepted before, and answered so.
    Before(Resolved),
    /// A verdict on this item under this lock, and whether that is live.
    Anew(usize, HeldLock, bool),
}

impl Model {
    pub(crate) fn resolve(&mut self, now: Now, resolve: &Resolve<'_>) -> Result<Resolved, Error> {
        let (index, lock, is_live) = match self.accept_or_recall(now, resolve)? {
            Accepted::Before(resolved) => return Ok(resolved),
            Accepted::Anew(index, lock, is_live) => (index, lock, is_live),
        };
        let verdict = resolve.verdict.map(text).unwrap_or_default();
        let resolved = self.give_named(now, index, &lock, is_live, verdict);
        self.settle(now);
        Ok(resolved)
    }

    /// Looks whether a RESOLVE is accepted, records aside.
    pub(super) fn accept(&self, resolve: &Resolve<'_>) -> Result<Accepted, Error> {
        let token = resolve.token.0;
        let verdict = resolve.verdict.map(text);
        let index = self.find(&text(resolve.id)).ok_or(Error::NoItem)?;
        let item = &self.items[index];
        let named = verdict.clone().unwrap_or_default();
        let as_before = |vote: &ModelVote| match vote.verdict == named {
            true if vote.split => Ok(Accepted::Before(Resolved::Split)),
            true => Ok(Accepted::Before(Resolved::Voted)),
            false => Err(Error::Stale),
        };
        let late = item.late.clone();
        let late = late.filter(|l| l.token == token && self.settings.late == Late::Accept);
        let (lock, is_live) = match (self.live(index, token), late) {
            (Ok(lock), _) => (lock, true),
            (Err(_), Some(lock)) => (lock, false),
            (Err(error), None) => {
                let mut votes = item.votes.iter();
                let vote = votes.find(|vote| vote.token == token && token > 0);
                return vote.map_or(Err(error), as_before);
            }
        };
        if let Some(vote) = item.votes.iter().find(|v| v.moderator == lock.moderator) {
            return as_before(vote);
        }
        if item.quorum.k > 1 && verdict.is_none() {
            return Err(Error::VerdictNeeded);
        }
        if resolve.rev.is_some_and(|rev| rev != item.rev) {
            return Err(Error::Changed);
        }
        Ok(Accepted::Anew(index, lock, is_live))
    }

    /// The verdict of whoever has, or had, a lock on an item; the match comes after it.
    pub(super) fn give_named(
        &mut self,
        now: Now,
        index: usize,
        lock: &HeldLock,
        is_live: bool,
        verdict: String,
    ) -> Resolved {
        let at = self.stamp(now);
        self.totals.handle.record(at - lock.at);
        if is_live {
            self.totals.handles.record(at - lock.at);
        }
        self.give_verdict(index, lock.moderator.clone(), lock.token, verdict, at)
    }

    /// A verdict that counts; the match comes after it.
    pub(super) fn give_verdict(
        &mut self,
        index: usize,
        moderator: String,
        token: u64,
        verdict: String,
        at: u64,
    ) -> Resolved {
        let item = &mut self.items[index];
        let vote = ModelVote {
            moderator,
            token,
            verdict,
            at,
            split: false,
        };
        let mut votes = item.votes.clone();
        votes.push(vote.clone());
        let counted = match item.contested {
            true => Count::Agreed(vote.verdict.clone()),
            false => count(&votes, item.quorum, Some(&vote.verdict)),
        };
        if let Count::Agreed(verdict) = counted {
            self.totals.resolved += 1;
            let item = self.items.remove(index);
            self.remember(&item, &vote, &verdict, at);
            return Resolved::Ended;
        }
        if item.late.as_ref().is_some_and(|l| l.token == token) {
            item.late = None;
        }
        item.votes = votes;
        item.expiries = 0;
        item.phase = Phase::Ready;
        self.totals.votes += 1;
        if let Count::Split = counted {
            item.votes.last_mut().expect("just given").split = true;
            self.split(index);
            return Resolved::Split;
        }
        Resolved::Voted
    }

    fn split(&mut self, index: usize) {
        let item = &mut self.items[index];
        let tag = text(&self.settings.split_tag);
        item.contested = true;
        item.parked = tag.is_empty();
        item.phase = match tag.is_empty() {
            true => Phase::Dead,
            false => Phase::Ready,
        };
        if !tag.is_empty() && !item.tags.contains(&tag) {
            item.tags.push(tag);
            item.added_tag = true;
        }
        self.totals.splits += 1;
    }

    /// The quorum of an item has changed: its votes are counted anew, unless it is locked.
    pub(super) fn count_anew(&mut self, now: Now, index: usize) {
        let item = &self.items[index];
        if matches!(item.phase, Phase::Locked(_)) || item.contested || item.votes.is_empty() {
            return;
        }
        let counted = count(&item.votes, item.quorum, None);
        let at = match counted {
            Count::Open => return,
            _ => self.stamp(now),
        };
        match counted {
            Count::Agreed(verdict) => {
                self.totals.resolved += 1;
                let item = self.items.remove(index);
                let last = item.votes.last().expect("there is one");
                self.remember(&item, last, &verdict, at);
            }
            Count::Split => self.split(index),
            Count::Open => {}
        }
    }
}
