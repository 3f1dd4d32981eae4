//! LOG: admitted iff (units charged in (now - W, now]) + c <= L; a charge exactly W old has
//! expired. Exact at any size: charges of one millisecond share a run, runs are delta-coded in
//! chunks of up to 256, and running totals in the chunk headers let every question be answered
//! by a binary search and the decoding of one chunk. Source: the contract, `ratelimit.md`.
//!
//! How runs are cut into chunks depends on history and has no meaning: every operation is defined
//! on runs.

use super::wire::{self, MAX_NUMBER};
use crate::memory::alloc_size;
use smallvec::{SmallVec, smallvec};

/// Runs per chunk: few enough to decode in about a microsecond, enough to hide the header.
const CHUNK_RUNS: u16 = 256;

/// Bytes of runs that a chunk holds without a heap.
const INLINE: usize = 24;

/// Units charged in one millisecond.
type Run = (u64, u64);

/// Runs in rising order of time, all with units. The newest is held open outside the chunks, so
/// that a log of one charge has no heap, and a charge in the same ms changes one number.
#[derive(Debug, Clone)]
pub(super) struct Log {
    last: u64,
    last_units: u64,
    /// Units in all runs; 0 means that there are none.
    total: u64,
    /// All runs but the newest. Never empty.
    closed: Option<Box<Closed>>,
}

/// Counts of everything that ever stood in the log up to some place, wrapping: only differences
/// are used.
#[derive(Debug, Clone, Copy)]
struct Count {
    units: u64,
    runs: u64,
}

impl Count {
    const ZERO: Count = Count { units: 0, runs: 0 };

    #[inline]
    fn since(self, earlier: Count) -> Count {
        Count {
            units: self.units.wrapping_sub(earlier.units),
            runs: self.runs.wrapping_sub(earlier.runs),
        }
    }

    #[inline]
    fn add(&mut self, units: u64) {
        self.units = self.units.wrapping_add(units);
        self.runs = self.runs.wrapping_add(1);
    }
}

#[derive(Debug, Clone)]
struct Closed {
    /// The first, and its first bytes, are right here: what a small log holds is found without going
    /// from one place in memory to the next.
    chunks: SmallVec<[Chunk; 1]>,
    /// The count before the oldest live run.
    start: Count,
}

/// A header and the runs: per run a number (ms since the run before, and as lowest bit whether
/// the units are other than 1), then the units if so. The number of the first live run stands
/// for time `first`, whatever it says.
#[derive(Debug, Clone)]
struct Chunk {
    first: u64,
    last: u64,
    /// The count at the chunk's end.
    end: Count,
    bytes: SmallVec<[u8; INLINE]>,
    /// Where the live runs start.
    offset: u16,
    /// Runs ever written to `bytes`.
    written: u16,
}

/// A run with the place where it starts.
struct Placed {
    at: usize,
    time: u64,
    units: u64,
}

/// Reads the runs of a chunk.
struct Runs<'a> {
    bytes: &'a [u8],
    at: usize,
    time: u64,
    first: bool,
}

impl Iterator for Runs<'_> {
    type Item = Placed;

    #[inline]
    fn next(&mut self) -> Option<Placed> {
        let at = self.at;
        let (step, n) = wire::get(self.bytes.get(at..)?)?;
        self.at += n;
        if self.first {
            self.first = false;
        } else {
            self.time += step >> 1;
        }
        let mut units = 1;
        if step & 1 == 1 {
            let (value, n) = wire::get(&self.bytes[self.at..])?;
            self.at += n;
            units = value;
        }
        Some(Placed {
            at,
            time: self.time,
            units,
        })
    }
}

/// Bytes that a run takes.
#[inline]
fn run_length(step: u64, units: u64) -> usize {
    wire::length(step << 1) + if units == 1 { 0 } else { wire::length(units) }
}

impl Chunk {
    fn new(first: u64, start: Count) -> Chunk {
        Chunk {
            first,
            last: first,
            end: start,
            bytes: SmallVec::new(),
            offset: 0,
            written: 0,
        }
    }

    #[inline]
    fn runs(&self) -> Runs<'_> {
        Runs {
            bytes: &self.bytes,
            at: usize::from(self.offset),
            time: self.first,
            first: true,
        }
    }

    fn has_room(&self, time: u64, units: u64) -> bool {
        self.bytes.capacity() - self.bytes.len() >= run_length(time - self.last, units)
    }

    fn push(&mut self, (time, units): Run) {
        let mut code = [0; 2 * MAX_NUMBER];
        let mut n = wire::put(&mut code, (time - self.last) << 1 | u64::from(units != 1));
        if units != 1 {
            n += wire::put(&mut code[n..], units);
        }
        let needed = self.bytes.len() + n;
        if needed > self.bytes.capacity() {
            // Anything between two size classes would be rounded up to the larger one.
            self.bytes
                .reserve_exact(alloc_size(needed) - self.bytes.len());
        }
        match n {
            1 => self.bytes.push(code[0]),
            _ => self.bytes.extend_from_slice(&code[..n]),
        }
        self.last = time;
        self.end.add(units);
        self.written += 1;
        if self.written == CHUNK_RUNS {
            self.bytes.shrink_to_fit();
        }
    }

    /// A chunk of these runs, which may be none.
    fn of(runs: impl Iterator<Item = Run>, start: Count) -> Option<Chunk> {
        let mut chunk = None;
        for run in runs {
            chunk
                .get_or_insert_with(|| Chunk::new(run.0, start))
                .push(run);
        }
        chunk
    }
}

impl Closed {
    /// The count before chunk `i`.
    #[inline]
    fn before(&self, i: usize) -> Count {
        match i.checked_sub(1) {
            Some(i) => self.chunks[i].end,
            None => self.start,
        }
    }

    fn live(&self) -> Count {
        self.before(self.chunks.len()).since(self.start)
    }

    /// Units and runs stamped `time` or earlier.
    fn up_to(&self, time: u64) -> Count {
        if self.chunks.first().is_none_or(|chunk| chunk.first > time) {
            return Count::ZERO;
        }
        let i = match self.chunks.first() {
            Some(chunk) if chunk.last > time => 0,
            _ => self.chunks.partition_point(|chunk| chunk.last <= time),
        };
        let mut count = self.before(i);
        if let Some(chunk) = self.chunks.get(i) {
            for run in chunk.runs().take_while(|run| run.time <= time) {
                count.add(run.units);
            }
        }
        count.since(self.start)
    }

    /// The index of the chunk in which the `nth` unit (from 1) stands.
    fn chunk_of(&self, nth: u64) -> usize {
        let at_end = |chunk: &Chunk| chunk.end.since(self.start).units;
        if self
            .chunks
            .first()
            .is_some_and(|chunk| at_end(chunk) >= nth)
        {
            return 0;
        }
        self.chunks.partition_point(|chunk| at_end(chunk) < nth)
    }

    /// The run in which the `nth` unit stands, and the count of live units and runs with it.
    fn run_of(&self, i: usize, nth: u64) -> Option<(Placed, Count)> {
        let mut count = self.before(i).since(self.start);
        for run in self.chunks.get(i)?.runs() {
            count.add(run.units);
            if count.units >= nth {
                return Some((run, count));
            }
        }
        None
    }

    fn push(&mut self, run: Run) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.written < CHUNK_RUNS => chunk.push(run),
            _ => {
                let mut chunk = Chunk::new(run.0, self.before(self.chunks.len()));
                chunk.push(run);
                self.chunks.push(chunk);
            }
        }
    }
}

impl Log {
    pub(super) const EMPTY: Log = Log {
        last: 0,
        last_units: 0,
        total: 0,
        closed: None,
    };

    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    #[inline]
    pub(super) fn newest(&self) -> u64 {
        self.last
    }

    /// When the newest charge expires.
    pub(super) fn end(&self, window: u64) -> u64 {
        self.last + window
    }

    /// Runs held, expired or not.
    #[inline]
    pub(super) fn runs_held(&self) -> u64 {
        let closed = self.closed.as_ref().map_or(0, |closed| closed.live().runs);
        closed + u64::from(self.total > 0)
    }

    /// Every run, oldest first.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let chunks = self.closed.iter().flat_map(|closed| &closed.chunks);
        chunks
            .flat_map(|chunk| chunk.runs().map(|run| (run.time, run.units)))
            .chain((self.total > 0).then_some((self.last, self.last_units)))
    }

    /// What has expired at `now` but still stands in the log; all of it if the newest run has.
    #[inline]
    fn expired(&self, window: u64, now: u64) -> Count {
        if self.last + window <= now {
            return Count {
                units: self.total,
                runs: self.runs_held(),
            };
        }
        match (&self.closed, now.checked_sub(window)) {
            (Some(closed), Some(cutoff)) => closed.up_to(cutoff),
            _ => Count::ZERO,
        }
    }

    /// Units charged in (now - W, now]. Charges from the future count as made now.
    #[inline]
    pub(super) fn used(&self, window: u64, now: u64) -> u64 {
        self.total - self.expired(window, now).units
    }

    /// Runs that have not expired at `now`.
    pub(super) fn runs_live(&self, window: u64, now: u64) -> u64 {
        self.runs_held() - self.expired(window, now).runs
    }

    /// Ms until at most `target` units are used, if `added` more are charged now.
    #[inline]
    pub(super) fn wait(&self, window: u64, now: u64, added: u64, target: u64) -> u64 {
        if added > target {
            return window;
        }
        if target == 0 {
            return match self.total {
                0 => 0,
                _ => (self.last.min(now) + window).saturating_sub(now),
            };
        }
        let expired = self.expired(window, now).units;
        let used = self.total - expired;
        if used + added <= target {
            return 0;
        }
        // The unit, counted from the oldest that stands, whose expiry makes it enough.
        let nth = expired + (used + added - target);
        let time = if nth > self.total - self.last_units {
            self.last
        } else {
            self.closed
                .as_ref()
                .and_then(|closed| closed.run_of(closed.chunk_of(nth), nth))
                .map_or(self.last, |(run, _)| run.time)
        };
        time.min(now) + window - now
    }

    /// Restamps charges from the future to `now`, drops expired ones, run by run.
    #[inline]
    pub(super) fn settle(&mut self, window: u64, now: u64) {
        if self.last > now {
            let past = self.closed.as_ref().map_or(0, |c| c.up_to(now).units);
            let future = self.total - past;
            self.truncate(past);
            self.charge(now, future);
        }
        if self.last + window <= now {
            *self = Log::EMPTY;
            return;
        }
        let (Some(closed), Some(cutoff)) = (&mut self.closed, now.checked_sub(window)) else {
            return;
        };
        // Chunks that have gone whole go together: each takes the others a place forward.
        let gone = match closed.chunks.first() {
            Some(chunk) if chunk.last > cutoff => 0,
            _ => closed.chunks.partition_point(|chunk| chunk.last <= cutoff),
        };
        let mut start = closed.before(gone);
        closed.chunks.drain(..gone);
        if let Some(chunk) = closed.chunks.first_mut().filter(|c| c.first <= cutoff) {
            for run in chunk.runs() {
                if run.time > cutoff {
                    // Fits: 255 runs of at most 20 bytes.
                    chunk.offset = run.at as u16;
                    chunk.first = run.time;
                    break;
                }
                start.add(run.units);
            }
        }
        self.total -= start.since(closed.start).units;
        closed.start = start;
        if !closed.chunks.is_empty() {
            return;
        }
        self.closed = None;
    }

    /// Whether a charge at `now` may need to allocate.
    pub(super) fn grows(&self, window: u64, now: u64) -> bool {
        if self.total == 0 || self.last >= now || self.last + window <= now {
            return false;
        }
        let newest = self.closed.as_ref().and_then(|c| c.chunks.last());
        newest.is_none_or(|chunk| {
            chunk.written == CHUNK_RUNS || !chunk.has_room(self.last, self.last_units)
        })
    }

    /// Charges a settled log.
    #[inline]
    pub(super) fn charge(&mut self, now: u64, units: u64) {
        if self.total > 0 && self.last == now {
            self.last_units += units;
        } else {
            if self.total > 0 {
                self.closed
                    .get_or_insert_with(|| {
                        Box::new(Closed {
                            chunks: smallvec![],
                            start: Count::ZERO,
                        })
                    })
                    .push((self.last, self.last_units));
            }
            self.last = now;
            self.last_units = units;
        }
        self.total += units;
    }

    /// Keeps the oldest `keep` units.
    fn truncate(&mut self, keep: u64) {
        let drop = self.total - keep;
        if drop < self.last_units {
            self.last_units -= drop;
            self.total = keep;
            return;
        }
        let Some(closed) = self.closed.as_mut().filter(|_| keep > 0) else {
            *self = Log::EMPTY;
            return;
        };
        let i = closed.chunk_of(keep);
        let Some((run, count)) = closed.run_of(i, keep) else {
            return;
        };
        closed.chunks.truncate(i + 1);
        // The run found becomes the open one; what stands before it in its chunk stays.
        let before = closed.before(i);
        let kept = closed.chunks[i]
            .runs()
            .take_while(|other| other.at < run.at);
        let rest = Chunk::of(kept.map(|run| (run.time, run.units)), before);
        match rest {
            Some(rest) => closed.chunks[i] = rest,
            None => closed.chunks.truncate(i),
        }
        if closed.chunks.is_empty() {
            self.closed = None;
        }
        self.last = run.time;
        self.last_units = run.units - (count.units - keep);
        self.total = keep;
    }

    /// Takes back up to `n` units of a settled log, newest first.
    pub(super) fn refund(&mut self, n: u64) -> u64 {
        let given = n.min(self.total);
        if given > 0 {
            self.truncate(self.total - given);
        }
        given
    }

    /// Takes back up to `n` units charged at `at` from a settled log.
    pub(super) fn refund_at(&mut self, at: u64, n: u64) -> u64 {
        if self.total == 0 || at > self.last {
            return 0;
        }
        if at == self.last {
            return self.refund(n.min(self.last_units));
        }
        let Some(closed) = &mut self.closed else {
            return 0;
        };
        let i = closed.chunks.partition_point(|chunk| chunk.last < at);
        let Some(chunk) = closed.chunks.get(i) else {
            return 0;
        };
        let Some(run) = chunk.runs().find(|run| run.time == at) else {
            return 0;
        };
        let given = n.min(run.units);
        let rest = chunk.runs().map(|other| {
            let back = if other.time == at { given } else { 0 };
            (other.time, other.units - back)
        });
        let rest = Chunk::of(rest.filter(|run| run.1 > 0), closed.before(i));
        // Every later count has gone down by the same.
        for chunk in &mut closed.chunks[i..] {
            chunk.end.units = chunk.end.units.wrapping_sub(given);
            chunk.end.runs = chunk.end.runs.wrapping_sub(u64::from(given == run.units));
        }
        match rest {
            Some(rest) => closed.chunks[i] = rest,
            None => drop(closed.chunks.remove(i)),
        }
        if closed.chunks.is_empty() {
            self.closed = None;
        }
        self.total -= given;
        given
    }

    /// Heap blocks, and the bytes in them.
    pub(super) fn heap(&self) -> (usize, usize) {
        let Some(closed) = &self.closed else {
            return (0, 0);
        };
        let chunks = &closed.chunks;
        let (mut blocks, mut bytes) = (1, size_of::<Closed>());
        if chunks.spilled() {
            blocks += 1;
            bytes += chunks.capacity() * size_of::<Chunk>();
        }
        for runs in chunks.iter().map(|c| &c.bytes).filter(|b| b.spilled()) {
            blocks += 1;
            bytes += runs.capacity();
        }
        (blocks, bytes)
    }
}
