//! Hostile bytes in every test run: damaged seeds, and the corpora that the fuzzer left.

mod corpus;
mod targets;

use proptest::collection::vec;
use proptest::prelude::*;
use targets::{TARGETS, Target};

/// A control: if seeds were refused, damaged ones would show nothing.
#[test]
fn every_seed_is_taken() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        for (at, seed) in seeds.iter().enumerate() {
            assert!((target.run)(seed), "{} refuses its seed {at}", target.name);
        }
    }
}

#[test]
fn the_kept_corpora_do_no_harm() {
    for target in TARGETS {
        let inputs = corpus::read(target.name);
        let taken = inputs.iter().filter(|input| (target.run)(input)).count();
        assert!(
            taken > 0,
            "{}: {taken} of {} are taken",
            target.name,
            inputs.len()
        );
    }
}

/// One edit of an input.
#[derive(Debug, Clone)]
enum Edit {
    Set(u8),
    Insert(Vec<u8>),
    Remove(usize),
    /// Copies so many bytes from elsewhere in the input, or in another seed.
    Splice(prop::sample::Index, usize),
    Cut,
}

fn edit() -> impl Strategy<Value = Edit> {
    // The codec's marks of longer numbers, and numbers at their limits.
    let number = prop_oneof![
        Just(vec![251, 255, 255]),
        Just(vec![252, 255, 255, 255, 127]),
        Just(vec![253, 255, 255, 255, 255, 255, 255, 255, 255]),
        Just(vec![253, 0, 0, 0, 0, 0, 0, 32, 0]),
    ];
    prop_oneof![
        4 => any::<u8>().prop_map(Edit::Set),
        3 => (0u8..4).prop_map(Edit::Set),
        1 => vec(any::<u8>(), 1..4).prop_map(Edit::Insert),
        2 => number.prop_map(Edit::Insert),
        2 => (1usize..10).prop_map(Edit::Remove),
        2 => (any::<prop::sample::Index>(), 1usize..40).prop_map(|(at, len)| Edit::Splice(at, len)),
        1 => Just(Edit::Cut),
    ]
}

fn spoil(input: &mut Vec<u8>, other: &[u8], at: usize, edit: &Edit) {
    let at = at.min(input.len());
    match edit {
        Edit::Set(byte) => input.iter_mut().skip(at).take(1).for_each(|b| *b = *byte),
        Edit::Insert(bytes) => drop(input.splice(at..at, bytes.iter().copied())),
        Edit::Remove(len) => drop(input.drain(at..(at + len).min(input.len()))),
        Edit::Splice(from, len) if !other.is_empty() => {
            let from = from.index(other.len());
            let piece = &other[from..(from + len).min(other.len())];
            input.splice(at..at, piece.iter().copied());
        }
        Edit::Splice(..) => {}
        Edit::Cut => input.truncate(at),
    }
}

fn damaged(target: &Target) {
    let seeds = (target.seeds)();
    let one = || any::<prop::sample::Index>();
    let inputs = (one(), one(), vec((one(), edit()), 1..5));
    let config = ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let tested =
        proptest::test_runner::TestRunner::new(config).run(&inputs, |(seed, other, edits)| {
            let mut input = seed.get(&seeds[..]).clone();
            for (at, edit) in &edits {
                let at = at.index(input.len() + 1);
                spoil(&mut input, other.get::<Vec<u8>>(&seeds), at, edit);
            }
            (target.run)(&input);
            Ok(())
        });
    tested.unwrap_or_else(|e| panic!("{}: {e}", target.name));
}

macro_rules! damaged {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let named = |target: &&Target| target.name == stringify!($name);
                damaged(TARGETS.iter().find(named).expect("a target"));
            }
        )*

        /// So that none is forgotten.
        #[test]
        fn every_target_is_run() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

damaged! {
    queue_value queue_record board_value board_record limiter_value limiter_record lease_value lease_record policies
}
