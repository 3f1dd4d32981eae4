//! Every decision against the model, through random histories on a clock that is also set back.

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
            4 => LimitSpec::new(quota, Millis(window), Algo::Gcra, Some(burst)).unwrap(),
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
        let expires_at = self.limiter.expires_at();
        let mut bytes = vec![];
        effect.encode_into(expires_at, &mut bytes);
        let (decoded, expiry) = Effect::decode(&bytes).unwrap();
        assert_eq!((&decoded, expiry), (effect, expires_at));
        assert_eq!(self.replica.apply(&decoded), Ok(given));
        assert_eq!(self.replica.expires_at(), expires_at);
        assert_eq!(self.limiter.is_empty(), expires_at.is_none());
        assert_eq!(digest(&self.limiter), digest(&self.replica));
        self.model.settle(effect.at().0);
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
            Op::Refund(n) => self.refund(now, *n),
            Op::RefundId(id) => self.refund_id(now, &[b'r', *id]),
            Op::Block(ms) => self.block(now, *ms),
            Op::Reset => self.reset(now),
            Op::Reload(entries) => {
                self.replica = reload(&self.replica, *entries);
                assert_eq!(digest(&self.limiter), digest(&self.replica));
            }
        }
    }

    fn refund(&mut self, now: u64, n: u64) {
        let given = match self.limiter.refund_cost(Time(now), n) {
            Some(effect) => self.apply(&effect),
            None => 0,
        };
        let mut model = self.model.clone();
        model.settle(now);
        assert_eq!(given, model.refund(now, n));
        model.settle(now);
        if given > 0 {
            self.model = model;
        }
    }

    fn refund_id(&mut self, now: u64, id: &[u8]) {
        let effect = self.limiter.refund_id(Time(now), id);
        let known = effect.is_some();
        let given = effect.map_or(0, |effect| self.apply(&effect));
        let mut model = self.model.clone();
        model.settle(now);
        assert_eq!(known, model.ids.contains_key(id));
        assert_eq!(given, model.refund_id(now, id));
        model.settle(now);
        if known {
            self.model = model;
        }
    }

    fn block(&mut self, now: u64, ms: u64) {
        if ms > 0 {
            self.apply(&self.limiter.block(Time(now), Millis(ms)));
            (self.model.blocked_until, self.model.block) = (now + ms, ms);
        } else if let Some(effect) = self.limiter.unblock(Time(now)) {
            self.apply(&effect);
            self.model.blocked_until = 0;
        } else {
            assert!(self.model.blocked_until <= now);
        }
    }

    fn reset(&mut self, now: u64) {
        let mut model = self.model.clone();
        model.settle(now);
        let used = !model.limits.is_empty() || !model.ids.is_empty() || model.blocked_until > now;
        let effect = self.limiter.reset(Time(now));
        assert_eq!(effect.is_some(), used);
        if let Some(effect) = effect {
            self.apply(&effect);
            assert!(self.limiter.is_empty());
            self.model = Model::default();
        }
    }

    fn check(&mut self, now: u64, request: &Request, log_max: usize) {
        let expected = self.model.check(now, request, log_max);
        let decision = self.limiter.check(Time(now), request, log_max).unwrap();
        // The short way says what the long one does, needs_alloc included.
        let long = self
            .limiter
            .decide(Time(now), request, log_max, true)
            .unwrap();
        assert_eq!(decision, long);
        let blocked = self.model.blocked_until > now;
        let mut got = five(&decision);
        let full = decision.is_log_full();
        if blocked || full || (!decision.is_allowed() && log_max != NO_BOUND) {
            // A block and a full log show nothing remaining.
            assert!(got[2] == 0 || got[2] == expected.five[2]);
            assert!(got[2] == 0 || !(blocked || full));
            got[2] = expected.five[2];
        }
        assert_eq!(got, expected.five, "at {now}: {request:?}");
        assert_eq!(decision.granted(), expected.granted);

        let detail = self.limiter.detail(Time(now), request, &decision);
        if !blocked && log_max == NO_BOUND {
            for (d, e) in detail.iter().zip(&expected.detail) {
                let (remaining, reset_after) = (d.remaining as i64, d.reset_after.0 as i64);
                let d = (remaining, shown(d.next_after), reset_after, d.violated);
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
            let answer = self.limiter.check(Time(time), request, log_max).unwrap();
            answer.is_allowed()
        };
        match decision.retry_after() {
            None => assert!(decision.is_allowed()),
            Some(Wait::Forever) => assert!(!admits(now) && !admits(now + (1 << 50))),
            Some(Wait::For(Millis(wait))) if wait < 1 << 52 => {
                assert!(admits(now + wait), "{decision:?} {request:?}");
                assert!(!admits(now + wait - 1), "{decision:?} {request:?}");
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
