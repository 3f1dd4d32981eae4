//! `Queue::handle` and `Queue::advance`: what is overdue is done first, as far as the event stream
//! lets it; what a command makes possible is done at once.

use super::*;

const NOW: u64 = 1_000_000;

fn item(id: &str) -> Submit<'_> {
    Submit {
        id: id.as_bytes(),
        ..Submit::default()
    }
}

fn id(i: usize) -> String {
    format!("i{i:02}")
}

/// Runs a request as the host does. Answers its reply, and what happened.
fn handle<R: Request>(
    q: &mut Queue,
    ms: u64,
    gate: Gate,
    request: R,
) -> (Result<R::Reply, Error>, Outcome) {
    let mut out = Outcome::default();
    let reply = q.handle(at(ms), gate, request, &mut out);
    verify(q);
    (reply, out)
}

/// The effects of a record.
fn effects(out: &Outcome) -> Vec<(Time, Effect<'_>)> {
    match out.record.is_empty() {
        true => Vec::new(),
        false => Record::decode(out.record.bytes()).expect("decodes"),
    }
}

/// A queue with so many items that are due after 10 ms.
fn with_delayed(n: usize) -> Queue {
    let mut q = Queue::default();
    for id in (0..n).map(id) {
        let submit = Submit {
            delay: Millis(10),
            ..item(&id)
        };
        q.submit(at(NOW), submit, &mut Outcome::default()).unwrap();
    }
    q
}

/// A queue with so many ready items, and as many moderators in line, which hands out nothing.
fn paused_with(n: usize) -> Queue {
    let mut q = Queue::default();
    let mut out = Outcome::default();
    q.pause(at(NOW), false, true, &mut out);
    for i in 0..n {
        let (item_id, moderator) = (id(i), format!("m{i:02}"));
        q.submit(at(NOW), item(&item_id), &mut out).unwrap();
        let join = Join {
            moderator: moderator.as_bytes(),
            ..Join::default()
        };
        q.join(at(NOW), &join, &mut out).unwrap();
    }
    q
}

#[test]
fn a_command_first_does_at_most_32_steps_of_what_is_overdue() {
    let mut q = with_delayed(40);
    let last = id(39);
    let resolve = Resolve {
        id: last.as_bytes(),
        token: Token(1),
        rev: None,
        decision: None,
        ..Resolve::default()
    };
    // A refused request keeps what was caught up, and records it.
    let mut replica = copy(&q);
    for (ready, steps) in [(32, 32), (40, 8), (40, 0)] {
        let (reply, out) = handle(&mut q, NOW + 10, Gate::Open, resolve);
        assert_eq!(reply, Err(Error::Stale));
        assert_eq!(q.len_in(State::Ready), ready);
        let done = effects(&out);
        assert_eq!(done.len(), steps);
        let due = |(_, e): &(Time, Effect<'_>)| matches!(e, Effect::Due { .. });
        assert!(done.iter().all(due));
        if steps > 0 {
            replay(&mut replica, out.record.bytes());
        }
        assert_eq!(canon(&q), canon(&replica));
    }
}

#[test]
fn what_was_caught_up_is_recorded_before_what_was_asked_and_seen_by_it() {
    let mut q = with_delayed(2);
    let claim = Claim {
        moderator: b"m",
        count: 9,
        lock: None,
        tags: None,
        new_only: false,
        with_group: false,
    };
    let (before, out) = handle(&mut q, NOW + 9, Gate::Open, &claim);
    assert!(before.unwrap().is_empty() && out.record.is_empty());
    let (claimed, out) = handle(&mut q, NOW + 10, Gate::Open, &claim);
    assert_eq!(claimed.unwrap().len(), 2);
    let done = effects(&out);
    let kinds = done.iter().map(|(_, e)| match e {
        Effect::Due { .. } => "due",
        Effect::Lock { .. } => "lock",
        _ => "other",
    });
    assert!(kinds.eq(["due", "due", "lock", "lock"]));
}

#[test]
fn an_overdue_lock_is_over_before_its_token_is_judged() {
    let mut q = Queue::default();
    let mut out = Outcome::default();
    q.submit(at(NOW), item("i"), &mut out).unwrap();
    let token = q.assign(at(NOW), b"i", b"m", Some(10), &mut out).unwrap();
    let release = Release {
        id: b"i",
        token: Token(token),
        skip: false,
        delay: Millis::ZERO,
    };
    let (reply, out) = handle(&mut q, NOW + 10, Gate::Open, release);
    assert_eq!(reply, Err(Error::Stale));
    assert_eq!(out.notices[..], [Notice::Expire]);
    assert_eq!(q.len_in(State::Ready), 1);
}

#[test]
fn what_happens_is_added_to_the_outcome() {
    let mut q = Queue::default();
    let mut out = Outcome::default();
    for i in 0..3 {
        let submitted = q.handle(at(NOW), Gate::Open, item(&id(i)), &mut out);
        assert_eq!(submitted, Ok(Submitted::Ready));
    }
    assert_eq!(effects(&out).len(), 3);
    assert_eq!(out.notices[..], [Notice::Submit; 3]);
}

#[test]
fn a_missing_stream_stops_the_clock_and_one_of_another_type_does_not() {
    let mut q = with_delayed(3);
    let before = canon(&q);
    let now = at(NOW + 10);
    let mut out = Outcome::default();
    assert_eq!(q.advance(now, Gate::Missing, 100, &mut out), 0);
    let (reply, more) = handle(&mut q, NOW + 10, Gate::Missing, item("new"));
    assert_eq!(reply, Err(Error::TryAgain));
    assert!(out.record.is_empty() && more.record.is_empty());
    assert_eq!(canon(&q), before);
    assert!(q.next_due().is_some_and(|due| due.is_reached(now.time)));
    assert_eq!(q.advance(now, Gate::WrongType, 1, &mut out), 1);
    let (reply, more) = handle(&mut q, NOW + 10, Gate::WrongType, item("new"));
    assert_eq!(reply, Err(Error::Events));
    assert_eq!(effects(&more).len(), 2);
    assert_eq!(q.len_in(State::Ready), 3);
    assert_eq!(q.advance(now, Gate::Open, 100, &mut out), 0);
}

// ---- UNPAUSE and CONFIGURE ----

/// How many items are out after a command that lets them go, and that the tick does the rest.
fn handed_out<R: Request>(q: &mut Queue, gate: Gate, request: R) -> usize {
    let all = q.len();
    let (reply, out) = handle(q, NOW, gate, request);
    assert!(reply.is_ok());
    let locked = q.len_in(State::Locked);
    assert_eq!(out.announcements.len(), locked);
    let mut out = Outcome::default();
    q.advance(at(NOW), Gate::Open, 100, &mut out);
    assert_eq!(out.announcements.len(), all - locked);
    assert_eq!(q.len_in(State::Locked), all);
    locked
}

#[test]
fn unpause_hands_out_at_once_what_is_possible_and_leaves_the_rest_to_the_tick() {
    let unpause = Unpause(Sides::All);
    assert_eq!(handed_out(&mut paused_with(5), Gate::Open, unpause), 5);
    assert_eq!(handed_out(&mut paused_with(40), Gate::Open, unpause), 32);
    let out = Unpause(Sides::Out);
    assert_eq!(handed_out(&mut paused_with(5), Gate::Open, out), 5);
}

#[test]
fn unpause_leaves_it_to_the_tick_while_events_cannot_be_written() {
    for gate in [Gate::Missing, Gate::WrongType] {
        let unpause = Unpause(Sides::All);
        assert_eq!(handed_out(&mut paused_with(5), gate, unpause), 0);
    }
}

#[test]
fn pause_and_unpause_change_the_sides_they_name() {
    let paused = |input, output| Paused { input, output };
    let mut q = Queue::default();
    let mut check = |request: Result<Pause, Unpause>, expected: Paused, recorded: usize| {
        let out = match request {
            Ok(pause) => handle(&mut q, NOW, Gate::Missing, pause).1,
            Err(unpause) => handle(&mut q, NOW, Gate::Missing, unpause).1,
        };
        assert_eq!(q.paused(), expected);
        assert_eq!(effects(&out).len(), recorded, "no change, no record");
    };
    check(Ok(Pause(Sides::In)), paused(true, false), 1);
    check(Ok(Pause(Sides::In)), paused(true, false), 0);
    check(Ok(Pause(Sides::Out)), paused(true, true), 1);
    check(Err(Unpause(Sides::In)), paused(false, true), 1);
    check(Ok(Pause(Sides::All)), paused(true, true), 1);
    check(Err(Unpause(Sides::Out)), paused(true, false), 1);
    check(Err(Unpause(Sides::Out)), paused(true, false), 0);
    check(Err(Unpause(Sides::All)), paused(false, false), 1);
    check(Ok(Pause(Sides::All)), paused(true, true), 1);
    let names = [(false, false), (true, false), (false, true), (true, true)];
    let names = names.map(|(input, output)| paused(input, output).name());
    assert_eq!(names, ["none", "in", "out", "all"]);
}

/// A queue where one moderator, who holds as many locks as CAPACITY lets them, waits in so many
/// calls for one new item each.
fn at_capacity(n: usize) -> Queue {
    let mut q = Queue::default();
    let mut out = Outcome::default();
    q.submit(at(NOW), item("held"), &mut out).unwrap();
    q.assign(at(NOW), b"held", b"m", None, &mut out).unwrap();
    let settings = Settings {
        capacity: 1,
        ..Settings::default()
    };
    q.configure(at(NOW), settings, &mut out).unwrap();
    for i in 0..n {
        q.block(&Block {
            call: CallId(i as u64),
            moderator: b"m",
            tags: None,
            new_only: true,
            lock: None,
            place: q.end_of_line(Time(NOW)),
        });
        q.submit(at(NOW), item(&id(i)), &mut out).unwrap();
    }
    assert_eq!(q.next_due(), Some(Due::At(Time(NOW + 300_000))));
    assert_eq!(q.len_in(State::Ready), n);
    q
}

/// How many items are out after a CONFIGURE, of those that wait.
fn configured(n: usize, gate: Gate, events: Option<&[u8]>) -> usize {
    let mut q = at_capacity(n);
    let configure = Configure {
        capacity: Some(0),
        events,
        ..Configure::default()
    };
    let (reply, out) = handle(&mut q, NOW, gate, configure);
    assert_eq!(reply, Ok(()));
    let answered = out.answers.len();
    let mut out = Outcome::default();
    q.advance(at(NOW), Gate::Open, 100, &mut out);
    assert_eq!(answered + out.answers.len(), n, "the tick does the rest");
    answered
}

#[test]
fn configure_hands_out_at_once_what_is_possible_unless_events_have_to_wait() {
    assert_eq!(configured(5, Gate::Open, None), 5);
    assert_eq!(configured(40, Gate::Open, None), 32);
    assert_eq!(configured(5, Gate::Open, Some(b"")), 5, "no stream");
    assert_eq!(configured(5, Gate::Open, Some(b"new")), 0, "a new stream");
    assert_eq!(configured(5, Gate::Missing, None), 0);
    assert_eq!(configured(5, Gate::WrongType, None), 0);
}

#[test]
fn configure_changes_what_is_given_and_keeps_the_rest() {
    let mut q = Queue::default();
    let all = Configure {
        lock: Some(Millis(1)),
        max_expiries: Some(2),
        max_len: Some(3),
        capacity: Some(4),
        late: Some(Late::Accept),
        aging: Some(5),
        events: Some(b"log"),
        events_max_len: Some(6),
        quorum: Some(Quorum { k: 2, n: 3 }),
        split_tag: Some(b"senior"),
        retain: Some(Millis(7)),
        retain_max: Some(8),
    };
    let expected = Settings {
        lock: Millis(1),
        max_expiries: 2,
        max_len: 3,
        capacity: 4,
        late: Late::Accept,
        aging: 5,
        events: b"log".to_vec(),
        events_max_len: 6,
        quorum: Quorum { k: 2, n: 3 },
        split_tag: Box::from(*b"senior"),
        retain: Millis(7),
        retain_max: 8,
    };
    let (reply, out) = handle(&mut q, NOW, Gate::Open, all);
    assert_eq!((reply, q.settings()), (Ok(()), &expected));
    let settings = expected.clone();
    assert_eq!(effects(&out)[0].1, Effect::Configure { settings });
    handle(&mut q, NOW, Gate::Open, Configure::default())
        .0
        .unwrap();
    assert_eq!(q.settings(), &expected);
    let off = Configure {
        events: Some(b""),
        late: Some(Late::Reject),
        ..Configure::default()
    };
    handle(&mut q, NOW, Gate::Open, off).0.unwrap();
    let expected = Settings {
        events: Vec::new(),
        late: Late::Reject,
        ..expected
    };
    assert_eq!(q.settings(), &expected);
}

#[test]
fn a_refused_configure_keeps_what_was_caught_up_and_nothing_else() {
    let mut q = with_delayed(3);
    let aging = Configure {
        aging: Some(5),
        lock: Some(Millis(1)),
        ..Configure::default()
    };
    let (reply, out) = handle(&mut q, NOW + 10, Gate::Open, aging);
    assert_eq!(reply, Err(Error::AgingInUse));
    assert_eq!(effects(&out).len(), 3);
    assert_eq!(q.settings(), &Settings::default());
    assert_eq!(q.len_in(State::Ready), 3);
}

// ---- events ----

#[test]
fn the_text_of_a_decision_is_in_its_own_event_only() {
    let mut q = Queue::default();
    let mut out = Outcome::default();
    let settings = Settings {
        events: b"log".to_vec(),
        ..Settings::default()
    };
    q.configure(at(NOW), settings, &mut out).unwrap();
    for (id, lock) in [("other", 10), ("i", 20)] {
        q.submit(at(NOW), item(id), &mut out).unwrap();
        q.assign(at(NOW), id.as_bytes(), b"m", Some(lock), &mut out)
            .unwrap();
    }
    let join = Join {
        moderator: b"n",
        ..Join::default()
    };
    q.join(at(NOW), &join, &mut out).unwrap();
    let resolve = Resolve {
        id: b"i",
        token: q.last_token(),
        rev: None,
        decision: Some(b"fine"),
        ..Resolve::default()
    };
    // The other's lock is overdue: it expires and goes to who waits, before the decision.
    let (reply, out) = handle(&mut q, NOW + 10, Gate::Open, resolve);
    assert_eq!(reply, Ok(Resolved::Ended));
    let [Batch { events, .. }] = &out.events[..] else {
        panic!("{:?}", out.events);
    };
    let told = events.iter().map(|e| {
        let decision = e.fields.iter().find(|(name, _)| *name == "decision");
        (e.name, decision.map(|(_, text)| &text[..]))
    });
    let expected = [
        ("expire", None),
        ("claim", None),
        ("resolve", Some(&b"fine"[..])),
    ];
    assert!(told.eq(expected), "{events:?}");
}

/// A queue where every request of `gated` has something to do.
fn some_of_everything() -> Queue {
    let mut q = Queue::default();
    let mut out = Outcome::default();
    let settings = Settings {
        max_expiries: 1,
        ..Settings::default()
    };
    q.configure(at(NOW), settings, &mut out).unwrap();
    for id in ["dead", "locked", "ready"] {
        q.submit(at(NOW), item(id), &mut out).unwrap();
    }
    q.assign(at(NOW), b"dead", b"m", Some(1), &mut out).unwrap();
    q.tick(at(NOW + 1), 100, &mut out);
    q.assign(at(NOW + 1), b"locked", b"m", None, &mut out)
        .unwrap();
    assert_eq!(q.len_in(State::Dead), 1);
    q
}

/// A request is refused for want of its event stream, and changes nothing.
fn is_gated<R: Request>(request: impl Fn(Token) -> R) {
    for (gate, error) in [
        (Gate::WrongType, Error::Events),
        (Gate::Missing, Error::TryAgain),
    ] {
        let mut q = some_of_everything();
        let before = canon(&q);
        let token = q.last_token();
        let (reply, out) = handle(&mut q, NOW + 1, gate, request(token));
        assert_eq!(reply.err(), Some(error));
        assert!(out.record.is_empty() && out.notices.is_empty());
        assert_eq!(canon(&q), before);
    }
    // Control.
    let mut q = some_of_everything();
    let token = q.last_token();
    let (reply, out) = handle(&mut q, NOW + 1, Gate::Open, request(token));
    assert!(reply.is_ok() && !out.record.is_empty());
}

#[test]
fn no_item_changes_while_its_event_cannot_be_written() {
    let again = |on_duplicate| Submit {
        on_duplicate,
        ..item("ready")
    };
    let bump = again(OnDuplicate::Bump);
    let replace = again(OnDuplicate::Replace);
    let (id, rev) = (&b"locked"[..], None);
    let update = Update {
        id: b"ready",
        priority: Some(9),
        ..Update::default()
    };
    let claim = Claim {
        moderator: b"n",
        count: 1,
        lock: None,
        tags: None,
        new_only: true,
        with_group: false,
    };
    let join = Join {
        moderator: b"n",
        ..Join::default()
    };
    is_gated(|_| item("new"));
    is_gated(|_| bump.clone());
    is_gated(|_| replace.clone());
    is_gated(|_| Cancel {
        id: b"ready",
        rev,
        ..Cancel::default()
    });
    is_gated(|_| update.clone());
    is_gated(|_| &claim);
    is_gated(|token| Resolve {
        id,
        token,
        rev,
        decision: None,
        ..Resolve::default()
    });
    is_gated(|token| Release {
        id,
        token,
        skip: true,
        delay: Millis(5),
    });
    is_gated(|token| Extend {
        id,
        token,
        span: Millis(5),
    });
    is_gated(|_| &join);
    is_gated(|_| Leave {
        moderator: b"m",
        release: true,
    });
    is_gated(|_| Assign {
        id: b"ready",
        moderator: b"n",
        lock: None,
        ..Assign::default()
    });
    is_gated(|_| Revive {
        ids: &[b"dead"],
        ..Revive::default()
    });
    is_gated(|_| ReviveAll {
        count: 5,
        ..ReviveAll::default()
    });
}

#[test]
fn what_changes_no_item_needs_no_stream() {
    for gate in [Gate::WrongType, Gate::Missing] {
        let mut q = some_of_everything();
        let held = Claim {
            moderator: b"m",
            count: 1,
            lock: None,
            tags: None,
            new_only: false,
            with_group: false,
        };
        let held = handle(&mut q, NOW + 1, gate, &held).0;
        assert_eq!(held.map(|held| held.len()), Ok(1));
        let kept = handle(&mut q, NOW + 1, gate, item("ready")).0;
        assert_eq!(kept, Ok(Submitted::Exists));
        let tags = tags(&["none of those"]);
        let moderator = b"m";
        let join = Join {
            moderator,
            count: Some(1),
            tags,
            ..Join::default()
        };
        assert_eq!(
            handle(&mut q, NOW + 1, gate, &join).0,
            Ok(Joined::Assigned),
            "they hold enough"
        );
        let leave = Leave {
            moderator,
            release: false,
        };
        assert_eq!(handle(&mut q, NOW + 1, gate, leave).0, Ok(false));
        assert_eq!(handle(&mut q, NOW + 1, gate, Pause(Sides::All)).0, Ok(()));
        let configure = handle(&mut q, NOW + 1, gate, Configure::default());
        assert_eq!(configure.0, Ok(()));
    }
}

#[test]
fn a_match_is_undone_unless_the_stream_is_missing() {
    for (gate, expected) in [
        (Gate::Missing, Err(Error::TryAgain)),
        (Gate::WrongType, Ok(true)),
        (Gate::Open, Ok(true)),
    ] {
        let mut q = Queue::default();
        let mut out = Outcome::default();
        q.block(&Block {
            call: CallId(7),
            moderator: b"m",
            tags: None,
            new_only: false,
            lock: None,
            place: q.end_of_line(Time(NOW)),
        });
        q.submit(at(NOW), item("i"), &mut out).unwrap();
        let answer = &out.answers[0];
        assert_eq!(answer.undo, Some(BeforeMatch { joined_at: None }));
        let before = canon(&q);
        let undo = |token| Undo {
            id: b"i",
            token,
            place: None,
        };
        let (reply, undone) = handle(&mut q, NOW, gate, undo(answer.token));
        assert_eq!(reply, expected);
        assert_eq!(undone.record.is_empty(), expected.is_err());
        assert_eq!(canon(&q) == before, expected.is_err());
        if expected.is_ok() {
            let again = handle(&mut q, NOW, gate, undo(answer.token));
            assert_eq!(again.0, Ok(false), "not there any more");
        }
    }
}
