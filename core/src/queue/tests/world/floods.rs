//! Histories in which much is about one group: what comes is of it at once, or is put into it later.

use super::groups::{alsos, cancels, groups};
use super::ops::{PAYLOADS, UpdateOp, claims, configures, joins, pick};
use super::*;
use proptest::option;
use proptest::prelude::*;

/// What goes on while many items of one group come, on the first queue and at one time.
pub(super) fn flood() -> BoxedStrategy<Step> {
    let submits = submits().prop_map(|mut submit| {
        submit.group = Some(GROUPS[0]);
        submit.tags = submit.tags.filter(|tags| tags.len() < 2);
        // Such that they soon agree, or split.
        submit.quorum = submit.quorum.map(|_| Quorum { k: 2, n: 2 });
        Op::Submit(submit)
    });
    // Nobody may hold many, so that who waits has room when the group goes.
    let configures = configures().prop_map(|mut configure| {
        configure.capacity = configure.capacity.max(1);
        (configure.max_len, configure.late_accept) = (0, true);
        Op::Configure(configure)
    });
    let joins = joins().prop_map(|mut join| {
        join.count = Some(3);
        Op::Join(join)
    });
    let ops = prop_oneof![
        16 => submits,
        4 => claims(),
        4 => (pick(ITEMS), pick(MODERATORS)).prop_map(|(id, m)| Op::Assign(id, m, None, None)),
        10 => alsos().prop_map(Op::Also),
        2 => cancels().prop_map(Op::CancelGroup),
        1 => configures,
        2 => joins,
    ];
    let step = (ops, 0u64..3).prop_map(|(op, ms)| Step {
        op,
        at: 0,
        clock: Clock::Forward(ms),
    });
    step.boxed()
}

/// The same where what comes is in no group, and is put into one later.
pub(super) fn late_flood() -> BoxedStrategy<Step> {
    let submits = submits().prop_map(|mut submit| {
        submit.group = None;
        submit.tags = None;
        Op::Submit(submit)
    });
    let payload = option::weighted(0.2, pick(PAYLOADS));
    let updates = (pick(ITEMS), payload, option::weighted(0.8, groups()));
    let updates = updates.prop_map(|(id, payload, group)| {
        Op::Update(UpdateOp {
            id,
            rev: Seen::Any,
            priority: None,
            boost: None,
            payload,
            tags: None,
            excluded: None,
            quorum: None,
            reports: None,
            group,
        })
    });
    let ops = prop_oneof![
        16 => submits,
        12 => updates,
        6 => (pick(ITEMS), pick(MODERATORS)).prop_map(|(id, m)| Op::Assign(id, m, None, None)),
        10 => alsos().prop_map(Op::Also),
        2 => pick(ITEMS).prop_map(|id| Op::Move(id, None, None)),
    ];
    let at = prop_oneof![2 => Just(0usize), 1 => Just(1usize)];
    let step = (ops, at, 0u64..3).prop_map(|(op, at, ms)| Step {
        op,
        at,
        clock: Clock::Forward(ms),
    });
    step.boxed()
}
