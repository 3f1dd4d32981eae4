//! The time of a command or a tick, with the floor under the tokens that this process gives.
//!
//! A token is at least the time in µs at which it is given. That alone does not keep tokens from
//! being given twice: many given at once run ahead of the clock, and the clock may be set back. So
//! the process remembers the largest token it gave, whichever key it was for, and none is given
//! below it: also not by a queue that takes the place of one that was deleted.

use crate::server::clock;
use modq_core::queue::Now;
use modq_core::units::{Time, Token};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The largest token that this process gave, except those too far ahead of the clock.
static LAST_TOKEN: AtomicU64 = AtomicU64::new(0);

/// How far ahead of the clock a token may be to raise the floor, µs. Tokens get further ahead only
/// where a stored value says so (a key that came from a server with another clock); the floor under
/// all other keys must not follow that.
const MAX_LEAD: u64 = 60_000_000;

/// The time, read once for each command or tick and passed down.
#[inline]
pub fn now() -> Now {
    let us = clock::unix_us();
    let floor = LAST_TOKEN.load(Relaxed) + 1;
    Now {
        time: Time(us / 1000),
        token_floor: Token(us.max(floor)),
    }
}

/// A token was given: the next is larger, whichever key it is for.
#[inline]
pub fn token_given(token: Token, now: Time) {
    if token.0 < now.0 * 1000 + MAX_LEAD {
        LAST_TOKEN.fetch_max(token.0, Relaxed);
    }
}
