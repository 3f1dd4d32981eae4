//! The newest actions that people took in this console.

use super::parts::{nothing, time};
use super::{Live, Place, View, forbidden, respond};
use crate::app::App;
use crate::bytes::short;
use crate::db::Failure;
use crate::security::User;
use crate::security::users::Role;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use maud::html;
use std::sync::Arc;

struct Newest;

pub(crate) async fn get(State(app): State<Arc<App>>, user: User, headers: HeaderMap) -> Response {
    match user.may(Role::Supervisor) {
        true => respond(app, user, &headers, Newest).await,
        false => forbidden(&app, &user, Role::Supervisor),
    }
}

impl Live for Newest {
    async fn render(&self, app: &App, _: &User) -> Result<View, Failure> {
        let entries = app.audit.newest();
        let body = html! {
            h1 { "Audit" }
            p.quiet {
                "The newest actions since the console started. All of them are lines on its standard output"
                @if let Some(stream) = app.audit.stream() { ", and entries of the stream " b { (short(stream.as_bytes(), 60)) } }
                "."
            }
            @if entries.is_empty() { (nothing("Nobody has done anything yet.")) }
            @else {
                div.scroll { table.grid {
                    thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "Did" } th scope="col" { "Queue or key" } th scope="col" { "Item" } th scope="col" { "Detail" } th scope="col" { "Result" } } }
                    tbody { @for e in &entries { tr data-key=(format!("{}{}{}", e.at, e.action, e.item)) {
                        td { (time(e.at)) }
                        th scope="row" title=(format!("{} from {}", e.role, e.from)) { (short(e.who.as_bytes(), 40)) }
                        td { (e.action) }
                        td.name { (cut(&e.key)) }
                        td.name { (cut(&e.item)) }
                        td { (cut(&e.detail)) }
                        td.alarm[e.result != "ok"] { (e.result) }
                    } } }
                } }
            }
        };
        Ok(View::new("Audit", Place::Audit).panel("audit", body))
    }
}

/// Shown text, cut; it is escaped once already.
fn cut(shown: &str) -> String {
    let mut chars = shown.chars();
    let head: String = chars.by_ref().take(60).collect();
    if chars.next().is_some() {
        format!("{head}…")
    } else {
        head
    }
}
