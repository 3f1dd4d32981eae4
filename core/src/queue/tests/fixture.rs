//! A queue with some of everything, and a tour of what can be done with any queue.

use super::*;

/// A queue with some of everything.
pub(super) fn fixture() -> Queue {
    let mut q = Queue::default();
    let mut out = Outcome::default();
    let settings = Settings {
        lock: Millis(100),
        max_expiries: 2,
        capacity: 3,
        late: Late::Accept,
        events: b"log".to_vec(),
        ..Settings::default()
    };
    q.configure(at(1000), settings, &mut out).unwrap();
    for (i, id) in ["a", "b", "c", "d", "e", "i0", "i1"].iter().enumerate() {
        let submit = Submit {
            id: id.as_bytes(),
            payload: b"some payload",
            priority: Some(i as i32 % 3),
            boost: Some(5 - i as i64),
            delay: Millis(if *id == "d" { 5000 } else { 0 }),
            tags: Some(names(&["t", "u"][..i % 3])),
            excluded: (i % 2 == 1).then(|| names(&["m0", "x"])),
            ..Submit::default()
        };
        q.submit(at(1000 + i as u64), submit, &mut out).unwrap();
    }
    // "a" dies, "c" is back after an expiry, "b" is skipped, "e" is locked.
    q.assign(at(1010), b"a", b"m1", None, &mut out).unwrap();
    q.assign(at(1010), b"c", b"m1", None, &mut out).unwrap();
    q.tick(at(1110), 100, &mut out);
    q.assign(at(1111), b"a", b"m1", None, &mut out).unwrap();
    q.tick(at(1300), 100, &mut out);
    let token = q.assign(at(1300), b"b", b"m2", None, &mut out).unwrap();
    q.release(at(1301), b"b", token, true, 0, &mut out).unwrap();
    q.assign(at(1302), b"e", b"m3", Some(9000), &mut out)
        .unwrap();
    for (m, tags) in [("j1", &["u"][..]), ("j2", &["v", "w"])] {
        let join = Join {
            moderator: m.as_bytes(),
            ttl: Some(Millis(7000)),
            count: Some(2),
            tags: Some(names(tags)),
        };
        q.pause(at(1303), false, true, &mut out);
        q.join(at(1303), &join, &mut out).unwrap();
    }
    let summary = q.summary();
    assert_eq!(
        (
            summary.ready,
            summary.locked,
            summary.delayed,
            summary.dead,
            summary.waiting
        ),
        (4, 1, 1, 1, 2)
    );
    verify(&q);
    q
}

fn submit_and_claim(q: &mut Queue, out: &mut Outcome) {
    for id in ["i0", "i1", "a", "new"] {
        let submit = Submit {
            id: id.as_bytes(),
            priority: Some(1),
            on_duplicate: OnDuplicate::Bump,
            tags: Some(names(&["t"])),
            ..Submit::default()
        };
        let _ = q.submit(at(1500), submit, out);
        let _ = q.position(id.as_bytes());
        let _ = q.get(id.as_bytes(), Time(1500));
    }
    let _ = q.peek(10, None);
    for m in ["m0", "m1", "j1", "new"] {
        let join = Join {
            moderator: m.as_bytes(),
            ..Join::default()
        };
        q.join(at(1501), &join, out).unwrap();
        let claim = Claim {
            moderator: m.as_bytes(),
            count: 2,
            lock: None,
            tags: Some(names(&["t", "u"])),
            new_only: m == "m0",
            with_group: false,
        };
        for slot in q.claim(at(1502), &claim, out).unwrap() {
            let view = q.claim_view(slot).expect("locked");
            let (id, token) = (view.item.to_vec(), view.token.0);
            let _ = q.release(at(1503), &id, token, true, 10, out);
        }
    }
}

/// Whatever was accepted must go on working: no command panics on it, and it can be saved.
pub(super) fn exercise(mut q: Queue) {
    verify(&q);
    assert_eq!(canon(&copy(&q)), canon(&q));
    let mut out = Outcome::default();
    q.tick(at(1400), 50, &mut out);
    q.pause(at(1400), false, false, &mut out);
    q.tick(at(1400), 50, &mut out);
    submit_and_claim(&mut q, &mut out);
    verify(&q);
    q.tick(at(1 << 41), usize::MAX, &mut out);
    q.revive_all(at(1 << 41), 1000, &mut out).unwrap();
    let mut other = Queue::default();
    let now = at(1 << 41);
    for id in ["i0", "i1", "new"] {
        if q.check_move_out(now, id.as_bytes(), None).is_ok() {
            let mut to_out = Outcome::default();
            let request = Move {
                id: id.as_bytes(),
                priority: Some(3),
                ..Move::default()
            };
            let moved = q.move_to(now, &mut other, request, &mut out, &mut to_out);
            assert_eq!(moved, Ok(()));
        }
    }
    for percent in [50, 99] {
        q.stats().wait.percentile(percent);
        q.stats().handle.percentile(percent);
    }
    q.leave(at(1 << 41), b"m0", true, &mut out).unwrap();
    verify(&q);
    verify(&other);
    for queue in [&q, &other] {
        assert_eq!(canon(&copy(queue)), canon(queue), "what it became loads");
    }
}
