//! Commands that only read a queue: CONFIG, GET, LEN, PEEK, POSITION, LIST, HELD, WAITERS, STATS, WHY.

use super::supervisors::reply_quorum;
use super::supervisors::show_settings;
use super::{PAGE, count, cursor, item, moderator, only_count, reply_cursor, tags};
use crate::host::clock;
use crate::host::queue_key::QueueKey;
use crate::host::queues::read;
use crate::host::replies::reply_claim;
use crate::host::streams;
use crate::host::waiting;
use crate::server::args::{Args, Parser, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use crate::server::key::{Key, Mode};
use crate::server::types::Stored;
use modq_core::queue::{Durations, ItemView, Kind, Queue, State};

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.config",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: 2,
        syntax: "key",
        integers: &[],
        since: "0.2.0",
        summary: "How a queue is set up.",
        complexity: "O(1)",
        tips: "",
        handler: entry(show_settings),
    },
    Command {
        name: c"modq.get",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: 3,
        syntax: "key item",
        integers: &[],
        since: "0.1.0",
        summary: "Everything about one item.",
        complexity: "O(1), and O(1) for each tag and excluded moderator",
        tips: "nondeterministic_output",
        handler: entry(get),
    },
    Command {
        name: c"modq.len",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: -2,
        syntax: "key [<READY | LOCKED | DELAYED | DEAD>]",
        integers: &[],
        since: "0.1.0",
        summary: "How many items are in a queue, or in one state.",
        complexity: "O(1)",
        tips: "",
        handler: entry(len),
    },
    Command {
        name: c"modq.peek",
        flags: c"readonly",
        categories: c"read slow",
        keys: Keys::Reads,
        arity: -2,
        syntax: "key [COUNT n] [FOR moderator [TAGS numtags [tag …]]]",
        integers: &["n", "numtags"],
        since: "0.1.0",
        summary: "The next items in the order they would be claimed.",
        complexity: "O(log n) for each item and each tag combination in use, with n items",
        tips: "",
        handler: entry(peek),
    },
    Command {
        name: c"modq.position",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: 3,
        syntax: "key item",
        integers: &[],
        since: "0.1.0",
        summary: "Where an item stands: 1 for the next to be claimed.",
        complexity: "O(log n) for each tag combination in use, with n items",
        tips: "",
        handler: entry(position),
    },
    Command {
        name: c"modq.list",
        flags: c"readonly",
        categories: c"read slow",
        keys: Keys::Reads,
        arity: -3,
        syntax: "key <READY | LOCKED | DELAYED | DEAD> [CURSOR cursor] [COUNT n]",
        integers: &["cursor", "n"],
        since: "0.1.0",
        summary: "A page of the items in one state, in the order they arrived.",
        complexity: "O(log n + page), READY: at most 10,000 items more are looked at",
        tips: "nondeterministic_output",
        handler: entry(list),
    },
    Command {
        name: c"modq.held",
        flags: c"readonly",
        categories: c"read slow",
        keys: Keys::Reads,
        arity: -3,
        syntax: "key moderator [COUNT n]",
        integers: &["n"],
        since: "0.1.0",
        summary: "The items a moderator holds, as CLAIM answers them.",
        complexity: "O(n) with n items held",
        tips: "nondeterministic_output",
        handler: entry(held),
    },
    Command {
        name: c"modq.waiters",
        flags: c"readonly",
        categories: c"read slow",
        keys: Keys::Reads,
        arity: -2,
        syntax: "key [COUNT n]",
        integers: &["n"],
        since: "0.1.0",
        summary: "The moderators in line, the longest waiting first.",
        complexity: "O(n) with n moderators answered",
        tips: "nondeterministic_output",
        handler: entry(waiters),
    },
    Command {
        name: c"modq.stats",
        flags: c"readonly",
        categories: c"read slow",
        keys: Keys::Reads,
        arity: -2,
        syntax: "key [BRIEF]",
        integers: &[],
        since: "0.1.0",
        summary: "Counts, ages, totals and percentiles of a queue.",
        complexity: "O(1) in the number of items; O(n) for the n tag combinations and priorities, with BRIEF O(1)",
        tips: "nondeterministic_output",
        handler: entry(stats),
    },
    Command {
        name: c"modq.why",
        flags: c"readonly fast",
        categories: c"read fast",
        keys: Keys::Reads,
        arity: -4,
        syntax: "key item moderator [TAGS numtags [tag …]]",
        integers: &["numtags"],
        since: "0.1.0",
        summary: "Why an item would not go to a moderator now.",
        complexity: "O(log n) for each tag combination in use, with n items",
        tips: "nondeterministic_output",
        handler: entry(why),
    },
];

words! {
    impl for State {
        Ready = "READY",
        Locked = "LOCKED",
        Delayed = "DELAYED",
        Dead = "DEAD",
    }
}

fn get(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let id = item(&mut Parser::new(args, 2))?;
    let found = read(ctx, args, |queue, now| {
        let Some(view) = queue.get(id, now) else {
            return false;
        };
        ctx.reply_map(21);
        ctx.field("item").reply_bytes(view.item);
        ctx.field("state").reply_bytes(view.state.name().as_bytes());
        ctx.field("payload").reply_bytes(view.payload);
        ctx.field("priority").reply_integer(view.priority.into());
        ctx.field("boost").reply_integer(view.boost);
        ctx.field("submitted")
            .reply_integer(view.submitted.0 as i64);
        ctx.field("due")
            .reply_integer(view.due.map_or(0, |due| due.0 as i64));
        ctx.field("rev").reply_integer(view.rev.0.into());
        ctx.field("reports").reply_integer(view.reports.into());
        ctx.field("deliveries")
            .reply_integer(view.deliveries.into());
        ctx.field("expiries").reply_integer(view.expiries.into());
        match view.lock {
            Some(lock) => {
                ctx.field("moderator").reply_bytes(lock.moderator);
                ctx.field("token").reply_integer(lock.token.0 as i64);
                ctx.field("deadline").reply_integer(lock.deadline.0 as i64);
            }
            None => {
                for name in ["moderator", "token", "deadline"] {
                    ctx.field(name).reply_null();
                }
            }
        }
        for (name, list) in [("tags", &view.tags), ("excluded", &view.excluded)] {
            ctx.field(name).reply_array(list.len());
            list.iter().for_each(|word| ctx.reply_bytes(word));
        }
        reply_review(ctx, &view);
        true
    })?;
    if found != Some(true) {
        ctx.reply_null();
    }
    Ok(())
}

/// How an item is decided, and by whom it was so far.
fn reply_review(ctx: Context<'_>, view: &ItemView<'_>) {
    reply_quorum(ctx.field("quorum"), view.quorum);
    ctx.field("votes").reply_array(view.votes.len());
    for vote in &view.votes {
        ctx.reply_array(3);
        ctx.reply_bytes(vote.moderator);
        ctx.reply_bytes(vote.verdict);
        ctx.reply_integer(vote.at.0 as i64);
    }
    ctx.field("contested").reply_integer(view.contested.into());
    match view.group {
        [] => ctx.field("group").reply_null(),
        group => ctx.field("group").reply_bytes(group),
    }
    ctx.field("deciders").reply_array(view.deciders.len());
    for name in &view.deciders {
        ctx.reply_bytes(name);
    }
}

fn len(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let state = match parser.more() {
        false => None,
        true => Some(parser.one_of("state")?),
    };
    parser.end()?;
    let len = read(ctx, args, |queue, _| match state {
        None => queue.len(),
        Some(state) => queue.len_in(state),
    })?;
    ctx.reply_integer(len.unwrap_or(0) as i64);
    Ok(())
}

words! {
    enum PeekOption {
        Count = "COUNT",
        For = "FOR",
        Tags = "TAGS",
    }
}

fn peek(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let (mut most, mut name, mut given) = (1, None, None);
    while parser.more() {
        match parser.option()? {
            PeekOption::Count => most = count(&mut parser)?,
            PeekOption::For => name = Some(moderator(&mut parser)?),
            PeekOption::Tags => given = Some(tags(&mut parser)?),
        }
    }
    if given.is_some() && name.is_none() {
        return Err(Refusal::fixed("ERR TAGS must go with FOR"));
    }
    let replied = read(ctx, args, |queue, _| {
        let ids = queue.peek(most, name.map(|name| (name, given.as_deref())));
        ctx.reply_array(ids.len());
        ids.iter().for_each(|id| ctx.reply_bytes(id));
    })?;
    if replied.is_none() {
        ctx.reply_array(0);
    }
    Ok(())
}

fn position(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let id = item(&mut Parser::new(args, 2))?;
    match read(ctx, args, |queue, _| queue.position(id))?.flatten() {
        Some(position) => ctx.reply_integer(position as i64),
        None => ctx.reply_null(),
    }
    Ok(())
}

words! {
    enum ListOption {
        Cursor = "CURSOR",
        Count = "COUNT",
    }
}

fn list(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let state: State = parser.one_of("state")?;
    let (mut from, mut most) = (0, PAGE);
    while parser.more() {
        match parser.option()? {
            ListOption::Cursor => from = cursor(&mut parser)?,
            ListOption::Count => most = count(&mut parser)?,
        }
    }
    let replied = read(ctx, args, |queue, now| {
        let page = queue.list(state, from, most, now);
        ctx.reply_array(2);
        reply_cursor(ctx, page.next);
        ctx.reply_array(page.rows.len());
        for row in page.rows {
            ctx.reply_array(5);
            ctx.reply_bytes(row.item);
            ctx.reply_integer(row.priority.into());
            ctx.reply_integer(row.submitted.0 as i64);
            match row.lock {
                Some(lock) => {
                    ctx.reply_bytes(lock.moderator);
                    ctx.reply_integer(lock.deadline.0 as i64);
                }
                None => {
                    ctx.reply_null();
                    ctx.reply_null();
                }
            }
        }
    })?;
    if replied.is_none() {
        ctx.reply_array(2);
        ctx.reply_bytes(b"0");
        ctx.reply_array(0);
    }
    Ok(())
}

fn held(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let name = moderator(&mut parser)?;
    let most = only_count(&mut parser, PAGE)?;
    let replied = read(ctx, args, |queue, now| {
        let claims = queue.held_page(name, now, most);
        ctx.reply_array(claims.len());
        claims.iter().for_each(|claim| reply_claim(ctx, claim));
    })?;
    if replied.is_none() {
        ctx.reply_array(0);
    }
    Ok(())
}

fn waiters(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let most = only_count(&mut parser, PAGE)?;
    // Moderators may wait in blocked calls for a queue that is not there.
    let mut key = Key::<QueueKey>::open(ctx, args.string(1), Mode::Read)?;
    let name = args.string(1).bytes();
    let mut absent = QueueKey::default();
    let stored = key.get_mut().unwrap_or(&mut absent);
    waiting::tell_most(stored, ctx.db(), name, most, clock::now().time);
    let waiters = stored.queue.waiters(most);
    ctx.reply_array(waiters.len());
    for waiter in waiters {
        ctx.reply_array(4);
        ctx.reply_bytes(waiter.moderator);
        ctx.reply_bytes(match waiter.kind {
            Kind::Joined => b"joined",
            Kind::Blocked => b"blocked",
        });
        ctx.reply_integer(waiter.since.0 as i64);
        ctx.reply_array(waiter.tags.len());
        waiter.tags.iter().for_each(|tag| ctx.reply_bytes(tag));
    }
    Ok(())
}

words! {
    enum StatsOption {
        Brief = "BRIEF",
    }
}

fn stats(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut is_brief = false;
    while parser.more() {
        let StatsOption::Brief = parser.option()?;
        is_brief = true;
    }
    let mut key = Key::<QueueKey>::open(ctx, args.string(1), Mode::Read)?;
    let now = clock::now().time;
    let bytes = key.get().map_or(0, Stored::memory_bytes);
    // Moderators may wait in blocked calls for a queue that is not there.
    let absent = QueueKey::default();
    let name = args.string(1).bytes();
    let (queue, summary) = match key.get_mut() {
        Some(stored) => {
            waiting::tell_queue(stored, ctx.db(), name, now);
            (&stored.queue, stored.queue.summary())
        }
        None => {
            let mut summary = absent.queue.summary();
            summary.waiting = waiting::moderators(ctx.db(), name);
            (&absent.queue, summary)
        }
    };
    let numbers = [
        ("ready", summary.ready as u64),
        ("locked", summary.locked as u64),
        ("delayed", summary.delayed as u64),
        ("dead", summary.dead as u64),
        ("waiting", summary.waiting as u64),
        ("deferred", queue.overdue(now) as u64),
        ("oldest_ready_ms", queue.oldest_ready(now).0),
        ("oldest_item_ms", queue.oldest_item(now).0),
        ("voting", queue.voting() as u64),
        ("contested", queue.contested() as u64),
        ("oldest_contested_ms", queue.oldest_contested(now).0),
        ("decided", queue.decided(now) as u64),
    ];
    let totals = totals(queue);
    let maps = if is_brief { 0 } else { 2 };
    ctx.reply_map(numbers.len() + totals.len() + 5 + maps);
    for (name, n) in numbers.into_iter().chain(totals) {
        ctx.field(name).reply_integer(n as i64);
    }
    ctx.field("paused")
        .reply_bytes(queue.paused().name().as_bytes());
    ctx.field("bytes").reply_integer(bytes as i64);
    let stats = queue.stats();
    reply_durations(ctx.field("wait_ms_histogram"), &stats.waits);
    reply_durations(ctx.field("handle_ms_histogram"), &stats.handles);
    if !is_brief {
        reply_ready_by_tag(ctx, queue);
        reply_ready_by_priority(ctx, queue);
    }
    let stream = queue.settings().events.clone();
    drop(key);
    reply_missed(ctx, &stream);
    Ok(())
}

/// Null where the server does not tell enough.
fn reply_missed(ctx: Context<'_>, stream: &[u8]) {
    let field = ctx.field("events_missed");
    match streams::missed(ctx, stream) {
        Some(missed) => field.reply_integer(missed as i64),
        None => field.reply_null(),
    }
}

/// What has become of the items of a queue, and how long it took.
fn totals(queue: &Queue) -> [(&'static str, u64); 17] {
    let stats = queue.stats();
    let (wait, handle) = (&stats.wait, &stats.handle);
    [
        ("submitted", stats.submitted),
        ("resolved", stats.resolved),
        ("cancelled", stats.cancelled),
        ("released", stats.released),
        ("expired", stats.expired),
        ("died", stats.died),
        ("wait_ms_p50", wait.percentile(50)),
        ("wait_ms_p95", wait.percentile(95)),
        ("wait_ms_p99", wait.percentile(99)),
        ("handle_ms_p50", handle.percentile(50)),
        ("handle_ms_p95", handle.percentile(95)),
        ("handle_ms_p99", handle.percentile(99)),
        ("votes", stats.votes),
        ("splits", stats.splits),
        ("records_evicted", stats.records_evicted),
        ("wait_ms_sum", stats.waits.sum()),
        ("handle_ms_sum", stats.handles.sum()),
    ]
}

/// Rows of upper bound and how many took no longer.
fn reply_durations(ctx: Context<'_>, durations: &Durations) {
    let rows: Vec<(i64, u64)> = durations.rows().collect();
    ctx.reply_array(rows.len());
    for (bound, count) in rows {
        ctx.reply_array(2);
        ctx.reply_integer(bound);
        ctx.reply_integer(count as i64);
    }
}

/// How many tag combinations and priorities STATS shows at most.
const TAGS_SHOWN: usize = 1000;
const PRIORITIES_SHOWN: usize = 100;

fn reply_ready_by_tag(ctx: Context<'_>, queue: &Queue) {
    let by_tag = queue.ready_by_tag(TAGS_SHOWN);
    ctx.field("by_tag").reply_map(by_tag.len());
    for (tag, n) in by_tag {
        ctx.reply_bytes(tag);
        ctx.reply_integer(n as i64);
    }
}

fn reply_ready_by_priority(ctx: Context<'_>, queue: &Queue) {
    let by_priority = queue.ready_by_priority().take(PRIORITIES_SHOWN);
    let by_priority: Vec<(i32, usize)> = by_priority.collect();
    ctx.field("by_priority").reply_map(by_priority.len());
    for (priority, n) in by_priority {
        ctx.reply_bytes(priority.to_string().as_bytes());
        ctx.reply_integer(n as i64);
    }
}

words! {
    enum WhyOption {
        Tags = "TAGS",
    }
}

fn why(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let name = moderator(&mut parser)?;
    let mut given = None;
    while parser.more() {
        let WhyOption::Tags = parser.option()?;
        given = Some(tags(&mut parser)?);
    }
    let reasons = read(ctx, args, |queue, now| {
        queue.why(id, name, given.as_deref(), now)
    })?;
    let Some(reasons) = reasons.flatten() else {
        ctx.reply_null();
        return Ok(());
    };
    ctx.reply_array(reasons.len());
    for reason in reasons {
        ctx.reply_bytes(reason.name().as_bytes());
    }
    Ok(())
}
