//! Applying effects: the only code that changes a queue. It reads no clock and makes no choice,
//! and it refuses an effect that cannot have happened, having changed nothing.

use super::decide::Opportunity;
use super::effect::{Effect, Names, Settings};
use super::moderators::Profile;
use super::state::{Item, Lock, Place, Queue, State, Timed, U48};
use super::{MAX_AGING, MAX_DURATION, MAX_ID};
use serde_bytes::Bytes;
use std::collections::HashSet;

/// The effect does not fit the state: the record is damaged or not from this queue's primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyError;

impl std::fmt::Display for ApplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("effect does not fit the queue")
    }
}

impl std::error::Error for ApplyError {}

/// No time, token or deadline reaches this.
pub(super) const MAX_TIME: u64 = 1 << 53;

fn check(holds: bool) -> Result<(), ApplyError> {
    if holds { Ok(()) } else { Err(ApplyError) }
}

fn check_boost(boost: i64) -> Result<(), ApplyError> {
    check(boost.unsigned_abs() <= MAX_DURATION)
}

fn check_names(names: &Names<'_>) -> Result<(), ApplyError> {
    check(names.iter().all(|n| !n.is_empty() && n.len() <= MAX_ID))
}

/// Counts one more; a total that was loaded may be any number.
fn count(total: &mut u64) {
    *total = total.saturating_add(1);
}

impl Settings {
    /// Whether arithmetic with these settings cannot overflow.
    pub(super) fn fit(&self) -> bool {
        self.lock <= MAX_DURATION && self.aging <= MAX_AGING
    }
}

impl Queue {
    /// Checks that the moderator of that name may stand there.
    fn check_place(&self, place: Option<Place>) -> Result<(), ApplyError> {
        check(place.is_none_or(|(since, tie)| since < U48::MAX && tie < MAX_TIME))
    }

    fn need(&self, id: &Bytes) -> Result<u32, ApplyError> {
        match self.items.get(self.hint) {
            Some(item) if item.id() == &**id => Ok(self.hint),
            _ => self.find(id).ok_or(ApplyError),
        }
    }

    fn need_in(&self, id: &Bytes, state: State) -> Result<u32, ApplyError> {
        let slot = self.need(id)?;
        check(self.items[slot].state == state)?;
        Ok(slot)
    }

    fn check_new(&self, id: &Bytes) -> Result<(), ApplyError> {
        check(!id.is_empty() && id.len() <= MAX_ID && self.find(id).is_none())?;
        check(self.items.len() < u32::MAX as usize / 2 && self.next_seq < U48::MAX)
    }

    /// Applies one effect that happened at `at` (Unix ms). Answers what it may have made possible.
    ///
    /// # Errors
    /// `ApplyError` if the effect cannot have happened to this state, which is then unchanged.
    pub fn apply(&mut self, at: u64, effect: &Effect<'_>) -> Result<Opportunity, ApplyError> {
        check(at < U48::MAX)?;
        let opportunity = self.apply_checked(at, effect)?;
        self.last_at = self.last_at.max(at);
        Ok(opportunity)
    }

    fn apply_checked(&mut self, at: u64, effect: &Effect<'_>) -> Result<Opportunity, ApplyError> {
        match effect {
            Effect::Submit {
                id,
                payload,
                priority,
                boost,
                due,
                tags,
                excluded,
            } => {
                self.check_new(id)?;
                check(*due < MAX_TIME)?;
                check_boost(*boost)?;
                check_names(tags)?;
                check_names(excluded)?;
                let slot = self.take_in(id, payload, at, *boost, *priority, tags);
                if !excluded.is_empty() {
                    let excluded = self.intern_all(excluded, false);
                    self.set_excluded(slot, excluded);
                }
                count(&mut self.stats.submitted);
                if *due > 0 {
                    self.enter_delayed(slot, *due);
                    return Ok(Opportunity::None);
                }
                self.enter_ready(slot);
                Ok(Opportunity::Item(slot))
            }
            Effect::Bump {
                id,
                priority,
                boost,
            } => {
                let slot = self.need(id)?;
                check_boost(*boost)?;
                Ok(self.changed(slot, true, |queue| {
                    let item = &mut queue.items[slot];
                    item.priority = *priority;
                    item.set_boost(*boost);
                    queue.with_extra(slot, |extra| {
                        extra.reports = extra.reports.saturating_add(1);
                    });
                }))
            }
            Effect::Change {
                id,
                replace,
                payload,
                priority,
                boost,
                tags,
                excluded,
            } => {
                let slot = self.need(id)?;
                check_boost(boost.unwrap_or(0))?;
                tags.as_ref().map_or(Ok(()), check_names)?;
                excluded.as_ref().map_or(Ok(()), check_names)?;
                Ok(self.changed(slot, *replace, |queue| {
                    if let Some(payload) = payload {
                        queue.forget_late(slot);
                        queue.set_payload(slot, payload);
                    }
                    let item = &mut queue.items[slot];
                    if let Some(priority) = priority {
                        item.priority = *priority;
                    }
                    if let Some(boost) = boost {
                        item.set_boost(*boost);
                    }
                    if let Some(tags) = tags {
                        let old = item.tags;
                        item.tags = queue.tags.acquire(tags);
                        queue.tags.release(old);
                    }
                    if let Some(excluded) = excluded {
                        queue.exclude(slot, excluded);
                    }
                }))
            }
            Effect::Cancel { id } => {
                let slot = self.need(id)?;
                let lock = self.leave_state(slot);
                self.drop_item(slot);
                count(&mut self.stats.cancelled);
                Ok(self.freed(lock))
            }
            Effect::Lock {
                id,
                moderator,
                token,
                deadline,
                assign,
            } => {
                let slot = self.need(id)?;
                let state = self.items[slot].state;
                check(state == State::Ready || *assign && state != State::Locked)?;
                check(!moderator.is_empty() && moderator.len() <= MAX_ID)?;
                check(*token > self.last_token && *token < MAX_TIME && *deadline < MAX_TIME)?;
                self.leave_state(slot);
                self.forget_late(slot);
                let waited = at.saturating_sub(self.waiting_since(slot));
                let deliveries = &mut self.items[slot].deliveries;
                if *deliveries == 0 {
                    self.stats.wait.record(waited);
                }
                *deliveries = deliveries.saturating_add(1);
                let moderator = self.moderators.intern(moderator);
                self.last_token = *token;
                self.leave_line(moderator);
                self.enter_locked(Lock {
                    slot,
                    moderator,
                    token: *token,
                    deadline: *deadline,
                    at,
                });
                Ok(Opportunity::None)
            }
            Effect::Extend { id, deadline } => {
                let slot = self.need_in(id, State::Locked)?;
                check(*deadline < MAX_TIME)?;
                self.extend_lock(slot, *deadline);
                Ok(Opportunity::None)
            }
            Effect::Resolve { id } => {
                let slot = self.need(id)?;
                let late = self.extra(slot).and_then(|e| e.late);
                let locked = self.items[slot].state == State::Locked;
                check(locked || late.is_some())?;
                let started = late.map(|lock| lock.at);
                let lock = self.leave_state(slot);
                if let Some(started) = lock.map(|lock| lock.at).or(started) {
                    self.stats.handle.record(at.saturating_sub(started));
                }
                self.drop_item(slot);
                count(&mut self.stats.resolved);
                Ok(self.freed(lock))
            }
            Effect::Release { id, skip, due } => {
                let slot = self.need_in(id, State::Locked)?;
                check(*due < MAX_TIME)?;
                let lock = self.leave_state(slot);
                if let (Some(lock), true) = (lock, *skip) {
                    let mut excluded = self.excluded(slot).to_vec();
                    match excluded.iter_mut().find(|(m, _)| *m == lock.moderator) {
                        Some((_, skipped)) => *skipped = true,
                        None => excluded.push((lock.moderator, true)),
                    }
                    self.set_excluded(slot, excluded);
                }
                count(&mut self.stats.released);
                Ok(self.back(slot, *due, lock))
            }
            Effect::Expire { id, dead } => {
                let slot = self.need_in(id, State::Locked)?;
                let lock = self.leave_state(slot);
                if let Some(lock) = lock {
                    self.moderators[lock.moderator].mentions += 1;
                }
                self.with_extra(slot, |extra| {
                    extra.expiries = extra.expiries.saturating_add(1);
                    extra.late = lock;
                });
                count(&mut self.stats.expired);
                if *dead {
                    count(&mut self.stats.died);
                    self.enter_dead(slot);
                    return Ok(self.freed(lock));
                }
                Ok(self.back(slot, 0, lock))
            }
            Effect::Due { id } => {
                let slot = self.need_in(id, State::Delayed)?;
                self.leave_state(slot);
                self.enter_ready(slot);
                Ok(Opportunity::Item(slot))
            }
            Effect::Undo { id, place } => {
                let slot = self.need_in(id, State::Locked)?;
                self.check_place(*place)?;
                let lock = self.leave_state(slot);
                self.items[slot].deliveries = self.items[slot].deliveries.saturating_sub(1);
                if let (Some(lock), 0) = (&lock, self.items[slot].deliveries) {
                    // It goes on waiting for its first claim.
                    let waited = lock.at.saturating_sub(self.waiting_since(slot));
                    self.stats.wait.take_back(waited);
                }
                if let (Some(lock), Some(place)) = (lock, place) {
                    self.stand(lock.moderator, Some(*place));
                }
                Ok(self.back(slot, 0, lock))
            }
            Effect::Revive { id } => {
                let slot = self.need_in(id, State::Dead)?;
                Ok(self.changed_state(slot, true))
            }
            Effect::Join {
                moderator,
                place,
                ttl,
                expires,
                count,
                tags,
            } => {
                check(!moderator.is_empty() && moderator.len() <= MAX_ID)?;
                check(*expires < MAX_TIME)?;
                check_names(tags)?;
                check(*ttl <= MAX_DURATION)?;
                self.check_place(*place)?;
                let slot = self.moderators.intern(moderator);
                self.unlist(slot);
                let tags = self.tags.acquire(tags);
                let profile = Profile {
                    ttl: *ttl,
                    expires: *expires,
                    count: *count,
                    tags,
                    place: *place,
                    seen: 0,
                };
                let old = self.moderators[slot].profile.replace(Box::new(profile));
                if let Some(old) = old {
                    self.tags.release(old.tags);
                    self.remove_timer(old.expires, Timed::Registration(slot));
                }
                self.add_timer(*expires, Timed::Registration(slot));
                self.enlist(slot);
                self.note_place(*place);
                Ok(Opportunity::Moderator(slot))
            }
            Effect::Served { moderator } => {
                let slot = self.moderators.find(moderator).ok_or(ApplyError)?;
                self.leave_line(slot);
                Ok(Opportunity::None)
            }
            Effect::Leave { moderator } => {
                let slot = self.moderators.find(moderator).ok_or(ApplyError)?;
                check(self.moderators[slot].profile.is_some())?;
                self.unlist(slot);
                if let Some(old) = self.moderators[slot].profile.take() {
                    self.remove_timer(old.expires, Timed::Registration(slot));
                    self.enlist(slot);
                    self.tags.release(old.tags);
                }
                self.moderators.forget_if_idle(slot);
                Ok(Opportunity::None)
            }
            Effect::Pause { input, output } => {
                self.paused_in = *input;
                self.paused_out = *output;
                self.match_everyone();
                Ok(Opportunity::Everyone)
            }
            Effect::Configure { settings } => {
                let aging_kept = settings.aging == self.settings.aging;
                check(settings.fit() && (aging_kept || self.items.len() == 0))?;
                if settings.capacity != self.settings.capacity {
                    let waiting: Vec<u32> = self.line.iter().map(|(_, m)| *m).collect();
                    waiting.iter().for_each(|m| self.unlist(*m));
                    self.settings = settings.clone();
                    waiting.iter().for_each(|m| self.enlist(*m));
                } else {
                    self.settings = settings.clone();
                }
                self.match_everyone();
                Ok(Opportunity::Everyone)
            }
            Effect::MoveOut { id } => {
                let slot = self.need(id)?;
                let lock = self.leave_state(slot);
                self.drop_item(slot);
                Ok(self.freed(lock))
            }
            Effect::MoveIn {
                id,
                payload,
                priority,
                boost,
                submitted,
                due,
                delayed,
                rev,
                reports,
                deliveries,
                tags,
                excluded,
                token,
            } => {
                self.check_new(id)?;
                check(*submitted < U48::MAX && *due < MAX_TIME)?;
                check(*due > 0 || !*delayed)?;
                check(*token < MAX_TIME)?;
                check_boost(*boost)?;
                check_names(tags)?;
                let names: Names<'_> = excluded.iter().map(|(name, _)| *name).collect();
                check_names(&names)?;
                check(names.iter().collect::<HashSet<_>>().len() == names.len())?;
                let slot = self.take_in(id, payload, *submitted, *boost, *priority, tags);
                let item = &mut self.items[slot];
                item.rev = *rev;
                item.deliveries = *deliveries;
                let excluded = excluded
                    .iter()
                    .map(|(name, skip)| (self.moderators.intern(name), *skip))
                    .collect();
                self.set_excluded(slot, excluded);
                self.with_extra(slot, |extra| {
                    extra.reports = *reports;
                    extra.moved = true;
                    extra.due = *due;
                });
                self.last_token = self.last_token.max(*token);
                // Who comes later is not older: stamps do not run backwards.
                self.last_at = self.last_at.max(*submitted);
                if *delayed {
                    self.enter_delayed(slot, *due);
                    return Ok(Opportunity::None);
                }
                self.enter_ready(slot);
                Ok(Opportunity::Item(slot))
            }
        }
    }

    /// Has the next `advance` go along the whole line. A replica, too, remembers to, and so does
    /// what was loaded: nobody else knows how far the primary came.
    pub fn match_everyone(&mut self) {
        self.sweep = self.line.first().copied();
    }

    /// Files a new item, which is in no state yet.
    fn take_in(
        &mut self,
        id: &[u8],
        payload: &[u8],
        submitted: u64,
        boost: i64,
        priority: i32,
        tags: &Names<'_>,
    ) -> u32 {
        let mut item = Item::new(id, payload, submitted, self.next_seq, boost);
        item.priority = priority;
        item.tags = self.tags.acquire(tags);
        self.next_seq += 1;
        self.add_item(item)
    }

    fn intern_all(&mut self, names: &Names<'_>, skip: bool) -> Vec<(u32, bool)> {
        let mut all = Vec::with_capacity(names.len());
        let mut seen = HashSet::new();
        for name in names {
            let moderator = self.moderators.intern(name);
            if seen.insert(moderator) {
                all.push((moderator, skip));
            }
        }
        all
    }

    /// Names who is excluded from now on. Skips stay, unless nobody is named.
    fn exclude(&mut self, slot: u32, names: &Names<'_>) {
        let mut excluded = self.intern_all(names, false);
        if !names.is_empty() {
            let skips = self.excluded(slot).iter().filter(|(_, skip)| *skip);
            let mut skips: Vec<u32> = skips.map(|(m, _)| *m).collect();
            let skipped: HashSet<u32> = skips.iter().copied().collect();
            for (moderator, skip) in &mut excluded {
                *skip = skipped.contains(moderator);
            }
            let named: HashSet<u32> = excluded.iter().map(|(m, _)| *m).collect();
            skips.retain(|m| !named.contains(m));
            excluded.extend(skips.into_iter().map(|m| (m, true)));
        }
        self.set_excluded(slot, excluded);
    }

    pub(super) fn excluded(&self, slot: u32) -> &[(u32, bool)] {
        self.extra(slot).map_or(&[], |e| &e.excluded)
    }

    /// Changes content or order of an item, in its state; a dead one is revived if `revive`.
    fn changed(&mut self, slot: u32, revive: bool, change: impl FnOnce(&mut Queue)) -> Opportunity {
        let item = &mut self.items[slot];
        item.rev = item.rev.saturating_add(1);
        match item.state {
            // The order key and the class are part of where a ready item is filed.
            State::Ready => {
                self.leave_state(slot);
                change(self);
                self.enter_ready(slot);
                Opportunity::Item(slot)
            }
            State::Dead => {
                change(self);
                self.changed_state(slot, revive)
            }
            State::Locked | State::Delayed => {
                change(self);
                Opportunity::None
            }
        }
    }

    fn changed_state(&mut self, slot: u32, revive: bool) -> Opportunity {
        if !revive {
            return Opportunity::None;
        }
        self.leave_state(slot);
        self.with_extra(slot, |extra| extra.expiries = 0);
        self.enter_ready(slot);
        Opportunity::Item(slot)
    }

    /// Puts an item whose lock ended back into its place.
    fn back(&mut self, slot: u32, due: u64, lock: Option<Lock>) -> Opportunity {
        let freed = self.freed(lock);
        if due > 0 {
            self.enter_delayed(slot, due);
            return freed;
        }
        self.enter_ready(slot);
        match freed {
            Opportunity::Moderator(moderator) => Opportunity::Both(slot, moderator),
            _ => Opportunity::Item(slot),
        }
    }

    /// A lock ended: its moderator may now have room for another.
    fn freed(&mut self, lock: Option<Lock>) -> Opportunity {
        let Some(lock) = lock else {
            return Opportunity::None;
        };
        // Forgotten already if only the item that is gone, which excluded them, named them.
        if !self.moderators.is_known(lock.moderator) {
            return Opportunity::None;
        }
        let waits = self.moderators[lock.moderator].place().is_some();
        self.settle(Some(lock));
        if waits {
            Opportunity::Moderator(lock.moderator)
        } else {
            Opportunity::None
        }
    }

    /// Takes a registered moderator out of line. Blocked calls are the shell's to answer.
    fn leave_line(&mut self, moderator: u32) {
        self.stand(moderator, None);
    }

    fn stand(&mut self, moderator: u32, place: Option<(u64, u64)>) {
        let stands = self.moderators[moderator].profile.as_ref();
        if stands.is_none_or(|p| p.place == place) {
            return;
        }
        self.unlist(moderator);
        if let Some(profile) = &mut self.moderators[moderator].profile {
            profile.place = place;
        }
        self.enlist(moderator);
        self.note_place(place);
    }

    /// Later arrivals stand behind this place.
    pub(super) fn note_place(&mut self, place: Option<(u64, u64)>) {
        if let Some((since, tie)) = place {
            self.last_since = self.last_since.max(since);
            self.next_tie = self.next_tie.max((tie + 1).min(MAX_TIME - 1));
        }
    }
}
