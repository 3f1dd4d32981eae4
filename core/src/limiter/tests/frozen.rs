//! What has been written once is read for ever: the golden files of version 1, and the layout of
//! every record and chunk as it is written today.

use super::*;
use crate::codec::DecodeError;
use std::collections::BTreeMap;

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/golden/v1/",
            $name
        ))
    };
}

/// The commands of an AOF file without RDB preamble, as lists of words.
fn commands(mut aof: &[u8]) -> Vec<Vec<&[u8]>> {
    fn number(aof: &mut &[u8], kind: u8) -> usize {
        let end = aof.iter().position(|byte| *byte == b'\r').unwrap();
        assert_eq!(aof[0], kind);
        let number = std::str::from_utf8(&aof[1..end]).unwrap().parse().unwrap();
        *aof = &aof[end + 2..];
        number
    }
    let mut commands = vec![];
    while !aof.is_empty() {
        let words = (0..number(&mut aof, b'*')).map(|_| {
            let length = number(&mut aof, b'$');
            let (word, rest) = aof.split_at(length);
            aof = &rest[2..];
            word
        });
        commands.push(words.collect());
    }
    commands
}

/// Keys of limits and of leases.
#[derive(Default)]
struct Keys<'a> {
    limiters: BTreeMap<&'a [u8], Limiter>,
    leases: BTreeMap<&'a [u8], Leases>,
}

impl Keys<'_> {
    fn told_by_version_1(&self) -> Vec<Vec<Vec<u8>>> {
        let limiters = self.limiters.iter();
        let told = limiters.filter(|(key, _)| **key != b"g:blocked");
        told.map(|(_, limiter)| digest(limiter)).collect()
    }
}

/// Carries out the records of an AOF that was written before records had versions. Each must be
/// written today as it was then, behind the version.
fn replay<'a>(commands: &[Vec<&'a [u8]>]) -> Keys<'a> {
    let mut keys = Keys::default();
    let mut seen = [0; 2];
    for command in commands {
        let &[name, key, record] = &command[..] else {
            continue;
        };
        let mut now = vec![];
        if name.eq_ignore_ascii_case(b"modq._r") {
            let (effect, expires_at) = Effect::decode(record).unwrap();
            effect.encode_into(expires_at, &mut now);
            let limiter = keys.limiters.entry(key).or_default();
            limiter.apply(&effect).unwrap();
            assert_eq!(limiter.expires_at(), expires_at);
            assert_eq!(Effect::decode(&now), Effect::decode(record));
            seen[0] += 1;
        } else if name.eq_ignore_ascii_case(b"modq._l") {
            let (effect, expires_at) = LeaseEffect::decode(record).unwrap();
            effect.encode_into(expires_at, &mut now);
            let leases = keys.leases.entry(key).or_default();
            leases.apply(&effect).unwrap();
            assert_eq!(leases.expires_at(), expires_at);
            assert_eq!(LeaseEffect::decode(&now), LeaseEffect::decode(record));
            seen[1] += 1;
        } else {
            continue;
        }
        assert!(record[0] < 0x80, "a record without a version");
        assert_eq!((now[0], &now[1..]), (0x81, record));
    }
    assert_eq!(seen, [719, 602]);
    keys
}

/// Loads the chunks of a rewritten AOF.
fn load<'a>(commands: &[Vec<&'a [u8]>]) -> Keys<'a> {
    let mut keys = Keys::default();
    for command in commands {
        let &[_, key, kind, b"1", b"first" | b"more", chunk] = &command[..] else {
            continue;
        };
        match kind {
            b"limit" => keys.limiters.entry(key).or_default().load(1, chunk),
            b"lease" => keys.leases.entry(key).or_default().load(1, chunk),
            _ => continue,
        }
        .unwrap();
    }
    keys
}

#[test]
fn records_without_a_version_and_chunks_of_version_1_hold_what_they_held() {
    let effects = commands(golden!("effects.aof"));
    let rewritten = commands(golden!("rewritten.aof"));
    let replayed = replay(&effects);
    let loaded = load(&rewritten);
    assert_eq!((loaded.limiters.len(), loaded.leases.len()), (6, 1));
    // Effects tell for how long a block and leases were set, which version 1 did not store.
    assert_eq!(replayed.told_by_version_1(), loaded.told_by_version_1());
    let all = |keys: &Keys| {
        let leases = keys.leases.values().flat_map(|leases| leases.list(Time(0)));
        let leases: Vec<(Vec<u8>, Lease)> = leases.map(|(id, l)| (id.to_vec(), *l)).collect();
        let ends = keys.limiters.values().map(Limiter::expires_at);
        (leases, ends.collect::<Vec<_>>())
    };
    assert_eq!(all(&replayed), all(&loaded));
    // And is written today as it was then, in chunks of 512 entries.
    let kinds: [(&[u8], Vec<_>); 2] = [
        (
            b"limit",
            loaded
                .limiters
                .iter()
                .map(|(key, value)| (*key, chunks(value)))
                .collect(),
        ),
        (
            b"lease",
            loaded
                .leases
                .iter()
                .map(|(key, value)| (*key, chunks(value)))
                .collect(),
        ),
    ];
    for (kind, values) in kinds {
        for (key, now) in values {
            let then = rewritten
                .iter()
                .filter(|c| c.len() == 6 && c[1] == key && c[2] == kind);
            let mut then: Vec<_> = then.map(|command| command[5].to_vec()).collect();
            then.retain(|chunk| !chunk.is_empty());
            assert!(now == then, "{}", String::from_utf8_lossy(key));
        }
    }
}

fn chunks<T: Persist>(value: &T) -> Vec<Vec<u8>> {
    let mut chunks = vec![];
    value.save(512, &mut |chunk| chunks.push(chunk.to_vec()));
    chunks
}

#[test]
fn policies_of_version_1_hold_what_they_held() {
    let rewritten = commands(golden!("rewritten.aof"));
    let is_policies = |c: &&Vec<&[u8]>| c[0].eq_ignore_ascii_case(b"ratelimit._policies");
    let bytes = rewritten.iter().find(is_policies).unwrap()[1];
    let policies = Policies::decode(bytes).unwrap();
    let mut expected = Policies::default();
    let free = [
        spec(Algo::Log, 10, 60_000),
        spec(Algo::Counter, 100, 86_400_000),
    ];
    expected.set(b"free", &free).unwrap();
    let paid = [LimitSpec::new(100, Millis(60_000), Algo::Gcra, Some(500)).unwrap()];
    expected.set(b"paid", &paid).unwrap();
    assert_eq!(policies, expected);
    assert_eq!(policies.encode(), bytes);
    // The first byte is the version, less one; there is no other.
    for version in 0..=255 {
        let other = [&[version], &bytes[1..]].concat();
        assert_eq!(Policies::decode(&other).is_ok(), version == 0, "{version}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Applies an effect; its record must be these bytes, and mean the same without the version.
#[track_caller]
fn pinned(limiter: &mut Limiter, effect: Option<Effect>, bytes: &str) {
    let effect = effect.expect("an effect");
    limiter.apply(&effect).unwrap();
    let mut record = vec![];
    effect.encode_into(limiter.expires_at(), &mut record);
    assert_eq!(hex(&record), bytes);
    let decoded = Effect::decode(&record);
    assert_eq!(decoded.as_ref().map(|(effect, _)| effect), Ok(&effect));
    assert_eq!(Effect::decode(&record[1..]), decoded);
    assert!(record[1] < 0x80);
    assert!(LeaseEffect::decode(&record).is_err());
    for version in (0x80..=0xff).filter(|version| *version != 0x81) {
        record[0] = version;
        assert!(Effect::decode(&record).is_err(), "version {version}");
    }
}

#[test]
fn records_of_limiters_stay_as_they_are() {
    let mut limiter = Limiter::default();
    let all = [
        spec(Algo::Log, 5, 1000),
        spec(Algo::Counter, 300, 60_000),
        spec(Algo::Fixed, 70_000, 86_400_000),
        LimitSpec::new(100, Millis(60_000), Algo::Gcra, Some(500)).unwrap(),
    ];
    let one = peek(&limiter, T0, &ask(&all[..1], 1));
    pinned(&mut limiter, one.effect, "810000c02cc8990100a20f03823e0b");
    let request = Request {
        id: Some(b"job"),
        ..ask(&all, 2)
    };
    let four = peek(&limiter, T0 + 1, &request);
    pinned(
        &mut limiter,
        four.effect,
        "813801c02cc899010008c0655205823e0b0c4c1db20450002e9302848b081c4c1dc9d2076a6f62",
    );
    let refund = limiter.refund_cost(Time(T0 + 2), 1);
    pinned(&mut limiter, refund, "810102c02cc8990100f8bf655203");
    let refund = limiter.refund_id(Time(T0 + 3), b"job");
    pinned(&mut limiter, refund, "810203c02cc8990100960f6a6f62");
    let block = Some(limiter.block(Time(T0 + 4), Millis(500)));
    pinned(&mut limiter, block, "810404c02cc8990100920f207e300b7266");
    let lifted = limiter.unblock(Time(T0 + 5));
    pinned(&mut limiter, lifted, "810405c02cc89901008e0f01");
    let denied = peek(&limiter, T0 - 6, &ask(&all[..1], 9));
    pinned(&mut limiter, denied.effect, "8105fabf2cc8990100a20f");
    let reset = limiter.reset(Time(T0 - 6));
    pinned(&mut limiter, reset, "8103fabf2cc8990100000640d33766feffff");
}

/// What records without a version begin with: no version does.
#[test]
fn tags_are_below_all_versions() {
    let limits: Vec<LimitSpec> = (1..=8).map(|w| spec(Algo::Log, 1, w)).collect();
    let mut tags = vec![];
    for n in 1..=limits.len() {
        for id in [None, Some(&b"job"[..])] {
            let request = Request {
                id,
                ..ask(&limits[..n], 1)
            };
            let effect = peek(&Limiter::default(), T0, &request).effect.unwrap();
            let mut record = vec![];
            effect.encode_into(Some(Time(T0 + 8)), &mut record);
            assert_eq!(Effect::decode(&record[1..]).unwrap().0, effect);
            tags.push(record[1]);
        }
    }
    let expected: Vec<u8> = (0..16).map(|i| i << 3).collect();
    assert_eq!(tags, expected);
    // Tags that are not in use, and those of leases.
    let mut record = vec![0x81, 5];
    record.extend_from_slice(&T0.to_le_bytes()[..7]);
    record.push(1);
    assert!(Effect::decode(&record).is_ok());
    for tag in (6..=0xff).filter(|tag| tag % 8 != 0) {
        record[1] = tag;
        assert_eq!(Effect::decode(&record), Err(DecodeError), "tag {tag}");
    }
}

#[test]
fn records_of_leases_stay_as_they_are() {
    let mut leases = Leases::default();
    let pinned = |leases: &mut Leases, effect: Option<LeaseEffect>, bytes: &str| {
        let effect = effect.expect("an effect");
        leases.apply(&effect).unwrap();
        let mut record = vec![];
        effect.encode_into(leases.expires_at(), &mut record);
        assert_eq!(hex(&record), bytes);
        let decoded = LeaseEffect::decode(&record);
        assert_eq!(decoded.as_ref().map(|(effect, _)| effect), Ok(&effect));
        assert_eq!(LeaseEffect::decode(&record[1..]), decoded);
        assert!(Effect::decode(&record).is_err());
        record[0] += 1;
        assert!(LeaseEffect::decode(&record).is_err());
    };
    let ask = Acquire {
        max: 9,
        id: b"job",
        ttl: Millis(1000),
        cost: 3,
    };
    let acquired = leases.acquire(Time(T0), Token(T0 * 1000), &ask);
    let Outcome::Leased { effect, .. } = acquired.outcome else {
        panic!("{acquired:?}");
    };
    let record = "810600c02cc8990100a20fa20f07800000ceeeb540066a6f62";
    pinned(&mut leases, Some(effect), record);
    let released = leases.release(Time(T0 + 1), b"job");
    let record = "810701c02cc899010000ff3fd33766feffff6a6f62";
    pinned(&mut leases, released, record);
}
