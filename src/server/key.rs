//! Keys: their names, what is at them, and open keys of our own types.

use super::api::api;
use super::args::ServerStr;
use super::context::{Context, Refusal};
use super::types::Stored;
use redis_module::raw;
use std::marker::PhantomData;
use std::ptr::null_mut;

/// A name for a key that no command argument carries (timers, notifications). Ours, and freed on
/// drop.
pub struct Name {
    raw: *mut raw::RedisModuleString,
}

impl Name {
    /// A string of the server's with these bytes.
    pub fn new(bytes: &[u8]) -> Name {
        // SAFETY: without a context the string is ours to free; the bytes are copied.
        let raw = unsafe {
            api!(RedisModule_CreateString(
                null_mut(),
                bytes.as_ptr().cast(),
                bytes.len()
            ))
        };
        Name { raw }
    }

    /// The string, to be used as the server's own are.
    pub fn get(&self) -> ServerStr<'_> {
        // SAFETY: lives as long as `self`.
        unsafe { ServerStr::new(self.raw) }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // SAFETY: ours, and freed once.
        unsafe { api!(RedisModule_FreeString(null_mut(), self.raw)) };
    }
}

/// How a key is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For a command that reads.
    Read,
    /// For a command that may change, create or delete the key.
    Write,
    /// As `Write`, but not counted as a use of the key: for what the clock does.
    Background,
    /// As `Read`, without side effects of any kind: not counted as a use, and an expired key stays.
    Inspect,
}

/// What is at a key, for who needs a stream there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The key does not exist.
    Nothing,
    /// A stream.
    Stream,
    /// A value of any other type.
    Other,
}

/// Looks what is at a key, as no use of it.
pub fn look(ctx: Context<'_>, name: ServerStr<'_>) -> Found {
    let mode = raw::REDISMODULE_READ | NO_TOUCH | NO_STATS;
    // SAFETY: the context and the name live through the call.
    let key = unsafe { api!(RedisModule_OpenKey(ctx.raw(), name.raw(), mode as i32)) };
    if key.is_null() {
        return Found::Nothing;
    }
    // SAFETY: the key was just opened, and is closed once.
    let kind = unsafe {
        let kind = api!(RedisModule_KeyType(key)) as isize;
        api!(RedisModule_CloseKey(key));
        kind
    };
    match kind {
        raw::REDISMODULE_KEYTYPE_EMPTY => Found::Nothing,
        raw::REDISMODULE_KEYTYPE_STREAM => Found::Stream,
        _ => Found::Other,
    }
}

// From redismodule.h of 7.2; older servers ignore flags they do not know.
const NO_TOUCH: u32 = 1 << 16;
const NO_STATS: u32 = 1 << 18;
const NO_EXPIRE: u32 = 1 << 19;

/// An open key that is empty or holds a `T`. No two may be open for one name at a time: each lends
/// its value as the only one.
pub struct Key<'a, T> {
    raw: *mut raw::RedisModuleKey,
    name: ServerStr<'a>,
    value: *mut T,
    life: PhantomData<&'a mut T>,
}

impl<'a, T: Stored> Key<'a, T> {
    /// Opens the key `name`.
    ///
    /// # Errors
    /// WRONGTYPE if it holds anything but a `T`.
    #[inline]
    pub fn open(ctx: Context<'a>, name: ServerStr<'a>, mode: Mode) -> Result<Key<'a, T>, Refusal> {
        let (read, write) = (raw::REDISMODULE_READ, raw::REDISMODULE_WRITE);
        let mode = match mode {
            Mode::Read => read,
            Mode::Write => read | write,
            Mode::Background => read | write | NO_TOUCH | NO_STATS,
            Mode::Inspect => read | NO_TOUCH | NO_STATS | NO_EXPIRE,
        };
        // SAFETY: the context and the name live through the call; the key is closed on drop.
        let raw = unsafe { api!(RedisModule_OpenKey(ctx.raw(), name.raw(), mode as i32)) };
        let mut key = Key {
            raw,
            name,
            value: null_mut(),
            life: PhantomData,
        };
        if raw.is_null() {
            return Ok(key);
        }
        // SAFETY: the key is open. The answer is null for an empty key and for any but a module's.
        let handle = unsafe { api!(RedisModule_ModuleTypeGetType(raw)) };
        if !handle.is_null() && handle == T::handle().get() {
            // SAFETY: the key is open and of our type, so its value is a `T` that we put there (see
            // `types`).
            key.value = unsafe { api!(RedisModule_ModuleTypeGetValue(raw)) }.cast();
            return Ok(key);
        }
        // SAFETY: the key is open.
        let kind = unsafe { api!(RedisModule_KeyType(raw)) };
        match kind == raw::REDISMODULE_KEYTYPE_EMPTY as i32 {
            true => Ok(key),
            false => Err(Refusal::WRONG_TYPE),
        }
    }

    /// The database the key is in, if there is a key. In a notification inside MULTI, Valkey 9.1
    /// says another as the selected one.
    pub fn db(&self) -> Option<i32> {
        // SAFETY: the key is open.
        (!self.raw.is_null()).then(|| unsafe { api!(RedisModule_GetDbIdFromModuleKey(self.raw)) })
    }

    /// The value; none if the key does not exist.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: null, or the value of the open key (see `open`).
        unsafe { self.value.as_ref() }
    }

    /// The value, to be changed; none if the key does not exist.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: null, or the value of the open key (see `open`); `&mut self` makes the borrow the
        // only one.
        unsafe { self.value.as_mut() }
    }

    /// Puts a value into the key, in place of whatever it held.
    pub fn set(&mut self, value: Box<T>) -> &mut T {
        let value = Box::into_raw(value);
        self.value = value;
        // SAFETY: the key is open for writing. The server owns the value from now on and frees it
        // with our `free` callback, not before the key is closed.
        unsafe {
            api!(RedisModule_ModuleTypeSetValue(
                self.raw,
                T::handle().get(),
                value.cast()
            ));
            &mut *value
        }
    }

    /// Deletes the key; a large value is freed in the background.
    pub fn delete(&mut self) {
        self.value = null_mut();
        // SAFETY: the key is open for writing; nothing points to the value any more.
        unsafe { api!(RedisModule_UnlinkKey(self.raw)) };
    }

    /// When the key expires, Unix ms.
    pub fn expires_at(&self) -> Option<u64> {
        // SAFETY: the key is open.
        u64::try_from(unsafe { api!(RedisModule_GetAbsExpire(self.raw)) }).ok()
    }

    /// Lets the key expire at `ms` (Unix), or never.
    pub fn set_expires_at(&mut self, ms: Option<u64>) {
        let at = ms.map_or(raw::REDISMODULE_NO_EXPIRE.into(), |ms| ms as i64);
        // SAFETY: the key is open for writing and not empty.
        unsafe { api!(RedisModule_SetAbsExpire(self.raw, at)) };
    }

    /// The name it was opened by.
    pub fn name(&self) -> ServerStr<'a> {
        self.name
    }
}

impl<T> Drop for Key<'_, T> {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: open, and closed once.
            unsafe { api!(RedisModule_CloseKey(self.raw)) };
        }
    }
}
