//! Boards, pure: no server, no clock, no randomness. A [`Board`] is the value of a RANK key.
//!
//! A member has a row of 1 to 4 scores and a stamp, which says when the row became what it is. The
//! order of a board is that of the rows, column by column, each ascending or descending; equal rows
//! are told apart by their stamps or by the members' names.
//!
//! A command that writes takes two steps. First it *decides*: [`Board::add`], [`Board::remove`],
//! [`Board::configure`], [`Board::create`], [`Board::import`] and [`Board::advance`] look at the
//! board and at the time, and answer with [`Effect`]s and what is to be replied. Then
//! [`Board::commit`] applies the effects and writes them down as a [`Record`], which replicas and
//! the AOF apply in the same way, by [`Board::apply`]. Nothing else changes a board, except that
//! loading makes one out of stored chunks (`persist.rs`), and that [`Board::close`] moves all of it.
//!
//! `rows.rs` keeps the members in order, `ids.rs` the requests that are remembered so that a retry
//! counts once. Everything that only looks is in `read.rs`.

mod decide;
mod effect;
mod ids;
mod import;
mod persist;
mod read;
mod record;
mod row;
mod rows;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod ties;

pub use decide::{Add, Added, Answer, Clock, Configure, Decision, Error};
pub use effect::Effect;
pub use import::{Import, Scored};
pub use read::{Among, Info, Listed, Percentile, Ranking};
pub use record::{Closing, Record};
pub use row::{MAX_COLUMNS, Row};
pub use settings::{MAX_CAP, MAX_RETRY, Order, OrderError, Settings, Standing, Ties, Update};
pub use state::{Applied, ApplyError, Board};

use crate::wire::MAX_ID_BYTES;

/// Longest member and request id, in bytes; the shortest is 1.
pub const MAX_MEMBER_BYTES: usize = MAX_ID_BYTES;

/// The last stamp there is, µs: some 290,000 years away.
const MAX_STAMP: u64 = i64::MAX as u64;

/// Most members of a board: more than any server's memory holds.
const MAX_MEMBERS: usize = 1 << 31;
