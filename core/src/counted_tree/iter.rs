//! Going along a tree in order.

use super::{Child, CountedTree, Measure, Node};

impl<E: Copy, K, M: Measure<E>> CountedTree<E, K, M> {
    /// All entries but the first `rank`, in order. O(log n) to begin, then O(1) amortised per entry.
    pub fn iter_from(&self, rank: usize) -> Iter<'_, E, K, M> {
        let mut iter = Iter {
            stack: Vec::new(),
            leaf: [].iter(),
        };
        let mut node = &self.root;
        let mut rank = rank.min(self.len);
        'down: loop {
            match node {
                Node::Leaf(entries) => {
                    iter.leaf = entries[rank.min(entries.len())..].iter();
                    return iter;
                }
                Node::Inner(children) => {
                    for (i, child) in children.iter().enumerate() {
                        if rank < child.count || i + 1 == children.len() {
                            iter.stack.push(children[i + 1..].iter());
                            node = &child.node;
                            continue 'down;
                        }
                        rank -= child.count;
                    }
                    return iter;
                }
            }
        }
    }

    /// All entries in order.
    pub fn iter(&self) -> Iter<'_, E, K, M> {
        self.iter_from(0)
    }
}

/// Entries in order; see [`CountedTree::iter_from`].
pub struct Iter<'a, E, K, M = ()> {
    stack: Vec<std::slice::Iter<'a, Child<E, K, M>>>,
    leaf: std::slice::Iter<'a, E>,
}

impl<E: Copy, K, M> Iterator for Iter<'_, E, K, M> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        loop {
            if let Some(entry) = self.leaf.next() {
                return Some(*entry);
            }
            let mut node = loop {
                match self.stack.last_mut()?.next() {
                    Some(child) => break &child.node,
                    None => {
                        self.stack.pop();
                    }
                }
            };
            loop {
                match node {
                    Node::Leaf(entries) => {
                        self.leaf = entries.iter();
                        break;
                    }
                    Node::Inner(children) => {
                        let mut iter = children.iter();
                        let first = iter.next().expect("an inner node has children");
                        self.stack.push(iter);
                        node = &first.node;
                    }
                }
            }
        }
    }
}
