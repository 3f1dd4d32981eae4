//! The value of a queue's key: the queue, and what the process keeps beside it.

use super::clock;
use super::damage::Damage;
use super::limiter_keys::LeaseKey;
use super::schedule;
use super::totals::{Contribution, Counted, QUEUES};
use super::waiting::{self, Told};
use crate::server::args::ServerStr;
use crate::server::context::{Context, Refusal};
use crate::server::key::{Key, Mode};
use crate::server::types::{Stored, TypeHandle};
use modq_core::queue::{Due, Queue};
use modq_core::units::Time;
use std::ffi::CStr;

/// The value of a queue's key.
#[derive(Default)]
pub struct QueueKey {
    /// The queue itself.
    pub queue: Queue,
    /// The earliest due time that the schedule knows of for this key.
    scheduled: Option<Due>,
    damage: Damage,
    /// Which of the clients that wait in blocked calls the queue was told of.
    pub(super) told: Option<Told>,
    /// What the queue has added to the sums over all queues.
    contribution: Contribution,
    _counted: Counted<QUEUES>,
}

impl Stored for QueueKey {
    type Core = Queue;
    const NAME: &'static CStr = c"modqqueue";
    const WORD: &'static CStr = c"queue";

    fn core(&self) -> &Queue {
        &self.queue
    }

    fn core_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    fn memory_bytes(&self) -> usize {
        self.queue.memory_bytes()
    }

    fn free_effort(&self) -> usize {
        self.queue.len()
    }

    fn handle() -> &'static TypeHandle {
        static HANDLE: TypeHandle = TypeHandle::new();
        &HANDLE
    }
}

impl QueueKey {
    /// Refuses to change a damaged queue.
    ///
    /// # Errors
    /// If a panic left it half changed.
    #[inline]
    pub fn check(&self) -> Result<(), Refusal> {
        self.damage.check()
    }

    /// A panic left the queue half changed.
    pub fn damage(&mut self) {
        self.damage.mark();
    }

    /// Runs `body` on the queue. A panic in it damages the key.
    ///
    /// # Errors
    /// Those of `body`, and after a panic that the key is damaged.
    #[inline]
    pub fn guarded<R>(
        &mut self,
        body: impl FnOnce(&mut Queue) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let queue = &mut self.queue;
        self.damage.guard(|| body(queue))
    }

    /// When the queue next has something to do. A damaged one never has.
    #[inline]
    pub fn next_due(&self) -> Option<Due> {
        self.queue.next_due().filter(|_| self.damage.is_none())
    }

    /// The queue has changed: what follows from that outside of it is brought up to date. It stands
    /// in the selected database under `name`.
    #[inline]
    pub fn changed(&mut self, ctx: Context<'_>, name: ServerStr<'_>) {
        self.contribution.update(&self.queue);
        if let Some(due) = self.take_earlier_due() {
            schedule::due_at(ctx, ctx.db(), name.bytes(), due);
        }
    }

    /// When the queue has something to do, if that is earlier than the schedule knows; the caller
    /// tells the schedule, so that from now on it counts as known.
    fn take_earlier_due(&mut self) -> Option<Due> {
        let due = self.next_due()?;
        let earlier = self.scheduled.is_none_or(|scheduled| due < scheduled);
        earlier.then(|| {
            self.scheduled = Some(due);
            due
        })
    }

    /// The schedule knows nothing of this key.
    pub(super) fn unschedule(&mut self) {
        self.scheduled = None;
    }

    /// The caller tells the schedule when there is next something to do, not before `earliest`.
    pub(super) fn schedule_by_caller(&mut self, next: Option<Due>, earliest: Time) {
        self.scheduled = next.map(|next| next.max(Due::At(earliest)));
    }

    /// The queue came to this name by other means than a command of ours.
    fn arrived(&mut self, ctx: Context<'_>, db: i32, name: ServerStr<'_>) {
        self.contribution.update(&self.queue);
        // The schedule knew it by another name, if at all.
        self.unschedule();
        // Calls may have ended while the queue was under another name.
        self.told = None;
        if let Some(due) = self.take_earlier_due() {
            schedule::due_at(ctx, db, name.bytes(), due);
        }
    }
}

/// A key came to this name of the selected database by other means than a command of ours. If it is
/// a queue, its deadlines must be known here; clients may be waiting for the name, whatever it is.
pub fn key_arrived(ctx: Context<'_>, name: ServerStr<'_>) {
    let mut db = ctx.db();
    if let Ok(mut opened) = Key::<QueueKey>::open(ctx, name, Mode::Inspect) {
        // Not always the selected one: see `Key::db`.
        db = opened.db().unwrap_or(db);
        if let Some(stored) = opened.get_mut() {
            stored.arrived(ctx, db, name);
            clock::note_token(stored.queue.last_token(), clock::now().time);
        }
    }
    if let Ok(opened) = Key::<LeaseKey>::open(ctx, name, Mode::Inspect) {
        if let Some(stored) = opened.get() {
            clock::note_token(stored.leases.last_fence(), clock::now().time);
        }
    }
    waiting::name_changed(db, name.bytes());
}
