//! Events: what a transition tells the audit log. Whoever folds all events of a queue has the state
//! of every item, and every count.

use super::effect::Effect;
use super::state::{Queue, State};

/// What the names of states are, in events and replies.
pub fn state_name(state: State) -> &'static str {
    match state {
        State::Ready => "ready",
        State::Delayed => "delayed",
        State::Locked => "locked",
        State::Dead => "dead",
    }
}

/// One transition of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened: the field `ev`.
    pub name: &'static str,
    pub item: Box<[u8]>,
    pub rev: u32,
    /// Unix ms.
    pub at: u64,
    /// What the transition set, and whose lock it gave or ended.
    pub fields: Vec<(&'static str, Vec<u8>)>,
}

/// Events for one stream, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub stream: Vec<u8>,
    /// About how many entries the stream keeps; 0 is all.
    pub max_len: u64,
    pub events: Vec<Event>,
}

/// What an event needs of the state before its transition.
pub(super) struct Draft {
    event: Event,
    was_dead: bool,
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

impl Draft {
    fn set(&mut self, name: &'static str, value: impl Into<Vec<u8>>) {
        self.event.fields.push((name, value.into()));
    }

    fn number(&mut self, name: &'static str, value: impl ToString) {
        self.set(name, value.to_string());
    }
}

impl Queue {
    /// Begins the event of an effect that is about to be applied; none if it is no transition of an
    /// item.
    pub(super) fn draft_event(&self, at: u64, effect: &Effect<'_>) -> Option<Draft> {
        let (name, id) = match effect {
            Effect::Submit { id, .. } => ("submit", id),
            Effect::Bump { id, .. } => ("bump", id),
            Effect::Change { id, replace, .. } => (if *replace { "replace" } else { "update" }, id),
            Effect::Cancel { id } => ("cancel", id),
            Effect::Lock { id, assign, .. } => (if *assign { "assign" } else { "claim" }, id),
            Effect::Extend { id, .. } => ("extend", id),
            Effect::Resolve { id, .. } => ("resolve", id),
            Effect::Release { id, .. } => ("release", id),
            Effect::Expire { id, dead } => (if *dead { "dead" } else { "expire" }, id),
            Effect::Due { id } => ("due", id),
            Effect::Undo { id, .. } => ("undo", id),
            Effect::Revive { id } => ("revive", id),
            Effect::MoveOut { id } => ("move_out", id),
            Effect::MoveIn { id, .. } => ("move_in", id),
            Effect::Join { .. }
            | Effect::Served { .. }
            | Effect::Leave { .. }
            | Effect::Pause { .. }
            | Effect::Configure { .. } => return None,
        };
        let slot = self.find(id);
        let mut draft = Draft {
            event: Event {
                name,
                item: (***id).into(),
                rev: slot.map_or(0, |slot| self.items[slot].rev),
                at,
                fields: Vec::new(),
            },
            was_dead: slot.is_some_and(|slot| self.items[slot].state == State::Dead),
        };
        // Whose lock ends, or counts for this.
        let lock = slot.and_then(|slot| match self.items[slot].state {
            State::Locked => self.lock(slot),
            _ => self.extra(slot)?.late,
        });
        let names_lock = matches!(
            effect,
            Effect::Extend { .. }
                | Effect::Resolve { .. }
                | Effect::Release { .. }
                | Effect::Expire { .. }
                | Effect::Undo { .. }
        );
        if let Some(lock) = lock.filter(|_| names_lock) {
            draft.set("moderator", &*self.moderators[lock.moderator].name);
            draft.number("token", lock.token);
        }
        Some(draft)
    }

    /// Ends the event of an effect that was just applied.
    pub(super) fn finish_event(
        &self,
        mut draft: Draft,
        effect: &Effect<'_>,
        decision: Option<&[u8]>,
    ) -> Event {
        let Some(slot) = self.find(&draft.event.item) else {
            if let Some(text) = decision {
                draft.set("decision", text);
            }
            return draft.event;
        };
        let item = &self.items[slot];
        draft.event.rev = item.rev;
        let state = |draft: &mut Draft| draft.set("state", state_name(item.state));
        let extra = self.extra(slot).cloned().unwrap_or_default();
        let excluded = || {
            let names = extra.excluded.iter();
            json_array(names.map(|(m, _)| &*self.moderators[*m].name))
        };
        match effect {
            Effect::Submit { .. } | Effect::MoveIn { .. } => {
                state(&mut draft);
                draft.number("priority", item.priority);
                draft.number("boost", item.boost());
                draft.number("submitted", item.submitted());
                if extra.due > 0 {
                    draft.number("due", extra.due);
                }
                let mut tags = self.tags.names(item.tags).peekable();
                if tags.peek().is_some() {
                    draft.set("tags", json_array(tags));
                }
                if !extra.excluded.is_empty() {
                    draft.set("excluded", excluded());
                }
                draft.number("reports", extra.reports);
                draft.number("deliveries", item.deliveries);
                draft.number("expiries", extra.expiries);
            }
            Effect::Bump { .. } => {
                draft.number("priority", item.priority);
                draft.number("boost", item.boost());
                draft.number("reports", extra.reports);
            }
            Effect::Change {
                priority,
                boost,
                tags,
                excluded: named,
                ..
            } => {
                if priority.is_some() {
                    draft.number("priority", item.priority);
                }
                if boost.is_some() {
                    draft.number("boost", item.boost());
                }
                if tags.is_some() {
                    draft.set("tags", json_array(self.tags.names(item.tags)));
                }
                if named.is_some() {
                    draft.set("excluded", excluded());
                }
            }
            Effect::Lock {
                moderator,
                token,
                deadline,
                ..
            } => {
                state(&mut draft);
                draft.number("deliveries", item.deliveries);
                draft.set("moderator", &***moderator);
                draft.number("token", token);
                draft.number("deadline", deadline);
            }
            Effect::Extend { deadline, .. } => draft.number("deadline", deadline),
            Effect::Release { skip, due, .. } => {
                state(&mut draft);
                if *due > 0 {
                    draft.number("due", due);
                }
                if *skip {
                    draft.set("excluded", excluded());
                }
            }
            Effect::Expire { .. } => {
                state(&mut draft);
                draft.number("expiries", extra.expiries);
            }
            Effect::Due { .. } => state(&mut draft),
            Effect::Undo { .. } => {
                state(&mut draft);
                draft.number("deliveries", item.deliveries);
            }
            Effect::Revive { .. } => {
                state(&mut draft);
                draft.number("expiries", extra.expiries);
            }
            _ => {}
        }
        let revived = matches!(effect, Effect::Bump { .. } | Effect::Change { .. })
            && draft.was_dead
            && item.state != State::Dead;
        if revived {
            state(&mut draft);
            draft.number("expiries", extra.expiries);
        }
        draft.event
    }
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
