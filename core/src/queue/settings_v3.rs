//! What version 3 of stored and replicated settings adds to version 1. Frozen once released: a new
//! setting needs a new version.

use super::settings::{Quorum, Settings};
use crate::units::Millis;
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

#[derive(Serialize, Deserialize)]
pub(super) struct SettingsV3<'a> {
    k: u8,
    n: u8,
    #[serde(borrow)]
    split_tag: &'a Bytes,
    /// ms.
    retain: u64,
    retain_max: u64,
}

impl<'a> From<&'a Settings> for SettingsV3<'a> {
    fn from(settings: &'a Settings) -> SettingsV3<'a> {
        SettingsV3 {
            k: settings.quorum.k,
            n: settings.quorum.n,
            split_tag: Bytes::new(&settings.split_tag),
            retain: settings.retain.0,
            retain_max: settings.retain_max,
        }
    }
}

impl SettingsV3<'_> {
    /// The settings of version 1 with these.
    pub(super) fn added_to(&self, settings: Settings) -> Settings {
        Settings {
            quorum: Quorum {
                k: self.k,
                n: self.n,
            },
            split_tag: Box::from(&**self.split_tag),
            retain: Millis(self.retain),
            retain_max: self.retain_max,
            ..settings
        }
    }
}
