//! All queues at a glance. Is the oldest too old, are we falling behind, does somebody wait for nothing?

use super::parts::{cell, nothing, queue_link, sparkline, tile};
use super::{Live, Place, View, respond};
use crate::app::App;
use crate::bytes::shown;
use crate::db::{Failure, Stats};
use crate::sampler::{Queue, Snapshot};
use crate::security::User;
use crate::words::{count, duration, number};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use std::cmp::Reverse;
use std::sync::Arc;

/// Rows of one page.
const ROWS: usize = 50;
/// Beyond this an oldest item stands out, ms.
pub(crate) const OLD_MS: i64 = 900_000;

/// What the address asks for.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Wish {
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    page: String,
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    user: User,
    headers: HeaderMap,
    Query(wish): Query<Wish>,
) -> Response {
    respond(app, user, &headers, wish).await
}

const SORTS: [(&str, &str); 8] = [
    ("name", "Queue"),
    ("ready", "Ready"),
    ("locked", "In review"),
    ("delayed", "Delayed"),
    ("dead", "Dead"),
    ("waiting", "People waiting"),
    ("oldest", "Oldest"),
    ("in", "In / out per min"),
];

impl Live for Wish {
    async fn render(&self, app: &App, _: &User) -> Result<View, Failure> {
        let snapshot = app.sampler.snapshot();
        if let (Some(failure), None) = (&snapshot.failure, snapshot.at) {
            return Err(failure.clone());
        }
        let rows = self.rows(&snapshot);
        let pages = rows.len().div_ceil(ROWS).max(1);
        let page = self.page.parse().unwrap_or(1_usize).clamp(1, pages);
        let visible: Vec<_> = rows
            .iter()
            .skip((page - 1) * ROWS)
            .take(ROWS)
            .cloned()
            .collect();
        app.sampler
            .look_at(visible.iter().map(|q| q.key.as_slice()));
        let view = View::new("Queues", Place::Queues)
            .panel("sums", sums(&snapshot))
            .panel("find", self.form(app, &snapshot, rows.len()))
            .panel("queues", self.table(app, &snapshot, &visible))
            .panel("pages", self.pages(app, page, pages));
        Ok(view)
    }
}

impl Wish {
    fn rows(&self, snapshot: &Snapshot) -> Vec<Arc<Queue>> {
        let wanted = self.q.to_lowercase();
        let fits =
            |q: &Arc<Queue>| wanted.is_empty() || shown(&q.key).to_lowercase().contains(&wanted);
        let mut rows: Vec<Arc<Queue>> = snapshot
            .queues
            .values()
            .filter(|q| fits(q))
            .cloned()
            .collect();
        let by =
            |of: fn(&Stats) -> i64| move |q: &Arc<Queue>| Reverse(q.stats.as_ref().map_or(-1, of));
        match self.sort.as_str() {
            "name" => {}
            "locked" => rows.sort_by_key(by(|s| s.locked)),
            "delayed" => rows.sort_by_key(by(|s| s.delayed)),
            "dead" => rows.sort_by_key(by(|s| s.dead)),
            "waiting" => rows.sort_by_key(by(|s| s.waiting)),
            "ready" => rows.sort_by_key(by(|s| s.ready)),
            "in" => rows
                .sort_by_key(|q| Reverse((q.history.rates().map_or(-1.0, |r| r.0) * 100.0) as i64)),
            // The default: what needs somebody first.
            _ => rows.sort_by_key(by(|s| s.oldest_ready_ms)),
        }
        rows
    }

    fn link(&self, app: &App, sort: &str, page: usize) -> String {
        let q: String = self.q.bytes().map(|b| format!("%{b:02X}")).collect();
        app.link(&format!("/?q={q}&sort={sort}&page={page}"))
    }

    fn form(&self, app: &App, snapshot: &Snapshot, found: usize) -> Markup {
        let all = snapshot.queues.len();
        html! {
            form.row method="get" action=(app.link("/")) {
                h1 { "Queues" }
                input type="search" name="q" value=(self.q) placeholder="Name contains…" aria-label="Name contains";
                input type="hidden" name="sort" value=(self.sort);
                span.quiet {
                    @if self.q.is_empty() { (number(all as i64)) }
                    @else { (number(found as i64)) " of " (number(all as i64)) }
                }
            }
        }
    }

    fn table(&self, app: &App, snapshot: &Snapshot, rows: &[Arc<Queue>]) -> Markup {
        if rows.is_empty() {
            return self.empty(snapshot);
        }
        let sorted = SORTS
            .iter()
            .find(|(sort, _)| *sort == self.sort)
            .map_or("oldest", |(sort, _)| sort);
        html! {
            div.scroll { table.grid {
                thead { tr {
                    @for (sort, label) in SORTS {
                        th.num[sort != "name"] scope="col" aria-sort=[(sort == sorted).then_some(if sort == "name" { "ascending" } else { "descending" })] {
                            a href=(self.link(app, sort, 1)) { (label) }
                        }
                    }
                    th scope="col" { "Ready, last hours" }
                } }
                tbody { @for queue in rows { (row(app, queue)) } }
            } }
        }
    }

    fn empty(&self, snapshot: &Snapshot) -> Markup {
        html! {
            div.empty {
                @if !self.q.is_empty() { p { "No queue has this in its name." } }
                @else if !snapshot.complete { p { "Looking for queues…" } }
                @else {
                    h2 { "No queues yet" }
                    p { "A queue begins with its first item. In redis-cli:" }
                    pre.code { "MODQ.SUBMIT review post:1 'Is this spam?'" }
                }
            }
        }
    }

    fn pages(&self, app: &App, page: usize, pages: usize) -> Markup {
        html! {
            @if pages > 1 {
                nav.pages aria-label="Pages" {
                    @if page > 1 { a.button href=(self.link(app, &self.sort, page - 1)) rel="prev" { "Previous" } }
                    span { "Page " (page) " of " (pages) }
                    @if page < pages { a.button href=(self.link(app, &self.sort, page + 1)) rel="next" { "Next" } }
                }
            }
        }
    }
}

fn sums(snapshot: &Snapshot) -> Markup {
    let stats: Vec<&Stats> = snapshot
        .queues
        .values()
        .filter_map(|q| q.stats.as_ref())
        .collect();
    let sum = |of: fn(&Stats) -> i64| stats.iter().map(|s| of(s)).sum::<i64>();
    let oldest = stats.iter().map(|s| s.oldest_ready_ms).max().unwrap_or(0);
    let dead = sum(|s| s.dead);
    let blocked: f64 = snapshot
        .nodes
        .iter()
        .filter_map(|n| n.number("modq_waiting_clients"))
        .sum();
    let lag = snapshot
        .nodes
        .iter()
        .filter_map(|n| n.number("modq_timer_lag_ms"))
        .fold(0.0, f64::max);
    let damaged: f64 = snapshot
        .nodes
        .iter()
        .filter_map(|n| n.number("modq_damaged_keys"))
        .sum();
    let dropped: f64 = snapshot
        .nodes
        .iter()
        .filter_map(|n| n.number("modq_events_dropped"))
        .sum();
    html! {
        dl.tiles {
            (tile("Ready", &number(sum(|s| s.ready)), "", false))
            (tile("In review", &number(sum(|s| s.locked)), "", false))
            (tile("Delayed", &number(sum(|s| s.delayed)), "", false))
            (tile("Dead", &number(dead), "", dead > 0))
            (tile("People waiting", &number(sum(|s| s.waiting)), &if blocked > 0.0 { format!("{blocked} blocked") } else { String::new() }, false))
            (tile("Oldest ready", &duration(oldest), "", oldest > OLD_MS))
            (tile("Timer lag", &duration(lag as i64), "", lag > 1000.0))
        }
        @if damaged > 0.0 { p.note.bad { (count(damaged as i64, "key")) " met an internal error and take no changes: see the server's log." } }
        @if dropped > 0.0 { p.note.bad { (count(dropped as i64, "event")) " could not be written to an event stream." } }
    }
}

fn row(app: &App, queue: &Queue) -> Markup {
    let Some(s) = &queue.stats else {
        return html! { tr data-key=(shown(&queue.key)) {
            th scope="row" { (queue_link(app, &queue.key)) }
            td.quiet colspan="8" { "no figures yet, or the console may not read it" }
        } };
    };
    html! { tr data-key=(shown(&queue.key)) {
        th scope="row" { (queue_link(app, &queue.key)) (remarks(s)) }
        td.num { (cell(s.ready)) }
        td.num { (cell(s.locked)) }
        td.num { (cell(s.delayed)) }
        td.num .alarm[s.dead > 0] { (cell(s.dead)) }
        td.num { (cell(s.waiting)) }
        td.num .alarm[s.oldest_ready_ms > OLD_MS] { @if s.ready > 0 { (duration(s.oldest_ready_ms)) } @else { span.nil { "none" } } }
        td.num { (rates(queue)) }
        td.spark { (sparkline(&queue.history)) }
    } }
}

fn rates(queue: &Queue) -> Markup {
    let rate = |r: f64| {
        if r >= 10.0 || r == 0.0 {
            format!("{r:.0}")
        } else {
            format!("{r:.1}")
        }
    };
    match queue.history.rates() {
        Some((0.0, 0.0)) => html! { span.nil { "0 / 0" } },
        Some((into, out)) => html! { (rate(into)) " / " (rate(out)) },
        None => html! { span.nil { "0 / 0" } },
    }
}

/// What a supervisor should know about a queue, in words.
pub(crate) fn remarks(s: &Stats) -> Markup {
    let pause = match s.paused.as_str() {
        "in" => "paused: takes no new items",
        "out" => "paused: hands out nothing",
        "all" => "paused",
        _ => "",
    };
    html! {
        @if !pause.is_empty() { " " span.chip { (pause) } }
        @if s.ready > 0 && s.waiting > 0 && !matches!(s.paused.as_str(), "out" | "all") {
            " " span.chip.warn title="People wait and items wait, but none of these people may take any of these items: tags, exclusions or capacity." { "no match" }
        }
        @if s.deferred > 0 { " " span.chip.warn { "clock behind: " (number(s.deferred)) } }
        @if s.contested.unwrap_or(0) > 0 { " " span.chip.warn { (number(s.contested.unwrap_or(0))) " contested" } }
    }
}

/// What stands where a list of queues to choose from is empty.
pub(crate) fn none_yet() -> Markup {
    nothing("There are no queues yet.")
}
