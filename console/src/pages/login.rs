//! Signing in and out.

use super::{Place, document};
use crate::actions::Form;
use crate::app::App;
use crate::audit::Actor;
use crate::bytes::decode;
use crate::security::attempts::SIGN_IN;
use crate::security::users::name_fault;
use crate::security::{COOKIE, User, cookie, same};
use crate::words::duration;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Each hash takes 19 MiB while it is made: attempts from many addresses at once must not take all memory.
static HASHING: Semaphore = Semaphore::const_new(2);

/// Where to go afterwards: a path of ours, in base64url.
#[derive(Deserialize, Default)]
pub(crate) struct Next {
    #[serde(default)]
    next: String,
}

pub(crate) async fn get(State(app): State<Arc<App>>, Query(next): Query<Next>) -> Response {
    page(&app, &next.next, "", None)
}

fn page(app: &App, next: &str, name: &str, fault: Option<(StatusCode, &str)>) -> Response {
    let password = app.config.users.have_passwords();
    let body = html! {
        form.card method="post" action=(app.link("/login")) {
            h1 { "Sign in" }
            @if let Some((_, why)) = fault { p.note.bad role="alert" { (why) } }
            input type="hidden" name="next" value=(next);
            label { "Your name"
                input name="name" value=(name) autocomplete="username" required autofocus maxlength="100";
            }
            @if password {
                label { "Password" input type="password" name="password" autocomplete="current-password" required maxlength="1000"; }
            } @else {
                p.quiet { "No password is set: this console is for whoever uses this machine." }
            }
            button.main type="submit" { "Sign in" }
        }
    };
    let status = fault.map_or(StatusCode::OK, |(status, _)| status);
    (
        status,
        document(app, None, "Sign in", Place::Nowhere, false, &body),
    )
        .into_response()
}

pub(crate) async fn post(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    form: Form,
) -> Response {
    let (name, next) = (form.get("name"), form.get("next"));
    if app.config.proxy.is_some() {
        return page(
            &app,
            next,
            name,
            Some((
                StatusCode::FORBIDDEN,
                "People are signed in by the proxy here.",
            )),
        );
    }
    let from = peer.ip().to_string();
    let wait = app
        .attempts
        .count(&app.db, app.config.read_only, SIGN_IN, &from)
        .await;
    if let Some(ms) = wait {
        let why = format!("Too many attempts. Try again in {}.", duration(ms));
        return page(
            &app,
            next,
            name,
            Some((StatusCode::TOO_MANY_REQUESTS, &why)),
        );
    }
    if let Some(why) = name_fault(name) {
        return page(&app, next, name, Some((StatusCode::BAD_REQUEST, why)));
    }
    let (checker, given, password) = (
        app.clone(),
        name.to_owned(),
        form.get("password").to_owned(),
    );
    // Hashing takes some 20 ms of a processor: not on a thread that serves others.
    let check = move || {
        checker
            .config
            .users
            .check(&given, &password, checker.config.role)
    };
    let turn = HASHING.acquire().await;
    let role = tokio::task::spawn_blocking(check).await.ok().flatten();
    drop(turn);
    if role.is_some() {
        app.attempts
            .give_back(&app.db, app.config.read_only, SIGN_IN, &from)
            .await;
    }
    let actor = Actor {
        who: name.to_owned(),
        role: role.map_or("none", |r| r.name()),
        from,
    };
    let result = if role.is_some() { "ok" } else { "REFUSED" };
    app.audit
        .write(&actor, "sign-in", b"", b"", "", result)
        .await;
    let Some(role) = role else {
        return page(
            &app,
            next,
            name,
            Some((StatusCode::FORBIDDEN, "Name or password is wrong.")),
        );
    };
    let secret = app.sessions.begin(name, role);
    let path = if app.config.base.is_empty() {
        "/"
    } else {
        &app.config.base
    };
    let secure = if app.config.secure_cookies {
        "; Secure"
    } else {
        ""
    };
    let value = format!("{COOKIE}={secret}; Path={path}; HttpOnly; SameSite=Strict{secure}");
    let mut answer = Redirect::to(&target(&app, next)).into_response();
    if let Ok(value) = HeaderValue::from_str(&value) {
        answer.headers_mut().insert(header::SET_COOKIE, value);
    }
    answer
}

/// A path of this console, or its first page: never another site.
fn target(app: &App, next: &str) -> String {
    let path = decode(next).and_then(|bytes| String::from_utf8(bytes).ok());
    let ours = path.filter(|p| {
        let plain = p.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        p.starts_with('/') && !p.starts_with("//") && plain
    });
    match ours {
        // What a proxy has cut off is put back.
        Some(path) if path.starts_with(&app.config.base) => path,
        Some(path) => app.link(&path),
        None => app.link("/"),
    }
}

pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    user: User,
    headers: HeaderMap,
    form: Form,
) -> Response {
    if !same(form.get("csrf"), &user.session.csrf) {
        return super::error_page(
            &app,
            StatusCode::FORBIDDEN,
            "This form is out of date. Go back and try again.",
        );
    }
    if let Some(secret) = cookie(&headers) {
        app.sessions.end(secret);
    }
    Redirect::to(&app.link("/login")).into_response()
}
