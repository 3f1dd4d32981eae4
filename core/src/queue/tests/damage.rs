//! Bytes that were damaged or made up: refused without a trace, or a queue that works.

use super::effects::{effects, extremes};
use super::fixture::{exercise, fixture};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

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
            record.push(Time(1400), effect);
        }
        let whole = Record::decode(record.bytes()).expect("control");
        prop_assert!(whole.into_iter().eq(effects.into_iter().map(|e| (Time(1400), e))));
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
            record.push(Time(at), effect);
        }
        apply_or_refuse(record.bytes());
    }

    #[test]
    fn a_record_cut_short_is_refused_or_is_its_first_effects(effects in vec(effects(), 1..4)) {
        let mut record = Record::default();
        for effect in &effects {
            record.push(Time(1400), effect);
        }
        let mut whole_prefixes = 0;
        for len in 0..record.bytes().len() {
            if let Ok(some) = Record::decode(&record.bytes()[..len]) {
                let expected = effects[..some.len()].iter().cloned();
                prop_assert!(some.into_iter().eq(expected.map(|e| (Time(1400), e))));
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

/// A queue with three items, the last token but one, no seq left, and the last places in line.
fn used_up() -> Queue {
    let mut q = Queue::default();
    for id in ["a", "b", "c"] {
        let submit = Submit {
            id: id.as_bytes(),
            ..Submit::default()
        };
        q.submit(at(1), submit, &mut Outcome::default()).unwrap();
    }
    q.store.set_numbers(Token((1 << 53) - 2), (1 << 48) - 1);
    q.store.stats_mut().submitted = u64::MAX;
    q.store.stats_mut().released = u64::MAX;
    let mut q = copy(&q);
    q.line.set_next_tie((1 << 53) - 2);
    q
}

#[test]
fn numbers_used_up_by_damage_stop_what_needs_them_and_nothing_else() {
    let (mut q, mut out) = (used_up(), Outcome::default());
    let claim = Claim {
        moderator: b"m",
        count: 9,
        lock: None,
        tags: None,
        new_only: false,
        with_group: false,
    };
    let last = q.claim(at(2), &claim, &mut out).unwrap();
    assert_eq!(last.len(), 1, "the last token");
    assert_eq!(q.claim_view(last[0]).unwrap().token.0, (1 << 53) - 1);
    assert_eq!(q.claim(at(2), &claim, &mut out).unwrap().len(), 1, "held");
    let assigned = q.assign(at(2), b"b", b"n", None, &mut out);
    assert_eq!(assigned, Err(Error::TokensExhausted));
    for m in ["n", "o", "p"] {
        let join = Join {
            moderator: m.as_bytes(),
            ..Join::default()
        };
        assert_eq!(q.join(at(3), &join, &mut out).unwrap(), Joined::Waiting);
    }
    let ties = q.line.iter().map(|(place, _)| place.tie);
    let last = (1 << 53) - 1;
    assert!(ties.eq([last - 1, last, last]), "the last is given again");
    q.pause(at(3), false, true, &mut out);
    q.pause(at(3), false, false, &mut out);
    q.tick(at(3), 100, &mut out);
    let token = (1 << 53) - 1;
    q.release(at(4), b"a", token, false, 0, &mut out).unwrap();
    assert_eq!(q.len_in(State::Ready), 3);
    let submit = Submit {
        id: b"d",
        ..Submit::default()
    };
    assert_eq!(q.submit(at(5), submit, &mut out), Err(Error::Full));
    assert_eq!(q.check_move_in(b"d"), Err(Error::Full));
    assert!(q.cancel(at(5), b"c", None, &mut out).unwrap());
    verify(&q);
    // Its items can go where there are tokens, and take along that there are none.
    let (mut to, mut to_out) = (Queue::default(), Outcome::default());
    let request = Move {
        id: b"b",
        ..Move::default()
    };
    let moved = q.move_to(at(6), &mut to, request, &mut out, &mut to_out);
    assert_eq!(moved, Ok(()));
    assert_eq!(to.len(), 1);
    for queue in [&q, &to] {
        verify(queue);
        assert_eq!(canon(&copy(queue)), canon(queue));
    }
}
