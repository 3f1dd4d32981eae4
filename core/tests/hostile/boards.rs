//! Values and records of boards.

use super::{begin, canon, for_sample, from_empty, join, load, reloaded, save, split};
use modq_core::board::*;
use modq_core::units::{Millis, Time};
use std::hint::black_box;

/// When the exercises begin, ms since 1970.
const START: u64 = 1_800_000_000_000;

/// Most members that are exercised one by one.
const MOST_NAMES: usize = 5;

fn clock(ms: u64) -> Clock {
    Clock {
        now: Time(START + ms),
        us: (START + ms) * 1000,
    }
}

/// A board and a replica of it, which gets its records.
struct Pair {
    board: Board,
    replica: Board,
    records: Vec<Vec<u8>>,
}

impl Pair {
    fn new(board: Board) -> Pair {
        // What does not exist is never saved.
        let replica = match board.exists() {
            true => reloaded(&board),
            false => Board::default(),
        };
        Pair {
            replica,
            board,
            records: Vec::new(),
        }
    }

    /// Carries out what was decided, here and by way of the record on the replica.
    fn commit(board: &mut Board, replica: &mut Board, effects: &[Effect<'_>]) -> Vec<u8> {
        if effects.is_empty() {
            return Vec::new();
        }
        let mut record = Record::default();
        board
            .commit(effects, &mut record)
            .expect("what was decided fits");
        for effect in Record::effects(record.bytes()).expect("it decodes") {
            replica.apply(&effect).expect("it applies");
        }
        record.bytes().to_vec()
    }

    fn done(&mut self, record: Vec<u8>) {
        if !record.is_empty() {
            self.records.push(record);
        }
    }

    fn add(&mut self, ms: u64, member: &[u8], scores: &[i64], update: Update, id: Option<&[u8]>) {
        let columns = self.board.settings().columns();
        let row = Row::new(&scores[..columns.min(scores.len())]).expect("a score");
        let request = Add {
            member,
            row,
            update: Some(update),
            id,
        };
        let Ok(decision) = self.board.add(clock(ms), &request) else {
            return;
        };
        let record = Pair::commit(&mut self.board, &mut self.replica, &decision.effects);
        self.done(record);
    }

    fn remove(&mut self, member: &[u8]) {
        let found = self
            .board
            .remove(member, None)
            .expect("no row is asked for");
        let record = Pair::commit(&mut self.board, &mut self.replica, found.as_slice());
        self.done(record);
    }

    /// Lets time act.
    fn pass(&mut self, ms: u64) {
        let forgets = self.board.advance(clock(ms).now, 100);
        let record = Pair::commit(&mut self.board, &mut self.replica, forgets.as_slice());
        self.done(record);
    }

    fn check(&self) {
        assert_eq!(
            canon(&self.board),
            canon(&self.replica),
            "the replica is equal"
        );
        reloaded(&self.board);
    }
}

const RANKINGS: [Ranking; 3] = [Ranking::Ordinal, Ranking::Standard, Ranking::Dense];

/// Asks everything that can be asked, and answers some members.
fn look(board: &Board) -> Vec<Vec<u8>> {
    let mut members = Vec::new();
    for ranking in RANKINGS {
        let (mut last, mut shown) = (0, 0);
        board.top(0, 100, ranking, |listed| {
            assert!(listed.rank >= last, "ranks grow");
            (last, shown) = (listed.rank, shown + 1);
            if members.len() < MOST_NAMES {
                members.push(listed.standing.member.to_vec());
            }
        });
        assert_eq!(shown, board.len().min(100));
        for member in &members {
            let listed = board.get(member, ranking).expect("it is listed");
            let row = listed.standing.row;
            assert!(
                board.count_better(&row).expect("its own row") < listed.rank as usize + board.len()
            );
            black_box((board.percentile(member), board.around(member, 2, 2)));
        }
    }
    black_box(board.among(members.iter().map(|member| &member[..])));
    black_box((board.info(), board.next_due(), board.memory_bytes()));
    members
}

/// Drives a board through every command, with a replica beside it.
fn exercise(board: Board) {
    let members = look(&board);
    let mut pair = Pair::new(board);
    for (n, member) in members
        .iter()
        .map(|m| &m[..])
        .chain([&b"new"[..]])
        .enumerate()
    {
        let scores = [n as i64, -3, i64::MAX, i64::MIN];
        for update in [Update::Sum, Update::Best, Update::Last] {
            pair.add(n as u64, member, &scores, update, Some(b"id"));
            pair.add(n as u64, member, &scores, update, None);
        }
    }
    pair.check();
    for ms in [700_000, 1 << 41, 5] {
        pair.pass(ms);
        pair.add(ms, b"late", &[1, 1, 1, 1], Update::Sum, Some(b"other"));
    }
    look(&pair.board);
    pair.check();
    for member in &members {
        pair.remove(member);
    }
    pair.check();
    if let Ok(closed) = pair.board.close() {
        look(&closed);
        reloaded(&closed);
        look(&pair.board);
        reloaded(&pair.board);
    }
}

pub(super) fn value(input: &[u8]) -> bool {
    let Some(board) = load::<Board>(&split(input)) else {
        return false;
    };
    exercise(board);
    true
}

pub(super) fn record(input: &[u8]) -> bool {
    let Some((mut board, records)) = begin(input, || sample().board) else {
        return false;
    };
    let mut taken = false;
    for effect in records.into_iter().flat_map(Record::effects).flatten() {
        let before = canon(&board);
        match board.apply(&effect) {
            Ok(_) => taken = true,
            Err(_) => assert_eq!(canon(&board), before, "a refused effect left a trace"),
        }
    }
    if taken {
        exercise(board);
    }
    taken
}

fn made(settings: Settings) -> Pair {
    let mut pair = Pair::new(Board::default());
    let create = pair.board.create(settings).expect("there is none");
    let record = Pair::commit(&mut pair.board, &mut pair.replica, &[create]);
    pair.done(record);
    for (n, member) in [&b"ann"[..], b"bob", b"cy", b"dee", b"ann"]
        .iter()
        .enumerate()
    {
        let scores = [5 + n as i64 % 2, -1, 0, i64::MAX];
        pair.add(
            n as u64,
            member,
            &scores,
            Update::Last,
            (n % 2 == 0).then_some(b"req"),
        );
    }
    pair.remove(b"cy");
    pair
}

fn sample() -> Pair {
    made(Settings::default())
}

fn several() -> [Pair; 3] {
    let mut capped = Settings::new(2, &[Order::Desc, Order::Asc]).expect("good settings");
    (capped.cap, capped.ties, capped.retry) = (3, Ties::Latest, Millis(100));
    let mut by_name = Settings::new(4, &[Order::Asc]).expect("good settings");
    by_name.ties = Ties::Member;
    [sample(), made(capped), made(by_name)]
}

pub(super) fn values() -> Vec<Vec<u8>> {
    let boards = several();
    let of = |pair: &Pair| [join(&save(&pair.board, 1)), join(&save(&pair.board, 100))];
    boards.iter().flat_map(of).collect()
}

pub(super) fn records() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = several()
        .iter()
        .flat_map(|pair| from_empty(&pair.records))
        .collect();
    let mut pair = sample();
    pair.records.clear();
    pair.add(99, b"eve", &[7], Update::Last, Some(b"more"));
    seeds.push(for_sample(&pair.records));
    seeds
}
