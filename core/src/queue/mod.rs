//! The moderation queue as plain Rust: no server, no clock, no randomness.
//!
//! A [`Queue`] is two things. What is replicated and saved is in `store`, which nothing but
//! `Store::apply` changes. Who waits is in `line`; it is made from the store, and from the blocked
//! calls that only the primary knows of.
//!
//! The life of a command:
//! 1. [`Queue::handle`] gets the time, whether the event stream can be written ([`Gate`]), and the
//!    request. It first does some of what is overdue (`decide::clock`).
//! 2. The request looks at the store, checks everything, and makes effects ([`Effect`]) that say
//!    what happens, with every time, token and place in it (`decide`).
//! 3. Each effect is applied, recorded and followed by its matches (`decide::matching`), which are
//!    effects too.
//! 4. What came of it is in the [`Outcome`]: a [`Record`] to replicate, events to log, people to
//!    tell. The caller asks [`Queue::next_due`] when there is more to do, and then calls
//!    [`Queue::advance`].
//!
//! What always holds, by the names that tests and comments use:
//! - I1: only BUMP, REPLACE, UPDATE and MOVE change an order key. Being claimed, expired, released,
//!   skipped, delayed or revived never does.
//! - I2: after every command no ready item coexists with a waiting moderator who may take it, except
//!   while deferred work is caught up.
//! - I3: an item has at most one live lock.
//! - I4: a lock ends only by its token, its deadline, CANCEL, LEAVE … RELEASE, or by undoing a match
//!   that reached nobody; only the current token decides an outcome.
//! - I5: no command and no tick does more than a fixed number of deferred steps. Deferred
//!   transitions run in the order of their time, each matched before the next.
//! - I6: every submitted item is in exactly one state until resolved, cancelled or moved out, and
//!   the counts add up.
//! - I9: what is done to a group touches no item outside of it, and a verdict given to its others none
//!   that somebody else holds or that is passed over.
//!
//! MOVE concerns two queues and has an entry of its own, [`relocate`]. A replica or an AOF decodes
//! the record and calls [`Queue::apply`] for each effect; it ends in the same state.

mod decide;
mod effect;
mod event;
mod line;
mod outcome;
mod read;
mod record;
mod record_v1;
mod record_v3;
mod request;
mod settings;
mod settings_v1;
mod settings_v3;
mod store;
#[cfg(test)]
mod tests;

pub use decide::{Request, Side, relocate};
pub use effect::{Effect, Ending, Excluded, MoveIn, MovedReview, MovedVote, Names, Terms};
pub use event::{Batch, Event};
pub use line::{Block, CallId};
pub use outcome::{Announcement, Answer, BeforeMatch, Due, Notice, Outcome};
pub use read::{
    ClaimView, GroupPage, Grouped, ItemView, Kind, Listed, LockView, Page, Reason, RecordView,
    Summary, VoteView, WaiterView,
};
pub use record::Record;
pub use request::{
    Assign, Cancel, CancelGroup, Claim, Claimed, ClaimedItem, Configure, Error, Extend, Forget,
    Gate, GroupDone, Join, Joined, Leave, Many, Move, Now, OnDecided, OnDuplicate, Pause, Release,
    Resolve, ResolveAlso, Resolved, ResolvedAlso, Revive, ReviveAll, Submit, Submitted, Undo,
    Unpause, Update,
};
pub use settings::{Late, Paused, Quorum, Settings, Sides};
pub use store::{
    ApplyError, BOUNDS, Durations, Histogram, ItemSlot, OrderKey, Place, Rev, Seq, State, Stats,
};

/// Longest item id and moderator id, bytes.
pub const MAX_ID: usize = 512;
/// Longest tag, bytes.
pub const MAX_TAG: usize = 255;
/// Most tags of an item or a moderator.
pub const MAX_TAGS: usize = 64;
/// Largest payload, bytes: what `modq.max-payload-bytes` can be at most, and by default the server
/// takes no longer argument. Stored values and records are held to this, not to the setting.
pub const MAX_PAYLOAD: usize = 512 << 20;
/// Most moderators named by EXCLUDE.
pub const MAX_EXCLUDE: usize = 1000;
/// Most exclusions that one MSUBMIT makes: EXCLUDE names so many, times its items.
pub const MAX_EXCLUDE_MANY: usize = 10_000;
/// Most requests in one batch.
pub const MAX_MANY: usize = 1000;
/// Longest VERDICT, bytes.
pub const MAX_VERDICT: usize = 255;
/// Longest DECISION, bytes.
pub const MAX_DECISION: usize = 64 * 1024;
/// Longest GROUP, bytes.
pub const MAX_GROUP: usize = 512;
/// Most items of a group that one command looks at, so that it stays short.
pub const MAX_GROUP_LOOKED_AT: usize = 10_000;
/// Most moderators who are barred from an appeal because they decided before.
pub const MAX_DECIDERS: usize = 64;
/// Longest REASON, bytes.
pub const MAX_REASON: usize = 64 * 1024;
/// Largest duration (LOCK, TTL, BLOCK, DELAY) and largest absolute BOOST, ms.
pub const MAX_DURATION: u64 = 1 << 40;
/// Largest AGING, ms.
pub const MAX_AGING: u64 = 1 << 31;
/// Largest COUNT.
pub const MAX_COUNT: u64 = 1000;
/// Once this much payload is answered, bytes, a CLAIM takes nothing more; it locks no item that would
/// go beyond it, unless it has none yet. HELD answers nothing more then either.
pub const MAX_CLAIM_BYTES: usize = 16 << 20;

/// One moderation queue. See the head of this file.
#[derive(Debug, Default)]
pub struct Queue {
    store: store::Store,
    line: line::Line,
}
