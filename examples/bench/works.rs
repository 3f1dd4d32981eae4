//! What the arms send.

use super::load::{Work, newlines, no_error};
use modq_testkit::Random;
use modq_testkit::wire::{Cursor, push};

/// A number as a name of 16 bytes.
pub(crate) fn name16(n: u64) -> [u8; 16] {
    let mut name = [0; 16];
    for (i, byte) in name.iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(n >> (60 - 4 * i)) as usize & 15];
    }
    name
}

/// Requests in flight on a connection.
pub(crate) const PIPELINE: usize = 32;

/// Commands that are independent of each other, each answered with the same number of lines.
pub(crate) struct Plain<F> {
    each: F,
    lines: usize,
    random: Random,
}

impl<F: FnMut(&mut Random, &mut Vec<u8>)> Plain<F> {
    /// `each` appends one request.
    pub(crate) fn new(lines: usize, each: F) -> Plain<F> {
        Plain {
            each,
            lines,
            random: Random::new(lines as u64),
        }
    }
}

/// `Plain` whose batches are made beforehand and sent again and again, for commands so cheap that making them would keep
/// the client's core busier than the server's.
pub(crate) struct Prebuilt {
    batches: Vec<Box<[u8]>>,
    next: usize,
    lines: usize,
}

impl Prebuilt {
    /// Enough that random keys are nearly all met.
    const BATCHES: usize = 8192;

    pub(crate) fn new(lines: usize, mut each: impl FnMut(&mut Random, &mut Vec<u8>)) -> Prebuilt {
        let mut random = Random::new(lines as u64);
        let mut batch = || {
            let mut out = Vec::new();
            (0..PIPELINE).for_each(|_| each(&mut random, &mut out));
            out.into_boxed_slice()
        };
        Prebuilt {
            batches: (0..Prebuilt::BATCHES).map(|_| batch()).collect(),
            next: 0,
            lines,
        }
    }
}

impl Work for Prebuilt {
    fn batch(&mut self, _conn: usize, out: &mut Vec<u8>) {
        self.next = (self.next + 1) % self.batches.len();
        out.extend_from_slice(&self.batches[self.next]);
    }

    fn answered(&mut self, _conn: usize, data: &[u8]) -> Option<u64> {
        no_error(data);
        (newlines(data) == self.lines * PIPELINE).then_some(PIPELINE as u64)
    }
}

impl<F: FnMut(&mut Random, &mut Vec<u8>)> Work for Plain<F> {
    fn batch(&mut self, _conn: usize, out: &mut Vec<u8>) {
        for _ in 0..PIPELINE {
            (self.each)(&mut self.random, out);
        }
    }

    fn answered(&mut self, _conn: usize, data: &[u8]) -> Option<u64> {
        no_error(data);
        (newlines(data) == self.lines * PIPELINE).then_some(PIPELINE as u64)
    }
}

/// What an item went by when it was taken: its name, or where it stands, and what proves that we hold it.
pub(crate) type Taken = (Vec<u8>, Vec<u8>);

/// A queue as the cycle sees it: an item goes in, comes out to a worker, and is done with.
pub(crate) trait Cycled {
    fn submit(&self, id: &[u8], out: &mut Vec<u8>);
    /// Lines of the answer to `submit`, none where it is a bulk string (two lines).
    fn submit_lines(&self) -> usize;
    fn claim(&self, worker: &[u8], out: &mut Vec<u8>);
    /// Reads the answer to `claim`.
    fn taken(&self, from: &mut Cursor<'_>) -> Option<Taken>;
    fn resolve(&self, taken: &Taken, out: &mut Vec<u8>);
    fn resolve_lines(&self) -> usize;
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Submit,
    Claim,
    Resolve,
}

/// On each connection in turn: 32 items in, 32 claims by as many workers, and 32 items done with.
pub(crate) struct Cycle<Q> {
    queue: Q,
    next: u64,
    conns: Vec<(Stage, Vec<Taken>)>,
}

impl<Q: Cycled> Cycle<Q> {
    pub(crate) fn new(queue: Q, conns: usize) -> Cycle<Q> {
        Cycle {
            queue,
            // Names that no backlog has.
            next: 1 << 40,
            conns: vec![(Stage::Submit, Vec::new()); conns],
        }
    }
}

impl<Q: Cycled> Work for Cycle<Q> {
    fn batch(&mut self, conn: usize, out: &mut Vec<u8>) {
        let (stage, taken) = &self.conns[conn];
        match stage {
            Stage::Submit => (0..PIPELINE).for_each(|_| {
                self.next += 1;
                self.queue.submit(&name16(self.next), out);
            }),
            Stage::Claim => (0..PIPELINE).for_each(|i| {
                let worker = name16((conn * PIPELINE + i) as u64);
                self.queue.claim(&worker, out);
            }),
            Stage::Resolve => taken
                .iter()
                .for_each(|taken| self.queue.resolve(taken, out)),
        }
    }

    fn answered(&mut self, conn: usize, data: &[u8]) -> Option<u64> {
        let (stage, taken) = &mut self.conns[conn];
        let full = |lines| {
            no_error(data);
            (newlines(data) == lines * PIPELINE).then_some(())
        };
        match stage {
            Stage::Submit => {
                full(self.queue.submit_lines())?;
                *stage = Stage::Claim;
                Some(0)
            }
            Stage::Claim => {
                taken.clear();
                let mut from = Cursor::new(data);
                for _ in 0..PIPELINE {
                    taken.push(self.queue.taken(&mut from)?);
                }
                *stage = Stage::Resolve;
                Some(0)
            }
            Stage::Resolve => {
                full(self.queue.resolve_lines())?;
                *stage = Stage::Submit;
                Some(PIPELINE as u64)
            }
        }
    }
}

/// The bytes under review.
pub(crate) const PAYLOAD: [u8; 200] = [b'p'; 200];

/// A MODQ queue.
pub(crate) struct Modq(pub(crate) &'static [u8]);

impl Modq {
    /// Reads the claim of one item, or nothing: a queue that has run dry is a mistake of the bench.
    pub(crate) fn claimed(from: &mut Cursor<'_>) -> Option<Taken> {
        assert_eq!(from.line()?, b"*1", "an empty-handed CLAIM");
        from.line()?;
        let id = from.bulk()?.to_vec();
        from.bulk()?;
        let token = from.digits()?.to_vec();
        from.lines(5)?;
        Some((id, token))
    }
}

impl Cycled for Modq {
    fn submit(&self, id: &[u8], out: &mut Vec<u8>) {
        push(out, &[b"MODQ.SUBMIT", self.0, id, &PAYLOAD]);
    }

    fn submit_lines(&self) -> usize {
        1
    }

    fn claim(&self, worker: &[u8], out: &mut Vec<u8>) {
        push(
            out,
            &[b"MODQ.CLAIM", self.0, worker, b"COUNT", b"1", b"NEW"],
        );
    }

    fn taken(&self, from: &mut Cursor<'_>) -> Option<Taken> {
        Modq::claimed(from)
    }

    fn resolve(&self, taken: &Taken, out: &mut Vec<u8>) {
        push(out, &[b"MODQ.RESOLVE", self.0, &taken.0, &taken.1]);
    }

    fn resolve_lines(&self) -> usize {
        1
    }
}

/// A MODQ queue whose items have priorities 0 to 3, by their names.
pub(crate) struct Prioritized(pub(crate) Modq);

impl Cycled for Prioritized {
    fn submit(&self, id: &[u8], out: &mut Vec<u8>) {
        let sum = id.iter().fold(0u8, |sum, byte| sum.wrapping_mul(31) ^ byte);
        let priority = [b'0' + (sum >> 3) % 4];
        let key = self.0.0;
        push(
            out,
            &[b"MODQ.SUBMIT", key, id, &PAYLOAD, b"PRIORITY", &priority],
        );
    }

    fn submit_lines(&self) -> usize {
        self.0.submit_lines()
    }

    fn claim(&self, worker: &[u8], out: &mut Vec<u8>) {
        self.0.claim(worker, out);
    }

    fn taken(&self, from: &mut Cursor<'_>) -> Option<Taken> {
        self.0.taken(from)
    }

    fn resolve(&self, taken: &Taken, out: &mut Vec<u8>) {
        self.0.resolve(taken, out);
    }

    fn resolve_lines(&self) -> usize {
        self.0.resolve_lines()
    }
}

/// A stream with a consumer group named `g`.
pub(crate) struct Stream(pub(crate) &'static [u8]);

impl Cycled for Stream {
    fn submit(&self, id: &[u8], out: &mut Vec<u8>) {
        push(
            out,
            &[b"XADD", self.0, b"*", b"id", id, b"payload", &PAYLOAD],
        );
    }

    fn submit_lines(&self) -> usize {
        2
    }

    fn claim(&self, worker: &[u8], out: &mut Vec<u8>) {
        let key = self.0;
        push(
            out,
            &[
                b"XREADGROUP",
                b"GROUP",
                b"g",
                worker,
                b"COUNT",
                b"1",
                b"STREAMS",
                key,
                b">",
            ],
        );
    }

    fn taken(&self, from: &mut Cursor<'_>) -> Option<Taken> {
        assert_eq!(from.line()?, b"*1", "an empty-handed XREADGROUP");
        from.line()?;
        from.bulk()?;
        from.lines(2)?;
        let id = from.bulk()?.to_vec();
        from.line()?;
        (0..4).try_for_each(|_| from.bulk().map(drop))?;
        Some((id, Vec::new()))
    }

    fn resolve(&self, taken: &Taken, out: &mut Vec<u8>) {
        push(out, &[b"XACK", self.0, b"g", &taken.0]);
        push(out, &[b"XDEL", self.0, &taken.0]);
    }

    fn resolve_lines(&self) -> usize {
        2
    }
}

/// The usual queue of three Lua scripts, which these are the hashes of: ready and locked items in sorted sets, the rest
/// in hashes.
pub(crate) struct Trio {
    pub(crate) submit: Vec<u8>,
    pub(crate) claim: Vec<u8>,
    pub(crate) resolve: Vec<u8>,
}

impl Trio {
    pub(crate) const SUBMIT: &'static str = "
        if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 0 then return 0 end
        local t = redis.call('TIME')
        local now = t[1] * 1000 + math.floor(t[2] / 1000)
        redis.call('HSET', KEYS[3], ARGV[1], now)
        redis.call('ZADD', KEYS[1], now, ARGV[1])
        return 1";
    pub(crate) const CLAIM: &'static str = "
        local t = redis.call('TIME')
        local now = t[1] * 1000 + math.floor(t[2] / 1000)
        for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 10)) do
            redis.call('ZREM', KEYS[2], id)
            redis.call('HDEL', KEYS[5], id)
            redis.call('ZADD', KEYS[1], redis.call('HGET', KEYS[4], id), id)
        end
        local id = redis.call('ZPOPMIN', KEYS[1])[1]
        if not id then return false end
        local token = redis.call('INCR', KEYS[6])
        local deadline = now + tonumber(ARGV[2])
        redis.call('ZADD', KEYS[2], deadline, id)
        redis.call('HSET', KEYS[5], id, token)
        return {id, redis.call('HGET', KEYS[3], id), token, deadline}";
    pub(crate) const RESOLVE: &'static str = "
        if redis.call('HGET', KEYS[4], ARGV[1]) ~= ARGV[2] then return 0 end
        redis.call('ZREM', KEYS[1], ARGV[1])
        redis.call('HDEL', KEYS[2], ARGV[1])
        redis.call('HDEL', KEYS[3], ARGV[1])
        redis.call('HDEL', KEYS[4], ARGV[1])
        return 1";

    const READY: &'static [u8] = b"trio:ready";
    const LOCKED: &'static [u8] = b"trio:locked";
    const PAYLOADS: &'static [u8] = b"trio:payloads";
    const SUBMITTED: &'static [u8] = b"trio:submitted";
    const TOKENS: &'static [u8] = b"trio:tokens";
    const LAST: &'static [u8] = b"trio:last";
    pub(crate) const KEYS: [&'static [u8]; 6] = [
        Trio::READY,
        Trio::LOCKED,
        Trio::PAYLOADS,
        Trio::SUBMITTED,
        Trio::TOKENS,
        Trio::LAST,
    ];
}

impl Cycled for Trio {
    fn submit(&self, id: &[u8], out: &mut Vec<u8>) {
        push(
            out,
            &[
                b"EVALSHA",
                &self.submit,
                b"3",
                Trio::READY,
                Trio::PAYLOADS,
                Trio::SUBMITTED,
                id,
                &PAYLOAD,
            ],
        );
    }

    fn submit_lines(&self) -> usize {
        1
    }

    fn claim(&self, worker: &[u8], out: &mut Vec<u8>) {
        let [a, b, c, d, e, f] = Trio::KEYS;
        push(
            out,
            &[
                b"EVALSHA",
                &self.claim,
                b"6",
                a,
                b,
                c,
                d,
                e,
                f,
                worker,
                b"300000",
            ],
        );
    }

    fn taken(&self, from: &mut Cursor<'_>) -> Option<Taken> {
        assert_eq!(from.line()?, b"*4", "an empty-handed claim");
        let id = from.bulk()?.to_vec();
        from.bulk()?;
        let token = from.digits()?.to_vec();
        from.line()?;
        Some((id, token))
    }

    fn resolve(&self, taken: &Taken, out: &mut Vec<u8>) {
        let [_, a, b, c, d, _] = Trio::KEYS;
        let (id, token) = taken;
        push(
            out,
            &[b"EVALSHA", &self.resolve, b"4", a, b, c, d, id, token],
        );
    }

    fn resolve_lines(&self) -> usize {
        1
    }
}

/// Takes items and gives them back: 16 RELEASEs of what was claimed before, and 16 CLAIMs.
pub(crate) struct ClaimRelease {
    pub(crate) key: &'static [u8],
    held: Vec<Vec<Taken>>,
    asked: Vec<usize>,
}

impl ClaimRelease {
    pub(crate) fn new(key: &'static [u8], conns: usize) -> ClaimRelease {
        ClaimRelease {
            key,
            held: vec![Vec::new(); conns],
            asked: vec![0; conns],
        }
    }
}

impl Work for ClaimRelease {
    fn batch(&mut self, conn: usize, out: &mut Vec<u8>) {
        for (id, token) in &self.held[conn] {
            push(out, &[b"MODQ.RELEASE", self.key, id, token]);
        }
        self.asked[conn] = self.held[conn].len();
        for i in 0..PIPELINE / 2 {
            let worker = name16((conn * PIPELINE + i) as u64);
            push(
                out,
                &[b"MODQ.CLAIM", self.key, &worker, b"COUNT", b"1", b"NEW"],
            );
        }
    }

    fn answered(&mut self, conn: usize, data: &[u8]) -> Option<u64> {
        let mut from = Cursor::new(data);
        from.lines(self.asked[conn])?;
        let mut held = Vec::with_capacity(PIPELINE / 2);
        for _ in 0..PIPELINE / 2 {
            held.push(Modq::claimed(&mut from)?);
        }
        self.held[conn] = held;
        Some((self.asked[conn] + PIPELINE / 2) as u64)
    }
}
