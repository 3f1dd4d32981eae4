//! The members of a board, found by their names and kept in order. A member is a record in a slab; the
//! index by name and the tree of the order hold its slot number. Records are as wide as rows are, so
//! that a board of one column carries no more.

use super::MAX_MEMBERS;
use super::row::Row;
use super::settings::{Settings, Standing, Ties};
use super::ties::{ByName, ByStamp, Tiebreak, Turned};
use crate::counted_tree::{Around, Bound, CountedTree, Measure};
use crate::memory::alloc_size;
use crate::slab::{Slab, SlotNumber, slot_number};
use crate::slot_index::SlotIndex;

slot_number!(
    /// The slot of a member.
    pub(super) Slot
);

/// What happened to the place of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    /// How many were before it, if it was there.
    pub(super) old: Option<usize>,
    /// How many are before it now.
    pub(super) new: usize,
}

/// What is strictly better than a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Better {
    pub(super) members: usize,
    /// How many different rows they have.
    pub(super) rows: usize,
}

/// Members in order, whatever their columns and ties are.
pub(super) trait Rows: Send {
    fn len(&self) -> usize;
    fn find(&self, member: &[u8]) -> Option<Slot>;
    fn standing(&self, slot: Slot) -> Standing<'_>;
    /// How many are before it.
    fn rank(&self, slot: Slot) -> usize;
    fn better(&self, row: &Row) -> Better;
    /// The last in order.
    fn last(&self) -> Option<Standing<'_>>;
    /// Gives a member, which comes to be if it is not there, this row.
    fn put(&mut self, standing: &Standing<'_>) -> Moved;
    /// Adds a member, unless one has its name, or its row and stamp. Answers whether it did.
    fn add(&mut self, standing: &Standing<'_>) -> bool;
    /// Takes a member out, which must be there.
    fn remove(&mut self, member: &[u8]);
    /// Shows the members from a rank on, in order, until `visit` answers false: each with whether
    /// it is the first with its row.
    fn visit(&self, from: usize, visit: &mut dyn FnMut(Slot, bool) -> bool);
    /// Bytes of heap, O(1).
    fn memory_bytes(&self) -> usize;
}

/// No members, for a board of these settings.
pub(super) fn empty(settings: &Settings) -> Box<dyn Rows> {
    fn of_width<const N: usize>(settings: &Settings) -> Box<dyn Rows> {
        match settings.ties {
            Ties::Earliest | Ties::Latest => Box::new(Ranked::<N, ByStamp>::new(settings)),
            Ties::Member => Box::new(Ranked::<N, ByName>::new(settings)),
        }
    }
    match settings.columns() {
        1 => of_width::<1>(settings),
        2 => of_width::<2>(settings),
        3 => of_width::<3>(settings),
        _ => of_width::<4>(settings),
    }
}

/// A member: 32 bytes if its row has one column, and one allocation for its name.
struct Member<const N: usize> {
    name: Box<[u8]>,
    stamp: u64,
    row: Turned<N>,
}

/// An entry of the tree: the slot of a member and, in the highest bit, whether it is the first with
/// its row. The sums of these bits are what dense ranks are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(u32);

const LEADS: u32 = 1 << 31;
const _: () = assert!(MAX_MEMBERS <= LEADS as usize);

impl Place {
    #[inline]
    fn new(slot: Slot, leads: bool) -> Place {
        Place(slot.number() | if leads { LEADS } else { 0 })
    }

    #[inline]
    fn slot(self) -> Slot {
        Slot::new(self.0 & !LEADS)
    }

    #[inline]
    fn leads(self) -> bool {
        self.0 & LEADS != 0
    }

    /// What knows the entry of the same member.
    fn sight(self) -> impl Fn(Place) -> bool {
        sight(self.slot())
    }
}

/// What knows the entry of a member.
#[inline]
fn sight(slot: Slot) -> impl Fn(Place) -> bool {
    move |place| place.0 & !LEADS == slot.number()
}

/// How many different rows some members have, who stand one after the other.
#[derive(Debug, Clone, Copy, Default)]
struct Leaders(usize);

impl Measure<Place> for Leaders {
    #[inline]
    fn of(entry: Place) -> Leaders {
        Leaders((entry.0 >> 31) as usize)
    }

    #[inline]
    fn add(&mut self, more: Leaders) {
        self.0 += more.0;
    }

    #[inline]
    fn sub(&mut self, less: Leaders) {
        self.0 -= less.0;
    }
}

/// Members with rows of `N` columns, ties broken by `T`.
struct Ranked<const N: usize, T: Tiebreak<N>> {
    members: Slab<Slot, Member<N>>,
    by_name: SlotIndex<Slot>,
    order: CountedTree<Place, T::Low, Leaders>,
    turn: Turn<N>,
    /// Bytes that the names take.
    name_bytes: usize,
}

/// What scores and stamps are combined with (exclusive or), so that the smaller are the better.
#[derive(Clone, Copy)]
struct Turn<const N: usize> {
    scores: [i64; N],
    stamp: u64,
}

impl<const N: usize> Turn<N> {
    /// The row turned, or if it is turned, as it was.
    #[inline]
    fn row(&self, scores: &[i64]) -> Turned<N> {
        std::array::from_fn(|i| scores[i] ^ self.scores[i])
    }

    /// The key of a member.
    #[inline(always)]
    fn key<'m, T: Tiebreak<N>>(&self, member: &'m Member<N>) -> <T::Low as Bound>::Key<'m> {
        T::key(member.row, member.stamp ^ self.stamp, &member.name)
    }
}

impl<const N: usize, T: Tiebreak<N>> Ranked<N, T> {
    fn new(settings: &Settings) -> Self {
        let flips = settings.flips();
        Ranked {
            members: Slab::default(),
            by_name: SlotIndex::default(),
            order: CountedTree::default(),
            turn: Turn {
                scores: std::array::from_fn(|i| flips[i]),
                stamp: match settings.ties {
                    Ties::Latest => u64::MAX,
                    Ties::Earliest | Ties::Member => 0,
                },
            },
            name_bytes: 0,
        }
    }

    #[inline]
    fn find_hashed(&self, hash: u64, name: &[u8]) -> Option<Slot> {
        self.by_name
            .find(hash, |slot| *self.members[slot].name == *name)
    }

    /// Files a new member, which is yet to be put into its place in the order.
    fn file(&mut self, hash: u64, standing: &Standing<'_>) -> Slot {
        let slot = self.members.insert(Member {
            name: standing.member.into(),
            stamp: standing.stamp,
            row: self.turn.row(&standing.row),
        });
        self.name_bytes += alloc_size(standing.member.len());
        let members = &self.members;
        self.by_name.insert(hash, slot, |slot| &members[slot].name);
        slot
    }

    /// Puts a member into its place in the order. Answers how many are before it.
    fn put_in(&mut self, slot: Slot) -> usize {
        let Ranked {
            members,
            order,
            turn,
            ..
        } = self;
        let key_of = |place: Place| turn.key::<T>(&members[place.slot()]);
        let row_of = |place: Place| members[place.slot()].row;
        let (key, row) = (turn.key::<T>(&members[slot]), members[slot].row);
        let around = order.around(key, key_of);
        let leads = around.previous.is_none_or(|before| row_of(before) != row);
        let new = order.insert(Place::new(slot, leads), key, key_of);
        debug_assert!(new);
        if let Some(next) = around.next.filter(|next| leads && row_of(*next) == row) {
            let place = Place::new(next.slot(), false);
            order.replace_known(place, key_of(next), next.sight());
        }
        around.before
    }

    /// Where a member stands in the order.
    #[inline]
    fn around(&self, slot: Slot) -> Around<Place, Leaders> {
        let key = self.turn.key::<T>(&self.members[slot]);
        self.order.around_known(key, sight(slot))
    }

    /// Takes a member, which stands there, out of the order.
    fn take_out(&mut self, slot: Slot, around: &Around<Place, Leaders>) {
        let Ranked {
            members,
            order,
            turn,
            ..
        } = self;
        let key_of = |place: Place| turn.key::<T>(&members[place.slot()]);
        let row_of = |place: Place| members[place.slot()].row;
        let (key, row) = (turn.key::<T>(&members[slot]), members[slot].row);
        let removed = order.remove_known(key, sight(slot));
        let led = removed.is_some_and(Place::leads);
        if let Some(next) = around.next.filter(|next| led && row_of(*next) == row) {
            let place = Place::new(next.slot(), true);
            order.replace_known(place, key_of(next), next.sight());
        }
    }

    /// Gives a member, which stands there, another row and stamp, if it stays between the same two:
    /// the common case where scores grow a little at a time.
    fn change_in_place(
        &mut self,
        slot: Slot,
        around: &Around<Place, Leaders>,
        (row, stamp): (Turned<N>, u64),
    ) -> bool {
        let Ranked {
            members,
            order,
            turn,
            ..
        } = self;
        let (Some(previous), Some(next), true) = (around.previous, around.next, around.snug) else {
            return false;
        };
        let key_of = |place: Place| turn.key::<T>(&members[place.slot()]);
        let key = T::key(row, stamp ^ turn.stamp, &members[slot].name);
        if key_of(previous) >= key || key >= key_of(next) {
            return false;
        }
        let [before, after] = [previous, next].map(|place| members[place.slot()].row);
        let old = std::mem::replace(&mut members[slot].row, row);
        members[slot].stamp = stamp;
        let key_of = |place: Place| turn.key::<T>(&members[place.slot()]);
        if (before != old) != (before != row) {
            let place = Place::new(slot, before != row);
            order.replace_known(place, key_of(place), place.sight());
        }
        if (after != old) != (after != row) {
            let place = Place::new(next.slot(), after != row);
            order.replace_known(place, key_of(place), place.sight());
        }
        true
    }
}

impl<const N: usize, T: Tiebreak<N>> Rows for Ranked<N, T> {
    fn len(&self) -> usize {
        self.members.len()
    }

    fn find(&self, member: &[u8]) -> Option<Slot> {
        self.find_hashed(self.by_name.hash(member), member)
    }

    fn standing(&self, slot: Slot) -> Standing<'_> {
        let member = &self.members[slot];
        let scores = self.turn.row(&member.row);
        Standing {
            member: &member.name,
            row: Row::new(&scores).expect("a row has 1 to 4 columns"),
            stamp: member.stamp,
        }
    }

    fn rank(&self, slot: Slot) -> usize {
        self.around(slot).before
    }

    fn better(&self, row: &Row) -> Better {
        let key_of = |place: Place| self.turn.key::<T>(&self.members[place.slot()]);
        let around = self
            .order
            .around(T::key(self.turn.row(row), 0, b""), key_of);
        Better {
            members: around.before,
            rows: around.sum.0,
        }
    }

    fn last(&self) -> Option<Standing<'_>> {
        let last = self.order.select(self.len().checked_sub(1)?)?;
        Some(self.standing(last.slot()))
    }

    fn put(&mut self, standing: &Standing<'_>) -> Moved {
        let name = standing.member;
        let row = self.turn.row(&standing.row);
        let hash = self.by_name.hash(name);
        if let Some(slot) = self.find_hashed(hash, name) {
            let around = self.around(slot);
            let old = Some(around.before);
            if self.change_in_place(slot, &around, (row, standing.stamp)) {
                return Moved {
                    old,
                    new: around.before,
                };
            }
            self.take_out(slot, &around);
            let member = &mut self.members[slot];
            member.row = row;
            member.stamp = standing.stamp;
            let new = self.put_in(slot);
            return Moved { old, new };
        }
        let slot = self.file(hash, standing);
        let new = self.put_in(slot);
        Moved { old: None, new }
    }

    fn add(&mut self, standing: &Standing<'_>) -> bool {
        let hash = self.by_name.hash(standing.member);
        let row = self.turn.row(&standing.row);
        let key = T::key(row, standing.stamp ^ self.turn.stamp, standing.member);
        let key_of = |place: Place| self.turn.key::<T>(&self.members[place.slot()]);
        let taken = self.order.get(key, key_of).is_some();
        if taken || self.find_hashed(hash, standing.member).is_some() {
            return false;
        }
        let slot = self.file(hash, standing);
        self.put_in(slot);
        true
    }

    fn remove(&mut self, member: &[u8]) {
        let hash = self.by_name.hash(member);
        if let Some(slot) = self.find_hashed(hash, member) {
            let around = self.around(slot);
            self.take_out(slot, &around);
            self.by_name.remove(hash, slot);
            self.members.remove(slot);
            self.name_bytes -= alloc_size(member.len());
        }
    }

    fn visit(&self, from: usize, visit: &mut dyn FnMut(Slot, bool) -> bool) {
        for place in self.order.iter_from(from) {
            if !visit(place.slot(), place.leads()) {
                return;
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        alloc_size(size_of::<Self>())
            + self.members.memory_bytes()
            + self.by_name.memory_bytes()
            + self.order.memory_bytes()
            + self.name_bytes
    }
}
