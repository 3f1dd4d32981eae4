//! The clock: what is given by it, what it does, and how it is judged by.

use super::*;
use crate::queue::store::Timed;

#[test]
fn tokens_grow_whatever_the_clock_does_and_across_a_restart() {
    let mut desk = Desk::new();
    for id in ["a", "b", "c", "d"] {
        desk.submit(id).unwrap();
    }
    let a = desk.take("m", "a");
    assert_eq!(a, at(desk.ms).token_floor.0, "the server's time in µs");
    let b = desk.take("m", "b");
    assert_eq!(b, a + 1, "in the same µs");
    desk.ms -= 500;
    let c = desk.take("m", "c");
    assert_eq!(c, b + 1, "the clock went back");
    desk.queue = load(&chunks(&desk.queue, 9)).unwrap();
    let d = desk.take("m", "d");
    assert_eq!(d, c + 1);
}

#[test]
fn stamps_never_run_backwards_but_deadlines_follow_the_clock() {
    let mut desk = Desk::new();
    desk.submit("a").unwrap();
    desk.join(&Join {
        tags: tags(&[]),
        ..join("m")
    });
    desk.ms -= 1000;
    let tagged = |id, delay| Submit {
        tags: tags(&["t"]),
        delay: Millis(delay),
        ..item(id)
    };
    desk.submit_with(tagged("b", 0)).unwrap();
    desk.submit_with(tagged("c", 10)).unwrap();
    assert_eq!(desk.get("b").submitted, Time(1_000_000), "not before a's");
    assert_eq!(desk.get("c").due, Some(Time(desk.ms + 10)));
    desk.join(&join("n"));
    desk.join(&join("o"));
    let since: Vec<u64> = desk.queue.line.iter().map(|(p, _)| p.since.0).collect();
    assert_eq!(since, [1_000_000, 1_000_000]);
    assert_eq!(desk.line(), ["n", "o"]);
    let token = desk.assign("b", "p").unwrap();
    assert_eq!(desk.get("b").lock.unwrap().deadline.0, desk.ms + 300_000);
    assert_eq!(desk.extend("b", token, 7), Ok(desk.ms + 7));
}

#[test]
fn single_items_are_judged_by_the_clock_while_deferred_work_lags() {
    let mut desk = Desk::new();
    desk.configure(|s| (s.lock, s.late) = (Millis(10), Late::Reject))
        .unwrap();
    desk.submit("i").unwrap();
    let token = desk.take("m", "i");
    desk.submit_with(Submit {
        delay: Millis(10),
        ..item("d")
    })
    .unwrap();
    // From here nobody advances the queue.
    let mut q = desk.queue;
    let mut out = Outcome::default();
    for (late, expected) in [(0, State::Locked), (1, State::Ready), (99, State::Ready)] {
        let now = at(desk.ms + 9 + late);
        let view = q.get(b"i", now.time).unwrap();
        assert_eq!(view.state, expected);
        assert_eq!(view.lock.is_some(), expected == State::Locked);
        assert_eq!(view.expiries, u32::from(expected == State::Ready));
        let held = usize::from(expected == State::Locked);
        assert_eq!(q.held_by(b"m", now.time).count(), held);
        let view = q.get(b"d", now.time).unwrap();
        assert_eq!(view.state == State::Delayed, expected == State::Locked);
        assert_eq!(view.expiries, 0);
        let (locked, delayed) = (State::Locked, State::Delayed);
        assert_eq!((q.len_in(locked), q.len_in(delayed)), (1, 1), "as applied");
    }
    // At the deadline the token is no longer the live lock's.
    let now = at(desk.ms + 10);
    let stale = Err(Error::Stale);
    assert_eq!(
        q.resolve(now, b"i", token, None, &mut out),
        Err(Error::Stale)
    );
    assert_eq!(q.release(now, b"i", token, false, 0, &mut out), stale);
    assert_eq!(q.extend(now, b"i", token, 5, &mut out), Err(Error::Stale));
    assert_eq!(q.check_move_out(now, b"i", Some(token)), stale);
    assert!(
        q.claim(now, &claim("m"), &mut out).unwrap().is_empty(),
        "not held"
    );
    assert!(out.record.is_empty());
    // A late decision does not depend on whether the expiry was applied already.
    let mut settings = q.settings().clone();
    settings.late = Late::Accept;
    q.configure(now, settings, &mut out).unwrap();
    let ended = q.resolve(now, b"i", token, None, &mut out);
    assert_eq!(ended, Ok(Resolved::Ended));
}

#[test]
fn deferred_work_runs_in_the_order_of_its_time() {
    let mut desk = Desk::new();
    let delayed = |id, delay, priority| Submit {
        delay: Millis(delay),
        priority: Some(priority),
        ..item(id)
    };
    desk.submit_with(delayed("second", 20, 9)).unwrap();
    desk.submit_with(delayed("first", 10, 0)).unwrap();
    desk.join(&join("m"));
    desk.join(&join("n"));
    desk.wait(100);
    let expected = [("first", "m"), ("second", "n")];
    assert_eq!(desk.matches, expected.map(|(i, m)| (i.into(), m.into())));
}

#[test]
fn of_what_comes_back_at_one_instant_the_first_in_order_is_matched_first() {
    let mut desk = Desk::new();
    desk.submit("low").unwrap();
    desk.submit_with(Submit {
        priority: Some(1),
        ..item("high")
    })
    .unwrap();
    for id in ["low", "high"] {
        desk.assign(id, "holder").unwrap();
    }
    desk.join(&Join {
        ttl: Some(Millis(400_000)),
        ..join("m")
    });
    desk.wait(300_000);
    assert_eq!(desk.matches, [("high".into(), "m".into())]);
}

#[test]
fn who_leaves_at_the_instant_an_item_comes_due_does_not_get_it() {
    let mut desk = Desk::new();
    desk.submit_with(Submit {
        delay: Millis(10),
        ..item("i")
    })
    .unwrap();
    desk.join(&Join {
        ttl: Some(Millis(10)),
        ..join("m")
    });
    desk.wait(10);
    assert_eq!(desk.state("i"), State::Ready);
}

/// When everything ends that does, by id or name.
fn ends(desk: &Desk) -> Vec<(String, u64)> {
    let store = &desk.queue.store;
    let timers = store.timers().iter();
    let mut all: Vec<(String, u64)> = timers
        .map(|timer| match timer.what {
            Timed::Registration(m) => (text(&store.moderators()[m].name), timer.time.0),
            Timed::Deadline(_, slot) | Timed::Due(_, slot) => {
                (text(store.items()[slot].id()), timer.time.0)
            }
        })
        .collect();
    all.sort();
    all
}

/// A desk with something of each kind, set with the clock an hour ahead, and something set before.
fn set_ahead() -> Desk {
    const HOUR: u64 = 3_600_000;
    let mut desk = Desk::new();
    let delayed = |id, delay| Submit {
        delay: Millis(delay),
        ..item(id)
    };
    for id in ["before", "claimed", "extended", "put back"] {
        desk.submit(id).unwrap();
    }
    desk.submit_with(delayed("later before", 9 * HOUR)).unwrap();
    desk.configure(|s| s.lock = Millis(7 * HOUR)).unwrap();
    desk.assign("before", "m").unwrap();
    let extended = desk.assign("extended", "m").unwrap();
    desk.ms += HOUR;
    desk.configure(|s| s.lock = Millis(1000)).unwrap();
    desk.assign("claimed", "m").unwrap();
    desk.extend("extended", extended, 2000).unwrap();
    let token = desk.assign("put back", "m").unwrap();
    desk.ms += 10;
    desk.release("put back", token, false, 3000).unwrap();
    desk.submit_with(delayed("later", 4000)).unwrap();
    let ttl = Some(Millis(5000));
    let tags = tags(&["none has it"]);
    desk.join(&Join {
        ttl,
        tags,
        ..join("n")
    });
    desk.ms -= HOUR;
    desk
}

/// What it then is when the clock says `ms`.
fn expected(ms: u64) -> Vec<(String, u64)> {
    let all = [
        ("before", 1_000_000 + 25_200_000),
        ("claimed", ms + 1000),
        ("extended", ms + 2000),
        ("later", ms + 4000),
        ("later before", 1_000_000 + 32_400_000),
        ("n", ms + 5000),
        ("put back", ms + 3000),
    ];
    Vec::from(all.map(|(id, end)| (id.to_owned(), end)))
}

#[test]
fn nothing_lasts_longer_by_a_clock_that_was_set_back_than_was_asked() {
    let mut desk = set_ahead();
    desk.wait(0);
    assert_eq!(ends(&desk), expected(desk.ms));
    // Once more, by what was set since.
    desk.ms -= 7;
    desk.wait(0);
    assert_eq!(ends(&desk), expected(desk.ms));
    desk.pause(false, true);
    desk.wait(5000);
    let left = ends(&desk);
    assert_eq!(left.len(), 2, "what was set before: {left:?}");
}

#[test]
fn nothing_lasts_longer_after_a_restart_or_on_a_replica_with_the_clock_set_back() {
    let mut desk = set_ahead();
    for heir in [copy(&desk.queue), copy(&desk.replica)] {
        desk.queue = heir;
        desk.replica = copy(&desk.queue);
        assert!(desk.queue.is_due(Time(desk.ms)));
        desk.wait(0);
        assert_eq!(ends(&desk), expected(desk.ms));
    }
    // A replica that followed, and becomes the primary as it is.
    let mut desk = set_ahead();
    std::mem::swap(&mut desk.queue, &mut desk.replica);
    desk.wait(0);
    assert_eq!(ends(&desk), expected(desk.ms));
}

/// P5: however much was set ahead.
#[test]
fn what_was_set_ahead_is_gone_along_in_portions() {
    let mut desk = Desk::new();
    for i in 0..200 {
        let id = format!("i{i}");
        let delay = Millis(1000 + i);
        desk.submit_with(Submit { delay, ..item(&id) }).unwrap();
    }
    desk.ms -= 600;
    let now = at(desk.ms);
    let mut turns = 0;
    while desk.queue.is_due(now.time) {
        let mut out = Outcome::default();
        desk.queue.tick(now, 7, &mut out);
        turns += 1;
        if !out.record.is_empty() {
            assert!(Record::effects(out.record.bytes()).unwrap().count() <= 7);
            replay(&mut desk.replica, out.record.bytes());
        }
        // Set by the clock as it is now: in nobody's way.
        let id = format!("new{turns}");
        let delay = Millis(1);
        let submit = Submit { delay, ..item(&id) };
        let mut out = Outcome::default();
        desk.queue.submit(now, submit, &mut out).unwrap();
        replay(&mut desk.replica, out.record.bytes());
    }
    assert!((200 / 7..200 / 3).contains(&turns), "{turns}");
    assert_eq!(canon(&desk.queue), canon(&desk.replica));
    for (id, end) in ends(&desk) {
        let delay = match id.strip_prefix("new") {
            Some(_) => 1,
            None => 1000 + id[1..].parse::<u64>().unwrap(),
        };
        assert_eq!(end, desk.ms + delay, "{id}");
    }
}

/// A blocked call that ended by the wrong clock is no sign of life in the future.
#[test]
fn a_call_that_ended_ahead_keeps_nobody_registered() {
    let mut desk = Desk::new();
    let ttl = Some(Millis(50));
    desk.join(&Join { ttl, ..join("m") });
    let place = desk.queue.end_of_line(Time(desk.ms));
    desk.queue.block(&Block {
        call: CallId(1),
        moderator: b"m",
        tags: None,
        new_only: false,
        lock: None,
        place,
    });
    assert!(
        desk.queue
            .unblock(Time(desk.ms + 9_000_000), CallId(1), b"m")
    );
    for _ in 0..3 {
        desk.wait(50);
    }
    assert_eq!(desk.queue.waiting(), 0);
}
