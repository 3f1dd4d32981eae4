//! What changes something: always a POST with the session's secret, from somebody whose role allows it, not too often, and
//! with an entry in the audit. Before it a form says what will happen.

pub(crate) mod item;
pub(crate) mod limits;
pub(crate) mod queue;

use crate::app::App;
use crate::audit::Actor;
use crate::db::Failure;
use crate::pages::{self, Place, error_page, forbidden, parts};
use crate::security::attempts::ACTIONS;
use crate::security::users::Role;
use crate::security::{User, same};
use crate::words::duration;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{Markup, html};
use std::sync::Arc;

/// The fields of a form that was sent.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The first of this name; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Form, Response> {
        let form = axum::Form::<Vec<(String, String)>>::from_request(request, state).await;
        form.map(|axum::Form(fields)| Form(fields))
            .map_err(IntoResponse::into_response)
    }
}

impl User {
    /// Who it is, for the audit.
    pub(crate) fn actor(&self) -> Actor {
        Actor {
            who: self.name().to_owned(),
            role: self.role.name(),
            from: self.address.to_string(),
        }
    }
}

/// A form that says what will happen, and asks for what it needs.
pub(crate) struct Confirm {
    pub(crate) title: String,
    /// What happens then, each a sentence.
    pub(crate) consequences: Vec<String>,
    pub(crate) fields: Markup,
    pub(crate) button: &'static str,
    pub(crate) danger: bool,
    /// The path of the action, and of where it was asked for.
    pub(crate) to: String,
    pub(crate) back: String,
}

impl Confirm {
    /// On a page of its own, or alone for the script, which puts it into a dialog.
    pub(crate) fn show(&self, app: &App, user: &User, headers: &HeaderMap) -> Response {
        let body = html! {
            form.card.confirm method="post" action=(app.link(&self.to)) {
                (parts::csrf(user))
                h1 { (self.title) }
                @if !self.consequences.is_empty() { ul { @for sentence in &self.consequences { li { (sentence) } } } }
                (self.fields)
                div.row.end {
                    a.button data-close="" href=(app.link(&self.back)) { "Back" }
                    button.main .danger[self.danger] type="submit" { (self.button) }
                }
            }
        };
        match headers.contains_key("x-fragment") {
            true => Html(body.into_string()).into_response(),
            false => pages::still(app, user, &self.title, Place::Nowhere, &body),
        }
    }
}

/// Whether this user may take an action with this form now; else the answer that says why not.
pub(crate) async fn guard(app: &App, user: &User, form: &Form, role: Role) -> Result<(), Response> {
    if !user.may(role) {
        return Err(forbidden(app, user, role));
    }
    if !same(form.get("csrf"), &user.session.csrf) {
        return Err(error_page(
            app,
            StatusCode::FORBIDDEN,
            "This form is out of date: go back, reload the page and try again.",
        ));
    }
    match app
        .attempts
        .count(&app.db, app.config.read_only, ACTIONS, user.name())
        .await
    {
        None => Ok(()),
        Some(ms) => {
            let why = format!(
                "That was very much in a short time. Try again in {}.",
                duration(ms)
            );
            Err(error_page(app, StatusCode::TOO_MANY_REQUESTS, &why))
        }
    }
}

/// The refusal, if this user may not even be shown a form.
pub(crate) fn refusal(app: &App, user: &User, role: Role) -> Option<Response> {
    (!user.may(role)).then(|| forbidden(app, user, role))
}

/// What an action was about.
pub(crate) struct Done<'a> {
    pub(crate) action: &'static str,
    pub(crate) key: &'a [u8],
    pub(crate) item: &'a [u8],
    pub(crate) detail: String,
    /// Where to go on.
    pub(crate) back: String,
}

/// Writes the audit, tells the user what came of it, and leads back.
pub(crate) async fn finish(
    app: &Arc<App>,
    user: &User,
    done: Done<'_>,
    outcome: Result<String, Failure>,
) -> Response {
    let result = outcome
        .as_ref()
        .map_or_else(|f| f.code.clone(), |_| "ok".to_owned());
    app.audit
        .write(
            &user.actor(),
            done.action,
            done.key,
            done.item,
            &done.detail,
            &result,
        )
        .await;
    app.details.forget(done.key);
    app.sampler.hurry(done.key);
    match outcome {
        Ok(words) => user.session.note(true, words),
        Err(failure) => {
            let doubt = if failure.is_lost() {
                " It may have been carried out all the same: look before you try again."
            } else {
                ""
            };
            user.session.note(
                false,
                format!("Not done. {}{doubt} ({failure})", failure.in_words()),
            );
        }
    }
    Redirect::to(&app.link(&done.back)).into_response()
}
