//! What all requests share.

use crate::audit::Audit;
use crate::config::Config;
use crate::db::{Announcements, Db, Target};
use crate::desk::Desks;
use crate::details::Details;
use crate::sampler::Sampler;
use crate::security::attempts::Attempts;
use crate::security::sessions::Sessions;
use tokio::sync::watch;

/// What all requests share.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) db: Db,
    pub(crate) sampler: Sampler,
    pub(crate) details: Details,
    pub(crate) sessions: Sessions,
    pub(crate) attempts: Attempts,
    pub(crate) audit: Audit,
    pub(crate) desks: Desks,
    /// Turns true when the console ends.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl App {
    /// Starts what works in the background. Connecting is left to it: the console is there before its server is.
    pub(crate) fn start(config: Config, target: Target, stopping: watch::Receiver<bool>) -> App {
        let db = Db::new(target);
        let announcements = Announcements::start(db.clone());
        let audit = Audit::new(db.clone(), config.audit_stream.clone());
        App {
            sampler: Sampler::start(db.clone()),
            details: Details::default(),
            sessions: Sessions::default(),
            attempts: Attempts::default(),
            desks: Desks::new(db.clone(), announcements, audit.clone(), &config),
            audit,
            stopping,
            db,
            config,
        }
    }

    /// The address of a page of ours.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.config.base)
    }
}
