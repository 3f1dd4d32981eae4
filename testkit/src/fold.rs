//! What a consumer of the audit log knows of the queues that write to it, and what the server says, in the same shape.

use crate::wait::{PATIENCE, comes_true};
use crate::{Client, Value, now_ms};
use std::collections::BTreeMap;

/// The fields of an event.
pub type Fields = BTreeMap<String, String>;

/// An entry's fields.
#[track_caller]
pub fn fields(entry: &Value) -> Fields {
    let pairs = entry[1].pairs();
    let fields: Fields = pairs.iter().map(|(f, v)| (f.text(), v.text())).collect();
    assert_eq!(fields.len(), pairs.len(), "no field twice: {entry:?}");
    fields
}

/// What a consumer knows of one item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    fields: Fields,
}

/// What a consumer knows of the decision on an item, as DECIDED has it: without when it runs out, which no event tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Verdict, decided, token, rev, submitted and reports.
    pub fields: Fields,
    /// All who voted; the one who ended it last.
    pub moderators: Vec<String>,
}

/// What a consumer knows of one queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folded {
    /// By its id.
    pub items: BTreeMap<String, Item>,
    totals: BTreeMap<&'static str, i64>,
    /// Of each item the last decision, as if all were remembered for ever: no event tells that one runs out.
    decisions: BTreeMap<String, Decision>,
}

/// The list `known` with those of `skipped` at its end who are not in it. (No name here has a comma.)
fn with_skips(known: &str, skipped: &str) -> String {
    let names = |list: &str| -> Vec<String> {
        let inner = list.trim_start_matches('[').trim_end_matches(']');
        let names = inner.split(',').filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    };
    let mut all = names(known);
    let new = names(skipped).into_iter();
    let new: Vec<String> = new.filter(|name| !all.contains(name)).collect();
    all.extend(new);
    format!("[{}]", all.join(","))
}

/// Fields that tell of an event and not of what its item is afterwards.
const NO_STATE: [&str; 9] = [
    "ev", "key", "item", "at", "verdict", "decision", "reason", "by", "via",
];

/// The votes `known`, a list of rows, with one more at its end.
fn with_vote(known: &str, vote: &str) -> String {
    let rows = known.strip_suffix(']').expect("a list");
    let comma = if rows == "[" { "" } else { "," };
    format!("{rows}{comma}{vote}]")
}

/// A list as events tell it.
fn json(value: &Value) -> String {
    match value {
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(json).collect();
            format!("[{}]", all.join(","))
        }
        Value::Int(n) => n.to_string(),
        other => format!("\"{}\"", other.text()),
    }
}

/// Whose votes these rows are. (No name here has a comma or a bracket.)
fn voters(votes: &str) -> Vec<String> {
    let rows = votes.trim_matches(['[', ']']).split("],[");
    let names = rows.filter_map(|row| row.split(',').next());
    let names = names.map(|name| name.trim_matches('"').to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

impl Folded {
    /// Takes in the next event of the queue.
    #[track_caller]
    pub fn fold(&mut self, event: &Fields) {
        let mut count = |what| *self.totals.entry(what).or_default() += 1;
        match &*event["ev"] {
            "submit" => count("submitted"),
            "resolve" => count("resolved"),
            "vote" => count("votes"),
            "split" => {
                // By a verdict, or because more votes are asked for than there can be.
                if event.contains_key("verdict") {
                    count("votes");
                }
                count("splits");
            }
            "cancel" => count("cancelled"),
            "release" => count("released"),
            "expire" => count("expired"),
            "dead" => {
                count("expired");
                count("died");
            }
            _ => {}
        }
        let id = event["item"].clone();
        if self.fold_decision(&id, event) {
            return;
        }
        match &*event["ev"] {
            "cancel" | "resolve" | "move_out" => {
                self.items.remove(&id).expect("it was there");
                return;
            }
            "submit" | "move_in" => {
                let old = self.items.insert(id.clone(), Item::default());
                assert_eq!(old, None, "{event:?}");
            }
            _ => {}
        }
        let item = &mut self.items.get_mut(&id).expect("it is there").fields;
        let known = item.get("excluded").cloned();
        let told = event.iter();
        let told = told.filter(|(f, _)| !NO_STATE.contains(&f.as_str()));
        item.extend(told.map(|(f, v)| (f.clone(), v.clone())));
        if let ("vote" | "split", Some(verdict)) = (&*event["ev"], event.get("verdict")) {
            let vote = format!("[\"{}\",\"{verdict}\",{}]", event["moderator"], event["at"]);
            let votes = item.entry("votes".into()).or_insert("[]".into());
            *votes = with_vote(votes, &vote);
        }
        if event["ev"] == "split" {
            item.insert("contested".into(), "1".into());
        }
        if let (Some(known), "release") = (known, &*event["ev"]) {
            let skipped = event.get("excluded").map_or("[]", |list| list);
            item.insert("excluded".into(), with_skips(&known, skipped));
        }
        if item["state"] != "locked" {
            item.retain(|field, _| !["moderator", "token", "deadline"].contains(&field.as_str()));
        }
    }

    /// Takes in what an event tells of the decision on an item. Answers whether it tells nothing of an item in the queue.
    #[track_caller]
    fn fold_decision(&mut self, id: &str, event: &Fields) -> bool {
        match &*event["ev"] {
            "resolve" => {
                let decision = self.decision(id, event);
                self.decisions.insert(id.into(), decision);
                false
            }
            "report" => {
                let decision = self.decisions.get_mut(id).expect("it was decided");
                assert_eq!(decision.fields["rev"], event["rev"]);
                let reports = event["reports"].clone();
                decision.fields.insert("reports".into(), reports);
                true
            }
            "forget" => {
                let decision = self.decisions.remove(id).expect("it was decided");
                assert_eq!(decision.fields["rev"], event["rev"]);
                true
            }
            _ => false,
        }
    }

    /// The decision that ends an item.
    fn decision(&self, id: &str, event: &Fields) -> Decision {
        let item = &self.items[id].fields;
        let mut fields = Fields::new();
        let verdict = event.get("verdict").cloned();
        fields.insert("verdict".into(), verdict.unwrap_or_default());
        fields.insert("decided".into(), event["at"].clone());
        for (name, from) in [
            ("token", event),
            ("rev", event),
            ("submitted", item),
            ("reports", item),
        ] {
            fields.insert(name.into(), from[name].clone());
        }
        let who = &event["moderator"];
        let votes = item.get("votes").map_or("[]", |votes| votes);
        let mut moderators = voters(votes);
        moderators.retain(|voter| voter != who);
        moderators.push(who.clone());
        Decision { fields, moderators }
    }

    /// The last decision on each item, as if all were remembered for ever.
    #[must_use]
    pub fn decisions(&self) -> &BTreeMap<String, Decision> {
        &self.decisions
    }

    /// What is known, as [`asked`] has it: lists that are empty, and times that are not set, are told as such or not at all.
    #[must_use]
    pub fn told(&self) -> Folded {
        let mut known = Folded {
            decisions: BTreeMap::new(),
            ..self.clone()
        };
        for item in known.items.values_mut() {
            item.fields.retain(|_, value| value != "[]");
            // What holds where nobody said otherwise.
            let entry = |known: &mut Fields, field: &str, value: &str| {
                known.entry(field.into()).or_insert(value.into());
            };
            entry(&mut item.fields, "quorum", "[1,1]");
            entry(&mut item.fields, "contested", "0");
            // An item that was taken out of its group is as one that never was in any.
            item.fields
                .retain(|field, value| field != "group" || !value.is_empty());
            item.fields.entry("due".into()).or_insert("0".into());
        }
        known
    }
}

/// What the server remembers of the decision on an item, in the shape of what a consumer knows.
#[must_use]
#[track_caller]
pub fn asked_decision(c: &mut Client, key: &str, item: &str) -> Option<Decision> {
    let reply = c.cmd(&["MODQ.DECIDED", key, item]);
    if reply.is_null() {
        return None;
    }
    let mut decision = Decision::default();
    for (field, value) in reply.pairs() {
        let field = field.text();
        let value = match &value {
            _ if field == "item" || field == "expires" => continue,
            Value::Array(names) => {
                decision.moderators = names.iter().map(Value::text).collect();
                continue;
            }
            Value::Int(n) => n.to_string(),
            other => other.text(),
        };
        decision.fields.insert(field, value);
    }
    Some(decision)
}

/// What the server says of a queue, in the shape of what a consumer knows.
#[must_use]
#[track_caller]
pub fn asked(c: &mut Client, key: &str) -> Folded {
    let mut folded = Folded::default();
    for state in ["READY", "LOCKED", "DELAYED", "DEAD"] {
        let mut cursor = "0".to_owned();
        loop {
            let page = c.cmd(&["MODQ.LIST", key, state, "CURSOR", &cursor]);
            for row in page[1].items() {
                let id = row[0].text();
                let item = c.cmd(&["MODQ.GET", key, &id]);
                assert_eq!(item.field("state").text(), state.to_lowercase());
                let mut known = Fields::new();
                for (field, value) in item.pairs() {
                    let field = field.text();
                    let value = match &value {
                        _ if field == "payload" || field == "item" => continue,
                        _ if value.is_null() => continue,
                        Value::Array(names) if names.is_empty() => continue,
                        list @ Value::Array(_) => json(list),
                        Value::Int(n) => n.to_string(),
                        other => other.text(),
                    };
                    known.insert(field, value);
                }
                folded.items.insert(id, Item { fields: known });
            }
            cursor = page[0].text();
            if cursor == "0" {
                break;
            }
        }
    }
    let stats = c.cmd(&["MODQ.STATS", key]);
    for name in [
        "submitted",
        "resolved",
        "cancelled",
        "released",
        "expired",
        "died",
        "votes",
        "splits",
    ] {
        let n = stats.field(name).int();
        if n > 0 {
            folded.totals.insert(name, n);
        }
    }
    let in_state = |state: &str| {
        let items = folded.items.values();
        items.filter(|i| i.fields["state"] == state).count() as i64
    };
    for state in ["ready", "locked", "delayed", "dead"] {
        assert_eq!(stats.field(state).int(), in_state(state), "{state}");
    }
    folded
}

/// Waits until nothing happens by itself for a minute: what is shown then is what the last event told. Locks and delays
/// are to be either short or longer than that.
#[track_caller]
pub fn wait_settled(c: &mut Client, keys: &[&str]) {
    let mut soon = Vec::new();
    let settled = comes_true(PATIENCE, || {
        soon = keys
            .iter()
            .flat_map(|key| about_to_happen(c, key))
            .collect();
        soon.is_empty()
    });
    assert!(settled, "in {PATIENCE:?} there was no end of {soon:?}");
}

/// What happens at a queue within a minute.
fn about_to_happen(c: &mut Client, key: &str) -> Vec<String> {
    let mut soon = Vec::new();
    let now = now_ms();
    for (state, field) in [("LOCKED", "deadline"), ("DELAYED", "due")] {
        let rows = c.line(&format!("MODQ.LIST {key} {state} COUNT 1000"));
        for row in rows[1].items() {
            let at = c.cmd(&["MODQ.GET", key, &row[0].text()]).field(field);
            if !matches!(at, Value::Int(at) if at > now + 60_000) {
                let item = row[0].text();
                soon.push(format!("{key} {state} {item} {at:?} at {now}"));
            }
        }
    }
    let overdue = c.cmd(&["MODQ.STATS", key]).field("deferred").int();
    if overdue > 0 {
        soon.push(format!("{key}: {overdue} overdue"));
    }
    soon
}

/// All the entries of a stream, folded by queue.
#[must_use]
#[track_caller]
pub fn fold_stream(c: &mut Client, stream: &str) -> BTreeMap<String, Folded> {
    let mut queues: BTreeMap<String, Folded> = BTreeMap::new();
    for entry in c.line(&format!("XRANGE {stream} - +")).items() {
        let event = fields(entry);
        queues.entry(event["key"].clone()).or_default().fold(&event);
    }
    queues
}
