//! Names in the cluster slot of a key, whatever bytes the key has.
//!
//! A name is in the slot of a key if its hash tag, the part between the first `{` and the first `}`
//! behind it, is the key's own, or the whole key. A key like `a}b` or `{}x` has none and cannot be
//! made one. Its tag is then a number: the smallest whose digits are of the key's slot.

use std::sync::OnceLock;

/// How many slots a cluster has.
const SLOTS: usize = 16384;

/// Makes a name in the slot of a key: `before`, the key, `after`. The key is put in braces if it has
/// no hash tag of its own; if it cannot stand in braces, `{number}:` stands before it. `before` has
/// no brace in it.
pub fn name_beside(before: &[u8], key: &[u8], after: &[u8]) -> Vec<u8> {
    if has_hash_tag(key) {
        return [before, key, after].concat();
    }
    if !key.is_empty() && !key.contains(&b'}') {
        return [before, b"{", key, b"}", after].concat();
    }
    let number = number_of(slot(key)).to_string();
    [before, b"{", number.as_bytes(), b"}:", key, after].concat()
}

/// Whether only a part of the key in braces decides its slot.
fn has_hash_tag(key: &[u8]) -> bool {
    !std::ptr::eq(hashed(key), key)
}

/// The part of a key that decides its slot.
fn hashed(key: &[u8]) -> &[u8] {
    let open = key.iter().position(|b| *b == b'{');
    let behind = open.map_or(&key[..0], |open| &key[open + 1..]);
    match behind.iter().position(|b| *b == b'}') {
        None | Some(0) => key,
        Some(close) => &behind[..close],
    }
}

/// The slot of a key.
fn slot(key: &[u8]) -> usize {
    usize::from(crc16(hashed(key))) % SLOTS
}

/// CRC-16/XMODEM, by which the servers spread keys over slots.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (crc << 8) ^ CRC_TABLE[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

/// What eight bits do to a CRC.
static CRC_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc << 1) ^ if crc & 0x8000 != 0 { 0x1021 } else { 0 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// The smallest number whose digits are of this slot. They are looked for once, all of them, when the
/// first is needed, which takes some 2 ms.
fn number_of(slot: usize) -> u32 {
    static NUMBERS: OnceLock<Vec<u32>> = OnceLock::new();
    NUMBERS.get_or_init(smallest_numbers)[slot]
}

fn smallest_numbers() -> Vec<u32> {
    let mut numbers = vec![u32::MAX; SLOTS];
    let mut missing = SLOTS;
    let (mut digits, mut number) = (vec![b'0'], 0);
    while missing > 0 {
        let found = &mut numbers[usize::from(crc16(&digits)) % SLOTS];
        if *found == u32::MAX {
            *found = number;
            missing -= 1;
        }
        number += 1;
        count_up(&mut digits);
    }
    numbers
}

/// Makes the digits of a number those of the next.
fn count_up(digits: &mut Vec<u8>) {
    let nines = digits.iter().rev().take_while(|d| **d == b'9').count();
    let others = digits.len() - nines;
    digits[others..].fill(b'0');
    match digits[..others].last_mut() {
        Some(digit) => *digit += 1,
        None => digits.insert(0, b'1'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_servers() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // As CLUSTER KEYSLOT says.
        for (key, of) in [
            ("", 0),
            ("foo", 12182),
            ("{foo}bar", 12182),
            ("a{foo}{b}", 12182),
        ] {
            assert_eq!(slot(key.as_bytes()), of, "{key}");
        }
        assert_ne!(slot(b"{}foo"), 12182);
    }

    #[test]
    fn every_key_has_names_in_its_slot() {
        let keys = [
            "", "q", "q{t}", "{t}", "{}x", "x{}y", "a}b", "}", "{", "a{b", "a}b{c}", "}{", "{}{t}",
            "{{a}}",
        ];
        for key in keys.map(str::as_bytes) {
            let name = name_beside(b"modq:", key, b":m");
            assert_eq!(slot(&name), slot(key), "{}", name.escape_ascii());
        }
        assert_eq!(name_beside(b"modq:", b"q", b":m"), b"modq:{q}:m");
        assert_eq!(name_beside(b"modq:", b"q{t}", b":m"), b"modq:q{t}:m");
    }

    #[test]
    fn a_number_is_the_smallest_of_its_slot() {
        for key in ["a}b", "{}x", "}", ""] {
            let slot = slot(key.as_bytes());
            let smallest = (0..).find(|n: &u32| super::slot(n.to_string().as_bytes()) == slot);
            assert_eq!(Some(number_of(slot)), smallest, "{key}");
        }
    }
}
