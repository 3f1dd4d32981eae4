//! The fields of the module's section of INFO.

use super::limiter_keys::log_full;
use super::policies::with_policies;
use super::{damage, queues, schedule, streams, totals, waiting};
use std::ffi::CStr;
use std::sync::atomic::Ordering::Relaxed;

/// All fields in their order: first of queues, then of limiters, then of boards.
pub fn fields() -> Vec<(&'static CStr, u64)> {
    let mut fields = vec![(c"queues", totals::values_of(totals::QUEUES))];
    fields.extend(totals::over_all_queues());
    let timer = schedule::status();
    fields.extend([
        (c"waiting_clients", waiting::clients() as u64),
        (c"scheduled_keys", timer.keys as u64),
        (c"timer_lag_ms", timer.last_lag.0),
        (c"timer_max_lag_ms", timer.max_lag.0),
        (c"damaged_keys", damage::damaged_keys()),
        (c"deferred_max", queues::deferred_max()),
        (c"events_dropped", streams::events_dropped()),
        (c"events_missed_max", streams::missed_max()),
    ]);
    let policies = with_policies(|policies| policies.len()) as u64;
    fields.extend([
        (c"ratelimit_limiters", totals::values_of(totals::LIMITERS)),
        (
            c"ratelimit_lease_sets",
            totals::values_of(totals::LEASE_SETS),
        ),
        (c"ratelimit_admitted", totals::ADMITTED.load(Relaxed)),
        (c"ratelimit_denied", totals::DENIED.load(Relaxed)),
        (c"ratelimit_log_full", log_full()),
        (c"ratelimit_policies", policies),
    ]);
    let [members, ids] = totals::over_all_boards();
    fields.extend([
        (c"rank_boards", totals::values_of(totals::BOARDS)),
        (c"rank_members", members),
        (c"rank_ids", ids),
    ]);
    fields
}
