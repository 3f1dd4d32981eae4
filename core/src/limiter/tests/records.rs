//! Bytes from outside: truncated, flipped and made up ones must be refused or make a valid value.

use super::*;
use proptest::prelude::*;

/// A limiter with something of everything, and an effect of every kind that fits it.
fn sample() -> (Limiter, Vec<Vec<u8>>) {
    let mut limiter = Limiter::default();
    let mut records = vec![];
    let mut keep = |limiter: &Limiter, effect: &Effect| {
        let mut bytes = vec![];
        effect.encode_into(limiter.expires_at(), &mut bytes);
        records.push(bytes);
    };
    let limits: Vec<LimitSpec> = ALGOS.map(|algo| spec(algo, 500, 60_000)).into();
    let burst = [LimitSpec::new(5, Millis(1000), Algo::Gcra, Some(70)).unwrap()];
    for i in 0..40u64 {
        let id = [i as u8; 3];
        let request = Request {
            id: (i % 4 == 0).then_some(&id[..]),
            ..ask(&limits, 1 + i % 3)
        };
        let d = peek(&limiter, T0 + i * 7, &request);
        limiter.apply(d.effect.as_ref().unwrap()).unwrap();
        keep(&limiter, d.effect.as_ref().unwrap());
    }
    let now = T0 + 300;
    let d = peek(&limiter, now, &ask(&burst, 66));
    keep(&limiter, d.effect.as_ref().unwrap());
    limiter.apply(d.effect.as_ref().unwrap()).unwrap();
    let block = limiter.block(Time(now), Millis(10_000));
    limiter.apply(&block).unwrap();
    keep(&limiter, &block);
    keep(&limiter, &limiter.refund_cost(Time(now), 9).unwrap());
    keep(&limiter, &limiter.refund_id(Time(now), &[4; 3]).unwrap());
    keep(&limiter, &limiter.reset(Time(now)).unwrap());
    let d = peek(&limiter, T0 - 5, &ask(&burst, 0));
    keep(&limiter, d.effect.as_ref().unwrap());
    (limiter, records)
}

/// Applies whatever decodes; the value must stay one that can be asked, stored and loaded.
fn attack(limiter: &Limiter, bytes: &[u8]) {
    let Ok((effect, _)) = Effect::decode(bytes) else {
        return;
    };
    let mut limiter = limiter.clone();
    let before = digest(&limiter);
    match limiter.apply(&effect) {
        Ok(_) => exercise(&limiter),
        Err(_) => assert_eq!(digest(&limiter), before),
    }
}

fn exercise(limiter: &Limiter) {
    let limits: Vec<LimitSpec> = ALGOS.map(|algo| spec(algo, 500, 60_000)).into();
    for now in [0, T0, T0 + 30_000, MAX_VALUE, u64::MAX] {
        for cost in [0, 1, MAX_VALUE] {
            let request = ask(&limits, cost);
            if let Ok(d) = limiter.check(Time(now), &request, 10) {
                limiter.detail(Time(now), &request, &d);
                if let Some(effect) = &d.effect {
                    let mut copy = limiter.clone();
                    copy.apply(effect).unwrap();
                    assert_eq!(digest(&reload(&copy, 3)), digest(&copy));
                }
            }
        }
        for n in [1, MAX_VALUE] {
            if let Some(effect) = limiter.refund_cost(Time(now), n) {
                limiter.clone().apply(&effect).unwrap();
            }
        }
        if let Some(effect) = limiter.refund_id(Time(now), &[4; 3]) {
            limiter.clone().apply(&effect).unwrap();
        }
    }
    assert_eq!(digest(&reload(limiter, 7)), digest(limiter));
    assert!(limiter.expires_at().is_none_or(|at| at <= Time(MAX_VALUE)));
}

#[test]
fn effects_are_small_and_survive_mutilation() {
    let limits = [spec(Algo::Log, 100, 60_000)];
    let mut limiter = Limiter::default();
    let d = run(&mut limiter, T0, &ask(&limits, 1));
    let mut bytes = vec![];
    d.effect
        .unwrap()
        .encode_into(limiter.expires_at(), &mut bytes);
    assert!(bytes.len() <= 20, "{}", bytes.len());

    let (limiter, records) = sample();
    for record in &records {
        assert!(Effect::decode(record).is_ok());
        for cut in 0..record.len() {
            // What ends in an id stays one when cut there.
            attack(&limiter, &record[..cut]);
        }
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut bad = record.clone();
                bad[at] ^= 1 << bit;
                attack(&limiter, &bad);
            }
        }
        let has_id = record[1] & 0b1111 == 0b1000 || record[1] == 2;
        if !has_id {
            let longer = [&record[..], &[0]].concat();
            assert!(Effect::decode(&longer).is_err());
            for cut in 0..record.len() {
                assert!(Effect::decode(&record[..cut]).is_err());
            }
        }
    }
}

#[test]
fn impossible_effects_change_nothing() {
    let (full, _) = sample();
    let limits = [spec(Algo::Log, MAX_VALUE, 60_000)];
    let mut empty = Limiter::default();
    let d = empty.check(Time(T0 + 300), &ask(&limits, MAX_VALUE), NO_BOUND);
    let effect = d.unwrap().effect.unwrap();
    assert_eq!(full.clone().apply(&effect), Err(ApplyError));
    assert_eq!(empty.apply(&effect), Ok(0));
    let known = Request {
        id: Some(&[4; 3]),
        ..ask(&limits, 1)
    };
    let d = Limiter::default()
        .check(Time(T0 + 300), &known, NO_BOUND)
        .unwrap();
    assert_eq!(full.clone().apply(&d.effect.unwrap()), Err(ApplyError));
    let refund = full.refund_cost(Time(T0 + 300), 1).unwrap();
    let refund_id = full.refund_id(Time(T0 + 300), &[4; 3]).unwrap();
    for effect in [refund, refund_id] {
        assert_eq!(Limiter::default().apply(&effect), Err(ApplyError));
    }
}

/// Else what was applied could be saved and not be loaded again.
#[test]
fn no_block_is_longer_than_a_command_asks_for() {
    let block = |ms| Effect {
        at: Time(T0),
        change: effect::Change::Block {
            until: Time(T0) + Millis(ms),
        },
    };
    let mut limiter = Limiter::default();
    assert_eq!(limiter.apply(&block(MAX_VALUE + 1)), Err(ApplyError));
    assert!(limiter.is_empty());
    assert_eq!(limiter.apply(&block(MAX_VALUE)), Ok(0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn made_up_effects(tag in 0..=255u8, rest in prop::collection::vec(any::<u8>(), 0..60)) {
        attack(&sample().0, &[&[tag][..], &rest].concat());
    }

    #[test]
    fn made_up_chunks(kind in 0..8u8, rest in prop::collection::vec(prop_oneof![0..6u8, any::<u8>()], 0..60)) {
        load_any(&[&[kind][..], &rest].concat());
    }
}

/// Loads a chunk into an empty value and, if that goes, uses the value.
fn load_any(chunk: &[u8]) {
    let mut limiter = Limiter::default();
    if limiter.load(Limiter::VERSION, chunk).is_ok() && limiter.finish().is_ok() {
        exercise(&limiter);
    }
    let mut leases = Leases::default();
    if leases.load(Leases::VERSION, chunk).is_ok() && leases.finish().is_ok() {
        assert_eq!(digest(&reload(&leases, 2)), digest(&leases));
    }
    if let Ok(policies) = Policies::decode(chunk) {
        assert_eq!(Policies::decode(&policies.encode()), Ok(policies));
    }
}

#[test]
fn stored_chunks_survive_mutilation() {
    let (limiter, _) = sample();
    let mut chunks = vec![];
    limiter.save(50, &mut |chunk| chunks.push(chunk.to_vec()));
    assert!(chunks.len() >= 6);
    for chunk in &chunks {
        for cut in 0..chunk.len() {
            assert!(
                Limiter::default()
                    .load(Limiter::VERSION, &chunk[..cut])
                    .is_err()
            );
        }
        let longer = [&chunk[..], &[0]].concat();
        assert!(Limiter::default().load(Limiter::VERSION, &longer).is_err());
        assert!(
            Limiter::default()
                .load(Limiter::VERSION + 1, chunk)
                .is_err()
        );
        for at in 0..chunk.len() {
            for bit in 0..8 {
                let mut bad = chunk.clone();
                bad[at] ^= 1 << bit;
                load_any(&bad);
            }
        }
        // Twice the same is too much.
        let mut twice = Limiter::default();
        twice.load(Limiter::VERSION, chunk).unwrap();
        assert!(twice.load(Limiter::VERSION, chunk).is_err());
    }
}

#[test]
fn policies_are_kept_by_name_and_stored_as_a_whole() {
    let mut policies = Policies::default();
    let api = [
        spec(Algo::Log, 5, 1000),
        LimitSpec::new(5, Millis(1000), Algo::Gcra, Some(9)).unwrap(),
    ];
    policies.set(b"b", &api[..1]).unwrap();
    policies.set(b"\xff\0", &api).unwrap();
    policies.set(b"a", &api).unwrap();
    policies.set(b"a", &api[1..]).unwrap();
    let names: Vec<&[u8]> = policies.iter().map(|p| p.0).collect();
    assert_eq!(names, [&b"a"[..], b"b", b"\xff\0"]);
    assert_eq!(policies.get(b"a"), Some(&api[1..]));
    assert_eq!(policies.get(b"c"), None);

    let bytes = policies.encode();
    assert_eq!(Policies::decode(&bytes), Ok(policies.clone()));
    for cut in 0..bytes.len() {
        assert!(Policies::decode(&bytes[..cut]).is_err());
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            if let Ok(other) = Policies::decode(&bad) {
                assert_eq!(Policies::decode(&other.encode()), Ok(other));
            }
        }
    }
    assert!(policies.del(b"a") && !policies.del(b"a"));
    assert_eq!(policies.len(), 2);

    assert_eq!(policies.set(b"", &api), Err(PolicyError::NameLength));
    assert_eq!(
        policies.set(&[b'x'; 513], &api),
        Err(PolicyError::NameLength)
    );
    let bad = |limits: &[LimitSpec]| Policies::default().set(b"x", limits);
    assert_eq!(bad(&[]), Err(PolicyError::Limits(SpecError::NoLimits)));
    let same = [api[0], spec(Algo::Log, 7, 1000)];
    assert_eq!(
        bad(&same),
        Err(PolicyError::Limits(SpecError::RepeatedLimit))
    );
    let nine: Vec<LimitSpec> = (1..=9).map(|w| spec(Algo::Log, 1, w)).collect();
    assert_eq!(
        bad(&nine),
        Err(PolicyError::Limits(SpecError::TooManyLimits))
    );
    assert_eq!(bad(&nine[..8]), Ok(()));
}

#[test]
fn limits_have_their_ranges() {
    let new = |quota, window, algo, burst| LimitSpec::new(quota, Millis(window), algo, burst);
    assert_eq!(new(0, 1, Algo::Log, None), Err(SpecError::QuotaOutOfRange));
    assert_eq!(
        new(MAX_VALUE + 1, 1, Algo::Log, None),
        Err(SpecError::QuotaOutOfRange)
    );
    assert_eq!(new(1, 0, Algo::Log, None), Err(SpecError::WindowOutOfRange));
    assert_eq!(
        new(1, MAX_VALUE + 1, Algo::Log, None),
        Err(SpecError::WindowOutOfRange)
    );
    assert_eq!(
        new(1, 1, Algo::Gcra, Some(0)),
        Err(SpecError::BurstOutOfRange)
    );
    assert_eq!(
        new(1, 1, Algo::Fixed, Some(1)),
        Err(SpecError::BurstWithoutGcra)
    );
    let widest = new(MAX_VALUE, MAX_VALUE, Algo::Gcra, Some(MAX_VALUE)).unwrap();
    assert_eq!((widest.quota(), widest.burst()), (MAX_VALUE, MAX_VALUE));
    assert_eq!(Algo::from_name(b"gCrA"), Some(Algo::Gcra));
    assert_eq!(Algo::from_name(b"GCR"), None);
}
