//! Ten thousand queues, and a queue of a million items: what a page costs the server does not grow with them.

use crate::kit::b64;
use crate::kit::http::read_until;
use crate::{Room, room};
use modq_testkit::{Client, PATIENCE, parse_info, wait_until};
use std::time::Duration;

/// Calls and the time they took in the server, of all commands whose name has this in it.
fn spent(c: &mut Client, name: &str) -> (u64, Duration) {
    let all = parse_info(&c.line("INFO commandstats").text());
    let mut sum = (0, 0);
    for (command, figures) in all.iter().filter(|(command, _)| command.contains(name)) {
        let get = |field: &str| {
            figures
                .split(',')
                .find_map(|f| {
                    f.strip_prefix(field)?
                        .strip_prefix('=')?
                        .parse::<u64>()
                        .ok()
                })
                .unwrap_or_else(|| panic!("{command}: {figures}"))
        };
        sum = (sum.0 + get("calls"), sum.1 + get("usec"));
    }
    (sum.0, Duration::from_micros(sum.1))
}

/// Fails unless the page took at most so many calls, beyond what the sampler does meanwhile.
fn page_costs(room: &mut Room, path: &str, most: u64, name: &str) {
    let mut mia = room.console.user("mia");
    let before = spent(&mut room.c, name);
    mia.get(path).expect(200);
    let after = spent(&mut room.c, name);
    assert!(
        after.0 - before.0 <= most,
        "{path}: {} calls of {name}",
        after.0 - before.0
    );
    // Time in the server, not on the clock; the bound for a page.
    let time = after.1 - before.1;
    assert!(
        time < Duration::from_millis(300),
        "{path}: {time:?} in the server"
    );
}

/// An open page asks how the item is with each tick, and goes through the event stream when something has happened.
#[test]
fn the_stream_is_not_searched_with_each_tick() {
    let mut room = room();
    room.c.expect_ok("MODQ.CONFIGURE q EVENTS log");
    room.c.line("MODQ.SUBMIT q a text");
    let mut mia = room.console.user("mia");
    let mut stream = mia.stream(&format!("/q/{}/i/{}", b64("q"), b64("a")));
    read_until(&mut stream, "submitted");
    let (looks, searches) = (
        spent(&mut room.c, "modq.get").0,
        spent(&mut room.c, "xrevrange").0,
    );
    wait_until("some ticks have passed", PATIENCE, || {
        spent(&mut room.c, "modq.get").0 >= looks + 4
    });
    // Once more after a while, on a machine that is slow.
    assert!(spent(&mut room.c, "xrevrange").0 <= searches + 1);
    room.c.line("MODQ.ASSIGN q a zoe");
    read_until(&mut stream, "assigned");
}

#[test]
fn ten_thousand_queues() {
    let mut room = room();
    let lines: Vec<String> = (0..10_000)
        .map(|n| format!("MODQ.SUBMIT queue:{n:05} a text BOOST {n}"))
        .collect();
    lines.chunks(1000).for_each(|chunk| {
        room.c.pipeline(chunk);
    });
    let mut mia = room.console.user("mia");
    wait_until("all are found and asked", PATIENCE, || {
        let page = mia.get("/").body;
        page.contains("Page 1 of 200") && page.contains(">10,000<")
    });
    // A page is a page, wherever it is.
    let page = mia
        .get("/?sort=name&page=200")
        .expect(200)
        .says("queue:09999")
        .lacks("queue:00000");
    assert!(page.body.len() < 200_000, "{}", page.body.len());
    mia.get("/?q=queue:01234").expect(200).says("1 of 10,000");
    for path in ["/", "/?sort=dead&page=7", "/dead", "/desk", "/audit"] {
        // What is on screen is asked by the sampler, not by the page; its rotation may go on meanwhile.
        page_costs(&mut room, path, 2100, "modq.");
        page_costs(&mut room, path, 20, "modq.get");
    }
    page_costs(&mut room, "/search?item=a", 10_000, "modq.get");
    // Nobody looks for keys again for that.
    page_costs(&mut room, "/", 200, "scan");
}

#[test]
fn a_queue_of_a_million_items() {
    let mut room = room();
    room.c
        .expect_ok("MODQ.CONFIGURE q EVENTS stream EVENTSMAXLEN 1000");
    for chunk in 0..1000 {
        let lines: Vec<String> = (0..1000)
            .map(|n| format!("MODQ.SUBMIT q item-{chunk}-{n} text PRIORITY {}", n % 150))
            .collect();
        room.c.pipeline(&lines);
    }
    let q = b64("q");
    let item = format!("/q/{q}/i/{}", b64("item-50-500"));
    for path in [
        format!("/q/{q}"),
        format!("/q/{q}/ready"),
        format!("/q/{q}/dead"),
        item,
        "/".into(),
    ] {
        page_costs(&mut room, &path, 30, "modq.");
    }
    let mut mia = room.console.user("mia");
    wait_until("all are seen", PATIENCE, || {
        mia.get(&format!("/q/{q}")).body.contains("1,000,000")
    });
    // However often it is looked at, what is costly is asked seldom.
    let before = spent(&mut room.c, "modq.peek").0;
    for _ in 0..10 {
        mia.get(&format!("/q/{q}")).expect(200).says("1,000,000");
    }
    assert!(spent(&mut room.c, "modq.peek").0 - before <= 2);
}
