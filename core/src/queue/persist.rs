//! A queue as bytes. The structures here are frozen: version 1 is what version 1 wrote. A new
//! version gets structures of its own beside these.

use super::apply::MAX_TIME;
use super::effect::Settings;
use super::moderators::Profile;
use super::state::{Item, Lock, Place, Queue, State, Timed, U48};
use super::stats::{Histogram, Stats};
use super::{MAX_DURATION, MAX_ID};
use crate::codec::{self, DecodeError, Persist};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use std::collections::HashSet;

/// A chunk is closed when it holds this many bytes of payload.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Serialize, Deserialize)]
enum ChunkV1<'a> {
    Head(HeadV1),
    #[serde(borrow)]
    Items(Vec<ItemV1<'a>>),
    Moderators(Vec<ModeratorV1<'a>>),
}

#[derive(Serialize, Deserialize)]
struct HeadV1 {
    settings: Settings,
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
    wait: Vec<(u16, u64)>,
    handle: Vec<(u16, u64)>,
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

#[derive(Serialize, Deserialize)]
struct ItemV1<'a> {
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
    tags: Vec<&'a Bytes>,
    extra: Option<ExtraV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ExtraV1<'a> {
    due: u64,
    #[serde(borrow)]
    excluded: Vec<(&'a Bytes, bool)>,
    reports: u32,
    expiries: u32,
    moved: bool,
    late: Option<LockV1<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ModeratorV1<'a> {
    #[serde(borrow)]
    name: &'a Bytes,
    place: Option<Place>,
    ttl: u64,
    expires: u64,
    count: u64,
    tags: Vec<&'a Bytes>,
}

fn check(holds: bool) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(DecodeError) }
}

fn check_name(name: &[u8]) -> Result<(), DecodeError> {
    check(!name.is_empty() && name.len() <= MAX_ID)
}

impl Queue {
    fn lock_v1(&self, lock: &Lock) -> LockV1<'_> {
        LockV1 {
            moderator: Bytes::new(&self.moderators[lock.moderator].name),
            token: lock.token,
            deadline: lock.deadline,
            at: lock.at,
        }
    }

    fn item_v1(&self, slot: u32) -> ItemV1<'_> {
        let item = &self.items[slot];
        ItemV1 {
            seq: item.seq(),
            id: Bytes::new(item.id()),
            payload: Bytes::new(item.payload()),
            priority: item.priority,
            boost: item.boost(),
            submitted: item.submitted(),
            rev: item.rev,
            deliveries: item.deliveries,
            state: match (item.state, self.lock(slot)) {
                (State::Delayed, _) => StateV1::Delayed,
                (State::Dead, _) => StateV1::Dead,
                (State::Locked, Some(lock)) => StateV1::Locked(self.lock_v1(&lock)),
                (State::Ready | State::Locked, _) => StateV1::Ready,
            },
            tags: self.tags.names(item.tags).map(Bytes::new).collect(),
            extra: self.extra(slot).map(|extra| ExtraV1 {
                due: extra.due,
                excluded: extra
                    .excluded
                    .iter()
                    .map(|(m, skip)| (Bytes::new(&self.moderators[*m].name), *skip))
                    .collect(),
                reports: extra.reports,
                moved: extra.moved,
                expiries: extra.expiries,
                late: extra.late.as_ref().map(|late| self.lock_v1(late)),
            }),
        }
    }

    fn head_v1(&self) -> HeadV1 {
        HeadV1 {
            settings: self.settings.clone(),
            paused_in: self.paused_in,
            paused_out: self.paused_out,
            last_at: self.last_at,
            last_token: self.last_token,
            next_seq: self.next_seq,
            submitted: self.stats.submitted,
            resolved: self.stats.resolved,
            cancelled: self.stats.cancelled,
            released: self.stats.released,
            expired: self.stats.expired,
            died: self.stats.died,
            wait: self.stats.wait.buckets().collect(),
            handle: self.stats.handle.buckets().collect(),
        }
    }

    fn load_head(&mut self, head: HeadV1) -> Result<(), DecodeError> {
        check(self.items.len() == 0 && self.next_seq == 0)?;
        check(head.last_at < U48::MAX && head.next_seq <= U48::MAX)?;
        check(head.last_token < MAX_TIME)?;
        let wait = Histogram::from_buckets(head.wait).ok_or(DecodeError)?;
        let handle = Histogram::from_buckets(head.handle).ok_or(DecodeError)?;
        check(head.settings.fit())?;
        self.settings = head.settings;
        self.paused_in = head.paused_in;
        self.paused_out = head.paused_out;
        self.last_at = head.last_at;
        self.last_token = head.last_token;
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
        };
        Ok(())
    }

    fn load_lock(&mut self, slot: u32, lock: &LockV1<'_>) -> Result<Lock, DecodeError> {
        check_name(lock.moderator)?;
        check(lock.token <= self.last_token && lock.deadline < 1 << 53)?;
        Ok(Lock {
            slot,
            moderator: self.moderators.intern(lock.moderator),
            token: lock.token,
            deadline: lock.deadline,
            at: lock.at,
        })
    }

    fn load_item(&mut self, item: &ItemV1<'_>) -> Result<(), DecodeError> {
        check_name(item.id)?;
        check(self.find(item.id).is_none() && item.seq < self.next_seq)?;
        check(self.by_seq.get(item.seq, |s| self.items[s].seq()).is_none())?;
        check(item.boost.unsigned_abs() <= MAX_DURATION && item.submitted < U48::MAX)?;
        item.tags.iter().try_for_each(|tag| check_name(tag))?;
        let mut new = Item::new(item.id, item.payload, item.submitted, item.seq, item.boost);
        new.priority = item.priority;
        new.rev = item.rev;
        new.deliveries = item.deliveries;
        new.tags = self.tags.acquire(&item.tags);
        let slot = self.add_item(new);
        if let Some(extra) = &item.extra {
            let mut excluded = Vec::with_capacity(extra.excluded.len());
            let mut seen = HashSet::new();
            for (name, skip) in &extra.excluded {
                check_name(name)?;
                let moderator = self.moderators.intern(name);
                check(seen.insert(moderator))?;
                excluded.push((moderator, *skip));
            }
            self.set_excluded(slot, excluded);
            let late = match &extra.late {
                Some(late) => Some(self.load_lock(slot, late)?),
                None => None,
            };
            if let Some(late) = &late {
                check(!matches!(item.state, StateV1::Locked(_)))?;
                self.moderators[late.moderator].mentions += 1;
            }
            check(extra.due < 1 << 53)?;
            self.with_extra(slot, |to| {
                to.due = extra.due;
                to.reports = extra.reports;
                to.expiries = extra.expiries;
                to.moved = extra.moved;
                to.late = late;
            });
        }
        match &item.state {
            StateV1::Ready => self.enter_ready(slot),
            StateV1::Dead => self.enter_dead(slot),
            StateV1::Delayed => {
                let due = self.extra(slot).map_or(0, |e| e.due);
                check(due > 0)?;
                self.enter_delayed(slot, due);
            }
            StateV1::Locked(lock) => {
                let lock = self.load_lock(slot, lock)?;
                let taken = self.moderators[lock.moderator].held.get(&lock.token);
                check(taken.is_none())?;
                self.enter_locked(lock);
            }
        }
        Ok(())
    }

    fn load_moderator(&mut self, m: &ModeratorV1<'_>) -> Result<(), DecodeError> {
        check_name(m.name)?;
        m.tags.iter().try_for_each(|tag| check_name(tag))?;
        check(m.ttl <= MAX_DURATION && m.expires < MAX_TIME)?;
        if let Some(place) = m.place {
            check(place.0 < U48::MAX && place.1 < MAX_TIME)?;
        }
        let slot = self.moderators.intern(m.name);
        check(self.moderators[slot].profile.is_none())?;
        self.moderators[slot].profile = Some(Box::new(Profile {
            ttl: m.ttl,
            expires: m.expires,
            count: m.count,
            tags: self.tags.acquire(&m.tags),
            place: m.place,
            seen: 0,
        }));
        self.add_timer(m.expires, Timed::Registration(slot));
        self.enlist(slot);
        self.note_place(m.place);
        Ok(())
    }
}

impl Persist for Queue {
    const VERSION: i32 = 1;

    fn save(&self, entries: usize, sink: &mut dyn FnMut(&[u8])) {
        let mut out = Vec::new();
        let mut emit = |chunk: &ChunkV1<'_>| {
            out.clear();
            codec::encode_into(chunk, &mut out);
            sink(&out);
        };
        emit(&ChunkV1::Head(self.head_v1()));
        let mut items = Vec::new();
        let mut bytes = 0;
        for slot in self.by_seq.iter() {
            items.push(self.item_v1(slot));
            bytes += self.items[slot].payload().len();
            if items.len() >= entries || bytes >= CHUNK_BYTES {
                emit(&ChunkV1::Items(std::mem::take(&mut items)));
                bytes = 0;
            }
        }
        if !items.is_empty() {
            emit(&ChunkV1::Items(items));
        }
        let mut moderators = Vec::new();
        for (_, m) in self.moderators.iter() {
            let Some(profile) = &m.profile else {
                continue;
            };
            moderators.push(ModeratorV1 {
                name: Bytes::new(&m.name),
                place: profile.place,
                ttl: profile.ttl,
                expires: profile.expires,
                count: profile.count,
                tags: self.tags.names(profile.tags).map(Bytes::new).collect(),
            });
            if moderators.len() >= entries {
                emit(&ChunkV1::Moderators(std::mem::take(&mut moderators)));
            }
        }
        if !moderators.is_empty() {
            emit(&ChunkV1::Moderators(moderators));
        }
    }

    fn load(&mut self, version: i32, chunk: &[u8]) -> Result<(), DecodeError> {
        check(version == Self::VERSION)?;
        match codec::decode(chunk)? {
            ChunkV1::Head(head) => self.load_head(head),
            ChunkV1::Items(items) => items.iter().try_for_each(|item| self.load_item(item)),
            ChunkV1::Moderators(all) => all.iter().try_for_each(|m| self.load_moderator(m)),
        }
    }

    fn finish(&mut self) -> Result<(), DecodeError> {
        self.match_everyone();
        Ok(())
    }
}
