//! Rate and concurrency limits, pure: no server, no clock, no randomness.
//!
//! One [`Limiter`] is the value of a RATELIMIT key, one [`Leases`] that of an ACQUIRE key;
//! [`Policies`] is server-wide. A command is answered in three steps:
//!
//! 1. A question that takes `&self` and the time answers it, with the effect it would have:
//!    [`Limiter::check`] (PEEK too), [`Limiter::detail`], [`check_all`] (MCHECK),
//!    [`Limiter::refund_cost`], [`Limiter::refund_id`], [`Limiter::reset`], [`Limiter::block`];
//!    [`Leases::acquire`], [`Leases::release`].
//! 2. [`Limiter::apply`] or [`Leases::apply`] carries the effect out. It is the only thing that
//!    changes a value, and the same on the primary, on replicas and from the AOF.
//! 3. If the value then [`Limiter::is_empty`], the key goes; else it is to expire at
//!    [`Limiter::expires_at`]. [`Effect::encode_into`] writes both down for replicas and the AOF,
//!    [`Effect::decode`] reads them.
//!
//! Times are Unix ms, durations ms, amounts units; all up to 2^53 ([`MAX_VALUE`]).

mod agenda;
mod counter;
mod decide;
mod effect;
mod fixed;
mod gcra;
mod ids;
mod lease;
mod limits;
mod log;
mod persist;
mod policy;
mod record;
mod state;
#[cfg(test)]
mod tests;
mod usage;
mod wire;

pub use decide::{Decision, LimitDetail, LimitError, MultiDecision, Request, check_all};
pub use effect::Effect;
pub use lease::{Acquire, Acquired, Lease, LeaseEffect, Leases, MAX_LEASES};
pub use limits::{
    Algo, LimitSpec, MAX_ID_BYTES, MAX_LIMITS_IN_USE, MAX_LIMITS_PER_REQUEST, MAX_VALUE, SpecError,
};
pub use policy::{Policies, PolicyError};
pub use state::{ApplyError, Limiter};

/// Whether these bytes can be a request id, a lease id or a policy name.
pub fn valid_id(id: &[u8]) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
}
