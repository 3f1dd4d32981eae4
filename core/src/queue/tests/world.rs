//! Random commands on two queues, their models and their replicas, in step.

use super::model::{Given, Model, ModelAnswer, ModelCall, Phase, Row};
use super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;

pub(super) const ITEMS: [&str; 5] = ["i0", "i1", "i2", "i3", "i4"];
pub(super) const MODERATORS: [&str; 4] = ["m0", "m1", "m2", "m3"];
pub(super) const TAGS: [&str; 3] = ["ta", "tb", "tc"];
const PAYLOADS: [&str; 3] = ["", "text", "a longer text"];

#[derive(Debug, Clone)]
pub(super) enum Token {
    Live,
    Late,
    Wrong,
}

#[derive(Debug, Clone)]
pub(super) enum Rev {
    Any,
    Present,
    Wrong,
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    Submit {
        id: &'static str,
        payload: &'static str,
        priority: Option<i32>,
        boost: Option<i64>,
        delay: u64,
        tags: Option<Vec<String>>,
        excluded: Option<Vec<String>>,
        on_duplicate: OnDuplicate,
    },
    Cancel(&'static str, Rev),
    Update {
        id: &'static str,
        rev: Rev,
        priority: Option<i32>,
        boost: Option<i64>,
        payload: Option<&'static str>,
        tags: Option<Vec<String>>,
        excluded: Option<Vec<String>>,
    },
    Claim {
        moderator: &'static str,
        count: usize,
        lock: Option<u64>,
        tags: Option<Vec<String>>,
        new_only: bool,
    },
    Resolve(&'static str, Token, Rev),
    Release(&'static str, Token, bool, u64),
    Extend(&'static str, Token, u64),
    Join {
        moderator: &'static str,
        ttl: Option<u64>,
        count: Option<u64>,
        tags: Option<Vec<String>>,
    },
    Leave(&'static str, bool),
    Assign(&'static str, &'static str, Option<u64>),
    Pause(bool, bool),
    Revive(&'static str),
    ReviveAll(usize),
    Configure {
        lock: u64,
        max_expiries: u64,
        max_len: u64,
        capacity: u64,
        late_accept: bool,
        aging: u64,
    },
    Move(&'static str, Option<Token>, Option<i32>),
    /// A CLAIM with BLOCK, or (`both`) an MCLAIM: waits where it finds nothing.
    Wait {
        moderator: &'static str,
        lock: Option<u64>,
        tags: Option<Vec<String>>,
        new_only: bool,
        both: bool,
    },
    /// A waiting client disconnects, or its time is up.
    HangUp(usize),
    /// A client that was matched is gone before its answer went out.
    Vanish(usize),
    /// One answer goes out at once, as by CLIENT UNBLOCK.
    Unblock(usize),
    /// All answers go out; whose lock is gone goes back to its place.
    Deliver,
    /// The queue came to its name anew, as by RENAME, and hears again of who waits for it.
    Attach,
    Tick,
    /// The replica is replaced by one loaded from chunks of so many entries.
    Resync(usize),
    /// The queue itself is replaced so: DEBUG RELOAD, or a promotion, where no client waits.
    Reload(usize, bool),
}

#[derive(Debug, Clone)]
pub(super) enum Clock {
    Forward(u64),
    Back(u64),
    /// To so many ms after (or before) the next thing that happens by the clock.
    Next(i64),
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub op: Op,
    /// Which queue.
    pub at: usize,
    pub clock: Clock,
}

fn lot<const N: usize>(all: [&'static str; N]) -> impl Strategy<Value = Option<Vec<String>>> {
    let some = subsequence(all.to_vec(), 0..=2).prop_shuffle();
    option::weighted(
        0.4,
        some.prop_map(|all| all.into_iter().map(String::from).collect()),
    )
}

fn pick<const N: usize>(all: [&'static str; N]) -> impl Strategy<Value = &'static str> {
    (0..N).prop_map(move |i| all[i])
}

fn durations() -> impl Strategy<Value = u64> {
    prop_oneof![1u64..40, Just(10), Just(20)]
}

fn tokens() -> impl Strategy<Value = Token> {
    prop_oneof![
        6 => Just(Token::Live),
        3 => Just(Token::Late),
        1 => Just(Token::Wrong),
    ]
}

fn revs() -> impl Strategy<Value = Rev> {
    prop_oneof![
        4 => Just(Rev::Any),
        2 => Just(Rev::Present),
        1 => Just(Rev::Wrong),
    ]
}

fn priorities() -> impl Strategy<Value = Option<i32>> {
    option::of(prop_oneof![
        10 => -1i32..3,
        1 => Just(i32::MIN),
        1 => Just(i32::MAX),
    ])
}

fn boosts() -> impl Strategy<Value = Option<i64>> {
    let most = MAX_DURATION as i64;
    option::weighted(
        0.3,
        prop_oneof![8 => -30i64..30, 1 => Just(most), 1 => Just(-most)],
    )
}

pub(super) fn ops() -> impl Strategy<Value = Op> {
    let submit = (
        pick(ITEMS),
        pick(PAYLOADS),
        priorities(),
        boosts(),
        prop_oneof![3 => Just(0), 1 => durations()],
        lot(TAGS),
        lot(MODERATORS),
        prop_oneof![
            Just(OnDuplicate::Keep),
            Just(OnDuplicate::Bump),
            Just(OnDuplicate::Replace),
            Just(OnDuplicate::Error)
        ],
    )
        .prop_map(
            |(id, payload, priority, boost, delay, tags, excluded, on_duplicate)| Op::Submit {
                id,
                payload,
                priority,
                boost,
                delay,
                tags,
                excluded,
                on_duplicate,
            },
        );
    let update = (
        pick(ITEMS),
        revs(),
        priorities(),
        boosts(),
        option::weighted(0.3, pick(PAYLOADS)),
        lot(TAGS),
        lot(MODERATORS),
    )
        .prop_map(
            |(id, rev, priority, boost, payload, tags, excluded)| Op::Update {
                id,
                rev,
                priority,
                boost,
                payload,
                tags,
                excluded,
            },
        );
    let claim = (
        pick(MODERATORS),
        1usize..4,
        option::of(durations()),
        lot(TAGS),
        any::<bool>(),
    )
        .prop_map(|(moderator, count, lock, tags, new_only)| Op::Claim {
            moderator,
            count,
            lock,
            tags,
            new_only,
        });
    let wait = (
        pick(MODERATORS),
        option::of(durations()),
        lot(TAGS),
        any::<bool>(),
        prop_oneof![3 => Just(false), 1 => Just(true)],
    )
        .prop_map(|(moderator, lock, tags, new_only, both)| Op::Wait {
            moderator,
            lock,
            tags,
            new_only,
            both,
        });
    let join = (
        pick(MODERATORS),
        option::of(1u64..80),
        option::weighted(0.4, 1u64..4),
        lot(TAGS),
    )
        .prop_map(|(moderator, ttl, count, tags)| Op::Join {
            moderator,
            ttl,
            count,
            tags,
        });
    let configure = (
        1u64..40,
        0u64..4,
        prop_oneof![2 => Just(0u64), 1 => 2u64..5],
        prop_oneof![2 => Just(0u64), 1 => 1u64..3],
        any::<bool>(),
        prop_oneof![2 => Just(0u64), 1 => 1u64..20, 1 => Just(MAX_AGING)],
    )
        .prop_map(
            |(lock, max_expiries, max_len, capacity, late_accept, aging)| Op::Configure {
                lock,
                max_expiries,
                max_len,
                capacity,
                late_accept,
                aging,
            },
        );
    let delay = || prop_oneof![2 => Just(0), 1 => durations()];
    prop_oneof![
        24 => submit,
        2 => (pick(ITEMS), revs()).prop_map(|(id, rev)| Op::Cancel(id, rev)),
        8 => update,
        16 => claim,
        8 => (pick(ITEMS), tokens(), revs()).prop_map(|(id, t, r)| Op::Resolve(id, t, r)),
        10 => (pick(ITEMS), tokens(), any::<bool>(), delay())
            .prop_map(|(id, t, skip, delay)| Op::Release(id, t, skip, delay)),
        3 => (pick(ITEMS), tokens(), durations()).prop_map(|(id, t, ms)| Op::Extend(id, t, ms)),
        16 => join,
        4 => (pick(MODERATORS), any::<bool>()).prop_map(|(m, release)| Op::Leave(m, release)),
        5 => (pick(ITEMS), pick(MODERATORS), option::of(durations()))
            .prop_map(|(id, m, lock)| Op::Assign(id, m, lock)),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(i, o)| Op::Pause(i, o)),
        2 => Just(Op::Pause(false, false)),
        3 => pick(ITEMS).prop_map(Op::Revive),
        2 => (1usize..4).prop_map(Op::ReviveAll),
        4 => configure,
        5 => (pick(ITEMS), option::of(tokens()), priorities())
            .prop_map(|(id, t, p)| Op::Move(id, t, p)),
        4 => Just(Op::Tick),
        2 => (1usize..6).prop_map(Op::Resync),
        1 => (1usize..6, any::<bool>()).prop_map(|(entries, kept)| Op::Reload(entries, kept)),
        24 => wait,
        4 => any::<usize>().prop_map(Op::HangUp),
        7 => any::<usize>().prop_map(Op::Vanish),
        3 => any::<usize>().prop_map(Op::Unblock),
        4 => Just(Op::Deliver),
        1 => Just(Op::Attach),
    ]
}

pub(super) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let clock = prop_oneof![
        4 => Just(Clock::Forward(0)),
        5 => (1u64..8).prop_map(Clock::Forward),
        1 => (8u64..200).prop_map(Clock::Forward),
        3 => (-1i64..2).prop_map(Clock::Next),
        1 => (1u64..60).prop_map(Clock::Back),
    ];
    let at = prop_oneof![4 => Just(0usize), 1 => Just(1usize)];
    vec(
        (ops(), at, clock).prop_map(|(op, at, clock)| Step { op, at, clock }),
        most / 2..most,
    )
}

pub(super) struct Side {
    pub queue: Queue,
    pub model: Model,
    pub replica: Queue,
}

impl Side {
    fn new() -> Side {
        Side {
            queue: Queue::default(),
            model: Model::default(),
            replica: Queue::default(),
        }
    }

    /// What happened goes to the replica; what was handed out is what the model handed out.
    /// Answers the answers.
    fn share(&mut self, fx: &Effects) -> Vec<ModelAnswer> {
        if !fx.record.is_empty() {
            replay(&mut self.replica, fx.record.bytes());
        }
        let given: Vec<Given> = fx
            .matches
            .iter()
            .map(|m| Given {
                item: text(&m.item),
                moderator: text(&m.moderator),
                token: m.token,
                assign: m.assign,
            })
            .collect();
        assert_eq!(given, std::mem::take(&mut self.model.given));
        let answers: Vec<ModelAnswer> = fx
            .answers
            .iter()
            .map(|a| ModelAnswer {
                call: a.call,
                item: text(&a.item),
                token: a.token,
                undo: a.undo,
            })
            .collect();
        assert_eq!(answers, std::mem::take(&mut self.model.answers));
        answers
    }

    #[must_use]
    fn advance(&mut self, now: Now) -> Vec<ModelAnswer> {
        let mut fx = Effects::default();
        self.queue.advance(now, usize::MAX, &mut fx);
        self.model.advance(now);
        self.share(&fx)
    }

    fn hang_up(&mut self, now: Now, call: &ModelCall) {
        let moderator = call.moderator.as_bytes();
        let waited = self.queue.unblock(now, call.id, moderator);
        assert_eq!(waited, self.model.hang_up(now, call.id));
    }

    /// As the shell does when the queue is found at a name it was not known to be at.
    fn attach(&mut self, now: Now, calls: &[ModelCall]) {
        self.queue.unblock_all(now);
        assert_eq!(self.queue.blocked(), 0);
        calls.iter().for_each(|call| block(&mut self.queue, call));
        self.queue.match_everyone();
        self.model.attach(now, calls);
    }

    /// The item from `id` on that has such a token, if any does, and the token.
    pub(super) fn aim(&self, id: &'static str, which: &Token) -> (&'static str, u64) {
        let from = ITEMS.iter().position(|i| *i == id).expect("one of them");
        let mut ids = ITEMS.iter().cycle().skip(from).take(ITEMS.len());
        let token = |id: &str| match which {
            Token::Live => self.model.lock(id).map(|lock| lock.token),
            Token::Late => Some(self.model.item(id)?.late?.0),
            Token::Wrong => Some(self.model.last_token + 1),
        };
        ids.find_map(|id| Some((*id, token(id)?)))
            .unwrap_or((id, 1))
    }

    fn rev(&self, id: &str, which: &Rev) -> Option<u64> {
        let rev = self.model.item(id).map_or(1, |i| i.rev);
        match which {
            Rev::Any => None,
            Rev::Present => Some(rev),
            Rev::Wrong => Some(rev + 1),
        }
    }

    /// Everything a reader sees is what the model says.
    pub(super) fn compare(&self, now: Now) {
        let (queue, model) = (&self.queue, &self.model);
        for id in ITEMS {
            let item = model.item(id);
            let got = queue.get(id.as_bytes(), now);
            assert_eq!(got.is_some(), item.is_some(), "{id}");
            let place = model.ready().iter().position(|i| i == id);
            assert_eq!(queue.position(id.as_bytes()), place.map(|p| p + 1));
            let (Some(got), Some(item)) = (got, item) else {
                continue;
            };
            let lock = match &item.phase {
                Phase::Locked(l) => Some((l.moderator.as_bytes(), l.token, l.deadline)),
                _ => None,
            };
            let expected = ItemView {
                item: id.as_bytes(),
                state: match item.phase {
                    Phase::Ready => State::Ready,
                    Phase::Delayed => State::Delayed,
                    Phase::Dead => State::Dead,
                    Phase::Locked(_) => State::Locked,
                },
                payload: item.payload.as_bytes(),
                priority: item.priority,
                boost: item.boost,
                submitted: item.submitted,
                due: item.due,
                rev: item.rev as u32,
                reports: item.reports,
                deliveries: item.deliveries,
                expiries: item.expiries,
                lock,
                tags: item.tags.iter().map(String::as_bytes).collect(),
                excluded: item.excluded.iter().map(|(m, _)| m.as_bytes()).collect(),
            };
            assert_eq!(got, expected);
        }
        let list = |ids: Vec<&[u8]>| ids.into_iter().map(text).collect::<Vec<_>>();
        let ready = model.ready();
        assert_eq!(list(queue.peek(100, None)), ready);
        assert_eq!(list(queue.peek(2, None)), ready[..ready.len().min(2)]);
        for m in MODERATORS {
            // What they would claim now, and what their blocked calls wait for.
            let mut offered = model.offers(m);
            offered.push(model.tags_of(m, None));
            let open = |id: &String| offered.iter().any(|o| model.ready_for(m, o).contains(id));
            let without = queue.peek(100, Some((m.as_bytes(), None)));
            assert_eq!(list(without), model.in_order(|i| open(&i.id)));
            let given = names(&TAGS[1..]);
            let with = queue.peek(100, Some((m.as_bytes(), Some(&given))));
            let tags: Vec<String> = TAGS[1..].iter().map(|t| t.to_string()).collect();
            assert_eq!(list(with), model.ready_for(m, &tags));
            let held = queue.held_by(m.as_bytes(), now).map(|c| row(&c));
            assert_eq!(held.collect::<Vec<_>>(), model.held(m));
        }
        let count = |which: fn(&Phase) -> bool| {
            let all = model.items.iter().filter(|i| which(&i.phase));
            all.count()
        };
        let summary = Summary {
            ready: count(|p| *p == Phase::Ready),
            locked: count(|p| matches!(p, Phase::Locked(_))),
            delayed: count(|p| *p == Phase::Delayed),
            dead: count(|p| *p == Phase::Dead),
            waiting: model.line().len(),
        };
        assert_eq!(queue.summary(), summary);
        for (state, n) in [
            (State::Ready, summary.ready),
            (State::Locked, summary.locked),
            (State::Delayed, summary.delayed),
            (State::Dead, summary.dead),
        ] {
            assert_eq!(queue.len_in(state), n);
        }
        assert_eq!(queue.len(), model.items.len());
        assert_eq!(queue.is_empty(), model.items.is_empty());
        assert_eq!(queue.waiting(), summary.waiting);
        let by_tag: Vec<(String, usize)> = queue
            .ready_by_tag()
            .into_iter()
            .map(|(tag, n)| (text(tag), n))
            .collect();
        let ready_with = |tag: &str| {
            let all = model.items.iter().filter(|i| i.phase == Phase::Ready);
            all.filter(|i| i.tags.iter().any(|t| t == tag)).count()
        };
        let expected: Vec<(String, usize)> = TAGS
            .iter()
            .map(|t| (t.to_string(), ready_with(t)))
            .filter(|(_, n)| *n > 0)
            .collect();
        assert_eq!(by_tag, expected);

        let line: Vec<(String, Place)> = queue
            .line
            .iter()
            .map(|(place, m)| (text(&queue.moderators[*m].name), *place))
            .collect();
        let expected: Vec<(String, Place)> = model
            .line()
            .into_iter()
            .map(|m| {
                let place = model.place_of(&m).expect("in line");
                (m, place)
            })
            .collect();
        assert_eq!(line, expected);
        for waiter in queue.waiters(100) {
            let name = text(waiter.moderator);
            let joined = model.registration(&name).is_some_and(|r| r.place.is_some());
            assert_eq!(waiter.joined, joined);
            assert_eq!(Some(waiter.since), model.place_of(&name).map(|p| p.0));
            let theirs = model.calls.iter().filter(|c| c.moderator == name);
            let first = theirs.min_by_key(|c| c.place);
            let tags = first.filter(|_| !joined).and_then(|c| c.tags.as_deref());
            let tags: Vec<String> = model.tags_of(&name, tags);
            assert!(
                waiter
                    .tags
                    .iter()
                    .copied()
                    .eq(tags.iter().map(String::as_bytes))
            );
        }
        assert_eq!(queue.blocked(), model.calls.len());
        assert_eq!(queue.next_due(), model.next_due());
        assert_eq!(queue.last_token, model.last_token);
        assert_eq!(queue.paused(), (model.paused_in, model.paused_out));
        assert_eq!(*queue.settings(), model.settings);
        let (got, totals) = (&queue.stats, &model.totals);
        assert_eq!(
            (got.submitted, got.resolved, got.cancelled),
            (totals.submitted, totals.resolved, totals.cancelled)
        );
        assert_eq!(
            (got.released, got.expired, got.died),
            (totals.released, totals.expired, totals.died)
        );
        assert_eq!((&got.wait, &got.handle), (&totals.wait, &totals.handle));
    }
}

pub(super) fn row(claim: &ClaimView<'_>) -> Row {
    Row {
        item: text(claim.item),
        payload: text(claim.payload),
        token: claim.token,
        deadline: claim.deadline,
        priority: claim.priority,
        submitted: claim.submitted,
        deliveries: claim.deliveries,
        rev: claim.rev.into(),
    }
}

/// Has a queue know of a call.
pub(super) fn block(queue: &mut Queue, call: &ModelCall) {
    let block = Block {
        call: call.id,
        moderator: call.moderator.as_bytes(),
        tags: given(&call.tags),
        new_only: call.new_only,
        lock: call.lock,
        place: call.place,
    };
    queue.block(&block);
}

/// A client that waits, and in which queues.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    pub call: ModelCall,
    pub at: Vec<usize>,
}

/// An answer that has not gone out yet, and from where.
#[derive(Debug, Clone)]
struct Flight {
    waiter: Waiter,
    from: usize,
    answer: ModelAnswer,
}

/// What the shell keeps of blocked clients.
#[derive(Debug, Default)]
pub(super) struct Register {
    pub waiters: BTreeMap<u64, Waiter>,
    flights: Vec<Flight>,
    last_call: u64,
}

impl Register {
    /// The calls that wait at one queue.
    pub(super) fn at(&self, side: usize) -> Vec<ModelCall> {
        let here = self.waiters.values().filter(|w| w.at.contains(&side));
        here.map(|w| w.call.clone()).collect()
    }
}

pub(super) struct World {
    pub sides: [Side; 2],
    pub register: Register,
    /// Side and token of the locks that this step took back.
    pub undone: Vec<(usize, u64)>,
    pub now: Now,
    /// How often what happened, so that a run can be seen to have happened.
    pub seen: BTreeMap<&'static str, usize>,
}

pub(super) fn given(all: &Option<Vec<String>>) -> Option<Vec<&Bytes>> {
    all.as_ref().map(|all| names(all))
}

impl World {
    pub(super) fn new() -> World {
        World {
            sides: [Side::new(), Side::new()],
            register: Register::default(),
            undone: Vec::new(),
            now: at(1_000_000),
            seen: BTreeMap::new(),
        }
    }

    pub(super) fn set_clock(&mut self, step: &Step) {
        let ms = self.now.ms;
        self.now = at(match step.clock {
            Clock::Forward(by) => ms + by,
            Clock::Back(by) => ms - by,
            Clock::Next(by) => match self.sides[step.at].model.next_time() {
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

    /// One command on the queue and on the model; everyone agrees afterwards.
    pub(super) fn run(&mut self, step: &Step) {
        let now = self.now;
        let before = canon(&self.sides[step.at].queue);
        let (first, second) = self.sides.split_at_mut(1);
        let (side, other) = match step.at {
            0 => (&mut first[0], &mut second[0]),
            _ => (&mut second[0], &mut first[0]),
        };
        let (mut fx, mut other_fx) = (Effects::default(), Effects::default());
        let register = &mut self.register;
        let (got, expected, idle) = run(side, other, register, step, now, &mut fx, &mut other_fx);
        assert_eq!(got, expected, "{:?}", step.op);
        *self.seen.entry(kind(&step.op, &got)).or_default() += 1;
        let answers = (step.at, side.share(&fx));
        let others = (1 - step.at, other.share(&other_fx));
        // MOVE announces at its source first.
        for (side, answers) in [answers, others] {
            self.answered(side, answers);
        }
        self.wait(step);
        self.compare();
        if idle {
            assert!(fx.record.is_empty(), "{:?} recorded {got}", step.op);
            assert_eq!(canon(&self.sides[step.at].queue), before, "{:?}", step.op);
        }
    }

    /// Calls that are answered wait nowhere else; one that is answered already cannot use more.
    fn answered(&mut self, from: usize, answers: Vec<ModelAnswer>) {
        let mut surplus = Vec::new();
        for answer in answers {
            let Some(waiter) = self.register.waiters.remove(&answer.call) else {
                surplus.push(answer);
                continue;
            };
            for side in waiter.at.iter().filter(|side| **side != from) {
                self.sides[*side].hang_up(self.now, &waiter.call);
            }
            self.register.flights.push(Flight {
                waiter,
                from,
                answer,
            });
        }
        for answer in surplus {
            self.take_back(from, &answer);
        }
    }

    /// Undoes a match that reached nobody.
    fn take_back(&mut self, from: usize, answer: &ModelAnswer) {
        let same = |f: &Flight| f.from == from && f.answer.token == answer.token;
        let shared = self.register.flights.iter().any(same);
        let (Some(place), false) = (answer.undo, shared) else {
            return;
        };
        let side = &mut self.sides[from];
        let mut fx = Effects::default();
        let (id, token) = (answer.item.as_bytes(), answer.token);
        let undone = side.queue.undo(self.now, id, token, place, &mut fx);
        let expected = side.model.undo(self.now, &answer.item, token, place);
        assert_eq!(undone, expected);
        if undone {
            self.undone.push((from, token));
            *self.seen.entry("undo").or_default() += 1;
        }
        let answers = self.sides[from].share(&fx);
        self.answered(from, answers);
    }

    /// What happens to clients that wait or are about to be answered.
    fn wait(&mut self, step: &Step) {
        let now = self.now;
        let flights = self.register.flights.len();
        match step.op {
            Op::HangUp(n) => {
                let ids: Vec<u64> = self.register.waiters.keys().copied().collect();
                if let Some(id) = ids.get(n % ids.len().max(1)) {
                    let waiter = self.register.waiters.remove(id).expect("there");
                    for side in waiter.at {
                        self.sides[side].hang_up(now, &waiter.call);
                    }
                    *self.seen.entry("hang up").or_default() += 1;
                }
            }
            Op::Vanish(n) if flights > 0 => {
                let flight = self.register.flights.remove(n % flights);
                self.take_back(flight.from, &flight.answer);
            }
            Op::Unblock(n) if flights > 0 => {
                let flight = self.register.flights.remove(n % flights);
                // Somebody has the lock now: it is not taken back from them.
                for other in &mut self.register.flights {
                    if (other.from, other.answer.token) == (flight.from, flight.answer.token) {
                        other.answer.undo = None;
                    }
                }
            }
            Op::Deliver => {
                let mut attach = BTreeSet::new();
                for flight in std::mem::take(&mut self.register.flights) {
                    let queue = &self.sides[flight.from].queue;
                    let item = flight.answer.item.as_bytes();
                    if queue.locked(item, flight.answer.token).is_some() {
                        continue;
                    }
                    *self.seen.entry("back in line").or_default() += 1;
                    attach.extend(flight.waiter.at.iter().copied());
                    let id = flight.waiter.call.id;
                    self.register.waiters.insert(id, flight.waiter);
                }
                for side in attach {
                    self.sides[side].attach(now, &self.register.at(side));
                }
            }
            Op::Attach => self.sides[step.at].attach(now, &self.register.at(step.at)),
            Op::Reload(_, false) => {
                let at = step.at;
                self.register.flights.retain(|flight| flight.from != at);
                let gone = |w: &Waiter| w.at.contains(&at);
                for waiter in self.register.waiters.values().filter(|w| gone(w)) {
                    for side in waiter.at.iter().filter(|side| **side != at) {
                        self.sides[*side].hang_up(now, &waiter.call);
                    }
                }
                self.register.waiters.retain(|_, w| !gone(w));
            }
            Op::Reload(_, true) => {
                self.sides[step.at].attach(now, &self.register.at(step.at));
            }
            _ => {}
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        self.before(step);
        self.run(step);
    }
}

/// What to count: what the run should have had some of.
fn kind(op: &Op, reply: &str) -> &'static str {
    let ok = reply.starts_with("Ok") || reply == "true";
    match (op, ok) {
        (Op::Submit { .. }, _) if reply.contains("Assigned") => "submit assigned",
        (Op::Submit { .. }, true) => "submit",
        (Op::Claim { .. }, _) if reply != "[]" => "claim",
        (Op::Resolve(_, Token::Late, _), true) => "resolve late",
        (Op::Resolve(..), true) => "resolve",
        (Op::Release(_, _, true, _), true) => "skip",
        (Op::Release(..), true) => "release",
        (Op::Extend(..), true) => "extend",
        (Op::Join { .. }, _) if reply == "Assigned" => "join assigned",
        (Op::Leave(..), true) => "leave",
        (Op::Assign(..), true) => "assign",
        (Op::Revive(_), true) => "revive",
        (Op::Update { .. }, true) => "update",
        (Op::Wait { .. }, _) if reply == "Waits" => "wait",
        (Op::Move(_, Some(_), _), true) => "move locked",
        (Op::Move(..), true) => "move",
        _ => "other",
    }
}

/// The replies of the queue and of the model, and whether nothing may have been recorded.
fn run(
    side: &mut Side,
    other: &mut Side,
    register: &mut Register,
    step: &Step,
    now: Now,
    fx: &mut Effects,
    other_fx: &mut Effects,
) -> (String, String, bool) {
    fn show<T: std::fmt::Debug + PartialEq>(
        got: T,
        expected: T,
        idle: impl Fn(&T) -> bool,
    ) -> (String, String, bool) {
        let idle = idle(&got);
        (format!("{got:?}"), format!("{expected:?}"), idle)
    }
    match &step.op {
        Op::Submit {
            id,
            payload,
            priority,
            boost,
            delay,
            tags,
            excluded,
            on_duplicate,
        } => {
            let submit = Submit {
                id: id.as_bytes(),
                payload: payload.as_bytes(),
                priority: *priority,
                boost: *boost,
                delay: *delay,
                tags: given(tags),
                excluded: given(excluded),
                on_duplicate: *on_duplicate,
            };
            show(
                side.queue.submit(now, submit, fx),
                side.model.submit(
                    now,
                    id,
                    payload,
                    *priority,
                    *boost,
                    *delay,
                    tags.clone(),
                    excluded.clone(),
                    *on_duplicate,
                ),
                |r| matches!(r, Err(_) | Ok(Submitted::Exists)),
            )
        }
        Op::Cancel(id, rev) => {
            let rev = side.rev(id, rev);
            show(
                side.queue.cancel(now, id.as_bytes(), rev, fx).unwrap(),
                side.model.cancel(now, id, rev),
                |r| !r,
            )
        }
        Op::Update {
            id,
            rev,
            priority,
            boost,
            payload,
            tags,
            excluded,
        } => {
            let rev = side.rev(id, rev);
            let change = Change {
                rev,
                priority: *priority,
                boost: *boost,
                payload: payload.map(str::as_bytes),
                tags: given(tags),
                excluded: given(excluded),
            };
            let before = side.model.item(id).map(|i| i.rev);
            show(
                side.queue.update(now, id.as_bytes(), change, fx),
                side.model.update(
                    now,
                    id,
                    rev,
                    *priority,
                    *boost,
                    payload.map(String::from),
                    tags.clone(),
                    excluded.clone(),
                ),
                |r| !matches!(r, Ok(rev) if rev.is_some() && *rev != before),
            )
        }
        Op::Claim {
            moderator,
            count,
            lock,
            tags,
            new_only,
        } => {
            let claim = Claim {
                moderator: moderator.as_bytes(),
                count: *count,
                lock: *lock,
                tags: given(tags),
                new_only: *new_only,
            };
            let slots = side.queue.claim(now, &claim, fx).unwrap();
            let rows = slots
                .iter()
                .map(|slot| row(&side.queue.claim_view(*slot).expect("locked")));
            let rows: Vec<Row> = rows.collect();
            let expected =
                side.model
                    .claim(now, moderator, *count, *lock, tags.as_deref(), *new_only);
            show(rows, expected, Vec::is_empty)
        }
        Op::Resolve(id, token, rev) => {
            let (id, token) = side.aim(id, token);
            let rev = side.rev(id, rev);
            show(
                side.queue.resolve(now, id.as_bytes(), token, rev, fx),
                side.model.resolve(now, id, token, rev),
                Result::is_err,
            )
        }
        Op::Release(id, token, skip, delay) => {
            let (id, token) = side.aim(id, token);
            show(
                side.queue
                    .release(now, id.as_bytes(), token, *skip, *delay, fx),
                side.model.release(now, id, token, *skip, *delay),
                Result::is_err,
            )
        }
        Op::Extend(id, token, ms) => {
            let (id, token) = side.aim(id, token);
            show(
                side.queue.extend(now, id.as_bytes(), token, *ms, fx),
                side.model.extend(now, id, token, *ms),
                Result::is_err,
            )
        }
        Op::Join {
            moderator,
            ttl,
            count,
            tags,
        } => {
            let join = Join {
                moderator: moderator.as_bytes(),
                ttl: *ttl,
                count: *count,
                tags: given(tags),
            };
            show(
                side.queue.join(now, &join, fx).unwrap(),
                side.model.join(now, moderator, *ttl, *count, tags.clone()),
                |_| false,
            )
        }
        Op::Leave(m, release) => {
            let registered = side.model.registration(m).is_some();
            let holds = !side.model.held(m).is_empty();
            show(
                side.queue.leave(now, m.as_bytes(), *release, fx).unwrap(),
                side.model.leave(now, m, *release),
                |_| !(registered || *release && holds),
            )
        }
        Op::Assign(id, m, lock) => show(
            side.queue
                .assign(now, id.as_bytes(), m.as_bytes(), *lock, fx),
            side.model.assign(now, id, m, *lock),
            Result::is_err,
        ),
        Op::Pause(input, output) => {
            let same = side.queue.paused() == (*input, *output);
            side.queue.pause(now, *input, *output, fx);
            side.model.pause(now, *input, *output);
            show((), (), |()| same)
        }
        Op::Revive(id) => {
            let dead = ITEMS
                .iter()
                .find(|i| side.model.item(i).is_some_and(|i| i.phase == Phase::Dead));
            let id = dead.unwrap_or(id);
            show(
                side.queue.revive(now, id.as_bytes(), fx).unwrap(),
                side.model.revive(now, id),
                |r| !r,
            )
        }
        Op::ReviveAll(count) => show(
            side.queue.revive_all(now, *count, fx).unwrap(),
            side.model.revive_all(now, *count),
            |n| *n == 0,
        ),
        Op::Configure {
            lock,
            max_expiries,
            max_len,
            capacity,
            late_accept,
            aging,
        } => {
            let settings = Settings {
                lock: *lock,
                max_expiries: *max_expiries,
                max_len: *max_len,
                capacity: *capacity,
                late_accept: *late_accept,
                aging: match side.queue.is_empty() {
                    true => *aging,
                    // Else it would nearly always be refused.
                    false if *aging == 1 => 1,
                    false => side.queue.settings().aging,
                },
                ..Settings::default()
            };
            show(
                side.queue.configure(now, settings.clone(), fx),
                side.model.configure(now, settings),
                Result::is_err,
            )
        }
        Op::Move(id, token, priority) => {
            let (id, token) = match token {
                Some(token) => {
                    let (id, token) = side.aim(id, token);
                    (id, Some(token))
                }
                None => (*id, None),
            };
            let checked = side
                .queue
                .check_move_out(now, id.as_bytes(), token)
                .and_then(|out| {
                    other.queue.check_move_in(id.as_bytes())?;
                    Ok(out)
                });
            let got = checked.map(|out| {
                side.queue
                    .move_item(now, out, *priority, &mut other.queue, fx, other_fx);
            });
            let expected = side
                .model
                .move_to(now, &mut other.model, id, token, *priority);
            show(got, expected, Result::is_err)
        }
        Op::Wait {
            moderator,
            lock,
            tags,
            new_only,
            both,
        } => {
            let claim = Claim {
                moderator: moderator.as_bytes(),
                count: 1,
                lock: *lock,
                tags: given(tags),
                new_only: *new_only,
            };
            let mut at = vec![step.at];
            let mut found = side.queue.claim(now, &claim, fx).expect("admitted").len();
            let expected = &mut side.model;
            let mut expected = expected.claim(now, moderator, 1, *lock, tags.as_deref(), *new_only);
            if *both && found == 0 {
                at.push(1 - step.at);
                found = other
                    .queue
                    .claim(now, &claim, other_fx)
                    .expect("admitted")
                    .len();
                let model = &mut other.model;
                expected = model.claim(now, moderator, 1, *lock, tags.as_deref(), *new_only);
            }
            if found > 0 || !expected.is_empty() {
                return show(found, expected.len(), |_| false);
            }
            register.last_call += 1;
            let mut sides: Vec<&mut Side> = [side, other].into_iter().take(at.len()).collect();
            let places = sides.iter().map(|side| side.queue.end_of_line(now));
            let call = ModelCall {
                id: register.last_call,
                moderator: (*moderator).into(),
                tags: tags.clone(),
                lock: *lock,
                new_only: *new_only,
                place: places.max().expect("waits somewhere"),
            };
            for side in &mut sides {
                assert_eq!(side.queue.end_of_line(now), side.model.end_of_line(now));
                block(&mut side.queue, &call);
                side.model.block(call.clone());
            }
            register.waiters.insert(call.id, Waiter { call, at });
            ("Waits".into(), "Waits".into(), true)
        }
        Op::Tick | Op::HangUp(_) | Op::Unblock(_) | Op::Deliver | Op::Attach => {
            show((), (), |()| true)
        }
        Op::Vanish(_) => show((), (), |()| false),
        Op::Resync(entries) => {
            side.replica = load(&chunks(&side.queue, *entries)).expect("loads");
            show((), (), |()| true)
        }
        Op::Reload(entries, _) => {
            side.queue = load(&chunks(&side.queue, *entries)).expect("loads");
            side.model.reload();
            show((), (), |()| true)
        }
    }
}
