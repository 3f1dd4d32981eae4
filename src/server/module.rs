//! What a module tells the server part about itself. The server part is generic over it: it knows
//! no command, no type and no setting of its own.

use super::args::ServerStr;
use super::command::{Command, Container};
use super::config::Setting;
use super::context::Context;
use super::keyless::Keyless;
use super::status::Status;
use super::types::Types;
use std::borrow::Cow;
use std::ffi::{CStr, c_int};

/// Why a module does not load and what to do about it, for the log: on one line.
pub type LoadError = Cow<'static, str>;

/// How a key came to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// By RENAME.
    Renamed,
    /// By RESTORE, COPY or MOVE: the value is a new one.
    Brought,
    /// With what the server loads.
    Loaded,
}

/// A module: what it registers when it loads, and what it does when something happens in the
/// server.
///
/// Everything here runs on the server's main thread, with no command of the module running.
pub trait Module: Sized + 'static {
    /// The name, which the server also puts in front of settings and INFO fields.
    const NAME: &'static CStr;
    /// The version: 1.2.3 is 10203.
    const VERSION: c_int;
    /// The command by which a rewritten AOF carries values: `command key word version part chunk`.
    /// `word` is `Stored::WORD`, `version` that of the chunk's encoding, and `part` is "first",
    /// "more" or, with an empty chunk, "last".
    const LOAD_COMMAND: &'static CStr;
    /// The command that replies [`reply_wanted`](super::status::reply_wanted).
    const STATUS_COMMAND: &'static CStr;
    /// What belongs to no key.
    type Keyless: Keyless;

    /// Registers the types.
    ///
    /// # Errors
    /// If the server refuses one.
    fn register_types(types: &Types<'_, Self>) -> Result<(), LoadError>;
    /// The settings.
    fn settings() -> &'static [&'static Setting];
    /// The commands, except containers.
    fn commands() -> impl Iterator<Item = &'static Command>;
    /// The commands that are nothing but their subcommands.
    fn containers() -> impl Iterator<Item = &'static Container>;
    /// The statuses that commands reply, but OK.
    fn statuses() -> &'static [&'static Status];
    /// The fields of the module's section of INFO.
    fn info() -> Vec<(&'static CStr, u64)>;

    /// A key came to the name `name` of the selected database by other means than a command of the
    /// module.
    fn key_arrived(ctx: Context<'_>, name: ServerStr<'_>, arrival: Arrival);
    /// Loading a file, or what a primary sent in full, has ended, well or not.
    fn loading_ended(ctx: Context<'_>);
    /// The server became a primary or a replica.
    fn role_changed(ctx: Context<'_>);
    /// Two databases changed places.
    fn databases_swapped(first: i32, second: i32);
    /// The connection of a client is closed, whatever the reason. `client` is its id.
    fn client_gone(ctx: Context<'_>, client: u64);
    /// A turn of the event loop begins: the server has waited for its clients, and now hears them.
    fn turn_begins();
    /// A turn of the event loop ends: the server is about to wait for its clients.
    fn turn_ends(ctx: Context<'_>);
}
