//! How often somebody may try: by our own RATELIMIT on the server, and by a count in memory where the server cannot be
//! written to.

use crate::db::Db;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Attempts in a window.
#[derive(Clone, Copy)]
pub(crate) struct Allowance {
    pub(crate) name: &'static str,
    pub(crate) quota: u32,
    pub(crate) window: Duration,
}

/// Signing in, for an address.
pub(crate) const SIGN_IN: Allowance = Allowance {
    name: "sign-in",
    quota: 20,
    window: Duration::from_secs(300),
};
/// Changes, for a user.
pub(crate) const ACTIONS: Allowance = Allowance {
    name: "actions",
    quota: 300,
    window: Duration::from_secs(60),
};

/// Counts in memory, for when the server does not answer or may not be written to.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<String, (Instant, u32)>>);

impl Attempts {
    /// Counts one; answers the wait in ms if it is one too many.
    pub(crate) async fn count(
        &self,
        db: &Db,
        read_only: bool,
        of: Allowance,
        who: &str,
    ) -> Option<i64> {
        let key = format!("modq:console:{}:{who}", of.name);
        let window_ms = u64::try_from(of.window.as_millis()).unwrap_or(u64::MAX);
        if !read_only {
            if let Ok(verdict) = db.check(&key, of.quota, window_ms).await {
                return verdict;
            }
        }
        self.count_here(key, of)
    }

    /// Takes the last one back: it was no guess. Many who sign in from behind one address do not hold each other up.
    pub(crate) async fn give_back(&self, db: &Db, read_only: bool, of: Allowance, who: &str) {
        let key = format!("modq:console:{}:{who}", of.name);
        if !read_only && db.refund(&key).await.is_ok() {
            return;
        }
        if let Some((_, n)) = self
            .0
            .lock()
            .ok()
            .as_mut()
            .and_then(|all| all.get_mut(&key))
        {
            *n = n.saturating_sub(1);
        }
    }

    fn count_here(&self, key: String, of: Allowance) -> Option<i64> {
        let mut counts = self.0.lock().ok()?;
        counts.retain(|_, (begun, _)| begun.elapsed() < of.window);
        let (begun, n) = counts.entry(key).or_insert((Instant::now(), 0));
        *n += 1;
        let left = of.window.saturating_sub(begun.elapsed());
        (*n > of.quota).then(|| i64::try_from(left.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_where_there_is_no_server() {
        let attempts = Attempts::default();
        let few = Allowance {
            quota: 2,
            ..SIGN_IN
        };
        let tried = || attempts.count_here("a".into(), few);
        assert_eq!([tried(), tried()], [None, None]);
        assert!(tried().is_some_and(|ms| ms > 0));
        assert_eq!(attempts.count_here("b".into(), few), None);
    }
}
