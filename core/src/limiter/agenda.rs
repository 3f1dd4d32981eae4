//! Ids in the order of the time at which they end, with running sums: how much is live at a time,
//! and from when on there is room, without walking every id. Blocks of a bounded number of rows
//! keep an insertion anywhere cheap.

use crate::memory::alloc_size;
use crate::units::Time;
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows per block: 40 kB to move at most, and a thousand blocks for a million rows.
const BLOCK_ROWS: usize = 1024;

/// Most rows dropped or restamped for one effect, so that thousands that end together do not make
/// it slow. What has ended counts for nothing whether it is dropped or not.
pub(super) const DROPS: usize = 1000;

#[derive(Debug, Clone)]
pub(super) struct Row {
    /// When the row ends; it is live while now < due.
    pub(super) due: Time,
    /// What it adds to the sums while it is live.
    pub(super) weight: u64,
    /// When the row was made; the epoch if that is not known, so that it never seems to come from the
    /// future.
    pub(super) stamp: Time,
    pub(super) id: Arc<[u8]>,
}

impl Row {
    fn key(&self) -> (Time, &[u8]) {
        (self.due, &self.id)
    }

    /// When it ends, as seen at `now`: if it was made later, as if it was made then.
    pub(super) fn due_seen_at(&self, now: Time) -> Time {
        match self.stamp > now {
            true => now + self.due.since(self.stamp),
            false => self.due,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Block {
    rows: Vec<Row>,
    /// The sum of the rows' weights.
    weight: u64,
    /// No stamp in the block is later.
    newest: Time,
}

impl Block {
    fn of(rows: Vec<Row>) -> Block {
        Block {
            weight: rows.iter().map(|row| row.weight).sum(),
            newest: rows.iter().map(|row| row.stamp).max().unwrap_or_default(),
            rows,
        }
    }
}

/// Rows in rising order of (due, id). It is up to the caller that the weights sum up to no more
/// than 2^63.
#[derive(Debug, Clone, Default)]
pub(super) struct Agenda {
    /// Without empty ones.
    blocks: VecDeque<Block>,
    /// How many rows there are in all blocks.
    rows: usize,
    /// Bytes of heap of all ids.
    id_bytes: usize,
}

/// What is live: number of rows, and sum of their weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Live {
    pub(super) rows: u64,
    pub(super) weight: u64,
}

impl Agenda {
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// When the last row ends.
    pub(super) fn end(&self) -> Option<Time> {
        self.blocks.back()?.rows.last().map(|row| row.due)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.blocks.iter().flat_map(|block| &block.rows)
    }

    /// The index of the block in which a row with this key stands, if there is one.
    fn block_of(&self, key: (Time, &[u8])) -> usize {
        self.blocks
            .partition_point(|block| block.rows.last().is_some_and(|row| row.key() < key))
    }

    pub(super) fn insert(&mut self, row: Row) {
        self.rows += 1;
        self.id_bytes += id_bytes(&row.id);
        // A row after all others goes into the last block, or into a new one once that is full:
        // rows that come in order fill their blocks.
        let mut i = self.block_of(row.key());
        if i == self.blocks.len() {
            if i > 0 && self.blocks[i - 1].rows.len() < BLOCK_ROWS {
                i -= 1;
            } else {
                self.blocks.push_back(Block::default());
            }
        } else if self.blocks[i].rows.len() >= BLOCK_ROWS {
            let rows = &mut self.blocks[i].rows;
            let upper = Block::of(rows.split_off(BLOCK_ROWS / 2));
            let lower = Block::of(std::mem::take(rows));
            let above = lower.rows.last().is_some_and(|last| last.key() < row.key());
            self.blocks[i] = lower;
            self.blocks.insert(i + 1, upper);
            i += usize::from(above);
        }
        let block = &mut self.blocks[i];
        block.weight += row.weight;
        block.newest = block.newest.max(row.stamp);
        let place = block.rows.partition_point(|other| other.key() < row.key());
        block.rows.insert(place, row);
    }

    /// The row of this id, which ends at `due`.
    pub(super) fn find(&self, due: Time, id: &[u8]) -> Option<&Row> {
        let rows = &self.blocks.get(self.block_of((due, id)))?.rows;
        let place = rows.binary_search_by(|row| row.key().cmp(&(due, id)));
        place.ok().map(|place| &rows[place])
    }

    pub(super) fn remove(&mut self, due: Time, id: &[u8]) {
        let i = self.block_of((due, id));
        let Some(block) = self.blocks.get_mut(i) else {
            return;
        };
        let Ok(place) = block.rows.binary_search_by(|row| row.key().cmp(&(due, id))) else {
            return;
        };
        block.weight -= block.rows.remove(place).weight;
        self.rows -= 1;
        self.id_bytes -= id_bytes(id);
        if block.rows.is_empty() {
            self.blocks.remove(i);
        }
    }

    /// Removes rows that have ended at `now`, earliest first, up to `DROPS` of them.
    pub(super) fn drop_due(&mut self, now: Time, mut dropped: impl FnMut(&Row)) {
        let mut left = DROPS;
        while let Some(block) = self.blocks.front_mut() {
            let ended = block.rows.partition_point(|row| row.due <= now);
            let n = ended.min(left);
            left -= n;
            for row in block.rows.drain(..n) {
                block.weight -= row.weight;
                self.rows -= 1;
                self.id_bytes -= id_bytes(&row.id);
                dropped(&row);
            }
            if !block.rows.is_empty() {
                return;
            }
            self.blocks.pop_front();
        }
    }

    /// Removes rows stamped after `now` and returns them, those that end last first: all, or
    /// `DROPS` of them if there are more.
    pub(super) fn take_ahead(&mut self, now: Time) -> Vec<Row> {
        let mut taken = Vec::new();
        let blocks = self.blocks.iter_mut().rev();
        for block in blocks.filter(|block| block.newest > now) {
            let rows = std::mem::take(&mut block.rows);
            let mut rest = Vec::with_capacity(rows.capacity());
            for row in rows.into_iter().rev() {
                if row.stamp > now && taken.len() < DROPS {
                    taken.push(row);
                } else {
                    rest.push(row);
                }
            }
            rest.reverse();
            *block = Block::of(rest);
            if taken.len() == DROPS {
                break;
            }
        }
        self.blocks.retain(|block| !block.rows.is_empty());
        self.rows -= taken.len();
        self.id_bytes -= taken.iter().map(|row| id_bytes(&row.id)).sum::<usize>();
        taken
    }

    /// The weights of all rows, ended or not.
    pub(super) fn weight(&self) -> u64 {
        self.blocks.iter().map(|block| block.weight).sum()
    }

    /// What is live at `now`.
    pub(super) fn live(&self, now: Time) -> Live {
        let mut live = Live::default();
        for block in self.blocks.iter().rev() {
            let ended = block.rows.partition_point(|row| row.due <= now);
            if ended == 0 {
                live.rows += block.rows.len() as u64;
                live.weight += block.weight;
            } else {
                live.rows += (block.rows.len() - ended) as u64;
                live.weight += block.rows[ended..].iter().map(|r| r.weight).sum::<u64>();
                break;
            }
        }
        live
    }

    /// The earliest of the rows' ends from which on `fits(time, what is live at that time)`, which
    /// must stay true once it is. `None` if that is not so even when all have ended.
    pub(super) fn room_from(&self, fits: impl Fn(Time, Live) -> bool) -> Option<Time> {
        let mut left = Live {
            rows: self.rows as u64,
            weight: self.weight(),
        };
        for block in &self.blocks {
            let last = block.rows.last()?;
            let after = Live {
                rows: left.rows - block.rows.len() as u64,
                weight: left.weight - block.weight,
            };
            if !fits(last.due, after) {
                left = after;
                continue;
            }
            for row in &block.rows {
                left.rows -= 1;
                left.weight -= row.weight;
                if fits(row.due, left) {
                    return Some(row.due);
                }
            }
        }
        None
    }

    /// Heap bytes, ids included. Looks at each block.
    pub(super) fn heap_bytes(&self) -> usize {
        let rows = self.blocks.iter().map(|b| b.rows.capacity());
        rows.map(|rows| alloc_size(rows * size_of::<Row>()))
            .sum::<usize>()
            + alloc_size(self.blocks.capacity() * size_of::<Block>())
            + self.id_bytes
    }
}

/// Bytes of heap of an id: an Arc keeps two counts in front of it.
fn id_bytes(id: &[u8]) -> usize {
    alloc_size((2 * size_of::<usize>() + id.len()).next_multiple_of(align_of::<usize>()))
}
