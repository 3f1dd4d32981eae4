//! Speed of writes on a queue of a million items, against the same on one of a thousand.

use super::load::{Work, fill};
use super::probe::wait_for_quiet;
use super::table::Verdict;
use super::turns::{Arm, ratio};
use super::works::{ClaimRelease, Cycle, Modq, PAYLOAD, Plain, name16};
use super::{BUSY, Bench, CONNECTIONS, grouped};
use modq_testkit::wire::push;
use modq_testkit::{Client, cmd};
use std::collections::HashMap;

/// Calls and microseconds of commands, by the server's own count.
fn command_stats(client: &mut Client) -> HashMap<String, (f64, f64)> {
    let text = client.cmd(&["INFO", "commandstats"]).text();
    let entry = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let number = |field: &str| {
            let value = rest.split(',').find_map(|part| part.strip_prefix(field));
            value.and_then(|n| n.trim().parse::<f64>().ok())
        };
        Some((name.to_owned(), (number("calls=")?, number("usec=")?)))
    };
    text.lines().filter_map(entry).collect()
}

const FEW: u64 = 1_000;
const SCALE: &str = "for scale, ZADD";

/// A queue of `n` items of ten priorities.
fn make_queue(bench: &mut Bench, key: &'static [u8], n: u64) {
    fill(bench.server.port(), n, |i, out| {
        let priority = [b'0' + (i % 10) as u8];
        push(
            out,
            &[
                b"MODQ.SUBMIT",
                key,
                &name16(i),
                &PAYLOAD,
                b"PRIORITY",
                &priority,
            ],
        );
    });
}

/// Items and their tokens.
type Locked = Vec<(Vec<u8>, Vec<u8>)>;

/// Locks the first `n` of a queue's items for a day.
fn lock_some(client: &mut Client, key: &'static [u8], n: u64) -> Locked {
    let mut locked = Locked::new();
    while (locked.len() as u64) < n {
        let worker = name16(1 << 50 | locked.len() as u64);
        let most = (n - locked.len() as u64).min(500);
        let claims = cmd!(
            client,
            "MODQ.CLAIM",
            *key,
            worker,
            "COUNT",
            most,
            "LOCK",
            "86400000",
            "NEW"
        );
        for claim in claims.items() {
            let token = claim[2].int().to_string().into_bytes();
            locked.push((claim[0].bytes().to_vec(), token));
        }
    }
    locked
}

/// One of the writes to compare: on the queue `key` of `n` items, some of them locked.
struct WriteCase {
    name: &'static str,
    commands: &'static [&'static str],
    work: fn(key: &'static [u8], n: u64, locked: Locked) -> Box<dyn Work>,
}

/// Commands that leave a queue as large as it is. Those that come in twos are told apart by the server's own count.
const WRITES: &[WriteCase] = &[
    WriteCase {
        name: "SUBMIT and CANCEL",
        commands: &["modq.submit", "modq.cancel"],
        work: |key, n, _| {
            let mut again = None;
            Box::new(Plain::new(1, move |random, out| match again.take() {
                None => {
                    let id = name16(random.below(n));
                    push(out, &[b"MODQ.CANCEL", key, &id]);
                    again = Some(id);
                }
                Some(id) => {
                    let priority = [b'0' + random.below(10) as u8];
                    push(
                        out,
                        &[b"MODQ.SUBMIT", key, &id, &PAYLOAD, b"PRIORITY", &priority],
                    );
                }
            }))
        },
    },
    WriteCase {
        name: "SUBMIT, ONDUP BUMP",
        commands: &["modq.submit"],
        work: |key, n, _| {
            Box::new(Plain::new(1, move |random, out| {
                let id = name16(random.below(n));
                push(out, &[b"MODQ.SUBMIT", key, &id, b"", b"ONDUP", b"BUMP"]);
            }))
        },
    },
    WriteCase {
        name: "UPDATE PRIORITY",
        commands: &["modq.update"],
        work: |key, n, _| {
            Box::new(Plain::new(1, move |random, out| {
                let id = name16(random.below(n));
                let priority = [b'0' + random.below(10) as u8];
                push(out, &[b"MODQ.UPDATE", key, &id, b"PRIORITY", &priority]);
            }))
        },
    },
    WriteCase {
        name: "CLAIM and RELEASE",
        commands: &["modq.claim", "modq.release"],
        work: |key, _, _| Box::new(ClaimRelease::new(key, CONNECTIONS)),
    },
    WriteCase {
        name: "SUBMIT, CLAIM, RESOLVE",
        commands: &["modq.submit", "modq.claim", "modq.resolve"],
        work: |key, _, _| Box::new(Cycle::new(Modq(key), CONNECTIONS)),
    },
    // Not ours, and no target: what a random place in a large structure costs the processor's caches.
    WriteCase {
        name: SCALE,
        commands: &["zadd"],
        work: |_, n, _| {
            let key: &[u8] = if n == FEW { b"zfew" } else { b"zmany" };
            Box::new(Plain::new(1, move |random, out| {
                let score = random.below(n).to_string();
                push(
                    out,
                    &[b"ZADD", key, score.as_bytes(), &name16(random.below(n))],
                );
            }))
        },
    },
    WriteCase {
        name: "EXTEND",
        commands: &["modq.extend"],
        work: |key, _, locked| {
            Box::new(Plain::new(1, move |random, out| {
                let (id, token) = &locked[random.below(locked.len() as u64) as usize];
                push(out, &[b"MODQ.EXTEND", key, id, token, b"86400000"]);
            }))
        },
    },
];

/// What the server says it spent on commands in an arm's turns: calls and microseconds.
type Spent = HashMap<&'static str, (f64, f64)>;

/// Runs both arms in turns until enough count; turn by turn, so that the server's count can be told apart.
fn run(bench: &mut Bench, case: &WriteCase, arms: &mut [Arm; 2]) -> [Spent; 2] {
    let mut spent: [Spent; 2] = Default::default();
    let counted = |arms: &[Arm; 2]| {
        let busy = |turn: usize| arms.iter().all(|arm| arm.turns[turn].busy() >= BUSY);
        (0..arms[1].turns.len()).filter(|&turn| busy(turn)).count()
    };
    while counted(arms) < bench.plan.pairs && arms[1].turns.len() < bench.plan.most_turns() {
        wait_for_quiet(bench.plan.patience);
        for (arm, spent) in arms.iter_mut().zip(&mut spent) {
            let before = command_stats(&mut bench.client);
            let (plan, warm) = (&bench.plan, bench.plan.arm / 5);
            let turn = bench.load.run(&mut *arm.work, &bench.probe, warm, plan.arm);
            arm.turns.push(turn);
            let after = command_stats(&mut bench.client);
            for &command in case.commands {
                let (calls, usec) = after.get(command).copied().unwrap_or_default();
                let (calls_before, usec_before) = before.get(command).copied().unwrap_or_default();
                let sum = spent.entry(command).or_default();
                sum.0 += calls - calls_before;
                sum.1 += usec - usec_before;
            }
        }
    }
    spent
}

/// What one call took inside the server, by its own count.
fn inside(case: &WriteCase, spent: &[Spent; 2]) -> String {
    let all = case.commands.iter().map(|command| {
        let [many, few] = [0, 1].map(|arm: usize| {
            let (calls, usec) = spent[arm].get(command).copied().unwrap_or_default();
            usec / calls
        });
        let name = command.trim_start_matches("modq.").to_uppercase();
        format!("{name} {few:.2} and {many:.2} µs")
    });
    all.collect::<Vec<_>>().join(", ")
}

/// The rows of a case: the ratio of many to few, and that of instructions.
fn rows(bench: &mut Bench, case: &WriteCase, [many, few]: &[Arm; 2], spent: &[Spent; 2]) {
    let found = ratio(many, few);
    let note = format!(
        "{}; inside the server's call {}",
        found.note(),
        inside(case, spent)
    );
    let (n, m) = (grouped(bench.plan.many), grouped(FEW));
    let what = format!("{} at {n} ÷ at {m}", case.name);
    let (measured, verdict) = match found.counted {
        0 => ("core not busy enough".into(), Verdict::Open),
        _ => (
            format!("{:.2}", found.throughput),
            Verdict::of(found.throughput >= 0.7),
        ),
    };
    if case.name == SCALE {
        bench.table.row(what, "none", measured, Verdict::Open, note);
        return;
    }
    bench.table.row(what, "≥ 0.70", measured, verdict, note);
    if let (Some(many), Some(few)) = (many.instructions(), few.instructions()) {
        bench.table.row(
            format!("{}, instructions", case.name),
            "≤ 1.40",
            format!("{:.2}", many / few),
            Verdict::of(many / few <= 1.4),
            format!("{few:.0} and {many:.0}"),
        );
    }
}

/// Writes on a queue of a million items, and on one of a thousand.
pub(crate) fn writes(bench: &mut Bench, _: &str) {
    let many = bench.plan.many;
    make_queue(bench, b"many", many);
    for (key, n) in [(&b"zmany"[..], many), (b"zfew", FEW)] {
        fill(bench.server.port(), n, |i, out| {
            push(out, &[b"ZADD", key, i.to_string().as_bytes(), &name16(i)]);
        });
    }
    for case in WRITES {
        // Fresh: what is left locked would be missed in this one.
        bench.client.line("UNLINK few");
        make_queue(bench, b"few", FEW);
        let locked = |bench: &mut Bench, key, n| match case.name {
            "EXTEND" => lock_some(&mut bench.client, key, n),
            _ => Locked::new(),
        };
        let of_many = locked(bench, b"many", many / 10);
        let of_few = locked(bench, b"few", FEW / 2);
        let mut arms = [
            Arm::boxed("many", (case.work)(b"many", many, of_many)),
            Arm::boxed("few", (case.work)(b"few", FEW, of_few)),
        ];
        let spent = run(bench, case, &mut arms);
        rows(bench, case, &arms, &spent);
    }
}
