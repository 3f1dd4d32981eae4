//! Every decision against the model, through random histories on a clock that also steps back.

use super::model::Model;
use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Check {
        limits: Vec<LimitSpec>,
        cost: u64,
        id: Option<u8>,
        partial: bool,
        log_max: usize,
    },
    Refund(u64),
    RefundId(u8),
    Block(u64),
    Reset,
    Reload(usize),
}

fn limits(windows: &'static [u64], quotas: &'static [u64]) -> impl Strategy<Value = LimitSpec> {
    let number = prop::sample::select;
    (number(windows), number(quotas), number(quotas), 0..5usize).prop_map(
        |(window, quota, burst, algo)| match algo {
            4 => LimitSpec::new(quota, window, Algo::Gcra, Some(burst)).unwrap(),
            _ => spec(ALGOS[algo], quota, window),
        },
    )
}

fn some_limits(one: impl Strategy<Value = LimitSpec>) -> impl Strategy<Value = Vec<LimitSpec>> {
    prop::collection::vec(one, 1..4).prop_map(|mut limits| {
        while LimitSpec::check_list(&limits).is_err() {
            limits.pop();
        }
        limits
    })
}

fn ops(
    windows: &'static [u64],
    quotas: &'static [u64],
    costs: &'static [u64],
) -> impl Strategy<Value = Vec<(i64, Op)>> {
    let span = *windows.iter().filter(|w| **w < 1 << 40).max().unwrap() as i64;
    let step = prop_oneof![
        6 => 0..3i64,
        6 => 0..=20i64,
        3 => 0..=span + 1,
        1 => -5..0i64,
        1 => -3 * span..=0i64,
        1 => 0..=5 * span,
    ];
    let check = (
        some_limits(limits(windows, quotas)),
        prop::sample::select(costs),
        prop::option::weighted(0.4, 0..4u8),
        prop::bool::weighted(0.3),
        prop_oneof![4 => Just(NO_BOUND), 1 => 0..6usize],
    )
        .prop_map(|(limits, cost, id, partial, log_max)| Op::Check {
            limits,
            cost,
            id,
            partial,
            log_max,
        });
    let op = prop_oneof![
        16 => check,
        2 => prop::sample::select(costs).prop_map(Op::Refund),
        2 => (0..4u8).prop_map(Op::RefundId),
        1 => prop::sample::select(&[0u64, 1, 5, 50]).prop_map(Op::Block),
        1 => Just(Op::Reset).prop_filter("seldom", |_| true),
        1 => (1..5usize).prop_map(Op::Reload),
    ];
    prop::collection::vec((step, op), 1..60)
}

/// The engine, a replica fed with bytes, and the model, side by side.
#[derive(Default)]
struct Trio {
    limiter: Limiter,
    replica: Limiter,
    model: Model,
}

impl Trio {
    fn apply(&mut self, effect: &Effect) -> u64 {
        let given = self.limiter.apply(effect).unwrap();
        let expires_at = self.limiter.expires_at().unwrap_or(0);
        let mut bytes = vec![];
        effect.encode_into(expires_at, &mut bytes);
        let (decoded, expiry) = Effect::decode(&bytes).unwrap();
        assert_eq!((&decoded, expiry), (effect, expires_at));
        assert_eq!(self.replica.apply(&decoded), Ok(given));
        assert_eq!(self.replica.expires_at().unwrap_or(0), expires_at);
        assert_eq!(self.limiter.is_empty(), expires_at == 0);
        assert_eq!(digest(&self.limiter), digest(&self.replica));
        self.model.settle(effect.at());
        given
    }

    fn step(&mut self, now: u64, op: &Op) {
        match op {
            Op::Check {
                limits,
                cost,
                id,
                partial,
                log_max,
            } => {
                let id = id.map(|id| [b'r', id]);
                let request = Request {
                    limits,
                    cost: *cost,
                    id: id.as_ref().map(|id| &id[..]),
                    partial: *partial,
                };
                self.check(now, &request, *log_max);
            }
            Op::Refund(n) => {
                let given = match self.limiter.refund_cost(now, *n) {
                    Some(effect) => self.apply(&effect),
                    None => 0,
                };
                let mut model = self.model.clone();
                model.settle(now);
                assert_eq!(given, model.refund(now, *n));
                model.settle(now);
                if given > 0 {
                    self.model = model;
                }
            }
            Op::RefundId(id) => {
                let id = [b'r', *id];
                let effect = self.limiter.refund_id(now, &id);
                let known = effect.is_some();
                let given = effect.map_or(0, |effect| self.apply(&effect));
                let mut model = self.model.clone();
                model.settle(now);
                assert_eq!(known, model.ids.contains_key(&id[..]));
                assert_eq!(given, model.refund_id(now, &id));
                model.settle(now);
                if known {
                    self.model = model;
                }
            }
            Op::Block(ms) => {
                if let Some(effect) = self.limiter.block(now, *ms) {
                    self.apply(&effect);
                    self.model.blocked_until = if *ms == 0 { 0 } else { now + ms };
                } else {
                    assert!(*ms == 0 && self.model.blocked_until <= now);
                }
            }
            Op::Reset => {
                let mut model = self.model.clone();
                model.settle(now);
                let used =
                    !model.limits.is_empty() || !model.ids.is_empty() || model.blocked_until > now;
                let effect = self.limiter.reset(now);
                assert_eq!(effect.is_some(), used);
                if let Some(effect) = effect {
                    self.apply(&effect);
                    assert!(self.limiter.is_empty());
                    self.model = Model::default();
                }
            }
            Op::Reload(entries) => {
                self.replica = reload(&self.replica, *entries);
                assert_eq!(digest(&self.limiter), digest(&self.replica));
            }
        }
    }

    fn check(&mut self, now: u64, request: &Request, log_max: usize) {
        let expected = self.model.check(now, request, log_max);
        let decision = self.limiter.check(now, request, log_max).unwrap();
        // The short way says what the long one does, needs_alloc included.
        let long = self.limiter.decide(now, request, log_max, true).unwrap();
        assert_eq!(decision, long);
        let blocked = self.model.blocked_until > now;
        let mut got = five(&decision);
        let full = decision.log_full;
        if blocked || full || (decision.allowed == 0 && log_max != NO_BOUND) {
            // A block and a full log show nothing remaining.
            assert!(got[2] == 0 || got[2] == expected.five[2]);
            assert!(got[2] == 0 || !(blocked || full));
            got[2] = expected.five[2];
        }
        assert_eq!(got, expected.five, "at {now}: {request:?}");
        assert_eq!(decision.granted, expected.granted);

        let detail = self.limiter.detail(now, request, &decision);
        if !blocked && log_max == NO_BOUND {
            for (d, e) in detail.iter().zip(&expected.detail) {
                let d = (d.remaining, d.next_after, d.reset_after, d.violated);
                assert_eq!(d, *e, "at {now}: {request:?}");
            }
        }

        let ahead = self.model.ahead(now);
        match &decision.effect {
            None => assert!(expected.charged == 0 && !ahead),
            // Stamps of what has since been given back may still count as ahead.
            Some(effect) => {
                self.apply(effect);
                if expected.charged > 0 {
                    self.model
                        .charge(now, expected.charged, request.limits, request.id);
                }
            }
        }
        self.retry(now, request, log_max, &decision);
    }

    /// What retry_after promises: admitted then, not a millisecond earlier.
    fn retry(&self, now: u64, request: &Request, log_max: usize, decision: &Decision) {
        let admits = |time| {
            let answer = self.limiter.check(time, request, log_max).unwrap();
            answer.allowed == 1
        };
        match decision.retry_after {
            0 => assert_eq!(decision.allowed, 1),
            -1 => assert!(!admits(now) && !admits(now + (1 << 50))),
            wait if wait < 1 << 52 => {
                assert!(admits(now + wait as u64), "{decision:?} {request:?}");
                assert!(!admits(now + wait as u64 - 1), "{decision:?} {request:?}");
            }
            _ => assert!(!admits(now)),
        }
    }
}

fn play(start: u64, ops: Vec<(i64, Op)>) {
    let mut now = start;
    let mut trio = Trio::default();
    for (step, op) in ops {
        now = now.saturating_add_signed(step).min(1 << 52);
        trio.step(now, &op);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn small_windows(start in 0..3000u64, ops in ops(&[1, 7, 60, 61, 130, 1000], &[1, 2, 3, 10, 50], &[0, 1, 1, 1, 2, 5, 11])) {
        play(start, ops);
    }

    #[test]
    fn one_window(start in T0..T0 + 100, ops in ops(&[100], &[2, 5, 20], &[0, 1, 1, 2, 3, 30])) {
        play(start, ops);
    }

    #[test]
    fn ordinary_windows(start in T0..T0 + 100_000, ops in ops(&[1000, 60_000, 3_600_000], &[5, 100, 1000], &[1, 1, 1, 3, 10, 100])) {
        play(start, ops);
    }

    #[test]
    fn the_largest_numbers(
        start in T0..T0 + 100_000,
        ops in ops(
            &[1, 60_000, 3 << 50, MAX_VALUE - 1, MAX_VALUE],
            &[1, 1000, MAX_VALUE - 1, MAX_VALUE],
            &[0, 1, MAX_VALUE / 2, MAX_VALUE - 1, MAX_VALUE],
        ).prop_map(|mut ops| {
            // The model gives back COUNTER units one by one.
            ops.retain(|(_, op)| !matches!(op, Op::Refund(n) if *n > 1));
            ops
        })
    ) {
        play(start, ops);
    }
}

#[test]
fn the_documented_numbers() {
    for algo in ALGOS {
        let mut limiter = Limiter::default();
        let limits = [spec(algo, 3, 1000)];
        let reset = |left: i64| match algo {
            Algo::Gcra => ((3 - left) * 1000 + 2) / 3,
            // The bucket of 17 ms in which T0 lies fades to nothing.
            Algo::Counter => {
                let end = (T0 / 17 + 1) * 17 + 1000 - (16 / (3 - left as u64));
                (end - T0) as i64
            }
            _ => 1000,
        };
        for left in [2, 1, 0] {
            let d = run(&mut limiter, T0, &ask(&limits, 1));
            assert_eq!(five(&d), [1, 3, left, 0, reset(left)], "{algo:?}");
        }
        let d = run(&mut limiter, T0, &ask(&limits, 1));
        let retry = d.retry_after;
        assert_eq!(five(&d), [0, 3, 0, retry, reset(0)], "{algo:?}");
        assert_eq!(d.effect, None);
        match algo {
            Algo::Gcra => assert_eq!(retry, 334),
            Algo::Counter => assert!((984..=1017).contains(&retry)),
            _ => assert_eq!(retry, 1000),
        }
        let d = run(&mut limiter, T0, &ask(&limits, 4));
        assert_eq!((d.allowed, d.retry_after), (0, -1), "{algo:?}");
        assert_eq!(limiter.expires_at(), Some(T0 + reset(0) as u64));
    }
}

#[test]
fn several_limits_are_charged_together_or_not_at_all() {
    let mut limiter = Limiter::default();
    let limits = [
        spec(Algo::Log, 10, 1000),
        spec(Algo::Fixed, 2, 60_000),
        spec(Algo::Gcra, 5, 1000),
        spec(Algo::Counter, 5, 1000),
    ];
    assert_eq!(run(&mut limiter, T0, &ask(&limits, 2)).allowed, 1);
    let before = digest(&limiter);
    let d = run(&mut limiter, T0 + 5, &ask(&limits, 1));
    assert_eq!(five(&d), [0, 2, 0, 59_995, 59_995]);
    assert_eq!((d.effect, digest(&limiter)), (None, before));
    // Those not named are neither consulted nor touched.
    let d = run(&mut limiter, T0 + 5, &ask(&limits[..1], 8));
    assert_eq!(five(&d), [1, 10, 0, 0, 1000]);
    let used = limiter.check(T0 + 5, &ask(&limits[2..3], 0), NO_BOUND);
    assert_eq!(used.unwrap().remaining, 3);
}

/// Charged once to each of as many limits as a key can have.
fn with_16_limits() -> Limiter {
    let mut limiter = Limiter::default();
    for window in 1..=16 {
        run(
            &mut limiter,
            T0,
            &ask(&[spec(Algo::Log, 5, 100 + window)], 1),
        );
    }
    limiter
}

#[test]
fn a_17th_limit_is_an_error_unless_nothing_is_charged_or_one_has_expired() {
    let mut limiter = with_16_limits();
    let new = [spec(Algo::Fixed, 5, 101)];
    let check = |limiter: &Limiter, now, cost| limiter.check(now, &ask(&new, cost), NO_BOUND);
    assert_eq!(check(&limiter, T0 + 100, 1), Err(LimitError::TooManyLimits));
    assert_eq!(check(&limiter, T0 + 100, 0).unwrap().allowed, 1);
    let d = check(&limiter, T0 + 101, 1).unwrap();
    let effect = d.effect.unwrap();
    limiter.apply(&effect).unwrap();
    assert_eq!(check(&limiter, T0 + 101, 1).unwrap().remaining, 3);
    // What a 17th would do is not applied either.
    let mut full = reload(&limiter, 100);
    let other = spec(Algo::Gcra, 5, 7);
    let mut empty = Limiter::default();
    let limits = [other];
    let effect = empty.check(T0 + 101, &ask(&limits, 1), NO_BOUND).unwrap();
    let before = digest(&full);
    assert_eq!(full.apply(effect.effect.as_ref().unwrap()), Err(ApplyError));
    assert_eq!(digest(&full), before);
    assert_eq!(empty.apply(effect.effect.as_ref().unwrap()), Ok(0));
}

#[test]
fn a_clock_that_jumped_ahead_and_back_neither_freezes_nor_lets_through_twice() {
    let year = 365 * 86_400_000;
    for algo in ALGOS {
        let limits = [spec(algo, 5, 1000)];
        let mut limiter = Limiter::default();
        for _ in 0..5 {
            assert_eq!(run(&mut limiter, T0 + year, &ask(&limits, 1)).allowed, 1);
        }
        // Back: still full, nothing let through, but for no longer than a window.
        let d = run(&mut limiter, T0, &ask(&limits, 5));
        assert_eq!(d.allowed, 0, "{algo:?}");
        assert!((900..=1017).contains(&d.retry_after), "{algo:?} {d:?}");
        assert!(limiter.expires_at().unwrap() <= T0 + 1017);
        // That denial restamped; the next has no effect.
        assert!(d.effect.is_some());
        let again = run(&mut limiter, T0, &ask(&limits, 5));
        assert_eq!((again.effect, again.retry_after), (None, d.retry_after));
        let retry = T0 + d.retry_after as u64;
        assert_eq!(run(&mut limiter, retry - 1, &ask(&limits, 5)).allowed, 0);
        assert_eq!(run(&mut limiter, retry, &ask(&limits, 5)).allowed, 1);
    }
}

#[test]
fn a_changed_quota_or_burst_keeps_what_is_charged() {
    for algo in ALGOS {
        let mut limiter = Limiter::default();
        run(&mut limiter, T0, &ask(&[spec(algo, 10, 60_000)], 8));
        let at = |quota, cost| {
            let limits = [spec(algo, quota, 60_000)];
            let d = limiter.check(T0, &ask(&limits, cost), NO_BOUND).unwrap();
            (d.allowed, d.remaining)
        };
        assert_eq!(at(12, 1), (1, 3), "{algo:?}");
        assert_eq!(at(9, 2), (0, 1), "{algo:?}");
        assert_eq!(at(5, 0), (0, 0), "{algo:?}");
    }
    // GCRA: a smaller quota does not outlive the bucket that the key expires with.
    let mut limiter = Limiter::default();
    run(&mut limiter, T0, &ask(&[spec(Algo::Gcra, 100, 1000)], 100));
    assert_eq!(limiter.expires_at(), Some(T0 + 1000));
    let slow = [spec(Algo::Gcra, 1, 1000)];
    let d = limiter.check(T0 + 10, &ask(&slow, 1), NO_BOUND).unwrap();
    assert_eq!(five(&d), [0, 1, 0, 990, 990]);
}

#[test]
fn a_block_denies_all_and_is_lifted_by_0_and_by_reset() {
    let limits = [spec(Algo::Log, 5, 1000)];
    let mut limiter = Limiter::default();
    let with_id = Request {
        id: Some(b"x"),
        ..ask(&limits, 2)
    };
    run(&mut limiter, T0, &with_id);
    limiter.apply(&limiter.block(T0, 300).unwrap()).unwrap();
    for request in [ask(&limits, 0), ask(&limits, 1), with_id] {
        let d = limiter.check(T0 + 100, &request, NO_BOUND).unwrap();
        assert_eq!(five(&d), [0, 5, 0, 200, 900]);
        let detail = limiter.detail(T0 + 100, &request, &d);
        assert_eq!((detail[0].remaining, detail[0].next_after), (0, 200));
        assert!(!detail[0].violated);
    }
    let d = limiter.check(T0 + 100, &ask(&limits, 4), NO_BOUND).unwrap();
    assert_eq!(five(&d), [0, 5, 0, 900, 900]);
    let d = limiter.check(T0 + 100, &ask(&limits, 6), NO_BOUND).unwrap();
    assert_eq!(d.retry_after, -1);
    let d = limiter.check(T0 + 300, &ask(&limits, 3), NO_BOUND).unwrap();
    assert_eq!(d.allowed, 1);

    limiter.apply(&limiter.block(T0 + 100, 0).unwrap()).unwrap();
    assert_eq!(limiter.block(T0 + 100, 0), None);
    let d = limiter.check(T0 + 100, &ask(&limits, 3), NO_BOUND).unwrap();
    assert_eq!(d.allowed, 1);
    limiter
        .apply(&limiter.block(T0 + 100, MAX_VALUE).unwrap())
        .unwrap();
    assert_eq!(limiter.expires_at(), Some(MAX_VALUE));
    let d = limiter.check(T0 + 100, &ask(&limits, 0), NO_BOUND).unwrap();
    assert_eq!(d.retry_after, MAX_VALUE as i64);
    limiter.apply(&limiter.reset(T0 + 100).unwrap()).unwrap();
    assert!(limiter.is_empty());
    assert_eq!(limiter.reset(T0 + 100), None);
}

#[test]
fn a_known_request_charges_once_and_is_given_back_once() {
    for algo in ALGOS {
        let limits = [spec(algo, 5, 1000)];
        let request = Request {
            id: Some(b"job"),
            ..ask(&limits, 3)
        };
        let mut limiter = Limiter::default();
        run(&mut limiter, T0, &request);
        run(&mut limiter, T0, &ask(&limits, 2));
        let d = run(&mut limiter, T0 + 1, &request);
        assert_eq!((d.allowed, d.granted, d.retry_after), (1, 3, 0));
        assert_eq!(d.effect, None);
        let effect = limiter.refund_id(T0 + 1, b"job").unwrap();
        assert_eq!(limiter.apply(&effect), Ok(3), "{algo:?}");
        assert_eq!(limiter.apply(&effect), Err(ApplyError));
        assert_eq!(limiter.refund_id(T0 + 1, b"job"), None);
        let d = limiter.check(T0 + 1, &ask(&limits, 0), NO_BOUND).unwrap();
        assert_eq!(d.remaining, 3, "{algo:?}");
    }
}

#[test]
fn gcra_gives_back_of_a_request_only_what_has_not_drained() {
    // One unit drains in 100 ms.
    let limits = [spec(Algo::Gcra, 10, 1000)];
    let request = Request {
        id: Some(b"job"),
        ..ask(&limits, 5)
    };
    let mut limiter = Limiter::default();
    run(&mut limiter, T0, &ask(&limits, 2));
    run(&mut limiter, T0, &request);
    // 4 have drained, 2 of them the job's; then others come on top.
    run(&mut limiter, T0 + 400, &ask(&limits, 6));
    let effect = limiter.refund_id(T0 + 400, b"job").unwrap();
    assert_eq!(limiter.apply(&effect), Ok(3));
    let d = limiter.check(T0 + 400, &ask(&limits, 0), NO_BOUND).unwrap();
    assert_eq!(d.remaining, 4);
}

#[test]
fn many_keys_are_charged_together_or_not_at_all() {
    let mut user = Limiter::default();
    let ip = Limiter::default();
    let limits = [spec(Algo::Log, 2, 1000), spec(Algo::Gcra, 5, 1000)];
    run(&mut user, T0, &ask(&limits[..1], 1));
    let d = check_all(T0, &[&user, &ip], &limits, 1, NO_BOUND).unwrap();
    assert!(d.allowed && d.retry_after == 0);
    assert_eq!(five(&d.keys[0]), [1, 2, 0, 0, 1000]);
    assert_eq!(five(&d.keys[1]), [1, 5, 4, 0, 200]);
    assert!(d.keys.iter().all(|key| key.effect.is_some()));

    let d = check_all(T0 + 1, &[&user, &ip], &limits, 2, NO_BOUND).unwrap();
    assert!(!d.allowed && d.retry_after == 999);
    assert_eq!(five(&d.keys[0]), [0, 2, 1, 999, 999]);
    assert_eq!(five(&d.keys[1]), [1, 5, 5, 0, 0]);
    assert!(d.keys.iter().all(|key| key.effect.is_none()));
    let d = check_all(T0 + 1, &[&user, &ip], &limits, 3, NO_BOUND).unwrap();
    assert_eq!((d.allowed, d.retry_after), (false, -1));
    assert_eq!(d.keys[1].allowed, 1);
}

#[test]
fn a_full_log_denies_until_enough_has_expired() {
    let limits = [spec(Algo::Log, 100, 1000)];
    let mut limiter = Limiter::default();
    for i in 0..10 {
        run(&mut limiter, T0 + i * 10, &ask(&limits, 1));
    }
    let now = T0 + 100;
    let with_id = Request {
        id: Some(b"x"),
        ..ask(&limits, 1)
    };
    let d = limiter.check(now, &ask(&limits, 1), 11).unwrap();
    assert_eq!((d.allowed, d.log_full), (1, false));
    // The run and the id.
    let d = limiter.check(now, &with_id, 11).unwrap();
    assert_eq!((d.allowed, d.log_full, d.retry_after), (0, true, 900));
    let d = limiter.check(now, &ask(&limits, 1), 10).unwrap();
    assert_eq!(five(&d), [0, 100, 0, 900, 990]);
    assert!(d.log_full && d.effect.is_none());
    let d = limiter.check(now, &ask(&limits, 1), 3).unwrap();
    assert_eq!(d.retry_after, 970);
    let d = limiter.check(now, &ask(&limits, 1), 0).unwrap();
    assert_eq!(d.retry_after, -1);
    // In the ms of the newest charge nothing is added.
    let d = limiter.check(T0 + 90, &ask(&limits, 1), 10).unwrap();
    assert_eq!(d.allowed, 1);
    // Denied by the quota, it is not the log's doing.
    let d = limiter.check(now, &ask(&limits, 101), 10).unwrap();
    assert_eq!((d.allowed, d.log_full, d.retry_after), (0, false, -1));
}

#[test]
fn thousands_of_ids_that_end_together_are_forgotten_a_thousand_at_a_time() {
    let limits = [spec(Algo::Fixed, 100_000, 1000)];
    let mut limiter = Limiter::default();
    for i in 0..2500u32 {
        let request = Request {
            id: Some(&i.to_be_bytes()),
            ..ask(&limits, 1)
        };
        run(&mut limiter, T0 + 1, &request);
    }
    let mut other = reload(&limiter, 100);
    // The window, the ids.
    assert_eq!(digest(&limiter).len(), 2501);
    let end = T0 + 1001;
    // Those that ended are unknown, held or not: the last of them is charged anew.
    let id = 2499u32.to_be_bytes();
    let again = Request {
        id: Some(&id),
        ..ask(&limits, 1)
    };
    let anonymous = ask(&limits, 1);
    for (request, chunks) in [(&again, 1501), (&anonymous, 501), (&anonymous, 2)] {
        let d = limiter.check(end, request, NO_BOUND).unwrap();
        let effect = d.effect.unwrap();
        limiter.apply(&effect).unwrap();
        other.apply(&effect).unwrap();
        assert_eq!(digest(&limiter).len(), chunks);
        assert_eq!(digest(&limiter), digest(&other));
        other = reload(&other, chunks);
        let d = limiter.check(end, &again, NO_BOUND).unwrap();
        assert_eq!((d.allowed, d.effect), (1, None));
    }
}

#[test]
fn thousands_of_ids_from_the_future_are_restamped_a_thousand_at_a_time() {
    const IDS: u32 = 3500;
    let limits = [
        spec(Algo::Log, 1_000_000, 60_000),
        spec(Algo::Gcra, 1_000_000, 60_000),
    ];
    fn named<'a>(limits: &'a [LimitSpec], id: &'a [u8]) -> Request<'a> {
        Request {
            id: Some(id),
            ..ask(limits, 2)
        }
    }
    let mut limiter = Limiter::default();
    let ids: Vec<_> = (0..IDS).map(u32::to_be_bytes).collect();
    for (i, id) in ids.iter().enumerate() {
        run(&mut limiter, T0 + i as u64, &named(&limits, id));
    }
    // An hour back. Each effect restamps a thousand; those to come are seen as if it had them.
    let back = T0 - 3_600_000;
    let mut other = reload(&limiter, 100);
    let never = ask(&limits, 2_000_000);
    for left in [2500, 1500, 500, 0] {
        let now = back + 10 * (IDS - left) as u64 / 1000;
        let d = limiter.check(now, &never, NO_BOUND).unwrap();
        let effect = d.effect.expect("there is something to restamp");
        limiter.apply(&effect).unwrap();
        other.apply(&effect).unwrap();
        assert_eq!(digest(&limiter), digest(&other));
        other = reload(&other, 1 + left as usize);
        let ahead = limiter.ids.as_ref().unwrap().iter();
        assert_eq!(
            ahead.filter(|(_, memo)| memo.at > now).count(),
            left as usize
        );
        for id in [&ids[0], &ids[3499]] {
            let d = limiter.check(now, &named(&limits, id), NO_BOUND).unwrap();
            assert_eq!((d.allowed, d.granted), (1, 2));
            // Remembered from the first effect after the step on, whenever its turn comes.
            let end = back + 10 + 60_000;
            let d = limiter.check(end - 1, &named(&limits, id), NO_BOUND);
            assert_eq!(d.unwrap().granted, 2);
            let d = limiter.check(end, &named(&limits, id), NO_BOUND).unwrap();
            assert_eq!(d.remaining, 999_998);
        }
        // Whether or not its turn has come, all that it charged is given back.
        let id = &ids[left as usize];
        let effect = limiter.refund_id(now, id).unwrap();
        let mut then = reload(&limiter, 100);
        assert_eq!(then.apply(&effect), Ok(2), "{left} left");
        assert_eq!(then.refund_id(now, id), None);
    }
    assert_eq!(
        limiter.check(back + 50, &never, NO_BOUND).unwrap().effect,
        None
    );
    // Full of entries, meanwhile or not, it says so and does not wait for the future.
    let d = limiter.check(back + 50, &ask(&limits, 1), 3000).unwrap();
    assert_eq!((d.log_full, d.retry_after), (true, 60_000 + 10 - 50));
}

#[test]
fn one_limit_too_many_is_no_error_where_a_denial_can_be_said() {
    let mut limiter = with_16_limits();
    let new = [spec(Algo::Fixed, 5, 1000)];
    let d = limiter.check(T0, &ask(&new, 6), NO_BOUND).unwrap();
    assert_eq!(five(&d), [0, 5, 5, -1, 0]);
    let two = [new[0], spec(Algo::Log, 1, 101)];
    let d = limiter.check(T0, &ask(&two, 1), NO_BOUND).unwrap();
    assert_eq!(five(&d), [0, 1, 0, 101, 101]);
    // Nor where another key denies.
    let all = |limiters: &[&Limiter], cost| check_all(T0, limiters, &two, cost, NO_BOUND);
    let mut busy = Limiter::default();
    run(&mut busy, T0, &ask(&two[1..], 1));
    let d = all(&[&limiter, &busy], 1).unwrap();
    assert_eq!((d.allowed, d.retry_after), (false, 101));
    assert_eq!(five(&d.keys[0]), [1, 5, 5, 0, 0]);
    assert!(d.keys.iter().all(|key| key.effect.is_none()));
    let free = Limiter::default();
    assert_eq!(all(&[&limiter, &free], 1), Err(LimitError::TooManyLimits));
    // A block denies whatever is asked.
    let effect = limiter.block(T0, 500).unwrap();
    limiter.apply(&effect).unwrap();
    let d = limiter.check(T0, &ask(&new, 1), NO_BOUND).unwrap();
    assert_eq!(five(&d), [0, 5, 0, 500, 0]);
}
