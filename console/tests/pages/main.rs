//! The console over HTTP, against real servers: what each page says, what each action does, and what is refused.

#[path = "../kit/mod.rs"]
mod kit;

mod acts;
mod decisions;
mod demo;
mod desk;
mod failures;
mod figures;
mod gate;
mod large;
mod looks;
mod signing;
mod tls;
mod topologies;

use kit::{Console, Setup};
use modq_testkit::{Client, Kind, Server};

/// A server, a console for it, and a client.
struct Room {
    server: Server,
    console: Console,
    c: Client,
}

fn room() -> Room {
    room_with(|setup| setup)
}

fn room_with(change: impl FnOnce(Setup) -> Setup) -> Room {
    let server = Server::start(Kind::Redis70);
    let c = server.client();
    let console = change(Setup::of(&server)).start();
    Room { server, console, c }
}
