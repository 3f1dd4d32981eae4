//! Commands of supervisors, who run a queue: ASSIGN, MOVE, PAUSE, UNPAUSE, REVIVE, CONFIGURE.

use super::{by, count, item, items_by, lock, moderator, ms, priority, quorum, token_named};
use crate::host::queues::{read, run, run_move};
use crate::host::streams::{create_stream, is_exhausted};
use crate::server::args::{Args, Parser, Words, words};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::{entry, entry_located};
use crate::server::key::{Found, Name, look};
use modq_core::queue::{
    Assign, Configure, Error, Late, MAX_AGING, MAX_COUNT, MAX_DURATION, MAX_TAG, Move, Pause,
    Quorum, Revive, ReviveAll, Sides, Unpause,
};
use std::ops::RangeInclusive;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.assign",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item moderator [LOCK ms] [TOKEN token] [BY who]",
        integers: &["ms", "token"],
        since: "0.1.0",
        summary: "Locks an item for a named moderator, whatever their tags, or hands it over.",
        complexity: "O(log n) with n items",
        tips: "nondeterministic_output",
        handler: entry(assign),
    },
    Command {
        name: c"modq.move",
        flags: c"write deny-oom",
        categories: c"write slow",
        keys: Keys::ChangesTwo,
        arity: -4,
        syntax: "source destination item [TOKEN token] [PRIORITY priority] [BY who]",
        integers: &["token", "priority"],
        since: "0.1.0",
        summary: "Moves an item to another queue.",
        complexity: "O(log n) with n items",
        tips: "",
        handler: entry(move_item),
    },
    Command {
        name: c"modq.pause",
        flags: c"write deny-oom fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -2,
        syntax: "key [<IN | OUT | ALL>]",
        integers: &[],
        since: "0.1.0",
        summary: "Has a queue refuse new items, hand out none, or both.",
        complexity: "O(1)",
        tips: "",
        handler: entry(pause),
    },
    Command {
        name: c"modq.unpause",
        flags: c"write fast",
        categories: c"write fast",
        keys: Keys::Changes,
        arity: -2,
        syntax: "key [<IN | OUT | ALL>]",
        integers: &[],
        since: "0.1.0",
        summary: "Ends a pause.",
        complexity: "O(1), and the matches that are caught up in the background",
        tips: "",
        handler: entry(unpause),
    },
    Command {
        name: c"modq.revive",
        flags: c"write",
        categories: c"write slow",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key <item [item …] | ALL [COUNT n]> [BY who]",
        integers: &["n"],
        since: "0.1.0",
        summary: "Makes dead items ready again.",
        complexity: "O(log n) for each, with n items",
        tips: "",
        handler: entry(revive),
    },
    Command {
        name: c"modq.configure",
        flags: c"write deny-oom getkeys-api",
        categories: c"write slow",
        keys: Keys::ChangesEvents,
        arity: -2,
        syntax: "key [LOCK ms] [MAXEXPIRIES n] [MAXLEN n] [CAPACITY n] [LATE <ACCEPT | REJECT>] \
                 [AGING ms] [EVENTS stream] [EVENTSMAXLEN n] [QUORUM k max-votes] [SPLITTAG tag] \
                 [RETAIN ms] [RETAINMAX n]",
        integers: &["ms", "n", "k", "max-votes"],
        since: "0.1.0",
        summary: "Sets a queue up, or shows how it is.",
        complexity: "O(1); O(n) with n moderators in line if CAPACITY changes",
        tips: "",
        handler: entry_located(configure, keys_with_events),
    },
];

words! {
    enum AssignOption {
        Lock = "LOCK",
        Token = "TOKEN",
        By = "BY",
    }
}

fn assign(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut assign = Assign {
        id: item(&mut parser)?,
        moderator: moderator(&mut parser)?,
        ..Assign::default()
    };
    while parser.more() {
        match parser.option()? {
            AssignOption::Lock => assign.lock = Some(lock(&mut parser)?),
            AssignOption::Token => assign.token = Some(token_named(&mut parser, "TOKEN")?),
            AssignOption::By => assign.by = Some(by(&mut parser)?),
        }
    }
    let token = run(ctx, args, assign)?;
    ctx.reply_integer(token.0 as i64);
    Ok(())
}

words! {
    enum MoveOption {
        Token = "TOKEN",
        Priority = "PRIORITY",
        By = "BY",
    }
}

fn move_item(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 3);
    let mut request = Move {
        id: item(&mut parser)?,
        ..Move::default()
    };
    while parser.more() {
        match parser.option()? {
            MoveOption::Token => request.token = Some(token_named(&mut parser, "TOKEN")?),
            MoveOption::Priority => request.priority = Some(priority(&mut parser)?),
            MoveOption::By => request.by = Some(by(&mut parser)?),
        }
    }
    if args.get(1) == args.get(2) {
        return Err(Refusal::fixed(
            "ERR source and destination must be different keys",
        ));
    }
    run_move(ctx, args.string(1), args.string(2), request)?;
    ctx.reply_ok();
    Ok(())
}

words! {
    impl for Sides {
        In = "IN",
        Out = "OUT",
        All = "ALL",
    }
}

/// The sides of a queue that PAUSE and UNPAUSE are about.
fn sides(args: Args<'_>) -> Result<Sides, Refusal> {
    let mut parser = Parser::new(args, 2);
    let sides = match parser.more() {
        false => Sides::All,
        true => parser.one_of("side")?,
    };
    parser.end()?;
    Ok(sides)
}

fn pause(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    run(ctx, args, Pause(sides(args)?))?;
    ctx.reply_ok();
    Ok(())
}

fn unpause(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    run(ctx, args, Unpause(sides(args)?))?;
    ctx.reply_ok();
    Ok(())
}

words! {
    enum ReviveAllOption {
        Count = "COUNT",
        By = "BY",
    }
}

fn revive(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let first = item(&mut parser)?;
    // ALL, if nothing or an option follows, stands for all items. An item that is called "all" can be
    // revived by naming it twice.
    let rest_is_options = !parser.more() || parser.peek_option::<ReviveAllOption>().is_some();
    if first.eq_ignore_ascii_case(b"ALL") && rest_is_options {
        let mut all = ReviveAll {
            count: MAX_COUNT as usize,
            by: None,
        };
        while parser.more() {
            match parser.option()? {
                ReviveAllOption::Count => all.count = count(&mut parser)?,
                ReviveAllOption::By => all.by = Some(by(&mut parser)?),
            }
        }
        let revived = run(ctx, args, all)?;
        ctx.reply_integer(revived as i64);
        return Ok(());
    }
    let (ids, by) = items_by(&mut parser, args, first)?;
    let revive = Revive { ids: &ids, by };
    let revived = run(ctx, args, revive)?;
    ctx.reply_integer(revived as i64);
    Ok(())
}

/// Replies [k, n].
pub(super) fn reply_quorum(ctx: Context<'_>, quorum: Quorum) {
    ctx.reply_array(2);
    ctx.reply_integer(quorum.k.into());
    ctx.reply_integer(quorum.n.into());
}

/// Where the keys of CONFIGURE are: the queue, and the stream that EVENTS names.
fn keys_with_events(args: Args<'_>) -> Vec<usize> {
    let mut keys: Vec<usize> = (1..args.count().min(2)).collect();
    let mut at = 2;
    while at < args.count() {
        let option = ConfigureOption::find(args.get(at));
        let stream = at + 1;
        if option == Some(ConfigureOption::Events)
            && stream < args.count()
            && !args.get(stream).is_empty()
        {
            keys.push(stream);
        }
        at += match option {
            Some(ConfigureOption::Quorum) => 3,
            _ => 2,
        };
    }
    keys
}

words! {
    enum ConfigureOption {
        Lock = "LOCK",
        MaxExpiries = "MAXEXPIRIES",
        MaxLen = "MAXLEN",
        Capacity = "CAPACITY",
        Late = "LATE",
        Aging = "AGING",
        Events = "EVENTS",
        EventsMaxLen = "EVENTSMAXLEN",
        Quorum = "QUORUM",
        SplitTag = "SPLITTAG",
        Retain = "RETAIN",
        RetainMax = "RETAINMAX",
    }
}

words! {
    impl for Late {
        Accept = "ACCEPT",
        Reject = "REJECT",
    }
}

/// The options of CONFIGURE.
fn read_settings<'a>(parser: &mut Parser<'a>) -> Result<Configure<'a>, Refusal> {
    const ANY: RangeInclusive<u64> = 0..=i64::MAX as u64;
    let mut given = Configure::default();
    while parser.more() {
        match parser.option()? {
            ConfigureOption::Lock => given.lock = Some(lock(parser)?),
            ConfigureOption::MaxExpiries => {
                given.max_expiries = Some(parser.unsigned("MAXEXPIRIES", ANY)?);
            }
            ConfigureOption::MaxLen => given.max_len = Some(parser.unsigned("MAXLEN", ANY)?),
            ConfigureOption::Capacity => given.capacity = Some(parser.unsigned("CAPACITY", ANY)?),
            ConfigureOption::Late => given.late = Some(parser.one_of("LATE")?),
            ConfigureOption::Aging => given.aging = Some(ms(parser, "AGING", 0..=MAX_AGING)?.0),
            ConfigureOption::Events => given.events = Some(parser.word("EVENTS")?),
            ConfigureOption::EventsMaxLen => {
                given.events_max_len = Some(parser.unsigned("EVENTSMAXLEN", ANY)?);
            }
            ConfigureOption::Quorum => given.quorum = Some(quorum(parser)?),
            // An empty one is none.
            ConfigureOption::SplitTag => {
                given.split_tag = Some(parser.bytes("SPLITTAG", 0..=MAX_TAG)?);
            }
            ConfigureOption::Retain => {
                given.retain = Some(ms(parser, "RETAIN", 0..=MAX_DURATION)?);
            }
            ConfigureOption::RetainMax => {
                given.retain_max = Some(parser.unsigned("RETAINMAX", 0..=MAX_DURATION)?);
            }
        }
    }
    Ok(given)
}

fn configure(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    if !parser.more() {
        return show_settings(ctx, args);
    }
    let given = read_settings(&mut parser)?;
    // An empty name ends the writing of events.
    let stream = given.events.filter(|name| !name.is_empty());
    if let Some(stream) = stream {
        if stream == args.get(1) {
            return Err(Refusal::fixed(
                "ERR EVENTS must be another key than the queue",
            ));
        }
        let writable = match look(ctx, Name::new(stream).get()) {
            Found::Nothing => true,
            Found::Stream => !is_exhausted(ctx, stream),
            Found::Other => false,
        };
        if !writable {
            return Err(Error::Events.into());
        }
    }
    run(ctx, args, given)?;
    if let Some(stream) = stream {
        create_stream(ctx, stream);
    }
    ctx.reply_ok();
    Ok(())
}

/// Replies how a queue is set up.
pub(super) fn show_settings(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let found = read(ctx, args, |queue, _| queue.settings().clone())?;
    let settings = found.unwrap_or_default();
    ctx.reply_map(12);
    for (name, n) in [
        ("lock", settings.lock.0),
        ("maxexpiries", settings.max_expiries),
        ("maxlen", settings.max_len),
        ("capacity", settings.capacity),
    ] {
        ctx.field(name).reply_integer(n as i64);
    }
    ctx.field("late").reply_bytes(match settings.late {
        Late::Accept => b"accept",
        Late::Reject => b"reject",
    });
    ctx.field("aging").reply_integer(settings.aging as i64);
    ctx.field("events").reply_bytes(&settings.events);
    ctx.field("eventsmaxlen")
        .reply_integer(settings.events_max_len as i64);
    reply_quorum(ctx.field("quorum"), settings.quorum);
    ctx.field("splittag").reply_bytes(&settings.split_tag);
    ctx.field("retain").reply_integer(settings.retain.0 as i64);
    ctx.field("retainmax")
        .reply_integer(settings.retain_max as i64);
    Ok(())
}
