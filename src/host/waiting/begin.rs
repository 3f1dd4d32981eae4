//! How a wait begins.

use super::end::Calls;
use super::register::{Call, with};
use super::tell::knows_all;
use crate::host::queue_key::QueueKey;
use crate::host::schedule;
use crate::host::slots::name_beside;
use crate::server::args::ServerStr;
use crate::server::blocking::{self, Blocked};
use crate::server::context::Context;
use crate::server::key::{Key, Mode, Name};
use modq_core::queue::{Block, CallId, Now, Place};
use modq_core::units::Millis;
use serde_bytes::Bytes;

/// What a blocking command asked for.
pub struct WaitRequest<'a> {
    /// The queues, in the order in which they were named; no name twice.
    pub keys: Vec<ServerStr<'a>>,
    /// Who waits.
    pub moderator: &'a [u8],
    /// None: those the moderator joined with.
    pub tags: Option<Vec<&'a Bytes>>,
    /// How long a lock lasts; none is the queue's setting.
    pub lock: Option<Millis>,
    /// Wants only newly locked items.
    pub new_only: bool,
    /// The reply names the key: MCLAIM.
    pub names_key: bool,
    /// How long to wait; no time at all is for ever.
    pub block: Millis,
}

/// Lets the client of this call wait. The keys were just found to have nothing for it.
pub fn wait(ctx: Context<'_>, request: WaitRequest<'_>, now: Now) {
    let db = ctx.db();
    let names: Vec<Box<[u8]>> = request.keys.iter().map(|key| key.bytes().into()).collect();
    let id = with(|register| register.new_id());
    let Some(client) = block_client(ctx, &names, request.block, id) else {
        ctx.reply_null_array();
        return;
    };
    let place = place_behind_all(ctx, db, &request.keys, id, now);
    let block = Block {
        call: id,
        moderator: request.moderator,
        tags: request.tags,
        new_only: request.new_only,
        lock: request.lock,
        place,
    };
    for key in &request.keys {
        if let Ok(mut opened) = Key::<QueueKey>::open(ctx, *key, Mode::Inspect) {
            // A queue that has not been told of all in front of this call is told of it in its
            // turn.
            let told = |stored: &&mut QueueKey| knows_all(stored, db, key.bytes());
            if let Some(stored) = opened.get_mut().filter(told) {
                stored.queue.block(&block);
            }
        }
    }
    let own = |tags: Vec<&Bytes>| tags.iter().map(|tag| Box::from(&***tag)).collect();
    let call = Call {
        client,
        db,
        keys: names,
        moderator: request.moderator.into(),
        tags: block.tags.map(own),
        lock: request.lock,
        new_only: request.new_only,
        names_key: request.names_key,
        place,
        answer: None,
    };
    with(|register| register.insert(id, call));
    schedule::tick_within(ctx, super::changes::SCAN_EVERY_MS);
}

/// Has the server block the client of this call. None if it refuses.
fn block_client(
    ctx: Context<'_>,
    names: &[Box<[u8]>],
    wait: Millis,
    id: CallId,
) -> Option<Blocked> {
    let placeholders: Vec<Name> = names.iter().map(|name| placeholder(name)).collect();
    let blocked_on: Vec<ServerStr<'_>> = placeholders.iter().map(Name::get).collect();
    blocking::block::<Calls>(ctx, &blocked_on, wait.0, id.0)
}

/// The name that the server is told a client is blocked on, instead of the key's own: one of the
/// same slot, so that the server redirects the client as it should, at which no key ever comes to
/// be.
///
/// Were it the key's own, the server would go through all clients blocked on it whenever the key
/// comes to be, in the command that makes it, however many there are (Valkey 9.1 in time that grows
/// with the square: 5 s for 10,000).
fn placeholder(key: &[u8]) -> Name {
    Name::new(&name_beside(b"", key, b"\0modq waits"))
}

/// A place behind everyone who waits at any of the keys. It is the same at all of them, so that it
/// is still right when a queue is told of the call anew. At queues that are yet to be, places go by
/// the clock.
fn place_behind_all(
    ctx: Context<'_>,
    db: i32,
    keys: &[ServerStr<'_>],
    id: CallId,
    now: Now,
) -> Place {
    let mut behind: Option<Place> = None;
    for key in keys {
        if let Ok(opened) = Key::<QueueKey>::open(ctx, *key, Mode::Inspect) {
            behind = behind.max(
                opened
                    .get()
                    .map(|stored| stored.queue.end_of_line(now.time)),
            );
        }
    }
    // Queues that do not exist, or were not told of all, do not know of the last call in line.
    let last = with(|register| {
        let name = |key: &ServerStr<'_>| (db, key.bytes().into());
        let calls = keys
            .iter()
            .filter_map(|key| register.by_name.get(&name(key)));
        calls.filter_map(|calls| calls.last()).max().copied()
    });
    let behind = behind.unwrap_or(Place {
        since: now.time,
        tie: id.0,
    });
    match last {
        Some((last, _)) if last >= behind => Place {
            tie: last.tie + 1,
            ..last
        },
        _ => behind,
    }
}
