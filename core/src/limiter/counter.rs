//! COUNTER: a sliding window of buckets of w = ceil(W / 60) ms. Bucket = floor(t / w); with
//! o = floor((now - W) / w), used = the sum of buckets younger than o, plus
//! floor(n_o * ((o + 1) * w - (now - W)) / w); admitted iff used + c <= L.
//! Source: the contract, `ratelimit.md` (Cloudflare's two-counter idea with 60 buckets).

use super::limits::MAX_VALUE;
use crate::memory::alloc_size;
use crate::units::{Millis, Time};

/// Buckets a window can touch: 60, plus the partial ones at both ends.
const MAX_SPAN: u64 = 61;

/// What was charged in a 60th of a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// Its number: the ms since the epoch, divided by the width of a bucket.
    pub(super) index: u64,
    /// Units, at least one.
    pub(super) units: u64,
}

/// Buckets in rising order of their index.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    /// Units in all buckets.
    total: u64,
    buckets: Vec<Bucket>,
}

/// How many ms a bucket of this window is wide.
fn width(window: Millis) -> u64 {
    window.0.div_ceil(60)
}

/// The bucket of a charge at `now`.
fn index_at(window: Millis, now: Time) -> u64 {
    now.0 / width(window)
}

/// The old end of a window, which lies in a bucket that has partly expired.
struct Edge {
    /// The index of that bucket.
    o: u64,
    /// How many of its ms are still inside the window.
    inside: u64,
    /// How many ms a bucket is wide.
    w: u64,
}

impl Edge {
    /// `None` while the window reaches back before time 0: then nothing has expired.
    #[inline]
    fn new(window: Millis, now: Time) -> Option<Edge> {
        let old = now.checked_sub(window)?.0;
        let w = width(window);
        let o = old / w;
        Some(Edge {
            o,
            inside: (o + 1) * w - old,
            w,
        })
    }

    /// What a bucket of `n` units counts for there.
    fn share(&self, n: u64) -> u64 {
        mul_div(n, self.inside, self.w)
    }
}

/// floor(a * b / c), for results that fit.
#[inline]
fn mul_div(a: u64, b: u64, c: u64) -> u64 {
    match a.checked_mul(b) {
        Some(product) => product / c,
        None => (u128::from(a) * u128::from(b) / u128::from(c)) as u64,
    }
}

/// The most units a bucket may hold for floor(units * inside / w) to be at most `share`,
/// or, the same by symmetry, the most ms inside for a bucket of that many units.
fn most(share: u64, w: u64, by: u64) -> u64 {
    let bound = (u128::from(share) + 1) * u128::from(w) - 1;
    u64::try_from(bound / u128::from(by)).unwrap_or(u64::MAX)
}

impl Counter {
    pub(super) const EMPTY: Counter = Counter {
        total: 0,
        buckets: Vec::new(),
    };

    pub(super) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// For loading: adds a bucket younger than all others. False if it does not fit.
    #[must_use]
    pub(super) fn load(&mut self, window: Millis, bucket: Bucket) -> bool {
        let Bucket { index, units } = bucket;
        let after = self.buckets.last().is_none_or(|last| last.index < index);
        let oldest = self.buckets.first().map_or(index, |first| first.index);
        let total = self.total.saturating_add(units);
        // Twice, because the partly expired bucket counts for less than it holds.
        let fits = after
            && index <= MAX_VALUE / width(window)
            && index - oldest <= MAX_SPAN
            && (1..=MAX_VALUE).contains(&units)
            && total <= 2 * MAX_VALUE;
        if fits {
            self.buckets.push(bucket);
            self.total = total;
        }
        fits
    }

    /// Units in all buckets.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The earliest time at which the newest charge may have been made.
    #[inline]
    pub(super) fn newest(&self, window: Millis) -> Time {
        self.buckets.last().map_or(Time::EPOCH, |last| {
            Time(last.index.saturating_mul(width(window)))
        })
    }

    /// Units used at `now`; buckets from the future count in full, as now's.
    #[inline]
    pub(super) fn used(&self, window: Millis, now: Time) -> u64 {
        let mut used = self.total;
        if used > 0 {
            if let Some(edge) = Edge::new(window, now) {
                for bucket in &self.buckets {
                    if bucket.index < edge.o {
                        used -= bucket.units;
                    } else {
                        if bucket.index == edge.o {
                            used -= bucket.units - edge.share(bucket.units);
                        }
                        break;
                    }
                }
            }
        }
        used
    }

    /// When a bucket with `younger` units after it counts for so little that at most `target`
    /// (>= `younger`) are used.
    #[inline]
    fn time_of(window: Millis, bucket: Bucket, younger: u64, target: u64) -> Time {
        let w = width(window);
        let left_inside = most(target - younger, w, bucket.units).min(w);
        Time((bucket.index + 1) * w + window.0 - left_inside)
    }

    /// When the last unit is gone.
    pub(super) fn end(&self, window: Millis) -> Time {
        self.buckets
            .last()
            .map_or(Time::EPOCH, |last| Self::time_of(window, *last, 0, 0))
    }

    /// How long it takes until at most `target` units are used, if `added` more are charged now.
    pub(super) fn wait(&self, window: Millis, now: Time, added: u64, target: u64) -> Millis {
        let current = index_at(window, now);
        // From the newest back: the first bucket with which it is too much has to expire in part.
        let mut younger = 0;
        let mut expiring = Bucket {
            index: current,
            units: added,
        };
        for bucket in self.buckets.iter().rev() {
            if bucket.index >= current {
                expiring.units += bucket.units;
                continue;
            }
            if younger + expiring.units > target {
                break;
            }
            younger += expiring.units;
            expiring = *bucket;
        }
        if younger + expiring.units <= target {
            return Millis::ZERO;
        }
        Self::time_of(window, expiring, younger, target).since(now)
    }

    /// Moves buckets from the future into now's and drops what no longer counts.
    pub(super) fn settle(&mut self, window: Millis, now: Time) {
        if self.newest(window) > now {
            let current = index_at(window, now);
            let future = self.buckets.partition_point(|b| b.index <= current);
            let units = self.buckets.drain(future..).map(|b| b.units).sum();
            self.add(current, units);
        }
        let Some(edge) = Edge::new(window, now) else {
            return;
        };
        let gone = |bucket: &&Bucket| {
            bucket.index < edge.o || (bucket.index == edge.o && edge.share(bucket.units) == 0)
        };
        let dead = self.buckets.iter().take_while(gone).count();
        if dead > 0 {
            self.total -= self.buckets.drain(..dead).map(|b| b.units).sum::<u64>();
        }
    }

    /// Adds units to the newest bucket, or one after it, but not to the total.
    fn add(&mut self, index: u64, units: u64) {
        match self.buckets.last_mut() {
            Some(last) if last.index == index => last.units += units,
            _ => self.buckets.push(Bucket { index, units }),
        }
    }

    /// Whether a charge at `now` may need to allocate.
    pub(super) fn grows(&self, window: Millis, now: Time) -> bool {
        self.buckets.len() == self.buckets.capacity()
            && self
                .buckets
                .last()
                .is_none_or(|last| last.index < index_at(window, now))
    }

    /// Charges a settled counter.
    pub(super) fn charge(&mut self, window: Millis, now: Time, units: u64) {
        self.add(index_at(window, now), units);
        self.total += units;
    }

    /// Takes back min(n, used) of a settled counter, newest first; returns that number. From the
    /// partly expired bucket it takes so much that what counts of it falls by exactly the rest.
    pub(super) fn refund(&mut self, window: Millis, now: Time, n: u64) -> u64 {
        let given = n.min(self.used(window, now));
        let edge = Edge::new(window, now);
        let mut left = given;
        while left > 0 {
            let Some(last) = self.buckets.last_mut() else {
                break;
            };
            let before = last.units;
            match &edge {
                Some(edge) if edge.o == last.index => {
                    let share = edge.share(before);
                    last.units = if left < share {
                        most(share - left, edge.w, edge.inside)
                    } else {
                        0
                    };
                    left = 0;
                }
                _ => {
                    last.units -= left.min(before);
                    left -= before - last.units;
                }
            }
            self.total -= before - last.units;
            if last.units == 0 {
                self.buckets.pop();
            }
        }
        given
    }

    /// Takes back up to `n` units charged at `at` from a settled counter. Returns by how much
    /// the units used fell.
    pub(super) fn refund_at(&mut self, window: Millis, now: Time, at: Time, n: u64) -> u64 {
        let index = index_at(window, at);
        let Ok(i) = self.buckets.binary_search_by_key(&index, |b| b.index) else {
            return 0;
        };
        let before = self.used(window, now);
        let back = n.min(self.buckets[i].units);
        self.buckets[i].units -= back;
        self.total -= back;
        if self.buckets[i].units == 0 {
            self.buckets.remove(i);
        }
        let given = before - self.used(window, now);
        self.settle(window, now);
        given
    }

    /// Heap bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        alloc_size(self.buckets.capacity() * size_of::<Bucket>())
    }
}
