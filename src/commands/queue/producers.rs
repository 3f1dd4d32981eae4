//! Commands of producers, who put items into queues: SUBMIT, CANCEL, UPDATE.

use super::{MS, by, delay, group, item, priority, quorum, reason, rev, tags};
use crate::commands::statuses;
use crate::host::queues::run;
use crate::host::settings;
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use crate::server::status::Status;
use modq_core::queue::{
    Cancel, MAX_DURATION, MAX_EXCLUDE, MAX_GROUP, MAX_ID, OnDecided, OnDuplicate, Submit,
    Submitted, Update,
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
                 [EXCLUDE nummoderators [moderator …]] \
                 [ONDUP <KEEP | BUMP [STEP step] | REPLACE | ERROR>] \
                 [ONDECIDED <KEEP | COUNT | CHANGED | AGAIN | APPEAL>] [QUORUM k max-votes] [GROUP group]",
        integers: &[
            "priority",
            "ms",
            "numtags",
            "nummoderators",
            "step",
            "k",
            "max-votes",
        ],
        since: "0.1.0",
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
        syntax: "key item [REV rev] [REASON reason] [BY who]",
        integers: &["rev"],
        since: "0.1.0",
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
                 [TAGS numtags [tag …]] [EXCLUDE nummoderators [moderator …]] [QUORUM k max-votes] \
                 [GROUP group] [REPORTS reports] [BY who]",
        integers: &[
            "rev",
            "priority",
            "ms",
            "numtags",
            "nummoderators",
            "k",
            "max-votes",
            "reports",
        ],
        since: "0.1.0",
        summary: "Changes an item: its content, its order, by whom it is decided.",
        complexity: "O(log n) with n items, and O(log n) for each excluded moderator",
        tips: "",
        handler: entry(update),
    },
];

pub(super) fn payload<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("payload", 0..=settings::MAX_PAYLOAD.get() as usize)
}

fn boost(parser: &mut Parser<'_>) -> Result<i64, Refusal> {
    let most = MAX_DURATION as i64;
    parser.number_of("BOOST", -most..=most, MS)
}

fn step(parser: &mut Parser<'_>) -> Result<i32, Refusal> {
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    parser.number("STEP", range).map(|step| step as i32)
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
        Step = "STEP",
        OnDecided = "ONDECIDED",
        Quorum = "QUORUM",
        Group = "GROUP",
    }
}

words! {
    impl for OnDecided {
        Keep = "KEEP",
        Count = "COUNT",
        Changed = "CHANGED",
        Again = "AGAIN",
        Appeal = "APPEAL",
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
    submit_options(&mut parser, &mut submit)?;
    ctx.reply_status(status(run(ctx, args, &mut submit)?));
    Ok(())
}

/// Reads the options of SUBMIT up to the end of the command.
pub(super) fn submit_options<'a>(
    parser: &mut Parser<'a>,
    submit: &mut Submit<'a>,
) -> Result<(), Refusal> {
    while parser.more() {
        match parser.option()? {
            SubmitOption::Priority => submit.priority = Some(priority(parser)?),
            SubmitOption::Boost => submit.boost = Some(boost(parser)?),
            SubmitOption::Delay => submit.delay = delay(parser)?,
            SubmitOption::Tags => submit.tags = Some(tags(parser)?),
            SubmitOption::Exclude => submit.excluded = Some(exclude(parser)?),
            SubmitOption::OnDuplicate => submit.on_duplicate = parser.one_of("ONDUP")?,
            SubmitOption::Step => submit.step = Some(step(parser)?),
            SubmitOption::OnDecided => submit.on_decided = parser.one_of("ONDECIDED")?,
            SubmitOption::Quorum => submit.quorum = Some(quorum(parser)?),
            SubmitOption::Group => submit.group = Some(group(parser)?),
        }
    }
    if submit.step.is_some() {
        let bumps = submit.on_duplicate == OnDuplicate::Bump;
        if !bumps || submit.priority.is_some() {
            return Err(Refusal::fixed(
                "ERR STEP goes with ONDUP BUMP, and takes the place of PRIORITY",
            ));
        }
    }
    Ok(())
}

/// The reply to a SUBMIT.
pub(super) fn status(submitted: Submitted) -> &'static Status {
    match submitted {
        Submitted::Ready => &statuses::READY,
        Submitted::Assigned => &statuses::ASSIGNED,
        Submitted::Delayed => &statuses::DELAYED,
        Submitted::Exists => &statuses::EXISTS,
        Submitted::Bumped => &statuses::BUMPED,
        Submitted::Replaced => &statuses::REPLACED,
        Submitted::Decided => &statuses::DECIDED,
    }
}

words! {
    enum CancelOption {
        Rev = "REV",
        Reason = "REASON",
        By = "BY",
    }
}

fn cancel(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut cancel = Cancel {
        id: item(&mut parser)?,
        ..Cancel::default()
    };
    while parser.more() {
        match parser.option()? {
            CancelOption::Rev => cancel.rev = Some(rev(&mut parser)?),
            CancelOption::Reason => cancel.reason = Some(reason(&mut parser)?),
            CancelOption::By => cancel.by = Some(by(&mut parser)?),
        }
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
        Quorum = "QUORUM",
        Group = "GROUP",
        Reports = "REPORTS",
        By = "BY",
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
            UpdateOption::Quorum => update.quorum = Some(quorum(&mut parser)?),
            // An empty name takes it out.
            UpdateOption::Group => update.group = Some(parser.bytes("GROUP", 0..=MAX_GROUP)?),
            UpdateOption::Reports => {
                let reports = parser.unsigned("REPORTS", 1..=1 << 31)?;
                update.reports = Some(reports as u32);
            }
            UpdateOption::By => update.by = Some(by(&mut parser)?),
        }
    }
    match run(ctx, args, update)? {
        Some(rev) => ctx.reply_integer(rev.0.into()),
        None => ctx.reply_null(),
    }
    Ok(())
}
