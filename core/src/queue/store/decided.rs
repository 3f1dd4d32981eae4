//! What is remembered of decided items: a record of each, for as long as RETAIN says, at most RETAINMAX
//! of them. Reads judge by the clock and by what the settings say now; what is no longer to be read
//! goes in bounded steps.

use super::item::U48;
use super::{ItemSlot, Rev, Store};
use crate::counted_tree::CountedTree;
use crate::id_bytes::{IdBytes, Place};
use crate::on_demand::empty_by_default;
use crate::slab::{Slab, slot_number};
use crate::slot_index::SlotIndex;
use crate::units::{Millis, Time, Token};
use sha2::{Digest, Sha256};
use std::num::NonZeroU8;

slot_number!(
    /// Where the record of a decided item is.
    pub(in crate::queue) RecordSlot
);

/// 128 bits of the SHA-256 of a payload (FIPS 180-4).
pub(in crate::queue) type PayloadHash = [u8; 16];

/// The hash of a payload.
pub(in crate::queue) fn hash(payload: &[u8]) -> PayloadHash {
    let full = Sha256::digest(payload);
    let mut half = PayloadHash::default();
    half.copy_from_slice(&full[..size_of::<PayloadHash>()]);
    half
}

/// How an item was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::queue) struct Verdict<'a> {
    pub item: &'a [u8],
    /// Empty if none was named.
    pub verdict: &'a [u8],
    /// Empty if it was in none.
    pub group: &'a [u8],
    pub decided: Time,
    /// Zero if whoever ended it had no lock on it.
    pub token: Token,
    pub rev: Rev,
    pub submitted: Time,
    pub reports: u32,
    /// All who voted; the one who ended it last.
    pub moderators: Vec<&'a [u8]>,
    /// Who was barred from it because they had decided before.
    pub barred: Vec<&'a [u8]>,
    pub payload: PayloadHash,
}

/// The record of a decided item.
#[derive(Debug)]
struct Record {
    payload: PayloadHash,
    token: Token,
    /// Where its content is: see [`ContentLens`].
    content: Place,
    rev: Rev,
    reports: u32,
    decided: U48,
    submitted: U48,
    serial: U48,
    lens: ContentLens,
}

/// How the content of a record is divided: item, verdict, group, then each name behind its length.
#[derive(Debug, Clone, Copy)]
struct ContentLens {
    item: u16,
    group: u16,
    verdict: u8,
    /// How many of the names are of those who voted: one at least, which leaves a value for a free slot.
    moderators: NonZeroU8,
}

// A chunk of them fills an allocation.
const _: () = assert!(size_of::<Option<Record>>() <= 64);

/// The content of the record of a verdict, and how it is divided.
fn content_of(verdict: &Verdict<'_>) -> (Vec<u8>, ContentLens) {
    let mut bytes = [verdict.item, verdict.verdict, verdict.group].concat();
    for name in verdict.moderators.iter().chain(&verdict.barred) {
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend(*name);
    }
    let moderators = NonZeroU8::new(verdict.moderators.len() as u8);
    let lens = ContentLens {
        item: verdict.item.len() as u16,
        group: verdict.group.len() as u16,
        verdict: verdict.verdict.len() as u8,
        moderators: moderators.expect("somebody has decided it"),
    };
    (bytes, lens)
}

impl Record {
    fn key(&self) -> (Time, u64) {
        (Time(self.decided.get()), self.serial.get())
    }

    fn item<'a>(&self, contents: &'a IdBytes) -> &'a [u8] {
        &contents.get(self.content)[..self.lens.item.into()]
    }

    fn verdict<'a>(&self, contents: &'a IdBytes) -> Verdict<'a> {
        let lens = self.lens;
        let (item, rest) = contents.get(self.content).split_at(lens.item.into());
        let (verdict, rest) = rest.split_at(lens.verdict.into());
        let (group, mut rest) = rest.split_at(lens.group.into());
        let mut names = Vec::new();
        while let Some((len, names_left)) = rest.split_first_chunk::<2>() {
            let (name, left) = names_left.split_at(u16::from_le_bytes(*len).into());
            names.push(name);
            rest = left;
        }
        let barred = names.split_off(usize::from(lens.moderators.get()));
        Verdict {
            item,
            verdict,
            group,
            decided: Time(self.decided.get()),
            token: self.token,
            rev: self.rev,
            submitted: Time(self.submitted.get()),
            reports: self.reports,
            moderators: names,
            barred,
            payload: self.payload,
        }
    }
}

/// The records of all decided items that are remembered.
#[derive(Debug, Default)]
pub(in crate::queue) struct Decided {
    all: Slab<RecordSlot, Record>,
    index: SlotIndex<RecordSlot>,
    /// By when they were decided, and in one ms by their serial number.
    order: CountedTree<RecordSlot, (Time, u64)>,
    next_serial: u64,
    contents: IdBytes,
}

empty_by_default!(Decided);

impl Decided {
    /// How many there are, also those that are no longer to be read.
    pub(in crate::queue) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn next_serial(&self) -> u64 {
        self.next_serial
    }

    pub(super) fn set_next_serial(&mut self, next: u64) {
        self.next_serial = next;
    }

    fn find(&self, item: &[u8]) -> Option<RecordSlot> {
        let hash = self.index.hash(item);
        self.index
            .find(hash, |slot| self.all[slot].item(&self.contents) == item)
    }

    fn rank(&self, key: (Time, u64)) -> usize {
        self.order.rank(key, |slot| self.all[slot].key())
    }

    /// Adds a record; there must be none of that item.
    pub(super) fn insert(&mut self, verdict: &Verdict<'_>, serial: u64) {
        let (content, lens) = content_of(verdict);
        let record = Record {
            payload: verdict.payload,
            token: verdict.token,
            content: self.contents.add(&content),
            rev: verdict.rev,
            reports: verdict.reports,
            decided: U48::new(verdict.decided.0),
            submitted: U48::new(verdict.submitted.0),
            serial: U48::new(serial),
            lens,
        };
        let key = record.key();
        let slot = self.all.insert(record);
        let (all, contents) = (&self.all, &self.contents);
        let hash = self.index.hash(verdict.item);
        self.index.insert(hash, slot, |s| all[s].item(contents));
        self.order.insert(slot, key, |s| all[s].key());
    }

    fn remove(&mut self, slot: RecordSlot) {
        let (key, hash) = {
            let record = &self.all[slot];
            (record.key(), self.index.hash(record.item(&self.contents)))
        };
        let all = &self.all;
        self.index.remove(hash, slot);
        self.order.remove(key, |s| all[s].key());
        let gone = self.all.remove(slot);
        self.contents.remove(gone.content);
    }

    /// All records, with their serial numbers: the earliest decided first.
    pub(in crate::queue) fn iter(&self) -> impl Iterator<Item = (Verdict<'_>, u64)> {
        let records = self.order.iter().map(|slot| &self.all[slot]);
        records.map(|record| (record.verdict(&self.contents), record.serial.get()))
    }

    /// Whether there is a record of that item, or one of that serial number at that time.
    pub(super) fn has(&self, item: &[u8], key: (Time, u64)) -> bool {
        let all = &self.all;
        self.find(item).is_some() || self.order.get(key, |s| all[s].key()).is_some()
    }

    /// Bytes of heap: O(1).
    pub(super) fn memory_bytes(&self) -> usize {
        self.all.memory_bytes()
            + self.index.memory_bytes()
            + self.order.memory_bytes()
            + self.contents.memory_bytes()
    }

    /// The heap bytes that are counted, and the same found by looking at everything.
    #[cfg(test)]
    pub(in crate::queue) fn counted_and_found(&self) -> (usize, usize) {
        self.contents.counted_and_found()
    }
}

impl Store {
    /// How many of the earliest records RETAINMAX leaves no room for.
    pub(in crate::queue) fn records_over(&self) -> usize {
        let max = self.settings.retain_max;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        match max {
            0 => 0,
            max => self.decided.len().saturating_sub(max),
        }
    }

    /// How many of the earliest records have run out.
    pub(in crate::queue) fn records_run_out(&self, now: Time) -> usize {
        let retain = self.settings.retain;
        if retain.is_zero() {
            return self.decided.len();
        }
        match now.checked_sub(retain) {
            // It lives until decided + RETAIN.
            Some(last) => self.decided.rank((last + Millis(1), 0)),
            None => 0,
        }
    }

    /// When the next record runs out, or is to go for another reason.
    #[inline]
    pub(in crate::queue) fn next_record_due(&self) -> Option<Time> {
        match self.decided.len() {
            0 => None,
            _ => self.earliest_record_due(),
        }
    }

    fn earliest_record_due(&self) -> Option<Time> {
        let first = self.decided.order.first()?;
        if self.records_over() > 0 {
            return Some(Time::EPOCH);
        }
        let decided = Time(self.decided.all[first].decided.get());
        Some(match self.settings.retain {
            Millis::ZERO => Time::EPOCH,
            retain => decided + retain,
        })
    }

    /// Whether there are records that have run out or are over RETAINMAX. A queue that has none pays one
    /// comparison.
    #[inline]
    pub(in crate::queue) fn has_records_due(&self, now: Time) -> bool {
        self.decided.len() > 0 && self.next_record_due().is_some_and(|due| due <= now)
    }

    /// How many records can be read.
    pub(in crate::queue) fn records_live(&self, now: Time) -> usize {
        let gone = self.records_run_out(now).max(self.records_over());
        self.decided.len() - gone
    }

    /// The record of an item, if it can be read.
    #[inline]
    pub(in crate::queue) fn record(&self, item: &[u8], now: Time) -> Option<Verdict<'_>> {
        match self.decided.len() {
            0 => None,
            _ => self.find_record(item, now),
        }
    }

    fn find_record(&self, item: &[u8], now: Time) -> Option<Verdict<'_>> {
        let record = &self.decided.all[self.decided.find(item)?];
        let gone = self.records_run_out(now).max(self.records_over());
        let lives = self.decided.rank(record.key()) >= gone;
        lives.then(|| record.verdict(&self.decided.contents))
    }

    /// How often a decided item was reported; 0 if there is no record of it.
    pub(in crate::queue) fn reports_of_record(&self, item: &[u8]) -> u32 {
        let record = self.decided.find(item);
        record.map_or(0, |slot| self.decided.all[slot].reports)
    }

    /// The last revision of a decided item; 0 if there is no record of it.
    pub(in crate::queue) fn rev_of_record(&self, item: &[u8]) -> Rev {
        let record = self.decided.find(item);
        record.map_or(Rev(0), |slot| self.decided.all[slot].rev)
    }

    /// Whether there is a record of an item, even one that can no longer be read.
    pub(super) fn has_record(&self, item: &[u8]) -> bool {
        self.decided.find(item).is_some()
    }

    /// Remembers how an item was decided, in the place of what was remembered of it before. Over
    /// RETAINMAX the earliest goes. Answers how many went for that.
    pub(super) fn remember(&mut self, verdict: &Verdict<'_>) -> u64 {
        if let Some(old) = self.decided.find(verdict.item) {
            self.decided.get_mut().remove(old);
        }
        let decided = self.decided.get_mut();
        let serial = decided.next_serial;
        decided.next_serial += 1;
        decided.insert(verdict, serial);
        // What a lowered RETAINMAX left over goes by the clock, in bounded steps; here only as much
        // as came.
        let over = self.records_over().min(1) as u64;
        self.drop_records(over);
        over
    }

    /// The earliest records go.
    pub(super) fn drop_records(&mut self, count: u64) {
        for _ in 0..count {
            let Some(first) = self.decided.order.first() else {
                break;
            };
            self.decided.get_mut().remove(first);
        }
    }

    /// Forgets how an item of the queue was decided before, if anything is remembered.
    #[inline]
    pub(super) fn forget_decision(&mut self, slot: ItemSlot) {
        if self.decided.len() > 0 {
            if let Some(record) = self.decided.find(self.items[slot].id()) {
                self.decided.get_mut().remove(record);
            }
        }
    }

    /// Forgets the record of an item.
    pub(super) fn forget_record(&mut self, item: &[u8]) {
        if let Some(slot) = self.decided.find(item) {
            self.decided.get_mut().remove(slot);
        }
    }

    /// A decided item was reported once more.
    pub(super) fn count_report(&mut self, item: &[u8]) {
        if let Some(slot) = self.decided.find(item) {
            let reports = &mut self.decided.get_mut().all[slot].reports;
            *reports = reports.saturating_add(1);
        }
    }
}
