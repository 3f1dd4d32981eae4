//! The commands that only the primary's link and AOFs speak: effects to apply, chunks to load.
//! They check what they are given, and never refuse for settings, memory or clock.

use crate::host::bindings;
use crate::host::board_keys::{APPLY_BOARD, APPLY_CLOSE, BoardKey, apply_close};
use crate::host::clock;
use crate::host::limiter_keys::{Expiring, LeaseKey, LimitKey, keep_until};
use crate::host::policies::{LOAD_POLICIES, with_policies};
use crate::host::queue_key::QueueKey;
use crate::host::queues::APPLY_QUEUE;
use crate::host::settings;
use crate::host::values::update;
use crate::server::args::{Args, Parser, ServerStr};
use crate::server::command::{Command, Keys};
use crate::server::context::{Context, Refusal};
use crate::server::guard::entry;
use crate::server::key::{Key, Mode};
use crate::server::status::reply_wanted;
use crate::server::types::Stored;
use modq_core::board::{self, Closing};
use modq_core::codec::{DecodeError, Persist};
use modq_core::limiter::{ApplyError, Policies};
use modq_core::queue::Record;

/// The command that carries the values of keys in an AOF that was rewritten.
pub const LOAD: &std::ffi::CStr = c"modq._load";

/// The command that makes the statuses when the module loads.
pub const STATUS: &std::ffi::CStr = c"modq._status";

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: APPLY_QUEUE,
        flags: c"write",
        categories: c"write slow admin dangerous",
        keys: Keys::Changes,
        arity: 3,
        syntax: "key record",
        integers: &[],
        since: "0.1.0",
        summary: "Applies effects on a queue. Internal: from a primary or an AOF only.",
        complexity: "O(log n) for each effect",
        tips: "",
        handler: entry(apply_queue),
    },
    Command {
        name: LimitKey::APPLY,
        flags: c"write",
        categories: c"write slow admin dangerous",
        keys: Keys::Changes,
        arity: 3,
        syntax: "key record",
        integers: &[],
        since: "0.1.0",
        summary: "Applies an effect on a limiter. Internal: from a primary or an AOF only.",
        complexity: "O(1) amortised",
        tips: "",
        handler: entry(apply::<LimitKey>),
    },
    Command {
        name: LeaseKey::APPLY,
        flags: c"write",
        categories: c"write slow admin dangerous",
        keys: Keys::Changes,
        arity: 3,
        syntax: "key record",
        integers: &[],
        since: "0.1.0",
        summary: "Applies an effect on leases. Internal: from a primary or an AOF only.",
        complexity: "O(log n) with n leases",
        tips: "",
        handler: entry(apply::<LeaseKey>),
    },
    Command {
        name: APPLY_BOARD,
        flags: c"write",
        categories: c"write slow admin dangerous",
        keys: Keys::Changes,
        arity: 3,
        syntax: "key record",
        integers: &[],
        since: "0.2.0",
        summary: "Applies effects on a board. Internal: from a primary or an AOF only.",
        complexity: "O(log n) for each effect",
        tips: "",
        handler: entry(apply_board),
    },
    Command {
        name: APPLY_CLOSE,
        flags: c"write",
        categories: c"write slow admin dangerous",
        keys: Keys::ChangesTwo,
        arity: 4,
        syntax: "key destination record",
        integers: &[],
        since: "0.2.0",
        summary: "Moves a board. Internal: from a primary or an AOF only.",
        complexity: "O(1)",
        tips: "",
        handler: entry(apply_closing),
    },
    Command {
        name: LOAD_POLICIES,
        flags: c"write",
        categories: c"write slow admin dangerous",
        keys: Keys::None,
        arity: 2,
        syntax: "policies",
        integers: &[],
        since: "0.1.0",
        summary: "Replaces all policies. Internal: from an AOF only.",
        complexity: "O(n) with n policies",
        tips: "",
        handler: entry(load_policies),
    },
    Command {
        name: LOAD,
        flags: c"write",
        categories: c"write slow admin dangerous",
        keys: Keys::Changes,
        arity: 6,
        syntax: "key type version part chunk",
        integers: &[],
        since: "0.1.0",
        summary: "Loads one chunk of a value. Internal: from a rewritten AOF only.",
        complexity: "O(n log n) for the n entries of the chunk",
        tips: "",
        handler: entry(load),
    },
    Command {
        name: STATUS,
        flags: c"readonly fast",
        categories: c"read fast admin dangerous",
        keys: Keys::None,
        arity: 1,
        syntax: "",
        integers: &[],
        since: "0.2.0",
        summary: "Replies a status. Internal: from the module itself only.",
        complexity: "O(1)",
        tips: "",
        handler: entry(make_status),
    },
];

const INTERNAL: Refusal = Refusal::fixed(
    "ERR this command is internal; to replay an AOF through a client set modq.allow-apply to yes",
);
const BAD_RECORD: Refusal = Refusal::fixed("ERR the record does not fit the key");

/// Lets pass what comes from the primary or a loading AOF.
fn check_origin(ctx: Context<'_>) -> Result<(), Refusal> {
    let flags = ctx.flags();
    if flags.is_loading() || flags.is_replicated() || settings::ALLOW_APPLY.is_on() {
        Ok(())
    } else {
        Err(INTERNAL)
    }
}

fn make_status(ctx: Context<'_>, _args: Args<'_>) -> Result<(), Refusal> {
    reply_wanted(ctx, Refusal::fixed("ERR this command is internal"))
}

/// Hands the command on as it came, and replies.
fn done(ctx: Context<'_>) -> Result<(), Refusal> {
    ctx.replicate_verbatim();
    ctx.reply_ok();
    Ok(())
}

/// Applies effects up to the first that does not fit. What was applied stands, even if what follows it
/// does not fit. Answers how many were applied, and whether these are all.
///
/// # Errors
/// Not even the first fits.
fn apply_in_turn<E>(
    effects: &mut impl Iterator<Item = E>,
    mut apply: impl FnMut(E) -> bool,
) -> Result<(usize, bool), Refusal> {
    let mut fit = 0;
    let all = effects.all(|effect| {
        let applied = apply(effect);
        fit += usize::from(applied);
        applied
    });
    (fit > 0).then_some((fit, all)).ok_or(BAD_RECORD)
}

fn apply_queue(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    check_origin(ctx)?;
    let record = args.get(2);
    // Read one by one, and so once more if need be: a record can be large.
    let effects = || Record::effects(record).map_err(|DecodeError| BAD_RECORD);
    let mut left = effects()?;
    let mut key = Key::<QueueKey>::open(ctx, args.string(1), Mode::Write)?;
    let (fit, all) = update(&mut key, |stored| {
        stored.check()?;
        stored.guarded(|queue| {
            apply_in_turn(&mut left, |(at, effect)| queue.apply(at, &effect).is_ok())
        })
    })?;
    if let Some(stored) = key.get_mut() {
        stored.changed(ctx, args.string(1));
        clock::note_token(stored.queue.last_token(), clock::now().time);
    }
    ctx.signal_modified(args.string(1));
    if !all {
        let mut applied = Record::default();
        for (at, effect) in effects()?.take(fit) {
            applied.push(at, &effect);
        }
        ctx.replicate(APPLY_QUEUE, args.string(1), applied.bytes());
    }
    drop(key);
    check_binding(ctx, args.string(1));
    if all { done(ctx) } else { Err(BAD_RECORD) }
}

/// A client may have bound the queue to a stream that it has no rights on.
fn check_binding(ctx: Context<'_>, name: ServerStr<'_>) {
    if !ctx.flags().is_replicated() {
        bindings::check(ctx, name);
    }
}

fn apply_board(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    check_origin(ctx)?;
    let record = args.get(2);
    // Read one by one, and so once more if need be: a record can be large.
    let effects = || board::Record::effects(record).map_err(|DecodeError| BAD_RECORD);
    let mut left = effects()?;
    let mut key = Key::<BoardKey>::open(ctx, args.string(1), Mode::Write)?;
    let (fit, all) = update(&mut key, |stored| {
        stored.guarded(|board| apply_in_turn(&mut left, |effect| board.apply(&effect).is_ok()))
    })?;
    if let Some(stored) = key.get_mut() {
        stored.changed(ctx, args.string(1));
    }
    ctx.signal_modified(args.string(1));
    if !all {
        let mut applied = board::Record::default();
        effects()?
            .take(fit)
            .for_each(|effect| applied.push(&effect));
        ctx.replicate(APPLY_BOARD, args.string(1), applied.bytes());
        return Err(BAD_RECORD);
    }
    done(ctx)
}

fn apply_closing(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    check_origin(ctx)?;
    let closing = Closing::decode(args.get(3)).map_err(|DecodeError| BAD_RECORD)?;
    apply_close(ctx, args.string(1), args.string(2), closing, BAD_RECORD)?;
    done(ctx)
}

/// Applies an effect on a limiter or on leases. Then the key lives as long as the record says.
fn apply<T: Expiring>(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    check_origin(ctx)?;
    let (effect, expires) = T::decode(args.get(2)).map_err(|DecodeError| BAD_RECORD)?;
    let mut key = Key::<T>::open(ctx, args.string(1), Mode::Write)?;
    // A value that ends here is left as it is: the server frees a large one in the background.
    let ends = key.get().is_some() && T::is_reset(&effect) && expires.is_none();
    if !ends {
        update(&mut key, |stored| {
            stored.guarded(|value| T::apply(value, &effect).map_err(|ApplyError| BAD_RECORD))
        })?;
    }
    if let Some(stored) = key.get() {
        clock::note_token(stored.last_token(), clock::now().time);
    }
    keep_until(&mut key, expires);
    ctx.signal_modified(args.string(1));
    done(ctx)
}

fn load_policies(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    check_origin(ctx)?;
    let loaded = Policies::decode(args.get(1)).map_err(|DecodeError| BAD_RECORD)?;
    with_policies(|policies| *policies = loaded);
    done(ctx)
}

fn load(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    check_origin(ctx)?;
    let word = args.get(2);
    if word == QueueKey::WORD.to_bytes() {
        if let Some(stored) = load_chunk::<QueueKey>(ctx, args)?.get_mut() {
            stored.changed(ctx, args.string(1));
            clock::note_token(stored.queue.last_token(), clock::now().time);
        }
        check_binding(ctx, args.string(1));
    } else if word == BoardKey::WORD.to_bytes() {
        if let Some(stored) = load_chunk::<BoardKey>(ctx, args)?.get_mut() {
            stored.changed(ctx, args.string(1));
        }
    } else if word == LimitKey::WORD.to_bytes() {
        load_chunk::<LimitKey>(ctx, args)?;
    } else if word == LeaseKey::WORD.to_bytes() {
        if let Some(stored) = load_chunk::<LeaseKey>(ctx, args)?.get() {
            clock::note_token(stored.last_token(), clock::now().time);
        }
    } else {
        return Err(BAD_RECORD);
    }
    ctx.signal_modified(args.string(1));
    done(ctx)
}
fn load_chunk<'a, T: Stored>(ctx: Context<'a>, args: Args<'a>) -> Result<Key<'a, T>, Refusal> {
    let mut parser = Parser::new(args, 3);
    let version = parser.number("version", 1..=i64::from(T::Core::VERSION))? as i32;
    let part = parser.word("part")?;
    let chunk = parser.word("chunk")?;
    let mut key = Key::<T>::open(ctx, args.string(1), Mode::Write)?;
    let loaded = match part {
        b"first" => {
            // What the key held stays unless the chunk is good.
            let mut new = Box::<T>::default();
            new.core_mut()
                .load(version, chunk)
                .map_err(|DecodeError| BAD_RECORD)?;
            key.set(new);
            Ok(())
        }
        b"more" => key
            .get_mut()
            .ok_or(BAD_RECORD)?
            .core_mut()
            .load(version, chunk),
        b"last" if chunk.is_empty() => key.get_mut().ok_or(BAD_RECORD)?.core_mut().finish(),
        _ => return Err(BAD_RECORD),
    };
    if loaded.is_err() {
        // What is half loaded must not stay, here and further on.
        key.delete();
        ctx.signal_modified(args.string(1));
        ctx.replicate_deletion(args.string(1));
        return Err(BAD_RECORD);
    }
    Ok(key)
}
