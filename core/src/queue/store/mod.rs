//! Everything of a queue that is replicated and saved: its records, and the structures that find
//! them by id, by age, by order, by deadline and by moderator.
//!
//! Only [`Store::apply`] changes what is in here (and loading, which fills an empty one): the
//! fields are private to this folder, and the code that decides gets a `&Store`. The one thing
//! beside it is counting: whoever waits in a blocked call refers to a moderator and to tags
//! ([`Store::refer`]), so that they keep their numbers for as long. That changes nothing that is
//! replicated, saved or shown.
//!
//! An item is always in exactly one state. It leaves its state (`leave_state`), may be changed,
//! and enters one again (`enter_ready`, `enter_delayed`, `enter_locked`, `enter_dead`); these
//! keep all structures in step.

mod ages;
mod apply;
mod decided;
mod groups;
mod item;
mod moderators;
mod persist;
mod persist_v1;
mod persist_v2;
mod persist_v3;
mod reviews;
mod stats;
mod tags;
mod terms;
#[cfg(test)]
mod testing;

pub use apply::ApplyError;
pub(super) use apply::MAX_TIME;
pub(super) use apply::{Applied, LineChange, Opportunity};
pub(super) use decided::{Decided, Verdict, hash};
pub(super) use groups::Groups;
use item::Has;
pub(super) use item::{Exclusion, Item, Lock, Rare, U48};
pub use item::{ItemSlot, OrderKey, Rev, Seq, State};
#[cfg(test)]
pub(super) use moderators::Moderator;
pub use moderators::Place;
pub(super) use moderators::{ModeratorSlot, Moderators, Profile};
#[cfg(test)]
pub(super) use reviews::Review;
pub(super) use reviews::{Barring, Reviews, Vote};
pub use stats::{BOUNDS, Durations, Histogram, Stats};
pub(super) use tags::{ClassSlot, TagList, TagSet, TagSlot, Tags, covers};

use super::settings::{Paused, Settings};
use crate::counted_tree::CountedTree;
use crate::memory::{alloc_size, btree_bytes, counted};
use crate::on_demand::OnDemand;
use crate::slab::Slab;
use crate::slot_index::SlotIndex;
use crate::units::{Millis, Time, Token};
use ages::{Aged, Ages};
use serde_bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// All locks, each after the seq of its item, by which they are ordered.
pub(super) type Locks = CountedTree<(Seq, Lock), Seq>;

/// The key of an entry of [`Locks`].
pub(super) fn lock_seq(entry: (Seq, Lock)) -> Seq {
    entry.0
}

/// Something that happens by the clock. Ordered by time; at one time registrations end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub time: Time,
    pub what: Timed,
}

/// What happens at the time of a [`Timer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timed {
    /// A moderator's registration runs out.
    Registration(ModeratorSlot),
    /// A lock reaches its deadline: its token (older locks first) and its item.
    Deadline(Token, ItemSlot),
    /// A delayed item comes due: its seq, and where it is.
    Due(Seq, ItemSlot),
}

/// The replicated part of one queue.
#[derive(Debug, Default)]
pub(super) struct Store {
    settings: Settings,
    paused: Paused,
    /// The largest stamp given so far.
    last_at: Time,
    last_token: Token,
    next_seq: u64,
    stats: Stats,
    items: Slab<ItemSlot, Item>,
    ids: SlotIndex<ItemSlot>,
    by_seq: CountedTree<ItemSlot, Seq>,
    tags: Tags,
    moderators: Moderators,
    rare: BTreeMap<ItemSlot, Rare>,
    ready: usize,
    locks: Locks,
    delayed: BTreeSet<(Seq, ItemSlot)>,
    /// Those that are dead by expiries.
    dead: BTreeSet<(Seq, ItemSlot)>,
    reviews: OnDemand<Reviews>,
    groups: OnDemand<Groups>,
    decided: OnDemand<Decided>,
    ages: Ages,
    /// Ready items by priority.
    by_priority: BTreeMap<i32, usize>,
    timers: CountedTree<Timer, Timer>,
    /// How long locks and delays were asked to last, where their stamps do not tell: see `terms`.
    spans: BTreeMap<ItemSlot, Millis>,
    /// What to look at while the clock stands behind what was set.
    restamping: terms::Restamping,
    /// Heap bytes of ids and payloads.
    content_bytes: usize,
    /// Heap bytes of the lists of exclusions.
    exclusion_bytes: usize,
}

/// What everybody may look at.
impl Store {
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn paused(&self) -> Paused {
        self.paused
    }

    pub(super) fn last_at(&self) -> Time {
        self.last_at
    }

    pub(super) fn last_token(&self) -> Token {
        self.last_token
    }

    /// Whether every sequence number was given, which only a damaged payload can bring about.
    pub(super) fn seqs_exhausted(&self) -> bool {
        self.next_seq == U48::MAX
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    #[inline]
    pub(super) fn items(&self) -> &Slab<ItemSlot, Item> {
        &self.items
    }

    pub(super) fn by_seq(&self) -> &CountedTree<ItemSlot, Seq> {
        &self.by_seq
    }

    #[inline]
    pub(super) fn tags(&self) -> &Tags {
        &self.tags
    }

    #[inline]
    pub(super) fn moderators(&self) -> &Moderators {
        &self.moderators
    }

    /// How many items are ready.
    #[inline]
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    pub(super) fn locks(&self) -> &Locks {
        &self.locks
    }

    pub(super) fn delayed(&self) -> &BTreeSet<(Seq, ItemSlot)> {
        &self.delayed
    }

    /// The items that are dead by expiries.
    pub(super) fn dead(&self) -> &BTreeSet<(Seq, ItemSlot)> {
        &self.dead
    }

    /// The items that are dead because they are contested.
    pub(super) fn dead_contested(&self) -> &BTreeSet<(Seq, ItemSlot)> {
        self.reviews.dead()
    }

    pub(super) fn reviews(&self) -> &Reviews {
        &self.reviews
    }

    #[cfg(test)]
    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The records of decided items.
    #[cfg(test)]
    pub(super) fn decided(&self) -> &Decided {
        &self.decided
    }

    pub(super) fn by_priority(&self) -> &BTreeMap<i32, usize> {
        &self.by_priority
    }

    /// Everything that happens by the clock, the earliest first.
    pub(super) fn timers(&self) -> &CountedTree<Timer, Timer> {
        &self.timers
    }

    #[inline]
    pub(super) fn find(&self, id: &[u8]) -> Option<ItemSlot> {
        self.ids
            .find(self.ids.hash(id), |slot| self.items[slot].id() == id)
    }

    #[inline]
    pub(super) fn key(&self, slot: ItemSlot) -> OrderKey {
        self.items[slot].key(self.settings.aging)
    }

    #[inline]
    pub(super) fn rare(&self, slot: ItemSlot) -> Option<&Rare> {
        if self.items[slot].has.is(Has::RARE) {
            self.rare.get(&slot)
        } else {
            None
        }
    }

    pub(super) fn excluded(&self, slot: ItemSlot) -> &[Exclusion] {
        self.rare(slot).map_or(&[], |rare| &rare.excluded)
    }

    pub(super) fn is_excluded(&self, slot: ItemSlot, moderator: ModeratorSlot) -> bool {
        let mut excluded = self.excluded(slot).iter();
        excluded.any(|e| e.moderator == moderator)
    }

    /// The lock of a locked item.
    pub(super) fn lock(&self, slot: ItemSlot) -> Option<Lock> {
        let found = self.locks.get(self.items[slot].seq(), lock_seq);
        found.map(|(_, lock)| lock)
    }

    /// The lock of a locked item, else the last one if it ended by its deadline and may still decide.
    pub(super) fn last_lock(&self, slot: ItemSlot) -> Option<Lock> {
        match self.items[slot].state {
            State::Locked => self.lock(slot),
            _ => self.rare(slot)?.late,
        }
    }

    /// The lock of an item, judged by the clock: none once its deadline is reached.
    pub(super) fn live_lock(&self, slot: ItemSlot, now: Time) -> Option<Lock> {
        if self.items[slot].state != State::Locked {
            return None;
        }
        self.lock(slot).filter(|lock| lock.deadline > now)
    }

    /// Since when an item has been waiting: its submit or, if later, its last due time.
    #[inline]
    pub(super) fn waiting_since(&self, slot: ItemSlot) -> Time {
        let submitted = self.items[slot].submitted();
        let due = self.rare(slot).and_then(|rare| rare.due);
        due.map_or(submitted, |due| due.max(submitted))
    }

    /// Whether a moderator may hold one lock more.
    pub(super) fn has_capacity(&self, moderator: ModeratorSlot) -> bool {
        let capacity = self.settings.capacity;
        capacity == 0 || (self.moderators[moderator].held.len() as u64) < capacity
    }

    /// Whether an item is dead when it has expired so often.
    pub(super) fn dies_at(&self, expiries: u32) -> bool {
        let max = self.settings.max_expiries;
        max > 0 && u64::from(expiries) >= max
    }

    /// The ready item whose wait began first may be one of these two.
    pub(super) fn oldest_ready(&self) -> [Option<ItemSlot>; 2] {
        let seq_of = |slot| self.items[slot].seq();
        self.ages.oldest_ready(&self.by_seq, &self.locks, seq_of)
    }

    /// The item submitted first of all that are not dead may be one of these two.
    pub(super) fn oldest(&self) -> [Option<ItemSlot>; 2] {
        self.ages.oldest(&self.by_seq)
    }

    /// Bytes of heap, kept as things happen or found from counts: O(1).
    pub(super) fn memory_bytes(&self) -> usize {
        self.content_bytes
            + self.items.memory_bytes()
            + self.ids.memory_bytes()
            + self.by_seq.memory_bytes()
            + self.ages.memory_bytes()
            + self.tags.memory_bytes()
            + self.moderators.memory_bytes()
            + btree_bytes::<ItemSlot, Rare>(self.rare.len())
            + self.exclusion_bytes
            + self.locks.memory_bytes()
            + btree_bytes::<(Seq, ItemSlot), ()>(self.delayed.len())
            + btree_bytes::<(Seq, ItemSlot), ()>(self.dead.len())
            + self.reviews.memory_bytes(Reviews::memory_bytes)
            + self.groups.memory_bytes(Groups::memory_bytes)
            + self.decided.memory_bytes(Decided::memory_bytes)
            + btree_bytes::<i32, usize>(self.by_priority.len())
            + self.timers.memory_bytes()
            + btree_bytes::<ItemSlot, Millis>(self.spans.len())
            + self.restamping.memory_bytes()
            + self.stats.wait.memory_bytes()
            + self.stats.handle.memory_bytes()
            + self.stats.waits.memory_bytes()
            + self.stats.handles.memory_bytes()
            + alloc_size(self.settings.events.capacity())
            + alloc_size(self.settings.split_tag.len())
    }

    /// About how many allocations there are to free: O(1).
    pub(super) fn allocations(&self) -> usize {
        // What is beside the items is in nodes of some hundred bytes.
        self.items.len() + (self.memory_bytes() - self.content_bytes) / 512
    }
}

fn list_bytes(excluded: &Vec<Exclusion>) -> usize {
    alloc_size(excluded.capacity() * size_of::<Exclusion>())
}

/// References from outside: see the head of this file.
impl Store {
    /// A waiting client refers to a moderator from now on.
    pub(super) fn refer(&mut self, name: &[u8]) -> ModeratorSlot {
        let slot = self.moderators.intern(name);
        self.moderators[slot].references += 1;
        slot
    }

    /// A waiting client no longer refers to a moderator, who is forgotten if nothing else does.
    pub(super) fn unrefer(&mut self, slot: ModeratorSlot) {
        self.moderators[slot].references -= 1;
        self.moderators.forget_if_idle(slot);
    }

    /// A waiting client refers to these tags from now on.
    pub(super) fn refer_tags(&mut self, names: &[&Bytes]) -> TagList {
        self.tags.acquire(names)
    }

    /// A waiting client no longer refers to these tags.
    pub(super) fn unrefer_tags(&mut self, list: TagList) {
        self.tags.release(list);
    }
}

/// Items, and the states they are in.
impl Store {
    /// Changes the rare properties of an item, which must not be ready if exclusions change.
    fn with_rare(&mut self, slot: ItemSlot, change: impl FnOnce(&mut Rare)) {
        let rare = self.rare.entry(slot).or_default();
        change(rare);
        let keep = *rare != Rare::default();
        if !keep {
            self.rare.remove(&slot);
        }
        self.items[slot].has.set(Has::RARE, keep);
    }

    /// Files a new item, which is in no state yet.
    fn add_item(&mut self, item: Item) -> ItemSlot {
        let seq = item.seq();
        self.content_bytes += item.heap_bytes();
        let hash = self.ids.hash(item.id());
        let slot = self.items.insert(item);
        let items = &self.items;
        self.ids.insert(hash, slot, |s| items[s].id());
        self.by_seq.insert(slot, seq, |s| items[s].seq());
        slot
    }

    /// Forgets an item that has left its state already.
    fn drop_item(&mut self, slot: ItemSlot) {
        if !self.items[slot].has.nothing() {
            self.forget_late(slot);
            self.set_excluded(slot, Vec::new());
            self.rare.remove(&slot);
            self.drop_review(slot);
            self.drop_member(slot);
        }
        let items = &self.items;
        self.ids.remove(self.ids.hash(items[slot].id()), slot);
        self.by_seq.remove(items[slot].seq(), |s| items[s].seq());
        let item = self.items.remove(slot);
        self.content_bytes -= item.heap_bytes();
        self.tags.release(item.tags);
    }

    /// Where a dead item is filed.
    fn dead_by(&mut self, slot: ItemSlot) -> &mut BTreeSet<(Seq, ItemSlot)> {
        match self.is_contested(slot) {
            true => self.reviews.get_mut().dead_mut(),
            false => &mut self.dead,
        }
    }

    fn set_payload(&mut self, slot: ItemSlot, payload: &[u8]) {
        let item = &mut self.items[slot];
        self.content_bytes -= item.heap_bytes();
        item.set_payload(payload);
        self.content_bytes += item.heap_bytes();
    }

    /// Replaces the exclusions of an item that is not ready.
    fn set_excluded(&mut self, slot: ItemSlot, excluded: Vec<Exclusion>) {
        if excluded.is_empty() && !self.items[slot].has.is(Has::RARE) {
            return;
        }
        for exclusion in &excluded {
            self.moderators[exclusion.moderator].references += 1;
        }
        // Nothing may be held for what goes as soon as it is empty.
        let mut old = if excluded.is_empty() {
            Vec::new()
        } else {
            excluded
        };
        self.exclusion_bytes += list_bytes(&old);
        self.with_rare(slot, |rare| std::mem::swap(&mut rare.excluded, &mut old));
        self.exclusion_bytes -= list_bytes(&old);
        for exclusion in old {
            self.moderators[exclusion.moderator].references -= 1;
            self.moderators.forget_if_idle(exclusion.moderator);
        }
    }

    /// The last lock may no longer be accepted late.
    fn forget_late(&mut self, slot: ItemSlot) {
        if let Some(late) = self.rare(slot).and_then(|rare| rare.late) {
            self.with_rare(slot, |rare| rare.late = None);
            self.moderators[late.moderator].references -= 1;
            self.moderators.forget_if_idle(late.moderator);
        }
    }

    /// An item in no state becomes ready.
    fn enter_ready(&mut self, slot: ItemSlot) {
        let aging = self.settings.aging;
        let item = &mut self.items[slot];
        item.state = State::Ready;
        let (key, priority, has) = (item.key(aging), item.priority, item.has);
        let class = self.tags.class(item.tags);
        let items = &self.items;
        let ready = &mut self.tags.classes[class].ready;
        if ready.is_empty() {
            self.tags.with_ready.insert(class);
        }
        let bytes = &mut self.tags.ready_bytes;
        counted(ready, bytes, CountedTree::memory_bytes, |ready| {
            ready.insert(slot, key, |s| items[s].key(aging));
        });
        self.ready += 1;
        *self.by_priority.entry(priority).or_default() += 1;
        if !has.nothing() {
            for moderator in self.barred(slot) {
                let items = &self.items;
                self.moderators.change_excluded(moderator, class, |tree| {
                    tree.insert(slot, key, |s| items[s].key(aging));
                });
            }
            self.enter_ages(slot);
        }
    }

    fn leave_ready(&mut self, slot: ItemSlot) {
        let aging = self.settings.aging;
        let items = &self.items;
        let item = &items[slot];
        let (key, priority, has) = (item.key(aging), item.priority, item.has);
        let class = self.tags.class(item.tags);
        let ready = &mut self.tags.classes[class].ready;
        let bytes = &mut self.tags.ready_bytes;
        counted(ready, bytes, CountedTree::memory_bytes, |ready| {
            ready.remove(key, |s| items[s].key(aging));
        });
        if ready.is_empty() {
            self.tags.with_ready.remove(&class);
        }
        self.ready -= 1;
        if let Some(n) = self.by_priority.get_mut(&priority) {
            *n -= 1;
            if *n == 0 {
                self.by_priority.remove(&priority);
            }
        }
        if !has.nothing() {
            for moderator in self.barred(slot) {
                let items = &self.items;
                self.moderators.change_excluded(moderator, class, |tree| {
                    tree.remove(key, |s| items[s].key(aging));
                });
            }
        }
    }

    /// An item in no state is delayed until `due`.
    fn enter_delayed(&mut self, slot: ItemSlot, due: Time) {
        self.with_rare(slot, |rare| rare.due = Some(due));
        let item = &mut self.items[slot];
        item.state = State::Delayed;
        let seq = item.seq();
        self.delayed.insert((seq, slot));
        self.add_timer(due, Timed::Due(seq, slot));
        self.enter_ages(slot);
    }

    /// An item in no state is dead.
    fn enter_dead(&mut self, slot: ItemSlot) {
        let item = &mut self.items[slot];
        item.state = State::Dead;
        let entry = (item.seq(), slot);
        self.dead_by(slot).insert(entry);
        self.enter_ages(slot);
    }

    /// An item in no state is locked.
    fn enter_locked(&mut self, lock: Lock) {
        let item = &mut self.items[lock.item];
        item.state = State::Locked;
        let seq = item.seq();
        self.locks.insert((seq, lock), seq, lock_seq);
        self.enter_ages(lock.item);
        self.add_timer(lock.deadline, Timed::Deadline(lock.token, lock.item));
        self.moderators.hold(lock.moderator, lock.token, lock.item);
    }

    /// Sets a new deadline.
    fn extend_lock(&mut self, slot: ItemSlot, deadline: Time) {
        let seq = self.items[slot].seq();
        if let Some((_, lock)) = self.locks.remove(seq, lock_seq) {
            let what = Timed::Deadline(lock.token, slot);
            self.remove_timer(lock.deadline, what);
            self.add_timer(deadline, what);
            let lock = Lock { deadline, ..lock };
            self.locks.insert((seq, lock), seq, lock_seq);
        }
    }

    fn add_timer(&mut self, time: Time, what: Timed) {
        let timer = Timer { time, what };
        self.timers.insert(timer, timer, |timer| timer);
    }

    fn remove_timer(&mut self, time: Time, what: Timed) {
        self.timers.remove(Timer { time, what }, |timer| timer);
    }

    /// Takes an item out of its state, to be put into another or dropped. Answers its lock, whose
    /// moderator stays known until `forget_if_idle` is called.
    fn leave_state(&mut self, slot: ItemSlot) -> Option<Lock> {
        self.leave_ages(slot);
        let item = &self.items[slot];
        let seq = item.seq();
        match item.state {
            State::Ready => self.leave_ready(slot),
            State::Delayed => {
                self.delayed.remove(&(seq, slot));
                if let Some(due) = self.rare(slot).and_then(|rare| rare.due) {
                    self.remove_timer(due, Timed::Due(seq, slot));
                }
                self.forget_span(slot);
            }
            State::Dead => {
                self.dead_by(slot).remove(&(seq, slot));
            }
            State::Locked => {
                let (_, lock) = self.locks.remove(seq, lock_seq)?;
                self.remove_timer(lock.deadline, Timed::Deadline(lock.token, slot));
                self.moderators.let_go(lock.moderator, lock.token);
                self.forget_span(slot);
                return Some(lock);
            }
        }
        None
    }

    /// Whether seq and state say all there is to say of an item's age, as for most.
    #[inline]
    fn is_plain(&self, slot: ItemSlot) -> bool {
        let item = &self.items[slot];
        !item.has.is(Has::RARE) && matches!(item.state, State::Ready | State::Locked)
    }

    fn aged(&self, slot: ItemSlot) -> Aged {
        let item = &self.items[slot];
        Aged {
            slot,
            seq: item.seq(),
            submitted: item.submitted(),
            waiting_since: self.waiting_since(slot),
            moved: self.rare(slot).is_some_and(|rare| rare.moved),
            state: item.state,
        }
    }

    /// An item has got into a state.
    fn enter_ages(&mut self, slot: ItemSlot) {
        if !self.is_plain(slot) {
            let aged = self.aged(slot);
            let items = &self.items;
            self.ages.enter(aged, |s| items[s].seq());
        }
    }

    /// An item is about to leave its state.
    fn leave_ages(&mut self, slot: ItemSlot) {
        if !self.is_plain(slot) {
            let aged = self.aged(slot);
            let items = &self.items;
            self.ages.leave(aged, |s| items[s].seq());
        }
    }
}
