//! What a second reading of the contract brought up: words that errors use, reasons that WHY gives, flags,
//! the order of what one command tells.

use modq_testkit::queue::*;
use modq_testkit::*;

/// The first word is the code, and the rest says which argument is wrong and what it may be.
fn errors_say_what_is_wrong(kind: Kind) {
    let (_server, mut c) = desk(kind);
    for (line, says) in [
        ("MODQ.SUBMIT q a p URGENT 5", "'URGENT' (argument 4)"),
        ("MODQ.LEN q ripe", "'ripe' (argument 2)"),
        ("MODQ.LEN q READY DEAD", "'DEAD' (argument 3)"),
        ("MODQ.SUBMIT q a p TAGS 3 x y", "TAGS says 3"),
        ("MODQ.SUBMIT q a p EXCLUDE 2", "EXCLUDE says 2"),
        (
            "MODQ.SUBMIT q a p DELAY -1",
            "DELAY must be an integer from 0 to 1099511627776 (ms)",
        ),
        ("MODQ.CONFIGURE q LOCK 0", "(ms)"),
        ("MODQ.EXTEND q a 1 0", "ms must be an integer from 1"),
        ("MODQ.MOVE q r a TOKEN x", "TOKEN must be"),
    ] {
        assert_err!(c.line(line), "ERR", says);
    }
    // Words may be anything: one that could be no option is not shown.
    let word = vec![0xff; 100_000];
    assert_err!(cmd!(c, "MODQ.LEN", "q", word), "ERR", "at argument 2");
    assert_err!(
        c.line("MODQ.LEN q READY 17"),
        "ERR",
        "unexpected word at argument 3"
    );
    assert_eq!(c.line("EXISTS q r"), Value::Int(0));
}

/// A moderator who waits in a CLAIM with tags offers these, though they never joined.
fn why_knows_what_blocked_calls_offer(kind: Kind) {
    let (server, mut c) = desk(kind);
    let _waits = blocked(&server, "MODQ.CLAIM q m BLOCK 0 TAGS 1 x");
    let _too = blocked(&server, "MODQ.CLAIM q m BLOCK 0 TAGS 1 y NEW");
    c.line("MODQ.SUBMIT q a p TAGS 1 x DELAY 100000");
    c.line("MODQ.SUBMIT q b p TAGS 1 y DELAY 100000");
    c.line("MODQ.SUBMIT q both p TAGS 2 x y DELAY 100000");
    let mut why = |words: &str| c.line(&format!("MODQ.WHY q {words}"));
    assert_eq!(why("a m"), arr!["state"]);
    assert_eq!(why("b m"), arr!["state"]);
    assert_eq!(
        why("both m"),
        arr!["state", "tags"],
        "no single call has both"
    );
    assert_eq!(why("a m TAGS 1 y"), arr!["state", "tags"]);
    assert_eq!(why("a n"), arr!["state", "tags"]);
    // And so does PEEK.
    c.expect_ok("MODQ.PAUSE q OUT");
    submit(&mut c, "q c p TAGS 1 y");
    assert_eq!(c.line("MODQ.PEEK q FOR m"), arr!["c"]);
    assert_eq!(c.line("MODQ.PEEK q FOR n"), Value::Array(vec![]));
    assert_eq!(c.line("MODQ.WHY q c m"), arr!["paused"]);
}

/// As if overdue transitions were applied: an item whose lock is over comes first, though nothing
/// may put it back now.
fn why_counts_what_is_overdue(kind: Kind) {
    let (_server, mut c) = desk(kind);
    submit(&mut c, "q first p PRIORITY 5");
    submit(&mut c, "q tagged p PRIORITY 4 TAGS 1 t");
    submit(&mut c, "q barred p PRIORITY 3 EXCLUDE 1 m");
    submit(&mut c, "q last p");
    let replies = c.pipeline(&[
        "MODQ.CLAIM q x LOCK 200",
        "MODQ.CLAIM q y LOCK 200 TAGS 1 t",
        "MODQ.CLAIM q z LOCK 200",
        "MODQ.WHY q last m",
        "CLIENT PAUSE 100000 WRITE",
    ]);
    let locks = replies[..3].iter().flat_map(claims);
    let deadline = locks.map(|lock| lock.deadline).max().unwrap();
    assert_eq!(replies[3], Value::Array(vec![]));
    wait_until("all locks are over", PATIENCE, || now_ms() > deadline);
    assert_eq!(len(&mut c, "q LOCKED"), 3, "nothing runs out in a pause");
    assert_eq!(c.line("MODQ.WHY q last m"), arr!["behind"]);
    assert_eq!(c.line("MODQ.WHY q first m"), Value::Array(vec![]));
    assert_eq!(c.line("MODQ.WHY q tagged m"), arr!["tags"]);
    c.expect_ok("CLIENT UNPAUSE");
    wait_until("they are back", PATIENCE, || len(&mut c, "q LOCKED") == 0);
    assert_eq!(c.line("MODQ.WHY q last m"), arr!["behind"]);
}

/// Two queues with one stream: who folds it by item alone sees the item leave before it arrives, and go on
/// to somebody after that.
fn a_move_leaves_before_it_arrives(kind: Kind) {
    let (server, mut c) = desk(kind);
    c.expect_ok("MODQ.CONFIGURE q EVENTS log");
    c.expect_ok("MODQ.CONFIGURE r EVENTS log");
    submit(&mut c, "q a p");
    let mut waits = blocked(&server, "MODQ.CLAIM r m BLOCK 0");
    c.expect_ok("MODQ.MOVE q r a");
    assert_eq!(served(&mut waits).id(), "a");
    let log = c.line("XRANGE log - +");
    let told: Vec<String> = log
        .items()
        .iter()
        .map(|entry| {
            let fields = &entry[1];
            format!(
                "{} {}",
                fields.field("ev").text(),
                fields.field("key").text()
            )
        })
        .collect();
    assert_eq!(told, ["submit q", "move_out q", "move_in r", "claim r"]);
}

/// Flags say what is so: those that may block do, and those whose work grows with what somebody holds are not fast.
fn flags_are_true(kind: Kind) {
    let (_server, mut c) = desk(kind);
    let mut flags = |name: &str| -> Vec<String> {
        let info = cmd!(c, "COMMAND", "INFO", name);
        info[0][2].items().iter().map(Value::text).collect()
    };
    for (name, flag, has) in [
        ("modq.claim", "blocking", true),
        ("modq.mclaim", "blocking", true),
        ("modq.join", "blocking", false),
        ("modq.claim", "fast", true),
        ("modq.held", "fast", false),
        ("modq.leave", "fast", false),
        ("modq.revive", "fast", false),
    ] {
        let flags = flags(name);
        assert_eq!(flags.iter().any(|f| f == flag), has, "{name}: {flags:?}");
    }
}

fn limiters_settings_go_by_their_own_prefix(kind: Kind) {
    let builder = Server::builder(kind).without_own_modules();
    let server = builder
        .module_args(&["ratelimit.log-max-entries", "77"])
        .start();
    let shown = server
        .client()
        .line("CONFIG GET modq.ratelimit-log-max-entries");
    assert_eq!(shown[1], bulk("77"));
}

matrix!(
    errors_say_what_is_wrong,
    why_knows_what_blocked_calls_offer,
    why_counts_what_is_overdue,
    a_move_leaves_before_it_arrives,
    flags_are_true,
    limiters_settings_go_by_their_own_prefix,
);
