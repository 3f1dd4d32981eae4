//! MOVE: both queues catch up, both are checked, and only then is either changed.

use super::backlog::{Clients, command};
use super::properties::run;
use super::world::{ITEMS, Op, Step, steps};
use super::*;
use proptest::option;
use proptest::prelude::*;

const NOW: u64 = 1_000_000;

fn item(id: &str) -> Submit<'_> {
    Submit {
        id: id.as_bytes(),
        tags: tags(&["needed"]),
        ..Submit::default()
    }
}

fn to_move(id: &str, token: Option<Token>) -> Move<'_> {
    Move {
        id: id.as_bytes(),
        token,
        priority: None,
        ..Move::default()
    }
}

/// Two queues that are told of the same things as two others, but for the MOVE.
struct Pair {
    queues: [Queue; 2],
    without: [Queue; 2],
}

impl Pair {
    /// `build` makes the queues; called twice, it makes the same.
    fn new(build: impl Fn() -> [Queue; 2]) -> Pair {
        Pair {
            queues: build(),
            without: build(),
        }
    }

    /// Moves; and the others only catch up, as each queue does before a MOVE. If it is refused,
    /// they are the same afterwards.
    fn relocate(
        &mut self,
        now: Now,
        request: Move<'_>,
        gates: [Gate; 2],
    ) -> (Result<(), Error>, [Outcome; 2]) {
        let mut outs = [Outcome::default(), Outcome::default()];
        let [from, to] = &mut self.queues;
        let [out, to_out] = &mut outs;
        let side = |queue, gate, out| Side { queue, gate, out };
        let moved = relocate(
            now,
            request,
            side(from, gates[0], out),
            side(to, gates[1], to_out),
        );
        let mut now = now;
        for (i, other) in self.without.iter_mut().enumerate() {
            let mut expected = Outcome::default();
            let before = other.last_token();
            other.advance(now, gates[i], 32, &mut expected);
            if other.last_token() > before {
                // The other queue gives no token that this one has given.
                now.token_floor = Token(other.last_token().0 + 1);
            }
            verify(&self.queues[i]);
            if moved.is_err() {
                assert_eq!(canon(&self.queues[i]), canon(other));
                assert_eq!(self.queues[i].next_due(), other.next_due());
                assert_same(&outs[i], &expected);
            }
        }
        (moved, outs)
    }
}

fn assert_same(got: &Outcome, expected: &Outcome) {
    assert_eq!(got.record.bytes(), expected.record.bytes());
    assert_eq!(got.announcements, expected.announcements);
    assert_eq!(got.answers, expected.answers);
    assert_eq!(got.notices, expected.notices);
    assert_eq!(got.events, expected.events);
}

/// A source with items in several states, and a destination. At `NOW + 10` an item is due in both,
/// and there is somebody who waits for it.
fn busy() -> [Queue; 2] {
    let (mut from, mut to) = (Queue::default(), Queue::default());
    let mut out = Outcome::default();
    for id in ["ready", "locked", "overdue", "there"] {
        from.submit(at(NOW), item(id), &mut out).unwrap();
    }
    for (id, lock) in [("locked", 1000), ("overdue", 10)] {
        from.assign(at(NOW), id.as_bytes(), b"m", Some(lock), &mut out)
            .unwrap();
    }
    to.submit(at(NOW), item("there"), &mut out).unwrap();
    for queue in [&mut from, &mut to] {
        let delayed = Submit {
            delay: Millis(10),
            tags: tags(&["t"]),
            ..item("delayed")
        };
        queue.submit(at(NOW), delayed, &mut out).unwrap();
        let join = Join {
            moderator: b"waits",
            tags: tags(&["t"]),
            ..Join::default()
        };
        queue.join(at(NOW), &join, &mut out).unwrap();
    }
    [from, to]
}

fn token_of(queue: &Queue, id: &str) -> Token {
    let view = queue.get(id.as_bytes(), Time(NOW)).expect("there");
    view.lock.expect("locked").token
}

#[test]
fn a_refused_move_changes_neither_side_but_for_what_was_overdue() {
    let full = || {
        let [from, mut to] = busy();
        let settings = Settings {
            max_len: 2,
            ..Settings::default()
        };
        let mut out = Outcome::default();
        to.configure(at(NOW), settings, &mut out).unwrap();
        [from, to]
    };
    let open = [Gate::Open; 2];
    let [from, _] = busy();
    let (live, over) = (token_of(&from, "locked"), token_of(&from, "overdue"));
    let wrong = Some(Token(live.0 + 1));
    let build: [fn() -> [Queue; 2]; 2] = [busy, full];
    let cases = [
        (0, to_move("none", None), open, Error::NoItem),
        (0, to_move("locked", None), open, Error::Locked),
        (0, to_move("locked", wrong), open, Error::Stale),
        (0, to_move("ready", Some(live)), open, Error::Stale),
        (0, to_move("overdue", Some(over)), open, Error::Stale),
        (0, to_move("there", None), open, Error::Exists),
        (1, to_move("ready", None), open, Error::Full),
        (1, to_move("locked", Some(live)), open, Error::Full),
    ];
    for (which, request, gates, expected) in cases {
        let mut pair = Pair::new(build[which]);
        let (moved, outs) = pair.relocate(at(NOW + 10), request, gates);
        assert_eq!(moved, Err(expected), "{request:?}");
        // Both caught up, and gave a token each.
        let [given, taken] = outs.each_ref().map(|out| out.announcements[0].token);
        assert!(given < taken, "{given:?} {taken:?}");
        assert!(outs.iter().all(|out| out.announcements.len() == 1));
        assert!(pair.queues.iter().all(|q| q.len_in(State::Delayed) == 0));
    }
}

#[test]
fn a_move_needs_the_event_streams_of_both_sides() {
    let gated = |gates: [Gate; 2]| {
        let mut pair = Pair::new(busy);
        let (moved, outs) = pair.relocate(at(NOW + 10), to_move("ready", None), gates);
        // What is overdue waits for its own stream only.
        let caught_up = outs.map(|out| !out.record.is_empty());
        assert_eq!(caught_up, gates.map(|gate| gate != Gate::Missing));
        moved
    };
    let (open, other, missing) = (Gate::Open, Gate::WrongType, Gate::Missing);
    assert_eq!(gated([open, open]), Ok(()), "control");
    assert_eq!(gated([other, open]), Err(Error::Events));
    assert_eq!(gated([open, other]), Err(Error::Events));
    assert_eq!(gated([missing, open]), Err(Error::TryAgain));
    assert_eq!(gated([open, missing]), Err(Error::TryAgain));
    assert_eq!(
        gated([missing, other]),
        Err(Error::TryAgain),
        "source first"
    );
    assert_eq!(gated([other, missing]), Err(Error::Events), "source first");
}

/// Why a move is impossible is told before that its events could not be written.
#[test]
fn other_errors_come_before_those_of_the_streams() {
    let gates = [Gate::Missing, Gate::WrongType];
    for (id, expected) in [("none", Error::NoItem), ("there", Error::Exists)] {
        let mut pair = Pair::new(busy);
        let (moved, _) = pair.relocate(at(NOW), to_move(id, None), gates);
        assert_eq!(moved, Err(expected));
    }
}

#[test]
fn each_side_does_at_most_32_steps_of_what_is_overdue() {
    let build = || {
        [0, 1].map(|side| {
            let mut q = Queue::default();
            for i in 0..40 + side {
                let id = format!("{side}:{i}");
                let submit = Submit {
                    delay: Millis(10),
                    ..item(&id)
                };
                q.submit(at(NOW), submit, &mut Outcome::default()).unwrap();
            }
            q
        })
    };
    let mut pair = Pair::new(build);
    let (moved, _) = pair.relocate(at(NOW + 10), to_move("none", None), [Gate::Open; 2]);
    assert_eq!(moved, Err(Error::NoItem));
    assert_eq!(pair.queues[0].len_in(State::Delayed), 8);
    assert_eq!(pair.queues[1].len_in(State::Delayed), 9);
}

#[test]
fn an_item_whose_lock_is_overdue_moves_without_a_token() {
    let mut pair = Pair::new(busy);
    let (moved, [out, to_out]) =
        pair.relocate(at(NOW + 10), to_move("overdue", None), [Gate::Open; 2]);
    assert_eq!(moved, Ok(()));
    assert_eq!(out.notices[..], [Notice::Expire, Notice::Assign]);
    assert_eq!(to_out.notices[..], [Notice::Assign], "what was due");
    let [from, to] = &pair.queues;
    assert!(from.get(b"overdue", Time(NOW)).is_none());
    let view = to.get(b"overdue", Time(NOW + 10)).expect("there");
    assert_eq!((view.state, view.expiries), (State::Ready, 0));
}

#[test]
fn replicas_of_both_sides_follow_a_move() {
    let mut pair = Pair::new(busy);
    let mut replicas: Vec<Queue> = pair.queues.iter().map(copy).collect();
    let request = Move {
        priority: Some(7),
        ..to_move("ready", None)
    };
    let (moved, outs) = pair.relocate(at(NOW + 10), request, [Gate::Open; 2]);
    assert_eq!(moved, Ok(()));
    for ((queue, replica), out) in pair.queues.iter().zip(&mut replicas).zip(outs) {
        replay(replica, out.record.bytes());
        assert_eq!(canon(queue), canon(replica));
    }
    let view = pair.queues[1].get(b"ready", Time(NOW + 10)).expect("there");
    assert_eq!((view.priority, view.rev), (7, Rev(2)));
}

/// What happened to two queues, whose deferred work lags behind.
fn history(steps: &[Step]) -> ([Queue; 2], Now) {
    let mut queues = [Queue::default(), Queue::default()];
    let mut clients = [Clients::default(), Clients::default()];
    let mut now = at(NOW);
    for (i, step) in steps.iter().enumerate() {
        now = at(now.time.0 + 3 * (i as u64 % 4));
        let q = &mut queues[step.at];
        let mut out = Outcome::default();
        command(q, now, &step.op, &mut clients[step.at], &mut out);
        clients[step.at].flying.append(&mut out.answers);
    }
    (queues, now)
}

fn gates() -> impl Strategy<Value = Gate> {
    prop_oneof![
        4 => Just(Gate::Open),
        1 => Just(Gate::WrongType),
        1 => Just(Gate::Missing),
    ]
}

#[test]
fn a_refused_move_changes_neither_side_whatever_happened_before() {
    let mut seen = BTreeMap::new();
    let cases = (
        steps(60),
        (0..ITEMS.len(), option::of(0u64..3)),
        (gates(), gates()),
        0u64..40,
    );
    run(2000, cases, |(steps, (i, offset), gates, later)| {
        // Nothing moves on the way; SUBMIT and all the others do what they do.
        let no_move = |s: &Step| !matches!(s.op, Op::Move(..));
        let steps: Vec<Step> = steps.into_iter().filter(no_move).collect();
        let mut pair = Pair::new(|| history(&steps).0);
        let now = at(history(&steps).1.time.0 + later);
        let slot = pair.queues[0].store.find(ITEMS[i].as_bytes());
        let lock = slot.and_then(|slot| pair.queues[0].store.lock(slot));
        let live = lock.map_or(1, |lock| lock.token.0);
        let token = offset.map(|by| Token(live + by / 2));
        let (moved, _) = pair.relocate(now, to_move(ITEMS[i], token), [gates.0, gates.1]);
        *seen.entry(format!("{moved:?}")).or_insert(0) += 1;
        Ok(())
    });
    let expected = [
        "Err(Events)",
        "Err(Exists)",
        "Err(Locked)",
        "Err(NoItem)",
        "Err(Stale)",
        "Err(TryAgain)",
        "Ok(())",
    ];
    assert!(seen.keys().eq(&expected), "{seen:?}");
    assert!(seen.values().all(|n| *n >= 20), "{seen:?}");
}
