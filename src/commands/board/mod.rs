//! RANK.*: boards. A file for each kind of command; here are the arguments and replies that several of
//! them have.

mod readers;
mod seasons;
mod settings;
mod writers;

use crate::server::args::{Parser, words};
use crate::server::command::Command;
use crate::server::context::{Context, Refusal};
use modq_core::board::{MAX_COLUMNS, MAX_MEMBER_BYTES, MAX_RETRY, Ranking, Row, Update};
use modq_core::units::Millis;

/// The commands, by what they are for.
pub(super) static COMMANDS: [&[Command]; 4] = [
    settings::COMMANDS,
    writers::COMMANDS,
    readers::COMMANDS,
    seasons::COMMANDS,
];

words!(impl for Update {
    Sum = "SUM",
    Best = "BEST",
    Last = "LAST",
});

words!(impl for Ranking {
    Ordinal = "ORDINAL",
    Standard = "STANDARD",
    Dense = "DENSE",
});

#[inline]
fn member<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("member", 1..=MAX_MEMBER_BYTES)
}

fn retry(parser: &mut Parser<'_>) -> Result<Millis, Refusal> {
    let ms = parser.unsigned_of("RETRY", 0..=MAX_RETRY, ", in milliseconds")?;
    Ok(Millis(ms))
}

/// At least one score, and as many more as there are words that do not begin as options do. Whether
/// they are as many as the board has columns is yet to be seen.
#[inline]
fn row(parser: &mut Parser<'_>) -> Result<Row, Refusal> {
    let mut scores = [0; MAX_COLUMNS];
    let mut len = 0;
    loop {
        let score = parser.number("score", i64::MIN..=i64::MAX)?;
        let Some(place) = scores.get_mut(len) else {
            return Err(Refusal::fixed("ERR score: at most 4 can be given"));
        };
        *place = score;
        len += 1;
        let ends = |word: &[u8]| word.first().is_some_and(u8::is_ascii_alphabetic);
        if parser.peek().is_none_or(ends) {
            break;
        }
    }
    Row::new(&scores[..len]).ok_or(Refusal::missing("score"))
}

fn reply_rank(ctx: Context<'_>, rank: Option<u64>) {
    match rank {
        Some(rank) => ctx.reply_integer(rank as i64),
        None => ctx.reply_null(),
    }
}

fn reply_scores(ctx: Context<'_>, row: &Row) {
    for score in row.iter() {
        ctx.reply_integer(*score);
    }
}
