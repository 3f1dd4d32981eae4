//! Effects: what a command did to a board, as it is applied on the primary, on replicas and from the
//! AOF. Their bytes are in `record.rs`.

use super::row::Row;
use super::settings::{Settings, Update};
use crate::units::{Millis, Time};

/// A change of a board. It says all there is to say: applying it reads no clock and makes no choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect<'a> {
    /// The board comes to be.
    Create(Settings),
    /// What of the settings can change is set.
    Configure {
        /// What requests do that do not say so themselves.
        update: Update,
        /// For how long requests are remembered.
        retry: Millis,
    },
    /// A member has this row from now on. If that makes one member too many, the last one goes.
    Set {
        /// Its name.
        member: &'a [u8],
        /// The row.
        row: Row,
        /// The stamp of the row, larger than any before.
        stamp: u64,
    },
    /// A member goes.
    Remove {
        /// Its name.
        member: &'a [u8],
    },
    /// What is remembered of requests changes. Those recorded later than `now`, because the clock was
    /// set back since, count as recorded at `now`.
    Remember {
        /// The time of the effect.
        now: Time,
        /// How many requests are forgotten, the first recorded first.
        forget: u64,
        /// The id of a request that is then recorded.
        id: Option<&'a [u8]>,
    },
}
