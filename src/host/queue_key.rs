//! The value of a queue's key: the queue, and what the process keeps beside it.

use super::damage::Damage;
use super::schedule;
use super::totals::{Contribution, Counted, QUEUES};
use super::waiting::Told;
use crate::server::args::ServerStr;
use crate::server::context::{Context, Refusal};
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
    /// The name whose waiting clients the queue knows of.
    pub(super) told: Option<Told>,
    /// What is counted in the totals over all queues.
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

    /// The queue may have something to do earlier than it had before.
    #[inline]
    pub fn changed(&mut self, ctx: Context<'_>, name: ServerStr<'_>) {
        if let Some(due) = self.newly_due() {
            schedule::due_at(ctx, ctx.db(), name.bytes(), due);
        }
    }

    /// Brings the totals over all queues up to date, and answers when there is something to do, if
    /// that is earlier than scheduled. It is taken as scheduled from now on.
    fn newly_due(&mut self) -> Option<Due> {
        self.contribution.update(&self.queue);
        let due = self.next_due()?;
        let earlier = self.scheduled.is_none_or(|scheduled| due < scheduled);
        earlier.then(|| {
            self.scheduled = Some(due);
            due
        })
    }

    /// Nothing is scheduled for this key.
    pub(super) fn unschedule(&mut self) {
        self.scheduled = None;
    }

    /// The caller schedules this key, not before `earliest`.
    pub(super) fn schedule_by_caller(&mut self, next: Option<Due>, earliest: Time) {
        self.scheduled = next.map(|next| next.max(Due::At(earliest)));
    }

    /// The queue came to this key by other means than a command of ours.
    pub fn arrived(&mut self, ctx: Context<'_>, db: i32, name: ServerStr<'_>) {
        self.unschedule();
        // Calls may have ended while the queue was under another name.
        self.told = None;
        if let Some(due) = self.newly_due() {
            schedule::due_at(ctx, db, name.bytes(), due);
        }
    }
}
