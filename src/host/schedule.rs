//! The module's one timer, and what it is set by: the hints of the values on which time acts
//! ([`Timed`], [`Hints`]).
//!
//! A value knows itself what is due when, and is asked when its hint comes due; a hint that is too
//! early costs one look. But a hint must not be too late: when a value has something to do earlier
//! than its hint says, the hint is set anew (`QueueKey::changed`, `BoardKey::changed`).
//!
//! When the clock was set back, and when it may be another's (after loading, on promotion), every key
//! that has a hint is visited, some at a time: what it has was set by a clock that may have been ahead.
//!
//! A tick: the timer fires; the keys that are due are worked on, in turns, within a budget of steps
//! and time; the timer is set to the next hint; names that blocked clients wait for are looked at.

use crate::host::clock::{is_set_back, now, was_set_back};
use crate::host::hints::{Entry, Hint, Hints};
use crate::host::peak::Peak;
use crate::host::{settings, waiting};
use crate::server::args::ServerStr;
use crate::server::context::{Context, must_not_replicate};
use crate::server::key::Name;
use crate::server::timer::{self, Tick, Timer};
use crate::server::types::Stored;
use modq_core::queue::Now;
use modq_core::units::{Millis, Time};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// While a pause or a failover forbids to replicate, look again after this: no event tells when it ends.
const PAUSED_RETRY: Millis = Millis(5);

/// The timer never sleeps for longer. The server's timers sleep by the time that passes: a clock that is set ahead wakes
/// none of them, and what comes due by that would wait for as long as it would have before.
const LONGEST_SLEEP: Millis = Millis(1000);
/// While a key's slot is another node's, look at the key again after this.
pub const SLOT_RETRY: Millis = Millis(50);

/// Steps done on one key before the next has its turn, and before the clock is looked at.
const STEPS_PER_TURN: usize = 64;

/// A tick ends after this long even if its budget is not used up: clients wait meanwhile.
const LONGEST_TICK: Duration = Duration::from_millis(1);

/// How many hints of values that are gone are taken out at the end of a turn of the event loop.
const GONE_PER_TURN: usize = 1000;

/// A value on which time acts.
pub trait Timed: Stored {
    /// Lets time act on the value at a key, at most `budget` steps.
    fn advance(ctx: Context<'_>, name: ServerStr<'_>, now: Now, budget: usize) -> Advanced;
}

/// What a tick did on one key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Advanced {
    /// How many steps.
    pub steps: usize,
    /// Whether there is more to do by now.
    pub more: bool,
}

/// What is done with a key whose time has come: the `advance` of its type.
type Work = fn(Context<'_>, ServerStr<'_>, Now, usize) -> Advanced;

#[derive(Default)]
struct Schedule {
    hints: Hints<Work>,
    /// The running timer and when it fires.
    timer: Option<(Timer, Time)>,
    /// While all keys are visited: the hint of the last one that was.
    visiting: Option<Entry>,
    /// By how much the last tick was late, and the most of late.
    last_lag: Millis,
    max_lag: Peak,
}

static SCHEDULE: Mutex<Option<Schedule>> = Mutex::new(None);

/// Runs `body` on the schedule. The server must not be called from inside: it may call back.
fn with<R>(body: impl FnOnce(&mut Schedule) -> R) -> R {
    let mut guard: MutexGuard<'_, _> = SCHEDULE.lock().unwrap_or_else(PoisonError::into_inner);
    body(guard.get_or_insert_with(Schedule::default))
}

/// The value that holds `hint`, at this name, has something to do at `due`, whatever was known
/// before.
pub fn set<T: Timed>(ctx: Context<'_>, hint: &mut Option<Hint>, db: i32, key: &[u8], due: Time) {
    with(|s| s.hints.set(hint, db, key, T::advance, due));
    start(ctx);
}

/// Makes sure that the timer fires at `due` or before; if that is past, at once; if it is far, to look at the clock again.
fn fire_by(ctx: Context<'_>, due: Time) {
    let now = now().time;
    // How late a tick is counts from when it could come.
    let due = due.max(now).min(now + LONGEST_SLEEP);
    // The server reads the clock once, and then fires all timers that are due by that. One that a tick starts after
    // the clock was set back would be due at once, again and again, for as long as the step was. The end of
    // this turn starts the timer.
    if TICKING.load(Relaxed) && is_set_back() {
        return;
    }
    let running = with(|s| s.timer);
    if let Some((timer, fires)) = running {
        if fires <= due {
            return;
        }
        // It has not fired yet: when it fires, `tick` takes it out first.
        timer::stop(ctx, timer);
    }
    let started = timer::start::<KeyTimer>(ctx, due.since(now).0);
    with(|s| s.timer = Some((started, due)));
}

/// Makes sure that the timer fires for the first hint: after a tick, after loading, and on
/// promotion.
pub fn start(ctx: Context<'_>) {
    if let Some(first) = with(|s| s.hints.first()) {
        fire_by(ctx, first);
    }
}

/// Has every key that has a hint looked at, because the clock may say less than when they were: what
/// they have may be due earlier than their hints say.
pub fn visit_all(ctx: Context<'_>) {
    with(|s| s.visiting = Some((Time::EPOCH, 0)));
    // The server's timers go by the same clock.
    if let Some((timer, _)) = with(|s| s.timer.take()) {
        timer::stop(ctx, timer);
    }
    start(ctx);
    tick_within(ctx, 1);
}

/// Makes sure that a tick comes within `ms`, whatever is due.
pub fn tick_within(ctx: Context<'_>, ms: u64) {
    fire_by(ctx, now().time + Millis(ms));
}

/// The databases changed places, and the keys with them.
pub fn databases_swapped(first: i32, second: i32) {
    with(|s| s.hints.swap_databases(first, second));
}

/// At the end of a turn of the event loop: sees whether the clock was set back, and forgets hints of
/// values that are gone.
pub fn turn_ends(ctx: Context<'_>) {
    if was_set_back() {
        visit_all(ctx);
    }
    if with(|s| s.hints.forget_gone(GONE_PER_TURN)) {
        tick_within(ctx, 1);
    }
}

/// How the timer does, for INFO.
pub struct TimerStatus {
    /// By how much the last tick came late.
    pub last_lag: Millis,
    /// By how much a tick came late at most of late (see [`Peak`]).
    pub max_lag: Millis,
    /// How many keys have something to do by the clock.
    pub keys: usize,
}

/// How the timer does.
pub fn status() -> TimerStatus {
    let now = now().time;
    with(|s| TimerStatus {
        last_lag: s.last_lag,
        max_lag: Millis(s.max_lag.get(now)),
        keys: s.hints.count(),
    })
}

/// Does what is due by `start`, key by key in turns, as far as budget and time allow. What is left
/// over is due again in the next millisecond: so its hint says.
fn work_off(ctx: Context<'_>, start: Now) {
    let mut budget = settings::WORK_BUDGET.get() as usize;
    let begun = Instant::now();
    // Keys that had a turn and are not done.
    let mut turns = VecDeque::new();
    while budget > 0 && begun.elapsed() < LONGEST_TICK {
        let next_turn = with(|s| s.hints.pop_due(start.time)).or_else(|| turns.pop_front());
        let Some((db, key, work)) = next_turn else {
            return;
        };
        if !ctx.select_db(db) {
            continue;
        }
        let name = Name::new(&key);
        let done = work(ctx, name.get(), start, budget.min(STEPS_PER_TURN));
        budget = budget.saturating_sub(done.steps.max(1));
        if done.more {
            turns.push_back((db, key, work));
        }
    }
}

/// Visits keys after [`visit_all`], for as long as a tick may take; the others have their turn in the
/// next.
fn visit(ctx: Context<'_>, start: Now) {
    let begun = Instant::now();
    while let Some(last) = with(|s| s.visiting) {
        if begun.elapsed() >= LONGEST_TICK {
            return tick_within(ctx, 1);
        }
        let next = with(|s| s.hints.next_after(last));
        with(|s| s.visiting = next.as_ref().map(|(entry, _)| *entry));
        if let Some((_, (db, key, work))) = next {
            if ctx.select_db(db) {
                work(ctx, Name::new(&key).get(), start, STEPS_PER_TURN);
            }
        }
    }
}

/// Whether a tick is under way.
static TICKING: AtomicBool = AtomicBool::new(false);

/// The one timer of all keys.
struct KeyTimer;

impl Tick for KeyTimer {
    fn tick(ctx: Context<'_>) {
        /// Ends with the tick, also with one that panics.
        struct Ticking;
        impl Drop for Ticking {
            fn drop(&mut self) {
                TICKING.store(false, Relaxed);
            }
        }
        TICKING.store(true, Relaxed);
        let _ticking = Ticking;
        let fired = with(|s| s.timer.take());
        if !ctx.flags().is_active_primary() {
            // A replica never lets time act. On promotion the timer is started again.
            return;
        }
        let start_time = now();
        // Nothing is replicated by that, so that a pause does not hold it up.
        waiting::end_overdue(ctx);
        if must_not_replicate() {
            fire_by(ctx, start_time.time + PAUSED_RETRY);
            return;
        }
        if let Some((_, due)) = fired {
            with(|s| {
                s.last_lag = start_time.time.since(due);
                s.max_lag.note(s.last_lag.0, start_time.time);
            });
        }
        work_off(ctx, start_time);
        visit(ctx, start_time);
        start(ctx);
        waiting::scan(ctx);
    }
}
