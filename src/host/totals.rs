//! Totals over all keys, for INFO: how many values of each type there are, what is in all queues,
//! and what became of it. They are kept as things change, so that asking costs nothing.

use modq_core::queue::Queue;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The types whose values are counted, for [`Counted`] and [`values_of`].
pub const QUEUES: usize = 0;
/// See [`QUEUES`].
pub const LIMITERS: usize = 1;
/// See [`QUEUES`].
pub const LEASE_SETS: usize = 2;

static VALUES: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

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
        for (i, (old, new)) in self.0.iter_mut().zip(values).enumerate() {
            if *old != new {
                // The difference may wrap around below zero; adding it wraps back.
                SUMS[i].fetch_add(new.wrapping_sub(*old), Relaxed);
                *old = new;
            }
        }
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
