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
