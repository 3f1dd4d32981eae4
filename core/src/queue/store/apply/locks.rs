//! Applying what happens to locks: given, extended, ended.

use super::{
    Applied, ApplyError, LineChange, MAX_TIME, Outcome, check, check_due, check_name, check_place,
    check_time, count,
};
use crate::inject;
use crate::queue::effect::Effect;
use crate::queue::store::{Exclusion, ItemSlot, Lock, Place, State, Store};
use crate::units::{Time, When};

impl Store {
    pub(super) fn apply_lock(
        &mut self,
        when: When,
        slot: ItemSlot,
        effect: &Effect<'_>,
    ) -> Outcome {
        let When { at, now } = when;
        let Effect::Lock {
            moderator,
            token,
            deadline,
            assign,
            ..
        } = effect
        else {
            return Err(ApplyError);
        };
        let state = self.items[slot].state;
        check(state == State::Ready || *assign && state != State::Locked)?;
        check_name(moderator)?;
        check(*token > self.last_token && token.0 < MAX_TIME)?;
        check_time(*deadline)?;
        inject::panic_if(moderator, "panic before a lock");
        self.leave_state(slot);
        inject::panic_if(moderator, "panic in a lock");
        self.forget_late(slot);
        let waited = at.since(self.waiting_since(slot));
        let deliveries = &mut self.items[slot].deliveries;
        if *deliveries == 0 {
            self.stats.wait.record(waited.0);
            self.stats.waits.record(waited.0);
        }
        *deliveries = deliveries.saturating_add(1);
        self.last_token = *token;
        let moderator = self.moderators.intern(moderator);
        self.set_joined_at(moderator, None);
        self.enter_locked(Lock {
            item: slot,
            moderator,
            token: *token,
            deadline: *deadline,
            at,
        });
        self.note_set(now);
        if now != at {
            self.set_span(slot, *deadline, now);
        }
        Ok(Applied::line(LineChange::Moderator(moderator)))
    }

    pub(super) fn apply_extend(&mut self, slot: ItemSlot, deadline: Time, now: Time) -> Outcome {
        check_time(deadline)?;
        self.extend_lock(slot, deadline);
        self.set_span(slot, deadline, now);
        Ok(Applied::NOTHING)
    }

    pub(super) fn apply_release(
        &mut self,
        slot: ItemSlot,
        skip: bool,
        delay: Option<(Time, Time)>,
    ) -> Outcome {
        check_due(delay.map(|(due, _)| due))?;
        let lock = self.leave_state(slot);
        if let (Some(Lock { moderator, .. }), true) = (lock, skip) {
            let mut excluded = self.excluded(slot).to_vec();
            match excluded.iter_mut().find(|e| e.moderator == moderator) {
                Some(exclusion) => exclusion.skip = true,
                None => excluded.push(Exclusion { moderator, skip }),
            }
            self.set_excluded(slot, excluded);
        }
        count(&mut self.stats.released);
        Ok(self.put_back(slot, delay, lock))
    }

    pub(super) fn apply_expire(&mut self, slot: ItemSlot, dead: bool) -> Outcome {
        let lock = self.leave_state(slot);
        if let Some(lock) = lock {
            self.moderators[lock.moderator].references += 1;
        }
        self.with_rare(slot, |rare| {
            rare.expiries = rare.expiries.saturating_add(1);
            rare.late = lock;
        });
        count(&mut self.stats.expired);
        if dead {
            count(&mut self.stats.died);
            self.enter_dead(slot);
            return Ok(self.freed(lock));
        }
        Ok(self.put_back(slot, None, lock))
    }

    pub(super) fn apply_undo(&mut self, slot: ItemSlot, place: Option<Place>) -> Outcome {
        check_place(place)?;
        let lock = self.leave_state(slot);
        let deliveries = self.items[slot].deliveries.saturating_sub(1);
        self.items[slot].deliveries = deliveries;
        if let (Some(lock), 0) = (&lock, deliveries) {
            // It goes on waiting for its first claim.
            let waited = lock.at.since(self.waiting_since(slot));
            self.stats.wait.take_back(waited.0);
        }
        if let (Some(lock), Some(place)) = (lock, place) {
            self.set_joined_at(lock.moderator, Some(place));
        }
        Ok(self.put_back(slot, None, lock))
    }
}
