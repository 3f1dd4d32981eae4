//! From a match to the answer: which lock a call is answered with, and sending the answers out.

use super::changes::visit_changed_names;
use super::register::{KeyName, clients, inspect, with};
use crate::host::clock::now;
use crate::host::queues;
use crate::host::schedule;
use crate::host::streams::STREAM_RETRY;
use crate::server::context::{Context, must_not_replicate};
use modq_core::queue::{Answer, CallId, Now};
use modq_core::units::Time;

/// The queue at `key` has matched calls: they no longer wait, here or elsewhere. Empties `answers`.
pub fn take_answers(ctx: Context<'_>, db: i32, key: &[u8], answers: &mut Vec<Answer>, now: Time) {
    let mut surplus = Vec::new();
    for answer in answers.drain(..) {
        let id = answer.call;
        let others = with(|register| {
            let call = register.calls.get_mut(&id).filter(|c| c.is_unmatched())?;
            let at = call.keys.iter().position(|k| **k == *key)?;
            call.answer = Some((at, answer.clone()));
            let others = call.keys.iter().filter(|k| ***k != *key).cloned();
            let others: Vec<Box<[u8]>> = others.collect();
            let moderator = call.moderator.clone();
            register.to_answer.insert(id);
            register.join_lock((db, key.into()), answer.token);
            Some((others, moderator))
        });
        let Some((others, moderator)) = others else {
            // The queue was elsewhere when the call ended, and was not told; or both ends of a MOVE
            // matched the same call.
            surplus.push(answer);
            continue;
        };
        for other in others {
            stop_waiting_at(ctx, db, &other, id, &moderator, now);
        }
    }
    with(|register| {
        for answer in surplus {
            // If another call is to be answered with the same lock, the lock stays.
            if answer.undo.is_some() && !register.has_lock((db, key.into()), answer.token) {
                register.to_undo.push(((db, key.into()), answer));
            }
        }
    });
}

/// Tells the queue at a name that a call no longer waits.
pub(super) fn stop_waiting_at(
    ctx: Context<'_>,
    db: i32,
    key: &[u8],
    id: CallId,
    moderator: &[u8],
    now: Time,
) {
    inspect(ctx, db, key, |found| {
        if let Ok(Some(stored)) = found {
            stored.queue.unblock(now, id, moderator);
        }
    });
}

/// Before the server sleeps: takes back what reached nobody, visits the names at which something
/// has changed, and sends out the answers.
pub fn turn_ends(ctx: Context<'_>) {
    let busy = clients() > 0 || with(|register| !register.to_undo.is_empty());
    if !busy || !ctx.flags().is_active_primary() {
        return;
    }
    // What may not be replicated now is done when the timer finds that it may.
    if must_not_replicate() {
        send_answers(ctx);
        schedule::tick_within(ctx, 1);
        return;
    }
    let now = now();
    undo_matches(ctx, now);
    visit_changed_names(ctx, now);
    send_answers(ctx);
}

/// Undoes the matches whose clients are gone. An item can be matched anew by that, to a call that
/// is answered in the next turn.
fn undo_matches(ctx: Context<'_>, now: Now) {
    for ((db, key), answer) in with(|register| std::mem::take(&mut register.to_undo)) {
        if !queues::undo(ctx, db, &key, &answer, now) {
            with(|register| register.to_undo.push(((db, key), answer)));
            schedule::tick_within(ctx, STREAM_RETRY.0);
        }
    }
}

/// Sends out the answers whose lock is still there. The other calls go back to their places in
/// line.
fn send_answers(ctx: Context<'_>) {
    for id in with(|register| std::mem::take(&mut register.to_answer)) {
        let matched = with(|register| {
            let call = register.calls.get(&id)?;
            let (at, answer) = call.answer.clone()?;
            Some((call.client, call.db, call.keys[at].clone(), answer))
        });
        let Some((client, db, key, answer)) = matched else {
            continue;
        };
        if lock_is_there(ctx, db, &key, &answer) {
            client.wake();
        } else {
            put_back_in_line(ctx, id);
        }
    }
}

fn lock_is_there(ctx: Context<'_>, db: i32, key: &[u8], answer: &Answer) -> bool {
    inspect(ctx, db, key, |found| {
        let stored = found.ok().flatten();
        stored.is_some_and(|s| s.queue.locked(&answer.item, answer.token).is_some())
    })
}

/// A matched call waits again, at the place it had: its queues are told anew who waits.
fn put_back_in_line(ctx: Context<'_>, id: CallId) {
    let names: Option<Vec<KeyName>> = with(|register| {
        let mut call = register.calls.remove(&id)?;
        register.leave_lock(&call, false);
        call.answer = None;
        let names: Vec<KeyName> = call.keys.iter().map(|k| (call.db, k.clone())).collect();
        register.to_visit.extend(names.iter().cloned());
        register.calls.insert(id, call);
        Some(names)
    });
    for (db, key) in names.into_iter().flatten() {
        inspect(ctx, db, &key, |found| {
            if let Ok(Some(stored)) = found {
                stored.told = None;
            }
        });
    }
    schedule::tick_within(ctx, 1);
}
