//! One command on a queue and on its model, with the replies of both.

use super::clients::Waiter;
use super::ops::{Aim, ConfigureOp, Seen, UpdateOp};
use super::*;

/// The replies of the queue and of the model, and whether nothing may have been recorded.
pub(super) type Replies = (String, String, bool);

pub(super) fn show<T: std::fmt::Debug + PartialEq>(
    got: T,
    expected: T,
    idle: impl Fn(&T) -> bool,
) -> Replies {
    let idle = idle(&got);
    (format!("{got:?}"), format!("{expected:?}"), idle)
}

/// What to count: what the run should have had some of.
fn kind(op: &Op, reply: &str) -> &'static str {
    let ok = reply.starts_with("Ok") || reply == "true";
    match (op, ok) {
        (Op::Submit(s), _) if reply == "Ok(Decided)" => match s.on_decided {
            OnDecided::Count => "report",
            _ => "decided",
        },
        (Op::Submit(s), _)
            if s.on_decided == OnDecided::Appeal
                && ["Ok(Ready)", "Ok(Assigned)", "Ok(Delayed)"].contains(&reply) =>
        {
            "appeal"
        }
        (Op::Forget(_), _) if reply != "0" => "forget",
        (Op::Submit(_), _) if reply.contains("Assigned") => "submit assigned",
        (Op::Submit(_), true) => "submit",
        (Op::Also(also), true) => also.kind(reply),
        (Op::CancelGroup(_), _) if !reply.contains("done: 0") => "cancel group",
        (Op::Claim(claim), _) if claim.with_group && reply.matches("item:").count() > 1 => {
            "claim with group"
        }
        (Op::Claim(_), _) if reply != "[]" => "claim",
        (Op::Resolve(_, Aim::Voted, ..), true) => "vote again",
        (Op::Resolve(_, Aim::Decided, ..), true) => "resolve again",
        (Op::Resolve(..), true) if reply.contains("Voted") => "vote",
        (Op::Resolve(..), true) if reply.contains("Split") => "split",
        (Op::Resolve(_, Aim::Late, ..), true) => "resolve late",
        (Op::Resolve(..), true) => "resolve",
        (Op::Release(_, _, true, _), true) => "skip",
        (Op::Release(..), true) => "release",
        (Op::Extend(..), true) => "extend",
        (Op::Join(_), _) if reply == "Assigned" => "join assigned",
        (Op::Leave(..), true) => "leave",
        (Op::Assign(_, _, _, Some(_)), true) => "hand over",
        (Op::Assign(..), true) => "assign",
        (Op::Revive(_), _) if reply != "0" => "revive",
        (Op::Update(_), true) => "update",
        (Op::Wait(_), _) if reply == "Waits" => "wait",
        (Op::Move(_, Some(_), _), true) => "move locked",
        (Op::Move(..), true) => "move",
        _ => "other",
    }
}

/// The item whose RESOLVE … ALSO an event came of, if it came of one.
fn via(event: &Event) -> Option<String> {
    let mut fields = event.fields.iter();
    let (_, via) = fields.find(|(name, _)| *name == "via")?;
    Some(text(via))
}

impl World {
    /// One command on the queue and on the model; everyone agrees afterwards.
    pub(crate) fn run(&mut self, step: &Step) {
        let before = canon(&self.sides[step.at].queue);
        let (first, second) = self.sides.split_at_mut(1);
        let (side, other) = match step.at {
            0 => (&mut first[0], &mut second[0]),
            _ => (&mut second[0], &mut first[0]),
        };
        let mut command = Command {
            side,
            other,
            now: self.now,
            out: Outcome::default(),
            other_out: Outcome::default(),
            done: None,
        };
        let (got, expected, idle) = match &step.op {
            Op::Wait(wait) => command.wait(step.at, wait, &mut self.register),
            op => command.run(op),
        };
        assert_eq!(got, expected, "{:?}", step.op);
        *self.seen.entry(kind(&step.op, &got)).or_default() += 1;
        let (out, other_out) = (command.out, command.other_out);
        self.done = command.done;
        let told = out.events.iter().flat_map(|batch| &batch.events);
        self.told = told.map(|event| (text(&event.item), via(event))).collect();
        let answers = (step.at, self.sides[step.at].share(&out));
        let others = (1 - step.at, self.sides[1 - step.at].share(&other_out));
        // MOVE announces at its source first.
        for (side, answers) in [answers, others] {
            self.answered(side, answers);
        }
        self.wait(step);
        self.compare();
        if idle {
            assert!(out.record.is_empty(), "{:?} recorded {got}", step.op);
            assert_eq!(canon(&self.sides[step.at].queue), before, "{:?}", step.op);
        }
    }
}

/// A command on one side of a world, which for MOVE and MCLAIM concerns the other as well.
pub(super) struct Command<'w> {
    pub side: &'w mut Trio,
    other: &'w mut Trio,
    pub now: Now,
    pub out: Outcome,
    other_out: Outcome,
    /// What was replied, if it was about a group.
    pub done: Option<GroupDone>,
}

impl Command<'_> {
    fn run(&mut self, op: &Op) -> Replies {
        match op {
            Op::Submit(submit) => self.submit(submit.request()),
            Op::Cancel(id, rev) => self.cancel(id, rev),
            Op::Forget(ids) => self.forget(ids),
            Op::Update(update) => self.update(update),
            Op::Claim(claim) => self.claim(&claim.request()),
            Op::Resolve(id, aim, rev, verdict) => self.resolve(id, aim, rev, *verdict),
            Op::Also(also) => self.also(also),
            Op::CancelGroup(cancel) => self.cancel_group(cancel),
            Op::Release(id, aim, skip, delay) => self.release(id, aim, *skip, *delay),
            Op::Extend(id, aim, ms) => self.extend(id, aim, *ms),
            Op::Join(join) => self.join(&join.request()),
            Op::Leave(m, release) => self.leave(m, *release),
            Op::Assign(id, m, lock, aim) => self.assign(id, m, *lock, aim.as_ref()),
            Op::Pause(input, output) => self.pause(*input, *output),
            Op::Revive(ids) => self.revive(ids),
            Op::ReviveAll(count) => self.revive_all(*count),
            Op::Configure(change) => self.configure(change),
            Op::Move(id, aim, priority) => self.move_item(id, aim.as_ref(), *priority),
            Op::Resync(entries) => {
                self.side.replica = load(&chunks(&self.side.queue, *entries)).expect("loads");
                show((), (), |()| true)
            }
            Op::Reload(entries, _) => {
                self.side.queue = load(&chunks(&self.side.queue, *entries)).expect("loads");
                self.side.model.reload();
                show((), (), |()| true)
            }
            Op::Vanish(_) => show((), (), |()| false),
            Op::Tick | Op::Wait(_) | Op::HangUp(_) | Op::Unblock(_) | Op::Deliver | Op::Attach => {
                show((), (), |()| true)
            }
        }
    }

    fn submit(&mut self, submit: Submit<'_>) -> Replies {
        let Trio { queue, model, .. } = &mut *self.side;
        show(
            queue.submit(self.now, submit.clone(), &mut self.out),
            model.submit(self.now, &submit),
            |r| match r {
                Ok(Submitted::Decided) => submit.on_decided != OnDecided::Count,
                r => matches!(r, Err(_) | Ok(Submitted::Exists)),
            },
        )
    }

    fn cancel(&mut self, id: &str, rev: &Seen) -> Replies {
        let rev = self.side.rev(id, rev);
        let Trio { queue, model, .. } = &mut *self.side;
        let got = queue.cancel(self.now, id.as_bytes(), rev, &mut self.out);
        show(got.unwrap(), model.cancel(self.now, id, rev), |r| !r)
    }

    fn forget(&mut self, ids: &[&str; 2]) -> Replies {
        let Trio { queue, model, .. } = &mut *self.side;
        let named = ids.map(str::as_bytes);
        let got = queue.forget(self.now, &named, &mut self.out);
        show(got.unwrap(), model.forget(self.now, ids), |n| *n == 0)
    }

    fn update(&mut self, update: &UpdateOp) -> Replies {
        let id = update.id;
        let request = update.request(self.side.rev(id, &update.rev));
        let Trio { queue, model, .. } = &mut *self.side;
        let before = model.item(id).map(|i| i.rev);
        show(
            queue.update(self.now, id.as_bytes(), request.clone(), &mut self.out),
            model.update(self.now, id, &request),
            |r| !matches!(r, Ok(rev) if rev.is_some() && *rev != before),
        )
    }

    fn claim(&mut self, claim: &Claim<'_>) -> Replies {
        let Trio { queue, model, .. } = &mut *self.side;
        let slots = queue.claim(self.now, claim, &mut self.out).unwrap();
        let views = slots.iter().map(|slot| queue.claim_view(*slot));
        let rows: Vec<Row> = views.map(|view| row(&view.expect("locked"))).collect();
        show(rows, model.claim(self.now, claim), Vec::is_empty)
    }

    fn resolve(
        &mut self,
        id: &'static str,
        aim: &Aim,
        rev: &Seen,
        verdict: Option<&str>,
    ) -> Replies {
        let (id, token) = self.side.aim(id, aim);
        let rev = self.side.rev(id, rev);
        let Trio { queue, model, .. } = &mut *self.side;
        let resolve = Resolve {
            id: id.as_bytes(),
            token: Token(token),
            rev,
            verdict: verdict.map(str::as_bytes),
            decision: None,
        };
        let again = matches!(aim, Aim::Voted | Aim::Decided);
        show(
            queue.resolve_with(self.now, resolve, &mut self.out),
            model.resolve(self.now, &resolve),
            |reply| reply.is_err() || again,
        )
    }

    fn release(&mut self, id: &'static str, aim: &Aim, skip: bool, delay: u64) -> Replies {
        let (id, token) = self.side.aim(id, aim);
        let Trio { queue, model, .. } = &mut *self.side;
        show(
            queue.release(self.now, id.as_bytes(), token, skip, delay, &mut self.out),
            model.release(self.now, id, token, skip, delay),
            Result::is_err,
        )
    }

    fn extend(&mut self, id: &'static str, aim: &Aim, ms: u64) -> Replies {
        let (id, token) = self.side.aim(id, aim);
        let Trio { queue, model, .. } = &mut *self.side;
        show(
            queue.extend(self.now, id.as_bytes(), token, ms, &mut self.out),
            model.extend(self.now, id, token, ms),
            Result::is_err,
        )
    }

    fn join(&mut self, join: &Join<'_>) -> Replies {
        let Trio { queue, model, .. } = &mut *self.side;
        let got = queue.join(self.now, join, &mut self.out).unwrap();
        show(got, model.join(self.now, join), |_| false)
    }

    fn leave(&mut self, m: &str, release: bool) -> Replies {
        let Trio { queue, model, .. } = &mut *self.side;
        let registered = model.registration(m).is_some();
        let holds = !model.held(m).is_empty();
        let got = queue.leave(self.now, m.as_bytes(), release, &mut self.out);
        show(got.unwrap(), model.leave(self.now, m, release), |_| {
            !(registered || release && holds)
        })
    }

    fn assign(
        &mut self,
        id: &'static str,
        m: &str,
        lock: Option<u64>,
        aim: Option<&Aim>,
    ) -> Replies {
        let (id, token) = match aim {
            Some(aim) => {
                let (id, token) = self.side.aim(id, aim);
                (id, Some(token))
            }
            None => (id, None),
        };
        let Trio { queue, model, .. } = &mut *self.side;
        let (item, moderator) = (id.as_bytes(), m.as_bytes());
        show(
            queue.hand_over(self.now, item, token, moderator, lock, &mut self.out),
            model.assign(self.now, id, token, m, lock),
            Result::is_err,
        )
    }

    fn pause(&mut self, input: bool, output: bool) -> Replies {
        let Trio { queue, model, .. } = &mut *self.side;
        let same = queue.paused() == Paused { input, output };
        queue.pause(self.now, input, output, &mut self.out);
        model.pause(self.now, input, output);
        show((), (), |()| same)
    }

    /// Dead items if there are some, and those that were picked.
    fn revive(&mut self, picked: &[&'static str]) -> Replies {
        let Trio { queue, model, .. } = &mut *self.side;
        let is_dead = |id: &&str| model.item(id).is_some_and(|i| i.phase == Phase::Dead);
        let dead = ITEMS.iter().rev().copied().filter(is_dead);
        let mut ids: Vec<&str> = dead.take(picked.len()).collect();
        ids.extend(picked);
        let names: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes()).collect();
        let got = queue.revive(self.now, &names, &mut self.out);
        show(got.unwrap(), model.revive(self.now, &ids), |r| *r == 0)
    }

    fn revive_all(&mut self, count: usize) -> Replies {
        let Trio { queue, model, .. } = &mut *self.side;
        let got = queue.revive_all(self.now, count, &mut self.out);
        show(got.unwrap(), model.revive_all(self.now, count), |n| *n == 0)
    }

    fn configure(&mut self, change: &ConfigureOp) -> Replies {
        let Trio { queue, model, .. } = &mut *self.side;
        let settings = Settings {
            aging: match queue.is_empty() {
                true => change.aging,
                // Else it would nearly always be refused.
                false if change.aging == 1 => 1,
                false => queue.settings().aging,
            },
            ..change.settings()
        };
        show(
            queue.configure(self.now, settings.clone(), &mut self.out),
            model.configure(self.now, settings),
            Result::is_err,
        )
    }

    fn move_item(&mut self, id: &'static str, aim: Option<&Aim>, priority: Option<i32>) -> Replies {
        let (id, token) = match aim {
            Some(aim) => {
                let (id, token) = self.side.aim(id, aim);
                (id, Some(token))
            }
            None => (id, None),
        };
        let request = Move {
            id: id.as_bytes(),
            token: token.map(Token),
            priority,
            by: None,
        };
        let (from, to) = (&mut *self.side, &mut *self.other);
        let (out, to_out) = (&mut self.out, &mut self.other_out);
        let got = from
            .queue
            .move_to(self.now, &mut to.queue, request, out, to_out);
        let expected = from
            .model
            .move_to(self.now, &mut to.model, id, token, priority);
        show(got, expected, Result::is_err)
    }

    /// A CLAIM that waits if there is nothing, in the other queue too if it is an MCLAIM.
    fn wait(&mut self, at: usize, wait: &WaitOp, register: &mut Register) -> Replies {
        let (now, claim) = (self.now, wait.request());
        let mut at = vec![at];
        let (side, other) = (&mut *self.side, &mut *self.other);
        let found = side.queue.claim(now, &claim, &mut self.out);
        let mut found = found.expect("admitted").len();
        let mut expected = side.model.claim(now, &claim);
        if wait.both && found == 0 {
            at.push(1 - at[0]);
            let there = other.queue.claim(now, &claim, &mut self.other_out);
            found = there.expect("admitted").len();
            expected = other.model.claim(now, &claim);
        }
        if found > 0 || !expected.is_empty() {
            return show(found, expected.len(), |_| false);
        }
        register.last_call += 1;
        let mut sides: Vec<&mut Trio> = [side, other].into_iter().take(at.len()).collect();
        let places = sides.iter().map(|side| side.queue.end_of_line(now.time));
        let call = ModelCall {
            id: register.last_call,
            moderator: wait.moderator.into(),
            tags: wait.tags.clone(),
            lock: wait.lock,
            new_only: wait.new_only,
            place: places.max().expect("waits somewhere"),
        };
        for side in &mut sides {
            let place = side.queue.end_of_line(now.time);
            assert_eq!(place, side.model.end_of_line(now));
            block(&mut side.queue, &call);
            side.model.block(call.clone());
        }
        register.waiters.insert(call.id, Waiter { call, at });
        ("Waits".into(), "Waits".into(), true)
    }
}
