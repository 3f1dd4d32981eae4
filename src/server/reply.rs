//! Replies to the client of a call, in the order in which they are read.

use super::api::api;
use super::context::{Context, Refusal};
use std::ffi::{CStr, CString, c_long};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Scripts are run by Valkey's module for Lua, in 9.1 and later. It takes an error inside an array for the
/// whole reply (`redis.call` raises it), though what stands beside it was done.
pub(super) static LUA_IS_A_MODULE: AtomicBool = AtomicBool::new(false);

impl Context<'_> {
    /// An integer.
    #[inline]
    pub fn reply_integer(self, n: i64) {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_ReplyWithLongLong(self.raw(), n)) };
    }

    /// A floating-point number; in RESP2 a string, as the server writes it.
    pub fn reply_double(self, n: f64) {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_ReplyWithDouble(self.raw(), n)) };
    }

    /// A string of any bytes.
    #[inline]
    pub fn reply_bytes(self, bytes: &[u8]) {
        // SAFETY: the context is live; the server copies the bytes.
        unsafe {
            api!(RedisModule_ReplyWithStringBuffer(
                self.raw(),
                bytes.as_ptr().cast(),
                bytes.len()
            ))
        };
    }

    /// A simple string, as a status is.
    pub fn reply_text(self, text: &'static CStr) {
        // SAFETY: the context is live; the server copies the text.
        unsafe { api!(RedisModule_ReplyWithSimpleString(self.raw(), text.as_ptr())) };
    }

    /// Null; in RESP2 the null string.
    pub fn reply_null(self) {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_ReplyWithNull(self.raw())) };
    }

    /// Null; in RESP2 the null array.
    pub fn reply_null_array(self) {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_ReplyWithNullArray(self.raw())) };
    }

    /// Begins an array: `len` replies follow.
    #[inline]
    pub fn reply_array(self, len: usize) {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_ReplyWithArray(self.raw(), len as c_long)) };
    }

    /// Begins a map: `len` pairs of replies follow.
    pub fn reply_map(self, len: usize) {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_ReplyWithMap(self.raw(), len as c_long)) };
    }

    /// A field name of a map; the value is the next reply.
    pub fn field(self, name: &'static str) -> Self {
        self.reply_bytes(name.as_bytes());
        self
    }

    /// An error in its place of an array; a script gets it as a string where its server can give it
    /// no such error (see `LUA_IS_A_MODULE`).
    #[cold]
    pub fn refuse_one(self, refusal: &Refusal) {
        if LUA_IS_A_MODULE.load(Relaxed) && self.flags().is_script() {
            self.reply_bytes(refusal.text().as_bytes());
        } else {
            self.refuse(refusal);
        }
    }

    /// The error that says why the command is refused.
    #[cold]
    pub fn refuse(self, refusal: &Refusal) {
        let text = CString::new(refusal.text()).unwrap_or_else(|_| c"ERR error".into());
        // SAFETY: the context is live; the server copies the text.
        unsafe { api!(RedisModule_ReplyWithError(self.raw(), text.as_ptr())) };
    }
}
