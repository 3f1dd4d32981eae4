//! Waiting for a condition, with a deadline.

use crate::inspect::{Info, now_ms, parse_info};
use crate::{Reconnecting, Server};
use std::time::{Duration, Instant};

/// Long enough for a busy two-core machine; only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until `done` says so; fails with `what` if it takes longer than `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, done: impl FnMut() -> bool) {
    assert!(
        comes_true(limit, done),
        "waited {limit:?} in vain until {what}"
    );
}

/// Polls until `done` says so; whether it did within `limit`.
pub(crate) fn comes_true(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !done() {
        if start.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    true
}

/// Returns when the clock, in whole ms since 1970, has gone on by more than `ms`; with 0, in the next ms.
pub fn let_pass(ms: i64) {
    let start = now_ms();
    loop {
        match start + ms - now_ms() {
            left if left < 0 => return,
            0..=2 => std::thread::yield_now(),
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Waits until the replica (of the primary, or further down the chain) has applied all the primary has written so far.
/// The primary's id is asked for each time: with its first replica it takes another and begins to count. Holds also
/// while Sentinels are at work, which close connections.
#[track_caller]
pub fn wait_replica_synced(primary: &Server, replica: &Server) {
    let (mut up, mut down) = (Reconnecting::new(primary), Reconnecting::new(replica));
    let mut goal: Option<Info> = None;
    let what = format!("port {} has all of port {}", replica.port(), primary.port());
    wait_until(&what, PATIENCE, || {
        let (Some(now), Some(state)) = (replication(&mut up), replication(&mut down)) else {
            return false;
        };
        let same_history = |goal: &Info| now["master_replid"] == goal["master_replid"];
        let goal = match goal.take().filter(same_history) {
            Some(known) => goal.insert(known),
            None => goal.insert(now),
        };
        state
            .get("master_link_status")
            .is_some_and(|link| link == "up")
            && state["master_replid"] == goal["master_replid"]
            && offset(&state, "slave_repl_offset") >= offset(goal, "master_repl_offset")
    });
}

/// Waits until the replica has loaded and what its primary writes reaches it at once: Redis 7.0 begins to send only
/// with the replica's first ACK.
#[track_caller]
pub fn wait_link(primary: &Server, replica: &Server) {
    let mut c = Reconnecting::new(replica);
    wait_until("the link is up", PATIENCE, || {
        replication(&mut c).is_some_and(|state| state["master_link_status"] == "up")
    });
    primary.client().line("PUBLISH nobody hears");
    wait_replica_synced(primary, replica);
}

fn replication(of: &mut Reconnecting) -> Option<Info> {
    let reply = of.try_line("INFO replication")?;
    Some(parse_info(&reply.text()))
}

fn offset(replication: &Info, field: &str) -> u64 {
    let value = replication.get(field);
    value.and_then(|n| n.parse().ok()).unwrap_or(0)
}
