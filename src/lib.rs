//! modq: moderation queues and rate limits as a Redis module.

#![deny(unsafe_code)]

pub mod commands;
pub mod host;
pub mod server;

use commands::internal;
use host::limiter_keys::{LeaseKey, LimitKey};
use host::policies::AllPolicies;
use host::queue_key::QueueKey;
use host::{info, schedule, settings, waiting};
use server::args::ServerStr;
use server::command::{Command, Container};
use server::config::Setting;
use server::context::Context;
use server::key::{Key, Mode};
use server::module::{LoadError, Module};
use server::types::Types;
use std::ffi::{CStr, c_int};

/// The module.
struct Modq;

impl Module for Modq {
    const NAME: &'static CStr = c"modq";
    const VERSION: c_int = 100;
    const LOAD_COMMAND: &'static CStr = internal::LOAD;
    type Keyless = AllPolicies;

    fn register_types(types: &Types<'_, Self>) -> Result<(), LoadError> {
        types.add::<QueueKey>()?;
        types.add_with_keyless::<LimitKey>()?;
        types.add::<LeaseKey>()
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

    fn info() -> Vec<(&'static CStr, u64)> {
        info::fields()
    }

    fn key_arrived(ctx: Context<'_>, name: ServerStr<'_>) {
        let mut db = ctx.db();
        if let Ok(mut opened) = Key::<QueueKey>::open(ctx, name, Mode::Inspect) {
            db = opened.db().unwrap_or(db);
            if let Some(queue) = opened.get_mut() {
                queue.arrived(ctx, db, name);
            }
        }
        waiting::name_changed(db, name.bytes());
    }

    fn loading_ended(ctx: Context<'_>) {
        schedule::start(ctx);
    }

    fn role_changed(ctx: Context<'_>) {
        schedule::start(ctx);
    }

    fn databases_swapped(first: i32, second: i32) {
        schedule::databases_swapped(first, second);
        waiting::databases_swapped();
    }

    fn turn_ends(ctx: Context<'_>) {
        waiting::turn_ends(ctx);
    }
}

server::load::module_entry!(Modq);
