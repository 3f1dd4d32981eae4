//! Leases against a plain map, and what they promise.

use super::*;
use modq_testkit::inspect::thread_time;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn ask_lease(max: u64, id: &[u8], ttl: u64, cost: u64) -> Acquire<'_> {
    Acquire {
        max,
        id,
        ttl: Millis(ttl),
        cost,
    }
}

fn acquire<'a>(leases: &Leases, now: u64, ask: &Acquire<'a>) -> Acquired<'a> {
    leases.acquire(Time(now), Token(now * 1000), ask)
}

/// Acquires and applies the effect.
fn take<'a>(leases: &mut Leases, now: u64, ask: &Acquire<'a>) -> Acquired<'a> {
    let answer = acquire(leases, now, ask);
    if let Outcome::Leased { effect, .. } = &answer.outcome {
        leases.apply(effect).unwrap();
    }
    answer
}

/// The fence that was got, and whether applying the effect may allocate.
#[track_caller]
fn leased(answer: &Acquired) -> (u64, bool) {
    match &answer.outcome {
        Outcome::Leased {
            fence, needs_alloc, ..
        } => (fence.0, *needs_alloc),
        Outcome::Denied { .. } => panic!("{answer:?}"),
    }
}

/// How long to wait, -1 for ever.
#[track_caller]
fn denied(answer: &Acquired) -> i64 {
    match answer.outcome {
        Outcome::Denied { retry_after, .. } => shown(Some(retry_after)),
        Outcome::Leased { .. } => panic!("{answer:?}"),
    }
}

/// What leases are, as literally as it can be put.
#[derive(Clone, Default)]
struct Model {
    /// id -> (cost, expires, fence)
    map: BTreeMap<u8, (u64, u64, u64)>,
    /// When each was taken or renewed.
    at: BTreeMap<u8, u64>,
    last_fence: u64,
}

impl Model {
    /// Whether a lease was taken later than now.
    fn ahead(&self, now: u64) -> bool {
        self.map.keys().any(|id| self.at[id] > now)
    }

    /// Whatever was taken later than now is as if it had been taken now.
    fn settle(&mut self, now: u64) {
        for (id, lease) in &mut self.map {
            let at = self.at.get_mut(id).unwrap();
            if *at > now {
                lease.1 -= *at - now;
                *at = now;
            }
        }
    }

    /// Units held at a time, but for those of one id.
    fn held(&self, time: u64, but: Option<u8>) -> u64 {
        let live = self.map.iter();
        let live = live.filter(|l| l.1.1 > time && Some(*l.0) != but);
        live.map(|l| l.1.0).sum()
    }

    /// Answers as `acquire` should: the fence, or the wait.
    fn acquire(&mut self, now: u64, id: u8, max: u64, ttl: u64, cost: u64) -> Result<u64, i64> {
        if self.held(now, Some(id)) + cost > max {
            let mut then = self.clone();
            then.settle(now);
            let wait = (1..5000).find(|d| then.held(now + d, Some(id)) + cost <= max);
            return Err(if cost > max { -1 } else { wait.unwrap() as i64 });
        }
        let fence = match self.map.get(&id).filter(|l| l.1 > now) {
            Some(own) => own.2,
            None => (self.last_fence + 1).max(now * 1000),
        };
        self.map.insert(id, (cost, now + ttl, fence));
        self.at.insert(id, now);
        self.last_fence = self.last_fence.max(fence);
        Ok(fence)
    }
}

/// Leases, and a replica that is sent records.
#[derive(Default)]
struct Pair {
    leases: Leases,
    replica: Leases,
}

impl Pair {
    fn apply(&mut self, effect: &LeaseEffect) {
        self.leases.apply(effect).unwrap();
        let mut record = vec![];
        let expires_at = self.leases.expires_at();
        effect.encode_into(expires_at, &mut record);
        let (decoded, expiry) = LeaseEffect::decode(&record).unwrap();
        assert_eq!((&decoded, expiry), (effect, expires_at));
        self.replica.apply(&decoded).unwrap();
    }

    fn agree(&self, now: u64, model: &Model) {
        let row = |(id, l): (&[u8], &Lease)| (id[0], (l.cost, l.expires.0, l.fence.0));
        let mut listed: Vec<_> = self.leases.list(Time(now)).map(row).collect();
        assert!(listed.windows(2).all(|w| w[0].1.1 <= w[1].1.1));
        listed.sort();
        let live = model.map.iter().filter(|l| l.1.1 > now);
        let live: Vec<_> = live.map(|l| (*l.0, *l.1)).collect();
        assert_eq!(listed, live);
        assert_eq!(self.leases.count(Time(now)), live.len());
        assert_eq!(self.leases.is_empty(), model.map.is_empty());
        let last = model.map.values().map(|l| Time(l.1)).max();
        assert_eq!(self.leases.expires_at(), last);
        assert_eq!(digest(&self.leases), digest(&self.replica));
    }
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
        let (mut pair, mut model) = (Pair::default(), Model::default());
        let mut now = T0;
        for (step, kind, id, ttl, cost, max) in ops {
            now = now.saturating_add_signed(step);
            let name = [id];
            let effect = match kind {
                0..=6 => {
                    let answer = acquire(&pair.leases, now, &ask_lease(max, &name, ttl, cost));
                    let expected = model.acquire(now, id, max, ttl, cost);
                    prop_assert_eq!(answer.in_use, model.held(now, None));
                    match answer.outcome {
                        Outcome::Leased { fence, effect, .. } => {
                            prop_assert_eq!(Ok(fence.0), expected);
                            Some(effect)
                        }
                        Outcome::Denied { retry_after, effect } => {
                            prop_assert_eq!(Err(shown(Some(retry_after))), expected);
                            prop_assert!(effect.is_some() || !model.ahead(now));
                            effect
                        }
                    }
                }
                7..=8 => {
                    let live = model.map.get(&id).is_some_and(|l| l.1 > now);
                    if live {
                        model.map.remove(&id);
                    }
                    let effect = pair.leases.release(Time(now), &name);
                    prop_assert_eq!(effect.is_some(), live);
                    effect
                }
                _ => {
                    pair.replica = reload(&pair.replica, ttl as usize);
                    None
                }
            };
            if let Some(effect) = effect {
                pair.apply(&effect);
                model.settle(effect.at().0);
                model.map.retain(|_, l| l.1 > effect.at().0);
            }
            pair.agree(now, &model);
        }
    }
}

#[test]
fn a_denied_renewal_leaves_the_lease_and_needs_only_the_others_gone() {
    let mut leases = Leases::default();
    take(&mut leases, T0, &ask_lease(10, b"a", 1000, 4));
    take(&mut leases, T0, &ask_lease(10, b"b", 500, 6));
    let d = take(&mut leases, T0 + 1, &ask_lease(10, b"a", 5000, 5));
    assert_eq!((denied(&d), d.in_use), (499, 10));
    let list = leases.list(Time(T0 + 1));
    let expires: Vec<u64> = list.map(|l| l.1.expires.0).collect();
    assert_eq!(expires, [T0 + 500, T0 + 1000]);
    let d = take(&mut leases, T0 + 500, &ask_lease(10, b"a", 5000, 10));
    assert_eq!((leased(&d), d.in_use), ((T0 * 1000, false), 10));
    let d = take(&mut leases, T0 + 500, &ask_lease(10, b"c", 5000, 11));
    assert_eq!(denied(&d), -1);
}

#[test]
fn leases_taken_ahead_last_no_longer_than_asked() {
    let mut leases = Leases::default();
    take(&mut leases, T0, &ask_lease(3, b"before", 90_000, 1));
    take(&mut leases, T0 + 60_000, &ask_lease(3, b"a", 1000, 1));
    take(&mut leases, T0 + 60_000, &ask_lease(3, b"b", 500, 1));
    for heir in [reload(&leases, 9), leases.clone()] {
        leases = heir;
        let d = acquire(&leases, T0 + 1, &ask_lease(3, b"c", 5, 1));
        assert_eq!((denied(&d), d.in_use), (500, 3));
        let Outcome::Denied { effect, .. } = d.outcome else {
            panic!("denied");
        };
        leases.apply(&effect.expect("restamps")).unwrap();
        let list = leases.list(Time(T0 + 1));
        let ends: Vec<u64> = list.map(|l| l.1.expires.0).collect();
        assert_eq!(ends, [T0 + 501, T0 + 1001, T0 + 90_000]);
        assert_eq!(digest(&reload(&leases, 1)), digest(&leases));
        assert_eq!(leases.count(Time(T0 + 1001)), 1);
        let again = acquire(&leases, T0 + 1, &ask_lease(3, b"c", 5, 1));
        assert!(matches!(
            again.outcome,
            Outcome::Denied { effect: None, .. }
        ));
    }
}

/// However many: some thousand for each effect.
#[test]
fn thousands_taken_ahead_are_restamped_in_portions() {
    let mut leases = Leases::default();
    for i in 0..3500u64 {
        let id = i.to_be_bytes();
        let ask = ask_lease(3500, &id, 1000 + i, 1);
        take(&mut leases, T0 + 60_000, &ask);
    }
    for portion in 0..4 {
        let d = acquire(&leases, T0 + portion, &ask_lease(3500, b"c", 5, 1));
        // What is restamped already ends earlier.
        let before = if portion < 3 { portion } else { 2 };
        assert!((1000 - before as i64..=1000).contains(&denied(&d)), "{d:?}");
        let Outcome::Denied { effect, .. } = d.outcome else {
            panic!("denied");
        };
        leases.apply(&effect.expect("restamps")).unwrap();
        leases = reload(&leases, 1000);
    }
    assert!(leases.list(Time(T0)).all(|(_, l)| l.expires.0 < T0 + 4600));
    let d = acquire(&leases, T0 + 3, &ask_lease(3500, b"c", 5, 1));
    assert!(matches!(d.outcome, Outcome::Denied { effect: None, .. }));
}

#[test]
fn fences_rise_whatever_the_clock_does() {
    let mut leases = Leases::default();
    let mut last = 0;
    for now in [T0, T0, T0 - 90, T0 + 5, T0 + 5] {
        let d = take(&mut leases, now, &ask_lease(1, b"x", 1000, 1));
        let (fence, _) = leased(&d);
        assert!(fence > last);
        last = fence;
        let release = leases.release(Time(now), b"x").unwrap();
        leases.apply(&release).unwrap();
        leases = reload(&leases, 10);
    }
    assert!(leases.is_empty() && leases.expires_at().is_none());
}

#[test]
fn one_more_than_a_hundred_thousand_waits_for_the_first_to_end() {
    let mut leases = Leases::default();
    let start = thread_time();
    for i in 0..MAX_LEASES as u64 {
        let id = (i * 7919 % 1_000_003).to_be_bytes();
        // Ends in no particular order.
        let ttl = 1000 + i * 7919 % 50_000;
        let d = take(&mut leases, T0, &ask_lease(MAX_VALUE, &id, ttl, 2));
        leased(&d);
    }
    // What is quadratic takes minutes.
    assert!((thread_time() - start).as_secs() < 30);
    let d = take(&mut leases, T0, &ask_lease(MAX_VALUE, b"new", 10, 1));
    assert_eq!(denied(&d), 1000);
    assert_eq!(d.in_use, 200_000);
    // Renewals and releases go on.
    let zero = 0u64.to_be_bytes();
    let d = take(&mut leases, T0, &ask_lease(MAX_VALUE, &zero, 7, 1));
    leased(&d);
    let start = thread_time();
    for _ in 0..100 {
        let ask = ask_lease(100_001, b"new", 10, 1);
        let wait = denied(&acquire(&leases, T0, &ask));
        leased(&acquire(&leases, T0 + wait as u64, &ask));
    }
    assert!((thread_time() - start).as_millis() < 1000);
    let back = reload(&leases, 10_000);
    assert_eq!(digest(&back), digest(&leases));
    // All ended: gone for every question at once, in memory a thousand at a time.
    let late = T0 + 100_000;
    assert_eq!(
        (leases.count(Time(late)), leases.list(Time(late)).count()),
        (0, 0)
    );
    let d = take(&mut leases, late, &ask_lease(1, &zero, 7, 1));
    assert_eq!((leased(&d).1, d.in_use), (true, 1));
    assert_eq!(leases.iter().count(), MAX_LEASES - 1000 + 1);
}

#[test]
fn lease_records_survive_mutilation() {
    let mut leases = Leases::default();
    let answer = take(&mut leases, T0, &ask_lease(10, b"abc", 500, 6));
    let Outcome::Leased { effect, .. } = answer.outcome else {
        panic!("{answer:?}");
    };
    let release = leases.release(Time(T0), b"abc").unwrap();
    for effect in [&effect, &release] {
        let mut record = vec![];
        effect.encode_into(Some(Time(T0 + 500)), &mut record);
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut bad = record.clone();
                bad[at] ^= 1 << bit;
                if let Ok((effect, _)) = LeaseEffect::decode(&bad) {
                    attack(leases.clone(), &effect);
                }
            }
        }
        for cut in 0..record.len() - 3 {
            assert!(LeaseEffect::decode(&record[..cut]).is_err());
        }
        assert!(Effect::decode(&record).is_err());
    }
    // A lease that is not there, and a fence that is not new.
    assert_eq!(Leases::default().apply(&release), Err(ApplyError));
    leases.apply(&release).unwrap();
    assert_eq!(leases.apply(&effect), Err(ApplyError));
}

/// Applies whatever decoded. Whether it fits or not, the value must be one that can be stored and
/// that answers the next request.
fn attack(mut leases: Leases, effect: &LeaseEffect) {
    let before = digest(&leases);
    match leases.apply(effect) {
        Ok(()) => assert_eq!(digest(&reload(&leases, 1)), digest(&leases)),
        Err(ApplyError) => assert_eq!(digest(&leases), before),
    }
    take(&mut leases, T0, &ask_lease(MAX_VALUE, b"next", 1, 1));
}
