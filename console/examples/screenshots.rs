//! Makes the pictures of the README: `make screenshots`. A server, a console and a browser of its own; the pictures go to
//! docs/console/, or to the folder given.

#[path = "../tests/kit/mod.rs"]
mod kit;

use kit::{Browser, Setup, b64};
use modq_testkit::{Client, Server, cmd, let_pass};
use std::path::PathBuf;

fn main() {
    let into = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "docs/console".into());
    let into = PathBuf::from(into);
    std::fs::create_dir_all(&into).expect("the folder");
    let server = Server::installed().start();
    let mut c = Client::connect(&server);
    kit::room::fill(&mut c);
    let console = Setup::of(&server).start();
    // Some time goes by, so that lines have points.
    for n in 0..12 {
        for m in 0..(n % 4 + 1) {
            cmd!(
                c,
                "MODQ.SUBMIT",
                "review",
                format!("comment:9{n}{m}"),
                "Is this allowed here?",
                "TAGS",
                1,
                "english"
            );
        }
        let_pass(2500);
    }
    let browser = Browser::open(1280, 860);
    browser.sign_in(&console, "sam");
    let shoot = |name: &str| {
        let_pass(1500);
        std::fs::write(into.join(format!("{name}.png")), browser.screenshot()).expect("written");
        println!("{}", into.join(format!("{name}.png")).display());
    };
    let pages = [
        ("queues", "/".to_owned()),
        ("queue", format!("/q/{}", b64("review"))),
        (
            "item",
            format!("/q/{}/i/{}", b64("review"), b64("photo:5521")),
        ),
        ("dead", format!("/q/{}/dead", b64("images"))),
        ("limits", "/limits?key=user:42&policy=free".into()),
        ("boards", format!("/b/{}", b64("cup"))),
    ];
    for (name, path) in &pages {
        browser.goto(&console.url(path));
        shoot(name);
    }
    browser.goto(&console.url(&format!("/q/{}/i/{}", b64("review"), b64("photo:5521"))));
    browser.click("a.danger");
    browser.wait_for("dialog[open]");
    shoot("confirm");
    browser.goto(&console.url(&format!("/desk/{}", b64("review"))));
    browser.type_into("input[name=tags]", "english, threats");
    browser.click("form.card button");
    browser.wait_for("article.item");
    shoot("desk");
    browser.js(
        "document.documentElement.setAttribute('data-theme', 'dark')",
        &[],
    );
    shoot("desk-dark");
    browser.resize(500, 900);
    shoot("desk-phone");
    browser.goto(&console.url("/"));
    shoot("queues-phone");
}
