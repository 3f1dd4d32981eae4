//! What the commands answer, as types. Maps are read by field name, so fields of newer modules do no harm and missing
//! ones are none.

use super::Failure;
use redis::Value;

/// The elements of an array; none of anything else.
pub(crate) fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        _ => &[],
    }
}

/// The bytes of a string; empty for anything else.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes.clone(),
        Value::SimpleString(text) => text.clone().into_bytes(),
        Value::VerbatimString { text, .. } => text.clone().into_bytes(),
        Value::Okay => b"OK".to_vec(),
        Value::Int(n) => n.to_string().into_bytes(),
        Value::Double(n) => n.to_string().into_bytes(),
        _ => Vec::new(),
    }
}

/// The same as text, for what the server itself says.
pub(crate) fn text(value: &Value) -> String {
    String::from_utf8_lossy(&bytes(value)).into_owned()
}

/// An integer, also one that came as a string; 0 for anything else.
pub(crate) fn int(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        other => text(other).parse().unwrap_or(0),
    }
}

fn strings(value: &Value) -> Vec<Vec<u8>> {
    list(value).iter().map(bytes).collect()
}

/// A map, in RESP3 or as the flat array of RESP2.
pub(crate) struct Fields<'a>(Vec<(String, &'a Value)>);

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value) -> Fields<'a> {
        Fields(match value {
            Value::Map(pairs) => pairs
                .iter()
                .map(|(key, value)| (text(key), value))
                .collect(),
            other => {
                let pairs = list(other).chunks_exact(2);
                pairs.map(|pair| (text(&pair[0]), &pair[1])).collect()
            }
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| *value)
    }

    /// In the server's order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    fn int(&self, name: &str) -> i64 {
        self.get(name).map_or(0, int)
    }

    fn maybe_int(&self, name: &str) -> Option<i64> {
        self.get(name).filter(|v| **v != Value::Nil).map(int)
    }

    fn text(&self, name: &str) -> String {
        self.get(name).map_or_else(String::new, text)
    }

    fn maybe_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.get(name).filter(|v| **v != Value::Nil).map(bytes)
    }
}

/// MODQ.STATS. What only newer modules tell is none with an older one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) ready: i64,
    pub(crate) locked: i64,
    pub(crate) delayed: i64,
    pub(crate) dead: i64,
    pub(crate) waiting: i64,
    pub(crate) deferred: i64,
    /// Milliseconds.
    pub(crate) oldest_ready_ms: i64,
    pub(crate) oldest_item_ms: i64,
    pub(crate) submitted: i64,
    pub(crate) resolved: i64,
    pub(crate) cancelled: i64,
    pub(crate) released: i64,
    pub(crate) expired: i64,
    pub(crate) died: i64,
    /// p50, p95, p99 in ms.
    pub(crate) wait_ms: [i64; 3],
    pub(crate) handle_ms: [i64; 3],
    /// `none`, `in`, `out` or `all`.
    pub(crate) paused: String,
    pub(crate) bytes: i64,
    pub(crate) votes: Option<i64>,
    pub(crate) splits: Option<i64>,
    pub(crate) contested: Option<i64>,
    pub(crate) oldest_contested_ms: Option<i64>,
    pub(crate) decided: Option<i64>,
    pub(crate) records_evicted: Option<i64>,
    pub(crate) wait_histogram: Option<Histogram>,
    pub(crate) handle_histogram: Option<Histogram>,
    /// Not in a brief answer.
    pub(crate) by_tag: Vec<(Vec<u8>, i64)>,
    pub(crate) by_priority: Vec<(String, i64)>,
}

/// Cumulative counts by upper bound in ms; −1 is no bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    pub(crate) rows: Vec<(i64, i64)>,
    pub(crate) sum_ms: i64,
}

impl Stats {
    pub(crate) fn of(value: &Value) -> Result<Stats, Failure> {
        let f = Fields::of(value);
        if f.get("ready").is_none() {
            return Err(Failure::strange("MODQ.STATS"));
        }
        let percentiles = |of: &str| ["p50", "p95", "p99"].map(|p| f.int(&format!("{of}_ms_{p}")));
        Ok(Stats {
            ready: f.int("ready"),
            locked: f.int("locked"),
            delayed: f.int("delayed"),
            dead: f.int("dead"),
            waiting: f.int("waiting"),
            deferred: f.int("deferred"),
            oldest_ready_ms: f.int("oldest_ready_ms"),
            oldest_item_ms: f.int("oldest_item_ms"),
            submitted: f.int("submitted"),
            resolved: f.int("resolved"),
            cancelled: f.int("cancelled"),
            released: f.int("released"),
            expired: f.int("expired"),
            died: f.int("died"),
            wait_ms: percentiles("wait"),
            handle_ms: percentiles("handle"),
            paused: f.text("paused"),
            bytes: f.int("bytes"),
            votes: f.maybe_int("votes"),
            splits: f.maybe_int("splits"),
            contested: f.maybe_int("contested"),
            oldest_contested_ms: f.maybe_int("oldest_contested_ms"),
            decided: f.maybe_int("decided"),
            records_evicted: f.maybe_int("records_evicted"),
            wait_histogram: histogram(&f, "wait"),
            handle_histogram: histogram(&f, "handle"),
            by_tag: counts(f.get("by_tag"), bytes),
            by_priority: counts(f.get("by_priority"), text),
        })
    }
}

fn histogram(fields: &Fields<'_>, of: &str) -> Option<Histogram> {
    let rows = list(fields.get(&format!("{of}_ms_histogram"))?);
    let row = |row: &Value| Some((int(list(row).first()?), int(list(row).get(1)?)));
    Some(Histogram {
        rows: rows.iter().filter_map(row).collect(),
        sum_ms: fields.int(&format!("{of}_ms_sum")),
    })
}

fn counts<K>(value: Option<&Value>, key: impl Fn(&Value) -> K) -> Vec<(K, i64)> {
    match value {
        Some(Value::Map(pairs)) => pairs.iter().map(|(k, n)| (key(k), int(n))).collect(),
        Some(other) => {
            let pairs = list(other).chunks_exact(2);
            pairs.map(|pair| (key(&pair[0]), int(&pair[1]))).collect()
        }
        None => Vec::new(),
    }
}

/// MODQ.GET.
#[derive(Clone, Debug, Default)]
pub(crate) struct Item {
    pub(crate) state: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) priority: i64,
    pub(crate) boost: i64,
    /// Unix ms, as all times here.
    pub(crate) submitted: i64,
    pub(crate) due: i64,
    pub(crate) rev: i64,
    pub(crate) reports: i64,
    pub(crate) deliveries: i64,
    pub(crate) expiries: i64,
    pub(crate) moderator: Option<Vec<u8>>,
    pub(crate) token: Option<i64>,
    pub(crate) deadline: Option<i64>,
    pub(crate) tags: Vec<Vec<u8>>,
    pub(crate) excluded: Vec<Vec<u8>>,
    pub(crate) group: Option<Vec<u8>>,
    /// Who decided it before, if this is the appeal.
    pub(crate) deciders: Vec<Vec<u8>>,
    /// k of n votes.
    pub(crate) quorum: Option<(i64, i64)>,
    pub(crate) votes: Vec<Vote>,
    pub(crate) contested: bool,
}

/// Who said what about an item, and when.
#[derive(Clone, Debug)]
pub(crate) struct Vote {
    pub(crate) moderator: Vec<u8>,
    pub(crate) verdict: Vec<u8>,
    pub(crate) at: i64,
}

impl Item {
    /// None if there is no such item.
    pub(crate) fn of(value: &Value) -> Result<Option<Item>, Failure> {
        if *value == Value::Nil {
            return Ok(None);
        }
        let f = Fields::of(value);
        if f.get("state").is_none() {
            return Err(Failure::strange("MODQ.GET"));
        }
        let pair = |v: &Value| Some((int(list(v).first()?), int(list(v).get(1)?)));
        let votes = f.get("votes").map(list).unwrap_or_default();
        Ok(Some(Item {
            state: f.text("state"),
            payload: f.maybe_bytes("payload").unwrap_or_default(),
            priority: f.int("priority"),
            boost: f.int("boost"),
            submitted: f.int("submitted"),
            due: f.int("due"),
            rev: f.int("rev"),
            reports: f.int("reports"),
            deliveries: f.int("deliveries"),
            expiries: f.int("expiries"),
            moderator: f.maybe_bytes("moderator"),
            token: f.maybe_int("token"),
            deadline: f.maybe_int("deadline"),
            tags: f.get("tags").map(strings).unwrap_or_default(),
            excluded: f.get("excluded").map(strings).unwrap_or_default(),
            group: f.maybe_bytes("group"),
            deciders: f.get("deciders").map(strings).unwrap_or_default(),
            quorum: f.get("quorum").and_then(pair),
            votes: votes.iter().filter_map(Vote::of).collect(),
            contested: f.int("contested") == 1,
        }))
    }
}

impl Vote {
    fn of(row: &Value) -> Option<Vote> {
        let row = list(row);
        Some(Vote {
            moderator: bytes(row.first()?),
            verdict: bytes(row.get(1)?),
            at: int(row.get(2)?),
        })
    }
}

/// A lock as CLAIM and HELD answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) item: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) token: i64,
    pub(crate) deadline: i64,
    pub(crate) priority: i64,
    pub(crate) submitted: i64,
    pub(crate) deliveries: i64,
    pub(crate) rev: i64,
}

impl Claim {
    /// All claims of a reply; none of null.
    pub(crate) fn all(value: &Value) -> Vec<Claim> {
        list(value).iter().filter_map(Claim::of).collect()
    }

    fn of(row: &Value) -> Option<Claim> {
        let [
            item,
            payload,
            token,
            deadline,
            priority,
            submitted,
            deliveries,
            rev,
        ] = list(row)
        else {
            return None;
        };
        Some(Claim {
            item: bytes(item),
            payload: bytes(payload),
            token: int(token),
            deadline: int(deadline),
            priority: int(priority),
            submitted: int(submitted),
            deliveries: int(deliveries),
            rev: int(rev),
        })
    }
}

/// A row of MODQ.LIST or MODQ.GROUP.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) item: Vec<u8>,
    /// Only GROUP tells it.
    pub(crate) state: Option<String>,
    pub(crate) priority: i64,
    pub(crate) submitted: i64,
    pub(crate) moderator: Option<Vec<u8>>,
    pub(crate) deadline: Option<i64>,
}

/// A page and where the next begins; none after the last.
#[derive(Clone, Debug)]
pub(crate) struct Page<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    fn of(value: &Value, row: impl Fn(&[Value]) -> Option<T>) -> Page<T> {
        let parts = list(value);
        let cursor = parts.first().map(text).unwrap_or_default();
        let rows = parts.get(1).map(list).unwrap_or_default();
        Page {
            rows: rows.iter().filter_map(|r| row(list(r))).collect(),
            next: Some(cursor).filter(|c| c != "0" && !c.is_empty()),
        }
    }
}

impl Row {
    pub(crate) fn page(value: &Value) -> Page<Row> {
        let some = |v: &Value| *v != Value::Nil;
        Page::of(value, |r| {
            Some(Row {
                item: bytes(r.first()?),
                state: None,
                priority: int(r.get(1)?),
                submitted: int(r.get(2)?),
                moderator: r.get(3).filter(|v| some(v)).map(bytes),
                deadline: r.get(4).filter(|v| some(v)).map(int),
            })
        })
    }

    pub(crate) fn group_page(value: &Value) -> Page<Row> {
        let some = |v: &Value| *v != Value::Nil;
        Page::of(value, |r| {
            Some(Row {
                item: bytes(r.first()?),
                state: Some(text(r.get(1)?)),
                priority: int(r.get(2)?),
                submitted: int(r.get(3)?),
                moderator: r.get(4).filter(|v| some(v)).map(bytes),
                deadline: None,
            })
        })
    }
}

/// A row of MODQ.WAITERS.
#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    pub(crate) moderator: Vec<u8>,
    /// `joined` or `blocked`.
    pub(crate) kind: String,
    pub(crate) since: i64,
    pub(crate) tags: Vec<Vec<u8>>,
}

impl Waiter {
    pub(crate) fn all(value: &Value) -> Vec<Waiter> {
        let row = |row: &Value| {
            let r = list(row);
            Some(Waiter {
                moderator: bytes(r.first()?),
                kind: text(r.get(1)?),
                since: int(r.get(2)?),
                tags: strings(r.get(3)?),
            })
        };
        list(value).iter().filter_map(row).collect()
    }
}

/// An entry of a queue's event stream: its id, and fields in their order.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
}

impl Event {
    pub(crate) fn all(value: &Value) -> Vec<Event> {
        let entry = |entry: &Value| {
            let parts = list(entry);
            let fields = Fields::of(parts.get(1)?);
            Some(Event {
                id: text(parts.first()?),
                fields: fields
                    .iter()
                    .map(|(k, v)| (k.to_owned(), bytes(v)))
                    .collect(),
            })
        };
        list(value).iter().filter_map(entry).collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_slice())
    }
}

/// What one limit of a RATELIMIT.PEEK … DETAIL says.
#[derive(Clone, Debug)]
pub(crate) struct LimitState {
    pub(crate) quota: i64,
    /// Milliseconds, as the two below.
    pub(crate) window: i64,
    pub(crate) remaining: i64,
    pub(crate) next_after: i64,
    pub(crate) reset_after: i64,
}

/// RATELIMIT.PEEK … COST 0 DETAIL.
#[derive(Clone, Debug)]
pub(crate) struct LimitCheck {
    pub(crate) allowed: bool,
    pub(crate) retry_after: i64,
    pub(crate) limits: Vec<LimitState>,
}

impl LimitCheck {
    pub(crate) fn of(value: &Value) -> Result<LimitCheck, Failure> {
        let parts = list(value);
        let (Some(allowed), Some(retry)) = (parts.first(), parts.get(3)) else {
            return Err(Failure::strange("RATELIMIT.PEEK"));
        };
        let limit = |row: &Value| {
            let r = list(row);
            Some(LimitState {
                quota: int(r.first()?),
                window: int(r.get(1)?),
                remaining: int(r.get(2)?),
                next_after: int(r.get(3)?),
                reset_after: int(r.get(4)?),
            })
        };
        let limits = parts.get(6).map(list).unwrap_or_default();
        Ok(LimitCheck {
            allowed: int(allowed) == 1,
            retry_after: int(retry),
            limits: limits.iter().filter_map(limit).collect(),
        })
    }
}

/// A limit of a policy.
#[derive(Clone, Debug)]
pub(crate) struct PolicyLimit {
    pub(crate) quota: i64,
    pub(crate) window: i64,
    pub(crate) algo: String,
    pub(crate) burst: i64,
}

impl PolicyLimit {
    pub(crate) fn all(value: &Value) -> Vec<PolicyLimit> {
        let fields = Fields::of(value);
        let limits = fields.get("limits").map(list).unwrap_or_default();
        let one = |limit: &Value| {
            let f = Fields::of(limit);
            PolicyLimit {
                quota: f.int("quota"),
                window: f.int("window"),
                algo: f.text("algo"),
                burst: f.int("burst"),
            }
        };
        limits.iter().map(one).collect()
    }
}

/// A lease of RATELIMIT.LEASES.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) id: Vec<u8>,
    pub(crate) cost: i64,
    pub(crate) expires: i64,
}

impl Lease {
    pub(crate) fn page(value: &Value) -> Page<Lease> {
        Page::of(value, |r| {
            Some(Lease {
                id: bytes(r.first()?),
                cost: int(r.get(1)?),
                expires: int(r.get(2)?),
            })
        })
    }
}

/// RANK.INFO, as the server tells it: name and value in words.
pub(crate) fn board_info(value: &Value) -> Option<Vec<(String, String)>> {
    if *value == Value::Nil {
        return None;
    }
    let shown = |v: &Value| match list(v) {
        [] => text(v),
        words => words.iter().map(text).collect::<Vec<_>>().join(", "),
    };
    let fields = Fields::of(value);
    Some(
        fields
            .iter()
            .map(|(k, v)| (k.to_owned(), shown(v)))
            .collect(),
    )
}

/// A row of RANK.TOP or RANK.AROUND.
#[derive(Clone, Debug)]
pub(crate) struct Rank {
    pub(crate) rank: i64,
    pub(crate) member: Vec<u8>,
    pub(crate) scores: Vec<i64>,
}

impl Rank {
    pub(crate) fn all(value: &Value) -> Vec<Rank> {
        let row = |row: &Value| {
            let r = list(row);
            Some(Rank {
                rank: int(r.first()?),
                member: bytes(r.get(1)?),
                scores: r.get(2..)?.iter().map(int).collect(),
            })
        };
        list(value).iter().filter_map(row).collect()
    }
}

/// The lines `name:value` of INFO.
pub(crate) fn info_lines(value: &Value) -> Vec<(String, String)> {
    let line = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    text(value).lines().filter_map(line).collect()
}
