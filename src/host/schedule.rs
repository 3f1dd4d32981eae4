//! The module's one timer, and the list of keys that next have something to do by the clock.
//!
//! What the list holds are hints. A queue knows itself what is due when, and is asked when its hint
//! comes due; a hint that is too early, or for a key that is gone, costs one look and is forgotten.
//! But a hint must not be too late: whoever gives a queue something to do earlier than before says
//! so ([`due_at`]).
//!
//! A tick: the timer fires; the keys that are due are worked on, in turns, within a budget of steps
//! and time; the timer is set to the next hint; names that blocked clients wait for are looked at.

use crate::host::clock::now;
use crate::host::{queues, settings, waiting};
use crate::server::context::{Context, must_not_replicate};
use crate::server::key::Name;
use crate::server::timer::{self, Tick, Timer};
use modq_core::queue::{Due, Now};
use modq_core::units::{Millis, Time};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// While a pause or a failover forbids to replicate, look again after this: no event tells when it ends.
const PAUSED_RETRY: Millis = Millis(5);

/// Steps done on one key before the next has its turn, and before the clock is looked at.
const STEPS_PER_TURN: usize = 64;

/// A tick ends after this long even if its budget is not used up: clients wait meanwhile.
const LONGEST_TICK: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Schedule {
    /// Due time, database, key name.
    hints: BTreeSet<(Time, i32, Box<[u8]>)>,
    /// The due time of each key in `hints`.
    due_of: HashMap<(i32, Box<[u8]>), Time>,
    /// The running timer and when it fires.
    timer: Option<(Timer, Time)>,
    /// By how much the last tick was late, and the most ever.
    last_lag: Millis,
    max_lag: Millis,
}

static SCHEDULE: Mutex<Option<Schedule>> = Mutex::new(None);

/// Runs `body` on the schedule. The server must not be called from inside: it may call back.
fn with<R>(body: impl FnOnce(&mut Schedule) -> R) -> R {
    let mut guard: MutexGuard<'_, _> = SCHEDULE.lock().unwrap_or_else(PoisonError::into_inner);
    body(guard.get_or_insert_with(Schedule::default))
}

impl Schedule {
    /// Puts the hint for a key at `due`, in place of the one it has.
    fn set(&mut self, db: i32, key: &[u8], due: Time) {
        if let Some(old) = self.due_of.insert((db, key.into()), due) {
            self.hints.remove(&(old, db, key.into()));
        }
        self.hints.insert((due, db, key.into()));
    }

    /// Takes the first hint out if it is due by `now`.
    fn pop_due(&mut self, now: Time) -> Option<(i32, Box<[u8]>)> {
        if self.hints.first().is_none_or(|(due, ..)| *due > now) {
            return None;
        }
        let (_, db, key) = self.hints.pop_first()?;
        self.due_of.remove(&(db, key.clone()));
        Some((db, key))
    }

    /// The time of the first hint.
    fn first(&self) -> Option<Time> {
        self.hints.first().map(|(due, ..)| *due)
    }
}

/// The key of database `db` has something to do. A hint that is earlier stays.
pub fn due_at(ctx: Context<'_>, db: i32, key: &[u8], due: Due) {
    let due = match due {
        Due::Now => now().time,
        Due::At(time) => time,
    };
    let first = with(|s| {
        let known = s.due_of.get(&(db, Box::from(key))).copied();
        if known.is_none_or(|known| due < known) {
            s.set(db, key, due);
        }
        s.first()
    });
    if let Some(first) = first {
        fire_by(ctx, first);
    }
}

/// Makes sure that the timer fires at `due` or before.
fn fire_by(ctx: Context<'_>, due: Time) {
    let running = with(|s| s.timer);
    if let Some((timer, fires)) = running {
        if fires <= due {
            return;
        }
        // It has not fired yet: when it fires, `tick` takes it out first.
        timer::stop(ctx, timer);
    }
    let started = timer::start::<QueueTimer>(ctx, due.since(now().time).0);
    with(|s| s.timer = Some((started, due)));
}

/// Makes sure that the timer fires for the first hint: after a tick, after loading, and on
/// promotion.
pub fn start(ctx: Context<'_>) {
    if let Some(first) = with(|s| s.first()) {
        fire_by(ctx, first);
    }
}

/// Makes sure that a tick comes within `ms`, whatever is due.
pub fn tick_within(ctx: Context<'_>, ms: u64) {
    fire_by(ctx, now().time + Millis(ms));
}

/// The databases changed places, and the keys with them.
pub fn databases_swapped(first: i32, second: i32) {
    let swapped = |db: i32| match db {
        db if db == first => second,
        db if db == second => first,
        db => db,
    };
    with(|s| {
        let hints = std::mem::take(&mut s.hints);
        s.due_of.clear();
        for (due, db, key) in hints {
            s.set(swapped(db), &key, due);
        }
    });
}

/// How the timer does, for INFO.
pub struct TimerStatus {
    /// By how much the last tick came late.
    pub last_lag: Millis,
    /// By how much a tick came late at most, since the server started.
    pub max_lag: Millis,
    /// How many keys have something to do by the clock.
    pub keys: usize,
}

/// How the timer does.
pub fn status() -> TimerStatus {
    with(|s| TimerStatus {
        last_lag: s.last_lag,
        max_lag: s.max_lag,
        keys: s.hints.len(),
    })
}

/// Does what is due by `start`, key by key in turns, as far as budget and time allow. What is left
/// over is due again in the next millisecond.
fn work_off(ctx: Context<'_>, start: Now) {
    let mut budget = settings::WORK_BUDGET.get() as usize;
    let begun = Instant::now();
    // Keys that had a turn and are not done.
    let mut turns = VecDeque::new();
    while budget > 0 && begun.elapsed() < LONGEST_TICK {
        let next_turn = with(|s| s.pop_due(start.time)).or_else(|| turns.pop_front());
        let Some((db, key)) = next_turn else {
            return;
        };
        if !ctx.select_db(db) {
            continue;
        }
        let name = Name::new(&key);
        let done = queues::advance(ctx, name.get(), start, budget.min(STEPS_PER_TURN));
        budget = budget.saturating_sub(done.steps.max(1));
        match done.next {
            Some(Due::At(next)) if next > start.time => with(|s| s.set(db, &key, next)),
            Some(_) => turns.push_back((db, key)),
            None => {}
        }
    }
    for (db, key) in turns {
        with(|s| s.set(db, &key, start.time + Millis(1)));
    }
}

/// The one timer of all queues.
struct QueueTimer;

impl Tick for QueueTimer {
    fn tick(ctx: Context<'_>) {
        let fired = with(|s| s.timer.take());
        if !ctx.flags().is_active_primary() {
            // A replica never lets time act. On promotion the timer is started again.
            return;
        }
        let start_time = now();
        if must_not_replicate() {
            fire_by(ctx, start_time.time + PAUSED_RETRY);
            return;
        }
        if let Some((_, due)) = fired {
            with(|s| {
                s.last_lag = start_time.time.since(due);
                s.max_lag = s.max_lag.max(s.last_lag);
            });
        }
        work_off(ctx, start_time);
        start(ctx);
        waiting::scan(ctx);
    }
}
