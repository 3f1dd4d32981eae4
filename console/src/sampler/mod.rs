//! One sampler for all tabs and for /metrics: it finds the queues, asks for their figures and keeps a history of them in
//! memory. Pages read its snapshot and say how old it is.

mod discover;
mod history;

pub(crate) use history::{History, Point};

use crate::db::{Db, Failure, Node, Stats};
use crate::words::now_ms;
use discover::discover;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often figures are asked for.
pub(crate) const TICK: Duration = Duration::from_secs(2);
/// Queues beyond those that somebody looks at, each tick; so 10,000 take ten ticks.
const ROTATION: usize = 1000;
/// Commands in one go.
const CHUNK: usize = 100;
/// For how long a row counts as looked at.
const SEEN_FOR: Duration = Duration::from_secs(15);
/// The most rows that are asked for each tick because somebody looks at them.
const SEEN_MOST: usize = 400;
/// How often keys are looked for, when nothing says that there are others.
const DISCOVERY: Duration = Duration::from_secs(60);
/// Queues with so many tags are costly to ask, where the module has no brief answer: they are asked this much less often.
const COSTLY_TAGS: usize = 200;
const COSTLY_EVERY: Duration = Duration::from_secs(30);

/// A queue as it was last seen.
#[derive(Clone)]
pub(crate) struct Queue {
    pub(crate) key: Vec<u8>,
    /// None until it was asked for the first time, or if that did not work.
    pub(crate) stats: Option<Stats>,
    /// When it was asked for.
    pub(crate) sampled: Instant,
    pub(crate) history: History,
    /// Totals that survive the queue being deleted and made anew.
    pub(crate) totals: Totals,
    costly: bool,
}

/// Sums of the differences between samples, by the names of STATS.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    last: [i64; TOTALS.len()],
    pub(crate) sums: [i64; TOTALS.len()],
}

/// The totals of STATS, as /metrics names them.
pub(crate) const TOTALS: [&str; 6] = [
    "submitted",
    "resolved",
    "cancelled",
    "released",
    "expired",
    "died",
];

impl Totals {
    fn follow(&mut self, stats: &Stats) {
        let now = [
            stats.submitted,
            stats.resolved,
            stats.cancelled,
            stats.released,
            stats.expired,
            stats.died,
        ];
        for (i, now) in now.into_iter().enumerate() {
            // A smaller total is that of a queue that began anew.
            let grown = if now >= self.last[i] {
                now - self.last[i]
            } else {
                now
            };
            self.sums[i] += grown;
            self.last[i] = now;
        }
    }
}

/// What INFO said of a primary.
#[derive(Clone, Default)]
pub(crate) struct NodeInfo {
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) fields: HashMap<String, String>,
    pub(crate) server: String,
}

impl NodeInfo {
    pub(crate) fn number(&self, field: &str) -> Option<f64> {
        self.fields.get(field)?.parse().ok()
    }
}

/// All that is known.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    /// By key.
    pub(crate) queues: BTreeMap<Vec<u8>, Arc<Queue>>,
    pub(crate) nodes: Vec<NodeInfo>,
    /// When figures last came, and when a pass last failed, with why.
    pub(crate) at: Option<Instant>,
    pub(crate) failure: Option<Failure>,
    /// Whether all keys have been looked at once.
    pub(crate) complete: bool,
}

impl Snapshot {
    /// How old the figures are, in ms; none before the first.
    pub(crate) fn age_ms(&self) -> Option<i64> {
        let age = self.at?.elapsed().as_millis();
        i64::try_from(age).ok()
    }
}

/// The sampler. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sampler {
    snapshot: Arc<RwLock<Arc<Snapshot>>>,
    /// Rows that somebody looks at, and when they last said so.
    seen: Arc<RwLock<HashMap<Vec<u8>, Instant>>>,
    /// Told after each tick.
    ticks: watch::Sender<u64>,
    /// Asks for a tick at once.
    hurry: Arc<tokio::sync::Notify>,
}

impl Sampler {
    /// Starts the task.
    pub(crate) fn start(db: Db) -> Sampler {
        let sampler = Sampler {
            snapshot: Arc::default(),
            seen: Arc::default(),
            ticks: watch::channel(0).0,
            hurry: Arc::default(),
        };
        tokio::spawn(Work::new(sampler.clone(), db).run());
        sampler
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot
            .read()
            .map_or_else(|_| Arc::default(), |now| now.clone())
    }

    pub(crate) fn queue(&self, key: &[u8]) -> Option<Arc<Queue>> {
        self.snapshot().queues.get(key).cloned()
    }

    /// These are on somebody's screen: they are asked for each tick for a while.
    pub(crate) fn look_at<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) {
        let Ok(mut seen) = self.seen.write() else {
            return;
        };
        let now = Instant::now();
        for key in keys.into_iter().take(SEEN_MOST) {
            seen.insert(key.to_vec(), now);
        }
    }

    /// After an action: figures are asked for at once.
    pub(crate) fn hurry(&self, key: &[u8]) {
        self.look_at([key]);
        self.hurry.notify_one();
    }

    /// Changes with each tick.
    pub(crate) fn ticks(&self) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }

    fn seen(&self) -> Vec<Vec<u8>> {
        let Ok(mut seen) = self.seen.write() else {
            return Vec::new();
        };
        seen.retain(|_, at| at.elapsed() < SEEN_FOR);
        seen.keys().take(SEEN_MOST).cloned().collect()
    }
}

/// What the task keeps from tick to tick.
struct Work {
    sampler: Sampler,
    db: Db,
    snapshot: Snapshot,
    /// Where the rotation is.
    next: Vec<u8>,
    discovered: Option<Instant>,
    /// modq_queues of all primaries at that time.
    count: Option<i64>,
}

impl Work {
    fn new(sampler: Sampler, db: Db) -> Work {
        Work {
            sampler,
            db,
            snapshot: Snapshot::default(),
            next: Vec::new(),
            discovered: None,
            count: None,
        }
    }

    async fn run(mut self) {
        loop {
            let failure = self.tick().await.err();
            log_change(self.snapshot.failure.as_ref(), failure.as_ref());
            self.snapshot.failure = failure;
            if self.snapshot.failure.is_some() {
                // Whatever comes back may hold other keys, though perhaps as many.
                self.discovered = None;
            } else {
                self.snapshot.at = Some(Instant::now());
            }
            if let Ok(mut shared) = self.sampler.snapshot.write() {
                *shared = Arc::new(self.snapshot.clone());
            }
            self.sampler.ticks.send_modify(|n| *n += 1);
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = self.sampler.hurry.notified() => {}
            }
        }
    }

    async fn tick(&mut self) -> Result<(), Failure> {
        let nodes = match self.db.primaries().await {
            Ok(nodes) => nodes,
            Err(e) => {
                // Nobody says who the primaries are: none of them can be asked.
                self.snapshot.nodes.iter_mut().for_each(|n| n.up = false);
                return Err(e);
            }
        };
        let known = self.ask_nodes(&nodes).await?;
        let due = self.discovered.is_none_or(|at| at.elapsed() > DISCOVERY);
        if due || self.count != known {
            let keys = discover(&self.db, &nodes, "modqqueue").await?;
            self.take_keys(keys);
            self.discovered = Some(Instant::now());
            self.count = known;
            self.snapshot.complete = true;
        }
        let keys = self.turn();
        self.ask_queues(keys).await
    }

    /// INFO of each; answers how many queues there are in all.
    async fn ask_nodes(&mut self, nodes: &[Node]) -> Result<Option<i64>, Failure> {
        let mut infos = Vec::new();
        let mut failed = None;
        for node in nodes {
            let name = match node {
                Some((host, port)) => format!("{host}:{port}"),
                None => self.db.target().in_words(),
            };
            let mut info = NodeInfo {
                name,
                ..NodeInfo::default()
            };
            match self.db.info(node, "modq").await {
                Ok(fields) if fields.is_empty() => {
                    failed = Some(Failure::new("NOMODULE", "INFO modq is empty"));
                }
                Ok(fields) => {
                    info.up = true;
                    info.fields = fields.into_iter().collect();
                    // Not every user may ask: it is for the eye only.
                    let server = self.db.info(node, "server").await.unwrap_or_default();
                    info.server = server_name(&server);
                }
                // Without rights on INFO the rest works.
                Err(e) if e.code == "NOPERM" => info.up = true,
                Err(e) => failed = Some(e),
            }
            infos.push(info);
        }
        let counts: Option<Vec<f64>> = infos.iter().map(|i| i.number("modq_queues")).collect();
        self.snapshot.nodes = infos;
        match failed {
            Some(e) => Err(e),
            None => Ok(counts.map(|all| all.iter().sum::<f64>() as i64)),
        }
    }

    fn take_keys(&mut self, keys: Vec<Vec<u8>>) {
        let mut queues = BTreeMap::new();
        for key in keys {
            let queue = self.snapshot.queues.remove(&key).unwrap_or_else(|| {
                Arc::new(Queue {
                    key: key.clone(),
                    stats: None,
                    sampled: Instant::now(),
                    history: History::default(),
                    totals: Totals::default(),
                    costly: false,
                })
            });
            queues.insert(key, queue);
        }
        self.snapshot.queues = queues;
    }

    /// Whom to ask now: what is looked at, and the next of the others.
    fn turn(&mut self) -> Vec<Vec<u8>> {
        let queues = &self.snapshot.queues;
        let rested = |key: &Vec<u8>| {
            queues
                .get(key)
                .is_some_and(|q| !q.costly || q.sampled.elapsed() > COSTLY_EVERY)
        };
        let seen = self.sampler.seen();
        let mut keys: Vec<Vec<u8>> = seen.into_iter().filter(rested).collect();
        let after = queues.range(self.next.clone()..).map(|(key, _)| key);
        let round = after.chain(queues.keys()).take(ROTATION.min(queues.len()));
        let round: Vec<Vec<u8>> = round.cloned().collect();
        if let Some(last) = round.last() {
            self.next = last.clone();
            self.next.push(0);
        }
        keys.extend(round.into_iter().filter(rested));
        keys.sort();
        keys.dedup();
        keys
    }

    async fn ask_queues(&mut self, keys: Vec<Vec<u8>>) -> Result<(), Failure> {
        for chunk in keys.chunks(CHUNK) {
            let asked = Instant::now();
            let cmds = chunk.iter().map(|key| self.db.stats_command(key)).collect();
            let replies = self.db.call_many(cmds).await;
            for (key, reply) in chunk.iter().zip(replies) {
                match reply {
                    Ok(reply) => self.take_stats(key, asked, Stats::of(&reply).ok()),
                    Err(e) if e.is_lost() => return Err(e),
                    // One queue that cannot be read does not hide the others.
                    Err(_) => self.take_stats(key, asked, None),
                }
            }
        }
        Ok(())
    }

    fn take_stats(&mut self, key: &[u8], asked: Instant, stats: Option<Stats>) {
        let Some(queue) = self.snapshot.queues.get_mut(key) else {
            return;
        };
        let queue = Arc::make_mut(queue);
        queue.sampled = asked;
        if let Some(mut stats) = stats {
            queue.totals.follow(&stats);
            queue.history.add(now_ms(), &stats);
            queue.costly = !self.db.capabilities().brief && stats.by_tag.len() > COSTLY_TAGS;
            stats.by_tag = Vec::new();
            stats.by_priority = Vec::new();
            queue.stats = Some(stats);
        } else {
            queue.stats = None;
        }
    }
}

/// One line on standard error for each change: what is wrong when the console starts or the server goes, and that it is back.
fn log_change(before: Option<&Failure>, now: Option<&Failure>) {
    match (before, now) {
        (before, Some(now)) if before.is_none_or(|before| before.code != now.code) => {
            eprintln!("modq-console: {} ({now})", now.in_words());
        }
        (Some(_), None) => eprintln!("modq-console: the server answers"),
        _ => {}
    }
}

fn server_name(fields: &[(String, String)]) -> String {
    let get = |name: &str| {
        fields
            .iter()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.as_str())
    };
    match (get("valkey_version"), get("redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => String::new(),
    }
}
