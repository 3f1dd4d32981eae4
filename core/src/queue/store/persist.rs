//! A queue as bytes: chunks of a bounded number of entries. The structures of each version are in
//! a file of their own.

use super::persist_v1::ChunkV1;
use super::persist_v2::{SpansV2, StartV2};
use super::persist_v3::StartV3;
use super::{LineChange, ModeratorSlot, Store};
use crate::codec::{self, DecodeError, Persist};
use crate::queue::Queue;

/// A chunk is closed when it holds this many bytes of payload.
const CHUNK_BYTES: usize = 64 << 10;

impl Persist for Queue {
    const VERSION: i32 = 3;

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
        codec::encode_into(&self.head_v3(), &mut out);
        put(&mut out);
        self.save_items(entries, &mut out, &mut put);
        let mut emit = |chunk: &ChunkV1<'_>| {
            codec::encode_into(chunk, &mut out);
            put(&mut out);
        };
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
        self.save_records(entries.max(1), |write| {
            write(&mut out);
            put(&mut out);
        });
    }

    /// Items of which there is more than most have are in chunks of their own.
    fn save_items(&self, entries: usize, out: &mut Vec<u8>, put: &mut impl FnMut(&mut Vec<u8>)) {
        let (mut items, mut bytes) = (Vec::new(), 0);
        let (mut with_more, mut bytes_with_more) = (Vec::new(), 0);
        for slot in self.by_seq.iter() {
            let payload = self.items[slot].payload().len();
            if self.has_more(slot) {
                with_more.push(self.item_v3(slot));
                bytes_with_more += payload;
                if with_more.len() >= entries || bytes_with_more >= CHUNK_BYTES {
                    let full = std::mem::take(&mut with_more);
                    codec::encode_into(&Store::items_v3(full), out);
                    put(out);
                    bytes_with_more = 0;
                }
                continue;
            }
            items.push(self.item_v1(slot));
            bytes += payload;
            if items.len() >= entries || bytes >= CHUNK_BYTES {
                codec::encode_into(&ChunkV1::Items(std::mem::take(&mut items)), out);
                put(out);
                bytes = 0;
            }
        }
        if !items.is_empty() {
            codec::encode_into(&ChunkV1::Items(items), out);
            put(out);
        }
        if !with_more.is_empty() {
            codec::encode_into(&Store::items_v3(with_more), out);
            put(out);
        }
    }

    /// Adds one chunk; answers who was registered by it.
    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<Vec<ModeratorSlot>, DecodeError> {
        let mut rest = chunk;
        let mut registered = Vec::new();
        match StartV3::read(version, &mut rest)? {
            StartV3::Older(StartV2::Head(head)) => self.load_head(head)?,
            StartV3::Older(StartV2::Items) => self.load_items(&mut rest)?,
            StartV3::Older(StartV2::Moderators) => registered = self.load_moderators(&mut rest)?,
            StartV3::Older(StartV2::Spans) => self.load_spans(&mut rest)?,
            StartV3::Head => self.load_head_v3(&mut rest)?,
            StartV3::Items => self.load_items_v3(&mut rest)?,
            StartV3::Records => self.load_records(&mut rest)?,
        }
        codec::decode_end(rest)?;
        Ok(registered)
    }
}
