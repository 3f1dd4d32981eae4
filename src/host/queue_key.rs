//! The value of a queue's key: the queue, and what the process keeps beside it.

use super::bindings::LostStream;
use super::board_keys;
use super::clock;
use super::damage::Damage;
use super::hints::Hint;
use super::limiter_keys::LeaseKey;
use super::schedule;
use super::totals::{Contribution, Counted, QUEUES};
use super::waiting::{self, Told};
use crate::server::args::ServerStr;
use crate::server::context::{Context, Refusal};
use crate::server::key::{Key, Mode};
use crate::server::types::{Stored, TypeHandle};
use modq_core::memory::alloc_size;
use modq_core::queue::{Due, Queue};
use modq_core::units::Time;
use std::ffi::CStr;

/// The value of a queue's key.
#[derive(Default)]
pub struct QueueKey {
    /// The queue itself.
    pub queue: Queue,
    /// When the schedule thinks that the queue has something to do; none if it does not know it.
    hint: Option<Hint>,
    damage: Damage,
    /// Which of the clients that wait in blocked calls the queue was told of.
    pub(super) told: Option<Box<Told>>,
    /// The queue lost its event stream, and replicas and the AOF have yet to be told.
    pub(super) lost_stream: Option<Box<LostStream>>,
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
        alloc_size(size_of::<QueueKey>()) - size_of::<Queue>() + self.queue.memory_bytes()
    }

    fn free_effort(&self) -> usize {
        self.queue.free_effort()
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
        if let Some(due) = self.earlier_due() {
            schedule::set::<QueueKey>(ctx, &mut self.hint, ctx.db(), name.bytes(), due);
        }
    }

    /// When the queue has something to do, if that is earlier than the schedule knows.
    #[inline]
    fn earlier_due(&self) -> Option<Time> {
        let due = match self.next_due()? {
            Due::Now => clock::now().time,
            Due::At(time) => time,
        };
        let known = self.hint.as_ref().map(Hint::due);
        known.is_none_or(|known| due < known).then_some(due)
    }

    /// Tells the schedule that the queue, which stands in the selected database under `name`, has
    /// something to do at `due` and not before, or nothing at all.
    pub(super) fn schedule(&mut self, ctx: Context<'_>, name: ServerStr<'_>, due: Option<Time>) {
        match due {
            Some(due) => {
                schedule::set::<QueueKey>(ctx, &mut self.hint, ctx.db(), name.bytes(), due)
            }
            None => self.hint = None,
        }
    }

    /// The queue came to this name by other means than a command of ours.
    fn arrived(&mut self, ctx: Context<'_>, db: i32, name: ServerStr<'_>) {
        self.contribution.update(&self.queue);
        // The schedule knew it by another name, if at all.
        self.hint = None;
        // Calls may have ended while the queue was under another name.
        self.told = None;
        let now = clock::now().time;
        let ahead = self.damage.is_none() && self.queue.is_due(now);
        let due = if ahead { Some(now) } else { self.earlier_due() };
        if let Some(due) = due {
            schedule::set::<QueueKey>(ctx, &mut self.hint, db, name.bytes(), due);
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
    board_keys::key_arrived(ctx, name);
    waiting::name_changed(db, name.bytes());
}
