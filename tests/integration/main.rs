//! Every test that runs against real servers: one binary, one module per concern.

#[path = "../support/mod.rs"]
mod support;

mod docs;
mod golden;
mod harness;
mod modq_audit;
mod modq_clock;
mod modq_cluster;
mod modq_crowd;
mod modq_events;
mod modq_line;
mod modq_moderators;
mod modq_persistence;
mod modq_producers;
mod modq_reading;
mod modq_replication;
mod modq_server;
mod modq_supervisors;
mod modq_waiting;
mod modq_waiting_faults;
mod modq_waiting_many;
mod ratelimit_clock;
mod ratelimit_commands;
mod ratelimit_effects;
mod ratelimit_hostile;
mod ratelimit_kit;
mod ratelimit_leases;
mod ratelimit_memory;
mod ratelimit_options;
mod ratelimit_replicas;
mod ratelimit_replies;
mod ratelimit_saved;
mod ratelimit_steps;
mod resp;
