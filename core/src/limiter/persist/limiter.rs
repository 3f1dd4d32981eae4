//! A limiter as it is stored: the block, what is charged to each limit, and the remembered
//! requests.

use super::{ensure, in_batches};
use crate::codec::{DecodeError, Persist, decode, encode_into};
use crate::limiter::fixed::Fixed;
use crate::limiter::gcra::Gcra;
use crate::limiter::ids::{Memo, Part};
use crate::limiter::limits::{
    Algo, LimitSpec, MAX_LIMITS_IN_USE, MAX_LIMITS_PER_REQUEST, MAX_VALUE,
};
use crate::limiter::state::Limiter;
use crate::limiter::usage::{Limit, Usage};
use crate::limiter::valid_id;
use serde::{Deserialize, Serialize};

/// At most what a run takes, encoded.
const RUN_BYTES: usize = 18;
/// About what a remembered request takes, encoded, beside its id and its parts.
const ID_BYTES: usize = 30;
/// About what a part of a remembered request takes, encoded.
const PART_BYTES: usize = 28;

/// A chunk. FROZEN. Times are Unix ms, windows ms.
#[derive(Serialize, Deserialize)]
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
    Ids(#[serde(borrow)] Vec<IdV1<'a>>),
    /// The clock was set back, and some of the ids before this are still to be restamped.
    Restamping {
        to: u64,
    },
}

/// A remembered request. FROZEN.
#[derive(Serialize, Deserialize)]
struct IdV1<'a> {
    #[serde(borrow, with = "serde_bytes")]
    id: &'a [u8],
    at: u64,
    units: u64,
    parts: Vec<PartV1>,
}

/// A limit that a remembered request charged. FROZEN: the code of the algorithm, the window, when
/// the charge is gone (FIXED and GCRA, else 0), and the quota it drains by (GCRA, else 0).
type PartV1 = (u8, u64, u64, u64);

impl Persist for Limiter {
    const VERSION: i32 = 1;

    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        let mut bytes = Vec::new();
        let mut put = |chunk: LimiterV1| {
            bytes.clear();
            encode_into(&chunk, &mut bytes);
            sink(&bytes);
        };
        if self.blocked_until > 0 {
            put(LimiterV1::Block {
                until: self.blocked_until,
            });
        }
        for limit in &self.limits {
            save_limit(limit, entries, &mut put);
        }
        if let Some(ids) = &self.ids {
            let rows = ids.iter().map(|(id, memo)| {
                let row = IdV1::of(id, memo);
                let bytes = id.len() + ID_BYTES + PART_BYTES * row.parts.len();
                (row, bytes)
            });
            in_batches(rows, entries, |ids| put(LimiterV1::Ids(ids)));
            if let Some(to) = ids.restamping_to() {
                put(LimiterV1::Restamping { to });
            }
        }
    }

    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<(), DecodeError> {
        match version {
            1 => self.load_v1(decode(chunk)?),
            _ => Err(DecodeError),
        }
    }

    fn finish(&mut self) -> Result<(), DecodeError> {
        // Every chunk was checked against those before it.
        Ok(())
    }
}

fn save_limit(limit: &Limit, entries: usize, put: &mut impl FnMut(LimiterV1)) {
    let window = limit.window;
    match &limit.usage {
        Usage::Log(log) => {
            let runs = log.runs().map(|run| (run, RUN_BYTES));
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
                let buckets = buckets.to_vec();
                put(LimiterV1::Counter { window, buckets });
            }
        }
        Usage::Fixed(fixed) => {
            let (start, used) = fixed.parts();
            put(LimiterV1::Fixed {
                window,
                start,
                used,
            });
        }
        Usage::Gcra(gcra) => {
            let (v, at, quota) = gcra.parts();
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
    fn load_v1(&mut self, chunk: LimiterV1) -> Result<(), DecodeError> {
        match chunk {
            LimiterV1::Block { until } => {
                ensure(self.blocked_until == 0 && (1..=2 * MAX_VALUE).contains(&until))?;
                self.blocked_until = until;
            }
            LimiterV1::Log {
                window,
                first,
                runs,
            } => self.load_runs(window, first, &runs)?,
            LimiterV1::Counter { window, buckets } => self.load_buckets(window, &buckets)?,
            LimiterV1::Fixed {
                window,
                start,
                used,
            } => {
                ensure(start <= MAX_VALUE && used <= MAX_VALUE)?;
                let limit = self.limit_to_load(window, Algo::Fixed)?;
                ensure(limit.is_empty())?;
                limit.usage = Usage::Fixed(Fixed::from_parts(start, used).ok_or(DecodeError)?);
            }
            LimiterV1::Gcra {
                window,
                v,
                at,
                quota,
            } => {
                ensure(at <= MAX_VALUE)?;
                let limit = self.limit_to_load(window, Algo::Gcra)?;
                ensure(limit.is_empty())?;
                let gcra = Gcra::from_parts(window, v, at, quota).ok_or(DecodeError)?;
                limit.usage = Usage::Gcra(gcra);
            }
            LimiterV1::Ids(ids) => {
                for id in ids {
                    self.load_id(id)?;
                }
            }
            LimiterV1::Restamping { to } => {
                ensure(to <= MAX_VALUE)?;
                let to_load = self.ids.as_mut().ok_or(DecodeError)?.restamping();
                ensure(to_load.replace(to).is_none())?;
            }
        }
        Ok(())
    }

    /// The limit of this (window, algorithm), made if it is not there. An error if there is none
    /// such, or if it would be one too many.
    fn limit_to_load(&mut self, window: u64, algo: Algo) -> Result<&mut Limit, DecodeError> {
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
        window: u64,
        first: u64,
        runs: &[(u64, u64)],
    ) -> Result<(), DecodeError> {
        let limit = self.limit_to_load(window, Algo::Log)?;
        let Usage::Log(log) = &mut limit.usage else {
            return Err(DecodeError);
        };
        ensure(!runs.is_empty())?;
        let mut time = first;
        for (i, &(step, units)) in runs.iter().enumerate() {
            time = time.checked_add(step).ok_or(DecodeError)?;
            ensure(time <= MAX_VALUE)?;
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

    fn load_buckets(&mut self, window: u64, buckets: &[(u64, u64)]) -> Result<(), DecodeError> {
        let limit = self.limit_to_load(window, Algo::Counter)?;
        let Usage::Counter(counter) = &mut limit.usage else {
            return Err(DecodeError);
        };
        ensure(!buckets.is_empty())?;
        for &(bucket, units) in buckets {
            ensure(counter.load(window, bucket, units))?;
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
        let part = |part: &Part| (part.algo.code(), part.window, part.gone, part.rate);
        IdV1 {
            id,
            at: memo.at,
            units: memo.units,
            parts: memo.parts.iter().map(part).collect(),
        }
    }

    fn memo(&self) -> Result<Memo, DecodeError> {
        ensure(self.at <= MAX_VALUE && (1..=MAX_VALUE).contains(&self.units))?;
        ensure((1..=MAX_LIMITS_PER_REQUEST).contains(&self.parts.len()))?;
        let mut memo = Memo {
            at: self.at,
            units: self.units,
            parts: Default::default(),
        };
        for &(algo, window, gone, rate) in &self.parts {
            let algo = Algo::from_code(algo).ok_or(DecodeError)?;
            ensure((1..=MAX_VALUE).contains(&window))?;
            ensure(match algo {
                Algo::Log | Algo::Counter => (gone, rate) == (0, 0),
                Algo::Fixed => gone > self.at && gone <= self.at + window && rate == 0,
                Algo::Gcra => gone > self.at && (1..=MAX_VALUE).contains(&rate),
            })?;
            let same = |part: &Part| part.algo == algo && part.window == window;
            ensure(!memo.parts.iter().any(same))?;
            memo.parts.push(Part {
                algo,
                window,
                gone,
                rate,
            });
        }
        Ok(memo)
    }
}
