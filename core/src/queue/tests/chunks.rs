//! What is saved: whole, cut short, in another order.

use super::fixture::fixture;
use super::world::*;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn every_truncation_of_a_chunk_is_refused() {
    let whole = fixture();
    for entries in [1, 3, 100] {
        let chunks = chunks(&whole, entries);
        assert_eq!(canon(&load(&chunks).unwrap()), canon(&whole), "control");
        for (i, chunk) in chunks.iter().enumerate() {
            for len in 0..chunk.len() {
                let mut cut = chunks.clone();
                cut[i].truncate(len);
                assert!(load(&cut).is_err(), "chunk {i} at {len}");
            }
            let mut longer = chunks.clone();
            longer[i].push(0);
            assert!(load(&longer).is_err(), "chunk {i} with a byte more");
        }
    }
}

#[test]
fn chunks_of_another_version_out_of_order_or_twice_are_refused() {
    let whole = chunks(&fixture(), 3);
    let mut queue = Queue::default();
    assert!(queue.load(Queue::VERSION + 1, &whole[0]).is_err());
    assert!(queue.load(Queue::VERSION, &whole[0]).is_ok(), "control");
    let mut headless = whole.clone();
    headless.remove(0);
    assert!(load(&headless).is_err());
    for i in 0..whole.len() {
        let mut twice = whole.clone();
        twice.push(whole[i].clone());
        assert!(load(&twice).is_err(), "chunk {i} twice");
    }
}

#[test]
fn a_chunk_holds_at_most_so_many_entries_and_about_64_kib() {
    let mut queue = Queue::default();
    let mut out = Outcome::default();
    for i in 0..300 {
        let id = format!("i{i}");
        let submit = Submit {
            id: id.as_bytes(),
            payload: &vec![7; 1000],
            ..Submit::default()
        };
        queue.submit(at(1), submit, &mut out).unwrap();
    }
    assert_eq!(chunks(&queue, 1).len(), 301);
    assert_eq!(chunks(&queue, 50).len(), 1 + 6);
    let by_bytes = chunks(&queue, 1_000_000);
    assert_eq!(by_bytes.len(), 1 + 300_usize.div_ceil(66));
    assert!(by_bytes.iter().all(|c| c.len() < 80_000));
    assert_eq!(canon(&load(&by_bytes).unwrap()), canon(&queue));
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn any_reachable_state_survives_in_chunks_of_any_size(steps in steps(60), entries in 1usize..8) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        for side in &world.sides {
            let again = load(&chunks(&side.queue, entries)).expect("loads");
            verify(&again);
            assert_eq!(canon(&again), canon(&side.queue));
        }
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// After the head: what the digest is made of is a set.
    #[test]
    fn chunks_may_come_in_any_order_after_the_first(
        steps in steps(60),
        keys in vec(any::<u64>(), 10..60),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        for side in &world.sides {
            let mut chunks = chunks(&side.queue, 1);
            let mut keys = keys.iter().cycle();
            chunks[1..].sort_by_cached_key(|_| *keys.next().expect("endless"));
            let again = load(&chunks).expect("loads");
            verify(&again);
            assert_eq!(canon(&again), canon(&side.queue));
        }
    }
}

/// Who holds as many locks as they may is not matched, whatever was loaded first.
#[test]
fn locks_that_are_loaded_after_their_holder_count_for_capacity() {
    let mut q = Queue::default();
    let mut out = Outcome::default();
    let settings = Settings {
        capacity: 1,
        ..Settings::default()
    };
    q.configure(at(1), settings, &mut out).unwrap();
    for id in ["held", "more"] {
        let submit = Submit {
            id: id.as_bytes(),
            tags: tags(&["t"]),
            ..Submit::default()
        };
        q.submit(at(1), submit, &mut out).unwrap();
    }
    q.assign(at(1), b"held", b"m", None, &mut out).unwrap();
    let join = Join {
        moderator: b"m",
        count: Some(2),
        tags: tags(&["t"]),
        ..Join::default()
    };
    assert_eq!(q.join(at(1), &join, &mut out), Ok(Joined::Waiting));
    let mut chunks = chunks(&q, 9);
    assert_eq!(chunks.len(), 3, "head, items, moderators");
    for _ in 0..2 {
        let mut again = load(&chunks).unwrap();
        verify(&again);
        again.tick(at(2), 100, &mut Outcome::default());
        assert_eq!(canon(&again), canon(&q), "nothing is handed out");
        chunks.swap(1, 2);
    }
}
