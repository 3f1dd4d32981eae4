//! A tournament beside the review room: players whose results are added to a board, some of them sent twice as after a lost
//! reply, and a season that ends in the middle. At the end the players' own books must agree with the two boards.

use modq_testkit::{Client, Random, Value, cmd};
use std::collections::BTreeMap;
use std::time::Duration;

const BOARD: &str = "cup";
const OLD: &str = "cup:season-1";
const PLAYERS: [&str; 6] = ["quinn", "rosa", "sam", "tara", "uma", "vic"];
/// Matches of each player.
const MATCHES: u64 = 60;

/// A row of a board: rank, player, points, when they were reached (ms).
struct Place {
    rank: i64,
    player: String,
    points: i64,
    achieved: i64,
}

/// What came of the tournament.
pub(crate) struct Cup {
    /// What each player won, by their own books.
    won: BTreeMap<&'static str, i64>,
    sent_twice: u64,
    moved: i64,
    closed: Vec<Place>,
    open: Vec<Place>,
}

/// Plays it.
pub(crate) fn play(port: u16) -> Cup {
    let mut client = Client::connect(port);
    cmd!(client, "RANK.CREATE", BOARD);
    let (books, moved) = std::thread::scope(|scope| {
        let players: Vec<_> = (0..PLAYERS.len())
            .map(|number| scope.spawn(move || player(port, number)))
            .collect();
        // The season ends somewhere in between: at whose move nobody knows.
        std::thread::sleep(Duration::from_millis(MATCHES * 5 / 2));
        let moved = cmd!(client, "RANK.CLOSE", BOARD, OLD).int();
        let books = players.into_iter().map(|player| player.join());
        let books: Vec<_> = books.map(|book| book.expect("a player")).collect();
        (books, moved)
    });
    Cup {
        won: PLAYERS
            .into_iter()
            .zip(books.iter().map(|book| book.0))
            .collect(),
        sent_twice: books.iter().map(|book| book.1).sum(),
        moved,
        closed: places(&mut client, OLD),
        open: places(&mut client, BOARD),
    }
}

/// Plays one player's matches; answers the points won and how many results were sent twice.
fn player(port: u16, number: usize) -> (i64, u64) {
    let who = PLAYERS[number];
    let mut client = Client::connect(port);
    let mut random = Random::new(number as u64 + 1000);
    let (mut won, mut twice) = (0, 0);
    for game in 0..MATCHES {
        std::thread::sleep(Duration::from_millis(1 + random.below(8)));
        // A draw or a win: so few different results that ties are common.
        let points = [1, 3][random.below(2)];
        let id = format!("match-{game}:{who}");
        let mut add = || cmd!(client, "RANK.ADD", BOARD, who, points, "ID", id);
        let reply = add();
        assert_eq!(reply[0], Value::Int(1), "{id}: {reply:?}");
        won += points;
        if random.once_in(4) {
            let again = add();
            assert_eq!(again[0], Value::Int(0), "{id} again: {again:?}");
            twice += 1;
        }
    }
    (won, twice)
}

fn places(client: &mut Client, key: &str) -> Vec<Place> {
    let top = cmd!(client, "RANK.TOP", key, 100);
    let place = |row: &Value| {
        let player = row[1].text();
        let got = cmd!(client, "RANK.GET", key, player);
        Place {
            rank: row[0].int(),
            points: row[2].int(),
            achieved: got[0][2].int(),
            player,
        }
    };
    top.items().iter().map(place).collect()
}

impl Cup {
    /// What was played.
    pub(crate) fn checked(&self) -> String {
        let results = MATCHES * PLAYERS.len() as u64;
        format!("{results} results, {} sent twice", self.sent_twice)
    }

    /// Prints the three best of the season that was closed.
    pub(crate) fn print(&self) {
        for place in self.closed.iter().take(3) {
            let Place {
                rank,
                player,
                points,
                ..
            } = place;
            println!(
                "{:46} {player}, {points} points",
                format!("cup, season 1, rank {rank}")
            );
        }
    }

    /// Results that count more or less than once, over both seasons.
    pub(crate) fn miscounted(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.moved != self.closed.len() as i64 {
            found.push(format!("{} moved, {} there", self.moved, self.closed.len()));
        }
        for (player, won) in &self.won {
            let both = self.closed.iter().chain(&self.open);
            let points: i64 = both.filter(|p| p.player == *player).map(|p| p.points).sum();
            if points != *won {
                found.push(format!("{player} won {won} points and has {points}"));
            }
        }
        found
    }

    /// Places out of order: by points, and of equal points who had them first.
    pub(crate) fn disorder(&self) -> Vec<String> {
        let mut found = Vec::new();
        for season in [&self.closed, &self.open] {
            for (place, rank) in season.iter().zip(1..) {
                if place.rank != rank {
                    found.push(format!(
                        "{} has rank {} at place {rank}",
                        place.player, place.rank
                    ));
                }
            }
            for pair in season.windows(2) {
                let key = |place: &Place| (-place.points, place.achieved);
                if key(&pair[0]) > key(&pair[1]) {
                    found.push(format!(
                        "{} stands before {}",
                        pair[0].player, pair[1].player
                    ));
                }
            }
        }
        found
    }
}
