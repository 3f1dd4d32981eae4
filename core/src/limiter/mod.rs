//! Rate and concurrency limits, pure: no server, no clock, no randomness.
//!
//! One [`Limiter`] is the value of a RATELIMIT key, one [`Leases`] that of an ACQUIRE key. A command
//! on one of them takes three steps:
//!
//! 1. A question, which takes `&self` and the time, gives the answer and the [`Effect`] that it is to
//!    have, if any. The questions are [`Limiter::check`] (PEEK too; with [`Limiter::detail`] for
//!    DETAIL), [`check_all`] (MCHECK), [`Limiter::refund_cost`], [`Limiter::refund_id`],
//!    [`Limiter::reset`], [`Limiter::block`] and [`Limiter::unblock`]; [`Leases::acquire`] and
//!    [`Leases::release`], whose effects are [`LeaseEffect`]s. Without an effect, nothing is to be
//!    done but to answer.
//! 2. [`Limiter::apply`] or [`Leases::apply`] carries the effect out. It reads nothing but the value
//!    and the effect, so it does the same on the primary, on replicas and from the AOF. Nothing
//!    else changes a value, except that loading makes one out of stored chunks (see `persist/`).
//! 3. The key ends with what is in it: [`Limiter::expires_at`] or [`Leases::expires_at`] says when,
//!    and that it is to be deleted now, being empty, if it says `None`. [`Effect::encode_into`] or
//!    [`LeaseEffect::encode_into`] writes the effect and the expiry down as one record for replicas
//!    and the AOF. There [`Effect::decode`] or [`LeaseEffect::decode`] reads it, step 2 follows, and
//!    the key gets the expiry that the record says.
//!
//! A [`Policies`] holds the named lists of limits of a whole server. It has no effects: POLICY SET
//! and DEL change it directly and are replicated as they are.
//!
//! Every effect first brings the whole value to its own time; in the code that is to *settle*. What
//! has expired is dropped. Charges and requests that are stamped later than the effect, because the
//! clock has been set back since, are *restamped* to the time of the effect, so that by the present
//! clock they last no longer than their window; so are blocks and leases, which last no longer than was
//! asked. Questions answer as if that had been done already (LEASES shows the ends that are stored).
//!
//! Amounts are in units. Amounts, times and spans go up to 2^53 ([`MAX_VALUE`]).

mod agenda;
mod counter;
mod decide;
mod detail;
mod effect;
mod fixed;
mod gcra;
mod id_map;
mod ids;
mod lease;
mod limits;
mod log;
mod log_room;
mod multi;
mod persist;
mod policy;
mod record;
mod state;
#[cfg(test)]
mod tests;
mod usage;
mod wait;

pub use decide::{CheckError, Decision, DeniedBy, Request, Verdict};
pub use detail::LimitDetail;
pub use effect::Effect;
pub use lease::{Acquire, Acquired, Lease, LeaseEffect, Leases, Listed, MAX_LEASES, Outcome};
pub use limits::{
    Algo, LimitSpec, MAX_ID_BYTES, MAX_LIMITS_IN_USE, MAX_LIMITS_PER_REQUEST, MAX_VALUE, SpecError,
};
pub use multi::{MultiDecision, check_all};
pub use policy::{Policies, PolicyError};
pub use state::{ApplyError, Limiter};
pub use wait::Wait;

/// Whether these bytes can be a request id, a lease id or a policy name: 1 to 512 of them.
pub fn valid_id(id: &[u8]) -> bool {
    crate::wire::valid_id(id)
}
