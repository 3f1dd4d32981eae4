//! Effects: what a command did to a limiter, as it is applied on the primary, on replicas and from
//! the AOF. Their bytes are in `record.rs`.

use super::limits::LimitSpec;
use crate::units::Time;
use std::borrow::Cow;

/// A change, with the time it happened. It comes out of a question to a limiter or of
/// [`Effect::decode`], both of which see to it that its numbers are in range.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect<'a> {
    pub(super) at: Time,
    pub(super) change: Change<'a>,
}

/// What happens to a limiter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change<'a> {
    /// Units are charged to each of the limits, by a request to be remembered if it has an id.
    Charge {
        units: u64,
        /// The request's own, or decoded ones.
        limits: Cow<'a, [LimitSpec]>,
        id: Option<&'a [u8]>,
    },
    /// Units are given back by every limit in use.
    Refund { units: u64 },
    /// What a remembered request charged is given back, and the request is forgotten.
    RefundId { id: &'a [u8] },
    /// Everything is forgotten.
    Reset,
    /// Everything is denied until a time.
    Block { until: Time },
    /// A block ends.
    Unblock,
    /// Nothing but what every effect does: charges stamped later than its time, from before the
    /// clock was set back, are restamped.
    Restamp,
}

impl Effect<'_> {
    /// The time of the effect.
    pub fn at(&self) -> Time {
        self.at
    }

    /// Whether nothing is left after it, whatever there was: the key may be deleted in place of
    /// applying it.
    pub fn is_reset(&self) -> bool {
        matches!(self.change, Change::Reset)
    }
}
