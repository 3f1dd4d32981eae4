//! The queue as the specification words it: lists, searched from the front. Slow and plain.

use super::*;
use crate::queue::stats::Histogram;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldLock {
    pub moderator: String,
    pub token: u64,
    pub deadline: u64,
    pub at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Ready,
    Delayed,
    Dead,
    Locked(HeldLock),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelItem {
    pub id: String,
    pub payload: String,
    pub priority: i32,
    pub boost: i64,
    pub submitted: u64,
    pub seq: u64,
    pub rev: u64,
    pub reports: u32,
    pub deliveries: u32,
    pub expiries: u32,
    pub due: u64,
    pub tags: Vec<String>,
    /// And whether by SKIP.
    pub excluded: Vec<(String, bool)>,
    pub phase: Phase,
    /// Token and time of the last lock, if it ended by its deadline and may still decide.
    pub late: Option<(u64, u64)>,
}

#[derive(Debug, Clone)]
pub(super) struct Registered {
    pub name: String,
    pub ttl: u64,
    pub expires: u64,
    pub count: u64,
    pub tags: Vec<String>,
    /// In line: since, and who came first of those.
    pub place: Option<Place>,
    /// When a blocked call of theirs ended.
    pub seen: u64,
}

/// A client that waits in a blocked CLAIM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelCall {
    pub id: u64,
    pub moderator: String,
    /// None: those joined with.
    pub tags: Option<Vec<String>>,
    pub lock: Option<u64>,
    pub new_only: bool,
    pub place: Place,
}

/// A blocked call that is to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelAnswer {
    pub call: u64,
    pub item: String,
    pub token: u64,
    /// If by a match: where the moderator stood by JOIN.
    pub undo: Option<Option<Place>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Claim,
    Match,
    Assign,
}

#[derive(Debug, Default)]
pub(super) struct Totals {
    pub submitted: u64,
    pub moved_in: u64,
    pub moved_out: u64,
    pub resolved: u64,
    pub cancelled: u64,
    pub released: u64,
    pub expired: u64,
    pub died: u64,
    pub wait: Histogram,
    pub handle: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub item: String,
    pub moderator: String,
    pub token: u64,
    pub assign: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub item: String,
    pub payload: String,
    pub token: u64,
    pub deadline: u64,
    pub priority: i32,
    pub submitted: u64,
    pub deliveries: u32,
    pub rev: u64,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub settings: Settings,
    pub paused_in: bool,
    pub paused_out: bool,
    pub items: Vec<ModelItem>,
    pub registered: Vec<Registered>,
    /// The first to come first.
    pub calls: Vec<ModelCall>,
    pub totals: Totals,
    pub last_token: u64,
    /// What was handed out since this was last emptied.
    pub given: Vec<Given>,
    /// What blocked calls were answered since this was last emptied.
    pub answers: Vec<ModelAnswer>,
    pub last_stamp: u64,
    next_seq: u64,
    next_tie: u64,
    last_since: u64,
    /// PAUSE or CONFIGURE may have made matches possible; the next tick makes them.
    pub rematch: bool,
}

/// Each once, in the order given.
fn once(all: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for one in all {
        if !out.contains(one) {
            out.push(one.clone());
        }
    }
    out
}

impl Model {
    /// A stamp never runs backwards.
    fn stamp(&mut self, now: Now) -> u64 {
        self.last_stamp = self.last_stamp.max(now.ms);
        self.last_stamp
    }

    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.items.iter().position(|i| i.id == id)
    }

    pub(super) fn item(&self, id: &str) -> Option<&ModelItem> {
        self.items.iter().find(|i| i.id == id)
    }

    pub(super) fn lock(&self, id: &str) -> Option<&HeldLock> {
        match self.item(id).map(|i| &i.phase) {
            Some(Phase::Locked(lock)) => Some(lock),
            _ => None,
        }
    }

    pub(super) fn registration(&self, name: &str) -> Option<&Registered> {
        self.registered.iter().find(|r| r.name == name)
    }

    /// Smaller goes first.
    pub(super) fn order(&self, item: &ModelItem) -> (i128, i128, u64) {
        let priority = i128::from(item.priority);
        let age = i128::from(item.submitted) - i128::from(item.boost);
        match self.settings.aging {
            0 => (-priority, age, item.seq),
            aging => (0, age - priority * i128::from(aging), item.seq),
        }
    }

    pub(super) fn in_order(&self, which: impl Fn(&ModelItem) -> bool) -> Vec<String> {
        let mut all: Vec<&ModelItem> = self.items.iter().filter(|i| which(i)).collect();
        all.sort_by_key(|i| self.order(i));
        all.iter().map(|i| i.id.clone()).collect()
    }

    pub(super) fn ready(&self) -> Vec<String> {
        self.in_order(|i| i.phase == Phase::Ready)
    }

    /// Ready items that a moderator who offers `tags` may take, capacity and pause aside.
    pub(super) fn ready_for(&self, moderator: &str, tags: &[String]) -> Vec<String> {
        self.in_order(|i| {
            i.phase == Phase::Ready
                && i.tags.iter().all(|t| tags.contains(t))
                && i.excluded.iter().all(|(m, _)| m != moderator)
        })
    }

    /// Where a moderator stands: the earliest of their reasons to wait.
    pub(super) fn place_of(&self, moderator: &str) -> Option<Place> {
        let joined = self.registration(moderator).and_then(|r| r.place);
        let calls = self.calls.iter().filter(|c| c.moderator == moderator);
        joined.into_iter().chain(calls.map(|c| c.place)).min()
    }

    fn places(&self) -> Vec<(Place, String)> {
        let registered = self.registered.iter().map(|r| &r.name);
        let names = registered.chain(self.calls.iter().map(|c| &c.moderator));
        let mut all: Vec<(Place, String)> = names
            .filter_map(|name| Some((self.place_of(name)?, name.clone())))
            .collect();
        all.sort();
        all.dedup();
        all
    }

    pub(super) fn line(&self) -> Vec<String> {
        self.places().into_iter().map(|(_, name)| name).collect()
    }

    /// The tag sets a moderator in line offers.
    pub(super) fn offers(&self, moderator: &str) -> Vec<Vec<String>> {
        let registered = self.registration(moderator);
        let joined = registered.filter(|r| r.place.is_some());
        let calls = self.calls.iter().filter(|c| c.moderator == moderator);
        joined
            .map(|r| r.tags.clone())
            .into_iter()
            .chain(calls.map(|c| self.tags_of(moderator, c.tags.as_deref())))
            .collect()
    }

    /// The first item a moderator in line may take.
    fn offer(&self, moderator: &str) -> Option<String> {
        if self.paused_out || !self.has_capacity(moderator) {
            return None;
        }
        let sets = self.offers(moderator);
        let first = |set: &Vec<String>| self.ready_for(moderator, set).into_iter().next();
        let firsts: Vec<String> = sets.iter().filter_map(first).collect();
        self.in_order(|i| firsts.contains(&i.id)).into_iter().next()
    }

    /// A place for somebody who comes now: behind everyone.
    pub(super) fn end_of_line(&self, now: Now) -> Place {
        let since = self.last_since.max(self.last_stamp).max(now.ms);
        (since, self.next_tie)
    }

    fn note_place(&mut self, place: Option<Place>) {
        if let Some((since, tie)) = place {
            self.last_since = self.last_since.max(since);
            self.next_tie = self.next_tie.max(tie + 1);
        }
    }

    /// The locks of a moderator, lowest token first.
    pub(super) fn held(&self, moderator: &str) -> Vec<Row> {
        let mut rows: Vec<Row> = self
            .items
            .iter()
            .filter(|i| matches!(&i.phase, Phase::Locked(l) if l.moderator == moderator))
            .map(|i| self.row(&i.id))
            .collect();
        rows.sort_by_key(|r| r.token);
        rows
    }

    fn row(&self, id: &str) -> Row {
        let item = self.item(id).expect("there");
        let lock = self.lock(id).expect("locked");
        Row {
            item: item.id.clone(),
            payload: item.payload.clone(),
            token: lock.token,
            deadline: lock.deadline,
            priority: item.priority,
            submitted: item.submitted,
            deliveries: item.deliveries,
            rev: item.rev,
        }
    }

    fn has_capacity(&self, moderator: &str) -> bool {
        let capacity = self.settings.capacity;
        capacity == 0 || (self.held(moderator).len() as u64) < capacity
    }

    pub(super) fn tags_of(&self, moderator: &str, given: Option<&[String]>) -> Vec<String> {
        match (given, self.registration(moderator)) {
            (Some(tags), _) => tags.to_vec(),
            (None, Some(registered)) => registered.tags.clone(),
            (None, None) => Vec::new(),
        }
    }

    fn give(&mut self, id: &str, moderator: &str, ms: Option<u64>, how: How, now: Now) -> u64 {
        let at = self.stamp(now);
        let token = now.us.max(self.last_token + 1);
        self.last_token = token;
        let deadline = now.ms + ms.unwrap_or(self.settings.lock);
        let index = self.find(id).expect("there");
        let item = &mut self.items[index];
        if item.deliveries == 0 {
            let since = item.submitted.max(item.due);
            self.totals.wait.record(at.saturating_sub(since));
        }
        item.deliveries += 1;
        item.late = None;
        item.phase = Phase::Locked(HeldLock {
            moderator: moderator.into(),
            token,
            deadline,
            at,
        });
        let joined = self.registration(moderator).and_then(|r| r.place);
        self.served(moderator);
        for call in self.answered(moderator, how != How::Claim) {
            self.hang_up(now, call.id);
            self.answers.push(ModelAnswer {
                call: call.id,
                item: id.into(),
                token,
                undo: (how == How::Match).then_some(joined),
            });
        }
        token
    }

    fn served(&mut self, moderator: &str) {
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

    fn hand_to(&mut self, id: &str, moderator: &str, ms: Option<u64>, how: How, now: Now) -> u64 {
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
    fn settle(&mut self, now: Now) {
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
    fn rematch(&mut self, now: Now) {
        let mut from = (0, 0);
        while let Some((place, moderator)) = self.places().into_iter().find(|(p, _)| *p >= from) {
            match self.offer(&moderator) {
                Some(id) => {
                    self.serve(&id, &moderator, now);
                    from = place;
                }
                None => from = (place.0, place.1 + 1),
            }
        }
        self.rematch = false;
    }

    // ---- blocked calls ----

    pub(super) fn block(&mut self, call: ModelCall) {
        self.note_place(Some(call.place));
        self.calls.push(call);
        self.calls.sort_by_key(|c| c.id);
    }

    /// A blocked call ends.
    pub(super) fn hang_up(&mut self, now: Now, call: u64) -> bool {
        let Some(index) = self.calls.iter().position(|c| c.id == call) else {
            return false;
        };
        let moderator = self.calls.remove(index).moderator;
        for r in &mut self.registered {
            if r.name == moderator {
                r.seen = r.seen.max(now.ms);
            }
        }
        true
    }

    /// The queue hears anew of who waits for its name.
    pub(super) fn attach(&mut self, now: Now, calls: &[ModelCall]) {
        for call in self.calls.clone() {
            self.hang_up(now, call.id);
        }
        for call in calls {
            self.block(call.clone());
        }
        self.rematch = true;
    }

    /// A match that reached nobody is taken back.
    pub(super) fn undo(&mut self, now: Now, id: &str, token: u64, place: Option<Place>) -> bool {
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
            let since = item.submitted.max(item.due);
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
    pub(super) fn reload(&mut self) {
        self.calls.clear();
        (self.last_since, self.next_tie) = (0, 0);
        for r in self.registered.clone() {
            self.note_place(r.place);
        }
        self.registered.iter_mut().for_each(|r| r.seen = 0);
        self.rematch = true;
    }

    /// When the next thing happens by the clock.
    pub(super) fn next_time(&self) -> Option<u64> {
        let items = self.items.iter().filter_map(|i| match &i.phase {
            Phase::Locked(lock) => Some(lock.deadline),
            Phase::Delayed => Some(i.due),
            _ => None,
        });
        items.chain(self.registered.iter().map(|r| r.expires)).min()
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        if self.rematch && !self.line().is_empty() {
            return Some(0);
        }
        self.next_time()
    }

    pub(super) fn advance(&mut self, now: Now) {
        if self.rematch {
            self.rematch(now);
        }
        while let Some(time) = self.next_time().filter(|t| *t <= now.ms) {
            if let Some(over) = self.registered.iter().position(|r| r.expires == time) {
                let r = &mut self.registered[over];
                // A blocked call is a sign of life while it lasts.
                if self.calls.iter().any(|c| c.moderator == r.name) {
                    r.seen = now.ms;
                }
                r.expires = r.seen + r.ttl;
                r.seen = 0;
                if r.expires <= now.ms {
                    self.registered.remove(over);
                }
                self.stamp(now);
                continue;
            }
            let first = self.in_order(|i| match &i.phase {
                Phase::Locked(lock) => lock.deadline == time,
                Phase::Delayed => i.due == time,
                _ => false,
            });
            let index = self.find(&first[0]).expect("there");
            self.stamp(now);
            let max = self.settings.max_expiries;
            let item = &mut self.items[index];
            if let Phase::Locked(lock) = &item.phase {
                item.late = Some((lock.token, lock.at));
                item.expiries += 1;
                self.totals.expired += 1;
                if max > 0 && u64::from(item.expiries) >= max {
                    self.totals.died += 1;
                    item.phase = Phase::Dead;
                } else {
                    item.phase = Phase::Ready;
                }
            } else {
                item.phase = Phase::Ready;
            }
            self.settle(now);
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn submit(
        &mut self,
        now: Now,
        id: &str,
        payload: &str,
        priority: Option<i32>,
        boost: Option<i64>,
        delay: u64,
        tags: Option<Vec<String>>,
        excluded: Option<Vec<String>>,
        on_duplicate: OnDuplicate,
    ) -> Result<Submitted, Error> {
        if self.paused_in {
            return Err(Error::Paused);
        }
        if let Some(index) = self.find(id) {
            let item = &mut self.items[index];
            let reply = match on_duplicate {
                OnDuplicate::Keep => return Ok(Submitted::Exists),
                OnDuplicate::Error => return Err(Error::Exists),
                OnDuplicate::Bump => {
                    item.reports += 1;
                    item.priority = item.priority.max(priority.unwrap_or(i32::MIN));
                    item.boost = item.boost.max(boost.unwrap_or(i64::MIN));
                    Submitted::Bumped
                }
                OnDuplicate::Replace => {
                    item.payload = payload.into();
                    item.late = None;
                    item.priority = priority.unwrap_or(item.priority);
                    item.boost = boost.unwrap_or(item.boost);
                    if let Some(tags) = tags {
                        item.tags = once(&tags);
                    }
                    if let Some(excluded) = excluded {
                        exclude(item, &excluded);
                    }
                    Submitted::Replaced
                }
            };
            item.rev += 1;
            if item.phase == Phase::Dead {
                item.phase = Phase::Ready;
                item.expiries = 0;
            }
            self.stamp(now);
            self.settle(now);
            return Ok(reply);
        }
        if self.settings.max_len > 0 && self.items.len() as u64 >= self.settings.max_len {
            return Err(Error::Full);
        }
        let submitted = self.stamp(now);
        let seq = self.next_seq();
        self.items.push(ModelItem {
            id: id.into(),
            payload: payload.into(),
            priority: priority.unwrap_or(0),
            boost: boost.unwrap_or(0),
            submitted,
            seq,
            rev: 1,
            reports: 1,
            deliveries: 0,
            expiries: 0,
            due: if delay > 0 { now.ms + delay } else { 0 },
            tags: once(&tags.unwrap_or_default()),
            excluded: once(&excluded.unwrap_or_default())
                .into_iter()
                .map(|m| (m, false))
                .collect(),
            phase: if delay > 0 {
                Phase::Delayed
            } else {
                Phase::Ready
            },
            late: None,
        });
        self.totals.submitted += 1;
        if delay > 0 {
            return Ok(Submitted::Delayed);
        }
        self.settle(now);
        Ok(match self.lock(id) {
            Some(_) => Submitted::Assigned,
            None => Submitted::Ready,
        })
    }

    fn next_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    pub(super) fn cancel(&mut self, now: Now, id: &str, rev: Option<u64>) -> bool {
        let Some(index) = self.find(id) else {
            return false;
        };
        if rev.is_some_and(|rev| rev != self.items[index].rev) {
            return false;
        }
        self.stamp(now);
        self.items.remove(index);
        self.totals.cancelled += 1;
        self.settle(now);
        true
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn update(
        &mut self,
        now: Now,
        id: &str,
        rev: Option<u64>,
        priority: Option<i32>,
        boost: Option<i64>,
        payload: Option<String>,
        tags: Option<Vec<String>>,
        excluded: Option<Vec<String>>,
    ) -> Result<Option<u64>, Error> {
        let index = self.find(id).ok_or(Error::NoItem)?;
        let item = &mut self.items[index];
        if rev.is_some_and(|rev| rev != item.rev) {
            return Ok(None);
        }
        let before = item.clone();
        item.priority = priority.unwrap_or(item.priority);
        item.boost = boost.unwrap_or(item.boost);
        if let Some(payload) = payload.filter(|p| *p != before.payload) {
            item.payload = payload;
            item.late = None;
        }
        if let Some(tags) = tags {
            item.tags = once(&tags);
        }
        if let Some(excluded) = excluded {
            exclude(item, &excluded);
        }
        // What is set to what it is already is no change.
        if *item == before {
            return Ok(Some(before.rev));
        }
        item.rev += 1;
        self.stamp(now);
        self.settle(now);
        Ok(Some(before.rev + 1))
    }

    pub(super) fn claim(
        &mut self,
        now: Now,
        moderator: &str,
        count: usize,
        lock: Option<u64>,
        tags: Option<&[String]>,
        new_only: bool,
    ) -> Vec<Row> {
        let mut rows = Vec::new();
        if !new_only {
            rows = self.held(moderator);
            rows.truncate(count);
        }
        let tags = self.tags_of(moderator, tags);
        while rows.len() < count && !self.paused_out && self.has_capacity(moderator) {
            let Some(id) = self.ready_for(moderator, &tags).into_iter().next() else {
                break;
            };
            self.give(&id, moderator, lock, How::Claim, now);
            rows.push(self.row(&id));
        }
        let joined = self.registration(moderator).and_then(|r| r.place);
        if !rows.is_empty() && joined.is_some() {
            self.stamp(now);
            self.served(moderator);
        }
        rows
    }

    fn live(&self, index: usize, token: u64) -> Result<HeldLock, Error> {
        match &self.items[index].phase {
            Phase::Locked(lock) if lock.token == token => Ok(lock.clone()),
            _ => Err(Error::Stale),
        }
    }

    pub(super) fn resolve(
        &mut self,
        now: Now,
        id: &str,
        token: u64,
        rev: Option<u64>,
    ) -> Result<(), Error> {
        let index = self.find(id).ok_or(Error::NoItem)?;
        let late = self.items[index]
            .late
            .filter(|(t, _)| *t == token && self.settings.late_accept);
        let started = match (self.live(index, token), late) {
            (Ok(lock), _) => lock.at,
            (Err(_), Some((_, at))) => at,
            (Err(error), None) => return Err(error),
        };
        if rev.is_some_and(|rev| rev != self.items[index].rev) {
            return Err(Error::Changed);
        }
        let at = self.stamp(now);
        self.totals.handle.record(at - started);
        self.totals.resolved += 1;
        self.items.remove(index);
        self.settle(now);
        Ok(())
    }

    pub(super) fn release(
        &mut self,
        now: Now,
        id: &str,
        token: u64,
        skip: bool,
        delay: u64,
    ) -> Result<(), Error> {
        let index = self.find(id).ok_or(Error::NoItem)?;
        let lock = self.live(index, token)?;
        let item = &mut self.items[index];
        if skip {
            match item.excluded.iter_mut().find(|(m, _)| *m == lock.moderator) {
                Some((_, skipped)) => *skipped = true,
                None => item.excluded.push((lock.moderator, true)),
            }
        }
        item.phase = Phase::Ready;
        if delay > 0 {
            item.phase = Phase::Delayed;
            item.due = now.ms + delay;
        }
        self.totals.released += 1;
        self.stamp(now);
        self.settle(now);
        Ok(())
    }

    pub(super) fn extend(&mut self, now: Now, id: &str, token: u64, ms: u64) -> Result<u64, Error> {
        let index = self.find(id).ok_or(Error::NoItem)?;
        self.live(index, token)?;
        self.stamp(now);
        if let Phase::Locked(lock) = &mut self.items[index].phase {
            lock.deadline = now.ms + ms;
        }
        Ok(now.ms + ms)
    }

    pub(super) fn join(
        &mut self,
        now: Now,
        moderator: &str,
        ttl: Option<u64>,
        count: Option<u64>,
        tags: Option<Vec<String>>,
    ) -> Joined {
        let old = self.registration(moderator).cloned();
        let old = old.as_ref();
        let ttl = ttl.or(old.map(|r| r.ttl)).unwrap_or(30_000);
        let count = count.or(old.map(|r| r.count)).unwrap_or(1);
        let tags = tags.or(old.map(|r| r.tags.clone())).unwrap_or_default();
        let enough = self.held(moderator).len() as u64 >= count;
        let place = match old.and_then(|r| r.place) {
            _ if enough => None,
            Some(place) => Some(place),
            None => Some(self.end_of_line(now)),
        };
        self.note_place(place);
        self.stamp(now);
        self.registered.retain(|r| r.name != moderator);
        self.registered.push(Registered {
            name: moderator.into(),
            ttl,
            expires: now.ms + ttl,
            count,
            tags: once(&tags),
            place,
            seen: 0,
        });
        let before = self.held(moderator).len();
        self.settle(now);
        if enough || self.held(moderator).len() > before {
            Joined::Assigned
        } else {
            Joined::Waiting
        }
    }

    pub(super) fn leave(&mut self, now: Now, moderator: &str, release: bool) -> bool {
        let was_in_line = self.line().iter().any(|m| m == moderator);
        if self.registration(moderator).is_some() {
            self.stamp(now);
            self.registered.retain(|r| r.name != moderator);
        }
        if release {
            for row in self.held(moderator) {
                self.release(now, &row.item, row.token, false, 0)
                    .expect("their own lock");
            }
        }
        was_in_line
    }

    pub(super) fn assign(
        &mut self,
        now: Now,
        id: &str,
        moderator: &str,
        lock: Option<u64>,
    ) -> Result<u64, Error> {
        let index = self.find(id).ok_or(Error::NoItem)?;
        let item = &self.items[index];
        if matches!(item.phase, Phase::Locked(_)) {
            return Err(Error::Locked);
        }
        if item.excluded.iter().any(|(m, _)| m == moderator) {
            return Err(Error::Excluded);
        }
        Ok(self.hand_to(id, moderator, lock, How::Assign, now))
    }

    pub(super) fn pause(&mut self, now: Now, input: bool, output: bool) {
        if (self.paused_in, self.paused_out) != (input, output) {
            self.stamp(now);
            (self.paused_in, self.paused_out) = (input, output);
            self.rematch = true;
        }
    }

    pub(super) fn revive(&mut self, now: Now, id: &str) -> bool {
        let Some(index) = self.find(id) else {
            return false;
        };
        let item = &mut self.items[index];
        if item.phase != Phase::Dead {
            return false;
        }
        item.phase = Phase::Ready;
        item.expiries = 0;
        self.stamp(now);
        self.settle(now);
        true
    }

    pub(super) fn revive_all(&mut self, now: Now, count: usize) -> usize {
        let mut dead: Vec<(u64, String)> = self
            .items
            .iter()
            .filter(|i| i.phase == Phase::Dead)
            .map(|i| (i.seq, i.id.clone()))
            .collect();
        dead.sort();
        dead.truncate(count);
        dead.iter().filter(|(_, id)| self.revive(now, id)).count()
    }

    pub(super) fn configure(&mut self, now: Now, settings: Settings) -> Result<(), Error> {
        if settings.aging != self.settings.aging && !self.items.is_empty() {
            return Err(Error::AgingInUse);
        }
        self.stamp(now);
        self.settings = settings;
        self.rematch = true;
        Ok(())
    }

    pub(super) fn move_to(
        &mut self,
        now: Now,
        to: &mut Model,
        id: &str,
        token: Option<u64>,
        priority: Option<i32>,
    ) -> Result<(), Error> {
        let index = self.find(id).ok_or(Error::NoItem)?;
        match (&self.items[index].phase, token) {
            (Phase::Locked(lock), Some(token)) if lock.token == token => {}
            (Phase::Locked(_), None) => return Err(Error::Locked),
            (_, Some(_)) => return Err(Error::Stale),
            (_, None) => {}
        }
        if to.find(id).is_some() {
            return Err(Error::Exists);
        }
        if to.settings.max_len > 0 && to.items.len() as u64 >= to.settings.max_len {
            return Err(Error::Full);
        }
        self.stamp(now);
        to.stamp(now);
        to.last_stamp = to.last_stamp.max(self.items[index].submitted);
        let mut item = self.items.remove(index);
        item.priority = priority.unwrap_or(item.priority);
        item.rev += 1;
        item.expiries = 0;
        item.late = None;
        item.seq = to.next_seq();
        if item.phase != Phase::Delayed {
            item.phase = Phase::Ready;
        }
        to.items.push(item);
        to.last_token = to.last_token.max(self.last_token);
        self.totals.moved_out += 1;
        to.totals.moved_in += 1;
        to.settle(now);
        self.settle(now);
        Ok(())
    }
}

/// Who is named is excluded instead of who was named before; skips stay unless nobody is named.
fn exclude(item: &mut ModelItem, named: &[String]) {
    let skipped: Vec<String> = item
        .excluded
        .iter()
        .filter(|(_, skip)| *skip && !named.is_empty())
        .map(|(m, _)| m.clone())
        .collect();
    item.excluded = once(named)
        .into_iter()
        .chain(skipped.iter().filter(|m| !named.contains(m)).cloned())
        .map(|m| (m.clone(), skipped.contains(&m)))
        .collect();
}
