//! What supervisors' commands are, each as a function. Who acts is told to the module where it takes `BY`.

use super::commands::{command, ok};
use super::{Db, Failure, int};
use redis::{Cmd, Value};

/// What MODQ.UPDATE is to change.
#[derive(Default)]
pub(crate) struct UpdateItem {
    pub(crate) priority: Option<i64>,
    pub(crate) boost: Option<i64>,
    pub(crate) tags: Option<Vec<Vec<u8>>>,
    pub(crate) clear_exclusions: bool,
}

impl Db {
    fn by(&self, cmd: &mut Cmd, command: &str, who: &str) {
        if self.capabilities().takes_by(command) {
            cmd.arg("BY").arg(who);
        }
    }

    pub(crate) async fn cancel(
        &self,
        key: &[u8],
        item: &[u8],
        rev: Option<i64>,
        reason: &str,
        who: &str,
    ) -> Result<bool, Failure> {
        let mut cmd = command!("MODQ.CANCEL", key, item);
        if let Some(rev) = rev {
            cmd.arg("REV").arg(rev);
        }
        if self.capabilities().reason && !reason.is_empty() {
            cmd.arg("REASON").arg(reason);
        }
        self.by(&mut cmd, "modq.cancel", who);
        Ok(int(&self.call(cmd).await?) == 1)
    }

    /// The command alone, for many at once.
    pub(crate) fn cancel_command(
        &self,
        key: &[u8],
        item: &[u8],
        rev: i64,
        reason: &str,
        who: &str,
    ) -> Cmd {
        let mut cmd = command!("MODQ.CANCEL", key, item, "REV", rev);
        if self.capabilities().reason && !reason.is_empty() {
            cmd.arg("REASON").arg(reason);
        }
        self.by(&mut cmd, "modq.cancel", who);
        cmd
    }

    /// Gives an item to somebody; with a token it is taken from who holds it by that token, in one step.
    pub(crate) async fn assign(
        &self,
        key: &[u8],
        item: &[u8],
        to: &[u8],
        token: Option<i64>,
        who: &str,
    ) -> Result<(), Failure> {
        let mut cmd = command!("MODQ.ASSIGN", key, item, to);
        if let Some(token) = token {
            cmd.arg("TOKEN").arg(token);
        }
        self.by(&mut cmd, "modq.assign", who);
        self.call(cmd).await.map(drop)
    }

    pub(crate) async fn move_item(
        &self,
        from: &[u8],
        to: &[u8],
        item: &[u8],
        token: Option<i64>,
        who: &str,
    ) -> Result<(), Failure> {
        let mut cmd = command!("MODQ.MOVE", from, to, item);
        if let Some(token) = token {
            cmd.arg("TOKEN").arg(token);
        }
        self.by(&mut cmd, "modq.move", who);
        ok(self.call(cmd).await?)
    }

    /// The new revision; none if the item is not at `rev` any more.
    pub(crate) async fn update(
        &self,
        key: &[u8],
        item: &[u8],
        rev: i64,
        what: &UpdateItem,
        who: &str,
    ) -> Result<Option<i64>, Failure> {
        let mut cmd = command!("MODQ.UPDATE", key, item, "REV", rev);
        if let Some(priority) = what.priority {
            cmd.arg("PRIORITY").arg(priority);
        }
        if let Some(boost) = what.boost {
            cmd.arg("BOOST").arg(boost);
        }
        if let Some(tags) = &what.tags {
            cmd.arg("TAGS").arg(tags.len());
            tags.iter().for_each(|tag| {
                cmd.arg(tag.as_slice());
            });
        }
        if what.clear_exclusions {
            cmd.arg("EXCLUDE").arg(0);
        }
        self.by(&mut cmd, "modq.update", who);
        let reply = self.call(cmd).await?;
        Ok(Some(reply).filter(|r| *r != Value::Nil).as_ref().map(int))
    }

    /// How many of these dead items are ready again.
    pub(crate) async fn revive(
        &self,
        key: &[u8],
        items: &[Vec<u8>],
        who: &str,
    ) -> Result<i64, Failure> {
        let mut cmd = command!("MODQ.REVIVE", key);
        // An item that is called ALL would be read as the word, with COUNT behind it as an option: the first is named twice.
        items.iter().take(1).chain(items).for_each(|item| {
            cmd.arg(item.as_slice());
        });
        self.by(&mut cmd, "modq.revive", who);
        Ok(int(&self.call(cmd).await?))
    }

    /// The same of up to `count` of all.
    pub(crate) async fn revive_all(
        &self,
        key: &[u8],
        count: u32,
        who: &str,
    ) -> Result<i64, Failure> {
        let mut cmd = command!("MODQ.REVIVE", key, "ALL", "COUNT", count);
        self.by(&mut cmd, "modq.revive", who);
        Ok(int(&self.call(cmd).await?))
    }

    /// `PAUSE` or `UNPAUSE` of `IN`, `OUT` or `ALL`.
    pub(crate) async fn pause(&self, key: &[u8], pause: bool, side: &str) -> Result<(), Failure> {
        let name = if pause { "MODQ.PAUSE" } else { "MODQ.UNPAUSE" };
        ok(self.call(command!(name, key, side)).await?)
    }

    pub(crate) async fn configure(
        &self,
        key: &[u8],
        settings: &[(String, Vec<String>)],
    ) -> Result<(), Failure> {
        let mut cmd = command!("MODQ.CONFIGURE", key);
        for (name, words) in settings {
            cmd.arg(name.as_str());
            words.iter().for_each(|word| {
                cmd.arg(word.as_str());
            });
        }
        ok(self.call(cmd).await?)
    }

    /// How many records were dropped.
    pub(crate) async fn forget_record(
        &self,
        key: &[u8],
        item: &[u8],
        who: &str,
    ) -> Result<i64, Failure> {
        let mut cmd = command!("MODQ.FORGET", key, item);
        self.by(&mut cmd, "modq.forget", who);
        Ok(int(&self.call(cmd).await?))
    }
}
