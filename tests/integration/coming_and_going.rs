//! The module comes to a server and goes again: what it leaves in files, how it is taken out, and what it says if it
//! cannot be loaded.

use modq_testkit::*;

/// The RDB file of a server as it is now.
fn rdb(server: &Server) -> Vec<u8> {
    server.client().expect_ok("SAVE");
    std::fs::read(server.dir().join("dump.rdb")).unwrap()
}

/// Starts a server of this kind without the module on an RDB file.
fn without_module(kind: Kind, rdb: Vec<u8>) -> Result<Server, String> {
    let builder = Server::builder(kind).without_module();
    builder.file("dump.rdb", rdb).try_start()
}

/// Servers that write what belongs to no key even if there is nothing of it.
fn always_marks(kind: Kind) -> bool {
    matches!(kind, Kind::Redis70)
}

fn nothing_is_left_without_keys_and_policies(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("SET plain text");
    let merely_loaded = rdb(&server);
    c.expect_ok("RATELIMIT.POLICY SET p 1 1000");
    let with_policy = rdb(&server);
    c.line("RATELIMIT.POLICY DEL p");
    c.line("MODQ.SUBMIT q i p");
    let with_key = rdb(&server);
    c.line("DEL q");
    let gone_again = rdb(&server);
    let told = "a server without the module does not load them";
    assert_eq!(server.log().contains(told), always_marks(kind));
    for file in [merely_loaded, gone_again] {
        match without_module(kind, file) {
            Ok(server) => {
                assert!(!always_marks(kind));
                assert_eq!(server.client().line("GET plain"), bulk("text"));
            }
            Err(why) => {
                assert!(always_marks(kind), "{why}");
                assert!(why.contains("modqlimit"), "{why}");
            }
        }
    }
    for (file, named) in [(with_policy, "modqlimit"), (with_key, "modqqueue")] {
        let why = without_module(kind, file).expect_err("it needs the module");
        assert!(why.contains(named), "{why}");
    }
}

/// As docs/operations.md says, with the data that is not of the module kept.
fn the_module_can_be_taken_out(kind: Kind) {
    let mut server = Server::start(kind);
    let mut c = server.client();
    c.expect_ok("SET plain text");
    c.line("MODQ.SUBMIT q i p");
    c.expect_ok("RATELIMIT.POLICY SET p 1 1000");
    // Whatever is of the module has to go first.
    c.line("DEL q");
    c.line("RATELIMIT.POLICY DEL p");
    if always_marks(kind) {
        c.expect_ok("CONFIG SET aof-use-rdb-preamble no");
        c.expect_ok("CONFIG SET appendonly yes");
        wait_until("the AOF is written", PATIENCE, || {
            let persistence = info(&mut c, "persistence");
            let idle = |field: &str| persistence[field] == "0";
            idle("aof_rewrite_in_progress") && idle("aof_rewrite_scheduled")
        });
        server.stop_saving();
        server.start_again_with(|builder| builder.without_module().config("appendonly yes"));
    } else {
        server.stop_saving();
        server.start_again_with(Builder::without_module);
    }
    let mut c = server.client();
    assert_eq!(c.line("GET plain"), bulk("text"));
    assert_err!(c.line("MODQ.LEN q"), "ERR", "unknown command");
    // What it writes from now on needs no module.
    assert!(without_module(kind, rdb(&server)).is_ok());
}

fn a_refusal_at_load_says_what_to_do(kind: Kind) {
    for (args, told) in [
        (
            &["work-budget"][..],
            "its arguments must be pairs of name and value",
        ),
        (
            &["work-budget", "0"],
            "its argument work-budget must be a number from 1 to ",
        ),
        (
            &["allow-apply", "perhaps"],
            "its argument allow-apply must be yes or no",
        ),
        (
            &["speed", "7"],
            "its argument 1 is no setting; there are: work-budget, ",
        ),
    ] {
        let refused = Server::builder(kind).module_args(args).try_start();
        let why = refused.expect_err("it does not load");
        let line = why
            .lines()
            .find(|line| line.contains("modq does not load: "));
        let line = line.unwrap_or_else(|| panic!("{why}"));
        assert!(line.contains(told), "{line}");
    }
    let server = Server::start(kind);
    let mut c = server.client();
    let config = std::fs::read_to_string(server.dir().join("server.conf")).unwrap();
    let path = config
        .lines()
        .filter_map(|line| line.strip_prefix("loadmodule "))
        .map(str::trim)
        .find(|path| path.ends_with("libmodq.so"));
    assert_err!(cmd!(c, "MODULE", "LOAD", path.unwrap()), "ERR");
    let log = server.log();
    assert!(
        log.contains("modq does not load: a module of this name is loaded"),
        "{log}"
    );
    assert_eq!(c.line("MODQ.SUBMIT q i p"), simple("READY"));
}

matrix!(
    nothing_is_left_without_keys_and_policies,
    the_module_can_be_taken_out,
    a_refusal_at_load_says_what_to_do,
);
