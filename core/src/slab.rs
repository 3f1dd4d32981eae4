//! Numbered slots for the records of a queue, in chunks, so that growing never copies what is
//! there and memory goes back when a chunk empties. Slots of one kind are a type of their own.

use crate::memory::{alloc_size, btree_bytes};
use std::collections::BTreeSet;
use std::marker::PhantomData;

/// The number of a slot, as a type of its own for each kind of record.
pub(crate) trait SlotNumber: Copy + Eq {
    fn new(number: u32) -> Self;
    fn number(self) -> u32;
}

/// Declares the slot number of a kind of record.
macro_rules! slot_number {
    ($(#[$doc:meta])* $visible:vis $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visible struct $name(u32);

        impl $crate::slab::SlotNumber for $name {
            #[inline]
            fn new(number: u32) -> Self {
                $name(number)
            }

            #[inline]
            fn number(self) -> u32 {
                self.0
            }
        }
    };
}
pub(crate) use slot_number;

/// Slots per chunk.
const CHUNK: usize = 256;

/// Values in numbered slots. A number is reused after its value was removed, lowest chunk first.
#[derive(Debug)]
pub(crate) struct Slab<K, T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with a free slot or room to grow.
    open: BTreeSet<u32>,
    len: usize,
    /// Bytes of heap of all chunks, as the allocator rounds them.
    bytes: usize,
    key: PhantomData<K>,
}

#[derive(Debug)]
struct Chunk<T> {
    slots: Vec<Slot<T>>,
    free: u32,
    live: u32,
}

impl<T> Chunk<T> {
    fn heap_bytes(&self) -> usize {
        alloc_size(self.slots.capacity() * size_of::<Slot<T>>())
    }
}

#[derive(Debug)]
enum Slot<T> {
    Taken(T),
    Free(u32),
}

const NONE: u32 = u32::MAX;

/// The chunk of a slot, and where in it.
#[inline]
fn place(slot: impl SlotNumber) -> (usize, usize) {
    let number = slot.number() as usize;
    (number / CHUNK, number % CHUNK)
}

impl<K, T> Default for Slab<K, T> {
    fn default() -> Self {
        Slab {
            chunks: Vec::new(),
            open: BTreeSet::new(),
            len: 0,
            bytes: 0,
            key: PhantomData,
        }
    }
}

impl<K: SlotNumber, T> Slab<K, T> {
    /// How many slots are taken.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether the slot is taken.
    pub(crate) fn contains(&self, slot: K) -> bool {
        self.get(slot).is_some()
    }

    /// What is in the slot, if it is taken.
    #[inline]
    pub(crate) fn get(&self, slot: K) -> Option<&T> {
        let (c, at) = place(slot);
        match self.chunks.get(c)?.slots.get(at)? {
            Slot::Taken(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// Puts `value` into a free slot and answers its number.
    pub(crate) fn insert(&mut self, value: T) -> K {
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
                self.bytes -= chunk.heap_bytes();
                chunk.slots.reserve_exact(more);
                self.bytes += chunk.heap_bytes();
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
        K::new((c as usize * CHUNK + at) as u32)
    }

    /// Empties the slot.
    ///
    /// # Panics
    /// If the slot is free: numbers come from `insert` only.
    pub(crate) fn remove(&mut self, slot: K) -> T {
        let (c, at) = place(slot);
        let chunk = &mut self.chunks[c];
        let Slot::Taken(value) = std::mem::replace(&mut chunk.slots[at], Slot::Free(chunk.free))
        else {
            panic!("slot {} is free", slot.number())
        };
        chunk.free = at as u32;
        if chunk.live as usize == CHUNK {
            self.open.insert(c as u32);
        }
        chunk.live -= 1;
        if chunk.live == 0 {
            self.bytes -= chunk.heap_bytes();
            chunk.slots = Vec::new();
            chunk.free = NONE;
        }
        self.len -= 1;
        value
    }

    /// The taken slots in order of number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.chunks.iter().enumerate().flat_map(|(c, chunk)| {
            chunk
                .slots
                .iter()
                .enumerate()
                .filter_map(move |(at, slot)| match slot {
                    Slot::Taken(value) => Some((K::new((c * CHUNK + at) as u32), value)),
                    Slot::Free(_) => None,
                })
        })
    }

    /// Bytes of heap of the slots themselves, O(1).
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes
            + alloc_size(self.chunks.capacity() * size_of::<Chunk<T>>())
            + btree_bytes::<u32, ()>(self.open.len())
    }
}

impl<K: SlotNumber, T> std::ops::Index<K> for Slab<K, T> {
    type Output = T;

    #[inline]
    fn index(&self, slot: K) -> &T {
        let (c, at) = place(slot);
        match &self.chunks[c].slots[at] {
            Slot::Taken(value) => value,
            Slot::Free(_) => panic!("slot {} is free", slot.number()),
        }
    }
}

impl<K: SlotNumber, T> std::ops::IndexMut<K> for Slab<K, T> {
    #[inline]
    fn index_mut(&mut self, slot: K) -> &mut T {
        let (c, at) = place(slot);
        match &mut self.chunks[c].slots[at] {
            Slot::Taken(value) => value,
            Slot::Free(_) => panic!("slot {} is free", slot.number()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    slot_number!(
        /// A slot of the test.
        Number
    );

    #[test]
    fn reuses_numbers_and_gives_memory_back() {
        let mut slab = Slab::<Number, u32>::default();
        let slots: Vec<Number> = (0..1000).map(|i| slab.insert(i)).collect();
        assert_eq!(slots, (0..1000).map(Number).collect::<Vec<_>>());
        slab.remove(Number(300));
        slab.remove(Number(17));
        assert_eq!(slab.insert(7), Number(17), "the lowest chunk first");
        assert_eq!(slab.insert(8), Number(300));
        slots.into_iter().for_each(|slot| {
            slab.remove(slot);
        });
        assert_eq!(slab.len(), 0);
        assert!(slab.chunks.iter().all(|c| c.slots.capacity() == 0));
        assert_eq!(slab.insert(1), Number(0));
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(Number(0), &1)]);
    }
}
