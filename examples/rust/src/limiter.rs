//! A limiter that has a deadline of its own: asking it must not take longer than what it protects.

use crate::queue::{is_lost, ms};
use redis::{Client, Connection, RedisResult, cmd};
use std::time::Duration;

/// What the limiter said.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// Let it in; so many more would be let in now.
    Allowed { remaining: u64 },
    /// Not now: this long until it would be; None if never.
    Limited { retry_after: Option<Duration> },
}

/// `quota` requests in any `window`, for each subject.
pub struct Limiter {
    client: Client,
    quota: u64,
    window: Duration,
    /// How long connecting may take, and an answer.
    pub deadline: Duration,
    con: Option<Connection>,
}

impl Limiter {
    #[must_use]
    pub fn new(client: Client, quota: u64, window: Duration) -> Self {
        let deadline = Duration::from_millis(100);
        let con = None;
        Self {
            client,
            quota,
            window,
            deadline,
            con,
        }
    }

    /// Asks for one request of `subject`. `request` is an id that the request keeps when it is repeated: it is charged
    /// once, so after a lost reply it is asked again. On an error it is yours to let the request in or not.
    pub fn check(&mut self, subject: &str, request: &str) -> RedisResult<Answer> {
        match self.ask(subject, request) {
            Err(error) if is_lost(&error) => self.ask(subject, request),
            answer => answer,
        }
    }

    fn ask(&mut self, subject: &str, request: &str) -> RedisResult<Answer> {
        // Taken, and put back only once it has answered: what comes late must not be taken for the next answer.
        let mut con = match self.con.take() {
            Some(con) => con,
            None => self.connect()?,
        };
        let (allowed, _, remaining, retry_after, _): (bool, u64, u64, i64, i64) =
            cmd("RATELIMIT.CHECK")
                .arg(format!("limit:{subject}"))
                .arg(self.quota)
                .arg(ms(self.window))
                .arg("ID")
                .arg(request)
                .query(&mut con)?;
        self.con = Some(con);
        Ok(if allowed {
            Answer::Allowed { remaining }
        } else {
            let retry_after = u64::try_from(retry_after).ok().map(Duration::from_millis);
            Answer::Limited { retry_after }
        })
    }

    fn connect(&self) -> RedisResult<Connection> {
        let con = self.client.get_connection_with_timeout(self.deadline)?;
        con.set_read_timeout(Some(self.deadline))?;
        con.set_write_timeout(Some(self.deadline))?;
        Ok(con)
    }
}
