//! What a call sends on: to replicas and the AOF, to those who watch a key, to those who
//! subscribed.

use super::api::api;
use super::args::ServerStr;
use super::context::Context;
use redis_module::raw;
use std::ffi::CStr;

impl Context<'_> {
    /// Sends `command key record` to replicas and the AOF.
    #[inline]
    pub fn replicate(self, command: &'static CStr, key: ServerStr<'_>, record: &[u8]) {
        // SAFETY: the context is live; the arguments are what the format says (string, buffer), and
        // the server copies them.
        unsafe {
            api!(RedisModule_Replicate(
                self.raw(),
                command.as_ptr(),
                c"sb".as_ptr(),
                key.raw(),
                record.as_ptr(),
                record.len()
            ))
        };
    }

    /// Sends `command first second record` to replicas and the AOF.
    pub fn replicate_two(
        self,
        command: &'static CStr,
        [first, second]: [ServerStr<'_>; 2],
        record: &[u8],
    ) {
        // SAFETY: the context is live; the arguments are what the format says (two strings, buffer),
        // and the server copies them.
        unsafe {
            api!(RedisModule_Replicate(
                self.raw(),
                command.as_ptr(),
                c"ssb".as_ptr(),
                first.raw(),
                second.raw(),
                record.as_ptr(),
                record.len()
            ))
        };
    }

    /// Writes `command data` to the AOF only.
    pub fn write_to_aof(self, command: &'static CStr, data: &[u8]) {
        // SAFETY: the context is live; the arguments are what the format says (not to replicas, a
        // buffer), and the server copies them.
        unsafe {
            api!(RedisModule_Replicate(
                self.raw(),
                command.as_ptr(),
                c"Rb".as_ptr(),
                data.as_ptr(),
                data.len()
            ))
        };
    }

    /// Sends on that the key is gone.
    pub fn replicate_deletion(self, key: ServerStr<'_>) {
        // SAFETY: the context is live; the argument is what the format says (a string).
        unsafe {
            api!(RedisModule_Replicate(
                self.raw(),
                c"DEL".as_ptr(),
                c"s".as_ptr(),
                key.raw()
            ))
        };
    }

    /// Sends the command itself on.
    pub fn replicate_verbatim(self) {
        // SAFETY: the context is live.
        unsafe { api!(RedisModule_ReplicateVerbatim(self.raw())) };
    }

    /// Tells WATCH and client tracking that the key has changed.
    #[inline]
    pub fn signal_modified(self, key: ServerStr<'_>) {
        // SAFETY: the context is live, and so is the name.
        unsafe { api!(RedisModule_SignalModifiedKey(self.raw(), key.raw())) };
    }

    /// A keyspace notification of the module class.
    pub fn notify(self, event: &'static CStr, key: ServerStr<'_>) {
        // SAFETY: the context is live, and so are event and name.
        unsafe {
            api!(RedisModule_NotifyKeyspaceEvent(
                self.raw(),
                raw::REDISMODULE_NOTIFY_MODULE,
                event.as_ptr(),
                key.raw()
            ))
        };
    }
}
