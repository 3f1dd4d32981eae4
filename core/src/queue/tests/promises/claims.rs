//! CLAIM.

use super::*;
use crate::queue::read;
use crate::queue::store::TagList;

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
    let mut out = Outcome::default();
    let long = Claim {
        lock: Some(Millis(42)),
        ..claim("m")
    };
    let slots = desk.queue.claim(at(desk.ms), &long, &mut out).unwrap();
    let expected = ClaimView {
        item: b"i",
        payload: b"text",
        token: at(desk.ms).token_floor,
        deadline: Time(desk.ms + 42),
        priority: 3,
        submitted: Time(1_000_000),
        deliveries: 1,
        rev: Rev(1),
    };
    assert_eq!(desk.queue.claim_view(slots[0]), Some(expected));
    let held: Vec<_> = desk.queue.held_by(b"m", Time(desk.ms)).collect();
    assert_eq!(held, [expected]);
    assert_eq!(desk.queue.held_by(b"m", Time(desk.ms + 42)).count(), 0);
    assert_eq!(desk.queue.held_by(b"other", Time(desk.ms)).count(), 0);
}

#[test]
fn a_claim_locks_for_the_queues_default_if_it_does_not_say() {
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    desk.take("m", "i");
    assert_eq!(desk.get("i").lock.unwrap().deadline.0, 1_000_000 + 300_000);
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
    desk.run(|q, now, out| {
        q.pause(now, false, false, out);
        assert!(
            q.claim(now, &new("b", Some(&["nothing"])), out)
                .unwrap()
                .is_empty()
        );
        assert_eq!(q.claim(now, &new("b", None), out).unwrap().len(), 1);
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
    let mut out = Outcome::default();
    let sizes = [MAX_CLAIM_BYTES + 1, 9 << 20, 7 << 20, 1];
    for (i, size) in sizes.into_iter().enumerate() {
        let submit = Submit {
            id: &[b'0' + i as u8],
            payload: &vec![0; size],
            ..Submit::default()
        };
        queue.submit(at(1), submit, &mut out).unwrap();
    }
    let new = Claim {
        count: 4,
        new_only: true,
        ..claim("m")
    };
    assert_eq!(
        queue.claim(at(2), &new, &mut out).unwrap().len(),
        1,
        "too large"
    );
    assert_eq!(
        queue.claim(at(2), &new, &mut out).unwrap().len(),
        2,
        "exactly 16 MiB"
    );
    assert_eq!(queue.claim(at(2), &new, &mut out).unwrap().len(), 1);
    let held = Claim {
        new_only: false,
        ..new
    };
    assert_eq!(
        queue.claim(at(2), &held, &mut out).unwrap().len(),
        1,
        "held ones too"
    );
    let shown = |queue: &Queue, count| queue.held_page(b"m", Time(2), count).len();
    assert_eq!(queue.held_by(b"m", Time(2)).count(), 4);
    assert_eq!([shown(&queue, 0), shown(&queue, 4)], [0, 1], "HELD too");
    let first = queue.held_by(b"m", Time(2)).next().unwrap().token.0;
    queue.resolve(at(2), b"0", first, None, &mut out).unwrap();
    assert_eq!([shown(&queue, 1), shown(&queue, 4)], [1, 2]);

    // One byte more than 16 MiB together.
    for (id, size) in [(b"x", 9 << 20), (b"y", (7 << 20) + 1)] {
        let submit = Submit {
            id,
            payload: &vec![0; size],
            ..Submit::default()
        };
        queue.submit(at(3), submit, &mut out).unwrap();
    }
    let new = Claim {
        new_only: true,
        ..held
    };
    assert_eq!(queue.claim(at(4), &new, &mut out).unwrap().len(), 1);
    assert_eq!(queue.claim(at(4), &new, &mut out).unwrap().len(), 1);
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
    let mut out = Outcome::default();
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
        queue.submit(at(i as u64), submit, &mut out).unwrap();
    }
    verify(&queue);
    let mut left = n;
    for round in 0..500 {
        for m in ["a", "b", "c", "d"] {
            let store = &queue.store;
            let known = store.moderators().find(m.as_bytes());
            let plain = store.tags().class(TagList::EMPTY);
            let ready = &store.tags().classes[plain].ready;
            let scanned = ready.iter().find(|slot| {
                let excluded = store.excluded(*slot).iter();
                excluded.clone().all(|e| Some(e.moderator) != known)
            });
            let found = read::first_for(store, plain, known);
            assert_eq!(found, scanned, "{m} in round {round}");
            assert_eq!(found.is_some(), m != "c");
            if let Some(slot) = found {
                let id = store.items()[slot].id().to_vec();
                assert!(queue.cancel(at(n as u64), &id, None, &mut out).unwrap());
                left -= 1;
            }
        }
    }
    assert_eq!(queue.len(), left);
    assert_eq!(left, n - 1500);
}
