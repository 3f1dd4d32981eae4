//! The desk: what am I judging, how much time is left, which keys? It shows what a claim tells and nothing else, so that
//! a second opinion is blind.

use super::parts::{csrf, name, payload, queue_link, tags, time};
use super::{Live, Place, View, forbidden, missing, respond, still, wants_stream};
use crate::actions::{Form, guard, refusal};
use crate::app::App;
use crate::bytes::{decode, encode, short, shown, words};
use crate::db::{Claim, Failure};
use crate::desk::{Hand, Seat, Viewer};
use crate::security::users::Role;
use crate::security::{User, same};
use crate::words::{count, duration, now_ms, number};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use std::sync::Arc;
use tokio::sync::watch;

/// The most items of a group that one decision takes with it.
const ALSO: u32 = 1000;
/// Queues to choose from.
const QUEUES: usize = 500;

pub(crate) async fn choose(State(app): State<Arc<App>>, user: User) -> Response {
    if let Some(refused) = refusal(&app, &user, Role::Moderator) {
        return refused;
    }
    let snapshot = app.sampler.snapshot();
    let mut queues: Vec<_> = snapshot.queues.values().cloned().collect();
    queues.sort_by_key(|q| std::cmp::Reverse(q.stats.as_ref().map_or(-1, |s| s.ready)));
    let mine = app.desks.of(user.name());
    let body = html! {
        h1 { "Desk" }
        p.quiet { "Sit down at a queue: items then come by themselves, one at a time." }
        @if !mine.is_empty() {
            h2 { "You sit at" }
            ul.names { @for seat in &mine { li { a.name href=(app.link(&path(&seat.key))) { (short(&seat.key, 60)) } } } }
        }
        h2 { "Queues" }
        @if queues.is_empty() { (super::queues::none_yet()) }
        @else {
            div.scroll { table.grid {
                thead { tr { th scope="col" { "Queue" } th.num scope="col" { "Ready" } th.num scope="col" { "Oldest" } th.num scope="col" { "People waiting" } } }
                tbody { @for queue in queues.iter().take(QUEUES) { tr {
                    th scope="row" { a.name href=(app.link(&path(&queue.key))) title=(shown(&queue.key)) { (short(&queue.key, 60)) } }
                    @if let Some(s) = &queue.stats {
                        td.num { (number(s.ready)) }
                        td.num { @if s.ready > 0 { (duration(s.oldest_ready_ms)) } @else { span.nil { "none" } } }
                        td.num { (number(s.waiting)) }
                    } @else { td.quiet colspan="3" { "no figures yet" } }
                } } }
            } }
            @if queues.len() > QUEUES { p.quiet { "The first " (QUEUES) "; open the others from their own page." } }
        }
    };
    still(&app, &user, "Desk", Place::Desk, &body)
}

fn path(key: &[u8]) -> String {
    format!("/desk/{}", encode(key))
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    user: User,
    headers: HeaderMap,
    Path(key): Path<String>,
) -> Response {
    if let Some(refused) = refusal(&app, &user, Role::Moderator) {
        return refused;
    }
    let Some(key) = decode(&key) else {
        return missing(&app, "This address names no queue.");
    };
    match app.desks.find(user.name(), &key) {
        Some(seat) => {
            let viewer = wants_stream(&headers).then(|| seat.view());
            respond(
                app,
                user,
                &headers,
                AtDesk {
                    seat,
                    _viewer: viewer,
                },
            )
            .await
        }
        None if wants_stream(&headers) => (StatusCode::GONE, "nobody sits here").into_response(),
        None => still(
            &app,
            &user,
            &format!("Desk: {}", short(&key, 40)),
            Place::Desk,
            &sit_down(&app, &user, &key),
        ),
    }
}

fn sit_down(app: &App, user: &User, key: &[u8]) -> Markup {
    html! {
        form.card method="post" action=(app.link(&format!("{}/join", path(key)))) {
            (csrf(user))
            h1 { "Sit down at " (name(key)) }
            ul {
                li { "You are in line as " b { (short(user.name().as_bytes(), 40)) } "; items come by themselves and are locked for you." }
                li { "While you are at work your locks are extended. When you leave, they lapse and others get the items." }
            }
            label { "What you can take: tags, with commas"
                input name="tags" maxlength="10000" autocomplete="off" placeholder="such as english, spam; none: items without tags only";
            }
            button.main type="submit" { "Sit down" }
        }
    }
}

struct AtDesk {
    seat: Arc<Seat>,
    /// Counted as an open page while its stream lives.
    _viewer: Option<Viewer>,
}

impl Live for AtDesk {
    async fn render(&self, app: &App, user: &User) -> Result<View, Failure> {
        let hand = self.seat.look();
        let title = if hand.front().is_some() {
            "Item at the desk"
        } else {
            "Desk: waiting"
        };
        Ok(View::new(title, Place::Desk)
            .panel("desk-head", self.head(app, user, &hand))
            .panel("desk-alert", alert(app, user, &self.seat, &hand))
            .panel("desk-undo", undo(app, user, &self.seat, &hand))
            .panel("desk-item", self.item(app, &hand))
            .panel("desk-acts", self.acts(app, user, &hand))
            .panel("desk-help", html! { p.quiet.keys { "Keys: " kbd { "s" } " skip  " kbd { "l" } " give back  " kbd { "u" } " undo  " kbd { "n" } " note  " kbd { "x" } " blur  " kbd { "?" } " keys on or off" } }))
    }

    fn changes(&self, _: &App) -> watch::Receiver<u64> {
        self.seat.changes()
    }
}

impl AtDesk {
    fn head(&self, app: &App, user: &User, hand: &Hand) -> Markup {
        let key = &self.seat.key;
        html! {
            div.row.head {
                h1 { span.over { "Desk" } " " (queue_link(app, key)) }
                span.quiet { @if self.seat.tags.is_empty() { "no tags" } @else { (tags(&self.seat.tags)) } }
                span.stretch {}
                span.quiet { (number(i64::from(hand.decided))) " decided" @if hand.returned > 0 { ", " (number(i64::from(hand.returned))) " given back" } }
                button.plain type="button" data-toggle="keys" aria-pressed="true" { "Keys" }
                button.plain type="button" data-toggle="blur" aria-pressed="false" { "Blur" }
                button.plain type="button" data-toggle="gray" aria-pressed="false" { "Grey" }
                form method="post" action=(app.link(&format!("{}/leave", path(key)))) { (csrf(user)) button type="submit" { "Stand up" } }
            }
            @if let Some(trouble) = &hand.trouble { p.note.bad { (trouble.in_words()) " The desk tries again by itself." } }
        }
    }

    fn item(&self, app: &App, hand: &Hand) -> Markup {
        let Some(claim) = hand.front() else {
            return self.waiting(hand);
        };
        let now = now_ms();
        html! {
            article.item data-key=(format!("{} {}", encode(&claim.item), claim.rev)) data-item=(encode(&claim.item)) data-deadline=(claim.deadline) {
                h2 #item-name { (name(&claim.item)) }
                p.quiet {
                    "Time left " b data-until=(claim.deadline) data-now=(now) { (duration(claim.deadline - now)) }
                    " · priority " (number(claim.priority)) " · came " (time(claim.submitted))
                    @if claim.deliveries > 1 { " · given out " (claim.deliveries) " times" }
                    @if hand.claims.len() > 1 { " · " (hand.claims.len() - 1) " more in your hands" }
                }
                @if self.seat.is_idle(hand) { p.note.bad { "You seem to be away: the lock is no longer extended. Press a key to go on." } }
                (image(app, claim))
                (payload(&claim.payload))
                (group(hand))
            }
        }
    }

    fn waiting(&self, hand: &Hand) -> Markup {
        html! {
            div.empty data-key="waiting" {
                @if self.seat.is_idle(hand) {
                    h2 { "You seem to be away" }
                    p { "Nothing is given to you until you press a key or click." }
                } @else if hand.waiting {
                    h2 { "Nothing for you right now" }
                    p { "You are in line. The next item you may take comes here by itself." }
                } @else if hand.pending.is_some() {
                    h2 { "One moment" }
                    p { "The next item comes when your decision is sent." }
                } @else {
                    h2 { "Looking for an item…" }
                }
            }
        }
    }

    fn acts(&self, app: &App, user: &User, hand: &Hand) -> Markup {
        let item = hand.front().map(|c| encode(&c.item)).unwrap_or_default();
        let none = item.is_empty();
        let others = hand
            .group
            .as_ref()
            .filter(|g| hand.front().is_some_and(|c| c.item == g.item))
            .map_or(0, |g| g.others.len());
        html! {
            form.acts method="post" data-async="" action=(app.link(&format!("{}/act", path(&self.seat.key)))) aria-label="Decide" {
                (csrf(user))
                input type="hidden" name="item" value=(item);
                label.note-field { span { "Note " kbd { "n" } } input name="note" maxlength="4000" autocomplete="off" placeholder="Optional, kept with the decision"; }
                @if others > 0 { label.check { input type="checkbox" name="also" value="1"; " Decide the " (others) " of its group too" } }
                div.row {
                    @for verdict in &app.config.verdicts {
                        button.main type="submit" name="act" value=(format!("verdict:{}", verdict.name)) data-hotkey=(verdict.key) disabled[none] {
                            (verdict.name) " " kbd { (verdict.key) }
                        }
                    }
                    span.stretch {}
                    button type="submit" name="act" value="skip" data-hotkey="s" disabled[none] title="Never given to you again" { "Skip " kbd { "s" } }
                    button type="submit" name="act" value="release" data-hotkey="l" disabled[none] title="Back to its place; it may come to you again" { "Give back " kbd { "l" } }
                }
            }
        }
    }
}

/// The image of an item, where the operator says how to find it.
fn image(app: &App, claim: &Claim) -> Markup {
    let Some(template) = &app.config.image_url else {
        return html! {};
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let id: String = claim
        .item
        .iter()
        .map(|b| {
            if plain(*b) {
                char::from(*b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    html! { img.subject src=(template.replace("{item}", &id)) alt="The image of this item" referrerpolicy="no-referrer"; }
}

fn group(hand: &Hand) -> Markup {
    let Some(group) = hand
        .group
        .as_ref()
        .filter(|g| !g.others.is_empty() && hand.front().is_some_and(|c| c.item == g.item))
    else {
        return html! {};
    };
    html! {
        details.group {
            summary { "Group " (name(&group.name)) ": " (count(group.others.len() as i64, "other item")) @if group.more { " or more" } }
            ul.names { @for row in &group.others { li { (name(&row.item)) " " span.quiet { (row.state.as_deref().unwrap_or_default()) } } } }
        }
    }
}

/// What must be heard at once. The element is always there, so that screen readers speak what comes into it.
fn alert(app: &App, user: &User, seat: &Seat, hand: &Hand) -> Markup {
    let told = hand.told.as_ref();
    html! {
        div role="alert" { @if let Some(told) = told.filter(|t| t.alert) { p.note.bad { (told.text) } } }
        @if let Some(told) = told.filter(|t| !t.alert) { p.note role="status" { (told.text) } }
        @if told.is_some() { form method="post" data-async="" action=(app.link(&format!("{}/act", path(&seat.key)))) { (csrf(user)) button.plain type="submit" name="act" value="dismiss" { "Put this away" } } }
    }
}

fn undo(app: &App, user: &User, seat: &Seat, hand: &Hand) -> Markup {
    let Some(pending) = &hand.pending else {
        return html! { div.undo {} };
    };
    html! {
        form.undo method="post" data-async="" action=(app.link(&format!("{}/act", path(&seat.key)))) {
            (csrf(user))
            span { b { (pending.verdict) } " for " (name(&pending.claim.item)) }
            @if pending.doubtful { span.quiet { "sent, but the server did not answer; trying again" } }
            @else { button type="submit" name="act" value="undo" data-hotkey="u" { "Undo " kbd { "u" } } }
        }
    }
}

pub(crate) async fn join(
    State(app): State<Arc<App>>,
    user: User,
    Path(key): Path<String>,
    form: Form,
) -> Response {
    if let Err(refused) = guard(&app, &user, &form, Role::Moderator).await {
        return refused;
    }
    let Some(key) = decode(&key) else {
        return missing(&app, "This address names no queue.");
    };
    let tags = words(form.get("tags"));
    if tags.len() > 64 || tags.iter().any(|t| t.len() > 255) {
        user.session
            .note(false, "At most 64 tags, each up to 255 bytes.");
        return Redirect::to(&app.link(&path(&key))).into_response();
    }
    let detail = format!("tags {}", shown(form.get("tags").as_bytes()));
    app.audit
        .write(&user.actor(), "desk-join", &key, b"", &detail, "ok")
        .await;
    app.desks.sit(user.actor(), key.clone(), tags).await;
    Redirect::to(&app.link(&path(&key))).into_response()
}

pub(crate) async fn leave(
    State(app): State<Arc<App>>,
    user: User,
    Path(key): Path<String>,
    form: Form,
) -> Response {
    if let Err(refused) = guard(&app, &user, &form, Role::Moderator).await {
        return refused;
    }
    if let Some(key) = decode(&key) {
        app.desks.stand_up(user.name(), &key).await;
        user.session.note(
            true,
            format!(
                "You stood up from {}; what you had in hand is back in its place.",
                short(&key, 40)
            ),
        );
    }
    Redirect::to(&app.link("/desk")).into_response()
}

/// Decides, undoes, skips, gives back, or tells that somebody is there.
pub(crate) async fn act(
    State(app): State<Arc<App>>,
    user: User,
    headers: HeaderMap,
    Path(key): Path<String>,
    form: Form,
) -> Response {
    if !user.may(Role::Moderator) {
        return forbidden(&app, &user, Role::Moderator);
    }
    let Some(key) = decode(&key) else {
        return missing(&app, "This address names no queue.");
    };
    let act = form.get("act");
    // A sign of life is no action: it is not counted.
    if act == "here" {
        if !same(form.get("csrf"), &user.session.csrf) {
            return StatusCode::FORBIDDEN.into_response();
        }
    } else if let Err(refused) = guard(&app, &user, &form, Role::Moderator).await {
        return refused;
    }
    let Some(seat) = app.desks.find(user.name(), &key) else {
        return missing(
            &app,
            "You do not sit at this desk any more. Sit down again.",
        );
    };
    let item = decode(form.get("item")).unwrap_or_default();
    let done = match act {
        "here" => {
            seat.here();
            Ok(())
        }
        "undo" => seat.undo().await,
        "skip" => seat.release(&item, true).await,
        "release" => seat.release(&item, false).await,
        "dismiss" => {
            seat.dismiss();
            Ok(())
        }
        other => decide(&app, &seat, other, &item, &form).await,
    };
    answer(&app, &user, &headers, &key, done)
}

async fn decide(
    app: &App,
    seat: &Seat,
    act: &str,
    item: &[u8],
    form: &Form,
) -> Result<(), Failure> {
    let given = act.strip_prefix("verdict:").unwrap_or_default();
    let verdict = app.config.verdicts.iter().find(|v| v.name == given);
    let verdict = verdict.ok_or_else(|| Failure::new("ERR", "there is no such verdict"))?;
    let note: String = form.get("note").trim().chars().take(4000).collect();
    let also = form.has("also").then_some(ALSO);
    seat.decide(item, &verdict.name, &note, also).await
}

/// The script is told by status and words; without it the page comes again.
fn answer(
    app: &App,
    user: &User,
    headers: &HeaderMap,
    key: &[u8],
    done: Result<(), Failure>,
) -> Response {
    let by_script = headers.contains_key("x-fragment");
    match done {
        Ok(()) if by_script => StatusCode::NO_CONTENT.into_response(),
        Err(failure) if by_script => (StatusCode::CONFLICT, failure.in_words()).into_response(),
        done => {
            if let Err(failure) = done {
                user.session.note(false, failure.in_words());
            }
            Redirect::to(&app.link(&path(key))).into_response()
        }
    }
}
