//! A review room that goes on until Ctrl-C, and the console that shows it: `make demo CONSOLE=1`. The queues are yours to
//! look at and to run.

#[path = "../tests/kit/mod.rs"]
mod kit;

use modq_testkit::{Server, end_with_signals};

fn main() {
    end_with_signals();
    let mut room = kit::Living::start(Server::installed().start(), &listen());
    println!(
        "A review room is at work. Look at it, and take part (Desk, queue review, tags english):\n\n  {}\n",
        room.console.url("/")
    );
    println!("Sign in with any name. Ctrl-C ends it all.");
    room.wait();
}

/// The console's usual address, or any if that is taken.
fn listen() -> String {
    let usual = "127.0.0.1:8377";
    match std::net::TcpListener::bind(usual) {
        Ok(_) => usual.into(),
        Err(_) => "127.0.0.1:0".into(),
    }
}
