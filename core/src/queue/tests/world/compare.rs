//! Everything a reader of a queue sees, against what the model says.

use super::super::model::{ModelItem, ModelVote};
use super::*;

fn list(ids: Vec<&[u8]>) -> Vec<String> {
    ids.into_iter().map(text).collect()
}

fn vote(vote: &ModelVote) -> VoteView<'_> {
    VoteView {
        moderator: vote.moderator.as_bytes(),
        verdict: vote.verdict.as_bytes(),
        at: Time(vote.at),
    }
}

fn view<'m>(id: &'m str, item: &'m ModelItem) -> ItemView<'m> {
    let lock = match &item.phase {
        Phase::Locked(lock) => Some(LockView {
            moderator: lock.moderator.as_bytes(),
            token: Token(lock.token),
            deadline: Time(lock.deadline),
        }),
        _ => None,
    };
    ItemView {
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
        submitted: Time(item.submitted),
        due: item.due.map(Time),
        rev: Rev(item.rev as u32),
        reports: item.reports,
        deliveries: item.deliveries,
        expiries: item.expiries,
        lock,
        tags: item.tags.iter().map(String::as_bytes).collect(),
        excluded: item.excluded.iter().map(|(m, _)| m.as_bytes()).collect(),
        quorum: item.quorum,
        votes: item.votes.iter().map(vote).collect(),
        contested: item.contested,
        group: item.group.as_bytes(),
        deciders: item.deciders.iter().map(String::as_bytes).collect(),
    }
}

impl Trio {
    /// Everything a reader sees is what the model says.
    pub(super) fn compare(&self, now: Now) {
        self.compare_items(now);
        self.compare_offers(now);
        self.compare_counts();
        self.compare_line();
        self.compare_totals(now);
        self.compare_records(now);
        self.compare_groups(now);
    }

    fn compare_records(&self, now: Now) {
        let (queue, model) = (&self.queue, &self.model);
        for id in ITEMS {
            let expected = model.record(id, now.time.0).map(|record| RecordView {
                item: id.as_bytes(),
                verdict: record.verdict.as_bytes(),
                decided: Time(record.decided),
                expires: Time(record.decided) + model.settings.retain,
                token: Token(record.token),
                rev: Rev(record.rev as u32),
                submitted: Time(record.submitted),
                reports: record.reports,
                moderators: record.moderators.iter().map(String::as_bytes).collect(),
            });
            assert_eq!(queue.record(id.as_bytes(), now.time), expected, "{id}");
            let kept = queue.store.record(id.as_bytes(), now.time);
            let group = model.record(id, now.time.0).map(|record| &*record.group);
            assert_eq!(kept.map(|kept| text(kept.group)).as_deref(), group, "{id}");
        }
        assert_eq!(
            queue.decided(now.time),
            model.records_live(now.time.0).len()
        );
        let evicted = queue.stats().records_evicted;
        assert_eq!(evicted, model.totals.records_evicted);
    }

    /// Each group by arrival, in one page and in pages of two.
    fn compare_groups(&self, now: Now) {
        let (queue, model) = (&self.queue, &self.model);
        for group in GROUPS {
            let expected: Vec<ItemView<'_>> = model
                .members(group)
                .iter()
                .map(|id| {
                    view(
                        ITEMS.iter().find(|i| *i == id).expect("one of them"),
                        model.item(id).expect("there"),
                    )
                })
                .collect();
            let (mut rows, mut cursor) = (Vec::new(), Some(0));
            while let Some(from) = cursor {
                let page = queue.group(group.as_bytes(), from, 2, now.time);
                rows.extend(page.rows);
                cursor = page.next;
            }
            assert_eq!(rows, queue.group(group.as_bytes(), 0, 100, now.time).rows);
            let expected: Vec<Grouped<'_>> = expected
                .into_iter()
                .map(|item| Grouped {
                    item: item.item,
                    state: item.state,
                    priority: item.priority,
                    submitted: item.submitted,
                    moderator: item.lock.map(|lock| lock.moderator),
                })
                .collect();
            assert_eq!(rows, expected, "{group}");
            assert_eq!(queue.store.group_len(group.as_bytes()), rows.len());
        }
    }

    fn compare_items(&self, now: Now) {
        let (queue, model) = (&self.queue, &self.model);
        for id in ITEMS {
            let item = model.item(id);
            let got = queue.get(id.as_bytes(), now.time);
            assert_eq!(got.is_some(), item.is_some(), "{id}");
            let place = model.ready().iter().position(|i| i == id);
            assert_eq!(queue.position(id.as_bytes()), place.map(|p| p + 1));
            if let (Some(got), Some(item)) = (got, item) {
                assert_eq!(got, view(id, item));
            }
        }
        let ready = model.ready();
        assert_eq!(list(queue.peek(100, None)), ready);
        assert_eq!(list(queue.peek(2, None)), ready[..ready.len().min(2)]);
    }

    /// What there is for each moderator, and what they hold.
    fn compare_offers(&self, now: Now) {
        let (queue, model) = (&self.queue, &self.model);
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
            let held = queue.held_by(m.as_bytes(), now.time).map(|c| row(&c));
            assert_eq!(held.collect::<Vec<_>>(), model.held(m));
        }
    }

    fn compare_counts(&self) {
        let (queue, model) = (&self.queue, &self.model);
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
        let by_tag = queue.ready_by_tag(usize::MAX).into_iter();
        let by_tag: Vec<(String, usize)> = by_tag.map(|(tag, n)| (text(tag), n)).collect();
        let ready_with = |tag: &str| {
            let all = model.items.iter().filter(|i| i.phase == Phase::Ready);
            all.filter(|i| i.tags.iter().any(|t| t == tag)).count()
        };
        // Those of splits too.
        let tags = model.items.iter().flat_map(|i| &i.tags);
        let tags: BTreeSet<&String> = tags.collect();
        let expected: Vec<(String, usize)> = tags
            .into_iter()
            .map(|t| (t.clone(), ready_with(t)))
            .filter(|(_, n)| *n > 0)
            .collect();
        assert_eq!(by_tag, expected);
    }

    fn compare_line(&self) {
        let (queue, model) = (&self.queue, &self.model);
        let name = |m| text(&queue.store.moderators()[m].name);
        let line: Vec<(String, Place)> = queue.line.iter().map(|(p, m)| (name(m), p)).collect();
        let expected = model.line().into_iter().map(|m| {
            let place = model.place_of(&m).expect("in line");
            (m, place)
        });
        assert_eq!(line, expected.collect::<Vec<_>>());
        for waiter in queue.waiters(100) {
            let name = text(waiter.moderator);
            let joined = model.registration(&name).is_some_and(|r| r.place.is_some());
            let kind = if joined { Kind::Joined } else { Kind::Blocked };
            assert_eq!(waiter.kind, kind);
            assert_eq!(Some(waiter.since), model.place_of(&name).map(|p| p.since));
            let theirs = model.calls.iter().filter(|c| c.moderator == name);
            let first = theirs.min_by_key(|c| c.place);
            let tags = first.filter(|_| !joined).and_then(|c| c.tags.as_deref());
            let tags: Vec<String> = model.tags_of(&name, tags);
            let shown = waiter.tags.iter().copied();
            assert!(shown.eq(tags.iter().map(String::as_bytes)));
        }
        assert_eq!(queue.blocked(), model.calls.len());
        assert_eq!(queue.next_due(), model.next_due());
    }

    fn compare_totals(&self, now: Now) {
        let (queue, model) = (&self.queue, &self.model);
        assert_eq!(queue.last_token().0, model.last_token);
        let paused = queue.paused();
        assert_eq!(
            (paused.input, paused.output),
            (model.paused_in, model.paused_out)
        );
        assert_eq!(*queue.settings(), model.settings);
        let (got, totals) = (queue.stats(), &model.totals);
        assert_eq!(
            (got.submitted, got.resolved, got.cancelled),
            (totals.submitted, totals.resolved, totals.cancelled)
        );
        assert_eq!(
            (got.released, got.expired, got.died),
            (totals.released, totals.expired, totals.died)
        );
        assert_eq!((&got.wait, &got.handle), (&totals.wait, &totals.handle));
        assert_eq!((&got.waits, &got.handles), (&totals.waits, &totals.handles));
        assert_eq!((got.votes, got.splits), (totals.votes, totals.splits));
        let voting = |i: &&ModelItem| !i.votes.is_empty() && !i.contested;
        let items = &model.items;
        assert_eq!(queue.voting(), items.iter().filter(voting).count());
        let contested = items.iter().filter(|i| i.contested);
        assert_eq!(queue.contested(), contested.clone().count());
        let oldest = contested.map(|i| now.time.since(Time(i.submitted))).max();
        assert_eq!(queue.oldest_contested(now.time), oldest.unwrap_or_default());
    }
}
