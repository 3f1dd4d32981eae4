//! What the tests of RATELIMIT share: replies with the server's time around them, keys of every kind.

use modq_testkit::*;

/// The four algorithms.
pub(crate) const ALGOS: [&str; 4] = ["LOG", "COUNTER", "FIXED", "GCRA"];

/// 2^53, the largest number of all arguments.
pub(crate) const MAX: i64 = 1 << 53;

/// A reply and the clock (ms) right before and right after.
pub(crate) struct Timed {
    pub(crate) lo: i64,
    pub(crate) hi: i64,
    pub(crate) reply: Value,
}

/// Runs a line between two looks at the clock, which is the server's too.
#[track_caller]
pub(crate) fn timed(c: &mut Client, line: &str) -> Timed {
    let lo = now_ms();
    let reply = c.line(line);
    let hi = now_ms();
    assert!(lo <= hi, "the machine's clock went back");
    Timed { lo, hi, reply }
}

/// The integers at the front of a reply.
#[track_caller]
pub(crate) fn ints(reply: &Value) -> Vec<i64> {
    let items = reply.items().iter();
    items
        .take_while(|item| matches!(item, Value::Int(_)))
        .map(Value::int)
        .collect()
}

impl Timed {
    /// Element `i` of the reply.
    #[track_caller]
    pub(crate) fn at(&self, i: usize) -> i64 {
        self.reply[i].int()
    }

    #[track_caller]
    pub(crate) fn allowed(&self) -> bool {
        match self.at(0) {
            0 => false,
            1 => true,
            other => panic!("allowed is {other}"),
        }
    }

    /// Asserts that `wait`, counted from this reply, ends `window` after `since`, as closely as the clock was seen.
    #[track_caller]
    pub(crate) fn assert_ends(&self, what: &str, wait: i64, since: &Timed, window: i64) {
        let range = since.lo + window - self.hi..=since.hi + window - self.lo;
        assert!(range.contains(&wait), "{what}: {wait} is not in {range:?}");
    }
}

/// Asserts that a command is refused as ERR, naming what is wrong.
#[track_caller]
pub(crate) fn assert_refused(c: &mut Client, line: &str, names: &str) {
    let reply = c.line(line);
    assert_eq!(reply.err_code(), "ERR", "{line}: {reply:?}");
    assert!(
        format!("{reply:?}").contains(names),
        "{line}: expected {names:?} in {reply:?}"
    );
}

/// Fills the server with a key of every shape that limiters and leases have: their names.
pub(crate) fn fill(c: &mut Client) -> Vec<String> {
    let mut keys = Vec::new();
    for algo in ALGOS {
        let key = format!("one:{algo}");
        for cost in [1, 2, 40] {
            let reply = c.line(&format!(
                "RATELIMIT.CHECK {key} 100 600000 ALGO {algo} COST {cost}"
            ));
            assert_eq!(reply[0], Value::Int(1), "{key}");
        }
        keys.push(key);
        let key = format!("ids:{algo}");
        for id in 0..20 {
            let reply = c.line(&format!(
                "RATELIMIT.CHECK {key} 100 600000 ALGO {algo} COST 3 ID request-{id}"
            ));
            assert_eq!(reply[0], Value::Int(1), "{key}");
        }
        keys.push(key);
    }
    let all = "RATELIMIT.CHECK all 50 600000 LIMIT 60 700000 ALGO COUNTER LIMIT 70 800000 ALGO FIXED \
               LIMIT 80 900000 ALGO GCRA BURST 90 LIMIT 9007199254740992 9007199254740992 ALGO GCRA ID i";
    assert_eq!(c.line(all)[0], Value::Int(1));
    c.expect_ok("RATELIMIT.BLOCK all 5000000");
    c.expect_ok("RATELIMIT.BLOCK blocked 5000000");
    keys.extend(["all", "blocked"].map(String::from));
    for i in 0..30 {
        let reply = c.line(&format!(
            "RATELIMIT.ACQUIRE leases 1000 holder-{i} TTL {} COST {}",
            600_000 + i * 1000,
            i + 1
        ));
        assert_eq!(reply[0], Value::Int(1));
    }
    assert_eq!(c.line("RATELIMIT.RELEASE leases holder-7"), Value::Int(1));
    keys.push("leases".into());
    keys
}
