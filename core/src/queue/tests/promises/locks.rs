//! RESOLVE, RELEASE, EXTEND, and locks that reach their deadline.

use super::*;

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
        desk.run(|q, now, out| q.resolve(now, b"i", token, Some(rev), out))
    };
    assert_eq!(with(&mut desk, token, 1), Err(Error::Changed));
    assert!(!desk.recorded);
    assert_eq!(desk.holder("i").as_deref(), Some("m"));
    assert_eq!(with(&mut desk, token + 1, 1), Err(Error::Stale));
    assert_eq!(with(&mut desk, token, 2), Ok(Resolved::Ended));
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
        desk.queue.get(b"i", Time(desk.ms + 1)).unwrap().state,
        State::Ready
    );
    desk.wait(1);
    assert_eq!(desk.notices, [Notice::Expire]);
    assert_eq!(desk.peek(), ["i", "j"]);
    let view = desk.get("i");
    assert_eq!((view.deliveries, view.expiries, view.rev), (1, 1, Rev(1)));
    assert_eq!(desk.resolve("i", token), Err(Error::Stale), "LATE REJECT");
}

/// With LATE ACCEPT: item `i` is ready after a lock ended by its deadline, whose token this is.
fn after_an_expiry() -> (Desk, u64) {
    let mut desk = Desk::new();
    desk.configure(|s| (s.late, s.lock) = (Late::Accept, Millis(10)))
        .unwrap();
    desk.submit("i").unwrap();
    let token = desk.take("m", "i");
    desk.wait(10);
    assert_eq!(desk.state("i"), State::Ready);
    (desk, token)
}

/// Whether RESOLVE takes the late token after `change`.
fn late_after(change: impl FnOnce(&mut Desk)) -> Result<(), Error> {
    let (mut desk, token) = after_an_expiry();
    change(&mut desk);
    desk.resolve("i", token)
}

fn update(desk: &mut Desk, change: Update<'_>) {
    desk.update("i", change).unwrap();
}

#[test]
fn a_late_decision_is_accepted_until_the_item_is_locked_again_or_its_payload_changes() {
    let (mut desk, token) = after_an_expiry();
    assert_eq!(desk.resolve("i", token + 1), Err(Error::Stale));
    assert_eq!(desk.extend("i", token, 5), Err(Error::Stale));
    assert_eq!(desk.release("i", token, false, 0), Err(Error::Stale));
    let moved = desk.queue.check_move_out(at(desk.ms), b"i", Some(token));
    assert_eq!(moved, Err(Error::Stale));
    let changed = desk.run(|q, now, out| q.resolve(now, b"i", token, Some(2), out));
    assert_eq!(changed, Err(Error::Changed));
    assert_eq!(desk.resolve("i", token), Ok(()));

    let same_payload = late_after(|desk| update(desk, to_priority(1)));
    assert_eq!(same_payload, Ok(()), "the payload is the same");

    let stale = Err(Error::Stale);
    let new_payload = late_after(|desk| {
        let payload = Some(&b"new"[..]);
        let change = Update {
            payload,
            ..Update::default()
        };
        update(desk, change);
    });
    assert_eq!(new_payload, stale, "payload changed");

    let replaced_by = |payload: &'static [u8]| {
        late_after(|desk| {
            let replace = Submit {
                on_duplicate: OnDuplicate::Replace,
                payload,
                ..item("i")
            };
            desk.submit_with(replace).unwrap();
        })
    };
    assert_eq!(replaced_by(b"new"), stale, "replaced");
    assert_eq!(replaced_by(item("i").payload), Ok(()), "by the same");

    let rejected = late_after(|desk| desk.configure(|s| s.late = Late::Reject).unwrap());
    assert_eq!(rejected, stale, "LATE REJECT");
}

#[test]
fn only_the_last_lock_decides_late_and_also_on_a_dead_item() {
    let (mut desk, token) = after_an_expiry();
    let again = desk.take("n", "i");
    assert_eq!(desk.resolve("i", token), Err(Error::Stale), "locked again");
    desk.release("i", again, false, 0).unwrap();
    assert_eq!(desk.resolve("i", again), Err(Error::Stale), "released");
    assert_eq!(desk.resolve("i", token), Err(Error::Stale));

    let (mut desk, _) = after_an_expiry();
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
    assert_eq!(
        (view.state, view.due),
        (State::Delayed, Some(Time(desk.ms + 30)))
    );
    assert_eq!((view.rev, view.expiries, view.deliveries), (Rev(1), 0, 2));
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
fn an_item_that_excludes_its_own_holder_can_be_resolved_cancelled_and_moved() {
    for way in 0..3 {
        let mut desk = Desk::new();
        desk.submit("i").unwrap();
        let token = desk.take("a", "i");
        let excluded = tags(&["a"]);
        let change = Update {
            excluded,
            ..Update::default()
        };
        desk.update("i", change).unwrap();
        assert_eq!(desk.holder("i").as_deref(), Some("a"), "the lock stays");
        match way {
            0 => desk.resolve("i", token).unwrap(),
            1 => assert!(desk.cancel("i", None)),
            _ => {
                let mut other = Queue::default();
                desk.move_to(&mut other, "i", Some(token), None).unwrap();
                assert_eq!(other.get(b"i", Time(0)).unwrap().excluded, [b"a"]);
            }
        }
        assert!(desk.gone("i"));
        assert_eq!(desk.queue.store.moderators().len(), 0);
    }
}
