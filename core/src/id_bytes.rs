//! The bytes of ids and the like, one behind the other in blocks. They come and go in nearly the same
//! order, so that a block is soon free as a whole. An allocation for each would round its length up by as
//! much as a fifth; a block rounds up once.

use crate::memory::alloc_size;
use std::collections::VecDeque;

/// The first block is as large as this, or as its first id.
const SMALLEST: usize = 64;
/// No block is larger than this, or than one id: many ids go into one, so that what is left at its end is little.
const LARGEST: usize = 16_384;
/// A block is this part of all there is, so that what is not used yet is little too.
const PART: usize = 32;

/// Where an id is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Of its block, counted from the first there ever was; it starts again from 0 after the last.
    block: u32,
    start: u16,
    len: u16,
}

#[derive(Debug)]
struct Block {
    /// Its capacity never changes.
    bytes: Vec<u8>,
    /// How many of its ids are still there. A block without any holds no memory.
    ids: u32,
}

/// The bytes of all ids of a board, or of all records of decided items.
#[derive(Debug, Default)]
pub(crate) struct IdBytes {
    blocks: VecDeque<Block>,
    /// The number of the first block.
    first: u32,
    /// Bytes of heap of all blocks.
    heap: usize,
}

impl IdBytes {
    /// Adds an id of at least one byte and less than 64 KiB.
    pub(crate) fn add(&mut self, id: &[u8]) -> Place {
        let room = |block: &Block| block.bytes.capacity() - block.bytes.len();
        if self.blocks.back().is_none_or(|last| room(last) < id.len()) {
            let capacity = (self.heap / PART).clamp(SMALLEST, LARGEST).max(id.len());
            self.heap += alloc_size(capacity);
            self.blocks.push_back(Block {
                bytes: Vec::with_capacity(capacity),
                ids: 0,
            });
        }
        let block = self.first.wrapping_add(self.blocks.len() as u32 - 1);
        let last = self.blocks.back_mut().expect("just looked at");
        let start = last.bytes.len() as u16;
        last.bytes.extend_from_slice(id);
        last.ids += 1;
        Place {
            block,
            start,
            len: id.len() as u16,
        }
    }

    fn index(&self, place: Place) -> usize {
        place.block.wrapping_sub(self.first) as usize
    }

    /// The id at a place.
    pub(crate) fn get(&self, place: Place) -> &[u8] {
        let block = &self.blocks[self.index(place)];
        let start = usize::from(place.start);
        &block.bytes[start..start + usize::from(place.len)]
    }

    /// Removes the id at a place.
    pub(crate) fn remove(&mut self, place: Place) {
        let index = self.index(place);
        let block = &mut self.blocks[index];
        block.ids -= 1;
        if block.ids == 0 {
            self.heap -= alloc_size(block.bytes.capacity());
            block.bytes = Vec::new();
        }
        while self.blocks.front().is_some_and(|first| first.ids == 0) {
            self.blocks.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }

    /// The heap bytes of blocks that are counted, and the same found by looking at each.
    #[cfg(test)]
    pub(crate) fn counted_and_found(&self) -> (usize, usize) {
        let found = self.blocks.iter();
        let found = found.map(|block| alloc_size(block.bytes.capacity()));
        (self.heap, found.sum())
    }

    /// Bytes of heap, O(1).
    pub(crate) fn memory_bytes(&self) -> usize {
        self.heap + alloc_size(self.blocks.capacity() * size_of::<Block>())
    }
}
