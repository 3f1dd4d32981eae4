//! A limiter as it is stored: the block, what is charged to each limit, and the remembered
//! requests.

use super::{ensure, in_batches};
use crate::codec::{
    AtMost, DecodeError, Persist, decode_end, decode_len, decode_next, encode, encode_into,
};
use crate::limiter::counter::Bucket;
use crate::limiter::fixed::Fixed;
use crate::limiter::gcra::Gcra;
use crate::limiter::ids::{Memo, Part, Trace};
use crate::limiter::limits::{
    Algo, LimitSpec, MAX_LIMITS_IN_USE, MAX_LIMITS_PER_REQUEST, MAX_TIME, MAX_VALUE,
};
use crate::limiter::state::{Block, Limiter};
use crate::limiter::usage::{Limit, Usage};
use crate::limiter::valid_id;
use crate::units::{Millis, Time};
use serde::{Deserialize, Serialize};

/// What version 2 adds to version 1, its numbers of chunks going on from there: a block of which is known
/// how long it was to last. FROZEN.
const BLOCK_V2: u32 = 7;

/// A block: until, and how long it was to last. FROZEN.
type BlockV2 = (u64, u64);

/// At most what a run takes, encoded.
const RUN_BYTES: usize = 18;
/// About what a remembered request takes, encoded, beside its id and its parts.
const ID_BYTES: usize = 30;
/// About what a part of a remembered request takes, encoded.
const PART_BYTES: usize = 28;

/// A chunk. FROZEN. Times are Unix ms, windows ms.
#[derive(Serialize)]
enum LimiterV1<'a> {
    Block {
        until: u64,
    },
    /// Runs from `first` on, in order, younger than those of earlier chunks: (ms since the run
    /// before, units).
    Log {
        window: u64,
        first: u64,
        runs: Vec<(u64, u64)>,
    },
    /// Buckets (index, units) in order, younger than those of earlier chunks.
    Counter {
        window: u64,
        buckets: Vec<(u64, u64)>,
    },
    Fixed {
        window: u64,
        start: u64,
        used: u64,
    },
    Gcra {
        window: u64,
        v: u128,
        at: u64,
        quota: u64,
    },
    Ids(Vec<IdV1<'a>>),
    /// The clock was set back, and some of the ids before this are still to be restamped.
    Restamping {
        to: u64,
    },
}

/// How a chunk begins. The list with which some end is read entry by entry. FROZEN.
#[derive(Deserialize)]
enum StartV1 {
    Block {
        until: u64,
    },
    Log {
        window: u64,
        first: u64,
    },
    Counter {
        window: u64,
    },
    Fixed {
        window: u64,
        start: u64,
        used: u64,
    },
    Gcra {
        window: u64,
        v: u128,
        at: u64,
        quota: u64,
    },
    Ids,
    Restamping {
        to: u64,
    },
}

/// Least bytes of a run and of a bucket.
const LEAST_PAIR: usize = 2;
/// Least bytes of a remembered request: the id takes two, the list of its parts five.
const LEAST_ID: usize = 9;

/// A remembered request. FROZEN.
#[derive(Serialize, Deserialize)]
struct IdV1<'a> {
    #[serde(borrow, with = "serde_bytes")]
    id: &'a [u8],
    at: u64,
    units: u64,
    parts: AtMost<PartV1, MAX_LIMITS_PER_REQUEST>,
}

/// A limit that a remembered request charged. FROZEN: the code of the algorithm, the window, when
/// the charge is gone (FIXED and GCRA, else 0), and the quota it drains by (GCRA, else 0).
type PartV1 = (u8, u64, u64, u64);

impl Persist for Limiter {
    const VERSION: i32 = 2;

    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        let mut bytes = Vec::new();
        let mut put = |chunk: LimiterV1| {
            bytes.clear();
            encode_into(&chunk, &mut bytes);
            sink(&bytes);
        };
        if let Some(&block) = self.block.as_deref() {
            let until = block.until.0;
            if block == Block::of_unknown_span(block.until) {
                put(LimiterV1::Block { until });
            } else {
                let mut bytes = encode(&BLOCK_V2);
                encode_into(&(until, block.span.0), &mut bytes);
                sink(&bytes);
            }
        }
        let mut put = |chunk: LimiterV1| {
            bytes.clear();
            encode_into(&chunk, &mut bytes);
            sink(&bytes);
        };
        for limit in &self.limits {
            save_limit(limit, entries, &mut put);
        }
        if let Some(ids) = &self.ids {
            let rows = ids.iter().map(|(id, memo)| {
                let row = IdV1::of(id, memo);
                let bytes = id.len() + ID_BYTES + PART_BYTES * row.parts.0.len();
                (row, bytes)
            });
            in_batches(rows, entries, |ids| put(LimiterV1::Ids(ids)));
            if let Some(Time(to)) = ids.restamping_to() {
                put(LimiterV1::Restamping { to });
            }
        }
    }

    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<(), DecodeError> {
        match version {
            1 => self.load_v1(chunk),
            2 => self.load_v2(chunk),
            _ => Err(DecodeError),
        }
    }

    fn finish(&mut self) -> Result<(), DecodeError> {
        // Every chunk was checked against those before it.
        Ok(())
    }
}

fn save_limit(limit: &Limit, entries: usize, put: &mut impl FnMut(LimiterV1)) {
    let window = limit.window.0;
    match &limit.usage {
        Usage::Log(log) => {
            let runs = log.runs().map(|run| ((run.time.0, run.units), RUN_BYTES));
            in_batches(runs, entries, |mut runs| {
                let first = runs[0].0;
                let mut before = first;
                for (time, _) in &mut runs {
                    let step = *time - before;
                    before = *time;
                    *time = step;
                }
                put(LimiterV1::Log {
                    window,
                    first,
                    runs,
                });
            });
        }
        Usage::Counter(counter) => {
            for buckets in counter.buckets().chunks(entries.max(1)) {
                let buckets = buckets.iter().map(|bucket| (bucket.index, bucket.units));
                let buckets = buckets.collect();
                put(LimiterV1::Counter { window, buckets });
            }
        }
        Usage::Fixed(fixed) => {
            let (Time(start), used) = fixed.parts();
            put(LimiterV1::Fixed {
                window,
                start,
                used,
            });
        }
        Usage::Gcra(gcra) => {
            let (v, Time(at), quota) = gcra.parts();
            put(LimiterV1::Gcra {
                window,
                v,
                at,
                quota,
            });
        }
    }
}

impl Limiter {
    fn load_v2(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        let mut rest = chunk;
        if decode_next::<u32>(&mut rest)? != BLOCK_V2 {
            return self.load_v1(chunk);
        }
        let (until, span): BlockV2 = decode_next(&mut rest)?;
        ensure(span != until && span <= MAX_VALUE)?;
        self.load_block(Block {
            until: Time(until),
            span: Millis(span),
        })?;
        decode_end(rest)
    }

    fn load_block(&mut self, block: Block) -> Result<(), DecodeError> {
        ensure(self.block.is_none() && (1..=2 * MAX_VALUE).contains(&block.until.0))?;
        self.block = Some(Box::new(block));
        Ok(())
    }

    fn load_v1(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        let mut rest = chunk;
        match decode_next(&mut rest)? {
            StartV1::Block { until } => {
                self.load_block(Block::of_unknown_span(Time(until)))?;
            }
            StartV1::Log { window, first } => {
                self.load_runs(Millis(window), Time(first), &mut rest)?;
            }
            StartV1::Counter { window } => self.load_buckets(Millis(window), &mut rest)?,
            StartV1::Fixed {
                window,
                start,
                used,
            } => {
                ensure(start <= MAX_VALUE && used <= MAX_VALUE)?;
                let limit = self.limit_to_load(Millis(window), Algo::Fixed)?;
                ensure(limit.is_empty())?;
                let fixed = Fixed::from_parts(Time(start), used).ok_or(DecodeError)?;
                limit.usage = Usage::Fixed(fixed);
            }
            StartV1::Gcra {
                window,
                v,
                at,
                quota,
            } => {
                ensure(at <= MAX_VALUE)?;
                let window = Millis(window);
                let limit = self.limit_to_load(window, Algo::Gcra)?;
                ensure(limit.is_empty())?;
                let gcra = Gcra::from_parts(window, v, Time(at), quota).ok_or(DecodeError)?;
                limit.usage = Usage::Gcra(gcra);
            }
            StartV1::Ids => {
                for _ in 0..decode_len(&mut rest, LEAST_ID)? {
                    self.load_id(decode_next(&mut rest)?)?;
                }
            }
            StartV1::Restamping { to } => {
                ensure(to <= MAX_VALUE)?;
                let ids = self.ids.as_mut().ok_or(DecodeError)?;
                ensure(ids.load_restamping_to(Time(to)))?;
            }
        }
        decode_end(rest)
    }

    /// The limit of this (window, algorithm), made if it is not there. An error if there is none
    /// such, or if it would be one too many.
    fn limit_to_load(&mut self, window: Millis, algo: Algo) -> Result<&mut Limit, DecodeError> {
        let spec = LimitSpec::new(1, window, algo, None).map_err(|_| DecodeError)?;
        let i = match self.limits.iter().position(|limit| limit.is(&spec)) {
            Some(i) => i,
            None => {
                ensure(self.limits.len() < MAX_LIMITS_IN_USE)?;
                self.add_limit(&spec)
            }
        };
        Ok(&mut self.limits[i])
    }

    fn load_runs(
        &mut self,
        window: Millis,
        first: Time,
        runs: &mut &[u8],
    ) -> Result<(), DecodeError> {
        let limit = self.limit_to_load(window, Algo::Log)?;
        let Usage::Log(log) = &mut limit.usage else {
            return Err(DecodeError);
        };
        let len = decode_len(runs, LEAST_PAIR)?;
        ensure(len > 0)?;
        let mut time = first;
        for i in 0..len {
            let (step, units): (u64, u64) = decode_next(runs)?;
            time = time + Millis(step);
            ensure(time <= MAX_TIME)?;
            // The first stands at `first` itself, after what is there; the others each later.
            ensure(match i {
                0 => step == 0 && (log.is_empty() || log.newest() < time),
                _ => step > 0,
            })?;
            ensure((1..=MAX_VALUE - log.total()).contains(&units))?;
            log.charge(time, units);
        }
        Ok(())
    }

    fn load_buckets(&mut self, window: Millis, buckets: &mut &[u8]) -> Result<(), DecodeError> {
        let limit = self.limit_to_load(window, Algo::Counter)?;
        let Usage::Counter(counter) = &mut limit.usage else {
            return Err(DecodeError);
        };
        let len = decode_len(buckets, LEAST_PAIR)?;
        ensure(len > 0)?;
        for _ in 0..len {
            let (index, units) = decode_next(buckets)?;
            ensure(counter.load(window, Bucket { index, units }))?;
        }
        Ok(())
    }

    fn load_id(&mut self, row: IdV1) -> Result<(), DecodeError> {
        ensure(valid_id(row.id))?;
        let memo = row.memo()?;
        let ids = self.ids.get_or_insert_default();
        ensure(!ids.contains(row.id))?;
        ids.insert(row.id, memo);
        Ok(())
    }
}

impl<'a> IdV1<'a> {
    fn of(id: &'a [u8], memo: &Memo) -> IdV1<'a> {
        IdV1 {
            id,
            at: memo.at.0,
            units: memo.units,
            parts: AtMost(memo.parts.iter().map(part_v1).collect()),
        }
    }

    fn memo(&self) -> Result<Memo, DecodeError> {
        ensure(self.at <= MAX_VALUE && (1..=MAX_VALUE).contains(&self.units))?;
        ensure(!self.parts.0.is_empty())?;
        let mut memo = Memo {
            at: Time(self.at),
            units: self.units,
            parts: Default::default(),
        };
        for &row in &self.parts.0 {
            let part = part_of(row, memo.at)?;
            let same = |other: &Part| other.algo() == part.algo() && other.window == part.window;
            ensure(!memo.parts.iter().any(same))?;
            memo.parts.push(part);
        }
        Ok(memo)
    }
}

/// Stands for a time past any clock.
const FAR_V1: u64 = u64::MAX;

fn part_v1(part: &Part) -> PartV1 {
    let (gone, rate) = match part.trace {
        Trace::Log | Trace::Counter => (0, 0),
        Trace::Fixed { closes } => (closes.0, 0),
        Trace::Gcra { empty, rate } => (empty.map_or(FAR_V1, |time| time.0), rate),
    };
    (part.algo().code(), part.window.0, gone, rate)
}

/// The part of a request that was made at `at`.
fn part_of((algo, window, gone, rate): PartV1, at: Time) -> Result<Part, DecodeError> {
    ensure((1..=MAX_VALUE).contains(&window))?;
    let window = Millis(window);
    let end = Time(gone);
    let trace = match Algo::from_code(algo).ok_or(DecodeError)? {
        Algo::Fixed => {
            ensure(end > at && end <= at + window && rate == 0)?;
            Trace::Fixed { closes: end }
        }
        Algo::Gcra => {
            ensure(end > at && (1..=MAX_VALUE).contains(&rate))?;
            let empty = (gone != FAR_V1).then_some(end);
            Trace::Gcra { empty, rate }
        }
        Algo::Log => {
            ensure((gone, rate) == (0, 0))?;
            Trace::Log
        }
        Algo::Counter => {
            ensure((gone, rate) == (0, 0))?;
            Trace::Counter
        }
    };
    Ok(Part { window, trace })
}
