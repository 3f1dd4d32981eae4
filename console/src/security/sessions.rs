//! Who is signed in: kept in memory, so a restart of the console signs everybody out.

use super::users::Role;
use crate::bytes::encode;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Signed out after so long without a request; a page that is open counts.
const IDLE: Duration = Duration::from_secs(12 * 3600);
/// More sessions than this are not kept: the oldest go.
const MOST: usize = 10_000;

/// Pages that one session may have open at once: each costs the console some work with each tick.
const STREAMS: usize = 64;

/// Counts as an open page of a session, while it lives.
pub(crate) struct OpenPage(Arc<Session>);

impl Drop for OpenPage {
    fn drop(&mut self) {
        self.0.pages.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Somebody who is signed in.
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Must come with each change.
    pub(crate) csrf: String,
    /// What to tell with the next page.
    notes: Mutex<Vec<Note>>,
    pages: AtomicUsize,
    last: Mutex<Instant>,
    /// Turns true at the end; whoever streams to this session watches it.
    over: watch::Sender<bool>,
}

/// What came of an action.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) well: bool,
    pub(crate) text: String,
}

impl Session {
    fn new(name: String, role: Role) -> Session {
        Session {
            name,
            role,
            csrf: random(),
            notes: Mutex::default(),
            pages: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
            over: watch::channel(false).0,
        }
    }

    pub(crate) fn note(&self, well: bool, text: impl Into<String>) {
        if let Ok(mut notes) = self.notes.lock() {
            if notes.len() < 5 {
                notes.push(Note {
                    well,
                    text: text.into(),
                });
            }
        }
    }

    pub(crate) fn take_notes(&self) -> Vec<Note> {
        self.notes
            .lock()
            .map_or_else(|_| Vec::new(), |mut notes| std::mem::take(&mut *notes))
    }

    /// Another page is open; none if that is one too many.
    pub(crate) fn open_page(self: &Arc<Session>) -> Option<OpenPage> {
        let counted = OpenPage(self.clone());
        (self.pages.fetch_add(1, Ordering::Relaxed) < STREAMS).then_some(counted)
    }

    pub(crate) fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    /// Keeps it from being signed out for idleness.
    pub(crate) fn touch(&self) {
        if let Ok(mut last) = self.last.lock() {
            *last = Instant::now();
        }
    }

    fn idle(&self) -> Duration {
        self.last.lock().map_or(IDLE, |last| last.elapsed())
    }
}

/// All sessions, by the secret in the cookie.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Arc<Session>>>);

impl Sessions {
    /// The secret of a new session.
    pub(crate) fn begin(&self, name: &str, role: Role) -> String {
        let secret = random();
        let session = Arc::new(Session::new(name.to_owned(), role));
        if let Ok(mut all) = self.0.lock() {
            all.retain(|_, session| session.idle() < IDLE);
            if all.len() >= MOST {
                let oldest = all.iter().max_by_key(|(_, session)| session.idle());
                if let Some(secret) = oldest.map(|(secret, _)| secret.clone()) {
                    all.remove(&secret);
                }
            }
            all.insert(secret.clone(), session);
        }
        secret
    }

    pub(crate) fn get(&self, secret: &str) -> Option<Arc<Session>> {
        let session = self.0.lock().ok()?.get(secret).cloned()?;
        if session.idle() >= IDLE {
            self.end(secret);
            return None;
        }
        session.touch();
        Some(session)
    }

    /// The session of who a proxy says it is: one for each name and role.
    pub(crate) fn of_proxy(&self, name: &str, role: Role) -> Arc<Session> {
        // Not a secret: the cookie is never looked at where a proxy signs people in.
        let id = format!("proxy {} {name}", role.name());
        let Ok(mut all) = self.0.lock() else {
            return Arc::new(Session::new(name.to_owned(), role));
        };
        let new = || Arc::new(Session::new(name.to_owned(), role));
        let session = all.entry(id).or_insert_with(new).clone();
        session.touch();
        session
    }

    pub(crate) fn end(&self, secret: &str) {
        let ended = self.0.lock().ok().and_then(|mut all| all.remove(secret));
        if let Some(session) = ended {
            session.over.send_replace(true);
        }
    }
}

/// 256 random bits.
pub(crate) fn random() -> String {
    let mut bytes = [0; 32];
    // Without random numbers nobody may sign in.
    getrandom::fill(&mut bytes)
        .unwrap_or_else(|e| panic!("the system gives no random numbers: {e}"));
    encode(&bytes)
}
