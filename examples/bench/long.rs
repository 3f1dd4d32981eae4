//! How long the longest commands take, alone on the server: what docs/operations.md says of them. No targets.

use super::load::fill;
use super::table::Verdict;
use super::turns::{median, ms};
use super::works::{PAYLOAD, name16};
use super::{Bench, grouped};
use modq_testkit::Client;
use modq_testkit::wire::push;
use std::time::Instant;

/// How often each is done.
const TIMES: usize = 5;

/// Prepares and times a command, again and again.
fn long(bench: &mut Bench, what: String, command: &str, mut prepare: impl FnMut(&mut Client, u16)) {
    let port = bench.server.port();
    let mut times = Vec::new();
    for _ in 0..TIMES {
        prepare(&mut bench.client, port);
        let start = Instant::now();
        let reply = bench.client.line(command);
        times.push(ms(start.elapsed()));
        assert_eq!(reply.err_code(), "", "{command}: {reply:?}");
    }
    bench.clear();
    let measured = format!("{:.1} ms", median(times));
    let shown: String = command.chars().take(40).collect();
    bench.table.row(what, "-", measured, Verdict::Open, shown);
}

fn items(port: u16, n: u64) {
    fill(port, n, |i, out| {
        push(out, &[b"MODQ.SUBMIT", b"q", &name16(i), &PAYLOAD]);
    });
}

/// Somebody holds `n` items.
fn held(client: &mut Client, port: u16, n: u64) {
    items(port, n);
    for _ in 0..n / 1000 {
        client.line("MODQ.CLAIM q m COUNT 1000 NEW LOCK 3600000");
    }
}

/// Five of fifty tags, another five for each item: by the digits of its number.
fn tagged(port: u16, n: u64) {
    fill(port, n, |i, out| {
        let (item, digits) = (name16(i), format!("{i:05}"));
        let tags = digits
            .bytes()
            .zip(b'a'..)
            .map(|(digit, place)| [place, digit]);
        let tags: Vec<[u8; 2]> = tags.collect();
        let words: [&[u8]; 6] = [b"MODQ.SUBMIT", b"q", &item, &PAYLOAD, b"TAGS", b"5"];
        let all: Vec<&[u8]> = words
            .into_iter()
            .chain(tags.iter().map(|t| &t[..]))
            .collect();
        push(out, &all);
    });
}

/// Who offers all fifty.
fn tags_of_all() -> String {
    let tags =
        ('a'..='e').flat_map(|place| ('0'..='9').map(move |digit| format!(" {place}{digit}")));
    format!("TAGS 50{}", tags.collect::<String>())
}

/// On queues.
pub(crate) fn queues(bench: &mut Bench, _: &str) {
    let n = bench.plan.keys;
    let many = grouped(n);
    long(
        bench,
        format!("LEAVE RELEASE of {many} held"),
        "MODQ.LEAVE q m RELEASE",
        |client, port| held(client, port, n),
    );
    long(
        bench,
        "the same with EVENTS".into(),
        "MODQ.LEAVE q m RELEASE",
        |client, port| {
            client.line("MODQ.CONFIGURE q EVENTS log");
            held(client, port, n);
        },
    );
    long(
        bench,
        "REVIVE of 1,000".into(),
        "MODQ.REVIVE q ALL",
        |client, port| {
            client.line("DEL q");
            client.line("MODQ.CONFIGURE q MAXEXPIRIES 1");
            items(port, 1000);
            client.line("MODQ.CLAIM q m COUNT 1000 NEW LOCK 1");
            while client.line("MODQ.LEN q DEAD").int() < 1000 {}
        },
    );
    long(
        bench,
        format!("CONFIGURE CAPACITY, {many} in line"),
        "MODQ.CONFIGURE q CAPACITY 5",
        |client, port| {
            client.line("MODQ.CONFIGURE q CAPACITY 6");
            fill(port, n, |i, out| {
                push(out, &[b"MODQ.JOIN", b"q", &name16(i), b"TTL", b"3600000"]);
            });
        },
    );
    for (what, command) in [
        (
            "CLAIM COUNT 1000",
            format!("MODQ.CLAIM q m COUNT 1000 NEW LOCK 1 {}", tags_of_all()),
        ),
        ("PEEK COUNT 1000", "MODQ.PEEK q COUNT 1000".to_owned()),
        ("STATS", "MODQ.STATS q".to_owned()),
    ] {
        long(
            bench,
            format!("{what}, {many} tag combinations"),
            &command,
            |_, port| tagged(port, n),
        );
    }
}

/// On limits.
pub(crate) fn limits(bench: &mut Bench, _: &str) {
    let (n, ids) = (bench.plan.keys, bench.plan.many);
    let leases = |_: &mut Client, port: u16| {
        fill(port, n, |i, out| {
            let words: [&[u8]; 5] = [b"RATELIMIT.ACQUIRE", b"k", b"1000000", &name16(i), b"TTL"];
            push(out, &[&words[..], &[b"3600000"]].concat());
        });
    };
    let all = format!("LEASES of {}", grouped(n));
    long(bench, all, "RATELIMIT.LEASES k", leases);
    let page = format!("LEASES COUNT 1000 of {}", grouped(n));
    long(bench, page, "RATELIMIT.LEASES k COUNT 1000", leases);
    for lazy in ["no", "yes"] {
        bench
            .client
            .expect_ok(&format!("CONFIG SET lazyfree-lazy-expire {lazy}"));
        long(
            bench,
            format!(
                "CHECK on an expired key, {} ids, lazyfree-lazy-expire {lazy}",
                grouped(ids)
            ),
            "RATELIMIT.CHECK k 10 1000",
            |client, port| {
                // Without the server's own cycle, so that it is the command that finds it expired.
                client.line("DEBUG SET-ACTIVE-EXPIRE 0");
                fill(port, ids, |i, out| {
                    let words: [&[u8]; 5] =
                        [b"RATELIMIT.CHECK", b"k", b"100000000", b"3600000", b"ALGO"];
                    push(out, &[&words[..], &[b"GCRA", b"ID", &name16(i)]].concat());
                });
                client.line("PEXPIRE k 1");
                std::thread::sleep(std::time::Duration::from_millis(5));
            },
        );
    }
    bench.client.line("DEBUG SET-ACTIVE-EXPIRE 1");
    long(
        bench,
        format!("a fork, {} policies", grouped(n)),
        "BGREWRITEAOF",
        |client, port| {
            while rewriting(client) {}
            fill(port, n, |i, out| {
                let words: [&[u8]; 4] = [b"RATELIMIT.POLICY", b"SET", &name16(i), b"100"];
                push(out, &[&words[..], &[b"60000"]].concat());
            });
        },
    );
}

fn rewriting(client: &mut Client) -> bool {
    modq_testkit::info_number(client, "persistence", "aof_rewrite_in_progress") > 0
}
