//! Keys in which the code panicked.
//!
//! What a command applied before the panic is replicated as ever. What the panic left half done is on no
//! replica, so the key takes no more changes: no command changes it, and time does not act on it. It can
//! be read, saved, deleted and replaced. Loading it anew (a restart, a failover, RESTORE) makes it whole,
//! as what is loaded is built anew from what it says.

use crate::server::context::Refusal;
use crate::server::log::log_warning;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many keys are damaged now.
static DAMAGED: AtomicU64 = AtomicU64::new(0);

/// How many keys are damaged now.
pub fn damaged_keys() -> u64 {
    DAMAGED.load(Relaxed)
}

/// Whether a panic left the value of a key half changed. Counted for as long as the value lives.
#[derive(Debug, Default)]
pub struct Damage(bool);

impl Damage {
    /// Whether the value is whole.
    #[inline]
    pub fn is_none(&self) -> bool {
        !self.0
    }

    /// Refuses to change a damaged value.
    ///
    /// # Errors
    /// If it is one.
    #[inline]
    pub fn check(&self) -> Result<(), Refusal> {
        if self.0 { Err(REFUSAL) } else { Ok(()) }
    }

    /// A panic left the value half changed.
    #[cold]
    pub fn mark(&mut self) {
        if !self.0 {
            self.0 = true;
            DAMAGED.fetch_add(1, Relaxed);
            log_warning(
                "internal error: a key is damaged and takes no more changes until it is deleted or loaded \
                 anew; please report it with the lines printed before",
            );
        }
    }

    /// Runs `body`, which changes the value. A panic in it damages the value.
    ///
    /// # Errors
    /// Those of `body`, and after a panic that the value is damaged.
    #[inline]
    pub fn guard<R>(&mut self, body: impl FnOnce() -> Result<R, Refusal>) -> Result<R, Refusal> {
        match catch_unwind(AssertUnwindSafe(body)) {
            Ok(result) => result,
            Err(_) => {
                self.mark();
                Err(REFUSAL)
            }
        }
    }

    /// Runs `body`, which changes the value. A panic in it damages the value, and goes on to the
    /// entry of the command. For what replicates after `body` only: cheaper than [`Damage::guard`].
    #[inline]
    pub fn watch<R>(&mut self, body: impl FnOnce() -> R) -> R {
        struct Marks<'d>(&'d mut Damage);
        impl Drop for Marks<'_> {
            fn drop(&mut self) {
                self.0.mark();
            }
        }
        let marks = Marks(self);
        let result = body();
        std::mem::forget(marks);
        result
    }
}

const REFUSAL: Refusal = Refusal::fixed(
    "ERR internal error: this key is damaged and takes no more changes, see the server's log",
);

impl Drop for Damage {
    fn drop(&mut self) {
        if self.0 {
            DAMAGED.fetch_sub(1, Relaxed);
        }
    }
}
