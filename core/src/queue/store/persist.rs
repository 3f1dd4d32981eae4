//! A queue as bytes: chunks of a bounded number of entries. The structures of each version are in
//! a file of their own.

use super::persist_v1::{ChunkV1, StartV1};
use super::{LineChange, ModeratorSlot, Store};
use crate::codec::{self, DecodeError, Persist};
use crate::queue::Queue;

/// A chunk is closed when it holds this many bytes of payload.
const CHUNK_BYTES: usize = 64 << 10;

impl Persist for Queue {
    const VERSION: i32 = 1;

    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        self.store.save(entries, sink);
    }

    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<(), DecodeError> {
        if version != Self::VERSION {
            return Err(DecodeError);
        }
        let registered = self.store.load(chunk)?;
        self.line.registered(&self.store, &registered);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), DecodeError> {
        // Locks may have been loaded after the registration of who holds them, which counts for
        // CAPACITY.
        self.line.follow(&self.store, LineChange::Everyone);
        Ok(())
    }
}

impl Store {
    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        let mut out = Vec::new();
        let mut emit = |chunk: &ChunkV1<'_>| {
            out.clear();
            codec::encode_into(chunk, &mut out);
            sink(&out);
        };
        emit(&ChunkV1::Head(self.head_v1()));
        let mut items = Vec::new();
        let mut bytes = 0;
        for slot in self.by_seq.iter() {
            items.push(self.item_v1(slot));
            bytes += self.items[slot].payload().len();
            if items.len() >= entries || bytes >= CHUNK_BYTES {
                emit(&ChunkV1::Items(std::mem::take(&mut items)));
                bytes = 0;
            }
        }
        if !items.is_empty() {
            emit(&ChunkV1::Items(items));
        }
        let mut moderators = Vec::new();
        for (slot, _) in self.moderators.iter() {
            moderators.extend(self.moderator_v1(slot));
            if moderators.len() >= entries {
                emit(&ChunkV1::Moderators(std::mem::take(&mut moderators)));
            }
        }
        if !moderators.is_empty() {
            emit(&ChunkV1::Moderators(moderators));
        }
    }

    /// Adds one chunk; answers who was registered by it.
    fn load(&mut self, chunk: &[u8]) -> Result<Vec<ModeratorSlot>, DecodeError> {
        let mut rest = chunk;
        let mut registered = Vec::new();
        match codec::decode_next(&mut rest)? {
            StartV1::Head(head) => self.load_head(head)?,
            StartV1::Items => self.load_items(&mut rest)?,
            StartV1::Moderators => registered = self.load_moderators(&mut rest)?,
        }
        codec::decode_end(rest)?;
        Ok(registered)
    }
}
