//! Reading the server's own sorted sets.

use super::api::api;
use super::args::ServerStr;
use super::context::{Context, Refusal};
use redis_module::raw;
use std::ptr::null_mut;

/// A member of a sorted set and its score.
pub type Element = (Box<[u8]>, f64);

/// An open key, closed on drop.
struct Open(*mut raw::RedisModuleKey);

impl Drop for Open {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: open, and closed once.
            unsafe { api!(RedisModule_CloseKey(self.0)) };
        }
    }
}

/// All members of the sorted set at a key, by score and then by name, both ascending; none if the key
/// does not exist.
///
/// # Errors
/// WRONGTYPE if it holds anything else.
pub fn read(ctx: Context<'_>, name: ServerStr<'_>) -> Result<Option<Vec<Element>>, Refusal> {
    let mode = raw::REDISMODULE_READ as i32;
    // SAFETY: the context and the name live through the call.
    let key = Open(unsafe { api!(RedisModule_OpenKey(ctx.raw(), name.raw(), mode)) });
    if key.0.is_null() {
        return Ok(None);
    }
    // SAFETY: the key is open.
    match unsafe { api!(RedisModule_KeyType(key.0)) } as isize {
        raw::REDISMODULE_KEYTYPE_EMPTY => Ok(None),
        raw::REDISMODULE_KEYTYPE_ZSET => Ok(Some(elements(&key))),
        _ => Err(Refusal::WRONG_TYPE),
    }
}

fn elements(key: &Open) -> Vec<Element> {
    let mut all = Vec::new();
    // SAFETY: the key is an open sorted set. The walk is begun, goes on while there is a current
    // element, and is ended; nothing changes the set meanwhile.
    unsafe {
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        api!(RedisModule_ZsetFirstInScoreRange(key.0, low, high, 0, 0));
        loop {
            let mut score = 0.0;
            let name = api!(RedisModule_ZsetRangeCurrentElement(key.0, &mut score));
            if name.is_null() {
                break;
            }
            all.push((ServerStr::new(name).bytes().into(), score));
            api!(RedisModule_FreeString(null_mut(), name));
            // At the end the last element stays the current one.
            if api!(RedisModule_ZsetRangeNext(key.0)) == 0 {
                break;
            }
        }
        api!(RedisModule_ZsetRangeStop(key.0));
    }
    all
}
