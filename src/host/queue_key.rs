//! The value of a queue's key: the queue, and what the process keeps beside it.

use super::schedule;
use super::totals::{Live, QUEUES, Share};
use super::waiting::Attached;
use crate::server::args::ServerStr;
use crate::server::context::Context;
use crate::server::types::Stored;
use modq_core::queue::Queue;
use std::ffi::CStr;
use std::sync::atomic::AtomicPtr;

/// The value of a queue's key.
#[derive(Default)]
pub struct QueueKey {
    /// The queue itself.
    pub queue: Queue,
    /// The earliest due time that the schedule knows of for this key, Unix ms; 0 for none.
    pub(super) scheduled: u64,
    /// The name whose waiting clients the queue knows of.
    pub(super) attached: Option<Attached>,
    /// What is counted in the totals over all queues.
    share: Share,
    _live: Live<QUEUES>,
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

    fn handle_cell() -> &'static AtomicPtr<redis_module::raw::RedisModuleType> {
        static HANDLE: AtomicPtr<redis_module::raw::RedisModuleType> =
            AtomicPtr::new(std::ptr::null_mut());
        &HANDLE
    }
}

impl QueueKey {
    /// The queue may have something to do earlier than it had before.
    #[inline]
    pub fn changed(&mut self, ctx: Context<'_>, name: ServerStr<'_>) {
        if let Some(due) = self.count_in() {
            schedule::note(ctx, ctx.db(), name.bytes(), due);
        }
    }

    /// Counts it in, and answers when there is something to do, if that is earlier than scheduled.
    /// It is taken as scheduled from now on.
    fn count_in(&mut self) -> Option<u64> {
        self.share.update(&self.queue);
        let due = self.queue.next_due()?.max(1);
        let earlier = self.scheduled == 0 || due < self.scheduled;
        earlier.then(|| {
            self.scheduled = due;
            due
        })
    }

    /// The queue came to this key by other means than a command of ours.
    pub fn arrived(&mut self, ctx: Context<'_>, db: i32, name: ServerStr<'_>) {
        self.scheduled = 0;
        // Calls may have ended while the queue was under another name.
        self.attached = None;
        if let Some(due) = self.count_in() {
            schedule::note(ctx, db, name.bytes(), due);
        }
    }
}
