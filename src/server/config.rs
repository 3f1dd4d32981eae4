//! The module's settings: arguments at load, then CONFIG GET and SET.

use super::api::api;
use super::args::{Args, parse_i64};
use super::context::{Context, log_warning};
use redis_module::raw;
use std::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// One setting. Booleans are 0 and 1.
pub struct Setting {
    /// The name without the module's, which the server puts in front.
    name: &'static CStr,
    boolean: bool,
    default: i64,
    min: i64,
    max: i64,
    value: AtomicI64,
}

impl Setting {
    const fn number(name: &'static CStr, default: i64, min: i64, max: i64) -> Setting {
        Setting {
            name,
            boolean: false,
            default,
            min,
            max,
            value: AtomicI64::new(default),
        }
    }

    /// What it is set to.
    pub fn get(&self) -> i64 {
        self.value.load(Relaxed)
    }

    fn parse(&self, word: &[u8]) -> Option<i64> {
        if self.boolean {
            return match word.to_ascii_lowercase().as_slice() {
                b"yes" => Some(1),
                b"no" => Some(0),
                _ => None,
            };
        }
        parse_i64(word).filter(|n| (self.min..=self.max).contains(n))
    }
}

/// Most deferred steps (expiries, due items, matches) of one tick.
pub static WORK_BUDGET: Setting = Setting::number(c"work-budget", 1000, 1, 1_000_000);
/// Largest payload of an item, bytes.
pub static MAX_PAYLOAD: Setting = Setting::number(c"max-payload-bytes", 1 << 20, 0, 512 << 20);
/// Most runs of charges and remembered requests in one key.
pub static LOG_MAX_ENTRIES: Setting =
    Setting::number(c"ratelimit-log-max-entries", 1_000_000, 1, 1 << 32);
/// Whether clients may send the internal commands that apply effects.
pub static ALLOW_APPLY: Setting = Setting {
    boolean: true,
    ..Setting::number(c"allow-apply", 0, 0, 1)
};

static ALL: [&Setting; 4] = [&WORK_BUDGET, &MAX_PAYLOAD, &LOG_MAX_ENTRIES, &ALLOW_APPLY];

/// Reads the module's arguments, pairs of name and value (with or without the prefix `modq.`), and
/// registers every setting. Answers false, with a line in the log, if something is wrong.
pub fn register(ctx: Context<'_>, args: Args<'_>) -> bool {
    let mut defaults = ALL.map(|s| s.default);
    if args.count() % 2 != 0 {
        log_warning("module arguments must be pairs of name and value");
        return false;
    }
    for i in (0..args.count()).step_by(2) {
        let word = args.get(i).to_ascii_lowercase();
        let mut name = word.strip_prefix(b"modq.").unwrap_or(&word).to_vec();
        // Settings of limiters may be called by their own prefix too, which is part of the name.
        if name.starts_with(b"ratelimit.") {
            name[b"ratelimit".len()] = b'-';
        }
        let Some(which) = ALL.iter().position(|s| s.name.to_bytes() == name) else {
            log_warning(&format!("module argument {} is not a known name", i + 1));
            return false;
        };
        let Some(value) = ALL[which].parse(args.get(i + 1)) else {
            let name = ALL[which].name.to_string_lossy();
            log_warning(&format!(
                "the value of module argument {name} is out of range"
            ));
            return false;
        };
        defaults[which] = value;
    }
    ALL.iter().zip(defaults).all(|(setting, default)| {
        let data = std::ptr::from_ref::<Setting>(setting).cast_mut().cast();
        // SAFETY: names and settings are static; the callbacks fit the type of setting.
        let status = unsafe {
            if setting.boolean {
                api!(RedisModule_RegisterBoolConfig(
                    ctx.raw(),
                    setting.name.as_ptr(),
                    default as c_int,
                    0,
                    Some(get_bool),
                    Some(set_bool),
                    None,
                    data
                ))
            } else {
                api!(RedisModule_RegisterNumericConfig(
                    ctx.raw(),
                    setting.name.as_ptr(),
                    default,
                    0,
                    setting.min,
                    setting.max,
                    Some(get_number),
                    Some(set_number),
                    None,
                    data
                ))
            }
        };
        status == raw::REDISMODULE_OK as c_int
    }) && unsafe { api!(RedisModule_LoadConfigs(ctx.raw())) } == raw::REDISMODULE_OK as c_int
}

// SAFETY (all below): the server hands back the pointer to a static `Setting` from `register`, and
// has checked the range.

unsafe fn setting(data: *mut c_void) -> &'static Setting {
    unsafe { &*data.cast::<Setting>() }
}

unsafe extern "C" fn get_number(_name: *const c_char, data: *mut c_void) -> c_longlong {
    unsafe { setting(data).get() }
}

unsafe extern "C" fn set_number(
    _name: *const c_char,
    value: c_longlong,
    data: *mut c_void,
    _error: *mut *mut raw::RedisModuleString,
) -> c_int {
    unsafe {
        setting(data).value.store(value, Relaxed);
        raw::REDISMODULE_OK as c_int
    }
}

unsafe extern "C" fn get_bool(_name: *const c_char, data: *mut c_void) -> c_int {
    unsafe { setting(data).get() as c_int }
}

unsafe extern "C" fn set_bool(
    _name: *const c_char,
    value: c_int,
    data: *mut c_void,
    _error: *mut *mut raw::RedisModuleString,
) -> c_int {
    unsafe {
        setting(data).value.store(i64::from(value), Relaxed);
        raw::REDISMODULE_OK as c_int
    }
}
