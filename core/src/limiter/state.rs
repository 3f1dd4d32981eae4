//! The value of a key: limits, block and remembered ids, and how effects change them.

use super::effect::{Change, Effect};
use super::ids::{Ids, Memo, Part};
use super::limits::{LimitSpec, MAX_LIMITS_IN_USE, MAX_TIME, MAX_VALUE};
use super::usage::{Limit, Usage};
use super::wait;
use crate::memory::alloc_size;
use crate::units::{Millis, Time};
use smallvec::SmallVec;

/// The limits of one subject. Nothing but [`Limiter::apply`] changes it, once it is loaded.
///
/// Times later than 2^53 ms are taken as that. Nothing is ever stamped later than the newest
/// effect.
#[derive(Debug, Clone, Default)]
pub struct Limiter {
    /// No two of the same (window, algorithm), none empty, at most 16. The first is stored in
    /// line, for most limiters have one.
    pub(super) limits: SmallVec<[Limit; 1]>,
    /// Boxed because few limiters have one.
    pub(super) block: Option<Box<Block>>,
    /// Boxed because few limiters have any. Never empty.
    pub(super) ids: Option<Box<Ids>>,
}

/// Everything is denied until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// It denies while now < this.
    pub(super) until: Time,
    /// How long it was to last when it was set. Of a block from before this was stored: so long that
    /// it never ends earlier.
    pub(super) span: Millis,
}

impl Block {
    /// A block until `until`, of which only that is known.
    pub(super) fn of_unknown_span(until: Time) -> Block {
        let span = until.since(Time::EPOCH);
        Block { until, span }
    }

    /// When it ends, as an effect at `now` would leave it: no later than was asked, if the clock was
    /// set back.
    #[inline]
    fn until_seen_at(&self, now: Time) -> Time {
        self.until.min(now + self.span)
    }
}

/// The effect cannot have happened to the value that it was to be applied to. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyError;

impl std::fmt::Display for ApplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("effect does not fit the value")
    }
}

impl std::error::Error for ApplyError {}

impl Limiter {
    /// Carries out an effect; the only way in which a limiter changes. Returns the units given
    /// back, which is what REFUND replies: the most that any of the limits gave.
    ///
    /// Deterministic: reads no clock and no configuration. Every effect first brings the whole
    /// value to its time: what is stamped later is restamped, what has expired is dropped.
    ///
    /// # Errors
    /// The effect cannot have happened to this value. Nothing was changed.
    pub fn apply(&mut self, effect: &Effect) -> Result<u64, ApplyError> {
        let now = effect.at;
        let given = match &effect.change {
            Change::Charge { units, limits, id } => {
                // By far the most charges are to the only limit there is.
                if let ([spec], None, None) = (&**limits, id, &self.ids) {
                    if let [limit] = &mut self.limits[..] {
                        if limit.is(spec) {
                            limit.charge(now, *units, spec)?;
                            self.end_block(now);
                            return Ok(0);
                        }
                    }
                }
                crate::inject::panic_if(id.unwrap_or_default(), "panic in a charge");
                self.charge(now, *units, limits, *id)?;
                0
            }
            Change::Refund { units } => {
                if !self.in_use(now) {
                    return Err(ApplyError);
                }
                self.settle(now);
                let given = self.limits.iter_mut().map(|l| l.refund(now, *units));
                given.max().unwrap_or(0)
            }
            Change::RefundId { id } => self.refund_request(now, id)?,
            Change::Reset => {
                *self = Limiter::default();
                0
            }
            Change::Block { until } => {
                let (until, span) = (*until, until.since(now));
                // No command asks for longer, so that loading takes no longer one.
                if span > Millis(MAX_VALUE) {
                    return Err(ApplyError);
                }
                self.block = Some(Box::new(Block { until, span }));
                self.settle(now);
                0
            }
            Change::Unblock => {
                self.block = None;
                self.settle(now);
                0
            }
            Change::Restamp => {
                self.settle(now);
                0
            }
        };
        self.sweep();
        Ok(given)
    }

    fn charge(
        &mut self,
        now: Time,
        units: u64,
        specs: &[LimitSpec],
        id: Option<&[u8]>,
    ) -> Result<(), ApplyError> {
        let fits = |spec| match self.find(spec) {
            Some(limit) => limit.has_room(now, units, spec),
            None => true,
        };
        if !specs.iter().all(fits)
            || !self.has_room_for(specs, now)
            || id.is_some_and(|id| self.known(id, now).is_some())
        {
            return Err(ApplyError);
        }
        self.settle(now);
        for spec in specs {
            let i = match self.limits.iter().position(|limit| limit.is(spec)) {
                Some(i) => i,
                None => self.add_limit(spec),
            };
            self.limits[i].charge(now, units, spec)?;
        }
        if let Some(id) = id {
            let charged = specs.iter().filter_map(|spec| self.find(spec));
            let memo = Memo {
                at: now,
                units,
                parts: charged.map(Part::of).collect(),
            };
            self.ids.get_or_insert_default().insert(id, memo);
        }
        Ok(())
    }

    /// Adds an empty limit, to be charged; returns its place.
    #[cold]
    pub(super) fn add_limit(&mut self, spec: &LimitSpec) -> usize {
        self.sweep();
        self.limits.reserve_exact(1);
        self.limits.push(Limit {
            window: spec.window(),
            usage: Usage::none(spec.algo()).clone(),
        });
        self.limits.len() - 1
    }

    fn refund_request(&mut self, now: Time, id: &[u8]) -> Result<u64, ApplyError> {
        if self.known(id, now).is_none() {
            return Err(ApplyError);
        }
        self.settle(now);
        let memo = self.ids.as_mut().and_then(|ids| ids.take(id, now));
        let memo = memo.ok_or(ApplyError)?;
        let mut most = 0;
        for part in &memo.parts {
            if let Some(limit) = self.limits.iter_mut().find(|limit| part.is(limit)) {
                most = most.max(limit.refund_part(now, memo.units, memo.at, part));
            }
        }
        Ok(most)
    }

    /// Brings everything to the time of an effect. What that leaves empty, `sweep` drops.
    #[inline]
    pub(super) fn settle(&mut self, now: Time) {
        for limit in &mut self.limits {
            limit.settle(now);
        }
        self.end_block(now);
        if let Some(ids) = &mut self.ids {
            ids.settle(now);
        }
    }

    #[inline]
    fn end_block(&mut self, now: Time) {
        if let Some(block) = &mut self.block {
            block.until = block.until_seen_at(now);
            if block.until <= now {
                self.block = None;
            }
        }
    }

    /// Until when everything is denied, as an effect at `now` would leave it; the epoch without a
    /// block.
    #[inline]
    pub(super) fn blocked_until(&self, now: Time) -> Time {
        let block = self.block.as_ref();
        block.map_or(Time::EPOCH, |block| block.until_seen_at(now))
    }

    /// Drops limits and ids that are left empty.
    #[inline]
    pub(super) fn sweep(&mut self) {
        if self.limits.iter().any(Limit::is_empty) {
            self.limits.retain(|limit| !limit.is_empty());
        }
        if self.ids.as_ref().is_some_and(|ids| ids.len() == 0) {
            self.ids = None;
        }
    }

    /// What is charged to this limit.
    #[inline]
    pub(super) fn find(&self, spec: &LimitSpec) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.is(spec))
    }

    /// The request of this id, if it is remembered at `now`.
    pub(super) fn known(&self, id: &[u8], now: Time) -> Option<&Memo> {
        self.ids.as_ref()?.get(id, now)
    }

    /// Until when a request of its own is remembered, as an effect at `now` would leave it.
    pub(super) fn remembered_until(&self, memo: &Memo, now: Time) -> Time {
        let ids = self.ids.as_ref();
        ids.map_or(Time::EPOCH, |ids| ids.due_seen_at(memo, now))
    }

    /// Whether no more than 16 limits are in use once these are.
    #[inline]
    pub(super) fn has_room_for(&self, specs: &[LimitSpec], now: Time) -> bool {
        if self.limits.len() + specs.len() <= MAX_LIMITS_IN_USE {
            return true;
        }
        let others = self
            .limits
            .iter()
            .filter(|limit| limit.used(now) > 0 && !specs.iter().any(|spec| limit.is(spec)));
        others.count() + specs.len() <= MAX_LIMITS_IN_USE
    }

    /// Whether anything is stamped later than `now`, the clock having been set back.
    #[inline]
    pub(super) fn ahead(&self, now: Time) -> bool {
        self.limits.iter().any(|limit| limit.newest() > now)
            || self.ids.as_ref().is_some_and(|ids| ids.newest() > now)
            || self
                .block
                .as_ref()
                .is_some_and(|block| block.until_seen_at(now) < block.until)
    }

    /// Whether anything is charged at `now`.
    fn in_use(&self, now: Time) -> bool {
        self.limits.iter().any(|limit| limit.used(now) > 0)
    }

    /// REFUND COST: every limit in use gives back min(n units, used), LOG and COUNTER newest first.
    /// `None` if there is nothing to give back; else the reply is what `apply` returns.
    pub fn refund_cost(&self, now: Time, n: u64) -> Option<Effect<'static>> {
        let at = now.min(MAX_TIME);
        let units = n.min(MAX_VALUE);
        (units > 0 && self.in_use(at)).then_some(Effect {
            at,
            change: Change::Refund { units },
        })
    }

    /// REFUND ID: gives back what the request of this id charged, as far as it is still there,
    /// and forgets it. `None` if it is not remembered; else the reply is what `apply` returns.
    ///
    /// Of the units charged there are still there: with LOG, those that stand at their millisecond;
    /// with COUNTER, those that their bucket still counts for; with FIXED, those that the same
    /// window still holds; with GCRA, those that have not drained, older units draining first.
    pub fn refund_id<'a>(&self, now: Time, id: &'a [u8]) -> Option<Effect<'a>> {
        let at = now.min(MAX_TIME);
        self.known(id, at).map(|_| Effect {
            at,
            change: Change::RefundId { id },
        })
    }

    /// RESET: forgets everything, the block too. `None` if nothing is in use.
    pub fn reset(&self, now: Time) -> Option<Effect<'static>> {
        let at = now.min(MAX_TIME);
        let remembers = self.ids.as_ref().is_some_and(|ids| ids.live(at) > 0);
        (self.in_use(at) || self.blocked_until(at) > at || remembers).then_some(Effect {
            at,
            change: Change::Reset,
        })
    }

    /// BLOCK: denies everything for `span` (1 to 2^53 ms), in place of an earlier block.
    pub fn block(&self, now: Time, span: Millis) -> Effect<'static> {
        let at = now.min(MAX_TIME);
        let until = at + wait::cap(span);
        Effect {
            at,
            change: Change::Block { until },
        }
    }

    /// BLOCK 0: ends a block. `None` if there is none.
    pub fn unblock(&self, now: Time) -> Option<Effect<'static>> {
        let at = now.min(MAX_TIME);
        (self.blocked_until(at) > at).then_some(Effect {
            at,
            change: Change::Unblock,
        })
    }

    /// Whether nothing is charged, blocked or remembered: the key is to be deleted.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.block.is_none() && self.ids.is_none()
    }

    /// From when on nothing in it is in use, if nothing else comes; 2^53 ms at most. `None` if it is
    /// empty.
    #[inline]
    pub fn expires_at(&self) -> Option<Time> {
        let block = self.block.as_ref();
        let mut end = block.map_or(Time::EPOCH, |block| block.until);
        for limit in &self.limits {
            end = end.max(limit.end());
        }
        if let Some(ids) = &self.ids {
            end = end.max(ids.end().unwrap_or_default());
        }
        (!self.is_empty()).then_some(end.min(MAX_TIME))
    }

    /// Bytes of memory, its own and on the heap. Looks at headers, not at charges or ids.
    pub fn memory_bytes(&self) -> usize {
        let spilled = match self.limits.spilled() {
            true => alloc_size(self.limits.capacity() * size_of::<Limit>()),
            false => 0,
        };
        let ids = self
            .ids
            .as_ref()
            .map_or(0, |ids| alloc_size(size_of::<Ids>()) + ids.heap_bytes());
        let heap: usize = self.limits.iter().map(|limit| limit.heap().1).sum();
        let block = self.block.as_ref().map_or(0, |_| size_of::<Block>());
        size_of::<Limiter>() + spilled + heap + ids + block
    }

    /// About how many heap blocks there are to free.
    pub fn free_effort(&self) -> usize {
        let blocks: usize = self.limits.iter().map(|limit| limit.heap().0).sum();
        1 + blocks + self.ids.as_ref().map_or(0, |ids| 2 * ids.len())
    }
}
