//! Only effects change what is replicated: whoever applies the recorded effects has the same, and
//! what the host says of clients that wait changes nothing of it.

use super::backlog::{Clients, command};
use super::model::ModelCall;
use super::properties::run;
use super::world::{MODERATORS, Step, block, steps};
use super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// What the host says of clients that wait, and what a replica never hears of.
#[derive(Debug, Clone)]
enum Transient {
    Block {
        moderator: usize,
        tags: Option<Vec<String>>,
        new_only: bool,
    },
    Unblock(usize),
    UnblockAll,
    /// Whether calls are known up to so many ms from now.
    KnownBefore(Option<u64>),
    MatchEveryone,
}

fn transients() -> impl Strategy<Value = Transient> {
    let tag = prop_oneof![Just("ta"), Just("other"), Just("only here")];
    let blocks = (
        0..MODERATORS.len() + 1,
        option::of(vec(tag.prop_map(String::from), 0..3)),
        any::<bool>(),
    );
    let blocks = blocks.prop_map(|(moderator, tags, new_only)| Transient::Block {
        moderator,
        tags,
        new_only,
    });
    prop_oneof![
        8 => blocks,
        6 => any::<usize>().prop_map(Transient::Unblock),
        1 => Just(Transient::UnblockAll),
        1 => option::of(0u64..10).prop_map(Transient::KnownBefore),
        1 => Just(Transient::KnownBefore(None)),
        1 => Just(Transient::MatchEveryone),
    ]
}

/// Everything a reader sees of what is replicated.
fn seen(q: &Queue, now: Now) -> String {
    let ids: Vec<Vec<u8>> = q.store.items().iter().map(|(_, i)| i.id().into()).collect();
    let views: Vec<_> = ids.iter().map(|id| q.get(id, now.time)).collect();
    let order = q.peek(100, None);
    let counts = [State::Ready, State::Delayed, State::Locked, State::Dead].map(|s| q.len_in(s));
    let rest = (q.stats(), q.settings(), q.paused(), q.last_token());
    format!("{views:?} {order:?} {counts:?} {rest:?}")
}

/// Calls that may wait: number and moderator.
type Calls = Vec<(CallId, &'static str)>;

fn tell(q: &mut Queue, now: Now, what: &Transient, calls: &mut Calls) {
    match what {
        Transient::Block {
            moderator,
            tags,
            new_only,
        } => {
            // One of them is known by nothing else.
            let moderator = MODERATORS.get(*moderator).unwrap_or(&"stranger");
            // Apart from those of `Clients`, which count from 0.
            let id = 1_000_000 + calls.len() as u64;
            calls.push((CallId(id), moderator));
            let call = ModelCall {
                id,
                moderator: (*moderator).into(),
                tags: tags.clone(),
                lock: None,
                new_only: *new_only,
                place: q.end_of_line(now.time),
            };
            block(q, &call);
        }
        Transient::Unblock(n) => {
            if let Some((call, m)) = calls.get(n % calls.len().max(1)) {
                q.unblock(now.time, *call, m.as_bytes());
            }
        }
        Transient::UnblockAll => q.unblock_all(now.time),
        Transient::KnownBefore(ms) => {
            let place = ms.map(|ms| Place {
                since: Time(now.time.0 + ms),
                tie: 0,
            });
            q.line_known_before(place);
        }
        Transient::MatchEveryone => q.line.match_everyone(),
    }
}

#[test]
fn only_effects_change_what_is_replicated() {
    let (mut matched, mut told) = (0, 0);
    let ops = vec((steps(3), vec(transients(), 0..4)), 10..40);
    run(600, ops, |rounds| {
        let (mut q, mut replica) = (Queue::default(), Queue::default());
        let (mut clients, mut calls) = (Clients::default(), Calls::new());
        let mut now = at(1_000_000);
        for (steps, transients) in &rounds {
            for Step { op, .. } in steps {
                now = at(now.time.0 + 2);
                let before = canon(&q);
                let mut out = Outcome::default();
                q.tick(now, 3, &mut out);
                command(&mut q, now, op, &mut clients, &mut out);
                clients.flying.append(&mut out.answers);
                matched += out.announcements.len();
                verify(&q);
                match out.record.is_empty() {
                    true => prop_assert_eq!(canon(&q), before, "{:?} recorded nothing", op),
                    false => replay(&mut replica, out.record.bytes()),
                }
                prop_assert_eq!(canon(&q), canon(&replica), "{:?}", op);
            }
            for what in transients {
                let (before, view) = (canon(&q), seen(&q, now));
                tell(&mut q, now, what, &mut calls);
                verify(&q);
                prop_assert_eq!(canon(&q), before, "{:?}", what);
                prop_assert_eq!(seen(&q, now), view, "{:?}", what);
                told += 1;
            }
        }
        // Nothing is left behind that a replica does not have.
        q.unblock_all(now.time);
        verify(&q);
        let sizes = |q: &Queue| (q.store.tags().sizes(), q.store.moderators().len());
        prop_assert_eq!(sizes(&q), sizes(&replica));
        prop_assert_eq!(canon(&q), canon(&replica));
        Ok(())
    });
    assert!(matched > 500 && told > 5000, "{matched} {told}");
}
