//! CHECK and PEEK: whether a request is admitted, what the reply says, and the effect if it is
//! carried out. Nothing is changed here.

use super::effect::{Change, Effect};
use super::ids::Memo;
use super::limits::{LimitSpec, MAX_LIMITS_PER_REQUEST, MAX_TIME};
use super::state::Limiter;
use super::usage::Usage;
use super::wait::{Wait, cap};
use crate::units::{Millis, Time};
use smallvec::SmallVec;
use std::borrow::Cow;

/// What is asked of a limiter.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// 1 to 8 limits, no (window, algorithm) twice: see [`LimitSpec::check_list`].
    pub limits: &'a [LimitSpec],
    /// How many units to charge, 0 to 2^53.
    pub cost: u64,
    /// 1 to 512 bytes that make the request idempotent.
    pub id: Option<&'a [u8]>,
    /// Whether to grant what there is, if that is less than the cost.
    pub partial: bool,
}

/// Why a request is an error rather than a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckError {
    /// It would make a 17th limit in use in this key.
    TooManyLimitsInUse,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'a> {
    /// Whether the request is admitted.
    pub verdict: Verdict,
    /// Quota (units) of the deciding limit: on a denial the violated one with the longest wait,
    /// else the one with least remaining; the first named on ties.
    pub limit: u64,
    /// Units which that limit would still admit, after this request.
    pub remaining: u64,
    /// How long it takes until that limit is entirely unused; 2^53 ms at most.
    pub reset_after: Millis,
    /// Whether applying the effect may need to allocate.
    pub needs_alloc: bool,
    /// What to apply and replicate; PEEK leaves it. A denial has none, unless something is
    /// stamped later than now (the clock has been set back): then it is restamped, because a full
    /// limiter that meets nothing but denials would otherwise stay full until the clock is there.
    pub effect: Option<Effect<'a>>,
    /// For how long a block or a full log denies everything, if one does.
    pub(super) held: Option<Wait>,
    /// Whether the request is remembered.
    pub(super) known: bool,
}

/// Whether a request is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Allowed {
        /// Units granted, by this request or when its id was new.
        granted: u64,
    },
    /// It is not.
    Denied {
        /// How long it takes until the same request would be.
        retry_after: Wait,
        /// What stands in the way.
        by: DeniedBy,
    },
}

/// What stands in the way of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeniedBy {
    /// A block, whatever the limits say.
    Block,
    /// A limit that it does not fit into.
    Limit,
    /// The log has as many entries as are allowed. No limit and no block denies it.
    FullLog,
}

impl Decision<'_> {
    /// Whether the request is admitted.
    #[inline]
    pub fn is_allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Allowed { .. })
    }

    /// Units granted, by this request or when its id was new; none on a denial.
    #[inline]
    pub fn granted(&self) -> u64 {
        match self.verdict {
            Verdict::Allowed { granted } => granted,
            Verdict::Denied { .. } => 0,
        }
    }

    /// How long it takes until the same request would be admitted; `None` if it is.
    #[inline]
    pub fn retry_after(&self) -> Option<Wait> {
        match self.verdict {
            Verdict::Allowed { .. } => None,
            Verdict::Denied { retry_after, .. } => Some(retry_after),
        }
    }

    /// Whether it is denied because the log is full, and for nothing else.
    #[inline]
    pub fn is_log_full(&self) -> bool {
        matches!(
            self.verdict,
            Verdict::Denied {
                by: DeniedBy::FullLog,
                ..
            }
        )
    }
}

/// A named limit, what is charged to it, and how many units it admits now.
pub(super) struct View<'a> {
    pub(super) spec: &'a LimitSpec,
    pub(super) usage: &'a Usage,
    /// Units used.
    pub(super) used: u64,
    /// Units that could still be charged.
    pub(super) left: u64,
    /// Whether the limiter has anything charged to it, expired or not.
    present: bool,
}

impl View<'_> {
    fn has_room_for(&self, units: u64) -> bool {
        self.used + units <= self.spec.burst()
    }
}

type Views<'a> = SmallVec<[View<'a>; MAX_LIMITS_PER_REQUEST]>;

impl Limiter {
    #[inline]
    pub(super) fn view<'a>(&'a self, spec: &'a LimitSpec, now: Time) -> View<'a> {
        let (usage, used, present) = match self.find(spec) {
            Some(limit) => (&limit.usage, limit.usage.used(spec, now), true),
            None => (Usage::none(spec.algo()), 0, false),
        };
        View {
            spec,
            usage,
            used,
            left: spec.burst().saturating_sub(used),
            present,
        }
    }

    /// What CHECK answers at `now`. `log_max` is `ratelimit.log-max-entries`.
    ///
    /// # Errors
    /// It would be admitted, but makes one limit too many in use in this key.
    pub fn check<'r>(
        &self,
        now: Time,
        request: &Request<'r>,
        log_max: usize,
    ) -> Result<Decision<'r>, CheckError> {
        match self.decide_plain(now, request, log_max) {
            Some(decision) => Ok(decision),
            None => self.decide(now, request, log_max, true),
        }
    }

    /// What `decide` says, with half of the instructions, of a plain request: one that is to charge
    /// units to the only limit, with nothing else in the way. By far the most are. `None` if it is
    /// not plain.
    #[inline]
    fn decide_plain<'r>(
        &self,
        now: Time,
        request: &Request<'r>,
        log_max: usize,
    ) -> Option<Decision<'r>> {
        let [spec] = request.limits else {
            return None;
        };
        let (usage, present) = match &self.limits[..] {
            [limit] if limit.is(spec) && limit.newest() <= now => (&limit.usage, true),
            [] => (Usage::none(spec.algo()), false),
            _ => return None,
        };
        let cost = request.cost;
        let room_in_log = match usage {
            Usage::Log(log) => log.total() < log_max as u64,
            _ => true,
        };
        let plain = cost > 0
            && !request.partial
            && request.id.is_none()
            && self.ids.is_none()
            && self.block.is_none()
            && room_in_log
            && now <= MAX_TIME;
        if !plain {
            return None;
        }
        let used = usage.used(spec, now);
        let allowed = used + cost <= spec.burst();
        let charged = if allowed { cost } else { 0 };
        let verdict = match allowed {
            true => Verdict::Allowed { granted: cost },
            false => Verdict::Denied {
                retry_after: usage.wait_for(spec, now, cost),
                by: DeniedBy::Limit,
            },
        };
        Some(Decision {
            verdict,
            limit: spec.quota(),
            remaining: spec.burst().saturating_sub(used + charged),
            reset_after: cap(usage.wait(spec, now, charged, 0)),
            needs_alloc: allowed && (!present || usage.grows(spec.window(), now)),
            effect: allowed.then_some(Effect {
                at: now,
                change: Change::Charge {
                    units: cost,
                    limits: Cow::Borrowed(request.limits),
                    id: None,
                },
            }),
            held: None,
            known: false,
        })
    }

    /// What is answered to any request. `charge` false: what is admitted is not going to be charged.
    pub(super) fn decide<'r>(
        &self,
        now: Time,
        request: &Request<'r>,
        log_max: usize,
        charge: bool,
    ) -> Result<Decision<'r>, CheckError> {
        let now = now.min(MAX_TIME);
        let &Request { limits, cost, .. } = request;
        let block = self.block_left(now);
        let memo = request.id.and_then(|id| self.spared(id, now));
        let known = memo.is_some();
        let views: Views = limits.iter().map(|spec| self.view(spec, now)).collect();
        let least = views.iter().map(|view| view.left).min().unwrap_or(0);
        let (ask, granted) = ask_and_grant(request, memo, least);
        let violated = match known || (request.partial && cost == 0) {
            true => None,
            false => longest_wait(&views, now, ask),
        };
        let full = match cost > 0 && !known {
            true => self.log_wait(now, request, log_max, violated.is_none() && block.is_none()),
            false => None,
        };
        let verdict = verdict(granted, block, violated.map(|(wait, _)| wait), full);
        let charged = match verdict {
            Verdict::Allowed { granted } if charge && !known => granted,
            _ => 0,
        };
        // Not before: a request that is denied puts nothing in use, and an error may open the gate.
        if charged > 0 && !self.has_room_for(limits, now) {
            return Err(CheckError::TooManyLimitsInUse);
        }
        let deciding = match violated {
            Some((_, view)) => Some(view),
            None => views.iter().min_by_key(|view| view.left),
        };
        let (limit, remaining, reset) = deciding.map_or((0, 0, Millis::ZERO), |view| {
            let reset = view.usage.wait(view.spec, now, charged, 0);
            (view.spec.quota(), view.left - charged, reset)
        });
        let held = block.max(full);
        let in_place = |view: &View| view.present && !view.usage.grows(view.spec.window(), now);
        Ok(Decision {
            verdict,
            limit,
            remaining: if held.is_some() { 0 } else { remaining },
            reset_after: cap(reset),
            needs_alloc: charged > 0 && (request.id.is_some() || !views.iter().all(in_place)),
            effect: self.effect_of(now, request, charged),
            held,
            known,
        })
    }

    /// How long a block still denies everything, if there is one.
    fn block_left(&self, now: Time) -> Option<Wait> {
        let left = self.blocked_until(now).since(now);
        (!left.is_zero()).then_some(Wait::capped(left))
    }

    /// The request of this id, if it is remembered and so need not fit into limits and log. A block
    /// that outlasts the memory of the request denies it as if it were new.
    fn spared(&self, id: &[u8], now: Time) -> Option<&Memo> {
        let blocked_until = self.blocked_until(now);
        let outlasts_block =
            |memo: &&Memo| blocked_until <= now || self.remembered_until(memo, now) > blocked_until;
        self.known(id, now).filter(outlasts_block)
    }

    /// The effect of a request for which so many units are charged, if it has any.
    fn effect_of<'r>(&self, now: Time, request: &Request<'r>, charged: u64) -> Option<Effect<'r>> {
        let change = match charged {
            0 if !self.ahead(now) => return None,
            0 => Change::Restamp,
            units => Change::Charge {
                units,
                limits: Cow::Borrowed(request.limits),
                id: request.id,
            },
        };
        Some(Effect { at: now, change })
    }
}

/// How many units are to fit into every limit, and how many are then granted, if `least` is what the
/// fullest has left.
fn ask_and_grant(request: &Request, memo: Option<&Memo>, least: u64) -> (u64, u64) {
    let cost = request.cost;
    match memo {
        Some(memo) => (0, memo.units),
        None if request.partial => (cost.min(least.max(1)), cost.min(least)),
        None => (cost, cost),
    }
}

/// The verdict on a request, which so many units are granted unless it has to wait: for the end of
/// a block, for room in the limits, or for room in the log.
fn verdict(
    granted: u64,
    block: Option<Wait>,
    violated: Option<Wait>,
    full: Option<Wait>,
) -> Verdict {
    match block.max(violated).max(full) {
        None => Verdict::Allowed { granted },
        Some(retry_after) => Verdict::Denied {
            retry_after,
            by: match (block, violated) {
                (Some(_), _) => DeniedBy::Block,
                (None, Some(_)) => DeniedBy::Limit,
                (None, None) => DeniedBy::FullLog,
            },
        },
    }
}

/// Of the limits into which `ask` units do not fit, the one that makes it wait longest, and how
/// long; the first of them if several do.
fn longest_wait<'a, 'v>(
    views: &'a [View<'v>],
    now: Time,
    ask: u64,
) -> Option<(Wait, &'a View<'v>)> {
    let mut longest: Option<(Wait, &View)> = None;
    for view in views.iter().filter(|view| !view.has_room_for(ask)) {
        let wait = view.usage.wait_for(view.spec, now, ask);
        if longest.is_none_or(|(most, _)| wait > most) {
            longest = Some((wait, view));
        }
    }
    longest
}
