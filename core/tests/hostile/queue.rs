//! Values and records of queues.

use super::{begin, canon, for_sample, from_empty, join, load, reloaded, save, split};
use modq_core::queue::*;
use modq_core::units::{Millis, Time, Token};
use serde_bytes::Bytes;
use std::collections::BTreeSet;
use std::hint::black_box;

/// When the exercises begin, ms since 1970.
const START: u64 = 1_800_000_000_000;

/// Most items and moderators that are exercised one by one.
const MOST_NAMES: usize = 6;

fn now(time: u64) -> Now {
    Now {
        time: Time(time),
        token_floor: Token(time * 1000),
    }
}

/// A queue and a replica of it, which gets its records.
struct Pair {
    queue: Queue,
    replica: Queue,
    out: Outcome,
}

impl Pair {
    fn new(queue: Queue) -> Pair {
        let replica = reloaded(&queue);
        Pair {
            queue,
            replica,
            out: Outcome::default(),
        }
    }

    fn replicate(&mut self) {
        if !self.out.record.is_empty() {
            let effects = Record::effects(self.out.record.bytes()).expect("it decodes");
            for (at, effect) in effects {
                self.replica
                    .apply(at, &effect)
                    .unwrap_or_else(|_| panic!("it applies: {at:?} {effect:?}"));
            }
        }
        self.out.clear();
    }

    fn run<R: Request>(&mut self, time: u64, request: R) -> Result<R::Reply, Error> {
        let done = self
            .queue
            .handle(now(time), Gate::Open, request, &mut self.out);
        self.replicate();
        done
    }

    /// Lets time act until nothing is due.
    fn pass(&mut self, time: u64) {
        for _ in 0..100 {
            let steps = self
                .queue
                .advance(now(time), Gate::Open, 1000, &mut self.out);
            self.replicate();
            if steps == 0 {
                break;
            }
        }
    }

    fn check(&self) {
        assert_eq!(
            canon(&self.queue),
            canon(&self.replica),
            "the replica is equal"
        );
        reloaded(&self.queue);
    }
}

/// The ids of items in a state, as LIST pages give them.
fn listed(queue: &Queue, state: State, found: &mut BTreeSet<Vec<u8>>) {
    let page = queue.list(state, 0, MOST_NAMES, Time(START));
    found.extend(page.rows.iter().map(|row| row.item.to_vec()));
}

const STATES: [State; 4] = [State::Ready, State::Locked, State::Delayed, State::Dead];

/// Asks everything that can be asked, and changes nothing.
fn look(queue: &Queue, ids: &BTreeSet<Vec<u8>>, moderators: &BTreeSet<Vec<u8>>) {
    let time = Time(START);
    for id in ids {
        assert!(queue.get(id, time).is_some());
        black_box(queue.position(id));
        for moderator in moderators {
            black_box(queue.why(id, moderator, None, time));
        }
    }
    for moderator in moderators {
        black_box(queue.held_page(moderator, time, 10));
        black_box(queue.peek(10, Some((moderator, None))));
    }
    black_box((queue.peek(10, None), queue.waiters(10)));
    black_box((queue.ready_by_tag(10), queue.ready_by_priority().count()));
    black_box((queue.oldest_ready(time), queue.oldest_item(time)));
    black_box((queue.overdue(time), queue.next_due()));
    black_box((queue.memory_bytes(), queue.summary()));
    let counted: usize = STATES.iter().map(|state| queue.len_in(*state)).sum();
    assert_eq!(counted, queue.len());
}

/// Every command that changes one item.
fn change(pair: &mut Pair, id: &[u8], moderator: &[u8]) {
    let time = START + 5;
    let again = Submit {
        id,
        payload: b"again",
        priority: Some(i32::MAX),
        on_duplicate: OnDuplicate::Bump,
        ..Submit::default()
    };
    pair.run(time, again).ok();
    let update = Update {
        id,
        boost: Some(-7),
        tags: Some(vec![Bytes::new(b"t")]),
        ..Update::default()
    };
    pair.run(time, update).ok();
    let assign = Assign {
        id,
        moderator,
        lock: Some(Millis(50)),
        ..Assign::default()
    };
    if let Ok(token) = pair.run(time, assign) {
        let span = Millis(70);
        pair.run(time, Extend { id, token, span })
            .expect("it is locked");
        let delay = Millis(3);
        let skip = true;
        let release = Release {
            id,
            token,
            skip,
            delay,
        };
        pair.run(time, release).expect("it is locked");
    }
    pair.run(
        time,
        Revive {
            ids: &[id],
            ..Revive::default()
        },
    )
    .ok();
}

/// Claims for a moderator, decides on one of the items, and lets the rest expire.
fn work(pair: &mut Pair, moderator: &[u8]) {
    let time = START + 10;
    let join = Join {
        moderator,
        ttl: Some(Millis(1000)),
        count: Some(2),
        tags: None,
    };
    pair.run(time, &join).ok();
    let claim = Claim {
        moderator,
        count: 3,
        lock: None,
        tags: None,
        new_only: false,
        with_group: false,
    };
    let Ok(claimed) = pair.run(time, &claim) else {
        return;
    };
    let views = claimed.iter().map(|item| pair.queue.claimed_view(item));
    let first = views.map(|view| (view.item.to_vec(), view.token)).next();
    if let Some((id, token)) = first {
        let resolve = Resolve {
            id: &id,
            token,
            rev: None,
            decision: None,
            ..Resolve::default()
        };
        pair.run(time, resolve).ok();
    }
    pair.run(
        time,
        Leave {
            moderator,
            release: true,
        },
    )
    .ok();
}

/// Drives a queue through every command, with a replica beside it.
fn exercise(queue: Queue) {
    let mut ids = BTreeSet::new();
    for state in STATES {
        listed(&queue, state, &mut ids);
    }
    let mut moderators: BTreeSet<Vec<u8>> = [b"new".to_vec()].into();
    let waiting = queue.waiters(MOST_NAMES);
    moderators.extend(waiting.iter().map(|waiter| waiter.moderator.to_vec()));
    for id in &ids {
        let view = queue.get(id, Time(START)).expect("it is listed");
        moderators.extend(view.lock.iter().map(|lock| lock.moderator.to_vec()));
        moderators.extend(view.excluded.iter().take(2).map(|name| name.to_vec()));
    }
    look(&queue, &ids, &moderators);
    let mut pair = Pair::new(queue);
    for (id, moderator) in ids.iter().zip(moderators.iter().cycle()) {
        change(&mut pair, id, moderator);
    }
    pair.check();
    pair.run(START + 7, Pause(Sides::All)).ok();
    pair.run(START + 8, Unpause(Sides::All)).ok();
    for moderator in moderators.iter().take(MOST_NAMES) {
        work(&mut pair, moderator);
    }
    pair.pass(START + 100);
    pair.check();
    let configure = Configure {
        capacity: Some(1),
        ..Configure::default()
    };
    pair.run(START + 200, configure).ok();
    pair.run(
        START + 200,
        ReviveAll {
            count: 3,
            ..ReviveAll::default()
        },
    )
    .ok();
    pair.pass(START + (1 << 41));
    pair.check();
    // The clock is set back.
    pair.pass(START - 1000);
    for id in &ids {
        pair.run(
            START + 300,
            Cancel {
                id,
                rev: None,
                ..Cancel::default()
            },
        )
        .ok();
    }
    pair.check();
}

pub(super) fn value(input: &[u8]) -> bool {
    let Some(queue) = load::<Queue>(&split(input)) else {
        return false;
    };
    exercise(queue);
    true
}

/// What records say, of an empty queue or of one of a few items, as the first byte says: refused
/// effects leave no trace.
pub(super) fn record(input: &[u8]) -> bool {
    let Some((mut queue, records)) = begin(input, sample) else {
        return false;
    };
    let mut taken = false;
    for record in records {
        let Ok(effects) = Record::effects(record) else {
            continue;
        };
        for (at, effect) in effects {
            let before = canon(&queue);
            match queue.apply(at, &effect) {
                Ok(()) => taken = true,
                Err(_) => assert_eq!(canon(&queue), before, "a refused effect left a trace"),
            }
        }
    }
    if taken {
        exercise(queue);
    }
    taken
}

/// What is done to make a queue with everything in it, and the records of it.
fn history() -> (Queue, Vec<Vec<u8>>) {
    let mut made = Made::default();
    made.submit();
    made.moderate();
    (made.queue, made.records)
}

#[derive(Default)]
struct Made {
    queue: Queue,
    records: Vec<Vec<u8>>,
}

impl Made {
    fn run<R: Request>(&mut self, ms: u64, request: R) -> R::Reply {
        let mut out = Outcome::default();
        let done = self
            .queue
            .handle(now(START - 1000 + ms), Gate::Open, request, &mut out);
        if !out.record.is_empty() {
            self.records.push(out.record.bytes().to_vec());
        }
        done.unwrap_or_else(|error| panic!("refused: {error:?}"))
    }

    fn submit(&mut self) {
        let configure = Configure {
            lock: Some(Millis(60)),
            max_expiries: Some(1),
            late: Some(Late::Accept),
            aging: Some(1000),
            events: Some(b"log"),
            ..Configure::default()
        };
        self.run(0, configure);
        for (n, id) in ["a", "b", "c", "d", "e", "f"].iter().enumerate() {
            let tags = [Bytes::new(b"de"), Bytes::new(b"video")];
            let excluded = [Bytes::new(b"carl"), Bytes::new(b"mia")];
            let submit = Submit {
                id: id.as_bytes(),
                payload: b"payload",
                priority: Some(n as i32 % 3 - 1),
                boost: Some(5),
                delay: Millis(if n == 5 { 5000 } else { 0 }),
                tags: Some(tags[..n % 3].to_vec()),
                excluded: Some(excluded[..n % 2 * 2].to_vec()),
                on_duplicate: OnDuplicate::Error,
                ..Submit::default()
            };
            self.run(1 + n as u64, submit);
        }
        let bump = Submit {
            id: b"a",
            on_duplicate: OnDuplicate::Bump,
            ..Submit::default()
        };
        self.run(8, bump);
    }

    fn moderate(&mut self) {
        let claim = Claim {
            moderator: b"ann",
            count: 3,
            lock: None,
            tags: Some(vec![Bytes::new(b"de"), Bytes::new(b"video")]),
            new_only: false,
            with_group: false,
        };
        let claimed = self.run(10, &claim);
        let view = |made: &Made, at: usize| {
            let view = made.queue.claimed_view(&claimed[at]);
            (view.item.to_vec(), view.token)
        };
        let (id, token) = view(self, 0);
        let release = Release {
            id: &id,
            token,
            skip: true,
            delay: Millis(0),
        };
        self.run(11, release);
        // One expires and is dead, the other was extended.
        let (id, token) = view(self, 1);
        let span = Millis(1 << 20);
        self.run(
            12,
            Extend {
                id: &id,
                token,
                span,
            },
        );
        let mut out = Outcome::default();
        self.queue
            .advance(now(START - 1000 + 200), Gate::Open, 100, &mut out);
        self.records.push(out.record.bytes().to_vec());
        for (moderator, tags) in [(&b"bob"[..], &[][..]), (b"cy", &[Bytes::new(b"xx")])] {
            let join = Join {
                moderator,
                ttl: Some(Millis(100_000)),
                count: Some(1),
                tags: Some(tags.to_vec()),
            };
            self.run(201, &join);
        }
        self.run(202, Pause(Sides::In));
    }
}

/// A queue that records can be applied to.
fn sample() -> Queue {
    reloaded(&history().0)
}

pub(super) fn values() -> Vec<Vec<u8>> {
    let queue = history().0;
    let of = |entries| join(&save(&queue, entries));
    vec![of(1), of(3), of(100), join(&save(&Queue::default(), 1))]
}

pub(super) fn records() -> Vec<Vec<u8>> {
    let mut seeds = from_empty(&history().1);
    // What fits the queue as it is at the end.
    let mut made = Made {
        queue: sample(),
        records: Vec::new(),
    };
    for (ms, id) in [(300, b"x"), (301, b"y")] {
        made.run(ms, Unpause(Sides::All));
        let submit = Submit {
            id,
            ..Submit::default()
        };
        made.run(ms, submit);
    }
    made.run(
        302,
        Cancel {
            id: b"x",
            rev: None,
            ..Cancel::default()
        },
    );
    let claim = Claim {
        moderator: b"dora",
        count: 2,
        lock: Some(Millis(5)),
        tags: None,
        new_only: true,
        with_group: false,
    };
    made.run(303, &claim);
    made.run(
        400,
        ReviveAll {
            count: 5,
            ..ReviveAll::default()
        },
    );
    made.run(
        400,
        Leave {
            moderator: b"dora",
            release: true,
        },
    );
    seeds.push(for_sample(&made.records));
    seeds
}
