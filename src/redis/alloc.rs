//! Memory comes from the server's allocator, so that `used_memory` and maxmemory see it. Outside
//! a server (unit tests, the demo) it comes from the system's.

use redis_module::raw;
use std::alloc::{GlobalAlloc, Layout, System};

/// The allocator of everything in this library. See the file's head.
pub struct ServerAlloc;

/// The alignment that the server's allocator guarantees.
const ALIGN: usize = 16;

// SAFETY: every block is allocated, resized and freed by the same allocator. The server's function
// pointers go from none to set once, in OnLoad before anything of ours has been allocated (nothing
// of a cdylib's runtime allocates before), and never change again. The server's allocator returns
// blocks aligned to 16 bytes (to 8 for requests of up to 8); over-aligned layouts, which no type of
// ours has, go to the system's in both directions.
unsafe impl GlobalAlloc for ServerAlloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match raw::RedisModule_Alloc {
            Some(alloc) if layout.align() <= ALIGN => alloc(layout.size()).cast(),
            _ => System.alloc(layout),
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match raw::RedisModule_Calloc {
            Some(calloc) if layout.align() <= ALIGN => calloc(1, layout.size()).cast(),
            _ => System.alloc_zeroed(layout),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        match raw::RedisModule_Free {
            Some(free) if layout.align() <= ALIGN => free(ptr.cast()),
            _ => System.dealloc(ptr, layout),
        }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        match raw::RedisModule_Realloc {
            Some(realloc) if layout.align() <= ALIGN => realloc(ptr.cast(), new_size).cast(),
            _ => System.realloc(ptr, layout, new_size),
        }
    }
}

#[global_allocator]
static ALLOC: ServerAlloc = ServerAlloc;
