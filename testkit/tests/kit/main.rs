//! That what other tests lean on holds: the servers, the clients and the reading of replies.

mod harness;
mod resp;
