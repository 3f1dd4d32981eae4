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
mod node;
#[cfg(test)]
mod tests;

pub use difference::{difference, first_difference};
pub use iter::Iter;
pub use keys::{Bound, Measure};

use node::{Child, FANOUT, Inserted, Node, child_for, heap_bytes, leaf_size, sum_of};

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
        if self.push(entry, key, &key_of) {
            return true;
        }
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

    /// Adds `entry` if it goes behind all others, and into a leaf that has room: what mostly happens in
    /// a queue. Answers whether it did; else nothing is changed.
    #[inline]
    fn push<'k>(&mut self, entry: E, key: K::Key<'k>, key_of: &impl Fn(E) -> K::Key<'k>) -> bool {
        let leaf = self.root.last_leaf();
        let has_room = leaf.len() < leaf.capacity().min(leaf_size::<E>());
        if !has_room || leaf.last().is_none_or(|last| key_of(*last) >= key) {
            return false;
        }
        let mut node = &mut self.root;
        while let Node::Inner(children) = node {
            let child = children.last_mut().expect("an inner node has children");
            child.count += 1;
            child.sum.add(M::of(entry));
            node = &mut child.node;
        }
        if let Node::Leaf(entries) = node {
            entries.push(entry);
        }
        self.len += 1;
        true
    }

    /// Removes the first entry if it is the one under `key` and not the last of its leaf: what mostly
    /// happens in a queue. Else nothing is changed. Only the first leaf gets emptier than others may by
    /// this, so nothing is gained by joining it with the next one.
    #[inline]
    fn pop<'k>(&mut self, key: K::Key<'k>, key_of: &impl Fn(E) -> K::Key<'k>) -> Option<E> {
        let leaf = self.root.first_leaf();
        let first = *leaf.first()?;
        if leaf.len() < 2 || key_of(first) != key {
            return None;
        }
        let mut node = &mut self.root;
        while let Node::Inner(children) = node {
            let child = children.first_mut().expect("an inner node has children");
            child.count -= 1;
            child.sum.sub(M::of(first));
            node = &mut child.node;
        }
        if let Node::Leaf(entries) = node {
            entries.remove(0);
        }
        self.len -= 1;
        Some(first)
    }

    /// Removes the entry under `key`, if there is one.
    pub fn remove<'k>(&mut self, key: K::Key<'k>, key_of: impl Fn(E) -> K::Key<'k>) -> Option<E> {
        self.pop(key, &key_of).or_else(|| {
            self.remove_found(key, |entries| {
                entries.binary_search_by(|e| key_of(*e).cmp(&key)).ok()
            })
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
