//! Ten thousand clients that wait at once, and what that costs everybody else.

use crate::support::*;
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const MANY: usize = 10_000;

/// One such crowd at a time: more sockets than this a process does not have.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(kind: Kind) -> Server {
    let server = Server::builder(kind).config("maxclients 10100");
    server.config("tcp-backlog 4096").start()
}

/// So many clients with this line sent, where `#` is the client's number; returns once all wait.
fn crowd(server: &Server, line: &str) -> Vec<TcpStream> {
    let mut all = Vec::with_capacity(MANY);
    for i in 0..MANY {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        let line = line.replace('#', &i.to_string());
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        all.push(stream);
    }
    let mut c = server.client();
    wait_until("all wait", PATIENCE, || blocked_clients(&mut c) == MANY);
    all
}

fn blocked_clients(c: &mut Client) -> usize {
    info(c, "clients")["blocked_clients"].parse().unwrap()
}

/// The longest that a PING of another client took while `body` ran.
fn worst_ping<R>(server: &Server, body: impl FnOnce() -> R) -> (R, Duration) {
    let mut c = server.client();
    std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let pings = scope.spawn(move || {
            let mut worst = Duration::ZERO;
            while let Err(std::sync::mpsc::TryRecvError::Empty) = stopped.try_recv() {
                let start = Instant::now();
                c.line("PING");
                worst = worst.max(start.elapsed());
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
    let time = |what: &str, c: &mut Client, lines: &[&str]| {
        let (_, worst) = worst_ping(&server, || {
            for line in lines {
                let start = Instant::now();
                let r = c.line(line);
                eprintln!(
                    "{kind:?} {what} {line} {:?} {}",
                    start.elapsed(),
                    format!("{r:?}").len()
                );
            }
            let end = Instant::now() + Duration::from_millis(100);
            wait_until("a while", PATIENCE, || Instant::now() > end);
        });
        eprintln!("{kind:?} {what}: worst ping {worst:?}");
    };
    time("idle", &mut c, &["PING", "PING"]);
    time("stats", &mut c, &["MODQ.STATS q"]);
    time(
        "create",
        &mut c,
        &["MODQ.CONFIGURE q LOCK 60000", "MODQ.STATS q"],
    );
    time(
        "rename",
        &mut c,
        &["RENAME q away", "MODQ.LEN away", "MODQ.CANCEL away x"],
    );
    time("rename back", &mut c, &["RENAME away q", "MODQ.CANCEL q x"]);
    time(
        "submit",
        &mut c,
        &["MODQ.SUBMIT q 1 p", "MODQ.SUBMIT q 2 p"],
    );
    time(
        "swap",
        &mut c,
        &["SWAPDB 0 1", "SWAPDB 0 1", "MODQ.SUBMIT q 3 p"],
    );
    time("del", &mut c, &["DEL q", "MODQ.SUBMIT q 3 p"]);
    let (_, worst) = worst_ping(&server, || {
        drop(clients);
        wait_until("all gone", PATIENCE, || blocked_clients(&mut c) == 0);
    });
    eprintln!("{kind:?} all gone: worst ping {worst:?}");
    let clients = crowd(&server, "MODQ.CLAIM q m BLOCK 0");
    time(
        "one moderator",
        &mut c,
        &["MODQ.STATS q", "MODQ.SUBMIT q 9 p", "PING"],
    );
    wait_until("all answered", PATIENCE, || blocked_clients(&mut c) == 0);
    drop(clients);
    let clients = crowd(&server, "MODQ.CLAIM q m NEW BLOCK 0");
    time("one moderator, new", &mut c, &["MODQ.SUBMIT q 10 p"]);
    let (_, worst) = worst_ping(&server, || {
        drop(clients);
        wait_until("all gone", PATIENCE, || blocked_clients(&mut c) == 0);
    });
    eprintln!("{kind:?} all gone: worst ping {worst:?}");
    let clients = crowd(&server, "BLPOP list 0");
    let (_, worst) = worst_ping(&server, || {
        drop(clients);
        wait_until("all gone", PATIENCE, || blocked_clients(&mut c) == 0);
    });
    eprintln!("{kind:?} all BLPOP gone: worst ping {worst:?}");
}

matrix!(ten_thousand_wait_for_one_name);
