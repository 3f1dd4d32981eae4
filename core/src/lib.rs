//! The core of modq as plain Rust: moderation queues, rate limits, boards, and the structures they
//! stand on.
//! It knows no server, no clock and no randomness: time comes in with each request, effects go out.

#![forbid(unsafe_code)]

pub mod board;
pub mod codec;
pub mod counted_tree;
mod id_bytes;
mod inject;
pub mod limiter;
pub mod memory;
mod on_demand;
pub mod queue;
mod slab;
mod slot_index;
pub mod units;
mod wire;
