//! What is done to the items of a group in one step: RESOLVE … ALSO, CANCELGROUP, CLAIM … WITHGROUP.
//! Each goes through the group by arrival, and looks at no more than `MAX_GROUP_LOOKED_AT` items.

use super::verdicts::{Checked, Given};
use super::{Request, Turn};
use crate::queue::effect::Effect;
use crate::queue::event::Told;
use crate::queue::request::{
    CancelGroup, Claim, Claimed, Error, GroupDone, ResolveAlso, Resolved, ResolvedAlso,
};
use crate::queue::store::{
    ItemSlot, ModeratorSlot, Opportunity, Place, Seq, State, TagSet, covers,
};
use crate::queue::{MAX_CLAIM_BYTES, MAX_GROUP_LOOKED_AT};
use crate::units::{Millis, Token};
use std::collections::BTreeSet;

/// Gives a verdict to the item named, and then to others of its group, each with its own event. What that
/// makes possible is matched at the end, so that nobody is given an item that goes in the same step.
///
/// Errors: as of RESOLVE.
impl Request for &ResolveAlso<'_> {
    type Reply = ResolvedAlso;

    fn run(self, turn: &mut Turn<'_>) -> Result<ResolvedAlso, Error> {
        let named = &self.named;
        let (slot, lock) = match turn.check_resolve(named)? {
            Checked::Before(resolved) => return Ok(turn.also_before(named.id, resolved)),
            Checked::Anew(slot, lock) => (slot, lock),
        };
        turn.admit()?;
        // Of the item named, which may be gone before the others are looked at.
        let store = &*turn.store;
        let group: Box<[u8]> = store.group_name(slot).into();
        let own_tags: Vec<Box<[u8]>> = store
            .tags()
            .names(store.items()[slot].tags)
            .map(Box::from)
            .collect();
        let moderator = store.moderators()[lock.moderator].name.clone();
        let given = named.given_by(&moderator);
        let (resolved, opportunity) = turn.give_verdict(slot, &given);
        let mut ready = Vec::new();
        ready.extend(opportunity.item());
        let tags = match &self.tags {
            Some(tags) => tags.iter().map(|tag| &***tag).collect(),
            None => own_tags.iter().map(|tag| &**tag).collect(),
        };
        let also = Also {
            given: Given {
                via: Some(named.id),
                ..given
            },
            has_verdict: named.verdict.is_some(),
            tags,
        };
        let group = turn.give_also(&group, &also, self, &mut ready);
        turn.match_all(ready, Some(&moderator));
        Ok(ResolvedAlso { resolved, group })
    }
}

/// What is given to the other items of a group.
struct Also<'a> {
    given: Given<'a>,
    has_verdict: bool,
    /// Items with any other tag are passed over.
    tags: Vec<&'a [u8]>,
}

/// Who gives a verdict to others of a group, as the queue knows them at the moment.
struct Giver {
    known: Option<ModeratorSlot>,
    tags: TagSet,
}

impl Turn<'_> {
    /// The answer to a RESOLVE … ALSO that was accepted before: nothing is done anew.
    fn also_before(&self, named: &[u8], resolved: Resolved) -> ResolvedAlso {
        let store = &*self.store;
        let left = match (store.record(named, self.now.time), store.find(named)) {
            // Its record answers, even if the id is in the queue again.
            (Some(record), _) if resolved == Resolved::Ended => store.group_len(record.group),
            (_, Some(slot)) => store.group_len(store.group_name(slot)),
            (_, None) => 0,
        };
        let group = GroupDone {
            left,
            ..GroupDone::default()
        };
        ResolvedAlso { resolved, group }
    }

    /// Gives a verdict to others of the group. What is ready by that is added to `ready`.
    fn give_also(
        &mut self,
        group: &[u8],
        also: &Also<'_>,
        asked: &ResolveAlso<'_>,
        ready: &mut Vec<ItemSlot>,
    ) -> GroupDone {
        let mut giver = self.giver(also);
        let mut slots = self.look_at(group, asked.cursor);
        let mut done = 0;
        while done < asked.most {
            let Some(slot) = slots.next() else {
                break;
            };
            let Some(token) = self.token_for(slot, also, &giver, asked.named.token) else {
                continue;
            };
            let given = Given {
                token,
                ..also.given
            };
            let (_, opportunity) = self.give_verdict(slot, &given);
            ready.extend(opportunity.item());
            done += 1;
            // A verdict can make the moderator known, or forgotten, and a split brings a tag.
            giver = self.giver(also);
        }
        GroupDone {
            done,
            left: self.store.group_len(group),
            next: slots.next_seq(self),
        }
    }

    fn giver(&self, also: &Also<'_>) -> Giver {
        Giver {
            known: self.store.moderators().find(also.given.moderator),
            tags: self.store.tags().known(&also.tags),
        }
    }

    /// The token with which an item of the group is given the verdict: that of the moderator's own lock on
    /// it, else zero. None if it is passed over. `since` is the token of the lock on the item named.
    fn token_for(
        &self,
        slot: ItemSlot,
        also: &Also<'_>,
        giver: &Giver,
        since: Token,
    ) -> Option<Token> {
        let store = &*self.store;
        let item = &store.items()[slot];
        let token = match item.state {
            State::Locked => {
                // One whose deadline has passed is put back by the clock, in the order of time.
                let lock = store.live_lock(slot, self.now.time)?;
                (Some(lock.moderator) == giver.known).then_some(lock.token)?
            }
            State::Ready | State::Delayed | State::Dead => Token(0),
        };
        let barred = giver.known.is_some_and(|m| store.is_barred(slot, m));
        let passed_over = item.id() == also.given.via.unwrap_or(&[])
            || store.is_contested(slot)
            || store.fresh(slot) >= since
            || !also.has_verdict && store.quorum(slot).takes_several()
            || barred
            || !covers(&giver.tags, store.tags().set(item.tags));
        (!passed_over).then_some(token)
    }

    /// The items of a group that one command may look at.
    fn look_at(&self, group: &[u8], cursor: u64) -> LookAt {
        let slots = self
            .store
            .group_items(group, Seq(cursor), MAX_GROUP_LOOKED_AT + 1);
        LookAt { slots, at: 0 }
    }
}

/// The items of a group that one command may look at, by arrival, and one more, where the next goes on.
/// While the command runs none of them leaves the queue but those it ends itself, once they were
/// looked at.
struct LookAt {
    slots: Vec<ItemSlot>,
    at: usize,
}

impl LookAt {
    fn next(&mut self) -> Option<ItemSlot> {
        if self.at >= MAX_GROUP_LOOKED_AT {
            return None;
        }
        let slot = *self.slots.get(self.at)?;
        self.at += 1;
        Some(slot)
    }

    /// Where to go on: the first that was not looked at.
    fn next_seq(&self, turn: &Turn<'_>) -> Option<u64> {
        let slot = *self.slots.get(self.at)?;
        Some(turn.store.items()[slot].seq().0)
    }
}

/// Removes items of a group in whatever state, each with its own event. What that makes possible is
/// matched at the end, so that nobody is given an item that goes in the same step.
///
/// Errors: `Events`, `TryAgain`.
impl Request for &CancelGroup<'_> {
    type Reply = GroupDone;

    fn run(self, turn: &mut Turn<'_>) -> Result<GroupDone, Error> {
        let told = Told {
            reason: self.reason,
            by: self.by,
            ..Told::default()
        };
        let except = turn.store.tags().known(&self.except);
        let mut slots = turn.look_at(self.group, self.cursor);
        let (mut done, mut freed) = (0, Vec::new());
        while done < self.most {
            let Some(slot) = slots.next() else {
                break;
            };
            let item = &turn.store.items()[slot];
            let tags = turn.store.tags().set(item.tags);
            if tags.iter().any(|tag| except.contains(tag)) {
                continue;
            }
            turn.admit()?;
            // The effect would borrow the item's own id, so it is copied first.
            let id: Box<[u8]> = item.id().into();
            let opportunity = turn.commit_told(&Effect::Cancel { id: &id }, Some(slot), &told);
            done += 1;
            if let Opportunity::Moderator(moderator) = opportunity {
                freed.push(moderator);
            }
        }
        turn.match_freed(freed);
        Ok(GroupDone {
            done,
            left: turn.store.group_len(self.group),
            next: slots.next_seq(turn),
        })
    }
}

impl Turn<'_> {
    /// Matches those whose locks ended, along the line: who still waits in other calls then stands where
    /// these do, perhaps behind others. They may be forgotten by now, and the slot another's: harmless,
    /// since whoever has it is matched only if they wait.
    fn match_freed(&mut self, freed: Vec<ModeratorSlot>) {
        let place = |m: ModeratorSlot| Some((self.line.place(m)?, m));
        let mut waiting: BTreeSet<(Place, ModeratorSlot)> =
            freed.into_iter().filter_map(place).collect();
        while let Some((_, moderator)) = waiting.pop_first() {
            if self.match_moderator(moderator).is_some() {
                let place = self.line.place(moderator);
                waiting.extend(place.map(|place| (place, moderator)));
            }
        }
    }

    /// Locks the other items of the group of the first item claimed: those that the moderator may take, by
    /// arrival, until the claim has enough of them, or `MAX_CLAIM_BYTES` of payload, of which
    /// `payload` are there already.
    pub(super) fn claim_group(
        &mut self,
        claim: &Claim<'_>,
        set: &TagSet,
        lock: Millis,
        mut payload: usize,
        claimed: &mut Claimed,
    ) -> Result<(), Error> {
        let Some(first) = claimed.first() else {
            return Ok(());
        };
        let group: Box<[u8]> = self.store.group_name(first.item).into();
        // They hold what is claimed already, and stay who they are.
        let moderator = self.store.moderators().find(claim.moderator);
        let mut slots = self.look_at(&group, 0);
        while claimed.len() < claim.count && payload < MAX_CLAIM_BYTES && self.has_tokens() {
            let Some(slot) = slots.next() else {
                break;
            };
            let store = &*self.store;
            if moderator.is_some_and(|m| !store.has_capacity(m)) {
                break;
            }
            let item = &store.items()[slot];
            let may_take = item.state == State::Ready
                && covers(set, store.tags().set(item.tags))
                && !moderator.is_some_and(|m| store.is_barred(slot, m));
            if !may_take {
                continue;
            }
            let size = item.payload().len();
            if payload + size > MAX_CLAIM_BYTES {
                break;
            }
            self.admit()?;
            payload += size;
            claimed.push(self.lock_claimed(slot, claim.moderator, lock));
        }
        Ok(())
    }
}
