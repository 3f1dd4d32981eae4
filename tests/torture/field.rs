//! The keys that clients work on, and what is there in the end.

use crate::journal::*;
use crate::worker::Worker;
use modq_testkit::fold::{asked, fold_stream, wait_settled};
use modq_testkit::*;

/// The hash tags of `n` groups of keys.
pub(crate) fn tags(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{{t{i}}}")).collect()
}

/// The two queues of a tag that the journal knows about. Both tell all to one stream.
pub(crate) fn strict(tag: &str) -> [String; 2] {
    ["s0", "s1"].map(|name| format!("{tag}{name}"))
}

/// The other one of those.
pub(crate) fn other(key: &str) -> String {
    let (tag, n) = key.split_at(key.len() - 1);
    format!("{tag}{}", if n == "0" { "1" } else { "0" })
}

/// A lease for one.
pub(crate) fn lease(tag: &str) -> String {
    format!("{tag}lease")
}

/// A limit that is never reached.
pub(crate) fn quota(tag: &str) -> String {
    format!("{tag}quota")
}

/// Whether the journal knows of a key.
pub(crate) fn is_strict(key: &str) -> bool {
    let name = key.rsplit('}').next().unwrap_or("");
    ["s0", "s1", "lease", "quota"].contains(&name)
}

fn stream(tag: &str) -> String {
    format!("{tag}ev")
}

/// Sets up the keys of a tag.
pub(crate) fn prepare(c: &mut Client, tag: &str) {
    for key in strict(tag) {
        let stream = stream(tag);
        c.expect_ok(&format!(
            "MODQ.CONFIGURE {key} EVENTS {stream} EVENTSMAXLEN 0 MAXEXPIRIES 3 LATE ACCEPT"
        ));
    }
    c.expect_ok("RATELIMIT.POLICY SET p0 20 1000");
}

/// Looks at everything: the log folds to the state, and the journal allows it.
#[track_caller]
pub(crate) fn check(
    crew: &[Worker],
    tags: &[String],
    client: impl Fn(&str) -> Client,
    promise: Promise,
) -> Found {
    let mut found = Found {
        scattered: tags.len() > 1,
        ..Found::default()
    };
    for tag in tags {
        let mut c = client(tag);
        c.set_timeout(PATIENCE);
        let keys = strict(tag);
        wait_settled(&mut c, &keys.each_ref().map(String::as_str));
        let folded = fold_stream(&mut c, &stream(tag));
        for key in &keys {
            let there = asked(&mut c, key);
            let told = folded.get(key).cloned().unwrap_or_default().told();
            if told != there {
                let log = c.line(&format!("XINFO STREAM {}", stream(tag)));
                let set = c.line(&format!("MODQ.CONFIG {key}"));
                println!("{key}: {set:?}\nthe log: {log:?}");
            }
            assert_eq!(told, there, "{key}: the log does not fold to the state");
            for item in there.items.keys() {
                *found.items.entry(item.clone()).or_default() += 1;
            }
        }
        let quota = quota(tag);
        let left = c.line(&format!(
            "RATELIMIT.PEEK {quota} 1000000000 86400000 COST 0"
        ));
        found.charged.insert(quota, 1_000_000_000 - left[2].int());
    }
    accuse(crew, &found, promise);
    found
}

/// Fails if the clients cannot have seen what they saw.
#[track_caller]
pub(crate) fn accuse(crew: &[Worker], found: &Found, promise: Promise) {
    let journal: Vec<Entry> = crew
        .iter()
        .flat_map(|w| w.journal.iter().cloned())
        .collect();
    let mut wrong = judge(&journal, found, promise);
    wrong.extend(crew.iter().flat_map(|worker| worker.wrong.iter().cloned()));
    let Some(first) = wrong.first() else { return };
    // What the journal has of the first of them, in order.
    let about = first.split([' ', ':']).next().unwrap_or_default();
    let mut story: Vec<&Entry> = journal
        .iter()
        .filter(|entry| match &entry.deed {
            Deed::Submit { item, .. } | Deed::Remove { item } => item == about,
            Deed::Hold(hold) => hold.what == about || hold.key == about,
            Deed::End { what, .. } => what.as_deref().is_none_or(|what| what == about),
            Deed::Charge { .. } => false,
        })
        .collect();
    story.sort_by_key(|entry| entry.sent);
    story.iter().for_each(|entry| println!("  {entry:?}"));
    let shown = &wrong[..wrong.len().min(20)];
    panic!("{} things cannot be: {shown:#?}", wrong.len());
}

/// Takes what is there as given: what follows is judged from here on. Tokens are remembered.
pub(crate) fn begin_anew(crew: &mut [Worker], found: &Found) {
    let given = |deed| Entry {
        sent: 0,
        got: Some(0),
        deed,
    };
    for worker in crew.iter_mut() {
        worker.forget();
        worker.keep_tokens();
    }
    // What was submitted again while it was elsewhere is there twice.
    let times = found
        .items
        .iter()
        .map(|(item, &times)| (item, times as usize));
    let items = times.flat_map(|(item, times)| std::iter::repeat_n(item, times));
    let items = items.map(|item| Deed::Submit {
        item: item.clone(),
        twin: None,
    });
    let charges = found.charged.iter().map(|(key, &units)| Deed::Charge {
        key: key.clone(),
        units,
    });
    crew[0].journal.extend(items.chain(charges).map(given));
}
