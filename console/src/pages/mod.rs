//! The pages: one file each. A page that lives is made of panels; they are rendered once for the page and again for its
//! stream (see sse.rs), and the script changes in place what differs.

pub(crate) mod audit;
pub(crate) mod boards;
pub(crate) mod dead;
pub(crate) mod desk;
pub(crate) mod item;
pub(crate) mod limits;
pub(crate) mod login;
pub(crate) mod parts;
pub(crate) mod queue;
pub(crate) mod queues;
pub(crate) mod search;
pub(crate) mod state;

use crate::app::App;
use crate::assets;
use crate::db::Failure;
use crate::security::User;
use crate::security::users::Role;
use crate::sse;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{DOCTYPE, Markup, html};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::watch;

/// The part of the navigation that a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Queues,
    Desk,
    Dead,
    Limits,
    Boards,
    Audit,
    Nowhere,
}

/// A part of a page that is brought up to date as a whole.
pub(crate) struct Panel {
    pub(crate) id: &'static str,
    pub(crate) body: Markup,
}

/// What a page shows now.
pub(crate) struct View {
    pub(crate) title: String,
    pub(crate) place: Place,
    pub(crate) panels: Vec<Panel>,
}

impl View {
    pub(crate) fn new(title: impl Into<String>, place: Place) -> View {
        View {
            title: title.into(),
            place,
            panels: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn panel(mut self, id: &'static str, body: Markup) -> View {
        self.panels.push(Panel { id, body });
        self
    }
}

/// A page that is kept up to date while it is open.
pub(crate) trait Live: Send + Sync + 'static {
    /// What it shows now. Read-only, and cheap enough for each tick.
    fn render(&self, app: &App, user: &User) -> impl Future<Output = Result<View, Failure>> + Send;

    /// What changes when it is worth rendering again: the ticks of the sampler, unless the page knows better.
    fn changes(&self, app: &App) -> watch::Receiver<u64> {
        app.sampler.ticks()
    }
}

/// Whether the page is open already, and asks what changes.
pub(crate) fn wants_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .is_some_and(|a| a == "text/event-stream")
}

/// Answers a live page, or its stream to who asks for that.
pub(crate) async fn respond<L: Live>(
    app: Arc<App>,
    user: User,
    headers: &HeaderMap,
    page: L,
) -> Response {
    if wants_stream(headers) {
        return sse::stream(app, user, page);
    }
    match page.render(&app, &user).await {
        Ok(view) => {
            let body = html! {
                @for panel in &view.panels {
                    div.panel id=(format!("panel-{}", panel.id)) data-panel=(panel.id) { (panel.body) }
                }
            };
            document(&app, Some(&user), &view.title, view.place, true, &body).into_response()
        }
        Err(failure) => {
            let body = html! {
                div.empty {
                    h1 { (failure.in_words()) }
                    p { "The page comes back by itself." }
                    p.quiet { (failure.to_string()) }
                }
            };
            let page = document(&app, Some(&user), "No answer", Place::Nowhere, true, &body);
            (status_of(&failure), page).into_response()
        }
    }
}

/// A page that stays as it is.
pub(crate) fn still(app: &App, user: &User, title: &str, place: Place, body: &Markup) -> Response {
    document(app, Some(user), title, place, false, body).into_response()
}

/// A failure on a page that stays as it is.
pub(crate) fn failed(app: &App, user: &User, failure: &Failure) -> Response {
    let body = html! {
        div.empty {
            h1 { (failure.in_words()) }
            p.quiet { (failure.to_string()) }
        }
    };
    let page = document(app, Some(user), "No answer", Place::Nowhere, false, &body);
    (status_of(failure), page).into_response()
}

fn status_of(failure: &Failure) -> StatusCode {
    match failure.code.as_str() {
        "NOITEM" => StatusCode::NOT_FOUND,
        "LOST" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "NOAUTH" | "NOTRUST" | "NOCERT" => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::CONFLICT,
    }
}

/// A refusal, for whoever asks.
pub(crate) fn error_page(app: &App, status: StatusCode, why: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Refused");
    let body = html! {
        div.empty {
            h1 { (title) }
            p { (why) }
            p { a href=(app.link("/")) { "To the queues" } }
        }
    };
    (
        status,
        document(app, None, title, Place::Nowhere, false, &body),
    )
        .into_response()
}

/// Sends who is not signed in to the page for that; streams and scripts are told plainly.
pub(crate) fn to_login(app: &App, parts: &Parts) -> Response {
    let page = parts.method == axum::http::Method::GET
        && parts
            .headers
            .get(header::ACCEPT)
            .is_none_or(|a| a != "text/event-stream");
    if !page {
        return (StatusCode::UNAUTHORIZED, "sign in first").into_response();
    }
    if app.config.proxy.is_some() {
        return error_page(
            app,
            StatusCode::FORBIDDEN,
            "The proxy in front of the console did not say who you are.",
        );
    }
    let from = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let to = crate::bytes::encode(from.as_bytes());
    Redirect::to(&app.link(&format!("/login?next={to}"))).into_response()
}

/// The page for what is not there.
pub(crate) fn missing(app: &App, what: &str) -> Response {
    error_page(app, StatusCode::NOT_FOUND, what)
}

/// The one for who may not.
pub(crate) fn forbidden(app: &App, user: &User, needed: Role) -> Response {
    let why = match app.config.read_only {
        true => "This console is read-only: nothing can be changed here.".to_owned(),
        false => format!(
            "This needs the role {}; yours is {}.",
            needed.name(),
            user.role.name()
        ),
    };
    error_page(app, StatusCode::FORBIDDEN, &why)
}

/// A whole document.
pub(crate) fn document(
    app: &App,
    user: Option<&User>,
    title: &str,
    place: Place,
    live: bool,
    body: &Markup,
) -> Html<String> {
    let notes = user.map(|u| u.session.take_notes()).unwrap_or_default();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · modq" }
                link rel="icon" href=(app.link(&assets::path("icon.svg"))) type="image/svg+xml";
                link rel="stylesheet" href=(app.link(&assets::path("console.css")));
                script src=(app.link(&assets::path("theme.js"))) {}
                script src=(app.link(&assets::path("live.js"))) defer {}
                @if place == Place::Desk { script src=(app.link(&assets::path("desk.js"))) defer {} }
            }
            body data-live[live] {
                a.skip href="#main" { "To the content" }
                (top(app, user, place))
                div #trouble .trouble hidden { }
                main #main tabindex="-1" {
                    @for note in &notes {
                        p.note .bad[!note.well] role="status" { (note.text) }
                    }
                    (body)
                }
                (foot(app, user, live))
            }
        }
    };
    Html(page.into_string())
}

fn top(app: &App, user: Option<&User>, place: Place) -> Markup {
    let entries = [
        (Place::Queues, "/", "Queues", Role::Viewer),
        (Place::Desk, "/desk", "Desk", Role::Moderator),
        (Place::Dead, "/dead", "Dead letters", Role::Viewer),
        (Place::Limits, "/limits", "Limits", Role::Viewer),
        (Place::Boards, "/boards", "Boards", Role::Viewer),
        (Place::Audit, "/audit", "Audit", Role::Supervisor),
    ];
    html! {
        header.top {
            a.brand href=(app.link("/")) { "modq" }
            @if let Some(user) = user {
                nav aria-label="Main" {
                    @for (at, path, name, role) in entries {
                        @if user.may(role) {
                            a href=(app.link(path)) aria-current=[(at == place).then_some("page")] { (name) }
                        }
                    }
                }
                form.find action=(app.link("/search")) method="get" role="search" {
                    input type="search" name="item" placeholder="Find an item by its id" aria-label="Find an item by its id" maxlength="2000";
                }
                div.me {
                    span.who title=(format!("Role: {}", user.role.name())) {
                        (crate::bytes::short(user.name().as_bytes(), 24))
                        " " span.quiet { (user.role.name()) }
                    }
                    @if app.config.proxy.is_none() {
                        form action=(app.link("/logout")) method="post" {
                            (parts::csrf(user))
                            button.plain type="submit" { "Sign out" }
                        }
                    }
                }
            }
        }
    }
}

fn foot(app: &App, user: Option<&User>, live: bool) -> Markup {
    html! {
        footer.foot {
            @if user.is_some() {
                @if app.config.read_only { span.chip { "read-only" } }
                span.quiet { (app.db.target().in_words()) }
                @if live {
                    span #age .quiet { "connecting" }
                    span #status .unseen role="status" { }
                }
            }
            span.stretch {}
            button.plain type="button" data-theme-next="" { "Theme: system" }
        }
    }
}
