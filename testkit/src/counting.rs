//! An allocator that counts the bytes in use, as jemalloc or glibc's malloc would. A test binary installs it:
//! `#[global_allocator] static ALLOC: Counting = Counting::jemalloc();`

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts per thread, so that tests do not see each other.
#[derive(Debug)]
pub struct Counting {
    /// What a block of so many bytes takes.
    taken: fn(usize) -> isize,
}

impl Counting {
    /// jemalloc's size classes: four per doubling, 16 bytes apart below 128.
    #[must_use]
    pub const fn jemalloc() -> Counting {
        Counting {
            taken: |n| match n {
                0..=8 => 8,
                9..=128 => n.next_multiple_of(16) as isize,
                _ => n.next_multiple_of(n.next_power_of_two() / 8) as isize,
            },
        }
    }

    /// What glibc calls the usable size: blocks are multiples of 16, of which 8 are its own, and at least 32.
    #[must_use]
    pub const fn glibc() -> Counting {
        Counting {
            taken: |n| (n + 8).next_multiple_of(16).max(32) as isize - 8,
        }
    }
}

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // At the end of a thread the counters may be gone.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: every call goes to the system allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count((self.taken)(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(self.taken)(layout.size()));
        // SAFETY: as the caller promises; the block came from `System`.
        unsafe { System.dealloc(ptr, layout) };
    }
}

/// The bytes in use by this thread.
#[must_use]
pub fn live() -> isize {
    LIVE.with(Cell::get)
}

/// The most that was live at once while `work` ran, beyond what was before.
pub fn peak(work: impl FnOnce()) -> isize {
    let before = live();
    PEAK.with(|peak| peak.set(before));
    work();
    PEAK.with(Cell::get) - before
}
