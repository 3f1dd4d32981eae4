//! RATELIMIT on the real clock: what a reply foretells comes true to the millisecond, and no trailing window ever
//! holds more than its quota. Times are the server's, as the clock shows them right before and right after each command.

use super::ratelimit_kit::*;
use modq_testkit::*;

/// Polls until admitted. Every denial tells of the same moment; before it nothing is admitted, from it on nothing is
/// denied. Returns how often it was denied.
#[track_caller]
fn follow(c: &mut Client, line: &str) -> u32 {
    let (mut least, mut most) = (i64::MIN, i64::MAX);
    let mut last = i64::MAX;
    let peek = line.replace("CHECK", "PEEK");
    let mut denials = 0;
    loop {
        for line in [&peek, line] {
            let asked = timed(c, line);
            if asked.allowed() {
                assert!(
                    asked.hi >= least,
                    "{line}: admitted at {} or sooner, not {least}",
                    asked.hi
                );
                assert_eq!(asked.at(3), 0, "{line}");
                return denials;
            }
            denials += 1;
            let wait = asked.at(3);
            assert!(wait > 0 && wait <= last, "{line}: {last} shrinks to {wait}");
            last = wait;
            least = least.max(asked.lo + wait);
            most = most.min(asked.hi + wait);
            assert!(least <= most, "{line}: the moment moves");
            assert!(
                asked.lo < most,
                "{line}: denied at {} or later, after {most}",
                asked.lo
            );
        }
    }
}

fn retry_after_is_exact(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let mut denials = 0;
    for algo in ALGOS {
        let limit = format!("RATELIMIT.CHECK {algo} 3 120 ALGO {algo}");
        assert_eq!(c.line(&format!("{limit} COST 2"))[0], Value::Int(1));
        let start = now_ms();
        wait_until("some ms go by", PATIENCE, || now_ms() > start + 20);
        assert_eq!(c.line(&limit)[0], Value::Int(1), "{algo}");
        // One unit, two (after what was admitted), all of them.
        for options in ["", " COST 2", " COST 3", " PARTIAL COST 9"] {
            denials += follow(&mut c, &format!("{limit}{options}"));
            while c.line(&limit)[0] == Value::Int(1) {}
        }
        // Several at once, of which the later counts.
        denials += follow(
            &mut c,
            &format!("{limit} COST 3 LIMIT 3 7 ALGO {algo} ID x"),
        );
    }
    c.expect_ok("RATELIMIT.BLOCK blocked 100");
    denials += follow(&mut c, "RATELIMIT.CHECK blocked 3 120");
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE lease 3 a TTL 90 COST 2")[0],
        Value::Int(1)
    );
    assert_eq!(
        c.line("RATELIMIT.ACQUIRE lease 3 b TTL 120 COST 1")[0],
        Value::Int(1)
    );
    // ACQUIRE has no PEEK: the same line does, twice.
    denials += follow(&mut c, "RATELIMIT.ACQUIRE lease 3 c TTL 10000 COST 2");
    assert!(denials > 300, "{denials} denials show little");
    let limit = "RATELIMIT.MCHECK 2 LOG FIXED LIMIT 3 120 LIMIT 3 120 ALGO FIXED COST 3";
    while c.line("RATELIMIT.CHECK LOG 3 120")[0] == Value::Int(1) {}
    let denied = timed(&mut c, limit);
    let mut admitted = timed(&mut c, limit);
    while !admitted.allowed() {
        assert!(
            admitted.lo < denied.hi + denied.at(1),
            "denied after its time"
        );
        admitted = timed(&mut c, limit);
    }
    assert!(
        admitted.hi >= denied.lo + denied.at(1),
        "admitted too early"
    );
}

/// `next_after` and `reset_after` come true as well.
fn what_detail_foretells_comes_true(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    for algo in ALGOS {
        let limit = format!("{algo} 6 120 ALGO {algo}");
        for _ in 0..3 {
            let start = now_ms();
            wait_until("some ms go by", PATIENCE, || now_ms() > start + 11);
            assert_eq!(
                c.line(&format!("RATELIMIT.CHECK {limit}"))[0],
                Value::Int(1)
            );
        }
        let present = format!("RATELIMIT.PEEK {limit} COST 0 DETAIL");
        let mut before = timed(&mut c, &present);
        let mut grown = 0;
        while before.reply[6][0][2] != Value::Int(6) {
            let limit = &before.reply[6][0];
            let (left, next, reset) = (limit[2].int(), limit[3].int(), limit[4].int());
            assert!(0 < next && next <= reset, "{algo}: {limit:?}");
            let now = timed(&mut c, &present);
            let left_now = now.reply[6][0][2].int();
            if left_now > left {
                grown += 1;
                assert!(now.hi >= before.lo + next, "{algo}: grew before its time");
            } else {
                assert!(
                    now.lo < before.hi + next,
                    "{algo}: did not grow at its time"
                );
            }
            if left_now == 6 {
                assert!(
                    now.hi >= before.lo + reset,
                    "{algo}: unused before its time"
                );
                assert_eq!(ints(&now.reply[6][0]), [6, 120, 6, 0, 0, 0], "{algo}");
            } else {
                assert!(now.lo < before.hi + reset, "{algo}: used after its time");
            }
            before = now;
        }
        assert!(
            grown > if algo == "FIXED" { 0 } else { 1 },
            "{algo}: {grown}"
        );
    }
}

/// Sends near the limit for three seconds at random intervals, in bursts too, and looks at every answer. What it
/// measured it prints (`-- --nocapture`).
fn an_open_loop_client_never_gets_more(kind: Kind) {
    const QUOTA: usize = 20;
    const WINDOW: i64 = 200;
    let server = Server::start(kind);
    let mut clients = [server.client(), server.client()];
    let log = format!("RATELIMIT.CHECK log {QUOTA} {WINDOW}");
    let gcra = format!("RATELIMIT.CHECK gcra {QUOTA} {WINDOW} ALGO GCRA BURST 5");
    let fixed = format!("RATELIMIT.CHECK fixed {QUOTA} {WINDOW} ALGO FIXED");
    let counter = format!("RATELIMIT.CHECK counter {QUOTA} {WINDOW} ALGO COUNTER");
    let mut admitted: [Vec<(i64, i64)>; 4] = Default::default();
    let mut denied = [0; 4];
    let mut random = Random::new(42);
    let end = now_ms() + 3000;
    let mut now = 0;
    while now < end {
        let burst = if random.below(8) == 0 { 8 } else { 1 };
        for i in 0..burst {
            let c = &mut clients[i % 2];
            for (which, line) in [&log, &gcra, &fixed, &counter].into_iter().enumerate() {
                let asked = timed(c, line);
                now = asked.hi;
                if asked.allowed() {
                    admitted[which].push((asked.lo, asked.hi));
                    continue;
                }
                denied[which] += 1;
                if which == 0 {
                    // Denied only if the window was full, as far as the clock can tell.
                    let inside = admitted[0].iter().rev();
                    let inside = inside.take_while(|(_, hi)| *hi > asked.lo - WINDOW).count();
                    assert!(inside >= QUOTA, "denied with {inside} in the window");
                }
            }
        }
        std::thread::sleep(std::time::Duration::from_micros(random.below(16_000)));
    }
    for (which, name) in ["log", "gcra", "fixed", "counter"].into_iter().enumerate() {
        let (yes, no) = (admitted[which].len(), denied[which]);
        let most = most_in(&admitted[which], WINDOW);
        println!(
            "{kind:?} {name}: {yes} admitted, {no} denied, at most {most} of {QUOTA} in {WINDOW} ms"
        );
        assert!(
            yes > 5 * QUOTA && no > QUOTA,
            "{name}: {yes} admitted, {no} denied: not near the limit"
        );
    }
    for (oldest, newest) in admitted[0].iter().zip(&admitted[0][QUOTA..]) {
        assert!(
            newest.1 - oldest.0 >= WINDOW,
            "{} in less than the window",
            QUOTA + 1
        );
    }
    let times = &admitted[1];
    for i in 0..times.len() {
        for j in i..times.len().min(i + 200) {
            let most = 5 + (times[j].1 - times[i].0 + 1) * QUOTA as i64 / WINDOW;
            assert!(
                (j - i + 1) as i64 <= most,
                "GCRA: {} from {i}, at most {most}",
                j - i + 1
            );
        }
    }
    // FIXED: at most twice the quota, across an edge.
    for (oldest, newest) in admitted[2].iter().zip(&admitted[2][2 * QUOTA..]) {
        assert!(newest.1 - oldest.0 >= WINDOW);
    }
    // COUNTER: the quota in a window less one bucket.
    let bucket = (WINDOW + 59) / 60;
    for (oldest, newest) in admitted[3].iter().zip(&admitted[3][QUOTA..]) {
        assert!(newest.1 - oldest.0 >= WINDOW - bucket);
    }
}

/// The most admitted in any `window` ms, as far as the clock can tell for sure.
fn most_in(admitted: &[(i64, i64)], window: i64) -> usize {
    let inside = |i: usize| {
        let from = admitted[i].0;
        let rest = admitted[i..].iter();
        rest.take_while(|(_, hi)| *hi < from + window).count()
    };
    (0..admitted.len()).map(inside).max().unwrap_or(0)
}

matrix!(
    retry_after_is_exact,
    what_detail_foretells_comes_true,
    an_open_loop_client_never_gets_more,
);
