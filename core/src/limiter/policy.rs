//! Named lists of limits, server-wide.

use super::limits::{LimitSpec, SpecError};
use super::valid_id;
use std::collections::BTreeMap;

/// All policies of a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policies {
    by_name: BTreeMap<Box<[u8]>, Box<[LimitSpec]>>,
}

/// Why a policy is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyError {
    /// The name is not 1 to 512 bytes long.
    NameLength,
    /// The limits are no list of 1 to 8 different ones.
    Limits(SpecError),
}

impl Policies {
    /// POLICY SET: what the name stands for from now on, in place of what it stood for.
    ///
    /// # Errors
    /// The name or the list of limits is not acceptable. Nothing was changed.
    pub fn set(&mut self, name: &[u8], limits: &[LimitSpec]) -> Result<(), PolicyError> {
        if !valid_id(name) {
            return Err(PolicyError::NameLength);
        }
        LimitSpec::check_list(limits).map_err(PolicyError::Limits)?;
        self.by_name.insert(name.into(), limits.into());
        Ok(())
    }

    /// POLICY GET: the limits that a name stands for, if there is such a policy.
    pub fn get(&self, name: &[u8]) -> Option<&[LimitSpec]> {
        self.by_name.get(name).map(|limits| &**limits)
    }

    /// POLICY DEL: forgets a policy. Returns whether there was one.
    pub fn del(&mut self, name: &[u8]) -> bool {
        self.by_name.remove(name).is_some()
    }

    /// POLICY LIST and what is saved: every policy, in byte order of names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[LimitSpec])> {
        self.by_name
            .iter()
            .map(|(name, limits)| (&**name, &**limits))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}
