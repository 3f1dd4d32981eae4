//! Boards against a naive model, and what the model does not show.

mod histories;
mod imports;
mod model;
mod promises;
mod records;
mod stored;

use super::*;
use crate::codec::Persist;
use crate::units::{Millis, Time};

/// The time at so many µs after the tests' beginning.
fn at(us: u64) -> Clock {
    let us = 1_700_000_000_000_000 + us;
    Clock {
        now: Time(us / 1000),
        us,
    }
}

fn row(scores: &[i64]) -> Row {
    Row::new(scores).expect("1 to 4 scores")
}

fn board(settings: Settings) -> Board {
    let mut board = Board::default();
    let create = board.create(settings).expect("there is none");
    board.apply(&create).expect("fits");
    board
}

/// An ADD without options.
fn plain<'a>(member: &'a [u8], scores: &[i64]) -> Add<'a> {
    Add {
        member,
        row: row(scores),
        update: None,
        id: None,
    }
}

/// Decides, commits and answers. Answers too what was written down.
fn add_recorded(board: &mut Board, clock: Clock, add: &Add<'_>) -> Result<(Added, Record), Error> {
    let decision = board.add(clock, add)?;
    let mut record = Record::default();
    let applied = board.commit(&decision.effects, &mut record).expect("fits");
    Ok((decision.answer.after(applied), record))
}

fn add(board: &mut Board, clock: Clock, add: &Add<'_>) -> Added {
    add_recorded(board, clock, add).expect("not refused").0
}

fn apply_record(board: &mut Board, record: &Record) {
    if !record.is_empty() {
        for effect in Record::effects(record.bytes()).expect("whole") {
            board.apply(&effect).expect("fits");
        }
    }
}

/// Everything that is saved, in a form that compares.
fn digest(board: &Board) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    board.save(1, &mut |chunk| chunks.push(chunk.to_vec()));
    chunks.sort();
    chunks
}

fn names(board: &Board) -> Vec<String> {
    let mut names = Vec::new();
    let n = board.len();
    board.top(0, n, Ranking::Ordinal, |listed| {
        names.push(String::from_utf8_lossy(listed.standing.member).into_owned());
    });
    names
}
