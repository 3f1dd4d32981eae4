//! Commands of producers, who put items into queues: SUBMIT, CANCEL, UPDATE.

use super::{MS, delay, item, priority, rev, tags};
use crate::host::queues::write;
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Keys};
use crate::server::config;
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use modq_core::queue::{Change, MAX_DURATION, MAX_EXCLUDE, MAX_ID, OnDuplicate, Submit, Submitted};
use serde_bytes::Bytes;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.submit",
        flags: c"write deny-oom fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item payload [PRIORITY priority] [BOOST ms] [DELAY ms] [TAGS n [tag …]] \
                 [EXCLUDE n [moderator …]] [ONDUP <KEEP | BUMP | REPLACE | ERROR>]",
        integers: &["priority", "ms", "n"],
        summary: "Puts an item into a queue, or hands it straight to a waiting moderator.",
        complexity: "O(log n) with n items, and O(log n) for each excluded moderator",
        handler: entry(submit),
    },
    Command {
        name: c"modq.cancel",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key item [REV rev]",
        integers: &["rev"],
        summary: "Removes an item, if it is still at the given revision.",
        complexity: "O(log n) with n items",
        handler: entry(cancel),
    },
    Command {
        name: c"modq.update",
        flags: c"write deny-oom fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key item [REV rev] [PRIORITY priority] [BOOST ms] [PAYLOAD payload] \
                 [TAGS n [tag …]] [EXCLUDE n [moderator …]]",
        integers: &["rev", "priority", "ms", "n"],
        summary: "Changes content or order of an item, never its state.",
        complexity: "O(log n) with n items, and O(log n) for each excluded moderator",
        handler: entry(update),
    },
];

fn payload<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("payload", 0..=config::MAX_PAYLOAD.get() as usize)
}

fn boost(parser: &mut Parser<'_>) -> Result<i64, Refusal> {
    let most = MAX_DURATION as i64;
    parser.number_of("BOOST", -most..=most, MS)
}

fn exclude<'a>(parser: &mut Parser<'a>) -> Result<Vec<&'a Bytes>, Refusal> {
    parser.counted("EXCLUDE", MAX_EXCLUDE, 1..=MAX_ID, Bytes::new)
}

words! {
    enum SubmitOption {
        Priority = "PRIORITY",
        Boost = "BOOST",
        Delay = "DELAY",
        Tags = "TAGS",
        Exclude = "EXCLUDE",
        OnDuplicate = "ONDUP",
    }
}

words! {
    impl for OnDuplicate {
        Keep = "KEEP",
        Bump = "BUMP",
        Replace = "REPLACE",
        Error = "ERROR",
    }
}

fn submit(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut submit = Submit {
        id: item(&mut parser)?,
        payload: payload(&mut parser)?,
        ..Submit::default()
    };
    while parser.more() {
        match parser.option()? {
            SubmitOption::Priority => submit.priority = Some(priority(&mut parser)?),
            SubmitOption::Boost => submit.boost = Some(boost(&mut parser)?),
            SubmitOption::Delay => submit.delay = delay(&mut parser)?,
            SubmitOption::Tags => submit.tags = Some(tags(&mut parser)?),
            SubmitOption::Exclude => submit.excluded = Some(exclude(&mut parser)?),
            SubmitOption::OnDuplicate => submit.on_duplicate = parser.one_of("ONDUP")?,
        }
    }
    let submitted = write(ctx, args, |work| {
        Ok(work.queue.submit(work.now, submit, work.fx)?)
    })?;
    ctx.reply_status(match submitted {
        Submitted::Ready => c"READY",
        Submitted::Assigned => c"ASSIGNED",
        Submitted::Delayed => c"DELAYED",
        Submitted::Exists => c"EXISTS",
        Submitted::Bumped => c"BUMPED",
        Submitted::Replaced => c"REPLACED",
    });
    Ok(())
}

words! {
    enum CancelOption {
        Rev = "REV",
    }
}

fn cancel(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let mut at_rev = None;
    while parser.more() {
        let CancelOption::Rev = parser.option()?;
        at_rev = Some(rev(&mut parser)?);
    }
    let cancelled = write(ctx, args, |work| {
        Ok(work.queue.cancel(work.now, id, at_rev, work.fx)?)
    })?;
    ctx.reply_integer(cancelled.into());
    Ok(())
}

words! {
    enum UpdateOption {
        Rev = "REV",
        Priority = "PRIORITY",
        Boost = "BOOST",
        Payload = "PAYLOAD",
        Tags = "TAGS",
        Exclude = "EXCLUDE",
    }
}

fn update(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let mut change = Change::default();
    while parser.more() {
        match parser.option()? {
            UpdateOption::Rev => change.rev = Some(rev(&mut parser)?),
            UpdateOption::Priority => change.priority = Some(priority(&mut parser)?),
            UpdateOption::Boost => change.boost = Some(boost(&mut parser)?),
            UpdateOption::Payload => change.payload = Some(payload(&mut parser)?),
            UpdateOption::Tags => change.tags = Some(tags(&mut parser)?),
            UpdateOption::Exclude => change.excluded = Some(exclude(&mut parser)?),
        }
    }
    let updated = write(ctx, args, |work| {
        Ok(work.queue.update(work.now, id, change, work.fx)?)
    })?;
    match updated {
        Some(rev) => ctx.reply_integer(rev as i64),
        None => ctx.reply_null(),
    }
    Ok(())
}
