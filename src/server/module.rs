//! OnLoad: what the module registers with the server, and the server events it follows.

use super::api::{self, api};
use super::args::{Args, ServerStr};
use super::context::{self, Context, log_notice, log_warning, must_not_replicate};
use super::guard::guarded;
use super::key::{Key, Mode, Name};
use super::{command, config, types};
use crate::commands;
use crate::host::limiter_keys::{LeaseKey, LimitKey, log_full};
use crate::host::policies::{LOAD_POLICIES, with_policies};
use crate::host::queue_key::QueueKey;
use crate::host::{queues, schedule, streams, totals, waiting};
use modq_core::limiter::Policies;
use redis_module::raw;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const OK: c_int = raw::REDISMODULE_OK as c_int;
const ERR: c_int = raw::REDISMODULE_ERR as c_int;

/// The module's version: 1.2.3 is 10203.
const VERSION: c_int = 100;

const FORK_CHILD_BORN: u64 = raw::REDISMODULE_SUBEVENT_FORK_CHILD_BORN;
const BEFORE_SLEEP: u64 = raw::REDISMODULE_SUBEVENT_EVENTLOOP_BEFORE_SLEEP;

/// Valkey 9: the module can live with slots that migrate atomically.
const VALKEY_HANDLES_ATOMIC_SLOT_MIGRATION: c_int = 1 << 5;

/// The entry that the server looks for.
///
/// # Safety
/// To be called by the server only, with a valid context and `argc` arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnLoad(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    unsafe {
        if raw::Export_RedisModule_Init(ctx, c"modq".as_ptr(), VERSION, 1) == ERR {
            return ERR;
        }
        if let Some(name) = api::first_missing() {
            // Without all functions there may be no logging either.
            eprintln!("modq: this server is too old, it lacks {name}");
            return ERR;
        }
        guarded("load", ERR, || {
            let ctx = Context::new(ctx);
            match register(ctx, Args::new(argv, argc)) {
                Ok(()) => OK,
                Err(what) => {
                    log_warning(&format!("modq does not load: {what}"));
                    ERR
                }
            }
        })
    }
}

fn register(ctx: Context<'_>, args: Args<'_>) -> Result<(), &'static str> {
    let mut options = raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS as c_int
        | raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED as c_int;
    if is_valkey(ctx) {
        options |= VALKEY_HANDLES_ATOMIC_SLOT_MIGRATION;
        context::mind_the_servers_clock();
    }
    // SAFETY: a valid context and known bits.
    unsafe { api!(RedisModule_SetModuleOptions(ctx.raw(), options)) };
    let known = types::register::<QueueKey>(ctx, false)
        && types::register::<LimitKey>(ctx, true)
        && types::register::<LeaseKey>(ctx, false);
    if !known {
        return Err("its types are refused (another version loaded?)");
    }
    if !config::register(ctx, args) {
        return Err("its settings are refused");
    }
    for command in commands::all() {
        command::register(ctx, command)?;
    }
    for container in commands::containers() {
        command::register_container(ctx, container)?;
    }
    // SAFETY: read on the main thread after the server filled in its functions.
    let set_categories = unsafe { raw::RedisModule_SetCommandACLCategories };
    if set_categories.is_none() {
        log_notice("this server has no ACL categories for modules' commands");
    }
    follow_events(ctx)?;
    // SAFETY: a callback of the right type.
    if unsafe { api!(RedisModule_RegisterInfoFunc(ctx.raw(), Some(info))) } == ERR {
        return Err("its INFO section is refused");
    }
    log_notice("modq is ready");
    Ok(())
}

fn is_valkey(_ctx: Context<'_>) -> bool {
    // Valkey offers its own names of the functions beside Redis's.
    // SAFETY: the server answers ERR for names it does not know.
    unsafe {
        let Some(get_api) = get_api_function() else {
            return false;
        };
        let mut found: *mut c_void = null_mut();
        get_api(c"ValkeyModule_Alloc".as_ptr(), (&raw mut found).cast()) == OK
    }
}

type GetApi = unsafe extern "C" fn(*const c_char, *mut c_void) -> c_int;

/// The function that looks up others.
fn get_api_function() -> Option<GetApi> {
    // SAFETY: read on the main thread after the server filled it in.
    unsafe { raw::RedisModule_GetApi }
}

fn follow_events(ctx: Context<'_>) -> Result<(), &'static str> {
    let classes = raw::REDISMODULE_NOTIFY_GENERIC | raw::REDISMODULE_NOTIFY_LOADED;
    // SAFETY: callbacks of the right types.
    let status = unsafe {
        let event = |id| raw::RedisModuleEvent { id, dataver: 1 };
        let role = event(raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED);
        let loading = event(raw::REDISMODULE_EVENT_LOADING);
        let swap = event(raw::REDISMODULE_EVENT_SWAPDB);
        let fork = event(raw::REDISMODULE_EVENT_FORK_CHILD);
        let turn = event(raw::REDISMODULE_EVENT_EVENTLOOP);
        [
            api!(RedisModule_SubscribeToKeyspaceEvents(
                ctx.raw(),
                classes,
                Some(on_key)
            )),
            api!(RedisModule_SubscribeToServerEvent(
                ctx.raw(),
                role,
                Some(on_wake)
            )),
            api!(RedisModule_SubscribeToServerEvent(
                ctx.raw(),
                loading,
                Some(on_loading)
            )),
            api!(RedisModule_SubscribeToServerEvent(
                ctx.raw(),
                fork,
                Some(on_fork)
            )),
            api!(RedisModule_SubscribeToServerEvent(
                ctx.raw(),
                swap,
                Some(on_swap)
            )),
            api!(RedisModule_SubscribeToServerEvent(
                ctx.raw(),
                turn,
                Some(on_turn)
            )),
        ]
    };
    if status.contains(&ERR) {
        return Err("a subscription is refused");
    }
    Ok(())
}

/// A key came to this name by other means than our commands: its deadlines must be known here.
unsafe extern "C" fn on_key(
    ctx: *mut raw::RedisModuleCtx,
    _class: c_int,
    event: *const c_char,
    key: *mut raw::RedisModuleString,
) -> c_int {
    guarded("a keyspace event", OK, || {
        // SAFETY: the server's arguments are valid in this callback.
        let event = unsafe { CStr::from_ptr(event) };
        const ARRIVALS: [&CStr; 5] = [c"rename_to", c"move_to", c"copy_to", c"restore", c"loaded"];
        if !ARRIVALS.contains(&event) {
            return OK;
        }
        let ctx = unsafe { Context::new(ctx) };
        let key = unsafe { ServerStr::new(key) };
        // The server's own string may be one on its stack, which cannot be kept: open a copy.
        let name = Name::new(key.bytes());
        let mut db = ctx.db();
        if let Ok(mut opened) = Key::<QueueKey>::open(ctx, name.get(), Mode::Glance) {
            db = opened.db().unwrap_or(db);
            if let Some(queue) = opened.get_mut() {
                queue.arrived(ctx, db, name.get());
            }
        }
        waiting::arrived(db, key.bytes());
        OK
    })
}

/// What is loaded replaces what was there, the policies too; then time may act.
unsafe extern "C" fn on_loading(
    ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    sub: u64,
    _data: *mut c_void,
) {
    guarded("a server event", (), || match sub {
        raw::REDISMODULE_SUBEVENT_LOADING_RDB_START
        | raw::REDISMODULE_SUBEVENT_LOADING_AOF_START
        | raw::REDISMODULE_SUBEVENT_LOADING_REPL_START => {
            with_policies(|policies| *policies = Policies::default());
        }
        // SAFETY: the context is valid in this callback.
        _ => schedule::wake(unsafe { Context::new(ctx) }),
    });
}

/// A child may be rewriting the AOF: the new file has to have the policies too.
unsafe extern "C" fn on_fork(
    _ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    sub: u64,
    _data: *mut c_void,
) {
    if sub == FORK_CHILD_BORN {
        POLICIES_TO_AOF.store(true, Relaxed);
    }
}

/// The policies are to be written to the AOF, at the turn's end.
static POLICIES_TO_AOF: AtomicBool = AtomicBool::new(false);

/// Policies belong to no key, and a rewritten AOF without RDB preamble has nothing but keys: so
/// they are written once more behind it, where the server goes on.
fn policies_to_aof(ctx: Context<'_>) {
    if !POLICIES_TO_AOF.load(Relaxed) || must_not_replicate() || ctx.flags().is_loading() {
        return;
    }
    if !ctx.flags().has_aof() {
        POLICIES_TO_AOF.store(false, Relaxed);
        return;
    }
    POLICIES_TO_AOF.store(false, Relaxed);
    let all = with_policies(|policies| (!policies.is_empty()).then(|| policies.encode()));
    if let Some(all) = all {
        ctx.write_to_aof(LOAD_POLICIES, &all);
    }
}

/// The role changed: time may act from now on.
unsafe extern "C" fn on_wake(
    ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    _sub: u64,
    _data: *mut c_void,
) {
    // SAFETY: the context is valid in this callback.
    guarded("a server event", (), || {
        schedule::wake(unsafe { Context::new(ctx) });
    });
}

/// A turn of the event loop is over: before the server sleeps, or after.
unsafe extern "C" fn on_turn(
    ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    sub: u64,
    _data: *mut c_void,
) {
    if sub == BEFORE_SLEEP {
        guarded("the event loop", (), || {
            // SAFETY: the context is valid in this callback.
            let ctx = unsafe { Context::new(ctx) };
            waiting::settle(ctx);
            policies_to_aof(ctx);
        });
    }
}

unsafe extern "C" fn on_swap(
    _ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    _sub: u64,
    data: *mut c_void,
) {
    guarded("SWAPDB", (), || {
        // SAFETY: this event carries this structure.
        let info = unsafe { &*data.cast::<raw::RedisModuleSwapDbInfo>() };
        schedule::swap(info.dbnum_first, info.dbnum_second);
        waiting::database_changed();
    });
}

/// The section that INFO modules shows.
unsafe extern "C" fn info(ctx: *mut raw::RedisModuleInfoCtx, for_crash_report: c_int) {
    guarded("INFO", (), || {
        // After a crash nothing is locked again: whoever holds a lock may be who crashed.
        if for_crash_report != 0 {
            return;
        }
        let lag = schedule::lag();
        let policies = with_policies(|p| p.len()) as u64;
        let mut fields = vec![(c"queues", totals::live(totals::QUEUES))];
        fields.extend(totals::QUEUE_TOTALS.into_iter().zip(totals::in_queues()));
        fields.extend([
            (c"waiting_clients", waiting::clients() as u64),
            (c"scheduled_keys", lag.keys as u64),
            (c"timer_lag_ms", lag.last),
            (c"timer_max_lag_ms", lag.most),
            (c"deferred_max", queues::deferred_max()),
            (c"events_dropped", streams::events_dropped()),
            (c"ratelimit_limiters", totals::live(totals::LIMITERS)),
            (c"ratelimit_lease_sets", totals::live(totals::LEASE_SETS)),
            (c"ratelimit_admitted", totals::ADMITTED.load(Relaxed)),
            (c"ratelimit_denied", totals::DENIED.load(Relaxed)),
            (c"ratelimit_log_full", log_full()),
            (c"ratelimit_policies", policies),
        ]);
        // SAFETY: the context is valid in this callback and the names are static.
        unsafe {
            if api!(RedisModule_InfoAddSection(ctx, c"".as_ptr())) == ERR {
                return;
            }
            for (name, value) in fields {
                api!(RedisModule_InfoAddFieldULongLong(ctx, name.as_ptr(), value));
            }
        }
    });
}
