//! What is remembered of decided items, as readers are shown it.

use crate::queue::Queue;
use crate::queue::store::Rev;
use crate::units::{Time, Token};

/// The record of a decided item as DECIDED answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// The item.
    pub item: &'a [u8],
    /// The outcome that machines compare; empty if none was named.
    pub verdict: &'a [u8],
    /// When it was decided.
    pub decided: Time,
    /// When the record runs out, by what RETAIN is now.
    pub expires: Time,
    /// The token of whoever ended it; zero if they had no lock on it.
    pub token: Token,
    /// Its last revision.
    pub rev: Rev,
    /// When it was first submitted.
    pub submitted: Time,
    /// How often it was reported, before it was decided and after.
    pub reports: u32,
    /// All who voted; the one who ended it last.
    pub moderators: Vec<&'a [u8]>,
}

impl Queue {
    /// How many records of decided items can be read.
    #[must_use]
    pub fn decided(&self, now: Time) -> usize {
        self.store.records_live(now)
    }

    /// The record of a decided item, if it can be read: O(log n).
    #[must_use]
    pub fn record(&self, id: &[u8], now: Time) -> Option<RecordView<'_>> {
        let record = self.store.record(id, now)?;
        Some(RecordView {
            item: record.item,
            verdict: record.verdict,
            decided: record.decided,
            expires: record.decided + self.store.settings().retain,
            token: record.token,
            rev: record.rev,
            submitted: record.submitted,
            reports: record.reports,
            moderators: record.moderators,
        })
    }
}
