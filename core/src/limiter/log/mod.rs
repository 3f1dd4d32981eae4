//! LOG: admitted iff (units charged in (now - W, now]) + c <= L; a charge exactly W old has
//! expired. Exact at any size: charges of one millisecond share a run, runs are delta-coded in
//! chunks of up to 256 (`chunks.rs`), and running totals in the chunks let every question be
//! answered by a binary search and the decoding of one chunk. Source: the contract,
//! `ratelimit.md`.
//!
//! How runs are cut into chunks depends on history and has no meaning: every operation is defined
//! on runs.

mod chunks;

pub(super) use chunks::Run;

use crate::memory::alloc_size;
use crate::units::{Millis, Time};
use chunks::{Closed, Count};

/// Runs in rising order of time. The newest is held open outside the chunks, so that a log of one
/// charge has no heap, and a charge in the same ms changes one number.
#[derive(Debug, Clone)]
pub(super) struct Log {
    /// The newest run, if there is any.
    last: Run,
    /// Units in all runs; without runs, 0.
    total: u64,
    /// All runs but the newest, if there are any.
    closed: Option<Box<Closed>>,
}

impl Log {
    pub(super) const EMPTY: Log = Log {
        last: Run {
            time: Time::EPOCH,
            units: 0,
        },
        total: 0,
        closed: None,
    };

    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Units in all runs, expired or not.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The time of the newest charge.
    #[inline]
    pub(super) fn newest(&self) -> Time {
        self.last.time
    }

    /// When the newest charge expires.
    #[inline]
    pub(super) fn end(&self, window: Millis) -> Time {
        self.last.time + window
    }

    /// Runs held, expired or not.
    #[inline]
    fn runs_held(&self) -> u64 {
        let closed = self.closed.as_ref().map_or(0, |closed| closed.count().runs);
        closed + u64::from(self.total > 0)
    }

    /// Every run, oldest first.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        let closed = self.closed.iter().flat_map(|closed| closed.runs());
        closed.chain((self.total > 0).then_some(self.last))
    }

    /// What has expired at `now` but still stands in the log; all of it if the newest run has.
    #[inline]
    fn expired(&self, window: Millis, now: Time) -> Count {
        if self.end(window) <= now {
            return Count {
                units: self.total,
                runs: self.runs_held(),
            };
        }
        match (&self.closed, now.checked_sub(window)) {
            (Some(closed), Some(cutoff)) => closed.up_to(cutoff),
            _ => Count::ZERO,
        }
    }

    /// Units charged in (now - W, now]. Charges from the future count as made now.
    #[inline]
    pub(super) fn used(&self, window: Millis, now: Time) -> u64 {
        self.total - self.expired(window, now).units
    }

    /// Runs that have not expired at `now`.
    pub(super) fn runs_live(&self, window: Millis, now: Time) -> u64 {
        self.runs_held() - self.expired(window, now).runs
    }

    /// How long it takes until at most `target` units are used, if `added` more are charged now.
    #[inline]
    pub(super) fn wait(&self, window: Millis, now: Time, added: u64, target: u64) -> Millis {
        if added > target {
            return window;
        }
        if target == 0 {
            return match self.total {
                0 => Millis::ZERO,
                _ => window.saturating_sub(now.since(self.last.time)),
            };
        }
        let expired = self.expired(window, now).units;
        let used = self.total - expired;
        if used + added <= target {
            return Millis::ZERO;
        }
        // The unit, counted from the oldest that stands, whose expiry makes it enough.
        let nth = expired + (used + added - target);
        let run = if nth > self.total - self.last.units {
            self.last
        } else {
            let closed = self.closed.as_ref();
            closed
                .and_then(|closed| closed.run_of(nth))
                .unwrap_or(self.last)
        };
        window.saturating_sub(now.since(run.time))
    }

    /// Restamps charges from the future to `now`, drops expired ones, run by run.
    #[inline]
    pub(super) fn settle(&mut self, window: Millis, now: Time) {
        if self.last.time > now {
            let past = self.closed.as_ref().map_or(0, |c| c.up_to(now).units);
            let future = self.total - past;
            self.truncate(past);
            self.charge(now, future);
        }
        if self.end(window) <= now {
            *self = Log::EMPTY;
            return;
        }
        if let (Some(closed), Some(cutoff)) = (&mut self.closed, now.checked_sub(window)) {
            self.total -= closed.remove_up_to(cutoff);
            if closed.is_empty() {
                self.closed = None;
            }
        }
    }

    /// Whether a charge at `now` may need to allocate.
    pub(super) fn grows(&self, window: Millis, now: Time) -> bool {
        if self.total == 0 || self.last.time >= now || self.end(window) <= now {
            return false;
        }
        let closed = self.closed.as_ref();
        !closed.is_some_and(|closed| closed.has_room(self.last))
    }

    /// Charges a settled log.
    #[inline]
    pub(super) fn charge(&mut self, now: Time, units: u64) {
        if self.total > 0 && self.last.time == now {
            self.last.units += units;
        } else {
            if self.total > 0 {
                self.closed
                    .get_or_insert_with(|| Box::new(Closed::new()))
                    .push(self.last);
            }
            self.last = Run { time: now, units };
        }
        self.total += units;
    }

    /// Keeps the oldest `keep` units.
    fn truncate(&mut self, keep: u64) {
        let drop = self.total - keep;
        if drop < self.last.units {
            self.last.units -= drop;
            self.total = keep;
            return;
        }
        let Some(closed) = self.closed.as_mut().filter(|_| keep > 0) else {
            *self = Log::EMPTY;
            return;
        };
        // The run in which the last unit stands becomes the open one.
        let Some(last) = closed.cut(keep) else {
            return;
        };
        if closed.is_empty() {
            self.closed = None;
        }
        self.last = last;
        self.total = keep;
    }

    /// Takes back up to `n` units of a settled log, newest first. Returns how many.
    pub(super) fn refund(&mut self, n: u64) -> u64 {
        let given = n.min(self.total);
        if given > 0 {
            self.truncate(self.total - given);
        }
        given
    }

    /// Takes back up to `n` units charged at `at` from a settled log. Returns how many.
    pub(super) fn refund_at(&mut self, at: Time, n: u64) -> u64 {
        if self.total == 0 || at > self.last.time {
            return 0;
        }
        if at == self.last.time {
            return self.refund(n.min(self.last.units));
        }
        let Some(closed) = &mut self.closed else {
            return 0;
        };
        let given = closed.take_at(at, n);
        if closed.is_empty() {
            self.closed = None;
        }
        self.total -= given;
        given
    }

    /// How many blocks of heap it has, and the bytes in them.
    pub(super) fn heap(&self) -> (usize, usize) {
        let Some(closed) = &self.closed else {
            return (0, 0);
        };
        let (blocks, bytes) = closed.heap();
        (blocks + 1, bytes + alloc_size(size_of::<Closed>()))
    }
}
