//! Boards: the top, who ranks next to a member, what the columns are.

use super::parts::{name, nothing};
use super::{Place, failed, missing, still};
use crate::app::App;
use crate::bytes::{decode, encode, short, shown};
use crate::db::{Failure, Rank};
use crate::security::User;
use crate::words::{duration, number, size};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// Steps of SCAN that one look takes; what is behind them is looked at by the next.
const STEPS: usize = 50;
/// Members on a page.
const ROWS: u32 = 50;
/// Members on each side of the one asked for.
const AROUND: u32 = 10;

/// Which boards are asked for.
#[derive(Deserialize, Default)]
pub(crate) struct Wish {
    /// A name, or its beginning.
    #[serde(default)]
    q: String,
    /// Where SCAN goes on: the number of the primary, and its cursor.
    #[serde(default)]
    node: usize,
    #[serde(default)]
    cursor: String,
}

pub(crate) async fn all(
    State(app): State<Arc<App>>,
    user: User,
    Query(wish): Query<Wish>,
) -> Response {
    match found(&app, &wish).await {
        Ok(body) => still(&app, &user, "Boards", Place::Boards, &body),
        Err(failure) => failed(&app, &user, &failure),
    }
}

/// A prefix as a pattern that means nothing but itself.
pub(crate) fn prefix_pattern(prefix: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in prefix.bytes() {
        if b"*?[]\\^-".contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'*');
    out
}

async fn found(app: &App, wish: &Wish) -> Result<Markup, Failure> {
    let nodes = app.db.primaries().await?;
    let pattern = (!wish.q.is_empty()).then(|| prefix_pattern(&wish.q));
    let fine = !wish.cursor.is_empty() && wish.cursor.bytes().all(|b| b.is_ascii_digit());
    let mut cursor = if fine {
        wish.cursor.clone()
    } else {
        "0".to_owned()
    };
    let mut at = wish.node.min(nodes.len().saturating_sub(1));
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut done = false;
    for _ in 0..STEPS {
        let (next, more) = app
            .db
            .scan(&nodes[at], &cursor, "modqboard", pattern.as_deref())
            .await?;
        keys.extend(more);
        cursor = next;
        if cursor == "0" {
            at += 1;
        }
        done = at == nodes.len();
        if done || keys.len() >= 100 {
            break;
        }
    }
    keys.sort();
    keys.dedup();
    Ok(html! {
        form.row method="get" action=(app.link("/boards")) {
            h1 { "Boards" }
            input type="search" name="q" value=(wish.q) placeholder="Name begins with…" aria-label="Name begins with";
            button type="submit" { "Look" }
        }
        @if keys.is_empty() && done { (nothing(if wish.q.is_empty() { "There are no boards. RANK.ADD begins one." } else { "No board's name begins so." })) }
        @else if keys.is_empty() { (nothing("None among the keys looked at so far.")) }
        @else { ul.names { @for key in &keys { li { a.name href=(app.link(&format!("/b/{}", encode(key)))) title=(shown(key)) { (short(key, 80)) } } } } }
        @if !done {
            nav.pages {
                span.quiet { "Only a part of the keys has been looked at." }
                a.button href=(app.link(&format!("/boards?q={}&node={at}&cursor={cursor}", percent(&wish.q)))) { "Look further" }
            }
        }
    })
}

fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// Which part of a board is asked for.
#[derive(Deserialize, Default)]
pub(crate) struct Part {
    #[serde(default)]
    member: String,
    #[serde(default)]
    page: String,
}

pub(crate) async fn one(
    State(app): State<Arc<App>>,
    user: User,
    Path(key): Path<String>,
    Query(part): Query<Part>,
) -> Response {
    let Some(key) = decode(&key) else {
        return missing(&app, "This address names no board.");
    };
    match board(&app, &key, &part).await {
        Ok(body) => still(&app, &user, &short(&key, 60), Place::Boards, &body),
        Err(failure) => failed(&app, &user, &failure),
    }
}

async fn board(app: &App, key: &[u8], part: &Part) -> Result<Markup, Failure> {
    let Some(info) = app.db.board_info(key).await? else {
        return Ok(
            html! { h1 { span.over { "Board" } " " (name(key)) } (nothing("There is no board of this name.")) },
        );
    };
    let get = |field: &str| {
        info.iter()
            .find(|(name, _)| name == field)
            .map(|(_, v)| v.as_str())
            .unwrap_or_default()
    };
    let members: u64 = get("members").parse().unwrap_or(0);
    let pages = members.div_ceil(u64::from(ROWS)).max(1);
    let page = part.page.parse().unwrap_or(1_u64).clamp(1, pages);
    let around = match part.member.is_empty() {
        true => None,
        false => Some(app.db.around(key, part.member.as_bytes(), AROUND).await?),
    };
    let top = match around {
        None => app.db.top(key, ROWS, (page - 1) * u64::from(ROWS)).await?,
        Some(_) => Vec::new(),
    };
    let here = app.link(&format!("/b/{}", encode(key)));
    Ok(html! {
        h1 { span.over { "Board" } " " (name(key)) }
        dl.facts { @for (field, value) in &info { div { dt { (field_words(field)) } dd { (field_value(field, value)) } } } }
        form.row method="get" {
            label { "Around the member " input name="member" value=(part.member) maxlength="512"; }
            button type="submit" { "Show" }
            @if !part.member.is_empty() { a.button href=(here) { "The top" } }
        }
        @match &around {
            Some(None) => { (nothing("This member is not on the board.")) }
            Some(Some(rows)) => { (ranks(rows, Some(part.member.as_bytes()))) }
            None if top.is_empty() => { (nothing("The board is empty.")) }
            None => {
                (ranks(&top, None))
                @if pages > 1 { nav.pages {
                    @if page > 1 { a.button rel="prev" href=(format!("{here}?page={}", page - 1)) { "Previous" } }
                    span { "Page " (page) " of " (pages) }
                    @if page < pages { a.button rel="next" href=(format!("{here}?page={}", page + 1)) { "Next" } }
                } }
            }
        }
    })
}

/// The fields of RANK.INFO for people.
fn field_words(field: &str) -> &str {
    match field {
        "order" => "Better is",
        "update" => "A new score",
        "ties" => "Of equals the first is",
        "columns" => "Columns",
        "cap" => "Kept at most (0: all)",
        "retry" => "Requests are remembered for",
        "members" => "Members",
        "ids" => "Remembered requests",
        "bytes" => "Memory",
        other => other,
    }
}

fn field_value(field: &str, value: &str) -> String {
    match (field, value, value.parse::<i64>()) {
        ("retry", _, Ok(ms)) => duration(ms),
        ("bytes", _, Ok(n)) => size(n),
        (_, _, Ok(n)) => number(n),
        ("order", words, _) => words.replace("desc", "larger").replace("asc", "smaller"),
        ("update", "sum", _) => "is added".into(),
        ("update", "best", _) => "counts if better".into(),
        ("update", "last", _) => "replaces the old one".into(),
        ("ties", "earliest", _) => "who reached it first".into(),
        ("ties", "latest", _) => "who reached it last".into(),
        ("ties", "member", _) => "by name".into(),
        (_, words, _) => words.to_owned(),
    }
}

fn ranks(rows: &[Rank], of: Option<&[u8]>) -> Markup {
    let columns = rows.iter().map(|r| r.scores.len()).max().unwrap_or(1);
    html! {
        div.scroll { table.grid.narrow {
            thead { tr {
                th.num.first scope="col" { "Rank" } th scope="col" { "Member" }
                @for n in 1..=columns { th.num scope="col" { @if columns > 1 { "Score " (n) } @else { "Score" } } }
            } }
            tbody { @for row in rows { tr.chosen[of == Some(row.member.as_slice())] {
                td.num.first { (number(row.rank)) }
                th scope="row" { (name(&row.member)) }
                @for score in &row.scores { td.num { (number(*score)) } }
            } } }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::prefix_pattern;

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(prefix_pattern("a*[b]"), b"a\\*\\[b\\]*");
    }
}
