//! What each structure of a key takes from the allocator, against what the key says it takes: within a
//! tenth. A test binary for each allocator runs these, on one that counts in its sizes.

use super::ALLOCATOR;
use modq_core::board::{self, Board};
use modq_core::limiter::{
    Acquire, Algo, Leases, LimitSpec, Limiter, Outcome as Leased, Request as Check,
};
use modq_core::memory::{Allocator, follow};
use modq_core::queue::{
    Block, CallId, Cancel, Claim, Configure, Forget, Gate, Join, Now, Outcome, Queue, Release,
    Request, Resolve, State, Submit,
};
use modq_core::units::{Millis, Time, Token};
use modq_testkit::counting;
use serde_bytes::Bytes;

const N: usize = 20_000;
const T0: u64 = 1_700_000_000_000;

fn now(ms: u64) -> Now {
    Now {
        time: Time(T0 + ms),
        token_floor: Token((T0 + ms) * 1000),
    }
}

fn run<R: Request>(queue: &mut Queue, ms: u64, request: R) -> R::Reply {
    let mut out = Outcome::default();
    let reply = queue.handle(now(ms), Gate::Open, request, &mut out);
    reply.expect("not refused")
}

fn names(names: &[String]) -> Vec<&Bytes> {
    names.iter().map(|n| Bytes::new(n.as_bytes())).collect()
}

/// An item that nobody of `excluded` may have.
fn submit(queue: &mut Queue, i: usize, tags: &[String], excluded: &[String]) {
    let id = format!("item{i}");
    let submit = Submit {
        id: id.as_bytes(),
        payload: b"payload",
        tags: (!tags.is_empty()).then(|| names(tags)),
        excluded: (!excluded.is_empty()).then(|| names(excluded)),
        ..Submit::default()
    };
    run(queue, 0, submit);
}

fn claim(queue: &mut Queue, moderator: &str, count: usize, lock: u64) -> Vec<(Vec<u8>, Token)> {
    let claim = Claim {
        moderator: moderator.as_bytes(),
        count,
        lock: Some(Millis(lock)),
        tags: None,
        new_only: true,
        with_group: false,
    };
    let slots = run(queue, 1, &claim);
    let claims = slots.iter().map(|slot| {
        let view = queue.claimed_view(slot);
        (view.item.to_vec(), view.token)
    });
    claims.collect()
}

fn join(queue: &mut Queue, moderator: &str, tags: &[String]) {
    let join = Join {
        moderator: moderator.as_bytes(),
        ttl: Some(Millis(1 << 30)),
        count: None,
        tags: Some(names(tags)),
    };
    run(queue, 0, &join);
}

fn block(queue: &mut Queue, call: usize, moderator: &str, tags: &[String]) {
    queue.block(&Block {
        call: CallId(call as u64),
        moderator: moderator.as_bytes(),
        tags: Some(names(tags)),
        new_only: false,
        lock: None,
        place: queue.end_of_line(Time(T0)),
    });
}

/// Does what is due by the clock until nothing is.
fn catch_up(queue: &mut Queue, ms: u64) {
    let mut out = Outcome::default();
    while queue.advance(now(ms), Gate::Open, 1000, &mut out) > 0 {
        out = Outcome::default();
    }
}

/// The bytes in use. Before the first are looked at, the core is told how they are counted.
fn live() -> isize {
    follow(ALLOCATOR);
    counting::live()
}

/// What is said to be taken must be what is.
fn check(what: &str, said: usize, taken: isize) {
    let ratio = said as f64 / taken as f64;
    println!("{what}: {said} said, {taken} taken, {ratio:.3}");
    assert!(taken > 1 << 19, "{what}: enough to tell");
    assert!((0.9..1.1).contains(&ratio), "{what}: {ratio:.3}");
}

/// Measures a queue before and after `fill`, and that it gives all back that it counted.
fn measure(what: &str, prepare: impl FnOnce(&mut Queue), fill: impl FnOnce(&mut Queue)) {
    follow(ALLOCATOR);
    let mut queue = Queue::default();
    prepare(&mut queue);
    let (said, taken) = (queue.memory_bytes(), live());
    fill(&mut queue);
    check(what, queue.memory_bytes() - said, live() - taken);
}

fn items(queue: &mut Queue) {
    (0..N).for_each(|i| submit(queue, i, &[], &[]));
}

#[test]
fn items_in_every_state() {
    measure("ready", |_| (), items);
    measure(
        "delayed",
        |_| (),
        |queue| {
            for i in 0..N {
                let id = format!("item{i}");
                let submit = Submit {
                    id: id.as_bytes(),
                    delay: Millis(1000 + i as u64),
                    ..Submit::default()
                };
                run(queue, 0, submit);
            }
        },
    );
    let lock_all = |queue: &mut Queue| {
        for i in 0..N {
            claim(
                queue,
                &format!("a moderator with a long name {}", i % 500),
                1,
                1000,
            );
        }
    };
    measure("locked", items, lock_all);
    measure(
        "locked with items",
        |_| (),
        |queue| {
            items(queue);
            lock_all(queue);
        },
    );
    for (what, most) in [("expired", 0), ("dead", 1)] {
        let prepare = |queue: &mut Queue| {
            let max_expiries = Some(most);
            run(
                queue,
                0,
                Configure {
                    max_expiries,
                    ..Configure::default()
                },
            );
        };
        measure(what, prepare, |queue| {
            items(queue);
            lock_all(queue);
            catch_up(queue, 2000);
            assert_eq!(queue.len_in(State::Locked), 0);
        });
    }
    measure(
        "priorities",
        |_| (),
        |queue| {
            for i in 0..N {
                let id = format!("item{i}");
                let submit = Submit {
                    id: id.as_bytes(),
                    priority: Some((i * 7919 % N) as i32),
                    ..Submit::default()
                };
                run(queue, 0, submit);
            }
        },
    );
}

#[test]
fn tags() {
    measure(
        "a tag combination each",
        |_| (),
        |queue| {
            for i in 0..N {
                submit(queue, i, &[format!("the tag {i}"), "common".into()], &[]);
            }
        },
    );
    measure(
        "few tags, many combinations",
        |_| (),
        |queue| {
            for i in 0..N {
                let tags = [i % 30, 30 + i / 30 % 30, 60 + i / 900].map(|t| format!("tag{t}"));
                submit(queue, i, &tags, &[]);
            }
        },
    );
}

#[test]
fn exclusions() {
    measure(
        "by many, of one each",
        |_| (),
        |queue| {
            for i in 0..N {
                submit(queue, i, &[], &[format!("moderator{i}")]);
            }
        },
    );
    measure("by some, of many", items, |queue| {
        for i in 0..N / 10 {
            let excluded: Vec<String> =
                (0..50).map(|j| format!("m{}", (i * 7 + j) % 300)).collect();
            submit(queue, N + i, &[format!("tag{}", i % 5)], &excluded);
        }
    });
    measure(
        "of one item, by all",
        |_| (),
        |queue| {
            for i in 0..N / 1000 {
                let excluded: Vec<String> = (0..1000).map(|j| format!("m{i}:{j}")).collect();
                submit(queue, i, &[], &excluded);
            }
        },
    );
    measure("skipped", items, |queue| {
        for i in 0..N {
            let [(id, token)] = &claim(queue, &format!("m{}", i % 100), 1, 1000)[..] else {
                panic!("there is one");
            };
            let release = Release {
                id,
                token: *token,
                skip: true,
                delay: Millis(0),
            };
            run(queue, 1, release);
        }
    });
}

/// Items of which each is in the group that `group` names.
fn grouped(queue: &mut Queue, group: impl Fn(usize) -> String) {
    for i in 0..N {
        let (id, group) = (format!("item{i}"), group(i));
        let submit = Submit {
            id: id.as_bytes(),
            payload: b"payload",
            group: Some(group.as_bytes()).filter(|group| !group.is_empty()),
            ..Submit::default()
        };
        run(queue, 0, submit);
    }
}

/// Bytes for each item, as they are said and as they are taken.
fn bytes_each(fill: impl FnOnce(&mut Queue)) -> [f64; 2] {
    follow(ALLOCATOR);
    let mut queue = Queue::default();
    let (said, taken) = (queue.memory_bytes(), live());
    fill(&mut queue);
    let (said, taken) = (queue.memory_bytes() - said, live() - taken);
    [said as f64, taken as f64].map(|bytes| bytes / N as f64)
}

/// Groups take at most 48 bytes for an item, and once for each group its name: what that is long, 16 bytes to
/// know where it is, and up to 10 to find it by.
#[test]
fn groups() {
    let plain = bytes_each(|queue| grouped(queue, |_| String::new()));
    for size in [1, 2, 10, 100, N] {
        // In a class of the allocator, so that the name takes what it is long.
        let name = |i: usize| format!("{:032}", i * 7919 % N / size);
        let fill = |queue: &mut Queue| grouped(queue, name);
        measure(&format!("groups of {size}"), |_| (), fill);
        let names = (32.0 + 26.0) / size as f64;
        let with = bytes_each(fill);
        let more = [0, 1].map(|i| with[i] - plain[i] - names);
        println!("groups of {size}: {more:?} bytes more for each item");
        // Another allocator may round otherwise.
        let holds = more.iter().all(|more| *more <= 48.0);
        assert!(
            holds || ALLOCATOR != Allocator::Jemalloc,
            "{size}: {more:?}"
        );
    }
    measure(
        "what is left of a group",
        |_| (),
        |queue| {
            grouped(queue, |i| format!("author {}", i / 10));
            for i in (0..N).filter(|i| i % 3 > 0) {
                let id = format!("item{i}");
                let cancel = Cancel {
                    id: id.as_bytes(),
                    ..Cancel::default()
                };
                run(queue, 2, cancel);
            }
        },
    );
}

#[test]
fn moderators() {
    measure(
        "joined",
        |_| (),
        |queue| {
            (0..N).for_each(|i| join(queue, &format!("m{i}"), &[]));
        },
    );
    measure(
        "joined, with long names and tags",
        |_| (),
        |queue| {
            for i in 0..N {
                let name = format!("{i:0>60}");
                join(
                    queue,
                    &name,
                    &[format!("tag{i}"), format!("other{}", i % 10)],
                );
            }
        },
    );
    measure("with a lock each", items, |queue| {
        (0..N).for_each(|i| drop(claim(queue, &format!("m{i}"), 1, 1000)));
    });
    measure("with some locks each", items, |queue| {
        (0..N / 5).for_each(|i| drop(claim(queue, &format!("m{i}"), 5, 1000)));
    });
    measure("one with all locks", items, |queue| {
        (0..N / 1000).for_each(|_| drop(claim(queue, "m", 1000, 1000)));
    });
    measure(
        "blocked",
        |_| (),
        |queue| {
            (0..N).for_each(|i| block(queue, i, &format!("m{i}"), &["tag".into()]));
        },
    );
    measure(
        "blocked, many offers each",
        |_| (),
        |queue| {
            for i in 0..N {
                let tags = [format!("tag{}", i % 7), format!("tag{}", 7 + i % 11)];
                block(queue, i, &format!("m{}", i % 2000), &tags);
            }
        },
    );
}

/// What comes and goes leaves neither bytes taken nor bytes said.
#[test]
fn what_goes_is_not_counted() {
    let (before, mut queue) = (live(), Queue::default());
    let empty = queue.memory_bytes();
    for i in 0..N {
        let excluded = [format!("a moderator with a long name {}", i % 50)];
        submit(&mut queue, i, &[format!("tag{i}")], &excluded);
        block(&mut queue, i, &format!("m{i}"), &["none".into()]);
    }
    assert!(queue.memory_bytes() > empty + (4 << 20));
    for i in 0..N {
        let id = format!("item{i}");
        let cancel = Cancel {
            id: id.as_bytes(),
            ..Cancel::default()
        };
        assert!(run(&mut queue, 1, cancel));
        assert!(queue.unblock(Time(T0), CallId(i as u64), format!("m{i}").as_bytes()));
    }
    let (said, kept) = (queue.memory_bytes() - empty, live() - before);
    println!("{said} said, {kept} kept");
    assert!(kept < 1 << 17 && said < 1 << 17);
}

/// A queue that remembers all that is decided.
fn remember(queue: &mut Queue) {
    let retain = Configure {
        retain: Some(Millis(1 << 30)),
        retain_max: Some(0),
        ..Configure::default()
    };
    run(queue, 0, retain);
}

/// Has an item decided that was not there before.
fn decide(queue: &mut Queue, i: usize, moderator: &str) {
    submit(queue, i, &[], &[]);
    let [(id, token)] = &claim(queue, moderator, 1, 1000)[..] else {
        panic!("there is one");
    };
    let resolve = Resolve {
        id,
        token: *token,
        verdict: Some(b"remove"),
        ..Resolve::default()
    };
    run(queue, 1, resolve);
}

#[test]
fn records_of_decided_items() {
    let moderator = |i: usize| format!("moderator{}", i % 50);
    measure("records", remember, |queue| {
        (0..N).for_each(|i| decide(queue, i, &moderator(i)));
    });
    // At most 96 bytes beyond id, verdict and names, however many there are.
    follow(ALLOCATOR);
    let mut queue = Queue::default();
    remember(&mut queue);
    decide(&mut queue, 0, &moderator(0));
    let (said, taken) = (queue.memory_bytes(), live());
    let (mut content, mut most) = (0, 0.0_f64);
    for i in 1..5 * N {
        content += format!("item{i}").len() + "remove".len() + moderator(i).len();
        decide(&mut queue, i, &moderator(i));
        if i % 1000 == 0 {
            let beyond = |bytes: usize| (bytes as f64 - content as f64) / i as f64;
            let bytes = (live() - taken) as usize;
            most = most
                .max(beyond(queue.memory_bytes() - said))
                .max(beyond(bytes));
        }
    }
    println!("at most {most} bytes a record");
    assert!(most <= 96.0, "{most} bytes");
    // And they give back what they took.
    for i in 0..5 * N {
        let id = format!("item{i}");
        let forget = Forget {
            ids: &[id.as_bytes()],
            by: None,
        };
        assert_eq!(run(&mut queue, 2, forget), 1);
    }
    assert!(queue.memory_bytes() < said + (1 << 17));
    assert!(live() < taken + (1 << 17));
}

#[test]
fn it_is_freed_in_the_background_whatever_it_holds() {
    let mut queue = Queue::default();
    assert!(queue.free_effort() < 64, "little is freed at once");
    (0..2000).for_each(|i| join(&mut queue, &format!("m{i}"), &[]));
    assert!(queue.free_effort() > 500);
}

fn spec(algo: Algo, window: u64) -> LimitSpec {
    LimitSpec::new(1 << 40, Millis(window), algo, None).expect("a limit")
}

/// Charges `N` requests, at `every` ms, of these ids.
fn charges(what: &str, limits: &[LimitSpec], every: u64, id: impl Fn(usize) -> Option<String>) {
    let taken = live();
    let mut limiter = Limiter::default();
    let empty = limiter.memory_bytes();
    for i in 0..N {
        let id = id(i);
        let request = Check {
            limits,
            cost: 1 + i as u64 % 200,
            partial: false,
            id: id.as_deref().map(str::as_bytes),
        };
        let now = Time(T0 + i as u64 * every);
        let decision = limiter.check(now, &request, 1 << 30).expect("room");
        let effect = decision.effect.expect("admitted");
        limiter.apply(&effect).expect("fits");
    }
    check(what, limiter.memory_bytes() - empty, live() - taken);
}

#[test]
fn limiters() {
    let ascending = |i: usize| Some(format!("request{i:08}"));
    let scattered = |i: usize| {
        Some(format!(
            "{:016x}",
            (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ))
    };
    let hour = [spec(Algo::Gcra, 3_600_000)];
    charges("ids", &hour, 1, ascending);
    charges("scattered ids", &hour, 1, scattered);
    let several = [
        spec(Algo::Gcra, 3_600_000),
        spec(Algo::Fixed, 3_600_000),
        spec(Algo::Counter, 3_600_000),
    ];
    charges("ids of several limits", &several, 1, scattered);
    charges(
        "ids that are forgotten",
        &[spec(Algo::Gcra, 10_000)],
        1,
        scattered,
    );
    let long = [spec(Algo::Log, 1 << 40)];
    charges("ids and runs", &long, 1000, ascending);
}

#[test]
fn runs_of_a_log() {
    let taken = live();
    let mut limiter = Limiter::default();
    let (limits, empty) = ([spec(Algo::Log, 1 << 40)], limiter.memory_bytes());
    for i in 0..20 * N {
        let request = Check {
            limits: &limits,
            cost: 1 + i as u64 % 9,
            partial: false,
            id: None,
        };
        let now = Time(T0 + i as u64 * 100);
        let decision = limiter.check(now, &request, 1 << 30).expect("room");
        limiter
            .apply(&decision.effect.expect("admitted"))
            .expect("fits");
    }
    check("runs", limiter.memory_bytes() - empty, live() - taken);
}

#[test]
fn leases() {
    let scattered = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (what, id) in [
        ("leases", &(|i: usize| i as u64) as &dyn Fn(usize) -> u64),
        ("scattered leases", &scattered),
    ] {
        let taken = live();
        let mut leases = Leases::default();
        let empty = leases.memory_bytes();
        for i in 0..N {
            let id = format!("{:016x}", id(i));
            let ask = Acquire {
                max: 1 << 40,
                id: id.as_bytes(),
                ttl: Millis(1 << 30),
                cost: 1,
            };
            let acquired = leases.acquire(Time(T0 + i as u64), Token(1), &ask);
            let Leased::Leased { effect, .. } = acquired.outcome else {
                panic!("there is room");
            };
            leases.apply(&effect).expect("fits");
        }
        check(what, leases.memory_bytes() - empty, live() - taken);
    }
}

/// Also names so long that those which the tree keeps as bounds take much.
#[test]
fn boards() {
    let orders: [fn(usize) -> usize; 2] = [|i| i, |i| i * 7919 % N];
    for (columns, ties) in [(1, board::Ties::Member), (4, board::Ties::Latest)] {
        for (length, order) in [8, 100, 512]
            .into_iter()
            .flat_map(|l| orders.map(|o| (l, o)))
        {
            let mut settings = board::Settings::new(columns, &[board::Order::Desc]).expect("fits");
            settings.ties = ties;
            let taken = live();
            let mut board = Board::default();
            let empty = board.memory_bytes();
            board.apply(&board::Effect::Create(settings)).expect("fits");
            for i in 0..N {
                let name = format!("{:0>length$}", order(i));
                let scores = [order(i) as i64 / 3; 4];
                add(&mut board, i, name.as_bytes(), &scores[..columns]);
            }
            let what = format!("{columns} columns, {ties:?}, names of {length}");
            check(&what, board.memory_bytes() - empty, live() - taken);
        }
    }
}

fn add(board: &mut Board, i: usize, member: &[u8], scores: &[i64]) {
    let request = board::Add {
        member,
        row: board::Row::new(scores).expect("1 to 4"),
        update: None,
        id: Some(&(i as u64).to_be_bytes()),
    };
    let clock = board::Clock {
        now: Time(T0),
        us: T0 * 1000 + i as u64,
    };
    let decision = board.add(clock, &request).expect("not refused");
    let mut record = board::Record::default();
    board.commit(&decision.effects, &mut record).expect("fits");
}
