//! What numbers mean: points in time, spans of time, tokens. A bare `u64` says neither.

use serde::{Deserialize, Serialize};
use std::ops::Add;

/// A span of time in whole milliseconds.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// No time at all.
    pub const ZERO: Millis = Millis(0);

    /// Whether it is no time at all.
    #[inline]
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// What is left of this span when so much of it is over; nothing if it all is.
    #[inline]
    #[must_use]
    pub const fn saturating_sub(self, over: Millis) -> Millis {
        Millis(self.0.saturating_sub(over.0))
    }
}

/// A point in time: whole milliseconds since the Unix epoch.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// The epoch itself: no later than anything.
    pub const EPOCH: Time = Time(0);

    /// The last time there is, past any clock: later times are taken as this one.
    pub const MAX: Time = Time(u64::MAX);

    /// How long after `earlier` this is; nothing if it is not after it.
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Time) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// The time that much earlier; `None` if that is before the epoch.
    #[inline]
    #[must_use]
    pub const fn checked_sub(self, span: Millis) -> Option<Time> {
        match self.0.checked_sub(span.0) {
            Some(time) => Some(Time(time)),
            None => None,
        }
    }
}

impl Add<Millis> for Time {
    type Output = Time;

    /// The time that much later; the last there is where numbers end.
    #[inline]
    fn add(self, span: Millis) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

/// When something happened. Stamps never run backwards inside a key; the clock may have been set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// Its stamp: not before any earlier one.
    pub at: Time,
    /// What the clock said, by which everything that ends is set: never after the stamp.
    pub now: Time,
}

impl From<Time> for When {
    /// At a time by a clock that was not set back.
    #[inline]
    fn from(at: Time) -> When {
        When { at, now: at }
    }
}

/// A fencing token: a number larger than every token given before it. Zero is none.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Token(pub u64);
