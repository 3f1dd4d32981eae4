//! A queue as bytes: chunks of a bounded number of entries. The structures of each version are in
//! a file of their own.

use super::persist_v1::ChunkV1;
use super::persist_v2::{SpansV2, StartV2};
use super::{LineChange, ModeratorSlot, Store};
use crate::codec::{self, DecodeError, Persist};
use crate::queue::Queue;

/// A chunk is closed when it holds this many bytes of payload.
const CHUNK_BYTES: usize = 64 << 10;

impl Persist for Queue {
    const VERSION: i32 = 2;

    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        self.store.save(entries, sink);
    }

    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<(), DecodeError> {
        let registered = self.store.load(version, chunk)?;
        self.line.registered(&self.store, &registered);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), DecodeError> {
        self.store.finish_spans()?;
        // Locks may have been loaded after the registration of who holds them, which counts for
        // CAPACITY.
        self.line.follow(&self.store, LineChange::Everyone);
        Ok(())
    }
}

impl Store {
    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        let mut out = Vec::new();
        let mut put = |out: &mut Vec<u8>| {
            sink(out);
            out.clear();
        };
        let mut emit = |chunk: &ChunkV1<'_>| {
            codec::encode_into(chunk, &mut out);
            put(&mut out);
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
        let spans = self.by_seq.iter().filter_map(|slot| {
            let span = self.span_to_save(slot)?;
            Some((self.items[slot].seq().0, span.0))
        });
        let spans: Vec<(u64, u64)> = spans.collect();
        for spans in spans.chunks(entries.max(1)) {
            codec::encode_into(&SpansV2::new(spans), &mut out);
            put(&mut out);
        }
    }

    /// Adds one chunk; answers who was registered by it.
    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<Vec<ModeratorSlot>, DecodeError> {
        let mut rest = chunk;
        let mut registered = Vec::new();
        match StartV2::read(version, &mut rest)? {
            StartV2::Head(head) => self.load_head(head)?,
            StartV2::Items => self.load_items(&mut rest)?,
            StartV2::Moderators => registered = self.load_moderators(&mut rest)?,
            StartV2::Spans => self.load_spans(&mut rest)?,
        }
        codec::decode_end(rest)?;
        Ok(registered)
    }
}
