//! Open pages: they follow what happens, never disturb who works on them, and come back after a failure.

use crate::kit::b64;
use crate::{room, signed_in};
use modq_testkit::{PATIENCE, SentinelSetup, cmd, wait_until};

#[test]
fn figures_follow_and_nothing_is_replaced_under_the_hand() {
    let mut room = room(&[]);
    room.c.line("MODQ.SUBMIT q a text");
    let sue = signed_in(&room, "sue");
    sue.goto(&room.console.url(&format!("/q/{}", b64("q"))));
    sue.wait_text("#panel-figures", "Ready");
    // The same nodes stay: the one that was there has the new figure.
    sue.js(
        "window.mine = document.querySelector('#panel-figures .tile dd')",
        &[],
    );
    room.c.line("MODQ.SUBMIT q b text");
    let mine = "return window.mine.isConnected ? window.mine.innerText : 'gone'";
    wait_until("the figure changes in place", PATIENCE, || {
        sue.js(mine, &[]) == "2"
    });
    // A dialog that is open stays open, with what was typed.
    sue.goto(&room.console.url(&format!("/q/{}/i/{}", b64("q"), b64("a"))));
    sue.click("a[data-dialog].danger");
    sue.wait_for("dialog[open] input[name=reason]");
    sue.press("because");
    room.c.line("MODQ.SUBMIT q a text PRIORITY 4 ONDUP BUMP");
    sue.wait_text("#panel-facts", "\n4");
    assert_eq!(
        sue.js(
            "return document.querySelector('dialog[open] input[name=reason]').value",
            &[]
        ),
        "because"
    );
    // It was about what was seen: refused.
    sue.click("dialog button.main");
    sue.wait_text(
        ".note.bad",
        "Not done. The item was changed in the meantime.",
    );
    assert_eq!(room.c.line("MODQ.LEN q").int(), 2);
}

#[test]
fn what_somebody_types_into_is_left_alone() {
    let mut room = room(&[]);
    room.c.line("MODQ.SUBMIT q a text TAGS 1 legal");
    let sue = signed_in(&room, "sue");
    sue.goto(&room.console.url(&format!("/q/{}/i/{}", b64("q"), b64("a"))));
    sue.type_into("input[name=who]", "zo");
    room.c.line("MODQ.CLAIM q mia TAGS 1 legal");
    sue.wait_text("#panel-state", "In review with mia");
    sue.press("e");
    assert_eq!(
        sue.js(
            "return document.activeElement.name + '=' + document.activeElement.value",
            &[]
        ),
        "who=zoe"
    );
    sue.press("\n");
    sue.wait_text("#panel-why", "It is not ready");
}

#[test]
fn dead_letters_by_ticks() {
    let mut room = room(&[]);
    room.c.expect_ok("MODQ.CONFIGURE q MAXEXPIRIES 1");
    for n in 0..3 {
        cmd!(room.c, "MODQ.SUBMIT", "q", format!("<b>{n}"), "text");
    }
    room.c.line("MODQ.CLAIM q mia COUNT 3 LOCK 1");
    wait_until("they are dead", PATIENCE, || {
        room.c.line("MODQ.LEN q DEAD").int() == 3
    });
    let sue = signed_in(&room, "sue");
    sue.goto(&room.console.url(&format!("/q/{}/dead", b64("q"))));
    sue.wait_for("[data-needs-tick]:disabled");
    sue.click("tbody tr:nth-child(1) input");
    sue.click("tbody tr:nth-child(2) input");
    sue.click("[data-needs-tick]");
    sue.wait_text("dialog[open]", "Revive 2 dead items of q");
    sue.click("dialog button.main");
    sue.wait_text(".note", "2 items revived. 1 dead item left.");
    assert_eq!(room.c.line("MODQ.LEN q READY").int(), 2);
}

#[test]
fn a_page_comes_back_by_itself() {
    let mut room = room(&[]);
    room.c.line("MODQ.SUBMIT before a text");
    let sue = signed_in(&room, "sue");
    sue.wait_text("#panel-queues", "before");
    room.server.kill9();
    sue.wait_text("#trouble", "The server does not answer.");
    // A page that is opened meanwhile comes to be what it should be.
    let other = signed_in(&room, "other");
    other.goto(&room.console.url(&format!("/q/{}", b64("after"))));
    other.wait_text("main", "comes back by itself");
    room.server.start_again();
    room.server.client().line("MODQ.SUBMIT after a text");
    sue.wait_text("#panel-queues", "after");
    wait_until("the trouble is over", PATIENCE, || {
        sue.text("#trouble").is_empty()
    });
    other.wait_text("#panel-figures", "Ready");
    // A console that ends, and its page.
    room.console.stop();
    sue.wait_text("#trouble", "The console does not answer.");
}

#[test]
fn a_failover_under_an_open_page() {
    let setup = SentinelSetup::start(modq_testkit::Kind::Redis70);
    let old = setup.primary().port();
    setup.primary().client().line("MODQ.SUBMIT q a text");
    let sentinels: Vec<String> = setup
        .sentinels
        .iter()
        .map(|s| format!("redis://127.0.0.1:{}", s.port()))
        .collect();
    let console = crate::Setup::to(&sentinels.join(","))
        .arg(&["--sentinel", "modq"])
        .start();
    let browser = crate::Browser::open(1280, 900);
    browser.sign_in(&console, "sue");
    browser.wait_text("#panel-queues", "q");
    modq_testkit::wait_replica_synced(setup.primary(), &setup.nodes[1]);
    setup.sentinels[0].client().line("SENTINEL FAILOVER modq");
    let new = setup.wait_failover(old);
    wait_until("the new one takes writes", PATIENCE, || {
        let mut c = modq_testkit::Reconnecting::new(new);
        c.try_line("MODQ.SUBMIT after-failover a text")
            .is_some_and(|v| v.err_code().is_empty())
    });
    browser.wait_text("#panel-queues", "after-failover");
}

#[test]
fn signing_out_in_one_tab_leads_the_other_to_the_form() {
    let room = room(&[]);
    let sue = signed_in(&room, "sue");
    let cookie = room.console.visitor();
    drop(cookie);
    sue.wait_for("#panel-sums");
    let csrf = sue.js("return document.querySelector('[name=csrf]').value", &[]);
    let out = "fetch(arguments[0], { method: 'POST', body: new URLSearchParams({ csrf: arguments[1] }) })";
    sue.js(out, &["/logout", csrf.as_str().unwrap_or_default()]);
    wait_until("the form for signing in", PATIENCE, || {
        sue.address().contains("/login")
    });
}
