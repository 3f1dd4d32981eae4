//! What tests may see and set of the line, and nobody else.

use super::{BlockedCall, Line, ModeratorSlot, Place};
use crate::units::Time;
use std::collections::BTreeMap;

impl Line {
    /// The heap bytes that are counted, and the same found by looking at everything.
    pub(in crate::queue) fn counted_and_found(&self) -> (usize, usize) {
        let takers = self.takers.values().map(super::set_bytes);
        let calls = self.calls.values().map(super::calls::list_bytes);
        let standings = self.standings.values().map(super::Standing::heap_bytes);
        (self.heap, takers.chain(calls).chain(standings).sum())
    }

    /// The blocked calls of every moderator who has some.
    pub(in crate::queue) fn all_calls(&self) -> &BTreeMap<ModeratorSlot, Vec<BlockedCall>> {
        &self.calls
    }

    /// Who stands in line, as remembered for taking them out again.
    pub(in crate::queue) fn standing(&self) -> impl Iterator<Item = (Place, ModeratorSlot)> {
        self.standings.iter().map(|(m, s)| (s.place, *m))
    }

    /// When the last blocked call ended, of every moderator of whom it is known.
    pub(in crate::queue) fn all_last_calls_ended(&self) -> &BTreeMap<ModeratorSlot, Time> {
        &self.last_call_ended
    }

    /// Sets when the last blocked call of a moderator ended.
    pub(in crate::queue) fn set_last_call_ended(&mut self, moderator: ModeratorSlot, at: Time) {
        self.last_call_ended.insert(moderator, at);
    }

    /// Where catching up with matches has come to.
    pub(in crate::queue) fn sweep(&self) -> Option<(Place, ModeratorSlot)> {
        self.sweep
    }

    /// Has catching up with matches come to the first who stands at this place; none ends it.
    pub(in crate::queue) fn set_sweep(&mut self, place: Option<Place>) {
        self.sweep = place.map(|place| (place, ModeratorSlot::default()));
    }

    /// Sets the tie of the next place.
    pub(in crate::queue) fn set_next_tie(&mut self, tie: u64) {
        self.next_tie = tie;
    }
}
