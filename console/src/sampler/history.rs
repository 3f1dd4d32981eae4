//! The last hours of a queue in a fixed number of points: when they are used up, each two become one and the step
//! doubles, so a new queue has a line at once and an old one its last hours.

use crate::db::Stats;

/// A moment of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Point {
    pub(crate) ready: u32,
    pub(crate) oldest_s: u32,
    /// Totals at that moment.
    pub(crate) submitted: u64,
    pub(crate) resolved: u64,
}

/// About 2.9 KB for each queue.
#[derive(Clone, Debug)]
pub(crate) struct History {
    points: Vec<Point>,
    /// When the last point was made, Unix ms.
    last: i64,
    step_ms: i64,
}

const POINTS: usize = 120;
const FIRST_STEP_MS: i64 = 4000;
/// Eight hours of points; then the oldest goes.
const LAST_STEP_MS: i64 = FIRST_STEP_MS * 64;

impl Default for History {
    fn default() -> History {
        History {
            points: Vec::new(),
            last: 0,
            step_ms: FIRST_STEP_MS,
        }
    }
}

impl History {
    /// Takes a sample; those closer than the step to the last point take its place.
    pub(super) fn add(&mut self, now_ms: i64, stats: &Stats) {
        let small = |n: i64| u32::try_from(n.max(0)).unwrap_or(u32::MAX);
        let point = Point {
            ready: small(stats.ready),
            oldest_s: small(stats.oldest_ready_ms / 1000),
            submitted: stats.submitted.unsigned_abs(),
            resolved: stats.resolved.unsigned_abs(),
        };
        if let (true, Some(last)) = (now_ms - self.last < self.step_ms, self.points.last_mut()) {
            *last = point;
            return;
        }
        if self.points.len() == POINTS {
            self.make_room();
        }
        self.points.push(point);
        self.last = now_ms;
    }

    fn make_room(&mut self) {
        if self.step_ms >= LAST_STEP_MS {
            self.points.remove(0);
            return;
        }
        self.step_ms *= 2;
        // The later of each two.
        self.points = self
            .points
            .chunks(2)
            .filter_map(|two| two.last().copied())
            .collect();
    }

    pub(crate) fn points(&self) -> &[Point] {
        &self.points
    }

    /// What the points span, ms.
    pub(crate) fn span_ms(&self) -> i64 {
        let steps = self.points.len().saturating_sub(1);
        self.step_ms * i64::try_from(steps).unwrap_or(0)
    }

    /// Items in and out per minute, over about the last quarter of an hour of what is known; none before two points.
    pub(crate) fn rates(&self) -> Option<(f64, f64)> {
        let steps = (900_000 / self.step_ms).max(1);
        let steps = usize::try_from(steps)
            .ok()?
            .min(self.points.len().saturating_sub(1));
        let last = self.points.last()?;
        let first = self.points.get(self.points.len() - 1 - steps)?;
        if steps == 0 {
            return None;
        }
        let minutes = (steps as f64 * self.step_ms as f64) / 60_000.0;
        // A queue that began anew in between counts from there.
        let per_minute =
            |now: u64, then: u64| now.checked_sub(then).unwrap_or(now) as f64 / minutes;
        Some((
            per_minute(last.submitted, first.submitted),
            per_minute(last.resolved, first.resolved),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(n: i64) -> Stats {
        Stats {
            ready: n,
            submitted: n * 10,
            resolved: n * 5,
            ..Stats::default()
        }
    }

    #[test]
    fn keeps_its_size_and_its_span_grows_to_hours() {
        let mut history = History::default();
        for n in 0..20_000 {
            history.add(1_000_000_000 + n * 2000, &stats(n));
        }
        assert!(history.points().len() <= POINTS);
        assert_eq!(history.points().last().map(|p| p.ready), Some(19_999));
        let hours = history.span_ms() / 3_600_000;
        assert!((4..=8).contains(&hours), "{hours}");
    }

    #[test]
    fn rates_are_per_minute_and_survive_a_new_beginning() {
        let mut history = History::default();
        assert_eq!(history.rates(), None);
        history.add(1_000_000, &stats(100));
        history.add(1_004_000, &stats(101));
        assert_eq!(history.rates(), Some((150.0, 75.0)));
        history.add(1_008_000, &stats(1));
        assert_eq!(history.rates(), Some((75.0, 37.5)));
    }
}
