//! Ways to reach a server, or whichever server it is now.

use modq_testkit::{Client, Cluster, Follower, Roamer, Value};

/// What came of a command.
pub(crate) enum Answer {
    /// A reply; an error has changed nothing.
    Said(Value),
    /// It was sent, and nobody knows whether it ran.
    Lost,
    /// It was not sent.
    Away,
}

/// How a client reaches who serves it.
pub(crate) trait Reach {
    /// Sends a command.
    fn call(&mut self, args: &[Vec<u8>]) -> Answer;
}

/// One server, which may be gone.
pub(crate) struct Plain {
    port: u16,
    client: Option<Client>,
}

impl Plain {
    /// At this port.
    pub(crate) fn new(port: impl Into<u16>) -> Plain {
        let port = port.into();
        Plain { port, client: None }
    }
}

impl Reach for Plain {
    fn call(&mut self, args: &[Vec<u8>]) -> Answer {
        let client = match self.client.take() {
            Some(client) => Ok(client),
            None => Client::try_connect(self.port),
        };
        let Ok(mut client) = client else {
            return Answer::Away;
        };
        match client.try_cmd(args) {
            Ok(reply) => {
                self.client = Some(client);
                Answer::Said(reply)
            }
            Err(_) => Answer::Lost,
        }
    }
}

/// A cluster in which slots move.
pub(crate) struct Roaming(Roamer);

impl Roaming {
    /// Begins at the owner of a key.
    pub(crate) fn new(cluster: &Cluster, key: &str) -> Roaming {
        Roaming(Roamer::new(cluster, key))
    }
}

impl Reach for Roaming {
    fn call(&mut self, args: &[Vec<u8>]) -> Answer {
        Answer::Said(self.0.cmd(args))
    }
}

/// Whom the Sentinels call the primary.
impl Reach for Follower {
    fn call(&mut self, args: &[Vec<u8>]) -> Answer {
        if !self.find() {
            return Answer::Away;
        }
        match self.try_cmd(args) {
            Ok(reply) => Answer::Said(reply),
            Err(_) => Answer::Lost,
        }
    }
}
