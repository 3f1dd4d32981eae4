//! The state of a queue: its records, and the structures that find them by id, by age, by order,
//! by deadline and by moderator. Everything here keeps these in step; what changes and why is
//! decided elsewhere.

use super::ages::{Aged, Ages};
use super::effect::Settings;
use super::index::SlotIndex;
use super::moderators::Moderators;
use super::slab::Slab;
use super::stats::Stats;
use super::tags::Tags;
use crate::counted_tree::CountedTree;
use std::collections::{BTreeMap, BTreeSet};

/// Where an item stands: smaller is claimed earlier.
///
/// Without aging `major` is the negated priority and `minor` submitted − boost; with aging `major`
/// is 0 and `minor` is submitted − boost − priority × aging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderKey {
    pub major: i64,
    pub minor: i64,
    pub seq: u64,
}

/// Where a moderator stands in line: since (Unix ms), then a tie breaker.
pub type Place = (u64, u64);

/// What an item is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Ready,
    Delayed,
    Locked,
    Dead,
}

/// A number below 2^48 in six bytes: what makes a record fit 56.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct U48([u16; 3]);

impl U48 {
    pub(super) const MAX: u64 = (1 << 48) - 1;

    /// The number; what does not fit is cut to the largest that does.
    #[inline]
    pub(super) fn new(n: u64) -> U48 {
        let n = n.min(U48::MAX);
        U48([n as u16, (n >> 16) as u16, (n >> 32) as u16])
    }

    #[inline]
    pub(super) fn get(self) -> u64 {
        u64::from(self.0[0]) | u64::from(self.0[1]) << 16 | u64::from(self.0[2]) << 32
    }
}

/// One item. Rare properties are in [`Extra`], the lock is in [`Lock`].
#[derive(Debug)]
pub(super) struct Item {
    /// The id, then the payload.
    bytes: Box<[u8]>,
    /// submitted − boost, ms.
    age: i64,
    /// Unix ms.
    submitted: U48,
    /// Order of arrival in this queue, never given twice.
    seq: U48,
    pub priority: i32,
    pub rev: u32,
    /// Times it was locked.
    pub deliveries: u32,
    /// List of required tags.
    pub tags: u32,
    id_len: u16,
    pub state: State,
    pub has_extra: bool,
}

const _: () = assert!(size_of::<Item>() == 56);

impl Item {
    pub(super) fn new(id: &[u8], payload: &[u8], submitted: u64, seq: u64, boost: i64) -> Item {
        Item {
            bytes: join(id, payload),
            age: submitted as i64 - boost,
            submitted: U48::new(submitted),
            seq: U48::new(seq),
            priority: 0,
            rev: 1,
            deliveries: 0,
            tags: super::tags::EMPTY,
            id_len: id.len() as u16,
            state: State::Ready,
            has_extra: false,
        }
    }

    #[inline]
    pub(super) fn id(&self) -> &[u8] {
        &self.bytes[..self.id_len as usize]
    }

    #[inline]
    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[self.id_len as usize..]
    }

    pub(super) fn submitted(&self) -> u64 {
        self.submitted.get()
    }

    pub(super) fn boost(&self) -> i64 {
        self.submitted.get() as i64 - self.age
    }

    pub(super) fn seq(&self) -> u64 {
        self.seq.get()
    }

    pub(super) fn set_boost(&mut self, boost: i64) {
        self.age = self.submitted.get() as i64 - boost;
    }

    pub(super) fn set_payload(&mut self, payload: &[u8]) {
        self.bytes = join(self.id(), payload);
    }

    /// Bytes of heap, rounded as the allocator does.
    pub(super) fn heap_bytes(&self) -> usize {
        alloc_size(self.bytes.len())
    }

    #[inline]
    fn key(&self, aging: u64) -> OrderKey {
        let (major, minor) = if aging == 0 {
            (-i64::from(self.priority), self.age)
        } else {
            // |priority × aging| ≤ 2^62 and |age| < 2^49: no overflow.
            (0, self.age - i64::from(self.priority) * aging as i64)
        };
        OrderKey {
            major,
            minor,
            seq: self.seq(),
        }
    }
}

fn join(id: &[u8], payload: &[u8]) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(id.len() + payload.len());
    bytes.extend_from_slice(id);
    bytes.extend_from_slice(payload);
    bytes.into_boxed_slice()
}

/// What jemalloc hands out for a request of `n` bytes (four size classes per doubling).
pub(super) fn alloc_size(n: usize) -> usize {
    match n {
        0 => 0,
        1..=8 => 8,
        9..=128 => n.next_multiple_of(16),
        _ => n.next_multiple_of(n.next_power_of_two() / 8),
    }
}

/// Properties that few items have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extra {
    /// The last due time, Unix ms; 0 if never delayed.
    pub due: u64,
    /// Moderators it may not go to, in the order they were named; true if by SKIP.
    pub excluded: Vec<(u32, bool)>,
    pub reports: u32,
    pub expiries: u32,
    /// Came from another queue: older than its seq tells.
    pub moved: bool,
    /// The last lock, if it ended by its deadline: whose decision may be accepted late.
    pub late: Option<Lock>,
}

impl Default for Extra {
    fn default() -> Self {
        Extra {
            due: 0,
            excluded: Vec::new(),
            reports: 1,
            expiries: 0,
            moved: false,
            late: None,
        }
    }
}

/// A lock on an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock {
    pub slot: u32,
    pub moderator: u32,
    pub token: u64,
    /// Unix ms.
    pub deadline: u64,
    /// When it was locked, Unix ms.
    pub at: u64,
}

/// All locks, each after the seq of its item, by which they are ordered.
pub(super) type Locks = CountedTree<(u64, Lock), u64>;

/// The key of an entry of [`Locks`].
pub(super) fn lock_seq(entry: (u64, Lock)) -> u64 {
    entry.0
}

/// Something that happens by the clock. Ordered by time; at one time registrations end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub time: u64,
    pub what: Timed,
}

/// See [`Timer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timed {
    /// A moderator's registration runs out.
    Registration(u32),
    /// A lock reaches its deadline: its token (older locks first) and the item's slot.
    Deadline(u64, u32),
    /// A delayed item comes due: its seq and slot.
    Due(u64, u32),
}

/// One moderation queue.
#[derive(Debug, Default)]
pub struct Queue {
    pub(super) settings: Settings,
    pub(super) paused_in: bool,
    pub(super) paused_out: bool,
    /// The largest stamp given so far, Unix ms.
    pub(super) last_at: u64,
    pub(super) last_token: u64,
    pub(super) next_seq: u64,
    pub(super) stats: Stats,
    pub(super) items: Slab<Item>,
    pub(super) ids: SlotIndex,
    pub(super) by_seq: CountedTree<u32, u64>,
    pub(super) tags: Tags,
    pub(super) moderators: Moderators,
    pub(super) extras: BTreeMap<u32, Extra>,
    pub(super) ready: usize,
    pub(super) locks: Locks,
    /// Seq and slot.
    pub(super) delayed: BTreeSet<(u64, u32)>,
    pub(super) dead: BTreeSet<(u64, u32)>,
    pub(super) ages: Ages,
    /// Ready items by priority.
    pub(super) by_priority: BTreeMap<i32, usize>,
    pub(super) timers: CountedTree<Timer, Timer>,
    /// Who waits, in order: place and moderator.
    pub(super) line: BTreeSet<(Place, u32)>,
    /// Not part of the state: the next tie breaker in line and the latest since.
    pub(super) next_tie: u64,
    pub(super) last_since: u64,
    /// Not part of the state: how many blocked calls wait here.
    pub(super) blocked: usize,
    /// Not part of the state: from where in line blocked calls may be missing.
    pub(super) unknown_from: Option<Place>,
    /// Not part of the state: from where in line the match has to be caught up.
    pub(super) sweep: Option<(Place, u32)>,
    /// Not part of the state: the slot of the item that was decided about last, to look at before
    /// its id is looked up once more.
    pub(super) hint: u32,
    /// Heap bytes of ids and payloads.
    pub(super) content_bytes: usize,
}

impl Queue {
    #[inline]
    pub(super) fn find(&self, id: &[u8]) -> Option<u32> {
        self.ids
            .find(self.ids.hash(id), |slot| self.items[slot].id() == id)
    }

    #[inline]
    pub(super) fn key(&self, slot: u32) -> OrderKey {
        self.items[slot].key(self.settings.aging)
    }

    #[inline]
    pub(super) fn extra(&self, slot: u32) -> Option<&Extra> {
        if self.items[slot].has_extra {
            self.extras.get(&slot)
        } else {
            None
        }
    }

    /// Changes the rare properties of an item, which must not be ready if exclusions change.
    pub(super) fn with_extra(&mut self, slot: u32, change: impl FnOnce(&mut Extra)) {
        let extra = self.extras.entry(slot).or_default();
        change(extra);
        let keep = *extra != Extra::default();
        if !keep {
            self.extras.remove(&slot);
        }
        self.items[slot].has_extra = keep;
    }

    /// Files a new item, as ready.
    pub(super) fn add_item(&mut self, item: Item) -> u32 {
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
    pub(super) fn drop_item(&mut self, slot: u32) {
        if self.items[slot].has_extra {
            self.forget_late(slot);
            self.set_excluded(slot, Vec::new());
            self.extras.remove(&slot);
        }
        let items = &self.items;
        self.ids.remove(self.ids.hash(items[slot].id()), slot);
        self.by_seq.remove(items[slot].seq(), |s| items[s].seq());
        let item = self.items.remove(slot);
        self.content_bytes -= item.heap_bytes();
        self.tags.release(item.tags);
    }

    pub(super) fn set_payload(&mut self, slot: u32, payload: &[u8]) {
        let item = &mut self.items[slot];
        self.content_bytes -= item.heap_bytes();
        item.set_payload(payload);
        self.content_bytes += item.heap_bytes();
    }

    /// Replaces the exclusions of an item that is not ready.
    pub(super) fn set_excluded(&mut self, slot: u32, excluded: Vec<(u32, bool)>) {
        if excluded.is_empty() && !self.items[slot].has_extra {
            return;
        }
        for (moderator, _) in &excluded {
            self.moderators[*moderator].mentions += 1;
        }
        let mut old = excluded;
        self.with_extra(slot, |extra| std::mem::swap(&mut extra.excluded, &mut old));
        for (moderator, _) in old {
            self.moderators[moderator].mentions -= 1;
            self.moderators.forget_if_idle(moderator);
        }
    }

    /// The last lock may no longer be accepted late.
    pub(super) fn forget_late(&mut self, slot: u32) {
        if let Some(late) = self.extra(slot).and_then(|e| e.late) {
            self.with_extra(slot, |extra| extra.late = None);
            self.moderators[late.moderator].mentions -= 1;
            self.moderators.forget_if_idle(late.moderator);
        }
    }

    /// An item in no state becomes ready.
    pub(super) fn enter_ready(&mut self, slot: u32) {
        let aging = self.settings.aging;
        let item = &mut self.items[slot];
        item.state = State::Ready;
        let (key, priority, has_extra) = (item.key(aging), item.priority, item.has_extra);
        let class = self.tags.class(item.tags);
        let items = &self.items;
        let ready = &mut self.tags.classes[class].ready;
        if ready.is_empty() {
            self.tags.with_ready.insert(class);
        }
        ready.insert(slot, key, |s| items[s].key(aging));
        self.ready += 1;
        *self.by_priority.entry(priority).or_default() += 1;
        if has_extra {
            for (moderator, _) in self.extras.get(&slot).iter().flat_map(|e| &e.excluded) {
                self.moderators[*moderator]
                    .excluded
                    .entry(class)
                    .or_default()
                    .insert(slot, key, |s| items[s].key(aging));
            }
            self.enter_ages(slot);
        }
    }

    fn leave_ready(&mut self, slot: u32) {
        let aging = self.settings.aging;
        let items = &self.items;
        let item = &items[slot];
        let (key, priority, has_extra) = (item.key(aging), item.priority, item.has_extra);
        let class = self.tags.class(item.tags);
        let ready = &mut self.tags.classes[class].ready;
        ready.remove(key, |s| items[s].key(aging));
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
        if has_extra {
            for (moderator, _) in self.extras.get(&slot).iter().flat_map(|e| &e.excluded) {
                let excluded = &mut self.moderators[*moderator].excluded;
                if let Some(tree) = excluded.get_mut(&class) {
                    tree.remove(key, |s| items[s].key(aging));
                    if tree.is_empty() {
                        excluded.remove(&class);
                    }
                }
            }
        }
    }

    /// An item in no state is delayed until its due time, which is set already.
    pub(super) fn enter_delayed(&mut self, slot: u32, due: u64) {
        self.with_extra(slot, |extra| extra.due = due);
        let item = &mut self.items[slot];
        item.state = State::Delayed;
        let seq = item.seq();
        self.delayed.insert((seq, slot));
        self.add_timer(due, Timed::Due(seq, slot));
        self.enter_ages(slot);
    }

    pub(super) fn enter_dead(&mut self, slot: u32) {
        let item = &mut self.items[slot];
        item.state = State::Dead;
        self.dead.insert((item.seq(), slot));
        self.enter_ages(slot);
    }

    /// An item in no state is locked.
    pub(super) fn enter_locked(&mut self, lock: Lock) {
        let item = &mut self.items[lock.slot];
        item.state = State::Locked;
        let seq = item.seq();
        self.locks.insert((seq, lock), seq, lock_seq);
        self.enter_ages(lock.slot);
        self.add_timer(lock.deadline, Timed::Deadline(lock.token, lock.slot));
        self.unlist(lock.moderator);
        self.moderators[lock.moderator]
            .held
            .insert(lock.token, lock.slot);
        self.enlist(lock.moderator);
    }

    /// The lock of a locked item.
    pub(super) fn lock(&self, slot: u32) -> Option<Lock> {
        let found = self.locks.get(self.items[slot].seq(), lock_seq);
        found.map(|(_, lock)| lock)
    }

    /// Sets a new deadline.
    pub(super) fn extend_lock(&mut self, slot: u32, deadline: u64) {
        let seq = self.items[slot].seq();
        if let Some((_, lock)) = self.locks.remove(seq, lock_seq) {
            let what = Timed::Deadline(lock.token, slot);
            self.remove_timer(lock.deadline, what);
            self.add_timer(deadline, what);
            let lock = Lock { deadline, ..lock };
            self.locks.insert((seq, lock), seq, lock_seq);
        }
    }

    pub(super) fn add_timer(&mut self, time: u64, what: Timed) {
        let timer = Timer { time, what };
        self.timers.insert(timer, timer, |timer| timer);
    }

    pub(super) fn remove_timer(&mut self, time: u64, what: Timed) {
        self.timers.remove(Timer { time, what }, |timer| timer);
    }

    /// Takes an item out of its state, to be put into another or dropped. Answers its lock, whose
    /// moderator stays known until `settle` is called.
    pub(super) fn leave_state(&mut self, slot: u32) -> Option<Lock> {
        self.leave_ages(slot);
        let item = &self.items[slot];
        let seq = item.seq();
        match item.state {
            State::Ready => self.leave_ready(slot),
            State::Delayed => {
                self.delayed.remove(&(seq, slot));
                let time = self.extra(slot).map_or(0, |e| e.due);
                self.remove_timer(time, Timed::Due(seq, slot));
            }
            State::Dead => {
                self.dead.remove(&(seq, slot));
            }
            State::Locked => {
                let (_, lock) = self.locks.remove(seq, lock_seq)?;
                self.remove_timer(lock.deadline, Timed::Deadline(lock.token, slot));
                self.unlist(lock.moderator);
                self.moderators[lock.moderator].held.remove(&lock.token);
                self.enlist(lock.moderator);
                return Some(lock);
            }
        }
        None
    }

    /// Forgets the moderator of a lock that ended, if nothing else is known of them.
    pub(super) fn settle(&mut self, lock: Option<Lock>) {
        if let Some(lock) = lock {
            self.moderators.forget_if_idle(lock.moderator);
        }
    }

    /// Whether a moderator may hold one lock more.
    pub(super) fn has_capacity(&self, moderator: u32) -> bool {
        let capacity = self.settings.capacity;
        capacity == 0 || (self.moderators[moderator].held.len() as u64) < capacity
    }

    /// The classes a moderator in line offers to take from.
    pub(super) fn offers(&self, moderator: u32) -> smallvec::SmallVec<[u32; 2]> {
        let m = &self.moderators[moderator];
        let mut lists = smallvec::SmallVec::<[u32; 2]>::new();
        if let Some(profile) = m.profile.as_ref().filter(|p| p.place.is_some()) {
            lists.push(profile.tags);
        }
        for call in &m.blocked {
            lists.push(match &m.profile {
                Some(profile) if !call.own_tags => profile.tags,
                _ => call.tags,
            });
        }
        let mut classes: smallvec::SmallVec<[u32; 2]> =
            lists.iter().map(|list| self.tags.class(*list)).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Takes a moderator out of the line's structures; to be called before anything of theirs
    /// that the line depends on changes, with `enlist` after it.
    #[inline]
    pub(super) fn unlist(&mut self, moderator: u32) {
        if let Some(place) = self.moderators[moderator].place() {
            self.unlist_from(place, moderator);
        }
    }

    fn unlist_from(&mut self, place: Place, moderator: u32) {
        self.line.remove(&(place, moderator));
        if self.has_capacity(moderator) {
            for class in self.offers(moderator) {
                let waiting = &mut self.tags.classes[class].waiting;
                waiting.remove(&(place, moderator));
                if waiting.is_empty() {
                    self.tags.with_waiting.remove(&class);
                }
            }
        }
    }

    /// Puts a moderator into the line's structures, if they wait.
    #[inline]
    pub(super) fn enlist(&mut self, moderator: u32) {
        if let Some(place) = self.moderators[moderator].place() {
            self.enlist_at(place, moderator);
        }
    }

    fn enlist_at(&mut self, place: Place, moderator: u32) {
        self.line.insert((place, moderator));
        if self.has_capacity(moderator) {
            for class in self.offers(moderator) {
                self.tags.classes[class].waiting.insert((place, moderator));
                self.tags.with_waiting.insert(class);
            }
        }
    }

    /// Whether seq and state say all there is to say of an item's age, as for most.
    #[inline]
    fn is_plain(&self, slot: u32) -> bool {
        let item = &self.items[slot];
        !item.has_extra && matches!(item.state, State::Ready | State::Locked)
    }

    fn aged(&self, slot: u32) -> Aged {
        let item = &self.items[slot];
        Aged {
            slot,
            seq: item.seq(),
            submitted: item.submitted(),
            waiting_since: self.waiting_since(slot),
            moved: self.extra(slot).is_some_and(|e| e.moved),
            state: item.state,
        }
    }

    /// An item has got into a state.
    fn enter_ages(&mut self, slot: u32) {
        if !self.is_plain(slot) {
            let aged = self.aged(slot);
            let items = &self.items;
            self.ages.enter(aged, |s| items[s].seq());
        }
    }

    /// An item is about to leave its state.
    fn leave_ages(&mut self, slot: u32) {
        if !self.is_plain(slot) {
            let aged = self.aged(slot);
            let items = &self.items;
            self.ages.leave(aged, |s| items[s].seq());
        }
    }

    /// Since when an item has been waiting: its submit or, if later, its last due time.
    #[inline]
    pub(super) fn waiting_since(&self, slot: u32) -> u64 {
        let due = self.extra(slot).map_or(0, |e| e.due);
        self.items[slot].submitted().max(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_jemalloc() {
        for (n, size) in [
            (1, 8),
            (9, 16),
            (120, 128),
            (129, 160),
            (216, 224),
            (257, 320),
            (513, 640),
            (1025, 1280),
        ] {
            assert_eq!(alloc_size(n), size, "{n}");
        }
    }

    #[test]
    fn small_numbers_survive() {
        for n in [0, 1, 65_535, 65_536, 1_763_690_000_000, U48::MAX] {
            assert_eq!(U48::new(n).get(), n);
        }
        assert_eq!(U48::new(u64::MAX).get(), U48::MAX);
    }
}
