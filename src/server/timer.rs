//! The server's timers: each fires once, on the main thread.

use super::api::api;
use super::context::Context;
use super::guard::guarded;
use redis_module::raw;
use std::ffi::c_void;

/// A timer that was started and has neither fired nor been stopped.
#[derive(Debug, Clone, Copy)]
pub struct Timer(raw::RedisModuleTimerID);

/// What a timer does when it fires.
pub trait Tick: 'static {
    /// Called once, on the main thread, with no command running.
    fn tick(ctx: Context<'_>);
}

/// Starts a timer that fires after `ms` and then runs `T::tick`.
pub fn start<T: Tick>(ctx: Context<'_>, ms: u64) -> Timer {
    // SAFETY: the context is live; the callback has the right type and takes no data.
    Timer(unsafe {
        api!(RedisModule_CreateTimer(
            ctx.raw(),
            ms.clamp(1, i64::MAX as u64) as i64,
            Some(on_time::<T>),
            std::ptr::null_mut()
        ))
    })
}

/// Stops a timer. One that has fired must have been forgotten by then: its number may be another's.
pub fn stop(ctx: Context<'_>, timer: Timer) {
    // SAFETY: the context is live; the number is that of a timer that was started and has not
    // fired, and no data is asked back.
    unsafe {
        api!(RedisModule_StopTimer(
            ctx.raw(),
            timer.0,
            std::ptr::null_mut()
        ))
    };
}

unsafe extern "C" fn on_time<T: Tick>(ctx: *mut raw::RedisModuleCtx, _data: *mut c_void) {
    guarded("timer", (), || {
        // SAFETY: the context is valid in this callback.
        T::tick(unsafe { Context::new(ctx) });
    });
}
