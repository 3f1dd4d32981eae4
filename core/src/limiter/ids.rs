//! Remembered request ids: what each charged, where, and until when it is remembered.

use super::agenda::{Agenda, DROPS, Row};
use super::limits::Algo;
use super::usage::{Limit, Usage};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One limit that a remembered request charged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) algo: Algo,
    pub(super) window: u64,
    /// When the charge is gone: FIXED, when its window closes; GCRA, when the bucket as it was
    /// right after it would be empty. Otherwise 0: the time of the charge says it all.
    pub(super) gone: u64,
    /// GCRA: the quota it drains by; else 0.
    pub(super) rate: u64,
}

impl Part {
    /// The part of a request just charged to `limit`.
    pub(super) fn of(limit: &Limit) -> Part {
        let (gone, rate) = match &limit.usage {
            Usage::Log(_) | Usage::Counter(_) => (0, 0),
            Usage::Fixed(_) => (limit.end(), 0),
            Usage::Gcra(gcra) => (limit.end(), gcra.quota()),
        };
        Part {
            algo: limit.usage.algo(),
            window: limit.window,
            gone,
            rate,
        }
    }

    pub(super) fn is(&self, limit: &Limit) -> bool {
        self.window == limit.window && self.algo == limit.usage.algo()
    }

    /// Until when a request charged at `at` is remembered for this limit's sake.
    fn due(&self, at: u64) -> u64 {
        match self.algo {
            Algo::Fixed => self.gone,
            _ => at + self.window,
        }
    }

    /// Moves the part to `now` from the future time `at`, as the limit's own charges move.
    fn restamp(&mut self, at: u64, now: u64) {
        match self.algo {
            Algo::Fixed => self.gone = self.gone.min(now + self.window),
            Algo::Gcra if self.gone != u64::MAX => self.gone -= at - now, // gone > at
            _ => {}
        }
    }
}

/// A remembered request.
#[derive(Debug, Clone)]
pub(super) struct Memo {
    /// When it was charged (ms).
    pub(super) at: u64,
    /// Units charged to each part.
    pub(super) units: u64,
    pub(super) parts: SmallVec<[Part; 1]>,
}

impl Memo {
    /// Until when the request is remembered (ms): the longest of its parts.
    pub(super) fn due(&self) -> u64 {
        let dues = self.parts.iter().map(|part| part.due(self.at));
        dues.max().unwrap_or(self.at)
    }

    /// Moves the request to `now` if it is stamped later.
    fn restamp(&mut self, now: u64) {
        if self.at > now {
            for part in &mut self.parts {
                part.restamp(self.at, now);
            }
            self.at = now;
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Ids {
    by_id: BTreeMap<Arc<[u8]>, Memo>,
    agenda: Agenda,
    /// At least the newest stamp.
    newest: u64,
    /// While requests stamped in the future are being restamped, many by many: to what time. That
    /// of the first effect after the clock was set back, to which the charges have all moved.
    restamp_to: Option<u64>,
}

impl Ids {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// When the last is forgotten.
    pub(super) fn end(&self) -> Option<u64> {
        self.agenda.end()
    }

    /// How many are remembered at `now`.
    pub(super) fn live(&self, now: u64) -> u64 {
        self.agenda.live(now).rows
    }

    /// The request of this id, if it is remembered at `now`.
    pub(super) fn get(&self, id: &[u8], now: u64) -> Option<&Memo> {
        self.by_id
            .get(id)
            .filter(|memo| self.due_seen_at(memo, now) > now)
    }

    /// Until when a request is remembered, one stamped in the future as restamping will make it.
    pub(super) fn due_seen_at(&self, memo: &Memo, now: u64) -> u64 {
        if memo.at <= now {
            return memo.due();
        }
        let mut here = memo.clone();
        here.restamp(self.restamp_to(now));
        here.due()
    }

    fn restamp_to(&self, now: u64) -> u64 {
        self.restamp_to.map_or(now, |to| to.min(now))
    }

    /// For saving: see the field.
    pub(super) fn restamping_to(&self) -> Option<u64> {
        self.restamp_to
    }

    /// For loading: the same.
    pub(super) fn restamping(&mut self) -> &mut Option<u64> {
        &mut self.restamp_to
    }

    pub(super) fn contains(&self, id: &[u8]) -> bool {
        self.by_id.contains_key(id)
    }

    /// Every request held, the first to be forgotten first: loaded in this order they each go to
    /// the end.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Memo)> {
        let rows = self.agenda.iter();
        rows.filter_map(|row| Some((&*row.id, self.by_id.get(&row.id)?)))
    }

    /// Remembers a request, in place of one of the same id that has ended.
    pub(super) fn insert(&mut self, id: &[u8], memo: Memo) {
        self.remove(id);
        self.insert_shared(id.into(), memo);
    }

    fn insert_shared(&mut self, id: Arc<[u8]>, memo: Memo) {
        self.newest = self.newest.max(memo.at);
        self.agenda.insert(Row {
            due: memo.due(),
            weight: 1,
            stamp: memo.at,
            id: id.clone(),
        });
        self.by_id.insert(id, memo);
    }

    pub(super) fn remove(&mut self, id: &[u8]) -> Option<Memo> {
        let memo = self.by_id.remove(id)?;
        self.agenda.remove(memo.due(), id);
        Some(memo)
    }

    /// Forgets a request of a settled memory, which says what it charged and when: that, too, if
    /// its turn to be restamped has not come.
    pub(super) fn take(&mut self, id: &[u8], now: u64) -> Option<Memo> {
        let mut memo = self.remove(id)?;
        if memo.at > now {
            memo.restamp(self.restamp_to(now));
        }
        Some(memo)
    }

    /// Brings the memory to the time of an effect: what was charged later is restamped to `now`,
    /// what is due is forgotten, the rest of very many by later effects.
    pub(super) fn settle(&mut self, now: u64) {
        if self.newest > now {
            let to = self.restamp_to(now);
            let rows = self.agenda.take_ahead(now);
            let done = rows.len() < DROPS;
            for row in rows {
                if let Some(mut memo) = self.by_id.remove(&row.id) {
                    memo.restamp(to);
                    self.insert_shared(row.id, memo);
                }
            }
            self.restamp_to = (!done).then_some(to);
            if done {
                self.newest = now;
            }
        } else {
            self.restamp_to = None;
        }
        let by_id = &mut self.by_id;
        self.agenda.drop_due(now, |row| {
            by_id.remove(&row.id);
        });
    }

    /// Heap bytes, with the tree's nodes taken to be three quarters full.
    pub(super) fn heap_bytes(&self) -> usize {
        let node = size_of::<Arc<[u8]>>() + size_of::<Memo>();
        self.agenda.heap_bytes() + self.len() * node * 4 / 3
    }
}
