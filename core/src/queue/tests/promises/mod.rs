//! What the specification promises, one test for each promise.

use super::*;

mod claims;
mod clock;
mod line;
mod locks;
mod moves;
mod producers;
mod readers;
mod supervisors;

/// A queue, a replica that follows it, and a clock.
struct Desk {
    queue: Queue,
    replica: Queue,
    ms: u64,
    matches: Vec<(String, String)>,
    notices: Vec<Notice>,
    /// Of the last command.
    recorded: bool,
}

fn item(id: &str) -> Submit<'_> {
    Submit {
        id: id.as_bytes(),
        payload: b"text",
        ..Submit::default()
    }
}

fn claim(moderator: &str) -> Claim<'_> {
    Claim {
        moderator: moderator.as_bytes(),
        count: 1,
        lock: None,
        tags: None,
        new_only: false,
        with_group: false,
    }
}

fn join(moderator: &str) -> Join<'_> {
    Join {
        moderator: moderator.as_bytes(),
        ..Join::default()
    }
}

fn to_priority<'a>(priority: i32) -> Update<'a> {
    Update {
        priority: Some(priority),
        ..Update::default()
    }
}

impl Desk {
    fn new() -> Desk {
        Desk {
            queue: Queue::default(),
            replica: Queue::default(),
            ms: 1_000_000,
            matches: Vec::new(),
            notices: Vec::new(),
            recorded: false,
        }
    }

    /// One command, as the shell runs it: deferred work first; then all of it to the replica.
    fn run<T>(&mut self, command: impl FnOnce(&mut Queue, Now, &mut Outcome) -> T) -> T {
        let now = at(self.ms);
        let mut before = Outcome::default();
        self.queue.tick(now, 100, &mut before);
        let mut out = Outcome::default();
        let reply = command(&mut self.queue, now, &mut out);
        self.recorded = !out.record.is_empty();
        self.matches.clear();
        self.notices.clear();
        for out in [before, out] {
            if !out.record.is_empty() {
                replay(&mut self.replica, out.record.bytes());
            }
            let given = out.announcements.iter();
            self.matches
                .extend(given.map(|m| (text(&m.item), text(&m.moderator))));
            self.notices.extend(out.notices);
        }
        verify(&self.queue);
        verify_ages(&self.queue);
        assert_eq!(canon(&self.queue), canon(&self.replica));
        reply
    }

    fn wait(&mut self, ms: u64) {
        self.ms += ms;
        self.run(|_, _, _| ());
    }

    fn submit_with(&mut self, submit: Submit<'_>) -> Result<Submitted, Error> {
        self.run(|q, now, out| q.submit(now, submit, out))
    }

    fn submit(&mut self, id: &str) -> Result<Submitted, Error> {
        self.submit_with(item(id))
    }

    fn cancel(&mut self, id: &str, rev: Option<u64>) -> bool {
        self.run(|q, now, out| q.cancel(now, id.as_bytes(), rev, out).unwrap())
    }

    fn update(&mut self, id: &str, change: Update<'_>) -> Result<Option<u64>, Error> {
        self.run(|q, now, out| q.update(now, id.as_bytes(), change, out))
    }

    /// The items and their tokens.
    fn claim_with(&mut self, claim: &Claim<'_>) -> Vec<(String, u64)> {
        self.run(|q, now, out| {
            let slots = q.claim(now, claim, out).unwrap();
            let views = slots.iter().map(|s| q.claim_view(*s).expect("locked"));
            views.map(|v| (text(v.item), v.token.0)).collect()
        })
    }

    fn claim_ids(&mut self, claim: &Claim<'_>) -> Vec<String> {
        self.claim_with(claim)
            .into_iter()
            .map(|(id, _)| id)
            .collect()
    }

    /// Claims one item, which must be there, and answers its token.
    fn take(&mut self, moderator: &str, id: &str) -> u64 {
        let got = self.claim_with(&Claim {
            new_only: true,
            ..claim(moderator)
        });
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].0, id);
        got[0].1
    }

    fn resolve(&mut self, id: &str, token: u64) -> Result<(), Error> {
        self.run(|q, now, out| q.resolve(now, id.as_bytes(), token, None, out))
            .map(drop)
    }

    fn release(&mut self, id: &str, token: u64, skip: bool, delay: u64) -> Result<(), Error> {
        self.run(|q, now, out| q.release(now, id.as_bytes(), token, skip, delay, out))
    }

    fn extend(&mut self, id: &str, token: u64, ms: u64) -> Result<u64, Error> {
        self.run(|q, now, out| q.extend(now, id.as_bytes(), token, ms, out))
    }

    fn join(&mut self, join: &Join<'_>) -> Joined {
        self.run(|q, now, out| q.join(now, join, out).unwrap())
    }

    fn leave(&mut self, moderator: &str, release: bool) -> bool {
        self.run(|q, now, out| q.leave(now, moderator.as_bytes(), release, out).unwrap())
    }

    fn assign(&mut self, id: &str, moderator: &str) -> Result<u64, Error> {
        self.run(|q, now, out| q.assign(now, id.as_bytes(), moderator.as_bytes(), None, out))
    }

    fn hand_over(&mut self, id: &str, token: u64, moderator: &str) -> Result<u64, Error> {
        let (id, moderator) = (id.as_bytes(), moderator.as_bytes());
        self.run(|q, now, out| q.hand_over(now, id, Some(token), moderator, None, out))
    }

    fn pause(&mut self, input: bool, output: bool) {
        self.run(|q, now, out| q.pause(now, input, output, out));
    }

    fn revive(&mut self, id: &str) -> bool {
        self.run(|q, now, out| q.revive(now, &[id.as_bytes()], out).unwrap()) == 1
    }

    fn configure(&mut self, change: impl FnOnce(&mut Settings)) -> Result<(), Error> {
        let mut settings = self.queue.settings().clone();
        change(&mut settings);
        self.run(|q, now, out| q.configure(now, settings, out))
    }

    fn get(&self, id: &str) -> ItemView<'_> {
        let view = self.queue.get(id.as_bytes(), Time(self.ms));
        view.unwrap_or_else(|| panic!("{id} is gone"))
    }

    fn gone(&self, id: &str) -> bool {
        self.queue.get(id.as_bytes(), Time(self.ms)).is_none()
    }

    fn state(&self, id: &str) -> State {
        self.get(id).state
    }

    fn holder(&self, id: &str) -> Option<String> {
        self.get(id).lock.map(|l| text(l.moderator))
    }

    fn excluded(&self, id: &str) -> Vec<String> {
        self.get(id).excluded.into_iter().map(text).collect()
    }

    fn peek(&self) -> Vec<String> {
        self.queue.peek(100, None).into_iter().map(text).collect()
    }

    fn line(&self) -> Vec<String> {
        let Queue { store, line } = &self.queue;
        let names = line.iter().map(|(_, m)| &store.moderators()[m].name);
        names.map(|name| text(name)).collect()
    }

    /// MOVE to another queue.
    fn move_to(
        &mut self,
        to: &mut Queue,
        id: &str,
        token: Option<u64>,
        priority: Option<i32>,
    ) -> Result<(), Error> {
        let request = Move {
            id: id.as_bytes(),
            token: token.map(Token),
            priority,
            by: None,
        };
        let mut to_out = Outcome::default();
        let moved = self.run(|q, now, out| q.move_to(now, to, request, out, &mut to_out));
        verify(to);
        moved
    }

    /// A dead item: one expiry kills, and it has had that one.
    fn kill(&mut self, id: &str) {
        let max = self.queue.settings().max_expiries;
        self.configure(|s| s.max_expiries = 1).expect("configured");
        self.assign(id, "killer").expect("assigned");
        self.wait(self.queue.settings().lock.0);
        assert_eq!(self.state(id), State::Dead);
        self.configure(|s| s.max_expiries = max)
            .expect("configured");
    }
}
