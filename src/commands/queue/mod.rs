//! MODQ.*: moderation queues. A file for each kind of user; here are the arguments that several of
//! the commands take.

mod batches;
mod decided;
mod groups;
mod moderators;
mod producers;
mod readers;
mod supervisors;

use crate::server::args::{Args, Parser, words};
use crate::server::command::Command;
use crate::server::context::{Context, Refusal};
use modq_core::queue::{
    MAX_COUNT, MAX_DECISION, MAX_DURATION, MAX_GROUP, MAX_ID, MAX_REASON, MAX_TAG, MAX_TAGS,
    MAX_VERDICT, Quorum,
};
use modq_core::units::{Millis, Token};
use serde_bytes::Bytes;
use std::ops::RangeInclusive;

/// The commands, by who uses them.
pub(super) static COMMANDS: [&[Command]; 7] = [
    producers::COMMANDS,
    moderators::COMMANDS,
    batches::COMMANDS,
    groups::COMMANDS,
    supervisors::COMMANDS,
    decided::COMMANDS,
    readers::COMMANDS,
];

// Each of these reads one argument. Their names in errors and their ranges are those of
// docs/commands.md.

/// A duration in milliseconds.
fn ms(
    parser: &mut Parser<'_>,
    name: &'static str,
    range: RangeInclusive<u64>,
) -> Result<Millis, Refusal> {
    parser.unsigned_of(name, range, MS).map(Millis)
}

/// How errors say that a number is in milliseconds.
const MS: &str = " (ms)";

fn item<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("item", 1..=MAX_ID)
}

fn moderator<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("moderator", 1..=MAX_ID)
}

fn priority(parser: &mut Parser<'_>) -> Result<i32, Refusal> {
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    parser.number("PRIORITY", range).map(|p| p as i32)
}

fn delay(parser: &mut Parser<'_>) -> Result<Millis, Refusal> {
    ms(parser, "DELAY", 0..=MAX_DURATION)
}

fn tags<'a>(parser: &mut Parser<'a>) -> Result<Vec<&'a Bytes>, Refusal> {
    parser.counted("TAGS", MAX_TAGS, 1..=MAX_TAG, Bytes::new)
}

fn count(parser: &mut Parser<'_>) -> Result<usize, Refusal> {
    parser.unsigned("COUNT", 1..=MAX_COUNT).map(|n| n as usize)
}

/// How many entries a listing has if COUNT does not say.
const PAGE: usize = 100;

words! {
    enum OnlyCount {
        Count = "COUNT",
    }
}

/// The rest of a command whose only option is COUNT: how many, or `default`.
fn only_count(parser: &mut Parser<'_>, default: usize) -> Result<usize, Refusal> {
    let mut most = default;
    while parser.more() {
        let OnlyCount::Count = parser.option()?;
        most = count(parser)?;
    }
    Ok(most)
}

fn lock(parser: &mut Parser<'_>) -> Result<Millis, Refusal> {
    ms(parser, "LOCK", 1..=MAX_DURATION)
}

fn token(parser: &mut Parser<'_>) -> Result<Token, Refusal> {
    token_named(parser, "token")
}

fn token_named(parser: &mut Parser<'_>, name: &'static str) -> Result<Token, Refusal> {
    parser.unsigned(name, 0..=i64::MAX as u64).map(Token)
}

/// How many must agree, out of how many votes.
fn quorum(parser: &mut Parser<'_>) -> Result<Quorum, Refusal> {
    let range = 1..=u64::from(Quorum::MAX);
    let k = parser.unsigned("QUORUM", range.clone())? as u8;
    let n = parser.unsigned("QUORUM", range)? as u8;
    let quorum = Quorum { k, n };
    match quorum.fits() {
        true => Ok(quorum),
        false => Err(Refusal::fixed(
            "ERR QUORUM asks for more equal votes than there may be",
        )),
    }
}

fn group<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("GROUP", 1..=MAX_GROUP)
}

/// Where a listing goes on.
fn cursor(parser: &mut Parser<'_>) -> Result<u64, Refusal> {
    parser.unsigned("CURSOR", 0..=i64::MAX as u64)
}

/// Replies where to go on.
fn reply_cursor(ctx: Context<'_>, next: Option<u64>) {
    ctx.reply_bytes(next.unwrap_or(0).to_string().as_bytes());
}

/// Why something is done, for its event.
fn reason<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("REASON", 0..=MAX_REASON)
}

fn rev(parser: &mut Parser<'_>) -> Result<u64, Refusal> {
    rev_named(parser, "REV")
}

fn rev_named(parser: &mut Parser<'_>, name: &'static str) -> Result<u64, Refusal> {
    parser.unsigned(name, 0..=i64::MAX as u64)
}

fn verdict<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("VERDICT", 1..=MAX_VERDICT)
}

fn decision<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("DECISION", 0..=MAX_DECISION)
}

/// Who does something, for its event.
fn by<'a>(parser: &mut Parser<'a>) -> Result<&'a [u8], Refusal> {
    parser.bytes("BY", 1..=MAX_ID)
}

words! {
    enum OnlyBy {
        By = "BY",
    }
}

/// The ids of items, and who does something to them.
type ItemsBy<'a> = (Vec<&'a [u8]>, Option<&'a [u8]>);

/// The rest of a command that names items, the `first` of which was read, and who does it. BY, if it is
/// the last word but one, is no item.
fn items_by<'a>(
    parser: &mut Parser<'a>,
    args: Args<'a>,
    first: &'a [u8],
) -> Result<ItemsBy<'a>, Refusal> {
    let by_at = args.count() - 2;
    let mut ids = vec![first];
    while parser.more() {
        if parser.position() == by_at && parser.peek_option() == Some(OnlyBy::By) {
            parser.word("BY")?;
            return Ok((ids, Some(by(parser)?)));
        }
        ids.push(item(parser)?);
        if ids.len() > MAX_COUNT as usize {
            return Err(Refusal::fixed("ERR at most 1000 items can be named"));
        }
    }
    Ok((ids, None))
}
