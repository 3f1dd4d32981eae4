//! What the console says when its server fails, and that it comes back by itself.

use crate::kit::http::read_until;
use crate::kit::{Setup, b64};
use crate::room;
use modq_testkit::{Kind, PATIENCE, Server, wait_until};

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
    mia.get("/metrics").says("modq_up{node=").says(" 0\n");
    room.server.start_again();
    room.server.client().line("MODQ.SUBMIT q b text");
    read_until(&mut stream, "\"trouble\":null");
    wait_until("it is healthy", PATIENCE, || {
        mia.get("/healthz").status == 200
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
