//! No panic crosses into the server: every entry runs behind this guard.

use super::args::{Args, Parser};
use super::context::{self, Context, Refusal};
use redis_module::raw;
use std::ffi::c_int;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Runs `body`; after a panic logs that it happened (no user bytes) and answers `otherwise`.
pub fn guarded<R>(what: &'static str, otherwise: R, body: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(_) => {
            context::log_warning(&format!(
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

/// The guarded entry of a command that `handler`, a plain function, serves.
pub const fn entry<F>(_handler: F) -> RawHandler
where
    F: Fn(Context<'_>, Args<'_>) -> Result<(), Refusal> + Copy + 'static,
{
    const {
        assert!(
            size_of::<F>() == 0,
            "a plain function, not a pointer to one"
        )
    };
    trampoline::<F>
}

/// `entry` of a command that begins with `numkeys key [key …]` and is registered as `getkeys-api`.
/// The key specs say the same, but what a cluster routes by does not read those of this kind.
pub const fn counted_entry<F>(_handler: F) -> RawHandler
where
    F: Fn(Context<'_>, Args<'_>) -> Result<(), Refusal> + Copy + 'static,
{
    const {
        assert!(
            size_of::<F>() == 0,
            "a plain function, not a pointer to one"
        )
    };
    counted_trampoline::<F>
}

unsafe extern "C" fn counted_trampoline<F>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int
where
    F: Fn(Context<'_>, Args<'_>) -> Result<(), Refusal> + Copy + 'static,
{
    // SAFETY: the server's arguments are valid for this call.
    let asked = unsafe { Context::new(ctx) };
    if !asked.asks_for_keys() {
        return trampoline::<F>(ctx, argv, argc);
    }
    guarded("a command's keys", (), || {
        // SAFETY: as above.
        let args = unsafe { Args::new(argv, argc) };
        let room = args.count().saturating_sub(2);
        let said = Parser::new(args, 1).number("numkeys", 0..=room as i64);
        for position in 0..said.unwrap_or(0) as usize {
            asked.key_at(2 + position);
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
    let handler: F = std::mem::transmute_copy(&());
    // SAFETY: the server's arguments are valid for this call.
    let (ctx, args) = (Context::new(ctx), Args::new(argv, argc));
    match catch_unwind(AssertUnwindSafe(|| handler(ctx, args))) {
        Ok(Ok(())) => {}
        Ok(Err(refusal)) => ctx.refuse(&refusal),
        Err(_) => {
            context::log_warning("internal error in a command; please report it");
            ctx.refuse(&Refusal::fixed("ERR internal error, see the server's log"));
        }
    }
    raw::REDISMODULE_OK as c_int
}
