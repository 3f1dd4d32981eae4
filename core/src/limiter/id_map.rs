//! Values by id: records in a slab, found by a hash of their id. Its memory is known exactly, and it never
//! moves all that it holds at once.

use crate::slab::{Slab, slot_number};
use crate::slot_index::SlotIndex;
use std::sync::Arc;

slot_number!(
    /// Where the record of an id is.
    IdSlot
);

#[derive(Debug)]
pub(super) struct IdMap<V> {
    rows: Slab<IdSlot, (Arc<[u8]>, V)>,
    index: SlotIndex<IdSlot>,
}

impl<V> Default for IdMap<V> {
    fn default() -> Self {
        IdMap {
            rows: Slab::default(),
            index: SlotIndex::default(),
        }
    }
}

impl<V: Clone> Clone for IdMap<V> {
    fn clone(&self) -> Self {
        let mut map = IdMap::default();
        for (_, (id, value)) in self.rows.iter() {
            map.insert(id.clone(), value.clone());
        }
        map
    }
}

impl<V> IdMap<V> {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    fn find(&self, id: &[u8]) -> Option<IdSlot> {
        let hash = self.index.hash(id);
        self.index.find(hash, |slot| *self.rows[slot].0 == *id)
    }

    /// The value of an id.
    pub(super) fn get(&self, id: &[u8]) -> Option<&V> {
        self.find(id).map(|slot| &self.rows[slot].1)
    }

    /// The value of an id, to be changed.
    pub(super) fn get_mut(&mut self, id: &[u8]) -> Option<&mut V> {
        self.find(id).map(|slot| &mut self.rows[slot].1)
    }

    /// Gives a value to an id that has none.
    pub(super) fn insert(&mut self, id: Arc<[u8]>, value: V) {
        let hash = self.index.hash(&id);
        let slot = self.rows.insert((id, value));
        let rows = &self.rows;
        self.index.insert(hash, slot, |slot| &rows[slot].0);
    }

    /// Takes the value of an id away.
    pub(super) fn remove(&mut self, id: &[u8]) -> Option<V> {
        let slot = self.find(id)?;
        self.index.remove(self.index.hash(id), slot);
        Some(self.rows.remove(slot).1)
    }

    /// All ids and their values, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.rows.iter().map(|(_, (id, value))| (&**id, value))
    }

    /// Bytes of heap without those of the ids: O(1).
    pub(super) fn heap_bytes(&self) -> usize {
        self.rows.memory_bytes() + self.index.memory_bytes()
    }
}
