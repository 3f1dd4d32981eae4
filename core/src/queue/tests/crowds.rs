//! Items that very many are excluded from, before a line of just these: who is given them, and what
//! that costs.

use super::properties::run;
use super::*;
use modq_testkit::inspect::thread_time;
use proptest::prelude::*;
use std::time::Duration;

const NOW: u64 = 1_000_000;

fn moderators(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("m{i:05}")).collect()
}

fn join(queue: &mut Queue, moderator: &str, offered: &[&str]) {
    let join = Join {
        moderator: moderator.as_bytes(),
        ttl: Some(Millis(1_000_000)),
        tags: tags(offered),
        ..Join::default()
    };
    queue.join(at(NOW), &join, &mut Outcome::default()).unwrap();
}

/// Delayed items that all of `skipped` have skipped, due at `NOW + 10`.
fn add_items(queue: &mut Queue, items: usize, skipped: &[String]) {
    for i in 0..items {
        let id = format!("i{i:04}");
        let excluded = skipped.iter().map(|name| Excluded {
            moderator: Bytes::new(name.as_bytes()),
            skip: true,
        });
        let item = Effect::MoveIn(Box::new(MoveIn {
            id: id.as_bytes(),
            payload: b"",
            priority: 0,
            boost: 0,
            submitted: Time(NOW),
            due: Some(Time(NOW + 10)),
            delayed: true,
            rev: Rev(1),
            reports: 1,
            deliveries: 0,
            tags: Vec::new(),
            excluded: excluded.collect(),
            review: None,
            last_token: Token(0),
        }));
        queue.apply(Time(NOW), &item).unwrap();
    }
}

/// Does what is due at `NOW + 10` in turns of so many steps. Answers how long each turn took, and
/// how many effects it had.
fn in_turns(queue: &mut Queue, steps: usize) -> Vec<(Duration, usize)> {
    let now = at(NOW + 10);
    let is_due = |q: &Queue| q.next_due().is_some_and(|due| due.is_reached(now.time));
    let mut turns = Vec::new();
    while is_due(queue) {
        let mut out = Outcome::default();
        let start = thread_time();
        queue.advance(now, Gate::Open, steps, &mut out);
        let took = thread_time() - start;
        if !out.record.is_empty() {
            let effects = Record::decode(out.record.bytes()).expect("decodes");
            turns.push((took, effects.len()));
        }
    }
    turns
}

#[test]
fn a_line_of_moderators_who_all_skipped_an_item_costs_it_little() {
    const MANY: usize = 20_000;
    let skipped = moderators(MANY);
    // The best of several: what a machine otherwise busy adds is left out.
    let best = |queue: &mut Queue| {
        add_items(queue, 5, &skipped);
        let turns = in_turns(queue, 1);
        assert_eq!(turns.len(), 5);
        turns.into_iter().map(|(took, _)| took).min().expect("five")
    };
    let without = best(&mut Queue::default());
    let mut queue = Queue::default();
    for name in &skipped {
        join(&mut queue, name, &[]);
    }
    let with = best(&mut queue);
    println!("{MANY} skipped it: {with:?} with them in line, {without:?} without");
    assert_eq!((queue.len_in(State::Ready), queue.waiting()), (5, MANY));
    // To compare each exclusion with each moderator would be 200,000,000 steps: some 60 ms.
    assert!(
        with < 5 * without.max(Duration::from_millis(2)),
        "{with:?} against {without:?}"
    );
}

#[test]
fn items_with_many_exclusions_count_for_many_steps() {
    let mut queue = Queue::default();
    let skipped = moderators(1000);
    for name in &skipped {
        join(&mut queue, name, &[]);
    }
    add_items(&mut queue, 100, &skipped);
    let turns = in_turns(&mut queue, 64);
    let most = turns.iter().map(|(_, effects)| *effects).max();
    assert!(most <= Some(2), "of 1,000 exclusions each: {most:?}");
    assert_eq!(queue.len_in(State::Ready), 100);
    verify(&queue);
    // So does a match that is caught up. Those who come find the items in their order.
    let mut out = Outcome::default();
    queue.pause(at(NOW + 10), false, true, &mut out);
    for i in 0..100 {
        join(&mut queue, &format!("other{i:02}"), &[]);
    }
    queue.pause(at(NOW + 10), false, false, &mut out);
    let turns = in_turns(&mut queue, 64);
    let matches = turns.iter().map(|(_, effects)| *effects);
    assert!(matches.clone().max() <= Some(2), "{turns:?}");
    assert_eq!(matches.sum::<usize>(), 100);
    for i in 0..100 {
        let view = queue.get(format!("i{i:04}").as_bytes(), Time(NOW + 10));
        let lock = view.and_then(|view| view.lock).expect("locked");
        assert_eq!(text(lock.moderator), format!("other{i:02}"));
    }
    // Items without exclusions are a step each.
    let mut queue = Queue::default();
    add_items(&mut queue, 100, &[]);
    let turns = in_turns(&mut queue, 64);
    assert!(turns.iter().map(|(_, effects)| *effects).eq([64, 36]));
}

/// As many as make the search through exclusions another, before a line of several tag combinations.
#[test]
fn of_many_the_longest_waiting_who_may_have_it_gets_an_item() {
    const OFFERS: [&[&str]; 4] = [&[], &["a"], &["b"], &["a", "b"]];
    let people = prop::collection::vec((0..OFFERS.len(), prop::bool::weighted(0.95)), 1..80);
    let mut given = [0, 0];
    run(200, (people, 0..OFFERS.len()), |(people, needed)| {
        let mut queue = Queue::default();
        let names = moderators(people.len());
        let line = || names.iter().zip(&people);
        for (name, (offered, _)) in line() {
            join(&mut queue, name, OFFERS[*offered]);
        }
        let excluded = line().filter(|(_, (_, excluded))| *excluded);
        let excluded: Vec<&str> = excluded.map(|(name, _)| name.as_str()).collect();
        let submit = Submit {
            id: b"i",
            tags: tags(OFFERS[needed]),
            excluded: tags(&excluded),
            ..Submit::default()
        };
        let mut out = Outcome::default();
        queue.submit(at(NOW), submit, &mut out).unwrap();
        let covers = |offered: usize| OFFERS[needed].iter().all(|t| OFFERS[offered].contains(t));
        let first = line().find(|(_, (offered, excluded))| !excluded && covers(*offered));
        let got = out.announcements.first().map(|a| text(&a.moderator));
        prop_assert_eq!(got.as_ref(), first.map(|(name, _)| name));
        given[usize::from(got.is_some())] += usize::from(excluded.len() > 16);
        verify(&queue);
        Ok(())
    });
    assert!(given.iter().all(|n| *n >= 20), "{given:?}");
}
