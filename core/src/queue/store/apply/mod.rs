//! Applying effects: the only code that changes what is replicated. It reads no clock and makes no
//! choice. Each effect is checked first, and one that cannot have happened is refused with nothing
//! changed.

mod items;
mod locks;
mod registrations;
mod verdicts;

use super::{Lock, ModeratorSlot, Place, State, Store, U48};
use crate::queue::effect::{Effect, Names, Terms};
use crate::queue::settings::{Paused, Settings};
use crate::queue::{ItemSlot, store::Exclusion};
use crate::queue::{MAX_DECIDERS, MAX_GROUP};
use crate::queue::{MAX_DURATION, MAX_EXCLUDE, MAX_ID, MAX_PAYLOAD, MAX_TAG, MAX_TAGS};
use crate::units::{Time, Token, When};
use std::collections::HashSet;

/// The effect does not fit the state: the record is damaged or not from this queue's primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyError;

impl std::fmt::Display for ApplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("effect does not fit the queue")
    }
}

impl std::error::Error for ApplyError {}

/// No time, token or deadline reaches this.
pub(in crate::queue) const MAX_TIME: u64 = 1 << 53;

/// What an effect may have made possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) enum Opportunity {
    None,
    /// This item is ready, or may now go to others.
    Item(ItemSlot),
    /// This moderator is in line, or may now take other items.
    Moderator(ModeratorSlot),
    Both(ItemSlot, ModeratorSlot),
}

impl Opportunity {
    /// The item that is ready.
    pub(in crate::queue) fn item(self) -> Option<ItemSlot> {
        match self {
            Opportunity::Item(slot) | Opportunity::Both(slot, _) => Some(slot),
            Opportunity::None | Opportunity::Moderator(_) => None,
        }
    }
}

/// Who may stand elsewhere in line than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) enum LineChange {
    None,
    /// This moderator.
    Moderator(ModeratorSlot),
    /// This moderator, whose registration is new.
    Registered(ModeratorSlot),
    /// Nobody, but whoever waits may be matched with what was held back.
    MatchAnew,
    /// Everybody who holds something, and whoever waits may be matched with what was held back.
    Everyone,
}

/// What an effect did, as far as those who wait are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) struct Applied {
    pub opportunity: Opportunity,
    pub line: LineChange,
}

impl Applied {
    const NOTHING: Applied = Applied {
        opportunity: Opportunity::None,
        line: LineChange::None,
    };

    fn item(slot: ItemSlot) -> Applied {
        Applied {
            opportunity: Opportunity::Item(slot),
            line: LineChange::None,
        }
    }

    fn line(line: LineChange) -> Applied {
        Applied {
            opportunity: Opportunity::None,
            line,
        }
    }
}

type Outcome = Result<Applied, ApplyError>;

fn check(holds: bool) -> Result<(), ApplyError> {
    if holds { Ok(()) } else { Err(ApplyError) }
}

fn check_name(name: &[u8]) -> Result<(), ApplyError> {
    check(!name.is_empty() && name.len() <= MAX_ID)
}

// What loading would refuse must not come to be: these bounds are those of `persist_v1`.

fn check_tags(tags: &Names<'_>) -> Result<(), ApplyError> {
    check(tags.len() <= MAX_TAGS && tags.iter().all(|tag| (1..=MAX_TAG).contains(&tag.len())))
}

fn check_excluded(names: &Names<'_>) -> Result<(), ApplyError> {
    check(names.len() <= MAX_EXCLUDE)?;
    names.iter().try_for_each(|name| check_name(name))
}

fn check_group(group: &[u8]) -> Result<(), ApplyError> {
    check(group.len() <= MAX_GROUP)
}

/// Who decided before: each of them once.
fn check_deciders(names: &Names<'_>) -> Result<(), ApplyError> {
    check(names.len() <= MAX_DECIDERS)?;
    let mut seen = HashSet::new();
    names.iter().try_for_each(|name| {
        check_name(name)?;
        check(seen.insert(*name))
    })
}

fn check_terms(terms: &Terms<'_>) -> Result<(), ApplyError> {
    check(terms.quorum.fits())?;
    check_group(terms.group)?;
    check_deciders(&terms.deciders)
}

fn check_payload(payload: &[u8]) -> Result<(), ApplyError> {
    check(payload.len() <= MAX_PAYLOAD)
}

fn check_boost(boost: i64) -> Result<(), ApplyError> {
    check(boost.unsigned_abs() <= MAX_DURATION)
}

fn check_time(time: Time) -> Result<(), ApplyError> {
    check(time.0 < MAX_TIME)
}

fn check_due(due: Option<Time>) -> Result<(), ApplyError> {
    due.map_or(Ok(()), check_time)
}

fn check_place(place: Option<Place>) -> Result<(), ApplyError> {
    check(place.is_none_or(|p| p.since.0 < U48::MAX && p.tie < MAX_TIME))
}

/// Counts one more; a total that was loaded may be any number.
fn count(total: &mut u64) {
    *total = total.saturating_add(1);
}

impl Store {
    /// Applies one effect. `hint` is where its item may be, which saves
    /// looking up its id. Answers what the effect may have made possible.
    ///
    /// # Errors
    /// `ApplyError` if the effect cannot have happened to this state, which is then unchanged.
    pub(in crate::queue) fn apply(
        &mut self,
        when: When,
        effect: &Effect<'_>,
        hint: Option<ItemSlot>,
    ) -> Outcome {
        check(when.at.0 < U48::MAX && when.now <= when.at)?;
        let applied = self.dispatch(when, effect, hint)?;
        self.last_at = self.last_at.max(when.at);
        Ok(applied)
    }

    /// One function for each effect.
    fn dispatch(&mut self, when: When, effect: &Effect<'_>, hint: Option<ItemSlot>) -> Outcome {
        let When { at, now } = when;
        match effect {
            Effect::Submit { .. } => self.apply_submit(when, effect),
            Effect::MoveIn(item) => self.apply_move_in(item, now),
            Effect::Bump {
                id,
                priority,
                boost,
            } => self.apply_bump(self.need(id, hint)?, *priority, *boost),
            Effect::Change { id, .. } => self.apply_change(self.need(id, hint)?, effect),
            Effect::Cancel { id } => self.apply_cancel(self.need(id, hint)?),
            Effect::MoveOut { id } => self.apply_move_out(self.need(id, hint)?),
            Effect::Due { id } => self.apply_due(self.need_in(id, hint, State::Delayed)?),
            Effect::Revive { id } => self.apply_revive(self.need_in(id, hint, State::Dead)?),
            Effect::Delay { id, due } => {
                self.apply_delay(self.need_in(id, hint, State::Delayed)?, *due, now)
            }
            Effect::Lock { id, .. } => self.apply_lock(when, self.need(id, hint)?, effect),
            Effect::Resolve { id, end } => {
                self.apply_resolve(at, self.need(id, hint)?, end.as_ref())
            }
            Effect::Vote { id, by, split } => self.apply_vote(at, self.need(id, hint)?, by, *split),
            Effect::Split { id } => self.apply_split(self.need(id, hint)?),
            Effect::Report { id } => self.apply_report(id),
            Effect::Forget { id } => self.apply_forget(id),
            Effect::Drop { count, evicted } => self.apply_drop(*count, *evicted),
            Effect::Extend { id, deadline } => {
                self.apply_extend(self.need_in(id, hint, State::Locked)?, *deadline, now)
            }
            Effect::Release { id, skip, due } => {
                let slot = self.need_in(id, hint, State::Locked)?;
                self.apply_release(slot, *skip, due.map(|due| (due, now)))
            }
            Effect::Expire { id, dead } => {
                self.apply_expire(self.need_in(id, hint, State::Locked)?, *dead)
            }
            Effect::Undo { id, place } => {
                self.apply_undo(self.need_in(id, hint, State::Locked)?, *place)
            }
            Effect::Join { .. } => self.apply_join(effect, now),
            Effect::Served { moderator } => self.apply_served(moderator),
            Effect::Leave { moderator } => self.apply_leave(moderator),
            Effect::Pause { paused } => self.apply_pause(*paused),
            Effect::Configure { settings } => self.apply_configure(settings),
        }
    }

    fn apply_pause(&mut self, paused: Paused) -> Outcome {
        self.paused = paused;
        Ok(Applied::line(LineChange::MatchAnew))
    }

    fn apply_configure(&mut self, settings: &Settings) -> Outcome {
        let aging_kept = settings.aging == self.settings.aging;
        check(settings.fit() && (aging_kept || self.items.len() == 0))?;
        let same_capacity = settings.capacity == self.settings.capacity;
        self.settings = settings.clone();
        // Who holds as much as they may is not matched: that may change for everybody.
        Ok(Applied::line(if same_capacity {
            LineChange::MatchAnew
        } else {
            LineChange::Everyone
        }))
    }

    // ---- what several effects share ----

    fn need(&self, id: &[u8], hint: Option<ItemSlot>) -> Result<ItemSlot, ApplyError> {
        match hint {
            Some(slot) if self.items.get(slot).is_some_and(|item| item.id() == id) => Ok(slot),
            _ => self.find(id).ok_or(ApplyError),
        }
    }

    fn need_in(
        &self,
        id: &[u8],
        hint: Option<ItemSlot>,
        state: State,
    ) -> Result<ItemSlot, ApplyError> {
        let slot = self.need(id, hint)?;
        check(self.items[slot].state == state)?;
        Ok(slot)
    }

    fn intern_all(&mut self, names: &Names<'_>) -> Vec<Exclusion> {
        let mut all = Vec::with_capacity(names.len());
        let mut seen = HashSet::new();
        for name in names {
            let moderator = self.moderators.intern(name);
            if seen.insert(moderator) {
                let skip = false;
                all.push(Exclusion { moderator, skip });
            }
        }
        all
    }

    /// An item whose lock or delay is over is ready again, or dead if it was parked.
    fn come_back(&mut self, slot: ItemSlot) -> Opportunity {
        if self.is_parked(slot) {
            self.enter_dead(slot);
            return Opportunity::None;
        }
        self.enter_ready(slot);
        Opportunity::Item(slot)
    }

    /// Puts an item whose lock ended back into its place, or delays it.
    fn put_back(
        &mut self,
        slot: ItemSlot,
        delay: Option<(Time, Time)>,
        lock: Option<Lock>,
    ) -> Applied {
        let freed = self.freed(lock);
        if let Some((due, now)) = delay {
            self.enter_delayed(slot, due);
            self.set_span(slot, due, now);
            return freed;
        }
        let opportunity = match (self.come_back(slot), freed.opportunity) {
            (Opportunity::Item(slot), Opportunity::Moderator(moderator)) => {
                Opportunity::Both(slot, moderator)
            }
            (Opportunity::None, freed) => freed,
            (item, _) => item,
        };
        Applied {
            opportunity,
            ..freed
        }
    }

    /// A lock ended: its moderator may now have room for another, and is forgotten if nothing else
    /// is known of them.
    fn freed(&mut self, lock: Option<Lock>) -> Applied {
        let Some(Lock { moderator, .. }) = lock else {
            return Applied::NOTHING;
        };
        // They are forgotten already if the only other thing that referred to them was the item,
        // which excluded them and is gone.
        if self.moderators.is_known(moderator) {
            self.moderators.forget_if_idle(moderator);
        }
        if !self.moderators.is_known(moderator) {
            return Applied::NOTHING;
        }
        Applied {
            opportunity: Opportunity::Moderator(moderator),
            line: LineChange::Moderator(moderator),
        }
    }

    /// The largest token given so far becomes `token` if that is larger.
    fn note_token(&mut self, token: Token) {
        self.last_token = self.last_token.max(token);
    }
}
