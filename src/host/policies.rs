//! The named sets of limits that RATELIMIT.POLICY keeps: they belong to the process, to no key.

use crate::server::keyless::Keyless;
use modq_core::codec::DecodeError;
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

/// The policies, as the server saves and loads what belongs to no key.
pub struct AllPolicies;

impl Keyless for AllPolicies {
    const LOAD_COMMAND: &'static CStr = LOAD_POLICIES;

    fn is_empty() -> bool {
        with_policies(|policies| policies.is_empty())
    }

    fn encode() -> Vec<u8> {
        with_policies(|policies| policies.encode())
    }

    fn replace(encoded: &[u8]) -> Result<(), DecodeError> {
        let loaded = Policies::decode(encoded)?;
        with_policies(|policies| *policies = loaded);
        Ok(())
    }

    fn clear() {
        with_policies(|policies| *policies = Policies::default());
    }
}
