//! Events: what a transition tells the audit log. Whoever folds all events of a queue has the state
//! of every item, and every count.
//!
//! An event is begun by [`draft`] before its effect is applied, since some of what it tells is gone
//! afterwards (whose lock ended), and ended by [`Draft::finish`] after that.

use super::effect::{Effect, Ending};
use super::settings::Quorum;
use super::store::{Item, ItemSlot, Lock, Rare, Rev, State, Store, TagList};
use crate::units::Time;
use std::borrow::Cow;

/// One transition of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened: the field `ev`.
    pub name: &'static str,
    /// The item.
    pub item: Box<[u8]>,
    /// Its revision after it.
    pub rev: Rev,
    /// When it happened.
    pub at: Time,
    /// What the transition set, and whose lock it gave or ended.
    pub fields: Vec<(&'static str, Vec<u8>)>,
}

/// Events for one stream, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The key of the stream.
    pub stream: Vec<u8>,
    /// About how many entries the stream keeps; 0 is all.
    pub max_len: u64,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// What an event tells beyond its effect: texts that no state is made of. Those given become fields.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told<'a> {
    /// The outcome that machines compare.
    pub verdict: Option<&'a [u8]>,
    /// The text of a decision.
    pub decision: Option<&'a [u8]>,
    /// Why an item was cancelled.
    pub reason: Option<&'a [u8]>,
    /// Who did it.
    pub by: Option<&'a [u8]>,
    /// The item by which it was done to this one as well.
    pub via: Option<&'a [u8]>,
}

impl Told<'static> {
    /// Nothing.
    pub(super) const NOTHING: &'static Told<'static> = &Told {
        verdict: None,
        decision: None,
        reason: None,
        by: None,
        via: None,
    };
}

/// An event whose effect is about to be applied.
pub(super) struct Draft {
    event: Event,
    was_dead: bool,
    had_votes: bool,
    had_tags: TagList,
}

/// The name of an effect's event, and its item; none if it is no transition of an item.
fn named<'e>(effect: &'e Effect<'_>) -> Option<(&'static str, &'e [u8])> {
    Some(match effect {
        Effect::Submit { id, .. } => ("submit", id),
        Effect::Bump { id, .. } => ("bump", id),
        Effect::Change {
            id, replace: true, ..
        } => ("replace", id),
        Effect::Change { id, .. } => ("update", id),
        Effect::Cancel { id } => ("cancel", id),
        Effect::Lock {
            id, assign: true, ..
        } => ("assign", id),
        Effect::Lock { id, .. } => ("claim", id),
        Effect::Extend { id, .. } => ("extend", id),
        Effect::Resolve { id, .. } => ("resolve", id),
        Effect::Vote {
            id, split: false, ..
        } => ("vote", id),
        Effect::Vote { id, .. } | Effect::Split { id } => ("split", id),
        Effect::Report { id } => ("report", id),
        Effect::Forget { id } => ("forget", id),
        Effect::Release { id, .. } => ("release", id),
        Effect::Expire { id, dead: true } => ("dead", id),
        Effect::Expire { id, .. } => ("expire", id),
        Effect::Due { id } => ("due", id),
        // To who reads the stream it is an item whose due time was changed.
        Effect::Delay { id, .. } => ("update", id),
        Effect::Undo { id, .. } => ("undo", id),
        Effect::Revive { id } => ("revive", id),
        Effect::MoveOut { id } => ("move_out", id),
        Effect::MoveIn(item) => ("move_in", item.id),
        Effect::Join { .. }
        | Effect::Served { .. }
        | Effect::Leave { .. }
        | Effect::Pause { .. }
        | Effect::Configure { .. }
        | Effect::Drop { .. } => return None,
    })
}

/// The lock that an effect extends or ends, or whose late decision counts.
fn lock_named(store: &Store, slot: ItemSlot, effect: &Effect<'_>) -> Option<Lock> {
    let names_lock = matches!(
        effect,
        Effect::Extend { .. }
            | Effect::Resolve { .. }
            | Effect::Release { .. }
            | Effect::Expire { .. }
            | Effect::Undo { .. }
    );
    if !names_lock {
        return None;
    }
    store.last_lock(slot)
}

/// Whose verdict an effect is, if it says so itself.
fn verdict_by<'e>(effect: &'e Effect<'_>) -> Option<&'e Ending<'e>> {
    match effect {
        Effect::Resolve { end, .. } => end.as_ref(),
        Effect::Vote { by, .. } => Some(by),
        _ => None,
    }
}

/// Begins the event of an effect that is about to be applied; none if it is no transition of an
/// item.
pub(super) fn draft(store: &Store, at: Time, effect: &Effect<'_>) -> Option<Draft> {
    let (name, id) = named(effect)?;
    let slot = store.find(id);
    let mut draft = Draft {
        event: Event {
            name,
            item: id.into(),
            rev: match effect {
                Effect::Report { .. } | Effect::Forget { .. } => store.rev_of_record(id),
                _ => slot.map_or(Rev(0), |slot| store.items()[slot].rev),
            },
            at,
            fields: Vec::new(),
        },
        was_dead: slot.is_some_and(|slot| store.items()[slot].state == State::Dead),
        had_votes: slot.is_some_and(|slot| !store.votes(slot).is_empty()),
        had_tags: slot.map_or(TagList::EMPTY, |slot| store.items()[slot].tags),
    };
    if let Some(by) = verdict_by(effect) {
        draft.set("moderator", by.moderator);
        draft.number("token", by.token.0);
    } else if let Some(lock) = slot.and_then(|slot| lock_named(store, slot, effect)) {
        draft.set("moderator", &*store.moderators()[lock.moderator].name);
        draft.number("token", lock.token.0);
    }
    Some(draft)
}

/// An item after its transition, as events tell it.
struct After<'s> {
    store: &'s Store,
    slot: ItemSlot,
    item: &'s Item,
    rare: Cow<'s, Rare>,
}

impl After<'_> {
    fn excluded(&self) -> Vec<u8> {
        let names = self.rare.excluded.iter();
        json_array(names.map(|e| &*self.store.moderators()[e.moderator].name))
    }

    fn tags(&self) -> Vec<u8> {
        json_array(self.store.tags().names(self.item.tags))
    }

    fn quorum(&self) -> String {
        let Quorum { k, n } = self.store.quorum(self.slot);
        format!("[{k},{n}]")
    }

    fn deciders(&self) -> Vec<u8> {
        let deciders = self.store.review(self.slot).map(|review| &review.deciders);
        let names = deciders.into_iter().flatten();
        json_array(names.map(|m| &*self.store.moderators()[*m].name))
    }

    /// The votes that stand as rows of moderator, verdict and time.
    fn votes(&self) -> Vec<u8> {
        let mut out = vec![b'['];
        for vote in self.store.votes(self.slot) {
            if out.len() > 1 {
                out.push(b',');
            }
            let name = &*self.store.moderators()[vote.moderator].name;
            out.extend(json_array([name, &vote.verdict].into_iter()));
            out.pop();
            out.extend(format!(",{}]", vote.at.0).bytes());
        }
        out.push(b']');
        out
    }
}

impl Draft {
    /// Ends the event of an effect that was just applied, and adds what else is told.
    pub(super) fn finish(mut self, store: &Store, effect: &Effect<'_>, told: &Told<'_>) -> Event {
        match effect {
            Effect::Report { id } => {
                let reports = store.reports_of_record(id);
                self.number("reports", reports);
            }
            Effect::Forget { .. } => {}
            _ => {
                if let Some(slot) = store.find(&self.event.item) {
                    self.tell_item(store, slot, effect);
                }
            }
        }
        for (name, text) in [
            ("verdict", told.verdict),
            ("decision", told.decision),
            ("reason", told.reason),
            ("by", told.by),
            ("via", told.via),
        ] {
            if let Some(text) = text {
                self.set(name, text);
            }
        }
        self.event
    }

    /// What there is to know of an item that is still there.
    fn tell_item(&mut self, store: &Store, slot: ItemSlot, effect: &Effect<'_>) {
        let after = After {
            store,
            slot,
            item: &store.items()[slot],
            // Borrowed: hundreds may be excluded, and most events do not tell them.
            rare: store.rare(slot).map_or_else(Cow::default, Cow::Borrowed),
        };
        self.event.rev = after.item.rev;
        match effect {
            Effect::Submit { .. } | Effect::MoveIn(_) => self.tell_arrival(&after),
            Effect::Bump { .. } | Effect::Change { .. } => self.tell_change(&after, effect),
            _ => self.tell_state(&after, effect),
        }
    }

    /// All there is to know of an item that came in.
    fn tell_arrival(&mut self, after: &After<'_>) {
        let After { item, rare, .. } = after;
        self.state(after);
        self.number("priority", item.priority);
        self.number("boost", item.boost());
        self.number("submitted", item.submitted().0);
        if let Some(due) = rare.due {
            self.number("due", due.0);
        }
        if after.store.tags().names(item.tags).len() > 0 {
            self.set("tags", after.tags());
        }
        if !rare.excluded.is_empty() {
            self.set("excluded", after.excluded());
        }
        self.number("reports", rare.reports);
        self.number("deliveries", item.deliveries);
        self.number("expiries", rare.expiries);
        self.tell_terms(after);
    }

    /// By whom an item that came in is to be decided, and how it was decided where it comes from.
    fn tell_terms(&mut self, after: &After<'_>) {
        let After { store, slot, .. } = after;
        let group = store.group_name(*slot);
        if !group.is_empty() {
            self.set("group", group);
        }
        let Some(review) = store.review(*slot) else {
            return;
        };
        if review.quorum != Quorum::ONE {
            self.set("quorum", after.quorum());
        }
        if !review.deciders.is_empty() {
            self.set("deciders", after.deciders());
        }
        if !review.votes.is_empty() {
            self.set("votes", after.votes());
            self.number("contested", u8::from(review.contested));
        }
    }

    /// That the votes are void and the item is no longer contested, if it is so.
    fn tell_void(&mut self, after: &After<'_>) {
        if self.had_votes && after.store.votes(after.slot).is_empty() {
            self.set("votes", after.votes());
            self.number("contested", 0);
        }
    }

    /// The tags of an item, if they are others than before.
    fn tell_tags(&mut self, after: &After<'_>) {
        if after.item.tags != self.had_tags {
            self.set("tags", after.tags());
        }
    }

    /// What BUMP, REPLACE or UPDATE set, and whether it made a dead item ready.
    fn tell_change(&mut self, after: &After<'_>, effect: &Effect<'_>) {
        let After { item, rare, .. } = after;
        match effect {
            Effect::Bump { .. } => {
                self.number("priority", item.priority);
                self.number("boost", item.boost());
                self.number("reports", rare.reports);
            }
            Effect::Change {
                priority,
                boost,
                tags,
                excluded,
                quorum,
                group,
                reports,
                ..
            } => {
                if priority.is_some() {
                    self.number("priority", item.priority);
                }
                if boost.is_some() {
                    self.number("boost", item.boost());
                }
                if tags.is_some() {
                    self.set("tags", after.tags());
                } else {
                    self.tell_tags(after);
                }
                if excluded.is_some() {
                    self.set("excluded", after.excluded());
                }
                if quorum.is_some() {
                    self.set("quorum", after.quorum());
                }
                if let Some(group) = group {
                    self.set("group", *group);
                }
                if let Some(reports) = reports {
                    self.number("reports", reports);
                }
                self.tell_void(after);
            }
            _ => {}
        }
        if self.was_dead && item.state != State::Dead {
            self.state(after);
            self.number("expiries", rare.expiries);
        }
    }

    /// The state that the item came into, and what belongs to that.
    fn tell_state(&mut self, after: &After<'_>, effect: &Effect<'_>) {
        let After { item, rare, .. } = after;
        match effect {
            Effect::Lock {
                moderator,
                token,
                deadline,
                ..
            } => {
                self.state(after);
                self.number("deliveries", item.deliveries);
                self.set("moderator", *moderator);
                self.number("token", token.0);
                self.number("deadline", deadline.0);
            }
            Effect::Extend { deadline, .. } => self.number("deadline", deadline.0),
            Effect::Release { skip, due, .. } => {
                self.state(after);
                if let Some(due) = due {
                    self.number("due", due.0);
                }
                if *skip {
                    // Not the whole list: it may be that of thousands who skipped before.
                    let by = self.event.fields.iter().find(|(f, _)| *f == "moderator");
                    let by = json_array(by.iter().map(|(_, name)| &name[..]));
                    self.set("excluded", by);
                }
            }
            Effect::Expire { .. } => {
                self.state(after);
                self.number("expiries", rare.expiries);
            }
            Effect::Revive { .. } => {
                self.state(after);
                self.number("expiries", rare.expiries);
                self.tell_tags(after);
                self.tell_void(after);
            }
            Effect::Vote { .. } => {
                self.state(after);
                self.number("expiries", rare.expiries);
                self.tell_tags(after);
            }
            Effect::Split { .. } => {
                self.state(after);
                self.tell_tags(after);
            }
            Effect::Due { .. } => self.state(after),
            Effect::Delay { due, .. } => self.number("due", due.0),
            Effect::Undo { .. } => {
                self.state(after);
                self.number("deliveries", item.deliveries);
            }
            _ => {}
        }
    }

    fn state(&mut self, after: &After<'_>) {
        self.set("state", after.item.state.name());
    }

    fn set(&mut self, name: &'static str, value: impl Into<Vec<u8>>) {
        self.event.fields.push((name, value.into()));
    }

    fn number(&mut self, name: &'static str, value: impl ToString) {
        self.set(name, value.to_string());
    }
}

/// Strings as a JSON array. Bytes that are no UTF-8 are left as they are: ids and tags are binary.
fn json_array<'a>(names: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![b'['];
    for name in names {
        if out.len() > 1 {
            out.push(b',');
        }
        out.push(b'"');
        for byte in name {
            match byte {
                b'"' | b'\\' => out.extend([b'\\', *byte]),
                0..0x20 => out.extend(format!("\\u{byte:04x}").bytes()),
                _ => out.push(*byte),
            }
        }
        out.push(b'"');
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use super::json_array;

    #[test]
    fn lists_are_json() {
        let list = |names: &[&[u8]]| json_array(names.iter().copied());
        assert_eq!(list(&[]), b"[]");
        assert_eq!(list(&[b"a", b"b c"]), br#"["a","b c"]"#);
        assert_eq!(list(&[b"\"\\\n"]), br#"["\"\\\u000a"]"#);
        assert_eq!(
            list(&["caf\u{e9}".as_bytes()]),
            "[\"caf\u{e9}\"]".as_bytes()
        );
        assert_eq!(list(&[b"\xff"]), b"[\"\xff\"]");
    }
}
