//! A wave of spam: a hundred thousand items of one group, decided by RESOLVE … ALSO a thousand at a time.

use super::load::fill;
use super::stalls::{gap_row, gaps};
use super::turns::{median, ms};
use super::works::{PAYLOAD, name16};
use super::{Bench, grouped};
use modq_testkit::Client;
use modq_testkit::wire::push;
use std::time::{Duration, Instant};

/// How long others wait meanwhile: with nothing remembered, with records, and with events and votes too.
pub(crate) fn wave(bench: &mut Bench, _: &str) {
    for (what, settings, quorum) in [
        ("", "RETAIN 0", "1 1"),
        (", with RETAIN", "RETAIN 3600000", "1 1"),
        (
            ", with RETAIN, EVENTS and QUORUM 2 3",
            "RETAIN 3600000 EVENTS log",
            "2 3",
        ),
    ] {
        one(bench, what, settings, quorum);
        bench.clear();
    }
}

fn one(bench: &mut Bench, what: &str, settings: &str, quorum: &str) {
    let items = bench.plan.locks;
    let prepare = |bench: &mut Bench| {
        bench.clear();
        bench.client.line(&format!("MODQ.CONFIGURE q {settings}"));
        let quorum: Vec<&[u8]> = quorum.split(' ').map(str::as_bytes).collect();
        fill(bench.server.port(), items, |i, out| {
            let item = name16(i);
            let head: [&[u8]; 6] = [b"MODQ.SUBMIT", b"q", &item, &PAYLOAD, b"GROUP", b"wave"];
            push(
                out,
                &[&head[..], &[b"QUORUM", quorum[0], quorum[1]]].concat(),
            );
        });
    };
    let mut slices = Vec::new();
    let found = gaps(bench, prepare, |bench, _| {
        // With votes the second one to give theirs ends the items.
        while bench.client.line("MODQ.LEN q").int() > 0 {
            for moderator in ["a", "b"] {
                slices.extend(slice(&mut bench.client, moderator));
            }
        }
    });
    let note = format!(
        "{} calls, {:.1} ms each as seen by the client",
        slices.len() / bench.plan.windows,
        median(slices)
    );
    let what = format!("{} items by ALSO 1000{what}", grouped(items));
    gap_row(bench, what, 2.0, found, note);
}

/// One moderator decides the next items of the group. Answers how long the decision took, ms.
fn slice(client: &mut Client, moderator: &str) -> Option<f64> {
    let claimed = client.line(&format!("MODQ.CLAIM q {moderator} NEW"));
    if claimed.is_null() {
        return None;
    }
    let (item, token) = (claimed[0][0].text(), claimed[0][2].int());
    let start = Instant::now();
    let reply = client.line(&format!(
        "MODQ.RESOLVE q {item} {token} VERDICT spam ALSO 1000"
    ));
    assert_eq!(reply.err_code(), "", "{reply:?}");
    let took: Duration = start.elapsed();
    Some(ms(took))
}
