//! The console in a real Chromium: what eyes see, keys do and screen readers hear.

#[path = "../kit/mod.rs"]
mod kit;

mod accessibility;
mod desk;
mod harm;
mod live;

use kit::{Browser, Console, Setup};
use modq_testkit::{Client, Kind, Server};

/// A server, a console for it, and a client.
struct Room {
    server: Server,
    console: Console,
    c: Client,
}

fn room(args: &[&str]) -> Room {
    let server = Server::start(Kind::Redis70);
    let c = server.client();
    let console = Setup::of(&server).arg(args).start();
    Room { server, console, c }
}

/// A browser in which this person is signed in.
fn signed_in(room: &Room, name: &str) -> Browser {
    let browser = Browser::open(1280, 900);
    browser.sign_in(&room.console, name);
    browser
}
