//! The stream of an RDB file, or of an AOF that is being rewritten, while one value goes through
//! it.

use super::api::api;
use super::args::ServerStr;
use redis_module::raw;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ops::Deref;

/// What the server hands to a callback that saves or loads. Valid during that callback.
#[derive(Clone, Copy)]
pub(super) struct Io<'a> {
    raw: *mut raw::RedisModuleIO,
    life: PhantomData<&'a ()>,
}

impl Io<'_> {
    /// # Safety
    /// `raw` is the stream of a callback, and `'a` ends with that callback.
    pub(super) unsafe fn new<'a>(raw: *mut raw::RedisModuleIO) -> Io<'a> {
        Io {
            raw,
            life: PhantomData,
        }
    }

    /// Writes a string into an RDB.
    pub(super) fn save(self, bytes: &[u8]) {
        // SAFETY: the stream is live; the server copies the bytes.
        unsafe {
            api!(RedisModule_SaveStringBuffer(
                self.raw,
                bytes.as_ptr().cast(),
                bytes.len()
            ));
        }
    }

    /// Reads a string from an RDB; none if the file ends or is damaged.
    pub(super) fn load(self) -> Option<LoadedString> {
        let mut len = 0;
        // SAFETY: the stream is live and `len` is there to be written.
        let data = unsafe { api!(RedisModule_LoadStringBuffer(self.raw, &mut len)) };
        if data.is_null() {
            return None;
        }
        let loaded = LoadedString { data, len };
        // SAFETY: the stream is live.
        let failed = unsafe { api!(RedisModule_IsIOError(self.raw)) } != 0;
        (!failed).then_some(loaded)
    }

    /// Writes `command key word version part chunk` into an AOF that is being rewritten.
    pub(super) fn emit_chunk(
        self,
        command: &'static CStr,
        key: ServerStr<'_>,
        (word, version): (&'static CStr, i32),
        part: &'static CStr,
        chunk: &[u8],
    ) {
        // SAFETY: the stream is live; the arguments are what the format says (string, C string,
        // integer, C string, buffer) and live through the call.
        unsafe {
            api!(RedisModule_EmitAOF(
                self.raw,
                command.as_ptr(),
                c"sclcb".as_ptr(),
                key.raw(),
                word.as_ptr(),
                i64::from(version),
                part.as_ptr(),
                chunk.as_ptr(),
                chunk.len()
            ));
        }
    }
}

/// A string that the server read for us. It is the server's memory, given back on drop.
pub(super) struct LoadedString {
    data: *mut std::ffi::c_char,
    len: usize,
}

impl Deref for LoadedString {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the server gave `len` bytes at `data`, which is not null; they are ours until
        // drop.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.len) }
    }
}

impl Drop for LoadedString {
    fn drop(&mut self) {
        // SAFETY: allocated by the server, and freed once.
        unsafe { api!(RedisModule_Free(self.data.cast())) };
    }
}
