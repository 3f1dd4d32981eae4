//! The worker and the limiter on a real server, which test.sh starts and names in REDIS_URL.

use modq_example::limiter::{Answer, Limiter};
use modq_example::queue::{Outcome, Queue, REPLY};
use modq_example::worker::{Decision, Step, Worker};
use redis::{Client, Connection, cmd};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

fn client() -> Client {
    let url = std::env::var("REDIS_URL").expect("run test.sh: it names a server in REDIS_URL");
    Client::open(url).unwrap()
}

fn connection() -> Connection {
    client().get_connection().unwrap()
}

fn run<T: redis::FromRedisValue>(con: &mut Connection, line: &str) -> T {
    let mut words = line.split(' ');
    let mut command = cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command.query(con).unwrap()
}

fn wait_until(mut what: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(Instant::now() < end, "waited in vain");
        thread::sleep(Duration::from_millis(10));
    }
}

fn keep() -> Decision {
    Decision::Resolve {
        verdict: "keep".to_owned(),
        decision: "fine".to_owned(),
    }
}

#[test]
fn heartbeats_keep_a_lock_for_as_long_as_the_handler_needs() {
    let mut con = connection();
    run::<()>(&mut con, "MODQ.SUBMIT beats post:1 text");
    let queue = Queue::new(client(), "beats");
    let mut worker = Worker::new(&queue, "bot");
    worker.lock = Duration::from_secs(3);
    let step = worker.step(|claim, lost| {
        let mut seen = claim.deadline;
        for _ in 0..2 {
            wait_until(|| {
                let held: Vec<(String, Vec<u8>, u64, u64)> = held(&mut con, "beats", "bot");
                held.first().is_some_and(|row| row.3 > seen)
            });
            seen = held(&mut con, "beats", "bot")[0].3;
        }
        assert!(!lost.load(Ordering::Relaxed));
        keep()
    });
    let Ok(Step::Worked(claim, outcome)) = step else {
        panic!("{step:?}")
    };
    assert_eq!(
        (claim.item.as_str(), &*claim.payload),
        ("post:1", &b"text"[..])
    );
    assert_eq!(outcome, Outcome::Settled("OK".to_owned()));
    assert_eq!(run::<u64>(&mut con, "MODQ.LEN beats"), 0);
    assert!(matches!(short(&queue, "bot"), Step::Idle));
}

/// Item, payload, token and deadline of what somebody holds.
fn held(con: &mut Connection, queue: &str, who: &str) -> Vec<(String, Vec<u8>, u64, u64)> {
    type Row = (String, Vec<u8>, u64, u64, i64, u64, u64, u64);
    let rows: Vec<Row> = run(con, &format!("MODQ.HELD {queue} {who}"));
    rows.into_iter().map(|r| (r.0, r.1, r.2, r.3)).collect()
}

/// A step of a worker that does not wait long.
fn short(queue: &Queue, who: &str) -> Step {
    let mut worker = Worker::new(queue, who);
    worker.block = Duration::from_millis(50);
    worker.step(|_, _| keep()).unwrap()
}

#[test]
fn a_lock_that_is_lost_is_told_and_the_decision_counts_for_nothing() {
    let mut con = connection();
    run::<()>(&mut con, "MODQ.SUBMIT lost post:1 text");
    let queue = Queue::new(client(), "lost");
    let mut worker = Worker::new(&queue, "bot");
    worker.lock = Duration::from_secs(1);
    let step = worker.step(|_, lost| {
        assert_eq!(run::<u64>(&mut con, "MODQ.CANCEL lost post:1"), 1);
        wait_until(|| lost.load(Ordering::Relaxed));
        keep()
    });
    assert!(
        matches!(step, Ok(Step::Worked(_, Outcome::Lost))),
        "{step:?}"
    );
}

#[test]
fn what_is_released_comes_again_and_votes_are_told() {
    let mut con = connection();
    run::<()>(&mut con, "MODQ.SUBMIT votes post:1 text QUORUM 2 2");
    let queue = Queue::new(client(), "votes");
    let mut ann = Worker::new(&queue, "ann");
    let released = ann.step(|_, _| Decision::Release(Duration::from_millis(1)));
    assert!(matches!(released, Ok(Step::Worked(..))), "{released:?}");
    let Step::Worked(claim, outcome) = ann.step(|_, _| keep()).unwrap() else {
        panic!("it comes again")
    };
    assert_eq!(claim.deliveries, 2);
    assert_eq!(outcome, Outcome::Settled("VOTED".to_owned()));
    assert!(matches!(short(&queue, "ann"), Step::Idle), "not twice");
    let Step::Worked(_, outcome) = short(&queue, "bob") else {
        panic!("for somebody else")
    };
    assert_eq!(outcome, Outcome::Settled("OK".to_owned()));
}

#[test]
fn a_decision_that_is_remembered_may_be_sent_again() {
    let mut con = connection();
    run::<()>(&mut con, "MODQ.CONFIGURE retain RETAIN 60000");
    run::<()>(&mut con, "MODQ.SUBMIT retain post:1 text");
    let queue = Queue::new(client(), "retain");
    let mut mine = queue.connect(REPLY).unwrap();
    let second = Duration::from_secs(1);
    let claim = queue.claim(&mut mine, "ann", second * 60, second).unwrap();
    let claim = claim.expect("there is one");
    for _ in 0..2 {
        let said = queue.resolve(&mut mine, &claim, "keep", "fine");
        assert_eq!(said.unwrap(), "OK");
    }
}

#[test]
fn trouble_passes() {
    let mut con = connection();
    run::<()>(&mut con, "MODQ.SUBMIT trouble post:1 text");
    let dead = Queue::new(Client::open("redis+unix:///nowhere").unwrap(), "trouble");
    let mut worker = Worker::new(&dead, "bot");
    let step = worker.step(|_, _| keep());
    assert!(matches!(step, Ok(Step::Trouble(_))), "{step:?}");
    run::<()>(&mut con, "SET text x");
    let text = Queue::new(client(), "text");
    let error = Worker::new(&text, "bot").step(|_, _| keep()).unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
}

#[test]
fn a_request_is_charged_once() {
    let mut limiter = Limiter::new(client(), 2, Duration::from_secs(3600));
    limiter.deadline = Duration::from_secs(60);
    for _ in 0..2 {
        let answer = limiter.check("once", "request:1").unwrap();
        assert_eq!(answer, Answer::Allowed { remaining: 1 });
    }
    let answer = limiter.check("once", "request:2").unwrap();
    assert_eq!(answer, Answer::Allowed { remaining: 0 });
    let answer = limiter.check("once", "request:3").unwrap();
    let Answer::Limited { retry_after } = answer else {
        panic!("{answer:?}")
    };
    assert!(retry_after.is_some_and(|time| !time.is_zero()));
}
