//! Hostile bytes in a browser that would run them, and a page that asks nobody else.

use crate::kit::{Browser, b64, room as furnished};
use crate::{room, signed_in};
use modq_testkit::{PATIENCE, wait_until};

/// Sets a mark if any of it is run.
const SCRIPT: &str = "<script>window.ran=1</script><img src=x onerror=\"window.ran=1\"><svg onload=window.ran=1>\"'><a href=javascript:window.ran=1>";

fn nothing_ran(browser: &Browser) {
    assert_eq!(
        browser.js("return window.ran === undefined", &[]),
        true,
        "it ran on {}",
        browser.address()
    );
    assert!(!browser.has_alert());
}

#[test]
fn nothing_that_users_sent_is_run() {
    let mut room = room(&["--undo", "0"]);
    let s = SCRIPT.as_bytes();
    room.c
        .cmd(&[b"MODQ.CONFIGURE".as_slice(), s, b"EVENTS", b"stream"]);
    room.c.cmd(&[
        b"MODQ.SUBMIT".as_slice(),
        s,
        s,
        s,
        b"TAGS",
        b"1",
        &s[..s.len().min(255)],
        b"EXCLUDE",
        b"1",
        s,
    ]);
    room.c.cmd(&[
        b"MODQ.SUBMIT".as_slice(),
        s,
        b"{\"a\":1}",
        b"{\"<script>window.ran=1</script>\":[\"</pre><script>window.ran=1</script>\"]}",
    ]);
    room.c
        .cmd(&[b"MODQ.JOIN".as_slice(), s, s, b"TTL", b"3600000"]);
    room.c
        .cmd(&[b"RATELIMIT.POLICY".as_slice(), b"SET", s, b"1", b"1000"]);
    let browser = signed_in(&room, "mia\"><script>window.ran=1</script>");
    browser.wait_text("#panel-queues", "<script>");
    let q = b64(s);
    let item = format!("/q/{q}/i/{}", b64(s));
    for path in [
        "/".to_owned(),
        format!("/q/{q}"),
        item.clone(),
        format!("/q/{q}/ready"),
        "/limits".into(),
        "/audit".into(),
        format!("/search?item={}", b64("x")),
    ] {
        browser.goto(&room.console.url(&path));
        nothing_ran(&browser);
    }
    // In a dialog, and brought by the stream.
    browser.goto(&room.console.url(&item));
    browser.click("a[data-dialog].danger");
    browser.wait_for("dialog[open]");
    nothing_ran(&browser);
    room.c.cmd(&[
        b"MODQ.SUBMIT".as_slice(),
        s,
        b"<script>window.ran=1</script>",
        s,
    ]);
    browser.goto(&room.console.url(&format!("/desk/{q}")));
    browser.click("form.card button.main");
    browser.wait_for("article.item");
    browser.wait_text("article.item", "<script>");
    nothing_ran(&browser);
}

#[test]
fn no_page_asks_another_host() {
    let mut room = room(&[]);
    furnished::fill(&mut room.c);
    let browser = signed_in(&room, "sue");
    for path in [
        "/".to_owned(),
        format!("/q/{}", b64("review")),
        "/dead".into(),
        "/limits".into(),
        "/boards".into(),
        "/desk".into(),
    ] {
        browser.goto(&room.console.url(&path));
        let asked = "return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith(location.origin))";
        assert_eq!(browser.js(asked, &[]), serde_json::json!([]), "{path}");
        // Nothing is refused by our own policy either: no inline style, no inline script.
        let inline = "return document.querySelectorAll('[style], script:not([src]), [onclick], [onload]').length";
        assert_eq!(browser.js(inline, &[]), 0, "{path}");
    }
}

#[test]
fn a_huge_and_a_binary_payload_do_not_stop_the_desk() {
    let mut room = room(&["--undo", "0"]);
    room.c.cmd(&[
        b"MODQ.SUBMIT".as_slice(),
        b"q",
        b"huge",
        &vec![b'<'; 1_000_000],
    ]);
    let every: Vec<u8> = (0..=255).collect();
    room.c
        .cmd(&[b"MODQ.SUBMIT".as_slice(), b"q", &every, &every]);
    let mia = signed_in(&room, "mia");
    mia.goto(&room.console.url(&format!("/desk/{}", b64("q"))));
    mia.click("form.card button.main");
    mia.wait_text("article.item", "the first 64.0 KiB are shown");
    mia.click("form.acts button[value='verdict:remove']");
    mia.wait_text("article.item", "binary, 256 B");
    mia.click("form.acts button[value='verdict:remove']");
    wait_until("both are decided", PATIENCE, || {
        room.c.line("MODQ.LEN q").int() == 0
    });
}

/// Where there is no HTTPS, and not on loopback, browsers say less about where a request comes from: our own pages must
/// work there too, and those of others not.
#[test]
fn by_plain_http_under_another_name() {
    let server = modq_testkit::Server::start(modq_testkit::Kind::Redis70);
    let mut c = server.client();
    c.line("MODQ.SUBMIT q a text");
    let console = crate::Setup::of(&server)
        .arg(&["--allow-host", "console.test", "--undo", "0"])
        .env("MODQ_CONSOLE_PASSWORD", "secret")
        .start();
    let url = |path: &str| format!("http://console.test:{}{path}", console.port);
    let browser = Browser::open(1280, 900);
    browser.goto(&url("/"));
    browser.type_into("input[name=name]", "sue");
    browser.type_into("input[name=password]", "secret");
    browser.click("form.card button");
    browser.wait_for(".me");
    browser.goto(&url(&format!("/q/{}", b64("q"))));
    browser.click("a[data-dialog]");
    browser.wait_for("dialog[open]");
    browser.click("dialog button.main");
    browser.wait_text(".note", "The queue is paused.");
    c.expect_ok("MODQ.UNPAUSE q");
    browser.goto(&url(&format!("/desk/{}", b64("q"))));
    browser.click("form.card button.main");
    browser.wait_for("article.item");
    browser.click("form.acts button[value='verdict:remove']");
    wait_until("it is decided", PATIENCE, || {
        c.line("MODQ.LEN q").int() == 0
    });
    // The same form on a page of somebody else.
    browser.goto("data:text/html,<p>elsewhere");
    let post = "const f = document.createElement('form'); f.method = 'post'; f.action = arguments[0]; document.body.append(f); f.submit()";
    browser.js(post, &[&url("/login")]);
    browser.wait_text("body", "another site");
}
