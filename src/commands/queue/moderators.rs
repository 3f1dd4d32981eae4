//! Commands of moderators, who take items and decide on them: CLAIM, MCLAIM, RESOLVE, RELEASE,
//! EXTEND, and JOIN and LEAVE for the line of those who wait.

use super::groups::reply_done;
use super::{count, cursor, decision, delay, item, lock, moderator, ms, rev, tags, token, verdict};
use crate::commands::{counted_keys, statuses};
use crate::host::clock;
use crate::host::queue_key::QueueKey;
use crate::host::queues::{Missing, run, run_and_show};
use crate::host::replies::reply_claim;
use crate::host::waiting::{self, WaitRequest};
use crate::server::args::{Args, Parser, ServerStr, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::{entry, entry_located};
use crate::server::key::{Key, Mode};
use crate::server::status::{self, Status};
use modq_core::queue::{
    Claim, Extend, Join, Joined, Leave, MAX_COUNT, MAX_DURATION, Now, Release, Resolve,
    ResolveAlso, Resolved,
};
use modq_core::units::Millis;
use std::collections::HashSet;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.claim",
        flags: c"write fast blocking",
        categories: c"write fast blocking",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key moderator [COUNT n] [LOCK ms] [BLOCK ms] [TAGS numtags [tag …]] [NEW] [WITHGROUP]",
        integers: &["n", "ms", "numtags"],
        since: "0.1.0",
        summary: "Locks the next items for a moderator, after those they hold already.",
        complexity: "O(log n) for each item and each tag combination in use, with n items; WITHGROUP: at most \
                     10,000 items of the group are looked at",
        tips: "nondeterministic_output",
        handler: entry(claim),
    },
    Command {
        name: c"modq.mclaim",
        flags: c"write getkeys-api blocking",
        categories: c"write slow blocking",
        keys: Keys::ChangesCounted,
        arity: -4,
        syntax: "numkeys key [key …] moderator [COUNT n] [LOCK ms] [BLOCK ms] [TAGS numtags [tag …]] \
                 [NEW] [WITHGROUP]",
        integers: &["numkeys", "n", "ms", "numtags"],
        since: "0.1.0",
        summary: "Claims from the first of several queues that has something.",
        complexity: "as MODQ.CLAIM for each key",
        tips: "nondeterministic_output",
        handler: entry_located(mclaim, counted_keys),
    },
    Command {
        name: c"modq.resolve",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item token [REV rev] [VERDICT verdict] [DECISION decision] \
                 [ALSO n [TAGS numtags [tag …]] [CURSOR cursor]]",
        integers: &["token", "rev", "n", "numtags", "cursor"],
        since: "0.1.0",
        summary: "Ends an item with a decision on it, and others of its group too if asked to.",
        complexity: "O(log n) with n items; ALSO: as much for each it is given to, and at most 10,000 items of the \
                     group are looked at",
        tips: "",
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
        since: "0.1.0",
        summary: "Gives a locked item back to its own place in the queue.",
        complexity: "O(log n) with n items",
        tips: "",
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
        since: "0.1.0",
        summary: "Sets the deadline of a lock anew, counted from now.",
        complexity: "O(log n) with n locks",
        tips: "nondeterministic_output",
        handler: entry(extend),
    },
    Command {
        name: c"modq.join",
        flags: c"write deny-oom fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key moderator [TTL ms] [COUNT n] [TAGS numtags [tag …]]",
        integers: &["ms", "n", "numtags"],
        since: "0.1.0",
        summary: "Registers a moderator as waiting, or gives their sign of life.",
        complexity: "O(log n) for each tag combination in use, with n items",
        tips: "",
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
        since: "0.1.0",
        summary: "Takes a moderator out of line, and gives back what they hold if asked to.",
        complexity: "O(log n) for each lock given back, with n items",
        tips: "",
        handler: entry(leave),
    },
];

fn claim(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let (claim, block) = claim_options(&mut Parser::new(args, 2))?;
    let key = args.string(1);
    let now = clock::now();
    if claim_from(ctx, key, &claim, now, false)? {
        return Ok(());
    }
    wait_or_null(ctx, vec![key], claim, block, now, false)
}

/// The most keys of an MCLAIM.
const MOST_KEYS: i64 = 1000;

fn mclaim(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 1);
    let numkeys = parser.number("numkeys", 1..=MOST_KEYS)? as usize;
    let mut keys: Vec<ServerStr<'_>> = Vec::with_capacity(numkeys);
    let mut names = HashSet::with_capacity(numkeys);
    for _ in 0..numkeys {
        let at = parser.position();
        if names.insert(parser.word("key")?) {
            keys.push(args.string(at));
        }
    }
    let (claim, block) = claim_options(&mut parser)?;
    let now = clock::now();
    // The first queue in which they hold an item comes before all others. All keys are opened first,
    // so that one of another type refuses the command before anything is claimed.
    let mut held_in = None;
    for key in &keys {
        let opened = Key::<QueueKey>::open(ctx, *key, Mode::Read)?;
        let holds = opened.get().is_some_and(|stored| {
            let mut held = stored.queue.held_by(claim.moderator, now.time);
            held.next().is_some()
        });
        if holds && !claim.new_only {
            held_in.get_or_insert(*key);
        }
    }
    for key in held_in.iter().chain(&keys) {
        if claim_from(ctx, *key, &claim, now, true)? {
            return Ok(());
        }
    }
    wait_or_null(ctx, keys, claim, block, now, true)
}

words! {
    enum ClaimOption {
        Count = "COUNT",
        Lock = "LOCK",
        Block = "BLOCK",
        Tags = "TAGS",
        New = "NEW",
        WithGroup = "WITHGROUP",
    }
}

/// Reads a moderator and the options of CLAIM and MCLAIM. Answers the claim, and for how long to wait
/// (no time at all: without end) if there is nothing to claim.
fn claim_options<'a>(parser: &mut Parser<'a>) -> Result<(Claim<'a>, Option<Millis>), Refusal> {
    let mut claim = Claim {
        moderator: moderator(parser)?,
        count: 1,
        lock: None,
        tags: None,
        new_only: false,
        with_group: false,
    };
    let mut block = None;
    while parser.more() {
        match parser.option()? {
            ClaimOption::Count => claim.count = count(parser)?,
            ClaimOption::Lock => claim.lock = Some(lock(parser)?),
            ClaimOption::Block => block = Some(ms(parser, "BLOCK", 0..=MAX_DURATION)?),
            ClaimOption::Tags => claim.tags = Some(tags(parser)?),
            ClaimOption::New => claim.new_only = true,
            ClaimOption::WithGroup => claim.with_group = true,
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
    run_and_show(ctx, key, now, Missing::Keep, claim, |queue, claimed| {
        if claimed.is_empty() {
            return false;
        }
        if many {
            ctx.reply_array(2);
            ctx.reply_bytes(key.bytes());
        }
        ctx.reply_array(claimed.len());
        for item in &claimed {
            reply_claim(ctx, &queue.claimed_view(item));
        }
        true
    })
}

/// After nothing could be claimed: has the client wait for `block` ms, or replies null at once if it
/// did not ask to wait or may not, as in MULTI.
fn wait_or_null(
    ctx: Context<'_>,
    keys: Vec<ServerStr<'_>>,
    claim: Claim<'_>,
    block: Option<Millis>,
    now: Now,
    many: bool,
) -> Result<(), Refusal> {
    match block {
        Some(block) if ctx.flags().may_block() => {
            let request = WaitRequest {
                keys,
                moderator: claim.moderator,
                tags: claim.tags,
                lock: claim.lock,
                new_only: claim.new_only,
                names_key: many,
                block,
            };
            waiting::wait(ctx, request, now)?;
        }
        _ => ctx.reply_null_array(),
    }
    Ok(())
}

words! {
    enum ResolveOption {
        Rev = "REV",
        Verdict = "VERDICT",
        Decision = "DECISION",
        Also = "ALSO",
        Tags = "TAGS",
        Cursor = "CURSOR",
    }
}

fn resolve(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut resolve = Resolve {
        id: item(&mut parser)?,
        token: token(&mut parser)?,
        ..Resolve::default()
    };
    let (mut most, mut given, mut from) = (None, None, None);
    while parser.more() {
        match parser.option()? {
            ResolveOption::Rev => resolve.rev = Some(rev(&mut parser)?),
            ResolveOption::Verdict => resolve.verdict = Some(verdict(&mut parser)?),
            ResolveOption::Decision => resolve.decision = Some(decision(&mut parser)?),
            ResolveOption::Also => most = Some(parser.unsigned("ALSO", 1..=MAX_COUNT)? as usize),
            ResolveOption::Tags => given = Some(tags(&mut parser)?),
            ResolveOption::Cursor => from = Some(cursor(&mut parser)?),
        }
    }
    let Some(most) = most else {
        if given.is_some() || from.is_some() {
            return Err(Refusal::fixed("ERR TAGS and CURSOR must go with ALSO"));
        }
        ctx.reply_status(status(run(ctx, args, &resolve)?));
        return Ok(());
    };
    let also = ResolveAlso {
        named: resolve,
        most,
        tags: given,
        cursor: from.unwrap_or(0),
    };
    let done = run(ctx, args, &also)?;
    ctx.reply_array(4);
    ctx.reply_status(status(done.resolved));
    reply_done(ctx, &done.group);
    Ok(())
}

/// The reply to a RESOLVE.
pub(super) fn status(resolved: Resolved) -> &'static Status {
    match resolved {
        Resolved::Ended => &status::OK,
        Resolved::Voted => &statuses::VOTED,
        Resolved::Split => &statuses::SPLIT,
    }
}

words! {
    enum ReleaseOption {
        Skip = "SKIP",
        Delay = "DELAY",
    }
}

fn release(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut release = Release {
        id: item(&mut parser)?,
        token: token(&mut parser)?,
        skip: false,
        delay: Millis::ZERO,
    };
    while parser.more() {
        match parser.option()? {
            ReleaseOption::Skip => release.skip = true,
            ReleaseOption::Delay => release.delay = delay(&mut parser)?,
        }
    }
    run(ctx, args, release)?;
    ctx.reply_ok();
    Ok(())
}

fn extend(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let extend = Extend {
        id: item(&mut parser)?,
        token: token(&mut parser)?,
        span: ms(&mut parser, "ms", 1..=MAX_DURATION)?,
    };
    let deadline = run(ctx, args, extend)?;
    ctx.reply_integer(deadline.0 as i64);
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
    ctx.reply_status(match run(ctx, args, &join)? {
        Joined::Waiting => &statuses::WAITING,
        Joined::Assigned => &statuses::ASSIGNED,
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
    let mut leave = Leave {
        moderator: moderator(&mut parser)?,
        release: false,
    };
    while parser.more() {
        let LeaveOption::Release = parser.option()?;
        leave.release = true;
    }
    ctx.reply_integer(run(ctx, args, leave)?.into());
    Ok(())
}
