//! Registering settings: arguments at load, then CONFIG GET and SET.

use super::api::api;
use super::args::{Args, parse_i64};
use super::context::Context;
use super::module::LoadError;
use redis_module::raw;
use std::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

const OK: c_int = raw::REDISMODULE_OK as c_int;

/// One setting. Yes and no are 1 and 0.
pub struct Setting {
    /// The name without the module's, which the server puts in front.
    name: &'static CStr,
    /// Another name that it may have among the module's arguments.
    alias: Option<&'static str>,
    boolean: bool,
    default: i64,
    min: i64,
    max: i64,
    value: AtomicI64,
}

impl Setting {
    /// A number from `min` to `max`.
    pub const fn number(name: &'static CStr, default: i64, min: i64, max: i64) -> Setting {
        Setting {
            name,
            alias: None,
            boolean: false,
            default,
            min,
            max,
            value: AtomicI64::new(default),
        }
    }

    /// Yes or no; no unless it is set.
    pub const fn switch(name: &'static CStr) -> Setting {
        Setting {
            boolean: true,
            ..Setting::number(name, 0, 0, 1)
        }
    }

    /// The same setting, which may be called `alias` too among the module's arguments.
    pub const fn or_called(self, alias: &'static str) -> Setting {
        Setting {
            alias: Some(alias),
            ..self
        }
    }

    /// What it is set to.
    pub fn get(&self) -> i64 {
        self.value.load(Relaxed)
    }

    /// Whether a switch is set to yes.
    pub fn is_on(&self) -> bool {
        self.get() != 0
    }

    fn is_called(&self, name: &[u8]) -> bool {
        self.name.to_bytes() == name || self.alias.is_some_and(|alias| alias.as_bytes() == name)
    }

    /// What it may be, for who gave it something else.
    fn range(&self) -> String {
        let name = self.name.to_string_lossy();
        match self.boolean {
            true => format!("its argument {name} must be yes or no"),
            false => format!(
                "its argument {name} must be a number from {} to {}",
                self.min, self.max
            ),
        }
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

/// Reads the module's arguments, pairs of name and value (the name with or without `prefix`), and
/// registers every setting.
///
/// # Errors
/// What is wrong with an argument or with the server's configuration.
pub(super) fn register(
    ctx: Context<'_>,
    args: Args<'_>,
    prefix: &CStr,
    settings: &'static [&'static Setting],
) -> Result<(), LoadError> {
    let defaults = defaults(args, prefix, settings)?;
    let mut all = settings.iter().zip(defaults);
    if !all.all(|(setting, default)| register_one(ctx, setting, default)) {
        return Err(
            "the server refuses a setting; report this with the version of the server".into(),
        );
    }
    // SAFETY: the context is live during load.
    match unsafe { api!(RedisModule_LoadConfigs(ctx.raw())) } {
        OK => Ok(()),
        _ => Err(
            "a setting of it in the server's configuration is refused: mend the one named above"
                .into(),
        ),
    }
}

/// What each setting is unless the server's own configuration says more: its default, or what the
/// arguments say.
fn defaults(args: Args<'_>, prefix: &CStr, settings: &[&Setting]) -> Result<Vec<i64>, LoadError> {
    let mut defaults: Vec<i64> = settings.iter().map(|s| s.default).collect();
    if args.count() % 2 != 0 {
        return Err("its arguments must be pairs of name and value".into());
    }
    for i in (0..args.count()).step_by(2) {
        let word = args.get(i).to_ascii_lowercase();
        let after_prefix = word.strip_prefix(prefix.to_bytes());
        let name = after_prefix
            .and_then(|rest| rest.strip_prefix(b"."))
            .unwrap_or(&word);
        let Some(which) = settings.iter().position(|s| s.is_called(name)) else {
            let known: Vec<_> = settings.iter().map(|s| s.name.to_string_lossy()).collect();
            let (at, known) = (i + 1, known.join(", "));
            return Err(format!("its argument {at} is no setting; there are: {known}").into());
        };
        let Some(value) = settings[which].parse(args.get(i + 1)) else {
            return Err(settings[which].range().into());
        };
        defaults[which] = value;
    }
    Ok(defaults)
}

fn register_one(ctx: Context<'_>, setting: &'static Setting, default: i64) -> bool {
    let data = std::ptr::from_ref(setting).cast_mut().cast();
    // SAFETY: the context is live during load; name and setting are static, and the callbacks fit
    // the type of setting. They only read the pointer, see `setting`.
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
    status == OK
}

/// The setting that a callback is about.
///
/// # Safety
/// `data` is what `register_one` gave to the server.
unsafe fn setting(data: *mut c_void) -> &'static Setting {
    // SAFETY: that was made from a reference to a static.
    unsafe { &*data.cast::<Setting>() }
}

unsafe extern "C" fn get_number(_name: *const c_char, data: *mut c_void) -> c_longlong {
    // SAFETY: the server gives back the pointer of `register_one`.
    unsafe { setting(data) }.get()
}

/// The server has checked the range.
unsafe extern "C" fn set_number(
    _name: *const c_char,
    value: c_longlong,
    data: *mut c_void,
    _error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: the server gives back the pointer of `register_one`.
    unsafe { setting(data) }.value.store(value, Relaxed);
    OK
}

unsafe extern "C" fn get_bool(_name: *const c_char, data: *mut c_void) -> c_int {
    // SAFETY: the server gives back the pointer of `register_one`.
    unsafe { setting(data) }.get() as c_int
}

unsafe extern "C" fn set_bool(
    _name: *const c_char,
    value: c_int,
    data: *mut c_void,
    _error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: the server gives back the pointer of `register_one`.
    unsafe { setting(data) }
        .value
        .store(i64::from(value), Relaxed);
    OK
}
