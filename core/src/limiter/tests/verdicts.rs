//! What is answered in cases worked out by hand.

use super::*;

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
        let wait = retry(&d);
        assert_eq!(five(&d), [0, 3, 0, wait, reset(0)], "{algo:?}");
        assert_eq!(d.effect, None);
        match algo {
            Algo::Gcra => assert_eq!(wait, 334),
            Algo::Counter => assert!((984..=1017).contains(&wait)),
            _ => assert_eq!(wait, 1000),
        }
        let d = run(&mut limiter, T0, &ask(&limits, 4));
        assert_eq!((d.is_allowed(), retry(&d)), (false, -1), "{algo:?}");
        assert_eq!(limiter.expires_at(), Some(Time(T0 + reset(0) as u64)));
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
    assert!(run(&mut limiter, T0, &ask(&limits, 2)).is_allowed());
    let before = digest(&limiter);
    let d = run(&mut limiter, T0 + 5, &ask(&limits, 1));
    assert_eq!(five(&d), [0, 2, 0, 59_995, 59_995]);
    assert_eq!((d.effect, digest(&limiter)), (None, before));
    // Those not named are neither consulted nor touched.
    let d = run(&mut limiter, T0 + 5, &ask(&limits[..1], 8));
    assert_eq!(five(&d), [1, 10, 0, 0, 1000]);
    let used = limiter.check(Time(T0 + 5), &ask(&limits[2..3], 0), NO_BOUND);
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
    let check = |limiter: &Limiter, now, cost| limiter.check(Time(now), &ask(&new, cost), NO_BOUND);
    assert_eq!(
        check(&limiter, T0 + 100, 1),
        Err(CheckError::TooManyLimitsInUse)
    );
    assert!(check(&limiter, T0 + 100, 0).unwrap().is_allowed());
    let d = check(&limiter, T0 + 101, 1).unwrap();
    let effect = d.effect.unwrap();
    limiter.apply(&effect).unwrap();
    assert_eq!(check(&limiter, T0 + 101, 1).unwrap().remaining, 3);
    // What a 17th would do is not applied either.
    let mut full = reload(&limiter, 100);
    let other = spec(Algo::Gcra, 5, 7);
    let mut empty = Limiter::default();
    let limits = [other];
    let effect = peek(&empty, T0 + 101, &ask(&limits, 1));
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
            assert!(run(&mut limiter, T0 + year, &ask(&limits, 1)).is_allowed());
        }
        // Back: still full, nothing let through, but for no longer than a window.
        let d = run(&mut limiter, T0, &ask(&limits, 5));
        assert!(!d.is_allowed(), "{algo:?}");
        assert!((900..=1017).contains(&retry(&d)), "{algo:?} {d:?}");
        assert!(limiter.expires_at().unwrap() <= Time(T0 + 1017));
        // That denial restamped; the next has no effect.
        assert!(d.effect.is_some());
        let again = run(&mut limiter, T0, &ask(&limits, 5));
        assert_eq!(retry(&again), retry(&d));
        assert_eq!(again.effect, None);
        let retry = T0 + retry(&d) as u64;
        assert!(!run(&mut limiter, retry - 1, &ask(&limits, 5)).is_allowed());
        assert!(run(&mut limiter, retry, &ask(&limits, 5)).is_allowed());
    }
}

#[test]
fn a_changed_quota_or_burst_keeps_what_is_charged() {
    for algo in ALGOS {
        let mut limiter = Limiter::default();
        run(&mut limiter, T0, &ask(&[spec(algo, 10, 60_000)], 8));
        let at = |quota, cost| {
            let limits = [spec(algo, quota, 60_000)];
            let d = peek(&limiter, T0, &ask(&limits, cost));
            (d.is_allowed(), d.remaining)
        };
        assert_eq!(at(12, 1), (true, 3), "{algo:?}");
        assert_eq!(at(9, 2), (false, 1), "{algo:?}");
        assert_eq!(at(5, 0), (false, 0), "{algo:?}");
    }
    // GCRA: a smaller quota does not outlive the bucket that the key expires with.
    let mut limiter = Limiter::default();
    run(&mut limiter, T0, &ask(&[spec(Algo::Gcra, 100, 1000)], 100));
    assert_eq!(limiter.expires_at(), Some(Time(T0 + 1000)));
    let slow = [spec(Algo::Gcra, 1, 1000)];
    let d = peek(&limiter, T0 + 10, &ask(&slow, 1));
    assert_eq!(five(&d), [0, 1, 0, 990, 990]);
}

fn block(limiter: &mut Limiter, now: u64, span: u64) {
    let effect = limiter.block(Time(now), Millis(span));
    limiter.apply(&effect).unwrap();
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
    block(&mut limiter, T0, 300);
    for request in [ask(&limits, 0), ask(&limits, 1), with_id] {
        let d = peek(&limiter, T0 + 100, &request);
        assert_eq!(five(&d), [0, 5, 0, 200, 900]);
        let detail = limiter.detail(Time(T0 + 100), &request, &d);
        assert_eq!(
            (detail[0].remaining, detail[0].next_after),
            (0, Some(Wait::For(Millis(200))))
        );
        assert!(!detail[0].violated);
    }
    let d = peek(&limiter, T0 + 100, &ask(&limits, 4));
    assert_eq!(five(&d), [0, 5, 0, 900, 900]);
    let d = peek(&limiter, T0 + 100, &ask(&limits, 6));
    assert_eq!(retry(&d), -1);
    let d = peek(&limiter, T0 + 300, &ask(&limits, 3));
    assert!(d.is_allowed());

    let lifted = limiter.unblock(Time(T0 + 100)).unwrap();
    limiter.apply(&lifted).unwrap();
    assert_eq!(limiter.unblock(Time(T0 + 100)), None);
    let d = peek(&limiter, T0 + 100, &ask(&limits, 3));
    assert!(d.is_allowed());
    block(&mut limiter, T0 + 100, MAX_VALUE);
    assert_eq!(limiter.expires_at(), Some(Time(MAX_VALUE)));
    let d = peek(&limiter, T0 + 100, &ask(&limits, 0));
    assert_eq!(retry(&d), MAX_VALUE as i64);
    limiter
        .apply(&limiter.reset(Time(T0 + 100)).unwrap())
        .unwrap();
    assert!(limiter.is_empty());
    assert_eq!(limiter.reset(Time(T0 + 100)), None);
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
        assert_eq!((d.is_allowed(), d.granted(), retry(&d)), (true, 3, 0));
        assert_eq!(d.effect, None);
        let effect = limiter.refund_id(Time(T0 + 1), b"job").unwrap();
        assert_eq!(limiter.apply(&effect), Ok(3), "{algo:?}");
        assert_eq!(limiter.apply(&effect), Err(ApplyError));
        assert_eq!(limiter.refund_id(Time(T0 + 1), b"job"), None);
        let d = peek(&limiter, T0 + 1, &ask(&limits, 0));
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
    let effect = limiter.refund_id(Time(T0 + 400), b"job").unwrap();
    assert_eq!(limiter.apply(&effect), Ok(3));
    let d = peek(&limiter, T0 + 400, &ask(&limits, 0));
    assert_eq!(d.remaining, 4);
}

#[test]
fn many_keys_are_charged_together_or_not_at_all() {
    let mut user = Limiter::default();
    let ip = Limiter::default();
    let limits = [spec(Algo::Log, 2, 1000), spec(Algo::Gcra, 5, 1000)];
    run(&mut user, T0, &ask(&limits[..1], 1));
    let d = check_all(Time(T0), &[&user, &ip], &limits, 1, NO_BOUND).unwrap();
    assert!(d.is_allowed());
    assert_eq!(five(&d.keys[0]), [1, 2, 0, 0, 1000]);
    assert_eq!(five(&d.keys[1]), [1, 5, 4, 0, 200]);
    assert!(d.keys.iter().all(|key| key.effect.is_some()));

    let d = check_all(Time(T0 + 1), &[&user, &ip], &limits, 2, NO_BOUND).unwrap();
    assert_eq!(d.retry_after, Some(Wait::For(Millis(999))));
    assert_eq!(five(&d.keys[0]), [0, 2, 1, 999, 999]);
    assert_eq!(five(&d.keys[1]), [1, 5, 5, 0, 0]);
    assert!(d.keys.iter().all(|key| key.effect.is_none()));
    let d = check_all(Time(T0 + 1), &[&user, &ip], &limits, 3, NO_BOUND).unwrap();
    assert_eq!(d.retry_after, Some(Wait::Forever));
    assert!(d.keys[1].is_allowed());
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
    let d = limiter.check(Time(now), &ask(&limits, 1), 11).unwrap();
    assert_eq!((d.is_allowed(), d.is_log_full()), (true, false));
    // The run and the id.
    let d = limiter.check(Time(now), &with_id, 11).unwrap();
    assert_eq!(
        (d.is_allowed(), d.is_log_full(), retry(&d)),
        (false, true, 900)
    );
    let d = limiter.check(Time(now), &ask(&limits, 1), 10).unwrap();
    assert_eq!(five(&d), [0, 100, 0, 900, 990]);
    assert!(d.is_log_full() && d.effect.is_none());
    let d = limiter.check(Time(now), &ask(&limits, 1), 3).unwrap();
    assert_eq!(retry(&d), 970);
    let d = limiter.check(Time(now), &ask(&limits, 1), 0).unwrap();
    assert_eq!(retry(&d), -1);
    // In the ms of the newest charge nothing is added.
    let d = limiter.check(Time(T0 + 90), &ask(&limits, 1), 10).unwrap();
    assert!(d.is_allowed());
    // Denied by the quota, it is not the log's doing.
    let d = limiter.check(Time(now), &ask(&limits, 101), 10).unwrap();
    assert_eq!(
        (d.is_allowed(), d.is_log_full(), retry(&d)),
        (false, false, -1)
    );
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
        let d = peek(&limiter, end, request);
        let effect = d.effect.unwrap();
        limiter.apply(&effect).unwrap();
        other.apply(&effect).unwrap();
        assert_eq!(digest(&limiter).len(), chunks);
        assert_eq!(digest(&limiter), digest(&other));
        other = reload(&other, chunks);
        let d = peek(&limiter, end, &again);
        assert_eq!((d.is_allowed(), d.effect), (true, None));
    }
}

#[test]
fn thousands_of_ids_from_the_future_are_restamped_a_thousand_at_a_time() {
    const IDS: u32 = 3500;
    let limits = [Algo::Log, Algo::Gcra].map(|algo| spec(algo, 1_000_000, 60_000));
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
        let d = peek(&limiter, now, &never);
        let effect = d.effect.expect("there is something to restamp");
        limiter.apply(&effect).unwrap();
        other.apply(&effect).unwrap();
        assert_eq!(digest(&limiter), digest(&other));
        other = reload(&other, 1 + left as usize);
        let ahead = limiter.ids.as_ref().unwrap().iter();
        assert_eq!(
            ahead.filter(|(_, memo)| memo.at > Time(now)).count(),
            left as usize
        );
        for id in [&ids[0], &ids[3499]] {
            let d = peek(&limiter, now, &named(&limits, id));
            assert_eq!((d.is_allowed(), d.granted()), (true, 2));
            // Remembered from the first effect after the step on, whenever its turn comes.
            let end = back + 10 + 60_000;
            let d = limiter.check(Time(end - 1), &named(&limits, id), NO_BOUND);
            assert_eq!(d.unwrap().granted(), 2);
            let d = peek(&limiter, end, &named(&limits, id));
            assert_eq!(d.remaining, 999_998);
        }
        // Whether or not its turn has come, all that it charged is given back.
        let id = &ids[left as usize];
        let effect = limiter.refund_id(Time(now), id).unwrap();
        let mut then = reload(&limiter, 100);
        assert_eq!(then.apply(&effect), Ok(2), "{left} left");
        assert_eq!(then.refund_id(Time(now), id), None);
    }
    assert_eq!(peek(&limiter, back + 50, &never).effect, None);
    // Full of entries, meanwhile or not, it says so and does not wait for the future.
    let d = limiter
        .check(Time(back + 50), &ask(&limits, 1), 3000)
        .unwrap();
    assert_eq!((d.is_log_full(), retry(&d)), (true, 60_000 + 10 - 50));
}

#[test]
fn one_limit_too_many_is_no_error_where_a_denial_can_be_said() {
    let mut limiter = with_16_limits();
    let new = [spec(Algo::Fixed, 5, 1000)];
    let d = peek(&limiter, T0, &ask(&new, 6));
    assert_eq!(five(&d), [0, 5, 5, -1, 0]);
    let two = [new[0], spec(Algo::Log, 1, 101)];
    let d = peek(&limiter, T0, &ask(&two, 1));
    assert_eq!(five(&d), [0, 1, 0, 101, 101]);
    // Nor where another key denies.
    let all = |limiters: &[&Limiter], cost| check_all(Time(T0), limiters, &two, cost, NO_BOUND);
    let mut busy = Limiter::default();
    run(&mut busy, T0, &ask(&two[1..], 1));
    let d = all(&[&limiter, &busy], 1).unwrap();
    assert_eq!(d.retry_after, Some(Wait::For(Millis(101))));
    assert_eq!(five(&d.keys[0]), [1, 5, 5, 0, 0]);
    assert!(d.keys.iter().all(|key| key.effect.is_none()));
    let free = Limiter::default();
    assert_eq!(
        all(&[&limiter, &free], 1),
        Err(CheckError::TooManyLimitsInUse)
    );
    // A block denies whatever is asked.
    block(&mut limiter, T0, 500);
    let d = peek(&limiter, T0, &ask(&new, 1));
    assert_eq!(five(&d), [0, 5, 0, 500, 0]);
}
