//! A hash index from byte strings to slot numbers that grows a little at a time: extendible hashing
//! over small hash tables, so that no insertion ever rehashes more than one of them.

use crate::memory::alloc_size;
use crate::slab::SlotNumber;
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// A table is split when it holds this many slots: 7/8 of 2,048 buckets. Rehashing that many takes
/// a fraction of a millisecond even when every string must be fetched from memory.
const SPLIT_AT: usize = 1792;
/// Beyond this many doublings of the directory the tables grow on their own instead.
const MAX_DEPTH: u8 = 20;

/// Slot numbers found by the hash of strings that are stored elsewhere (Fagin et al. 1979).
#[derive(Debug)]
pub(crate) struct SlotIndex<K> {
    hasher: SeedableRandomState,
    depth: u8,
    directory: Vec<u32>,
    shards: Vec<Shard<K>>,
    /// Bytes of heap of all tables, as the allocator rounds them.
    bytes: usize,
}

#[derive(Debug)]
struct Shard<K> {
    depth: u8,
    table: HashTable<K>,
}

impl<K> Default for SlotIndex<K> {
    fn default() -> Self {
        SlotIndex {
            hasher: random_hasher(),
            depth: 0,
            directory: vec![0],
            shards: vec![Shard {
                depth: 0,
                table: HashTable::new(),
            }],
            bytes: 0,
        }
    }
}

/// A hasher that no other index of this or another process shares. The seeds are the system's
/// random numbers, so that nobody can choose ids that collide; the hash itself is a few multiplications.
fn random_hasher() -> SeedableRandomState {
    static SHARED: OnceLock<SharedSeed> = OnceLock::new();
    let random = || RandomState::new().build_hasher().finish();
    let shared = SHARED.get_or_init(|| SharedSeed::from_u64(random()));
    SeedableRandomState::with_seed(random(), shared)
}

#[inline]
fn hash_of(hasher: &SeedableRandomState, bytes: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

/// The bits of a hash that choose a table: not those that hashbrown uses inside one.
fn chooser(hash: u64) -> usize {
    (hash >> 24) as usize & ((1 << MAX_DEPTH) - 1)
}

impl<K: SlotNumber> SlotIndex<K> {
    /// The keyed hash of a string.
    #[inline]
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        hash_of(&self.hasher, bytes)
    }

    fn shard(&self, hash: u64) -> usize {
        self.directory[chooser(hash) & ((1 << self.depth) - 1)] as usize
    }

    /// The slot under `hash` for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(K) -> bool) -> Option<K> {
        self.shards[self.shard(hash)]
            .table
            .find(hash, |slot| is_it(*slot))
            .copied()
    }

    /// Adds a slot whose string is not in the index yet. `string_of` gives the string of any slot.
    pub(crate) fn insert<'a>(&mut self, hash: u64, slot: K, string_of: impl Fn(K) -> &'a [u8]) {
        let mut at = self.shard(hash);
        if self.shards[at].table.len() >= SPLIT_AT && self.shards[at].depth < MAX_DEPTH {
            self.split(at, &string_of);
            at = self.shard(hash);
        }
        let hasher = &self.hasher;
        let table = &mut self.shards[at].table;
        // Only a table without room may grow.
        let full = (table.len() == table.capacity()).then(|| table_bytes(table));
        table.insert_unique(hash, slot, |s| hash_of(hasher, string_of(*s)));
        if let Some(before) = full {
            self.bytes += table_bytes(table) - before;
        }
    }

    /// Removes the slot under `hash`.
    pub(crate) fn remove(&mut self, hash: u64, slot: K) {
        let at = self.shard(hash);
        let table = &mut self.shards[at].table;
        if let Ok(entry) = table.find_entry(hash, |s| *s == slot) {
            entry.remove();
            if table.is_empty() {
                self.bytes -= table_bytes(table);
                *table = HashTable::new();
            }
        }
    }

    fn split<'a>(&mut self, at: usize, string_of: &impl Fn(K) -> &'a [u8]) {
        let bit = self.shards[at].depth;
        if bit == self.depth {
            let half = self.directory.len();
            self.directory.extend_from_within(..half);
            self.depth += 1;
        }
        let new = self.shards.len() as u32;
        let old = std::mem::take(&mut self.shards[at].table);
        self.bytes -= table_bytes(&old);
        let mut tables = [
            HashTable::with_capacity(old.len() * 5 / 8),
            HashTable::with_capacity(old.len() * 5 / 8),
        ];
        for slot in old {
            let hash = self.hash(string_of(slot));
            let side = chooser(hash) >> bit & 1;
            tables[side].insert_unique(hash, slot, |s| hash_of(&self.hasher, string_of(*s)));
        }
        self.bytes += tables.iter().map(table_bytes).sum::<usize>();
        let [low, high] = tables;
        self.shards[at] = Shard {
            depth: bit + 1,
            table: low,
        };
        self.shards.push(Shard {
            depth: bit + 1,
            table: high,
        });
        for (i, shard) in self.directory.iter_mut().enumerate() {
            if *shard as usize == at && i >> bit & 1 == 1 {
                *shard = new;
            }
        }
    }

    /// Bytes of heap, O(1).
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes
            + alloc_size(self.directory.capacity() * size_of::<u32>())
            + alloc_size(self.shards.capacity() * size_of::<Shard<K>>())
    }
}

fn table_bytes<K>(table: &HashTable<K>) -> usize {
    alloc_size(table.allocation_size())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::slot_number;

    slot_number!(
        /// A slot of the test.
        Number
    );

    #[test]
    fn finds_everything_while_it_grows_and_shrinks() {
        let strings: Vec<Vec<u8>> = (0..50_000u32)
            .map(|i| format!("id:{i}").into_bytes())
            .collect();
        let mut index = SlotIndex::<Number>::default();
        for (slot, string) in strings.iter().enumerate() {
            let hash = index.hash(string);
            assert_eq!(index.find(hash, |s| strings[s.0 as usize] == *string), None);
            index.insert(hash, Number(slot as u32), |s| &strings[s.0 as usize]);
        }
        assert!(index.depth >= 4, "the directory has grown");
        for shard in &index.shards {
            assert!(shard.table.len() <= SPLIT_AT);
        }
        let tables = index.shards.iter().map(|shard| &shard.table);
        assert_eq!(index.bytes, tables.map(table_bytes).sum::<usize>());
        for (slot, string) in strings.iter().enumerate() {
            let hash = index.hash(string);
            let found = index.find(hash, |s| strings[s.0 as usize] == *string);
            assert_eq!(found, Some(Number(slot as u32)));
            index.remove(hash, Number(slot as u32));
            assert_eq!(index.find(hash, |s| strings[s.0 as usize] == *string), None);
        }
        assert_eq!(index.bytes, 0);
    }
}
