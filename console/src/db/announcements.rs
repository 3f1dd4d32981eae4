//! Hears the server say that an item is somebody's: the channel of each person at the desk, on a connection of its own.
//! A message that is lost costs some seconds only, as the desk also asks by itself.

use super::{CONNECT_TIMEOUT, Db, Failure};
use futures_util::StreamExt;
use redis::{ProtocolVersion, PushInfo, PushKind};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Who listens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Announcements {
    listeners: Arc<Mutex<HashMap<String, Weak<Notify>>>>,
    /// Channels that came to be listened to.
    new: mpsc::UnboundedSender<String>,
}

impl Announcements {
    /// Starts the task that listens.
    pub(crate) fn start(db: Db) -> Announcements {
        let (new, news) = mpsc::unbounded_channel();
        let all = Announcements {
            listeners: Arc::default(),
            new,
        };
        tokio::spawn(all.clone().listen(db, news));
        all
    }

    /// What is notified when the server announces an item for this person. The channel is left when nobody holds it.
    pub(crate) fn of(&self, key: &[u8], who: &str) -> Arc<Notify> {
        let Some(channel) = channel(key, who) else {
            return Arc::default();
        };
        let Ok(mut listeners) = self.listeners.lock() else {
            return Arc::default();
        };
        listeners.retain(|_, listener| listener.strong_count() > 0);
        if let Some(known) = listeners.get(&channel).and_then(Weak::upgrade) {
            return known;
        }
        let notify = Arc::new(Notify::new());
        listeners.insert(channel.clone(), Arc::downgrade(&notify));
        let _ = self.new.send(channel);
        notify
    }

    fn tell(&self, channel: &str) {
        let listeners = self.listeners.lock().ok();
        let found = listeners.and_then(|all| all.get(channel).and_then(Weak::upgrade));
        if let Some(listener) = found {
            listener.notify_one();
        }
    }

    fn channels(&self) -> Vec<String> {
        let listeners = self.listeners.lock();
        listeners.map_or_else(|_| Vec::new(), |all| all.keys().cloned().collect())
    }

    async fn listen(self, db: Db, mut news: mpsc::UnboundedReceiver<String>) {
        loop {
            // Nothing is opened before somebody sits at a desk.
            if self.channels().is_empty() && news.recv().await.is_none() {
                return;
            }
            let _ = match db.target().cluster {
                true => self.hear_cluster(&db, &mut news).await,
                false => self.hear_one(&db, &mut news).await,
            };
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    async fn hear_one(
        &self,
        db: &Db,
        news: &mut mpsc::UnboundedReceiver<String>,
    ) -> Result<(), Failure> {
        let pubsub =
            async { Ok::<_, Failure>(db.target().client().await?.get_async_pubsub().await?) };
        let pubsub = tokio::time::timeout(CONNECT_TIMEOUT, pubsub).await;
        let pubsub = pubsub.unwrap_or_else(|_| Err(Failure::lost("connecting took too long")))?;
        let (mut sink, mut stream) = pubsub.split();
        for channel in self.channels() {
            sink.subscribe(channel).await?;
        }
        loop {
            tokio::select! {
                new = news.recv() => match new {
                    Some(channel) => sink.subscribe(channel).await?,
                    None => return Ok(()),
                },
                message = stream.next() => match message {
                    Some(message) => self.tell(message.get_channel_name()),
                    None => return Ok(()),
                },
            }
        }
    }

    async fn hear_cluster(
        &self,
        db: &Db,
        news: &mut mpsc::UnboundedReceiver<String>,
    ) -> Result<(), Failure> {
        let (pushes, mut pushed) = mpsc::unbounded_channel::<PushInfo>();
        let client = db
            .target()
            .cluster()
            .use_protocol(ProtocolVersion::RESP3)
            .push_sender(pushes)
            .build()?;
        let mut connection = client.get_async_connection().await?;
        for channel in self.channels() {
            connection.ssubscribe(channel).await?;
        }
        loop {
            tokio::select! {
                new = news.recv() => match new {
                    Some(channel) => connection.ssubscribe(channel).await?,
                    None => return Ok(()),
                },
                push = pushed.recv() => match push {
                    Some(push) if push.kind == PushKind::SMessage => {
                        let channel = push.data.first().map(super::text);
                        self.tell(&channel.unwrap_or_default());
                    }
                    Some(_) => {}
                    None => return Ok(()),
                },
            }
        }
    }
}

/// The channel as MODQ.JOIN names it; none for keys that have no hash tag and cannot be one, which are rare: there the
/// desk finds its items by asking.
fn channel(key: &[u8], who: &str) -> Option<String> {
    let key = std::str::from_utf8(key).ok()?;
    let tagged = key
        .find('{')
        .is_some_and(|open| key[open + 1..].find('}').is_some_and(|length| length > 0));
    match tagged {
        true => Some(format!("modq:{key}:{who}")),
        false if key.is_empty() || key.contains('}') => None,
        false => Some(format!("modq:{{{key}}}:{who}")),
    }
}

#[cfg(test)]
mod tests {
    use super::channel;

    #[test]
    fn channels_are_named_as_the_reference_says() {
        let of = |key: &str| channel(key.as_bytes(), "alice");
        assert_eq!(of("review").as_deref(), Some("modq:{review}:alice"));
        assert_eq!(of("{eu}:review").as_deref(), Some("modq:{eu}:review:alice"));
        assert_eq!(of("review{7}").as_deref(), Some("modq:review{7}:alice"));
        assert_eq!([of("a}b"), of("{}x"), of("")], [None, None, None]);
    }
}
