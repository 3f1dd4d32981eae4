//! JOIN and LEAVE.

use super::*;

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
        ttl: Some(Millis(100)),
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
        ttl: Some(Millis(100)),
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
    assert_eq!(desk.queue.stats().released, 1);
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
fn an_undone_match_leaves_no_trace_but_the_burnt_token() {
    let mut desk = Desk::new();
    desk.join(&join("m"));
    desk.join(&join("n"));
    desk.wait(5);
    let mut out = Outcome::default();
    let first = desk.queue.line.iter().next().map(|(place, _)| place);
    desk.queue.submit(at(desk.ms), item("i"), &mut out).unwrap();
    let place = first;
    let token = out.announcements[0].token;
    assert_eq!(place.map(|p| p.since), Some(Time(1_000_000)));
    let undo = Effect::Undo { id: b"i", place };
    desk.queue.apply(Time(desk.ms), &undo).unwrap();
    verify(&desk.queue);
    assert_eq!(desk.line(), ["m", "n"]);
    let view = desk.get("i");
    assert_eq!(view.state, State::Ready);
    assert_eq!((view.deliveries, view.expiries), (0, 0));
    assert_eq!(desk.queue.last_token(), token);
    assert!(
        desk.queue.apply(Time(desk.ms), &undo).is_err(),
        "not locked"
    );
}
