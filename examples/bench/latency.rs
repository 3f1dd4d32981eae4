//! How long it takes from a submit until the moderator who waits has the item.

use super::Bench;
use super::probe::wait_for_quiet;
use super::table::Verdict;
use super::turns::{median, ms};
use super::works::{PAYLOAD, name16};
use modq_testkit::{Client, info_number};
use std::time::{Duration, Instant};

/// Returns when the server says that a client is blocked: in line for sure.
fn wait_blocked(client: &mut Client) {
    while info_number(client, "clients", "blocked_clients") == 0 {}
}

/// From SUBMIT until a blocked CLAIM is answered.
fn submit_to_claim(giver: &mut Client, waiter: &mut Client, i: u64) -> Duration {
    waiter.send(&["MODQ.CLAIM", "bq", "m", "BLOCK", "0"]);
    wait_blocked(giver);
    let start = Instant::now();
    giver.send(&[b"MODQ.SUBMIT", &b"bq"[..], &name16(i), &PAYLOAD]);
    let claim = waiter.read();
    let took = start.elapsed();
    giver.read();
    let token = claim[0][2].int().to_string();
    giver.cmd(&[b"MODQ.RESOLVE", &b"bq"[..], &name16(i), token.as_bytes()]);
    took
}

/// From LPUSH until a blocked BLPOP is answered.
fn push_to_pop(giver: &mut Client, popper: &mut Client) -> Duration {
    popper.send(&["BLPOP", "bl", "0"]);
    wait_blocked(giver);
    let start = Instant::now();
    giver.send(&[b"LPUSH", &b"bl"[..], &PAYLOAD]);
    popper.read();
    let took = start.elapsed();
    giver.read();
    took
}

/// From a submit until the moderator who waits has the item, against LPUSH and BLPOP.
pub(crate) fn blocked(bench: &mut Bench, _: &str) {
    let (what, target) = (
        "submit to blocked CLAIM, latency ÷ LPUSH to BLPOP",
        "≤ 1.20",
    );
    let (mut waiter, mut popper) = (bench.server.client(), bench.server.client());
    let start = Instant::now();
    let nothing = waiter.line("MODQ.CLAIM nothing nobody BLOCK 100");
    if !nothing.is_null() || ms(start.elapsed()) < 50.0 {
        bench.table.absent(what, target, "not there yet");
        return;
    }
    let rounds = if bench.plan.quick { 200 } else { 2000 };
    let giver = &mut bench.client;
    let (mut a, mut b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.plan.pairs {
        wait_for_quiet(bench.plan.patience);
        let ours = (0..rounds).map(|i| ms(submit_to_claim(giver, &mut waiter, i)));
        let ours = median(ours.collect());
        let lists = (0..rounds).map(|_| ms(push_to_pop(giver, &mut popper)));
        let lists = median(lists.collect());
        ratios.push(ours / lists);
        a.push(ours);
        b.push(lists);
    }
    let found = median(ratios);
    let note = format!(
        "medians {:.0} and {:.0} µs over {rounds} rounds, {} pairs",
        median(a) * 1e3,
        median(b) * 1e3,
        bench.plan.pairs
    );
    bench.table.row(
        what,
        target,
        format!("{found:.2}"),
        Verdict::of(found <= 1.2),
        note,
    );
}
