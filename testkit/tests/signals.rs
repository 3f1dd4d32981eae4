//! A program that people run ends with its servers and their files when it gets a signal. Not a test of the usual kind:
//! the signals must be dealt with before any other thread starts, so this is a program of its own, which runs itself.

use modq_testkit::{Client, Kind, PATIENCE, Server, end_with_signals, wait_until};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// Tells the program which half it is.
const RUN: &str = "MODQ_TEST_SIGNALS";

fn main() {
    if std::env::var_os(RUN).is_some() {
        return run();
    }
    // Not SIGINT or SIGHUP: a shell or nohup may have told this process, and so its children, to ignore them.
    ends_with(libc::SIGTERM, 143);
    println!("a signal ends the program, its server and its files");
}

/// The program that is ended.
fn run() {
    end_with_signals();
    let server = Server::builder(Kind::Redis70).without_module().start();
    println!("{} {}", server.port(), server.dir().display());
    // Until the signal comes, or until the other half is gone.
    let _ = std::io::stdin().read(&mut [0]);
}

fn ends_with(signal: i32, code: i32) {
    let me = std::env::current_exe().expect("this program");
    let mut child = Command::new(me)
        .env(RUN, "1")
        .env_remove("MODQ_KEEP")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs again");
    // Open until the end, so that it is the signal that ends the program.
    let _input = child.stdin.take().expect("its input");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    out.read_line(&mut line).expect("its first line");
    let (port, dir) = line.trim().split_once(' ').expect("a port and a directory");
    let port = port.parse().expect("a port");
    assert!(Client::try_connect(port).is_ok(), "the server runs");
    assert!(Path::new(dir).join("server.log").exists());
    // SAFETY: no memory is involved, and the child has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
    assert_eq!(child.wait().expect("our child").code(), Some(code));
    assert!(!Path::new(dir).exists(), "its files are gone");
    wait_until("the server is gone", PATIENCE, || {
        Client::try_connect(port).is_err()
    });
}
