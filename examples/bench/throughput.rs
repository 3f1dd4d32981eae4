//! Speed: ratios to controls on the same server.

use super::load::{Work, fill, fill_lines};
use super::probe::wait_for_quiet;
use super::table::Verdict;
use super::turns::{Arm, in_turns, median, ms, ratio};
use super::works::{
    ClaimRelease, Cycle, Cycled, Modq, PAYLOAD, Plain, Prebuilt, Stream, Trio, name16,
};
use super::{Bench, CONNECTIONS, grouped};
use modq_testkit::wire::push;
use modq_testkit::{Client, Random, cmd, info_number};
use std::collections::HashMap;
use std::time::Instant;

/// A ratio to a control: throughput, judged if pairs counted.
fn ratio_row(bench: &mut Bench, what: &str, ours: &Arm, control: &Arm, least: f64) {
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

/// Instructions of the server per operation.
fn instructions_row(bench: &mut Bench, what: &str, ours: &Arm, most: f64) {
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

/// A name of one of the keys, with a prefix that says whose.
fn key(prefix: &[u8; 2], n: u64) -> [u8; 18] {
    let mut key = [0; 18];
    key[..2].copy_from_slice(prefix);
    key[2..].copy_from_slice(&name16(n));
    key
}

/// The sliding window as it is commonly written: a sorted set of the requests in the window.
const LUA_WINDOW: &str = "
    local t = redis.call('TIME')
    local now = t[1] * 1000 + math.floor(t[2] / 1000)
    local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
    local used = redis.call('ZCARD', KEYS[1])
    if used < limit then
        redis.call('ZADD', KEYS[1], now, t[1] .. '.' .. t[2])
        redis.call('PEXPIRE', KEYS[1], window)
        return {1, limit - used - 1, 0}
    end
    local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
    return {0, 0, oldest[2] + window - now}";

fn script(client: &mut Client, text: &str) -> Vec<u8> {
    client.cmd(&["SCRIPT", "LOAD", text]).bytes().to_vec()
}

/// RATELIMIT.CHECK, by one algorithm, admitted or denied.
pub(crate) fn limit(bench: &mut Bench, name: &str) {
    let gcra = name.contains("GCRA");
    let denied = name.contains("denied");
    let (of_incr, of_cell, instructions) = match denied {
        true => (0.62, 1.1, 7_200.0),
        false => (0.45, 1.3, 11_000.0),
    };
    let what = format!(
        "CHECK {} {}",
        if gcra { "GCRA" } else { "LOG" },
        if denied { "denied" } else { "admitted" }
    );
    if !bench.has("RATELIMIT.CHECK") {
        let target = format!("≥ {of_incr} × INCR");
        bench.table.absent(what, target, "not there yet");
        return;
    }
    let (port, keys) = (bench.server.port(), bench.plan.keys);
    // Denied keys are full for an hour; admitted ones have room for more than a run sends, and do not run empty, which
    // would make every other request one on a new key.
    let (quota, window): (&[u8], &[u8]) = match denied {
        true => (b"10", b"3600000"),
        false => (b"1000", b"3600000"),
    };
    let check = move |random: &mut Random, out: &mut Vec<u8>| {
        let key = key(b"r:", random.below(keys));
        match gcra {
            true => push(
                out,
                &[b"RATELIMIT.CHECK", &key, quota, window, b"ALGO", b"GCRA"],
            ),
            false => push(out, &[b"RATELIMIT.CHECK", &key, quota, window]),
        }
    };
    let sha = script(&mut bench.client, LUA_WINDOW);
    let lua = move |random: &mut Random, out: &mut Vec<u8>| {
        let key = key(b"w:", random.below(keys));
        push(out, &[b"EVALSHA", &sha, b"1", &key, quota, window]);
    };
    let incr = move |random: &mut Random, out: &mut Vec<u8>| {
        push(out, &[b"INCR", &key(b"i:", random.below(keys))]);
    };
    // CL.THROTTLE takes the burst beyond the first, and the rate as a count per seconds.
    let (burst, seconds): (&[u8], &[u8]) = match denied {
        true => (b"9", b"3600"),
        false => (b"999", b"3600"),
    };
    let cell = move |random: &mut Random, out: &mut Vec<u8>| {
        let key = key(b"c:", random.below(keys));
        push(out, &[b"CL.THROTTLE", &key, burst, quota, seconds]);
    };
    let has_cell = bench.has("CL.THROTTLE");
    fill(port, keys, |i, out| push(out, &[b"INCR", &key(b"i:", i)]));
    if denied {
        // Ten charges each, as they would come: one by one.
        let algo: &[u8] = if gcra { b"GCRA" } else { b"LOG" };
        fill_lines(port, 10 * keys, 6, |i, out| {
            let key = key(b"r:", i % keys);
            push(
                out,
                &[b"RATELIMIT.CHECK", &key, quota, window, b"ALGO", algo],
            );
        });
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis() as u64;
        fill(port, keys, |i, out| {
            let mut words: Vec<Vec<u8>> = vec![b"ZADD".to_vec(), key(b"w:", i).to_vec()];
            for charge in 0..10 {
                words.push((now - charge).to_string().into());
                words.push(format!("1700000000.{:06}", 10 * (i % 99_999) + charge).into());
            }
            push(out, &words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        });
        if has_cell {
            fill_lines(port, 10 * keys, 6, |i, out| {
                let key = key(b"c:", i % keys);
                push(out, &[b"CL.THROTTLE", &key, burst, quota, seconds]);
            });
        }
    }
    let mut arms = vec![
        Arm::new("CHECK", Prebuilt::new(6, check)),
        Arm::new("INCR", Prebuilt::new(1, incr)),
        Arm::new("Lua window", Prebuilt::new(4, lua)),
    ];
    if has_cell {
        arms.push(Arm::new("CL.THROTTLE", Prebuilt::new(6, cell)));
    }
    in_turns(&mut bench.load, &bench.probe, &bench.plan, &mut arms);
    // The arms did what their names say: one more request of each.
    let allowed = i64::from(!denied);
    let mut last = |line: &str| bench.client.line(line)[0].int();
    let some = String::from_utf8_lossy(&key(b"r:", 0)).into_owned();
    let (quota, window) = (
        String::from_utf8_lossy(quota),
        String::from_utf8_lossy(window),
    );
    let algo = if gcra { "GCRA" } else { "LOG" };
    let verdict = last(&format!(
        "RATELIMIT.CHECK {some} {quota} {window} ALGO {algo}"
    ));
    assert_eq!(verdict, allowed, "{name}: not what is to be measured");
    ratio_row(bench, &what, &arms[0], &arms[1], of_incr);
    ratio_row(bench, &what, &arms[0], &arms[2], 3.0);
    match arms.get(3) {
        Some(cell) => ratio_row(bench, &what, &arms[0], cell, of_cell),
        None => bench.table.absent(
            format!("{what} ÷ CL.THROTTLE"),
            format!("≥ {of_cell:.2}"),
            "control not available here",
        ),
    }
    instructions_row(bench, &what, &arms[0], instructions);
}

/// Submit, claim and resolve, against a stream with a consumer group and a queue in Lua.
pub(crate) fn cycle(bench: &mut Bench, name: &str) {
    let backlog = name.contains("backlog");
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
        Arm::new("cycle", Cycle::new(Modq(b"q"), CONNECTIONS)),
        Arm::new("Streams cycle", Cycle::new(Stream(b"s"), CONNECTIONS)),
        Arm::new("Lua trio", Cycle::new(trio, CONNECTIONS)),
    ];
    in_turns(&mut bench.load, &bench.probe, &bench.plan, &mut arms);
    let what = match backlog {
        true => format!("cycle, backlog {}", bench.many()),
        false => "cycle".to_owned(),
    };
    ratio_row(bench, &what, &arms[0], &arms[1], 1.6);
    ratio_row(bench, &what, &arms[0], &arms[2], 4.0);
    instructions_row(bench, &what, &arms[0], 38_000.0);
}

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
        // Turn by turn, so that the server's count can be told apart.
        let mut spent: [HashMap<&str, (f64, f64)>; 2] = Default::default();
        let counted = |arms: &[Arm; 2]| {
            let busy = |turn: usize| arms.iter().all(|arm| arm.turns[turn].busy() >= super::BUSY);
            (0..arms[1].turns.len()).filter(|&turn| busy(turn)).count()
        };
        while counted(&arms) < bench.plan.pairs && arms[1].turns.len() < bench.plan.most_turns() {
            wait_for_quiet(bench.plan.patience);
            for (arm, spent) in arms.iter_mut().zip(&mut spent) {
                let before = command_stats(&mut bench.client);
                let (plan, warm) = (&bench.plan, bench.plan.arm / 5);
                arm.turns
                    .push(bench.load.run(&mut *arm.work, &bench.probe, warm, plan.arm));
                let after = command_stats(&mut bench.client);
                for &command in case.commands {
                    let (calls, usec) = after.get(command).copied().unwrap_or_default();
                    let (calls_before, usec_before) =
                        before.get(command).copied().unwrap_or_default();
                    let sum = spent.entry(command).or_default();
                    sum.0 += calls - calls_before;
                    sum.1 += usec - usec_before;
                }
            }
        }
        let found = ratio(&arms[0], &arms[1]);
        let inside: Vec<String> = case
            .commands
            .iter()
            .map(|command| {
                let [many, few] = [0, 1].map(|arm| {
                    let (calls, usec) = spent[arm].get(command).copied().unwrap_or_default();
                    usec / calls
                });
                let name = command.trim_start_matches("modq.").to_uppercase();
                format!("{name} {few:.2} and {many:.2} µs")
            })
            .collect();
        let note = format!(
            "{}; inside the server's call {}",
            found.note(),
            inside.join(", ")
        );
        let what = format!("{} at {} ÷ at {}", case.name, grouped(many), grouped(FEW));
        let (measured, verdict) = match found.counted {
            0 => ("core not busy enough".into(), Verdict::Open),
            _ => (
                format!("{:.2}", found.throughput),
                Verdict::of(found.throughput >= 0.7),
            ),
        };
        if case.name == SCALE {
            bench.table.row(what, "none", measured, Verdict::Open, note);
            continue;
        }
        bench.table.row(what, "≥ 0.70", measured, verdict, note);
        if let (Some(many), Some(few)) = (arms[0].instructions(), arms[1].instructions()) {
            bench.table.row(
                format!("{}, instructions", case.name),
                "≤ 1.40",
                format!("{:.2}", many / few),
                Verdict::of(many / few <= 1.4),
                format!("{few:.0} and {many:.0}"),
            );
        }
    }
}

/// From a submit until the moderator who waits has the item, against LPUSH and BLPOP.
pub(crate) fn blocked(bench: &mut Bench, _: &str) {
    let (what, target) = (
        "submit to blocked CLAIM, latency ÷ LPUSH to BLPOP",
        "≤ 1.20",
    );
    let mut waiter = bench.server.client();
    let start = Instant::now();
    let nothing = waiter.line("MODQ.CLAIM nothing nobody BLOCK 100");
    if !nothing.is_null() || ms(start.elapsed()) < 50.0 {
        bench.table.absent(what, target, "not there yet");
        return;
    }
    let rounds = if bench.plan.quick { 200 } else { 2000 };
    let (giver, payload) = (&mut bench.client, &PAYLOAD[..]);
    // In line for sure: the server says that this client is blocked.
    let wait = |giver: &mut Client| {
        while info_number(giver, "clients", "blocked_clients") == 0 {}
    };
    let mut ours = |giver: &mut Client, i: u64| {
        waiter.send(&["MODQ.CLAIM", "bq", "m", "BLOCK", "0"]);
        wait(giver);
        let start = Instant::now();
        giver.send(&[b"MODQ.SUBMIT", &b"bq"[..], &name16(i), payload]);
        let claim = waiter.read();
        let took = start.elapsed();
        giver.read();
        giver.cmd(&[
            b"MODQ.RESOLVE",
            &b"bq"[..],
            &name16(i),
            claim[0][2].int().to_string().as_bytes(),
        ]);
        took
    };
    let mut popper = bench.server.client();
    let mut list = |giver: &mut Client| {
        popper.send(&["BLPOP", "bl", "0"]);
        wait(giver);
        let start = Instant::now();
        giver.send(&[b"LPUSH", &b"bl"[..], payload]);
        popper.read();
        let took = start.elapsed();
        giver.read();
        took
    };
    let (mut a, mut b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.plan.pairs {
        wait_for_quiet(bench.plan.patience);
        let mine = median((0..rounds).map(|i| ms(ours(giver, i))).collect());
        let lists = median((0..rounds).map(|_| ms(list(giver))).collect());
        ratios.push(mine / lists);
        a.push(mine);
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
