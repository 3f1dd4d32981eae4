//! What supervisors ask for: ASSIGN, PAUSE, UNPAUSE, REVIVE, CONFIGURE.

use super::moderators::How;
use super::{COMMAND_STEPS, Request, Turn};
use crate::queue::effect::Effect;
use crate::queue::event::Told;
use crate::queue::request::{Assign, Configure, Error, Gate, Pause, Revive, ReviveAll, Unpause};
use crate::queue::settings::{Paused, Settings};
use crate::queue::store::{ItemSlot, ModeratorSlot, Opportunity, State};
use crate::units::Token;

/// Locks an item for a named person, whatever their tags and capacity. Whoever holds it hands it over
/// if the token is theirs.
///
/// Errors: `NoItem`; `Locked`, or with a token that is not the live lock's `Stale`; `Excluded`;
/// `TokensExhausted`; `Events`, `TryAgain`.
impl Request for Assign<'_> {
    type Reply = Token;

    fn run(self, turn: &mut Turn<'_>) -> Result<Token, Error> {
        let slot = turn.find(self.id)?;
        match self.token {
            None if turn.is_locked(slot) => return Err(Error::Locked),
            Some(token) if turn.live(slot, token).is_none() => return Err(Error::Stale),
            _ => {}
        }
        let known = turn.store.moderators().find(self.moderator);
        if known.is_some_and(|m| turn.store.is_barred(slot, m)) {
            return Err(Error::Excluded);
        }
        if !turn.has_tokens() {
            return Err(Error::TokensExhausted);
        }
        turn.admit()?;
        let lock = self.lock.unwrap_or(turn.store.settings().lock);
        let told = Told {
            by: self.by,
            ..Told::default()
        };
        let freed = self.token.and_then(|_| turn.take_back(slot, &told));
        let token = turn.hand_to(slot, self.moderator, lock, How::Assign { by: self.by });
        if let Some(moderator) = freed {
            turn.match_moderator(moderator);
        }
        Ok(token)
    }
}

impl Turn<'_> {
    /// Ends the lock on an item that somebody else is about to be given, so it goes to nobody in line
    /// meanwhile. Answers who may take another now; they may be forgotten by the time they are
    /// matched, and the slot another's: harmless, since whoever has it is matched only if they wait.
    fn take_back(&mut self, slot: ItemSlot, told: &Told<'_>) -> Option<ModeratorSlot> {
        // The effect would borrow the item's own id, so it is copied first.
        let id: Box<[u8]> = self.store.items()[slot].id().into();
        let effect = Effect::Release {
            id: &id,
            skip: false,
            due: None,
        };
        match self.commit_told(&effect, Some(slot), told) {
            Opportunity::Moderator(moderator) | Opportunity::Both(_, moderator) => Some(moderator),
            Opportunity::None | Opportunity::Item(_) => None,
        }
    }
}

/// Refuses input, output or both from now on.
///
/// Errors: none.
impl Request for Pause {
    type Reply = ();

    fn run(self, turn: &mut Turn<'_>) -> Result<(), Error> {
        turn.set_paused(turn.store.paused().and(self.0));
        Ok(())
    }
}

/// Accepts input, output or both again. What can be handed out at once is; the timer goes on with
/// the rest.
///
/// Errors: none.
impl Request for Unpause {
    type Reply = ();

    fn run(self, turn: &mut Turn<'_>) -> Result<(), Error> {
        turn.set_paused(turn.store.paused().without(self.0));
        if turn.gate == Gate::Open {
            turn.advance(COMMAND_STEPS);
        }
        Ok(())
    }
}

impl Turn<'_> {
    pub(in crate::queue) fn set_paused(&mut self, paused: Paused) {
        if paused != self.store.paused() {
            self.commit(&Effect::Pause { paused }, None);
        }
    }

    fn is_dead(&self, id: &[u8]) -> bool {
        let slot = self.store.find(id);
        slot.is_some_and(|slot| self.store.items()[slot].state == State::Dead)
    }

    /// Makes those of the items that are dead ready again, then matches them: the first of them first,
    /// in whatever order they are named. Answers how many were dead.
    fn revive_all<I: AsRef<[u8]>>(&mut self, ids: &[I], by: Option<&[u8]>) -> Result<usize, Error> {
        let told = Told {
            by,
            ..Told::default()
        };
        let (mut revived, mut ready) = (0, Vec::new());
        for id in ids.iter().map(AsRef::as_ref) {
            if self.is_dead(id) {
                self.admit()?;
                let opportunity = self.commit_told(&Effect::Revive { id }, None, &told);
                ready.extend(opportunity.item());
                revived += 1;
            }
        }
        self.match_all(ready, None);
        Ok(revived)
    }
}

/// Makes dead items ready again, and replies how many were dead.
///
/// Errors: `Events`, `TryAgain`.
impl Request for Revive<'_> {
    type Reply = usize;

    fn run(self, turn: &mut Turn<'_>) -> Result<usize, Error> {
        turn.revive_all(self.ids, self.by)
    }
}

/// Makes the dead items that came first ready again, and replies how many.
///
/// Errors: `Events`, `TryAgain`.
impl Request for ReviveAll<'_> {
    type Reply = usize;

    fn run(self, turn: &mut Turn<'_>) -> Result<usize, Error> {
        let dead = turn.store.dead().iter().take(self.count);
        let ids = dead.map(|(_, slot)| turn.store.items()[*slot].id().into());
        let ids: Vec<Box<[u8]>> = ids.collect();
        turn.revive_all(&ids, self.by)
    }
}

/// Changes the settings that are given. What it lets go out at once goes out, unless the events
/// are to go to a stream that has yet to be made: then the timer does it.
///
/// Errors: `AgingInUse`.
impl Request for Configure<'_> {
    type Reply = ();

    fn run(self, turn: &mut Turn<'_>) -> Result<(), Error> {
        let settings = self.changed(turn.store.settings());
        turn.set_settings(settings)?;
        let new_stream = self.events.is_some_and(|stream| !stream.is_empty());
        if turn.gate == Gate::Open && !new_stream {
            turn.advance(COMMAND_STEPS);
        }
        Ok(())
    }
}

impl Configure<'_> {
    /// The settings with these changes.
    fn changed(&self, present: &Settings) -> Settings {
        Settings {
            lock: self.lock.unwrap_or(present.lock),
            max_expiries: self.max_expiries.unwrap_or(present.max_expiries),
            max_len: self.max_len.unwrap_or(present.max_len),
            capacity: self.capacity.unwrap_or(present.capacity),
            late: self.late.unwrap_or(present.late),
            aging: self.aging.unwrap_or(present.aging),
            events: self.events.unwrap_or(&present.events).to_vec(),
            events_max_len: self.events_max_len.unwrap_or(present.events_max_len),
            quorum: self.quorum.unwrap_or(present.quorum),
            split_tag: self.split_tag.unwrap_or(&present.split_tag).into(),
            retain: self.retain.unwrap_or(present.retain),
            retain_max: self.retain_max.unwrap_or(present.retain_max),
        }
    }
}

impl Turn<'_> {
    pub(in crate::queue) fn set_settings(&mut self, settings: Settings) -> Result<(), Error> {
        let aging_kept = settings.aging == self.store.settings().aging;
        if !aging_kept && self.store.items().len() > 0 {
            return Err(Error::AgingInUse);
        }
        self.commit(&Effect::Configure { settings }, None);
        Ok(())
    }
}
