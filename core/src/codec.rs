//! The bytes of everything that is stored or replicated: bincode 2 through serde, behind one file
//! so that another codec can take its place. Every decode is bounded and must consume its input.

use serde::{Deserialize, Serialize};

/// No chunk or record is decoded past this many bytes (larger than any value the server accepts).
const DECODE_LIMIT: usize = 1 << 30;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

/// Why bytes were refused. Deliberately opaque: nothing of the input is echoed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError;

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("payload does not decode")
    }
}

impl std::error::Error for DecodeError {}

/// Appends the encoding of `value` to `out`.
pub fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    struct Sink<'a>(&'a mut Vec<u8>);
    impl bincode::enc::write::Writer for Sink<'_> {
        #[inline]
        fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }
    bincode::serde::encode_into_writer(value, Sink(out), config())
        .expect("encoding plain structures into memory cannot fail");
}

/// The encoding of `value`.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

/// Decodes one value that must fill `bytes` exactly. Byte fields may borrow from the input.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    match bincode::serde::borrow_decode_from_slice(bytes, config()) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        _ => Err(DecodeError),
    }
}

/// Decodes one value from the front of `bytes` and moves `bytes` past it.
pub fn decode_next<'a, T: Deserialize<'a>>(bytes: &mut &'a [u8]) -> Result<T, DecodeError> {
    match bincode::serde::borrow_decode_from_slice(bytes, config()) {
        Ok((value, used)) if used > 0 => {
            *bytes = &bytes[used..];
            Ok(value)
        }
        _ => Err(DecodeError),
    }
}

/// A value that is saved as a sequence of chunks of a bounded number of entries.
///
/// Chunks are applied to a live value that starts as `Default`, one by one; the value is valid
/// (if incomplete) after each, which is what lets an AOF carry one command per chunk.
pub trait Persist: Default {
    /// Encoding version written in front of the chunks; a newer module reads every older one.
    const VERSION: i32;

    /// Hands every chunk to `sink`, each holding at most `entries` entries (at least one) and
    /// about 64 KiB unless a single entry is larger. With `entries` = 1 the *set* of chunks is
    /// canonical: equal logical states give equal sets, whatever their history. That is what
    /// the digest is made of.
    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8]));

    /// Adds one chunk of encoding version `version`. On an error the value must be thrown away.
    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<(), DecodeError>;

    /// Checks the whole after the last chunk.
    fn finish(&mut self) -> Result<(), DecodeError>;
}
