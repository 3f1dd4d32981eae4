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
        let_pass(20);
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
    assert!(denials > 50, "{denials} denials show little");
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
        // FIXED gives back all at once, the others bit by bit: unless the clock went on while nobody looked.
        let steps = if algo == "FIXED" { 1 } else { 2 };
        let seen = (0..20).any(|_| steps_back(&mut c, algo) >= steps);
        assert!(seen, "{algo}: too little came back");
    }
}

/// Charges a limit three times and watches how it comes back: at the moments that DETAIL tells. Answers in how many
/// steps.
fn steps_back(c: &mut Client, algo: &str) -> u32 {
    let limit = format!("{algo} 6 120 ALGO {algo}");
    for _ in 0..3 {
        let_pass(11);
        assert_eq!(
            c.line(&format!("RATELIMIT.CHECK {limit}"))[0],
            Value::Int(1)
        );
    }
    let present = format!("RATELIMIT.PEEK {limit} COST 0 DETAIL");
    let mut before = timed(c, &present);
    let mut grown = 0;
    while before.reply[6][0][2] != Value::Int(6) {
        let limit = &before.reply[6][0];
        let (left, next, reset) = (limit[2].int(), limit[3].int(), limit[4].int());
        assert!(0 < next && next <= reset, "{algo}: {limit:?}");
        let now = timed(c, &present);
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
    grown
}

const QUOTA: usize = 20;
const WINDOW: i64 = 200;

/// What an algorithm answered: when each request was admitted (not before, not after), and how many were not.
#[derive(Default)]
struct Answers {
    admitted: Vec<(i64, i64)>,
    denied: usize,
}

impl Answers {
    /// Whether enough were admitted and enough denied: the requests came near the limit.
    fn tell(&self) -> bool {
        self.admitted.len() > 5 * QUOTA && self.denied > QUOTA
    }

    /// Asserts that each request admitted came at least `ms` after the one `n` before it.
    fn assert_apart(&self, n: usize, ms: i64) {
        for (oldest, newest) in self.admitted.iter().zip(&self.admitted[n..]) {
            assert!(newest.1 - oldest.0 >= ms, "{} in less than {ms} ms", n + 1);
        }
    }
}

/// Sends near the limit for three seconds or more at random intervals, in bursts too, and looks at every answer. What it
/// measured it prints (`-- --nocapture`).
fn an_open_loop_client_never_gets_more(kind: Kind) {
    let server = Server::start(kind);
    let mut clients = [server.client(), server.client()];
    let limits = ["LOG", "GCRA BURST 5", "FIXED", "COUNTER"];
    let lines = limits.map(|algo| {
        let key = &algo[..3];
        format!("RATELIMIT.CHECK {key} {QUOTA} {WINDOW} ALGO {algo}")
    });
    let mut answers: [Answers; 4] = Default::default();
    let mut random = Random::new(42);
    let start = now_ms();
    while now_ms() < start + 3000 || !answers.iter().all(Answers::tell) {
        assert!(now_ms() < start + 60_000, "never near the limit");
        // The largest bursts go beyond the limit however slow the machine.
        let burst = match random.below(32) {
            0 => 2 * QUOTA,
            1..5 => 8,
            _ => 1,
        };
        for i in 0..burst {
            for (line, answers) in lines.iter().zip(&mut answers) {
                let asked = timed(&mut clients[i % 2], line);
                if asked.allowed() {
                    answers.admitted.push((asked.lo, asked.hi));
                    continue;
                }
                answers.denied += 1;
                if line.ends_with("LOG") {
                    // Denied only if the window was full, as far as the clock can tell.
                    let inside = answers.admitted.iter().rev();
                    let inside = inside.take_while(|(_, hi)| *hi > asked.lo - WINDOW).count();
                    assert!(inside >= QUOTA, "denied with {inside} in the window");
                }
            }
        }
        // Not to wait for anything: it is what makes the intervals random.
        std::thread::sleep(std::time::Duration::from_micros(random.below(16_000_u64)));
    }
    for (name, answers) in limits.into_iter().zip(&answers) {
        let (yes, no) = (answers.admitted.len(), answers.denied);
        let most = most_in(&answers.admitted, WINDOW);
        println!(
            "{kind:?} {name}: {yes} admitted, {no} denied, at most {most} of {QUOTA} in {WINDOW} ms"
        );
    }
    let [log, gcra, fixed, counter] = &answers;
    log.assert_apart(QUOTA, WINDOW);
    // At most twice the quota, across an edge.
    fixed.assert_apart(2 * QUOTA, WINDOW);
    // The quota in a window less one bucket.
    counter.assert_apart(QUOTA, WINDOW - (WINDOW + 59) / 60);
    let times = &gcra.admitted;
    for i in 0..times.len() {
        for j in i..times.len().min(i + 200) {
            let most = 5 + (times[j].1 - times[i].0 + 1) * QUOTA as i64 / WINDOW;
            let n = j - i + 1;
            assert!(n as i64 <= most, "GCRA: {n} from {i}, at most {most}");
        }
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
