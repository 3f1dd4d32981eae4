//! What a limit is: quota, window, algorithm and burst, and the ranges they may have.

use crate::units::{Millis, Time};

/// Largest quota, burst and cost (units), and largest window, wait, time and expiry (milliseconds).
pub const MAX_VALUE: u64 = 1 << 53;
/// Most limits in one request or policy.
pub const MAX_LIMITS_PER_REQUEST: usize = 8;
/// Most limits in use in one key.
pub const MAX_LIMITS_IN_USE: usize = 16;
/// Longest request id, lease id and policy name, in bytes; the shortest is 1.
pub const MAX_ID_BYTES: usize = crate::wire::MAX_ID_BYTES;

/// The last time that a request or an effect can have; later ones are taken as this.
pub(super) const MAX_TIME: Time = crate::wire::MAX_TIME;

/// The rule a limit follows. Each has its own file, which states the rule and its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Algo {
    /// Exact sliding window (see `log.rs`).
    #[default]
    Log,
    /// Sliding window of 60 buckets, close to exact in constant memory (see `counter.rs`).
    Counter,
    /// Window that opens at the first charge (see `fixed.rs`).
    Fixed,
    /// Token bucket (see `gcra.rs`).
    Gcra,
}

impl Algo {
    const ALL: [Algo; 4] = [Algo::Log, Algo::Counter, Algo::Fixed, Algo::Gcra];

    /// The name used in commands.
    pub fn name(self) -> &'static str {
        match self {
            Algo::Log => "LOG",
            Algo::Counter => "COUNTER",
            Algo::Fixed => "FIXED",
            Algo::Gcra => "GCRA",
        }
    }

    /// The algorithm of this name, in upper or lower case.
    pub fn from_name(name: &[u8]) -> Option<Algo> {
        Algo::ALL
            .into_iter()
            .find(|algo| name.eq_ignore_ascii_case(algo.name().as_bytes()))
    }

    /// What stands for the algorithm in everything stored and replicated: 0 to 3. These numbers
    /// never change.
    #[inline]
    pub(super) fn code(self) -> u8 {
        match self {
            Algo::Log => 0,
            Algo::Counter => 1,
            Algo::Fixed => 2,
            Algo::Gcra => 3,
        }
    }

    /// The algorithm for which [`Algo::code`] stands.
    pub(super) fn from_code(code: u8) -> Option<Algo> {
        Algo::ALL.into_iter().find(|algo| algo.code() == code)
    }
}

/// Why a limit, or a list of limits, is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecError {
    /// The quota is not 1 to 2^53 units.
    QuotaOutOfRange,
    /// The window is not 1 to 2^53 ms.
    WindowOutOfRange,
    /// The burst is not 1 to 2^53 units.
    BurstOutOfRange,
    /// A burst is given for an algorithm other than GCRA.
    BurstWithoutGcra,
    /// The list is empty.
    NoLimits,
    /// The list has more than [`MAX_LIMITS_PER_REQUEST`] limits.
    TooManyLimits,
    /// Two limits of the list have the same window and the same algorithm.
    RepeatedLimit,
}

/// One limit as a request names it. Within a key it is identified by (window, algorithm) alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSpec {
    quota: u64,
    window: Millis,
    burst: u64,
    algo: Algo,
}

impl LimitSpec {
    /// A limit of `quota` units per `window`. `burst` (units, for GCRA only) is the quota if not
    /// given.
    ///
    /// # Errors
    /// A number is out of its range, or the algorithm has no burst.
    #[inline]
    pub fn new(
        quota: u64,
        window: Millis,
        algo: Algo,
        burst: Option<u64>,
    ) -> Result<LimitSpec, SpecError> {
        let in_range = |value| (1..=MAX_VALUE).contains(&value);
        if !in_range(quota) {
            return Err(SpecError::QuotaOutOfRange);
        }
        if !in_range(window.0) {
            return Err(SpecError::WindowOutOfRange);
        }
        match burst {
            Some(_) if algo != Algo::Gcra => return Err(SpecError::BurstWithoutGcra),
            Some(burst) if !in_range(burst) => return Err(SpecError::BurstOutOfRange),
            _ => {}
        }
        Ok(LimitSpec {
            quota,
            window,
            burst: burst.unwrap_or(quota),
            algo,
        })
    }

    /// Checks a list of limits.
    ///
    /// # Errors
    /// The list has not 1 to 8 limits, or the same (window, algorithm) twice.
    pub fn check_list(limits: &[LimitSpec]) -> Result<(), SpecError> {
        match limits.len() {
            0 => return Err(SpecError::NoLimits),
            1..=MAX_LIMITS_PER_REQUEST => {}
            _ => return Err(SpecError::TooManyLimits),
        }
        for (i, a) in limits.iter().enumerate() {
            let same = |b: &LimitSpec| a.window == b.window && a.algo == b.algo;
            if limits[..i].iter().any(same) {
                return Err(SpecError::RepeatedLimit);
            }
        }
        Ok(())
    }

    /// How many units the limit admits per window.
    #[inline]
    pub fn quota(&self) -> u64 {
        self.quota
    }

    /// The span of time that the quota is for.
    #[inline]
    pub fn window(&self) -> Millis {
        self.window
    }

    /// How many units can be charged at once: the quota, unless the limit is a GCRA with a burst
    /// of its own.
    #[inline]
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// The rule it follows.
    #[inline]
    pub fn algo(&self) -> Algo {
        self.algo
    }
}
