//! What the process holds beside the keys: who waits, the schedule, totals.

pub mod schedule;
pub mod totals;
pub mod waiting;
