//! What tests, demo and bench share.

pub mod counting;
