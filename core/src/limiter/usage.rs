//! What is charged to one limit, whatever its algorithm: the few questions and changes of which
//! every decision and every effect is made.
//!
//! All algorithms answer in units: how many are `used` at a time, and the `wait` until no more than
//! a target is used, to the millisecond. Admission, retry times, resets and header fields follow
//! from these two.

use super::counter::Counter;
use super::fixed::Fixed;
use super::gcra::{Gcra, Undrained};
use super::ids::{Part, Trace};
use super::limits::{Algo, LimitSpec, MAX_VALUE};
use super::log::Log;
use super::state::ApplyError;
use super::wait::Wait;
use crate::units::{Millis, Time};

/// What is charged, by the algorithm of the limit.
#[derive(Debug, Clone)]
pub(super) enum Usage {
    Log(Log),
    Counter(Counter),
    Fixed(Fixed),
    Gcra(Gcra),
}

/// A limit in use: what is charged to it, and the window that, with the algorithm, names it.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    pub(super) window: Millis,
    pub(super) usage: Usage,
}

impl Usage {
    /// Nothing charged.
    #[inline]
    pub(super) fn none(algo: Algo) -> &'static Usage {
        // By `Algo::code`.
        static NONE: [Usage; 4] = [
            Usage::Log(Log::EMPTY),
            Usage::Counter(Counter::EMPTY),
            Usage::Fixed(Fixed::EMPTY),
            Usage::Gcra(Gcra::EMPTY),
        ];
        &NONE[usize::from(algo.code())]
    }

    #[inline]
    pub(super) fn algo(&self) -> Algo {
        match self {
            Usage::Log(_) => Algo::Log,
            Usage::Counter(_) => Algo::Counter,
            Usage::Fixed(_) => Algo::Fixed,
            Usage::Gcra(_) => Algo::Gcra,
        }
    }

    /// Units used at `now`, as far as they count for `spec`.
    #[inline]
    pub(super) fn used(&self, spec: &LimitSpec, now: Time) -> u64 {
        match self {
            Usage::Log(log) => log.used(spec.window(), now),
            Usage::Counter(counter) => counter.used(spec.window(), now),
            Usage::Fixed(fixed) => fixed.used(spec.window(), now),
            Usage::Gcra(gcra) => gcra.used(spec.window(), spec.quota(), now),
        }
    }

    /// How long it takes from `now` until at most `target` units are used, if `added` more are
    /// charged now.
    #[inline]
    pub(super) fn wait(&self, spec: &LimitSpec, now: Time, added: u64, target: u64) -> Millis {
        match self {
            Usage::Log(log) => log.wait(spec.window(), now, added, target),
            Usage::Counter(counter) => counter.wait(spec.window(), now, added, target),
            Usage::Fixed(fixed) => fixed.wait(spec.window(), now, added, target),
            Usage::Gcra(gcra) => gcra.wait(spec, now, added, target),
        }
    }

    /// How long it takes from `now` until so many units fit into the limit.
    #[inline]
    pub(super) fn wait_for(&self, spec: &LimitSpec, now: Time, units: u64) -> Wait {
        match spec.burst().checked_sub(units) {
            Some(target) => Wait::capped(self.wait(spec, now, 0, target)),
            None => Wait::Forever,
        }
    }

    /// Whether a charge at `now` may need to allocate.
    #[inline]
    pub(super) fn grows(&self, window: Millis, now: Time) -> bool {
        match self {
            Usage::Log(log) => log.grows(window, now),
            Usage::Counter(counter) => counter.grows(window, now),
            Usage::Fixed(_) | Usage::Gcra(_) => false,
        }
    }
}

impl Limit {
    /// Whether it is this limit that `spec` names.
    #[inline]
    pub(super) fn is(&self, spec: &LimitSpec) -> bool {
        self.window == spec.window() && self.usage.algo() == spec.algo()
    }

    /// Whether nothing is charged, expired or not.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        match &self.usage {
            Usage::Log(log) => log.is_empty(),
            Usage::Counter(counter) => counter.is_empty(),
            Usage::Fixed(fixed) => fixed.is_empty(),
            Usage::Gcra(gcra) => gcra.is_empty(),
        }
    }

    /// The time of the newest charge; for COUNTER the start of its bucket, for FIXED that of its
    /// window.
    #[inline]
    pub(super) fn newest(&self) -> Time {
        match &self.usage {
            Usage::Log(log) => log.newest(),
            Usage::Counter(counter) => counter.newest(self.window),
            Usage::Fixed(fixed) => fixed.newest(),
            Usage::Gcra(gcra) => gcra.newest(),
        }
    }

    /// From when on nothing is used, if nothing else comes. May be past 2^53 ms.
    #[inline]
    pub(super) fn end(&self) -> Time {
        match &self.usage {
            Usage::Log(log) => log.end(self.window),
            Usage::Counter(counter) => counter.end(self.window),
            Usage::Fixed(fixed) => fixed.end(self.window),
            Usage::Gcra(gcra) => gcra.end(),
        }
    }

    /// Units used at `now`, where no request says by which quota.
    pub(super) fn used(&self, now: Time) -> u64 {
        match &self.usage {
            Usage::Log(log) => log.used(self.window, now),
            Usage::Counter(counter) => counter.used(self.window, now),
            Usage::Fixed(fixed) => fixed.used(self.window, now),
            Usage::Gcra(gcra) => gcra.used(self.window, gcra.quota(), now),
        }
    }

    /// Brings the limit to the time of an effect: charges stamped later are restamped to `now`
    /// (the clock has been set back), expired ones are dropped.
    #[inline]
    pub(super) fn settle(&mut self, now: Time) {
        match &mut self.usage {
            Usage::Log(log) => log.settle(self.window, now),
            Usage::Counter(counter) => counter.settle(self.window, now),
            Usage::Fixed(fixed) => fixed.settle(self.window, now),
            Usage::Gcra(gcra) => gcra.settle(now),
        }
    }

    /// Whether a limit can hold so many more units. What has expired is only looked for if the
    /// units might not fit otherwise.
    #[inline]
    pub(super) fn has_room(&self, now: Time, units: u64, spec: &LimitSpec) -> bool {
        let at_most = match &self.usage {
            Usage::Log(log) => log.total(),
            Usage::Counter(counter) => counter.total(),
            Usage::Fixed(fixed) => fixed.parts().1,
            Usage::Gcra(gcra) => gcra.at_most(),
        };
        at_most + units <= MAX_VALUE || self.usage.used(spec, now) + units <= MAX_VALUE
    }

    /// Settles and charges. Fails, and changes nothing, if there is no room.
    #[inline]
    pub(super) fn charge(
        &mut self,
        now: Time,
        units: u64,
        spec: &LimitSpec,
    ) -> Result<(), ApplyError> {
        if !self.has_room(now, units, spec) {
            return Err(ApplyError);
        }
        self.settle(now);
        match &mut self.usage {
            Usage::Log(log) => log.charge(now, units),
            Usage::Counter(counter) => counter.charge(spec.window(), now, units),
            Usage::Fixed(fixed) => fixed.charge(now, units),
            Usage::Gcra(gcra) => gcra.charge(spec, now, units),
        }
        Ok(())
    }

    /// Takes back min(n, used) from a settled limit, newest first; returns that number.
    pub(super) fn refund(&mut self, now: Time, n: u64) -> u64 {
        match &mut self.usage {
            Usage::Log(log) => log.refund(n),
            Usage::Counter(counter) => counter.refund(self.window, now, n),
            Usage::Fixed(fixed) => fixed.refund(n),
            Usage::Gcra(gcra) => gcra.refund(self.window, now, n, None),
        }
    }

    /// Takes back from a settled limit what is still there of `n` units charged at `at`. Returns
    /// by how much the units used fell.
    pub(super) fn refund_part(&mut self, now: Time, n: u64, at: Time, part: &Part) -> u64 {
        let window = self.window;
        match (&mut self.usage, part.trace) {
            (Usage::Log(log), Trace::Log) => log.refund_at(at, n),
            (Usage::Counter(counter), Trace::Counter) => counter.refund_at(window, now, at, n),
            (Usage::Fixed(fixed), Trace::Fixed { closes }) if fixed.end(window) == closes => {
                fixed.refund(n)
            }
            (Usage::Gcra(gcra), Trace::Gcra { empty, rate }) => {
                let still_there = empty.map(|empty| Undrained { empty, rate });
                gcra.refund(window, now, n, still_there)
            }
            // Another window of FIXED; a part goes with the limit of its own algorithm.
            _ => 0,
        }
    }

    /// How many blocks of heap it has, and the bytes in them.
    pub(super) fn heap(&self) -> (usize, usize) {
        match &self.usage {
            Usage::Log(log) => log.heap(),
            Usage::Counter(counter) => (1, counter.heap_bytes()),
            Usage::Fixed(_) | Usage::Gcra(_) => (0, 0),
        }
    }
}
