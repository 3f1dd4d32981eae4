//! modq: moderation queues and rate limits as a Redis module. This file lists the parts;
//! what the server calls is registered in `redis::module`.

pub mod codec;
pub mod counted_tree;
pub mod limiter;
pub mod queue;
