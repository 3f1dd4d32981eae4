//! What supervisors do to a queue: pause, unpause, configure, and bulk work on its dead letters.

use super::{Confirm, Done, Form, finish, guard, refusal};
use crate::app::App;
use crate::bytes::{decode, encode, short, shown};
use crate::db::Failure;
use crate::pages::parts::queue_path;
use crate::pages::queue::SETTINGS;
use crate::pages::{failed, missing};
use crate::security::User;
use crate::security::users::Role;
use crate::words::{count, parse_duration};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use std::sync::Arc;

/// Items that one bulk step takes; what is left goes with the next.
const CHUNK: usize = 500;
/// Items that one bulk action takes: then the page says how many are left.
const BULK: usize = 10_000;

/// A queue and an action, as an address names them.
type At = Path<(String, String)>;

const ACTS: [&str; 5] = ["pause", "unpause", "configure", "revive", "cancel"];

pub(crate) async fn ask(
    State(app): State<Arc<App>>,
    user: User,
    headers: HeaderMap,
    Path((key, act)): At,
) -> Response {
    let (Some(key), Some(act)) = (decode(&key), ACTS.iter().find(|known| **known == act)) else {
        return missing(&app, "There is no such action.");
    };
    if let Some(refused) = refusal(&app, &user, Role::Supervisor) {
        return refused;
    }
    if matches!(*act, "revive" | "cancel") {
        return ask_bulk(&app, &user, &headers, &key, act, &[]).await;
    }
    let name = short(&key, 60);
    let path = queue_path(&key);
    let confirm =
        |title: String, consequences: Vec<String>, fields: Markup, button, danger, back: String| {
            let to = format!("{path}/do/{act}");
            Confirm {
                title,
                consequences,
                fields,
                button,
                danger,
                to,
                back,
            }
            .show(&app, &user, &headers)
        };
    match *act {
        "pause" => confirm(format!("Pause {name}"), vec![
            "Paused for input, it refuses new items: producers get an error.".into(),
            "Paused for output, it hands out nothing. Locks run on, and what people hold they can still decide.".into(),
        ], sides(), "Pause", true, path.clone()),
        "unpause" => confirm(format!("Unpause {name}"), vec!["Who waits is matched with what is ready at once.".into()], sides(), "Unpause", false, path.clone()),
        _ => match app.db.config(&key).await {
            Ok(config) => confirm(format!("Settings of {name}"), vec![
                "New locks last as set here; locks there are keep their deadlines.".into(),
            ], settings_fields(&config), "Save", false, path.clone()),
            Err(failure) => failed(&app, &user, &failure),
        },
    }
}

/// The form for the dead items that were ticked. They come in a body, as a page of long ids makes an address that is too
/// long for browsers and proxies; nothing is changed yet.
pub(crate) async fn ask_ticked(
    State(app): State<Arc<App>>,
    user: User,
    headers: HeaderMap,
    Path((key, act)): At,
    form: Form,
) -> Response {
    let known = ["revive", "cancel"].into_iter().find(|known| *known == act);
    let (Some(key), Some(act)) = (decode(&key), known) else {
        return missing(&app, "There is no such action.");
    };
    if let Some(refused) = refusal(&app, &user, Role::Supervisor) {
        return refused;
    }
    let items: Vec<&str> = form.all("item").collect();
    if items.is_empty() {
        // Never all instead of none.
        user.session.note(false, "Nothing is ticked.");
        return Redirect::to(&app.link(&format!("{}/dead", queue_path(&key)))).into_response();
    }
    ask_bulk(&app, &user, &headers, &key, act, &items).await
}

/// Asks about these dead items, or about all if none is named.
async fn ask_bulk(
    app: &App,
    user: &User,
    headers: &HeaderMap,
    key: &[u8],
    act: &str,
    items: &[&str],
) -> Response {
    let dead = match app.db.stats(key).await {
        Ok(stats) => stats.dead,
        Err(failure) => return failed(app, user, &failure),
    };
    let (title, consequences, fields, button) = bulk_words(act, &short(key, 60), items, dead);
    Confirm {
        title,
        consequences,
        fields,
        button,
        danger: act == "cancel",
        to: bulk_path(key, act),
        back: format!("{}/dead", queue_path(key)),
    }
    .show(app, user, headers)
}

fn sides() -> Markup {
    html! {
        fieldset {
            legend { "Which side" }
            label.check { input type="radio" name="side" value="ALL" checked; " Both" }
            label.check { input type="radio" name="side" value="IN"; " Input: no new items" }
            label.check { input type="radio" name="side" value="OUT"; " Output: nothing is handed out" }
        }
    }
}

fn bulk_words(
    act: &str,
    queue: &str,
    items: &[&str],
    dead: i64,
) -> (String, Vec<String>, Markup, &'static str) {
    let all = items.is_empty();
    let n = if all {
        dead
    } else {
        i64::try_from(items.len()).unwrap_or(i64::MAX)
    };
    let what = count(n, "dead item");
    let fields = html! {
        @for item in items { input type="hidden" name="item" value=(item); }
        @if all { input type="hidden" name="all" value="1"; }
    };
    let limit = format!(
        "At most {} go at once; the page then says how many are left.",
        count(BULK as i64, "item")
    );
    let mut words = match act {
        "revive" => vec!["They are ready again, each in its own place by its age, so the oldest go to people first.".to_owned()],
        _ => vec!["They are removed without a decision. There is no way back.".to_owned()],
    };
    if all && n > BULK as i64 {
        words.push(limit);
    }
    match act {
        "revive" => (format!("Revive {what} of {queue}"), words, fields, "Revive"),
        _ => {
            let reason = html! { (fields) label { "Reason, for the audit" input name="reason" maxlength="1000" autocomplete="off"; } };
            (
                format!("Cancel {what} of {queue}"),
                words,
                reason,
                "Cancel them",
            )
        }
    }
}

/// Settings that are one number or duration here; the others take words.
fn settings_fields(config: &[(String, Vec<u8>)]) -> Markup {
    html! {
        @for (setting, value) in config {
            @let known = SETTINGS.iter().find(|(key, ..)| key == setting);
            @let value = String::from_utf8_lossy(value);
            @if let Some((_, words, ms)) = known {
                @let shown = match (ms, value.parse::<i64>()) { (true, Ok(n)) if n > 0 => exact(n), _ => value.to_string() };
                label { (words)
                    @if setting == "late" {
                        select name=(setting) {
                            option value="reject" selected[value == "reject"] { "refused" }
                            option value="accept" selected[value == "accept"] { "accepted while nobody else has the item" }
                        }
                    } @else {
                        input name=(setting) value=(shown) autocomplete="off" maxlength="512" placeholder=[ms.then_some("such as 5 m")];
                    }
                }
                input type="hidden" name=(format!("was-{setting}")) value=(shown);
            }
        }
    }
}

/// A duration that reads back as itself.
fn exact(ms: i64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ];
    let unit = units.iter().find(|(unit, _)| ms % unit == 0);
    unit.map_or_else(
        || format!("{ms} ms"),
        |(unit, name)| format!("{} {name}", ms / unit),
    )
}

pub(crate) async fn act(
    State(app): State<Arc<App>>,
    user: User,
    Path((key, act)): At,
    form: Form,
) -> Response {
    let (Some(key), Some(act)) = (decode(&key), ACTS.iter().find(|known| **known == act)) else {
        return missing(&app, "There is no such action.");
    };
    if let Err(refused) = guard(&app, &user, &form, Role::Supervisor).await {
        return refused;
    }
    let bulk = matches!(*act, "revive" | "cancel");
    let (outcome, detail) = match *act {
        "pause" | "unpause" => pause(&app, &key, *act == "pause", form.get("side")).await,
        "configure" => configure(&app, &key, &form).await,
        _ => in_bulk(&app, &user, &key, act, &form).await,
    };
    let action = match *act {
        "revive" => "revive-many",
        "cancel" => "cancel-many",
        other => other,
    };
    let path = queue_path(&key);
    let back = if bulk { format!("{path}/dead") } else { path };
    finish(
        &app,
        &user,
        Done {
            action,
            key: &key,
            item: b"",
            detail,
            back,
        },
        outcome,
    )
    .await
}

type Outcome = (Result<String, Failure>, String);

async fn pause(app: &App, key: &[u8], pause: bool, side: &str) -> Outcome {
    let side = match side {
        "IN" | "OUT" => side,
        _ => "ALL",
    };
    let done = app.db.pause(key, pause, side).await;
    let word = if pause { "paused" } else { "running" };
    let of = match side {
        "IN" => "Input",
        "OUT" => "Output",
        _ => "The queue",
    };
    (
        done.map(|()| format!("{of} is {word}.")),
        side.to_lowercase(),
    )
}

async fn configure(app: &App, key: &[u8], form: &Form) -> Outcome {
    let mut changes: Vec<(String, Vec<String>)> = Vec::new();
    for (setting, words, ms) in SETTINGS {
        let given = form.get(setting).trim();
        if !form.has(setting) || given == form.get(&format!("was-{setting}")) {
            continue;
        }
        let value = match (setting, ms) {
            ("quorum", _) => given.split("of").map(|w| w.trim().to_owned()).collect(),
            (_, true) => match parse_duration(given) {
                Some(n) => vec![n.to_string()],
                None => {
                    return (
                        Err(Failure::new(
                            "ERR",
                            format!("{words}: {given} is no duration such as 5 m"),
                        )),
                        String::new(),
                    );
                }
            },
            _ => vec![given.to_owned()],
        };
        changes.push((setting.to_owned(), value));
    }
    let detail = changes
        .iter()
        .map(|(name, value)| format!("{name} {}", shown(value.join(" ").as_bytes())))
        .collect::<Vec<_>>()
        .join(", ");
    if changes.is_empty() {
        return (Ok("Nothing was changed.".into()), detail);
    }
    let done = app.db.configure(key, &changes).await;
    (done.map(|()| "The settings are saved.".into()), detail)
}

/// Revives or cancels the items named, or all dead ones, in chunks; a repeated request goes on where this one ended.
async fn in_bulk(app: &App, user: &User, key: &[u8], act: &str, form: &Form) -> Outcome {
    let named: Vec<Vec<u8>> = form.all("item").filter_map(decode).collect();
    let all = form.has("all");
    let mut done = 0;
    let outcome = match (act, all) {
        ("revive", true) => revive_all(app, user, key, &mut done).await,
        ("revive", false) => revive_named(app, user, key, &named, &mut done).await,
        (_, true) => cancel_all(app, user, key, form.get("reason"), &mut done).await,
        (_, false) => cancel_named(app, user, key, &named, form.get("reason"), &mut done).await,
    };
    let word = if act == "revive" {
        "revived"
    } else {
        "cancelled"
    };
    let detail = format!(
        "{done} {word}{}{}",
        if all { " of all" } else { "" },
        reason(form)
    );
    let left = match app.db.stats(key).await {
        Ok(stats) if stats.dead > 0 => format!(" {} left.", count(stats.dead, "dead item")),
        _ => String::new(),
    };
    let so_far = format!("{} {word}.{left}", count(done, "item"));
    if outcome.is_err() && done > 0 {
        // Not all, but not nothing either.
        user.session.note(true, so_far.clone());
    }
    (outcome.map(|()| so_far), detail)
}

fn reason(form: &Form) -> String {
    match form.get("reason") {
        "" => String::new(),
        reason => format!(": {}", shown(reason.as_bytes())),
    }
}

async fn revive_all(app: &App, user: &User, key: &[u8], done: &mut i64) -> Result<(), Failure> {
    while *done < BULK as i64 {
        let n = app.db.revive_all(key, CHUNK as u32, user.name()).await?;
        *done += n;
        if n == 0 {
            break;
        }
    }
    Ok(())
}

async fn revive_named(
    app: &App,
    user: &User,
    key: &[u8],
    items: &[Vec<u8>],
    done: &mut i64,
) -> Result<(), Failure> {
    for chunk in items.chunks(CHUNK) {
        *done += app.db.revive(key, chunk, user.name()).await?;
    }
    Ok(())
}

async fn cancel_all(
    app: &App,
    user: &User,
    key: &[u8],
    reason: &str,
    done: &mut i64,
) -> Result<(), Failure> {
    while *done < BULK as i64 {
        let page = app.db.list(key, "DEAD", "0", CHUNK as u32).await?;
        let items: Vec<Vec<u8>> = page.rows.into_iter().map(|row| row.item).collect();
        let before = *done;
        cancel_named(app, user, key, &items, reason, done).await?;
        if *done == before {
            break;
        }
    }
    Ok(())
}

/// Only those that are still dead when their turn comes: another may have revived them, and somebody be at work on them.
async fn cancel_named(
    app: &App,
    user: &User,
    key: &[u8],
    items: &[Vec<u8>],
    reason: &str,
    done: &mut i64,
) -> Result<(), Failure> {
    for chunk in items.chunks(100) {
        let states =
            futures_util::future::join_all(chunk.iter().map(|item| app.db.item(key, item))).await;
        let mut cmds = Vec::new();
        for (item, state) in chunk.iter().zip(states) {
            if let Some(found) = state?.filter(|found| found.state == "dead") {
                cmds.push(
                    app.db
                        .cancel_command(key, item, found.rev, reason, user.name()),
                );
            }
        }
        for reply in app.db.call_many(cmds).await {
            *done += crate::db::int(&reply?);
        }
    }
    Ok(())
}

/// The address of the form for some dead items.
pub(crate) fn bulk_path(key: &[u8], act: &str) -> String {
    format!("/q/{}/do/{act}", encode(key))
}

/// Where the form for those ticked is asked for.
pub(crate) fn ask_path(key: &[u8], act: &str) -> String {
    format!("/q/{}/ask/{act}", encode(key))
}
