//! A worker: it claims one item at a time, keeps its lock alive while a handler works on it, and settles it.

use crate::queue::{Claim, Outcome, Queue, REPLY, not_ours, passes, settle};
use redis::{Connection, RedisError, RedisResult};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What a handler makes of an item.
#[derive(Debug)]
pub enum Decision {
    Resolve {
        verdict: String,
        decision: String,
    },
    /// Back to its place, ready again after this.
    Release(Duration),
}

/// One turn of a worker.
#[derive(Debug)]
pub enum Step {
    /// There was nothing within one wait.
    Idle,
    /// Something that passes by itself; the next step connects anew.
    Trouble(RedisError),
    /// A handler had this item.
    Worked(Claim, Outcome),
}

/// Works in the name of one moderator, of whom there must be no second worker.
pub struct Worker<'a> {
    queue: &'a Queue,
    moderator: String,
    /// How long a lock lasts without a heartbeat: so long an item is kept from others when this program dies.
    pub lock: Duration,
    /// How long one CLAIM waits.
    pub block: Duration,
    waiting: Option<Connection>,
    troubles: u32,
}

impl<'a> Worker<'a> {
    #[must_use]
    pub fn new(queue: &'a Queue, moderator: &str) -> Self {
        Self {
            queue,
            moderator: moderator.to_owned(),
            lock: Duration::from_secs(30),
            block: Duration::from_secs(5),
            waiting: None,
            troubles: 0,
        }
    }

    /// Waits for an item, lets `handler` work on it, and settles it. The flag that the handler is given becomes true when
    /// the lock is lost: then it should stop. Errors are those that do not pass: no rights, another type.
    pub fn step(
        &mut self,
        handler: impl FnOnce(&Claim, &AtomicBool) -> Decision,
    ) -> RedisResult<Step> {
        match self.next() {
            Ok(None) => Ok(Step::Idle),
            Ok(Some(claim)) => {
                let decision = self.hold(&claim, |lost| handler(&claim, lost));
                let outcome = self.settle(&claim, &decision)?;
                Ok(Step::Worked(claim, outcome))
            }
            Err(error) if passes(&error) || not_ours(&error) => {
                self.waiting = None;
                self.troubles += 1;
                thread::sleep(pause(self.troubles));
                Ok(Step::Trouble(error))
            }
            Err(error) => Err(error),
        }
    }

    fn next(&mut self) -> RedisResult<Option<Claim>> {
        let patience = self.block + Duration::from_secs(2);
        let mut con = match self.waiting.take() {
            Some(con) => con,
            None => self.queue.connect(patience)?,
        };
        let claim = self
            .queue
            .claim(&mut con, &self.moderator, self.lock, self.block)?;
        // After a trouble it may be a lock whose answer was lost: how much of it is left is unknown.
        if let (Some(claim), 1..) = (&claim, self.troubles) {
            self.queue.extend(&mut con, claim, self.lock)?;
        }
        self.troubles = 0;
        self.waiting = Some(con);
        Ok(claim)
    }

    /// Sends heartbeats while `work` goes on. None is on its way any more when this returns: behind a RESOLVE its answer
    /// would be NOITEM.
    fn hold<T>(&self, claim: &Claim, work: impl FnOnce(&AtomicBool) -> T) -> T {
        let lost = AtomicBool::new(false);
        let (done, over) = channel();
        thread::scope(|scope| {
            scope.spawn(|| self.beat(claim, over, &lost));
            let made = work(&lost);
            drop::<std::sync::mpsc::Sender<()>>(done);
            made
        })
    }

    /// Extends the lock every third of its length until `over` hangs up, or it is lost: because the server says so, or
    /// because nobody answers for as long as it lasts.
    fn beat(&self, claim: &Claim, over: Receiver<()>, lost: &AtomicBool) {
        let mut con = None;
        let mut safe_until = Instant::now() + self.lock;
        while over.recv_timeout(self.lock / 3) == Err(RecvTimeoutError::Timeout) {
            let sent = Instant::now();
            match self.extend(&mut con, claim) {
                Ok(_) => safe_until = sent + self.lock,
                Err(error) if not_ours(&error) => safe_until = sent,
                Err(_) => con = None,
            }
            if Instant::now() >= safe_until {
                lost.store(true, Ordering::Relaxed);
                return;
            }
        }
    }

    /// A heartbeat that gets no answer leaves time for another.
    fn extend(&self, con: &mut Option<Connection>, claim: &Claim) -> RedisResult<u64> {
        let mut mine = match con.take() {
            Some(mine) => mine,
            None => self.queue.connect(REPLY.min(self.lock / 4))?,
        };
        let deadline = self.queue.extend(&mut mine, claim, self.lock)?;
        *con = Some(mine);
        Ok(deadline)
    }

    fn settle(&mut self, claim: &Claim, decision: &Decision) -> RedisResult<Outcome> {
        let mut con = self.waiting.take();
        let outcome = settle(
            || {
                let mut mine = match con.take() {
                    Some(mine) => mine,
                    None => self.queue.connect(REPLY)?,
                };
                let status = match decision {
                    Decision::Resolve { verdict, decision } => {
                        self.queue.resolve(&mut mine, claim, verdict, decision)
                    }
                    Decision::Release(delay) => self.queue.release(&mut mine, claim, *delay),
                }?;
                con = Some(mine);
                Ok(status)
            },
            |attempt| thread::sleep(pause(attempt)),
        );
        self.waiting = con;
        outcome
    }
}

/// Longer each time, 3 s at most.
fn pause(attempt: u32) -> Duration {
    Duration::from_millis(50 << attempt.min(6)).min(Duration::from_secs(3))
}
