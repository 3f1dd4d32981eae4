//! The clients that wait in a blocked CLAIM or MCLAIM.
//!
//! They wait for key *names*, whatever becomes of the queues there. So they are kept here, in a
//! register by name. A queue is told which calls wait for its name, and matches them like the
//! moderators who joined.
//!
//! The life of a call:
//!
//! 1. A command finds nothing and calls [`wait`] (`begin`). The server blocks the client; the call
//!    gets a number and a place in line and goes into the register; the queues at its keys are
//!    told.
//! 2. A queue that comes to one of the names later, or was told of others only, is told before it
//!    next does something ([`tell_queue`], in `tell`).
//! 3. A queue matches the call. [`take_answers`] (`answers`) notes which lock the call is to be
//!    answered with, and tells its other queues that it no longer waits.
//! 4. Before the server sleeps, [`turn_ends`] (`answers`) wakes the client if the lock is still
//!    there. The server then calls [`Calls`] (`end`), which replies and forgets the call. If the
//!    lock is gone (CANCEL in the same transaction), the call goes back to its place in line.
//! 5. If the time is up first, [`end_overdue`] (`end`) wakes the client and `Calls` replies null. If the
//!    client is gone, or is closed before its answer was sent ([`client_gone`]), a match that was made
//!    for it is undone by the next `turn_ends`.
//!
//! Some changes at a name no event announces. While anybody waits, [`scan`] (`changes`) looks at
//! some of the names every 20 ms.

mod answers;
mod begin;
mod changes;
mod end;
mod register;
mod tell;

pub use answers::{take_answers, turn_ends};
pub use begin::{WaitRequest, wait};
pub use changes::{databases_swapped, name_changed, scan};
pub use end::{Calls, client_gone, end_overdue, turn_begins};
pub use register::clients;
pub use tell::{Told, moderators, tell_most, tell_queue};
