//! The room that `make demo CONSOLE=1` shows lives.

use crate::kit::{Living, Visitor};
use modq_testkit::{Kind, PATIENCE, Server, wait_until};

/// A total of /metrics over all queues.
fn total(visitor: &mut Visitor, name: &str) -> u64 {
    let text = visitor.get("/metrics").expect(200).body;
    let values = text
        .lines()
        .filter(|l| l.starts_with(&format!("{name}{{")))
        .filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}

#[test]
fn the_living_room_lives() {
    let room = Living::start(Server::start(Kind::Redis70), "127.0.0.1:0");
    let mut sue = room.console.user("sue");
    wait_until("the first figures", PATIENCE, || {
        total(&mut sue, "modq_items_submitted_total") > 0
    });
    let before = ["submitted", "resolved"].map(|what| {
        let name = format!("modq_items_{what}_total");
        (total(&mut sue, &name), name)
    });
    for (n, name) in before {
        wait_until(&format!("{name} grows"), PATIENCE, || {
            total(&mut sue, &name) > n
        });
    }
    for (path, words) in [
        ("/", "spam:fast-lane"),
        ("/dead", "images"),
        ("/limits", "free"),
        ("/boards", "helpful"),
    ] {
        sue.get(path).expect(200).says(words);
    }
}
