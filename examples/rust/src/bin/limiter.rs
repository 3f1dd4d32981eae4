//! Asks a limiter for one request after the other: `cargo run --bin limiter subject [requests]`. It lets three a minute in.
//! REDIS_URL names the server, DEADLINE_MS how long an answer may take (100).

use modq_example::limiter::{Answer, Limiter};
use redis::{Client, RedisResult};
use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() -> RedisResult<()> {
    let url = env::var("REDIS_URL").unwrap_or("redis://127.0.0.1:6379".to_owned());
    let subject = env::args().nth(1).unwrap_or("user:42".to_owned());
    let requests = env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(5);
    let mut limiter = Limiter::new(Client::open(url)?, 3, Duration::from_secs(60));
    if let Some(ms) = env::var("DEADLINE_MS").ok().and_then(|ms| ms.parse().ok()) {
        limiter.deadline = Duration::from_millis(ms);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let run = now.unwrap_or_default().as_nanos();
    for n in 0..requests {
        // Of a web request this is an id that its repetition has as well.
        match limiter.check(&subject, &format!("{run}-{n}")) {
            Ok(Answer::Allowed { remaining }) => println!("allowed, {remaining} left"),
            Ok(Answer::Limited { retry_after: None }) => println!("never"),
            Ok(Answer::Limited {
                retry_after: Some(time),
            }) => println!("limited for {} s", time.as_secs_f64().ceil()),
            // Nobody is kept out because the limiter is down.
            Err(error) => println!("allowed without an answer: {error}"),
        }
    }
    Ok(())
}
