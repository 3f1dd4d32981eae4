//! No panic crosses into the server: every entry runs behind this guard.

use super::api::api;
use super::args::{Args, NoSuchWord};
use super::context::{Context, Refusal};
use super::log::log_warning;
use redis_module::raw;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; after a panic logs that it happened (no user bytes) and answers `otherwise`.
pub fn guarded<R>(what: &'static str, otherwise: R, body: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(_) => {
            log_warning(&format!(
                "internal error in {what}; please report it with the lines printed before"
            ));
            otherwise
        }
    }
}

/// What the server calls for a command.
pub type RawHandler = unsafe extern "C" fn(
    *mut raw::RedisModuleCtx,
    *mut *mut raw::RedisModuleString,
    c_int,
) -> c_int;

/// Whether a value of `F` has no bytes: a plain function, not a pointer to one, nor a closure that
/// holds something. Such a value can be made from nothing.
const fn is_plain_function<F>() -> bool {
    size_of::<F>() == 0
}

/// The guarded entry of a command that `handler`, a plain function, serves.
pub const fn entry<F>(_handler: F) -> RawHandler
where
    F: Fn(Context<'_>, Args<'_>) -> Result<(), Refusal> + Copy + 'static,
{
    const { assert!(is_plain_function::<F>()) };
    trampoline::<F>
}

/// As `entry`, for commands with the flag `getkeys-api`: `locate` answers the server's question
/// where the keys of given arguments are. Key specs alone will not do: cluster redirection does not
/// look at those of modules.
pub const fn entry_located<F, L>(_handler: F, _locate: L) -> RawHandler
where
    F: Fn(Context<'_>, Args<'_>) -> Result<(), Refusal> + Copy + 'static,
    L: Fn(Args<'_>) -> Vec<usize> + Copy + 'static,
{
    let _ = entry(_handler);
    const { assert!(is_plain_function::<L>()) };
    located_trampoline::<F, L>
}

unsafe extern "C" fn located_trampoline<F, L>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int
where
    F: Fn(Context<'_>, Args<'_>) -> Result<(), Refusal> + Copy + 'static,
    L: Fn(Args<'_>) -> Vec<usize> + Copy + 'static,
{
    // SAFETY: read after the server filled in its functions; the context is the server's own.
    if unsafe { raw::RedisModule_IsKeysPositionRequest.is_none_or(|asked| asked(ctx) == 0) } {
        // SAFETY: the server's arguments are passed on.
        return unsafe { trampoline::<F>(ctx, argv, argc) };
    }
    guarded("the positions of keys", (), || {
        // SAFETY: `L` has no bytes and is `Copy`, and `entry_located` was given one: this is
        // another.
        let locate: L = unsafe { std::mem::transmute_copy(&()) };
        // SAFETY: the server's arguments are valid for this call.
        let args = unsafe { Args::new(argv, argc) };
        for at in locate(args) {
            // SAFETY: the context is live, and the server asked for positions.
            unsafe { api!(RedisModule_KeyAtPos(ctx, at as c_int)) };
        }
    });
    raw::REDISMODULE_OK as c_int
}

unsafe extern "C" fn trampoline<F>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int
where
    F: Fn(Context<'_>, Args<'_>) -> Result<(), Refusal> + Copy + 'static,
{
    // SAFETY: `F` has no bytes and is `Copy`, and `entry` was given one: this is another.
    let handler: F = unsafe { std::mem::transmute_copy(&()) };
    // SAFETY: the server's arguments are valid for this call.
    let (ctx, args) = unsafe { (Context::new(ctx), Args::new(argv, argc)) };
    match catch_unwind(AssertUnwindSafe(|| handler(ctx, args))) {
        Ok(Ok(())) => {}
        Ok(Err(refusal)) => ctx.refuse(&refusal),
        Err(cause) if cause.is::<NoSuchWord>() => {
            ctx.refuse(&Refusal::fixed("ERR wrong number of arguments"));
        }
        Err(_) => {
            log_warning("internal error in a command; please report it");
            ctx.refuse(&Refusal::fixed("ERR internal error, see the server's log"));
        }
    }
    raw::REDISMODULE_OK as c_int
}
