//! Commands and the clock: what is to happen is decided here against the present state, then
//! applied and recorded.
//!
//! One [`Turn`] is one command or tick. It reads the store, and changes it only by `commit`: which
//! applies one effect, records it, writes its event, and has the line follow. Whatever an effect
//! makes possible is then matched (`matching`).

mod batch;
mod clock;
mod decided;
mod groups;
mod locks;
mod matching;
mod moderators;
mod producers;
mod relocate;
mod supervisors;
mod verdicts;

pub use relocate::{Side, relocate};

use super::effect::Effect;
use super::event::{Batch, Event, Told};
use super::line::Line;
use super::outcome::{Notice, Outcome};
use super::request::{Error, Gate, Now};
use super::store::{Applied, ItemSlot, Lock, MAX_TIME, Opportunity, State, Store};
use super::{ApplyError, Queue};
use crate::units::{Time, Token, When};

/// Most deferred steps that one command does before its own work; the timer does the rest.
const COMMAND_STEPS: usize = 32;

/// One command as the queue takes it.
pub trait Request {
    /// What it replies.
    type Reply;

    /// Decides and carries it out.
    #[doc(hidden)]
    fn run(self, turn: &mut Turn<'_>) -> Result<Self::Reply, Error>;
}

/// One command or tick under way.
pub struct Turn<'t> {
    pub(super) store: &'t mut Store,
    pub(super) line: &'t mut Line,
    pub(super) now: Now,
    pub(super) gate: Gate,
    pub(super) out: &'t mut Outcome,
}

impl Queue {
    /// Begins a command or tick.
    pub(super) fn turn<'t>(&'t mut self, now: Now, gate: Gate, out: &'t mut Outcome) -> Turn<'t> {
        Turn {
            store: &mut self.store,
            line: &mut self.line,
            now,
            gate,
            out,
        }
    }

    /// Runs one command: does some of what is overdue, then what is asked. What happened is added
    /// to `out`, also where the command is refused: that may be what was overdue.
    ///
    /// # Errors
    /// As the request's documentation says; the request has changed nothing then.
    #[inline]
    pub fn handle<R: Request>(
        &mut self,
        now: Now,
        gate: Gate,
        request: R,
        out: &mut Outcome,
    ) -> Result<R::Reply, Error> {
        let mut turn = self.turn(now, gate, out);
        turn.catch_up(COMMAND_STEPS);
        request.run(&mut turn)
    }

    /// Does what is overdue, at most `steps` steps of it. Answers how many were done; when there
    /// is more to do is told by `next_due`.
    pub fn advance(&mut self, now: Now, gate: Gate, steps: usize, out: &mut Outcome) -> usize {
        self.turn(now, gate, out).catch_up(steps)
    }

    /// Applies one effect, as a replica or an AOF does.
    ///
    /// # Errors
    /// `ApplyError` if it cannot have happened to this state, which is then unchanged.
    pub fn apply(&mut self, when: impl Into<When>, effect: &Effect<'_>) -> Result<(), ApplyError> {
        let applied = self.store.apply(when.into(), effect, None)?;
        self.line.follow(&self.store, applied.line);
        Ok(())
    }
}

impl Turn<'_> {
    /// To be asked by a command before it changes anything of an item: each such change writes an
    /// event.
    ///
    /// # Errors
    /// `Events`, `TryAgain`: the event could not be written.
    fn admit(&self) -> Result<(), Error> {
        match self.gate {
            Gate::Open => Ok(()),
            Gate::WrongType => Err(Error::Events),
            Gate::Missing => Err(Error::TryAgain),
        }
    }

    /// The stamp of something that happens now: never before an earlier stamp of this queue.
    fn stamp(&self) -> Time {
        self.now.time.max(self.store.last_at())
    }

    /// Whether no item more may come in: by MAXLEN, or because all sequence numbers were given.
    fn is_full(&self) -> bool {
        let max_len = self.store.settings().max_len;
        max_len > 0 && self.store.items().len() as u64 >= max_len || self.store.seqs_exhausted()
    }

    fn next_token(&self) -> Token {
        let floor = self.now.token_floor.0.min(MAX_TIME - 1);
        Token(floor.max(self.store.last_token().0 + 1))
    }

    /// Whether there is a token left to give: always, but in a queue from a damaged payload.
    fn has_tokens(&self) -> bool {
        self.store.last_token().0 + 1 < MAX_TIME
    }

    fn find(&self, id: &[u8]) -> Result<ItemSlot, Error> {
        self.store.find(id).ok_or(Error::NoItem)
    }

    /// The live lock of an item, if `token` is its token: judged by the clock.
    fn live(&self, slot: ItemSlot, token: Token) -> Option<Lock> {
        let lock = self.store.live_lock(slot, self.now.time);
        lock.filter(|lock| lock.token == token)
    }

    /// Applies and records one effect. It was decided against this very state, so it fits. `hint`
    /// is where its item is, if that is known.
    fn commit(&mut self, effect: &Effect<'_>, hint: Option<ItemSlot>) -> Opportunity {
        self.commit_told(effect, hint, Told::NOTHING)
    }

    /// As `commit`, with what the event tells beyond the effect.
    fn commit_told(
        &mut self,
        effect: &Effect<'_>,
        hint: Option<ItemSlot>,
        told: &Told<'_>,
    ) -> Opportunity {
        let at = self.stamp();
        let now = self.now.time.min(at);
        let when = When { at, now };
        let draft = match self.store.settings().events.is_empty() {
            true => None,
            false => super::event::draft(self.store, at, effect),
        };
        let Applied { opportunity, line } = self
            .store
            .apply(when, effect, hint)
            .expect("what was decided can be applied");
        self.out.record.push(when, effect);
        self.line.follow(self.store, line);
        if let Some(draft) = draft {
            let event = draft.finish(self.store, effect, told);
            self.log_event(event);
        }
        if let Some(notice) = notice(effect) {
            self.out.notices.push(notice);
        }
        opportunity
    }

    fn log_event(&mut self, event: Event) {
        let settings = self.store.settings();
        let batches = &mut self.out.events;
        if batches.last().is_none_or(|b| b.stream != settings.events) {
            batches.push(Batch {
                stream: settings.events.clone(),
                max_len: settings.events_max_len,
                events: Vec::new(),
            });
        }
        if let Some(batch) = batches.last_mut() {
            batch.events.push(event);
        }
    }

    /// Commits, and matches whoever it made possible to match. Answers whether the item was, or
    /// the moderator.
    fn commit_and_match(&mut self, effect: &Effect<'_>, hint: Option<ItemSlot>) -> bool {
        let opportunity = self.commit(effect, hint);
        self.seize(opportunity)
    }

    /// Whether the item is locked, by the last applied state.
    fn is_locked(&self, slot: ItemSlot) -> bool {
        self.store.items()[slot].state == State::Locked
    }
}

fn notice(effect: &Effect<'_>) -> Option<Notice> {
    Some(match effect {
        Effect::Submit { .. } => Notice::Submit,
        Effect::Resolve { .. } => Notice::Resolve,
        Effect::Vote { split: false, .. } => Notice::Vote,
        Effect::Vote { .. } | Effect::Split { .. } => Notice::Split,
        Effect::Release { .. } => Notice::Release,
        Effect::Expire { dead: false, .. } => Notice::Expire,
        Effect::Expire { dead: true, .. } => Notice::Dead,
        _ => return None,
    })
}
