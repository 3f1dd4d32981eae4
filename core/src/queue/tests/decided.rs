//! Records of decided items: I8 over random histories, how they go in bounded steps, and what they are beside
//! the stream.

use super::world::*;
use super::*;
use proptest::prelude::*;

/// Everything a retry of RESOLVE could name: item, token and verdict of each record that can be read.
fn decisions(queue: &Queue, now: Now) -> Vec<(String, Token, Vec<u8>)> {
    let records = ITEMS.iter().filter_map(|id| {
        let record = queue.record(id.as_bytes(), now.time)?;
        Some((id.to_string(), record.token, record.verdict.to_vec()))
    });
    records.collect()
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn i8_a_decision_stands_until_it_is_asked_for_again(steps in steps(80)) {
        let mut world = World::new();
        for step in &steps {
            world.before(step);
            let now = world.now;
            let before = decisions(&world.sides[step.at].queue, now);
            let queue = &world.sides[step.at].queue;
            let was_there: Vec<bool> = ITEMS.map(|id| queue.get(id.as_bytes(), now.time).is_some()).into();
            let payloads: BTreeMap<&str, [u8; 16]> = ITEMS.iter().filter_map(|id| {
                Some((*id, queue.store.record(id.as_bytes(), now.time)?.payload))
            }).collect();
            world.run(step);
            // While a record lives SUBMIT makes its id an item again only by AGAIN, APPEAL or a CHANGED payload.
            let queue = &world.sides[step.at].queue;
            if let Op::Submit(submit) = &step.op {
                let request = submit.request();
                let at = ITEMS.iter().position(|id| *id == submit.id).expect("one of them");
                let came = !was_there[at] && queue.get(request.id, now.time).is_some();
                if let (true, Some(payload)) = (came, payloads.get(submit.id)) {
                    let asked = match request.on_decided {
                        OnDecided::Again | OnDecided::Appeal => true,
                        OnDecided::Changed => *payload != store::hash(request.payload),
                        OnDecided::Keep | OnDecided::Count => false,
                    };
                    prop_assert!(asked, "{}", submit.id);
                }
            }
            for (slot, _) in queue.store.items().iter() {
                // No decider is given its appeal.
                let deciders = queue.store.review(slot).map_or(&[][..], |r| &r.deciders);
                if let Some(lock) = queue.store.lock(slot) {
                    prop_assert!(!deciders.contains(&lock.moderator));
                }
            }
            // A repeated RESOLVE answers as it did and leaves the digest as it was.
            let queue = &mut world.sides[step.at].queue;
            for (id, token, verdict) in &before {
                let still = queue.record(id.as_bytes(), now.time).is_some_and(|r| r.token == *token);
                let slot = queue.store.find(id.as_bytes());
                // A token that another queue gave as well may be that of a vote which came from there.
                let voted = slot.is_some_and(|slot| queue.store.votes(slot).iter().any(|v| v.token == *token));
                if !still || token.0 == 0 || voted {
                    continue;
                }
                let (mut out, digest) = (Outcome::default(), canon(queue));
                let mut again = |verdict: &[u8]| {
                    let resolve = Resolve {
                        id: id.as_bytes(),
                        token: *token,
                        rev: Some(99),
                        verdict: (!verdict.is_empty()).then_some(verdict),
                        decision: None,
                    };
                    queue.resolve_with(now, resolve, &mut out)
                };
                prop_assert_eq!(again(verdict), Ok(Resolved::Ended));
                prop_assert_eq!(again(b"another"), Err(Error::Stale));
                prop_assert!(out.record.is_empty() && out.events.is_empty());
                prop_assert_eq!(canon(queue), digest);
            }
        }
    }
}

/// A queue that remembers `count` decisions, all made at the time 1000.
fn remembering(count: usize, events: bool) -> Queue {
    let mut q = Queue::default();
    let mut out = Outcome::default();
    let settings = Settings {
        retain: Millis(500),
        retain_max: 0,
        events: if events { b"ev".to_vec() } else { Vec::new() },
        ..Settings::default()
    };
    q.configure(at(1000), settings, &mut out).unwrap();
    for i in 0..count {
        out.clear();
        decide(&mut q, at(1000), &i.to_string(), &mut out);
    }
    q
}

fn decide(q: &mut Queue, now: Now, id: &str, out: &mut Outcome) {
    let submit = Submit {
        id: id.as_bytes(),
        on_decided: OnDecided::Again,
        ..Submit::default()
    };
    q.submit(now, submit, out).unwrap();
    let token = q.assign(now, id.as_bytes(), b"m", None, out).unwrap();
    let done = q.resolve(now, id.as_bytes(), token, None, out);
    assert_eq!(done, Ok(Resolved::Ended));
}

fn tick(q: &mut Queue, now: Now, gate: Gate, steps: usize, out: &mut Outcome) -> usize {
    out.clear();
    q.advance(now, gate, steps, out)
}

/// A million records that run out at once go in steps of the work budget, by one effect for each thousand.
#[test]
fn a_million_records_go_in_bounded_steps() {
    const N: usize = 1_000_000;
    let mut q = remembering(N, false);
    assert_eq!(q.next_due(), Some(Due::At(Time(1500))));
    let (mut out, end) = (Outcome::default(), at(1500));
    assert_eq!(tick(&mut q, at(1499), Gate::Open, 1000, &mut out), 0);
    assert_eq!(q.decided(Time(1499)), N);
    // Unreadable at once, whatever is left to do.
    assert_eq!(q.decided(end.time), 0);
    assert!(q.record(b"999999", end.time).is_none());
    let mut left = N;
    while left > 0 {
        let count = left.min(1000);
        assert_eq!(tick(&mut q, end, Gate::Open, 1000, &mut out), count);
        left -= count;
        assert_eq!(q.store.decided().len(), left);
        let effects = Record::decode(out.record.bytes()).expect("decodes");
        let dropped = Effect::Drop {
            count: count as u64,
            evicted: false,
        };
        assert_eq!(effects.len(), 1);
        assert_eq!(effects[0].1, dropped);
        if left == N / 2 {
            // Commands meanwhile do no more of it than of anything else.
            out.clear();
            let cancel = Cancel::default();
            assert_eq!(q.handle(end, Gate::Open, cancel, &mut out), Ok(false));
            left -= 32;
            assert_eq!(q.store.decided().len(), left);
        }
    }
    assert_eq!((q.next_due(), q.store.decided().len()), (None, 0));
    assert_eq!(q.stats().records_evicted, 0);
    verify(&q);
}

/// What a lowered RETAIN or RETAINMAX leaves over goes as what runs out does; only RETAINMAX evicts.
#[test]
fn what_settings_leave_over_goes_in_steps() {
    let mut out = Outcome::default();
    for (retain, retain_max, left, evicted) in [
        (0, 0, 0, 0),
        (500, 7, 7, 93),
        (0, 7, 0, 0),
        (500, 100, 100, 0),
    ] {
        let mut q = remembering(100, false);
        let mut replica = copy(&q);
        let settings = Settings {
            retain: Millis(retain),
            retain_max,
            ..q.settings().clone()
        };
        out.clear();
        q.configure(at(1100), settings, &mut out).unwrap();
        assert_eq!(q.decided(Time(1100)), left, "unreadable at once");
        assert_eq!(q.store.decided().len(), 100);
        replay(&mut replica, out.record.bytes());
        let due = if left < 100 { Time::EPOCH } else { Time(1500) };
        assert_eq!(q.next_due(), Some(Due::At(due)));
        assert_eq!(copy(&q).next_due(), q.next_due(), "also after a load");
        let mut ticks = 0;
        while tick(&mut q, at(1100), Gate::Open, 10, &mut out) > 0 {
            replay(&mut replica, out.record.bytes());
            assert_eq!(canon(&q), canon(&replica));
            ticks += 1;
        }
        assert_eq!(ticks, (100_usize - left).div_ceil(10));
        assert_eq!(q.store.decided().len(), left);
        assert_eq!(q.stats().records_evicted, evicted);
        let due = (left > 0).then_some(Due::At(Time(1500)));
        assert_eq!(q.next_due(), due, "then it rests");
    }
}

/// No event tells it, so it need not wait for the stream; transitions of items do, and come first else.
#[test]
fn records_wait_for_no_stream() {
    let mut q = remembering(20, true);
    let mut out = Outcome::default();
    let submit = Submit {
        id: b"item",
        ..Submit::default()
    };
    q.submit(at(1000), submit, &mut out).unwrap();
    q.assign(at(1000), b"item", b"m", Some(100), &mut out)
        .unwrap();
    for gate in [Gate::Missing, Gate::WrongType, Gate::Open] {
        let mut q = copy(&q);
        let steps = tick(&mut q, at(1500), gate, 10, &mut out);
        assert_eq!(steps, 10);
        let expired = gate != Gate::Missing;
        assert_eq!(q.store.decided().len(), if expired { 11 } else { 10 });
        let events: usize = out.events.iter().map(|batch| batch.events.len()).sum();
        assert_eq!(events, usize::from(expired));
        assert_eq!(
            tick(&mut q, at(1500), gate, 100, &mut out),
            if expired { 11 } else { 10 }
        );
        assert_eq!(tick(&mut q, at(1500), gate, 100, &mut out), 0);
    }
}

/// Without RETAIN a decision is not remembered, and neither is one before it.
#[test]
fn a_decision_without_retain_leaves_no_older_one() {
    let mut q = remembering(50, false);
    let mut out = Outcome::default();
    let off = Settings {
        retain: Millis(0),
        ..q.settings().clone()
    };
    let on = q.settings().clone();
    q.configure(at(1100), off, &mut out).unwrap();
    decide(&mut q, at(1100), "49", &mut out);
    q.configure(at(1100), on, &mut out).unwrap();
    assert!(q.record(b"49", Time(1100)).is_none());
    assert!(q.record(b"48", Time(1100)).is_some());
    verify(&q);
}

/// A damaged payload may name one person twice; whoever is barred is so once.
#[test]
fn deciders_are_distinct_and_the_newest() {
    let mut q = remembering(0, false);
    let mut out = Outcome::default();
    let appeal = |q: &mut Queue, out: &mut Outcome| {
        let submit = Submit {
            id: b"i",
            on_decided: OnDecided::Appeal,
            ..Submit::default()
        };
        q.submit(at(1000), submit, out)
    };
    assert_eq!(appeal(&mut q, &mut out), Err(Error::NoRecord));
    decide(&mut q, at(1000), "i", &mut out);
    for n in 0..100 {
        assert_eq!(appeal(&mut q, &mut out), Ok(Submitted::Ready));
        let view = q.get(b"i", Time(1000)).expect("there");
        let deciders: BTreeSet<&[u8]> = view.deciders.iter().copied().collect();
        assert_eq!(deciders.len(), view.deciders.len());
        assert_eq!(deciders.len(), (n + 1).min(MAX_DECIDERS));
        let who = format!("m{n}");
        let token = q.assign(at(1000), b"i", who.as_bytes(), None, &mut out);
        q.resolve(at(1000), b"i", token.unwrap(), None, &mut out)
            .unwrap();
        assert_eq!(canon(&copy(&q)), canon(&q));
    }
    verify(&q);
}
