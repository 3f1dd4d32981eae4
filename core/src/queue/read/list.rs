//! LIST: pages of the items in a state.

use super::views::{Listed, Page};
use crate::queue::Queue;
use crate::queue::store::{ItemSlot, Seq, State, lock_seq};
use crate::units::Time;

/// How many items LIST READY looks at beyond those it answers, and WHY of those that are overdue, so
/// that one call stays short.
pub(super) const MOST_LOOKED_AT: usize = 10_000;

impl Queue {
    fn listed(&self, slot: ItemSlot, now: Time) -> Listed<'_> {
        let item = &self.store.items()[slot];
        Listed {
            item: item.id(),
            priority: item.priority,
            submitted: item.submitted(),
            lock: self.live_lock_view(slot, now),
        }
    }

    /// Up to `count` items of a state in the order they arrived, from `cursor` on (0: the first).
    /// What is there throughout an iteration is answered, whatever else changes.
    #[must_use]
    pub fn list(&self, state: State, cursor: u64, count: usize, now: Time) -> Page<'_> {
        let from = Seq(cursor);
        let (next, slots) = match state {
            State::Ready => self.ready_from(from, count),
            State::Locked => {
                let locks = self.store.locks();
                let locks = locks.iter_from(locks.rank(from, lock_seq));
                page(locks.map(|(seq, lock)| (seq, lock.item)), count)
            }
            State::Delayed => page(self.store.delayed().range(start(from)..).copied(), count),
            State::Dead => {
                let dead = self.store.dead().range(start(from)..);
                let contested = self.store.dead_contested().range(start(from)..);
                page(merged(dead.copied(), contested.copied()), count)
            }
        };
        let rows = slots.into_iter().map(|slot| self.listed(slot, now));
        Page {
            next: next.map(|seq| seq.0),
            rows: rows.collect(),
        }
    }

    fn ready_from(&self, from: Seq, count: usize) -> (Option<Seq>, Vec<ItemSlot>) {
        let (store, mut slots) = (&self.store, Vec::new());
        let seq_of = |s: ItemSlot| store.items()[s].seq();
        let all = store.by_seq();
        for (looked, slot) in all.iter_from(all.rank(from, seq_of)).enumerate() {
            if slots.len() == count || looked == MOST_LOOKED_AT {
                return (Some(seq_of(slot)), slots);
            }
            if store.items()[slot].state == State::Ready {
                slots.push(slot);
            }
        }
        (None, slots)
    }
}

/// Two lists in order as one in order.
fn merged<T: Ord>(
    one: impl Iterator<Item = T>,
    other: impl Iterator<Item = T>,
) -> impl Iterator<Item = T> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(a), Some(b)) if b < a => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}

/// Before everything of this seq.
fn start(from: Seq) -> (Seq, ItemSlot) {
    (from, ItemSlot::default())
}

/// The first `count`, and the seq of the one after them.
fn page(
    mut all: impl Iterator<Item = (Seq, ItemSlot)>,
    count: usize,
) -> (Option<Seq>, Vec<ItemSlot>) {
    let slots = all.by_ref().take(count).map(|(_, slot)| slot).collect();
    (all.next().map(|(seq, _)| seq), slots)
}
