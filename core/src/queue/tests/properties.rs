//! The invariants of the specification, each by its name, over random histories.

use super::world::*;
use super::*;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};
use std::collections::HashSet;

/// What a reader knows of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    key: OrderKey,
    state: State,
    /// Moderator, token, deadline.
    lock: Option<(String, u64, u64)>,
    group: String,
}

fn known(queue: &Queue) -> BTreeMap<String, Known> {
    let mut all = BTreeMap::new();
    let store = &queue.store;
    for (slot, item) in store.items().iter() {
        let lock = store.lock(slot).map(|l| {
            let name = text(&store.moderators()[l.moderator].name);
            (name, l.token.0, l.deadline.0)
        });
        let known = Known {
            key: store.key(slot),
            state: item.state,
            lock,
            group: text(store.group_name(slot)),
        };
        all.insert(text(item.id()), known);
    }
    all
}

/// I2 for a queue with nothing overdue: found without the queue's own indexes.
pub(super) fn no_ready_item_has_a_taker_in_line(queue: &Queue, now: Now) {
    let (store, line) = (&queue.store, &queue.line);
    if store.paused().output {
        return;
    }
    for (slot, m) in store.moderators().iter() {
        let profile = m.profile.as_ref();
        let joined = profile.filter(|p| p.place.is_some()).map(|p| p.tags);
        let calls = line.all_calls().get(&slot).into_iter().flatten();
        let calls = calls.map(|call| match profile {
            Some(profile) if !call.own_tags => profile.tags,
            _ => call.tags,
        });
        let capacity = store.settings().capacity;
        if capacity > 0 && m.held.len() as u64 >= capacity {
            continue;
        }
        for offered in joined.into_iter().chain(calls) {
            let offered: Vec<&[u8]> = store.tags().names(offered).collect();
            for (_, item) in store.items().iter() {
                let view = queue.get(item.id(), now.time).expect("there");
                let eligible = view.state == State::Ready
                    && view.tags.iter().all(|t| offered.contains(t))
                    && !view.excluded.contains(&&*m.name)
                    && !view.deciders.contains(&&*m.name)
                    && view.votes.iter().all(|vote| vote.moderator != &*m.name);
                assert!(!eligible, "{} waits for {}", text(&m.name), text(item.id()));
            }
        }
    }
}

/// How an item is being decided.
struct Reviewed {
    quorum: Quorum,
    contested: bool,
    verdicts: Vec<String>,
}

fn reviews(queue: &Queue) -> BTreeMap<String, Reviewed> {
    let store = &queue.store;
    let all = store.items().iter().map(|(slot, item)| {
        let reviewed = Reviewed {
            quorum: store.quorum(slot),
            contested: store.is_contested(slot),
            verdicts: store.votes(slot).iter().map(|v| text(&v.verdict)).collect(),
        };
        (text(item.id()), reviewed)
    });
    all.collect()
}

/// A property that also looks back over all its cases.
pub(super) fn run<S: Strategy>(
    n: u32,
    strategy: S,
    mut test: impl FnMut(S::Value) -> Result<(), TestCaseError>,
) where
    S::Value: std::fmt::Debug,
{
    let test = std::cell::RefCell::new(&mut test);
    let mut runner = TestRunner::new(cases(n));
    match runner.run(&strategy, |value| (test.borrow_mut())(value)) {
        Ok(()) => {}
        Err(TestError::Fail(why, value)) => panic!("{why}\n{value:#?}"),
        Err(error) => panic!("{error}"),
    }
}

/// What random histories must have had some of, so that they prove something.
const HAPPENED: [&str; 45] = [
    "also",
    "also again",
    "also late",
    "also nothing",
    "also vote",
    "also, and more",
    "appeal",
    "assign",
    "back in line",
    "cancel group",
    "claim",
    "claim with group",
    "decided",
    "extend",
    "forget",
    "hand over",
    "hang up",
    "join assigned",
    "leave",
    "move",
    "move locked",
    "other",
    "passed over: another's",
    "passed over: barred",
    "passed over: contested",
    "passed over: except",
    "passed over: several",
    "passed over: tags",
    "passed over: unseen",
    "release",
    "report",
    "resolve",
    "resolve again",
    "resolve late",
    "revive",
    "seen since submit",
    "skip",
    "split",
    "submit",
    "submit assigned",
    "undo",
    "update",
    "vote",
    "vote again",
    "wait",
];

#[test]
fn every_reply_and_every_view_is_the_models() {
    let mut seen = BTreeMap::new();
    run(8000, steps(80), |steps| {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        let passed_over = world.sides.iter().map(|side| &side.model.passed_over);
        for (kind, n) in passed_over.flatten().chain(&world.seen) {
            *seen.entry(*kind).or_insert(0) += n;
        }
        Ok(())
    });
    assert!(seen.keys().eq(&HAPPENED), "{seen:?}");
    // This one takes a queue that had no group until then.
    let rare = |kind: &str| kind == "seen since submit";
    let enough = |(kind, n): (&&str, &usize)| *n >= if rare(kind) { 10 } else { 50 };
    assert!(seen.iter().all(enough), "{seen:?}");
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn i1_only_bump_replace_update_and_move_change_an_order_key(steps in steps(80)) {
        let mut world = World::new();
        for step in &steps {
            let before = known(&world.sides[step.at].queue);
            world.step(step);
            let changed = match &step.op {
                Op::Submit(submit) => match submit.on_duplicate {
                    OnDuplicate::Bump | OnDuplicate::Replace => Some(submit.id),
                    OnDuplicate::Keep | OnDuplicate::Error => None,
                },
                Op::Update(update) => Some(update.id),
                Op::Move(id, ..) => Some(*id),
                _ => None,
            };
            for (id, after) in known(&world.sides[step.at].queue) {
                let Some(before) = before.get(&id) else {
                    continue;
                };
                if changed != Some(&*id) && before.key.seq == after.key.seq {
                    prop_assert_eq!(before.key, after.key, "{}", id);
                }
            }
        }
    }

    #[test]
    fn i2_no_ready_item_coexists_with_an_eligible_moderator_in_line(steps in steps(80)) {
        let mut world = World::new();
        for step in &steps {
            world.before(step);
            for side in &world.sides {
                no_ready_item_has_a_taker_in_line(&side.queue, world.now);
            }
            world.run(step);
            // PAUSE, CONFIGURE and a queue that came anew leave the matches to the next tick.
            for side in world.sides.iter().filter(|side| !side.queue.line.is_sweeping()) {
                no_ready_item_has_a_taker_in_line(&side.queue, world.now);
            }
        }
    }

    #[test]
    fn i3_a_token_is_given_once_and_each_is_larger_than_all_before(steps in steps(80)) {
        let mut world = World::new();
        let mut given = [0, 0];
        let mut live = [HashSet::new(), HashSet::new()];
        for step in &steps {
            world.step(step);
            for (i, side) in world.sides.iter().enumerate() {
                let known = known(&side.queue);
                let locks = known.values().filter_map(|k| k.lock.as_ref());
                let tokens: HashSet<u64> = locks.map(|(_, token, _)| *token).collect();
                let locked = known.values().filter(|k| k.state == State::Locked).count();
                prop_assert_eq!(tokens.len(), locked, "one lock, one item");
                for token in tokens.difference(&live[i]) {
                    prop_assert!(*token > given[i] && *token < 1 << 53);
                }
                given[i] = tokens.iter().copied().chain([given[i]]).max().unwrap_or(0);
                live[i] = tokens;
            }
        }
    }

    #[test]
    fn i4_a_lock_ends_only_by_token_deadline_cancel_or_leave(steps in steps(80)) {
        let mut world = World::new();
        for step in &steps {
            let before = known(&world.sides[step.at].queue);
            world.before(step);
            let aim = |id, which| world.sides[step.at].aim(id, which);
            let named = match &step.op {
                Op::Resolve(id, token, ..)
                | Op::Release(id, token, ..)
                | Op::Assign(id, _, _, Some(token))
                | Op::Move(id, Some(token), _) => Some(aim(id, token)),
                Op::Also(also) => Some(world.sides[step.at].aim_grouped(also.id, &also.aim)),
                _ => None,
            };
            world.run(step);
            let after = known(&world.sides[step.at].queue);
            for (id, lock) in &before {
                let Some((moderator, token, deadline)) = &lock.lock else {
                    continue;
                };
                let now = after.get(id).and_then(|k| k.lock.as_ref());
                if now.is_some_and(|(_, t, _)| t == token) || *deadline <= world.now.time.0 {
                    continue;
                }
                let ended = match &step.op {
                    Op::Also(_) => named.is_some_and(|(id, named)| {
                        let decided = &before[id];
                        let theirs = decided.lock.as_ref().is_some_and(|l| l.0 == *moderator);
                        // Of one that is not locked the holder of the last lock is theirs.
                        named == *token
                            || (theirs || decided.lock.is_none()) && decided.group == lock.group
                    }),
                    Op::CancelGroup(cancel) => cancel.group == lock.group,
                    Op::Resolve(..) | Op::Release(..) | Op::Assign(..) | Op::Move(..) => {
                        named == Some((id.as_str(), *token))
                    }
                    Op::Cancel(cancelled, _) => cancelled == id,
                    Op::Leave(who, true) => who == moderator,
                    _ => world.undone.contains(&(step.at, *token)),
                };
                prop_assert!(ended, "{id} of {moderator} by {:?}", step.op);
            }
        }
    }

    #[test]
    fn i6_every_item_is_in_one_state_and_the_counts_add_up(steps in steps(80)) {
        let mut world = World::new();
        let (mut moved_in, mut moved_out) = ([0, 0], [0, 0]);
        for step in &steps {
            world.before(step);
            let before = world.sides[step.at].queue.len();
            world.run(step);
            if let Op::Move(..) = step.op {
                let moved = before - world.sides[step.at].queue.len();
                moved_out[step.at] += moved as u64;
                moved_in[1 - step.at] += moved as u64;
            }
            for (i, side) in world.sides.iter().enumerate() {
                let q = &side.queue;
                let states = [State::Ready, State::Delayed, State::Locked, State::Dead];
                let in_states: usize = states.iter().map(|s| q.len_in(*s)).sum();
                prop_assert_eq!(in_states, q.len());
                let s = q.stats();
                prop_assert_eq!(
                    s.submitted + moved_in[i],
                    q.len() as u64 + s.resolved + s.cancelled + moved_out[i]
                );
            }
        }
    }

    /// But for what I1 says of order keys: a vote is no exception there.
    #[test]
    fn i7_voters_are_distinct_hold_nothing_they_voted_on_and_agree_when_it_ends(
        steps in steps(80),
    ) {
        let mut world = World::new();
        // Whose quorum is another than at submit: then its votes may be more than it takes.
        let mut requoted = HashSet::new();
        for step in &steps {
            world.before(step);
            let before = reviews(&world.sides[step.at].queue);
            world.run(step);
            match &step.op {
                Op::Update(update) => drop(requoted.insert(update.id)),
                Op::Submit(submit) => drop(requoted.insert(submit.id)),
                _ => {}
            }
            let queue = &world.sides[step.at].queue;
            let verdict = match &step.op {
                Op::Resolve(_, _, _, verdict) | Op::Also(AlsoOp { verdict, .. }) => Some(verdict),
                _ => None,
            };
            let there = known(queue);
            let ended = before.iter().filter(|(id, _)| !there.contains_key(*id));
            if let Some(verdict) = verdict {
                for (id, review) in ended {
                    let equal = review.verdicts.iter().filter(|v| *v == verdict.unwrap_or(""));
                    let agreed = equal.count() + 1 >= review.quorum.k.into();
                    prop_assert!(agreed || review.contested || requoted.contains(id.as_str()));
                }
            }
            let store = &queue.store;
            for (slot, item) in store.items().iter() {
                let votes = store.votes(slot);
                let voters: HashSet<_> = votes.iter().map(|vote| vote.moderator).collect();
                prop_assert_eq!(voters.len(), votes.len());
                if let Some(lock) = store.lock(slot) {
                    prop_assert!(!voters.contains(&lock.moderator), "holds what they voted on");
                }
                let id = text(item.id());
                let quorum = store.quorum(slot);
                if store.is_contested(slot) || requoted.contains(id.as_str()) {
                    continue;
                }
                prop_assert!(votes.is_empty() || votes.len() < quorum.n.into());
                for vote in votes {
                    let equal = votes.iter().filter(|v| v.verdict == vote.verdict).count();
                    prop_assert!(equal < quorum.k.into());
                }
            }
        }
    }

    #[test]
    fn a_replica_is_equal_also_when_it_was_loaded_on_the_way(steps in steps(80)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            for side in &world.sides {
                prop_assert_eq!(canon(&side.queue), canon(&side.replica));
            }
        }
        world.sides.iter().for_each(|side| verify(&side.replica));
    }

    #[test]
    fn nothing_is_left_of_items_and_moderators_that_are_gone(steps in steps(60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        let now = at(world.now.time.0 + 1_000_000);
        for side in world.sides {
            for (i, mut q) in [side.queue, side.replica].into_iter().enumerate() {
                let mut out = Outcome::default();
                q.unblock_all(now.time);
                for m in MODERATORS {
                    q.leave(now, m.as_bytes(), i == 0, &mut out).unwrap();
                }
                for id in ITEMS {
                    q.cancel(now, id.as_bytes(), None, &mut out).unwrap();
                }
                verify(&q);
                let store = &q.store;
                prop_assert_eq!(store.tags().sizes(), (1, 1, 0));
                prop_assert_eq!(store.moderators().len(), 0);
                prop_assert_eq!(store.content_bytes(), 0);
                prop_assert_eq!((store.timers().len(), store.all_rare().len()), (0, 0));
                prop_assert!(q.line.all_last_calls_ended().is_empty());
            }
        }
    }
}
