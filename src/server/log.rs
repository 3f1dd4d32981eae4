//! Lines in the server's log. Never with ids or payloads in them.

use super::api::api;
use super::context::Context;
use redis_module::raw;
use std::ffi::{CStr, CString};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// A context that lives as long as the module. It lends its lines the module's name; without one
/// they say `<module>`. Nothing else is done with it.
static NAMED: AtomicPtr<raw::RedisModuleCtx> = AtomicPtr::new(null_mut());

/// Lines carry the module's name from now on.
pub(super) fn begin(ctx: Context<'_>) {
    // SAFETY: read on the main thread after the server filled it in; the context is live.
    let detached = unsafe {
        raw::RedisModule_GetDetachedThreadSafeContext.map_or(null_mut(), |get| get(ctx.raw()))
    };
    NAMED.store(detached, Relaxed);
}

/// The module did not load: the server forgets its name.
pub(super) fn end() {
    let detached = NAMED.swap(null_mut(), Relaxed);
    // SAFETY: the context was made by `begin`, is freed once and not used any more: nothing else of
    // the module runs while it loads.
    unsafe {
        if let Some(free) = raw::RedisModule_FreeThreadSafeContext {
            if !detached.is_null() {
                free(detached);
            }
        }
    }
}

fn log(level: &'static CStr, text: &str) {
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: the format is ours and takes one string; a null context is allowed, and so is a
    // detached one on any thread.
    unsafe {
        api!(RedisModule_Log(
            NAMED.load(Relaxed),
            level.as_ptr(),
            c"%s".as_ptr(),
            text.as_ptr()
        ));
    }
}

/// A line in the server's log.
pub fn log_notice(text: &str) {
    log(c"notice", text);
}

/// A warning in the server's log.
pub fn log_warning(text: &str) {
    log(c"warning", text);
}
