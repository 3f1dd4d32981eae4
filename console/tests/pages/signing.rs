//! Who may sign in, how, and what is kept of it.

use crate::kit::http::read_until;
use crate::kit::{Setup, Visitor};
use crate::{room, room_with};
use modq_testkit::{Kind, PATIENCE, Server, wait_until};
use std::process::{Command, Stdio};

#[test]
fn who_is_not_signed_in_is_sent_to_the_form_and_back() {
    let room = room();
    let mut visitor = room.console.visitor();
    let sent = visitor.get("/limits?key=a%20b").expect(303);
    let form = visitor
        .get(sent.header("location"))
        .expect(200)
        .says("Sign in");
    let next = form.field("next");
    let back = visitor
        .post("/login", &[("name", "mia"), ("next", &next)])
        .expect(303);
    assert_eq!(back.header("location"), "/limits?key=a%20b");
    visitor.get("/").expect(200).says("mia").says("supervisor");
    wait_until("it is in the audit", PATIENCE, || {
        room.console.audit().contains("\"audit\":\"sign-in\"")
    });
}

#[test]
fn a_session_is_a_strict_cookie_that_scripts_cannot_read() {
    let room = room_with(|setup| setup.arg(&["--secure-cookies"]));
    let answer = room
        .console
        .visitor()
        .post("/login", &[("name", "mia")])
        .expect(303);
    let cookie = answer.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    // 256 bits in base64url.
    let secret = cookie.split(['=', ';']).nth(1).unwrap_or_default();
    assert_eq!(secret.len(), 43, "{cookie}");
}

#[test]
fn never_to_another_site() {
    let room = room();
    for elsewhere in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
    ] {
        let mut visitor = room.console.visitor();
        let next = crate::kit::b64(elsewhere);
        let to = visitor
            .post("/login", &[("name", "mia"), ("next", &next)])
            .expect(303);
        assert_eq!(to.header("location"), "/", "{elsewhere}");
    }
}

#[test]
fn one_password_for_all_and_wrong_ones_are_refused() {
    let room = room_with(|setup| {
        setup
            .env("MODQ_CONSOLE_PASSWORD", "a good one")
            .arg(&["--role", "moderator"])
    });
    let mut visitor = room.console.visitor();
    visitor
        .post("/login", &[("name", "mia"), ("password", "bad")])
        .expect(403)
        .says("Name or password is wrong")
        .lacks("a good one");
    visitor.post("/login", &[("name", "mia")]).expect(403);
    visitor
        .post("/login", &[("name", ""), ("password", "a good one")])
        .expect(400);
    visitor.sign_in("mia", "a good one");
    visitor.get("/").expect(200).says("moderator");
    // Not a supervisor.
    visitor
        .get("/audit")
        .expect(403)
        .says("This needs the role supervisor; yours is moderator.");
    wait_until("it is in the audit", PATIENCE, || {
        room.console.audit().contains("REFUSED")
    });
}

#[test]
fn users_of_a_file_have_roles() {
    let hash = hash_of("secret");
    let server = Server::start(Kind::Redis70);
    let file = server.dir().join("users");
    std::fs::write(
        &file,
        format!("vera:viewer:{hash}\nsue:supervisor:{hash}\n"),
    )
    .unwrap();
    let console = Setup::of(&server)
        .arg(&["--users", &file.display().to_string()])
        .start();
    for (name, desk, audit) in [("vera", 403, 403), ("sue", 200, 200)] {
        let mut visitor = console.visitor();
        visitor.sign_in(name, "secret");
        visitor.get("/").expect(200);
        visitor.get("/desk").expect(desk);
        visitor.get("/audit").expect(audit);
    }
    console
        .visitor()
        .post("/login", &[("name", "nobody"), ("password", "secret")])
        .expect(403);
}

fn hash_of(password: &str) -> String {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_modq-console"))
        .arg("hash")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{password}\n").as_bytes())
        .unwrap();
    let out = child.wait_with_output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
fn too_many_attempts_are_held_up_by_our_own_limit() {
    let mut room = room_with(|setup| setup.env("MODQ_CONSOLE_PASSWORD", "x"));
    let mut visitor = room.console.visitor();
    guess_wrong(&mut visitor);
    // The right one too: else who guesses would learn it.
    visitor
        .post("/login", &[("name", "mia"), ("password", "x")])
        .expect(429)
        .says("Too many attempts. Try again in");
    assert_eq!(
        room.c.line("TYPE modq:console:sign-in:127.0.0.1").text(),
        "modqlimit"
    );
}

/// A whole team comes at nine, from behind one address.
#[test]
fn who_knows_the_password_is_not_counted() {
    for away in [false, true] {
        let mut room = room_with(|setup| setup.env("MODQ_CONSOLE_PASSWORD", "x"));
        if away {
            room.server.stop();
        }
        for n in 0..25 {
            room.console.visitor().sign_in(&format!("mod-{n}"), "x");
        }
        let mut visitor = room.console.visitor();
        guess_wrong(&mut visitor);
        visitor
            .post("/login", &[("name", "mia"), ("password", "bad")])
            .expect(429);
    }
}

/// As many wrong passwords as are looked at in five minutes.
fn guess_wrong(visitor: &mut Visitor) {
    for _ in 0..20 {
        visitor
            .post("/login", &[("name", "mia"), ("password", "bad")])
            .expect(403);
    }
}

#[test]
fn attempts_are_counted_also_while_the_server_is_away() {
    let mut room = room_with(|setup| setup.env("MODQ_CONSOLE_PASSWORD", "x"));
    room.server.stop();
    let mut visitor = room.console.visitor();
    guess_wrong(&mut visitor);
    visitor
        .post("/login", &[("name", "mia"), ("password", "x")])
        .expect(429);
}

#[test]
fn signing_out_ends_the_session_and_its_streams() {
    let room = room();
    let mut mia = room.console.user("mia");
    let mut stream = mia.stream("/");
    read_until(&mut stream, "event: page");
    let csrf = mia.csrf();
    let old = mia.cookie.clone();
    mia.post("/logout", &[]).expect(403);
    mia.post("/logout", &[("csrf", &csrf)]).expect(303);
    mia.cookie = old;
    mia.get("/").expect(303);
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut rest).expect("the stream ends");
}

#[test]
fn a_proxy_is_believed_only_from_its_address() {
    let proxy = |peer: &str| {
        room_with(|setup| {
            setup.arg(&[
                "--proxy-user-header",
                "X-User",
                "--proxy-role-header",
                "X-Role",
                "--trusted-proxy",
                peer,
            ])
        })
    };
    let room = proxy("127.0.0.1");
    let as_mia = || room.console.visitor().with("X-User", "mia");
    as_mia()
        .with("X-Role", "moderator")
        .get("/")
        .expect(200)
        .says("mia")
        .says("moderator");
    // No role told is no role.
    as_mia().get("/").expect(200).says("viewer");
    as_mia()
        .with("X-Role", "king")
        .get("/")
        .expect(200)
        .says("viewer");
    // One that the client sent, before or behind the proxy's own.
    as_mia().with("X-User", "sue").get("/").expect(403);
    as_mia()
        .with("X-Role", "moderator")
        .with("X-Role", "supervisor")
        .get("/")
        .expect(200)
        .says("viewer");
    room.console
        .visitor()
        .get("/")
        .expect(403)
        .says("did not say who you are");
    room.console
        .visitor()
        .post("/login", &[("name", "mia")])
        .expect(403);
    let other = proxy("10.1.2.3");
    other
        .console
        .visitor()
        .with("X-User", "mia")
        .with("X-Role", "supervisor")
        .get("/")
        .expect(403);
}

#[test]
fn an_open_address_without_a_proof_is_refused_at_start() {
    let server = Server::start(Kind::Redis70);
    let said = Setup::of(&server).refused("0.0.0.0:0");
    assert!(
        said.contains("can be reached from other machines"),
        "{said}"
    );
    assert!(
        Setup::of(&server)
            .env("MODQ_CONSOLE_PASSWORD", "")
            .refused("127.0.0.1:0")
            .contains("is empty")
    );
}
