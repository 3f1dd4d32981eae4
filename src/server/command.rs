//! What a command is to the server: its table entry, its registration, and what COMMAND INFO and
//! COMMAND DOCS say of it.

use super::api::api;
use super::context::Context;
use super::docs::{self, Arg, Kind};
use super::guard::RawHandler;
use super::module::LoadError;
use redis_module::raw;
use std::ffi::{CStr, CString, c_int};

const OK: c_int = raw::REDISMODULE_OK as c_int;
const ERR: c_int = raw::REDISMODULE_ERR as c_int;

/// Where a command has its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// No argument is a key.
    None,
    /// The first argument is a key, which is only read.
    Reads,
    /// The first argument is a key, which may be created, changed or deleted.
    Changes,
    /// The first two arguments are such keys.
    ChangesTwo,
    /// The first argument is such a key, and the second a key that is only read.
    ChangesAndReads,
    /// The first argument says how many such keys follow.
    ChangesCounted,
    /// The first argument is such a key, and so is what follows the word EVENTS.
    ChangesEvents,
}

/// One command or subcommand, as it is registered and documented.
pub struct Command {
    /// The name, in lower case; of a subcommand without its container's.
    pub name: &'static CStr,
    /// The server's command flags: what the command does, and when it may run.
    pub flags: &'static CStr,
    /// The ACL categories. From 7.2 on; before that, modules' commands can be in none.
    pub categories: &'static CStr,
    /// Where its keys are.
    pub keys: Keys,
    /// How many words it has, its name (or both its names) included: exactly so many, or if
    /// negative, at least so many.
    pub arity: i32,
    /// The arguments as the documentation shows them; see [`docs::parse`].
    pub syntax: &'static str,
    /// The words of `syntax` that stand for integers.
    pub integers: &'static [&'static str],
    /// The first version that has it.
    pub since: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// The server's command tips, for proxies and clients of a cluster; separated by blanks.
    pub tips: &'static str,
    /// Runs it. It replies itself unless it refuses; see [`entry`](super::guard::entry).
    pub handler: RawHandler,
}

/// A command that is nothing but its subcommands.
pub struct Container {
    /// The name, in lower case.
    pub name: &'static CStr,
    /// The first version that has it.
    pub since: &'static str,
    /// What the subcommands are about.
    pub summary: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// The subcommands. They have no keys.
    pub subcommands: &'static [Command],
}

/// Registers a command, during load.
///
/// # Errors
/// What the server refused, for its log.
pub fn register(ctx: Context<'_>, command: &Command) -> Result<(), LoadError> {
    // Where the keys are, as servers were told before there were key specs.
    let (first, last) = match command.keys {
        Keys::Reads | Keys::Changes | Keys::ChangesEvents => (1, 1),
        Keys::ChangesTwo | Keys::ChangesAndReads => (1, 2),
        Keys::None | Keys::ChangesCounted => (0, 0),
    };
    // SAFETY: during load, with a static name and static flags and a handler of the right type;
    // the server copies name and flags.
    let status = unsafe {
        api!(RedisModule_CreateCommand(
            ctx.raw(),
            command.name.as_ptr(),
            Some(command.handler),
            command.flags.as_ptr(),
            first,
            last,
            i32::from(first > 0)
        ))
    };
    if status == ERR {
        return Err(taken(command.name));
    }
    let handle = find(ctx, command.name);
    put_in_categories(handle, command.categories)?;
    describe(handle, &command.about())
}

/// Registers a container and its subcommands, during load.
///
/// # Errors
/// What the server refused, for its log.
pub fn register_container(ctx: Context<'_>, container: &Container) -> Result<(), LoadError> {
    // SAFETY: as in `register`; a container has no handler.
    let status = unsafe {
        api!(RedisModule_CreateCommand(
            ctx.raw(),
            container.name.as_ptr(),
            None,
            c"".as_ptr(),
            0,
            0,
            0
        ))
    };
    if status == ERR {
        return Err(taken(container.name));
    }
    let parent = find(ctx, container.name);
    describe(
        parent,
        &About {
            arity: -2,
            since: container.since,
            summary: container.summary,
            complexity: container.complexity,
            tips: "",
            keys: Keys::None,
            args: Vec::new(),
        },
    )?;
    for sub in container.subcommands {
        // SAFETY: as in `register`, and `parent` was registered just now.
        let status = unsafe {
            api!(RedisModule_CreateSubcommand(
                parent,
                sub.name.as_ptr(),
                Some(sub.handler),
                sub.flags.as_ptr(),
                0,
                0,
                0
            ))
        };
        if status == ERR {
            return Err(taken(sub.name));
        }
        let name = [container.name.to_bytes(), b"|", sub.name.to_bytes()].concat();
        let handle = find(ctx, &CString::new(name).unwrap_or_default());
        put_in_categories(handle, sub.categories)?;
        describe(handle, &sub.about())?;
    }
    Ok(())
}

/// A command's name is not free.
fn taken(name: &CStr) -> LoadError {
    let name = name.to_string_lossy();
    format!(
        "the server refuses the command {name}: another module has it; load only one of the two"
    )
    .into()
}

const UNKNOWN: &str = "the server refuses what COMMAND is to say of a command; report this with the version of the server";

/// The server's handle of a command that was registered.
fn find(ctx: Context<'_>, name: &CStr) -> *mut raw::RedisModuleCommand {
    // SAFETY: the context is valid and the name lives through the call.
    unsafe { api!(RedisModule_GetCommand(ctx.raw(), name.as_ptr())) }
}

fn put_in_categories(
    handle: *mut raw::RedisModuleCommand,
    categories: &CStr,
) -> Result<(), LoadError> {
    // SAFETY: the server's functions were filled in before; below 7.2 this one is not there. The
    // command was registered just now, and the server copies the categories.
    let status = unsafe {
        raw::RedisModule_SetCommandACLCategories.map_or(OK, |set| set(handle, categories.as_ptr()))
    };
    if status == ERR {
        return Err(UNKNOWN.into());
    }
    Ok(())
}

/// What COMMAND and COMMAND DOCS say of a command.
struct About {
    arity: i32,
    since: &'static str,
    summary: &'static str,
    complexity: &'static str,
    tips: &'static str,
    keys: Keys,
    args: Vec<Arg>,
}

impl Command {
    fn about(&self) -> About {
        About {
            arity: self.arity,
            since: self.since,
            summary: self.summary,
            complexity: self.complexity,
            tips: self.tips,
            keys: self.keys,
            args: self.arguments(),
        }
    }

    /// The argument tree: the syntax, and which of the arguments are keys.
    ///
    /// # Panics
    /// If the syntax is malformed, or is not one of a command that has such keys.
    pub fn arguments(&self) -> Vec<Arg> {
        let mut args = docs::parse(self.syntax, self.integers);
        let keys = match self.keys {
            Keys::None => 0..0,
            Keys::Reads | Keys::Changes | Keys::ChangesEvents => 0..1,
            Keys::ChangesTwo | Keys::ChangesAndReads => 0..2,
            // The first says how many; the second is marked as repeated.
            Keys::ChangesCounted => 1..2,
        };
        args[keys]
            .iter_mut()
            .for_each(|arg| arg.kind = Kind::Key(0));
        if self.keys == Keys::ChangesAndReads {
            args[1].kind = Kind::Key(1);
        }
        if self.keys == Keys::ChangesEvents {
            let follows = |arg: &&mut Arg| arg.token.as_deref() == Some("EVENTS");
            let stream = args.iter_mut().find(follows);
            stream.expect("a syntax with EVENTS").kind = Kind::Key(1);
        }
        for arg in &mut args {
            if arg.token.as_deref() == Some("REVS") {
                let each = arg.sub.iter_mut();
                each.for_each(|rev| rev.summary = Some("once for each item"));
            }
        }
        if self.keys == Keys::ChangesCounted {
            // What must be given once or more beside the keys is given for each of them.
            let repeated = |arg: &&mut Arg| arg.multiple && !arg.optional && arg.token.is_some();
            let repeated = args.iter_mut().filter(repeated);
            repeated.for_each(|arg| arg.summary = Some("once for each key"));
        }
        args
    }
}

/// Tells the server what COMMAND and COMMAND DOCS say of a command.
fn describe(handle: *mut raw::RedisModuleCommand, about: &About) -> Result<(), LoadError> {
    // SAFETY: an all-zero description is an empty one. The texts, key specs and arguments it
    // points to are never freed and end as the server wants them to.
    let status = unsafe {
        let mut info: raw::RedisModuleCommandInfo = std::mem::zeroed();
        info.version = &INFO_VERSION.0;
        info.summary = docs::leak(about.summary);
        info.complexity = docs::leak(about.complexity);
        info.since = docs::leak(about.since);
        if !about.tips.is_empty() {
            info.tips = docs::leak(about.tips);
        }
        info.arity = about.arity;
        if about.keys != Keys::None {
            info.key_specs = Box::leak(Box::new(key_specs(about.keys))).as_mut_ptr();
        }
        info.args = docs::to_raw(&about.args);
        api!(RedisModule_SetCommandInfo(handle, &info))
    };
    if status == ERR {
        return Err(UNKNOWN.into());
    }
    Ok(())
}

/// The layout of the structures that describe a command.
struct InfoVersion(raw::RedisModuleCommandInfoVersion);

// SAFETY: it is never changed.
unsafe impl Sync for InfoVersion {}

static INFO_VERSION: InfoVersion = InfoVersion(raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
});

/// What key specs say of a key that is only read.
const READS: u64 = (raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS) as u64;

/// Where a command has its keys, ended by an empty entry.
fn key_specs(keys: Keys) -> [raw::RedisModuleCommandKeySpec; 3] {
    // SAFETY: an all-zero entry is valid: it is the end mark.
    let mut specs: [raw::RedisModuleCommandKeySpec; 3] = unsafe { std::mem::zeroed() };
    let spec = &mut specs[0];
    spec.flags = match keys {
        Keys::Reads => READS,
        _ => u64::from(
            raw::REDISMODULE_CMD_KEY_RW
                | raw::REDISMODULE_CMD_KEY_ACCESS
                | raw::REDISMODULE_CMD_KEY_UPDATE,
        ),
    };
    spec.begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    spec.bs.index.pos = 1;
    if keys == Keys::ChangesCounted {
        spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM;
        spec.fk.keynum.keynumidx = 0;
        spec.fk.keynum.firstkey = 1;
        spec.fk.keynum.keystep = 1;
    } else {
        spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
        spec.fk.range.lastkey = i32::from(keys == Keys::ChangesTwo);
        spec.fk.range.keystep = 1;
        spec.fk.range.limit = 0;
    }
    if keys == Keys::ChangesAndReads {
        specs[1] = specs[0];
        specs[1].flags = READS;
        specs[1].bs.index.pos = 2;
    }
    if keys == Keys::ChangesEvents {
        specs[1] = specs[0];
        let stream = &mut specs[1];
        // An empty name is no key, which no key spec can say: the handler's `locate` does.
        stream.flags |= u64::from(raw::REDISMODULE_CMD_KEY_INCOMPLETE);
        stream.begin_search_type =
            raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_KEYWORD;
        stream.bs.keyword.keyword = c"EVENTS".as_ptr();
        stream.bs.keyword.startfrom = 2;
    }
    specs
}
