//! What the process holds beside the keys.

pub mod clock;
pub mod info;
pub mod schedule;
pub mod settings;
pub mod totals;
pub mod waiting;
