//! Concurrency limits: leases that end by RELEASE or at their time. Source: the contract,
//! `ratelimit.md`, "Concurrency".

use super::agenda::{Agenda, Row};
use super::limits::MAX_VALUE;
use super::state::ApplyError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most leases in a key.
pub const MAX_LEASES: usize = 100_000;

/// A lease; it is live while now < expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Units held, 1..=2^53.
    pub cost: u64,
    /// Unix ms.
    pub expires: u64,
    /// Fencing token, 1..2^53.
    pub fence: u64,
}

/// The leases on one subject. Nothing but [`Leases::apply`] (and loading) changes it.
#[derive(Debug, Clone, Default)]
pub struct Leases {
    by_id: BTreeMap<Arc<[u8]>, Lease>,
    agenda: Agenda,
    /// The largest fence ever given.
    pub(super) last_fence: u64,
}

/// The answer to ACQUIRE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired<'a> {
    /// 1 or 0.
    pub acquired: i64,
    /// Units held by live leases, after this request.
    pub in_use: i64,
    /// As asked.
    pub max: i64,
    /// 0 if acquired; else ms until the earliest expiry that makes room, -1 for never.
    pub retry_after: i64,
    /// The lease's fencing token, 0 when denied.
    pub fence: i64,
    /// Whether applying the effect may need to allocate: not so for a renewal.
    pub needs_alloc: bool,
    /// What to apply and replicate; `None` when denied.
    pub effect: Option<LeaseEffect<'a>>,
}

/// What is asked of [`Leases::acquire`].
#[derive(Debug, Clone, Copy)]
pub struct Acquire<'a> {
    /// Most units held at once, 1..=2^53.
    pub max: u64,
    /// 1 to 512 bytes.
    pub id: &'a [u8],
    /// Ms, 1..=2^53.
    pub ttl: u64,
    /// Units, 1..=2^53.
    pub cost: u64,
}

/// A change, with the time it happened (Unix ms).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseEffect<'a> {
    pub(super) at: u64,
    pub(super) id: &'a [u8],
    /// The lease the id has from now on; `None`: it is released.
    pub(super) lease: Option<Lease>,
}

impl Leases {
    fn live(&self, id: &[u8], now: u64) -> Option<&Lease> {
        self.by_id.get(id).filter(|lease| lease.expires > now)
    }

    /// ACQUIRE at `now_ms`; `now_us` is the same clock in microseconds, from which a new fence is
    /// made: larger than every one this value gave, and at least `now_us`.
    pub fn acquire<'a>(&self, now_ms: u64, now_us: u64, ask: &Acquire<'a>) -> Acquired<'a> {
        let now = now_ms.min(MAX_VALUE);
        let own = self.live(ask.id, now).copied();
        let in_use = self.agenda.live(now).weight;
        // What the others hold at a time: a renewal does not stand in its own way.
        let fits = |time: u64, mut live: super::agenda::Live| {
            if let Some(own) = own.filter(|own| own.expires > time) {
                live.weight -= own.cost;
                live.rows -= 1;
            }
            live.weight + ask.cost <= ask.max && live.rows < MAX_LEASES as u64
        };
        let fence = match own {
            Some(own) => own.fence,
            None => now_us.max(self.last_fence + 1),
        };
        let denied = |retry_after| Acquired {
            acquired: 0,
            in_use: in_use as i64,
            max: ask.max as i64,
            retry_after,
            fence: 0,
            needs_alloc: false,
            effect: None,
        };
        // The fences run out only if the clock is past the year 2255.
        if ask.cost > ask.max || fence >= MAX_VALUE {
            return denied(-1);
        }
        if !fits(now, self.agenda.live(now)) {
            let room = self
                .agenda
                .room_from(|time, live| time > now && fits(time, live));
            return denied(room.map_or(-1, |time| (time - now).min(MAX_VALUE) as i64));
        }
        let lease = Lease {
            cost: ask.cost,
            expires: now + ask.ttl,
            fence,
        };
        Acquired {
            acquired: 1,
            in_use: (in_use - own.map_or(0, |own| own.cost) + ask.cost) as i64,
            max: ask.max as i64,
            retry_after: 0,
            fence: fence as i64,
            needs_alloc: own.is_none(),
            effect: Some(LeaseEffect {
                at: now,
                id: ask.id,
                lease: Some(lease),
            }),
        }
    }

    /// RELEASE. `None`: no live lease of this id, reply 0; else 1.
    pub fn release<'a>(&self, now_ms: u64, id: &'a [u8]) -> Option<LeaseEffect<'a>> {
        let at = now_ms.min(MAX_VALUE);
        self.live(id, at).map(|_| LeaseEffect {
            at,
            id,
            lease: None,
        })
    }

    /// Carries out an effect; the only way in which leases change. Leases that have ended by the
    /// effect's time are dropped, the rest of very many by later effects. An effect that cannot
    /// have happened is an error and changes nothing.
    pub fn apply(&mut self, effect: &LeaseEffect) -> Result<(), ApplyError> {
        let own = self.live(effect.id, effect.at).copied();
        match (effect.lease, own) {
            (None, None) => return Err(ApplyError),
            (None, Some(_)) => {}
            (Some(lease), own) => {
                let live = self.agenda.live(effect.at);
                let others = live.weight - own.map_or(0, |own| own.cost);
                let fence_fits = match own {
                    Some(own) => lease.fence == own.fence,
                    None => lease.fence > self.last_fence && live.rows < MAX_LEASES as u64,
                };
                if !fence_fits || others + lease.cost > MAX_VALUE {
                    return Err(ApplyError);
                }
            }
        }
        let by_id = &mut self.by_id;
        self.agenda.drop_due(effect.at, |row| {
            by_id.remove(&row.id);
        });
        if let Some(own) = self.by_id.remove(effect.id) {
            self.agenda.remove(own.expires, effect.id);
        }
        if let Some(lease) = effect.lease {
            self.insert(effect.id, lease);
        }
        Ok(())
    }

    fn insert(&mut self, id: &[u8], lease: Lease) {
        let id: Arc<[u8]> = id.into();
        self.last_fence = self.last_fence.max(lease.fence);
        self.agenda.insert(Row {
            due: lease.expires,
            weight: lease.cost,
            stamp: 0,
            id: id.clone(),
        });
        self.by_id.insert(id, lease);
    }

    /// For loading: a lease of an id not there yet. False if it cannot be.
    #[must_use]
    pub(super) fn load_one(&mut self, id: &[u8], lease: Lease) -> bool {
        // Leases that have ended but are not dropped yet do not count towards any maximum.
        let held = self.agenda.weight();
        let fits = super::valid_id(id)
            && self.by_id.len() < MAX_LEASES
            && !self.by_id.contains_key(id)
            && (1..=MAX_VALUE).contains(&lease.cost)
            && held + lease.cost <= 1 << 62
            && (1..=2 * MAX_VALUE).contains(&lease.expires)
            && (1..MAX_VALUE).contains(&lease.fence);
        if fits {
            self.insert(id, lease);
        }
        fits
    }

    /// Every lease held, whether ended or not, the earliest to end first: loaded in this order they
    /// each go to the end.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Lease)> {
        let rows = self.agenda.iter();
        rows.filter_map(|row| Some((&*row.id, self.by_id.get(&row.id)?)))
    }

    /// LEASES: the leases live at `now_ms`, the earliest to expire first.
    pub fn list(&self, now_ms: u64) -> impl Iterator<Item = (&[u8], &Lease)> {
        self.iter()
            .skip_while(move |(_, lease)| lease.expires <= now_ms)
    }

    /// How many leases are live at `now_ms`.
    pub fn len(&self, now_ms: u64) -> usize {
        self.agenda.live(now_ms).rows as usize
    }

    /// Whether it holds no lease, live or not: the key is to be deleted. (One that holds ended
    /// ones only has an `expires_at` in the past.)
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// When the last lease ends (Unix ms, at most 2^53). `None` if there is none.
    pub fn expires_at(&self) -> Option<u64> {
        self.agenda.end().map(|end| end.min(MAX_VALUE))
    }

    /// Bytes of memory, its own and on the heap (tree nodes taken to be three quarters full).
    pub fn memory_bytes(&self) -> usize {
        let node = size_of::<Arc<[u8]>>() + size_of::<Lease>();
        size_of::<Leases>() + self.agenda.heap_bytes() + self.by_id.len() * node * 4 / 3
    }

    /// About how many heap blocks there are to free.
    pub fn free_effort(&self) -> usize {
        1 + 2 * self.agenda.len()
    }
}

impl LeaseEffect<'_> {
    /// The time of the effect (Unix ms).
    pub fn at(&self) -> u64 {
        self.at
    }
}
