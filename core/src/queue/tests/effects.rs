//! Effects as the other tests need them: any there could be, and those that cannot have happened.

use super::fixture::{exercise, fixture};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashSet;

fn place(since: u64, tie: u64) -> Option<Place> {
    let since = Time(since);
    Some(Place { since, tie })
}

/// An item that arrives by MOVE.
fn move_in(
    due: u64,
    delayed: bool,
    excluded: &[(&'static str, bool)],
    token: u64,
) -> Effect<'static> {
    let excluded = excluded.iter().map(|&(name, skip)| Excluded {
        moderator: Bytes::new(name.as_bytes()),
        skip,
    });
    Effect::MoveIn(Box::new(MoveIn {
        id: b"new",
        payload: b"new",
        priority: 0,
        boost: 0,
        submitted: Time(1000),
        due: (due > 0).then_some(Time(due)),
        delayed,
        rev: Rev(1),
        reports: 1,
        deliveries: 0,
        tags: Vec::new(),
        excluded: excluded.collect(),
        last_token: Token(token),
        review: None,
    }))
}

fn join(place: Option<Place>, ttl: u64) -> Effect<'static> {
    Effect::Join {
        moderator: b"new",
        place,
        ttl: Millis(ttl),
        expires: Time(5000),
        count: 1,
        tags: Vec::new(),
    }
}

fn lock(token: u64) -> Effect<'static> {
    Effect::Lock {
        id: b"b",
        moderator: b"new",
        token: Token(token),
        deadline: Time(5000),
        assign: false,
    }
}

fn configure(lock: u64, aging: u64) -> Effect<'static> {
    let settings = Settings {
        lock: Millis(lock),
        aging,
        ..Settings::default()
    };
    Effect::Configure { settings }
}

/// Each of these was once taken, and made a later command fail or the queue impossible to load.
#[test]
fn effects_that_cannot_have_happened_are_refused() {
    let undo = |place| Effect::Undo { id: b"e", place };
    let twice = [("x", true), ("x", false)];
    let cases = [
        (move_in(5000, true, &[("x", false)], 5), true),
        (move_in(0, true, &[], 5), false),
        (move_in(0, false, &[], 5), true),
        (move_in(0, false, &twice, 5), false),
        (move_in(0, false, &[], (1 << 53) - 1), true),
        (move_in(0, false, &[], 1 << 53), false),
        (join(place(1400, 9), 1 << 40), true),
        (join(place(1400, 9), (1 << 40) + 1), false),
        (join(place(1 << 48, 9), 5), false),
        (join(place(1400, u64::MAX), 5), false),
        (join(place(1400, 1 << 53), 5), false),
        (lock(2_000_000), true),
        (lock(1), false),
        (lock((1 << 53) - 1), true),
        (lock(1 << 53), false),
        (undo(None), true),
        (undo(place(1, 1)), true),
        (undo(place(1 << 48, 1)), false),
        (undo(place(1, u64::MAX)), false),
        (configure(1 << 40, 0), true),
        (configure((1 << 40) + 1, 0), false),
    ];
    for (effect, taken) in cases {
        let mut queue = copy(&fixture());
        let before = canon(&queue);
        let applied = queue.apply(Time(1400), &effect);
        assert_eq!(applied.is_ok(), taken, "{effect:?}");
        if !taken {
            assert_eq!(canon(&queue), before, "{effect:?}");
        }
        exercise(queue);
    }
    for (aging, taken) in [(MAX_AGING, true), (MAX_AGING + 1, false)] {
        let mut empty = Queue::default();
        let applied = empty.apply(Time(1400), &configure(1, aging));
        assert_eq!(applied.is_ok(), taken);
    }
}

// ---- any effect ----

const NAMES: [&[u8]; 5] = [b"i0", b"i1", b"m0", b"m1", b""];

fn name(i: usize) -> &'static Bytes {
    Bytes::new(NAMES[i])
}

pub(super) fn extremes() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..3,
        1300u64..1500,
        Just(1303321),
        Just(1 << 40),
        Just((1 << 48) - 1),
        Just(1 << 52),
        Just((1 << 53) - 2),
        Just((1 << 53) - 1),
        Just(1 << 53),
        Just(u64::MAX - 1),
        Just(u64::MAX),
    ]
}

fn times() -> impl Strategy<Value = Time> {
    extremes().prop_map(Time)
}

/// None where the bytes have 0.
fn due_times() -> impl Strategy<Value = Option<Time>> {
    extremes().prop_map(|ms| (ms > 0).then_some(Time(ms)))
}

fn some_name() -> impl Strategy<Value = &'static [u8]> {
    const ALL: [&[u8]; 14] = [
        b"a", b"b", b"c", b"d", b"e", b"i0", b"i1", b"m0", b"m1", b"m3", b"j1", b"j2", b"none", b"",
    ];
    (0..ALL.len()).prop_map(|i| ALL[i])
}

fn some_names() -> impl Strategy<Value = Vec<&'static Bytes>> {
    vec((0..NAMES.len()).prop_map(name), 0..4)
}

fn places() -> impl Strategy<Value = Option<Place>> {
    prop_oneof![
        2 => Just(None),
        2 => Just(place(1303, 0)),
        2 => Just(place(1303, 1)),
        3 => (extremes(), extremes()).prop_map(|(since, tie)| place(since, tie)),
    ]
}

fn boosts() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -9i64..9,
        1 => Just(1i64 << 40),
        1 => Just((1i64 << 40) + 1),
        1 => Just(i64::MAX),
        1 => Just(i64::MIN),
    ]
}

fn priorities() -> impl Strategy<Value = i32> {
    prop_oneof![4 => -3i32..3, 1 => Just(i32::MIN), 1 => Just(i32::MAX)]
}

fn quorums() -> impl Strategy<Value = Quorum> {
    prop_oneof![8 => 1u8..4, 1 => any::<u8>()]
        .prop_flat_map(|n| (prop_oneof![8 => 1..=n.max(1), 1 => any::<u8>()], Just(n)))
        .prop_map(|(k, n)| Quorum { k, n })
}

fn groups() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![Just(&b""[..]), Just(&b"g"[..]), Just(&b"h"[..])]
}

fn terms() -> impl Strategy<Value = Terms<'static>> {
    (quorums(), groups(), some_names()).prop_map(|(quorum, group, deciders)| Terms {
        quorum,
        group,
        deciders,
    })
}

fn endings() -> impl Strategy<Value = Ending<'static>> {
    let verdict = prop_oneof![Just(&b""[..]), Just(&b"keep"[..]), Just(&b"remove"[..])];
    let token = prop_oneof![3 => Just(0), 3 => 1u64..20, 1 => extremes()];
    (some_name(), token, verdict).prop_map(|(moderator, token, verdict)| Ending {
        moderator,
        token: Token(token),
        verdict,
    })
}

fn reviews() -> impl Strategy<Value = MovedReview<'static>> {
    let vote = (endings(), times(), any::<bool>());
    let vote = vote.prop_map(|(by, at, split)| MovedVote { by, at, split });
    let tag = prop_oneof![3 => Just(&b""[..]), 1 => Just(&b"senior"[..])];
    let all = (terms(), vec(vote, 0..4), any::<bool>(), tag);
    all.prop_map(|(terms, votes, contested, added_tag)| MovedReview {
        terms,
        votes,
        contested,
        added_tag,
    })
}

fn submits() -> impl Strategy<Value = Effect<'static>> {
    let all = (
        some_name(),
        priorities(),
        boosts(),
        due_times(),
        some_names(),
        some_names(),
        prop::option::of(terms()),
    );
    all.prop_map(
        |(id, priority, boost, due, tags, excluded, terms)| Effect::Submit {
            id,
            payload: b"payload",
            priority,
            boost,
            due,
            tags,
            excluded,
            terms: terms.map(Box::new),
        },
    )
}

/// What concerns verdicts and records.
fn verdicts() -> impl Strategy<Value = Effect<'static>> {
    prop_oneof![
        4 => (some_name(), endings(), any::<bool>())
            .prop_map(|(id, by, split)| Effect::Vote { id, by, split }),
        2 => (some_name(), endings())
            .prop_map(|(id, end)| Effect::Resolve { id, end: Some(end) }),
        1 => some_name().prop_map(|id| Effect::Split { id }),
        1 => some_name().prop_map(|id| Effect::Report { id }),
        1 => some_name().prop_map(|id| Effect::Forget { id }),
        1 => (prop_oneof![4 => 0u64..3, 1 => extremes()], any::<bool>())
            .prop_map(|(count, evicted)| Effect::Drop { count, evicted }),
    ]
}

fn changes() -> impl Strategy<Value = Effect<'static>> {
    let all = (
        some_name(),
        any::<bool>(),
        any::<bool>(),
        prop::option::of(priorities()),
        prop::option::of(boosts()),
        prop::option::of(some_names()),
        prop::option::of(some_names()),
        (
            prop::option::of(quorums()),
            prop::option::of(groups()),
            prop::option::of(any::<u32>()),
        ),
    );
    all.prop_map(
        |(id, replace, payload, priority, boost, tags, excluded, more)| Effect::Change {
            id,
            replace,
            payload: payload.then_some(b"other payload"),
            priority,
            boost,
            tags,
            excluded,
            quorum: more.0,
            group: more.1,
            reports: more.2,
        },
    )
}

fn locks() -> impl Strategy<Value = Effect<'static>> {
    let all = (some_name(), some_name(), extremes(), times(), any::<bool>());
    all.prop_map(|(id, moderator, token, deadline, assign)| Effect::Lock {
        id,
        moderator,
        token: Token(token),
        deadline,
        assign,
    })
}

fn joins() -> impl Strategy<Value = Effect<'static>> {
    let all = (
        some_name(),
        places(),
        extremes(),
        times(),
        extremes(),
        some_names(),
    );
    all.prop_map(
        |(moderator, place, ttl, expires, count, tags)| Effect::Join {
            moderator,
            place,
            ttl: Millis(ttl),
            expires,
            count,
            tags,
        },
    )
}

fn configures() -> impl Strategy<Value = Effect<'static>> {
    let tag = prop_oneof![Just(&b""[..]), Just(&b"senior"[..])];
    let new = (quorums(), tag, extremes(), extremes());
    let all = (
        (extremes(), extremes(), extremes(), extremes(), extremes()),
        prop::option::of(new),
    );
    all.prop_map(|((lock, max_expiries, max_len, capacity, aging), new)| {
        let mut others = Settings::default();
        if let Some((quorum, split_tag, retain, retain_max)) = new {
            others.quorum = quorum;
            others.split_tag = split_tag.into();
            others.retain = Millis(retain);
            others.retain_max = retain_max;
        }
        let settings = Settings {
            lock: Millis(lock),
            max_expiries,
            max_len,
            capacity,
            aging: if aging < 1400 { 0 } else { aging },
            ..others
        };
        Effect::Configure { settings }
    })
}

fn move_ins() -> impl Strategy<Value = Effect<'static>> {
    let excluded = ((0..NAMES.len()).prop_map(name), any::<bool>());
    let all = (
        some_name(),
        (priorities(), boosts(), times(), due_times()),
        any::<bool>(),
        (any::<u32>(), any::<u32>(), any::<u32>()),
        some_names(),
        vec(
            excluded.prop_map(|(moderator, skip)| Excluded { moderator, skip }),
            0..4,
        ),
        extremes(),
        prop::option::of(reviews()),
    );
    all.prop_map(
        |(
            id,
            (priority, boost, submitted, due),
            delayed,
            numbers,
            tags,
            mut excluded,
            token,
            review,
        )| {
            // A record that names one twice does not decode.
            let mut seen = HashSet::new();
            excluded.retain(|e: &Excluded<'_>| seen.insert(e.moderator));
            Effect::MoveIn(Box::new(MoveIn {
                id,
                payload: b"moved",
                priority,
                boost,
                submitted,
                due,
                delayed,
                rev: Rev(numbers.0),
                reports: numbers.1,
                deliveries: numbers.2,
                tags,
                excluded,
                last_token: Token(token),
                review: review.map(Box::new),
            }))
        },
    )
}

/// Any effect that version 1 of the records has.
pub(super) fn old_effects() -> impl Strategy<Value = Effect<'static>> {
    effects().prop_filter("in version 1", |effect| {
        let mut record = Record::default();
        record.push(Time(1), effect);
        record.bytes()[0] == 1
    })
}

/// Any effect, most of them impossible.
pub(super) fn effects() -> impl Strategy<Value = Effect<'static>> {
    prop_oneof![
        3 => submits(),
        1 => (some_name(), priorities(), boosts())
            .prop_map(|(id, priority, boost)| Effect::Bump { id, priority, boost }),
        2 => changes(),
        1 => some_name().prop_map(|id| Effect::Cancel { id }),
        2 => locks(),
        1 => (some_name(), times()).prop_map(|(id, deadline)| Effect::Extend { id, deadline }),
        1 => some_name().prop_map(|id| Effect::Resolve { id, end: None }),
        8 => verdicts(),
        2 => (some_name(), any::<bool>(), due_times())
            .prop_map(|(id, skip, due)| Effect::Release { id, skip, due }),
        2 => (some_name(), any::<bool>()).prop_map(|(id, dead)| Effect::Expire { id, dead }),
        1 => some_name().prop_map(|id| Effect::Due { id }),
        3 => (some_name(), places()).prop_map(|(id, place)| Effect::Undo { id, place }),
        1 => some_name().prop_map(|id| Effect::Revive { id }),
        4 => joins(),
        1 => some_name().prop_map(|moderator| Effect::Served { moderator }),
        1 => some_name().prop_map(|moderator| Effect::Leave { moderator }),
        1 => (any::<bool>(), any::<bool>())
            .prop_map(|(input, output)| Effect::Pause { paused: Paused { input, output } }),
        1 => configures(),
        1 => some_name().prop_map(|id| Effect::MoveOut { id }),
        3 => move_ins(),
    ]
}
