//! Commands that correct what was charged: REFUND, RESET, BLOCK.

use crate::host::clock;
use crate::host::limiter_keys::{LimitKey, carry_out};
use crate::server::args::{Args, Parser};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use crate::server::key::{Key, Mode};
use modq_core::limiter::{Effect, Limiter, MAX_ID_BYTES, MAX_VALUE};

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"ratelimit.refund",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: 4,
        syntax: "key <COST cost | ID request>",
        summary: "Gives back units, or what a request charged.",
        complexity: "O(n) with n charges given back",
        handler: entry(refund),
    },
    Command {
        name: c"ratelimit.reset",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: 2,
        syntax: "key",
        summary: "Forgets everything charged, blocked and remembered.",
        complexity: "O(1)",
        handler: entry(reset),
    },
    Command {
        name: c"ratelimit.block",
        flags: c"write deny-oom fast",
        keys: Keys::Changes,
        arity: 3,
        syntax: "key ms",
        summary: "Denies everything for some time; 0 lifts it.",
        complexity: "O(1)",
        handler: entry(block),
    },
];

/// Runs a command that has an effect on a limiter or none. Answers what applying answered.
fn change<'e>(
    ctx: Context<'_>,
    args: Args<'_>,
    decide: impl FnOnce(&Limiter, u64) -> Option<Effect<'e>>,
) -> Result<Option<u64>, Refusal> {
    let mut key = Key::<LimitKey>::open(ctx, args.string(1), Mode::Write)?;
    let now = clock::now().time.0;
    let effect = match key.get() {
        Some(stored) => decide(&stored.limiter, now),
        None => decide(&Limiter::default(), now),
    };
    match effect {
        Some(effect) => carry_out(ctx, &mut key, &effect).map(Some),
        None => Ok(None),
    }
}

fn refund(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let given = match parser.option(&["COST", "ID"])? {
        0 => {
            let units = parser.unsigned("COST", 0..=MAX_VALUE)?;
            change(ctx, args, |limiter, now| limiter.refund_cost(now, units))?
        }
        _ => {
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
    let ms = Parser::new(args, 2).ms("ms", 0..=MAX_VALUE)?;
    change(ctx, args, |limiter, now| limiter.block(now, ms))?;
    ctx.reply_ok();
    Ok(())
}
