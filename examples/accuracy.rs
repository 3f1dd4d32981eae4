//! How close each algorithm keeps to "at most L in any window W": the core, driven by a clock of its own, no server.
//! `cargo run --release --example accuracy` prints the table that docs/ratelimit.md quotes; it is the same in every run.

use modq_core::limiter::{Algo, LimitSpec, Limiter, Request};
use modq_core::units::{Millis, Time};
use modq_testkit::Random;
use std::collections::VecDeque;

const QUOTA: u64 = 100;
const WINDOW: u64 = 60_000;
const HOUR: u64 = 3_600_000;
/// Hours of Poisson arrivals.
const HOURS: u64 = 200;

/// A limit of this algorithm.
struct Limit {
    spec: [LimitSpec; 1],
    limiter: Limiter,
}

impl Limit {
    fn new(algo: Algo) -> Limit {
        let spec = LimitSpec::new(QUOTA, Millis(WINDOW), algo, None).expect("in range");
        Limit {
            spec: [spec],
            limiter: Limiter::default(),
        }
    }

    fn admits(&mut self, now: u64) -> bool {
        let request = Request {
            limits: &self.spec,
            cost: 1,
            id: None,
            partial: false,
        };
        let decision = self.limiter.check(Time(now), &request, usize::MAX);
        let decision = decision.expect("one limit is never too many");
        if let Some(effect) = &decision.effect {
            self.limiter.apply(effect).expect("its own effect fits");
        }
        decision.is_allowed()
    }
}

/// The rule itself: the times of what was admitted in the last window.
#[derive(Default)]
struct Window {
    times: VecDeque<u64>,
    most: usize,
}

impl Window {
    fn count(&mut self, now: u64) -> u64 {
        while self.times.front().is_some_and(|t| t + WINDOW <= now) {
            self.times.pop_front();
        }
        self.times.len() as u64
    }

    fn add(&mut self, now: u64) {
        self.count(now);
        self.times.push_back(now);
        self.most = self.most.max(self.times.len());
    }
}

/// Arrival times, ms, with exponential gaps: `rate` a window on average.
fn poisson(rate: f64, until: u64) -> Vec<u64> {
    let mut random = Random::new(1);
    let mut at = HOUR as f64;
    let mut times = Vec::new();
    while at < (HOUR + until) as f64 {
        at -= random.unit().ln() * WINDOW as f64 / rate;
        times.push(at as u64);
    }
    times
}

/// The most admitted in any window when somebody opens it with one request, floods just before it ends and goes on
/// flooding: tried for floods that begin at each ms of the last bucket and the first of the next window.
fn edge(algo: Algo) -> usize {
    let flood = |begin: u64| {
        let mut limit = Limit::new(algo);
        let mut seen = Window::default();
        let start = HOUR;
        for at in [start].into_iter().chain(begin..begin + WINDOW) {
            while limit.admits(at) {
                seen.add(at);
                if at == start {
                    break;
                }
            }
        }
        seen.most
    };
    let last = HOUR + WINDOW;
    (last - 1000..last + 1000)
        .step_by(50)
        .chain([last - 1])
        .map(flood)
        .max()
        .unwrap_or(0)
}

fn main() {
    println!(
        "At most {QUOTA} in {} s. Most admitted in any window; decisions unlike those of the rule.\n",
        WINDOW / 1000
    );
    println!("| algorithm | flood at the edge | Poisson at 0.9 × quota | decisions that differ |");
    println!("|---|---|---|---|");
    let arrivals = poisson(0.9 * QUOTA as f64, HOURS * HOUR);
    for algo in [Algo::Log, Algo::Counter, Algo::Gcra, Algo::Fixed] {
        let mut limit = Limit::new(algo);
        // What it admitted; and the exact rule, which goes by what it would have admitted itself.
        let (mut seen, mut exact) = (Window::default(), Window::default());
        let mut differ = 0;
        for now in &arrivals {
            let admitted = limit.admits(*now);
            if admitted {
                seen.add(*now);
            }
            let right = exact.count(*now) < QUOTA;
            if right {
                exact.add(*now);
            }
            differ += usize::from(admitted != right);
        }
        let percent = 100.0 * differ as f64 / arrivals.len() as f64;
        println!(
            "| {} | {} | {} | {percent:.1} % |",
            algo.name(),
            edge(algo),
            seen.most
        );
    }
    println!("\n{} arrivals in {HOURS} hours.", arrivals.len());
}
