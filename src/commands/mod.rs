//! The commands, one file per family: parse, decide, apply, replicate, reply.

pub mod internal;
pub mod modq;
pub mod ratelimit;

use crate::server::args::{Args, parse_i64};
use crate::server::guard::RawHandler;
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
    /// The first argument is one, and so is what follows the word EVENTS.
    ChangesEvents,
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

/// Where the keys are, if the first argument says how many follow; nowhere if it says so wrongly.
pub fn counted_keys(args: Args<'_>) -> Vec<usize> {
    const FIRST: usize = 2;
    let count = match args.count() {
        ..=FIRST => None,
        _ => parse_i64(args.get(1)).and_then(|n| usize::try_from(n).ok()),
    };
    let fits = count.filter(|&n| n <= args.count().saturating_sub(FIRST));
    (FIRST..FIRST + fits.unwrap_or(0)).collect()
}

/// Where the keys of CONFIGURE are: the queue, and the stream that EVENTS names.
pub fn keys_with_events(args: Args<'_>) -> Vec<usize> {
    let names = (2..args.count()).step_by(2);
    let stream = names
        .filter(|at| args.get(*at).eq_ignore_ascii_case(b"EVENTS"))
        .map(|at| at + 1)
        .filter(|at| *at < args.count() && !args.get(*at).is_empty());
    (1..args.count().min(2)).chain(stream).collect()
}
