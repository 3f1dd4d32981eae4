//! What a board is set to.

use super::row::{MAX_COLUMNS, Row};
use crate::units::Millis;
use std::cmp::Ordering;

/// The largest CAP.
pub const MAX_CAP: u64 = 1 << 53;
/// The largest RETRY, ms.
pub const MAX_RETRY: u64 = 1 << 40;

/// Which scores of a column are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The larger.
    #[default]
    Desc,
    /// The smaller.
    Asc,
}

/// What a request does to the row of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Update {
    /// Adds to it, column by column.
    #[default]
    Sum,
    /// Takes its place if it is better.
    Best,
    /// Takes its place.
    Last,
}

/// Which of equal rows ranks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ties {
    /// The one that was reached first.
    #[default]
    Earliest,
    /// The one that was reached last.
    Latest,
    /// That of the member whose name has the smaller bytes.
    Member,
}

/// ORDER must be one word, or one for each column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderError;

/// The settings of a board. Only UPDATE and RETRY ever change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    order: [Order; MAX_COLUMNS],
    /// How many of `order` were given: one for all columns, or one for each.
    given: u8,
    columns: u8,
    /// What a request does that does not say so itself.
    pub update: Update,
    /// Which of equal rows ranks first.
    pub ties: Ties,
    /// How many members are kept, the best; 0 for all.
    pub cap: u64,
    /// For how long a request is remembered by its id.
    pub retry: Millis,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            order: [Order::Desc; MAX_COLUMNS],
            given: 1,
            columns: 1,
            update: Update::Sum,
            ties: Ties::Earliest,
            cap: 0,
            retry: Millis(600_000),
        }
    }
}

impl Settings {
    /// The defaults with so many columns, 1 to 4, in this order.
    ///
    /// # Errors
    /// If `order` is neither of one word nor of one for each column, or there are more columns.
    pub fn new(columns: usize, order: &[Order]) -> Result<Settings, OrderError> {
        let fits = (1..=MAX_COLUMNS).contains(&columns);
        if !fits || order.len() != 1 && order.len() != columns {
            return Err(OrderError);
        }
        let mut settings = Settings {
            given: order.len() as u8,
            columns: columns as u8,
            ..Settings::default()
        };
        for (i, known) in settings.order.iter_mut().enumerate() {
            *known = order[i.min(order.len() - 1)];
        }
        Ok(settings)
    }

    /// How many columns a row has.
    pub fn columns(&self) -> usize {
        usize::from(self.columns)
    }

    /// The order as it was given: one word for all columns, or one for each.
    pub fn order(&self) -> &[Order] {
        &self.order[..usize::from(self.given)]
    }

    /// The order of the first column.
    pub(super) fn first_order(&self) -> Order {
        self.order[0]
    }

    /// For each column the number that scores are to be combined with (exclusive or) so that the
    /// smaller are the better.
    pub(super) fn flips(&self) -> [i64; MAX_COLUMNS] {
        // Turning every bit of a number around turns the order of all numbers around.
        self.order.map(|order| match order {
            Order::Desc => -1,
            Order::Asc => 0,
        })
    }

    /// How two rows compare: less is better.
    pub(super) fn compare(&self, a: &Row, b: &Row) -> Ordering {
        let columns = a.iter().zip(b.iter()).zip(self.flips());
        let compared = columns.map(|((a, b), flip)| (a ^ flip).cmp(&(b ^ flip)));
        compared.fold(Ordering::Equal, Ordering::then)
    }

    /// How two standings compare: less is better.
    pub(super) fn compare_standings(&self, a: &Standing<'_>, b: &Standing<'_>) -> Ordering {
        self.compare(&a.row, &b.row).then_with(|| match self.ties {
            Ties::Earliest => a.stamp.cmp(&b.stamp),
            Ties::Latest => b.stamp.cmp(&a.stamp),
            Ties::Member => a.member.cmp(b.member),
        })
    }
}

/// A member with its row, and when that became what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Its name.
    pub member: &'a [u8],
    /// Its scores.
    pub row: Row,
    /// Unix µs, or a little more where several rows changed in one.
    pub stamp: u64,
}

impl Standing<'_> {
    /// When the row became what it is, Unix ms.
    pub fn achieved(&self) -> u64 {
        self.stamp / 1000
    }
}
