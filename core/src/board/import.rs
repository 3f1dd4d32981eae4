//! Taking over the members of a sorted set.

use super::MAX_MEMBERS;
use super::decide::{Clock, Error};
use super::effect::Effect;
use super::row::Row;
use super::rows::Slot;
use super::settings::{Order, Settings, Standing, Ties};
use super::state::Board;
use std::collections::HashSet;

/// A member of a sorted set: its name and its score.
pub type Scored = (Box<[u8]>, i64);

/// What an import does.
#[derive(Debug)]
pub struct Import<'s> {
    /// The sorted set.
    members: &'s [Scored],
    /// The board that comes to be, if there was none.
    create: Option<Settings>,
    /// Who falls outside of CAP and was on the board.
    removed: Vec<Box<[u8]>>,
    /// Who gets a row: where it stands in `members`, and the stamp.
    set: Vec<(usize, u64)>,
}

impl Import<'_> {
    /// The effects, in the order in which they are to be committed: at no time are there more
    /// members than CAP keeps.
    pub fn effects(&self) -> impl Iterator<Item = Effect<'_>> {
        let removed = self.removed.iter();
        let removed = removed.map(|member| Effect::Remove { member });
        let set = self.set.iter().map(|&(i, stamp)| {
            let Standing { member, row, stamp } = standing(self.members, i, stamp);
            Effect::Set { member, row, stamp }
        });
        self.create
            .map(Effect::Create)
            .into_iter()
            .chain(removed)
            .chain(set)
    }
}

fn standing(members: &[Scored], i: usize, stamp: u64) -> Standing<'_> {
    let (member, score) = &members[i];
    let row = Row::new(&[*score]).expect("a row of one score");
    Standing { member, row, stamp }
}

/// Who would be on the board.
struct Candidate<'a> {
    standing: Standing<'a>,
    /// Where it stands in what is to be set, if its row changes.
    set: Option<usize>,
    on_board: bool,
}

impl Board {
    /// What gives all of `members`, which stand as a sorted set has them (by score, then by name, both
    /// ascending), these scores. A board that is not there comes to be. CAP applies once, at the end.
    ///
    /// # Errors
    /// The board has more than one column, or would have too many members.
    pub fn import<'s>(&self, clock: Clock, members: &'s [Scored]) -> Result<Import<'s>, Error> {
        if self.settings.columns() != 1 {
            return Err(Error::Columns(self.settings.columns()));
        }
        let first_stamp = self.stamp(clock)?;
        let mut import = Import {
            members,
            create: (!self.created).then_some(self.settings),
            removed: Vec::new(),
            set: Vec::new(),
        };
        // Stamps are given in the order in which equal scores are to rank, or against it.
        let descending = self.settings.first_order() == Order::Desc;
        let backwards = descending != (self.settings.ties == Ties::Latest);
        let mut new = 0;
        for i in 0..members.len() {
            let i = if backwards { members.len() - 1 - i } else { i };
            let stamp = first_stamp + import.set.len() as u64;
            let standing = standing(members, i, stamp);
            let known = self.row_of(standing.member);
            if known != Some(standing.row) {
                new += usize::from(known.is_none());
                import.set.push((i, stamp));
            }
        }
        if first_stamp.saturating_add(members.len() as u64) > super::MAX_STAMP {
            return Err(Error::StampsExhausted);
        }
        let len = self.len() + new;
        let cap = self.settings.cap;
        if cap > 0 && len as u64 > cap {
            self.keep_within(cap as usize, &mut import);
        } else if len > MAX_MEMBERS {
            return Err(Error::Full);
        }
        Ok(import)
    }

    /// Takes out of an import what would fall outside of CAP, and takes off the board who does.
    fn keep_within(&self, cap: usize, import: &mut Import<'_>) {
        let mut candidates = self.candidates(import);
        let settings = &self.settings;
        candidates.sort_unstable_by(|a, b| settings.compare_standings(&a.standing, &b.standing));
        let mut falls = vec![false; import.set.len()];
        let mut removed = Vec::new();
        for out in &candidates[cap..] {
            if let Some(set) = out.set {
                falls[set] = true;
            }
            if out.on_board {
                removed.push(out.standing.member.into());
            }
        }
        drop(candidates);
        import.removed = removed;
        let mut falls = falls.into_iter();
        import.set.retain(|_| falls.next() == Some(false));
    }

    fn candidates<'a>(&'a self, import: &Import<'a>) -> Vec<Candidate<'a>> {
        let mut candidates = Vec::with_capacity(self.len() + import.set.len());
        let mut changed: HashSet<Slot> = HashSet::new();
        for (n, &(i, stamp)) in import.set.iter().enumerate() {
            let standing = standing(import.members, i, stamp);
            let slot = self.rows.find(standing.member);
            changed.extend(slot);
            candidates.push(Candidate {
                standing,
                set: Some(n),
                on_board: slot.is_some(),
            });
        }
        self.rows.visit(0, &mut |slot, _| {
            if !changed.contains(&slot) {
                candidates.push(Candidate {
                    standing: self.rows.standing(slot),
                    set: None,
                    on_board: true,
                });
            }
            true
        });
        candidates
    }
}
