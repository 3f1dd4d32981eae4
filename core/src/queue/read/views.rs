//! What readers are shown.

use crate::queue::settings::Quorum;
use crate::queue::store::{Barring, Rev, State};
use crate::units::{Time, Token};

/// A lock as CLAIM and HELD answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimView<'a> {
    /// The item.
    pub item: &'a [u8],
    /// What is reviewed.
    pub payload: &'a [u8],
    /// The fencing token.
    pub token: Token,
    /// When the lock ends.
    pub deadline: Time,
    /// Higher is claimed first.
    pub priority: i32,
    /// When it was first submitted.
    pub submitted: Time,
    /// How often it was locked.
    pub deliveries: u32,
    /// Its revision.
    pub rev: Rev,
}

/// The live lock of an item as GET answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockView<'a> {
    /// Who has it.
    pub moderator: &'a [u8],
    /// The fencing token.
    pub token: Token,
    /// When the lock ends.
    pub deadline: Time,
}

/// An item as GET answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemView<'a> {
    /// The item.
    pub item: &'a [u8],
    /// What it is doing.
    pub state: State,
    /// What is reviewed.
    pub payload: &'a [u8],
    /// Higher is claimed first.
    pub priority: i32,
    /// How much older than it is the item counts, ms.
    pub boost: i64,
    /// When it was first submitted.
    pub submitted: Time,
    /// The last due time; none if it was never delayed.
    pub due: Option<Time>,
    /// Its revision.
    pub rev: Rev,
    /// How often it was reported.
    pub reports: u32,
    /// How often it was locked.
    pub deliveries: u32,
    /// How often a lock on it ended by its deadline.
    pub expiries: u32,
    /// The live lock.
    pub lock: Option<LockView<'a>>,
    /// What a moderator must offer.
    pub tags: Vec<&'a [u8]>,
    /// Who may not have it.
    pub excluded: Vec<&'a [u8]>,
    /// How many must agree on it.
    pub quorum: Quorum,
    /// The votes that stand, in their order.
    pub votes: Vec<VoteView<'a>>,
    /// They cannot agree any more.
    pub contested: bool,
    /// The group it belongs to; empty is none.
    pub group: &'a [u8],
    /// Who may not have it because they decided before.
    pub deciders: Vec<&'a [u8]>,
}

/// A vote as GET answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoteView<'a> {
    /// Who voted.
    pub moderator: &'a [u8],
    /// For what.
    pub verdict: &'a [u8],
    /// When.
    pub at: Time,
}

/// An item as LIST answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The item.
    pub item: &'a [u8],
    /// Higher is claimed first.
    pub priority: i32,
    /// When it was first submitted.
    pub submitted: Time,
    /// The live lock.
    pub lock: Option<LockView<'a>>,
}

/// A page of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<'a> {
    /// Where to go on; none after the last page.
    pub next: Option<u64>,
    /// The items.
    pub rows: Vec<Listed<'a>>,
}

/// An item as GROUP answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouped<'a> {
    /// The item.
    pub item: &'a [u8],
    /// What it is doing.
    pub state: State,
    /// Higher is claimed first.
    pub priority: i32,
    /// When it was first submitted.
    pub submitted: Time,
    /// Who has the live lock.
    pub moderator: Option<&'a [u8]>,
}

/// A page of the items of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPage<'a> {
    /// Where to go on; none after the last page.
    pub next: Option<u64>,
    /// The items.
    pub rows: Vec<Grouped<'a>>,
}

/// How a moderator waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By JOIN, and perhaps in blocked calls too.
    Joined,
    /// In blocked calls only.
    Blocked,
}

/// A moderator in line as WAITERS answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiterView<'a> {
    /// Who waits.
    pub moderator: &'a [u8],
    /// How.
    pub kind: Kind,
    /// Since when.
    pub since: Time,
    /// What they offer.
    pub tags: Vec<&'a [u8]>,
}

/// Why an item would not go to a moderator now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is not ready.
    State,
    /// They do not offer its tags.
    Tags,
    /// They are excluded from it.
    Excluded,
    /// They have voted on it.
    Voted,
    /// They decided the item that it is an appeal of.
    Decider,
    /// They hold as many locks as they may.
    Capacity,
    /// The queue hands out nothing.
    Paused,
    /// Others come first.
    Behind,
}

impl From<Barring> for Reason {
    fn from(barring: Barring) -> Reason {
        match barring {
            Barring::Excluded => Reason::Excluded,
            Barring::Voted => Reason::Voted,
            Barring::Decider => Reason::Decider,
        }
    }
}

impl Reason {
    /// Its name in replies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reason::State => "state",
            Reason::Tags => "tags",
            Reason::Excluded => "excluded",
            Reason::Voted => "voted",
            Reason::Decider => "decider",
            Reason::Capacity => "capacity",
            Reason::Paused => "paused",
            Reason::Behind => "behind",
        }
    }
}

/// How many items are in each state, and how many moderators in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Items that wait.
    pub ready: usize,
    /// Items that are worked on.
    pub locked: usize,
    /// Items that wait for their due time.
    pub delayed: usize,
    /// Items that are parked.
    pub dead: usize,
    /// Moderators in line.
    pub waiting: usize,
}
