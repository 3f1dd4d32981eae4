//! Records: the bytes of effects, as replicas and the AOF get them.
//!
//! A record is the version of its layout, one byte, and then effects, one after the other: a tag, the
//! numbers that the effect calls for, and at its end a name or an id, if it has one, with its
//! length before it. Numbers are written as `wire.rs` says, scores with the sign in the lowest bit.
//!
//! Records of version 1 are replayed from AOF files for ever, so what a tag stands for does not
//! change. A new effect takes a new tag. Should what is common to all have to change, that is a
//! new version. What is not known is refused.

use super::effect::Effect;
use super::row::{MAX_COLUMNS, Row};
use super::settings::{MAX_CAP, MAX_RETRY, Order, Settings, Ties, Update};
use crate::codec::DecodeError;
use crate::units::Millis;
use crate::wire::{MAX_NUMBER, Reader, Writer, valid_id};

/// The first byte of a record of version 1. A later version n has 0x80 + n.
const VERSION_1: u8 = 0x81;

const CREATE: u8 = 1;
const CONFIGURE: u8 = 2;
const SET: u8 = 3;
const REMOVE: u8 = 4;
const REMEMBER: u8 = 5;
/// Stands in records of CLOSE only.
const CLOSE: u8 = 6;

/// Most bytes of an effect without its name or id.
const MAX_BYTES: usize = 2 + (3 + MAX_COLUMNS) * MAX_NUMBER;

/// What one command did, as bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record(Vec<u8>);

impl Record {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Empties it; the memory stays.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds an effect.
    pub fn push(&mut self, effect: &Effect<'_>) {
        if self.0.is_empty() {
            self.0.push(VERSION_1);
        }
        let mut w = Writer::<MAX_BYTES>::new();
        let tail = match *effect {
            Effect::Create(settings) => {
                w.byte(CREATE);
                write_settings(&mut w, &settings);
                b""
            }
            Effect::Configure { update, retry } => {
                w.byte(CONFIGURE);
                w.byte(update.code());
                w.number(retry.0);
                b""
            }
            Effect::Set { member, row, stamp } => {
                w.byte(SET);
                w.number(stamp);
                w.byte(row.len() as u8);
                for score in row.iter() {
                    w.number(fold(*score));
                }
                w.number(member.len() as u64);
                member
            }
            Effect::Remove { member } => {
                w.byte(REMOVE);
                w.number(member.len() as u64);
                member
            }
            Effect::Remember { now, forget, id } => {
                w.byte(REMEMBER);
                w.time(now);
                w.number(forget);
                let id = id.unwrap_or_default();
                w.number(id.len() as u64);
                id
            }
        };
        w.finish(tail, &mut self.0);
    }

    /// Reads the effects of a record. It is checked as a whole before any is handed out.
    ///
    /// # Errors
    /// If it is not what [`Record::push`] made, in this version of the module or an older one.
    pub fn effects(record: &[u8]) -> Result<impl Iterator<Item = Effect<'_>>, DecodeError> {
        let [VERSION_1, effects @ ..] = record else {
            return Err(DecodeError);
        };
        let mut left = Reader(effects);
        loop {
            read_effect(&mut left)?;
            if left.0.is_empty() {
                break;
            }
        }
        let mut left = Reader(effects);
        let next = move || match left.0.is_empty() {
            true => None,
            false => read_effect(&mut left).ok(),
        };
        Ok(std::iter::from_fn(next))
    }
}

/// The record of CLOSE, which concerns two keys: when the board that moved expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// Unix ms; none if it does not.
    pub expires: Option<u64>,
}

impl Closing {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::<{ 2 + MAX_NUMBER }>::new();
        w.byte(VERSION_1);
        w.byte(CLOSE);
        // No key expires at 0.
        w.number(self.expires.unwrap_or(0));
        let mut out = Vec::new();
        w.finish(b"", &mut out);
        out
    }

    /// Reads what [`Closing::encode`] made.
    ///
    /// # Errors
    /// If it did not.
    pub fn decode(record: &[u8]) -> Result<Closing, DecodeError> {
        let [VERSION_1, CLOSE, rest @ ..] = record else {
            return Err(DecodeError);
        };
        let mut r = Reader(rest);
        let expires = r.within(0..=i64::MAX as u64)?;
        r.end()?;
        let expires = Some(expires).filter(|ms| *ms != 0);
        Ok(Closing { expires })
    }
}

fn read_effect<'a>(r: &mut Reader<'a>) -> Result<Effect<'a>, DecodeError> {
    Ok(match r.byte()? {
        CREATE => Effect::Create(read_settings(r)?),
        CONFIGURE => Effect::Configure {
            update: Update::from_code(r.byte()?).ok_or(DecodeError)?,
            retry: Millis(r.within(0..=MAX_RETRY)?),
        },
        SET => {
            let stamp = r.number()?;
            let mut scores = [0; MAX_COLUMNS];
            let scores = scores
                .get_mut(..usize::from(r.byte()?))
                .ok_or(DecodeError)?;
            for score in scores.iter_mut() {
                *score = unfold(r.number()?);
            }
            let row = Row::new(scores).ok_or(DecodeError)?;
            let member = read_name(r)?;
            Effect::Set { member, row, stamp }
        }
        REMOVE => Effect::Remove {
            member: read_name(r)?,
        },
        REMEMBER => {
            let now = r.time()?;
            let forget = r.number()?;
            let len = r.number()?;
            let id = r.bytes(len)?;
            let id = (len > 0).then_some(id);
            if id.is_some_and(|id| !valid_id(id)) {
                return Err(DecodeError);
            }
            Effect::Remember { now, forget, id }
        }
        _ => return Err(DecodeError),
    })
}

fn read_name<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let len = r.number()?;
    let name = r.bytes(len)?;
    valid_id(name).then_some(name).ok_or(DecodeError)
}

/// A score as a number that is small if the score is near 0.
fn fold(score: i64) -> u64 {
    ((score << 1) ^ (score >> 63)) as u64
}

fn unfold(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn write_settings<const N: usize>(w: &mut Writer<N>, settings: &Settings) {
    w.byte(settings.columns() as u8);
    w.byte(settings.order().len() as u8);
    for order in settings.order() {
        w.byte(order.code());
    }
    w.byte(settings.update.code());
    w.byte(settings.ties.code());
    w.number(settings.cap);
    w.number(settings.retry.0);
}

fn read_settings(r: &mut Reader<'_>) -> Result<Settings, DecodeError> {
    let columns = r.byte()?;
    let mut order = [Order::Desc; MAX_COLUMNS];
    let order = order.get_mut(..usize::from(r.byte()?)).ok_or(DecodeError)?;
    for order in order.iter_mut() {
        *order = Order::from_code(r.byte()?).ok_or(DecodeError)?;
    }
    let mut settings = Settings::new(usize::from(columns), order).map_err(|_| DecodeError)?;
    settings.update = Update::from_code(r.byte()?).ok_or(DecodeError)?;
    settings.ties = Ties::from_code(r.byte()?).ok_or(DecodeError)?;
    settings.cap = r.within(0..=MAX_CAP)?;
    settings.retry = Millis(r.within(0..=MAX_RETRY)?);
    Ok(settings)
}

/// Gives the values of an enum the codes that are written for them. They never change.
macro_rules! codes {
    ($name:ty { $($variant:ident = $code:literal),+ }) => {
        impl $name {
            pub(super) fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code),+
                }
            }

            pub(super) fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

codes!(Order { Desc = 0, Asc = 1 });
codes!(Update { Sum = 0, Best = 1, Last = 2 });
codes!(Ties { Earliest = 0, Latest = 1, Member = 2 });
