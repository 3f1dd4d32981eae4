//! The context of one call: replies, replication, the clock, and what the server is doing.

use super::api::api;
use super::args::ServerStr;
use super::key::Name;
use modq_core::queue::Now;
use redis_module::raw;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_long};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Why a command is refused, in the words of the reply: the code first. Never holds user bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(Cow<'static, str>);

impl Refusal {
    pub const WRONG_TYPE: Refusal =
        Refusal::fixed("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub const SYNTAX: Refusal = Refusal::fixed("ERR syntax error");

    pub const fn fixed(text: &'static str) -> Refusal {
        Refusal(Cow::Borrowed(text))
    }

    pub fn new(text: String) -> Refusal {
        Refusal(Cow::Owned(text))
    }

    #[cold]
    pub fn missing(name: &'static str) -> Refusal {
        Refusal(format!("ERR {name} is missing").into())
    }
}

/// What the server calls us with. Copies are fine; none outlives the call.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    raw: *mut raw::RedisModuleCtx,
    life: PhantomData<&'a ()>,
}

/// A word of a command that is called.
#[derive(Debug, Clone, Copy)]
pub enum Word<'a> {
    /// One of few, which are made once and kept.
    Known(&'static str),
    Bytes(&'a [u8]),
}

thread_local! {
    /// Commands are called on the main thread only, and these strings never leave it.
    static KNOWN_WORDS: RefCell<Vec<(&'static str, Name)>> = RefCell::default();
}

/// Found by where the text is: there are some dozens of them, and comparing texts would take longer than
/// making the string anew.
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

/// What the server is doing, read at once.
#[derive(Debug, Clone, Copy)]
pub struct Flags(u32);

impl Flags {
    fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    /// A primary that is up: what it decides goes to its replicas.
    pub fn is_active_primary(self) -> bool {
        self.has(raw::REDISMODULE_CTX_FLAGS_MASTER) && !self.is_loading()
    }

    pub fn is_loading(self) -> bool {
        self.has(raw::REDISMODULE_CTX_FLAGS_LOADING)
    }

    /// Whether the client may be made to wait: not in MULTI, not in a script, not if it is denied.
    pub fn may_block(self) -> bool {
        !self.has(
            raw::REDISMODULE_CTX_FLAGS_MULTI
                | raw::REDISMODULE_CTX_FLAGS_LUA
                | raw::REDISMODULE_CTX_FLAGS_DENY_BLOCKING,
        )
    }

    pub fn has_aof(self) -> bool {
        self.has(raw::REDISMODULE_CTX_FLAGS_AOF)
    }

    pub fn is_cluster(self) -> bool {
        self.has(raw::REDISMODULE_CTX_FLAGS_CLUSTER)
    }

    /// The command came over the link from the primary.
    pub fn is_replicated(self) -> bool {
        self.has(raw::REDISMODULE_CTX_FLAGS_REPLICATED)
    }
}

impl<'a> Context<'a> {
    /// # Safety
    /// `raw` is valid for as long as `'a`, which ends with the server's call into the module.
    pub unsafe fn new(raw: *mut raw::RedisModuleCtx) -> Context<'a> {
        Context {
            raw,
            life: PhantomData,
        }
    }

    pub fn raw(self) -> *mut raw::RedisModuleCtx {
        self.raw
    }

    // SAFETY (all below): `raw` is a live context, the pointers handed in live through the call,
    // and lengths are those of the slices they come from.

    #[inline]
    pub fn reply_integer(self, n: i64) {
        unsafe { api!(RedisModule_ReplyWithLongLong(self.raw, n)) };
    }

    #[inline]
    pub fn reply_bytes(self, bytes: &[u8]) {
        unsafe {
            api!(RedisModule_ReplyWithStringBuffer(
                self.raw,
                bytes.as_ptr().cast(),
                bytes.len()
            ))
        };
    }

    #[inline]
    pub fn reply_status(self, status: &'static CStr) {
        unsafe { api!(RedisModule_ReplyWithSimpleString(self.raw, status.as_ptr())) };
    }

    pub fn reply_ok(self) {
        self.reply_status(c"OK");
    }

    pub fn reply_null(self) {
        unsafe { api!(RedisModule_ReplyWithNull(self.raw)) };
    }

    pub fn reply_null_array(self) {
        unsafe { api!(RedisModule_ReplyWithNullArray(self.raw)) };
    }

    /// Begins an array: `len` replies follow.
    #[inline]
    pub fn reply_array(self, len: usize) {
        unsafe { api!(RedisModule_ReplyWithArray(self.raw, len as c_long)) };
    }

    /// Begins a map: `len` pairs of replies follow.
    pub fn reply_map(self, len: usize) {
        unsafe { api!(RedisModule_ReplyWithMap(self.raw, len as c_long)) };
    }

    /// A field name of a map.
    pub fn field(self, name: &'static str) -> Self {
        self.reply_bytes(name.as_bytes());
        self
    }

    #[cold]
    pub fn refuse(self, refusal: &Refusal) {
        let text = CString::new(refusal.0.as_bytes()).unwrap_or_else(|_| c"ERR error".into());
        unsafe { api!(RedisModule_ReplyWithError(self.raw, text.as_ptr())) };
    }

    #[cold]
    pub fn refuse_arity(self) {
        unsafe { api!(RedisModule_WrongArity(self.raw)) };
    }

    /// Sends `command key record` to replicas and the AOF.
    #[inline]
    pub fn replicate(self, command: &'static CStr, key: ServerStr<'_>, record: &[u8]) {
        unsafe {
            api!(RedisModule_Replicate(
                self.raw,
                command.as_ptr(),
                c"sb".as_ptr(),
                key.raw(),
                record.as_ptr(),
                record.len()
            ))
        };
    }

    /// Writes `command data` to the AOF only.
    pub fn write_to_aof(self, command: &'static CStr, data: &[u8]) {
        unsafe {
            api!(RedisModule_Replicate(
                self.raw,
                command.as_ptr(),
                c"Rb".as_ptr(),
                data.as_ptr(),
                data.len()
            ))
        };
    }

    /// Sends on that the key is gone.
    pub fn replicate_deletion(self, key: ServerStr<'_>) {
        unsafe {
            api!(RedisModule_Replicate(
                self.raw,
                c"DEL".as_ptr(),
                c"s".as_ptr(),
                key.raw()
            ))
        };
    }

    /// Sends the command itself on.
    pub fn replicate_verbatim(self) {
        unsafe { api!(RedisModule_ReplicateVerbatim(self.raw)) };
    }

    /// Tells WATCH and client tracking that the key has changed.
    #[inline]
    pub fn signal_modified(self, key: ServerStr<'_>) {
        unsafe { api!(RedisModule_SignalModifiedKey(self.raw, key.raw())) };
    }

    /// A keyspace notification of the module class.
    pub fn notify(self, event: &'static CStr, key: ServerStr<'_>) {
        let class = raw::REDISMODULE_NOTIFY_MODULE;
        unsafe {
            api!(RedisModule_NotifyKeyspaceEvent(
                self.raw,
                class,
                event.as_ptr(),
                key.raw()
            ))
        };
    }

    /// Publishes a message, in cluster mode to the channel's shard, and replicates that.
    pub fn publish(self, channel: &[u8], message: &[u8]) {
        let command = if self.flags().is_cluster() {
            c"SPUBLISH"
        } else {
            c"PUBLISH"
        };
        unsafe {
            let reply = api!(RedisModule_Call(
                self.raw,
                command.as_ptr(),
                c"!bb".as_ptr(),
                channel.as_ptr(),
                channel.len(),
                message.as_ptr(),
                message.len()
            ));
            if !reply.is_null() {
                api!(RedisModule_FreeCallReply(reply));
            }
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
        unsafe {
            let reply = api!(RedisModule_Call(
                self.raw,
                command.as_ptr(),
                c"!v".as_ptr(),
                raw_words.as_mut_ptr(),
                raw_words.len()
            ));
            if reply.is_null() {
                return false;
            }
            let refused = [raw::REDISMODULE_REPLY_ERROR, raw::REDISMODULE_REPLY_NULL];
            let kind = api!(RedisModule_CallReplyType(reply)) as isize;
            api!(RedisModule_FreeCallReply(reply));
            !refused.contains(&kind)
        }
    }

    /// In a cluster, whether this node owns the slot of a key that is there: not yet while it imports
    /// the slot. The key must not be open: the server may find that it has expired.
    pub fn owns(self, key: ServerStr<'_>) -> bool {
        // What is not ours the server refuses to run.
        self.call(c"EXISTS", &[Word::Bytes(key.bytes())])
    }

    pub fn flags(self) -> Flags {
        Flags(unsafe { api!(RedisModule_GetContextFlags(self.raw)) } as u32)
    }

    pub fn db(self) -> i32 {
        unsafe { api!(RedisModule_GetSelectedDb(self.raw)) }
    }

    pub fn select_db(self, db: i32) -> bool {
        unsafe { api!(RedisModule_SelectDb(self.raw, db)) == raw::REDISMODULE_OK as i32 }
    }
}

/// Whether replicating from a timer would now abort the server: CLIENT PAUSE or a failover.
pub fn must_not_replicate() -> bool {
    // SAFETY: no arguments, no state; a server that lacks the function has no such pause.
    unsafe { raw::RedisModule_AvoidReplicaTraffic.is_some_and(|avoid| avoid() != 0) }
}

/// Whether used memory is above maxmemory.
pub fn out_of_memory() -> bool {
    // SAFETY: no arguments, no state.
    unsafe { api!(RedisModule_GetUsedMemoryRatio()) > 1.0 }
}

/// The largest token given so far by this process, unless far ahead of the clock.
static LAST_TOKEN: AtomicU64 = AtomicU64::new(0);

/// How far tokens may run ahead of the clock for `note_token`, µs. Only a stored value can be further.
const TOKEN_LEAD: u64 = 60_000_000;

/// Whether the server's clock and ours may be two: see `clock_us`.
static TWO_CLOCKS: AtomicBool = AtomicBool::new(false);

/// How far Valkey's clock may be behind the system's, µs: it looks once in a millisecond.
const COARSE: u64 = 2_000;

/// To be called at load, on a server that binds modules to libc past what was preloaded (Valkey).
pub fn mind_the_servers_clock() {
    TWO_CLOCKS.store(true, Relaxed);
}

/// The clock by which the server expires keys, as exactly as can be had. That is the system's. But
/// where something has come between the server and that, such as a clock for tests, and not
/// between us and that, what the server says is the time.
#[inline]
fn clock_us() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists everywhere, and `time` is there to be written. As SystemTime::now,
    // which then takes four times as long to subtract the epoch from it.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let system = seconds * 1_000_000 + time.tv_nsec as u64 / 1000;
    if TWO_CLOCKS.load(Relaxed) {
        // SAFETY: read on the main thread after the server filled it in; no arguments.
        let server = unsafe { raw::RedisModule_Microseconds.map(|microseconds| microseconds()) };
        return match server {
            Some(us) if system.abs_diff(us as u64) > COARSE => us as u64,
            _ => system,
        };
    }
    system
}

/// The time, read once per call and passed down.
#[inline]
pub fn now() -> Now {
    let us = clock_us();
    let floor = LAST_TOKEN.load(Relaxed) + 1;
    Now {
        ms: us / 1000,
        us: us.max(floor),
    }
}

/// A token was given. Many at once run ahead of the clock; whatever is given next, also by a queue
/// that takes the place of this one, must be larger.
#[inline]
pub fn note_token(token: u64, now: Now) {
    if token < now.ms * 1000 + TOKEN_LEAD {
        LAST_TOKEN.fetch_max(token, Relaxed);
    }
}

fn log(level: &'static CStr, text: &str) {
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: the format is ours and takes one string; a null context is allowed.
    unsafe {
        api!(RedisModule_Log(
            std::ptr::null_mut(),
            level.as_ptr(),
            c"%s".as_ptr(),
            text.as_ptr()
        ))
    };
}

/// A line in the server's log. Never with ids or payloads in it.
pub fn log_notice(text: &str) {
    log(c"notice", text);
}

/// A warning in the server's log. Never with ids or payloads in it.
pub fn log_warning(text: &str) {
    log(c"warning", text);
}
