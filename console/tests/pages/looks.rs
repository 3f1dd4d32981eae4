//! What each page says.

use crate::kit::http::read_until;
use crate::kit::{b64, room as furnished};
use crate::{room, room_with};
use modq_testkit::{PATIENCE, cmd, wait_until};

#[test]
fn queues_at_a_glance() {
    let mut room = room();
    furnished::fill(&mut room.c);
    let mut mia = room.console.user("mia");
    wait_until("the queues are found and asked", PATIENCE, || {
        let page = mia.get("/").body;
        page.contains("spam:fast-lane") && page.contains("class=\"num alarm\">3<")
    });
    let page = mia.get("/").expect(200);
    page.clone()
        .says(">review<")
        .says(">appeals<")
        .says(">images<")
        .says("paused: hands out nothing");
    // The dead of one queue, and of all.
    page.clone()
        .says("class=\"num alarm\">3<")
        .says("Timer lag");
    mia.get("/?q=spam")
        .expect(200)
        .says("fast-lane")
        .lacks(">review<")
        .says("1 of 4");
    mia.get("/?q=nothing")
        .expect(200)
        .says("No queue has this in its name.");
    // The largest first, then by name.
    let first = |page: &str, names: [&str; 2]| names.map(|n| page.find(&format!(">{n}<")).unwrap());
    let [review, appeals] = first(&mia.get("/?sort=ready").body, ["review", "appeals"]);
    assert!(review < appeals);
    let [review, appeals] = first(&mia.get("/?sort=name").body, ["review", "appeals"]);
    assert!(appeals < review);
}

#[test]
fn no_queues_yet_says_how_one_begins() {
    let room = room();
    let mut mia = room.console.user("mia");
    wait_until("all keys were looked at", PATIENCE, || {
        mia.get("/").body.contains("No queues yet")
    });
    mia.get("/").says("MODQ.SUBMIT review post:1");
    mia.get("/dead").expect(200).says("No queue has any.");
    mia.get("/boards").expect(200).says("There are no boards.");
    mia.get("/limits").expect(200).says("No policy is set.");
    mia.get("/desk")
        .expect(200)
        .says("There are no queues yet.");
}

#[test]
fn a_queue_tells_who_waits_who_holds_and_how_it_is_set_up() {
    let mut room = room();
    for line in [
        "MODQ.CONFIGURE q LOCK 120000 CAPACITY 3",
        "MODQ.SUBMIT q a text PRIORITY 5",
        "MODQ.SUBMIT q b text TAGS 1 legal PRIORITY 7",
        "MODQ.SUBMIT q c text",
        "MODQ.CLAIM q mia",
        "MODQ.JOIN q zoe TTL 3600000 TAGS 1 spanish COUNT 1",
        "MODQ.CLAIM q noah",
        "MODQ.JOIN q paul TTL 3600000 TAGS 1 spanish",
    ] {
        room.c.line(line);
    }
    let mut sue = room.console.user("sue");
    let path = format!("/q/{}", b64("q"));
    // Items and people wait, and none fits.
    wait_until("the figures are there", PATIENCE, || {
        sue.get(&path).body.contains("no match")
    });
    let page = sue.get(&path).expect(200);
    // Who holds what, who waits and what for.
    page.clone()
        .says(">a</a>")
        .says(">mia<")
        .says("spanish")
        .says("sign-up")
        .says(">paul<");
    page.clone()
        .says("A lock lasts")
        .says("<dd>2 m</dd>")
        .says("Most locks for one person");
    page.clone()
        .says(">legal<")
        .says("Pause…")
        .says("Settings…");
    // By priority.
    page.says("Ready by priority").says(">7<");
}

#[test]
fn lists_are_paged() {
    let mut room = room();
    for n in 0..250 {
        cmd!(room.c, "MODQ.SUBMIT", "q", format!("item-{n:03}"), "text");
    }
    let mut mia = room.console.user("mia");
    let first = mia
        .get(&format!("/q/{}/ready", b64("q")))
        .expect(200)
        .says("item-000")
        .says("item-099")
        .lacks("item-100");
    let next = first
        .body
        .split("rel=\"next\" href=\"")
        .nth(1)
        .and_then(|r| r.split('"').next())
        .expect("a next page")
        .to_owned();
    mia.get(&next)
        .expect(200)
        .says("item-100")
        .lacks("item-099");
    mia.get(&format!("/q/{}/locked", b64("q")))
        .expect(200)
        .says("There are none.");
}

#[test]
fn an_item_with_its_history_and_why_it_does_not_go_to_somebody() {
    let mut room = room();
    for line in [
        "MODQ.CONFIGURE q EVENTS stream",
        "MODQ.SUBMIT q a text TAGS 1 legal EXCLUDE 1 bob PRIORITY 3",
        "MODQ.CLAIM q mia TAGS 1 legal",
    ] {
        room.c.line(line);
    }
    let path = format!("/q/{}/i/{}", b64("q"), b64("a"));
    let mut sue = room.console.user("sue");
    sue.get(&path)
        .expect(200)
        .says("In review")
        .says(">mia<")
        .says("Hand over…")
        .says("submitted")
        .says("taken")
        .says(">bob<")
        .says(">legal<");
    let token = room.c.line("MODQ.GET q a").field("token").int();
    room.c.line(&format!("MODQ.RELEASE q a {token}"));
    sue.get(&path)
        .expect(200)
        .says("next to be claimed")
        .says("released");
    sue.get(&format!("{path}?who=zoe"))
        .expect(200)
        .says("They do not offer all of its tags");
    sue.get(&format!("{path}?who=bob&offers=legal"))
        .expect(200)
        .says("They are excluded from it");
    sue.get(&format!("{path}?who=zoe&offers=legal"))
        .expect(200)
        .says("Nothing stands in the way");
    room.c.line("MODQ.CANCEL q a");
    sue.get(&path)
        .expect(200)
        .says("Not in this queue.")
        .says("cancelled");
    room.c.line("MODQ.SUBMIT other a text");
    sue.get(&format!("/q/{}/i/{}", b64("other"), b64("a")))
        .expect(200)
        .says("This queue writes no event stream");
}

#[test]
fn a_long_stream_is_searched_in_parts_and_says_so() {
    let mut room = room();
    room.c
        .expect_ok("MODQ.CONFIGURE q EVENTS stream EVENTSMAXLEN 0");
    room.c.line("MODQ.SUBMIT q first text");
    let lines: Vec<String> = (0..1200)
        .map(|n| format!("MODQ.SUBMIT q other-{n} text"))
        .collect();
    room.c.pipeline(&lines);
    let mut sue = room.console.user("sue");
    let page = sue
        .get(&format!("/q/{}/i/{}", b64("q"), b64("first")))
        .expect(200);
    let page = page
        .says("Nothing about this item among the 1,000 entries searched")
        .says("Search further back");
    let further = page
        .body
        .split("<a href=\"")
        .find(|part| part.contains("Search further back"))
        .and_then(|p| p.split('"').next())
        .unwrap()
        .to_owned();
    sue.get(&further)
        .expect(200)
        .says("submitted")
        .lacks("Search further back");
}

#[test]
fn an_item_is_found_in_whatever_queue() {
    let mut room = room();
    for queue in ["one", "two", "three"] {
        cmd!(room.c, "MODQ.SUBMIT", queue, "only here", "text");
        if queue != "two" {
            room.c.line(&format!("MODQ.SUBMIT {queue} a text"));
        }
    }
    let mut mia = room.console.user("mia");
    wait_until("the queues are found", PATIENCE, || {
        mia.get("/").body.contains(">three<")
    });
    mia.get("/search?item=a")
        .expect(200)
        .says(">one<")
        .says(">three<")
        .lacks(">two<")
        .says("Searched 3 queues");
    mia.get("/search?item=only+here").expect(200).says(">two<");
    mia.get("/search?item=b")
        .expect(200)
        .says("No queue has an item of this id now");
    mia.get("/search?item=")
        .expect(200)
        .says("An id has 1 to 512 bytes");
}

#[test]
fn limits_and_leases() {
    let mut room = room();
    furnished::fill(&mut room.c);
    let mut sue = room.console.user("sue");
    let page = sue.get("/limits?key=user:42&policy=free").expect(200);
    page.says("10 per 1 m")
        .says(">3</td>")
        .says("100 per 1 h")
        .says("burst 20")
        .says("Reset…")
        .says("Block…");
    sue.get("/limits?key=user:42&limit=10+per+1+m")
        .expect(200)
        .says(">3</td>");
    sue.get("/limits?key=user:42&limit=often")
        .expect(200)
        .says("is no limit; it looks like");
    sue.get("/limits?key=user:42&policy=unknown")
        .expect(200)
        .says("There is no policy of that name");
    sue.get("/limits?key=exports")
        .expect(200)
        .says("job-17")
        .says("End…");
    sue.get("/limits?key=review")
        .expect(200)
        .says("holds a value of type modqqueue");
    sue.get("/limits?key=nobody")
        .expect(200)
        .says("it is not there");
}

#[test]
fn boards() {
    let mut room = room();
    furnished::fill(&mut room.c);
    let mut mia = room.console.user("mia");
    mia.get("/boards").expect(200).says(">cup<");
    mia.get("/boards?q=cu").expect(200).says(">cup<");
    mia.get("/boards?q=c*p").expect(200).lacks(">cup<");
    let path = format!("/b/{}", b64("cup"));
    mia.get(&path)
        .expect(200)
        .says(">ada<")
        .says("700")
        .says("who reached it first");
    mia.get(&format!("{path}?member=dee"))
        .expect(200)
        .says("class=\"chosen\"")
        .says(">430<");
    mia.get(&format!("{path}?member=nobody"))
        .expect(200)
        .says("This member is not on the board.");
    mia.get(&format!("/b/{}", b64("none")))
        .expect(200)
        .says("There is no board of this name.");
    mia.get(&format!("/b/{}", b64("review")))
        .expect(409)
        .says("The key holds something else.");
}

#[test]
fn an_id_is_found_as_pages_write_it() {
    let mut room = room();
    let ids: [&[u8]; 5] = [
        b"\xff\x00\xfe",
        b" lead",
        b"a\\b",
        b"tab\there",
        "x\u{202e}y".as_bytes(),
    ];
    for id in ids {
        room.c.cmd(&[b"MODQ.SUBMIT".as_slice(), b"q", id, b"text"]);
    }
    let mut mia = room.console.user("mia");
    wait_until("the queue is found", PATIENCE, || {
        mia.get("/").body.contains(">q<")
    });
    for (typed, id) in [
        ("%5Cxff%5Cu%7B0%7D%5Cxfe", ids[0]),
        ("+lead", ids[1]),
        ("a%5Cb", ids[2]),
        ("a%5C%5Cb", ids[2]),
        ("tab%5Cthere", ids[3]),
        ("x%5Cu%7B202e%7Dy+", ids[4]),
    ] {
        mia.get(&format!("/search?item={typed}"))
            .expect(200)
            .says(&format!("/q/{}/i/{}\"", b64("q"), b64(id)));
    }
    mia.get("/search?item=%5Cxzz")
        .expect(200)
        .says("No queue has");
}

/// Also the empty one is a name of a key.
#[test]
fn queues_of_any_name_can_be_opened() {
    let mut room = room();
    let long = [b'n'; 3000];
    let names: [&[u8]; 12] = [
        b"",
        b"a/b",
        b"..",
        b".",
        b"sp ace",
        b"100%",
        b"q?x=1",
        b"h#f",
        b"%2e%2e",
        b"\x00\r\n",
        b"\xff",
        &long,
    ];
    for name in names {
        room.c
            .cmd(&[b"MODQ.SUBMIT".as_slice(), name, b"a", b"text"]);
    }
    let mut sue = room.console.user("sue");
    wait_until("all are found", PATIENCE, || {
        sue.get("/").body.matches("<th scope=\"row\">").count() == names.len()
    });
    let page = sue.get("/").expect(200).says(">(empty)<").body;
    let links: Vec<&str> = page.split("<th scope=\"row\">").skip(1).collect();
    for link in links {
        let path = link
            .split("href=\"")
            .nth(1)
            .and_then(|l| l.split('"').next())
            .unwrap();
        sue.get(path)
            .expect(200)
            .says("Next to be claimed")
            .says(">a<");
        sue.get(&format!("{path}/ready")).expect(200).says(">a<");
        sue.get(&format!("{path}/i/{}", b64("a")))
            .expect(200)
            .says("Ready");
        sue.act(&format!("{path}/do/pause"), &[("side", "OUT")])
            .says("Output is paused.");
        sue.get(&path.replacen("/q/", "/desk/", 1))
            .expect(200)
            .says("Sit down at");
    }
}

/// Whatever stands in names, ids, tags and payloads is text on a page.
#[test]
fn hostile_bytes_are_shown_harmlessly() {
    let mut room = room_with(|setup| setup.arg(&["--image-url", "https://img.example/{item}?s=1"]));
    let script = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    let turned = "abc\u{202e}gpj.exe";
    let binary: &[u8] = b"\x00\xff\xfe<b>\x1b[2J";
    room.c.cmd(&[
        b"MODQ.SUBMIT".as_slice(),
        script.as_bytes(),
        script.as_bytes(),
        script.as_bytes(),
        b"TAGS",
        b"1",
        script.as_bytes(),
    ]);
    room.c
        .cmd(&[b"MODQ.SUBMIT".as_slice(), script.as_bytes(), binary, binary]);
    room.c.cmd(&[
        b"MODQ.SUBMIT".as_slice(),
        script.as_bytes(),
        turned.as_bytes(),
        turned.as_bytes(),
        b"TAGS",
        b"1",
        b"x",
    ]);
    room.c.cmd(&[
        b"MODQ.JOIN".as_slice(),
        script.as_bytes(),
        script.as_bytes(),
        b"TTL",
        b"3600000",
        b"TAGS",
        b"1",
        b"<i>",
    ]);
    room.c
        .cmd(&[b"RANK.ADD".as_slice(), script.as_bytes(), b"1", b"1"]);
    room.c
        .cmd(&[b"RANK.ADD".as_slice(), b"board", script.as_bytes(), b"1"]);
    let mut sue = room.console.visitor();
    sue.sign_in(script, "");
    wait_until("the queue is found", PATIENCE, || {
        sue.get("/").body.contains("&lt;script&gt;")
    });
    let q = b64(script);
    let item = |id: &[u8]| format!("/q/{q}/i/{}", b64(id));
    let mut paths = vec![
        "/".to_owned(),
        "/audit".into(),
        "/desk".into(),
        "/boards".into(),
        "/dead".into(),
        format!("/b/{}", b64("board")),
        format!("/b/{q}"),
        format!("/q/{q}"),
        format!("/q/{q}/ready"),
    ];
    paths.extend([
        format!("/desk/{q}"),
        format!("/q/{q}/do/configure"),
        format!("{}/do/update", item(script.as_bytes())),
        format!("{}/do/cancel", item(script.as_bytes())),
    ]);
    paths.extend([
        item(script.as_bytes()),
        item(binary),
        item(turned.as_bytes()),
        format!(
            "{}?who=%3Cscript%3E&offers=%3Cb%3E",
            item(turned.as_bytes())
        ),
    ]);
    for path in paths {
        let page = sue.get(&path);
        assert!([200, 409].contains(&page.status), "{path}: {}", page.status);
        assert!(
            !page.body.contains("<script>alert")
                && !page.body.contains("<img src=x")
                && !page.body.contains("<i>")
                && !page.body.contains('\u{202e}'),
            "{path}:\n{}",
            page.body
        );
    }
    sue.get(&item(turned.as_bytes()))
        .says("abc\\u{202e}gpj.exe");
    sue.get(&item(binary)).says("binary").says("00 ff fe");
    // The same in a stream.
    let mut stream = sue.stream(&format!("/q/{q}"));
    let event = read_until(&mut stream, "\n\n");
    assert!(!event.contains("<script>alert"), "{event}");
}

#[test]
fn a_huge_payload_is_cut_and_says_so() {
    let mut room = room();
    let huge = vec![b'x'; 1_000_000];
    room.c.cmd(&[b"MODQ.SUBMIT".as_slice(), b"q", b"a", &huge]);
    let page = room
        .console
        .user("mia")
        .get(&format!("/q/{}/i/{}", b64("q"), b64("a")))
        .expect(200)
        .says("976.6 KiB: the first 64.0 KiB are shown");
    assert!(page.body.len() < 100_000, "{}", page.body.len());
}

#[test]
fn an_open_page_is_sent_what_changes() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text");
    let mut mia = room.console.user("mia");
    let mut stream = mia.stream(&format!("/q/{}", b64("q")));
    let head = read_until(&mut stream, "\n\n");
    assert!(
        head.to_lowercase().contains("x-accel-buffering: no"),
        "{head}"
    );
    room.c.line("MODQ.CLAIM q zoe");
    read_until(&mut stream, "zoe");
}
