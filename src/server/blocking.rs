//! Clients that wait: blocking them, and hearing how their wait ends. The server sees to redirections
//! and kills. Who is served, and with what, is up to who blocked the client, and is
//! told of each wait through [`WaitEvents`].

use super::api::api;
use super::args::ServerStr;
use super::context::Context;
use super::guard::guarded;
use redis_module::raw;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const OK: c_int = raw::REDISMODULE_OK as c_int;
const ERR: c_int = raw::REDISMODULE_ERR as c_int;

/// What is done when something happens to a wait. Each wait has a number, chosen by who began it.
pub trait WaitEvents: 'static {
    /// The wait is over, and a reply must be given: [`Blocked::wake`] or CLIENT UNBLOCK ended it.
    fn answer(ctx: Context<'_>, call: u64);
    /// The wait is over, and nobody is there to be told: the client is gone, or the server itself
    /// has answered it.
    fn gone(ctx: Context<'_>, call: u64);
    /// The server is done with the wait. Where [`answers_are_held_back`], what was answered is handed on to
    /// the client now.
    fn handed_on(call: u64);
}

/// Whether the server holds back what [`WaitEvents::answer`] replies when [`Blocked::wake`] asked for it,
/// until it says [`WaitEvents::handed_on`]. That is mostly in the next turn of the event loop.
static HELD_BACK: AtomicBool = AtomicBool::new(false);

/// The version of Valkey that began to hold answers back. It has a woken client's reply written to another
/// client (`moduleBlockedClientTimedOut` in module.c), and copies that when it goes through all who were
/// woken, which it does before a turn ends for modules.
const VALKEY_HOLDS_BACK: c_int = 0x00_08_00_00;

/// To be called at load on Valkey.
pub(super) fn on_valkey() {
    // SAFETY: read on the main thread after the server filled it in; no arguments.
    let version = unsafe { raw::RedisModule_GetServerVersion.map(|version| version()) };
    let held_back = version.is_some_and(|version| version >= VALKEY_HOLDS_BACK);
    HELD_BACK.store(held_back, Relaxed);
}

/// See [`WaitEvents::handed_on`].
pub fn answers_are_held_back() -> bool {
    HELD_BACK.load(Relaxed)
}

/// A blocked client. Valid until one of the three ways in which a wait ends was called for it.
#[derive(Clone, Copy)]
pub struct Blocked(*mut raw::RedisModuleBlockedClient);

// SAFETY: only ever used on the server's main thread; it is stored in a static, that is all.
unsafe impl Send for Blocked {}

/// Blocks the client of this call on `keys`, at which no key must ever come to be, as wait number
/// `call`, until [`Blocked::wake`] ends that. None if the server refuses: Valkey 9.1 does so on a
/// connection that has a subscription.
pub fn block<W: WaitEvents>(
    ctx: Context<'_>,
    keys: &[ServerStr<'_>],
    call: u64,
) -> Option<Blocked> {
    let mut keys: Vec<_> = keys.iter().map(|key| key.raw()).collect();
    // SAFETY: the context is live, the callbacks have the right types, the server copies the array
    // of names, and the private data is a number, not a pointer.
    let client = unsafe {
        api!(RedisModule_BlockClientOnKeys(
            ctx.raw(),
            Some(on_key_ready),
            Some(on_time_out::<W>),
            Some(on_done::<W>),
            0,
            keys.as_mut_ptr(),
            keys.len() as c_int,
            call as usize as *mut c_void
        ))
    };
    if client.is_null() {
        return None;
    }
    // SAFETY: the client was just blocked; the callback has the right type.
    unsafe {
        api!(RedisModule_SetDisconnectCallback(
            client,
            Some(on_gone::<W>)
        ))
    };
    Some(Blocked(client))
}

impl Blocked {
    /// Ends the wait: `WaitEvents::answer` is called at once.
    pub fn wake(self) {
        // SAFETY: the client still waits (see `Blocked`). For clients blocked on keys this calls
        // the time-out callback, which is `on_time_out`.
        unsafe { api!(RedisModule_UnblockClient(self.0, std::ptr::null_mut())) };
    }
}

/// The number of the wait that a callback is about.
///
/// # Safety
/// `ctx` is the context of a callback of `block`.
unsafe fn call_of(ctx: Context<'_>) -> u64 {
    // SAFETY: in such a callback the context has the private data that `block` gave.
    unsafe { api!(RedisModule_GetBlockedClientPrivateData(ctx.raw())) as usize as u64 }
}

/// No key comes to be at the names that clients are blocked on. Should one: the wait goes on.
unsafe extern "C" fn on_key_ready(
    _ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    _argc: c_int,
) -> c_int {
    ERR
}

unsafe extern "C" fn on_time_out<W: WaitEvents>(
    ctx: *mut raw::RedisModuleCtx,
    _argv: *mut *mut raw::RedisModuleString,
    _argc: c_int,
) -> c_int {
    guarded("a blocked client", (), || {
        // SAFETY: the context is valid in this callback.
        let (ctx, call) = unsafe {
            let ctx = Context::new(ctx);
            (ctx, call_of(ctx))
        };
        W::answer(ctx, call);
    });
    OK
}

/// The server lets go of the private data, which is the number of the wait.
unsafe extern "C" fn on_done<W: WaitEvents>(_ctx: *mut raw::RedisModuleCtx, call: *mut c_void) {
    guarded("a blocked client", (), || {
        W::handed_on(call as usize as u64)
    });
}

unsafe extern "C" fn on_gone<W: WaitEvents>(
    ctx: *mut raw::RedisModuleCtx,
    _client: *mut raw::RedisModuleBlockedClient,
) {
    guarded("a blocked client", (), || {
        // SAFETY: the context is valid in this callback.
        let (ctx, call) = unsafe {
            let ctx = Context::new(ctx);
            (ctx, call_of(ctx))
        };
        W::gone(ctx, call);
    });
}
