//! What can happen to a queue, as data. Effects are what a command or the clock decided; applying
//! them is the only way a queue changes, on the primary, on replicas and from the AOF alike.

use super::settings::{Paused, Quorum, Settings};
use super::store::{Place, Rev};
use crate::units::{Millis, Time, Token};
use serde_bytes::Bytes;

/// Names of tags or moderators.
pub type Names<'a> = Vec<&'a Bytes>;

/// A moderator that an item may not go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excluded<'a> {
    /// Their name.
    pub moderator: &'a Bytes,
    /// They skipped the item; else they were named by EXCLUDE.
    pub skip: bool,
}

/// One change. Items and moderators are named by their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<'a> {
    /// A new item, delayed if it has a due time.
    Submit {
        /// The item.
        id: &'a [u8],
        /// What is reviewed.
        payload: &'a [u8],
        /// Higher is claimed first.
        priority: i32,
        /// How much older than it is the item counts, ms.
        boost: i64,
        /// When it comes due.
        due: Option<Time>,
        /// What a moderator must offer.
        tags: Names<'a>,
        /// Who may not have it.
        excluded: Names<'a>,
        /// By whom it is to be decided; none: by the first verdict of anybody.
        terms: Option<Box<Terms<'a>>>,
    },
    /// One report more; priority and boost are the values from now on.
    Bump {
        /// The item.
        id: &'a [u8],
        /// Its priority from now on.
        priority: i32,
        /// Its boost from now on, ms.
        boost: i64,
    },
    /// Content or order changed, by UPDATE or by a second SUBMIT.
    Change {
        /// The item.
        id: &'a [u8],
        /// By a second SUBMIT, which makes a dead item ready.
        replace: bool,
        /// The new payload.
        payload: Option<&'a [u8]>,
        /// The new priority.
        priority: Option<i32>,
        /// The new boost, ms.
        boost: Option<i64>,
        /// The new tags.
        tags: Option<Names<'a>>,
        /// Who may not have it from now on.
        excluded: Option<Names<'a>>,
        /// How many must agree on it from now on.
        quorum: Option<Quorum>,
        /// The group it belongs to from now on; empty is none.
        group: Option<&'a [u8]>,
        /// How often it counts as reported.
        reports: Option<u32>,
    },
    /// Removed by a producer.
    Cancel {
        /// The item.
        id: &'a [u8],
    },
    /// Locked for a moderator.
    Lock {
        /// The item.
        id: &'a [u8],
        /// Who has it.
        moderator: &'a [u8],
        /// The fencing token.
        token: Token,
        /// When the lock ends.
        deadline: Time,
        /// Given by a supervisor; else claimed or matched.
        assign: bool,
    },
    /// The lock has a new deadline.
    Extend {
        /// The item.
        id: &'a [u8],
        /// When the lock ends now.
        deadline: Time,
    },
    /// Decided; done and gone. With RETAIN it leaves a record.
    Resolve {
        /// The item.
        id: &'a [u8],
        /// By whose verdict; none: by that of its lock, which named none.
        end: Option<Ending<'a>>,
    },
    /// A verdict that does not end the item. It is ready again, or contested.
    Vote {
        /// The item.
        id: &'a [u8],
        /// Whose verdict, and what it is.
        by: Ending<'a>,
        /// The votes cannot agree any more.
        split: bool,
    },
    /// Its votes cannot agree any more: it was asked for more of them than can still be.
    Split {
        /// The item.
        id: &'a [u8],
    },
    /// A decided item was reported once more.
    Report {
        /// The item that was decided.
        id: &'a [u8],
    },
    /// The record of a decided item is erased.
    Forget {
        /// The item that was decided.
        id: &'a [u8],
    },
    /// The records of the items that were decided first are gone.
    Drop {
        /// How many.
        count: u64,
        /// For RETAINMAX; else their time ran out.
        evicted: bool,
    },
    /// The lock was given back.
    Release {
        /// The item.
        id: &'a [u8],
        /// Never again for this moderator.
        skip: bool,
        /// Not before this time.
        due: Option<Time>,
    },
    /// The lock's deadline passed.
    Expire {
        /// The item.
        id: &'a [u8],
        /// The item is parked.
        dead: bool,
    },
    /// The due time came.
    Due {
        /// The item.
        id: &'a [u8],
    },
    /// A delayed item comes due at another time: the clock was set back.
    Delay {
        /// The item.
        id: &'a [u8],
        /// When it comes due now.
        due: Time,
    },
    /// A match that did not reach its moderator was undone.
    Undo {
        /// The item.
        id: &'a [u8],
        /// Where the moderator stood by JOIN.
        place: Option<Place>,
    },
    /// A dead item is ready again.
    Revive {
        /// The item.
        id: &'a [u8],
    },
    /// A moderator registered, or gave a sign of life.
    Join {
        /// Their name.
        moderator: &'a [u8],
        /// Where they stand in line, if they do.
        place: Option<Place>,
        /// For how long the registration is good.
        ttl: Millis,
        /// When it runs out.
        expires: Time,
        /// How many locks they want in hand.
        count: u64,
        /// What they offer to review.
        tags: Names<'a>,
    },
    /// A registered moderator was answered, and so leaves the line but stays registered.
    Served {
        /// Their name.
        moderator: &'a [u8],
    },
    /// A moderator's registration ended.
    Leave {
        /// Their name.
        moderator: &'a [u8],
    },
    /// What the queue refuses from now on.
    Pause {
        /// The sides that are paused.
        paused: Paused,
    },
    /// New settings.
    Configure {
        /// All of them.
        settings: Settings,
    },
    /// The item went to another queue.
    MoveOut {
        /// The item.
        id: &'a [u8],
    },
    /// The item came from another queue.
    MoveIn(Box<MoveIn<'a>>),
}

/// An item that comes from another queue, as it was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveIn<'a> {
    /// The item.
    pub id: &'a [u8],
    /// What is reviewed.
    pub payload: &'a [u8],
    /// Higher is claimed first.
    pub priority: i32,
    /// How much older than it is the item counts, ms.
    pub boost: i64,
    /// When it was first submitted.
    pub submitted: Time,
    /// Its last due time.
    pub due: Option<Time>,
    /// It waits for its due time.
    pub delayed: bool,
    /// Its revision here.
    pub rev: Rev,
    /// How often it was reported.
    pub reports: u32,
    /// How often it was locked.
    pub deliveries: u32,
    /// What a moderator must offer.
    pub tags: Names<'a>,
    /// Who may not have it.
    pub excluded: Vec<Excluded<'a>>,
    /// The largest token that the other queue had given.
    pub last_token: Token,
    /// How it was decided there so far; none: not at all, and the first verdict will.
    pub review: Option<Box<MovedReview<'a>>>,
}

/// By whom a new item is to be decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms<'a> {
    /// How many must agree.
    pub quorum: Quorum,
    /// The group it belongs to; empty is none.
    pub group: &'a [u8],
    /// Who may never be given it, because they decided before.
    pub deciders: Names<'a>,
}

/// A verdict on an item, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending<'a> {
    /// Who gave it.
    pub moderator: &'a [u8],
    /// The token of their lock on the item; zero if they had none.
    pub token: Token,
    /// The outcome that machines compare; empty if none was named.
    pub verdict: &'a [u8],
}

/// A vote on an item that comes from another queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovedVote<'a> {
    /// The verdict.
    pub by: Ending<'a>,
    /// When it was given.
    pub at: Time,
    /// It was answered SPLIT.
    pub split: bool,
}

/// What was decided so far of an item that comes from another queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MovedReview<'a> {
    /// By whom it is to be decided.
    pub terms: Terms<'a>,
    /// The votes that stand, in their order.
    pub votes: Vec<MovedVote<'a>>,
    /// They cannot agree any more.
    pub contested: bool,
    /// The tag it got for that, which is not among `MoveIn::tags`; empty is none.
    pub added_tag: &'a [u8],
}
