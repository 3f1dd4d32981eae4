//! GCRA as an exact token bucket: v = outstanding units x W drains by L per ms; admitted iff
//! v + c*W <= B*W. Source: the contract, `ratelimit.md`; ITU-T I.371 in its leaky bucket form.
//!
//! The rate that drains is the quota of the request at hand, as the rule says. The quota of the
//! last charge is kept to know when the bucket is empty if nobody asks, which is when the key
//! expires; a request with a smaller quota must not see it fuller than that.

use super::limits::{LimitSpec, MAX_VALUE};

/// Outstanding units x window as of `at`. Held in halves: a u128 would align the whole key to 16.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gcra {
    high: u64,
    low: u64,
    at: u64,
    /// Quota of the last charge.
    quota: u64,
}

/// ceil(a / b) where it fits, u64::MAX where it does not.
#[inline]
fn ceil_div(a: u128, b: u64) -> u64 {
    match u64::try_from(a) {
        Ok(a) => a.div_ceil(b),
        Err(_) => u64::try_from(a.div_ceil(u128::from(b))).unwrap_or(u64::MAX),
    }
}

fn times(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

impl Gcra {
    pub(super) const EMPTY: Gcra = Gcra {
        high: 0,
        low: 0,
        at: 0,
        quota: 1,
    };

    /// For loading: `None` unless 0 < v <= 2^53 * window and the quota is in range.
    pub(super) fn from_parts(window: u64, v: u128, at: u64, quota: u64) -> Option<Gcra> {
        let fits = v > 0 && v <= times(MAX_VALUE, window) && (1..=MAX_VALUE).contains(&quota);
        fits.then(|| {
            let mut gcra = Gcra {
                at,
                quota,
                ..Gcra::EMPTY
            };
            gcra.set(v);
            gcra
        })
    }

    /// (v, at, quota)
    pub(super) fn parts(&self) -> (u128, u64, u64) {
        (self.v(), self.at, self.quota)
    }

    fn v(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    /// A bound on the units outstanding that costs nothing: v itself, as long as it is small.
    #[inline]
    pub(super) fn at_most(&self) -> u64 {
        match self.high {
            0 => self.low.min(MAX_VALUE),
            _ => MAX_VALUE,
        }
    }

    fn set(&mut self, v: u128) {
        self.high = (v >> 64) as u64;
        self.low = v as u64;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.v() == 0
    }

    pub(super) fn newest(&self) -> u64 {
        self.at
    }

    /// The quota to drain by when no request names one.
    pub(super) fn quota(&self) -> u64 {
        self.quota
    }

    /// When the bucket is empty at the rate of its last charge; u64::MAX if past any clock.
    pub(super) fn end(&self) -> u64 {
        self.at.saturating_add(ceil_div(self.v(), self.quota))
    }

    /// v at `now`. A stamp in the future counts as now.
    #[inline]
    fn v_at(&self, now: u64, quota: u64) -> u128 {
        let v = self.v();
        if quota != self.quota && now >= self.end() {
            return 0;
        }
        v.saturating_sub(times(now.saturating_sub(self.at), quota))
    }

    /// Units outstanding, rounded up: burst - used is what would still be admitted.
    #[inline]
    pub(super) fn used(&self, window: u64, quota: u64, now: u64) -> u64 {
        ceil_div(self.v_at(now, quota), window)
    }

    /// Ms until at most `target` units are used, if `added` more are charged now.
    pub(super) fn wait(&self, spec: &LimitSpec, now: u64, added: u64, target: u64) -> u64 {
        let (quota, window) = (spec.quota(), spec.window());
        let v = self.v_at(now, quota) + times(added, window);
        let wait = ceil_div(v.saturating_sub(times(target, window)), quota);
        if added == 0 && quota != self.quota {
            // Nothing is charged, so the bucket still ends when its last charge said.
            wait.min(self.end().saturating_sub(self.at.max(now)))
        } else {
            wait
        }
    }

    /// Restamps a bucket from the future, drops one that has run empty.
    pub(super) fn settle(&mut self, now: u64) {
        if !self.is_empty() && self.end() <= now {
            self.set(0);
        }
        self.at = self.at.min(now);
    }

    pub(super) fn charge(&mut self, spec: &LimitSpec, now: u64, units: u64) {
        self.set(self.v_at(now, spec.quota()) + times(units, spec.window()));
        self.at = now;
        self.quota = spec.quota();
    }

    /// Takes back up to `n` units; returns by how much the units outstanding fell.
    ///
    /// Of a charge, on top of what was there before it, that will have drained by `gone` at
    /// `rate`, only what has not drained is still there; what came later is not touched. `gone` =
    /// u64::MAX: no such bound.
    pub(super) fn refund(&mut self, window: u64, now: u64, n: u64, gone: u64, rate: u64) -> u64 {
        let before = self.v_at(now, self.quota);
        let mut back = times(n, window).min(before);
        if gone != u64::MAX {
            back = back.min(times(gone.saturating_sub(now), rate));
        }
        self.set(before - back);
        self.at = now;
        ceil_div(before, window) - ceil_div(before - back, window)
    }
}
