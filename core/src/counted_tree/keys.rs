//! What a tree is made for: keys to sort by, and what is added up.

use std::cmp::Ordering;

/// What inner nodes keep of a key, to find the way by. Keys that can be copied are their own bounds;
/// a key that borrows has one that owns what is borrowed.
pub trait Bound: Sized {
    /// What entries are sorted by.
    type Key<'k>: Copy + Ord;

    /// The bound that is this key.
    fn of(key: Self::Key<'_>) -> Self;

    /// How it compares to a key.
    fn cmp_key(&self, key: &Self::Key<'_>) -> Ordering;
}

impl<K: Copy + Ord + 'static> Bound for K {
    type Key<'k> = K;

    #[inline(always)]
    fn of(key: K) -> K {
        key
    }

    #[inline(always)]
    fn cmp_key(&self, key: &K) -> Ordering {
        self.cmp(key)
    }
}

/// What inner nodes add up over the entries below them. Nothing, for most trees.
pub trait Measure<E>: Copy + Default {
    /// What one entry counts.
    fn of(entry: E) -> Self;
    /// Adds what other entries count.
    fn add(&mut self, more: Self);
    /// Takes off what was added.
    fn sub(&mut self, less: Self);
}

impl<E> Measure<E> for () {
    #[inline(always)]
    fn of(_entry: E) {}
    #[inline(always)]
    fn add(&mut self, _more: ()) {}
    #[inline(always)]
    fn sub(&mut self, _less: ()) {}
}
