//! What supervisors ask for: ASSIGN, PAUSE, UNPAUSE, REVIVE, CONFIGURE.

use super::moderators::How;
use super::{COMMAND_STEPS, Request, Turn};
use crate::queue::effect::Effect;
use crate::queue::request::{Assign, Configure, Error, Gate, Pause, Revive, ReviveAll, Unpause};
use crate::queue::settings::{Paused, Settings};
use crate::queue::store::State;
use crate::units::Token;

/// Locks an item for a named person, whatever their tags and capacity.
///
/// Errors: `NoItem`; `Locked`; `Excluded`; `TokensExhausted`; `Events`, `TryAgain`.
impl Request for Assign<'_> {
    type Reply = Token;

    fn run(self, turn: &mut Turn<'_>) -> Result<Token, Error> {
        let slot = turn.find(self.id)?;
        if turn.is_locked(slot) {
            return Err(Error::Locked);
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
        Ok(turn.hand_to(slot, self.moderator, lock, How::Assign))
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

    fn revive(&mut self, id: &[u8]) -> Result<bool, Error> {
        let dead = self.is_dead(id);
        if dead {
            self.admit()?;
            self.commit_and_match(&Effect::Revive { id }, None);
        }
        Ok(dead)
    }
}

/// Makes dead items ready again, and replies how many were dead.
///
/// Errors: `Events`, `TryAgain`.
impl Request for Revive<'_> {
    type Reply = usize;

    fn run(self, turn: &mut Turn<'_>) -> Result<usize, Error> {
        let mut revived = 0;
        for id in self.ids {
            revived += usize::from(turn.revive(id)?);
        }
        Ok(revived)
    }
}

/// Makes the dead items that came first ready again, and replies how many.
///
/// Errors: `Events`, `TryAgain`.
impl Request for ReviveAll {
    type Reply = usize;

    fn run(self, turn: &mut Turn<'_>) -> Result<usize, Error> {
        let dead = turn.store.dead().iter().take(self.count);
        let ids = dead.map(|(_, slot)| turn.store.items()[*slot].id().into());
        let ids: Vec<Box<[u8]>> = ids.collect();
        for id in &ids {
            turn.revive(id)?;
        }
        Ok(ids.len())
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
            split_tag: self.split_tag.unwrap_or(&present.split_tag).to_vec(),
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
