//! What the console says when its server fails, and that it comes back by itself.

use crate::kit::http::read_until;
use crate::kit::{Setup, b64};
use crate::room;
use modq_testkit::{Cluster, Kind, PATIENCE, Server, wait_until};

#[test]
fn the_console_is_there_before_its_server_and_after_it() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text");
    let mut mia = room.console.user("mia");
    wait_until("the queue is found", PATIENCE, || {
        mia.get("/").body.contains(">q<")
    });
    assert_eq!(mia.get("/healthz").expect(200).body.trim(), "ok");
    let mut stream = mia.stream("/");
    read_until(&mut stream, "event: page");
    room.server.kill9();
    // The open page is told, and so is who asks anew.
    read_until(&mut stream, "The server does not answer.");
    wait_until("it is not healthy", PATIENCE, || {
        mia.get("/healthz").status == 503
    });
    mia.get(&format!("/q/{}/i/{}", b64("q"), b64("a")))
        .expect(503)
        .says("The server does not answer.")
        .says("comes back by itself");
    mia.get("/healthz").says("The server does not answer.");
    wait_until("it is in the log", PATIENCE, || {
        room.console.said().contains("The server does not answer.")
    });
    mia.get("/metrics").says("modq_up{node=").says(" 0\n");
    room.server.start_again();
    room.server.client().line("MODQ.SUBMIT q b text");
    read_until(&mut stream, "\"trouble\":null");
    wait_until("it is healthy", PATIENCE, || {
        mia.get("/healthz").status == 200
    });
    wait_until("it is in the log", PATIENCE, || {
        room.console.said().contains("the server answers")
    });
    mia.get(&format!("/q/{}/i/{}", b64("q"), b64("b")))
        .expect(200)
        .says("Ready");
}

#[test]
fn an_action_without_an_answer_is_told_as_it_is() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text");
    let mut sue = room.console.user("sue");
    let csrf = sue.csrf();
    room.server.stop();
    let done = sue
        .post(
            &format!("/q/{}/do/pause", b64("q")),
            &[("csrf", &csrf), ("side", "ALL")],
        )
        .expect(303);
    let told = sue.get(done.header("location"));
    told.says("Not done. The server does not answer. It may have been carried out all the same: look before you try again.");
    wait_until("it is in the audit", PATIENCE, || {
        room.console.audit().contains("\"result\":\"LOST\"")
    });
}

#[test]
fn errors_of_the_server_are_told_in_words() {
    let mut room = room();
    room.c.line("MODQ.SUBMIT q a text");
    room.c.line("SET text 1");
    let mut sue = room.console.user("sue");
    let assign = format!("/q/{}/i/{}/do/assign", b64("q"), b64("a"));
    sue.get(&format!("/q/{}", b64("text")))
        .expect(409)
        .says("The key holds something else.")
        .says("WRONGTYPE");
    // Memory is full.
    let path = format!("/q/{}/do/configure", b64("q"));
    room.c.expect_ok("CONFIG SET maxmemory 1");
    sue.act(&path, &[("lock", "1 m")])
        .says("Not done.")
        .says("memory is full");
    room.c.expect_ok("CONFIG SET maxmemory 0");
    // A replica.
    let primary = Server::start(Kind::Redis70);
    primary.client().line("MODQ.SUBMIT q a text");
    room.c
        .line(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    modq_testkit::wait_link(&primary, &room.server);
    wait_until("it can be seen", PATIENCE, || {
        sue.get(&assign).status == 200
    });
    sue.act(&assign, &[("who", "mia")])
        .says("This server is a replica: it can be read, not changed.");
}

#[test]
fn a_user_with_few_rights_sees_what_they_may() {
    let server = Server::start(Kind::Redis70);
    let mut c = server.client();
    c.line("MODQ.SUBMIT review:a a text");
    c.line("MODQ.SUBMIT other b text");
    let rules = "ACL SETUSER console on >secret resetchannels ~review:* +ping +hello +client +info +scan +type +command +modq.stats +modq.config +modq.waiters +modq.list +modq.peek +modq.get +modq.position";
    c.expect_ok(rules);
    let console = Setup::of(&server)
        .arg(&["--redis-user", "console"])
        .env("MODQ_CONSOLE_REDIS_PASSWORD", "secret")
        .start();
    let mut sue = console.user("sue");
    wait_until("the queues are found", PATIENCE, || {
        sue.get("/").body.contains(">other<")
    });
    wait_until("figures", PATIENCE, || {
        sue.get("/").body.contains("the console may not read it")
    });
    sue.get(&format!("/q/{}", b64("review:a")))
        .expect(200)
        .says("People waiting");
    sue.get(&format!("/q/{}", b64("other")))
        .expect(409)
        .says("The console's Redis user may not do this.");
    sue.act(
        &format!("/q/{}/do/pause", b64("review:a")),
        &[("side", "ALL")],
    )
    .says("Not done. The console's Redis user may not do this.");
    // A wrong password.
    let console = Setup::of(&server)
        .arg(&["--redis-user", "console"])
        .env("MODQ_CONSOLE_REDIS_PASSWORD", "wrong")
        .start();
    let mut sue = console.user("sue");
    wait_until("it is told", PATIENCE, || {
        sue.get("/")
            .body
            .contains("does not accept the console&#39;s user and password")
            || sue
                .get("/")
                .body
                .contains("does not accept the console's user and password")
    });
}

#[test]
fn a_server_without_the_module_is_told() {
    let server = Server::builder(Kind::Redis70).without_module().start();
    let console = Setup::of(&server).start();
    let mut mia = console.user("mia");
    wait_until("it is told", PATIENCE, || {
        mia.get("/")
            .body
            .contains("The server has not loaded the modq module.")
    });
    assert_eq!(mia.get("/healthz").status, 503);
}

/// The commands that the console sends, in lower case.
fn commands_of_the_source() -> Vec<String> {
    let db = modq_testkit::place::workspace().join("console/src/db");
    let mut all = Vec::new();
    for name in ["commands.rs", "supervise.rs"] {
        let source = std::fs::read_to_string(db.join(name)).unwrap();
        for word in source.split('"').skip(1).step_by(2) {
            let command = word.split(' ').next().unwrap_or_default();
            if ["MODQ.", "RATELIMIT.", "RANK."]
                .iter()
                .any(|p| command.starts_with(p))
            {
                all.push(command.to_ascii_lowercase());
            }
        }
    }
    assert!(all.len() > 30, "{all:?}");
    all
}

/// The rules that docs/console.md gives for the console's own user are enough for all of it.
#[test]
fn the_rules_of_the_documentation_are_enough() {
    let server = Server::start(Kind::Redis70);
    let mut c = server.client();
    let docs = modq_testkit::place::workspace().join("docs/console.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let block = docs
        .split("```acl\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("a block of rules");
    block.lines().for_each(|line| c.expect_ok(line));
    for command in commands_of_the_source() {
        assert!(block.contains(&format!("+{command}")), "{command}");
    }
    for line in [
        "MODQ.CONFIGURE review:a EVENTS audit RETAIN 600000",
        "MODQ.SUBMIT review:a done text PRIORITY 9",
        "MODQ.SUBMIT review:a a text",
        "MODQ.SUBMIT review:a b text GROUP author",
        "RATELIMIT.CHECK review:limit 1 60000",
        "RANK.ADD review:board ada 1",
    ] {
        c.line(line);
    }
    let claim = modq_testkit::queue::claims(&c.line("MODQ.CLAIM review:a zoe")).pop();
    let token = claim.expect("an item").token;
    c.expect_ok(&format!("MODQ.RESOLVE review:a done {token} VERDICT keep"));
    let console = Setup::of(&server)
        .arg(&["--redis-user", "console", "--undo", "0"])
        .arg(&["--audit-stream", "audit"])
        .env("MODQ_CONSOLE_REDIS_PASSWORD", "secret")
        .start();
    let mut sue = console.user("sue");
    wait_until("the queue is found", PATIENCE, || {
        sue.get("/").body.contains(">review:a<")
    });
    let q = b64("review:a");
    let item = format!("/q/{q}/i/{}", b64("a"));
    sue.get(&format!("{item}?who=mia"))
        .expect(200)
        .says("Nothing stands in the way")
        .says("submitted");
    for path in [
        format!("/q/{q}"),
        format!("/q/{q}/ready"),
        format!("/q/{q}/dead"),
        "/boards".into(),
        format!("/b/{}", b64("review:board")),
        "/limits?key=review:limit&limit=1+per+1+m".into(),
        "/search?item=a".into(),
    ] {
        sue.get(&path)
            .expect(200)
            .lacks("NOPERM")
            .lacks("may not do this");
    }
    let decided = format!("/q/{q}/i/{}", b64("done"));
    sue.get(&decided).expect(200).says("Decided");
    sue.act(&format!("{decided}/do/forget"), &[])
        .lacks("Not done");
    assert!(c.line("XLEN audit").int() > 0);
    let acts: [(&str, &[(&str, &str)]); 6] = [
        ("assign", &[("who", "mia")]),
        ("release", &[]),
        ("update", &[("priority", "3"), ("boost", "0"), ("tags", "")]),
        ("move", &[("queue", "review:b")]),
        ("cancel", &[]),
        ("revive", &[]),
    ];
    for (act, fields) in acts {
        // What was moved is in the other queue.
        let at = if act == "cancel" {
            format!("/q/{}/i/{}", b64("review:b"), b64("a"))
        } else {
            item.clone()
        };
        if act != "revive" {
            sue.act(&format!("{at}/do/{act}"), fields).lacks("Not done");
        }
    }
    sue.act(&format!("/q/{q}/do/revive"), &[]).lacks("Not done");
    sue.act(&format!("/q/{q}/do/pause"), &[("side", "IN")])
        .lacks("Not done");
    sue.act(&format!("/q/{q}/do/unpause"), &[("side", "IN")])
        .lacks("Not done");
    sue.act(&format!("/q/{q}/do/configure"), &[("lock", "1 m")])
        .lacks("Not done");
    sue.act(
        &format!("/limits/do/block?k={}", b64("review:limit")),
        &[("for", "1 m")],
    )
    .lacks("Not done");
    sue.act(&format!("/limits/do/reset?k={}", b64("review:limit")), &[])
        .lacks("Not done");
    let desk = format!("/desk/{q}");
    let csrf = sue.csrf();
    sue.post(&format!("{desk}/join"), &[("csrf", &csrf)])
        .expect(303);
    let _there = sue.stream(&desk);
    wait_until("the item comes", PATIENCE, || {
        sue.get(&desk).body.contains("data-item")
    });
    sue.get(&desk).lacks("may not do this");
    sue.post(
        &format!("{desk}/act"),
        &[
            ("csrf", &csrf),
            ("item", &b64("b")),
            ("act", "verdict:keep"),
        ],
    )
    .expect(303);
    wait_until("it is decided", PATIENCE, || {
        c.line("MODQ.LEN review:a").int() == 0
    });
}

#[test]
fn figures_say_which_primary_of_a_cluster_is_away() {
    let mut cluster = Cluster::start(3, Kind::Redis70);
    let console = Setup::of(&cluster.nodes[0]).arg(&["--cluster"]).start();
    let up = |n: usize, port: u16| format!("modq_up{{node=\"127.0.0.1:{port}\"}} {n}\n");
    let ports: Vec<u16> = cluster.nodes.iter().map(Server::port).collect();
    let wait = |words: Vec<String>| {
        wait_until("the figures say it", PATIENCE, || {
            let text = console.visitor().get("/metrics").body;
            words.iter().all(|w| text.contains(w))
        });
    };
    wait(ports.iter().map(|port| up(1, *port)).collect());
    cluster.nodes[2].kill9();
    wait(vec![up(1, ports[0]), up(1, ports[1]), up(0, ports[2])]);
}
