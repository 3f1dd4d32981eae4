//! An ordered set that also knows ranks: a B+tree whose inner nodes count what is below them.
//! Entries are small handles. The tree does not store their keys but asks the caller for them, so
//! that a leaf takes little more memory than the handles in it. Queues keep their ready items in it,
//! boards their rows.
//!
//! Inner nodes keep a bound of the keys below each child ([`Bound`]): for most keys the key itself.
//! They can also add something up that entries say of themselves ([`Measure`]).

mod difference;
mod iter;
mod keys;
#[cfg(test)]
mod tests;

pub use difference::{difference, first_difference};
pub use iter::Iter;
pub use keys::{Bound, Measure};

use crate::memory::alloc_size;

/// Entries per leaf. 64 four-byte handles are four cache lines. Larger entries are fewer, because
/// adding or removing one moves all those behind it.
const fn leaf_size<E>() -> usize {
    if size_of::<E>() <= 8 { 64 } else { 16 }
}
/// Children per inner node.
const FANOUT: usize = 32;

/// Bytes of heap of the vector of a node.
#[allow(clippy::ptr_arg)]
fn heap_bytes<T>(node: &Vec<T>) -> usize {
    alloc_size(node.capacity() * size_of::<T>())
}

/// What many entries count together.
#[inline]
fn sum_of<E: Copy, M: Measure<E>>(entries: &[E]) -> M {
    let mut sum = M::default();
    for entry in entries {
        sum.add(M::of(*entry));
    }
    sum
}

/// A counted B+tree (Bayer and McCreight 1972; counts as in Knuth, TAOCP vol. 3, 6.2.3).
///
/// All entries have different keys. `key_of`, which the methods take, gives the key of an entry; it
/// must give the same one for as long as the entry is in the tree. Insertion, removal, `rank` and `select` are O(log n).
#[derive(Debug)]
pub struct CountedTree<E, K, M = ()> {
    root: Node<E, K, M>,
    len: usize,
    /// Bytes of heap of all nodes, as the allocator rounds them.
    bytes: usize,
}

#[derive(Debug)]
enum Node<E, K, M> {
    Leaf(Vec<E>),
    Inner(Vec<Child<E, K, M>>),
}

#[derive(Debug)]
struct Child<E, K, M> {
    /// A lower bound of the keys below, greater than every key to the left.
    low: K,
    /// How many entries are below.
    count: usize,
    /// What they count together.
    sum: M,
    node: Node<E, K, M>,
}

/// Where a key stands in a tree; see [`CountedTree::around`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Around<E, M> {
    /// How many entries have a smaller key, and what they count together.
    pub before: usize,
    /// See `before`.
    pub sum: M,
    /// The last entry with a smaller key.
    pub previous: Option<E>,
    /// The first entry with a larger key.
    pub next: Option<E>,
    /// Whether both are in one leaf. Then an entry between them can be given another key between
    /// theirs without being taken out: no bound on the way is touched.
    pub snug: bool,
}

impl<E, K, M> Default for CountedTree<E, K, M> {
    fn default() -> Self {
        CountedTree {
            root: Node::Leaf(Vec::new()),
            len: 0,
            bytes: 0,
        }
    }
}

impl<E: Copy, K, M: Measure<E>> CountedTree<E, K, M> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry with the smallest key.
    #[inline]
    pub fn first(&self) -> Option<E> {
        self.root.first()
    }

    /// The entry with exactly `rank` entries before it, if there are so many.
    pub fn select(&self, mut rank: usize) -> Option<E> {
        let mut node = &self.root;
        'down: loop {
            match node {
                Node::Leaf(entries) => return entries.get(rank).copied(),
                Node::Inner(children) => {
                    for child in children {
                        if rank < child.count {
                            node = &child.node;
                            continue 'down;
                        }
                        rank -= child.count;
                    }
                    return None;
                }
            }
        }
    }

    /// Bytes of heap that the tree's nodes take: O(1).
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }
}

impl<E: Copy, K: Bound, M: Measure<E>> CountedTree<E, K, M> {
    /// Adds `entry` under `key`. Returns false, and changes nothing, if the key is there already.
    pub fn insert<'k>(
        &mut self,
        entry: E,
        key: K::Key<'k>,
        key_of: impl Fn(E) -> K::Key<'k>,
    ) -> bool {
        match self.root.insert(entry, key, &key_of, &mut self.bytes) {
            Inserted::Duplicate => return false,
            Inserted::Done => {}
            Inserted::Split(right) => {
                let left = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
                let (count, sum) = left.totals();
                let mut children = Vec::with_capacity(FANOUT + 1);
                self.bytes += heap_bytes(&children);
                children.push(Child {
                    low: left.low(&key_of),
                    count,
                    sum,
                    node: left,
                });
                children.push(right);
                self.root = Node::Inner(children);
            }
        }
        self.len += 1;
        true
    }

    /// Removes the entry under `key`, if there is one.
    pub fn remove<'k>(&mut self, key: K::Key<'k>, key_of: impl Fn(E) -> K::Key<'k>) -> Option<E> {
        self.remove_found(key, |entries| match entries.first() {
            // Removing the first is the common case of a queue.
            Some(first) if key_of(*first) == key => Some(0),
            _ => entries.binary_search_by(|e| key_of(*e).cmp(&key)).ok(),
        })
    }

    /// As `remove`, of an entry that the caller knows by sight: of no other one the key is asked. A leaf
    /// is looked through, which is cheaper than to fetch keys from all over the memory.
    pub fn remove_known(&mut self, key: K::Key<'_>, is_it: impl Fn(E) -> bool) -> Option<E> {
        self.remove_found(key, |entries| entries.iter().position(|e| is_it(*e)))
    }

    fn remove_found(&mut self, key: K::Key<'_>, find: impl Fn(&[E]) -> Option<usize>) -> Option<E> {
        let removed = self.root.remove(&key, &find, &mut self.bytes)?;
        self.len -= 1;
        loop {
            match &mut self.root {
                Node::Inner(children) if children.len() == 1 => {
                    self.bytes -= heap_bytes(children);
                    let only = children.pop().expect("one child");
                    self.root = only.node;
                }
                Node::Inner(children) if children.is_empty() => {
                    self.bytes -= heap_bytes(children);
                    self.root = Node::Leaf(Vec::new());
                }
                Node::Leaf(entries) if entries.is_empty() && entries.capacity() > 0 => {
                    self.bytes -= heap_bytes(entries);
                    *entries = Vec::new();
                }
                _ => return Some(removed),
            }
        }
    }

    /// The entry under `key`, if there is one.
    pub fn get<'k>(&self, key: K::Key<'k>, key_of: impl Fn(E) -> K::Key<'k>) -> Option<E> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    return entries
                        .binary_search_by(|e| key_of(*e).cmp(&key))
                        .ok()
                        .map(|i| entries[i]);
                }
                Node::Inner(children) => node = &children[child_for(children, &key)].node,
            }
        }
    }

    /// How many entries have a smaller key than `key`, which need not be in the tree.
    pub fn rank<'k>(&self, key: K::Key<'k>, key_of: impl Fn(E) -> K::Key<'k>) -> usize {
        let mut node = &self.root;
        let mut before = 0;
        loop {
            match node {
                Node::Leaf(entries) => {
                    return before + entries.partition_point(|e| key_of(*e) < key);
                }
                Node::Inner(children) => {
                    let at = child_for(children, &key);
                    before += children[..at].iter().map(|c| c.count).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    /// Where `key`, which need not be in the tree, stands in it.
    pub fn around<'k>(&self, key: K::Key<'k>, key_of: impl Fn(E) -> K::Key<'k>) -> Around<E, M> {
        self.around_found(key, |entries| {
            let at = entries.partition_point(|e| key_of(*e) < key);
            (at, entries.get(at).is_some_and(|e| key_of(*e) == key))
        })
    }

    /// As `around`, of an entry that is in the tree and known by sight; see [`CountedTree::remove_known`].
    pub fn around_known(&self, key: K::Key<'_>, is_it: impl Fn(E) -> bool) -> Around<E, M> {
        self.around_found(key, |entries| {
            match entries.iter().position(|e| is_it(*e)) {
                Some(at) => (at, true),
                None => (entries.len(), false),
            }
        })
    }

    /// `find` says where in a leaf the key stands, or would, and whether it is there.
    #[inline]
    fn around_found(&self, key: K::Key<'_>, find: impl Fn(&[E]) -> (usize, bool)) -> Around<E, M> {
        let mut node = &self.root;
        let (mut before, mut sum) = (0, M::default());
        // The neighbours of the way down, nearest last.
        let (mut left, mut right) = (None, None);
        loop {
            match node {
                Node::Leaf(entries) => {
                    let (at, here) = find(entries);
                    let after = at + usize::from(here);
                    sum.add(sum_of(&entries[..at]));
                    let previous = at.checked_sub(1).map(|i| entries[i]);
                    return Around {
                        snug: at > 0 && after < entries.len(),
                        before: before + at,
                        sum,
                        previous: previous.or_else(|| left.and_then(Node::last)),
                        next: entries
                            .get(after)
                            .copied()
                            .or_else(|| right.and_then(Node::first)),
                    };
                }
                Node::Inner(children) => {
                    let at = child_for(children, &key);
                    for child in &children[..at] {
                        before += child.count;
                        sum.add(child.sum);
                    }
                    if let Some(i) = at.checked_sub(1) {
                        left = Some(&children[i].node);
                    }
                    if let Some(child) = children.get(at + 1) {
                        right = Some(&child.node);
                    }
                    node = &children[at].node;
                }
            }
        }
    }

    /// Puts `entry` in the place of one that is known by sight, under `key`, which is its key too. Answers
    /// whether that was there.
    pub fn replace_known(&mut self, entry: E, key: K::Key<'_>, is_it: impl Fn(E) -> bool) -> bool {
        self.root.replace(entry, &key, &is_it).is_some()
    }
}

/// What came of an insertion into a node.
enum Inserted<E, K, M> {
    Done,
    /// Nothing: the key is there already.
    Duplicate,
    /// The node was full, and this is its right half, to stand after it.
    Split(Child<E, K, M>),
}

/// The index of the child that holds `key` if any does: the last whose lower bound is not above it.
/// Both ends are tried first, because queues grow and shrink there.
#[inline]
fn child_for<E, K: Bound, M>(children: &[Child<E, K, M>], key: &K::Key<'_>) -> usize {
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
    fn first(&self) -> Option<E> {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(entries) => return entries.first().copied(),
                Node::Inner(children) => node = &children.first()?.node,
            }
        }
    }

    /// Bytes of heap of its own vector.
    fn heap_bytes(&self) -> usize {
        match self {
            Node::Leaf(entries) => heap_bytes(entries),
            Node::Inner(children) => heap_bytes(children),
        }
    }

    /// The entry with the largest key.
    fn last(&self) -> Option<E> {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(entries) => return entries.last().copied(),
                Node::Inner(children) => node = &children.last()?.node,
            }
        }
    }
}

impl<E: Copy, K: Bound, M: Measure<E>> Node<E, K, M> {
    /// How many entries are in it or below it, and what they count together.
    fn totals(&self) -> (usize, M) {
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
    fn low<'k>(&self, key_of: &impl Fn(E) -> K::Key<'k>) -> K {
        K::of(key_of(
            self.first().expect("a node that is split is not empty"),
        ))
    }

    /// `bytes` is kept to the heap bytes of all nodes, here as in `remove`.
    fn insert<'k>(
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
    fn replace(
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
    fn remove(
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
