//! What is stored of limiters, leases and policies. The V1 structures are FROZEN: files written
//! with them must load for ever, so a change of format is a new version beside them.

use super::fixed::Fixed;
use super::gcra::Gcra;
use super::ids::{Ids, Memo, Part};
use super::lease::{Lease, Leases};
use super::limits::{Algo, LimitSpec, MAX_LIMITS_IN_USE, MAX_LIMITS_PER_REQUEST, MAX_VALUE};
use super::log::Log;
use super::policy::Policies;
use super::state::Limiter;
use super::usage::{Limit, Usage};
use super::valid_id;
use crate::codec::{DecodeError, Persist, decode, encode, encode_into};
use serde::{Deserialize, Serialize};

/// Most bytes put into a chunk of more than one entry.
const CHUNK_BYTES: usize = 64 * 1024;
/// At most what a run takes, encoded.
const RUN_BYTES: usize = 18;

/// A part of a limiter. Times are Unix ms.
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

#[derive(Serialize, Deserialize)]
struct IdV1<'a> {
    #[serde(borrow, with = "serde_bytes")]
    id: &'a [u8],
    at: u64,
    units: u64,
    /// (algorithm, window, when gone, rate)
    parts: Vec<(u8, u64, u64, u64)>,
}

/// A part of a set of leases.
#[derive(Serialize, Deserialize)]
enum LeasesV1<'a> {
    Head { last_fence: u64 },
    Leases(#[serde(borrow)] Vec<LeaseV1<'a>>),
}

#[derive(Serialize, Deserialize)]
struct LeaseV1<'a> {
    #[serde(borrow, with = "serde_bytes")]
    id: &'a [u8],
    cost: u64,
    expires: u64,
    fence: u64,
}

/// All policies.
#[derive(Serialize, Deserialize)]
enum PoliciesV1<'a> {
    V1(#[serde(borrow)] Vec<PolicyV1<'a>>),
}

#[derive(Serialize, Deserialize)]
struct PolicyV1<'a> {
    #[serde(borrow, with = "serde_bytes")]
    name: &'a [u8],
    limits: Vec<SpecV1>,
}

#[derive(Serialize, Deserialize)]
struct SpecV1 {
    quota: u64,
    window: u64,
    algo: u8,
    /// Given for GCRA only.
    burst: Option<u64>,
}

/// Collects items of a known size and hands them on in chunks bounded in number and bytes.
struct Batches<'f, T> {
    items: Vec<T>,
    bytes: usize,
    most: usize,
    hand_on: &'f mut dyn FnMut(Vec<T>),
}

impl<T> Batches<'_, T> {
    fn push(&mut self, item: T, bytes: usize) {
        if self.items.len() >= self.most || self.bytes + bytes > CHUNK_BYTES {
            self.flush();
        }
        self.bytes += bytes;
        self.items.push(item);
    }

    fn flush(&mut self) {
        if !self.items.is_empty() {
            (self.hand_on)(std::mem::take(&mut self.items));
            self.bytes = 0;
        }
    }
}

fn in_batches<T>(
    items: impl Iterator<Item = (T, usize)>,
    most: usize,
    mut hand_on: impl FnMut(Vec<T>),
) {
    let mut batches = Batches {
        items: Vec::new(),
        bytes: 0,
        most: most.max(1),
        hand_on: &mut hand_on,
    };
    for (item, bytes) in items {
        batches.push(item, bytes);
    }
    batches.flush();
}

fn ensure(ok: bool) -> Result<(), DecodeError> {
    ok.then_some(()).ok_or(DecodeError)
}

fn is_time(time: u64) -> Result<(), DecodeError> {
    ensure(time <= MAX_VALUE)
}

impl Limiter {
    /// The limit of this (window, algorithm), made if it is not there. `None` with nothing to
    /// load into it, or if it would be one too many.
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

    fn load_v1(&mut self, part: LimiterV1) -> Result<(), DecodeError> {
        match part {
            LimiterV1::Block { until } => {
                ensure(self.blocked_until == 0 && (1..=2 * MAX_VALUE).contains(&until))?;
                self.blocked_until = until;
            }
            LimiterV1::Log {
                window,
                first,
                runs,
            } => {
                let limit = self.limit_to_load(window, Algo::Log)?;
                let Usage::Log(log) = &mut limit.usage else {
                    return Err(DecodeError);
                };
                ensure(!runs.is_empty())?;
                load_runs(log, first, &runs)?;
            }
            LimiterV1::Counter { window, buckets } => {
                let limit = self.limit_to_load(window, Algo::Counter)?;
                let Usage::Counter(counter) = &mut limit.usage else {
                    return Err(DecodeError);
                };
                ensure(!buckets.is_empty())?;
                for (bucket, units) in buckets {
                    ensure(counter.load(window, bucket, units))?;
                }
            }
            LimiterV1::Fixed {
                window,
                start,
                used,
            } => {
                is_time(start)?;
                is_time(used)?;
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
                is_time(at)?;
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
                is_time(to)?;
                let to_load = self.ids.as_mut().ok_or(DecodeError)?.restamping();
                ensure(to_load.replace(to).is_none())?;
            }
        }
        Ok(())
    }

    fn load_id(&mut self, id: IdV1) -> Result<(), DecodeError> {
        is_time(id.at)?;
        ensure(valid_id(id.id) && (1..=MAX_VALUE).contains(&id.units))?;
        ensure((1..=MAX_LIMITS_PER_REQUEST).contains(&id.parts.len()))?;
        let mut memo = Memo {
            at: id.at,
            units: id.units,
            parts: Default::default(),
        };
        for (algo, window, gone, rate) in id.parts {
            let algo = Algo::from_code(algo).ok_or(DecodeError)?;
            ensure((1..=MAX_VALUE).contains(&window))?;
            ensure(match algo {
                Algo::Log | Algo::Counter => (gone, rate) == (0, 0),
                Algo::Fixed => gone > id.at && gone <= id.at + window && rate == 0,
                Algo::Gcra => gone > id.at && (1..=MAX_VALUE).contains(&rate),
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
        let ids: &mut Ids = self.ids.get_or_insert_default();
        ensure(!ids.contains(id.id))?;
        ids.insert(id.id, memo);
        Ok(())
    }
}

fn load_runs(log: &mut Log, first: u64, runs: &[(u64, u64)]) -> Result<(), DecodeError> {
    let mut time = first;
    for (i, &(step, units)) in runs.iter().enumerate() {
        time = time.checked_add(step).ok_or(DecodeError)?;
        is_time(time)?;
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

impl Persist for Limiter {
    const VERSION: i32 = 1;

    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        let mut bytes = Vec::new();
        let mut put = |part: LimiterV1| {
            bytes.clear();
            encode_into(&part, &mut bytes);
            sink(&bytes);
        };
        if self.blocked_until > 0 {
            put(LimiterV1::Block {
                until: self.blocked_until,
            });
        }
        for limit in &self.limits {
            let window = limit.window;
            match &limit.usage {
                Usage::Log(log) => in_batches(log.runs().map(|run| (run, RUN_BYTES)), entries, {
                    |mut runs| {
                        let first = runs[0].0;
                        let mut before = first;
                        for run in &mut runs {
                            let time = run.0;
                            run.0 -= before;
                            before = time;
                        }
                        put(LimiterV1::Log {
                            window,
                            first,
                            runs,
                        });
                    }
                }),
                Usage::Counter(counter) => {
                    for buckets in counter.buckets().chunks(entries.max(1)) {
                        put(LimiterV1::Counter {
                            window,
                            buckets: buckets.to_vec(),
                        });
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
        let ids = self.ids.iter().flat_map(|ids| ids.iter());
        let ids = ids.map(|(id, memo)| {
            let parts = memo.parts.iter();
            let part = |p: &Part| (p.algo.code(), p.window, p.gone, p.rate);
            let parts: Vec<_> = parts.map(part).collect();
            let size = id.len() + 30 + 28 * parts.len();
            let id = IdV1 {
                id,
                at: memo.at,
                units: memo.units,
                parts,
            };
            (id, size)
        });
        in_batches(ids, entries, |ids| put(LimiterV1::Ids(ids)));
        if let Some(to) = self.ids.as_ref().and_then(|ids| ids.restamping_to()) {
            put(LimiterV1::Restamping { to });
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

impl Persist for Leases {
    const VERSION: i32 = 1;

    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        if self.last_fence > 0 {
            let last_fence = self.last_fence;
            sink(&encode(&LeasesV1::Head { last_fence }));
        }
        let leases = self.iter().map(|(id, lease)| {
            let row = LeaseV1 {
                id,
                cost: lease.cost,
                expires: lease.expires,
                fence: lease.fence,
            };
            (row, id.len() + 30)
        });
        in_batches(leases, entries, |leases| {
            sink(&encode(&LeasesV1::Leases(leases)));
        });
    }

    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<(), DecodeError> {
        ensure(version == 1)?;
        match decode(chunk)? {
            LeasesV1::Head { last_fence } => {
                ensure(self.last_fence == 0 && (1..MAX_VALUE).contains(&last_fence))?;
                self.last_fence = last_fence;
            }
            LeasesV1::Leases(leases) => {
                for row in leases {
                    let lease = Lease {
                        cost: row.cost,
                        expires: row.expires,
                        fence: row.fence,
                    };
                    ensure(lease.fence <= self.last_fence && self.load_one(row.id, lease))?;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), DecodeError> {
        Ok(())
    }
}

impl Policies {
    /// The whole set, for RDB auxiliary data, the AOF and replicas.
    pub fn encode(&self) -> Vec<u8> {
        let spec = |spec: &LimitSpec| SpecV1 {
            quota: spec.quota(),
            window: spec.window(),
            algo: spec.algo().code(),
            burst: (spec.algo() == Algo::Gcra).then_some(spec.burst()),
        };
        let policies = self.iter().map(|(name, limits)| PolicyV1 {
            name,
            limits: limits.iter().map(spec).collect(),
        });
        encode(&PoliciesV1::V1(policies.collect()))
    }

    /// The set that [`Policies::encode`] wrote; it takes the place of whatever there was.
    pub fn decode(bytes: &[u8]) -> Result<Policies, DecodeError> {
        let PoliciesV1::V1(rows) = decode(bytes)?;
        let mut policies = Policies::default();
        for row in rows {
            let limits: Vec<LimitSpec> = row
                .limits
                .into_iter()
                .map(|s| {
                    let algo = Algo::from_code(s.algo).ok_or(DecodeError)?;
                    LimitSpec::new(s.quota, s.window, algo, s.burst).map_err(|_| DecodeError)
                })
                .collect::<Result<_, _>>()?;
            ensure(policies.get(row.name).is_none())?;
            policies.set(row.name, &limits).map_err(|_| DecodeError)?;
        }
        Ok(policies)
    }
}
