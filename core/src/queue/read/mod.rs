//! Everything that only looks. What concerns a single item is judged by the clock, as if overdue
//! transitions were applied; counts and orders show the last applied state.

mod decided;
mod groups;
mod list;
mod views;
mod why;

pub use decided::RecordView;
pub use views::{
    ClaimView, GroupPage, Grouped, ItemView, Kind, Listed, LockView, Page, Reason, Summary,
    VoteView, WaiterView,
};

use super::request::ClaimedItem;
use super::settings::{Paused, Settings};
use super::store::{
    ClassSlot, ItemSlot, Lock, ModeratorSlot, OrderKey, State, Stats, Store, TagList, TagSet,
    TagSlot, Timed, Timer, covers,
};
use super::{MAX_CLAIM_BYTES, Queue};
use crate::counted_tree::{difference, first_difference};
use crate::slab::SlotNumber;
use crate::units::{Millis, Time, Token};
use serde_bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};

/// The tag sets a moderator has to offer.
type Offered = SmallVec<[TagSet; 1]>;

/// The live locks of a moderator, lowest token first.
pub(super) fn held(
    store: &Store,
    moderator: ModeratorSlot,
    now: Time,
) -> impl Iterator<Item = ClaimedItem> + '_ {
    let held = store.moderators()[moderator].held.items();
    let locks = held.filter_map(|slot| store.lock(slot));
    let live = locks.filter(move |lock| lock.deadline > now);
    live.map(ClaimedItem::from)
}

/// The first `count` of them, and none behind those that have `MAX_CLAIM_BYTES` of payload together.
pub(super) fn first_held(
    store: &Store,
    moderator: ModeratorSlot,
    now: Time,
    count: usize,
) -> impl Iterator<Item = ClaimedItem> + '_ {
    let first = held(store, moderator, now).take(count);
    first.scan(0, |payload, held| {
        let room = *payload < MAX_CLAIM_BYTES;
        *payload += store.items()[held.item].payload().len();
        room.then_some(held)
    })
}

/// The tags a claim goes by: those given, else those joined with.
pub(super) fn claim_tags(
    store: &Store,
    moderator: Option<ModeratorSlot>,
    given: Option<&[&Bytes]>,
) -> TagSet {
    match given {
        Some(names) => store.tags().known(names),
        None => moderator
            .and_then(|m| store.moderators()[m].profile.as_ref())
            .map_or_else(TagSet::new, |p| store.tags().set(p.tags).into()),
    }
}

/// The item a moderator with these tag sets would be given now, capacity and pause aside.
pub(super) fn best(
    store: &Store,
    moderator: Option<ModeratorSlot>,
    sets: &[&[TagSlot]],
) -> Option<ItemSlot> {
    let mut best: Option<(OrderKey, ItemSlot)> = None;
    let tags = store.tags();
    for class in &tags.with_ready {
        let needed = &tags.classes[*class].tags;
        if !sets.iter().any(|set| covers(set, needed)) {
            continue;
        }
        let Some(slot) = first_for(store, *class, moderator) else {
            continue;
        };
        let key = store.key(slot);
        if best.is_none_or(|(other, _)| key < other) {
            best = Some((key, slot));
        }
    }
    best.map(|(_, slot)| slot)
}

/// What a moderator with these tags would be given one after the other: the first item of each class,
/// the best on top. Made once, it gives each item in O(log classes), where [`best`] looks at
/// every class. It holds true while nothing but what it gave leaves the ready items.
pub(super) struct Heads {
    heap: BinaryHeap<Reverse<Head>>,
    moderator: Option<ModeratorSlot>,
}

/// The first item of a class, and where it stands.
type Head = (OrderKey, ItemSlot, ClassSlot);

impl Heads {
    pub(super) fn new(store: &Store, moderator: Option<ModeratorSlot>, set: &[TagSlot]) -> Heads {
        let tags = store.tags();
        let offered = tags.with_ready.iter().copied();
        let offered = offered.filter(|class| covers(set, &tags.classes[*class].tags));
        let heads = offered.filter_map(|class| Heads::head(store, moderator, class));
        Heads {
            heap: heads.collect::<Vec<_>>().into(),
            moderator,
        }
    }

    fn head(
        store: &Store,
        moderator: Option<ModeratorSlot>,
        class: ClassSlot,
    ) -> Option<Reverse<Head>> {
        let slot = first_for(store, class, moderator)?;
        Some(Reverse((store.key(slot), slot, class)))
    }

    /// The item that comes first.
    pub(super) fn first(&self) -> Option<ItemSlot> {
        self.heap.peek().map(|Reverse((_, slot, _))| *slot)
    }

    /// The first was taken: it is ready no more.
    pub(super) fn taken(&mut self, store: &Store) {
        let Some(mut top) = self.heap.peek_mut() else {
            return;
        };
        let Reverse((_, _, class)) = *top;
        match Heads::head(store, self.moderator, class) {
            Some(next) => *top = next,
            None => drop(PeekMut::pop(top)),
        }
    }
}

/// The first ready item of a class that the moderator is not excluded from.
pub(super) fn first_for(
    store: &Store,
    class: ClassSlot,
    moderator: Option<ModeratorSlot>,
) -> Option<ItemSlot> {
    let ready = &store.tags().classes[class].ready;
    match moderator.and_then(|m| store.moderators()[m].excluded.get(&class)) {
        None => ready.first(),
        Some(excluded) => first_difference(ready, excluded),
    }
}

impl Queue {
    /// How many items there are in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.items().len()
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items are in a state.
    #[must_use]
    pub fn len_in(&self, state: State) -> usize {
        match state {
            State::Ready => self.store.ready(),
            State::Delayed => self.store.delayed().len(),
            State::Locked => self.store.locks().len(),
            State::Dead => self.store.dead().len() + self.store.dead_contested().len(),
        }
    }

    /// Counts of the last applied state.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            ready: self.len_in(State::Ready),
            locked: self.len_in(State::Locked),
            delayed: self.len_in(State::Delayed),
            dead: self.len_in(State::Dead),
            waiting: self.waiting(),
        }
    }

    /// How the queue is set up.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.store.settings()
    }

    /// What the queue refuses for now.
    #[must_use]
    pub fn paused(&self) -> Paused {
        self.store.paused()
    }

    /// The totals and histograms.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        self.store.stats()
    }

    /// The largest token given so far; 0 if none.
    #[must_use]
    pub fn last_token(&self) -> Token {
        self.store.last_token()
    }

    /// How many moderators are in line.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Whether the lock of this token is there, to answer a blocked call with it: the item.
    #[must_use]
    pub fn locked(&self, id: &[u8], token: Token) -> Option<ItemSlot> {
        let slot = self.store.find(id)?;
        let locked = self.store.items()[slot].state == State::Locked;
        (locked && self.store.lock(slot)?.token == token).then_some(slot)
    }

    fn lock_view(&self, lock: Lock) -> LockView<'_> {
        LockView {
            moderator: &self.store.moderators()[lock.moderator].name,
            token: lock.token,
            deadline: lock.deadline,
        }
    }

    fn live_lock_view(&self, slot: ItemSlot, now: Time) -> Option<LockView<'_>> {
        let lock = self.store.live_lock(slot, now)?;
        Some(self.lock_view(lock))
    }

    /// An item's state and expiries once everything overdue is applied to it.
    fn judged(&self, slot: ItemSlot, now: Time) -> (State, u32) {
        let state = self.store.items()[slot].state;
        let rare = self.store.rare(slot);
        let expiries = rare.map_or(0, |rare| rare.expiries);
        match state {
            State::Locked if self.store.live_lock(slot, now).is_none() => {
                let expiries = expiries.saturating_add(1);
                match self.store.dies_at(expiries) || self.store.is_parked(slot) {
                    true => (State::Dead, expiries),
                    false => (State::Ready, expiries),
                }
            }
            State::Delayed if rare.is_some_and(|r| r.due.is_none_or(|due| due <= now)) => {
                match self.store.is_parked(slot) {
                    true => (State::Dead, expiries),
                    false => (State::Ready, expiries),
                }
            }
            _ => (state, expiries),
        }
    }

    /// A locked item as a claim; none if it is not locked.
    #[must_use]
    pub fn claim_view(&self, slot: ItemSlot) -> Option<ClaimView<'_>> {
        let lock = self.store.lock(slot)?;
        Some(self.claimed_view(&lock.into()))
    }

    /// An item of a CLAIM, while the queue is unchanged.
    #[must_use]
    pub fn claimed_view(&self, claimed: &ClaimedItem) -> ClaimView<'_> {
        let item = &self.store.items()[claimed.item];
        ClaimView {
            item: item.id(),
            payload: item.payload(),
            token: claimed.token,
            deadline: claimed.deadline,
            priority: item.priority,
            submitted: item.submitted(),
            deliveries: item.deliveries,
            rev: item.rev,
        }
    }

    /// What a moderator holds, lowest token first.
    pub fn held_by(&self, moderator: &[u8], now: Time) -> impl Iterator<Item = ClaimView<'_>> {
        let known = self.store.moderators().find(moderator);
        known
            .into_iter()
            .flat_map(move |m| held(&self.store, m, now))
            .map(|held| self.claimed_view(&held))
    }

    /// HELD: the first `count` of what a moderator holds, and none behind those that have
    /// `MAX_CLAIM_BYTES` of payload together.
    #[must_use]
    pub fn held_page(&self, moderator: &[u8], now: Time, count: usize) -> Vec<ClaimView<'_>> {
        let known = self.store.moderators().find(moderator).into_iter();
        let held = known.flat_map(|m| first_held(&self.store, m, now, count));
        held.map(|held| self.claimed_view(&held)).collect()
    }

    /// One item.
    #[must_use]
    pub fn get(&self, id: &[u8], now: Time) -> Option<ItemView<'_>> {
        let store = &self.store;
        let slot = store.find(id)?;
        let item = &store.items()[slot];
        let rare = store.rare(slot);
        let (state, expiries) = self.judged(slot, now);
        let excluded = store.excluded(slot).iter();
        let name = |m: ModeratorSlot| &*store.moderators()[m].name;
        let excluded = excluded.map(|e| name(e.moderator));
        let votes = store.votes(slot).iter().map(|vote| VoteView {
            moderator: name(vote.moderator),
            verdict: &vote.verdict,
            at: vote.at,
        });
        let deciders = store.review(slot).map(|review| &review.deciders);
        Some(ItemView {
            item: item.id(),
            state,
            payload: item.payload(),
            priority: item.priority,
            boost: item.boost(),
            submitted: item.submitted(),
            due: rare.and_then(|rare| rare.due),
            rev: item.rev,
            reports: rare.map_or(1, |rare| rare.reports),
            deliveries: item.deliveries,
            expiries,
            lock: self.live_lock_view(slot, now),
            tags: store.tags().names(item.tags).collect(),
            excluded: excluded.collect(),
            quorum: store.quorum(slot),
            votes: votes.collect(),
            contested: store.is_contested(slot),
            group: store.group_name(slot),
            deciders: deciders.into_iter().flatten().map(|m| name(*m)).collect(),
        })
    }

    /// How many items have votes and are not contested.
    #[must_use]
    pub fn voting(&self) -> usize {
        self.store.reviews().voting()
    }

    /// How many items are contested.
    #[must_use]
    pub fn contested(&self) -> usize {
        self.store.reviews().contested().len()
    }

    /// The largest age since submit of the contested items.
    #[must_use]
    pub fn oldest_contested(&self, now: Time) -> Millis {
        let first = self.store.reviews().contested().first();
        first.map_or(Millis::ZERO, |(submitted, _)| now.since(*submitted))
    }

    /// The ready items in the order they would be claimed, by this moderator if one is named.
    #[must_use]
    pub fn peek(&self, count: usize, moderator: Option<(&[u8], Option<&[&Bytes]>)>) -> Vec<&[u8]> {
        let store = &self.store;
        let known = moderator.and_then(|(name, _)| store.moderators().find(name));
        let sets = moderator.map(|(_, given)| self.offered(known, given));
        let excluded = known.map(|m| &store.moderators()[m].excluded);
        let mut heads = Vec::new();
        for class in &store.tags().with_ready {
            let offered = |sets: &Offered| {
                let needed = &store.tags().classes[*class].tags;
                sets.iter().any(|set| covers(set, needed))
            };
            if sets.as_ref().is_none_or(offered) {
                let first = first_for(store, *class, known);
                heads.extend(first.map(|slot| Reverse((store.key(slot), slot, *class))));
            }
        }
        let mut heads = BinaryHeap::from(heads);
        // Only of the classes that something is answered of is more than the first looked for.
        let mut others: HashMap<ClassSlot, Box<dyn Iterator<Item = ItemSlot> + '_>> =
            HashMap::new();
        let mut ids = Vec::new();
        while ids.len() < count {
            let Some(Reverse((_, slot, class))) = heads.pop() else {
                break;
            };
            ids.push(store.items()[slot].id());
            let others = others.entry(class).or_insert_with(|| {
                let ready = &store.tags().classes[class].ready;
                match excluded.and_then(|e| e.get(&class)) {
                    Some(excluded) => Box::new(difference(ready, excluded).skip(1)),
                    None => Box::new(ready.iter_from(1)),
                }
            });
            if let Some(next) = others.next() {
                heads.push(Reverse((store.key(next), next, class)));
            }
        }
        ids
    }

    /// How many ready items come before `key`, over all tag combinations.
    fn rank(&self, key: OrderKey) -> usize {
        let tags = self.store.tags();
        let ranks = tags.with_ready.iter().map(|class| {
            let ready = &tags.classes[*class].ready;
            ready.rank(key, |s| self.store.key(s))
        });
        ranks.sum()
    }

    /// 1 for the item that is claimed next; none unless it is ready.
    #[must_use]
    pub fn position(&self, id: &[u8]) -> Option<usize> {
        let slot = self.store.find(id)?;
        let ready = self.store.items()[slot].state == State::Ready;
        ready.then(|| self.rank(self.store.key(slot)) + 1)
    }

    /// Ready items by tag (an item counts for each of its tags): the first `most` by name.
    #[must_use]
    pub fn ready_by_tag(&self, most: usize) -> Vec<(&[u8], usize)> {
        let tags = self.store.tags();
        // By number of the tag.
        let mut counts = Vec::new();
        for class in &tags.with_ready {
            let class = &tags.classes[*class];
            for tag in &class.tags {
                let at = tag.number() as usize;
                counts.resize(counts.len().max(at + 1), 0);
                counts[at] += class.ready.len();
            }
        }
        let counts = counts.into_iter().enumerate().filter(|(_, n)| *n > 0);
        let by_name = counts.map(|(at, n)| (tags.name(TagSlot::new(at as u32)), n));
        let mut by_tag: Vec<(&[u8], usize)> = by_name.collect();
        if by_tag.len() > most {
            by_tag.select_nth_unstable(most);
            by_tag.truncate(most);
        }
        by_tag.sort_unstable();
        by_tag
    }

    /// Ready items by priority, highest first.
    pub fn ready_by_priority(&self) -> impl Iterator<Item = (i32, usize)> + '_ {
        let by_priority = self.store.by_priority().iter();
        by_priority.rev().map(|(p, n)| (*p, *n))
    }

    /// How many transitions are overdue: O(log n).
    #[must_use]
    pub fn overdue(&self, now: Time) -> usize {
        // Nothing that is due at that time sorts before this.
        let first_later = Timer {
            time: now + Millis(1),
            what: Timed::Registration(ModeratorSlot::default()),
        };
        self.store.timers().rank(first_later, |timer| timer)
    }

    /// How long the ready item that waits longest has waited, from submit or its last due time;
    /// nothing if none is ready.
    #[must_use]
    pub fn oldest_ready(&self, now: Time) -> Millis {
        let since = self.store.oldest_ready().into_iter().flatten();
        let since = since.map(|slot| self.store.waiting_since(slot)).min();
        since.map_or(Millis::ZERO, |since| now.since(since))
    }

    /// The largest age since submit of all items that are not dead.
    #[must_use]
    pub fn oldest_item(&self, now: Time) -> Millis {
        let submitted = self.store.oldest().into_iter().flatten();
        let submitted = submitted.map(|slot| self.store.items()[slot].submitted());
        let oldest = submitted.min();
        oldest.map_or(Millis::ZERO, |submitted| now.since(submitted))
    }

    /// The moderators in line, the longest waiting first.
    #[must_use]
    pub fn waiters(&self, count: usize) -> Vec<WaiterView<'_>> {
        let waiting = self.line.iter().take(count);
        waiting
            .map(|(place, moderator)| WaiterView {
                moderator: &self.store.moderators()[moderator].name,
                kind: match self.store.moderators()[moderator].joined_at() {
                    Some(_) => Kind::Joined,
                    None => Kind::Blocked,
                },
                since: place.since,
                tags: self
                    .store
                    .tags()
                    .names(self.tags_shown(moderator))
                    .collect(),
            })
            .collect()
    }

    /// One who waits in several ways is shown with the tags of the first.
    fn tags_shown(&self, moderator: ModeratorSlot) -> TagList {
        let profile = self.store.moderators()[moderator].profile.as_ref();
        let joined = profile.filter(|p| p.place.is_some());
        let calls = self.line.calls_of(moderator).iter();
        match (joined, calls.min_by_key(|call| call.place)) {
            (Some(profile), _) => profile.tags,
            (None, Some(call)) => match profile {
                Some(profile) if !call.own_tags => profile.tags,
                _ => call.tags,
            },
            (None, None) => TagList::EMPTY,
        }
    }

    /// The tag sets a moderator has to offer: the one given, else the one a CLAIM would go by and
    /// those of their blocked calls.
    fn offered(&self, moderator: Option<ModeratorSlot>, given: Option<&[&Bytes]>) -> Offered {
        let mut sets: Offered = smallvec![claim_tags(&self.store, moderator, given)];
        if let (Some(m), None) = (moderator, given) {
            // Many calls of one name mostly offer the same.
            let own = self.line.calls_of(m).iter().filter(|call| call.own_tags);
            let mut lists: SmallVec<[TagList; 2]> = own.map(|call| call.tags).collect();
            lists.sort_unstable();
            lists.dedup();
            sets.extend(lists.iter().map(|l| self.store.tags().set(*l).into()));
        }
        sets
    }

    /// Bytes of memory in use: O(1).
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Queue>() + self.store.memory_bytes() + self.line.memory_bytes()
    }

    /// About how many allocations there are to free: O(1).
    #[must_use]
    pub fn free_effort(&self) -> usize {
        1 + self.store.allocations() + self.line.memory_bytes() / 512
    }
}
