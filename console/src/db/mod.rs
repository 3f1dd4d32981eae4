//! The connection to the server: one server, the primary that Sentinels name, or a cluster. Whoever calls sees no
//! difference; a connection that broke is made anew by the next call.

mod announcements;
mod capabilities;
mod commands;
mod connect;
mod failure;
mod replies;
mod supervise;

pub(crate) use announcements::Announcements;
pub(crate) use capabilities::Capabilities;
pub(crate) use commands::command;
pub(crate) use connect::Target;
pub(crate) use failure::Failure;
pub(crate) use replies::*;
pub(crate) use supervise::UpdateItem;

use connect::Link;
use futures_util::future::join_all;
use redis::{Cmd, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a reply may take. No command that the console sends blocks.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Between two attempts to connect.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// A primary of a cluster; none where there is one server.
pub(crate) type Node = Option<(String, u16)>;

/// What all parts of the console send their commands through. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Db {
    shared: Arc<Shared>,
}

struct Shared {
    target: Target,
    /// The live connection, and its number: so that who saw it break throws away that one, and not the next.
    link: Mutex<Option<(u64, Link)>>,
    /// The last attempt to connect that failed: who asks right after it need not wait as long again.
    failed: std::sync::Mutex<Option<(Instant, Failure)>>,
    next: AtomicU64,
    /// What the server can do, as asked when the present connection was made.
    capabilities: std::sync::RwLock<Capabilities>,
}

impl Db {
    pub(crate) fn new(target: Target) -> Db {
        let shared = Shared {
            target,
            link: Mutex::new(None),
            failed: std::sync::Mutex::new(None),
            next: AtomicU64::new(1),
            capabilities: std::sync::RwLock::default(),
        };
        Db {
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.shared.target
    }

    /// What the server could do when it was last connected to.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.shared
            .capabilities
            .read()
            .map_or_else(|_| Capabilities::default(), |known| known.clone())
    }

    /// Sends a command that has a key, or goes to whatever node.
    pub(crate) async fn call(&self, cmd: Cmd) -> Result<Value, Failure> {
        self.call_at(&None, cmd).await
    }

    /// Sends a command to this node; none: to where its key is.
    pub(crate) async fn call_at(&self, node: &Node, cmd: Cmd) -> Result<Value, Failure> {
        let (number, mut link) = self.link().await?;
        let answer = tokio::time::timeout(REPLY_TIMEOUT, link.send(node, cmd)).await;
        let answer = answer.unwrap_or_else(|_| Err(Failure::lost("no reply in time")));
        if let Err(failure) = &answer {
            if failure.wants_another_connection(&self.shared.target) {
                self.forget(number).await;
            }
        }
        answer
    }

    /// Sends commands all at once: what goes to one node is written in one go.
    pub(crate) async fn call_many(&self, cmds: Vec<Cmd>) -> Vec<Result<Value, Failure>> {
        join_all(cmds.into_iter().map(|cmd| self.call(cmd))).await
    }

    /// The primaries: each has keys, policies and counters of its own.
    pub(crate) async fn primaries(&self) -> Result<Vec<Node>, Failure> {
        if !self.shared.target.cluster {
            return Ok(vec![None]);
        }
        let mut cmd = Cmd::new();
        cmd.arg("CLUSTER").arg("SLOTS");
        let slots = self.call(cmd).await?;
        let mut nodes: Vec<Node> = primaries_of_slots(&slots).into_iter().map(Some).collect();
        nodes.sort();
        nodes.dedup();
        Ok(nodes)
    }

    async fn link(&self) -> Result<(u64, Link), Failure> {
        let mut held = self.shared.link.lock().await;
        if let Some((number, link)) = held.as_ref() {
            return Ok((*number, link.clone()));
        }
        if let Some(failure) = self.just_failed() {
            return Err(failure);
        }
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT * 2, self.shared.target.connect());
        let connected = connecting
            .await
            .unwrap_or_else(|_| Err(Failure::lost("connecting took too long")));
        if let Ok(mut failed) = self.shared.failed.lock() {
            *failed = connected
                .as_ref()
                .err()
                .map(|e| (Instant::now(), e.clone()));
        }
        let mut link = connected?;
        if let Ok(known) = capabilities::ask(&mut link).await {
            if let Ok(mut capabilities) = self.shared.capabilities.write() {
                *capabilities = known;
            }
        }
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        *held = Some((number, link.clone()));
        Ok((number, link))
    }

    fn just_failed(&self) -> Option<Failure> {
        let failed = self.shared.failed.lock().ok()?;
        let (at, failure) = failed.as_ref()?;
        (at.elapsed() < RECONNECT_AFTER).then(|| failure.clone())
    }

    async fn forget(&self, number: u64) {
        let mut held = self.shared.link.lock().await;
        if held.as_ref().is_some_and(|(live, _)| *live == number) {
            *held = None;
        }
    }
}

fn primaries_of_slots(slots: &Value) -> Vec<(String, u16)> {
    let node = |row: &Value| {
        let row = list(row);
        let primary = list(row.get(2)?);
        let host = text(primary.first()?);
        Some((host, u16::try_from(int(primary.get(1)?)).ok()?))
    };
    list(slots).iter().filter_map(node).collect()
}
