//! Requests as plain calls, without the catching up that `Queue::handle` does first: most tests
//! decide for themselves when what is overdue is done. Numbers are plain, too.

use super::*;

impl Queue {
    fn direct<R: Request>(
        &mut self,
        now: Now,
        request: R,
        out: &mut Outcome,
    ) -> Result<R::Reply, Error> {
        request.run(&mut self.turn(now, Gate::Open, out))
    }

    pub(super) fn submit(
        &mut self,
        now: Now,
        submit: Submit<'_>,
        out: &mut Outcome,
    ) -> Result<Submitted, Error> {
        self.direct(now, submit, out)
    }

    pub(super) fn cancel(
        &mut self,
        now: Now,
        id: &[u8],
        rev: Option<u64>,
        out: &mut Outcome,
    ) -> Result<bool, Error> {
        let cancel = Cancel {
            id,
            rev,
            ..Cancel::default()
        };
        self.direct(now, cancel, out)
    }

    pub(super) fn forget(
        &mut self,
        now: Now,
        ids: &[&[u8]],
        out: &mut Outcome,
    ) -> Result<usize, Error> {
        self.direct(now, Forget { ids, by: None }, out)
    }

    /// The id that `update` has already is not looked at.
    pub(super) fn update(
        &mut self,
        now: Now,
        id: &[u8],
        update: Update<'_>,
        out: &mut Outcome,
    ) -> Result<Option<u64>, Error> {
        let rev = self.direct(now, Update { id, ..update }, out)?;
        Ok(rev.map(|rev| rev.0.into()))
    }

    pub(super) fn claim(
        &mut self,
        now: Now,
        claim: &Claim<'_>,
        out: &mut Outcome,
    ) -> Result<Vec<ItemSlot>, Error> {
        let claimed = self.direct(now, claim, out)?;
        // What is shown of them is what is there.
        for item in &claimed {
            assert_eq!(self.claim_view(item.item), Some(self.claimed_view(item)));
        }
        Ok(claimed.iter().map(|claimed| claimed.item).collect())
    }

    pub(super) fn resolve(
        &mut self,
        now: Now,
        id: &[u8],
        token: u64,
        rev: Option<u64>,
        out: &mut Outcome,
    ) -> Result<Resolved, Error> {
        let token = Token(token);
        let resolve = Resolve {
            id,
            token,
            rev,
            ..Resolve::default()
        };
        self.direct(now, resolve, out)
    }

    pub(super) fn resolve_with(
        &mut self,
        now: Now,
        resolve: Resolve<'_>,
        out: &mut Outcome,
    ) -> Result<Resolved, Error> {
        self.direct(now, resolve, out)
    }

    pub(super) fn resolve_also(
        &mut self,
        now: Now,
        resolve: &ResolveAlso<'_>,
        out: &mut Outcome,
    ) -> Result<ResolvedAlso, Error> {
        self.direct(now, resolve, out)
    }

    pub(super) fn cancel_group(
        &mut self,
        now: Now,
        cancel: &CancelGroup<'_>,
        out: &mut Outcome,
    ) -> Result<GroupDone, Error> {
        self.direct(now, cancel, out)
    }

    pub(super) fn release(
        &mut self,
        now: Now,
        id: &[u8],
        token: u64,
        skip: bool,
        delay: u64,
        out: &mut Outcome,
    ) -> Result<(), Error> {
        let (token, delay) = (Token(token), Millis(delay));
        let release = Release {
            id,
            token,
            skip,
            delay,
        };
        self.direct(now, release, out)
    }

    pub(super) fn extend(
        &mut self,
        now: Now,
        id: &[u8],
        token: u64,
        ms: u64,
        out: &mut Outcome,
    ) -> Result<u64, Error> {
        let (token, span) = (Token(token), Millis(ms));
        let deadline = self.direct(now, Extend { id, token, span }, out)?;
        Ok(deadline.0)
    }

    pub(super) fn join(
        &mut self,
        now: Now,
        join: &Join<'_>,
        out: &mut Outcome,
    ) -> Result<Joined, Error> {
        self.direct(now, join, out)
    }

    pub(super) fn leave(
        &mut self,
        now: Now,
        moderator: &[u8],
        release: bool,
        out: &mut Outcome,
    ) -> Result<bool, Error> {
        self.direct(now, Leave { moderator, release }, out)
    }

    pub(super) fn assign(
        &mut self,
        now: Now,
        id: &[u8],
        moderator: &[u8],
        lock: Option<u64>,
        out: &mut Outcome,
    ) -> Result<u64, Error> {
        self.hand_over(now, id, None, moderator, lock, out)
    }

    /// ASSIGN, of a locked item with its token.
    pub(super) fn hand_over(
        &mut self,
        now: Now,
        id: &[u8],
        token: Option<u64>,
        moderator: &[u8],
        lock: Option<u64>,
        out: &mut Outcome,
    ) -> Result<u64, Error> {
        let assign = Assign {
            id,
            moderator,
            lock: lock.map(Millis),
            token: token.map(Token),
            by: None,
        };
        Ok(self.direct(now, assign, out)?.0)
    }

    /// Refuses just these sides from now on.
    pub(super) fn pause(&mut self, now: Now, input: bool, output: bool, out: &mut Outcome) {
        let mut turn = self.turn(now, Gate::Open, out);
        turn.set_paused(Paused { input, output });
    }

    pub(super) fn revive(
        &mut self,
        now: Now,
        ids: &[&[u8]],
        out: &mut Outcome,
    ) -> Result<usize, Error> {
        self.direct(now, Revive { ids, by: None }, out)
    }

    pub(super) fn revive_all(
        &mut self,
        now: Now,
        count: usize,
        out: &mut Outcome,
    ) -> Result<usize, Error> {
        self.direct(now, ReviveAll { count, by: None }, out)
    }

    /// Sets all settings anew.
    pub(super) fn configure(
        &mut self,
        now: Now,
        settings: Settings,
        out: &mut Outcome,
    ) -> Result<(), Error> {
        self.turn(now, Gate::Open, out).set_settings(settings)
    }

    pub(super) fn undo(
        &mut self,
        now: Now,
        id: &[u8],
        token: u64,
        place: Option<Place>,
        out: &mut Outcome,
    ) -> bool {
        let token = Token(token);
        let undone = self.direct(now, Undo { id, token, place }, out);
        undone.expect("the event stream is there")
    }

    /// Does what is overdue, at most `steps` steps of it.
    pub(super) fn tick(&mut self, now: Now, steps: usize, out: &mut Outcome) -> usize {
        self.turn(now, Gate::Open, out).advance(steps)
    }

    /// Whether MOVE would let an item go, by the state as it was last applied.
    pub(super) fn check_move_out(
        &mut self,
        now: Now,
        id: &[u8],
        token: Option<u64>,
    ) -> Result<(), Error> {
        let request = Move {
            id,
            token: token.map(Token),
            ..Move::default()
        };
        let mut out = Outcome::default();
        let turn = self.turn(now, Gate::Open, &mut out);
        turn.check_move_out(&request).map(drop)
    }

    /// Whether MOVE would let an item of that id come.
    pub(super) fn check_move_in(&mut self, id: &[u8]) -> Result<(), Error> {
        let mut out = Outcome::default();
        self.turn(at(0), Gate::Open, &mut out).check_move_in(id)
    }

    /// Moves an item from here to another queue.
    pub(super) fn move_to(
        &mut self,
        now: Now,
        to: &mut Queue,
        request: Move<'_>,
        out: &mut Outcome,
        to_out: &mut Outcome,
    ) -> Result<(), Error> {
        let side = |queue, out| Side {
            queue,
            gate: Gate::Open,
            out,
        };
        relocate(now, request, side(self, out), side(to, to_out))
    }
}
