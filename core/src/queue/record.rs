//! Effects as bytes: what one replicated command carries.
//!
//! A record begins with its version. Version 2 is version 1 for a clock that was set back: after the
//! version it says by how much the clock is behind the stamp of the first effect, mostly more than
//! nothing, and it has one kind of effect more. Version 3 is version 2 with what `record_v3` adds. Each
//! record is written in the first version that has all that is in it. What releases up to 0.1.0 wrote has none: it begins with the
//! time of its first effect, and every time after February 1970 is written with 253 as its first
//! byte, which no version ever is. The effects follow, each after the time since the one before.

use super::effect::{Effect, Excluded, MoveIn};
use super::record_v1::EffectV1;
use super::record_v3;
use crate::codec::{self, DecodeError, Fields};
use crate::units::{Millis, Time, When};
use serde_bytes::Bytes;

/// The version that is written while the clock is not behind the stamps, and nothing is in it that
/// only version 2 has.
const VERSION: u8 = 1;

/// The version that is written otherwise.
const VERSION_BEHIND: u8 = 2;

/// The version that is written if something in it is only in version 3.
const VERSION_NEW: u8 = 3;

/// The kind of effect that version 2 adds.
const DELAY: u32 = 19;

/// The first byte of a record without a version. The effects in it are as in version 1.
const UNVERSIONED: u8 = 253;

/// Effects on one queue that happened together, in order.
#[derive(Debug, Default)]
pub struct Record {
    bytes: Vec<u8>,
    /// The time of the last effect.
    at: Time,
}

impl Record {
    /// Starts again, keeping the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes to replicate.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds an effect that happened not before the one added before it, and at the same time by the
    /// clock.
    pub fn push(&mut self, when: impl Into<When>, effect: &Effect<'_>) {
        let When { at, now } = when.into();
        let least = least_version(effect);
        let since = if self.bytes.is_empty() {
            let behind = at.since(now);
            let version = match behind.is_zero() {
                true => least,
                false => least.max(VERSION_BEHIND),
            };
            self.bytes.push(version);
            if version > VERSION {
                codec::encode_into(&behind, &mut self.bytes);
            }
            at.0
        } else {
            if self.bytes[0] < least {
                if self.bytes[0] == VERSION {
                    self.bytes.splice(1..1, codec::encode(&Millis::ZERO));
                }
                self.bytes[0] = least;
            }
            at.0 - self.at.0
        };
        self.at = at;
        Fields(&mut self.bytes).unsigned(since);
        if least < VERSION_NEW || !record_v3::encode(effect, &mut self.bytes) {
            encode(effect, &mut self.bytes);
        }
    }

    /// Reads a record: its effects and when they happened.
    ///
    /// # Errors
    /// `DecodeError` if not all of it decodes, or if it is of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Vec<(Time, Effect<'_>)>, DecodeError> {
        let effects = Effects::open(bytes)?;
        effects.map(|e| e.map(|(when, e)| (when.at, e))).collect()
    }

    /// Checks a record as [`Record::decode`] does, and gives its effects one at a time: an effect
    /// takes many times the memory of its bytes.
    ///
    /// # Errors
    /// As [`Record::decode`].
    pub fn effects(bytes: &[u8]) -> Result<impl Iterator<Item = (When, Effect<'_>)>, DecodeError> {
        Effects::open(bytes)?.try_for_each(|effect| effect.map(drop))?;
        Ok(Effects::open(bytes)?.map_while(Result::ok))
    }
}

/// The first version of records that has all that is in an effect.
#[inline]
fn least_version(effect: &Effect<'_>) -> u8 {
    match effect {
        Effect::Delay { .. } => VERSION_BEHIND,
        effect if record_v3::is_new(effect) => VERSION_NEW,
        _ => VERSION,
    }
}

/// Reads a record effect by effect, up to the first that does not decode.
struct Effects<'a> {
    rest: &'a [u8],
    /// The time of the last effect.
    at: u64,
    /// By how much the clock is behind the first effect; none once that is read.
    behind: Option<Millis>,
    /// Its version.
    version: u8,
    /// What the clock said.
    now: Time,
}

impl<'a> Effects<'a> {
    fn open(bytes: &'a [u8]) -> Result<Effects<'a>, DecodeError> {
        let mut behind = Millis::ZERO;
        let (version, rest) = match bytes {
            [VERSION, rest @ ..] => (VERSION, rest),
            [version @ VERSION_BEHIND..=VERSION_NEW, rest @ ..] => {
                let mut rest = rest;
                behind = codec::decode_next(&mut rest)?;
                (*version, rest)
            }
            [UNVERSIONED, ..] => (VERSION, bytes),
            _ => return Err(DecodeError),
        };
        if rest.is_empty() {
            return Err(DecodeError);
        }
        Ok(Effects {
            rest,
            at: 0,
            behind: Some(behind),
            version,
            now: Time::EPOCH,
        })
    }

    fn read(&mut self) -> Result<(When, Effect<'a>), DecodeError> {
        let since = codec::decode_next(&mut self.rest)?;
        self.at = self.at.checked_add(since).ok_or(DecodeError)?;
        let at = Time(self.at);
        if let Some(behind) = self.behind.take() {
            self.now = at.checked_sub(behind).ok_or(DecodeError)?;
        }
        let when = When { at, now: self.now };
        let mut rest = self.rest;
        let kind = match self.version {
            VERSION => None,
            _ => codec::decode_next(&mut rest).ok(),
        };
        if kind == Some(record_v3::NEW) && self.version >= VERSION_NEW {
            return Ok((when, record_v3::decode(&mut self.rest)?));
        }
        if kind == Some(DELAY) {
            let (id, due): (&Bytes, u64) = codec::decode_next(&mut rest)?;
            self.rest = rest;
            let due = Time(due);
            return Ok((when, Effect::Delay { id, due }));
        }
        let effect: EffectV1<'_> = codec::decode_next(&mut self.rest)?;
        Ok((when, effect.into()))
    }
}

impl<'a> Iterator for Effects<'a> {
    type Item = Result<(When, Effect<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let effect = self.read();
        if effect.is_err() {
            self.rest = &[];
        }
        Some(effect)
    }
}

/// Writes an effect as [`EffectV1`] reads it: the number of its kind, then its fields in order.
/// Written field by field, so that no command pays for making an `EffectV1` first. What is new in
/// version 3 was written before it, and if that is all of it, this is not called.
fn encode(effect: &Effect<'_>, out: &mut Vec<u8>) {
    // Zero is no time: nothing is due in 1970.
    let time = |due: &Option<Time>| due.unwrap_or(Time::EPOCH).0;
    let fields = &mut Fields(out);
    match effect {
        Effect::Submit {
            id,
            payload,
            priority,
            boost,
            due,
            tags,
            excluded,
            terms: _,
        } => {
            let content = fields.unsigned(0).bytes(id).bytes(payload);
            let order = content.signed((*priority).into()).signed(*boost);
            order.unsigned(time(due)).list(tags).list(excluded)
        }
        Effect::Cancel { id } => fields.unsigned(3).bytes(id),
        Effect::Lock {
            id,
            moderator,
            token,
            deadline,
            assign,
        } => {
            let lock = fields.unsigned(4).bytes(id).bytes(moderator);
            lock.unsigned(token.0).unsigned(deadline.0).flag(*assign)
        }
        Effect::Extend { id, deadline } => fields.unsigned(5).bytes(id).unsigned(deadline.0),
        Effect::Resolve { id, end: _ } => fields.unsigned(6).bytes(id),
        Effect::Release { id, skip, due } => {
            let release = fields.unsigned(7).bytes(id);
            release.flag(*skip).unsigned(time(due))
        }
        Effect::Expire { id, dead } => fields.unsigned(8).bytes(id).flag(*dead),
        Effect::Due { id } => fields.unsigned(9).bytes(id),
        Effect::Revive { id } => fields.unsigned(11).bytes(id),
        Effect::Served { moderator } => fields.unsigned(13).bytes(moderator),
        Effect::Leave { moderator } => fields.unsigned(14).bytes(moderator),
        Effect::Pause { paused } => fields.unsigned(15).flag(paused.input).flag(paused.output),
        Effect::MoveOut { id } => fields.unsigned(17).bytes(id),
        Effect::Delay { id, due } => fields.unsigned(DELAY.into()).bytes(id).unsigned(due.0),
        Effect::Bump { .. }
        | Effect::Change { .. }
        | Effect::Undo { .. }
        | Effect::Join { .. }
        | Effect::Configure { .. }
        | Effect::MoveIn(_) => {
            encode_by_serde(effect, fields.0);
            fields
        }
        Effect::Vote { .. }
        | Effect::Split { .. }
        | Effect::Report { .. }
        | Effect::Forget { .. }
        | Effect::Drop { .. } => unreachable!("version 3 writes all of it"),
    };
}

/// As `encode`, of effects that are rarer.
fn encode_by_serde(effect: &Effect<'_>, out: &mut Vec<u8>) {
    match effect {
        Effect::Bump {
            id,
            priority,
            boost,
        } => codec::encode_into(&(1u32, Bytes::new(id), priority, boost), out),
        Effect::Change {
            id,
            replace,
            payload,
            priority,
            boost,
            tags,
            excluded,
            ..
        } => {
            let content = (2u32, Bytes::new(id), replace, payload.map(Bytes::new));
            let rest = (priority, boost, tags, excluded);
            codec::encode_into(&(content, rest), out);
        }
        Effect::Undo { id, place } => codec::encode_into(&(10u32, Bytes::new(id), place), out),
        Effect::Join {
            moderator,
            place,
            ttl,
            expires,
            count,
            tags,
        } => {
            let who = (12u32, Bytes::new(moderator));
            codec::encode_into(&(who, (place, ttl, expires, count, tags)), out);
        }
        Effect::Configure { settings } => {
            let settings = super::settings_v1::SettingsV1::from(settings);
            codec::encode_into(&(16u32, settings), out);
        }
        Effect::MoveIn(item) => encode_move_in(item, out),
        _ => unreachable!("`encode` writes it"),
    }
}

fn encode_move_in(item: &MoveIn<'_>, out: &mut Vec<u8>) {
    let excluded: Vec<(&Bytes, bool)> = item
        .excluded
        .iter()
        .map(|Excluded { moderator, skip }| (*moderator, *skip))
        .collect();
    let content = (
        18u32,
        Bytes::new(item.id),
        Bytes::new(item.payload),
        item.priority,
        item.boost,
    );
    let times = (
        item.submitted,
        item.due.unwrap_or(Time::EPOCH),
        item.delayed,
    );
    let counts = (item.rev, item.reports, item.deliveries);
    let rest = (&item.tags, excluded, item.last_token);
    // Tuples in a tuple are written one after the other, as the fields of one structure are.
    codec::encode_into(&(content, times, counts, rest), out);
}
