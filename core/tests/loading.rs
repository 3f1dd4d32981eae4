//! What is loaded takes no more memory than it is worth, whatever it claims, and is held to what
//! commands are held to. This binary runs on an allocator that counts.

use modq_core::codec::{self, Persist, encode};
use modq_core::limiter::{Leases, Limiter, Policies};
use modq_core::queue::{Effect, MAX_EXCLUDE, MAX_ID, MAX_TAG, MAX_TAGS, Queue, Record};
use modq_core::units::Time;
use modq_testkit::counting::{Counting, live, peak};
use serde::Serialize;
use serde_bytes::Bytes;

#[global_allocator]
static ALLOC: Counting = Counting::jemalloc();

/// Memory beside what the bytes and the value take: the first nodes of trees and the like.
const CONSTANT: isize = 64 << 10;

type Names<'a> = Vec<&'a Bytes>;
type Excluded<'a> = Vec<(&'a Bytes, bool)>;

/// The head of a queue that has given a thousand million numbers.
fn head() -> Vec<u8> {
    let settings = (
        1u64,
        0u64,
        0u64,
        0u64,
        false,
        0u64,
        Bytes::new(b"log"),
        0u64,
    );
    let numbers = (5u64, 1u64 << 40, 1u64 << 30);
    let totals = (0u64, 0u64, 0u64, 0u64, 0u64, 0u64);
    let buckets = vec![(1u16, 1u64)];
    let whole = (
        0u32,
        settings,
        (false, false),
        numbers,
        totals,
        &buckets,
        &buckets,
    );
    encode(&whole)
}

/// An item without rare properties as it is stored, but for whether there are some.
fn item(seq: u64, id: &[u8], tags: &[&Bytes]) -> Vec<u8> {
    let content = (seq, Bytes::new(id), Bytes::new(b""), 0i32, 0i64);
    encode(&(content, (5u64, 1u32, 0u32), 0u32, tags))
}

fn item_with(id: &[u8], tags: &[&Bytes], excluded: &[(&Bytes, bool)]) -> Vec<u8> {
    let mut bytes = vec![1, 1];
    bytes.extend(item(1, id, tags));
    let late = None::<u8>;
    bytes.extend(encode(&(Some((0u64, excluded, 1u32, 0u32, false, late)),)));
    bytes
}

fn moderator(name: &[u8], tags: &[&Bytes]) -> Vec<u8> {
    encode(&(Bytes::new(name), None::<u8>, 1u64, 1u64, 1u64, tags))
}

/// What chunks make of a value, with all that comes before them.
fn load<C: Persist>(before: &[Vec<u8>], chunk: &[u8]) -> Option<C> {
    let mut value = C::default();
    for chunk in before {
        value.load(C::VERSION, chunk).expect("what comes before");
    }
    value.load(C::VERSION, chunk).ok()?;
    value.finish().ok()?;
    Some(value)
}

/// Loads bytes; none if they are refused, else the bytes of memory that the result takes.
type Load = fn(&[u8]) -> Option<isize>;

fn grown<T>(make: impl FnOnce() -> Option<T>) -> Option<isize> {
    let before = live();
    let value = make();
    let grown = live() - before;
    value.map(|_| grown)
}

fn queue(bytes: &[u8]) -> Option<isize> {
    grown(|| load::<Queue>(&[head()], bytes))
}

fn empty_queue(bytes: &[u8]) -> Option<isize> {
    grown(|| load::<Queue>(&[], bytes))
}

fn limiter(bytes: &[u8]) -> Option<isize> {
    grown(|| load::<Limiter>(&[], bytes))
}

fn leases(bytes: &[u8]) -> Option<isize> {
    let last_fence = encode(&(0u32, 1u64 << 40));
    grown(|| load::<Leases>(&[last_fence], bytes))
}

fn policies(bytes: &[u8]) -> Option<isize> {
    grown(|| Policies::decode(bytes).ok())
}

/// A record is read effect by effect, as the module does.
fn record(bytes: &[u8]) -> Option<isize> {
    grown(|| Record::effects(bytes).ok().map(Iterator::count))
}

/// One way to make a list of entries.
struct Kind {
    name: &'static str,
    load: Load,
    /// What stands before the length of the list.
    before: Vec<u8>,
    /// What stands after the last entry.
    after: Vec<u8>,
    /// The entry of number i.
    entry: fn(u64) -> Vec<u8>,
}

fn name(i: u64) -> Vec<u8> {
    format!("{i:x}").into_bytes()
}

fn id_row(i: u64) -> Vec<u8> {
    encode(&(
        Bytes::new(&name(i)),
        9u64,
        1u64,
        vec![(0u8, 1000u64, 0u64, 0u64)],
    ))
}

/// A record's beginning: version and time.
fn opened(effect: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(encode(&(9u64, effect)));
    bytes
}

fn move_in() -> Vec<u8> {
    let content = (18u32, Bytes::new(b"i"), Bytes::new(b""), 0i32, 0i64);
    let tags: Names<'_> = Vec::new();
    opened(&(content, (5u64, 0u64, false), (1u32, 1u32, 1u32), tags))
}

/// Every list that can be of any length.
fn kinds() -> Vec<Kind> {
    let kind = |name, load: Load, before: Vec<u8>, after: Vec<u8>, entry| Kind {
        name,
        load,
        before,
        after,
        entry,
    };
    let items = |i| [item(i, &name(i), &[]), vec![0]].concat();
    let excluded = [vec![1, 1], item(1, b"i", &[]), vec![1, 0]].concat();
    let exclusion = |i| encode(&(Bytes::new(&name(i)), true));
    let run = |i| encode(&(u64::from(i > 0), 1u64));
    let lease = |i| encode(&(Bytes::new(&name(i)), 1u64, 9u64, 1u64));
    let policy = |i| {
        let spec = (5u64, 1000u64, 0u8, None::<u64>);
        encode(&(Bytes::new(&name(i)), vec![spec]))
    };
    vec![
        kind("items", queue, vec![1], vec![], items),
        kind("exclusions", queue, excluded, vec![1, 0, 0, 0], exclusion),
        kind("moderators", queue, vec![2], vec![], |i| {
            moderator(&name(i), &[])
        }),
        kind("runs", limiter, encode(&(1u32, 1000u64, 9u64)), vec![], run),
        kind("ids", limiter, vec![5], vec![], id_row),
        kind("leases", leases, vec![1], vec![], lease),
        kind("policies", policies, vec![0], vec![], policy),
        kind("moved exclusions", record, move_in(), vec![1], exclusion),
    ]
}

impl Kind {
    /// A chunk with a list of `len` entries, which are given.
    fn chunk(&self, len: u64, entries: &[u8]) -> Vec<u8> {
        [&self.before, &encode(&len), entries, &self.after].concat()
    }

    fn of(&self, entries: u64) -> Vec<u8> {
        let all: Vec<u8> = (0..entries).flat_map(self.entry).collect();
        self.chunk(entries, &all)
    }
}

/// Loads what is not good, which must not cost much. Answers whether it was taken.
fn cheap(what: &str, load: Load, bytes: &[u8]) -> bool {
    let mut taken = None;
    let most = peak(|| taken = load(bytes));
    let worth = (bytes.len() as isize).max(taken.unwrap_or(0));
    assert!(
        most <= 8 * worth + CONSTANT,
        "{what}: {most} bytes for {worth}"
    );
    taken.is_some()
}

#[test]
fn the_counter_sees_what_a_list_that_is_collected_takes() {
    let zeros = [encode(&1_000_000u64), vec![0; 2_000_000]].concat();
    let collected = peak(|| drop(codec::decode::<Vec<(u64, u64)>>(&zeros)));
    assert!(collected > 8 * zeros.len() as isize, "{collected}");
}

#[test]
fn what_is_good_loads_in_about_the_memory_that_it_takes() {
    for kind in kinds() {
        let chunk = kind.of(20_000);
        let mut taken = None;
        let most = peak(|| taken = (kind.load)(&chunk));
        let taken = taken.unwrap_or_else(|| panic!("{} load", kind.name));
        if kind.name != "moved exclusions" {
            assert!(
                most <= 2 * taken + CONSTANT,
                "{}: {most} for {taken}",
                kind.name
            );
        }
    }
}

#[test]
fn zeros_and_repetitions_cost_no_more_than_their_bytes() {
    for kind in kinds() {
        // Positive control: two entries are fine.
        assert!((kind.load)(&kind.of(2)).is_some(), "{}", kind.name);
        let entry = (kind.entry)(1);
        let times = (2 << 20) / entry.len();
        let repeated = kind.chunk(times as u64, &entry.repeat(times));
        assert!(!cheap(kind.name, kind.load, &repeated), "{}", kind.name);
        for len in [100_000, 160_000, 400_000, 1 << 20, 2 << 20, u64::MAX] {
            let zeros = kind.chunk(len, &vec![0; 2 << 20]);
            assert!(!cheap(kind.name, kind.load, &zeros), "{}", kind.name);
        }
        if kind.name == "runs" {
            // These may be alike.
            assert!(cheap(kind.name, kind.load, &kind.of(1 << 20)));
        }
        for first in 0..=30 {
            let zeros = [vec![first], encode(&150_000u64), vec![0; 2 << 20]].concat();
            // As a record they are effects on nothing, and decode.
            let taken = cheap(kind.name, kind.load, &zeros);
            assert!(!taken || kind.name == "moved exclusions", "{}", kind.name);
        }
    }
}

/// Any byte may be a length.
#[test]
fn claimed_lengths_cost_nothing() {
    let records = [
        opened(&(
            0u32,
            Bytes::new(b"i"),
            Bytes::new(b"p"),
            (1, 1i64, 0u64),
            [1u8, 1, b't'],
            [1u8, 1, b'm'],
        )),
        opened(&(
            16u32,
            (
                1u64,
                0u64,
                0u64,
                0u64,
                false,
                0u64,
                Bytes::new(b"log"),
                0u64,
            ),
        )),
        opened(&(
            12u32,
            (Bytes::new(b"m"), None::<u8>, 1u64, 1u64, 1u64),
            [1u8, 1, b't'],
        )),
    ];
    let tagged = item_with(b"i", &[Bytes::new(b"t")], &[(Bytes::new(b"m"), true)]);
    let mut all: Vec<(Load, Vec<u8>)> = kinds().iter().map(|k| (k.load, k.of(3))).collect();
    all.push((empty_queue, head()));
    all.push((queue, tagged));
    all.push((
        limiter,
        encode(&(2u32, 1000u64, vec![(1u64, 1u64), (2, 1)])),
    ));
    all.extend(records.into_iter().map(|bytes| (record as Load, bytes)));
    let (mut taken, mut refused) = (0, 0);
    for (load, whole) in all {
        for at in 0..whole.len() {
            for with in [
                &[253u8, 255, 255, 255, 255, 255, 255, 255, 255][..],
                &[252, 255, 255, 255, 31],
                &[252, 0, 0, 1, 0],
                &[251, 0, 4],
                &[250],
            ] {
                for behind in [0, 1 << 16] {
                    let mut bytes = whole.clone();
                    bytes.splice(at..=at, with.iter().copied());
                    bytes.resize(bytes.len() + behind, 0);
                    match cheap("a claim", load, &bytes) {
                        true => taken += 1,
                        false => refused += 1,
                    }
                }
            }
        }
    }
    assert!(
        taken > 20 && refused > 500,
        "{taken} taken, {refused} refused"
    );
}

#[test]
fn a_queue_is_held_to_what_commands_are_held_to() {
    let numbered: Vec<Vec<u8>> = (0..2000).map(name).collect();
    let tags = |n| {
        numbered
            .iter()
            .take(n)
            .map(|n| Bytes::new(n))
            .collect::<Names<'_>>()
    };
    let excluded = |n, skip| {
        tags(n)
            .into_iter()
            .map(|m| (m, skip))
            .collect::<Excluded<'_>>()
    };
    let long = |n| vec![b'x'; n];
    let with_tags = |tags: &[&Bytes]| item_with(b"i", tags, &[]);
    let registered = |tags: &[&Bytes]| [vec![2, 1], moderator(b"m", tags)].concat();
    let (most, over) = (long(MAX_TAG), long(MAX_TAG + 1));
    let cases = [
        (with_tags(&tags(MAX_TAGS)), true),
        (with_tags(&tags(MAX_TAGS + 1)), false),
        (with_tags(&[Bytes::new(&most)]), true),
        (with_tags(&[Bytes::new(&over)]), false),
        (with_tags(&[Bytes::new(b"")]), false),
        (registered(&tags(MAX_TAGS)), true),
        (registered(&tags(MAX_TAGS + 1)), false),
        (registered(&[Bytes::new(&most)]), true),
        (registered(&[Bytes::new(&over)]), false),
        (registered(&[Bytes::new(b"")]), false),
        (item_with(b"i", &[], &excluded(MAX_EXCLUDE, false)), true),
        (
            item_with(b"i", &[], &excluded(MAX_EXCLUDE + 1, false)),
            false,
        ),
        (item_with(b"i", &[], &excluded(2000, true)), true),
        (item_with(b"i", &[], &[(Bytes::new(b"m"), true); 2]), false),
        (item_with(&long(MAX_ID), &[], &[]), true),
        (item_with(&long(MAX_ID + 1), &[], &[]), false),
        (item_with(b"", &[], &[]), false),
    ];
    for (i, (chunk, taken)) in cases.iter().enumerate() {
        assert_eq!(queue(chunk).is_some(), *taken, "case {i}");
    }
}

/// What a record brings can always be loaded again.
#[test]
fn effects_beyond_the_bounds_of_commands_are_refused() {
    let numbered: Vec<Vec<u8>> = (0..2000).map(name).collect();
    let names = |n| {
        numbered
            .iter()
            .take(n)
            .map(|n| Bytes::new(n))
            .collect::<Names<'_>>()
    };
    let (most, over) = (vec![b'x'; MAX_TAG], vec![b'x'; MAX_TAG + 1]);
    let submit = |tags: Names<'_>, excluded: Names<'_>| {
        let mut record = Record::default();
        let effect = Effect::Submit {
            id: b"i",
            payload: b"",
            priority: 0,
            boost: 0,
            due: None,
            tags,
            excluded,
            terms: None,
        };
        record.push(Time(9), &effect);
        let mut queue = Queue::default();
        Record::effects(record.bytes())
            .is_ok_and(|mut effects| effects.all(|(at, effect)| queue.apply(at, &effect).is_ok()))
    };
    assert!(submit(names(MAX_TAGS), names(MAX_EXCLUDE)));
    assert!(submit(vec![Bytes::new(&most)], vec![]));
    assert!(!submit(names(MAX_TAGS + 1), vec![]));
    assert!(!submit(vec![], names(MAX_EXCLUDE + 1)));
    assert!(!submit(vec![Bytes::new(&over)], vec![]));
    assert!(!submit(vec![Bytes::new(b"")], vec![]));
}
