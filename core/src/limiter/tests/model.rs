//! The rules once more, as literally and naively as they can be put: every charge in a list, every
//! wait found by trying later times. What the engine answers is held against this.

use crate::limiter::{Algo, LimitSpec, Request};
use std::collections::{BTreeMap, BTreeSet};

const SATURATED: u64 = 1 << 53;
/// Past any clock.
const FAR: u128 = u64::MAX as u128;

/// The first time at or after `from` at which `holds`, which stays true; None by from + 2^53.
fn first(from: u64, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut lo, mut hi) = (from, from + SATURATED);
    if !holds(hi) {
        return None;
    }
    while lo < hi {
        let middle = lo + (hi - lo) / 2;
        if holds(middle) {
            hi = middle;
        } else {
            lo = middle + 1;
        }
    }
    Some(lo)
}

#[derive(Debug, Clone)]
pub(super) enum Use {
    /// (time, units) of every charge
    Log(Vec<(u64, u64)>),
    /// units by bucket
    Counter(BTreeMap<u64, u64>),
    /// (opened, units)
    Fixed(u64, u64),
    /// (v, as of, quota of the last charge)
    Gcra(u128, u64, u64),
}

impl Use {
    fn new(algo: Algo) -> Use {
        match algo {
            Algo::Log => Use::Log(vec![]),
            Algo::Counter => Use::Counter(BTreeMap::new()),
            Algo::Fixed => Use::Fixed(0, 0),
            Algo::Gcra => Use::Gcra(0, 0, 1),
        }
    }

    /// Units used at `now`; nothing is stamped later than that.
    fn used(&self, window: u64, quota: Option<u64>, now: u64) -> u64 {
        match self {
            Use::Log(charges) => {
                let live = charges.iter().filter(|c| c.0 + window > now);
                live.map(|c| c.1).sum()
            }
            Use::Counter(buckets) => {
                let (wide, time) = (i128::from(window), i128::from(now));
                let w = (wide + 59) / 60;
                let o = (time - wide).div_euclid(w);
                let of = |b: i128| buckets.get(&(b as u64)).copied().unwrap_or(0);
                let younger: u64 = buckets
                    .iter()
                    .filter(|b| i128::from(*b.0) > o)
                    .map(|b| b.1)
                    .sum();
                let n_o = if o < 0 { 0 } else { i128::from(of(o)) };
                younger + (n_o * ((o + 1) * w - (time - wide)) / w) as u64
            }
            &Use::Fixed(opened, units) => {
                if now < opened + window {
                    units
                } else {
                    0
                }
            }
            &Use::Gcra(v, at, last) => {
                let gone = v.saturating_sub(u128::from(now - at) * u128::from(last)) == 0;
                let drained = u128::from(now - at) * u128::from(quota.unwrap_or(last));
                if gone {
                    0
                } else {
                    v.saturating_sub(drained).div_ceil(u128::from(window)) as u64
                }
            }
        }
    }

    fn buckets(&mut self) -> &mut BTreeMap<u64, u64> {
        match self {
            Use::Counter(buckets) => buckets,
            _ => panic!("no counter"),
        }
    }

    /// Restamps what is later than `now`, forgets what has expired.
    fn settle(&mut self, window: u64, now: u64) {
        match self {
            Use::Log(charges) => {
                charges.iter_mut().for_each(|c| c.0 = c.0.min(now));
                charges.retain(|c| c.0 + window > now && c.1 > 0);
            }
            Use::Counter(buckets) => {
                let w = window.div_ceil(60);
                let later = buckets.split_off(&(now / w + 1));
                let moved: u64 = later.values().sum();
                if moved > 0 {
                    *buckets.entry(now / w).or_default() += moved;
                }
                // What no longer counts for anything is gone, wherever the clock goes next.
                while let Some((&bucket, _)) = self.buckets().first_key_value() {
                    let mut without = self.clone();
                    without.buckets().remove(&bucket);
                    if without.used(window, None, now) < self.used(window, None, now) {
                        break;
                    }
                    *self = without;
                }
            }
            Use::Fixed(opened, units) => {
                *opened = now.min(*opened);
                if now >= *opened + window {
                    *units = 0;
                }
            }
            Use::Gcra(v, at, last) => {
                *at = now.min(*at);
                if v.saturating_sub(u128::from(now - *at) * u128::from(*last)) == 0 {
                    *v = 0;
                }
            }
        }
    }

    fn charge(&mut self, spec: &LimitSpec, now: u64, units: u64) {
        let window = spec.window().0;
        match self {
            Use::Log(charges) => charges.push((now, units)),
            Use::Counter(buckets) => {
                *buckets.entry(now / window.div_ceil(60)).or_default() += units
            }
            Use::Fixed(opened, used) => {
                if *used == 0 {
                    *opened = now;
                }
                *used += units;
            }
            Use::Gcra(v, at, last) => {
                let drained = u128::from(now - *at) * u128::from(spec.quota());
                *v = v.saturating_sub(drained) + u128::from(units) * u128::from(window);
                (*at, *last) = (now, spec.quota());
            }
        }
    }

    fn refund(&mut self, window: u64, now: u64, n: u64) -> u64 {
        let before = self.used(window, None, now);
        let given = n.min(before);
        match self {
            Use::Log(charges) => {
                let mut left = given;
                for charge in charges.iter_mut().rev() {
                    let back = left.min(charge.1);
                    charge.1 -= back;
                    left -= back;
                }
            }
            Use::Counter(_) => {
                // One unit at a time from the newest that counts, until enough has come back.
                while before - self.used(window, None, now) < given {
                    let Use::Counter(buckets) = self else {
                        return 0;
                    };
                    let Some((_, units)) = buckets.iter_mut().rev().find(|b| *b.1 > 0) else {
                        break;
                    };
                    *units -= 1;
                }
            }
            Use::Fixed(_, used) => *used -= given,
            Use::Gcra(v, at, last) => {
                let now_v = v.saturating_sub(u128::from(now - *at) * u128::from(*last));
                *v = now_v.saturating_sub(u128::from(n) * u128::from(window));
                *at = now;
            }
        }
        given
    }
}

#[derive(Debug, Clone)]
pub(super) struct Memory {
    at: u64,
    units: u64,
    /// (algo, window, end of the FIXED window or time at which a GCRA bucket would be empty, quota)
    parts: Vec<(Algo, u64, u128, u64)>,
}

impl Memory {
    fn until(&self) -> u64 {
        let until = self
            .parts
            .iter()
            .map(|&(algo, window, gone, _)| match algo {
                Algo::Fixed => gone as u64,
                _ => self.at + window,
            });
        until.max().unwrap()
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub limits: Vec<(u64, Algo, Use)>,
    pub blocked_until: u64,
    /// How long the block was to last.
    pub block: u64,
    pub ids: BTreeMap<Vec<u8>, Memory>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    pub five: [i64; 5],
    pub granted: u64,
    pub charged: u64,
    /// (remaining, next_after, reset_after, violated) per limit, when not blocked.
    pub detail: Vec<(i64, i64, i64, bool)>,
}

impl Model {
    /// Whether something is stamped later than `now`.
    pub(super) fn ahead(&self, now: u64) -> bool {
        let limits = self.limits.iter().any(|(window, _, usage)| match usage {
            Use::Log(charges) => charges.iter().any(|c| c.0 > now && c.1 > 0),
            Use::Counter(b) => b
                .iter()
                .any(|b| *b.0 > now / window.div_ceil(60) && *b.1 > 0),
            Use::Fixed(opened, units) => *opened > now && *units > 0,
            Use::Gcra(v, at, _) => *at > now && *v > 0,
        });
        let blocked = self.blocked_until > now + self.block;
        blocked || limits || self.ids.values().any(|memory| memory.at > now)
    }

    pub(super) fn settle(&mut self, now: u64) {
        for (window, _, usage) in &mut self.limits {
            usage.settle(*window, now);
        }
        self.limits.retain(|l| l.2.used(l.0, None, now) > 0);
        self.blocked_until = self.blocked_until.min(now + self.block);
        if self.blocked_until <= now {
            self.blocked_until = 0;
        }
        for memory in self.ids.values_mut().filter(|memory| memory.at > now) {
            for (algo, window, gone, _) in &mut memory.parts {
                match algo {
                    Algo::Fixed => *gone = (*gone).min(u128::from(now + *window)),
                    Algo::Gcra if *gone < FAR => *gone -= u128::from(memory.at - now),
                    _ => {}
                }
            }
            memory.at = now;
        }
        self.ids.retain(|_, memory| memory.until() > now);
    }

    fn find(&self, spec: &LimitSpec) -> Option<&Use> {
        self.limits
            .iter()
            .find(|l| l.0 == spec.window().0 && l.1 == spec.algo())
            .map(|l| &l.2)
    }

    pub(super) fn used(&self, spec: &LimitSpec, now: u64) -> u64 {
        self.find(spec)
            .map_or(0, |u| u.used(spec.window().0, Some(spec.quota()), now))
    }

    /// Distinct milliseconds in the logs, plus remembered ids.
    fn entries(&self, now: u64) -> usize {
        let mut entries = self.ids.values().filter(|m| m.until() > now).count();
        for (window, _, usage) in &self.limits {
            if let Use::Log(charges) = usage {
                let live = charges.iter().filter(|c| c.0 + window > now && c.1 > 0);
                entries += live.map(|c| c.0).collect::<BTreeSet<_>>().len();
            }
        }
        entries
    }

    /// Whether there is room for the charge's entries at `now`.
    fn log_room(&self, now: u64, request: &Request, log_max: usize) -> bool {
        let logs = request.limits.iter().filter(|l| l.algo() == Algo::Log);
        let adds = usize::from(request.id.is_some())
            + logs
                .filter(|spec| match self.find(spec) {
                    Some(Use::Log(charges)) => !charges.iter().any(|c| c.0 == now && c.1 > 0),
                    _ => true,
                })
                .count();
        adds == 0 || self.entries(now) + adds <= log_max
    }

    /// What is granted by a request met at `now`, if it is admitted.
    fn admits(&self, now: u64, request: &Request, log_max: usize) -> Option<u64> {
        if self.blocked_until > now {
            return None;
        }
        if let Some(id) = request.id {
            if let Some(memory) = self.ids.get(id).filter(|m| m.until() > now) {
                return Some(memory.units);
            }
        }
        let used = |spec: &LimitSpec| self.used(spec, now);
        let granted = if request.partial {
            let left = request
                .limits
                .iter()
                .map(|l| cap(l).saturating_sub(used(l)));
            let granted = left.min().unwrap().min(request.cost);
            if granted == 0 && request.cost > 0 {
                return None;
            }
            granted
        } else {
            if request
                .limits
                .iter()
                .any(|l| used(l) + request.cost > cap(l))
            {
                return None;
            }
            request.cost
        };
        (request.cost == 0 || self.log_room(now, request, log_max)).then_some(granted)
    }

    /// What is answered to a request.
    pub(super) fn check(&self, now: u64, request: &Request, log_max: usize) -> Verdict {
        let mut here = self.clone();
        here.settle(now);
        let memory = request.id.and_then(|id| here.ids.get(id));
        let known_until = memory.map(Memory::until).filter(|until| *until > now);
        let admitted = here.admits(now, request, log_max);
        let charged = match known_until {
            Some(_) => 0,
            None => admitted.unwrap_or(0),
        };
        let mut after = here.clone();
        if charged > 0 {
            after.charge(now, charged, request.limits, request.id);
        }
        let answer = Answer {
            now,
            request,
            log_max,
            model: self,
            here,
            after,
            known_until,
            admitted,
        };
        let violated = answer.violated();
        let spec = &request.limits[answer.deciding(&violated)];
        Verdict {
            five: [
                i64::from(admitted.is_some()),
                spec.quota() as i64,
                answer.left(spec) as i64,
                answer.retry(&violated),
                answer.wait(&answer.after, spec, 0),
            ],
            granted: admitted.unwrap_or(0),
            charged,
            detail: request.limits.iter().map(|l| answer.detail(l)).collect(),
        }
    }

    /// Charges a settled model.
    pub(super) fn charge(&mut self, now: u64, units: u64, limits: &[LimitSpec], id: Option<&[u8]>) {
        let mut parts = vec![];
        for spec in limits {
            if self.find(spec).is_none() {
                let fresh = (spec.window().0, spec.algo(), Use::new(spec.algo()));
                self.limits.push(fresh);
            }
            let of_spec = |l: &&mut (u64, Algo, Use)| l.0 == spec.window().0 && l.1 == spec.algo();
            let usage = &mut self.limits.iter_mut().find(of_spec).unwrap().2;
            if let Use::Gcra(v, at, _) = usage {
                if *v == 0 {
                    *at = now;
                }
            }
            usage.charge(spec, now, units);
            let gone = match usage {
                Use::Fixed(opened, _) => u128::from(*opened + spec.window().0),
                Use::Gcra(v, at, last) => {
                    (u128::from(*at) + v.div_ceil(u128::from(*last))).min(FAR)
                }
                _ => 0,
            };
            parts.push((spec.algo(), spec.window().0, gone, spec.quota()));
        }
        if let Some(id) = id {
            let memory = Memory {
                at: now,
                units,
                parts,
            };
            self.ids.insert(id.to_vec(), memory);
        }
    }

    pub(super) fn refund(&mut self, now: u64, n: u64) -> u64 {
        let given = self
            .limits
            .iter_mut()
            .map(|(window, _, usage)| usage.refund(*window, now, n));
        given.max().unwrap_or(0)
    }

    /// Gives back and forgets a request, on a settled model.
    pub(super) fn refund_id(&mut self, now: u64, id: &[u8]) -> u64 {
        let Some(memory) = self.ids.remove(id) else {
            return 0;
        };
        let mut most = 0;
        for (algo, window, gone, rate) in memory.parts {
            let Some(limit) = self
                .limits
                .iter_mut()
                .find(|l| l.0 == window && l.1 == algo)
            else {
                continue;
            };
            let before = limit.2.used(window, None, now);
            match &mut limit.2 {
                Use::Log(charges) => {
                    let mut left = memory.units;
                    for charge in charges.iter_mut().filter(|c| c.0 == memory.at) {
                        let back = left.min(charge.1);
                        charge.1 -= back;
                        left -= back;
                    }
                }
                Use::Counter(buckets) => {
                    if let Some(units) = buckets.get_mut(&(memory.at / window.div_ceil(60))) {
                        *units -= memory.units.min(*units);
                    }
                }
                Use::Fixed(opened, used) => {
                    if u128::from(*opened + window) == gone {
                        *used -= memory.units.min(*used);
                    }
                }
                Use::Gcra(v, at, last) => {
                    let quota = u128::from(*last);
                    let now_v = v.saturating_sub(u128::from(now - *at) * quota);
                    let charged = u128::from(memory.units) * u128::from(window);
                    let there = match gone {
                        FAR => u128::MAX,
                        _ => gone.saturating_sub(u128::from(now)) * u128::from(rate),
                    };
                    *v = now_v - charged.min(there).min(now_v);
                    *at = now;
                }
            }
            most = most.max(before - limit.2.used(window, None, now));
        }
        most
    }
}

/// An answer in the making.
struct Answer<'a> {
    now: u64,
    request: &'a Request<'a>,
    log_max: usize,
    model: &'a Model,
    /// The model as settled now.
    here: Model,
    /// The same after what is charged.
    after: Model,
    /// Until when the request is remembered, if it is.
    known_until: Option<u64>,
    /// What is granted, if the request is admitted.
    admitted: Option<u64>,
}

/// The most units that can be charged at once.
fn cap(spec: &LimitSpec) -> u64 {
    match spec.algo() {
        Algo::Gcra => spec.burst(),
        _ => spec.quota(),
    }
}

impl Answer<'_> {
    /// Ms until no more than `target` units are used.
    fn wait(&self, model: &Model, spec: &LimitSpec, target: u64) -> i64 {
        let time = first(self.now, |time| model.used(spec, time) <= target);
        time.map_or(SATURATED, |time| time - self.now) as i64
    }

    fn left(&self, spec: &LimitSpec) -> u64 {
        cap(spec).saturating_sub(self.after.used(spec, self.now))
    }

    /// Whether the request is remembered for longer than a block lasts.
    fn spared(&self) -> bool {
        let outlasts = |until: u64| until > self.here.blocked_until;
        self.known_until.is_some_and(outlasts)
    }

    /// (wait, index) of each limit that denies the request.
    fn violated(&self) -> Vec<(i64, usize)> {
        // Of one unit when not even that can be granted.
        let asked = match self.admitted {
            None if self.request.partial => self.request.cost.min(1),
            _ => self.request.cost,
        };
        let none = self.admitted.is_some()
            || (self.request.partial && self.request.cost == 0)
            || self.spared();
        let limits = self.request.limits.iter().enumerate();
        limits
            .filter(|_| !none)
            .filter(|(_, spec)| self.here.used(spec, self.now) + asked > cap(spec))
            .map(|(i, spec)| match cap(spec).checked_sub(asked) {
                Some(target) => (self.wait(&self.here, spec, target), i),
                None => (-1, i),
            })
            .collect()
    }

    /// The index of the limit that decides.
    fn deciding(&self, violated: &[(i64, usize)]) -> usize {
        let limits = &self.request.limits;
        // -1 as u64 is the longest.
        match violated.iter().map(|v| v.0 as u64).max() {
            Some(wait) => violated.iter().find(|v| v.0 as u64 == wait).unwrap().1,
            None => (0..limits.len())
                .min_by_key(|&i| self.left(&limits[i]))
                .unwrap(),
        }
    }

    /// Ms until the request is admitted, -1 for never.
    fn retry(&self, violated: &[(i64, usize)]) -> i64 {
        let request = self.request;
        let log_full_for_ever = || {
            let logs = request.limits.iter().filter(|l| l.algo() == Algo::Log);
            let adds = logs.count() + usize::from(request.id.is_some());
            request.cost > 0
                && adds > 0
                && adds > self.log_max
                && self.model.entries(self.now) + adds > self.log_max
        };
        match self.admitted {
            Some(_) => 0,
            // Allowed once the block ends, if still remembered then (but perhaps not for ever).
            None if self.spared() => (self.here.blocked_until - self.now) as i64,
            None if violated.iter().any(|v| v.0 == -1) || log_full_for_ever() => -1,
            None => {
                let admits = |time| self.here.admits(time, request, self.log_max).is_some();
                first(self.now, admits).map_or(SATURATED, |time| time - self.now) as i64
            }
        }
    }

    /// (remaining, next_after, reset_after, violated) of a limit.
    fn detail(&self, spec: &LimitSpec) -> (i64, i64, i64, bool) {
        let (before, cost) = (self.here.used(spec, self.now), self.request.cost);
        let next = match self.after.used(spec, self.now) {
            0 => 0,
            // Until more than now is left.
            used => self.wait(&self.after, spec, used.min(cap(spec)) - 1),
        };
        let refuses = match self.request.partial {
            true => cap(spec).saturating_sub(before) < cost,
            false => before + cost > cap(spec),
        };
        let refuses = refuses && self.known_until.is_none();
        let reset = self.wait(&self.after, spec, 0);
        (self.left(spec) as i64, next, reset, refuses)
    }
}
