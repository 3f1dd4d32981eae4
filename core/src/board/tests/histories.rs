//! Random histories: after each request everything that can be asked is as in the model, a replica
//! that applies the records is the same, and so is what is saved and loaded.

use super::model::Model;
use super::*;
use proptest::prelude::*;

const NAMES: [&[u8]; 14] = [
    b"a",
    b"b",
    b"ba",
    b"c",
    b"d",
    b"\0",
    b"\xff",
    b"e",
    b"f",
    b"long-name-1",
    b"long-name-2",
    b"g",
    b"h",
    b"i",
];

#[derive(Debug, Clone)]
enum Op {
    Add {
        name: usize,
        scores: [i64; 4],
        update: Option<Update>,
        id: Option<u8>,
    },
    Remove {
        name: usize,
        only: Option<[i64; 4]>,
    },
    Configure(Configure),
    Import(Vec<(usize, i64)>),
    Tick,
    Close,
}

fn score() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => -2i64..3,
        1 => Just(i64::MAX),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX - 1),
        1 => any::<i64>(),
    ]
}

fn update() -> impl Strategy<Value = Update> {
    prop_oneof![Just(Update::Sum), Just(Update::Best), Just(Update::Last)]
}

fn op() -> impl Strategy<Value = Op> {
    let scores = || [score(), score(), score(), score()];
    let add = (
        0..NAMES.len(),
        scores(),
        prop::option::of(update()),
        prop::option::of(0u8..12),
    );
    prop_oneof![
        14 => add.prop_map(|(name, scores, update, id)| Op::Add { name, scores, update, id }),
        2 => (0..NAMES.len(), prop::option::of(scores())).prop_map(|(name, only)| Op::Remove { name, only }),
        1 => (prop::option::of(update()), prop::option::of(0u64..40)).prop_map(|(update, retry)| {
            Op::Configure(Configure { update, retry: retry.map(Millis) })
        }),
        1 => prop::collection::btree_map(0..NAMES.len(), score(), 0..10)
            .prop_map(|members| Op::Import(members.into_iter().collect())),
        1 => Just(Op::Tick),
        1 => Just(Op::Close),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let order = prop_oneof![Just(Order::Desc), Just(Order::Asc)];
    let ties = prop_oneof![Just(Ties::Earliest), Just(Ties::Latest), Just(Ties::Member)];
    let orders = prop::collection::vec(order, 4);
    let cap = prop_oneof![2 => Just(0u64), 1 => 1u64..8];
    (
        1usize..5,
        orders,
        any::<bool>(),
        ties,
        update(),
        cap,
        0u64..40,
    )
        .prop_map(|(columns, orders, one, ties, update, cap, retry)| {
            let given = if one { 1 } else { columns };
            let mut settings = Settings::new(columns, &orders[..given]).expect("fits");
            settings.ties = ties;
            settings.update = update;
            settings.cap = cap;
            settings.retry = Millis(retry);
            settings
        })
}

/// A board, its replica and the model.
struct World {
    board: Board,
    replica: Board,
    model: Model,
}

impl World {
    fn commit(&mut self, effects: &[Effect<'_>]) {
        let mut record = Record::default();
        self.board.commit(effects, &mut record).expect("fits");
        apply_record(&mut self.replica, &record);
    }

    fn add(&mut self, clock: Clock, request: &Add<'_>) {
        let expected = self.model.add(clock, request);
        match add_recorded(&mut self.board, clock, request) {
            Ok((added, record)) => {
                assert_eq!(Some(added), expected);
                assert!(added.changed || request.id.is_some() || record.is_empty());
                apply_record(&mut self.replica, &record);
            }
            Err(error) => assert_eq!((error, expected), (Error::Overflow, None)),
        }
    }

    fn remove(&mut self, name: &[u8], only: Option<&Row>) {
        let known = self.model.members.get(name);
        let goes = known.is_some_and(|(row, _)| only.is_none_or(|only| **only == **row));
        let effect = self.board.remove(name, only).expect("the columns fit");
        assert_eq!(effect.is_some(), goes);
        if goes {
            self.model.members.remove(name);
            self.commit(effect.as_slice());
        }
    }

    fn import(&mut self, clock: Clock, members: &[(usize, i64)]) {
        let mut scored: Vec<Scored> = members
            .iter()
            .map(|(name, score)| (NAMES[*name].into(), *score))
            .collect();
        scored.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        match self.board.import(clock, &scored) {
            Ok(import) => {
                self.model.import(clock, &scored);
                let effects: Vec<Effect<'_>> = import.effects().collect();
                self.commit(&effects);
                // What fell outside took stamps in the model.
                self.model.last_stamp = self.board.last_stamp;
            }
            Err(error) => assert_eq!(error, Error::Columns(self.model.settings.columns())),
        }
    }

    fn run(&mut self, clock: Clock, op: &Op) {
        let columns = self.model.settings.columns();
        match op {
            Op::Add {
                name,
                scores,
                update,
                id,
            } => {
                let id = id.map(|id| [id]);
                let request = Add {
                    member: NAMES[*name],
                    row: row(&scores[..columns]),
                    update: *update,
                    id: id.as_ref().map(|id| &id[..]),
                };
                self.add(clock, &request);
            }
            Op::Remove { name, only } => {
                let only = only.map(|scores| row(&scores[..columns]));
                self.remove(NAMES[*name], only.as_ref());
            }
            Op::Configure(request) => {
                let effect = self.board.configure(*request);
                self.commit(effect.as_slice());
                let settings = &mut self.model.settings;
                settings.update = request.update.unwrap_or(settings.update);
                settings.retry = request.retry.unwrap_or(settings.retry);
            }
            Op::Import(members) => self.import(clock, members),
            Op::Tick => {
                let effect = self.board.advance(clock.now, 3);
                if effect.is_some() {
                    self.model.set_back(clock.now);
                }
                self.commit(effect.as_slice());
            }
            Op::Close => {
                let [closed, far] =
                    [&mut self.board, &mut self.replica].map(|b| b.close().expect("there is one"));
                self.model.check(&closed);
                assert_eq!(digest(&closed), digest(&far));
                self.model.members.clear();
            }
        }
        self.forget(clock.now);
    }

    /// The model forgets what the board forgot, which must have ended.
    fn forget(&mut self, now: Time) {
        let (ids, retry) = (&self.board.ids, self.model.settings.retry);
        self.model.ids.retain(|(id, first)| {
            let recorded = ids.as_ref().and_then(|ids| ids.recorded(id));
            assert!(
                recorded.is_some() || *first + retry <= now,
                "forgotten too early"
            );
            recorded.is_some()
        });
        assert_eq!(self.board.ids(), self.model.ids.len());
    }

    fn check(&self) {
        self.model.check(&self.board);
        assert_eq!(digest(&self.board), digest(&self.replica));
        for entries in [1, 3, 512] {
            assert_eq!(
                digest(&stored::loaded(&self.board, entries)),
                digest(&self.board)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_board_is_what_the_rules_say(
        settings in settings(),
        ops in prop::collection::vec((0u64..4000, any::<bool>(), op()), 1..120),
    ) {
        let mut world = World {
            board: board(settings),
            replica: board(settings),
            model: Model::new(settings),
        };
        let mut us = 40_000_000;
        for (step, later, op) in ops {
            // Most steps of the clock are small, and some go back a long way.
            us = match (step, later) {
                (0..200, _) => us - 20_000,
                (_, true) => us + step,
                (_, false) => us,
            };
            world.run(at(us), &op);
            world.model.check(&world.board);
        }
        world.check();
    }
}

/// Many members, so that the tree has several levels, with few different rows.
#[test]
fn large_boards_keep_ranks_of_every_kind() {
    for ties in [Ties::Earliest, Ties::Latest, Ties::Member] {
        let mut settings = Settings::default();
        settings.ties = ties;
        let mut world = World {
            board: board(settings),
            replica: board(settings),
            model: Model::new(settings),
        };
        let mut random = modq_testkit::random::Random::new(7);
        for step in 0..20_000u64 {
            let name = format!("m{}", random.below(4000));
            let score = random.below(60) as i64 - 30;
            if random.below(5) == 0 {
                world.remove(name.as_bytes(), None);
                continue;
            }
            // Far away, or a step or none from where it is.
            let (update, score) = match random.below(2) {
                0 => (Update::Last, score),
                _ => (Update::Sum, score % 2),
            };
            let request = Add {
                update: Some(update),
                ..plain(name.as_bytes(), &[score])
            };
            let clock = at(step);
            let (added, record) =
                add_recorded(&mut world.board, clock, &request).expect("not refused");
            apply_record(&mut world.replica, &record);
            if added.changed {
                world.model.last_stamp = clock.us.max(world.model.last_stamp + 1);
                let row = (added.row.to_vec(), world.model.last_stamp);
                world.model.members.insert(name.into_bytes(), row);
            }
        }
        let sorted = world.model.sorted();
        let (mut standard, mut dense) = (0, 0);
        for (i, standing) in sorted.iter().enumerate() {
            if i == 0 || sorted[i - 1].1 != standing.1 {
                standard = i as u64 + 1;
                dense += 1;
            }
            let rank = |ranking| world.board.get(&standing.0, ranking).expect("there").rank;
            assert_eq!(rank(Ranking::Ordinal), i as u64 + 1);
            assert_eq!(rank(Ranking::Standard), standard);
            assert_eq!(rank(Ranking::Dense), dense);
        }
        assert!(dense > 50 && world.board.len() > 2000);
        assert_eq!(digest(&world.board), digest(&world.replica));
    }
}
