//! Commands that correct what was charged: REFUND, RESET, BLOCK.

use super::ms;
use crate::host::clock;
use crate::host::limiter_keys::{LimitKey, carry_out};
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use crate::server::key::{Key, Mode};
use modq_core::limiter::{Effect, Limiter, MAX_ID_BYTES, MAX_VALUE};
use modq_core::units::Time;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"ratelimit.refund",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: 4,
        syntax: "key <COST cost | ID request>",
        integers: &["cost"],
        since: "0.1.0",
        summary: "Gives back units, or what a request charged.",
        complexity: "O(n) with n charges given back",
        tips: "nondeterministic_output",
        handler: entry(refund),
    },
    Command {
        name: c"ratelimit.reset",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: 2,
        syntax: "key",
        integers: &[],
        since: "0.1.0",
        summary: "Forgets everything charged, blocked and remembered.",
        complexity: "O(1)",
        tips: "",
        handler: entry(reset),
    },
    Command {
        name: c"ratelimit.block",
        flags: c"write deny-oom fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: 3,
        syntax: "key ms",
        integers: &["ms"],
        since: "0.1.0",
        summary: "Denies everything for some time; 0 lifts it.",
        complexity: "O(1)",
        tips: "",
        handler: entry(block),
    },
];

/// Runs a command that has one effect on a limiter, or none. Answers the units given back, or none
/// if there was no effect.
fn change<'e>(
    ctx: Context<'_>,
    args: Args<'_>,
    decide: impl FnOnce(&Limiter, Time) -> Option<Effect<'e>>,
) -> Result<Option<u64>, Refusal> {
    let mut key = Key::<LimitKey>::open(ctx, args.string(1), Mode::Write)?;
    let now = clock::now().time;
    let effect = match key.get() {
        Some(stored) => decide(&stored.limiter, now),
        None => decide(&Limiter::default(), now),
    };
    match effect {
        Some(effect) => carry_out(ctx, &mut key, &effect).map(Some),
        None => Ok(None),
    }
}

words! {
    /// What is given back.
    enum RefundOption {
        Cost = "COST",
        Id = "ID",
    }
}

fn refund(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let given = match parser.option()? {
        RefundOption::Cost => {
            let units = parser.unsigned("COST", 0..=MAX_VALUE)?;
            change(ctx, args, |limiter, now| limiter.refund_cost(now, units))?
        }
        RefundOption::Id => {
            let id = parser.bytes("ID", 1..=MAX_ID_BYTES)?;
            change(ctx, args, |limiter, now| limiter.refund_id(now, id))?
        }
    };
    ctx.reply_integer(given.unwrap_or(0) as i64);
    Ok(())
}

fn reset(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let done = change(ctx, args, Limiter::reset)?;
    ctx.reply_integer(done.is_some().into());
    Ok(())
}

fn block(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let span = ms(&mut Parser::new(args, 2), "ms", 0..=MAX_VALUE)?;
    change(ctx, args, |limiter, now| match span.is_zero() {
        true => limiter.unblock(now),
        false => Some(limiter.block(now, span)),
    })?;
    ctx.reply_ok();
    Ok(())
}
