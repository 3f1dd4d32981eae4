//! The custom types: how the server saves, loads, copies, digests, measures and frees the values of
//! our keys. One set of callbacks serves every type; what differs is behind [`Stored`] and
//! `Persist`.

use super::api::api;
use super::args::ServerStr;
use super::context::Context;
use super::guard::guarded;
use super::io::Io;
use super::keyless;
use super::log::log_warning;
use super::module::{LoadError, Module};
use modq_core::codec::{DecodeError, Persist};
use redis_module::raw;
use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

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

    /// What is saved of it.
    fn core(&self) -> &Self::Core;
    /// What is saved of it, to be loaded into.
    fn core_mut(&mut self) -> &mut Self::Core;

    /// Bytes of memory in use.
    fn memory_bytes(&self) -> usize;
    /// How many allocations freeing it takes: from 64 on the server frees in the background.
    fn free_effort(&self) -> usize;

    /// Where the server's handle of the type is kept: a static of its own for each type.
    fn handle() -> &'static TypeHandle;
}

/// The server's handle of a type; null until the type is registered.
pub struct TypeHandle(AtomicPtr<raw::RedisModuleType>);

impl TypeHandle {
    /// A handle that is yet to be given by the server.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> TypeHandle {
        TypeHandle(AtomicPtr::new(null_mut()))
    }

    #[inline]
    pub(super) fn get(&self) -> *mut raw::RedisModuleType {
        self.0.load(Relaxed)
    }
}

/// Registers the types of the module `M` while it loads.
pub struct Types<'a, M> {
    ctx: Context<'a>,
    module: PhantomData<M>,
}

impl<'a, M: Module> Types<'a, M> {
    pub(super) fn new(ctx: Context<'a>) -> Types<'a, M> {
        Types {
            ctx,
            module: PhantomData,
        }
    }

    /// Registers a type.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn add<T: Stored>(&self) -> Result<(), LoadError> {
        self.register::<T>(&mut methods::<M, T>())
    }

    /// Registers a type whose part of an RDB also carries what belongs to no key.
    ///
    /// # Errors
    /// If the server refuses it.
    pub fn add_with_keyless<T: Stored>(&self) -> Result<(), LoadError> {
        let mut methods = methods::<M, T>();
        keyless::add_methods::<M::Keyless>(&mut methods);
        self.register::<T>(&mut methods)
    }

    fn register<T: Stored>(
        &self,
        methods: &mut raw::RedisModuleTypeMethods,
    ) -> Result<(), LoadError> {
        // SAFETY: the context is live during load; the server copies name and table.
        let handle = unsafe {
            api!(RedisModule_CreateDataType(
                self.ctx.raw(),
                T::NAME.as_ptr(),
                T::Core::VERSION,
                methods
            ))
        };
        T::handle().0.store(handle, Relaxed);
        match handle.is_null() {
            true => Err(
                "the server refuses its types: another module has them; load only one of the two"
                    .into(),
            ),
            false => Ok(()),
        }
    }
}

/// The callbacks for values of type `T`.
fn methods<M: Module, T: Stored>() -> raw::RedisModuleTypeMethods {
    // SAFETY: an all-zero method table is a valid one without methods.
    let mut methods: raw::RedisModuleTypeMethods = unsafe { std::mem::zeroed() };
    methods.version = 5;
    methods.rdb_load = Some(rdb_load::<T>);
    methods.rdb_save = Some(rdb_save::<T>);
    methods.aof_rewrite = Some(aof_rewrite::<M, T>);
    methods.mem_usage = Some(mem_usage::<T>);
    methods.digest = Some(digest::<T>);
    methods.free = Some(free::<T>);
    methods.free_effort = Some(free_effort::<T>);
    methods.copy = Some(copy::<T>);
    methods
}

/// The value that the server hands to a callback.
///
/// # Safety
/// `value` came from `Key::set`, `rdb_load` or `copy` for the same `T`, and nobody changes or frees
/// it during `'a`: no command runs while the server is in a callback, and a value that it treats in
/// the background can no longer be reached by a command.
unsafe fn value_of<'a, T: Stored>(value: *const c_void) -> &'a T {
    // SAFETY: the caller's promise; all three ways made it from a `Box<T>`.
    unsafe { &*value.cast::<T>() }
}

/// The RDB form: chunks, each a string, then an empty string.
unsafe extern "C" fn rdb_save<T: Stored>(io: *mut raw::RedisModuleIO, value: *mut c_void) {
    guarded("rdb_save", (), || {
        // SAFETY: the server hands in its stream and a value of this type.
        let (io, value) = unsafe { (Io::new(io), value_of::<T>(value)) };
        value
            .core()
            .save(CHUNK_ENTRIES, &mut |chunk| io.save(chunk));
        io.save(&[]);
    });
}

unsafe extern "C" fn rdb_load<T: Stored>(
    io: *mut raw::RedisModuleIO,
    version: c_int,
) -> *mut c_void {
    guarded("rdb_load", null_mut(), || {
        // SAFETY: the server hands in its stream.
        let io = unsafe { Io::new(io) };
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

fn load_chunks<C: Persist>(io: Io<'_>, version: c_int, core: &mut C) -> Result<(), DecodeError> {
    if version > C::VERSION {
        return Err(DecodeError);
    }
    loop {
        let chunk = io.load().ok_or(DecodeError)?;
        match &*chunk {
            [] => return core.finish(),
            bytes => core.load(version, bytes)?,
        }
    }
}

/// The AOF form: one command for each chunk (see `Module::LOAD_COMMAND`), the last one marked.
unsafe extern "C" fn aof_rewrite<M: Module, T: Stored>(
    io: *mut raw::RedisModuleIO,
    key: *mut raw::RedisModuleString,
    value: *mut c_void,
) {
    guarded("aof_rewrite", (), || {
        // SAFETY: the server hands in its stream, the name of the key and a value of this type.
        let (io, key, value) = unsafe { (Io::new(io), ServerStr::new(key), value_of::<T>(value)) };
        let format = (T::WORD, T::Core::VERSION);
        let mut part = c"first";
        value.core().save(CHUNK_ENTRIES, &mut |chunk| {
            io.emit_chunk(M::LOAD_COMMAND, key, format, part, chunk);
            part = c"more";
        });
        io.emit_chunk(M::LOAD_COMMAND, key, format, c"last", &[]);
    });
}

unsafe extern "C" fn digest<T: Stored>(digest: *mut raw::RedisModuleDigest, value: *mut c_void) {
    guarded("digest", (), || {
        // SAFETY: the server hands in a value of this type.
        let value = unsafe { value_of::<T>(value) };
        value.core().save(1, &mut |chunk| {
            // SAFETY: the digest is live during the callback; the chunk is read at once.
            unsafe {
                api!(RedisModule_DigestAddStringBuffer(
                    digest,
                    chunk.as_ptr().cast(),
                    chunk.len()
                ));
                // Each chunk is a sequence of its own: their order does not count.
                api!(RedisModule_DigestEndSequence(digest));
            }
        });
    });
}

unsafe extern "C" fn mem_usage<T: Stored>(value: *const c_void) -> usize {
    guarded("mem_usage", 0, || {
        // SAFETY: the server hands in a value of this type.
        unsafe { value_of::<T>(value) }.memory_bytes()
    })
}

unsafe extern "C" fn free_effort<T: Stored>(
    _key: *mut raw::RedisModuleString,
    value: *const c_void,
) -> usize {
    guarded("free_effort", 1, || {
        // SAFETY: the server hands in a value of this type.
        unsafe { value_of::<T>(value) }.free_effort()
    })
}

/// May run on a thread of the server's that frees in the background.
unsafe extern "C" fn free<T: Stored>(value: *mut c_void) {
    guarded("free", (), || {
        // SAFETY: made from a `Box<T>`, and the server gives it back once, when no key holds it.
        drop(unsafe { Box::from_raw(value.cast::<T>()) });
    });
}

unsafe extern "C" fn copy<T: Stored>(
    _from: *mut raw::RedisModuleString,
    _to: *mut raw::RedisModuleString,
    value: *const c_void,
) -> *mut c_void {
    guarded("copy", null_mut(), || {
        // SAFETY: the server hands in a value of this type.
        let value = unsafe { value_of::<T>(value) };
        let mut copy = Box::<T>::default();
        let mut result = Ok(());
        value.core().save(CHUNK_ENTRIES, &mut |chunk| {
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
