//! What a command is to the server: its table entry, its registration, and what COMMAND INFO and
//! COMMAND DOCS say of it.

use super::api::api;
use super::context::Context;
use super::docs;
use super::guard::RawHandler;
use redis_module::raw;
use std::ffi::{CStr, CString, c_int};

const OK: c_int = raw::REDISMODULE_OK as c_int;
const ERR: c_int = raw::REDISMODULE_ERR as c_int;

/// Where a command has its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// None of the arguments is one.
    None,
    /// The first argument is one, only read.
    Reads,
    /// The first argument is one, and may be created, changed or deleted.
    Changes,
    /// The first two arguments are ones like that.
    ChangesTwo,
    /// The first argument says how many follow.
    ChangesCounted,
    /// The first argument is one, and so is what follows the word EVENTS.
    ChangesEvents,
}

/// One command as it is registered and documented.
pub struct Command {
    pub name: &'static CStr,
    /// The server's command flags.
    pub flags: &'static CStr,
    pub keys: Keys,
    /// Words at the least (negative) or exactly, the name included.
    pub arity: i32,
    /// The arguments, as the documentation shows them; see `redis::docs`.
    pub syntax: &'static str,
    pub summary: &'static str,
    pub complexity: &'static str,
    /// Replies itself unless it refuses; see `redis::guard::entry`.
    pub handler: RawHandler,
}

/// A subcommand, without keys, as it is registered and documented.
pub struct Subcommand {
    pub name: &'static CStr,
    pub flags: &'static CStr,
    /// Words at the least (negative) or exactly, both names included.
    pub arity: i32,
    pub syntax: &'static str,
    pub summary: &'static str,
    pub complexity: &'static str,
    pub handler: RawHandler,
}

/// A command that is nothing but its subcommands.
pub struct Container {
    /// Its name.
    pub name: &'static CStr,
    /// What its subcommands are about.
    pub summary: &'static str,
    /// What COMMAND DOCS says of its cost.
    pub complexity: &'static str,
    /// The subcommands.
    pub subcommands: &'static [Subcommand],
}

/// Registers a command, during load.
///
/// # Errors
/// What the server refused, for its log.
pub fn register(ctx: Context<'_>, command: &Command) -> Result<(), &'static str> {
    // The old way to say where keys are; the key specs below say it better.
    let (first, last) = match command.keys {
        Keys::Reads | Keys::Changes | Keys::ChangesEvents => (1, 1),
        Keys::ChangesTwo => (1, 2),
        Keys::None | Keys::ChangesCounted => (0, 0),
    };
    // SAFETY: a static name and a handler of the right type.
    let handle = unsafe {
        let created = api!(RedisModule_CreateCommand(
            ctx.raw(),
            command.name.as_ptr(),
            Some(command.handler),
            command.flags.as_ptr(),
            first,
            last,
            i32::from(first > 0)
        ));
        if created == ERR {
            return Err("a command is refused (another module has it?)");
        }
        api!(RedisModule_GetCommand(ctx.raw(), command.name.as_ptr()))
    };
    let blocks = command.syntax.contains("[BLOCK ");
    let internal = command.name.to_bytes().contains(&b'_');
    let more = [(blocks, " blocking"), (internal, " admin dangerous")];
    let more: String = more.iter().filter(|m| m.0).map(|m| m.1).collect();
    put_in_categories(handle, command.flags, &more)?;
    describe(
        handle,
        command.arity,
        command.syntax,
        command.summary,
        command.complexity,
        command.keys,
    )
}

/// Registers a container and its subcommands, during load.
///
/// # Errors
/// What the server refused, for its log.
pub fn register_container(ctx: Context<'_>, container: &Container) -> Result<(), &'static str> {
    let parent = container.name;
    // SAFETY: a static name; a container has no handler.
    let handle = unsafe {
        let created = api!(RedisModule_CreateCommand(
            ctx.raw(),
            parent.as_ptr(),
            None,
            c"".as_ptr(),
            0,
            0,
            0
        ));
        if created == ERR {
            return Err("a command is refused (another module has it?)");
        }
        api!(RedisModule_GetCommand(ctx.raw(), parent.as_ptr()))
    };
    describe(
        handle,
        -2,
        "",
        container.summary,
        container.complexity,
        Keys::None,
    )?;
    for sub in container.subcommands {
        let full = [parent.to_bytes(), b"|", sub.name.to_bytes()].concat();
        let full = CString::new(full).unwrap_or_default();
        // SAFETY: names that live through the calls and a handler of the right type.
        let handle = unsafe {
            let created = api!(RedisModule_CreateSubcommand(
                handle,
                sub.name.as_ptr(),
                Some(sub.handler),
                sub.flags.as_ptr(),
                0,
                0,
                0
            ));
            if created == ERR {
                return Err("a subcommand is refused");
            }
            api!(RedisModule_GetCommand(ctx.raw(), full.as_ptr()))
        };
        put_in_categories(handle, sub.flags, "")?;
        describe(
            handle,
            sub.arity,
            sub.syntax,
            sub.summary,
            sub.complexity,
            Keys::None,
        )?;
    }
    Ok(())
}

/// Puts a command into the ACL categories that the server puts its own into for such flags. Below
/// 7.2 modules' commands can be in none.
fn put_in_categories(
    handle: *mut raw::RedisModuleCommand,
    flags: &CStr,
    more: &str,
) -> Result<(), &'static str> {
    let has = |flag: &[u8]| flags.to_bytes().split(|b| *b == b' ').any(|f| f == flag);
    let kind = if has(b"readonly") { "read" } else { "write" };
    let speed = if has(b"fast") { "fast" } else { "slow" };
    let categories = CString::new(format!("{kind} {speed}{more}")).unwrap_or_default();
    // SAFETY: a command just made, during load; the server copies the categories.
    let status = unsafe {
        raw::RedisModule_SetCommandACLCategories.map_or(OK, |set| set(handle, categories.as_ptr()))
    };
    if status == ERR {
        return Err("the ACL categories of a command are refused");
    }
    Ok(())
}

/// Tells the server what COMMAND and COMMAND DOCS say of a command.
fn describe(
    handle: *mut raw::RedisModuleCommand,
    arity: i32,
    syntax: &str,
    summary: &str,
    complexity: &str,
    keys: Keys,
) -> Result<(), &'static str> {
    let leak = |text: &str| {
        CString::new(text)
            .unwrap_or_default()
            .into_raw()
            .cast_const()
    };
    // SAFETY: an all-zero description is an empty one; the server copies what it points to.
    let status = unsafe {
        let mut info: raw::RedisModuleCommandInfo = std::mem::zeroed();
        info.version = &INFO_VERSION.0;
        info.summary = leak(summary);
        info.complexity = leak(complexity);
        info.since = leak(env!("CARGO_PKG_VERSION"));
        info.arity = arity;
        if keys != Keys::None {
            info.key_specs = Box::leak(Box::new(key_specs(keys))).as_mut_ptr();
        }
        info.args = docs::to_raw(&docs::parse(syntax));
        api!(RedisModule_SetCommandInfo(handle, &info))
    };
    if status == ERR {
        return Err("the description of a command is refused");
    }
    Ok(())
}

/// The layout of the structures that describe a command.
struct InfoVersion(raw::RedisModuleCommandInfoVersion);

// SAFETY: never changed.
unsafe impl Sync for InfoVersion {}

static INFO_VERSION: InfoVersion = InfoVersion(raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
});

/// Where a command has its keys, ended by an empty entry.
fn key_specs(keys: Keys) -> [raw::RedisModuleCommandKeySpec; 3] {
    // SAFETY: an all-zero entry is the end mark.
    let mut specs: [raw::RedisModuleCommandKeySpec; 3] = unsafe { std::mem::zeroed() };
    specs[0].flags = u64::from(match keys {
        Keys::Reads => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        _ => {
            raw::REDISMODULE_CMD_KEY_RW
                | raw::REDISMODULE_CMD_KEY_ACCESS
                | raw::REDISMODULE_CMD_KEY_UPDATE
        }
    });
    specs[0].begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    specs[0].bs.index.pos = 1;
    if keys == Keys::ChangesCounted {
        specs[0].find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM;
        specs[0].fk.keynum.keynumidx = 0;
        specs[0].fk.keynum.firstkey = 1;
        specs[0].fk.keynum.keystep = 1;
    } else {
        specs[0].find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
        specs[0].fk.range.lastkey = i32::from(keys == Keys::ChangesTwo);
        specs[0].fk.range.keystep = 1;
        specs[0].fk.range.limit = 0;
    }
    if keys == Keys::ChangesEvents {
        specs[1] = specs[0];
        // An empty name is no key: only the command itself can tell (see `keys_with_events`).
        specs[1].flags |= u64::from(raw::REDISMODULE_CMD_KEY_INCOMPLETE);
        specs[1].begin_search_type =
            raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_KEYWORD;
        specs[1].bs.keyword.keyword = c"EVENTS".as_ptr();
        specs[1].bs.keyword.startfrom = 2;
    }
    specs
}
