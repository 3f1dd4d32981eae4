//! Fifty people at once on two queues: submitting, claiming in every way, voting, joining, dying and letting locks run
//! out, at random. Afterwards every item is accounted for, and what the clients saw is judged by tokens and deadlines.

use modq_testkit::queue::*;
use modq_testkit::*;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PEOPLE: usize = 50;
/// What each of them does: about 20 s of it, and longer where the machine has other things to do.
const ACTIONS: usize = 900;
const QUEUES: [&str; 2] = ["q", "r"];

/// One delivery of a lock to one client. Times are Unix ms: server and clients have one clock.
#[derive(Clone)]
struct Hold {
    item: usize,
    token: i64,
    moderator: String,
    deliveries: i64,
    from: i64,
    until: i64,
}

/// A submit and when it happened for certain: not before, not after.
struct Submitted {
    item: usize,
    queue: usize,
    priority: usize,
    /// Open to everyone, so that nothing but order decides who is given it first and when.
    plain: bool,
    /// How many equal verdicts end it, out of at most how many.
    quorum: (usize, usize),
    sent: Instant,
    /// None if the client died before the answer.
    answered: Option<Instant>,
}

/// A RESOLVE that counted, or may have.
#[derive(Debug)]
struct Vote {
    item: usize,
    token: i64,
    moderator: String,
    verdict: &'static str,
    /// OK, VOTED or SPLIT; none if the client died before it knew.
    answer: Option<String>,
}

#[derive(Default)]
struct Seen {
    submitted: Vec<Submitted>,
    holds: Vec<Hold>,
    votes: Vec<Vote>,
    /// Items and tokens.
    resolved: Vec<(usize, i64)>,
    cancelled: Vec<usize>,
    /// The client died before it knew.
    perhaps_gone: Vec<usize>,
    deaths: usize,
}

impl Seen {
    fn add(&mut self, other: Seen) {
        self.submitted.extend(other.submitted);
        self.holds.extend(other.holds);
        self.votes.extend(other.votes);
        self.resolved.extend(other.resolved);
        self.cancelled.extend(other.cancelled);
        self.perhaps_gone.extend(other.perhaps_gone);
        self.deaths += other.deaths;
    }
}

/// Whether this is no name under which two connections work, of which one may be done with an item first.
fn alone(who: &str) -> bool {
    who.starts_with('j') || who.len() > 4
}

struct Person<'a> {
    server: &'a Server,
    me: usize,
    random: Random,
    c: Client,
    next_item: &'a AtomicUsize,
    seen: Seen,
}

impl Person<'_> {
    /// Sends a command, and now and then dies: at once, or a little later. Answers none then.
    fn risky(&mut self, line: &str) -> Option<Value> {
        if !self.random.once_in(12) {
            return Some(self.c.line(line));
        }
        self.c.send(&line.split(' ').collect::<Vec<_>>());
        if self.random.once_in(2) {
            let later = Duration::from_millis(1 + self.random.below(20) as u64);
            // An answer that comes first is thrown away with the connection.
            let _ = self.c.poll(later);
        }
        self.seen.deaths += 1;
        self.c = self.server.client();
        None
    }

    fn live(&mut self) {
        for _ in 0..ACTIONS {
            match self.random.below(10) {
                0..=2 => self.submit(),
                3 => self.join(),
                4 => self.cancel(),
                _ => self.claim(),
            }
            // Thinking: what keeps fifty people from being as busy as a benchmark.
            std::thread::sleep(Duration::from_millis(self.random.below(30) as u64));
        }
    }

    fn submit(&mut self) {
        let item = self.next_item.fetch_add(1, Relaxed);
        let queue = self.random.below(2);
        let priority = self.random.below(3);
        let more = *self
            .random
            .pick(&["", "", "", " TAGS 1 t", " EXCLUDE 1 m7", " DELAY 40"]);
        let quorum = *self.random.pick(&[(1, 1), (1, 1), (2, 3)]);
        let sent = Instant::now();
        let line = format!(
            "MODQ.SUBMIT {} {item} p PRIORITY {priority}{more} QUORUM {} {}",
            QUEUES[queue], quorum.0, quorum.1
        );
        let reply = self.risky(&line);
        if let Some(reply) = &reply {
            assert!(matches!(reply, Value::Simple(_)), "{reply:?}");
        }
        self.seen.submitted.push(Submitted {
            item,
            queue,
            priority,
            plain: more.is_empty(),
            quorum,
            sent,
            answered: reply.map(|_| Instant::now()),
        });
    }

    /// Of an item that may be anywhere.
    fn cancel(&mut self) {
        let item = self.random.below(self.next_item.load(Relaxed) + 1);
        let queue = *self.random.pick(&QUEUES);
        if self.c.line(&format!("MODQ.CANCEL {queue} {item}")) == Value::Int(1) {
            self.seen.cancelled.push(item);
        }
    }

    fn join(&mut self) {
        let queue = *self.random.pick(&QUEUES);
        let who = format!("j{}", self.me);
        if self
            .risky(&format!("MODQ.JOIN {queue} {who} TTL 300 TAGS 1 t"))
            .is_none()
        {
            return;
        }
        for _ in 0..3 {
            let lock = self
                .c
                .line(&format!("MODQ.CLAIM {queue} {who} LOCK 400 BLOCK 10"));
            if self.work_on(queue, &who, &lock) {
                return;
            }
        }
    }

    fn claim(&mut self) {
        let lock = *self.random.pick(&[15, 40, 200, 2000]);
        // Some people have two connections.
        let shared = self.random.once_in(6);
        let who = format!("m{}", if shared { self.me / 2 } else { self.me + 1000 });
        let block = match self.random.below(4) {
            0 => String::new(),
            _ => format!(" BLOCK {}", 1 + self.random.below(80)),
        };
        let tags = if self.random.once_in(2) {
            " TAGS 1 t"
        } else {
            ""
        };
        let new = if shared && self.random.once_in(2) {
            ""
        } else {
            " NEW"
        };
        let options = format!("{who} LOCK {lock}{block}{tags}{new}");
        if self.random.once_in(3) {
            let keys = *self.random.pick(&["q r", "r q"]);
            let Some(reply) = self.risky(&format!("MODQ.MCLAIM 2 {keys} {options}")) else {
                return;
            };
            if !reply.is_null() {
                let queue = reply[0].text();
                self.work_on(&queue, &who, &reply[1]);
            }
        } else {
            let queue = *self.random.pick(&QUEUES);
            if let Some(reply) = self.risky(&format!("MODQ.CLAIM {queue} {options}")) {
                self.work_on(queue, &who, &reply);
            }
        }
    }

    /// Sends a verdict on what is held until `deadline`.
    fn decide(&mut self, queue: &str, who: &str, got: &Claimed, deadline: i64) {
        let (item, token) = (got.id().parse().unwrap(), got.token);
        let verdict = *self.random.pick(&["keep", "remove", "escalate"]);
        let line = format!("MODQ.RESOLVE {queue} {item} {token} VERDICT {verdict}");
        let answer = match self.risky(&line) {
            None => {
                self.seen.perhaps_gone.push(item);
                None
            }
            Some(Value::Simple(answer)) => {
                if answer == "OK" {
                    self.seen.resolved.push((item, token));
                }
                Some(answer)
            }
            Some(reply) => {
                let late = deadline <= now_ms();
                let gone = reply.err_code();
                assert!(late || !alone(who) || gone == "NOITEM", "{reply:?}");
                return;
            }
        };
        self.seen.votes.push(Vote {
            item,
            token,
            moderator: who.into(),
            verdict,
            answer,
        });
    }

    /// Does something with what CLAIM answered, if it is anything.
    fn work_on(&mut self, queue: &str, who: &str, reply: &Value) -> bool {
        let from = now_ms();
        let Some(got) = claims(reply).pop() else {
            return false;
        };
        let item: usize = got.id().parse().unwrap();
        let mut deadline = got.deadline;
        if self.random.once_in(3) {
            std::thread::sleep(Duration::from_millis(self.random.below(60) as u64));
        }
        if self.random.once_in(5) {
            let reply = cmd!(self.c, "MODQ.EXTEND", queue, got.item, got.token, 100);
            if let Value::Int(extended) = reply {
                deadline = extended;
            }
        }
        let sent = now_ms();
        let mut until = sent;
        match self.random.below(6) {
            0 => until = deadline,
            1 => {
                let how = *self.random.pick(&["", " SKIP", " DELAY 30"]);
                let line = format!("MODQ.RELEASE {queue} {item} {}{how}", got.token);
                if let Some(reply) = self.risky(&line) {
                    let late = deadline <= now_ms();
                    let gone = reply.err_code();
                    assert!(
                        reply == ok() || late || !alone(who) || gone == "NOITEM",
                        "{reply:?}"
                    );
                }
            }
            _ => self.decide(queue, who, &got, deadline),
        }
        self.seen.holds.push(Hold {
            item,
            token: got.token,
            moderator: who.into(),
            deliveries: got.deliveries,
            from,
            until: until.min(deadline),
        });
        true
    }
}

/// What a verdict does to an item that needs `k` equal ones out of at most `n`, after these.
fn outcome(before: &[&str], split: bool, verdict: &str, (k, n): (usize, usize)) -> &'static str {
    let all = [before, &[verdict]].concat();
    let count = |verdict| all.iter().filter(|v| **v == verdict).count();
    let most = all.iter().copied().map(count).max().unwrap_or(0);
    if split || count(verdict) >= k {
        "OK"
    } else if most + n - all.len() < k {
        "SPLIT"
    } else {
        "VOTED"
    }
}

/// Whether the votes were answered as the quorum has it, and nobody was given the item after their vote, if of the votes
/// without an answer those counted that are in `counted`. Votes and holds are of one item, by token.
fn explained(quorum: (usize, usize), votes: &[&Vote], holds: &[&Hold], counted: &[&Vote]) -> bool {
    let (mut verdicts, mut split) = (Vec::new(), false);
    let mut last: Option<(&Vote, &str)> = None;
    for vote in votes {
        if vote.answer.is_none() && !counted.iter().any(|v| std::ptr::eq(*v, *vote)) {
            continue;
        }
        let same = last.filter(|(before, _)| before.token == vote.token);
        let said = match (same, last) {
            // Sent by both connections of one person: one vote, answered as it was.
            (Some((before, said)), _) if before.verdict == vote.verdict => said,
            (Some(_), _) | (None, Some((_, "OK"))) => return false,
            (None, _) => outcome(&verdicts, split, vote.verdict, quorum),
        };
        let given_again = |h: &&Hold| h.moderator == vote.moderator && h.token > vote.token;
        let otherwise = vote.answer.as_ref().is_some_and(|answer| answer != said);
        if otherwise || holds.iter().any(given_again) {
            return false;
        }
        if same.is_none() {
            verdicts.push(vote.verdict);
        }
        split |= said == "SPLIT";
        last = Some((vote, said));
    }
    true
}

/// Every item that ended had as many equal verdicts as it needed, or one after a split; none that had them went on; and
/// nobody held what they had voted on. Where clients died before they knew, there is a way in which it can have been.
fn judge_votes(seen: &Seen) {
    let mut votes: HashMap<usize, Vec<&Vote>> = HashMap::new();
    for vote in &seen.votes {
        votes.entry(vote.item).or_default().push(vote);
    }
    let mut holds: HashMap<usize, Vec<&Hold>> = HashMap::new();
    for hold in &seen.holds {
        holds.entry(hold.item).or_default().push(hold);
    }
    let quorums: HashMap<usize, (usize, usize)> =
        seen.submitted.iter().map(|s| (s.item, s.quorum)).collect();
    let (mut agreed, mut after_split) = (0, 0);
    for (item, votes) in &mut votes {
        // Of one token, those whose answer is not known first: what was answered may be an answer to them.
        votes.sort_by_key(|vote| (vote.token, vote.answer.is_some()));
        let unsure: Vec<&Vote> = votes
            .iter()
            .filter(|v| v.answer.is_none())
            .copied()
            .collect();
        let explained = (0..1usize << unsure.len()).any(|way| {
            let counts = |i: &usize| way & 1 << i != 0;
            let counted: Vec<&Vote> = (0..unsure.len())
                .filter(counts)
                .map(|i| unsure[i])
                .collect();
            explained(quorums[item], votes, &holds[item], &counted)
        });
        assert!(explained, "{item} of {:?}: {votes:?}", quorums[item]);
        let was = |answer: &str| votes.iter().any(|v| v.answer.as_deref() == Some(answer));
        if quorums[item].0 > 1 && was("OK") {
            agreed += usize::from(!was("SPLIT"));
            after_split += usize::from(was("SPLIT"));
        }
    }
    assert!(agreed > 100 && after_split > 10, "{agreed} {after_split}");
}

/// Nobody had an item while another had it, and later locks have larger tokens; the last lock is the one that decided.
fn judge_locks(seen: &Seen) {
    let mut by_item: HashMap<usize, Vec<&Hold>> = HashMap::new();
    for hold in &seen.holds {
        by_item.entry(hold.item).or_default().push(hold);
    }
    let mut again = 0;
    for (item, holds) in &mut by_item {
        holds.sort_by_key(|hold| (hold.token, hold.from));
        for pair in holds.windows(2) {
            let [first, second] = pair else {
                unreachable!()
            };
            if first.token == second.token {
                assert_eq!(
                    first.moderator, second.moderator,
                    "{item}: one token, two people"
                );
                continue;
            }
            again += 1;
            assert!(first.deliveries < second.deliveries, "{item}");
            // What was over at once, or is a lock seen twice, says nothing.
            let same = |hold: &&&Hold| hold.token == first.token;
            let until = holds.iter().filter(same).map(|hold| hold.until).min();
            let lived = first.from < first.until && second.from < second.until;
            assert!(
                !lived || until.unwrap() <= second.from,
                "{item}: with two people at once"
            );
        }
    }
    assert!(again > 100, "items did come back: {again}");
    for (item, token) in &seen.resolved {
        let last = by_item[item].last().expect("was held").token;
        assert_eq!(
            *token, last,
            "{item}: decided by another than the last lock"
        );
    }
}

/// Of two items open to everyone in one queue and of one priority, the one that was there before the other was sent was
/// given first. Where a client died between match and answer, the item it was given counts as given later.
fn judge_order(seen: &Seen) {
    let mut first: HashMap<usize, i64> = HashMap::new();
    for hold in seen.holds.iter().filter(|hold| hold.deliveries == 1) {
        first.insert(hold.item, hold.token);
    }
    let (mut overtaken, mut judged) = (0, 0);
    for queue in 0..QUEUES.len() {
        for priority in 0..3 {
            let of_one = |s: &&Submitted| s.plain && (s.queue, s.priority) == (queue, priority);
            let all: Vec<(Instant, Option<Instant>, i64)> = seen
                .submitted
                .iter()
                .filter(of_one)
                .filter_map(|s| Some((s.sent, s.answered, *first.get(&s.item)?)))
                .collect();
            for (_, answered, token) in &all {
                let Some(answered) = answered else {
                    continue;
                };
                let later = |(sent, _, _): &&(Instant, Option<Instant>, i64)| sent > answered;
                judged += 1;
                overtaken += usize::from(all.iter().filter(later).any(|(_, _, t)| t < token));
            }
        }
    }
    assert!(judged > 300, "{judged}");
    assert!(
        overtaken <= seen.deaths / 4,
        "{overtaken} of {judged} overtaken, {} deaths",
        seen.deaths
    );
}

/// Every item is where it must be: decided, cancelled, or still in its queue.
fn judge_items(c: &mut Client, seen: &Seen) {
    let resolved: HashSet<usize> = seen.resolved.iter().map(|(item, _)| *item).collect();
    assert_eq!(resolved.len(), seen.resolved.len(), "resolved once each");
    let cancelled: HashSet<usize> = seen.cancelled.iter().copied().collect();
    assert_eq!(cancelled.len(), seen.cancelled.len(), "cancelled once each");
    assert!(resolved.is_disjoint(&cancelled));
    let perhaps: HashSet<usize> = seen.perhaps_gone.iter().copied().collect();
    let mut totals = HashMap::<&str, i64>::new();
    for (queue, key) in QUEUES.iter().enumerate() {
        let [ready, ..] = counts(c, key);
        let mut there = HashSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let page = c.line(&format!("MODQ.LIST {key} READY CURSOR {cursor} COUNT 1000"));
            for row in page[1].items() {
                assert!(there.insert(row[0].text().parse::<usize>().unwrap()));
            }
            cursor = page[0].text();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(there.len() as i64, ready);
        for s in seen.submitted.iter().filter(|s| s.queue == queue) {
            let ways = [
                resolved.contains(&s.item),
                cancelled.contains(&s.item),
                there.contains(&s.item),
            ];
            let ways = ways.iter().filter(|way| **way).count();
            let unsure = s.answered.is_none() || perhaps.contains(&s.item);
            assert!(
                ways == 1 || ways == 0 && unsure,
                "{} is in {ways} places",
                s.item
            );
        }
        let stats = c.line(&format!("MODQ.STATS {key}"));
        let number = |name: &str| stats.field(name).int();
        assert_eq!(
            number("submitted"),
            number("resolved") + number("cancelled") + ready
        );
        for name in ["submitted", "resolved", "cancelled"] {
            *totals.entry(name).or_default() += number(name);
        }
    }
    let answered = seen
        .submitted
        .iter()
        .filter(|s| s.answered.is_some())
        .count() as i64;
    let all = seen.submitted.len() as i64;
    assert!((answered..=all).contains(&totals["submitted"]));
    let sure = resolved.len() as i64;
    assert!((sure..=sure + perhaps.len() as i64).contains(&totals["resolved"]));
    assert_eq!(totals["cancelled"], cancelled.len() as i64);
}

/// What is left comes in order: by priority, then by age.
fn judge_the_rest(c: &mut Client, key: &str) {
    let mut last = (0, 0);
    loop {
        let reply = c.line(&format!(
            "MODQ.CLAIM {key} drain NEW COUNT 1000 LOCK 600000 TAGS 1 t"
        ));
        if reply.is_null() {
            break;
        }
        for got in claims(&reply) {
            let place = (-got.priority, got.submitted);
            assert!(last == (0, 0) || last <= place, "{last:?} {place:?}");
            last = place;
        }
    }
    assert_eq!(len(c, &format!("{key} READY")), 0);
}

fn fifty_people_at_once(kind: Kind) {
    let server = Server::start(kind);
    let replica = Server::builder(kind).replica_of(&server).start();
    wait_replica_synced(&server, &replica);
    let mut c = server.client();
    for key in QUEUES {
        c.expect_ok(&format!(
            "MODQ.CONFIGURE {key} MAXEXPIRIES 0 LOCK 300 SPLITTAG t"
        ));
    }
    let next_item = AtomicUsize::new(0);
    let seen = Mutex::new(Seen::default());
    std::thread::scope(|scope| {
        for me in 0..PEOPLE {
            let (server, next_item, seen) = (&server, &next_item, &seen);
            scope.spawn(move || {
                let mut person = Person {
                    server,
                    me,
                    random: Random::new(me as u64 + 1),
                    c: server.client(),
                    next_item,
                    seen: Seen::default(),
                };
                person.live();
                seen.lock().unwrap().add(person.seen);
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    let n = (seen.submitted.len(), seen.resolved.len(), seen.deaths);
    assert!(n.0 > 1500 && n.1 > 500 && n.2 > 200, "{n:?}");
    // All locks run out and all delays come due; who died or was joined is out of line.
    wait_until("everything is back and nobody waits", PATIENCE, || {
        QUEUES.iter().all(|key| {
            let [_, locked, delayed, dead] = counts(&mut c, key);
            assert_eq!(dead, 0);
            (locked, delayed) == (0, 0) && line_of(&mut c, key).is_empty()
        })
    });
    judge_locks(&seen);
    judge_votes(&seen);
    judge_order(&seen);
    judge_items(&mut c, &seen);
    wait_replica_synced(&server, &replica);
    let mut down = replica.client();
    for key in QUEUES {
        assert_eq!(digest(&mut c, key), digest(&mut down, key));
        judge_the_rest(&mut c, key);
    }
}

matrix!(fifty_people_at_once);
