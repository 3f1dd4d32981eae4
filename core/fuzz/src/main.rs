//! The fuzzer: gives what libFuzzer makes up to the target that `FUZZ_TARGET` names. libFuzzer wants a
//! corpus as a folder of many small files; it is kept in one. So before a search `FUZZ_UNPACK` names a
//! folder for what was kept and the seeds, and after it `FUZZ_PACK` one of what is to be kept.

#![no_main]

#[path = "../../tests/hostile/corpus.rs"]
mod corpus;
#[path = "../../tests/hostile/targets.rs"]
mod targets;

use libfuzzer_sys::{Corpus, fuzz_target};
use std::sync::LazyLock;
use targets::TARGETS;

static RUN: LazyLock<fn(&[u8]) -> bool> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("no target {name}"));
    if let Ok(folder) = std::env::var("FUZZ_UNPACK") {
        let inputs = (target.seeds)().into_iter().chain(corpus::read(&name));
        for (at, input) in inputs.enumerate() {
            std::fs::write(format!("{folder}/{at}"), input).expect("a folder for inputs");
        }
    }
    if let Ok(folder) = std::env::var("FUZZ_PACK") {
        let files = std::fs::read_dir(folder).expect("a folder of inputs");
        let paths = files.map(|file| file.expect("a file").path());
        let mut inputs: Vec<Vec<u8>> = paths
            .map(|path| std::fs::read(path).expect("a readable file"))
            .collect();
        // The smallest first: they are read by people.
        inputs.sort_by_key(|input| (input.len(), input.clone()));
        let with_length =
            |input: &Vec<u8>| [&(input.len() as u32).to_le_bytes()[..], input].concat();
        let packed: Vec<u8> = inputs.iter().flat_map(with_length).collect();
        std::fs::write(corpus::path(&name), packed).expect("a place for the corpus");
    }
    target.run
});

fuzz_target!(
    init: { LazyLock::force(&RUN); },
    |input: &[u8]| -> Corpus {
        // All that teaches something is kept, refused or not.
        RUN(input);
        Corpus::Keep
    }
);
