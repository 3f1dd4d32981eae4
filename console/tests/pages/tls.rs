//! The console and its server by TLS: with a private authority, a certificate of its own and an ACL user, by Sentinel and in
//! a cluster; and what is told where certificates do not fit. Redis 7.0 was built with TLS.

use crate::kit::http::read_until;
use crate::kit::{Console, Setup, b64};
use modq_testkit::{Builder, Kind, PATIENCE, Server, place, wait_until};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Two authorities, and by the first a server's certificate and one of the console's own: names and bytes of files.
fn certificates() -> &'static [(String, Vec<u8>)] {
    static MADE: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = place::target().join(format!("tmp/modq-{}-tls", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        make_certificates(&folder);
        let all = ["ca", "stranger", "server", "client"]
            .map(|name| [".pem", ".key"].map(|end| format!("{name}{end}")));
        let all = all.into_iter().flatten();
        let files = all.map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap()));
        let files = files.collect();
        std::fs::remove_dir_all(&folder).unwrap();
        files
    })
}

fn make_certificates(folder: &Path) {
    let openssl = |args: &str| {
        let out = Command::new("openssl")
            .args(args.split(' '))
            .current_dir(folder)
            .output();
        let out =
            out.unwrap_or_else(|e| panic!("no openssl ({e}); run: scripts/setup.sh --console"));
        assert!(
            out.status.success(),
            "{args}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for name in ["ca", "stranger"] {
        openssl(&format!(
            "req -x509 {key} -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }
    for (name, usage) in [
        ("server", "serverAuth,clientAuth"),
        ("client", "clientAuth"),
    ] {
        let extensions = format!(
            "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n"
        );
        std::fs::write(folder.join("extensions"), extensions).unwrap();
        openssl(&format!(
            "req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out {name}.pem"
        ));
    }
}

/// A server on two ports: the plain one is for the test itself. By TLS it wants a certificate of whoever comes.
struct Tls {
    server: Server,
    port: u16,
}

fn tls(change: impl FnOnce(Builder) -> Builder) -> Tls {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut builder = Server::builder(Kind::Redis70)
        .config(format!("tls-port {port}"))
        .config("tls-cert-file server.pem")
        .config("tls-key-file server.key")
        .config("tls-ca-cert-file ca.pem");
    for (name, bytes) in certificates() {
        builder = builder.file(name, bytes.clone());
    }
    let server = change(builder).start();
    Tls { server, port }
}

impl Tls {
    fn address(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port)
    }

    fn path(&self, name: &str) -> String {
        self.server.dir().join(name).display().to_string()
    }

    /// A console that trusts this authority, and shows the server its own certificate.
    fn setup(&self, address: &str, authority: &str) -> Setup {
        let (ca, cert, key) = (
            self.path(authority),
            self.path("client.pem"),
            self.path("client.key"),
        );
        Setup::to(address)
            .arg(&[
                "--redis-ca",
                &ca,
                "--redis-cert",
                &cert,
                "--redis-key",
                &key,
            ])
            .arg(&["--undo", "0"])
    }

    /// As this ACL user, whose password is `secret`.
    fn console(&self, address: &str, user: &str) -> Console {
        self.setup(address, "ca.pem")
            .arg(&["--redis-user", user])
            .env("MODQ_CONSOLE_REDIS_PASSWORD", "secret")
            .start()
    }

    /// The connections of an ACL user, of which each must have come by TLS.
    fn connections(&self, user: &str) -> Vec<String> {
        let all = self.server.client().line("CLIENT LIST").text();
        let mine = all
            .lines()
            .filter(|line| line.contains(&format!(" user={user} ")));
        let mine: Vec<String> = mine.map(str::to_owned).collect();
        let by_tls = format!(" laddr=127.0.0.1:{} ", self.port);
        assert!(mine.iter().all(|line| line.contains(&by_tls)), "{mine:#?}");
        mine
    }
}

/// Joins the desk, and stays while the answer is kept.
fn sit_down(console: &Console, who: &str, queue: &str) -> std::net::TcpStream {
    let mut user = console.user(who);
    let desk = format!("/desk/{}", b64(queue));
    let csrf = user.csrf();
    user.post(&format!("{desk}/join"), &[("csrf", &csrf)])
        .expect(303);
    user.stream(&desk)
}

#[test]
fn pages_actions_and_updates_by_tls_as_an_acl_user() {
    let tls = tls(|server| server);
    let mut c = tls.server.client();
    let docs = std::fs::read_to_string(place::workspace().join("docs/console.md")).unwrap();
    let rules = docs
        .split("```acl\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    rules
        .expect("a block of rules")
        .lines()
        .for_each(|line| c.expect_ok(line));
    c.line("MODQ.SUBMIT review:a a text");
    let console = tls.console(&tls.address(), "console");
    let mut sue = console.user("sue");
    wait_until("the queue is found", PATIENCE, || {
        sue.get("/").body.contains(">review:a<")
    });
    assert_eq!(sue.get("/healthz").expect(200).body.trim(), "ok");
    let queue = format!("/q/{}", b64("review:a"));
    sue.get(&queue).expect(200).says("Next to be claimed");
    let mut page = sue.stream(&queue);
    read_until(&mut page, "event: page");
    sue.act(
        &format!("{queue}/i/{}/do/assign", b64("a")),
        &[("who", "mia")],
    )
    .says("a is with mia now.");
    // The open page is brought up to date.
    read_until(&mut page, "mia");
    // The connection that hears announcements is another one.
    let _there = sit_down(&console, "sue", "review:a");
    wait_until("the console listens for her", PATIENCE, || {
        c.line("PUBSUB NUMSUB modq:{review:a}:sue")[1].int() == 1
    });
    assert!(tls.connections("console").len() >= 2);
    // It comes back by itself, by TLS.
    c.line("CLIENT KILL USER console");
    c.line("MODQ.SUBMIT review:a b text");
    wait_until("it has connected again", PATIENCE, || {
        tls.connections("console").len() >= 2
    });
    wait_until("it comes to her desk", PATIENCE, || {
        sue.get(&format!("/desk/{}", b64("review:a")))
            .body
            .contains(&format!("data-item=\"{}\"", b64("b")))
    });
}

#[test]
fn an_authority_that_is_not_trusted_is_told() {
    let tls = tls(|server| server);
    let console = tls.setup(&tls.address(), "stranger.pem").start();
    let words = "The console does not trust the server's certificate.";
    wait_until("it is told at the start", PATIENCE, || {
        console.said().contains(words)
    });
    let mut sue = console.user("sue");
    wait_until("the page tells it", PATIENCE, || sue.get("/").status == 503);
    sue.get("/")
        .expect(503)
        .says(words)
        .says("UnknownIssuer")
        .says("comes back by itself");
    sue.get("/healthz").expect(503).says(words);
    read_until(&mut sue.stream("/"), words);
    // Once, not with every attempt.
    let ticks = "modq_console_sample_age_seconds";
    sue.get("/metrics").expect(200).lacks(ticks);
    assert_eq!(
        console.said().matches(words).count(),
        1,
        "{}",
        console.said()
    );
}

/// Whether the server's reason or the end of the connection is seen first is a matter of luck.
#[test]
fn a_console_without_a_certificate_sees_nothing() {
    let tls = tls(|server| server);
    let console = Setup::to(&tls.address())
        .arg(&["--redis-ca", &tls.path("ca.pem")])
        .start();
    let told = || {
        let said = console.user("sue").get("/").body;
        said.contains("does not take the console's certificate")
            || said.contains("The server does not answer")
    };
    wait_until("it is told", PATIENCE, told);
    console.visitor().get("/healthz").expect(503);
}

#[test]
fn files_that_are_none_are_refused_at_the_start() {
    let tls = tls(|server| server);
    let conf = tls.path("server.conf");
    let refused = |setup: Setup| setup.refused("127.0.0.1:0");
    let ca = |address: &str, file: &str| Setup::to(address).arg(&["--redis-ca", file]);
    let said = refused(ca(&tls.address(), &conf));
    assert!(
        said.contains("server.conf has no certificates in PEM"),
        "{said}"
    );
    let said = refused(ca(&tls.address(), &tls.path("none")));
    assert!(said.contains("cannot read"), "{said}");
    // Who says nothing of TLS in the address would go without it.
    let said = refused(ca("redis://127.0.0.1:6379", &tls.path("ca.pem")));
    assert!(said.contains("rediss://"), "{said}");
    let own = [
        "--redis-cert",
        &tls.path("client.pem"),
        "--redis-key",
        &conf,
    ];
    let said = refused(Setup::to(&tls.address()).arg(&own));
    assert!(
        said.contains("server.conf has no private key in PEM"),
        "{said}"
    );
}

#[test]
fn sentinel_and_what_it_names_by_tls() {
    let primary = tls(|server| server);
    let mut c = primary.server.client();
    c.expect_ok("ACL SETUSER far on >secret ~* &* +@all");
    c.line("SELECT 2");
    c.line("MODQ.SUBMIT q a text");
    let sentinel = tls(|server| {
        server
            .sentinel()
            .config("tls-replication yes")
            .config(format!(
                "sentinel monitor modq 127.0.0.1 {} 1",
                primary.port
            ))
    });
    let console = sentinel
        .setup(&format!("{}/2", sentinel.address()), "ca.pem")
        .arg(&["--sentinel", "modq", "--redis-user", "far"])
        .env("MODQ_CONSOLE_REDIS_PASSWORD", "secret")
        .start();
    let mut sue = console.user("sue");
    wait_until("the queue is found", PATIENCE, || {
        sue.get("/").body.contains(">q<")
    });
    let _there = sit_down(&console, "sue", "q");
    wait_until("the console listens for her", PATIENCE, || {
        c.line("PUBSUB NUMSUB modq:{q}:sue")[1].int() == 1
    });
    assert!(primary.connections("far").len() >= 2);
    let console = sentinel
        .setup(&sentinel.address(), "stranger.pem")
        .arg(&["--sentinel", "modq"])
        .start();
    wait_until("it is told", PATIENCE, || {
        console.said().contains("modq-console: ")
    });
    console.visitor().get("/healthz").expect(503);
}

#[test]
fn a_cluster_by_tls() {
    let node = tls(|server| {
        server
            .cluster()
            .config("tls-cluster yes")
            .config("cluster-announce-ip 127.0.0.1")
    });
    let mut c = node.server.client();
    c.expect_ok("ACL SETUSER far on >secret ~* &* +@all");
    c.expect_ok("CLUSTER ADDSLOTSRANGE 0 16383");
    wait_until("the cluster is whole", PATIENCE, || {
        c.line("CLUSTER INFO").text().contains("cluster_state:ok")
    });
    c.line("MODQ.SUBMIT q a text");
    let cluster = node
        .setup(&node.address(), "ca.pem")
        .arg(&["--cluster", "--redis-user", "far"]);
    let console = cluster.env("MODQ_CONSOLE_REDIS_PASSWORD", "secret").start();
    let mut sue = console.user("sue");
    wait_until("the queue is found", PATIENCE, || {
        sue.get("/").body.contains(">q<")
    });
    sue.act(
        &format!("/q/{}/i/{}/do/assign", b64("q"), b64("a")),
        &[("who", "mia")],
    )
    .says("a is with mia now.");
    let _there = sit_down(&console, "sue", "q");
    wait_until("the console listens for her", PATIENCE, || {
        c.line("PUBSUB SHARDNUMSUB modq:{q}:sue")[1].int() == 1
    });
    assert!(node.connections("far").len() >= 2);
    let stranger = node
        .setup(&node.address(), "stranger.pem")
        .arg(&["--cluster"])
        .start();
    wait_until("it is told", PATIENCE, || {
        stranger
            .said()
            .contains("The console does not trust the server's certificate.")
    });
}
