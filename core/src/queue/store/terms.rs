//! How long what ends by the clock was asked to last, so that it lasts no longer by a clock that is
//! set back.
//!
//! A lock, a delay and a registration each have an end and a span: how long they were asked to last
//! when the end was set. What always holds, once the clock was looked at: no end is further away
//! than its span. Setting an end makes it true; only a clock that is set back makes it false, for
//! what was set later than it now says. Whoever decides then goes along everything that has an end
//! yet to come, and gives it one that is its span away ([`Store::next_to_restamp`]). An end that was
//! set before what the clock now says is not too far away, and stays.
//!
//! The span of a registration is its time to live. That of a lock is mostly the time between its
//! stamp and its deadline, and that of a delay the time between submit and due time; only others are
//! kept (and saved): of extended locks, of items released with a delay or moved, and of what was set
//! while the clock was behind the stamps.

use super::{ItemSlot, ModeratorSlot, Seq, State, Store, Timed, Timer};
use crate::codec::DecodeError;
use crate::on_demand::{OnDemand, empty_by_default};
use crate::units::{Millis, Time};

/// What whoever decides knows of ends that may be too far away. It is not saved: what is loaded tells
/// when it was set.
#[derive(Debug, Default)]
pub(super) struct Restamping {
    /// No end was set later than this by the clock.
    latest: Time,
    work: OnDemand<Work>,
}

/// What is there only while ends are looked at, or a queue is loaded.
#[derive(Debug, Default)]
struct Work {
    /// While ends are looked at: from what time on, and the last one looked at.
    under_way: Option<(Time, Timer)>,
    /// While a queue is loaded: spans, whose items may come after them.
    loaded: Vec<(Seq, Millis)>,
}

empty_by_default!(Work);

impl Restamping {
    /// Bytes of heap.
    pub(super) fn memory_bytes(&self) -> usize {
        self.work.memory_bytes(|_| 0)
    }
}

impl Store {
    /// Whether there may be ends that are too far away at `now`.
    #[inline]
    pub(in crate::queue) fn is_ahead(&self, now: Time) -> bool {
        now < self.restamping.latest || self.is_restamping()
    }

    /// Whether ends are being looked at.
    #[inline]
    pub(in crate::queue) fn is_restamping(&self) -> bool {
        self.restamping.work.under_way.is_some()
    }

    /// The end to look at next, while there may be one that is too far away at `now`. None once all
    /// have been looked at. What is set anew meanwhile is not too far away, wherever it is.
    pub(in crate::queue) fn next_to_restamp(&mut self, now: Time) -> Option<Timer> {
        if !self.is_ahead(now) {
            return None;
        }
        let first = Timer {
            time: now,
            what: Timed::Registration(ModeratorSlot::default()),
        };
        // Set back once more: from the start.
        let under_way = self.restamping.work.under_way;
        let under_way = under_way.filter(|(since, _)| now >= *since);
        let (since, last) = under_way.unwrap_or((now, first));
        let mut rest = self.timers.iter_from(self.timers.rank(last, |timer| timer));
        let next = rest.find(|timer| *timer > last);
        match next {
            Some(next) => self.restamping.work.get_mut().under_way = Some((since, next)),
            None => {
                self.restamping.work = OnDemand::default();
                self.restamping.latest = now;
            }
        }
        next
    }

    /// When something ends at the latest at `now`, by how long it was asked to last. None if it is
    /// not there.
    pub(in crate::queue) fn latest_end(&self, what: Timed, now: Time) -> Option<Time> {
        let span = match what {
            Timed::Registration(moderator) => self.moderators[moderator].profile.as_ref()?.ttl,
            Timed::Deadline(_, slot) | Timed::Due(_, slot) => self.span(slot)?,
        };
        Some(now + span)
    }

    /// How long the lock or delay of an item was asked to last.
    fn span(&self, slot: ItemSlot) -> Option<Millis> {
        let kept = self.spans.get(&slot).copied();
        kept.or_else(|| self.plain_span(slot))
    }

    /// How long it was asked to last if its stamps tell.
    fn plain_span(&self, slot: ItemSlot) -> Option<Millis> {
        let item = &self.items[slot];
        match item.state {
            State::Locked => self.lock(slot).map(|lock| lock.deadline.since(lock.at)),
            State::Delayed => {
                let due = self.rare(slot)?.due?;
                Some(due.since(item.submitted()))
            }
            State::Ready | State::Dead => None,
        }
    }

    /// Something that ends was set at `now`.
    #[inline]
    pub(in crate::queue) fn note_set(&mut self, now: Time) {
        self.restamping.latest = self.restamping.latest.max(now);
    }

    /// A lock or delay that the item has entered, or a new end of it, was set at `now`.
    pub(super) fn set_span(&mut self, slot: ItemSlot, end: Time, now: Time) {
        self.note_set(now);
        self.keep_span(slot, end.since(now));
    }

    /// The lock or delay of an item was asked to last so long. Kept if its stamps say otherwise.
    fn keep_span(&mut self, slot: ItemSlot, span: Millis) {
        if self.plain_span(slot) == Some(span) {
            self.forget_span(slot);
        } else {
            self.spans.insert(slot, span);
        }
    }

    /// The lock or delay of an item is over.
    #[inline]
    pub(super) fn forget_span(&mut self, slot: ItemSlot) {
        if !self.spans.is_empty() {
            self.spans.remove(&slot);
        }
    }

    /// For saving: how long the lock or delay of an item was asked to last, if its stamps do not tell.
    pub(super) fn span_to_save(&self, slot: ItemSlot) -> Option<Millis> {
        self.spans.get(&slot).copied()
    }

    /// For loading: the same. Its item may come later.
    pub(super) fn load_span(&mut self, seq: Seq, span: Millis) {
        self.restamping.work.get_mut().loaded.push((seq, span));
    }

    /// After loading: gives items their spans, and finds out when the latest of all ends was set.
    pub(super) fn finish_spans(&mut self) -> Result<(), DecodeError> {
        for (seq, span) in std::mem::take(&mut self.restamping.work).take().loaded {
            let slot = self.by_seq.get(seq, |s| self.items[s].seq());
            let slot = slot.ok_or(DecodeError)?;
            let plain = self.plain_span(slot).ok_or(DecodeError)?;
            if plain == span || self.spans.insert(slot, span).is_some() {
                return Err(DecodeError);
            }
        }
        let set = self.timers.iter().filter_map(|timer| {
            let span = self.latest_end(timer.what, Time::EPOCH)?;
            timer.time.checked_sub(span.since(Time::EPOCH))
        });
        self.restamping.latest = set.max().unwrap_or_default();
        Ok(())
    }
}
