//! Speed: ratios to controls on the same server. The cycle of a queue, and a board.

use super::load::{fill, fill_lines};
use super::table::Verdict;
use super::turns::{Arm, in_turns, ratio};
use super::works::{Cycle, Cycled, Modq, Plain, Prebuilt, Prioritized, Stream, Trio, name16};
use super::{Bench, CONNECTIONS, grouped};
use modq_testkit::wire::push;
use modq_testkit::{Client, Random};

/// A ratio to a control: throughput, judged if pairs counted.
pub(crate) fn ratio_row(bench: &mut Bench, what: &str, ours: &Arm, control: &Arm, least: f64) {
    let found = ratio(ours, control);
    let what = format!("{what} ÷ {}", control.name);
    let target = format!("≥ {least:.2}");
    if found.counted == 0 {
        let note = found.note();
        bench
            .table
            .row(what, target, "core not busy enough", Verdict::Open, note);
    } else {
        let measured = format!("{:.2}", found.throughput);
        let verdict = Verdict::of(found.throughput >= least);
        bench
            .table
            .row(what, target, measured, verdict, found.note());
    }
}

/// A ratio to a control by the processor time of the server.
fn cpu_row(bench: &mut Bench, what: &str, ours: &Arm, control: &Arm, least: f64) {
    let found = ratio(ours, control);
    let what = format!("{what} ÷ {}, by processor time", control.name);
    let note = format!(
        "{} pairs; by throughput {:.2}",
        found.pairs, found.throughput
    );
    let verdict = Verdict::of(found.cpu >= least);
    let measured = format!("{:.2}", found.cpu);
    bench
        .table
        .row(what, format!("≥ {least:.2}"), measured, verdict, note);
}

/// Instructions of the server per operation.
pub(crate) fn instructions_row(bench: &mut Bench, what: &str, ours: &Arm, most: f64) {
    let what = format!("{what}, instructions");
    let target = format!("≤ {}", grouped(most as u64));
    match ours.instructions() {
        Some(n) => {
            let measured = grouped(n as u64);
            bench
                .table
                .row(what, target, measured, Verdict::of(n <= most), "");
        }
        None => bench.table.absent(what, target, "perf not available"),
    }
}

/// Loads a script; answers its hash.
pub(crate) fn script(client: &mut Client, text: &str) -> Vec<u8> {
    client.cmd(&["SCRIPT", "LOAD", text]).bytes().to_vec()
}

/// Submit, claim and resolve, against a stream with a consumer group and a queue in Lua.
pub(crate) fn cycle(bench: &mut Bench, name: &str) {
    let backlog = name.contains("backlog");
    let priorities = name.contains("priorities");
    let port = bench.server.port();
    let client = &mut bench.client;
    let trio = Trio {
        submit: script(client, Trio::SUBMIT),
        claim: script(client, Trio::CLAIM),
        resolve: script(client, Trio::RESOLVE),
    };
    client.expect_ok("XGROUP CREATE s g 0 MKSTREAM");
    if backlog {
        let many = bench.plan.many;
        fill(port, many, |i, out| Modq(b"q").submit(&name16(i), out));
        fill(port, many, |i, out| trio.submit(&name16(i), out));
        fill_lines(port, many, 2, |i, out| {
            Stream(b"s").submit(&name16(i), out);
        });
    }
    let mut arms = [
        match priorities {
            true => Arm::new("cycle", Cycle::new(Prioritized(Modq(b"q")), CONNECTIONS)),
            false => Arm::new("cycle", Cycle::new(Modq(b"q"), CONNECTIONS)),
        },
        Arm::new("Streams cycle", Cycle::new(Stream(b"s"), CONNECTIONS)),
        Arm::new("Lua trio", Cycle::new(trio, CONNECTIONS)),
    ];
    in_turns(&mut bench.load, &bench.probe, &bench.plan, &mut arms);
    if priorities {
        let what = "cycle, priorities 0 to 3";
        cpu_row(bench, what, &arms[0], &arms[1], 1.6);
        ratio_row(bench, what, &arms[0], &arms[2], 4.0);
        return;
    }
    let what = match backlog {
        true => format!("cycle, backlog {}", bench.many()),
        false => "cycle".to_owned(),
    };
    ratio_row(bench, &what, &arms[0], &arms[1], 1.6);
    ratio_row(bench, &what, &arms[0], &arms[2], 4.0);
    instructions_row(bench, &what, &arms[0], 38_000.0);
}

/// SUBMIT of a queue that writes events, against SUBMIT and then an XADD of what its event says.
pub(crate) fn events(bench: &mut Bench, _: &str) {
    // What is trimmed is the same on both sides.
    const KEPT: &str = "10000";
    let client = &mut bench.client;
    client.expect_ok(&format!("MODQ.CONFIGURE q EVENTS log EVENTSMAXLEN {KEPT}"));
    client.line(&format!("MODQ.SUBMIT q {} payload", "0".repeat(16)));
    let logged = client.line("XRANGE log - +");
    let event: Vec<Vec<u8>> = logged[0][1]
        .items()
        .iter()
        .map(|word| word.bytes().to_vec())
        .collect();
    let submit = |key: &'static [u8], next: &mut u64, out: &mut Vec<u8>| {
        *next += 1;
        Modq(key).submit(&name16(*next), out);
    };
    let (mut ours, mut theirs) = (1 << 40, 1 << 40);
    let mut arms = [
        Arm::new(
            "SUBMIT with EVENTS",
            Plain::new(1, move |_, out| submit(b"q", &mut ours, out)),
        ),
        Arm::new(
            "SUBMIT and XADD",
            Plain::new(3, move |_, out| {
                submit(b"plain", &mut theirs, out);
                let head: [&[u8]; 5] = [b"XADD", b"own", b"MAXLEN", b"~", KEPT.as_bytes()];
                let fields = event.iter().map(|field| &**field);
                let words: Vec<&[u8]> = head.into_iter().chain([&b"*"[..]]).chain(fields).collect();
                push(out, &words);
            }),
        ),
    ];
    in_turns(&mut bench.load, &bench.probe, &bench.plan, &mut arms);
    let found = ratio(&arms[0], &arms[1]);
    let (what, target) = (
        "SUBMIT with EVENTS ÷ SUBMIT and XADD, time".to_owned(),
        "≤ 1.60".to_owned(),
    );
    if found.counted == 0 {
        bench.table.row(
            what,
            target,
            "core not busy enough",
            Verdict::Open,
            found.note(),
        );
        return;
    }
    let took = 1.0 / found.throughput;
    bench.table.row(
        what,
        target,
        format!("{took:.2}"),
        Verdict::of(took <= 1.6),
        found.note(),
    );
}

/// A board of a million members, against a sorted set.
pub(crate) fn rank(bench: &mut Bench, _: &str) {
    let many = bench.plan.many;
    let names = [
        format!("RANK.ADD at {}", bench.many()),
        format!("RANK.GET at {}", bench.many()),
    ];
    if !bench.has("RANK.ADD") {
        for name in names {
            bench
                .table
                .absent(name, "≥ 1.00 × the sorted set", "not there yet");
        }
        return;
    }
    let port = bench.server.port();
    let score = |i: u64| (i.wrapping_mul(7919) % 1_000_000).to_string().into_bytes();
    fill(port, many, |i, out| {
        push(out, &[b"ZADD", b"z", &score(i), &name16(i)])
    });
    // `[changed, rank, old rank, score]`
    fill_lines(port, many, 5, |i, out| {
        push(out, &[b"RANK.ADD", b"b", &name16(i), &score(i)]);
    });
    let step = |random: &mut Random| random.below(100).to_string().into_bytes();
    let mut arms = [
        Arm::new("RANK.ADD", {
            Prebuilt::new(5, move |random, out| {
                let (member, step) = (name16(random.below(many)), step(random));
                push(out, &[b"RANK.ADD", b"b", &member, &step]);
            })
        }),
        Arm::new("ZINCRBY", {
            Prebuilt::new(2, move |random, out| {
                let (member, step) = (name16(random.below(many)), step(random));
                push(out, &[b"ZINCRBY", b"z", &step, &member]);
            })
        }),
        Arm::new("RANK.GET", {
            // `[[rank, score, achieved]]`
            Prebuilt::new(5, move |random, out| {
                push(out, &[b"RANK.GET", b"b", &name16(random.below(many))]);
            })
        }),
        Arm::new("ZREVRANK", {
            Prebuilt::new(1, move |random, out| {
                push(out, &[b"ZREVRANK", b"z", &name16(random.below(many))]);
            })
        }),
    ];
    in_turns(&mut bench.load, &bench.probe, &bench.plan, &mut arms[..2]);
    in_turns(&mut bench.load, &bench.probe, &bench.plan, &mut arms[2..]);
    let [add, zincrby, get, zrevrank] = &arms;
    ratio_row(bench, &names[0], add, zincrby, 1.0);
    ratio_row(bench, &names[1], get, zrevrank, 1.0);
}
