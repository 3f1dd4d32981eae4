//! Waiting for a condition, with a deadline, and the questions about a server that tests keep asking.

use super::{Client, Server};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Long enough for a busy two-core machine; only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until `done` says so; fails with `what` if it takes longer than `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < limit,
            "waited {limit:?} in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// The fields of an INFO section.
#[track_caller]
pub fn info(client: &mut Client, section: &str) -> HashMap<String, String> {
    parse_info(&client.cmd(&["INFO", section]).text())
}

pub fn parse_info(text: &str) -> HashMap<String, String> {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(field, value)| (field.to_owned(), value.to_owned()))
        .collect()
}

/// Waits until the replica (of the primary, or further down the chain) has applied all the primary has written so far.
/// The primary's id is asked for each time: with its first replica it takes another and begins to count.
#[track_caller]
pub fn wait_replica_synced(primary: &Server, replica: &Server) {
    let (mut up, mut down) = (primary.client(), replica.client());
    let mut goal = info(&mut up, "replication");
    let what = format!("port {} has all of port {}", replica.port(), primary.port());
    wait_until(&what, PATIENCE, || {
        let now = info(&mut up, "replication");
        if now["master_replid"] != goal["master_replid"] {
            goal = now;
        }
        let state = info(&mut down, "replication");
        state
            .get("master_link_status")
            .is_some_and(|link| link == "up")
            && state["master_replid"] == goal["master_replid"]
            && offset(&state, "slave_repl_offset") >= offset(&goal, "master_repl_offset")
    });
}

fn offset(replication: &HashMap<String, String>, field: &str) -> u64 {
    replication
        .get(field)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// DEBUG DIGEST-VALUE: the state of one key; all zeros if it is missing.
#[track_caller]
pub fn digest(client: &mut Client, key: impl AsRef<[u8]>) -> String {
    client.cmd(&[b"DEBUG" as &[u8], b"DIGEST-VALUE", key.as_ref()])[0].text()
}

/// DEBUG DIGEST: the state of the whole data set.
#[track_caller]
pub fn debug_digest(client: &mut Client) -> String {
    client.line("DEBUG DIGEST").text()
}

/// How often a command ran, by INFO commandstats (lower-case name): what a replica was sent.
#[track_caller]
pub fn command_calls(client: &mut Client, command: &str) -> u64 {
    let stats = info(client, "commandstats");
    let line = stats.get(&format!("cmdstat_{command}"));
    let calls = line.and_then(|line| line.strip_prefix("calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}
