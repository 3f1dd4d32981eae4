//! What the model remembers of decided items.

use super::verdicts::Accepted;
use super::*;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelRecord {
    pub item: String,
    pub verdict: String,
    pub decided: u64,
    pub token: u64,
    pub rev: u64,
    pub submitted: u64,
    pub reports: u32,
    pub moderators: Vec<String>,
    /// Who was barred from it as a decider.
    pub barred: Vec<String>,
    pub payload: String,
    /// Empty if it was in none.
    pub group: String,
}

impl Model {
    fn records_run_out(&self, now: u64) -> usize {
        let retain = self.settings.retain.0;
        let over = |r: &&ModelRecord| retain == 0 || r.decided + retain <= now;
        self.records.iter().take_while(over).count()
    }

    fn records_over(&self) -> usize {
        match self.settings.retain_max {
            0 => 0,
            max => self.records.len().saturating_sub(max as usize),
        }
    }

    /// Those that can be read, the earliest decided first.
    pub(crate) fn records_live(&self, now: u64) -> &[ModelRecord] {
        &self.records[self.records_run_out(now).max(self.records_over())..]
    }

    pub(crate) fn record(&self, id: &str, now: u64) -> Option<&ModelRecord> {
        self.records_live(now).iter().find(|r| r.item == id)
    }

    /// When the next record is to go.
    pub(crate) fn next_record_time(&self) -> Option<u64> {
        let first = self.records.first()?;
        let at_once = self.records_over() > 0 || self.settings.retain.is_zero();
        Some(match at_once {
            true => 0,
            false => first.decided + self.settings.retain.0,
        })
    }

    /// When time next changes what can be seen.
    pub(crate) fn next_change(&self) -> Option<u64> {
        let times = [self.next_time(), self.next_record_time()];
        times.into_iter().flatten().min()
    }

    /// What cannot be read any more goes.
    pub(super) fn drop_records(&mut self, now: Now) {
        let run_out = self.records_run_out(now.time.0);
        self.records.drain(..run_out);
        let over = self.records_over();
        self.records.drain(..over);
        self.totals.records_evicted += over as u64;
        if run_out + over > 0 {
            self.stamp(now);
        }
    }

    /// An item is decided by this verdict, the last of those on it.
    pub(super) fn remember(&mut self, item: &ModelItem, last: &ModelVote, verdict: &str, at: u64) {
        self.records.retain(|record| record.item != item.id);
        if self.settings.retain.is_zero() {
            return;
        }
        let voters = item.votes.iter().map(|vote| vote.moderator.clone());
        let mut moderators: Vec<String> = voters.filter(|v| *v != last.moderator).collect();
        moderators.push(last.moderator.clone());
        self.records.push(ModelRecord {
            item: item.id.clone(),
            verdict: verdict.into(),
            decided: at,
            token: last.token,
            rev: item.rev,
            submitted: item.submitted,
            reports: item.reports,
            moderators,
            barred: item.deciders.clone(),
            payload: item.payload.clone(),
            group: item.group.clone(),
        });
        if self.records_over() > 0 {
            self.records.remove(0);
            self.totals.records_evicted += 1;
        }
    }

    /// A SUBMIT of an id that is not in the queue: who may not be given the new item; none if the decision
    /// stands.
    pub(super) fn submit_decided(
        &mut self,
        now: Now,
        submit: &Submit<'_>,
    ) -> Result<Option<Vec<String>>, Error> {
        let id = text(submit.id);
        let Some(record) = self.record(&id, now.time.0).cloned() else {
            return match submit.on_decided {
                OnDecided::Appeal => Err(Error::NoRecord),
                _ => Ok(Some(Vec::new())),
            };
        };
        Ok(match submit.on_decided {
            OnDecided::Keep => None,
            OnDecided::Changed if record.payload == text(submit.payload) => None,
            OnDecided::Changed | OnDecided::Again => Some(Vec::new()),
            OnDecided::Appeal => {
                let all = [record.barred, record.moderators].concat();
                Some(all[all.len().saturating_sub(MAX_DECIDERS)..].to_vec())
            }
            OnDecided::Count => {
                let mut records = self.records.iter_mut();
                records.find(|r| r.item == id).expect("there").reports += 1;
                self.stamp(now);
                None
            }
        })
    }

    pub(crate) fn forget(&mut self, now: Now, ids: &[&str]) -> usize {
        let mut forgotten = 0;
        for id in ids {
            if self.record(id, now.time.0).is_some() {
                self.records.retain(|record| record.item != *id);
                self.stamp(now);
                forgotten += 1;
            }
        }
        forgotten
    }

    /// What no lock accepts, and is no vote sent again, may be a decision sent again.
    pub(super) fn accept_or_recall(
        &self,
        now: Now,
        resolve: &Resolve<'_>,
    ) -> Result<Accepted, Error> {
        let accepted = self.accept(resolve);
        let (id, token) = (text(resolve.id), resolve.token.0);
        let voted = |item: &ModelItem| item.votes.iter().any(|vote| vote.token == token);
        let refused = matches!(accepted, Err(Error::NoItem | Error::Stale));
        if !refused || token == 0 || self.item(&id).is_some_and(voted) {
            return accepted;
        }
        let record = self.record(&id, now.time.0);
        match record.filter(|record| record.token == token) {
            Some(record) if record.verdict == text(resolve.verdict.unwrap_or(b"")) => {
                Ok(Accepted::Before(Resolved::Ended))
            }
            Some(_) => Err(Error::Stale),
            None => accepted,
        }
    }
}
