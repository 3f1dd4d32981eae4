//! A board as it is stored: what it is set to, the members in their order, the remembered requests
//! in the order of recording.
//!
//! What is named V1 is FROZEN: what was written with it must load for ever. It holds numbers and bytes
//! only. A change of format is a new version beside it.

use super::row::{MAX_COLUMNS, Row};
use super::settings::{MAX_CAP, MAX_RETRY, Order, Settings, Standing, Ties, Update};
use super::state::Board;
use super::{MAX_MEMBERS, MAX_STAMP, rows};
use crate::codec::{
    AtMost, DecodeError, Persist, decode_end, decode_len, decode_next, encode_into,
};
use crate::units::{Millis, Time};
use crate::wire::{MAX_TIME, valid_id};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

/// Most bytes put into a chunk of more than one entry.
const CHUNK_BYTES: usize = 64 * 1024;

/// How a chunk begins. With members and ids, their number and they themselves follow. FROZEN.
#[derive(Serialize, Deserialize)]
enum StartV1 {
    Head(HeadV1),
    Members,
    /// How many ids are recorded before these.
    Ids(u64),
}

/// FROZEN. The codes are those of records.
#[derive(Serialize, Deserialize)]
struct HeadV1 {
    columns: u8,
    order: AtMost<u8, MAX_COLUMNS>,
    update: u8,
    ties: u8,
    cap: u64,
    retry: u64,
    last_stamp: u64,
}

/// A member; its scores follow, as many as the head says. FROZEN.
type MemberV1<'a> = (&'a Bytes, u64);
/// An id and when it was recorded, ms. FROZEN.
type IdV1<'a> = (&'a Bytes, u64);

/// Least bytes of a member, and of an id: a name of one byte with its length, and a number or two.
const LEAST_MEMBER: usize = 4;
const LEAST_ID: usize = 3;

/// Collects entries into chunks.
struct Chunks<'s> {
    entries: Vec<u8>,
    count: u64,
    /// Most entries of a chunk.
    most: u64,
    chunk: Vec<u8>,
    sink: &'s mut dyn FnMut(&[u8]),
}

impl Chunks<'_> {
    /// Adds an entry that `write` appends. `start` is what a chunk that ends with it begins with.
    fn push(&mut self, start: &StartV1, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.entries);
        self.count += 1;
        if self.count >= self.most || self.entries.len() >= CHUNK_BYTES {
            self.flush(start);
        }
    }

    fn flush(&mut self, start: &StartV1) {
        if self.count == 0 {
            return;
        }
        self.chunk.clear();
        encode_into(start, &mut self.chunk);
        encode_into(&self.count, &mut self.chunk);
        self.chunk.append(&mut self.entries);
        (self.sink)(&self.chunk);
        self.count = 0;
    }
}

impl Persist for Board {
    const VERSION: i32 = 1;

    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        if !self.created {
            return;
        }
        let mut chunk = Vec::new();
        encode_into(&StartV1::Head(self.head()), &mut chunk);
        sink(&chunk);
        let mut chunks = Chunks {
            entries: Vec::new(),
            count: 0,
            most: entries.max(1) as u64,
            chunk,
            sink,
        };
        self.rows.visit(0, &mut |slot, _| {
            let standing = self.rows.standing(slot);
            chunks.push(&StartV1::Members, |out| {
                let member: MemberV1 = (Bytes::new(standing.member), standing.stamp);
                encode_into(&member, out);
                for score in standing.row.iter() {
                    encode_into(score, out);
                }
            });
            true
        });
        chunks.flush(&StartV1::Members);
        let Some(ids) = &self.ids else { return };
        let mut before = 0;
        for (i, (id, at)) in (1..).zip(ids.iter()) {
            let entry: IdV1 = (Bytes::new(id), at.0);
            chunks.push(&StartV1::Ids(before), |out| encode_into(&entry, out));
            if chunks.count == 0 {
                before = i;
            }
        }
        chunks.flush(&StartV1::Ids(before));
    }

    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<(), DecodeError> {
        match version {
            1 => self.load_v1(chunk),
            _ => Err(DecodeError),
        }
    }

    fn finish(&mut self) -> Result<(), DecodeError> {
        ensure(self.created)
    }
}

impl Board {
    fn head(&self) -> HeadV1 {
        let settings = &self.settings;
        HeadV1 {
            columns: settings.columns() as u8,
            order: AtMost(settings.order().iter().map(|order| order.code()).collect()),
            update: settings.update.code(),
            ties: settings.ties.code(),
            cap: settings.cap,
            retry: settings.retry.0,
            last_stamp: self.last_stamp,
        }
    }

    fn load_v1(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        let mut rest = chunk;
        let start = decode_next(&mut rest)?;
        ensure(self.created != matches!(start, StartV1::Head(_)))?;
        match start {
            StartV1::Head(head) => self.load_head(&head)?,
            StartV1::Members => {
                for _ in 0..decode_len(&mut rest, LEAST_MEMBER)? {
                    self.load_member(&mut rest)?;
                }
            }
            StartV1::Ids(before) => {
                ensure(before == self.ids() as u64)?;
                for _ in 0..decode_len(&mut rest, LEAST_ID)? {
                    self.load_id(decode_next(&mut rest)?)?;
                }
            }
        }
        decode_end(rest)
    }

    fn load_head(&mut self, head: &HeadV1) -> Result<(), DecodeError> {
        let orders = head.order.0.iter().map(|code| Order::from_code(*code));
        let orders: Option<Vec<Order>> = orders.collect();
        let orders = orders.ok_or(DecodeError)?;
        let columns = usize::from(head.columns);
        let mut settings = Settings::new(columns, &orders).map_err(|_| DecodeError)?;
        settings.update = Update::from_code(head.update).ok_or(DecodeError)?;
        settings.ties = Ties::from_code(head.ties).ok_or(DecodeError)?;
        ensure(head.cap <= MAX_CAP && head.retry <= MAX_RETRY && head.last_stamp <= MAX_STAMP)?;
        settings.cap = head.cap;
        settings.retry = Millis(head.retry);
        self.rows = rows::empty(&settings);
        self.settings = settings;
        self.last_stamp = head.last_stamp;
        self.created = true;
        Ok(())
    }

    fn load_member(&mut self, rest: &mut &[u8]) -> Result<(), DecodeError> {
        let (member, stamp): MemberV1 = decode_next(rest)?;
        let mut scores = [0; MAX_COLUMNS];
        let scores = &mut scores[..self.settings.columns()];
        for score in scores.iter_mut() {
            *score = decode_next(rest)?;
        }
        let standing = Standing {
            member,
            row: Row::new(scores).ok_or(DecodeError)?,
            stamp,
        };
        let (len, cap) = (self.len(), self.settings.cap);
        ensure(valid_id(member) && (1..=self.last_stamp).contains(&stamp))?;
        ensure(len < MAX_MEMBERS && (cap == 0 || (len as u64) < cap))?;
        ensure(self.rows.add(&standing))
    }

    fn load_id(&mut self, (id, at): IdV1<'_>) -> Result<(), DecodeError> {
        let at = Time(at);
        let ids = self.ids.get_or_insert_default();
        let follows = ids.newest().is_none_or(|newest| newest <= at);
        let fits = valid_id(id) && at <= MAX_TIME && follows && ids.recorded(id).is_none();
        if fits {
            ids.record(id, at);
        } else if ids.len() == 0 {
            self.ids = None;
        }
        ensure(fits)
    }
}

/// Refuses what was read unless `ok`.
fn ensure(ok: bool) -> Result<(), DecodeError> {
    ok.then_some(()).ok_or(DecodeError)
}
