//! Settings as version 1 stores and replicates them. Frozen: a new setting needs a new version.

use super::settings::{Late, Settings};
use crate::units::Millis;
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

#[derive(Serialize, Deserialize)]
pub(super) struct SettingsV1<'a> {
    lock: u64,
    max_expiries: u64,
    max_len: u64,
    capacity: u64,
    late_accept: bool,
    aging: u64,
    /// Borrowed, so that a length is not believed before the bytes are there.
    #[serde(borrow)]
    events: &'a Bytes,
    events_max_len: u64,
}

impl<'a> From<&'a Settings> for SettingsV1<'a> {
    fn from(settings: &'a Settings) -> SettingsV1<'a> {
        SettingsV1 {
            lock: settings.lock.0,
            max_expiries: settings.max_expiries,
            max_len: settings.max_len,
            capacity: settings.capacity,
            late_accept: settings.late == Late::Accept,
            aging: settings.aging,
            events: Bytes::new(&settings.events),
            events_max_len: settings.events_max_len,
        }
    }
}

impl From<SettingsV1<'_>> for Settings {
    fn from(stored: SettingsV1<'_>) -> Settings {
        Settings {
            lock: Millis(stored.lock),
            max_expiries: stored.max_expiries,
            max_len: stored.max_len,
            capacity: stored.capacity,
            late: if stored.late_accept {
                Late::Accept
            } else {
                Late::Reject
            },
            aging: stored.aging,
            events: stored.events.to_vec(),
            events_max_len: stored.events_max_len,
            ..Settings::default()
        }
    }
}
