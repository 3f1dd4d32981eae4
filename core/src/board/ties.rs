//! The two ways to tell equal rows apart, as keys of the tree that a board is sorted by.

use crate::counted_tree::Bound;
use std::cmp::Ordering;

/// A row so turned that the smaller scores are the better.
pub(super) type Turned<const N: usize> = [i64; N];

/// How equal rows are told apart.
pub(super) trait Tiebreak<const N: usize>: 'static {
    /// What the tree keeps of a key.
    type Low: Bound + Send;

    /// The key of a member. `stamp` is turned as scores are. No stamp is 0, turned or not, and no name
    /// is empty: with those it is a key before those of all members with this row.
    fn key(row: Turned<N>, stamp: u64, name: &[u8]) -> <Self::Low as Bound>::Key<'_>;
}

/// By the stamps: EARLIEST and LATEST.
pub(super) struct ByStamp;

/// A row and its stamp, turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StampKey<const N: usize>(Turned<N>, u64);

impl<const N: usize> Tiebreak<N> for ByStamp {
    type Low = StampKey<N>;

    #[inline(always)]
    fn key(row: Turned<N>, stamp: u64, _name: &[u8]) -> StampKey<N> {
        StampKey(row, stamp)
    }
}

/// By the members' names: MEMBER.
pub(super) struct ByName;

/// A row and the name of its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NameKey<'k, const N: usize>(Turned<N>, &'k [u8]);

/// A [`NameKey`] that owns the name.
pub(super) struct OwnedNameKey<const N: usize>(Turned<N>, Box<[u8]>);

impl<const N: usize> Bound for OwnedNameKey<N> {
    type Key<'k> = NameKey<'k, N>;

    fn of(NameKey(row, name): NameKey<'_, N>) -> Self {
        OwnedNameKey(row, name.into())
    }

    #[inline]
    fn cmp_key(&self, key: &NameKey<'_, N>) -> Ordering {
        self.0.cmp(&key.0).then_with(|| (*self.1).cmp(key.1))
    }
}

impl<const N: usize> Tiebreak<N> for ByName {
    type Low = OwnedNameKey<N>;

    #[inline(always)]
    fn key(row: Turned<N>, _stamp: u64, name: &[u8]) -> NameKey<'_, N> {
        NameKey(row, name)
    }
}
