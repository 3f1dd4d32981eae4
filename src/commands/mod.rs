//! The commands: a folder for each family, a file in it for each kind of user. Such a file has the
//! table entries of its commands and their handlers. A handler parses the arguments, has the host
//! run the request, and replies.

pub mod board;
pub mod internal;
pub mod limiter;
pub mod queue;
pub mod statuses;

use crate::server::args::{Args, parse_i64};
use crate::server::command::{Command, Container};

static FAMILIES: [&[&[Command]]; 4] = [
    &queue::COMMANDS,
    &limiter::COMMANDS,
    &board::COMMANDS,
    &[internal::COMMANDS],
];

/// Every command of the module but containers and their subcommands.
pub fn all() -> impl Iterator<Item = &'static Command> {
    FAMILIES.into_iter().flatten().copied().flatten()
}

/// The commands that are nothing but their subcommands.
pub fn containers() -> impl Iterator<Item = &'static Container> {
    [&limiter::POLICY].into_iter()
}

/// Where the keys are, if the first argument says how many follow. Nowhere if it is no number, or one
/// that is larger than the number of words that follow.
fn counted_keys(args: Args<'_>) -> Vec<usize> {
    const FIRST: usize = 2;
    let count = match args.count() {
        ..=FIRST => None,
        _ => parse_i64(args.get(1)).and_then(|n| usize::try_from(n).ok()),
    };
    let fits = count.filter(|&n| n <= args.count().saturating_sub(FIRST));
    (FIRST..FIRST + fits.unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command and subcommand.
    fn entries() -> impl Iterator<Item = &'static Command> {
        all().chain(containers().flat_map(|container| container.subcommands))
    }

    fn words(list: &std::ffi::CStr) -> Vec<&str> {
        list.to_str().unwrap().split(' ').collect()
    }

    #[test]
    fn every_syntax_can_be_read() {
        for command in entries() {
            let has_arguments = !command.arguments().is_empty();
            assert_eq!(has_arguments, !command.syntax.is_empty());
            let separators = ['[', ']', '<', '>', ' '];
            let words: Vec<&str> = command.syntax.split(separators).collect();
            for name in command.integers {
                assert!(words.contains(name), "{name} in {}", command.syntax);
            }
        }
    }

    /// The server puts its own commands into categories by their flags. It leaves that to us.
    #[test]
    fn categories_fit_flags() {
        for command in entries() {
            let (flags, categories) = (words(command.flags), words(command.categories));
            let pairs = [("readonly", "read"), ("write", "write")];
            let pairs = pairs
                .into_iter()
                .chain([("fast", "fast"), ("blocking", "blocking")]);
            for (flag, category) in pairs {
                let name = command.name;
                assert_eq!(
                    flags.contains(&flag),
                    categories.contains(&category),
                    "{name:?}"
                );
            }
            assert_ne!(categories.contains(&"fast"), categories.contains(&"slow"));
            let is_internal = internal::COMMANDS.iter().any(|c| c.name == command.name);
            for category in ["admin", "dangerous"] {
                assert_eq!(categories.contains(&category), is_internal);
            }
        }
    }
}
