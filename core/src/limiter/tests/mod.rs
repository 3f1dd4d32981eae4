//! The engine against the naive model, replicas against the primary, and hostile bytes.

mod frozen;
mod histories;
mod leases;
mod logs;
mod model;
mod records;
mod sharing;
mod verdicts;

use super::*;
use crate::codec::Persist;
use crate::units::{Millis, Time, Token};

/// A log bound that is never met.
const NO_BOUND: usize = usize::MAX;
/// A time like today's. (The tests reckon with bare numbers of milliseconds.)
const T0: u64 = 1_760_000_000_000;

fn spec(algo: Algo, quota: u64, window: u64) -> LimitSpec {
    LimitSpec::new(quota, Millis(window), algo, None).unwrap()
}

fn ask(limits: &[LimitSpec], cost: u64) -> Request<'_> {
    Request {
        limits,
        cost,
        id: None,
        partial: false,
    }
}

const ALGOS: [Algo; 4] = [Algo::Log, Algo::Counter, Algo::Fixed, Algo::Gcra];

/// Checks, and applies nothing, as PEEK does.
fn peek<'r>(limiter: &Limiter, now: u64, request: &Request<'r>) -> Decision<'r> {
    limiter.check(Time(now), request, NO_BOUND).unwrap()
}

/// Checks, and applies the effect, as CHECK does.
fn run<'r>(limiter: &mut Limiter, now: u64, request: &Request<'r>) -> Decision<'r> {
    let decision = peek(limiter, now, request);
    if let Some(effect) = &decision.effect {
        limiter.apply(effect).unwrap();
    }
    decision
}

/// A wait as replies show it.
fn shown(wait: Option<Wait>) -> i64 {
    match wait {
        None => 0,
        Some(Wait::For(span)) => span.0 as i64,
        Some(Wait::Forever) => -1,
    }
}

/// How long to wait for the same request to be admitted, as replies show it.
fn retry(d: &Decision) -> i64 {
    shown(d.retry_after())
}

/// The five numbers of a reply.
fn five(d: &Decision) -> [i64; 5] {
    [
        i64::from(d.is_allowed()),
        d.limit as i64,
        d.remaining as i64,
        retry(d),
        d.reset_after.0 as i64,
    ]
}

/// The canonical set of chunks, which the digest is made of.
fn digest<T: Persist>(value: &T) -> Vec<Vec<u8>> {
    let mut chunks = vec![];
    value.save(1, &mut |chunk| chunks.push(chunk.to_vec()));
    chunks.sort();
    chunks
}

/// What comes back from storing in chunks of that many entries.
fn reload<T: Persist>(value: &T, entries: usize) -> T {
    let mut back = T::default();
    value.save(entries, &mut |chunk| {
        assert!(chunk.len() < 70_000, "a chunk of {} bytes", chunk.len());
        back.load(T::VERSION, chunk).unwrap();
    });
    back.finish().unwrap();
    back
}
