//! Blocked calls, and what became of faults that were found around the line: one test for each.

use super::*;
use std::time::Instant;

/// A queue, its clock, and the calls that wait.
struct Line {
    queue: Queue,
    replica: Queue,
    ms: u64,
    calls: u64,
    fx: Effects,
}

fn item(id: &str) -> Submit<'_> {
    Submit {
        id: id.as_bytes(),
        ..Submit::default()
    }
}

fn tags<'a>(all: &[&'a str]) -> Option<Vec<&'a Bytes>> {
    Some(all.iter().map(|t| Bytes::new(t.as_bytes())).collect())
}

impl Line {
    fn new() -> Line {
        Line {
            queue: Queue::default(),
            replica: Queue::default(),
            ms: 1_000_000,
            calls: 0,
            fx: Effects::default(),
        }
    }

    /// One command, without what is deferred.
    fn run<T>(&mut self, command: impl FnOnce(&mut Queue, Now, &mut Effects) -> T) -> T {
        self.fx.clear();
        let reply = command(&mut self.queue, at(self.ms), &mut self.fx);
        if !self.fx.record.is_empty() {
            replay(&mut self.replica, self.fx.record.bytes());
        }
        assert_eq!(canon(&self.queue), canon(&self.replica));
        verify(&self.queue);
        reply
    }

    fn submit(&mut self, id: &str) -> Submitted {
        self.run(|q, now, fx| q.submit(now, item(id), fx)).unwrap()
    }

    fn join(&mut self, moderator: &str) -> Joined {
        let join = Join {
            moderator: moderator.as_bytes(),
            ..Join::default()
        };
        self.run(|q, now, fx| q.join(now, &join, fx)).unwrap()
    }

    /// A blocked call of the moderator; `change` is for what is not as usual.
    fn block(&mut self, moderator: &str, change: impl FnOnce(&mut Block<'_>)) -> u64 {
        self.calls += 1;
        let mut block = Block {
            call: self.calls,
            moderator: moderator.as_bytes(),
            tags: None,
            new_only: false,
            lock: None,
            place: self.queue.end_of_line(at(self.ms)),
        };
        change(&mut block);
        self.queue.block(&block);
        verify(&self.queue);
        self.calls
    }

    fn advance(&mut self, budget: usize) {
        self.run(|q, now, fx| q.advance(now, budget, fx));
    }

    /// Item and moderator of what the last command handed out.
    fn matches(&self) -> Vec<(String, String)> {
        let all = self.fx.matches.iter();
        all.map(|m| (text(&m.item), text(&m.moderator))).collect()
    }

    fn answered(&self) -> Vec<u64> {
        self.fx.answers.iter().map(|a| a.call).collect()
    }
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(a, b): &(&str, &str)| (a.to_string(), b.to_string());
    all.iter().map(owned).collect()
}

#[test]
fn an_undone_match_was_no_first_claim() {
    let mut line = Line::new();
    line.block("m", |_| {});
    line.ms += 500;
    line.submit("fresh");
    let undone = line.fx.answers.remove(0);
    line.ms += 10;
    let undo = |q: &mut Queue, now, fx: &mut Effects| {
        q.undo(now, b"fresh", undone.token, undone.undo.unwrap(), fx)
    };
    assert!(line.run(undo));
    assert_eq!(
        line.queue.stats,
        stats::Stats {
            submitted: 1,
            ..Default::default()
        }
    );
    // The first claim that counts is the one that reached somebody.
    line.ms += 990;
    line.block("n", |_| {});
    let claim = Claim {
        moderator: b"n",
        count: 1,
        lock: None,
        tags: None,
        new_only: false,
    };
    line.run(|q, now, fx| q.claim(now, &claim, fx)).unwrap();
    let p50 = line.queue.stats.wait.percentile(50);
    assert!((1000..=1063).contains(&p50), "{p50}");
}

#[test]
fn an_update_that_changes_nothing_is_none() {
    let mut line = Line::new();
    let submit = Submit {
        payload: b"text",
        priority: Some(3),
        boost: Some(-7),
        tags: tags(&["a", "b"]),
        excluded: tags(&["x", "y"]),
        ..item("i")
    };
    line.run(|q, now, fx| q.submit(now, submit, fx)).unwrap();
    let mut rev = 1;
    let same = || Change {
        payload: Some(b"text"),
        priority: Some(3),
        boost: Some(-7),
        tags: tags(&["a", "b", "a"]),
        excluded: tags(&["x", "y", "x"]),
        ..Change::default()
    };
    let mut update = |line: &mut Line, change: Change<'_>, is_change: bool| {
        let before = canon(&line.queue);
        let present = Some(rev);
        let change = Change {
            rev: present,
            ..change
        };
        rev += u64::from(is_change);
        let got = line.run(|q, now, fx| q.update(now, b"i", change, fx));
        assert_eq!(got, Ok(Some(rev)));
        assert_eq!(line.fx.record.is_empty(), !is_change);
        assert_eq!(canon(&line.queue) == before, !is_change);
    };
    update(&mut line, Change::default(), false);
    update(&mut line, same(), false);
    for change in [
        Change {
            payload: Some(b""),
            ..same()
        },
        Change {
            priority: Some(2),
            ..same()
        },
        Change {
            boost: Some(0),
            ..same()
        },
        Change {
            tags: tags(&["b", "a"]),
            ..same()
        },
        Change {
            tags: tags(&[]),
            ..same()
        },
        Change {
            excluded: tags(&["y", "x"]),
            ..same()
        },
        Change {
            excluded: tags(&["x"]),
            ..same()
        },
        Change {
            excluded: tags(&["x", "y", "new"]),
            ..same()
        },
        Change {
            excluded: tags(&[]),
            ..same()
        },
    ] {
        update(&mut line, change.clone(), true);
        update(&mut line, change, false);
        update(&mut line, same(), true);
    }
    // Skips stay where others are named, and go where nobody is.
    let token = line
        .run(|q, now, fx| q.assign(now, b"i", b"m", None, fx))
        .unwrap();
    line.run(|q, now, fx| q.release(now, b"i", token, true, 0, fx))
        .unwrap();
    update(&mut line, same(), false);
    let with = |names| Change {
        excluded: tags(names),
        ..Change::default()
    };
    update(&mut line, with(&["x", "y", "m"]), false);
    update(&mut line, with(&["m"]), true);
    update(&mut line, with(&["m"]), false);
    update(&mut line, with(&[]), true);
    update(&mut line, with(&[]), false);
}

#[test]
fn an_update_with_the_payload_it_has_leaves_a_late_decision_acceptable() {
    let mut line = Line::new();
    let settings = Settings {
        late_accept: true,
        ..Settings::default()
    };
    line.run(|q, now, fx| q.configure(now, settings, fx))
        .unwrap();
    line.submit("i");
    let token = line
        .run(|q, now, fx| q.assign(now, b"i", b"m", Some(5), fx))
        .unwrap();
    line.ms += 5;
    line.advance(9);
    let change = Change {
        payload: Some(b""),
        priority: Some(1),
        ..Change::default()
    };
    let rev = line.run(|q, now, fx| q.update(now, b"i", change, fx));
    assert_eq!(rev, Ok(Some(2)));
    let decided = line.run(|q, now, fx| q.resolve(now, b"i", token, None, fx));
    assert_eq!(decided, Ok(()));
}

#[test]
fn a_match_lasts_as_long_as_a_call_that_it_answers_asks_for() {
    let mut line = Line::new();
    line.block("m", |b| (b.new_only, b.lock) = (true, Some(7)));
    line.block("m", |_| {});
    let newest = line.block("m", |b| (b.new_only, b.lock) = (true, Some(9)));
    let lock = |line: &Line, id: &str| {
        let view = line.queue.get(id.as_bytes(), at(line.ms)).unwrap();
        view.lock.unwrap().2 - line.ms
    };
    line.submit("i");
    assert_eq!((line.answered(), lock(&line, "i")), (vec![2], 300_000));
    line.submit("j");
    assert_eq!((line.answered(), lock(&line, "j")), (vec![newest], 9));
}

#[test]
fn one_who_waits_in_several_calls_is_given_as_many_items() {
    // When the line is gone along.
    let mut line = Line::new();
    line.run(|q, now, fx| q.pause(now, false, true, fx));
    for _ in 0..3 {
        line.block("m", |b| b.new_only = true);
    }
    line.block("n", |_| {});
    for id in ["1", "2", "3", "4"] {
        assert_eq!(line.submit(id), Submitted::Ready);
    }
    line.run(|q, now, fx| q.pause(now, false, false, fx));
    line.advance(100);
    let expected = [("1", "m"), ("2", "m"), ("3", "m"), ("4", "n")];
    assert_eq!(line.matches(), pairs(&expected));
    // When they offer other tags.
    let mut line = Line::new();
    for _ in 0..3 {
        line.block("m", |b| b.new_only = true);
    }
    for id in ["1", "2"] {
        let submit = Submit {
            tags: tags(&["t"]),
            ..item(id)
        };
        line.run(|q, now, fx| q.submit(now, submit, fx)).unwrap();
    }
    let join = Join {
        moderator: b"m",
        tags: tags(&["t"]),
        ..Join::default()
    };
    let joined = line.run(|q, now, fx| q.join(now, &join, fx)).unwrap();
    assert_eq!(joined, Joined::Assigned);
    assert_eq!(line.matches(), pairs(&[("1", "m"), ("2", "m")]));
}

#[test]
fn while_matches_are_caught_up_nobody_is_given_a_lesser_item() {
    let mut line = Line::new();
    line.run(|q, now, fx| q.pause(now, false, true, fx));
    for m in ["m", "n", "o"] {
        line.join(m);
    }
    line.submit("1");
    line.submit("2");
    line.run(|q, now, fx| q.pause(now, false, false, fx));
    // Before the first tick.
    assert_eq!(line.submit("3"), Submitted::Ready);
    assert_eq!(line.matches(), pairs(&[("1", "m")]));
    line.advance(100);
    assert_eq!(line.matches(), pairs(&[("2", "n"), ("3", "o")]));
}

#[test]
fn thousands_of_skips_cost_a_look_hardly_more_than_none() {
    let mut queue = Queue::default();
    let mut fx = Effects::default();
    let now = at(1_000_000);
    for i in 0..10_000 {
        let id = format!("{i}");
        let skipped = Submit {
            excluded: tags(&["m"]).filter(|_| i < 5000),
            ..item(&id)
        };
        queue.submit(now, skipped, &mut fx).unwrap();
    }
    let peek = |who: &str| -> Vec<String> {
        let ids = queue.peek(3, Some((who.as_bytes(), None)));
        ids.into_iter().map(text).collect()
    };
    assert_eq!(peek("m"), ["5000", "5001", "5002"]);
    assert_eq!(peek("n"), ["0", "1", "2"]);
    // The best of many turns of each: what a machine otherwise busy adds is left out.
    let best_of = |who: &str| {
        let turn = || {
            let start = Instant::now();
            for _ in 0..20 {
                peek(who);
            }
            start.elapsed()
        };
        (0..20).map(|_| turn()).min().expect("many")
    };
    let (with, without) = (best_of("m"), best_of("n"));
    assert!(with < 60 * without, "{with:?} against {without:?}");
}

#[test]
fn ten_thousand_calls_of_one_moderator_are_answered_at_once() {
    let mut queue = Queue::default();
    let now = at(1_000_000);
    for call in 0..10_000 {
        queue.block(&Block {
            call,
            moderator: b"m",
            tags: None,
            new_only: false,
            lock: None,
            place: queue.end_of_line(now),
        });
    }
    let mut fx = Effects::default();
    let start = Instant::now();
    queue.submit(now, item("i"), &mut fx).unwrap();
    assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    assert!(fx.answers.iter().map(|a| a.call).eq(0..10_000));
    assert_eq!(queue.blocked(), 0);
    verify(&queue);
}

/// Measures what a queue with very many tag combinations costs: a claim looks at the first item of each.
#[test]
fn three_hundred_combinations_of_tags_cost_a_claim_a_look_at_each() {
    let mut queue = Queue::default();
    let mut fx = Effects::default();
    let now = at(1_000_000);
    let all: Vec<String> = (0..25).map(|t| format!("t{t}")).collect();
    let mut combinations = Vec::new();
    for (i, a) in all.iter().enumerate() {
        for b in &all[i + 1..] {
            combinations.push([a.as_str(), b.as_str()]);
        }
    }
    combinations.truncate(300);
    assert_eq!(combinations.len(), 300);
    for i in 0..3000 {
        let id = format!("{i}");
        let submit = Submit {
            tags: tags(&combinations[i % 300]),
            ..item(&id)
        };
        queue.submit(now, submit, &mut fx).unwrap();
    }
    let offered = names(&all);
    let mut claim = |moderator: &str, offered: &[&Bytes]| {
        let claim = Claim {
            moderator: moderator.as_bytes(),
            count: 1,
            lock: None,
            tags: Some(offered.to_vec()),
            new_only: true,
        };
        fx.clear();
        let start = Instant::now();
        let got = queue.claim(now, &claim, &mut fx).unwrap();
        let took = start.elapsed();
        let id = got.first().map(|slot| text(queue.items[*slot].id()));
        (id, took)
    };
    let mut times = Vec::new();
    for i in 0..500 {
        let (got, took) = claim("m", &offered);
        assert_eq!(
            got,
            Some(format!("{i}")),
            "the first of all, whatever it needs"
        );
        times.push(took);
    }
    times.sort_unstable();
    println!("a claim among 300 combinations: {:?}", times[250]);
    assert!(times[250].as_micros() < 1000, "{:?}", times[250]);
    assert_eq!(claim("n", &offered[..1]).0, None);
}
