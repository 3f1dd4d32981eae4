//! Concurrency limits: leases that end by RELEASE or at their time. Source: the contract,
//! `ratelimit.md`, "Concurrency".

use super::agenda::{Agenda, DROPS, Live, Row};
use super::id_map::IdMap;
use super::limits::{MAX_TIME, MAX_VALUE};
use super::state::ApplyError;
use super::wait::Wait;
use crate::units::{Millis, Time, Token};
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Most leases in a key.
pub const MAX_LEASES: usize = 100_000;

/// A lease; it is live while now < expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Units held, 1 to 2^53.
    pub cost: u64,
    /// When it ends, unless it is renewed or released before.
    pub expires: Time,
    /// Its fencing token, 1 to 2^53 - 1; larger than those of all earlier leases.
    pub fence: Token,
}

/// The leases on one subject. Nothing but [`Leases::apply`] changes it, once it is loaded.
#[derive(Debug, Clone, Default)]
pub struct Leases {
    by_id: IdMap<Lease>,
    /// The ids of all of them, by when they end.
    agenda: Agenda,
    /// No lease was taken or renewed later than this.
    newest: Time,
    /// The largest fence ever given; before the first, `Token(0)`, which is none.
    pub(super) last_fence: Token,
}

/// A lease as LEASES answers it, with its id.
pub type Listed<'a> = (&'a [u8], &'a Lease);

/// What is asked of [`Leases::acquire`].
#[derive(Debug, Clone, Copy)]
pub struct Acquire<'a> {
    /// Most units held at once, 1 to 2^53.
    pub max: u64,
    /// Who asks: 1 to 512 bytes.
    pub id: &'a [u8],
    /// How long the lease lasts, 1 to 2^53 ms.
    pub ttl: Millis,
    /// Units to hold, 1 to 2^53.
    pub cost: u64,
}

/// The answer to ACQUIRE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired<'a> {
    /// Units held by live leases, after this request.
    pub in_use: u64,
    /// Whether there is a lease.
    pub outcome: Outcome<'a>,
}

/// Whether an ACQUIRE got its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It did, or it renewed the one it had.
    Leased {
        /// The fencing token of the lease: a new one, or that which the renewed lease had.
        fence: Token,
        /// Whether applying the effect may need to allocate: not so for a renewal.
        needs_alloc: bool,
        /// What to apply and replicate.
        effect: LeaseEffect<'a>,
    },
    /// It did not.
    Denied {
        /// How long it takes until leases end that make room.
        retry_after: Wait,
        /// What to apply all the same: leases taken later than now, by a clock that was set back
        /// since, are to last no longer than was asked.
        effect: Option<LeaseEffect<'a>>,
    },
}

/// A change, with the time it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseEffect<'a> {
    pub(super) at: Time,
    /// Whose lease it is.
    pub(super) id: &'a [u8],
    pub(super) change: LeaseChange,
}

/// What happens to the lease of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseChange {
    /// From now on it has this one, in place of another or not.
    Acquire(Lease),
    /// It ends.
    Release,
    /// Nothing but what every effect does; it has no id.
    Restamp,
}

impl LeaseEffect<'_> {
    /// The time of the effect.
    pub fn at(&self) -> Time {
        self.at
    }
}

impl Leases {
    fn live(&self, id: &[u8], now: Time) -> Option<&Lease> {
        self.by_id.get(id).filter(|lease| lease.expires > now)
    }

    /// The largest fence given so far; `Token(0)` before the first.
    #[must_use]
    pub fn last_fence(&self) -> Token {
        self.last_fence
    }

    /// ACQUIRE at `now`. A new lease gets a fence that is larger than every one given here before,
    /// and not less than `least_fence` (the server gives its clock in microseconds, so that fences
    /// rise also if the key was deleted in between).
    pub fn acquire<'a>(&self, now: Time, least_fence: Token, ask: &Acquire<'a>) -> Acquired<'a> {
        let now = now.min(MAX_TIME);
        let own = self
            .live(ask.id, now)
            .map(|own| self.seen_at(ask.id, own, now));
        let live = self.agenda.live(now);
        let fence = match own {
            Some(own) => own.fence,
            None => least_fence.max(Token(self.last_fence.0 + 1)),
        };
        if let Err(retry_after) = self.room(now, own, fence, live, ask) {
            return Acquired {
                in_use: live.weight,
                outcome: Outcome::Denied {
                    retry_after,
                    effect: self.restamp(now),
                },
            };
        }
        let lease = Lease {
            cost: ask.cost,
            expires: now + ask.ttl,
            fence,
        };
        Acquired {
            in_use: live.weight - own.map_or(0, |own| own.cost) + ask.cost,
            outcome: Outcome::Leased {
                fence,
                needs_alloc: own.is_none(),
                effect: LeaseEffect {
                    at: now,
                    id: ask.id,
                    change: LeaseChange::Acquire(lease),
                },
            },
        }
    }

    /// Whether there is room at `now` for what is asked, by who has the lease `own` if any; else
    /// how long it takes until there is.
    fn room(
        &self,
        now: Time,
        own: Option<Lease>,
        fence: Token,
        live: Live,
        ask: &Acquire,
    ) -> Result<(), Wait> {
        // The fences run out only if the clock is past the year 2255.
        if ask.cost > ask.max || fence.0 >= MAX_VALUE {
            return Err(Wait::Forever);
        }
        // What the others hold at a time: a renewal does not stand in its own way.
        let fits = |time: Time, mut live: Live| {
            if let Some(own) = own.filter(|own| own.expires > time) {
                live.weight -= own.cost;
                live.rows -= 1;
            }
            live.weight + ask.cost <= ask.max && live.rows < MAX_LEASES as u64
        };
        if fits(now, live) {
            return Ok(());
        }
        let later = |time, live| time > now && fits(time, live);
        let room_from = match self.newest > now {
            false => self.agenda.room_from(later),
            true => self.settled(now).room_from(later),
        };
        Err(match room_from {
            Some(time) => Wait::capped(time.since(now)),
            None => Wait::Forever,
        })
    }

    /// A lease as an effect at `now` would leave it.
    fn seen_at(&self, id: &[u8], lease: &Lease, now: Time) -> Lease {
        let mut seen = *lease;
        if self.newest > now {
            seen.expires = match self.agenda.find(lease.expires, id) {
                Some(row) => row.due_seen_at(now),
                None => lease.expires,
            };
        }
        seen
    }

    /// All ends as effects at `now` will leave them.
    fn settled(&self, now: Time) -> Agenda {
        let mut rows: Vec<Row> = self.agenda.iter().cloned().collect();
        for row in &mut rows {
            row.due = row.due_seen_at(now);
        }
        rows.sort_by_key(|row| row.due);
        let mut settled = Agenda::default();
        rows.into_iter().for_each(|row| settled.insert(row));
        settled
    }

    /// The effect that nothing but restamps, if anything is stamped later than `now`.
    fn restamp<'a>(&self, now: Time) -> Option<LeaseEffect<'a>> {
        (self.newest > now).then_some(LeaseEffect {
            at: now,
            id: &[],
            change: LeaseChange::Restamp,
        })
    }

    /// RELEASE. `None` if there is no live lease of this id.
    pub fn release<'a>(&self, now: Time, id: &'a [u8]) -> Option<LeaseEffect<'a>> {
        let at = now.min(MAX_TIME);
        self.live(id, at).map(|_| LeaseEffect {
            at,
            id,
            change: LeaseChange::Release,
        })
    }

    /// Carries out an effect; the only way in which leases change. Leases that have ended by the
    /// effect's time are dropped too, and those taken later than that, by a clock that was set back
    /// since, are restamped to it; some thousand at most each. If there are more, later effects do
    /// the rest.
    ///
    /// # Errors
    /// The effect cannot have happened to these leases. Nothing was changed.
    pub fn apply(&mut self, effect: &LeaseEffect) -> Result<(), ApplyError> {
        self.check(effect)?;
        if self.newest > effect.at {
            self.settle(effect.at);
        }
        let by_id = &mut self.by_id;
        self.agenda.drop_due(effect.at, |row| {
            by_id.remove(&row.id);
        });
        if let Some(own) = self.by_id.remove(effect.id) {
            self.agenda.remove(own.expires, effect.id);
        }
        if let LeaseChange::Acquire(lease) = effect.change {
            self.insert(effect.id, lease, effect.at);
        }
        Ok(())
    }

    /// Restamps leases taken later than `now`, some thousand at most.
    #[cold]
    fn settle(&mut self, now: Time) {
        let rows = self.agenda.take_ahead(now);
        if rows.len() < DROPS {
            self.newest = now;
        }
        for row in rows {
            let due = row.due_seen_at(now);
            if let Some(lease) = self.by_id.get_mut(&row.id) {
                lease.expires = due;
            }
            self.agenda.insert(Row {
                due,
                stamp: now,
                ..row
            });
        }
    }

    /// Whether an effect can have happened to these leases.
    fn check(&self, effect: &LeaseEffect) -> Result<(), ApplyError> {
        let own = self.live(effect.id, effect.at);
        let fits = match effect.change {
            LeaseChange::Restamp => true,
            LeaseChange::Release => own.is_some(),
            LeaseChange::Acquire(lease) => {
                let live = self.agenda.live(effect.at);
                let others = live.weight - own.map_or(0, |own| own.cost);
                let fence_fits = match own {
                    Some(own) => lease.fence == own.fence,
                    None => lease.fence > self.last_fence && live.rows < MAX_LEASES as u64,
                };
                fence_fits && others + lease.cost <= MAX_VALUE
            }
        };
        fits.then_some(()).ok_or(ApplyError)
    }

    fn insert(&mut self, id: &[u8], lease: Lease, at: Time) {
        let id: Arc<[u8]> = id.into();
        self.last_fence = self.last_fence.max(lease.fence);
        self.newest = self.newest.max(at);
        self.agenda.insert(Row {
            due: lease.expires,
            weight: lease.cost,
            stamp: at,
            id: id.clone(),
        });
        self.by_id.insert(id, lease);
    }

    /// For loading: a lease of an id not there yet, and when it was taken or renewed: the epoch if that is
    /// not known. False if it cannot be.
    #[must_use]
    pub(super) fn load_one(&mut self, id: &[u8], lease: Lease, at: Time) -> bool {
        // Leases that have ended but are not dropped yet do not count towards any maximum.
        let held = self.agenda.weight();
        let fits = super::valid_id(id)
            && self.by_id.len() < MAX_LEASES
            && self.by_id.get(id).is_none()
            && (1..=MAX_VALUE).contains(&lease.cost)
            && held + lease.cost <= 1 << 62
            && (1..=2 * MAX_VALUE).contains(&lease.expires.0)
            && (1..MAX_VALUE).contains(&lease.fence.0)
            && lease.fence <= self.last_fence
            && at < lease.expires;
        if fits {
            self.insert(id, lease, at);
        }
        fits
    }

    /// Every lease held, whether ended or not, the earliest to end first: loaded in this order they
    /// each go to the end.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Lease)> {
        let rows = self.agenda.iter();
        rows.filter_map(|row| Some((&*row.id, self.by_id.get(&row.id)?)))
    }

    /// The same with when each was taken or renewed.
    pub(super) fn iter_stamped(&self) -> impl Iterator<Item = (&[u8], &Lease, Time)> {
        let rows = self.agenda.iter();
        rows.filter_map(|row| Some((&*row.id, self.by_id.get(&row.id)?, row.stamp)))
    }

    /// LEASES: the ids and leases live at `now`, the earliest to expire first.
    pub fn list(&self, now: Time) -> impl Iterator<Item = (&[u8], &Lease)> {
        self.iter()
            .skip_while(move |(_, lease)| lease.expires <= now)
    }

    /// LEASES by pages: up to `count` leases live at `now`, from the fence `from` on in the order of
    /// fences, and the fence to go on with, if there are more. A renewal keeps the fence, so what is
    /// live throughout an iteration is listed, whatever else changes.
    pub fn page(&self, now: Time, from: Token, count: usize) -> (Option<Token>, Vec<Listed<'_>>) {
        let live = || {
            let all = self
                .by_id
                .iter()
                .map(|(id, lease)| (lease.fence, id, lease));
            all.filter(move |(fence, _, lease)| lease.expires > now && *fence >= from)
        };
        // The smallest fences in one pass, the largest of them on top: one more than are answered, to
        // know where to go on.
        let mut first = BinaryHeap::with_capacity(count + 2);
        for (fence, id, _) in live() {
            if first.len() <= count {
                first.push((fence, id));
            } else if first.peek().is_some_and(|(last, _)| fence < *last) {
                first.pop();
                first.push((fence, id));
            }
        }
        let mut rows = first.into_sorted_vec();
        let mut next = rows.get(count).map(|(fence, _)| *fence);
        rows.truncate(count);
        // A forged payload may hold a fence twice: such leases stand on one page.
        if let Some(twice) = next.filter(|next| rows.last().is_some_and(|(f, _)| f == next)) {
            rows.retain(|(fence, _)| *fence < twice);
            let same = live().filter(|(fence, ..)| *fence == twice);
            rows.extend(same.map(|(fence, id, _)| (fence, id)));
            next = live().map(|(fence, ..)| fence).filter(|f| *f > twice).min();
        }
        let rows = rows.into_iter();
        let rows = rows.filter_map(|(_, id)| Some((id, self.by_id.get(id)?)));
        (next, rows.collect())
    }

    /// How many leases are live at `now`.
    pub fn count(&self, now: Time) -> usize {
        self.agenda.live(now).rows as usize
    }

    /// Whether it holds no lease, live or not: the key is to be deleted. (If it holds only leases
    /// that have ended, `expires_at` is in the past.)
    pub fn is_empty(&self) -> bool {
        self.by_id.len() == 0
    }

    /// When the last lease ends, 2^53 ms at most. `None` if there is none.
    pub fn expires_at(&self) -> Option<Time> {
        self.agenda.end().map(|end| end.min(MAX_TIME))
    }

    /// Bytes of memory, its own and on the heap. Looks at each block of the agenda.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Leases>() + self.agenda.heap_bytes() + self.by_id.heap_bytes()
    }

    /// About how many heap blocks there are to free.
    pub fn free_effort(&self) -> usize {
        1 + 2 * self.agenda.len()
    }
}
