//! modq: moderation queues, rate limits and boards as a Redis module.
//!
//! Four parts, and the arrows run one way: [`commands`] → [`host`] → [`server`] → `modq_core`, each
//! using those behind it only. The core decides and applies, and knows no server and no clock. The
//! server part talks to the server, and is the only one with unsafe code. The host is what the
//! process holds beside the keys. A command reads its arguments, has the host run a request, and
//! replies. This file wires them: it tells the server part what the module is made of.
//!
//! - **Start-up**: the server calls `RedisModule_OnLoad`; the server part registers what [`Modq`]
//!   names.
//! - **A command**: server part → a handler in `commands` → the host opens the key → the core
//!   decides and applies → the host replicates and tells others → the handler replies.
//! - **A tick**: the timer of the server part → `host::schedule` → the keys that are due, as in a
//!   command.
//! - **A blocked client**: a CLAIM finds nothing → `host::waiting` has the server part block the
//!   client and tells the queue of it. A later command or tick matches it → at the end of that turn
//!   of the event loop the client is woken → the server part asks `host::waiting` for the reply.
//! - **A load**: the server part makes values of what is stored → the host puts what they have to
//!   do into the schedule → when all is loaded, the timer is started.
//!
//! How it goes in detail is said at the head of each part.

#![deny(unsafe_code)]

pub mod commands;
pub mod host;
pub mod server;

use commands::{internal, statuses};
use host::board_keys::BoardKey;
use host::limiter_keys::{LeaseKey, LimitKey};
use host::policies::AllPolicies;
use host::queue_key::{self, QueueKey};
use host::{bindings, info, schedule, settings, waiting};
use server::args::ServerStr;
use server::command::{Command, Container};
use server::config::Setting;
use server::context::Context;
use server::module::{Arrival, LoadError, Module};
use server::status::Status;
use server::types::Types;
use std::ffi::{CStr, c_int};

/// What the module is made of, for the server part.
pub struct Modq;

impl Module for Modq {
    const NAME: &'static CStr = c"modq";
    const VERSION: c_int = 100;
    const LOAD_COMMAND: &'static CStr = internal::LOAD;
    const STATUS_COMMAND: &'static CStr = internal::STATUS;
    type Keyless = AllPolicies;

    fn register_types(types: &Types<'_, Self>) -> Result<(), LoadError> {
        types.add::<QueueKey>()?;
        types.add_with_keyless::<LimitKey>()?;
        types.add::<LeaseKey>()?;
        types.add::<BoardKey>()
    }

    fn settings() -> &'static [&'static Setting] {
        settings::ALL
    }

    fn commands() -> impl Iterator<Item = &'static Command> {
        commands::all()
    }

    fn containers() -> impl Iterator<Item = &'static Container> {
        commands::containers()
    }

    fn statuses() -> &'static [&'static Status] {
        statuses::ALL
    }

    fn info() -> Vec<(&'static CStr, u64)> {
        info::fields()
    }

    fn key_arrived(ctx: Context<'_>, name: ServerStr<'_>, arrival: Arrival) {
        queue_key::key_arrived(ctx, name);
        bindings::key_arrived(ctx, name);
        if arrival == Arrival::Brought {
            bindings::check(ctx, name);
        }
    }

    fn loading_ended(ctx: Context<'_>) {
        schedule::visit_all(ctx);
    }

    fn role_changed(ctx: Context<'_>) {
        schedule::visit_all(ctx);
    }

    fn databases_swapped(first: i32, second: i32) {
        schedule::databases_swapped(first, second);
        waiting::databases_swapped();
        bindings::databases_swapped(first, second);
    }

    fn client_gone(ctx: Context<'_>, client: u64) {
        waiting::client_gone(ctx, client);
    }

    fn turn_begins() {
        waiting::turn_begins();
    }

    fn turn_ends(ctx: Context<'_>) {
        schedule::turn_ends(ctx);
        waiting::end_overdue(ctx);
        waiting::turn_ends(ctx);
        bindings::turn_ends(ctx);
    }
}

server::load::module_entry!(Modq);
