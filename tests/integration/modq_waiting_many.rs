//! Ten thousand clients that wait at once, and what that costs everybody else.

use modq_testkit::queue::*;
use modq_testkit::*;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

const MANY: usize = 10_000;

/// What the server may work while a PING waits and something is done about all of them: far below what anything that
/// grows with the square of their number takes. How long the machine keeps the server waiting is not counted.
const BOUND: Duration = Duration::from_millis(150);

/// One such crowd at a time: more sockets than this a process does not have.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(kind: Kind) -> Server {
    let server = Server::builder(kind).config("maxclients 10100");
    server.config("tcp-backlog 4096").start()
}

/// So many clients with this line sent, where `#` is the client's number, in the order of their numbers; returns once
/// all wait.
fn crowd(server: &Server, line: &str) -> Vec<TcpStream> {
    let all = sent(server, line);
    let mut c = server.client();
    wait_until("all wait", PATIENCE, || blocked_clients(&mut c) == MANY);
    all
}

/// The same, where some may have been answered by now.
fn sent(server: &Server, line: &str) -> Vec<TcpStream> {
    let mut c = server.client();
    let mut all = Vec::with_capacity(MANY);
    for i in 0..MANY {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let line = line.replace('#', &i.to_string());
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        all.push(stream);
        // The first stand in line in this order for certain.
        if i < 300 {
            wait_until("they wait", PATIENCE, || blocked_clients(&mut c) == i + 1);
        }
    }
    all
}

fn blocked_clients(c: &mut Client) -> usize {
    info(c, "clients")["blocked_clients"].parse().unwrap()
}

fn answer(stream: &TcpStream) -> Value {
    Value::read(&mut BufReader::with_capacity(256, stream)).unwrap()
}

/// The most that the server worked while a PING of another client waited, and `body` ran.
fn worst_ping<R>(server: &Server, body: impl FnOnce() -> R) -> (R, Duration) {
    let mut c = server.client();
    std::thread::scope(|scope| {
        let (stop, stopped) = mpsc::channel::<()>();
        let pings = scope.spawn(move || {
            let mut worst = Duration::ZERO;
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                let (_, work) = work_during(server.pid(), || c.line("PING"));
                worst = worst.max(work);
            }
            worst
        });
        let result = body();
        drop(stop);
        (result, pings.join().unwrap())
    })
}

fn ten_thousand_wait_for_one_name(kind: Kind) {
    let _alone = alone();
    let server = start(kind);
    let mut c = server.client();
    let clients = crowd(&server, "MODQ.CLAIM q m# BLOCK 0");
    assert_eq!(
        c.line("MODQ.STATS q").field("waiting"),
        Value::Int(MANY as i64)
    );
    let first = c.line("MODQ.WAITERS q COUNT 3");
    let names: Vec<String> = first.items().iter().map(|w| w[0].text()).collect();
    assert_eq!(names, ["m0", "m1", "m2"]);
    // Whatever brings a queue to the name or takes it away: everybody else is served meanwhile, and all are in line
    // a little later.
    for lines in [
        &["MODQ.CONFIGURE q LOCK 60000"] as &[&str],
        &["RENAME q away", "MODQ.LEN away"],
        &["RENAME away q"],
        &["SWAPDB 0 1", "SWAPDB 0 1"],
        &["DEL q", "MODQ.JOIN q last TTL 1000000"],
    ] {
        let ((), worst) = worst_ping(&server, || {
            for line in lines {
                c.line(line);
            }
            if c.line("EXISTS q") == Value::Int(0) {
                return;
            }
            let joined = i64::from(lines[0] == "DEL q");
            wait_until(&format!("all are known: {lines:?}"), PATIENCE, || {
                c.line("MODQ.STATS q").field("waiting") == Value::Int(MANY as i64 + joined)
            });
        });
        assert!(
            worst < BOUND,
            "{lines:?}: a PING waited for {worst:?} of work"
        );
    }
    // Items that are there before the queue has heard of most who wait go to the first of all, in order; who joined
    // last is last.
    let mut lines: Vec<String> = vec!["MULTI".into(), "DEL q".into(), "MODQ.JOIN q last".into()];
    lines.extend((0..300).map(|i| format!("MODQ.SUBMIT q {i} p")));
    lines.push("EXEC".into());
    let (_, worst) = worst_ping(&server, || c.pipeline(&lines));
    assert!(worst < BOUND, "a PING waited for {worst:?} of work");
    for (i, client) in clients.iter().take(300).enumerate() {
        assert_eq!(ids(&answer(client)), i.to_string());
    }
    assert_eq!(counts(&mut c, "q"), [0, 300, 0, 0]);
    wait_until("the others go on waiting", PATIENCE, || {
        c.line("MODQ.STATS q").field("waiting") == Value::Int(MANY as i64 - 299)
    });
    // Another type at the name is told to each.
    let (_, worst) = worst_ping(&server, || {
        c.expect_ok("SET q 1");
        wait_until("all are told", PATIENCE, || blocked_clients(&mut c) == 0);
    });
    assert!(worst < BOUND, "a PING waited for {worst:?} of work");
    for client in clients.iter().skip(300) {
        assert_eq!(answer(client).err_code(), "WRONGTYPE");
    }
}

fn ten_thousand_waits_end_at_once(kind: Kind) {
    let _alone = alone();
    let server = start(kind);
    let mut c = server.client();
    let gone = |c: &mut Client, line: &str| {
        let clients = crowd(&server, line);
        let (_, worst) = worst_ping(&server, || {
            drop(clients);
            wait_until("all are gone", PATIENCE, || blocked_clients(c) == 0);
        });
        worst
    };
    // The server's own waits are the measure: it frees the clients in any case.
    let own = gone(&mut c, "BLPOP list 0");
    c.expect_ok("MODQ.CONFIGURE q LOCK 60000");
    let ours = gone(&mut c, "MODQ.CLAIM q m# BLOCK 0");
    assert!(ours < 4 * own + BOUND, "{ours:?} against {own:?}");
    assert_eq!(c.line("MODQ.STATS q").field("waiting"), Value::Int(0));
    // All at one instant by time-out.
    let start = Instant::now();
    drop(crowd(&server, "MODQ.CLAIM q m# BLOCK 0"));
    let block = start.elapsed().as_millis() as u64 * 2 + 1000;
    wait_until("all are gone", PATIENCE, || blocked_clients(&mut c) == 0);
    let clients = sent(&server, &format!("MODQ.CLAIM q m# BLOCK {block}"));
    let (_, worst) = worst_ping(&server, || {
        wait_until("all have timed out", PATIENCE, || {
            blocked_clients(&mut c) == 0
        });
    });
    assert!(
        worst < 4 * own + BOUND,
        "a PING waited for {worst:?} of work"
    );
    assert!(clients.iter().all(|client| answer(client).is_null()));
    drop(clients);
    // One moderator in so many windows, and one item: all of them are answered with it.
    let clients = crowd(&server, "MODQ.CLAIM q m BLOCK 0");
    let (_, worst) = worst_ping(&server, || {
        submit_assigned(&mut c, "q i p");
        wait_until("all are answered", PATIENCE, || {
            blocked_clients(&mut c) == 0
        });
    });
    assert!(worst < 10 * BOUND, "a PING waited for {worst:?} of work");
    let token = field(&mut c, "q", "i", "token").int();
    for client in &clients {
        assert_eq!(claims(&answer(client))[0].token, token);
    }
}

/// The name with a brace is told to the server under another, too.
fn a_brace_in_a_name_costs_nothing(kind: Kind) {
    let _alone = alone();
    let server = start(kind);
    let mut c = server.client();
    let mut cost = |name: &str| {
        let clients = crowd(&server, &format!("MODQ.CLAIM {name} m# BLOCK 0 TAGS 1 t"));
        let ((), took) = work_during(server.pid(), || {
            submit(&mut c, &format!("{name} i p TAGS 1 nobody"));
            c.line("PING");
        });
        drop(clients);
        wait_until("all are gone", PATIENCE, || blocked_clients(&mut c) == 0);
        took
    };
    let plain = cost("plain");
    for name in ["a}b", "}{"] {
        let took = cost(name);
        assert!(
            took < 4 * plain + BOUND,
            "{name}: {took:?} against {plain:?}"
        );
    }
}

matrix!(
    a_brace_in_a_name_costs_nothing,
    ten_thousand_wait_for_one_name,
    ten_thousand_waits_end_at_once,
);
