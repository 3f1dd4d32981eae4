//! How a queue is set up, and what it refuses: what CONFIGURE and PAUSE change.

use super::{MAX_AGING, MAX_DURATION, MAX_TAG};
use crate::units::Millis;

/// How a queue is set up; CONFIGURE shows and changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a lock lasts if the claim does not say.
    pub lock: Millis,
    /// An item is dead when its expiries reach this; 0 is never.
    pub max_expiries: u64,
    /// Most items in the queue; 0 is no limit.
    pub max_len: u64,
    /// Most locks a moderator holds here; 0 is no limit.
    pub capacity: u64,
    /// What RESOLVE does with the token of a lock that ended by its deadline.
    pub late: Late,
    /// Ms of head start per priority step; 0 makes priority a strict band.
    pub aging: u64,
    /// The key of the stream that gets the events; empty is off.
    pub events: Vec<u8>,
    /// About how many events the stream keeps; 0 is all.
    pub events_max_len: u64,
    /// What an item needs to end, if its SUBMIT does not say.
    pub quorum: Quorum,
    /// The tag that a contested item gets; empty: it is dead until somebody takes it up.
    pub split_tag: Box<[u8]>,
    /// For how long the record of a decided item is kept; zero is not at all.
    pub retain: Millis,
    /// Most records that are kept; 0 is no limit.
    pub retain_max: u64,
}

/// How many must agree on an item: `k` equal verdicts out of at most `n` votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorum {
    /// So many equal verdicts end the item.
    pub k: u8,
    /// So many votes there are at most.
    pub n: u8,
}

impl Quorum {
    /// One verdict decides: what holds if nobody says otherwise.
    pub const ONE: Quorum = Quorum { k: 1, n: 1 };
    /// Most votes that can be asked for.
    pub const MAX: u8 = 15;

    /// Whether it can be reached: 1 ≤ k ≤ n ≤ 15.
    #[must_use]
    pub const fn fits(self) -> bool {
        1 <= self.k && self.k <= self.n && self.n <= Quorum::MAX
    }

    /// Whether several must agree, so that a verdict has to be named.
    #[must_use]
    pub const fn takes_several(self) -> bool {
        self.k > 1
    }
}

impl Default for Quorum {
    fn default() -> Self {
        Quorum::ONE
    }
}

/// What RESOLVE does with the token of a lock that ended by its deadline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Late {
    /// It is refused as stale.
    #[default]
    Reject,
    /// It counts, until the item is locked again, moved or its payload changed.
    Accept,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            lock: Millis(300_000),
            max_expiries: 20,
            max_len: 0,
            capacity: 0,
            late: Late::Reject,
            aging: 0,
            events: Vec::new(),
            events_max_len: 10_000,
            quorum: Quorum::ONE,
            split_tag: Box::default(),
            retain: Millis::ZERO,
            retain_max: 100_000,
        }
    }
}

impl Settings {
    /// Whether arithmetic with these settings cannot overflow.
    pub(super) fn fit(&self) -> bool {
        self.lock.0 <= MAX_DURATION
            && self.aging <= MAX_AGING
            && self.quorum.fits()
            && self.split_tag.len() <= MAX_TAG
            && self.retain.0 <= MAX_DURATION
            && self.retain_max <= MAX_DURATION
    }

    /// Whether version 1 of the stored settings says all there is to say.
    pub(super) fn fit_v1(&self) -> bool {
        let other = Settings::default();
        self.quorum == other.quorum
            && self.split_tag == other.split_tag
            && self.retain == other.retain
            && self.retain_max == other.retain_max
    }
}

/// What a queue refuses for now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Paused {
    /// SUBMIT is refused.
    pub input: bool,
    /// Nothing is handed out.
    pub output: bool,
}

/// Which sides of a queue PAUSE and UNPAUSE are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// What comes in.
    In,
    /// What is handed out.
    Out,
    /// Both.
    All,
}

impl Sides {
    fn has_input(self) -> bool {
        matches!(self, Sides::In | Sides::All)
    }

    fn has_output(self) -> bool {
        matches!(self, Sides::Out | Sides::All)
    }
}

impl Paused {
    /// Also these sides.
    #[must_use]
    pub fn and(self, sides: Sides) -> Paused {
        Paused {
            input: self.input || sides.has_input(),
            output: self.output || sides.has_output(),
        }
    }

    /// No longer these sides.
    #[must_use]
    pub fn without(self, sides: Sides) -> Paused {
        Paused {
            input: self.input && !sides.has_input(),
            output: self.output && !sides.has_output(),
        }
    }

    /// The name in replies: none, in, out or all.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.input, self.output) {
            (false, false) => "none",
            (true, false) => "in",
            (false, true) => "out",
            (true, true) => "all",
        }
    }
}
