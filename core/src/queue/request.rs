//! What can be asked of a queue, and what is answered: one structure for each command, and the
//! type of its reply. Absent options are none.

use super::effect::Names;
use super::settings::{Late, Quorum, Sides};
use super::store::{ItemSlot, Lock, Place};
use crate::units::{Millis, Time, Token};
use smallvec::SmallVec;

/// The time of a command or tick, read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The instant.
    pub time: Time,
    /// The smallest token that may be given: the instant in µs, or later where this process has
    /// given as large a token before.
    pub token_floor: Token,
}

/// Whether the event stream can be written: an input of each command and tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gate {
    /// It can, or there is none.
    #[default]
    Open,
    /// Its key holds another type, or a stream that takes nothing more. No command that would write
    /// to it is admitted; what the clock does goes on, and its events are lost.
    WrongType,
    /// It is not there, and may be about to come. Nothing that would write to it is admitted, not
    /// even what the clock does.
    Missing,
}

/// Why a command was refused. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// No item of that id.
    NoItem,
    /// No decision on an item of that id is remembered.
    NoRecord,
    /// The token is not the live lock's.
    Stale,
    /// Several must agree on the item, so that a verdict has to be named.
    VerdictNeeded,
    /// The item is locked.
    Locked,
    /// The content is no longer what REV says.
    Changed,
    /// The id is in the queue already.
    Exists,
    /// The moderator is excluded from the item.
    Excluded,
    /// The queue holds MAXLEN items.
    Full,
    /// Every token was given, which only a damaged payload can bring about.
    TokensExhausted,
    /// The queue is paused for input.
    Paused,
    /// AGING cannot change while there are items.
    AgingInUse,
    /// The key of the event stream holds another type.
    Events,
    /// The event stream is not there, and may be about to come.
    TryAgain,
}

/// What SUBMIT does with an id that is in the queue already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDuplicate {
    /// Nothing.
    #[default]
    Keep,
    /// Counts one report more; priority and boost become the larger ones.
    Bump,
    /// Takes the new content.
    Replace,
    /// Refuses it.
    Error,
}

/// What SUBMIT does with an id that is not in the queue and whose decision is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDecided {
    /// Nothing.
    #[default]
    Keep,
    /// Counts one report more.
    Count,
    /// As `Keep` if the payload is the one that was decided, as `Again` otherwise.
    Changed,
    /// Takes it as a new item.
    Again,
    /// Takes it as a new item that nobody is given who decided before.
    Appeal,
}

/// SUBMIT: puts an item into the queue.
#[derive(Debug, Clone, Default)]
pub struct Submit<'a> {
    /// The item.
    pub id: &'a [u8],
    /// What is reviewed.
    pub payload: &'a [u8],
    /// Higher is claimed first.
    pub priority: Option<i32>,
    /// How much older than it is the item counts, ms.
    pub boost: Option<i64>,
    /// How long it is delayed.
    pub delay: Millis,
    /// What a moderator must offer.
    pub tags: Option<Names<'a>>,
    /// Who may not have it.
    pub excluded: Option<Names<'a>>,
    /// What to do if the id is there.
    pub on_duplicate: OnDuplicate,
    /// What to do if the id is not there, but its decision is remembered.
    pub on_decided: OnDecided,
    /// How many must agree on it; none is the queue's setting.
    pub quorum: Option<Quorum>,
    /// The group it belongs to; empty is none.
    pub group: Option<&'a [u8]>,
    /// What each further report adds to the priority, with `OnDuplicate::Bump`; `priority` is none
    /// then.
    pub step: Option<i32>,
}

/// What became of a SUBMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// The item waits.
    Ready,
    /// It went straight to a waiting moderator.
    Assigned,
    /// It waits for its due time.
    Delayed,
    /// It was there, and is as it was.
    Exists,
    /// It was there, and was reported once more.
    Bumped,
    /// It was there, and has the new content.
    Replaced,
    /// It was decided, and that stands.
    Decided,
}

/// CANCEL: removes an item in whatever state. Replies whether it did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cancel<'a> {
    /// The item.
    pub id: &'a [u8],
    /// Only if this is its revision.
    pub rev: Option<u64>,
    /// Why, for its event.
    pub reason: Option<&'a [u8]>,
    /// Who does it, for its event.
    pub by: Option<&'a [u8]>,
}

/// UPDATE: changes an item; its state only where votes are void or counted anew by that. Replies the new
/// revision, or none if the present one is not the one named.
#[derive(Debug, Clone, Default)]
pub struct Update<'a> {
    /// The item.
    pub id: &'a [u8],
    /// Only if this is its revision.
    pub rev: Option<u64>,
    /// The new priority.
    pub priority: Option<i32>,
    /// The new boost, ms.
    pub boost: Option<i64>,
    /// The new payload.
    pub payload: Option<&'a [u8]>,
    /// The new tags.
    pub tags: Option<Names<'a>>,
    /// Who may not have it from now on.
    pub excluded: Option<Names<'a>>,
    /// How many must agree on it from now on.
    pub quorum: Option<Quorum>,
    /// The group it belongs to from now on; empty is none.
    pub group: Option<&'a [u8]>,
    /// How often it counts as reported.
    pub reports: Option<u32>,
    /// Who does it, for its event.
    pub by: Option<&'a [u8]>,
}

/// FORGET: erases records of decided items. Replies how many there were.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forget<'a> {
    /// The items.
    pub ids: &'a [&'a [u8]],
    /// Who does it, for the events.
    pub by: Option<&'a [u8]>,
}

/// CLAIM: what a moderator holds, then what is new for them.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// Who asks.
    pub moderator: &'a [u8],
    /// How many they want in hand, or with `new_only` newly.
    pub count: usize,
    /// How long a lock lasts; none is the queue's setting.
    pub lock: Option<Millis>,
    /// What they offer; none: the tags joined with.
    pub tags: Option<Names<'a>>,
    /// Leaves out what they hold already.
    pub new_only: bool,
    /// New items are all of one group: that of the first item answered.
    pub with_group: bool,
}

/// The items of a CLAIM, locked: to be shown by `Queue::claimed_view` while the queue is unchanged.
pub type Claimed = SmallVec<[ClaimedItem; 4]>;

/// An item that a CLAIM answers, with its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedItem {
    pub(super) item: ItemSlot,
    pub(super) token: Token,
    pub(super) deadline: Time,
}

impl From<Lock> for ClaimedItem {
    fn from(lock: Lock) -> ClaimedItem {
        ClaimedItem {
            item: lock.item,
            token: lock.token,
            deadline: lock.deadline,
        }
    }
}

/// RESOLVE: ends an item with a decision on it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resolve<'a> {
    /// The item.
    pub id: &'a [u8],
    /// The token of its live lock, or with LATE ACCEPT of the last one.
    pub token: Token,
    /// Only if this is its revision.
    pub rev: Option<u64>,
    /// The outcome that machines compare.
    pub verdict: Option<&'a [u8]>,
    /// The text of the decision, for its event.
    pub decision: Option<&'a [u8]>,
}

/// What became of a RESOLVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// The item has ended.
    Ended,
    /// It is a vote; more are needed.
    Voted,
    /// It is a vote; they cannot agree any more.
    Split,
}

/// RESOLVE … ALSO: ends an item, and gives the same verdict to others of its group.
#[derive(Debug, Clone, Default)]
pub struct ResolveAlso<'a> {
    /// The item named.
    pub named: Resolve<'a>,
    /// At most so many others.
    pub most: usize,
    /// Those with another tag are passed over; none: with one that the item named has not.
    pub tags: Option<Names<'a>>,
    /// Where to begin, by arrival; 0 is the first.
    pub cursor: u64,
}

/// What became of a RESOLVE … ALSO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolvedAlso {
    /// What became of the item named.
    pub resolved: Resolved,
    /// And of the others of its group.
    pub group: GroupDone,
}

/// How far a command came with the items of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupDone {
    /// How many it was done to.
    pub done: usize,
    /// How many items of the group are in the queue now.
    pub left: usize,
    /// Where to go on; none after the last.
    pub next: Option<u64>,
}

/// CANCELGROUP: removes the items of a group, in whatever state.
#[derive(Debug, Clone, Default)]
pub struct CancelGroup<'a> {
    /// The group.
    pub group: &'a [u8],
    /// At most so many.
    pub most: usize,
    /// Where to begin, by arrival; 0 is the first.
    pub cursor: u64,
    /// Those with one of these tags are passed over.
    pub except: Names<'a>,
    /// Why, for the events.
    pub reason: Option<&'a [u8]>,
    /// Who does it, for the events.
    pub by: Option<&'a [u8]>,
}

/// RELEASE: gives an item back to its own place.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// The item.
    pub id: &'a [u8],
    /// The token of its live lock.
    pub token: Token,
    /// Never again for this moderator.
    pub skip: bool,
    /// How long it is delayed.
    pub delay: Millis,
}

/// EXTEND: sets the deadline of a lock anew. Replies it.
#[derive(Debug, Clone, Copy)]
pub struct Extend<'a> {
    /// The item.
    pub id: &'a [u8],
    /// The token of its live lock.
    pub token: Token,
    /// How long the lock lasts from now on.
    pub span: Millis,
}

/// JOIN: registers a moderator who has no open connection, or keeps them registered.
#[derive(Debug, Clone, Default)]
pub struct Join<'a> {
    /// Who joins.
    pub moderator: &'a [u8],
    /// For how long this is good.
    pub ttl: Option<Millis>,
    /// How many locks they want in hand.
    pub count: Option<u64>,
    /// What they offer.
    pub tags: Option<Names<'a>>,
}

/// What became of a JOIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// They wait in line.
    Waiting,
    /// They hold as many locks as they want, or were given an item.
    Assigned,
}

/// LEAVE: ends a registration. Replies whether they were in line.
#[derive(Debug, Clone, Copy)]
pub struct Leave<'a> {
    /// Who leaves.
    pub moderator: &'a [u8],
    /// Their locks end too.
    pub release: bool,
}

/// ASSIGN: locks an item for a named person, whatever their tags and capacity. Replies the token.
#[derive(Debug, Clone, Copy, Default)]
pub struct Assign<'a> {
    /// The item.
    pub id: &'a [u8],
    /// Who gets it.
    pub moderator: &'a [u8],
    /// How long the lock lasts; none is the queue's setting.
    pub lock: Option<Millis>,
    /// The token of its live lock, which ends in the same step. None: it must not be locked.
    pub token: Option<Token>,
    /// Who does it, for its events.
    pub by: Option<&'a [u8]>,
}

/// PAUSE: refuses input, output or both from now on.
#[derive(Debug, Clone, Copy)]
pub struct Pause(pub Sides);

/// UNPAUSE: accepts them again.
#[derive(Debug, Clone, Copy)]
pub struct Unpause(pub Sides);

/// REVIVE: makes dead items ready again. Replies how many were dead.
#[derive(Debug, Clone, Copy, Default)]
pub struct Revive<'a> {
    /// The items.
    pub ids: &'a [&'a [u8]],
    /// Who does it, for the events.
    pub by: Option<&'a [u8]>,
}

/// REVIVE … ALL: the same for the dead items that came first. Replies how many.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReviveAll<'a> {
    /// At most so many.
    pub count: usize,
    /// Who does it, for the events.
    pub by: Option<&'a [u8]>,
}

/// CONFIGURE: changes the settings that are given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Configure<'a> {
    /// See `Settings`, for all of these.
    pub lock: Option<Millis>,
    /// 0 is never.
    pub max_expiries: Option<u64>,
    /// 0 is no limit.
    pub max_len: Option<u64>,
    /// 0 is no limit.
    pub capacity: Option<u64>,
    /// What becomes of late decisions.
    pub late: Option<Late>,
    /// ms; 0 makes priority a strict band.
    pub aging: Option<u64>,
    /// The key of a stream; empty is off.
    pub events: Option<&'a [u8]>,
    /// 0 keeps all.
    pub events_max_len: Option<u64>,
    /// What an item needs to end.
    pub quorum: Option<Quorum>,
    /// The tag of contested items; empty is none.
    pub split_tag: Option<&'a [u8]>,
    /// 0 keeps no records.
    pub retain: Option<Millis>,
    /// 0 is no limit.
    pub retain_max: Option<u64>,
}

/// MOVE: takes an item to another queue.
#[derive(Debug, Clone, Copy, Default)]
pub struct Move<'a> {
    /// The item.
    pub id: &'a [u8],
    /// The token of its live lock; a locked item needs it.
    pub token: Option<Token>,
    /// Its priority there; none keeps it.
    pub priority: Option<i32>,
    /// Who does it, for its events.
    pub by: Option<&'a [u8]>,
}

/// MSUBMIT, MRESOLVE, MEXTEND: requests of one kind, each as if sent on its own, in order. Replies
/// what each does.
#[derive(Debug, Clone)]
pub struct Many<I>(pub I);

/// Undoes a match whose client went away before it was answered. Replies whether the lock was
/// still there.
#[derive(Debug, Clone, Copy)]
pub struct Undo<'a> {
    /// The item.
    pub id: &'a [u8],
    /// The token of the match.
    pub token: Token,
    /// Where the moderator stood by JOIN before it.
    pub place: Option<Place>,
}
