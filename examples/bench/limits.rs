//! Speed of RATELIMIT.CHECK, against INCR, a window in Lua and, where it is there, CL.THROTTLE.

use super::Bench;
use super::load::{fill, fill_lines};
use super::throughput::{instructions_row, ratio_row, script};
use super::turns::{Arm, in_turns};
use super::works::{Prebuilt, name16};
use modq_testkit::wire::push;
use modq_testkit::{Random, now_ms};

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

/// What is measured: one algorithm, and limits that admit or deny.
#[derive(Clone, Copy)]
struct Case {
    gcra: bool,
    denied: bool,
    keys: u64,
    /// Denied keys are full for an hour; admitted ones have room for more than a run sends, and do not run empty, which
    /// would make every other request one on a new key.
    quota: &'static [u8],
}

const WINDOW: &[u8] = b"3600000";

impl Case {
    fn algo(self) -> &'static str {
        if self.gcra { "GCRA" } else { "LOG" }
    }

    fn what(self) -> String {
        let answer = if self.denied { "denied" } else { "admitted" };
        format!("CHECK {} {answer}", self.algo())
    }

    /// The least ratios to INCR and to CL.THROTTLE, and the most instructions.
    fn targets(self) -> (f64, f64, f64) {
        match self.denied {
            true => (0.62, 1.1, 7_200.0),
            false => (0.45, 1.3, 11_000.0),
        }
    }

    /// CL.THROTTLE takes the burst beyond the first, the rate as a count per seconds.
    fn throttle(self, key: &[u8], out: &mut Vec<u8>) {
        let burst: &[u8] = if self.denied { b"9" } else { b"999" };
        push(out, &[b"CL.THROTTLE", key, burst, self.quota, b"3600"]);
    }

    fn check(self, key: &[u8], out: &mut Vec<u8>) {
        match self.gcra {
            true => push(
                out,
                &[
                    b"RATELIMIT.CHECK",
                    key,
                    self.quota,
                    WINDOW,
                    b"ALGO",
                    b"GCRA",
                ],
            ),
            false => push(out, &[b"RATELIMIT.CHECK", key, self.quota, WINDOW]),
        }
    }

    /// Makes the keys: counters for INCR, and limits that are full where they are to deny. Ten charges each, as they
    /// would come: one by one.
    fn prepare(self, port: u16, has_cell: bool) {
        let keys = self.keys;
        fill(port, keys, |i, out| push(out, &[b"INCR", &key(b"i:", i)]));
        if !self.denied {
            return;
        }
        fill_lines(port, 10 * keys, 6, |i, out| {
            self.check(&key(b"r:", i % keys), out);
        });
        let now = now_ms() as u64;
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
                self.throttle(&key(b"c:", i % keys), out);
            });
        }
    }

    /// CHECK and its controls. `sha` is the script's.
    fn arms(self, sha: Vec<u8>, has_cell: bool) -> Vec<Arm> {
        let any = move |of: &[u8; 2], random: &mut Random| key(of, random.below(self.keys));
        let mut arms = vec![
            Arm::new(
                "CHECK",
                Prebuilt::new(6, move |random, out| self.check(&any(b"r:", random), out)),
            ),
            Arm::new(
                "INCR",
                Prebuilt::new(1, move |random, out| {
                    push(out, &[b"INCR", &any(b"i:", random)]);
                }),
            ),
            Arm::new(
                "Lua window",
                Prebuilt::new(4, move |random, out| {
                    let key = any(b"w:", random);
                    push(out, &[b"EVALSHA", &sha, b"1", &key, self.quota, WINDOW]);
                }),
            ),
        ];
        if has_cell {
            arms.push(Arm::new(
                "CL.THROTTLE",
                Prebuilt::new(6, move |random, out| {
                    self.throttle(&any(b"c:", random), out);
                }),
            ));
        }
        arms
    }

    /// Whether the arms did what their names say: one more request is answered so.
    fn check_once(self, bench: &mut Bench) {
        let mut request = Vec::new();
        self.check(&key(b"r:", 0), &mut request);
        bench.client.send_raw(&request).expect("send");
        let admitted = bench.client.reply()[0].int();
        assert_eq!(
            admitted,
            i64::from(!self.denied),
            "{}: not what is to be measured",
            self.what()
        );
    }
}

/// RATELIMIT.CHECK, by one algorithm, admitted or denied.
pub(crate) fn limit(bench: &mut Bench, name: &str) {
    let denied = name.contains("denied");
    let case = Case {
        gcra: name.contains("GCRA"),
        denied,
        keys: bench.plan.keys,
        quota: if denied { b"10" } else { b"1000" },
    };
    let what = case.what();
    let (of_incr, of_cell, instructions) = case.targets();
    if !bench.has("RATELIMIT.CHECK") {
        let target = format!("≥ {of_incr} × INCR");
        bench.table.absent(what, target, "not there yet");
        return;
    }
    let has_cell = bench.has("CL.THROTTLE");
    case.prepare(bench.server.port(), has_cell);
    let sha = script(&mut bench.client, LUA_WINDOW);
    let mut arms = case.arms(sha, has_cell);
    in_turns(&mut bench.load, &bench.probe, &bench.plan, &mut arms);
    case.check_once(bench);
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
