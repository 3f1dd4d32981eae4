//! What the holder of a lock asks for: RELEASE, EXTEND; and a match undone. RESOLVE is in `verdicts`.

use super::{Request, Turn};
use crate::queue::effect::Effect;
use crate::queue::request::{Error, Extend, Release, Undo};
use crate::units::Time;

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
