//! What the module keeps for queues that have something to do by the clock: it goes when they go, costs little, and
//! SWAPDB need not touch it. And what INFO says of the timer.

use modq_testkit::queue::*;
use modq_testkit::*;
use std::time::Duration;

/// A lock of 34 years.
const LONG: u64 = 1 << 40;

/// What the server may work for a command that need not look at every queue. How long the machine keeps the server waiting
/// is not counted.
const BOUND: Duration = Duration::from_millis(15);

/// Queues `from` to `to` (exclusive), each with a lock of years; then `also` is called for each, if it is anything.
fn queues_with_locks(c: &mut Client, from: usize, to: usize, also: &str) {
    const SCRIPT: &str = "for i = ARGV[1], ARGV[2] - 1 do
            redis.call('MODQ.SUBMIT', 'q' .. i, 'i', 'p')
            redis.call('MODQ.CLAIM', 'q' .. i, 'm', 'LOCK', ARGV[3])
            if ARGV[4] ~= '' then redis.call(ARGV[4], 'q' .. i) end
        end";
    // In portions, as a script that takes long is one that others wait for.
    for from in (from..to).step_by(10_000) {
        cmd!(
            c,
            "EVAL",
            SCRIPT,
            0,
            from,
            to.min(from + 10_000),
            LONG,
            also
        );
    }
}

fn modq(c: &mut Client, field: &str) -> u64 {
    info_number(c, "modq", &format!("modq_{field}"))
}

#[track_caller]
fn nothing_is_scheduled(c: &mut Client, after: &str) {
    wait_until(&format!("no hint is left after {after}"), PATIENCE, || {
        modq(c, "scheduled_keys") == 0
    });
}

fn hints_go_with_their_queues(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let each = |c: &mut Client, command: &str| {
        let lines: Vec<String> = (0..1500)
            .map(|i| command.replace('#', &i.to_string()))
            .collect();
        c.pipeline(&lines);
    };
    for how in [
        "DEL q#",
        "UNLINK q#",
        "SET q# other",
        "PEXPIRE q# 1",
        "RENAME q# to",
        "FLUSHALL",
        "FLUSHDB ASYNC",
    ] {
        queues_with_locks(&mut c, 0, 1500, "");
        assert_eq!(modq(&mut c, "scheduled_keys"), 1500);
        match how.contains('#') {
            true => each(&mut c, how),
            false => c.expect_ok(how),
        }
        if how.starts_with("RENAME") {
            wait_until("one is left", PATIENCE, || {
                modq(&mut c, "scheduled_keys") == 1
            });
        }
        c.line("DEL to");
        nothing_is_scheduled(&mut c, how);
        c.expect_ok("FLUSHALL");
    }
    // A queue that is still there keeps its hint among all that.
    submit(&mut c, "stays i p");
    claim(&mut c, "stays m LOCK 300");
    queues_with_locks(&mut c, 0, 1500, "DEL");
    wait_until("the lock is over", PATIENCE, || {
        len(&mut c, "stays LOCKED") == 0
    });
    nothing_is_scheduled(&mut c, "the last lock");
}

fn hints_go_with_what_is_evicted(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let before = info_number(&mut c, "memory", "used_memory");
    queues_with_locks(&mut c, 0, 20_000, "");
    let used = info_number(&mut c, "memory", "used_memory");
    c.expect_ok("CONFIG SET maxmemory-policy allkeys-random");
    // Room for some three fifths of them.
    let most = used - (used - before) * 2 / 5;
    c.expect_ok(&format!("CONFIG SET maxmemory {most}"));
    wait_until("hints are as many as queues", PATIENCE, || {
        c.line("SET other 1");
        let queues = modq(&mut c, "queues");
        queues < 15_000 && modq(&mut c, "scheduled_keys") == queues
    });
}

/// On a replica as well, where no tick does anything.
fn two_hundred_thousand_queues_leave_nothing(kind: Kind) {
    const MANY: usize = 200_000;
    // What the server keeps for its replicas is not to be mistaken for ours.
    let server = Server::builder(kind)
        .config("repl-backlog-size 1mb")
        .start();
    let replica = Server::builder(kind).replica_of(&server).start();
    let mut c = server.client();
    let mut r = replica.client();
    wait_replica_synced(&server, &replica);
    let used = |c: &mut Client| info_number(c, "memory", "used_memory");
    // One after the other: nothing piles up, not even in one turn of the event loop.
    queues_with_locks(&mut c, 0, 10_000, "DEL");
    wait_replica_synced(&server, &replica);
    let before = used(&mut c);
    queues_with_locks(&mut c, 0, MANY, "DEL");
    nothing_is_scheduled(&mut c, "DEL");
    wait_replica_synced(&server, &replica);
    let grown = used(&mut c).saturating_sub(before);
    assert!(grown < 8_000_000, "{grown} bytes are left");
    nothing_is_scheduled(&mut r, "DEL");
    // All at once.
    queues_with_locks(&mut c, 0, MANY, "");
    let work = work_of(&server, &mut c, &["SWAPDB 0 1", "SWAPDB 0 2"]);
    assert!(work < BOUND, "two SWAPDB took {work:?} of work");
    wait_replica_synced(&server, &replica);
    assert_eq!(modq(&mut c, "scheduled_keys"), MANY as u64);
    assert_eq!(modq(&mut r, "scheduled_keys"), MANY as u64);
    c.expect_ok("FLUSHALL ASYNC");
    nothing_is_scheduled(&mut c, "FLUSHALL");
    wait_replica_synced(&server, &replica);
    nothing_is_scheduled(&mut r, "FLUSHALL");
    wait_until("the memory is free", PATIENCE, || {
        used(&mut c) < before + 8_000_000
    });
}

/// What the server works for some commands that can be repeated, and what it does at the end of their turn. The least of
/// several times: other things fall into it too, more of them when the machine is busy.
fn work_of(server: &Server, c: &mut Client, lines: &[&str]) -> Duration {
    let times = (0..10).map(|_| {
        let (_, work) = work_during(server.pid(), || {
            c.pipeline(lines);
            c.line("PING");
        });
        work
    });
    times.min().expect("ten")
}

/// 40,000 names, each with a queue, and one client that waits for each thousand of them.
fn databases_change_places_while_many_names_are_waited_for(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let script = "for i = 0, 39999 do redis.call('MODQ.CONFIGURE', 'q' .. i, 'LOCK', '60000') end";
    cmd!(c, "EVAL", script, 0);
    let wait_for_all = |command: &dyn Fn(usize, &str) -> String| -> Vec<Client> {
        let line = |client: usize| {
            let keys: Vec<String> = (0..1000)
                .map(|i| format!("q{}", client * 1000 + i))
                .collect();
            command(client, &keys.join(" "))
        };
        (0..40)
            .map(|client| blocked(&server, &line(client)))
            .collect()
    };
    c.expect_ok("SELECT 1");
    // The server goes through all names with blocked clients itself, so its own waits are the measure.
    let others = wait_for_all(&|_, keys| format!("BZPOPMIN {} 0", keys.replace('q', "z")));
    let own = work_of(&server, &mut c, &["SWAPDB 0 1"]);
    drop(others);
    wait_until("they are gone", PATIENCE, || {
        info(&mut c, "clients")["blocked_clients"] == "0"
    });
    let mut waiting =
        wait_for_all(&|client, keys| format!("MODQ.MCLAIM 1000 {keys} m{client} BLOCK 0"));
    let ours = work_of(&server, &mut c, &["SWAPDB 0 1"]);
    assert!(
        ours < own + BOUND,
        "SWAPDB took {ours:?} of work, with others {own:?}"
    );
    // What comes to a name with its database serves who waits for it there, though no event names it.
    submit(&mut c, "q20500 i p");
    c.expect_ok("SWAPDB 0 1");
    let reply = waiting[20].read();
    assert_eq!(claims(&reply[1])[0].id(), "i");
}

/// A moderator who waits before the first item is there, and a crowd that the queue cannot be told of at once.
fn the_lag_is_how_late_the_timer_was(kind: Kind) {
    let server = Server::start(kind);
    let mut c = server.client();
    let mut alice = blocked(&server, "MODQ.CLAIM newq alice BLOCK 0");
    submit_assigned(&mut c, "newq i p");
    served(&mut alice);
    let crowd: Vec<Client> = (0..150)
        .map(|i| blocked(&server, &format!("MODQ.CLAIM crowd m{i} BLOCK 0")))
        .collect();
    c.line("MODQ.SUBMIT crowd i p");
    wait_until("all are in line", PATIENCE, || {
        c.line("MODQ.STATS crowd").field("waiting") == Value::Int(crowd.len() as i64 - 1)
    });
    let lag = modq(&mut c, "timer_max_lag_ms");
    assert!(lag < 10_000, "{lag} ms");
}

fn the_lag_counts_from_when_a_tick_could_come(kind: Kind) {
    let clock = Clock::new();
    let server = Server::builder(kind).with_clock(&clock).start();
    let mut c = server.client();
    submit(&mut c, "q i p");
    let replies = c.pipeline(&["MULTI", "MODQ.CLAIM q m LOCK 1", "DUMP q", "EXEC"]);
    let dump = &replies[3][1];
    nothing_is_scheduled(&mut c, "the lock");
    // A lock that was over a day ago comes with a queue.
    let before = server_ms(&mut c);
    clock.set(24 * 3_600_000);
    wait_until("the server has seen it", PATIENCE, || {
        server_ms(&mut c) > before + 23 * 3_600_000
    });
    cmd!(c, "RESTORE", "q", 0, dump, "REPLACE");
    wait_until("the lock is over", PATIENCE, || {
        len(&mut c, "q LOCKED") == 0
    });
    let lag = modq(&mut c, "timer_max_lag_ms");
    assert!(lag < 10_000, "{lag} ms");
}

fn the_largest_lag_is_that_of_late(kind: Kind) {
    const HOUR: i64 = 3_600_000;
    let clock = Clock::new();
    let server = Server::builder(kind).with_clock(&clock).start();
    let mut c = server.client();
    submit(&mut c, "q i p");
    claim(&mut c, "q m LOCK 2000");
    // The timer was to fire in two seconds; then the clock goes on by an hour.
    clock.set(HOUR);
    wait_until("the timer has fired", PATIENCE, || {
        modq(&mut c, "timer_lag_ms") > 3_000_000
    });
    let (quarter, late) = (HOUR / 4, modq(&mut c, "timer_lag_ms"));
    assert_eq!(modq(&mut c, "timer_max_lag_ms"), late);
    clock.set(HOUR + quarter);
    assert_eq!(modq(&mut c, "timer_max_lag_ms"), late, "for a quarter");
    clock.set(HOUR + 3 * quarter);
    wait_until("it is forgotten", PATIENCE, || {
        modq(&mut c, "timer_max_lag_ms") < 10_000
    });
    assert_eq!(modq(&mut c, "timer_lag_ms"), late, "the last is the last");
}

matrix!(
    hints_go_with_their_queues,
    hints_go_with_what_is_evicted,
    two_hundred_thousand_queues_leave_nothing,
    databases_change_places_while_many_names_are_waited_for,
    the_lag_is_how_late_the_timer_was,
    the_lag_counts_from_when_a_tick_could_come,
    the_largest_lag_is_that_of_late,
);
