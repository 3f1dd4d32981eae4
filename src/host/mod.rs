//! What the process holds beside the keys: who waits, the schedule, policies, totals; and how the
//! value of a key is used, changed and replicated.

pub mod limiter_keys;
pub mod policies;
pub mod queue_key;
pub mod queues;
pub mod replies;
pub mod schedule;
pub mod streams;
pub mod totals;
pub mod values;
pub mod waiting;
