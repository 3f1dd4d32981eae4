//! The values of the keys of limiters and of leases, and carrying out effects on them.

use super::damage::Damage;
use super::totals::{Counted, LEASE_SETS, LIMITERS};
use super::values::update;
use crate::server::context::{Context, Refusal};
use crate::server::key::Key;
use crate::server::types::{Stored, TypeHandle};
use modq_core::codec::DecodeError;
use modq_core::limiter::{ApplyError, Effect, LeaseEffect, Leases, Limiter};
use modq_core::memory::alloc_size;
use modq_core::units::{Time, Token};
use std::cell::RefCell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The value of a limiter's key.
#[derive(Default)]
pub struct LimitKey {
    /// The limiter itself.
    pub limiter: Limiter,
    damage: Damage,
    _counted: Counted<LIMITERS>,
}

/// The value of a key of leases.
#[derive(Default)]
pub struct LeaseKey {
    /// The leases themselves.
    pub leases: Leases,
    damage: Damage,
    _counted: Counted<LEASE_SETS>,
}

macro_rules! stored {
    ($key:ty, $field:ident, $core:ty, $name:literal, $word:literal) => {
        impl Stored for $key {
            type Core = $core;
            const NAME: &'static CStr = $name;
            const WORD: &'static CStr = $word;

            fn core(&self) -> &$core {
                &self.$field
            }

            fn core_mut(&mut self) -> &mut $core {
                &mut self.$field
            }

            fn memory_bytes(&self) -> usize {
                let own = alloc_size(size_of::<$key>()) - size_of::<$core>();
                own + self.$field.memory_bytes()
            }

            fn free_effort(&self) -> usize {
                self.$field.free_effort()
            }

            fn handle() -> &'static TypeHandle {
                static HANDLE: TypeHandle = TypeHandle::new();
                &HANDLE
            }
        }
    };
}

stored!(LimitKey, limiter, Limiter, c"modqlimit", c"limit");
stored!(LeaseKey, leases, Leases, c"modqlease", c"lease");

/// A value that effects change, and whose key expires when nothing in it is in use any more.
pub trait Expiring: Stored {
    /// A change that was decided.
    type Effect<'e>;

    /// The command that carries an effect to replicas and the AOF. Short, as it is sent often: the
    /// server looks a name up by copying, splitting and hashing it.
    const APPLY: &'static CStr;

    /// Reads an effect, and when the key expires after it; `None` if it is then gone.
    ///
    /// # Errors
    /// If this is no record of such an effect.
    fn decode(record: &[u8]) -> Result<(Self::Effect<'_>, Option<Time>), DecodeError>;

    /// Appends the record that `decode` reads.
    fn encode(effect: &Self::Effect<'_>, expires: Option<Time>, record: &mut Vec<u8>);

    /// Whether nothing is left after this effect.
    fn is_reset(effect: &Self::Effect<'_>) -> bool;

    /// Runs `body` on the value, unless it is damaged. A panic in it damages the value.
    ///
    /// # Errors
    /// Those of `body`, and that the value is damaged.
    fn guarded<R>(
        &mut self,
        body: impl FnOnce(&mut Self::Core) -> Result<R, Refusal>,
    ) -> Result<R, Refusal>;

    /// Carries out an effect. Answers the units given back, if it is one that gives some.
    ///
    /// # Errors
    /// If the effect does not fit the value.
    fn apply(value: &mut Self::Core, effect: &Self::Effect<'_>) -> Result<u64, ApplyError>;

    /// The largest fencing token in it; `Token(0)` if it gives none.
    fn last_token(&self) -> Token;

    /// When nothing in it is in use any more; `None` if nothing is now.
    fn expires_at(&self) -> Option<Time>;
}

impl Expiring for LimitKey {
    type Effect<'e> = Effect<'e>;
    const APPLY: &'static CStr = c"modq._r";

    fn decode(record: &[u8]) -> Result<(Effect<'_>, Option<Time>), DecodeError> {
        Effect::decode(record)
    }

    #[inline]
    fn encode(effect: &Effect<'_>, expires: Option<Time>, record: &mut Vec<u8>) {
        effect.encode_into(expires, record);
    }

    #[inline]
    fn is_reset(effect: &Effect<'_>) -> bool {
        effect.is_reset()
    }

    #[inline]
    fn guarded<R>(
        &mut self,
        body: impl FnOnce(&mut Limiter) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        self.damage.check()?;
        self.damage.watch(|| body(&mut self.limiter))
    }

    #[inline]
    fn apply(limiter: &mut Limiter, effect: &Effect<'_>) -> Result<u64, ApplyError> {
        limiter.apply(effect)
    }

    fn last_token(&self) -> Token {
        Token(0)
    }

    #[inline]
    fn expires_at(&self) -> Option<Time> {
        self.limiter.expires_at()
    }
}

impl Expiring for LeaseKey {
    type Effect<'e> = LeaseEffect<'e>;
    const APPLY: &'static CStr = c"modq._l";

    fn decode(record: &[u8]) -> Result<(LeaseEffect<'_>, Option<Time>), DecodeError> {
        LeaseEffect::decode(record)
    }

    #[inline]
    fn encode(effect: &LeaseEffect<'_>, expires: Option<Time>, record: &mut Vec<u8>) {
        effect.encode_into(expires, record);
    }

    #[inline]
    fn is_reset(_effect: &LeaseEffect<'_>) -> bool {
        false
    }

    #[inline]
    fn guarded<R>(
        &mut self,
        body: impl FnOnce(&mut Leases) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        self.damage.check()?;
        self.damage.watch(|| body(&mut self.leases))
    }

    #[inline]
    fn apply(leases: &mut Leases, effect: &LeaseEffect<'_>) -> Result<u64, ApplyError> {
        leases.apply(effect).map(|()| 0)
    }

    fn last_token(&self) -> Token {
        self.leases.last_fence()
    }

    #[inline]
    fn expires_at(&self) -> Option<Time> {
        self.leases.expires_at()
    }
}

thread_local! {
    /// A buffer that writing commands use in turn.
    static RECORD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Applies an effect to the value of a key, replicates it, and lets the key end with what is in
/// it. Answers the units given back.
///
/// # Errors
/// If the effect does not fit the value, which would be a bug: it was decided on this value.
#[inline]
pub fn carry_out<T: Expiring>(
    ctx: Context<'_>,
    key: &mut Key<'_, T>,
    effect: &T::Effect<'_>,
) -> Result<u64, Refusal> {
    const BROKEN: Refusal = Refusal::fixed("ERR internal error: the effect does not fit");
    let (given, expires) = if key.get().is_some() && T::is_reset(effect) {
        // The value stays as it is, so that the server frees a large one in the background.
        (0, None)
    } else {
        update(key, |stored| {
            let apply = |value: &mut T::Core| T::apply(value, effect).map_err(|ApplyError| BROKEN);
            let given = stored.guarded(apply)?;
            Ok::<_, Refusal>((given, stored.expires_at()))
        })?
    };
    RECORD.with_borrow_mut(|record| {
        record.clear();
        T::encode(effect, expires, record);
        ctx.replicate(T::APPLY, key.name(), record);
    });
    ctx.signal_modified(key.name());
    keep_until(key, expires);
    Ok(given)
}

/// Lets a key expire at `expires`, when nothing in it is in use any more, or deletes it at once if
/// nothing is.
pub fn keep_until<T: Stored>(key: &mut Key<'_, T>, expires: Option<Time>) {
    match expires {
        Some(Time(ms)) if key.get().is_some() => key.set_expires_at(Some(ms)),
        Some(_) => {}
        None if key.get().is_some() => key.delete(),
        None => {}
    }
}

/// Requests denied because a log was full.
static LOG_FULL: AtomicU64 = AtomicU64::new(0);

/// How many requests were denied because a log was full.
pub fn log_full() -> u64 {
    LOG_FULL.load(Relaxed)
}

/// Counts a request that was denied because a log was full.
pub fn count_log_full() {
    LOG_FULL.fetch_add(1, Relaxed);
}
