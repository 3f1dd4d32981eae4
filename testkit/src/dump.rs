//! Payloads of DUMP: what is inside, and how to make RESTORE take it changed.

/// Gives bytes the footer of DUMP with its checksum (CRC-64 of Jones), so that RESTORE hands them on.
#[must_use]
pub fn sign_dump(body: &[u8], version: [u8; 2]) -> Vec<u8> {
    let mut dump = [body, &version].concat();
    let crc = dump.iter().fold(0u64, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            (crc >> 1)
                ^ if crc & 1 == 1 {
                    0x95ac_9329_ac4b_c9b5
                } else {
                    0
                }
        })
    });
    dump.extend_from_slice(&crc.to_le_bytes());
    dump
}

/// Takes the footer off a DUMP: the body, and the version that [`sign_dump`] wants.
#[must_use]
#[track_caller]
pub fn unsign_dump(dump: &[u8]) -> (Vec<u8>, [u8; 2]) {
    let (body, footer) = dump.split_at(dump.len() - 10);
    let version = [footer[0], footer[1]];
    assert_eq!(sign_dump(body, version), dump, "the checksum is understood");
    (body.to_vec(), version)
}

/// The body of a DUMP of a module's value: the type is that of `like`, the strings are as given, each as
/// [`plain_string`] or [`repeating_string`] makes it.
#[must_use]
#[track_caller]
pub fn module_body(like: &[u8], strings: &[Vec<u8>]) -> Vec<u8> {
    // A value of a module (7), and the id of its type as a number of eight bytes (0x81).
    assert_eq!(like[..2], [7, 0x81], "a DUMP of a module's value");
    let mut body = like[..10].to_vec();
    for string in strings {
        // What follows is a string.
        body.push(5);
        body.extend(string);
    }
    body.push(0);
    body
}

fn length(n: usize) -> Vec<u8> {
    let n = u32::try_from(n).expect("a short string");
    [&[0x80][..], &n.to_be_bytes()].concat()
}

/// A string as it stands in an RDB.
#[must_use]
pub fn plain_string(bytes: &[u8]) -> Vec<u8> {
    [&length(bytes.len()), bytes].concat()
}

/// A string that begins with `start` and goes on with `unit` (up to 8,192 bytes) so many times and a bit more, as it
/// stands in an RDB when LZF has compressed it: 3 bytes for 264.
#[must_use]
pub fn repeating_string(start: &[u8], unit: &[u8], times: usize) -> Vec<u8> {
    const COPIED: usize = 264;
    let mut packed = Vec::new();
    for literal in [start, unit].concat().chunks(32) {
        packed.push(literal.len() as u8 - 1);
        packed.extend(literal);
    }
    let copies = (unit.len() * times.saturating_sub(1)).div_ceil(COPIED);
    let back = unit.len() - 1;
    for _ in 0..copies {
        packed.extend([0xe0 | (back >> 8) as u8, 0xff, back as u8]);
    }
    let whole = start.len() + unit.len() + copies * COPIED;
    [&[0xc3][..], &length(packed.len()), &length(whole), &packed].concat()
}
