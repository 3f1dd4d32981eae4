//! One item, its lock, and what makes each of them small: a record of 56 bytes and one allocation
//! for id and payload. What few items have is in [`Rare`].

use crate::memory::alloc_size;
use crate::slab::slot_number;
use crate::units::{Time, Token};
use serde::{Deserialize, Serialize};

slot_number!(
    /// Where the record of an item is. Given anew to another item once this one is gone.
    pub ItemSlot
);

use super::moderators::ModeratorSlot;
use super::tags::TagList;

/// Where an item stands: smaller is claimed earlier.
///
/// Without aging `major` is the negated priority and `minor` submitted − boost; with aging `major`
/// is 0 and `minor` is submitted − boost − priority × aging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderKey {
    /// The band: smaller first.
    pub major: i64,
    /// The age inside the band, ms: older first.
    pub minor: i64,
    /// Of equal ages the one that came first.
    pub seq: Seq,
}

/// The order of arrival in a queue: each item's is larger than those of all before it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// The revision of an item's content and order: 1 at submit, then one more with each change.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Rev(pub u32);

impl Rev {
    /// The revision after this one; the last stays.
    #[must_use]
    pub const fn next(self) -> Rev {
        Rev(self.0.saturating_add(1))
    }

    /// Whether this is the revision that a client named.
    #[must_use]
    pub fn is(self, named: u64) -> bool {
        u64::from(self.0) == named
    }
}

/// What an item is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It waits for a moderator.
    Ready,
    /// It waits for its due time.
    Delayed,
    /// A moderator works on it.
    Locked,
    /// It is parked after too many expiries: the dead letter of other queues.
    Dead,
}

impl State {
    /// The name of the state in events and replies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Delayed => "delayed",
            State::Locked => "locked",
            State::Dead => "dead",
        }
    }
}

/// A number below 2^48 in six bytes: what makes a record fit 56.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) struct U48([u16; 3]);

impl U48 {
    pub(in crate::queue) const MAX: u64 = (1 << 48) - 1;

    /// The number; what does not fit is cut to the largest that does.
    #[inline]
    pub(in crate::queue) fn new(n: u64) -> U48 {
        let n = n.min(U48::MAX);
        U48([n as u16, (n >> 16) as u16, (n >> 32) as u16])
    }

    #[inline]
    pub(in crate::queue) fn get(self) -> u64 {
        u64::from(self.0[0]) | u64::from(self.0[1]) << 16 | u64::from(self.0[2]) << 32
    }
}

/// One item. Rare properties are in [`Rare`], the lock is in [`Lock`].
#[derive(Debug)]
pub(in crate::queue) struct Item {
    /// The id, then the payload.
    bytes: Box<[u8]>,
    /// submitted − boost, ms.
    age: i64,
    /// Unix ms.
    submitted: U48,
    seq: U48,
    pub priority: i32,
    pub rev: Rev,
    /// Times it was locked.
    pub deliveries: u32,
    /// The tags it requires.
    pub tags: TagList,
    id_len: u16,
    pub state: State,
    /// What there is of it elsewhere.
    pub has: Has,
}

/// What there is of an item beside its record: most have nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::queue) struct Has(u8);

impl Has {
    /// A [`Rare`].
    pub(super) const RARE: Has = Has(1);
    /// A `Review`.
    pub(super) const REVIEW: Has = Has(2);
    /// A place in `Groups`.
    pub(super) const MEMBER: Has = Has(4);

    #[inline]
    pub(in crate::queue) fn nothing(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(super) fn is(self, what: Has) -> bool {
        self.0 & what.0 != 0
    }

    pub(super) fn set(&mut self, what: Has, is_there: bool) {
        match is_there {
            true => self.0 |= what.0,
            false => self.0 &= !what.0,
        }
    }
}

const _: () = assert!(size_of::<Item>() == 56);

impl Item {
    pub(in crate::queue) fn new(
        id: &[u8],
        payload: &[u8],
        submitted: Time,
        seq: Seq,
        boost: i64,
    ) -> Item {
        Item {
            bytes: join(id, payload),
            age: submitted.0 as i64 - boost,
            submitted: U48::new(submitted.0),
            seq: U48::new(seq.0),
            priority: 0,
            rev: Rev(1),
            deliveries: 0,
            tags: TagList::EMPTY,
            id_len: id.len() as u16,
            state: State::Ready,
            has: Has::default(),
        }
    }

    #[inline]
    pub(in crate::queue) fn id(&self) -> &[u8] {
        &self.bytes[..self.id_len as usize]
    }

    #[inline]
    pub(in crate::queue) fn payload(&self) -> &[u8] {
        &self.bytes[self.id_len as usize..]
    }

    #[inline]
    pub(in crate::queue) fn submitted(&self) -> Time {
        Time(self.submitted.get())
    }

    /// ms.
    pub(in crate::queue) fn boost(&self) -> i64 {
        self.submitted.get() as i64 - self.age
    }

    #[inline]
    pub(in crate::queue) fn seq(&self) -> Seq {
        Seq(self.seq.get())
    }

    pub(super) fn set_boost(&mut self, boost: i64) {
        self.age = self.submitted.get() as i64 - boost;
    }

    pub(super) fn set_payload(&mut self, payload: &[u8]) {
        self.bytes = join(self.id(), payload);
    }

    /// Bytes of heap, rounded as the allocator does.
    pub(in crate::queue) fn heap_bytes(&self) -> usize {
        alloc_size(self.bytes.len())
    }

    #[inline]
    pub(super) fn key(&self, aging: u64) -> OrderKey {
        let (major, minor) = if aging == 0 {
            (-i64::from(self.priority), self.age)
        } else {
            // |priority × aging| ≤ 2^62 and |age| < 2^49: no overflow.
            (0, self.age - i64::from(self.priority) * aging as i64)
        };
        OrderKey {
            major,
            minor,
            seq: self.seq(),
        }
    }
}

fn join(id: &[u8], payload: &[u8]) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(id.len() + payload.len());
    bytes.extend_from_slice(id);
    bytes.extend_from_slice(payload);
    bytes.into_boxed_slice()
}

/// A moderator that an item may not go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) struct Exclusion {
    pub moderator: ModeratorSlot,
    /// By RELEASE … SKIP; else they were named by EXCLUDE.
    pub skip: bool,
}

/// Properties that few items have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::queue) struct Rare {
    /// The last due time; none if it was never delayed.
    pub due: Option<Time>,
    /// Moderators it may not go to, in the order they were named; each once.
    pub excluded: Vec<Exclusion>,
    pub reports: u32,
    pub expiries: u32,
    /// Came from another queue: older than its seq tells.
    pub moved: bool,
    /// The last lock, if it ended by its deadline: whose decision may be accepted late.
    pub late: Option<Lock>,
}

impl Default for Rare {
    fn default() -> Self {
        Rare {
            due: None,
            excluded: Vec::new(),
            reports: 1,
            expiries: 0,
            moved: false,
            late: None,
        }
    }
}

/// A lock on an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) struct Lock {
    pub item: ItemSlot,
    pub moderator: ModeratorSlot,
    pub token: Token,
    pub deadline: Time,
    /// When it was locked.
    pub at: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_survive() {
        for n in [0, 1, 65_535, 65_536, 1_763_690_000_000, U48::MAX] {
            assert_eq!(U48::new(n).get(), n);
        }
        assert_eq!(U48::new(u64::MAX).get(), U48::MAX);
    }
}
