//! Commands of supervisors, who run a queue: ASSIGN, MOVE, PAUSE, UNPAUSE, REVIVE, CONFIGURE.

use super::{item, lock, moderator, only_count, priority};
use crate::host::clock;
use crate::host::queue_key::QueueKey;
use crate::host::queues::{COMMAND_BUDGET, Work, announce, catch_up, read, replicate, write};
use crate::host::streams::{create_stream, gate};
use crate::host::waiting;
use crate::server::args::{Args, Parser};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::{entry, entry_located};
use crate::server::key::{Found, Key, Mode, Name, look};
use modq_core::queue::{Effects, Error, Gate, MAX_AGING, MAX_COUNT, Settings};

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.assign",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item moderator [LOCK ms]",
        summary: "Locks an item for a named moderator, whatever their tags.",
        complexity: "O(log n) with n items",
        handler: entry(assign),
    },
    Command {
        name: c"modq.move",
        flags: c"write deny-oom",
        keys: Keys::ChangesTwo,
        arity: -4,
        syntax: "source destination item [TOKEN token] [PRIORITY priority]",
        summary: "Moves an item to another queue.",
        complexity: "O(log n) with n items",
        handler: entry(move_item),
    },
    Command {
        name: c"modq.pause",
        flags: c"write deny-oom fast",
        keys: Keys::Changes,
        arity: -2,
        syntax: "key [<IN | OUT | ALL>]",
        summary: "Has a queue refuse new items, hand out none, or both.",
        complexity: "O(1)",
        handler: entry(pause),
    },
    Command {
        name: c"modq.unpause",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -2,
        syntax: "key [<IN | OUT | ALL>]",
        summary: "Ends a pause.",
        complexity: "O(1), and the matches that are caught up in the background",
        handler: entry(unpause),
    },
    Command {
        name: c"modq.revive",
        flags: c"write",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key <item [item …] | ALL [COUNT n]>",
        summary: "Makes dead items ready again.",
        complexity: "O(log n) for each, with n items",
        handler: entry(revive),
    },
    Command {
        name: c"modq.configure",
        flags: c"write deny-oom getkeys-api",
        keys: Keys::ChangesEvents,
        arity: -2,
        syntax: "key [LOCK ms] [MAXEXPIRIES n] [MAXLEN n] [CAPACITY n] [LATE <ACCEPT | REJECT>] \
                 [AGING ms] [EVENTS stream] [EVENTSMAXLEN n]",
        summary: "Sets a queue up, or shows how it is.",
        complexity: "O(1); O(n) with n moderators in line if CAPACITY changes",
        handler: entry_located(configure, keys_with_events),
    },
];

/// Where the keys of CONFIGURE are: the queue, and the stream that EVENTS names.
fn keys_with_events(args: Args<'_>) -> Vec<usize> {
    let names = (2..args.count()).step_by(2);
    let stream = names
        .filter(|at| args.get(*at).eq_ignore_ascii_case(b"EVENTS"))
        .map(|at| at + 1)
        .filter(|at| *at < args.count() && !args.get(*at).is_empty());
    (1..args.count().min(2)).chain(stream).collect()
}

fn assign(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let name = moderator(&mut parser)?;
    let mut ms = None;
    while parser.more() {
        parser.option(&["LOCK"])?;
        ms = Some(lock(&mut parser)?);
    }
    let token = write(ctx, args, |work| {
        Ok(work.queue.assign(work.now, id, name, ms, work.fx)?)
    })?;
    ctx.reply_integer(token as i64);
    Ok(())
}

fn move_item(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let (source, destination) = (args.string(1), args.string(2));
    let mut parser = Parser::new(args, 3);
    let id = item(&mut parser)?;
    let (mut with_token, mut with_priority) = (None, None);
    while parser.more() {
        match parser.option(&["TOKEN", "PRIORITY"])? {
            0 => with_token = Some(parser.unsigned("TOKEN", 0..=i64::MAX as u64)?),
            _ => with_priority = Some(priority(&mut parser)?),
        }
    }
    if args.get(1) == args.get(2) {
        return Err(Refusal::fixed(
            "ERR source and destination must be different keys",
        ));
    }
    let mut from = Key::<QueueKey>::open(ctx, source, Mode::Write)?;
    let mut to = Key::<QueueKey>::open(ctx, destination, Mode::Write)?;
    let now = clock::now();
    let Some(stored) = from.get_mut() else {
        return Err(Error::NoItem.into());
    };
    let (mut fx, mut to_fx) = (Effects::default(), Effects::default());
    fx.gate = gate(ctx, stored);
    to_fx.gate = to
        .get()
        .map_or(Gate::Open, |receiving| gate(ctx, receiving));
    // Each side catches up first, so that tokens and deadlines are judged as they are now.
    catch_up(ctx, source, stored, now, COMMAND_BUDGET, &mut fx);
    if let Some(receiving) = to.get_mut() {
        catch_up(ctx, destination, receiving, now, COMMAND_BUDGET, &mut to_fx);
    }
    let moved = stored
        .queue
        .check_move_out(now, id, with_token)
        .and_then(|out| {
            to.get().map_or(Ok(()), |r| r.queue.check_move_in(id))?;
            fx.admit().and_then(|()| to_fx.admit())?;
            Ok(out)
        });
    if let Ok(out) = &moved {
        if to.get().is_none() {
            let mut created = Box::<QueueKey>::default();
            let name = destination.bytes();
            waiting::tell_queue(&mut created, ctx.db(), name, now);
            to.set(created);
        }
        if let Some(receiving) = to.get_mut() {
            let (source, to) = (&mut stored.queue, &mut receiving.queue);
            source.move_item(now, out.clone(), with_priority, to, &mut fx, &mut to_fx);
        }
    }
    if let Some(receiving) = to.get_mut() {
        replicate(ctx, destination, receiving, &to_fx, now);
    }
    replicate(ctx, source, stored, &fx, now);
    drop((from, to));
    // Who reads a stream that both queues share is told that the item left before it arrives.
    announce(ctx, source, &mut fx, now);
    announce(ctx, destination, &mut to_fx, now);
    moved?;
    ctx.reply_ok();
    Ok(())
}

/// The sides of a queue that PAUSE and UNPAUSE are about: input, output.
fn sides(args: Args<'_>) -> Result<(bool, bool), Refusal> {
    let mut parser = Parser::new(args, 2);
    let sides = match parser.more() {
        false => (true, true),
        true => match parser.one_of("side", &["IN", "OUT", "ALL"])? {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        },
    };
    parser.end()?;
    Ok(sides)
}

fn pause(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let (input, output) = sides(args)?;
    write(ctx, args, |work| {
        let (was_in, was_out) = work.queue.paused();
        let Work { queue, now, fx } = work;
        queue.pause(*now, was_in || input, was_out || output, fx);
        Ok(())
    })?;
    ctx.reply_ok();
    Ok(())
}

fn unpause(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let (input, output) = sides(args)?;
    write(ctx, args, |work| {
        let (was_in, was_out) = work.queue.paused();
        let Work { queue, now, fx } = work;
        queue.pause(*now, was_in && !input, was_out && !output, fx);
        // What can be handed out at once is; the timer goes on with the rest.
        if fx.gate == Gate::Open {
            queue.advance(*now, COMMAND_BUDGET, fx);
        }
        Ok(())
    })?;
    ctx.reply_ok();
    Ok(())
}

fn revive(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let first = item(&mut parser)?;
    // A lone ALL, or ALL with COUNT, is the keyword: an item of that name is named twice.
    let rest_is_count = parser
        .peek()
        .is_none_or(|word| word.eq_ignore_ascii_case(b"COUNT"));
    if first.eq_ignore_ascii_case(b"ALL") && rest_is_count {
        let most = only_count(&mut parser, MAX_COUNT as usize)?;
        let revived = write(ctx, args, |work| {
            Ok(work.queue.revive_all(work.now, most, work.fx)?)
        })?;
        ctx.reply_integer(revived as i64);
        return Ok(());
    }
    let mut ids = vec![first];
    while parser.more() {
        ids.push(item(&mut parser)?);
    }
    let revived = write(ctx, args, |work| {
        let Work { queue, now, fx } = work;
        let mut revived = 0;
        for id in ids {
            revived += i64::from(queue.revive(*now, id, fx)?);
        }
        Ok(revived)
    })?;
    ctx.reply_integer(revived);
    Ok(())
}

/// One option of CONFIGURE.
type SettingsChange<'a> = Box<dyn Fn(&mut Settings) + 'a>;

fn configure(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    if !parser.more() {
        return show_settings(ctx, args);
    }
    const MOST: u64 = i64::MAX as u64;
    const OPTIONS: &[&str] = &[
        "LOCK",
        "MAXEXPIRIES",
        "MAXLEN",
        "CAPACITY",
        "LATE",
        "AGING",
        "EVENTS",
        "EVENTSMAXLEN",
    ];
    let mut changes: Vec<SettingsChange<'_>> = Vec::new();
    let mut stream = None;
    while parser.more() {
        let option = parser.option(OPTIONS)?;
        changes.push(match option {
            0 => {
                let n = lock(&mut parser)?;
                Box::new(move |s| s.lock = n)
            }
            1 => {
                let n = parser.unsigned("MAXEXPIRIES", 0..=MOST)?;
                Box::new(move |s| s.max_expiries = n)
            }
            2 => {
                let n = parser.unsigned("MAXLEN", 0..=MOST)?;
                Box::new(move |s| s.max_len = n)
            }
            3 => {
                let n = parser.unsigned("CAPACITY", 0..=MOST)?;
                Box::new(move |s| s.capacity = n)
            }
            4 => {
                let accept = parser.one_of("LATE", &["ACCEPT", "REJECT"])? == 0;
                Box::new(move |s| s.late_accept = accept)
            }
            5 => {
                let n = parser.unsigned("AGING", 0..=MAX_AGING)?;
                Box::new(move |s| s.aging = n)
            }
            6 => {
                let name = parser.word("EVENTS")?;
                stream = Some(name);
                Box::new(move |s| s.events = name.to_vec())
            }
            _ => {
                let n = parser.unsigned("EVENTSMAXLEN", 0..=MOST)?;
                Box::new(move |s| s.events_max_len = n)
            }
        });
    }
    let stream = stream.filter(|name| !name.is_empty());
    if let Some(stream) = stream {
        if stream == args.get(1) {
            return Err(Refusal::fixed(
                "ERR EVENTS must be another key than the queue",
            ));
        }
        if look(ctx, Name::new(stream).get()) == Found::Other {
            return Err(Error::Events.into());
        }
    }
    write(ctx, args, |work| {
        let Work { queue, now, fx } = work;
        let mut settings = queue.settings().clone();
        changes.iter().for_each(|change| change(&mut settings));
        queue.configure(*now, settings, fx)?;
        // The timer does what is to go to a new stream, once that is there.
        if fx.gate == Gate::Open && stream.is_none() {
            queue.advance(*now, COMMAND_BUDGET, fx);
        }
        Ok(())
    })?;
    if let Some(stream) = stream {
        create_stream(ctx, stream);
    }
    ctx.reply_ok();
    Ok(())
}

fn show_settings(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let found = read(ctx, args, |queue, _| queue.settings().clone())?;
    let settings = found.unwrap_or_default();
    ctx.reply_map(8);
    for (name, n) in [
        ("lock", settings.lock),
        ("maxexpiries", settings.max_expiries),
        ("maxlen", settings.max_len),
        ("capacity", settings.capacity),
    ] {
        ctx.field(name).reply_integer(n as i64);
    }
    let late: &[u8] = if settings.late_accept {
        b"accept"
    } else {
        b"reject"
    };
    ctx.field("late").reply_bytes(late);
    ctx.field("aging").reply_integer(settings.aging as i64);
    ctx.field("events").reply_bytes(&settings.events);
    ctx.field("eventsmaxlen")
        .reply_integer(settings.events_max_len as i64);
    Ok(())
}
