//! What hostile bytes are given to. A target either refuses its input, or takes it and then shows that
//! what came of it works: it panics if not. The fuzzer (`core/fuzz`, `make fuzz`) searches for such
//! inputs by coverage; `main.rs` runs damaged seeds and the kept corpora in every test run.

#[path = "boards.rs"]
mod boards;
#[path = "limits.rs"]
mod limits;
#[path = "queue.rs"]
mod queue;

use modq_core::codec::Persist;

/// One way in for bytes from outside.
pub(crate) struct Target {
    /// As the folder of its corpus is called.
    pub(crate) name: &'static str,
    /// Answers whether the bytes were taken.
    pub(crate) run: fn(&[u8]) -> bool,
    /// Inputs that are taken.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "queue_value",
        run: queue::value,
        seeds: queue::values,
    },
    Target {
        name: "queue_record",
        run: queue::record,
        seeds: queue::records,
    },
    Target {
        name: "board_value",
        run: boards::value,
        seeds: boards::values,
    },
    Target {
        name: "board_record",
        run: boards::record,
        seeds: boards::records,
    },
    Target {
        name: "limiter_value",
        run: limits::limiter_value,
        seeds: limits::limiter_values,
    },
    Target {
        name: "limiter_record",
        run: limits::limiter_record,
        seeds: limits::limiter_records,
    },
    Target {
        name: "lease_value",
        run: limits::lease_value,
        seeds: limits::lease_values,
    },
    Target {
        name: "lease_record",
        run: limits::lease_record,
        seeds: limits::lease_records,
    },
    Target {
        name: "policies",
        run: limits::policies,
        seeds: limits::policy_sets,
    },
];

/// Chunks or records as one input: each behind its length, two bytes.
fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    let with_length = |part: &Vec<u8>| {
        let len = u16::try_from(part.len()).expect("a short part");
        [&len.to_le_bytes()[..], part].concat()
    };
    parts.iter().flat_map(with_length).collect()
}

/// The parts of an input. The last may be shorter than it says.
fn split(mut input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let [low, high, rest @ ..] = input {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (part, behind) = rest.split_at(len);
        parts.push(part);
        input = behind;
    }
    parts
}

/// The value that records are given to, an empty one or a sample as the first byte says, and the records.
fn begin<C: Persist>(input: &[u8], sample: impl FnOnce() -> C) -> Option<(C, Vec<&[u8]>)> {
    let (first, records) = input.split_first()?;
    let value = if first % 2 == 0 {
        C::default()
    } else {
        sample()
    };
    Some((value, split(records)))
}

/// An input of records for a sample.
fn for_sample(records: &[Vec<u8>]) -> Vec<u8> {
    [vec![1], join(records)].concat()
}

/// Inputs of records for an empty value: the first, the first two, and so on.
fn from_empty(records: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let prefixes = (1..=records.len()).map(|len| [vec![0], join(&records[..len])].concat());
    prefixes.collect()
}

/// What chunks make, if they make a valid value.
fn load<C: Persist>(chunks: &[impl AsRef<[u8]>]) -> Option<C> {
    let mut value = C::default();
    for chunk in chunks {
        value.load(C::VERSION, chunk.as_ref()).ok()?;
    }
    value.finish().ok()?;
    Some(value)
}

/// The chunks of a value.
fn save<C: Persist>(value: &C, entries: usize) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    value.save(entries, &mut |chunk| chunks.push(chunk.to_vec()));
    chunks
}

/// Values that mean the same give the same.
fn canon<C: Persist>(value: &C) -> Vec<Vec<u8>> {
    let mut chunks = save(value, 1);
    chunks.sort();
    chunks
}

/// The same value, made anew from what it saves: whatever was taken can be saved and loaded.
fn reloaded<C: Persist>(value: &C) -> C {
    let copy: C = load(&save(value, 64)).expect("what is saved loads");
    assert_eq!(canon(&copy), canon(value), "a reload changes nothing");
    copy
}
