//! What a worker and a limiter need beside redis-rs: claims with names, locks that are kept alive while somebody works,
//! and what it means when a reply is lost. Copy what you need.

pub mod limiter;
pub mod queue;
pub mod worker;
