//! Effects: what a command did to a limiter, as it is applied on the primary, on replicas and from
//! the AOF. Their bytes are in `record.rs`.

use super::limits::LimitSpec;
use std::borrow::Cow;

/// A change, with the time it happened. It comes out of a decision or of [`Effect::decode`],
/// both of which see to it that its numbers are in range.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect<'a> {
    pub(super) at: u64,
    pub(super) change: Change<'a>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change<'a> {
    /// Units charged to each of the limits, by a request to be remembered if it has an id.
    Charge {
        units: u64,
        /// The request's own, or decoded ones.
        limits: Cow<'a, [LimitSpec]>,
        id: Option<&'a [u8]>,
    },
    /// Units given back by every limit in use.
    Refund { units: u64 },
    /// A remembered request given back and forgotten.
    RefundId { id: &'a [u8] },
    /// Everything gone.
    Reset,
    /// Everything denied until a time (ms); 0: no more.
    Block { until: u64 },
    /// Nothing but what every effect does: charges stamped later than its time, which the clock
    /// has been set back from, are restamped.
    Restamp,
}

impl Effect<'_> {
    /// The time of the effect (Unix ms).
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Whether nothing is left after it, whatever there was: the key may go as it is.
    pub fn is_reset(&self) -> bool {
        matches!(self.change, Change::Reset)
    }
}
