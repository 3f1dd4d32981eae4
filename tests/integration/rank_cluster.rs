//! Boards in a real cluster: what takes two keys works while their slot moves, and is refused where they are in two slots.

use modq_testkit::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The members of a season, worst first.
fn players(season: u64) -> Vec<String> {
    (0..=season % 4).map(|i| format!("p{i}")).collect()
}

/// What `RANK.TOP` answers of a season.
fn ranking(season: u64) -> Vec<Value> {
    let names = players(season);
    let rows = names.iter().enumerate().rev();
    rows.map(|(i, name)| {
        let rank = (names.len() - i) as i64;
        arr![rank, name.as_str(), (season * 10 + i as u64) as i64]
    })
    .collect()
}

/// Plays season after season until told to stop, and answers how many: a board is filled, closed, and what it was is taken
/// over into another from a sorted set.
fn play(cluster: &Cluster, me: usize, stop: &AtomicBool, played: &AtomicU64) -> u64 {
    let board = format!("{{b}}cup{me}");
    let mut c = Roamer::new(cluster, &board);
    for season in 0.. {
        if stop.load(Relaxed) {
            return season;
        }
        for (i, name) in players(season).iter().enumerate() {
            let score = season * 10 + i as u64;
            let line = format!("RANK.ADD {board} {name} {score} ID {season}:{i}");
            let added = c.line(&line);
            assert_eq!(added.err_code(), "", "{line}: {added:?}");
            c.line(&format!("ZADD {{b}}set{me} {score} {name}"));
        }
        let members = Value::Int(season as i64 % 4 + 1);
        let closed = c.line(&format!("RANK.CLOSE {board} {board}:{season}"));
        assert_eq!(closed, members, "{board}:{season}");
        // A retry that comes after the close does not count for the new season.
        c.line(&format!(
            "RANK.ADD {board} p0 {} ID {season}:0",
            season * 10
        ));
        assert_eq!(c.line(&format!("RANK.CARD {board}")), Value::Int(0));
        let import = format!("RANK.IMPORT {{b}}of{me}:{season} {{b}}set{me}");
        assert_eq!(c.line(&import), members, "{import}");
        assert_eq!(c.line(&format!("DEL {{b}}set{me}")), Value::Int(1));
        played.fetch_add(1, Relaxed);
    }
    unreachable!("seasons have no end")
}

/// Closes and imports while the slot moves there and back; then every season is there as it was played.
fn moves_under_load(cluster: &Cluster, relocate: impl Fn()) {
    let (stop, played) = (AtomicBool::new(false), AtomicU64::new(0));
    let seasons: Vec<u64> = std::thread::scope(|scope| {
        let (stop, played) = (&stop, &played);
        let players: Vec<_> = (0..3)
            .map(|me| scope.spawn(move || play(cluster, me, stop, played)))
            .collect();
        let some_more = || {
            let before = played.load(Relaxed);
            wait_until("it goes on", PATIENCE, || {
                played.load(Relaxed) >= before + 60
            });
        };
        some_more();
        for _ in 0..2 {
            relocate();
            some_more();
        }
        stop.store(true, Relaxed);
        players.into_iter().map(|p| p.join().unwrap()).collect()
    });
    let mut c = Roamer::new(cluster, "{b}");
    for (me, seasons) in seasons.into_iter().enumerate() {
        for season in 0..seasons {
            for key in [
                format!("{{b}}cup{me}:{season}"),
                format!("{{b}}of{me}:{season}"),
            ] {
                let there = c.line(&format!("RANK.TOP {key} 10"));
                assert_eq!(there.items(), ranking(season), "{key}");
            }
        }
        let next = c.line(&format!("RANK.CARD {{b}}cup{me}:{seasons}"));
        assert_eq!(next, Value::Int(0));
    }
}

fn seasons_end_while_their_slot_moves(kind: Kind) {
    let cluster = Cluster::start(2, kind);
    moves_under_load(&cluster, || {
        cluster.move_slot("{b}", cluster.other_node("{b}"));
    });
}

/// Valkey 9 moves slots at once: what it sends on the way are our own commands.
#[test]
fn seasons_end_while_their_slot_moves_at_once() {
    let cluster = Cluster::start(2, Kind::Valkey91);
    moves_under_load(&cluster, || {
        cluster.move_slot_at_once("{b}", cluster.other_node("{b}"));
    });
}

fn keys_of_two_slots_are_refused(kind: Kind) {
    let cluster = Cluster::start(2, kind);
    let mut c = cluster.client_for("a");
    // One that is not of the slot of `a` but of the same node, and one of the other.
    let elsewhere = |same: bool| {
        let keys = (0..1000).map(|i| format!("k{i}"));
        let owner = cluster.owner("a").port();
        keys.into_iter()
            .find(|key| {
                let node = cluster.owner(key).port();
                cluster.slot(key) != cluster.slot("a") && (node == owner) == same
            })
            .expect("there are enough")
    };
    assert_eq!(c.line("RANK.ADD a m 1")[0], Value::Int(1));
    let before = digest(&mut c, "a");
    for other in [elsewhere(true), elsewhere(false)] {
        for line in [
            format!("RANK.CLOSE a {other}"),
            format!("RANK.IMPORT a {other}"),
            format!("RANK.CLOSE {other} a"),
            format!("RANK.IMPORT {other} a"),
        ] {
            assert_err!(c.line(&line), "CROSSSLOT");
        }
        let mut there = cluster.client_for(&other);
        assert_eq!(there.line(&format!("EXISTS {other}")), Value::Int(0));
    }
    assert_eq!(digest(&mut c, "a"), before);
    // A name that shares its hash tag will do.
    assert_eq!(c.line("RANK.CLOSE a {a}:1"), Value::Int(1));
}

matrix!(
    keys_of_two_slots_are_refused,
    seasons_end_while_their_slot_moves,
);
