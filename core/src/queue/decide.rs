//! Commands and the clock: what is to happen is decided here against the present state, then
//! applied and recorded. Also the match that joins the two lines, run after every event that can
//! make one possible.

use super::MAX_CLAIM_BYTES;
use super::apply::MAX_TIME;
use super::effect::{Effect, Names, Record, Settings};
use super::event::{Batch, Event};
use super::moderators::BlockedCall;
use super::state::{OrderKey, Place, Queue, State, Timed, U48};
use super::tags::{TagSet, covers};
use crate::counted_tree::first_difference;
use serde_bytes::Bytes;
use smallvec::SmallVec;
use std::collections::HashSet;

/// The time of a command or tick, read once: an instant in Unix ms, and for tokens in µs, which is
/// later where this server has given as large a token before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub ms: u64,
    pub us: u64,
}

/// Why a command was refused. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// No item of that id.
    NoItem,
    /// The token is not the live lock's.
    Stale,
    /// The item is locked.
    Locked,
    /// The content is no longer what REV says.
    Changed,
    /// The id is in the queue already.
    Exists,
    /// The moderator is excluded from the item.
    Excluded,
    /// The queue holds MAXLEN items.
    Full,
    /// The queue is paused for input.
    Paused,
    /// AGING cannot change while there are items.
    AgingInUse,
    /// The key of the event stream holds something else.
    Events,
    /// The event stream is not there, and may be about to come.
    TryAgain,
}

/// What the state of the event stream lets happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gate {
    /// Everything.
    #[default]
    Open,
    /// No command that would write to it: its key holds something else.
    WrongType,
    /// Nor what the clock would do: it is not there, and may be about to come.
    Missing,
}

/// What an effect may have made possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opportunity {
    None,
    /// This item is ready, or may now go to others.
    Item(u32),
    /// This moderator is in line, or may now take other items.
    Moderator(u32),
    Both(u32, u32),
    /// Many matches: they are made by the next `advance`.
    Everyone,
}

/// Something to tell about a key, as a keyspace event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    Submit,
    Assign,
    Resolve,
    Release,
    Expire,
    Dead,
}

/// An item that was given to a moderator who did not ask in this very call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub item: Box<[u8]>,
    pub moderator: Box<[u8]>,
    pub token: u64,
    /// By ASSIGN rather than from the line.
    pub assign: bool,
}

/// How a moderator came to hold a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// They asked in this very call.
    Claim,
    Match,
    Assign,
}

/// A blocked call that is to be answered with a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub call: u64,
    pub item: Box<[u8]>,
    pub token: u64,
    /// If the lock came by a match: where the moderator stood by JOIN, for undoing it.
    pub undo: Option<Option<Place>>,
}

/// A client that is about to wait in a blocked CLAIM.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    /// The shell's number for the client.
    pub call: u64,
    pub moderator: &'a [u8],
    /// None: those joined with.
    pub tags: Option<Names<'a>>,
    pub new_only: bool,
    /// ms; none is the queue's.
    pub lock: Option<u64>,
    /// Where they stand: in every queue of the call the same.
    pub place: Place,
}

/// What happened during one command or tick.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be replicated; empty if nothing changed.
    pub record: Record,
    /// To be announced, and answered to blocked calls.
    pub matches: Vec<Match>,
    /// To be answered.
    pub answers: Vec<Answer>,
    /// To be notified.
    pub notices: SmallVec<[Notice; 4]>,
    /// To be written to event streams.
    pub events: Vec<Batch>,
    /// What the event stream lets happen; set before a command is run.
    pub gate: Gate,
    /// The text of the decision that is about to be taken, for its event.
    pub decision: Option<Box<[u8]>>,
}

impl Effects {
    /// To be asked by a command before it changes anything of an item: each such change writes an
    /// event.
    ///
    /// # Errors
    /// `Events`, `TryAgain`: the event could not be written.
    pub fn admit(&self) -> Result<(), Error> {
        match self.gate {
            Gate::Open => Ok(()),
            Gate::WrongType => Err(Error::Events),
            Gate::Missing => Err(Error::TryAgain),
        }
    }

    /// Starts again, keeping the buffers.
    pub fn clear(&mut self) {
        self.record.clear();
        self.matches.clear();
        self.answers.clear();
        self.notices.clear();
        self.events.clear();
        self.gate = Gate::Open;
        self.decision = None;
    }
}

/// What SUBMIT does with an id that is in the queue already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDuplicate {
    #[default]
    Keep,
    Bump,
    Replace,
    Error,
}

/// A SUBMIT; what was not given is none.
#[derive(Debug, Clone, Default)]
pub struct Submit<'a> {
    pub id: &'a [u8],
    pub payload: &'a [u8],
    pub priority: Option<i32>,
    pub boost: Option<i64>,
    /// ms.
    pub delay: u64,
    pub tags: Option<Names<'a>>,
    pub excluded: Option<Names<'a>>,
    pub on_duplicate: OnDuplicate,
}

/// What became of a SUBMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    Ready,
    Assigned,
    Delayed,
    Exists,
    Bumped,
    Replaced,
}

/// An UPDATE; what was not given is none.
#[derive(Debug, Clone, Default)]
pub struct Change<'a> {
    pub rev: Option<u64>,
    pub priority: Option<i32>,
    pub boost: Option<i64>,
    pub payload: Option<&'a [u8]>,
    pub tags: Option<Names<'a>>,
    pub excluded: Option<Names<'a>>,
}

/// A CLAIM.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    pub moderator: &'a [u8],
    /// How many the moderator wants in hand, or with `new_only` newly.
    pub count: usize,
    /// ms; none is the queue's.
    pub lock: Option<u64>,
    pub tags: Option<Names<'a>>,
    pub new_only: bool,
}

/// A JOIN; what was not given is none.
#[derive(Debug, Clone, Default)]
pub struct Join<'a> {
    pub moderator: &'a [u8],
    /// ms.
    pub ttl: Option<u64>,
    pub count: Option<u64>,
    pub tags: Option<Names<'a>>,
}

/// What became of a JOIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    Waiting,
    Assigned,
}

/// A lock given by ASSIGN: its token.
pub type Assigned = u64;

/// An item on its way to another queue.
#[derive(Debug, Clone)]
pub struct MoveOut {
    pub(super) slot: u32,
}

/// The time to live of a registration that never said, ms.
const DEFAULT_TTL: u64 = 30_000;

/// Names without those that stand before already.
fn distinct<'a>(names: &'a Names<'_>) -> impl Iterator<Item = &'a [u8]> {
    let mut seen = HashSet::new();
    let names = names.iter().map(|name| &***name);
    names.filter(move |name| seen.insert(*name))
}

fn bytes(b: &[u8]) -> &Bytes {
    Bytes::new(b)
}

impl Queue {
    /// The stamp of something that happens now: never before an earlier stamp of this queue.
    fn stamp(&self, now: Now) -> u64 {
        now.ms.max(self.last_at)
    }

    /// Whether no item more may come in: by MAXLEN, or because all sequence numbers were given,
    /// which only a damaged payload can bring about.
    fn is_full(&self) -> bool {
        let max_len = self.settings.max_len;
        max_len > 0 && self.items.len() as u64 >= max_len || self.next_seq == U48::MAX
    }

    fn next_token(&self, now: Now) -> u64 {
        now.us.min(MAX_TIME - 1).max(self.last_token + 1)
    }

    /// Whether there is a token left to give: always, but in a queue from a damaged payload.
    fn has_tokens(&self) -> bool {
        self.last_token + 1 < MAX_TIME
    }

    /// Applies and records one effect. It was decided against this very state, so it fits.
    fn commit(&mut self, now: Now, effect: &Effect<'_>, fx: &mut Effects) -> Opportunity {
        let at = self.stamp(now);
        let draft = match self.settings.events.is_empty() {
            true => None,
            false => self.draft_event(at, effect),
        };
        let opportunity = self
            .apply(at, effect)
            .expect("what was decided can be applied");
        fx.record.push(at, effect);
        if let Some(draft) = draft {
            let event = self.finish_event(draft, effect, fx.decision.take().as_deref());
            self.log_event(event, fx);
        }
        let notice = match effect {
            Effect::Submit { .. } => Notice::Submit,
            Effect::Resolve { .. } => Notice::Resolve,
            Effect::Release { .. } => Notice::Release,
            Effect::Expire { dead: false, .. } => Notice::Expire,
            Effect::Expire { dead: true, .. } => Notice::Dead,
            _ => return opportunity,
        };
        fx.notices.push(notice);
        opportunity
    }

    fn log_event(&self, event: Event, fx: &mut Effects) {
        let stream = &self.settings.events;
        if fx.events.last().is_none_or(|b| b.stream != *stream) {
            fx.events.push(Batch {
                stream: stream.clone(),
                max_len: self.settings.events_max_len,
                events: Vec::new(),
            });
        }
        if let Some(batch) = fx.events.last_mut() {
            batch.events.push(event);
        }
    }

    /// Commits, and matches whoever it made possible to match.
    fn commit_and_match(&mut self, now: Now, effect: &Effect<'_>, fx: &mut Effects) -> bool {
        match self.commit(now, effect, fx) {
            Opportunity::None => false,
            Opportunity::Item(slot) => self.match_item(slot, now, fx),
            Opportunity::Moderator(moderator) => {
                let mut matched = false;
                // Once for each of the calls they wait in; only JOIN makes more than one possible.
                while self.match_moderator(moderator, now, fx) {
                    matched = true;
                }
                matched
            }
            Opportunity::Both(slot, moderator) => {
                // Whichever item comes first is matched first: not a lesser one that comes back
                // to the moderator who was at capacity before what they can take now.
                let offer = self.first_offer(moderator);
                if offer.is_some_and(|first| self.key(first) < self.key(slot)) {
                    self.match_moderator(moderator, now, fx);
                    self.match_item(slot, now, fx);
                    return true;
                }
                let matched = self.match_item(slot, now, fx);
                // The moderator may be forgotten by now, and the number another's: harmless,
                // since whoever has it is matched only if they wait.
                self.match_moderator(moderator, now, fx) || matched
            }
            Opportunity::Everyone => false,
        }
    }

    // ---- producers ----

    /// Puts an item into the queue, or treats the one of that id as `on_duplicate` says.
    ///
    /// # Errors
    /// `Paused`, `Full`, `Exists`.
    pub fn submit(
        &mut self,
        now: Now,
        submit: Submit<'_>,
        fx: &mut Effects,
    ) -> Result<Submitted, Error> {
        if self.paused_in {
            return Err(Error::Paused);
        }
        if let Some(slot) = self.find(submit.id) {
            return self.submit_again(now, slot, submit, fx);
        }
        if self.is_full() {
            return Err(Error::Full);
        }
        fx.admit()?;
        let due = match submit.delay {
            0 => 0,
            delay => now.ms + delay,
        };
        let effect = Effect::Submit {
            id: bytes(submit.id),
            payload: bytes(submit.payload),
            priority: submit.priority.unwrap_or(0),
            boost: submit.boost.unwrap_or(0),
            due,
            tags: submit.tags.unwrap_or_default(),
            excluded: submit.excluded.unwrap_or_default(),
        };
        let matched = self.commit_and_match(now, &effect, fx);
        Ok(match (due, matched) {
            (0, true) => Submitted::Assigned,
            (0, false) => Submitted::Ready,
            _ => Submitted::Delayed,
        })
    }

    fn submit_again(
        &mut self,
        now: Now,
        slot: u32,
        submit: Submit<'_>,
        fx: &mut Effects,
    ) -> Result<Submitted, Error> {
        let item = &self.items[slot];
        let (effect, reply) = match submit.on_duplicate {
            OnDuplicate::Keep => return Ok(Submitted::Exists),
            OnDuplicate::Error => return Err(Error::Exists),
            OnDuplicate::Bump => (
                Effect::Bump {
                    id: bytes(submit.id),
                    priority: submit
                        .priority
                        .map_or(item.priority, |p| p.max(item.priority)),
                    boost: submit.boost.map_or(item.boost(), |b| b.max(item.boost())),
                },
                Submitted::Bumped,
            ),
            OnDuplicate::Replace => (
                Effect::Change {
                    id: bytes(submit.id),
                    replace: true,
                    payload: Some(bytes(submit.payload)),
                    priority: submit.priority,
                    boost: submit.boost,
                    tags: submit.tags,
                    excluded: submit.excluded,
                },
                Submitted::Replaced,
            ),
        };
        fx.admit()?;
        self.commit_and_match(now, &effect, fx);
        Ok(reply)
    }

    /// Removes an item in whatever state, if `rev` is still its revision. Answers whether it did.
    ///
    /// # Errors
    /// Of this and all commands that change an item: `Events`, `TryAgain`.
    pub fn cancel(
        &mut self,
        now: Now,
        id: &[u8],
        rev: Option<u64>,
        fx: &mut Effects,
    ) -> Result<bool, Error> {
        let Some(slot) = self.find(id) else {
            return Ok(false);
        };
        if rev.is_some_and(|rev| rev != u64::from(self.items[slot].rev)) {
            return Ok(false);
        }
        fx.admit()?;
        self.hint = slot;
        self.commit_and_match(now, &Effect::Cancel { id: bytes(id) }, fx);
        Ok(true)
    }

    /// Changes content or order of an item, never its state. Answers the new revision, or none if
    /// the present one is not what the caller has seen.
    ///
    /// # Errors
    /// `NoItem`.
    pub fn update(
        &mut self,
        now: Now,
        id: &[u8],
        change: Change<'_>,
        fx: &mut Effects,
    ) -> Result<Option<u64>, Error> {
        let slot = self.find(id).ok_or(Error::NoItem)?;
        if change
            .rev
            .is_some_and(|rev| rev != u64::from(self.items[slot].rev))
        {
            return Ok(None);
        }
        // What is set to what it is already is no change.
        let item = &self.items[slot];
        let payload = change.payload.filter(|p| *p != item.payload());
        let priority = change.priority.filter(|p| *p != item.priority);
        let boost = change.boost.filter(|b| *b != item.boost());
        let tags = change.tags.filter(|t| !self.has_tags(slot, t));
        let excluded = change.excluded.filter(|e| !self.excludes(slot, e));
        if (payload, priority, boost, &tags, &excluded) == (None, None, None, &None, &None) {
            return Ok(Some(item.rev.into()));
        }
        let effect = Effect::Change {
            id: bytes(id),
            replace: false,
            payload: payload.map(bytes),
            priority,
            boost,
            tags,
            excluded,
        };
        fx.admit()?;
        self.hint = slot;
        let opportunity = self.commit(now, &effect, fx);
        let rev = self.items[slot].rev.into();
        if let Opportunity::Item(slot) = opportunity {
            self.match_item(slot, now, fx);
        }
        Ok(Some(rev))
    }

    /// Whether an item requires these tags, in this order; a repeated name counts once.
    fn has_tags(&self, slot: u32, names: &Names<'_>) -> bool {
        let tags = self.tags.names(self.items[slot].tags);
        tags.eq(distinct(names))
    }

    /// Whether naming these moderators would exclude from an item exactly who is, as they are.
    fn excludes(&self, slot: u32, names: &Names<'_>) -> bool {
        let named: Vec<&[u8]> = distinct(names).collect();
        let excluded = self.excluded(slot);
        // Those named come first; after them those not named stay only if by SKIP, and only if
        // anyone is named.
        let Some((first, rest)) = excluded.split_at_checked(named.len()) else {
            return false;
        };
        let name = |(m, _): &(u32, bool)| &*self.moderators[*m].name;
        first.iter().map(name).eq(named.iter().copied())
            && rest.iter().all(|(_, skip)| *skip && !named.is_empty())
    }

    // ---- moderators ----

    /// What a moderator holds, then what is new for them, as slots to be shown by `claim_view`.
    ///
    /// # Errors
    /// `Events`, `TryAgain`.
    pub fn claim(
        &mut self,
        now: Now,
        claim: &Claim<'_>,
        fx: &mut Effects,
    ) -> Result<SmallVec<[u32; 4]>, Error> {
        let mut slots = SmallVec::new();
        let mut payload = 0;
        let known = self.moderators.find(claim.moderator);
        // Neither comes nor goes with a lock.
        let registered = known.filter(|m| self.moderators[*m].profile.is_some());
        if let (Some(moderator), false) = (known, claim.new_only) {
            for slot in self.held(moderator, now) {
                if slots.len() == claim.count || payload >= MAX_CLAIM_BYTES {
                    break;
                }
                payload += self.items[slot].payload().len();
                slots.push(slot);
            }
        }
        if slots.len() < claim.count && !self.paused_out && self.ready > 0 {
            let set = self.claim_tags(known, claim.tags.as_deref());
            let lock = claim.lock.unwrap_or(self.settings.lock);
            let mut moderator = known;
            while slots.len() < claim.count && payload < MAX_CLAIM_BYTES {
                if !self.has_tokens() || moderator.is_some_and(|m| !self.has_capacity(m)) {
                    break;
                }
                let Some(slot) = self.best(moderator, &[&set]) else {
                    break;
                };
                let size = self.items[slot].payload().len();
                if !slots.is_empty() && payload + size > MAX_CLAIM_BYTES {
                    break;
                }
                fx.admit()?;
                payload += size;
                self.lock_for(slot, claim.moderator, lock, How::Claim, now, fx);
                slots.push(slot);
                // A lock can make the moderator known, also anew by another number.
                if slots.len() < claim.count {
                    moderator = self.moderators.find(claim.moderator);
                }
            }
        }
        let in_line = registered
            .and_then(|m| self.moderators[m].profile.as_ref())
            .is_some_and(|p| p.place.is_some());
        if in_line && !slots.is_empty() {
            let moderator = bytes(claim.moderator);
            self.commit(now, &Effect::Served { moderator }, fx);
        }
        Ok(slots)
    }

    /// The live locks of a moderator, lowest token first.
    pub(super) fn held(&self, moderator: u32, now: Now) -> impl Iterator<Item = u32> + '_ {
        let held = self.moderators[moderator].held.values().copied();
        held.filter(move |slot| self.lock(*slot).is_some_and(|l| l.deadline > now.ms))
    }

    /// The tags a claim goes by: those given, else those joined with.
    pub(super) fn claim_tags(&self, moderator: Option<u32>, given: Option<&[&Bytes]>) -> TagSet {
        match given {
            Some(names) => self.tags.known(names),
            None => moderator
                .and_then(|m| self.moderators[m].profile.as_ref())
                .map_or_else(TagSet::new, |p| self.tags.set(p.tags).into()),
        }
    }

    /// Locks an item, and answers the moderator's blocked calls with it.
    fn lock_for(
        &mut self,
        slot: u32,
        moderator: &[u8],
        lock: u64,
        how: How,
        now: Now,
        fx: &mut Effects,
    ) -> u64 {
        // The effect would borrow the item's own id, so it is copied first.
        let id = SmallVec::<[u8; 64]>::from_slice(self.items[slot].id());
        let place = match self.blocked {
            0 => None,
            _ => self.place_by_join(moderator),
        };
        let token = self.next_token(now);
        let effect = Effect::Lock {
            id: bytes(&id),
            moderator: bytes(moderator),
            token,
            deadline: now.ms + lock,
            assign: how == How::Assign,
        };
        self.hint = slot;
        self.commit(now, &effect, fx);
        if self.blocked == 0 {
            return token;
        }
        // Looked up anew: the lock may be what makes them known.
        if let Some(m) = self.moderators.find(moderator) {
            let undo = (how == How::Match).then_some(place);
            for call in self.take_calls(m, how != How::Claim, now) {
                fx.answers.push(Answer {
                    call,
                    item: id.as_slice().into(),
                    token,
                    undo,
                });
            }
        }
        token
    }

    fn place_by_join(&self, moderator: &[u8]) -> Option<Place> {
        let known = self.moderators.find(moderator)?;
        self.moderators[known].profile.as_ref()?.place
    }

    /// Takes the blocked calls of a moderator that a new lock answers: all that do not insist on
    /// a new item; if all do, and `or_newest`, the most recent one.
    fn take_calls(&mut self, moderator: u32, or_newest: bool, now: Now) -> Vec<u64> {
        let blocked = &self.moderators[moderator].blocked;
        let mut calls: Vec<u64> = blocked
            .iter()
            .filter(|b| !b.new_only)
            .map(|b| b.call)
            .collect();
        if calls.is_empty() && or_newest {
            calls.extend(blocked.iter().map(|b| b.call).max());
        }
        self.remove_calls(moderator, &calls, now);
        calls
    }

    /// A client waits in line from now on. Not an effect: only the primary knows of it.
    pub fn block(&mut self, block: &Block<'_>) {
        let place = block.place;
        self.note_place(Some(place));
        let moderator = self.moderators.intern(block.moderator);
        let call = BlockedCall {
            call: block.call,
            place,
            tags: self.tags.acquire(block.tags.as_deref().unwrap_or(&[])),
            own_tags: block.tags.is_some(),
            new_only: block.new_only,
            lock: block.lock,
        };
        self.blocked += 1;
        // One more like their last, behind it, changes nothing about how they stand in line.
        let last = self.moderators[moderator].blocked.last();
        let alike = last.is_some_and(|last| {
            last.place <= place && (last.tags, last.own_tags) == (call.tags, call.own_tags)
        });
        if alike {
            self.moderators[moderator].blocked.push(call);
        } else {
            self.unlist(moderator);
            self.moderators[moderator].blocked.push(call);
            self.enlist(moderator);
        }
    }

    /// A client no longer waits. Answers whether it did.
    pub fn unblock(&mut self, now: Now, call: u64, moderator: &[u8]) -> bool {
        let Some(slot) = self.moderators.find(moderator) else {
            return false;
        };
        let waited = self.moderators[slot].blocked.iter().any(|b| b.call == call);
        if waited {
            self.remove_calls(slot, &[call], now);
            self.moderators.forget_if_idle(slot);
        }
        waited
    }

    /// These calls of a moderator, in the order they are kept in, wait no longer.
    fn remove_calls(&mut self, moderator: u32, calls: &[u64], now: Now) {
        if calls.is_empty() {
            return;
        }
        self.unlist(moderator);
        let m = &mut self.moderators[moderator];
        let mut gone = calls.iter().peekable();
        let mut lists = SmallVec::<[u32; 4]>::new();
        m.blocked.retain(|b| {
            let goes = gone.next_if(|call| **call == b.call).is_some();
            lists.extend(goes.then_some(b.tags));
            !goes
        });
        if let Some(profile) = &mut m.profile {
            profile.seen = profile.seen.max(now.ms);
        }
        self.enlist(moderator);
        self.blocked -= lists.len();
        lists.iter().for_each(|list| self.tags.release(*list));
    }

    /// How many blocked calls wait here.
    pub fn blocked(&self) -> usize {
        self.blocked
    }

    /// Forgets all blocked calls: the queue is about to be known by another name. The line is made
    /// anew of who joined: about 2 ms for 10,000 calls, half of what taking out each would cost.
    pub fn unblock_all(&mut self, now: Now) {
        self.unknown_from = None;
        if self.blocked == 0 {
            return;
        }
        self.line.clear();
        for class in std::mem::take(&mut self.tags.with_waiting) {
            self.tags.classes[class].waiting.clear();
        }
        let known: Vec<u32> = self.moderators.iter().map(|(slot, _)| slot).collect();
        for slot in known {
            let m = &mut self.moderators[slot];
            let calls = std::mem::take(&mut m.blocked);
            if let (Some(profile), false) = (&mut m.profile, calls.is_empty()) {
                profile.seen = profile.seen.max(now.ms);
            }
            calls.iter().for_each(|call| self.tags.release(call.tags));
            self.enlist(slot);
            self.moderators.forget_if_idle(slot);
        }
        self.blocked = 0;
    }

    /// Blocked calls that stand at this place or behind it (none: nowhere) are not all known yet.
    /// Nobody there is matched until they are; who came in front is looked at by `advance`.
    pub fn line_known_before(&mut self, place: Option<Place>) {
        let from = (self.unknown_from.unwrap_or_default(), 0);
        self.unknown_from = place;
        self.sweep = Some(self.sweep.map_or(from, |sweep| sweep.min(from)));
    }

    /// Whether all blocked calls are known.
    pub fn knows_line(&self) -> bool {
        self.unknown_from.is_none()
    }

    fn knows(&self, place: Place) -> bool {
        self.unknown_from.is_none_or(|unknown| place < unknown)
    }

    /// Undoes a match whose client went away before it was answered: item and deliveries are as
    /// before, and so is the moderator's place by JOIN. Answers whether the lock was still there.
    pub fn undo(
        &mut self,
        now: Now,
        id: &[u8],
        token: u64,
        place: Option<Place>,
        fx: &mut Effects,
    ) -> bool {
        let Some(slot) = self.find(id) else {
            return false;
        };
        if self.items[slot].state != State::Locked
            || self.lock(slot).is_none_or(|lock| lock.token != token)
        {
            return false;
        }
        let id = bytes(id);
        self.commit_and_match(now, &Effect::Undo { id, place }, fx);
        true
    }

    /// Whether the lock of this token is there, to answer a blocked call with it.
    pub fn locked(&self, id: &[u8], token: u64) -> Option<u32> {
        let slot = self.find(id)?;
        let locked = self.items[slot].state == State::Locked;
        (locked && self.lock(slot)?.token == token).then_some(slot)
    }

    /// The item a moderator with these tag sets would be given now, capacity and pause aside.
    pub(super) fn best(&self, moderator: Option<u32>, sets: &[&[u32]]) -> Option<u32> {
        let mut best: Option<(OrderKey, u32)> = None;
        for class in &self.tags.with_ready {
            let needed = &self.tags.classes[*class].tags;
            if !sets.iter().any(|set| covers(set, needed)) {
                continue;
            }
            let Some(slot) = self.first_for(*class, moderator) else {
                continue;
            };
            let key = self.key(slot);
            if best.is_none_or(|(other, _)| key < other) {
                best = Some((key, slot));
            }
        }
        best.map(|(_, slot)| slot)
    }

    /// The first ready item of a class that the moderator is not excluded from.
    pub(super) fn first_for(&self, class: u32, moderator: Option<u32>) -> Option<u32> {
        let ready = &self.tags.classes[class].ready;
        match moderator.and_then(|m| self.moderators[m].excluded.get(&class)) {
            None => ready.first(),
            Some(excluded) => first_difference(ready, excluded),
        }
    }

    /// Ends an item with a decision on it.
    ///
    /// # Errors
    /// `NoItem`; `Stale` if `token` is not the live lock's (nor accepted late); `Changed` if the
    /// content is no longer that of `rev`: the lock is kept.
    pub fn resolve(
        &mut self,
        now: Now,
        id: &[u8],
        token: u64,
        rev: Option<u64>,
        fx: &mut Effects,
    ) -> Result<(), Error> {
        let slot = self.find(id).ok_or(Error::NoItem)?;
        if self.live(slot, token, now).is_none() && !self.accepted_late(slot, token) {
            return Err(Error::Stale);
        }
        if rev.is_some_and(|rev| rev != u64::from(self.items[slot].rev)) {
            return Err(Error::Changed);
        }
        fx.admit()?;
        self.hint = slot;
        self.commit_and_match(now, &Effect::Resolve { id: bytes(id) }, fx);
        Ok(())
    }

    /// The live lock of an item, if `token` is its token: judged by the clock.
    fn live(&self, slot: u32, token: u64, now: Now) -> Option<super::state::Lock> {
        if self.items[slot].state != State::Locked {
            return None;
        }
        self.lock(slot)
            .filter(|lock| lock.token == token && lock.deadline > now.ms)
    }

    /// Whether `token` is that of a lock that ended by its deadline and still counts.
    fn accepted_late(&self, slot: u32, token: u64) -> bool {
        if !self.settings.late_accept {
            return false;
        }
        let overdue = match self.items[slot].state {
            State::Locked => self.lock(slot).map(|l| l.token),
            _ => self.extra(slot).and_then(|e| e.late).map(|l| l.token),
        };
        overdue == Some(token)
    }

    /// Gives an item back, to its own place.
    ///
    /// # Errors
    /// `NoItem`, `Stale`.
    pub fn release(
        &mut self,
        now: Now,
        id: &[u8],
        token: u64,
        skip: bool,
        delay: u64,
        fx: &mut Effects,
    ) -> Result<(), Error> {
        let slot = self.find(id).ok_or(Error::NoItem)?;
        self.live(slot, token, now).ok_or(Error::Stale)?;
        let effect = Effect::Release {
            id: bytes(id),
            skip,
            due: if delay == 0 { 0 } else { now.ms + delay },
        };
        fx.admit()?;
        self.hint = slot;
        self.commit_and_match(now, &effect, fx);
        Ok(())
    }

    /// Sets the deadline of a lock to `ms` from now, and answers it.
    ///
    /// # Errors
    /// `NoItem`, `Stale`.
    pub fn extend(
        &mut self,
        now: Now,
        id: &[u8],
        token: u64,
        ms: u64,
        fx: &mut Effects,
    ) -> Result<u64, Error> {
        let slot = self.find(id).ok_or(Error::NoItem)?;
        self.live(slot, token, now).ok_or(Error::Stale)?;
        fx.admit()?;
        let deadline = now.ms + ms;
        let id = bytes(id);
        self.hint = slot;
        self.commit(now, &Effect::Extend { id, deadline }, fx);
        Ok(deadline)
    }

    /// Registers a moderator who has no open connection, or keeps them registered.
    ///
    /// # Errors
    /// `Events`, `TryAgain`.
    pub fn join(&mut self, now: Now, join: &Join<'_>, fx: &mut Effects) -> Result<Joined, Error> {
        let known = self.moderators.find(join.moderator);
        let old = known
            .and_then(|m| self.moderators[m].profile.as_deref())
            .cloned();
        let held = known.map_or(0, |m| self.held(m, now).count() as u64);
        let ttl = join.ttl.or(old.as_ref().map(|p| p.ttl));
        let count = join.count.or(old.as_ref().map(|p| p.count)).unwrap_or(1);
        let old_tags: Vec<Box<[u8]>> = match (&join.tags, &old) {
            (None, Some(p)) => self.tags.names(p.tags).map(Box::from).collect(),
            _ => Vec::new(),
        };
        let has_enough = held >= count;
        // Blocked calls go by these tags, too.
        let blocked = known.is_some_and(|m| !self.moderators[m].blocked.is_empty());
        if (!has_enough || blocked) && self.would_take(known, join.tags.as_deref()) {
            fx.admit()?;
        }
        let place = match old.as_ref().and_then(|p| p.place) {
            _ if has_enough => None,
            Some(place) => Some(place),
            None => Some(self.end_of_line(now)),
        };
        let ttl = ttl.unwrap_or(DEFAULT_TTL);
        let effect = Effect::Join {
            moderator: bytes(join.moderator),
            place,
            ttl,
            expires: now.ms + ttl,
            count,
            tags: join
                .tags
                .clone()
                .unwrap_or_else(|| old_tags.iter().map(|t| bytes(t)).collect()),
        };
        let matched = self.commit_and_match(now, &effect, fx);
        Ok(if matched || has_enough {
            Joined::Assigned
        } else {
            Joined::Waiting
        })
    }

    /// Whether there is something for a moderator who joins with these tags.
    fn would_take(&self, known: Option<u32>, tags: Option<&[&Bytes]>) -> bool {
        let free = !self.paused_out && self.ready > 0 && self.has_tokens();
        free && known.is_none_or(|m| self.has_capacity(m))
            && self.best(known, &[&self.claim_tags(known, tags)]).is_some()
    }

    /// Where somebody stands who comes now: behind everyone who came before.
    pub fn end_of_line(&self, now: Now) -> Place {
        (self.stamp(now).max(self.last_since), self.next_tie)
    }

    /// Ends a registration, and with `release` the moderator's locks. Answers whether they were
    /// in line.
    ///
    /// # Errors
    /// `Events`, `TryAgain`.
    pub fn leave(
        &mut self,
        now: Now,
        moderator: &[u8],
        release: bool,
        fx: &mut Effects,
    ) -> Result<bool, Error> {
        let Some(slot) = self.moderators.find(moderator) else {
            return Ok(false);
        };
        if release && !self.moderators[slot].held.is_empty() {
            fx.admit()?;
        }
        let was_in_line = self.moderators[slot].place().is_some();
        if self.moderators[slot].profile.is_some() {
            let moderator = bytes(moderator);
            self.commit(now, &Effect::Leave { moderator }, fx);
        }
        if release {
            let held: Vec<Box<[u8]>> = match self.moderators.find(moderator) {
                Some(m) => self.moderators[m]
                    .held
                    .values()
                    .map(|slot| self.items[*slot].id().into())
                    .collect(),
                None => Vec::new(),
            };
            for id in held {
                let effect = Effect::Release {
                    id: bytes(&id),
                    skip: false,
                    due: 0,
                };
                self.commit_and_match(now, &effect, fx);
            }
        }
        Ok(was_in_line)
    }

    // ---- supervisors ----

    /// Locks an item for a named person, whatever their tags and capacity; answers the token.
    ///
    /// # Errors
    /// `NoItem`; `Locked`; `Excluded`; `Full` if no token is left.
    pub fn assign(
        &mut self,
        now: Now,
        id: &[u8],
        moderator: &[u8],
        lock: Option<u64>,
        fx: &mut Effects,
    ) -> Result<Assigned, Error> {
        let slot = self.find(id).ok_or(Error::NoItem)?;
        if self.items[slot].state == State::Locked {
            return Err(Error::Locked);
        }
        let known = self.moderators.find(moderator);
        if known.is_some_and(|m| self.excluded(slot).iter().any(|(e, _)| *e == m)) {
            return Err(Error::Excluded);
        }
        if !self.has_tokens() {
            return Err(Error::Full);
        }
        fx.admit()?;
        let lock = lock.unwrap_or(self.settings.lock);
        Ok(self.hand_to(slot, moderator, lock, How::Assign, now, fx))
    }

    /// Refuses input, output or both from now on, or accepts them again.
    pub fn pause(&mut self, now: Now, input: bool, output: bool, fx: &mut Effects) {
        if (input, output) != (self.paused_in, self.paused_out) {
            self.commit_and_match(now, &Effect::Pause { input, output }, fx);
        }
    }

    /// Whether the queue refuses input, and whether it refuses output.
    pub fn paused(&self) -> (bool, bool) {
        (self.paused_in, self.paused_out)
    }

    /// Makes a dead item ready again. Answers whether it was dead.
    ///
    /// # Errors
    /// `Events`, `TryAgain`.
    pub fn revive(&mut self, now: Now, id: &[u8], fx: &mut Effects) -> Result<bool, Error> {
        let dead = self
            .find(id)
            .is_some_and(|slot| self.items[slot].state == State::Dead);
        if dead {
            fx.admit()?;
            self.commit_and_match(now, &Effect::Revive { id: bytes(id) }, fx);
        }
        Ok(dead)
    }

    /// Makes up to `count` dead items ready again, the earliest first. Answers how many.
    ///
    /// # Errors
    /// `Events`, `TryAgain`.
    pub fn revive_all(&mut self, now: Now, count: usize, fx: &mut Effects) -> Result<usize, Error> {
        let ids: Vec<Box<[u8]>> = self
            .dead
            .iter()
            .take(count)
            .map(|(_, slot)| self.items[*slot].id().into())
            .collect();
        for id in &ids {
            self.revive(now, id, fx)?;
        }
        Ok(ids.len())
    }

    /// Sets the queue up anew.
    ///
    /// # Errors
    /// `AgingInUse`.
    pub fn configure(
        &mut self,
        now: Now,
        settings: Settings,
        fx: &mut Effects,
    ) -> Result<(), Error> {
        if settings.aging != self.settings.aging && self.items.len() > 0 {
            return Err(Error::AgingInUse);
        }
        self.commit_and_match(now, &Effect::Configure { settings }, fx);
        Ok(())
    }

    /// How the queue is set up.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Checks that an item may leave for another queue.
    ///
    /// # Errors
    /// `NoItem`; `Locked` if it is and no token is given; `Stale` if `token` is not the live lock's.
    pub fn check_move_out(
        &self,
        now: Now,
        id: &[u8],
        token: Option<u64>,
    ) -> Result<MoveOut, Error> {
        let slot = self.find(id).ok_or(Error::NoItem)?;
        match token {
            None if self.items[slot].state == State::Locked => Err(Error::Locked),
            Some(token) if self.live(slot, token, now).is_none() => Err(Error::Stale),
            _ => Ok(MoveOut { slot }),
        }
    }

    /// Checks that an item of that id may come in.
    ///
    /// # Errors
    /// `Exists`, `Full`.
    pub fn check_move_in(&self, id: &[u8]) -> Result<(), Error> {
        if self.find(id).is_some() {
            return Err(Error::Exists);
        }
        if self.is_full() {
            return Err(Error::Full);
        }
        Ok(())
    }

    /// Moves an item that was checked on both sides from this queue into `to`.
    pub fn move_item(
        &mut self,
        now: Now,
        out: MoveOut,
        priority: Option<i32>,
        to: &mut Queue,
        fx: &mut Effects,
        to_fx: &mut Effects,
    ) {
        let slot = out.slot;
        let item = &self.items[slot];
        let extra = self.extra(slot).cloned().unwrap_or_default();
        let name = |m: u32| bytes(&self.moderators[m].name);
        let effect = Effect::MoveIn {
            id: bytes(item.id()),
            payload: bytes(item.payload()),
            priority: priority.unwrap_or(item.priority),
            boost: item.boost(),
            submitted: item.submitted(),
            due: extra.due,
            delayed: item.state == State::Delayed,
            rev: item.rev.saturating_add(1),
            reports: extra.reports,
            deliveries: item.deliveries,
            tags: self.tags.names(item.tags).map(bytes).collect(),
            excluded: extra.excluded.iter().map(|(m, s)| (name(*m), *s)).collect(),
            token: self.last_token,
        };
        to.commit_and_match(now, &effect, to_fx);
        let id: Box<[u8]> = item.id().into();
        self.commit_and_match(now, &Effect::MoveOut { id: bytes(&id) }, fx);
    }

    // ---- the match ----

    /// Gives an item to a moderator who did not ask for it in this call.
    fn hand_to(
        &mut self,
        slot: u32,
        moderator: &[u8],
        lock: u64,
        how: How,
        now: Now,
        fx: &mut Effects,
    ) -> u64 {
        let item = self.items[slot].id().into();
        let token = self.lock_for(slot, moderator, lock, how, now, fx);
        fx.notices.push(Notice::Assign);
        fx.matches.push(Match {
            item,
            moderator: moderator.into(),
            token,
            assign: how == How::Assign,
        });
        token
    }

    /// Gives a ready item to the longest waiting moderator who may take it. Answers whether
    /// there was one.
    fn match_item(&mut self, slot: u32, now: Now, fx: &mut Effects) -> bool {
        if self.tags.with_waiting.is_empty() || self.paused_out || !self.has_tokens() {
            return false;
        }
        let needed = &self.tags.classes[self.tags.class(self.items[slot].tags)].tags;
        let excluded = self.excluded(slot);
        let mut best: Option<(Place, u32)> = None;
        for class in &self.tags.with_waiting {
            let class = &self.tags.classes[*class];
            if !covers(&class.tags, needed) {
                continue;
            }
            let first = class
                .waiting
                .iter()
                .find(|(_, m)| excluded.iter().all(|(e, _)| e != m));
            best = best.into_iter().chain(first.copied()).min();
        }
        let Some((_, moderator)) = best.filter(|(place, _)| self.knows(*place)) else {
            return false;
        };
        // While matches are caught up, earlier items may be there for who comes first; then this
        // one is left to those behind, whom the sweep has yet to reach.
        let first = match self.sweep {
            Some(_) => self.first_offer(moderator).unwrap_or(slot),
            None => slot,
        };
        self.serve(first, moderator, now, fx);
        first == slot
    }

    /// The first item a moderator in line may take.
    fn first_offer(&self, moderator: u32) -> Option<u32> {
        if self.ready == 0 || self.paused_out || !self.has_tokens() {
            return None;
        }
        let waits = !self.line.is_empty()
            && self.moderators.is_known(moderator)
            && self.moderators[moderator].place().is_some();
        if !waits || !self.has_capacity(moderator) {
            return None;
        }
        let place = self.moderators[moderator].place();
        place.filter(|place| self.knows(*place))?;
        let offers = self.offers(moderator);
        let sets = offers.iter().map(|class| &*self.tags.classes[*class].tags);
        let sets: SmallVec<[&[u32]; 2]> = sets.collect();
        self.best(Some(moderator), &sets)
    }

    /// Gives a moderator in line the first item they may take. Answers whether there was one.
    fn match_moderator(&mut self, moderator: u32, now: Now, fx: &mut Effects) -> bool {
        let Some(slot) = self.first_offer(moderator) else {
            return false;
        };
        self.serve(slot, moderator, now, fx);
        true
    }

    fn serve(&mut self, slot: u32, moderator: u32, now: Now, fx: &mut Effects) {
        let blocked = &self.moderators[moderator].blocked;
        // For as long as a call that is answered with it asks for.
        let asked = match blocked.iter().any(|call| !call.new_only) {
            true => blocked
                .iter()
                .filter(|call| !call.new_only)
                .find_map(|call| call.lock),
            false => blocked
                .iter()
                .max_by_key(|call| call.call)
                .and_then(|call| call.lock),
        };
        let lock = asked.unwrap_or(self.settings.lock);
        let name = self.moderators[moderator].name.clone();
        self.hand_to(slot, &name, lock, How::Match, now, fx);
    }

    // ---- the clock ----

    /// Does what is due by `now`, in the order of time (matches left over from a PAUSE or CONFIGURE
    /// came first), at most `budget` steps of it. Answers how many steps were done; what is left
    /// is seen by `next_due`.
    pub fn advance(&mut self, now: Now, budget: usize, fx: &mut Effects) -> usize {
        let mut steps = 0;
        while steps < budget {
            let Some(from) = self.sweep else {
                break;
            };
            let next = self.line.range(from..).next().copied();
            let possible = self.ready > 0 && !self.paused_out;
            let Some((place, moderator)) = next.filter(|_| possible) else {
                self.sweep = None;
                break;
            };
            if !self.knows(place) {
                break;
            }
            // One who waits in several calls may be given several items, from the same place.
            let matched = self.match_moderator(moderator, now, fx);
            self.sweep = Some((place, moderator + u32::from(!matched)));
            steps += 1;
        }
        while steps < budget && self.timers.first().is_some_and(|t| t.time <= now.ms) {
            steps += self.advance_instant(now, budget - steps, fx);
        }
        steps
    }

    /// What is due at the earliest time there is. Of items that come back at the same instant
    /// the one that is claimed first is matched first.
    fn advance_instant(&mut self, now: Now, budget: usize, fx: &mut Effects) -> usize {
        let Some(time) = self.timers.first().map(|t| t.time) else {
            return 0;
        };
        let at_once = self.timers.iter().take_while(|t| t.time == time);
        let mut batch: SmallVec<[Timed; 4]> = at_once.take(budget).map(|t| t.what).collect();
        if batch.len() > 1 {
            batch.sort_by_cached_key(|what| match what {
                Timed::Registration(_) => None,
                Timed::Deadline(_, slot) | Timed::Due(_, slot) => Some(self.key(*slot)),
            });
        }
        for what in &batch {
            match *what {
                Timed::Registration(moderator) => self.registration_over(moderator, now, fx),
                Timed::Deadline(_, slot) => {
                    let id = SmallVec::<[u8; 64]>::from_slice(self.items[slot].id());
                    let expiries = self.extra(slot).map_or(0, |e| e.expiries);
                    let max = self.settings.max_expiries;
                    let effect = Effect::Expire {
                        id: bytes(&id),
                        dead: max > 0 && u64::from(expiries) + 1 >= max,
                    };
                    self.commit_and_match(now, &effect, fx);
                }
                Timed::Due(_, slot) => {
                    let id = SmallVec::<[u8; 64]>::from_slice(self.items[slot].id());
                    self.commit_and_match(now, &Effect::Due { id: bytes(&id) }, fx);
                }
            }
        }
        batch.len()
    }

    /// A registration ran out; a blocked call counted as a sign of life while it lasted.
    fn registration_over(&mut self, moderator: u32, now: Now, fx: &mut Effects) {
        let m = &self.moderators[moderator];
        let name = m.name.clone();
        let Some(profile) = m.profile.as_deref().cloned() else {
            return;
        };
        let seen = if m.blocked.is_empty() {
            profile.seen
        } else {
            now.ms
        };
        let expires = seen.saturating_add(profile.ttl);
        if expires <= now.ms {
            let moderator = bytes(&name);
            self.commit(now, &Effect::Leave { moderator }, fx);
            return;
        }
        let tags: Vec<Box<[u8]>> = self.tags.names(profile.tags).map(Box::from).collect();
        let effect = Effect::Join {
            moderator: bytes(&name),
            place: profile.place,
            ttl: profile.ttl,
            expires,
            count: profile.count,
            tags: tags.iter().map(|t| bytes(t)).collect(),
        };
        self.commit(now, &effect, fx);
    }

    /// When there is next something to do, Unix ms: 0 if matches are to be caught up, or calls to
    /// be heard of.
    pub fn next_due(&self) -> Option<u64> {
        if self.sweep.is_some() || self.unknown_from.is_some() {
            return Some(0);
        }
        self.timers.first().map(|t| t.time)
    }
}
