//! The nodes of a counted tree: how entries are added and removed in one, and how nodes are cut and joined.

use super::keys::{Bound, Measure};
use crate::memory::alloc_size;

/// Entries per leaf. 64 four-byte handles are four cache lines. Larger entries are fewer, because
/// adding or removing one moves all those behind it.
pub(super) const fn leaf_size<E>() -> usize {
    if size_of::<E>() <= 8 { 64 } else { 16 }
}
/// Children per inner node.
pub(super) const FANOUT: usize = 32;

/// Bytes of heap of the vector of a node.
#[allow(clippy::ptr_arg)]
pub(super) fn heap_bytes<T>(node: &Vec<T>) -> usize {
    alloc_size(node.capacity() * size_of::<T>())
}

/// What many entries count together.
#[inline]
pub(super) fn sum_of<E: Copy, M: Measure<E>>(entries: &[E]) -> M {
    let mut sum = M::default();
    for entry in entries {
        sum.add(M::of(*entry));
    }
    sum
}

/// Entries, or nodes that are as high as one another.
#[derive(Debug)]
pub(super) enum Node<E, K, M> {
    Leaf(Vec<E>),
    Inner(Vec<Child<E, K, M>>),
}

/// A node below another, and what is known of it there.
#[derive(Debug)]
pub(super) struct Child<E, K, M> {
    /// A lower bound of the keys below, greater than every key to the left.
    pub low: K,
    /// How many entries are below.
    pub count: usize,
    /// What they count together.
    pub sum: M,
    pub node: Node<E, K, M>,
}

/// What came of an insertion into a node.
pub(super) enum Inserted<E, K, M> {
    Done,
    /// Nothing: the key is there already.
    Duplicate,
    /// The node was full, and this is its right half, to stand after it.
    Split(Child<E, K, M>),
}

/// The index of the child that holds `key` if any does: the last whose lower bound is not above it.
/// Both ends are tried first, because queues grow and shrink there.
#[inline]
pub(super) fn child_for<E, K: Bound, M>(children: &[Child<E, K, M>], key: &K::Key<'_>) -> usize {
    match children {
        [_, second, ..] if second.low.cmp_key(key).is_gt() => 0,
        [.., last] if last.low.cmp_key(key).is_le() => children.len() - 1,
        _ => children
            .partition_point(|c| c.low.cmp_key(key).is_le())
            .saturating_sub(1),
    }
}

/// Where to cut a node that something was added to at `at`, which made it one too long (`len`): in the
/// middle, but before the last if that is the new one, so that a tree filled in order has full nodes.
fn cut(len: usize, at: usize) -> usize {
    if at + 1 == len { len - 1 } else { len / 2 }
}

impl<E: Copy, K, M> Node<E, K, M> {
    /// The entry with the smallest key.
    #[inline]
    pub(super) fn first(&self) -> Option<E> {
        self.first_leaf().first().copied()
    }

    /// The leaf with the smallest keys.
    #[inline]
    pub(super) fn first_leaf(&self) -> &Vec<E> {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(entries) => return entries,
                Node::Inner(children) => node = &children[0].node,
            }
        }
    }

    /// The leaf with the largest keys.
    #[inline]
    pub(super) fn last_leaf(&self) -> &Vec<E> {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(entries) => return entries,
                Node::Inner(children) => node = &children[children.len() - 1].node,
            }
        }
    }

    /// Bytes of heap of its own vector.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Node::Leaf(entries) => heap_bytes(entries),
            Node::Inner(children) => heap_bytes(children),
        }
    }

    /// The entry with the largest key.
    pub(super) fn last(&self) -> Option<E> {
        self.last_leaf().last().copied()
    }
}

impl<E: Copy, K: Bound, M: Measure<E>> Node<E, K, M> {
    /// How many entries are in it or below it, and what they count together.
    pub(super) fn totals(&self) -> (usize, M) {
        match self {
            Node::Leaf(entries) => (entries.len(), sum_of(entries)),
            Node::Inner(children) => totals_of(children),
        }
    }

    /// How many entries or children it has itself.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(children) => children.len(),
        }
    }

    /// The smallest key in it or below it, as a bound. It must not be empty.
    pub(super) fn low<'k>(&self, key_of: &impl Fn(E) -> K::Key<'k>) -> K {
        K::of(key_of(
            self.first().expect("a node that is split is not empty"),
        ))
    }

    /// `bytes` is kept to the heap bytes of all nodes, here as in `remove`.
    pub(super) fn insert<'k>(
        &mut self,
        entry: E,
        key: K::Key<'k>,
        key_of: &impl Fn(E) -> K::Key<'k>,
        bytes: &mut usize,
    ) -> Inserted<E, K, M> {
        match self {
            Node::Leaf(entries) => insert_into_leaf(entries, entry, key, key_of, bytes),
            Node::Inner(children) => insert_below(children, entry, key, key_of, bytes),
        }
    }

    /// Answers what the node counts less, and more, than before.
    pub(super) fn replace(
        &mut self,
        entry: E,
        key: &K::Key<'_>,
        is_it: &impl Fn(E) -> bool,
    ) -> Option<(M, M)> {
        match self {
            Node::Leaf(entries) => {
                let at = entries.iter().position(|e| is_it(*e))?;
                let old = std::mem::replace(&mut entries[at], entry);
                Some((M::of(old), M::of(entry)))
            }
            Node::Inner(children) => {
                let at = child_for(children, key);
                let child = &mut children[at];
                let (less, more) = child.node.replace(entry, key, is_it)?;
                child.sum.sub(less);
                child.sum.add(more);
                Some((less, more))
            }
        }
    }

    /// `find` says where in a leaf the entry is.
    pub(super) fn remove(
        &mut self,
        key: &K::Key<'_>,
        find: &impl Fn(&[E]) -> Option<usize>,
        bytes: &mut usize,
    ) -> Option<E> {
        match self {
            Node::Leaf(entries) => {
                let at = find(entries)?;
                Some(entries.remove(at))
            }
            Node::Inner(children) => {
                let at = child_for(children, key);
                let child = &mut children[at];
                let removed = child.node.remove(key, find, bytes)?;
                child.count -= 1;
                child.sum.sub(M::of(removed));
                let limit = match child.node {
                    Node::Leaf(_) => leaf_size::<E>(),
                    Node::Inner(_) => FANOUT,
                };
                let width = child.node.width();
                if width == 0 {
                    *bytes -= children.remove(at).node.heap_bytes();
                } else if width < limit / 4 {
                    let left = if at > 0 { at - 1 } else { at };
                    if left + 1 < children.len()
                        && children[left].node.width() + children[left + 1].node.width()
                            <= limit * 3 / 4
                    {
                        let right = children.remove(left + 1);
                        *bytes -= right.node.heap_bytes();
                        children[left].absorb(right);
                    }
                }
                Some(removed)
            }
        }
    }
}

#[inline]
fn insert_into_leaf<'k, E: Copy, K: Bound, M: Measure<E>>(
    entries: &mut Vec<E>,
    entry: E,
    key: K::Key<'k>,
    key_of: &impl Fn(E) -> K::Key<'k>,
    bytes: &mut usize,
) -> Inserted<E, K, M> {
    // Growing at the end is the common case of a queue: one comparison.
    let at = match entries.last() {
        None => 0,
        Some(last) if key_of(*last) < key => entries.len(),
        Some(_) => match entries.binary_search_by(|e| key_of(*e).cmp(&key)) {
            Ok(_) => return Inserted::Duplicate,
            Err(at) => at,
        },
    };
    let most = leaf_size::<E>();
    if entries.len() < most {
        if entries.len() == entries.capacity() {
            let more = if entries.is_empty() { 4 } else { entries.len() };
            *bytes -= heap_bytes(entries);
            entries.reserve_exact(more.min(most - entries.len()));
            *bytes += heap_bytes(entries);
        }
        entries.insert(at, entry);
        return Inserted::Done;
    }
    // The leaf is cut where it would be cut if the new entry were in it already, and the new entry
    // goes to its side.
    let from = cut(most + 1, at);
    let mut right = Vec::with_capacity(most);
    if at < from {
        right.extend_from_slice(&entries[from - 1..]);
        entries.truncate(from - 1);
        entries.insert(at, entry);
    } else {
        right.extend_from_slice(&entries[from..]);
        entries.truncate(from);
        right.insert(at - from, entry);
    }
    *bytes += heap_bytes(&right);
    Inserted::Split(Child {
        low: K::of(key_of(right[0])),
        count: right.len(),
        sum: sum_of(&right),
        node: Node::Leaf(right),
    })
}

#[inline]
fn insert_below<'k, E: Copy, K: Bound, M: Measure<E>>(
    children: &mut Vec<Child<E, K, M>>,
    entry: E,
    key: K::Key<'k>,
    key_of: &impl Fn(E) -> K::Key<'k>,
    bytes: &mut usize,
) -> Inserted<E, K, M> {
    let at = child_for(children, &key);
    let child = &mut children[at];
    if child.low.cmp_key(&key).is_gt() {
        child.low = K::of(key);
    }
    match child.node.insert(entry, key, key_of, bytes) {
        Inserted::Duplicate => return Inserted::Duplicate,
        Inserted::Done => {
            child.count += 1;
            child.sum.add(M::of(entry));
            return Inserted::Done;
        }
        Inserted::Split(right) => {
            child.count = child.count + 1 - right.count;
            child.sum.add(M::of(entry));
            child.sum.sub(right.sum);
            children.insert(at + 1, right);
        }
    }
    if children.len() <= FANOUT {
        return Inserted::Done;
    }
    let from = cut(children.len(), at + 1);
    let mut right = Vec::with_capacity(FANOUT + 1);
    right.extend(children.drain(from..));
    *bytes += heap_bytes(&right);
    let (count, sum) = totals_of(&right);
    let node = Node::Inner(right);
    Inserted::Split(Child {
        low: node.low(key_of),
        count,
        sum,
        node,
    })
}

/// How many entries are below, and what they count together.
fn totals_of<E, K, M: Measure<E>>(children: &[Child<E, K, M>]) -> (usize, M) {
    let (mut count, mut sum) = (0, M::default());
    for child in children {
        count += child.count;
        sum.add(child.sum);
    }
    (count, sum)
}

impl<E: Copy, K, M: Measure<E>> Child<E, K, M> {
    /// Takes over all of the right neighbour, a node of the same height. Both together fit into the
    /// room that this one has.
    fn absorb(&mut self, right: Child<E, K, M>) {
        self.count += right.count;
        self.sum.add(right.sum);
        match (&mut self.node, right.node) {
            (Node::Leaf(to), Node::Leaf(from)) => to.extend_from_slice(&from),
            (Node::Inner(to), Node::Inner(from)) => to.extend(from),
            _ => unreachable!("neighbours have the same height"),
        }
    }
}
