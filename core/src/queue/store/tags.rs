//! Tags and their combinations, each stored once. Items and moderators refer to a *list* (tags as
//! given, which is what readers see again). Lists of the same tags share a *class*, whatever their
//! order, and a class holds the ready items that need exactly these tags.

use super::item::{ItemSlot, OrderKey};
use crate::counted_tree::CountedTree;
use crate::memory::{alloc_size, btree_bytes};
use crate::slab::{Slab, slot_number};
use crate::slot_index::SlotIndex;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

slot_number!(
    /// A tag of a queue.
    pub(in crate::queue) TagSlot
);
slot_number!(
    /// A list of tags as somebody gave it.
    pub(in crate::queue) TagList
);
slot_number!(
    /// A combination of tags, whatever their order.
    pub(in crate::queue) ClassSlot
);

impl TagList {
    /// The list without tags: always there.
    pub(in crate::queue) const EMPTY: TagList = TagList(0);
}

/// Tags in ascending order of their numbers, each once.
pub(in crate::queue) type TagSet = SmallVec<[TagSlot; 8]>;

#[derive(Debug)]
struct Name {
    name: Box<[u8]>,
    /// How many lists have it.
    lists: u32,
}

#[derive(Debug)]
struct List {
    tags: Box<[TagSlot]>,
    class: ClassSlot,
    users: u32,
}

/// What belongs to one combination of tags.
#[derive(Debug, Default)]
pub(in crate::queue) struct Class {
    /// Ascending.
    pub tags: Box<[TagSlot]>,
    lists: u32,
    /// The ready items that need exactly these tags.
    pub ready: CountedTree<ItemSlot, OrderKey>,
}

/// Every tag, list and class of one queue.
#[derive(Debug)]
pub(in crate::queue) struct Tags {
    names: Slab<TagSlot, Name>,
    index: SlotIndex<TagSlot>,
    lists: Slab<TagList, List>,
    list_of: BTreeMap<Box<[TagSlot]>, TagList>,
    pub classes: Slab<ClassSlot, Class>,
    class_of: BTreeMap<Box<[TagSlot]>, ClassSlot>,
    /// Classes with ready items.
    pub with_ready: BTreeSet<ClassSlot>,
    /// Bytes of heap of names, lists and classes, without the trees of ready items.
    heap: usize,
    /// Bytes of heap of all trees of ready items.
    pub(super) ready_bytes: usize,
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
        debug_assert_eq!(list, TagList::EMPTY);
        Tags {
            names: Slab::default(),
            index: SlotIndex::default(),
            lists,
            list_of: BTreeMap::new(),
            classes,
            class_of: BTreeMap::new(),
            with_ready: BTreeSet::new(),
            heap: 0,
            ready_bytes: 0,
        }
    }
}

/// Whether every tag of `needed` is in `offered`; both ascending.
#[inline]
pub(in crate::queue) fn covers(offered: &[TagSlot], needed: &[TagSlot]) -> bool {
    if needed.len() > offered.len() {
        return false;
    }
    let mut offered = offered.iter();
    needed.iter().all(|n| offered.any(|o| o == n))
}

impl Tags {
    fn find(&self, name: &[u8]) -> Option<TagSlot> {
        self.index
            .find(self.index.hash(name), |s| *self.names[s].name == *name)
    }

    /// The class of a list.
    #[inline]
    pub(in crate::queue) fn class(&self, list: TagList) -> ClassSlot {
        self.lists[list].class
    }

    /// The tags of a list, ascending.
    pub(in crate::queue) fn set(&self, list: TagList) -> &[TagSlot] {
        &self.classes[self.lists[list].class].tags
    }

    /// Those of `names` that anything here uses, ascending. Others match nothing.
    pub(in crate::queue) fn known(&self, names: &[impl AsRef<[u8]>]) -> TagSet {
        let mut set: TagSet = names.iter().filter_map(|n| self.find(n.as_ref())).collect();
        set.sort_unstable();
        set.dedup();
        set
    }

    /// The names of a list, as they were given.
    pub(in crate::queue) fn names(&self, list: TagList) -> impl ExactSizeIterator<Item = &[u8]> {
        self.lists[list]
            .tags
            .iter()
            .map(|tag| &*self.names[*tag].name)
    }

    /// The name of a tag.
    pub(in crate::queue) fn name(&self, tag: TagSlot) -> &[u8] {
        &self.names[tag].name
    }

    /// The list of these names (a repeated name counts once), now used once more.
    pub(super) fn acquire(&mut self, names: &[impl AsRef<[u8]>]) -> TagList {
        if names.is_empty() {
            self.lists[TagList::EMPTY].users += 1;
            return TagList::EMPTY;
        }
        let mut tags: TagSet = SmallVec::new();
        for name in names {
            let name = name.as_ref();
            let tag = self.find(name).unwrap_or_else(|| {
                self.heap += alloc_size(name.len());
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
        let given: Box<[TagSlot]> = tags.as_slice().into();
        tags.sort_unstable();
        let class = match self.class_of.get(&*tags) {
            Some(class) => *class,
            None => {
                let class = self.classes.insert(Class {
                    tags: tags.as_slice().into(),
                    ..Class::default()
                });
                self.class_of.insert(tags.as_slice().into(), class);
                self.heap += stored_twice(&tags);
                class
            }
        };
        self.classes[class].lists += 1;
        self.heap += stored_twice(&given);
        let list = self.lists.insert(List {
            tags: given.clone(),
            class,
            users: 1,
        });
        self.list_of.insert(given, list);
        list
    }

    /// Uses a list once less; what nobody uses any more is forgotten.
    pub(super) fn release(&mut self, list: TagList) {
        self.lists[list].users -= 1;
        if self.lists[list].users > 0 || list == TagList::EMPTY {
            return;
        }
        let List { tags, class, .. } = self.lists.remove(list);
        self.list_of.remove(&tags);
        self.heap -= stored_twice(&tags);
        self.classes[class].lists -= 1;
        if self.classes[class].lists == 0 {
            let gone = self.classes.remove(class);
            debug_assert!(gone.ready.is_empty());
            self.class_of.remove(&gone.tags);
            self.heap -= stored_twice(&gone.tags);
        }
        for tag in &tags {
            self.names[*tag].lists -= 1;
            if self.names[*tag].lists == 0 {
                let gone = self.names.remove(*tag);
                self.heap -= alloc_size(gone.name.len());
                self.index.remove(self.index.hash(&gone.name), *tag);
            }
        }
    }

    /// The heap bytes that are counted, and the same found by looking at everything.
    #[cfg(test)]
    pub(in crate::queue) fn counted_and_found(&self) -> [(usize, usize); 2] {
        let names = self.names.iter().map(|(_, n)| alloc_size(n.name.len()));
        let lists = self.lists.iter().map(|(_, list)| stored_twice(&list.tags));
        let classes = self.classes.iter().map(|(_, c)| stored_twice(&c.tags));
        let ready = self.classes.iter().map(|(_, c)| c.ready.memory_bytes());
        let heap = names.chain(lists).chain(classes).sum();
        [(self.heap, heap), (self.ready_bytes, ready.sum())]
    }

    /// How many lists, classes and tags there are (to be sure that nothing leaks).
    #[cfg(test)]
    pub(in crate::queue) fn sizes(&self) -> (usize, usize, usize) {
        (self.lists.len(), self.classes.len(), self.names.len())
    }

    /// Bytes of heap: O(1).
    pub(in crate::queue) fn memory_bytes(&self) -> usize {
        self.names.memory_bytes()
            + self.index.memory_bytes()
            + self.lists.memory_bytes()
            + self.classes.memory_bytes()
            + btree_bytes::<Box<[TagSlot]>, TagList>(self.list_of.len())
            + btree_bytes::<Box<[TagSlot]>, ClassSlot>(self.class_of.len())
            + btree_bytes::<ClassSlot, ()>(self.with_ready.len())
            + self.heap
            + self.ready_bytes
    }
}

/// Bytes of heap of these tags as a list or class has them: in the record, and to be found by.
fn stored_twice(tags: &[TagSlot]) -> usize {
    2 * alloc_size(size_of_val(tags))
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
        assert!(covers(&[], tags.set(TagList::EMPTY)));
        for list in [ab, ba, ab] {
            tags.release(list);
        }
        assert_eq!(tags.sizes(), (1, 1, 0));
    }
}
