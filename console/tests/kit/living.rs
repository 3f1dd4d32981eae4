//! A review room at work: posts come in, some moderators decide, one wanders off now and then. `make demo CONSOLE=1` shows
//! it, and a test looks whether it lives.

use super::{Console, Setup, room};
use modq_testkit::queue::claims;
use modq_testkit::{Client, Random, Server, cmd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const MODERATORS: [&str; 4] = ["mia", "noah", "olga", "paul"];
const VERDICTS: [&str; 3] = ["keep", "keep", "remove"];

/// The room. When it is dropped people go home, and then the console and the server end.
pub struct Living {
    over: Arc<AtomicBool>,
    people: Vec<JoinHandle<()>>,
    pub console: Console,
    pub server: Server,
}

impl Living {
    /// With a console at this address.
    #[track_caller]
    pub fn start(server: Server, listen: &str) -> Living {
        let mut c = Client::connect(&server);
        room::fill(&mut c);
        // Short locks, so that one who wanders off is soon noticed.
        c.expect_ok("MODQ.CONFIGURE review LOCK 20000");
        let console = Setup::of(&server).start_at(listen);
        let over = Arc::new(AtomicBool::new(false));
        let port = server.port();
        let (end, ends) = (over.clone(), over.clone());
        let mut people = vec![std::thread::spawn(move || submit(port, &end))];
        people.extend((0_u64..).zip(MODERATORS).map(|(n, who)| {
            let end = ends.clone();
            std::thread::spawn(move || review(port, who, n, &end))
        }));
        Living {
            over,
            people,
            console,
            server,
        }
    }

    /// Goes on until somebody at the room is in trouble.
    pub fn wait(&mut self) {
        self.people.drain(..).for_each(|person| {
            let _ = person.join();
        });
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.wait();
    }
}

/// In small steps, so that who is told to go home does so soon.
fn sleep(ms: u64, over: &AtomicBool) {
    for step in (0..ms).step_by(100) {
        if over.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(Duration::from_millis((ms - step).min(100)));
    }
}

fn submit(port: u16, over: &AtomicBool) {
    let mut c = Client::connect(port);
    let mut random = Random::new(7);
    for n in 0_u64.. {
        // Busy and quiet minutes by turns.
        sleep(
            200 + random.below(if n / 200 % 2 == 0 { 1500 } else { 4000 }),
            over,
        );
        if over.load(Ordering::Relaxed) {
            return;
        }
        let who = format!("user:{}", random.below(40));
        if cmd!(
            c,
            "RATELIMIT.CHECK",
            format!("limit:{who}"),
            "POLICY",
            "free"
        )[0]
        .int()
            == 0
        {
            continue;
        }
        let queue = ["review", "review", "review", "appeals", "images"][random.below(5) as usize];
        let priority = [0, 0, 0, 0, 5, 9][random.below(6) as usize];
        let tag = ["english", "french"][random.below(2) as usize];
        let text = format!(
            "{{\"kind\":\"post\",\"author\":\"{who}\",\"text\":\"Post number {n}. Is this allowed here?\"}}"
        );
        cmd!(
            c,
            "MODQ.SUBMIT",
            queue,
            format!("post:{n}"),
            text,
            "PRIORITY",
            priority,
            "TAGS",
            1,
            tag
        );
        cmd!(
            c,
            "RANK.ADD",
            "helpful",
            format!("user:{}", random.below(40)),
            1
        );
    }
}

fn review(port: u16, who: &str, seed: u64, over: &AtomicBool) {
    let mut c = Client::connect(port);
    let mut random = Random::new(100 + seed);
    while !over.load(Ordering::Relaxed) {
        let queue = ["review", "review", "appeals", "images"][random.below(4) as usize];
        let reply = cmd!(
            c,
            "MODQ.CLAIM",
            queue,
            who,
            "BLOCK",
            1000,
            "TAGS",
            4,
            "english",
            "french",
            "threats",
            "legal"
        );
        let Some(claim) = claims(&reply).pop() else {
            continue;
        };
        sleep(800 + random.below(5000), over);
        if random.below(15) == 0 {
            // Off for a coffee: the lock lapses.
            sleep(22_000, over);
            continue;
        }
        let verdict = VERDICTS[random.below(3) as usize];
        // Whatever became of it meanwhile, the next one comes.
        cmd!(
            c,
            "MODQ.RESOLVE",
            queue,
            claim.item,
            claim.token,
            "DECISION",
            verdict
        );
        cmd!(c, "RANK.ADD", "moderators", who, 1);
    }
}
