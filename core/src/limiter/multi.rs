//! MCHECK: one limit each of several keys, charged all together or not at all.

use super::decide::{CheckError, Decision, Request};
use super::limits::LimitSpec;
use super::state::Limiter;
use super::wait::Wait;
use crate::units::Time;
use smallvec::SmallVec;

/// The answer to MCHECK.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiDecision<'a> {
    /// `None` if all keys admit the request; each is then charged. Otherwise the longest of the
    /// keys' waits, and none is charged.
    pub retry_after: Option<Wait>,
    /// For each key its own verdict, and the effect to apply to it. `remaining` and `reset_after`
    /// count the charge only if it is made.
    pub keys: SmallVec<[Decision<'a>; 2]>,
}

impl MultiDecision<'_> {
    /// Whether all keys admit the request.
    pub fn is_allowed(&self) -> bool {
        self.retry_after.is_none()
    }
}

/// MCHECK at `now`: `limiters` and `limits` are in the same order, and of different keys. `cost` is
/// in units, `log_max` is `ratelimit.log-max-entries`.
///
/// # Errors
/// All would be admitted, but one makes one limit too many in use in its key.
pub fn check_all<'r>(
    now: Time,
    limiters: &[&Limiter],
    limits: &'r [LimitSpec],
    cost: u64,
    log_max: usize,
) -> Result<MultiDecision<'r>, CheckError> {
    let decide = |charge| {
        let pairs = limiters.iter().zip(limits);
        let decisions = pairs.map(|(limiter, spec)| {
            let request = Request {
                limits: std::slice::from_ref(spec),
                cost,
                id: None,
                partial: false,
            };
            limiter.decide(now, &request, log_max, charge)
        });
        decisions.collect::<Result<SmallVec<[Decision; 2]>, CheckError>>()
    };
    let longest_wait = |keys: &[Decision]| keys.iter().map(Decision::retry_after).max().flatten();
    let charged = decide(true);
    if !charged
        .as_ref()
        .is_ok_and(|keys| longest_wait(keys).is_none())
    {
        // If another key denies the request, one limit too many in one key is no error.
        let uncharged = decide(false)?;
        if let Some(wait) = longest_wait(&uncharged) {
            return Ok(MultiDecision {
                retry_after: Some(wait),
                keys: uncharged,
            });
        }
    }
    Ok(MultiDecision {
        retry_after: None,
        keys: charged?,
    })
}
