//! The proof that stays: faults made on purpose while clients work, and a judge who looks at what the clients saw and at
//! what is there in the end. `make torture` runs it for minutes, `make test` for a moment; docs/reliability.md tells what
//! each part shows.
//!
//! `mix` is what is asked for, `worker` who asks and keeps a journal, `reach` how a server is reached, `journal` the judge,
//! `field` what is there in the end, `plan` how long it takes and from which seed. Then a file for each fault.

mod clock;
mod cluster;
mod crash;
mod disk;
mod field;
mod journal;
mod journal_controls;
mod memory;
mod mix;
mod plan;
mod reach;
mod replicas;
mod sentinel;
mod worker;
