//! Limits: what is left for a key and when again, who holds leases, and the policies.

use super::parts::{action, name, nothing};
use super::{Place, failed, still};
use crate::app::App;
use crate::bytes::{decode, encode, short, shown};
use crate::db::{Failure, Lease, LimitCheck, Page, PolicyLimit};
use crate::security::User;
use crate::security::users::Role;
use crate::words::{duration, now_ms, number, parse_duration};
use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

/// What is asked about.
#[derive(Deserialize, Default)]
pub(crate) struct Wish {
    /// The key as somebody typed it, or in base64url where a link names it.
    #[serde(default)]
    key: String,
    #[serde(default)]
    k: String,
    #[serde(default)]
    policy: String,
    /// `quota per duration`, such as `10 per 1 m`.
    #[serde(default)]
    limit: String,
    #[serde(default)]
    algo: String,
    #[serde(default)]
    cursor: String,
}

/// Policies that are shown with their limits.
const POLICIES: usize = 200;

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    user: User,
    Query(wish): Query<Wish>,
) -> Response {
    match body(&app, &user, &wish).await {
        Ok(body) => still(&app, &user, "Limits", Place::Limits, &body),
        Err(failure) => failed(&app, &user, &failure),
    }
}

impl Wish {
    fn key(&self) -> Vec<u8> {
        match decode(&self.k) {
            Some(key) if !key.is_empty() => key,
            _ => self.key.trim().as_bytes().to_vec(),
        }
    }

    /// The words that PEEK takes; none if nothing was said.
    fn limits(&self) -> Result<Option<Vec<String>>, String> {
        if !self.policy.is_empty() {
            return Ok(Some(vec!["POLICY".into(), self.policy.clone()]));
        }
        let given = self.limit.trim();
        if given.is_empty() {
            return Ok(None);
        }
        let wrong = || format!("“{given}” is no limit; it looks like: 10 per 1 m");
        let (quota, window) = given.split_once("per").ok_or_else(wrong)?;
        let quota: u64 = quota.trim().parse().map_err(|_| wrong())?;
        let window = parse_duration(window).ok_or_else(wrong)?;
        let mut all = vec![quota.to_string(), window.to_string()];
        if ["LOG", "COUNTER", "FIXED", "GCRA"].contains(&self.algo.as_str()) {
            all.extend(["ALGO".to_owned(), self.algo.clone()]);
        }
        Ok(Some(all))
    }
}

async fn body(app: &App, user: &User, wish: &Wish) -> Result<Markup, Failure> {
    let policies = policies(app).await?;
    let key = wish.key();
    let answer = match key.is_empty() {
        true => html! {},
        false => about(app, user, wish, &key).await?,
    };
    Ok(html! {
        h1 { "Limits" }
        form.row.look method="get" action=(app.link("/limits")) {
            label { "Key " input name="key" value=(String::from_utf8_lossy(&key)) required maxlength="2000" placeholder="such as user:42"; }
            label { "by policy "
                select name="policy" {
                    option value="" { "none" }
                    @for (policy, _) in &policies.all { option value=(policy) selected[*policy == wish.policy] { (short(policy.as_bytes(), 40)) } }
                }
            }
            label { "or by limit " input name="limit" value=(wish.limit) placeholder="10 per 1 m" maxlength="60"; }
            label { "algorithm "
                select name="algo" { @for algo in ["LOG", "COUNTER", "FIXED", "GCRA"] { option selected[algo == wish.algo] { (algo) } } }
            }
            button type="submit" { "Look up" }
        }
        (answer)
        (policies_table(&policies))
    })
}

async fn about(app: &App, user: &User, wish: &Wish, key: &[u8]) -> Result<Markup, Failure> {
    let kind = app.db.kind(key).await?;
    let path = |act: &str| format!("/limits/do/{act}?k={}", encode(key));
    let content = match kind.as_str() {
        "modqlease" => leases(
            app,
            user,
            key,
            &app.db.leases(key, cursor(&wish.cursor)).await?,
        ),
        "none" | "modqlimit" => match wish.limits() {
            Err(why) => html! { p.note.bad { (why) } },
            Ok(None) if kind == "none" => nothing(
                "Nothing is charged, blocked or remembered under this key: it is not there.",
            ),
            Ok(None) => {
                html! { p { "The key has charges. Say by which policy or limit to see what is left." } }
            }
            Ok(Some(limits)) => match app.db.peek_limit(key, &limits).await {
                Ok(check) => check_table(&check),
                Err(e) if e.is_lost() => return Err(e),
                Err(e) => html! { p.note.bad { (e.in_words()) " (" (e.to_string()) ")" } },
            },
        },
        _ => {
            html! { p.note.bad { "This key is not a limit: it holds a value of type " (kind) "." } }
        }
    };
    Ok(html! {
        section {
            div.row.head {
                h2 { span.over { "Key" } " " (name(key)) }
                span.stretch {}
                @if user.may(Role::Supervisor) && (kind == "modqlimit" || kind == "none") {
                    (action(app, &path("block"), "Block…", true))
                    @if kind == "modqlimit" { (action(app, &path("reset"), "Reset…", true)) }
                }
            }
            (content)
        }
    })
}

fn cursor(given: &str) -> &str {
    let fine = !given.is_empty() && given.bytes().all(|b| b.is_ascii_digit());
    if fine { given } else { "0" }
}

fn check_table(check: &LimitCheck) -> Markup {
    html! {
        @if !check.allowed {
            p.note.bad { "Denies everything now" @if check.retry_after >= 0 { ", for " (duration(check.retry_after)) } ": the key is blocked." }
        }
        div.scroll { table.grid.narrow {
            thead { tr { th scope="col" { "Limit" } th scope="col" colspan="2" { "Left now" } th.num scope="col" { "More in" } th.num scope="col" { "Unused again in" } } }
            tbody { @for limit in &check.limits { tr {
                th scope="row" { (number(limit.quota)) " per " (duration(limit.window)) }
                td { meter min="0" max=(limit.quota.max(1)) value=(limit.remaining) { (number(limit.remaining)) } }
                td.num { (number(limit.remaining)) }
                td.num { @if limit.next_after > 0 { (duration(limit.next_after)) } @else { span.nil { "full" } } }
                td.num { @if limit.reset_after > 0 { (duration(limit.reset_after)) } @else { span.nil { "unused" } } }
            } } }
        } }
    }
}

fn leases(app: &App, user: &User, key: &[u8], page: &Page<Lease>) -> Markup {
    let now = now_ms();
    html! {
        @if page.rows.is_empty() { (nothing("No lease is held.")) }
        @else {
            div.scroll { table.grid {
                thead { tr { th scope="col" { "Lease" } th.num scope="col" { "Units" } th.num scope="col" { "Ends in" } th scope="col" { span.unseen { "Action" } } } }
                tbody { @for lease in &page.rows { tr {
                    th scope="row" { (name(&lease.id)) }
                    td.num { (number(lease.cost)) }
                    td.num { (duration(lease.expires - now)) }
                    td { @if user.may(Role::Supervisor) {
                        (action(app, &format!("/limits/do/end?k={}&id={}", encode(key), encode(&lease.id)), "End…", true))
                    } }
                } } }
            } }
            @if let Some(next) = &page.next {
                nav.pages { a.button rel="next" href=(app.link(&format!("/limits?k={}&cursor={next}", encode(key)))) { "Next page" } }
            }
        }
    }
}

/// Policies, and whether all primaries have the same.
struct Policies {
    all: Vec<(String, Vec<PolicyLimit>)>,
    /// Names that some primaries have and some do not.
    uneven: Vec<String>,
    total: usize,
}

async fn policies(app: &App) -> Result<Policies, Failure> {
    let nodes = app.db.primaries().await?;
    let mut names: Vec<Vec<Vec<u8>>> = Vec::new();
    for node in &nodes {
        match app.db.policies(node).await {
            Ok(list) => names.push(list),
            // Who may not see policies may still look keys up.
            Err(e) if e.code == "NOPERM" => {
                return Ok(Policies {
                    all: Vec::new(),
                    uneven: Vec::new(),
                    total: 0,
                });
            }
            Err(e) => return Err(e),
        }
    }
    let mut union: Vec<&Vec<u8>> = names.iter().flatten().collect();
    union.sort();
    union.dedup();
    let somewhere_not = |name: &Vec<u8>| names.iter().any(|list| list.binary_search(name).is_err());
    let uneven = union
        .iter()
        .filter(|name| somewhere_not(name))
        .map(|name| shown(name))
        .collect();
    let total = union.len();
    let mut all = Vec::new();
    for name in union.into_iter().take(POLICIES) {
        let has = names
            .iter()
            .position(|list| list.binary_search(name).is_ok())
            .unwrap_or(0);
        let limits = app.db.policy(&nodes[has], name).await?;
        all.push((String::from_utf8_lossy(name).into_owned(), limits));
    }
    Ok(Policies { all, uneven, total })
}

fn policies_table(policies: &Policies) -> Markup {
    html! {
        section {
            h2 { "Policies" }
            @if !policies.uneven.is_empty() {
                p.note.bad { "Not on every primary: " (policies.uneven.join(", ")) ". A check there answers NOPOLICY; set them again on each." }
            }
            @if policies.all.is_empty() { (nothing("No policy is set. RATELIMIT.POLICY SET names a list of limits.")) }
            @else {
                div.scroll { table.grid {
                    thead { tr { th scope="col" { "Name" } th scope="col" { "Limits" } } }
                    tbody { @for (policy, limits) in &policies.all { tr {
                        th scope="row" { (name(policy.as_bytes())) }
                        td { @for limit in limits { span.tag {
                            (number(limit.quota)) " per " (duration(limit.window)) ", " (limit.algo)
                            @if limit.algo == "GCRA" { ", burst " (number(limit.burst)) }
                        } " " } }
                    } } }
                } }
                @if policies.total > policies.all.len() { p.quiet { "The first " (policies.all.len()) " of " (policies.total) "." } }
            }
        }
    }
}
