//! The module's section of INFO.

use super::api::api;
use super::context::Context;
use super::guard::guarded;
use super::module::{LoadError, Module};
use redis_module::raw;
use std::ffi::c_int;

const ERR: c_int = raw::REDISMODULE_ERR as c_int;

/// Has the server ask for the section.
pub(super) fn register<M: Module>(ctx: Context<'_>) -> Result<(), LoadError> {
    // SAFETY: the context is live during load; the callback has the right type.
    match unsafe { api!(RedisModule_RegisterInfoFunc(ctx.raw(), Some(show::<M>))) } {
        ERR => Err(
            "the server refuses its INFO section; report this with the version of the server"
                .into(),
        ),
        _ => Ok(()),
    }
}

unsafe extern "C" fn show<M: Module>(ctx: *mut raw::RedisModuleInfoCtx, for_crash_report: c_int) {
    guarded("INFO", (), || {
        // After a crash nothing is locked again: whoever holds a lock may be who crashed.
        if for_crash_report != 0 {
            return;
        }
        let fields = M::info();
        // SAFETY: the context is valid in this callback; an empty name is the module's own.
        if unsafe { api!(RedisModule_InfoAddSection(ctx, c"".as_ptr())) } == ERR {
            return;
        }
        for (name, value) in fields {
            // SAFETY: the context is valid in this callback and the name is static.
            unsafe { api!(RedisModule_InfoAddFieldULongLong(ctx, name.as_ptr(), value)) };
        }
    });
}
