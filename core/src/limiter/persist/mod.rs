//! What is stored of limiters, leases and policies: in RDB files, DUMP payloads and rewritten AOF
//! files. One file for each of the three.
//!
//! The structures named V1 are FROZEN, and so are the codes in them: what was written with them
//! must load for ever. They hold numbers, bytes and lists only, never a type that the limiter
//! works with, so that those are free to change. A change of format is a new version beside them.

mod leases;
mod limiter;
mod policies;

use crate::codec::DecodeError;

/// Most bytes put into a chunk of more than one entry.
const CHUNK_BYTES: usize = 64 * 1024;

/// Collects items of a known size and hands them on in chunks bounded in number and bytes.
struct Batches<'f, T> {
    items: Vec<T>,
    bytes: usize,
    most: usize,
    hand_on: &'f mut dyn FnMut(Vec<T>),
}

impl<T> Batches<'_, T> {
    fn push(&mut self, item: T, bytes: usize) {
        if self.items.len() >= self.most || self.bytes + bytes > CHUNK_BYTES {
            self.flush();
        }
        self.bytes += bytes;
        self.items.push(item);
    }

    fn flush(&mut self) {
        if !self.items.is_empty() {
            (self.hand_on)(std::mem::take(&mut self.items));
            self.bytes = 0;
        }
    }
}

/// Hands on `items`, which come with about their encoded sizes, in lists of at most `most` (at
/// least one) and, unless a single item is larger, [`CHUNK_BYTES`].
fn in_batches<T>(
    items: impl Iterator<Item = (T, usize)>,
    most: usize,
    mut hand_on: impl FnMut(Vec<T>),
) {
    let mut batches = Batches {
        items: Vec::new(),
        bytes: 0,
        most: most.max(1),
        hand_on: &mut hand_on,
    };
    for (item, bytes) in items {
        batches.push(item, bytes);
    }
    batches.flush();
}

/// Refuses what was read unless `ok`.
fn ensure(ok: bool) -> Result<(), DecodeError> {
    ok.then_some(()).ok_or(DecodeError)
}
