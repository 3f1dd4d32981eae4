//! What is stored and replicated: whole, cut short, damaged, and made up.

use super::world::*;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const NAMES: [&[u8]; 5] = [b"i0", b"i1", b"m0", b"m1", b""];

fn name(i: usize) -> &'static Bytes {
    Bytes::new(NAMES[i])
}

/// A queue with some of everything.
fn fixture() -> Queue {
    let mut q = Queue::default();
    let mut fx = Effects::default();
    let settings = Settings {
        lock: 100,
        max_expiries: 2,
        capacity: 3,
        late_accept: true,
        events: b"log".to_vec(),
        ..Settings::default()
    };
    q.configure(at(1000), settings, &mut fx).unwrap();
    for (i, id) in ["a", "b", "c", "d", "e", "i0", "i1"].iter().enumerate() {
        let submit = Submit {
            id: id.as_bytes(),
            payload: b"some payload",
            priority: Some(i as i32 % 3),
            boost: Some(5 - i as i64),
            delay: if *id == "d" { 5000 } else { 0 },
            tags: Some(names(&["t", "u"][..i % 3])),
            excluded: (i % 2 == 1).then(|| names(&["m0", "x"])),
            ..Submit::default()
        };
        q.submit(at(1000 + i as u64), submit, &mut fx).unwrap();
    }
    // "a" dies, "c" is back after an expiry, "b" is skipped, "e" is locked.
    q.assign(at(1010), b"a", b"m1", None, &mut fx).unwrap();
    q.assign(at(1010), b"c", b"m1", None, &mut fx).unwrap();
    q.advance(at(1110), 100, &mut fx);
    q.assign(at(1111), b"a", b"m1", None, &mut fx).unwrap();
    q.advance(at(1300), 100, &mut fx);
    let token = q.assign(at(1300), b"b", b"m2", None, &mut fx).unwrap();
    q.release(at(1301), b"b", token, true, 0, &mut fx).unwrap();
    q.assign(at(1302), b"e", b"m3", Some(9000), &mut fx)
        .unwrap();
    for (m, tags) in [("j1", &["u"][..]), ("j2", &["v", "w"])] {
        let join = Join {
            moderator: m.as_bytes(),
            ttl: Some(7000),
            count: Some(2),
            tags: Some(names(tags)),
        };
        q.pause(at(1303), false, true, &mut fx);
        q.join(at(1303), &join, &mut fx).unwrap();
    }
    let summary = q.summary();
    assert_eq!(
        (
            summary.ready,
            summary.locked,
            summary.delayed,
            summary.dead,
            summary.waiting
        ),
        (4, 1, 1, 1, 2)
    );
    verify(&q);
    q
}

fn copy(queue: &Queue) -> Queue {
    load(&chunks(queue, 100)).expect("loads")
}

/// Whatever was accepted must go on working: no command panics on it, and it can be saved.
fn exercise(mut q: Queue) {
    verify(&q);
    assert_eq!(canon(&copy(&q)), canon(&q));
    let mut fx = Effects::default();
    q.advance(at(1400), 50, &mut fx);
    q.pause(at(1400), false, false, &mut fx);
    q.advance(at(1400), 50, &mut fx);
    for id in ["i0", "i1", "a", "new"] {
        let submit = Submit {
            id: id.as_bytes(),
            priority: Some(1),
            on_duplicate: OnDuplicate::Bump,
            tags: Some(names(&["t"])),
            ..Submit::default()
        };
        let _ = q.submit(at(1500), submit, &mut fx);
        q.position(id.as_bytes());
        q.get(id.as_bytes(), at(1500));
    }
    q.peek(10, None);
    for m in ["m0", "m1", "j1", "new"] {
        let join = Join {
            moderator: m.as_bytes(),
            ..Join::default()
        };
        q.join(at(1501), &join, &mut fx).unwrap();
        let claim = Claim {
            moderator: m.as_bytes(),
            count: 2,
            lock: None,
            tags: Some(names(&["t", "u"])),
            new_only: m == "m0",
        };
        for slot in q.claim(at(1502), &claim, &mut fx).unwrap() {
            let view = q.claim_view(slot).expect("locked");
            let (id, token) = (view.item.to_vec(), view.token);
            let _ = q.release(at(1503), &id, token, true, 10, &mut fx);
        }
    }
    verify(&q);
    q.advance(at(1 << 41), usize::MAX, &mut fx);
    q.revive_all(at(1 << 41), 1000, &mut fx).unwrap();
    let mut other = Queue::default();
    for id in ["i0", "i1", "new"] {
        if let Ok(out) = q.check_move_out(at(1 << 41), id.as_bytes(), None) {
            let mut to_fx = Effects::default();
            q.move_item(at(1 << 41), out, Some(3), &mut other, &mut fx, &mut to_fx);
        }
    }
    for percent in [50, 99] {
        q.stats.wait.percentile(percent);
        q.stats.handle.percentile(percent);
    }
    q.leave(at(1 << 41), b"m0", true, &mut fx).unwrap();
    verify(&q);
    verify(&other);
    for queue in [&q, &other] {
        assert_eq!(canon(&copy(queue)), canon(queue), "what it became loads");
    }
}

#[test]
fn every_truncation_of_a_chunk_is_refused() {
    let whole = fixture();
    for entries in [1, 3, 100] {
        let chunks = chunks(&whole, entries);
        assert_eq!(canon(&load(&chunks).unwrap()), canon(&whole), "control");
        for (i, chunk) in chunks.iter().enumerate() {
            for len in 0..chunk.len() {
                let mut cut = chunks.clone();
                cut[i].truncate(len);
                assert!(load(&cut).is_err(), "chunk {i} at {len}");
            }
            let mut longer = chunks.clone();
            longer[i].push(0);
            assert!(load(&longer).is_err(), "chunk {i} with a byte more");
        }
    }
}

#[test]
fn chunks_of_another_version_out_of_order_or_twice_are_refused() {
    let whole = chunks(&fixture(), 3);
    let mut queue = Queue::default();
    assert!(queue.load(Queue::VERSION + 1, &whole[0]).is_err());
    assert!(queue.load(Queue::VERSION, &whole[0]).is_ok(), "control");
    let mut headless = whole.clone();
    headless.remove(0);
    assert!(load(&headless).is_err());
    for i in 0..whole.len() {
        let mut twice = whole.clone();
        twice.push(whole[i].clone());
        assert!(load(&twice).is_err(), "chunk {i} twice");
    }
}

#[test]
fn a_chunk_holds_at_most_so_many_entries_and_about_64_kib() {
    let mut queue = Queue::default();
    let mut fx = Effects::default();
    for i in 0..300 {
        let id = format!("i{i}");
        let submit = Submit {
            id: id.as_bytes(),
            payload: &vec![7; 1000],
            ..Submit::default()
        };
        queue.submit(at(1), submit, &mut fx).unwrap();
    }
    assert_eq!(chunks(&queue, 1).len(), 301);
    assert_eq!(chunks(&queue, 50).len(), 1 + 6);
    let by_bytes = chunks(&queue, 1_000_000);
    assert_eq!(by_bytes.len(), 1 + 300_usize.div_ceil(66));
    assert!(by_bytes.iter().all(|c| c.len() < 80_000));
    assert_eq!(canon(&load(&by_bytes).unwrap()), canon(&queue));
}

/// Each of these was once taken, and made a later command fail or the queue impossible to load.
#[test]
fn effects_that_cannot_have_happened_are_refused() {
    let id = Bytes::new(b"new");
    let move_in = |due, delayed, excluded, token| Effect::MoveIn {
        id,
        payload: id,
        priority: 0,
        boost: 0,
        submitted: 1000,
        due,
        delayed,
        rev: 1,
        reports: 1,
        deliveries: 0,
        tags: Vec::new(),
        excluded,
        token,
    };
    let join = |place, ttl| Effect::Join {
        moderator: id,
        place,
        ttl,
        expires: 5000,
        count: 1,
        tags: Vec::new(),
    };
    let lock = |token| Effect::Lock {
        id: Bytes::new(b"b"),
        moderator: id,
        token,
        deadline: 5000,
        assign: false,
    };
    let undo = |place| Effect::Undo {
        id: Bytes::new(b"e"),
        place,
    };
    let configure = |lock, aging| Effect::Configure {
        settings: Settings {
            lock,
            aging,
            ..Settings::default()
        },
    };
    let x = Bytes::new(b"x");
    let cases = [
        (move_in(5000, true, vec![(x, false)], 5), true),
        (move_in(0, true, Vec::new(), 5), false),
        (move_in(0, false, Vec::new(), 5), true),
        (move_in(0, false, vec![(x, true), (x, false)], 5), false),
        (move_in(0, false, Vec::new(), (1 << 53) - 1), true),
        (move_in(0, false, Vec::new(), 1 << 53), false),
        (join(Some((1400, 9)), 1 << 40), true),
        (join(Some((1400, 9)), (1 << 40) + 1), false),
        (join(Some((1 << 48, 9)), 5), false),
        (join(Some((1400, u64::MAX)), 5), false),
        (join(Some((1400, 1 << 53)), 5), false),
        (lock(2_000_000), true),
        (lock(1), false),
        (lock((1 << 53) - 1), true),
        (lock(1 << 53), false),
        (undo(None), true),
        (undo(Some((1, 1))), true),
        (undo(Some((1 << 48, 1))), false),
        (undo(Some((1, u64::MAX))), false),
        (configure(1 << 40, 0), true),
        (configure((1 << 40) + 1, 0), false),
    ];
    for (effect, taken) in cases {
        let mut queue = copy(&fixture());
        let before = canon(&queue);
        assert_eq!(queue.apply(1400, &effect).is_ok(), taken, "{effect:?}");
        if !taken {
            assert_eq!(canon(&queue), before, "{effect:?}");
        }
        exercise(queue);
    }
    for (aging, taken) in [(MAX_AGING, true), (MAX_AGING + 1, false)] {
        let mut empty = Queue::default();
        assert_eq!(empty.apply(1400, &configure(1, aging)).is_ok(), taken);
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn any_reachable_state_survives_in_chunks_of_any_size(steps in steps(60), entries in 1usize..8) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        for side in &world.sides {
            let again = load(&chunks(&side.queue, entries)).expect("loads");
            verify(&again);
            assert_eq!(canon(&again), canon(&side.queue));
        }
    }
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn damaged_chunks_are_refused_or_make_a_working_queue(
        entries in 1usize..9,
        flips in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), damage()), 1..3),
    ) {
        let mut chunks = chunks(&fixture(), entries);
        for (chunk, byte, damage) in flips {
            let chunk = &mut chunks[chunk.index(entries.min(3))];
            let byte = byte.index(chunk.len());
            damage.apply(chunk, byte);
        }
        if let Ok(queue) = load(&chunks) {
            exercise(queue);
        }
    }

    #[test]
    fn damaged_records_are_refused_or_make_a_working_queue(
        effects in vec(effects(), 1..4),
        flips in vec((any::<prop::sample::Index>(), damage()), 1..3),
    ) {
        let mut record = Record::default();
        for effect in &effects {
            record.push(1400, effect);
        }
        let whole = Record::decode(record.bytes()).expect("control");
        prop_assert!(whole.into_iter().eq(effects.into_iter().map(|e| (1400, e))));
        let mut bytes = record.bytes().to_vec();
        for (byte, damage) in flips {
            let byte = byte.index(bytes.len());
            damage.apply(&mut bytes, byte);
        }
        apply_or_refuse(&bytes);
    }

    #[test]
    fn made_up_effects_are_refused_without_a_trace_or_make_a_working_queue(
        effects in vec(effects(), 1..6),
        at in prop_oneof![4 => Just(1400u64), 1 => extremes()],
    ) {
        let mut record = Record::default();
        for effect in &effects {
            record.push(at, effect);
        }
        apply_or_refuse(record.bytes());
    }

    #[test]
    fn a_record_cut_short_is_refused_or_is_its_first_effects(effects in vec(effects(), 1..4)) {
        let mut record = Record::default();
        for effect in &effects {
            record.push(1400, effect);
        }
        let mut whole_prefixes = 0;
        for len in 0..record.bytes().len() {
            if let Ok(some) = Record::decode(&record.bytes()[..len]) {
                let expected = effects[..some.len()].iter().cloned();
                prop_assert!(some.into_iter().eq(expected.map(|e| (1400, e))));
                whole_prefixes += 1;
            }
        }
        prop_assert_eq!(whole_prefixes, effects.len() - 1);
    }
}

fn apply_or_refuse(bytes: &[u8]) {
    let mut queue = copy(&fixture());
    if let Ok(effects) = Record::decode(bytes) {
        for (at, effect) in &effects {
            let before = canon(&queue);
            match queue.apply(*at, effect) {
                Ok(_) => verify(&queue),
                Err(_) => {
                    verify(&queue);
                    assert_eq!(canon(&queue), before, "{effect:?} left a trace");
                }
            }
        }
    }
    exercise(queue);
}

#[derive(Debug, Clone)]
enum Damage {
    Flip(u8),
    Set(u8),
    Insert(u8),
    Remove,
    /// A varint of 2^64 − 1 in place of the byte.
    Huge,
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>, at: usize) {
        match self {
            Damage::Flip(bit) => bytes[at] ^= 1 << bit,
            Damage::Set(byte) => bytes[at] = *byte,
            Damage::Insert(byte) => bytes.insert(at, *byte),
            Damage::Remove if bytes.len() > 1 => {
                bytes.remove(at);
            }
            Damage::Remove => {}
            Damage::Huge => {
                bytes.splice(at..=at, [253, 255, 255, 255, 255, 255, 255, 255, 255]);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        3 => (0u8..8).prop_map(Damage::Flip),
        3 => any::<u8>().prop_map(Damage::Set),
        1 => any::<u8>().prop_map(Damage::Insert),
        1 => Just(Damage::Remove),
        2 => Just(Damage::Huge),
    ]
}

fn extremes() -> impl Strategy<Value = u64> {
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

fn some_name() -> impl Strategy<Value = &'static Bytes> {
    const ALL: [&[u8]; 14] = [
        b"a", b"b", b"c", b"d", b"e", b"i0", b"i1", b"m0", b"m1", b"m3", b"j1", b"j2", b"none", b"",
    ];
    (0..ALL.len()).prop_map(|i| Bytes::new(ALL[i]))
}

fn some_names() -> impl Strategy<Value = Vec<&'static Bytes>> {
    vec((0..NAMES.len()).prop_map(name), 0..4)
}

fn places() -> impl Strategy<Value = Option<(u64, u64)>> {
    prop_oneof![
        2 => Just(None),
        2 => Just(Some((1303, 0))),
        2 => Just(Some((1303, 1))),
        3 => (extremes(), extremes()).prop_map(Some),
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

/// Any effect, most of them impossible.
fn effects() -> impl Strategy<Value = Effect<'static>> {
    let submit = (
        some_name(),
        priorities(),
        boosts(),
        extremes(),
        some_names(),
        some_names(),
    )
        .prop_map(
            |(id, priority, boost, due, tags, excluded)| Effect::Submit {
                id,
                payload: Bytes::new(b"payload"),
                priority,
                boost,
                due,
                tags,
                excluded,
            },
        );
    let change = (
        some_name(),
        any::<bool>(),
        any::<bool>(),
        prop::option::of(priorities()),
        prop::option::of(boosts()),
        prop::option::of(some_names()),
        prop::option::of(some_names()),
    )
        .prop_map(
            |(id, replace, payload, priority, boost, tags, excluded)| Effect::Change {
                id,
                replace,
                payload: payload.then(|| Bytes::new(b"other payload")),
                priority,
                boost,
                tags,
                excluded,
            },
        );
    let lock = (
        some_name(),
        some_name(),
        extremes(),
        extremes(),
        any::<bool>(),
    )
        .prop_map(|(id, moderator, token, deadline, assign)| Effect::Lock {
            id,
            moderator,
            token,
            deadline,
            assign,
        });
    let join = (
        some_name(),
        places(),
        extremes(),
        extremes(),
        extremes(),
        some_names(),
    )
        .prop_map(
            |(moderator, place, ttl, expires, count, tags)| Effect::Join {
                moderator,
                place,
                ttl,
                expires,
                count,
                tags,
            },
        );
    let configure = (extremes(), extremes(), extremes(), extremes(), extremes()).prop_map(
        |(lock, max_expiries, max_len, capacity, aging)| Effect::Configure {
            settings: Settings {
                lock,
                max_expiries,
                max_len,
                capacity,
                aging: if aging < 1400 { 0 } else { aging },
                ..Settings::default()
            },
        },
    );
    let move_in = (
        some_name(),
        (priorities(), boosts(), extremes(), extremes()),
        any::<bool>(),
        (any::<u32>(), any::<u32>(), any::<u32>()),
        some_names(),
        vec(((0..NAMES.len()).prop_map(name), any::<bool>()), 0..4),
        extremes(),
    )
        .prop_map(
            |(id, (priority, boost, submitted, due), delayed, numbers, tags, excluded, token)| {
                Effect::MoveIn {
                    id,
                    payload: Bytes::new(b"moved"),
                    priority,
                    boost,
                    submitted,
                    due,
                    delayed,
                    rev: numbers.0,
                    reports: numbers.1,
                    deliveries: numbers.2,
                    tags,
                    excluded,
                    token,
                }
            },
        );
    prop_oneof![
        3 => submit,
        1 => (some_name(), priorities(), boosts())
            .prop_map(|(id, priority, boost)| Effect::Bump { id, priority, boost }),
        2 => change,
        1 => some_name().prop_map(|id| Effect::Cancel { id }),
        2 => lock,
        1 => (some_name(), extremes()).prop_map(|(id, deadline)| Effect::Extend { id, deadline }),
        1 => some_name().prop_map(|id| Effect::Resolve { id }),
        2 => (some_name(), any::<bool>(), extremes())
            .prop_map(|(id, skip, due)| Effect::Release { id, skip, due }),
        2 => (some_name(), any::<bool>()).prop_map(|(id, dead)| Effect::Expire { id, dead }),
        1 => some_name().prop_map(|id| Effect::Due { id }),
        3 => (some_name(), places()).prop_map(|(id, place)| Effect::Undo { id, place }),
        1 => some_name().prop_map(|id| Effect::Revive { id }),
        4 => join,
        1 => some_name().prop_map(|moderator| Effect::Served { moderator }),
        1 => some_name().prop_map(|moderator| Effect::Leave { moderator }),
        1 => (any::<bool>(), any::<bool>())
            .prop_map(|(input, output)| Effect::Pause { input, output }),
        1 => configure,
        1 => some_name().prop_map(|id| Effect::MoveOut { id }),
        3 => move_in,
    ]
}

#[test]
fn numbers_used_up_by_damage_stop_what_needs_them_and_nothing_else() {
    let mut q = Queue::default();
    let mut fx = Effects::default();
    for id in ["a", "b", "c"] {
        let submit = Submit {
            id: id.as_bytes(),
            ..Submit::default()
        };
        q.submit(at(1), submit, &mut fx).unwrap();
    }
    q.last_token = (1 << 53) - 2;
    q.next_tie = (1 << 53) - 2;
    q.next_seq = (1 << 48) - 1;
    q.stats.submitted = u64::MAX;
    q.stats.released = u64::MAX;
    let mut q = copy(&q);
    let claim = Claim {
        moderator: b"m",
        count: 9,
        lock: None,
        tags: None,
        new_only: false,
    };
    let last: Vec<_> = q
        .claim(at(2), &claim, &mut fx)
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(last.len(), 1, "the last token");
    assert_eq!(q.claim_view(last[0]).unwrap().token, (1 << 53) - 1);
    assert_eq!(q.claim(at(2), &claim, &mut fx).unwrap().len(), 1, "held");
    let assigned = q.assign(at(2), b"b", b"n", None, &mut fx);
    assert_eq!(assigned, Err(Error::Full));
    for m in ["n", "o", "p"] {
        let join = Join {
            moderator: m.as_bytes(),
            ..Join::default()
        };
        assert_eq!(q.join(at(3), &join, &mut fx).unwrap(), Joined::Waiting);
    }
    q.pause(at(3), false, true, &mut fx);
    q.pause(at(3), false, false, &mut fx);
    q.advance(at(3), 100, &mut fx);
    let token = (1 << 53) - 1;
    q.release(at(4), b"a", token, false, 0, &mut fx).unwrap();
    assert_eq!(q.len_in(State::Ready), 3);
    let submit = Submit {
        id: b"d",
        ..Submit::default()
    };
    assert_eq!(q.submit(at(5), submit, &mut fx), Err(Error::Full));
    assert_eq!(q.check_move_in(b"d"), Err(Error::Full));
    assert!(q.cancel(at(5), b"c", None, &mut fx).unwrap());
    verify(&q);
    // Its items can go where there are tokens, and take along that there are none.
    let (mut to, mut to_fx) = (Queue::default(), Effects::default());
    let out = q.check_move_out(at(6), b"b", None).unwrap();
    q.move_item(at(6), out, None, &mut to, &mut fx, &mut to_fx);
    assert_eq!(to.len(), 1);
    for queue in [&q, &to] {
        verify(queue);
        assert_eq!(canon(&copy(queue)), canon(queue));
    }
}
