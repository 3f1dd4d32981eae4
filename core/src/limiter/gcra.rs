//! GCRA as an exact token bucket: v = outstanding units x W drains by L per ms; admitted iff
//! v + c*W <= B*W. Source: the contract, `ratelimit.md`; ITU-T I.371 in its leaky bucket form.
//!
//! The rate that drains is the quota of the request at hand, as the rule says. The quota of the
//! last charge is kept to know when the bucket is empty if nobody asks, which is when the key
//! expires; a request with a smaller quota must not see it fuller than that.

use super::limits::{LimitSpec, MAX_VALUE};
use crate::units::{Millis, Time};

/// Outstanding units x window as of `at`. Held in halves: a u128 would align the whole key to 16.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gcra {
    high: u64,
    low: u64,
    at: Time,
    /// Quota (units) of the last charge.
    quota: u64,
}

/// What of a charge, and of what was in the bucket before it, has not drained yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Undrained {
    /// When the bucket as it was right after the charge is empty.
    pub(super) empty: Time,
    /// The quota (units) it drains by.
    pub(super) rate: u64,
}

/// ceil(a / b) where it fits, u64::MAX where it does not.
#[inline]
fn ceil_div(a: u128, b: u64) -> u64 {
    match u64::try_from(a) {
        Ok(a) => a.div_ceil(b),
        Err(_) => u64::try_from(a.div_ceil(u128::from(b))).unwrap_or(u64::MAX),
    }
}

/// Units x span: what units make in the bucket, or a rate drains in a span.
fn times(units: u64, span: Millis) -> u128 {
    u128::from(units) * u128::from(span.0)
}

impl Gcra {
    pub(super) const EMPTY: Gcra = Gcra {
        high: 0,
        low: 0,
        at: Time::EPOCH,
        quota: 1,
    };

    /// For loading: `None` unless 0 < v <= 2^53 * window and the quota is in range.
    pub(super) fn from_parts(window: Millis, v: u128, at: Time, quota: u64) -> Option<Gcra> {
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

    /// For saving: v, the time it is as of, and the quota of the last charge.
    pub(super) fn parts(&self) -> (u128, Time, u64) {
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

    /// The time of the newest charge or refund.
    pub(super) fn newest(&self) -> Time {
        self.at
    }

    /// The quota (units) to drain by when no request names one.
    pub(super) fn quota(&self) -> u64 {
        self.quota
    }

    /// When the bucket is empty at the rate of its last charge; `Time::MAX` if past any clock.
    pub(super) fn end(&self) -> Time {
        self.at + Millis(ceil_div(self.v(), self.quota))
    }

    /// v at `now`. A stamp in the future counts as now.
    #[inline]
    fn v_at(&self, now: Time, quota: u64) -> u128 {
        let v = self.v();
        if quota != self.quota && now >= self.end() {
            return 0;
        }
        v.saturating_sub(times(quota, now.since(self.at)))
    }

    /// Units outstanding, rounded up: burst - used is what would still be admitted.
    #[inline]
    pub(super) fn used(&self, window: Millis, quota: u64, now: Time) -> u64 {
        ceil_div(self.v_at(now, quota), window.0)
    }

    /// How long it takes until at most `target` units are used, if `added` more are charged now.
    /// May be more than 2^53 ms.
    pub(super) fn wait(&self, spec: &LimitSpec, now: Time, added: u64, target: u64) -> Millis {
        let (quota, window) = (spec.quota(), spec.window());
        let v = self.v_at(now, quota) + times(added, window);
        let wait = Millis(ceil_div(v.saturating_sub(times(target, window)), quota));
        if added == 0 && quota != self.quota {
            // Nothing is charged, so the bucket still ends when its last charge said.
            wait.min(self.end().since(self.at.max(now)))
        } else {
            wait
        }
    }

    /// Restamps a bucket from the future, drops one that has run empty.
    pub(super) fn settle(&mut self, now: Time) {
        if !self.is_empty() && self.end() <= now {
            self.set(0);
        }
        self.at = self.at.min(now);
    }

    /// Charges a settled bucket.
    pub(super) fn charge(&mut self, spec: &LimitSpec, now: Time, units: u64) {
        self.set(self.v_at(now, spec.quota()) + times(units, spec.window()));
        self.at = now;
        self.quota = spec.quota();
    }

    /// Takes back up to `n` units, and no more than `still_there`, if that is given. Returns by how
    /// much the units outstanding fell.
    ///
    /// What came after a charge is not touched if no more is taken back than has not drained of the
    /// charge and of what was there before it.
    pub(super) fn refund(
        &mut self,
        window: Millis,
        now: Time,
        n: u64,
        still_there: Option<Undrained>,
    ) -> u64 {
        let before = self.v_at(now, self.quota);
        let mut back = times(n, window).min(before);
        if let Some(Undrained { empty, rate }) = still_there {
            back = back.min(times(rate, empty.since(now)));
        }
        self.set(before - back);
        self.at = now;
        ceil_div(before, window.0) - ceil_div(before - back, window.0)
    }
}
