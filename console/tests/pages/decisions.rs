//! What newer modules can do (verdicts, votes, groups, records, BY): used where it is, and not missed where it is not. Each
//! test asks the server which of the two holds, and checks that.

use crate::kit::b64;
use crate::{Room, room_with};
use modq_testkit::{PATIENCE, cmd, wait_until};

fn quick() -> Room {
    room_with(|setup| setup.arg(&["--undo", "0"]))
}

/// Whether the module knows this option of a command.
fn knows(room: &mut Room, command: &str, option: &str) -> bool {
    let docs = room.c.line(&format!("COMMAND DOCS {command}"));
    format!("{docs:?}").contains(&format!("\"{option}\""))
}

fn sit(who: &mut crate::kit::Visitor, item: &str) -> std::net::TcpStream {
    let desk = format!("/desk/{}", b64("q"));
    let csrf = who.csrf();
    who.post(&format!("{desk}/join"), &[("csrf", &csrf)])
        .expect(303);
    let there = who.stream(&desk);
    wait_until("the item comes", PATIENCE, || {
        who.get(&desk)
            .body
            .contains(&format!("data-item=\"{}\"", b64(item)))
    });
    there
}

fn decide(who: &mut crate::kit::Visitor, item: &str, verdict: &str, also: bool) {
    let desk = format!("/desk/{}", b64("q"));
    let csrf = who.csrf();
    let (item, act) = (b64(item), format!("verdict:{verdict}"));
    let mut fields = vec![
        ("csrf", csrf.as_str()),
        ("item", item.as_str()),
        ("act", act.as_str()),
        ("note", "why"),
    ];
    if also {
        fields.push(("also", "1"));
    }
    who.post(&format!("{desk}/act"), &fields).expect(303);
}

fn events(room: &mut Room) -> String {
    format!("{:?}", room.c.line("XRANGE stream - +"))
}

#[test]
fn a_verdict_is_a_verdict_or_stands_in_the_decision() {
    let mut room = quick();
    room.c.expect_ok("MODQ.CONFIGURE q EVENTS stream");
    room.c.line("MODQ.SUBMIT q a text");
    let mut mia = room.console.user("mia");
    let _there = sit(&mut mia, "a");
    decide(&mut mia, "a", "remove", false);
    wait_until("it is decided", PATIENCE, || {
        room.c.line("MODQ.LEN q").int() == 0
    });
    let last = room.c.line("XREVRANGE stream + - COUNT 1")[0][1].clone();
    if knows(&mut room, "MODQ.RESOLVE", "VERDICT") {
        assert_eq!(
            [last.field("verdict").text(), last.field("decision").text()],
            ["remove", "why"]
        );
    } else {
        assert_eq!(last.field("decision").text(), "remove: why");
    }
}

#[test]
fn a_second_opinion_is_blind_and_told_as_a_vote() {
    let mut room = quick();
    if !knows(&mut room, "MODQ.SUBMIT", "QUORUM") {
        return;
    }
    room.c.line("MODQ.SUBMIT q a text QUORUM 2 3");
    let mut mia = room.console.user("mia");
    let there = sit(&mut mia, "a");
    decide(&mut mia, "a", "keep", false);
    let desk = format!("/desk/{}", b64("q"));
    wait_until("it is a vote", PATIENCE, || {
        mia.get(&desk)
            .body
            .contains("Your vote on a is counted; it needs more.")
    });
    drop(there);
    let mut noah = room.console.user("noah");
    let _there = sit(&mut noah, "a");
    noah.get(&desk).lacks("mia");
    // Supervisors see it.
    let item = format!("/q/{}/i/{}", b64("q"), b64("a"));
    room.console
        .user("sue")
        .get(&item)
        .expect(200)
        .says("2 equal verdicts of at most 3 votes")
        .says(">mia<")
        .says(">keep<");
    decide(&mut noah, "a", "keep", false);
    wait_until("it is decided", PATIENCE, || {
        room.c.line("MODQ.LEN q").int() == 0
    });
}

#[test]
fn moderators_see_no_votes_on_the_page_of_an_item() {
    let mut room = room_with(|setup| setup.arg(&["--role", "moderator"]));
    if !knows(&mut room, "MODQ.SUBMIT", "QUORUM") {
        return;
    }
    room.c.line("MODQ.CONFIGURE q EVENTS log");
    room.c.line("MODQ.SUBMIT q a text QUORUM 2 3");
    let token = room.c.line("MODQ.ASSIGN q a mia").int();
    cmd!(room.c, "MODQ.RESOLVE", "q", "a", token, "VERDICT", "keep");
    let item = format!("/q/{}/i/{}", b64("q"), b64("a"));
    room.console
        .user("noah")
        .get(&item)
        .expect(200)
        .says("2 equal verdicts of at most 3 votes")
        .says("Who decides does not see how others voted.")
        .says("submitted")
        .lacks(">mia<")
        .lacks(">keep<")
        .lacks(">voted<");
}

#[test]
fn an_appeal_is_blind_too_and_supervisors_see_who_decided() {
    for (role, sees) in [("moderator", false), ("supervisor", true)] {
        let mut room = room_with(|setup| setup.arg(&["--role", role]));
        if !knows(&mut room, "MODQ.SUBMIT", "ONDECIDED") {
            return;
        }
        room.c.line("MODQ.CONFIGURE q EVENTS log RETAIN 600000");
        room.c.line("MODQ.SUBMIT q a text");
        let token = room.c.line("MODQ.ASSIGN q a mia").int();
        cmd!(room.c, "MODQ.RESOLVE", "q", "a", token, "VERDICT", "remove");
        room.c.line("MODQ.SUBMIT q a text ONDECIDED APPEAL");
        let item = format!("/q/{}/i/{}", b64("q"), b64("a"));
        let page = room.console.user("noah").get(&item).expect(200);
        let page = page.says("submitted");
        assert_eq!(page.body.contains("An appeal; decided before by"), sees);
        assert_eq!(page.body.contains(">resolved<"), sees);
        assert_eq!(page.body.contains("deciders"), sees);
        assert_eq!(page.body.contains("verdict remove"), sees);
    }
}

#[test]
fn an_item_shows_the_others_of_its_group() {
    let mut room = quick();
    if !knows(&mut room, "MODQ.SUBMIT", "GROUP") {
        return;
    }
    for (item, group) in [("a", "ann"), ("b", "ann"), ("c", "bob")] {
        cmd!(room.c, "MODQ.SUBMIT", "q", item, "text", "GROUP", group);
    }
    let page = |item: &str| format!("/q/{}/i/{}", b64("q"), b64(item));
    let mut sue = room.console.user("sue");
    sue.get(&page("a"))
        .expect(200)
        .says("Group <span")
        .says(&format!("{}\"", page("b")))
        .lacks(&format!("{}\"", page("c")));
    sue.get(&page("c"))
        .expect(200)
        .says("No other item of the queue is of this group.");
}

#[test]
fn the_group_goes_the_same_way() {
    let mut room = quick();
    if !knows(&mut room, "MODQ.RESOLVE", "ALSO") || !knows(&mut room, "MODQ.SUBMIT", "GROUP") {
        return;
    }
    for item in ["a", "b", "c"] {
        cmd!(
            room.c,
            "MODQ.SUBMIT",
            "q",
            item,
            "text",
            "GROUP",
            "author <7>"
        );
    }
    room.c.line("MODQ.SUBMIT q d text");
    let mut mia = room.console.user("mia");
    let _there = sit(&mut mia, "a");
    let desk = format!("/desk/{}", b64("q"));
    wait_until("the group is shown", PATIENCE, || {
        mia.get(&desk)
            .body
            .contains("Decide the 2 of its group too")
    });
    mia.get(&desk)
        .says("author &lt;7&gt;")
        .says("2 other items");
    decide(&mut mia, "a", "remove", true);
    wait_until("all three are decided", PATIENCE, || {
        room.c.line("MODQ.LEN q").int() == 1
    });
    wait_until("it is told", PATIENCE, || {
        mia.get(&desk)
            .body
            .contains("2 of its group went the same way")
    });
}

#[test]
fn who_did_it_is_told_to_the_module_too() {
    let mut room = quick();
    room.c.expect_ok("MODQ.CONFIGURE q EVENTS stream");
    room.c.line("MODQ.SUBMIT q a text");
    let mut sue = room.console.user("sue");
    let to = |act: &str| format!("/q/{}/i/{}/do/{act}", b64("q"), b64("a"));
    sue.act(
        &to("update"),
        &[("priority", "3"), ("boost", "0"), ("tags", "")],
    )
    .says("is changed");
    sue.act(&to("assign"), &[("who", "mia")])
        .says("is with mia now");
    sue.act(&to("assign"), &[("who", "zoe")])
        .says("is with zoe now");
    sue.act(&to("cancel"), &[("reason", "a double")])
        .says("is cancelled");
    let all = events(&mut room);
    if knows(&mut room, "MODQ.CANCEL", "BY") {
        assert!(
            all.matches("\"by\"").count() >= 4 && all.contains("a double"),
            "{all}"
        );
    } else {
        assert!(!all.contains("\"by\""), "{all}");
    }
}

#[test]
fn a_remembered_decision_is_shown_and_can_be_forgotten() {
    let mut room = quick();
    if !knows(&mut room, "MODQ.CONFIGURE", "RETAIN")
        || room.c.line("COMMAND DOCS MODQ.DECIDED").items().is_empty()
    {
        return;
    }
    room.c.expect_ok("MODQ.CONFIGURE q RETAIN 3600000");
    room.c.line("MODQ.SUBMIT q a text");
    let token = room.c.line("MODQ.CLAIM q mia")[0][2].int();
    room.c
        .expect_ok(&format!("MODQ.RESOLVE q a {token} VERDICT keep"));
    let item = format!("/q/{}/i/{}", b64("q"), b64("a"));
    let mut sue = room.console.user("sue");
    sue.get(&item)
        .expect(200)
        .says("Decided")
        .says(">keep<")
        .says("mia");
    sue.act(&format!("{item}/do/forget"), &[])
        .says("The decision about a is forgotten.")
        .says("Not in this queue.");
    sue.act(
        &format!("/q/{}/do/configure", b64("q")),
        &[("retain", "2 h"), ("quorum", "2 of 3")],
    )
    .says("The settings are saved.")
    .says("2 of 3");
    sue.get("/metrics").expect(200);
    wait_until("histograms", PATIENCE, || {
        sue.get("/metrics")
            .body
            .contains("modq_wait_seconds_bucket{queue=\"q\",le=\"+Inf\"} 1")
    });
    sue.get("/metrics")
        .says("modq_handle_seconds_count{queue=\"q\"} 1")
        .says("modq_votes_total{queue=\"q\"} 0");
}
