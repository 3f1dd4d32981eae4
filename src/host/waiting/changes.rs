//! Changes at the names that clients wait for: those that an event announces, and those that none
//! does.

use super::register::{KeyName, clients, inspect, with};
use super::tell::{DATABASE_SWAPS, knows_all};
use crate::host::queues;
use crate::host::{schedule, settings};
use crate::server::blocking::Blocked;
use crate::server::context::Context;
use crate::server::key::Name;
use modq_core::queue::Now;
use std::ops::Bound;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How long after a scan the next is made while anybody waits, ms.
pub(super) const SCAN_EVERY_MS: u64 = 20;

/// How many names one scan looks at.
const NAMES_PER_SCAN: usize = 100;

/// How many calls for one name a scan ends, if that name holds another type.
const ENDED_PER_NAME: usize = 500;

/// How long names are visited at a time after databases changed places: clients wait meanwhile.
const LONGEST_VISITS: Duration = Duration::from_millis(1);

/// A queue came to this name, or something else did: it is visited when the turn ends.
pub fn name_changed(db: i32, key: &[u8]) {
    if clients() > 0 {
        with(|register| register.to_visit.insert((db, key.into())));
    }
}

/// Two databases changed places: everything at the names waited for may have changed. They are
/// visited from the next end of a turn on, some at a time.
pub fn databases_swapped() {
    DATABASE_SWAPS.fetch_add(1, Relaxed);
    if clients() > 0 {
        with(|register| register.to_visit_from = Some(Bound::Unbounded));
    }
}

/// Lets the queues at changed names do what is due: they are told who waits, and match.
pub(super) fn visit_changed_names(ctx: Context<'_>, now: Now) {
    for name in with(|register| std::mem::take(&mut register.to_visit)) {
        visit(ctx, &name, now);
    }
    visit_after_swap(ctx, now);
}

fn visit(ctx: Context<'_>, (db, key): &KeyName, now: Now) {
    if ctx.select_db(*db) {
        let budget = settings::WORK_BUDGET.get() as usize;
        queues::advance(ctx, Name::new(key).get(), now, budget);
    }
}

/// Visits the queues at all names waited for that do not know who waits, after databases changed
/// places. What is left after a ms is left for the next turn, which comes a ms later.
fn visit_after_swap(ctx: Context<'_>, now: Now) {
    let Some(mut from) = with(|register| register.to_visit_from.take()) else {
        return;
    };
    let begun = Instant::now();
    while begun.elapsed() < LONGEST_VISITS {
        let next = with(|register| {
            let bounds = (from.as_ref(), Bound::Unbounded);
            let mut rest = register.by_name.range::<KeyName, _>(bounds);
            rest.next().map(|(name, _)| name.clone())
        });
        let Some(name) = next else {
            return;
        };
        let to_visit = inspect(ctx, name.0, &name.1, |found| {
            let stored = found.ok().flatten();
            stored.is_some_and(|stored| !knows_all(stored, name.0, &name.1))
        });
        if to_visit {
            visit(ctx, &name, now);
        }
        from = Bound::Excluded(name);
    }
    with(|register| register.to_visit_from = Some(from));
    schedule::tick_within(ctx, 1);
}

/// From the timer, while anybody waits: looks at some of the names waited for, going on behind the
/// last name it looked at, for changes that no event announced. A queue that does not know who
/// waits is visited. Where a name holds another type now, the calls for it end with WRONGTYPE.
pub fn scan(ctx: Context<'_>) {
    if clients() == 0 {
        return;
    }
    for name in next_names() {
        let (other_type, to_visit) = inspect(ctx, name.0, &name.1, |found| match found {
            Err(_) => (true, false),
            Ok(None) => (false, false),
            Ok(Some(stored)) => (false, !knows_all(stored, name.0, &name.1)),
        });
        if other_type {
            let waiting: Vec<Blocked> = with(|register| {
                let calls = register.unmatched_at(&name).take(ENDED_PER_NAME);
                calls.map(|call| call.client).collect()
            });
            waiting.into_iter().for_each(Blocked::wake);
        }
        if to_visit {
            with(|register| register.to_visit.insert(name));
        }
    }
    super::turn_ends(ctx);
    schedule::tick_within(ctx, until_next_end().min(SCAN_EVERY_MS));
}

/// How long it takes until the next call's time is up, ms, rounded up.
fn until_next_end() -> u64 {
    let end = with(|register| register.next_end());
    let left = end.map(|end| end.saturating_duration_since(Instant::now()));
    left.map_or(u64::MAX, |left| left.as_micros().div_ceil(1000) as u64)
}

/// The names that a scan looks at: those behind the last one looked at, and from the first again
/// after the end was reached.
fn next_names() -> Vec<KeyName> {
    with(|register| {
        let last = register.last_scanned.take();
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = register.by_name.range((from, Bound::Unbounded));
        let names = rest.take(NAMES_PER_SCAN).map(|(name, _)| name.clone());
        let names: Vec<KeyName> = names.collect();
        if names.len() == NAMES_PER_SCAN {
            register.last_scanned = names.last().cloned();
        }
        names
    })
}
