//! I9 over random histories: what is done to a group touches no item outside of it, and a verdict given to
//! its others none that somebody else holds or that is passed over.

use super::properties::run;
use super::world::*;
use super::*;

/// What ALSO and CANCELGROUP go by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    group: String,
    tags: Vec<String>,
    /// Who may not have it.
    barred: Vec<String>,
    votes: usize,
    contested: bool,
    k: u8,
    rev: u32,
    state: State,
    /// Who has it, or had it last if it may still be decided by them.
    holder: Option<String>,
}

fn known(queue: &Queue, now: Now) -> BTreeMap<&'static str, Known> {
    let all = ITEMS.iter().filter_map(|id| {
        let view = queue.get(id.as_bytes(), now.time)?;
        let slot = queue.store.find(id.as_bytes())?;
        let voters = view.votes.iter().map(|vote| vote.moderator);
        let barred = view.excluded.iter().chain(&view.deciders).copied();
        let last = queue.store.last_lock(slot);
        let known = Known {
            group: text(view.group),
            tags: view.tags.iter().map(|tag| text(tag)).collect(),
            barred: barred.chain(voters).map(text).collect(),
            votes: view.votes.len(),
            contested: view.contested,
            k: view.quorum.k,
            rev: view.rev.0,
            state: view.state,
            holder: last.map(|lock| text(&queue.store.moderators()[lock.moderator].name)),
        };
        Some((*id, known))
    });
    all.collect()
}

/// Whether a verdict was given to an item, or it was removed.
fn is_touched(before: &Known, after: Option<&Known>) -> bool {
    after.is_none_or(|after| after.votes != before.votes)
}

/// What is not touched is as it was, but that a match may have given it to somebody.
fn is_as_before(before: &Known, after: &Known) -> bool {
    let locked = before.state == State::Ready && after.state == State::Locked;
    let expected = Known {
        state: if locked { after.state } else { before.state },
        holder: match locked {
            true => after.holder.clone(),
            false => before.holder.clone(),
        },
        ..before.clone()
    };
    *after == expected
}

/// An item other than the one named was given its verdict.
fn assert_may_be_given(named: &Known, known: &Known, ask: &AlsoOp) {
    let moderator = named.holder.as_ref().expect("decided by somebody");
    let tags = ask.tags.as_ref().unwrap_or(&named.tags);
    let is_theirs = known.holder.as_ref() == Some(moderator);
    assert_eq!(known.group, named.group);
    assert!(known.state != State::Locked || is_theirs, "{known:?}");
    assert!(!known.contested);
    assert!(!known.barred.contains(moderator), "{known:?}");
    assert!(known.tags.iter().all(|tag| tags.contains(tag)), "{known:?}");
    assert!(ask.verdict.is_some() || known.k == 1, "{known:?}");
}

/// What one command did to a queue: its items before and after, and those that it touched, but for the
/// one that a RESOLVE named.
struct Deed {
    before: BTreeMap<&'static str, Known>,
    after: BTreeMap<&'static str, Known>,
    touched: Vec<&'static str>,
}

impl Deed {
    fn of(world: &mut World, step: &Step, named: Option<&'static str>) -> Deed {
        let before = known(&world.sides[step.at].queue, world.now);
        world.run(step);
        let after = known(&world.sides[step.at].queue, world.now);
        let mut touched = Vec::new();
        for (id, was) in &before {
            // One that is no longer there was touched by a command that was accepted.
            match after.get(id) {
                Some(is) if !is_touched(was, Some(is)) => {
                    assert!(is_as_before(was, is), "{id} {was:?} {is:?}");
                }
                _ => touched.push(*id),
            }
        }
        if world.done.is_none() {
            assert!(touched.is_empty(), "refused");
        }
        touched.retain(|id| named != Some(*id));
        Deed {
            before,
            after,
            touched,
        }
    }

    /// Each item touched has an event of its own that names the one it was decided by. Answers how many.
    fn is_told(&self, told: &[(String, Option<String>)], named: &str) -> usize {
        let others = told.iter().filter(|(_, via)| via.as_deref() == Some(named));
        let mut others: Vec<&str> = others.map(|(id, _)| &**id).collect();
        others.sort_unstable();
        assert_eq!(others, self.touched);
        assert!(
            told.iter()
                .all(|(_, via)| via.as_deref().is_none_or(|via| via == named))
        );
        others.len()
    }

    /// Before is what was ended and what is left.
    fn adds_up(&self, group: &str, done: GroupDone) {
        let of_group = |all: &BTreeMap<_, Known>| {
            let members = all.values().filter(|known| known.group == group);
            if group.is_empty() { 0 } else { members.count() }
        };
        let gone = self.before.iter().filter(|(id, known)| {
            let is_gone = !self.after.contains_key(*id);
            is_gone && known.group == group && !group.is_empty()
        });
        assert_eq!(done.left, of_group(&self.after));
        assert_eq!(of_group(&self.before), gone.count() + done.left);
    }
}

#[test]
fn i9_what_is_done_to_a_group_touches_its_items_only_and_none_that_is_passed_over() {
    let (mut given, mut told, mut cancelled) = (0, 0, 0);
    run(1500, steps(80), |steps| {
        let mut world = World::new();
        world.write_events();
        for step in &steps {
            world.before(step);
            match &step.op {
                Op::Also(ask) => {
                    let named = world.sides[step.at].aim_grouped(ask.id, &ask.aim).0;
                    let deed = Deed::of(&mut world, step, Some(named));
                    let writes = !world.sides[step.at].queue.settings().events.is_empty();
                    told += if writes {
                        deed.is_told(&world.told, named)
                    } else {
                        0
                    };
                    let (Some(done), Some(named)) = (world.done, deed.before.get(named)) else {
                        continue;
                    };
                    for id in &deed.touched {
                        assert_may_be_given(named, &deed.before[id], ask);
                    }
                    assert_eq!(done.done, deed.touched.len());
                    assert!(done.done <= ask.most);
                    // A decision sent again tells of the group that its item was in.
                    if !matches!(ask.aim, Aim::Decided) {
                        deed.adds_up(&named.group, done);
                    }
                    given += done.done;
                }
                Op::CancelGroup(ask) => {
                    let deed = Deed::of(&mut world, step, None);
                    let done = world.done.expect("never refused");
                    for id in &deed.touched {
                        let known = &deed.before[id];
                        assert_eq!(known.group, ask.group);
                        assert!(known.tags.iter().all(|tag| !ask.except.contains(tag)));
                        assert!(!deed.after.contains_key(id));
                    }
                    assert_eq!(done.done, deed.touched.len());
                    assert!(done.done <= ask.most);
                    deed.adds_up(ask.group, done);
                    cancelled += done.done;
                }
                _ => world.run(step),
            }
        }
        Ok(())
    });
    let enough = given > 200 && told > 50 && cancelled > 200;
    assert!(enough, "{given} {told} {cancelled}");
}

/// A queue where each may hold two items, and `a` to `e` are in it, some of them of group `g`.
fn with_two_each(now: Now, grouped: &[&str], out: &mut Outcome) -> Queue {
    let mut q = Queue::default();
    let settings = Settings {
        capacity: 2,
        ..Settings::default()
    };
    q.configure(now, settings, out).unwrap();
    for id in ["a", "b", "c", "d", "e", "f", "g"] {
        let submit = Submit {
            id: id.as_bytes(),
            group: grouped.contains(&id).then_some(b"g"),
            ..Submit::default()
        };
        q.submit(now, submit, out).unwrap();
    }
    q
}

#[test]
fn who_is_given_one_item_stands_where_their_other_calls_do_for_the_next() {
    let now = at(1_000_000);
    let mut out = Outcome::default();
    let mut q = with_two_each(now, &["a", "b", "c", "d"], &mut out);
    for (id, m) in [("a", "m"), ("b", "m"), ("c", "n"), ("d", "n")] {
        q.assign(now, id.as_bytes(), m.as_bytes(), None, &mut out)
            .unwrap();
    }
    // First in line by JOIN, but the calls came after somebody else's.
    let join = Join {
        moderator: b"m",
        count: Some(9),
        ..Join::default()
    };
    q.join(now, &join, &mut out).unwrap();
    for (call, m) in [(1, "n"), (2, "m"), (3, "m")] {
        let call = CallId(call);
        let block = Block {
            call,
            moderator: m.as_bytes(),
            tags: None,
            new_only: true,
            lock: None,
            place: q.end_of_line(now.time),
        };
        q.block(&block);
    }
    out.clear();
    let cancel = CancelGroup {
        group: b"g",
        most: 1000,
        ..CancelGroup::default()
    };
    assert_eq!(q.cancel_group(now, &cancel, &mut out).unwrap().done, 4);
    let given: Vec<(String, String)> = out
        .announcements
        .iter()
        .map(|m| (text(&m.item), text(&m.moderator)))
        .collect();
    let expected = [("e", "m"), ("f", "n"), ("g", "m")];
    assert_eq!(given, expected.map(|(i, m)| (i.into(), m.into())));
}

/// RESOLVE of "a" with all that ALSO may take.
fn all_with_a(token: u64) -> ResolveAlso<'static> {
    ResolveAlso {
        named: Resolve {
            id: b"a",
            token: Token(token),
            ..Resolve::default()
        },
        most: 1000,
        ..ResolveAlso::default()
    }
}

#[test]
fn what_comes_into_a_group_with_another_payload_is_new_there() {
    let mut out = Outcome::default();
    let mut q = with_two_each(at(1_000_000), &[], &mut out);
    let token = q.assign(at(1_000_005), b"a", b"m", None, &mut out).unwrap();
    // The first change of each, and the first time that the queue hears of a group.
    let payloads: [(&[u8], Option<&[u8]>); 3] =
        [(b"b", Some(b"other")), (b"c", None), (b"a", None)];
    for (id, payload) in payloads {
        let update = Update {
            payload,
            group: Some(b"g"),
            ..Update::default()
        };
        q.update(at(1_000_010), id, update, &mut out).unwrap();
    }
    let reply = q.resolve_also(at(1_000_020), &all_with_a(token), &mut out);
    let reply = reply.unwrap();
    assert_eq!((reply.group.done, reply.group.left), (1, 1));
    assert!(q.get(b"b", Time(1_000_020)).is_some(), "m has not seen it");
}

/// Puts two items into a group that is new to the queue, in the order given by `lock_first`: the lock on "a"
/// begins before or after that. Everything happens in one millisecond. How many others ALSO ends.
fn ended_in_a_group_made_later(lock_first: bool) -> usize {
    let (mut out, now) = (Outcome::default(), at(1_000_000));
    let mut q = with_two_each(now, &[], &mut out);
    let lock = |q: &mut Queue, out: &mut Outcome| q.assign(now, b"a", b"m", None, out).unwrap();
    let early = lock_first.then(|| lock(&mut q, &mut out));
    let late = Submit {
        id: b"late",
        ..Submit::default()
    };
    q.submit(now, late, &mut out).unwrap();
    for id in [b"a".as_slice(), b"late"] {
        let update = Update {
            group: Some(b"g"),
            ..Update::default()
        };
        q.update(now, id, update, &mut out).unwrap();
    }
    let token = early.unwrap_or_else(|| lock(&mut q, &mut out));
    let reply = q.resolve_also(now, &all_with_a(token), &mut out);
    let group = reply.unwrap().group;
    assert_eq!(group.done + group.left, 1);
    group.done
}

#[test]
fn what_arrives_in_the_millisecond_of_a_lock_is_passed_over_in_a_group_made_later() {
    assert_eq!(ended_in_a_group_made_later(true), 0, "m has not seen it");
    assert_eq!(ended_in_a_group_made_later(false), 1);
}
