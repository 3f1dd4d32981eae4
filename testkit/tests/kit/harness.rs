//! The harness itself, on every server: that what other tests lean on holds.

use modq_testkit::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn bare(kind: Kind) -> Builder {
    Server::builder(kind).without_module()
}

fn a_server_answers_and_stops(kind: Kind) {
    let mut server = bare(kind).start();
    let mut c = server.client();
    assert_eq!(c.line("PING"), simple("PONG"));
    let name = if kind.is_valkey() { "valkey" } else { "redis" };
    let version = info(&mut c, "server")[&format!("{name}_version")].clone();
    let expected = match kind {
        Kind::Redis70 => "7.0.",
        Kind::Redis82 => "8.2.",
        Kind::Valkey91 => "9.1.",
        Kind::Stack74 => "7.4.",
    };
    assert!(version.starts_with(expected), "{version}");
    server.stop();
    assert!(c.is_closed());
    assert!(Client::try_connect(server.port()).is_err());
}

fn wire_shapes_are_exact(kind: Kind) {
    let server = bare(kind).start();
    let mut c = server.client();
    assert_eq!(cmd!(c, "SET", b"k\0\r\n", 17), ok());
    assert_eq!(cmd!(c, "GET", b"k\0\r\n"), bulk("17"));
    assert_eq!(c.line("GET nothing"), Value::NullBulk);
    assert_eq!(c.line("BLPOP nothing 0.01"), Value::NullArray);
    assert_eq!(c.line("HSET h a 1"), Value::Int(1));
    assert_eq!(c.line("HGETALL h"), arr!["a", "1"]);
    assert_err!(c.line("LPUSH h x"), "WRONGTYPE");
    assert_err!(c.line("GET"), "ERR", "wrong number of arguments");
    let mut c = c.hello3();
    assert_eq!(c.line("GET nothing"), Value::Null);
    assert_eq!(c.line("BLPOP nothing 0.01"), Value::Null);
    assert_eq!(c.line("HGETALL h"), map! {"a" => "1"});
    c.send(&["SUBSCRIBE", "news"]);
    assert_eq!(
        c.push(),
        Value::Push(vec!["subscribe".into(), "news".into(), 1.into()])
    );
    assert_eq!(server.client().line("PUBLISH news hello"), Value::Int(1));
    assert_eq!(c.cmd(&["PING"]), simple("PONG"), "pushes are set aside");
    assert_eq!(
        c.push(),
        Value::Push(vec!["message".into(), "news".into(), "hello".into()])
    );
}

fn blocked_clients_can_be_watched(kind: Kind) {
    let server = bare(kind).start();
    let (mut blocked, mut c) = (server.client(), server.client());
    blocked.send(&["BLPOP", "list", "0"]);
    wait_until("the client is blocked", PATIENCE, || {
        info(&mut c, "clients")["blocked_clients"] == "1"
    });
    assert_eq!(blocked.poll(Duration::from_millis(20)), None);
    assert_eq!(c.line("RPUSH list x"), Value::Int(1));
    assert_eq!(blocked.read(), arr!["list", "x"]);
}

fn work_is_what_the_server_does_and_nobody_else(kind: Kind) {
    let server = bare(kind).start();
    let mut c = server.client();
    let script = ["EVAL", "for i = 1, 10000000 do end", "0"];
    // Again while the machine has no processor for the test: it is left out then, and perhaps all of it.
    let much = Duration::from_millis(5);
    wait_until("the script is seen", PATIENCE, || {
        work_during(server.pid(), || c.cmd(&script)).1 > much
    });
    let own = || {
        let start = thread_time();
        while thread_time() - start < 10 * much {}
    };
    wait_until("work of the test does not count", PATIENCE, || {
        work_during(server.pid(), own).1 < much
    });
}

fn data_survives_as_configured(kind: Kind) {
    let mut server = bare(kind).aof().start();
    server.client().expect_ok("SET k 1");
    server.kill9();
    server.start_again();
    assert_eq!(server.client().line("GET k"), bulk("1"), "after kill -9");
    server.restart();
    assert_eq!(server.client().line("GET k"), bulk("1"), "after a restart");
    server.client().expect_ok("SET k 2");
    server.stop_saving();
    server.start_again_with(|b| b.config("appendonly no").config("maxmemory 50mb"));
    assert_eq!(
        server.client().line("GET k"),
        bulk("2"),
        "from the RDB file"
    );
    assert_eq!(
        server.client().line("CONFIG GET maxmemory"),
        arr!["maxmemory", "52428800"]
    );
    let rdb = std::fs::read(server.dir().join("dump.rdb")).unwrap();
    let copy = bare(kind).file("dump.rdb", rdb).start();
    assert_eq!(
        debug_digest(&mut copy.client()),
        debug_digest(&mut server.client())
    );
    let dir = copy.dir().to_owned();
    drop(copy);
    assert!(!dir.exists());
}

fn replicas_catch_up(kind: Kind) {
    let primary = bare(kind).start();
    let replica = bare(kind).replica_of(&primary).start();
    let chained = bare(kind).replica_of(&replica).start();
    let mut c = primary.client();
    (0..100).for_each(|i| assert_eq!(cmd!(c, "RPUSH", "list", i), Value::Int(i + 1)));
    for node in [&replica, &chained] {
        wait_replica_synced(&primary, node);
        assert_eq!(digest(&mut node.client(), "list"), digest(&mut c, "list"));
        assert_eq!(debug_digest(&mut node.client()), debug_digest(&mut c));
    }
    assert_eq!(command_calls(&mut replica.client(), "rpush"), 100);
    assert_eq!(command_calls(&mut replica.client(), "lpush"), 0);
}

fn a_crash_fails_the_test(kind: Kind) {
    let crash = |server: &Server| assert!(server.client().try_cmd(&["DEBUG", "SEGFAULT"]).is_err());
    let message = panic_of(|| {
        let server = bare(kind).start();
        crash(&server);
    });
    assert!(
        message.contains("crashed") && message.contains("BUG REPORT START"),
        "{message}"
    );
    let mut expected = bare(kind).start();
    expected.expect_crash();
    crash(&expected);
    wait_until("the report is written", PATIENCE, || {
        expected.log().contains("BUG REPORT END")
    });
}

fn a_death_fails_the_test(kind: Kind) {
    let message = panic_of(|| {
        let server = bare(kind).start();
        assert!(server.client().try_cmd(&["SHUTDOWN"]).is_err());
        wait_until("it is gone", PATIENCE, || {
            Client::try_connect(server.port()).is_err() && is_zombie(server.pid())
        });
    });
    assert!(message.contains("crashed"), "{message}");
}

fn is_zombie(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

fn a_refused_start_shows_the_log(kind: Kind) {
    let log = bare(kind)
        .config("no-such-option yes")
        .try_start()
        .expect_err("the start is refused");
    assert!(log.contains("no-such-option"), "{log}");
}

fn a_cluster_comes_up(kind: Kind) {
    let cluster = Cluster::start_with(3, kind, Builder::without_module);
    for node in &cluster.nodes {
        assert!(
            node.client()
                .line("CLUSTER INFO")
                .text()
                .contains("cluster_state:ok")
        );
    }
    for key in ["a", "b", "c", "{a}b"] {
        cluster.client_for(key).expect_ok(&format!("SET {key} 1"));
    }
    assert_eq!(cluster.slot("a"), cluster.slot("{a}b"));
    let (owner, other) = (
        cluster.owner("a"),
        cluster
            .nodes
            .iter()
            .find(|n| n.port() != cluster.owner("a").port()),
    );
    assert_err!(
        other.unwrap().client().line("GET a"),
        "MOVED",
        &owner.port().to_string()
    );
}

fn sentinels_fail_over(kind: Kind) {
    let mut setup = SentinelSetup::start_with(kind, Builder::without_module);
    let old = setup.primary().port();
    assert_eq!(old, setup.nodes[0].port());
    setup.nodes[0].kill9();
    let primary = setup.wait_failover(old);
    primary.client().expect_ok("SET after failover");
}

/// The message a closure panics with.
fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    payload
        .downcast::<String>()
        .map(|message| *message)
        .unwrap_or_default()
}

/// Tells the test that runs again as a process of its own to do so.
const DIE: &str = "MODQ_TEST_DIE";

#[test]
fn servers_die_with_the_process_not_with_the_thread() {
    if std::env::var_os(DIE).is_some() {
        start_a_server_and_die();
    }
    let server = std::thread::spawn(|| bare(Kind::Redis70).start())
        .join()
        .unwrap();
    assert_eq!(
        server.client().line("PING"),
        simple("PONG"),
        "outlives the thread that started it"
    );
    // A process that starts a server and kills itself takes the server with it: this very test, run again.
    let me = std::env::current_exe().unwrap();
    let name = "harness::servers_die_with_the_process_not_with_the_thread";
    let out = std::process::Command::new(me)
        .args(["--exact", name, "--nocapture"])
        .env(DIE, "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&out.stdout);
    let port = stdout
        .lines()
        .find_map(|line| line.split_once("started on ")?.1.trim().parse::<u16>().ok());
    let port = port.unwrap_or_else(|| panic!("{out:?}"));
    wait_until("the orphan is gone", PATIENCE, || {
        Client::try_connect(port).is_err()
    });
}

/// The other half of the test above.
fn start_a_server_and_die() {
    let server = bare(Kind::Redis70).start();
    println!("started on {}", server.port());
    // SAFETY: ends this process, which is the point.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

fn a_client_reconnects_where_its_connection_was_closed(kind: Kind) {
    let mut server = bare(kind).start();
    let mut c = Reconnecting::new(&server);
    let id = c.try_line("CLIENT ID").expect("it connects");
    assert_eq!(c.try_line("CLIENT ID"), Some(id.clone()), "and stays so");
    assert_eq!(
        server.client().line("CLIENT KILL TYPE normal"),
        Value::Int(1)
    );
    assert_eq!(c.try_line("CLIENT ID"), None);
    assert_ne!(c.try_line("CLIENT ID").expect("it connects"), id);
    server.kill9();
    assert_eq!(c.try_line("PING"), None);
    assert_eq!(c.try_line("PING"), None, "there is nothing to connect to");
    server.start_again();
    assert_eq!(c.try_line("PING"), Some(simple("PONG")));
}

matrix!(
    a_server_answers_and_stops,
    wire_shapes_are_exact,
    blocked_clients_can_be_watched,
    a_client_reconnects_where_its_connection_was_closed,
    data_survives_as_configured,
    work_is_what_the_server_does_and_nobody_else,
    replicas_catch_up,
    a_crash_fails_the_test,
    a_death_fails_the_test,
    a_refused_start_shows_the_log,
    a_cluster_comes_up,
    sentinels_fail_over,
);
