//! What is remembered of decided items, where it is asked for: SUBMIT of an item that was decided, FORGET, and
//! the records that are to go by the clock.

use super::{Request, Turn};
use crate::queue::MAX_DECIDERS;
use crate::queue::effect::Effect;
use crate::queue::event::Told;
use crate::queue::request::{Error, Forget, OnDecided, Submit};
use crate::queue::store::{Verdict, hash};

/// What becomes of a SUBMIT of an id that is not in the queue.
pub(super) enum Submission {
    /// The decision stands: there is no new item.
    Decided,
    /// It is a new item, which none of these is given.
    New(Vec<Box<[u8]>>),
}

impl Turn<'_> {
    /// Looks whether an item that is not in the queue was decided, and treats it as `on_decided` says.
    #[inline]
    pub(super) fn submit_decided(&mut self, submit: &Submit<'_>) -> Result<Submission, Error> {
        let record = self.store.record(submit.id, self.now.time);
        match (record, submit.on_decided) {
            (None, OnDecided::Appeal) => Err(Error::NoRecord),
            (None, _) => Ok(Submission::New(Vec::new())),
            (Some(_), OnDecided::Count) => self.count_report(submit.id),
            (Some(record), _) => Ok(judged(&record, submit)),
        }
    }

    fn count_report(&mut self, id: &[u8]) -> Result<Submission, Error> {
        self.admit()?;
        self.commit(&Effect::Report { id }, None);
        Ok(Submission::Decided)
    }

    /// Lets go of records that have run out or are over RETAINMAX, each of which is a step. That is no
    /// transition of an item and writes no event, so it waits for no stream. Answers how many went.
    #[inline]
    pub(super) fn drop_records(&mut self, budget: usize) -> usize {
        match self.store.has_records_due(self.now.time) {
            true => self.drop_due_records(budget),
            false => 0,
        }
    }

    fn drop_due_records(&mut self, budget: usize) -> usize {
        let run_out = self.store.records_run_out(self.now.time).min(budget);
        self.drop_earliest(run_out, false);
        let over = self.store.records_over().min(budget - run_out);
        self.drop_earliest(over, true);
        run_out + over
    }

    fn drop_earliest(&mut self, records: usize, evicted: bool) {
        if records > 0 {
            let count = records as u64;
            self.commit(&Effect::Drop { count, evicted }, None);
        }
    }
}

/// What a SUBMIT of a decided item is, which leaves its record as it is.
fn judged(record: &Verdict<'_>, submit: &Submit<'_>) -> Submission {
    match submit.on_decided {
        OnDecided::Appeal => Submission::New(deciders(record)),
        OnDecided::Changed if record.payload != hash(submit.payload) => Submission::New(Vec::new()),
        OnDecided::Again => Submission::New(Vec::new()),
        OnDecided::Keep | OnDecided::Changed | OnDecided::Count => Submission::Decided,
    }
}

/// Who may not be given the appeal of a decided item: who decided it, and whoever was barred from it for
/// having decided before; the newest, each once.
fn deciders(record: &Verdict<'_>) -> Vec<Box<[u8]>> {
    let mut names: Vec<&[u8]> = Vec::with_capacity(MAX_DECIDERS);
    let newest_first = record.moderators.iter().rev();
    for name in newest_first.chain(record.barred.iter().rev()) {
        if names.len() < MAX_DECIDERS && !names.contains(name) {
            names.push(name);
        }
    }
    names.into_iter().rev().map(Box::from).collect()
}

/// Erases records of decided items, and replies how many there were.
///
/// Errors: `Events`, `TryAgain`.
impl Request for Forget<'_> {
    type Reply = usize;

    fn run(self, turn: &mut Turn<'_>) -> Result<usize, Error> {
        let told = Told {
            by: self.by,
            ..Told::default()
        };
        let mut forgotten = 0;
        for id in self.ids {
            if turn.store.record(id, turn.now.time).is_some() {
                turn.admit()?;
                turn.commit_told(&Effect::Forget { id }, None, &told);
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }
}
