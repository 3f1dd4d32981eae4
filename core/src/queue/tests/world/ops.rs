//! What may happen in a world: random commands, clients that wait, and the clock.

use super::floods::{flood, late_flood};
use super::groups::{AlsoOp, CancelGroupOp, alsos, cancels, groups};
use super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;

pub(crate) const PAYLOADS: [&str; 3] = ["", "text", "a longer text"];

/// Which token a command names.
#[derive(Debug, Clone)]
pub(crate) enum Aim {
    Live,
    Late,
    /// That of the first vote that stands.
    Voted,
    /// That of its record.
    Decided,
    Wrong,
}

/// Which revision a command names.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    Any,
    Present,
    Wrong,
}

pub(crate) type Lot = Option<Vec<String>>;

#[derive(Debug, Clone)]
pub(crate) struct SubmitOp {
    pub id: &'static str,
    payload: &'static str,
    priority: Option<i32>,
    boost: Option<i64>,
    delay: u64,
    pub tags: Lot,
    excluded: Lot,
    pub on_duplicate: OnDuplicate,
    step: Option<i32>,
    pub quorum: Option<Quorum>,
    pub on_decided: OnDecided,
    pub group: Option<&'static str>,
}

impl SubmitOp {
    pub(crate) fn request(&self) -> Submit<'_> {
        Submit {
            id: self.id.as_bytes(),
            payload: self.payload.as_bytes(),
            priority: self.priority,
            boost: self.boost,
            delay: Millis(self.delay),
            tags: given(&self.tags),
            excluded: given(&self.excluded),
            on_duplicate: self.on_duplicate,
            step: self.step,
            quorum: self.quorum,
            on_decided: self.on_decided,
            group: self.group.map(str::as_bytes),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct UpdateOp {
    pub id: &'static str,
    pub rev: Seen,
    pub priority: Option<i32>,
    pub boost: Option<i64>,
    pub payload: Option<&'static str>,
    pub tags: Lot,
    pub excluded: Lot,
    pub quorum: Option<Quorum>,
    pub reports: Option<u32>,
    pub group: Option<&'static str>,
}

impl UpdateOp {
    pub(crate) fn request(&self, rev: Option<u64>) -> Update<'_> {
        Update {
            id: self.id.as_bytes(),
            rev,
            priority: self.priority,
            boost: self.boost,
            payload: self.payload.map(str::as_bytes),
            tags: given(&self.tags),
            excluded: given(&self.excluded),
            quorum: self.quorum,
            group: self.group.map(str::as_bytes),
            reports: self.reports,
            by: None,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ClaimOp {
    moderator: &'static str,
    count: usize,
    lock: Option<u64>,
    tags: Lot,
    new_only: bool,
    pub with_group: bool,
}

impl ClaimOp {
    pub(crate) fn request(&self) -> Claim<'_> {
        Claim {
            moderator: self.moderator.as_bytes(),
            count: self.count,
            lock: self.lock.map(Millis),
            tags: given(&self.tags),
            new_only: self.new_only,
            with_group: self.with_group,
        }
    }
}

/// A CLAIM with BLOCK, or (`both`) an MCLAIM: waits where it finds nothing.
#[derive(Debug, Clone)]
pub(crate) struct WaitOp {
    pub moderator: &'static str,
    pub lock: Option<u64>,
    pub tags: Lot,
    pub new_only: bool,
    pub both: bool,
}

impl WaitOp {
    pub(crate) fn request(&self) -> Claim<'_> {
        Claim {
            moderator: self.moderator.as_bytes(),
            count: 1,
            lock: self.lock.map(Millis),
            tags: given(&self.tags),
            new_only: self.new_only,
            with_group: false,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct JoinOp {
    moderator: &'static str,
    ttl: Option<u64>,
    pub count: Option<u64>,
    tags: Lot,
}

impl JoinOp {
    pub(crate) fn request(&self) -> Join<'_> {
        Join {
            moderator: self.moderator.as_bytes(),
            ttl: self.ttl.map(Millis),
            count: self.count,
            tags: given(&self.tags),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ConfigureOp {
    lock: u64,
    max_expiries: u64,
    pub max_len: u64,
    pub capacity: u64,
    pub late_accept: bool,
    pub aging: u64,
    quorum: Quorum,
    split_tag: &'static str,
    retain: u64,
    retain_max: u64,
}

impl ConfigureOp {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            lock: Millis(self.lock),
            max_expiries: self.max_expiries,
            max_len: self.max_len,
            capacity: self.capacity,
            late: late(self.late_accept),
            aging: self.aging,
            quorum: self.quorum,
            split_tag: self.split_tag.as_bytes().into(),
            retain: Millis(self.retain),
            retain_max: self.retain_max,
            ..Settings::default()
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Submit(SubmitOp),
    Cancel(&'static str, Seen),
    Forget([&'static str; 2]),
    Update(UpdateOp),
    Claim(ClaimOp),
    Resolve(&'static str, Aim, Seen, Option<&'static str>),
    Also(AlsoOp),
    CancelGroup(CancelGroupOp),
    Release(&'static str, Aim, bool, u64),
    Extend(&'static str, Aim, u64),
    Join(JoinOp),
    Leave(&'static str, bool),
    /// With the token that the item is locked with, if any.
    Assign(&'static str, &'static str, Option<u64>, Option<Aim>),
    Pause(bool, bool),
    Revive(Vec<&'static str>),
    ReviveAll(usize),
    Configure(ConfigureOp),
    Move(&'static str, Option<Aim>, Option<i32>),
    Wait(WaitOp),
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
pub(crate) enum Clock {
    Forward(u64),
    Back(u64),
    /// To so many ms after (or before) the next thing that happens by the clock.
    Next(i64),
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub op: Op,
    /// Which queue.
    pub at: usize,
    pub clock: Clock,
}

/// Names as a request has them.
pub(crate) fn given(all: &Option<Vec<String>>) -> Option<Vec<&Bytes>> {
    all.as_ref().map(|all| names(all))
}

pub(crate) fn lot<const N: usize>(all: [&'static str; N]) -> impl Strategy<Value = Lot> {
    let some = subsequence(all.to_vec(), 0..=2).prop_shuffle();
    option::weighted(
        0.4,
        some.prop_map(|all| all.into_iter().map(String::from).collect()),
    )
}

pub(crate) fn pick<const N: usize>(all: [&'static str; N]) -> impl Strategy<Value = &'static str> {
    (0..N).prop_map(move |i| all[i])
}

pub(crate) fn durations() -> impl Strategy<Value = u64> {
    prop_oneof![1u64..40, Just(10), Just(20)]
}

pub(crate) fn aims() -> impl Strategy<Value = Aim> {
    prop_oneof![
        6 => Just(Aim::Live),
        3 => Just(Aim::Late),
        2 => Just(Aim::Voted),
        1 => Just(Aim::Wrong),
    ]
}

/// A RESOLVE may also be sent again after the item has ended.
pub(crate) fn resolve_aims() -> impl Strategy<Value = Aim> {
    prop_oneof![5 => aims(), 1 => Just(Aim::Decided)]
}

pub(crate) fn revs() -> impl Strategy<Value = Seen> {
    prop_oneof![
        4 => Just(Seen::Any),
        2 => Just(Seen::Present),
        1 => Just(Seen::Wrong),
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

/// Mostly such that votes agree or split within the few moderators there are.
fn quorums() -> impl Strategy<Value = Quorum> {
    let all = [
        (2, 2),
        (2, 2),
        (2, 2),
        (2, 3),
        (2, 3),
        (3, 3),
        (1, 1),
        (1, 2),
    ];
    (0..all.len()).prop_map(move |i| {
        let (k, n) = all[i];
        Quorum { k, n }
    })
}

pub(crate) fn verdicts() -> impl Strategy<Value = Option<&'static str>> {
    option::weighted(
        0.9,
        prop_oneof![3 => Just("keep"), 2 => Just("remove"), 1 => Just("?")],
    )
}

pub(crate) fn submits() -> impl Strategy<Value = SubmitOp> {
    let all = (
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
        priorities(),
        option::weighted(0.5, quorums()),
        prop_oneof![
            2 => Just(OnDecided::Keep),
            3 => Just(OnDecided::Count),
            1 => Just(OnDecided::Changed),
            1 => Just(OnDecided::Again),
            3 => Just(OnDecided::Appeal),
        ],
        option::weighted(0.7, groups()),
    );
    all.prop_map(
        |(
            id,
            payload,
            priority,
            boost,
            delay,
            tags,
            excluded,
            on_duplicate,
            step,
            quorum,
            on_decided,
            group,
        )| {
            let step = step.filter(|_| on_duplicate == OnDuplicate::Bump);
            SubmitOp {
                id,
                payload,
                priority: priority.filter(|_| step.is_none()),
                boost,
                delay,
                tags,
                excluded,
                on_duplicate,
                step,
                quorum,
                on_decided,
                group,
            }
        },
    )
}

fn updates() -> impl Strategy<Value = Op> {
    let all = (
        pick(ITEMS),
        revs(),
        priorities(),
        boosts(),
        option::weighted(0.3, pick(PAYLOADS)),
        lot(TAGS),
        lot(MODERATORS),
        (
            option::weighted(0.3, quorums()),
            option::weighted(0.1, 1u32..4),
            option::weighted(0.3, groups()),
        ),
    );
    all.prop_map(
        |(id, rev, priority, boost, payload, tags, excluded, terms)| {
            Op::Update(UpdateOp {
                id,
                rev,
                priority,
                boost,
                payload,
                tags,
                excluded,
                quorum: terms.0,
                reports: terms.1,
                group: terms.2,
            })
        },
    )
}

pub(crate) fn claims() -> impl Strategy<Value = Op> {
    let all = (
        pick(MODERATORS),
        1usize..5,
        option::of(durations()),
        lot(TAGS),
        any::<bool>(),
        any::<bool>(),
    );
    all.prop_map(|(moderator, count, lock, tags, new_only, with_group)| {
        Op::Claim(ClaimOp {
            moderator,
            count,
            lock,
            tags,
            new_only,
            with_group,
        })
    })
}

fn waits() -> impl Strategy<Value = Op> {
    let all = (
        pick(MODERATORS),
        option::of(durations()),
        lot(TAGS),
        any::<bool>(),
        prop_oneof![3 => Just(false), 1 => Just(true)],
    );
    all.prop_map(|(moderator, lock, tags, new_only, both)| {
        Op::Wait(WaitOp {
            moderator,
            lock,
            tags,
            new_only,
            both,
        })
    })
}

pub(crate) fn joins() -> impl Strategy<Value = JoinOp> {
    let all = (
        pick(MODERATORS),
        option::of(1u64..80),
        option::weighted(0.4, 1u64..4),
        lot(TAGS),
    );
    all.prop_map(|(moderator, ttl, count, tags)| JoinOp {
        moderator,
        ttl,
        count,
        tags,
    })
}

pub(crate) fn configures() -> impl Strategy<Value = ConfigureOp> {
    let all = (
        1u64..40,
        0u64..4,
        prop_oneof![2 => Just(0u64), 1 => 2u64..5],
        prop_oneof![2 => Just(0u64), 1 => 1u64..3],
        any::<bool>(),
        prop_oneof![2 => Just(0u64), 1 => 1u64..20, 1 => Just(MAX_AGING)],
        prop_oneof![2 => Just(Quorum::ONE), 1 => quorums()],
        prop_oneof![Just(""), Just(TAGS[0]), Just("senior")],
        prop_oneof![1 => Just(0u64), 1 => 1u64..60, 3 => Just(100_000)],
        0u64..5,
    );
    all.prop_map(
        |(
            lock,
            max_expiries,
            max_len,
            capacity,
            late_accept,
            aging,
            quorum,
            split_tag,
            retain,
            retain_max,
        )| {
            ConfigureOp {
                lock,
                max_expiries,
                max_len,
                capacity,
                late_accept,
                aging,
                quorum,
                split_tag,
                retain,
                retain_max,
            }
        },
    )
}

pub(crate) fn ops() -> impl Strategy<Value = Op> {
    let delay = || prop_oneof![2 => Just(0), 1 => durations()];
    prop_oneof![
        24 => submits().prop_map(Op::Submit),
        2 => (pick(ITEMS), revs()).prop_map(|(id, rev)| Op::Cancel(id, rev)),
        6 => (pick(ITEMS), pick(ITEMS)).prop_map(|(a, b)| Op::Forget([a, b])),
        8 => updates(),
        16 => claims(),
        20 => (pick(ITEMS), resolve_aims(), revs(), verdicts())
            .prop_map(|(id, t, r, v)| Op::Resolve(id, t, r, v)),
        24 => alsos().prop_map(Op::Also),
        3 => cancels().prop_map(Op::CancelGroup),
        10 => (pick(ITEMS), aims(), any::<bool>(), delay())
            .prop_map(|(id, t, skip, delay)| Op::Release(id, t, skip, delay)),
        3 => (pick(ITEMS), aims(), durations()).prop_map(|(id, t, ms)| Op::Extend(id, t, ms)),
        16 => joins().prop_map(Op::Join),
        4 => (pick(MODERATORS), any::<bool>()).prop_map(|(m, release)| Op::Leave(m, release)),
        6 => (pick(ITEMS), pick(MODERATORS), option::of(durations()), option::weighted(0.4, aims()))
            .prop_map(|(id, m, lock, t)| Op::Assign(id, m, lock, t)),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(i, o)| Op::Pause(i, o)),
        2 => Just(Op::Pause(false, false)),
        3 => vec(pick(ITEMS), 1..4).prop_map(Op::Revive),
        2 => (1usize..4).prop_map(Op::ReviveAll),
        4 => configures().prop_map(Op::Configure),
        5 => (pick(ITEMS), option::of(aims()), priorities())
            .prop_map(|(id, t, p)| Op::Move(id, t, p)),
        4 => Just(Op::Tick),
        2 => (1usize..6).prop_map(Op::Resync),
        1 => (1usize..6, any::<bool>()).prop_map(|(entries, kept)| Op::Reload(entries, kept)),
        24 => waits(),
        4 => any::<usize>().prop_map(Op::HangUp),
        7 => any::<usize>().prop_map(Op::Vanish),
        3 => any::<usize>().prop_map(Op::Unblock),
        4 => Just(Op::Deliver),
        1 => Just(Op::Attach),
    ]
}

pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let clock = prop_oneof![
        4 => Just(Clock::Forward(0)),
        5 => (1u64..8).prop_map(Clock::Forward),
        1 => (8u64..200).prop_map(Clock::Forward),
        3 => (-1i64..2).prop_map(Clock::Next),
        1 => (1u64..60).prop_map(Clock::Back),
    ];
    let at = prop_oneof![4 => Just(0usize), 1 => Just(1usize)];
    let step = (ops(), at, clock)
        .prop_map(|(op, at, clock)| Step { op, at, clock })
        .boxed();
    let any = || vec(step.clone(), most / 2..most);
    // As much as ever happens, and beside it a flood of items of one group.
    let flooded = |flood| vec(prop_oneof![1 => step.clone(), 2 => flood], most / 2..most);
    prop_oneof![6 => any(), 4 => flooded(flood()), 3 => flooded(late_flood())].boxed()
}
