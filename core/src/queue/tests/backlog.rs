//! What is overdue, done in portions, and commands while some of it is still to be done.

use super::model::ModelCall;
use super::properties::{no_ready_item_has_a_taker_in_line, run};
use super::world::*;
use super::*;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// A copy of one side of a world, as it stands before a step.
fn part_of(side: &Trio) -> Queue {
    let mut part = copy(&side.queue);
    for call in &side.model.calls {
        block(&mut part, call);
    }
    // Moderators have other slots in a copy.
    let sweep = side.queue.line.sweep();
    part.line.set_sweep(sweep.map(|(place, _)| place));
    for registered in side.model.registered.iter().filter(|r| r.seen > 0) {
        let m = part.store.moderators().find(registered.name.as_bytes());
        let m = m.expect("known");
        part.line.set_last_call_ended(m, Time(registered.seen));
    }
    part
}

fn is_due(queue: &Queue, now: Now) -> bool {
    queue.is_due(now.time)
}

/// Does all that is overdue in portions. Answers the calls that are answered by it.
fn in_portions(
    part: &mut Queue,
    portions: &[usize],
    now: Now,
) -> Result<Vec<CallId>, TestCaseError> {
    let mut answered = Vec::new();
    let mut budgets = portions.iter().cycle();
    while is_due(part, now) {
        let budget = *budgets.next().expect("endless");
        let mut out = Outcome::default();
        let swept = part.line.sweep();
        let done = part.tick(now, budget, &mut out);
        prop_assert!(done <= budget);
        let got_on = done > 0 || part.line.sweep() != swept || !is_due(part, now);
        prop_assert!(got_on, "it gets on");
        if !out.record.is_empty() {
            let effects = Record::decode(out.record.bytes()).expect("decodes");
            prop_assert!(effects.len() <= 3 * budget, "a step and its matches");
        }
        verify(part);
        answered.extend(out.answers.iter().map(|a| a.call));
    }
    Ok(answered)
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
            let parts: Vec<Queue> = world.sides.iter().map(part_of).collect();
            world.before(&step);
            let now = world.now;
            let mut answered = Vec::new();
            for (mut part, side) in parts.into_iter().zip(&world.sides) {
                for call in std::mem::take(&mut answered) {
                    for moderator in MODERATORS {
                        part.unblock(now.time, call, moderator.as_bytes());
                    }
                }
                let times = part.store.timers().iter().map(|t| t.time);
                let times: Vec<Time> = times.collect();
                let due = times.partition_point(|t| *t <= now.time);
                let distinct = times[..due].windows(2).all(|w| w[0] < w[1]);
                answered = in_portions(&mut part, &portions, now)?;
                no_ready_item_has_a_taker_in_line(&part, now);
                if distinct {
                    prop_assert_eq!(canon(&part), canon(&side.queue));
                    compared += usize::from(due > 1);
                }
            }
            world.run(&step);
        }
        Ok(())
    });
    assert!(compared > 200, "{compared}");
}

/// Commands on a queue whose deferred work lags behind, as with a small budget before each.
#[test]
fn commands_amid_a_backlog_keep_every_invariant_and_the_replica() {
    let mut lagged = 0;
    run(600, (steps(100), 0usize..3), |(steps, budget)| {
        let (mut q, mut replica) = (Queue::default(), Queue::default());
        let mut now = at(1_000_000);
        let mut last_token = Token(0);
        let mut clients = Clients::default();
        for step in &steps {
            now = match step.clock {
                Clock::Forward(by) => at(now.time.0 + by),
                Clock::Back(by) => at(now.time.0 - by / 4),
                Clock::Next(_) => at(now.time.0 + 10),
            };
            let mut out = Outcome::default();
            q.tick(now, budget, &mut out);
            lagged += usize::from(is_due(&q, now));
            command(&mut q, now, &step.op, &mut clients, &mut out);
            clients.flying.append(&mut out.answers);
            verify(&q);
            if !out.record.is_empty() {
                replay(&mut replica, out.record.bytes());
            }
            for m in &out.announcements {
                prop_assert!(m.token > last_token);
                last_token = m.token;
            }
            prop_assert_eq!(canon(&q), canon(&replica));
        }
        let mut out = Outcome::default();
        while is_due(&q, now) {
            q.tick(now, 1 + budget, &mut out);
        }
        verify(&q);
        no_ready_item_has_a_taker_in_line(&q, now);
        Ok(())
    });
    assert!(lagged > 2000, "{lagged}");
}

/// Blocked calls without a model: who waits, and what is on its way to them.
#[derive(Default)]
pub(super) struct Clients {
    waiting: Vec<(CallId, &'static str)>,
    pub flying: Vec<Answer>,
}

/// The command without a model: the token is whatever lock the queue has there, live or not.
pub(super) fn command(q: &mut Queue, now: Now, op: &Op, clients: &mut Clients, out: &mut Outcome) {
    let token = |q: &Queue, id: &str| {
        let slot = q.store.find(id.as_bytes());
        slot.and_then(|s| q.store.lock(s)).map_or(1, |l| l.token.0)
    };
    match op {
        Op::Submit(submit) => {
            let _ = q.submit(now, submit.request(), out);
        }
        Op::Cancel(id, _) => {
            q.cancel(now, id.as_bytes(), None, out).unwrap();
        }
        Op::Forget(ids) => {
            q.forget(now, &ids.map(str::as_bytes), out).unwrap();
        }
        Op::Update(update) => {
            let update = update.request(None);
            let update = Update {
                priority: None,
                boost: None,
                payload: None,
                ..update
            };
            let _ = q.update(now, update.id, update.clone(), out);
        }
        Op::Claim(claim) => {
            for slot in q.claim(now, &claim.request(), out).unwrap() {
                let view = q.claim_view(slot).expect("locked");
                assert!(view.deadline > now.time, "an overdue lock is not held");
            }
        }
        Op::Resolve(id, ..) => {
            let token = token(q, id);
            let _ = q.resolve(now, id.as_bytes(), token, None, out);
        }
        Op::Also(also) => {
            let token = token(q, also.id);
            let _ = q.resolve_also(now, &also.request(also.id, token, None, 0), out);
        }
        Op::CancelGroup(cancel) => {
            q.cancel_group(now, &cancel.request(0), out).unwrap();
        }
        Op::Release(id, _, skip, delay) => {
            let token = token(q, id);
            let _ = q.release(now, id.as_bytes(), token, *skip, *delay, out);
        }
        Op::Extend(id, _, ms) => {
            let token = token(q, id);
            let _ = q.extend(now, id.as_bytes(), token, *ms, out);
        }
        Op::Join(join) => {
            q.join(now, &join.request(), out).unwrap();
        }
        Op::Leave(m, release) => {
            q.leave(now, m.as_bytes(), *release, out).unwrap();
        }
        Op::Assign(id, m, lock, aim) => {
            let token = aim.as_ref().map(|_| token(q, id));
            let _ = q.hand_over(now, id.as_bytes(), token, m.as_bytes(), *lock, out);
        }
        Op::Pause(input, output) => q.pause(now, *input, *output, out),
        Op::Revive(ids) => {
            let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes()).collect();
            q.revive(now, &ids, out).unwrap();
        }
        Op::ReviveAll(count) => {
            q.revive_all(now, *count, out).unwrap();
        }
        Op::Configure(change) => {
            let settings = Settings {
                max_len: 0,
                aging: 0,
                ..change.settings()
            };
            q.configure(now, settings, out).expect("AGING stays 0");
        }
        op => clients.command(q, now, op, out),
    }
}

impl Clients {
    /// What clients that wait do; other commands do nothing.
    fn command(&mut self, q: &mut Queue, now: Now, op: &Op, out: &mut Outcome) {
        match op {
            Op::Wait(wait) => {
                let claimed = q.claim(now, &wait.request(), out).expect("admitted");
                if claimed.is_empty() {
                    let id = self.waiting.len() as u64;
                    self.waiting.push((CallId(id), wait.moderator));
                    let call = ModelCall {
                        id,
                        moderator: wait.moderator.into(),
                        tags: wait.tags.clone(),
                        lock: wait.lock,
                        new_only: wait.new_only,
                        place: q.end_of_line(now.time),
                    };
                    block(q, &call);
                }
            }
            Op::HangUp(n) => {
                // Some of them are answered by now.
                if let Some((call, m)) = self.waiting.get(n % self.waiting.len().max(1)) {
                    q.unblock(now.time, *call, m.as_bytes());
                }
            }
            Op::Vanish(n) if !self.flying.is_empty() => {
                let gone = self.flying.swap_remove(n % self.flying.len());
                if let Some(before) = gone.undo {
                    q.undo(now, &gone.item, gone.token.0, before.joined_at, out);
                }
            }
            _ => {}
        }
    }
}
