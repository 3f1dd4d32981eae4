//! Totals of a queue and histograms of how long things took, kept as events happen.

use crate::memory::alloc_size;

/// Sub-buckets per doubling: a value is known to within 1/16.
const SUB_BITS: u32 = 4;

/// Counts of durations in buckets whose width grows with the value (the layout of HdrHistogram).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

fn bucket(ms: u64) -> usize {
    if ms < 1 << SUB_BITS {
        return ms as usize;
    }
    let shift = 63 - ms.leading_zeros() - SUB_BITS;
    (((shift + 1) as usize) << SUB_BITS) + (ms >> shift) as usize - (1 << SUB_BITS)
}

/// The largest value that falls into a bucket.
fn upper(bucket: usize) -> u64 {
    if bucket < 1 << SUB_BITS {
        return bucket as u64;
    }
    let shift = (bucket >> SUB_BITS) as u32 - 1;
    let base = (1u64 << SUB_BITS) + (bucket as u64 & ((1 << SUB_BITS) - 1));
    ((base + 1) << shift) - 1
}

/// Durations at or above this many ms share the last bucket.
const MAX_MS: u64 = 1 << 50;

impl Histogram {
    /// Counts one duration in ms.
    pub fn record(&mut self, ms: u64) {
        self.add(bucket(ms.min(MAX_MS)), 1);
    }

    /// Counts one duration less, which was counted before.
    pub fn take_back(&mut self, ms: u64) {
        let bucket = bucket(ms.min(MAX_MS));
        // A total that was loaded may be any number.
        if self.counts.get(bucket).is_some_and(|n| *n > 0) {
            self.counts[bucket] -= 1;
            self.total = self.total.saturating_sub(1);
        }
        while self.counts.last() == Some(&0) {
            self.counts.pop();
        }
    }

    fn add(&mut self, bucket: usize, n: u64) {
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] = self.counts[bucket].saturating_add(n);
        self.total = self.total.saturating_add(n);
    }

    /// The duration in ms that `percent` of all are at or below, at most 1/16 too high; 0 if none.
    pub fn percentile(&self, percent: u64) -> u64 {
        let rank = (u128::from(self.total) * u128::from(percent)).div_ceil(100) as u64;
        let mut seen = 0u64;
        for (bucket, n) in self.counts.iter().enumerate() {
            seen = seen.saturating_add(*n);
            if seen >= rank && seen > 0 {
                return upper(bucket);
            }
        }
        0
    }

    /// The filled buckets, for storing.
    pub fn buckets(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, n)| **n > 0)
            .map(|(b, n)| (b as u16, *n))
    }

    /// From stored buckets; none beyond the last is accepted.
    pub fn from_buckets(buckets: impl IntoIterator<Item = (u16, u64)>) -> Option<Histogram> {
        let mut histogram = Histogram::default();
        for (b, n) in buckets {
            if usize::from(b) > bucket(MAX_MS) {
                return None;
            }
            histogram.add(b.into(), n);
        }
        Some(histogram)
    }

    /// Bytes of heap.
    pub fn memory_bytes(&self) -> usize {
        alloc_size(self.counts.capacity() * size_of::<u64>())
    }
}

/// Upper bounds of [`Durations`], ms: 1 s, 5 s, 15 s, 30 s, 1 m, 2 m, 5 m, 15 m, 30 m, 1 h, 4 h, 12 h,
/// 24 h.
pub const BOUNDS: [u64; 13] = [
    1_000, 5_000, 15_000, 30_000, 60_000, 120_000, 300_000, 900_000, 1_800_000, 3_600_000,
    14_400_000, 43_200_000, 86_400_000,
];

/// How long things took since version 0.2, never taken back: a sum, and counts between fixed bounds, as
/// Prometheus wants them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    sum: u64,
    /// None as long as all are 0: many queues never count any.
    counts: Option<Box<DurationCounts>>,
}

/// How many took longer than the bound before and no longer than this one; the last, how many took
/// longer than all.
pub(super) type DurationCounts = [u64; BOUNDS.len() + 1];

impl Durations {
    /// From what was stored.
    pub(super) fn new(sum: u64, counts: DurationCounts) -> Durations {
        let some = counts.iter().any(|count| *count > 0);
        Durations {
            sum,
            counts: some.then(|| Box::new(counts)),
        }
    }

    /// All together, ms.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many there were between the bounds.
    pub(super) fn counts(&self) -> &DurationCounts {
        const NONE: &DurationCounts = &[0; BOUNDS.len() + 1];
        self.counts.as_deref().unwrap_or(NONE)
    }

    /// Bytes of heap.
    pub(super) fn memory_bytes(&self) -> usize {
        let some = self.counts.as_ref();
        some.map_or(0, |_| alloc_size(size_of::<DurationCounts>()))
    }

    /// Counts one duration in ms.
    pub fn record(&mut self, ms: u64) {
        let at = BOUNDS.iter().position(|bound| ms <= *bound);
        let counts = self.counts.get_or_insert_default();
        let count = &mut counts[at.unwrap_or(BOUNDS.len())];
        *count = count.saturating_add(1);
        self.sum = self.sum.saturating_add(ms);
    }

    /// Bounds in ms, −1 for none, and how many took no longer.
    pub fn rows(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        let bounds = BOUNDS.iter().map(|bound| *bound as i64).chain([-1]);
        let mut so_far = 0u64;
        bounds.zip(self.counts()).map(move |(bound, count)| {
            so_far = so_far.saturating_add(*count);
            (bound, so_far)
        })
    }
}

/// What has happened in a queue since it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Items that came in by SUBMIT.
    pub submitted: u64,
    /// Items that were decided.
    pub resolved: u64,
    /// Items that a producer removed.
    pub cancelled: u64,
    /// Locks that were given back.
    pub released: u64,
    /// Locks that ended by their deadline.
    pub expired: u64,
    /// Items that were parked after too many expiries.
    pub died: u64,
    /// From submit, or the last due time if later, until first claimed.
    pub wait: Histogram,
    /// From claim to resolve.
    pub handle: Histogram,
    /// Verdicts that did not end their item.
    pub votes: u64,
    /// Items whose votes could not agree any more.
    pub splits: u64,
    /// Records that went because of RETAINMAX.
    pub records_evicted: u64,
    /// As `wait`, but an undone wait is not taken back.
    pub waits: Durations,
    /// As `handle`, of each verdict that ended a lock.
    pub handles: Durations,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_count_what_is_at_or_below_each_bound() {
        let mut durations = Durations::default();
        for ms in [0, 1_000, 1_001, 86_400_000, 86_400_001] {
            durations.record(ms);
        }
        let rows: Vec<(i64, u64)> = durations.rows().collect();
        assert_eq!(rows[..2], [(1_000, 2), (5_000, 3)]);
        assert_eq!(rows[12..], [(86_400_000, 4), (-1, 5)]);
        assert_eq!(durations.sum(), 172_802_002);
        let again = Durations::new(durations.sum(), *durations.counts());
        assert_eq!(again, durations);
        assert_eq!(Durations::new(0, [0; 14]), Durations::default());
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_values_within_a_sixteenth(ms in 0..MAX_MS) {
            let top = upper(bucket(ms));
            assert!(top >= ms && top - ms <= ms / 16);
            assert_eq!(bucket(top), bucket(ms));
            assert_eq!(bucket(top + 1), bucket(ms) + 1);
        }

        #[test]
        fn percentiles_match_a_sorted_list(mut all in prop::collection::vec(0u64..1_000_000, 1..300)) {
            let mut histogram = Histogram::default();
            all.iter().for_each(|ms| histogram.record(*ms));
            all.sort_unstable();
            for percent in [50, 95, 99] {
                let exact = all[(all.len() * percent as usize).div_ceil(100) - 1];
                let got = histogram.percentile(percent);
                assert!(got >= exact && got - exact <= exact / 16);
            }
            let again = Histogram::from_buckets(histogram.buckets()).unwrap();
            assert_eq!(again, histogram);
        }
    }
}
