//! How a wait ends: the server calls [`Calls`].

use super::answers::stop_waiting_at;
use super::changes::name_changed;
use super::register::{Call, inspect, with};
use crate::host::clock;
use crate::host::queue_key::QueueKey;
use crate::host::replies::reply_claim;
use crate::server::args::ServerStr;
use crate::server::blocking::WaitEvents;
use crate::server::context::{Context, Refusal};
use crate::server::key::{Key, Mode};
use modq_core::queue::{Answer, CallId};

/// The calls of the register, as the server is told of them.
pub struct Calls;

impl WaitEvents for Calls {
    /// Only happens where a client is blocked on a key's own name (see `begin::placeholder`). A
    /// queue that came to be serves its calls itself; a key of another type ends the wait.
    fn key_ready(ctx: Context<'_>, id: u64, key: ServerStr<'_>) -> bool {
        let id = CallId(id);
        // If a queue has matched the call already, the answer goes out when the turn ends.
        let waits_for_it =
            |call: &Call| call.is_unmatched() && call.keys.iter().any(|k| **k == *key.bytes());
        if !with(|register| register.calls.get(&id).is_some_and(waits_for_it)) {
            return true;
        }
        let other_type = Key::<QueueKey>::open(ctx, key, Mode::Inspect).err();
        name_changed(ctx.db(), key.bytes());
        match other_type {
            Some(refusal) => {
                forget(ctx, id);
                ctx.refuse(&refusal);
                false
            }
            None => true,
        }
    }

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
                with(|register| register.leave_lock(&call, delivered));
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
