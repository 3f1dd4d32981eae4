//! Calling the server's own commands.

use super::api::api;
use super::args::ServerStr;
use super::context::Context;
use super::key::Name;
use redis_module::raw;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::ffi::CStr;

/// A word of a command that is called.
#[derive(Debug, Clone, Copy)]
pub enum Word<'a> {
    /// One of a few dozen, which are made once and kept.
    Known(&'static str),
    /// Any other.
    Bytes(&'a [u8]),
}

thread_local! {
    /// The strings of known words. Commands are called on the main thread only, and these strings
    /// never leave it.
    static KNOWN_WORDS: RefCell<Vec<(&'static str, Name)>> = RefCell::default();
}

/// The string of a known word. It is found by the address of the text: there are only some dozens
/// of them, and comparing texts would take longer than making the string anew.
fn known_word(text: &'static str) -> *mut raw::RedisModuleString {
    KNOWN_WORDS.with_borrow_mut(|known| {
        let at = known.iter().position(|(k, _)| std::ptr::eq(*k, text));
        let at = at.unwrap_or_else(|| {
            known.push((text, Name::new(text.as_bytes())));
            known.len() - 1
        });
        known[at].1.get().raw()
    })
}

impl Context<'_> {
    /// Publishes a message, in cluster mode to the channel's shard, and replicates that.
    pub fn publish(self, channel: &[u8], message: &[u8]) {
        let command = if self.flags().is_cluster() {
            c"SPUBLISH"
        } else {
            c"PUBLISH"
        };
        // SAFETY: the context is live; the arguments are what the format says (replicated, two
        // buffers), and the server copies them.
        let reply = unsafe {
            api!(RedisModule_Call(
                self.raw(),
                command.as_ptr(),
                c"!bb".as_ptr(),
                channel.as_ptr(),
                channel.len(),
                message.as_ptr(),
                message.len()
            ))
        };
        if !reply.is_null() {
            // SAFETY: a reply just given, and freed once.
            unsafe { api!(RedisModule_FreeCallReply(reply)) };
        }
    }

    /// Runs a command of the server's own, replicated as it is. Answers false if it was refused.
    pub fn call(self, command: &'static CStr, words: &[Word<'_>]) -> bool {
        let mut made = SmallVec::<[Name; 32]>::new();
        let mut raw_words = SmallVec::<[*mut raw::RedisModuleString; 64]>::new();
        for word in words {
            raw_words.push(match word {
                Word::Known(text) => known_word(text),
                Word::Bytes(bytes) => {
                    made.push(Name::new(bytes));
                    made[made.len() - 1].get().raw()
                }
            });
        }
        // SAFETY: the context is live; the arguments are what the format says (replicated, an array
        // of strings and its length), and `made` and the known words keep the strings alive.
        let reply = unsafe {
            api!(RedisModule_Call(
                self.raw(),
                command.as_ptr(),
                c"!v".as_ptr(),
                raw_words.as_mut_ptr(),
                raw_words.len()
            ))
        };
        if reply.is_null() {
            return false;
        }
        // SAFETY: a reply just given, which is freed once, after it was read.
        let kind = unsafe {
            let kind = api!(RedisModule_CallReplyType(reply)) as isize;
            api!(RedisModule_FreeCallReply(reply));
            kind
        };
        let refused = [raw::REDISMODULE_REPLY_ERROR, raw::REDISMODULE_REPLY_NULL];
        !refused.contains(&kind)
    }

    /// What MEMORY USAGE says of a key: its value, and what the server keeps beside it. None if the
    /// server does not say.
    pub fn memory_usage(self, key: ServerStr<'_>) -> Option<i64> {
        // SAFETY: the context is live; the arguments are what the format says (a C string and a
        // string). The reply is read before it is freed, once.
        unsafe {
            let reply = api!(RedisModule_Call(
                self.raw(),
                c"MEMORY".as_ptr(),
                c"cs".as_ptr(),
                c"USAGE".as_ptr(),
                key.raw()
            ));
            if reply.is_null() {
                return None;
            }
            let kind = api!(RedisModule_CallReplyType(reply)) as isize;
            let said = (kind == raw::REDISMODULE_REPLY_INTEGER)
                .then(|| api!(RedisModule_CallReplyInteger(reply)));
            api!(RedisModule_FreeCallReply(reply));
            said
        }
    }

    /// In a cluster, whether this node owns the slot of a key that is there: not yet while it
    /// imports the slot. The key must not be open: the server may find that it has expired.
    pub fn owns(self, key: ServerStr<'_>) -> bool {
        // What is not ours the server refuses to run.
        self.call(c"EXISTS", &[Word::Bytes(key.bytes())])
    }
}

/// The bytes of a reply that is a string; none if it is none.
///
/// # Safety
/// `reply` is a reply that is not freed before the last use of the result.
pub(super) unsafe fn text_of<'a>(reply: *mut raw::RedisModuleCallReply) -> Option<&'a [u8]> {
    // SAFETY: the reply is live; the server answers null for what is no string.
    unsafe {
        let mut len = 0;
        let start = api!(RedisModule_CallReplyStringPtr(reply, &mut len));
        (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast(), len))
    }
}
