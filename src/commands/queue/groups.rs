//! Commands on the items of a group, which are about one author, one content, one thread: GROUP,
//! CANCELGROUP.

use super::{PAGE, by, count, cursor, group, reason, reply_cursor};
use crate::host::queues::{read, run};
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use modq_core::queue::{CancelGroup, GroupDone, MAX_COUNT, MAX_TAG, MAX_TAGS};
use serde_bytes::Bytes;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.group",
        flags: c"readonly",
        categories: c"read slow",
        keys: Keys::Reads,
        arity: -3,
        syntax: "key group [CURSOR cursor] [COUNT n]",
        integers: &["cursor", "n"],
        since: "0.2.0",
        summary: "A page of the items of a group, in the order they arrived.",
        complexity: "O(log n + page) with n items in the group",
        tips: "nondeterministic_output",
        handler: entry(list_group),
    },
    Command {
        name: c"modq.cancelgroup",
        flags: c"write",
        categories: c"write slow",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key group [COUNT n] [CURSOR cursor] [EXCEPT numtags [tag …]] [REASON reason] [BY who]",
        integers: &["n", "cursor", "numtags"],
        since: "0.2.0",
        summary: "Removes the items of a group.",
        complexity: "O(log n) for each removed, with n items; at most 10,000 items of the group are looked at",
        tips: "",
        handler: entry(cancel_group),
    },
];

words! {
    enum GroupOption {
        Cursor = "CURSOR",
        Count = "COUNT",
    }
}

fn list_group(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let name = group(&mut parser)?;
    let (mut from, mut most) = (0, PAGE);
    while parser.more() {
        match parser.option()? {
            GroupOption::Cursor => from = cursor(&mut parser)?,
            GroupOption::Count => most = count(&mut parser)?,
        }
    }
    let replied = read(ctx, args, |queue, now| {
        let page = queue.group(name, from, most, now);
        ctx.reply_array(2);
        reply_cursor(ctx, page.next);
        ctx.reply_array(page.rows.len());
        for row in page.rows {
            ctx.reply_array(5);
            ctx.reply_bytes(row.item);
            ctx.reply_bytes(row.state.name().as_bytes());
            ctx.reply_integer(row.priority.into());
            ctx.reply_integer(row.submitted.0 as i64);
            match row.moderator {
                Some(name) => ctx.reply_bytes(name),
                None => ctx.reply_null(),
            }
        }
    })?;
    if replied.is_none() {
        ctx.reply_array(2);
        reply_cursor(ctx, None);
        ctx.reply_array(0);
    }
    Ok(())
}

words! {
    enum CancelGroupOption {
        Count = "COUNT",
        Cursor = "CURSOR",
        Except = "EXCEPT",
        Reason = "REASON",
        By = "BY",
    }
}

fn cancel_group(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut cancel = CancelGroup {
        group: group(&mut parser)?,
        most: MAX_COUNT as usize,
        ..CancelGroup::default()
    };
    while parser.more() {
        match parser.option()? {
            CancelGroupOption::Count => cancel.most = count(&mut parser)?,
            CancelGroupOption::Cursor => cancel.cursor = cursor(&mut parser)?,
            CancelGroupOption::Except => {
                cancel.except = parser.counted("EXCEPT", MAX_TAGS, 1..=MAX_TAG, Bytes::new)?;
            }
            CancelGroupOption::Reason => cancel.reason = Some(reason(&mut parser)?),
            CancelGroupOption::By => cancel.by = Some(by(&mut parser)?),
        }
    }
    let done = run(ctx, args, &cancel)?;
    ctx.reply_array(3);
    reply_done(ctx, &done);
    Ok(())
}

/// Replies how far a command came with the items of a group: three elements of an array.
pub(super) fn reply_done(ctx: Context<'_>, done: &GroupDone) {
    ctx.reply_integer(done.done as i64);
    ctx.reply_integer(done.left as i64);
    reply_cursor(ctx, done.next);
}
