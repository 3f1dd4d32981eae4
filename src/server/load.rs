//! Loading the module: what is registered with the server, and in which order.

use super::api::{self, api};
use super::args::Args;
use super::context::Context;
use super::guard::guarded;
use super::log::{self, log_notice, log_warning};
use super::module::{LoadError, Module};
use super::types::Types;
use super::{alloc, blocking, clock, command, config, events, info, reply, status};
use redis_module::raw;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;

const OK: c_int = raw::REDISMODULE_OK as c_int;
const ERR: c_int = raw::REDISMODULE_ERR as c_int;

/// Valkey 9: the module can live with slots that migrate atomically.
const VALKEY_HANDLES_ATOMIC_SLOT_MIGRATION: c_int = 1 << 5;

/// Makes the entry that the server looks for, which loads the module that the type is.
macro_rules! module_entry {
    ($module:ty) => {
        /// The entry that the server looks for.
        ///
        /// # Safety
        /// To be called by the server only, with a valid context and `argc` arguments.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn RedisModule_OnLoad(
            ctx: *mut redis_module::raw::RedisModuleCtx,
            argv: *mut *mut redis_module::raw::RedisModuleString,
            argc: std::ffi::c_int,
        ) -> std::ffi::c_int {
            // SAFETY: the server's arguments are passed on.
            unsafe { $crate::server::load::on_load::<$module>(ctx, argv, argc) }
        }
    };
}
pub(crate) use module_entry;

/// Loads the module `M`. Answers the server's OK or ERR.
///
/// # Safety
/// As `RedisModule_OnLoad`: the arguments are those of the server.
pub unsafe fn on_load<M: Module>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: the context is the server's own; this fills in the functions, before any other is
    // used.
    let begun = unsafe { raw::Export_RedisModule_Init(ctx, M::NAME.as_ptr(), M::VERSION, 1) };
    let name = M::NAME.to_string_lossy();
    if let Some(function) = api::first_missing() {
        // Without all functions there may be no logging either.
        eprintln!(
            "{name} does not load: this server is too old (it lacks {function}); take Redis 7.0 or later, or Valkey"
        );
        return ERR;
    }
    if begun == ERR {
        log_warning(&format!(
            "{name} does not load: a module of this name is loaded (see MODULE LIST); \
             for another version of it, restart the server with that"
        ));
        return ERR;
    }
    guarded("load", ERR, || {
        // SAFETY: the server's arguments are valid for this call.
        let (ctx, args) = unsafe { (Context::new(ctx), Args::new(argv, argc)) };
        log::begin(ctx);
        match register::<M>(ctx, args) {
            Ok(()) => {
                log_notice(&format!("{name} is ready"));
                OK
            }
            Err(what) => {
                log_warning(&format!("{name} does not load: {what}"));
                log::end();
                ERR
            }
        }
    })
}

fn register<M: Module>(ctx: Context<'_>, args: Args<'_>) -> Result<(), LoadError> {
    let mut options = raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS as c_int
        | raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED as c_int;
    // A function that came with Valkey 9.1, for its Lua.
    if offers(c"ValkeyModule_ReplyWithCustomErrorFormat") {
        reply::LUA_IS_A_MODULE.store(true, Relaxed);
    }
    if is_valkey() {
        options |= VALKEY_HANDLES_ATOMIC_SLOT_MIGRATION;
        clock::ask_the_server_too();
        blocking::on_valkey();
    }
    // SAFETY: a valid context and known bits.
    unsafe { api!(RedisModule_SetModuleOptions(ctx.raw(), options)) };
    alloc::follow_the_servers();
    M::register_types(&Types::new(ctx))?;
    config::register(ctx, args, M::NAME, M::settings())?;
    for command in M::commands() {
        command::register(ctx, command)?;
    }
    for container in M::containers() {
        command::register_container(ctx, container)?;
    }
    status::make_all(ctx, M::STATUS_COMMAND, M::statuses());
    // SAFETY: read on the main thread after the server filled in its functions.
    let set_categories = unsafe { raw::RedisModule_SetCommandACLCategories };
    if set_categories.is_none() {
        log_notice("this server has no ACL categories for modules' commands");
    }
    events::follow::<M>(ctx)?;
    info::register::<M>(ctx)
}

fn is_valkey() -> bool {
    // Valkey offers its own names of the functions beside Redis's.
    offers(c"ValkeyModule_Alloc")
}

/// Whether the server has a function of this name for modules.
fn offers(name: &CStr) -> bool {
    type GetApi = unsafe extern "C" fn(*const c_char, *mut c_void) -> c_int;
    // SAFETY: read on the main thread after the server filled it in.
    let get_api: Option<GetApi> = unsafe { raw::RedisModule_GetApi };
    let mut found: *mut c_void = null_mut();
    // SAFETY: the server writes a pointer, or answers ERR for names it does not know.
    get_api.is_some_and(|get_api| unsafe { get_api(name.as_ptr(), (&raw mut found).cast()) == OK })
}
