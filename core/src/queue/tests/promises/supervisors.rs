//! ASSIGN, PAUSE, REVIVE.

use super::*;

#[test]
fn assign_locks_for_a_named_person_whatever_tags_capacity_and_pause() {
    let mut desk = Desk::new();
    desk.configure(|s| s.capacity = 1).unwrap();
    desk.submit_with(Submit {
        tags: tags(&["t"]),
        excluded: tags(&["x"]),
        ..item("ready")
    })
    .unwrap();
    desk.submit_with(Submit {
        delay: Millis(1_000_000),
        ..item("delayed")
    })
    .unwrap();
    desk.submit("dead").unwrap();
    desk.kill("dead");
    desk.pause(true, true);
    assert_eq!(desk.assign("none", "m"), Err(Error::NoItem));
    assert_eq!(desk.assign("ready", "x"), Err(Error::Excluded));
    assert!(!desk.recorded);
    let mut last = 0;
    for id in ["ready", "delayed", "dead"] {
        let token = desk.assign(id, "m").unwrap();
        assert!(token > last);
        last = token;
        assert_eq!(desk.notices, [Notice::Assign]);
        assert_eq!(desk.matches, [(id.into(), "m".into())]);
        assert_eq!(desk.assign(id, "n"), Err(Error::Locked));
    }
    assert_eq!(desk.queue.held_by(b"m", Time(desk.ms)).count(), 3);
}

#[test]
fn an_assignment_serves_who_stands_in_line() {
    let mut desk = Desk::new();
    desk.join(&join("m"));
    desk.submit_with(Submit {
        tags: tags(&["t"]),
        ..item("i")
    })
    .unwrap();
    desk.assign("i", "m").unwrap();
    assert!(desk.line().is_empty());
}

#[test]
fn pause_out_hands_out_nothing_but_locks_run_on() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    desk.submit("j").unwrap();
    let token = desk.take("m", "i");
    let other = desk.take("m", "j");
    desk.pause(false, true);
    assert_eq!(
        (desk.queue.paused().input, desk.queue.paused().output),
        (false, true)
    );
    assert_eq!(desk.submit("k"), Ok(Submitted::Ready));
    assert!(desk.claim_ids(&claim("n")).is_empty());
    assert_eq!(desk.join(&join("n")), Joined::Waiting);
    desk.release("i", token, false, 0).unwrap();
    assert_eq!(desk.state("i"), State::Ready);
    assert_eq!(desk.resolve("j", other), Ok(()));
    desk.pause(false, true);
    assert!(!desk.recorded, "already so");
    desk.pause(false, false);
    desk.wait(0);
    assert_eq!(desk.matches, [("i".into(), "n".into())]);
}

#[test]
fn too_many_expiries_park_an_item_until_it_is_revived() {
    let mut desk = Desk::new();
    desk.configure(|s| (s.max_expiries, s.lock) = (2, Millis(10)))
        .unwrap();
    desk.submit("i").unwrap();
    desk.take("m", "i");
    desk.wait(10);
    desk.take("m", "i");
    desk.ms += 10;
    assert_eq!(desk.state("i"), State::Dead, "judged by the clock");
    assert_eq!(desk.get("i").expiries, 2);
    desk.wait(0);
    assert_eq!(desk.notices, [Notice::Dead]);
    assert_eq!(desk.queue.len_in(State::Dead), 1);
    assert!(desk.claim_ids(&claim("m")).is_empty());
    assert_eq!(desk.queue.position(b"i"), None);
    assert!(!desk.revive("none"));
    assert!(!desk.recorded);
    assert!(desk.revive("i"));
    assert!(!desk.revive("i"), "no longer dead");
    assert_eq!((desk.state("i"), desk.get("i").expiries), (State::Ready, 0));
    desk.configure(|s| s.max_expiries = 0).unwrap();
    for _ in 0..5 {
        desk.take("m", "i");
        desk.wait(10);
        assert_eq!(desk.state("i"), State::Ready, "0 is never");
    }
}

#[test]
fn revive_all_revives_the_earliest_so_many() {
    let mut desk = Desk::new();
    for id in ["a", "b", "c"] {
        desk.submit(id).unwrap();
    }
    for id in ["c", "a", "b"] {
        desk.kill(id);
    }
    let all = |desk: &mut Desk, n| desk.run(|q, now, out| q.revive_all(now, n, out).unwrap());
    assert_eq!(all(&mut desk, 2), 2);
    assert_eq!(desk.peek(), ["a", "b"]);
    assert_eq!(all(&mut desk, 2), 1);
    assert_eq!(all(&mut desk, 2), 0);
    assert!(!desk.recorded);
}

#[test]
fn matches_after_unpause_come_before_what_falls_due_later() {
    let mut desk = Desk::new();
    desk.pause(false, true);
    desk.submit("first").unwrap();
    desk.submit_with(Submit {
        delay: Millis(5),
        priority: Some(-1),
        ..item("later")
    })
    .unwrap();
    desk.join(&Join {
        ttl: Some(Millis(5)),
        ..join("m")
    });
    desk.pause(false, false);
    // The tick after UNPAUSE is late: the registration has run out and an item has come due.
    desk.wait(5);
    assert_eq!(desk.matches, [("first".into(), "m".into())]);
    assert_eq!(desk.state("later"), State::Ready);
}

#[test]
fn matches_left_to_the_next_tick_are_made_by_a_promoted_replica_and_after_a_load() {
    let mut desk = Desk::new();
    desk.pause(false, true);
    desk.submit("i").unwrap();
    desk.join(&join("m"));
    desk.pause(false, false);
    assert_eq!(desk.state("i"), State::Ready, "left to the tick");
    let loaded = load(&chunks(&desk.queue, 10)).unwrap();
    for mut heir in [desk.replica, loaded] {
        assert_eq!(heir.next_due(), Some(Due::Now));
        let mut out = Outcome::default();
        heir.tick(at(desk.ms), 100, &mut out);
        assert_eq!(out.announcements.len(), 1);
        verify(&heir);
    }
}

#[test]
fn assign_with_the_token_hands_a_locked_item_over_and_nobody_comes_between() {
    let mut desk = Desk::new();
    desk.configure(|s| s.capacity = 1).unwrap();
    desk.submit_with(Submit {
        excluded: tags(&["x"]),
        ..item("i")
    })
    .unwrap();
    desk.submit("next").unwrap();
    let token = desk.take("ann", "i");
    // Whoever waits longest may take it, and ann waits for another.
    desk.pause(false, true);
    desk.join(&Join {
        tags: tags(&[]),
        ..join("bob")
    });
    desk.cancel("next", None);
    desk.pause(false, false);
    desk.wait(0);
    desk.join(&Join {
        count: Some(2),
        ..join("ann")
    });
    assert_eq!(desk.line(), ["bob", "ann"]);
    assert_eq!(desk.hand_over("none", token, "zoe"), Err(Error::NoItem));
    assert_eq!(desk.hand_over("i", token + 1, "zoe"), Err(Error::Stale));
    assert_eq!(desk.hand_over("i", token, "x"), Err(Error::Excluded));
    assert!(!desk.recorded);
    let after = desk.hand_over("i", token, "zoe").unwrap();
    assert!(after > token);
    assert_eq!(desk.matches, [("i".into(), "zoe".into())]);
    assert_eq!(desk.notices, [Notice::Release, Notice::Assign]);
    assert_eq!(desk.line(), ["bob", "ann"]);
    assert_eq!(desk.queue.stats().released, 1);
    assert_eq!(desk.resolve("i", token), Err(Error::Stale));
    desk.resolve("i", after).unwrap();
    // Not locked, dead or past its deadline: the token is nobody's.
    desk.submit("other").unwrap();
    desk.wait(0);
    assert_eq!(desk.holder("other").as_deref(), Some("bob"));
    let token = desk.get("other").lock.map(|lock| lock.token.0).unwrap();
    desk.release("other", token, false, 1_000_000).unwrap();
    assert_eq!(desk.hand_over("other", token, "zoe"), Err(Error::Stale));
}

#[test]
fn whoever_had_what_is_handed_over_may_take_another() {
    let mut desk = Desk::new();
    desk.configure(|s| s.capacity = 1).unwrap();
    desk.submit("first").unwrap();
    let token = desk.take("ann", "first");
    desk.join(&Join {
        count: Some(2),
        ..join("ann")
    });
    desk.submit("second").unwrap();
    assert_eq!(desk.state("second"), State::Ready, "ann has all she may");
    // To herself: she still has all she may.
    let token = desk.hand_over("first", token, "ann").unwrap();
    assert_eq!(desk.state("second"), State::Ready);
    desk.join(&Join {
        count: Some(2),
        ..join("ann")
    });
    desk.hand_over("first", token, "bob").unwrap();
    assert_eq!(
        desk.matches,
        [
            ("first".into(), "bob".into()),
            ("second".into(), "ann".into())
        ]
    );
}

#[test]
fn of_what_one_command_makes_ready_the_first_is_matched_first() {
    type Command = fn(&mut Desk);
    let commands: [(bool, Command); 3] = [
        (true, |desk| {
            desk.run(|q, now, out| q.revive(now, &[b"low", b"high"], out).unwrap());
        }),
        (true, |desk| {
            desk.run(|q, now, out| q.revive_all(now, 2, out).unwrap());
        }),
        (false, |desk| assert!(!desk.leave("holder", true))),
    ];
    for (dead, command) in commands {
        let mut desk = Desk::new();
        for (id, priority) in [("low", 0), ("high", 5)] {
            desk.submit_with(Submit {
                priority: Some(priority),
                ..item(id)
            })
            .unwrap();
            desk.take("holder", id);
        }
        if dead {
            desk.configure(|s| s.max_expiries = 1).unwrap();
            desk.wait(300_000);
        }
        desk.join(&join("m"));
        command(&mut desk);
        assert_eq!(desk.matches, [("high".into(), "m".into())]);
        assert_eq!(desk.state("low"), State::Ready);
    }
}
