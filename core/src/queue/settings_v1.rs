//! Settings as version 1 stores and replicates them. Frozen: a new setting needs a new version.

use super::settings::{Late, Settings};
use crate::units::Millis;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(super) struct SettingsV1 {
    lock: u64,
    max_expiries: u64,
    max_len: u64,
    capacity: u64,
    late_accept: bool,
    aging: u64,
    /// Read as a sequence, not as `serde_bytes`: the bytes are the same, but their number is not
    /// believed before they are there.
    events: Vec<u8>,
    events_max_len: u64,
}

impl From<&Settings> for SettingsV1 {
    fn from(settings: &Settings) -> SettingsV1 {
        SettingsV1 {
            lock: settings.lock.0,
            max_expiries: settings.max_expiries,
            max_len: settings.max_len,
            capacity: settings.capacity,
            late_accept: settings.late == Late::Accept,
            aging: settings.aging,
            events: settings.events.clone(),
            events_max_len: settings.events_max_len,
        }
    }
}

impl From<SettingsV1> for Settings {
    fn from(stored: SettingsV1) -> Settings {
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
            events: stored.events,
            events_max_len: stored.events_max_len,
        }
    }
}
