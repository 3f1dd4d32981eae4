//! A row: the scores of one member.

use std::ops::Deref;

/// Most scores in a row.
pub const MAX_COLUMNS: usize = 4;

/// One to four scores, the most significant first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Those that are not in use are 0.
    scores: [i64; MAX_COLUMNS],
    len: u8,
}

impl Row {
    /// The row of these scores; none if there are none, or more than four.
    #[inline]
    pub fn new(scores: &[i64]) -> Option<Row> {
        let mut row = Row {
            scores: [0; MAX_COLUMNS],
            len: scores.len() as u8,
        };
        row.scores.get_mut(..scores.len())?.copy_from_slice(scores);
        (!scores.is_empty()).then_some(row)
    }

    /// The sum of both, column by column; none if a column overflows.
    #[inline]
    pub(super) fn checked_add(&self, more: &Row) -> Option<Row> {
        let mut sum = *self;
        for (score, more) in sum.scores.iter_mut().zip(more.scores) {
            *score = score.checked_add(more)?;
        }
        Some(sum)
    }
}

impl Deref for Row {
    type Target = [i64];

    #[inline]
    fn deref(&self) -> &[i64] {
        &self.scores[..usize::from(self.len)]
    }
}
