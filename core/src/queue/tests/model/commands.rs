//! The model's commands.

use super::*;

impl Model {
    pub(crate) fn submit(&mut self, now: Now, submit: &Submit<'_>) -> Result<Submitted, Error> {
        if self.paused_in {
            return Err(Error::Paused);
        }
        if let Some(index) = self.find(&text(submit.id)) {
            return self.submit_again(now, index, submit);
        }
        let Some(deciders) = self.submit_decided(now, submit)? else {
            return Ok(Submitted::Decided);
        };
        if self.settings.max_len > 0 && self.items.len() as u64 >= self.settings.max_len {
            return Err(Error::Full);
        }
        let submitted = self.stamp(now);
        let seq = self.next_seq();
        let (id, delay) = (text(submit.id), submit.delay.0);
        self.items.push(ModelItem {
            id: id.clone(),
            payload: text(submit.payload),
            priority: submit.priority.unwrap_or(0),
            boost: submit.boost.unwrap_or(0),
            submitted,
            seq,
            rev: 1,
            reports: 1,
            deliveries: 0,
            expiries: 0,
            due: (delay > 0).then_some(now.time.0 + delay),
            delay,
            tags: once(&strings(&submit.tags).unwrap_or_default()),
            excluded: once(&strings(&submit.excluded).unwrap_or_default())
                .into_iter()
                .map(|m| (m, false))
                .collect(),
            phase: if delay > 0 {
                Phase::Delayed
            } else {
                Phase::Ready
            },
            late: None,
            quorum: submit.quorum.unwrap_or(self.settings.quorum),
            votes: Vec::new(),
            contested: false,
            parked: false,
            added_tag: false,
            deciders,
            group: text(submit.group.unwrap_or_default()),
            since: None,
        });
        self.note_new(self.items.len() - 1);
        self.totals.submitted += 1;
        if delay > 0 {
            return Ok(Submitted::Delayed);
        }
        self.settle(now);
        Ok(match self.lock(&id) {
            Some(_) => Submitted::Assigned,
            None => Submitted::Ready,
        })
    }

    /// A SUBMIT of an id that is there.
    fn submit_again(
        &mut self,
        now: Now,
        index: usize,
        submit: &Submit<'_>,
    ) -> Result<Submitted, Error> {
        let (mut is_new, locks) = (false, self.locks);
        let item = &mut self.items[index];
        let was_contested = item.contested;
        let reply = match submit.on_duplicate {
            OnDuplicate::Keep => return Ok(Submitted::Exists),
            OnDuplicate::Error => return Err(Error::Exists),
            OnDuplicate::Bump => {
                item.reports += 1;
                item.priority = match submit.step {
                    Some(step) => item.priority.saturating_add(step),
                    None => item.priority.max(submit.priority.unwrap_or(i32::MIN)),
                };
                item.boost = item.boost.max(submit.boost.unwrap_or(i64::MIN));
                Submitted::Bumped
            }
            OnDuplicate::Replace => {
                let payload = text(submit.payload);
                is_new = payload != item.payload;
                if is_new {
                    item.void();
                    item.late = None;
                }
                item.payload = payload;
                item.priority = submit.priority.unwrap_or(item.priority);
                item.boost = submit.boost.unwrap_or(item.boost);
                if let Some(tags) = strings(&submit.tags) {
                    item.tags = once(&tags);
                    item.added_tag = false;
                }
                item.quorum = submit.quorum.unwrap_or(item.quorum);
                if let Some(excluded) = strings(&submit.excluded) {
                    exclude(item, &excluded);
                }
                if let Some(group) = submit.group {
                    item.put_into(group, locks);
                }
                Submitted::Replaced
            }
        };
        item.rev += 1;
        if item.phase == Phase::Dead && !item.contested {
            item.phase = Phase::Ready;
            item.expiries = 0;
        }
        debug_assert!(was_contested || !item.contested);
        if is_new {
            self.note_new(index);
        }
        self.stamp(now);
        if submit.on_duplicate == OnDuplicate::Replace && submit.quorum.is_some() {
            self.count_anew(now, index);
        }
        self.settle(now);
        Ok(reply)
    }

    fn next_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    pub(crate) fn cancel(&mut self, now: Now, id: &str, rev: Option<u64>) -> bool {
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

    pub(crate) fn update(
        &mut self,
        now: Now,
        id: &str,
        update: &Update<'_>,
    ) -> Result<Option<u64>, Error> {
        let index = self.find(id).ok_or(Error::NoItem)?;
        let locks = self.locks;
        let item = &mut self.items[index];
        if update.rev.is_some_and(|rev| rev != item.rev) {
            return Ok(None);
        }
        let before = item.clone();
        item.priority = update.priority.unwrap_or(item.priority);
        item.boost = update.boost.unwrap_or(item.boost);
        if let Some(payload) = update.payload.map(text).filter(|p| *p != before.payload) {
            item.payload = payload;
            item.late = None;
            if item.contested && item.phase == Phase::Dead {
                item.phase = Phase::Ready;
                item.expiries = 0;
            }
            item.void();
        }
        // Judged after the votes are void: the tag of a split, named in the same step, is one's own from then on.
        if let Some(tags) = strings(&update.tags).filter(|tags| once(tags) != item.tags) {
            item.tags = once(&tags);
            item.added_tag = false;
        }
        item.quorum = update.quorum.unwrap_or(item.quorum);
        item.reports = update.reports.unwrap_or(item.reports);
        if let Some(group) = update.group.filter(|g| text(g) != item.group) {
            item.put_into(group, locks);
        }
        if let Some(excluded) = strings(&update.excluded) {
            exclude(item, &excluded);
        }
        // What is set to what it is already is no change.
        if *item == before {
            if update.quorum.is_some() {
                self.count_anew(now, index);
                self.settle(now);
            }
            return Ok(Some(before.rev));
        }
        item.rev += 1;
        if item.payload != before.payload {
            self.note_new(index);
        }
        let counts_anew = update.quorum.is_some();
        self.stamp(now);
        if counts_anew {
            self.count_anew(now, index);
        }
        self.settle(now);
        Ok(Some(before.rev + 1))
    }

    pub(crate) fn claim(&mut self, now: Now, claim: &Claim<'_>) -> Vec<Row> {
        let moderator = &*text(claim.moderator);
        let lock = claim.lock.map(|lock| lock.0);
        let mut rows = Vec::new();
        if !claim.new_only {
            rows = self.held(moderator);
            rows.truncate(claim.count);
        }
        let tags = self.tags_of(moderator, strings(&claim.tags).as_deref());
        while rows.len() < claim.count && !self.paused_out && self.has_capacity(moderator) {
            let mut all = self.ready_for(moderator, &tags);
            if let (true, Some(first)) = (claim.with_group, rows.first()) {
                // By arrival; with an item of no group nothing.
                let group = &self.item(&first.item).expect("locked").group;
                let members = self.members(group).into_iter();
                all = members.filter(|id| all.contains(id)).collect();
            }
            let Some(id) = all.into_iter().next() else {
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

    pub(super) fn live(&self, index: usize, token: u64) -> Result<HeldLock, Error> {
        match &self.items[index].phase {
            Phase::Locked(lock) if lock.token == token => Ok(lock.clone()),
            _ => Err(Error::Stale),
        }
    }

    pub(crate) fn release(
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
        item.phase = item.back();
        if delay > 0 {
            item.phase = Phase::Delayed;
            item.due = Some(now.time.0 + delay);
            item.delay = delay;
        }
        self.totals.released += 1;
        self.stamp(now);
        self.settle(now);
        Ok(())
    }

    pub(crate) fn extend(&mut self, now: Now, id: &str, token: u64, ms: u64) -> Result<u64, Error> {
        let index = self.find(id).ok_or(Error::NoItem)?;
        self.live(index, token)?;
        self.stamp(now);
        if let Phase::Locked(lock) = &mut self.items[index].phase {
            (lock.deadline, lock.span) = (now.time.0 + ms, ms);
        }
        Ok(now.time.0 + ms)
    }

    pub(crate) fn join(&mut self, now: Now, join: &Join<'_>) -> Joined {
        let moderator = &*text(join.moderator);
        let old = self.registration(moderator).cloned();
        let old = old.as_ref();
        let ttl = join.ttl.map(|ttl| ttl.0).or(old.map(|r| r.ttl));
        let ttl = ttl.unwrap_or(30_000);
        let count = join.count.or(old.map(|r| r.count)).unwrap_or(1);
        let tags = strings(&join.tags).or(old.map(|r| r.tags.clone()));
        let tags = tags.unwrap_or_default();
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
            expires: now.time.0 + ttl,
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

    pub(crate) fn leave(&mut self, now: Now, moderator: &str, release: bool) -> bool {
        let was_in_line = self.line().iter().any(|m| m == moderator);
        if self.registration(moderator).is_some() {
            self.stamp(now);
            self.registered.retain(|r| r.name != moderator);
        }
        if release {
            for row in self.held(moderator) {
                let index = self.find(&row.item).expect("held");
                self.take_back(now, index);
            }
            self.settle(now);
        }
        was_in_line
    }

    /// The lock on an item is released; nobody is matched yet.
    fn take_back(&mut self, now: Now, index: usize) {
        self.items[index].phase = self.items[index].back();
        self.totals.released += 1;
        self.stamp(now);
    }

    pub(crate) fn assign(
        &mut self,
        now: Now,
        id: &str,
        token: Option<u64>,
        moderator: &str,
        lock: Option<u64>,
    ) -> Result<u64, Error> {
        let index = self.find(id).ok_or(Error::NoItem)?;
        let item = &self.items[index];
        let held = matches!(item.phase, Phase::Locked(_));
        match token {
            Some(token) => drop(self.live(index, token)?),
            None if held => return Err(Error::Locked),
            None => {}
        }
        if item.bars(moderator) {
            return Err(Error::Excluded);
        }
        if held {
            self.take_back(now, index);
        }
        let token = self.hand_to(id, moderator, lock, How::Assign, now);
        // Whoever had it may take another.
        self.settle(now);
        Ok(token)
    }

    pub(crate) fn pause(&mut self, now: Now, input: bool, output: bool) {
        if (self.paused_in, self.paused_out) != (input, output) {
            self.stamp(now);
            (self.paused_in, self.paused_out) = (input, output);
            self.rematch = true;
        }
    }

    /// Those that were dead are matched when all are ready.
    pub(crate) fn revive(&mut self, now: Now, ids: &[&str]) -> usize {
        let revived = ids.iter().filter(|id| self.make_ready(now, id)).count();
        self.settle(now);
        revived
    }

    fn make_ready(&mut self, now: Now, id: &str) -> bool {
        let Some(index) = self.find(id) else {
            return false;
        };
        let item = &mut self.items[index];
        if item.phase != Phase::Dead {
            return false;
        }
        item.phase = Phase::Ready;
        item.expiries = 0;
        if item.contested {
            item.void();
        }
        self.stamp(now);
        true
    }

    pub(crate) fn revive_all(&mut self, now: Now, count: usize) -> usize {
        let mut dead: Vec<(u64, String)> = self
            .items
            .iter()
            .filter(|i| i.phase == Phase::Dead && !i.contested)
            .map(|i| (i.seq, i.id.clone()))
            .collect();
        dead.sort();
        dead.truncate(count);
        let ids: Vec<&str> = dead.iter().map(|(_, id)| &**id).collect();
        self.revive(now, &ids)
    }

    pub(crate) fn configure(&mut self, now: Now, settings: Settings) -> Result<(), Error> {
        if settings.aging != self.settings.aging && !self.items.is_empty() {
            return Err(Error::AgingInUse);
        }
        self.stamp(now);
        self.settings = settings;
        self.rematch = true;
        Ok(())
    }

    pub(crate) fn move_to(
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
        item.parked = false;
        item.since = None;
        if item.phase != Phase::Delayed {
            item.phase = Phase::Ready;
        } else if let Some(due) = item.due {
            // What is left of it.
            item.delay = due - now.time.0;
        }
        to.items.push(item);
        to.note_new(to.items.len() - 1);
        to.last_token = to.last_token.max(self.last_token);
        self.totals.moved_out += 1;
        to.totals.moved_in += 1;
        let before = to.last_token;
        to.settle(now);
        let mut now = now;
        if to.last_token > before {
            // What the other queue has given this one does not give.
            now.token_floor = Token(now.token_floor.0.max(to.last_token + 1));
        }
        self.settle(now);
        Ok(())
    }
}

/// Names of a request, as the model has them.
pub(super) fn strings(names: &Option<Names<'_>>) -> Option<Vec<String>> {
    let names = names.as_ref()?.iter();
    Some(names.map(|name| text(name)).collect())
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
