//! Commands on leases, which limit how many run at a time: ACQUIRE, RELEASE, LEASES.

use super::{OUT_OF_MEMORY, memory_is_used_up, ms, shown};
use crate::host::clock;
use crate::host::limiter_keys::{LeaseKey, carry_out};
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use crate::server::key::{Key, Mode};
use modq_core::limiter::{Acquire, Leases, Listed, MAX_ID_BYTES, MAX_VALUE, Outcome};
use modq_core::units::Token;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"ratelimit.acquire",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -6,
        syntax: "key max id TTL ms [COST cost]",
        integers: &["max", "ms", "cost"],
        since: "0.1.0",
        summary: "Takes or renews a lease, if there is room.",
        complexity: "O(log n) with n leases",
        tips: "nondeterministic_output",
        handler: entry(acquire),
    },
    Command {
        name: c"ratelimit.release",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: 3,
        syntax: "key id",
        integers: &[],
        since: "0.1.0",
        summary: "Ends a lease.",
        complexity: "O(log n) with n leases",
        tips: "",
        handler: entry(release),
    },
    Command {
        name: c"ratelimit.leases",
        flags: c"readonly",
        categories: c"read slow",
        keys: Keys::Reads,
        arity: -2,
        syntax: "key [CURSOR cursor] [COUNT n]",
        integers: &["cursor", "n"],
        since: "0.1.0",
        summary: "The live leases, all or a page of them.",
        complexity: "O(n) with n leases; a page is O(n) too, but replies COUNT of them",
        tips: "nondeterministic_output",
        handler: entry(leases),
    },
];

words! {
    enum AcquireOption {
        Ttl = "TTL",
        Cost = "COST",
    }
}

fn acquire(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let max = parser.unsigned("max", 1..=MAX_VALUE)?;
    let id = parser.bytes("id", 1..=MAX_ID_BYTES)?;
    let (mut ttl, mut cost) = (None, 1);
    while parser.more() {
        match parser.option()? {
            AcquireOption::Ttl => ttl = Some(ms(&mut parser, "TTL", 1..=MAX_VALUE)?),
            AcquireOption::Cost => cost = parser.unsigned("COST", 1..=MAX_VALUE)?,
        }
    }
    let ttl = ttl.ok_or(Refusal::missing("TTL"))?;
    let ask = Acquire { max, id, ttl, cost };
    let mut key = Key::<LeaseKey>::open(ctx, args.string(1), Mode::Write)?;
    let now = clock::now();
    let acquired = match key.get() {
        Some(stored) => stored.leases.acquire(now.time, now.token_floor, &ask),
        None => Leases::default().acquire(now.time, now.token_floor, &ask),
    };
    let (leased, retry_after, fence) = match &acquired.outcome {
        Outcome::Leased {
            fence,
            needs_alloc,
            effect,
        } => {
            if *needs_alloc && memory_is_used_up(ctx) {
                return Err(OUT_OF_MEMORY);
            }
            carry_out(ctx, &mut key, effect)?;
            clock::note_token(*fence, now.time);
            (true, 0, fence.0)
        }
        Outcome::Denied {
            retry_after,
            effect,
        } => {
            if let Some(effect) = effect {
                carry_out(ctx, &mut key, effect)?;
            }
            (false, shown(*retry_after), 0)
        }
    };
    ctx.reply_array(5);
    ctx.reply_integer(leased.into());
    ctx.reply_integer(acquired.in_use as i64);
    ctx.reply_integer(max as i64);
    ctx.reply_integer(retry_after);
    ctx.reply_integer(fence as i64);
    Ok(())
}

fn release(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let id = Parser::new(args, 2).bytes("id", 1..=MAX_ID_BYTES)?;
    let mut key = Key::<LeaseKey>::open(ctx, args.string(1), Mode::Write)?;
    let now = clock::now().time;
    let effect = key.get().and_then(|stored| stored.leases.release(now, id));
    if let Some(effect) = &effect {
        carry_out(ctx, &mut key, effect)?;
    }
    ctx.reply_integer(effect.is_some().into());
    Ok(())
}

words! {
    enum LeasesOption {
        Cursor = "CURSOR",
        Count = "COUNT",
    }
}

/// How many leases a page has if COUNT does not say, and at most.
const PAGE: usize = 100;
const MAX_PAGE: u64 = 1000;

fn leases(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let paged = parser.more();
    let (mut from, mut most) = (Token(0), PAGE);
    while parser.more() {
        match parser.option()? {
            LeasesOption::Cursor => {
                from = Token(parser.unsigned("CURSOR", 0..=i64::MAX as u64)?);
            }
            LeasesOption::Count => most = parser.unsigned("COUNT", 1..=MAX_PAGE)? as usize,
        }
    }
    let key = Key::<LeaseKey>::open(ctx, args.string(1), Mode::Read)?;
    let now = clock::now().time;
    let absent = Leases::default();
    let leases = key.get().map_or(&absent, |stored| &stored.leases);
    if paged {
        let (next, rows) = leases.page(now, from, most);
        ctx.reply_array(2);
        ctx.reply_bytes(next.map_or(0, |fence| fence.0).to_string().as_bytes());
        ctx.reply_array(rows.len());
        rows.into_iter().for_each(|row| reply_lease(ctx, row));
    } else {
        ctx.reply_array(leases.count(now));
        leases.list(now).for_each(|row| reply_lease(ctx, row));
    }
    Ok(())
}

fn reply_lease(ctx: Context<'_>, (id, lease): Listed<'_>) {
    ctx.reply_array(4);
    ctx.reply_bytes(id);
    ctx.reply_integer(lease.cost as i64);
    ctx.reply_integer(lease.expires.0 as i64);
    ctx.reply_integer(lease.fence.0 as i64);
}
