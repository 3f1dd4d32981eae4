//! The match that joins the two lines: the first item goes to the first moderator who may take it.
//! It runs after every effect that can make one possible.

use super::Turn;
use super::moderators::How;
use crate::queue::outcome::{Announcement, Notice};
use crate::queue::read;
use crate::queue::store::{ItemSlot, ModeratorSlot, Opportunity, Place, State, TagSlot, covers};
use crate::units::{Millis, Token};
use smallvec::SmallVec;

/// So many exclusions are searched as they are.
const FEW_EXCLUSIONS: usize = 16;

/// Who is excluded from an item, to be asked about one moderator after another. At most as many of
/// them are found excluded as there are exclusions, so a search through the line takes no longer
/// than to sort these.
struct Barred {
    all: SmallVec<[ModeratorSlot; 4]>,
    /// The same in order, once more than one is asked about.
    sorted: Vec<ModeratorSlot>,
    asked: bool,
}

impl Barred {
    fn new(all: SmallVec<[ModeratorSlot; 4]>) -> Self {
        Barred {
            all,
            sorted: Vec::new(),
            asked: false,
        }
    }

    fn has(&mut self, moderator: ModeratorSlot) -> bool {
        if self.all.len() <= FEW_EXCLUSIONS || !self.asked {
            self.asked = true;
            return self.all.contains(&moderator);
        }
        if self.sorted.is_empty() {
            self.sorted = self.all.to_vec();
            self.sorted.sort_unstable();
        }
        self.sorted.binary_search(&moderator).is_ok()
    }
}

impl Turn<'_> {
    /// Matches whoever an effect made possible to match. Answers whether the item was, or the
    /// moderator.
    pub(super) fn seize(&mut self, opportunity: Opportunity) -> bool {
        match opportunity {
            Opportunity::None => false,
            Opportunity::Item(slot) => self.match_item(slot),
            Opportunity::Moderator(moderator) => {
                let mut matched = false;
                // Once for each of the calls they wait in; only JOIN makes more than one possible.
                while self.match_moderator(moderator).is_some() {
                    matched = true;
                }
                matched
            }
            Opportunity::Both(slot, moderator) => {
                // Whichever item comes first is matched first: not a lesser one that comes back
                // to the moderator who was at capacity before what they can take now.
                let offer = self.first_offer(moderator);
                if offer.is_some_and(|first| self.store.key(first) < self.store.key(slot)) {
                    self.match_moderator(moderator);
                    self.match_item(slot);
                    return true;
                }
                let matched = self.match_item(slot);
                // The moderator may be forgotten by now, and the slot another's: harmless, since
                // whoever has it is matched only if they wait.
                self.match_moderator(moderator).is_some() || matched
            }
        }
    }

    /// Matches what one command has made ready, and the moderator whose locks it ended, if it did:
    /// whichever item comes first is matched first.
    pub(super) fn match_all(&mut self, mut ready: Vec<ItemSlot>, freed: Option<&[u8]>) {
        ready.sort_by_key(|slot| self.store.key(*slot));
        for slot in ready {
            while let Some((moderator, offer)) = self.offer_to(freed) {
                if self.store.key(offer) >= self.store.key(slot) {
                    break;
                }
                self.match_moderator(moderator);
            }
            if self.store.items()[slot].state == State::Ready {
                self.match_item(slot);
            }
        }
        if let Some(freed) = freed.and_then(|name| self.store.moderators().find(name)) {
            self.seize(Opportunity::Moderator(freed));
        }
    }

    /// The first item that a moderator in line may take.
    fn offer_to(&self, moderator: Option<&[u8]>) -> Option<(ModeratorSlot, ItemSlot)> {
        let known = self.store.moderators().find(moderator?)?;
        Some((known, self.first_offer(known)?))
    }

    /// Gives an item to a moderator who did not ask for it in this call.
    pub(super) fn hand_to(
        &mut self,
        slot: ItemSlot,
        moderator: &[u8],
        lock: Millis,
        how: How<'_>,
    ) -> Token {
        let item = self.store.items()[slot].id().into();
        let token = self.lock_for(slot, moderator, lock, how);
        self.out.notices.push(Notice::Assign);
        self.out.announcements.push(Announcement {
            item,
            moderator: moderator.into(),
            token,
            assign: matches!(how, How::Assign { .. }),
        });
        token
    }

    /// Gives a ready item to the longest waiting moderator who may take it. Answers whether
    /// there was one.
    pub(super) fn match_item(&mut self, slot: ItemSlot) -> bool {
        if self.line.has_no_takers() || self.store.paused().output || !self.has_tokens() {
            return false;
        }
        let Some(moderator) = self.first_taker(slot) else {
            return false;
        };
        // While matches are caught up, earlier items may be there for who comes first; then this
        // one is left to those behind, whom the sweep has yet to reach.
        let first = match self.line.is_sweeping() {
            true => self.first_offer(moderator).unwrap_or(slot),
            false => slot,
        };
        self.serve(first, moderator);
        first == slot
    }

    /// The longest waiting moderator who may take an item, if the queue knows of everyone in front.
    fn first_taker(&self, slot: ItemSlot) -> Option<ModeratorSlot> {
        let store = &*self.store;
        let needed = store.tags().set(store.items()[slot].tags);
        let mut excluded = Barred::new(store.barred(slot));
        let mut best: Option<(Place, ModeratorSlot)> = None;
        for (class, takers) in self.line.takers() {
            if !covers(&store.tags().classes[class].tags, needed) {
                continue;
            }
            // Nobody behind the best so far is looked at.
            let mut takers = takers.iter().take_while(|t| best.is_none_or(|b| **t < b));
            best = takers.find(|(_, m)| !excluded.has(*m)).copied().or(best);
        }
        best.filter(|(place, _)| self.line.knows(*place))
            .map(|(_, moderator)| moderator)
    }

    /// The first item a moderator in line may take.
    pub(super) fn first_offer(&self, moderator: ModeratorSlot) -> Option<ItemSlot> {
        let store = &*self.store;
        if store.ready() == 0 || store.paused().output || !self.has_tokens() {
            return None;
        }
        let place = self.line.place(moderator)?;
        if !store.has_capacity(moderator) || !self.line.knows(place) {
            return None;
        }
        let offers = self.line.offers(store, moderator);
        let classes = &store.tags().classes;
        let sets = offers.iter().map(|class| &*classes[*class].tags);
        let sets: SmallVec<[&[TagSlot]; 2]> = sets.collect();
        read::best(store, Some(moderator), &sets)
    }

    /// Gives a moderator in line the first item they may take. Answers it, if there was one.
    pub(super) fn match_moderator(&mut self, moderator: ModeratorSlot) -> Option<ItemSlot> {
        let slot = self.first_offer(moderator)?;
        self.serve(slot, moderator);
        Some(slot)
    }

    fn serve(&mut self, slot: ItemSlot, moderator: ModeratorSlot) {
        let lock = self.lock_asked(moderator);
        let lock = lock.unwrap_or(self.store.settings().lock);
        let name = self.store.moderators()[moderator].name.clone();
        self.hand_to(slot, &name, lock, How::Match);
    }

    /// How long a lock is to last by the call that is answered with it.
    fn lock_asked(&self, moderator: ModeratorSlot) -> Option<Millis> {
        let calls = self.line.calls_of(moderator);
        let mut content = calls.iter().filter(|call| !call.new_only).peekable();
        if content.peek().is_some() {
            return content.find_map(|call| call.lock);
        }
        calls.iter().max_by_key(|call| call.call)?.lock
    }
}
