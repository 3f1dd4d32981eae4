//! Memory comes from the server's allocator, so that `used_memory` and maxmemory see it. Outside
//! a server (tests, the demo) it comes from the system's.

use super::api::api;
use modq_core::memory::{self, Allocator};
use redis_module::raw;
use std::alloc::{GlobalAlloc, Layout, System};

/// The allocator of everything in this library. See the file's head.
pub struct ServerAlloc;

/// The alignment that the server's allocator guarantees: no more than a pointer's. The jemalloc
/// that Redis bundles hands out multiples of 8 (it is built with a quantum of 8), and so does a
/// server on libc that keeps sizes in front of its blocks.
const ALIGN: usize = 8;

/// Room in front of a block of larger alignment for the address that the server gave.
const HEADER: usize = size_of::<*mut u8>();

/// Puts a block of larger alignment into one that the server gave, or passes its null on.
///
/// # Safety
/// `block` is null or has `HEADER` + `align` bytes more than will be used, aligned to `ALIGN`.
unsafe fn align_up(block: *mut u8, align: usize) -> *mut u8 {
    if block.is_null() {
        return block;
    }
    // SAFETY: at most `HEADER` + `align` bytes are skipped, which are there (the caller's promise),
    // and at least `HEADER`, into which the address fits: both ends are aligned to a pointer.
    unsafe {
        let start = block.add(HEADER);
        let aligned = start.add(start.align_offset(align));
        aligned.cast::<*mut u8>().sub(1).write(block);
        aligned
    }
}

/// How many bytes to ask the server for to have room to align a block.
fn roomy(layout: Layout) -> usize {
    layout.size() + layout.align() + HEADER
}

// SAFETY: every block is allocated, resized and freed by the same allocator. The server's function
// pointers go from none to set once, in OnLoad before anything of ours has been allocated (nothing
// of a cdylib's runtime allocates before), and never change again. Blocks aligned beyond `ALIGN`
// (hash tables) lie inside larger ones, whose address is right in front of them.
unsafe impl GlobalAlloc for ServerAlloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: a size of the layout is asked for, or one with room for `align_up`; functions are
        // never unset.
        unsafe {
            match raw::RedisModule_Alloc {
                Some(alloc) if layout.align() <= ALIGN => alloc(layout.size()).cast(),
                Some(alloc) => align_up(alloc(roomy(layout)).cast(), layout.align()),
                None => System.alloc(layout),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as `alloc`; the address in front of an aligned block is not part of it.
        unsafe {
            match raw::RedisModule_Calloc {
                Some(calloc) if layout.align() <= ALIGN => calloc(1, layout.size()).cast(),
                Some(calloc) => align_up(calloc(1, roomy(layout)).cast(), layout.align()),
                None => System.alloc_zeroed(layout),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `alloc` for this layout, so its block is `ptr` itself or what
        // stands in front of it.
        unsafe {
            match raw::RedisModule_Free {
                Some(free) if layout.align() <= ALIGN => free(ptr.cast()),
                Some(free) => free(ptr.cast::<*mut u8>().sub(1).read().cast()),
                None => System.dealloc(ptr, layout),
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: `ptr` came from `alloc` for this layout; what is moved by hand is what both
        // blocks have room for, and the alignment was valid before.
        unsafe {
            match raw::RedisModule_Realloc {
                Some(realloc) if layout.align() <= ALIGN => realloc(ptr.cast(), new_size).cast(),
                Some(_) => {
                    let larger = Layout::from_size_align_unchecked(new_size, layout.align());
                    let new = self.alloc(larger);
                    if !new.is_null() {
                        ptr.copy_to_nonoverlapping(new, new_size.min(layout.size()));
                        self.dealloc(ptr, layout);
                    }
                    new
                }
                None => System.realloc(ptr, layout, new_size),
            }
        }
    }
}

#[global_allocator]
static ALLOC: ServerAlloc = ServerAlloc;

/// Finds out how the server's allocator rounds, and has bytes counted by that. Once, at load, before there are
/// any values.
pub fn follow_the_servers() {
    memory::follow(Allocator::nearest(taken));
}

/// What a block of `n` bytes takes of the server's `used_memory`.
fn taken(n: usize) -> usize {
    // SAFETY: the block is the server's own, and is freed after its size was asked.
    unsafe {
        let block = api!(RedisModule_Alloc(n));
        let taken = api!(RedisModule_MallocSize(block));
        api!(RedisModule_Free(block));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_wherever_the_server_puts_them() {
        let mut memory = [0u64; 64];
        for align in [16, 32, 64, 128] {
            for shift in 0..16 {
                let layout = Layout::from_size_align(40, align).unwrap();
                assert!(shift * 8 + roomy(layout) <= size_of_val(&memory));
                // SAFETY: asserted to be within the array.
                unsafe {
                    let block = memory.as_mut_ptr().add(shift).cast::<u8>();
                    let aligned = align_up(block, align);
                    assert_eq!(aligned.align_offset(align), 0);
                    assert!(aligned >= block.add(HEADER));
                    assert!(aligned.add(40) <= block.add(roomy(layout)));
                    assert_eq!(aligned.cast::<*mut u8>().sub(1).read(), block);
                }
            }
        }
        // SAFETY: null is passed on.
        assert!(unsafe { align_up(std::ptr::null_mut(), 16) }.is_null());
    }
}
