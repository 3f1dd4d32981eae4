//! A bot that removes what is clearly spam and keeps the rest: `cargo run --bin worker [queue]`.
//! REDIS_URL names the server. With UNTIL_EMPTY set it ends when there is nothing more to do. When it is killed, the item in
//! its hands is ready again after LOCK (30 s).

use modq_example::queue::{Claim, Outcome, Queue};
use modq_example::worker::{Decision, Step, Worker};
use redis::{Client, RedisResult};
use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

const BAD: [&str; 2] = ["buy now", "free money"];

fn judge(claim: &Claim) -> Decision {
    let Ok(text) = std::str::from_utf8(&claim.payload) else {
        // Not what a bot can read: later, and perhaps for somebody else.
        return Decision::Release(Duration::from_secs(3600));
    };
    let text = text.to_lowercase();
    let found = BAD.iter().find(|words| text.contains(*words));
    Decision::Resolve {
        verdict: if found.is_some() { "remove" } else { "keep" }.to_owned(),
        decision: found.map_or("nothing found".to_owned(), |words| {
            format!("says {words:?}")
        }),
    }
}

fn main() -> RedisResult<()> {
    let url = env::var("REDIS_URL").unwrap_or("redis://127.0.0.1:6379".to_owned());
    let queue = env::args().nth(1).unwrap_or("review".to_owned());
    let until_empty = env::var_os("UNTIL_EMPTY").is_some();
    let queue = Queue::new(Client::open(url)?, &queue);
    // Nobody else may have this name at the same time: CLAIM gives it what it holds. In containers each process is number 1.
    let name = format!("bot:{:016x}", RandomState::new().build_hasher().finish());
    let mut worker = Worker::new(&queue, &name);
    if until_empty {
        worker.block = Duration::from_millis(100);
    }
    loop {
        let mut made = None;
        let step = worker.step(|claim, _lost| {
            let decision = judge(claim);
            made = Some(format!("{decision:?}"));
            decision
        })?;
        match step {
            Step::Idle if until_empty => return Ok(()),
            Step::Idle => {}
            Step::Trouble(error) => eprintln!("{error}"),
            Step::Worked(claim, outcome) => report(&claim, &made.unwrap_or_default(), &outcome),
        }
    }
}

fn report(claim: &Claim, decision: &str, outcome: &Outcome) {
    println!("{}: {decision}: {outcome:?}", claim.item);
}
