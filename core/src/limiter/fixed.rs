//! FIXED: the window opens at the first charge and lasts W; admitted iff current + c <= L.
//! Source: the contract, `ratelimit.md`. Up to 2L pass across an edge.

/// An open window; `used` = 0 means none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed {
    /// When the window opened (ms).
    start: u64,
    used: u64,
}

impl Fixed {
    pub(super) const EMPTY: Fixed = Fixed { start: 0, used: 0 };

    /// For loading: `None` unless something is used.
    pub(super) fn from_parts(start: u64, used: u64) -> Option<Fixed> {
        (used > 0).then_some(Fixed { start, used })
    }

    pub(super) fn parts(&self) -> (u64, u64) {
        (self.start, self.used)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub(super) fn newest(&self) -> u64 {
        self.start
    }

    /// When the window closes.
    pub(super) fn end(&self, window: u64) -> u64 {
        self.start + window
    }

    /// Units in the window open at `now`. One that opened in the future counts as opened now.
    #[inline]
    pub(super) fn used(&self, window: u64, now: u64) -> u64 {
        if self.end(window) > now { self.used } else { 0 }
    }

    /// Ms until at most `target` units are used, if `added` more are charged now.
    pub(super) fn wait(&self, window: u64, now: u64, added: u64, target: u64) -> u64 {
        let used = self.used(window, now);
        if used + added <= target {
            0
        } else if used == 0 {
            window
        } else {
            self.start.min(now) + window - now
        }
    }

    /// Restamps a window opened in the future, drops one that has closed.
    pub(super) fn settle(&mut self, window: u64, now: u64) {
        if self.used(window, now) == 0 {
            *self = Fixed::EMPTY;
        }
        self.start = self.start.min(now);
    }

    pub(super) fn charge(&mut self, now: u64, units: u64) {
        if self.used == 0 {
            self.start = now;
        }
        self.used += units;
    }

    /// Takes back up to `n` units; the window stays open while any is left.
    pub(super) fn refund(&mut self, n: u64) -> u64 {
        let given = n.min(self.used);
        self.used -= given;
        given
    }
}
