//! What version 2 of a queue's chunks adds to version 1: how long locks and delays were asked to last.
//! Frozen, as `persist_v1` is.

use super::Store;
use super::persist_v1::{HeadV1, StartV1};
use crate::codec::{DecodeError, decode_len, decode_next};
use crate::queue::store::Seq;
use crate::units::Millis;
use serde::Serialize;

/// The number of this kind of chunk; those of version 1 are 0 to 2.
const SPANS: u32 = 3;

/// Least bytes of a span.
const LEAST_SPAN: usize = 2;

/// How long locks and delays were asked to last, where their stamps do not tell: seq of the item, ms.
/// Their items may come before or after them.
#[derive(Serialize)]
pub(super) struct SpansV2<'a>(u32, &'a [(u64, u64)]);

impl<'a> SpansV2<'a> {
    pub(super) fn new(spans: &'a [(u64, u64)]) -> SpansV2<'a> {
        SpansV2(SPANS, spans)
    }
}

/// How a chunk begins.
pub(super) enum StartV2<'a> {
    Head(HeadV1<'a>),
    Items,
    Moderators,
    Spans,
}

impl<'a> StartV2<'a> {
    /// Reads the beginning of a chunk of version 1 or 2.
    pub(super) fn read(version: i32, bytes: &mut &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = *bytes;
        if version == 2 && decode_next::<u32>(&mut rest)? == SPANS {
            *bytes = rest;
            return Ok(StartV2::Spans);
        }
        if !(1..=2).contains(&version) {
            return Err(DecodeError);
        }
        Ok(match decode_next(bytes)? {
            StartV1::Head(head) => StartV2::Head(head),
            StartV1::Items => StartV2::Items,
            StartV1::Moderators => StartV2::Moderators,
        })
    }
}

impl Store {
    /// Adds the spans of a chunk.
    pub(super) fn load_spans(&mut self, bytes: &mut &[u8]) -> Result<(), DecodeError> {
        for _ in 0..decode_len(bytes, LEAST_SPAN)? {
            let (seq, span): (u64, u64) = decode_next(bytes)?;
            self.load_span(Seq(seq), Millis(span));
        }
        Ok(())
    }
}
