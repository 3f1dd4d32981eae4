//! A queue that a client brings keeps its event stream only if that client has rights on the stream.

use crate::modq_replication::primary;
use crate::modq_replication_records::records;
use modq_testkit::queue::*;
use modq_testkit::*;

/// A server with a queue `pub:q` that writes to `secret:audit`, one item in it, and its DUMP. There are
/// three users: `bob` has no rights on the stream, `ann` may only read it, `eve` has them.
fn room(builder: Builder) -> (Server, Client, Vec<u8>) {
    let server = builder.start();
    let mut c = server.client();
    c.expect_ok("MODQ.CONFIGURE pub:q EVENTS secret:audit");
    submit(&mut c, "pub:q a p");
    let dump = c.line("DUMP pub:q").bytes().to_vec();
    c.expect_ok("ACL SETUSER bob on nopass ~pub:* +@all");
    c.expect_ok("ACL SETUSER ann on nopass ~pub:* %R~secret:* +@all");
    c.expect_ok("ACL SETUSER eve on nopass ~pub:* ~secret:* +@all");
    (server, c, dump)
}

fn user(server: &Server, name: &str) -> Client {
    let mut client = server.client();
    client.expect_ok(&format!("AUTH {name} any"));
    client
}

/// The stream a queue says that it writes to.
fn stream_of(c: &mut Client, key: &str) -> String {
    c.line(&format!("MODQ.CONFIG {key}")).field("events").text()
}

/// How many events there are once `key` was used by who has `c`.
fn used(c: &mut Client, admin: &mut Client, key: &str) -> i64 {
    let item = format!("i{}", admin.line("INCR items").int());
    assert_eq!(
        c.line(&format!("MODQ.SUBMIT {key} {item} p")),
        simple("READY")
    );
    admin.line("XLEN secret:audit").int()
}

/// Every way in which a client may bring `pub:q` to `pub:x`: what it sends, in order.
fn ways(dump: &[u8]) -> Vec<Vec<Vec<Vec<u8>>>> {
    let words = |line: &str| -> Vec<Vec<u8>> {
        line.split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect()
    };
    let restore = vec![
        b"RESTORE".to_vec(),
        b"pub:x".to_vec(),
        b"0".to_vec(),
        dump.to_vec(),
    ];
    let script = b"return redis.call('RESTORE', KEYS[1], 0, ARGV[1])".to_vec();
    let eval = vec![
        b"EVAL".to_vec(),
        script,
        b"1".to_vec(),
        b"pub:x".to_vec(),
        dump.to_vec(),
    ];
    vec![
        vec![restore.clone()],
        vec![words("MULTI"), restore.clone(), words("EXEC")],
        vec![eval],
        vec![words("COPY pub:q pub:x")],
        vec![
            words("SELECT 1"),
            restore.clone(),
            words("MOVE pub:x 0"),
            words("SELECT 0"),
        ],
        vec![
            restore,
            words("RENAME pub:x pub:y"),
            words("COPY pub:y pub:x"),
            words("DEL pub:y"),
        ],
    ]
}

fn brings(client: &mut Client, way: &[Vec<Vec<u8>>]) {
    for reply in client.pipeline_of(way) {
        assert_eq!(reply.err_code(), "", "{reply:?}");
    }
}

/// Also where the queue is used in the same turn, before replicas are told.
fn who_has_no_rights_on_the_stream_brings_the_queue_without(kind: Kind) {
    let (server, mut c, dump) = room(primary(kind));
    let replica = Server::builder(kind).replica_of(&server).start();
    wait_link(&server, &replica);
    for name in ["bob", "ann"] {
        let mut bob = user(&server, name);
        for (at, mut way) in ways(&dump).into_iter().enumerate() {
            let events = c.line("XLEN secret:audit").int();
            let submit: Vec<Vec<u8>> = ["MODQ.SUBMIT", "pub:x", "new", "p"]
                .map(|w| w.as_bytes().to_vec())
                .to_vec();
            way.push(submit);
            brings(&mut bob, &way);
            assert_eq!(stream_of(&mut c, "pub:x"), "", "{name}, way {at}");
            assert_eq!(used(&mut bob, &mut c, "pub:x"), events, "{name}, way {at}");
            assert_eq!(
                used(&mut c, &mut server.client(), "pub:x"),
                events,
                "{name}, way {at}"
            );
            wait_replica_synced(&server, &replica);
            assert_eq!(
                digest(&mut c, "pub:x"),
                digest(&mut replica.client(), "pub:x"),
                "{name}, way {at}"
            );
            c.line("DEL pub:x");
        }
    }
    assert_eq!(stream_of(&mut c, "pub:q"), "secret:audit");
    assert!(server.log().contains("no rights on its event stream"));
}

fn who_has_rights_on_the_stream_brings_the_queue_with_it(kind: Kind) {
    let (server, mut c, dump) = room(Server::builder(kind));
    // Others are in the midst of a command, or wait.
    let _waits = blocked(&server, "MODQ.CLAIM pub:empty m BLOCK 0");
    for name in ["eve", "default"] {
        let mut eve = user(&server, name);
        for (at, way) in ways(&dump).into_iter().enumerate() {
            let events = c.line("XLEN secret:audit").int();
            brings(&mut eve, &way);
            assert_eq!(
                stream_of(&mut c, "pub:x"),
                "secret:audit",
                "{name}, way {at}"
            );
            assert_eq!(
                used(&mut eve, &mut c, "pub:x"),
                events + 1,
                "{name}, way {at}"
            );
            c.line("DEL pub:x");
        }
    }
}

/// A client that waits does not run the command, whatever its rights.
fn who_waits_is_not_asked(kind: Kind) {
    let (server, mut c, dump) = room(Server::builder(kind));
    let mut bob = user(&server, "bob");
    block(&mut bob, &server, "MODQ.CLAIM pub:empty m BLOCK 0");
    let mut eve = user(&server, "eve");
    brings(&mut eve, &ways(&dump)[0]);
    assert_eq!(stream_of(&mut c, "pub:x"), "secret:audit");
}

/// The loss is saved, and what is loaded is not asked about again.
fn what_is_loaded_is_as_it_was(kind: Kind) {
    for builder in [Server::builder(kind).aof(), Server::builder(kind)] {
        let (mut server, _, dump) = room(builder);
        brings(&mut user(&server, "bob"), &ways(&dump)[0]);
        server.stop_saving();
        server.start_again();
        let mut c = server.client();
        assert_eq!(stream_of(&mut c, "pub:x"), "");
        assert_eq!(stream_of(&mut c, "pub:q"), "secret:audit");
    }
}

/// Whoever may use the internal commands has no more rights by them.
fn the_internal_commands_bind_no_stream_either(kind: Kind) {
    let builder = primary(kind).aof().module_args(&["allow-apply", "yes"]);
    let (server, mut c, _) = room(builder);
    let replica = Server::builder(kind).replica_of(&server).start();
    wait_link(&server, &replica);
    let mut configured = records(&server, "modq._q").remove(0);
    assert_eq!(configured[1], b"pub:q");
    configured[1] = b"pub:x".to_vec();
    for (name, stream) in [("bob", ""), ("eve", "secret:audit")] {
        let mut client = user(&server, name);
        assert_eq!(client.cmd(&configured), ok());
        assert_eq!(stream_of(&mut c, "pub:x"), stream);
        wait_replica_synced(&server, &replica);
        let there = digest(&mut replica.client(), "pub:x");
        assert_eq!(digest(&mut c, "pub:x"), there, "{name}");
    }
}

matrix! {
    who_has_no_rights_on_the_stream_brings_the_queue_without,
    who_has_rights_on_the_stream_brings_the_queue_with_it,
    who_waits_is_not_asked,
    what_is_loaded_is_as_it_was,
    the_internal_commands_bind_no_stream_either,
}
