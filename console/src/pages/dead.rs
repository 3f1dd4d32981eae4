//! Dead letters: items whose locks lapsed too often. Why, how many alike, revive or cancel?

use super::parts::{action, item_link, nothing, queue_link, queue_path};
use super::state::{From, ROWS};
use super::{Live, Place, View, failed, missing, respond, still};
use crate::actions::queue::{ask_path, bulk_path};
use crate::app::App;
use crate::bytes::{decode, encode, short, shown};
use crate::db::{Failure, Item, Page, Row, Stats};
use crate::security::User;
use crate::security::users::Role;
use crate::words::{count, duration, now_ms, number};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::future::join_all;
use maud::{Markup, html};
use std::cmp::Reverse;
use std::sync::Arc;

/// Queues on the page of all.
const QUEUES: usize = 200;

struct All;

pub(crate) async fn all(State(app): State<Arc<App>>, user: User, headers: HeaderMap) -> Response {
    respond(app, user, &headers, All).await
}

impl Live for All {
    async fn render(&self, app: &App, user: &User) -> Result<View, Failure> {
        let snapshot = app.sampler.snapshot();
        let mut queues: Vec<_> = snapshot
            .queues
            .values()
            .filter(|q| q.stats.as_ref().is_some_and(|s| s.dead > 0))
            .collect();
        queues.sort_by_key(|q| Reverse(q.stats.as_ref().map_or(0, |s| s.dead)));
        let more = queues.len().saturating_sub(QUEUES);
        queues.truncate(QUEUES);
        app.sampler.look_at(queues.iter().map(|q| q.key.as_slice()));
        let rows: Vec<(&[u8], &Stats)> = queues
            .iter()
            .filter_map(|q| Some((q.key.as_slice(), q.stats.as_ref()?)))
            .collect();
        Ok(View::new("Dead letters", Place::Dead).panel("dead", overview(app, user, &rows, more)))
    }
}

fn overview(app: &App, user: &User, rows: &[(&[u8], &Stats)], more: usize) -> Markup {
    html! {
        h1 { "Dead letters" }
        p.quiet { "Items that were set aside because too many locks on them lapsed, or because their votes cannot agree." }
        @if rows.is_empty() { (nothing("No queue has any. Nothing is lost.")) }
        @else {
            div.scroll { table.grid {
                thead { tr { th scope="col" { "Queue" } th.num scope="col" { "Dead" } th.num scope="col" { "Died in all" } th scope="col" { span.unseen { "Actions" } } } }
                tbody { @for (key, s) in rows { tr data-key=(shown(key)) {
                    th scope="row" { a.name href=(app.link(&format!("{}/dead", queue_path(key)))) { (short(key, 60)) } }
                    td.num.alarm { (number(s.dead)) }
                    td.num { (number(s.died)) }
                    td.end { @if user.may(Role::Supervisor) { (bulk(app, key)) } }
                } } }
            } }
            @if more > 0 { p.quiet { (number(more as i64)) " more queues have dead letters." } }
        }
    }
}

fn bulk(app: &App, key: &[u8]) -> Markup {
    html! {
        (action(app, &bulk_path(key, "revive"), "Revive all…", false)) " "
        (action(app, &bulk_path(key, "cancel"), "Cancel all…", true))
    }
}

pub(crate) async fn queue(
    State(app): State<Arc<App>>,
    user: User,
    Path(key): Path<String>,
    Query(from): Query<From>,
) -> Response {
    let Some(key) = decode(&key) else {
        return missing(&app, "This address names no queue.");
    };
    let page = match app.db.list(&key, "DEAD", from.cursor(), ROWS).await {
        Ok(page) => page,
        Err(failure) => return failed(&app, &user, &failure),
    };
    let items = join_all(page.rows.iter().map(|row| app.db.item(&key, &row.item))).await;
    let items: Vec<Option<Item>> = items.into_iter().map(|item| item.ok().flatten()).collect();
    let body = list(&app, &user, &key, &page, &items);
    still(
        &app,
        &user,
        &format!("Dead letters: {}", short(&key, 40)),
        Place::Dead,
        &body,
    )
}

fn list(app: &App, user: &User, key: &[u8], page: &Page<Row>, items: &[Option<Item>]) -> Markup {
    let may = user.may(Role::Supervisor);
    html! {
        div.row.head {
            h1 { span.over { (queue_link(app, key)) } " Dead letters" }
            span.stretch {}
            @if may && !page.rows.is_empty() { (bulk(app, key)) }
        }
        @if page.rows.is_empty() { (nothing("There are none.")) }
        @else {
            form.ticked method="post" {
                @if may {
                    div.row {
                        label.check { input type="checkbox" data-tick-all=""; " All on this page" }
                        button type="submit" formaction=(app.link(&ask_path(key, "revive"))) data-dialog="" data-needs-tick="" { "Revive those ticked…" }
                        button.danger type="submit" formaction=(app.link(&ask_path(key, "cancel"))) data-dialog="" data-needs-tick="" { "Cancel those ticked…" }
                    }
                }
                (table(app, key, page, items, may))
            }
        }
        nav.pages aria-label="Pages" {
            a.button href=(app.link(&format!("{}/dead", queue_path(key)))) { "From the start" }
            @if let Some(next) = &page.next { a.button rel="next" href=(app.link(&format!("{}/dead?cursor={next}", queue_path(key)))) { "Next page" } }
        }
    }
}

fn table(app: &App, key: &[u8], page: &Page<Row>, items: &[Option<Item>], may: bool) -> Markup {
    let now = now_ms();
    html! {
        div.scroll { table.grid {
            thead { tr {
                @if may { th scope="col" { span.unseen { "Tick" } } }
                th scope="col" { "Item" } th scope="col" { "Why" } th.num scope="col" { "Priority" } th.num scope="col" { "Reports" } th.num scope="col" { "Age" } th scope="col" { "Payload" }
            } }
            tbody { @for (row, item) in page.rows.iter().zip(items) { tr {
                @if may { td { input type="checkbox" name="item" value=(encode(&row.item)) aria-label=(format!("Tick {}", shown(&row.item))); } }
                th scope="row" { (item_link(app, key, &row.item)) }
                td { @match item {
                    Some(it) if it.contested => "votes cannot agree",
                    Some(it) => { (count(it.expiries, "lapsed lock")) }
                    None => { span.quiet { "gone meanwhile" } }
                } }
                td.num { (number(row.priority)) }
                td.num { @if let Some(it) = item { (number(it.reports)) } }
                td.num { (duration(now - row.submitted)) }
                td.clip { @if let Some(it) = item { (short(&it.payload[..it.payload.len().min(400)], 80)) } }
            } } }
        } }
    }
}
