//! Single promises, each with an example.

use super::*;

fn with_id<'a>(member: &'a [u8], score: i64, id: &'a [u8]) -> Add<'a> {
    Add {
        id: Some(id),
        ..plain(member, &[score])
    }
}

fn answer(changed: bool, rank: Option<u64>, old_rank: Option<u64>, scores: &[i64]) -> Added {
    let row = row(scores);
    Added {
        changed,
        rank,
        old_rank,
        row,
    }
}

#[test]
fn stamps_order_what_happens_in_one_microsecond_and_never_run_backwards() {
    let mut board = Board::default();
    for (us, name) in [(5, "first"), (5, "second"), (0, "third")] {
        add(&mut board, at(us), &plain(name.as_bytes(), &[1]));
    }
    assert_eq!(names(&board), ["first", "second", "third"]);
    // What does not change keeps its stamp; what changes takes a new one.
    add(&mut board, at(9), &plain(b"first", &[0]));
    assert_eq!(names(&board)[0], "first");
    let set = |score| Add {
        update: Some(Update::Last),
        ..plain(b"first", &[score])
    };
    add(&mut board, at(9), &set(2));
    add(&mut board, at(9), &set(1));
    assert_eq!(names(&board), ["second", "third", "first"]);
}

#[test]
fn an_overflow_changes_nothing() {
    let mut board = board(Settings::new(2, &[Order::Desc]).expect("fits"));
    add(&mut board, at(0), &plain(b"m", &[1, i64::MAX]));
    let before = digest(&board);
    for scores in [[1, 1], [i64::MAX, 0]] {
        let request = Add {
            id: Some(b"id"),
            ..plain(b"m", &scores)
        };
        assert_eq!(board.add(at(1), &request).err(), Some(Error::Overflow));
    }
    assert_eq!(digest(&board), before);
    let added = add(&mut board, at(1), &plain(b"m", &[i64::MAX - 1, i64::MIN]));
    assert_eq!(added.row, row(&[i64::MAX, -1]));
    let short = board.add(at(1), &plain(b"m", &[1])).err();
    assert_eq!(short, Some(Error::Columns(2)));
}

#[test]
fn a_retry_counts_once_whatever_became_of_the_member() {
    let mut board = Board::default();
    let request = with_id(b"m", 5, b"id");
    assert_eq!(
        add(&mut board, at(0), &request),
        answer(true, Some(1), None, &[5])
    );
    add(&mut board, at(1), &plain(b"n", &[9]));
    let retry = answer(false, Some(2), Some(2), &[5]);
    let (added, record) = add_recorded(&mut board, at(2), &request).expect("fine");
    assert_eq!((added, record.is_empty()), (retry, true));
    // The id belongs to the board, whatever member and score it comes with.
    let other = add(&mut board, at(3), &with_id(b"n", i64::MAX, b"id"));
    assert_eq!(other, answer(false, Some(1), Some(1), &[9]));
    let unknown = add(&mut board, at(3), &with_id(b"o", 3, b"id"));
    assert_eq!(unknown, answer(false, None, None, &[3]));
    // A retry does not extend it.
    let later = add(&mut board, at(600_000_000), &request);
    assert_eq!(later, answer(true, Some(1), Some(2), &[10]));
}

#[test]
fn ids_of_what_changed_nothing_are_recorded_and_errors_are_not() {
    let mut board = Board::default();
    add(&mut board, at(0), &plain(b"m", &[i64::MAX]));
    let same = Add {
        update: Some(Update::Best),
        ..with_id(b"m", 1, b"a")
    };
    let (added, record) = add_recorded(&mut board, at(1), &same).expect("fine");
    assert!(!added.changed && !record.is_empty());
    assert!(board.add(at(2), &with_id(b"m", 1, b"b")).is_err());
    assert_eq!(board.ids(), 1);
}

#[test]
fn cap_keeps_the_best_and_never_drops_who_adds() {
    let mut settings = Settings::default();
    settings.cap = 2;
    for (ties, expected) in [
        (Ties::Earliest, ["a", "b"]),
        (Ties::Latest, ["c", "b"]),
        (Ties::Member, ["a", "b"]),
    ] {
        settings.ties = ties;
        let mut board = board(settings);
        for (us, name) in [(0, "a"), (1, "b"), (2, "c")] {
            add(&mut board, at(us), &plain(name.as_bytes(), &[7]));
        }
        assert_eq!(names(&board), expected, "{ties:?}");
        let worse = add(&mut board, at(3), &with_id(b"d", 6, b"id"));
        assert_eq!(worse, answer(false, None, None, &[6]));
        let falls = add(&mut board, at(4), &plain(b"b", &[-100]));
        assert_eq!(
            falls,
            answer(true, Some(2), Some(falls.old_rank.unwrap()), &[-93])
        );
        assert_eq!(board.len(), 2);
    }
}

#[test]
fn close_moves_everything_but_settings_stamp_and_ids() {
    let mut settings = Settings::default();
    settings.ties = Ties::Latest;
    let mut board = board(settings);
    add(&mut board, at(7), &with_id(b"m", 5, b"id"));
    let closed = board.close().expect("there is one");
    assert_eq!((closed.len(), closed.ids()), (1, 0));
    assert_eq!((board.len(), board.ids()), (0, 1));
    assert_eq!(
        (board.settings, board.last_stamp),
        (settings, closed.last_stamp)
    );
    let retry = add(&mut board, at(8), &with_id(b"m", 5, b"id"));
    assert_eq!(retry, answer(false, None, None, &[5]));
    assert!(Board::default().close().is_err());
}

#[test]
fn expired_ids_go_in_bounded_steps() {
    let mut board = Board::default();
    for i in 0..100u8 {
        add(&mut board, at(u64::from(i) * 1000), &with_id(b"m", 1, &[i]));
    }
    assert_eq!(board.next_due(), Some(at(600_000_000).now));
    assert_eq!(board.advance(at(599_999_999).now, 1000), None);
    let late = at(600_000_000 + 49_000);
    let some = board.advance(late.now, 10).expect("some are due");
    board.apply(&some).expect("fits");
    assert_eq!(board.ids(), 90);
    add(&mut board, late, &plain(b"m", &[1]));
    assert_eq!(board.ids(), 82, "an ADD takes some along");
    let rest = board.advance(late.now, 1000).expect("some are due");
    board.apply(&rest).expect("fits");
    assert_eq!((board.ids(), board.advance(late.now, 1000)), (50, None));
}

#[test]
fn ids_last_no_longer_than_asked_for_when_the_clock_was_ahead() {
    let mut board = Board::default();
    let hour = 3_600_000_000;
    add(&mut board, at(hour), &with_id(b"m", 1, b"ahead"));
    // The clock is set back: known still, and from now on only for as long as RETRY says.
    assert!(!add(&mut board, at(0), &with_id(b"m", 1, b"ahead")).changed);
    add(&mut board, at(0), &plain(b"m", &[1]));
    assert_eq!(board.next_due(), Some(at(600_000_000).now));
    assert!(add(&mut board, at(600_000_000), &with_id(b"m", 1, b"ahead")).changed);
}

#[test]
fn the_last_stamp_is_an_error_and_not_a_panic() {
    let mut board = board(Settings::default());
    board.last_stamp = MAX_STAMP - 1;
    add(&mut board, at(0), &plain(b"m", &[1]));
    let refused = board.add(at(0), &plain(b"m", &[1])).err();
    assert_eq!(refused, Some(Error::StampsExhausted));
    let refused = board.import(at(0), &[(b"m"[..].into(), 9)]).err();
    assert_eq!(refused, Some(Error::StampsExhausted));
    let unchanged = board
        .add(at(0), &plain(b"m", &[0]))
        .expect("no stamp needed");
    assert!(unchanged.effects.is_empty());
}

#[test]
fn effects_that_cannot_have_happened_are_refused_and_change_nothing() {
    let mut settings = Settings::default();
    settings.cap = 1;
    let mut board = board(settings);
    add(&mut board, at(0), &with_id(b"m", 5, b"id"));
    let before = digest(&board);
    let set = |member: &'static [u8], scores: &[i64], stamp| Effect::Set {
        member,
        row: row(scores),
        stamp,
    };
    let remember = |forget, id| Effect::Remember {
        now: at(0).now,
        forget,
        id,
    };
    let late = at(1).us;
    for effect in [
        Effect::Create(settings),
        set(b"n", &[4], late),
        set(b"n", &[5, 5], late),
        set(b"", &[9], late),
        set(b"n", &[9], at(0).us),
        set(b"n", &[9], MAX_STAMP + 1),
        Effect::Remove { member: b"n" },
        remember(2, None),
        remember(0, Some(b"")),
    ] {
        assert_eq!(board.apply(&effect), Err(ApplyError), "{effect:?}");
        assert_eq!(digest(&board), before);
        if !matches!(effect, Effect::Create(_)) {
            assert_eq!(Board::default().apply(&effect), Err(ApplyError));
        }
    }
}
