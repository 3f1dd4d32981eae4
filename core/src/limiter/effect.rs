//! What a command did to a limiter, as it is applied on the primary, on replicas and from the
//! AOF; and its bytes.
//!
//! Bytes: a tag (3 bits what; for a charge 1 bit whether there is an id, 3 bits how many limits,
//! less one), then numbers: the time, the key's expiry less the time, and what the tag calls for.
//! An id comes last and takes the rest. A charge of one unit to one limit takes about 17 bytes.

use super::limits::{Algo, LimitSpec, MAX_LIMITS_PER_REQUEST, MAX_VALUE};
use super::wire::{MAX_NUMBER, Reader, Writer};
use crate::codec::DecodeError;
use std::borrow::Cow;

/// A change, with the time it happened. It comes out of a decision or of [`Effect::decode`],
/// both of which see to it that its numbers are in range.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect<'a> {
    pub(super) at: u64,
    pub(super) change: Change<'a>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change<'a> {
    /// Units charged to each of the limits, by a request to be remembered if it has an id.
    Charge {
        units: u64,
        /// The request's own, or decoded ones.
        limits: Cow<'a, [LimitSpec]>,
        id: Option<&'a [u8]>,
    },
    /// Units given back by every limit in use.
    Refund { units: u64 },
    /// A remembered request given back and forgotten.
    RefundId { id: &'a [u8] },
    /// Everything gone.
    Reset,
    /// Everything denied until a time (ms); 0: no more.
    Block { until: u64 },
    /// Nothing but what every effect does: charges stamped later than its time, which the clock
    /// has been set back from, are restamped.
    Restamp,
}

const CHARGE: u8 = 0;
const REFUND: u8 = 1;
const REFUND_ID: u8 = 2;
const RESET: u8 = 3;
const BLOCK: u8 = 4;
const RESTAMP: u8 = 5;
// 6 and 7 are the leases' (`lease.rs`), so that neither decodes as the other.

const WHAT: u8 = 0b111;
const HAS_ID: u8 = 1 << 3;
const LIMITS_SHIFT: u32 = 4;

/// Most bytes without the id: tag, time, expiry, units; per limit window with algorithm, quota
/// and burst.
const fn max_bytes(limits: usize) -> usize {
    1 + (3 + 3 * limits) * MAX_NUMBER // numbers leave bytes behind them, times one
}

impl<'a> Effect<'a> {
    /// The time of the effect (Unix ms).
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Whether nothing is left after it, whatever there was: the key may go as it is.
    pub fn is_reset(&self) -> bool {
        matches!(self.change, Change::Reset)
    }

    /// Appends the record: this effect and the key's absolute expiry after it (Unix ms, 0 if the
    /// key has none, being empty).
    pub fn encode_into(&self, expires_at: u64, out: &mut Vec<u8>) {
        match &self.change {
            Change::Charge { limits, .. } if limits.len() > 1 => self.encode(
                expires_at,
                out,
                Writer::<{ max_bytes(MAX_LIMITS_PER_REQUEST) }>::new(),
            ),
            _ => self.encode(expires_at, out, Writer::<{ max_bytes(1) }>::new()),
        }
    }

    #[inline]
    fn encode<const N: usize>(&self, expires_at: u64, out: &mut Vec<u8>, mut w: Writer<N>) {
        let mut head = |tag: u8| {
            w.byte(tag);
            w.time(self.at);
            w.number(expires_at.wrapping_sub(self.at));
        };
        let mut tail: &[u8] = &[];
        match &self.change {
            Change::Charge { units, limits, id } => {
                let count = (limits.len() - 1) as u8;
                let has_id = if id.is_some() { HAS_ID } else { 0 };
                head(CHARGE | has_id | count << LIMITS_SHIFT);
                w.number(*units);
                for limit in limits.iter() {
                    w.number(limit.window() << 2 | limit.algo() as u64);
                    w.number(limit.quota());
                    if limit.algo() == Algo::Gcra {
                        let own = limit.burst() != limit.quota();
                        w.number(if own { limit.burst() } else { 0 });
                    }
                }
                tail = id.unwrap_or_default();
            }
            Change::Refund { units } => {
                head(REFUND);
                w.number(*units);
            }
            Change::RefundId { id } => {
                head(REFUND_ID);
                tail = id;
            }
            Change::Reset => head(RESET),
            Change::Block { until } => {
                head(BLOCK);
                w.number(*until);
            }
            Change::Restamp => head(RESTAMP),
        }
        w.finish(tail, out);
    }

    /// Reads a record back: the effect and the key's expiry (0: none). Fails on anything that
    /// [`Effect::encode_into`] cannot have written.
    pub fn decode(bytes: &'a [u8]) -> Result<(Effect<'a>, u64), DecodeError> {
        let mut r = Reader(bytes);
        let tag = r.byte()?;
        if tag & WHAT != CHARGE && tag & !WHAT != 0 {
            return Err(DecodeError);
        }
        let at = r.time()?;
        let expires_at = at.wrapping_add(r.number()?);
        if expires_at > MAX_VALUE {
            return Err(DecodeError);
        }
        let change = match tag & WHAT {
            CHARGE => {
                let units = r.within(1..=MAX_VALUE)?;
                let count = (tag >> LIMITS_SHIFT) + 1;
                let mut limits = Vec::with_capacity(usize::from(count));
                for _ in 0..count {
                    let limit = decode_limit(&mut r)?;
                    if units > limit.cap() {
                        return Err(DecodeError);
                    }
                    limits.push(limit);
                }
                LimitSpec::check_list(&limits).map_err(|_| DecodeError)?;
                Change::Charge {
                    units,
                    limits: Cow::Owned(limits),
                    id: match tag & HAS_ID {
                        0 => None,
                        _ => Some(r.id()?),
                    },
                }
            }
            REFUND => Change::Refund {
                units: r.within(1..=MAX_VALUE)?,
            },
            REFUND_ID => Change::RefundId { id: r.id()? },
            RESET => Change::Reset,
            BLOCK => Change::Block {
                // A time within range plus a block within range.
                until: r.within(0..=2 * MAX_VALUE)?,
            },
            RESTAMP => Change::Restamp,
            _ => return Err(DecodeError),
        };
        r.end()?;
        Ok((Effect { at, change }, expires_at))
    }
}

fn decode_limit(r: &mut Reader) -> Result<LimitSpec, DecodeError> {
    let named = r.number()?;
    let algo = Algo::from_code((named & 3) as u8).ok_or(DecodeError)?;
    let quota = r.number()?;
    let burst = match algo {
        Algo::Gcra => Some(r.number()?).filter(|&burst| burst != 0),
        _ => None,
    };
    LimitSpec::new(quota, named >> 2, algo, burst).map_err(|_| DecodeError)
}
