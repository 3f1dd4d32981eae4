//! Every index of a queue, made anew from its records and compared.

use super::*;
use crate::queue::line::BlockedCall;
use crate::queue::store::{
    ClassSlot, Item, Lock, Moderator, ModeratorSlot, Rare, Review, Store, TagList, Timed, Timer,
};

/// What STATS tells without looking at every item, against looking at every item.
pub(super) fn verify_ages(queue: &Queue) {
    let (store, now) = (&queue.store, Time(1 << 41));
    let in_state = |state| move |slot: &ItemSlot| store.items()[*slot].state == state;
    let all = || store.by_seq().iter();
    let oldest_ready = all().filter(in_state(State::Ready));
    let oldest_ready = oldest_ready.map(|s| now.since(store.waiting_since(s)));
    let oldest_ready = oldest_ready.max().unwrap_or_default();
    assert_eq!(queue.oldest_ready(now), oldest_ready);
    let oldest = all().filter(|s| store.items()[*s].state != State::Dead);
    let oldest = oldest.map(|s| now.since(store.items()[s].submitted()));
    assert_eq!(queue.oldest_item(now), oldest.max().unwrap_or_default());
    let mut by_priority = BTreeMap::<i32, usize>::new();
    for slot in all().filter(in_state(State::Ready)) {
        let priority = store.items()[slot].priority;
        *by_priority.entry(priority).or_default() += 1;
    }
    assert!(queue.ready_by_priority().eq(by_priority.into_iter().rev()));
}

/// Makes every index of the queue anew from its records, and compares.
pub(super) fn verify(queue: &Queue) {
    let store = &queue.store;
    let mut found = Found::default();
    for (slot, item) in store.items().iter() {
        found.note_item(store, slot, item);
    }
    found.check_items(store);
    for (moderator, calls) in queue.line.all_calls() {
        assert!(store.moderators().is_known(*moderator));
        found.note_calls(store, *moderator, calls);
    }
    for (slot, moderator) in store.moderators().iter() {
        found.note_moderator(store, slot, moderator);
    }
    found.check_moderators(store);
    found.check_classes(store);
    found.check_tags(store);
    verify_line(queue);
    verify_bytes(queue);
}

/// The heap bytes that are counted as things happen, against looking at everything.
fn verify_bytes(queue: &Queue) {
    let store = &queue.store;
    let all = [
        store.exclusion_bytes(),
        store.moderators().counted_and_found(),
        store.reviews().counted_and_found(),
        store.groups().counted_and_found(),
        store.decided().counted_and_found(),
        queue.line.counted_and_found(),
    ];
    for (counted, found) in all.into_iter().chain(store.tags().counted_and_found()) {
        assert_eq!(counted, found);
    }
}

/// What is found by looking at the records one by one.
#[derive(Default)]
struct Found {
    ready: BTreeMap<ClassSlot, Vec<(OrderKey, ItemSlot)>>,
    excluded: BTreeMap<(ModeratorSlot, ClassSlot), Vec<(OrderKey, ItemSlot)>>,
    /// Who refers to a moderator: exclusions, ended locks, blocked calls.
    references: BTreeMap<ModeratorSlot, u32>,
    delayed: BTreeSet<(Seq, ItemSlot)>,
    dead: BTreeSet<(Seq, ItemSlot)>,
    dead_contested: BTreeSet<(Seq, ItemSlot)>,
    contested: BTreeSet<(Time, ItemSlot)>,
    voting: usize,
    reviews: usize,
    members: usize,
    groups: BTreeMap<Vec<u8>, Vec<(Seq, ItemSlot)>>,
    timers: BTreeSet<Timer>,
    locked: usize,
    held: usize,
    rare: usize,
    content: usize,
    seqs: Vec<(Seq, ItemSlot)>,
    /// Every list of tags that something uses, by names.
    lists: BTreeSet<Vec<Vec<u8>>>,
}

impl Found {
    fn note_list(&mut self, store: &Store, list: TagList) {
        let names = store.tags().names(list);
        self.lists.insert(names.map(<[u8]>::to_vec).collect());
    }

    fn note_reference(&mut self, moderator: ModeratorSlot, times: usize) {
        *self.references.entry(moderator).or_default() += times as u32;
    }

    fn note_item(&mut self, store: &Store, slot: ItemSlot, item: &Item) {
        assert_eq!(store.find(item.id()), Some(slot));
        self.content += item.heap_bytes();
        assert!(item.seq().0 < store.next_seq());
        self.seqs.push((item.seq(), slot));
        self.note_list(store, item.tags);
        assert_eq!(store.rare(slot), store.all_rare().get(&slot));
        let rare = store.rare(slot).cloned().unwrap_or_default();
        if store.rare(slot).is_some() {
            self.rare += 1;
            assert_ne!(rare, Rare::default());
        }
        self.note_review(store, slot, item);
        for exclusion in &rare.excluded {
            self.note_reference(exclusion.moderator, 1);
        }
        if let Some(late) = &rare.late {
            self.note_reference(late.moderator, 1);
            assert!(item.state != State::Locked && late.token <= store.last_token());
        }
        match item.state {
            State::Ready => self.note_ready(store, slot),
            State::Delayed => {
                self.delayed.insert((item.seq(), slot));
                self.timers.insert(Timer {
                    time: rare.due.expect("a delayed item has a due time"),
                    what: Timed::Due(item.seq(), slot),
                });
            }
            State::Dead => {
                let dead = match store.is_contested(slot) {
                    true => &mut self.dead_contested,
                    false => &mut self.dead,
                };
                dead.insert((item.seq(), slot));
            }
            State::Locked => {
                let lock = store.lock(slot).expect("a locked item has a lock");
                self.note_lock(store, slot, lock);
            }
        }
    }

    fn note_review(&mut self, store: &Store, slot: ItemSlot, item: &Item) {
        assert_eq!(store.review(slot), store.all_reviews().get(&slot));
        if let Some(review) = store.review(slot) {
            self.reviews += 1;
            assert_ne!(*review, Review::default());
            assert!(review.quorum.fits() && review.votes.len() <= Quorum::MAX.into());
            let voters: BTreeSet<_> = review.votes.iter().map(|v| v.moderator).collect();
            assert_eq!(voters.len(), review.votes.len(), "I7: voters are distinct");
            assert!(!review.contested || !review.votes.is_empty());
            assert!(review.contested || !review.added_tag);
            assert!(!review.parked || review.contested && !review.added_tag);
            for moderator in voters.iter().chain(&review.deciders) {
                self.note_reference(*moderator, 1);
            }
            self.voting += usize::from(!review.votes.is_empty() && !review.contested);
            if review.contested {
                self.contested.insert((item.submitted(), slot));
            }
        }
        self.members += usize::from(store.all_members().contains(&slot));
        if store.group(slot).is_some() {
            let group = store.group_name(slot).to_vec();
            let members = self.groups.entry(group).or_default();
            members.push((item.seq(), slot));
        }
    }

    fn check_groups(&mut self, store: &Store) {
        assert_eq!(store.groups().len(), self.groups.len());
        for (name, expected) in &mut self.groups {
            expected.sort_unstable();
            let items = store.group_items(name, Seq(0), usize::MAX);
            let expected: Vec<ItemSlot> = expected.iter().map(|(_, slot)| *slot).collect();
            assert_eq!(items, expected);
            assert_eq!(store.group_len(name), expected.len());
        }
        assert_eq!(store.all_members().len(), self.members);
    }

    /// The records of decided items, made anew from what each of them says.
    fn check_records(store: &Store) {
        let all: Vec<_> = store.decided().iter().collect();
        assert_eq!(all.len(), store.decided().len());
        let keys: Vec<_> = all.iter().map(|(v, serial)| (v.decided, *serial)).collect();
        assert!(keys.is_sorted() && keys.iter().all(|(_, serial)| *serial < store.next_record()));
        let items: BTreeSet<&[u8]> = all.iter().map(|(verdict, _)| verdict.item).collect();
        assert_eq!(items.len(), all.len(), "one record of each item");
        for (verdict, _) in &all {
            assert!(!verdict.moderators.is_empty());
        }
    }

    fn note_ready(&mut self, store: &Store, slot: ItemSlot) {
        let class = store.tags().class(store.items()[slot].tags);
        let entry = (store.key(slot), slot);
        self.ready.entry(class).or_default().push(entry);
        let excluded = store.excluded(slot).iter().map(|e| e.moderator);
        let mut moderators: BTreeSet<ModeratorSlot> = excluded.collect();
        assert_eq!(
            moderators.len(),
            store.excluded(slot).len(),
            "excluded once"
        );
        moderators.extend(store.votes(slot).iter().map(|vote| vote.moderator));
        moderators.extend(store.review(slot).iter().flat_map(|r| &r.deciders));
        for m in moderators {
            self.excluded.entry((m, class)).or_default().push(entry);
        }
    }

    fn note_lock(&mut self, store: &Store, slot: ItemSlot, lock: Lock) {
        self.locked += 1;
        assert_eq!(lock.item, slot);
        assert!(lock.token <= store.last_token());
        let held = &store.moderators()[lock.moderator].held;
        assert_eq!(held.get(lock.token), Some(slot));
        self.timers.insert(Timer {
            time: lock.deadline,
            what: Timed::Deadline(lock.token, slot),
        });
    }

    fn check_items(&mut self, store: &Store) {
        self.seqs.sort_unstable();
        let by_seq = self.seqs.iter().map(|(_, slot)| *slot);
        assert!(store.by_seq().iter().eq(by_seq));
        assert_eq!(store.by_seq().len(), self.seqs.len());
        assert_eq!(store.content_bytes(), self.content);
        assert_eq!(store.all_rare().len(), self.rare);
        assert_eq!(store.all_reviews().len(), self.reviews);
        assert_eq!(store.reviews().voting(), self.voting);
        assert_eq!(store.reviews().contested(), &self.contested);
        assert_eq!(store.dead_contested(), &self.dead_contested);
        self.check_groups(store);
        Found::check_records(store);
        assert_eq!((store.delayed(), store.dead()), (&self.delayed, &self.dead));
        assert_eq!(store.locks().len(), self.locked);
    }

    fn note_calls(&mut self, store: &Store, moderator: ModeratorSlot, calls: &[BlockedCall]) {
        self.note_reference(moderator, calls.len());
        for call in calls {
            self.note_list(store, call.tags);
        }
    }

    fn note_moderator(&mut self, store: &Store, slot: ModeratorSlot, m: &Moderator) {
        assert_eq!(store.moderators().find(&m.name), Some(slot));
        self.held += m.held.len();
        let references = self.references.remove(&slot).unwrap_or(0);
        assert_eq!(m.references, references, "{}", text(&m.name));
        let idle = m.held.is_empty() && m.profile.is_none();
        assert!(references > 0 || !idle, "{} is idle", text(&m.name));
        for (class, tree) in &m.excluded {
            let mut expected = self.excluded.remove(&(slot, *class)).unwrap_or_default();
            expected.sort();
            assert!(!expected.is_empty());
            assert!(tree.iter().eq(expected.iter().map(|(_, slot)| *slot)));
            assert_eq!(tree.len(), expected.len());
        }
        if let Some(profile) = &m.profile {
            self.note_list(store, profile.tags);
            self.timers.insert(Timer {
                time: profile.expires,
                what: Timed::Registration(slot),
            });
        }
    }

    fn check_moderators(&self, store: &Store) {
        assert!(self.references.is_empty() && self.excluded.is_empty());
        assert_eq!(self.held, self.locked, "I3: each lock is one moderator's");
        assert!(store.timers().iter().eq(self.timers.iter().copied()));
    }

    fn check_classes(&mut self, store: &Store) {
        let with_ready: BTreeSet<ClassSlot> = self.ready.keys().copied().collect();
        assert_eq!(store.tags().with_ready, with_ready);
        let mut count = 0;
        for (slot, class) in store.tags().classes.iter() {
            let mut expected = self.ready.remove(&slot).unwrap_or_default();
            expected.sort();
            count += expected.len();
            let slots = expected.iter().map(|(_, slot)| *slot);
            assert!(class.ready.iter().eq(slots));
            assert_eq!(class.ready.len(), expected.len());
        }
        assert_eq!(store.ready(), count);
    }

    fn check_tags(&mut self, store: &Store) {
        self.lists.insert(Vec::new());
        let sorted = |list: &Vec<Vec<u8>>| {
            let mut set = list.clone();
            set.sort();
            set
        };
        let sets: BTreeSet<Vec<Vec<u8>>> = self.lists.iter().map(sorted).collect();
        let tags: BTreeSet<&Vec<u8>> = self.lists.iter().flatten().collect();
        let sizes = (self.lists.len(), sets.len(), tags.len());
        assert_eq!(store.tags().sizes(), sizes);
    }
}

/// Where a moderator stands: the earliest of all their reasons to wait.
fn place_of(queue: &Queue, moderator: ModeratorSlot) -> Option<Place> {
    let joined = queue.store.moderators()[moderator].joined_at();
    let calls = queue.line.all_calls().get(&moderator);
    let calls = calls.into_iter().flatten().map(|call| call.place);
    calls.chain(joined).min()
}

/// The line, made anew from registrations and blocked calls.
fn verify_line(queue: &Queue) {
    let (store, line) = (&queue.store, &queue.line);
    let mut order = BTreeSet::new();
    let mut takers = BTreeMap::<ClassSlot, BTreeSet<(Place, ModeratorSlot)>>::new();
    for (slot, _) in store.moderators().iter() {
        let place = place_of(queue, slot);
        assert_eq!(line.place(slot), place);
        let Some(place) = place else {
            continue;
        };
        order.insert((place, slot));
        if store.has_capacity(slot) {
            for class in line.offers(store, slot) {
                takers.entry(class).or_default().insert((place, slot));
            }
        }
    }
    assert!(line.iter().eq(order.iter().copied()));
    assert_eq!(line.len(), order.len());
    let standing: BTreeSet<(Place, ModeratorSlot)> = line.standing().collect();
    assert_eq!(standing, order, "nothing is left of who is gone");
    let found: BTreeMap<_, _> = line.takers().map(|(c, all)| (c, all.clone())).collect();
    assert_eq!(found, takers);
    assert_eq!(line.has_no_takers(), takers.is_empty());
    let calls = line.all_calls().values();
    assert!(calls.clone().all(|calls| !calls.is_empty()));
    assert_eq!(line.blocked(), calls.map(Vec::len).sum());
    for moderator in line.all_last_calls_ended().keys() {
        let known = store.moderators().is_known(*moderator);
        assert!(known && store.moderators()[*moderator].profile.is_some());
    }
}
