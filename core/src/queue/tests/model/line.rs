//! The model's line: who waits, the match, blocked calls, and the clock.

use super::*;

impl Model {
    /// A place for somebody who comes now: behind everyone.
    pub(crate) fn end_of_line(&self, now: Now) -> Place {
        let since = self.last_since.max(self.last_stamp).max(now.time.0);
        Place {
            since: Time(since),
            tie: self.next_tie,
        }
    }

    pub(super) fn note_place(&mut self, place: Option<Place>) {
        if let Some(Place { since, tie }) = place {
            self.last_since = self.last_since.max(since.0);
            self.next_tie = self.next_tie.max(tie + 1);
        }
    }

    pub(super) fn give(
        &mut self,
        id: &str,
        moderator: &str,
        ms: Option<u64>,
        how: How,
        now: Now,
    ) -> u64 {
        let at = self.stamp(now);
        let token = now.token_floor.0.max(self.last_token + 1);
        self.last_token = token;
        let span = ms.unwrap_or(self.settings.lock.0);
        let deadline = now.time.0 + span;
        self.locks += 1;
        let nth = self.locks;
        let index = self.find(id).expect("there");
        let item = &mut self.items[index];
        if item.deliveries == 0 {
            let since = item.waiting_since();
            self.totals.wait.record(at.saturating_sub(since));
            self.totals.waits.record(at.saturating_sub(since));
        }
        item.deliveries += 1;
        item.late = None;
        item.phase = Phase::Locked(HeldLock {
            moderator: moderator.into(),
            token,
            deadline,
            span,
            at,
            nth,
        });
        let joined = self.registration(moderator).and_then(|r| r.place);
        self.served(moderator);
        for call in self.answered(moderator, how != How::Claim) {
            self.hang_up(now, call.id);
            self.answers.push(ModelAnswer {
                call: call.id,
                item: id.into(),
                token,
                undo: (how == How::Match).then_some(BeforeMatch { joined_at: joined }),
            });
        }
        token
    }

    pub(super) fn served(&mut self, moderator: &str) {
        for r in &mut self.registered {
            if r.name == moderator {
                r.place = None;
            }
        }
    }

    /// The blocked calls a new lock answers: those that do not insist on a new item; if all do,
    /// the most recent.
    fn answered(&self, moderator: &str, or_newest: bool) -> Vec<ModelCall> {
        let theirs = || self.calls.iter().filter(|c| c.moderator == moderator);
        let mut calls: Vec<ModelCall> = theirs().filter(|c| !c.new_only).cloned().collect();
        if calls.is_empty() && or_newest {
            calls.extend(theirs().next_back().cloned());
        }
        calls
    }

    pub(super) fn hand_to(
        &mut self,
        id: &str,
        moderator: &str,
        ms: Option<u64>,
        how: How,
        now: Now,
    ) -> u64 {
        let token = self.give(id, moderator, ms, how, now);
        self.given.push(Given {
            item: id.into(),
            moderator: moderator.into(),
            token,
            assign: how == How::Assign,
        });
        token
    }

    /// By a match: for as long as a call that it answers asks for.
    fn serve(&mut self, id: &str, moderator: &str, now: Now) {
        let answered = self.answered(moderator, true);
        let lock = answered.iter().find_map(|c| c.lock);
        self.hand_to(id, moderator, lock, How::Match, now);
    }

    /// The first item in order that anyone in line may take goes to the first in line who may.
    pub(super) fn settle(&mut self, now: Now) {
        'again: loop {
            if self.paused_out {
                return;
            }
            for id in self.ready() {
                for moderator in self.line() {
                    let sets = self.offers(&moderator);
                    let may = |set: &Vec<String>| self.ready_for(&moderator, set).contains(&id);
                    if sets.iter().any(may) && self.has_capacity(&moderator) {
                        self.serve(&id, &moderator, now);
                        continue 'again;
                    }
                }
            }
            return;
        }
    }

    /// The same pairs as `settle` (both sides rank the other alike, so there is one stable
    /// pairing), found by going along the line: that decides who gets the lower token.
    pub(super) fn go_along_line(&mut self, now: Now) {
        let mut from = Place::default();
        while let Some((place, moderator)) = self.places().into_iter().find(|(p, _)| *p >= from) {
            match self.offer(&moderator) {
                Some(id) => {
                    self.serve(&id, &moderator, now);
                    from = place;
                }
                None => {
                    from = Place {
                        tie: place.tie + 1,
                        ..place
                    }
                }
            }
        }
    }

    // ---- blocked calls ----

    pub(crate) fn block(&mut self, call: ModelCall) {
        self.note_place(Some(call.place));
        self.calls.push(call);
        self.calls.sort_by_key(|c| c.id);
    }

    /// A blocked call ends.
    pub(crate) fn hang_up(&mut self, now: Now, call: u64) -> bool {
        let Some(index) = self.calls.iter().position(|c| c.id == call) else {
            return false;
        };
        let moderator = self.calls.remove(index).moderator;
        for r in &mut self.registered {
            if r.name == moderator {
                r.seen = r.seen.max(now.time.0);
            }
        }
        true
    }

    /// The queue hears anew of who waits for its name.
    pub(crate) fn attach(&mut self, now: Now, calls: &[ModelCall]) {
        for call in self.calls.clone() {
            self.hang_up(now, call.id);
        }
        for call in calls {
            self.block(call.clone());
        }
        self.rematch = true;
    }

    /// A match that reached nobody is taken back.
    pub(crate) fn undo(&mut self, now: Now, id: &str, token: u64, place: Option<Place>) -> bool {
        let Some(index) = self.find(id) else {
            return false;
        };
        let item = &mut self.items[index];
        let Phase::Locked(lock) = item.phase.clone() else {
            return false;
        };
        if lock.token != token {
            return false;
        }
        item.phase = Phase::Ready;
        item.deliveries -= 1;
        if item.deliveries == 0 {
            let since = item.waiting_since();
            self.totals.wait.take_back(lock.at.saturating_sub(since));
        }
        let registered = self.registered.iter_mut();
        if let Some(r) = registered.into_iter().find(|r| r.name == lock.moderator) {
            if place.is_some() {
                r.place = place;
                self.note_place(place);
            }
        }
        self.stamp(now);
        self.settle(now);
        true
    }

    /// A new process has it: loaded, with nobody blocked.
    pub(crate) fn reload(&mut self) {
        self.calls.clear();
        (self.last_since, self.next_tie) = (0, 0);
        for r in self.registered.clone() {
            self.note_place(r.place);
        }
        self.registered.iter_mut().for_each(|r| r.seen = 0);
        self.rematch = true;
    }

    /// When the next thing happens by the clock.
    pub(crate) fn next_time(&self) -> Option<u64> {
        let items = self.items.iter().filter_map(|i| match &i.phase {
            Phase::Locked(lock) => Some(lock.deadline),
            Phase::Delayed => i.due,
            _ => None,
        });
        items.chain(self.registered.iter().map(|r| r.expires)).min()
    }

    pub(crate) fn next_due(&self) -> Option<Due> {
        if self.rematch && !self.line().is_empty() {
            return Some(Due::Now);
        }
        self.next_change().map(|time| Due::At(Time(time)))
    }

    /// Nothing lasts longer by the clock than was asked.
    fn restamp(&mut self, now: Now) {
        let now = now.time.0;
        for item in &mut self.items {
            match &mut item.phase {
                Phase::Locked(lock) => lock.deadline = lock.deadline.min(now + lock.span),
                Phase::Delayed => item.due = item.due.map(|due| due.min(now + item.delay)),
                _ => {}
            }
        }
        for r in &mut self.registered {
            r.seen = r.seen.min(now);
            r.expires = r.expires.min(now + r.ttl);
        }
    }

    pub(crate) fn advance(&mut self, now: Now) {
        self.restamp(now);
        if self.rematch {
            self.go_along_line(now);
            self.rematch = false;
        }
        while let Some(time) = self.next_time().filter(|t| *t <= now.time.0) {
            if let Some(over) = self.registered.iter().position(|r| r.expires == time) {
                self.registration_over(over, now);
                continue;
            }
            let first = self.in_order(|i| match &i.phase {
                Phase::Locked(lock) => lock.deadline == time,
                Phase::Delayed => i.due == Some(time),
                _ => false,
            });
            let index = self.find(&first[0]).expect("there");
            self.stamp(now);
            self.come_back(index);
            self.settle(now);
        }
        self.drop_records(now);
    }

    fn registration_over(&mut self, over: usize, now: Now) {
        let r = &mut self.registered[over];
        // A blocked call is a sign of life while it lasts.
        if self.calls.iter().any(|c| c.moderator == r.name) {
            r.seen = now.time.0;
        }
        r.expires = r.seen + r.ttl;
        r.seen = 0;
        if r.expires <= now.time.0 {
            self.registered.remove(over);
        }
        self.stamp(now);
    }

    /// A lock reached its deadline, or a delayed item came due.
    fn come_back(&mut self, index: usize) {
        let max = self.settings.max_expiries;
        let item = &mut self.items[index];
        if let Phase::Locked(lock) = &item.phase {
            item.late = Some(lock.clone());
            item.expiries += 1;
            self.totals.expired += 1;
            if max > 0 && u64::from(item.expiries) >= max {
                self.totals.died += 1;
                item.phase = Phase::Dead;
            } else {
                item.phase = item.back();
            }
        } else {
            item.phase = item.back();
        }
    }
}
