//! Data that belongs to no key: how it goes into an RDB, and into an AOF.

use super::context::{Context, must_not_replicate};
use super::guard::guarded;
use super::io::Io;
use super::log::log_notice;
use modq_core::codec::DecodeError;
use redis_module::raw;
use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const OK: c_int = raw::REDISMODULE_OK as c_int;
const ERR: c_int = raw::REDISMODULE_ERR as c_int;

/// Data of the module that belongs to no key. The process holds one set of it.
pub trait Keyless: 'static {
    /// The command that replaces all of it, with one argument: what `encode` gives.
    const LOAD_COMMAND: &'static CStr;

    /// Whether there is nothing to save.
    fn is_empty() -> bool;
    /// All of it, as `replace` takes it.
    fn encode() -> Vec<u8>;
    /// Puts what was encoded in the place of all there is.
    ///
    /// # Errors
    /// If the bytes do not decode; nothing has changed then.
    fn replace(encoded: &[u8]) -> Result<(), DecodeError>;
    /// Forgets all of it.
    fn clear();
}

/// Adds the callbacks that save and load `D` behind the keys of an RDB to those of a type.
pub(super) fn add_methods<D: Keyless>(methods: &mut raw::RedisModuleTypeMethods) {
    methods.aux_load = Some(load::<D>);
    methods.aux_save_triggers = raw::REDISMODULE_AUX_AFTER_RDB as c_int;
    // SAFETY: read on the main thread after the server filled in its functions; no arguments.
    let version = unsafe { raw::RedisModule_GetTypeMethodVersion.map_or(0, |version| version()) };
    // From version 5 on nothing need be saved if there is nothing.
    match version {
        5.. => methods.aux_save2 = Some(save::<D, false>),
        _ => {
            log_notice(
                "this server puts a mark of the module into every RDB file, also without keys of it: \
                 a server without the module does not load them (see docs/operations.md)",
            );
            methods.aux_save = Some(save::<D, true>);
        }
    }
}

unsafe extern "C" fn save<D: Keyless, const ALWAYS: bool>(
    io: *mut raw::RedisModuleIO,
    _when: c_int,
) {
    guarded("aux_save", (), || {
        if ALWAYS || !D::is_empty() {
            // SAFETY: the server hands in its stream.
            unsafe { Io::new(io) }.save(&D::encode());
        }
    });
}

unsafe extern "C" fn load<D: Keyless>(
    io: *mut raw::RedisModuleIO,
    _version: c_int,
    _when: c_int,
) -> c_int {
    guarded("aux_load", ERR, || {
        // SAFETY: the server hands in its stream.
        let io = unsafe { Io::new(io) };
        match io.load().map(|encoded| D::replace(&encoded)) {
            Some(Ok(())) => OK,
            Some(Err(DecodeError)) | None => ERR,
        }
    })
}

/// Whether the data is still to be written to the AOF.
static MISSING_IN_AOF: AtomicBool = AtomicBool::new(false);

/// The server forked, perhaps to rewrite the AOF. A rewritten AOF without RDB preamble has nothing
/// but keys, so the data has to be written once more behind it, where the server goes on.
pub(super) fn forked() {
    MISSING_IN_AOF.store(true, Relaxed);
}

/// Writes the data to the AOF if that is still to be done and is allowed now.
pub(super) fn write_to_aof<D: Keyless>(ctx: Context<'_>) {
    if !MISSING_IN_AOF.load(Relaxed) || must_not_replicate() || ctx.flags().is_loading() {
        return;
    }
    MISSING_IN_AOF.store(false, Relaxed);
    if ctx.flags().has_aof() && !D::is_empty() {
        ctx.write_to_aof(D::LOAD_COMMAND, &D::encode());
    }
}
