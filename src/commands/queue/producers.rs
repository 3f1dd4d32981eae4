//! Commands of producers, who put items into queues: SUBMIT, CANCEL, UPDATE.

use super::{MS, delay, item, priority, rev, tags};
use crate::host::queues::run;
use crate::host::settings;
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use modq_core::queue::{
    Cancel, MAX_DURATION, MAX_EXCLUDE, MAX_ID, OnDuplicate, Submit, Submitted, Update,
};
use serde_bytes::Bytes;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.submit",
        flags: c"write deny-oom fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item payload [PRIORITY priority] [BOOST ms] [DELAY ms] [TAGS numtags [tag …]] \
                 [EXCLUDE nummoderators [moderator …]] [ONDUP <KEEP | BUMP | REPLACE | ERROR>]",
        integers: &["priority", "ms", "numtags", "nummoderators"],
        summary: "Puts an item into a queue, or hands it straight to a waiting moderator.",
        complexity: "O(log n) with n items, and O(log n) for each excluded moderator",
        tips: "",
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
        tips: "",
        handler: entry(cancel),
    },
    Command {
        name: c"modq.update",
        flags: c"write deny-oom fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key item [REV rev] [PRIORITY priority] [BOOST ms] [PAYLOAD payload] \
                 [TAGS numtags [tag …]] [EXCLUDE nummoderators [moderator …]]",
        integers: &["rev", "priority", "ms", "numtags", "nummoderators"],
        summary: "Changes content or order of an item, never its state.",
        complexity: "O(log n) with n items, and O(log n) for each excluded moderator",
        tips: "",
        handler: entry(update),
    },
];

fn payload<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("payload", 0..=settings::MAX_PAYLOAD.get() as usize)
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
    ctx.reply_status(match run(ctx, args, submit)? {
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
    let mut cancel = Cancel {
        id: item(&mut parser)?,
        rev: None,
    };
    while parser.more() {
        let CancelOption::Rev = parser.option()?;
        cancel.rev = Some(rev(&mut parser)?);
    }
    ctx.reply_integer(run(ctx, args, cancel)?.into());
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
    let mut update = Update {
        id: item(&mut parser)?,
        ..Update::default()
    };
    while parser.more() {
        match parser.option()? {
            UpdateOption::Rev => update.rev = Some(rev(&mut parser)?),
            UpdateOption::Priority => update.priority = Some(priority(&mut parser)?),
            UpdateOption::Boost => update.boost = Some(boost(&mut parser)?),
            UpdateOption::Payload => update.payload = Some(payload(&mut parser)?),
            UpdateOption::Tags => update.tags = Some(tags(&mut parser)?),
            UpdateOption::Exclude => update.excluded = Some(exclude(&mut parser)?),
        }
    }
    match run(ctx, args, update)? {
        Some(rev) => ctx.reply_integer(rev.0.into()),
        None => ctx.reply_null(),
    }
    Ok(())
}
