//! Two moderators at the desk, by keyboard; a lost lock; undo.

use crate::kit::{Browser, b64};
use crate::{Room, room, signed_in};
use modq_testkit::{PATIENCE, cmd, wait_until};

fn sit(room: &Room, who: &str, tags: &str) -> Browser {
    let browser = signed_in(room, who);
    browser.goto(&room.console.url(&format!("/desk/{}", b64("q"))));
    browser.type_into("input[name=tags]", tags);
    browser.click("form.card button.main");
    browser.wait_for("form.acts");
    browser
}

/// The item on the page; empty if none.
fn item(browser: &Browser) -> String {
    browser.text("#item-name")
}

/// A key for the item that is shown for long enough: one pressed at once could have been meant for the item before.
fn press(browser: &Browser, shown: &str, key: &str) {
    wait_until("the item is shown", PATIENCE, || item(browser) == shown);
    wait_until("the key is taken", PATIENCE, || {
        if item(browser) == shown {
            browser.press(key);
        }
        item(browser) != shown
    });
}

#[test]
fn two_at_the_desk_by_keyboard() {
    let mut room = room(&["--undo", "0"]);
    room.c.expect_ok("MODQ.CONFIGURE q EVENTS stream");
    let (mia, noah) = (sit(&room, "mia", "english"), sit(&room, "noah", ""));
    mia.wait_text("#panel-desk-item", "Nothing for you right now");
    noah.wait_text("#panel-desk-item", "Nothing for you right now");
    // Each gets what they may take, by itself.
    cmd!(
        room.c,
        "MODQ.SUBMIT",
        "q",
        "a",
        "An English post",
        "TAGS",
        1,
        "english"
    );
    cmd!(room.c, "MODQ.SUBMIT", "q", "b", "{\"kind\":\"any\"}");
    mia.wait_text("#panel-desk-item", "An English post");
    noah.wait_text("#panel-desk-item", "\"kind\": \"any\"");
    press(&mia, "a", "k");
    press(&noah, "b", "s");
    // What noah skipped is mia's now; what she decides with a note is told to the stream.
    wait_until("it goes to mia", PATIENCE, || item(&mia) == "b");
    mia.press("n");
    mia.press("not ours");
    assert_eq!(
        room.c.line("MODQ.LEN q LOCKED").int(),
        1,
        "keys decide nothing while a note is written"
    );
    mia.press("\u{e00c}");
    press(&mia, "b", "r");
    wait_until("all is decided", PATIENCE, || {
        room.c.line("MODQ.LEN q").int() == 0
    });
    let events = format!("{:?}", room.c.line("XRANGE stream - +"));
    assert!(
        events.contains("remove: not ours")
            || events.contains("not ours") && events.contains("remove"),
        "{events}"
    );
    assert_eq!(
        mia.js(
            "return document.querySelector('input[name=note]').value",
            &[]
        ),
        ""
    );
    mia.wait_text("#panel-desk-head", "2 decided");
    noah.wait_text("#panel-desk-item", "Nothing for you right now");
}

#[test]
fn undo_brings_the_item_back() {
    let mut room = room(&["--undo", "5"]);
    room.c.line("MODQ.SUBMIT q a first");
    room.c.line("MODQ.SUBMIT q b second");
    let mia = sit(&room, "mia", "");
    press(&mia, "a", "r");
    mia.wait_text("#panel-desk-undo", "remove for a");
    mia.press("u");
    wait_until("it is back", PATIENCE, || item(&mia) == "a");
    assert_eq!(room.c.line("MODQ.LEN q LOCKED").int(), 2);
    // With the mouse.
    mia.click("form.acts button[value='verdict:keep']");
    wait_until("the next", PATIENCE, || item(&mia) == "b");
    mia.click("form.undo button");
    wait_until("it is back", PATIENCE, || item(&mia) == "a");
}

#[test]
fn a_lost_lock_is_an_alert_and_keys_can_be_turned_off() {
    let mut room = room(&["--undo", "0"]);
    room.c.line("MODQ.SUBMIT q a text");
    let mia = sit(&room, "mia", "");
    wait_until("the item is shown", PATIENCE, || item(&mia) == "a");
    // WCAG 2.1.4.
    mia.press("?");
    mia.wait_for("[data-toggle=keys][aria-pressed=false]");
    mia.press("r");
    mia.press("s");
    mia.press("?");
    mia.wait_for("[data-toggle=keys][aria-pressed=true]");
    assert_eq!(room.c.line("MODQ.GET q a").field("moderator").text(), "mia");
    let token = room.c.line("MODQ.GET q a").field("token").int();
    room.c.pipeline(&[
        format!("MODQ.RELEASE q a {token} SKIP"),
        "MODQ.ASSIGN q a zoe".to_owned(),
    ]);
    mia.wait_text("[role=alert]", "You no longer have a");
    mia.wait_text("#panel-desk-item", "Nothing for you right now");
    mia.press("r");
    assert_eq!(room.c.line("MODQ.GET q a").field("moderator").text(), "zoe");
    mia.click("#panel-desk-alert button");
    wait_until("it is put away", PATIENCE, || {
        mia.text("[role=alert]").is_empty()
    });
}

#[test]
fn a_server_that_dies_under_the_desk() {
    let mut room = room(&["--undo", "0"]);
    room.c.line("MODQ.SUBMIT q a text");
    let mia = sit(&room, "mia", "");
    wait_until("the item is shown", PATIENCE, || item(&mia) == "a");
    room.server.kill9();
    mia.wait_text("#panel-desk-head", "The server does not answer.");
    room.server.start_again();
    room.server.client().line("MODQ.SUBMIT q b text");
    // Its memory is gone with it: the lock is lost, the next item comes.
    mia.wait_text("[role=alert]", "You no longer have a");
    wait_until("the next item", PATIENCE, || item(&mia) == "b");
    press(&mia, "b", "k");
    let mut c = room.server.client();
    wait_until("it is decided", PATIENCE, || {
        c.line("MODQ.LEN q").int() == 0
    });
}

#[test]
fn the_time_left_is_right_where_the_clock_is_wrong() {
    let mut room = room(&[]);
    room.c.expect_ok("MODQ.CONFIGURE q LOCK 1200000");
    room.c.line("MODQ.SUBMIT q a text");
    let mia = signed_in(&room, "mia");
    mia.goto(&room.console.url(&format!("/desk/{}", b64("q"))));
    mia.click("form.card button.main");
    // The console writes 19 m, the script also the seconds.
    mia.wait_text("[data-until]", "19 m ");
    mia.js(
        "const right = Date.now; Date.now = () => right() - 3600000",
        &[],
    );
    // The next sign of the seat sets the clock.
    room.c.line("MODQ.SUBMIT q b text");
    room.c.line("MODQ.ASSIGN q b mia");
    mia.wait_text("article.item", "1 more in your hands");
    wait_until("the clock is right", PATIENCE, || {
        mia.text("[data-until]").starts_with("19 m ")
    });
}
