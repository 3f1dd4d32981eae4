//! What a limit is: quota, window, algorithm and burst, and the ranges they may have.

/// Largest quota, burst and cost (units), and largest window, wait, time and expiry (milliseconds).
pub const MAX_VALUE: u64 = 1 << 53;
/// Most limits in one request or policy.
pub const MAX_LIMITS_PER_REQUEST: usize = 8;
/// Most limits in use in one key.
pub const MAX_LIMITS_IN_USE: usize = 16;
/// Longest request id, lease id and policy name, in bytes; the shortest is 1.
pub const MAX_ID_BYTES: usize = 512;

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
        [Algo::Log, Algo::Counter, Algo::Fixed, Algo::Gcra]
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

    /// The algorithm that [`Algo::code`] gave.
    pub(super) fn from_code(code: u8) -> Option<Algo> {
        [Algo::Log, Algo::Counter, Algo::Fixed, Algo::Gcra]
            .into_iter()
            .find(|algo| algo.code() == code)
    }
}

/// Which part of a limit, or of a list of limits, is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecError {
    /// Quota outside 1..=2^53.
    Quota,
    /// Window outside 1..=2^53 ms.
    Window,
    /// Burst outside 1..=2^53, or given for an algorithm other than GCRA.
    Burst,
    /// No limit, or more than [`MAX_LIMITS_PER_REQUEST`].
    Count,
    /// The same (window, algorithm) twice.
    Repeated,
}

/// One limit as a request names it. Within a key it is identified by (window, algo) alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSpec {
    quota: u64,
    window: u64,
    burst: u64,
    algo: Algo,
}

impl LimitSpec {
    /// A limit of `quota` units per `window` ms. `burst` (units, GCRA only) defaults to the quota.
    pub fn new(
        quota: u64,
        window: u64,
        algo: Algo,
        burst: Option<u64>,
    ) -> Result<LimitSpec, SpecError> {
        let ok = |value| (1..=MAX_VALUE).contains(&value);
        if !ok(quota) {
            return Err(SpecError::Quota);
        }
        if !ok(window) {
            return Err(SpecError::Window);
        }
        if burst.is_some_and(|burst| algo != Algo::Gcra || !ok(burst)) {
            return Err(SpecError::Burst);
        }
        Ok(LimitSpec {
            quota,
            window,
            burst: burst.unwrap_or(quota),
            algo,
        })
    }

    /// Checks a list of limits: 1 to 8, no (window, algorithm) twice.
    pub fn check_list(limits: &[LimitSpec]) -> Result<(), SpecError> {
        if !(1..=MAX_LIMITS_PER_REQUEST).contains(&limits.len()) {
            return Err(SpecError::Count);
        }
        for (i, a) in limits.iter().enumerate() {
            if limits[..i]
                .iter()
                .any(|b| a.window == b.window && a.algo == b.algo)
            {
                return Err(SpecError::Repeated);
            }
        }
        Ok(())
    }

    /// Units per window.
    pub fn quota(&self) -> u64 {
        self.quota
    }

    /// Milliseconds.
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Units; equals the quota unless the limit is GCRA with a burst of its own.
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// The rule.
    pub fn algo(&self) -> Algo {
        self.algo
    }

    /// The most units that can be charged at once: the burst (which is the quota except in GCRA).
    #[inline]
    pub(super) fn cap(&self) -> u64 {
        self.burst
    }
}
