//! The desk, as its page and its forms show it. What keys and eyes see is in tests/browser.

use crate::kit::{Visitor, b64};
use crate::{Room, room_with};
use modq_testkit::{PATIENCE, cmd, wait_until};

fn desk() -> String {
    format!("/desk/{}", b64("q"))
}

/// Sits down and waits until the page has these words. The stream stays open: it is the sign that somebody is there.
fn sit(who: &mut Visitor, tags: &str) -> std::net::TcpStream {
    let csrf = who
        .get(&desk())
        .expect(200)
        .says("Sit down at")
        .field("csrf");
    who.post(
        &format!("{}/join", desk()),
        &[("csrf", &csrf), ("tags", tags)],
    )
    .expect(303);
    who.stream(&desk())
}

fn wait_says(who: &mut Visitor, words: &str) {
    let mut last = String::new();
    let mut look = || {
        last = who.get(&desk()).body;
        last.contains(words)
    };
    if !comes_true(&mut look) {
        panic!("never “{words}”, but:\n{last}");
    }
}

fn comes_true(look: &mut dyn FnMut() -> bool) -> bool {
    let start = std::time::Instant::now();
    while start.elapsed() < PATIENCE {
        if look() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    false
}

fn act(who: &mut Visitor, fields: &[(&str, &str)]) -> u16 {
    let csrf = who.get(&desk()).expect(200).field("csrf");
    let mut all = vec![("csrf", csrf.as_str())];
    all.extend(fields);
    who.post(&format!("{}/act", desk()), &all).status
}

fn quick() -> Room {
    room_with(|setup| setup.arg(&["--undo", "0"]))
}

#[test]
fn items_come_by_themselves_and_are_decided() {
    let mut room = quick();
    room.c.expect_ok("MODQ.CONFIGURE q EVENTS stream");
    let mut mia = room.console.user("mia");
    let _there = sit(&mut mia, "english");
    wait_says(&mut mia, "Nothing for you right now");
    wait_until("the console listens for her", PATIENCE, || {
        room.c.line("PUBSUB NUMSUB modq:{q}:mia")[1].int() == 1
    });
    assert_eq!(room.c.line("MODQ.WAITERS q")[0][0].text(), "mia");
    cmd!(
        room.c,
        "MODQ.SUBMIT",
        "q",
        "a",
        "Is this spam?",
        "TAGS",
        1,
        "english"
    );
    wait_says(&mut mia, "Is this spam?");
    let token = room.c.line("MODQ.GET q a").field("token").int();
    mia.get(&desk()).lacks(&token.to_string());
    assert_eq!(
        act(
            &mut mia,
            &[
                ("item", &b64("a")),
                ("act", "verdict:remove"),
                ("note", "clear case")
            ]
        ),
        303
    );
    wait_until("it is decided", PATIENCE, || {
        room.c.line("MODQ.LEN q").int() == 0
    });
    let events = format!("{:?}", room.c.line("XREVRANGE stream + - COUNT 1"));
    assert!(
        events.contains("remove") && events.contains("clear case"),
        "{events}"
    );
    wait_until("it is in the audit", PATIENCE, || {
        room.console.audit().contains("\"audit\":\"decide\"")
    });
    wait_says(&mut mia, "1 decided");
}

#[test]
fn a_decision_can_be_undone_until_it_is_sent() {
    let mut room = room_with(|setup| setup.arg(&["--undo", "5"]));
    room.c.line("MODQ.SUBMIT q a first");
    room.c.line("MODQ.SUBMIT q b second");
    let mut mia = room.console.user("mia");
    let _there = sit(&mut mia, "");
    wait_says(&mut mia, "first");
    act(&mut mia, &[("item", &b64("a")), ("act", "verdict:keep")]);
    // The next one is there meanwhile; a second click on the first does nothing.
    wait_says(&mut mia, "second");
    act(&mut mia, &[("item", &b64("a")), ("act", "verdict:keep")]);
    mia.get(&desk()).says("Undo");
    act(&mut mia, &[("act", "undo")]);
    wait_says(&mut mia, "data-item=\"YQ\"");
    assert_eq!(room.c.line("MODQ.LEN q LOCKED").int(), 2);
    // The next decision sends the one before at once.
    act(&mut mia, &[("item", &b64("a")), ("act", "verdict:keep")]);
    wait_says(&mut mia, "data-item=\"Yg\"");
    act(&mut mia, &[("item", &b64("b")), ("act", "verdict:keep")]);
    assert!(room.c.line("MODQ.GET q a").is_null());
    wait_until("the second is sent", PATIENCE, || {
        room.c.line("MODQ.LEN q").int() == 0
    });
}

#[test]
fn a_waiting_decision_is_sent_when_the_console_ends() {
    let mut room = room_with(|setup| setup.arg(&["--undo", "5"]));
    room.c.line("MODQ.SUBMIT q a text");
    let mut mia = room.console.user("mia");
    let there = sit(&mut mia, "");
    wait_says(&mut mia, "data-item");
    act(&mut mia, &[("item", &b64("a")), ("act", "verdict:keep")]);
    assert_eq!(room.c.line("MODQ.LEN q").int(), 1);
    drop(there);
    room.console.stop();
    assert_eq!(room.c.line("MODQ.LEN q").int(), 0);
}

#[test]
fn skip_and_give_back() {
    let mut room = quick();
    room.c.line("MODQ.SUBMIT q a text");
    let mut mia = room.console.user("mia");
    let _there = sit(&mut mia, "");
    wait_says(&mut mia, "data-item");
    act(&mut mia, &[("item", &b64("a")), ("act", "skip")]);
    wait_says(&mut mia, "Nothing for you right now");
    assert_eq!(
        room.c.line("MODQ.GET q a").field("excluded")[0].text(),
        "mia"
    );
    room.c.line("MODQ.SUBMIT q b text");
    wait_says(&mut mia, "data-item=\"Yg\"");
    let csrf = mia.csrf();
    mia.post(&format!("{}/leave", desk()), &[("csrf", &csrf)])
        .expect(303);
    assert_eq!(
        [
            room.c.line("MODQ.LEN q READY").int(),
            room.c.line("MODQ.LEN q LOCKED").int()
        ],
        [2, 0]
    );
    assert!(room.c.line("MODQ.WAITERS q").items().is_empty());
}

#[test]
fn nobody_decides_with_the_lock_of_another() {
    let mut room = quick();
    room.c.line("MODQ.SUBMIT q a text");
    room.c.line("MODQ.CLAIM q zoe");
    room.c.line("MODQ.SUBMIT q b text");
    let mut mia = room.console.user("mia");
    let _there = sit(&mut mia, "");
    wait_says(&mut mia, "data-item=\"Yg\"");
    for what in ["verdict:keep", "skip", "release", "verdict:unheard-of"] {
        act(&mut mia, &[("item", &b64("a")), ("act", what)]);
        mia.get("/").says("class=\"note bad\"");
    }
    assert_eq!(room.c.line("MODQ.GET q a").field("moderator").text(), "zoe");
    assert_eq!(room.c.line("MODQ.LEN q").int(), 2);
}

#[test]
fn a_lost_lock_is_told_and_its_decision_is_not_taken() {
    let mut room = quick();
    room.c.line("MODQ.SUBMIT q a text");
    let mut mia = room.console.user("mia");
    let _there = sit(&mut mia, "");
    wait_says(&mut mia, "data-item");
    let token = room.c.line("MODQ.GET q a").field("token").int();
    // A supervisor takes it back, and gives it to another.
    let taken = room.c.pipeline(&[
        format!("MODQ.RELEASE q a {token} SKIP"),
        "MODQ.ASSIGN q a zoe".to_owned(),
    ]);
    assert_eq!(taken[0], modq_testkit::ok());
    wait_says(&mut mia, "You no longer have a");
    act(&mut mia, &[("item", &b64("a")), ("act", "verdict:remove")]);
    assert_eq!(room.c.line("MODQ.GET q a").field("moderator").text(), "zoe");
    act(&mut mia, &[("act", "dismiss")]);
    mia.get(&desk()).lacks("You no longer have a");
}

#[test]
fn what_was_changed_under_review_is_shown_anew_and_not_decided() {
    let mut room = quick();
    room.c.line("MODQ.SUBMIT q a before");
    let mut mia = room.console.user("mia");
    let _there = sit(&mut mia, "");
    wait_says(&mut mia, "before");
    room.c.line("MODQ.UPDATE q a PAYLOAD after");
    act(&mut mia, &[("item", &b64("a")), ("act", "verdict:remove")]);
    wait_says(&mut mia, ">after<");
    assert_eq!(room.c.line("MODQ.LEN q LOCKED").int(), 1);
}

#[test]
fn locks_are_extended_while_somebody_is_there_and_not_for_a_forgotten_tab() {
    let mut room = room_with(|setup| setup.arg(&["--undo", "0", "--idle", "1"]));
    room.c.expect_ok("MODQ.CONFIGURE q LOCK 8000 EVENTS stream");
    room.c.line("MODQ.SUBMIT q a text");
    let mut mia = room.console.user("mia");
    let _there = sit(&mut mia, "");
    wait_says(&mut mia, "data-item");
    let csrf = mia.csrf();
    let extended = |c: &mut modq_testkit::Client| {
        format!("{:?}", c.line("XRANGE stream - +"))
            .matches("\"extend\"")
            .count()
    };
    wait_until("it is extended", PATIENCE, || {
        mia.post(
            &format!("{}/act", desk()),
            &[("csrf", &csrf), ("act", "here")],
        );
        extended(&mut room.c) > 0
    });
    // No sign of life from now on: the stream alone is none.
    wait_until("the lock lapses", PATIENCE, || {
        room.c.line("MODQ.LEN q LOCKED").int() == 0
    });
    mia.get(&desk()).expect(200).says("You seem to be away");
    wait_until("they are out of line", PATIENCE, || {
        room.c.line("MODQ.WAITERS q").items().is_empty()
    });
    assert_eq!(room.c.line("MODQ.LEN q READY").int(), 1);
    mia.post(
        &format!("{}/act", desk()),
        &[("csrf", &csrf), ("act", "here")],
    );
    wait_until("it comes again", PATIENCE, || {
        room.c.line("MODQ.LEN q LOCKED").int() == 1
    });
}

#[test]
fn what_others_think_is_not_shown() {
    let mut room = quick();
    room.c
        .line("MODQ.SUBMIT q a text EXCLUDE 1 bob TAGS 1 legal");
    let mut mia = room.console.user("mia");
    let _there = sit(&mut mia, "legal");
    wait_says(&mut mia, "data-item");
    mia.get(&desk()).lacks("bob");
}

#[test]
fn viewers_have_no_desk() {
    let room = room_with(|setup| setup.arg(&["--role", "viewer"]));
    let mut mia = room.console.user("mia");
    mia.get("/desk").expect(403);
    let csrf = mia.csrf();
    for path in ["join", "act", "leave"] {
        mia.post(
            &format!("{}/{path}", desk()),
            &[("csrf", &csrf), ("act", "here")],
        )
        .expect(403);
    }
}
