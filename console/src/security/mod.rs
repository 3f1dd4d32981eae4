//! Who may do what, and what no request may do: sessions, roles, host names, where requests come from, headers.

pub(crate) mod attempts;
mod gate;
pub(crate) mod sessions;
pub(crate) mod users;

pub(crate) use gate::{COOKIE, User, cookie, gate, same};
