//! The queue as the specification words it: lists, searched from the front. Slow and plain.

use super::*;
use crate::queue::stats::Histogram;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLock {
    pub moderator: String,
    pub token: u64,
    pub deadline: u64,
    pub at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    Ready,
    Delayed,
    Dead,
    Locked(HeldLock),
}

#[derive(Debug, Clone)]
pub struct ModelItem {
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
pub struct Registered {
    pub name: String,
    pub ttl: u64,
    pub expires: u64,
    pub count: u64,
    pub tags: Vec<String>,
    /// In line: since, and who came first of those.
    pub place: Option<(u64, u64)>,
}

#[derive(Debug, Default)]
pub struct Totals {
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
pub struct Given {
    pub item: String,
    pub moderator: String,
    pub token: u64,
    pub assign: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
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
pub struct Model {
    pub settings: Settings,
    pub paused_in: bool,
    pub paused_out: bool,
    pub items: Vec<ModelItem>,
    pub registered: Vec<Registered>,
    pub totals: Totals,
    pub last_token: u64,
    /// What was handed out since this was last emptied.
    pub given: Vec<Given>,
    pub last_stamp: u64,
    next_seq: u64,
    next_tie: u64,
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

    pub fn find(&self, id: &str) -> Option<usize> {
        self.items.iter().position(|i| i.id == id)
    }

    pub fn item(&self, id: &str) -> Option<&ModelItem> {
        self.items.iter().find(|i| i.id == id)
    }

    pub fn lock(&self, id: &str) -> Option<&HeldLock> {
        match self.item(id).map(|i| &i.phase) {
            Some(Phase::Locked(lock)) => Some(lock),
            _ => None,
        }
    }

    pub fn registration(&self, name: &str) -> Option<&Registered> {
        self.registered.iter().find(|r| r.name == name)
    }

    /// Smaller goes first.
    pub fn order(&self, item: &ModelItem) -> (i128, i128, u64) {
        let priority = i128::from(item.priority);
        let age = i128::from(item.submitted) - i128::from(item.boost);
        match self.settings.aging {
            0 => (-priority, age, item.seq),
            aging => (0, age - priority * i128::from(aging), item.seq),
        }
    }

    pub fn in_order(&self, which: impl Fn(&ModelItem) -> bool) -> Vec<String> {
        let mut all: Vec<&ModelItem> = self.items.iter().filter(|i| which(i)).collect();
        all.sort_by_key(|i| self.order(i));
        all.iter().map(|i| i.id.clone()).collect()
    }

    pub fn ready(&self) -> Vec<String> {
        self.in_order(|i| i.phase == Phase::Ready)
    }

    /// Ready items that a moderator who offers `tags` may take, capacity and pause aside.
    pub fn ready_for(&self, moderator: &str, tags: &[String]) -> Vec<String> {
        self.in_order(|i| {
            i.phase == Phase::Ready
                && i.tags.iter().all(|t| tags.contains(t))
                && i.excluded.iter().all(|(m, _)| m != moderator)
        })
    }

    pub fn line(&self) -> Vec<String> {
        let mut all: Vec<_> = self
            .registered
            .iter()
            .filter_map(|r| Some((r.place?, r.name.clone())))
            .collect();
        all.sort();
        all.into_iter().map(|(_, name)| name).collect()
    }

    /// The locks of a moderator, lowest token first.
    pub fn held(&self, moderator: &str) -> Vec<Row> {
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

    pub fn tags_of(&self, moderator: &str, given: Option<&[String]>) -> Vec<String> {
        match (given, self.registration(moderator)) {
            (Some(tags), _) => tags.to_vec(),
            (None, Some(registered)) => registered.tags.clone(),
            (None, None) => Vec::new(),
        }
    }

    fn give(&mut self, id: &str, moderator: &str, ms: Option<u64>, now: Now) -> u64 {
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
        for r in &mut self.registered {
            if r.name == moderator {
                r.place = None;
            }
        }
        token
    }

    fn hand_to(
        &mut self,
        id: &str,
        moderator: &str,
        ms: Option<u64>,
        assign: bool,
        now: Now,
    ) -> u64 {
        let token = self.give(id, moderator, ms, now);
        self.given.push(Given {
            item: id.into(),
            moderator: moderator.into(),
            token,
            assign,
        });
        token
    }

    /// The first item in order that anyone in line may take goes to the first in line who may.
    fn settle(&mut self, now: Now) {
        'again: loop {
            if self.paused_out {
                return;
            }
            for id in self.ready() {
                for moderator in self.line() {
                    let tags = self.tags_of(&moderator, None);
                    let may = self.ready_for(&moderator, &tags).contains(&id);
                    if may && self.has_capacity(&moderator) {
                        self.hand_to(&id, &moderator, None, false, now);
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
        for moderator in self.line() {
            let tags = self.tags_of(&moderator, None);
            let best = self.ready_for(&moderator, &tags).into_iter().next();
            if let (Some(id), false, true) = (best, self.paused_out, self.has_capacity(&moderator))
            {
                self.hand_to(&id, &moderator, None, false, now);
            }
        }
        self.rematch = false;
    }

    /// When the next thing happens by the clock.
    pub fn next_time(&self) -> Option<u64> {
        let items = self.items.iter().filter_map(|i| match &i.phase {
            Phase::Locked(lock) => Some(lock.deadline),
            Phase::Delayed => Some(i.due),
            _ => None,
        });
        items.chain(self.registered.iter().map(|r| r.expires)).min()
    }

    pub fn next_due(&self) -> Option<u64> {
        if self.rematch && !self.line().is_empty() {
            return Some(0);
        }
        self.next_time()
    }

    pub fn advance(&mut self, now: Now) {
        if self.rematch {
            self.rematch(now);
        }
        while let Some(time) = self.next_time().filter(|t| *t <= now.ms) {
            if let Some(gone) = self.registered.iter().position(|r| r.expires == time) {
                self.registered.remove(gone);
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
    pub fn submit(
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

    pub fn cancel(&mut self, now: Now, id: &str, rev: Option<u64>) -> bool {
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
    pub fn update(
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
        item.rev += 1;
        let rev = item.rev;
        item.priority = priority.unwrap_or(item.priority);
        item.boost = boost.unwrap_or(item.boost);
        if let Some(payload) = payload {
            item.payload = payload;
            item.late = None;
        }
        if let Some(tags) = tags {
            item.tags = once(&tags);
        }
        if let Some(excluded) = excluded {
            exclude(item, &excluded);
        }
        self.stamp(now);
        self.settle(now);
        Ok(Some(rev))
    }

    pub fn claim(
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
            self.give(&id, moderator, lock, now);
            rows.push(self.row(&id));
        }
        if !rows.is_empty() && self.line().iter().any(|m| m == moderator) {
            self.stamp(now);
            self.registered
                .iter_mut()
                .filter(|r| r.name == moderator)
                .for_each(|r| r.place = None);
        }
        rows
    }

    fn live(&self, index: usize, token: u64) -> Result<HeldLock, Error> {
        match &self.items[index].phase {
            Phase::Locked(lock) if lock.token == token => Ok(lock.clone()),
            _ => Err(Error::Stale),
        }
    }

    pub fn resolve(
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

    pub fn release(
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

    pub fn extend(&mut self, now: Now, id: &str, token: u64, ms: u64) -> Result<u64, Error> {
        let index = self.find(id).ok_or(Error::NoItem)?;
        self.live(index, token)?;
        self.stamp(now);
        if let Phase::Locked(lock) = &mut self.items[index].phase {
            lock.deadline = now.ms + ms;
        }
        Ok(now.ms + ms)
    }

    pub fn join(
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
        let since = self.stamp(now);
        let enough = self.held(moderator).len() as u64 >= count;
        let place = match old.and_then(|r| r.place) {
            _ if enough => None,
            Some(place) => Some(place),
            None => {
                self.next_tie += 1;
                Some((since, self.next_tie))
            }
        };
        self.registered.retain(|r| r.name != moderator);
        self.registered.push(Registered {
            name: moderator.into(),
            ttl,
            expires: now.ms + ttl,
            count,
            tags: once(&tags),
            place,
        });
        let before = self.held(moderator).len();
        self.settle(now);
        if enough || self.held(moderator).len() > before {
            Joined::Assigned
        } else {
            Joined::Waiting
        }
    }

    pub fn leave(&mut self, now: Now, moderator: &str, release: bool) -> bool {
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

    pub fn assign(
        &mut self,
        now: Now,
        id: &str,
        moderator: &str,
        lock: Option<u64>,
    ) -> Result<u64, Error> {
        let index = self.find(id).ok_or(Error::NoItem)?;
        let item = &self.items[index];
        if matches!(item.phase, Phase::Locked(_)) {
            return Err(Error::Stale);
        }
        if item.excluded.iter().any(|(m, _)| m == moderator) {
            return Err(Error::Excluded);
        }
        Ok(self.hand_to(id, moderator, lock, true, now))
    }

    pub fn pause(&mut self, now: Now, input: bool, output: bool) {
        if (self.paused_in, self.paused_out) != (input, output) {
            self.stamp(now);
            (self.paused_in, self.paused_out) = (input, output);
            self.rematch = true;
        }
    }

    pub fn revive(&mut self, now: Now, id: &str) -> bool {
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

    pub fn revive_all(&mut self, now: Now, count: usize) -> usize {
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

    pub fn configure(&mut self, now: Now, settings: Settings) -> Result<(), Error> {
        if settings.aging != self.settings.aging && !self.items.is_empty() {
            return Err(Error::AgingInUse);
        }
        self.stamp(now);
        self.settings = settings;
        self.rematch = true;
        Ok(())
    }

    pub fn move_to(
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
            (Phase::Locked(_), _) | (_, Some(_)) => return Err(Error::Stale),
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
