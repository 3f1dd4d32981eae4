//! The counted tree against a sorted set, and its bytes against its nodes.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn bytes_of(node: &Node<u32, u32>) -> usize {
    let below = match node {
        Node::Leaf(_) => 0,
        Node::Inner(children) => children.iter().map(|c| bytes_of(&c.node)).sum(),
    };
    node.heap_bytes() + below
}

fn check(tree: &CountedTree<u32, u32>, model: &BTreeSet<u32>) {
    assert_eq!(tree.memory_bytes(), bytes_of(&tree.root));
    assert_eq!(tree.len(), model.len());
    assert!(tree.iter().eq(model.iter().copied()));
    assert_eq!(tree.first(), model.first().copied());
}

proptest! {
    #[test]
    fn behaves_as_a_sorted_set(ops in prop::collection::vec((0u8..4, 0u32..3000), 1..4000)) {
        let mut tree = CountedTree::default();
        let mut model = BTreeSet::new();
        for (op, x) in ops {
            match op {
                0 | 1 => assert_eq!(tree.insert(x, x, |e| e), model.insert(x)),
                2 => assert_eq!(tree.remove(x, |e| e), model.take(&x)),
                _ => {
                    let rank = model.range(..x).count();
                    assert_eq!(tree.rank(x, |e| e), rank);
                    assert_eq!(tree.select(rank), model.range(x..).next().copied());
                    assert_eq!(tree.get(x, |e| e), model.get(&x).copied());
                    assert!(tree.iter_from(rank).take(70).eq(model.range(x..).take(70).copied()));
                }
            }
        }
        check(&tree, &model);
    }
}

proptest! {
    #[test]
    fn a_difference_is_what_the_sets_differ_by(
        entries in prop::collection::btree_map(0u32..2000, any::<bool>(), 0..600),
    ) {
        let (mut all, mut some) = (CountedTree::default(), CountedTree::default());
        for (x, also) in &entries {
            all.insert(*x, *x, |e| e);
            if *also {
                some.insert(*x, *x, |e| e);
            }
        }
        let expected = entries.iter().filter(|(_, also)| !**also).map(|(x, _)| *x);
        assert!(difference(&all, &some).eq(expected));
        assert!(difference(&all, &all).next().is_none());
    }

    /// Large entries have small leaves: they split and merge sooner.
    #[test]
    fn large_entries_behave_as_a_sorted_map(ops in prop::collection::vec((0u8..5, 0u64..2000), 1..4000)) {
        let key_of = |(x, _): (u64, [u64; 4])| x;
        let mut tree = CountedTree::default();
        let mut model = BTreeSet::new();
        let mut last = 2000;
        for (op, x) in ops {
            match op {
                0 | 1 => assert_eq!(tree.insert((x, [x; 4]), x, key_of), model.insert(x)),
                2 => {
                    last += x;
                    assert_eq!(tree.insert((last, [last; 4]), last, key_of), model.insert(last));
                }
                3 => {
                    let removed = tree.remove(x, key_of).map(key_of);
                    assert_eq!(removed, model.take(&x));
                }
                _ => {
                    let first = tree.first().map(key_of);
                    assert_eq!(first, model.pop_first());
                    first.map(|first| tree.remove(first, key_of));
                }
            }
            assert_eq!(tree.first().map(key_of), model.first().copied());
            assert_eq!(tree.len(), model.len());
            assert_eq!(tree.get(x, key_of).is_some(), model.contains(&x));
        }
        assert!(tree.iter().map(key_of).eq(model));
    }
}

#[test]
fn grows_and_drains_through_three_levels() {
    let mut tree = CountedTree::default();
    let n = 200_000u32;
    for x in 0..n {
        assert!(tree.insert(x, x, |e| e));
    }
    for x in (0..n).step_by(997) {
        assert_eq!(tree.select(x as usize), Some(x));
        assert_eq!(tree.rank(x, |e| e), x as usize);
    }
    assert_eq!(tree.iter_from(n as usize).next(), None);
    for x in 0..n {
        assert_eq!(tree.first(), Some(x));
        assert_eq!(tree.remove(x, |e| e), Some(x));
    }
    assert!(tree.is_empty());
    assert_eq!(tree.memory_bytes(), 0);
}
