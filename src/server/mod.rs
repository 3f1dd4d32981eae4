//! The server part: all that talks to the server, and the only code with `unsafe`.
//!
//! It knows no command, no type and no setting: it is generic over a [`module::Module`], which
//! names them and is told what happens. To the rest of the code it gives safe types: a
//! [`context::Context`] for each call from the server, the arguments of a command, open keys,
//! timers, blocked clients.
//!
//! Everything runs on the server's main thread, one thing after the other, except what is said
//! below. No panic gets back to the server: what it calls and could panic runs behind [`guard`].
//!
//! - **Start-up.** The server calls `RedisModule_OnLoad`, which [`load`] makes. The server's
//!   functions are looked up and checked ([`api`]); then types, settings, commands, events and the
//!   INFO section are registered, in this order. If anything is refused, the module does not load.
//! - **A command.** The server calls the entry that [`guard::entry`] made of a handler. The handler
//!   reads its arguments ([`args`]), opens keys ([`key`]), and replies and replicates through the
//!   context (`reply`, [`status`], `replicate`, `call`). A refusal that it returns becomes an error reply.
//! - **A timer** ([`timer`]) fires between commands and runs what it was started for.
//! - **A blocked client** ([`blocking`]). A command blocks its client under a number instead of
//!   replying. Later the wait is ended by us, by its time-out or by CLIENT UNBLOCK, and a reply
//!   must be given; or the client goes away. Either is told once, by that number.
//! - **Saving and loading.** The server calls the functions of each type for each value
//!   ([`types`]), and those for what belongs to no key ([`keyless`]). Saving mostly runs in a
//!   forked child; freeing a large value runs on a thread of the server's.
//! - **Events** (`events`): a key came to a name, loading began or ended, the role changed,
//!   databases changed places, the server forked, a turn of the event loop ends.

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
mod rights;
pub mod status;
pub mod stream;
pub mod timer;
pub mod types;
pub mod zset;
