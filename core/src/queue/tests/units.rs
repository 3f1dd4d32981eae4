//! What the specification promises, one test for each promise.

use super::*;

/// A queue, a replica that follows it, and a clock.
struct Desk {
    queue: Queue,
    replica: Queue,
    ms: u64,
    matches: Vec<(String, String)>,
    notices: Vec<Notice>,
    /// Of the last command.
    recorded: bool,
}

fn item(id: &str) -> Submit<'_> {
    Submit {
        id: id.as_bytes(),
        payload: b"text",
        ..Submit::default()
    }
}

fn claim(moderator: &str) -> Claim<'_> {
    Claim {
        moderator: moderator.as_bytes(),
        count: 1,
        lock: None,
        tags: None,
        new_only: false,
    }
}

fn join(moderator: &str) -> Join<'_> {
    Join {
        moderator: moderator.as_bytes(),
        ..Join::default()
    }
}

fn to_priority<'a>(priority: i32) -> Change<'a> {
    Change {
        priority: Some(priority),
        ..Change::default()
    }
}

fn tags<'a>(all: &[&'a str]) -> Option<Vec<&'a Bytes>> {
    Some(all.iter().map(|t| Bytes::new(t.as_bytes())).collect())
}

impl Desk {
    fn new() -> Desk {
        Desk {
            queue: Queue::default(),
            replica: Queue::default(),
            ms: 1_000_000,
            matches: Vec::new(),
            notices: Vec::new(),
            recorded: false,
        }
    }

    /// One command, as the shell runs it: deferred work first; then all of it to the replica.
    fn run<T>(&mut self, command: impl FnOnce(&mut Queue, Now, &mut Effects) -> T) -> T {
        let now = at(self.ms);
        let mut before = Effects::default();
        self.queue.advance(now, 100, &mut before);
        let mut fx = Effects::default();
        let reply = command(&mut self.queue, now, &mut fx);
        self.recorded = !fx.record.is_empty();
        self.matches.clear();
        self.notices.clear();
        for fx in [before, fx] {
            if !fx.record.is_empty() {
                replay(&mut self.replica, fx.record.bytes());
            }
            let given = fx.matches.iter();
            self.matches
                .extend(given.map(|m| (text(&m.item), text(&m.moderator))));
            self.notices.extend(fx.notices);
        }
        verify(&self.queue);
        verify_ages(&self.queue);
        assert_eq!(canon(&self.queue), canon(&self.replica));
        reply
    }

    fn wait(&mut self, ms: u64) {
        self.ms += ms;
        self.run(|_, _, _| ());
    }

    fn submit_with(&mut self, submit: Submit<'_>) -> Result<Submitted, Error> {
        self.run(|q, now, fx| q.submit(now, submit, fx))
    }

    fn submit(&mut self, id: &str) -> Result<Submitted, Error> {
        self.submit_with(item(id))
    }

    fn cancel(&mut self, id: &str, rev: Option<u64>) -> bool {
        self.run(|q, now, fx| q.cancel(now, id.as_bytes(), rev, fx).unwrap())
    }

    fn update(&mut self, id: &str, change: Change<'_>) -> Result<Option<u64>, Error> {
        self.run(|q, now, fx| q.update(now, id.as_bytes(), change, fx))
    }

    /// The items and their tokens.
    fn claim_with(&mut self, claim: &Claim<'_>) -> Vec<(String, u64)> {
        self.run(|q, now, fx| {
            let slots = q.claim(now, claim, fx).unwrap();
            let views = slots.iter().map(|s| q.claim_view(*s).expect("locked"));
            views.map(|v| (text(v.item), v.token)).collect()
        })
    }

    fn claim_ids(&mut self, claim: &Claim<'_>) -> Vec<String> {
        self.claim_with(claim)
            .into_iter()
            .map(|(id, _)| id)
            .collect()
    }

    /// Claims one item, which must be there, and answers its token.
    fn take(&mut self, moderator: &str, id: &str) -> u64 {
        let got = self.claim_with(&Claim {
            new_only: true,
            ..claim(moderator)
        });
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].0, id);
        got[0].1
    }

    fn resolve(&mut self, id: &str, token: u64) -> Result<(), Error> {
        self.run(|q, now, fx| q.resolve(now, id.as_bytes(), token, None, fx))
    }

    fn release(&mut self, id: &str, token: u64, skip: bool, delay: u64) -> Result<(), Error> {
        self.run(|q, now, fx| q.release(now, id.as_bytes(), token, skip, delay, fx))
    }

    fn extend(&mut self, id: &str, token: u64, ms: u64) -> Result<u64, Error> {
        self.run(|q, now, fx| q.extend(now, id.as_bytes(), token, ms, fx))
    }

    fn join(&mut self, join: &Join<'_>) -> Joined {
        self.run(|q, now, fx| q.join(now, join, fx).unwrap())
    }

    fn leave(&mut self, moderator: &str, release: bool) -> bool {
        self.run(|q, now, fx| q.leave(now, moderator.as_bytes(), release, fx).unwrap())
    }

    fn assign(&mut self, id: &str, moderator: &str) -> Result<u64, Error> {
        self.run(|q, now, fx| q.assign(now, id.as_bytes(), moderator.as_bytes(), None, fx))
    }

    fn pause(&mut self, input: bool, output: bool) {
        self.run(|q, now, fx| q.pause(now, input, output, fx));
    }

    fn revive(&mut self, id: &str) -> bool {
        self.run(|q, now, fx| q.revive(now, id.as_bytes(), fx).unwrap())
    }

    fn configure(&mut self, change: impl FnOnce(&mut Settings)) -> Result<(), Error> {
        let mut settings = self.queue.settings().clone();
        change(&mut settings);
        self.run(|q, now, fx| q.configure(now, settings, fx))
    }

    fn get(&self, id: &str) -> ItemView<'_> {
        let view = self.queue.get(id.as_bytes(), at(self.ms));
        view.unwrap_or_else(|| panic!("{id} is gone"))
    }

    fn gone(&self, id: &str) -> bool {
        self.queue.get(id.as_bytes(), at(self.ms)).is_none()
    }

    fn state(&self, id: &str) -> State {
        self.get(id).state
    }

    fn holder(&self, id: &str) -> Option<String> {
        self.get(id).lock.map(|(m, _, _)| text(m))
    }

    fn excluded(&self, id: &str) -> Vec<String> {
        self.get(id).excluded.into_iter().map(text).collect()
    }

    fn peek(&self) -> Vec<String> {
        self.queue.peek(100, None).into_iter().map(text).collect()
    }

    fn line(&self) -> Vec<String> {
        let slots = self.queue.line.iter().map(|(_, m)| m);
        slots
            .map(|m| text(&self.queue.moderators[*m].name))
            .collect()
    }

    /// A dead item: one expiry kills, and it has had that one.
    fn kill(&mut self, id: &str) {
        let max = self.queue.settings().max_expiries;
        self.configure(|s| s.max_expiries = 1).expect("configured");
        self.assign(id, "killer").expect("assigned");
        self.wait(self.queue.settings().lock);
        assert_eq!(self.state(id), State::Dead);
        self.configure(|s| s.max_expiries = max)
            .expect("configured");
    }
}

#[test]
fn matches_after_unpause_come_before_what_falls_due_later() {
    let mut desk = Desk::new();
    desk.pause(false, true);
    desk.submit("first").unwrap();
    desk.submit_with(Submit {
        delay: 5,
        priority: Some(-1),
        ..item("later")
    })
    .unwrap();
    desk.join(&Join {
        ttl: Some(5),
        ..join("m")
    });
    desk.pause(false, false);
    // The tick after UNPAUSE is late: the registration has run out and an item has come due.
    desk.wait(5);
    assert_eq!(desk.matches, [("first".into(), "m".into())]);
    assert_eq!(desk.state("later"), State::Ready);
}

#[test]
fn a_skip_outlives_exclusions_that_name_the_same_moderator() {
    let exclude = |names: &[&'static str]| Change {
        excluded: tags(names),
        ..Change::default()
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
fn an_item_that_excludes_its_own_holder_can_be_resolved_cancelled_and_moved() {
    for way in 0..3 {
        let mut desk = Desk::new();
        desk.submit("i").unwrap();
        let token = desk.take("a", "i");
        let excluded = tags(&["a"]);
        let change = Change {
            excluded,
            ..Change::default()
        };
        desk.update("i", change).unwrap();
        assert_eq!(desk.holder("i").as_deref(), Some("a"), "the lock stays");
        match way {
            0 => desk.resolve("i", token).unwrap(),
            1 => assert!(desk.cancel("i", None)),
            _ => {
                let mut other = Queue::default();
                desk.run(|q, now, fx| {
                    let out = q.check_move_out(now, b"i", Some(token)).unwrap();
                    q.move_item(now, out, None, &mut other, fx, &mut Effects::default());
                });
                verify(&other);
                assert_eq!(other.get(b"i", at(0)).unwrap().excluded, [b"a"]);
            }
        }
        assert!(desk.gone("i"));
        assert_eq!(desk.queue.moderators.len(), 0);
    }
}

#[test]
fn a_moderator_back_below_capacity_gets_the_first_item_not_the_one_they_lost() {
    let mut desk = Desk::new();
    desk.configure(|s| s.capacity = 1).unwrap();
    desk.submit("lesser").unwrap();
    let token = desk.take("m", "lesser");
    let two = Join {
        count: Some(2),
        ..join("m")
    };
    assert_eq!(desk.join(&two), Joined::Waiting);
    let first = Submit {
        priority: Some(1),
        ..item("first")
    };
    assert_eq!(desk.submit_with(first), Ok(Submitted::Ready), "m is full");
    desk.release("lesser", token, false, 0).unwrap();
    assert_eq!(desk.matches, [("first".into(), "m".into())]);
    assert_eq!(desk.state("lesser"), State::Ready);
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
        assert_eq!(heir.next_due(), Some(0));
        let mut fx = Effects::default();
        heir.advance(at(desk.ms), 100, &mut fx);
        assert_eq!(fx.matches.len(), 1);
        verify(&heir);
    }
}

#[test]
fn memory_as_counted_is_96_bytes_beyond_an_item_and_goes_back() {
    let n = 100_000;
    let mut queue = Queue::default();
    let mut fx = Effects::default();
    let empty = queue.memory_bytes();
    for i in 0..n {
        let id = format!("item:{i:011}");
        let submit = Submit {
            id: id.as_bytes(),
            payload: &[b'x'; 200],
            ..Submit::default()
        };
        queue.submit(at(i), submit, &mut fx).unwrap();
        fx.clear();
    }
    let full = queue.memory_bytes();
    assert!(full <= (216 + 96) * n as usize, "{full}");
    assert!(full >= (216 + 56) * n as usize, "{full}: it is not less");
    for i in 0..n {
        let id = format!("item:{i:011}");
        assert!(queue.cancel(at(n), id.as_bytes(), None, &mut fx).unwrap());
        fx.clear();
    }
    let drained = queue.memory_bytes();
    assert!(drained <= empty + 64_000, "{drained} of {full}");
}

// ---- SUBMIT ----

#[test]
fn submit_answers_ready_delayed_assigned_and_exists() {
    let mut desk = Desk::new();
    assert_eq!(desk.submit("i"), Ok(Submitted::Ready));
    assert_eq!(desk.notices, [Notice::Submit]);
    assert_eq!(desk.submit("i"), Ok(Submitted::Exists), "KEEP is default");
    assert!(!desk.recorded);
    let delayed = Submit {
        delay: 10,
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
        delay: 25,
        tags: tags(&["b", "a", "b"]),
        excluded: tags(&["y", "x", "y"]),
        on_duplicate: OnDuplicate::Error,
    };
    desk.submit_with(submit).unwrap();
    let expected = ItemView {
        item: b"\0id\xff",
        state: State::Delayed,
        payload: b"",
        priority: -7,
        boost: -(1 << 40),
        submitted: 1_000_000,
        due: 1_000_025,
        rev: 1,
        reports: 1,
        deliveries: 0,
        expiries: 0,
        lock: None,
        tags: vec![b"b", b"a"],
        excluded: vec![b"y", b"x"],
    };
    assert_eq!(desk.queue.get(b"\0id\xff", at(desk.ms)), Some(expected));
}

#[test]
fn a_second_submit_does_as_it_is_told_in_every_state() {
    let states = [State::Ready, State::Delayed, State::Locked, State::Dead];
    for state in states {
        let start = || {
            let mut desk = Desk::new();
            let delay = u64::from(state == State::Delayed) * 1_000_000;
            let first = Submit {
                delay,
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
        };
        let again = |on_duplicate| Submit {
            payload: b"new",
            priority: Some(1),
            boost: Some(20),
            delay: 5,
            tags: tags(&["u"]),
            excluded: tags(&["z"]),
            on_duplicate,
            ..item("i")
        };
        let mut desk = start();
        let before = canon(&desk.queue);
        let kept = desk.submit_with(again(OnDuplicate::Keep));
        assert_eq!(kept, Ok(Submitted::Exists));
        assert!(!desk.recorded);
        let refused = desk.submit_with(again(OnDuplicate::Error));
        assert_eq!(refused, Err(Error::Exists));
        assert!(!desk.recorded);
        assert_eq!(canon(&desk.queue), before);

        let after = match state {
            State::Dead => State::Ready,
            state => state,
        };
        let bumped = desk.submit_with(again(OnDuplicate::Bump));
        assert_eq!(bumped, Ok(Submitted::Bumped));
        let view = desk.get("i");
        assert_eq!((view.state, view.rev, view.reports), (after, 2, 2));
        assert_eq!((view.priority, view.boost), (2, 20), "the larger of each");
        assert_eq!((view.payload, view.expiries), (&b"text"[..], 0));
        assert_eq!(
            (view.tags, view.excluded),
            (vec![&b"t"[..]], vec![&b"x"[..]])
        );

        let mut desk = start();
        let replaced = desk.submit_with(again(OnDuplicate::Replace));
        assert_eq!(replaced, Ok(Submitted::Replaced));
        let view = desk.get("i");
        assert_eq!((view.state, view.rev, view.reports), (after, 2, 1));
        assert_eq!((view.priority, view.boost), (1, 20), "what was given");
        assert_eq!((view.payload, view.expiries), (&b"new"[..], 0));
        assert_eq!(
            (view.tags, view.excluded),
            (vec![&b"u"[..]], vec![&b"z"[..]])
        );

        let mut desk = start();
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
        delay: 50,
        ..item("late")
    };
    desk.submit_with(delayed).unwrap();
    desk.ms += 10;
    desk.submit("i").unwrap();
    desk.wait(39);
    assert_eq!(desk.peek(), ["i"]);
    assert_eq!(desk.queue.next_due(), Some(1_000_050));
    desk.wait(1);
    assert_eq!(desk.peek(), ["late", "i"]);
    assert_eq!(desk.get("late").due, 1_000_050);
}

// ---- CANCEL, UPDATE ----

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
    assert_eq!(desk.update("i", Change::default()), Err(Error::NoItem));
    desk.submit_with(Submit {
        tags: tags(&["t"]),
        excluded: tags(&["x"]),
        ..item("i")
    })
    .unwrap();
    let stale = Change {
        rev: Some(2),
        priority: Some(9),
        ..Change::default()
    };
    assert_eq!(desk.update("i", stale), Ok(None));
    assert!(!desk.recorded);
    let all = Change {
        rev: Some(1),
        priority: Some(5),
        boost: Some(6),
        payload: Some(b"new"),
        tags: tags(&[]),
        excluded: tags(&[]),
    };
    assert_eq!(desk.update("i", all), Ok(Some(2)));
    let view = desk.get("i");
    assert_eq!((view.priority, view.boost), (5, 6));
    assert_eq!(view.payload, b"new");
    assert!(view.tags.is_empty() && view.excluded.is_empty());
    desk.kill("i");
    assert_eq!(desk.update("i", Change::default()), Ok(Some(2)));
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
    let open = Change {
        tags: tags(&[]),
        ..Change::default()
    };
    assert_eq!(desk.update("i", open), Ok(Some(2)));
    assert_eq!(desk.matches, [("i".into(), "m".into())]);
}

// ---- CLAIM ----

#[test]
fn claim_answers_what_is_held_first_and_again_when_retried() {
    let mut desk = Desk::new();
    for id in ["a", "b", "c", "d"] {
        desk.submit(id).unwrap();
    }
    let three = Claim {
        count: 3,
        ..claim("m")
    };
    desk.assign("d", "m").unwrap();
    let first = desk.claim_with(&three);
    assert_eq!(first[0].0, "d", "held before, lowest token");
    assert_eq!((&*first[1].0, &*first[2].0), ("a", "b"));
    assert!(first[0].1 < first[1].1 && first[1].1 < first[2].1);
    assert_eq!(desk.claim_with(&three), first, "a retry gets the same");
    assert!(!desk.recorded);
    assert_eq!(desk.claim_ids(&claim("m")), ["d"]);
    let new = Claim {
        new_only: true,
        ..three
    };
    assert_eq!(desk.claim_ids(&new), ["c"], "NEW counts only new ones");
    assert!(desk.claim_ids(&new).is_empty());
    assert!(!desk.recorded, "empty-handed");
}

#[test]
fn a_claim_shows_the_item_its_token_and_its_deadline() {
    let mut desk = Desk::new();
    desk.submit_with(Submit {
        priority: Some(3),
        ..item("i")
    })
    .unwrap();
    desk.ms += 7;
    let mut fx = Effects::default();
    let long = Claim {
        lock: Some(42),
        ..claim("m")
    };
    let slots = desk.queue.claim(at(desk.ms), &long, &mut fx).unwrap();
    let expected = ClaimView {
        item: b"i",
        payload: b"text",
        token: at(desk.ms).us,
        deadline: desk.ms + 42,
        priority: 3,
        submitted: 1_000_000,
        deliveries: 1,
        rev: 1,
    };
    assert_eq!(desk.queue.claim_view(slots[0]), Some(expected));
    let held: Vec<_> = desk.queue.held_by(b"m", at(desk.ms)).collect();
    assert_eq!(held, [expected]);
    assert_eq!(desk.queue.held_by(b"m", at(desk.ms + 42)).count(), 0);
    assert_eq!(desk.queue.held_by(b"other", at(desk.ms)).count(), 0);
}

#[test]
fn a_claim_locks_for_the_queues_default_if_it_does_not_say() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    desk.take("m", "i");
    assert_eq!(desk.get("i").lock.unwrap().2, 1_000_000 + 300_000);
}

#[test]
fn tags_given_or_joined_with_decide_what_is_new() {
    let mut desk = Desk::new();
    for (id, needs) in [("plain", &[][..]), ("t", &["t"]), ("tu", &["u", "t"])] {
        desk.submit_with(Submit {
            tags: tags(needs),
            ..item(id)
        })
        .unwrap();
    }
    let new = |moderator, given: Option<&[&'static str]>| Claim {
        tags: given.and_then(tags),
        new_only: true,
        count: 9,
        ..claim(moderator)
    };
    assert_eq!(desk.claim_ids(&new("a", None)), ["plain"]);
    assert!(desk.claim_ids(&new("a", Some(&["u"]))).is_empty());
    desk.pause(false, true);
    desk.join(&Join {
        tags: tags(&["t", "x"]),
        ..join("b")
    });
    desk.run(|q, now, fx| {
        q.pause(now, false, false, fx);
        assert!(
            q.claim(now, &new("b", Some(&["nothing"])), fx)
                .unwrap()
                .is_empty()
        );
        assert_eq!(q.claim(now, &new("b", None), fx).unwrap().len(), 1);
    });
    assert_eq!(desk.holder("t").as_deref(), Some("b"));
    assert_eq!(desk.claim_ids(&new("c", Some(&["t", "u", "v"]))), ["tu"]);
}

#[test]
fn exclusion_capacity_and_pause_keep_items_from_a_claim_but_held_ones_are_answered() {
    let mut desk = Desk::new();
    desk.submit_with(Submit {
        excluded: tags(&["m"]),
        ..item("not for m")
    })
    .unwrap();
    for id in ["a", "b", "c"] {
        desk.submit(id).unwrap();
    }
    desk.configure(|s| s.capacity = 2).unwrap();
    let many = Claim {
        count: 9,
        ..claim("m")
    };
    assert_eq!(desk.claim_ids(&many), ["a", "b"]);
    assert_eq!(desk.claim_ids(&claim("n")), ["not for m"]);
    desk.configure(|s| s.capacity = 1).unwrap();
    assert_eq!(desk.claim_ids(&many), ["a", "b"], "over capacity");
    desk.configure(|s| s.capacity = 0).unwrap();
    desk.pause(false, true);
    assert_eq!(desk.claim_ids(&many), ["a", "b"], "paused");
    let tagged = Claim {
        tags: tags(&["other"]),
        ..many.clone()
    };
    assert_eq!(desk.claim_ids(&tagged), ["a", "b"], "whatever TAGS say");
    desk.pause(false, false);
    assert_eq!(desk.claim_ids(&many), ["a", "b", "c"]);
}

#[test]
fn a_claim_stops_at_16_mib_but_not_before_one_item() {
    let mut queue = Queue::default();
    let mut fx = Effects::default();
    let sizes = [MAX_CLAIM_BYTES + 1, 9 << 20, 7 << 20, 1];
    for (i, size) in sizes.into_iter().enumerate() {
        let submit = Submit {
            id: &[b'0' + i as u8],
            payload: &vec![0; size],
            ..Submit::default()
        };
        queue.submit(at(1), submit, &mut fx).unwrap();
    }
    let new = Claim {
        count: 4,
        new_only: true,
        ..claim("m")
    };
    assert_eq!(
        queue.claim(at(2), &new, &mut fx).unwrap().len(),
        1,
        "too large"
    );
    assert_eq!(
        queue.claim(at(2), &new, &mut fx).unwrap().len(),
        2,
        "exactly 16 MiB"
    );
    assert_eq!(queue.claim(at(2), &new, &mut fx).unwrap().len(), 1);
    let held = Claim {
        new_only: false,
        ..new
    };
    assert_eq!(
        queue.claim(at(2), &held, &mut fx).unwrap().len(),
        1,
        "held ones too"
    );

    // One byte more than 16 MiB together.
    for (id, size) in [(b"x", 9 << 20), (b"y", (7 << 20) + 1)] {
        let submit = Submit {
            id,
            payload: &vec![0; size],
            ..Submit::default()
        };
        queue.submit(at(3), submit, &mut fx).unwrap();
    }
    let new = Claim {
        new_only: true,
        ..held
    };
    assert_eq!(queue.claim(at(4), &new, &mut fx).unwrap().len(), 1);
    assert_eq!(queue.claim(at(4), &new, &mut fx).unwrap().len(), 1);
}

#[test]
fn being_answered_takes_a_moderator_out_of_line_and_null_does_not() {
    let mut desk = Desk::new();
    desk.join(&join("m"));
    assert!(desk.claim_ids(&claim("m")).is_empty());
    assert_eq!(desk.line(), ["m"]);
    desk.submit("i").unwrap();
    assert!(desk.line().is_empty());
    let two = Join {
        count: Some(2),
        ..join("m")
    };
    assert_eq!(desk.join(&two), Joined::Waiting);
    assert_eq!(desk.claim_ids(&claim("m")), ["i"]);
    assert!(desk.line().is_empty(), "answered with what they hold");
}

#[test]
fn first_for_is_what_a_scan_finds_among_thousands_of_skips() {
    let mut queue = Queue::default();
    let mut fx = Effects::default();
    let n = 6000usize;
    // a skips the first 5,000; b every second; c all; d none.
    for i in 0..n {
        let mut excluded = vec!["c"];
        if i < 5000 {
            excluded.push("a");
        }
        if i % 2 == 0 {
            excluded.push("b");
        }
        let id = format!("{i}");
        let submit = Submit {
            id: id.as_bytes(),
            priority: Some((i * 7919 % 13) as i32),
            excluded: tags(&excluded),
            ..Submit::default()
        };
        queue.submit(at(i as u64), submit, &mut fx).unwrap();
    }
    verify(&queue);
    let mut left = n;
    for round in 0..500 {
        for m in ["a", "b", "c", "d"] {
            let known = queue.moderators.find(m.as_bytes());
            let ready = &queue.tags.classes[tags::EMPTY].ready;
            let scanned = ready.iter().find(|slot| {
                let excluded = queue.excluded(*slot);
                excluded.iter().all(|(e, _)| Some(*e) != known)
            });
            let found = queue.first_for(tags::EMPTY, known);
            assert_eq!(found, scanned, "{m} in round {round}");
            assert_eq!(found.is_some(), m != "c");
            if let Some(slot) = found {
                let id = queue.items[slot].id().to_vec();
                assert!(queue.cancel(at(n as u64), &id, None, &mut fx).unwrap());
                left -= 1;
            }
        }
    }
    assert_eq!(queue.len(), left);
    assert_eq!(left, n - 1500);
}

// ---- RESOLVE, RELEASE, EXTEND, expiry ----

#[test]
fn only_the_live_token_decides() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    assert_eq!(desk.resolve("none", 1), Err(Error::NoItem));
    assert_eq!(desk.release("none", 1, false, 0), Err(Error::NoItem));
    assert_eq!(desk.extend("none", 1, 5), Err(Error::NoItem));
    let old = desk.take("m", "i");
    desk.release("i", old, false, 0).unwrap();
    let token = desk.take("m", "i");
    assert!(token > old);
    for wrong in [old, token + 1, 0] {
        assert_eq!(desk.resolve("i", wrong), Err(Error::Stale));
        assert_eq!(desk.release("i", wrong, false, 0), Err(Error::Stale));
        assert_eq!(desk.extend("i", wrong, 5), Err(Error::Stale));
        assert!(!desk.recorded);
    }
    assert_eq!(desk.resolve("i", token), Ok(()));
    assert_eq!(desk.notices, [Notice::Resolve]);
    assert!(desk.gone("i"));
    assert_eq!(desk.resolve("i", token), Err(Error::NoItem));
}

#[test]
fn resolve_with_rev_keeps_the_lock_when_the_content_changed() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    let token = desk.take("m", "i");
    desk.update("i", to_priority(1)).unwrap();
    let with = |desk: &mut Desk, token, rev| {
        desk.run(|q, now, fx| q.resolve(now, b"i", token, Some(rev), fx))
    };
    assert_eq!(with(&mut desk, token, 1), Err(Error::Changed));
    assert!(!desk.recorded);
    assert_eq!(desk.holder("i").as_deref(), Some("m"));
    assert_eq!(with(&mut desk, token + 1, 1), Err(Error::Stale));
    assert_eq!(with(&mut desk, token, 2), Ok(()));
}

#[test]
fn a_lock_is_over_at_its_deadline_and_the_item_is_back_in_its_place() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    desk.ms += 1;
    desk.submit("j").unwrap();
    let token = desk.take("m", "i");
    desk.wait(299_999);
    assert_eq!(desk.state("i"), State::Locked);
    assert_eq!(
        desk.queue.get(b"i", at(desk.ms + 1)).unwrap().state,
        State::Ready
    );
    desk.wait(1);
    assert_eq!(desk.notices, [Notice::Expire]);
    assert_eq!(desk.peek(), ["i", "j"]);
    let view = desk.get("i");
    assert_eq!((view.deliveries, view.expiries, view.rev), (1, 1, 1));
    assert_eq!(desk.resolve("i", token), Err(Error::Stale), "LATE REJECT");
}

#[test]
fn a_late_decision_is_accepted_until_the_item_is_locked_again_or_its_payload_changes() {
    let late = || {
        let mut desk = Desk::new();
        desk.configure(|s| (s.late_accept, s.lock) = (true, 10))
            .unwrap();
        desk.submit("i").unwrap();
        let token = desk.take("m", "i");
        desk.wait(10);
        assert_eq!(desk.state("i"), State::Ready);
        (desk, token)
    };
    let (mut desk, token) = late();
    assert_eq!(desk.resolve("i", token + 1), Err(Error::Stale));
    assert_eq!(desk.extend("i", token, 5), Err(Error::Stale));
    assert_eq!(desk.release("i", token, false, 0), Err(Error::Stale));
    let moved = desk.queue.check_move_out(at(desk.ms), b"i", Some(token));
    assert_eq!(moved.map(|_| ()), Err(Error::Stale));
    let changed = desk.run(|q, now, fx| q.resolve(now, b"i", token, Some(2), fx));
    assert_eq!(changed, Err(Error::Changed));
    assert_eq!(desk.resolve("i", token), Ok(()));

    let (mut desk, token) = late();
    desk.update(
        "i",
        Change {
            priority: Some(1),
            ..Change::default()
        },
    )
    .unwrap();
    assert_eq!(desk.resolve("i", token), Ok(()), "the payload is the same");

    let (mut desk, token) = late();
    desk.update(
        "i",
        Change {
            payload: Some(b"new"),
            ..Change::default()
        },
    )
    .unwrap();
    assert_eq!(
        desk.resolve("i", token),
        Err(Error::Stale),
        "payload changed"
    );

    let (mut desk, token) = late();
    let replace = Submit {
        on_duplicate: OnDuplicate::Replace,
        ..item("i")
    };
    desk.submit_with(replace).unwrap();
    assert_eq!(desk.resolve("i", token), Err(Error::Stale), "replaced");

    let (mut desk, token) = late();
    let again = desk.take("n", "i");
    assert_eq!(desk.resolve("i", token), Err(Error::Stale), "locked again");
    desk.release("i", again, false, 0).unwrap();
    assert_eq!(desk.resolve("i", again), Err(Error::Stale), "released");
    assert_eq!(desk.resolve("i", token), Err(Error::Stale));

    let (mut desk, token) = late();
    desk.configure(|s| s.late_accept = false).unwrap();
    assert_eq!(desk.resolve("i", token), Err(Error::Stale), "LATE REJECT");

    let (mut desk, _) = late();
    desk.configure(|s| s.max_expiries = 2).unwrap();
    let token = desk.take("m", "i");
    desk.wait(10);
    assert_eq!(desk.state("i"), State::Dead);
    assert_eq!(desk.resolve("i", token), Ok(()), "dead");
}

#[test]
fn release_gives_back_to_the_same_place_or_after_a_delay() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    desk.ms += 1;
    desk.submit("j").unwrap();
    let token = desk.take("m", "i");
    desk.release("i", token, false, 0).unwrap();
    assert_eq!(desk.notices, [Notice::Release]);
    assert_eq!(desk.peek(), ["i", "j"]);
    let token = desk.take("m", "i");
    desk.release("i", token, false, 30).unwrap();
    let view = desk.get("i");
    assert_eq!((view.state, view.due), (State::Delayed, desk.ms + 30));
    assert_eq!((view.rev, view.expiries, view.deliveries), (1, 0, 2));
    desk.wait(30);
    assert_eq!(desk.peek(), ["i", "j"]);
}

#[test]
fn a_skipped_item_never_comes_back_to_who_skipped_it() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    let token = desk.take("m", "i");
    desk.release("i", token, true, 0).unwrap();
    assert_eq!(desk.excluded("i"), ["m"]);
    assert!(desk.claim_ids(&claim("m")).is_empty());
    assert_eq!(desk.join(&join("m")), Joined::Waiting);
    assert_eq!(desk.assign("i", "m"), Err(Error::Excluded));
    assert_eq!(desk.queue.peek(9, Some((b"m", None))).len(), 0);
    desk.take("n", "i");
}

#[test]
fn extend_sets_the_deadline_from_now() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    let token = desk.take("m", "i");
    desk.wait(100_000);
    assert_eq!(desk.extend("i", token, 5), Ok(desk.ms + 5), "also shorter");
    desk.wait(4);
    assert_eq!(desk.state("i"), State::Locked);
    assert_eq!(desk.extend("i", token, 50), Ok(desk.ms + 50));
    desk.wait(49);
    assert_eq!(desk.state("i"), State::Locked);
    desk.wait(1);
    assert_eq!(desk.state("i"), State::Ready);
    assert_eq!(desk.extend("i", token, 50), Err(Error::Stale));
}

#[test]
fn too_many_expiries_park_an_item_until_it_is_revived() {
    let mut desk = Desk::new();
    desk.configure(|s| (s.max_expiries, s.lock) = (2, 10))
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
    let all = |desk: &mut Desk, n| desk.run(|q, now, fx| q.revive_all(now, n, fx).unwrap());
    assert_eq!(all(&mut desk, 2), 2);
    assert_eq!(desk.peek(), ["a", "b"]);
    assert_eq!(all(&mut desk, 2), 1);
    assert_eq!(all(&mut desk, 2), 0);
    assert!(!desk.recorded);
}

// ---- ASSIGN, PAUSE ----

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
        delay: 1_000_000,
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
    assert_eq!(desk.queue.held_by(b"m", at(desk.ms)).count(), 3);
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
    assert_eq!(desk.queue.paused(), (false, true));
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

// ---- JOIN, LEAVE ----

#[test]
fn the_longest_waiting_who_may_gets_the_item() {
    let mut desk = Desk::new();
    for m in ["excluded", "untagged", "first", "second"] {
        let offered: &[&str] = if m == "untagged" { &[] } else { &["t"] };
        desk.join(&Join {
            tags: tags(offered),
            ..join(m)
        });
    }
    let submit = |id| Submit {
        tags: tags(&["t"]),
        excluded: tags(&["excluded"]),
        ..item(id)
    };
    assert_eq!(desk.submit_with(submit("i")), Ok(Submitted::Assigned));
    assert_eq!(desk.holder("i").as_deref(), Some("first"));
    assert_eq!(desk.submit_with(submit("j")), Ok(Submitted::Assigned));
    assert_eq!(desk.holder("j").as_deref(), Some("second"));
    assert_eq!(desk.submit_with(submit("k")), Ok(Submitted::Ready));
    assert_eq!(desk.line(), ["excluded", "untagged"]);
}

#[test]
fn a_heartbeat_keeps_place_time_to_live_and_tags() {
    let mut desk = Desk::new();
    desk.join(&Join {
        ttl: Some(100),
        tags: tags(&["t"]),
        ..join("m")
    });
    desk.ms += 50;
    desk.join(&join("n"));
    desk.ms += 49;
    assert_eq!(desk.join(&join("m")), Joined::Waiting);
    assert_eq!(desk.line(), ["m", "n"]);
    desk.wait(99);
    assert_eq!(desk.line(), ["m", "n"], "100 ms from the heartbeat");
    let tagged = Submit {
        tags: tags(&["t"]),
        ..item("i")
    };
    desk.submit_with(tagged).unwrap();
    assert_eq!(desk.holder("i").as_deref(), Some("m"), "tags kept");
}

#[test]
fn a_registration_that_runs_out_leaves_the_line_and_loses_the_place() {
    let mut desk = Desk::new();
    let brief = Join {
        ttl: Some(100),
        ..join("m")
    };
    desk.join(&brief);
    desk.join(&join("n"));
    desk.wait(99);
    assert_eq!(desk.line(), ["m", "n"]);
    desk.wait(1);
    assert_eq!(desk.line(), ["n"]);
    desk.join(&brief);
    assert_eq!(desk.line(), ["n", "m"]);
    desk.wait(29_900);
    assert!(desk.line().is_empty(), "n by the default of 30 s");
}

#[test]
fn join_answers_assigned_if_enough_is_held_or_an_item_was_there() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    assert_eq!(desk.join(&join("m")), Joined::Assigned);
    assert_eq!(desk.matches, [("i".into(), "m".into())]);
    assert_eq!(desk.join(&join("m")), Joined::Assigned, "holds one");
    assert!(desk.matches.is_empty());
    assert!(desk.line().is_empty());
    let two = Join {
        count: Some(2),
        ..join("m")
    };
    assert_eq!(desk.join(&two), Joined::Waiting);
    assert_eq!(desk.submit("j"), Ok(Submitted::Assigned));
    assert_eq!(desk.join(&two), Joined::Assigned);
}

#[test]
fn leave_ends_the_registration_and_with_release_the_locks() {
    let mut desk = Desk::new();
    assert!(!desk.leave("m", true));
    assert!(!desk.recorded);
    desk.submit("i").unwrap();
    desk.take("m", "i");
    desk.join(&Join {
        count: Some(2),
        ..join("m")
    });
    assert!(desk.leave("m", false));
    assert_eq!(desk.holder("i").as_deref(), Some("m"), "the lock stays");
    assert!(!desk.leave("m", false), "not in line any more");
    desk.join(&join("n"));
    assert!(!desk.leave("m", true), "not in line, but it released");
    assert_eq!(desk.matches, [("i".into(), "n".into())]);
    assert_eq!(desk.queue.stats.released, 1);
}

// ---- MOVE ----

fn move_item(
    desk: &mut Desk,
    to: &mut Queue,
    id: &str,
    token: Option<u64>,
    priority: Option<i32>,
) -> Result<(), Error> {
    desk.run(|q, now, fx| {
        let out = q.check_move_out(now, id.as_bytes(), token)?;
        to.check_move_in(id.as_bytes())?;
        q.move_item(now, out, priority, to, fx, &mut Effects::default());
        verify(to);
        Ok(())
    })
}

#[test]
fn move_keeps_what_an_item_is_and_takes_a_place_by_age_in_the_other_queue() {
    let mut desk = Desk::new();
    desk.configure(|s| s.max_expiries = 9).unwrap();
    desk.submit_with(Submit {
        priority: Some(1),
        boost: Some(9),
        tags: tags(&["t"]),
        excluded: tags(&["x"]),
        ..item("i")
    })
    .unwrap();
    desk.submit_with(Submit {
        on_duplicate: OnDuplicate::Bump,
        ..item("i")
    })
    .unwrap();
    desk.assign("i", "m").unwrap();
    desk.wait(300_000);
    let token = desk.assign("i", "m").unwrap();
    assert_eq!(desk.get("i").expiries, 1);
    let mut to = Queue::default();
    let mut fx = Effects::default();
    to.submit(at(desk.ms), item("newer"), &mut fx).unwrap();
    assert_eq!(
        move_item(&mut desk, &mut to, "i", None, None),
        Err(Error::Locked)
    );
    let wrong = Some(token + 1);
    assert_eq!(
        move_item(&mut desk, &mut to, "i", wrong, None),
        Err(Error::Stale)
    );
    assert!(!desk.recorded);
    assert_eq!(
        move_item(&mut desk, &mut to, "i", Some(token), Some(0)),
        Ok(())
    );
    assert!(desk.gone("i"));
    let view = to.get(b"i", at(desk.ms)).unwrap();
    assert_eq!(
        (view.state, view.priority, view.boost),
        (State::Ready, 0, 9)
    );
    assert_eq!((view.submitted, view.rev), (1_000_000, 3));
    assert_eq!((view.reports, view.deliveries, view.expiries), (2, 2, 0));
    assert_eq!(
        (view.tags, view.excluded),
        (vec![&b"t"[..]], vec![&b"x"[..]])
    );
    assert_eq!(to.peek(9, None), [b"i".as_slice(), b"newer"]);
    assert!(to.last_token >= token, "the larger of both");
}

#[test]
fn move_errs_and_then_changes_nothing() {
    let mut desk = Desk::new();
    let mut to = Queue::default();
    let mut fx = Effects::default();
    desk.submit("i").unwrap();
    let no_item = move_item(&mut desk, &mut to, "none", None, None);
    assert_eq!(no_item, Err(Error::NoItem));
    let not_locked = move_item(&mut desk, &mut to, "i", Some(1), None);
    assert_eq!(not_locked, Err(Error::Stale));
    to.submit(at(1), item("i"), &mut fx).unwrap();
    let exists = move_item(&mut desk, &mut to, "i", None, None);
    assert_eq!(exists, Err(Error::Exists));
    desk.submit("j").unwrap();
    let settings = Settings {
        max_len: 1,
        ..Settings::default()
    };
    to.configure(at(1), settings, &mut fx).unwrap();
    let full = move_item(&mut desk, &mut to, "j", None, None);
    assert_eq!(full, Err(Error::Full));
    assert!(!desk.recorded);
    assert_eq!((desk.queue.len(), to.len()), (2, 1));
}

#[test]
fn a_moved_item_stays_delayed_or_arrives_ready_and_is_matched() {
    let mut desk = Desk::new();
    let mut to = Queue::default();
    let mut fx = Effects::default();
    desk.submit_with(Submit {
        delay: 500_000,
        ..item("delayed")
    })
    .unwrap();
    desk.submit("dead").unwrap();
    desk.kill("dead");
    move_item(&mut desk, &mut to, "delayed", None, None).unwrap();
    let view = to.get(b"delayed", at(desk.ms)).unwrap();
    assert_eq!((view.state, view.due), (State::Delayed, 1_500_000));
    to.join(at(desk.ms), &join("m"), &mut fx).unwrap();
    move_item(&mut desk, &mut to, "dead", None, None).unwrap();
    let view = to.get(b"dead", at(desk.ms)).unwrap();
    assert_eq!((view.state, view.expiries), (State::Locked, 0));
    to.advance(at(1_500_000), 10, &mut fx);
    assert_eq!(to.peek(9, None), [b"delayed"]);
}

#[test]
fn a_lock_moved_away_makes_room_for_its_holder() {
    let mut desk = Desk::new();
    desk.configure(|s| s.capacity = 1).unwrap();
    desk.submit("i").unwrap();
    desk.submit("j").unwrap();
    let token = desk.take("m", "i");
    desk.join(&Join {
        count: Some(2),
        ..join("m")
    });
    let mut to = Queue::default();
    move_item(&mut desk, &mut to, "i", Some(token), None).unwrap();
    assert_eq!(desk.matches, [("j".into(), "m".into())]);
}

// ---- the clock ----

#[test]
fn tokens_grow_whatever_the_clock_does_and_across_a_restart() {
    let mut desk = Desk::new();
    for id in ["a", "b", "c", "d"] {
        desk.submit(id).unwrap();
    }
    let a = desk.take("m", "a");
    assert_eq!(a, at(desk.ms).us, "the server's time in µs");
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
        delay,
        ..item(id)
    };
    desk.submit_with(tagged("b", 0)).unwrap();
    desk.submit_with(tagged("c", 10)).unwrap();
    assert_eq!(desk.get("b").submitted, 1_000_000, "not before a's");
    assert_eq!(desk.get("c").due, desk.ms + 10);
    desk.join(&join("n"));
    desk.join(&join("o"));
    let since: Vec<u64> = desk.queue.line.iter().map(|(place, _)| place.0).collect();
    assert_eq!(since, [1_000_000, 1_000_000]);
    assert_eq!(desk.line(), ["n", "o"]);
    let token = desk.assign("b", "p").unwrap();
    assert_eq!(desk.get("b").lock.unwrap().2, desk.ms + 300_000);
    assert_eq!(desk.extend("b", token, 7), Ok(desk.ms + 7));
}

#[test]
fn single_items_are_judged_by_the_clock_while_deferred_work_lags() {
    let mut desk = Desk::new();
    desk.configure(|s| (s.lock, s.late_accept) = (10, false))
        .unwrap();
    desk.submit("i").unwrap();
    let token = desk.take("m", "i");
    desk.submit_with(Submit {
        delay: 10,
        ..item("d")
    })
    .unwrap();
    // From here nobody advances the queue.
    let mut q = desk.queue;
    let mut fx = Effects::default();
    for (late, expected) in [(0, State::Locked), (1, State::Ready), (99, State::Ready)] {
        let now = at(desk.ms + 9 + late);
        let view = q.get(b"i", now).unwrap();
        assert_eq!(view.state, expected);
        assert_eq!(view.lock.is_some(), expected == State::Locked);
        assert_eq!(view.expiries, u32::from(expected == State::Ready));
        let held = usize::from(expected == State::Locked);
        assert_eq!(q.held_by(b"m", now).count(), held);
        let view = q.get(b"d", now).unwrap();
        assert_eq!(view.state == State::Delayed, expected == State::Locked);
        assert_eq!(view.expiries, 0);
        let (locked, delayed) = (State::Locked, State::Delayed);
        assert_eq!((q.len_in(locked), q.len_in(delayed)), (1, 1), "as applied");
    }
    // At the deadline the token is no longer the live lock's.
    let now = at(desk.ms + 10);
    let stale = Err(Error::Stale);
    assert_eq!(q.resolve(now, b"i", token, None, &mut fx), stale);
    assert_eq!(q.release(now, b"i", token, false, 0, &mut fx), stale);
    assert_eq!(q.extend(now, b"i", token, 5, &mut fx), Err(Error::Stale));
    let moved = q.check_move_out(now, b"i", Some(token));
    assert_eq!(moved.map(|_| ()), stale);
    assert!(
        q.claim(now, &claim("m"), &mut fx).unwrap().is_empty(),
        "not held"
    );
    assert!(fx.record.is_empty());
    // A late decision does not depend on whether the expiry was applied already.
    let mut settings = q.settings().clone();
    settings.late_accept = true;
    q.configure(now, settings, &mut fx).unwrap();
    assert_eq!(q.resolve(now, b"i", token, None, &mut fx), Ok(()));
}

#[test]
fn deferred_work_runs_in_the_order_of_its_time() {
    let mut desk = Desk::new();
    let delayed = |id, delay, priority| Submit {
        delay,
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
        ttl: Some(400_000),
        ..join("m")
    });
    desk.wait(300_000);
    assert_eq!(desk.matches, [("high".into(), "m".into())]);
}

#[test]
fn who_leaves_at_the_instant_an_item_comes_due_does_not_get_it() {
    let mut desk = Desk::new();
    desk.submit_with(Submit {
        delay: 10,
        ..item("i")
    })
    .unwrap();
    desk.join(&Join {
        ttl: Some(10),
        ..join("m")
    });
    desk.wait(10);
    assert_eq!(desk.state("i"), State::Ready);
}

// ---- effects no command makes yet ----

#[test]
fn an_undone_match_leaves_no_trace_but_the_burnt_token() {
    let mut desk = Desk::new();
    desk.join(&join("m"));
    desk.join(&join("n"));
    desk.wait(5);
    let mut fx = Effects::default();
    let first = desk.queue.line.first().map(|(place, _)| *place);
    desk.queue.submit(at(desk.ms), item("i"), &mut fx).unwrap();
    let place = first;
    let token = fx.matches[0].token;
    assert_eq!(place.map(|p| p.0), Some(1_000_000));
    let id = Bytes::new(b"i");
    let undo = Effect::Undo { id, place };
    desk.queue.apply(desk.ms, &undo).unwrap();
    verify(&desk.queue);
    assert_eq!(desk.line(), ["m", "n"]);
    let view = desk.get("i");
    assert_eq!(view.state, State::Ready);
    assert_eq!((view.deliveries, view.expiries), (0, 0));
    assert_eq!(desk.queue.last_token, token);
    assert!(desk.queue.apply(desk.ms, &undo).is_err(), "not locked");
}

// ---- readers ----

#[test]
fn peek_shows_what_a_moderator_would_claim() {
    let mut desk = Desk::new();
    desk.submit_with(Submit {
        tags: tags(&["t"]),
        ..item("tagged")
    })
    .unwrap();
    desk.submit_with(Submit {
        excluded: tags(&["x"]),
        ..item("not x")
    })
    .unwrap();
    desk.submit("any").unwrap();
    let peek = |who: &str, given: Option<&[&Bytes]>| -> Vec<String> {
        let ids = desk.queue.peek(9, Some((who.as_bytes(), given)));
        ids.into_iter().map(text).collect()
    };
    let t = [Bytes::new(b"t")];
    assert_eq!(peek("m", None), ["not x", "any"]);
    assert_eq!(peek("x", None), ["any"]);
    assert_eq!(peek("x", Some(&t)), ["tagged", "any"]);
    assert_eq!(desk.queue.peek(1, None), [b"tagged"]);
    assert_eq!(desk.queue.position(b"any"), Some(3));
    assert_eq!(desk.queue.position(b"none"), None);
}

#[test]
fn times_to_claim_and_to_handle_are_counted_from_submit_or_due_and_from_the_lock() {
    let mut desk = Desk::new();
    desk.submit_with(Submit {
        delay: 100,
        ..item("i")
    })
    .unwrap();
    desk.wait(103);
    let token = desk.take("m", "i");
    desk.release("i", token, false, 0).unwrap();
    desk.wait(5);
    let token = desk.take("m", "i");
    desk.wait(7);
    desk.resolve("i", token).unwrap();
    let stats = &desk.queue.stats;
    assert_eq!(stats.wait.percentile(99), 3, "the first claim only");
    assert_eq!(stats.handle.percentile(99), 7);
}
