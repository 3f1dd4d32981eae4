//! Applying what happens to registrations by JOIN. Locking an item never adds or removes one: it
//! only takes the moderator out of line.

use super::{
    Applied, ApplyError, LineChange, Opportunity, Outcome, check, check_name, check_place,
    check_tags, check_time,
};
use crate::queue::MAX_DURATION;
use crate::queue::effect::Effect;
use crate::queue::store::{ModeratorSlot, Place, Profile, Store, Timed};
use crate::units::Time;

impl Store {
    pub(super) fn apply_join(&mut self, effect: &Effect<'_>, now: Time) -> Outcome {
        let Effect::Join {
            moderator,
            place,
            ttl,
            expires,
            count,
            tags,
        } = effect
        else {
            return Err(ApplyError);
        };
        check_name(moderator)?;
        check_time(*expires)?;
        check_tags(tags)?;
        check(ttl.0 <= MAX_DURATION)?;
        check_place(*place)?;
        let slot = self.moderators.intern(moderator);
        let tags = self.tags.acquire(tags);
        self.unregister(slot);
        self.note_set(now);
        self.register(
            slot,
            Profile {
                ttl: *ttl,
                expires: *expires,
                count: *count,
                tags,
                place: *place,
            },
        );
        Ok(Applied {
            opportunity: Opportunity::Moderator(slot),
            line: LineChange::Registered(slot),
        })
    }

    pub(super) fn apply_served(&mut self, moderator: &[u8]) -> Outcome {
        let slot = self.moderators.find(moderator).ok_or(ApplyError)?;
        self.set_joined_at(slot, None);
        Ok(Applied::line(LineChange::Moderator(slot)))
    }

    pub(super) fn apply_leave(&mut self, moderator: &[u8]) -> Outcome {
        let slot = self.moderators.find(moderator).ok_or(ApplyError)?;
        check(self.moderators[slot].profile.is_some())?;
        self.unregister(slot);
        self.moderators.forget_if_idle(slot);
        Ok(Applied::line(LineChange::Moderator(slot)))
    }

    /// Registers a moderator who is not registered.
    pub(in crate::queue::store) fn register(&mut self, slot: ModeratorSlot, profile: Profile) {
        self.add_timer(profile.expires, Timed::Registration(slot));
        self.moderators.set_profile(slot, Some(profile));
    }

    fn unregister(&mut self, slot: ModeratorSlot) {
        if let Some(old) = self.moderators.set_profile(slot, None) {
            self.remove_timer(old.expires, Timed::Registration(slot));
            self.tags.release(old.tags);
        }
    }

    /// Puts a moderator into line by their registration, or takes them out of it; does nothing for
    /// who is not registered.
    pub(super) fn set_joined_at(&mut self, slot: ModeratorSlot, place: Option<Place>) {
        if let Some(profile) = &mut self.moderators[slot].profile {
            profile.place = place;
        }
    }
}
