//! Remembered request ids: what each charged, where, and until when it is remembered.

use super::agenda::{Agenda, DROPS, Row};
use super::id_map::IdMap;
use super::limits::Algo;
use super::usage::{Limit, Usage};
use crate::memory::alloc_size;
use crate::units::{Millis, Time};
use smallvec::SmallVec;
use std::sync::Arc;

/// One limit that a remembered request charged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) window: Millis,
    pub(super) trace: Trace,
}

/// The algorithm of a limit that was charged, and what there is to know of the charge, beside its
/// time and units, to say how much of it is still there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trace {
    Log,
    Counter,
    Fixed {
        /// When the charged window closes.
        closes: Time,
    },
    Gcra {
        /// When the bucket, as it was right after the charge, is empty. `None` if that is past any
        /// clock: then all of the charge is still there.
        empty: Option<Time>,
        /// The quota (units) it drains by.
        rate: u64,
    },
}

impl Part {
    /// The part of a request just charged to `limit`.
    pub(super) fn of(limit: &Limit) -> Part {
        let trace = match &limit.usage {
            Usage::Log(_) => Trace::Log,
            Usage::Counter(_) => Trace::Counter,
            Usage::Fixed(_) => Trace::Fixed {
                closes: limit.end(),
            },
            Usage::Gcra(gcra) => Trace::Gcra {
                empty: Some(limit.end()).filter(|end| *end < Time::MAX),
                rate: gcra.quota(),
            },
        };
        Part {
            window: limit.window,
            trace,
        }
    }

    pub(super) fn algo(&self) -> Algo {
        match self.trace {
            Trace::Log => Algo::Log,
            Trace::Counter => Algo::Counter,
            Trace::Fixed { .. } => Algo::Fixed,
            Trace::Gcra { .. } => Algo::Gcra,
        }
    }

    /// Whether it is this limit that was charged.
    pub(super) fn is(&self, limit: &Limit) -> bool {
        self.window == limit.window && self.algo() == limit.usage.algo()
    }

    /// Until when a request charged at `at` is remembered for this limit's sake.
    fn due(&self, at: Time) -> Time {
        match self.trace {
            Trace::Fixed { closes } => closes,
            _ => at + self.window,
        }
    }

    /// Moves the part to `now` from the future time `at`, as the limit's own charges move.
    fn restamp(&mut self, at: Time, now: Time) {
        match &mut self.trace {
            Trace::Fixed { closes } => *closes = (*closes).min(now + self.window),
            // Moved with the charge, after which it was not empty before `at`.
            Trace::Gcra {
                empty: Some(empty), ..
            } => *empty = now + empty.since(at),
            _ => {}
        }
    }
}

/// A remembered request.
#[derive(Debug, Clone)]
pub(super) struct Memo {
    /// When it was charged.
    pub(super) at: Time,
    /// Units charged to each part.
    pub(super) units: u64,
    pub(super) parts: SmallVec<[Part; 1]>,
}

impl Memo {
    /// Until when the request is remembered: the longest of its parts.
    fn due(&self) -> Time {
        let dues = self.parts.iter().map(|part| part.due(self.at));
        dues.max().unwrap_or(self.at)
    }

    fn heap_bytes(&self) -> usize {
        match self.parts.spilled() {
            true => alloc_size(self.parts.capacity() * size_of::<Part>()),
            false => 0,
        }
    }

    /// Moves the request to `now` if it is stamped later.
    fn restamp(&mut self, now: Time) {
        if self.at > now {
            for part in &mut self.parts {
                part.restamp(self.at, now);
            }
            self.at = now;
        }
    }
}

/// All remembered requests of a key.
#[derive(Debug, Clone, Default)]
pub(super) struct Ids {
    by_id: IdMap<Memo>,
    /// The ids of all of them, by when they are forgotten.
    agenda: Agenda,
    /// Heap bytes of the parts of requests that charged several limits.
    part_bytes: usize,
    /// No request is stamped later.
    newest: Time,
    /// Set while requests stamped in the future are being restamped, some with each effect: to what
    /// time. It is that of the first effect after the clock was set back, to which that effect
    /// moved all charges.
    restamp_to: Option<Time>,
}

impl Ids {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// No request is stamped later than this.
    pub(super) fn newest(&self) -> Time {
        self.newest
    }

    /// When the last is forgotten.
    pub(super) fn end(&self) -> Option<Time> {
        self.agenda.end()
    }

    /// How many are remembered at `now`.
    pub(super) fn live(&self, now: Time) -> u64 {
        self.agenda.live(now).rows
    }

    /// The request of this id, if it is remembered at `now`.
    pub(super) fn get(&self, id: &[u8], now: Time) -> Option<&Memo> {
        self.by_id
            .get(id)
            .filter(|memo| self.due_seen_at(memo, now) > now)
    }

    /// Until when a request is remembered, one stamped in the future as restamping will make it.
    pub(super) fn due_seen_at(&self, memo: &Memo, now: Time) -> Time {
        if memo.at <= now {
            return memo.due();
        }
        let mut here = memo.clone();
        here.restamp(self.restamp_to(now));
        here.due()
    }

    /// What an effect at `now` restamps to.
    fn restamp_to(&self, now: Time) -> Time {
        self.restamp_to.map_or(now, |to| to.min(now))
    }

    /// For saving: to what time requests from the future are being restamped, if they are.
    pub(super) fn restamping_to(&self) -> Option<Time> {
        self.restamp_to
    }

    /// For loading: the same. False if it has been loaded already.
    #[must_use]
    pub(super) fn load_restamping_to(&mut self, to: Time) -> bool {
        self.restamp_to.replace(to).is_none()
    }

    /// Whether there is a request of this id, forgotten or not.
    pub(super) fn contains(&self, id: &[u8]) -> bool {
        self.by_id.get(id).is_some()
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
        self.part_bytes += memo.heap_bytes();
        self.by_id.insert(id, memo);
    }

    fn remove(&mut self, id: &[u8]) -> Option<Memo> {
        let memo = self.by_id.remove(id)?;
        self.part_bytes -= memo.heap_bytes();
        self.agenda.remove(memo.due(), id);
        Some(memo)
    }

    /// Forgets a request, after [`Ids::settle`] at `now`. Returns what it charged and when, as
    /// restamped, whether or not that has been done yet.
    pub(super) fn take(&mut self, id: &[u8], now: Time) -> Option<Memo> {
        let mut memo = self.remove(id)?;
        if memo.at > now {
            memo.restamp(self.restamp_to(now));
        }
        Some(memo)
    }

    /// Brings the memory to the time of an effect: what was charged later is restamped to `now`,
    /// what is due is forgotten. No more than [`DROPS`] are restamped and forgotten; the others are
    /// left to later effects.
    pub(super) fn settle(&mut self, now: Time) {
        if self.newest > now {
            let to = self.restamp_to(now);
            let rows = self.agenda.take_ahead(now);
            let done = rows.len() < DROPS;
            for row in rows {
                if let Some(mut memo) = self.by_id.remove(&row.id) {
                    self.part_bytes -= memo.heap_bytes();
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
        let (by_id, part_bytes) = (&mut self.by_id, &mut self.part_bytes);
        self.agenda.drop_due(now, |row| {
            let gone = by_id.remove(&row.id);
            *part_bytes -= gone.map_or(0, |memo| memo.heap_bytes());
        });
    }

    /// Heap bytes. Looks at each block of the agenda.
    pub(super) fn heap_bytes(&self) -> usize {
        self.agenda.heap_bytes() + self.part_bytes + self.by_id.heap_bytes()
    }
}
