//! Leases against a plain map, and what they promise.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn ask_lease(max: u64, id: &[u8], ttl: u64, cost: u64) -> Acquire<'_> {
    Acquire { max, id, ttl, cost }
}

fn take<'a>(leases: &mut Leases, now: u64, ask: &Acquire<'a>) -> Acquired<'a> {
    let answer = leases.acquire(now, now * 1000, ask);
    if let Some(effect) = &answer.effect {
        leases.apply(effect).unwrap();
    }
    answer
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agree_with_a_plain_map(
        ops in prop::collection::vec(
            (prop_oneof![8 => 0..8i64, 1 => -20..20i64], 0..10u8, 0..12u8, 1..40u64, 1..6u64, 1..12u64),
            1..120,
        )
    ) {
        let mut leases = Leases::default();
        let mut replica = Leases::default();
        // id -> (cost, expires, fence)
        let mut map: BTreeMap<u8, (u64, u64, u64)> = BTreeMap::new();
        let mut last = 0;
        let mut now = T0;
        for (step, kind, id, ttl, cost, max) in ops {
            now = now.saturating_add_signed(step);
            let name = [id];
            let held = |map: &BTreeMap<u8, (u64, u64, u64)>, time: u64, but: Option<u8>| -> u64 {
                let live = map.iter().filter(|l| l.1.1 > time && Some(*l.0) != but);
                live.map(|l| l.1.0).sum()
            };
            let effect = match kind {
                0..=6 => {
                    let answer = leases.acquire(now, now * 1000, &ask_lease(max, &name, ttl, cost));
                    if held(&map, now, Some(id)) + cost <= max {
                        let fence = match map.get(&id).filter(|l| l.1 > now) {
                            Some(own) => own.2,
                            None => (last + 1).max(now * 1000),
                        };
                        map.insert(id, (cost, now + ttl, fence));
                        last = last.max(fence);
                        prop_assert_eq!(answer.acquired, 1);
                        prop_assert_eq!(answer.retry_after, 0);
                        prop_assert_eq!(answer.fence as u64, fence);
                    } else {
                        let wait = (1..5000).find(|d| held(&map, now + d, Some(id)) + cost <= max);
                        let wait = if cost > max { -1 } else { wait.unwrap() as i64 };
                        prop_assert_eq!((answer.acquired, answer.retry_after, answer.fence), (0, wait, 0));
                        prop_assert!(answer.effect.is_none());
                    }
                    prop_assert_eq!(answer.in_use as u64, held(&map, now, None));
                    prop_assert_eq!(answer.max as u64, max);
                    answer.effect
                }
                7..=8 => {
                    let live = map.get(&id).is_some_and(|l| l.1 > now);
                    if live {
                        map.remove(&id);
                    }
                    let effect = leases.release(now, &name);
                    prop_assert_eq!(effect.is_some(), live);
                    effect
                }
                _ => {
                    replica = reload(&replica, ttl as usize);
                    None
                }
            };
            if let Some(effect) = effect {
                leases.apply(&effect).unwrap();
                map.retain(|_, l| l.1 > effect.at());
                let mut bytes = vec![];
                let expires_at = leases.expires_at().unwrap_or(0);
                effect.encode_into(expires_at, &mut bytes);
                let (decoded, expiry) = LeaseEffect::decode(&bytes).unwrap();
                prop_assert_eq!((&decoded, expiry), (&effect, expires_at));
                replica.apply(&decoded).unwrap();
            }
            let mut listed: Vec<_> = leases.list(now).map(|(id, l)| (id[0], (l.cost, l.expires, l.fence))).collect();
            prop_assert!(listed.windows(2).all(|w| w[0].1.1 <= w[1].1.1));
            listed.sort();
            let live: Vec<_> = map.iter().filter(|l| l.1.1 > now).map(|l| (*l.0, *l.1)).collect();
            prop_assert_eq!(&listed, &live);
            prop_assert_eq!(leases.len(now), live.len());
            prop_assert_eq!(leases.is_empty(), map.is_empty());
            prop_assert_eq!(leases.expires_at(), map.values().map(|l| l.1).max());
            prop_assert_eq!(digest(&leases), digest(&replica));
        }
    }
}

#[test]
fn a_denied_renewal_leaves_the_lease_and_needs_only_the_others_gone() {
    let mut leases = Leases::default();
    take(&mut leases, T0, &ask_lease(10, b"a", 1000, 4));
    take(&mut leases, T0, &ask_lease(10, b"b", 500, 6));
    let d = take(&mut leases, T0 + 1, &ask_lease(10, b"a", 5000, 5));
    assert_eq!(
        (d.acquired, d.in_use, d.retry_after, d.fence),
        (0, 10, 499, 0)
    );
    let expires: Vec<u64> = leases.list(T0 + 1).map(|l| l.1.expires).collect();
    assert_eq!(expires, [T0 + 500, T0 + 1000]);
    let d = take(&mut leases, T0 + 500, &ask_lease(10, b"a", 5000, 10));
    assert_eq!((d.acquired, d.in_use, d.fence as u64), (1, 10, T0 * 1000));
    assert!(!d.needs_alloc);
    let d = take(&mut leases, T0 + 500, &ask_lease(10, b"c", 5000, 11));
    assert_eq!((d.acquired, d.retry_after), (0, -1));
}

#[test]
fn fences_rise_whatever_the_clock_does() {
    let mut leases = Leases::default();
    let mut last = 0;
    for now in [T0, T0, T0 - 90, T0 + 5, T0 + 5] {
        let d = take(&mut leases, now, &ask_lease(1, b"x", 1000, 1));
        assert!(d.fence > last);
        last = d.fence;
        let release = leases.release(now, b"x").unwrap();
        leases.apply(&release).unwrap();
        leases = reload(&leases, 10);
    }
    assert!(leases.is_empty() && leases.expires_at().is_none());
}

#[test]
fn one_more_than_a_hundred_thousand_waits_for_the_first_to_end() {
    let mut leases = Leases::default();
    let start = std::time::Instant::now();
    for i in 0..MAX_LEASES as u64 {
        let id = (i * 7919 % 1_000_003).to_be_bytes();
        // Ends in no particular order.
        let ttl = 1000 + i * 7919 % 50_000;
        let d = take(&mut leases, T0, &ask_lease(MAX_VALUE, &id, ttl, 2));
        assert_eq!(d.acquired, 1);
    }
    // Some seconds on a busy machine; what is quadratic takes minutes.
    assert!(start.elapsed().as_secs() < 30);
    let d = take(&mut leases, T0, &ask_lease(MAX_VALUE, b"new", 10, 1));
    assert_eq!((d.acquired, d.retry_after), (0, 1000));
    assert_eq!(d.in_use, 200_000);
    // Renewals and releases go on.
    let zero = 0u64.to_be_bytes();
    let d = take(&mut leases, T0, &ask_lease(MAX_VALUE, &zero, 7, 1));
    assert_eq!(d.acquired, 1);
    let start = std::time::Instant::now();
    for _ in 0..100 {
        let d = leases.acquire(T0, T0, &ask_lease(100_001, b"new", 10, 1));
        assert_eq!(d.acquired, 0);
        let half = T0 + d.retry_after as u64;
        assert!(
            leases
                .acquire(half, half, &ask_lease(100_001, b"new", 10, 1))
                .acquired
                == 1
        );
    }
    assert!(start.elapsed().as_millis() < 1000);
    let back = reload(&leases, 10_000);
    assert_eq!(digest(&back), digest(&leases));
    // All ended: gone for every question at once, in memory a thousand at a time.
    let late = T0 + 100_000;
    assert_eq!((leases.len(late), leases.list(late).count()), (0, 0));
    let d = take(&mut leases, late, &ask_lease(1, &zero, 7, 1));
    assert_eq!((d.acquired, d.in_use, d.needs_alloc), (1, 1, true));
    assert_eq!(leases.iter().count(), MAX_LEASES - 1000 + 1);
}

#[test]
fn lease_records_survive_mutilation() {
    let mut leases = Leases::default();
    let acquire = take(&mut leases, T0, &ask_lease(10, b"abc", 500, 6));
    let release = leases.release(T0, b"abc").unwrap();
    let acquire = acquire.effect.unwrap();
    for effect in [&acquire, &release] {
        let mut record = vec![];
        effect.encode_into(T0 + 500, &mut record);
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut bad = record.clone();
                bad[at] ^= 1 << bit;
                let Ok((effect, _)) = LeaseEffect::decode(&bad) else {
                    continue;
                };
                let mut copy = leases.clone();
                let before = digest(&copy);
                match copy.apply(&effect) {
                    Ok(()) => assert_eq!(digest(&reload(&copy, 1)), digest(&copy)),
                    Err(ApplyError) => assert_eq!(digest(&copy), before),
                }
                // Whatever came, the next request is answered.
                let next = copy.acquire(T0, T0 * 1000, &ask_lease(MAX_VALUE, b"next", 1, 1));
                if let Some(effect) = next.effect {
                    copy.apply(&effect).unwrap();
                }
            }
        }
        for cut in 0..record.len() - 3 {
            assert!(LeaseEffect::decode(&record[..cut]).is_err());
        }
        assert!(Effect::decode(&record).is_err());
    }
    // A fence that is not the lease's, an old one, a lease not there.
    assert_eq!(Leases::default().apply(&release), Err(ApplyError));
    leases.apply(&release).unwrap();
    assert_eq!(leases.apply(&acquire), Err(ApplyError));
}
