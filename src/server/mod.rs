//! The server part.

#![allow(unsafe_code)]

pub mod alloc;
pub mod api;
pub mod args;
pub mod blocking;
mod call;
pub mod clock;
pub mod command;
pub mod config;
pub mod context;
pub mod docs;
mod events;
pub mod guard;
mod info;
mod io;
pub mod key;
pub mod keyless;
pub mod load;
pub mod log;
pub mod module;
mod replicate;
mod reply;
pub mod timer;
pub mod types;
