//! The moderation queue as plain Rust: no server, no clock, no randomness.
//!
//! A command or a timer tick hands in the time and a request. What is to happen is decided,
//! applied (`apply`, the only thing that changes state) and recorded in [`Effects`], which the
//! shell replicates; a replica applies the same record and ends in the same state.

mod ages;
mod apply;
mod decide;
mod effect;
mod event;
mod index;
mod moderators;
mod persist;
mod read;
mod slab;
mod state;
mod stats;
mod tags;

#[cfg(test)]
mod tests;

pub use apply::ApplyError;
pub use decide::{
    Answer, Assigned, Block, Change, Claim, Effects, Error, Gate, Join, Joined, Match, MoveOut,
    Notice, Now, OnDuplicate, Submit, Submitted,
};
pub use effect::{Effect, Record, Settings};
pub use event::{Batch, Event, state_name};
pub use read::{ClaimView, ItemView, Listed, Reason, Summary, WaiterView};
pub use state::{OrderKey, Place, Queue, State};

/// Longest item id and moderator id, bytes.
pub const MAX_ID: usize = 512;
/// Longest tag, bytes.
pub const MAX_TAG: usize = 255;
/// Most tags of an item or a moderator.
pub const MAX_TAGS: usize = 64;
/// Most moderators named by EXCLUDE.
pub const MAX_EXCLUDE: usize = 1000;
/// Longest DECISION, bytes.
pub const MAX_DECISION: usize = 64 * 1024;
/// Largest duration (LOCK, TTL, BLOCK, DELAY) and largest absolute BOOST, ms.
pub const MAX_DURATION: u64 = 1 << 40;
/// Largest AGING, ms.
pub const MAX_AGING: u64 = 1 << 31;
/// Largest COUNT.
pub const MAX_COUNT: u64 = 1000;
/// A CLAIM stops before it would answer more payload than this, bytes, but never before one item.
pub const MAX_CLAIM_BYTES: usize = 16 << 20;
