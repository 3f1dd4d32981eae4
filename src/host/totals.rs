//! Totals over all keys, for INFO: how many values of each type there are, what is in all queues,
//! and what became of it. They are kept as things change, so that asking costs nothing.

use modq_core::board::Board;
use modq_core::queue::Queue;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The types whose values are counted, for [`Counted`] and [`values_of`].
pub const QUEUES: usize = 0;
/// See [`QUEUES`].
pub const LIMITERS: usize = 1;
/// See [`QUEUES`].
pub const LEASE_SETS: usize = 2;

/// See [`QUEUES`].
pub const BOARDS: usize = 3;

static VALUES: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// A field of a key's value: that value is counted as one of its type for as long as it lives,
/// wherever it is freed.
pub struct Counted<const TYPE: usize>;

impl<const TYPE: usize> Default for Counted<TYPE> {
    fn default() -> Self {
        VALUES[TYPE].fetch_add(1, Relaxed);
        Counted
    }
}

impl<const TYPE: usize> Drop for Counted<TYPE> {
    fn drop(&mut self) {
        VALUES[TYPE].fetch_sub(1, Relaxed);
    }
}

/// How many values of a type there are.
pub fn values_of(of: usize) -> u64 {
    VALUES[of].load(Relaxed)
}

/// What is summed up over all queues, by the names INFO has for it.
const QUEUE_FIELDS: [&CStr; FIELDS] = [
    c"items_ready",
    c"items_locked",
    c"items_delayed",
    c"items_dead",
    c"submitted",
    c"resolved",
    c"cancelled",
    c"released",
    c"expired",
    c"died",
];
const FIELDS: usize = 10;

static SUMS: [AtomicU64; FIELDS] = [const { AtomicU64::new(0) }; FIELDS];

/// What one queue has added to the sums over all queues. Taken off again when it is dropped.
#[derive(Default)]
pub struct Contribution([u64; FIELDS]);

impl Contribution {
    /// Brings the sums up to date after a change of the queue.
    #[inline]
    pub fn update(&mut self, queue: &Queue) {
        let (now, stats) = (queue.summary(), queue.stats());
        // In the order of `QUEUE_FIELDS`.
        self.replace([
            now.ready as u64,
            now.locked as u64,
            now.delayed as u64,
            now.dead as u64,
            stats.submitted,
            stats.resolved,
            stats.cancelled,
            stats.released,
            stats.expired,
            stats.died,
        ]);
    }

    #[inline]
    fn replace(&mut self, values: [u64; FIELDS]) {
        replace_in(&SUMS, &mut self.0, values);
    }
}

impl Drop for Contribution {
    fn drop(&mut self) {
        self.replace([0; FIELDS]);
    }
}

/// The sums over all queues with their names, for INFO.
pub fn over_all_queues() -> [(&'static CStr, u64); FIELDS] {
    std::array::from_fn(|i| (QUEUE_FIELDS[i], SUMS[i].load(Relaxed)))
}

/// The members of all boards, and the ids that they store.
static BOARD_SUMS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// The members of all boards, and the ids that they store.
pub fn over_all_boards() -> [u64; 2] {
    BOARD_SUMS.each_ref().map(|sum| sum.load(Relaxed))
}

/// What one board has added to the sums over all boards. Taken off again when it is dropped.
#[derive(Default)]
pub struct BoardShare([u64; 2]);

impl BoardShare {
    /// Brings the sums up to date after a change of the board.
    #[inline]
    pub fn update(&mut self, board: &Board) {
        self.replace([board.len() as u64, board.ids() as u64]);
    }

    #[inline]
    fn replace(&mut self, values: [u64; 2]) {
        replace_in(&BOARD_SUMS, &mut self.0, values);
    }
}

impl Drop for BoardShare {
    fn drop(&mut self) {
        self.replace([0; 2]);
    }
}

/// Puts `values` in the place of what somebody has added to `sums`.
#[inline]
fn replace_in<const N: usize>(sums: &[AtomicU64; N], added: &mut [u64; N], values: [u64; N]) {
    for (sum, (old, new)) in sums.iter().zip(added.iter_mut().zip(values)) {
        if *old != new {
            // The difference may wrap around below zero; adding it wraps back.
            sum.fetch_add(new.wrapping_sub(*old), Relaxed);
            *old = new;
        }
    }
}

/// Requests that limiters let through since the server started.
pub static ADMITTED: AtomicU64 = AtomicU64::new(0);
/// Requests that limiters denied since the server started.
pub static DENIED: AtomicU64 = AtomicU64::new(0);

/// Counts a request to a limiter.
#[inline]
pub fn count_request(allowed: bool) {
    let total = if allowed { &ADMITTED } else { &DENIED };
    total.fetch_add(1, Relaxed);
}
