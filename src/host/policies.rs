//! The named sets of limits that RATELIMIT.POLICY keeps: they belong to the process, to no key.

use modq_core::limiter::Policies;
use std::ffi::CStr;
use std::sync::{Mutex, PoisonError};

/// The command that carries all policies in an AOF.
pub const LOAD_POLICIES: &CStr = c"ratelimit._policies";

static POLICIES: Mutex<Option<Policies>> = Mutex::new(None);

/// Runs `body` on the policies. The server must not be called from inside.
pub fn with_policies<R>(body: impl FnOnce(&mut Policies) -> R) -> R {
    let mut guard = POLICIES.lock().unwrap_or_else(PoisonError::into_inner);
    body(guard.get_or_insert_with(Policies::default))
}
