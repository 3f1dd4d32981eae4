//! Random commands on two queues, their models and their replicas, in step.

use super::model::{Given, Model, ModelAnswer, ModelCall, Phase, Row};
use super::*;

mod clients;
mod commands;
mod compare;
mod floods;
mod groups;
mod ops;

use clients::Register;
pub(super) use groups::AlsoOp;
use ops::given;
pub(super) use ops::{Aim, Clock, Op, Seen, Step, SubmitOp, WaitOp, steps};
pub(super) use ops::{aims, durations, pick, revs, submits, verdicts};

pub(super) const ITEMS: [&str; 5] = ["i0", "i1", "i2", "i3", "i4"];
pub(super) const MODERATORS: [&str; 4] = ["m0", "m1", "m2", "m3"];
const TAGS: [&str; 3] = ["ta", "tb", "tc"];
pub(super) const GROUPS: [&str; 2] = ["g", "h"];

/// A queue, what the specification says of it, and a replica of it.
pub(super) struct Trio {
    pub queue: Queue,
    pub model: Model,
    pub replica: Queue,
}

impl Trio {
    fn new() -> Trio {
        Trio {
            queue: Queue::default(),
            model: Model::default(),
            replica: Queue::default(),
        }
    }

    /// Has the queue remember what is decided, until it is configured otherwise.
    fn remember(&mut self, now: Now) {
        let settings = Settings {
            retain: Millis(100_000),
            ..Settings::default()
        };
        let mut out = Outcome::default();
        let configured = self.queue.configure(now, settings.clone(), &mut out);
        assert_eq!(configured, self.model.configure(now, settings));
        assert!(self.share(&out).is_empty());
    }

    /// What happened goes to the replica; what was handed out is what the model handed out.
    /// Answers the answers.
    fn share(&mut self, out: &Outcome) -> Vec<ModelAnswer> {
        if !out.record.is_empty() {
            replay(&mut self.replica, out.record.bytes());
        }
        let given = out.announcements.iter().map(|m| Given {
            item: text(&m.item),
            moderator: text(&m.moderator),
            token: m.token.0,
            assign: m.assign,
        });
        let given: Vec<Given> = given.collect();
        assert_eq!(given, std::mem::take(&mut self.model.given));
        let answers = out.answers.iter().map(|a| ModelAnswer {
            call: a.call.0,
            item: text(&a.item),
            token: a.token.0,
            undo: a.undo,
        });
        let answers: Vec<ModelAnswer> = answers.collect();
        assert_eq!(answers, std::mem::take(&mut self.model.answers));
        answers
    }

    #[must_use]
    fn advance(&mut self, now: Now) -> Vec<ModelAnswer> {
        let mut out = Outcome::default();
        self.queue.tick(now, usize::MAX, &mut out);
        self.model.advance(now);
        self.share(&out)
    }

    fn hang_up(&mut self, now: Now, call: &ModelCall) {
        let moderator = call.moderator.as_bytes();
        let waited = self.queue.unblock(now.time, CallId(call.id), moderator);
        assert_eq!(waited, self.model.hang_up(now, call.id));
    }

    /// As the host does when the queue is found at a name it was not known to be at.
    fn attach(&mut self, now: Now, calls: &[ModelCall]) {
        self.queue.unblock_all(now.time);
        assert_eq!(self.queue.blocked(), 0);
        calls.iter().for_each(|call| block(&mut self.queue, call));
        self.queue.line.match_everyone();
        self.model.attach(now, calls);
    }

    /// The item from `id` on that has such a token, if any does, and the token.
    pub(super) fn aim(&self, id: &'static str, which: &Aim) -> (&'static str, u64) {
        self.aim_where(id, which, |_| true).unwrap_or((id, 1))
    }

    /// The same among those that are in a group with others, or were in one, if there are any.
    pub(super) fn aim_grouped(&self, id: &'static str, which: &Aim) -> (&'static str, u64) {
        let is_grouped = |id: &str| {
            let mut records = self.model.records.iter();
            match self.model.item(id) {
                Some(item) => self.model.members(&item.group).len() > 1,
                None => records.any(|r| r.item == id && !r.group.is_empty()),
            }
        };
        let found = self.aim_where(id, which, is_grouped);
        found.unwrap_or_else(|| self.aim(id, which))
    }

    fn aim_where(
        &self,
        id: &'static str,
        which: &Aim,
        aims: impl Fn(&str) -> bool,
    ) -> Option<(&'static str, u64)> {
        let from = ITEMS.iter().position(|i| *i == id).expect("one of them");
        let mut ids = ITEMS.iter().cycle().skip(from).take(ITEMS.len());
        let token = |id: &str| match which {
            Aim::Live => self.model.lock(id).map(|lock| lock.token),
            Aim::Late => Some(self.model.item(id)?.late.as_ref()?.token),
            Aim::Voted => Some(self.model.item(id)?.votes.first()?.token),
            Aim::Decided => {
                let mut records = self.model.records.iter();
                Some(records.find(|record| record.item == id)?.token)
            }
            Aim::Wrong => Some(self.model.last_token + 1),
        };
        ids.find_map(|id| Some((*id, token(id).filter(|_| aims(id))?)))
    }

    pub(super) fn rev(&self, id: &str, which: &Seen) -> Option<u64> {
        let rev = self.model.item(id).map_or(1, |i| i.rev);
        match which {
            Seen::Any => None,
            Seen::Present => Some(rev),
            Seen::Wrong => Some(rev + 1),
        }
    }
}

/// A claim as the model shows it.
fn row(claim: &ClaimView<'_>) -> Row {
    Row {
        item: text(claim.item),
        payload: text(claim.payload),
        token: claim.token.0,
        deadline: claim.deadline.0,
        priority: claim.priority,
        submitted: claim.submitted.0,
        deliveries: claim.deliveries,
        rev: claim.rev.0.into(),
    }
}

/// Has a queue know of a call.
pub(super) fn block(queue: &mut Queue, call: &ModelCall) {
    let block = Block {
        call: CallId(call.id),
        moderator: call.moderator.as_bytes(),
        tags: given(&call.tags),
        new_only: call.new_only,
        lock: call.lock.map(Millis),
        place: call.place,
    };
    queue.block(&block);
}

pub(super) struct World {
    pub sides: [Trio; 2],
    register: Register,
    /// Trio and token of the locks that this step took back.
    pub undone: Vec<(usize, u64)>,
    /// What this step replied, if it was about a group.
    pub done: Option<GroupDone>,
    /// The items of its events, each with the one that it was decided by, if any. None are written unless
    /// `write_events` was called, and no CONFIGURE came since.
    pub told: Vec<(String, Option<String>)>,
    pub now: Now,
    /// How often what happened, so that a run can be seen to have happened.
    pub seen: BTreeMap<&'static str, usize>,
}

impl World {
    pub(super) fn new() -> World {
        let mut world = World {
            sides: [Trio::new(), Trio::new()],
            register: Register::default(),
            undone: Vec::new(),
            done: None,
            told: Vec::new(),
            now: at(1_000_000),
            seen: BTreeMap::new(),
        };
        world.sides[0].remember(world.now);
        world
    }

    /// Has both queues write events.
    pub(super) fn write_events(&mut self) {
        for side in &mut self.sides {
            let mut out = Outcome::default();
            let settings = Settings {
                events: b"log".to_vec(),
                ..side.queue.settings().clone()
            };
            let configured = side.queue.configure(self.now, settings.clone(), &mut out);
            assert_eq!(configured, side.model.configure(self.now, settings));
            assert!(side.share(&out).is_empty());
        }
    }

    fn set_clock(&mut self, step: &Step) {
        let ms = self.now.time.0;
        self.now = at(match step.clock {
            Clock::Forward(by) => ms + by,
            Clock::Back(by) => ms - by,
            Clock::Next(by) => match self.sides[step.at].model.next_change() {
                Some(time) if time < ms + 10_000 => time.saturating_add_signed(by).max(ms),
                _ => ms + 1,
            },
        });
    }

    /// Advances the clock and the queues; everyone agrees afterwards.
    pub(super) fn before(&mut self, step: &Step) {
        self.set_clock(step);
        self.undone.clear();
        for side in 0..2 {
            let answers = self.sides[side].advance(self.now);
            self.answered(side, answers);
        }
        self.compare();
    }

    fn compare(&self) {
        for side in &self.sides {
            side.compare(self.now);
            verify(&side.queue);
            verify_ages(&side.queue);
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        self.before(step);
        self.run(step);
    }
}
