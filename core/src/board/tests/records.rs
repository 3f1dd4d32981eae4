//! Records: their bytes, which never change, and what is refused.

use super::*;
use proptest::prelude::*;

fn some_effects() -> Vec<Effect<'static>> {
    let mut settings = Settings::new(2, &[Order::Desc, Order::Asc]).expect("fits");
    settings.cap = 7;
    settings.ties = Ties::Member;
    vec![
        Effect::Create(settings),
        Effect::Configure {
            update: Update::Best,
            retry: Millis(9),
        },
        Effect::Set {
            member: b"m",
            row: row(&[i64::MIN, 3]),
            stamp: 1_700_000_000_000_000,
        },
        Effect::Remove { member: b"gone" },
        Effect::Remember {
            now: Time(1_700_000_000_000),
            forget: 3,
            id: Some(b"id"),
        },
        Effect::Remember {
            now: Time(1),
            forget: 1,
            id: None,
        },
    ]
}

fn record(effects: &[Effect<'_>]) -> Vec<u8> {
    let mut record = Record::default();
    effects.iter().for_each(|effect| record.push(effect));
    record.bytes().to_vec()
}

#[test]
fn effects_come_back_as_they_were() {
    let effects = some_effects();
    let bytes = record(&effects);
    assert!(Record::effects(&bytes).expect("whole").eq(effects));
}

#[test]
fn the_bytes_of_version_1_are_frozen() {
    let set = Effect::Set {
        member: b"ab",
        row: row(&[-1, 64]),
        stamp: 5,
    };
    // Numbers below 128 are shifted by one, with a 1 below; 64 is folded to 128, which takes two bytes.
    let expected = [0x81, 3, 11, 2, 3, 2, 2, 5, b'a', b'b'];
    assert_eq!(record(&[set]), expected);
    let created = record(&[Effect::Create(Settings::default())]);
    assert_eq!(created[..8], [0x81, 1, 1, 1, 0, 0, 0, 1]);
}

#[test]
fn truncated_and_lengthened_records_are_refused_or_shorter() {
    let effects = some_effects();
    let bytes = record(&effects);
    for len in 0..bytes.len() {
        // A cut between two effects leaves a record of fewer.
        if let Ok(read) = Record::effects(&bytes[..len]) {
            let read: Vec<_> = read.collect();
            assert!(read.len() < effects.len() && effects.starts_with(&read));
        }
    }
    assert!(Record::effects(&[&bytes[..], &[0]].concat()).is_err());
    for other in [0x80, 0x82, 0, 1] {
        let mut bytes = bytes.clone();
        bytes[0] = other;
        assert!(Record::effects(&bytes).is_err(), "version {other}");
    }
}

#[test]
fn closings_come_back_as_they_were() {
    for expires in [None, Some(1), Some(i64::MAX as u64)] {
        let bytes = Closing { expires }.encode();
        assert_eq!(Closing::decode(&bytes), Ok(Closing { expires }));
        assert!(Closing::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(Closing::decode(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Record::effects(&bytes).is_err());
    }
    assert_eq!(Closing { expires: Some(5) }.encode(), [0x81, 6, 11]);
    assert!(Closing::decode(&record(&some_effects())).is_err());
}

proptest! {
    /// Whatever bytes come, what is read can be applied or refused, and never panics; what was applied
    /// can be saved and loaded.
    #[test]
    fn damaged_records_do_no_harm(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = record(&some_effects());
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut board = Board::default();
        if let Ok(effects) = Record::effects(&bytes) {
            for effect in effects {
                let _ = board.apply(&effect);
            }
        }
        if board.exists() {
            prop_assert_eq!(digest(&stored::loaded(&board, 2)), digest(&board));
        }
    }
}
