//! The module's settings.

use crate::server::config::Setting;

/// Most deferred steps (expiries, due items, matches) of one tick.
pub static WORK_BUDGET: Setting = Setting::number(c"work-budget", 1000, 1, 1_000_000);

/// Largest payload of an item, bytes.
pub static MAX_PAYLOAD: Setting = Setting::number(
    c"max-payload-bytes",
    1 << 20,
    0,
    modq_core::queue::MAX_PAYLOAD as i64,
);

/// Most runs of charges and remembered requests in one limiter's key.
pub static LOG_MAX_ENTRIES: Setting =
    Setting::number(c"ratelimit-log-max-entries", 1_000_000, 1, 1 << 32)
        .or_called("ratelimit.log-max-entries");

/// Whether clients may send the internal commands that apply effects.
pub static ALLOW_APPLY: Setting = Setting::switch(c"allow-apply");

/// All settings, in the order in which they are registered.
pub static ALL: &[&Setting] = &[&WORK_BUDGET, &MAX_PAYLOAD, &LOG_MAX_ENTRIES, &ALLOW_APPLY];
