//! modq: moderation queues and rate limits as a Redis module. This file lists the parts; what the
//! server is told of them is in `server::module`.

#![deny(unsafe_code)]

pub mod commands;
pub mod host;
pub mod server;
