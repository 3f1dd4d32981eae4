//! The bytes of effects: little numbers in LEB128, read and written within fixed bounds. These
//! are on the path of every admitted request, where bincode through serde costs several times more.

use crate::codec::DecodeError;

/// Most bytes of one number.
pub(super) const MAX_VARINT: usize = 10;

/// Writes `value` at the front of `out` (at least `MAX_VARINT` bytes); returns its length.
#[inline]
pub(super) fn put(out: &mut [u8], mut value: u64) -> usize {
    let mut n = 0;
    while value >= 0x80 {
        out[n] = value as u8 | 0x80;
        value >>= 7;
        n += 1;
    }
    out[n] = value as u8;
    n + 1
}

/// Bytes of `value` when written.
#[inline]
pub(super) fn length(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Reads the number at the front of `bytes`; returns it and its length.
#[inline]
pub(super) fn get(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(MAX_VARINT).enumerate() {
        if i == MAX_VARINT - 1 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// A record under construction: no allocation until it is appended whole.
pub(super) struct Writer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Writer<N> {
    #[inline]
    pub(super) fn new() -> Self {
        Writer {
            bytes: [0; N],
            len: 0,
        }
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    #[inline]
    pub(super) fn number(&mut self, value: u64) {
        self.len += put(&mut self.bytes[self.len..], value);
    }

    #[inline]
    pub(super) fn finish(&self, tail: &[u8], out: &mut Vec<u8>) {
        out.reserve(self.len + tail.len());
        out.extend_from_slice(&self.bytes[..self.len]);
        out.extend_from_slice(tail);
    }
}

/// Reads a record front to back.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.0.split_first().ok_or(DecodeError)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, DecodeError> {
        let (value, n) = get(self.0).ok_or(DecodeError)?;
        self.0 = &self.0[n..];
        Ok(value)
    }

    /// A number in `range`.
    pub(super) fn within(
        &mut self,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, DecodeError> {
        let value = self.number()?;
        range.contains(&value).then_some(value).ok_or(DecodeError)
    }

    /// The rest as an id of 1 to 512 bytes.
    pub(super) fn id(&mut self) -> Result<&'a [u8], DecodeError> {
        let id = std::mem::take(&mut self.0);
        super::valid_id(id).then_some(id).ok_or(DecodeError)
    }

    pub(super) fn end(&self) -> Result<(), DecodeError> {
        self.0.is_empty().then_some(()).ok_or(DecodeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_have_the_length_foretold() {
        let edges = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for value in edges.chain([u64::MAX]) {
            let mut out = [0; MAX_VARINT];
            let n = put(&mut out, value);
            assert_eq!(n, length(value), "{value}");
            assert_eq!(get(&out[..n]), Some((value, n)));
            assert_eq!(get(&out[..n - 1]), None, "truncated {value}");
        }
        assert_eq!(get(&[0xff; 11]), None);
        assert_eq!(
            get(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            None
        );
    }
}
