//! What version 3 of a queue's chunks adds: how several decide on items, groups, the records of decided
//! items. Frozen once released, as `persist_v1` is.
//!
//! What a queue has nothing of is not written: but for the head its chunks are then those of version 2.

use super::decided::{PayloadHash, Verdict};
use super::persist_v1::{ItemV1, LEAST_ITEM, check, check_name};
use super::persist_v2::StartV2;
use super::reviews::Vote;
use super::{ItemSlot, MAX_TIME, ModeratorSlot, Store, U48};
use crate::codec::{AtMost, DecodeError, decode_len, decode_next};
use crate::queue::settings::Quorum;
use crate::queue::settings_v3::SettingsV3;
use crate::queue::store::{BOUNDS, Durations, Rev};
use crate::queue::{MAX_DECIDERS, MAX_GROUP, MAX_ID, MAX_TAG, MAX_VERDICT};
use crate::units::{Time, Token};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;
use std::collections::HashSet;

/// The numbers of these kinds of chunks; those of versions 1 and 2 are 0 to 3.
const HEAD: u32 = 4;
const ITEMS: u32 = 5;
const RECORDS: u32 = 6;

/// Least bytes of what an item has more, and of a record.
const LEAST_MORE: usize = 8;
const LEAST_RECORD: usize = 27;

/// Most names of a record: of those who voted, and the one who ended it.
const MAX_MODERATORS: usize = Quorum::MAX as usize + 1;

#[derive(Serialize, Deserialize)]
struct DurationsV3 {
    sum: u64,
    counts: [u64; BOUNDS.len() + 1],
}

#[derive(Serialize, Deserialize)]
struct HeadV3<'a> {
    #[serde(borrow)]
    settings: SettingsV3<'a>,
    votes: u64,
    splits: u64,
    records_evicted: u64,
    waits: DurationsV3,
    handles: DurationsV3,
    next_record: u64,
}

/// What an item of version 1 has more.
#[derive(Serialize, Deserialize)]
struct MoreV3<'a> {
    k: u8,
    n: u8,
    #[serde(borrow)]
    votes: AtMost<VoteV3<'a>, { Quorum::MAX as usize }>,
    contested: bool,
    parked: bool,
    /// Behind the tags of the item; empty for none.
    added_tag: &'a Bytes,
    deciders: AtMost<&'a Bytes, MAX_DECIDERS>,
    member: Option<(&'a Bytes, u64)>,
}

#[derive(Serialize, Deserialize)]
struct VoteV3<'a> {
    #[serde(borrow)]
    moderator: &'a Bytes,
    token: u64,
    at: u64,
    verdict: &'a Bytes,
    split: bool,
}

#[derive(Serialize, Deserialize)]
struct RecordV3<'a> {
    #[serde(borrow)]
    item: &'a Bytes,
    verdict: &'a Bytes,
    group: &'a Bytes,
    decided: u64,
    serial: u64,
    token: u64,
    rev: u32,
    submitted: u64,
    reports: u32,
    moderators: AtMost<&'a Bytes, MAX_MODERATORS>,
    barred: AtMost<&'a Bytes, MAX_DECIDERS>,
    payload: PayloadHash,
}

/// How a chunk begins.
pub(super) enum StartV3<'a> {
    Older(StartV2<'a>),
    Head,
    Items,
    Records,
}

impl<'a> StartV3<'a> {
    /// Reads the beginning of a chunk of version 1, 2 or 3.
    pub(super) fn read(version: i32, bytes: &mut &'a [u8]) -> Result<Self, DecodeError> {
        if version == 3 {
            let mut rest = *bytes;
            let start = match decode_next::<u32>(&mut rest)? {
                HEAD => StartV3::Head,
                ITEMS => StartV3::Items,
                RECORDS => StartV3::Records,
                _ => return StartV2::read(2, bytes).map(StartV3::Older),
            };
            *bytes = rest;
            return Ok(start);
        }
        StartV2::read(version, bytes).map(StartV3::Older)
    }
}

impl From<&Durations> for DurationsV3 {
    fn from(durations: &Durations) -> DurationsV3 {
        DurationsV3 {
            sum: durations.sum(),
            counts: *durations.counts(),
        }
    }
}

impl From<DurationsV3> for Durations {
    fn from(stored: DurationsV3) -> Durations {
        Durations::new(stored.sum, stored.counts)
    }
}

fn bytes(name: &[u8]) -> &Bytes {
    Bytes::new(name)
}

/// Writing.
impl Store {
    /// The chunk of the head: that of version 1 with what is new.
    pub(super) fn head_v3(&self) -> impl Serialize + '_ {
        let head = HeadV3 {
            settings: (&self.settings).into(),
            votes: self.stats.votes,
            splits: self.stats.splits,
            records_evicted: self.stats.records_evicted,
            waits: (&self.stats.waits).into(),
            handles: (&self.stats.handles).into(),
            next_record: self.decided.next_serial(),
        };
        (HEAD, self.head_v1(), head)
    }

    /// Whether there is more of an item than version 1 has a place for.
    pub(super) fn has_more(&self, slot: ItemSlot) -> bool {
        self.review(slot).is_some() || self.member_to_save(slot).is_some()
    }

    /// An item of which there is more.
    pub(super) fn item_v3(&self, slot: ItemSlot) -> (ItemV1<'_>, impl Serialize + '_) {
        let name = |m: &ModeratorSlot| bytes(&self.moderators[*m].name);
        let review = self.review(slot);
        let votes = self.votes(slot).iter().map(|vote| VoteV3 {
            moderator: name(&vote.moderator),
            token: vote.token.0,
            at: vote.at.0,
            verdict: bytes(&vote.verdict),
            split: vote.split,
        });
        let quorum = self.quorum(slot);
        let deciders = review.map_or(&[][..], |review| &review.deciders);
        let member = self.member_to_save(slot);
        let more = MoreV3 {
            k: quorum.k,
            n: quorum.n,
            votes: AtMost(votes.collect()),
            contested: self.is_contested(slot),
            parked: self.is_parked(slot),
            added_tag: bytes(self.own_tags(slot).1.unwrap_or(&[])),
            deciders: AtMost(deciders.iter().map(name).collect()),
            member: member.map(|(group, fresh)| (bytes(group), fresh.0)),
        };
        (self.item_v1(slot), more)
    }

    /// The chunk of these items.
    pub(super) fn items_v3(items: Vec<(ItemV1<'_>, impl Serialize)>) -> impl Serialize {
        (ITEMS, items)
    }

    /// Hands over the records, up to `entries` in a chunk.
    pub(super) fn save_records(
        &self,
        entries: usize,
        mut chunk: impl FnMut(&dyn Fn(&mut Vec<u8>)),
    ) {
        let mut records = Vec::new();
        let mut put = |records: &mut Vec<RecordV3<'_>>| {
            chunk(&|out| crate::codec::encode_into(&(RECORDS, &*records), out));
            records.clear();
        };
        for (verdict, serial) in self.decided.iter() {
            records.push(RecordV3::new(&verdict, serial));
            if records.len() >= entries {
                put(&mut records);
            }
        }
        if !records.is_empty() {
            put(&mut records);
        }
    }
}

impl<'a> RecordV3<'a> {
    fn new(verdict: &Verdict<'a>, serial: u64) -> RecordV3<'a> {
        let names = |names: &[&'a [u8]]| names.iter().map(|name| bytes(name)).collect();
        RecordV3 {
            item: bytes(verdict.item),
            verdict: bytes(verdict.verdict),
            group: bytes(verdict.group),
            decided: verdict.decided.0,
            serial,
            token: verdict.token.0,
            rev: verdict.rev.0,
            submitted: verdict.submitted.0,
            reports: verdict.reports,
            moderators: AtMost(names(&verdict.moderators)),
            barred: AtMost(names(&verdict.barred)),
            payload: verdict.payload,
        }
    }
}

/// Each of these is there, is no longer than a name may be, and no two are the same.
fn check_names(names: &[&Bytes]) -> Result<(), DecodeError> {
    let mut seen = HashSet::new();
    names.iter().try_for_each(|name| {
        check_name(name)?;
        check(seen.insert(*name))
    })
}

/// Reading.
impl Store {
    pub(super) fn load_head_v3(&mut self, bytes: &mut &[u8]) -> Result<(), DecodeError> {
        self.load_head(decode_next(bytes)?)?;
        let head: HeadV3<'_> = decode_next(bytes)?;
        check(self.decided.next_serial() == 0 && head.next_record <= U48::MAX)?;
        let settings = head.settings.added_to(self.settings.clone());
        check(settings.fit())?;
        self.settings = settings;
        self.stats.votes = head.votes;
        self.stats.splits = head.splits;
        self.stats.records_evicted = head.records_evicted;
        self.stats.waits = head.waits.into();
        self.stats.handles = head.handles.into();
        if head.next_record > 0 {
            self.decided.get_mut().set_next_serial(head.next_record);
        }
        Ok(())
    }

    /// Adds the items of a chunk, of which there is more than version 1 has a place for.
    pub(super) fn load_items_v3(&mut self, bytes: &mut &[u8]) -> Result<(), DecodeError> {
        for _ in 0..decode_len(bytes, LEAST_ITEM + LEAST_MORE)? {
            self.load_item(bytes, |store, slot, bytes| {
                store.load_more(slot, &decode_next(bytes)?)
            })?;
        }
        Ok(())
    }

    /// What there is more of an item that is in no state yet.
    fn load_more(&mut self, slot: ItemSlot, more: &MoreV3<'_>) -> Result<(), DecodeError> {
        let quorum = Quorum {
            k: more.k,
            n: more.n,
        };
        check(quorum.fits() && more.added_tag.len() <= MAX_TAG)?;
        check(more.contested || more.added_tag.is_empty())?;
        check(!more.parked || more.contested && more.added_tag.is_empty())?;
        check(!more.contested || !more.votes.0.is_empty())?;
        let voters: Vec<&Bytes> = more.votes.0.iter().map(|vote| vote.moderator).collect();
        check_names(&voters)?;
        check_names(&more.deciders.0)?;
        for vote in &more.votes.0 {
            check(vote.verdict.len() <= MAX_VERDICT)?;
            check(vote.token <= self.last_token.0 && vote.at < U48::MAX)?;
            let vote = Vote {
                moderator: self.moderators.intern(vote.moderator),
                token: Token(vote.token),
                at: Time(vote.at),
                verdict: (&**vote.verdict).into(),
                split: vote.split,
            };
            self.add_vote(slot, vote);
        }
        let deciders = more.deciders.0.iter();
        let deciders = deciders.map(|name| self.moderators.intern(name)).collect();
        self.set_deciders(slot, deciders);
        let added_tag = match more.added_tag.is_empty() {
            true => false,
            false => {
                check(self.add_tag(slot, more.added_tag))?;
                true
            }
        };
        self.with_review(slot, |review| {
            review.quorum = quorum;
            review.contested = more.contested;
            review.parked = more.parked;
            review.added_tag = added_tag;
        });
        if let Some((group, fresh)) = more.member {
            check(group.len() <= MAX_GROUP && fresh < MAX_TIME)?;
            self.set_member(slot, group, Token(fresh));
        }
        // Else version 1 would have had a place for it.
        check(self.has_more(slot))
    }

    /// Adds the records of a chunk.
    pub(super) fn load_records(&mut self, bytes: &mut &[u8]) -> Result<(), DecodeError> {
        for _ in 0..decode_len(bytes, LEAST_RECORD)? {
            let record: RecordV3<'_> = decode_next(bytes)?;
            self.load_record(&record)?;
        }
        Ok(())
    }

    fn load_record(&mut self, record: &RecordV3<'_>) -> Result<(), DecodeError> {
        check_name(record.item)?;
        check(record.verdict.len() <= MAX_VERDICT && record.group.len() <= MAX_GROUP)?;
        check(record.decided < U48::MAX && record.submitted < U48::MAX)?;
        check(record.serial < self.decided.next_serial() && record.token <= self.last_token.0)?;
        check(!record.moderators.0.is_empty())?;
        check_names(&record.moderators.0)?;
        check_names(&record.barred.0)?;
        debug_assert!(record.item.len() <= MAX_ID);
        let key = (Time(record.decided), record.serial);
        check(!self.decided.has(record.item, key))?;
        let names = |names: &[&'_ Bytes]| -> Vec<Box<[u8]>> {
            names.iter().map(|name| (&***name).into()).collect()
        };
        let (moderators, barred) = (names(&record.moderators.0), names(&record.barred.0));
        let verdict = Verdict {
            item: record.item,
            verdict: record.verdict,
            group: record.group,
            decided: key.0,
            token: Token(record.token),
            rev: Rev(record.rev),
            submitted: Time(record.submitted),
            reports: record.reports,
            moderators: moderators.iter().map(|name| &**name).collect(),
            barred: barred.iter().map(|name| &**name).collect(),
            payload: record.payload,
        };
        self.decided.get_mut().insert(&verdict, record.serial);
        Ok(())
    }
}
