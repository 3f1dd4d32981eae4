//! SUBMIT, CANCEL and UPDATE.

use super::*;

#[test]
fn submit_answers_ready_delayed_assigned_and_exists() {
    let mut desk = Desk::new();
    assert_eq!(desk.submit("i"), Ok(Submitted::Ready));
    assert_eq!(desk.notices, [Notice::Submit]);
    assert_eq!(desk.submit("i"), Ok(Submitted::Exists), "KEEP is default");
    assert!(!desk.recorded);
    let delayed = Submit {
        delay: Millis(10),
        ..item("d")
    };
    assert_eq!(desk.submit_with(delayed), Ok(Submitted::Delayed));
    desk.take("other", "i");
    desk.join(&join("m"));
    assert_eq!(desk.submit("j"), Ok(Submitted::Assigned));
    assert_eq!(desk.notices, [Notice::Submit, Notice::Assign]);
    assert_eq!(desk.holder("j").as_deref(), Some("m"));
}

#[test]
fn submit_keeps_all_its_options() {
    let mut desk = Desk::new();
    let submit = Submit {
        id: b"\0id\xff",
        payload: b"",
        priority: Some(-7),
        boost: Some(-(1 << 40)),
        delay: Millis(25),
        tags: tags(&["b", "a", "b"]),
        excluded: tags(&["y", "x", "y"]),
        on_duplicate: OnDuplicate::Error,
        ..Submit::default()
    };
    desk.submit_with(submit).unwrap();
    let expected = ItemView {
        item: b"\0id\xff",
        state: State::Delayed,
        payload: b"",
        priority: -7,
        boost: -(1 << 40),
        submitted: Time(1_000_000),
        due: Some(Time(1_000_025)),
        rev: Rev(1),
        reports: 1,
        deliveries: 0,
        expiries: 0,
        lock: None,
        tags: vec![b"b", b"a"],
        excluded: vec![b"y", b"x"],
        quorum: Quorum::ONE,
        votes: Vec::new(),
        contested: false,
        group: b"",
        deciders: Vec::new(),
    };
    assert_eq!(desk.queue.get(b"\0id\xff", Time(desk.ms)), Some(expected));
}

/// A desk with item `i` in a state.
fn with_item_in(state: State) -> Desk {
    let mut desk = Desk::new();
    let delay = u64::from(state == State::Delayed) * 1_000_000;
    let first = Submit {
        delay: Millis(delay),
        priority: Some(2),
        boost: Some(10),
        tags: tags(&["t"]),
        excluded: tags(&["x"]),
        ..item("i")
    };
    desk.submit_with(first).unwrap();
    match state {
        State::Locked => drop(desk.assign("i", "m").unwrap()),
        State::Dead => desk.kill("i"),
        _ => {}
    }
    assert_eq!(desk.state("i"), state);
    desk
}

/// Item `i` once more, with everything else than before.
fn again(on_duplicate: OnDuplicate) -> Submit<'static> {
    Submit {
        payload: b"new",
        priority: Some(1),
        boost: Some(20),
        delay: Millis(5),
        tags: tags(&["u"]),
        excluded: tags(&["z"]),
        on_duplicate,
        ..item("i")
    }
}

fn keep_and_bump(state: State, after: State) {
    let mut desk = with_item_in(state);
    let before = canon(&desk.queue);
    let kept = desk.submit_with(again(OnDuplicate::Keep));
    assert_eq!(kept, Ok(Submitted::Exists));
    assert!(!desk.recorded);
    let refused = desk.submit_with(again(OnDuplicate::Error));
    assert_eq!(refused, Err(Error::Exists));
    assert!(!desk.recorded);
    assert_eq!(canon(&desk.queue), before);

    let bumped = desk.submit_with(again(OnDuplicate::Bump));
    assert_eq!(bumped, Ok(Submitted::Bumped));
    let view = desk.get("i");
    assert_eq!((view.state, view.rev, view.reports), (after, Rev(2), 2));
    assert_eq!((view.priority, view.boost), (2, 20), "the larger of each");
    assert_eq!((view.payload, view.expiries), (&b"text"[..], 0));
    assert_eq!(
        (view.tags, view.excluded),
        (vec![&b"t"[..]], vec![&b"x"[..]])
    );
}

fn replace(state: State, after: State) {
    let mut desk = with_item_in(state);
    let replaced = desk.submit_with(again(OnDuplicate::Replace));
    assert_eq!(replaced, Ok(Submitted::Replaced));
    let view = desk.get("i");
    assert_eq!((view.state, view.rev, view.reports), (after, Rev(2), 1));
    assert_eq!((view.priority, view.boost), (1, 20), "what was given");
    assert_eq!((view.payload, view.expiries), (&b"new"[..], 0));
    assert_eq!(
        (view.tags, view.excluded),
        (vec![&b"u"[..]], vec![&b"z"[..]])
    );

    let mut desk = with_item_in(state);
    desk.submit_with(Submit {
        on_duplicate: OnDuplicate::Replace,
        ..item("i")
    })
    .unwrap();
    let view = desk.get("i");
    assert_eq!((view.priority, view.boost), (2, 10), "kept if not given");
    assert_eq!(
        (view.tags, view.excluded),
        (vec![&b"t"[..]], vec![&b"x"[..]])
    );
}

#[test]
fn a_second_submit_does_as_it_is_told_in_every_state() {
    for (state, after) in [
        (State::Ready, State::Ready),
        (State::Delayed, State::Delayed),
        (State::Locked, State::Locked),
        (State::Dead, State::Ready),
    ] {
        keep_and_bump(state, after);
        replace(state, after);
    }
}

#[test]
fn a_bump_without_options_only_counts_the_report() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    desk.submit("j").unwrap();
    let bump = Submit {
        on_duplicate: OnDuplicate::Bump,
        ..item("j")
    };
    desk.submit_with(bump).unwrap();
    assert_eq!(desk.get("j").reports, 2);
    assert_eq!(desk.peek(), ["i", "j"], "it keeps its place");
}

#[test]
fn a_bumped_dead_item_goes_to_who_waits() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    desk.kill("i");
    desk.join(&join("m"));
    let bump = Submit {
        on_duplicate: OnDuplicate::Bump,
        ..item("i")
    };
    desk.submit_with(bump).unwrap();
    assert_eq!(desk.holder("i").as_deref(), Some("m"));
}

#[test]
fn submit_is_refused_when_full_or_paused_and_then_changes_nothing() {
    let mut desk = Desk::new();
    desk.configure(|s| s.max_len = 1).unwrap();
    desk.submit("i").unwrap();
    assert_eq!(desk.submit("j"), Err(Error::Full));
    assert!(!desk.recorded);
    assert_eq!(desk.submit("i"), Ok(Submitted::Exists), "already in");
    desk.pause(true, false);
    assert_eq!(desk.submit("j"), Err(Error::Paused));
    assert_eq!(desk.submit("i"), Err(Error::Paused));
    assert!(!desk.recorded);
    desk.take("m", "i");
    desk.pause(false, false);
    assert_eq!(desk.submit("j"), Err(Error::Full), "locked ones count");
}

#[test]
fn priority_then_boosted_age_then_arrival_decide() {
    let mut desk = Desk::new();
    let mut put = |id: &'static str, priority, boost| {
        desk.submit_with(Submit {
            priority: Some(priority),
            boost: Some(boost),
            ..item(id)
        })
        .unwrap();
        desk.ms += 10;
    };
    put("old", 0, 0);
    put("new", 0, 0);
    put("boosted", 0, 21);
    put("urgent", 1, -1000);
    put("even", 0, 40);
    assert_eq!(desk.peek(), ["urgent", "boosted", "old", "even", "new"]);
    for (i, id) in desk.peek().iter().enumerate() {
        assert_eq!(desk.queue.position(id.as_bytes()), Some(i + 1));
    }
}

#[test]
fn with_aging_priority_is_a_head_start() {
    let mut desk = Desk::new();
    desk.configure(|s| s.aging = 100).unwrap();
    let urgent = |id| Submit {
        priority: Some(2),
        ..item(id)
    };
    desk.submit("old").unwrap();
    desk.ms += 199;
    desk.submit_with(urgent("ahead")).unwrap();
    desk.ms += 1;
    desk.submit_with(urgent("even")).unwrap();
    desk.ms += 1;
    desk.submit_with(urgent("behind")).unwrap();
    assert_eq!(desk.peek(), ["ahead", "old", "even", "behind"]);
    assert_eq!(desk.configure(|s| s.aging = 0), Err(Error::AgingInUse));
    assert!(!desk.recorded);
    for id in ["old", "ahead", "even", "behind"] {
        assert!(desk.cancel(id, None));
    }
    assert_eq!(desk.configure(|s| s.aging = 0), Ok(()));
    desk.submit("a").unwrap();
    desk.submit_with(urgent("b")).unwrap();
    assert_eq!(desk.peek(), ["b", "a"]);
}

#[test]
fn a_delayed_item_comes_due_in_the_place_of_its_age() {
    let mut desk = Desk::new();
    let delayed = Submit {
        delay: Millis(50),
        ..item("late")
    };
    desk.submit_with(delayed).unwrap();
    desk.ms += 10;
    desk.submit("i").unwrap();
    desk.wait(39);
    assert_eq!(desk.peek(), ["i"]);
    assert_eq!(desk.queue.next_due(), Some(Due::At(Time(1_000_050))));
    desk.wait(1);
    assert_eq!(desk.peek(), ["late", "i"]);
    assert_eq!(desk.get("late").due, Some(Time(1_000_050)));
}

#[test]
fn cancel_removes_only_what_was_seen() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    assert!(!desk.cancel("none", None));
    assert!(!desk.cancel("i", Some(2)));
    assert!(!desk.recorded);
    desk.update("i", to_priority(1)).unwrap();
    assert!(!desk.cancel("i", Some(1)));
    assert!(desk.cancel("i", Some(2)));
    assert!(desk.gone("i"));
}

#[test]
fn cancelling_a_locked_item_ends_its_lock_and_makes_room() {
    let mut desk = Desk::new();
    desk.configure(|s| s.capacity = 1).unwrap();
    desk.submit("i").unwrap();
    let token = desk.take("m", "i");
    desk.join(&Join {
        count: Some(2),
        ..join("m")
    });
    desk.submit("j").unwrap();
    assert_eq!(desk.state("j"), State::Ready, "m is at capacity");
    assert!(desk.cancel("i", None));
    assert_eq!(desk.holder("j").as_deref(), Some("m"));
    assert_eq!(desk.resolve("i", token), Err(Error::NoItem));
}

#[test]
fn update_changes_what_is_given_and_never_the_state() {
    let mut desk = Desk::new();
    assert_eq!(desk.update("i", Update::default()), Err(Error::NoItem));
    desk.submit_with(Submit {
        tags: tags(&["t"]),
        excluded: tags(&["x"]),
        ..item("i")
    })
    .unwrap();
    let stale = Update {
        rev: Some(2),
        priority: Some(9),
        ..Update::default()
    };
    assert_eq!(desk.update("i", stale), Ok(None));
    assert!(!desk.recorded);
    let all = Update {
        id: b"i",
        rev: Some(1),
        priority: Some(5),
        boost: Some(6),
        payload: Some(b"new"),
        tags: tags(&[]),
        excluded: tags(&[]),
        ..Update::default()
    };
    assert_eq!(desk.update("i", all), Ok(Some(2)));
    let view = desk.get("i");
    assert_eq!((view.priority, view.boost), (5, 6));
    assert_eq!(view.payload, b"new");
    assert!(view.tags.is_empty() && view.excluded.is_empty());
    desk.kill("i");
    assert_eq!(desk.update("i", Update::default()), Ok(Some(2)));
    assert!(!desk.recorded, "nothing was changed");
    assert_eq!(desk.update("i", to_priority(1)), Ok(Some(3)));
    assert_eq!(desk.state("i"), State::Dead);
    assert_eq!(desk.get("i").expiries, 1);
}

#[test]
fn an_update_that_makes_an_item_eligible_hands_it_out() {
    let mut desk = Desk::new();
    desk.submit_with(Submit {
        tags: tags(&["t"]),
        ..item("i")
    })
    .unwrap();
    assert_eq!(desk.join(&join("m")), Joined::Waiting);
    let open = Update {
        tags: tags(&[]),
        ..Update::default()
    };
    assert_eq!(desk.update("i", open), Ok(Some(2)));
    assert_eq!(desk.matches, [("i".into(), "m".into())]);
}

#[test]
fn a_skip_outlives_exclusions_that_name_the_same_moderator() {
    let exclude = |names: &[&'static str]| Update {
        excluded: tags(names),
        ..Update::default()
    };
    // Skipped, then named, then others named.
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    let token = desk.take("a", "i");
    desk.release("i", token, true, 0).unwrap();
    desk.update("i", exclude(&["a", "b"])).unwrap();
    assert_eq!(desk.excluded("i"), ["a", "b"]);
    desk.update("i", exclude(&["c"])).unwrap();
    assert_eq!(desk.excluded("i"), ["c", "a"]);
    // Named while they hold it, then skipped, then others named.
    desk.update("i", exclude(&[])).unwrap();
    let token = desk.take("a", "i");
    desk.update("i", exclude(&["a"])).unwrap();
    desk.release("i", token, true, 0).unwrap();
    assert_eq!(desk.excluded("i"), ["a"]);
    desk.update("i", exclude(&["c"])).unwrap();
    assert_eq!(desk.excluded("i"), ["c", "a"]);
    desk.update("i", exclude(&[])).unwrap();
    assert!(desk.excluded("i").is_empty(), "EXCLUDE 0 clears skips too");
}

#[test]
fn each_further_report_adds_the_step_to_the_priority() {
    let mut desk = Desk::new();
    let report = |step| Submit {
        on_duplicate: OnDuplicate::Bump,
        step: Some(step),
        ..item("i")
    };
    assert_eq!(desk.submit_with(report(5)), Ok(Submitted::Ready));
    assert_eq!(desk.get("i").priority, 0, "a new item starts at 0");
    for (step, priority) in [
        (5, 5),
        (-7, -2),
        (0, -2),
        (i32::MAX, i32::MAX - 2),
        (i32::MAX, i32::MAX),
        (i32::MIN, -1),
        (i32::MIN, i32::MIN),
    ] {
        assert_eq!(desk.submit_with(report(step)), Ok(Submitted::Bumped));
        assert_eq!(desk.get("i").priority, priority, "{step}");
    }
    assert_eq!((desk.get("i").reports, desk.get("i").rev.0), (8, 8));
    // Boost is the larger of the two as ever.
    for (boost, expected) in [(9, 9), (4, 9)] {
        desk.submit_with(Submit {
            boost: Some(boost),
            ..report(1)
        })
        .unwrap();
        assert_eq!(desk.get("i").boost, expected);
    }
}

#[test]
fn the_tag_of_a_split_stays_if_the_step_that_voids_the_votes_names_it() {
    let tags_of =
        |desk: &Desk| -> Vec<String> { desk.get("i").tags.into_iter().map(text).collect() };
    for (given, left) in [(None, &[][..]), (Some(&["senior"]), &["senior"])] {
        let mut desk = Desk::new();
        let settings = |s: &mut Settings| {
            s.quorum = Quorum { k: 2, n: 2 };
            s.split_tag = Box::from(*b"senior");
        };
        desk.configure(settings).expect("configured");
        desk.submit("i").expect("taken");
        for (moderator, verdict) in [("a", "keep"), ("b", "drop")] {
            let token = desk.assign("i", moderator).expect("assigned");
            let resolve = Resolve {
                id: b"i",
                token: Token(token),
                verdict: Some(verdict.as_bytes()),
                ..Resolve::default()
            };
            let resolved = desk.run(|q, now, out| q.handle(now, Gate::Open, resolve, out));
            resolved.expect("counted");
        }
        assert_eq!(tags_of(&desk), ["senior"]);
        let edited = Update {
            payload: Some(b"another"),
            tags: given.and_then(|names| tags(names)),
            ..Update::default()
        };
        desk.update("i", edited).expect("updated");
        assert_eq!(tags_of(&desk), left);
    }
}
