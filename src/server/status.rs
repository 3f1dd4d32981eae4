//! Statuses, such as OK: replies that are made when the module loads, and given again and again.
//!
//! A status by name is copied and searched for line breaks each time, at 700 instructions; a reply that a
//! command gave to us can be handed on for 100. So for each status a command of our own is called once,
//! which gives it as its reply, and that reply is kept.

use super::api::api;
use super::call::text_of;
use super::context::{Context, Refusal};
use redis_module::raw;
use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// A status that commands reply.
pub struct Status {
    text: &'static CStr,
    /// The reply that is kept; null before it is made, and if that failed. It is read on the main thread
    /// only, and never freed: a module with types of its own stays loaded.
    kept: AtomicPtr<raw::RedisModuleCallReply>,
}

/// The status OK.
pub static OK: Status = Status::new(c"OK");

thread_local! {
    /// The status that is being made.
    static WANTED: Cell<Option<&'static CStr>> = const { Cell::new(None) };
}

impl Status {
    /// A status of this text, which has no line break.
    pub const fn new(text: &'static CStr) -> Status {
        Status {
            text,
            kept: AtomicPtr::new(null_mut()),
        }
    }

    /// Has the command `maker` make the reply.
    fn make(&'static self, ctx: Context<'_>, maker: &CStr) {
        WANTED.set(Some(self.text));
        // SAFETY: the context is live; the format says that there are no arguments.
        let reply = unsafe { api!(RedisModule_Call(ctx.raw(), maker.as_ptr(), c"".as_ptr())) };
        WANTED.set(None);
        if reply.is_null() {
            return;
        }
        // SAFETY: a reply just given. It is freed unless it is kept.
        unsafe {
            if text_of(reply) == Some(self.text.to_bytes()) {
                self.kept.store(reply, Relaxed);
            } else {
                api!(RedisModule_FreeCallReply(reply));
            }
        }
    }
}

/// Makes OK, and all of these. `maker` is a command that calls [`reply_wanted`].
pub(super) fn make_all(ctx: Context<'_>, maker: &CStr, statuses: &[&'static Status]) {
    OK.make(ctx, maker);
    for status in statuses {
        status.make(ctx, maker);
    }
}

/// Replies the status that is being made.
///
/// # Errors
/// None is being made: then `otherwise`.
pub fn reply_wanted(ctx: Context<'_>, otherwise: Refusal) -> Result<(), Refusal> {
    let text = WANTED.get().ok_or(otherwise)?;
    ctx.reply_text(text);
    Ok(())
}

impl Context<'_> {
    /// A status.
    #[inline]
    pub fn reply_status(self, status: &'static Status) {
        let kept = status.kept.load(Relaxed);
        // SAFETY: the context is live, and so is a reply that is kept.
        let given = !kept.is_null()
            && unsafe { api!(RedisModule_ReplyWithCallReply(self.raw(), kept)) }
                == raw::REDISMODULE_OK as c_int;
        if !given {
            self.reply_text(status.text);
        }
    }

    /// The status OK.
    pub fn reply_ok(self) {
        self.reply_status(&OK);
    }
}
