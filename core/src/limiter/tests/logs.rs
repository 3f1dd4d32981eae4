//! LOG at sizes of many chunks: the ring oracle, cuts in odd places, memory and time.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

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
            prop_assert_eq!(d.allowed == 1, ring.check(now, window, cost));
        }
    }

    /// Long logs cut anywhere: replicas reloaded at odd moments stay equal, runs are those of a
    /// plain list.
    #[test]
    fn chunks_have_no_meaning(
        ops in prop::collection::vec((0..10u8, 0..40u64, 1..600u64), 1..400),
        entries in prop::sample::select(&[1usize, 100, 255, 256, 257, 5000])
    ) {
        let window = 20_000;
        let limits = [spec(Algo::Log, MAX_VALUE, window)];
        let mut limiter = Limiter::default();
        let mut other = Limiter::default();
        let mut list: Vec<(u64, u64)> = vec![];
        let mut now = T0;
        for (kind, step, n) in ops {
            let mut settled = false;
            match kind {
                0..=4 => {
                    for i in 0..n / 4 {
                        now += step % 7;
                        let units = 1 + (i * step) % 300;
                        let d = limiter.check(now, &ask(&limits, units), NO_BOUND).unwrap();
                        let effect = d.effect.unwrap();
                        settled = true;
                        limiter.apply(&effect).unwrap();
                        other.apply(&effect).unwrap();
                        list.iter_mut().for_each(|c| c.0 = c.0.min(now));
                        list.push((now, units));
                    }
                }
                5 => now += 50 * n,
                6 => now -= n / 2,
                7 => {
                    if let Some(effect) = limiter.refund_cost(now, n * step * 10) {
                        let live = |c: &&(u64, u64)| c.0 + window > now;
                        let used: u64 = list.iter().filter(live).map(|c| c.1).sum();
                        let given = limiter.apply(&effect).unwrap();
                        settled = true;
                        prop_assert_eq!(other.apply(&effect).unwrap(), given);
                        prop_assert_eq!(given, used.min(n * step * 10));
                        list.iter_mut().for_each(|c| c.0 = c.0.min(now));
                        let mut left = given;
                        for charge in list.iter_mut().rev() {
                            let back = left.min(charge.1);
                            charge.1 -= back;
                            left -= back;
                        }
                    }
                }
                8 => other = reload(&other, entries),
                _ => {
                    // A remembered charge, up to three chunks later given back.
                    let later = step * 20;
                    let request = Request { id: Some(b"id"), ..ask(&limits, n) };
                    let d = limiter.check(now, &request, NO_BOUND).unwrap();
                    let charge = d.effect.unwrap();
                    list.iter_mut().for_each(|c| c.0 = c.0.min(now));
                    let at = now;
                    settled = true;
                    for limiter in [&mut limiter, &mut other] {
                        limiter.apply(&charge).unwrap();
                        for i in 1..=later {
                            let d = limiter.check(at + i, &ask(&limits, 2), NO_BOUND).unwrap();
                            limiter.apply(&d.effect.unwrap()).unwrap();
                        }
                        let effect = limiter.refund_id(at + later, b"id").unwrap();
                        prop_assert_eq!(limiter.apply(&effect).unwrap(), n);
                    }
                    now += later;
                    list.extend((1..=later).map(|i| (at + i, 2)));
                }
            }
            // Only effects drop, but an expired charge never comes back into the count.
            list.retain(|c| c.1 > 0);
            if settled {
                list.retain(|c| c.0 + window > now);
            }
            let used: u64 = list.iter().filter(|c| c.0.min(now) + window > now).map(|c| c.1).sum();
            let d = limiter.check(now, &ask(&limits, 0), NO_BOUND).unwrap();
            prop_assert_eq!(MAX_VALUE as i64 - d.remaining, used as i64);
            // Entries are counted right, too: room for half of them comes when the others are gone.
            let live = list.iter().map(|c| c.0.min(now)).filter(|t| t + window > now);
            let live: std::collections::BTreeSet<u64> = live.collect();
            let half = live.len() / 2;
            if half > 0 && !live.contains(&now) {
                let last = live.iter().nth(live.len() - half).unwrap();
                let d = limiter.check(now, &ask(&limits, 1), half).unwrap();
                prop_assert_eq!((d.log_full, d.retry_after as u64), (true, last + window - now));
            }
            prop_assert_eq!(digest(&limiter), digest(&other));
        }
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
    limiter
        .check(T0 + 1500, &ask(&limits, 1), NO_BOUND)
        .unwrap();
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
        assert_eq!(run(&mut limiter, T0 + i, &ask(&limits, 1)).allowed, 1);
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
    let start = std::time::Instant::now();
    for cost in 1..=1000 {
        let d = limiter.check(now, &ask(&limits, cost), NO_BOUND).unwrap();
        let oldest = T0 + 2 * (cost - 1);
        assert_eq!(d.retry_after as u64, oldest + (1 << 40) - now);
    }
    let each = start.elapsed() / 1000;
    assert!(each.as_micros() < 100, "{each:?}");
    // The first chunk half expired, and much asked for.
    let later = T0 + (1 << 40) + 300;
    let d = limiter
        .check(later, &ask(&limits, 500_000), NO_BOUND)
        .unwrap();
    assert_eq!(d.retry_after, 2 * 499_999 - 300);
    let d = limiter.check(later, &ask(&limits, 151), NO_BOUND).unwrap();
    assert_eq!((d.allowed, d.remaining), (1, 0));
    // With half of the entries allowed, too.
    let d = limiter.check(later, &ask(&limits, 1), 500_000).unwrap();
    assert_eq!((d.log_full, d.retry_after), (true, 2 * 500_000 - 300));
}
