//! What the structures of a key take, on an allocator that counts as glibc's malloc does; see `structures`.

mod structures;

use modq_core::memory::Allocator;
use modq_testkit::counting::Counting;

#[global_allocator]
static ALLOC: Counting = Counting::glibc();

/// What the core is told to count by.
const ALLOCATOR: Allocator = Allocator::Glibc;
