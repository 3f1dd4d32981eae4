//! The model's groups: items about one author, and what is done to all of them in one step.

use super::commands::strings;
use super::verdicts::Accepted;
use super::*;

/// When an item arrived, or its payload last changed, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// When so many locks had begun.
    Locks(u64),
    /// When it was submitted, to the ms and one more, by which tokens may be ahead: it was put into a group by
    /// its first change. Then so many locks had begun.
    Submit(u64),
}

impl ModelItem {
    /// It is in this group from now on, when so many locks have begun. Nobody knows what was done to it
    /// before, if nobody kept that: then one that was never changed counts from its submit, and any
    /// other as new.
    pub(super) fn put_into(&mut self, group: &[u8], locks: u64) {
        self.group = text(group);
        self.since.get_or_insert(match self.rev {
            1 => Since::Submit(locks),
            _ => Since::Locks(locks),
        });
    }

    /// Whether who has, or had, this lock can have seen the item as it is. Tokens are µs.
    fn was_there_for(&self, lock: &HeldLock) -> bool {
        match self.since.expect("kept of an item in a group") {
            Since::Locks(locks) => lock.nth > locks,
            Since::Submit(locks) => lock.nth > locks || lock.token / 1000 > self.submitted + 1,
        }
    }
}

/// A verdict that goes to others of a group.
struct Also {
    named: ModelItem,
    lock: HeldLock,
    verdict: Option<String>,
    tags: Vec<String>,
}

impl Model {
    /// An item has arrived, or its payload changed. That is kept while there is a group.
    pub(super) fn note_new(&mut self, index: usize) {
        let has_groups = self.items.iter().any(|i| !i.group.is_empty());
        let item = &mut self.items[index];
        if has_groups || item.since.is_some() {
            item.since = Some(Since::Locks(self.locks));
        }
    }

    /// The items of a group by arrival; none if the name is empty.
    pub(crate) fn members(&self, group: &str) -> Vec<String> {
        let all = self.items.iter().filter(|i| i.group == group);
        let mut all: Vec<&ModelItem> = all.filter(|_| !group.is_empty()).collect();
        all.sort_by_key(|i| i.seq);
        all.iter().map(|i| i.id.clone()).collect()
    }

    /// Those that a command goes through. A cursor is the number of an arrival.
    fn members_from(&self, group: &str, cursor: u64) -> Vec<String> {
        let mut all = self.members(group);
        all.retain(|id| self.item(id).expect("there").seq >= cursor);
        all
    }

    pub(crate) fn resolve_also(
        &mut self,
        now: Now,
        ask: &ResolveAlso<'_>,
    ) -> Result<ResolvedAlso, Error> {
        let id = text(ask.named.id);
        let (index, lock, is_live) = match self.accept_or_recall(now, &ask.named)? {
            Accepted::Before(resolved) => {
                let group = match resolved {
                    Resolved::Ended => self.record(&id, now.time.0).map(|r| &r.group),
                    Resolved::Voted | Resolved::Split => self.item(&id).map(|i| &i.group),
                };
                let left = self.members(group.expect("there")).len();
                let group = GroupDone {
                    left,
                    ..GroupDone::default()
                };
                return Ok(ResolvedAlso { resolved, group });
            }
            Accepted::Anew(index, lock, is_live) => (index, lock, is_live),
        };
        let named = self.items[index].clone();
        let also = Also {
            verdict: ask.named.verdict.map(text),
            tags: strings(&ask.tags).unwrap_or(named.tags.clone()),
            named,
            lock,
        };
        let verdict = also.verdict.clone().unwrap_or_default();
        let resolved = self.give_named(now, index, &also.lock, is_live, verdict);
        let group = self.give_also(now, &also, ask.most, ask.cursor);
        // Nobody is given an item that goes in the same step.
        self.settle(now);
        Ok(ResolvedAlso { resolved, group })
    }

    fn give_also(&mut self, now: Now, also: &Also, most: usize, cursor: u64) -> GroupDone {
        let (mut done, mut next) = (0, None);
        for id in self.members_from(&also.named.group, cursor) {
            let item = self.item(&id).expect("there");
            if done == most {
                next = Some(item.seq);
                break;
            }
            let passed_over = self.reasons_against(item, also);
            let by_submit = matches!(item.since, Some(Since::Submit(_))) && id != also.named.id;
            if by_submit && passed_over.is_empty() {
                *self.passed_over.entry("seen since submit").or_default() += 1;
            }
            if let [reason] = &*passed_over {
                *self.passed_over.entry(reason).or_default() += 1;
            }
            if id == also.named.id || !passed_over.is_empty() {
                continue;
            }
            let moderator = also.lock.moderator.clone();
            let verdict = also.verdict.clone().unwrap_or_default();
            let index = self.find(&id).expect("there");
            match self.lock(&id).cloned() {
                Some(own) => drop(self.give_named(now, index, &own, true, verdict)),
                None => {
                    let at = self.stamp(now);
                    self.give_verdict(index, moderator, 0, verdict, at);
                }
            }
            done += 1;
        }
        GroupDone {
            done,
            left: self.members(&also.named.group).len(),
            next,
        }
    }

    /// Why a verdict is not given to another item of the group.
    fn reasons_against(&self, item: &ModelItem, also: &Also) -> Vec<&'static str> {
        let moderator = &also.lock.moderator;
        let is_anothers = matches!(&item.phase, Phase::Locked(l) if l.moderator != *moderator);
        let has_others = item.tags.iter().any(|tag| !also.tags.contains(tag));
        let is_named = item.id == also.named.id;
        let all = [
            ("passed over: another's", is_anothers),
            ("passed over: contested", item.contested),
            ("passed over: tags", has_others),
            ("passed over: barred", item.bars(moderator)),
            ("passed over: unseen", !item.was_there_for(&also.lock)),
            (
                "passed over: several",
                also.verdict.is_none() && item.quorum.k > 1,
            ),
        ];
        let all = all.into_iter().filter(|(_, holds)| *holds && !is_named);
        all.map(|(reason, _)| reason).collect()
    }

    pub(crate) fn cancel_group(&mut self, now: Now, ask: &CancelGroup<'_>) -> GroupDone {
        let group = text(ask.group);
        let except = strings(&Some(ask.except.clone())).unwrap_or_default();
        let (mut done, mut next) = (0, None);
        for id in self.members_from(&group, ask.cursor) {
            let item = self.item(&id).expect("there");
            if done == ask.most {
                next = Some(item.seq);
                break;
            }
            if item.tags.iter().any(|tag| except.contains(tag)) {
                *self.passed_over.entry("passed over: except").or_default() += 1;
                continue;
            }
            self.items.retain(|item| item.id != id);
            self.totals.cancelled += 1;
            self.stamp(now);
            done += 1;
        }
        // Several may have room for other items now.
        self.go_along_line(now);
        GroupDone {
            done,
            left: self.members(&group).len(),
            next,
        }
    }
}
