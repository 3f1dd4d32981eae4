//! The commands: a folder for each family, a file in it for each kind of user. A handler parses its
//! arguments, has the host run the request, and replies.

pub mod internal;
pub mod limiter;
pub mod queue;

use crate::server::args::{Args, parse_i64};
use crate::server::command::{Command, Container};

/// Every command of the module that is no subcommand.
pub fn all() -> impl Iterator<Item = &'static Command> {
    let families = queue::COMMANDS.iter().chain(&limiter::COMMANDS);
    families
        .chain([&internal::COMMANDS])
        .flat_map(|table| table.iter())
}

/// The commands that are nothing but their subcommands.
pub fn containers() -> impl Iterator<Item = &'static Container> {
    [&limiter::POLICY].into_iter()
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
