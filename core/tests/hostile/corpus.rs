//! The inputs that the fuzzer left: `core/fuzz/corpus/<target>`, each behind its length, four bytes.

use std::path::PathBuf;

/// Where what is kept of a target is kept.
pub(crate) fn path(target: &str) -> PathBuf {
    // The fuzzer is a crate in a folder of the core.
    let here = env!("CARGO_MANIFEST_DIR");
    let core = PathBuf::from(here.strip_suffix("/fuzz").unwrap_or(here));
    core.join("fuzz/corpus").join(target)
}

/// What is kept of a target; nothing if there is no file yet.
pub(crate) fn read(target: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path(target)).unwrap_or_default();
    let mut rest = &bytes[..];
    let mut inputs = Vec::new();
    while let Some((len, behind)) = rest.split_first_chunk() {
        let (input, behind) = behind.split_at(u32::from_le_bytes(*len) as usize);
        inputs.push(input.to_vec());
        rest = behind;
    }
    inputs
}
