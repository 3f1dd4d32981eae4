//! Finds an item by its id in all queues the console knows.

use super::parts::{item_path, nothing, queue_link};
use super::{Place, failed, still};
use crate::app::App;
use crate::bytes::{short, shown, unshown};
use crate::db::{Failure, Item, command};
use crate::security::User;
use crate::words::{duration, now_ms, number};
use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::HashSet;
use std::sync::Arc;

/// Commands in one go.
const CHUNK: usize = 200;
/// Queues that hold the id; more are not shown.
const MOST: usize = 100;

/// The id that is looked for.
#[derive(Deserialize, Default)]
pub(crate) struct Wish {
    #[serde(default)]
    item: String,
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    user: User,
    Query(wish): Query<Wish>,
) -> Response {
    if meanings(&wish.item).is_empty() {
        let body = html! { h1 { "Find an item" } (nothing("An id has 1 to 512 bytes. It must be the whole id, as it was submitted.")) };
        return still(&app, &user, "Find an item", Place::Nowhere, &body);
    }
    let mut found = (wish.item.trim().as_bytes().to_vec(), Vec::new());
    for meant in meanings(&wish.item) {
        match search(&app, &meant).await {
            Ok(none) if none.is_empty() => {}
            Ok(some) => {
                found = (meant, some);
                break;
            }
            Err(failure) => return failed(&app, &user, &failure),
        }
    }
    let (id, found) = found;
    still(
        &app,
        &user,
        &format!("Find {}", short(&id, 40)),
        Place::Nowhere,
        &results(&app, &id, &found),
    )
}

/// The ids that somebody can mean: without the blanks around it, as it was typed, or as our pages write it, where `\\` and
/// `\xff` stand for what cannot be typed.
fn meanings(typed: &str) -> Vec<Vec<u8>> {
    let mut all = vec![typed.trim().as_bytes().to_vec(), typed.as_bytes().to_vec()];
    all.extend(unshown(typed.trim()));
    all.extend(unshown(typed));
    all.retain(|id| (1..=512).contains(&id.len()));
    let mut seen = HashSet::new();
    all.retain(|id| seen.insert(id.clone()));
    all
}

/// POSITION says only where ready items are, so GET is asked; of each queue it costs a microsecond.
async fn search(app: &App, id: &[u8]) -> Result<Vec<(Vec<u8>, Item)>, Failure> {
    let snapshot = app.sampler.snapshot();
    let keys: Vec<&Vec<u8>> = snapshot.queues.keys().collect();
    let mut found = Vec::new();
    for chunk in keys.chunks(CHUNK) {
        let cmds = chunk
            .iter()
            .map(|key| command!("MODQ.GET", key.as_slice(), id))
            .collect();
        for (key, reply) in chunk.iter().zip(app.db.call_many(cmds).await) {
            match reply {
                Ok(reply) => found.extend(Item::of(&reply)?.map(|item| ((*key).clone(), item))),
                Err(e) if e.is_lost() => return Err(e),
                // A queue the console may not read.
                Err(_) => {}
            }
        }
        if found.len() >= MOST {
            break;
        }
    }
    found.truncate(MOST);
    Ok(found)
}

fn results(app: &App, id: &[u8], found: &[(Vec<u8>, Item)]) -> Markup {
    let now = now_ms();
    let snapshot = app.sampler.snapshot();
    let searched = snapshot.queues.len() as i64;
    html! {
        h1 { span.over { "Item" } " " span.name { (shown(id)) } }
        p.quiet {
            "Searched " (number(searched)) " queues."
            @if !snapshot.complete { " The console is still looking for queues: there may be more." }
            @if found.len() >= MOST { " Only the first " (MOST) " finds are shown." }
        }
        @if found.is_empty() { (nothing("No queue has an item of this id now. It may be resolved, cancelled, or written differently.")) }
        @else {
            div.scroll { table.grid {
                thead { tr { th scope="col" { "Queue" } th scope="col" { "State" } th scope="col" { "With" } th.num scope="col" { "Priority" } th.num scope="col" { "Age" } th scope="col" { span.unseen { "Open" } } } }
                tbody { @for (key, item) in found { tr {
                    th scope="row" { (queue_link(app, key)) }
                    td { (item.state) }
                    td { @if let Some(who) = &item.moderator { (short(who, 40)) } }
                    td.num { (number(item.priority)) }
                    td.num { (duration(now - item.submitted)) }
                    td { a.button href=(app.link(&item_path(key, id))) { "Open" } }
                } } }
            } }
        }
    }
}
