//! What the demo and the bench share: a private server that goes with them, and the tests' client.

// Neither program uses all of it.
#![allow(dead_code, unused_imports, unused_macros)]

#[path = "../../tests/support/client.rs"]
mod client;
#[path = "../../tests/support/resp.rs"]
mod resp;
mod server;

pub(crate) use client::cmd;
pub use client::{Arg, Client};
pub use resp::Value;
pub use server::{Server, end_with_signals, module};

/// Whether the server has a command.
pub fn has_command(client: &mut Client, name: &str) -> bool {
    !client.cmd(&["COMMAND", "INFO", name])[0].is_null()
}

/// A field of an INFO section, 0 if it is not there.
pub fn info_number(client: &mut Client, section: &str, field: &str) -> u64 {
    let text = client.cmd(&["INFO", section]).text();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// Random enough for loads; always the same from the same seed (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % n
    }
}
