//! Each page under axe-core, in both colours and on a phone. The engine is fetched by the set-up (scripts/setup.sh
//! --console) and is no part of the repository.

use crate::kit::{Browser, b64, room as furnished, tools};
use crate::{room, signed_in};
use serde_json::Value;

fn axe() -> String {
    let path = tools().join("axe.min.js");
    std::fs::read_to_string(&path).unwrap_or_else(|e| {
        panic!(
            "no {} ({e}); run: scripts/setup.sh --console",
            path.display()
        )
    })
}

/// What is wrong with the page that is open.
fn check(browser: &Browser, engine: &str, what: &str) -> Option<String> {
    browser.js(engine, &[]);
    browser.js("window.axeResult = null; axe.run(document, { resultTypes: ['violations'] }).then((r) => { window.axeResult = r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html).join(' | ')); }, (e) => { window.axeResult = ['' + e]; })", &[]);
    let mut found = Value::Null;
    modq_testkit::wait_until("axe is done", modq_testkit::PATIENCE, || {
        found = browser.js("return window.axeResult", &[]);
        !found.is_null()
    });
    (found != serde_json::json!([])).then(|| format!("{what}: {found:#}"))
}

#[test]
fn every_page_in_both_colours_and_on_a_phone() {
    let mut room = room(&[]);
    furnished::fill(&mut room.c);
    let engine = axe();
    let browser = signed_in(&room, "sue");
    let review = b64("review");
    let item = format!("/q/{review}/i/{}", b64("photo:5521"));
    let pages = [
        "/".to_owned(),
        format!("/q/{review}"),
        format!("/q/{review}/locked"),
        item.clone(),
        format!("/q/{}/dead", b64("images")),
        "/dead".into(),
        "/limits?key=user:42&policy=free".into(),
        "/limits?key=exports".into(),
        "/boards".into(),
        format!("/b/{}", b64("cup")),
        "/audit".into(),
        "/desk".into(),
        format!("/desk/{review}"),
        format!("{item}/do/cancel"),
        format!("/q/{review}/do/configure"),
        "/search?item=photo:5521".into(),
        "/nowhere".into(),
    ];
    let mut wrong = Vec::new();
    for theme in ["light", "dark"] {
        browser.js("localStorage.setItem('modq-theme', arguments[0])", &[theme]);
        for path in &pages {
            browser.goto(&room.console.url(path));
            wrong.extend(check(&browser, &engine, &format!("{path}, {theme}")));
        }
    }
    // With an item at the desk.
    browser.goto(&room.console.url(&format!("/desk/{review}")));
    browser.type_into("input[name=tags]", "english");
    browser.click("form.card button.main");
    browser.wait_for("article.item");
    wrong.extend(check(&browser, &engine, "the desk"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    browser.resize(500, 900);
    for path in &pages {
        browser.goto(&room.console.url(path));
        let wide = browser.js(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth",
            &[],
        );
        assert_eq!(wide, 0, "{path} is wider than a phone");
    }
}
