//! Everything that only looks. What concerns a single item is judged by the clock, as if overdue
//! transitions were applied; counts and orders show the last applied state.

use super::decide::Now;
use super::state::{Lock, OrderKey, Queue, State, Timed, Timer, lock_seq};
use super::tags::{Class, TagSet, covers};
use crate::counted_tree::difference;
use serde_bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use std::collections::{BTreeMap, BinaryHeap};

/// A lock as CLAIM and HELD answer it. Times are Unix ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimView<'a> {
    pub item: &'a [u8],
    pub payload: &'a [u8],
    pub token: u64,
    pub deadline: u64,
    pub priority: i32,
    pub submitted: u64,
    pub deliveries: u32,
    pub rev: u32,
}

/// An item as GET answers it. Times are Unix ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemView<'a> {
    pub item: &'a [u8],
    pub state: State,
    pub payload: &'a [u8],
    pub priority: i32,
    pub boost: i64,
    pub submitted: u64,
    /// The last due time; 0 if the item was never delayed.
    pub due: u64,
    pub rev: u32,
    pub reports: u32,
    pub deliveries: u32,
    pub expiries: u32,
    /// Moderator, token and deadline of the live lock.
    pub lock: Option<(&'a [u8], u64, u64)>,
    pub tags: Vec<&'a [u8]>,
    pub excluded: Vec<&'a [u8]>,
}

/// An item as LIST answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<'a> {
    pub item: &'a [u8],
    pub priority: i32,
    pub submitted: u64,
    /// Moderator and deadline.
    pub lock: Option<(&'a [u8], u64)>,
}

/// A moderator in line as WAITERS answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiterView<'a> {
    pub moderator: &'a [u8],
    pub joined: bool,
    /// Unix ms.
    pub since: u64,
    pub tags: Vec<&'a [u8]>,
}

/// Why an item would not go to a moderator now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    State,
    Tags,
    Excluded,
    Capacity,
    Paused,
    Behind,
}

/// The tag sets a moderator has to offer.
type Offered = SmallVec<[TagSet; 1]>;

/// The numbers of STATS that are not counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub ready: usize,
    pub locked: usize,
    pub delayed: usize,
    pub dead: usize,
    pub waiting: usize,
}

impl Queue {
    /// How many items there are in all.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.items.len() == 0
    }

    /// How many items are in a state.
    pub fn len_in(&self, state: State) -> usize {
        match state {
            State::Ready => self.ready,
            State::Delayed => self.delayed.len(),
            State::Locked => self.locks.len(),
            State::Dead => self.dead.len(),
        }
    }

    /// The largest token given so far; 0 if none.
    pub fn last_token(&self) -> u64 {
        self.last_token
    }

    /// How many moderators are in line.
    pub fn waiting(&self) -> usize {
        self.line.len()
    }

    fn live_lock(&self, slot: u32, now: Now) -> Option<Lock> {
        if self.items[slot].state != State::Locked {
            return None;
        }
        self.lock(slot).filter(|lock| lock.deadline > now.ms)
    }

    /// An item's state and expiries once everything overdue is applied to it.
    fn judged(&self, slot: u32, now: Now) -> (State, u32) {
        let state = self.items[slot].state;
        let extra = self.extra(slot);
        let expiries = extra.map_or(0, |e| e.expiries);
        match state {
            State::Locked if self.live_lock(slot, now).is_none() => {
                let max = self.settings.max_expiries;
                let expiries = expiries.saturating_add(1);
                if max > 0 && u64::from(expiries) >= max {
                    (State::Dead, expiries)
                } else {
                    (State::Ready, expiries)
                }
            }
            State::Delayed if extra.is_some_and(|e| e.due <= now.ms) => (State::Ready, expiries),
            _ => (state, expiries),
        }
    }

    /// A locked item as a claim; none if it is not locked.
    pub fn claim_view(&self, slot: u32) -> Option<ClaimView<'_>> {
        let item = &self.items[slot];
        let lock = self.lock(slot)?;
        Some(ClaimView {
            item: item.id(),
            payload: item.payload(),
            token: lock.token,
            deadline: lock.deadline,
            priority: item.priority,
            submitted: item.submitted(),
            deliveries: item.deliveries,
            rev: item.rev,
        })
    }

    /// What a moderator holds, lowest token first.
    pub fn held_by(
        &self,
        moderator: &[u8],
        now: Now,
    ) -> impl Iterator<Item = ClaimView<'_>> + use<'_> {
        let known = self.moderators.find(moderator);
        known
            .into_iter()
            .flat_map(move |m| self.held(m, now))
            .filter_map(|slot| self.claim_view(slot))
    }

    /// One item.
    pub fn get(&self, id: &[u8], now: Now) -> Option<ItemView<'_>> {
        let slot = self.find(id)?;
        let item = &self.items[slot];
        let extra = self.extra(slot);
        let (state, expiries) = self.judged(slot, now);
        let name = |m: u32| &*self.moderators[m].name;
        Some(ItemView {
            item: item.id(),
            state,
            payload: item.payload(),
            priority: item.priority,
            boost: item.boost(),
            submitted: item.submitted(),
            due: extra.map_or(0, |e| e.due),
            rev: item.rev,
            reports: extra.map_or(1, |e| e.reports),
            deliveries: item.deliveries,
            expiries,
            lock: self
                .live_lock(slot, now)
                .map(|lock| (name(lock.moderator), lock.token, lock.deadline)),
            tags: self.tags.names(item.tags).collect(),
            excluded: self.excluded(slot).iter().map(|(m, _)| name(*m)).collect(),
        })
    }

    /// The ready items in the order they would be claimed, by this moderator if one is named.
    pub fn peek(&self, count: usize, moderator: Option<(&[u8], Option<&[&Bytes]>)>) -> Vec<&[u8]> {
        let known = moderator.and_then(|(name, _)| self.moderators.find(name));
        let sets = moderator.map(|(_, given)| self.offered(known, given));
        let mut heads = BinaryHeap::new();
        let mut iters: Vec<Box<dyn Iterator<Item = u32> + '_>> = Vec::new();
        let excluded = known.map(|m| &self.moderators[m].excluded);
        for class in &self.tags.with_ready {
            let Class { tags, ready, .. } = &self.tags.classes[*class];
            let offered = |sets: &Offered| sets.iter().any(|set| covers(set, tags));
            if !sets.as_ref().is_none_or(offered) {
                continue;
            }
            let mut iter: Box<dyn Iterator<Item = u32> + '_> =
                match excluded.and_then(|e| e.get(class)) {
                    Some(excluded) => Box::new(difference(ready, excluded)),
                    None => Box::new(ready.iter()),
                };
            if let Some(slot) = iter.next() {
                heads.push(std::cmp::Reverse((self.key(slot), slot, iters.len())));
                iters.push(iter);
            }
        }
        let mut ids = Vec::new();
        while ids.len() < count {
            let Some(std::cmp::Reverse((_, slot, from))) = heads.pop() else {
                break;
            };
            ids.push(self.items[slot].id());
            if let Some(next) = iters[from].next() {
                heads.push(std::cmp::Reverse((self.key(next), next, from)));
            }
        }
        ids
    }

    /// How many ready items come before `key`, over all tag combinations.
    fn rank(&self, key: OrderKey) -> usize {
        self.tags
            .with_ready
            .iter()
            .map(|c| self.tags.classes[*c].ready.rank(key, |s| self.key(s)))
            .sum()
    }

    /// 1 for the item that is claimed next; none unless it is ready.
    pub fn position(&self, id: &[u8]) -> Option<usize> {
        let slot = self.find(id)?;
        (self.items[slot].state == State::Ready).then(|| self.rank(self.key(slot)) + 1)
    }

    /// Counts of the last applied state.
    pub fn summary(&self) -> Summary {
        Summary {
            ready: self.ready,
            locked: self.locks.len(),
            delayed: self.delayed.len(),
            dead: self.dead.len(),
            waiting: self.line.len(),
        }
    }

    /// Ready items by tag (an item counts for each of its tags).
    pub fn ready_by_tag(&self) -> BTreeMap<&[u8], usize> {
        let mut by_tag = BTreeMap::new();
        for class in &self.tags.with_ready {
            let class = &self.tags.classes[*class];
            for tag in &class.tags {
                *by_tag.entry(self.tags.name(*tag)).or_insert(0) += class.ready.len();
            }
        }
        by_tag
    }

    /// Bytes of memory in use, estimated from sizes and counts: O(tag combinations).
    pub fn memory_bytes(&self) -> usize {
        // A B-tree of the standard library: nodes of up to 11 entries, about 2/3 full.
        let btree = |len: usize, entry: usize| len * (entry + 2) * 3 / 2;
        let classes: usize = self
            .tags
            .with_ready
            .iter()
            .map(|c| self.tags.classes[*c].ready.memory_bytes())
            .sum();
        size_of::<Queue>()
            + self.content_bytes
            + self.items.memory_bytes()
            + self.ids.memory_bytes()
            + self.by_seq.memory_bytes()
            + self.ages.memory_bytes()
            + self.tags.memory_bytes()
            + classes
            + self.moderators.memory_bytes()
            + btree(
                self.extras.len(),
                size_of::<super::state::Extra>() + 4,
            )
            + self.locks.memory_bytes()
            // What moderators hold.
            + btree(self.locks.len(), 12)
            + btree(self.delayed.len() + self.dead.len(), 16)
            + self.timers.memory_bytes()
            + btree(self.line.len(), 20)
            + self.stats.wait.memory_bytes()
            + self.stats.handle.memory_bytes()
    }
}

/// How many slots LIST READY looks at beyond those it answers, and WHY of those that are overdue, so
/// that one call stays short.
const LIST_SCAN: usize = 10_000;

impl Queue {
    fn listed(&self, slot: u32, now: Now) -> Listed<'_> {
        let item = &self.items[slot];
        Listed {
            item: item.id(),
            priority: item.priority,
            submitted: item.submitted(),
            lock: self
                .live_lock(slot, now)
                .map(|lock| (&*self.moderators[lock.moderator].name, lock.deadline)),
        }
    }

    /// Up to `count` items of a state in the order they arrived, from `cursor` on (0: the first),
    /// and the cursor to go on with (0: that was all). What is there throughout an iteration is
    /// answered, whatever else changes.
    pub fn list(
        &self,
        state: State,
        cursor: u64,
        count: usize,
        now: Now,
    ) -> (u64, Vec<Listed<'_>>) {
        let mut rows = Vec::new();
        let mut next = 0;
        match state {
            State::Ready => {
                let from = self.by_seq.rank(cursor, |s| self.items[s].seq());
                for (looked, slot) in self.by_seq.iter_from(from).enumerate() {
                    if rows.len() == count || looked == LIST_SCAN {
                        next = self.items[slot].seq();
                        break;
                    }
                    if self.items[slot].state == State::Ready {
                        rows.push(self.listed(slot, now));
                    }
                }
            }
            State::Locked => {
                let from = self.locks.rank(cursor, lock_seq);
                for (seq, lock) in self.locks.iter_from(from) {
                    if rows.len() == count {
                        next = seq;
                        break;
                    }
                    rows.push(self.listed(lock.slot, now));
                }
            }
            State::Delayed | State::Dead => {
                let set = match state {
                    State::Dead => &self.dead,
                    _ => &self.delayed,
                };
                for (seq, slot) in set.range((cursor, 0)..) {
                    if rows.len() == count {
                        next = *seq;
                        break;
                    }
                    rows.push(self.listed(*slot, now));
                }
            }
        }
        (next, rows)
    }

    /// The moderators in line, the longest waiting first.
    pub fn waiters(&self, count: usize) -> Vec<WaiterView<'_>> {
        let view = |(place, slot): &((u64, u64), u32)| {
            let m = &self.moderators[*slot];
            let joined = m.profile.as_ref().filter(|p| p.place.is_some());
            // One who waits in several ways is shown with the tags of the first.
            let list = match (joined, m.blocked.iter().min_by_key(|b| b.place)) {
                (Some(profile), _) => profile.tags,
                (None, Some(call)) => match &m.profile {
                    Some(profile) if !call.own_tags => profile.tags,
                    _ => call.tags,
                },
                (None, None) => super::tags::EMPTY,
            };
            WaiterView {
                moderator: &m.name,
                joined: joined.is_some(),
                since: place.0,
                tags: self.tags.names(list).collect(),
            }
        };
        self.line.iter().take(count).map(view).collect()
    }

    /// The tag sets a moderator has to offer: the one given, else the one a CLAIM would go by and
    /// those of their blocked calls.
    fn offered(&self, moderator: Option<u32>, given: Option<&[&Bytes]>) -> Offered {
        let mut sets: Offered = smallvec![self.claim_tags(moderator, given)];
        if let (Some(m), None) = (moderator, given) {
            // Many calls of one name mostly offer the same.
            let blocked = self.moderators[m].blocked.iter();
            let own = blocked.filter(|call| call.own_tags);
            let mut lists: SmallVec<[u32; 2]> = own.map(|call| call.tags).collect();
            lists.sort_unstable();
            lists.dedup();
            sets.extend(lists.iter().map(|list| self.tags.set(*list).into()));
        }
        sets
    }

    /// Why an item would not go to a moderator now; none at all if there is no such item.
    pub fn why(
        &self,
        id: &[u8],
        moderator: &[u8],
        given: Option<&[&Bytes]>,
        now: Now,
    ) -> Option<Vec<Reason>> {
        let slot = self.find(id)?;
        let known = self.moderators.find(moderator);
        let sets = self.offered(known, given);
        let covered = |slot: u32| {
            let needed = self.tags.set(self.items[slot].tags);
            sets.iter().any(|set| covers(set, needed))
        };
        let mut reasons = Vec::new();
        let (state, _) = self.judged(slot, now);
        if state != State::Ready {
            reasons.push(Reason::State);
        }
        if !covered(slot) {
            reasons.push(Reason::Tags);
        }
        let excluded =
            |slot: u32| known.is_some_and(|m| self.excluded(slot).iter().any(|(e, _)| *e == m));
        if excluded(slot) {
            reasons.push(Reason::Excluded);
        }
        let capacity = self.settings.capacity;
        let held = known.map_or(0, |m| self.held(m, now).count() as u64);
        if capacity > 0 && held >= capacity {
            reasons.push(Reason::Capacity);
        }
        if self.paused_out {
            reasons.push(Reason::Paused);
        }
        // Others come first only where this one could come at all: those that are ready, and those
        // that would be, had what is overdue been applied.
        let comes_first = |other: u32| other != slot && self.key(other) < self.key(slot);
        let overdue = || {
            let due = self.timers.iter().take_while(|t| t.time <= now.ms);
            due.take(LIST_SCAN).any(|timer| match timer.what {
                Timed::Registration(_) => false,
                Timed::Deadline(_, other) | Timed::Due(_, other) => {
                    let back = self.judged(other, now).0 == State::Ready;
                    back && comes_first(other) && covered(other) && !excluded(other)
                }
            })
        };
        let refs: SmallVec<[&[u32]; 2]> = sets.iter().map(|set| &set[..]).collect();
        if reasons.is_empty() && (self.best(known, &refs).is_some_and(comes_first) || overdue()) {
            reasons.push(Reason::Behind);
        }
        Some(reasons)
    }

    /// How many transitions are overdue: O(log n).
    pub fn overdue(&self, now: Now) -> usize {
        // Nothing that is due at that time sorts before this.
        let first_later = Timer {
            time: now.ms.saturating_add(1),
            what: Timed::Registration(0),
        };
        self.timers.rank(first_later, |timer| timer)
    }

    /// The totals and histograms.
    pub fn stats(&self) -> &super::stats::Stats {
        &self.stats
    }

    /// Ready items by priority, highest first.
    pub fn ready_by_priority(&self) -> impl Iterator<Item = (i32, usize)> + '_ {
        self.by_priority.iter().rev().map(|(p, n)| (*p, *n))
    }

    /// How long the ready item that waits longest has waited, from submit or its last due time,
    /// ms; 0 if none is ready.
    pub fn oldest_ready_ms(&self, now: Now) -> u64 {
        let seq_of = |slot: u32| self.items[slot].seq();
        let oldest = self.ages.oldest_ready(&self.by_seq, &self.locks, seq_of);
        let since = oldest.into_iter().flatten();
        let since = since.map(|slot| self.waiting_since(slot)).min();
        since.map_or(0, |since| now.ms.saturating_sub(since))
    }

    /// The largest age since submit of all items that are not dead, ms.
    pub fn oldest_item_ms(&self, now: Now) -> u64 {
        let submitted = self.ages.oldest(&self.by_seq).into_iter().flatten();
        let submitted = submitted.map(|slot| self.items[slot].submitted()).min();
        submitted.map_or(0, |submitted| now.ms.saturating_sub(submitted))
    }
}
