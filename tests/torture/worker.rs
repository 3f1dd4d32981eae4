//! A client: asks for what the mix says, and keeps a journal of what it was answered.

use crate::field;
use crate::journal::*;
use crate::mix::{BOTH, MIX, choose, pick};
use crate::reach::{Answer, Reach};
use modq_testkit::queue::{Claimed, claims};
use modq_testkit::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// How far the server's clock is off, in ms; odd while it is being set.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// One more when a step begins, and when it is over.
    pub(crate) steps: AtomicU64,
    /// The server's clock less the machine's.
    pub(crate) ahead: AtomicI64,
}

/// Something that was claimed: queue, item, token.
type Taken = (String, String, i64);

/// One client with a journal.
pub(crate) struct Worker {
    me: usize,
    tags: Vec<String>,
    random: Random,
    born: u64,
    own: Vec<(String, String)>,
    held: Vec<Taken>,
    taken: Vec<Taken>,
    fences: BTreeMap<String, i64>,
    /// What DUMP answered of a key with this tag: a queue names its stream, and may not go to another slot.
    dump: (String, Vec<u8>),
    pulse: Arc<Pulse>,
    /// What matters to the judge.
    pub(crate) journal: Vec<Entry>,
    /// What cannot be and is seen at once.
    pub(crate) wrong: Vec<String>,
    /// How often each row of the mix was answered without an error.
    pub(crate) answered: Vec<u64>,
}

/// What an error may be: anything else is a mistake of the mix, or of the server.
const ERRORS: [&str; 24] = [
    "NOITEM",
    "STALE",
    "CHANGED",
    "EXISTS",
    "EXCLUDED",
    "FULL",
    "PAUSED",
    "EVENTS",
    "NOPOLICY",
    "OOM",
    "WRONGTYPE",
    "UNBLOCKED",
    "READONLY",
    "MISCONF",
    "LOADING",
    "MASTERDOWN",
    "NOREPLICAS",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MOVED",
    "ASK",
    "BUSYKEY",
    "NOSCRIPT",
    "EXECABORT",
];

/// What an item is submitted with, so that a torn one is seen.
pub(crate) fn payload(item: &str) -> String {
    format!("payload of {item}, all of it")
}

impl Worker {
    /// `n` clients of keys with these hash tags.
    pub(crate) fn crew(n: usize, tags: &[String], random: &mut Random) -> Vec<Worker> {
        Worker::crew_by(n, tags, random, &Arc::default())
    }

    /// The same with a clock that is set.
    pub(crate) fn crew_by(
        n: usize,
        tags: &[String],
        random: &mut Random,
        pulse: &Arc<Pulse>,
    ) -> Vec<Worker> {
        let one = |me| Worker {
            me,
            tags: tags.to_vec(),
            random: Random::new(random.next()),
            born: 0,
            own: Vec::new(),
            held: Vec::new(),
            taken: Vec::new(),
            fences: BTreeMap::new(),
            dump: Default::default(),
            pulse: pulse.clone(),
            journal: Vec::new(),
            wrong: Vec::new(),
            answered: vec![0; MIX.len()],
        };
        (0..n).map(one).collect()
    }

    /// Forgets what it has, after its server lost some of it.
    pub(crate) fn forget(&mut self) {
        self.own.clear();
        self.held.clear();
        self.fences.clear();
    }

    /// Takes all of the journal back but the tokens: after keys were evicted.
    pub(crate) fn keep_tokens(&mut self) {
        self.journal.retain_mut(Entry::keeps_only_its_token);
    }

    /// Asks for something; whether it was answered.
    pub(crate) fn step(&mut self, reach: &mut dyn Reach) -> bool {
        loop {
            let row = pick(&mut self.random);
            let line = choose(MIX[row].1, &mut self.random);
            if let Some(args) = self.fill(&line) {
                return self.ask(reach, row, &args);
            }
        }
    }

    /// Asks for what a row says, as far as the client has what it takes.
    pub(crate) fn try_row(&mut self, reach: &mut dyn Reach, row: usize) {
        let line = choose(MIX[row].1, &mut self.random);
        if let Some(args) = self.fill(&line) {
            self.ask(reach, row, &args);
        }
    }

    fn ask(&mut self, reach: &mut dyn Reach, row: usize, args: &[String]) -> bool {
        let bytes: Vec<Vec<u8>> = args
            .iter()
            .map(|arg| {
                if arg == "$dump" {
                    self.dump.1.clone()
                } else {
                    arg.clone().into_bytes()
                }
            })
            .collect();
        let (step, sent) = (self.pulse.steps.load(SeqCst), now_us() as u64);
        let answer = reach.call(&bytes);
        let got = now_us() as u64;
        let steady = step % 2 == 0 && self.pulse.steps.load(SeqCst) == step;
        let when = When { sent, got, steady };
        match answer {
            Answer::Said(reply) => {
                let code = reply.err_code();
                if code.is_empty() {
                    self.answered[row] += 1;
                    self.note(args, &reply, &when);
                } else {
                    let ours = args[0].starts_with("MODQ") || args[0].starts_with("RATE");
                    if !ERRORS.contains(&code) && (ours || code != "ERR") {
                        self.wrong.push(format!("{args:?}: {reply:?}"));
                    }
                }
                true
            }
            Answer::Lost => {
                self.lost(args, sent);
                false
            }
            Answer::Away => {
                std::thread::sleep(Duration::from_millis(3));
                false
            }
        }
    }

    /// The words of a line; none if there is nothing that one of them could stand for.
    fn fill(&mut self, line: &str) -> Option<Vec<String>> {
        let has = Has::picked(self);
        let mut words: Vec<String> = Vec::new();
        for word in line.split_whitespace() {
            let known = match word {
                // The other queue of the item's, where the line is about one.
                "$r" if line.contains("$ok") => field::other(&has.own.as_ref()?.0),
                "$r" => field::other(&has.strict),
                "$payload" => payload(words.last()?),
                "$dump" if self.dump.0 != has.tag => return None,
                "$ok" | "$oi" | "$hk" | "$hi" | "$ht" | "$hr" | "$tk" | "$ti" | "$tt" => {
                    has.word(word)?
                }
                _ => self.any(word, &has),
            };
            words.push(known);
        }
        // COUNT and REV count from 1, and `v` is to differ from `w`.
        for i in 1..words.len() {
            if words[i] == "0" && ["COUNT", "REV"].contains(&&*words[i - 1]) {
                words[i] = "1".into();
            }
        }
        let same = line.contains("$w $v") && words[1] == words[2];
        (!same).then_some(words)
    }

    /// What a word stands for that needs no memory.
    fn any(&mut self, word: &str, has: &Has) -> String {
        let (tag, random) = (&has.tag, &mut self.random);
        match word {
            "$s" => has.strict.clone(),
            "$new" => {
                self.born += 1;
                format!("{}-{}", self.me, self.born)
            }
            "$both" => BOTH.to_owned(),
            "$me" => format!("m{}", self.me),
            "$lease" => field::lease(tag),
            "$quota" => field::quota(tag),
            "$w" | "$v" => format!("{tag}w{}", random.below(3)),
            "$ev" => format!("{tag}wev"),
            "$l" => format!("{tag}l{}", random.below(2)),
            "$k" => format!("{tag}l{}", 2 + random.below(2)),
            "$x" => format!("{tag}x"),
            "$board" => format!("{tag}board{}", random.below(2)),
            "$season" => format!("{tag}season"),
            "$zset" => format!("{tag}zset"),
            "$i" => format!("i{}", random.below(20)),
            "$who" => format!("who{}", random.below(4)),
            "$req" => format!("r{}", random.below(9)),
            "$ms" => random.pick(&["1", "5", "30", "3600000"]).to_string(),
            "$big" => "b".repeat(4000),
            _ => match word.strip_prefix("$n") {
                Some(n) => random
                    .below(n.parse::<u64>().expect("a number"))
                    .to_string(),
                None => word.to_owned(),
            },
        }
    }

    fn push(&mut self, sent: u64, got: Option<u64>, deed: Deed) {
        self.journal.push(Entry { sent, got, deed });
    }

    /// Puts down what is known after no answer.
    fn lost(&mut self, args: &[String], sent: u64) {
        for deed in asked(args, sent, self.me) {
            self.push(sent, None, deed);
        }
        self.fences.clear();
        // Where it is now nobody knows.
        self.own.retain(|(_, item)| !args.contains(item));
        self.held.retain(|(_, item, _)| !args.contains(item));
    }

    /// Puts down what a reply says.
    fn note(&mut self, args: &[String], reply: &Value, when: &When) {
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        match words[..] {
            ["DUMP", key] if !reply.is_null() => {
                let tag = &key[..=key.find('}').expect("keys have tags")];
                self.dump = (tag.to_owned(), reply.bytes().to_vec());
            }
            ["MODQ.CLAIM", key, who, ..] | ["MODQ.HELD", key, who, ..] => {
                self.claimed(key, who, &claims(reply), words.contains(&"NEW"), when);
            }
            ["MODQ.MCLAIM", "2", _, _, who, ..] if !reply.is_null() => {
                let key = reply[0].text();
                self.claimed(&key, who, &claims(&reply[1]), words.contains(&"NEW"), when);
            }
            ["EVAL", _, _, a, b, item, ..] => self.both([a, b], item, reply, when),
            _ => self.done(args, reply, when),
        }
    }

    fn done(&mut self, args: &[String], reply: &Value, when: &When) {
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        let done = match words[0] {
            "MODQ.SUBMIT" => is_new(reply),
            "MODQ.CANCEL" | "RATELIMIT.RELEASE" => *reply == Value::Int(1),
            "RATELIMIT.CHECK" | "RATELIMIT.ACQUIRE" => reply[0] == Value::Int(1),
            _ => true,
        };
        if !done {
            return;
        }
        for deed in asked(args, when.sent, self.me) {
            self.push(when.sent, Some(when.got), deed);
        }
        match words[..] {
            ["MODQ.SUBMIT", key, item, ..] if field::is_strict(key) => {
                self.own.push((key.into(), item.into()));
            }
            ["MODQ.CANCEL", key, item, ..] if field::is_strict(key) => {
                self.own.retain(|(_, own)| own != item);
            }
            ["MODQ.RESOLVE" | "MODQ.RELEASE", key, item, ..] if field::is_strict(key) => {
                self.held.retain(|(_, held, _)| held != item);
                if words[0] == "MODQ.RESOLVE" {
                    self.own.retain(|(_, own)| own != item);
                }
            }
            ["MODQ.MOVE", key, to, item, ..] if field::is_strict(key) => {
                self.held.retain(|(_, held, _)| held != item);
                for own in self.own.iter_mut().filter(|(_, own)| own == item) {
                    own.0 = to.into();
                }
            }
            ["MODQ.ASSIGN", key, item, who, "LOCK", ms, ..] if field::is_strict(key) => {
                let until = later(when.sent, ms);
                self.has(key, item, who, reply.int(), until, true, when);
            }
            ["RATELIMIT.ACQUIRE", key, _, who, "TTL", ms, ..] if key.ends_with("lease") => {
                let until = later(when.sent, ms);
                let fence = reply[4].int();
                // A renewal has the fence it had. Without a known one nobody can tell.
                let before = self.fences.insert(key.into(), fence);
                let fresh = before.is_some_and(|before| before != fence);
                self.hold(key, key, who, fence, until, fresh, when);
            }
            _ => {}
        }
    }

    fn both(&mut self, keys: [&str; 2], item: &str, reply: &Value, when: &When) {
        let items = ["A", "B"].map(|end| format!("{item}{end}"));
        let whole = is_new(&reply[0]) && is_new(&reply[1]);
        for i in [0, 1] {
            if is_new(&reply[i]) {
                let twin = whole.then(|| items[1 - i].clone());
                let item = items[i].clone();
                self.own.push((keys[i].into(), item.clone()));
                self.push(when.sent, Some(when.got), Deed::Submit { item, twin });
            }
        }
    }

    fn claimed(&mut self, key: &str, who: &str, claims: &[Claimed], fresh: bool, when: &When) {
        for claim in claims {
            let item = claim.id();
            if !field::is_strict(key) {
                self.taken.push((key.into(), item, claim.token));
                continue;
            }
            let plain = item.trim_end_matches(['A', 'B']);
            let expected = format!("{}{}", payload(plain), &item[plain.len()..]);
            if claim.payload != expected.as_bytes() && claim.payload != payload(&item).as_bytes() {
                self.wrong.push(format!("{key}: {claim:?} is torn"));
            }
            let until = (claim.deadline - self.pulse.ahead.load(SeqCst)) as u64 * 1000;
            self.has(key, &item, who, claim.token, until, fresh, when);
        }
        let old = self.taken.len().saturating_sub(30);
        self.taken.drain(..old);
    }

    #[expect(clippy::too_many_arguments, reason = "a hold has as many parts")]
    fn has(
        &mut self,
        key: &str,
        item: &str,
        who: &str,
        token: i64,
        until: u64,
        fresh: bool,
        when: &When,
    ) {
        self.held.retain(|(_, held, _)| held != item);
        self.held.push((key.into(), item.into(), token));
        let old = self.held.len().saturating_sub(30);
        self.held.drain(..old);
        self.hold(key, &thing(key, item), who, token, until, fresh, when);
    }

    #[expect(clippy::too_many_arguments, reason = "a hold has as many parts")]
    fn hold(
        &mut self,
        key: &str,
        what: &str,
        who: &str,
        token: i64,
        until: u64,
        fresh: bool,
        when: &When,
    ) {
        let hold = Hold {
            what: what.into(),
            key: key.into(),
            holder: who.into(),
            token,
            // While the clock was being set nobody knows when it ends; the token counts all the same.
            until: if when.steady { until } else { when.sent },
            fresh,
        };
        self.push(when.sent, Some(when.got), Deed::Hold(hold));
    }
}

/// What a line is about, as far as there is something.
struct Has {
    tag: String,
    strict: String,
    own: Option<(String, String)>,
    held: Option<Taken>,
    taken: Option<Taken>,
}

impl Has {
    fn picked(worker: &mut Worker) -> Has {
        fn one<T: Clone>(random: &mut Random, of: &[T]) -> Option<T> {
            (!of.is_empty()).then(|| random.pick(of).clone())
        }
        let random = &mut worker.random;
        let tag = random.pick(&worker.tags).clone();
        Has {
            strict: random.pick(&field::strict(&tag)).clone(),
            own: one(random, &worker.own),
            held: one(random, &worker.held),
            taken: one(random, &worker.taken),
            tag,
        }
    }

    fn word(&self, word: &str) -> Option<String> {
        let found = match word {
            "$ok" => &self.own.as_ref()?.0,
            "$oi" => &self.own.as_ref()?.1,
            "$hk" => &self.held.as_ref()?.0,
            "$hi" => &self.held.as_ref()?.1,
            "$hr" => return Some(field::other(&self.held.as_ref()?.0)),
            "$ht" => return Some(self.held.as_ref()?.2.to_string()),
            "$tk" => &self.taken.as_ref()?.0,
            "$ti" => &self.taken.as_ref()?.1,
            _ => return Some(self.taken.as_ref()?.2.to_string()),
        };
        Some(found.clone())
    }
}

/// When something was asked and answered, µs, and whether the server's clock stood still against the machine's.
struct When {
    sent: u64,
    got: u64,
    steady: bool,
}

/// An item as something one can have. By its queue: who submits it again while it is elsewhere makes a second one.
fn thing(key: &str, item: &str) -> String {
    format!("{item}@{key}")
}

fn is_new(reply: &Value) -> bool {
    matches!(reply, Value::Simple(said) if ["READY", "ASSIGNED", "DELAYED"].contains(&&**said))
}

/// So many ms after a time in µs, which the server takes as whole ms.
fn later(sent: u64, ms: &str) -> u64 {
    (sent / 1000 + ms.parse::<u64>().expect("a duration")) * 1000
}

/// What a command on strict keys does if it does what it says, except for holds, which need a reply.
fn asked(args: &[String], sent: u64, me: usize) -> Vec<Deed> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let after = |ms: &str| later(sent, ms);
    let end = |what: Option<&str>, holder: Option<&str>, at: u64| Deed::End {
        what: what.map(str::to_owned),
        holder: holder.map(str::to_owned),
        at,
    };
    if words.len() < 2 || !(field::is_strict(words[1]) || words[0] == "EVAL") {
        return Vec::new();
    }
    let mine = format!("m{me}");
    match words[..] {
        ["MODQ.SUBMIT", _, item, ..] => vec![Deed::Submit {
            item: item.into(),
            twin: None,
        }],
        ["EVAL", _, _, _, _, item, ..] => {
            let both = ["A", "B"].map(|end| format!("{item}{end}"));
            let twin = |i: usize| Deed::Submit {
                item: both[i].clone(),
                twin: Some(both[1 - i].clone()),
            };
            vec![twin(0), twin(1)]
        }
        ["MODQ.CANCEL" | "MODQ.RESOLVE", key, item, ..] => {
            let gone = Deed::Remove { item: item.into() };
            vec![gone, end(Some(&thing(key, item)), None, sent)]
        }
        ["MODQ.MOVE", key, _, item, ..] => vec![end(Some(&thing(key, item)), None, sent)],
        ["MODQ.RELEASE", key, item, ..] => vec![end(Some(&thing(key, item)), None, sent)],
        ["MODQ.EXTEND", key, item, _, ms] => vec![end(Some(&thing(key, item)), None, after(ms))],
        ["MODQ.LEAVE", _, who, "RELEASE"] => vec![end(None, Some(who), sent)],
        ["RATELIMIT.ACQUIRE", key, _, who, "TTL", ms, ..] => {
            vec![end(Some(key), Some(who), after(ms))]
        }
        ["RATELIMIT.RELEASE", key, ..] => vec![end(Some(key), Some(&mine), sent)],
        ["RATELIMIT.CHECK", key, _, _, "COST", units] => vec![Deed::Charge {
            key: key.into(),
            units: units.parse().unwrap(),
        }],
        _ => Vec::new(),
    }
}

/// Clients at work, as whoever makes the faults sees them.
pub(crate) struct Load {
    answers: AtomicU64,
    stop: AtomicBool,
}

impl Load {
    /// Waits for so many more answers.
    #[track_caller]
    pub(crate) fn more(&self, n: u64) {
        let goal = self.answers.load(SeqCst) + n;
        wait_until("clients get answers", 2 * PATIENCE, || {
            self.answers.load(SeqCst) >= goal
        });
    }
}

/// Ends the clients however `body` ends.
struct Stop<'a>(&'a Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, SeqCst);
    }
}

/// Lets the clients work until `body` is done.
pub(crate) fn under_load<R, T: Reach>(
    crew: &mut [Worker],
    reach: impl Fn() -> T + Sync,
    body: impl FnOnce(&Load) -> R,
) -> R {
    let load = Load {
        answers: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let stop = Stop(&load);
        for worker in crew {
            let (load, reach) = (&load, &reach);
            scope.spawn(move || {
                let mut reach = reach();
                while !load.stop.load(SeqCst) {
                    let answered = worker.step(&mut reach);
                    load.answers.fetch_add(u64::from(answered), SeqCst);
                }
            });
        }
        let result = body(&load);
        drop(stop);
        result
    })
}
