//! FIXED: the window opens at the first charge and lasts W; admitted iff current + c <= L.
//! Source: the contract, `ratelimit.md`. Up to 2L pass across an edge.

use crate::units::{Millis, Time};

/// The open window. There is none while no units are used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed {
    /// When the window opened.
    start: Time,
    /// Units charged in it.
    used: u64,
}

impl Fixed {
    pub(super) const EMPTY: Fixed = Fixed {
        start: Time::EPOCH,
        used: 0,
    };

    /// For loading: a window that opened at `start` with so many units in it, at least one.
    pub(super) fn from_parts(start: Time, used: u64) -> Option<Fixed> {
        (used > 0).then_some(Fixed { start, used })
    }

    /// For saving: when the window opened, and the units in it.
    pub(super) fn parts(&self) -> (Time, u64) {
        (self.start, self.used)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The time that counts as that of the newest charge: when the window opened.
    pub(super) fn newest(&self) -> Time {
        self.start
    }

    /// When the window closes.
    #[inline]
    pub(super) fn end(&self, window: Millis) -> Time {
        self.start + window
    }

    /// Units in the window open at `now`. One that opened in the future counts as opened now.
    #[inline]
    pub(super) fn used(&self, window: Millis, now: Time) -> u64 {
        if self.end(window) > now { self.used } else { 0 }
    }

    /// How long it takes until at most `target` units are used, if `added` more are charged now.
    pub(super) fn wait(&self, window: Millis, now: Time, added: u64, target: u64) -> Millis {
        let used = self.used(window, now);
        if used + added <= target {
            Millis::ZERO
        } else if used == 0 {
            window
        } else {
            window.saturating_sub(now.since(self.start))
        }
    }

    /// Restamps a window opened in the future, drops one that has closed.
    pub(super) fn settle(&mut self, window: Millis, now: Time) {
        if self.used(window, now) == 0 {
            *self = Fixed::EMPTY;
        }
        self.start = self.start.min(now);
    }

    /// Charges a settled window.
    pub(super) fn charge(&mut self, now: Time, units: u64) {
        if self.used == 0 {
            self.start = now;
        }
        self.used += units;
    }

    /// Takes back up to `n` units; the window stays open while any is left. Returns how many.
    pub(super) fn refund(&mut self, n: u64) -> u64 {
        let given = n.min(self.used);
        self.used -= given;
        given
    }
}
