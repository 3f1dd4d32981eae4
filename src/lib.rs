//! modq: moderation queues and rate limits as a Redis module. This file lists the parts; what the
//! server is told of them is in `redis::module`.

#![deny(unsafe_code)]

pub mod codec;
pub mod commands;
pub mod counted_tree;
pub mod limiter;
pub mod queue;
pub mod redis;
