//! What a board really takes from the allocator, in jemalloc's size classes; and that what is loaded takes
//! no more than it is worth. This binary runs on an allocator that counts.

use modq_core::board::{Add, Board, Clock, Effect, Order, Record, Row, Settings, Ties};
use modq_core::codec::Persist;
use modq_core::units::{Millis, Time};
use modq_testkit::counting::{Counting, live, peak};
use modq_testkit::random::Random;

#[global_allocator]
static ALLOC: Counting = Counting::jemalloc();

const N: usize = 100_000;
const NAME: usize = 16;

fn clock(i: usize) -> Clock {
    let us = 1_700_000_000_000_000 + i as u64;
    Clock {
        now: Time(us / 1000),
        us,
    }
}

fn name(i: usize) -> [u8; NAME] {
    format!("member:{i:09}")
        .into_bytes()
        .try_into()
        .expect("16 bytes")
}

fn add(board: &mut Board, i: usize, member: &[u8], scores: &[i64], id: Option<&[u8]>) {
    let request = Add {
        member,
        row: Row::new(scores).expect("1 to 4"),
        update: None,
        id,
    };
    let decision = board.add(clock(i), &request).expect("not refused");
    let mut record = Record::default();
    board.commit(&decision.effects, &mut record).expect("fits");
}

fn created(columns: usize, ties: Ties) -> Board {
    let mut settings = Settings::new(columns, &[Order::Desc]).expect("fits");
    settings.ties = ties;
    settings.retry = Millis(1 << 30);
    let mut board = Board::default();
    board.apply(&Effect::Create(settings)).expect("fits");
    board
}

#[test]
fn a_member_takes_at_most_64_bytes_beyond_its_name_and_gives_them_back() {
    let orders: [fn(usize) -> usize; 3] = [|i| N - i, |i| i, |i| i * 61_169 % N];
    for (which, order) in orders.into_iter().enumerate() {
        for (columns, ties) in [(1, Ties::Earliest), (1, Ties::Member), (4, Ties::Latest)] {
            let mut board = created(columns, ties);
            let before = live();
            for i in 0..N {
                let scores = [order(i) as i64 / 3; 4];
                add(&mut board, i, &name(order(i)), &scores[..columns], None);
            }
            let grown = live() - before;
            let over = grown as f64 / N as f64 - NAME as f64;
            println!("order {which}, {columns} columns, {ties:?}: {over:.1} bytes beyond the name");
            assert!(over <= 64.0 + 8.0 * (columns - 1) as f64, "{over:.1}");
            let ratio = board.memory_bytes() as f64 / grown as f64;
            assert!((0.9..1.1).contains(&ratio), "counted {ratio:.2} of it");
            for i in 0..N {
                let member = name(order(i));
                let removed = board.remove(&member, None).expect("fine");
                let removed = removed.expect("it is there");
                board.apply(&removed).expect("fits");
            }
            let kept = live() - before;
            assert!(kept < 64 << 10, "{kept} bytes kept");
        }
    }
}

#[test]
fn an_id_takes_at_most_100_bytes_beyond_itself() {
    let mut board = created(1, Ties::Earliest);
    add(&mut board, 0, b"m", &[1], Some(b"first"));
    let before = live();
    for i in 1..=N {
        add(&mut board, i, b"m", &[1], Some(&name(i)));
    }
    let grown = live() - before;
    let over = grown as f64 / N as f64 - NAME as f64;
    println!("{over:.1} bytes beyond the id");
    assert!(over <= 100.0, "{over:.1}");
    let ratio = board.memory_bytes() as f64 / grown as f64;
    assert!((0.9..1.1).contains(&ratio), "counted {ratio:.2} of it");
    // A clock that runs back now and then costs next to nothing.
    for i in 0..1000 {
        add(&mut board, N - i * 20, b"m", &[1], Some(&name(i + 1)));
    }
    assert!(live() - before < grown + (64 << 10));
    let forgotten = Effect::Remember {
        now: clock(N).now,
        forget: board.ids() as u64,
        id: None,
    };
    board.apply(&forgotten).expect("fits");
    assert!(live() - before < 0, "all is given back");
}

/// Also where an allocation of its own would be rounded up by most, and when a table has just grown (below 4,000 a larger part of the slab is still unused).
#[test]
fn an_id_of_any_length_takes_at_most_100_bytes_beyond_itself() {
    for len in (1..=512).step_by(5).chain([257, 321, 385, 449, 512]) {
        let mut board = created(1, Ties::Earliest);
        add(&mut board, 0, b"m", &[1], None);
        let (real, said) = (live(), board.memory_bytes());
        for i in 0..9000 {
            let mut id = format!("{i:04}").into_bytes();
            id.resize(len.max(4), b'x');
            add(&mut board, i, b"m", &[0], Some(&id));
            let beyond = |grown: usize| (grown / (i + 1)).saturating_sub(len.max(4));
            if i >= 4000 && i % 100 == 0 {
                let real = beyond((live() - real) as usize);
                let said = beyond(board.memory_bytes() - said);
                assert!(
                    real <= 100 && said <= 100,
                    "{len} bytes, {i}: {real}, {said}"
                );
            }
        }
    }
}

#[test]
fn saving_and_loading_do_not_double_the_memory() {
    let mut board = created(1, Ties::Member);
    for i in 0..N {
        add(
            &mut board,
            i,
            &name(i * 7919 % N),
            &[i as i64 % 1000],
            Some(&name(i)),
        );
    }
    let saving = peak(|| board.save(512, &mut |_| ()));
    assert!(saving < 1 << 20, "{saving}");
    let mut chunks = Vec::new();
    board.save(512, &mut |chunk| chunks.push(chunk.to_vec()));
    let before = live();
    let mut again = Board::default();
    let loading = peak(|| {
        for chunk in &chunks {
            again.load(Board::VERSION, chunk).expect("loads");
        }
    });
    let grown = live() - before;
    assert!(loading - grown < 1 << 20, "{loading} for {grown}");
    assert_eq!(again.len(), N);
}

#[test]
fn damaged_bytes_do_not_make_huge_allocations() {
    let mut board = created(2, Ties::Earliest);
    for i in 0..40 {
        add(&mut board, i, &name(i), &[i as i64, -5], Some(&name(i)));
    }
    let mut chunks = Vec::new();
    board.save(20, &mut |chunk| chunks.push(chunk.to_vec()));
    let mut random = Random::new(9);
    let mut refused = 0;
    for round in 0..4000 {
        let mut bytes = chunks[1 + round % (chunks.len() - 1)].clone();
        let at = random.below(bytes.len());
        let with = *random.pick(&[
            &[253u8, 255, 255, 255, 255, 255, 255, 255, 255][..],
            &[252, 255, 255, 255, 31],
            &[0],
            &[255],
        ]);
        bytes.splice(at..=at, with.iter().copied());
        let most = peak(|| {
            let mut board = Board::default();
            board.load(Board::VERSION, &chunks[0]).expect("the head");
            refused += usize::from(board.load(Board::VERSION, &bytes).is_err());
        });
        assert!(most < 64 << 10, "{most} bytes at {at}");
    }
    assert!(refused > 500, "{refused}");
}
