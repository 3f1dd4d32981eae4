//! What no request may do, whoever sends it.

use crate::kit::{Setup, b64};
use crate::{Room, room, room_with};
use modq_testkit::{Kind, PATIENCE, Server, wait_until};
use std::net::TcpStream;

#[test]
fn every_answer_has_the_headers() {
    let room = room();
    let mut mia = room.console.user("mia");
    for path in [
        "/",
        "/login",
        "/nowhere",
        "/healthz",
        "/metrics",
        &format!("/q/{}", b64("x")),
        "/q/!!",
        "/assets/x/console.css",
    ] {
        let answer = mia.get(path);
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        let kept = if path.starts_with("/assets") {
            "immutable"
        } else {
            "no-store"
        };
        assert!(
            answer.header("cache-control").contains(kept),
            "{path}: {}",
            answer.header("cache-control")
        );
    }
}

#[test]
fn only_names_it_answers_to() {
    let room = room_with(|setup| setup.arg(&["--allow-host", "desk.example.com"]));
    let asked = |host: &str| {
        room.console
            .visitor()
            .with("Host", host)
            .get("/login")
            .status
    };
    assert_eq!(
        [
            "127.0.0.1:1",
            "localhost",
            "[::1]:8377",
            "desk.example.com",
            "DESK.example.com:443"
        ]
        .map(asked),
        [200; 5]
    );
    // A name that somebody made to point here (DNS rebinding).
    assert_eq!(
        [
            "evil.example",
            "127.0.0.1.evil.example",
            "",
            "desk.example.com.evil.example"
        ]
        .map(asked),
        [421; 4]
    );
}

#[test]
fn changes_need_the_secret_and_come_from_our_own_pages() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text");
    let mut mia = room.console.user("mia");
    let csrf = mia.csrf();
    let path = format!("/q/{}/i/{}/do/cancel", b64("q"), b64("a"));
    mia.post(&path, &[]).expect(403).says("out of date");
    mia.post(&path, &[("csrf", "guess")]).expect(403);
    // The secret of somebody else.
    let other = room.console.user("noah").csrf();
    mia.post(&path, &[("csrf", &other)]).expect(403);
    let cookie = mia.cookie.clone();
    for (header, value) in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
    ] {
        let mut elsewhere = room.console.visitor().with(header, value);
        elsewhere.cookie = cookie.clone();
        elsewhere
            .post(&path, &[("csrf", &csrf)])
            .expect(403)
            .says("another site");
    }
    // Looking changes nothing.
    mia.get(&path).expect(200);
    mia.send("PUT", &path, Some("")).expect(405);
    assert_eq!(room.c.line("MODQ.LEN q").int(), 1);
    // As a browser on our own page sends it, also behind a proxy that ends TLS.
    let mut own = room.console.visitor().with(
        "Origin",
        &format!("https://127.0.0.1:{}", room.console.port),
    );
    own.cookie = cookie;
    own.post(&path, &[("csrf", &csrf)]).expect(303);
    assert_eq!(room.c.line("MODQ.LEN q").int(), 0);
}

/// All that can be posted, but for signing in and out.
fn actions(q: &str, i: &str) -> Vec<String> {
    let item = [
        "assign", "move", "update", "revive", "release", "cancel", "forget",
    ];
    let queue = ["pause", "unpause", "configure", "revive", "cancel"];
    let mut all: Vec<String> = item
        .iter()
        .map(|act| format!("/q/{q}/i/{i}/do/{act}"))
        .collect();
    all.extend(queue.iter().map(|act| format!("/q/{q}/do/{act}")));
    all.extend(["revive", "cancel"].map(|act| format!("/q/{q}/ask/{act}")));
    all.extend(["reset", "block", "end"].map(|act| format!("/limits/do/{act}")));
    all
}

fn desk_actions(q: &str) -> [String; 3] {
    ["join", "act", "leave"].map(|act| format!("/desk/{q}/{act}"))
}

/// Each action of the source is in the lists above.
#[test]
fn no_action_is_forgotten_here() {
    let source = modq_testkit::place::workspace().join("console/src/routes.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let posts = source.matches("post(").count();
    // With sign-in and sign-out; three of them hold several each.
    assert_eq!(posts, 2 + 3 + 4, "{source}");
}

fn writes(info: &str) -> Vec<String> {
    let of = [
        "modq.pause",
        "modq.unpause",
        "modq.cancel",
        "modq.join",
        "modq.leave",
        "modq.claim",
        "modq.assign",
        "modq.move",
        "modq.update",
        "modq.revive",
        "modq.release",
        "modq.forget",
        "modq.resolve",
        "modq.configure",
        "ratelimit.check",
        "ratelimit.reset",
        "ratelimit.block",
        "ratelimit.refund",
        "ratelimit.release",
        "xadd",
    ];
    info.lines()
        .filter(|l| of.iter().any(|w| l.starts_with(&format!("cmdstat_{w}:"))))
        .filter_map(|l| l.split(",usec").next().map(str::to_owned))
        .collect()
}

/// Tries all of it; answers with the form's own fields, the right secret and from the right place.
fn try_all(room: &mut Room, paths: &[String], words: &str) {
    let mut who = room.console.user("mia");
    let csrf = who.csrf();
    let (k, i) = (b64("limit"), b64("a"));
    let fields = [
        ("csrf", csrf.as_str()),
        ("side", "ALL"),
        ("all", "1"),
        ("item", &i),
        ("who", "zoe"),
        ("queue", "second"),
        ("priority", "1"),
        ("boost", "0"),
        ("lock", "1 m"),
        ("k", &k),
        ("for", "1 m"),
        ("act", "verdict:keep"),
    ];
    let before = writes(&room.c.line("INFO commandstats").text());
    for path in paths {
        who.post(path, &fields).expect(403).says(words);
        if path.contains("/do/") {
            who.get(path).expect(403).says(words);
        }
        // Who is not signed in is nobody.
        room.console.visitor().post(path, &fields).expect(401);
    }
    let after = writes(&room.c.line("INFO commandstats").text());
    let but_our_limit = |all: Vec<String>| -> Vec<String> {
        let ours = |l: &&String| !l.contains("ratelimit.check");
        all.iter().filter(ours).cloned().collect()
    };
    assert_eq!(but_our_limit(before), but_our_limit(after));
}

#[test]
fn roles_are_checked_at_each_action() {
    let (q, i) = (b64("q"), b64("a"));
    for role in ["viewer", "moderator"] {
        let mut room = room_with(|setup| setup.arg(&["--role", role]));
        room.c.line("MODQ.SUBMIT q a text");
        let mut paths = actions(&q, &i);
        try_all(&mut room, &paths, "This needs the role supervisor");
        let mut mia = room.console.user("mia");
        let page = mia.get(&format!("/q/{q}")).expect(200).lacks("Pause…");
        mia.get("/audit").expect(403);
        if role == "moderator" {
            page.says("Open the desk");
        } else {
            page.lacks("Open the desk");
            paths = desk_actions(&q).to_vec();
            try_all(&mut room, &paths, "This needs the role moderator");
            mia.get("/desk").expect(403);
            mia.get(&format!("/desk/{q}")).expect(403);
        }
    }
}

#[test]
fn read_only_changes_nothing_whatever_the_role() {
    let mut room = room_with(|setup| setup.arg(&["--read-only"]));
    room.c.line("MODQ.SUBMIT q a text");
    let before = writes(&room.c.line("INFO commandstats").text());
    let (q, i) = (b64("q"), b64("a"));
    let mut sue = room.console.user("sue");
    sue.get("/").expect(200).says("read-only").says("viewer");
    sue.get(&format!("/q/{q}"))
        .expect(200)
        .lacks("Pause…")
        .lacks("Open the desk");
    let mut paths = actions(&q, &i);
    paths.extend(desk_actions(&q));
    try_all(&mut room, &paths, "read-only");
    // Not even the count of those who sign in.
    assert_eq!(before, writes(&room.c.line("INFO commandstats").text()));
}

/// Each open page costs work with each tick: one session cannot have any number of them.
#[test]
fn open_pages_of_one_session_are_counted() {
    let room = room();
    let mut mia = room.console.user("mia");
    let status = |stream: &mut TcpStream| {
        let mut head = [0; 12];
        std::io::Read::read_exact(stream, &mut head).expect("an answer");
        String::from_utf8_lossy(&head[9..]).into_owned()
    };
    let mut open: Vec<_> = (0..64).map(|_| mia.stream("/")).collect();
    for stream in &mut open {
        assert_eq!(status(stream), "200");
    }
    assert_eq!(status(&mut mia.stream("/")), "429");
    // Others are not concerned, nor is any other request.
    assert_eq!(status(&mut room.console.user("noah").stream("/")), "200");
    mia.get("/").expect(200);
    open.clear();
    wait_until("they are given back", PATIENCE, || {
        status(&mut mia.stream("/")) == "200"
    });
}

#[test]
fn it_lives_below_a_path_whether_a_proxy_cuts_it_off_or_not() {
    let server = Server::start(Kind::Redis70);
    let console = Setup::of(&server).arg(&["--base", "/ops/modq"]).start();
    for prefix in ["/ops/modq", ""] {
        let mut visitor = console.visitor();
        let to = visitor
            .post(&format!("{prefix}/login"), &[("name", "mia")])
            .expect(303);
        assert_eq!(to.header("location"), "/ops/modq/");
        assert!(
            to.header("set-cookie").contains("Path=/ops/modq"),
            "{}",
            to.header("set-cookie")
        );
        let page = visitor
            .get(&format!("{prefix}/"))
            .expect(200)
            .says("href=\"/ops/modq/desk\"")
            .lacks("href=\"/desk\"");
        visitor.get(&format!("{prefix}/metrics")).expect(200);
        let css = page
            .body
            .split("stylesheet\" href=\"")
            .nth(1)
            .and_then(|r| r.split('"').next())
            .unwrap()
            .to_owned();
        assert!(css.starts_with("/ops/modq/assets/"), "{css}");
        visitor.get(&css).expect(200);
        visitor.get(css.trim_start_matches("/ops/modq")).expect(200);
    }
}

#[test]
fn numbers_and_bytes_of_an_address_do_no_harm() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text");
    let mut mia = room.console.user("mia");
    let q = b64("q");
    for path in [
        "/?page=99999999999999999999",
        "/?page=-1&sort=<script>",
        "/q/%00",
        "/q/%3Cscript%3E",
        "/b/AA?page=1e9",
        "/boards?node=18446744073709551615&cursor=x",
        &format!("/q/{q}/ready?cursor=0%20COUNT%20999999"),
        &format!("/q/{q}/nothing"),
        &format!("/q/{q}/i/%ff"),
        &format!("/q/{q}/i/{}?before=%3Cx", b64("a")),
        "/search?item=%3Cscript%3Ealert(1)%3C/script%3E",
        "/limits?key=k&limit=99999999999999999999%20per%201%20m",
        "/limits?key=k&limit=1%20per%20%3Cb%3E",
    ] {
        let answer = mia.get(path);
        assert!(
            [200, 400, 404, 409].contains(&answer.status),
            "{path}: {}",
            answer.status
        );
        assert!(
            !answer.body.contains("<script>") && !answer.body.contains("<b>x"),
            "{path}: {}",
            answer.body
        );
    }
}
