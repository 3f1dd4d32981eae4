//! The host: what the process holds beside the keys, and how the value of a key is used, changed
//! and replicated. It knows no command: commands run their requests through it.
//!
//! - Values of keys: [`queue_key`], [`limiter_keys`], [`board_keys`], and [`values`] for what is common
//!   to them.
//! - Requests on a queue: [`queues`], its event stream in [`streams`], replies that are given in
//!   two ways in [`replies`].
//! - Time: [`clock`] says what it is, [`schedule`] which key next has something to do, by its
//!   [`hints`].
//! - Clients that wait: [`waiting`].
//! - Of the process as a whole: [`policies`], [`settings`], [`slots`], [`totals`], [`info`], [`peak`].
//!
//! **A command that writes to a queue** ([`queues::run`]): the key is opened; [`streams::gate`]
//! asks whether the queue's event stream can be written; the queue is told who waits for its name,
//! and does up to 32 steps of what is overdue; the command's request is decided and applied. What
//! was applied is replicated as one record; the totals and the schedule are brought up to date
//! (`QueueKey::changed`); the key is closed. Then the others are told: events, notifications,
//! messages to moderators, and matched calls (`waiting::take_answers`).
//!
//! **A tick** (`schedule`): the timer fires; each key that is due does some of its work in the
//! same way, without a request ([`schedule::Timed`]); the timer is set to the next due time; while
//! clients wait, some of the names they wait for are looked at ([`waiting::scan`]). On a replica,
//! and while nothing may be replicated, a tick does nothing.
//!
//! **The end of a turn** of the event loop, which is after each batch of commands and ticks:
//! matched calls are answered, and matches whose client is gone are undone
//! ([`waiting::turn_ends`]). Hints of queues that are gone are forgotten ([`schedule::turn_ends`]).
//!
//! **A load**: policies are cleared when it begins. For each key that was loaded, as for each that
//! RENAME, COPY, MOVE or RESTORE brings, the queue's due time goes into the schedule
//! ([`queue_key::key_arrived`]). When all is loaded, and when a replica becomes a primary, the
//! timer is started ([`schedule::start`]).
//!
//! What the process holds is in statics behind locks. Only the main thread uses them: the locks are
//! there because safe Rust asks for them, and must not be held while the server is called, which
//! may call back. Totals are atomics, because values may be freed on another thread.

pub mod bindings;
pub mod board_keys;
pub mod clock;
pub mod damage;
pub mod hints;
pub mod info;
pub mod limiter_keys;
pub mod peak;
pub mod policies;
pub mod queue_key;
pub mod queues;
pub mod replies;
pub mod schedule;
pub mod settings;
pub mod slots;
pub mod streams;
pub mod totals;
pub mod values;
pub mod waiting;
