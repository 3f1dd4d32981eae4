//! LOG at sizes of many chunks: the ring oracle, cuts in odd places, memory and time.

use super::*;
use modq_testkit::inspect::thread_time;
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};

/// The last L admissions; the one `cost` from the newest end must have expired.
struct Ring {
    quota: usize,
    admitted: VecDeque<u64>,
}

impl Ring {
    fn check(&mut self, now: u64, window: u64, cost: usize) -> bool {
        if cost > self.quota {
            return false;
        }
        // Admission number L - cost from the newest, counting from 0.
        let nth = self.quota - cost;
        let full = self.admitted.len() > nth && {
            let oldest = self.admitted[self.admitted.len() - 1 - nth];
            oldest + window > now
        };
        if !full {
            self.admitted.extend(std::iter::repeat_n(now, cost));
            while self.admitted.len() > self.quota {
                self.admitted.pop_front();
            }
        }
        !full
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_ring_of_the_last_admissions(
        quota in 1..1500usize,
        window in 1..5000u64,
        steps in prop::collection::vec((prop_oneof![8 => 0..4u64, 1 => 0..6000u64], 1..4usize), 2000)
    ) {
        let limits = [spec(Algo::Log, quota as u64, window)];
        let mut limiter = Limiter::default();
        let mut ring = Ring { quota, admitted: VecDeque::new() };
        let mut now = T0;
        for (step, cost) in steps {
            now += step;
            let d = run(&mut limiter, now, &ask(&limits, cost as u64));
            prop_assert_eq!(d.is_allowed(), ring.check(now, window, cost));
        }
    }

    /// Long logs cut anywhere: replicas reloaded at odd moments stay equal, runs are those of a
    /// plain list.
    #[test]
    fn chunks_have_no_meaning(
        ops in prop::collection::vec((0..10u8, 0..40u64, 1..600u64), 1..400),
        entries in prop::sample::select(&[1usize, 100, 255, 256, 257, 5000])
    ) {
        let mut logs = Logs::new();
        for (kind, step, n) in ops {
            match kind {
                0..=4 => {
                    for i in 0..n / 4 {
                        logs.now += step % 7;
                        logs.charge(1 + (i * step) % 300);
                    }
                }
                5 => logs.now += 50 * n,
                6 => logs.now -= n / 2,
                7 => logs.refund(n * step * 10),
                8 => logs.other = reload(&logs.other, entries),
                _ => logs.charge_and_give_back(n, step * 20),
            }
            logs.agree();
        }
    }
}

const WINDOW: u64 = 20_000;

/// A log, one that gets the same effects but is reloaded now and then, and a plain list of
/// (time, units).
struct Logs {
    limits: [LimitSpec; 1],
    limiter: Limiter,
    other: Limiter,
    list: Vec<(u64, u64)>,
    now: u64,
}

impl Logs {
    fn new() -> Logs {
        Logs {
            limits: [spec(Algo::Log, MAX_VALUE, WINDOW)],
            limiter: Limiter::default(),
            other: Limiter::default(),
            list: vec![],
            now: T0,
        }
    }

    /// What an effect does to all charges. (Only effects drop, but an expired charge never comes
    /// back into the count.)
    fn settle(&mut self) {
        self.list.iter_mut().for_each(|c| c.0 = c.0.min(self.now));
        let now = self.now;
        self.list.retain(|c| c.1 > 0 && c.0 + WINDOW > now);
    }

    fn used(&self) -> u64 {
        let live = self.list.iter();
        let live = live.filter(|c| c.0.min(self.now) + WINDOW > self.now);
        live.map(|c| c.1).sum()
    }

    fn charge(&mut self, units: u64) {
        let request = ask(&self.limits, units);
        let d = self.limiter.check(Time(self.now), &request, NO_BOUND);
        let effect = d.unwrap().effect.unwrap();
        self.limiter.apply(&effect).unwrap();
        self.other.apply(&effect).unwrap();
        self.settle();
        self.list.push((self.now, units));
    }

    fn refund(&mut self, n: u64) {
        let Some(effect) = self.limiter.refund_cost(Time(self.now), n) else {
            return;
        };
        let given = self.limiter.apply(&effect).unwrap();
        assert_eq!(self.other.apply(&effect).unwrap(), given);
        assert_eq!(given, self.used().min(n));
        self.settle();
        let mut left = given;
        for charge in self.list.iter_mut().rev() {
            let back = left.min(charge.1);
            charge.1 -= back;
            left -= back;
        }
        self.settle();
    }

    /// A remembered charge, given back that many ms later, with a charge of 2 units in each: up to
    /// three chunks.
    fn charge_and_give_back(&mut self, units: u64, later: u64) {
        let (at, two) = (self.now, ask(&self.limits, 2));
        let request = Request {
            id: Some(b"id"),
            ..ask(&self.limits, units)
        };
        let d = peek(&self.limiter, at, &request);
        let charge = d.effect.unwrap();
        for limiter in [&mut self.limiter, &mut self.other] {
            limiter.apply(&charge).unwrap();
            for i in 1..=later {
                run(limiter, at + i, &two);
            }
            let effect = limiter.refund_id(Time(at + later), b"id").unwrap();
            assert_eq!(limiter.apply(&effect).unwrap(), units);
        }
        self.settle();
        self.now += later;
        self.list.extend((1..=later).map(|i| (at + i, 2)));
        self.settle();
    }

    fn agree(&self) {
        let check = |cost, log_max| {
            let request = ask(&self.limits, cost);
            let d = self.limiter.check(Time(self.now), &request, log_max);
            d.unwrap()
        };
        assert_eq!(MAX_VALUE - check(0, NO_BOUND).remaining, self.used());
        // Entries are counted right, too: room for half of them comes when the others are gone.
        let times = self.list.iter().map(|c| c.0.min(self.now));
        let live = times.filter(|t| t + WINDOW > self.now);
        let live: BTreeSet<u64> = live.collect();
        let half = live.len() / 2;
        if half > 0 && !live.contains(&self.now) {
            let last = live.iter().nth(live.len() - half).unwrap();
            let d = check(1, half);
            let wait = last + WINDOW - self.now;
            assert_eq!((d.is_log_full(), retry(&d) as u64), (true, wait));
        }
        assert_eq!(digest(&self.limiter), digest(&self.other));
    }
}

#[test]
fn expired_charges_stay_until_an_effect_and_go_run_by_run() {
    let limits = [spec(Algo::Log, 10_000, 1000)];
    let mut limiter = Limiter::default();
    for i in 0..900 {
        run(&mut limiter, T0 + i, &ask(&limits, 1));
    }
    let runs = |limiter: &Limiter| digest(limiter).len();
    peek(&limiter, T0 + 1500, &ask(&limits, 1));
    assert_eq!(runs(&limiter), 900);
    run(&mut limiter, T0 + 1500, &ask(&limits, 1));
    assert_eq!(runs(&limiter), 900 - 501 + 1);
}

#[test]
fn memory_per_charge_and_of_the_first() {
    let limits = [spec(Algo::Log, 1_000_000, 3_600_000)];
    let first = {
        let mut limiter = Limiter::default();
        run(&mut limiter, T0, &ask(&limits, 1));
        limiter.memory_bytes()
    };
    assert!(first <= 150, "{first}");
    // (ms between charges, units): bursts, spread over the window, and costs over 1.
    for (every, cost) in [(1, 1), (30, 1), (3599, 1), (3599, 5), (3599, 100)] {
        let mut limiter = Limiter::default();
        for i in 0..1000 {
            run(&mut limiter, T0 + i * every, &ask(&limits, cost));
        }
        let per_charge = (limiter.memory_bytes() - first) as f64 / 999.0;
        assert!(per_charge <= 4.0, "{every} ms, {cost}: {per_charge}");
    }
}

#[test]
fn a_log_in_steady_use_does_not_grow() {
    let limits = [spec(Algo::Log, 300, 300)];
    let mut limiter = Limiter::default();
    let mut most = 0;
    for i in 0..20_000 {
        assert!(run(&mut limiter, T0 + i, &ask(&limits, 1)).is_allowed());
        most = most.max(limiter.memory_bytes());
    }
    assert!(most < 2000, "{most}");
}

#[test]
fn a_million_charges_are_answered_at_once() {
    let limits = [spec(Algo::Log, 1_000_000, 1 << 40)];
    let mut limiter = Limiter::default();
    for i in 0..1_000_000 {
        run(&mut limiter, T0 + 2 * i, &ask(&limits, 1));
    }
    let now = T0 + 2_000_000;
    let start = thread_time();
    for cost in 1..=1000 {
        let d = peek(&limiter, now, &ask(&limits, cost));
        let oldest = T0 + 2 * (cost - 1);
        assert_eq!(retry(&d) as u64, oldest + (1 << 40) - now);
    }
    let each = (thread_time() - start) / 1000;
    assert!(each.as_micros() < 100, "{each:?}");
    // The first chunk half expired, and much asked for.
    let later = T0 + (1 << 40) + 300;
    let d = peek(&limiter, later, &ask(&limits, 500_000));
    assert_eq!(retry(&d), 2 * 499_999 - 300);
    let d = peek(&limiter, later, &ask(&limits, 151));
    assert_eq!((d.is_allowed(), d.remaining), (true, 0));
    // With half of the entries allowed, too.
    let d = limiter
        .check(Time(later), &ask(&limits, 1), 500_000)
        .unwrap();
    assert_eq!((d.is_log_full(), retry(&d)), (true, 2 * 500_000 - 300));
}
