//! A queue over redis-rs: its commands with named fields, and how to settle an item when replies may be lost.

use redis::{Client, Connection, RedisError, RedisResult, cmd};
use std::time::Duration;

/// How long a command that does not wait may take.
pub const REPLY: Duration = Duration::from_secs(5);
/// How often a decision is sent before it is given up.
const TRIES: u32 = 10;

/// An item that is locked for a moderator.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Its id. (Ids may be any bytes; take `Vec<u8>` if yours are no UTF-8.)
    pub item: String,
    pub payload: Vec<u8>,
    /// The fencing token: larger than all before it in this queue.
    pub token: u64,
    /// When the lock ends unless it is extended, Unix ms by the server's clock.
    pub deadline: u64,
    pub priority: i32,
    /// When it was submitted, Unix ms.
    pub submitted: u64,
    /// How often it was locked, this time included.
    pub deliveries: u64,
    pub rev: u64,
}

/// A claim as the server writes it.
type Row = (String, Vec<u8>, u64, u64, i32, u64, u64, u64);

/// What became of an item that was to be settled.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The server's answer: `OK`, `VOTED`, `SPLIT`.
    Settled(String),
    /// A reply was lost, and now there is no such item: it is settled, most likely by us. With RETAIN set on the queue the
    /// server remembers, and a decision never ends so.
    Likely,
    /// The lock was not ours any more. Somebody else has the item, or nobody needs it.
    Lost,
}

/// One queue.
pub struct Queue {
    client: Client,
    key: String,
}

impl Queue {
    #[must_use]
    pub fn new(client: Client, key: &str) -> Self {
        let key = key.to_owned();
        Self { client, key }
    }

    /// A connection that waits for a reply no longer than `patience`. While a CLAIM waits nothing else is answered on its
    /// connection, so that has one of its own. One that timed out is to be dropped: its late reply would be taken for
    /// the answer to the next command, and a claim that nobody waits for any more is undone.
    pub fn connect(&self, patience: Duration) -> RedisResult<Connection> {
        let con = self.client.get_connection_with_timeout(REPLY)?;
        con.set_read_timeout(Some(patience))?;
        con.set_write_timeout(Some(REPLY))?;
        Ok(con)
    }

    /// What the moderator holds, or something new; waits up to `block` for it.
    pub fn claim(
        &self,
        con: &mut Connection,
        moderator: &str,
        lock: Duration,
        block: Duration,
    ) -> RedisResult<Option<Claim>> {
        let rows: Vec<Row> = cmd("MODQ.CLAIM")
            .arg(&self.key)
            .arg(moderator)
            .arg("LOCK")
            .arg(ms(lock))
            .arg("BLOCK")
            .arg(ms(block))
            .query(con)?;
        Ok(rows.into_iter().next().map(named))
    }

    /// Makes the lock last `lock` from now.
    pub fn extend(&self, con: &mut Connection, claim: &Claim, lock: Duration) -> RedisResult<u64> {
        let mut extend = cmd("MODQ.EXTEND");
        extend.arg(&self.key).arg(&claim.item).arg(claim.token);
        extend.arg(ms(lock)).query(con)
    }

    /// Decides the item. `verdict` is what machines compare, `decision` is prose.
    pub fn resolve(
        &self,
        con: &mut Connection,
        claim: &Claim,
        verdict: &str,
        decision: &str,
    ) -> RedisResult<String> {
        let mut resolve = cmd("MODQ.RESOLVE");
        resolve.arg(&self.key).arg(&claim.item).arg(claim.token);
        resolve.arg("VERDICT").arg(verdict);
        resolve.arg("DECISION").arg(decision).query(con)
    }

    /// Gives the item back to its place, to be ready again after `delay`.
    pub fn release(
        &self,
        con: &mut Connection,
        claim: &Claim,
        delay: Duration,
    ) -> RedisResult<String> {
        let mut release = cmd("MODQ.RELEASE");
        release.arg(&self.key).arg(&claim.item).arg(claim.token);
        release.arg("DELAY").arg(ms(delay)).query(con)
    }
}

fn named(row: Row) -> Claim {
    let (item, payload, token, deadline, priority, submitted, deliveries, rev) = row;
    Claim {
        item,
        payload,
        token,
        deadline,
        priority,
        submitted,
        deliveries,
        rev,
    }
}

/// Whole milliseconds, and never 0, which would wait for ever.
pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Whether nobody knows if the command was carried out.
#[must_use]
pub fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

/// Whether the same command may well succeed a little later.
#[must_use]
pub fn passes(error: &RedisError) -> bool {
    const CODES: [&str; 8] = [
        "LOADING",
        "READONLY",
        "MASTERDOWN",
        "TRYAGAIN",
        "UNBLOCKED",
        "OOM",
        "BUSY",
        "MISCONF",
    ];
    is_lost(error) || error.code().is_some_and(|code| CODES.contains(&code))
}

/// Whether the lock is gone.
#[must_use]
pub fn not_ours(error: &RedisError) -> bool {
    matches!(error.code(), Some("STALE" | "NOITEM"))
}

/// Sends what settles an item until somebody answers. `wait` is called before the second, third … time.
pub fn settle(
    mut send: impl FnMut() -> RedisResult<String>,
    mut wait: impl FnMut(u32),
) -> RedisResult<Outcome> {
    let mut unsure = false;
    let mut attempt = 0;
    loop {
        match send() {
            Ok(status) => return Ok(Outcome::Settled(status)),
            Err(error) if unsure && error.code() == Some("NOITEM") => return Ok(Outcome::Likely),
            Err(error) if not_ours(&error) => return Ok(Outcome::Lost),
            Err(error) if passes(&error) && attempt < TRIES => unsure |= is_lost(&error),
            Err(error) => return Err(error),
        }
        attempt += 1;
        wait(attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    fn lost() -> RedisError {
        Error::from(ErrorKind::TimedOut).into()
    }

    fn said(code: &str) -> RedisError {
        redis::make_extension_error(code.to_owned(), None)
    }

    /// What comes of these replies, and how many of them were asked for.
    fn settled(replies: Vec<RedisResult<String>>) -> (RedisResult<Outcome>, u32) {
        let mut replies = replies.into_iter();
        let mut asked = 0;
        let outcome = settle(
            || {
                asked += 1;
                replies.next().expect("no more is asked for")
            },
            |_| {},
        );
        (outcome, asked)
    }

    #[test]
    fn a_lost_reply_is_asked_for_again() {
        let answers = vec![Err(lost()), Err(lost()), Ok("VOTED".to_owned())];
        let (outcome, asked) = settled(answers);
        assert_eq!(outcome.unwrap(), Outcome::Settled("VOTED".to_owned()));
        assert_eq!(asked, 3);
    }

    #[test]
    fn no_such_item_means_done_only_after_a_lost_reply() {
        let (first, _) = settled(vec![Err(said("NOITEM"))]);
        assert_eq!(first.unwrap(), Outcome::Lost);
        let (second, _) = settled(vec![Err(lost()), Err(said("NOITEM"))]);
        assert_eq!(second.unwrap(), Outcome::Likely);
        let (loading, _) = settled(vec![Err(said("LOADING")), Err(said("NOITEM"))]);
        assert_eq!(loading.unwrap(), Outcome::Lost, "LOADING did nothing");
        let (stale, _) = settled(vec![Err(lost()), Err(said("STALE"))]);
        assert_eq!(stale.unwrap(), Outcome::Lost);
    }

    #[test]
    fn other_errors_are_told_at_once_and_nothing_goes_on_for_ever() {
        let (outcome, asked) = settled(vec![Err(said("WRONGTYPE"))]);
        assert_eq!(outcome.unwrap_err().code(), Some("WRONGTYPE"));
        assert_eq!(asked, 1);
        let (outcome, asked) = settled((0..100).map(|_| Err(lost())).collect());
        assert!(is_lost(&outcome.unwrap_err()));
        assert_eq!(asked, TRIES + 1);
    }
}
