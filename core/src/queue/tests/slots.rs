//! The slot of a moderator who is forgotten goes to the next who comes: nothing of the one before
//! is left in line.

use super::*;
use crate::queue::store::ModeratorSlot;

/// A queue, its clock, and what happened last.
struct Desk {
    q: Queue,
    ms: u64,
    out: Outcome,
}

fn tagged<'a>(id: &'a str, all: &[&'a str]) -> Submit<'a> {
    Submit {
        id: id.as_bytes(),
        tags: tags(all),
        ..Submit::default()
    }
}

impl Desk {
    fn new() -> Desk {
        Desk {
            q: Queue::default(),
            ms: 1_000_000,
            out: Outcome::default(),
        }
    }

    fn run<T>(&mut self, command: impl FnOnce(&mut Queue, Now, &mut Outcome) -> T) -> T {
        self.out.clear();
        let reply = command(&mut self.q, at(self.ms), &mut self.out);
        verify(&self.q);
        reply
    }

    fn join(&mut self, moderator: &str, all: &[&str], ttl: u64) {
        let join = Join {
            moderator: moderator.as_bytes(),
            ttl: Some(Millis(ttl)),
            tags: tags(all),
            ..Join::default()
        };
        self.run(|q, now, out| q.join(now, &join, out)).unwrap();
    }

    fn leave(&mut self, moderator: &str) {
        self.run(|q, now, out| q.leave(now, moderator.as_bytes(), false, out))
            .unwrap();
    }

    fn block(&mut self, call: u64, moderator: &str, all: Option<&[&str]>) {
        let place = self.q.end_of_line(Time(self.ms));
        self.q.block(&Block {
            call: CallId(call),
            moderator: moderator.as_bytes(),
            tags: all.and_then(tags),
            new_only: false,
            lock: None,
            place,
        });
        verify(&self.q);
    }

    fn unblock(&mut self, call: u64, moderator: &str) {
        let moderator = moderator.as_bytes();
        assert!(self.q.unblock(Time(self.ms), CallId(call), moderator));
        verify(&self.q);
    }

    fn submit(&mut self, submit: Submit<'_>) -> Submitted {
        self.run(|q, now, out| q.submit(now, submit, out)).unwrap()
    }

    fn assign(&mut self, id: &str, moderator: &str) -> u64 {
        let (id, moderator) = (id.as_bytes(), moderator.as_bytes());
        self.run(|q, now, out| q.assign(now, id, moderator, None, out))
            .unwrap()
    }

    fn wait(&mut self, ms: u64) {
        self.ms += ms;
        self.run(|q, now, out| q.tick(now, 100, out));
    }

    fn slot(&self, moderator: &str) -> Option<ModeratorSlot> {
        self.q.store.moderators().find(moderator.as_bytes())
    }

    /// Asserts that this moderator is forgotten.
    fn is_forgotten(&self, moderator: &str) {
        assert_eq!(self.slot(moderator), None, "{moderator}");
    }

    fn line(&self) -> Vec<String> {
        let waiters = self.q.waiters(9);
        waiters.iter().map(|w| text(w.moderator)).collect()
    }
}

/// Somebody who is known by a lock alone does not wait, and is given nothing.
fn newcomer_waits_for_nothing(mut desk: Desk, slot: ModeratorSlot) {
    assert_eq!(desk.submit(tagged("first", &[])), Submitted::Ready);
    desk.assign("first", "n");
    assert_eq!(desk.slot("n"), Some(slot), "the slot is used again");
    assert!(desk.line().is_empty());
    assert_eq!(desk.submit(tagged("i", &[])), Submitted::Ready);
    assert_eq!(desk.submit(tagged("t", &["t"])), Submitted::Ready);
    desk.run(|q, now, out| q.pause(now, false, true, out));
    desk.run(|q, now, out| q.pause(now, false, false, out));
    desk.wait(0);
    assert_eq!(desk.q.len_in(State::Ready), 2);
    assert!(desk.out.announcements.is_empty());
}

#[test]
fn who_left_leaves_no_place_to_the_next_of_the_slot() {
    let mut desk = Desk::new();
    desk.join("m", &["t"], 1000);
    let slot = desk.slot("m").unwrap();
    desk.leave("m");
    desk.is_forgotten("m");
    newcomer_waits_for_nothing(desk, slot);
}

#[test]
fn whose_registration_ran_out_leaves_no_place_to_the_next_of_the_slot() {
    let mut desk = Desk::new();
    desk.join("m", &["t"], 10);
    let slot = desk.slot("m").unwrap();
    desk.wait(10);
    desk.is_forgotten("m");
    newcomer_waits_for_nothing(desk, slot);
}

#[test]
fn whose_calls_ended_leaves_no_place_to_the_next_of_the_slot() {
    let mut desk = Desk::new();
    for call in 0..3 {
        desk.block(call, "m", Some(&["t"]));
    }
    let slot = desk.slot("m").unwrap();
    desk.unblock(1, "m");
    desk.unblock(0, "m");
    assert_eq!(desk.line(), ["m"], "in one call still");
    desk.unblock(2, "m");
    desk.is_forgotten("m");
    newcomer_waits_for_nothing(desk, slot);
}

#[test]
fn all_calls_forgotten_at_once_leave_no_place_to_the_next_of_the_slot() {
    let mut desk = Desk::new();
    desk.block(0, "m", None);
    let slot = desk.slot("m").unwrap();
    desk.q.unblock_all(Time(desk.ms));
    verify(&desk.q);
    desk.is_forgotten("m");
    newcomer_waits_for_nothing(desk, slot);
}

#[test]
fn whose_call_was_answered_leaves_no_place_to_the_next_of_the_slot() {
    let mut desk = Desk::new();
    desk.block(0, "m", None);
    let slot = desk.slot("m").unwrap();
    assert_eq!(desk.submit(tagged("i", &[])), Submitted::Assigned);
    let token = desk.out.answers[0].token.0;
    desk.run(|q, now, out| q.resolve(now, b"i", token, None, out))
        .unwrap();
    desk.is_forgotten("m");
    newcomer_waits_for_nothing(desk, slot);
}

#[test]
fn who_was_served_and_left_leaves_no_place_to_the_next_of_the_slot() {
    let mut desk = Desk::new();
    desk.join("m", &[], 1000);
    let slot = desk.slot("m").unwrap();
    assert_eq!(desk.submit(tagged("i", &[])), Submitted::Assigned);
    desk.leave("m");
    assert_eq!(desk.slot("m"), Some(slot), "they hold a lock");
    assert!(
        desk.run(|q, now, out| q.cancel(now, b"i", None, out))
            .unwrap()
    );
    desk.is_forgotten("m");
    newcomer_waits_for_nothing(desk, slot);
}

/// The item is all that refers to its holder, twice, and goes.
#[test]
fn whose_last_item_excluded_them_leaves_no_place_to_the_next_of_the_slot() {
    let mut desk = Desk::new();
    desk.block(0, "m", None);
    let slot = desk.slot("m").unwrap();
    assert_eq!(desk.submit(tagged("i", &[])), Submitted::Assigned);
    let excluded = Update {
        excluded: tags(&["m"]),
        ..Update::default()
    };
    desk.run(|q, now, out| q.update(now, b"i", excluded, out))
        .unwrap();
    assert!(
        desk.run(|q, now, out| q.cancel(now, b"i", None, out))
            .unwrap()
    );
    desk.is_forgotten("m");
    newcomer_waits_for_nothing(desk, slot);
}

/// The catching up with matches stands at a place whose moderator is gone.
#[test]
fn catching_up_goes_on_where_somebody_left() {
    let mut desk = Desk::new();
    desk.run(|q, now, out| q.pause(now, false, true, out));
    for m in ["m", "o", "p"] {
        desk.join(m, &[], 1000);
    }
    let slot = desk.slot("o").unwrap();
    for id in ["1", "2", "3"] {
        assert_eq!(desk.submit(tagged(id, &[])), Submitted::Ready);
    }
    desk.run(|q, now, out| q.pause(now, false, false, out));
    desk.run(|q, now, out| q.tick(now, 1, out));
    assert_eq!(desk.q.len_in(State::Locked), 1);
    desk.leave("o");
    desk.is_forgotten("o");
    desk.assign("3", "n");
    assert_eq!(desk.slot("n"), Some(slot), "the slot is used again");
    assert_eq!(desk.line(), ["p"]);
    desk.wait(0);
    let given = |who: &str| {
        let held = desk.q.held_by(who.as_bytes(), Time(desk.ms));
        held.map(|c| text(c.item)).collect::<Vec<_>>()
    };
    assert_eq!([given("m"), given("n"), given("p")], [["1"], ["3"], ["2"]]);
    assert!(desk.line().is_empty());
}

/// That a blocked call ended counts as a sign of life; but not of the next in that slot.
#[test]
fn signs_of_life_are_forgotten_with_who_gave_them() {
    let mut desk = Desk::new();
    desk.join("m", &["t"], 100);
    let slot = desk.slot("m").unwrap();
    desk.block(0, "m", None);
    desk.ms += 90;
    desk.unblock(0, "m");
    assert_eq!(desk.q.line.last_call_ended(slot), Some(Time(1_000_090)));
    desk.leave("m");
    desk.is_forgotten("m");
    assert_eq!(desk.q.line.last_call_ended(slot), None);
    // The next of the slot is registered with a time from before that sign of life.
    desk.ms -= 40;
    desk.join("n", &["t"], 100);
    assert_eq!(desk.slot("n"), Some(slot), "the slot is used again");
    desk.wait(99);
    assert_eq!(desk.line(), ["n"]);
    desk.wait(1);
    assert!(desk.line().is_empty(), "100 ms after JOIN");
    // Control: for who gave it, it counts.
    desk.join("m", &["t"], 100);
    desk.block(0, "m", None);
    desk.ms += 90;
    desk.unblock(0, "m");
    desk.wait(99);
    assert_eq!(desk.line(), ["m"], "100 ms after the call ended");
    desk.wait(1);
    assert!(desk.line().is_empty());
}

/// The same for who joins anew, in the same slot: the time of the new registration counts.
#[test]
fn a_sign_of_life_before_a_join_does_not_count_after_it() {
    let mut desk = Desk::new();
    desk.join("m", &["t"], 100);
    desk.block(0, "m", None);
    desk.ms += 90;
    desk.unblock(0, "m");
    desk.ms -= 40;
    desk.join("m", &["t"], 100);
    desk.wait(100);
    assert!(desk.line().is_empty(), "not 40 ms later");
}
