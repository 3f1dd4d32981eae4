//! How a wait begins.

use super::end::Calls;
use super::register::{Call, with};
use super::tell::knows_all;
use crate::host::queue_key::QueueKey;
use crate::host::schedule;
use crate::host::slots::name_beside;
use crate::server::args::ServerStr;
use crate::server::blocking::{self, Blocked};
use crate::server::context::{Context, Refusal};
use crate::server::key::{Key, Mode, Name};
use modq_core::queue::{Block, CallId, Now, Place};
use modq_core::units::Millis;
use serde_bytes::Bytes;
use std::time::{Duration, Instant};

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

/// The server lets no client wait here.
const NO_WAIT: Refusal = Refusal::fixed(
    "ERR this server lets no module's command wait on a connection that has a subscription; use another connection",
);

/// Lets the client of this call wait. The keys were just found to have nothing for it.
///
/// # Errors
/// If the server does not let it wait.
pub fn wait(ctx: Context<'_>, request: WaitRequest<'_>, now: Now) -> Result<(), Refusal> {
    let db = ctx.db();
    let names: Vec<Box<[u8]>> = request.keys.iter().map(|key| key.bytes().into()).collect();
    let id = with(|register| register.new_id());
    let client = block_client(ctx, &names, id).ok_or(NO_WAIT)?;
    let ends = (!request.block.is_zero()).then_some(request.block);
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
        client_id: ctx.client(),
        ends: ends.map(|span| Instant::now() + Duration::from_millis(span.0)),
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
    let most = super::changes::SCAN_EVERY_MS;
    schedule::tick_within(ctx, ends.map_or(most, |span| span.0.min(most)));
    Ok(())
}

/// Has the server block the client of this call. None if it refuses.
fn block_client(ctx: Context<'_>, names: &[Box<[u8]>], id: CallId) -> Option<Blocked> {
    let placeholders: Vec<Name> = names.iter().map(|name| placeholder(name)).collect();
    let blocked_on: Vec<ServerStr<'_>> = placeholders.iter().map(Name::get).collect();
    blocking::block::<Calls>(ctx, &blocked_on, id.0)
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
