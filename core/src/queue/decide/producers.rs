//! What producers ask for: SUBMIT, CANCEL, UPDATE.

use super::decided::Submission;
use super::{Request, Turn};
use crate::queue::effect::{Effect, Names, Terms};
use crate::queue::event::Told;
use crate::queue::request::{Cancel, Error, OnDuplicate, Submit, Submitted, Update};
use crate::queue::settings::Quorum;
use crate::queue::store::{ItemSlot, Opportunity, Rev, Store};
use crate::units::Millis;
use serde_bytes::Bytes;
use std::collections::HashSet;

/// Puts an item into the queue, or treats the one of that id as `on_duplicate` says.
///
/// Whether it was decided before is asked before whether there is room.
///
/// Errors: `Paused`, `Exists`; `NoRecord` if it appeals against what is not remembered; `Full`, `Events`,
/// `TryAgain`.
impl Request for Submit<'_> {
    type Reply = Submitted;

    fn run(mut self, turn: &mut Turn<'_>) -> Result<Submitted, Error> {
        (&mut self).run(turn)
    }
}

/// As of a `Submit`, whose lists of names go into the queue.
impl Request for &mut Submit<'_> {
    type Reply = Submitted;

    fn run(self, turn: &mut Turn<'_>) -> Result<Submitted, Error> {
        if turn.store.paused().input {
            return Err(Error::Paused);
        }
        if let Some(slot) = turn.store.find(self.id) {
            return turn.submit_again(slot, self);
        }
        let deciders = match turn.submit_decided(self)? {
            Submission::Decided => return Ok(Submitted::Decided),
            Submission::New(deciders) => deciders,
        };
        if turn.is_full() {
            return Err(Error::Full);
        }
        turn.admit()?;
        let deciders = match deciders.is_empty() {
            true => Names::new(),
            false => deciders.iter().map(|name| Bytes::new(name)).collect(),
        };
        let due = turn.due_after(self.delay);
        let effect = Effect::Submit {
            id: self.id,
            payload: self.payload,
            priority: self.priority.unwrap_or(0),
            boost: self.boost.unwrap_or(0),
            due,
            tags: self.tags.take().unwrap_or_default(),
            excluded: self.excluded.take().unwrap_or_default(),
            terms: turn.terms(self.quorum, self.group, deciders),
        };
        let matched = turn.commit_and_match(&effect, None);
        Ok(match (due, matched) {
            (None, true) => Submitted::Assigned,
            (None, false) => Submitted::Ready,
            (Some(_), _) => Submitted::Delayed,
        })
    }
}

impl Turn<'_> {
    /// By whom a new item is to be decided, if that is not the first verdict of anybody.
    #[inline]
    fn terms<'a>(
        &self,
        quorum: Option<Quorum>,
        group: Option<&'a [u8]>,
        deciders: Names<'a>,
    ) -> Option<Box<Terms<'a>>> {
        let quorum = quorum.unwrap_or(self.store.settings().quorum);
        let group = group.unwrap_or(&[]);
        let is_plain = quorum == Quorum::ONE && group.is_empty() && deciders.is_empty();
        (!is_plain).then(|| {
            Box::new(Terms {
                quorum,
                group,
                deciders,
            })
        })
    }

    /// When something comes due that is delayed by `delay`, if it is.
    pub(super) fn due_after(&self, delay: Millis) -> Option<crate::units::Time> {
        (!delay.is_zero()).then(|| self.now.time + delay)
    }

    fn submit_again(
        &mut self,
        slot: ItemSlot,
        submit: &mut Submit<'_>,
    ) -> Result<Submitted, Error> {
        let item = &self.store.items()[slot];
        let (effect, reply) = match submit.on_duplicate {
            OnDuplicate::Keep => return Ok(Submitted::Exists),
            OnDuplicate::Error => return Err(Error::Exists),
            OnDuplicate::Bump => (
                Effect::Bump {
                    id: submit.id,
                    priority: match submit.step {
                        Some(step) => item.priority.saturating_add(step),
                        None => item.priority.max(submit.priority.unwrap_or(i32::MIN)),
                    },
                    boost: item.boost().max(submit.boost.unwrap_or(i64::MIN)),
                },
                Submitted::Bumped,
            ),
            OnDuplicate::Replace => (
                Effect::Change {
                    id: submit.id,
                    replace: true,
                    payload: Some(submit.payload),
                    priority: submit.priority,
                    boost: submit.boost,
                    tags: submit.tags.take(),
                    excluded: submit.excluded.take(),
                    quorum: submit.quorum,
                    group: submit.group,
                    reports: None,
                },
                Submitted::Replaced,
            ),
        };
        self.admit()?;
        let opportunity = self.commit(&effect, Some(slot));
        let counts_anew = matches!(
            &effect,
            Effect::Change {
                quorum: Some(_),
                ..
            }
        );
        if !(counts_anew && self.count_anew(slot, Told::NOTHING)) {
            self.seize(opportunity);
        }
        Ok(reply)
    }
}

/// Removes an item in whatever state, if it is at the revision named.
///
/// Errors: `Events`, `TryAgain`.
impl Request for Cancel<'_> {
    type Reply = bool;

    fn run(self, turn: &mut Turn<'_>) -> Result<bool, Error> {
        let Some(slot) = turn.store.find(self.id) else {
            return Ok(false);
        };
        let rev = turn.store.items()[slot].rev;
        if self.rev.is_some_and(|named| !rev.is(named)) {
            return Ok(false);
        }
        turn.admit()?;
        let told = Told {
            reason: self.reason,
            by: self.by,
            ..Told::default()
        };
        let effect = Effect::Cancel { id: self.id };
        let opportunity = turn.commit_told(&effect, Some(slot), &told);
        turn.seize(opportunity);
        Ok(true)
    }
}

/// Changes an item: its content, its order, by whom it is decided. Its state changes only where votes are
/// void or counted anew by that. What is set to what it is already is no change, and an UPDATE without
/// any change keeps the revision.
///
/// Errors: `NoItem`, `Events`, `TryAgain`.
impl Request for Update<'_> {
    type Reply = Option<Rev>;

    fn run(self, turn: &mut Turn<'_>) -> Result<Option<Rev>, Error> {
        let slot = turn.find(self.id)?;
        let store = &*turn.store;
        let item = &store.items()[slot];
        let rev = item.rev;
        if self.rev.is_some_and(|named| !rev.is(named)) {
            return Ok(None);
        }
        let payload = self.payload.filter(|p| *p != item.payload());
        let priority = self.priority.filter(|p| *p != item.priority);
        let boost = self.boost.filter(|b| *b != item.boost());
        // Another payload takes the tag of a split away. Who names that tag in the same step keeps it.
        let loses_tag = payload.is_some() && store.is_contested(slot);
        let tags = self.tags.filter(|t| loses_tag || !has_tags(store, slot, t));
        let excluded = self.excluded.filter(|e| !excludes(store, slot, e));
        let quorum = self.quorum.filter(|q| *q != store.quorum(slot));
        let group = self.group.filter(|g| *g != store.group_name(slot));
        let counted = store.rare(slot).map_or(1, |rare| rare.reports);
        let reports = self.reports.filter(|n| *n != counted);
        let content = (payload, priority, boost, &tags, &excluded);
        let terms = (quorum, group, reports);
        let told = Told {
            by: self.by,
            ..Told::default()
        };
        if content == (None, None, None, &None, &None) && terms == (None, None, None) {
            // Its votes are counted all the same: when it was set the item may have been locked.
            if self.quorum.is_some() && turn.is_settled(slot) {
                turn.admit()?;
                turn.count_anew(slot, &told);
            }
            return Ok(Some(rev));
        }
        let effect = Effect::Change {
            id: self.id,
            replace: false,
            payload,
            priority,
            boost,
            tags,
            excluded,
            quorum,
            group,
            reports,
        };
        turn.admit()?;
        let opportunity = turn.commit_told(&effect, Some(slot), &told);
        let rev = turn.store.items()[slot].rev;
        if self.quorum.is_some() && turn.count_anew(slot, &told) {
            return Ok(Some(rev));
        }
        if let Opportunity::Item(slot) = opportunity {
            turn.match_item(slot);
        }
        Ok(Some(rev))
    }
}

/// Names without those that stand before already.
fn distinct<'a>(names: &'a Names<'_>) -> impl Iterator<Item = &'a [u8]> {
    let mut seen = HashSet::new();
    let names = names.iter().map(|name| &***name);
    names.filter(move |name| seen.insert(*name))
}

/// Whether an item requires these tags, in this order; a repeated name counts once.
fn has_tags(store: &Store, slot: ItemSlot, names: &Names<'_>) -> bool {
    let tags = store.tags().names(store.items()[slot].tags);
    tags.eq(distinct(names))
}

/// Whether naming these moderators would exclude from an item exactly who is, as they are.
fn excludes(store: &Store, slot: ItemSlot, names: &Names<'_>) -> bool {
    let named: Vec<&[u8]> = distinct(names).collect();
    // Those named come first; after them those not named stay only if by SKIP, and only if anyone
    // is named.
    let Some((first, rest)) = store.excluded(slot).split_at_checked(named.len()) else {
        return false;
    };
    let name_of = |e: &crate::queue::store::Exclusion| &*store.moderators()[e.moderator].name;
    first.iter().map(name_of).eq(named.iter().copied())
        && rest.iter().all(|e| e.skip && !named.is_empty())
}
