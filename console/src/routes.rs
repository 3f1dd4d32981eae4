//! Which address leads where. All pass the gate.

use crate::actions;
use crate::app::App;
use crate::assets;
use crate::metrics;
use crate::pages::{
    audit, boards, dead, desk, error_page, item, limits, login, queue, queues, search, state,
};
use crate::security::gate;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use std::sync::Arc;

/// Forms are small: ids of a page of dead items at the most.
const BODY_BYTES: usize = 1024 * 1024;

pub(crate) fn routes(app: Arc<App>) -> Router {
    let pages = Router::new()
        .route("/", get(queues::get))
        .route("/login", get(login::get).post(login::post))
        .route("/logout", post(login::logout))
        .route("/q/{key}", get(queue::get))
        .route("/q/{key}/{state}", get(state::get))
        .route("/q/{key}/dead", get(dead::queue))
        .route(
            "/q/{key}/do/{act}",
            get(actions::queue::ask).post(actions::queue::act),
        )
        .route("/q/{key}/ask/{act}", post(actions::queue::ask_ticked))
        .route("/q/{key}/i/{item}", get(item::get))
        .route(
            "/q/{key}/i/{item}/do/{act}",
            get(actions::item::ask).post(actions::item::act),
        )
        .route("/dead", get(dead::all))
        .route("/limits", get(limits::get))
        .route(
            "/limits/do/{act}",
            get(actions::limits::ask).post(actions::limits::act),
        )
        .route("/boards", get(boards::all))
        .route("/b/{key}", get(boards::one))
        .route("/search", get(search::get))
        .route("/audit", get(audit::get))
        .route("/desk", get(desk::choose))
        .route("/desk/{key}", get(desk::get))
        .route("/desk/{key}/join", post(desk::join))
        .route("/desk/{key}/act", post(desk::act))
        .route("/desk/{key}/leave", post(desk::leave))
        .route("/assets/{hash}/{name}", get(assets::serve))
        .route("/healthz", get(metrics::healthz))
        .route("/metrics", get(metrics::get));
    let base = app.config.base.clone();
    let below = if base.is_empty() {
        pages
    } else {
        with_base(&base, pages)
    };
    below
        .fallback(nowhere)
        .layer(from_fn_with_state(app.clone(), gate))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(app)
}

/// A proxy may keep the path below which we live, or cut it off: both work.
fn with_base(base: &str, pages: Router<Arc<App>>) -> Router<Arc<App>> {
    Router::new()
        .nest(base, pages.clone())
        .route(&format!("{base}/"), get(queues::get))
        .merge(pages)
}

async fn nowhere(State(app): State<Arc<App>>) -> Response {
    error_page(&app, StatusCode::NOT_FOUND, "There is no such page.")
}
