//! What tests, demo and bench share: real servers on ports and in directories of their own, a client that shows exact
//! replies, ways to wait for something without sleeping, and an allocator that counts.
//!
//! A [`Builder`] says how a server is to be started; [`Server`] is one that runs and goes when it is dropped, failing
//! the test if it had crashed. [`Client`] talks to it, and [`wait_until`] and its relatives wait for what it does by
//! itself. [`queue`] has what tests of the moderation queue share. `docs/testing.md` says how to run what is built
//! with this, and `testkit/tests/kit/harness.rs` shows all of it in use.

pub mod client;
pub mod clock;
pub mod cluster;
pub mod counting;
pub mod dump;
pub mod fold;
pub mod inspect;
pub mod place;
pub mod queue;
pub mod random;
pub mod resp;
pub mod sentinel;
pub mod server;
pub mod wait;
pub mod wire;

pub use client::{Arg, Client, Reconnecting};
pub use clock::{Clock, set_clock};
pub use cluster::{Cluster, Roamer};
pub use inspect::*;
pub use random::Random;
pub use resp::{Value, bulk, ok, simple};
pub use sentinel::{Follower, SentinelSetup};
pub use server::{Builder, Kind, Process, Server, end_with_signals, module_path};
pub use wait::{PATIENCE, let_pass, wait_link, wait_replica_synced, wait_until};

/// Makes one test per server of each function listed: `matrix!(a, b);` once in a file, where `fn a(kind: Kind)`.
/// They are named `<file>::valkey_9_1::a`, so `cargo test valkey_9_1::` runs one server's. A function left out of the
/// list is dead code, which clippy refuses.
#[macro_export]
macro_rules! matrix {
    ($($name:ident),+ $(,)?) => {
        $crate::matrix!(@kind redis_7_0 Redis70 $($name)+);
        $crate::matrix!(@kind redis_8_2 Redis82 $($name)+);
        $crate::matrix!(@kind valkey_9_1 Valkey91 $($name)+);
        $crate::matrix!(@kind stack_7_4 Stack74 $($name)+);
    };
    (@kind $module:ident $kind:ident $($name:ident)+) => {
        mod $module {
            $(#[test] fn $name() { super::$name($crate::Kind::$kind) })+
        }
    };
}
