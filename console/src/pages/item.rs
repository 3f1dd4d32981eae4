//! One item: where it is now, why it does not go to somebody, what happened to it, and what can be done.

use super::parts::{action, ago, item_link, item_path, name, payload, queue_link, tags, time};
use super::{Live, Place, View, missing, respond};
use crate::app::App;
use crate::bytes::{decode, short, shown, words};
use crate::db::{Event, Failure, Item};
use crate::security::User;
use crate::security::users::Role;
use crate::words::{count, duration, now_ms, number};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Entries of the event stream that one look goes through.
const SEARCHED: u32 = 1000;

/// The history of an open page is looked for anew when the item is another, and after so long.
const HISTORY_FRESH: Duration = Duration::from_secs(20);

/// What is asked about the item.
#[derive(Deserialize, Default, Clone)]
pub(crate) struct Question {
    /// Why it does not go to this moderator.
    #[serde(default)]
    who: String,
    #[serde(default)]
    offers: String,
    /// The stream is searched back from here.
    #[serde(default)]
    before: String,
}

struct Wish {
    key: Vec<u8>,
    item: Vec<u8>,
    question: Question,
    history: Mutex<Option<Looked>>,
}

/// The history as it was last looked for: a thousand entries are too many to go through with each tick.
struct Looked {
    at: Instant,
    mark: Mark,
    body: Markup,
}

/// What changes with most of what happens to an item; none if it is not there.
type Mark = Option<(String, [i64; 5], Option<i64>)>;

fn mark(item: Option<&Item>) -> Mark {
    item.map(|it| {
        let votes = i64::try_from(it.votes.len()).unwrap_or(i64::MAX);
        let numbers = [it.rev, it.reports, it.deliveries, it.expiries, votes];
        (it.state.clone(), numbers, it.deadline)
    })
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    user: User,
    headers: HeaderMap,
    Path((key, item)): Path<(String, String)>,
    Query(question): Query<Question>,
) -> Response {
    let (Some(key), Some(item)) = (decode(&key), decode(&item)) else {
        return missing(&app, "This address names no item.");
    };
    respond(
        app,
        user,
        &headers,
        Wish {
            key,
            item,
            question,
            history: Mutex::default(),
        },
    )
    .await
}

impl Live for Wish {
    async fn render(&self, app: &App, user: &User) -> Result<View, Failure> {
        let (found, position) = tokio::try_join!(
            app.db.item(&self.key, &self.item),
            app.db.position(&self.key, &self.item)
        )?;
        let view = View::new(short(&self.item, 60), Place::Queues);
        let view = match &found {
            Some(item) => {
                let (reasons, group) = tokio::try_join!(self.reasons(app), self.group(app, item))?;
                view.panel("head", self.head(app, user, item))
                    .panel("state", self.state(item, position))
                    .panel(
                        "payload",
                        html! { h2 { "Payload" } (payload(&item.payload)) },
                    )
                    .panel("facts", facts(item, is_blind(user)))
                    .panel("group", group)
                    .panel("votes", votes(item, is_blind(user)))
                    .panel("why", self.why(item, reasons.as_deref()))
            }
            None => view.panel("gone", self.gone(app, user).await?),
        };
        let sight = Sight::of(user, found.is_some());
        Ok(view.panel(
            "history",
            self.recent(app, sight, mark(found.as_ref())).await?,
        ))
    }
}

impl Wish {
    async fn reasons(&self, app: &App) -> Result<Option<Vec<String>>, Failure> {
        if self.question.who.is_empty() {
            return Ok(None);
        }
        let offers = words(&self.question.offers);
        app.db
            .why(&self.key, &self.item, self.question.who.as_bytes(), &offers)
            .await
    }

    /// The others of its group.
    async fn group(&self, app: &App, item: &Item) -> Result<Markup, Failure> {
        let Some(group) = item.group.as_ref().filter(|group| !group.is_empty()) else {
            return Ok(html! {});
        };
        let page = match app.db.group(&self.key, group).await {
            Ok(page) => page,
            Err(e) if e.is_lost() => return Err(e),
            Err(e) => return Ok(html! { h2 { "Group" } p.quiet { (e.in_words()) } }),
        };
        let others: Vec<_> = page.rows.iter().filter(|r| r.item != self.item).collect();
        Ok(html! {
            h2 { "Group " (name(group)) }
            @if others.is_empty() { p.nothing { "No other item of the queue is of this group." } }
            @else { ul.names { @for row in others {
                li data-key=(shown(&row.item)) { (item_link(app, &self.key, &row.item)) " " span.quiet { (row.state.as_deref().unwrap_or_default()) } }
            } } }
            @if page.next.is_some() { p.quiet { "The first " (page.rows.len()) "; there are more." } }
        })
    }

    fn head(&self, app: &App, user: &User, item: &Item) -> Markup {
        let path = item_path(&self.key, &self.item);
        let to = |act: &str| format!("{path}/do/{act}");
        html! {
            div.row.head {
                h1 { span.over { (queue_link(app, &self.key)) } " " span.name title=(shown(&self.item)) { (short(&self.item, 90)) } }
                span.stretch {}
                @if user.may(Role::Supervisor) {
                    (action(app, &to("assign"), if item.state == "locked" { "Hand over…" } else { "Assign…" }, false))
                    (action(app, &to("move"), "Move…", false))
                    (action(app, &to("update"), "Change…", false))
                    @if item.state == "dead" { (action(app, &to("revive"), "Revive…", false)) }
                    @if item.state == "locked" { (action(app, &to("release"), "Take back…", false)) }
                    (action(app, &to("cancel"), "Cancel…", true))
                }
            }
        }
    }

    /// Where it is, as a sentence.
    fn state(&self, item: &Item, position: Option<i64>) -> Markup {
        let now = now_ms();
        html! { p.state data-state=(item.state) {
            @match item.state.as_str() {
                "ready" => { b { "Ready" } @if let Some(n) = position { @if n == 1 { ", next to be claimed" } @else { ", number " (number(n)) " in line" } } "." }
                "locked" => {
                    b { "In review" } " with " (name(item.moderator.as_deref().unwrap_or_default()))
                    ", " (duration(item.deadline.unwrap_or(now) - now)) " left."
                }
                "delayed" => { b { "Delayed" } ", due in " (duration(item.due - now)) "." }
                "dead" => {
                    b { "Dead" }
                    @if item.contested { ": its votes cannot agree any more." }
                    @else { ": " (count(item.expiries, "lapsed lock")) ". Nobody is given it until somebody revives it." }
                }
                other => { b { (other) } }
            }
            @if item.contested && item.state != "dead" { " Contested: the next verdict ends it." }
        } }
    }

    fn why(&self, item: &Item, reasons: Option<&[String]>) -> Markup {
        let q = &self.question;
        html! {
            h2 { "Why does it not go to …" }
            form.row method="get" {
                label { "Moderator " input name="who" value=(q.who) required maxlength="512"; }
                label { "offering " input name="offers" value=(q.offers) placeholder="tags, with commas; else what they joined with"; }
                button type="submit" { "Ask" }
            }
            @if !q.who.is_empty() {
                @match reasons {
                    Some([]) => { p { "Nothing stands in the way: it goes to " (name(q.who.as_bytes())) " as soon as they wait." } }
                    Some(reasons) => { ul { @for reason in reasons { li { (reason_in_words(reason, item)) } } } }
                    None => { p.quiet { "The item is no longer there." } }
                }
            }
        }
    }

    async fn gone(&self, app: &App, user: &User) -> Result<Markup, Failure> {
        let known = app.db.capabilities();
        let record = match known.records {
            true => app.db.decided(&self.key, &self.item).await?,
            false => None,
        };
        Ok(html! {
            h1 { span.over { (queue_link(app, &self.key)) } " " span.name { (short(&self.item, 90)) } }
            @match &record {
                Some(fields) => {
                    p.state { b { "Decided" } ", and no longer in the queue." }
                    dl.facts { @for (field, value) in fields { div { dt { (field) } dd { (shown(value)) } } } }
                    @if user.may(Role::Supervisor) { (action(app, &format!("{}/do/forget", item_path(&self.key, &self.item)), "Forget this record…", true)) }
                }
                None => { p.state { b { "Not in this queue." } " It was never here, or is resolved, cancelled or moved." } }
            }
        })
    }

    /// The history, as it was if nothing has happened since.
    async fn recent(&self, app: &App, sight: Sight, mark: Mark) -> Result<Markup, Failure> {
        if let Ok(known) = self.history.lock() {
            let fits = |l: &&Looked| l.mark == mark && l.at.elapsed() < HISTORY_FRESH;
            if let Some(known) = known.as_ref().filter(fits) {
                return Ok(known.body.clone());
            }
        }
        let body = self.history(app, sight).await?;
        if let Ok(mut known) = self.history.lock() {
            *known = Some(Looked {
                at: Instant::now(),
                mark,
                body: body.clone(),
            });
        }
        Ok(body)
    }

    async fn history(&self, app: &App, sight: Sight) -> Result<Markup, Failure> {
        let config = app.db.config(&self.key).await?;
        let stream = config
            .iter()
            .find(|(name, _)| name == "events")
            .map(|(_, v)| v.clone())
            .unwrap_or_default();
        if stream.is_empty() {
            return Ok(html! {
                h2 { "History" }
                p.quiet { "This queue writes no event stream, so what happened before is kept nowhere. EVENTS in its settings names one." }
            });
        }
        let before = self.before();
        let all = match app.db.events(&stream, &before, SEARCHED).await {
            Ok(all) => all,
            Err(e) if e.is_lost() => return Err(e),
            Err(e) => return Ok(html! { h2 { "History" } p.quiet { (e.in_words()) } }),
        };
        let ours = |e: &&Event| {
            e.get("item") == Some(&self.item)
                && e.get("key") == Some(&self.key)
                && sight.shows(e.get("ev").unwrap_or_default())
        };
        let events: Vec<&Event> = all.iter().filter(ours).collect();
        let further = all.last().filter(|_| all.len() == SEARCHED as usize);
        Ok(html! {
            h2 { "History" }
            @if events.is_empty() { p.nothing { "Nothing about this item among the " (number(all.len() as i64)) " entries searched." } }
            @else { ol.events { @for event in &events { (event_row(event, sight)) } } }
            @if let Some(last) = further {
                p.quiet {
                    "Searched " (number(all.len() as i64)) " entries, back to " (time(stamp(&last.id))) ". "
                    a href=(app.link(&format!("{}?before=({}", item_path(&self.key, &self.item), last.id))) { "Search further back" }
                }
            }
        })
    }

    /// Where to begin: an id of a stream entry, exclusive, or the end.
    fn before(&self) -> String {
        let id = self.question.before.trim_start_matches('(');
        let fine =
            !id.is_empty() && id.len() < 50 && id.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if fine { format!("({id}") } else { "+".into() }
    }
}

fn stamp(id: &str) -> i64 {
    id.split('-')
        .next()
        .and_then(|ms| ms.parse().ok())
        .unwrap_or(0)
}

fn reason_in_words(reason: &str, item: &Item) -> Markup {
    html! { @match reason {
        "state" => { "It is not ready: it is " (item.state) "." }
        "tags" => { "They do not offer all of its tags: " (tags(&item.tags)) }
        "excluded" => "They are excluded from it, or skipped it."
        "capacity" => "They hold as many items as the queue allows one person."
        "paused" => "The queue is paused and hands out nothing."
        "behind" => "Others come first: it goes to them in its turn."
        "voted" => "They have voted on it already."
        "decider" => "They decided it before, and this is the appeal."
        "exposure" => "They have seen as much of this kind as they may."
        other => { (other) }
    } }
}

fn facts(item: &Item, blind: bool) -> Markup {
    let now = now_ms();
    html! {
        h2 { "Facts" }
        dl.facts {
            div { dt { "Submitted" } dd { (time(item.submitted)) ", " (ago(item.submitted, now)) " ago" } }
            div { dt { "Priority" } dd { (number(item.priority)) } }
            @if item.boost != 0 { div { dt { "Boost" } dd { (number(item.boost)) " ms" } } }
            @if item.due > now { div { dt { "Due" } dd { (time(item.due)) } } }
            div { dt { "Reports" } dd { (number(item.reports)) } }
            div { dt { "Times locked" } dd { (number(item.deliveries)) } }
            div { dt { "Locks that lapsed" } dd { (number(item.expiries)) } }
            div { dt { "Revision" } dd { (number(item.rev)) } }
            @if let Some(deadline) = item.deadline { div { dt { "Lock ends" } dd { (time(deadline)) } } }
            @if !item.deciders.is_empty() && !blind { div { dt { "An appeal; decided before by" } dd { (tags(&item.deciders)) } } }
            div { dt { "Needs" } dd { @if item.tags.is_empty() { span.quiet { "no tags" } } @else { (tags(&item.tags)) } } }
            div { dt { "Not for" } dd { @if item.excluded.is_empty() { span.quiet { "nobody excluded" } } @else { (tags(&item.excluded)) } } }
        }
    }
}

/// Whether somebody must not see how others voted: those who sit at the desk, so that what they say of an item
/// is their own.
fn is_blind(user: &User) -> bool {
    user.role == Role::Moderator
}

/// What of an item's history somebody may see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    All,
    /// No votes.
    NoVotes,
    /// Nor who decided it before, and how: it is to be judged again.
    Blind,
}

impl Sight {
    fn of(user: &User, live: bool) -> Sight {
        match (is_blind(user), live) {
            (false, _) => Sight::All,
            (true, false) => Sight::NoVotes,
            (true, true) => Sight::Blind,
        }
    }

    fn shows(self, event: &[u8]) -> bool {
        match event {
            b"vote" | b"split" => self == Sight::All,
            b"resolve" => self != Sight::Blind,
            _ => true,
        }
    }
}

fn votes(item: &Item, blind: bool) -> Markup {
    let Some((k, n)) = item
        .quorum
        .filter(|(k, _)| *k > 1 || !item.votes.is_empty())
    else {
        return html! {};
    };
    html! {
        h2 { "Votes" }
        p.quiet { (k) " equal verdicts of at most " (n) " votes are needed." }
        @if blind { p.nothing { "Who decides does not see how others voted." } }
        @else if item.votes.is_empty() { p.nothing { "Nobody has voted yet." } }
        @else { table.grid {
            thead { tr { th scope="col" { "Who" } th scope="col" { "Verdict" } th scope="col" { "When" } } }
            tbody { @for vote in &item.votes { tr { th scope="row" { (name(&vote.moderator)) } td { (name(&vote.verdict)) } td { (time(vote.at)) } } } }
        } }
    }
}

fn event_row(event: &Event, sight: Sight) -> Markup {
    let text = |name: &str| event.get(name).map(shown).unwrap_or_default();
    let who = text("moderator");
    let ev = text("ev");
    let words = match ev.as_str() {
        "submit" => "submitted",
        "move_in" => "arrived from another queue",
        "move_out" => "moved to another queue",
        "bump" => "reported again",
        "replace" => "replaced",
        "update" => "changed",
        "claim" => "taken",
        "assign" => "assigned",
        "extend" => "lock extended",
        "resolve" => "resolved",
        "vote" => "voted",
        "split" => "split",
        "release" => "released",
        "expire" => "lock lapsed",
        "dead" => "lock lapsed once too often: dead",
        "due" => "came due",
        "undo" => "match undone",
        "revive" => "revived",
        "cancel" => "cancelled",
        "report" => "reported after the decision",
        "forget" => "record dropped",
        other => other,
    };
    let told = ["ev", "key", "item", "at", "moderator", "token", "rev"];
    let rest = event
        .fields
        .iter()
        .filter(|(name, _)| !told.contains(&name.as_str()))
        .filter(|(name, _)| sight != Sight::Blind || name != "deciders");
    html! { li data-key=(event.id) {
        (time(stamp(&event.id))) " " b { (words) }
        @if !who.is_empty() { " · " (short(who.as_bytes(), 40)) }
        span.quiet { @for (name, value) in rest { " · " (name) " " (short(value, 60)) } }
    } }
}
