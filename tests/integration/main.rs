//! Every test that runs against real servers: one binary, one module per concern.

#[path = "../support/mod.rs"]
mod support;

mod harness;
mod modq_line;
mod modq_moderators;
mod modq_producers;
mod modq_reading;
mod modq_supervisors;
mod modq_waiting;
mod modq_waiting_faults;
mod ratelimit_kit;
mod ratelimit_options;
mod ratelimit_replies;
mod resp;
