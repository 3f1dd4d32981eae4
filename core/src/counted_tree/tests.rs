//! The tree against sets of the standard library, and its bytes against its nodes.

use super::*;
use proptest::prelude::*;
use std::cmp::Ordering;
use std::collections::BTreeSet;

fn bytes_of(node: &Node<u32, u32, ()>) -> usize {
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
        let mut tree = CountedTree::<u32, u32>::default();
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
        let mut all = CountedTree::<u32, u32>::default();
        let mut some = CountedTree::<u32, u32>::default();
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
        let mut tree = CountedTree::<(u64, [u64; 4]), u64>::default();
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
    let mut tree = CountedTree::<u32, u32>::default();
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

/// An entry that counts, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Marked(u32, bool);

impl Measure<Marked> for usize {
    fn of(entry: Marked) -> usize {
        usize::from(entry.1)
    }
    fn add(&mut self, more: usize) {
        *self += more;
    }
    fn sub(&mut self, less: usize) {
        *self -= less;
    }
}

/// A bound that owns what its keys borrow.
struct Owned(Box<[u8]>);

impl Bound for Owned {
    type Key<'k> = &'k [u8];
    fn of(key: &[u8]) -> Owned {
        Owned(key.into())
    }
    fn cmp_key(&self, key: &&[u8]) -> Ordering {
        (*self.0).cmp(key)
    }
}

proptest! {
    #[test]
    fn neighbours_and_sums_are_those_of_a_sorted_map(
        ops in prop::collection::vec((0u8..4, 0u32..2000, any::<bool>()), 1..4000),
    ) {
        let mut tree = CountedTree::<Marked, u32, usize>::default();
        let mut model = std::collections::BTreeMap::new();
        for (op, x, marked) in ops {
            match op {
                0 | 1 => {
                    let new = tree.insert(Marked(x, marked), x, |e| e.0);
                    assert_eq!(new, !model.contains_key(&x));
                    model.entry(x).or_insert(marked);
                }
                2 if marked => assert_eq!(tree.remove(x, |e| e.0).map(|e| e.1), model.remove(&x)),
                2 => {
                    let removed = tree.remove_known(x, |e| e.0 == x);
                    assert_eq!(removed.map(|e| e.1), model.remove(&x));
                }
                _ => {
                    let known = model.get_mut(&x).map(|old| *old = marked).is_some();
                    assert_eq!(tree.replace_known(Marked(x, marked), x, |e| e.0 == x), known);
                }
            }
            let mut around = tree.around(x, |e| e.0);
            let neighbours = around.previous.is_some() && around.next.is_some();
            assert!(neighbours || !around.snug);
            around.snug = false;
            let marked = |(x, marked): (&u32, &bool)| Marked(*x, *marked);
            let expected = Around {
                before: model.range(..x).count(),
                sum: model.range(..x).filter(|(_, marked)| **marked).count(),
                previous: model.range(..x).next_back().map(marked),
                next: model.range(x + 1..).next().map(marked),
                snug: false,
            };
            assert_eq!(around, expected);
            if model.contains_key(&x) {
                let mut around = tree.around_known(x, |e| e.0 == x);
                around.snug = false;
                assert_eq!(around, expected);
            }
        }
    }

    #[test]
    fn keys_may_be_borrowed(ops in prop::collection::vec((any::<bool>(), 0u32..3000), 1..3000)) {
        let names: Vec<String> = (0..3000u32).map(|i| format!("{}", i * 7919 % 3000)).collect();
        let name_of = |e: u32| names[e as usize].as_bytes();
        let mut tree = CountedTree::<u32, Owned>::default();
        let mut model = std::collections::BTreeMap::new();
        for (add, x) in ops {
            let name = name_of(x);
            if add {
                assert_eq!(tree.insert(x, name, name_of), model.insert(name, x).is_none());
            } else {
                assert_eq!(tree.remove(name, name_of), model.remove(name));
            }
            assert_eq!(tree.rank(name, name_of), model.range(..name).count());
        }
        assert!(tree.iter().eq(model.into_values()));
    }
}
