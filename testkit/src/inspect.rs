//! The questions about a server that tests keep asking: INFO, its clock, digests, and whether a command left anything
//! behind.

use crate::Client;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The fields of INFO and what they say.
pub type Info = HashMap<String, String>;

/// The fields of an INFO section.
#[track_caller]
pub fn info(client: &mut Client, section: &str) -> Info {
    parse_info(&client.cmd(&["INFO", section]).text())
}

/// A field of an INFO section that is a number, 0 if it is not there.
#[track_caller]
pub fn info_number(client: &mut Client, section: &str, field: &str) -> u64 {
    let value = info(client, section).remove(field);
    value.and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The fields of what INFO, or a command that answers in the same way, has said.
#[must_use]
pub fn parse_info(text: &str) -> Info {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(field, value)| (field.to_owned(), value.to_owned()))
        .collect()
}

/// How often a command ran, by INFO commandstats (lower-case name): what a replica was sent.
#[track_caller]
pub fn command_calls(client: &mut Client, command: &str) -> u64 {
    let stats = info(client, "commandstats");
    let line = stats.get(&format!("cmdstat_{command}"));
    let calls = line.and_then(|line| line.strip_prefix("calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

/// The clock, in µs since 1970. It is the servers' as well, which run on this machine, but for those with a clock of
/// their own. (TIME is no such look at it: Valkey's may be a millisecond behind under load.)
#[must_use]
pub fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock is set").as_micros() as i64
}

/// The same in ms.
#[must_use]
pub fn now_ms() -> i64 {
    now_us() / 1000
}

/// What a server says the time is, in ms since 1970.
#[track_caller]
pub fn server_ms(c: &mut Client) -> i64 {
    let time = c.line("TIME");
    let part = |i: usize| time[i].text().parse::<i64>().unwrap();
    part(0) * 1000 + part(1) / 1000
}

/// The processor time that a process, all of its threads, has taken up to this moment; none if there is no such process.
/// Other than a clock it does not tell how busy the machine is with something else.
#[must_use]
pub fn processor_time(pid: u32) -> Duration {
    // SAFETY: both calls write to places on the stack.
    let time = unsafe {
        let mut clock = 0;
        let mut time: libc::timespec = std::mem::zeroed();
        if libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) == 0 {
            libc::clock_gettime(clock, &mut time);
        }
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What the main thread of a server works while `body` runs in this thread, and what that answers. What it may have worked
/// while this thread waited for a processor is left out: on a busy machine that is work on other things, which nobody
/// waited for. So the result is never too large because the machine is busy.
pub fn work_during<R>(server: u32, body: impl FnOnce() -> R) -> (R, Duration) {
    let main = format!("/proc/{server}/task/{server}/schedstat");
    let look = || {
        [
            schedule(&main)[0],
            schedule("/proc/thread-self/schedstat")[1],
        ]
    };
    let before = look();
    let result = body();
    let after = look();
    let [worked, waited] = [0, 1].map(|i| after[i].saturating_sub(before[i]));
    (result, worked.saturating_sub(waited))
}

/// How long a thread has run, and how long it was ready to run but had no processor; zeros if the system does not say.
fn schedule(path: &str) -> [Duration; 2] {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut numbers = text.split(' ').map(|n| n.parse().unwrap_or(0));
    [0, 1].map(|_| Duration::from_nanos(numbers.next().unwrap_or(0)))
}

/// The processor time that this thread has taken: what the machine does besides does not count.
#[must_use]
pub fn thread_time() -> Duration {
    // SAFETY: the call writes to a place on the stack.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
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

/// What a command that must change nothing may not touch: the value, the server's count of changes and, if the AOF
/// is on, its length. An AOF gets what replicas get.
#[track_caller]
pub fn footprint(c: &mut Client, key: &str) -> [String; 3] {
    let persistence = info(c, "persistence");
    [
        digest(c, key),
        persistence["rdb_changes_since_last_save"].clone(),
        persistence
            .get("aof_current_size")
            .cloned()
            .unwrap_or_default(),
    ]
}

/// Runs `body`, after which the value of `key`, the count of changes and the AOF are as before.
#[track_caller]
pub fn unchanged<R>(c: &mut Client, key: &str, body: impl FnOnce(&mut Client) -> R) -> R {
    let before = footprint(c, key);
    let result = body(c);
    assert_eq!(footprint(c, key), before, "something changed at {key}");
    result
}

/// Runs `body`, which must leave something in the value, the count of changes and the AOF, if that is on.
#[track_caller]
pub fn changed<R>(c: &mut Client, key: &str, body: impl FnOnce(&mut Client) -> R) -> R {
    let before = footprint(c, key);
    let result = body(c);
    let after = footprint(c, key);
    for (before, after) in before.iter().zip(&after) {
        assert!(before != after || before.is_empty(), "{before} at {key}");
    }
    result
}
