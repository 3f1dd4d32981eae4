//! What clients know: everything they asked for that matters to who owns what, and what they were answered. `judge` looks
//! whether it can be true together with what is there in the end. It knows no server, so that it can be shown to fail.

use std::collections::{BTreeMap, BTreeSet};

/// What a client asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Deed {
    /// An item came to be; `twin` came with it, in one script.
    Submit {
        /// Its id, unique over all queues but for a MOVE that did half of its work.
        item: String,
        /// The other one.
        twin: Option<String>,
    },
    /// An item is decided or cancelled.
    Remove {
        /// Its id.
        item: String,
    },
    /// Somebody has something (an item, or a lease) for themselves.
    Hold(Hold),
    /// Nobody, or not this holder, has it any longer from `at` on.
    End {
        /// The item or lease; all that the holder has if none.
        what: Option<String>,
        /// Who had it; whoever if none.
        holder: Option<String>,
        /// In µs; not before this was asked.
        at: u64,
    },
    /// Units charged to a limit.
    Charge {
        /// The limit's key.
        key: String,
        /// How many.
        units: i64,
    },
}

/// What a holder was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hold {
    /// The item or lease.
    pub(crate) what: String,
    /// The key it is in.
    pub(crate) key: String,
    /// Who has it.
    pub(crate) holder: String,
    /// Proves it.
    pub(crate) token: i64,
    /// When it ends by itself, µs.
    pub(crate) until: u64,
    /// The token was made by this very command.
    pub(crate) fresh: bool,
}

/// A deed and when it was: sent, and answered unless nobody knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Before this it was not done, µs.
    pub(crate) sent: u64,
    /// After this it was; none if no answer came, so that it may have been done or not.
    pub(crate) got: Option<u64>,
    /// What.
    pub(crate) deed: Deed,
}

impl Entry {
    /// Makes it say no more than that its token was given; whether it says that.
    pub(crate) fn keeps_only_its_token(&mut self) -> bool {
        match &mut self.deed {
            Deed::Hold(hold) => {
                hold.until = 0;
                true
            }
            _ => false,
        }
    }
}

/// What is there in the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    /// How often each item is there, over all queues.
    pub(crate) items: BTreeMap<String, i64>,
    /// What is charged to each limit.
    pub(crate) charged: BTreeMap<String, i64>,
    /// Keys of one group were with several servers, perhaps at a time: each gives tokens of its own.
    pub(crate) scattered: bool,
}

/// What was promised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Promise {
    /// Nothing acknowledged is lost.
    All,
    /// What is there is what a first part of the history made.
    Prefix,
}

/// Everything that cannot be, in words; empty if all is well.
pub(crate) fn judge(journal: &[Entry], found: &Found, promise: Promise) -> Vec<String> {
    let mut wrong = counted(journal, found, promise);
    wrong.extend(charged(journal, found, promise));
    wrong.extend(twins(journal, found));
    if promise == Promise::Prefix {
        wrong.extend(cut(journal, found));
    }
    wrong.extend(tokens(journal, found.scattered));
    wrong.extend(two_people(journal));
    wrong
}

/// What is known of one item: how often it came and went, for certain and perhaps.
#[derive(Default)]
struct Fate {
    came: i64,
    maybe_came: i64,
    went: i64,
    maybe_went: i64,
}

fn fates(journal: &[Entry]) -> BTreeMap<&str, Fate> {
    let mut fates: BTreeMap<&str, Fate> = BTreeMap::new();
    for entry in journal {
        let known = entry.got.is_some();
        match &entry.deed {
            Deed::Submit { item, .. } if known => fates.entry(item).or_default().came += 1,
            Deed::Submit { item, .. } => fates.entry(item).or_default().maybe_came += 1,
            Deed::Remove { item } if known => fates.entry(item).or_default().went += 1,
            Deed::Remove { item } => fates.entry(item).or_default().maybe_went += 1,
            _ => {}
        }
    }
    fates
}

/// No item is lost, doubled, back from the dead or out of nowhere.
fn counted(journal: &[Entry], found: &Found, promise: Promise) -> Vec<String> {
    let fates = fates(journal);
    let mut wrong = Vec::new();
    for (&item, fate) in &fates {
        let there = found.items.get(item).copied().unwrap_or(0);
        let most = fate.came + fate.maybe_came;
        let (least, left) = match promise {
            Promise::All => (fate.came - fate.went - fate.maybe_went, most - fate.went),
            Promise::Prefix => (0, most),
        };
        if fate.went > most {
            let (came, went) = (most, fate.went);
            wrong.push(format!("{item} came {came} times and went {went} times"));
        } else if there < least {
            wrong.push(format!("{item} is lost"));
        } else if there > left {
            wrong.push(format!("{item} is there {there} times, not {left}"));
        }
    }
    let strangers = found
        .items
        .keys()
        .filter(|item| !fates.contains_key(item.as_str()));
    wrong.extend(strangers.map(|item| format!("{item} came from nowhere")));
    wrong
}

/// Limits have what was charged to them.
fn charged(journal: &[Entry], found: &Found, promise: Promise) -> Vec<String> {
    let mut asked: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for entry in journal {
        if let Deed::Charge { key, units } = &entry.deed {
            let (sure, most) = asked.entry(key).or_default();
            *most += units;
            *sure += if entry.got.is_some() { *units } else { 0 };
        }
    }
    let wrong = found.charged.iter().filter_map(|(key, &there)| {
        let (sure, most) = asked.get(key.as_str()).copied().unwrap_or_default();
        let least = if promise == Promise::All { sure } else { 0 };
        let fits = (least..=most).contains(&there);
        (!fits).then(|| format!("{key}: {there} charged, of {sure} to {most}"))
    });
    wrong.collect()
}

/// Items that never go: whether they are there tells whether their SUBMIT counts.
fn evidence<'a>(journal: &'a [Entry], found: &'a Found) -> Vec<(&'a Entry, &'a Deed, bool)> {
    let fates = fates(journal);
    let told = journal.iter().filter_map(|entry| match &entry.deed {
        deed @ Deed::Submit { item, .. } => {
            let fate = &fates[item.as_str()];
            let once = fate.came + fate.maybe_came == 1 && fate.went + fate.maybe_went == 0;
            once.then(|| (entry, deed, found.items.contains_key(item)))
        }
        _ => None,
    });
    told.collect()
}

/// What one script did is there as a whole or not at all.
fn twins(journal: &[Entry], found: &Found) -> Vec<String> {
    let evidence = evidence(journal, found);
    let there: BTreeMap<&str, bool> = evidence
        .iter()
        .filter_map(|(_, deed, there)| match deed {
            Deed::Submit { item, .. } => Some((item.as_str(), *there)),
            _ => None,
        })
        .collect();
    let torn = evidence.iter().filter_map(|(_, deed, is)| match deed {
        Deed::Submit {
            item,
            twin: Some(twin),
        } => {
            let other = there.get(twin.as_str())?;
            (other != is).then(|| format!("{item} and {twin} were torn apart"))
        }
        _ => None,
    });
    torn.collect()
}

/// Nothing counts that was asked after something that does not was answered.
fn cut(journal: &[Entry], found: &Found) -> Vec<String> {
    let evidence = evidence(journal, found);
    let lost = evidence.iter().filter(|(_, _, there)| !there);
    let lost = lost.filter_map(|(entry, deed, _)| Some((entry.got?, deed)));
    let first = lost.min_by_key(|(got, _)| *got);
    let kept = evidence.iter().filter(|(_, _, there)| *there);
    let last = kept.max_by_key(|(entry, _, _)| entry.sent);
    match (first, last) {
        (Some((got, lost)), Some((entry, kept, _))) if got < entry.sent => {
            vec![format!(
                "no prefix: {kept:?} is there, {lost:?}, answered before, is not"
            )]
        }
        _ => Vec::new(),
    }
}

fn holds(journal: &[Entry]) -> impl Iterator<Item = (u64, u64, &Hold)> {
    journal.iter().filter_map(|entry| match &entry.deed {
        Deed::Hold(hold) => Some((entry.sent, entry.got?, hold)),
        _ => None,
    })
}

/// A token belongs to one holding of one thing, and of one key they grow.
fn tokens(journal: &[Entry], scattered: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut given: BTreeMap<(&str, i64), (&str, &str)> = BTreeMap::new();
    let mut by_key: BTreeMap<&str, Vec<(u64, u64, &Hold)>> = BTreeMap::new();
    for (sent, got, hold) in holds(journal) {
        let owner = (hold.what.as_str(), hold.holder.as_str());
        let giver = if scattered { &*hold.key } else { "" };
        let known = given.entry((giver, hold.token)).or_insert(owner);
        if *known != owner {
            wrong.push(format!(
                "token {} of {known:?} is also of {owner:?}",
                hold.token
            ));
        }
        by_key.entry(&hold.key).or_default().push((sent, got, hold));
    }
    for (key, mut all) in by_key {
        all.sort_by_key(|&(_, got, _)| got);
        // The largest token that was known by the time of each answer.
        let largest: Vec<i64> = all
            .iter()
            .scan(0, |max, (_, _, hold)| {
                *max = hold.token.max(*max);
                Some(*max)
            })
            .collect();
        for (sent, _, hold) in all.iter().filter(|(_, _, hold)| hold.fresh) {
            let before = all.partition_point(|(_, got, _)| got < sent);
            if before > 0 && largest[before - 1] >= hold.token {
                let (known, token) = (largest[before - 1], hold.token);
                wrong.push(format!("{key} gave {token} after {known}"));
            }
        }
    }
    wrong
}

/// Nothing is with two people at a time: who was told to have it had it until it could have ended.
fn two_people(journal: &[Entry]) -> Vec<String> {
    let mut wrong = BTreeSet::new();
    let mut by_thing: BTreeMap<&str, Vec<(u64, u64, u64, &Hold)>> = BTreeMap::new();
    let ends = Ends::of(journal);
    for (sent, got, hold) in holds(journal) {
        let until = ends.end(hold, sent);
        by_thing
            .entry(&hold.what)
            .or_default()
            .push((sent, got, until, hold));
    }
    for (what, mut all) in by_thing {
        all.sort_by_key(|&(sent, ..)| sent);
        for (_, had, until, one) in &all {
            let after = all.partition_point(|(sent, ..)| sent <= had);
            let meanwhile = all[after..].iter().take_while(|(sent, ..)| sent < until);
            for (_, got, _, other) in meanwhile {
                if one.token != other.token && got < until {
                    let (a, b) = (&one.holder, &other.holder);
                    let (t, u) = (one.token, other.token);
                    wrong.insert(format!("{what} was with {a} ({t}) and {b} ({u}) at a time"));
                }
            }
        }
    }
    wrong.into_iter().collect()
}

/// What was held and by whom, as far as it matters.
type Whose<'a> = (Option<&'a str>, Option<&'a str>);

/// What may have ended a hold: when that was done at the latest, and when it took effect.
struct Ends<'a>(BTreeMap<Whose<'a>, Vec<(u64, u64)>>);

impl<'a> Ends<'a> {
    fn of(journal: &'a [Entry]) -> Ends<'a> {
        let mut ends: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for entry in journal {
            let done = entry.got.unwrap_or(u64::MAX);
            let Deed::End { what, holder, at } = &entry.deed else {
                continue;
            };
            let (what, holder) = (what.as_deref(), holder.as_deref());
            ends.entry((what, holder)).or_default().push((done, *at));
        }
        Ends(ends)
    }

    /// The earliest end that may have come after the hold was asked for.
    fn end(&self, hold: &Hold, sent: u64) -> u64 {
        let (what, holder) = (Some(hold.what.as_str()), Some(hold.holder.as_str()));
        let all = [(what, holder), (what, None), (None, holder), (None, None)];
        let ends = all.iter().filter_map(|of| self.0.get(of)).flatten();
        let ends = ends.filter(|(done, _)| *done > sent).map(|(_, at)| *at);
        ends.min().unwrap_or(u64::MAX).min(hold.until)
    }
}
