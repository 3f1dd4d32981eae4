//! What every request passes: the host it asks for, where it comes from, who sends it; and the headers of each answer.

use super::sessions::Session;
use super::users::{Role, name_fault};
use crate::app::App;
use crate::config::Config;
use crate::pages::{error_page, to_login};
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The cookie of a session. `__Host-` would need HTTPS.
pub(crate) const COOKIE: &str = "modq_console";

/// Passes a request on, or refuses it; and puts the headers onto the answer.
pub(crate) async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let refused = refuse(&app.config, request.method(), request.headers());
    let streams = request
        .headers()
        .get(header::ACCEPT)
        .is_some_and(|a| a == "text/event-stream");
    let mut answer = match refused {
        Some((status, why)) => error_page(&app, status, why),
        None => next.run(request).await,
    };
    put_headers(&app.config, answer.headers_mut(), streams);
    answer
}

/// Why a request is refused before anybody looks at it.
fn refuse(
    config: &Config,
    method: &Method,
    headers: &HeaderMap,
) -> Option<(StatusCode, &'static str)> {
    let host = headers
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    if !host_allowed(config, host) {
        // A page elsewhere whose name was made to point here (DNS rebinding).
        return Some((
            StatusCode::MISDIRECTED_REQUEST,
            "This name is not one the console answers to. Its operator can add it with --allow-host.",
        ));
    }
    if method == Method::GET || method == Method::HEAD {
        return None;
    }
    if method != Method::POST {
        return Some((
            StatusCode::METHOD_NOT_ALLOWED,
            "The console knows GET and POST.",
        ));
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let origin = headers.get(header::ORIGIN).and_then(|o| o.to_str().ok());
    // Browsers say where a request comes from; without HTTPS, and not on loopback, by Origin only. Behind a proxy that
    // ends TLS the scheme differs: hosts are compared.
    let ours = match site {
        Some(site) => site == b"same-origin" || site == b"none",
        None => origin.is_none_or(|o| o.split_once("://").is_some_and(|(_, h)| h == host)),
    };
    match ours {
        true => None,
        false => Some((
            StatusCode::FORBIDDEN,
            "This request came from another site.",
        )),
    }
}

fn host_allowed(config: &Config, host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.to_ascii_lowercase();
    let own = config.listen.ip();
    ["localhost", "127.0.0.1", "[::1]"].contains(&name.as_str())
        || !own.is_unspecified() && (name == own.to_string() || name == format!("[{own}]"))
        || config
            .allow_host
            .iter()
            .any(|allowed| *allowed == name || allowed == host)
}

fn put_headers(config: &Config, headers: &mut HeaderMap, streams: bool) {
    let image = config.image_url.as_deref().and_then(origin_of);
    let image = image.map(|origin| format!(" {origin}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'; img-src 'self'{image}"
    );
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_SECURITY_POLICY, &policy);
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(header::X_FRAME_OPTIONS, "DENY");
    // Other sites are told nothing. Under `no-referrer` our own forms would come with the Origin `null`.
    put(header::REFERRER_POLICY, "same-origin");
    put(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    put(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    put(
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    );
    if streams {
        // Proxies would hold the stream back.
        put(HeaderName::from_static("x-accel-buffering"), "no");
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next()?;
    Some(format!("{scheme}://{host}"))
}

/// Whether two secrets are the same, in a time that tells nothing.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// The value of our cookie.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let all = cookies
        .filter_map(|c| c.to_str().ok())
        .flat_map(|c| c.split(';'));
    all.filter_map(|c| c.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

/// Who sends a request. As an argument of a handler it sends everybody else to the page for signing in.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) session: Arc<Session>,
    /// What they may do here: a read-only console makes everybody a viewer.
    pub(crate) role: Role,
    pub(crate) address: IpAddr,
}

impl User {
    pub(crate) fn name(&self) -> &str {
        &self.session.name
    }

    pub(crate) fn may(&self, role: Role) -> bool {
        self.role >= role
    }

    /// Who it is, if anybody.
    pub(crate) fn of(app: &App, headers: &HeaderMap, peer: SocketAddr) -> Option<User> {
        let session = match &app.config.proxy {
            Some(_) => by_proxy(app, headers, peer)?,
            None => app.sessions.get(cookie(headers)?)?,
        };
        let role = if app.config.read_only {
            Role::Viewer
        } else {
            session.role
        };
        Some(User {
            session,
            role,
            address: peer.ip(),
        })
    }
}

fn by_proxy(app: &App, headers: &HeaderMap, peer: SocketAddr) -> Option<Arc<Session>> {
    let proxy = app.config.proxy.as_ref()?;
    if !proxy.peers.contains(&peer.ip().to_canonical()) {
        return None;
    }
    // A header that came twice may be the client's and the proxy's: neither is believed.
    let header = |name: &str| {
        let mut all = headers.get_all(name).iter();
        let only = all.next().filter(|_| all.next().is_none())?;
        only.to_str().ok().map(str::trim)
    };
    let name = header(&proxy.user_header).filter(|name| name_fault(name).is_none())?;
    let role = match &proxy.role_header {
        // A proxy that should tell the role and does not gives none.
        Some(told) => header(told).and_then(Role::of).unwrap_or(Role::Viewer),
        None => app.config.role,
    };
    Some(app.sessions.of_proxy(name, role))
}

/// The peer of a request.
pub(crate) fn peer(parts: &Parts) -> SocketAddr {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    info.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |info| info.0)
}

impl FromRequestParts<Arc<App>> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<User, Response> {
        let user = User::of(app, &parts.headers, peer(parts));
        user.ok_or_else(|| to_login(app, parts).into_response())
    }
}
