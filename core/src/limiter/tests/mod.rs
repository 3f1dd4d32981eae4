//! The engine against the naive model, replicas against the primary, and hostile bytes.

mod frozen;
mod logs;
mod model;
mod records;
mod sharing;
mod verdicts;

use super::*;
use crate::codec::Persist;

/// A log bound that is never met.
const NO_BOUND: usize = usize::MAX;
/// A time like today's.
const T0: u64 = 1_760_000_000_000;

fn spec(algo: Algo, quota: u64, window: u64) -> LimitSpec {
    LimitSpec::new(quota, window, algo, None).unwrap()
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

/// Checks, and applies the effect as CHECK does.
fn run<'r>(limiter: &mut Limiter, now: u64, request: &Request<'r>) -> Decision<'r> {
    let decision = limiter.check(now, request, NO_BOUND).unwrap();
    if let Some(effect) = &decision.effect {
        limiter.apply(effect).unwrap();
    }
    decision
}

fn five(d: &Decision) -> [i64; 5] {
    [
        d.allowed,
        d.limit,
        d.remaining,
        d.retry_after,
        d.reset_after,
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
