//! /metrics and /healthz: names, labels and values as docs/console.md has them.

use crate::kit::{room as furnished, tools};
use crate::{room, room_with};
use modq_testkit::{PATIENCE, wait_until};
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn figures_for_prometheus() {
    let mut room = room();
    furnished::fill(&mut room.c);
    let mut anybody = room.console.visitor();
    wait_until("figures", PATIENCE, || {
        anybody
            .get("/metrics")
            .body
            .contains("queue=\"images\",state=\"dead\"} 3")
    });
    let answer = anybody.get("/metrics").expect(200);
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4"),
        "{}",
        answer.header("content-type")
    );
    for line in [
        "modq_items{queue=\"images\",state=\"dead\"} 3",
        "modq_items{queue=\"spam:fast-lane\",state=\"delayed\"} 5",
        "modq_queue_paused{queue=\"spam:fast-lane\",direction=\"out\"} 1",
        "modq_queue_paused{queue=\"spam:fast-lane\",direction=\"in\"} 0",
        "modq_items_submitted_total{queue=\"appeals\"} 7",
        "# TYPE modq_items_died_total counter",
        "# TYPE modq_oldest_ready_age_seconds gauge",
        "modq_ratelimit_checks_total{node=\"127.0.0.1:",
        "modq_up{node=\"127.0.0.1:",
        "modq_timer_lag_seconds",
        "modq_console_sample_age_seconds",
    ] {
        assert!(answer.body.contains(line), "{line} in:\n{}", answer.body);
    }
    promtool(&answer.body);
}

/// promtool with these arguments; none where the set-up could not have it, and then the output says what is left out.
fn promtool_command(args: &[&str]) -> Option<Command> {
    let own = tools().join("promtool");
    let program = if own.exists() { own } else { "promtool".into() };
    let there = Command::new(&program).arg("--version").output().is_ok();
    if !there {
        // Straight to the terminal: the test runner swallows what a passing test prints.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: promtool {} (no promtool; scripts/setup.sh --console fetches it on Debian)",
            args.join(" ")
        );
        return None;
    }
    let mut command = Command::new(program);
    command.args(args);
    Some(command)
}

fn promtool(text: &str) {
    let Some(mut command) = promtool_command(&["check", "metrics"]) else {
        return;
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let out = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}");
}

#[test]
fn totals_go_on_when_a_queue_begins_anew() {
    let mut room = room();
    let total = |room: &crate::Room| {
        let body = room.console.visitor().get("/metrics").body;
        let line = body
            .lines()
            .find(|l| l.starts_with("modq_items_submitted_total{queue=\"q\"}"))
            .map(str::to_owned);
        line.and_then(|l| l.rsplit(' ').next()?.parse::<u64>().ok())
            .unwrap_or(0)
    };
    for n in 0..3 {
        room.c.line(&format!("MODQ.SUBMIT q {n} text"));
    }
    wait_until("three", PATIENCE, || total(&room) == 3);
    room.c.pipeline(&["DEL q", "MODQ.SUBMIT q 9 text"]);
    wait_until("and one", PATIENCE, || total(&room) == 4);
}

#[test]
fn queues_beyond_the_cap_are_folded() {
    let mut room =
        room_with(|setup| setup.arg(&["--metrics-queues", "keep*", "--metrics-max", "2"]));
    for queue in ["keep1", "keep2", "keep3", "other"] {
        room.c.line(&format!("MODQ.SUBMIT {queue} a text"));
        room.c.line(&format!("MODQ.SUBMIT {queue} b text"));
    }
    let mut anybody = room.console.visitor();
    wait_until("figures", PATIENCE, || {
        anybody
            .get("/metrics")
            .body
            .contains("modq_items{queue=\"(other)\",state=\"ready\"} 4")
    });
    anybody
        .get("/metrics")
        .says("queue=\"keep1\"")
        .says("queue=\"keep2\"")
        .lacks("keep3")
        .lacks("queue=\"other\"");
}

#[test]
fn where_people_sign_in_machines_need_the_token() {
    let room = room_with(|setup| {
        setup
            .env("MODQ_CONSOLE_PASSWORD", "x")
            .env("MODQ_CONSOLE_METRICS_TOKEN", "for prometheus")
    });
    room.console.visitor().get("/metrics").expect(401);
    room.console
        .visitor()
        .with("Authorization", "Bearer wrong")
        .get("/metrics")
        .expect(401);
    room.console
        .visitor()
        .with("Authorization", "Bearer for prometheus")
        .get("/metrics")
        .expect(200);
    let mut mia = room.console.visitor();
    mia.sign_in("mia", "x");
    mia.get("/metrics").expect(200);
    // That it is alive may be known.
    assert!([200, 503].contains(&room.console.visitor().get("/healthz").status));
}

/// Dashboard and rules ask for nothing that the console does not tell, and the documentation names all of it.
#[test]
fn the_dashboard_and_the_rules_know_our_names() {
    let console = modq_testkit::place::workspace().join("console");
    let read = |name: &str| std::fs::read_to_string(console.join(name)).unwrap();
    let docs = read("../docs/console.md");
    let source = read("src/metrics.rs");
    for file in ["grafana/dashboard.json", "grafana/alerts.yml"] {
        let text = read(file);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|w| w.starts_with("modq_")) {
            let name = word.trim_end_matches("_bucket");
            assert!(
                docs.contains(&format!("`{name}`")),
                "{file}: {name} is not in docs/console.md"
            );
            // Totals are put together from the names of STATS.
            let total = name
                .strip_prefix("modq_items_")
                .and_then(|n| n.strip_suffix("_total"));
            assert!(
                source.contains(&format!("\"{name}\"")) || total.is_some(),
                "{file}: {name} is not told"
            );
        }
    }
    for args in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
    ] {
        let Some(mut command) = promtool_command(&args) else {
            continue;
        };
        let out = command
            .current_dir(console.join("grafana"))
            .output()
            .expect("promtool runs");
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stdout)
        );
    }
    serde_json::from_str::<serde_json::Value>(&read("grafana/dashboard.json")).expect("it is JSON");
}
