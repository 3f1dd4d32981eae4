//! I9 over random histories: what is done to a group is what a plain list of its items says, and nothing
//! else changes. Which items somebody can have seen is told by counting commands, not by tokens.

use super::desk::*;
use modq_core::queue::{
    CancelGroup, Claim, Configure, Error, OnDuplicate, Quorum, Release, ResolveAlso, Resolved,
    State, Submit, Update,
};
use modq_core::units::Millis;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

const IDS: [&str; 8] = ["i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"];
const GROUPS: [&str; 3] = ["g", "h", ""];
const WHO: [&str; 3] = ["m0", "m1", "m2"];
const TAGS: [&str; 2] = ["t", "u"];
const VERDICTS: [Option<&str>; 3] = [None, Some("keep"), Some("remove")];

/// Places in the lists above, and numbers.
#[derive(Debug, Clone)]
enum Op {
    Submit(usize, usize, Vec<usize>, usize, bool, bool),
    Regroup(usize, usize),
    Edit(usize, bool),
    Assign(usize, usize, bool),
    Claim(usize, usize, bool, Vec<usize>),
    Release(usize, bool),
    Also(usize, usize, Option<Vec<usize>>, usize),
    CancelGroup(usize, usize, Vec<usize>),
    Wait(u64),
}

fn some_tags() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![2 => Just(Vec::new()), 1 => vec(0..TAGS.len(), 0..3)]
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (
            0..8usize,
            prop_oneof![4 => Just(0), 1 => 0..3usize],
            some_tags(),
            0..3usize,
            prop::bool::weighted(0.2),
            prop::bool::weighted(0.2),
        )
            .prop_map(|(id, g, tags, k, delayed, excluded)| {
                Op::Submit(id, g, tags, k, delayed, excluded)
            }),
        2 => (0..8usize, 0..3usize).prop_map(|(id, g)| Op::Regroup(id, g)),
        2 => (0..8usize, any::<bool>()).prop_map(|(id, replace)| Op::Edit(id, replace)),
        5 => (0..8usize, 0..3usize, prop::bool::weighted(0.2))
            .prop_map(|(id, m, short)| Op::Assign(id, m, short)),
        4 => (0..3usize, 1..5usize, any::<bool>(), some_tags())
            .prop_map(|(m, n, new, tags)| Op::Claim(m, n, new, tags)),
        1 => (0..8usize, any::<bool>()).prop_map(|(id, skip)| Op::Release(id, skip)),
        8 => (0..8usize, 1..5usize, proptest::option::of(some_tags()), 0..3usize)
            .prop_map(|(id, n, tags, v)| Op::Also(id, n, tags, v)),
        1 => (0..2usize, 1..6usize, some_tags()).prop_map(|(g, n, tags)| Op::CancelGroup(g, n, tags)),
        1 => (1..20u64).prop_map(Op::Wait),
    ]
}

/// All that a reader sees of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    group: String,
    state: State,
    tags: Vec<String>,
    barred: Vec<String>,
    votes: usize,
    contested: bool,
    several: bool,
    /// Moderator and token.
    lock: Option<(String, u64)>,
    rev: u32,
}

impl Seen {
    fn has_only(&self, tags: &[String]) -> bool {
        self.tags.iter().all(|tag| tags.contains(tag))
    }
}

/// What the list knows of an item beside that: the number of the command it came by, and of the one by
/// which its payload last changed.
#[derive(Debug, Clone, Copy)]
struct Came {
    at: usize,
    fresh: usize,
}

struct History {
    desk: Desk,
    came: BTreeMap<String, Came>,
    /// The number of the command by which a token was given.
    given: BTreeMap<u64, usize>,
    step: usize,
    seen: BTreeMap<&'static str, usize>,
}

fn tags_of(all: &[usize]) -> Vec<&'static str> {
    all.iter().map(|i| TAGS[*i]).collect()
}

impl History {
    fn items(&self) -> BTreeMap<String, Seen> {
        let views = IDS.iter().filter_map(|id| self.desk.view(id));
        let seen = views.map(|view| {
            let voters = view.votes.iter().map(|vote| vote.moderator);
            let barred = view.excluded.iter().copied().chain(voters);
            let seen = Seen {
                group: text(view.group),
                state: view.state,
                tags: view.tags.iter().map(|tag| text(tag)).collect(),
                barred: barred.map(text).collect(),
                votes: view.votes.len(),
                contested: view.contested,
                several: view.quorum.k > 1,
                lock: view.lock.map(|l| (text(l.moderator), l.token.0)),
                rev: view.rev.0,
            };
            (text(view.item), seen)
        });
        seen.collect()
    }

    /// The items of a group by arrival.
    fn members(&self, items: &BTreeMap<String, Seen>, group: &str) -> Vec<String> {
        let members = items.iter().filter(|(_, seen)| seen.group == group);
        let mut ids: Vec<String> = members.map(|(id, _)| id.clone()).collect();
        ids.sort_by_key(|id| self.came[id].at);
        ids
    }

    fn count(&mut self, what: &'static str, n: usize) {
        *self.seen.entry(what).or_default() += n;
    }

    fn run(&mut self, op: &Op) {
        self.step += 1;
        match op {
            Op::Submit(..) | Op::Edit(..) | Op::Regroup(..) => self.produce(op),
            Op::Assign(id, m, short) => self.assign(*id, *m, *short),
            Op::Claim(m, n, new, tags) => self.claim(*m, *n, *new, &tags_of(tags)),
            Op::Release(id, skip) => self.release(*id, *skip),
            Op::Also(id, n, tags, v) => {
                let tags = tags.as_deref().map(tags_of);
                self.also(*id, *n, tags.as_deref(), VERDICTS[*v]);
            }
            Op::CancelGroup(g, n, tags) => self.cancel(GROUPS[*g], *n, &tags_of(tags)),
            Op::Wait(ms) => {
                self.desk.ms += ms;
                self.desk.run(Configure::default()).expect("ticked");
            }
        }
        for seen in self.items().into_values() {
            if let Some((_, token)) = seen.lock {
                self.given.entry(token).or_insert(self.step);
            }
        }
        self.same_groups();
    }

    /// Each group is listed as the list has it.
    fn same_groups(&self) {
        let items = self.items();
        for group in &GROUPS[..2] {
            let name = group.as_bytes();
            let time = modq_core::units::Time(self.desk.ms);
            let page = self.desk.queue.group(name, 0, 100, time);
            let listed: Vec<String> = page.rows.iter().map(|row| text(row.item)).collect();
            assert_eq!(listed, self.members(&items, group));
        }
    }

    fn produce(&mut self, op: &Op) {
        let step = self.step;
        match op {
            Op::Submit(id, g, tags, k, delayed, excluded) => {
                let tags = tags_of(tags);
                let submit = Submit {
                    group: Some(GROUPS[*g].as_bytes()).filter(|g| !g.is_empty()),
                    tags: Some(names(&tags)),
                    quorum: Some([(1, 1), (1, 2), (2, 2)][*k]).map(|(k, n)| Quorum { k, n }),
                    delay: Millis(u64::from(*delayed) << 30),
                    excluded: excluded.then(|| names(&["m0"])),
                    on_duplicate: OnDuplicate::Keep,
                    ..item(IDS[*id])
                };
                let is_new = self.desk.view(IDS[*id]).is_none();
                self.desk.run(submit).expect("taken");
                if is_new {
                    let came = Came {
                        at: step,
                        fresh: step,
                    };
                    self.came.insert(IDS[*id].into(), came);
                }
            }
            Op::Regroup(id, g) if self.desk.view(IDS[*id]).is_some() => {
                let group = Some(GROUPS[*g].as_bytes());
                self.desk.update(
                    IDS[*id],
                    Update {
                        group,
                        ..Update::default()
                    },
                );
            }
            Op::Edit(id, replace) if self.desk.view(IDS[*id]).is_some() => {
                let payload = format!("payload {step}");
                let payload = payload.as_bytes();
                match replace {
                    true => drop(self.desk.run(Submit {
                        payload,
                        on_duplicate: OnDuplicate::Replace,
                        group: None,
                        ..item(IDS[*id])
                    })),
                    false => self.desk.update(
                        IDS[*id],
                        Update {
                            payload: Some(payload),
                            ..Update::default()
                        },
                    ),
                }
                self.came.get_mut(IDS[*id]).expect("it came").fresh = step;
            }
            _ => {}
        }
    }

    fn assign(&mut self, id: usize, m: usize, short: bool) {
        let assign = modq_core::queue::Assign {
            id: IDS[id].as_bytes(),
            moderator: WHO[m].as_bytes(),
            lock: short.then_some(Millis(5)),
            ..Default::default()
        };
        let _ = self.desk.run(assign);
    }

    fn release(&mut self, id: usize, skip: bool) {
        let lock = self.desk.view(IDS[id]).and_then(|view| view.lock);
        let Some(token) = lock.map(|lock| lock.token) else {
            return;
        };
        let release = Release {
            id: IDS[id].as_bytes(),
            token,
            skip,
            delay: Millis::ZERO,
        };
        self.desk.run(release).expect("their own");
    }

    /// What a CLAIM … WITHGROUP answers.
    fn claim(&mut self, m: usize, count: usize, new_only: bool, tags: &[&str]) {
        let who = WHO[m];
        let items = self.items();
        let offered: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let mut held: Vec<(u64, String)> = Vec::new();
        for (id, seen) in &items {
            if let Some((holder, token)) = seen.lock.as_ref().filter(|_| !new_only) {
                if holder == who {
                    held.push((*token, id.clone()));
                }
            }
        }
        held.sort();
        let mut expected: Vec<String> = held.into_iter().map(|(_, id)| id).collect();
        expected.truncate(count);
        let given = names(tags);
        if expected.is_empty() {
            let peeked = self
                .desk
                .queue
                .peek(1, Some((who.as_bytes(), Some(&given))));
            expected.extend(peeked.into_iter().map(text));
        }
        if let Some(first) = expected.first() {
            let group = items[first].group.clone();
            let may_take = |id: &String| {
                let seen = &items[id];
                seen.state == State::Ready
                    && seen.has_only(&offered)
                    && !seen.barred.contains(&who.to_owned())
            };
            for id in self.members(&items, &group) {
                let is_new = !expected.contains(&id) && !group.is_empty();
                if is_new && may_take(&id) && expected.len() < count {
                    expected.push(id);
                }
            }
        }
        let claim = Claim {
            tags: Some(given),
            new_only,
            ..with_group(who, count)
        };
        let got = self.desk.claim_ids(&claim);
        assert_eq!(got, expected);
        self.count("claimed", usize::from(got.len() > 1));
    }

    /// Which items of its group a verdict on an item is given to as well.
    fn given_also(
        &self,
        items: &BTreeMap<String, Seen>,
        id: &str,
        tags: Option<&[&str]>,
        verdict: Option<&str>,
    ) -> Vec<String> {
        let named = &items[id];
        let Some((who, token)) = named.lock.clone() else {
            return Vec::new();
        };
        if named.group.is_empty() {
            return Vec::new();
        }
        let began = self.given[&token];
        let tags = match tags {
            Some(tags) => tags.iter().map(|tag| (*tag).to_owned()).collect(),
            None => named.tags.clone(),
        };
        let takes = |other: &String| {
            let seen = &items[other];
            *other != id
                && seen.lock.as_ref().is_none_or(|(holder, _)| *holder == who)
                && !seen.contested
                && seen.has_only(&tags)
                && !seen.barred.contains(&who)
                && self.came[other].fresh < began
                && (verdict.is_some() || !seen.several)
        };
        let members = self.members(items, &named.group).into_iter();
        members.filter(takes).collect()
    }

    fn also(&mut self, id: usize, most: usize, tags: Option<&[&str]>, verdict: Option<&str>) {
        let before = self.items();
        // The next that is locked.
        let mut ids = IDS.iter().cycle().skip(id).take(IDS.len());
        let locked = ids.find_map(|id| Some((*id, before.get(*id)?.lock.as_ref()?.1)));
        let Some((id, token)) = locked else {
            return;
        };
        let mut all = self.given_also(&before, id, tags, verdict);
        let ask = ResolveAlso {
            most,
            tags: tags.map(names),
            ..also(id, token, verdict)
        };
        let reply = match self.desk.run(&ask) {
            Ok(reply) => reply,
            Err(error) => {
                assert_eq!(error, Error::VerdictNeeded);
                assert!(before[id].several && verdict.is_none());
                assert_eq!(self.items(), before);
                return;
            }
        };
        all.truncate(most);
        self.check_touched(&before, &all, Some(id));
        let after = self.items();
        let left = match &*before[id].group {
            "" => Vec::new(),
            group => self.members(&after, group),
        };
        let numbers = (reply.group.done, reply.group.left);
        assert_eq!(numbers, (all.len(), left.len()));
        let is_behind = |id: &String| {
            all.last()
                .is_some_and(|l| self.came[id].at > self.came[l].at)
        };
        let is_cut = all.len() == most && left.iter().any(is_behind);
        assert_eq!(reply.group.next.is_some(), is_cut);
        assert_eq!(reply.resolved == Resolved::Ended, !after.contains_key(id));
        let via = self.desk.told("via");
        let told: Vec<&str> = via.iter().skip(1).map(|(_, item, _)| &**item).collect();
        assert_eq!(told, all);
        assert!(via.iter().skip(1).all(|(.., via)| via == id));
        self.count("also", all.len());
        self.count(
            "voted also",
            all.iter().filter(|id| after.contains_key(*id)).count(),
        );
    }

    /// Of what was there these are gone, or have a vote more; all others are as they were.
    fn check_touched(&self, before: &BTreeMap<String, Seen>, all: &[String], named: Option<&str>) {
        let after = self.items();
        for (id, seen) in before {
            let touched = all.contains(id) || named == Some(id);
            match after.get(id) {
                Some(now) if touched => assert_eq!(now.votes, seen.votes + 1, "{id}"),
                Some(now) => assert_eq!(now, seen, "{id}"),
                None => assert!(touched, "{id}"),
            }
        }
    }

    fn cancel(&mut self, group: &str, most: usize, except: &[&str]) {
        let before = self.items();
        let members = self.members(&before, group);
        let goes = |id: &&String| {
            let tags = &before[*id].tags;
            !tags.iter().any(|tag| except.contains(&&**tag))
        };
        let all: Vec<String> = members.iter().filter(goes).take(most).cloned().collect();
        let ask = CancelGroup {
            group: group.as_bytes(),
            most,
            except: names(except),
            ..cancel_all()
        };
        let reply = self.desk.run(&ask).expect("admitted");
        self.check_touched(&before, &all, None);
        let after = self.items();
        assert!(all.iter().all(|id| !after.contains_key(id)));
        let left = self.members(&after, group).len();
        assert_eq!((reply.done, reply.left), (all.len(), left));
        assert_eq!(members.len(), reply.done + reply.left);
        self.count("cancelled", all.len());
    }
}

fn history(ops: &[Op]) -> History {
    let desk = Desk::new(Configure {
        split_tag: Some(b"u"),
        ..Configure::default()
    });
    let mut history = History {
        desk,
        came: BTreeMap::new(),
        given: BTreeMap::new(),
        step: 0,
        seen: BTreeMap::new(),
    };
    // While a group is there, what happens to items outside of groups is kept as well.
    let outside = Submit {
        delay: Millis(1 << 39),
        ..item("stays")
    };
    let stays = Submit {
        group: Some(b"stays"),
        ..outside
    };
    history.desk.run(stays).expect("taken");
    for op in ops {
        history.run(op);
    }
    history
}

#[test]
fn i9_what_is_done_to_a_group_is_what_the_list_says_and_nothing_else_changes() {
    let cases = std::env::var("MODQ_CASES").map_or(1, |n| n.parse().expect("a number"));
    let config = ProptestConfig {
        cases: 600 * cases,
        // It has no place for the seeds of tests that are split into files.
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let seen = std::cell::RefCell::new(BTreeMap::<&str, usize>::new());
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let ran = runner.run(&vec(ops(), 20..60), |ops| {
        for (what, n) in history(&ops).seen {
            *seen.borrow_mut().entry(what).or_default() += n;
        }
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
    let seen = seen.into_inner();
    for what in ["also", "voted also", "claimed", "cancelled"] {
        assert!(seen[what] >= 50, "{seen:?}");
    }
}
