//! MOVE.

use super::*;

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
    let mut out = Outcome::default();
    to.submit(at(desk.ms), item("newer"), &mut out).unwrap();
    assert_eq!(desk.move_to(&mut to, "i", None, None), Err(Error::Locked));
    let wrong = Some(token + 1);
    assert_eq!(desk.move_to(&mut to, "i", wrong, None), Err(Error::Stale));
    assert!(!desk.recorded);
    assert_eq!(desk.move_to(&mut to, "i", Some(token), Some(0)), Ok(()));
    assert!(desk.gone("i"));
    let view = to.get(b"i", Time(desk.ms)).unwrap();
    assert_eq!(
        (view.state, view.priority, view.boost),
        (State::Ready, 0, 9)
    );
    assert_eq!((view.submitted, view.rev), (Time(1_000_000), Rev(3)));
    assert_eq!((view.reports, view.deliveries, view.expiries), (2, 2, 0));
    assert_eq!(
        (view.tags, view.excluded),
        (vec![&b"t"[..]], vec![&b"x"[..]])
    );
    assert_eq!(to.peek(9, None), [b"i".as_slice(), b"newer"]);
    assert!(to.last_token().0 >= token, "the larger of both");
}

#[test]
fn move_errs_and_then_changes_nothing() {
    let mut desk = Desk::new();
    let mut to = Queue::default();
    let mut out = Outcome::default();
    desk.submit("i").unwrap();
    let no_item = desk.move_to(&mut to, "none", None, None);
    assert_eq!(no_item, Err(Error::NoItem));
    let not_locked = desk.move_to(&mut to, "i", Some(1), None);
    assert_eq!(not_locked, Err(Error::Stale));
    to.submit(at(1), item("i"), &mut out).unwrap();
    let exists = desk.move_to(&mut to, "i", None, None);
    assert_eq!(exists, Err(Error::Exists));
    desk.submit("j").unwrap();
    let settings = Settings {
        max_len: 1,
        ..Settings::default()
    };
    to.configure(at(1), settings, &mut out).unwrap();
    let full = desk.move_to(&mut to, "j", None, None);
    assert_eq!(full, Err(Error::Full));
    assert!(!desk.recorded);
    assert_eq!((desk.queue.len(), to.len()), (2, 1));
}

#[test]
fn a_moved_item_stays_delayed_or_arrives_ready_and_is_matched() {
    let mut desk = Desk::new();
    let mut to = Queue::default();
    let mut out = Outcome::default();
    desk.submit_with(Submit {
        delay: Millis(500_000),
        ..item("delayed")
    })
    .unwrap();
    desk.submit("dead").unwrap();
    desk.kill("dead");
    desk.move_to(&mut to, "delayed", None, None).unwrap();
    let view = to.get(b"delayed", Time(desk.ms)).unwrap();
    assert_eq!(
        (view.state, view.due),
        (State::Delayed, Some(Time(1_500_000)))
    );
    to.join(at(desk.ms), &join("m"), &mut out).unwrap();
    desk.move_to(&mut to, "dead", None, None).unwrap();
    let view = to.get(b"dead", Time(desk.ms)).unwrap();
    assert_eq!((view.state, view.expiries), (State::Locked, 0));
    to.tick(at(1_500_000), 10, &mut out);
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
    desk.move_to(&mut to, "i", Some(token), None).unwrap();
    assert_eq!(desk.matches, [("j".into(), "m".into())]);
}
