//! The time of a command or a tick, with the floor under the tokens that this process gives.
//!
//! A token is at least the time in µs at which it is given. That alone does not keep tokens from
//! being given twice: many given at once run ahead of the clock, and the clock may be set back. So
//! the process remembers the largest token it gave or saw, whichever key it was for, and none is
//! given below it: also not by a queue that takes the place of one that was deleted.
//!
//! It sees tokens in the values that are loaded or restored, and on a replica in what the primary
//! sends. A forged value may claim any token; so what is more than ten years ahead of the clock
//! does not count. There are tokens for about 230 years, so no such claim can use them up.

use crate::server::clock;
use modq_core::queue::Now;
use modq_core::units::{Time, Token};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The largest token that this process gave or saw.
static LAST_TOKEN: AtomicU64 = AtomicU64::new(0);

/// The latest time at which a token was given or seen, µs. The clock may have been set back since,
/// and what was right then still counts.
static LATEST_US: AtomicU64 = AtomicU64::new(0);

/// How far ahead of the clock a token may be to count, µs: ten years.
const MAX_LEAD_US: u64 = 10 * 366 * 24 * 3600 * 1_000_000;

/// What the clock said when it was last read, µs.
static LAST_READ_US: AtomicU64 = AtomicU64::new(0);

/// Whether the clock was read since [`was_set_back`] was last asked.
static WAS_READ: AtomicBool = AtomicBool::new(false);

/// Whether it was set back since then.
static WAS_SET_BACK: AtomicBool = AtomicBool::new(false);

/// By less than this the clock is not said to be set back, µs: on Valkey two clocks take turns, which
/// differ by less (see `server::clock`).
const STEP_US: u64 = 5_000;

/// The time, read once for each command or tick and passed down.
#[inline]
pub fn now() -> Now {
    let us = clock::unix_us();
    if us + STEP_US < LAST_READ_US.load(Relaxed) {
        WAS_SET_BACK.store(true, Relaxed);
    }
    LAST_READ_US.store(us, Relaxed);
    WAS_READ.store(true, Relaxed);
    let floor = LAST_TOKEN.load(Relaxed) + 1;
    Now {
        time: Time(us / 1000),
        token_floor: Token(us.max(floor)),
    }
}

/// Whether the clock was set back since this was last asked, as it is at the end of each turn. Reads it
/// only if nobody did in this turn.
pub fn was_set_back() -> bool {
    if !WAS_READ.load(Relaxed) {
        now();
    }
    WAS_READ.store(false, Relaxed);
    WAS_SET_BACK.load(Relaxed) && WAS_SET_BACK.swap(false, Relaxed)
}

/// Whether the clock is known to have been set back, and the end of the turn has yet to see to it.
pub fn is_set_back() -> bool {
    WAS_SET_BACK.load(Relaxed)
}

/// The same time, with the floor as it is by now: a command or tick works on one key after another, and may have
/// given tokens for those before.
#[inline]
pub fn with_floor(now: Now) -> Now {
    let floor = Token(LAST_TOKEN.load(Relaxed) + 1);
    Now {
        token_floor: now.token_floor.max(floor),
        ..now
    }
}

/// The time for boards, read once for each command.
#[inline]
pub fn board_clock() -> modq_core::board::Clock {
    let us = clock::unix_us();
    modq_core::board::Clock {
        now: Time(us / 1000),
        us,
    }
}

/// A token was given, or seen in a value that was loaded: the next is larger, whichever key it is
/// for.
#[inline]
pub fn note_token(token: Token, now: Time) {
    // Only the main thread gives tokens, so that plain loads and stores do.
    let latest = LATEST_US.load(Relaxed).max(now.0.saturating_mul(1000));
    LATEST_US.store(latest, Relaxed);
    if token.0 > LAST_TOKEN.load(Relaxed) && token.0 < latest.saturating_add(MAX_LEAD_US) {
        LAST_TOKEN.store(token.0, Relaxed);
    }
}
