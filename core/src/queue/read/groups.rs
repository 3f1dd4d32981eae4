//! GROUP: pages of the items of a group.

use super::views::{GroupPage, Grouped};
use crate::queue::Queue;
use crate::queue::store::Seq;
use crate::units::Time;

impl Queue {
    /// Up to `count` items of a group in the order they arrived, from `cursor` on (0: the first).
    /// What is there throughout an iteration is answered, whatever else changes. A group that is not
    /// there is an empty one.
    #[must_use]
    pub fn group(&self, name: &[u8], cursor: u64, count: usize, now: Time) -> GroupPage<'_> {
        let store = &self.store;
        let slots = store.group_items(name, Seq(cursor), count + 1);
        let next = slots.get(count);
        let rows = slots.iter().take(count).map(|slot| {
            let item = &store.items()[*slot];
            let lock = self.live_lock_view(*slot, now);
            Grouped {
                item: item.id(),
                state: self.judged(*slot, now).0,
                priority: item.priority,
                submitted: item.submitted(),
                moderator: lock.map(|lock| lock.moderator),
            }
        });
        GroupPage {
            next: next.map(|slot| store.items()[*slot].seq().0),
            rows: rows.collect(),
        }
    }
}
