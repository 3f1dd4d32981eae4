//! What a panic inside a command leaves behind: what was applied before it is on the replica too, and the key takes no
//! more changes. The module of these tests panics on demand (see `core/src/inject.rs`).

use modq_testkit::*;

matrix!(
    what_was_applied_before_a_panic_is_replicated,
    a_key_left_half_changed_is_whole_again_when_it_is_loaded,
    a_panic_of_the_clock_damages_the_key_it_was_about,
    a_panic_in_a_move_damages_both_keys,
    a_panic_in_a_charge_damages_the_limiter,
    a_panic_in_a_row_damages_the_board,
);

const DAMAGED: &str = "ERR internal error: this key is damaged";

fn pair(kind: Kind) -> (Server, Server) {
    let mut primary = Server::builder(kind).faulty_module().start();
    primary.expect_crash();
    // The replica has the build without places that panic.
    let replica = Server::builder(kind).replica_of(&primary).start();
    wait_link(&primary, &replica);
    (primary, replica)
}

#[track_caller]
fn refused(c: &mut Client, line: &str) {
    let reply = c.line(line);
    assert!(
        matches!(&reply, Value::Error(e) if e.starts_with(DAMAGED)),
        "{line}: {reply:?}"
    );
}

fn damaged(c: &mut Client) -> u64 {
    info_number(c, "modq", "modq_damaged_keys")
}

/// The server may free the old value on a thread of its own.
#[track_caller]
fn none_damaged(c: &mut Client) {
    wait_until("no key is damaged", PATIENCE, || damaged(c) == 0);
}

#[track_caller]
fn same(primary: &Server, replica: &Server, key: &str) {
    wait_replica_synced(primary, replica);
    let (here, there) = (&mut primary.client(), &mut replica.client());
    assert_eq!(digest(here, key), digest(there, key));
}

fn what_was_applied_before_a_panic_is_replicated(kind: Kind) {
    let (primary, replica) = pair(kind);
    let mut c = primary.client();
    let panics = "panic before a lock";
    assert_eq!(
        c.cmd(&["MODQ.JOIN", "q", panics, "TTL", "600000"]),
        simple("WAITING")
    );
    // The item comes in, and then its match panics.
    refused(&mut c, "MODQ.SUBMIT q i text");
    assert_eq!(c.line("MODQ.LEN q READY"), Value::Int(1));
    same(&primary, &replica, "q");

    for line in [
        "MODQ.SUBMIT q j text",
        "MODQ.CANCEL q i",
        "MODQ.CLAIM q alice",
        "MODQ.PAUSE q",
        "MODQ.CONFIGURE q LOCK 5",
        "MODQ.JOIN q alice",
        "MODQ.LEAVE q alice",
        "MODQ.REVIVE q ALL",
        "MODQ.MOVE q other i",
        "MODQ.MOVE other q i",
    ] {
        c.line("MODQ.SUBMIT other i text");
        unchanged(&mut c, "q", |c| refused(c, line));
    }
    // It can be read; other keys are not concerned; all is said.
    assert_eq!(c.line("MODQ.LEN q"), Value::Int(1));
    assert_eq!(c.line("MODQ.SUBMIT third i text"), simple("READY"));
    assert_eq!(damaged(&mut c), 1);
    assert!(primary.log().contains("a key is damaged"));

    // The replica has a whole queue, and goes on with it.
    none_damaged(&mut replica.client());
    replica.client().expect_ok("REPLICAOF NO ONE");
    let other = replica.client().line("MODQ.SUBMIT q j text");
    assert_eq!(other, simple("ASSIGNED"));

    assert_eq!(c.line("DEL q"), Value::Int(1));
    none_damaged(&mut c);
    assert_eq!(c.line("MODQ.SUBMIT q i text"), simple("READY"));
}

fn a_key_left_half_changed_is_whole_again_when_it_is_loaded(kind: Kind) {
    let (primary, replica) = pair(kind);
    let mut c = primary.client();
    c.line("MODQ.SUBMIT q i text");
    // The panic comes when the item has left its state and is in no other.
    let reply = c.cmd(&["MODQ.CLAIM", "q", "panic in a lock"]);
    assert!(
        matches!(&reply, Value::Error(e) if e.starts_with(DAMAGED)),
        "{reply:?}"
    );
    refused(&mut c, "MODQ.CLAIM q alice");
    assert_eq!(damaged(&mut c), 1);

    c.expect_ok("DEBUG RELOAD");
    none_damaged(&mut c);
    same(&primary, &replica, "q");
    let claims = c.line("MODQ.CLAIM q alice");
    assert_eq!(claims.items()[0].items()[0], bulk("i"));
    same(&primary, &replica, "q");
}

fn a_panic_of_the_clock_damages_the_key_it_was_about(kind: Kind) {
    let (primary, replica) = pair(kind);
    let mut c = primary.client();
    c.line("MODQ.SUBMIT q i text");
    c.line("MODQ.CLAIM q alice LOCK 50");
    c.cmd(&["MODQ.JOIN", "q", "panic before a lock", "TTL", "600000"]);
    // The lock expires, and then the match panics.
    wait_until("the match panics", PATIENCE, || damaged(&mut c) == 1);
    assert_eq!(c.line("MODQ.LEN q READY"), Value::Int(1));
    same(&primary, &replica, "q");
    refused(&mut c, "MODQ.CLAIM q alice");
    // Time acts on others as before.
    c.line("MODQ.SUBMIT other i text");
    c.line("MODQ.CLAIM other alice LOCK 1");
    wait_until("another lock expires", PATIENCE, || {
        c.line("MODQ.LEN other READY") == Value::Int(1)
    });
}

fn a_panic_in_a_move_damages_both_keys(kind: Kind) {
    let (primary, replica) = pair(kind);
    let mut c = primary.client();
    c.line("MODQ.SUBMIT {q}a i text");
    c.cmd(&["MODQ.JOIN", "{q}b", "panic before a lock"]);
    // The item has come in at the destination, and has not left the source.
    refused(&mut c, "MODQ.MOVE {q}a {q}b i");
    assert_eq!(damaged(&mut c), 2);
    for key in ["{q}a", "{q}b"] {
        same(&primary, &replica, key);
        refused(&mut c, &format!("MODQ.SUBMIT {key} j text"));
    }
}

fn a_panic_in_a_charge_damages_the_limiter(kind: Kind) {
    let (primary, replica) = pair(kind);
    let mut c = primary.client();
    let check = ["RATELIMIT.CHECK", "user", "2", "3600000"];
    assert_eq!(c.cmd(&check)[0], Value::Int(1));
    let panics = [&check[..], &["ID", "panic in a charge"]].concat();
    let reply = c.cmd(&panics);
    assert!(
        matches!(&reply, Value::Error(e) if e.starts_with("ERR internal error")),
        "{reply:?}"
    );
    same(&primary, &replica, "user");
    unchanged(&mut c, "user", |c| refused(c, &check.join(" ")));
    assert_eq!(damaged(&mut c), 1);
    // What changes nothing is answered.
    let peek = c.line("RATELIMIT.PEEK user 2 3600000 COST 0");
    assert_eq!(peek[2], Value::Int(1), "one of two is left: {peek:?}");
    assert_eq!(c.line("RATELIMIT.RESET user"), Value::Int(1));
    none_damaged(&mut c);
    assert_eq!(c.cmd(&check)[0], Value::Int(1));
}

fn a_panic_in_a_row_damages_the_board(kind: Kind) {
    let (primary, replica) = pair(kind);
    let mut c = primary.client();
    assert_eq!(c.line("RANK.ADD b first 5")[0], Value::Int(1));
    refused_whole(&mut c, &["RANK.ADD", "b", "panic in a row", "1", "ID", "x"]);
    same(&primary, &replica, "b");
    unchanged(&mut c, "b", |c| {
        refused(c, "RANK.ADD b other 1");
        refused(c, "RANK.REM b first");
        refused(c, "RANK.CLOSE b old");
        refused(c, "RANK.CONFIGURE b RETRY 1");
    });
    assert_eq!(damaged(&mut c), 1);
    assert_eq!(c.line("RANK.TOP b 5"), arr![arr![1, "first", 5]]);
    // What an import did before it is on the replica.
    c.line("DEL b");
    c.cmd(&["ZADD", "z", "1", "c", "2", "panic in a row", "3", "a"]);
    refused_whole(&mut c, &["RANK.IMPORT", "b", "z"]);
    same(&primary, &replica, "b");
    assert_eq!(c.line("RANK.CARD b"), Value::Int(1));
    c.line("DEL b");
    none_damaged(&mut c);
    assert_eq!(c.line("RANK.ADD b other 1")[0], Value::Int(1));
}

/// The command panics inside.
#[track_caller]
fn refused_whole(c: &mut Client, words: &[&str]) {
    let reply = c.cmd(words);
    assert!(
        matches!(&reply, Value::Error(e) if e.starts_with("ERR internal error")),
        "{words:?}: {reply:?}"
    );
}
