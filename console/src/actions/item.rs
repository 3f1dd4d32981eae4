//! What supervisors do to one item: assign, hand over, move, change, take back, revive, cancel, forget.

use super::{Confirm, Done, Form, finish, guard, refusal};
use crate::app::App;
use crate::bytes::{decode, encode, short, shown, words};
use crate::db::{Failure, Item, UpdateItem};
use crate::pages::parts::{item_path, queue_path};
use crate::pages::{failed, missing};
use crate::security::User;
use crate::security::users::Role;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use std::sync::Arc;

/// An item, as an address names it.
type At = Path<(String, String, String)>;

const ACTS: [&str; 7] = [
    "assign", "move", "update", "revive", "release", "cancel", "forget",
];

/// The form for an action.
pub(crate) async fn ask(
    State(app): State<Arc<App>>,
    user: User,
    headers: HeaderMap,
    Path((key, item, act)): At,
) -> Response {
    let (Some(key), Some(item)) = (decode(&key), decode(&item)) else {
        return missing(&app, "This address names no item.");
    };
    if let Some(refused) = refusal(&app, &user, Role::Supervisor) {
        return refused;
    }
    let found = match app.db.item(&key, &item).await {
        Ok(Some(found)) => found,
        Ok(None) if act == "forget" => Item::default(),
        Ok(None) => {
            return failed(
                &app,
                &user,
                &Failure::new("NOITEM", "no such item in the queue"),
            );
        }
        Err(failure) => return failed(&app, &user, &failure),
    };
    let subject = Subject {
        app: &app,
        key: &key,
        item: &item,
        found,
    };
    match subject.confirm(&act) {
        Some(confirm) => confirm.show(&app, &user, &headers),
        None => missing(&app, "There is no such action."),
    }
}

struct Subject<'a> {
    app: &'a App,
    key: &'a [u8],
    item: &'a [u8],
    found: Item,
}

impl Subject<'_> {
    fn confirm(&self, act: &str) -> Option<Confirm> {
        let known = ACTS.iter().find(|known| **known == act)?;
        let who = self.found.moderator.as_deref().map(|m| short(m, 40));
        let id = short(self.item, 60);
        let (title, consequences, button, danger) = match *known {
            "assign" => self.assign_words(&id, who.as_deref()),
            "move" => (format!("Move {id}"), self.move_words(who.as_deref()), "Move", false),
            "update" => (format!("Change {id}"), vec!["Its revision grows by one, so decisions about what it was before are refused.".to_owned()], "Change", false),
            "revive" => (format!("Revive {id}"), vec!["It is ready again, in its own place, and its count of lapsed locks starts from 0.".to_owned()], "Revive", false),
            "release" => (format!("Take {id} back"), vec![
                format!("{} loses the lock: what they decide from now on is refused.", who.unwrap_or_else(|| "Who holds it".into())),
                "The item is ready again, in its own place, and may go to the same person again.".into(),
            ], "Take back", true),
            "cancel" => (format!("Cancel {id}"), self.cancel_words(who.as_deref()), "Cancel the item", true),
            _ => (format!("Forget the decision about {id}"), vec![
                "The record of the decision is dropped. Submitted again, the id is a new item.".into(),
                "The event stream keeps what it has.".into(),
            ], "Forget", true),
        };
        Some(Confirm {
            title,
            consequences,
            fields: self.fields(known),
            button,
            danger,
            to: format!("{}/do/{known}", item_path(self.key, self.item)),
            back: item_path(self.key, self.item),
        })
    }

    fn assign_words(
        &self,
        id: &str,
        who: Option<&str>,
    ) -> (String, Vec<String>, &'static str, bool) {
        match who {
            Some(who) => (format!("Hand {id} over"), vec![
                format!("{who} loses the lock: what they decide from now on is refused."),
                "The item is locked for the person you name, whatever their tags and capacity.".into(),
                if self.app.capabilities_hand_over() { "Both happen in one step.".into() } else { "Between the two steps it could go to somebody who waits; then this is refused.".into() },
            ], "Hand over", true),
            None => (format!("Assign {id}"), vec![
                "It is locked for the person you name, whatever their tags, their capacity or a pause.".into(),
                "They hear of it at once if they wait.".into(),
            ], "Assign", false),
        }
    }

    fn move_words(&self, who: Option<&str>) -> Vec<String> {
        let mut all =
            vec!["It keeps its id, payload, age, tags, exclusions and reports.".to_owned()];
        if let Some(who) = who {
            all.push(format!(
                "{who} loses the lock: what they decide from now on is refused."
            ));
        }
        all.push("A queue that is not there yet begins with it: check the name.".into());
        all
    }

    fn cancel_words(&self, who: Option<&str>) -> Vec<String> {
        let mut all = vec!["It is removed without a decision. There is no way back.".to_owned()];
        if let Some(who) = who {
            all.push(format!("{who} is at work on it and loses the lock."));
        }
        all.push("If somebody changes it before you confirm, nothing happens.".into());
        all
    }

    fn fields(&self, act: &str) -> Markup {
        let it = &self.found;
        html! {
            input type="hidden" name="rev" value=(it.rev);
            input type="hidden" name="holder" value=(holder(it));
            @match act {
                "assign" => label { "To whom" input name="who" required maxlength="512" autocomplete="off" autofocus; },
                "move" => label { "To which queue" input name="queue" required maxlength="512" autocomplete="off" autofocus; },
                "cancel" => label { "Reason, for the audit" input name="reason" maxlength="1000" autocomplete="off" autofocus; },
                "update" => {
                    label { "Priority" input name="priority" type="number" min="-2147483648" max="2147483647" value=(it.priority) required; }
                    label { "Boost, ms" input name="boost" type="number" value=(it.boost) required; }
                    label { "Tags, with commas" input name="tags" value=(text_tags(&it.tags)) maxlength="20000"; }
                    @if !it.excluded.is_empty() { label.check { input type="checkbox" name="clear" value="1"; " Lift all exclusions, skips too (" (it.excluded.len()) ")" } }
                }
                _ => {}
            }
        }
    }
}

impl App {
    fn capabilities_hand_over(&self) -> bool {
        self.db.capabilities().hand_over
    }
}

/// Who held the item when the question was asked, as the form carries it.
fn holder(item: &Item) -> String {
    encode(item.moderator.as_deref().unwrap_or_default())
}

fn text_tags(tags: &[Vec<u8>]) -> String {
    tags.iter()
        .map(|t| String::from_utf8_lossy(t).into_owned())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Carries an action out.
pub(crate) async fn act(
    State(app): State<Arc<App>>,
    user: User,
    Path((key, item, act)): At,
    form: Form,
) -> Response {
    let (Some(key), Some(item)) = (decode(&key), decode(&item)) else {
        return missing(&app, "This address names no item.");
    };
    let Some(action) = ACTS.iter().find(|known| **known == act) else {
        return missing(&app, "There is no such action.");
    };
    if let Err(refused) = guard(&app, &user, &form, Role::Supervisor).await {
        return refused;
    }
    let work = Work {
        app: &app,
        by: user.name(),
        key: &key,
        item: &item,
        form: &form,
    };
    let outcome = work.run(action).await;
    let back = match outcome.is_ok() && matches!(*action, "cancel" | "move") {
        true => queue_path(&key),
        false => item_path(&key, &item),
    };
    let done = Done {
        action,
        key: &key,
        item: &item,
        detail: work.detail(action),
        back,
    };
    finish(&app, &user, done, outcome).await
}

struct Work<'a> {
    app: &'a App,
    by: &'a str,
    key: &'a [u8],
    item: &'a [u8],
    form: &'a Form,
}

impl Work<'_> {
    fn detail(&self, action: &str) -> String {
        match action {
            "assign" => format!("to {}", shown(self.form.get("who").as_bytes())),
            "move" => format!("to {}", shown(self.form.get("queue").as_bytes())),
            "cancel" => shown(self.form.get("reason").as_bytes()),
            "update" => format!(
                "priority {}, boost {}, tags {}",
                shown(self.form.get("priority").as_bytes()),
                shown(self.form.get("boost").as_bytes()),
                shown(self.form.get("tags").as_bytes())
            ),
            _ => String::new(),
        }
    }

    async fn run(&self, action: &str) -> Result<String, Failure> {
        let id = short(self.item, 60);
        match action {
            "assign" => self.assign().await,
            "move" => self.move_item().await,
            "update" => self.update().await,
            "revive" => match self
                .app
                .db
                .revive(self.key, &[self.item.to_vec()], self.by)
                .await?
            {
                0 => Err(Failure::new("CHANGED", "it is not dead any more")),
                _ => Ok(format!("{id} is ready again.")),
            },
            "release" => {
                let token = self.seen().await?.token;
                let token =
                    token.ok_or_else(|| Failure::new("STALE", "nobody holds it any more"))?;
                self.app
                    .db
                    .release(self.key, self.item, token, false)
                    .await?;
                Ok(format!("{id} is back in its place."))
            }
            "cancel" => {
                let (rev, reason) = (self.rev(), self.form.get("reason"));
                if self.form.has("holder") {
                    self.seen().await?;
                }
                match self
                    .app
                    .db
                    .cancel(self.key, self.item, rev, reason, self.by)
                    .await?
                {
                    true => Ok(format!("{id} is cancelled.")),
                    false => Err(Failure::new(
                        "CHANGED",
                        "it is gone, or was changed since you looked",
                    )),
                }
            }
            _ => match self
                .app
                .db
                .forget_record(self.key, self.item, self.by)
                .await?
            {
                0 => Err(Failure::new("NOITEM", "there is no record")),
                _ => Ok(format!("The decision about {id} is forgotten.")),
            },
        }
    }

    fn rev(&self) -> Option<i64> {
        self.form.get("rev").parse().ok()
    }

    /// The item, if it is still with whom the question named: nobody loses a lock that it did not speak of.
    async fn seen(&self) -> Result<Item, Failure> {
        let found = self.app.db.item(self.key, self.item).await?;
        let found = found.ok_or_else(|| Failure::new("NOITEM", "no such item in the queue"))?;
        if self.form.has("holder") && self.form.get("holder") != holder(&found) {
            let now = found.moderator.as_deref().map(|who| short(who, 40));
            let now = now.map_or_else(
                || "nobody holds it now".to_owned(),
                |who| format!("it is with {who} now"),
            );
            return Err(Failure::new("CHANGED", now));
        }
        Ok(found)
    }

    async fn assign(&self) -> Result<String, Failure> {
        let db = &self.app.db;
        let to = self.form.get("who");
        if to.is_empty() {
            return Err(Failure::new("ERR", "to whom?"));
        }
        let found = self.seen().await?;
        let one_step = db.capabilities().hand_over;
        let mut token = found.token;
        if let (Some(live), false) = (token, one_step) {
            db.release(self.key, self.item, live, false).await?;
            token = None;
        }
        db.assign(self.key, self.item, to.as_bytes(), token, self.by)
            .await?;
        Ok(format!(
            "{} is with {} now.",
            short(self.item, 60),
            short(to.as_bytes(), 40)
        ))
    }

    async fn move_item(&self) -> Result<String, Failure> {
        let db = &self.app.db;
        let to = self.form.get("queue");
        if to.is_empty() {
            return Err(Failure::new("ERR", "to which queue?"));
        }
        let token = self.seen().await?.token;
        db.move_item(self.key, to.as_bytes(), self.item, token, self.by)
            .await?;
        Ok(format!(
            "{} is in {} now.",
            short(self.item, 60),
            short(to.as_bytes(), 60)
        ))
    }

    async fn update(&self) -> Result<String, Failure> {
        let number = |name: &str| {
            let n = self.form.get(name).trim().parse::<i64>();
            n.map_err(|_| Failure::new("ERR", format!("{name} is no number")))
        };
        let found = self.app.db.item(self.key, self.item).await?;
        let found = found.ok_or_else(|| Failure::new("NOITEM", "no such item in the queue"))?;
        let tags = self.form.get("tags");
        // Tags that are no text, or hold commas, are left alone unless the field was changed.
        let changed = tags != text_tags(&found.tags);
        let what = UpdateItem {
            priority: Some(number("priority")?),
            boost: Some(number("boost")?),
            tags: changed.then(|| words(tags)),
            clear_exclusions: self.form.has("clear"),
        };
        let rev = self.rev().unwrap_or(found.rev);
        match self
            .app
            .db
            .update(self.key, self.item, rev, &what, self.by)
            .await?
        {
            Some(rev) => Ok(format!(
                "{} is changed: revision {rev}.",
                short(self.item, 60)
            )),
            None => Err(Failure::new(
                "CHANGED",
                "somebody changed it since you looked",
            )),
        }
    }
}
