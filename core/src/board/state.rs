//! The value of a key: settings, members, remembered requests; and how effects change them.

use super::effect::Effect;
use super::ids::Ids;
use super::record::Record;
use super::row::Row;
use super::rows::{self, Rows};
use super::settings::{Settings, Standing, Update};
use super::{MAX_MEMBERS, MAX_STAMP};
use crate::units::{Millis, Time};
use crate::wire::{MAX_TIME, valid_id};

/// A board. Nothing but [`Board::apply`] and [`Board::close`] changes it, once it is loaded.
pub struct Board {
    pub(super) settings: Settings,
    /// Whether it has come to be. Until then it is what a missing key is like.
    pub(super) created: bool,
    pub(super) rows: Box<dyn Rows>,
    /// No row has a later stamp.
    pub(super) last_stamp: u64,
    /// Boxed because few boards have any. Never empty.
    pub(super) ids: Option<Box<Ids>>,
}

impl Default for Board {
    fn default() -> Board {
        let settings = Settings::default();
        Board {
            settings,
            created: false,
            rows: rows::empty(&settings),
            last_stamp: 0,
            ids: None,
        }
    }
}

/// The effect cannot have happened to the board that it was to be applied to. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyError;

impl std::fmt::Display for ApplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("effect does not fit the value")
    }
}

impl std::error::Error for ApplyError {}

/// The place of the last member whose row changed: how many were before it, and are now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Before; none if it was not on the board.
    pub old: Option<usize>,
    /// Now; none if no row changed.
    pub new: Option<usize>,
}

impl Board {
    /// Carries out effects that were decided on this board, and writes them down. Answers the place of
    /// the last row that changed.
    ///
    /// # Errors
    /// An effect does not fit, which would be a bug. Those before it have been carried out.
    pub fn commit(
        &mut self,
        effects: &[Effect<'_>],
        record: &mut Record,
    ) -> Result<Applied, ApplyError> {
        let mut last = Applied::default();
        for effect in effects {
            let applied = self.apply(effect)?;
            record.push(effect);
            if applied.new.is_some() {
                last = applied;
            }
        }
        Ok(last)
    }

    /// Carries out an effect. Reads nothing but the board and the effect.
    ///
    /// # Errors
    /// The effect cannot have happened to this board. Nothing was changed.
    pub fn apply(&mut self, effect: &Effect<'_>) -> Result<Applied, ApplyError> {
        let creates = matches!(effect, Effect::Create(_));
        if self.created == creates {
            return Err(ApplyError);
        }
        match *effect {
            Effect::Create(settings) => {
                self.rows = rows::empty(&settings);
                self.settings = settings;
                self.created = true;
            }
            Effect::Configure { update, retry } => self.configured(update, retry),
            Effect::Set { member, row, stamp } => {
                return self.set(&Standing { member, row, stamp });
            }
            Effect::Remove { member } => {
                self.rows.find(member).ok_or(ApplyError)?;
                self.rows.remove(member);
            }
            Effect::Remember { now, forget, id } => self.remember(now, forget, id)?,
        }
        Ok(Applied::default())
    }

    fn configured(&mut self, update: Update, retry: Millis) {
        self.settings.update = update;
        self.settings.retry = retry;
    }

    fn set(&mut self, standing: &Standing<'_>) -> Result<Applied, ApplyError> {
        let fits = valid_id(standing.member)
            && standing.row.len() == self.settings.columns()
            && (self.last_stamp + 1..=MAX_STAMP).contains(&standing.stamp);
        if !fits || !self.has_room_for(standing) {
            return Err(ApplyError);
        }
        crate::inject::panic_if(standing.member, "panic in a row");
        self.last_stamp = standing.stamp;
        let moved = self.rows.put(standing);
        if self.is_over_cap() {
            if let Some(last) = self.rows.last() {
                let last: Box<[u8]> = last.member.into();
                self.rows.remove(&last);
            }
        }
        Ok(Applied {
            old: moved.old,
            new: Some(moved.new),
        })
    }

    /// Whether more members are on the board than CAP keeps.
    fn is_over_cap(&self) -> bool {
        let cap = self.settings.cap;
        cap > 0 && self.rows.len() as u64 > cap
    }

    /// Whether a member with this row is on the board, or there is room for one more, or it would take
    /// the place of the last.
    pub(super) fn has_room_for(&self, standing: &Standing<'_>) -> bool {
        let (len, cap) = (self.rows.len(), self.settings.cap);
        let has_room = cap == 0 || (len as u64) < cap;
        if has_room && len < MAX_MEMBERS || self.rows.find(standing.member).is_some() {
            return true;
        }
        let better = |last: Standing<'_>| self.settings.compare_standings(standing, &last).is_lt();
        !has_room && len < MAX_MEMBERS && self.rows.last().is_some_and(better)
    }

    fn remember(&mut self, now: Time, forget: u64, id: Option<&[u8]>) -> Result<(), ApplyError> {
        let known = self.ids.as_ref().map_or(0, |ids| ids.len()) as u64;
        if now > MAX_TIME || forget > known || id.is_some_and(|id| !valid_id(id)) {
            return Err(ApplyError);
        }
        if self.ids.is_none() && id.is_none() {
            return Ok(());
        }
        let ids = self.ids.get_or_insert_default();
        ids.set_back(now);
        for _ in 0..forget {
            ids.forget_first();
        }
        if let Some(id) = id {
            ids.record(id, now);
        }
        if ids.len() == 0 {
            self.ids = None;
        }
        Ok(())
    }

    /// Ends a season, in O(1): takes everything out and answers a board that has it. What is left is
    /// an empty board with the same settings, the same last stamp, and the remembered requests.
    ///
    /// # Errors
    /// There is no board.
    pub fn close(&mut self) -> Result<Board, ApplyError> {
        if !self.created {
            return Err(ApplyError);
        }
        let fresh = rows::empty(&self.settings);
        Ok(Board {
            settings: self.settings,
            created: true,
            rows: std::mem::replace(&mut self.rows, fresh),
            last_stamp: self.last_stamp,
            ids: None,
        })
    }

    /// Whether it has come to be.
    pub fn exists(&self) -> bool {
        self.created
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many requests are stored.
    pub fn ids(&self) -> usize {
        self.ids.as_ref().map_or(0, |ids| ids.len())
    }

    /// Bytes of memory in use, O(1).
    pub fn memory_bytes(&self) -> usize {
        let ids = self.ids.as_ref();
        let ids = ids.map_or(0, |ids| size_of::<Ids>() + ids.memory_bytes());
        size_of::<Self>() + self.rows.memory_bytes() + ids
    }

    /// How many allocations freeing it takes, about.
    pub fn free_effort(&self) -> usize {
        self.len() + self.ids()
    }

    /// The row of a member as it is.
    pub(super) fn row_of(&self, member: &[u8]) -> Option<Row> {
        let slot = self.rows.find(member)?;
        Some(self.rows.standing(slot).row)
    }
}
