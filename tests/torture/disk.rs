//! The disk is full. Here that is a limit on the size of files, RLIMIT_FSIZE with its signal ignored, which needs no rights
//! and no file system of its own: a write beyond it does what room there is for and then fails, as ENOSPC has it.

use crate::field::{self, begin_anew, check};
use crate::journal::Promise;
use crate::plan::rounds;
use crate::reach::Plain;
use crate::worker::{Load, Worker, under_load};
use modq_testkit::*;

matrix!(
    a_full_disk_ends_a_server_that_must_sync,
    a_full_disk_stops_writes_until_there_is_room,
    a_save_that_finds_no_room_stops_writes_until_one_does,
);

/// Leaves room for some more bytes of the AOF.
fn fill_disk(server: &Server, random: &mut Random) {
    let size = info_number(&mut server.client(), "persistence", "aof_current_size");
    server.limit_files(Some(size + random.below(3000)));
}

/// With `always` the server dies of it by its own rule rather than break its word.
fn a_full_disk_ends_a_server_that_must_sync(kind: Kind) {
    rounds("disk full, appendfsync always", kind, |random| {
        let tags = field::tags(1);
        let mut server = Server::builder(kind).aof().start();
        server.expect_crash();
        field::prepare(&mut server.client(), &tags[0]);
        let mut crew = Worker::crew(4, &tags, random);
        for _ in 0..3 {
            let port = server.port();
            under_load(
                &mut crew,
                || Plain::new(port),
                |load| {
                    load.more(20 + random.below(200));
                    fill_disk(&server, random);
                    let status = server.wait_ended();
                    assert_eq!(status.code(), Some(1), "it exits, it does not crash");
                },
            );
            assert!(!server.log().contains("panicked at"));
            server.start_again();
            check(&crew, &tags, |_| server.client(), Promise::All);
        }
    });
}

/// Whether the server refuses to write.
fn refuses(server: &Server) -> bool {
    server.client().line("SET probe x").err_code() == "MISCONF"
}

/// Waits until it refuses, makes room, and waits until it writes again.
fn recovers(server: &Server, load: &Load, mend: impl FnOnce()) {
    wait_until("the server refuses to write", 2 * PATIENCE, || {
        refuses(server)
    });
    load.more(50);
    assert!(refuses(server), "as long as there is no room");
    server.limit_files(None);
    mend();
    wait_until("the server writes again", 2 * PATIENCE, || !refuses(server));
    load.more(50);
}

fn a_full_disk_stops_writes_until_there_is_room(kind: Kind) {
    rounds("disk full, appendfsync everysec", kind, |random| {
        let tags = field::tags(1);
        let mut server = Server::builder(kind).config("appendonly yes").start();
        field::prepare(&mut server.client(), &tags[0]);
        let mut crew = Worker::crew(4, &tags, random);
        for _ in 0..2 {
            under_load(
                &mut crew,
                || Plain::new(&server),
                |load| {
                    load.more(20 + random.below(200));
                    fill_disk(&server, random);
                    recovers(&server, load, || {});
                },
            );
            check(&crew, &tags, |_| server.client(), Promise::All);
            server.kill9();
            server.start_again();
            let found = check(&crew, &tags, |_| server.client(), Promise::Prefix);
            begin_anew(&mut crew, &found);
        }
    });
}

fn a_save_that_finds_no_room_stops_writes_until_one_does(kind: Kind) {
    rounds("disk full, RDB", kind, |random| {
        let tags = field::tags(1);
        let mut server = Server::builder(kind).config("save 3600 1000000").start();
        field::prepare(&mut server.client(), &tags[0]);
        let mut crew = Worker::crew(4, &tags, random);
        under_load(
            &mut crew,
            || Plain::new(&server),
            |load| {
                load.more(100 + random.below(200));
                server.limit_files(Some(300 + random.below(2000)));
                let mut c = server.client();
                c.line("BGSAVE");
                recovers(&server, load, || drop(c.line("BGSAVE")));
            },
        );
        check(&crew, &tags, |_| server.client(), Promise::All);
        server.stop_saving();
        server.start_again();
        check(&crew, &tags, |_| server.client(), Promise::All);
    });
}
