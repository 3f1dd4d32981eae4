//! Values and records of limiters, leases and policies.

use super::{begin, canon, for_sample, from_empty, join, load, reloaded, save, split};
use modq_core::limiter::*;
use modq_core::units::{Millis, Time, Token};
use std::hint::black_box;

/// When the exercises begin, ms since 1970.
const START: u64 = 1_800_000_000_000;

const ALGOS: [Algo; 4] = [Algo::Log, Algo::Gcra, Algo::Counter, Algo::Fixed];

fn specs() -> Vec<LimitSpec> {
    let spec = |(n, algo): (usize, &Algo)| LimitSpec::new(3 + n as u64, Millis(1000), *algo, None);
    ALGOS
        .iter()
        .enumerate()
        .map(spec)
        .collect::<Result<_, _>>()
        .expect("in range")
}

/// Makes a change to a limiter and, by way of its record, to its replica.
fn change(limiter: &mut Limiter, replica: &mut Limiter, effect: &Effect<'_>) {
    let mut record = Vec::new();
    effect.encode_into(None, &mut record);
    limiter.apply(effect).expect("what was decided fits");
    let (again, _) = Effect::decode(&record).expect("it decodes");
    replica.apply(&again).expect("it applies");
}

/// Drives a limiter through every command, with a replica beside it.
fn exercise_limiter(mut limiter: Limiter) {
    let mut replica = reloaded(&limiter);
    let limits = specs();
    for (step, ms) in [0, 1, 700, 5, 1 << 41, 10].into_iter().enumerate() {
        let now = Time(START + ms);
        for (cost, id) in [(1, None), (2, Some(&b"id"[..])), (0, None), (1 << 53, None)] {
            let request = Request {
                limits: &limits[..1 + step % limits.len()],
                cost,
                id,
                partial: step % 2 == 0,
            };
            let Ok(decision) = limiter.check(now, &request, 1000) else {
                continue;
            };
            black_box(limiter.detail(now, &request, &decision));
            if let Some(effect) = decision.effect {
                change(&mut limiter, &mut replica, &effect);
            }
        }
        let refund = limiter.refund_cost(now, 1);
        refund
            .iter()
            .for_each(|effect| change(&mut limiter, &mut replica, effect));
        let refund = limiter.refund_id(now, b"id");
        refund
            .iter()
            .for_each(|effect| change(&mut limiter, &mut replica, effect));
        let block = limiter.block(now, Millis(100));
        change(&mut limiter, &mut replica, &block);
        let unblock = limiter.unblock(now);
        unblock
            .iter()
            .for_each(|effect| change(&mut limiter, &mut replica, effect));
        black_box((limiter.expires_at(), limiter.memory_bytes()));
        black_box(limiter.free_effort());
        assert_eq!(canon(&limiter), canon(&replica), "the replica is equal");
        reloaded(&limiter);
    }
    let reset = limiter.reset(Time(START));
    reset
        .iter()
        .for_each(|effect| change(&mut limiter, &mut replica, effect));
}

pub(super) fn limiter_value(input: &[u8]) -> bool {
    let Some(limiter) = load::<Limiter>(&split(input)) else {
        return false;
    };
    exercise_limiter(limiter);
    true
}

pub(super) fn limiter_record(input: &[u8]) -> bool {
    let Some((mut limiter, records)) = begin(input, || limiter_with(20)) else {
        return false;
    };
    let mut taken = false;
    for (effect, _) in records.into_iter().flat_map(Effect::decode) {
        let before = canon(&limiter);
        match limiter.apply(&effect) {
            Ok(_) => taken = true,
            Err(_) => assert_eq!(canon(&limiter), before, "a refused effect left a trace"),
        }
    }
    if taken {
        exercise_limiter(limiter);
    }
    taken
}

/// What makes a limiter, charge by charge.
fn charges(times: u64) -> (Limiter, Vec<Vec<u8>>) {
    let (mut limiter, mut replica) = (Limiter::default(), Limiter::default());
    let mut records = Vec::new();
    let limits = specs();
    for n in 0..times {
        let id = format!("id{n}");
        let request = Request {
            limits: &limits,
            cost: 1 + n % 2,
            id: (n % 3 == 0).then_some(id.as_bytes()),
            partial: false,
        };
        let decision = limiter.check(Time(START - 500 + n * 20), &request, 1000);
        if let Some(effect) = decision.expect("few limits").effect {
            let mut record = Vec::new();
            effect.encode_into(Some(Time(START + 5000)), &mut record);
            records.push(record);
            change(&mut limiter, &mut replica, &effect);
        }
    }
    let mut also = vec![limiter.block(Time(START), Millis(500))];
    also.extend(limiter.refund_cost(Time(START), 1));
    for effect in also {
        let mut record = Vec::new();
        effect.encode_into(None, &mut record);
        records.push(record);
    }
    (limiter, records)
}

fn limiter_with(times: u64) -> Limiter {
    charges(times).0
}

pub(super) fn limiter_values() -> Vec<Vec<u8>> {
    let of = |times, entries| join(&save(&limiter_with(times), entries));
    vec![of(0, 1), of(1, 1), of(40, 1), of(40, 100)]
}

pub(super) fn limiter_records() -> Vec<Vec<u8>> {
    let (_, records) = charges(10);
    let late = for_sample(&records[records.len() - 2..]);
    [from_empty(&records), vec![late]].concat()
}

/// Makes a change to leases and, by way of its record, to their replica.
fn change_leases(leases: &mut Leases, replica: &mut Leases, effect: &LeaseEffect<'_>) -> Vec<u8> {
    let mut record = Vec::new();
    effect.encode_into(None, &mut record);
    leases.apply(effect).expect("what was decided fits");
    let (again, _) = LeaseEffect::decode(&record).expect("it decodes");
    replica.apply(&again).expect("it applies");
    record
}

fn acquire<'a>(leases: &Leases, ms: u64, id: &'a [u8]) -> Option<LeaseEffect<'a>> {
    let ask = Acquire {
        max: 5,
        id,
        ttl: Millis(100),
        cost: 1,
    };
    let now = Time(START + ms);
    match leases.acquire(now, Token(now.0 * 1000), &ask).outcome {
        Outcome::Leased { effect, .. } => Some(effect),
        Outcome::Denied { .. } => None,
    }
}

fn exercise_leases(mut leases: Leases) {
    let mut replica = reloaded(&leases);
    for ms in [0, 50, 1000, 3, 1 << 41] {
        let now = Time(START + ms);
        let held: Vec<Vec<u8>> = leases
            .list(now)
            .map(|(id, _)| id.to_vec())
            .take(4)
            .collect();
        let asked = [&b"a"[..], b"b"]
            .into_iter()
            .chain(held.iter().map(|id| &id[..]));
        for id in asked {
            let effect = acquire(&leases, ms, id);
            effect
                .iter()
                .for_each(|effect| drop(change_leases(&mut leases, &mut replica, effect)));
        }
        let release = leases.release(now, b"a");
        release
            .iter()
            .for_each(|effect| drop(change_leases(&mut leases, &mut replica, effect)));
        black_box((leases.page(now, Token(0), 10), leases.count(now)));
        black_box((leases.expires_at(), leases.memory_bytes()));
        assert_eq!(canon(&leases), canon(&replica), "the replica is equal");
        reloaded(&leases);
    }
}

pub(super) fn lease_value(input: &[u8]) -> bool {
    let Some(leases) = load::<Leases>(&split(input)) else {
        return false;
    };
    exercise_leases(leases);
    true
}

pub(super) fn lease_record(input: &[u8]) -> bool {
    let Some((mut leases, records)) = begin(input, || some_leases().0) else {
        return false;
    };
    let mut taken = false;
    for (effect, _) in records.into_iter().flat_map(LeaseEffect::decode) {
        let before = canon(&leases);
        match leases.apply(&effect) {
            Ok(()) => taken = true,
            Err(_) => assert_eq!(canon(&leases), before, "a refused effect left a trace"),
        }
    }
    if taken {
        exercise_leases(leases);
    }
    taken
}

fn some_leases() -> (Leases, Vec<Vec<u8>>) {
    let (mut leases, mut replica) = (Leases::default(), Leases::default());
    let mut records = Vec::new();
    for (ms, id) in [(0, b"a"), (10, b"b"), (20, b"c"), (30, b"a")] {
        if let Some(effect) = acquire(&leases, ms, id) {
            records.push(change_leases(&mut leases, &mut replica, &effect));
        }
    }
    let release = leases.release(Time(START + 40), b"b");
    if let Some(effect) = &release {
        records.push(change_leases(&mut leases, &mut replica, effect));
    }
    (leases, records)
}

pub(super) fn lease_values() -> Vec<Vec<u8>> {
    let leases = some_leases().0;
    vec![join(&save(&leases, 1)), join(&save(&leases, 100))]
}

pub(super) fn lease_records() -> Vec<Vec<u8>> {
    let (_, records) = some_leases();
    let late = for_sample(&records[..1]);
    [from_empty(&records), vec![late]].concat()
}

pub(super) fn policies(input: &[u8]) -> bool {
    let Ok(policies) = Policies::decode(input) else {
        return false;
    };
    let again = Policies::decode(&policies.encode()).expect("what is saved loads");
    assert!(again.iter().eq(policies.iter()), "a reload changes nothing");
    for (name, limits) in policies.iter() {
        assert_eq!(policies.get(name), Some(limits));
        let request = Request {
            limits,
            cost: 1,
            id: None,
            partial: false,
        };
        Limiter::default().check(Time(START), &request, 1000).ok();
    }
    true
}

pub(super) fn policy_sets() -> Vec<Vec<u8>> {
    let mut policies = Policies::default();
    let mut seeds = vec![policies.encode()];
    for (n, name) in [&b"login"[..], b"post", b"x"].iter().enumerate() {
        policies.set(name, &specs()[n..]).expect("a good policy");
        seeds.push(policies.encode());
    }
    seeds
}
