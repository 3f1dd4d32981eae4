//! Tags and their combinations, each stored once. Items and moderators refer to a *list* (tags as
//! given, which is what readers see again); lists of the same tags share a *class*, and a class
//! holds the ready items that need exactly these tags and the line of moderators that offer them.

use super::index::SlotIndex;
use super::slab::Slab;
use super::{OrderKey, Place};
use crate::counted_tree::CountedTree;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// The list and the class without tags: always there.
pub(super) const EMPTY: u32 = 0;

/// Tag numbers in ascending order, each once.
pub(super) type TagSet = SmallVec<[u32; 8]>;

#[derive(Debug)]
struct Name {
    name: Box<[u8]>,
    lists: u32,
}

#[derive(Debug)]
struct List {
    tags: Box<[u32]>,
    class: u32,
    users: u32,
}

/// What belongs to one combination of tags.
#[derive(Debug, Default)]
pub(super) struct Class {
    /// Ascending.
    pub tags: Box<[u32]>,
    lists: u32,
    /// Slots of the ready items that need exactly these tags.
    pub ready: CountedTree<u32, OrderKey>,
    /// The moderators in line who offer exactly these tags and may hold another lock.
    pub waiting: BTreeSet<(Place, u32)>,
}

/// Every tag, list and class of one queue.
#[derive(Debug)]
pub(super) struct Tags {
    names: Slab<Name>,
    index: SlotIndex,
    lists: Slab<List>,
    list_of: BTreeMap<Box<[u32]>, u32>,
    pub classes: Slab<Class>,
    class_of: BTreeMap<Box<[u32]>, u32>,
    /// Classes with ready items, and classes with waiting moderators.
    pub with_ready: BTreeSet<u32>,
    pub with_waiting: BTreeSet<u32>,
}

impl Default for Tags {
    fn default() -> Self {
        let mut lists = Slab::default();
        let mut classes = Slab::default();
        let class = classes.insert(Class {
            lists: 1,
            ..Class::default()
        });
        let list = lists.insert(List {
            tags: Box::default(),
            class,
            users: 1,
        });
        debug_assert_eq!((list, class), (EMPTY, EMPTY));
        Tags {
            names: Slab::default(),
            index: SlotIndex::default(),
            lists,
            list_of: BTreeMap::new(),
            classes,
            class_of: BTreeMap::new(),
            with_ready: BTreeSet::new(),
            with_waiting: BTreeSet::new(),
        }
    }
}

/// Whether every number of `needed` is in `offered`; both ascending.
#[inline]
pub(super) fn covers(offered: &[u32], needed: &[u32]) -> bool {
    if needed.len() > offered.len() {
        return false;
    }
    let mut offered = offered.iter();
    needed.iter().all(|n| offered.any(|o| o == n))
}

impl Tags {
    fn find(&self, name: &[u8]) -> Option<u32> {
        self.index
            .find(self.index.hash(name), |s| *self.names[s].name == *name)
    }

    /// The class of a list.
    #[inline]
    pub(super) fn class(&self, list: u32) -> u32 {
        self.lists[list].class
    }

    /// The tags of a list, ascending.
    pub(super) fn set(&self, list: u32) -> &[u32] {
        &self.classes[self.lists[list].class].tags
    }

    /// The numbers of those of `names` that anything here uses, ascending. Others match nothing.
    pub(super) fn known(&self, names: &[impl AsRef<[u8]>]) -> TagSet {
        let mut set: TagSet = names.iter().filter_map(|n| self.find(n.as_ref())).collect();
        set.sort_unstable();
        set.dedup();
        set
    }

    /// The names of a list, as they were given.
    pub(super) fn names(&self, list: u32) -> impl ExactSizeIterator<Item = &[u8]> {
        self.lists[list]
            .tags
            .iter()
            .map(|tag| &*self.names[*tag].name)
    }

    /// The name of a tag.
    pub(super) fn name(&self, tag: u32) -> &[u8] {
        &self.names[tag].name
    }

    /// The list of these names (a repeated name counts once), now used once more.
    pub(super) fn acquire(&mut self, names: &[impl AsRef<[u8]>]) -> u32 {
        if names.is_empty() {
            self.lists[EMPTY].users += 1;
            return EMPTY;
        }
        let mut tags: SmallVec<[u32; 8]> = SmallVec::new();
        for name in names {
            let name = name.as_ref();
            let tag = self.find(name).unwrap_or_else(|| {
                let slot = self.names.insert(Name {
                    name: name.into(),
                    lists: 0,
                });
                let stored = &self.names;
                let hash = self.index.hash(name);
                self.index.insert(hash, slot, |s| &stored[s].name);
                slot
            });
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        if let Some(list) = self.list_of.get(&*tags) {
            self.lists[*list].users += 1;
            return *list;
        }
        for tag in &tags {
            self.names[*tag].lists += 1;
        }
        let given: Box<[u32]> = tags.as_slice().into();
        tags.sort_unstable();
        let class = match self.class_of.get(&*tags) {
            Some(class) => *class,
            None => {
                let class = self.classes.insert(Class {
                    tags: tags.as_slice().into(),
                    ..Class::default()
                });
                self.class_of.insert(tags.as_slice().into(), class);
                class
            }
        };
        self.classes[class].lists += 1;
        let list = self.lists.insert(List {
            tags: given.clone(),
            class,
            users: 1,
        });
        self.list_of.insert(given, list);
        list
    }

    /// Uses a list once less; what nobody uses any more is forgotten.
    pub(super) fn release(&mut self, list: u32) {
        self.lists[list].users -= 1;
        if self.lists[list].users > 0 || list == EMPTY {
            return;
        }
        let List { tags, class, .. } = self.lists.remove(list);
        self.list_of.remove(&tags);
        self.classes[class].lists -= 1;
        if self.classes[class].lists == 0 {
            let gone = self.classes.remove(class);
            debug_assert!(gone.ready.is_empty() && gone.waiting.is_empty());
            self.class_of.remove(&gone.tags);
        }
        for tag in &tags {
            self.names[*tag].lists -= 1;
            if self.names[*tag].lists == 0 {
                let gone = self.names.remove(*tag);
                self.index.remove(self.index.hash(&gone.name), *tag);
            }
        }
    }

    /// How many lists, classes and tags there are (to be sure that nothing leaks).
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.lists.len(), self.classes.len(), self.names.len())
    }

    /// Bytes of heap, estimated; the names themselves are small against the items.
    pub(super) fn memory_bytes(&self) -> usize {
        self.names.memory_bytes()
            + self.index.memory_bytes()
            + self.lists.memory_bytes()
            + self.classes.memory_bytes()
            + self.names.len() * 32
            + (self.lists.len() + self.classes.len()) * 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_their_order_and_share_a_class() {
        let mut tags = Tags::default();
        let ab = tags.acquire(&["b", "a", "b"]);
        let ba = tags.acquire(&["a", "b"]);
        assert_ne!(ab, ba);
        assert_eq!(tags.class(ab), tags.class(ba));
        assert_eq!(tags.names(ab).collect::<Vec<_>>(), [b"b", b"a"]);
        assert_eq!(tags.acquire(&["b", "a"]), ab);
        let set = tags.known(&["x", "a", "b"]);
        assert!(covers(&set, tags.set(ab)));
        assert!(!covers(&tags.known(&["a"]), tags.set(ab)));
        assert!(covers(&[], tags.set(EMPTY)));
        for list in [ab, ba, ab] {
            tags.release(list);
        }
        assert_eq!(tags.sizes(), (1, 1, 0));
    }
}
