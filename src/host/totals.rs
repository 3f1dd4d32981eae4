//! Totals over all keys, for INFO: how many of each type there are, what is in all queues, and what has
//! become of it. Kept as things change, so that asking costs nothing.

use modq_core::queue::Queue;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts a key's value for as long as it lives, wherever it is freed.
pub struct Live<const TYPE: usize>;

/// The types that [`Live`] counts.
pub const QUEUES: usize = 0;
pub const LIMITERS: usize = 1;
pub const LEASE_SETS: usize = 2;

static LIVE: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

impl<const TYPE: usize> Default for Live<TYPE> {
    fn default() -> Self {
        LIVE[TYPE].fetch_add(1, Relaxed);
        Live
    }
}

impl<const TYPE: usize> Drop for Live<TYPE> {
    fn drop(&mut self) {
        LIVE[TYPE].fetch_sub(1, Relaxed);
    }
}

/// How many values of a type there are.
pub fn live(of: usize) -> u64 {
    LIVE[of].load(Relaxed)
}

/// What INFO tells of all queues.
pub const QUEUE_TOTALS: [&std::ffi::CStr; COUNTS] = [
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
const COUNTS: usize = 10;

static IN_QUEUES: [AtomicU64; COUNTS] = [const { AtomicU64::new(0) }; COUNTS];

/// What one queue has added to the totals.
#[derive(Default)]
pub struct Share([u64; COUNTS]);

impl Share {
    /// The queue may have changed.
    #[inline]
    pub fn update(&mut self, queue: &Queue) {
        let (now, stats) = (queue.summary(), queue.stats());
        self.set([
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
    fn set(&mut self, counts: [u64; COUNTS]) {
        for (i, (old, new)) in self.0.iter_mut().zip(counts).enumerate() {
            if *old != new {
                // Wraps around and back: the sum is right.
                IN_QUEUES[i].fetch_add(new.wrapping_sub(*old), Relaxed);
                *old = new;
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set([0; COUNTS]);
    }
}

/// The totals over all queues, as `QUEUE_TOTALS` names them.
pub fn in_queues() -> [u64; COUNTS] {
    std::array::from_fn(|i| IN_QUEUES[i].load(Relaxed))
}

/// Requests that limiters let through, and those they did not, since the server started.
pub static ADMITTED: AtomicU64 = AtomicU64::new(0);
pub static DENIED: AtomicU64 = AtomicU64::new(0);

/// Counts a request to a limiter.
#[inline]
pub fn count_request(allowed: bool) {
    let total = if allowed { &ADMITTED } else { &DENIED };
    total.fetch_add(1, Relaxed);
}
