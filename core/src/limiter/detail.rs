//! DETAIL: what is said of each limit of a request.

use super::decide::{Decision, Request};
use super::effect::{Change, Effect};
use super::limits::{Algo, LimitSpec, MAX_LIMITS_PER_REQUEST, MAX_TIME};
use super::state::Limiter;
use super::wait::{Wait, cap};
use crate::units::{Millis, Time};
use smallvec::SmallVec;

/// One limit's part in the answer to a request, as it is after the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitDetail {
    /// Units per window.
    pub quota: u64,
    /// The span of time that the quota is for.
    pub window: Millis,
    /// Units it would still admit now.
    pub remaining: u64,
    /// How long it takes until that grows. `None` if there is nothing to wait for: the limit is
    /// unused and nothing denies everything.
    pub next_after: Option<Wait>,
    /// How long it takes until the limit is entirely unused; 2^53 ms at most.
    pub reset_after: Millis,
    /// Whether this limit alone would refuse or cut the request.
    pub violated: bool,
}

impl Limiter {
    /// DETAIL: for each limit of a request what it is like after `decision`, which `check` gave for
    /// the same request at the same time and which is not applied yet.
    pub fn detail(
        &self,
        now: Time,
        request: &Request,
        decision: &Decision,
    ) -> SmallVec<[LimitDetail; MAX_LIMITS_PER_REQUEST]> {
        let now = now.min(MAX_TIME);
        let limits = request.limits.iter();
        limits
            .map(|spec| self.detail_of(spec, now, request, decision))
            .collect()
    }

    fn detail_of(
        &self,
        spec: &LimitSpec,
        now: Time,
        request: &Request,
        decision: &Decision,
    ) -> LimitDetail {
        let charged = match &decision.effect {
            Some(Effect {
                change: Change::Charge { units, .. },
                ..
            }) => *units,
            _ => 0,
        };
        let held = decision.held;
        let view = self.view(spec, now);
        let wait = |target| view.usage.wait(spec, now, charged, target);
        let used = view.used + charged;
        let left = spec.burst().saturating_sub(used);
        let next = match used {
            0 => None,
            _ => Some(Wait::capped(wait(used.min(spec.burst()) - 1))),
        };
        let refuses = match request.partial {
            true => request.cost > view.left,
            false => view.used + request.cost > spec.burst(),
        };
        let full = decision.is_log_full() && spec.algo() == Algo::Log;
        LimitDetail {
            quota: spec.quota(),
            window: spec.window(),
            remaining: if held.is_some() { 0 } else { left },
            next_after: match held {
                None => next,
                // What is left shows when the hold ends, and if nothing is, when it grows.
                Some(_) if left > 0 => held,
                Some(_) => held.max(next),
            },
            reset_after: cap(wait(0)),
            violated: !decision.known && (refuses || full),
        }
    }
}
