//! COUNTER: a sliding window of buckets of w = ceil(W / 60) ms. Bucket = floor(t / w); with
//! o = floor((now - W) / w), used = the sum of buckets younger than o, plus
//! floor(n_o * ((o + 1) * w - (now - W)) / w); admitted iff used + c <= L.
//! Source: the contract, `ratelimit.md` (Cloudflare's two-counter idea with 60 buckets).

use super::limits::MAX_VALUE;

/// Buckets a window can touch: 60, plus the partial ones at both ends.
const MAX_SPAN: u64 = 61;

/// Buckets (index, units) in rising order, units > 0, and their sum.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    total: u64,
    buckets: Vec<(u64, u64)>,
}

fn width(window: u64) -> u64 {
    window.div_ceil(60)
}

/// The partly expired bucket `o`, and how many of its `w` ms are still inside.
struct Edge {
    o: u64,
    inside: u64,
    w: u64,
}

impl Edge {
    /// `None` while the window reaches back before time 0: then nothing has expired.
    #[inline]
    fn new(window: u64, now: u64) -> Option<Edge> {
        let old = now.checked_sub(window)?;
        let w = width(window);
        let o = old / w;
        Some(Edge {
            o,
            inside: (o + 1) * w - old,
            w,
        })
    }

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

    pub(super) fn buckets(&self) -> &[(u64, u64)] {
        &self.buckets
    }

    /// For loading: adds a bucket younger than all others. False if it does not fit.
    #[must_use]
    pub(super) fn load(&mut self, window: u64, bucket: u64, units: u64) -> bool {
        let after = self.buckets.last().is_none_or(|last| last.0 < bucket);
        let oldest = self.buckets.first().map_or(bucket, |first| first.0);
        let total = self.total.saturating_add(units);
        // Twice, because the partly expired bucket counts for less than it holds.
        let fits = after
            && bucket <= MAX_VALUE / width(window)
            && bucket - oldest <= MAX_SPAN
            && (1..=MAX_VALUE).contains(&units)
            && total <= 2 * MAX_VALUE;
        if fits {
            self.buckets.push((bucket, units));
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

    /// The earliest time that the newest charge may have been made at.
    #[inline]
    pub(super) fn newest(&self, window: u64) -> u64 {
        self.buckets
            .last()
            .map_or(0, |last| last.0.saturating_mul(width(window)))
    }

    /// Units used at `now`; buckets from the future count in full, as now's.
    #[inline]
    pub(super) fn used(&self, window: u64, now: u64) -> u64 {
        let mut used = self.total;
        if used > 0 {
            if let Some(edge) = Edge::new(window, now) {
                for &(bucket, n) in &self.buckets {
                    if bucket < edge.o {
                        used -= n;
                    } else {
                        if bucket == edge.o {
                            used -= n - edge.share(n);
                        }
                        break;
                    }
                }
            }
        }
        used
    }

    /// When a bucket of `n` units with `younger` units after it counts for so little that at
    /// most `target` (>= `younger`) are used.
    #[inline]
    fn time_of(window: u64, bucket: u64, n: u64, younger: u64, target: u64) -> u64 {
        let w = width(window);
        (bucket + 1) * w + window - most(target - younger, w, n).min(w)
    }

    /// When the last unit is gone.
    pub(super) fn end(&self, window: u64) -> u64 {
        self.buckets
            .last()
            .map_or(0, |&(bucket, n)| Self::time_of(window, bucket, n, 0, 0))
    }

    /// Ms until at most `target` units are used, if `added` more are charged now.
    pub(super) fn wait(&self, window: u64, now: u64, added: u64, target: u64) -> u64 {
        let current = now / width(window);
        // From the newest back: the first bucket that makes it too much must fade.
        let mut younger = 0;
        let mut at = current;
        let mut n = added;
        for &(bucket, units) in self.buckets.iter().rev() {
            if bucket >= current {
                n += units;
                continue;
            }
            if younger + n > target {
                break;
            }
            younger += n;
            (at, n) = (bucket, units);
        }
        if younger + n <= target {
            return 0;
        }
        Self::time_of(window, at, n, younger, target).saturating_sub(now)
    }

    /// Moves buckets from the future into now's and drops what no longer counts.
    pub(super) fn settle(&mut self, window: u64, now: u64) {
        if self.newest(window) > now {
            let current = now / width(window);
            let future = self.buckets.partition_point(|b| b.0 <= current);
            let units = self.buckets.drain(future..).map(|b| b.1).sum();
            self.add(current, units);
        }
        let Some(edge) = Edge::new(window, now) else {
            return;
        };
        let gone =
            |&(bucket, n): &(u64, u64)| bucket < edge.o || (bucket == edge.o && edge.share(n) == 0);
        let dead = self.buckets.iter().take_while(|b| gone(b)).count();
        if dead > 0 {
            self.total -= self.buckets.drain(..dead).map(|b| b.1).sum::<u64>();
        }
    }

    /// Adds to the newest bucket without counting the total.
    fn add(&mut self, bucket: u64, units: u64) {
        match self.buckets.last_mut() {
            Some(last) if last.0 == bucket => last.1 += units,
            _ => self.buckets.push((bucket, units)),
        }
    }

    /// Whether a charge at `now` may need to allocate.
    pub(super) fn grows(&self, window: u64, now: u64) -> bool {
        self.buckets.len() == self.buckets.capacity()
            && self
                .buckets
                .last()
                .is_none_or(|last| last.0 < now / width(window))
    }

    /// Charges a settled counter.
    pub(super) fn charge(&mut self, window: u64, now: u64, units: u64) {
        self.add(now / width(window), units);
        self.total += units;
    }

    /// Takes back min(n, used) of a settled counter, newest first, and returns that number: what
    /// is taken from the partly expired bucket lowers its share by exactly the rest.
    pub(super) fn refund(&mut self, window: u64, now: u64, n: u64) -> u64 {
        let given = n.min(self.used(window, now));
        let edge = Edge::new(window, now);
        let mut left = given;
        while left > 0 {
            let Some(last) = self.buckets.last_mut() else {
                break;
            };
            let before = last.1;
            match &edge {
                Some(edge) if edge.o == last.0 => {
                    let share = edge.share(last.1);
                    last.1 = if left < share {
                        most(share - left, edge.w, edge.inside)
                    } else {
                        0
                    };
                    left = 0;
                }
                _ => {
                    last.1 -= left.min(before);
                    left -= before - last.1;
                }
            }
            self.total -= before - last.1;
            if last.1 == 0 {
                self.buckets.pop();
            }
        }
        given
    }

    /// Takes back up to `n` units charged at `at` from a settled counter. Returns by how much
    /// the units used fell.
    pub(super) fn refund_at(&mut self, window: u64, now: u64, at: u64, n: u64) -> u64 {
        let bucket = at / width(window);
        let Ok(i) = self.buckets.binary_search_by_key(&bucket, |b| b.0) else {
            return 0;
        };
        let before = self.used(window, now);
        let back = n.min(self.buckets[i].1);
        self.buckets[i].1 -= back;
        self.total -= back;
        if self.buckets[i].1 == 0 {
            self.buckets.remove(i);
        }
        let given = before - self.used(window, now);
        self.settle(window, now);
        given
    }

    /// Heap bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<(u64, u64)>()
    }
}
