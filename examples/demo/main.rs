//! A review room at work: submitters, one of them held back by a rate limit, and moderators who decide, skip, or wander
//! off and let their lock expire. Half of the moderators wait in a blocked CLAIM; the others join, as a web page would for
//! them, and hear by a message that an item is theirs. Beside it a tournament is played on a board. At the end it is checked,
//! from what the clients saw, that queue and board kept their word. The second act is a review by several (`panel.rs`).

mod check;
mod cup;
mod panel;

use check::{Claim, End, Record, Submitted};
use cup::Cup;
use modq_testkit::queue::{Claimed, claims};
use modq_testkit::{Client, Random, Server, Value, cmd, end_with_signals};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long new posts come in; what is left is then worked off.
const OPEN_FOR: Duration = Duration::from_secs(10);
/// How long working off may take: it is long over by then, but on a machine that does much else.
const REST: Duration = Duration::from_secs(60);
/// How long a moderator has for an item. Short, so that one who wanders off is soon noticed.
const LOCK_MS: u64 = 400;
/// Posts that a submitter may send per `LIMIT_MS`.
const LIMIT: u64 = 8;
const LIMIT_MS: u64 = 1000;

const QUEUE: &str = "review";
/// Who submits, and how long they rest between posts, in ms at the most. The last one is too quick.
const SUBMITTERS: [(&str, u64); 4] = [("anna", 500), ("ben", 400), ("cleo", 300), ("spam-bot", 60)];
/// The first ones wait in a blocked CLAIM, the others have joined.
const MODERATORS: [&str; 4] = ["mia", "noah", "olga", "paul"];
const BLOCKED: usize = 2;
/// How long anybody waits before they look whether the room is closed, or give a sign of life, ms.
const PATIENCE_MS: u64 = 200;

/// What everybody in the room shares.
struct Room {
    port: u16,
    start: Instant,
    record: Mutex<Record>,
    denied: AtomicU64,
    /// Requests that came again after the wait they were told, and how many of them were let in.
    waited: AtomicU64,
    admitted_after: AtomicU64,
    /// No more posts come.
    closed: AtomicBool,
    /// Nothing is left to do, or something went wrong.
    over: AtomicBool,
}

/// The clock that the server stamps with, in µs.
fn now_us() -> u64 {
    modq_testkit::now_us() as u64
}

fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn main() -> ExitCode {
    end_with_signals();
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("modq demo: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, String> {
    let server = Server::installed().try_start()?;
    println!(
        "A review room: {} submitters, {} moderators ({BLOCKED} in a blocked CLAIM, {} joined), {} s of posts; each submitter \
         may send {LIMIT} a second.",
        SUBMITTERS.len(),
        MODERATORS.len(),
        MODERATORS.len() - BLOCKED,
        OPEN_FOR.as_secs()
    );
    // Who is matched gets the queue's lock.
    cmd!(
        Client::connect(server.port()),
        "MODQ.CONFIGURE",
        QUEUE,
        "LOCK",
        LOCK_MS
    );
    let room = Room {
        port: server.port(),
        start: Instant::now(),
        record: Mutex::default(),
        denied: AtomicU64::new(0),
        waited: AtomicU64::new(0),
        admitted_after: AtomicU64::new(0),
        closed: AtomicBool::new(false),
        over: AtomicBool::new(false),
    };
    let (left, cup) = std::thread::scope(|scope| {
        let room = &room;
        let cup = scope.spawn(move || cup::play(room.port));
        // However a thread ends, the others must not go on for ever.
        let submitters: Vec<_> = (0..SUBMITTERS.len())
            .map(|i| scope.spawn(move || ending_all_on_panic(room, || submitter(room, i))))
            .collect();
        for i in 0..MODERATORS.len() {
            scope.spawn(move || ending_all_on_panic(room, || moderator(room, i)));
        }
        let left = ending_all_on_panic(room, || watch(room, submitters));
        (left, cup.join().expect("the tournament"))
    });
    let first = report(&room, left, &cup);
    let second = panel::play(server.port()).report();
    Ok(first && second)
}

fn ending_all_on_panic<R>(room: &Room, body: impl FnOnce() -> R) -> R {
    struct End<'a>(&'a Room);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.over.store(true, Ordering::Relaxed);
            }
        }
    }
    let _end = End(room);
    body()
}

/// Asks whether a submitter may send: none if so, else how long to wait in ms.
fn must_wait(client: &mut Client, who: &str) -> Option<u64> {
    let key = format!("limit:{who}");
    let reply = cmd!(client, "RATELIMIT.CHECK", key, LIMIT, LIMIT_MS);
    // allowed, limit, remaining, retry_after, reset_after
    (reply[0].int() == 0).then(|| reply[3].int() as u64)
}

fn submitter(room: &Room, number: usize) {
    let (who, rest) = SUBMITTERS[number];
    let mut client = Client::connect(room.port);
    let mut random = Random::new(number as u64 + 1);
    for post in 1.. {
        sleep_ms(1 + random.below(rest));
        if room.start.elapsed() > OPEN_FOR || room.over.load(Ordering::Relaxed) {
            return;
        }
        if let Some(ms) = must_wait(&mut client, who) {
            room.denied.fetch_add(1, Ordering::Relaxed);
            if random.below(2) == 0 {
                continue;
            }
            // Sometimes they do as they are told, and then they must be let in.
            sleep_ms(ms);
            room.waited.fetch_add(1, Ordering::Relaxed);
            if must_wait(&mut client, who).is_some() {
                continue;
            }
            room.admitted_after.fetch_add(1, Ordering::Relaxed);
        }
        let id = format!("{who}:{post}");
        // Urgent reports are few.
        let priority = [0, 0, 0, 0, 0, 5, 5, 9][random.below(8) as usize];
        let text = format!("post {post} of {who}");
        let sent = now_us();
        let reply = cmd!(client, "MODQ.SUBMIT", QUEUE, id, text, "PRIORITY", priority);
        // Or straight to a moderator who waits.
        let fine = ["READY", "ASSIGNED"].contains(&reply.text().as_str());
        assert!(fine, "SUBMIT {id}: {reply:?}");
        room.record.lock().unwrap().submitted.insert(
            id,
            Submitted {
                priority,
                sent,
                acked: now_us(),
            },
        );
    }
}

/// A moderator at work.
struct Moderator<'a> {
    room: &'a Room,
    number: usize,
    who: &'static str,
    client: Client,
    /// Another connection, as one that listens can do nothing else.
    ear: Client,
    random: Random,
    /// Since when they have been in line for the next item.
    since: Option<u64>,
}

fn moderator(room: &Room, number: usize) {
    let who = MODERATORS[number];
    let mut me = Moderator {
        room,
        number,
        who,
        client: Client::connect(room.port),
        ear: Client::connect(room.port),
        random: Random::new(number as u64 + 100),
        since: None,
    };
    if number >= BLOCKED {
        let channel = format!("modq:{{{QUEUE}}}:{who}");
        cmd!(me.ear, "SUBSCRIBE", channel);
    }
    while !room.over.load(Ordering::Relaxed) {
        me.review();
    }
}

impl Moderator<'_> {
    /// Waits a while for an item, and reviews it.
    fn review(&mut self) {
        let sent = *self.since.get_or_insert_with(now_us);
        let reply = self.wait();
        let answered = now_us();
        let Some(claimed) = claims(&reply).pop() else {
            if self.number < BLOCKED {
                self.since = None;
            }
            return;
        };
        self.since = None;
        let end = self.decide(&claimed);
        self.room.record.lock().unwrap().claims.push(Claim {
            moderator: self.number,
            item: claimed.id(),
            token: claimed.token as u64,
            deadline: 1000 * claimed.deadline as u64,
            submitted: claimed.submitted as u64,
            deliveries: claimed.deliveries as u64,
            sent,
            answered,
            end,
        });
    }

    /// What CLAIM answers: null if there was nothing for a while.
    fn wait(&mut self) -> Value {
        let who = self.who;
        if self.number < BLOCKED {
            return cmd!(self.client, "MODQ.CLAIM", QUEUE, who, "BLOCK", PATIENCE_MS);
        }
        let ttl = 10 * PATIENCE_MS;
        let joined = cmd!(self.client, "MODQ.JOIN", QUEUE, who, "TTL", ttl);
        if joined.text() == "WAITING" {
            self.ear.poll(Duration::from_millis(PATIENCE_MS));
        }
        cmd!(self.client, "MODQ.CLAIM", QUEUE, who)
    }

    /// Three in twenty wander off, two in twenty pass the first time they see an item; the rest decide.
    fn decide(&mut self, claimed: &Claimed) -> End {
        let (item, token) = (&claimed.item, claimed.token);
        let mood = self.random.below(20);
        if mood < 3 {
            let left = (1000 * claimed.deadline as u64).saturating_sub(now_us());
            std::thread::sleep(Duration::from_micros(left + 1000));
            return End::Expired;
        }
        sleep_ms(20 + self.random.below(120));
        let sent = now_us();
        let skips = mood < 5 && claimed.deliveries == 1;
        let c = &mut self.client;
        let reply = match skips {
            true => cmd!(c, "MODQ.RELEASE", QUEUE, item, token, "SKIP"),
            false => cmd!(c, "MODQ.RESOLVE", QUEUE, item, token, "DECISION", "fine"),
        };
        let acked = now_us();
        match (reply, skips) {
            (Value::Simple(_), true) => End::Skipped { sent, acked },
            (Value::Simple(_), false) => End::Resolved { acked },
            // They took too long.
            (reply, _) if ["STALE", "NOITEM"].contains(&reply.err_code()) => End::Expired,
            (reply, _) => panic!("{} and {}: {reply:?}", self.who, claimed.id()),
        }
    }
}

/// Shows how it goes until nothing is left to do, and answers how many items are left.
fn watch(room: &Room, submitters: Vec<std::thread::ScopedJoinHandle<'_, ()>>) -> u64 {
    let mut client = Client::connect(room.port);
    let mut out = std::io::stdout();
    let terminal = out.is_terminal();
    let mut lines = 0;
    loop {
        let [all, ready, locked] = ["", " READY", " LOCKED"]
            .map(|state| client.line(&format!("MODQ.LEN {QUEUE}{state}")).int() as u64);
        let (seconds, counts) = {
            let record = room.record.lock().unwrap();
            (room.start.elapsed().as_secs_f64(), record.counts())
        };
        let line = format!(
            "{seconds:5.1} s  submitted {:3}  denied {:3}  waiting {ready:3}  in review {locked}  resolved {:3}  skipped {:2}  expired {:2}",
            counts.submitted,
            room.denied.load(Ordering::Relaxed),
            counts.resolved,
            counts.skipped,
            counts.expired
        );
        if terminal {
            print!("\r\x1b[K{line}");
            let _ = out.flush();
        } else if seconds >= 2.0 * f64::from(lines) {
            println!("{line}");
            lines += 1;
        }
        if !room.closed.load(Ordering::Relaxed)
            && submitters.iter().all(|thread| thread.is_finished())
        {
            room.closed.store(true, Ordering::Relaxed);
        }
        let closed = room.closed.load(Ordering::Relaxed);
        if (closed && all == 0) || room.start.elapsed() > OPEN_FOR + REST {
            room.over.store(true, Ordering::Relaxed);
        }
        if room.over.load(Ordering::Relaxed) {
            if terminal {
                println!();
            }
            return all;
        }
        sleep_ms(100);
    }
}

/// Prints what came of it; whether all is well.
fn report(room: &Room, left: u64, cup: &Cup) -> bool {
    let record = room.record.lock().unwrap();
    println!();
    report_counts(&record, room.denied.load(Ordering::Relaxed));
    cup.print();
    let claims = record.claims.len();
    let (compared, disorder) = record.disorder();
    let waited = room.waited.load(Ordering::Relaxed);
    let admitted = room.admitted_after.load(Ordering::Relaxed);
    let mut unfit = Vec::new();
    if admitted != waited {
        unfit.push(format!("{} were denied again", waited - admitted));
    }
    let counts = record.counts();
    let mut lost = Vec::new();
    if left > 0 {
        lost.push(format!("{left} items are still in the queue"));
    }
    if counts.resolved != counts.submitted {
        lost.push("submitted and resolved differ".to_owned());
    }
    let verdicts = [
        verdict(
            "no item was ever with two people",
            &record.shared(),
            format!("{claims} claims checked"),
        ),
        verdict(
            "order was kept",
            &disorder,
            format!("{claims} claims checked, against {compared} items ready"),
        ),
        verdict(
            "who waited as told was let in",
            &unfit,
            format!("{waited} retries checked"),
        ),
        verdict(
            "nothing was lost, nothing came twice",
            &lost,
            format!("{} items checked", counts.submitted),
        ),
        verdict(
            "every result of the cup counted once",
            &cup.miscounted(),
            cup.checked(),
        ),
        verdict(
            "who had the points first is ahead",
            &cup.disorder(),
            "both seasons checked".into(),
        ),
    ];
    verdicts.into_iter().all(|well| well)
}

/// Prints whether something holds, and the first ways in which it does not.
fn verdict(what: &str, broken: &[String], checked: String) -> bool {
    let yes = if broken.is_empty() { "yes" } else { "NO" };
    println!("{:46} {yes} ({checked})", format!("{what}:"));
    broken.iter().take(5).for_each(|how| println!("    {how}"));
    broken.is_empty()
}

fn report_counts(record: &Record, denied: u64) {
    let line = |what: &str, value: String| println!("{what:46} {value}");
    let counts = record.counts();
    line("submitted", counts.submitted.to_string());
    line("resolved", counts.resolved.to_string());
    line(
        "skipped, then reviewed by another",
        counts.skipped.to_string(),
    );
    let again = record.reviewed_again();
    line(
        "expired and re-reviewed",
        format!("{again} of {} that expired", counts.expired),
    );
    line("denied by the rate limit", denied.to_string());
    line(
        "longest wait for a moderator",
        format!("{} ms", record.longest_wait() / 1000),
    );
    let mut by_moderator = BTreeMap::<usize, u64>::new();
    for claim in &record.claims {
        *by_moderator.entry(claim.moderator).or_default() += 1;
    }
    let shares: Vec<String> = by_moderator
        .iter()
        .map(|(&who, n)| format!("{} {n}", MODERATORS[who]))
        .collect();
    line("claims", shares.join(", "));
}
