//! What happens in the server and is passed on to the module.

use super::api::api;
use super::args::ServerStr;
use super::context::Context;
use super::guard::guarded;
use super::key::Name;
use super::keyless::{self, Keyless};
use super::module::{Arrival, LoadError, Module};
use redis_module::raw;
use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_int, c_void};

const OK: c_int = raw::REDISMODULE_OK as c_int;

/// The notifications that say that a key came to a name by other means than a command of ours.
const ARRIVALS: [(&CStr, Arrival); 5] = [
    (c"rename_to", Arrival::Renamed),
    (c"move_to", Arrival::Brought),
    (c"copy_to", Arrival::Brought),
    (c"restore", Arrival::Brought),
    (c"loaded", Arrival::Loaded),
];

/// Subscribes to all that the module is told of.
pub(super) fn follow<M: Module>(ctx: Context<'_>) -> Result<(), LoadError> {
    const REFUSED: Result<(), LoadError> = Err(Cow::Borrowed(
        "the server refuses to tell it of events; report this with the version of the server",
    ));
    let classes = raw::REDISMODULE_NOTIFY_GENERIC | raw::REDISMODULE_NOTIFY_LOADED;
    // SAFETY: the context is live during load; the callback has the right type.
    let status = unsafe {
        api!(RedisModule_SubscribeToKeyspaceEvents(
            ctx.raw(),
            classes,
            Some(on_key::<M>)
        ))
    };
    if status != OK {
        return REFUSED;
    }
    let callbacks: [(u64, raw::RedisModuleEventCallback); 6] = [
        (
            raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED,
            Some(on_role::<M>),
        ),
        (raw::REDISMODULE_EVENT_LOADING, Some(on_loading::<M>)),
        (raw::REDISMODULE_EVENT_FORK_CHILD, Some(on_fork)),
        (raw::REDISMODULE_EVENT_SWAPDB, Some(on_swap::<M>)),
        (raw::REDISMODULE_EVENT_CLIENT_CHANGE, Some(on_client::<M>)),
        (raw::REDISMODULE_EVENT_EVENTLOOP, Some(on_turn::<M>)),
    ];
    for (id, callback) in callbacks {
        let event = raw::RedisModuleEvent { id, dataver: 1 };
        // SAFETY: the context is live during load; the callback has the right type.
        let status = unsafe {
            api!(RedisModule_SubscribeToServerEvent(
                ctx.raw(),
                event,
                callback
            ))
        };
        if status != OK {
            return REFUSED;
        }
    }
    Ok(())
}

unsafe extern "C" fn on_key<M: Module>(
    ctx: *mut raw::RedisModuleCtx,
    _class: c_int,
    event: *const c_char,
    key: *mut raw::RedisModuleString,
) -> c_int {
    guarded("a keyspace event", OK, || {
        // SAFETY: the server's argument is a C string, valid in this callback.
        let event = unsafe { CStr::from_ptr(event) };
        let Some((_, arrival)) = ARRIVALS.iter().find(|(name, _)| *name == event) else {
            return OK;
        };
        // SAFETY: the server's arguments are valid in this callback.
        let (ctx, key) = unsafe { (Context::new(ctx), ServerStr::new(key)) };
        // The server's own string may be one on its stack, which cannot be kept: hand on a copy.
        M::key_arrived(ctx, Name::new(key.bytes()).get(), *arrival);
        OK
    })
}

unsafe extern "C" fn on_loading<M: Module>(
    ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    sub: u64,
    _data: *mut c_void,
) {
    guarded("a server event", (), || match sub {
        // What is loaded replaces what was there. The server has emptied its keys itself.
        raw::REDISMODULE_SUBEVENT_LOADING_RDB_START
        | raw::REDISMODULE_SUBEVENT_LOADING_AOF_START
        | raw::REDISMODULE_SUBEVENT_LOADING_REPL_START => M::Keyless::clear(),
        // SAFETY: the context is valid in this callback.
        _ => M::loading_ended(unsafe { Context::new(ctx) }),
    });
}

unsafe extern "C" fn on_fork(
    _ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    sub: u64,
    _data: *mut c_void,
) {
    if sub == raw::REDISMODULE_SUBEVENT_FORK_CHILD_BORN {
        keyless::forked();
    }
}

unsafe extern "C" fn on_role<M: Module>(
    ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    _sub: u64,
    _data: *mut c_void,
) {
    guarded("a server event", (), || {
        // SAFETY: the context is valid in this callback.
        M::role_changed(unsafe { Context::new(ctx) });
    });
}

/// The event loop is about to sleep, or just woke up.
unsafe extern "C" fn on_turn<M: Module>(
    ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    sub: u64,
    _data: *mut c_void,
) {
    if sub == raw::REDISMODULE_SUBEVENT_EVENTLOOP_BEFORE_SLEEP {
        guarded("the event loop", (), || {
            // SAFETY: the context is valid in this callback.
            let ctx = unsafe { Context::new(ctx) };
            M::turn_ends(ctx);
            keyless::write_to_aof::<M::Keyless>(ctx);
        });
    } else {
        guarded("the event loop", (), M::turn_begins);
    }
}

unsafe extern "C" fn on_client<M: Module>(
    ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    sub: u64,
    data: *mut c_void,
) {
    if sub == raw::REDISMODULE_SUBEVENT_CLIENT_CHANGE_DISCONNECTED {
        guarded("a server event", (), || {
            // SAFETY: this event carries this structure, and the context is valid in this callback.
            let (ctx, info) = unsafe {
                (
                    Context::new(ctx),
                    &*data.cast::<raw::RedisModuleClientInfo>(),
                )
            };
            M::client_gone(ctx, info.id);
        });
    }
}

unsafe extern "C" fn on_swap<M: Module>(
    _ctx: *mut raw::RedisModuleCtx,
    _event: raw::RedisModuleEvent,
    _sub: u64,
    data: *mut c_void,
) {
    guarded("SWAPDB", (), || {
        // SAFETY: this event carries this structure.
        let info = unsafe { &*data.cast::<raw::RedisModuleSwapDbInfo>() };
        M::databases_swapped(info.dbnum_first, info.dbnum_second);
    });
}
