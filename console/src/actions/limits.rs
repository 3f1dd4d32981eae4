//! What supervisors do to a limit: reset it, block a key, end a lease.

use super::{Confirm, Done, Form, finish, guard, refusal};
use crate::app::App;
use crate::bytes::{decode, encode, short, shown};
use crate::db::Failure;
use crate::pages::missing;
use crate::security::User;
use crate::security::users::Role;
use crate::words::{duration, parse_duration};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::html;
use serde::Deserialize;
use std::sync::Arc;

/// The key, and the lease if it is about one, in base64url.
#[derive(Deserialize)]
pub(crate) struct About {
    #[serde(default)]
    k: String,
    #[serde(default)]
    id: String,
}

pub(crate) async fn ask(
    State(app): State<Arc<App>>,
    user: User,
    headers: HeaderMap,
    Path(act): Path<String>,
    Query(about): Query<About>,
) -> Response {
    let (Some(key), Some(id)) = (decode(&about.k), decode(&about.id)) else {
        return missing(&app, "This address names no limit.");
    };
    if let Some(refused) = refusal(&app, &user, Role::Supervisor) {
        return refused;
    }
    let name = short(&key, 60);
    let (title, consequences, fields, button) = match act.as_str() {
        "reset" => (format!("Reset {name}"), vec!["What is charged, a block and remembered requests are forgotten: it starts anew at once.".to_owned()], html! {}, "Reset"),
        "block" => (
            format!("Block {name}"),
            vec!["Every request is denied for that time. What is charged stays. 0 lifts a block.".to_owned()],
            html! { label { "For how long" input name="for" value="10 m" required maxlength="30" autofocus; } },
            "Block",
        ),
        "end" => (format!("End the lease {}", short(&id, 60)), vec!["Its units are free at once. Its holder is not told and may still be at work.".to_owned()], html! {}, "End it"),
        _ => return missing(&app, "There is no such action."),
    };
    let to = format!("/limits/do/{act}");
    let fields = html! {
        (fields)
        input type="hidden" name="k" value=(about.k);
        input type="hidden" name="id" value=(about.id);
    };
    let back = format!("/limits?k={}", about.k);
    Confirm {
        title,
        consequences,
        fields,
        button,
        danger: true,
        to,
        back,
    }
    .show(&app, &user, &headers)
}

pub(crate) async fn act(
    State(app): State<Arc<App>>,
    user: User,
    Path(act): Path<String>,
    form: Form,
) -> Response {
    let (Some(key), Some(id)) = (decode(form.get("k")), decode(form.get("id"))) else {
        return missing(&app, "This address names no limit.");
    };
    if let Err(refused) = guard(&app, &user, &form, Role::Supervisor).await {
        return refused;
    }
    let (action, outcome) = match act.as_str() {
        "reset" => ("limit-reset", reset(&app, &key).await),
        "block" => ("limit-block", block(&app, &key, form.get("for")).await),
        "end" => ("lease-end", end(&app, &key, &id).await),
        _ => return missing(&app, "There is no such action."),
    };
    let back = format!("/limits?k={}", encode(&key));
    let detail = shown(form.get("for").as_bytes());
    finish(
        &app,
        &user,
        Done {
            action,
            key: &key,
            item: &id,
            detail,
            back,
        },
        outcome,
    )
    .await
}

async fn reset(app: &App, key: &[u8]) -> Result<String, Failure> {
    Ok(match app.db.reset_limit(key).await? {
        true => "The limit starts anew.".into(),
        false => "There was nothing to reset.".into(),
    })
}

async fn block(app: &App, key: &[u8], time: &str) -> Result<String, Failure> {
    let ms = parse_duration(time)
        .ok_or_else(|| Failure::new("ERR", "that is no duration such as 10 m"))?;
    app.db.block_limit(key, ms).await?;
    Ok(match ms {
        0 => "The block is lifted.".into(),
        ms => format!("Blocked for {}.", duration(ms)),
    })
}

async fn end(app: &App, key: &[u8], id: &[u8]) -> Result<String, Failure> {
    Ok(match app.db.end_lease(key, id).await? {
        true => "The lease is over.".into(),
        false => "It was over already.".into(),
    })
}
