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
}

fn known(queue: &Queue) -> BTreeMap<String, Known> {
    let mut all = BTreeMap::new();
    for (slot, item) in queue.items.iter() {
        let lock = queue.lock(slot).map(|l| {
            let name = text(&queue.moderators[l.moderator].name);
            (name, l.token, l.deadline)
        });
        let known = Known {
            key: queue.key(slot),
            state: item.state,
            lock,
        };
        all.insert(text(item.id()), known);
    }
    all
}

/// I2 for a queue with nothing overdue: found without the queue's own indexes.
fn no_ready_item_has_a_taker_in_line(queue: &Queue, now: Now) {
    if queue.paused_out {
        return;
    }
    for (_, m) in queue.moderators.iter() {
        let profile = m.profile.as_ref();
        let joined = profile.filter(|p| p.place.is_some()).map(|p| p.tags);
        let calls = m.blocked.iter().map(|call| match profile {
            Some(profile) if !call.own_tags => profile.tags,
            _ => call.tags,
        });
        let capacity = queue.settings.capacity;
        if capacity > 0 && m.held.len() as u64 >= capacity {
            continue;
        }
        for offered in joined.into_iter().chain(calls) {
            let offered: Vec<&[u8]> = queue.tags.names(offered).collect();
            for (_, item) in queue.items.iter() {
                let view = queue.get(item.id(), now).expect("there");
                let eligible = view.state == State::Ready
                    && view.tags.iter().all(|t| offered.contains(t))
                    && !view.excluded.contains(&&*m.name);
                assert!(!eligible, "{} waits for {}", text(&m.name), text(item.id()));
            }
        }
    }
}

/// A property that also looks back over all its cases.
fn run<S: Strategy>(
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

#[test]
fn every_reply_and_every_view_is_the_models() {
    let mut seen = BTreeMap::new();
    run(1500, steps(80), |steps| {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        for (kind, n) in world.seen {
            *seen.entry(kind).or_insert(0) += n;
        }
        Ok(())
    });
    let expected = [
        "assign",
        "back in line",
        "claim",
        "extend",
        "hang up",
        "join assigned",
        "leave",
        "move",
        "move locked",
        "other",
        "release",
        "resolve",
        "resolve late",
        "revive",
        "skip",
        "submit",
        "submit assigned",
        "undo",
        "update",
        "wait",
    ];
    assert!(seen.keys().eq(&expected), "{seen:?}");
    assert!(seen.values().all(|n| *n >= 50), "{seen:?}");
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
                Op::Submit { id, on_duplicate, .. } => match on_duplicate {
                    OnDuplicate::Bump | OnDuplicate::Replace => Some(*id),
                    OnDuplicate::Keep | OnDuplicate::Error => None,
                },
                Op::Update { id, .. } | Op::Move(id, ..) => Some(*id),
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
            for side in world.sides.iter().filter(|side| side.queue.sweep.is_none()) {
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
                Op::Resolve(id, token, _)
                | Op::Release(id, token, ..)
                | Op::Move(id, Some(token), _) => Some(aim(id, token)),
                _ => None,
            };
            world.run(step);
            let after = known(&world.sides[step.at].queue);
            for (id, lock) in &before {
                let Some((moderator, token, deadline)) = &lock.lock else {
                    continue;
                };
                let now = after.get(id).and_then(|k| k.lock.as_ref());
                if now.is_some_and(|(_, t, _)| t == token) || *deadline <= world.now.ms {
                    continue;
                }
                let ended = match &step.op {
                    Op::Resolve(..) | Op::Release(..) | Op::Move(..) => {
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
                let s = &q.stats;
                prop_assert_eq!(
                    s.submitted + moved_in[i],
                    q.len() as u64 + s.resolved + s.cancelled + moved_out[i]
                );
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
        let now = at(world.now.ms + 1_000_000);
        for side in world.sides {
            for (i, mut q) in [side.queue, side.replica].into_iter().enumerate() {
                let mut fx = Effects::default();
                q.unblock_all(now);
                for m in MODERATORS {
                    q.leave(now, m.as_bytes(), i == 0, &mut fx).unwrap();
                }
                for id in ITEMS {
                    q.cancel(now, id.as_bytes(), None, &mut fx).unwrap();
                }
                verify(&q);
                prop_assert_eq!(q.tags.sizes(), (1, 1, 0));
                prop_assert_eq!(q.moderators.len(), 0);
                prop_assert_eq!(q.content_bytes, 0);
                prop_assert_eq!((q.timers.len(), q.extras.len()), (0, 0));
            }
        }
    }
}

/// I5: the deferred work of a step in portions, beside the same all at once.
#[test]
fn i5_work_in_portions_ends_where_work_at_once_does() {
    let mut compared = 0;
    let portions = prop::collection::vec(1usize..4, 1..8);
    run(500, (steps(80), portions), |(steps, portions)| {
        let mut world = World::new();
        for (i, step) in steps.iter().enumerate() {
            let mut step = step.clone();
            // Let some deferred work pile up.
            if i % 4 == 3 {
                step.clock = Clock::Forward(45);
            }
            let mut parts: Vec<Queue> = world.sides.iter().map(|s| copy(&s.queue)).collect();
            for (part, side) in parts.iter_mut().zip(&world.sides) {
                for call in &side.model.calls {
                    block(part, call);
                }
                // Moderators have other numbers in a copy.
                part.sweep = side.queue.sweep.map(|(place, _)| (place, 0));
                for registered in &side.model.registered {
                    let m = part.moderators.find(registered.name.as_bytes());
                    let profile = &mut part.moderators[m.expect("known")].profile;
                    profile.as_mut().expect("registered").seen = registered.seen;
                }
            }
            world.before(&step);
            let mut answered = Vec::new();
            for (part, side) in parts.iter_mut().zip(&world.sides) {
                for call in std::mem::take(&mut answered) {
                    for moderator in MODERATORS {
                        part.unblock(world.now, call, moderator.as_bytes());
                    }
                }
                let now = world.now;
                let times: Vec<u64> = part.timers.iter().map(|t| t.time).collect();
                let due = times.partition_point(|t| *t <= now.ms);
                let distinct = times[..due].windows(2).all(|w| w[0] < w[1]);
                let mut budgets = portions.iter().cycle();
                while part.next_due().is_some_and(|due| due <= now.ms) {
                    let budget = *budgets.next().expect("endless");
                    let mut fx = Effects::default();
                    let swept = part.sweep;
                    let done = part.advance(now, budget, &mut fx);
                    prop_assert!(done <= budget);
                    prop_assert!(done > 0 || part.sweep != swept, "it gets on");
                    if !fx.record.is_empty() {
                        let effects = Record::decode(fx.record.bytes()).expect("decodes");
                        prop_assert!(effects.len() <= 3 * budget, "a step and its matches");
                    }
                    verify(part);
                    answered.extend(fx.answers.iter().map(|a| a.call));
                }
                no_ready_item_has_a_taker_in_line(part, now);
                if distinct {
                    prop_assert_eq!(canon(part), canon(&side.queue));
                    compared += usize::from(due > 1);
                }
            }
            world.run(&step);
        }
        Ok(())
    });
    assert!(compared > 200, "{compared}");
}

fn copy(queue: &Queue) -> Queue {
    load(&chunks(queue, 100)).expect("loads")
}

/// Commands on a queue whose deferred work lags behind, as with a small budget before each.
#[test]
fn commands_amid_a_backlog_keep_every_invariant_and_the_replica() {
    let mut lagged = 0;
    run(600, (steps(100), 0usize..3), |(steps, budget)| {
        let (mut q, mut replica) = (Queue::default(), Queue::default());
        let mut now = at(1_000_000);
        let mut last_token = 0;
        let mut clients = Clients::default();
        for step in &steps {
            now = match step.clock {
                Clock::Forward(by) => at(now.ms + by),
                Clock::Back(by) => at(now.ms - by / 4),
                Clock::Next(_) => at(now.ms + 10),
            };
            let mut fx = Effects::default();
            q.advance(now, budget, &mut fx);
            lagged += usize::from(q.next_due().is_some_and(|due| due <= now.ms));
            command(&mut q, now, &step.op, &mut clients, &mut fx);
            clients.flying.append(&mut fx.answers);
            verify(&q);
            if !fx.record.is_empty() {
                replay(&mut replica, fx.record.bytes());
            }
            for m in &fx.matches {
                prop_assert!(m.token > last_token);
                last_token = m.token;
            }
            prop_assert_eq!(canon(&q), canon(&replica));
        }
        let mut fx = Effects::default();
        while q.next_due().is_some_and(|due| due <= now.ms) {
            q.advance(now, 1 + budget, &mut fx);
        }
        verify(&q);
        no_ready_item_has_a_taker_in_line(&q, now);
        Ok(())
    });
    assert!(lagged > 2000, "{lagged}");
}

/// Blocked calls without a model: who waits, and what is on its way to them.
#[derive(Default)]
struct Clients {
    waiting: Vec<(u64, &'static str)>,
    flying: Vec<Answer>,
}

/// The command without a model: the token is whatever lock the queue has there, live or not.
fn command(q: &mut Queue, now: Now, op: &Op, clients: &mut Clients, fx: &mut Effects) {
    let token = |q: &Queue, id: &str| {
        let slot = q.find(id.as_bytes());
        slot.and_then(|s| q.lock(s)).map_or(1, |l| l.token)
    };
    match op {
        Op::Submit {
            id,
            payload,
            priority,
            boost,
            delay,
            tags,
            excluded,
            on_duplicate,
        } => {
            let submit = Submit {
                id: id.as_bytes(),
                payload: payload.as_bytes(),
                priority: *priority,
                boost: *boost,
                delay: *delay,
                tags: given(tags),
                excluded: given(excluded),
                on_duplicate: *on_duplicate,
            };
            let _ = q.submit(now, submit, fx);
        }
        Op::Cancel(id, _) => {
            q.cancel(now, id.as_bytes(), None, fx).unwrap();
        }
        Op::Update {
            id, tags, excluded, ..
        } => {
            let change = Change {
                tags: given(tags),
                excluded: given(excluded),
                ..Change::default()
            };
            let _ = q.update(now, id.as_bytes(), change, fx);
        }
        Op::Claim {
            moderator,
            count,
            lock,
            tags,
            new_only,
        } => {
            let claim = Claim {
                moderator: moderator.as_bytes(),
                count: *count,
                lock: *lock,
                tags: given(tags),
                new_only: *new_only,
            };
            for slot in q.claim(now, &claim, fx).unwrap() {
                let view = q.claim_view(slot).expect("locked");
                assert!(view.deadline > now.ms, "an overdue lock is not held");
            }
        }
        Op::Resolve(id, ..) => {
            let token = token(q, id);
            let _ = q.resolve(now, id.as_bytes(), token, None, fx);
        }
        Op::Release(id, _, skip, delay) => {
            let token = token(q, id);
            let _ = q.release(now, id.as_bytes(), token, *skip, *delay, fx);
        }
        Op::Extend(id, _, ms) => {
            let token = token(q, id);
            let _ = q.extend(now, id.as_bytes(), token, *ms, fx);
        }
        Op::Join {
            moderator,
            ttl,
            count,
            tags,
        } => {
            let join = Join {
                moderator: moderator.as_bytes(),
                ttl: *ttl,
                count: *count,
                tags: given(tags),
            };
            q.join(now, &join, fx).unwrap();
        }
        Op::Leave(m, release) => {
            q.leave(now, m.as_bytes(), *release, fx).unwrap();
        }
        Op::Assign(id, m, lock) => {
            let _ = q.assign(now, id.as_bytes(), m.as_bytes(), *lock, fx);
        }
        Op::Pause(input, output) => q.pause(now, *input, *output, fx),
        Op::Revive(id) => {
            q.revive(now, id.as_bytes(), fx).unwrap();
        }
        Op::ReviveAll(count) => {
            q.revive_all(now, *count, fx).unwrap();
        }
        Op::Configure {
            lock,
            max_expiries,
            capacity,
            late_accept,
            ..
        } => {
            let settings = Settings {
                lock: *lock,
                max_expiries: *max_expiries,
                capacity: *capacity,
                late_accept: *late_accept,
                ..Settings::default()
            };
            q.configure(now, settings, fx).expect("AGING stays 0");
        }
        Op::Move(..) | Op::Tick | Op::Resync(_) | Op::Reload(..) => {}
        Op::Wait {
            moderator,
            lock,
            tags,
            new_only,
            ..
        } => {
            let claim = Claim {
                moderator: moderator.as_bytes(),
                count: 1,
                lock: *lock,
                tags: given(tags),
                new_only: *new_only,
            };
            if q.claim(now, &claim, fx).expect("admitted").is_empty() {
                let call = clients.waiting.len() as u64;
                clients.waiting.push((call, moderator));
                q.block(&Block {
                    call,
                    moderator: moderator.as_bytes(),
                    tags: given(tags),
                    new_only: *new_only,
                    lock: *lock,
                    place: q.end_of_line(now),
                });
            }
        }
        Op::HangUp(n) => {
            // Some of them are answered by now.
            if let Some((call, m)) = clients.waiting.get(n % clients.waiting.len().max(1)) {
                q.unblock(now, *call, m.as_bytes());
            }
        }
        Op::Vanish(n) if !clients.flying.is_empty() => {
            let gone = clients.flying.swap_remove(n % clients.flying.len());
            if let Some(place) = gone.undo {
                q.undo(now, &gone.item, gone.token, place, fx);
            }
        }
        Op::Vanish(_) | Op::Unblock(_) | Op::Deliver | Op::Attach => {}
    }
}
