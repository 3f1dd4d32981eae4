//! What requests do: the effects they have and what is answered. Nothing is changed here.

use super::effect::Effect;
use super::row::Row;
use super::settings::{Settings, Standing, Update};
use super::state::{Applied, Board};
use super::{MAX_MEMBERS, MAX_STAMP};
use crate::units::{Millis, Time};
use crate::wire::MAX_TIME;
use smallvec::SmallVec;
use std::cmp::Ordering;

/// How many expired ids an ADD forgets. More than the one it may record, so that they do not pile up.
const FORGET_PER_ADD: usize = 8;

/// What time it is.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Unix ms.
    pub now: Time,
    /// Unix µs: what stamps are made of.
    pub us: u64,
}

/// A request to change the row of a member.
#[derive(Debug, Clone, Copy)]
pub struct Add<'a> {
    /// The name, 1 to 512 bytes.
    pub member: &'a [u8],
    /// The scores offered.
    pub row: Row,
    /// What to do with them, if not what the board is set to.
    pub update: Option<Update>,
    /// 1 to 512 bytes by which a retry is known.
    pub id: Option<&'a [u8]>,
}

/// A request to set what can be set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Configure {
    /// The new UPDATE.
    pub update: Option<Update>,
    /// The new RETRY.
    pub retry: Option<Millis>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// There is a board.
    Exists,
    /// A row must have so many scores.
    Columns(usize),
    /// A sum would be outside of 64 bits.
    Overflow,
    /// There are as many members as there can be.
    Full,
    /// Every stamp there is has been given.
    StampsExhausted,
}

/// What is to be done for a request, and what is to be answered.
#[derive(Debug, Clone)]
pub struct Decision<'a> {
    /// What to commit; nothing if empty.
    pub effects: SmallVec<[Effect<'a>; 3]>,
    /// What to answer when that is done.
    pub answer: Answer,
}

/// The answer to an ADD as far as it is known before it is done.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    row: Row,
    changed: bool,
    /// The place of a member that does not change, if it is on the board.
    place: Option<usize>,
}

/// What an ADD answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// Whether the row changed, or the member is new.
    pub changed: bool,
    /// The rank, from 1 on.
    pub rank: Option<u64>,
    /// The rank before.
    pub old_rank: Option<u64>,
    /// The row, or what was offered if the member is not on the board.
    pub row: Row,
}

impl Answer {
    /// The answer, once the effects are committed.
    pub fn after(&self, applied: Applied) -> Added {
        let rank = |place: usize| place as u64 + 1;
        let (old, new) = match self.changed {
            true => (applied.old, applied.new),
            false => (self.place, self.place),
        };
        Added {
            changed: self.changed,
            rank: new.map(rank),
            old_rank: old.map(rank),
            row: self.row,
        }
    }
}

impl Board {
    /// What creates the board.
    ///
    /// # Errors
    /// There is one.
    pub fn create(&self, settings: Settings) -> Result<Effect<'static>, Error> {
        match self.created {
            true => Err(Error::Exists),
            false => Ok(Effect::Create(settings)),
        }
    }

    /// What sets UPDATE and RETRY; nothing if they are as asked.
    pub fn configure(&self, request: Configure) -> Option<Effect<'static>> {
        let Settings { update, retry, .. } = self.settings;
        let new = (
            request.update.unwrap_or(update),
            request.retry.unwrap_or(retry),
        );
        let (update, retry) = (new != (update, retry)).then_some(new)?;
        Some(Effect::Configure { update, retry })
    }

    /// What an ADD does. A board that is not there comes to be, with the defaults.
    ///
    /// # Errors
    /// The row has the wrong length; the sum overflows; there are too many members.
    pub fn add<'a>(&self, clock: Clock, request: &Add<'a>) -> Result<Decision<'a>, Error> {
        self.check_columns(&request.row)?;
        let now = clock.now.min(MAX_TIME);
        let slot = self.rows.find(request.member);
        let known = slot.map(|slot| self.rows.standing(slot).row);
        let unchanged = |row: Row| Answer {
            row,
            changed: false,
            place: slot.map(|slot| self.rows.rank(slot)),
        };
        if request.id.is_some_and(|id| self.is_retry(id, now)) {
            return Ok(Decision {
                effects: SmallVec::new(),
                answer: unchanged(known.unwrap_or(request.row)),
            });
        }
        let row = self.updated(known, request)?;
        let mut decision = Decision {
            effects: SmallVec::new(),
            answer: Answer {
                row,
                changed: true,
                place: None,
            },
        };
        if !self.created {
            decision.effects.push(Effect::Create(self.settings));
        }
        if known == Some(row) {
            decision.answer = unchanged(row);
        } else {
            let (member, stamp) = (request.member, self.stamp(clock)?);
            let fits = known.is_some() || self.has_room_for(&Standing { member, row, stamp });
            if fits {
                decision.effects.push(Effect::Set { member, row, stamp });
            } else if self.rows.len() >= MAX_MEMBERS {
                return Err(Error::Full);
            } else {
                decision.answer = unchanged(row);
            }
        }
        if request.id.is_some() || !decision.effects.is_empty() {
            decision.effects.extend(self.remembering(now, request.id));
        }
        Ok(decision)
    }

    /// Whether a request of this id was recorded, and is remembered still. What was recorded before
    /// the clock was set back counts as recorded now.
    fn is_retry(&self, id: &[u8], now: Time) -> bool {
        let recorded = self.ids.as_ref().and_then(|ids| ids.recorded(id));
        recorded.is_some_and(|at| now < at.min(now) + self.settings.retry)
    }

    /// The row that a request makes of what is known of its member.
    fn updated(&self, known: Option<Row>, request: &Add<'_>) -> Result<Row, Error> {
        let offered = request.row;
        let Some(known) = known else {
            return Ok(offered);
        };
        match request.update.unwrap_or(self.settings.update) {
            Update::Sum => known.checked_add(&offered).ok_or(Error::Overflow),
            Update::Last => Ok(offered),
            Update::Best => Ok(match self.settings.compare(&offered, &known) {
                Ordering::Less => offered,
                _ => known,
            }),
        }
    }

    /// The next stamp.
    pub(super) fn stamp(&self, clock: Clock) -> Result<u64, Error> {
        let stamp = clock.us.min(MAX_STAMP).max(self.last_stamp + 1);
        (stamp <= MAX_STAMP)
            .then_some(stamp)
            .ok_or(Error::StampsExhausted)
    }

    /// What is recorded and forgotten with a request that has an effect or an id, if anything is.
    fn remembering<'a>(&self, now: Time, id: Option<&'a [u8]>) -> Option<Effect<'a>> {
        let mut forget = 0;
        let mut ahead = false;
        if let Some(ids) = &self.ids {
            forget = ids.expired(now, self.settings.retry, FORGET_PER_ADD) as u64;
            ahead = ids.newest().is_some_and(|newest| newest > now);
        }
        let any = id.is_some() || forget > 0 || ahead;
        any.then_some(Effect::Remember { now, forget, id })
    }

    /// What time does to the board: it forgets expired ids, at most `budget`.
    pub fn advance(&self, now: Time, budget: usize) -> Option<Effect<'static>> {
        let now = now.min(MAX_TIME);
        let ids = self.ids.as_ref()?;
        let forget = ids.expired(now, self.settings.retry, budget) as u64;
        let id = None;
        (forget > 0).then_some(Effect::Remember { now, forget, id })
    }

    /// When time next does something to the board.
    pub fn next_due(&self) -> Option<Time> {
        let oldest = self.ids.as_ref()?.oldest()?;
        Some(oldest + self.settings.retry)
    }

    /// What takes a member off the board, if it is there, and if asked for has this row.
    ///
    /// # Errors
    /// The row has the wrong length.
    pub fn remove<'a>(
        &self,
        member: &'a [u8],
        only: Option<&Row>,
    ) -> Result<Option<Effect<'a>>, Error> {
        if let Some(row) = only {
            self.check_columns(row)?;
        }
        let known = self.row_of(member);
        let found = known.filter(|known| only.is_none_or(|only| only == known));
        Ok(found.map(|_| Effect::Remove { member }))
    }

    pub(super) fn check_columns(&self, row: &Row) -> Result<(), Error> {
        let columns = self.settings.columns();
        (row.len() == columns)
            .then_some(())
            .ok_or(Error::Columns(columns))
    }
}
