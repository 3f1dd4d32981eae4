//! Records and their versions: what is written begins with one, and what releases up to 0.1.0
//! wrote without one still loads.

use super::effects::{effects, old_effects};
use super::*;
use crate::codec;
use crate::units::When;
use proptest::collection::vec;
use proptest::prelude::*;

const VERSION: u8 = 1;

/// A time like today's.
const T0: u64 = 1_763_690_000_000;

fn record_of(effects: &[(Time, Effect<'_>)]) -> Vec<u8> {
    let mut record = Record::default();
    for (at, effect) in effects {
        record.push(*at, effect);
    }
    record.bytes().to_vec()
}

/// The same without the version, as it was written once.
fn without_version(record: &[u8]) -> Vec<u8> {
    assert_eq!(record[0], VERSION);
    record[1..].to_vec()
}

fn cancel(id: &'static [u8]) -> Effect<'static> {
    Effect::Cancel { id }
}

#[test]
fn a_record_begins_with_its_version_and_an_empty_one_is_empty() {
    let mut record = Record::default();
    assert!(record.is_empty() && record.bytes().is_empty());
    for _ in 0..2 {
        record.push(Time(T0), &cancel(b"a"));
        record.push(Time(T0 + 5), &cancel(b"b"));
        let mut expected = vec![VERSION, 253];
        expected.extend(T0.to_le_bytes());
        expected.extend([3, 1, b'a', 5, 3, 1, b'b']);
        assert!(!record.is_empty());
        assert_eq!(record.bytes(), expected);
        let decoded = Record::decode(record.bytes()).unwrap();
        let both = [(T0, cancel(b"a")), (T0 + 5, cancel(b"b"))];
        assert!(decoded.into_iter().eq(both.map(|(at, e)| (Time(at), e))));
        record.clear();
        assert!(record.is_empty() && record.bytes().is_empty());
    }
}

#[test]
fn a_record_without_a_version_loads_as_it_was_written() {
    // SUBMIT i (payload "p", priority 7, due 0, no tags, none excluded), then CANCEL 2 ms later.
    let mut bytes = vec![253];
    bytes.extend(T0.to_le_bytes());
    bytes.extend([0, 1, b'i', 1, b'p', 14, 0, 0, 0, 0]);
    bytes.extend([2, 3, 1, b'i']);
    let submit = Effect::Submit {
        id: b"i",
        payload: b"p",
        priority: 7,
        boost: 0,
        due: None,
        tags: Vec::new(),
        terms: None,
        excluded: Vec::new(),
    };
    let expected = vec![(Time(T0), submit), (Time(T0 + 2), cancel(b"i"))];
    assert_eq!(Record::decode(&bytes), Ok(expected.clone()));
    // The same effects are the same bytes today, after the version.
    assert_eq!(without_version(&record_of(&expected)), bytes);
}

/// What makes it possible to tell them apart.
#[test]
fn a_time_after_february_1970_begins_with_a_byte_that_is_no_version() {
    for ms in [1 << 32, T0, (1 << 48) - 1, u64::MAX] {
        assert_eq!(codec::encode(&ms)[0], 253, "{ms}");
    }
    assert_ne!(codec::encode(&((1u64 << 32) - 1))[0], 253);
    assert_ne!(VERSION, 253);
}

#[test]
fn an_unknown_version_is_refused_whatever_follows() {
    let record = record_of(&[(Time(T0), cancel(b"i"))]);
    assert!(Record::decode(&record).is_ok(), "control");
    let rest = without_version(&record);
    for version in (0..=255).filter(|v| *v != VERSION) {
        // Version 2 reads the time as what the clock is behind.
        let of_that = [&[version], &rest[..]].concat();
        assert_eq!(Record::decode(&of_that), Err(DecodeError), "{version}");
    }
    // 253 is no version either: it is the first byte of the first time.
    for version in (0..=255).filter(|v| *v != VERSION && *v != 253) {
        let instead = [&[version], &rest[1..]].concat();
        assert_eq!(Record::decode(&instead), Err(DecodeError), "{version}");
    }
}

/// Version 2: by how much the clock is behind the first stamp, then as version 1.
#[test]
fn a_record_of_a_clock_that_was_set_back_says_by_how_much() {
    let mut record = Record::default();
    let now = Time(T0 - 7);
    let when = |at| When { at: Time(at), now };
    let delay = Effect::Delay {
        id: b"a",
        due: Time(3),
    };
    record.push(when(T0), &cancel(b"a"));
    record.push(when(T0 + 5), &delay);
    let mut expected = vec![2, 7, 253];
    expected.extend(T0.to_le_bytes());
    expected.extend([3, 1, b'a', 5, 19, 1, b'a', 3]);
    assert_eq!(record.bytes(), expected);
    let decoded: Vec<_> = Record::effects(record.bytes()).unwrap().collect();
    assert_eq!(decoded, [(when(T0), cancel(b"a")), (when(T0 + 5), delay)]);
    // What version 1 does not have, and a clock that is behind by more than there is time.
    let mut other = expected.clone();
    other[0] = 1;
    assert_eq!(Record::decode(&other), Err(DecodeError));
    let early = [&[2, 7, 6], &expected[11..]].concat();
    assert_eq!(Record::decode(&early), Err(DecodeError));
    let mut in_version_1 = expected[2..].to_vec();
    in_version_1.insert(0, 1);
    assert_eq!(Record::decode(&in_version_1), Err(DecodeError));
}

/// Where a queue was loaded, ends can be too far away although the clock is not behind any stamp.
#[test]
fn a_record_of_a_clock_that_is_not_behind_can_say_what_only_version_2_has() {
    let delay = Effect::Delay {
        id: b"a",
        due: Time(3),
    };
    let (first, second) = ((Time(T0), delay.clone()), (Time(T0 + 5), cancel(b"a")));
    for effects in [[first.clone(), second.clone()], [second, first]] {
        let mut effects = effects.to_vec();
        effects[0].0 = Time(T0);
        let record = record_of(&effects);
        assert_eq!(record[..2], [2, 0]);
        assert_eq!(Record::decode(&record), Ok(effects));
    }
}

#[test]
fn nothing_and_a_version_without_an_effect_are_refused() {
    for bytes in [&[][..], &[VERSION], &[253]] {
        assert_eq!(Record::decode(bytes), Err(DecodeError), "{bytes:?}");
    }
}

#[test]
fn times_that_overflow_are_refused() {
    let mut bytes = vec![VERSION];
    for _ in 0..2 {
        codec::encode_into(&u64::MAX, &mut bytes);
        codec::encode_into(&(3u32, Bytes::new(b"i")), &mut bytes);
    }
    assert_eq!(Record::decode(&bytes), Err(DecodeError));
}

/// The commands of an AOF.
fn commands(mut rest: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut all = Vec::new();
    while !rest.is_empty() {
        let words = number(&mut rest);
        all.push((0..words).map(|_| word(&mut rest)).collect());
    }
    all
}

/// The number in the line that comes next, after its first byte.
fn number(rest: &mut &[u8]) -> usize {
    let end = rest.iter().position(|b| *b == b'\r').expect("a line");
    let number = std::str::from_utf8(&rest[1..end]).expect("text");
    *rest = &rest[end + 2..];
    number.parse().expect("a number")
}

fn word<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let len = number(rest);
    let word = &rest[..len];
    *rest = &rest[len + 2..];
    word
}

/// An AOF of release 0.1.0, which the integration tests load as a whole.
#[test]
fn records_of_an_older_aof_load_and_are_the_same_bytes_today_but_for_the_version() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/v1/effects.aof"
    );
    let aof = std::fs::read(file).expect("the golden file");
    let mut queues = BTreeMap::<&[u8], Queue>::new();
    let mut records = 0;
    for command in commands(&aof) {
        let [b"modq._q", key, record] = command[..] else {
            continue;
        };
        let effects = Record::decode(record).expect("decodes");
        assert_eq!(without_version(&record_of(&effects)), record);
        replay(queues.entry(key).or_default(), record);
        records += 1;
    }
    assert!(records > 600, "{records}");
    assert!(queues.values().any(|queue| queue.len() > 500));
    queues.values().for_each(verify);
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn any_effects_are_read_as_they_were_written(
        effects in vec(effects(), 1..4),
        apart in 0u64..1000,
        behind in prop_oneof![Just(0u64), 1u64..1000],
    ) {
        let mut record = Record::default();
        let effects: Vec<_> = effects
            .into_iter()
            .enumerate()
            .map(|(i, effect)| (Time(T0 + i as u64 * apart), effect))
            .collect();
        for (time, effect) in &effects {
            let when = When { at: *time, now: Time(T0 - behind) };
            record.push(when, effect);
        }
        prop_assert_eq!(Record::decode(record.bytes()), Ok(effects.clone()));
        let mut whole_prefixes = 0;
        for len in 0..record.bytes().len() {
            if let Ok(some) = Record::decode(&record.bytes()[..len]) {
                prop_assert_eq!(&some[..], &effects[..some.len()]);
                whole_prefixes += 1;
            }
        }
        prop_assert_eq!(whole_prefixes, effects.len() - 1);
    }

    #[test]
    fn without_a_version_a_record_is_what_it_is_with_one(
        effects in vec(old_effects(), 1..4),
        apart in 0u64..1000,
    ) {
        let effects: Vec<_> = effects
            .into_iter()
            .enumerate()
            .map(|(i, effect)| (Time(T0 + i as u64 * apart), effect))
            .collect();
        let bytes = record_of(&effects);
        let older = without_version(&bytes);
        prop_assert_eq!(Record::decode(&bytes), Ok(effects.clone()));
        prop_assert_eq!(Record::decode(&older), Ok(effects.clone()));
        // Cut short it is refused, or is its first effects.
        let mut whole_prefixes = 0;
        for len in 0..older.len() {
            if let Ok(some) = Record::decode(&older[..len]) {
                prop_assert_eq!(&some[..], &effects[..some.len()]);
                whole_prefixes += 1;
            }
        }
        prop_assert_eq!(whole_prefixes, effects.len() - 1);
    }
}
