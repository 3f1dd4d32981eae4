//! The largest value of late, for INFO.

use modq_core::units::Time;

/// How long a value counts at least, ms: a quarter of an hour. It counts until the next quarter
/// ends.
const QUARTER: u64 = 15 * 60 * 1000;

/// The largest of the values noted in this quarter of an hour and in the one before. (No server lets
/// a module know of CONFIG RESETSTAT.)
#[derive(Debug, Default)]
pub struct Peak {
    /// The number of the quarter that `current` is of.
    quarter: u64,
    current: u64,
    before: u64,
}

impl Peak {
    /// As `default`, for statics.
    pub const fn new() -> Peak {
        Peak {
            quarter: 0,
            current: 0,
            before: 0,
        }
    }

    /// Notes a value.
    pub fn note(&mut self, value: u64, now: Time) {
        self.turn_to(now);
        self.current = self.current.max(value);
    }

    /// The largest value of late.
    pub fn get(&mut self, now: Time) -> u64 {
        self.turn_to(now);
        self.current.max(self.before)
    }

    fn turn_to(&mut self, now: Time) {
        let quarter = now.0 / QUARTER;
        if quarter == self.quarter {
            return;
        }
        // After a longer time, or when the clock was set back, nothing is known of the one before.
        let follows = quarter == self.quarter + 1;
        self.before = if follows { self.current } else { 0 };
        self.current = 0;
        self.quarter = quarter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_for_a_quarter_of_an_hour_and_less_than_two() {
        let mut peak = Peak::new();
        let at = |quarter: u64, ms: u64| Time(quarter * QUARTER + ms);
        peak.note(7, at(100, QUARTER - 1));
        peak.note(3, at(101, 0));
        assert_eq!(peak.get(at(101, QUARTER - 1)), 7);
        assert_eq!(peak.get(at(102, 0)), 3);
        assert_eq!(peak.get(at(103, 0)), 0);
        peak.note(9, at(103, 5));
        assert_eq!(peak.get(at(105, 0)), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_no_value_for_ever() {
        let mut peak = Peak::new();
        peak.note(9, Time(1000 * QUARTER));
        assert_eq!(peak.get(Time(5 * QUARTER)), 0);
        peak.note(2, Time(5 * QUARTER));
        assert_eq!(peak.get(Time(5 * QUARTER)), 2);
    }
}
