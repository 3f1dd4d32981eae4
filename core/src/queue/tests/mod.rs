//! The queue core against a naive model of the specification, its invariants as properties, its
//! bytes, and one test for each promised behaviour.

use super::state::{Extra, Timed, Timer};
use super::*;
use crate::codec::{DecodeError, Persist};
use proptest::prelude::ProptestConfig;
use serde_bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

mod codec;
mod model;
mod properties;
mod units;
mod waiting;
mod world;

/// So many cases of a property; MODQ_CASES times as many for a long run.
fn cases(cases: u32) -> ProptestConfig {
    let times = std::env::var("MODQ_CASES").map_or(1, |n| n.parse().expect("a number"));
    ProptestConfig {
        cases: cases * times,
        ..ProptestConfig::default()
    }
}

/// The instant `ms`, with some µs to it.
fn at(ms: u64) -> Now {
    Now {
        ms,
        us: ms * 1000 + 321,
    }
}

fn names(all: &[impl AsRef<[u8]>]) -> Vec<&Bytes> {
    all.iter().map(|n| Bytes::new(n.as_ref())).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The chunks of `save(entries)`, in order.
fn chunks(queue: &Queue, entries: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    queue.save(entries, &mut |chunk| all.push(chunk.to_vec()));
    all
}

/// The canonical state: the sorted chunks of `save(1)`.
fn canon(queue: &Queue) -> Vec<Vec<u8>> {
    let mut all = chunks(queue, 1);
    all.sort();
    all
}

fn load(chunks: &[Vec<u8>]) -> Result<Queue, DecodeError> {
    let mut queue = Queue::default();
    for chunk in chunks {
        queue.load(Queue::VERSION, chunk)?;
    }
    queue.finish()?;
    Ok(queue)
}

/// Applies a record as a replica does.
fn replay(queue: &mut Queue, record: &[u8]) {
    let effects = Record::decode(record).expect("a record decodes");
    for (at, effect) in &effects {
        queue.apply(*at, effect).expect("an effect applies");
    }
}

/// What STATS tells without looking at every item, against looking at every item.
fn verify_ages(queue: &Queue) {
    let now = at(1 << 41);
    let in_state = |state| move |slot: &u32| queue.items[*slot].state == state;
    let all = || queue.by_seq.iter();
    let oldest_ready = all().filter(in_state(State::Ready));
    let oldest_ready = oldest_ready.map(|s| now.ms - queue.waiting_since(s)).max();
    assert_eq!(queue.oldest_ready_ms(now), oldest_ready.unwrap_or(0));
    let oldest = all().filter(|s| queue.items[*s].state != State::Dead);
    let oldest = oldest.map(|s| now.ms - queue.items[s].submitted()).max();
    assert_eq!(queue.oldest_item_ms(now), oldest.unwrap_or(0));
    let mut by_priority = BTreeMap::<i32, usize>::new();
    for slot in all().filter(in_state(State::Ready)) {
        *by_priority.entry(queue.items[slot].priority).or_default() += 1;
    }
    assert!(queue.ready_by_priority().eq(by_priority.into_iter().rev()));
}

/// Rebuilds every index of the queue from its records, and compares.
fn verify(queue: &Queue) {
    let mut ready = BTreeMap::<u32, Vec<(OrderKey, u32)>>::new();
    let mut excluded = BTreeMap::<(u32, u32), Vec<(OrderKey, u32)>>::new();
    let mut mentions = BTreeMap::<u32, u32>::new();
    let (mut delayed, mut dead) = (BTreeSet::new(), BTreeSet::new());
    let mut timers = BTreeSet::new();
    let (mut locked, mut extras, mut content) = (0, 0, 0);
    let mut seqs = Vec::new();
    let mut lists = BTreeSet::<Vec<Vec<u8>>>::new();
    for (slot, item) in queue.items.iter() {
        assert_eq!(queue.find(item.id()), Some(slot));
        let class = queue.tags.class(item.tags);
        content += item.heap_bytes();
        assert!(item.seq() < queue.next_seq);
        seqs.push((item.seq(), slot));
        lists.insert(queue.tags.names(item.tags).map(<[u8]>::to_vec).collect());
        assert_eq!(item.has_extra, queue.extras.contains_key(&slot));
        let extra = queue.extra(slot).cloned().unwrap_or_default();
        if item.has_extra {
            extras += 1;
            assert_ne!(extra, Extra::default());
        }
        for (m, _) in &extra.excluded {
            *mentions.entry(*m).or_default() += 1;
        }
        if let Some(late) = &extra.late {
            *mentions.entry(late.moderator).or_default() += 1;
            assert!(item.state != State::Locked && late.token <= queue.last_token);
        }
        match item.state {
            State::Ready => {
                let entry = (queue.key(slot), slot);
                ready.entry(class).or_default().push(entry);
                let moderators: BTreeSet<u32> = extra.excluded.iter().map(|(m, _)| *m).collect();
                assert_eq!(moderators.len(), extra.excluded.len(), "excluded once");
                for m in moderators {
                    excluded.entry((m, class)).or_default().push(entry);
                }
            }
            State::Delayed => {
                delayed.insert((item.seq(), slot));
                timers.insert(Timer {
                    time: extra.due,
                    what: Timed::Due(item.seq(), slot),
                });
            }
            State::Dead => {
                dead.insert((item.seq(), slot));
            }
            State::Locked => {
                locked += 1;
                let lock = queue.lock(slot).expect("a locked item has a lock");
                assert_eq!(lock.slot, slot);
                assert!(lock.token <= queue.last_token);
                let held = &queue.moderators[lock.moderator].held;
                assert_eq!(held.get(&lock.token), Some(&slot));
                timers.insert(Timer {
                    time: lock.deadline,
                    what: Timed::Deadline(lock.token, slot),
                });
            }
        }
    }
    seqs.sort_unstable();
    assert!(queue.by_seq.iter().eq(seqs.iter().map(|(_, slot)| *slot)));
    assert_eq!(queue.by_seq.len(), seqs.len());
    assert_eq!(queue.content_bytes, content);
    assert_eq!(queue.extras.len(), extras);
    assert_eq!((&queue.delayed, &queue.dead), (&delayed, &dead));
    assert_eq!(queue.locks.len(), locked);

    let mut count = 0;
    let mut waiting = BTreeMap::<u32, BTreeSet<(Place, u32)>>::new();
    let mut line = BTreeSet::new();
    let mut held = 0;
    for (slot, m) in queue.moderators.iter() {
        assert_eq!(queue.moderators.find(&m.name), Some(slot));
        held += m.held.len();
        let mentioned = mentions.remove(&slot).unwrap_or(0);
        assert_eq!(m.mentions, mentioned, "{}", text(&m.name));
        let idle = m.held.is_empty() && m.profile.is_none() && m.blocked.is_empty();
        assert!(mentioned > 0 || !idle, "{} is idle", text(&m.name));
        for (class, tree) in &m.excluded {
            let mut expected = excluded.remove(&(slot, *class)).unwrap_or_default();
            expected.sort();
            assert!(!expected.is_empty());
            assert!(tree.iter().eq(expected.iter().map(|(_, slot)| *slot)));
            assert_eq!(tree.len(), expected.len());
        }
        if let Some(profile) = &m.profile {
            lists.insert(queue.tags.names(profile.tags).map(<[u8]>::to_vec).collect());
            timers.insert(Timer {
                time: profile.expires,
                what: Timed::Registration(slot),
            });
        }
        for call in &m.blocked {
            lists.insert(queue.tags.names(call.tags).map(<[u8]>::to_vec).collect());
        }
        if let Some(place) = m.place() {
            line.insert((place, slot));
            if queue.has_capacity(slot) {
                for class in queue.offers(slot) {
                    waiting.entry(class).or_default().insert((place, slot));
                }
            }
        }
    }
    assert!(mentions.is_empty() && excluded.is_empty());
    assert_eq!(held, locked, "I3: each lock is one moderator's");
    assert!(queue.timers.iter().eq(timers));
    assert_eq!(queue.line, line);
    let with_waiting: BTreeSet<u32> = waiting.keys().copied().collect();
    assert_eq!(queue.tags.with_waiting, with_waiting);
    let with_ready: BTreeSet<u32> = ready.keys().copied().collect();
    assert_eq!(queue.tags.with_ready, with_ready);
    for (slot, class) in queue.tags.classes.iter() {
        let mut expected = ready.remove(&slot).unwrap_or_default();
        expected.sort();
        count += expected.len();
        assert!(
            class
                .ready
                .iter()
                .eq(expected.iter().map(|(_, slot)| *slot))
        );
        assert_eq!(class.ready.len(), expected.len());
        assert_eq!(class.waiting, waiting.remove(&slot).unwrap_or_default());
    }
    assert_eq!(queue.ready, count);

    lists.insert(Vec::new());
    let sets: BTreeSet<Vec<&Vec<u8>>> = lists
        .iter()
        .map(|list| {
            let mut set: Vec<_> = list.iter().collect();
            set.sort();
            set
        })
        .collect();
    let tags: BTreeSet<&Vec<u8>> = lists.iter().flatten().collect();
    assert_eq!(queue.tags.sizes(), (lists.len(), sets.len(), tags.len()));
}
