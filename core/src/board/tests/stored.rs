//! What is stored, and what is refused when it is loaded.

use super::*;
use proptest::prelude::*;

pub(super) fn chunks(board: &Board, entries: usize) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    board.save(entries, &mut |chunk| chunks.push(chunk.to_vec()));
    chunks
}

fn load(chunks: &[Vec<u8>]) -> Option<Board> {
    let mut board = Board::default();
    for chunk in chunks {
        board.load(1, chunk).ok()?;
    }
    board.finish().ok()?;
    Some(board)
}

pub(super) fn loaded(board: &Board, entries: usize) -> Board {
    load(&chunks(board, entries)).expect("what was saved loads")
}

fn sample() -> Board {
    let mut settings = Settings::new(2, &[Order::Asc, Order::Desc]).expect("fits");
    settings.cap = 30;
    settings.retry = Millis(1000);
    let mut board = board(settings);
    for i in 0..20u8 {
        let (id, member) = ([i, i], [i]);
        let request = Add {
            id: Some(&id),
            ..plain(&member, &[i64::from(i % 4), i64::MIN + i64::from(i)])
        };
        add(&mut board, at(u64::from(i) * 100), &request);
    }
    board
}

#[test]
fn the_bytes_of_version_1_are_frozen() {
    let mut settings = Settings::new(1, &[Order::Asc]).expect("fits");
    settings.ties = Ties::Latest;
    let mut board = board(settings);
    board.last_stamp = 41;
    let clock = Clock {
        now: Time(7),
        us: 1,
    };
    let request = Add {
        id: Some(b"id"),
        ..plain(b"ab", &[-2])
    };
    add(&mut board, clock, &request);
    let expected: [&[u8]; 3] = [
        // Start 0; 1 column, order [1], UPDATE 0, TIES 1, no cap, 600000 (four bytes), stamp 42.
        &[0, 1, 1, 1, 0, 1, 0, 252, 0xc0, 0x27, 9, 0, 42],
        &[1, 1, 2, b'a', b'b', 42, 3],
        &[2, 0, 1, 2, b'i', b'd', 7],
    ];
    assert_eq!(chunks(&board, 512), expected);
}

#[test]
fn order_and_settings_come_back() {
    let board = sample();
    for entries in [1, 7, 512] {
        let copy = loaded(&board, entries);
        assert_eq!(copy.settings, board.settings);
        assert_eq!(digest(&copy), digest(&board));
        assert_eq!(names(&copy), names(&board));
        assert_eq!(copy.next_due(), board.next_due());
    }
    assert_eq!(chunks(&Board::default(), 1), Vec::<Vec<u8>>::new());
    assert!(load(&[]).is_none(), "nothing is no board");
}

#[test]
fn what_cannot_have_been_saved_is_refused() {
    let all = chunks(&sample(), 1);
    let (head, member, id) = (&all[0], &all[1], &all[21]);
    assert!(load(&[head.clone(), member.clone(), id.clone()]).is_some());
    for wrong in [
        vec![member.clone(), head.clone()],
        vec![head.clone(), head.clone()],
        vec![head.clone(), member.clone(), member.clone()],
        vec![head.clone(), id.clone(), id.clone()],
        vec![head.clone(), all[22].clone()],
    ] {
        assert!(load(&wrong).is_none());
    }
    let mut board = Board::default();
    assert!(board.load(2, head).is_err() && board.load(0, head).is_err());
}

/// A list that claims to be longer than its chunk costs nothing.
#[test]
fn a_claimed_length_is_not_believed() {
    let head = chunks(&board(Settings::default()), 1).remove(0);
    for start in [&[1u8][..], &[2, 0]] {
        let mut chunk = start.to_vec();
        chunk.extend([253, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert!(load(&[head.clone(), chunk]).is_none());
    }
}

proptest! {
    #[test]
    fn damaged_chunks_are_refused_or_make_a_valid_board(
        which in any::<prop::sample::Index>(),
        at_byte in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut all = chunks(&sample(), 5);
        let which = which.index(all.len());
        let at_byte = at_byte.index(all[which].len());
        if cut {
            all[which].truncate(at_byte);
            prop_assert!(load(&all).is_none());
        } else {
            all[which][at_byte] = byte;
            if let Some(board) = load(&all) {
                prop_assert_eq!(digest(&loaded(&board, 3)), digest(&board));
                let mut board = board;
                let scores = [1, 1];
                let _ = board.add(at(5), &plain(b"new", &scores)).map(|decision| {
                    board.commit(&decision.effects, &mut Record::default()).expect("fits")
                });
            }
        }
    }
}
