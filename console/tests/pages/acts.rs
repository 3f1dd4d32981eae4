//! What each action does, and what it says when it cannot.

use crate::kit::{Visitor, b64};
use crate::room;
use modq_testkit::{PATIENCE, cmd, wait_until};

fn item(act: &str) -> String {
    format!("/q/{}/i/{}/do/{act}", b64("q"), b64("a"))
}

#[test]
fn assign_and_hand_over() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text TAGS 1 legal");
    let mut sue = room.console.user("sue");
    sue.get(&item("assign"))
        .expect(200)
        .says("whatever their tags");
    sue.act(&item("assign"), &[("who", "mia")])
        .says("a is with mia now.");
    assert_eq!(room.c.line("MODQ.GET q a").field("moderator").text(), "mia");
    sue.get(&item("assign"))
        .expect(200)
        .says("mia loses the lock");
    sue.act(&item("assign"), &[("who", "zoe")])
        .says("a is with zoe now.");
    assert_eq!(room.c.line("MODQ.GET q a").field("moderator").text(), "zoe");
    sue.act(&item("release"), &[])
        .says("a is back in its place.");
    room.c.line("MODQ.UPDATE q a EXCLUDE 1 zoe");
    sue.act(&item("assign"), &[("who", "zoe")])
        .says("Not done. This moderator is excluded from the item.");
    wait_until("it is in the audit", PATIENCE, || {
        room.console.audit().contains("EXCLUDED")
    });
    let audit = room.console.audit();
    for part in [
        "\"audit\":\"assign\"",
        "\"who\":\"sue\"",
        "\"detail\":\"to mia\"",
        "\"result\":\"EXCLUDED\"",
        "\"from\":\"127.0.0.1\"",
    ] {
        assert!(audit.contains(part), "{part} in {audit}");
    }
    sue.get("/audit")
        .expect(200)
        .says(">assign<")
        .says("to mia")
        .says("EXCLUDED");
}

/// The question named who loses the lock: nobody else does.
#[test]
fn nobody_loses_a_lock_that_the_question_did_not_name() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text");
    room.c.line("MODQ.ASSIGN q a mia");
    let mut sue = room.console.user("sue");
    let token = |room: &mut crate::Room| room.c.line("MODQ.GET q a").field("token").int();
    for (act, fields) in [
        ("release", ("", "")),
        ("assign", ("who", "zoe")),
        ("move", ("queue", "second")),
        ("cancel", ("reason", "")),
    ] {
        let form = sue.get(&item(act)).expect(200).says("mia");
        let live = token(&mut room);
        room.c.expect_ok(&format!("MODQ.RELEASE q a {live}"));
        room.c.line("MODQ.ASSIGN q a noah");
        sue.confirm(&form, &item(act), &[fields])
            .says("Not done. The item was changed in the meantime.")
            .says("it is with noah now");
        assert_eq!(
            room.c.line("MODQ.GET q a").field("moderator").text(),
            "noah"
        );
        let live = token(&mut room);
        room.c.expect_ok(&format!("MODQ.RELEASE q a {live}"));
        let form = sue.get(&item("assign")).expect(200);
        room.c.line("MODQ.ASSIGN q a mia");
        sue.confirm(&form, &item("assign"), &[("who", "zoe")])
            .says("it is with mia now");
    }
}

#[test]
fn move_to_another_queue_with_its_lock() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text");
    room.c.line("MODQ.CLAIM q mia");
    let mut sue = room.console.user("sue");
    sue.get(&item("move"))
        .expect(200)
        .says("mia loses the lock");
    sue.act(&item("move"), &[("queue", "second")])
        .says("a is in second now.");
    assert_eq!(
        [
            room.c.line("MODQ.LEN q").int(),
            room.c.line("MODQ.LEN second READY").int()
        ],
        [0, 1]
    );
}

#[test]
fn change_and_refuse_what_was_changed_since() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text TAGS 1 x EXCLUDE 1 bob");
    let mut sue = room.console.user("sue");
    sue.act(
        &item("update"),
        &[
            ("priority", "7"),
            ("boost", "1000"),
            ("tags", "legal, two words"),
            ("clear", "1"),
        ],
    )
    .says("a is changed: revision 2.");
    let now = room.c.line("MODQ.GET q a");
    assert_eq!(
        (
            now.field("priority").int(),
            now.field("boost").int(),
            now.field("excluded").items().len()
        ),
        (7, 1000, 0)
    );
    assert_eq!(
        now.field("tags")
            .items()
            .iter()
            .map(|t| t.text())
            .collect::<Vec<_>>(),
        ["legal", "two words"]
    );
    sue.act(
        &item("update"),
        &[
            ("rev", "1"),
            ("priority", "9"),
            ("boost", "0"),
            ("tags", ""),
        ],
    )
    .says("Not done. The item was changed in the meantime.");
    sue.act(&item("update"), &[("priority", "much"), ("boost", "0")])
        .says("priority is no number");
    assert_eq!(room.c.line("MODQ.GET q a").field("priority").int(), 7);
}

#[test]
fn cancel_only_what_was_seen() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text");
    let mut sue = room.console.user("sue");
    sue.get(&item("cancel"))
        .expect(200)
        .says("There is no way back");
    // Somebody reports it again between the question and the answer.
    let csrf = sue.csrf();
    room.c.line("MODQ.SUBMIT q a text PRIORITY 9 ONDUP BUMP");
    sue.post(&item("cancel"), &[("csrf", &csrf), ("rev", "1")])
        .expect(303);
    sue.get("/").says("Not done.");
    assert_eq!(room.c.line("MODQ.LEN q").int(), 1);
    sue.act(&item("cancel"), &[("reason", "a test <b>")])
        .says("a is cancelled.");
    assert_eq!(room.c.line("MODQ.LEN q").int(), 0);
    wait_until("it is in the audit", PATIENCE, || {
        room.console.audit().contains("a test <b>")
    });
    sue.get("/audit").says("a test &lt;b&gt;");
    sue.get(&item("cancel"))
        .expect(404)
        .says("no longer in the queue");
}

#[test]
fn pause_and_settings() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text");
    let mut sue = room.console.user("sue");
    let q = b64("q");
    let paused = |c: &mut modq_testkit::Client| c.line("MODQ.STATS q").field("paused").text();
    // The page that an action leads to shows what came of it, though the sampler has older figures.
    wait_until("the sampler has figures", PATIENCE, || {
        sue.get("/metrics").body.contains("{queue=\"q\"")
    });
    sue.act(&format!("/q/{q}/do/pause"), &[("side", "OUT")])
        .says("Output is paused.")
        .says("paused: hands out nothing");
    assert_eq!(paused(&mut room.c), "out");
    sue.act(&format!("/q/{q}/do/unpause"), &[("side", "ALL")])
        .says("The queue is running.")
        .lacks("paused: hands out nothing");
    assert_eq!(paused(&mut room.c), "none");
    let form = format!("/q/{q}/do/configure");
    sue.get(&form).expect(200).says("value=\"5 m\"");
    sue.act(
        &form,
        &[
            ("lock", "90 s"),
            ("capacity", "4"),
            ("late", "accept"),
            ("events", ""),
        ],
    )
    .says("The settings are saved.");
    let now = room.c.line("MODQ.CONFIG q");
    assert_eq!(
        (
            now.field("lock").int(),
            now.field("capacity").int(),
            now.field("late").text()
        ),
        (90_000, 4, "accept".into())
    );
    sue.act(&form, &[("lock", "soon")]).says("is no duration");
    sue.act(&form, &[("capacity", "-1")]).says("Not done.");
    sue.act(&form, &[]).says("Nothing was changed.");
    wait_until("it is in the audit", PATIENCE, || {
        room.console
            .audit()
            .contains("lock 90000, capacity 4, late accept")
    });
}

/// A page of the longest ids there are, and ids that look like options of a command.
#[test]
fn dead_letters_of_any_id() {
    let mut room = room();
    room.c.expect_ok("MODQ.CONFIGURE q MAXEXPIRIES 1");
    let mut ids: Vec<Vec<u8>> = ["ALL", "COUNT", "1", "BY"].map(|id| id.into()).to_vec();
    ids.extend((ids.len()..100).map(|n| {
        let mut id = vec![0xff; 512];
        id[0] = u8::try_from(n).unwrap();
        id
    }));
    ids.iter().for_each(|id| {
        room.c.cmd(&[b"MODQ.SUBMIT".as_slice(), b"q", id, b"text"]);
    });
    room.c.line("MODQ.CLAIM q mia COUNT 100 LOCK 1");
    wait_until("they are dead", PATIENCE, || {
        room.c.line("MODQ.LEN q DEAD").int() == 100
    });
    let mut sue = room.console.user("sue");
    let q = b64("q");
    let ticked = |ids: &[Vec<u8>]| -> Vec<(&str, String)> {
        ids.iter().map(|id| ("item", b64(id))).collect()
    };
    for (some, words) in [
        (&ids[..3], "3 items revived. 97 dead items left."),
        (&ids[3..], "97 items revived."),
    ] {
        let fields = ticked(some);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let form = sue.post(&format!("/q/{q}/ask/revive"), &fields).expect(200);
        sue.confirm(&form, &format!("/q/{q}/do/revive"), &[])
            .says(words);
    }
}

#[test]
fn dead_letters_one_some_and_all() {
    let mut room = room();
    room.c.expect_ok("MODQ.CONFIGURE q MAXEXPIRIES 1");
    for n in 0..1200 {
        cmd!(
            room.c,
            "MODQ.SUBMIT",
            "q",
            format!("item-{n:04}"),
            format!("text {n}")
        );
    }
    room.c.line("MODQ.CLAIM q mia COUNT 1000 LOCK 1");
    room.c.line("MODQ.CLAIM q noah COUNT 1000 LOCK 1");
    wait_until("they are dead", PATIENCE, || {
        room.c.line("MODQ.LEN q DEAD").int() == 1200
    });
    let mut sue = room.console.user("sue");
    let q = b64("q");
    wait_until("the queue is found", PATIENCE, || {
        sue.get("/dead").body.contains("Revive all…")
    });
    sue.get(&format!("/q/{q}/dead"))
        .expect(200)
        .says("item-0000")
        .says("1 lapsed lock")
        .says("text 0")
        .says("Next page");
    sue.act(&format!("/q/{q}/i/{}/do/revive", b64("item-0000")), &[])
        .says("item-0000 is ready again.");
    let tick = |sue: &mut Visitor, act: &str, ids: &[&str]| {
        let ids: Vec<String> = ids.iter().map(b64).collect();
        let fields: Vec<(&str, &str)> = ids.iter().map(|id| ("item", id.as_str())).collect();
        sue.post(&format!("/q/{q}/ask/{act}"), &fields)
    };
    let form = tick(&mut sue, "cancel", &["item-0001", "item-0002"]).expect(200);
    let form = form.says("Cancel 2 dead items of q");
    sue.confirm(&form, &format!("/q/{q}/do/cancel"), &[("reason", "old")])
        .says("2 items cancelled. 1,197 dead items left.");
    let form = tick(&mut sue, "revive", &["item-0003", "gone"]).expect(200);
    sue.confirm(&form, &format!("/q/{q}/do/revive"), &[])
        .says("1 item revived. 1,196 dead items left.");
    // None ticked is none, not all.
    tick(&mut sue, "cancel", &[]).expect(303);
    sue.get(&format!("/q/{q}/dead")).says("Nothing is ticked.");
    sue.post(&format!("/q/{q}/ask/pause"), &[("item", "x")])
        .expect(404);
    sue.act(&format!("/q/{q}/do/revive"), &[])
        .says("1,196 items revived.")
        .says("There are none.");
    assert_eq!(
        [
            room.c.line("MODQ.LEN q READY").int(),
            room.c.line("MODQ.LEN q DEAD").int()
        ],
        [1198, 0]
    );
    // What is alive is never cancelled by a form about the dead.
    let csrf = sue.csrf();
    sue.post(
        &format!("/q/{q}/do/cancel"),
        &[("csrf", &csrf), ("item", &b64("item-0003"))],
    )
    .expect(303);
    sue.post(
        &format!("/q/{q}/do/cancel"),
        &[("csrf", &csrf), ("all", "1")],
    )
    .expect(303);
    assert_eq!(room.c.line("MODQ.LEN q READY").int(), 1198);
}

#[test]
fn limits_reset_block_and_leases() {
    let mut room = room();
    let check = |c: &mut modq_testkit::Client| c.line("RATELIMIT.PEEK user:42 1 600000")[0].int();
    room.c.line("RATELIMIT.CHECK user:42 1 600000");
    let mut sue = room.console.user("sue");
    let k = b64("user:42");
    assert_eq!(check(&mut room.c), 0);
    sue.act(&format!("/limits/do/reset?k={k}"), &[])
        .says("The limit starts anew.");
    assert_eq!(check(&mut room.c), 1);
    sue.act(&format!("/limits/do/block?k={k}"), &[("for", "10 m")])
        .says("Blocked for 10 m.");
    sue.get("/limits?key=user:42&limit=1+per+10+m")
        .says("Denies everything now");
    assert_eq!(check(&mut room.c), 0);
    sue.act(&format!("/limits/do/block?k={k}"), &[("for", "0")])
        .says("The block is lifted.");
    sue.act(&format!("/limits/do/block?k={k}"), &[("for", "-5")])
        .says("no duration");
    room.c.line("RATELIMIT.ACQUIRE exports 4 job TTL 600000");
    let end = format!("/limits/do/end?k={}&id={}", b64("exports"), b64("job"));
    sue.act(&end, &[]).says("The lease is over.");
}

#[test]
fn a_stream_keeps_the_audit_if_one_is_named() {
    let mut room = crate::room_with(|setup| setup.arg(&["--audit-stream", "console:audit"]));
    room.c.line("MODQ.SUBMIT q a text");
    room.console
        .user("sue")
        .act(&item("cancel"), &[("reason", "spam")])
        .says("a is cancelled.");
    let entries = room.c.line("XRANGE console:audit - +");
    let all: Vec<String> = entries
        .items()
        .iter()
        .map(|e| format!("{:?}", e[1]))
        .collect();
    assert_eq!(all.len(), 2, "{all:?}");
    let last = &entries[1][1];
    for (name, value) in [
        ("who", "sue"),
        ("action", "cancel"),
        ("key", "q"),
        ("item", "a"),
        ("detail", "spam"),
        ("result", "ok"),
    ] {
        assert_eq!(last.field(name).text(), value, "{last:?}");
    }
}

#[test]
fn too_many_actions_are_held_up() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text");
    let mut sue = room.console.user("sue");
    let csrf = sue.csrf();
    cmd!(
        room.c,
        "RATELIMIT.BLOCK",
        "modq:console:actions:sue",
        60_000
    );
    sue.post(&item("cancel"), &[("csrf", &csrf)])
        .expect(429)
        .says("Try again in");
    assert_eq!(room.c.line("MODQ.LEN q").int(), 1);
}
