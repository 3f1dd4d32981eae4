//! The commands that the console sends, each as a function with a typed answer. What supervisors
//! change is in supervise.rs.

use super::{
    Claim, Db, Event, Failure, Fields, Item, Lease, LimitCheck, Node, Page, PolicyLimit, Rank, Row,
    Stats, Waiter, board_info, bytes, info_lines, int, list, text,
};
use redis::{Cmd, Value};

/// A command of words and bytes.
macro_rules! command {
    ($name:expr $(, $arg:expr)* $(,)?) => {{
        let mut cmd = redis::Cmd::new();
        for word in $name.split(' ') { cmd.arg(word); }
        $( cmd.arg($arg); )*
        cmd
    }};
}
pub(crate) use command;

pub(super) fn ok(value: Value) -> Result<(), Failure> {
    match value {
        Value::Okay => Ok(()),
        Value::SimpleString(_) | Value::Int(_) => Ok(()),
        _ => Err(Failure::strange("a command that answers OK")),
    }
}

impl Db {
    // Reading.

    /// The command that asks for figures: the cheap one if there is one.
    pub(crate) fn stats_command(&self, key: &[u8]) -> Cmd {
        let mut cmd = command!("MODQ.STATS", key);
        if self.capabilities().brief {
            cmd.arg("BRIEF");
        }
        cmd
    }

    pub(crate) async fn stats(&self, key: &[u8]) -> Result<Stats, Failure> {
        Stats::of(&self.call(command!("MODQ.STATS", key)).await?)
    }

    /// The settings, by name.
    pub(crate) async fn config(&self, key: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let reply = self.call(command!("MODQ.CONFIG", key)).await?;
        let shown = |v: &Value| match list(v) {
            [] => bytes(v),
            words => words
                .iter()
                .map(text)
                .collect::<Vec<_>>()
                .join(" of ")
                .into_bytes(),
        };
        let fields = Fields::of(&reply);
        Ok(fields
            .iter()
            .map(|(k, v)| (k.to_owned(), shown(v)))
            .collect())
    }

    pub(crate) async fn item(&self, key: &[u8], item: &[u8]) -> Result<Option<Item>, Failure> {
        Item::of(&self.call(command!("MODQ.GET", key, item)).await?)
    }

    pub(crate) async fn position(&self, key: &[u8], item: &[u8]) -> Result<Option<i64>, Failure> {
        let reply = self.call(command!("MODQ.POSITION", key, item)).await?;
        Ok(Some(reply).filter(|r| *r != Value::Nil).as_ref().map(int))
    }

    pub(crate) async fn why(
        &self,
        key: &[u8],
        item: &[u8],
        moderator: &[u8],
        tags: &[Vec<u8>],
    ) -> Result<Option<Vec<String>>, Failure> {
        let mut cmd = command!("MODQ.WHY", key, item, moderator);
        add_tags(&mut cmd, tags);
        let reply = self.call(cmd).await?;
        Ok((reply != Value::Nil).then(|| list(&reply).iter().map(text).collect()))
    }

    pub(crate) async fn list(
        &self,
        key: &[u8],
        state: &str,
        cursor: &str,
        count: u32,
    ) -> Result<Page<Row>, Failure> {
        let cmd = command!("MODQ.LIST", key, state, "CURSOR", cursor, "COUNT", count);
        Ok(Row::page(&self.call(cmd).await?))
    }

    pub(crate) async fn peek(&self, key: &[u8], count: u32) -> Result<Vec<Vec<u8>>, Failure> {
        let reply = self
            .call(command!("MODQ.PEEK", key, "COUNT", count))
            .await?;
        Ok(list(&reply).iter().map(bytes).collect())
    }

    pub(crate) async fn waiters(&self, key: &[u8], count: u32) -> Result<Vec<Waiter>, Failure> {
        let reply = self
            .call(command!("MODQ.WAITERS", key, "COUNT", count))
            .await?;
        Ok(Waiter::all(&reply))
    }

    /// The newest entries of a stream before `end`.
    pub(crate) async fn events(
        &self,
        stream: &[u8],
        end: &str,
        count: u32,
    ) -> Result<Vec<Event>, Failure> {
        let cmd = command!("XREVRANGE", stream, end, "-", "COUNT", count);
        Ok(Event::all(&self.call(cmd).await?))
    }

    pub(crate) async fn group(&self, key: &[u8], group: &[u8]) -> Result<Page<Row>, Failure> {
        let cmd = command!("MODQ.GROUP", key, group, "COUNT", 50);
        Ok(Row::group_page(&self.call(cmd).await?))
    }

    /// What a moderator decided about an item, if the queue remembers it.
    pub(crate) async fn decided(
        &self,
        key: &[u8],
        item: &[u8],
    ) -> Result<Option<Vec<(String, Vec<u8>)>>, Failure> {
        let reply = self.call(command!("MODQ.DECIDED", key, item)).await?;
        if reply == Value::Nil {
            return Ok(None);
        }
        let shown = |v: &Value| match list(v) {
            [] => bytes(v),
            many => many.iter().map(bytes).collect::<Vec<_>>().join(&b", "[..]),
        };
        let fields = Fields::of(&reply);
        Ok(Some(
            fields
                .iter()
                .map(|(k, v)| (k.to_owned(), shown(v)))
                .collect(),
        ))
    }

    /// A step of SCAN over keys of one type.
    pub(crate) async fn scan(
        &self,
        node: &Node,
        cursor: &str,
        kind: &str,
        pattern: Option<&[u8]>,
    ) -> Result<(String, Vec<Vec<u8>>), Failure> {
        let mut cmd = command!("SCAN", cursor, "COUNT", 100, "TYPE", kind);
        if let Some(pattern) = pattern {
            cmd.arg("MATCH").arg(pattern);
        }
        let reply = self.call_at(node, cmd).await?;
        let [next, keys] = list(&reply) else {
            return Err(Failure::strange("SCAN"));
        };
        Ok((text(next), list(keys).iter().map(bytes).collect()))
    }

    pub(crate) async fn info(
        &self,
        node: &Node,
        section: &str,
    ) -> Result<Vec<(String, String)>, Failure> {
        let reply = self.call_at(node, command!("INFO", section)).await?;
        Ok(info_lines(&reply))
    }

    // The desk.

    /// Waits in line for one more than they hold: `WAITING`, or `ASSIGNED` if they hold `count` locks here.
    pub(crate) async fn join(
        &self,
        key: &[u8],
        who: &str,
        count: usize,
        tags: &[Vec<u8>],
        ttl_ms: u64,
    ) -> Result<String, Failure> {
        let mut cmd = command!(
            "MODQ.JOIN",
            key,
            who,
            "TTL",
            ttl_ms,
            "COUNT",
            count,
            "TAGS",
            tags.len()
        );
        tags.iter().for_each(|tag| {
            cmd.arg(tag.as_slice());
        });
        Ok(text(&self.call(cmd).await?))
    }

    pub(crate) async fn leave(&self, key: &[u8], who: &str) -> Result<(), Failure> {
        ok(self.call(command!("MODQ.LEAVE", key, who)).await?)
    }

    /// What they have in hand, up to `count` with new ones. Never blocks; safe to send again.
    pub(crate) async fn claim(
        &self,
        key: &[u8],
        who: &str,
        count: usize,
        tags: &[Vec<u8>],
    ) -> Result<Vec<Claim>, Failure> {
        let mut cmd = command!("MODQ.CLAIM", key, who, "COUNT", count, "TAGS", tags.len());
        tags.iter().for_each(|tag| {
            cmd.arg(tag.as_slice());
        });
        Ok(Claim::all(&self.call(cmd).await?))
    }

    pub(crate) async fn held(
        &self,
        key: &[u8],
        who: &[u8],
        count: u32,
    ) -> Result<Vec<Claim>, Failure> {
        let reply = self
            .call(command!("MODQ.HELD", key, who, "COUNT", count))
            .await?;
        Ok(Claim::all(&reply))
    }

    /// The new deadline.
    pub(crate) async fn extend(
        &self,
        key: &[u8],
        item: &[u8],
        token: i64,
        ms: i64,
    ) -> Result<i64, Failure> {
        let reply = self
            .call(command!("MODQ.EXTEND", key, item, token, ms))
            .await?;
        Ok(int(&reply))
    }

    pub(crate) async fn release(
        &self,
        key: &[u8],
        item: &[u8],
        token: i64,
        skip: bool,
    ) -> Result<(), Failure> {
        let mut cmd = command!("MODQ.RELEASE", key, item, token);
        if skip {
            cmd.arg("SKIP");
        }
        ok(self.call(cmd).await?)
    }

    /// Decides an item. `OK`, `VOTED` or `SPLIT`, and how many others of its group went with it.
    pub(crate) async fn resolve(
        &self,
        key: &[u8],
        claim: &Claim,
        verdict: &str,
        note: &str,
        also: Option<u32>,
    ) -> Result<(String, i64), Failure> {
        let known = self.capabilities();
        let mut cmd = command!(
            "MODQ.RESOLVE",
            key,
            claim.item.as_slice(),
            claim.token,
            "REV",
            claim.rev
        );
        if known.verdict {
            cmd.arg("VERDICT").arg(verdict);
            if !note.is_empty() {
                cmd.arg("DECISION").arg(note);
            }
        } else if note.is_empty() {
            cmd.arg("DECISION").arg(verdict);
        } else {
            cmd.arg("DECISION").arg(format!("{verdict}: {note}"));
        }
        if let (true, Some(n)) = (known.groups, also) {
            cmd.arg("ALSO").arg(n);
        }
        let reply = self.call(cmd).await?;
        Ok(match list(&reply) {
            [status, also, ..] => (text(status), int(also)),
            _ => (text(&reply), 0),
        })
    }

    // Limits.

    /// `modqlimit`, `modqlease`, `none` or what else the key is.
    pub(crate) async fn kind(&self, key: &[u8]) -> Result<String, Failure> {
        Ok(text(&self.call(command!("TYPE", key)).await?))
    }

    /// What is left now; `limits` are the words that CHECK takes for them.
    pub(crate) async fn peek_limit(
        &self,
        key: &[u8],
        limits: &[String],
    ) -> Result<LimitCheck, Failure> {
        let mut cmd = command!("RATELIMIT.PEEK", key);
        limits.iter().for_each(|word| {
            cmd.arg(word.as_str());
        });
        cmd.arg("COST").arg(0).arg("DETAIL");
        LimitCheck::of(&self.call(cmd).await?)
    }

    /// Charges one request to the console's own limit. Whether it may pass, and else the wait in ms.
    pub(crate) async fn check(
        &self,
        key: &str,
        quota: u32,
        window_ms: u64,
    ) -> Result<Option<i64>, Failure> {
        let reply = self
            .call(command!("RATELIMIT.CHECK", key, quota, window_ms))
            .await?;
        let parts = list(&reply);
        let allowed = parts.first().map_or(0, int) == 1;
        Ok((!allowed).then(|| parts.get(3).map_or(0, int)))
    }

    /// Gives one request of [`Db::check`] back.
    pub(crate) async fn refund(&self, key: &str) -> Result<(), Failure> {
        self.call(command!("RATELIMIT.REFUND", key, "COST", 1))
            .await
            .map(drop)
    }

    pub(crate) async fn reset_limit(&self, key: &[u8]) -> Result<bool, Failure> {
        Ok(int(&self.call(command!("RATELIMIT.RESET", key)).await?) == 1)
    }

    pub(crate) async fn block_limit(&self, key: &[u8], ms: i64) -> Result<(), Failure> {
        ok(self.call(command!("RATELIMIT.BLOCK", key, ms)).await?)
    }

    pub(crate) async fn leases(&self, key: &[u8], cursor: &str) -> Result<Page<Lease>, Failure> {
        let cmd = command!("RATELIMIT.LEASES", key, "CURSOR", cursor, "COUNT", 100);
        Ok(Lease::page(&self.call(cmd).await?))
    }

    pub(crate) async fn end_lease(&self, key: &[u8], id: &[u8]) -> Result<bool, Failure> {
        Ok(int(&self.call(command!("RATELIMIT.RELEASE", key, id)).await?) == 1)
    }

    pub(crate) async fn policies(&self, node: &Node) -> Result<Vec<Vec<u8>>, Failure> {
        let reply = self
            .call_at(node, command!("RATELIMIT.POLICY LIST"))
            .await?;
        Ok(list(&reply).iter().map(bytes).collect())
    }

    pub(crate) async fn policy(
        &self,
        node: &Node,
        name: &[u8],
    ) -> Result<Vec<PolicyLimit>, Failure> {
        let reply = self
            .call_at(node, command!("RATELIMIT.POLICY GET", name))
            .await?;
        Ok(PolicyLimit::all(&reply))
    }

    // Boards.

    /// None if there is no board.
    pub(crate) async fn board_info(
        &self,
        key: &[u8],
    ) -> Result<Option<Vec<(String, String)>>, Failure> {
        Ok(board_info(&self.call(command!("RANK.INFO", key)).await?))
    }

    pub(crate) async fn top(&self, key: &[u8], n: u32, offset: u64) -> Result<Vec<Rank>, Failure> {
        let reply = self
            .call(command!("RANK.TOP", key, n, "OFFSET", offset))
            .await?;
        Ok(Rank::all(&reply))
    }

    /// None if the member is not on the board.
    pub(crate) async fn around(
        &self,
        key: &[u8],
        member: &[u8],
        each: u32,
    ) -> Result<Option<Vec<Rank>>, Failure> {
        let reply = self
            .call(command!("RANK.AROUND", key, member, each, each))
            .await?;
        Ok((reply != Value::Nil).then(|| Rank::all(&reply)))
    }

    // The audit.

    pub(crate) async fn append(
        &self,
        stream: &str,
        fields: &[(&str, String)],
    ) -> Result<(), Failure> {
        let mut cmd = command!("XADD", stream, "MAXLEN", "~", 100_000, "*");
        for (name, value) in fields {
            cmd.arg(*name).arg(value.as_str());
        }
        self.call(cmd).await.map(drop)
    }
}

fn add_tags(cmd: &mut Cmd, tags: &[Vec<u8>]) {
    if tags.is_empty() {
        return;
    }
    cmd.arg("TAGS").arg(tags.len());
    tags.iter().for_each(|tag| {
        cmd.arg(tag.as_slice());
    });
}
