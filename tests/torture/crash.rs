//! The server is killed at any moment, also while it saves or rewrites its AOF, and starts again.

use crate::field::{self, begin_anew, check};
use crate::journal::Promise;
use crate::mix::MIX;
use crate::plan::rounds;
use crate::reach::Plain;
use crate::worker::{Worker, under_load};
use modq_testkit::*;
use std::fs;
use std::path::PathBuf;

matrix!(
    nothing_acknowledged_is_lost_by_a_crash,
    a_crash_leaves_a_prefix,
    the_mix_has_every_command,
);

/// Work, and a kill at a random moment of it, perhaps while a child is at work.
fn crash(server: &mut Server, crew: &mut [Worker], random: &mut Random) {
    let port = server.port();
    under_load(
        crew,
        || Plain::new(port),
        |load| {
            load.more(20 + random.below(400));
            let child = *random.pick(&["", "BGSAVE", "BGREWRITEAOF"]);
            if !child.is_empty() {
                let mut c = server.client();
                // Long enough to be met at it; the child goes on without its parent, so not much longer.
                c.expect_ok("CONFIG SET rdb-key-save-delay 10000");
                c.line(child);
                load.more(1 + random.below(40));
            }
            server.kill9();
        },
    );
}

fn nothing_acknowledged_is_lost_by_a_crash(kind: Kind) {
    rounds("crash, appendfsync always", kind, |random| {
        let tags = field::tags(1);
        let mut server = Server::builder(kind).aof().start();
        field::prepare(&mut server.client(), &tags[0]);
        let mut crew = Worker::crew(4, &tags, random);
        for _ in 0..3 {
            crash(&mut server, &mut crew, random);
            server.start_again();
            check(&crew, &tags, |_| server.client(), Promise::All);
        }
    });
}

/// The newest file of the AOF.
fn last_aof(server: &Server) -> PathBuf {
    let files = fs::read_dir(server.dir().join("appendonlydir")).unwrap();
    let number = |path: &PathBuf| -> Option<u64> {
        let name = path.file_name()?.to_str()?.strip_suffix(".incr.aof")?;
        name.rsplit('.').next()?.parse().ok()
    };
    let files = files.map(|file| file.unwrap().path());
    let newest = files
        .filter(|path| number(path).is_some())
        .max_by_key(number);
    newest.expect("an AOF")
}

/// What a machine that loses its power loses besides: the end of the AOF, at any byte.
fn cut_off_the_end(server: &Server, random: &mut Random) {
    let path = last_aof(server);
    let file = fs::File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let cut = random.below(1 + (length / 2).min(6000));
    file.set_len(length - cut).unwrap();
}

/// Where the AOF ended within a transaction Redis (up to 8.2 at least; not Valkey 9.1) leaves its beginning in the file and
/// appends what comes next, so that the start after the next one meets MULTI within MULTI: without modules it then runs
/// half of a transaction, with one it does not start. A rewrite mends that.
fn mend_aof(server: &Server) {
    let mut c = server.client();
    c.line("BGREWRITEAOF");
    wait_until("the AOF is written anew", PATIENCE, || {
        let state = info(&mut c, "persistence");
        state["aof_rewrite_in_progress"] == "0" && state["aof_rewrite_scheduled"] == "0"
    });
}

fn a_crash_leaves_a_prefix(kind: Kind) {
    rounds("crash, appendfsync everysec", kind, |random| {
        let tags = field::tags(1);
        let builder = Server::builder(kind).config("appendonly yes");
        let mut server = builder.config("appendfsync everysec").start();
        field::prepare(&mut server.client(), &tags[0]);
        let mut crew = Worker::crew(4, &tags, random);
        for _ in 0..3 {
            crash(&mut server, &mut crew, random);
            cut_off_the_end(&server, random);
            server.start_again();
            mend_aof(&server);
            let found = check(&crew, &tags, |_| server.client(), Promise::Prefix);
            begin_anew(&mut crew, &found);
        }
    });
}

/// Every row is answered without an error some time, and every command of the module is in one.
fn the_mix_has_every_command(kind: Kind) {
    let tags = field::tags(1);
    let server = Server::start(kind);
    let mut c = server.client();
    field::prepare(&mut c, &tags[0]);
    let mut worker = Worker::crew(1, &tags, &mut Random::new(1)).remove(0);
    let mut reach = Plain::new(&server);
    let mut never: Vec<usize> = (0..MIX.len()).collect();
    // Some rows need luck: a lock that is still there, say.
    for _ in 0..20_000 {
        worker.step(&mut reach);
        never
            .iter()
            .for_each(|&row| worker.try_row(&mut reach, row));
        never.retain(|&row| worker.answered[row] == 0);
        if never.is_empty() {
            break;
        }
    }
    assert_eq!(worker.wrong, Vec::<String>::new());
    let never: Vec<_> = never.iter().map(|&row| MIX[row].1).collect();
    assert!(never.is_empty(), "answered by errors only: {never:?}");
    let all = c.line("COMMAND LIST FILTERBY MODULE modq");
    assert!(all.items().len() > 30, "{all:?}");
    for name in all.items().iter().map(|name| name.text().to_uppercase()) {
        let (parent, sub) = name.split_once('|').unwrap_or((&name, ""));
        let has = MIX.iter().any(|(_, line)| {
            let mut words = line.split(' ');
            words.next() == Some(parent) && (sub.is_empty() || words.next() == Some(sub))
        });
        let spared = parent.contains("._") || sub == "HELP";
        assert!(has || spared, "{name} is not in the mix");
    }
}
