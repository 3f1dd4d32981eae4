//! Who did what: a line of JSON on standard output for each action, the newest in memory for a page, and if the operator
//! names a stream, an entry in it.

use crate::bytes::shown;
use crate::db::Db;
use crate::words::now_ms;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// Entries that the page shows.
const KEPT: usize = 500;

/// An action that somebody took, or tried to.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Unix ms.
    pub(crate) at: i64,
    pub(crate) who: String,
    pub(crate) role: &'static str,
    pub(crate) from: String,
    pub(crate) action: &'static str,
    /// The key it was about, as shown; empty if none.
    pub(crate) key: String,
    /// The item, member or id.
    pub(crate) item: String,
    /// What else matters: to whom, why, how many.
    pub(crate) detail: String,
    /// `ok`, or the code of the error.
    pub(crate) result: String,
}

/// Who acts, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) who: String,
    pub(crate) role: &'static str,
    pub(crate) from: String,
}

/// Where entries go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Audit {
    shared: Arc<Shared>,
}

struct Shared {
    db: Db,
    stream: Option<String>,
    newest: Mutex<VecDeque<Entry>>,
    /// By action and result, for /metrics.
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
}

impl Audit {
    pub(crate) fn new(db: Db, stream: Option<String>) -> Audit {
        let shared = Shared {
            db,
            stream,
            newest: Mutex::default(),
            counts: Mutex::default(),
        };
        Audit {
            shared: Arc::new(shared),
        }
    }

    /// Writes an entry. If the stream cannot be written the line is there all the same, and the log says so.
    pub(crate) async fn write(
        &self,
        actor: &Actor,
        action: &'static str,
        key: &[u8],
        item: &[u8],
        detail: &str,
        result: &str,
    ) {
        let entry = Entry {
            at: now_ms(),
            who: actor.who.clone(),
            role: actor.role,
            from: actor.from.clone(),
            action,
            key: shown(key),
            item: shown(item),
            detail: detail.to_owned(),
            result: result.to_owned(),
        };
        print(&entry);
        self.keep(entry.clone());
        if let Some(stream) = &self.shared.stream {
            if let Err(e) = self.shared.db.append(stream, &fields(&entry)).await {
                eprintln!("modq-console: the audit stream was not written: {e}");
            }
        }
    }

    fn keep(&self, entry: Entry) {
        if let Ok(mut counts) = self.shared.counts.lock() {
            let result = if entry.result == "ok" { "ok" } else { "error" };
            *counts.entry((entry.action, result.to_owned())).or_default() += 1;
        }
        if let Ok(mut newest) = self.shared.newest.lock() {
            newest.push_front(entry);
            newest.truncate(KEPT);
        }
    }

    /// The newest first.
    pub(crate) fn newest(&self) -> Vec<Entry> {
        self.shared
            .newest
            .lock()
            .map_or_else(|_| Vec::new(), |all| all.iter().cloned().collect())
    }

    /// How often each action came to each result.
    pub(crate) fn counts(&self) -> Vec<((&'static str, String), u64)> {
        let counts = self.shared.counts.lock();
        counts.map_or_else(
            |_| Vec::new(),
            |all| all.iter().map(|(k, n)| (k.clone(), *n)).collect(),
        )
    }

    /// The stream, if there is one.
    pub(crate) fn stream(&self) -> Option<&str> {
        self.shared.stream.as_deref()
    }
}

fn fields(entry: &Entry) -> [(&'static str, String); 9] {
    [
        ("at", entry.at.to_string()),
        ("who", entry.who.clone()),
        ("role", entry.role.to_owned()),
        ("from", entry.from.clone()),
        ("action", entry.action.to_owned()),
        ("key", entry.key.clone()),
        ("item", entry.item.clone()),
        ("detail", entry.detail.clone()),
        ("result", entry.result.clone()),
    ]
}

fn print(entry: &Entry) {
    let line = json!({
        "audit": entry.action, "at": entry.at, "who": entry.who, "role": entry.role, "from": entry.from,
        "key": entry.key, "item": entry.item, "detail": entry.detail, "result": entry.result,
    });
    // A closed standard output must not end the console.
    let _ = writeln!(std::io::stdout(), "{line}");
}
