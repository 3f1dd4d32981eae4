//! What the holder of a lock asks for: RESOLVE, RELEASE, EXTEND; and a match undone.

use super::{Request, Turn};
use crate::queue::effect::Effect;
use crate::queue::event::Told;
use crate::queue::request::{Error, Extend, Release, Resolve, Resolved, Undo};
use crate::queue::settings::Late;
use crate::queue::store::{ItemSlot, State};
use crate::units::{Time, Token};

/// Ends an item with a decision on it. With `Changed` the lock is kept.
///
/// Errors: `NoItem`; `Stale` if the token is not the live lock's, nor accepted late; `Changed` if
/// the content is no longer of the revision named; `Events`, `TryAgain`.
impl Request for Resolve<'_> {
    type Reply = Resolved;

    fn run(self, turn: &mut Turn<'_>) -> Result<Resolved, Error> {
        let slot = turn.find(self.id)?;
        if turn.live(slot, self.token).is_none() && !turn.is_accepted_late(slot, self.token) {
            return Err(Error::Stale);
        }
        let rev = turn.store.items()[slot].rev;
        if self.rev.is_some_and(|named| !rev.is(named)) {
            return Err(Error::Changed);
        }
        turn.admit()?;
        let effect = Effect::Resolve { id: self.id };
        let told = Told {
            verdict: self.verdict,
            decision: self.decision,
            ..Told::default()
        };
        let opportunity = turn.commit_told(&effect, Some(slot), &told);
        turn.seize(opportunity);
        Ok(Resolved::Ended)
    }
}

impl Turn<'_> {
    /// Whether `token` is that of a lock that ended by its deadline and still counts.
    fn is_accepted_late(&self, slot: ItemSlot, token: Token) -> bool {
        if self.store.settings().late == Late::Reject {
            return false;
        }
        let last = match self.store.items()[slot].state {
            State::Locked => self.store.lock(slot),
            _ => self.store.rare(slot).and_then(|rare| rare.late),
        };
        last.is_some_and(|lock| lock.token == token)
    }
}

/// Gives an item back, to its own place.
///
/// Errors: `NoItem`, `Stale`, `Events`, `TryAgain`.
impl Request for Release<'_> {
    type Reply = ();

    fn run(self, turn: &mut Turn<'_>) -> Result<(), Error> {
        let slot = turn.find(self.id)?;
        turn.live(slot, self.token).ok_or(Error::Stale)?;
        let effect = Effect::Release {
            id: self.id,
            skip: self.skip,
            due: turn.due_after(self.delay),
        };
        turn.admit()?;
        turn.commit_and_match(&effect, Some(slot));
        Ok(())
    }
}

/// Sets the deadline of a lock, counted from now, and replies it.
///
/// Errors: `NoItem`, `Stale`, `Events`, `TryAgain`.
impl Request for Extend<'_> {
    type Reply = Time;

    fn run(self, turn: &mut Turn<'_>) -> Result<Time, Error> {
        let slot = turn.find(self.id)?;
        turn.live(slot, self.token).ok_or(Error::Stale)?;
        turn.admit()?;
        let deadline = turn.now.time + self.span;
        let id = self.id;
        turn.commit(&Effect::Extend { id, deadline }, Some(slot));
        Ok(deadline)
    }
}

/// Undoes a match: item and deliveries are as before, and so is the moderator's place by JOIN.
/// Its token is never given again.
///
/// Errors: `TryAgain` if the event stream is missing; a stream of another type is no reason to
/// leave the item with nobody.
impl Request for Undo<'_> {
    type Reply = bool;

    fn run(self, turn: &mut Turn<'_>) -> Result<bool, Error> {
        if turn.gate == crate::queue::Gate::Missing {
            return Err(Error::TryAgain);
        }
        let Some(slot) = turn.store.find(self.id) else {
            return Ok(false);
        };
        let lock = turn.is_locked(slot).then(|| turn.store.lock(slot));
        if lock.flatten().is_none_or(|lock| lock.token != self.token) {
            return Ok(false);
        }
        let effect = Effect::Undo {
            id: self.id,
            place: self.place,
        };
        turn.commit_and_match(&effect, Some(slot));
        Ok(true)
    }
}
