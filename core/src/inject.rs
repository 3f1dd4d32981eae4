//! Panics on demand, for tests of what a panic leaves behind. Without the feature `inject-panic`, which no shipped
//! module has, nothing here does anything.

/// A place that panics if it is told the word for it.
#[inline(always)]
pub(crate) fn panic_if(word: &[u8], place: &str) {
    if cfg!(feature = "inject-panic") && word == place.as_bytes() {
        panic!("a test asked for this panic: {place}");
    }
}
