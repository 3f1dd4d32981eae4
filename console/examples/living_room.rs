//! A review room that goes on until Ctrl-C, and the console that shows it: `make demo CONSOLE=1`. Posts come in, some
//! moderators decide, one wanders off now and then, and the queues are yours to look at and to run.

#[path = "../tests/kit/mod.rs"]
mod kit;

use kit::Setup;
use modq_testkit::queue::claims;
use modq_testkit::{Client, Random, Server, cmd, end_with_signals};
use std::time::Duration;

const MODERATORS: [&str; 4] = ["mia", "noah", "olga", "paul"];
const VERDICTS: [&str; 3] = ["keep", "keep", "remove"];

fn main() {
    end_with_signals();
    let server = Server::installed().start();
    let mut c = Client::connect(&server);
    kit::room::fill(&mut c);
    // Short locks, so that one who wanders off is soon noticed.
    c.expect_ok("MODQ.CONFIGURE review LOCK 20000");
    let console = Setup::of(&server).start_at(&listen());
    println!(
        "A review room is at work. Look at it, and take part (Desk, queue review, tags english):\n\n  {}\n",
        console.url("/")
    );
    println!("Sign in with any name. Ctrl-C ends it all.");
    std::thread::scope(|scope| {
        scope.spawn(|| submit(server.port()));
        for (n, who) in MODERATORS.iter().enumerate() {
            let port = server.port();
            scope.spawn(move || review(port, who, n as u64));
        }
    });
}

/// The console's usual address, or any if that is taken.
fn listen() -> String {
    let usual = "127.0.0.1:8377";
    match std::net::TcpListener::bind(usual) {
        Ok(_) => usual.into(),
        Err(_) => "127.0.0.1:0".into(),
    }
}

fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn submit(port: u16) {
    let mut c = Client::connect(port);
    let mut random = Random::new(7);
    for n in 0_u64.. {
        // Busy and quiet minutes by turns.
        sleep(200 + random.below(if n / 200 % 2 == 0 { 1500 } else { 4000 }));
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

fn review(port: u16, who: &str, seed: u64) {
    let mut c = Client::connect(port);
    let mut random = Random::new(100 + seed);
    loop {
        let queue = ["review", "review", "appeals", "images"][random.below(4) as usize];
        let reply = cmd!(
            c,
            "MODQ.CLAIM",
            queue,
            who,
            "BLOCK",
            3000,
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
        sleep(800 + random.below(5000));
        if random.below(15) == 0 {
            // Off for a coffee: the lock lapses.
            sleep(22_000);
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
