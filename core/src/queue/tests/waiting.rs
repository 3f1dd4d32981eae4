//! Blocked calls, and what became of faults that were found around the line: one test for each.

use super::*;
use modq_testkit::inspect::thread_time;

/// A queue, its clock, and the calls that wait.
struct Line {
    queue: Queue,
    replica: Queue,
    ms: u64,
    calls: u64,
    out: Outcome,
}

fn item(id: &str) -> Submit<'_> {
    Submit {
        id: id.as_bytes(),
        ..Submit::default()
    }
}

impl Line {
    fn new() -> Line {
        Line {
            queue: Queue::default(),
            replica: Queue::default(),
            ms: 1_000_000,
            calls: 0,
            out: Outcome::default(),
        }
    }

    /// One command, without what is deferred.
    fn run<T>(&mut self, command: impl FnOnce(&mut Queue, Now, &mut Outcome) -> T) -> T {
        self.out.clear();
        let reply = command(&mut self.queue, at(self.ms), &mut self.out);
        if !self.out.record.is_empty() {
            replay(&mut self.replica, self.out.record.bytes());
        }
        assert_eq!(canon(&self.queue), canon(&self.replica));
        verify(&self.queue);
        reply
    }

    fn submit(&mut self, id: &str) -> Submitted {
        self.run(|q, now, out| q.submit(now, item(id), out))
            .unwrap()
    }

    fn join(&mut self, moderator: &str) -> Joined {
        let join = Join {
            moderator: moderator.as_bytes(),
            ..Join::default()
        };
        self.run(|q, now, out| q.join(now, &join, out)).unwrap()
    }

    /// A blocked call of the moderator; `change` is for what is not as usual.
    fn block(&mut self, moderator: &str, change: impl FnOnce(&mut Block<'_>)) -> u64 {
        self.calls += 1;
        let mut block = Block {
            call: CallId(self.calls),
            moderator: moderator.as_bytes(),
            tags: None,
            new_only: false,
            lock: None,
            place: self.queue.end_of_line(Time(self.ms)),
        };
        change(&mut block);
        self.queue.block(&block);
        verify(&self.queue);
        self.calls
    }

    fn advance(&mut self, budget: usize) {
        self.run(|q, now, out| q.tick(now, budget, out));
    }

    /// Item and moderator of what the last command handed out.
    fn matches(&self) -> Vec<(String, String)> {
        let all = self.out.announcements.iter();
        all.map(|m| (text(&m.item), text(&m.moderator))).collect()
    }

    fn answered(&self) -> Vec<u64> {
        self.out.answers.iter().map(|a| a.call.0).collect()
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
    let undone = line.out.answers.remove(0);
    line.ms += 10;
    let undo = |q: &mut Queue, now, out: &mut Outcome| {
        q.undo(
            now,
            b"fresh",
            undone.token.0,
            undone.undo.unwrap().joined_at,
            out,
        )
    };
    assert!(line.run(undo));
    assert_eq!(
        *line.queue.stats(),
        Stats {
            submitted: 1,
            // What only ever grows tells of it all the same.
            waits: line.queue.stats().waits.clone(),
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
        with_group: false,
    };
    line.run(|q, now, out| q.claim(now, &claim, out)).unwrap();
    let p50 = line.queue.stats().wait.percentile(50);
    assert!((1000..=1063).contains(&p50), "{p50}");
}

/// An UPDATE that sets item `i` to what it is.
fn same<'a>() -> Update<'a> {
    Update {
        payload: Some(b"text"),
        priority: Some(3),
        boost: Some(-7),
        tags: tags(&["a", "b", "a"]),
        excluded: tags(&["x", "y", "x"]),
        ..Update::default()
    }
}

/// Each sets one thing to another value.
fn differences<'a>() -> [Update<'a>; 9] {
    let tagged = |all: &[&'a str]| Update {
        tags: tags(all),
        ..same()
    };
    let excluded = |all: &[&'a str]| Update {
        excluded: tags(all),
        ..same()
    };
    [
        Update {
            payload: Some(b""),
            ..same()
        },
        Update {
            priority: Some(2),
            ..same()
        },
        Update {
            boost: Some(0),
            ..same()
        },
        tagged(&["b", "a"]),
        tagged(&[]),
        excluded(&["y", "x"]),
        excluded(&["x"]),
        excluded(&["x", "y", "new"]),
        excluded(&[]),
    ]
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
    line.run(|q, now, out| q.submit(now, submit, out)).unwrap();
    let mut rev = 1;
    let mut update = |line: &mut Line, change: Update<'_>, is_change: bool| {
        let before = canon(&line.queue);
        let present = Some(rev);
        let change = Update {
            rev: present,
            ..change
        };
        rev += u64::from(is_change);
        let got = line.run(|q, now, out| q.update(now, b"i", change, out));
        assert_eq!(got, Ok(Some(rev)));
        assert_eq!(line.out.record.is_empty(), !is_change);
        assert_eq!(canon(&line.queue) == before, !is_change);
    };
    update(&mut line, Update::default(), false);
    update(&mut line, same(), false);
    for change in differences() {
        update(&mut line, change.clone(), true);
        update(&mut line, change, false);
        update(&mut line, same(), true);
    }
    // Skips stay where others are named, and go where nobody is.
    let token = line
        .run(|q, now, out| q.assign(now, b"i", b"m", None, out))
        .unwrap();
    line.run(|q, now, out| q.release(now, b"i", token, true, 0, out))
        .unwrap();
    update(&mut line, same(), false);
    let with = |names| Update {
        excluded: tags(names),
        ..Update::default()
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
        late: Late::Accept,
        ..Settings::default()
    };
    line.run(|q, now, out| q.configure(now, settings, out))
        .unwrap();
    line.submit("i");
    let token = line
        .run(|q, now, out| q.assign(now, b"i", b"m", Some(5), out))
        .unwrap();
    line.ms += 5;
    line.advance(9);
    let change = Update {
        payload: Some(b""),
        priority: Some(1),
        ..Update::default()
    };
    let rev = line.run(|q, now, out| q.update(now, b"i", change, out));
    assert_eq!(rev, Ok(Some(2)));
    let decided = line.run(|q, now, out| q.resolve(now, b"i", token, None, out));
    assert_eq!(decided, Ok(Resolved::Ended));
}

#[test]
fn a_match_lasts_as_long_as_a_call_that_it_answers_asks_for() {
    let mut line = Line::new();
    line.block("m", |b| (b.new_only, b.lock) = (true, Some(Millis(7))));
    line.block("m", |_| {});
    let newest = line.block("m", |b| (b.new_only, b.lock) = (true, Some(Millis(9))));
    let lock = |line: &Line, id: &str| {
        let view = line.queue.get(id.as_bytes(), Time(line.ms)).unwrap();
        view.lock.unwrap().deadline.0 - line.ms
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
    line.run(|q, now, out| q.pause(now, false, true, out));
    for _ in 0..3 {
        line.block("m", |b| b.new_only = true);
    }
    line.block("n", |_| {});
    for id in ["1", "2", "3", "4"] {
        assert_eq!(line.submit(id), Submitted::Ready);
    }
    line.run(|q, now, out| q.pause(now, false, false, out));
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
        line.run(|q, now, out| q.submit(now, submit, out)).unwrap();
    }
    let join = Join {
        moderator: b"m",
        tags: tags(&["t"]),
        ..Join::default()
    };
    let joined = line.run(|q, now, out| q.join(now, &join, out)).unwrap();
    assert_eq!(joined, Joined::Assigned);
    assert_eq!(line.matches(), pairs(&[("1", "m"), ("2", "m")]));
}

#[test]
fn while_matches_are_caught_up_nobody_is_given_a_lesser_item() {
    let mut line = Line::new();
    line.run(|q, now, out| q.pause(now, false, true, out));
    for m in ["m", "n", "o"] {
        line.join(m);
    }
    line.submit("1");
    line.submit("2");
    line.run(|q, now, out| q.pause(now, false, false, out));
    // Before the first tick.
    assert_eq!(line.submit("3"), Submitted::Ready);
    assert_eq!(line.matches(), pairs(&[("1", "m")]));
    line.advance(100);
    assert_eq!(line.matches(), pairs(&[("2", "n"), ("3", "o")]));
}

#[test]
fn thousands_of_skips_cost_a_look_hardly_more_than_none() {
    let mut queue = Queue::default();
    let mut out = Outcome::default();
    let now = at(1_000_000);
    for i in 0..10_000 {
        let id = format!("{i}");
        let skipped = Submit {
            excluded: tags(&["m"]).filter(|_| i < 5000),
            ..item(&id)
        };
        queue.submit(now, skipped, &mut out).unwrap();
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
            let start = thread_time();
            for _ in 0..20 {
                peek(who);
            }
            thread_time() - start
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
            call: CallId(call),
            moderator: b"m",
            tags: None,
            new_only: false,
            lock: None,
            place: queue.end_of_line(now.time),
        });
    }
    let mut out = Outcome::default();
    let start = thread_time();
    queue.submit(now, item("i"), &mut out).unwrap();
    let took = thread_time() - start;
    // A look at all calls for each would take seconds.
    assert!(took.as_millis() < 500, "{took:?}");
    assert!(out.answers.iter().map(|a| a.call.0).eq(0..10_000));
    assert_eq!(queue.blocked(), 0);
    verify(&queue);
}

/// Measures what a queue with very many tag combinations costs: a claim looks at the first item of each.
#[test]
fn three_hundred_combinations_of_tags_cost_a_claim_a_look_at_each() {
    let mut queue = Queue::default();
    let mut out = Outcome::default();
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
        queue.submit(now, submit, &mut out).unwrap();
    }
    let offered = names(&all);
    let mut claim = |moderator: &str, offered: &[&Bytes]| {
        let claim = Claim {
            moderator: moderator.as_bytes(),
            count: 1,
            lock: None,
            tags: Some(offered.to_vec()),
            new_only: true,
            with_group: false,
        };
        out.clear();
        let start = thread_time();
        let got = queue.claim(now, &claim, &mut out).unwrap();
        let took = thread_time() - start;
        let id = got
            .first()
            .map(|slot| text(queue.store.items()[*slot].id()));
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
    let best = times.into_iter().min().expect("500");
    println!("a claim among 300 combinations: {best:?}");
    assert!(best.as_micros() < 1000, "{best:?}");
    assert_eq!(claim("n", &offered[..1]).0, None);
}
