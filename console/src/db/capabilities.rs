//! What the module on the server can do: newer commands and options are used where they are, and not missed elsewhere.

use super::Failure;
use super::connect::Link;
use super::replies::{Fields, list, text};
use redis::{Cmd, Value};
use std::collections::HashSet;

/// What the server's module knows beyond its first version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capabilities {
    /// STATS … BRIEF.
    pub(crate) brief: bool,
    /// RESOLVE … VERDICT, and votes.
    pub(crate) verdict: bool,
    /// RESOLVE … ALSO and MODQ.GROUP.
    pub(crate) groups: bool,
    /// CANCEL … REASON.
    pub(crate) reason: bool,
    /// ASSIGN … TOKEN: a hand-over in one step.
    pub(crate) hand_over: bool,
    /// MODQ.DECIDED and MODQ.FORGET.
    pub(crate) records: bool,
    /// Commands that take BY, in lower case.
    by: HashSet<String>,
}

impl Capabilities {
    /// Whether this command takes `BY who`.
    pub(crate) fn takes_by(&self, command: &str) -> bool {
        self.by.contains(&command.to_ascii_lowercase())
    }
}

const ASKED: [&str; 12] = [
    "modq.stats",
    "modq.resolve",
    "modq.group",
    "modq.cancel",
    "modq.assign",
    "modq.decided",
    "modq.forget",
    "modq.move",
    "modq.update",
    "modq.revive",
    "modq.cancelgroup",
    "modq.submit",
];

/// Asks COMMAND DOCS. Where that is not allowed, the server counts as one of the first version.
pub(super) async fn ask(link: &mut Link) -> Result<Capabilities, Failure> {
    let mut cmd = Cmd::new();
    cmd.arg("COMMAND").arg("DOCS").arg(&ASKED[..]);
    Ok(of_docs(&link.send(&None, cmd).await?))
}

fn of_docs(docs: &Value) -> Capabilities {
    let commands = Fields::of(docs);
    let options = |name: &str| {
        let mut words = HashSet::new();
        if let Some(doc) = commands.get(name) {
            words_of(doc, &mut words);
        }
        words
    };
    let has = |name: &str, option: &str| options(name).contains(option);
    Capabilities {
        brief: has("modq.stats", "BRIEF"),
        verdict: has("modq.resolve", "VERDICT"),
        groups: has("modq.resolve", "ALSO") && commands.get("modq.group").is_some(),
        reason: has("modq.cancel", "REASON"),
        hand_over: has("modq.assign", "TOKEN"),
        records: commands.get("modq.decided").is_some() && commands.get("modq.forget").is_some(),
        by: ASKED
            .iter()
            .filter(|name| has(name, "BY"))
            .map(|name| (*name).to_owned())
            .collect(),
    }
}

/// All words of a command's description that could be the token of an option.
fn words_of(value: &Value, into: &mut HashSet<String>) {
    match value {
        Value::Map(pairs) => {
            for (key, value) in pairs {
                words_of(key, into);
                words_of(value, into);
            }
        }
        Value::Array(_) | Value::Set(_) => list(value).iter().for_each(|v| words_of(v, into)),
        _ => {
            into.insert(text(value));
        }
    }
}
