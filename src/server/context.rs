//! The context of one call from the server: the database, and what the server is doing. What a
//! context can be used for is in files of its own: `reply`, `replicate`, `call`, `log`.

use super::api::api;
pub use super::call::Word;
use redis_module::raw;
use std::borrow::Cow;
use std::marker::PhantomData;

/// Why a command is refused, in the words of the reply: the code first. Never holds user bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(Cow<'static, str>);

impl Refusal {
    /// The key holds a value of another type.
    pub const WRONG_TYPE: Refusal =
        Refusal::fixed("WRONGTYPE Operation against a key holding the wrong kind of value");

    /// A refusal whose text is always the same.
    pub const fn fixed(text: &'static str) -> Refusal {
        Refusal(Cow::Borrowed(text))
    }

    /// A refusal whose text was made for it.
    pub fn new(text: String) -> Refusal {
        Refusal(Cow::Owned(text))
    }

    /// The argument `name` is not there.
    #[cold]
    pub fn missing(name: &'static str) -> Refusal {
        Refusal(format!("ERR {name} is missing").into())
    }

    /// The words of the reply.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// What the server calls us with. Copies are fine; none outlives the call.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    raw: *mut raw::RedisModuleCtx,
    life: PhantomData<&'a ()>,
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

    /// A file, or what a primary sends in full, is being loaded.
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

    /// A script runs the command.
    pub fn is_script(self) -> bool {
        self.has(raw::REDISMODULE_CTX_FLAGS_LUA)
    }

    /// The server makes room for what is new by evicting what is old.
    pub fn evicts(self) -> bool {
        self.has(raw::REDISMODULE_CTX_FLAGS_EVICT)
    }

    /// The server writes an AOF.
    pub fn has_aof(self) -> bool {
        self.has(raw::REDISMODULE_CTX_FLAGS_AOF)
    }

    /// The server is a node of a cluster.
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

    /// The server's own context, live for `'a`.
    pub fn raw(self) -> *mut raw::RedisModuleCtx {
        self.raw
    }

    /// What the server is doing.
    pub fn flags(self) -> Flags {
        // SAFETY: the context is live (see `new`).
        Flags(unsafe { api!(RedisModule_GetContextFlags(self.raw)) } as u32)
    }

    /// The id of the client whose command this is.
    pub fn client(self) -> u64 {
        // SAFETY: the context is live (see `new`).
        unsafe { api!(RedisModule_GetClientId(self.raw)) }
    }

    /// The number of the selected database.
    pub fn db(self) -> i32 {
        // SAFETY: the context is live (see `new`).
        unsafe { api!(RedisModule_GetSelectedDb(self.raw)) }
    }

    /// Selects a database. Answers false if there is none of that number.
    pub fn select_db(self, db: i32) -> bool {
        // SAFETY: the context is live (see `new`).
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
