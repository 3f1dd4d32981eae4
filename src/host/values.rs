//! Using the value of a key that may not be there.

use crate::server::key::Key;
use crate::server::types::Stored;

/// Runs `body` on the value of a key. A key that has none gets one that `body` began with, unless
/// `body` refuses.
///
/// # Errors
/// Those of `body`; what it did to a value that was there stays.
#[inline]
pub fn update<T: Stored, R, E>(
    key: &mut Key<'_, T>,
    body: impl FnOnce(&mut T) -> Result<R, E>,
) -> Result<R, E> {
    if let Some(stored) = key.get_mut() {
        return body(stored);
    }
    let mut stored = Box::<T>::default();
    let result = body(&mut stored)?;
    key.set(stored);
    Ok(result)
}
