//! An ordered set that also knows ranks: a B+tree whose inner nodes count what is below them.
//! Entries are small handles. The tree does not store their keys but asks the caller for them, so
//! that a leaf takes little more memory than the handles in it. Queues keep their ready items in it,
//! boards their rows.

use crate::memory::alloc_size;

/// Entries per leaf. 64 four-byte handles are four cache lines. Larger entries are fewer, because
/// adding or removing one moves all those behind it.
const fn leaf_size<E>() -> usize {
    if size_of::<E>() <= 8 { 64 } else { 16 }
}
/// Children per inner node.
const FANOUT: usize = 32;

/// A counted B+tree (Bayer and McCreight 1972; counts as in Knuth, TAOCP vol. 3, 6.2.3).
///
/// All entries have different keys. `key_of`, which the methods take, gives the key of an entry; it
/// must give the same one for as long as the entry is in the tree. Insertion, removal, `rank` and `select` are O(log n).
#[derive(Debug)]
pub struct CountedTree<E, K> {
    root: Node<E, K>,
    len: usize,
    /// Bytes of heap of all nodes, as the allocator rounds them.
    bytes: usize,
}

#[derive(Debug)]
enum Node<E, K> {
    Leaf(Vec<E>),
    Inner(Vec<Child<E, K>>),
}

#[derive(Debug)]
struct Child<E, K> {
    /// A lower bound of the keys below, greater than every key to the left.
    low: K,
    /// How many entries are below.
    count: usize,
    node: Node<E, K>,
}

impl<E, K> Default for CountedTree<E, K> {
    fn default() -> Self {
        CountedTree {
            root: Node::Leaf(Vec::new()),
            len: 0,
            bytes: 0,
        }
    }
}

impl<E: Copy, K: Ord + Copy> CountedTree<E, K> {
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
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(entries) => return entries.first().copied(),
                Node::Inner(children) => node = &children[0].node,
            }
        }
    }

    /// Adds `entry` under `key`. Returns false, and changes nothing, if the key is there already.
    pub fn insert(&mut self, entry: E, key: K, key_of: impl Fn(E) -> K) -> bool {
        match self.root.insert(entry, key, &key_of, &mut self.bytes) {
            Inserted::Duplicate => return false,
            Inserted::Done => {}
            Inserted::Split(right) => {
                let left = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
                // The left half is not empty, so it has a bound of its own.
                let low = left.low(&key_of).unwrap_or(right.low);
                let count = left.count();
                let mut children = Vec::with_capacity(FANOUT + 1);
                self.bytes += heap_bytes(&children);
                children.push(Child {
                    low,
                    count,
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
    pub fn remove(&mut self, key: K, key_of: impl Fn(E) -> K) -> Option<E> {
        let removed = self.root.remove(key, &key_of, &mut self.bytes)?;
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
    pub fn get(&self, key: K, key_of: impl Fn(E) -> K) -> Option<E> {
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
    pub fn rank(&self, key: K, key_of: impl Fn(E) -> K) -> usize {
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

    /// All entries but the first `rank`, in order. O(log n) to begin, then O(1) amortised per entry.
    pub fn iter_from(&self, rank: usize) -> Iter<'_, E, K> {
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
    pub fn iter(&self) -> Iter<'_, E, K> {
        self.iter_from(0)
    }

    /// Bytes of heap that the tree's nodes take: O(1).
    #[inline]
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }
}

/// Bytes of heap of the vector of a node.
#[allow(clippy::ptr_arg)]
fn heap_bytes<T>(node: &Vec<T>) -> usize {
    alloc_size(node.capacity() * size_of::<T>())
}

/// Entries in order; see [`CountedTree::iter_from`].
pub struct Iter<'a, E, K> {
    stack: Vec<std::slice::Iter<'a, Child<E, K>>>,
    leaf: std::slice::Iter<'a, E>,
}

impl<E: Copy, K> Iterator for Iter<'_, E, K> {
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

/// What came of an insertion into a node.
enum Inserted<E, K> {
    Done,
    /// Nothing: the key is there already.
    Duplicate,
    /// The node was full, and this is its right half, to stand after it.
    Split(Child<E, K>),
}

/// The index of the child that holds `key` if any does: the last whose lower bound is not above it.
/// Both ends are tried first, because queues grow and shrink there.
#[inline]
fn child_for<E, K: Ord>(children: &[Child<E, K>], key: &K) -> usize {
    match children {
        [_, second, ..] if *key < second.low => 0,
        [.., last] if last.low <= *key => children.len() - 1,
        _ => children
            .partition_point(|c| c.low <= *key)
            .saturating_sub(1),
    }
}

/// Where to cut a node that something was added to at `at`, which made it one too long (`len`): in the
/// middle, but before the last if that is the new one, so that a tree filled in order has full nodes.
fn cut(len: usize, at: usize) -> usize {
    if at + 1 == len { len - 1 } else { len / 2 }
}

impl<E: Copy, K: Ord + Copy> Node<E, K> {
    /// How many entries are in it or below it.
    fn count(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(children) => children.iter().map(|c| c.count).sum(),
        }
    }

    /// How many entries or children it has itself.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(children) => children.len(),
        }
    }

    /// A lower bound of the keys in it and below it, if there are any.
    fn low(&self, key_of: &impl Fn(E) -> K) -> Option<K> {
        match self {
            Node::Leaf(entries) => entries.first().map(|e| key_of(*e)),
            Node::Inner(children) => children.first().map(|c| c.low),
        }
    }

    /// Bytes of heap of its own vector.
    fn heap_bytes(&self) -> usize {
        match self {
            Node::Leaf(entries) => heap_bytes(entries),
            Node::Inner(children) => heap_bytes(children),
        }
    }

    /// `bytes` is kept to the heap bytes of all nodes, here as in `remove`.
    fn insert(
        &mut self,
        entry: E,
        key: K,
        key_of: &impl Fn(E) -> K,
        bytes: &mut usize,
    ) -> Inserted<E, K> {
        match self {
            Node::Leaf(entries) => insert_into_leaf(entries, entry, key, key_of, bytes),
            Node::Inner(children) => insert_below(children, entry, key, key_of, bytes),
        }
    }

    fn remove(&mut self, key: K, key_of: &impl Fn(E) -> K, bytes: &mut usize) -> Option<E> {
        match self {
            Node::Leaf(entries) => {
                // Removing the first is the common case of a queue.
                let at = match entries.first() {
                    Some(first) if key_of(*first) == key => 0,
                    _ => entries.binary_search_by(|e| key_of(*e).cmp(&key)).ok()?,
                };
                Some(entries.remove(at))
            }
            Node::Inner(children) => {
                let at = child_for(children, &key);
                let child = &mut children[at];
                let removed = child.node.remove(key, key_of, bytes)?;
                child.count -= 1;
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
fn insert_into_leaf<E: Copy, K: Ord + Copy>(
    entries: &mut Vec<E>,
    entry: E,
    key: K,
    key_of: &impl Fn(E) -> K,
    bytes: &mut usize,
) -> Inserted<E, K> {
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
    *bytes += heap_bytes(&right);
    if at < from {
        right.extend_from_slice(&entries[from - 1..]);
        entries.truncate(from - 1);
        entries.insert(at, entry);
    } else {
        right.extend_from_slice(&entries[from..]);
        entries.truncate(from);
        right.insert(at - from, entry);
    }
    Inserted::Split(Child {
        low: key_of(right[0]),
        count: right.len(),
        node: Node::Leaf(right),
    })
}

#[inline]
fn insert_below<E: Copy, K: Ord + Copy>(
    children: &mut Vec<Child<E, K>>,
    entry: E,
    key: K,
    key_of: &impl Fn(E) -> K,
    bytes: &mut usize,
) -> Inserted<E, K> {
    let at = child_for(children, &key);
    let child = &mut children[at];
    if key < child.low {
        child.low = key;
    }
    match child.node.insert(entry, key, key_of, bytes) {
        Inserted::Duplicate => return Inserted::Duplicate,
        Inserted::Done => {
            child.count += 1;
            return Inserted::Done;
        }
        Inserted::Split(right) => {
            child.count = child.count + 1 - right.count;
            children.insert(at + 1, right);
        }
    }
    if children.len() <= FANOUT {
        return Inserted::Done;
    }
    let from = cut(children.len(), at + 1);
    let mut right = Vec::with_capacity(FANOUT + 1);
    *bytes += heap_bytes(&right);
    right.extend(children.drain(from..));
    Inserted::Split(Child {
        low: right[0].low,
        count: right.iter().map(|c| c.count).sum(),
        node: Node::Inner(right),
    })
}

impl<E: Copy, K> Child<E, K> {
    /// Takes over all of the right neighbour, a node of the same height. Both together fit into the
    /// room that this one has.
    fn absorb(&mut self, right: Child<E, K>) {
        self.count += right.count;
        match (&mut self.node, right.node) {
            (Node::Leaf(to), Node::Leaf(from)) => to.extend_from_slice(&from),
            (Node::Inner(to), Node::Inner(from)) => to.extend(from),
            _ => unreachable!("neighbours have the same height"),
        }
    }
}

/// The entries of `all` that are not in `some`, which is a subset of it in the same order. Each takes
/// O(log² n): from the one before on, it is the first place at which the two differ, which a binary
/// search finds.
pub fn difference<'a, E: Copy + Eq, K: Ord + Copy>(
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
pub fn first_difference<E: Copy + Eq, K: Ord + Copy>(
    all: &CountedTree<E, K>,
    some: &CountedTree<E, K>,
) -> Option<E> {
    difference(all, some).next()
}

#[cfg(test)]
mod tests;
