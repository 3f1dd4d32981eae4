//! MODQ.*: moderation queues.

use super::internal::APPLY_QUEUE;
use super::waiting::{self, reply_claim, KeyName, Wish};
use super::{Command, Keys};
use crate::queue::{
    Answer, Change, Claim, ClaimView, Effects, Error, Notice, Now, OnDuplicate, Queue, State,
    Submit, Submitted, MAX_COUNT, MAX_DECISION, MAX_DURATION, MAX_EXCLUDE, MAX_ID, MAX_TAG,
    MAX_TAGS,
};
use crate::redis::args::{Args, Parser};
use crate::redis::config;
use crate::redis::context::{self, Context, Refusal};
use crate::redis::guard::entry;
use crate::redis::key::{Key, Mode, Name};
use crate::redis::schedule;
use crate::redis::types::Stored;
use redis_module::RedisModuleString;
use serde_bytes::Bytes;
use std::cell::RefCell;
use std::ffi::CStr;
use std::sync::atomic::AtomicPtr;

pub static COMMANDS: &[Command] = &[
    Command {
        name: c"modq.submit",
        flags: c"write deny-oom fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item payload [PRIORITY priority] [BOOST ms] [DELAY ms] [TAGS n [tag …]] \
                 [EXCLUDE n [moderator …]] [ONDUP <KEEP | BUMP | REPLACE | ERROR>]",
        summary: "Puts an item into a queue, or hands it straight to a waiting moderator.",
        complexity: "O(log n) with n items, and O(log n) for each excluded moderator",
        handler: entry(submit),
    },
    Command {
        name: c"modq.cancel",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key item [REV rev]",
        summary: "Removes an item, if it is still at the given revision.",
        complexity: "O(log n) with n items",
        handler: entry(cancel),
    },
    Command {
        name: c"modq.update",
        flags: c"write deny-oom fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key item [REV rev] [PRIORITY priority] [BOOST ms] [PAYLOAD payload] \
                 [TAGS n [tag …]] [EXCLUDE n [moderator …]]",
        summary: "Changes content or order of an item, never its state.",
        complexity: "O(log n) with n items, and O(log n) for each excluded moderator",
        handler: entry(update),
    },
    Command {
        name: c"modq.claim",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -3,
        syntax: "key moderator [COUNT n] [LOCK ms] [BLOCK ms] [TAGS n [tag …]] [NEW]",
        summary: "Locks the next items for a moderator, after those they hold already.",
        complexity: "O(log n) for each item and each tag combination in use, with n items",
        handler: entry(claim),
    },
    Command {
        name: c"modq.mclaim",
        flags: c"write",
        keys: Keys::ChangesCounted,
        arity: -4,
        syntax: "numkeys key [key …] moderator [COUNT n] [LOCK ms] [BLOCK ms] [TAGS n [tag …]] \
                 [NEW]",
        summary: "Claims from the first of several queues that has something.",
        complexity: "as MODQ.CLAIM for each key",
        handler: entry(mclaim),
    },
    Command {
        name: c"modq.resolve",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item token [REV rev] [DECISION decision]",
        summary: "Ends an item with a decision on it.",
        complexity: "O(log n) with n items",
        handler: entry(resolve),
    },
    Command {
        name: c"modq.release",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: -4,
        syntax: "key item token [SKIP] [DELAY ms]",
        summary: "Gives a locked item back to its own place in the queue.",
        complexity: "O(log n) with n items",
        handler: entry(release),
    },
    Command {
        name: c"modq.extend",
        flags: c"write fast",
        keys: Keys::Changes,
        arity: 5,
        syntax: "key item token ms",
        summary: "Sets the deadline of a lock anew, counted from now.",
        complexity: "O(log n) with n locks",
        handler: entry(extend),
    },
    Command {
        name: c"modq.get",
        flags: c"readonly fast",
        keys: Keys::Reads,
        arity: 3,
        syntax: "key item",
        summary: "Everything about one item.",
        complexity: "O(1), and O(1) for each tag and excluded moderator",
        handler: entry(get),
    },
    Command {
        name: c"modq.len",
        flags: c"readonly fast",
        keys: Keys::Reads,
        arity: -2,
        syntax: "key [<READY | LOCKED | DELAYED | DEAD>]",
        summary: "How many items are in a queue, or in one state.",
        complexity: "O(1)",
        handler: entry(len),
    },
    Command {
        name: c"modq.held",
        flags: c"readonly fast",
        keys: Keys::Reads,
        arity: -3,
        syntax: "key moderator [COUNT n]",
        summary: "The items a moderator holds, as CLAIM answers them.",
        complexity: "O(n) with n items held",
        handler: entry(held),
    },
];

/// Most deferred steps that one command does before its own work; the timer does the rest.
const COMMAND_BUDGET: usize = 32;

/// The value of a queue's key.
#[derive(Default)]
pub struct QueueKey {
    pub queue: Queue,
    /// The earliest due time that the schedule knows of for this key, Unix ms; 0 for none.
    scheduled: u64,
    /// The name whose waiting clients the queue knows of.
    pub attached: Option<KeyName>,
}

impl Stored for QueueKey {
    type Core = Queue;
    const NAME: &'static CStr = c"modqqueue";
    const WORD: &'static CStr = c"queue";

    fn core(&self) -> &Queue {
        &self.queue
    }

    fn core_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    fn memory_bytes(&self) -> usize {
        self.queue.memory_bytes()
    }

    fn free_effort(&self) -> usize {
        self.queue.len()
    }

    fn handle_cell() -> &'static AtomicPtr<redis_module::raw::RedisModuleType> {
        static HANDLE: AtomicPtr<redis_module::raw::RedisModuleType> =
            AtomicPtr::new(std::ptr::null_mut());
        &HANDLE
    }
}

impl QueueKey {
    /// The queue may have something to do earlier than it had before.
    #[inline]
    pub fn changed(&mut self, ctx: Context<'_>, name: *mut RedisModuleString) {
        if let Some(due) = self.queue.next_due() {
            let due = due.max(1);
            if self.scheduled == 0 || due < self.scheduled {
                self.scheduled = due;
                schedule::note(ctx, ctx.db(), context::name_bytes(&ctx, name), due);
            }
        }
    }

    /// The queue came to this key by other means than a command of ours.
    pub fn arrived(&mut self, ctx: Context<'_>, name: *mut RedisModuleString) {
        self.scheduled = 0;
        self.changed(ctx, name);
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::fixed(match error {
            Error::NoItem => "NOITEM no such item in the queue",
            Error::Stale => "STALE the token is not that of a live lock on the item",
            Error::Changed => "CHANGED the item is no longer at this revision; the lock is kept",
            Error::Exists => "EXISTS the item is in the queue already",
            Error::Excluded => "EXCLUDED the moderator is excluded from the item",
            Error::Full => "FULL the queue holds as many items as MAXLEN allows",
            Error::Paused => "PAUSED the queue is paused for input",
            Error::AgingInUse => "ERR AGING can only be changed while the queue has no items",
        })
    }
}

thread_local! {
    /// Buffers that writing commands use in turn.
    static EFFECTS: RefCell<Effects> = RefCell::default();
}

/// What a command works with: the queue of its key and the effects to be.
struct Work<'w> {
    queue: &'w mut Queue,
    now: Now,
    fx: &'w mut Effects,
}

/// Runs a writing command on the queue of key argument 1: catches up with the clock, lets `body`
/// decide and apply, then stores, replicates and announces. The reply is `body`'s.
#[inline]
fn write<R>(
    ctx: Context<'_>,
    args: Args<'_>,
    body: impl FnOnce(&mut Work<'_>) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    write_to(ctx, args.string(1), context::now(), body)
}

fn write_to<R>(
    ctx: Context<'_>,
    name: *mut RedisModuleString,
    now: Now,
    body: impl FnOnce(&mut Work<'_>) -> Result<R, Refusal>,
) -> Result<R, Refusal> {
    let mut key = Key::<QueueKey>::open(ctx, name, Mode::Write)?;
    let mut fx = EFFECTS.take();
    fx.clear();
    let result = match key.get_mut() {
        Some(stored) => {
            catch_up(ctx, name, stored, now, COMMAND_BUDGET, &mut fx);
            let result = body(&mut Work {
                queue: &mut stored.queue,
                now,
                fx: &mut fx,
            });
            replicate(ctx, name, stored, &fx);
            result
        }
        None => {
            // A missing key is an empty queue; it comes to be with the first change.
            let mut stored = Box::<QueueKey>::default();
            waiting::attach(&mut stored, ctx.db(), context::name_bytes(&ctx, name), now);
            let result = body(&mut Work {
                queue: &mut stored.queue,
                now,
                fx: &mut fx,
            });
            if !fx.record.is_empty() {
                replicate(ctx, name, key.set(stored), &fx);
            }
            result
        }
    };
    drop(key);
    announce(ctx, name, &mut fx, now);
    EFFECTS.set(fx);
    result
}

/// Does what is due on a queue, at most `budget` steps of it. Answers how many.
#[inline]
fn catch_up(
    ctx: Context<'_>,
    name: *mut RedisModuleString,
    stored: &mut QueueKey,
    now: Now,
    budget: usize,
    fx: &mut Effects,
) -> usize {
    waiting::attach(stored, ctx.db(), context::name_bytes(&ctx, name), now);
    if stored.queue.next_due().is_some_and(|due| due <= now.ms) {
        stored.queue.advance(now, budget, fx)
    } else {
        0
    }
}

/// Sends what happened to a queue to replicas and the AOF.
#[inline]
fn replicate(ctx: Context<'_>, name: *mut RedisModuleString, stored: &mut QueueKey, fx: &Effects) {
    if fx.record.is_empty() {
        return;
    }
    ctx.replicate(APPLY_QUEUE, name, fx.record.bytes());
    ctx.signal_modified(name);
    stored.changed(ctx, name);
}

/// Tells everybody else what happened, once the key is closed.
#[inline]
fn announce(ctx: Context<'_>, name: *mut RedisModuleString, fx: &mut Effects, now: Now) {
    for notice in &fx.notices {
        let event = match notice {
            Notice::Submit => c"modq.submit",
            Notice::Assign => c"modq.assign",
            Notice::Resolve => c"modq.resolve",
            Notice::Release => c"modq.release",
            Notice::Expire => c"modq.expire",
            Notice::Dead => c"modq.dead",
        };
        ctx.notify(event, name);
    }
    if fx.matches.is_empty() && fx.answers.is_empty() {
        return;
    }
    let key = context::name_bytes(&ctx, name);
    for matched in &fx.matches {
        ctx.publish(&channel(key, &matched.moderator), &matched.item);
    }
    waiting::answers(ctx, ctx.db(), key, &mut fx.answers, now);
}

/// Where a moderator hears of what they are given: in the key's own slot.
fn channel(key: &[u8], moderator: &[u8]) -> Vec<u8> {
    let tag = key.iter().position(|b| *b == b'{').and_then(|open| {
        let close = key[open..].iter().position(|b| *b == b'}')?;
        (close > 1).then_some(())
    });
    let (open, close): (&[u8], &[u8]) = match tag {
        Some(()) => (b"", b""),
        None => (b"{", b"}"),
    };
    [b"modq:", open, key, close, b":", moderator].concat()
}

/// Lets time act on the queue of a key, at most `budget` steps. Answers how many steps were done
/// and when there is next something to do (Unix ms), if the key still holds a queue.
pub fn advance(
    ctx: Context<'_>,
    name: *mut RedisModuleString,
    now: Now,
    budget: usize,
) -> (usize, Option<u64>) {
    let Ok(mut key) = Key::<QueueKey>::open(ctx, name, Mode::Unattended) else {
        return (0, None);
    };
    let Some(stored) = key.get_mut() else {
        return (0, None);
    };
    let mut fx = Effects::default();
    let steps = catch_up(ctx, name, stored, now, budget, &mut fx);
    let next = stored.queue.next_due();
    stored.scheduled = 0;
    replicate(ctx, name, stored, &fx);
    // The caller notes the next due time itself.
    stored.scheduled = next.map_or(0, |next| next.max(now.ms + 1));
    drop(key);
    announce(ctx, name, &mut fx, now);
    (steps, next)
}

/// Takes back a match that reached nobody.
pub fn undo(ctx: Context<'_>, db: i32, key: &[u8], answer: &Answer, now: Now) {
    if !ctx.select_db(db) {
        return;
    }
    let name = Name::new(key);
    let undone = write_to(ctx, name.raw(), now, |work| {
        let place = answer.undo.flatten();
        Ok(work
            .queue
            .undo(now, &answer.item, answer.token, place, work.fx))
    });
    // A key of another type has no match to undo.
    drop(undone);
}

/// Runs a reading command on the queue of key argument 1, if there is one.
fn read<R>(
    ctx: Context<'_>,
    args: Args<'_>,
    body: impl FnOnce(&Queue, Now) -> R,
) -> Result<Option<R>, Refusal> {
    let key = Key::<QueueKey>::open(ctx, args.string(1), Mode::Read)?;
    let now = context::now();
    Ok(key.get().map(|stored| body(&stored.queue, now)))
}

// ---- what several commands take ----

fn item<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("item", 1..=MAX_ID)
}

fn moderator<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("moderator", 1..=MAX_ID)
}

fn payload<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("payload", 0..=config::MAX_PAYLOAD.get() as usize)
}

fn priority(parser: &mut Parser<'_>) -> Result<i32, Refusal> {
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    parser.number("PRIORITY", range).map(|p| p as i32)
}

fn boost(parser: &mut Parser<'_>) -> Result<i64, Refusal> {
    let most = MAX_DURATION as i64;
    parser.number("BOOST", -most..=most)
}

fn delay(parser: &mut Parser<'_>) -> Result<u64, Refusal> {
    parser.unsigned("DELAY", 0..=MAX_DURATION)
}

fn tags<'a>(parser: &mut Parser<'a>) -> Result<Vec<&'a Bytes>, Refusal> {
    parser.counted("TAGS", MAX_TAGS, 1..=MAX_TAG, Bytes::new)
}

fn exclude<'a>(parser: &mut Parser<'a>) -> Result<Vec<&'a Bytes>, Refusal> {
    parser.counted("EXCLUDE", MAX_EXCLUDE, 1..=MAX_ID, Bytes::new)
}

fn count(parser: &mut Parser<'_>) -> Result<usize, Refusal> {
    parser.unsigned("COUNT", 1..=MAX_COUNT).map(|n| n as usize)
}

fn lock(parser: &mut Parser<'_>) -> Result<u64, Refusal> {
    parser.unsigned("LOCK", 1..=MAX_DURATION)
}

fn token(parser: &mut Parser<'_>) -> Result<u64, Refusal> {
    parser.unsigned("token", 0..=i64::MAX as u64)
}

fn rev(parser: &mut Parser<'_>) -> Result<u64, Refusal> {
    parser.unsigned("REV", 0..=i64::MAX as u64)
}

// ---- producers ----

fn submit(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let mut submit = Submit {
        id: item(&mut parser)?,
        payload: payload(&mut parser)?,
        ..Submit::default()
    };
    while parser.more() {
        match parser.option(&["PRIORITY", "BOOST", "DELAY", "TAGS", "EXCLUDE", "ONDUP"])? {
            0 => submit.priority = Some(priority(&mut parser)?),
            1 => submit.boost = Some(boost(&mut parser)?),
            2 => submit.delay = delay(&mut parser)?,
            3 => submit.tags = Some(tags(&mut parser)?),
            4 => submit.excluded = Some(exclude(&mut parser)?),
            _ => submit.on_duplicate = on_duplicate(&mut parser)?,
        }
    }
    let submitted = write(ctx, args, |work| {
        Ok(work.queue.submit(work.now, submit, work.fx)?)
    })?;
    ctx.reply_status(match submitted {
        Submitted::Ready => c"READY",
        Submitted::Assigned => c"ASSIGNED",
        Submitted::Delayed => c"DELAYED",
        Submitted::Exists => c"EXISTS",
        Submitted::Bumped => c"BUMPED",
        Submitted::Replaced => c"REPLACED",
    });
    Ok(())
}

fn on_duplicate(parser: &mut Parser<'_>) -> Result<OnDuplicate, Refusal> {
    let word = parser.word("ONDUP")?.to_ascii_uppercase();
    match word.as_slice() {
        b"KEEP" => Ok(OnDuplicate::Keep),
        b"BUMP" => Ok(OnDuplicate::Bump),
        b"REPLACE" => Ok(OnDuplicate::Replace),
        b"ERROR" => Ok(OnDuplicate::Error),
        _ => Err(Refusal::fixed(
            "ERR ONDUP must be KEEP, BUMP, REPLACE or ERROR",
        )),
    }
}

fn cancel(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let mut at_rev = None;
    while parser.more() {
        parser.option(&["REV"])?;
        at_rev = Some(rev(&mut parser)?);
    }
    let cancelled = write(ctx, args, |work| {
        Ok(work.queue.cancel(work.now, id, at_rev, work.fx))
    })?;
    ctx.reply_integer(cancelled.into());
    Ok(())
}

fn update(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let mut change = Change::default();
    while parser.more() {
        match parser.option(&["REV", "PRIORITY", "BOOST", "PAYLOAD", "TAGS", "EXCLUDE"])? {
            0 => change.rev = Some(rev(&mut parser)?),
            1 => change.priority = Some(priority(&mut parser)?),
            2 => change.boost = Some(boost(&mut parser)?),
            3 => change.payload = Some(payload(&mut parser)?),
            4 => change.tags = Some(tags(&mut parser)?),
            _ => change.excluded = Some(exclude(&mut parser)?),
        }
    }
    let updated = write(ctx, args, |work| {
        Ok(work.queue.update(work.now, id, change, work.fx)?)
    })?;
    match updated {
        Some(rev) => ctx.reply_integer(rev as i64),
        None => ctx.reply_null(),
    }
    Ok(())
}

// ---- moderators ----

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
    let most = args.len() as i64;
    let numkeys = parser.number("numkeys", 1..=most)? as usize;
    let mut keys = Vec::with_capacity(numkeys);
    for _ in 0..numkeys {
        let at = parser.position();
        let name = parser.word("key")?;
        if keys.iter().all(|k| context::name_bytes(&ctx, *k) != name) {
            keys.push(args.string(at));
        }
    }
    let (claim, block) = claim_options(&mut parser)?;
    let now = context::now();
    // First what they hold, then what is new; the types of all are checked before anything.
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

/// A moderator and the options of CLAIM: the claim, and for how long to wait if at all.
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
        match parser.option(&["COUNT", "LOCK", "BLOCK", "TAGS", "NEW"])? {
            0 => claim.count = count(parser)?,
            1 => claim.lock = Some(lock(parser)?),
            2 => block = Some(parser.unsigned("BLOCK", 0..=MAX_DURATION)?),
            3 => claim.tags = Some(tags(parser)?),
            _ => claim.new_only = true,
        }
    }
    Ok((claim, block))
}

/// Claims from one queue and replies, unless there is nothing. Answers whether there was.
fn claim_from(
    ctx: Context<'_>,
    key: *mut RedisModuleString,
    claim: &Claim<'_>,
    now: Now,
    many: bool,
) -> Result<bool, Refusal> {
    write_to(ctx, key, now, |work| {
        let slots = work.queue.claim(work.now, claim, work.fx);
        if slots.is_empty() {
            return Ok(false);
        }
        if many {
            ctx.reply_array(2);
            ctx.reply_bytes(context::name_bytes(&ctx, key));
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

fn wait_or_null(
    ctx: Context<'_>,
    keys: Vec<*mut RedisModuleString>,
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

fn resolve(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let token = token(&mut parser)?;
    let mut at_rev = None;
    while parser.more() {
        match parser.option(&["REV", "DECISION"])? {
            0 => at_rev = Some(rev(&mut parser)?),
            // The decision is for the audit log.
            _ => drop(parser.bytes("DECISION", 0..=MAX_DECISION)?),
        }
    }
    write(ctx, args, |work| {
        Ok(work.queue.resolve(work.now, id, token, at_rev, work.fx)?)
    })?;
    ctx.reply_ok();
    Ok(())
}

fn release(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let id = item(&mut parser)?;
    let token = token(&mut parser)?;
    let (mut skip, mut after) = (false, 0);
    while parser.more() {
        match parser.option(&["SKIP", "DELAY"])? {
            0 => skip = true,
            _ => after = delay(&mut parser)?,
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
    let ms = parser.unsigned("ms", 1..=MAX_DURATION)?;
    let deadline = write(ctx, args, |work| {
        Ok(work.queue.extend(work.now, id, token, ms, work.fx)?)
    })?;
    ctx.reply_integer(deadline as i64);
    Ok(())
}

// ---- reading ----

fn state_name(state: State) -> &'static str {
    match state {
        State::Ready => "ready",
        State::Delayed => "delayed",
        State::Locked => "locked",
        State::Dead => "dead",
    }
}

fn get(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let id = item(&mut Parser::new(args, 2))?;
    let found = read(ctx, args, |queue, now| {
        let Some(view) = queue.get(id, now) else {
            return false;
        };
        ctx.reply_map(16);
        ctx.field("item").reply_bytes(view.item);
        ctx.field("state")
            .reply_bytes(state_name(view.state).as_bytes());
        ctx.field("payload").reply_bytes(view.payload);
        ctx.field("priority").reply_integer(view.priority.into());
        ctx.field("boost").reply_integer(view.boost);
        ctx.field("submitted").reply_integer(view.submitted as i64);
        ctx.field("due").reply_integer(view.due as i64);
        ctx.field("rev").reply_integer(view.rev.into());
        ctx.field("reports").reply_integer(view.reports.into());
        ctx.field("deliveries")
            .reply_integer(view.deliveries.into());
        ctx.field("expiries").reply_integer(view.expiries.into());
        match view.lock {
            Some((moderator, token, deadline)) => {
                ctx.field("moderator").reply_bytes(moderator);
                ctx.field("token").reply_integer(token as i64);
                ctx.field("deadline").reply_integer(deadline as i64);
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
        true
    })?;
    if found != Some(true) {
        ctx.reply_null();
    }
    Ok(())
}

fn len(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let state = match parser.more() {
        false => None,
        true => Some(
            match parser.option(&["READY", "LOCKED", "DELAYED", "DEAD"])? {
                0 => State::Ready,
                1 => State::Locked,
                2 => State::Delayed,
                _ => State::Dead,
            },
        ),
    };
    parser.end()?;
    let len = read(ctx, args, |queue, _| match state {
        None => queue.len(),
        Some(state) => queue.len_in(state),
    })?;
    ctx.reply_integer(len.unwrap_or(0) as i64);
    Ok(())
}

fn held(ctx: Context<'_>, args: Args<'_>) -> Result<(), Refusal> {
    let mut parser = Parser::new(args, 2);
    let name = moderator(&mut parser)?;
    let mut most = 100;
    while parser.more() {
        parser.option(&["COUNT"])?;
        most = count(&mut parser)?;
    }
    let replied = read(ctx, args, |queue, now| {
        let claims: Vec<ClaimView<'_>> = queue.held_by(name, now).take(most).collect();
        ctx.reply_array(claims.len());
        claims.iter().for_each(|claim| reply_claim(ctx, claim));
    })?;
    if replied.is_none() {
        ctx.reply_array(0);
    }
    Ok(())
}
