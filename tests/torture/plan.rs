//! How long to go on, and from which seed.
//!
//! A seed fixes what each client asks and when the faults come. How the clients' commands meet in the server is up to the
//! machine, so the same seed makes the same kind of trouble again, not the same run.

use modq_testkit::{Kind, Random, now_us};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

fn given<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{name}={text} is no number")))
}

/// `TORTURE_SEED`, or one that differs from run to run.
fn first_seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| given("TORTURE_SEED").unwrap_or(now_us() as u64 % 1_000_000_000))
}

/// Runs rounds of one fault on one server: `TORTURE_ROUNDS` of them (default 1), and more until `TORTURE_SECONDS` are over.
/// Each round says its seed first, which is shown when it fails.
pub(crate) fn rounds(fault: &str, kind: Kind, mut round: impl FnMut(&mut Random)) {
    let at_least = given("TORTURE_ROUNDS").unwrap_or(1);
    let length = Duration::from_secs(given("TORTURE_SECONDS").unwrap_or(0));
    let start = Instant::now();
    let mut done = 0;
    while done < at_least || start.elapsed() < length {
        let seed = first_seed() + done;
        println!("{fault} on {kind:?}: TORTURE_SEED={seed}");
        // Otherwise all faults and servers would go through the same numbers.
        let own = fault.bytes().fold(kind as u64, |sum, byte| {
            sum.rotate_left(5) ^ u64::from(byte)
        });
        round(&mut Random::new(seed ^ own.rotate_left(32)));
        done += 1;
    }
    println!(
        "{fault} on {kind:?}: {done} rounds in {:?}",
        start.elapsed()
    );
}
