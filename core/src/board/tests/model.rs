//! The rules themselves, with nothing but a list that is sorted for each question.

use super::*;
use std::cmp::Ordering;
use std::collections::BTreeMap;

pub(super) struct Model {
    pub(super) order: Vec<Order>,
    pub(super) settings: Settings,
    pub(super) members: BTreeMap<Vec<u8>, (Vec<i64>, u64)>,
    pub(super) last_stamp: u64,
    pub(super) ids: Vec<(Vec<u8>, Time)>,
}

/// A row of the sorted list.
pub(super) type Standing = (Vec<u8>, Vec<i64>, u64);

impl Model {
    pub(super) fn new(settings: Settings) -> Model {
        let order = settings.order();
        let order = (0..settings.columns()).map(|i| order[i.min(order.len() - 1)]);
        Model {
            order: order.collect(),
            settings,
            members: BTreeMap::new(),
            last_stamp: 0,
            ids: Vec::new(),
        }
    }

    pub(super) fn compare(&self, a: &[i64], b: &[i64]) -> Ordering {
        for (i, order) in self.order.iter().enumerate() {
            let ordering = match order {
                Order::Desc => b[i].cmp(&a[i]),
                Order::Asc => a[i].cmp(&b[i]),
            };
            if ordering.is_ne() {
                return ordering;
            }
        }
        Ordering::Equal
    }

    pub(super) fn sorted(&self) -> Vec<Standing> {
        let members = self.members.iter();
        let mut all: Vec<Standing> = members
            .map(|(name, (row, stamp))| (name.clone(), row.clone(), *stamp))
            .collect();
        all.sort_by(|a, b| {
            self.compare(&a.1, &b.1).then(match self.settings.ties {
                Ties::Earliest => a.2.cmp(&b.2),
                Ties::Latest => b.2.cmp(&a.2),
                Ties::Member => a.0.cmp(&b.0),
            })
        });
        all
    }

    pub(super) fn rank(&self, name: &[u8], ranking: Ranking) -> Option<u64> {
        let sorted = self.sorted();
        let place = sorted.iter().position(|s| s.0 == name)?;
        let mut better: Vec<&Vec<i64>> = sorted.iter().map(|s| &s.1).collect();
        better.retain(|row| self.compare(row, &sorted[place].1).is_lt());
        Some(
            1 + match ranking {
                Ranking::Ordinal => place,
                Ranking::Standard => better.len(),
                Ranking::Dense => {
                    better.dedup();
                    better.len()
                }
            } as u64,
        )
    }

    fn is_retry(&self, id: &[u8], now: Time) -> bool {
        let known = self.ids.iter().find(|(known, _)| known == id);
        known.is_some_and(|(_, first)| now < (*first).min(now) + self.settings.retry)
    }

    fn updated(&self, known: &[i64], add: &Add<'_>) -> Option<Vec<i64>> {
        match add.update.unwrap_or(self.settings.update) {
            Update::Sum => {
                let columns = known.iter().zip(add.row.iter());
                columns.map(|(a, b)| a.checked_add(*b)).collect()
            }
            Update::Last => Some(add.row.to_vec()),
            Update::Best if self.compare(&add.row, known).is_lt() => Some(add.row.to_vec()),
            Update::Best => Some(known.to_vec()),
        }
    }

    /// What was recorded later counts as recorded now.
    pub(super) fn set_back(&mut self, now: Time) {
        for (_, first) in &mut self.ids {
            *first = now.min(*first);
        }
    }

    /// What ADD answers; none for an overflow.
    pub(super) fn add(&mut self, clock: Clock, add: &Add<'_>) -> Option<Added> {
        let old_rank = self.rank(add.member, Ranking::Ordinal);
        let known = self.members.get(add.member).cloned();
        let same = |shown: &[i64]| Added {
            changed: false,
            rank: old_rank,
            old_rank,
            row: row(shown),
        };
        if add.id.is_some_and(|id| self.is_retry(id, clock.now)) {
            return Some(same(known.as_ref().map_or(&add.row, |known| &known.0)));
        }
        let new = match &known {
            Some((known, _)) => self.updated(known, add)?,
            None => add.row.to_vec(),
        };
        if let Some(id) = add.id {
            self.set_back(clock.now);
            self.ids.retain(|(known, _)| known != id);
            self.ids.push((id.to_vec(), clock.now));
        }
        if known.as_ref().is_some_and(|known| known.0 == new) {
            return Some(same(&new));
        }
        let before = (self.members.clone(), self.last_stamp);
        self.last_stamp = clock.us.max(self.last_stamp + 1);
        self.members
            .insert(add.member.to_vec(), (new.clone(), self.last_stamp));
        if self.settings.cap > 0 && self.members.len() as u64 > self.settings.cap {
            let last = self.sorted().pop().expect("there are some").0;
            self.members.remove(&last);
            if last == add.member {
                (self.members, self.last_stamp) = before;
                return Some(same(&add.row));
            }
        }
        self.set_back(clock.now);
        Some(Added {
            changed: true,
            rank: self.rank(add.member, Ranking::Ordinal),
            old_rank,
            row: row(&new),
        })
    }

    pub(super) fn import(&mut self, clock: Clock, members: &[Scored]) {
        let mut listed: Vec<&Scored> = members.iter().collect();
        // As ZREVRANGE and ZRANGE list them, the first to rank first among equals.
        if self.order[0] == Order::Desc {
            listed.reverse();
        }
        if self.settings.ties == Ties::Latest {
            listed.reverse();
        }
        for (name, score) in listed {
            let known = self.members.get(&**name);
            if known.is_none_or(|(row, _)| row[0] != *score) {
                self.last_stamp = clock.us.max(self.last_stamp + 1);
                let row = (vec![*score], self.last_stamp);
                self.members.insert(name.to_vec(), row);
            }
        }
        if self.settings.cap > 0 {
            for out in self.sorted().iter().skip(self.settings.cap as usize) {
                self.members.remove(&out.0);
            }
        }
    }

    /// Everything that can be asked of the board is as it is here.
    pub(super) fn check(&self, board: &Board) {
        let sorted = self.sorted();
        assert_eq!(board.len(), sorted.len());
        for ranking in [Ranking::Ordinal, Ranking::Standard, Ranking::Dense] {
            let ranks: Vec<u64> = sorted
                .iter()
                .map(|s| self.rank(&s.0, ranking).expect("it is there"))
                .collect();
            for (standing, rank) in sorted.iter().zip(&ranks) {
                let got = board.get(&standing.0, ranking).expect("it is there");
                assert_eq!(got.rank, *rank, "{ranking:?}");
                assert_eq!(got.standing.stamp, standing.2);
                assert_eq!(*got.standing.row, *standing.1);
            }
            for (offset, n) in [(0, 1000), (0, 2), (1, 3), (3, 1), (4, 0), (100, 5)] {
                let mut shown = Vec::new();
                board.top(offset, n, ranking, |l| {
                    shown.push((l.rank, l.standing.member.to_vec(), l.standing.row.to_vec()));
                });
                let all = ranks.iter().zip(&sorted);
                let all = all.map(|(rank, s)| (*rank, s.0.clone(), s.1.clone()));
                let expected: Vec<_> = all.skip(offset as usize).take(n).collect();
                assert_eq!(shown, expected, "{ranking:?}");
                assert_eq!(board.top_len(offset, n), expected.len());
            }
        }
        for (place, standing) in sorted.iter().enumerate() {
            let first = place.saturating_sub(2);
            let n = (place + 4).min(sorted.len()) - first;
            assert_eq!(board.around(&standing.0, 2, 3), Some((first as u64, n)));
            let better = sorted
                .iter()
                .filter(|s| self.compare(&s.1, &standing.1).is_lt());
            assert_eq!(board.count_better(&row(&standing.1)), Ok(better.count()));
            let worse = sorted
                .iter()
                .filter(|s| self.compare(&s.1, &standing.1).is_ge());
            let percentile = board.percentile(&standing.0).expect("it is there");
            assert_eq!(percentile.dividend, 100 * worse.count() as u64);
            assert_eq!(percentile.divisor, sorted.len() as u64);
        }
        self.check_among(board, &sorted);
    }

    fn check_among(&self, board: &Board, sorted: &[Standing]) {
        // Every second, in the order of their names, with one that is not there, and all twice.
        let mut asked: Vec<&[u8]> = sorted.iter().step_by(2).map(|s| &*s.0).collect();
        asked.sort_unstable();
        asked.push(b"nobody");
        asked.extend(asked.clone());
        let among = board.among(asked.into_iter());
        let got = among.iter().map(|a| (a.rank, a.overall, a.standing.member));
        let expected = sorted.iter().enumerate().step_by(2).zip(1..);
        let expected = expected.map(|((place, s), i)| (i, place as u64 + 1, &*s.0));
        assert!(got.eq(expected));
    }
}
