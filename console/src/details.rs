//! What the page of one queue shows beyond its figures, fetched once for all who look at it.

use crate::db::{Db, Failure, Page, Row, Stats, Waiter};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How old it may be.
const FRESH: Duration = Duration::from_millis(1500);
/// The same of what may be costly: figures by tag, and what comes next.
const COSTLY_FRESH: Duration = Duration::from_secs(10);
/// Rows of each table.
pub(crate) const ROWS: u32 = 50;
/// How many of what comes next.
pub(crate) const NEXT: u32 = 10;

/// What the page of a queue shows.
pub(crate) struct Detail {
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) locked: Page<Row>,
    pub(crate) config: Vec<(String, Vec<u8>)>,
    /// With figures by tag and priority.
    pub(crate) stats: Stats,
    /// When the figures were asked for.
    pub(crate) asked: Instant,
    pub(crate) next: Vec<Vec<u8>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Held>>>;

struct Held {
    at: Instant,
    costly_at: Instant,
    detail: Arc<Detail>,
}

/// Details by queue.
#[derive(Default)]
pub(crate) struct Details(Mutex<HashMap<Vec<u8>, (Instant, Slot)>>);

impl Details {
    /// Of this queue, at most some seconds old.
    pub(crate) async fn get(&self, db: &Db, key: &[u8]) -> Result<Arc<Detail>, Failure> {
        let slot = self.slot(key);
        let mut held = slot.lock().await;
        if let Some(held) = held.as_ref().filter(|h| h.at.elapsed() < FRESH) {
            return Ok(held.detail.clone());
        }
        let old = held.take().filter(|h| h.costly_at.elapsed() < COSTLY_FRESH);
        let asked = Instant::now();
        let costly_at = old.as_ref().map_or(asked, |h| h.costly_at);
        let (stats, next) = match &old {
            Some(old) => (old.detail.stats.clone(), old.detail.next.clone()),
            None => tokio::try_join!(db.stats(key), db.peek(key, NEXT))?,
        };
        let (waiters, locked, config) = tokio::try_join!(
            db.waiters(key, ROWS),
            db.list(key, "LOCKED", "0", ROWS),
            db.config(key),
        )?;
        let detail = Arc::new(Detail {
            waiters,
            locked,
            config,
            stats,
            asked: costly_at,
            next,
        });
        *held = Some(Held {
            at: Instant::now(),
            costly_at,
            detail: detail.clone(),
        });
        Ok(detail)
    }

    /// After an action: the next look fetches anew.
    pub(crate) fn forget(&self, key: &[u8]) {
        if let Ok(mut slots) = self.0.lock() {
            slots.remove(key);
        }
    }

    fn slot(&self, key: &[u8]) -> Slot {
        let Ok(mut slots) = self.0.lock() else {
            return Slot::default();
        };
        slots.retain(|_, (used, _)| used.elapsed() < Duration::from_secs(60));
        let slot = slots
            .entry(key.to_vec())
            .or_insert_with(|| (Instant::now(), Slot::default()));
        slot.0 = Instant::now();
        slot.1.clone()
    }
}
