//! WHY: the reasons for which an item would not go to a moderator now.

use super::list::MOST_LOOKED_AT;
use super::{Offered, Reason, best, held};
use crate::queue::Queue;
use crate::queue::store::{ItemSlot, ModeratorSlot, State, TagSlot, Timed, covers};
use crate::units::Time;
use serde_bytes::Bytes;
use smallvec::SmallVec;

/// One who is asked about: what the queue knows of them, and what they offer.
struct Candidate {
    known: Option<ModeratorSlot>,
    sets: Offered,
}

impl Queue {
    /// Why an item would not go to a moderator now; none at all if there is no such item.
    #[must_use]
    pub fn why(
        &self,
        id: &[u8],
        moderator: &[u8],
        given: Option<&[&Bytes]>,
        now: Time,
    ) -> Option<Vec<Reason>> {
        let slot = self.store.find(id)?;
        let known = self.store.moderators().find(moderator);
        let sets = self.offered(known, given);
        let candidate = Candidate { known, sets };
        let mut reasons = Vec::new();
        if self.judged(slot, now).0 != State::Ready {
            reasons.push(Reason::State);
        }
        if !self.is_covered(slot, &candidate) {
            reasons.push(Reason::Tags);
        }
        if let Some(known) = known {
            let barrings = self.store.barrings(slot, known);
            reasons.extend(barrings.into_iter().map(Reason::from));
        }
        let capacity = self.store.settings().capacity;
        let held = known.map_or(0, |m| held(&self.store, m, now).count() as u64);
        if capacity > 0 && held >= capacity {
            reasons.push(Reason::Capacity);
        }
        if self.store.paused().output {
            reasons.push(Reason::Paused);
        }
        // Others come first only where this one could come at all.
        if reasons.is_empty() && self.is_behind(slot, &candidate, now) {
            reasons.push(Reason::Behind);
        }
        Some(reasons)
    }

    fn is_covered(&self, slot: ItemSlot, candidate: &Candidate) -> bool {
        let needed = self.store.tags().set(self.store.items()[slot].tags);
        candidate.sets.iter().any(|set| covers(set, needed))
    }

    fn is_barred(&self, slot: ItemSlot, candidate: &Candidate) -> bool {
        let known = candidate.known;
        known.is_some_and(|m| self.store.is_barred(slot, m))
    }

    /// Whether another item comes first: one that is ready, or one that would be, had what is
    /// overdue been applied.
    fn is_behind(&self, slot: ItemSlot, candidate: &Candidate, now: Time) -> bool {
        let store = &self.store;
        let comes_first = |other| other != slot && store.key(other) < store.key(slot);
        let sets = candidate.sets.iter().map(|set| &set[..]);
        let sets: SmallVec<[&[TagSlot]; 2]> = sets.collect();
        if best(store, candidate.known, &sets).is_some_and(comes_first) {
            return true;
        }
        let due = store.timers().iter().take_while(|t| t.time <= now);
        due.take(MOST_LOOKED_AT).any(|timer| match timer.what {
            Timed::Registration(_) => false,
            Timed::Deadline(_, other) | Timed::Due(_, other) => {
                self.judged(other, now).0 == State::Ready
                    && comes_first(other)
                    && self.is_covered(other, candidate)
                    && !self.is_barred(other, candidate)
            }
        })
    }
}
