//! The custom types: how the server saves, loads, copies, digests, measures and frees our values.
//! One set of callbacks serves every type; what differs is behind [`Stored`] and `Persist`.

use super::api::api;
use super::context::{Context, log_warning};
use super::guard::guarded;
use crate::host::policies::with_policies;
use modq_core::codec::{DecodeError, Persist};
use modq_core::limiter::Policies;
use redis_module::raw;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::null_mut;

/// Entries per chunk of an RDB or a rewritten AOF.
const CHUNK_ENTRIES: usize = 512;

/// A value that keys can hold.
pub trait Stored: Default + 'static {
    /// What is saved of it.
    type Core: Persist;

    /// The name of the type as TYPE shows it: nine characters.
    const NAME: &'static CStr;
    /// The word for the type in the command that loads chunks from an AOF.
    const WORD: &'static CStr;

    fn core(&self) -> &Self::Core;
    fn core_mut(&mut self) -> &mut Self::Core;

    /// Bytes of memory in use.
    fn memory_bytes(&self) -> usize;
    /// How many allocations freeing it takes: from 64 on the server frees in the background.
    fn free_effort(&self) -> usize;

    /// Where the server's handle of the type is kept.
    fn handle_cell() -> &'static std::sync::atomic::AtomicPtr<raw::RedisModuleType>;

    #[inline]
    fn handle() -> *mut raw::RedisModuleType {
        Self::handle_cell().load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// The command that puts a rewritten AOF's chunks back together.
pub const LOAD_COMMAND: &CStr = c"modq._load";

/// Registers the type; one of them carries what belongs to no key (`with_policies`). Answers
/// whether the server took it.
pub fn register<T: Stored>(ctx: Context<'_>, with_policies: bool) -> bool {
    // SAFETY: an all-zero method table is a valid one without methods.
    let mut methods: raw::RedisModuleTypeMethods = unsafe { std::mem::zeroed() };
    methods.version = 5;
    methods.rdb_load = Some(rdb_load::<T>);
    methods.rdb_save = Some(rdb_save::<T>);
    methods.aof_rewrite = Some(aof_rewrite::<T>);
    methods.mem_usage = Some(mem_usage::<T>);
    methods.digest = Some(digest::<T>);
    methods.free = Some(free::<T>);
    methods.free_effort = Some(free_effort::<T>);
    methods.copy = Some(copy::<T>);
    if with_policies {
        methods.aux_load = Some(aux_load);
        methods.aux_save_triggers = raw::REDISMODULE_AUX_AFTER_RDB as c_int;
        // SAFETY: no arguments. From version 5 on nothing need be saved if there is nothing.
        match unsafe { raw::RedisModule_GetTypeMethodVersion.map_or(0, |version| version()) } {
            5.. => methods.aux_save2 = Some(aux_save::<false>),
            _ => methods.aux_save = Some(aux_save::<true>),
        }
    }
    // SAFETY: the server copies name and table.
    let handle = unsafe {
        api!(RedisModule_CreateDataType(
            ctx.raw(),
            T::NAME.as_ptr(),
            T::Core::VERSION,
            &mut methods
        ))
    };
    T::handle_cell().store(handle, std::sync::atomic::Ordering::Relaxed);
    !handle.is_null()
}

// SAFETY (all callbacks below): the server hands in a value that `Key::set` or `rdb_load` made, a
// `Box<T>` turned raw, and no command runs at the same time, or the value is no longer reachable.

unsafe fn value<'a, T>(value: *const c_void) -> &'a T {
    unsafe { &*value.cast::<T>() }
}

/// The RDB form: chunks, each a string, then an empty string.
unsafe extern "C" fn rdb_save<T: Stored>(io: *mut raw::RedisModuleIO, v: *mut c_void) {
    unsafe {
        guarded("rdb_save", (), || {
            let mut write = |chunk: &[u8]| {
                api!(RedisModule_SaveStringBuffer(
                    io,
                    chunk.as_ptr().cast(),
                    chunk.len()
                ))
            };
            value::<T>(v).core().save(CHUNK_ENTRIES, &mut write);
            write(&[]);
        });
    }
}

unsafe extern "C" fn rdb_load<T: Stored>(
    io: *mut raw::RedisModuleIO,
    version: c_int,
) -> *mut c_void {
    unsafe {
        guarded("rdb_load", null_mut(), || {
            let mut loaded = Box::<T>::default();
            match load_chunks(io, version, loaded.core_mut()) {
                Ok(()) => Box::into_raw(loaded).cast(),
                Err(DecodeError) => {
                    log_warning("a stored value is damaged or of a newer version of this module");
                    null_mut()
                }
            }
        })
    }
}

unsafe fn load_chunks<C: Persist>(
    io: *mut raw::RedisModuleIO,
    version: c_int,
    core: &mut C,
) -> Result<(), DecodeError> {
    unsafe {
        if version > C::VERSION {
            return Err(DecodeError);
        }
        loop {
            let mut len = 0;
            let chunk = api!(RedisModule_LoadStringBuffer(io, &mut len));
            if chunk.is_null() || api!(RedisModule_IsIOError(io)) != 0 {
                return Err(DecodeError);
            }
            let bytes = std::slice::from_raw_parts(chunk.cast::<u8>(), len);
            let done = match bytes {
                [] => core.finish().map(|()| true),
                _ => core.load(version, bytes).map(|()| false),
            };
            api!(RedisModule_Free(chunk.cast()));
            if done? {
                return Ok(());
            }
        }
    }
}

/// The AOF form: one command per chunk (see `LOAD_COMMAND`), the last marked.
unsafe extern "C" fn aof_rewrite<T: Stored>(
    io: *mut raw::RedisModuleIO,
    key: *mut raw::RedisModuleString,
    v: *mut c_void,
) {
    unsafe {
        guarded("aof_rewrite", (), || {
            let emit = |part: &CStr, chunk: &[u8]| {
                api!(RedisModule_EmitAOF(
                    io,
                    LOAD_COMMAND.as_ptr(),
                    c"sclcb".as_ptr(),
                    key,
                    T::WORD.as_ptr(),
                    i64::from(T::Core::VERSION),
                    part.as_ptr(),
                    chunk.as_ptr(),
                    chunk.len()
                ))
            };
            let mut part = c"first";
            value::<T>(v).core().save(CHUNK_ENTRIES, &mut |chunk| {
                emit(part, chunk);
                part = c"more";
            });
            emit(c"last", &[]);
        });
    }
}

unsafe extern "C" fn digest<T: Stored>(md: *mut raw::RedisModuleDigest, v: *mut c_void) {
    unsafe {
        guarded("digest", (), || {
            value::<T>(v).core().save(1, &mut |chunk| {
                api!(RedisModule_DigestAddStringBuffer(
                    md,
                    chunk.as_ptr().cast(),
                    chunk.len()
                ));
                // Each chunk is a sequence of its own: their order does not count.
                api!(RedisModule_DigestEndSequence(md));
            });
        });
    }
}

unsafe extern "C" fn mem_usage<T: Stored>(v: *const c_void) -> usize {
    unsafe { guarded("mem_usage", 0, || value::<T>(v).memory_bytes()) }
}

unsafe extern "C" fn free_effort<T: Stored>(
    _key: *mut raw::RedisModuleString,
    v: *const c_void,
) -> usize {
    unsafe { guarded("free_effort", 1, || value::<T>(v).free_effort()) }
}

unsafe extern "C" fn free<T: Stored>(v: *mut c_void) {
    unsafe {
        guarded("free", (), || drop(Box::from_raw(v.cast::<T>())));
    }
}

unsafe extern "C" fn copy<T: Stored>(
    _from: *mut raw::RedisModuleString,
    _to: *mut raw::RedisModuleString,
    v: *const c_void,
) -> *mut c_void {
    unsafe {
        guarded("copy", null_mut(), || {
            let mut copy = Box::<T>::default();
            let mut result = Ok(());
            value::<T>(v).core().save(CHUNK_ENTRIES, &mut |chunk| {
                if result.is_ok() {
                    result = copy.core_mut().load(T::Core::VERSION, chunk);
                }
            });
            match result.and_then(|()| copy.core_mut().finish()) {
                Ok(()) => Box::into_raw(copy).cast(),
                Err(DecodeError) => null_mut(),
            }
        })
    }
}

/// The policies, behind all keys; nothing if there are none, unless the server wants `always`.
unsafe extern "C" fn aux_save<const ALWAYS: bool>(io: *mut raw::RedisModuleIO, _when: c_int) {
    unsafe {
        guarded("aux_save", (), || {
            let all = with_policies(|policies| {
                (ALWAYS || !policies.is_empty()).then(|| policies.encode())
            });
            if let Some(all) = all {
                api!(RedisModule_SaveStringBuffer(
                    io,
                    all.as_ptr().cast(),
                    all.len()
                ));
            }
        });
    }
}

unsafe extern "C" fn aux_load(io: *mut raw::RedisModuleIO, _version: c_int, _when: c_int) -> c_int {
    unsafe {
        const OK: c_int = raw::REDISMODULE_OK as c_int;
        const ERR: c_int = raw::REDISMODULE_ERR as c_int;
        guarded("aux_load", ERR, || {
            let mut len = 0;
            let data = api!(RedisModule_LoadStringBuffer(io, &mut len));
            if data.is_null() || api!(RedisModule_IsIOError(io)) != 0 {
                return ERR;
            }
            let decoded = Policies::decode(std::slice::from_raw_parts(data.cast::<u8>(), len));
            api!(RedisModule_Free(data.cast()));
            match decoded {
                Ok(loaded) => {
                    with_policies(|policies| *policies = loaded);
                    OK
                }
                Err(DecodeError) => ERR,
            }
        })
    }
}
