//! The second act, a review by several: reports that need two of three, splits that go to a senior, appeals that nobody
//! is given who decided before, and a spam wave that one command closes. At the end what the clients saw and what the
//! event stream tells must both agree with these rules.

use crate::{now_us, sleep_ms, verdict};
use modq_testkit::fold::{asked, asked_decision, fields, fold_stream};
use modq_testkit::queue::claims;
use modq_testkit::{Client, Random, Value, cmd};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const QUEUE: &str = "panel";
const EVENTS: &str = "panel:events";
/// They vote on the reports.
const PANEL: [&str; 3] = ["ada", "bea", "cem"];
/// Offers the tag that a split adds.
const SENIOR: &str = "fay";
/// Comes in for the appeals: of some everybody else is a decider.
const OUTSIDER: &str = "gus";
const REPORTS: usize = 40;
/// On each so many-th report everybody thinks otherwise.
const HARD: usize = 8;
const WAVE: usize = 1000;
/// The one of the wave's author that its tag sets apart.
const SPARED: &str = "wave:threat";
/// How long a part may take before what is left counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// A verdict as its client saw it: also what the event of it must tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Given {
    item: String,
    token: i64,
    who: String,
    verdict: String,
    /// OK, VOTED or SPLIT.
    status: String,
}

/// What came of it.
pub(crate) struct Panel {
    reports: Vec<Given>,
    appeals: Vec<Given>,
    /// The verdict on the wave, and then that on the one it spared.
    wave: Vec<Given>,
    /// How long the wave's RESOLVE took.
    wave_us: u64,
    /// What was answered otherwise than it must be.
    decided_again: Vec<String>,
    appeals_leaked: Vec<String>,
    wave_missed: Vec<String>,
    events: usize,
    untold: Vec<String>,
}

/// Plays it.
pub(crate) fn play(port: u16) -> Panel {
    println!(
        "\nSecond act, a review by several: {} people, of whom two must agree on each of {REPORTS} reports; a senior; appeals; \
         a wave of {WAVE} posts.",
        PANEL.len()
    );
    let mut c = Client::connect(port);
    c.expect_ok(&format!(
        "MODQ.CONFIGURE {QUEUE} QUORUM 2 3 SPLITTAG senior RETAIN 600000 LOCK 600000 EVENTS {EVENTS} EVENTSMAXLEN 0"
    ));
    let report = |n: usize| (format!("report:{n}"), format!("is post {n} a threat?"));
    let mut reports = at_work(port, &PANEL, vote, || {
        for (item, text) in (0..REPORTS).map(report) {
            sleep_ms(2);
            cmd!(c, "MODQ.SUBMIT", QUEUE, item, text);
        }
    });
    reports.extend(at_work(port, &[SENIOR], last_word, || {}));

    let mut decided_again = Vec::new();
    for (item, text) in (0..REPORTS).map(report) {
        let reply = cmd!(c, "MODQ.SUBMIT", QUEUE, item, text);
        if reply != Value::Simple("DECIDED".into()) {
            decided_again.push(format!("{item} reported again: {reply:?}"));
        }
    }
    let appeals_leaked = appeal(&mut c, &reports);
    let everybody = [PANEL[0], PANEL[1], PANEL[2], SENIOR, OUTSIDER];
    let appeals = at_work(port, &everybody, last_word, || {});
    let mut panel = Panel {
        reports,
        appeals,
        wave: Vec::new(),
        wave_us: 0,
        decided_again,
        appeals_leaked,
        wave_missed: Vec::new(),
        events: 0,
        untold: Vec::new(),
    };
    panel.close_a_wave(&mut c);
    panel.hear_the_events(&mut c);
    panel
}

/// Lets these people work until nothing is left that they can be given, while `submit` brings it in.
fn at_work(
    port: u16,
    people: &[&str],
    opinion: fn(&str, usize) -> &'static str,
    submit: impl FnOnce(),
) -> Vec<Given> {
    let all_in = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let all_in = &all_in;
        let work = |&who: &&str| {
            let who = who.to_owned();
            scope.spawn(move || works(port, &who, opinion, all_in))
        };
        let people: Vec<_> = people.iter().map(work).collect();
        submit();
        all_in.store(true, Ordering::Relaxed);
        let given = people.into_iter().map(|one| one.join());
        given
            .flat_map(|given| given.expect("a moderator"))
            .collect()
    })
}

fn works(
    port: u16,
    who: &str,
    opinion: fn(&str, usize) -> &'static str,
    all_in: &AtomicBool,
) -> Vec<Given> {
    let mut c = Client::connect(port);
    let start = Instant::now();
    let tags: &[&str] = if who == SENIOR {
        &["1", "senior"]
    } else {
        &["0"]
    };
    let mut given = Vec::new();
    while start.elapsed() < PATIENCE {
        let claim = ["MODQ.CLAIM", QUEUE, who, "BLOCK", "20", "TAGS"];
        if let Some(claim) = claims(&c.cmd(&[&claim, tags].concat())).pop() {
            let item = claim.id();
            let number = item.rsplit(':').next().and_then(|n| n.parse().ok());
            let verdict = opinion(who, number.unwrap_or(0));
            sleep_ms(1 + number.unwrap_or(0) as u64 % 5);
            given.push(resolve(&mut c, who, &item, claim.token, verdict));
            continue;
        }
        // What is contested is none of the panel's business any more.
        let all = all_in.load(Ordering::Relaxed);
        let stats = c.line(&format!("MODQ.STATS {QUEUE} BRIEF"));
        let contested = if who == SENIOR {
            0
        } else {
            stats.field("contested").int()
        };
        if all && c.line(&format!("MODQ.LEN {QUEUE}")).int() == contested {
            break;
        }
    }
    given
}

fn resolve(c: &mut Client, who: &str, item: &str, token: i64, verdict: &str) -> Given {
    let reply = cmd!(c, "MODQ.RESOLVE", QUEUE, item, token, "VERDICT", verdict);
    assert!(
        matches!(reply, Value::Simple(_)),
        "{who}, {item}: {reply:?}"
    );
    Given {
        item: item.into(),
        token,
        who: who.into(),
        verdict: verdict.into(),
        status: reply.text(),
    }
}

/// What one of the panel thinks of a report: mostly the same as the others.
fn vote(who: &str, report: usize) -> &'static str {
    let number = PANEL.iter().position(|one| *one == who).unwrap_or(0);
    if report % HARD == 0 {
        return ["keep", "remove", "escalate"][number];
    }
    let errs = Random::new((report * PANEL.len() + number) as u64).once_in(5);
    if (report % 2 == 0) == errs {
        "keep"
    } else {
        "remove"
    }
}

/// What is thought of a split or an appeal.
fn last_word(_: &str, report: usize) -> &'static str {
    if report % 3 == 0 { "remove" } else { "keep" }
}

/// Appeals against each removal, and tries to give each to those who decided it: tells which of them got it.
fn appeal(c: &mut Client, reports: &[Given]) -> Vec<String> {
    let mut leaked = Vec::new();
    for (item, votes) in by_item(reports) {
        if votes.last().is_none_or(|last| last.verdict != "remove") {
            continue;
        }
        let appeal = ["ONDECIDED", "APPEAL", "QUORUM", "1", "1"];
        c.cmd(
            &[
                &["MODQ.SUBMIT", QUEUE, item, "please look again"],
                &appeal[..],
            ]
            .concat(),
        );
        for Given { who, .. } in votes {
            let reply = cmd!(c, "MODQ.ASSIGN", QUEUE, item, who);
            if reply.err_code() != "EXCLUDED" {
                leaked.push(format!(
                    "{item} assigned to {who}, who decided it: {reply:?}"
                ));
            }
        }
    }
    leaked
}

/// The verdicts on each item as they followed each other: tokens only grow.
fn by_item(given: &[Given]) -> BTreeMap<&str, Vec<&Given>> {
    let mut items = BTreeMap::<&str, Vec<&Given>>::new();
    for one in given {
        items.entry(&one.item).or_default().push(one);
    }
    for votes in items.values_mut() {
        votes.sort_by_key(|one| one.token);
    }
    items
}

/// A thousand posts of one author, and a threat among them.
fn submit_wave(c: &mut Client) {
    let group = ["GROUP", "author:spam-bot", "QUORUM", "1", "1"];
    let posts: Vec<String> = (0..WAVE).map(|n| format!("wave:{n}")).collect();
    let number = WAVE.to_string();
    let mut submit = vec!["MODQ.MSUBMIT", QUEUE, &number];
    submit.extend(posts.iter().flat_map(|post| [post, "cheap watches"]));
    c.cmd(&[&submit, &group[..]].concat());
    let threat = [
        "MODQ.SUBMIT",
        QUEUE,
        SPARED,
        "I know where you live",
        "TAGS",
        "1",
        "legal",
    ];
    c.cmd(&[&threat, &group[..]].concat());
}

impl Panel {
    /// One verdict on one post of the wave is for all but the threat.
    fn close_a_wave(&mut self, c: &mut Client) {
        submit_wave(c);
        let claim = claims(&cmd!(c, "MODQ.CLAIM", QUEUE, PANEL[0])).remove(0);
        let (item, token) = (claim.id(), claim.token);
        let start = now_us();
        let reply = cmd!(
            c,
            "MODQ.RESOLVE",
            QUEUE,
            item,
            token,
            "VERDICT",
            "remove",
            "ALSO",
            1000
        );
        self.wave_us = now_us() - start;
        self.wave.push(Given {
            item,
            token,
            who: PANEL[0].into(),
            verdict: "remove".into(),
            status: reply[0].text(),
        });
        if reply[1] != Value::Int(WAVE as i64 - 1) || reply[2] != Value::Int(1) {
            self.wave_missed.push(format!("RESOLVE … ALSO: {reply:?}"));
        }
        let left = cmd!(
            c,
            "MODQ.CLAIM",
            QUEUE,
            OUTSIDER,
            "COUNT",
            1000,
            "TAGS",
            1,
            "legal"
        );
        for claim in claims(&left) {
            if claim.id() != SPARED {
                self.wave_missed
                    .push(format!("{} was left over", claim.id()));
            }
            let given = resolve(c, OUTSIDER, &claim.id(), claim.token, "police");
            self.wave.push(given);
        }
    }

    /// Compares the event stream with what the clients saw, and what follows from it with what the server says.
    fn hear_the_events(&mut self, c: &mut Client) {
        let entries = c.line(&format!("XRANGE {EVENTS} - +"));
        self.events = entries.items().len();
        let (mut told, mut swept) = (BTreeSet::new(), BTreeSet::new());
        for event in entries.items().iter().map(fields) {
            let status = match &*event["ev"] {
                "vote" => "VOTED",
                "split" => "SPLIT",
                "resolve" => "OK",
                _ => continue,
            };
            let given = Given {
                item: event["item"].clone(),
                token: event["token"].parse().unwrap_or(-1),
                who: event["moderator"].clone(),
                verdict: event["verdict"].clone(),
                status: status.into(),
            };
            match event.get("via") {
                Some(via) => swept.insert((via.clone(), given)),
                None => told.insert(given),
            };
        }
        let saw = [&self.reports[..], &self.appeals, &self.wave].concat();
        let saw: BTreeSet<Given> = saw.into_iter().collect();
        let differ = saw.symmetric_difference(&told);
        self.untold
            .extend(differ.map(|given| format!("only the one has {given:?}")));
        self.wave_missed.extend(self.swept_amiss(&swept));

        let known = fold_stream(c, EVENTS).remove(QUEUE).unwrap_or_default();
        if known.told() != asked(c, QUEUE) {
            self.untold
                .push("the events add up to another queue".into());
        }
        for (item, decision) in known.decisions() {
            if asked_decision(c, QUEUE, item).as_ref() != Some(decision) {
                self.untold
                    .push(format!("the events add up to another decision on {item}"));
            }
        }
    }

    /// What is wrong with the events of what the wave's RESOLVE decided besides.
    fn swept_amiss(&self, swept: &BTreeSet<(String, Given)>) -> Vec<String> {
        let named = &self.wave[0];
        let all = (0..WAVE).map(|n| format!("wave:{n}"));
        let due = all.filter(|item| *item != named.item).map(|item| {
            let given = Given {
                item,
                token: 0,
                ..named.clone()
            };
            (named.item.clone(), given)
        });
        let due: BTreeSet<_> = due.collect();
        let differ = due.symmetric_difference(swept);
        differ
            .map(|(_, given)| format!("unexpected or missing: {given:?}"))
            .collect()
    }

    /// Reports that did not end by two equal verdicts, or by the senior's after three different ones.
    fn ended_otherwise(&self) -> Vec<String> {
        let items = by_item(&self.reports);
        let fair = |votes: &[&Given]| {
            let status: Vec<&str> = votes.iter().map(|vote| &*vote.status).collect();
            let verdicts: Vec<&str> = votes.iter().map(|vote| &*vote.verdict).collect();
            match (&status[..], &verdicts[..]) {
                (["VOTED", "OK"], [a, b]) => a == b,
                (["VOTED", "VOTED", "OK"], [a, b, c]) => a != b && (a == c || b == c),
                (["VOTED", "VOTED", "SPLIT", "OK"], [a, b, c, _]) => {
                    a != b && b != c && a != c && votes[3].who == SENIOR
                }
                _ => false,
            }
        };
        let unfair = items.iter().filter(|(_, votes)| !fair(votes));
        let mut found: Vec<String> = unfair
            .map(|(item, votes)| format!("{item}: {votes:?}"))
            .collect();
        if items.len() != REPORTS {
            found.push(format!("{} of {REPORTS} reports were seen", items.len()));
        }
        found
    }

    /// Reports that somebody was given who had voted on them.
    fn voted_twice(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (item, votes) in by_item(&self.reports) {
            let people: BTreeSet<&str> = votes.iter().map(|vote| &*vote.who).collect();
            if people.len() < votes.len() {
                found.push(format!("{item}: {votes:?}"));
            }
        }
        found
    }

    /// Appeals that did not come to exactly one person who had no part in the first decision.
    fn judged_again(&self) -> Vec<String> {
        let (first, second) = (by_item(&self.reports), by_item(&self.appeals));
        let mut found = self.appeals_leaked.clone();
        for (item, votes) in first {
            let removed = votes.last().is_some_and(|last| last.verdict == "remove");
            let judges = second.get(item).map_or(&[][..], |judges| judges);
            let fresh = |judge: &&Given| votes.iter().all(|vote| vote.who != judge.who);
            if judges.len() != usize::from(removed) || !judges.iter().all(fresh) {
                found.push(format!("{item}: {votes:?}, appeal: {judges:?}"));
            }
        }
        found
    }

    /// Prints what came of it; whether all is well.
    pub(crate) fn report(&self) -> bool {
        let line = |what: &str, value: String| println!("{what:46} {value}");
        let items = by_item(&self.reports);
        let ended_by = |n: usize| items.values().filter(|votes| votes.len() == n).count();
        line(
            "reports decided",
            format!(
                "{} by two, {} by two of three, {} by the senior",
                ended_by(2),
                ended_by(3),
                ended_by(4)
            ),
        );
        let granted = self.appeals.iter().filter(|one| one.verdict == "keep");
        line(
            "appeals against a removal",
            format!("{}, {} granted", self.appeals.len(), granted.count()),
        );
        line(
            "spam wave closed by one RESOLVE … ALSO",
            format!("{WAVE} posts in {:.1} ms", self.wave_us as f64 / 1000.0),
        );
        let verdicts = [
            verdict(
                "nobody was given what they had voted on",
                &self.voted_twice(),
                format!("{} votes checked", self.reports.len()),
            ),
            verdict(
                "two agreed, or a senior settled the split",
                &self.ended_otherwise(),
                format!("{REPORTS} reports checked"),
            ),
            verdict(
                "what was decided stays decided",
                &self.decided_again,
                format!("{REPORTS} repeats checked"),
            ),
            verdict(
                "no appeal came to who had decided before",
                &self.judged_again(),
                format!("{} appeals checked", self.appeals.len()),
            ),
            verdict(
                "the wave is gone, the threat in it spared",
                &self.wave_missed,
                format!("{} posts checked", WAVE + 1),
            ),
            verdict(
                "the event stream tells the same",
                &self.untold,
                format!("{} events checked", self.events),
            ),
        ];
        verdicts.into_iter().all(|well| well)
    }
}
