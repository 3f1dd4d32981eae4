//! Many tag combinations: a CLAIM of many looks at them once, and gives what as many claims would.

use super::*;
use modq_testkit::inspect::thread_time;
use std::time::Duration;

const TAGS: [&str; 24] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s",
    "t", "u", "v", "w", "x",
];

/// Items, each of another combination of tags while there are such: by the bits of a number that differs.
fn of_many_classes(n: usize, excluded: impl Fn(usize) -> bool) -> Queue {
    let mut queue = Queue::default();
    for i in 0..n {
        let bits = (i + 1) * 7919 % (1 << TAGS.len());
        let needed = TAGS.iter().enumerate();
        let needed = needed.filter(|(bit, _)| bits >> bit & 1 == 1);
        let needed: Vec<&str> = needed.map(|(_, tag)| *tag).collect();
        let id = format!("i{i:05}");
        let submit = Submit {
            id: id.as_bytes(),
            priority: Some((i * 31 % 5) as i32),
            tags: tags(&needed),
            excluded: excluded(i).then(|| names(&["m"])),
            ..Submit::default()
        };
        let mut out = Outcome::default();
        queue.submit(at(1000 + i as u64), submit, &mut out).unwrap();
    }
    queue
}

/// Claims up to `count` by one who may have all: their ids.
fn claim(queue: &mut Queue, count: usize) -> Vec<String> {
    let claim = Claim {
        moderator: b"m",
        count,
        lock: None,
        tags: tags(&TAGS),
        new_only: true,
        with_group: false,
    };
    let mut out = Outcome::default();
    let slots = queue.claim(at(100_000), &claim, &mut out).unwrap();
    let ids = slots
        .iter()
        .map(|slot| queue.claim_view(*slot).unwrap().item);
    ids.map(text).collect()
}

#[test]
fn a_claim_of_many_gives_what_as_many_claims_do() {
    // Of 40 in all, half of them one class: some combinations have several items.
    for classes in [300, 7] {
        let queue = || {
            let mut queue = of_many_classes(classes, |i| i % 3 == 1);
            for i in 0..60 {
                let id = format!("more{i}");
                let submit = Submit {
                    id: id.as_bytes(),
                    priority: Some(i % 5),
                    tags: tags(&[TAGS[i as usize % 4]]),
                    excluded: (i % 4 == 1).then(|| names(&["m"])),
                    ..Submit::default()
                };
                let mut out = Outcome::default();
                queue.submit(at(50_000), submit, &mut out).unwrap();
            }
            queue
        };
        let (mut at_once, mut one_by_one) = (queue(), queue());
        let all = Some(names(&TAGS));
        let peeked = at_once.peek(1000, Some((b"m", all.as_deref())));
        let peeked: Vec<String> = peeked.into_iter().map(text).collect();
        let single: Vec<String> = (0..50).flat_map(|_| claim(&mut one_by_one, 1)).collect();
        assert_eq!(single.len(), 50);
        assert_eq!(peeked[..50], single);
        assert_eq!(claim(&mut at_once, 50), single);
        assert_eq!(canon(&at_once).len(), canon(&one_by_one).len());
        assert_eq!(claim(&mut at_once, 1000), peeked[50..]);
        assert!(
            claim(&mut at_once, 1).is_empty(),
            "but those they may not have"
        );
        verify(&at_once);
    }
}

/// The time of 500 claims one by one, and of one claim of 500.
fn times() -> [Duration; 2] {
    let mut queue = of_many_classes(5000, |_| false);
    let start = thread_time();
    (0..500).for_each(|_| drop(claim(&mut queue, 1)));
    let single = thread_time() - start;
    let start = thread_time();
    assert_eq!(claim(&mut queue, 500).len(), 500);
    [single, thread_time() - start]
}

#[test]
fn a_claim_of_many_does_not_look_at_every_class_for_each() {
    // Again if the machine disturbed it; without the heads both take the same.
    let fast = |[single, at_once]: [Duration; 2]| at_once * 4 < single;
    assert!((0..50).any(|_| fast(times())));
}

#[test]
fn tags_are_counted_in_the_order_of_their_names() {
    let queue = of_many_classes(300, |_| false);
    let all = queue.ready_by_tag(usize::MAX);
    assert!(all.is_sorted() && all.len() > 10);
    assert_eq!(queue.ready_by_tag(7), all[..7]);
    assert_eq!(queue.ready_by_tag(0), []);
}
