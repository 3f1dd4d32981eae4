//! The structures of a queue's chunks in version 1. Frozen: version 1 is what version 1 wrote, and
//! a new version gets structures of its own beside these.

use super::{Exclusion, ItemSlot, ModeratorSlot, Rare, Rev, Seq, Stats};
use super::{Item, Lock, MAX_TIME, Place, Profile, State, Store, U48};
use crate::codec::{AtMost, DecodeError, decode_len, decode_next};
use crate::queue::settings::{Paused, Settings};
use crate::queue::settings_v1::SettingsV1;
use crate::queue::{Histogram, MAX_DURATION, MAX_EXCLUDE, MAX_ID, MAX_PAYLOAD, MAX_TAG, MAX_TAGS};
use crate::units::{Millis, Time, Token};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use std::collections::HashSet;

#[derive(Serialize)]
pub(super) enum ChunkV1<'a> {
    /// Only versions 1 and 2 wrote this; its place among the kinds stays.
    #[allow(dead_code)]
    Head(HeadV1<'a>),
    Items(Vec<ItemV1<'a>>),
    Moderators(Vec<ModeratorV1<'a>>),
}

/// How a chunk begins. Lists are read entry by entry: no chunk is ever held as a whole.
#[derive(Deserialize)]
pub(super) enum StartV1<'a> {
    #[serde(borrow)]
    Head(HeadV1<'a>),
    Items,
    Moderators,
}

/// Least bytes of an item and of a moderator: id and name take two.
pub(super) const LEAST_ITEM: usize = 12;
const LEAST_MODERATOR: usize = 7;
/// Least bytes of an exclusion.
const LEAST_EXCLUSION: usize = 3;
/// More buckets than a histogram has.
const MAX_BUCKETS: usize = 1024;

type TagsV1<'a> = AtMost<&'a Bytes, MAX_TAGS>;
type BucketsV1 = AtMost<(u16, u64), MAX_BUCKETS>;

#[derive(Serialize, Deserialize)]
pub(super) struct HeadV1<'a> {
    #[serde(borrow)]
    settings: SettingsV1<'a>,
    paused_in: bool,
    paused_out: bool,
    last_at: u64,
    last_token: u64,
    next_seq: u64,
    submitted: u64,
    resolved: u64,
    cancelled: u64,
    released: u64,
    expired: u64,
    died: u64,
    wait: BucketsV1,
    handle: BucketsV1,
}

#[derive(Serialize, Deserialize)]
struct LockV1<'a> {
    #[serde(borrow)]
    moderator: &'a Bytes,
    token: u64,
    deadline: u64,
    at: u64,
}

#[derive(Serialize, Deserialize)]
enum StateV1<'a> {
    Ready,
    Delayed,
    Dead,
    Locked(#[serde(borrow)] LockV1<'a>),
}

#[derive(Serialize)]
pub(super) struct ItemV1<'a> {
    start: ItemStartV1<'a>,
    rare: Option<RareV1<'a>>,
}

/// Fields of a structure in a structure are written as if they were its own.
#[derive(Serialize, Deserialize)]
struct ItemStartV1<'a> {
    seq: u64,
    #[serde(borrow)]
    id: &'a Bytes,
    payload: &'a Bytes,
    priority: i32,
    boost: i64,
    submitted: u64,
    rev: u32,
    deliveries: u32,
    state: StateV1<'a>,
    tags: TagsV1<'a>,
}

#[derive(Serialize)]
struct RareV1<'a> {
    /// 0 for none.
    due: u64,
    excluded: Vec<(&'a Bytes, bool)>,
    rest: RareRestV1<'a>,
}

#[derive(Serialize, Deserialize)]
struct RareRestV1<'a> {
    reports: u32,
    expiries: u32,
    moved: bool,
    #[serde(borrow)]
    late: Option<LockV1<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ModeratorV1<'a> {
    #[serde(borrow)]
    name: &'a Bytes,
    place: Option<(u64, u64)>,
    ttl: u64,
    expires: u64,
    count: u64,
    tags: TagsV1<'a>,
}

pub(super) fn check(holds: bool) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(DecodeError) }
}

pub(super) fn check_name(name: &[u8]) -> Result<(), DecodeError> {
    check(!name.is_empty() && name.len() <= MAX_ID)
}

fn check_tags(tags: &TagsV1<'_>) -> Result<(), DecodeError> {
    check(tags.0.iter().all(|tag| (1..=MAX_TAG).contains(&tag.len())))
}

/// Writing.
impl Store {
    pub(super) fn head_v1(&self) -> HeadV1<'_> {
        HeadV1 {
            settings: (&self.settings).into(),
            paused_in: self.paused.input,
            paused_out: self.paused.output,
            last_at: self.last_at.0,
            last_token: self.last_token.0,
            next_seq: self.next_seq,
            submitted: self.stats.submitted,
            resolved: self.stats.resolved,
            cancelled: self.stats.cancelled,
            released: self.stats.released,
            expired: self.stats.expired,
            died: self.stats.died,
            wait: AtMost(self.stats.wait.buckets().collect()),
            handle: AtMost(self.stats.handle.buckets().collect()),
        }
    }

    fn lock_v1(&self, lock: &Lock) -> LockV1<'_> {
        LockV1 {
            moderator: Bytes::new(&self.moderators[lock.moderator].name),
            token: lock.token.0,
            deadline: lock.deadline.0,
            at: lock.at.0,
        }
    }

    pub(super) fn item_v1(&self, slot: ItemSlot) -> ItemV1<'_> {
        let item = &self.items[slot];
        let start = ItemStartV1 {
            seq: item.seq().0,
            id: Bytes::new(item.id()),
            payload: Bytes::new(item.payload()),
            priority: item.priority,
            boost: item.boost(),
            submitted: item.submitted().0,
            rev: item.rev.0,
            deliveries: item.deliveries,
            state: match (item.state, self.lock(slot)) {
                (State::Delayed, _) => StateV1::Delayed,
                (State::Dead, _) => StateV1::Dead,
                (State::Locked, Some(lock)) => StateV1::Locked(self.lock_v1(&lock)),
                (State::Ready | State::Locked, _) => StateV1::Ready,
            },
            tags: AtMost(self.own_tags(slot).0.into_iter().map(Bytes::new).collect()),
        };
        ItemV1 {
            start,
            rare: self.rare(slot).map(|rare| self.rare_v1(rare)),
        }
    }

    fn rare_v1(&self, rare: &Rare) -> RareV1<'_> {
        let name = |m: ModeratorSlot| Bytes::new(&self.moderators[m].name);
        let excluded = rare.excluded.iter();
        RareV1 {
            due: rare.due.map_or(0, |due| due.0),
            excluded: excluded.map(|e| (name(e.moderator), e.skip)).collect(),
            rest: RareRestV1 {
                reports: rare.reports,
                moved: rare.moved,
                expiries: rare.expiries,
                late: rare.late.as_ref().map(|late| self.lock_v1(late)),
            },
        }
    }

    pub(super) fn moderator_v1(&self, slot: ModeratorSlot) -> Option<ModeratorV1<'_>> {
        let moderator = &self.moderators[slot];
        let profile = moderator.profile.as_ref()?;
        Some(ModeratorV1 {
            name: Bytes::new(&moderator.name),
            place: profile.place.map(|place| (place.since.0, place.tie)),
            ttl: profile.ttl.0,
            expires: profile.expires.0,
            count: profile.count,
            tags: AtMost(self.tags.names(profile.tags).map(Bytes::new).collect()),
        })
    }
}

/// Reading.
impl Store {
    pub(super) fn load_head(&mut self, head: HeadV1<'_>) -> Result<(), DecodeError> {
        check(self.items.len() == 0 && self.next_seq == 0)?;
        check(head.last_at < U48::MAX && head.next_seq <= U48::MAX)?;
        check(head.last_token < MAX_TIME)?;
        let wait = Histogram::from_buckets(head.wait.0).ok_or(DecodeError)?;
        let handle = Histogram::from_buckets(head.handle.0).ok_or(DecodeError)?;
        let settings = Settings::from(head.settings);
        check(settings.fit())?;
        self.settings = settings;
        self.paused = Paused {
            input: head.paused_in,
            output: head.paused_out,
        };
        self.last_at = Time(head.last_at);
        self.last_token = Token(head.last_token);
        self.next_seq = head.next_seq;
        self.stats = Stats {
            submitted: head.submitted,
            resolved: head.resolved,
            cancelled: head.cancelled,
            released: head.released,
            expired: head.expired,
            died: head.died,
            wait,
            handle,
            ..Stats::default()
        };
        Ok(())
    }

    fn load_lock(&mut self, item: ItemSlot, lock: &LockV1<'_>) -> Result<Lock, DecodeError> {
        check_name(lock.moderator)?;
        check(lock.token <= self.last_token.0 && lock.deadline < MAX_TIME)?;
        Ok(Lock {
            item,
            moderator: self.moderators.intern(lock.moderator),
            token: Token(lock.token),
            deadline: Time(lock.deadline),
            at: Time(lock.at),
        })
    }

    /// Adds the items of a chunk.
    pub(super) fn load_items(&mut self, bytes: &mut &[u8]) -> Result<(), DecodeError> {
        for _ in 0..decode_len(bytes, LEAST_ITEM)? {
            self.load_item(bytes, |_, _, _| Ok(()))?;
        }
        Ok(())
    }

    /// Adds the registrations of a chunk; answers whose they are.
    pub(super) fn load_moderators(
        &mut self,
        bytes: &mut &[u8],
    ) -> Result<Vec<ModeratorSlot>, DecodeError> {
        let mut registered = Vec::new();
        for _ in 0..decode_len(bytes, LEAST_MODERATOR)? {
            registered.push(self.load_moderator(&decode_next(bytes)?)?);
        }
        Ok(registered)
    }

    /// Reads an item. What later versions add to it is read by `more` before the item enters its state.
    pub(super) fn load_item<'a>(
        &mut self,
        bytes: &mut &'a [u8],
        more: impl FnOnce(&mut Store, ItemSlot, &mut &'a [u8]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let item: ItemStartV1<'_> = decode_next(bytes)?;
        check_name(item.id)?;
        check(item.payload.len() <= MAX_PAYLOAD)?;
        check(self.find(item.id).is_none() && item.seq < self.next_seq)?;
        let seq = Seq(item.seq);
        check(self.by_seq.get(seq, |s| self.items[s].seq()).is_none())?;
        check(item.boost.unsigned_abs() <= MAX_DURATION && item.submitted < U48::MAX)?;
        check_tags(&item.tags)?;
        let submitted = Time(item.submitted);
        let mut new = Item::new(item.id, item.payload, submitted, seq, item.boost);
        new.priority = item.priority;
        new.rev = Rev(item.rev);
        new.deliveries = item.deliveries;
        new.tags = self.tags.acquire(&item.tags.0);
        let slot = self.add_item(new);
        // Whether there is a `RareV1`.
        if decode_next::<Option<()>>(bytes)?.is_some() {
            self.load_rare(slot, bytes, matches!(item.state, StateV1::Locked(_)))?;
        }
        more(self, slot, bytes)?;
        match &item.state {
            StateV1::Ready => self.enter_ready(slot),
            StateV1::Dead => self.enter_dead(slot),
            StateV1::Delayed => {
                let due = self.rare(slot).and_then(|rare| rare.due);
                self.enter_delayed(slot, due.ok_or(DecodeError)?);
            }
            StateV1::Locked(lock) => {
                let lock = self.load_lock(slot, lock)?;
                let held = &self.moderators[lock.moderator].held;
                check(held.get(lock.token).is_none())?;
                self.enter_locked(lock);
            }
        }
        Ok(())
    }

    /// The rare properties of an item that is in no state yet.
    fn load_rare(
        &mut self,
        slot: ItemSlot,
        bytes: &mut &[u8],
        locked: bool,
    ) -> Result<(), DecodeError> {
        let due: u64 = decode_next(bytes)?;
        let excluded = self.load_exclusions(bytes)?;
        self.set_excluded(slot, excluded);
        let rare: RareRestV1<'_> = decode_next(bytes)?;
        let late = match &rare.late {
            Some(late) => Some(self.load_lock(slot, late)?),
            None => None,
        };
        if let Some(late) = &late {
            check(!locked)?;
            self.moderators[late.moderator].references += 1;
        }
        check(due < MAX_TIME)?;
        self.with_rare(slot, |to| {
            to.due = (due > 0).then_some(Time(due));
            to.reports = rare.reports;
            to.expiries = rare.expiries;
            to.moved = rare.moved;
            to.late = late;
        });
        Ok(())
    }

    /// No command bounds how many skip an item, but each of them is somebody else.
    fn load_exclusions(&mut self, bytes: &mut &[u8]) -> Result<Vec<Exclusion>, DecodeError> {
        let mut excluded = Vec::new();
        let mut seen = HashSet::new();
        let mut named = 0;
        for _ in 0..decode_len(bytes, LEAST_EXCLUSION)? {
            let (name, skip): (&Bytes, bool) = decode_next(bytes)?;
            check_name(name)?;
            let moderator = self.moderators.intern(name);
            named += usize::from(!skip);
            check(seen.insert(moderator) && named <= MAX_EXCLUDE)?;
            excluded.push(Exclusion { moderator, skip });
        }
        Ok(excluded)
    }

    fn load_moderator(&mut self, m: &ModeratorV1<'_>) -> Result<ModeratorSlot, DecodeError> {
        check_name(m.name)?;
        check_tags(&m.tags)?;
        check(m.ttl <= MAX_DURATION && m.expires < MAX_TIME)?;
        if let Some((since, tie)) = m.place {
            check(since < U48::MAX && tie < MAX_TIME)?;
        }
        let slot = self.moderators.intern(m.name);
        check(self.moderators[slot].profile.is_none())?;
        let place = |(since, tie)| Place {
            since: Time(since),
            tie,
        };
        let tags = self.tags.acquire(&m.tags.0);
        self.register(
            slot,
            Profile {
                ttl: Millis(m.ttl),
                expires: Time(m.expires),
                count: m.count,
                tags,
                place: m.place.map(place),
            },
        );
        Ok(slot)
    }
}
