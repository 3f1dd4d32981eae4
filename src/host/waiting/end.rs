//! How a wait ends: the server calls [`Calls`].

use super::answers::stop_waiting_at;
use super::register::{Call, Delivered, clients, inspect, with};
use crate::host::clock;
use crate::host::replies::reply_claim;
use crate::host::schedule;
use crate::server::blocking::{Blocked, WaitEvents, answers_are_held_back};
use crate::server::context::{Context, Refusal};
use modq_core::queue::{Answer, CallId};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The calls of the register, as the server is told of them.
pub struct Calls;

impl WaitEvents for Calls {
    fn answer(ctx: Context<'_>, id: u64) {
        let Some(call) = forget(ctx, CallId(id)) else {
            ctx.reply_null_array();
            return;
        };
        match &call.answer {
            Some((at, answer)) => {
                let delivered = reply(ctx, &call, *at, answer);
                if !delivered {
                    ctx.reply_null_array();
                }
                ANSWERED.store(true, Relaxed);
                with(|register| {
                    register.leave_lock(&call, delivered);
                    register.delivered.extend(delivered.then_some(Delivered {
                        call: CallId(id),
                        held_back: answers_are_held_back(),
                        client: call.client_id,
                        at: (call.db, call.keys[*at].clone()),
                        answer: answer.clone(),
                    }));
                });
            }
            None => match other_type(ctx, &call) {
                Some(refusal) => ctx.refuse(&refusal),
                None => ctx.reply_null_array(),
            },
        }
    }

    /// What the client was to be given is taken back when the turn ends, unless others are answered
    /// with the same lock.
    fn gone(ctx: Context<'_>, id: u64) {
        let Some(call) = forget(ctx, CallId(id)) else {
            return;
        };
        let Some((at, answer)) = &call.answer else {
            return;
        };
        with(|register| {
            if register.leave_lock(&call, false) && answer.undo.is_some() {
                let name = (call.db, call.keys[*at].clone());
                register.to_undo.push((name, answer.clone()));
            }
        });
    }

    fn handed_on(id: u64) {
        if !ANSWERED.load(Relaxed) {
            return;
        }
        with(|register| {
            let mut all = register.delivered.iter_mut();
            if let Some(delivered) = all.find(|delivered| delivered.call.0 == id) {
                delivered.held_back = false;
            }
        });
    }
}

/// Forgets a call here and in its queues.
fn forget(ctx: Context<'_>, id: CallId) -> Option<Call> {
    let call = with(|register| register.remove(id))?;
    if call.is_unmatched() {
        let now = clock::now().time;
        for key in &call.keys {
            stop_waiting_at(ctx, call.db, key, id, &call.moderator, now);
        }
    }
    Some(call)
}

/// Replies with the lock a call was matched with. Answers false if it is not there any more.
fn reply(ctx: Context<'_>, call: &Call, at: usize, answer: &Answer) -> bool {
    inspect(ctx, call.db, &call.keys[at], |found| {
        let Ok(Some(stored)) = found else {
            return false;
        };
        let slot = stored.queue.locked(&answer.item, answer.token);
        let Some(view) = slot.and_then(|slot| stored.queue.claim_view(slot)) else {
            return false;
        };
        if call.names_key {
            ctx.reply_array(2);
            ctx.reply_bytes(&call.keys[at]);
        }
        ctx.reply_array(1);
        reply_claim(ctx, &view);
        true
    })
}

/// WRONGTYPE, if one of the keys of a call holds another type.
fn other_type(ctx: Context<'_>, call: &Call) -> Option<Refusal> {
    let mut keys = call.keys.iter();
    keys.find_map(|key| inspect(ctx, call.db, key, |found| found.err()))
}

/// How long waits whose time is up are ended at a time: other clients wait meanwhile.
const LONGEST_ENDS: Duration = Duration::from_millis(1);

/// Ends the waits whose time is up, as long as that may take. They go by a clock that nobody sets.
pub fn end_overdue(ctx: Context<'_>) {
    if clients() == 0 {
        return;
    }
    let Some(first) = with(|register| register.next_end()) else {
        return;
    };
    let begun = Instant::now();
    if first > begun {
        return;
    }
    while begun.elapsed() < LONGEST_ENDS {
        let ended: Option<Blocked> = with(|register| register.pop_ended(begun));
        match ended {
            Some(client) => client.wake(),
            None => return,
        }
    }
    schedule::tick_within(ctx, 1);
}

/// Whether there may be any in `delivered`.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// The server has slept: before that it sent all answers that it does not hold back, or closed whom it could
/// not send theirs.
pub fn turn_begins() {
    if ANSWERED.load(Relaxed) {
        with(|register| {
            register.delivered.retain(|delivered| delivered.held_back);
            ANSWERED.store(!register.delivered.is_empty(), Relaxed);
        });
    }
}

/// The connection of a client is closed. What it was to be answered with in this turn, or is held back, has not been
/// sent: the server closes who exceeds their output limit, and who cannot be written to, before it
/// sleeps. So it is taken back, unless others were answered with the same lock.
pub fn client_gone(ctx: Context<'_>, client: u64) {
    if !ANSWERED.load(Relaxed) {
        return;
    }
    let undone = with(|register| {
        let before = register.to_undo.len();
        while let Some(i) = register.delivered.iter().position(|d| d.client == client) {
            let gone = register.delivered.swap_remove(i);
            let token = gone.answer.token;
            let shared = |d: &Delivered| d.answer.token == token && d.at == gone.at;
            let reached =
                register.delivered.iter().any(shared) || register.has_lock(gone.at.clone(), token);
            if gone.answer.undo.is_some() && !reached {
                register.to_undo.push((gone.at, gone.answer));
            }
        }
        register.to_undo.len() > before
    });
    if undone {
        schedule::tick_within(ctx, 1);
    }
}
