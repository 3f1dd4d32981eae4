//! Clients that wait: blocking them, and hearing how their wait ends. Who is served, and with what,
//! is decided by `host::waiting`; the server sees to time-outs, redirections and kills.

use super::api::api;
use super::args::ServerStr;
use super::context::Context;
use super::guard::guarded;
use crate::host::waiting;
use redis_module::raw;
use std::ffi::{c_int, c_void};

/// A blocked client. Valid until its wait has ended, by whatever cause; each cause is told to
/// `host::waiting` before the handle dies.
#[derive(Clone, Copy)]
pub struct Blocked(*mut raw::RedisModuleBlockedClient);

// SAFETY: only ever used on the server's main thread; it is stored in a static, that is all.
unsafe impl Send for Blocked {}

/// Why a wait ended without the module ending it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The time is up, or CLIENT UNBLOCK, or `Blocked::wake`: a reply must be given.
    Answer,
    /// The client is gone, or was answered by the server itself.
    Gone,
}

/// Blocks the client of this call on `keys` for `ms` (0: for ever), under the number `call`.
pub fn block(ctx: Context<'_>, keys: &[ServerStr<'_>], ms: u64, call: u64) -> Option<Blocked> {
    let mut keys: Vec<_> = keys.iter().map(|key| key.raw()).collect();
    // SAFETY: the callbacks have the right types and the private data is a number, not a pointer.
    unsafe {
        let client = api!(RedisModule_BlockClientOnKeys(
            ctx.raw(),
            Some(on_key_ready),
            Some(on_time_out),
            None,
            ms as i64,
            keys.as_mut_ptr(),
            keys.len() as c_int,
            call as usize as *mut c_void
        ));
        if client.is_null() {
            return None;
        }
        api!(RedisModule_SetDisconnectCallback(client, Some(on_gone)));
        Some(Blocked(client))
    }
}

impl Blocked {
    /// Ends the wait: `waiting::ended` is called at once, to reply.
    pub fn wake(self) {
        // SAFETY: the client still waits (see `Blocked`). For clients blocked on keys this calls
        // the time-out callback, which is `on_time_out`.
        unsafe { api!(RedisModule_UnblockClient(self.0, std::ptr::null_mut())) };
    }
}

/// The number a callback is about.
unsafe fn call_of(ctx: Context<'_>) -> u64 {
    unsafe { api!(RedisModule_GetBlockedClientPrivateData(ctx.raw())) as usize as u64 }
}

/// A key the client waits for has come to be. Who is served is not the server's to choose, unless
/// it holds another type.
unsafe extern "C" fn on_key_ready(
    ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    _argc: c_int,
) -> c_int {
    let still_waits = guarded("a blocked client", true, || {
        // SAFETY: valid in this callback, as is the key it was called for.
        let ctx = unsafe { Context::new(ctx) };
        let key = unsafe { api!(RedisModule_GetBlockedClientReadyKey(ctx.raw())) };
        waiting::key_ready(ctx, unsafe { call_of(ctx) }, unsafe { ServerStr::new(key) })
    });
    if still_waits {
        raw::REDISMODULE_ERR as c_int
    } else {
        raw::REDISMODULE_OK as c_int
    }
}

unsafe extern "C" fn on_time_out(
    ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    _argc: c_int,
) -> c_int {
    guarded("a blocked client", (), || {
        // SAFETY: valid in this callback.
        let ctx = unsafe { Context::new(ctx) };
        waiting::ended(ctx, unsafe { call_of(ctx) }, End::Answer);
    });
    raw::REDISMODULE_OK as c_int
}

unsafe extern "C" fn on_gone(
    ctx: *mut raw::RedisModuleCtx,
    _client: *mut raw::RedisModuleBlockedClient,
) {
    guarded("a blocked client", (), || {
        // SAFETY: valid in this callback.
        let ctx = unsafe { Context::new(ctx) };
        waiting::ended(ctx, unsafe { call_of(ctx) }, End::Gone);
    });
}
