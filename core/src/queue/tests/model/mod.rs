//! The queue as the specification words it: lists, searched from the front. Slow and plain.

use super::*;

mod commands;
mod decided;
mod groups;
mod line;
mod verdicts;

use decided::ModelRecord;
use groups::Since;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldLock {
    pub moderator: String,
    pub token: u64,
    pub deadline: u64,
    /// How long it was asked to last.
    pub span: u64,
    pub at: u64,
    /// How many locks had begun in this queue when it had: the first is 1.
    pub nth: u64,
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
    /// None if it was never delayed.
    pub due: Option<u64>,
    /// How long the last delay was asked to last.
    pub delay: u64,
    pub tags: Vec<String>,
    /// And whether by SKIP.
    pub excluded: Vec<(String, bool)>,
    pub phase: Phase,
    /// The last lock, if it ended by its deadline and may still decide.
    pub late: Option<HeldLock>,
    pub quorum: Quorum,
    pub votes: Vec<ModelVote>,
    pub contested: bool,
    /// It became dead by that.
    pub parked: bool,
    /// The last tag came by the split.
    pub added_tag: bool,
    /// Who decided the item that this is an appeal of.
    pub deciders: Vec<String>,
    /// Empty if it is in none.
    pub group: String,
    /// When it arrived or its payload last changed. None while nobody keeps that.
    pub since: Option<Since>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelVote {
    pub moderator: String,
    pub token: u64,
    pub verdict: String,
    pub at: u64,
    /// It was answered SPLIT.
    pub split: bool,
}

impl ModelItem {
    /// Where it goes when a lock or a delay ends.
    fn back(&self) -> Phase {
        match self.parked {
            true => Phase::Dead,
            false => Phase::Ready,
        }
    }

    /// Whether it may not go to somebody, whatever they offer.
    fn bars(&self, moderator: &str) -> bool {
        self.excluded.iter().any(|(m, _)| m == moderator)
            || self.votes.iter().any(|vote| vote.moderator == moderator)
            || self.deciders.iter().any(|name| name == moderator)
    }

    /// Submitted, or the last due time if that is later.
    fn waiting_since(&self) -> u64 {
        self.submitted.max(self.due.unwrap_or(0))
    }
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
    pub undo: Option<BeforeMatch>,
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
    pub votes: u64,
    pub splits: u64,
    pub records_evicted: u64,
    pub waits: Durations,
    pub handles: Durations,
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
    /// The earliest decided first.
    pub records: Vec<ModelRecord>,
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
    /// How many locks have begun.
    locks: u64,
    next_tie: u64,
    last_since: u64,
    /// PAUSE or CONFIGURE may have made matches possible; the next tick makes them.
    pub rematch: bool,
    /// How often an item of a group was passed over for this reason alone, or what else decided it.
    pub passed_over: BTreeMap<&'static str, usize>,
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
        self.last_stamp = self.last_stamp.max(now.time.0);
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
            i.phase == Phase::Ready && i.tags.iter().all(|t| tags.contains(t)) && !i.bars(moderator)
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
}
