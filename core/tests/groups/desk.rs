//! A queue, a replica that follows it, and a clock.

use modq_core::codec::Persist;
use modq_core::queue::{
    Assign, CancelGroup, Claim, Configure, Error, Event, Gate, GroupDone, ItemView, Now, Outcome,
    Queue, Record, Request, Resolve, ResolveAlso, Resolved, State, Submit, Update,
};
use modq_core::units::{Millis, Time, Token};
use serde_bytes::Bytes;

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn names<'a>(all: &[&'a str]) -> Vec<&'a Bytes> {
    all.iter().map(|name| Bytes::new(name.as_bytes())).collect()
}

/// The canonical state.
pub(crate) fn canon(queue: &Queue) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    queue.save(1, &mut |chunk| all.push(chunk.to_vec()));
    all.sort();
    all
}

/// An item of group `g`.
pub(crate) fn item(id: &str) -> Submit<'_> {
    Submit {
        id: id.as_bytes(),
        payload: b"text",
        group: Some(b"g"),
        ..Submit::default()
    }
}

/// A RESOLVE … ALSO for up to 1000 others.
pub(crate) fn also<'a>(id: &'a str, token: u64, verdict: Option<&'a str>) -> ResolveAlso<'a> {
    ResolveAlso {
        named: Resolve {
            id: id.as_bytes(),
            token: Token(token),
            verdict: verdict.map(str::as_bytes),
            ..Resolve::default()
        },
        most: 1000,
        ..ResolveAlso::default()
    }
}

/// A CANCELGROUP of up to 1000 items of `g`.
pub(crate) fn cancel_all<'a>() -> CancelGroup<'a> {
    CancelGroup {
        group: b"g",
        most: 1000,
        ..CancelGroup::default()
    }
}

/// A CLAIM … WITHGROUP.
pub(crate) fn with_group(moderator: &str, count: usize) -> Claim<'_> {
    Claim {
        moderator: moderator.as_bytes(),
        count,
        lock: None,
        tags: None,
        new_only: false,
        with_group: true,
    }
}

pub(crate) fn done(done: usize, left: usize) -> GroupDone {
    GroupDone {
        done,
        left,
        next: None,
    }
}

#[derive(Default)]
pub(crate) struct Desk {
    pub queue: Queue,
    replica: Queue,
    pub ms: u64,
    /// Of the last command.
    pub events: Vec<Event>,
    pub recorded: usize,
}

impl Desk {
    /// A desk whose queue has these settings, and writes events.
    pub(crate) fn new(configure: Configure<'_>) -> Desk {
        let mut desk = Desk {
            ms: 1_000_000,
            ..Desk::default()
        };
        let events = Some(&b"log"[..]);
        desk.run(Configure {
            events,
            ..configure
        })
        .expect("configured");
        desk
    }

    /// One command; then all of it to the replica.
    pub(crate) fn run<R: Request>(&mut self, request: R) -> Result<R::Reply, Error> {
        self.run_unchecked(request, true)
    }

    /// As `run`; whether the replica is compared is for the caller to say, where items are many.
    pub(crate) fn run_unchecked<R: Request>(
        &mut self,
        request: R,
        compare: bool,
    ) -> Result<R::Reply, Error> {
        let now = self.now();
        let mut out = Outcome::default();
        while self.queue.is_due(now.time) {
            self.queue.advance(now, Gate::Open, 1000, &mut out);
        }
        let before = out.events.iter().map(|b| b.events.len()).sum();
        let reply = self.queue.handle(now, Gate::Open, request, &mut out);
        let events = out.events.into_iter().flat_map(|batch| batch.events);
        self.events = events.skip(before).collect();
        self.recorded = 0;
        if !out.record.is_empty() {
            let effects = Record::effects(out.record.bytes()).expect("decodes");
            for (when, effect) in effects {
                self.replica.apply(when, &effect).expect("applies");
                self.recorded += 1;
            }
        }
        if compare {
            assert_eq!(canon(&self.queue), canon(&self.replica));
        }
        reply
    }

    fn now(&self) -> Now {
        Now {
            time: Time(self.ms),
            token_floor: Token(self.ms * 1000),
        }
    }

    pub(crate) fn submit(&mut self, id: &str) {
        self.run(item(id)).expect("submitted");
    }

    /// Locks an item for somebody, whatever they offer.
    pub(crate) fn assign(&mut self, id: &str, moderator: &str) -> u64 {
        let token = self.assign_unchecked(id, moderator);
        assert_eq!(canon(&self.queue), canon(&self.replica));
        token
    }

    pub(crate) fn assign_unchecked(&mut self, id: &str, moderator: &str) -> u64 {
        let assign = Assign {
            id: id.as_bytes(),
            moderator: moderator.as_bytes(),
            ..Assign::default()
        };
        self.run_unchecked(assign, false).expect("assigned").0
    }

    pub(crate) fn update(&mut self, id: &str, update: Update<'_>) {
        let id = id.as_bytes();
        let rev = self.run(Update { id, ..update }).expect("it is there");
        assert!(rev.is_some());
    }

    pub(crate) fn also(&mut self, request: &ResolveAlso<'_>) -> (Resolved, GroupDone) {
        let reply = self.run(request).expect("accepted");
        (reply.resolved, reply.group)
    }

    /// The items of a claim, and their tokens.
    pub(crate) fn claim(&mut self, claim: &Claim<'_>) -> Vec<(String, u64)> {
        let slots = self.run(claim).expect("admitted");
        let views = slots.iter().map(|item| self.queue.claimed_view(item));
        views.map(|view| (text(view.item), view.token.0)).collect()
    }

    pub(crate) fn claim_unchecked(&mut self, claim: &Claim<'_>) -> Vec<String> {
        let slots = self.run_unchecked(claim, false).expect("admitted");
        let views = slots.iter().map(|item| self.queue.claimed_view(item));
        views.map(|view| text(view.item)).collect()
    }

    pub(crate) fn claim_ids(&mut self, claim: &Claim<'_>) -> Vec<String> {
        let claimed = self.claim(claim).into_iter();
        claimed.map(|(id, _)| id).collect()
    }

    /// A dead item, by its first expiry.
    pub(crate) fn kill(&mut self, id: &str) {
        let limit = |n| Configure {
            max_expiries: Some(n),
            ..Configure::default()
        };
        self.run(limit(1)).expect("configured");
        let assign = Assign {
            id: id.as_bytes(),
            moderator: b"killer",
            lock: Some(Millis(1)),
            ..Assign::default()
        };
        self.run(assign).expect("assigned");
        self.ms += 1;
        self.run(limit(0)).expect("configured");
        assert_eq!(self.state(id), Some(State::Dead));
    }

    pub(crate) fn view(&self, id: &str) -> Option<ItemView<'_>> {
        self.queue.get(id.as_bytes(), Time(self.ms))
    }

    pub(crate) fn state(&self, id: &str) -> Option<State> {
        self.view(id).map(|view| view.state)
    }

    /// The ids of `g`, by arrival.
    pub(crate) fn group(&self) -> Vec<String> {
        let page = self.queue.group(b"g", 0, 100_000, Time(self.ms));
        page.rows.iter().map(|row| text(row.item)).collect()
    }

    /// Name, item and a field of each event of the last command.
    pub(crate) fn told(&self, field: &str) -> Vec<(&'static str, String, String)> {
        let events = self.events.iter().map(|event| {
            let found = event.fields.iter().find(|(name, _)| *name == field);
            let value = found.map_or_else(String::new, |(_, value)| text(value));
            (event.name, text(&event.item), value)
        });
        events.collect()
    }
}
