//! Whether there is room for the entries that a request adds to the memory of a key: runs of LOG
//! limits and remembered ids, of which `ratelimit.log-max-entries` are allowed.

use super::agenda::DROPS;
use super::decide::Request;
use super::ids::Ids;
use super::limits::Algo;
use super::state::Limiter;
use super::usage::{Limit, Usage};
use super::wait::Wait;
use crate::units::Time;

/// What is held at the time of a request, as an effect at that time would leave it.
struct Entries<'a> {
    limits: &'a [Limit],
    ids: Option<&'a Ids>,
}

impl Entries<'_> {
    /// How many are live at `time`.
    fn live(&self, time: Time) -> u64 {
        let runs = self.limits.iter().map(|limit| match &limit.usage {
            Usage::Log(log) => log.runs_live(limit.window, time),
            _ => 0,
        });
        runs.sum::<u64>() + self.ids.map_or(0, |ids| ids.live(time))
    }

    /// When the last of them ends, if there are any.
    fn end(&self) -> Option<Time> {
        let is_log = |limit: &&Limit| limit.usage.algo() == Algo::Log;
        let logs = self.limits.iter().filter(is_log);
        let ids_end = self.ids.and_then(|ids| ids.end());
        logs.map(Limit::end).chain(ids_end).max()
    }

    /// How many of the entries that a charge at `now` adds are there already: runs of that ms.
    fn shared(&self, now: Time, request: &Request) -> u64 {
        let shares = |limit: &Limit| limit.newest() == now && !limit.is_empty();
        let specs = request.limits.iter().filter(|spec| {
            let mut limits = self.limits.iter();
            spec.algo() == Algo::Log && limits.any(|limit| limit.is(spec) && shares(limit))
        });
        specs.count() as u64
    }

    /// The first time after `now` at which no more than `most` are live. (They only expire.)
    fn time_of(&self, most: u64, now: Time) -> Time {
        let end = self.end().unwrap_or(now);
        // At `too_early` there are more, at `in_time` there are not.
        let (mut too_early, mut in_time) = (now.0, end.0.max(now.0 + 1));
        while in_time - too_early > 1 {
            let middle = too_early + (in_time - too_early) / 2;
            if self.live(Time(middle)) <= most {
                in_time = middle;
            } else {
                too_early = middle;
            }
        }
        Time(in_time)
    }
}

impl Limiter {
    /// How long it takes until there is room for the entries that a charge adds: a run for each LOG
    /// limit, and the id. `None` if there is room now. `now_counts`: nothing else keeps the charge
    /// from being made now, when it can share runs of the same ms.
    #[inline]
    pub(super) fn log_wait(
        &self,
        now: Time,
        request: &Request,
        log_max: usize,
        now_counts: bool,
    ) -> Option<Wait> {
        let mut adds = u64::from(request.id.is_some());
        for spec in request.limits {
            adds += u64::from(spec.algo() == Algo::Log);
        }
        if adds == 0 {
            return None;
        }
        // There are no more runs than units, which need not be counted.
        let mut at_most = self.ids.as_ref().map_or(0, |ids| ids.len() as u64);
        for limit in &self.limits {
            if let Usage::Log(log) = &limit.usage {
                at_most = at_most.saturating_add(log.total());
            }
        }
        if at_most.saturating_add(adds) <= log_max as u64 {
            return None;
        }
        self.counted_log_wait(now, request, adds, log_max as u64, now_counts)
    }

    /// The same, with every entry counted.
    #[cold]
    fn counted_log_wait(
        &self,
        now: Time,
        request: &Request,
        adds: u64,
        max: u64,
        now_counts: bool,
    ) -> Option<Wait> {
        let few_ids = self.ids.as_deref().filter(|ids| ids.len() < DROPS);
        let settled = self.ahead(now).then(|| self.settled_copy(now, few_ids));
        let here = settled.as_ref().unwrap_or(self);
        let entries = Entries {
            limits: &here.limits,
            ids: match few_ids {
                Some(_) => here.ids.as_deref(),
                None => self.ids.as_deref(),
            },
        };
        let adds_now = match now_counts {
            true => adds - entries.shared(now, request),
            false => adds,
        };
        if adds_now == 0 || entries.live(now) + adds_now <= max {
            return None;
        }
        Some(match max.checked_sub(adds) {
            Some(most) => Wait::For(entries.time_of(most, now).since(now)),
            None => Wait::Forever,
        })
    }

    /// What the next effect would make of the limits, where something is stamped in the future: of
    /// all such charges it leaves one entry for each limit. Logs are compact, so this takes little
    /// time; ids are only copied if they are few, and taken as they are otherwise.
    fn settled_copy(&self, now: Time, few_ids: Option<&Ids>) -> Limiter {
        let mut copy = Limiter {
            limits: self.limits.clone(),
            block: None,
            ids: few_ids.cloned().map(Box::new),
        };
        copy.settle(now);
        copy.sweep();
        copy
    }
}
