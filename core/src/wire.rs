//! How numbers are written in records and in the chunks of a LOG: small ones in few bytes, read and
//! written within fixed bounds. Every admitted request writes some, and bincode through serde
//! costs several times more.
//!
//! A number of n <= 8 bytes has n - 1 zero bits, a one, and 7 * n bits of value, from the lowest
//! bit up; a larger one is a zero byte and 8 bytes of value. It is as long as in LEB128, and needs
//! no loop. This does not change: records in AOF files are written in it.

use crate::codec::DecodeError;
use crate::units::Time;

/// The last time that is written: 2^53 ms.
pub(crate) const MAX_TIME: Time = Time(1 << 53);
/// Most bytes of an id or a name.
pub(crate) const MAX_ID_BYTES: usize = 512;

/// Whether these bytes can be an id or a name: 1 to 512 of them.
#[inline]
pub(crate) fn valid_id(id: &[u8]) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
}

/// Most bytes of one number.
pub(crate) const MAX_NUMBER: usize = 9;
/// Bytes of a time.
const TIME_BYTES: usize = 7;

/// Bytes of `value` when written.
#[inline]
pub(crate) fn length(value: u64) -> usize {
    match (value | 1).ilog2() as usize {
        // A division by 7 that is right up to here.
        top @ ..56 => ((top * 37) >> 8) + 1,
        _ => MAX_NUMBER,
    }
}

/// Writes `value` at the front of `out` (at least `MAX_NUMBER` bytes); returns its length. What
/// follows it in `out` is overwritten too.
#[inline]
pub(crate) fn put(out: &mut [u8], value: u64) -> usize {
    let n = length(value);
    if n == MAX_NUMBER {
        out[0] = 0;
        out[1..MAX_NUMBER].copy_from_slice(&value.to_le_bytes());
    } else {
        let word = (value << n) | (1 << (n - 1));
        out[..8].copy_from_slice(&word.to_le_bytes());
    }
    n
}

/// Reads the number at the front of `bytes`; returns it and its length.
#[inline]
pub(crate) fn get(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    if first & 1 == 1 {
        return Some((u64::from(first >> 1), 1));
    }
    get_long(bytes)
}

fn get_long(bytes: &[u8]) -> Option<(u64, usize)> {
    let n = bytes[0].trailing_zeros() as usize + 1;
    let mut word = [0; 8];
    if n == MAX_NUMBER {
        word.copy_from_slice(bytes.get(1..MAX_NUMBER)?);
        return Some((u64::from_le_bytes(word), n));
    }
    word[..n].copy_from_slice(bytes.get(..n)?);
    Some((u64::from_le_bytes(word) >> n, n))
}

/// A record under construction: no allocation until it is appended whole.
pub(crate) struct Writer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Writer<N> {
    #[inline]
    pub(crate) fn new() -> Self {
        Writer {
            bytes: [0; N],
            len: 0,
        }
    }

    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    #[inline]
    pub(crate) fn number(&mut self, value: u64) {
        self.len += put(&mut self.bytes[self.len..], value);
    }

    /// A time, up to 2^53: seven bytes as they are, which is no more than a number would take today,
    /// and faster.
    #[inline]
    pub(crate) fn time(&mut self, time: Time) {
        self.bytes[self.len..self.len + 8].copy_from_slice(&time.0.to_le_bytes());
        self.len += TIME_BYTES;
    }

    /// Appends what was written, and `tail`, to `out`.
    #[inline]
    pub(crate) fn finish(&self, tail: &[u8], out: &mut Vec<u8>) {
        out.reserve(self.len + tail.len());
        out.extend_from_slice(&self.bytes[..self.len]);
        if !tail.is_empty() {
            out.extend_from_slice(tail);
        }
    }
}

/// Reads a record front to back.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.0.split_first().ok_or(DecodeError)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(crate) fn number(&mut self) -> Result<u64, DecodeError> {
        let (value, n) = get(self.0).ok_or(DecodeError)?;
        self.0 = &self.0[n..];
        Ok(value)
    }

    /// A time as [`Writer::time`] writes it.
    pub(crate) fn time(&mut self) -> Result<Time, DecodeError> {
        let (bytes, rest) = self.0.split_at_checked(TIME_BYTES).ok_or(DecodeError)?;
        self.0 = rest;
        let mut whole = [0; 8];
        whole[..TIME_BYTES].copy_from_slice(bytes);
        let time = Time(u64::from_le_bytes(whole));
        (time <= MAX_TIME).then_some(time).ok_or(DecodeError)
    }

    /// A number in `range`.
    pub(crate) fn within(
        &mut self,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, DecodeError> {
        let value = self.number()?;
        range.contains(&value).then_some(value).ok_or(DecodeError)
    }

    /// The rest as an id of 1 to 512 bytes.
    pub(crate) fn id(&mut self) -> Result<&'a [u8], DecodeError> {
        let id = std::mem::take(&mut self.0);
        valid_id(id).then_some(id).ok_or(DecodeError)
    }

    /// So many bytes as they are.
    pub(crate) fn bytes(&mut self, len: u64) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(len).map_err(|_| DecodeError)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(DecodeError)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Refuses a record that has more to read.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
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
            let mut out = [0; MAX_NUMBER];
            let n = put(&mut out, value);
            assert_eq!(n, length(value), "{value}");
            assert_eq!(get(&out[..n]), Some((value, n)));
            assert_eq!(get(&out[..n - 1]), None, "truncated {value}");
        }
        assert_eq!(get(&[]), None);
    }
}
