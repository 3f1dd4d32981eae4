//! A part that most of its owners never need: it takes no more than a pointer until it is first used.

use crate::memory::alloc_size;
use std::ops::Deref;

/// What can be read where there is nothing yet.
pub(crate) trait Empty: 'static {
    /// One that holds nothing.
    fn empty() -> &'static Self;
}

/// Reads as an empty `T` until [`OnDemand::get_mut`] makes one; only then it takes memory.
#[derive(Debug)]
pub(crate) struct OnDemand<T>(Option<Box<T>>);

impl<T> Default for OnDemand<T> {
    fn default() -> Self {
        OnDemand(None)
    }
}

impl<T: Empty> Deref for OnDemand<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(made) => made,
            None => T::empty(),
        }
    }
}

impl<T: Default> OnDemand<T> {
    /// It, to be changed. Made if it is not there yet.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }

    /// What is in it.
    pub(crate) fn take(self) -> T {
        self.0.map_or_else(T::default, |made| *made)
    }
}

impl<T> OnDemand<T> {
    /// Bytes of heap: of the part itself, and what `inside` says that it holds.
    pub(crate) fn memory_bytes(&self, inside: impl FnOnce(&T) -> usize) -> usize {
        let part = self.0.as_deref();
        part.map_or(0, |part| alloc_size(size_of::<T>()) + inside(part))
    }
}

/// [`Empty`] for a type whose default holds nothing.
macro_rules! empty_by_default {
    ($part:ty) => {
        impl $crate::on_demand::Empty for $part {
            fn empty() -> &'static Self {
                static EMPTY: std::sync::OnceLock<$part> = std::sync::OnceLock::new();
                EMPTY.get_or_init(<$part>::default)
            }
        }
    };
}
pub(crate) use empty_by_default;
