//! The items of a queue in one state, page by page.

use super::parts::{item_link, nothing, queue_link, queue_path};
use super::queue::held_table;
use super::{Place, failed, missing, still};
use crate::app::App;
use crate::bytes::{decode, short, shown};
use crate::db::{Page, Row};
use crate::security::User;
use crate::words::{duration, now_ms, number};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// Where a page of a list begins.
#[derive(Deserialize)]
pub(crate) struct From {
    #[serde(default)]
    pub(crate) cursor: String,
}

impl From {
    /// As the server wants it: digits only, so that nothing else can be smuggled in.
    pub(crate) fn cursor(&self) -> &str {
        let fine = !self.cursor.is_empty()
            && self
                .cursor
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-:._".contains(&b));
        if fine { &self.cursor } else { "0" }
    }
}

/// Rows of a page.
pub(crate) const ROWS: u32 = 100;

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    user: User,
    Path((key, state)): Path<(String, String)>,
    Query(from): Query<From>,
) -> Response {
    let (Some(key), Some((word, title))) = (decode(&key), of(&state)) else {
        return missing(&app, "This address names no list of a queue.");
    };
    match app.db.list(&key, word, from.cursor(), ROWS).await {
        Ok(page) => {
            let body = list(&app, &key, &state, title, &page);
            still(
                &app,
                &user,
                &format!("{title}: {}", short(&key, 40)),
                Place::Queues,
                &body,
            )
        }
        Err(failure) => failed(&app, &user, &failure),
    }
}

fn of(state: &str) -> Option<(&'static str, &'static str)> {
    match state {
        "ready" => Some(("READY", "Ready")),
        "locked" => Some(("LOCKED", "In review")),
        "delayed" => Some(("DELAYED", "Delayed")),
        _ => None,
    }
}

fn list(app: &App, key: &[u8], state: &str, title: &str, page: &Page<Row>) -> Markup {
    let now = now_ms();
    html! {
        h1 { span.over { (queue_link(app, key)) } " " (title) }
        p.quiet { "In the order they arrived." }
        @if page.rows.is_empty() {
            @if page.next.is_some() { (nothing("None among the ten thousand items looked at; there may be more behind them.")) }
            @else { (nothing("There are none.")) }
        }
        @else if state == "locked" { (held_table(app, key, &page.rows, now)) }
        @else {
            div.scroll { table.grid {
                thead { tr { th scope="col" { "Item" } th.num scope="col" { "Priority" } th.num scope="col" { "Age" } } }
                tbody { @for row in &page.rows { tr data-key=(shown(&row.item)) {
                    th scope="row" { (item_link(app, key, &row.item)) }
                    td.num { (number(row.priority)) }
                    td.num { (duration(now - row.submitted)) }
                } } }
            } }
        }
        nav.pages aria-label="Pages" {
            a.button href=(app.link(&format!("{}/{state}", queue_path(key)))) { "From the start" }
            @if let Some(next) = &page.next { a.button rel="next" href=(app.link(&format!("{}/{state}?cursor={next}", queue_path(key)))) { "Next page" } }
        }
    }
}
