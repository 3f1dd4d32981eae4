//! The bytes of version 1 are those that release 0.1.0 derived from its own structures, which are
//! kept here as they were: a change of these bytes needs a new version.

use super::effects::old_effects;
use super::properties::run;
use super::*;
use crate::codec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde::Serialize;

/// Settings as release 0.1.0 had them.
#[derive(Serialize)]
struct FrozenSettings {
    lock: u64,
    max_expiries: u64,
    max_len: u64,
    capacity: u64,
    late_accept: bool,
    aging: u64,
    events: Vec<u8>,
    events_max_len: u64,
}

/// Effects as release 0.1.0 had them.
#[derive(Serialize)]
enum Frozen<'a> {
    Submit {
        id: &'a Bytes,
        payload: &'a Bytes,
        priority: i32,
        boost: i64,
        due: u64,
        tags: Vec<&'a Bytes>,
        excluded: Vec<&'a Bytes>,
    },
    Bump {
        id: &'a Bytes,
        priority: i32,
        boost: i64,
    },
    Change {
        id: &'a Bytes,
        replace: bool,
        payload: Option<&'a Bytes>,
        priority: Option<i32>,
        boost: Option<i64>,
        tags: Option<Vec<&'a Bytes>>,
        excluded: Option<Vec<&'a Bytes>>,
    },
    Cancel {
        id: &'a Bytes,
    },
    Lock {
        id: &'a Bytes,
        moderator: &'a Bytes,
        token: u64,
        deadline: u64,
        assign: bool,
    },
    Extend {
        id: &'a Bytes,
        deadline: u64,
    },
    Resolve {
        id: &'a Bytes,
    },
    Release {
        id: &'a Bytes,
        skip: bool,
        due: u64,
    },
    Expire {
        id: &'a Bytes,
        dead: bool,
    },
    Due {
        id: &'a Bytes,
    },
    Undo {
        id: &'a Bytes,
        place: Option<(u64, u64)>,
    },
    Revive {
        id: &'a Bytes,
    },
    Join {
        moderator: &'a Bytes,
        place: Option<(u64, u64)>,
        ttl: u64,
        expires: u64,
        count: u64,
        tags: Vec<&'a Bytes>,
    },
    Served {
        moderator: &'a Bytes,
    },
    Leave {
        moderator: &'a Bytes,
    },
    Pause {
        input: bool,
        output: bool,
    },
    Configure {
        settings: FrozenSettings,
    },
    MoveOut {
        id: &'a Bytes,
    },
    MoveIn {
        id: &'a Bytes,
        payload: &'a Bytes,
        priority: i32,
        boost: i64,
        submitted: u64,
        due: u64,
        delayed: bool,
        rev: u32,
        reports: u32,
        deliveries: u32,
        tags: Vec<&'a Bytes>,
        excluded: Vec<(&'a Bytes, bool)>,
        token: u64,
    },
}

fn due(time: Option<Time>) -> u64 {
    time.map_or(0, |time| time.0)
}

fn place(place: Option<Place>) -> Option<(u64, u64)> {
    place.map(|place| (place.since.0, place.tie))
}

fn freeze_settings(settings: &Settings) -> FrozenSettings {
    FrozenSettings {
        lock: settings.lock.0,
        max_expiries: settings.max_expiries,
        max_len: settings.max_len,
        capacity: settings.capacity,
        late_accept: settings.late == Late::Accept,
        aging: settings.aging,
        events: settings.events.clone(),
        events_max_len: settings.events_max_len,
    }
}

fn freeze_move_in<'a>(item: &MoveIn<'a>) -> Frozen<'a> {
    let excluded = item.excluded.iter().map(|e| (e.moderator, e.skip));
    Frozen::MoveIn {
        id: Bytes::new(item.id),
        payload: Bytes::new(item.payload),
        priority: item.priority,
        boost: item.boost,
        submitted: item.submitted.0,
        due: due(item.due),
        delayed: item.delayed,
        rev: item.rev.0,
        reports: item.reports,
        deliveries: item.deliveries,
        tags: item.tags.clone(),
        excluded: excluded.collect(),
        token: item.last_token.0,
    }
}

/// The effect as release 0.1.0 would have had it. A table.
fn freeze(effect: Effect<'_>) -> Frozen<'_> {
    match effect {
        Effect::Submit {
            id,
            payload,
            priority,
            boost,
            due: time,
            tags,
            excluded,
            terms: _,
        } => Frozen::Submit {
            id: Bytes::new(id),
            payload: Bytes::new(payload),
            priority,
            boost,
            due: due(time),
            tags,
            excluded,
        },
        Effect::Bump {
            id,
            priority,
            boost,
        } => Frozen::Bump {
            id: Bytes::new(id),
            priority,
            boost,
        },
        Effect::Change {
            id,
            replace,
            payload,
            priority,
            boost,
            tags,
            excluded,
            ..
        } => Frozen::Change {
            id: Bytes::new(id),
            replace,
            payload: payload.map(Bytes::new),
            priority,
            boost,
            tags,
            excluded,
        },
        Effect::Cancel { id } => Frozen::Cancel { id: Bytes::new(id) },
        Effect::Lock {
            id,
            moderator,
            token,
            deadline,
            assign,
        } => Frozen::Lock {
            id: Bytes::new(id),
            moderator: Bytes::new(moderator),
            token: token.0,
            deadline: deadline.0,
            assign,
        },
        Effect::Extend { id, deadline } => Frozen::Extend {
            id: Bytes::new(id),
            deadline: deadline.0,
        },
        Effect::Resolve { id, .. } => Frozen::Resolve { id: Bytes::new(id) },
        Effect::Release {
            id,
            skip,
            due: time,
        } => Frozen::Release {
            id: Bytes::new(id),
            skip,
            due: due(time),
        },
        Effect::Expire { id, dead } => Frozen::Expire {
            id: Bytes::new(id),
            dead,
        },
        Effect::Due { id } => Frozen::Due { id: Bytes::new(id) },
        Effect::Undo { id, place: at } => Frozen::Undo {
            id: Bytes::new(id),
            place: place(at),
        },
        Effect::Revive { id } => Frozen::Revive { id: Bytes::new(id) },
        Effect::Join {
            moderator,
            place: at,
            ttl,
            expires,
            count,
            tags,
        } => Frozen::Join {
            moderator: Bytes::new(moderator),
            place: place(at),
            ttl: ttl.0,
            expires: expires.0,
            count,
            tags,
        },
        Effect::Served { moderator } => Frozen::Served {
            moderator: Bytes::new(moderator),
        },
        Effect::Leave { moderator } => Frozen::Leave {
            moderator: Bytes::new(moderator),
        },
        Effect::Pause { paused } => Frozen::Pause {
            input: paused.input,
            output: paused.output,
        },
        Effect::Configure { settings } => Frozen::Configure {
            settings: freeze_settings(&settings),
        },
        Effect::MoveOut { id } => Frozen::MoveOut { id: Bytes::new(id) },
        Effect::MoveIn(item) => freeze_move_in(&item),
        _ => unreachable!("not in version 1"),
    }
}

/// Written now and then, and read: the same.
fn check(at: Time, effect: &Effect<'_>) -> Result<(), TestCaseError> {
    let mut record = Record::default();
    record.push(at, effect);
    let mut frozen = codec::encode(&at.0);
    codec::encode_into(&freeze(effect.clone()), &mut frozen);
    prop_assert_eq!(record.bytes()[0], 1);
    prop_assert_eq!(&record.bytes()[1..], &frozen[..]);
    let decoded = Record::decode(record.bytes());
    prop_assert_eq!(decoded, Ok(vec![(at, effect.clone())]));
    Ok(())
}

/// What the strategy for effects leaves as it is by default.
fn with_all_settings(effect: Effect<'static>, settings: &Settings) -> Effect<'static> {
    match effect {
        Effect::Configure { settings: random } => Effect::Configure {
            settings: Settings {
                late: settings.late,
                events: settings.events.clone(),
                events_max_len: settings.events_max_len,
                ..random
            },
        },
        effect => effect,
    }
}

#[test]
fn every_effect_is_read_as_it_was_written_in_the_bytes_of_release_0_1_0() {
    let settings = (
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..300),
        any::<u64>(),
    );
    let settings = settings.prop_map(|(accept, events, events_max_len)| Settings {
        late: late(accept),
        events,
        events_max_len,
        ..Settings::default()
    });
    let mut kinds = BTreeMap::<u8, usize>::new();
    let strategy = (old_effects(), settings, any::<u64>());
    run(4000, strategy, |(effect, settings, at)| {
        let effect = with_all_settings(effect, &settings);
        let kind = codec::encode(&freeze(effect.clone()))[0];
        *kinds.entry(kind).or_default() += 1;
        check(Time(at), &effect)
    });
    assert!(kinds.keys().copied().eq(0..19), "each of the 19: {kinds:?}");
    assert!(kinds.values().all(|n| *n >= 20), "{kinds:?}");
}

/// Names and payloads that take more than one byte to say how long they are.
#[test]
fn long_names_and_payloads_are_read_as_they_were_written() {
    let (id, payload) = (&[0xff; MAX_ID][..], vec![7; 70_000]);
    let tags = || vec![Bytes::new(&[0; 251]), Bytes::new(id), Bytes::new(b"")];
    let excluded = || {
        let all = [(id, true), (&b"x"[..], false)];
        let all = all.map(|(name, skip)| (Bytes::new(name), skip));
        Vec::from(all.map(|(moderator, skip)| Excluded { moderator, skip }))
    };
    let move_in = MoveIn {
        id,
        payload: &payload,
        priority: i32::MIN,
        boost: i64::MAX,
        submitted: Time(u64::MAX),
        due: Some(Time(1)),
        delayed: true,
        rev: Rev(u32::MAX),
        reports: 251,
        deliveries: 65_536,
        tags: tags(),
        excluded: excluded(),
        last_token: Token(u64::MAX),
        review: None,
    };
    let submit = Effect::Submit {
        id,
        payload: &payload,
        priority: i32::MAX,
        boost: i64::MIN,
        due: Some(Time(u64::MAX)),
        tags: tags(),
        excluded: tags(),
        terms: None,
    };
    let change = Effect::Change {
        id,
        replace: true,
        payload: Some(&payload),
        priority: Some(-1),
        boost: Some(-1),
        tags: Some(tags()),
        excluded: Some(Vec::new()),
        quorum: None,
        group: None,
        reports: None,
    };
    for effect in [Effect::MoveIn(Box::new(move_in)), submit, change] {
        check(Time(1 << 41), &effect).expect("the same");
    }
}
