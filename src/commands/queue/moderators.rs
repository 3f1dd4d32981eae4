//! Commands of moderators, who take items and decide on them: CLAIM, MCLAIM, RESOLVE, RELEASE,
//! EXTEND, and JOIN and LEAVE for the line of those who wait.

use super::{count, delay, item, lock, moderator, ms, rev, tags, token};
use crate::commands::counted_keys;
use crate::host::queue_key::QueueKey;
use crate::host::queues::{Work, write, write_to};
use crate::host::replies::reply_claim;
use crate::host::waiting::{self, Wish};
use crate::server::args::{Args, Parser, ServerStr, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{self, Context, Refusal};
use crate::server::guard::{entry, entry_located};
use crate::server::key::{Key, Mode};
use modq_core::queue::{Claim, Join, Joined, MAX_DECISION, MAX_DURATION, Now};

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.claim",
        flags: c"write fast blocking",
        categories: c"write fast blocking",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key moderator [COUNT n] [LOCK ms] [BLOCK ms] [TAGS n [tag …]] [NEW]",
        integers: &["n", "ms"],
        summary: "Locks the next items for a moderator, after those they hold already.",
        complexity: "O(log n) for each item and each tag combination in use, with n items",
        handler: entry(claim),
    },
    Command {
        name: c"modq.mclaim",
        flags: c"write getkeys-api blocking",
        categories: c"write slow blocking",
        keys: Keys::ChangesCounted,
        arity: -4,
        syntax: "numkeys key [key …] moderator [COUNT n] [LOCK ms] [BLOCK ms] [TAGS n [tag …]] \
                 [NEW]",
        integers: &["numkeys", "n", "ms"],
        summary: "Claims from the first of several queues that has something.",
        complexity: "as MODQ.CLAIM for each key",
        handler: entry_located(mclaim, counted_keys),
    },
    Command {
        name: c"modq.resolve",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item token [REV rev] [DECISION decision]",
        integers: &["token", "rev"],
        summary: "Ends an item with a decision on it.",
        complexity: "O(log n) with n items",
        handler: entry(resolve),
    },
    Command {
        name: c"modq.release",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item token [SKIP] [DELAY ms]",
        integers: &["token", "ms"],
        summary: "Gives a locked item back to its own place in the queue.",
        complexity: "O(log n) with n items",
        handler: entry(release),
    },
    Command {
        name: c"modq.extend",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: 5,
        syntax: "key item token ms",
        integers: &["token", "ms"],
        summary: "Sets the deadline of a lock anew, counted from now.",
        complexity: "O(log n) with n locks",
        handler: entry(extend),
    },
    Command {
        name: c"modq.join",
        flags: c"write deny-oom fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key moderator [TTL ms] [COUNT n] [TAGS n [tag …]]",
        integers: &["ms", "n"],
        summary: "Registers a moderator as waiting, or gives their sign of life.",
        complexity: "O(log n) for each tag combination in use, with n items",
        handler: entry(join),
    },
    Command {
        name: c"modq.leave",
        flags: c"write",
        categories: c"write slow",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key moderator [RELEASE]",
        integers: &[],
        summary: "Takes a moderator out of line, and gives back what they hold if asked to.",
        complexity: "O(log n) for each lock given back, with n items",
        handler: entry(leave),
    },
];

fn claim(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let (claim, block) = claim_options(&mut Parser::new(args, 2))?;
    let key = args.string(1);
    let now = context::now();
    if claim_from(ctx, key, &claim, now, false)? {
        return Ok(());
    }
    wait_or_null(ctx, vec![key], claim, block, now, false);
    Ok(())
}

fn mclaim(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 1);
    let most = args.count() as i64;
    let numkeys = parser.number("numkeys", 1..=most)? as usize;
    let mut keys: Vec<ServerStr<'_>> = Vec::with_capacity(numkeys);
    for _ in 0..numkeys {
        let at = parser.position();
        let name = parser.word("key")?;
        if keys.iter().all(|k| k.bytes() != name) {
            keys.push(args.string(at));
        }
    }
    let (claim, block) = claim_options(&mut parser)?;
    let now = context::now();
    // The first queue in which they hold an item comes before all others. All keys are opened first,
    // so that one of another type refuses the command before anything is claimed.
    let mut held_in = None;
    for key in &keys {
        let opened = Key::<QueueKey>::open(ctx, *key, Mode::Read)?;
        let held = opened
            .get()
            .is_some_and(|stored| stored.queue.held_by(claim.moderator, now).next().is_some());
        if held && !claim.new_only {
            held_in.get_or_insert(*key);
        }
    }
    for key in held_in.iter().chain(&keys) {
        if claim_from(ctx, *key, &claim, now, true)? {
            return Ok(());
        }
    }
    wait_or_null(ctx, keys, claim, block, now, true);
    Ok(())
}

words! {
    enum ClaimOption {
        Count = "COUNT",
        Lock = "LOCK",
        Block = "BLOCK",
        Tags = "TAGS",
        New = "NEW",
    }
}

/// Reads a moderator and the options of CLAIM and MCLAIM. Answers the claim, and for how many ms to
/// wait (0: without end) if there is nothing to claim.
fn claim_options<'a>(parser: &mut Parser<'a>) -> Result<(Claim<'a>, Option<u64>), Refusal> {
    let mut claim = Claim {
        moderator: moderator(parser)?,
        count: 1,
        lock: None,
        tags: None,
        new_only: false,
    };
    let mut block = None;
    while parser.more() {
        match parser.option()? {
            ClaimOption::Count => claim.count = count(parser)?,
            ClaimOption::Lock => claim.lock = Some(lock(parser)?),
            ClaimOption::Block => block = Some(ms(parser, "BLOCK", 0..=MAX_DURATION)?),
            ClaimOption::Tags => claim.tags = Some(tags(parser)?),
            ClaimOption::New => claim.new_only = true,
        }
    }
    Ok((claim, block))
}

/// Claims from one queue and replies, unless there is nothing to claim. Answers whether it replied.
/// The reply names the key if the command has `many`.
fn claim_from(
    ctx: Context<'_>,
    key: ServerStr<'_>,
    claim: &Claim<'_>,
    now: Now,
    many: bool,
) -> Result<bool, Refusal> {
    // Only a producer makes a queue that is not there, whoever waits for its name.
    write_to(ctx, key, now, false, |work| {
        let slots = work.queue.claim(work.now, claim, work.fx)?;
        if slots.is_empty() {
            return Ok(false);
        }
        if many {
            ctx.reply_array(2);
            ctx.reply_bytes(key.bytes());
        }
        ctx.reply_array(slots.len());
        for slot in slots {
            match work.queue.claim_view(slot) {
                Some(view) => reply_claim(ctx, &view),
                None => ctx.reply_null_array(),
            }
        }
        Ok(true)
    })
}

/// After nothing could be claimed: has the client wait for `block` ms, or replies null at once if it
/// did not ask to wait or may not, as in MULTI.
fn wait_or_null(
    ctx: Context<'_>,
    keys: Vec<ServerStr<'_>>,
    claim: Claim<'_>,
    block: Option<u64>,
    now: Now,
    many: bool,
) {
    match block {
        Some(block) if ctx.flags().may_block() => {
            let wish = Wish {
                keys,
                moderator: claim.moderator,
                tags: claim.tags,
                lock: claim.lock,
                new_only: claim.new_only,
                many,
                block,
            };
            waiting::wait(ctx, wish, now);
        }
        _ => ctx.reply_null_array(),
    }
}

words! {
    enum ResolveOption {
        Rev = "REV",
        Decision = "DECISION",
    }
}

fn resolve(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let token = token(&mut parser)?;
    let (mut at_rev, mut decision) = (None, None);
    while parser.more() {
        match parser.option()? {
            ResolveOption::Rev => at_rev = Some(rev(&mut parser)?),
            ResolveOption::Decision => {
                decision = Some(parser.bytes("DECISION", 0..=MAX_DECISION)?);
            }
        }
    }
    write(ctx, args, |work| {
        // The decision's text goes to the event stream only.
        if !work.queue.settings().events.is_empty() {
            work.fx.decision = decision.map(Box::from);
        }
        Ok(work.queue.resolve(work.now, id, token, at_rev, work.fx)?)
    })?;
    ctx.reply_ok();
    Ok(())
}

words! {
    enum ReleaseOption {
        Skip = "SKIP",
        Delay = "DELAY",
    }
}

fn release(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let token = token(&mut parser)?;
    let (mut skip, mut after) = (false, 0);
    while parser.more() {
        match parser.option()? {
            ReleaseOption::Skip => skip = true,
            ReleaseOption::Delay => after = delay(&mut parser)?,
        }
    }
    write(ctx, args, |work| {
        let Work { queue, now, fx } = work;
        Ok(queue.release(*now, id, token, skip, after, fx)?)
    })?;
    ctx.reply_ok();
    Ok(())
}

fn extend(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let token = token(&mut parser)?;
    let duration = ms(&mut parser, "ms", 1..=MAX_DURATION)?;
    let deadline = write(ctx, args, |work| {
        Ok(work.queue.extend(work.now, id, token, duration, work.fx)?)
    })?;
    ctx.reply_integer(deadline as i64);
    Ok(())
}

words! {
    enum JoinOption {
        Ttl = "TTL",
        Count = "COUNT",
        Tags = "TAGS",
    }
}

fn join(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut join = Join {
        moderator: moderator(&mut parser)?,
        ..Join::default()
    };
    while parser.more() {
        match parser.option()? {
            JoinOption::Ttl => join.ttl = Some(ms(&mut parser, "TTL", 1..=MAX_DURATION)?),
            JoinOption::Count => join.count = Some(count(&mut parser)? as u64),
            JoinOption::Tags => join.tags = Some(tags(&mut parser)?),
        }
    }
    let joined = write(ctx, args, |work| {
        Ok(work.queue.join(work.now, &join, work.fx)?)
    })?;
    ctx.reply_status(match joined {
        Joined::Waiting => c"WAITING",
        Joined::Assigned => c"ASSIGNED",
    });
    Ok(())
}

words! {
    enum LeaveOption {
        Release = "RELEASE",
    }
}

fn leave(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let name = moderator(&mut parser)?;
    let mut give_back = false;
    while parser.more() {
        let LeaveOption::Release = parser.option()?;
        give_back = true;
    }
    let was_in_line = write(ctx, args, |work| {
        Ok(work.queue.leave(work.now, name, give_back, work.fx)?)
    })?;
    ctx.reply_integer(was_in_line.into());
    Ok(())
}
