//! What moderators ask for: CLAIM, JOIN, LEAVE.

use super::{Request, Turn};
use crate::queue::MAX_CLAIM_BYTES;
use crate::queue::effect::Effect;
use crate::queue::event::Told;
use crate::queue::line::CallId;
use crate::queue::outcome::{Answer, BeforeMatch};
use crate::queue::read;
use crate::queue::request::{Claim, Claimed, ClaimedItem, Error, Join, Joined, Leave};
use crate::queue::store::{ItemSlot, ModeratorSlot, Place, Profile, TagSet};
use crate::units::{Millis, Token};
use serde_bytes::Bytes;
use smallvec::SmallVec;

/// The time to live of a registration that never said.
const DEFAULT_TTL: Millis = Millis(30_000);

/// How a moderator came to hold a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How<'a> {
    /// They asked in this very call.
    Claim,
    /// By a match with an item or a place in line.
    Match,
    /// A supervisor gave it to them; the event says who, if they said so.
    Assign { by: Option<&'a [u8]> },
}

/// What a moderator holds, then what is new for them.
///
/// Errors: `Events`, `TryAgain`.
impl Request for &Claim<'_> {
    type Reply = Claimed;

    fn run(self, turn: &mut Turn<'_>) -> Result<Claimed, Error> {
        let mut claimed = Claimed::new();
        let mut payload = 0;
        let known = turn.store.moderators().find(self.moderator);
        // Locking never adds or removes a registration.
        let registered = known.filter(|m| turn.store.moderators()[*m].profile.is_some());
        if let (Some(moderator), false) = (known, self.new_only) {
            for held in read::first_held(turn.store, moderator, turn.now.time, self.count) {
                payload += turn.store.items()[held.item].payload().len();
                claimed.push(held);
            }
        }
        if claimed.len() < self.count && !turn.store.paused().output && turn.store.ready() > 0 {
            turn.claim_new(self, known, payload, &mut claimed)?;
        }
        let in_line = registered.and_then(|m| turn.store.moderators()[m].joined_at());
        if in_line.is_some() && !claimed.is_empty() {
            let moderator = self.moderator;
            turn.commit(&Effect::Served { moderator }, None);
        }
        Ok(claimed)
    }
}

impl Turn<'_> {
    /// Locks new items for a CLAIM until it has enough of them, or `MAX_CLAIM_BYTES` of payload,
    /// of which `payload` are there already.
    fn claim_new(
        &mut self,
        claim: &Claim<'_>,
        known: Option<ModeratorSlot>,
        mut payload: usize,
        claimed: &mut Claimed,
    ) -> Result<(), Error> {
        let set = self.claim_tags(known, claim.tags.as_deref());
        let lock = claim.lock.unwrap_or(self.store.settings().lock);
        let mut moderator = known;
        // With WITHGROUP the first item says what the others are.
        let count = match (claim.with_group, claimed.is_empty()) {
            (true, true) => 1,
            (true, false) => 0,
            (false, _) => claim.count,
        };
        // From the second on, so that to take one, as most do, needs nothing to be built.
        let mut heads: Option<read::Heads> = None;
        while claimed.len() < count && payload < MAX_CLAIM_BYTES {
            if !self.has_tokens() || moderator.is_some_and(|m| !self.store.has_capacity(m)) {
                break;
            }
            let first = match &heads {
                Some(heads) => heads.first(),
                None => read::best(self.store, moderator, &[&set]),
            };
            let Some(slot) = first else {
                break;
            };
            let size = self.store.items()[slot].payload().len();
            if !claimed.is_empty() && payload + size > MAX_CLAIM_BYTES {
                break;
            }
            self.admit()?;
            payload += size;
            claimed.push(self.lock_claimed(slot, claim.moderator, lock));
            if claimed.len() < count {
                match &mut heads {
                    Some(heads) => heads.taken(self.store),
                    None => {
                        // The first lock can make the moderator known, also anew in another slot. From
                        // then on they hold it, and stay who they are.
                        moderator = self.store.moderators().find(claim.moderator);
                        heads = Some(read::Heads::new(self.store, moderator, &set));
                    }
                }
            }
        }
        if claim.with_group {
            self.claim_group(claim, &set, lock, payload, claimed)?;
        }
        Ok(())
    }

    fn claim_tags(&self, known: Option<ModeratorSlot>, given: Option<&[&Bytes]>) -> TagSet {
        read::claim_tags(self.store, known, given)
    }

    /// Locks an item for who claims it.
    pub(super) fn lock_claimed(
        &mut self,
        slot: ItemSlot,
        moderator: &[u8],
        lock: Millis,
    ) -> ClaimedItem {
        ClaimedItem {
            item: slot,
            token: self.lock_for(slot, moderator, lock, How::Claim),
            deadline: self.now.time + lock,
        }
    }

    /// Locks an item, and answers the moderator's blocked calls with it.
    pub(super) fn lock_for(
        &mut self,
        slot: ItemSlot,
        moderator: &[u8],
        lock: Millis,
        how: How<'_>,
    ) -> Token {
        // The effect would borrow the item's own id, so it is copied first.
        let id = SmallVec::<[u8; 64]>::from_slice(self.store.items()[slot].id());
        let joined_at = match self.line.blocked() {
            0 => None,
            _ => self.joined_at(moderator),
        };
        let token = self.next_token();
        let (assign, by) = match how {
            How::Assign { by } => (true, by),
            How::Claim | How::Match => (false, None),
        };
        let effect = Effect::Lock {
            id: &id,
            moderator,
            token,
            deadline: self.now.time + lock,
            assign,
        };
        match by {
            None => self.commit(&effect, Some(slot)),
            by => {
                let told = Told {
                    by,
                    ..Told::default()
                };
                self.commit_told(&effect, Some(slot), &told)
            }
        };
        if self.line.blocked() > 0 {
            let undo = (how == How::Match).then_some(BeforeMatch { joined_at });
            self.answer_calls(moderator, &id, token, how, undo);
        }
        token
    }

    fn joined_at(&self, moderator: &[u8]) -> Option<Place> {
        let known = self.store.moderators().find(moderator)?;
        self.store.moderators()[known].joined_at()
    }

    /// Answers the blocked calls of a moderator with a new lock.
    fn answer_calls(
        &mut self,
        moderator: &[u8],
        id: &[u8],
        token: Token,
        how: How<'_>,
        undo: Option<BeforeMatch>,
    ) {
        // Looked up anew: the lock may be what makes them known.
        let Some(slot) = self.store.moderators().find(moderator) else {
            return;
        };
        for call in self.take_calls(slot, how != How::Claim) {
            self.out.answers.push(Answer {
                call,
                item: id.into(),
                token,
                undo,
            });
        }
    }

    /// Takes the blocked calls of a moderator that a new lock answers: all that do not insist on
    /// a new item; if all do, and `or_newest`, the most recent one.
    fn take_calls(&mut self, moderator: ModeratorSlot, or_newest: bool) -> Vec<CallId> {
        let blocked = self.line.calls_of(moderator);
        let content = blocked.iter().filter(|b| !b.new_only);
        let mut calls: Vec<CallId> = content.map(|b| b.call).collect();
        if calls.is_empty() && or_newest {
            calls.extend(blocked.iter().map(|b| b.call).max());
        }
        let now = self.now.time;
        self.line.remove_calls(self.store, moderator, &calls, now);
        calls
    }

    /// Whether there is something for a moderator who joins with these tags.
    fn would_take(&self, known: Option<ModeratorSlot>, tags: Option<&[&Bytes]>) -> bool {
        let store = &*self.store;
        let free = !store.paused().output && store.ready() > 0 && self.has_tokens();
        free && known.is_none_or(|m| store.has_capacity(m))
            && read::best(store, known, &[&self.claim_tags(known, tags)]).is_some()
    }
}

/// Registers a moderator who has no open connection, or keeps them registered.
///
/// Errors: `Events`, `TryAgain`.
impl Request for &Join<'_> {
    type Reply = Joined;

    fn run(self, turn: &mut Turn<'_>) -> Result<Joined, Error> {
        let store = &*turn.store;
        let known = store.moderators().find(self.moderator);
        let old = known.and_then(|m| store.moderators()[m].profile.as_deref());
        let old = old.cloned();
        let held = known.map_or(0, |m| read::held(store, m, turn.now.time).count() as u64);
        let count = self.count.or(old.as_ref().map(|p| p.count)).unwrap_or(1);
        let has_enough = held >= count;
        // Blocked calls go by these tags, too.
        let blocked = known.is_some_and(|m| !turn.line.calls_of(m).is_empty());
        if (!has_enough || blocked) && turn.would_take(known, self.tags.as_deref()) {
            turn.admit()?;
        }
        let place = match old.as_ref().and_then(|p| p.place) {
            _ if has_enough => None,
            Some(place) => Some(place),
            None => Some(turn.line.end(turn.stamp())),
        };
        let ttl = self.ttl.or(old.as_ref().map(|p| p.ttl));
        let old_tags = match (&self.tags, &old) {
            (None, Some(profile)) => turn.tags_of(profile),
            _ => Vec::new(),
        };
        let tags = self.tags.clone();
        let tags = tags.unwrap_or_else(|| old_tags.iter().map(|t| Bytes::new(t)).collect());
        let ttl = ttl.unwrap_or(DEFAULT_TTL);
        let effect = Effect::Join {
            moderator: self.moderator,
            place,
            ttl,
            expires: turn.now.time + ttl,
            count,
            tags,
        };
        let matched = turn.commit_and_match(&effect, None);
        Ok(if matched || has_enough {
            Joined::Assigned
        } else {
            Joined::Waiting
        })
    }
}

impl Turn<'_> {
    /// The tags a moderator joined with, copied.
    pub(super) fn tags_of(&self, profile: &Profile) -> Vec<Box<[u8]>> {
        let names = self.store.tags().names(profile.tags);
        names.map(Box::from).collect()
    }
}

/// Ends a registration, and with `release` the moderator's locks.
///
/// Errors: `Events`, `TryAgain`.
impl Request for Leave<'_> {
    type Reply = bool;

    fn run(self, turn: &mut Turn<'_>) -> Result<bool, Error> {
        let moderators = turn.store.moderators();
        let Some(slot) = moderators.find(self.moderator) else {
            return Ok(false);
        };
        if self.release && !moderators[slot].held.is_empty() {
            turn.admit()?;
        }
        let was_in_line = turn.line.place(slot).is_some();
        if turn.store.moderators()[slot].profile.is_some() {
            let moderator = self.moderator;
            turn.commit(&Effect::Leave { moderator }, None);
        }
        if self.release {
            turn.release_all(self.moderator);
        }
        Ok(was_in_line)
    }
}

impl Turn<'_> {
    fn release_all(&mut self, moderator: &[u8]) {
        let store = &*self.store;
        let Some(slot) = store.moderators().find(moderator) else {
            return;
        };
        let held = store.moderators()[slot].held.items();
        let held: Vec<Box<[u8]>> = held.map(|item| store.items()[item].id().into()).collect();
        let mut ready = Vec::new();
        for id in held {
            let effect = Effect::Release {
                id: &id,
                skip: false,
                due: None,
            };
            ready.extend(self.commit(&effect, None).item());
        }
        self.match_all(ready, Some(moderator));
    }
}
