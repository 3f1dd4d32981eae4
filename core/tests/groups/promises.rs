//! What the specification promises of groups, one test for each promise.

use super::desk::*;
use modq_core::queue::{
    CancelGroup, Claim, Configure, Error, Gate, Join, Late, OnDuplicate, Outcome, Quorum, Resolve,
    ResolveAlso, Resolved, ResolvedAlso, State, Submit, Update,
};
use modq_core::units::{Millis, Time, Token};

fn plain() -> Desk {
    Desk::new(Configure::default())
}

fn quorum(k: u8, n: u8) -> Option<Quorum> {
    Some(Quorum { k, n })
}

fn own(all: &[&str]) -> Vec<String> {
    all.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn also_ends_what_is_ready_delayed_dead_or_ones_own_by_arrival() {
    let mut desk = plain();
    for id in ["dead", "mine", "ready", "named", "theirs"] {
        desk.submit(id);
    }
    desk.run(Submit {
        delay: Millis(1 << 30),
        ..item("delayed")
    })
    .unwrap();
    desk.run(Submit {
        group: Some(b"other"),
        ..item("outside")
    })
    .unwrap();
    desk.kill("dead");
    let mine = desk.assign("mine", "m");
    let named = desk.assign("named", "m");
    desk.assign("theirs", "x");
    let reply = desk.also(&also("named", named, Some("remove")));
    assert_eq!(reply, (Resolved::Ended, done(4, 1)));
    let ended = ["named", "dead", "mine", "ready", "delayed"];
    let via = |id: &str| if id == "named" { "" } else { "named" };
    let expected = ended.map(|id| ("resolve", id.to_owned(), via(id).to_owned()));
    assert_eq!(desk.told("via"), expected);
    let tokens: Vec<String> = desk.told("token").into_iter().map(|(.., t)| t).collect();
    assert_eq!(
        tokens,
        [named, 0, mine, 0, 0].map(|token| token.to_string())
    );
    assert!(desk.told("moderator").iter().all(|(.., who)| who == "m"));
    assert!(desk.told("verdict").iter().all(|(.., v)| v == "remove"));
    assert_eq!(desk.group(), ["theirs"]);
    assert_eq!(desk.state("outside"), Some(State::Ready));
    assert_eq!(desk.recorded, 5, "in one record");
    assert_eq!(desk.queue.stats().resolved, 5);
}

#[test]
fn also_is_the_others_alone_and_an_item_in_no_group_has_none() {
    let mut desk = plain();
    desk.run(Submit {
        group: None,
        ..item("alone")
    })
    .unwrap();
    desk.run(Submit {
        group: None,
        ..item("too")
    })
    .unwrap();
    let token = desk.assign("alone", "m");
    let reply = desk.also(&also("alone", token, None));
    assert_eq!(reply, (Resolved::Ended, done(0, 0)));
    assert_eq!(desk.state("too"), Some(State::Ready));
}

#[test]
fn tags_not_named_are_passed_over_by_default_those_the_named_item_has_not() {
    for (given, expected) in [
        (None, vec!["c", "d"]),
        (Some(vec![]), vec!["b", "c", "d"]),
        (Some(vec!["y", "none"]), vec!["b", "d"]),
        (Some(vec!["x", "y", "z"]), vec![]),
    ] {
        let mut desk = plain();
        let all: [(&str, &[&str]); 5] = [
            ("a", &["x"]),
            ("b", &["x"]),
            ("c", &["y"]),
            ("d", &["x", "z"]),
            ("e", &[]),
        ];
        for (id, tags) in all {
            desk.run(Submit {
                tags: Some(names(tags)),
                ..item(id)
            })
            .unwrap();
        }
        let token = desk.assign("a", "m");
        let tags = given.as_deref().map(names);
        desk.also(&ResolveAlso {
            tags,
            ..also("a", token, None)
        });
        assert_eq!(desk.group(), own(&expected), "{given:?}");
    }
}

#[test]
fn who_is_barred_from_an_item_gives_it_no_verdict() {
    let mut desk = plain();
    desk.submit("a");
    desk.run(Submit {
        excluded: Some(names(&["x", "m"])),
        ..item("excluded")
    })
    .unwrap();
    desk.run(Submit {
        quorum: quorum(2, 3),
        ..item("voted")
    })
    .unwrap();
    let token = desk.assign("voted", "m");
    let vote = Resolve {
        id: b"voted",
        token: Token(token),
        verdict: Some(b"keep"),
        ..Resolve::default()
    };
    assert_eq!(desk.run(vote), Ok(Resolved::Voted));
    let token = desk.assign("a", "m");
    let reply = desk.also(&also("a", token, Some("keep")));
    assert_eq!(reply, (Resolved::Ended, done(0, 2)));
    assert_eq!(desk.group(), ["excluded", "voted"]);
}

#[test]
fn nobody_decides_what_came_or_changed_after_their_lock_began() {
    let mut desk = plain();
    for id in ["a", "same", "changed", "replaced", "bumped", "mine"] {
        desk.submit(id);
    }
    let mine = desk.assign("mine", "m");
    let token = desk.assign("a", "m");
    desk.submit("late");
    let payload = |payload| Update {
        payload: Some(payload),
        ..Update::default()
    };
    desk.update("changed", payload(b"other"));
    desk.update("mine", payload(b"other"));
    desk.update("same", payload(b"text"));
    desk.update(
        "same",
        Update {
            priority: Some(5),
            ..Update::default()
        },
    );
    desk.run(Submit {
        payload: b"new",
        on_duplicate: OnDuplicate::Replace,
        ..item("replaced")
    })
    .unwrap();
    desk.run(Submit {
        on_duplicate: OnDuplicate::Bump,
        ..item("bumped")
    })
    .unwrap();
    let reply = desk.also(&also("a", token, None));
    assert_eq!(reply, (Resolved::Ended, done(2, 4)));
    assert_eq!(desk.group(), ["changed", "replaced", "mine", "late"]);
    // A lock that began since then has seen it all.
    let token = desk.assign("changed", "m");
    assert!(token > mine);
    let reply = desk.also(&also("changed", token, None));
    assert_eq!(reply, (Resolved::Ended, done(3, 0)));
}

#[test]
fn what_is_put_into_the_group_later_counts_from_its_arrival() {
    let mut desk = plain();
    for id in ["old", "touched", "a"] {
        desk.run(Submit {
            group: None,
            ..item(id)
        })
        .unwrap();
        desk.ms += 1;
    }
    let into = || Update {
        group: Some(b"g"),
        ..Update::default()
    };
    let token = desk.assign("a", "m");
    desk.ms += 1;
    // While no group is there nothing is kept of changes, so one that was changed counts as new.
    desk.update(
        "touched",
        Update {
            payload: Some(b"other"),
            ..Update::default()
        },
    );
    desk.run(Submit {
        group: None,
        ..item("new")
    })
    .unwrap();
    for id in ["a", "old", "touched", "new"] {
        desk.update(id, into());
    }
    assert_eq!(desk.group(), ["old", "touched", "a", "new"], "by arrival");
    let reply = desk.also(&also("a", token, None));
    assert_eq!(reply, (Resolved::Ended, done(1, 2)));
    assert_eq!(desk.group(), ["touched", "new"]);
}

#[test]
fn with_a_quorum_it_is_a_vote_and_without_a_verdict_none() {
    let mut desk = Desk::new(Configure {
        quorum: quorum(2, 2),
        ..Configure::default()
    });
    for id in ["a", "b", "c"] {
        desk.submit(id);
    }
    desk.run(Submit {
        quorum: quorum(1, 1),
        ..item("single")
    })
    .unwrap();
    let token = desk.assign("a", "m");
    let refused = desk.run(&also("a", token, None));
    assert_eq!(refused, Err(Error::VerdictNeeded));
    let reply = desk.also(&also("a", token, Some("keep")));
    // "single" ended, the others have one vote each and are still there.
    assert_eq!(reply, (Resolved::Voted, done(3, 3)));
    assert!(desk.told("via").iter().skip(1).all(|(.., via)| via == "a"));
    assert_eq!(desk.told("via")[0].0, "vote");
    for id in ["a", "b", "c"] {
        assert_eq!(desk.view(id).unwrap().votes.len(), 1);
    }
    // The same again is answered as before, and does nothing.
    let before = canon(&desk.queue);
    let reply = desk.also(&also("a", token, Some("keep")));
    assert_eq!(reply, (Resolved::Voted, done(0, 3)));
    assert_eq!(canon(&desk.queue), before);
    // "b" gets a verdict that differs: contested, and passed over from now on.
    let token = desk.assign("b", "n");
    let reply = desk.also(&ResolveAlso {
        most: 1,
        ..also("b", token, Some("remove"))
    });
    assert_eq!(reply.0, Resolved::Split);
    assert_eq!(reply.1.done, 1, "the others are voted on all the same");
    assert_eq!(desk.state("a"), Some(State::Dead), "split as well");
    let token = desk.assign("c", "o");
    let reply = desk.also(&also("c", token, Some("keep")));
    assert_eq!(reply, (Resolved::Ended, done(0, 2)), "contested ones stay");
    // Without a verdict only what one decides alone.
    desk.run(Submit {
        quorum: quorum(1, 1),
        ..item("d")
    })
    .unwrap();
    desk.submit("e");
    let token = desk.assign("d", "m");
    let reply = desk.also(&also("d", token, None));
    assert_eq!(reply, (Resolved::Ended, done(0, 3)));
}

#[test]
fn what_a_match_has_locked_for_somebody_else_meanwhile_is_passed_over() {
    let mut desk = Desk::new(Configure {
        quorum: quorum(2, 3),
        capacity: Some(1),
        ..Configure::default()
    });
    for id in ["a", "b", "c"] {
        desk.submit(id);
    }
    let token = desk.assign("a", "m");
    let other = desk.assign("b", "w");
    // Who is in line is at capacity until b, which is locked for them, is cancelled.
    let join = Join {
        moderator: b"w",
        ttl: Some(Millis(1 << 30)),
        count: Some(9),
        ..Join::default()
    };
    desk.run(&join).unwrap();
    let reply = desk.also(&also("a", token, Some("keep")));
    // a comes back and goes nowhere: w is at capacity; b is w's; c is voted on.
    assert_eq!(reply, (Resolved::Voted, done(1, 3)));
    let lock = desk.view("b").unwrap().lock.map(|lock| lock.token.0);
    assert_eq!(lock, Some(other));
    // Now w has room after their own verdict, and n waits too: what they are given is theirs.
    let join = Join {
        moderator: b"n",
        ttl: Some(Millis(1 << 30)),
        ..Join::default()
    };
    desk.run(&join).unwrap();
    assert_eq!(desk.view("a").unwrap().lock.unwrap().moderator, b"n");
    let reply = desk.also(&also("b", other, Some("keep")));
    assert_eq!(reply.0, Resolved::Voted);
    assert_eq!(desk.view("a").unwrap().lock.unwrap().moderator, b"n");
    assert_eq!(desk.view("a").unwrap().votes.len(), 1, "n holds it");
}

#[test]
fn the_cursor_goes_on_where_the_last_one_ended() {
    let mut desk = plain();
    let ids: Vec<String> = (0..10).map(|i| format!("i{i}")).collect();
    ids.iter().for_each(|id| desk.submit(id));
    desk.assign("i1", "x");
    let (first, second) = (desk.assign("i9", "m"), desk.assign("i8", "m"));
    let reply = desk.also(&ResolveAlso {
        most: 3,
        ..also("i9", first, None)
    });
    let next = reply.1.next;
    assert_eq!((reply.1.done, reply.1.left), (3, 6));
    assert_eq!(desk.group(), own(&["i1", "i4", "i5", "i6", "i7", "i8"]));
    let reply = desk.also(&ResolveAlso {
        most: 4,
        cursor: next.expect("there is more"),
        ..also("i8", second, None)
    });
    assert_eq!(reply, (Resolved::Ended, done(4, 1)));
    assert_eq!(desk.group(), ["i1"]);
}

#[test]
fn a_repeat_by_the_record_answers_what_is_left_of_the_group_it_was_in() {
    let mut desk = Desk::new(Configure {
        retain: Some(Millis(1000)),
        ..Configure::default()
    });
    for id in ["a", "b", "c"] {
        desk.submit(id);
    }
    desk.assign("c", "x");
    let token = desk.assign("a", "m");
    let ask = also("a", token, Some("keep"));
    assert_eq!(desk.also(&ask), (Resolved::Ended, done(1, 1)));
    let before = canon(&desk.queue);
    assert_eq!(desk.also(&ask), (Resolved::Ended, done(0, 1)));
    assert_eq!(desk.run(&also("a", token, Some("x"))), Err(Error::Stale));
    // Zero is nobody's token.
    let reply = desk.run(&also("b", 0, Some("keep")));
    assert_eq!(reply, Err(Error::NoItem));
    assert_eq!(canon(&desk.queue), before);
    desk.ms += 1001;
    assert_eq!(desk.run(&ask), Err(Error::NoItem));
}

#[test]
fn a_late_token_says_when_the_lock_began() {
    let mut desk = Desk::new(Configure {
        late: Some(Late::Accept),
        lock: Some(Millis(100)),
        ..Configure::default()
    });
    for id in ["a", "b"] {
        desk.submit(id);
    }
    let token = desk.assign("a", "m");
    desk.ms += 50;
    desk.submit("late");
    desk.ms += 100;
    let reply = desk.also(&also("a", token, None));
    assert_eq!(reply, (Resolved::Ended, done(1, 1)));
    assert_eq!(desk.group(), ["late"]);
}

#[test]
fn what_refuses_the_named_item_refuses_all() {
    let mut desk = plain();
    for id in ["a", "b"] {
        desk.submit(id);
    }
    let token = desk.assign("a", "m");
    let before = canon(&desk.queue);
    let changed = ResolveAlso {
        named: Resolve {
            rev: Some(2),
            ..also("a", token, None).named
        },
        ..also("a", token, None)
    };
    for (ask, error) in [
        (also("none", token, None), Error::NoItem),
        (also("a", token + 1, None), Error::Stale),
        (changed, Error::Changed),
    ] {
        assert_eq!(desk.run(&ask), Err(error));
    }
    for (gate, error) in [
        (Gate::WrongType, Error::Events),
        (Gate::Missing, Error::TryAgain),
    ] {
        let now = modq_core::queue::Now {
            time: Time(desk.ms),
            token_floor: Token(0),
        };
        let mut out = Outcome::default();
        let ask = also("a", token, None);
        let reply: Result<ResolvedAlso, Error> = desk.queue.handle(now, gate, &ask, &mut out);
        assert_eq!(reply, Err(error));
        let cancel = cancel_all();
        let reply = desk.queue.handle(now, gate, &cancel, &mut out);
        assert_eq!(reply.unwrap_err(), error);
    }
    assert_eq!(canon(&desk.queue), before);
}

#[test]
fn new_items_of_a_claim_with_group_are_those_of_the_first() {
    let mut desk = plain();
    let urgent = |id, group| Submit {
        group: Some(group),
        priority: Some(1),
        ..item(id)
    };
    desk.submit("g1");
    desk.run(urgent("h1", b"h")).unwrap();
    desk.submit("g2");
    desk.run(Submit {
        tags: Some(names(&["t"])),
        ..item("tagged")
    })
    .unwrap();
    desk.run(Submit {
        excluded: Some(names(&["m"])),
        ..item("excluded")
    })
    .unwrap();
    desk.run(Submit {
        priority: Some(9),
        group: None,
        ..item("alone")
    })
    .unwrap();
    desk.run(Submit {
        priority: Some(-9),
        ..item("g3")
    })
    .unwrap();
    // The first that comes has no group: it alone, and nothing new beside it.
    assert_eq!(desk.claim_ids(&with_group("x", 5)), ["alone"]);
    assert_eq!(desk.claim_ids(&with_group("x", 5)), ["alone"]);
    // Of what is held the first says the group; with NEW the first new one.
    assert_eq!(desk.claim_ids(&with_group("m", 1)), ["h1"]);
    assert_eq!(desk.claim_ids(&with_group("m", 5)), ["h1"]);
    let new = Claim {
        new_only: true,
        ..with_group("m", 2)
    };
    let got = desk.claim(&new);
    let ids: Vec<&str> = got.iter().map(|(id, _)| &**id).collect();
    assert_eq!(ids, ["g1", "g2"]);
    assert_ne!(got[0].1, got[1].1, "each has its own token");
    // What is held comes first; what they may not take is left.
    let tagged = Claim {
        tags: Some(names(&["t"])),
        ..with_group("n", 5)
    };
    assert_eq!(desk.claim_ids(&tagged), ["tagged", "excluded", "g3"]);
    assert_eq!(desk.claim_ids(&tagged), ["tagged", "excluded", "g3"]);
}

#[test]
fn a_claim_with_group_keeps_to_capacity_pause_and_bytes() {
    let mut desk = Desk::new(Configure {
        capacity: Some(2),
        ..Configure::default()
    });
    for id in ["a", "b", "c"] {
        desk.submit(id);
    }
    assert_eq!(desk.claim_ids(&with_group("m", 9)), ["a", "b"]);
    let mut desk = plain();
    let half = vec![b'x'; 9 << 20];
    for id in ["a", "b", "c"] {
        desk.run(Submit {
            payload: if id == "c" { b"" } else { &half },
            ..item(id)
        })
        .unwrap();
    }
    assert_eq!(desk.claim_ids(&with_group("m", 9)), ["a"], "16 MiB");
}

#[test]
fn a_group_is_listed_by_arrival_as_the_clock_has_it() {
    let mut desk = plain();
    for id in ["a", "b", "c", "d"] {
        desk.submit(id);
    }
    desk.assign("c", "m");
    let page = |cursor, count| {
        let page = desk.queue.group(b"g", cursor, count, Time(desk.ms));
        let rows = page.rows.iter().map(|row| {
            let who = row.moderator.map(text).unwrap_or_default();
            format!("{} {} {who}", text(row.item), row.state.name())
        });
        (page.next, rows.collect::<Vec<_>>())
    };
    let (next, rows) = page(0, 3);
    assert_eq!(rows, ["a ready ", "b ready ", "c locked m"]);
    let (next, rows) = page(next.expect("more"), 3);
    assert_eq!((next, rows), (None, own(&["d ready "])));
    assert_eq!(page(0, 4).0, None, "no empty page at the end");
    let later = desk.queue.group(b"g", 0, 9, Time(1 << 40));
    assert_eq!(later.rows[2].state, State::Ready);
    assert_eq!(later.rows[2].moderator, None);
    let none = desk.queue.group(b"none", 0, 9, Time(0));
    assert!(none.rows.is_empty() && none.next.is_none());
}

#[test]
fn a_group_is_cancelled_whatever_state_its_items_are_in() {
    let mut desk = plain();
    for id in ["dead", "locked", "ready"] {
        desk.submit(id);
    }
    desk.run(Submit {
        delay: Millis(1 << 30),
        ..item("delayed")
    })
    .unwrap();
    for (id, tags) in [("t", &["x", "t"][..]), ("u", &["u"])] {
        desk.run(Submit {
            tags: Some(names(tags)),
            ..item(id)
        })
        .unwrap();
    }
    desk.run(Submit {
        group: Some(b"h"),
        ..item("outside")
    })
    .unwrap();
    desk.kill("dead");
    desk.assign("locked", "m");
    let ask = CancelGroup {
        except: names(&["t", "none"]),
        reason: Some(b"spam"),
        by: Some(b"me"),
        ..cancel_all()
    };
    assert_eq!(desk.run(&ask), Ok(done(5, 1)));
    assert_eq!(desk.recorded, 5, "in one record");
    for field in [("reason", "spam"), ("by", "me")] {
        let told = desk.told(field.0);
        assert_eq!(told.len(), 5);
        assert!(
            told.iter()
                .all(|(ev, _, v)| (*ev, &**v) == ("cancel", field.1))
        );
    }
    assert_eq!(desk.group(), ["t"]);
    assert_eq!(desk.run(&ask), Ok(done(0, 1)));
    assert_eq!(desk.run(&cancel_all()), Ok(done(1, 0)));
    assert_eq!(desk.run(&cancel_all()), Ok(done(0, 0)));
    assert_eq!(desk.recorded, 0);
    assert_eq!(desk.state("outside"), Some(State::Ready));
    assert_eq!(desk.queue.stats().cancelled, 6);
}

#[test]
fn who_is_freed_by_a_cancelled_group_is_not_given_what_goes_with_it() {
    let mut desk = Desk::new(Configure {
        capacity: Some(1),
        ..Configure::default()
    });
    for id in ["a", "b"] {
        desk.submit(id);
    }
    desk.assign("a", "m");
    let join = Join {
        moderator: b"m",
        ttl: Some(Millis(1 << 30)),
        count: Some(2),
        ..Join::default()
    };
    desk.run(&join).unwrap();
    desk.run(Submit {
        group: None,
        priority: Some(-1),
        ..item("outside")
    })
    .unwrap();
    assert_eq!(desk.run(&cancel_all()), Ok(done(2, 0)));
    let names: Vec<&str> = desk.events.iter().map(|event| event.name).collect();
    assert_eq!(names, ["cancel", "cancel", "claim"]);
    assert_eq!(desk.view("outside").unwrap().lock.unwrap().moderator, b"m");
}
