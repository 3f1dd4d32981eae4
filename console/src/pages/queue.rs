//! One queue: who holds what until when, what waits by tag and priority, how long things take, which settings.

use super::parts::{
    action, bars, chart, item_link, item_path, name, nothing, queue_path, tags, tile, tile_link,
};
use super::queues::{OLD_MS, remarks};
use super::{Live, Place, View, missing, respond};
use crate::app::App;
use crate::bytes::{decode, short, shown};
use crate::db::{Failure, Histogram, Row, Stats, Waiter};
use crate::details::{Detail, ROWS};
use crate::sampler::{History, Point};
use crate::security::User;
use crate::security::users::Role;
use crate::words::{duration, now_ms, number, size};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use std::sync::Arc;

struct Wish {
    key: Vec<u8>,
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    user: User,
    headers: HeaderMap,
    Path(key): Path<String>,
) -> Response {
    match decode(&key) {
        Some(key) => respond(app, user, &headers, Wish { key }).await,
        None => missing(&app, "This address names no queue."),
    }
}

impl Live for Wish {
    async fn render(&self, app: &App, user: &User) -> Result<View, Failure> {
        app.sampler.look_at([self.key.as_slice()]);
        let detail = app.details.get(&app.db, &self.key).await?;
        let sampled = app.sampler.queue(&self.key);
        let history = sampled
            .as_ref()
            .map(|q| q.history.clone())
            .unwrap_or_default();
        // After an action the sampler may still have what was before.
        let latest = sampled.filter(|q| q.sampled > detail.asked);
        let latest = latest.and_then(|q| q.stats.clone());
        let stats = latest.as_ref().unwrap_or(&detail.stats);
        let now = now_ms();
        let view = View::new(short(&self.key, 60), Place::Queues)
            .panel("head", self.head(app, user, stats))
            .panel("figures", self.figures(app, stats))
            .panel("charts", charts(&history))
            .panel("locked", self.locked(app, &detail, stats, now))
            .panel("waiters", waiters(&detail.waiters, stats, now))
            .panel("next", self.next(app, &detail))
            .panel("kinds", kinds(&detail.stats))
            .panel("times", times(stats))
            .panel("settings", settings(&detail.config));
        Ok(view)
    }
}

impl Wish {
    fn head(&self, app: &App, user: &User, stats: &Stats) -> Markup {
        let path = queue_path(&self.key);
        let paused = matches!(stats.paused.as_str(), "in" | "out" | "all");
        html! {
            div.row.head {
                h1 { span.over { "Queue" } " " span.name title=(shown(&self.key)) { (short(&self.key, 80)) } (remarks(stats)) }
                span.stretch {}
                @if user.may(Role::Moderator) { a.button.main href=(app.link(&format!("/desk/{}", crate::bytes::encode(&self.key)))) { "Open the desk" } }
                @if user.may(Role::Supervisor) {
                    (action(app, &format!("{path}/do/pause"), "Pause…", false))
                    @if paused { (action(app, &format!("{path}/do/unpause"), "Unpause…", false)) }
                    (action(app, &format!("{path}/do/configure"), "Settings…", false))
                }
            }
        }
    }

    fn locked(&self, app: &App, detail: &Detail, stats: &Stats, now: i64) -> Markup {
        html! {
            h2 { "In review" }
            @if detail.locked.rows.is_empty() { (nothing("Nobody holds an item.")) }
            @else {
                (held_table(app, &self.key, &detail.locked.rows, now))
                @if detail.locked.next.is_some() || stats.locked > i64::from(ROWS) {
                    p { a href=(app.link(&format!("{}/locked", queue_path(&self.key)))) { "All " (number(stats.locked)) " in review" } }
                }
            }
        }
    }

    fn figures(&self, app: &App, s: &Stats) -> Markup {
        let to = |state: &str| app.link(&format!("{}/{state}", queue_path(&self.key)));
        let three = |ms: &[i64; 3]| {
            format!(
                "{} · {} · {}",
                duration(ms[0]),
                duration(ms[1]),
                duration(ms[2])
            )
        };
        html! {
            dl.tiles {
                (tile_link("Ready", &number(s.ready), false, &to("ready")))
                (tile_link("In review", &number(s.locked), false, &to("locked")))
                (tile_link("Delayed", &number(s.delayed), false, &to("delayed")))
                (tile_link("Dead", &number(s.dead), s.dead > 0, &to("dead")))
                (tile("People waiting", &number(s.waiting), "", false))
                (tile("Oldest ready", &if s.ready > 0 { duration(s.oldest_ready_ms) } else { "none".into() }, "", s.oldest_ready_ms > OLD_MS))
                (tile("Oldest of all", &duration(s.oldest_item_ms), "", false))
                (tile("Memory", &size(s.bytes), "", false))
            }
            dl.facts.wide {
                div { dt { "Wait for a first look, p50 · p95 · p99" } dd { (three(&s.wait_ms)) } }
                div { dt { "Time to decide, p50 · p95 · p99" } dd { (three(&s.handle_ms)) } }
                div { dt { "In all" } dd {
                    (number(s.submitted)) " submitted, " (number(s.resolved)) " resolved, " (number(s.cancelled)) " cancelled, "
                    (number(s.released)) " released, " (number(s.expired)) " expired, " (number(s.died)) " died"
                } }
                @if let (Some(votes), Some(splits)) = (s.votes, s.splits) {
                    div { dt { "Votes" } dd { (number(votes)) " that did not end an item, " (number(splits)) " splits, " (number(s.contested.unwrap_or(0))) " contested now" } }
                }
                @if let Some(decided) = s.decided { div { dt { "Remembered decisions" } dd { (number(decided)) } } }
            }
        }
    }

    fn next(&self, app: &App, detail: &Detail) -> Markup {
        html! {
            h2 { "Next to be claimed" }
            @if detail.next.is_empty() { (nothing("Nothing is ready.")) }
            @else { ol.next { @for item in &detail.next { li data-key=(shown(item)) { (item_link(app, &self.key, item)) } } } }
        }
    }
}

/// Who holds which items, and for how long still.
pub(crate) fn held_table(app: &App, key: &[u8], rows: &[Row], now: i64) -> Markup {
    html! {
        div.scroll { table.grid {
            thead { tr { th scope="col" { "Item" } th scope="col" { "With" } th.num scope="col" { "Time left" } th.num scope="col" { "Priority" } th.num scope="col" { "Age" } } }
            tbody { @for row in rows {
                @let left = row.deadline.unwrap_or(now) - now;
                tr data-key=(shown(&row.item)) {
                    th scope="row" { a.name href=(app.link(&item_path(key, &row.item))) title=(shown(&row.item)) { (short(&row.item, 40)) } }
                    td { @match &row.moderator { Some(who) => { (name(who)) } None => { span.quiet { "nobody" } } } }
                    td.num .warn[left < 15_000] { (duration(left)) }
                    td.num { (number(row.priority)) }
                    td.num { (duration(now - row.submitted)) }
                }
            } }
        } }
    }
}

fn waiters(rows: &[Waiter], stats: &Stats, now: i64) -> Markup {
    html! {
        h2 { "People waiting" }
        @if rows.is_empty() { (nothing("Nobody is in line.")) }
        @else {
            div.scroll { table.grid {
                thead { tr { th scope="col" { "Who" } th.num scope="col" { "Since" } th scope="col" { "By" } th scope="col" { "Offers" } } }
                tbody { @for row in rows {
                    tr data-key=(shown(&row.moderator)) {
                        th scope="row" { (name(&row.moderator)) }
                        td.num { (duration(now - row.since)) }
                        td { @if row.kind == "blocked" { "a waiting call" } @else { "sign-up" } }
                        td { @if row.tags.is_empty() { span.quiet { "no tags" } } @else { (tags(&row.tags)) } }
                    }
                } }
            } }
            @if stats.waiting > i64::from(ROWS) { p.quiet { "The first " (ROWS) " of " (number(stats.waiting)) "." } }
        }
    }
}

fn charts(history: &History) -> Markup {
    let whole = |v: f64| number(v as i64);
    html! {
        div.charts {
            (chart("Ready", history, |p: &Point| f64::from(p.ready), whole))
            (chart("Oldest ready", history, |p: &Point| f64::from(p.oldest_s), |v| duration(v as i64 * 1000)))
            (rate("Submitted per minute", history, |p| p.submitted))
            (rate("Resolved per minute", history, |p| p.resolved))
        }
    }
}

/// The growth of a total from point to point, per minute.
fn rate(label: &str, history: &History, total: fn(&Point) -> u64) -> Markup {
    let points = history.points();
    let steps = points.len().saturating_sub(1).max(1);
    let minutes = history.span_ms() as f64 / steps as f64 / 60_000.0;
    let values: Vec<f64> = points
        .windows(2)
        .map(|two| total(&two[1]).saturating_sub(total(&two[0])) as f64 / minutes)
        .collect();
    super::parts::chart_of(label, &values, history.span_ms(), |v| format!("{v:.1}"))
}

fn kinds(s: &Stats) -> Markup {
    let tags: Vec<(String, i64)> = most(
        s.by_tag
            .iter()
            .map(|(tag, n)| (short(tag, 30), *n))
            .collect(),
    );
    let priorities: Vec<(String, i64)> = s.by_priority.iter().take(12).cloned().collect();
    html! {
        div.columns {
            section { h2 { "Ready by tag" }
                @if tags.is_empty() { (nothing("No ready item needs a tag.")) } @else { (bars(&tags)) }
                @if s.by_tag.len() > 12 { p.quiet { "The 12 largest of " (s.by_tag.len()) "." } }
            }
            section { h2 { "Ready by priority" }
                @if priorities.is_empty() { (nothing("Nothing is ready.")) } @else { (bars(&priorities)) }
            }
        }
    }
}

/// How many took how long; nothing where the module does not tell.
fn times(stats: &Stats) -> Markup {
    let told = [
        ("Waits for a first look", &stats.wait_histogram),
        ("Times to decide", &stats.handle_histogram),
    ];
    html! {
        @if told.iter().any(|(_, h)| h.is_some()) {
            div.columns {
                @for (title, histogram) in told {
                    @if let Some(histogram) = histogram {
                        section { h2 { (title) } (bars(&steps(histogram))) }
                    }
                }
            }
        }
    }
}

/// The rows of a cumulative histogram, each by itself.
fn steps(histogram: &Histogram) -> Vec<(String, i64)> {
    let mut before = (0, 0);
    let mut rows = Vec::new();
    for &(bound, count) in &histogram.rows {
        let label = match bound {
            ..0 => format!("over {}", duration(before.0)),
            bound => format!("up to {}", duration(bound)),
        };
        rows.push((label, count - before.1));
        before = (bound, count);
    }
    rows
}

fn most(mut rows: Vec<(String, i64)>) -> Vec<(String, i64)> {
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    rows.truncate(12);
    rows
}

/// The names of settings in words, and whether the value is in ms.
pub(crate) const SETTINGS: [(&str, &str, bool); 13] = [
    ("lock", "A lock lasts", true),
    (
        "maxexpiries",
        "Dead after so many lapsed locks (0: never)",
        false,
    ),
    ("maxlen", "Most items (0: no limit)", false),
    ("capacity", "Most locks for one person (0: no limit)", false),
    ("late", "Decisions after the deadline", false),
    (
        "aging",
        "A step of priority is worth (0: strict order)",
        true,
    ),
    ("events", "Event stream", false),
    ("eventsmaxlen", "Entries it keeps (0: all)", false),
    ("quorum", "Equal verdicts needed, of votes", false),
    ("splittag", "Tag that contested items get", false),
    ("retain", "Decisions are remembered for (0: not)", true),
    (
        "retainmax",
        "Most remembered decisions (0: no limit)",
        false,
    ),
    ("offer", "An offer is open for (0: off)", true),
];

fn settings(config: &[(String, Vec<u8>)]) -> Markup {
    html! {
        h2 { "Settings" }
        dl.facts {
            @for (setting, value) in config {
                @let known = SETTINGS.iter().find(|(key, ..)| key == setting);
                div {
                    dt { (known.map_or(setting.as_str(), |(_, words, _)| words)) }
                    dd { (setting_value(value, known.is_some_and(|(.., ms)| *ms))) }
                }
            }
        }
    }
}

fn setting_value(value: &[u8], in_ms: bool) -> Markup {
    let text = shown(value);
    html! {
        @if text.is_empty() { span.quiet { "none" } }
        @else if let (true, Ok(ms)) = (in_ms, text.parse::<i64>()) { (duration(ms)) }
        @else if let Ok(n) = text.parse::<i64>() { (number(n)) }
        @else { (text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cumulative_histogram_row_by_row() {
        let rows = vec![(1000, 3), (5000, 3), (3_600_000, 10), (-1, 12)];
        let histogram = Histogram { rows, sum_ms: 0 };
        let shown = [
            ("up to 1 s", 3),
            ("up to 5 s", 0),
            ("up to 1 h", 7),
            ("over 1 h", 2),
        ];
        assert_eq!(
            steps(&histogram),
            shown.map(|(label, n)| (label.to_owned(), n))
        );
    }
}
