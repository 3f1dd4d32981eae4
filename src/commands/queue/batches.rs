//! Commands for who works through thousands: MSUBMIT, MRESOLVE, MEXTEND. Each does what its single
//! command does, for many items in one step.

use super::moderators::status as status_of_resolve;
use super::producers::{payload, status as status_of_submit, submit_options};
use super::{decision, item, ms, rev_named, token, verdict};
use crate::host::queues::run;
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use modq_core::queue::{
    Error, Extend, MAX_DURATION, MAX_EXCLUDE_MANY, MAX_MANY, Many, Resolve, Submit,
};
use modq_core::units::Token;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.msubmit",
        flags: c"write deny-oom",
        categories: c"write slow",
        keys: Keys::Changes,
        arity: -5,
        syntax: "key numitems item payload [item payload …] [PRIORITY priority] [BOOST ms] [DELAY ms] \
                 [TAGS numtags [tag …]] [EXCLUDE nummoderators [moderator …]] \
                 [ONDUP <KEEP | BUMP [STEP step] | REPLACE | ERROR>] \
                 [ONDECIDED <KEEP | COUNT | CHANGED | AGAIN | APPEAL>] [QUORUM k max-votes] [GROUP group]",
        integers: &[
            "numitems",
            "priority",
            "ms",
            "numtags",
            "nummoderators",
            "step",
            "k",
            "max-votes",
        ],
        since: "0.2.0",
        summary: "Puts many items into a queue in one step.",
        complexity: "as MODQ.SUBMIT for each item",
        tips: "",
        handler: entry(msubmit),
    },
    Command {
        name: c"modq.mresolve",
        flags: c"write",
        categories: c"write slow",
        keys: Keys::Changes,
        arity: -5,
        syntax: "key numitems item token [item token …] [REVS rev [rev …]] [VERDICT verdict] \
                 [DECISION decision]",
        integers: &["numitems", "token", "rev"],
        since: "0.2.0",
        summary: "Ends many items with one decision on them, in one step.",
        complexity: "as MODQ.RESOLVE for each item",
        tips: "",
        handler: entry(mresolve),
    },
    Command {
        name: c"modq.mextend",
        flags: c"write",
        categories: c"write slow",
        keys: Keys::Changes,
        arity: -6,
        syntax: "key ms numitems item token [item token …]",
        integers: &["ms", "numitems", "token"],
        since: "0.2.0",
        summary: "Sets the deadlines of many locks anew, counted from now.",
        complexity: "as MODQ.EXTEND for each lock",
        tips: "nondeterministic_output",
        handler: entry(mextend),
    },
];

/// Reads how many items follow, and then of each its id and what belongs to it.
fn items<'a, T>(
    parser: &mut Parser<'a>,
    belongs: impl Fn(&mut Parser<'a>) -> Result<T, Refusal>,
) -> Result<Vec<(&'a [u8], T)>, Refusal> {
    let n = parser.unsigned("numitems", 1..=MAX_MANY as u64)?;
    (0..n)
        .map(|_| Ok((item(parser)?, belongs(parser)?)))
        .collect()
}

/// Replies to each request of a batch in its place.
fn reply_each<T>(ctx: Context<'_>, replies: Vec<Result<T, Error>>, reply: impl Fn(T)) {
    ctx.reply_array(replies.len());
    for each in replies {
        match each {
            Ok(done) => reply(done),
            Err(error) => ctx.refuse_one(&error.into()),
        }
    }
}

fn msubmit(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let items = items(&mut parser, payload)?;
    let mut options = Submit::default();
    submit_options(&mut parser, &mut options)?;
    let excluded = options.excluded.as_ref().map_or(0, Vec::len);
    if items.len() * excluded > MAX_EXCLUDE_MANY {
        return Err(Refusal::new(format!(
            "ERR EXCLUDE: {} items times {excluded} are more than {MAX_EXCLUDE_MANY}",
            items.len()
        )));
    }
    let each = items.into_iter().map(|(id, payload)| Submit {
        id,
        payload,
        ..options.clone()
    });
    let replies = run(ctx, args, Many(each))?;
    reply_each(ctx, replies, |done| {
        ctx.reply_status(status_of_submit(done))
    });
    Ok(())
}

words! {
    enum ResolveOption {
        Revs = "REVS",
        Verdict = "VERDICT",
        Decision = "DECISION",
    }
}

fn mresolve(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let locks = items(&mut parser, token)?;
    let (mut given, mut revs) = (Resolve::default(), Vec::new());
    while parser.more() {
        match parser.option()? {
            ResolveOption::Revs => {
                let each = locks.iter().map(|_| rev_named(&mut parser, "REVS"));
                revs = each.collect::<Result<_, _>>()?;
            }
            ResolveOption::Verdict => given.verdict = Some(verdict(&mut parser)?),
            ResolveOption::Decision => given.decision = Some(decision(&mut parser)?),
        }
    }
    let each = locks.into_iter().enumerate();
    let each = each.map(|(i, (id, token))| Resolve {
        id,
        token,
        rev: revs.get(i).copied(),
        ..given
    });
    let replies = run(ctx, args, Many(each))?;
    reply_each(ctx, replies, |done| {
        ctx.reply_status(status_of_resolve(done));
    });
    Ok(())
}

fn mextend(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let span = ms(&mut parser, "ms", 1..=MAX_DURATION)?;
    let locks: Vec<(&[u8], Token)> = items(&mut parser, token)?;
    parser.end()?;
    let each = locks.into_iter();
    let each = each.map(|(id, token)| Extend { id, token, span });
    let replies = run(ctx, args, Many(each))?;
    reply_each(ctx, replies, |deadline| {
        ctx.reply_integer(deadline.0 as i64);
    });
    Ok(())
}
