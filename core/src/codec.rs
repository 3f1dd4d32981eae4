//! How structures become bytes: bincode 2 through serde. Only this file names them, so that another
//! codec could take their place. Every decode is bounded and must consume its input.
//!
//! Bytes carry their version outside of what is encoded here: see [`Persist`] for what is stored, and
//! the records of queues and limiters for what is replicated.

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::marker::PhantomData;

/// Most bytes that are decoded at once; larger than any value that the server accepts.
const DECODE_LIMIT: usize = 1 << 30;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

/// Bytes were refused. It says no more than that, so that nothing of the input is shown.
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

/// Appends fields one by one, as [`encode_into`] would: the same bytes for a fraction of the cost. For what
/// every command writes.
pub(crate) struct Fields<'a>(pub(crate) &'a mut Vec<u8>);

impl Fields<'_> {
    /// An unsigned integer of any width. Source: bincode's specification, "Variable length integers".
    #[inline]
    pub(crate) fn unsigned(&mut self, n: u64) -> &mut Self {
        match n {
            0..=250 => self.0.push(n as u8),
            _ => self.large(n),
        }
        self
    }

    fn large(&mut self, n: u64) {
        let [a, b, c, d, e, f, g, h] = n.to_le_bytes();
        match n {
            0..=0xffff => self.0.extend_from_slice(&[251, a, b]),
            0x1_0000..=0xffff_ffff => self.0.extend_from_slice(&[252, a, b, c, d]),
            _ => self.0.extend_from_slice(&[253, a, b, c, d, e, f, g, h]),
        }
    }

    /// A signed integer of any width: 0, −1, 1, −2 … become 0, 1, 2, 3 …
    #[inline]
    pub(crate) fn signed(&mut self, n: i64) -> &mut Self {
        self.unsigned((n << 1 ^ n >> 63) as u64)
    }

    /// Whether something holds.
    #[inline]
    pub(crate) fn flag(&mut self, holds: bool) -> &mut Self {
        self.0.push(holds.into());
        self
    }

    /// A string of bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.unsigned(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// A list of strings of bytes.
    #[inline]
    pub(crate) fn list<B: AsRef<[u8]>>(&mut self, list: &[B]) -> &mut Self {
        self.unsigned(list.len() as u64);
        list.iter().fold(self, |fields, b| fields.bytes(b.as_ref()))
    }
}

/// Decodes one value that must fill `bytes` exactly. Byte fields may borrow from the input.
///
/// # Errors
/// The bytes are not those of such a value, or there are more.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    match bincode::serde::borrow_decode_from_slice(bytes, config()) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        _ => Err(DecodeError),
    }
}

/// Decodes one value from the front of `bytes` and moves `bytes` past it.
///
/// # Errors
/// There is no such value at the front. `bytes` is as it was.
pub fn decode_next<'a, T: Deserialize<'a>>(bytes: &mut &'a [u8]) -> Result<T, DecodeError> {
    match bincode::serde::borrow_decode_from_slice(bytes, config()) {
        Ok((value, used)) if used > 0 => {
            *bytes = &bytes[used..];
            Ok(value)
        }
        _ => Err(DecodeError),
    }
}

/// Reads the length of a list at the front of `bytes`, of which each entry takes at least `least`
/// bytes. The entries follow: they are read one at a time, so that none need be kept and nothing
/// is reserved for a length that is only claimed.
///
/// # Errors
/// There is no length, or the bytes behind it are too few for that many entries.
pub(crate) fn decode_len(bytes: &mut &[u8], least: usize) -> Result<usize, DecodeError> {
    let len: u64 = decode_next(bytes)?;
    let len = usize::try_from(len).map_err(|_| DecodeError)?;
    match len.checked_mul(least) {
        Some(needed) if needed <= bytes.len() => Ok(len),
        _ => Err(DecodeError),
    }
}

/// Refuses bytes that are left over.
///
/// # Errors
/// There are some.
pub(crate) fn decode_end(bytes: &[u8]) -> Result<(), DecodeError> {
    bytes.is_empty().then_some(()).ok_or(DecodeError)
}

/// A list of at most `N` entries. One that claims more is refused before any is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AtMost<T, const N: usize>(pub(crate) Vec<T>);

impl<T: Serialize, const N: usize> Serialize for AtMost<T, N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for AtMost<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Bounded(PhantomData))
    }
}

struct Bounded<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Bounded<T, N> {
    type Value = AtMost<T, N>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at most {N} entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let claimed = entries.size_hint().unwrap_or(0);
        if claimed > N {
            return Err(Error::invalid_length(claimed, &self));
        }
        // As it grows, so that what is claimed and not there costs nothing.
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if list.len() == N {
                return Err(Error::invalid_length(N + 1, &self));
            }
            list.push(entry);
        }
        Ok(AtMost(list))
    }
}

/// A value that is saved as a sequence of chunks of a bounded number of entries.
///
/// Chunks are added one by one to a live value that starts as `Default`. The value is valid after
/// each, if incomplete, so that an AOF can carry one command for each chunk.
pub trait Persist: Default {
    /// The version of the encoding, from 1 up: the type's in RDB files and DUMP payloads, an argument
    /// of the command in AOF files. A newer module reads every older version.
    const VERSION: i32;

    /// Hands every chunk to `sink`. Each has at most `entries` entries (at least one), and about
    /// 64 KiB unless a single entry is larger. With `entries` = 1 the *set* of chunks is canonical:
    /// values that mean the same give equal sets, whatever their history. The digest is made of
    /// that.
    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8]));

    /// Adds one chunk of encoding version `version`.
    ///
    /// # Errors
    /// The chunk does not decode, its version is not known, or it does not fit to those before it.
    /// The value must then be thrown away.
    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<(), DecodeError>;

    /// Checks the whole after the last chunk.
    ///
    /// # Errors
    /// The chunks do not make a valid value.
    fn finish(&mut self) -> Result<(), DecodeError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_bytes::Bytes;

    /// Numbers of every length, and those at which a longer one begins.
    fn numbers() -> impl Strategy<Value = u64> {
        let edges = [250, 251, 0xffff, 0x1_0000, 0xffff_ffff, 1 << 32, u64::MAX];
        prop_oneof![
            (any::<u64>(), 0..64u32).prop_map(|(n, shift)| n >> shift),
            prop::sample::select(edges.to_vec()),
        ]
    }

    proptest! {
        #[test]
        fn fields_are_what_serde_makes_of_them(
            n in numbers(),
            signed in numbers(),
            holds: bool,
            names in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4),
        ) {
            let signed = signed as i64;
            let names: Vec<&Bytes> = names.iter().map(|name| Bytes::new(name)).collect();
            let first = names.first().copied().unwrap_or(Bytes::new(b""));
            let expected = encode(&(n, n as u32, signed, signed as i32, holds, first, &names));
            let mut out = Vec::new();
            Fields(&mut out)
                .unsigned(n)
                .unsigned(u64::from(n as u32))
                .signed(signed)
                .signed(i64::from(signed as i32))
                .flag(holds)
                .bytes(first)
                .list(&names);
            prop_assert_eq!(out, expected);
        }
    }
}
