//! The shell around the core: the only code that talks to the server, and the only place with
//! `unsafe`. Commands see safe types: a context, arguments, keys, replies.

#![allow(unsafe_code)]

pub mod alloc;
pub mod api;
pub mod args;
pub mod blocking;
pub mod command;
pub mod config;
pub mod context;
pub mod docs;
pub mod guard;
pub mod key;
pub mod module;

pub mod timer;
pub mod types;
