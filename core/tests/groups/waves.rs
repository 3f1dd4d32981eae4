//! A wave of spam: so many items of one group that no one command goes through them all.

use super::desk::*;
use modq_core::queue::{Configure, MAX_GROUP_LOOKED_AT, ResolveAlso, Resolved, Submit};

const WAVE: usize = 100_000;

fn wave(configure: Configure<'_>, submit: &Submit<'_>) -> Desk {
    let mut desk = Desk::new(configure);
    for i in 0..WAVE {
        let id = format!("item{i:06}");
        let submit = Submit {
            id: id.as_bytes(),
            ..submit.clone()
        };
        desk.run_unchecked(submit, false).expect("submitted");
    }
    desk
}

#[test]
fn a_wave_is_decided_in_slices_of_what_was_asked_for() {
    let mut desk = wave(Configure::default(), &item(""));
    let mut left = WAVE;
    let mut calls = 0;
    while left > 0 {
        // The last that arrived, so that the others are there to be gone through.
        let named = format!("item{:06}", WAVE - 1 - calls);
        if desk.view(&named).is_none() {
            break;
        }
        let token = desk.assign_unchecked(&named, "m");
        let ask = also(&named, token, Some("spam"));
        let reply = desk.run_unchecked(&ask, false).expect("accepted");
        assert_eq!(reply.resolved, Resolved::Ended);
        let ended = (left - 1).min(1000);
        assert_eq!(
            (reply.group.done, reply.group.left),
            (ended, left - 1 - ended)
        );
        assert_eq!(desk.recorded, 1 + ended);
        left = reply.group.left;
        calls += 1;
    }
    assert_eq!((left, calls), (0, WAVE.div_ceil(1001)));
    assert_eq!(desk.queue.len(), 0);
}

#[test]
fn no_call_looks_at_more_than_it_may() {
    // Nobody may take them, so all are passed over.
    let tagged = Submit {
        tags: Some(names(&["t"])),
        ..item("")
    };
    let mut desk = wave(Configure::default(), &tagged);
    desk.run_unchecked(item("named"), false).expect("submitted");
    desk.run_unchecked(item("last"), false).expect("submitted");
    assert_eq!(desk.claim_unchecked(&with_group("m", 9)), ["named"]);
    let token = desk
        .view("named")
        .expect("locked")
        .lock
        .expect("it is")
        .token
        .0;
    let mut cursor = 0;
    let mut slices = 0;
    loop {
        let named = format!("named{slices}");
        desk.run_unchecked(item(&named), false).expect("submitted");
        let token = match slices {
            0 => token,
            _ => desk.assign_unchecked(&named, "m"),
        };
        let name = if slices == 0 { "named" } else { &named };
        let ask = ResolveAlso {
            cursor,
            ..also(name, token, None)
        };
        let reply = desk.run_unchecked(&ask, false).expect("accepted");
        slices += 1;
        match reply.group.next {
            Some(next) => {
                assert_eq!(reply.group.done, 0, "those behind are not reached");
                // All of the wave is there, and only what was named of what came behind it is not.
                let next_of_wave = next.min(WAVE as u64);
                assert_eq!(next_of_wave - cursor, MAX_GROUP_LOOKED_AT as u64);
                cursor = next;
            }
            None => break,
        }
    }
    assert_eq!(slices, WAVE / MAX_GROUP_LOOKED_AT + 1);
    let mut ask = cancel_all();
    ask.except = names(&["t"]);
    let reply = desk.run_unchecked(&ask, false).expect("accepted");
    assert_eq!((reply.done, reply.next.is_some()), (0, true));
}
