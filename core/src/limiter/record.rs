//! Records: the bytes of one effect, as replicas and the AOF get it.
//!
//! A record holds, in this order:
//!
//! 1. the version of its layout, one byte;
//! 2. a tag that says which effect it is, one byte;
//! 3. the time of the effect, seven bytes;
//! 4. the key's expiry after the effect, less the time of the effect (a wrapping number), where an
//!    expiry of 0 says that the key is left empty and goes;
//! 5. the numbers that this effect calls for;
//! 6. an id, if the effect has one: it takes the rest.
//!
//! A charge of one unit to one limit takes about 18 bytes.
//!
//! **Versions.** [`VERSION_1`] has its highest bit set. Records from before there were versions
//! begin with the tag, and are otherwise laid out as version 1. Both can be told apart by the
//! first byte alone, because no tag that was ever written without a version has its highest bit
//! set: the tag of a charge has 0 in bits 0 to 2, a flag in bit 3 and the number of limits less
//! one, at most 7, in bits 4 to 6, which makes at most 0x78; all other tags are 1 to 7.
//! (A module from before there were versions refuses version 1: to it, 0x81 is no tag.)
//!
//! **Growth.** Records of version 1 are replayed from AOF files for ever, so what a tag stands for
//! does not change. A new effect takes a new tag: 10 to 15, 17 to 23 and so on up to 0x7f are free
//! (all that do not have 0 in bits 0 to 2, which is a charge). Should what is common to all
//! records have to change, that is a new version. What is not known is refused, both tags and
//! versions.

use super::effect::{Change, Effect};
use super::lease::{Lease, LeaseChange, LeaseEffect};
use super::limits::{Algo, LimitSpec, MAX_LIMITS_PER_REQUEST, MAX_TIME, MAX_VALUE};
use crate::codec::DecodeError;
use crate::units::{Millis, Time, Token};
use crate::wire::{MAX_NUMBER, Reader, Writer};
use std::borrow::Cow;

/// The first byte of a record of version 1. A later version n has 0x80 + n.
const VERSION_1: u8 = 0x81;

/// Bits 0 to 2 of a charge's tag, which has more in it; see [`charge_tag`].
const CHARGE: u8 = 0;
const REFUND: u8 = 1;
const REFUND_ID: u8 = 2;
const RESET: u8 = 3;
const BLOCK: u8 = 4;
const RESTAMP: u8 = 5;
/// What stands in the record of a block in place of its end if it ends a block.
const NO_BLOCK: u64 = 0;
// Tags of leases are others, so that a record for one type of key is refused by the other.
const ACQUIRE: u8 = 6;
const RELEASE: u8 = 7;
const RESTAMP_LEASES: u8 = 9;

/// What stands in a record as the expiry of a key that is left empty. No expiry of a key that is
/// not can be that early.
const NO_EXPIRY: Time = Time::EPOCH;

/// The bits of a tag that are 0 in a charge and in nothing else.
const KIND: u8 = 0b111;
/// In a charge's tag: whether the request has an id.
const HAS_ID: u8 = 1 << 3;
/// Where in a charge's tag the number of limits stands, less one.
const LIMITS_SHIFT: u32 = 4;

/// The tag of a charge to 1 to 8 limits.
#[inline]
fn charge_tag(limits: usize, has_id: bool) -> u8 {
    let id = if has_id { HAS_ID } else { 0 };
    CHARGE | id | ((limits - 1) as u8) << LIMITS_SHIFT
}

/// Most bytes of a charge's record without the id: version and tag, then as numbers time, expiry
/// and units, and for each limit window with algorithm, quota and burst.
const fn max_bytes(limits: usize) -> usize {
    2 + (3 + 3 * limits) * MAX_NUMBER
}

/// Begins a record: all that is common to every effect.
#[inline]
fn begin<const N: usize>(w: &mut Writer<N>, tag: u8, at: Time, expires_at: Option<Time>) {
    w.byte(VERSION_1);
    w.byte(tag);
    w.time(at);
    w.number(expires_at.unwrap_or(NO_EXPIRY).0.wrapping_sub(at.0));
}

/// What every record begins with, once it is read.
struct Head {
    tag: u8,
    at: Time,
    expires_at: Option<Time>,
}

/// Reads the beginning of a record, of version 1 or from before there were versions.
fn open(record: &[u8]) -> Result<(Head, Reader<'_>), DecodeError> {
    let mut r = match record {
        [VERSION_1, rest @ ..] | rest @ [..=0x7f, ..] => Reader(rest),
        _ => return Err(DecodeError),
    };
    let tag = r.byte()?;
    let at = r.time()?;
    let expires_at = Time(at.0.wrapping_add(r.number()?));
    if expires_at > MAX_TIME {
        return Err(DecodeError);
    }
    let head = Head {
        tag,
        at,
        expires_at: Some(expires_at).filter(|time| *time != NO_EXPIRY),
    };
    Ok((head, r))
}

impl<'a> Effect<'a> {
    /// Appends the record: this effect and the key's expiry after it, `None` if the key is left
    /// empty.
    pub fn encode_into(&self, expires_at: Option<Time>, out: &mut Vec<u8>) {
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
    fn encode<const N: usize>(
        &self,
        expires_at: Option<Time>,
        out: &mut Vec<u8>,
        mut w: Writer<N>,
    ) {
        let mut head = |tag| begin(&mut w, tag, self.at, expires_at);
        let mut tail: &[u8] = &[];
        match &self.change {
            Change::Charge { units, limits, id } => {
                head(charge_tag(limits.len(), id.is_some()));
                w.number(*units);
                for limit in limits.iter() {
                    w.number(limit.window().0 << 2 | u64::from(limit.algo().code()));
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
                w.number(until.0);
            }
            Change::Unblock => {
                head(BLOCK);
                w.number(NO_BLOCK);
            }
            Change::Restamp => head(RESTAMP),
        }
        w.finish(tail, out);
    }

    /// Reads a record back: the effect, and the key's expiry after it, `None` if the key is left
    /// empty.
    ///
    /// # Errors
    /// The record is not one that [`Effect::encode_into`] wrote, in this version of the module or an
    /// older one.
    pub fn decode(record: &'a [u8]) -> Result<(Effect<'a>, Option<Time>), DecodeError> {
        let (head, mut r) = open(record)?;
        let change = match head.tag {
            REFUND => Change::Refund {
                units: r.within(1..=MAX_VALUE)?,
            },
            REFUND_ID => Change::RefundId { id: r.id()? },
            RESET => Change::Reset,
            // A time within range plus a block within range.
            BLOCK => match r.within(0..=2 * MAX_VALUE)? {
                NO_BLOCK => Change::Unblock,
                until => Change::Block { until: Time(until) },
            },
            RESTAMP => Change::Restamp,
            tag if tag & KIND == CHARGE => decode_charge(tag, &mut r)?,
            _ => return Err(DecodeError),
        };
        r.end()?;
        let at = head.at;
        Ok((Effect { at, change }, head.expires_at))
    }
}

fn decode_charge<'a>(tag: u8, r: &mut Reader<'a>) -> Result<Change<'a>, DecodeError> {
    let units = r.within(1..=MAX_VALUE)?;
    // Up to 16 by the tag's bits; the list is refused if it is longer than a request's can be.
    let count = usize::from(tag >> LIMITS_SHIFT) + 1;
    let mut limits = Vec::with_capacity(count);
    for _ in 0..count {
        let limit = decode_limit(r)?;
        if units > limit.burst() {
            return Err(DecodeError);
        }
        limits.push(limit);
    }
    LimitSpec::check_list(&limits).map_err(|_| DecodeError)?;
    let id = match tag & HAS_ID {
        0 => None,
        _ => Some(r.id()?),
    };
    Ok(Change::Charge {
        units,
        limits: Cow::Owned(limits),
        id,
    })
}

fn decode_limit(r: &mut Reader) -> Result<LimitSpec, DecodeError> {
    let named = r.number()?;
    let algo = Algo::from_code((named & 3) as u8).ok_or(DecodeError)?;
    let quota = r.number()?;
    let burst = match algo {
        Algo::Gcra => Some(r.number()?).filter(|&burst| burst != 0),
        _ => None,
    };
    LimitSpec::new(quota, Millis(named >> 2), algo, burst).map_err(|_| DecodeError)
}

impl<'a> LeaseEffect<'a> {
    /// Appends the record: this effect and the key's expiry after it, `None` if the key is left
    /// empty.
    pub fn encode_into(&self, expires_at: Option<Time>, out: &mut Vec<u8>) {
        let mut w = Writer::<{ 2 + 5 * MAX_NUMBER }>::new();
        match self.change {
            LeaseChange::Acquire(lease) => {
                begin(&mut w, ACQUIRE, self.at, expires_at);
                w.number(lease.expires.since(self.at).0);
                w.number(lease.cost);
                w.number(lease.fence.0);
            }
            LeaseChange::Release => begin(&mut w, RELEASE, self.at, expires_at),
            LeaseChange::Restamp => begin(&mut w, RESTAMP_LEASES, self.at, expires_at),
        }
        w.finish(self.id, out);
    }

    /// Reads a record back: the effect, and the key's expiry after it, `None` if the key is left
    /// empty.
    ///
    /// # Errors
    /// The record is not one that [`LeaseEffect::encode_into`] wrote, in this version of the module
    /// or an older one.
    pub fn decode(record: &'a [u8]) -> Result<(LeaseEffect<'a>, Option<Time>), DecodeError> {
        let (head, mut r) = open(record)?;
        let at = head.at;
        let change = match head.tag {
            ACQUIRE => LeaseChange::Acquire(Lease {
                expires: at + Millis(r.within(1..=MAX_VALUE)?),
                cost: r.within(1..=MAX_VALUE)?,
                fence: Token(r.within(1..=MAX_VALUE - 1)?),
            }),
            RELEASE => LeaseChange::Release,
            RESTAMP_LEASES => LeaseChange::Restamp,
            _ => return Err(DecodeError),
        };
        let id = match change {
            LeaseChange::Restamp => {
                r.end()?;
                &[]
            }
            _ => r.id()?,
        };
        Ok((LeaseEffect { at, id, change }, head.expires_at))
    }
}
