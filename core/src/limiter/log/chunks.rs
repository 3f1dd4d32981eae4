//! The runs of a LOG in compact form: delta-coded, in chunks with running totals in their heads.

use crate::memory::{alloc_size, roomy};
use crate::units::{Millis, Time};
use crate::wire::{self, MAX_NUMBER};
use smallvec::SmallVec;

/// Runs per chunk: few enough to decode in about a microsecond, enough to hide the header.
const CHUNK_RUNS: u16 = 256;

/// Bytes of runs that a chunk holds without a heap.
const INLINE: usize = 24;

/// What was charged in one millisecond.
#[derive(Debug, Clone, Copy)]
pub(in crate::limiter) struct Run {
    pub(in crate::limiter) time: Time,
    /// Units, at least one.
    pub(in crate::limiter) units: u64,
}

/// Counts of everything that ever stood in the log up to some place, wrapping: only differences
/// are used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) units: u64,
    pub(super) runs: u64,
}

impl Count {
    pub(super) const ZERO: Count = Count { units: 0, runs: 0 };

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

/// A header and the runs. For each run there is a number, which is the ms since the run before and
/// as lowest bit whether the units are other than 1, and then the units if they are. What the
/// number of the first live run says of its time is not used: it is at `first`.
#[derive(Debug, Clone)]
struct Chunk {
    /// The time of the first live run.
    first: Time,
    /// The time of the last run.
    last: Time,
    /// The count at the chunk's end.
    end: Count,
    /// The runs, those that have expired included.
    bytes: SmallVec<[u8; INLINE]>,
    /// Where the live runs start.
    offset: u16,
    /// Runs ever written to `bytes`.
    written: u16,
}

/// A run with the place where it starts in the bytes of its chunk.
struct Placed {
    at: usize,
    run: Run,
}

/// Reads the runs of a chunk.
struct Runs<'a> {
    bytes: &'a [u8],
    /// Where the next run starts.
    at: usize,
    /// The time of the run before; of the first run itself, if that is the next.
    time: Time,
    /// Whether the next run is the first.
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
            self.time = self.time + Millis(step >> 1);
        }
        let mut units = 1;
        if step & 1 == 1 {
            let (value, n) = wire::get(&self.bytes[self.at..])?;
            self.at += n;
            units = value;
        }
        Some(Placed {
            at,
            run: Run {
                time: self.time,
                units,
            },
        })
    }
}

/// Bytes that a run takes which comes so long after the one before.
#[inline]
fn run_length(step: Millis, units: u64) -> usize {
    wire::length(step.0 << 1) + if units == 1 { 0 } else { wire::length(units) }
}

impl Chunk {
    /// A chunk without runs, of which the first will be at `first`; `start` is the count before it.
    fn new(first: Time, start: Count) -> Chunk {
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

    /// Whether a later run fits in without an allocation.
    fn has_room(&self, run: Run) -> bool {
        let length = run_length(run.time.since(self.last), run.units);
        self.bytes.capacity() - self.bytes.len() >= length
    }

    fn push(&mut self, Run { time, units }: Run) {
        let step = time.since(self.last).0;
        let mut code = [0; 2 * MAX_NUMBER];
        let mut n = wire::put(&mut code, step << 1 | u64::from(units != 1));
        if units != 1 {
            n += wire::put(&mut code[n..], units);
        }
        let needed = self.bytes.len() + n;
        if needed > self.bytes.capacity() {
            // Anything between two size classes would be rounded up to the larger one.
            self.bytes.reserve_exact(roomy(needed) - self.bytes.len());
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
                .get_or_insert_with(|| Chunk::new(run.time, start))
                .push(run);
        }
        chunk
    }
}

/// The runs of a log but the newest, in chunks.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    /// Without empty ones. The first chunk, with its first bytes, is stored in this structure
    /// itself, so that a small log is read from one place in memory.
    chunks: SmallVec<[Chunk; 1]>,
    /// The count before the oldest live run.
    start: Count,
}

impl Closed {
    /// Without runs.
    pub(super) fn new() -> Closed {
        Closed {
            chunks: SmallVec::new(),
            start: Count::ZERO,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The count before chunk `i`.
    #[inline]
    fn before(&self, i: usize) -> Count {
        match i.checked_sub(1) {
            Some(i) => self.chunks[i].end,
            None => self.start,
        }
    }

    /// All units and runs.
    pub(super) fn count(&self) -> Count {
        self.before(self.chunks.len()).since(self.start)
    }

    /// Every run, oldest first.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        let runs = self.chunks.iter().flat_map(Chunk::runs);
        runs.map(|placed| placed.run)
    }

    /// Units and runs stamped `time` or earlier.
    pub(super) fn up_to(&self, time: Time) -> Count {
        if self.chunks.first().is_none_or(|chunk| chunk.first > time) {
            return Count::ZERO;
        }
        let i = match self.chunks.first() {
            Some(chunk) if chunk.last > time => 0,
            _ => self.chunks.partition_point(|chunk| chunk.last <= time),
        };
        let mut count = self.before(i);
        if let Some(chunk) = self.chunks.get(i) {
            for placed in chunk.runs().take_while(|placed| placed.run.time <= time) {
                count.add(placed.run.units);
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

    /// The run of chunk `i` in which the `nth` unit stands, and the count up to its end.
    fn run_in(&self, i: usize, nth: u64) -> Option<(Placed, Count)> {
        let mut count = self.before(i).since(self.start);
        for placed in self.chunks.get(i)?.runs() {
            count.add(placed.run.units);
            if count.units >= nth {
                return Some((placed, count));
            }
        }
        None
    }

    /// The run in which the `nth` unit (from 1) stands.
    pub(super) fn run_of(&self, nth: u64) -> Option<Run> {
        let (placed, _) = self.run_in(self.chunk_of(nth), nth)?;
        Some(placed.run)
    }

    /// Whether one more run fits in without an allocation.
    pub(super) fn has_room(&self, run: Run) -> bool {
        self.chunks
            .last()
            .is_some_and(|chunk| chunk.written < CHUNK_RUNS && chunk.has_room(run))
    }

    /// Adds a run that is later than all others.
    pub(super) fn push(&mut self, run: Run) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.written < CHUNK_RUNS => chunk.push(run),
            _ => {
                let mut chunk = Chunk::new(run.time, self.before(self.chunks.len()));
                chunk.push(run);
                self.chunks.push(chunk);
            }
        }
    }

    /// Removes the runs stamped `cutoff` or earlier; returns the units in them.
    pub(super) fn remove_up_to(&mut self, cutoff: Time) -> u64 {
        // Chunks that go as a whole are removed together, so that the others move once.
        let gone = match self.chunks.first() {
            Some(chunk) if chunk.last > cutoff => 0,
            _ => self.chunks.partition_point(|chunk| chunk.last <= cutoff),
        };
        let mut start = self.before(gone);
        self.chunks.drain(..gone);
        if let Some(chunk) = self.chunks.first_mut().filter(|c| c.first <= cutoff) {
            for Placed { at, run } in chunk.runs() {
                if run.time > cutoff {
                    // Fits: 255 runs of at most 18 bytes.
                    chunk.offset = at as u16;
                    chunk.first = run.time;
                    break;
                }
                start.add(run.units);
            }
        }
        let removed = start.since(self.start).units;
        self.start = start;
        removed
    }

    /// Removes all but the oldest `keep` units, and of these the run in which the last one stands.
    /// Returns that run, with the units that are kept of it. Nothing is done if there are not so
    /// many units.
    pub(super) fn cut(&mut self, keep: u64) -> Option<Run> {
        let i = self.chunk_of(keep);
        let (Placed { at, run }, count) = self.run_in(i, keep)?;
        self.chunks.truncate(i + 1);
        let kept = self.chunks[i].runs().take_while(|other| other.at < at);
        let rest = Chunk::of(kept.map(|other| other.run), self.before(i));
        match rest {
            Some(rest) => self.chunks[i] = rest,
            None => self.chunks.truncate(i),
        }
        Some(Run {
            time: run.time,
            units: run.units - (count.units - keep),
        })
    }

    /// Takes up to `n` units out of the run at `time`; returns how many.
    pub(super) fn take_at(&mut self, time: Time, n: u64) -> u64 {
        let i = self.chunks.partition_point(|chunk| chunk.last < time);
        let Some(chunk) = self.chunks.get(i) else {
            return 0;
        };
        let mut runs = chunk.runs().map(|placed| placed.run);
        let Some(run) = runs.find(|run| run.time == time) else {
            return 0;
        };
        let taken = n.min(run.units);
        let rest = chunk.runs().map(|Placed { mut run, .. }| {
            if run.time == time {
                run.units -= taken;
            }
            run
        });
        let rest = Chunk::of(rest.filter(|run| run.units > 0), self.before(i));
        // Every later count goes down by as much.
        for chunk in &mut self.chunks[i..] {
            chunk.end.units = chunk.end.units.wrapping_sub(taken);
            chunk.end.runs = chunk.end.runs.wrapping_sub(u64::from(taken == run.units));
        }
        match rest {
            Some(rest) => self.chunks[i] = rest,
            None => drop(self.chunks.remove(i)),
        }
        taken
    }

    /// How many blocks of heap it has beside its own, and the bytes in them.
    pub(super) fn heap(&self) -> (usize, usize) {
        let (mut blocks, mut bytes) = (0, 0);
        if self.chunks.spilled() {
            blocks += 1;
            bytes += alloc_size(self.chunks.capacity() * size_of::<Chunk>());
        }
        for runs in self.chunks.iter().map(|c| &c.bytes).filter(|b| b.spilled()) {
            blocks += 1;
            bytes += alloc_size(runs.capacity());
        }
        (blocks, bytes)
    }
}
