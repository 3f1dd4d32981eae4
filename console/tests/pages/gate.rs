//! What no request may do, whoever sends it.

use crate::kit::{Setup, b64};
use crate::{room, room_with};
use modq_testkit::{Kind, Server};

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
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
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

#[test]
fn roles_are_checked_at_each_action() {
    let mut room = room_with(|setup| setup.arg(&["--role", "moderator"]));
    room.c.line("MODQ.SUBMIT q a text");
    let mut mia = room.console.user("mia");
    let csrf = mia.csrf();
    let (q, i) = (b64("q"), b64("a"));
    let item = [
        "assign", "move", "update", "revive", "release", "cancel", "forget",
    ]
    .map(|act| format!("/q/{q}/i/{i}/do/{act}"));
    let queue =
        ["pause", "unpause", "configure", "revive", "cancel"].map(|act| format!("/q/{q}/do/{act}"));
    let limits = ["reset", "block", "end"].map(|act| format!("/limits/do/{act}"));
    for path in item.iter().chain(&queue).chain(&limits) {
        mia.get(path).expect(403);
        mia.post(path, &[("csrf", &csrf), ("side", "ALL"), ("all", "1")])
            .expect(403);
    }
    assert_eq!(room.c.line("MODQ.STATS q").field("paused").text(), "none");
    mia.get(&format!("/q/{q}"))
        .expect(200)
        .lacks("Pause…")
        .says("Open the desk");
}

#[test]
fn read_only_changes_nothing_whatever_the_role() {
    let mut room = room_with(|setup| setup.arg(&["--read-only"]));
    room.c.line("MODQ.SUBMIT q a text");
    let before = room.c.line("INFO commandstats").text();
    let mut sue = room.console.user("sue");
    let csrf = sue
        .get("/")
        .expect(200)
        .says("read-only")
        .says("viewer")
        .field("csrf");
    let q = b64("q");
    sue.get(&format!("/q/{q}"))
        .expect(200)
        .lacks("Pause…")
        .lacks("Open the desk");
    for path in [
        format!("/q/{q}/do/pause"),
        format!("/q/{q}/i/{}/do/cancel", b64("a")),
        format!("/desk/{q}/join"),
        "/limits/do/reset".into(),
    ] {
        sue.post(&path, &[("csrf", &csrf), ("side", "ALL")])
            .expect(403)
            .says("read-only");
    }
    let after = room.c.line("INFO commandstats").text();
    let writes = |info: &str| {
        info.lines()
            .filter(|l| {
                [
                    "pause",
                    "cancel",
                    "join",
                    "ratelimit.check",
                    "xadd",
                    "reset",
                ]
                .iter()
                .any(|w| l.contains(w))
            })
            .count()
    };
    assert_eq!(writes(&before), writes(&after), "{after}");
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
