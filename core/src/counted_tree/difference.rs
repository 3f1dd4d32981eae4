//! What one tree has and another, which is a part of it, has not.

use super::CountedTree;

/// The entries of `all` that are not in `some`, which is a subset of it in the same order. Each takes
/// O(log² n): from the one before on, it is the first place at which the two differ, which a binary
/// search finds.
pub fn difference<'a, E: Copy + Eq, K>(
    all: &'a CountedTree<E, K>,
    some: &'a CountedTree<E, K>,
) -> impl Iterator<Item = E> + 'a {
    // The ranks up to which both have been looked at.
    let (mut in_all, mut in_some) = (0, 0);
    std::iter::from_fn(move || {
        let (mut same, mut different) = (0, some.len() - in_some);
        while same < different {
            let middle = same + (different - same) / 2;
            if all.select(in_all + middle) == some.select(in_some + middle) {
                same = middle + 1;
            } else {
                different = middle;
            }
        }
        let found = all.select(in_all + same)?;
        in_all += same + 1;
        in_some += same;
        Some(found)
    })
}

/// The first entry of `all` that is not in `some`; see [`difference`].
pub fn first_difference<E: Copy + Eq, K>(
    all: &CountedTree<E, K>,
    some: &CountedTree<E, K>,
) -> Option<E> {
    difference(all, some).next()
}
