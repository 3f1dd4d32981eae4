//! /metrics for Prometheus and /healthz, from the sampler's snapshot: a scrape asks the server nothing. What the server
//! does not tell is left out.

use crate::app::App;
use crate::bytes::shown;
use crate::db::{Histogram, Stats};
use crate::sampler::{NodeInfo, Queue, Snapshot, TOTALS};
use crate::security::{User, same};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

/// 200 while the server answers, else 503 and what is wrong in a few words; says nothing else.
pub(crate) async fn healthz(State(app): State<Arc<App>>) -> Response {
    let snapshot = app.sampler.snapshot();
    match (&snapshot.failure, snapshot.at) {
        (None, Some(_)) => "ok\n".into_response(),
        (None, None) => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
        (Some(failure), _) => {
            let why = format!("{}\n", failure.in_words());
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    }
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if !may_read(&app, &headers, peer) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (
            StatusCode::UNAUTHORIZED,
            challenge,
            "set MODQ_CONSOLE_METRICS_TOKEN and send it as a bearer token\n",
        )
            .into_response();
    }
    let text = text(&app, &app.sampler.snapshot());
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

/// With a token: who has it. Without: anybody, as long as nobody has to sign in at all.
fn may_read(app: &App, headers: &HeaderMap, peer: SocketAddr) -> bool {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok());
    let given = given
        .and_then(|v| v.strip_prefix("Bearer "))
        .unwrap_or_default();
    match &app.config.metrics_token {
        Some(token) if same(given, token) => true,
        None if !app.config.users.have_passwords() && app.config.proxy.is_none() => true,
        _ => User::of(app, headers, peer).is_some(),
    }
}

/// The text as it grows: a family at a time, as the format wants it.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let escaped = |v: &str| {
            v.replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        };
        let labels: Vec<String> = labels
            .iter()
            .map(|(k, v)| format!("{k}=\"{}\"", escaped(v)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// A line of the per-queue part: a queue, or all that have no series of their own.
struct Series {
    name: String,
    stats: Stats,
    totals: [i64; TOTALS.len()],
    /// Ages and what cannot be summed are left out where queues are folded together.
    folded: bool,
}

fn text(app: &App, snapshot: &Snapshot) -> String {
    let mut out = Text(String::new());
    let series = series(app, snapshot);
    gauges(&mut out, &series);
    counters(&mut out, &series);
    histograms(&mut out, &series);
    nodes(&mut out, &snapshot.nodes);
    own(&mut out, app, snapshot);
    out.0
}

fn series(app: &App, snapshot: &Snapshot) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    let mut other: Option<Series> = None;
    let known = snapshot
        .queues
        .values()
        .filter_map(|q| Some((q, q.stats.as_ref()?)));
    for (queue, stats) in known {
        let name = shown(&queue.key);
        let own = all.len() < app.config.metrics_max
            && glob(app.config.metrics_queues.as_bytes(), name.as_bytes());
        if own {
            all.push(Series {
                name,
                stats: stats.clone(),
                totals: queue.totals.sums,
                folded: false,
            });
        } else {
            fold(&mut other, queue, stats);
        }
    }
    all.extend(other);
    all
}

fn fold(into: &mut Option<Series>, queue: &Queue, stats: &Stats) {
    let new = || Series {
        name: "(other)".into(),
        stats: Stats::default(),
        totals: [0; TOTALS.len()],
        folded: true,
    };
    let sum = into.get_or_insert_with(new);
    let s = &mut sum.stats;
    s.ready += stats.ready;
    s.locked += stats.locked;
    s.delayed += stats.delayed;
    s.dead += stats.dead;
    s.waiting += stats.waiting;
    s.deferred += stats.deferred;
    s.bytes += stats.bytes;
    s.oldest_ready_ms = s.oldest_ready_ms.max(stats.oldest_ready_ms);
    s.oldest_item_ms = s.oldest_item_ms.max(stats.oldest_item_ms);
    for (sum, n) in sum.totals.iter_mut().zip(queue.totals.sums) {
        *sum += n;
    }
}

fn gauges(out: &mut Text, all: &[Series]) {
    out.family("modq_items", "gauge", "Items in the queue, by state.");
    for s in all {
        for (state, n) in [
            ("ready", s.stats.ready),
            ("locked", s.stats.locked),
            ("delayed", s.stats.delayed),
            ("dead", s.stats.dead),
        ] {
            out.sample(
                "modq_items",
                &[("queue", &s.name), ("state", state)],
                n as f64,
            );
        }
    }
    type Of = fn(&Stats) -> Option<f64>;
    let families: [(&str, &str, Of); 6] = [
        ("modq_waiting_moderators", "Moderators in line.", |s| {
            Some(s.waiting as f64)
        }),
        (
            "modq_oldest_ready_age_seconds",
            "How long the ready item that waits longest has waited.",
            |s| Some(s.oldest_ready_ms as f64 / 1000.0),
        ),
        (
            "modq_oldest_item_age_seconds",
            "Age of the oldest item that is not dead.",
            |s| Some(s.oldest_item_ms as f64 / 1000.0),
        ),
        (
            "modq_oldest_contested_age_seconds",
            "Age of the oldest contested item.",
            |s| s.oldest_contested_ms.map(|ms| ms as f64 / 1000.0),
        ),
        (
            "modq_deferred_transitions",
            "Overdue transitions that are not yet done.",
            |s| Some(s.deferred as f64),
        ),
        (
            "modq_queue_memory_bytes",
            "Memory that the queue takes.",
            |s| Some(s.bytes as f64),
        ),
    ];
    for (name, help, of) in families {
        let samples: Vec<(&str, f64)> = all
            .iter()
            .filter_map(|s| Some((s.name.as_str(), of(&s.stats)?)))
            .collect();
        if !samples.is_empty() {
            out.family(name, "gauge", help);
            samples
                .iter()
                .for_each(|(queue, value)| out.sample(name, &[("queue", queue)], *value));
        }
    }
    out.family(
        "modq_queue_paused",
        "gauge",
        "1 if the queue is paused in this direction.",
    );
    for s in all.iter().filter(|s| !s.folded) {
        let paused = s.stats.paused.as_str();
        for direction in ["in", "out"] {
            let is = paused == direction || paused == "all";
            out.sample(
                "modq_queue_paused",
                &[("queue", &s.name), ("direction", direction)],
                f64::from(u8::from(is)),
            );
        }
    }
}

fn counters(out: &mut Text, all: &[Series]) {
    for (i, total) in TOTALS.iter().enumerate() {
        let name = format!("modq_items_{total}_total");
        out.family(
            &name,
            "counter",
            &format!("Items {total}; goes on when a queue is deleted and begins anew."),
        );
        all.iter()
            .for_each(|s| out.sample(&name, &[("queue", &s.name)], s.totals[i] as f64));
    }
    type Of = fn(&Stats) -> Option<i64>;
    let newer: [(&str, &str, Of); 3] = [
        (
            "modq_votes_total",
            "Verdicts that did not end an item.",
            |s| s.votes,
        ),
        (
            "modq_splits_total",
            "Items whose votes could not agree.",
            |s| s.splits,
        ),
        (
            "modq_records_evicted_total",
            "Records of decisions dropped for their number.",
            |s| s.records_evicted,
        ),
    ];
    for (name, help, of) in newer {
        let own = all.iter().filter(|s| !s.folded);
        let samples: Vec<(&str, i64)> = own
            .filter_map(|s| Some((s.name.as_str(), of(&s.stats)?)))
            .collect();
        if !samples.is_empty() {
            out.family(name, "counter", help);
            samples
                .iter()
                .for_each(|(queue, n)| out.sample(name, &[("queue", queue)], *n as f64));
        }
    }
}

fn histograms(out: &mut Text, all: &[Series]) {
    type Of = fn(&Stats) -> Option<&Histogram>;
    let families: [(&str, &str, Of); 2] = [
        (
            "modq_wait_seconds",
            "Time until an item is first claimed.",
            |s| s.wait_histogram.as_ref(),
        ),
        ("modq_handle_seconds", "Time from claim to decision.", |s| {
            s.handle_histogram.as_ref()
        }),
    ];
    for (name, help, of) in families {
        let told: Vec<(&str, &Histogram)> = all
            .iter()
            .filter_map(|s| Some((s.name.as_str(), of(&s.stats)?)))
            .collect();
        if told.is_empty() {
            continue;
        }
        out.family(name, "histogram", help);
        for (queue, histogram) in told {
            let mut count = 0;
            for (bound, n) in &histogram.rows {
                let le = if *bound < 0 {
                    "+Inf".into()
                } else {
                    (*bound as f64 / 1000.0).to_string()
                };
                out.sample(
                    &format!("{name}_bucket"),
                    &[("queue", queue), ("le", &le)],
                    *n as f64,
                );
                count = count.max(*n);
            }
            out.sample(
                &format!("{name}_sum"),
                &[("queue", queue)],
                histogram.sum_ms as f64 / 1000.0,
            );
            out.sample(&format!("{name}_count"), &[("queue", queue)], count as f64);
        }
    }
}

fn nodes(out: &mut Text, nodes: &[NodeInfo]) {
    let families = [
        (
            "modq_queues",
            "gauge",
            "Queues in memory.",
            "modq_queues",
            1.0,
        ),
        (
            "modq_blocked_clients",
            "gauge",
            "Clients blocked in CLAIM and MCLAIM.",
            "modq_waiting_clients",
            1.0,
        ),
        (
            "modq_timer_lag_seconds",
            "gauge",
            "How late the module's last tick was.",
            "modq_timer_lag_ms",
            0.001,
        ),
        (
            "modq_damaged_keys",
            "gauge",
            "Keys that take no more changes after an internal error.",
            "modq_damaged_keys",
            1.0,
        ),
        (
            "modq_events_dropped_total",
            "counter",
            "Events that could not be written.",
            "modq_events_dropped",
            1.0,
        ),
        (
            "modq_ratelimit_log_full_total",
            "counter",
            "Requests denied because a log was full.",
            "modq_ratelimit_log_full",
            1.0,
        ),
    ];
    for (name, kind, help, field, factor) in families {
        let told: Vec<(&str, f64)> = nodes
            .iter()
            .filter_map(|n| Some((n.name.as_str(), n.number(field)?)))
            .collect();
        if !told.is_empty() {
            out.family(name, kind, help);
            told.iter()
                .for_each(|(node, n)| out.sample(name, &[("node", node)], n * factor));
        }
    }
    let checks = |n: &NodeInfo, result: &str| n.number(&format!("modq_ratelimit_{result}"));
    if nodes.iter().any(|n| checks(n, "admitted").is_some()) {
        out.family(
            "modq_ratelimit_checks_total",
            "counter",
            "Requests that limits were asked about.",
        );
        for node in nodes {
            for result in ["admitted", "denied"] {
                if let Some(n) = checks(node, result) {
                    out.sample(
                        "modq_ratelimit_checks_total",
                        &[("node", &node.name), ("result", result)],
                        n,
                    );
                }
            }
        }
    }
    out.family(
        "modq_up",
        "gauge",
        "Whether the server answers the console.",
    );
    nodes
        .iter()
        .for_each(|n| out.sample("modq_up", &[("node", &n.name)], f64::from(u8::from(n.up))));
}

fn own(out: &mut Text, app: &App, snapshot: &Snapshot) {
    if snapshot.nodes.is_empty() {
        out.sample("modq_up", &[("node", &app.db.target().in_words())], 0.0);
    }
    if let Some(ms) = snapshot.age_ms() {
        out.family(
            "modq_console_sample_age_seconds",
            "gauge",
            "How old these figures are.",
        );
        let of = |node: &str, out: &mut Text| {
            out.sample(
                "modq_console_sample_age_seconds",
                &[("node", node)],
                ms as f64 / 1000.0,
            )
        };
        snapshot.nodes.iter().for_each(|n| of(&n.name, out));
    }
    out.family(
        "modq_console_actions_total",
        "counter",
        "What people did in the console.",
    );
    for ((action, result), n) in app.audit.counts() {
        out.sample(
            "modq_console_actions_total",
            &[("action", action), ("result", &result)],
            n as f64,
        );
    }
}

/// `*` is anything, `?` one byte, all else itself. Time is bounded by the product of the lengths.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    p = star + 1;
                    n = from + 1;
                    back = Some((star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn globs() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("re*", "review", true),
            ("*view", "review", true),
            ("r?view", "review", true),
            ("re*x", "review", false),
            ("", "a", false),
            ("*a*b", "xaxb", true),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), name.as_bytes()),
                fits,
                "{pattern} {name}"
            );
        }
    }
}
