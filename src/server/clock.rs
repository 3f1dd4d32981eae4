//! The clock by which the server expires keys.

use redis_module::raw;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether the server may go by another clock than ours: see `unix_us`.
static TWO_CLOCKS: AtomicBool = AtomicBool::new(false);

/// How far Valkey's clock may be behind the system's, µs: Valkey reads the system's once in a
/// millisecond.
const SERVER_CLOCK_STEP: u64 = 2_000;

/// Says that the server may go by another clock than ours. To be called at load, on a server that
/// binds modules to libc past what was preloaded (Valkey).
pub(super) fn ask_the_server_too() {
    TWO_CLOCKS.store(true, Relaxed);
}

/// The time by the clock that the server expires keys by, Unix µs.
///
/// That is the system's clock, which is read because it is more exact than what the server says.
/// Where something has come between the server and that clock but not between us and it (a clock
/// for tests), the two differ by more than the server's clock is behind: then the server's is the
/// time.
#[inline]
pub fn unix_us() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists everywhere, and `time` is there to be written. Not SystemTime::now:
    // taking the epoch from that takes four times as long as this call.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let system = seconds * 1_000_000 + time.tv_nsec as u64 / 1000;
    if TWO_CLOCKS.load(Relaxed) {
        // SAFETY: read on the main thread after the server filled it in; no arguments.
        let server = unsafe { raw::RedisModule_Microseconds.map(|microseconds| microseconds()) };
        return match server {
            Some(us) if system.abs_diff(us as u64) > SERVER_CLOCK_STEP => us as u64,
            _ => system,
        };
    }
    system
}
