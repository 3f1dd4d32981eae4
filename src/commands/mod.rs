//! The commands, one file per family: parse, decide, apply, replicate, reply.

pub mod internal;
pub mod modq;
pub mod ratelimit;
pub mod waiting;

use crate::redis::guard::RawHandler;
use std::ffi::CStr;

/// Where a command has its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// None of the arguments is one.
    None,
    /// The first argument is one, only read.
    Reads,
    /// The first argument is one, and may be created, changed or deleted.
    Changes,
    /// The first two arguments are ones like that.
    ChangesTwo,
    /// The first argument says how many follow.
    ChangesCounted,
}

/// One command as it is registered and documented.
pub struct Command {
    pub name: &'static CStr,
    /// The server's command flags.
    pub flags: &'static CStr,
    pub keys: Keys,
    /// Words at the least (negative) or exactly, the name included.
    pub arity: i32,
    /// The arguments, as the documentation shows them; see `redis::docs`.
    pub syntax: &'static str,
    pub summary: &'static str,
    pub complexity: &'static str,
    /// Replies itself unless it refuses; see `redis::guard::entry`.
    pub handler: RawHandler,
}

/// A subcommand, without keys, as it is registered and documented.
pub struct Subcommand {
    pub name: &'static CStr,
    pub flags: &'static CStr,
    /// Words at the least (negative) or exactly, both names included.
    pub arity: i32,
    pub syntax: &'static str,
    pub summary: &'static str,
    pub complexity: &'static str,
    pub handler: RawHandler,
}

/// Every command of the module.
pub fn all() -> impl Iterator<Item = &'static Command> {
    modq::COMMANDS
        .iter()
        .chain(ratelimit::COMMANDS)
        .chain(internal::COMMANDS)
}
