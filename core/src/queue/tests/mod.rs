//! The queue core against a naive model of the specification, its invariants as properties, its
//! bytes, and one test for each promised behaviour.
//!
//! - `model` is the specification as slow, plain lists; `world` runs random commands on queues, on
//!   their models and on their replicas, in step.
//! - `properties`, `backlog`, `decided`, `groups` and `digest` are what holds over such histories.
//! - `promises` has a folder of examples; `waiting`, `turns`, `relocation` and `slots` have more.
//! - `chunks`, `records`, `format_v1` and `damage` are about bytes.

use super::*;
use crate::codec::{DecodeError, Persist};
use crate::units::{Millis, Time, Token};
use proptest::prelude::ProptestConfig;
use serde_bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

mod backlog;
mod batches;
mod chunks;
mod classes;
mod crowds;
mod damage;
mod decided;
mod digest;
mod direct;
mod effects;
mod fixture;
mod format_v1;
mod groups;
mod model;
mod promises;
mod properties;
mod records;
mod relocation;
mod slots;
mod turns;

mod verify;
mod waiting;
mod world;

use verify::{verify, verify_ages};

/// So many cases of a property; MODQ_CASES times as many for a long run.
fn cases(cases: u32) -> ProptestConfig {
    let times = std::env::var("MODQ_CASES").map_or(1, |n| n.parse().expect("a number"));
    ProptestConfig {
        cases: cases * times,
        ..ProptestConfig::default()
    }
}

/// The instant `ms`, with some µs to it for tokens.
fn at(ms: u64) -> Now {
    Now {
        time: Time(ms),
        token_floor: Token(ms * 1000 + 321),
    }
}

fn names(all: &[impl AsRef<[u8]>]) -> Vec<&Bytes> {
    all.iter().map(|n| Bytes::new(n.as_ref())).collect()
}

/// As an option of a request.
fn tags<'a>(all: &[&'a str]) -> Option<Vec<&'a Bytes>> {
    Some(all.iter().map(|t| Bytes::new(t.as_bytes())).collect())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The setting LATE.
fn late(accept: bool) -> Late {
    if accept { Late::Accept } else { Late::Reject }
}

/// The chunks of `save(entries)`, in order.
fn chunks(queue: &Queue, entries: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    queue.save(entries, &mut |chunk| all.push(chunk.to_vec()));
    all
}

/// The canonical state, which the digest is made of: the sorted chunks of `save(1)`.
fn canon(queue: &Queue) -> Vec<Vec<u8>> {
    let mut all = chunks(queue, 1);
    all.sort();
    all
}

fn load(chunks: &[Vec<u8>]) -> Result<Queue, DecodeError> {
    let mut queue = Queue::default();
    for chunk in chunks {
        queue.load(Queue::VERSION, chunk)?;
    }
    queue.finish()?;
    Ok(queue)
}

fn copy(queue: &Queue) -> Queue {
    load(&chunks(queue, 100)).expect("loads")
}

/// Applies a record as a replica does.
fn replay(queue: &mut Queue, record: &[u8]) {
    let effects = Record::effects(record).expect("a record decodes");
    for (when, effect) in effects {
        queue.apply(when, &effect).expect("an effect applies");
    }
}
