//! The stream of an open page: with each tick of the sampler its panels are rendered again, and those that differ are sent.
//! A failure is told and the stream goes on, so the page comes back by itself.

use crate::app::App;
use crate::pages::Live;
use crate::security::User;
use crate::security::sessions::OpenPage;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Proxies close what is silent for longer.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

struct Open<L> {
    app: Arc<App>,
    user: User,
    page: L,
    ticks: watch::Receiver<u64>,
    over: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
    /// Hashes of the panels as last sent.
    sent: HashMap<&'static str, u64>,
    first: bool,
    _counted: OpenPage,
}

/// Streams a page until its reader goes, signs out, or the console ends.
pub(crate) fn stream<L: Live>(app: Arc<App>, user: User, page: L) -> Response {
    let Some(counted) = user.session.open_page() else {
        return (StatusCode::TOO_MANY_REQUESTS, "too many open pages").into_response();
    };
    let open = Open {
        ticks: page.changes(&app),
        over: user.session.over(),
        stopping: app.stopping.clone(),
        app,
        user,
        page,
        sent: HashMap::new(),
        first: true,
        _counted: counted,
    };
    let events = stream::unfold(open, |mut open| async move {
        let event = open.next().await?;
        Some((Ok::<_, std::convert::Infallible>(event), open))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE))
        .into_response()
}

impl<L: Live> Open<L> {
    async fn next(&mut self) -> Option<Event> {
        if !self.first {
            tokio::select! {
                changed = self.ticks.changed() => changed.ok()?,
                _ = self.over.wait_for(|over| *over) => return None,
                _ = self.stopping.wait_for(|stop| *stop) => return None,
            }
        }
        self.first = false;
        if *self.over.borrow() || *self.stopping.borrow() {
            return None;
        }
        self.user.session.touch();
        let told = match self.page.render(&self.app, &self.user).await {
            Ok(view) => {
                let snapshot = self.app.sampler.snapshot();
                let trouble = snapshot.failure.as_ref().map(|f| f.in_words());
                let mut panels = serde_json::Map::new();
                for panel in view.panels {
                    let html = panel.body.into_string();
                    let mut hasher = DefaultHasher::new();
                    html.hash(&mut hasher);
                    let hash = hasher.finish();
                    if self.sent.insert(panel.id, hash) != Some(hash) {
                        panels.insert(panel.id.to_owned(), html.into());
                    }
                }
                json!({ "panels": panels, "age": snapshot.age_ms(), "trouble": trouble })
            }
            Err(failure) => json!({ "trouble": failure.in_words() }),
        };
        Some(Event::default().event("page").data(told.to_string()))
    }
}
