//! CHECK, PEEK and MCHECK: whether a request is admitted, what the reply says, and the effect if
//! it is carried out. Nothing is changed here.

use super::agenda::DROPS;
use super::effect::{Change, Effect};
use super::limits::{Algo, LimitSpec, MAX_LIMITS_PER_REQUEST, MAX_VALUE};
use super::state::Limiter;
use super::usage::Usage;
use smallvec::SmallVec;
use std::borrow::Cow;

/// A wait that does not end.
const NEVER: u64 = u64::MAX;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// 1 to 8 limits, no (window, algorithm) twice: see [`LimitSpec::check_list`].
    pub limits: &'a [LimitSpec],
    /// Units, 0..=2^53.
    pub cost: u64,
    /// 1 to 512 bytes that make the request idempotent.
    pub id: Option<&'a [u8]>,
    /// Grant what there is, if less than the cost.
    pub partial: bool,
}

/// Why a request is an error rather than a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitError {
    /// It would make a 17th limit in use in this key.
    TooManyLimits,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<'a> {
    /// 1 or 0.
    pub allowed: i64,
    /// Quota of the deciding limit: on a denial the violated one with the longest wait, else the
    /// one with least remaining; the first named on ties.
    pub limit: i64,
    /// Units which that limit would still admit, after this request.
    pub remaining: i64,
    /// 0 if allowed; else ms until the same request would be, -1 for never.
    pub retry_after: i64,
    /// Ms until that limit is entirely unused.
    pub reset_after: i64,
    /// Units granted, by this request or when its id was new.
    pub granted: u64,
    /// Denied because the log is full, not by a limit or a block.
    pub log_full: bool,
    /// Whether applying the effect may need to allocate.
    pub needs_alloc: bool,
    /// What to apply and replicate; PEEK leaves it. A denial has none, unless something is
    /// stamped later than now (the clock has been set back): then it is restamped, because a full
    /// limiter that meets nothing but denials would otherwise stay full until the clock is there.
    pub effect: Option<Effect<'a>>,
    /// Ms for which a block or a full log denies everything.
    held: u64,
    /// The request is remembered.
    known: bool,
}

/// One limit's part in the answer (DETAIL), after the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitDetail {
    /// Units per window.
    pub quota: i64,
    /// Ms.
    pub window: i64,
    /// Units it would still admit now.
    pub remaining: i64,
    /// Ms until that grows; 0 if the limit is unused (and not held by a block), -1 for never.
    pub next_after: i64,
    /// Ms until it is entirely unused.
    pub reset_after: i64,
    /// Whether this limit alone would refuse or cut the request.
    pub violated: bool,
}

/// The answer to MCHECK.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiDecision<'a> {
    /// Whether all keys admit the request. Otherwise none is charged.
    pub allowed: bool,
    /// The largest of the keys', -1 if any is.
    pub retry_after: i64,
    /// Per key, its own verdict, and the effect to apply to it. `remaining` and `reset_after`
    /// count the charge only if it is made.
    pub keys: SmallVec<[Decision<'a>; 2]>,
}

/// A wait as replies show it.
fn shown(wait: u64) -> i64 {
    match wait {
        NEVER => -1,
        _ => wait.min(MAX_VALUE) as i64,
    }
}

/// A named limit, what is charged to it, and how many units it admits now.
struct View<'a> {
    spec: &'a LimitSpec,
    usage: &'a Usage,
    used: u64,
    left: u64,
    present: bool,
}

impl Limiter {
    #[inline]
    fn view<'a>(&'a self, spec: &'a LimitSpec, now: u64) -> View<'a> {
        let (usage, present) = match self.find(spec) {
            Some(limit) => (&limit.usage, true),
            None => (Usage::none(spec.algo()), false),
        };
        let used = match present {
            true => usage.used(spec, now),
            false => 0,
        };
        View {
            spec,
            usage,
            used,
            left: spec.cap().saturating_sub(used),
            present,
        }
    }

    /// What CHECK answers at `now` (Unix ms). `log_max` is `ratelimit.log-max-entries`.
    pub fn check<'r>(
        &self,
        now: u64,
        request: &Request<'r>,
        log_max: usize,
    ) -> Result<Decision<'r>, LimitError> {
        match self.decide_plain(now, request, log_max) {
            Some(decision) => Ok(decision),
            None => self.decide(now, request, log_max, true),
        }
    }

    /// What `decide` says, for by far the most requests: a cost to charge to the only limit, and
    /// nothing else in the way. `None`: not such a request. Half of the instructions.
    #[inline]
    fn decide_plain<'r>(
        &self,
        now: u64,
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
            && self.blocked_until == 0
            && room_in_log
            && now <= MAX_VALUE;
        if !plain {
            return None;
        }
        let used = usage.used(spec, now);
        let cap = spec.cap();
        let allowed = used + cost <= cap;
        let charged = if allowed { cost } else { 0 };
        let retry = match cap.checked_sub(cost) {
            _ if allowed => 0,
            Some(target) => usage.wait(spec, now, 0, target).min(MAX_VALUE),
            None => NEVER,
        };
        let reset = usage.wait(spec, now, charged, 0);
        Some(Decision {
            allowed: i64::from(allowed),
            limit: spec.quota() as i64,
            remaining: cap.saturating_sub(used + charged) as i64,
            retry_after: shown(retry),
            reset_after: shown(reset.min(MAX_VALUE)),
            granted: charged,
            log_full: false,
            needs_alloc: allowed && (!present || usage.grows(spec.window(), now)),
            effect: allowed.then_some(Effect {
                at: now,
                change: Change::Charge {
                    units: cost,
                    limits: Cow::Borrowed(request.limits),
                    id: None,
                },
            }),
            held: 0,
            known: false,
        })
    }

    /// `charge` false: what is admitted is not going to be charged.
    pub(super) fn decide<'r>(
        &self,
        now: u64,
        request: &Request<'r>,
        log_max: usize,
        charge: bool,
    ) -> Result<Decision<'r>, LimitError> {
        let now = now.min(MAX_VALUE);
        let &Request {
            limits,
            cost,
            id,
            partial,
        } = request;
        let block = self.blocked_until.saturating_sub(now);
        // A block that outlasts the memory of the request denies it as if it were new.
        let memo = id
            .and_then(|id| self.known(id, now))
            .filter(|memo| block == 0 || self.remembered_until(memo, now) > self.blocked_until);
        let known = memo.is_some();
        let views = limits.iter().map(|spec| self.view(spec, now));
        let views: SmallVec<[View; MAX_LIMITS_PER_REQUEST]> = views.collect();
        let least = views.iter().map(|view| view.left).min().unwrap_or(0);

        // What is to fit into every limit, and what is then granted.
        let (ask, granted) = match memo {
            Some(memo) => (0, memo.units),
            None if partial => (cost.min(least.max(1)), cost.min(least)),
            None => (cost, cost),
        };
        let exempt = known || (partial && cost == 0);
        let violates = |view: &View| !exempt && view.used + ask > view.spec.cap();
        let fits = !views.iter().any(violates);
        let full = match cost > 0 && !known {
            true => self.log_wait(now, request, log_max, fits && block == 0),
            false => 0,
        };
        let held = block.max(full);
        let allowed = fits && held == 0;
        let charged = if allowed && charge && !known {
            granted
        } else {
            0
        };
        // Not before: a request that is denied puts nothing in use, and an error may open the gate.
        if charged > 0 && !self.has_room_for(limits, now) {
            return Err(LimitError::TooManyLimits);
        }

        // The violated limit with the longest wait, else the one with least left.
        let mut longest: Option<(u64, &View)> = None;
        for view in views.iter().filter(|view| violates(view)) {
            let wait = match view.spec.cap().checked_sub(ask) {
                Some(target) => view.usage.wait(view.spec, now, 0, target).min(MAX_VALUE),
                None => NEVER,
            };
            if longest.is_none_or(|(most, _)| wait > most) {
                longest = Some((wait, view));
            }
        }
        let (wait, deciding) = match longest {
            Some((wait, view)) => (wait, Some(view)),
            None => (0, views.iter().min_by_key(|view| view.left)),
        };
        let (limit, remaining, reset) = deciding.map_or((0, 0, 0), |view| {
            let reset = view.usage.wait(view.spec, now, charged, 0);
            (view.spec.quota(), view.left - charged, reset)
        });
        let in_place = |view: &View| view.present && !view.usage.grows(view.spec.window(), now);
        Ok(Decision {
            allowed: i64::from(allowed),
            limit: limit as i64,
            remaining: if held > 0 { 0 } else { remaining as i64 },
            retry_after: shown(wait.max(held)),
            reset_after: shown(reset.min(MAX_VALUE)),
            granted: if allowed { granted } else { 0 },
            log_full: fits && block == 0 && !allowed,
            needs_alloc: charged > 0 && (id.is_some() || !views.iter().all(in_place)),
            effect: if charged > 0 {
                Some(Effect {
                    at: now,
                    change: Change::Charge {
                        units: charged,
                        limits: Cow::Borrowed(limits),
                        id,
                    },
                })
            } else {
                self.restamp(now)
            },
            held,
            known,
        })
    }

    /// The effect of a write that changes nothing but stamps from the future, if there are any.
    #[inline]
    fn restamp<'r>(&self, now: u64) -> Option<Effect<'r>> {
        self.ahead(now).then_some(Effect {
            at: now,
            change: Change::Restamp,
        })
    }

    /// Ms until there is room in memory for the entries that a charge adds: a run for each LOG
    /// limit and the id. `now_counts`: the charge may be made now, where it can share a run.
    #[inline]
    fn log_wait(&self, now: u64, request: &Request, log_max: usize, now_counts: bool) -> u64 {
        let mut adds = u64::from(request.id.is_some());
        for spec in request.limits {
            adds += u64::from(spec.algo() == Algo::Log);
        }
        if adds == 0 {
            return 0;
        }
        // There are no more runs than units, which need not be counted.
        let mut at_most = self.ids.as_ref().map_or(0, |ids| ids.len() as u64);
        for limit in &self.limits {
            if let Usage::Log(log) = &limit.usage {
                at_most = at_most.saturating_add(log.total());
            }
        }
        if at_most.saturating_add(adds) <= log_max as u64 {
            return 0;
        }
        self.counted_log_wait(now, request, adds, log_max as u64, now_counts)
    }

    #[cold]
    fn counted_log_wait(
        &self,
        now: u64,
        request: &Request,
        adds: u64,
        max: u64,
        now_counts: bool,
    ) -> u64 {
        // As the next effect would make it, which leaves one entry of all charges of the future.
        // (Logs are compact, so a copy is soon made; very many ids are taken as they are.)
        let few_ids = self.ids.as_ref().filter(|ids| ids.len() < DROPS);
        let ahead = self.ahead(now).then(|| {
            let mut here = Limiter {
                limits: self.limits.clone(),
                blocked_until: 0,
                ids: few_ids.cloned(),
            };
            here.settle(now);
            here.sweep();
            here
        });
        let here = ahead.as_ref().unwrap_or(self);
        let ids = match few_ids {
            Some(_) => here.ids.as_ref(),
            None => self.ids.as_ref(),
        };
        let entries = |time: u64| {
            let runs = here.limits.iter().map(|limit| match &limit.usage {
                Usage::Log(log) => log.runs_live(limit.window, time),
                _ => 0,
            });
            runs.sum::<u64>() + ids.map_or(0, |ids| ids.live(time))
        };
        let shares = request.limits.iter().filter(|spec| {
            spec.algo() == Algo::Log
                && here
                    .find(spec)
                    .is_some_and(|limit| limit.newest() == now && !limit.is_empty())
        });
        let adds_now = match now_counts {
            true => adds - shares.count() as u64,
            false => adds,
        };
        if adds_now == 0 || entries(now) + adds_now <= max {
            return 0;
        }
        if adds > max {
            return NEVER;
        }
        // Entries only expire: the first time with room lies after `none` and not after `some`.
        let logs = here.limits.iter();
        let logs = logs.filter(|limit| limit.usage.algo() == Algo::Log);
        let ids_end = ids.and_then(|ids| ids.end());
        let end = logs.map(|limit| limit.end()).chain(ids_end).max();
        let (mut none, mut some) = (now, end.unwrap_or(now).max(now + 1));
        while some - none > 1 {
            let middle = none + (some - none) / 2;
            if entries(middle) + adds <= max {
                some = middle;
            } else {
                none = middle;
            }
        }
        some - now
    }

    /// DETAIL: per limit what it is like after `decision`, which `check` gave for the same
    /// request at the same time and which is not yet applied.
    pub fn detail(
        &self,
        now: u64,
        request: &Request,
        decision: &Decision,
    ) -> SmallVec<[LimitDetail; MAX_LIMITS_PER_REQUEST]> {
        let now = now.min(MAX_VALUE);
        let held = decision.held;
        let charged = match &decision.effect {
            Some(Effect {
                change: Change::Charge { units, .. },
                ..
            }) => *units,
            _ => 0,
        };
        let detail = |spec| {
            let view = self.view(spec, now);
            let wait = |target| view.usage.wait(spec, now, charged, target);
            let used = view.used + charged;
            let left = spec.cap().saturating_sub(used);
            let next = match used {
                0 => 0,
                _ => wait(used.min(spec.cap()) - 1).min(MAX_VALUE),
            };
            let refuses = match request.partial {
                true => request.cost > view.left,
                false => view.used + request.cost > spec.cap(),
            };
            LimitDetail {
                quota: spec.quota() as i64,
                window: spec.window() as i64,
                remaining: if held > 0 { 0 } else { left as i64 },
                next_after: match held {
                    0 => shown(next),
                    // What is left shows when the hold ends, and if nothing is, when it grows.
                    _ if left > 0 => shown(held),
                    _ => shown(held.max(next)),
                },
                reset_after: shown(wait(0).min(MAX_VALUE)),
                violated: !decision.known
                    && (refuses || (decision.log_full && spec.algo() == Algo::Log)),
            }
        };
        request.limits.iter().map(detail).collect()
    }
}

/// MCHECK: one limit per key, `limiters` and `limits` in the same order, all different keys.
/// Charges all of them or none.
pub fn check_all<'r>(
    now: u64,
    limiters: &[&Limiter],
    limits: &'r [LimitSpec],
    cost: u64,
    log_max: usize,
) -> Result<MultiDecision<'r>, LimitError> {
    let decide = |charge| {
        let pairs = limiters.iter().zip(limits);
        pairs
            .map(|(limiter, spec)| {
                let request = Request {
                    limits: std::slice::from_ref(spec),
                    cost,
                    id: None,
                    partial: false,
                };
                limiter.decide(now, &request, log_max, charge)
            })
            .collect::<Result<SmallVec<[Decision; 2]>, LimitError>>()
    };
    let charged = decide(true);
    let keys = match &charged {
        Ok(keys) if keys.iter().all(|key| key.allowed == 1) => None,
        // Not charged, one limit too many in one key is no error, if another key denies.
        _ => Some(decide(false)?),
    };
    let allowed = |keys: &[Decision]| keys.iter().all(|key| key.allowed == 1);
    let keys = match keys {
        Some(keys) if !allowed(&keys) => keys,
        _ => charged?,
    };
    let allowed = allowed(&keys);
    let waits = keys.iter().map(|key| key.retry_after);
    // -1 as u64 is the longest.
    let retry_after = waits.max_by_key(|&wait| wait as u64).unwrap_or(0);
    Ok(MultiDecision {
        allowed,
        retry_after,
        keys,
    })
}
