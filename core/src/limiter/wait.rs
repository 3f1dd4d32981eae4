//! How long to wait for something.

use super::limits::MAX_VALUE;
use crate::units::Millis;

/// How long it takes until something is so, if nothing else happens. Waits are ordered by length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// That many milliseconds. Longer waits than 2^53 ms ([`MAX_VALUE`]) are given as that.
    For(Millis),
    /// It will never be so. Longer than every other wait.
    Forever,
}

impl Wait {
    /// A wait of so long, or of as much of it as is ever shown.
    #[inline]
    pub(super) fn capped(span: Millis) -> Wait {
        Wait::For(cap(span))
    }
}

/// A span of time, or as much of it as is ever shown: 2^53 ms.
#[inline]
pub(super) fn cap(span: Millis) -> Millis {
    span.min(Millis(MAX_VALUE))
}
