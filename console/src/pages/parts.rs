//! Small things that pages have in common.

use crate::app::App;
use crate::bytes::{self, Payload, encode, short, shown};
use crate::sampler::{History, Point};
use crate::security::User;
use crate::words::{duration, moment, number, size};
use maud::{Markup, html};

/// The secret that each form carries.
pub(crate) fn csrf(user: &User) -> Markup {
    html! { input type="hidden" name="csrf" value=(user.session.csrf); }
}

/// The path of a queue.
pub(crate) fn queue_path(key: &[u8]) -> String {
    format!("/q/{}", encode(key))
}

/// The path of an item.
pub(crate) fn item_path(key: &[u8], item: &[u8]) -> String {
    format!("/q/{}/i/{}", encode(key), encode(item))
}

pub(crate) fn queue_link(app: &App, key: &[u8]) -> Markup {
    html! { a.name href=(app.link(&queue_path(key))) title=(shown(key)) { (short(key, 60)) } }
}

pub(crate) fn item_link(app: &App, key: &[u8], item: &[u8]) -> Markup {
    html! { a.name href=(app.link(&item_path(key, item))) title=(shown(item)) { (short(item, 60)) } }
}

/// A name of a person or a thing.
pub(crate) fn name(bytes: &[u8]) -> Markup {
    html! { span.name title=(shown(bytes)) { (short(bytes, 60)) } }
}

pub(crate) fn tags(all: &[Vec<u8>]) -> Markup {
    html! {
        @for tag in all { span.tag title=(shown(tag)) { (short(tag, 40)) } " " }
    }
}

/// A moment, in UTC; the script shows it in the reader's zone.
pub(crate) fn time(ms: i64) -> Markup {
    html! { time datetime=(moment(ms).replace(' ', "T") + "Z") { (moment(ms)) } }
}

/// How long ago, with the moment on asking.
pub(crate) fn ago(ms: i64, now: i64) -> Markup {
    html! { span title=(format!("{} UTC", moment(ms))) { (duration(now - ms)) } }
}

/// A figure with its name.
pub(crate) fn tile(label: &str, value: &str, note: &str, alarm: bool) -> Markup {
    html! {
        div.tile .alarm[alarm] {
            dt { (label) }
            dd { (value) @if !note.is_empty() { " " span.quiet { (note) } } }
        }
    }
}

/// A figure that leads to what it counts.
pub(crate) fn tile_link(label: &str, value: &str, alarm: bool, to: &str) -> Markup {
    html! {
        div.tile .alarm[alarm] {
            dt { a href=(to) { (label) } }
            dd { (value) }
        }
    }
}

/// A count in a table: nothing is a pale dash, so that what is there stands out.
pub(crate) fn cell(n: i64) -> Markup {
    match n {
        0 => html! { span.nil { "0" } },
        n => html! { (number(n)) },
    }
}

/// A line of what waited over the last hours, 120 by 24.
pub(crate) fn sparkline(history: &History) -> Markup {
    let points = history.points();
    if points.len() < 2 {
        return html! { span.quiet { "no history yet" } };
    }
    let values: Vec<f64> = points.iter().map(|p| f64::from(p.ready)).collect();
    let most = values.iter().copied().fold(1.0, f64::max);
    let title = format!(
        "Ready over the last {}: at most {}",
        duration(history.span_ms()),
        number(most as i64)
    );
    html! {
        svg.spark viewBox="0 0 120 24" preserveAspectRatio="none" role="img" aria-label=(title) {
            title { (title) }
            path.area d=(area(&values, most, 120.0, 23.0)) {}
            path.line d=(line(&values, most, 120.0, 23.0)) {}
        }
    }
}

/// A picture of one figure over time, with its scale in words.
pub(crate) fn chart(
    label: &str,
    history: &History,
    value: impl Fn(&Point) -> f64,
    unit: impl Fn(f64) -> String,
) -> Markup {
    let values: Vec<f64> = history.points().iter().map(value).collect();
    chart_of(label, &values, history.span_ms(), unit)
}

/// The same of values that are there already, the last the newest.
pub(crate) fn chart_of(
    label: &str,
    values: &[f64],
    span_ms: i64,
    unit: impl Fn(f64) -> String,
) -> Markup {
    if values.len() < 2 {
        return html! { figure.chart { figcaption { (label) } p.quiet { "The line begins in a few seconds." } } };
    }
    let top = values.iter().copied().fold(0.0, f64::max);
    let most = if top > 0.0 { top } else { 1.0 };
    let now = values.last().copied().unwrap_or_default();
    let said = format!(
        "{label}: now {}, at most {} in the last {}",
        unit(now),
        unit(top),
        duration(span_ms)
    );
    html! {
        figure.chart {
            figcaption { (label) " " b { (unit(now)) } }
            svg viewBox="0 0 400 80" preserveAspectRatio="none" role="img" aria-label=(said) {
                path.area d=(area(values, most, 400.0, 78.0)) {}
                path.line d=(line(values, most, 400.0, 78.0)) {}
            }
            div.scale { span { (duration(span_ms)) " ago" } span { "most " (unit(top)) } span { "now" } }
        }
    }
}

fn line(values: &[f64], most: f64, width: f64, height: f64) -> String {
    let step = width / (values.len() - 1) as f64;
    let point = |(i, v): (usize, &f64)| {
        let letter = if i == 0 { 'M' } else { 'L' };
        format!(
            "{letter}{:.1} {:.1}",
            i as f64 * step,
            1.0 + (height - 1.0) * (1.0 - v / most)
        )
    };
    values.iter().enumerate().map(point).collect()
}

fn area(values: &[f64], most: f64, width: f64, height: f64) -> String {
    format!(
        "{}L{width} {h}L0 {h}Z",
        line(values, most, width, height),
        h = height + 1.0
    )
}

/// Bars of counts, the longest full.
pub(crate) fn bars(rows: &[(String, i64)]) -> Markup {
    let most = rows.iter().map(|(_, n)| *n).max().unwrap_or(1).max(1);
    html! {
        table.bars {
            @for (label, n) in rows {
                tr data-key=(label) {
                    th scope="row" { (label) }
                    td { meter min="0" max=(most) value=(n) { (number(*n)) } }
                    td.num { (number(*n)) }
                }
            }
        }
    }
}

/// A payload, harmless whatever it is.
pub(crate) fn payload(bytes: &[u8]) -> Markup {
    let size_words = size(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    let cut = bytes.len() > bytes::SHOWN_BYTES;
    let (kind, text) = match Payload::of(bytes) {
        Payload::Empty => return html! { p.quiet { "The payload is empty." } },
        Payload::Text(text) => ("text", text),
        Payload::Json(text) => ("JSON", text),
        Payload::Binary(text) => ("binary", text),
    };
    html! {
        p.quiet.meta {
            (kind) ", " (size_words)
            @if cut { ": the first " (size(bytes::SHOWN_BYTES as i64)) " are shown" }
            @if kind == "binary" && !cut && bytes.len() > 4096 { ": the first 4.0 KiB are shown" }
        }
        pre.payload .code[kind != "text"] dir=(if kind == "text" { "auto" } else { "ltr" }) tabindex="0" { (text) }
    }
}

/// What stands where a table would have no rows.
pub(crate) fn nothing(words: &str) -> Markup {
    html! { p.nothing { (words) } }
}

/// A link that opens a form for an action: in a dialog where scripts run, else on a page of its own.
pub(crate) fn action(app: &App, path: &str, label: &str, danger: bool) -> Markup {
    html! { a.button .danger[danger] href=(app.link(path)) data-dialog="" { (label) } }
}
