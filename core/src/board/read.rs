//! Everything that only looks at a board.

use super::decide::Error;
use super::row::Row;
use super::rows::Slot;
use super::settings::{Settings, Standing};
use super::state::Board;

/// How members with equal rows are numbered. It changes no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ranking {
    /// Each has a number of its own: 1 2 3 4.
    #[default]
    Ordinal,
    /// They share the first of theirs, and the others are left out: 1 2 2 4.
    Standard,
    /// They share a number, and none is left out: 1 2 2 3.
    Dense,
}

/// A member of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Its rank, from 1 on.
    pub rank: u64,
    /// It.
    pub standing: Standing<'a>,
}

/// A member among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Among<'a> {
    /// Its rank among those asked for, from 1 on.
    pub rank: u64,
    /// Its rank on the board, from 1 on.
    pub overall: u64,
    /// It.
    pub standing: Standing<'a>,
}

/// Which part of the members is no better than a member, in percent: a number to be divided once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentile {
    /// A hundred for each member that is no better.
    pub dividend: u64,
    /// How many members there are.
    pub divisor: u64,
}

/// What INFO says.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// The settings.
    pub settings: Settings,
    /// How many members there are.
    pub members: usize,
    /// How many ids are stored.
    pub ids: usize,
}

impl Board {
    /// The rank of what is in a slot.
    fn rank_of(&self, slot: Slot, ranking: Ranking) -> u64 {
        let better = || self.rows.better(&self.rows.standing(slot).row);
        let before = match ranking {
            Ranking::Ordinal => self.rows.rank(slot),
            Ranking::Standard => better().members,
            Ranking::Dense => better().rows,
        };
        before as u64 + 1
    }

    /// A member and its rank.
    pub fn get(&self, member: &[u8], ranking: Ranking) -> Option<Listed<'_>> {
        let slot = self.rows.find(member)?;
        Some(Listed {
            rank: self.rank_of(slot, ranking),
            standing: self.rows.standing(slot),
        })
    }

    /// Shows `n` members, or as many as there are, behind the first `offset`.
    pub fn top<'a>(
        &'a self,
        offset: u64,
        n: usize,
        ranking: Ranking,
        mut show: impl FnMut(Listed<'a>),
    ) {
        let Some(offset) = usize::try_from(offset).ok().filter(|o| *o < self.len()) else {
            return;
        };
        let (mut left, mut rank) = (n, None);
        let mut place = offset as u64;
        self.rows.visit(offset, &mut |slot, leads| {
            if left == 0 {
                return false;
            }
            left -= 1;
            place += 1;
            rank = Some(match (rank, ranking, leads) {
                (None, ..) => self.rank_of(slot, ranking),
                (_, Ranking::Ordinal, _) | (_, Ranking::Standard, true) => place,
                (Some(rank), Ranking::Dense, true) => rank + 1,
                (Some(rank), _, false) => rank,
            });
            show(Listed {
                rank: rank.unwrap_or(place),
                standing: self.rows.standing(slot),
            });
            left > 0
        });
    }

    /// How many members [`Board::top`] shows.
    pub fn top_len(&self, offset: u64, n: usize) -> usize {
        let len = self.len() as u64;
        len.saturating_sub(offset).min(n as u64) as usize
    }

    /// Where a listing around a member begins and how long it is, with so many before it and after
    /// it; cut at the ends of the board.
    pub fn around(&self, member: &[u8], before: usize, after: usize) -> Option<(u64, usize)> {
        let place = self.rows.rank(self.rows.find(member)?);
        let first = place.saturating_sub(before);
        let end = place.saturating_add(after).saturating_add(1);
        Some((first as u64, end.min(self.len()) - first))
    }

    /// Those of the members that are on the board, each once, the best first.
    pub fn among<'m>(&self, members: impl Iterator<Item = &'m [u8]>) -> Vec<Among<'_>> {
        let slots = members.filter_map(|member| self.rows.find(member));
        let mut found: Vec<(usize, Slot)> =
            slots.map(|slot| (self.rows.rank(slot), slot)).collect();
        found.sort_unstable();
        found.dedup();
        let listed = |(i, (place, slot)): (usize, &(usize, Slot))| Among {
            rank: i as u64 + 1,
            overall: *place as u64 + 1,
            standing: self.rows.standing(*slot),
        };
        found.iter().enumerate().map(listed).collect()
    }

    /// How many members have a strictly better row.
    ///
    /// # Errors
    /// The row has the wrong length.
    pub fn count_better(&self, row: &Row) -> Result<usize, Error> {
        self.check_columns(row)?;
        Ok(self.rows.better(row).members)
    }

    /// Which part of the members is no better than this one.
    pub fn percentile(&self, member: &[u8]) -> Option<Percentile> {
        let rank = self.get(member, Ranking::Standard)?.rank;
        let divisor = self.len() as u64;
        Some(Percentile {
            dividend: 100 * (divisor - rank + 1),
            divisor,
        })
    }

    /// What INFO says.
    pub fn info(&self) -> Info {
        Info {
            settings: self.settings,
            members: self.len(),
            ids: self.ids(),
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}
