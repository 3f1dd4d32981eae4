//! One timer for all queues: which key next has something to do by the clock. What is kept here
//! are hints; the queue itself knows, and is asked when a hint comes due.

use super::queues;
use crate::server::config;
use crate::server::context::{Context, must_not_replicate, now};
use crate::server::key::Name;
use crate::server::timer::{self, Tick, Timer};
use modq_core::queue::Now;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// While a pause or a failover forbids to replicate, look again after this many ms: no event tells
/// when it ends.
const PAUSED_RETRY_MS: u64 = 5;

#[derive(Default)]
struct Schedule {
    /// Due time (Unix ms), database, key name.
    hints: BTreeSet<(u64, i32, Box<[u8]>)>,
    due_of: HashMap<(i32, Box<[u8]>), u64>,
    /// The running timer and when it fires, Unix ms.
    timer: Option<(Timer, u64)>,
    /// By how much the last tick was late, and the most ever, ms.
    lag: u64,
    max_lag: u64,
}

static SCHEDULE: Mutex<Option<Schedule>> = Mutex::new(None);

/// Runs `body` on the schedule. The server must not be called from inside: it may call back.
fn with<R>(body: impl FnOnce(&mut Schedule) -> R) -> R {
    let mut guard: MutexGuard<'_, _> = SCHEDULE.lock().unwrap_or_else(PoisonError::into_inner);
    body(guard.get_or_insert_with(Schedule::default))
}

impl Schedule {
    fn set(&mut self, db: i32, key: &[u8], due: u64) {
        if let Some(old) = self.due_of.insert((db, key.into()), due) {
            self.hints.remove(&(old, db, key.into()));
        }
        self.hints.insert((due, db, key.into()));
    }

    fn pop_due(&mut self, now: u64) -> Option<(i32, Box<[u8]>)> {
        if self.hints.first().is_none_or(|(due, ..)| *due > now) {
            return None;
        }
        let (_, db, key) = self.hints.pop_first()?;
        self.due_of.remove(&(db, key.clone()));
        Some((db, key))
    }
}

/// The key of database `db` has something to do at `due` (Unix ms), not earlier than known so far.
pub fn note(ctx: Context<'_>, db: i32, key: &[u8], due: u64) {
    let first = with(|s| {
        let known = s.due_of.get(&(db, Box::from(key))).copied();
        if known.is_none_or(|known| due < known) {
            s.set(db, key, due);
        }
        s.hints.first().map(|(due, ..)| *due)
    });
    if let Some(first) = first {
        arm(ctx, first);
    }
}

/// Makes sure that a timer fires at `due` (Unix ms) or before.
fn arm(ctx: Context<'_>, due: u64) {
    let running = with(|s| s.timer);
    if let Some((id, fires)) = running {
        if fires <= due {
            return;
        }
        // It has not fired: a timer that fires is forgotten first.
        timer::stop(ctx, id);
    }
    let started = timer::start::<Clock>(ctx, due.saturating_sub(now().ms));
    with(|s| s.timer = Some((started, due)));
}

/// Starts the timer for the first hint; after loading and on promotion.
pub fn wake(ctx: Context<'_>) {
    if let Some(first) = with(|s| s.hints.first().map(|(due, ..)| *due)) {
        arm(ctx, first);
    }
}

/// Makes sure that a tick comes within `ms`.
pub fn wake_in(ctx: Context<'_>, ms: u64) {
    arm(ctx, now().ms + ms);
}

/// The databases changed places.
pub fn swap(first: i32, second: i32) {
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

/// How punctual the timer is.
pub struct Lag {
    /// By how many ms the last tick came late, and the most ever.
    pub last: u64,
    pub most: u64,
    /// How many keys have something to do by the clock.
    pub keys: usize,
}

/// How punctual the timer is.
pub fn lag() -> Lag {
    with(|s| Lag {
        last: s.lag,
        most: s.max_lag,
        keys: s.hints.len(),
    })
}

/// Steps done on one key before the next has its turn, and before the clock is looked at.
const SLICE: usize = 64;
/// A tick ends after this long even if its budget is not used up: clients wait meanwhile.
const TICK: Duration = Duration::from_millis(1);

/// Does what is due by `start`, key by key in turns, as far as budget and time allow.
fn run(ctx: Context<'_>, start: Now) {
    let mut budget = config::WORK_BUDGET.get() as usize;
    let begun = Instant::now();
    let mut turns = VecDeque::new();
    while budget > 0 && begun.elapsed() < TICK {
        let next_turn = with(|s| s.pop_due(start.ms)).or_else(|| turns.pop_front());
        let Some((db, key)) = next_turn else {
            return;
        };
        if !ctx.select_db(db) {
            continue;
        }
        let name = Name::new(&key);
        let (steps, next) = queues::advance(ctx, name.get(), start, budget.min(SLICE));
        budget = budget.saturating_sub(steps.max(1));
        match next {
            Some(next) if next <= start.ms => turns.push_back((db, key)),
            Some(next) => with(|s| s.set(db, &key, next)),
            None => {}
        }
    }
    for (db, key) in turns {
        with(|s| s.set(db, &key, start.ms + 1));
    }
}

/// The one timer of all queues.
struct Clock;

impl Tick for Clock {
    fn tick(ctx: Context<'_>) {
        let fired = with(|s| s.timer.take());
        if !ctx.flags().is_active_primary() {
            // A replica never lets time act; promotion calls `wake`.
            return;
        }
        let start = now();
        if must_not_replicate() {
            arm(ctx, start.ms + PAUSED_RETRY_MS);
            return;
        }
        if let Some((_, due)) = fired {
            with(|s| {
                s.lag = start.ms.saturating_sub(due);
                s.max_lag = s.max_lag.max(s.lag);
            });
        }
        run(ctx, start);
        wake(ctx);
        super::waiting::patrol(ctx);
    }
}
