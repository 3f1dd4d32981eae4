//! The clock: locks that reach their deadline, items that come due, registrations that run out,
//! matches that were left to be caught up, and records that run out. Each transition is matched before
//! the next.

use super::Turn;
use crate::queue::Queue;
use crate::queue::effect::Effect;
use crate::queue::outcome::Due;
use crate::queue::request::Gate;
use crate::queue::store::{ItemSlot, ModeratorSlot, Timed};
use crate::units::Time;
use serde_bytes::Bytes;
use smallvec::SmallVec;

/// So many exclusions of an item take about as long as a step without any.
const EXCLUSIONS_PER_STEP: usize = 16;

impl Queue {
    /// When there is next something to do.
    #[inline]
    #[must_use]
    pub fn next_due(&self) -> Option<Due> {
        if self.line.is_sweeping() || !self.line.knows_all() || self.store.is_restamping() {
            return Some(Due::Now);
        }
        let timer = self.store.timers().first().map(|timer| timer.time);
        let Some(record) = self.store.next_record_due() else {
            return timer.map(Due::At);
        };
        let first = timer.map_or(record, |timer| timer.min(record));
        Some(Due::At(first))
    }
}

impl Queue {
    /// Whether there is something to do at `now`: something is due, or was set by a clock that has
    /// been set back since.
    #[must_use]
    pub fn is_due(&self, now: Time) -> bool {
        let due = self.next_due().is_some_and(|due| due.is_reached(now));
        due || self.store.is_ahead(now)
    }
}

impl Turn<'_> {
    /// Does what is overdue, at most `steps` steps of it, unless its events must wait for their
    /// stream. Answers how many steps were done.
    #[inline]
    pub(super) fn catch_up(&mut self, steps: usize) -> usize {
        let next = self.store.timers().first();
        let is_due = next.is_some_and(|t| t.time <= self.now.time)
            || self.line.is_sweeping()
            || !self.line.knows_all()
            || self.store.is_ahead(self.now.time);
        if is_due && self.gate != Gate::Missing {
            self.advance(steps)
        } else {
            self.drop_records(steps)
        }
    }

    /// Does what is overdue in the order of time, at most `budget` steps of it; the last transition
    /// may count for several. Matches left over from a PAUSE or CONFIGURE came first; records of decided
    /// items, which nobody can read any more, go with what is left of the budget.
    pub(in crate::queue) fn advance(&mut self, budget: usize) -> usize {
        let mut steps = self.restamp(budget);
        steps += self.sweep(budget - steps);
        let time = self.now.time;
        let due = |turn: &Self| turn.store.timers().first().is_some_and(|t| t.time <= time);
        while steps < budget && due(self) {
            steps += self.advance_instant(budget - steps);
        }
        steps + self.drop_records(budget.saturating_sub(steps))
    }

    /// After the clock was set back: has nothing last longer than was asked, by what it says now.
    fn restamp(&mut self, budget: usize) -> usize {
        let now = self.now.time;
        let mut steps = 0;
        while steps < budget {
            let Some(timer) = self.store.next_to_restamp(now) else {
                break;
            };
            steps += 1;
            if let Timed::Registration(moderator) = timer.what {
                self.line.seen_by(moderator, now);
            }
            let latest = self.store.latest_end(timer.what, now);
            if let Some(end) = latest.filter(|latest| *latest < timer.time) {
                self.end_by(timer.what, end);
            }
        }
        steps
    }

    /// Has something end earlier.
    fn end_by(&mut self, what: Timed, end: Time) {
        match what {
            Timed::Registration(moderator) => self.register_until(moderator, end),
            Timed::Deadline(_, slot) => {
                let id = &self.id_of(slot);
                let effect = Effect::Extend { id, deadline: end };
                self.commit(&effect, Some(slot));
            }
            Timed::Due(_, slot) => {
                let id = &self.id_of(slot);
                self.commit(&Effect::Delay { id, due: end }, Some(slot));
            }
        }
    }

    /// Goes along the line, and gives everyone what they may take.
    fn sweep(&mut self, budget: usize) -> usize {
        let mut steps = 0;
        while steps < budget && self.line.is_sweeping() {
            let possible = self.store.ready() > 0 && !self.store.paused().output;
            let next = self.line.next_in_sweep().filter(|_| possible);
            let Some((place, moderator)) = next else {
                self.line.end_sweep();
                break;
            };
            if !self.line.knows(place) {
                break;
            }
            // One who waits in several calls may be given several items, from the same place.
            let matched = self.match_moderator(moderator);
            self.line.sweep_to(place, moderator, matched.is_none());
            steps += 1 + matched.map_or(0, |slot| self.steps_by_exclusions(slot));
        }
        steps
    }

    /// The steps that a transition of an item counts for beyond its own: each moderator who is
    /// excluded from it has to be told when it becomes ready, and when it is locked.
    fn steps_by_exclusions(&self, slot: ItemSlot) -> usize {
        self.store.barred_len(slot) / EXCLUSIONS_PER_STEP
    }

    /// What is due at the earliest time there is, or as much of it as the budget allows. Of items
    /// that come back at the same instant the one that is claimed first is matched first.
    fn advance_instant(&mut self, budget: usize) -> usize {
        let timers = self.store.timers();
        let Some(time) = timers.first().map(|t| t.time) else {
            return 0;
        };
        let at_once = timers.iter().take_while(|t| t.time == time);
        let mut batch: SmallVec<[Timed; 4]> = at_once.take(budget).map(|t| t.what).collect();
        if batch.len() > 1 {
            batch.sort_by_cached_key(|what| match what {
                Timed::Registration(_) => None,
                Timed::Deadline(_, slot) | Timed::Due(_, slot) => Some(self.store.key(*slot)),
            });
        }
        let mut steps = 0;
        for what in &batch {
            if steps >= budget {
                break;
            }
            steps += 1;
            if let Timed::Deadline(_, slot) | Timed::Due(_, slot) = *what {
                steps += self.steps_by_exclusions(slot);
            }
            match *what {
                Timed::Registration(moderator) => self.registration_over(moderator),
                Timed::Deadline(_, slot) => self.deadline_reached(slot),
                Timed::Due(_, slot) => {
                    let id = self.id_of(slot);
                    self.commit_and_match(&Effect::Due { id: &id }, Some(slot));
                }
            }
        }
        steps
    }

    fn id_of(&self, slot: ItemSlot) -> SmallVec<[u8; 64]> {
        SmallVec::from_slice(self.store.items()[slot].id())
    }

    fn deadline_reached(&mut self, slot: ItemSlot) {
        let id = self.id_of(slot);
        let expiries = self.store.rare(slot).map_or(0, |rare| rare.expiries);
        let effect = Effect::Expire {
            id: &id,
            dead: self.store.dies_at(expiries.saturating_add(1)),
        };
        self.commit_and_match(&effect, Some(slot));
    }

    /// A registration ran out; a blocked call counted as a sign of life while it lasted.
    fn registration_over(&mut self, moderator: ModeratorSlot) {
        let record = &self.store.moderators()[moderator];
        let name = record.name.clone();
        let Some(ttl) = record.profile.as_ref().map(|profile| profile.ttl) else {
            return;
        };
        let now = self.now.time;
        let seen = match self.line.calls_of(moderator) {
            [] => self.line.last_call_ended(moderator).unwrap_or_default(),
            _ => now,
        };
        // A call that ended by a clock that was ahead has ended by now.
        let expires = seen.min(now) + ttl;
        if expires <= now {
            self.commit(&Effect::Leave { moderator: &name }, None);
            return;
        }
        self.register_until(moderator, expires);
    }

    /// Keeps a moderator registered, in their place, until another time.
    fn register_until(&mut self, moderator: ModeratorSlot, expires: Time) {
        let record = &self.store.moderators()[moderator];
        let name = record.name.clone();
        let Some(profile) = record.profile.as_deref().cloned() else {
            return;
        };
        let tags = self.tags_of(&profile);
        let effect = Effect::Join {
            moderator: &name,
            place: profile.place,
            ttl: profile.ttl,
            expires,
            count: profile.count,
            tags: tags.iter().map(|t| Bytes::new(t)).collect(),
        };
        self.commit(&effect, None);
    }
}
