//! What the server's allocator makes of the sizes it is asked for.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// How an allocator rounds, and so what a block takes of `used_memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Allocator {
    /// jemalloc with a quantum of 16 bytes, its default on x86-64: the classes are 8, the multiples of 16 up
    /// to 128, and then four to each doubling (160, 192, 224, 256, 320, …). Source: jemalloc(3), "Size
    /// classes".
    Jemalloc,
    /// jemalloc with a quantum of 8 bytes, as Redis bundles it: the multiples of 8 up to 64, then as above.
    Jemalloc8,
    /// glibc's malloc, as a server sees it that asks for usable sizes: blocks are multiples of 16 with 8
    /// bytes of its own, and at least 32. Source: malloc/malloc.c, `request2size`.
    Glibc,
    /// Any allocator that cannot tell sizes: the server keeps each size in 8 bytes in front of the block,
    /// and counts what it asked for. Source: zmalloc.c, `PREFIX_SIZE`.
    Prefixed,
}

impl Allocator {
    /// All that are known, the usual one first.
    pub const ALL: [Allocator; 4] = [
        Allocator::Jemalloc,
        Allocator::Jemalloc8,
        Allocator::Glibc,
        Allocator::Prefixed,
    ];

    /// Bytes that an allocation of `n` bytes takes. Nothing is allocated for 0 bytes.
    #[inline]
    pub const fn size(self, n: usize) -> usize {
        match (n, self) {
            (0, _) => 0,
            (_, Allocator::Jemalloc) => class(n, 16),
            (_, Allocator::Jemalloc8) => class(n, 8),
            (1..=24, Allocator::Glibc) => 24,
            (_, Allocator::Glibc) => (n + 8).next_multiple_of(16) - 8,
            (_, Allocator::Prefixed) => n + 8,
        }
    }

    /// The one that comes nearest to what `taken` says that blocks of some sizes really take.
    pub fn nearest(mut taken: impl FnMut(usize) -> usize) -> Allocator {
        let sizes = [
            1, 9, 17, 20, 25, 33, 41, 50, 57, 65, 100, 140, 200, 300, 700,
        ];
        let blocks = sizes.map(|n| (n, taken(n)));
        let error = |allocator: &Allocator| {
            let errors = blocks.map(|(n, taken)| allocator.size(n).abs_diff(taken));
            errors.into_iter().sum::<usize>()
        };
        let nearest = Allocator::ALL.into_iter().min_by_key(error);
        nearest.expect("some are known")
    }
}

/// The size class of jemalloc that holds `n` bytes: four to each doubling, at least `quantum` apart.
#[inline]
const fn class(n: usize, quantum: usize) -> usize {
    if n <= 8 {
        return 8;
    }
    let step = n.next_power_of_two() / 8;
    n.next_multiple_of(if step < quantum { quantum } else { step })
}

/// What the bytes of this process are counted by: an index of `ALL`.
static FOLLOWED: AtomicU8 = AtomicU8::new(Allocator::Jemalloc as u8);

/// From now on bytes are counted as this allocator takes them. To be called before anything is counted:
/// sums are kept, and what goes is taken off as it would be added now. Without it, jemalloc's sizes hold.
pub fn follow(allocator: Allocator) {
    FOLLOWED.store(allocator as u8, Relaxed);
}

/// Bytes that an allocation of `n` bytes takes by the allocator that is followed.
#[inline]
pub fn alloc_size(n: usize) -> usize {
    let followed = usize::from(FOLLOWED.load(Relaxed));
    if followed == Allocator::Jemalloc as usize {
        return Allocator::Jemalloc.size(n);
    }
    Allocator::ALL[followed].size(n)
}

/// How long to make a vector of bytes that grows little by little and needs `n`: as long as jemalloc would
/// make its block. So it grows rarely, and nothing is wasted there.
#[inline]
pub(crate) const fn roomy(n: usize) -> usize {
    Allocator::Jemalloc.size(n)
}

/// Entries that a node of a B-tree of the standard library has room for.
const NODE: usize = 11;
/// Entries that ten of them are taken to have, of those in the nodes above too.
const PER_TEN_NODES: usize = 75;

/// Bytes of a map (or, with `V` nothing, set) of the standard library with `len` entries. Up to 11 are
/// one node. Beyond, it depends on the order they came in: filled in order there are 7 entries to a
/// node, filled in any other about 8.2. What is answered lies between.
pub(crate) fn btree_bytes<K, V>(len: usize) -> usize {
    // The entries, the node above, and two small numbers.
    let leaf = (NODE * (size_of::<K>() + size_of::<V>()) + 12).next_multiple_of(8);
    if len <= NODE {
        return if len == 0 { 0 } else { alloc_size(leaf) };
    }
    let leaves = len * 10 / PER_TEN_NODES + 1;
    let inner = leaf + (NODE + 1) * size_of::<usize>();
    leaves * alloc_size(leaf) + (leaves * 10 / PER_TEN_NODES + 1) * alloc_size(inner)
}

/// Changes something that takes memory, and keeps the sum over all of its kind.
#[inline]
pub(crate) fn counted<T, R>(
    thing: &mut T,
    sum: &mut usize,
    bytes: impl Fn(&T) -> usize,
    change: impl FnOnce(&mut T) -> R,
) -> R {
    let before = bytes(thing);
    let result = change(thing);
    *sum = *sum + bytes(thing) - before;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every size is rounded up to the first class of the manual's table that holds it.
    #[test]
    fn jemallocs_sizes_are_those_of_the_manual() {
        let coarse = [
            0, 8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640,
            768, 896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192,
        ];
        let mut fine = [24, 40, 56].to_vec();
        fine.extend(coarse);
        fine.sort_unstable();
        for n in 0..=8192 {
            let first = |classes: &[usize]| classes.iter().copied().find(|class| *class >= n);
            assert_eq!(Some(Allocator::Jemalloc.size(n)), first(&coarse), "{n}");
            assert_eq!(Some(Allocator::Jemalloc8.size(n)), first(&fine), "{n}");
        }
        let large = Allocator::Jemalloc.size((1 << 20) + 1);
        assert_eq!(large, (1 << 20) + (1 << 18));
    }

    #[test]
    fn glibcs_sizes_are_what_it_calls_usable() {
        let sizes = [0, 1, 24, 25, 40, 41, 56, 57, 1000];
        let usable = [0, 24, 24, 40, 40, 56, 56, 72, 1000];
        assert_eq!(sizes.map(|n| Allocator::Glibc.size(n)), usable);
        assert_eq!([0, 1, 24].map(|n| Allocator::Prefixed.size(n)), [0, 9, 32]);
    }

    /// Also if a block now and then is larger than it need be, as it may be.
    #[test]
    fn the_nearest_is_found() {
        for allocator in Allocator::ALL {
            assert_eq!(Allocator::nearest(|n| allocator.size(n)), allocator);
            let roughly = |n| allocator.size(n) + if n % 50 == 0 { 16 } else { 0 };
            assert_eq!(Allocator::nearest(roughly), allocator);
        }
    }
}
