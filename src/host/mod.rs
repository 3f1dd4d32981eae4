//! What the process holds beside the keys.

pub mod clock;
pub mod damage;
pub mod info;
pub mod limiter_keys;
pub mod policies;
pub mod queue_key;
pub mod queues;
pub mod replies;
pub mod schedule;
pub mod settings;
pub mod streams;
pub mod totals;
pub mod values;
pub mod waiting;
