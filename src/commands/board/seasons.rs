//! Commands on two keys: CLOSE, IMPORT.

use crate::host::board_keys::{Closed, close as close_board, import as import_set};
use crate::server::args::Args;
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"rank.close",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::ChangesTwo,
        arity: 3,
        syntax: "key destination",
        integers: &[],
        since: "0.2.0",
        summary: "Ends a season: the board moves to another key, and an empty one takes its place.",
        complexity: "O(1)",
        tips: "",
        handler: entry(close),
    },
    Command {
        name: c"rank.import",
        flags: c"write deny-oom",
        categories: c"write slow",
        keys: Keys::ChangesAndReads,
        arity: 3,
        syntax: "key zset",
        integers: &[],
        since: "0.2.0",
        summary: "Takes the members of a sorted set over, with their scores.",
        complexity: "O(n log n) with n members of the sorted set; with CAP also of the board",
        tips: "",
        handler: entry(import),
    },
];

fn close(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let moved = match close_board(ctx, args.string(1), args.string(2))? {
        Closed::Missing => 0,
        Closed::Moved(members) => {
            ctx.notify(c"rank.close", args.string(1));
            ctx.notify(c"rank.close", args.string(2));
            members
        }
    };
    ctx.reply_integer(moved as i64);
    Ok(())
}

fn import(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let imported = import_set(ctx, args.string(1), args.string(2))?;
    if imported.changed {
        ctx.notify(c"rank.import", args.string(1));
    }
    ctx.reply_integer(imported.size as i64);
    Ok(())
}
