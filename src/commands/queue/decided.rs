//! Commands about items that were decided, of which a queue with RETAIN keeps records: DECIDED, FORGET.

use super::{item, items_by};
use crate::host::queues::{read, run};
use crate::server::args::{Args, Parser};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use modq_core::queue::{Forget, RecordView};

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.decided",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: 3,
        syntax: "key item",
        integers: &[],
        since: "0.2.0",
        summary: "What is remembered of an item that was decided.",
        complexity: "O(log n) with n records",
        tips: "nondeterministic_output",
        handler: entry(decided),
    },
    Command {
        name: c"modq.forget",
        flags: c"write",
        categories: c"write slow",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key item [item …] [BY who]",
        integers: &[],
        since: "0.2.0",
        summary: "Erases what is remembered of items that were decided.",
        complexity: "O(log n) for each, with n records",
        tips: "",
        handler: entry(forget),
    },
];

fn decided(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let id = item(&mut Parser::new(args, 2))?;
    let found = read(ctx, args, |queue, now| match queue.record(id, now) {
        Some(record) => {
            reply_record(ctx, &record);
            true
        }
        None => false,
    })?;
    if found != Some(true) {
        ctx.reply_null();
    }
    Ok(())
}

/// Replies what is remembered of a decided item.
fn reply_record(ctx: Context<'_>, record: &RecordView<'_>) {
    ctx.reply_map(9);
    ctx.field("item").reply_bytes(record.item);
    ctx.field("verdict").reply_bytes(record.verdict);
    for (name, n) in [
        ("decided", record.decided.0),
        ("expires", record.expires.0),
        ("token", record.token.0),
        ("rev", record.rev.0.into()),
        ("submitted", record.submitted.0),
        ("reports", record.reports.into()),
    ] {
        ctx.field(name).reply_integer(n as i64);
    }
    ctx.field("moderators").reply_array(record.moderators.len());
    for name in &record.moderators {
        ctx.reply_bytes(name);
    }
}

fn forget(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let first = item(&mut parser)?;
    let (ids, by) = items_by(&mut parser, args, first)?;
    let forgotten = run(ctx, args, Forget { ids: &ids, by })?;
    ctx.reply_integer(forgotten as i64);
    Ok(())
}
