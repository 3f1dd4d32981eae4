//! What comes out of a command or tick beside its reply: what to replicate, to log, to tell.

use super::event::Batch;
use super::line::CallId;
use super::record::Record;
use super::store::Place;
use crate::units::{Time, Token};
use smallvec::SmallVec;

/// What happened during one command or tick. Kept and cleared, so that its buffers are used again.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The effects, to be replicated; empty if nothing changed.
    pub record: Record,
    /// To be written to event streams.
    pub events: Vec<Batch>,
    /// To be published: items that came to moderators who did not ask in this very call.
    pub announcements: Vec<Announcement>,
    /// Blocked calls to be answered.
    pub answers: Vec<Answer>,
    /// To be told as keyspace events.
    pub notices: SmallVec<[Notice; 4]>,
}

impl Outcome {
    /// Starts again, keeping the buffers.
    pub fn clear(&mut self) {
        self.record.clear();
        self.events.clear();
        self.announcements.clear();
        self.answers.clear();
        self.notices.clear();
    }
}

/// An item that was given to a moderator who did not ask for it in this very call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The item.
    pub item: Box<[u8]>,
    /// Who has it.
    pub moderator: Box<[u8]>,
    /// The token of their lock.
    pub token: Token,
    /// By ASSIGN rather than from the line.
    pub assign: bool,
}

/// A blocked call that is to be answered with a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The host's number for it.
    pub call: CallId,
    /// The item.
    pub item: Box<[u8]>,
    /// The token of the lock.
    pub token: Token,
    /// How to undo the match that the lock came by; none if it came otherwise, and stays.
    pub undo: Option<BeforeMatch>,
}

/// How a moderator stood before a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeforeMatch {
    /// Where they stood by JOIN, if they did.
    pub joined_at: Option<Place>,
}

/// Something to tell about a key, as a keyspace event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// An item came in.
    Submit,
    /// An item went to a moderator who did not ask in this very call.
    Assign,
    /// An item was decided.
    Resolve,
    /// A verdict on an item did not end it.
    Vote,
    /// The votes on an item cannot agree any more.
    Split,
    /// An item was given back.
    Release,
    /// A lock ended by its deadline.
    Expire,
    /// A lock ended by its deadline, and the item is dead.
    Dead,
}

/// When a queue next has something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// At once: matches are to be caught up, or waiting calls to be heard of.
    Now,
    /// At this time.
    At(Time),
}

impl Due {
    /// Whether it is time.
    #[must_use]
    pub fn is_reached(self, now: Time) -> bool {
        match self {
            Due::Now => true,
            Due::At(time) => time <= now,
        }
    }
}
