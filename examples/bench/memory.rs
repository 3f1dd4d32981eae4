//! Bytes, by MEMORY USAGE and by what used_memory grows.

use super::Bench;
use super::load::{fill, fill_lines};
use super::table::Verdict;
use super::works::{PAYLOAD, name16};
use modq_testkit::wire::push;
use modq_testkit::{Client, info_number};
use std::time::Duration;

const ENTRIES: u64 = 100_000;

fn usage(client: &mut Client, key: &str) -> f64 {
    client.line(&format!("MEMORY USAGE {key} SAMPLES 0")).int() as f64
}

fn used(client: &mut Client) -> f64 {
    info_number(client, "memory", "used_memory") as f64
}

/// Judges both figures.
fn row(bench: &mut Bench, what: &str, most: f64, reported: f64, grown: f64, note: &str) {
    let measured = format!("{reported:.1} reported, {grown:.1} grown");
    let verdict = Verdict::of(reported.max(grown) <= most);
    let target = format!("≤ {most:.0} bytes");
    bench.table.row(what, target, measured, verdict, note);
}

/// Queued items beyond their ids and payloads.
pub(crate) fn items(bench: &mut Bench, _: &str) {
    const OWN: f64 = 16.0 + PAYLOAD.len() as f64;
    let port = bench.server.port();
    let per_item = |bytes: f64| bytes / ENTRIES as f64 - OWN;
    let before = used(&mut bench.client);
    fill(port, ENTRIES, |i, out| {
        push(out, &[b"MODQ.SUBMIT", b"q", &name16(i), &PAYLOAD]);
    });
    let grown = per_item(used(&mut bench.client) - before);
    let reported = per_item(usage(&mut bench.client, "q"));
    let note = format!("beyond 16 + {} bytes, {ENTRIES} items", PAYLOAD.len());
    row(bench, "queued item", 96.0, reported, grown, &note);
}

/// The log of a LOG limiter.
pub(crate) fn limiter(bench: &mut Bench, _: &str) {
    let what = "LOG limiter, each charge";
    if !bench.has("RATELIMIT.CHECK") {
        bench.table.absent(what, "≤ 4 bytes", "not there yet");
        return;
    }
    let client = &mut bench.client;
    client.line("INCR counter");
    client.line("RATELIMIT.CHECK limiter 100000 3600000");
    let one = usage(client, "limiter");
    let plain = usage(client, "counter");
    // In milliseconds of their own: charges of one millisecond would share an entry.
    let charges = if bench.plan.quick { 100 } else { 1_000 };
    for _ in 1..charges {
        std::thread::sleep(Duration::from_millis(1));
        client.line("RATELIMIT.CHECK limiter 100000 3600000");
    }
    // Too few bytes to see in used_memory, which client buffers come and go in.
    let each = (usage(client, "limiter") - one) / (charges - 1) as f64;
    let note = format!("by MEMORY USAGE; {charges} charges in as many milliseconds");
    let verdict = Verdict::of(each <= 4.0);
    bench
        .table
        .row(what, "≤ 4 bytes", format!("{each:.1}"), verdict, note);

    let port = bench.server.port();
    let before = used(&mut bench.client);
    fill(port, ENTRIES, |i, out| push(out, &[b"INCR", &name16(i)]));
    let counters = used(&mut bench.client) - before;
    bench.clear();
    let before = used(&mut bench.client);
    fill_lines(port, ENTRIES, 6, |i, out| {
        push(out, &[b"RATELIMIT.CHECK", &name16(i), b"10", b"3600000"]);
    });
    let limiters = used(&mut bench.client) - before;
    let grown = (limiters - counters) / ENTRIES as f64;
    let what = "LOG limiter with one charge, over an INCR key";
    row(
        bench,
        what,
        200.0,
        one - plain,
        grown,
        &format!("{ENTRIES} keys"),
    );
}

/// Members of a board beyond their names.
pub(crate) fn rank(bench: &mut Bench, _: &str) {
    let what = "RANK member, 1 column";
    if !bench.has("RANK.ADD") {
        bench.table.absent(what, "≤ 64 bytes", "not there yet");
        return;
    }
    let per_member = |bytes: f64| bytes / ENTRIES as f64 - 16.0;
    let before = used(&mut bench.client);
    let port = bench.server.port();
    fill_lines(port, ENTRIES, 5, |i, out| {
        let score = (i * 7919 % ENTRIES).to_string();
        push(out, &[b"RANK.ADD", b"b", &name16(i), score.as_bytes()]);
    });
    let grown = per_member(used(&mut bench.client) - before);
    let reported = per_member(usage(&mut bench.client, "b"));
    let note = format!("beyond 16 bytes, {ENTRIES} members");
    row(bench, what, 64.0, reported, grown, &note);
}
