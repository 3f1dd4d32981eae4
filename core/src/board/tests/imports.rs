//! Imports: ranks as the sorted set lists them, and what stays.

use super::*;

fn scored(members: &[(&str, i64)]) -> Vec<Scored> {
    let members = members.iter();
    let mut scored: Vec<Scored> = members
        .map(|(name, score)| (name.as_bytes().into(), *score))
        .collect();
    scored.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    scored
}

fn import(board: &mut Board, clock: Clock, members: &[Scored]) -> usize {
    let import = board.import(clock, members).expect("fits");
    let effects: Vec<Effect<'_>> = import.effects().collect();
    let cap = board.settings.cap;
    let mut record = Record::default();
    for effect in &effects {
        board.commit(&[*effect], &mut record).expect("fits");
        assert!(cap == 0 || board.len() as u64 <= cap, "never over CAP");
    }
    effects.len()
}

#[test]
fn equal_scores_rank_as_the_sorted_set_lists_them() {
    let set = scored(&[("a", 5), ("b", 5), ("c", 5), ("d", 9), ("e", 1)]);
    for ties in [Ties::Earliest, Ties::Latest] {
        for (order, expected) in [
            (Order::Desc, ["d", "c", "b", "a", "e"]),
            (Order::Asc, ["e", "a", "b", "c", "d"]),
        ] {
            let mut settings = Settings::new(1, &[order]).expect("fits");
            settings.ties = ties;
            let mut board = board(settings);
            import(&mut board, at(0), &set);
            assert_eq!(names(&board), expected, "{ties:?} {order:?}");
        }
    }
}

#[test]
fn equal_rows_keep_their_stamps_and_others_stay() {
    let mut board = Board::default();
    for (us, name, score) in [(1, "a", 5), (2, "b", 6), (3, "other", 7)] {
        add(&mut board, at(us), &plain(name.as_bytes(), &[score]));
    }
    let set = scored(&[("a", 5), ("b", 5), ("c", 5)]);
    assert_eq!(import(&mut board, at(10), &set), 2);
    let stamp = |name: &str| {
        let got = board.get(name.as_bytes(), Ranking::Ordinal).expect("there");
        got.standing.stamp - at(0).us
    };
    assert_eq!(["a", "b", "c", "other"].map(stamp), [1, 11, 10, 3]);
    assert_eq!(names(&board), ["other", "a", "c", "b"]);
    assert_eq!(import(&mut board, at(20), &set), 0, "all are equal now");
}

#[test]
fn cap_applies_once_at_the_end() {
    let mut settings = Settings::default();
    settings.cap = 3;
    let mut board = board(settings);
    for (name, score) in [("x", 50), ("y", 4), ("z", 3)] {
        add(&mut board, at(1), &plain(name.as_bytes(), &[score]));
    }
    // x falls by its own new score, y by others; w never gets on.
    let set = scored(&[("a", 10), ("b", 9), ("w", 1), ("x", 2), ("z", 8)]);
    import(&mut board, at(2), &set);
    assert_eq!(names(&board), ["a", "b", "z"]);
}

#[test]
fn rows_of_several_columns_are_refused() {
    let settings = Settings::new(2, &[Order::Desc]).expect("fits");
    let refused = board(settings).import(at(0), &scored(&[("a", 1)])).err();
    assert_eq!(refused, Some(Error::Columns(2)));
}
