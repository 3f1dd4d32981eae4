//! The console in front of Sentinels, a cluster, and other servers.

use crate::kit::{Setup, b64};
use modq_testkit::{Cluster, Kind, PATIENCE, SentinelSetup, Server, wait_until};

#[test]
fn a_failover_by_sentinel_is_followed() {
    let setup = SentinelSetup::start(Kind::Redis70);
    let old = setup.primary().port();
    setup.primary().client().line("MODQ.SUBMIT q a text");
    let sentinels: Vec<String> = setup
        .sentinels
        .iter()
        .map(|s| format!("redis://127.0.0.1:{}", s.port()))
        .collect();
    let console = Setup::to(&sentinels.join(","))
        .arg(&["--sentinel", "modq"])
        .start();
    let mut sue = console.user("sue");
    wait_until("the queue is found", PATIENCE, || {
        sue.get("/").body.contains(">q<")
    });
    setup.sentinels[0].client().line("SENTINEL FAILOVER modq");
    let new = setup.wait_failover(old);
    // Until then the old one takes writes that are lost.
    let demoted = setup.nodes.iter().find(|node| node.port() == old);
    setup.wait_follows(demoted.expect("it is one of ours"));
    wait_until("actions work again", PATIENCE, || {
        sue.act(&format!("/q/{}/do/pause", b64("q")), &[("side", "IN")])
            .body
            .contains("Input is paused.")
    });
    assert_eq!(
        new.client().line("MODQ.STATS q").field("paused").text(),
        "in"
    );
}

#[test]
fn a_cluster_is_seen_as_one() {
    let cluster = Cluster::start(3, Kind::Redis70);
    for queue in ["one", "two", "three", "four", "five"] {
        cluster
            .client_for(queue)
            .line(&format!("MODQ.SUBMIT {queue} a text"));
    }
    cluster.client_for("{eu}a").line("MODQ.SUBMIT {eu}a b text");
    cluster.client_for("board").line("RANK.ADD board ada 5");
    cluster.nodes[0]
        .client()
        .expect_ok("RATELIMIT.POLICY SET free 10 60000");
    let console = Setup::of(&cluster.nodes[0])
        .arg(&["--cluster", "--undo", "0"])
        .start();
    let mut sue = console.user("sue");
    wait_until("all queues are found", PATIENCE, || {
        let page = sue.get("/").body;
        ["one", "two", "three", "four", "five"]
            .iter()
            .all(|q| page.contains(&format!(">{q}<")))
    });
    sue.get("/search?item=a")
        .expect(200)
        .says(">three<")
        .says(">five<");
    sue.get("/boards").expect(200).says(">board<");
    sue.get("/limits")
        .expect(200)
        .says("Not on every primary: free");
    sue.act(
        &format!("/q/{}/i/{}/do/assign", b64("two"), b64("a")),
        &[("who", "mia")],
    )
    .says("a is with mia now.");
    let move_it = format!("/q/{}/i/{}/do/move", b64("{eu}a"), b64("b"));
    sue.act(&move_it, &[("queue", "{eu}b")])
        .says("b is in {eu}b now.");
    let move_it = format!("/q/{}/i/{}/do/move", b64("{eu}b"), b64("b"));
    sue.act(&move_it, &[("queue", "elsewhere")])
        .says("must share a hash tag");
    for node in &cluster.nodes {
        sue.get("/metrics")
            .says(&format!("modq_up{{node=\"127.0.0.1:{}\"}} 1", node.port()));
    }
    // The desk.
    let desk = format!("/desk/{}", b64("five"));
    let csrf = sue.csrf();
    sue.post(&format!("{desk}/join"), &[("csrf", &csrf), ("tags", "")])
        .expect(303);
    let _there = sue.stream(&desk);
    wait_until("the console listens for her", PATIENCE, || {
        cluster
            .client_for("five")
            .line("PUBSUB SHARDNUMSUB modq:{five}:sue")[1]
            .int()
            == 1
    });
    wait_until("the item comes", PATIENCE, || {
        sue.get(&desk).body.contains("data-item")
    });
    sue.post(
        &format!("{desk}/act"),
        &[
            ("csrf", &csrf),
            ("item", &b64("a")),
            ("act", "verdict:keep"),
        ],
    )
    .expect(303);
    wait_until("it is decided", PATIENCE, || {
        cluster.client_for("five").line("MODQ.LEN five").int() == 0
    });
}

#[test]
fn on_every_server() {
    for kind in [Kind::Redis82, Kind::Valkey91, Kind::Stack74] {
        let server = Server::start(kind);
        server.client().line("MODQ.SUBMIT q a text");
        let console = Setup::of(&server).arg(&["--undo", "0"]).start();
        let mut sue = console.user("sue");
        wait_until("the queue is found", PATIENCE, || {
            sue.get("/").body.contains(">q<")
        });
        sue.get(&format!("/q/{}", b64("q")))
            .expect(200)
            .says("Next to be claimed");
        let desk = format!("/desk/{}", b64("q"));
        let csrf = sue.csrf();
        sue.post(&format!("{desk}/join"), &[("csrf", &csrf), ("tags", "")])
            .expect(303);
        let _there = sue.stream(&desk);
        wait_until("the item comes", PATIENCE, || {
            sue.get(&desk).body.contains("data-item")
        });
        sue.post(
            &format!("{desk}/act"),
            &[
                ("csrf", &csrf),
                ("item", &b64("a")),
                ("act", "verdict:keep"),
            ],
        )
        .expect(303);
        wait_until("it is decided", PATIENCE, || {
            server.client().line("MODQ.LEN q").int() == 0
        });
    }
}
