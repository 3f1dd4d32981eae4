//! The cycle in batches of 100: items go in, come out to a worker, and are done with, a hundred at a time.

use super::load::{Work, newlines, no_error};
use super::throughput::ratio_row;
use super::turns::{Arm, in_turns};
use super::works::{Cycle, Modq, PAYLOAD, Stream, Taken, name16};
use super::{Bench, CONNECTIONS};
use modq_testkit::wire::{Cursor, push};

/// Items in a batch.
const BATCH: usize = 100;
const COUNT: &[u8] = b"100";

/// A queue as the cycle in batches sees it.
trait Batched {
    fn submit(&self, ids: &[[u8; 16]], out: &mut Vec<u8>);
    /// Lines of the answers to `submit`.
    fn submit_lines(&self) -> usize;
    fn claim(&self, worker: &[u8], out: &mut Vec<u8>);
    /// Reads the answer to `claim`.
    fn taken(&self, from: &mut Cursor<'_>) -> Option<Vec<Taken>>;
    fn resolve(&self, taken: &[Taken], out: &mut Vec<u8>);
    /// Lines of the answers to `resolve`.
    fn resolve_lines(&self) -> usize;
}

#[derive(Clone)]
enum Stage {
    Submit,
    Claim,
    Resolve(Vec<Taken>),
}

/// On each connection in turn: a batch in, a claim of as many by one worker, and these done with.
struct InBatches<Q> {
    queue: Q,
    next: u64,
    conns: Vec<Stage>,
}

impl<Q: Batched> InBatches<Q> {
    fn new(queue: Q, conns: usize) -> InBatches<Q> {
        InBatches {
            queue,
            next: 1 << 40,
            conns: vec![Stage::Submit; conns],
        }
    }
}

impl<Q: Batched> Work for InBatches<Q> {
    fn batch(&mut self, conn: usize, out: &mut Vec<u8>) {
        match &self.conns[conn] {
            Stage::Submit => {
                let first = self.next;
                self.next += BATCH as u64;
                let ids: Vec<[u8; 16]> = (first..self.next).map(name16).collect();
                self.queue.submit(&ids, out);
            }
            Stage::Claim => self.queue.claim(&name16(conn as u64), out),
            Stage::Resolve(taken) => self.queue.resolve(taken, out),
        }
    }

    fn answered(&mut self, conn: usize, data: &[u8]) -> Option<u64> {
        let full = |lines| {
            no_error(data);
            (newlines(data) == lines).then_some(())
        };
        let (done, next) = match &self.conns[conn] {
            Stage::Submit => {
                full(self.queue.submit_lines())?;
                (0, Stage::Claim)
            }
            Stage::Claim => {
                let taken = self.queue.taken(&mut Cursor::new(data))?;
                (0, Stage::Resolve(taken))
            }
            Stage::Resolve(_) => {
                full(self.queue.resolve_lines())?;
                (BATCH as u64, Stage::Submit)
            }
        };
        self.conns[conn] = next;
        Some(done)
    }
}

impl Batched for Modq {
    fn submit(&self, ids: &[[u8; 16]], out: &mut Vec<u8>) {
        let mut words: Vec<&[u8]> = vec![b"MODQ.MSUBMIT", self.0, COUNT];
        words.extend(ids.iter().flat_map(|id| [&id[..], &PAYLOAD]));
        push(out, &words);
    }

    fn submit_lines(&self) -> usize {
        1 + BATCH
    }

    fn claim(&self, worker: &[u8], out: &mut Vec<u8>) {
        push(
            out,
            &[b"MODQ.CLAIM", self.0, worker, b"COUNT", COUNT, b"NEW"],
        );
    }

    fn taken(&self, from: &mut Cursor<'_>) -> Option<Vec<Taken>> {
        assert_eq!(from.line()?, b"*100", "a CLAIM of fewer");
        let claim = |_| {
            from.line()?;
            let id = from.bulk()?.to_vec();
            from.bulk()?;
            let token = from.digits()?.to_vec();
            from.lines(5)?;
            Some((id, token))
        };
        (0..BATCH).map(claim).collect()
    }

    fn resolve(&self, taken: &[Taken], out: &mut Vec<u8>) {
        let mut words: Vec<&[u8]> = vec![b"MODQ.MRESOLVE", self.0, COUNT];
        words.extend(taken.iter().flat_map(|(id, token)| [&id[..], token]));
        push(out, &words);
    }

    fn resolve_lines(&self) -> usize {
        1 + BATCH
    }
}

impl Batched for Stream {
    fn submit(&self, ids: &[[u8; 16]], out: &mut Vec<u8>) {
        for id in ids {
            super::works::Cycled::submit(self, id, out);
        }
    }

    fn submit_lines(&self) -> usize {
        2 * BATCH
    }

    fn claim(&self, worker: &[u8], out: &mut Vec<u8>) {
        let (key, group) = (self.0, b"g");
        let head: [&[u8]; 4] = [b"XREADGROUP", b"GROUP", group, worker];
        let tail: [&[u8]; 5] = [b"COUNT", COUNT, b"STREAMS", key, b">"];
        push(out, &[&head[..], &tail].concat());
    }

    fn taken(&self, from: &mut Cursor<'_>) -> Option<Vec<Taken>> {
        assert_eq!(from.line()?, b"*1", "an empty-handed XREADGROUP");
        from.line()?;
        from.bulk()?;
        assert_eq!(from.line()?, b"*100", "an XREADGROUP of fewer");
        let entry = |_| {
            from.line()?;
            let id = from.bulk()?.to_vec();
            from.line()?;
            (0..4).try_for_each(|_| from.bulk().map(drop))?;
            Some((id, Vec::new()))
        };
        (0..BATCH).map(entry).collect()
    }

    fn resolve(&self, taken: &[Taken], out: &mut Vec<u8>) {
        let ids = || taken.iter().map(|(id, _)| &id[..]);
        let mut words: Vec<&[u8]> = vec![b"XACK", self.0, b"g"];
        words.extend(ids());
        push(out, &words);
        let mut words: Vec<&[u8]> = vec![b"XDEL", self.0];
        words.extend(ids());
        push(out, &words);
    }

    fn resolve_lines(&self) -> usize {
        2
    }
}

/// Batches of 100, against the single cycle and against a stream, both by item.
pub(crate) fn batches(bench: &mut Bench, _: &str) {
    bench.client.expect_ok("XGROUP CREATE s g 0 MKSTREAM");
    let mut arms = [
        Arm::new("batches", InBatches::new(Modq(b"b"), CONNECTIONS)),
        Arm::new("single cycle", Cycle::new(Modq(b"q"), CONNECTIONS)),
        Arm::new(
            "Streams in batches",
            InBatches::new(Stream(b"s"), CONNECTIONS),
        ),
    ];
    in_turns(&mut bench.load, &bench.probe, &bench.plan, &mut arms);
    ratio_row(bench, "batches of 100", &arms[0], &arms[1], 3.0);
    ratio_row(bench, "batches of 100", &arms[0], &arms[2], 2.5);
}
