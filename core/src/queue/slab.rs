//! Numbered slots for the records of a queue, in chunks, so that growing never copies what is
//! there and memory goes back when a chunk empties.

use std::collections::BTreeSet;

/// Slots per chunk.
const CHUNK: usize = 256;

/// Values in numbered slots. A number is reused after its value was removed, lowest chunk first.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with a free slot or room to grow.
    open: BTreeSet<u32>,
    len: usize,
    /// Slots that memory is held for.
    capacity: usize,
}

#[derive(Debug)]
struct Chunk<T> {
    slots: Vec<Slot<T>>,
    free: u32,
    live: u32,
}

#[derive(Debug)]
enum Slot<T> {
    Taken(T),
    Free(u32),
}

const NONE: u32 = u32::MAX;

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            chunks: Vec::new(),
            open: BTreeSet::new(),
            len: 0,
            capacity: 0,
        }
    }
}

impl<T> Slab<T> {
    /// How many slots are taken.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether the slot is taken.
    pub(super) fn contains(&self, slot: u32) -> bool {
        self.get(slot).is_some()
    }

    /// What is in the slot, if it is taken.
    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        let chunk = self.chunks.get(slot as usize / CHUNK)?;
        match chunk.slots.get(slot as usize % CHUNK)? {
            Slot::Taken(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// Puts `value` into a free slot and answers its number.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let c = match self.open.first() {
            Some(c) => *c,
            None => {
                self.chunks.push(Chunk {
                    slots: Vec::new(),
                    free: NONE,
                    live: 0,
                });
                let c = self.chunks.len() as u32 - 1;
                self.open.insert(c);
                c
            }
        };
        let chunk = &mut self.chunks[c as usize];
        let at = if chunk.free == NONE {
            if chunk.slots.len() == chunk.slots.capacity() {
                // Only the first chunk starts small: a queue of a few items costs little.
                let more = match (c, chunk.slots.len()) {
                    (0, 0) => 4,
                    (0, n) => n.min(CHUNK - n),
                    (_, n) => CHUNK - n,
                };
                let before = chunk.slots.capacity();
                chunk.slots.reserve_exact(more);
                self.capacity += chunk.slots.capacity() - before;
            }
            chunk.slots.push(Slot::Taken(value));
            chunk.slots.len() - 1
        } else {
            let at = chunk.free as usize;
            let Slot::Free(next) = std::mem::replace(&mut chunk.slots[at], Slot::Taken(value))
            else {
                unreachable!("the free list leads only through free slots")
            };
            chunk.free = next;
            at
        };
        chunk.live += 1;
        if chunk.live as usize == CHUNK {
            self.open.remove(&c);
        }
        self.len += 1;
        (c as usize * CHUNK + at) as u32
    }

    /// Empties the slot.
    ///
    /// # Panics
    /// If the slot is free: numbers come from `insert` only.
    pub(super) fn remove(&mut self, slot: u32) -> T {
        let (c, at) = (slot as usize / CHUNK, slot as usize % CHUNK);
        let chunk = &mut self.chunks[c];
        let Slot::Taken(value) = std::mem::replace(&mut chunk.slots[at], Slot::Free(chunk.free))
        else {
            panic!("slot {slot} is free")
        };
        chunk.free = at as u32;
        if chunk.live as usize == CHUNK {
            self.open.insert(c as u32);
        }
        chunk.live -= 1;
        if chunk.live == 0 {
            self.capacity -= chunk.slots.capacity();
            chunk.slots = Vec::new();
            chunk.free = NONE;
        }
        self.len -= 1;
        value
    }

    /// The taken slots in order of number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().enumerate().flat_map(|(c, chunk)| {
            chunk
                .slots
                .iter()
                .enumerate()
                .filter_map(move |(at, slot)| match slot {
                    Slot::Taken(value) => Some(((c * CHUNK + at) as u32, value)),
                    Slot::Free(_) => None,
                })
        })
    }

    /// Bytes of heap of the slots themselves, O(1).
    pub(super) fn memory_bytes(&self) -> usize {
        self.capacity * size_of::<Slot<T>>() + self.chunks.capacity() * size_of::<Chunk<T>>()
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, slot: u32) -> &T {
        match &self.chunks[slot as usize / CHUNK].slots[slot as usize % CHUNK] {
            Slot::Taken(value) => value,
            Slot::Free(_) => panic!("slot {slot} is free"),
        }
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut T {
        match &mut self.chunks[slot as usize / CHUNK].slots[slot as usize % CHUNK] {
            Slot::Taken(value) => value,
            Slot::Free(_) => panic!("slot {slot} is free"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reuses_numbers_and_gives_memory_back() {
        let mut slab = Slab::default();
        let slots: Vec<u32> = (0..1000).map(|i| slab.insert(i)).collect();
        assert_eq!(slots, (0..1000).collect::<Vec<u32>>());
        slab.remove(300);
        slab.remove(17);
        assert_eq!(slab.insert(7), 17, "the lowest chunk first");
        assert_eq!(slab.insert(8), 300);
        for slot in 0..1000 {
            slab.remove(slot);
        }
        assert_eq!(slab.len(), 0);
        assert!(slab.chunks.iter().all(|c| c.slots.capacity() == 0));
        assert_eq!(slab.insert(1), 0);
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(0, &1)]);
    }
}
