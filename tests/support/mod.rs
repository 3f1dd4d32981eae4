//! The test harness: real servers on ports and directories of their own, a client that shows exact replies, and
//! ways to wait for something without sleeping. `docs/testing.md` says how to run what is built with it.

// Several binaries include this (tests, benches, examples) and none uses all of it.
#![allow(dead_code, unused_imports, unused_macros)]

mod client;
mod clock;
mod cluster;
mod modq;
mod resp;
mod sentinel;
mod server;
mod wait;

pub(crate) use client::cmd;
pub use client::{Arg, Client};
pub use clock::Clock;
pub use cluster::Cluster;
pub use modq::*;
pub use resp::{Value, bulk, ok, simple};
pub(crate) use resp::{arr, assert_err, map};
pub use sentinel::SentinelSetup;
pub use server::{Builder, Kind, Server};
pub use wait::*;

/// Makes one test per server of each function listed: `matrix!(a, b);` once in a file, where `fn a(kind: Kind)`.
/// They are named `<file>::valkey_9_1::a`, so `cargo test valkey_9_1::` runs one server's. A function left out of the
/// list is dead code, which clippy refuses.
macro_rules! matrix {
    ($($name:ident),+ $(,)?) => {
        $crate::support::matrix!(@kind redis_7_0 Redis70 $($name)+);
        $crate::support::matrix!(@kind redis_8_2 Redis82 $($name)+);
        $crate::support::matrix!(@kind valkey_9_1 Valkey91 $($name)+);
        $crate::support::matrix!(@kind stack_7_4 Stack74 $($name)+);
    };
    (@kind $module:ident $kind:ident $($name:ident)+) => {
        mod $module {
            $(#[test] fn $name() { super::$name($crate::support::Kind::$kind) })+
        }
    };
}
pub(crate) use matrix;
