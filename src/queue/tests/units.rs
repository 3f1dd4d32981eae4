//! What the specification promises, one test for each promise.

use super::*;

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
    }
}

fn join(moderator: &str) -> Join<'_> {
    Join {
        moderator: moderator.as_bytes(),
        ..Join::default()
    }
}

fn tags<'a>(all: &[&'a str]) -> Option<Vec<&'a Bytes>> {
    Some(all.iter().map(|t| Bytes::new(t.as_bytes())).collect())
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
    fn run<T>(&mut self, command: impl FnOnce(&mut Queue, Now, &mut Effects) -> T) -> T {
        let now = at(self.ms);
        let mut before = Effects::default();
        self.queue.advance(now, 100, &mut before);
        let mut fx = Effects::default();
        let reply = command(&mut self.queue, now, &mut fx);
        self.recorded = !fx.record.is_empty();
        self.matches.clear();
        self.notices.clear();
        for fx in [before, fx] {
            if !fx.record.is_empty() {
                replay(&mut self.replica, fx.record.bytes());
            }
            let given = fx.matches.iter();
            self.matches
                .extend(given.map(|m| (text(&m.item), text(&m.moderator))));
            self.notices.extend(fx.notices);
        }
        verify(&self.queue);
        assert_eq!(canon(&self.queue), canon(&self.replica));
        reply
    }

    fn wait(&mut self, ms: u64) {
        self.ms += ms;
        self.run(|_, _, _| ());
    }

    fn submit_with(&mut self, submit: Submit<'_>) -> Result<Submitted, Error> {
        self.run(|q, now, fx| q.submit(now, submit, fx))
    }

    fn submit(&mut self, id: &str) -> Result<Submitted, Error> {
        self.submit_with(item(id))
    }

    fn cancel(&mut self, id: &str, rev: Option<u64>) -> bool {
        self.run(|q, now, fx| q.cancel(now, id.as_bytes(), rev, fx))
    }

    fn update(&mut self, id: &str, change: Change<'_>) -> Result<Option<u64>, Error> {
        self.run(|q, now, fx| q.update(now, id.as_bytes(), change, fx))
    }

    /// The items and their tokens.
    fn claim_with(&mut self, claim: &Claim<'_>) -> Vec<(String, u64)> {
        self.run(|q, now, fx| {
            let slots = q.claim(now, claim, fx);
            let views = slots.iter().map(|s| q.claim_view(*s).expect("locked"));
            views.map(|v| (text(v.item), v.token)).collect()
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
        self.run(|q, now, fx| q.resolve(now, id.as_bytes(), token, None, fx))
    }

    fn release(&mut self, id: &str, token: u64, skip: bool, delay: u64) -> Result<(), Error> {
        self.run(|q, now, fx| q.release(now, id.as_bytes(), token, skip, delay, fx))
    }

    fn extend(&mut self, id: &str, token: u64, ms: u64) -> Result<u64, Error> {
        self.run(|q, now, fx| q.extend(now, id.as_bytes(), token, ms, fx))
    }

    fn join(&mut self, join: &Join<'_>) -> Joined {
        self.run(|q, now, fx| q.join(now, join, fx))
    }

    fn leave(&mut self, moderator: &str, release: bool) -> bool {
        self.run(|q, now, fx| q.leave(now, moderator.as_bytes(), release, fx))
    }

    fn assign(&mut self, id: &str, moderator: &str) -> Result<u64, Error> {
        self.run(|q, now, fx| q.assign(now, id.as_bytes(), moderator.as_bytes(), None, fx))
    }

    fn pause(&mut self, input: bool, output: bool) {
        self.run(|q, now, fx| q.pause(now, input, output, fx));
    }

    fn revive(&mut self, id: &str) -> bool {
        self.run(|q, now, fx| q.revive(now, id.as_bytes(), fx))
    }

    fn configure(&mut self, change: impl FnOnce(&mut Settings)) -> Result<(), Error> {
        let mut settings = self.queue.settings().clone();
        change(&mut settings);
        self.run(|q, now, fx| q.configure(now, settings, fx))
    }

    fn get(&self, id: &str) -> ItemView<'_> {
        let view = self.queue.get(id.as_bytes(), at(self.ms));
        view.unwrap_or_else(|| panic!("{id} is gone"))
    }

    fn gone(&self, id: &str) -> bool {
        self.queue.get(id.as_bytes(), at(self.ms)).is_none()
    }

    fn state(&self, id: &str) -> State {
        self.get(id).state
    }

    fn holder(&self, id: &str) -> Option<String> {
        self.get(id).lock.map(|(m, _, _)| text(m))
    }

    fn excluded(&self, id: &str) -> Vec<String> {
        self.get(id).excluded.into_iter().map(text).collect()
    }

    fn peek(&self) -> Vec<String> {
        self.queue.peek(100, None).into_iter().map(text).collect()
    }

    fn line(&self) -> Vec<String> {
        let slots = self.queue.line.iter().map(|(_, m)| m);
        slots
            .map(|m| text(&self.queue.moderators[*m].name))
            .collect()
    }

    /// A dead item: one expiry kills, and it has had that one.
    fn kill(&mut self, id: &str) {
        let max = self.queue.settings().max_expiries;
        self.configure(|s| s.max_expiries = 1).expect("configured");
        self.assign(id, "killer").expect("assigned");
        self.wait(self.queue.settings().lock);
        assert_eq!(self.state(id), State::Dead);
        self.configure(|s| s.max_expiries = max)
            .expect("configured");
    }
}

#[test]
fn matches_after_unpause_come_before_what_falls_due_later() {
    let mut desk = Desk::new();
    desk.pause(false, true);
    desk.submit("first").unwrap();
    desk.submit_with(Submit {
        delay: 5,
        priority: Some(-1),
        ..item("later")
    })
    .unwrap();
    desk.join(&Join {
        ttl: Some(5),
        ..join("m")
    });
    desk.pause(false, false);
    // The tick after UNPAUSE is late: the registration has run out and an item has come due.
    desk.wait(5);
    assert_eq!(desk.matches, [("first".into(), "m".into())]);
    assert_eq!(desk.state("later"), State::Ready);
}

#[test]
fn a_skip_outlives_exclusions_that_name_the_same_moderator() {
    let exclude = |names: &[&'static str]| Change {
        excluded: tags(names),
        ..Change::default()
    };
    // Skipped, then named, then others named.
    let mut desk = Desk::new();
    desk.submit("i").unwrap();
    let token = desk.take("a", "i");
    desk.release("i", token, true, 0).unwrap();
    desk.update("i", exclude(&["a", "b"])).unwrap();
    assert_eq!(desk.excluded("i"), ["a", "b"]);
    desk.update("i", exclude(&["c"])).unwrap();
    assert_eq!(desk.excluded("i"), ["c", "a"]);
    // Named while they hold it, then skipped, then others named.
    desk.update("i", exclude(&[])).unwrap();
    let token = desk.take("a", "i");
    desk.update("i", exclude(&["a"])).unwrap();
    desk.release("i", token, true, 0).unwrap();
    assert_eq!(desk.excluded("i"), ["a"]);
    desk.update("i", exclude(&["c"])).unwrap();
    assert_eq!(desk.excluded("i"), ["c", "a"]);
    desk.update("i", exclude(&[])).unwrap();
    assert!(desk.excluded("i").is_empty(), "EXCLUDE 0 clears skips too");
}

#[test]
fn an_item_that_excludes_its_own_holder_can_be_resolved_cancelled_and_moved() {
    for way in 0..3 {
        let mut desk = Desk::new();
        desk.submit("i").unwrap();
        let token = desk.take("a", "i");
        let excluded = tags(&["a"]);
        let change = Change {
            excluded,
            ..Change::default()
        };
        desk.update("i", change).unwrap();
        assert_eq!(desk.holder("i").as_deref(), Some("a"), "the lock stays");
        match way {
            0 => desk.resolve("i", token).unwrap(),
            1 => assert!(desk.cancel("i", None)),
            _ => {
                let mut other = Queue::default();
                desk.run(|q, now, fx| {
                    let out = q.check_move_out(now, b"i", Some(token)).unwrap();
                    q.move_item(now, out, None, &mut other, fx, &mut Effects::default());
                });
                verify(&other);
                assert_eq!(other.get(b"i", at(0)).unwrap().excluded, [b"a"]);
            }
        }
        assert!(desk.gone("i"));
        assert_eq!(desk.queue.moderators.len(), 0);
    }
}

#[test]
fn a_moderator_back_below_capacity_gets_the_first_item_not_the_one_they_lost() {
    let mut desk = Desk::new();
    desk.configure(|s| s.capacity = 1).unwrap();
    desk.submit("lesser").unwrap();
    let token = desk.take("m", "lesser");
    let two = Join {
        count: Some(2),
        ..join("m")
    };
    assert_eq!(desk.join(&two), Joined::Waiting);
    let first = Submit {
        priority: Some(1),
        ..item("first")
    };
    assert_eq!(desk.submit_with(first), Ok(Submitted::Ready), "m is full");
    desk.release("lesser", token, false, 0).unwrap();
    assert_eq!(desk.matches, [("first".into(), "m".into())]);
    assert_eq!(desk.state("lesser"), State::Ready);
}

#[test]
fn matches_left_to_the_next_tick_are_made_by_a_promoted_replica_and_after_a_load() {
    let mut desk = Desk::new();
    desk.pause(false, true);
    desk.submit("i").unwrap();
    desk.join(&join("m"));
    desk.pause(false, false);
    assert_eq!(desk.state("i"), State::Ready, "left to the tick");
    let loaded = load(&chunks(&desk.queue, 10)).unwrap();
    for mut heir in [desk.replica, loaded] {
        assert_eq!(heir.next_due(), Some(0));
        let mut fx = Effects::default();
        heir.advance(at(desk.ms), 100, &mut fx);
        assert_eq!(fx.matches.len(), 1);
        verify(&heir);
    }
}

#[test]
fn memory_as_counted_is_96_bytes_beyond_an_item_and_goes_back() {
    let n = 100_000;
    let mut queue = Queue::default();
    let mut fx = Effects::default();
    let empty = queue.memory_bytes();
    for i in 0..n {
        let id = format!("item:{i:011}");
        let submit = Submit {
            id: id.as_bytes(),
            payload: &[b'x'; 200],
            ..Submit::default()
        };
        queue.submit(at(i), submit, &mut fx).unwrap();
        fx.clear();
    }
    let full = queue.memory_bytes();
    assert!(full <= (216 + 96) * n as usize, "{full}");
    assert!(full >= (216 + 56) * n as usize, "{full}: it is not less");
    for i in 0..n {
        let id = format!("item:{i:011}");
        assert!(queue.cancel(at(n), id.as_bytes(), None, &mut fx));
        fx.clear();
    }
    let drained = queue.memory_bytes();
    assert!(drained <= empty + 64_000, "{drained} of {full}");
}
