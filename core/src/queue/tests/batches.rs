//! MSUBMIT, MRESOLVE, MEXTEND: a batch is its single requests, one after the other, in one step.

use super::world::*;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// A batch of what one command asks for.
#[derive(Debug, Clone)]
enum BatchOp {
    Submit(Vec<SubmitOp>),
    Resolve(Vec<(&'static str, Aim, Seen)>, Option<&'static str>),
    Extend(Vec<(&'static str, Aim)>, u64),
}

fn batches() -> impl Strategy<Value = BatchOp> {
    prop_oneof![
        vec(submits(), 1..8).prop_map(BatchOp::Submit),
        (vec((pick(ITEMS), aims(), revs()), 1..8), verdicts())
            .prop_map(|(all, verdict)| BatchOp::Resolve(all, verdict)),
        (vec((pick(ITEMS), aims()), 1..8), durations())
            .prop_map(|(all, ms)| BatchOp::Extend(all, ms)),
    ]
}

/// All that came of a command or of several: whatever a client, a replica or a stream sees of it.
fn told(out: &Outcome) -> String {
    let Outcome {
        record,
        events,
        announcements,
        answers,
        notices,
    } = out;
    format!(
        "{:?} {events:?} {announcements:?} {answers:?} {notices:?}",
        record.bytes()
    )
}

/// A queue after a history, which writes events, with nothing left to do.
fn after(steps: &[Step]) -> World {
    let mut world = World::new();
    steps.iter().for_each(|step| world.step(step));
    let queue = &mut world.sides[0].queue;
    let mut out = Outcome::default();
    let settings = Settings {
        events: b"log".to_vec(),
        ..queue.settings().clone()
    };
    queue.configure(world.now, settings, &mut out).unwrap();
    queue.tick(world.now, usize::MAX, &mut out);
    world
}

/// What concerns all of a batch, if one of the replies is that.
fn refusal<T>(singles: &[Result<T, Error>]) -> Option<Error> {
    let errors = singles.iter().filter_map(|reply| reply.as_ref().err());
    let mut all = errors.filter(|e| matches!(e, Error::Paused | Error::Events | Error::TryAgain));
    all.next().copied()
}

/// A batch on one queue, and its requests one by one on a queue that is the same: all that comes of it is the same.
/// Answers how many of the requests did something.
fn check<R: Request + Clone>(worlds: &mut [World; 2], gate: Gate, requests: Vec<R>) -> usize
where
    R::Reply: std::fmt::Debug + PartialEq,
{
    let now = worlds[0].now;
    let [one, other] = worlds.each_mut().map(|world| &mut world.sides[0].queue);
    let before = canon(one);
    let (mut out, mut others) = (Outcome::default(), Outcome::default());
    let batch = one.handle(now, gate, Many(requests.clone()), &mut out);
    let single = |request| other.handle(now, gate, request, &mut others);
    let singles: Vec<_> = requests.into_iter().map(single).collect();
    assert_eq!(told(&out), told(&others));
    assert_eq!(canon(one), canon(other));
    verify(one);
    if let Some(error) = refusal(&singles) {
        assert_eq!(batch, Err(error), "all are refused");
        assert_eq!(canon(one), before);
        assert!(out.record.is_empty());
        return 0;
    }
    let done = singles.iter().filter(|reply| reply.is_ok()).count();
    assert_eq!(batch, Ok(singles));
    done
}

#[test]
fn a_batch_is_its_requests_one_by_one() {
    let mut done = [0; 3];
    let gates = prop_oneof![
        8 => Just(Gate::Open),
        1 => Just(Gate::WrongType),
        1 => Just(Gate::Missing),
    ];
    let all = (steps(40), vec((batches(), gates), 1..4));
    properties::run(300, all, |(steps, batches)| {
        let mut worlds = [after(&steps), after(&steps)];
        // It stays as it was, and shows who holds what.
        let seen = after(&steps);
        let side = &seen.sides[0];
        for (batch, gate) in &batches {
            match batch {
                BatchOp::Submit(all) => {
                    let all = all.iter().map(SubmitOp::request);
                    done[0] += check(&mut worlds, *gate, all.collect());
                }
                BatchOp::Resolve(all, verdict) => {
                    let all = all.iter().map(|(id, aim, rev)| {
                        let (id, token) = side.aim(id, aim);
                        Resolve {
                            id: id.as_bytes(),
                            token: Token(token),
                            rev: side.rev(id, rev),
                            verdict: verdict.map(str::as_bytes),
                            decision: None,
                        }
                    });
                    done[1] += check(&mut worlds, *gate, all.collect());
                }
                BatchOp::Extend(all, ms) => {
                    let all = all.iter().map(|(id, aim)| {
                        let (id, token) = side.aim(id, aim);
                        Extend {
                            id: id.as_bytes(),
                            token: Token(token),
                            span: Millis(*ms),
                        }
                    });
                    done[2] += check(&mut worlds, *gate, all.collect());
                }
            }
        }
        Ok(())
    });
    assert!(done.iter().all(|n| *n >= 50), "{done:?}");
}

#[test]
fn what_concerns_all_is_met_before_any_change() {
    let now = at(1000);
    let submit = |id: &'static str| Submit {
        id: id.as_bytes(),
        ..Submit::default()
    };
    let batch = || Many(["a", "b", "c"].map(submit));
    for (gate, paused, error) in [
        (Gate::WrongType, false, Error::Events),
        (Gate::Missing, false, Error::TryAgain),
        (Gate::Open, true, Error::Paused),
        (Gate::WrongType, true, Error::Paused),
    ] {
        let mut queue = Queue::default();
        let mut out = Outcome::default();
        // The first of them changes nothing, the others would.
        queue.submit(now, submit("a"), &mut out).unwrap();
        queue.pause(now, paused, false, &mut out);
        let (before, mut out) = (canon(&queue), Outcome::default());
        let reply = queue.handle(now, gate, batch(), &mut out);
        assert_eq!(reply, Err(error));
        assert_eq!(canon(&queue), before);
        assert_eq!(told(&out), told(&Outcome::default()));
    }
    let mut queue = Queue::default();
    let mut out = Outcome::default();
    queue.submit(now, submit("b"), &mut out).unwrap();
    out.clear();
    let reply = queue.handle(now, Gate::Open, batch(), &mut out);
    use Submitted::{Exists, Ready};
    assert_eq!(reply, Ok(vec![Ok(Ready), Ok(Exists), Ok(Ready)]));
    let effects = Record::effects(out.record.bytes()).expect("one record");
    assert_eq!(effects.count(), 2);
}

#[test]
fn an_error_of_one_stops_no_other() {
    let now = at(1000);
    let mut queue = Queue::default();
    let mut out = Outcome::default();
    for id in ["a", "b", "c"] {
        let submit = Submit {
            id: id.as_bytes(),
            ..Submit::default()
        };
        queue.submit(now, submit, &mut out).unwrap();
    }
    let mut take = |id: &str| {
        queue
            .assign(now, id.as_bytes(), b"m", None, &mut out)
            .unwrap()
    };
    let (a, c) = (take("a"), take("c"));
    let resolve = |(id, token, rev): (&'static str, u64, u64)| Resolve {
        id: id.as_bytes(),
        token: Token(token),
        rev: Some(rev),
        ..Resolve::default()
    };
    let batch = [
        ("none", 1, 1),
        ("b", 1, 1),
        ("a", a, 2),
        ("c", c, 1),
        ("c", c, 1),
    ]
    .map(resolve);
    let replies = queue
        .handle(now, Gate::Open, Many(batch), &mut out)
        .unwrap();
    let expected = [
        Err(Error::NoItem),
        Err(Error::Stale),
        Err(Error::Changed),
        Ok(Resolved::Ended),
        Err(Error::NoItem),
    ];
    assert_eq!(replies, expected);
    let extend = |(id, token): (&'static str, u64)| Extend {
        id: id.as_bytes(),
        token: Token(token),
        span: Millis(70),
    };
    let batch = [("a", a), ("c", c), ("b", a)].map(extend);
    let replies = queue
        .handle(now, Gate::Open, Many(batch), &mut out)
        .unwrap();
    assert_eq!(
        replies,
        [Ok(Time(1070)), Err(Error::NoItem), Err(Error::Stale)]
    );
}
