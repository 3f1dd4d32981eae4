//! Who waits, in what order, for what: the transient part of a queue. Nothing in here is saved or
//! replicated. A replica and a loaded queue make it anew from the registrations; blocked calls are
//! known to the primary only.
//!
//! A moderator waits by JOIN, in blocked calls, or both, and stands in line once, at the earliest
//! of their places. After each effect [`Line::follow`] is told whose standing may have changed; a
//! standing remembers how it was entered, so it can be taken out again whatever has changed since.

mod calls;
#[cfg(test)]
mod testing;

pub(super) use calls::BlockedCall;
pub use calls::{Block, CallId};

use super::store::{ClassSlot, LineChange, ModeratorSlot, Place, Store};
use crate::memory::{alloc_size, btree_bytes, counted};
use crate::units::Time;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// The classes of tags that a moderator in line offers to take from; mostly one.
pub(super) type Offers = SmallVec<[ClassSlot; 2]>;

/// How a moderator stands in line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    place: Place,
    /// None while they hold as many locks as they may.
    offers: Offers,
}

impl Standing {
    fn heap_bytes(&self) -> usize {
        match self.offers.spilled() {
            true => alloc_size(self.offers.capacity() * size_of::<ClassSlot>()),
            false => 0,
        }
    }
}

/// Who may be matched now of those who offer the same, the first first.
type Takers = BTreeSet<(Place, ModeratorSlot)>;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Everybody who waits, the first first.
    order: BTreeSet<(Place, ModeratorSlot)>,
    standings: BTreeMap<ModeratorSlot, Standing>,
    /// By class of tags offered: who may be matched now. No entry is empty.
    takers: BTreeMap<ClassSlot, Takers>,
    /// The blocked calls of each moderator; no entry is empty.
    calls: BTreeMap<ModeratorSlot, Vec<BlockedCall>>,
    /// How many blocked calls there are in all.
    blocked: usize,
    /// Bytes of heap of what is inside the maps: the sets of `takers`, the lists of `calls`, and what
    /// standings offer beyond their records.
    heap: usize,
    /// When the last blocked call of a registered moderator ended: a blocked call counts as a sign
    /// of life while it lasts.
    last_call_ended: BTreeMap<ModeratorSlot, Time>,
    /// Whoever comes next stands behind these.
    last_since: Time,
    next_tie: u64,
    /// From this place on there may be blocked calls that the queue has not been told of.
    unknown_from: Option<Place>,
    /// Where catching up with matches has come to: who stands before this has been looked at.
    sweep: Option<(Place, ModeratorSlot)>,
}

impl Line {
    /// How many moderators wait.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Everybody who waits, the first first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, ModeratorSlot)> + '_ {
        self.order.iter().copied()
    }

    /// Where a moderator stands, if they wait.
    pub(super) fn place(&self, moderator: ModeratorSlot) -> Option<Place> {
        self.standings.get(&moderator).map(|s| s.place)
    }

    /// Who may be matched now, by the class of tags they offer.
    pub(super) fn takers(&self) -> impl Iterator<Item = (ClassSlot, &Takers)> {
        self.takers.iter().map(|(class, all)| (*class, all))
    }

    /// Whether nobody may be matched now.
    #[inline]
    pub(super) fn has_no_takers(&self) -> bool {
        self.takers.is_empty()
    }

    /// The classes of tags that a moderator in line offers to take from.
    pub(super) fn offers(&self, store: &Store, moderator: ModeratorSlot) -> Offers {
        let profile = store.moderators()[moderator].profile.as_ref();
        let mut offers = Offers::new();
        if let Some(profile) = profile.filter(|p| p.place.is_some()) {
            offers.push(store.tags().class(profile.tags));
        }
        for call in self.calls_of(moderator) {
            let list = match profile {
                Some(profile) if !call.own_tags => profile.tags,
                _ => call.tags,
            };
            offers.push(store.tags().class(list));
        }
        offers.sort_unstable();
        offers.dedup();
        offers
    }

    /// Takes note of what an effect changed. To be called after every one, on replicas too.
    #[inline]
    pub(super) fn follow(&mut self, store: &Store, change: LineChange) {
        match change {
            LineChange::None => {}
            LineChange::Moderator(moderator) => self.refresh(store, moderator),
            LineChange::Registered(moderator) => {
                // The time of the new registration counts.
                self.last_call_ended.remove(&moderator);
                self.refresh(store, moderator);
            }
            LineChange::MatchAnew => self.match_everyone(),
            LineChange::Everyone => {
                // Who holds nothing has room, whatever the capacity.
                let all = self.order.iter().map(|(_, m)| *m);
                let all = all.filter(|m| !store.moderators()[*m].held.is_empty());
                let all: Vec<ModeratorSlot> = all.collect();
                all.into_iter().for_each(|m| self.refresh(store, m));
                self.match_everyone();
            }
        }
    }

    /// The standing of a moderator may have changed.
    #[inline]
    fn refresh(&mut self, store: &Store, moderator: ModeratorSlot) {
        let known = store.moderators().is_known(moderator);
        let registered = known && store.moderators()[moderator].profile.is_some();
        let nobody_waits = self.standings.is_empty() && self.last_call_ended.is_empty();
        if registered || !nobody_waits {
            self.refresh_standing(store, moderator, registered);
        }
    }

    fn refresh_standing(&mut self, store: &Store, moderator: ModeratorSlot, registered: bool) {
        let joined = match registered {
            true => store.moderators()[moderator].joined_at(),
            false => {
                self.last_call_ended.remove(&moderator);
                None
            }
        };
        self.note_place(joined);
        let calls = self.calls_of(moderator).iter().map(|call| call.place);
        let standing = calls.chain(joined).min().map(|place| Standing {
            place,
            offers: match store.has_capacity(moderator) {
                true => self.offers(store, moderator),
                false => Offers::new(),
            },
        });
        if self.standings.get(&moderator) == standing.as_ref() {
            return;
        }
        self.take_out(moderator);
        if let Some(standing) = standing {
            self.order.insert((standing.place, moderator));
            for class in &standing.offers {
                let takers = self.takers.entry(*class).or_default();
                counted(takers, &mut self.heap, set_bytes, |takers| {
                    takers.insert((standing.place, moderator))
                });
            }
            self.heap += standing.heap_bytes();
            self.standings.insert(moderator, standing);
        }
    }

    fn take_out(&mut self, moderator: ModeratorSlot) {
        let Some(old) = self.standings.remove(&moderator) else {
            return;
        };
        self.heap -= old.heap_bytes();
        let entry = (old.place, moderator);
        self.order.remove(&entry);
        for class in old.offers {
            if let Some(takers) = self.takers.get_mut(&class) {
                counted(takers, &mut self.heap, set_bytes, |takers| {
                    takers.remove(&entry)
                });
                if takers.is_empty() {
                    self.takers.remove(&class);
                }
            }
        }
    }

    /// Whoever comes later stands behind this place.
    fn note_place(&mut self, place: Option<Place>) {
        if let Some(Place { since, tie }) = place {
            self.last_since = self.last_since.max(since);
            self.next_tie = self.next_tie.max((tie + 1).min(super::store::MAX_TIME - 1));
        }
    }

    /// Where somebody stands who comes at `now`: behind everyone who came before.
    pub(super) fn end(&self, now: Time) -> Place {
        Place {
            since: now.max(self.last_since),
            tie: self.next_tie,
        }
    }

    /// These moderators were registered by loading.
    pub(super) fn registered(&mut self, store: &Store, moderators: &[ModeratorSlot]) {
        moderators.iter().for_each(|m| self.refresh(store, *m));
    }

    // ---- catching up with matches ----

    /// Has the next tick go along the whole line. A replica, too, remembers to, and so does what
    /// was loaded: nobody else knows how far the primary came.
    pub(super) fn match_everyone(&mut self) {
        self.sweep = self.order.first().copied();
    }

    /// Whether matches are being caught up.
    #[inline]
    pub(super) fn is_sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// Who is to be looked at next, while matches are caught up; none after the last.
    pub(super) fn next_in_sweep(&self) -> Option<(Place, ModeratorSlot)> {
        self.order.range(self.sweep?..).next().copied()
    }

    /// Catching up has come to this moderator, and if `done` beyond them.
    pub(super) fn sweep_to(&mut self, place: Place, moderator: ModeratorSlot, done: bool) {
        self.sweep = Some((place, if done { moderator.after() } else { moderator }));
    }

    /// All matches are caught up.
    pub(super) fn end_sweep(&mut self) {
        self.sweep = None;
    }

    /// Whether all blocked calls are known.
    #[inline]
    pub(super) fn knows_all(&self) -> bool {
        self.unknown_from.is_none()
    }

    /// Whether all who stand at this place or before it are known.
    pub(super) fn knows(&self, place: Place) -> bool {
        self.unknown_from.is_none_or(|unknown| place < unknown)
    }

    /// Bytes of heap: O(1).
    pub(super) fn memory_bytes(&self) -> usize {
        btree_bytes::<(Place, ModeratorSlot), ()>(self.order.len())
            + btree_bytes::<ModeratorSlot, Standing>(self.standings.len())
            + btree_bytes::<ClassSlot, Takers>(self.takers.len())
            + btree_bytes::<ModeratorSlot, Vec<BlockedCall>>(self.calls.len())
            + btree_bytes::<ModeratorSlot, Time>(self.last_call_ended.len())
            + self.heap
    }
}

fn set_bytes(takers: &Takers) -> usize {
    btree_bytes::<(Place, ModeratorSlot), ()>(takers.len())
}
